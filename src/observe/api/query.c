/* /api/v1/query, query_range, format_query and parse_query: evaluation, and the result as JSON. */
#include "api_priv.h"

#include "os/clock.h"
#include "wire/shortest.h"

#include <stdlib.h>

#define BRIEF_SAMPLES 8000u /* the try on the loop: well under a millisecond */
#define BRIEF_SERIES  200u
#define BRIEF_MEMORY  ((size_t)4 << 20)
#define BRIEF_MS      5u
#define POINT_MAX     (SHORTEST_TEXT + 32)

/* ---- JSON ---- */

/* Seconds with up to three digits behind the point, as they are. */
static size_t time_text(int64_t ms, char *to)
{
	size_t n = 0;
	uint64_t t = ms < 0 ? (uint64_t)0 - (uint64_t)ms : (uint64_t)ms;
	if (ms < 0) to[n++] = '-';
	n += shortest_u64(t / 1000, to + n);
	uint64_t part = t % 1000;
	if (!part) return n;
	to[n++] = '.';
	to[n++] = (char)('0' + part / 100);
	to[n++] = (char)('0' + part / 10 % 10);
	to[n++] = (char)('0' + part % 10);
	return n;
}

/* encoding/json writes a number without zeros at its end. */
void pa_time_json(struct hg_buf *to, int64_t ms)
{
	char text[32];
	size_t n = time_text(ms, text);
	if (ms % 1000)
		while (text[n - 1] == '0')
			n--;
	hg_buf_str(to, (struct hg_str){text, n});
}

/* [1435781451.781,"1.5"] */
static void point_json(struct hg_buf *to, int64_t ms, double v)
{
	char *at = hg_buf_room(to, POINT_MAX);
	size_t n = 0;
	if (!at) return;
	at[n++] = '[';
	n += time_text(ms, at + n);
	at[n++] = ',';
	at[n++] = '"';
	n += shortest_prometheus(v, at + n);
	at[n++] = '"';
	at[n++] = ']';
	hg_buf_add(to, n);
}

void pa_labels_json(struct hg_buf *to, struct labels ls)
{
	hg_buf_byte(to, '{');
	for (uint32_t i = 0; i < ls.n; i++) {
		if (i) hg_buf_byte(to, ',');
		json_quote(to, ls.at[i].name);
		hg_buf_byte(to, ':');
		json_quote(to, ls.at[i].value);
	}
	hg_buf_byte(to, '}');
}

static void seconds(struct hg_buf *to, const char *name, uint64_t ns)
{
	hg_buf_fmt(to, "\"%s\":%.9f", name, (double)ns / 1e9);
}

static void stats_json(const struct pa_job *job, struct hg_buf *to)
{
	uint64_t all = clock_mono_ns() - job->given_ns;
	hg_buf_cstr(to, ",\"stats\":{\"timings\":{");
	seconds(to, "evalTotalTime", job->run_ns);
	hg_buf_byte(to, ',');
	seconds(to, "execQueueTime", all > job->run_ns ? all - job->run_ns : 0);
	hg_buf_byte(to, ',');
	seconds(to, "execTotalTime", all);
	hg_buf_fmt(to, "},\"samples\":{\"totalQueryableSamples\":%llu}}",
	        (unsigned long long)job->samples);
}

static void notes_json(const struct pa_job *job, bool warnings, struct hg_buf *to)
{
	const struct promql_result *r = job->result;
	const char *before = warnings ? ",\"warnings\":[" : ",\"infos\":[";
	if (warnings && job->truncated) {
		hg_buf_cstr(to, before);
		json_quote(to, HG_STR("results truncated due to limit"));
		before = ",";
	}
	for (size_t i = 0; r && i < r->note_n; i++) {
		if (r->notes[i].warning != warnings) continue;
		hg_buf_cstr(to, before);
		json_quote(to, hg_str(r->notes[i].text));
		before = ",";
	}
	if (before[1] == 0) hg_buf_byte(to, ']');
}

void pa_envelope_end(struct pa_job *job, struct hg_buf *to)
{
	notes_json(job, true, to);
	notes_json(job, false, to);
	hg_buf_byte(to, '}');
	job->more = NULL;
}

