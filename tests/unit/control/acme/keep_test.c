/* What outlives control, what is signed, and what the configuration wants. */
#include "../../os/tls_rig.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/acme/conf.c"
#include "control/acme/jose.c"
#undef SCHEMA
#include "control/acme/state.c"

static void state_reads_back(void **arg)
{
	struct acme_state s = {0}, back;
	struct acme_cert want[2] = {{.name_count = 2}, {.name_count = 1}};
	struct hg_buf text, again;
	(void)arg;
	hg_buf_init(&text, 1u << 20);
	hg_buf_init(&again, 1u << 20);
	snprintf(want[0].names[0], ACME_NAME_MAX, "a.example");
	snprintf(want[0].names[1], ACME_NAME_MAX, "*.a.example");
	snprintf(want[1].names[0], ACME_NAME_MAX, "b.example");
	assert_int_equal(acme_state_arrange(&s, want, 2, 1000), HG_OK);
	s.key = strdup("account key");
	snprintf(acme_account_at(&s, "https://ca/dir")->url, ACME_URL_MAX, "https://ca/me");
	acme_book_add(&s.book, 77);
	s.cert[0].until_ms = 5000;
	s.cert[0].failures = 3;
	s.cert[0].next_ms = 99;
	snprintf(s.cert[0].why, sizeof s.cert[0].why, "dns: no");
	s.held[0].chain = strdup("chain");
	s.held[0].key = strdup("key");
	s.order.active = true;
	s.order.names = want[1];
	s.order.key = strdup("order key");
	snprintf(s.order.directory, ACME_URL_MAX, "https://ca/dir");
	snprintf(s.order.order, ACME_URL_MAX, "https://ca/o");
	s.order.placed_count = 1;
	snprintf(s.order.placed[0].name, ACME_NAME_MAX, "b.example");
	snprintf(s.order.placed[0].token, ACME_TOKEN_MAX, "token");
	s.given[0] = (struct acme_given){strdup("/x"), strdup("text")};
	assert_int_equal(acme_state_write(&s, &text), HG_OK);
	assert_int_equal(acme_state_read(hg_buf_view(&text), &back), HG_OK);
	assert_int_equal(acme_state_write(&back, &again), HG_OK);
	assert_string_equal(hg_buf_text(&again), hg_buf_text(&text));
	assert_string_equal(back.key, "account key");
	assert_string_equal(back.order.key, "order key");
	/* Arranged anew: one is not wanted any more but kept until it ends; the others keep what is
	 * known of them in whatever order they are named. */
	struct acme_cert less = {.name_count = 2};
	snprintf(less.names[0], ACME_NAME_MAX, "*.a.example");
	snprintf(less.names[1], ACME_NAME_MAX, "a.example");
	assert_int_equal(acme_state_arrange(&back, &want[1], 1, 1000), HG_OK);
	assert_int_equal(back.used, 1);
	assert_int_equal(back.count, 2);
	assert_int_equal(acme_state_arrange(&back, &less, 1, 1000), HG_OK);
	assert_string_equal(back.held[0].key, "key");
	assert_int_equal(back.cert[0].failures, 3);
	assert_int_equal(acme_state_arrange(&back, &want[1], 1, 6000), HG_OK);
	assert_int_equal(back.count, 1);
	hg_buf_free(&text);
	hg_buf_free(&again);
	acme_state_free(&s);
	acme_state_free(&back);
}

