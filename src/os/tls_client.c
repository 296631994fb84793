/* Certificates of clients. */
#include "os/tls_client.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "os/tls_priv.h"

#define DEPTH_MAX 8

struct tls_clients {
	_Atomic uint32_t refs;
	uint32_t count;
	X509_STORE *store;
	bool revokes; /* some have a list */
	struct one {
		STACK_OF(X509) * certs;
		bool revokes;
	} ca[TLS_CLIENT_CAS_MAX];
};

struct tls_identity {
	struct tls_clients *by; /* who it was looked at by last; a reference */
	enum tls_peer is;
	uint32_t cas;
	const char *why;
	size_t fields_n;
	char *fields;
	char said[128];
};

/* ---- authorities ---- */

static BIO *over(struct hg_str text)
{
	return text.n && text.n <= INT32_MAX ? BIO_new_mem_buf(text.p, (int)text.n) : NULL;
}

static bool at_end(void)
{
	unsigned long e = ERR_peek_last_error();
	bool end = ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
	if (end) ERR_clear_error();
	return end;
}

static int no_phrase(char *to, int cap, int writing, void *arg)
{
	(void)to, (void)cap, (void)writing, (void)arg;
	return -1;
}

static enum hg_rc certs_read(struct hg_str text, STACK_OF(X509) * to, char why[TLS_WHY_MAX])
{
	enum hg_rc rc = HG_OK;
	BIO *in = over(text);
	for (X509 *x; rc == HG_OK && in && (x = PEM_read_bio_X509(in, NULL, no_phrase, NULL));) {
		if (sk_X509_push(to, x)) continue;
		X509_free(x);
		rc = HG_E_NOMEM;
	}
	if (rc == HG_OK && in && !at_end()) {
		tls_say(why, "one of its certificates cannot be read");
		rc = HG_E_INVALID;
	}
	BIO_free(in);
	if (rc == HG_OK && sk_X509_num(to) == 0) {
		tls_say(why, "there is no certificate in it");
		rc = HG_E_INVALID;
	}
	return rc;
}

static bool issued_by(const X509_CRL *crl, const STACK_OF(X509) * certs)
{
	for (int i = 0; i < sk_X509_num(certs); i++) {
		X509 *x = sk_X509_value(certs, i);
		EVP_PKEY *key = X509_get0_pubkey(x);
		if (X509_NAME_cmp(X509_get_subject_name(x), X509_CRL_get_issuer(crl)) != 0)
			continue;
		if (key && X509_CRL_verify((X509_CRL *)(uintptr_t)crl, key) == 1) return true;
	}
	ERR_clear_error();
	return false;
}

static int64_t time_of(const ASN1_TIME *t)
{
	struct tm tm;
	if (!t || !ASN1_TIME_to_tm(t, &tm)) return 0;
	return (int64_t)timegm(&tm);
}

/* The lists of one authority go into the store; none: that is all right. */
static enum hg_rc crls_read(struct hg_str text, const STACK_OF(X509) * certs, X509_STORE *store,
        int64_t *ret_until_s, char why[TLS_WHY_MAX])
{
	enum hg_rc rc = HG_OK;
	uint32_t n = 0;
	BIO *in = over(text);
	*ret_until_s = 0;
	if (text.n == 0) return HG_OK;
	for (X509_CRL *l;
	        rc == HG_OK && in && (l = PEM_read_bio_X509_CRL(in, NULL, no_phrase, NULL));) {
		int64_t until = time_of(X509_CRL_get0_nextUpdate(l));
		if (!issued_by(l, certs)) {
			tls_say(why, "the revocation list is not of this authority");
			rc = HG_E_INVALID;
		} else if (store && X509_STORE_add_crl(store, l) != 1) {
			rc = HG_E_NOMEM;
		}
		if (*ret_until_s == 0 || until < *ret_until_s) *ret_until_s = until;
		n++;
		X509_CRL_free(l);
	}
	if (rc == HG_OK && (!in || !at_end() || n == 0)) {
		tls_say(why, "the revocation list cannot be read");
		rc = HG_E_INVALID;
	}
	BIO_free(in);
	return rc;
}