static void head_json(const struct pa_job *job, struct hg_buf *to)
{
	static const char *const type[] = {[PROMQL_NONE] = "none",
	        [PROMQL_SCALAR] = "scalar",
	        [PROMQL_VECTOR] = "vector",
	        [PROMQL_MATRIX] = "matrix",
	        [PROMQL_STRING] = "string"};
	hg_buf_fmt(to, "{\"status\":\"success\",\"data\":{\"resultType\":\"%s\",\"result\":[",
	        type[job->result->type]);
}

/* A scalar's value never has an exponent, unlike a sample's. */
static void single_json(const struct pa_job *job, struct hg_buf *to)
{
	const struct promql_result *r = job->result;
	pa_time_json(to, job->start_ms);
	hg_buf_byte(to, ',');
	if (r->type == PROMQL_STRING) {
		json_quote(to, r->text);
		return;
	}
	hg_buf_byte(to, '"');
	promql_print_number(to, r->scalar);
	hg_buf_byte(to, '"');
}

/* One series, or as many of its points as a slice takes; false: it goes on with job->point. */
static bool series_json(struct pa_job *job, struct hg_buf *to)
{
	const struct promql_series *s = &job->result->series[job->series];
	bool matrix = job->result->type == PROMQL_MATRIX;
	if (job->point == 0) {
		hg_buf_cstr(to, job->series ? ",{\"metric\":" : "{\"metric\":");
		pa_labels_json(to, s->labels);
		hg_buf_cstr(to, matrix ? ",\"values\":[" : ",\"value\":");
	}
	for (; job->point < s->n; job->point++) {
		/* Not before the first: who goes on there would begin the series again. */
		if (job->point && (to->n >= job->full || to->failed)) return false;
		if (job->point) hg_buf_byte(to, ',');
		point_json(to, s->t[job->point], s->v[job->point]);
	}
	hg_buf_cstr(to, matrix ? "]}" : "}");
	return true;
}

static void result_more(struct pa_job *job, struct hg_buf *to)
{
	const struct promql_result *r = job->result;
	size_t n = (size_t)HG_MIN((uint64_t)r->n, job->limit);
	if (!job->opened) head_json(job, to);
	job->opened = true;
	if (r->type == PROMQL_SCALAR || r->type == PROMQL_STRING) {
		single_json(job, to);
		n = 0;
	}
	while (job->series < n) {
		if (to->n >= job->full || to->failed) return;
		if (!series_json(job, to)) return;
		job->series++;
		job->point = 0;
	}
	hg_buf_byte(to, ']');
	if (job->stats) stats_json(job, to);
	hg_buf_byte(to, '}');
	pa_envelope_end(job, to);
}

/* ---- evaluation ---- */

static void lock_of(void *arg)
{
	pa_lock(arg);
}

static void unlock_of(void *arg)
{
	pa_unlock(arg);
}

static struct promql_options options(struct pa_job *job, size_t memory)
{
	struct promql_options o = {.start_ms = job->start_ms,
	        .end_ms = job->end_ms,
	        .step_ms = job->range ? job->step_ms : 0,
	        .lookback_ms = job->lookback_ms,
	        .points_max = PA_POINTS_MAX + 1, /* both ends count */
	        .memory_max = memory,
	        .deadline_ms = job->deadline_ms,
	        .cancel = &job->cancel,
	        .lock = lock_of,
	        .unlock = unlock_of,
	        .arg = job};
	if (!job->brief) return o;
	o.lock = o.unlock = NULL;
	o.samples_max = BRIEF_SAMPLES;
	o.series_max = BRIEF_SERIES;
	o.memory_max = BRIEF_MEMORY;
	o.deadline_ms = HG_MIN(o.deadline_ms, clock_mono_ms() + BRIEF_MS);
	return o;
}

