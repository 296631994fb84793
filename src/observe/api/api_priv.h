/* Inside of the room: one request on its way from its parameters to its answer. */
#ifndef OBSERVE_API_API_PRIV_H
#define OBSERVE_API_API_PRIV_H

#include "base/arena.h"
#include "base/list.h"
#include "observe/api/api.h"
#include "observe/promql/promql.h"
#include "os/pool.h"

#include <zlib.h>

#define PA_PAIRS_MAX   4096u               /* parameters of a request */
#define PA_POINTS_MAX  11000               /* of a series of a range query */
#define PA_TIME_MAX_MS 10000000000000000ll /* 317 thousand years: room to add and subtract */
#define PA_COLUMNS_MAX 24                  /* queries of one request for columns */
#define PA_SLICE       ((size_t)256 << 10) /* what a turn of the loop makes of a large answer */
#define PA_WHOLE       ((size_t)1 << 20)   /* a larger answer is streamed */
#define PA_GZIP_LEAST  ((size_t)8 << 10)   /* smaller answers are not worth it */
#define PA_LEAST       ((size_t)4 << 20)   /* memory without which no query begins */

/* ---- errors.c: Prometheus' kinds of errors, and their status codes ---- */

enum pa_kind {
	PA_FINE,
	PA_BAD_DATA,
	PA_EXECUTION,
	PA_TIMEOUT,
	PA_CANCELED,
	PA_INTERNAL,
	PA_UNAVAILABLE,
	PA_NOT_FOUND
};

struct pa_error {
	enum pa_kind kind;
	bool problem; /* is told as Headgate's own API tells it, and not in Prometheus' envelope */
	char text[1024];
};

/* Each returns false. */
bool pa_fail(struct pa_error *e, enum pa_kind kind, const char *fmt, ...) HG_PRINTF(3, 4);
/* `invalid parameter "NAME": …` */
bool pa_fail_param(struct pa_error *e, const char *name, const char *fmt, ...) HG_PRINTF(3, 4);
/* An error of the store or the engine; of the parser with its place, as of parameter `name`. */
bool pa_fail_from(struct pa_error *e, const char *name, const struct hg_err *err);
unsigned pa_status(enum pa_kind kind);
/* The code of such an error in a problem. */
enum hg_rc pa_code(enum pa_kind kind);
void pa_error_json(const struct pa_error *e, struct hg_buf *to);

/* ---- params.c ---- */

struct pa_pair {
	struct hg_str name, value; /* decoded */
};

/* What the body of a form says comes before what the query string says. */
struct pa_form {
	struct hg_arena mem;
	struct pa_pair *at;
	uint32_t n;
};

/* Copies. Free with pa_form_free also after a failure. */
HG_MUST bool pa_form_read(
        struct pa_form *f, struct hg_str body, struct hg_str query, struct pa_error *ret_error);
void pa_form_free(struct pa_form *f);
/* The first with this name; empty when there is none. */
struct hg_str pa_form_get(const struct pa_form *f, const char *name);
/* All with this name, in the form's memory. */
HG_MUST bool pa_form_all(struct pa_form *f, const char *name, const struct hg_str **ret_values,
        uint32_t *ret_n, struct pa_error *ret_error);

/* RFC 3339 or seconds since 1970 with a fraction; beyond ±PA_TIME_MAX_MS it is that. */
HG_MUST bool pa_time(struct hg_str s, int64_t *ret_ms);
/* Seconds with a fraction, or "5m". The text of the error is Prometheus'. */
HG_MUST bool pa_span(struct hg_str s, int64_t *ret_ms, struct pa_error *ret_error);
/* Optional parameters: what was in *ret stays when the form has none. */
HG_MUST bool pa_time_of(
        const struct pa_form *f, const char *name, int64_t *ret_ms, struct pa_error *ret_error);
HG_MUST bool pa_span_of(
        const struct pa_form *f, const char *name, int64_t *ret_ms, struct pa_error *ret_error);
/* 0 is no limit: UINT64_MAX. */
HG_MUST bool pa_limit_of(const struct pa_form *f, uint64_t *ret_limit, struct pa_error *ret_error);
/* "U__a_2e_b" is the label "a.b"; other names are themselves. In the form's memory. */
HG_MUST bool pa_label_name(struct pa_form *f, struct hg_str s, struct hg_str *ret_name);

/* ---- jobs ---- */

struct pa_job;

struct pa_kind_of_job {
	/* On a thread: sets job->error, or job->out and job->more. */
	void (*run)(struct pa_job *job);
	bool short_first; /* may be tried on the loop with a small budget */
};

struct pa_job {
	struct pool_job pool;
	struct hg_list node;
	struct promapi *p;
	struct serve_call *call; /* NULL: nobody waits for the answer */
	const struct pa_kind_of_job *kind;
	struct pa_form form;
	const char *type; /* media type */
	atomic_bool cancel;
	bool gzip; /* the client reads it */

