/*
 * The verifier against a table of attacks, against itself changed at every place, and against
 * tokens that other implementations made (vectors.json, made by make_vectors.py and
 * make_vectors.mjs).
 */
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "../test.h"

#include "auth/jwks.h"
#include "auth/jwt_priv.h"
#include "wire/base64.h"

#define NOW 1800000000

static const char secret[] = "0123456789abcdef0123456789abcdef";

/* What an attacker knows of: everything but private keys and the secret. */
struct world {
	EVP_PKEY *rsa, *ec, *ed, *rsa_other, *ec_other;
	char rsa_pem[2048], ec_pem[1024], ed_pem[1024];
	unsigned char rsa_der[1024];
	int rsa_der_n;
	struct jwt_keys *keys; /* rsa "r1", ec "e1", ed "d1", secret "s1" */
};

static struct world w;

static void pem_of(EVP_PKEY *pkey, char *to, size_t cap)
{
	char *text;
	BIO *b = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_PUBKEY(b, pkey), 1);
	long n = BIO_get_mem_data(b, &text);
	assert_true((size_t)n < cap);
	memcpy(to, text, (size_t)n);
	to[n] = 0;
	BIO_free(b);
}

static int world_make(void **state)
{
	const char *why;
	unsigned char *der = w.rsa_der;
	(void)state;
	w.rsa = EVP_RSA_gen(2048);
	w.rsa_other = EVP_RSA_gen(2048);
	w.ec = EVP_EC_gen("P-256");
	w.ec_other = EVP_EC_gen("P-256");
	w.ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (!w.rsa || !w.rsa_other || !w.ec || !w.ec_other || !w.ed) return -1;
	pem_of(w.rsa, w.rsa_pem, sizeof w.rsa_pem);
	pem_of(w.ec, w.ec_pem, sizeof w.ec_pem);
	pem_of(w.ed, w.ed_pem, sizeof w.ed_pem);
	w.rsa_der_n = i2d_PUBKEY(w.rsa, &der);
	assert_int_equal(jwt_keys_new(&w.keys), HG_OK);
	assert_int_equal(jwt_keys_pem(w.keys, HG_STR("r1"), hg_str(w.rsa_pem), &why), HG_OK);
	assert_int_equal(jwt_keys_pem(w.keys, HG_STR("e1"), hg_str(w.ec_pem), &why), HG_OK);
	assert_int_equal(jwt_keys_pem(w.keys, HG_STR("d1"), hg_str(w.ed_pem), &why), HG_OK);
	assert_int_equal(jwt_keys_secret(w.keys, HG_STR("s1"), hg_str(secret), &why), HG_OK);
	return 0;
}

static int world_end(void **state)
{
	(void)state;
	jwt_keys_free(w.keys);
	EVP_PKEY_free(w.rsa);
	EVP_PKEY_free(w.rsa_other);
	EVP_PKEY_free(w.ec);
	EVP_PKEY_free(w.ec_other);
	EVP_PKEY_free(w.ed);
	return 0;
}

/* ---- making tokens ---- */

enum signer {
	BY_RSA,
	BY_RSA_OTHER,
	BY_RSA_512, /* a good signature of RS512 */
	BY_RSA_PSS,
	BY_EC,
	BY_EC_DER, /* as OpenSSL writes it, not as JOSE wants it */
	BY_EC_OTHER,
	BY_ED,
	BY_SECRET,
	BY_EMPTY_SECRET,
	BY_RSA_PEM,      /* HMAC with the public key as the secret … */
	BY_RSA_PEM_BARE, /* … without the last line feed */
	BY_RSA_BODY,     /* … the base64 between the lines only */
	BY_RSA_DER,      /* … in DER */
	BY_EC_PEM,
	BY_ED_PEM,
	BY_NOBODY, /* no signature */
	BY_ZEROS,  /* 64 bytes of zero */
	BY_ZEROS_256,
	BY_R_ZERO, /* half of a good one */
	BY_S_ZERO,
	BY_ORDER, /* r and s are the order of the curve */
};

static size_t digest_sign(EVP_PKEY *pkey, const EVP_MD *md, bool pss, struct hg_str bytes,
        unsigned char *to, size_t cap)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pctx;
	size_t n = cap;
	assert_int_equal(EVP_DigestSignInit(ctx, &pctx, md, NULL, pkey), 1);
	if (pss) assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 1);
	assert_int_equal(EVP_DigestSign(ctx, to, &n, (const unsigned char *)bytes.p, bytes.n), 1);
	EVP_MD_CTX_free(ctx);
	return n;
}

static size_t ec_sign(EVP_PKEY *pkey, struct hg_str bytes, unsigned char to[64])
{
	unsigned char der[128];
	const unsigned char *at = der;
	size_t n = digest_sign(pkey, EVP_sha256(), false, bytes, der, sizeof der);
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)n);
	BN_bn2binpad(ECDSA_SIG_get0_r(sig), to, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(sig), to + 32, 32);
	ECDSA_SIG_free(sig);
	return 64;
}

