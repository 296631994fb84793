/* Keys of tokens: which are taken, from PEM, from sets, and as secrets. */
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "../test.h"

#include "auth/jwks.h"

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

static void weak_keys_are_refused(void **state)
{
	struct jwt_keys *keys;
	char pem[2048];
	const char *why;
	struct hg_str none = {NULL, 0};
	EVP_PKEY *small = EVP_RSA_gen(1024), *p384 = EVP_EC_gen("P-384");
	EVP_PKEY *x = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	(void)state;
	assert_int_equal(jwt_keys_new(&keys), HG_OK);
	pem_of(small, pem, sizeof pem);
	assert_int_equal(jwt_keys_pem(keys, none, hg_str(pem), &why), HG_E_INVALID);
	assert_non_null(strstr(why, "2048"));
	pem_of(p384, pem, sizeof pem);
	assert_int_equal(jwt_keys_pem(keys, none, hg_str(pem), &why), HG_E_INVALID);
	assert_non_null(strstr(why, "P-256"));
	pem_of(x, pem, sizeof pem);
	assert_int_equal(jwt_keys_pem(keys, none, hg_str(pem), &why), HG_E_INVALID);
	assert_int_equal(jwt_keys_pem(keys, none, HG_STR("no PEM"), &why), HG_E_INVALID);
	assert_int_equal(jwt_keys_pem(keys, none, HG_STR(""), &why), HG_E_INVALID);
	assert_int_equal(
	        jwt_keys_secret(keys, none, HG_STR("0123456789abcdef0123456789abcde"), &why),
	        HG_E_INVALID);
	/* The confusion at its root: a public key as secret. */
	pem_of(x, pem, sizeof pem);
	assert_int_equal(jwt_keys_secret(keys, none, hg_str(pem), &why), HG_E_INVALID);
	assert_int_equal(jwt_keys_count(keys), 0);
	EVP_PKEY_free(small);
	EVP_PKEY_free(p384);
	EVP_PKEY_free(x);
	jwt_keys_free(keys);
}

static enum hg_rc jwk(const char *text, bool secrets)
{
	struct jwt_keys *keys;
	const char *why = "";
	json_t *o = json_loads(text, 0, NULL);
	assert_int_equal(jwt_keys_new(&keys), HG_OK);
	enum hg_rc rc = jwt_keys_jwk(keys, o, secrets, &why);
	if (rc == HG_E_INVALID) assert_true(strlen(why) > 0);
	assert_int_equal(jwt_keys_count(keys), rc == HG_OK);
	json_decref(o);
	jwt_keys_free(keys);
	return rc;
}

/* The key of RFC 8037 appendix A.2, and the EC key of RFC 7517 appendix A.1. */
#define ED_X "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define EC_X "\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\""
#define EC_Y "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\""

static void jwks_that_are_no_good_keys_are_refused(void **state)
{
	(void)state;
	assert_int_equal(jwk("{\"kty\":\"OKP\",\"crv\":\"Ed25519\"," ED_X "}", false), HG_OK);
	assert_int_equal(jwk("{\"kty\":\"EC\",\"crv\":\"P-256\"," EC_X "," EC_Y "}", false), HG_OK);
	assert_int_equal(jwk("{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"sig\",\"alg\":\"ES256\","
	                     "\"key_ops\":[\"verify\"]," EC_X "," EC_Y "}",
	                         false),
	        HG_OK);
	static const char *const bad[] = {
	        "{}",
	        "[]",
	        "\"x\"",
	        "{\"kty\":\"PQ\"}",
	        "{\"kty\":\"RSA\"}",
	        "{\"kty\":\"EC\",\"crv\":\"P-384\"," EC_X "," EC_Y "}",
	        "{\"kty\":\"EC\",\"crv\":\"P-256\"," EC_X "}",
	        /* not on the curve */
	        "{\"kty\":\"EC\",\"crv\":\"P-256\"," EC_X
	        ",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyA\"}",
	        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\"," EC_Y "}",
	        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"enc\"," EC_X "," EC_Y "}",
	        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"key_ops\":[\"sign\"]," EC_X "," EC_Y "}",
	        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"alg\":\"ES384\"," EC_X "," EC_Y "}",
	        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"alg\":\"HS256\"," EC_X "," EC_Y "}",
	        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"alg\":1," EC_X "," EC_Y "}",
	        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":1," EC_X "," EC_Y "}",
	        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"d\":\"AA\"," EC_X "," EC_Y "}",
	        "{\"kty\":\"OKP\",\"crv\":\"X25519\"," ED_X "}",
	        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}",
	        "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
	        "{\"kty\":\"RSA\",\"n\":\"!\",\"e\":\"AQAB\"}",
	        "{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}",
	};
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		if (jwk(bad[i], false) != HG_E_INVALID) fail_msg("%s", bad[i]);
	assert_int_equal(jwk(bad[HG_COUNT(bad) - 1], true), HG_OK);
	assert_int_equal(jwk("{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}", true), HG_E_INVALID);
}