/* Parses; false: the error is set. */
static bool parse(const struct pa_job *job, struct hg_str text, struct promql_query **ret_query,
        struct pa_error *ret_error)
{
	struct hg_err err = {0};
	if (promql_parse(text, ret_query, &err) < 0) return pa_fail_from(ret_error, "query", &err);
	enum promql_type type = promql_type_of(*ret_query);
	if (!job->range || type == PROMQL_SCALAR || type == PROMQL_VECTOR) return true;
	promql_free(*ret_query);
	*ret_query = NULL;
	return pa_fail_param(ret_error, "query",
	        "invalid expression type \"%s\" for range query, must be Scalar or instant Vector",
	        promql_type_name(type));
}

static bool failed(const struct pa_job *job, const struct hg_err *err, struct pa_error *ret_error)
{
	if (err->rc == HG_E_QUERY_TIME && atomic_load(&job->cancel))
		return pa_fail(ret_error, PA_CANCELED, "query was canceled in query execution");
	if (err->rc == HG_E_QUERY_TIME)
		return pa_fail(ret_error, PA_TIMEOUT, "query timed out in query execution");
	return pa_fail_from(ret_error, "query", err);
}

bool pa_evaluate(struct pa_job *job, struct hg_str text, size_t memory,
        const struct promql_result **ret_result, struct pa_error *ret_error)
{
	struct promql_query *q = NULL;
	struct hg_err err = {0};
	uint64_t began = clock_mono_ns();
	if (!parse(job, text, &q, ret_error)) return false;
	struct promql_options o = options(job, memory);
	enum hg_rc rc = promql_run(job->p->o.db, q, &o, ret_result, &err);
	job->run_ns += clock_mono_ns() - began;
	promql_free(q);
	if (rc == HG_OK) {
		job->samples += (*ret_result)->samples;
		return true;
	}
	if (err.rc == HG_OK) (void)hg_err_set(&err, rc, "%s", hg_rc_info(rc)->summary);
	return failed(job, &err, ret_error);
}

static void run_query(struct pa_job *job)
{
	if (!job->brief && !pa_reserve(job)) return;
	if (!pa_evaluate(job, job->query, job->memory, &job->result, &job->error)) return;
	bool many = job->result->type == PROMQL_VECTOR || job->result->type == PROMQL_MATRIX;
	job->truncated = many && job->result->n > job->limit;
	job->more = result_more;
	pa_release(job, job->result->memory);
}

#define TEXT_MAX (4 * PROMQL_TEXT_MAX) /* of a query that is written out */

static void text_more(struct pa_job *job, struct hg_buf *to)
{
	const struct hg_buf *json = job->found;
	hg_buf_cstr(to, "{\"status\":\"success\",\"data\":");
	hg_buf_str(to, hg_buf_view(json));
	pa_envelope_end(job, to);
}

static void text_free(struct pa_job *job)
{
	hg_buf_free(job->found);
	free(job->found);
}

static void pretty(const struct promql_query *q, struct hg_buf *to)
{
	struct hg_buf plain;
	hg_buf_init(&plain, TEXT_MAX);
	promql_pretty(q, &plain);
	if (plain.failed)
		to->failed = true;
	else
		json_quote(to, hg_buf_view(&plain));
	hg_buf_free(&plain);
}

static void run_text(
        struct pa_job *job, void (*write)(const struct promql_query *q, struct hg_buf *to))
{
	struct promql_query *q = NULL;
	struct hg_buf text, *json;
	if (!parse(job, job->query, &q, &job->error)) return;
	hg_buf_init(&text, TEXT_MAX);
	write(q, &text);
	promql_free(q);
	json = text.failed ? NULL : malloc(sizeof *json);
	if (!json) {
		hg_buf_free(&text);
		(void)pa_fail(&job->error, PA_EXECUTION,
		        "the query takes more than %zu MiB when it is written out", TEXT_MAX >> 20);
		return;
	}
	*json = text;
	job->found = json;
	job->found_free = text_free;
	job->more = text_more;
}

static void run_format(struct pa_job *job)
{
	run_text(job, pretty);
}

static void run_tree(struct pa_job *job)
{
	run_text(job, promql_tree);
}

const struct pa_kind_of_job pa_job_query = {run_query, true};
const struct pa_kind_of_job pa_job_format = {run_format, true};
const struct pa_kind_of_job pa_job_tree = {run_tree, true};
