/* Keys of tokens: read once, with what makes a key a weak one refused. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "auth/jwt_priv.h"
#include "wire/base64.h"

#define NUMBER_MAX 2048u /* bytes of one part of a key */

enum hg_rc jwt_keys_new(struct jwt_keys **ret_keys)
{
	struct jwt_keys *keys = calloc(1, sizeof *keys);
	if (!keys) return HG_E_NOMEM;
	*ret_keys = keys;
	return HG_OK;
}

static void key_fini(struct jwt_key *k)
{
	EVP_PKEY_free(k->pkey);
	EVP_MAC_CTX_free(k->mac);
	free(k->kid);
	*k = (struct jwt_key){0};
}

void jwt_keys_free(struct jwt_keys *keys)
{
	if (!keys) return;
	for (uint32_t i = 0; i < keys->count; i++)
		key_fini(&keys->key[i]);
	free(keys);
}

uint32_t jwt_keys_count(const struct jwt_keys *keys)
{
	return keys ? keys->count : 0;
}

uint32_t jwt_keys_algs(const struct jwt_keys *keys)
{
	uint32_t algs = 0;
	for (uint32_t i = 0; keys && i < keys->count; i++)
		algs |= JWT_BIT(keys->key[i].alg);
	return algs;
}

static enum hg_rc refuse(const char **ret_why, const char *why)
{
	ERR_clear_error();
	*ret_why = why;
	return HG_E_INVALID;
}

/* Takes what is in `k`, also when it fails. */
static enum hg_rc add(
        struct jwt_keys *keys, struct jwt_key *k, struct hg_str kid, const char **ret_why)
{
	enum hg_rc rc = HG_OK;
	if (keys->count == JWT_KEYS_MAX) {
		rc = HG_E_TOO_LARGE;
	} else if (kid.n > JWT_KID_MAX) {
		rc = refuse(ret_why, "its name (kid) is longer than 256 bytes");
	} else if (kid.n) {
		k->kid = malloc(kid.n);
		rc = k->kid ? HG_OK : HG_E_NOMEM;
		if (rc == HG_OK) memcpy(k->kid, kid.p, kid.n);
		k->kid_n = kid.n;
	}
	if (rc == HG_OK)
		keys->key[keys->count++] = *k;
	else
		key_fini(k);
	ERR_clear_error();
	return rc;
}

/* Exponents of one or two sign nothing: anybody makes what such a key takes for a signature. */
static const char *rsa_weak(const EVP_PKEY *pkey)
{
	BIGNUM *e = NULL, *n = NULL;
	const char *why = NULL;
	int bits = EVP_PKEY_get_bits(pkey);
	if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) != 1 ||
	        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) != 1)
		why = "its numbers cannot be read";
	else if (bits < JWT_RSA_BITS_MIN)
		why = "an RSA key must have 2048 bits at least";
	else if (bits > JWT_RSA_BITS_MAX)
		why = "an RSA key may have 8192 bits at most";
	else if (!BN_is_odd(n))
		why = "its modulus is even";
	else if (!BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > 64)
		why = "its exponent is even, one, or larger than 64 bits";
	BN_free(e);
	BN_free(n);
	return why;
}

/* The type of a key says which algorithm it is for. */
static const char *public_take(EVP_PKEY *pkey, struct jwt_key *k)
{
	char group[32] = "";
	k->pkey = pkey;
	switch (EVP_PKEY_get_base_id(pkey)) {
	case EVP_PKEY_RSA:
		k->alg = JWT_RS256;
		k->signature = (uint32_t)((EVP_PKEY_get_bits(pkey) + 7) / 8);
		return rsa_weak(pkey);
	case EVP_PKEY_EC:
		k->alg = JWT_ES256;
		k->signature = 64;
		if (EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) != 1 ||
		        strcmp(group, "prime256v1") != 0)
			return "an EC key must be on the curve P-256";
		return NULL;
	case EVP_PKEY_ED25519:
		k->alg = JWT_EDDSA;
		k->signature = 64;
		return NULL;
	default: return "it is neither RSA nor EC nor Ed25519";
	}
}

static enum hg_rc public_add(
        struct jwt_keys *keys, EVP_PKEY *pkey, struct hg_str kid, const char **ret_why)
{
	struct jwt_key k = {0};
	const char *why = public_take(pkey, &k);
	if (!why) return add(keys, &k, kid, ret_why);
	key_fini(&k);
	return refuse(ret_why, why);
}

