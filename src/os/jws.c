#include "os/jws.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdlib.h>

struct jws_key {
	EVP_PKEY *pkey;
};

static enum hg_rc key_wrap(EVP_PKEY *pkey, struct jws_key **ret_key)
{
	struct jws_key *k = calloc(1, sizeof *k);
	if (!k) {
		EVP_PKEY_free(pkey);
		return HG_E_NOMEM;
	}
	k->pkey = pkey;
	*ret_key = k;
	return HG_OK;
}

enum hg_rc jws_key_new(struct jws_key **ret_key)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	if (pkey) return key_wrap(pkey, ret_key);
	ERR_clear_error();
	return HG_E_IO;
}

/* A key behind a pass phrase is never asked about. */
static int no_phrase(char *to, int cap, int writing, void *arg)
{
	(void)to, (void)cap, (void)writing, (void)arg;
	return -1;
}

enum hg_rc jws_key_read(struct hg_str pem, struct jws_key **ret_key)
{
	char group[32] = "";
	BIO *in = pem.n && pem.n <= INT32_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	EVP_PKEY *pkey = in ? PEM_read_bio_PrivateKey(in, NULL, no_phrase, NULL) : NULL;
	BIO_free(in);
	bool good = pkey && EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC &&
	            EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) == 1 &&
	            strcmp(group, "prime256v1") == 0;
	ERR_clear_error();
	if (good) return key_wrap(pkey, ret_key);
	EVP_PKEY_free(pkey);
	return HG_E_INVALID;
}

void jws_key_free(struct jws_key *k)
{
	if (!k) return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

enum hg_rc jws_key_pem(const struct jws_key *k, struct hg_buf *to)
{
	char *text;
	BIO *out = BIO_new(BIO_s_secmem());
	bool ok = out && PEM_write_bio_PrivateKey(out, k->pkey, NULL, NULL, 0, NULL, NULL) == 1;
	long n = ok ? BIO_get_mem_data(out, &text) : 0;
	if (n > 0) hg_buf_str(to, (struct hg_str){text, (size_t)n});
	BIO_free(out);
	ERR_clear_error();
	return n > 0 && !to->failed ? HG_OK : HG_E_NOMEM;
}

enum hg_rc jws_key_point(const struct jws_key *k, unsigned char ret_x[32], unsigned char ret_y[32])
{
	BIGNUM *x = NULL, *y = NULL;
	bool ok = EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1 &&
	          EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1 &&
	          BN_bn2binpad(x, ret_x, 32) == 32 && BN_bn2binpad(y, ret_y, 32) == 32;
	BN_free(x);
	BN_free(y);
	ERR_clear_error();
	return ok ? HG_OK : HG_E_INVALID;
}

/* OpenSSL's signature is DER; JOSE wants both numbers side by side. */
static bool signature_flatten(const unsigned char *der, size_t n, unsigned char *to)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
	bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), to, 32) == 32 &&
	          BN_bn2binpad(ECDSA_SIG_get0_s(sig), to + 32, 32) == 32;
	ECDSA_SIG_free(sig);
	return ok;
}

enum hg_rc jws_sign(
        const struct jws_key *k, struct hg_str bytes, unsigned char ret_signature[JWS_SIGNATURE])
{
	unsigned char der[128];
	size_t n = sizeof der;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
	          EVP_DigestSign(md, der, &n, (const unsigned char *)bytes.p, bytes.n) == 1 &&
	          signature_flatten(der, n, ret_signature);
	EVP_MD_CTX_free(md);
	ERR_clear_error();
	return ok ? HG_OK : HG_E_NOMEM;
}

enum hg_rc jws_hmac(struct hg_str key, struct hg_str bytes, unsigned char ret_digest[JWS_DIGEST])
{
	unsigned n = 0;
	bool ok = key.n <= INT32_MAX &&
	          HMAC(EVP_sha256(), key.p, (int)key.n, (const unsigned char *)bytes.p, bytes.n,
	                  ret_digest, &n) != NULL &&
	          n == JWS_DIGEST;
	ERR_clear_error();
	return ok ? HG_OK : HG_E_NOMEM;
}

enum hg_rc jws_sha256(struct hg_str bytes, unsigned char ret_digest[JWS_DIGEST])
{
	unsigned n = 0;
	int ok = EVP_Digest(bytes.p, bytes.n, ret_digest, &n, EVP_sha256(), NULL);
	ERR_clear_error();
	return ok == 1 && n == JWS_DIGEST ? HG_OK : HG_E_NOMEM;
}
