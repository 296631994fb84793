#include "apps/feedback/trace_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/siphash.h"
#include "fetch/spans.h"
#include "os/clock.h"
#include "os/file.h"

#include "apps/feedback/config_priv.h"
#include "apps/feedback/jobs_priv.h"

#define STOP_MS 2000u

struct tracer {
	uint8_t key[16];
	uint32_t sample_ppm;
	bool parent_based;
	struct spans_thread *thread;
	struct hg_log log; /* of the thread: standard error, a write at a time */
};

static void on_note(void *arg, enum hg_level level, const char *what, const char *why)
{
	struct tracer *t = arg;
	hg_log(&t->log, level, what, HG_S("reason", why));
}

enum hg_rc tracer_new(const struct config *c, struct tracer **ret_tracer, struct hg_err *err)
{
	const struct config_traces *with = &c->traces;
	struct otlp_pair resource[SPANS_RESOURCE];
	char host[64] = "", pid[24], room[SPANS_RESOURCE][256], key[SPANS_RESOURCE][64];
	size_t n = 0;
	*ret_tracer = NULL;
	if (!with->url[0]) return HG_OK;
	struct tracer *t = calloc(1, sizeof *t);
	if (!t) return hg_err_set(err, HG_E_NOMEM, "not enough memory for traces");
	t->sample_ppm = with->sample_ppm;
	t->parent_based = with->parent_based;
	t->log = (struct hg_log){
	        .fd = STDERR_FILENO, .who = "feedback.traces", .wall_ms = clock_wall_ms};
	if (file_random((unsigned char *)t->key, sizeof t->key) < 0)
		memcpy(t->key, &(uint64_t[2]){clock_wall_ns(), (uint64_t)getpid()}, sizeof t->key);
	(void)gethostname(host, sizeof host - 1);
	struct hg_out o = hg_out_over(pid, sizeof pid);
	hg_out_u64(&o, (uint64_t)getpid());
	const char *service = with->service[0] ? with->service
	                      : c->worker      ? "feedback-worker"
	                                       : "feedback-app";
	resource[n++] = (struct otlp_pair){"service.name", hg_str(service)};
	resource[n++] = (struct otlp_pair){"service.version", hg_str(HG_VERSION)};
	resource[n++] = (struct otlp_pair){"host.name", hg_str(host)};
	resource[n++] = (struct otlp_pair){"process.pid", {pid, o.n}};
	resource[n++] = (struct otlp_pair){"deployment.environment.name", hg_str(c->environment)};
	struct hg_str list = hg_str(with->resource), k, v;
	while (n < SPANS_RESOURCE && otlp_pair_next(&list, room[n], sizeof room[n], &k, &v)) {
		/* OTEL_SERVICE_NAME comes first (the standard says so). */
		bool named = with->service[0] && hg_str_eq(k, HG_STR("service.name"));
		if (named || !hg_str_copy(k, key[n], sizeof key[n])) continue;
		size_t at = hg_str_eq(k, HG_STR("service.name")) ? 0 : n;
		resource[at] = (struct otlp_pair){key[n], v};
		n++;
		if (at == 0) resource[n - 1] = (struct otlp_pair){"", HG_STR("")};
	}
	struct spans_options so = {.url = with->url,
	        .headers = with->headers,
	        .resource = resource,
	        .resource_n = n,
	        .scope = "feedback-app",
	        .timeout_ms = with->timeout_ms,
	        .delay_ms = with->delay_ms,
	        .note = on_note,
	        .arg = t};
	enum hg_rc rc = spans_thread_new(&so, &t->thread, err);
	if (rc < 0)
		free(t);
	else
		*ret_tracer = t;
	return rc;
}

void tracer_free(struct tracer *t)
{
	if (!t) return;
	spans_thread_stop(t->thread, STOP_MS);
	free(t);
}

void tracer_metrics(struct tracer *t, struct hg_buf *to)
{
	struct spans_stats s;
	if (!t) return;
	spans_thread_stats(t->thread, &s);
	hg_buf_fmt(to,
	        "# HELP traces_spans_exported_total Spans that the receiver took\n"
	        "# TYPE traces_spans_exported_total counter\ntraces_spans_exported_total %" PRIu64
	        "\n"
	        "# HELP traces_spans_dropped_total Spans that were lost: no room, or not taken\n"
	        "# TYPE traces_spans_dropped_total counter\ntraces_spans_dropped_total %" PRIu64
	        "\n"
	        "# HELP traces_spans_rejected_total Spans that the receiver did not want\n"
	        "# TYPE traces_spans_rejected_total counter\ntraces_spans_rejected_total %" PRIu64
	        "\n"
	        "# HELP traces_export_failures_total Batches that were not taken, each try\n"
	        "# TYPE traces_export_failures_total counter\ntraces_export_failures_total %" PRIu64
	        "\n"
	        "# HELP traces_spans_queued Spans that wait\n"
	        "# TYPE traces_spans_queued gauge\ntraces_spans_queued %" PRIu64 "\n",
	        s.exported, s.dropped, s.rejected, s.failures, s.queued);
}

/* ---- where it stands ---- */

static void hash_id(const struct tracer *t, const void *of, size_t n, char *to)
{
	uint64_t id = hg_siphash(t->key, of, n);
	tracectx_hex64(id ? id : 1, to);
}

static bool kept(const struct tracer *t, const struct tracectx *c, bool came)
{
	if (t->parent_based && came) return c->flags & TRACECTX_SAMPLED;
	return tracectx_drawn(c->trace, t->sample_ppm);
}