/* A modulus of 2048 bits, all ones, with these exponents. */
static void exponents_that_sign_nothing_are_refused(void **state)
{
	static const struct {
		const char *e;
		enum hg_rc want;
	} row[] = {{"AQAB", HG_OK}, {"Aw", HG_OK}, {"AQ", HG_E_INVALID}, {"Ag", HG_E_INVALID},
	        {"AA", HG_E_INVALID}, {"AQAA", HG_E_INVALID},
	        {"AQAAAAAAAAAAAAAAAAE", HG_E_INVALID}};
	char n[343], text[600];
	(void)state;
	memset(n, '_', 342);
	n[341] = 'w';
	n[342] = 0;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		snprintf(text, sizeof text, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"}", n,
		        row[i].e);
		if (jwk(text, false) != row[i].want) fail_msg("e %s", row[i].e);
	}
}

static void sets_are_taken_for_what_can_be_used(void **state)
{
	static const struct {
		const char *text;
		enum hg_rc want;
		uint32_t taken, left_out;
	} row[] = {
	        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\"," ED_X
	         "},{\"kty\":\"RSA\",\"use\":\"enc\"},{\"kty\":\"new\"},7]}",
	                HG_OK, 1, 3},
	        {"{\"keys\":[]}", HG_E_INVALID, 0, 0},
	        {"{\"keys\":{}}", HG_E_INVALID, 0, 0},
	        {"{}", HG_E_INVALID, 0, 0},
	        {"[]", HG_E_INVALID, 0, 0},
	        {"", HG_E_INVALID, 0, 0},
	        {"<html>", HG_E_INVALID, 0, 0},
	        {"{\"keys\":[],\"keys\":[]}", HG_E_INVALID, 0, 0},
	        {"{\"keys\":[{\"kty\":\"new\"}]}", HG_E_INVALID, 0, 1},
	};
	struct jwks_report report;
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct jwt_keys *keys;
		assert_int_equal(jwt_keys_new(&keys), HG_OK);
		assert_int_equal(jwks_read(hg_str(row[i].text), false, keys, &report), row[i].want);
		assert_int_equal(report.taken, row[i].taken);
		assert_int_equal(report.left_out, row[i].left_out);
		if (row[i].want < 0) assert_true(strlen(report.why) > 0);
		jwt_keys_free(keys);
	}
}

static void sets_are_bounded(void **state)
{
	struct jwks_report report;
	struct jwt_keys *keys;
	struct hg_buf b;
	(void)state;
	hg_buf_init(&b, 1u << 20);
	hg_buf_cstr(&b, "{\"keys\":[");
	for (int i = 0; i < 65; i++)
		hg_buf_fmt(&b, "%s{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%d\"," ED_X "}",
		        i ? "," : "", i);
	hg_buf_cstr(&b, "]}");
	assert_int_equal(jwt_keys_new(&keys), HG_OK);
	assert_int_equal(jwks_read(hg_buf_view(&b), false, keys, &report), HG_E_TOO_LARGE);
	assert_int_equal(jwt_keys_count(keys), 64);
	jwt_keys_free(keys);
	hg_buf_reset(&b);
	for (int i = 0; i < 65537; i++)
		hg_buf_byte(&b, ' ');
	assert_int_equal(jwt_keys_new(&keys), HG_OK);
	assert_int_equal(jwks_read(hg_buf_view(&b), false, keys, &report), HG_E_TOO_LARGE);
	jwt_keys_free(keys);
	hg_buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(weak_keys_are_refused),
	        cmocka_unit_test(jwks_that_are_no_good_keys_are_refused),
	        cmocka_unit_test(exponents_that_sign_nothing_are_refused),
	        cmocka_unit_test(sets_are_taken_for_what_can_be_used),
	        cmocka_unit_test(sets_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
