/*
 * Traces (W3C Trace Context, OTLP): where a request or a job stands in one, and the spans that are
 * made of it. A thread of its own sends them (fetch/spans.h); whoever makes one copies some hundred
 * bytes.
 *
 * Ids of spans are not kept anywhere: they are a keyed hash of what they belong to, so that all who
 * know the request, or the job, agree on them. Without a receiver there is no tracer (NULL): a
 * trace that comes is passed on and named in the log, nothing else.
 */
#ifndef FEEDBACK_TRACE_PRIV_H
#define FEEDBACK_TRACE_PRIV_H

#include "base/buf.h"
#include "jobs/jobs.h"
#include "serve/serve.h"
#include "wire/span.h"

struct config;
struct tracer;

/* Plain data: copied into what waits. */
struct trace {
	bool on;   /* there is a trace */
	bool made; /* ctx.span is ours: without a tracer it is who came before us */
	bool has_parent;
	struct tracectx ctx; /* its span: the request's, or the job's */
	char parent[TRACECTX_SPAN];
};

/* What is done for a request, each once. */
enum trace_part {
	TRACE_SELF,
	TRACE_DATABASE, /* the write, or the list that was read */
	TRACE_QUEUE,    /* jobs that the write has left */
	TRACE_CACHE,
	TRACE_REDIS,
};

/* *ret_tracer is NULL, and all is well, when no receiver is configured. */
HG_MUST enum hg_rc tracer_new(
        const struct config *c, struct tracer **ret_tracer, struct hg_err *err);
/* Sends what is left, for two seconds at most. Takes NULL. */
void tracer_free(struct tracer *t);
/* traces_* in the Prometheus format; nothing without a tracer. */
void tracer_metrics(struct tracer *t, struct hg_buf *to);

/* Pure, on any thread. `t` may be NULL. */
struct trace trace_of(const struct tracer *t, const struct serve_request *req);
struct trace trace_of_job(const struct tracer *t, const struct job *job);
/* The id of a part's span. Of what was not made here: who came before us. */
void trace_part_id(const struct tracer *t, const struct trace *of, enum trace_part part,
        char to[TRACECTX_SPAN]);
/* The field for whoever is asked on behalf of that part; empty without a trace. */
struct hg_str trace_field(const struct tracer *t, const struct trace *of, enum trace_part part,
        char to[TRACECTX_SIZE]);
/* Are spans made of it? */
bool trace_kept(const struct tracer *t, const struct trace *of);
/* For logs and answers: empty without a trace. */
struct hg_str trace_id(const struct trace *of);

/* ---- a span: begin, attributes (span_str …), end; nothing when it is not kept ---- */

struct trace_span {
	struct tracer *tracer; /* NULL: it is not kept */
	struct span_writer w;
	struct hg_out out;
	char room[SPAN_RECORD_MAX];
};

struct trace_when {
	uint64_t start_ns, end_ns; /* Unix time */
};

/* Of a part, whose parent is the request's or job's own span, or the database's for TRACE_QUEUE. */
void trace_begin(struct trace_span *s, struct tracer *t, const struct trace *of,
        enum trace_part part, enum span_kind kind, const char *name, struct trace_when when);
void trace_str(struct trace_span *s, const char *key, struct hg_str value);
void trace_int(struct trace_span *s, const char *key, int64_t value);
void trace_failed(struct trace_span *s, struct hg_str error_type);
void trace_end(struct trace_span *s);
/* "database.insert" and the like, of one statement or transaction; `part` TRACE_DATABASE. */
void trace_database(struct tracer *t, const struct trace *of, const char *operation, bool file,
        struct trace_when when, const char *error);

#endif