static size_t mac(const void *key, size_t key_n, struct hg_str bytes, unsigned char *to)
{
	unsigned n = 0;
	HMAC(EVP_sha256(), key, (int)key_n, (const unsigned char *)bytes.p, bytes.n, to, &n);
	return n;
}

static size_t pem_body(const char *pem, char *to)
{
	size_t n = 0;
	const char *at = strchr(pem, '\n') + 1;
	for (; *at != '-'; at++)
		if (*at != '\n') to[n++] = *at;
	return n;
}

static size_t sign(enum signer by, struct hg_str bytes, unsigned char *to, size_t cap)
{
	static const unsigned char order[32] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff,
	        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
	        0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
	char body[2048];
	memset(to, 0, 256);
	switch (by) {
	case BY_RSA: return digest_sign(w.rsa, EVP_sha256(), false, bytes, to, cap);
	case BY_RSA_OTHER: return digest_sign(w.rsa_other, EVP_sha256(), false, bytes, to, cap);
	case BY_RSA_512: return digest_sign(w.rsa, EVP_sha512(), false, bytes, to, cap);
	case BY_RSA_PSS: return digest_sign(w.rsa, EVP_sha256(), true, bytes, to, cap);
	case BY_EC: return ec_sign(w.ec, bytes, to);
	case BY_EC_DER: return digest_sign(w.ec, EVP_sha256(), false, bytes, to, cap);
	case BY_EC_OTHER: return ec_sign(w.ec_other, bytes, to);
	case BY_ED: return digest_sign(w.ed, NULL, false, bytes, to, cap);
	case BY_SECRET: return mac(secret, sizeof secret - 1, bytes, to);
	case BY_EMPTY_SECRET: return mac("", 0, bytes, to);
	case BY_RSA_PEM: return mac(w.rsa_pem, strlen(w.rsa_pem), bytes, to);
	case BY_RSA_PEM_BARE: return mac(w.rsa_pem, strlen(w.rsa_pem) - 1, bytes, to);
	case BY_RSA_BODY: return mac(body, pem_body(w.rsa_pem, body), bytes, to);
	case BY_RSA_DER: return mac(w.rsa_der, (size_t)w.rsa_der_n, bytes, to);
	case BY_EC_PEM: return mac(w.ec_pem, strlen(w.ec_pem), bytes, to);
	case BY_ED_PEM: return mac(w.ed_pem, strlen(w.ed_pem), bytes, to);
	case BY_NOBODY: return 0;
	case BY_ZEROS: return 64;
	case BY_ZEROS_256: return 256;
	case BY_R_ZERO:
		ec_sign(w.ec, bytes, to);
		memset(to, 0, 32);
		return 64;
	case BY_S_ZERO:
		ec_sign(w.ec, bytes, to);
		memset(to + 32, 0, 32);
		return 64;
	case BY_ORDER:
		memcpy(to, order, 32);
		memcpy(to + 32, order, 32);
		return 64;
	}
	return 0;
}

/* The caller's. */
static char *token_make(const char *head, const char *claims, enum signer by)
{
	struct hg_buf b;
	unsigned char sig[512];
	hg_buf_init(&b, 1u << 20);
	base64url_encode(&b, hg_str(head));
	hg_buf_byte(&b, '.');
	base64url_encode(&b, hg_str(claims));
	size_t n = sign(by, hg_buf_view(&b), sig, sizeof sig);
	hg_buf_byte(&b, '.');
	base64url_encode(&b, (struct hg_str){(char *)sig, n});
	return hg_buf_take(&b);
}

static const struct hg_str audience[] = {{"shop", 4}, {"other", 5}};

static struct jwt_policy policy(void)
{
	return (struct jwt_policy){.issuer = HG_STR("https://id.example"),
	        .audience = audience,
	        .audience_count = 2,
	        .skew_s = JWT_SKEW_S};
}

static enum jwt_verdict look(
        const struct jwt_keys *keys, const struct jwt_policy *p, const char *token)
{
	struct jwt_claims c;
	enum jwt_verdict v = jwt_verify(keys, p, hg_str(token), NOW, &c);
	if (v == JWT_GOOD) jwt_claims_fini(&c);
	return v;
}

/* ---- the table ---- */

#define RS   "{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"JWT\"}"
#define ES   "{\"alg\":\"ES256\",\"kid\":\"e1\"}"
#define ED   "{\"alg\":\"EdDSA\",\"kid\":\"d1\"}"
#define HS   "{\"alg\":\"HS256\",\"kid\":\"s1\"}"
#define WHO  "\"iss\":\"https://id.example\",\"aud\":\"shop\",\"sub\":\"ann\""
#define GOOD "{" WHO ",\"iat\":1799999990,\"nbf\":1799999990,\"exp\":1800000600}"

struct row {
	const char *name, *head, *claims;
	enum signer by;
	enum jwt_verdict want;
};

