/*
 * POST /v1/columns: what a page of curves asks for at once. Each query is one of query_range, by
 * the same evaluation; the answer has a value for each step and no times, so that it is a fifth as
 * long and needs no unpacking. A query that fails is told in its place.
 */
#include "api_priv.h"

#include <math.h>
#include <stdlib.h>

#include "wire/shortest.h"

struct columns {
	uint32_t n, at; /* queries, and the one that is written */
	bool begun;     /* the document is */
	int64_t step;   /* of the series that is written: the next one of the answer */
	struct {
		const struct promql_result *result; /* NULL: it failed */
		struct pa_error error;
	} of[PA_COLUMNS_MAX];
};

static void value_json(struct hg_buf *to, double v)
{
	char text[SHORTEST_TEXT];
	if (isfinite(v))
		hg_buf_str(to, (struct hg_str){text, shortest_prometheus(v, text)});
	else
		hg_buf_cstr(to, "null");
}

static int64_t steps(const struct pa_job *job)
{
	return (job->end_ms - job->start_ms) / job->step_ms + 1;
}

/* One series, or as much of it as a slice takes; false: it goes on with c->step. */
static bool series_json(struct pa_job *job, struct columns *c, struct hg_buf *to)
{
	const struct promql_series *s = &c->of[c->at].result->series[job->series];
	int64_t n = steps(job);
	if (c->step == 0) {
		hg_buf_cstr(to, job->series ? ",{\"labels\":" : "{\"labels\":");
		pa_labels_json(to, s->labels);
		hg_buf_cstr(to, ",\"values\":[");
	}
	for (; c->step < n; c->step++) {
		int64_t ms = job->start_ms + c->step * job->step_ms;
		/* Not before the first: who goes on there would begin the series again. */
		if (c->step && (to->n >= job->full || to->failed)) return false;
		if (c->step) hg_buf_byte(to, ',');
		if (job->point < s->n && s->t[job->point] == ms)
			value_json(to, s->v[job->point++]);
		else
			hg_buf_cstr(to, "null");
	}
	hg_buf_cstr(to, "]}");
	c->step = 0;
	job->point = 0;
	job->series++;
	return true;
}

/* One query's result; false: the slice is full. */
static bool result_json(struct pa_job *job, struct columns *c, struct hg_buf *to)
{
	const struct promql_result *r = c->of[c->at].result;
	size_t n = r ? (size_t)HG_MIN((uint64_t)r->n, job->limit) : 0;
	if (!job->opened) {
		hg_buf_cstr(to, c->at ? ",{\"error\":" : "{\"error\":");
		if (r)
			hg_buf_cstr(to, "null");
		else
			json_quote(to, hg_str(c->of[c->at].error.text));
		hg_buf_cstr(to, ",\"series\":[");
		job->opened = true;
	}
	while (job->series < n) {
		if (to->n >= job->full || to->failed) return false;
		if (!series_json(job, c, to)) return false;
	}
	hg_buf_cstr(to, "]}");
	job->opened = false;
	job->series = 0;
	c->at++;
	return true;
}

static void columns_more(struct pa_job *job, struct hg_buf *to)
{
	struct columns *c = job->found;
	if (!c->begun) {
		hg_buf_fmt(to,
		        "{\"schema\":\"headgate.columns/1\",\"start_ms\":%lld,\"step_ms\":%lld,"
		        "\"n\":%lld,\"results\":[",
		        (long long)job->start_ms, (long long)job->step_ms, (long long)steps(job));
		c->begun = true;
	}
	while (c->at < c->n) {
		if (to->n >= job->full || to->failed) return;
		if (!result_json(job, c, to)) return;
	}
	hg_buf_cstr(to, "]}\n");
	job->more = NULL;
}

static void columns_free(struct pa_job *job)
{
	struct columns *c = job->found;
	for (uint32_t i = 0; i < c->n; i++)
		promql_result_free(c->of[i].result);
	free(c);
}

static void run_columns(struct pa_job *job)
{
	size_t held = 0;
	struct columns *c = calloc(1, sizeof *c);
	if (!c) {
		(void)pa_fail(&job->error, PA_INTERNAL, "no memory for the answer");
		return;
	}
	job->found = c;
	job->found_free = columns_free;
	if (!pa_reserve(job)) return;
	for (uint32_t i = 0; i < job->query_n; i++) {
		/* Nobody waits for the others; out of time, each of them says so itself. */
		if (atomic_load(&job->cancel) && !pa_may_go_on(job)) return;
		c->n++;
		if (pa_evaluate(job, job->queries[i], job->memory - held, &c->of[i].result,
		            &c->of[i].error))
			held += c->of[i].result->memory;
	}
	job->more = columns_more;
	pa_release(job, held);
}

const struct pa_kind_of_job pa_job_columns = {run_columns, false};
