/* TLS as a client. */
#include "os/tls_remote.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "os/tls_priv.h"

#define SUITES_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS     "X25519:P-256:P-384"
#define DIGEST     32

struct tls_remote {
	_Atomic uint32_t refs;
	SSL_CTX *ctx;
	BIO_METHOD *method;
	unsigned char ca_digest[DIGEST], digest[DIGEST];
	char name[TLS_NAME_MAX + 1];
	bool named; /* by a host name, which the hello says */
	char joined[TLS_RECORD_MAX];
};

struct tls_session {
	SSL_SESSION *is;
	struct tls_remote *by; /* a reference */
};

/* ---- settings ---- */

static bool digest_text(EVP_MD_CTX *c, struct hg_str s)
{
	uint64_t n = s.n; /* where one ends and the next begins counts */
	return EVP_DigestUpdate(c, &n, sizeof n) == 1 && EVP_DigestUpdate(c, s.p, s.n) == 1;
}

static bool digest_of(const struct hg_str *texts, size_t count, unsigned char to[DIGEST])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1;
	for (size_t i = 0; ok && i < count; i++)
		ok = digest_text(c, texts[i]);
	ok = ok && EVP_DigestFinal_ex(c, to, NULL) == 1;
	EVP_MD_CTX_free(c);
	return ok;
}

static bool digests(
        const struct tls_remote_conf *c, unsigned char ca[DIGEST], unsigned char all[DIGEST])
{
	char flags[2] = {c->verify ? '1' : '0', c->allow_1_2 ? '1' : '0'};
	const struct hg_str none = HG_STR("");
	const struct hg_str texts[] = {
	        c->verify ? c->ca : none, c->chain, c->key, c->name, {flags, sizeof flags}};
	return digest_of(texts, 1, ca) && digest_of(texts, HG_COUNT(texts), all);
}

bool tls_remote_is(const struct tls_remote *r, const struct tls_remote_conf *conf)
{
	unsigned char ca[DIGEST], all[DIGEST];
	return digests(conf, ca, all) && memcmp(all, r->digest, DIGEST) == 0;
}

static bool at_end(void)
{
	unsigned long e = ERR_peek_last_error();
	bool end = ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
	if (end) ERR_clear_error();
	return end;
}

static enum hg_rc authorities_read(X509_STORE *to, struct hg_str text, char why[TLS_WHY_MAX])
{
	BIO *in = text.n && text.n <= INT32_MAX ? BIO_new_mem_buf(text.p, (int)text.n) : NULL;
	enum hg_rc rc = HG_OK;
	uint32_t n = 0;
	for (X509 *x;
	        rc == HG_OK && in && (x = PEM_read_bio_X509_AUX(in, NULL, tls_no_phrase, NULL));) {
		if (X509_STORE_add_cert(to, x) != 1) rc = HG_E_NOMEM;
		X509_free(x);
		n++;
	}
	if (rc == HG_OK && in && !at_end()) {
		tls_say(why, "one of its certificates cannot be read");
		rc = HG_E_INVALID;
	}
	BIO_free(in);
	if (rc == HG_OK && n == 0) {
		tls_say(why, "there is no certificate in it");
		rc = HG_E_INVALID;
	}
	return rc;
}

static enum hg_rc authorities_set(struct tls_remote *r, const struct tls_remote_conf *conf,
        struct tls_remote *like, char why[TLS_WHY_MAX])
{
	if (!conf->verify) return HG_OK;
	if (like && memcmp(like->ca_digest, r->ca_digest, DIGEST) == 0) {
		SSL_CTX_set1_cert_store(r->ctx, SSL_CTX_get_cert_store(like->ctx));
		return HG_OK;
	}
	return authorities_read(SSL_CTX_get_cert_store(r->ctx), conf->ca, why);
}

/* What the certificate must say. A name is looked for among the alternative names only, as RFC 9525
 * section 6.3 asks. */