static void rows_check(const struct row *rows, size_t n)
{
	struct jwt_policy p = policy();
	for (size_t i = 0; i < n; i++) {
		char *token = token_make(rows[i].head, rows[i].claims, rows[i].by);
		enum jwt_verdict v = look(w.keys, &p, token);
		if (v != rows[i].want)
			fail_msg("%s: %s, wanted %s", rows[i].name, jwt_verdict_word(v),
			        jwt_verdict_word(rows[i].want));
		free(token);
	}
}

static void good_tokens_are_taken(void **state)
{
	static const struct row rows[] = {
	        {"RS256", RS, GOOD, BY_RSA, JWT_GOOD},
	        {"ES256", ES, GOOD, BY_EC, JWT_GOOD},
	        {"EdDSA", ED, GOOD, BY_ED, JWT_GOOD},
	        {"HS256", HS, GOOD, BY_SECRET, JWT_GOOD},
	        {"no kid", "{\"alg\":\"RS256\"}", GOOD, BY_RSA, JWT_GOOD},
	        {"access token", "{\"alg\":\"RS256\",\"typ\":\"at+jwt\"}", GOOD, BY_RSA, JWT_GOOD},
	        {"with its tree", "{\"alg\":\"ES256\",\"typ\":\"application/at+JWT\"}", GOOD, BY_EC,
	                JWT_GOOD},
	        {"thumbprints are only names", "{\"alg\":\"ES256\",\"x5t\":\"AAAA\"}", GOOD, BY_EC,
	                JWT_GOOD},
	        {"several audiences", ES,
	                "{\"iss\":\"https://id.example\",\"aud\":[\"a\",\"other\"],\"exp\":"
	                "1800000600}",
	                BY_EC, JWT_GOOD},
	        {"a fraction", ES, "{" WHO ",\"exp\":1800000600.75}", BY_EC, JWT_GOOD},
	        {"just within the skew", ES, "{" WHO ",\"exp\":1799999941}", BY_EC, JWT_GOOD},
	        {"begins within the skew", ES, "{" WHO ",\"exp\":1800000600,\"nbf\":1800000060}",
	                BY_EC, JWT_GOOD},
	};
	(void)state;
	rows_check(rows, HG_COUNT(rows));
}

static void algorithms_are_not_confused(void **state)
{
	static const struct row rows[] = {
	        {"HS256 by the public PEM", "{\"alg\":\"HS256\",\"kid\":\"r1\"}", GOOD, BY_RSA_PEM,
	                JWT_ALGORITHM},
	        {"… without its last line feed", "{\"alg\":\"HS256\",\"kid\":\"r1\"}", GOOD,
	                BY_RSA_PEM_BARE, JWT_ALGORITHM},
	        {"… its base64", "{\"alg\":\"HS256\",\"kid\":\"r1\"}", GOOD, BY_RSA_BODY,
	                JWT_ALGORITHM},
	        {"… its DER", "{\"alg\":\"HS256\",\"kid\":\"r1\"}", GOOD, BY_RSA_DER,
	                JWT_ALGORITHM},
	        {"… without a kid", "{\"alg\":\"HS256\"}", GOOD, BY_RSA_PEM, JWT_SIGNATURE},
	        {"… with the kid of the secret", HS, GOOD, BY_RSA_PEM, JWT_SIGNATURE},
	        {"HS256 by the EC key", "{\"alg\":\"HS256\",\"kid\":\"e1\"}", GOOD, BY_EC_PEM,
	                JWT_ALGORITHM},
	        {"HS256 by the Ed25519 key", "{\"alg\":\"HS256\",\"kid\":\"d1\"}", GOOD, BY_ED_PEM,
	                JWT_ALGORITHM},
	        {"HS256 by nothing", HS, GOOD, BY_EMPTY_SECRET, JWT_SIGNATURE},
	        {"RS256 names the EC key", "{\"alg\":\"RS256\",\"kid\":\"e1\"}", GOOD, BY_RSA,
	                JWT_ALGORITHM},
	        {"ES256 names the RSA key", "{\"alg\":\"ES256\",\"kid\":\"r1\"}", GOOD, BY_EC,
	                JWT_ALGORITHM},
	        {"EdDSA names the EC key", "{\"alg\":\"EdDSA\",\"kid\":\"e1\"}", GOOD, BY_ED,
	                JWT_ALGORITHM},
	        {"RS512, well signed", "{\"alg\":\"RS512\",\"kid\":\"r1\"}", GOOD, BY_RSA_512,
	                JWT_ALGORITHM},
	        {"RS256 by SHA-512", RS, GOOD, BY_RSA_512, JWT_SIGNATURE},
	        {"PS256, well signed", "{\"alg\":\"PS256\",\"kid\":\"r1\"}", GOOD, BY_RSA_PSS,
	                JWT_ALGORITHM},
	        {"RS256 by PSS", RS, GOOD, BY_RSA_PSS, JWT_SIGNATURE},
	        {"rs256", "{\"alg\":\"rs256\",\"kid\":\"r1\"}", GOOD, BY_RSA, JWT_ALGORITHM},
	        {"RS256 and a space", "{\"alg\":\"RS256 \"}", GOOD, BY_RSA, JWT_ALGORITHM},
	        {"a list", "{\"alg\":[\"RS256\"]}", GOOD, BY_RSA, JWT_MALFORMED},
	        {"no alg", "{\"kid\":\"r1\"}", GOOD, BY_RSA, JWT_MALFORMED},
	        {"null", "{\"alg\":null}", GOOD, BY_RSA, JWT_MALFORMED},
	        {"a number", "{\"alg\":256}", GOOD, BY_RSA, JWT_MALFORMED},
	};
	(void)state;
	rows_check(rows, HG_COUNT(rows));
}

