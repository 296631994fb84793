/*
 * The app: what answers a request. One loop, one thread; writes go to the writer and are answered
 * when they are committed. `main` wires it to sockets and signals.
 */
#ifndef FEEDBACK_APP_PRIV_H
#define FEEDBACK_APP_PRIV_H

#include "serve/serve.h"

#include "apps/feedback/access_priv.h"
#include "apps/feedback/config_priv.h"
#include "apps/feedback/desk_priv.h"
#include "apps/feedback/jsonlog_priv.h"
#include "apps/feedback/lists_priv.h"
#include "apps/feedback/metrics_priv.h"
#include "apps/feedback/store_priv.h"
#include "apps/feedback/trace_priv.h"
#include "apps/feedback/worker_priv.h"

struct desk;
struct people;

struct app {
	uint32_t magic;
	struct loop *loop;
	struct jsonlog *log;
	const struct config *config;
	struct store *store;
	struct lists *lists; /* the cache of lists; NULL: none */
	uint64_t build;      /* the same for programs of the same bytes */
	struct desk *desk;   /* for what is rare */
	struct people *people;
	const struct access_who *who; /* asks for what is being dispatched; only while it is */
	struct worker *workers;       /* NULL: jobs are others' */
	struct outgoing_api *outgoing;
	struct tracer *tracer; /* NULL: traces are sent nowhere */
	struct hg_buf depths;  /* of the queue, for the answer of /metrics that is made */
	struct metrics metrics;
	struct fault fault;
	uint64_t born_ms, requests; /* without probes */
	struct hg_rand rand;
	struct hg_buf body;      /* of the answer that is being made */
	struct hg_list deferred; /* requests that are answered later */
};

#define APP_MAGIC 0xfeedbac4u

/* Opens the database, and starts the worker when there is to be one. `c` must stay. */
HG_MUST enum hg_rc app_init(struct app *a, struct loop *l, struct jsonlog *log,
        const struct config *c, struct hg_err *err);
/* Closes the database: what was queued is committed and answered. Before serve_free. */
void app_stop(struct app *a);
/* After serve_free. */
void app_fini(struct app *a);

/* Callbacks for struct serve_options; `arg` is the app. */
void app_handle(void *arg, struct serve_call *call, const struct serve_request *req);
void app_done(void *arg, const struct serve_request *req, unsigned status, uint64_t bytes,
        uint64_t duration_ns);
void app_error_body(void *arg, unsigned status, const char *what, struct hg_buf *body,
        const char **ret_content_type);

/* Between app.c and its parts. */

/* A request to be answered later; the client may leave before. */
struct deferred {
	struct hg_list node;
	struct app *app;
	struct serve_call *call; /* NULL: the client has left */
	const struct serve_request *req;
	struct loop_timer timer; /* slow on purpose */
	bool queued;             /* the store holds it */
};

/* NULL when there is no memory. */
struct deferred *app_defer(struct app *a, struct serve_call *call, const struct serve_request *req);
void app_deferred_free(struct deferred *d);
void app_answer(struct app *a, struct serve_call *call, const struct serve_request *req,
        unsigned status, struct hg_str json);
/* {"error": what} */
void app_refuse(struct app *a, struct serve_call *call, const struct serve_request *req,
        unsigned status, const char *what);
/* The same for a 5xx, counted and logged with the reason. */
void app_fail(struct app *a, struct serve_call *call, const struct serve_request *req,
        enum error_type type, enum hg_rc rc, const char *why);
/* A list; `how` is told to the client when there is a cache. 304 when the client has it already. */
struct app_list {
	struct lists_page at;
	const struct rows_page *page;
	struct hg_str json;
	enum lists_how how;
};
void app_answer_list(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct app_list *list);
/* 304: what the client has is still right. */
void app_answer_unchanged(struct app *a, struct serve_call *call, const struct serve_request *req,
        struct hg_str etag, enum lists_how how);
/* 401, and how to show who one is. `bad`: what was shown counts for nothing. */
void app_unauthorized(
        struct app *a, struct serve_call *call, const struct serve_request *req, bool bad);
/* 403 {"error": "Forbidden", "reason": …}; `why` NULL: that it is not permitted. */
void app_forbidden(
        struct app *a, struct serve_call *call, const struct serve_request *req, const char *why);
/*
 * True: who asks may. False: 401 or 403 was answered, and `d` (NULL: the request was not deferred)
 * is freed. For handlers, while they are being dispatched.
 */
HG_MUST bool app_admit(struct app *a, struct serve_call *call, const struct serve_request *req,
        struct deferred *d, enum access_permission p);
/* Goes on with a request whose sender is known now. */
void app_enter(struct app *a, struct serve_call *call, const struct serve_request *req,
        struct deferred *d, const struct access_who *who);
/* The API of one resource. `d`: the request was deferred already. */
void app_feedback(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct route *r, struct deferred *d);
/* Of one resource that is gone, or never was. */
#define APP_NOT_FOUND "Feedback not found"
/* A query parameter that is a number from 1 to max; absent: the value stays. False: it is not. */
HG_MUST bool app_number(struct hg_str query, const char *name, uint64_t max, uint64_t *number);
/* NULL, or what is wrong with a body that must be JSON, and the status. */
const char *app_body_type(const struct serve_request *req, unsigned *ret_status);
/* Reads of this client are answered by who has seen its write, for as long as that may matter. */
void app_remember(struct app *a, struct serve_call *call, uint64_t position);
/* votes.c: votes and statuses. */
void app_votes(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct route *r, struct deferred *d);
/* The store has finished with one. */
void app_voted(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct store_op *op);
/* The store has finished an operation; it is freed here. */
void app_stored(void *arg, struct store_op *op);
/* Gives it to the store, to be answered later; answers at once when the store takes no more. */
void app_queue(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct store_op *op, struct deferred *d);
/* Whose it is in a trace, and what its jobs go on with. */
void app_trace_op(struct app *a, const struct serve_request *req, struct store_op *op);
/* A read of the file, on the loop, that began then (0: it is not kept). */
void app_trace_read(struct app *a, const struct trace *t, uint64_t start_ns, enum hg_rc rc);
/* Of health and metrics, which ask for the total. */
void app_total(struct app *a, struct serve_call *call, const struct serve_request *req,
        enum hg_rc rc, int64_t total, const char *why);
/* /admin/jobs… and /exports… */
void app_jobs(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct route *r, struct deferred *d);
/* Looks at the queue for /metrics, and comes back with app_measured. False: it could not ask, and
 * `d` is as it was. */
HG_MUST bool app_measure(struct app *a, struct deferred *d);
void app_measured(struct app *a, struct deferred *d);
/* Does the query ask for a part of the list, or another order? */
bool app_searches(struct hg_str query, enum rows_form form);
/* Answers it; `op` has before and limit. */
void app_search(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct route *r, const struct store_op *op, struct deferred *d);
/* The page and its files. */
void app_static(struct serve_call *call, const struct serve_request *req, bool *ret_found);
void app_cors(struct serve_call *call, const struct serve_request *req);

#endif