enum hg_rc tls_ca_check(const struct tls_ca *ca, struct tls_cert *ret_cert,
        int64_t *ret_crl_until_s, char why[TLS_WHY_MAX])
{
	STACK_OF(X509) *certs = sk_X509_new_null();
	enum hg_rc rc = certs ? certs_read(ca->certs, certs, why) : HG_E_NOMEM;
	why[0] = rc == HG_OK ? 0 : why[0];
	if (rc == HG_OK) rc = crls_read(ca->crl, certs, NULL, ret_crl_until_s, why);
	for (int i = 0; rc == HG_OK && i < sk_X509_num(certs); i++) {
		X509 *x = sk_X509_value(certs, i);
		int64_t until = time_of(X509_get0_notAfter(x));
		if (i == 0) {
			*ret_cert = (struct tls_cert){.from_s = time_of(X509_get0_notBefore(x)),
			        .until_s = until,
			        .name_count = 1};
			X509_NAME_oneline(X509_get_subject_name(x), ret_cert->names[0],
			        sizeof ret_cert->names[0]);
		}
		ret_cert->until_s = HG_MIN(ret_cert->until_s, until);
	}
	sk_X509_pop_free(certs, X509_free);
	return rc;
}

static enum hg_rc ca_add(
        struct tls_clients *k, const struct tls_ca *ca, struct one *to, char why[TLS_WHY_MAX])
{
	int64_t until;
	to->certs = sk_X509_new_null();
	enum hg_rc rc = to->certs ? certs_read(ca->certs, to->certs, why) : HG_E_NOMEM;
	for (int i = 0; rc == HG_OK && i < sk_X509_num(to->certs); i++)
		if (X509_STORE_add_cert(k->store, sk_X509_value(to->certs, i)) != 1)
			rc = HG_E_NOMEM;
	if (rc == HG_OK) rc = crls_read(ca->crl, to->certs, k->store, &until, why);
	to->revokes = ca->crl.n > 0;
	k->revokes = k->revokes || to->revokes;
	return rc;
}

enum hg_rc tls_clients_new(const struct tls_ca *ca, uint32_t count,
        struct tls_clients **ret_clients, uint32_t *ret_at, char why[TLS_WHY_MAX])
{
	struct tls_clients *k = calloc(1, sizeof *k);
	enum hg_rc rc = k ? HG_OK : HG_E_NOMEM;
	HG_ASSERT(count <= TLS_CLIENT_CAS_MAX);
	why[0] = 0;
	if (!k) return rc;
	atomic_store(&k->refs, 1);
	k->store = X509_STORE_new();
	if (!k->store) rc = HG_E_NOMEM;
	for (uint32_t i = 0; i < count && rc == HG_OK; i++) {
		if (ret_at) *ret_at = i;
		rc = ca_add(k, &ca[i], &k->ca[k->count++], why);
	}
	if (rc == HG_OK)
		*ret_clients = k;
	else
		tls_clients_unref(k);
	ERR_clear_error();
	return rc;
}

struct tls_clients *tls_clients_ref(struct tls_clients *k)
{
	atomic_fetch_add(&k->refs, 1);
	return k;
}

void tls_clients_unref(struct tls_clients *k)
{
	if (!k || atomic_fetch_sub(&k->refs, 1) > 1) return;
	for (uint32_t i = 0; i < k->count; i++)
		sk_X509_pop_free(k->ca[i].certs, X509_free);
	X509_STORE_free(k->store);
	free(k);
}

/* ---- asking ---- */

void tls_on_hello(struct tls *t, void (*fn)(void *arg, struct tls *t), void *arg)
{
	t->on_hello = fn;
	t->on_hello_arg = arg;
}

/* Proof of the key is the handshake's part; the rest is looked at when it is over. */
int tls_client_take(X509_STORE_CTX *ctx, void *arg)
{
	(void)ctx, (void)arg;
	return 1;
}

