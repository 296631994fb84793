/* Settings of a TLS server, and which certificate answers for which name. */
#include "os/tls_priv.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Only suites with forward secrecy and authenticated encryption (RFC 9325 section 4.2). */
#define SUITES_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS     "X25519:P-256:P-384"
#define SUITES_1_3 "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
/* ECDSA first: a signature costs a fifteenth of RSA's. */
#define SIGALGS                                                             \
	"ECDSA+SHA256:ed25519:ECDSA+SHA384:rsa_pss_rsae_sha256:RSA+SHA256:" \
	"rsa_pss_rsae_sha384:RSA+SHA384:rsa_pss_rsae_sha512:RSA+SHA512:ECDSA+SHA512"
#define TICKET_LIFE_S 43200
#define ACME_ALPN     "acme-tls/1"

/* ---- names ---- */

static SSL_CTX *ctx_for(const struct tls_keyring *k, struct hg_str host)
{
	SSL_CTX *ctx = hg_map_get(&k->by_name, host);
	if (ctx) return ctx;
	const char *dot = memchr(host.p, '.', host.n);
	if (dot && dot > host.p) {
		char wild[TLS_NAME_MAX + 2] = "*";
		size_t n = host.n - (size_t)(dot - host.p);
		memcpy(wild + 1, dot, n);
		ctx = hg_map_get(&k->by_name, (struct hg_str){wild, n + 1});
	}
	return ctx ? ctx : k->ctx[0];
}

/* RFC 6066 section 3: a list with one host name. False: malformed. */
static bool sni_parse(const unsigned char *p, size_t n, struct tls *t)
{
	if (n < 5 || (size_t)(p[0] << 8 | p[1]) != n - 2 || p[2] != 0) return false;
	size_t len = (size_t)(p[3] << 8 | p[4]);
	if (len == 0 || len > n - 5 || len > sizeof t->host) return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char ch = p[5 + i];
		if (ch <= ' ' || ch >= 127) return false;
		t->host[i] = (char)(ch >= 'A' && ch <= 'Z' ? ch + 32 : ch);
	}
	if (t->host[len - 1] == '.') len--;
	t->host_n = (uint8_t)len;
	return true;
}

/* The hello after a HelloRetryRequest is the same (RFC 8446 section 4.1.2): what was decided by the
 * first one's name holds. */
static int again(struct tls *t, bool has, const unsigned char *p, size_t n, int *alert)
{
	struct tls second = {0};
	bool same = has ? sni_parse(p, n, &second) : true;
	same = same && second.host_n == t->host_n && memcmp(second.host, t->host, t->host_n) == 0;
	if (same) return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_ILLEGAL_PARAMETER;
	return SSL_CLIENT_HELLO_ERROR;
}

/* RFC 8737 section 3: the client offers this protocol and no other. */
static bool offers_challenge(SSL *ssl)
{
	static const unsigned char list[] = "\x00\x0b\x0a" ACME_ALPN;
	const unsigned char *p;
	size_t n;
	return SSL_client_hello_get0_ext(
	               ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &p, &n) == 1 &&
	       n == sizeof list - 1 && memcmp(p, list, n) == 0;
}

/* The certificate is chosen before a session is resumed, so that a ticket of one name never opens
 * another. */
