/* Certificates and keys as PEM. */
#include "os/tls_priv.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

void tls_say(char why[TLS_WHY_MAX], const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());
	snprintf(why, TLS_WHY_MAX, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
	ERR_clear_error();
}

/* A key behind a pass phrase cannot be read at three in the morning: never ask for one. */
int tls_no_phrase(char *to, int cap, int writing, void *arg)
{
	(void)to, (void)cap, (void)writing, (void)arg;
	return -1;
}

static BIO *over(struct hg_str text)
{
	return text.n && text.n <= INT32_MAX ? BIO_new_mem_buf(text.p, (int)text.n) : NULL;
}

static bool at_end(void)
{
	unsigned long e = ERR_peek_last_error();
	return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

static enum hg_rc chain_read(
        struct hg_str text, X509 **ret_leaf, STACK_OF(X509) * *ret_rest, char why[TLS_WHY_MAX])
{
	enum hg_rc rc = HG_E_INVALID;
	BIO *in = over(text);
	STACK_OF(X509) *rest = sk_X509_new_null();
	X509 *leaf = in ? PEM_read_bio_X509_AUX(in, NULL, tls_no_phrase, NULL) : NULL;
	if (!leaf) {
		tls_say(why, "there is no certificate in it");
		goto out;
	}
	for (X509 *x; (x = PEM_read_bio_X509(in, NULL, tls_no_phrase, NULL));) {
		if (rest && sk_X509_push(rest, x)) continue;
		X509_free(x);
		rc = HG_E_NOMEM;
		goto out;
	}
	if (!at_end()) {
		tls_say(why, "a certificate of its chain cannot be read");
		goto out;
	}
	ERR_clear_error();
	*ret_leaf = leaf;
	*ret_rest = rest;
	leaf = NULL;
	rest = NULL;
	rc = HG_OK;
out:
	BIO_free(in);
	X509_free(leaf);
	sk_X509_pop_free(rest, X509_free);
	return rc;
}

static EVP_PKEY *key_read(struct hg_str text, char why[TLS_WHY_MAX])
{
	BIO *in = over(text);
	EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, tls_no_phrase, NULL) : NULL;
	BIO_free(in);
	if (!key) {
		bool locked = memmem(text.p, text.n, "ENCRYPTED", 9) != NULL;
		tls_say(why, locked ? "the key is behind a pass phrase"
		                    : "there is no private key in it");
	}
	return key;
}

static enum hg_rc pair_read(const struct tls_pem *pem, X509 **ret_leaf, STACK_OF(X509) * *ret_rest,
        EVP_PKEY **ret_key, char why[TLS_WHY_MAX])
{
	enum hg_rc rc = chain_read(pem->chain, ret_leaf, ret_rest, why);
	if (rc < 0) return rc;
	*ret_key = key_read(pem->key, why);
	if (*ret_key && X509_check_private_key(*ret_leaf, *ret_key) == 1) return HG_OK;
	if (*ret_key) {
		ERR_clear_error();
		snprintf(why, TLS_WHY_MAX, "the private key belongs to another certificate");
	}
	EVP_PKEY_free(*ret_key);
	X509_free(*ret_leaf);
	sk_X509_pop_free(*ret_rest, X509_free);
	return HG_E_INVALID;
}

enum hg_rc tls_ctx_load(SSL_CTX *ctx, const struct tls_pem *pem, char why[TLS_WHY_MAX])
{
	X509 *leaf;
	STACK_OF(X509) * rest;
	EVP_PKEY *key;
	enum hg_rc rc = pair_read(pem, &leaf, &rest, &key, why);
	if (rc < 0) return rc;
	if (SSL_CTX_use_cert_and_key(ctx, leaf, key, rest, 1) != 1) {
		tls_say(why, "OpenSSL does not take the certificate");
		rc = HG_E_INVALID;
	}
	EVP_PKEY_free(key);
	X509_free(leaf);
	sk_X509_pop_free(rest, X509_free);
	return rc;
}

bool tls_x509_names(X509 *leaf, bool (*each)(void *arg, struct hg_str name), void *arg)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	bool more = true;
	for (int i = 0; more && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		char low[TLS_NAME_MAX + 1];
		if (g->type != GEN_DNS) continue;
		int n = ASN1_STRING_length(g->d.dNSName);
		const unsigned char *p = ASN1_STRING_get0_data(g->d.dNSName);
		if (n <= 0 || n > TLS_NAME_MAX || memchr(p, 0, (size_t)n)) continue;
		for (int k = 0; k < n; k++)
			low[k] = (char)(p[k] >= 'A' && p[k] <= 'Z' ? p[k] + 32 : p[k]);
		low[n] = 0;
		more = each(arg, (struct hg_str){low, (size_t)n});
	}
	GENERAL_NAMES_free(names);
	return more;
}

static bool name_add(void *arg, struct hg_str name)
{
	struct tls_cert *c = arg;
	if (c->name_count < HG_COUNT(c->names)) memcpy(c->names[c->name_count], name.p, name.n + 1);
	c->name_count++;
	return true;
}

static int64_t time_of(const ASN1_TIME *t)
{
	struct tm tm;
	if (!ASN1_TIME_to_tm(t, &tm)) return 0;
	return (int64_t)timegm(&tm);
}

enum hg_rc tls_pem_check(
        const struct tls_pem *pem, struct tls_cert *ret_cert, char why[TLS_WHY_MAX])
{
	X509 *leaf;
	STACK_OF(X509) * rest;
	EVP_PKEY *key;
	enum hg_rc rc = pair_read(pem, &leaf, &rest, &key, why);
	if (rc < 0) return rc;
	if (ret_cert) {
		*ret_cert = (struct tls_cert){.from_s = time_of(X509_get0_notBefore(leaf)),
		        .until_s = time_of(X509_get0_notAfter(leaf)),
		        .ec = EVP_PKEY_get_base_id(key) == EVP_PKEY_EC};
		tls_x509_names(leaf, name_add, ret_cert);
	}
	EVP_PKEY_free(key);
	X509_free(leaf);
	sk_X509_pop_free(rest, X509_free);
	return HG_OK;
}

/* RFC 6125 section 6.4.3: the wildcard stands for exactly one label. */
bool tls_cert_covers(const struct tls_cert *c, struct hg_str host)
{
	for (uint32_t i = 0; i < HG_MIN(c->name_count, (uint32_t)HG_COUNT(c->names)); i++) {
		struct hg_str name = hg_str(c->names[i]);
		if (hg_str_eq_nocase(name, host)) return true;
		if (name.n < 2 || name.p[0] != '*') continue;
		const char *dot = memchr(host.p, '.', host.n);
		struct hg_str rest = {dot, dot ? (size_t)(host.p + host.n - dot) : 0};
		if (dot && dot > host.p && hg_str_eq_nocase(hg_str(c->names[i] + 1), rest)) {
			return true;
		}
	}
	return false;
}
