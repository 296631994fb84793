/* Inside the identities. */
#ifndef CONTROL_CERT_IDENTITIES_PRIV_H
#define CONTROL_CERT_IDENTITIES_PRIV_H

#include <jansson.h>

#include "control/cert/certs_priv.h"
#include "control/cert/identities.h"

#define IDENTITIES_TICK_MS    1000u
#define IDENTITIES_TIMEOUT_MS 10000u
#define IDENTITIES_MIN_MS     60000u           /* what Cache-Control can say */
#define IDENTITIES_MAX_MS     (24u * 3600000u) /* … */
#define IDENTITIES_RETRY_MS   5000u            /* after a failure; doubles */
#define IDENTITIES_RETRY_MAX  300000u

struct identity_one {
	struct identities *owner;
	char *app;
	json_t *doc;  /* for the edge, without keys */
	char *source; /* address or absolute path; NULL: API keys only */
	char *issuer; /* one of several of the app; NULL: the only one, or none */
	bool first;   /* of the app: what is not about one issuer is with this one */
	bool url, secret;
	char *text; /* what it says: a set, a PEM, a secret. NULL: nothing yet */
	uint32_t keys;
	uint32_t refresh_ms, refetch_ms;
	/* of an address */
	struct fetch_call *call;
	uint64_t fetched_ms; /* Unix time */
	uint64_t tried_ms;   /* of the loop; 0: not yet */
	uint64_t due_ms;     /* … when it is to be read again */
	uint64_t unknown;    /* tokens with unknown keys, when it was last asked */
	uint32_t fails;      /* in a row */
	uint64_t failures;
};

struct identities_plan {
	uint32_t count;
	struct identity_one **one;
	json_t *rates; /* where all machines count their requests, with secrets; NULL: nowhere */
	struct identity_one *rates_password; /* NULL: none */
	struct identity_one *rates_ca;       /* … */
};

/* Where the texts of files are. */
struct identity_finding {
	const char *dir, *data_dir;
	const struct certs_given *given;
	uint32_t given_count;
};

/* `path` from the folder; NULL: no memory. The caller's. */
char *identity_absolute(const char *dir, struct hg_str path);
/* Given, else read here, else kept; of an address what was kept, or nothing yet. */
HG_MUST enum hg_rc identity_text_find(struct identity_one *o, struct hg_str path,
        const struct identity_finding *f, struct hg_err *err);

/* identities_rates.c. HG_E_RATE_PASSWORD, with its place; HG_E_NOMEM. */
HG_MUST enum hg_rc identities_rates_check(struct identities *d, const struct spec *s,
        const struct identity_finding *f, struct identities_plan *p, struct hg_err *err);

struct identities {
	struct identities_options o;
	struct identities_plan *now; /* NULL: none yet */
	struct loop_timer tick;
	char *text; /* NULL: to be made */
};

void identity_one_free(struct identity_one *o);
/* Can the edge use this text? Sets `keys`. HG_E_KEY_FILE. */
HG_MUST enum hg_rc identity_text_check(
        struct identity_one *o, const char *text, struct hg_err *err);
/* The provider of the edge's document with this text (NULL: without keys); NULL: no memory. */
json_t *identity_document(const struct identity_one *o, const char *text);

/* When is it to be read, pure: the state and what workers have counted; `now_ms` of the loop. */
bool identity_due(const struct identity_one *o, uint64_t unknown, uint64_t now_ms);
/* How long an answer counts: by Cache-Control, else `refresh_ms`. */
uint64_t identity_fresh_ms(struct hg_str cache_control, uint32_t refresh_ms);

/* identities_kept.c: DATA/certs/identities.json */
HG_MUST enum hg_rc identities_kept_write(
        const char *data_dir, const struct identities_plan *p, struct hg_err *err);
/* The text of this app and source; NULL: nothing is kept. The caller's. */
char *identities_kept_find(const char *data_dir, const char *app, const char *source);

/* identities_fetch.c */
void identities_tick_start(struct identities *d);
void identity_stop(struct identity_one *o);

#endif