static void none_is_no_algorithm(void **state)
{
	static const char *const words[] = {"none", "None", "NONE", "nOnE", "noNe", "none ",
	        " none", "", "null", "NonE\\u0000", "HS0", "n\\u006fne"};
	static const enum signer by[] = {BY_NOBODY, BY_SECRET, BY_RSA, BY_ZEROS, BY_EMPTY_SECRET};
	struct jwt_policy p = policy();
	char head[64];
	(void)state;
	for (size_t i = 0; i < HG_COUNT(words); i++) {
		for (size_t k = 0; k < HG_COUNT(by); k++) {
			snprintf(head, sizeof head, "{\"alg\":\"%s\"}", words[i]);
			char *token = token_make(head, GOOD, by[k]);
			assert_int_not_equal(look(w.keys, &p, token), JWT_GOOD);
			free(token);
		}
	}
}

static void signatures_are_not_forged(void **state)
{
	static const struct row rows[] = {
	        {"zeros", ES, GOOD, BY_ZEROS, JWT_SIGNATURE},
	        {"r is zero", ES, GOOD, BY_R_ZERO, JWT_SIGNATURE},
	        {"s is zero", ES, GOOD, BY_S_ZERO, JWT_SIGNATURE},
	        {"r and s are the order", ES, GOOD, BY_ORDER, JWT_SIGNATURE},
	        {"DER", ES, GOOD, BY_EC_DER, JWT_SIGNATURE},
	        {"another EC key", ES, GOOD, BY_EC_OTHER, JWT_SIGNATURE},
	        {"another RSA key", RS, GOOD, BY_RSA_OTHER, JWT_SIGNATURE},
	        {"RSA of zeros", RS, GOOD, BY_ZEROS_256, JWT_SIGNATURE},
	        {"RSA, 64 bytes", RS, GOOD, BY_ZEROS, JWT_SIGNATURE},
	        {"Ed25519 of zeros", ED, GOOD, BY_ZEROS, JWT_SIGNATURE},
	        {"HS256, 64 bytes", HS, GOOD, BY_ZEROS, JWT_SIGNATURE},
	        {"nothing", RS, GOOD, BY_NOBODY, JWT_MALFORMED},
	        {"nothing, ES256", ES, GOOD, BY_NOBODY, JWT_MALFORMED},
	        {"nothing, HS256", HS, GOOD, BY_NOBODY, JWT_MALFORMED},
	};
	(void)state;
	rows_check(rows, HG_COUNT(rows));
}

#define KID(kid) "{\"alg\":\"RS256\",\"kid\":" kid "}"

static void names_of_keys_are_only_names(void **state)
{
	static const struct row rows[] = {
	        {"a path", KID("\"../../../../dev/null\""), GOOD, BY_EMPTY_SECRET, JWT_UNKNOWN},
	        {"a path and HS256", "{\"alg\":\"HS256\",\"kid\":\"/dev/null\"}", GOOD,
	                BY_EMPTY_SECRET, JWT_UNKNOWN},
	        {"SQL", KID("\"x' UNION SELECT 'key'--\""), GOOD, BY_RSA, JWT_UNKNOWN},
	        {"a command", KID("\"r1; id\""), GOOD, BY_RSA, JWT_UNKNOWN},
	        {"an address", KID("\"http://169.254.169.254/key\""), GOOD, BY_RSA, JWT_UNKNOWN},
	        {"another case", KID("\"R1\""), GOOD, BY_RSA, JWT_UNKNOWN},
	        {"a part", KID("\"r\""), GOOD, BY_RSA, JWT_UNKNOWN},
	        {"more than it", KID("\"r1 \""), GOOD, BY_RSA, JWT_UNKNOWN},
	        {"a NUL behind it", KID("\"r1\\u0000\""), GOOD, BY_RSA, JWT_MALFORMED},
	        {"empty", KID("\"\""), GOOD, BY_RSA, JWT_MALFORMED},
	        {"a number", KID("1"), GOOD, BY_RSA, JWT_MALFORMED},
	        {"a list", KID("[\"r1\"]"), GOOD, BY_RSA, JWT_MALFORMED},
	        {"null", KID("null"), GOOD, BY_RSA, JWT_MALFORMED},
	};
	(void)state;
	rows_check(rows, HG_COUNT(rows));
}

