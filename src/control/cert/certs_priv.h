/* Inside the certificates' room. */
#ifndef CONTROL_CERT_CERTS_PRIV_H
#define CONTROL_CERT_CERTS_PRIV_H

#include "cert/cert.h"
#include "control/cert/certs.h"

#define CERTS_WATCH_MS  30000u
#define CERTS_TICKET_MS (6u * 3600 * 1000) /* a ticket is good for two of them */

struct certs_one {
	char *cert, *key; /* absolute paths */
	struct cert_texts texts;
	struct tls_cert is;
	uint64_t stamp; /* of both files when they were read here; 0: never */
	bool complained, other;
	uint8_t warned; /* the nearest limit of days that was said */
};

struct certs_plan {
	struct certs_one *one;
	uint32_t count;
	bool allow_1_2, off; /* off: no HTTPS */
};

struct certs {
	struct certs_options o;
	struct certs_plan *now; /* NULL: none yet */
	struct certs_one *other;
	uint32_t other_count;
	struct cert_texts stand_in; /* signed by itself, while there is no other */
	bool stands_in;
	struct cert_token *tokens;
	uint32_t token_count;
	struct cert_texts *alpn;
	uint32_t alpn_count;
	bool told; /* something was published of replicas or identities */
	uint64_t generation;
	struct loop_timer watch, rotate;
	struct tls_ticket_key tickets[TLS_TICKETS_MAX];
	uint32_t ticket_count;
};

/* paths.c: `path` from the folder `dir` unless it is absolute; the caller frees it. NULL: memory.
 */
char *certs_absolute(const char *dir, struct hg_str path);
/* Changes whenever one of the files (NULL: none) is written or replaced; 0: they cannot be seen. */
uint64_t certs_stamp(const char *const *path, uint32_t n);

/* kept.c: DATA/certs/kept.json. What cannot be read counts as nothing, and is said on the log. */
HG_MUST enum hg_rc certs_kept_write(
        const char *data_dir, const struct certs_plan *p, struct hg_err *err);
/* Texts of the certificate with this path; HG_E_NOT_FOUND. */
HG_MUST enum hg_rc certs_kept_find(
        const char *data_dir, const char *cert, struct cert_texts *ret_texts);

/* more.c: with memory for one text each, wiped and freed by the others. */
HG_MUST enum hg_rc certs_texts_copy(const struct certs_other *from, struct cert_texts *to);
void certs_more_free(struct certs *c);
/* Makes the stand-in if there is none yet. */
HG_MUST enum hg_rc certs_stand_in(struct certs *c, struct hg_err *err);
/* The newest generation that any worker has acknowledged. */
uint64_t certs_acknowledged(const struct meter *m);

/* Pure: days until the end that are to be said now, 0: nothing new. Limits: 21, 7, 1, 0 (over). */
bool certs_near_end(int64_t until_s, int64_t now_s, uint8_t warned, uint8_t *ret_step);

#endif
