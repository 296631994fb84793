#include "os/tls_make.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "os/tls_priv.h"

#define CLOCK_SKEW_S 3600

enum hg_rc tls_key_make(struct hg_buf *to)
{
	char *text;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *out = BIO_new(BIO_s_secmem());
	bool ok = key && out && PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1;
	long n = ok ? BIO_get_mem_data(out, &text) : 0;
	if (n > 0) hg_buf_str(to, (struct hg_str){text, (size_t)n});
	BIO_free(out);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return n > 0 && !to->failed ? HG_OK : HG_E_NOMEM;
}

static EVP_PKEY *key_of(struct hg_str pem, char why[TLS_WHY_MAX])
{
	BIO *in = pem.n && pem.n <= INT32_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, tls_no_phrase, NULL) : NULL;
	BIO_free(in);
	if (!key) tls_say(why, "the private key cannot be read");
	return key;
}

/* subjectAltName by OpenSSL's structs: its text form would split a name at a comma. */
static X509_EXTENSION *names_extension(const struct hg_str *names, uint32_t n)
{
	GENERAL_NAMES *all = GENERAL_NAMES_new();
	bool ok = all != NULL;
	for (uint32_t i = 0; ok && i < n; i++) {
		GENERAL_NAME *g = GENERAL_NAME_new();
		ASN1_IA5STRING *s = ASN1_IA5STRING_new();
		ok = g && s && ASN1_STRING_set(s, names[i].p, (int)names[i].n) == 1;
		if (ok) {
			GENERAL_NAME_set0_value(g, GEN_DNS, s);
			s = NULL;
			ok = sk_GENERAL_NAME_push(all, g) > 0;
			if (ok) g = NULL;
		}
		ASN1_IA5STRING_free(s);
		GENERAL_NAME_free(g);
	}
	X509_EXTENSION *e = ok ? X509V3_EXT_i2d(NID_subject_alt_name, 0, all) : NULL;
	GENERAL_NAMES_free(all);
	return e;
}

enum hg_rc tls_request_make(struct hg_str key_pem, const struct hg_str *names, uint32_t n,
        struct hg_buf *to, char why[TLS_WHY_MAX])
{
	unsigned char *der = NULL;
	EVP_PKEY *key = key_of(key_pem, why);
	if (!key) return HG_E_INVALID;
	X509_REQ *req = X509_REQ_new();
	STACK_OF(X509_EXTENSION) *all = sk_X509_EXTENSION_new_null();
	X509_EXTENSION *e = names_extension(names, n);
	bool ok = req && all && e && sk_X509_EXTENSION_push(all, e) > 0;
	if (ok) e = NULL;
	ok = ok && X509_REQ_set_version(req, 0) == 1 && X509_REQ_set_pubkey(req, key) == 1 &&
	     X509_REQ_add_extensions(req, all) == 1 && X509_REQ_sign(req, key, EVP_sha256()) > 0;
	int size = ok ? i2d_X509_REQ(req, &der) : -1;
	if (size > 0) hg_buf_str(to, (struct hg_str){(char *)der, (size_t)size});
	if (size <= 0) tls_say(why, "OpenSSL cannot make the request");
	OPENSSL_free(der);
	X509_EXTENSION_free(e);
	sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
	X509_REQ_free(req);
	EVP_PKEY_free(key);
	if (size <= 0) return HG_E_INVALID;
	return to->failed ? HG_E_NOMEM : HG_OK;
}

/* ---- certificates that sign themselves ---- */

static bool extension_add(X509 *x, X509_EXTENSION *e)
{
	bool ok = e && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok;
}

/* RFC 8737 section 3: critical, an OCTET STRING inside of the extension's own. */
static bool proof_add(X509 *x, const unsigned char proof[32])
{
	unsigned char der[34] = {V_ASN1_OCTET_STRING, 32};
	ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
	ASN1_OCTET_STRING *s = ASN1_OCTET_STRING_new();
	memcpy(der + 2, proof, 32);
	bool ok = oid && s && ASN1_OCTET_STRING_set(s, der, sizeof der) == 1 &&
	          extension_add(x, X509_EXTENSION_create_by_OBJ(NULL, oid, 1, s));
	ASN1_OCTET_STRING_free(s);
	ASN1_OBJECT_free(oid);
	return ok;
}

static bool self_fill(X509 *x, EVP_PKEY *key, const struct tls_self *self)
{
	uint64_t serial;
	X509_NAME *name = X509_get_subject_name(x);
	return RAND_bytes((unsigned char *)&serial, sizeof serial) == 1 &&
	       X509_set_version(x, 2) == 1 &&
	       ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1 | 1) == 1 &&
	       ASN1_TIME_set(X509_getm_notBefore(x), self->from_s) &&
	       ASN1_TIME_set(X509_getm_notAfter(x), self->until_s) &&
	       X509_set_pubkey(x, key) == 1 &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
	               (const unsigned char *)self->common_name, -1, -1, 0) == 1 &&
	       X509_set_issuer_name(x, name) == 1 &&
	       (self->host.n == 0 || extension_add(x, names_extension(&self->host, 1))) &&
	       (!self->proof || proof_add(x, self->proof)) && X509_sign(x, key, EVP_sha256()) > 0;
}