static void no_token_brings_its_key(void **state)
{
	static const char *const brings[] = {"\"jku\":\"https://evil.example/jwks\"",
	        "\"x5u\":\"https://evil.example/c\"", "\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}",
	        "\"x5c\":[\"MIIB\"]", "\"crit\":[\"exp\"]", "\"crit\":[]",
	        "\"b64\":false,\"crit\":[\"b64\"]", "\"zip\":\"DEF\"", "\"enc\":\"A128GCM\"",
	        "\"cty\":\"JWT\""};
	struct jwt_policy p = policy();
	char head[200];
	(void)state;
	for (size_t i = 0; i < HG_COUNT(brings); i++) {
		snprintf(head, sizeof head, "{\"alg\":\"ES256\",\"kid\":\"e1\",%s}", brings[i]);
		char *token = token_make(head, GOOD, BY_EC);
		assert_int_equal(look(w.keys, &p, token), JWT_MALFORMED);
		free(token);
	}
}

static void claims_are_looked_at(void **state)
{
	static const struct row rows[] = {
	        {"expired", ES, "{" WHO ",\"exp\":1799999940}", BY_EC, JWT_EXPIRED},
	        {"at its first second", ES, "{" WHO ",\"exp\":0}", BY_EC, JWT_EXPIRED},
	        {"without an end", ES, "{" WHO "}", BY_EC, JWT_MALFORMED},
	        {"its end is a text", ES, "{" WHO ",\"exp\":\"1800000600\"}", BY_EC, JWT_MALFORMED},
	        {"null", ES, "{" WHO ",\"exp\":null}", BY_EC, JWT_MALFORMED},
	        {"true", ES, "{" WHO ",\"exp\":true}", BY_EC, JWT_MALFORMED},
	        {"a list", ES, "{" WHO ",\"exp\":[1800000600]}", BY_EC, JWT_MALFORMED},
	        {"negative", ES, "{" WHO ",\"exp\":-1}", BY_EC, JWT_MALFORMED},
	        {"beyond all calendars", ES, "{" WHO ",\"exp\":1e300}", BY_EC, JWT_MALFORMED},
	        {"beyond all numbers", ES, "{" WHO ",\"exp\":1e999}", BY_EC, JWT_MALFORMED},
	        {"not yet", ES, "{" WHO ",\"exp\":1800000600,\"nbf\":1800000061}", BY_EC,
	                JWT_NOT_YET},
	        {"nbf is a text", ES, "{" WHO ",\"exp\":1800000600,\"nbf\":\"0\"}", BY_EC,
	                JWT_MALFORMED},
	        {"made tomorrow", ES, "{" WHO ",\"exp\":1800200000,\"iat\":1800086400}", BY_EC,
	                JWT_NOT_YET},
	        {"ended before it began", ES, "{" WHO ",\"exp\":1799999970,\"iat\":1799999990}",
	                BY_EC, JWT_MALFORMED},
	        {"another issuer", ES,
	                "{\"iss\":\"https://id.example.evil\",\"aud\":\"shop\",\"exp\":1800000600}",
	                BY_EC, JWT_ISSUER},
	        {"a slash more", ES,
	                "{\"iss\":\"https://id.example/\",\"aud\":\"shop\",\"exp\":1800000600}",
	                BY_EC, JWT_ISSUER},
	        {"a list of issuers", ES,
	                "{\"iss\":[\"https://id.example\"],\"aud\":\"shop\",\"exp\":1800000600}",
	                BY_EC, JWT_MALFORMED},
	        {"no issuer", ES, "{\"aud\":\"shop\",\"exp\":1800000600}", BY_EC, JWT_ISSUER},
	        {"another audience", ES,
	                "{\"iss\":\"https://id.example\",\"aud\":\"shopping\",\"exp\":1800000600}",
	                BY_EC, JWT_AUDIENCE},
	        {"no audience", ES, "{\"iss\":\"https://id.example\",\"exp\":1800000600}", BY_EC,
	                JWT_AUDIENCE},
	        {"no audience among none", ES,
	                "{\"iss\":\"https://id.example\",\"aud\":[],\"exp\":1800000600}", BY_EC,
	                JWT_AUDIENCE},
	        {"an audience by its name", ES,
	                "{\"iss\":\"https://id.example\",\"aud\":{\"shop\":1},\"exp\":1800000600}",
	                BY_EC, JWT_AUDIENCE},
	        {"a list in the list", ES,
	                "{\"iss\":\"https://id.example\",\"aud\":[[\"shop\"]],\"exp\":1800000600}",
	                BY_EC, JWT_AUDIENCE},
	        {"the subject is a number", ES,
	                "{\"iss\":\"https://id.example\",\"aud\":\"shop\",\"sub\":1,\"exp\":"
	                "1800000600}",
	                BY_EC, JWT_MALFORMED},
	        {"a logout token", "{\"alg\":\"ES256\",\"typ\":\"logout+jwt\"}", GOOD, BY_EC,
	                JWT_TYPE},
	        {"a proof", "{\"alg\":\"ES256\",\"typ\":\"dpop+jwt\"}", GOOD, BY_EC, JWT_TYPE},
	        {"typ is a number", "{\"alg\":\"ES256\",\"typ\":1}", GOOD, BY_EC, JWT_TYPE},
	};
	(void)state;
	rows_check(rows, HG_COUNT(rows));
}