void tls_ask(struct tls *t, struct tls_clients *k, uint32_t cas)
{
	static const unsigned char context[] = "headgate client";
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	for (uint32_t i = 0; names && i < k->count; i++) {
		if (!(cas >> i & 1)) continue;
		for (int n = 0; n < sk_X509_num(k->ca[i].certs); n++) {
			X509 *x = sk_X509_value(k->ca[i].certs, n);
			X509_NAME *name = X509_NAME_dup(X509_get_subject_name(x));
			if (!name || !sk_X509_NAME_push(names, name)) X509_NAME_free(name);
		}
	}
	SSL_set0_CA_list(t->ssl, names); /* advice; without it the client has to guess */
	SSL_set_verify(t->ssl, SSL_VERIFY_PEER, NULL);
	SSL_set_max_cert_list(t->ssl, TLS_CLIENT_CHAIN_MAX);
	/* Neither resumes what another connection agreed on, nor can be resumed. */
	SSL_set_options(t->ssl, SSL_OP_NO_TICKET);
	(void)SSL_set_num_tickets(t->ssl, 0);
	(void)SSL_set_session_id_context(t->ssl, context, sizeof context - 1);
	t->asked = true;
}

bool tls_asked(const struct tls *t)
{
	return t->asked;
}

/* ---- is it good? ---- */

static bool chain_has(const STACK_OF(X509) * chain, const STACK_OF(X509) * certs)
{
	for (int i = 0; i < sk_X509_num(chain); i++)
		for (int n = 0; n < sk_X509_num(certs); n++)
			if (X509_cmp(sk_X509_value(chain, i), sk_X509_value(certs, n)) == 0)
				return true;
	return false;
}

/* Authorities without a list revoke nothing; one with a list must have said something about the
 * certificate. */
static int on_verify(int ok, X509_STORE_CTX *ctx)
{
	const struct tls_clients *k = X509_STORE_CTX_get_app_data(ctx);
	if (ok || X509_STORE_CTX_get_error(ctx) != X509_V_ERR_UNABLE_TO_GET_CRL) return ok;
	const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
	for (uint32_t i = 0; i < k->count; i++)
		if (k->ca[i].revokes && chain_has(chain, k->ca[i].certs)) return 0;
	X509_STORE_CTX_set_error(ctx, X509_V_OK);
	return 1;
}

static bool verify(const struct tls_clients *k, SSL *ssl, X509 *leaf, struct tls_identity *to)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	bool good = ctx && X509_STORE_CTX_init(ctx, k->store, leaf, SSL_get_peer_cert_chain(ssl));
	to->why = good ? NULL : "memory is exhausted";
	if (good) {
		X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
		unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST;
		if (k->revokes) flags |= X509_V_FLAG_CRL_CHECK;
		X509_VERIFY_PARAM_set_flags(p, flags);
		X509_VERIFY_PARAM_set_depth(p, DEPTH_MAX);
		X509_VERIFY_PARAM_set_auth_level(p, 1);
		X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT);
		X509_STORE_CTX_set_app_data(ctx, (void *)(uintptr_t)k);
		X509_STORE_CTX_set_verify_cb(ctx, on_verify);
		good = X509_verify_cert(ctx) == 1;
		if (!good) to->why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
	}
	for (uint32_t i = 0; good && i < k->count; i++)
		if (chain_has(X509_STORE_CTX_get0_chain(ctx), k->ca[i].certs)) to->cas |= 1u << i;
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

/* ---- what it says ---- */

static void subject(struct hg_out *o, X509 *leaf)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p;
	/* RFC 2253 in ASCII: control bytes and those beyond are written as \XX. */
	unsigned long how = XN_FLAG_RFC2253;
	long n = b && X509_NAME_print_ex(b, X509_get_subject_name(leaf), 0, how) >= 0
	                 ? BIO_get_mem_data(b, &p)
	                 : 0;
	hg_out_cstr(o, "X-Client-Cert-Subject: ");
	for (long i = 0; i < n; i++)
		hg_out_byte(o, p[i] >= ' ' && p[i] < 127 ? p[i] : '?');
	hg_out_cstr(o, "\r\n");
	BIO_free(b);
}

static void fingerprint(struct hg_out *o, const unsigned char *der, size_t n)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (EVP_Digest(der, n, sum, &len, EVP_sha256(), NULL) != 1) len = 0;
	hg_out_cstr(o, "X-Client-Cert-Fingerprint: ");
	for (unsigned i = 0; i < len; i++)
		hg_out_fmt(o, "%02x", sum[i]);
	hg_out_cstr(o, "\r\n");
}

/* What could end the item or the field is not passed on at all. */
static bool plain(struct hg_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 127 || strchr(",;\"\\<>", s.p[i])) return false;
	return s.n > 0 && s.n <= 1024;
}