enum hg_rc jwt_keys_pem(
        struct jwt_keys *keys, struct hg_str kid, struct hg_str pem, const char **ret_why)
{
	*ret_why = "";
	BIO *in = pem.n && pem.n <= INT32_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	EVP_PKEY *pkey = in ? PEM_read_bio_PUBKEY(in, NULL, NULL, NULL) : NULL;
	BIO_free(in);
	if (!pkey) return refuse(ret_why, "it holds no public key in PEM");
	return public_add(keys, pkey, kid, ret_why);
}

static bool looks_like_pem(struct hg_str s)
{
	return hg_str_starts(hg_str_trim(s), HG_STR("-----BEGIN "));
}

enum hg_rc jwt_keys_secret(
        struct jwt_keys *keys, struct hg_str kid, struct hg_str secret, const char **ret_why)
{
	struct jwt_key k = {.alg = JWT_HS256, .signature = 32};
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
	        OSSL_PARAM_construct_end()};
	*ret_why = "";
	if (looks_like_pem(secret)) return refuse(ret_why, "a key in PEM is no secret for HS256");
	if (secret.n < JWT_HMAC_KEY_MIN)
		return refuse(ret_why, "a secret must have 32 bytes (256 bits) at least");
	if (secret.n > JWT_HMAC_KEY_MAX)
		return refuse(ret_why, "a secret may have 1024 bytes at most");
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	k.mac = mac ? EVP_MAC_CTX_new(mac) : NULL;
	EVP_MAC_free(mac);
	if (!k.mac || EVP_MAC_init(k.mac, (const unsigned char *)secret.p, secret.n, params) != 1) {
		key_fini(&k);
		ERR_clear_error();
		return HG_E_NOMEM;
	}
	return add(keys, &k, kid, ret_why);
}

/* ---- JSON Web Keys ---- */

static struct hg_str member(const json_t *jwk, const char *name)
{
	const json_t *v = json_object_get(jwk, name);
	if (!json_is_string(v)) return (struct hg_str){NULL, 0};
	return (struct hg_str){json_string_value(v), json_string_length(v)};
}

/* Bytes of a member in base64url; false: there are none, or it is not that. */
static bool bytes_of(const json_t *jwk, const char *name, struct hg_buf *to)
{
	hg_buf_init(to, NUMBER_MAX);
	return base64url_decode(to, member(jwk, name)) && !to->failed && to->n > 0;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *bld)
{
	EVP_PKEY *pkey = NULL;
	OSSL_PARAM *params = bld ? OSSL_PARAM_BLD_to_param(bld) : NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	bool ok = params && ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
	          EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	if (ok) return pkey;
	EVP_PKEY_free(pkey);
	return NULL;
}

static EVP_PKEY *rsa_of(const json_t *jwk)
{
	struct hg_buf n, e;
	EVP_PKEY *pkey = NULL;
	BIGNUM *bn = NULL, *be = NULL;
	OSSL_PARAM_BLD *bld = NULL;
	bool ok = bytes_of(jwk, "n", &n);
	ok = bytes_of(jwk, "e", &e) && ok;
	if (ok) {
		bn = BN_bin2bn((unsigned char *)n.p, (int)n.n, NULL);
		be = BN_bin2bn((unsigned char *)e.p, (int)e.n, NULL);
		bld = OSSL_PARAM_BLD_new();
	}
	if (bn && be && bld && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) == 1 &&
	        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be) == 1)
		pkey = from_params("RSA", bld);
	OSSL_PARAM_BLD_free(bld);
	BN_free(bn);
	BN_free(be);
	hg_buf_free(&n);
	hg_buf_free(&e);
	return pkey;
}