static int on_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls *t = SSL_get_app_data(ssl);
	const unsigned char *p;
	size_t n;
	(void)arg;
	bool has = SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) == 1;
	if (t->named) return again(t, has, p, n, alert);
	t->named = true;
	if (has && !sni_parse(p, n, t)) {
		*alert = SSL_AD_DECODE_ERROR;
		return SSL_CLIENT_HELLO_ERROR;
	}
	struct hg_str host = {t->host, t->host_n};
	SSL_CTX *ctx = NULL;
	if (HG_UNLIKELY(t->keyring->challenge_count) && offers_challenge(ssl)) {
		ctx = hg_map_get(&t->keyring->by_challenge, host);
		t->challenge = ctx != NULL;
	}
	/* An authority that validates a name has no certificate to show. */
	if (HG_UNLIKELY(t->on_hello != NULL) && !t->challenge) t->on_hello(t->on_hello_arg, t);
	if (!has) return SSL_CLIENT_HELLO_SUCCESS;
	if (!ctx) ctx = ctx_for(t->keyring, host);
	if (ctx != t->keyring->ctx[0]) SSL_set_SSL_CTX(ssl, ctx);
	return SSL_CLIENT_HELLO_SUCCESS;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
        const unsigned char *in, unsigned in_n, void *arg)
{
	const struct tls *t = SSL_get_app_data(ssl);
	const struct tls_keyring *k = t->keyring;
	unsigned char *chosen;
	(void)arg;
	if (HG_UNLIKELY(t->challenge)) { /* the client has offered nothing else */
		*out = (const unsigned char *)ACME_ALPN;
		*out_n = sizeof ACME_ALPN - 1;
		return SSL_TLSEXT_ERR_OK;
	}
	const char *ours = t->alpn_n ? t->alpn : k->alpn;
	unsigned ours_n = t->alpn_n ? t->alpn_n : k->alpn_n;
	if (ours_n == 0) return SSL_TLSEXT_ERR_NOACK;
	int r = SSL_select_next_proto(
	        &chosen, out_n, (const unsigned char *)ours, ours_n, in, in_n);
	if (r != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 3.2 */
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* ---- tickets ---- */

static const struct tls_ticket_key *ticket_find(
        const struct tls_keyring *k, const unsigned char name[16], bool *ret_newest)
{
	for (uint32_t i = 0; i < k->ticket_count; i++) {
		*ret_newest = i == 0;
		if (memcmp(k->tickets[i].name, name, 16) == 0) return &k->tickets[i];
	}
	return NULL;
}

static int on_ticket(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
        EVP_MAC_CTX *mac, int making)
{
	const struct tls *t = SSL_get_app_data(ssl);
	const struct tls_keyring *k = t->keyring;
	const struct tls_ticket_key *key = &k->tickets[0];
	bool newest = true;
	if (making) {
		if (k->ticket_count == 0) return 0;
		memcpy(name, key->name, 16);
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) return -1;
	} else {
		key = ticket_find(k, name, &newest);
		if (!key) return 0;
	}
	OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(
	                               "key", (void *)(uintptr_t)key->hmac, sizeof key->hmac),
	        OSSL_PARAM_construct_utf8_string("digest", (char[]){"sha256"}, 0),
	        OSSL_PARAM_construct_end()};
	if (EVP_MAC_CTX_set_params(mac, params) != 1) return -1;
	int ok = making ? EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv)
	                : EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv);
	if (ok != 1) return -1;
	return newest ? 1 : 2; /* 2: resumed, and the client gets a new ticket */
}

/* ---- making ---- */

static bool ctx_settings(SSL_CTX *ctx, const struct tls_keyring *k, bool allow_1_2)
{
	static const unsigned char session[] = "headgate";
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
	                                 SSL_OP_CIPHER_SERVER_PREFERENCE |
	                                 SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1); /* a record costs one recv, not two */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ctx, TICKET_LIFE_S);
	SSL_CTX_set_client_hello_cb(ctx, on_hello, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, tls_client_take, NULL);
	if (k->alpn_n || k->challenge_count) SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	if (k->ticket_count == 0) SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	return SSL_CTX_set_min_proto_version(ctx, allow_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION) &&
	       SSL_CTX_set_cipher_list(ctx, SUITES_1_2) &&
	       SSL_CTX_set_ciphersuites(ctx, SUITES_1_3) && SSL_CTX_set1_groups_list(ctx, GROUPS) &&
	       SSL_CTX_set1_sigalgs_list(ctx, SIGALGS) &&
	       SSL_CTX_set_num_tickets(ctx, k->ticket_count ? 1 : 0) &&
	       SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) &&
	       SSL_CTX_set_session_id_context(ctx, session, sizeof session - 1);
}

struct naming {
	struct tls_keyring *keyring;
	SSL_CTX *ctx;
	const struct tls_pem *pem;
	enum hg_rc rc;
};

static int key_type(const SSL_CTX *ctx)
{
	const EVP_PKEY *key = SSL_CTX_get0_privatekey(ctx);
	return key ? EVP_PKEY_get_base_id(key) : 0;
}

/* The first certificate of a name answers for it; one with another kind of key joins it. */
static bool name_take(void *arg, struct hg_str name)
{
	struct naming *n = arg;
	char why[TLS_WHY_MAX];
	SSL_CTX *had = hg_map_get(&n->keyring->by_name, name);
	if (!had) {
		n->rc = hg_map_put(&n->keyring->by_name, name, n->ctx);
	} else if (had != n->ctx && key_type(had) != key_type(n->ctx)) {
		/* Taken already, or of a kind that the first has: the first stays. */
		if (tls_ctx_load(had, n->pem, why) < 0) ERR_clear_error();
	}
	return n->rc == HG_OK;
}