static void alt_names(struct hg_out *o, const GENERAL_NAMES *names, int type, const char *field)
{
	uint32_t n = 0;
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		if (g->type != type) continue;
		const ASN1_STRING *v =
		        type == GEN_URI ? g->d.uniformResourceIdentifier : g->d.dNSName;
		struct hg_str s = {
		        (const char *)ASN1_STRING_get0_data(v), (size_t)ASN1_STRING_length(v)};
		if (!plain(s) || o->n > TLS_CLIENT_FIELDS_MAX / 8) continue;
		hg_out_cstr(o, n++ ? ", " : field);
		hg_out_str(o, s);
	}
	if (n) hg_out_cstr(o, "\r\n");
}

/* RFC 9440 section 2.1: a byte sequence of RFC 8941. */
static void whole(struct hg_out *o, const unsigned char *der, size_t n)
{
	unsigned char text[65];
	hg_out_cstr(o, "Client-Cert: :");
	for (size_t at = 0; at < n; at += 48) {
		int k = EVP_EncodeBlock(text, der + at, (int)HG_MIN(n - at, (size_t)48));
		hg_out_str(o, (struct hg_str){(const char *)text, (size_t)k});
	}
	hg_out_cstr(o, ":\r\n");
}

static bool fields_write(X509 *leaf, struct tls_identity *to)
{
	char text[TLS_CLIENT_FIELDS_MAX];
	unsigned char *der = NULL;
	int n = i2d_X509(leaf, &der);
	struct hg_out o = hg_out_over(text, sizeof text);
	bool fits = n > 0 && (unsigned)n <= TLS_CLIENT_CERT_MAX;
	if (fits) {
		GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
		fingerprint(&o, der, (size_t)n);
		alt_names(&o, names, GEN_URI, "X-Client-Cert-San-Uri: ");
		alt_names(&o, names, GEN_DNS, "X-Client-Cert-San-Dns: ");
		subject(&o, leaf);
		whole(&o, der, (size_t)n);
		GENERAL_NAMES_free(names);
	}
	OPENSSL_free(der);
	if (!fits || hg_out_failed(&o)) return false;
	to->fields = malloc(o.n);
	if (to->fields) memcpy(to->fields, text, o.n);
	to->fields_n = to->fields ? o.n : 0;
	return to->fields != NULL;
}

static enum tls_peer look(struct tls *t, struct tls_clients *k, struct tls_identity *to)
{
	X509 *leaf = SSL_get0_peer_certificate(t->ssl);
	to->cas = 0;
	free(to->fields);
	to->fields = NULL;
	to->fields_n = 0;
	to->why = NULL;
	if (!leaf) return TLS_PEER_NONE;
	if (!verify(k, t->ssl, leaf, to)) return TLS_PEER_BAD;
	if (fields_write(leaf, to)) return TLS_PEER_GOOD;
	to->cas = 0;
	to->why = "the certificate is too large";
	return TLS_PEER_BAD;
}

enum tls_peer tls_peer(struct tls *t, struct tls_clients *k, uint32_t *ret_cas)
{
	struct tls_identity *i = t->identity;
	*ret_cas = 0;
	if (!t->open || !t->asked || !SSL_get0_peer_certificate(t->ssl)) return TLS_PEER_NONE;
	if (!i) i = t->identity = calloc(1, sizeof *i);
	if (!i) return TLS_PEER_BAD;
	if (i->by != k) {
		tls_clients_unref(i->by);
		i->by = tls_clients_ref(k);
		i->is = look(t, k, i);
		snprintf(i->said, sizeof i->said, "the client certificate is not valid: %s",
		        i->why ? i->why : "");
	}
	*ret_cas = i->cas;
	return i->is;
}

const char *tls_peer_why(const struct tls *t)
{
	return t->identity ? t->identity->said : "memory is exhausted";
}

struct hg_str tls_peer_fields(const struct tls *t)
{
	const struct tls_identity *i = t->identity;
	if (!i || i->is != TLS_PEER_GOOD) return HG_STR("");
	return (struct hg_str){i->fields, i->fields_n};
}

void tls_identity_free(struct tls_identity *i)
{
	if (!i) return;
	tls_clients_unref(i->by);
	free(i->fields);
	free(i);
}