	/* Asked. */
	struct hg_str query, label;
	const struct hg_str *queries; /* of /v1/columns */
	uint32_t query_n;
	const struct hg_str *match;
	uint32_t match_n;
	int64_t start_ms, end_ms, step_ms, lookback_ms;
	uint64_t limit, deadline_ms; /* monotonic */
	uint64_t given_ns;           /* when it was asked */
	bool range, stats;
	int64_t head_min_ms, head_max_ms; /* of what the store has */
	struct labels external;           /* of /federate: a copy in the form's memory */

	/* Budget. */
	size_t memory;     /* that it holds of the API's */
	uint64_t selected; /* bytes of the selections that it has open */
	bool brief;        /* the try on the loop: no lock, little of everything */

	/* Answered. */
	struct pa_error error;
	struct hg_buf out; /* not yet sent; compressed when `deflate` is */
	size_t sent;       /* bytes of `out` */
	size_t full;       /* `more` may stop when `to` has as many bytes */
	void (*more)(struct pa_job *job, struct hg_buf *to); /* NULL: `out` is all there is */
	const struct promql_result *result;
	void *found;                            /* what names.c and federate.c have to write */
	void (*found_free)(struct pa_job *job); /* on the loop */
	size_t series, point;                   /* where `more` goes on */
	bool truncated, opened;                 /* by limit; the object's head is written */
	uint64_t run_ns, samples;
	z_stream *deflate;
	struct hg_buf raw;
	struct loop_task task;
	bool streaming, blocked;
};

/* ---- query.c, columns.c, names.c, federate.c, cardinality.c: what threads do ---- */

extern const struct pa_kind_of_job pa_job_query, pa_job_series, pa_job_labels, pa_job_values,
        pa_job_federate, pa_job_format, pa_job_tree, pa_job_cardinality, pa_job_columns;

/* Evaluates `text` as the job was asked to, with so many bytes of memory. False: the error is set.
 * *ret_result: the caller's. */
HG_MUST bool pa_evaluate(struct pa_job *job, struct hg_str text, size_t memory,
        const struct promql_result **ret_result, struct pa_error *ret_error);

/* A reservation of the memory that all have; false: there is none (the error is set). */
HG_MUST bool pa_reserve(struct pa_job *job);
/* Gives back all but `keep` bytes. */
void pa_release(struct pa_job *job, size_t keep);
/* Ends the data and the envelope: `}` with warnings and infos of a query. */
void pa_envelope_end(struct pa_job *job, struct hg_buf *to);
/* The lock around the store, unless the job is tried on the loop, which holds it. */
void pa_lock(struct pa_job *job);
void pa_unlock(struct pa_job *job);
/*
 * Opens a selection for the job's span. All that one request has open is together no more than a
 * selection may be: match[] may come thousands of times. False: the error is set, as of `param`.
 */
HG_MUST bool pa_select(struct pa_job *job, const char *param, const struct label_matcher *m,
        uint32_t n, struct tsdb_selection **ret_selection);
/* False, with the error set: cancelled, or the deadline is over. */
HG_MUST bool pa_may_go_on(struct pa_job *job);
/* Label sets and texts as JSON, without the overhead of json_out. */
void pa_labels_json(struct hg_buf *to, struct labels ls);
void pa_time_json(struct hg_buf *to, int64_t ms);

/* ---- answer.c: on the loop ---- */

/* Envelope with an error; the call is over. */
void pa_answer_error(struct serve_call *call, const struct pa_error *e);
/* 405. */
void pa_refuse_method(struct serve_call *call, bool post);
/* `{"status":"success","data":` … `}`; the call is over. */
void pa_answer_data(struct serve_call *call, struct hg_str data);
/* The job is done: its answer goes out, at once or bit by bit. Frees the job, or will. */
void pa_answer_job(struct pa_job *job);
/* Makes job->out longer until it has `least` bytes or the answer is complete. Any thread. */
void pa_fill(struct pa_job *job, size_t least);
void pa_answer_gone(void *job);

/* ---- status.c, metadata.c, exemplars.c: what needs no thread ---- */

struct pa_ask {
	struct promapi *p;
	struct serve_call *call;
	struct pa_form *form;
	bool get;
	struct pa_error error;
};

/* Writes the value of "data"; false: a->error is set. */
typedef bool (*pa_data_fn)(struct pa_ask *a, struct json_out *j);

bool pa_metadata(struct pa_ask *a, struct json_out *j);
bool pa_exemplars(struct pa_ask *a, struct json_out *j);
bool pa_targets_metadata(struct pa_ask *a, struct json_out *j);

/* Answers also what is at no path. */
void pa_status_http(struct promapi *p, struct serve_call *call, const struct serve_request *req,
        struct pa_form *form);

/* ---- api.c ---- */

struct promapi {
	struct promapi_options o;
	struct pool *pool;
	struct hg_list jobs;
	atomic_size_t memory; /* held by jobs */
	struct promapi_stats stats;
	struct labels external; /* owned */
	struct hg_buf config;
	struct promapi_rules rules; /* functions NULL: none */
	int64_t started_ms;
};

void pa_job_free(struct pa_job *job);

#endif
