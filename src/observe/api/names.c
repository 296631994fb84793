/* /api/v1/series, labels and label/NAME/values: what there is, without samples. */
#include "api_priv.h"

#include <stdlib.h>

#define SERIES_BYTES 256u /* what a series of a selection takes, more or less */

/* One or the other: series of selections, or texts in the arena. */
struct found {
	struct promql_query **query; /* match[] */
	struct tsdb_selection **sel;
	struct labels *series;
	struct hg_str *text;
	size_t n;
	struct hg_arena arena;
};

static void found_free(struct pa_job *job)
{
	struct found *f = job->found;
	for (uint32_t i = 0; i < job->match_n; i++) {
		tsdb_selection_free(f->sel[i]); /* on the loop: the lock is held */
		promql_free(f->query[i]);
	}
	free(f->series);
	free(f->text);
	hg_arena_fini(&f->arena);
	free(f);
}

static struct found *found_make(struct pa_job *job)
{
	struct found *f = calloc(1, sizeof *f);
	if (!f) goto nomem;
	hg_arena_init(&f->arena, "names", job->memory);
	f->query = hg_arena_array(&f->arena, job->match_n + 1, sizeof(struct promql_query *));
	f->sel = hg_arena_array(&f->arena, job->match_n + 1, sizeof(struct tsdb_selection *));
	if (f->query && f->sel) {
		job->found = f;
		job->found_free = found_free;
		return f;
	}
	hg_arena_fini(&f->arena);
	free(f);
nomem:
	(void)pa_fail(&job->error, PA_INTERNAL, "no memory for the names");
	return NULL;
}

static bool too_large(struct pa_job *job)
{
	return pa_fail(&job->error, PA_EXECUTION,
	        "the answer does not fit in the memory that queries may have; ask for fewer with "
	        "match[], start and end");
}

/* The matchers of match[] number `i`. */
static bool matchers(struct pa_job *job, struct found *f, uint32_t i,
        const struct label_matcher **ret_m, uint32_t *ret_n)
{
	struct hg_err err = {0};
	if (promql_parse(job->match[i], &f->query[i], &err) < 0)
		return pa_fail_from(&job->error, "match[]", &err);
	return promql_matchers(f->query[i], ret_m, ret_n) ||
	       pa_fail_param(&job->error, "match[]", "%s",
	               "1:1: parse error: a selector of series is wanted, without a range, offset, "
	               "function or operator");
}

/* ---- series ---- */

static int by_labels(const void *a, const void *b)
{
	return labels_compare(*(const struct labels *)a, *(const struct labels *)b);
}

/* A series that several selectors match is told once. */
static bool gather(struct pa_job *job, struct found *f)
{
	size_t n = 0, kept = 0;
	for (uint32_t i = 0; i < job->match_n; i++)
		n += tsdb_selection_count(f->sel[i]);
	if (n > job->memory / SERIES_BYTES) return too_large(job);
	f->series = calloc(n + 1, sizeof *f->series);
	if (!f->series) return too_large(job);
	for (uint32_t i = 0; i < job->match_n; i++)
		for (uint32_t k = 0; k < tsdb_selection_count(f->sel[i]); k++)
			f->series[f->n++] = tsdb_selection_labels(f->sel[i], k);
	if (job->match_n == 1) return true;
	qsort(f->series, f->n, sizeof *f->series, by_labels);
	for (size_t i = 0; i < f->n; i++)
		if (!kept || by_labels(&f->series[kept - 1], &f->series[i]) != 0)
			f->series[kept++] = f->series[i];
	f->n = kept;
	return true;
}

static bool select_all(struct pa_job *job, struct found *f)
{
	for (uint32_t i = 0; i < job->match_n; i++) {
		const struct label_matcher *m = NULL;
		uint32_t n = 0;
		if (!pa_may_go_on(job) || !matchers(job, f, i, &m, &n) ||
		        !pa_select(job, "match[]", m, n, &f->sel[i]))
			return false;
	}
	return gather(job, f);
}

static void open_data(struct pa_job *job, struct hg_buf *to)
{
	if (!job->opened) hg_buf_cstr(to, "{\"status\":\"success\",\"data\":[");
	job->opened = true;
}

static void names_more(struct pa_job *job, struct hg_buf *to)
{
	const struct found *f = job->found;
	size_t n = (size_t)HG_MIN((uint64_t)f->n, job->limit);
	open_data(job, to);
	for (; job->series < n; job->series++) {
		if (to->n >= job->full || to->failed) return;
		if (job->series) hg_buf_byte(to, ',');
		if (f->text)
			json_quote(to, f->text[job->series]);
		else
			pa_labels_json(to, f->series[job->series]);
	}
	job->truncated = f->n > n;
	hg_buf_byte(to, ']');
	pa_envelope_end(job, to);
}

static void run_series(struct pa_job *job)
{
	struct found *f;
	if (!pa_reserve(job) || !(f = found_make(job)) || !select_all(job, f)) return;
	job->more = names_more;
	pa_release(job, f->n * SERIES_BYTES);
}

/* ---- names and values of labels ---- */

static int by_text(const void *a, const void *b)
{
	return label_text_compare(*(const struct hg_str *)a, *(const struct hg_str *)b);
}

static bool ask(struct pa_job *job, struct found *f, const struct label_matcher *m, uint32_t n)
{
	struct hg_str *at = NULL;
	uint32_t count = 0;
	pa_lock(job);
	enum hg_rc rc = job->label.n ? tsdb_label_values(job->p->o.db, job->label, m, n,
	                                       job->start_ms, job->end_ms, &f->arena, &at, &count)
	                             : tsdb_label_names(job->p->o.db, m, n, job->start_ms,
	                                       job->end_ms, &f->arena, &at, &count);
	pa_unlock(job);
	if (rc < 0) return too_large(job);
	struct hg_str *all = realloc(f->text, (f->n + count + 1) * sizeof *all);
	if (!all) return too_large(job);
	f->text = all;
	if (count) memcpy(f->text + f->n, at, count * sizeof *at);
	f->n += count;
	return true;
}

static void run_names(struct pa_job *job)
{
	struct found *f;
	size_t kept = 0;
	if (!pa_reserve(job) || !(f = found_make(job))) return;
	if (!job->match_n && !ask(job, f, NULL, 0)) return;
	for (uint32_t i = 0; i < job->match_n; i++) {
		const struct label_matcher *m = NULL;
		uint32_t n = 0;
		if (!pa_may_go_on(job) || !matchers(job, f, i, &m, &n) || !ask(job, f, m, n))
			return;
	}
	if (job->match_n > 1) {
		qsort(f->text, f->n, sizeof *f->text, by_text);
		for (size_t i = 0; i < f->n; i++)
			if (!kept || !hg_str_eq(f->text[kept - 1], f->text[i]))
				f->text[kept++] = f->text[i];
		f->n = kept;
	}
	job->more = names_more;
	pa_release(job, f->arena.used);
}

const struct pa_kind_of_job pa_job_series = {run_series, false};
const struct pa_kind_of_job pa_job_labels = {run_names, false};
const struct pa_kind_of_job pa_job_values = {run_names, false};
