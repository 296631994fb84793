/* One connection of TLS over a non-blocking socket. */
#include "os/tls_priv.h"
#include "os/tls_remote.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* ---- the socket, as OpenSSL sees it ---- */

static int bio_read(BIO *b, char *to, int cap)
{
	struct tls *t = BIO_get_data(b);
	ssize_t n;
	BIO_clear_retry_flags(b);
	if (t->ended) return 0;
	if (!t->readable) {
		BIO_set_retry_read(b);
		return -1;
	}
	do {
		n = recv(t->fd, to, (size_t)cap, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		t->readable = false;
		BIO_set_retry_read(b);
		return -1;
	}
	if (n <= 0) {
		t->ended = true;
		t->err = n < 0 ? errno : 0;
		return n < 0 ? -1 : 0;
	}
	/* A short read has emptied the socket: what comes later raises a new edge, unless the end
	 * of the stream was announced before. */
	if (n < cap && !t->hung_up) t->readable = false;
	return (int)n;
}

/*
 * A TLS 1.3 ticket is nothing anybody waits for: it leaves in one packet with the first thing that
 * is said, which saves a system call and the client a wake-up. True: it is kept.
 */
static bool ticket_hold(struct tls *t, const char *from, size_t count)
{
	if (t->open || t->held || SSL_get_state(t->ssl) != TLS_ST_SW_SESSION_TICKET ||
	        SSL_version(t->ssl) != TLS1_3_VERSION) {
		return false;
	}
	t->held = malloc(count);
	if (!t->held) return false;
	memcpy(t->held, from, count);
	t->held_n = count;
	return true;
}

/* What was held, and `count` bytes behind it: how many of these the socket took. -1: errno. */
static ssize_t held_send(struct tls *t, const char *from, size_t count)
{
	struct iovec v[2] = {
	        {t->held, t->held_n}, {.iov_base = (void *)(uintptr_t)from, .iov_len = count}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
	ssize_t n = sendmsg(t->fd, &m, MSG_NOSIGNAL);
	if (n < 0) return n;
	size_t first = HG_MIN((size_t)n, t->held_n);
	t->sent += first;
	t->held_n -= first;
	memmove(t->held, t->held + first, t->held_n);
	if (t->held_n) {
		errno = EAGAIN;
		return -1;
	}
	free(t->held);
	t->held = NULL;
	return n - (ssize_t)first;
}

static int bio_write(BIO *b, const char *from, int count)
{
	struct tls *t = BIO_get_data(b);
	ssize_t n = -1;
	BIO_clear_retry_flags(b);
	if (HG_UNLIKELY(!t->open) && ticket_hold(t, from, (size_t)count)) return count;
	if (t->writable) {
		do {
			n = HG_UNLIKELY(t->held != NULL)
			            ? held_send(t, from, (size_t)count)
			            : send(t->fd, from, (size_t)count, MSG_NOSIGNAL);
		} while (n < 0 && errno == EINTR);
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
			t->err = errno;
			return -1;
		}
		if (n < count) t->writable = false;
		if (n > 0) t->sent += (uint64_t)n;
	}
	/* 0: only what was held has left; the caller comes again with the same bytes. */
	if (n <= 0) BIO_set_retry_write(b);
	return n <= 0 ? -1 : (int)n;
}

static long bio_ctrl(BIO *b, int what, long n, void *p)
{
	(void)b, (void)n, (void)p;
	return what == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *tls_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "edge socket");
	if (m && BIO_meth_set_read(m, bio_read) && BIO_meth_set_write(m, bio_write) &&
	        BIO_meth_set_ctrl(m, bio_ctrl)) {
		return m;
	}
	BIO_meth_free(m);
	return NULL;
}

/* ---- life ---- */

