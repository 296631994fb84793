/* Certificates made on the spot, and a blocking TLS client, for tests. */
#ifndef TESTS_TLS_RIG_H
#define TESTS_TLS_RIG_H

#include "../test.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "os/tls.h"

struct pem_text {
	char chain[8192], key[4096];
};

static inline struct tls_pem pem_of(const struct pem_text *p)
{
	return (struct tls_pem){hg_str(p->chain), hg_str(p->key)};
}

static inline void bio_text(BIO *b, char *to, size_t cap)
{
	char *p;
	long n = BIO_get_mem_data(b, &p);
	assert_in_range(n, 1, cap - 1);
	memcpy(to, p, (size_t)n);
	to[n] = 0;
	BIO_free(b);
}

/* `san`: "DNS:a.example,DNS:*.b.example"; valid from an hour ago for `days`. Signed by itself. */
static inline struct pem_text pem_make(const char *san, bool rsa, int days)
{
	struct pem_text p;
	EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1 + rand());
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400L * days);
	X509_set_pubkey(x, key);
	X509_NAME *name = X509_get_subject_name(x);
	X509_NAME_add_entry_by_txt(
	        name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(x, name);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
	assert_non_null(ext);
	X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
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

/* A client over a blocking socket, which it does not own. */
struct tls_client {
	SSL_CTX *ctx;
	SSL *ssl;
};

static inline struct tls_client client_new(int fd, const char *host)
{
	struct tls_client c = {.ctx = SSL_CTX_new(TLS_client_method())};
	c.ssl = SSL_new(c.ctx);
	SSL_set_fd(c.ssl, fd);
	if (host) SSL_set_tlsext_host_name(c.ssl, host);
	return c;
}

static inline void client_free(struct tls_client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
}

/* The first name of the certificate that the server showed. */
static inline void client_peer(const struct tls_client *c, char *to, size_t cap)
{
	X509 *x = SSL_get1_peer_certificate(c->ssl);
	assert_non_null(x);
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, 0);
	snprintf(to, cap, "%s", (const char *)ASN1_STRING_get0_data(g->d.dNSName));
	GENERAL_NAMES_free(names);
	X509_free(x);
}

#endif