static void json_is_strict(void **state)
{
	static const struct row rows[] = {
	        {"alg twice", "{\"alg\":\"none\",\"alg\":\"ES256\"}", GOOD, BY_EC, JWT_MALFORMED},
	        {"kid twice", "{\"alg\":\"ES256\",\"kid\":\"x\",\"kid\":\"e1\"}", GOOD, BY_EC,
	                JWT_MALFORMED},
	        {"twice, once escaped", "{\"alg\":\"none\",\"\\u0061lg\":\"ES256\"}", GOOD, BY_EC,
	                JWT_MALFORMED},
	        {"sub twice", ES, "{" WHO ",\"sub\":\"root\",\"exp\":1800000600}", BY_EC,
	                JWT_MALFORMED},
	        {"twice further in", ES, "{" WHO ",\"a\":{\"b\":1,\"b\":2},\"exp\":1800000600}",
	                BY_EC, JWT_MALFORMED},
	        {"something behind it", ES, GOOD "x", BY_EC, JWT_MALFORMED},
	        {"two objects", ES, GOOD GOOD, BY_EC, JWT_MALFORMED},
	        {"a list", ES, "[]", BY_EC, JWT_MALFORMED},
	        {"a text", ES, "\"x\"", BY_EC, JWT_MALFORMED},
	        {"a comment", ES, "{/**/" WHO ",\"exp\":1800000600}", BY_EC, JWT_MALFORMED},
	        {"a comma at the end", ES, "{" WHO ",\"exp\":1800000600,}", BY_EC, JWT_MALFORMED},
	        {"single quotes", ES, "{'exp':1800000600}", BY_EC, JWT_MALFORMED},
	        {"NaN", ES, "{" WHO ",\"exp\":NaN}", BY_EC, JWT_MALFORMED},
	        {"no UTF-8", ES, "{" WHO ",\"exp\":1800000600,\"n\":\"\xff\"}", BY_EC,
	                JWT_MALFORMED},
	        {"half a surrogate", ES, "{" WHO ",\"exp\":1800000600,\"n\":\"\\ud800\"}", BY_EC,
	                JWT_MALFORMED},
	        {"a head that is a list", "[\"ES256\"]", GOOD, BY_EC, JWT_MALFORMED},
	        {"an empty head", "{}", GOOD, BY_EC, JWT_MALFORMED},
	        {"a mark of byte order", "\xef\xbb\xbf{\"alg\":\"ES256\"}", GOOD, BY_EC,
	                JWT_MALFORMED},
	};
	(void)state;
	rows_check(rows, HG_COUNT(rows));
}

static void what_is_no_token_is_refused(void **state)
{
	static const char *const bad[] = {"", ".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d",
	        "a..c", ".b.c", "a.b.", "e30.e30.e30.e30.e30", " ", "Bearer x.y.z", "e30.e30.e30",
	        "e30.e30.", "{\"alg\":\"none\"}.{}."};
	struct jwt_policy p = policy();
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		assert_int_equal(look(w.keys, &p, bad[i]), JWT_MALFORMED);
	/* A good one with something around or inside of it. */
	char *token = token_make(ES, GOOD, BY_EC), text[2048];
	static const char *const around[] = {
	        " %s", "%s ", "%s.", "%s=", "%s==", "%s\n", ".%s", "%s.e30", "\"%s\"", "%s,%s"};
	for (size_t i = 0; i < HG_COUNT(around); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof text, around[i], token, token);
#pragma GCC diagnostic pop
		assert_int_not_equal(look(w.keys, &p, text), JWT_GOOD);
	}
	free(token);
}

static void huge_and_deep_tokens_are_refused(void **state)
{
	struct jwt_policy p = policy();
	struct hg_buf b;
	(void)state;
	hg_buf_init(&b, 1u << 20);
	hg_buf_cstr(&b, "{" WHO ",\"exp\":1800000600,\"x\":\"");
	for (int i = 0; i < 9000; i++)
		hg_buf_byte(&b, 'x');
	hg_buf_cstr(&b, "\"}");
	char *token = token_make(ES, hg_buf_text(&b), BY_EC);
	assert_int_equal(look(w.keys, &p, token), JWT_TOO_LARGE);
	p.size_max = 20000;
	assert_int_equal(look(w.keys, &p, token), JWT_GOOD);
	free(token);
	hg_buf_reset(&b);
	hg_buf_cstr(&b, "{\"exp\":");
	for (int i = 0; i < 5000; i++)
		hg_buf_byte(&b, '[');
	token = token_make(ES, hg_buf_text(&b), BY_EC);
	assert_int_equal(look(w.keys, &p, token), JWT_MALFORMED);
	free(token);
	hg_buf_free(&b);
}