static void a_damaged_file_is_put_aside(void **arg)
{
	char dir[] = "/tmp/acme-test-XXXXXX", path[128];
	struct acme_state s;
	struct hg_err err = {0};
	struct stat st;
	bool damaged;
	(void)arg;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(acme_state_load(dir, &s, &damaged, &err), HG_OK);
	assert_false(damaged);
	s.key = strdup("key");
	assert_int_equal(acme_state_save(dir, &s, &err), HG_OK);
	acme_state_free(&s);
	snprintf(path, sizeof path, "%s/certs/acme.json", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(acme_state_load(dir, &s, &damaged, &err), HG_OK);
	assert_string_equal(s.key, "key");
	acme_state_free(&s);
	assert_int_equal(file_write_atomic(path, 0600, HG_STR("{\"schema\":\"head"), &err), HG_OK);
	assert_int_equal(acme_state_load(dir, &s, &damaged, &err), HG_OK);
	assert_true(damaged);
	assert_null(s.key);
	snprintf(path, sizeof path, "%s/certs/acme.json.damaged", dir);
	assert_int_equal(stat(path, &st), 0);
	snprintf(path, sizeof path, "rm -rf %s", dir);
	assert_int_equal(system(path), 0);
}

static void what_is_no_state_is_refused(void **arg)
{
	static const char *const bad[] = {
	        "", "{", "[]", "{}", "{\"schema\":1}", "{\"schema\":\"headgate.acme/2\"}", "null"};
	struct acme_state s;
	(void)arg;
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		assert_int_equal(acme_state_read(hg_str(bad[i]), &s), HG_E_INVALID);
}

static EVP_PKEY *public_of(const struct jws_key *k)
{
	struct hg_buf pem;
	hg_buf_init(&pem, 65536);
	assert_int_equal(jws_key_pem(k, &pem), HG_OK);
	BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
	assert_non_null(key);
	BIO_free(in);
	hg_buf_free(&pem);
	return key;
}

static bool verifies(EVP_PKEY *key, struct hg_str input, const unsigned char raw[64])
{
	unsigned char der[128], *p = der;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	ECDSA_SIG_set0(sig, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
	int n = i2d_ECDSA_SIG(sig, &p);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key);
	int ok = EVP_DigestVerify(md, der, (size_t)n, (const unsigned char *)input.p, input.n);
	EVP_MD_CTX_free(md);
	ECDSA_SIG_free(sig);
	return ok == 1;
}

static void requests_are_signed(void **arg)
{
	struct jws_key *k;
	struct hg_buf text, raw;
	(void)arg;
	assert_int_equal(jws_key_new(&k), HG_OK);
	EVP_PKEY *key = public_of(k);
	/* Numbers of the signature that are short keep their 32 bytes. */
	for (int i = 0; i < 300; i++) {
		hg_buf_init(&text, 1u << 20);
		hg_buf_init(&raw, 1u << 20);
		assert_int_equal(acme_request_sign(k, i % 2 ? "https://ca/me" : NULL, "nonce",
		                         "https://ca/x", HG_STR("{\"a\":1}"), &text),
		        HG_OK);
		json_t *j = json_loads(hg_buf_text(&text), 0, NULL);
		const char *head = json_string_value(json_object_get(j, "protected"));
		const char *payload = json_string_value(json_object_get(j, "payload"));
		const char *sig = json_string_value(json_object_get(j, "signature"));
		char input[2048];
		int n = snprintf(input, sizeof input, "%s.%s", head, payload);
		assert_true(base64url_decode(&raw, hg_str(sig)));
		assert_int_equal(raw.n, 64);
		assert_true(verifies(
		        key, (struct hg_str){input, (size_t)n}, (const unsigned char *)raw.p));
		hg_buf_reset(&raw);
		assert_true(base64url_decode(&raw, hg_str(head)));
		json_t *h = json_loadb(raw.p, raw.n, 0, NULL);
		assert_string_equal(json_string_value(json_object_get(h, "alg")), "ES256");
		assert_string_equal(json_string_value(json_object_get(h, "nonce")), "nonce");
		assert_string_equal(json_string_value(json_object_get(h, "url")), "https://ca/x");
		assert_int_equal(json_object_get(h, "jwk") != NULL, i % 2 == 0);
		assert_int_equal(json_object_get(h, "kid") != NULL, i % 2 == 1);
		json_decref(h);
		json_decref(j);
		hg_buf_free(&text);
		hg_buf_free(&raw);
	}
	EVP_PKEY_free(key);
	jws_key_free(k);
}

/* RFC 7515 appendix A.3.1 and RFC 7638: the thumbprint of a known key. */
static void the_thumbprint_is_of_the_right_bytes(void **arg)
{
	static const char pem[] =
	        "-----BEGIN EC PRIVATE KEY-----\n"
	        "MHcCAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49\n"
	        "AwEHoUQDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72b\n"
	        "focs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
	        "-----END EC PRIVATE KEY-----\n";
	struct jws_key *k;
	char thumb[ACME_THUMB_MAX];
	struct hg_buf jwk;
	(void)arg;
	hg_buf_init(&jwk, 1024);
	assert_int_equal(jws_key_read(hg_str(pem), &k), HG_OK);
	assert_int_equal(jwk_write(k, &jwk), HG_OK);
	assert_string_equal(hg_buf_text(&jwk),
	        "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":"
	        "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":"
	        "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}");
	assert_int_equal(acme_thumbprint(k, thumb), HG_OK);
	assert_string_equal(thumb, "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
	hg_buf_free(&jwk);
	jws_key_free(k);
	assert_int_equal(jws_key_read(HG_STR("nothing"), &k), HG_E_INVALID);
}

static void requests_and_chains_are_checked(void **arg)
{
	struct acme_cert c = {.name_count = 2};
	struct hg_buf key, text, self;
	struct hg_str names[] = {HG_STR("a.example"), HG_STR("b.example")};
	char why[TLS_WHY_MAX], id[ACME_ID_MAX];
	unsigned char proof[32] = {7};
	(void)arg;
	hg_buf_init(&key, 65536);
	hg_buf_init(&text, 1u << 20);
	hg_buf_init(&self, 1u << 20);
	snprintf(c.names[0], ACME_NAME_MAX, "a.example");
	snprintf(c.names[1], ACME_NAME_MAX, "b.example, DNS:evil.example");
	assert_int_equal(tls_key_make(&key), HG_OK);
	assert_int_equal(acme_finalize_payload(&c, hg_buf_view(&key), &text, why), HG_OK);
	assert_non_null(strstr(hg_buf_text(&text), "{\"csr\":\""));
	struct tls_self one = {.common_name = "x",
	        .host = names[0],
	        .proof = proof,
	        .from_s = 1000000,
	        .until_s = 2000000};
	assert_int_equal(tls_self_make(hg_buf_view(&key), &one, &self, why), HG_OK);
	struct tls_pem pem = {hg_buf_view(&self), hg_buf_view(&key)};
	assert_int_equal(tls_chain_check(&pem, names, 1, 1500000, why), HG_OK);
	assert_int_equal(tls_chain_check(&pem, names, 2, 1500000, why), HG_E_INVALID);
	assert_non_null(strstr(why, "not for b.example"));
	assert_int_equal(tls_chain_check(&pem, names, 1, 2000001, why), HG_E_INVALID);
	assert_int_equal(tls_chain_check(&pem, names, 1, 900000, why), HG_E_INVALID);
	assert_int_equal(tls_chain_check(&pem, names, 1, 1000000 - 3000, why), HG_OK);
	/* Behind it one that did not sign it. */
	struct pem_text other = pem_make("DNS:c.example", false, 30000);
	hg_buf_cstr(&self, other.chain);
	pem.chain = hg_buf_view(&self);
	assert_int_equal(tls_chain_check(&pem, names, 1, 1500000, why), HG_E_INVALID);
	acme_renewal_id(hg_str(other.chain), id); /* it names no authority */
	assert_string_equal(id, "");
	hg_buf_free(&key);
	hg_buf_free(&text);
	hg_buf_free(&self);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(state_reads_back),
	        cmocka_unit_test(a_damaged_file_is_put_aside),
	        cmocka_unit_test(what_is_no_state_is_refused),
	        cmocka_unit_test(requests_are_signed),
	        cmocka_unit_test(the_thumbprint_is_of_the_right_bytes),
	        cmocka_unit_test(requests_and_chains_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