/* A span of its own for what came, or the first one of a trace. `what`: no two have the same. */
static void make(const struct tracer *t, struct trace *r, const uint64_t what[2])
{
	uint64_t of[4] = {what[0], what[1], 0, 0};
	if (r->on) {
		r->has_parent = true;
		memcpy(r->parent, r->ctx.span, sizeof r->parent);
	} else {
		of[3] = 1;
		hash_id(t, of, sizeof of, r->ctx.trace);
		of[3] = 2;
		hash_id(t, of, sizeof of, r->ctx.trace + 16);
		of[3] = 0;
		r->ctx.flags = TRACECTX_RANDOM;
	}
	/* The same question of another trace is another span. */
	memcpy(&of[2], r->ctx.trace + 16, sizeof of[2]);
	hash_id(t, of, sizeof of, r->ctx.span);
	bool keep = kept(t, &r->ctx, r->on);
	r->ctx.flags = (uint8_t)((r->ctx.flags & TRACECTX_RANDOM) | (keep ? TRACECTX_SAMPLED : 0));
	r->on = r->made = true;
}

struct trace trace_of(const struct tracer *t, const struct serve_request *req)
{
	struct trace r = {0};
	const struct http1_field *f =
	        req && req->head ? http1_find(req->head, HTTP1_F_TRACEPARENT) : NULL;
	r.on = f && tracectx_read(f->value, &r.ctx);
	if (t && req && req->head) make(t, &r, (uint64_t[2]){req->id, 0});
	return r;
}

struct trace trace_of_job(const struct tracer *t, const struct job *job)
{
	struct trace r = {0};
	char text[TRACECTX_SIZE + 1];
	r.on = jobs_arg_str(job->args, "traceparent", text, sizeof text) &&
	       tracectx_read(hg_str(text), &r.ctx);
	/* The lease is another for each attempt. */
	if (t) make(t, &r, (uint64_t[2]){(uint64_t)job->id, ~(uint64_t)job->lease});
	return r;
}

void trace_part_id(const struct tracer *t, const struct trace *of, enum trace_part part,
        char to[TRACECTX_SPAN])
{
	char what[TRACECTX_SPAN + 1];
	memcpy(what, of->ctx.span, TRACECTX_SPAN);
	what[TRACECTX_SPAN] = (char)part;
	if (t && of->made && part != TRACE_SELF)
		hash_id(t, what, sizeof what, to);
	else
		memcpy(to, of->ctx.span, TRACECTX_SPAN);
}

struct hg_str trace_field(const struct tracer *t, const struct trace *of, enum trace_part part,
        char to[TRACECTX_SIZE])
{
	struct tracectx c = of->ctx;
	if (!of->on) return HG_STR("");
	trace_part_id(t, of, part, c.span);
	tracectx_write(&c, to);
	return (struct hg_str){to, TRACECTX_SIZE};
}

bool trace_kept(const struct tracer *t, const struct trace *of)
{
	return t && of->made && of->ctx.flags & TRACECTX_SAMPLED;
}

struct hg_str trace_id(const struct trace *of)
{
	return of->on ? (struct hg_str){of->ctx.trace, TRACECTX_TRACE} : HG_STR("");
}

/* ---- spans ---- */

void trace_begin(struct trace_span *s, struct tracer *t, const struct trace *of,
        enum trace_part part, enum span_kind kind, const char *name, struct trace_when when)
{
	s->tracer = trace_kept(t, of) ? t : NULL;
	if (!s->tracer) return;
	struct span_head h = {.kind = (uint8_t)kind,
	        .flags = of->ctx.flags,
	        .has_parent = part != TRACE_SELF || of->has_parent,
	        .start_ns = when.start_ns,
	        .end_ns = when.end_ns};
	memcpy(h.trace, of->ctx.trace, sizeof h.trace);
	trace_part_id(t, of, part, h.id);
	if (part == TRACE_SELF)
		memcpy(h.parent, of->parent, sizeof h.parent);
	else
		trace_part_id(t, of, part == TRACE_QUEUE ? TRACE_DATABASE : TRACE_SELF, h.parent);
	s->out = hg_out_over(s->room, sizeof s->room);
	span_begin(&s->w, &s->out, &h, hg_str(name));
}

void trace_str(struct trace_span *s, const char *key, struct hg_str value)
{
	if (s->tracer) span_str(&s->w, key, value);
}

void trace_int(struct trace_span *s, const char *key, int64_t value)
{
	if (s->tracer) span_int(&s->w, key, value);
}

void trace_failed(struct trace_span *s, struct hg_str error_type)
{
	if (!s->tracer) return;
	s->w.head.status = SPAN_ERROR;
	span_str(&s->w, "error.type", error_type);
}

void trace_database(struct tracer *t, const struct trace *of, const char *operation, bool file,
        struct trace_when when, const char *error)
{
	static const char *const verbs[][2] = {{"insert", "INSERT"}, {"update", "UPDATE"},
	        {"delete", "DELETE"}, {"select", "SELECT"}};
	struct trace_span s;
	char name[32];
	if (!trace_kept(t, of)) return;
	(void)snprintf(name, sizeof name, "database.%s", operation);
	trace_begin(&s, t, of, TRACE_DATABASE, SPAN_CLIENT, name, when);
	trace_str(&s, "db.system.name", file ? HG_STR("sqlite") : HG_STR("postgresql"));
	trace_str(&s, "db.collection.name", HG_STR("feedback"));
	for (size_t i = 0; i < HG_COUNT(verbs); i++)
		if (strcmp(verbs[i][0], operation) == 0)
			trace_str(&s, "db.operation.name", hg_str(verbs[i][1]));
	if (error) trace_failed(&s, hg_str(error));
	trace_end(&s);
}

void trace_end(struct trace_span *s)
{
	if (s->tracer && span_end(&s->w))
		spans_thread_put(s->tracer->thread, (struct hg_str){s->room, s->out.n});
}
