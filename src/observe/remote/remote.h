/*
 * Remote write, both ways: samples that Prometheus, an agent or a collector sends go into our
 * store; what our store takes goes on to others.
 *
 * In: POST /api/v1/write, versions 1.0 and 2.0 of the protocol. Out: for each target a position in
 * time that survives a kill; samples behind it are read from the store, batch by batch, so that
 * nothing waits in memory but the batches under way. What a target has not acknowledged is sent
 * again after a restart: samples may come twice (receivers drop doubles), none is left out as long
 * as the store keeps it.
 *
 * One thread, the loop's; nothing here blocks it. It owns its calls and positions; loop, store and
 * log are the caller's.
 */
#ifndef OBSERVE_REMOTE_REMOTE_H
#define OBSERVE_REMOTE_REMOTE_H

#include "base/err.h"
#include "base/log.h"
#include "observe/scrape/relabel.h"
#include "observe/tsdb/tsdb.h"
#include "os/loop.h"
#include "serve/serve.h"

struct remote;

#define REMOTE_BODY_MAX       (8u << 20)  /* of a request, compressed: serve's body_max */
#define REMOTE_INFLATED_MAX   (64u << 20) /* … and what may come out of it */
#define REMOTE_TARGETS_MAX    16u
#define REMOTE_HEADERS_MAX    16u
#define REMOTE_NAME_MAX       64u
#define REMOTE_SHARDS_MAX     16u
#define REMOTE_BATCH_SAMPLES  2000u /* defaults */
#define REMOTE_BATCH_MS       5000u
#define REMOTE_SHARDS         4u
#define REMOTE_TIMEOUT_MS     30000u
#define REMOTE_PAUSE_LEAST_MS 100u /* before the second try of a batch; doubled each time … */
#define REMOTE_PAUSE_MOST_MS  30000u
#define REMOTE_AFTER_MOST_MS  300000u /* what Retry-After may ask for */

struct remote_header {
	struct hg_str name, value;
};

/* Somebody who is sent to. Zero fields are the defaults. */
struct remote_target_conf {
	struct hg_str name; /* [a-zA-Z0-9_-]; names its position and metrics */
	struct hg_str url;  /* http: or https: */
	const struct remote_header *headers;
	uint32_t header_n;
	struct hg_str user, password;       /* Basic; user.n == 0: none */
	struct hg_str bearer;               /* token; n == 0: none */
	struct hg_str ca_pem;               /* trusted instead of the machine's store */
	const struct relabel_conf *relabel; /* write_relabel_configs */
	uint32_t relabel_n;
	uint32_t batch_samples, batch_ms; /* a request has so many, or is so old */
	uint32_t shards;                  /* requests under way at a time */
	uint32_t timeout_ms;
};

struct remote_conf {
	bool receive;                 /* /api/v1/write is open; otherwise 404 */
	const struct label *external; /* added to what is sent, unless a series has the label */
	uint32_t external_n;
	const struct remote_target_conf *targets;
	uint32_t target_n;
};

struct remote_options {
	struct loop *loop;
	struct tsdb *db;
	const char *dir;         /* DATA/remote, for the positions; its parent must exist */
	int64_t (*now_ms)(void); /* Unix time */
	struct hg_log *log;      /* NULL: nothing is logged */
};

/* Opens its folder. HG_E_IO, HG_E_NOMEM. Sends and takes nothing before remote_apply. */
HG_MUST enum hg_rc remote_new(
        const struct remote_options *o, struct remote **ret_remote, struct hg_err *err);
/* Requests under way end untold; positions are written. Before tsdb_close. NULL is fine. */
void remote_free(struct remote *r);

/*
 * Whether the configuration can be used; reads nothing and changes nothing. HG_E_INVALID,
 * HG_E_RELABEL, HG_E_REGEX with a message that names the target; HG_E_TOO_LARGE, HG_E_NOMEM.
 */
HG_MUST enum hg_rc remote_check(const struct remote_conf *c, struct hg_err *err);
/*
 * From now on exactly this, or everything as it was (errors as remote_check). Copies. Targets whose
 * settings are the same go on undisturbed; one with a name that is new begins with now.
 */
HG_MUST enum hg_rc remote_apply(struct remote *r, const struct remote_conf *c, struct hg_err *err);

/*
 * Answers the call when it is for us (the path /api/v1/write); false: it is not, and the call is
 * untouched. 204: all was taken; 400: what cannot be read (nothing was taken), or samples that the
 * store refused (the others were taken; the message counts and names them); 413, 415; 429 with
 * Retry-After: no memory for new series; 503 with Retry-After: the store takes nothing now.
 */
bool remote_http(struct remote *r, struct serve_call *call, const struct serve_request *req);

/* Appends headgate_remote_* in the text format. */
void remote_metrics(const struct remote *r, struct hg_buf *to);

struct remote_status {
	struct hg_str name, url; /* valid until remote_apply */
	int64_t position_ms;     /* everything up to it is acknowledged or refused for good */
	uint64_t samples, dropped, retries,
	        bytes;   /* acknowledged; refused by 4xx; since the start */
	uint32_t flying; /* requests under way */
	bool failing;    /* the last request was not taken */
	bool unkept;     /* the position could not be written: a full disk */
	const char *why; /* then: what happened; else "" */
};
bool remote_status_next(const struct remote *r, size_t *at, struct remote_status *ret_status);

#endif