/* Whichever character of a good token is replaced by whichever other one, it is good no more: also
 * at the ends of its parts, where several characters could stand for the same bytes. */
static void no_changed_token_is_good(void **state)
{
	static const char alphabet[] =
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ";
	static const struct {
		const char *head;
		enum signer by;
	} row[] = {{RS, BY_RSA}, {ES, BY_EC}, {ED, BY_ED}, {HS, BY_SECRET}};
	struct jwt_policy p = policy();
	(void)state;
	for (size_t r = 0; r < HG_COUNT(row); r++) {
		char *token = token_make(row[r].head, GOOD, row[r].by);
		size_t n = strlen(token);
		assert_int_equal(look(w.keys, &p, token), JWT_GOOD);
		for (size_t i = 0; i < n; i++) {
			char was = token[i];
			bool end = i + 1 == n || token[i + 1] == '.';
			size_t step = end ? 1 : 23;
			for (size_t k = i % step; k < sizeof alphabet - 1; k += step) {
				if (alphabet[k] == was) continue;
				token[i] = alphabet[k];
				if (look(w.keys, &p, token) == JWT_GOOD)
					fail_msg("%s: \"%c\" at %zu", row[r].head, alphabet[k], i);
			}
			token[i] = was;
		}
		for (size_t i = 0; i < n; i++) {
			struct jwt_claims c;
			assert_int_not_equal(
			        jwt_verify(w.keys, &p, (struct hg_str){token, i}, NOW, &c),
			        JWT_GOOD);
		}
		free(token);
	}
}

static void the_policy_decides(void **state)
{
	struct jwt_policy p = policy();
	char *es = token_make(ES, GOOD, BY_EC);
	char *access = token_make("{\"alg\":\"ES256\",\"typ\":\"at+jwt\"}", GOOD, BY_EC);
	(void)state;
	p.algorithms = JWT_BIT(JWT_RS256) | JWT_BIT(JWT_EDDSA);
	assert_int_equal(look(w.keys, &p, es), JWT_ALGORITHM);
	p.algorithms |= JWT_BIT(JWT_ES256);
	assert_int_equal(look(w.keys, &p, es), JWT_GOOD);
	p.access_only = true;
	assert_int_equal(look(w.keys, &p, es), JWT_TYPE);
	assert_int_equal(look(w.keys, &p, access), JWT_GOOD);
	p.size_max = 10;
	assert_int_equal(look(w.keys, &p, es), JWT_TOO_LARGE);
	p = (struct jwt_policy){0};
	assert_int_equal(look(w.keys, &p, es), JWT_GOOD);
	free(es);
	free(access);
}

/* ---- rotation ---- */

/* Two keys overlap: tokens of both are good, and of a key that is gone no more. */
static void keys_rotate(void **state)
{
	struct jwt_policy p = policy();
	struct jwt_keys *both, *later;
	const char *why;
	char pem[1024];
	(void)state;
	pem_of(w.ec_other, pem, sizeof pem);
	assert_int_equal(jwt_keys_new(&both), HG_OK);
	assert_int_equal(jwt_keys_pem(both, HG_STR("old"), hg_str(w.ec_pem), &why), HG_OK);
	assert_int_equal(jwt_keys_pem(both, HG_STR("new"), hg_str(pem), &why), HG_OK);
	assert_int_equal(jwt_keys_new(&later), HG_OK);
	assert_int_equal(jwt_keys_pem(later, HG_STR("new"), hg_str(pem), &why), HG_OK);
	char *old = token_make("{\"alg\":\"ES256\",\"kid\":\"old\"}", GOOD, BY_EC);
	char *fresh = token_make("{\"alg\":\"ES256\",\"kid\":\"new\"}", GOOD, BY_EC_OTHER);
	char *bare = token_make("{\"alg\":\"ES256\"}", GOOD, BY_EC_OTHER);
	char *crossed = token_make("{\"alg\":\"ES256\",\"kid\":\"old\"}", GOOD, BY_EC_OTHER);
	assert_int_equal(look(both, &p, old), JWT_GOOD);
	assert_int_equal(look(both, &p, fresh), JWT_GOOD);
	assert_int_equal(look(both, &p, bare), JWT_GOOD);
	assert_int_equal(look(both, &p, crossed), JWT_SIGNATURE);
	assert_int_equal(look(later, &p, old), JWT_UNKNOWN);
	assert_int_equal(look(later, &p, fresh), JWT_GOOD);
	free(old);
	free(fresh);
	free(bare);
	free(crossed);
	jwt_keys_free(both);
	jwt_keys_free(later);
}

