/* Authorities, certificates they sign and their revocation lists, made on the spot, for tests. */
#ifndef TESTS_CA_RIG_H
#define TESTS_CA_RIG_H

#include "tls_rig.h"

#include <time.h>

struct ca {
	X509 *cert;
	EVP_PKEY *key;
	char pem[4096], crl[4096];
};

struct ca_leaf {
	const char *cn, *san; /* san: "URI:spiffe://x,DNS:y", NULL: none */
	int from_days, until_days;
	bool server; /* for servers only */
	const struct ca *by;
};

static inline X509 *ca_sign(
        EVP_PKEY *key, const struct ca_leaf *l, const char *constraints, X509 *by, EVP_PKEY *by_key)
{
	X509 *x = X509_new();
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1 + rand());
	X509_gmtime_adj(X509_getm_notBefore(x), 86400L * l->from_days - 3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400L * l->until_days);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
	        (const unsigned char *)l->cn, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(by ? by : x));
	const struct {
		int nid;
		const char *v;
	} ext[] = {{NID_basic_constraints, constraints}, {NID_subject_alt_name, l->san},
	        {NID_ext_key_usage, l->server ? "serverAuth" : NULL}};
	for (size_t i = 0; i < HG_COUNT(ext); i++) {
		X509_EXTENSION *e =
		        ext[i].v ? X509V3_EXT_conf_nid(NULL, NULL, ext[i].nid, ext[i].v) : NULL;
		if (!e) continue;
		X509_add_ext(x, e, -1);
		X509_EXTENSION_free(e);
	}
	assert_true(X509_sign(x, by_key, EVP_sha256()) > 0);
	return x;
}

static inline struct ca ca_new(const char *cn)
{
	struct ca c = {.key = EVP_EC_gen("P-256")};
	struct ca_leaf l = {.cn = cn, .until_days = 30};
	c.cert = ca_sign(c.key, &l, "critical,CA:TRUE", NULL, c.key);
	BIO *b = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(b, c.cert);
	bio_text(b, c.pem, sizeof c.pem);
	return c;
}

static inline void ca_free(struct ca *c)
{
	X509_free(c->cert);
	EVP_PKEY_free(c->key);
}

/* A leaf and its key. */
static inline struct pem_text ca_leaf(const struct ca_leaf *l)
{
	struct pem_text p;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = ca_sign(key, l, NULL, l->by->cert, l->by->key);
	BIO *b = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(b, x);
	bio_text(b, p.chain, sizeof p.chain);
	b = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL);
	bio_text(b, p.key, sizeof p.key);
	X509_free(x);
	EVP_PKEY_free(key);
	return p;
}

/* Into c->crl; `revoked`: a certificate as PEM, NULL: none. Good for `days`. */
static inline void ca_revoke(struct ca *c, const char *revoked, int days)
{
	X509_CRL *l = X509_CRL_new();
	ASN1_TIME *t = ASN1_TIME_new();
	X509_CRL_set_version(l, 1);
	X509_CRL_set_issuer_name(l, X509_get_subject_name(c->cert));
	X509_CRL_set1_lastUpdate(l, X509_gmtime_adj(t, -7200));
	X509_CRL_set1_nextUpdate(l, X509_gmtime_adj(t, 86400L * days));
	if (revoked) {
		BIO *b = BIO_new_mem_buf(revoked, -1);
		X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
		X509_REVOKED *r = X509_REVOKED_new();
		X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(x));
		X509_REVOKED_set_revocationDate(r, X509_gmtime_adj(t, -3600));
		X509_CRL_add0_revoked(l, r);
		X509_free(x);
		BIO_free(b);
	}
	X509_CRL_sort(l);
	assert_true(X509_CRL_sign(l, c->key, EVP_sha256()) > 0);
	BIO *b = BIO_new(BIO_s_mem());
	PEM_write_bio_X509_CRL(b, l);
	bio_text(b, c->crl, sizeof c->crl);
	ASN1_TIME_free(t);
	X509_CRL_free(l);
}

/* What a client shows. */
static inline void client_show(struct tls_client *c, const struct pem_text *p)
{
	BIO *b = BIO_new_mem_buf(p->chain, -1);
	X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
	BIO_free(b);
	b = BIO_new_mem_buf(p->key, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
	BIO_free(b);
	assert_int_equal(SSL_use_certificate(c->ssl, x), 1);
	assert_int_equal(SSL_use_PrivateKey(c->ssl, key), 1);
	X509_free(x);
	EVP_PKEY_free(key);
}

#endif
