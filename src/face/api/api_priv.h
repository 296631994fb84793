/* Inside of the API: one request on its way to its handler, and what lives as long as the API. */
#ifndef FACE_API_API_PRIV_H
#define FACE_API_API_PRIV_H

#include "control/fleet/fleet.h"
#include "control/rollout/rollout.h"
#include "face/api/api.h"
#include "meter/meter.h"
#include "serve/serve.h"
#include "store/store.h"

#include <jansson.h>

#define API_MAGIC       0x41504931u
#define API_STREAMS_MAX 64 /* event and log streams at once, each kind */
#define API_QUERIES_MAX 64 /* of metrics, at once */
#define API_CERTS_MAX   1024u
#define API_BODY_MAX    (4u << 20)
#define API_PARAMS_MAX  3
#define API_BODY_NOBODY 4096u /* of a request that needs no token */
#define API_NAME_TEXT   64    /* of a token, with the closing zero */

#define API_TAG_UNIX 1u
#define API_TAG_TCP  2u

enum api_role {
	API_NONE,
	API_VIEWER = STORE_VIEWER,
	API_DEPLOYER = STORE_DEPLOYER,
	API_ADMIN = STORE_ADMIN
};

struct api_live;

struct api_request {
	struct api *api;
	struct serve_call *call;
	const struct serve_request *req;
	struct hg_str param[API_PARAMS_MAX]; /* of the path, in its order */
	enum api_role role;
	char who[96]; /* "unix:1000", "token:ci", "" */
	struct api_by {
		bool token, login;   /* else by the socket, or nobody */
		uint64_t expires_ms; /* Unix time; 0: never */
		uint8_t sha256[32];
		char name[API_NAME_TEXT];
	} by;             /* what was shown for it */
	json_t *body;     /* of a change: an object, or NULL */
	bool dry_run;     /* the body says so */
	json_t *reply;    /* set by the handler: answered as JSON with `status` */
	unsigned status;  /* 200 unless the handler says otherwise */
	char target[128]; /* for the audit trail */
	json_t *details;  /* the same; may be NULL */
	bool answered;    /* the handler answered or took the call over */
	bool prometheus;  /* errors are written as Prometheus' API writes them */
};

struct api_route {
	enum http1_method method;
	const char *path;
	enum api_role role;
	bool change;
	enum hg_rc (*handler)(struct api_request *r, struct hg_err *err);
};

#include "gen/api_handlers.h"

/* ---- rates: the meter, looked at every two seconds, over the last twelve ---- */

#define API_POINTS  7
#define API_TICK_MS 2000

struct api_point {
	uint64_t at_ms, total, errors, count, bucket[METER_BUCKETS];
};
struct api_rate {
	char app[WD_NAME_MAX];
	uint32_t n, next;
	struct api_point point[API_POINTS];
};

/* ---- sessions.c: codes that wait to be used ---- */

#define API_CODES_MAX  16u
#define API_CODES_EACH 4u

struct api_code {
	uint8_t sha256[32];
	uint64_t until_ns; /* monotonic; a free place is one that is over */
	enum api_role role;
	bool by_token, by_login; /* made by one, and by one that came from a code */
	uint8_t maker[32];       /* the hash of that */
	char who[96];
};

struct api_codes {
	struct api_code code[API_CODES_MAX];
	uint64_t wrong_tat_ns; /* of the rate of wrong ones */
	uint32_t ticks;
};
/* Forgets tokens that expired long ago; every API_TICK_MS. */
void api_sessions_tick(struct api *a);

struct api {
	uint32_t magic;
	struct api_deps d;
	struct serve *serve;
	struct loop_timer tick;
	uint64_t started_ms; /* Unix time */
	struct fleet_watch watch;
	struct loop_task events_task;
	struct hg_list event_streams, relays;
	struct hg_list links; /* that nobody has; the one that was used last is first */
	uint32_t link_count;
	struct api_live *live;  /* what /v1/live is made of (live_priv.h) */
	struct hg_list waiting; /* changes whose artifact is being read */
	struct hg_list held;    /* answers that wait for the edge (hold.c) */
	struct loop_timer hold;
	uint32_t event_count, log_count, query_count;
	uint32_t live_count; /* of the event streams: those of /v1/live */
	bool revoked;        /* a token, since streams were looked at */
	uint64_t answers[6]; /* by class of the status */
	struct api_codes codes;
	uint64_t nobody_tat_ns, nobody_untold; /* audit lines of nobody: rate, and those left out */
	struct api_rate *rates;
	uint32_t rate_count;
};

/* Numbers of the last seconds; false while there are fewer than two points. */
struct api_now {
	double rate;
	double error_ratio, p50_s, p95_s; /* < 0: no requests */
};
bool api_rate_now(const struct api *a, const char *app, struct api_now *ret_now);
void api_rates_tick(struct api *a);
/* Adds what the lane has counted. */
void api_point_add(struct api_point *p, const struct meter *m, uint32_t lane);
/* Pure: difference of two points; counters that went backwards count from zero. */
struct api_now api_rate_between(const struct api_point *from, const struct api_point *to);

/* ---- link.c: connections to observe, kept for the next question ---- */

#define API_LINKS_MAX    8u
#define API_LINK_IDLE_MS 20000u /* observe closes one after a minute */

