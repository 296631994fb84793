/*
 * TLS as a client: to replicas.
 *
 *   remote   how one kind of server is spoken to: authorities, its name, our certificate;
 *            immutable, counted references
 *   session  what a connection left for the next one, so that it need not prove everything again
 *
 * A connection is a struct tls: tls_handshake, tls_read and the like of os/tls.h work on it, with
 * one difference: an end without the peer's goodbye (close_notify) is an error, as RFC 8446
 * section 6.1 asks. The connections of one remote belong to one thread.
 */
#ifndef HG_OS_TLS_REMOTE_H
#define HG_OS_TLS_REMOTE_H

#include "os/tls.h"

struct tls_remote;
struct tls_session;

#define TLS_REMOTE_SESSION_S 3600 /* older ones are not taken up again */

struct tls_remote_conf {
	struct hg_str ca;         /* PEM of the authorities; not needed without `verify` */
	struct hg_str chain, key; /* what we show when asked; empty: nothing */
	struct hg_str name;       /* what its certificate must say: a host name or an address */
	bool verify, allow_1_2;
};

/*
 * The texts are not needed afterwards. `like`: one whose authorities may be the same text, which
 * are then shared; or NULL. HG_E_INVALID with `why`, HG_E_NOMEM.
 */
HG_MUST enum hg_rc tls_remote_new(const struct tls_remote_conf *conf, struct tls_remote *like,
        struct tls_remote **ret_remote, char why[TLS_WHY_MAX]);
struct tls_remote *tls_remote_ref(struct tls_remote *r);
void tls_remote_unref(struct tls_remote *r); /* NULL is fine */
/* Was it made from the same? */
bool tls_remote_is(const struct tls_remote *r, const struct tls_remote_conf *conf);

/*
 * Over a socket that is connected and stays the caller's. `session`: NULL, or one of the same
 * remote (others are left alone; stays the caller's). `alpn`: as in tls_conf, NULL: none offered.
 * NULL: memory.
 */
struct tls *tls_remote_open(
        struct tls_remote *r, int fd, const struct tls_session *session, const char *alpn);
/* The newest session that the server gave since the last call, the caller's; NULL: none. */
struct tls_session *tls_session_take(struct tls *t);
void tls_session_free(struct tls_session *s); /* NULL is fine */

/* Why it failed, in OpenSSL's words: "certificate has expired", "hostname mismatch", an alert of
 * the server's; never empty. */
const char *tls_remote_why(const struct tls *t);
/* The server ended the handshake after ours was over: it does not like our certificate, or wants
 * one. Nothing that was sent was looked at. */
bool tls_remote_refused(const struct tls *t);
/* Has it said anything to the application yet? */
bool tls_remote_heard(const struct tls *t);
/* Would tls_read give something else than -EAGAIN? What is said to TLS alone is taken. */
bool tls_remote_waits(struct tls *t);
/* It ended without saying goodbye. */
bool tls_remote_cut(const struct tls *t);
/* Bytes that the socket has taken so far. */
uint64_t tls_remote_sent(const struct tls *t);

#endif