/* A set of sixty keys costs a token without a name eight checks, not sixty. */
static void tries_are_bounded(void **state)
{
	struct jwt_policy p = policy();
	struct jwt_keys *keys;
	const char *why;
	char pem[1024];
	(void)state;
	assert_int_equal(jwt_keys_new(&keys), HG_OK);
	pem_of(w.ec_other, pem, sizeof pem);
	for (uint32_t i = 0; i < JWT_TRIES; i++)
		assert_int_equal(jwt_keys_pem(keys, HG_STR("x"), hg_str(pem), &why), HG_OK);
	assert_int_equal(jwt_keys_pem(keys, HG_STR("y"), hg_str(w.ec_pem), &why), HG_OK);
	char *bare = token_make("{\"alg\":\"ES256\"}", GOOD, BY_EC);
	char *named = token_make("{\"alg\":\"ES256\",\"kid\":\"y\"}", GOOD, BY_EC);
	assert_int_equal(look(keys, &p, bare), JWT_SIGNATURE);
	assert_int_equal(look(keys, &p, named), JWT_GOOD);
	free(bare);
	free(named);
	jwt_keys_free(keys);
}

/* ---- others' tokens ---- */

/* RFC 7515 appendix A.1, whose claims ended in 2011. */
static void the_example_of_the_rfc_is_good(void **state)
{
	static const char token[] =
	        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkz"
	        "ODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU"
	        "1p1r_wW1gFWFOEjXk";
	static const char key[] =
	        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-"
	        "1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}]}";
	struct jwt_policy p = {.issuer = HG_STR("joe")};
	struct jwks_report report;
	struct jwt_keys *keys;
	struct jwt_claims c;
	(void)state;
	assert_int_equal(jwt_keys_new(&keys), HG_OK);
	assert_int_equal(jwks_read(hg_str(key), true, keys, &report), HG_OK);
	assert_int_equal(jwt_verify(keys, &p, hg_str(token), 1300819379, &c), JWT_GOOD);
	assert_int_equal(c.expires_s, 1300819380);
	assert_true(json_is_true(jwt_claim(&c, HG_STR("http://example.com/is_root"))));
	jwt_claims_fini(&c);
	assert_int_equal(jwt_verify(keys, &p, hg_str(token), 1300819380, &c), JWT_EXPIRED);
	jwt_keys_free(keys);
}

static void others_tokens_are_judged_alike(void **state)
{
	json_error_t err;
	size_t i, good = 0, bad = 0;
	json_t *row, *all = json_load_file(TEST_DATA "/vectors.json", 0, &err);
	(void)state;
	if (!all) fail_msg("vectors.json: %s", err.text);
	struct jwt_policy p = {.issuer = HG_STR("https://id.example"),
	        .audience = audience,
	        .audience_count = 1,
	        .skew_s = JWT_SKEW_S};
	json_array_foreach(all, i, row)
	{
		struct jwt_keys *keys;
		struct jwks_report report;
		struct jwt_claims c;
		char *set = json_dumps(json_object_get(row, "jwks"), JSON_COMPACT);
		const char *token = json_string_value(json_object_get(row, "token"));
		const char *name = json_string_value(json_object_get(row, "name"));
		bool want = json_is_true(json_object_get(row, "good"));
		assert_non_null(set);
		assert_int_equal(jwt_keys_new(&keys), HG_OK);
		if (jwks_read(hg_str(set), true, keys, &report) < 0) fail_msg("%s: keys", name);
		enum jwt_verdict v = jwt_verify(keys, &p, hg_str(token), NOW, &c);
		if ((v == JWT_GOOD) != want) fail_msg("%s: %s", name, jwt_verdict_word(v));
		if (v == JWT_GOOD) {
			assert_str(c.subject, "ann");
			jwt_claims_fini(&c);
		}
		*(want ? &good : &bad) += 1;
		jwt_keys_free(keys);
		free(set);
	}
	assert_true(good >= 16);
	assert_true(bad >= 8);
	json_decref(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(good_tokens_are_taken),
	        cmocka_unit_test(algorithms_are_not_confused),
	        cmocka_unit_test(none_is_no_algorithm),
	        cmocka_unit_test(signatures_are_not_forged),
	        cmocka_unit_test(names_of_keys_are_only_names),
	        cmocka_unit_test(no_token_brings_its_key),
	        cmocka_unit_test(claims_are_looked_at),
	        cmocka_unit_test(json_is_strict),
	        cmocka_unit_test(what_is_no_token_is_refused),
	        cmocka_unit_test(huge_and_deep_tokens_are_refused),
	        cmocka_unit_test(no_changed_token_is_good),
	        cmocka_unit_test(the_policy_decides),
	        cmocka_unit_test(keys_rotate),
	        cmocka_unit_test(tries_are_bounded),
	        cmocka_unit_test(the_example_of_the_rfc_is_good),
	        cmocka_unit_test(others_tokens_are_judged_alike),
	};
	return cmocka_run_group_tests(tests, world_make, world_end);
}