/* OpenSSL looks whether the point is on the curve. */
static EVP_PKEY *ec_of(const json_t *jwk)
{
	struct hg_buf x, y;
	EVP_PKEY *pkey = NULL;
	unsigned char point[65] = {4};
	OSSL_PARAM_BLD *bld = NULL;
	bool ok = bytes_of(jwk, "x", &x);
	ok = bytes_of(jwk, "y", &y) && ok && x.n == 32 && y.n == 32;
	if (ok) {
		memcpy(point + 1, x.p, 32);
		memcpy(point + 33, y.p, 32);
		bld = OSSL_PARAM_BLD_new();
	}
	if (bld &&
	        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
	        OSSL_PARAM_BLD_push_octet_string(
	                bld, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1)
		pkey = from_params("EC", bld);
	OSSL_PARAM_BLD_free(bld);
	hg_buf_free(&x);
	hg_buf_free(&y);
	return pkey;
}

static EVP_PKEY *ed_of(const json_t *jwk)
{
	struct hg_buf x;
	EVP_PKEY *pkey = NULL;
	if (bytes_of(jwk, "x", &x) && x.n == 32)
		pkey = EVP_PKEY_new_raw_public_key(
		        EVP_PKEY_ED25519, NULL, (unsigned char *)x.p, x.n);
	hg_buf_free(&x);
	return pkey;
}

static enum hg_rc secret_of(
        struct jwt_keys *keys, const json_t *jwk, struct hg_str kid, const char **ret_why)
{
	struct hg_buf k;
	enum hg_rc rc;
	if (bytes_of(jwk, "k", &k))
		rc = jwt_keys_secret(keys, kid, hg_buf_view(&k), ret_why);
	else
		rc = refuse(ret_why, "its `k` is not base64url");
	if (k.p) explicit_bzero(k.p, k.n);
	hg_buf_free(&k);
	return rc;
}

/* What it is for (RFC 7517 sections 4.2 and 4.3), if it says so. */
static const char *purpose_other(const json_t *jwk)
{
	const json_t *use = json_object_get(jwk, "use"), *ops = json_object_get(jwk, "key_ops");
	size_t i;
	json_t *op;
	if (use && !hg_str_eq(member(jwk, "use"), HG_STR("sig"))) return "it is not for signatures";
	if (!ops) return NULL;
	json_array_foreach(ops, i, op)
	{
		if (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0) return NULL;
	}
	return "it is not for verifying";
}

struct kind {
	struct hg_str kty, crv;
	enum jwt_alg alg;
	EVP_PKEY *(*make)(const json_t *jwk);
};

static const struct kind *kind_of(const json_t *jwk)
{
	static const struct kind kinds[] = {
	        {{"RSA", 3}, {NULL, 0}, JWT_RS256, rsa_of},
	        {{"EC", 2}, {"P-256", 5}, JWT_ES256, ec_of},
	        {{"OKP", 3}, {"Ed25519", 7}, JWT_EDDSA, ed_of},
	        {{"oct", 3}, {NULL, 0}, JWT_HS256, NULL},
	};
	for (size_t i = 0; i < HG_COUNT(kinds); i++) {
		if (!hg_str_eq(kinds[i].kty, member(jwk, "kty"))) continue;
		if (!kinds[i].crv.n || hg_str_eq(kinds[i].crv, member(jwk, "crv")))
			return &kinds[i];
	}
	return NULL;
}

enum hg_rc jwt_keys_jwk(
        struct jwt_keys *keys, const json_t *jwk, bool secrets, const char **ret_why)
{
	const json_t *name = json_object_get(jwk, "kid");
	struct hg_str kid = member(jwk, "kid"), alg = member(jwk, "alg");
	*ret_why = "";
	if (!json_is_object(jwk)) return refuse(ret_why, "it is no object");
	if (name && kid.n == 0) return refuse(ret_why, "its name (kid) is no text, or empty");
	const struct kind *kind = kind_of(jwk);
	if (!kind) return refuse(ret_why, "its kty and crv are not RSA, EC P-256 or OKP Ed25519");
	if (json_object_get(jwk, "alg") && jwt_alg_of(alg) != kind->alg)
		return refuse(ret_why, "it is for another algorithm");
	const char *why = purpose_other(jwk);
	if (why) return refuse(ret_why, why);
	if (!kind->make) {
		if (!secrets) return refuse(ret_why, "a secret does not belong here");
		return secret_of(keys, jwk, kid, ret_why);
	}
	/* Who has published it can sign no more than anybody else can. */
	if (json_object_get(jwk, "d")) return refuse(ret_why, "its private half is in it");
	EVP_PKEY *pkey = kind->make(jwk);
	if (!pkey) return refuse(ret_why, "its numbers make no key");
	return public_add(keys, pkey, kid, ret_why);
}