static bool name_set(struct tls_remote *r, const struct tls_remote_conf *conf)
{
	X509_VERIFY_PARAM *p = SSL_CTX_get0_param(r->ctx);
	unsigned char ip[16];
	if (conf->name.n == 0 || conf->name.n > TLS_NAME_MAX) return false;
	memcpy(r->name, conf->name.p, conf->name.n);
	r->named = inet_pton(AF_INET, r->name, ip) != 1 && inet_pton(AF_INET6, r->name, ip) != 1;
	/* Who is trusted need not be a root: the very certificate of the replica will do. */
	X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
	X509_VERIFY_PARAM_set_hostflags(
	        p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (!conf->verify) return true;
	return r->named ? X509_VERIFY_PARAM_set1_host(p, r->name, conf->name.n) == 1
	                : X509_VERIFY_PARAM_set1_ip_asc(p, r->name) == 1;
}

/* The server gives tickets when it likes; the newest one is kept. */
static int on_session(SSL *ssl, SSL_SESSION *s)
{
	struct tls *t = SSL_get_app_data(ssl);
	SSL_SESSION_free(t->session);
	t->session = s;
	return 1;
}

static bool ctx_settings(struct tls_remote *r, const struct tls_remote_conf *conf)
{
	SSL_CTX *ctx = r->ctx;
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	SSL_CTX_set_verify(ctx, conf->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	return SSL_CTX_set_min_proto_version(
	               ctx, conf->allow_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION) &&
	       SSL_CTX_set_cipher_list(ctx, SUITES_1_2) && SSL_CTX_set1_groups_list(ctx, GROUPS);
}

enum hg_rc tls_remote_new(const struct tls_remote_conf *conf, struct tls_remote *like,
        struct tls_remote **ret_remote, char why[TLS_WHY_MAX])
{
	struct tls_remote *r = calloc(1, sizeof *r);
	enum hg_rc rc = HG_OK;
	why[0] = 0;
	if (!r) return HG_E_NOMEM;
	atomic_store(&r->refs, 1);
	r->method = tls_bio_method();
	r->ctx = SSL_CTX_new(TLS_client_method());
	if (!r->method || !r->ctx || !digests(conf, r->ca_digest, r->digest)) {
		rc = HG_E_NOMEM;
	} else if (!ctx_settings(r, conf) || !name_set(r, conf)) {
		tls_say(why, "OpenSSL does not take the settings");
		rc = HG_E_INVALID;
	}
	if (rc == HG_OK) rc = authorities_set(r, conf, like, why);
	if (rc == HG_OK && conf->chain.n) {
		struct tls_pem pem = {conf->chain, conf->key};
		rc = tls_ctx_load(r->ctx, &pem, why);
	}
	if (rc == HG_OK)
		*ret_remote = r;
	else
		tls_remote_unref(r);
	ERR_clear_error();
	return rc;
}

struct tls_remote *tls_remote_ref(struct tls_remote *r)
{
	atomic_fetch_add(&r->refs, 1);
	return r;
}

void tls_remote_unref(struct tls_remote *r)
{
	if (!r || atomic_fetch_sub(&r->refs, 1) > 1) return;
	SSL_CTX_free(r->ctx);
	BIO_meth_free(r->method);
	free(r);
}

/* ---- connections ---- */

static bool session_set(SSL *ssl, const struct tls_remote *r, const struct tls_session *s)
{
	if (!s || s->by != r || !SSL_SESSION_is_resumable(s->is)) return true;
	if ((long)time(NULL) - SSL_SESSION_get_time(s->is) > TLS_REMOTE_SESSION_S) return true;
	return SSL_set_session(ssl, s->is) == 1;
}

static bool alpn_set(SSL *ssl, const char *alpn)
{
	return !alpn ||
	       SSL_set_alpn_protos(ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn)) == 0;
}

struct tls *tls_remote_open(
        struct tls_remote *r, int fd, const struct tls_session *session, const char *alpn)
{
	struct tls *t = calloc(1, sizeof *t);
	BIO *b = t ? BIO_new(r->method) : NULL;
	SSL *ssl = b ? SSL_new(r->ctx) : NULL;
	bool good = ssl && session_set(ssl, r, session) && alpn_set(ssl, alpn) &&
	            (!r->named || SSL_set_tlsext_host_name(ssl, r->name) == 1);
	if (!good) {
		SSL_free(ssl);
		BIO_free(b);
		free(t);
		ERR_clear_error();
		return NULL;
	}
	t->ssl = ssl;
	t->fd = fd;
	t->writable = t->readable = true;
	t->remote = tls_remote_ref(r);
	t->joined = r->joined;
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	SSL_set_bio(ssl, b, b);
	SSL_set_app_data(ssl, t);
	SSL_set_connect_state(ssl);
	return t;
}

struct tls_session *tls_session_take(struct tls *t)
{
	if (!t->session) return NULL;
	struct tls_session *s = calloc(1, sizeof *s);
	if (s) *s = (struct tls_session){t->session, tls_remote_ref(t->remote)};
	if (!s) SSL_SESSION_free(t->session);
	t->session = NULL;
	return s;
}

void tls_session_free(struct tls_session *s)
{
	if (!s) return;
	SSL_SESSION_free(s->is);
	tls_remote_unref(s->by);
	free(s);
}

/* ---- what became of it ---- */

const char *tls_remote_why(const struct tls *t)
{
	long v = SSL_get_verify_result(t->ssl);
	if (v != X509_V_OK && SSL_get_verify_mode(t->ssl) != SSL_VERIFY_NONE)
		return X509_verify_cert_error_string(v);
	if (t->why[0]) return t->why;
	if (t->err) return strerror(t->err);
	return t->ended ? "the connection was closed" : "no answer in time";
}

bool tls_remote_refused(const struct tls *t)
{
	static const uint8_t about_us[] = {SSL_AD_HANDSHAKE_FAILURE, SSL_AD_BAD_CERTIFICATE,
	        SSL_AD_UNSUPPORTED_CERTIFICATE, SSL_AD_CERTIFICATE_REVOKED,
	        SSL_AD_CERTIFICATE_EXPIRED, SSL_AD_CERTIFICATE_UNKNOWN, SSL_AD_UNKNOWN_CA,
	        SSL_AD_ACCESS_DENIED, SSL_AD_DECRYPT_ERROR, SSL_AD_CERTIFICATE_REQUIRED};
	for (size_t i = 0; i < HG_COUNT(about_us); i++)
		if (t->alert == about_us[i]) return !t->heard;
	return false;
}

bool tls_remote_heard(const struct tls *t)
{
	return t->heard;
}

bool tls_remote_waits(struct tls *t)
{
	char c;
	size_t n;
	if (!tls_more(t)) return false;
	ERR_clear_error();
	int r = SSL_peek_ex(t->ssl, &c, 1, &n);
	if (r == 1) return true;
	/* An end or a failure is found again by who reads. */
	return tls_outcome(t, r) != -EAGAIN;
}

bool tls_remote_cut(const struct tls *t)
{
	return t->cut;
}

uint64_t tls_remote_sent(const struct tls *t)
{
	return t->sent;
}