struct tls *tls_new(struct tls_keyring *k, int fd)
{
	struct tls *t = calloc(1, sizeof *t);
	BIO *b = t ? BIO_new(k->method) : NULL;
	SSL *ssl = b ? SSL_new(k->ctx[0]) : NULL;
	if (!ssl) {
		BIO_free(b);
		free(t);
		ERR_clear_error();
		return NULL;
	}
	t->ssl = ssl;
	t->fd = fd;
	t->readable = t->writable = true;
	t->keyring = tls_keyring_ref(k);
	t->joined = k->joined;
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	SSL_set_bio(ssl, b, b);
	SSL_set_app_data(ssl, t);
	SSL_set_accept_state(ssl);
	return t;
}

void tls_free(struct tls *t)
{
	if (!t) return;
	tls_finish(t);
	SSL_free(t->ssl);
	free(t->held);
	if (HG_UNLIKELY(t->identity != NULL)) tls_identity_free(t->identity);
	if (HG_UNLIKELY(t->session != NULL)) SSL_SESSION_free(t->session);
	tls_keyring_unref(t->keyring);
	tls_remote_unref(t->remote);
	free(t);
}

void tls_ready(struct tls *t, bool readable, bool writable)
{
	t->readable = t->readable || readable;
	t->writable = t->writable || writable;
}

void tls_hung_up(struct tls *t)
{
	t->hung_up = t->readable = true;
}

/* ---- moving bytes ---- */

static enum tls_failure failure_of(unsigned long e)
{
	int reason = ERR_GET_REASON(e);
	if (e == 0) return TLS_FAILED_CLOSED;
	if (ERR_GET_LIB(e) != ERR_LIB_SSL) return TLS_FAILED_OTHER;
	/* An alert of the client is its number above this. */
	if (reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256)
		return TLS_FAILED_ALERT;
	switch (reason) {
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_BAD_RECORD_TYPE:
	case SSL_R_UNEXPECTED_MESSAGE:
	case SSL_R_PACKET_LENGTH_TOO_LONG: return TLS_FAILED_NOT_TLS;
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
	case SSL_R_NO_PROTOCOLS_AVAILABLE: return TLS_FAILED_VERSION;
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_SUITABLE_KEY_SHARE:
	case SSL_R_NO_SUITABLE_GROUPS:
	case SSL_R_NO_SHARED_GROUPS:
	case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
	case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS: return TLS_FAILED_NOTHING_SHARED;
	case SSL_R_NO_APPLICATION_PROTOCOL: return TLS_FAILED_ALPN;
	case SSL_R_UNEXPECTED_EOF_WHILE_READING: return TLS_FAILED_CLOSED;
	default: return TLS_FAILED_OTHER;
	}
}

static int failed(struct tls *t, int err)
{
	unsigned long e = ERR_peek_error();
	const char *reason = ERR_reason_error_string(e);
	int number = ERR_GET_REASON(e) - SSL_AD_REASON_OFFSET;
	if (!t->failed) t->failure = (uint8_t)failure_of(e);
	/* Writing may have failed before, and the peer's reason is found by reading. */
	if (!t->alert && failure_of(e) == TLS_FAILED_ALERT) t->alert = (uint8_t)number;
	/* The peer's end of stream, in TCP's words only. */
	if (t->ended && !t->err) t->cut = true;
	t->failed = true;
	if (reason && !t->why[0]) {
		strncpy(t->why, reason, sizeof t->why - 1);
	}
	ERR_clear_error();
	return err;
}

/* OpenSSL takes what an earlier call left for this one's. Clearing costs more than looking. */
static void errors_forget(void)
{
	if (HG_UNLIKELY(ERR_peek_error() != 0)) ERR_clear_error();
}

