/* What the files of TLS share. */
#ifndef HG_OS_TLS_PRIV_H
#define HG_OS_TLS_PRIV_H

#include "base/map.h"
#include "os/tls.h"

#include <openssl/ssl.h>

#define TLS_RECORD_MAX 16384

struct tls_keyring {
	_Atomic uint32_t refs;
	uint32_t count;
	SSL_CTX **ctx;         /* one a certificate; [0] is the default */
	struct hg_map by_name; /* name → SSL_CTX */
	SSL_CTX **challenge;   /* one a name that is being validated */
	uint32_t challenge_count;
	struct hg_map by_challenge;
	BIO_METHOD *method;
	struct tls_ticket_key tickets[TLS_TICKETS_MAX];
	uint32_t ticket_count;
	char alpn[64];
	uint32_t alpn_n;
	char joined[TLS_RECORD_MAX]; /* small pieces on their way into one record */
};

struct tls {
	SSL *ssl;
	struct tls_keyring *keyring; /* NULL: we are the client */
	struct tls_remote *remote;   /* … of this one; else NULL */
	SSL_SESSION *session;        /* the newest that the server gave */
	char *joined;                /* of either: TLS_RECORD_MAX bytes */
	uint64_t sent;               /* bytes that the socket has taken */
	char *held;                  /* a ticket that leaves with the first bytes; else NULL */
	size_t held_n;
	int fd, err;       /* errno of the socket's last failure */
	bool readable;     /* the socket may have bytes */
	bool writable;     /* … may take bytes */
	bool ended;        /* 0 was read, or an error */
	bool hung_up;      /* end of stream announced: no more edges come */
	bool challenge;    /* "acme-tls/1" is spoken */
	bool open, failed; /* the handshake is over; nothing more can be said */
	bool asked;        /* for a certificate */
	void (*on_hello)(void *arg, struct tls *t);
	void *on_hello_arg;
	struct tls_identity *identity; /* of the client, NULL: not looked at */
	bool named;                    /* host is what the first hello said */
	uint8_t host_n, alpn_n;
	char alpn[16]; /* instead of the keyring's; alpn_n 0: that */
	char host[TLS_NAME_MAX];
	uint8_t failure; /* enum tls_failure */
	uint8_t alert;   /* that the peer sent, 0: none */
	bool heard;      /* something was read */
	bool cut;        /* it ended without a goodbye */
	char why[64];
};

/* What SSL_* said, as -EAGAIN or a failure, which is noted; 0: the peer's end of stream. */
int tls_outcome(struct tls *t, int ret);
/* Its BIOs carry a struct tls. NULL: memory. */
BIO_METHOD *tls_bio_method(void);
/* tls_client.c: a context takes any certificate; whether it is good is found later. */
int tls_client_take(X509_STORE_CTX *ctx, void *arg);
void tls_identity_free(struct tls_identity *i);
/* Reads certificates and key into a context that has none of this kind of key. */
enum hg_rc tls_ctx_load(SSL_CTX *ctx, const struct tls_pem *pem, char why[TLS_WHY_MAX]);
/* Calls `each` for every DNS name of the context's newest certificate, lower case, until false. */
bool tls_x509_names(X509 *leaf, bool (*each)(void *arg, struct hg_str name), void *arg);
/* A pass phrase is never given: for OpenSSL's readers of PEM. */
int tls_no_phrase(char *to, int cap, int writing, void *arg);
/* The oldest error of OpenSSL's queue as text, which is then empty. */
void tls_say(char why[TLS_WHY_MAX], const char *what);

#endif