struct api_link {
	struct hg_list node; /* of api.links, while nobody has it */
	struct api *api;
	int fd;
	struct loop_io io;
	uint32_t events;
	bool used;         /* it has carried an answer before */
	uint64_t since_ms; /* monotonic: nobody has it since then */
	void (*ready)(void *arg, uint32_t events);
	void *arg;
};

/*
 * One that waits, unless it is to be `fresh`, or a new one. Give it back, or close it. `ready` is
 * called from the loop, once it is watched. HG_E_CLOSED with the reason as message.
 */
HG_MUST enum hg_rc api_link_take(struct api *a, bool fresh,
        void (*ready)(void *arg, uint32_t events), void *arg, struct api_link **ret_link,
        struct hg_err *err);
/* 0: not at all, not even for a hang-up. */
HG_MUST enum hg_rc api_link_watch(struct api_link *k, uint32_t events);
/* Nothing of an answer is left in it, and it stays open. */
void api_link_give(struct api_link *k);
void api_link_close(struct api_link *k);
/* Closes those that nobody has had since then. */
void api_links_end(struct api *a, uint64_t until_ms);

/* ---- auth.c ---- */

/* Fills role, who and by. HG_E_TOKEN_MISSING, HG_E_TOKEN_EXPIRED, HG_E_ROLE, HG_E_HOST, HG_E_DENIED
 * or the store's. */
HG_MUST enum hg_rc api_authorize(
        struct api_request *r, const struct api_route *route, struct hg_err *err);
/* "127.0.0.1:4323", "[::1]", "localhost:1" and names under localhost. */
bool api_host_allowed(struct hg_str authority);
/* What was good when a stream was opened is no longer: the token has expired or was revoked. */
bool api_by_over(const struct api *a, const struct api_by *by, uint64_t now_ms);
/* A new secret of 32 random bytes, and the hash it is stored as. */
#define API_TOKEN_TEXT 72
HG_MUST enum hg_rc api_token_make(const char *prefix /* of four letters */,
        char ret_text[API_TOKEN_TEXT], uint8_t ret_sha256[32], struct hg_err *err);
void api_token_hash(struct hg_str text, uint8_t ret_sha256[32]);
const char *api_role_name(enum api_role role);
HG_MUST bool api_role_parse(const char *name, enum api_role *ret_role);

/* ---- hold.c: answers to changes that the edge has not taken yet ---- */

/* Generations that were published last; 0: none. */
struct api_edge {
	uint64_t snapshot, certs;
};
struct api_edge api_edge_told(const struct api *a);
/* True: something was published since `before` that a worker has not taken; r->reply is answered
 * when all have, or after a second. */
bool api_hold(struct api_request *r, const struct api_edge *before);
/* Answers all that are held, now. */
void api_held_end(struct api *a);

/* ---- answers ---- */

/* Answers with an RFC 9457 problem. */
void api_problem(struct api_request *r, const struct hg_err *err);
/* The problem as an object (for tests and for what is not an HTTP answer). */
json_t *api_problem_json(const struct hg_err *err);
void api_text(struct api_request *r, unsigned status, const char *type, struct hg_str text);
void api_json(struct api_request *r, unsigned status, const char *type, json_t *j);
/* A whole number in the query; `ret_v` stays when it is absent. */
HG_MUST enum hg_rc api_query_u64(const struct api_request *r, const char *name, uint64_t max,
        uint64_t *ret_v, struct hg_err *err);
/* Every member of the body is one of `known` (separated by spaces). */
HG_MUST enum hg_rc api_members_known(const json_t *body, const char *known, struct hg_err *err);
/* For the audit trail. */
void api_target_set(struct api_request *r, struct hg_str target);
/* The app that the first parameter of the path names; HG_E_NOT_FOUND with a near name. */
HG_MUST enum hg_rc api_app_find(struct api_request *r, uint32_t *ret_desired, struct hg_err *err);
/* jansson string of bytes that may not be UTF-8. */
json_t *api_json_str(struct hg_str s);
/* The address control's admin listener is bound to, "" when there is none. */
void api_admin_address(const struct api *a, char *to, size_t cap);
json_t *api_event_json(const struct store_event *e);

void api_streams_end(struct api *a); /* of both kinds */
void api_events_end(struct api *a);
void api_relays_end(struct api *a);
void api_events_push(struct loop *l, struct loop_task *t);
void api_events_heartbeat(struct api *a);
/* Ends streams of both kinds whose tokens are over. */
void api_streams_check(struct api *a);
void api_events_check(struct api *a, uint64_t now_ms);
void api_relays_check(struct api *a, uint64_t now_ms);
void api_metrics_text(struct api *a, struct hg_buf *to);

/*
 * release_diff.c, pure: what differs between two releases as the store has them, a list of {what,
 * change, old, new, hidden}. `open`: commands and values of the environment are shown. `lines` gets
 * the same as text.
 */
json_t *api_release_diff(const json_t *was, const json_t *now, bool open, json_t *lines);

/* certs.c: the first certificate that is not as it should be, in one line; false: all are. */
#define API_PROBLEM_MAX 600u
bool api_certificates_problem(const struct api *a, char *to, size_t cap);

#endif