int tls_outcome(struct tls *t, int ret)
{
	switch (SSL_get_error(t->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE: return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN: return 0;
	case SSL_ERROR_SYSCALL: return failed(t, t->err ? -t->err : -ECONNRESET);
	default: return failed(t, -EPROTO);
	}
}

int tls_handshake(struct tls *t)
{
	errors_forget();
	int r = SSL_do_handshake(t->ssl);
	if (r == 1) {
		t->open = true;
		return 0;
	}
	r = tls_outcome(t, r);
	return r == 0 ? failed(t, -ECONNRESET) : r;
}

bool tls_more(const struct tls *t)
{
	return t->readable || SSL_has_pending(t->ssl);
}

ssize_t tls_read(struct tls *t, void *to, size_t cap)
{
	size_t n;
	errors_forget();
	int r = SSL_read_ex(t->ssl, to, cap, &n);
	if (HG_LIKELY(r == 1)) {
		t->heard = true;
		return (ssize_t)n;
	}
	return tls_outcome(t, r);
}

/* One record. Pieces smaller than one are put together: a record costs more than a copy. */
static ssize_t record_write(struct tls *t, struct iovec *v, int count, size_t off)
{
	char *joined = t->joined;
	const char *p = (const char *)v->iov_base + off;
	size_t n = v->iov_len - off, took;
	if (n < (size_t)TLS_RECORD_MAX && count > 1) {
		memcpy(joined, p, n);
		for (int i = 1; i < count && n < (size_t)TLS_RECORD_MAX; i++) {
			size_t k = HG_MIN(v[i].iov_len, (size_t)TLS_RECORD_MAX - n);
			memcpy(joined + n, v[i].iov_base, k);
			n += k;
		}
		p = joined;
	}
	errors_forget();
	int r = SSL_write_ex(t->ssl, p, HG_MIN(n, (size_t)TLS_RECORD_MAX), &took);
	if (r == 1) return (ssize_t)took;
	r = tls_outcome(t, r);
	return r == 0 ? -EPIPE : r;
}

ssize_t tls_write(struct tls *t, const struct iovec *pieces, int count)
{
	struct iovec v[8];
	int k = 0;
	size_t off = 0;
	ssize_t done = 0;
	HG_ASSERT(count <= (int)HG_COUNT(v));
	for (int i = 0; i < count; i++)
		if (pieces[i].iov_len) v[k++] = pieces[i];
	for (int at = 0; at < k;) {
		ssize_t n = record_write(t, v + at, k - at, off);
		if (n == -EAGAIN) return done ? done : -EAGAIN;
		if (n < 0) return n;
		done += n;
		for (off += (size_t)n; at < k && off >= v[at].iov_len; at++)
			off -= v[at].iov_len;
	}
	return done;
}

void tls_drop(struct tls *t)
{
	t->failed = true;
}

void tls_finish(struct tls *t)
{
	if (!t->open || t->failed) return;
	errors_forget();
	SSL_shutdown(t->ssl);
	ERR_clear_error();
	t->open = false;
}

/* ---- what was agreed on ---- */

struct hg_str tls_host(const struct tls *t)
{
	return (struct hg_str){t->host, t->host_n};
}

struct hg_str tls_alpn(const struct tls *t)
{
	const unsigned char *p;
	unsigned n;
	SSL_get0_alpn_selected(t->ssl, &p, &n);
	return (struct hg_str){(const char *)p, n};
}

void tls_alpn_only(struct tls *t, const char *protocol)
{
	size_t n = strlen(protocol);
	HG_ASSERT(n + 1 < sizeof t->alpn);
	t->alpn[0] = (char)n;
	memcpy(t->alpn + 1, protocol, n);
	t->alpn_n = (uint8_t)(n + 1);
}

const char *tls_version(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

const char *tls_cipher(const struct tls *t)
{
	return SSL_get_cipher_name(t->ssl);
}

bool tls_resumed(const struct tls *t)
{
	return SSL_session_reused(t->ssl);
}

enum tls_failure tls_failure(const struct tls *t)
{
	return (enum tls_failure)t->failure;
}

bool tls_is_challenge(const struct tls *t)
{
	return t->challenge;
}

const char *tls_why(const struct tls *t)
{
	return t->why;
}