enum hg_rc tls_self_make(struct hg_str key_pem, const struct tls_self *self, struct hg_buf *to,
        char why[TLS_WHY_MAX])
{
	char *text;
	EVP_PKEY *key = key_of(key_pem, why);
	if (!key) return HG_E_INVALID;
	X509 *x = X509_new();
	BIO *out = BIO_new(BIO_s_mem());
	bool ok = x && out && self_fill(x, key, self) && PEM_write_bio_X509(out, x) == 1;
	long n = ok ? BIO_get_mem_data(out, &text) : 0;
	if (n > 0) hg_buf_str(to, (struct hg_str){text, (size_t)n});
	if (n <= 0) tls_say(why, "OpenSSL cannot make the certificate");
	BIO_free(out);
	X509_free(x);
	EVP_PKEY_free(key);
	if (n <= 0) return HG_E_INVALID;
	return to->failed ? HG_E_NOMEM : HG_OK;
}

/* ---- certificates that came back ---- */

static bool valid_at(const X509 *x, int64_t now_s)
{
	time_t early = (time_t)(now_s + CLOCK_SKEW_S), late = (time_t)now_s;
	return X509_cmp_time(X509_get0_notBefore(x), &early) < 0 &&
	       X509_cmp_time(X509_get0_notAfter(x), &late) > 0;
}

static bool signed_by(X509 *x, X509 *issuer)
{
	EVP_PKEY *key = X509_get0_pubkey(issuer);
	return key && X509_check_issued(issuer, x) == X509_V_OK && X509_verify(x, key) == 1;
}

static enum hg_rc chain_look(struct hg_str chain, int64_t now_s, char why[TLS_WHY_MAX])
{
	X509 *x, *before = NULL;
	enum hg_rc rc = HG_OK;
	BIO *in = BIO_new_mem_buf(chain.p, (int)chain.n);
	if (!in) return HG_E_NOMEM;
	for (; rc == HG_OK && (x = PEM_read_bio_X509(in, NULL, tls_no_phrase, NULL)); before = x) {
		if (!valid_at(x, now_s)) {
			snprintf(why, TLS_WHY_MAX, "a certificate of the chain is not valid now");
			rc = HG_E_INVALID;
		} else if (before && !signed_by(before, x)) {
			snprintf(why, TLS_WHY_MAX, "the chain is not in order");
			rc = HG_E_INVALID;
		}
		X509_free(before);
	}
	X509_free(before);
	BIO_free(in);
	ERR_clear_error();
	return rc;
}

enum hg_rc tls_chain_check(const struct tls_pem *pem, const struct hg_str *names, uint32_t n,
        int64_t now_s, char why[TLS_WHY_MAX])
{
	struct tls_cert is;
	enum hg_rc rc = tls_pem_check(pem, &is, why);
	for (uint32_t i = 0; rc == HG_OK && i < n; i++) {
		bool found = false;
		for (uint32_t k = 0; k < HG_MIN(is.name_count, (uint32_t)HG_COUNT(is.names)); k++)
			found = found || hg_str_eq(hg_str(is.names[k]), names[i]);
		if (found) continue;
		snprintf(why, TLS_WHY_MAX, "it is not for %.*s", HG_STR_ARG(names[i]));
		rc = HG_E_INVALID;
	}
	return rc == HG_OK ? chain_look(pem->chain, now_s, why) : rc;
}

enum hg_rc tls_leaf_id(struct hg_str chain, unsigned char *ret_authority, size_t *ret_authority_n,
        unsigned char *ret_serial, size_t *ret_serial_n, size_t cap)
{
	BIO *in = chain.n && chain.n <= INT32_MAX ? BIO_new_mem_buf(chain.p, (int)chain.n) : NULL;
	X509 *x = in ? PEM_read_bio_X509_AUX(in, NULL, tls_no_phrase, NULL) : NULL;
	const ASN1_OCTET_STRING *id = x ? X509_get0_authority_key_id(x) : NULL;
	unsigned char der[80], *p = der;
	enum hg_rc rc = x ? HG_E_NOT_FOUND : HG_E_INVALID;
	/* The serial number's bytes as in the certificate: with the zero that keeps it positive. */
	int n = x ? i2d_ASN1_INTEGER(X509_get_serialNumber(x), NULL) : 0;
	if (id && n > 2 && n <= (int)sizeof der &&
	        i2d_ASN1_INTEGER(X509_get_serialNumber(x), &p) == n) {
		size_t id_n = (size_t)ASN1_STRING_length(id), serial_n = (size_t)n - 2;
		rc = id_n <= cap && serial_n <= cap && der[1] < 128 ? HG_OK : HG_E_INVALID;
		if (rc == HG_OK) {
			memcpy(ret_authority, ASN1_STRING_get0_data(id), id_n);
			memcpy(ret_serial, der + 2, serial_n);
			*ret_authority_n = id_n;
			*ret_serial_n = serial_n;
		}
	}
	X509_free(x);
	BIO_free(in);
	ERR_clear_error();
	return rc;
}
