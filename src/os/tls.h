/*
 * TLS on non-blocking sockets, server side, by OpenSSL 3 (the client side: os/tls_remote.h).
 *
 *   keyring  certificates with their keys, by name; settings; immutable, counted references
 *   tls      one connection; keeps the keyring it began with, so that a newer one drops nobody
 *
 * Sessions are resumed by tickets alone (one a handshake); their keys are given from outside, so
 * that workers share them. Renegotiation, compression and early data are off. The connections of
 * one keyring belong to one thread.
 */
#ifndef HG_OS_TLS_H
#define HG_OS_TLS_H

#include "base/str.h"

#include <sys/types.h>

struct iovec;
struct tls;
struct tls_keyring;

#define TLS_WHY_MAX     256 /* room for a reason, as text for people */
#define TLS_NAME_MAX    253
#define TLS_TICKETS_MAX 3

/* A certificate chain (leaf first) and the private key of its leaf, as PEM. */
struct tls_pem {
	struct hg_str chain, key;
};

/* Wiped by who made it. */
struct tls_ticket_key {
	unsigned char name[16], aes[32], hmac[32];
};

struct tls_conf {
	const struct tls_pem *pem; /* the first one serves clients that name no host we know */
	uint32_t pem_count;
	bool allow_1_2;
	/* The first one makes tickets, all are accepted; none: no resumption. */
	const struct tls_ticket_key *tickets;
	uint32_t ticket_count;
	const char *alpn; /* our preference, e.g. "\x02h2\x08http/1.1"; NULL: none */
	/* Answer for their name alone, and only a client that speaks "acme-tls/1" (RFC 8737). */
	const struct tls_pem *challenge;
	uint32_t challenge_count;
};

/* What a certificate says. Names are lower case; a wildcard begins with "*.". */
struct tls_cert {
	int64_t from_s, until_s; /* wall clock, seconds since 1970 */
	bool ec;
	uint32_t name_count; /* all of them */
	char names[16][TLS_NAME_MAX + 1];
};

/*
 * Reads a chain and its key: HG_OK, HG_E_INVALID with the reason in `why` (that the key is
 * another's, that there is no certificate, …), HG_E_NOMEM. `ret_cert` may be NULL.
 */
HG_MUST enum hg_rc tls_pem_check(
        const struct tls_pem *pem, struct tls_cert *ret_cert, char why[TLS_WHY_MAX]);
/* Is the host name (lower case) one of the certificate's first 16? */
bool tls_cert_covers(const struct tls_cert *c, struct hg_str host);

/* The PEM texts are not needed afterwards. One reference; HG_E_INVALID with `why`, HG_E_NOMEM. */
HG_MUST enum hg_rc tls_keyring_new(
        const struct tls_conf *conf, struct tls_keyring **ret_keyring, char why[TLS_WHY_MAX]);
struct tls_keyring *tls_keyring_ref(struct tls_keyring *k);
void tls_keyring_unref(struct tls_keyring *k);

/* From now until the end of its handshake, no protocol but this one (static text) is agreed on. */
void tls_alpn_only(struct tls *t, const char *protocol);
/* Takes a reference to the keyring; not the descriptor, which stays the caller's. NULL: memory. */
struct tls *tls_new(struct tls_keyring *k, int fd);
/* Says goodbye if the handshake was over and nothing failed; never blocks. */
void tls_free(struct tls *t);

/*
 * The socket has become readable or writable, as an edge-triggered event says. A new connection
 * counts as both. Until then, calls that found the socket empty or full make no system call.
 */
void tls_ready(struct tls *t, bool readable, bool writable);
/* The peer has stopped sending: there is something to read until its end was read. */
void tls_hung_up(struct tls *t);

/*
 * 0 when the handshake is over, -EAGAIN, -EPROTO (refused: tls_why), -ECONNRESET. Reading and
 * writing before that is an error of the caller.
 */
HG_MUST int tls_handshake(struct tls *t);
/*
 * Decrypted bytes; 0 when the peer said that nothing more comes, or closed without a word (HTTP
 * frames its messages itself); -EAGAIN; -EPROTO for a violation; -errno of the socket.
 */
HG_MUST ssize_t tls_read(struct tls *t, void *to, size_t cap);
/* Could another tls_read give something before the next edge? False: asking would be for nothing.
 */
bool tls_more(const struct tls *t);
/*
 * Bytes taken of the pieces, in order; fewer only when the socket is full; -EAGAIN when it was full
 * before the first one; -errno. After fewer, or -EAGAIN, the next call must offer bytes that begin
 * with those not taken: part of them may be on their way.
 */
HG_MUST ssize_t tls_write(struct tls *t, const struct iovec *pieces, int count);
/* No goodbye will be said: what was sent is not whole. */
void tls_drop(struct tls *t);
/* Says that nothing more will be written; failures do not matter. */
void tls_finish(struct tls *t);

/* The host that the client named, lower case; empty when it named none. */
struct hg_str tls_host(const struct tls *t);
/* The protocol that was agreed on by ALPN, e.g. "h2"; empty: none. */
struct hg_str tls_alpn(const struct tls *t);
/* "TLSv1.3"; the cipher suite's name. Static texts, valid after the handshake. */
const char *tls_version(const struct tls *t);
const char *tls_cipher(const struct tls *t);
bool tls_resumed(const struct tls *t);
/* What kind of failure that was, for counting. */
enum tls_failure {
	TLS_FAILED_NOT_TLS, /* bytes of something else */
	TLS_FAILED_VERSION,
	TLS_FAILED_NOTHING_SHARED, /* no common suite, group or signature */
	TLS_FAILED_ALPN,
	TLS_FAILED_ALERT,  /* the client refused: our certificate, perhaps */
	TLS_FAILED_CLOSED, /* the client went away */
	TLS_FAILED_OTHER,
	TLS_FAILED_TIMEOUT, /* found by who waits */
	TLS_FAILURES
};
enum tls_failure tls_failure(const struct tls *t);
/* The handshake was all the client may have: it validates an ACME challenge. */
bool tls_is_challenge(const struct tls *t);
/* Why the handshake failed, e.g. "no shared cipher"; empty when it did not. */
const char *tls_why(const struct tls *t);

#endif