static enum hg_rc ctx_add(
        struct tls_keyring *k, const struct tls_conf *conf, uint32_t i, char why[TLS_WHY_MAX])
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx) return HG_E_NOMEM;
	k->ctx[k->count++] = ctx;
	if (!ctx_settings(ctx, k, conf->allow_1_2)) {
		tls_say(why, "OpenSSL does not take the settings");
		return HG_E_INVALID;
	}
	enum hg_rc rc = tls_ctx_load(ctx, &conf->pem[i], why);
	if (rc < 0) return rc;
	struct naming n = {k, ctx, &conf->pem[i], HG_OK};
	tls_x509_names(SSL_CTX_get0_certificate(ctx), name_take, &n);
	return n.rc;
}

static bool challenge_take(void *arg, struct hg_str name)
{
	struct naming *n = arg;
	n->rc = hg_map_put(&n->keyring->by_challenge, name, n->ctx);
	return n->rc == HG_OK;
}

static enum hg_rc challenge_add(
        struct tls_keyring *k, const struct tls_conf *conf, uint32_t i, char why[TLS_WHY_MAX])
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx) return HG_E_NOMEM;
	k->challenge[i] = ctx;
	/* An authority may well be older than what we ask of clients. */
	if (!ctx_settings(ctx, k, true)) {
		tls_say(why, "OpenSSL does not take the settings");
		return HG_E_INVALID;
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	enum hg_rc rc = tls_ctx_load(ctx, &conf->challenge[i], why);
	if (rc < 0) return rc;
	struct naming n = {k, ctx, &conf->challenge[i], HG_OK};
	tls_x509_names(SSL_CTX_get0_certificate(ctx), challenge_take, &n);
	return n.rc;
}

enum hg_rc tls_keyring_new(
        const struct tls_conf *conf, struct tls_keyring **ret_keyring, char why[TLS_WHY_MAX])
{
	uint64_t seed = 0;
	struct tls_keyring *k = calloc(1, sizeof *k);
	enum hg_rc rc = HG_OK;
	why[0] = 0;
	if (!k) return HG_E_NOMEM;
	atomic_store(&k->refs, 1);
	if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = (uintptr_t)k;
	hg_map_init(&k->by_name, seed);
	hg_map_init(&k->by_challenge, seed);
	k->ticket_count = HG_MIN(conf->ticket_count, (uint32_t)TLS_TICKETS_MAX);
	if (k->ticket_count)
		memcpy(k->tickets, conf->tickets, k->ticket_count * sizeof *conf->tickets);
	if (conf->alpn) k->alpn_n = (uint32_t)snprintf(k->alpn, sizeof k->alpn, "%s", conf->alpn);
	HG_ASSERT(k->alpn_n < sizeof k->alpn);
	if (conf->pem_count == 0) {
		snprintf(why, TLS_WHY_MAX, "there is no certificate");
		rc = HG_E_INVALID;
		goto out;
	}
	k->ctx = calloc(conf->pem_count, sizeof *k->ctx);
	k->challenge = calloc(conf->challenge_count + 1, sizeof *k->challenge);
	k->method = k->ctx && k->challenge ? tls_bio_method() : NULL;
	rc = k->method ? HG_OK : HG_E_NOMEM;
	if (k->challenge) k->challenge_count = conf->challenge_count;
	for (uint32_t i = 0; i < conf->pem_count && rc == HG_OK; i++)
		rc = ctx_add(k, conf, i, why);
	for (uint32_t i = 0; i < k->challenge_count && rc == HG_OK; i++)
		rc = challenge_add(k, conf, i, why);
	if (rc == HG_OK) {
		*ret_keyring = k;
		k = NULL;
	}
out:
	tls_keyring_unref(k);
	return rc;
}

struct tls_keyring *tls_keyring_ref(struct tls_keyring *k)
{
	atomic_fetch_add(&k->refs, 1);
	return k;
}

void tls_keyring_unref(struct tls_keyring *k)
{
	if (!k || atomic_fetch_sub(&k->refs, 1) > 1) return;
	for (uint32_t i = 0; i < k->count; i++)
		SSL_CTX_free(k->ctx[i]);
	for (uint32_t i = 0; i < k->challenge_count; i++)
		SSL_CTX_free(k->challenge[i]);
	hg_map_fini(&k->by_name);
	hg_map_fini(&k->by_challenge);
	free(k->challenge);
	BIO_meth_free(k->method);
	free(k->ctx);
	OPENSSL_cleanse(k->tickets, sizeof k->tickets);
	free(k);
}
