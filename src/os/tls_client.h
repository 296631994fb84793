/*
 * Certificates of clients: which authorities they may come from, and what they say.
 *
 *   clients  authorities with their revocation lists; immutable, counted references
 *
 * A handshake only asks for a certificate and proves that the client has its key. Whether it is
 * good is found afterwards, and again when the authorities have changed, so that a connection that
 * lives long does not outlive a revocation. Sessions with a certificate, or of connections that
 * were asked for one, are never resumed: no identity can be carried from one host name to another.
 */
#ifndef HG_OS_TLS_CLIENT_H
#define HG_OS_TLS_CLIENT_H

#include "os/tls.h"

#define TLS_CLIENT_CAS_MAX    32u    /* authorities; a bit each */
#define TLS_CLIENT_CERT_MAX   8192u  /* bytes of a certificate (DER) that is passed on */
#define TLS_CLIENT_CHAIN_MAX  32768u /* of what a client may send */
#define TLS_CLIENT_FIELDS_MAX 16384u

struct tls_clients;

/* An authority: its certificates and, if it revokes any, its list; PEM. */
struct tls_ca {
	struct hg_str certs, crl;
};

/* HG_E_INVALID with `why`; the CA's number is in *ret_at (may be NULL). HG_E_NOMEM. */
HG_MUST enum hg_rc tls_clients_new(const struct tls_ca *ca, uint32_t count,
        struct tls_clients **ret_clients, uint32_t *ret_at, char why[TLS_WHY_MAX]);
struct tls_clients *tls_clients_ref(struct tls_clients *k);
void tls_clients_unref(struct tls_clients *k);
/*
 * What the files of one authority say: ret_cert->until_s is the first end of its certificates,
 * names[0] the subject of the first one; *ret_crl_until_s: the end of its list, 0: it has none.
 */
HG_MUST enum hg_rc tls_ca_check(const struct tls_ca *ca, struct tls_cert *ret_cert,
        int64_t *ret_crl_until_s, char why[TLS_WHY_MAX]);

/* `fn` is called when the client's hello was read (tls_host), before anything is answered. */
void tls_on_hello(struct tls *t, void (*fn)(void *arg, struct tls *t), void *arg);
/* Asks the client for a certificate of one of these authorities; only from within tls_on_hello. */
void tls_ask(struct tls *t, struct tls_clients *k, uint32_t cas);
bool tls_asked(const struct tls *t);

enum tls_peer {
	TLS_PEER_NONE, /* it showed no certificate */
	TLS_PEER_BAD,  /* why: tls_peer_why */
	TLS_PEER_GOOD,
};
/*
 * What the client showed, by these authorities; looked at once as long as they are the same.
 * *ret_cas: those that the certificate comes from.
 */
enum tls_peer tls_peer(struct tls *t, struct tls_clients *k, uint32_t *ret_cas);
/* A sentence for people; lives as long as the connection. */
const char *tls_peer_why(const struct tls *t);
/* Whole field lines that tell an application who the client is; "" unless it is TLS_PEER_GOOD. */
struct hg_str tls_peer_fields(const struct tls *t);

#endif
