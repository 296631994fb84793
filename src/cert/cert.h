/*
 * Certificates and private keys on their way from control to the edge: one sealed memfd that
 * control makes, the warden keeps and passes on unread, and each worker turns into a keyring.
 * They are in no snapshot and on no disk of the edge.
 */
#ifndef CERT_CERT_H
#define CERT_CERT_H

#include "base/err.h"
#include "os/tls.h"
#include "os/tls_remote.h"

#define CERT_MAX       1024u       /* certificates of one edge */
#define CERT_FILE_MAX  (1u << 20)  /* bytes of a PEM file */
#define CERT_TOTAL_MAX (32u << 20) /* bytes of all of them */

#define CERT_TOKENS_MAX 64u  /* challenges of http-01 at a time */
#define CERT_TOKEN_MAX  128u /* characters of a token; 43 are usual */

/* What a validating authority asks for and hears (RFC 8555 section 8.3). */
struct cert_token {
	char token[CERT_TOKEN_MAX + 1];
	char answer[CERT_TOKEN_MAX + 47]; /* the key authorization: "token.thumbprint" */
};
/* What lies behind them in a bundle is aligned. */
_Static_assert(sizeof(struct cert_token) % 8 == 0, "a multiple of eight bytes");

#define CERT_REMOTES_MAX 1024u

/* How the replicas of an app are spoken to by TLS. */
struct cert_remote_conf {
	struct hg_str app;
	struct tls_remote_conf conf;
};

/* What goes with the certificates, and is gone with the next bundle. */
struct cert_extra {
	uint64_t generation; /* what a worker acknowledges */
	const struct cert_token *tokens;
	uint32_t token_count;
	const struct cert_remote_conf *remotes;
	uint32_t remote_count;
	struct hg_str identities; /* how clients of apps prove who they are (auth/provider.h) */
};

/*
 * A sealed memfd (the caller's) with what the conf says, without ALPN: what an edge speaks is its
 * own affair. HG_E_TOO_LARGE beyond the limits above, HG_E_IO, HG_E_NOMEM.
 */
HG_MUST enum hg_rc cert_bundle_make(const struct tls_conf *conf, const struct cert_extra *extra,
        int *ret_fd, struct hg_err *err);

/* What a worker makes of one. */
struct cert_opened {
	struct tls_keyring *keyring; /* the caller's reference; NULL: without certificates */
	uint64_t generation;
	struct cert_token *tokens; /* the caller frees them; NULL: none */
	uint32_t token_count;
};
/*
 * Opens one; the memfd can be closed afterwards. HG_E_INVALID for anything that is not a whole
 * bundle, or that OpenSSL does not take. `why` as in tls.h.
 */
HG_MUST enum hg_rc cert_bundle_open(
        int fd, const char *alpn, struct cert_opened *ret_opened, char why[TLS_WHY_MAX]);
/* What it says of apps whose replicas speak TLS. */
struct cert_remotes {
	uint32_t count;
	struct cert_remote {
		char *app;
		struct tls_remote *remote; /* a reference */
	} one[];
};
/*
 * The other part of a bundle that can be opened; NULL: there are none. `old` (may be NULL) gives
 * what has not changed. Codes as above.
 */
HG_MUST enum hg_rc cert_bundle_remotes(int fd, const struct cert_remotes *old,
        struct cert_remotes **ret_remotes, char why[TLS_WHY_MAX]);
/* Stays theirs; NULL: that app has none. */
struct tls_remote *cert_remotes_find(const struct cert_remotes *r, struct hg_str app);
void cert_remotes_free(struct cert_remotes *r); /* NULL is fine */

/*
 * A copy of the text about identities, *ret_n bytes; the caller wipes and frees it. NULL: there is
 * none. HG_E_INVALID, HG_E_NOMEM.
 */
HG_MUST enum hg_rc cert_bundle_identities(int fd, char **ret_text, size_t *ret_n);

/* The answer to a token, NULL: it is none of these. */
const char *cert_token_answer(const struct cert_token *tokens, uint32_t n, struct hg_str token);

/* Reads a PEM file that holds nothing secret; zero-terminated, freed by the caller. HG_E_CERT_FILE
 * with path, reason and hint; HG_E_DENIED. */
HG_MUST enum hg_rc cert_text_read(const char *path, char **ret_text, struct hg_err *err);

/*
 * Reads a chain and its key (both freed, and the key wiped, by
 * cert_texts_free) and checks them. HG_E_CERT_FILE with path, reason and hint; HG_E_DENIED.
 */
struct cert_texts {
	char *chain, *key; /* zero-terminated */
	size_t chain_n, key_n;
};
HG_MUST enum hg_rc cert_texts_read(const char *chain_path, const char *key_path,
        struct cert_texts *ret_texts, struct tls_cert *ret_cert, struct hg_err *err);
void cert_texts_free(struct cert_texts *t);

#endif
