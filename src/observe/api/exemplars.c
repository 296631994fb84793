/* /api/v1/query_exemplars: exemplars of the series that an expression selects. */
#include "api_priv.h"

#include <stdlib.h>

/* Whether one of the selectors takes the series. */
struct taking {
	struct labels series;
	bool taken;
};

static bool on_selector(void *arg, const struct label_matcher *m, uint32_t n)
{
	struct taking *t = arg;
	t->taken = label_matchers_match(m, n, t->series);
	return !t->taken;
}

static int by_series(const void *a, const void *b)
{
	const struct scrape_exemplar *x = a, *y = b;
	int d = labels_compare(x->series, y->series);
	return d ? d : (x->t_ms > y->t_ms) - (x->t_ms < y->t_ms);
}

static void labels(struct json_out *j, const char *key, struct labels ls)
{
	struct hg_buf b;
	hg_buf_init(&b, (size_t)1 << 20);
	pa_labels_json(&b, ls);
	json_out_key(j, key);
	json_out_raw(j, b.failed ? HG_STR("{}") : hg_buf_view(&b));
	hg_buf_free(&b);
}

static void one(struct json_out *j, const struct scrape_exemplar *e)
{
	struct hg_buf b;
	hg_buf_init(&b, 256);
	json_out_object(j);
	labels(j, "labels", e->labels);
	promql_print_number(&b, e->value);
	json_out_key(j, "value");
	json_out_str(j, hg_buf_view(&b));
	hg_buf_reset(&b);
	pa_time_json(&b, e->t_ms);
	json_out_key(j, "timestamp");
	json_out_raw(j, hg_buf_view(&b));
	json_out_end(j);
	hg_buf_free(&b);
}

static void series_out(struct json_out *j, const struct scrape_exemplar *at, uint32_t n)
{
	json_out_array(j);
	for (uint32_t i = 0; i < n;) {
		struct labels series = at[i].series;
		json_out_object(j);
		labels(j, "seriesLabels", series);
		json_out_key(j, "exemplars");
		json_out_array(j);
		for (; i < n && labels_equal(at[i].series, series); i++)
			one(j, &at[i]);
		json_out_end(j);
		json_out_end(j);
	}
	json_out_end(j);
}

static uint32_t choose(const struct pa_ask *a, const struct promql_query *q, int64_t start,
        int64_t end, struct scrape_exemplar *to)
{
	struct scrape_exemplar e;
	uint32_t n = 0;
	size_t at = 0;
	while (a->p->o.scrape && scrape_exemplar_next(a->p->o.scrape, &at, &e)) {
		struct taking t = {.series = e.series};
		if (e.t_ms < start || e.t_ms > end) continue;
		(void)promql_selectors(q, on_selector, &t);
		if (t.taken) to[n++] = e;
	}
	if (n) qsort(to, n, sizeof *to, by_series);
	return n;
}

bool pa_exemplars(struct pa_ask *a, struct json_out *j)
{
	int64_t start = -PA_TIME_MAX_MS, end = PA_TIME_MAX_MS;
	struct promql_query *q = NULL;
	struct hg_err err = {0};
	if (!pa_time_of(a->form, "start", &start, &a->error) ||
	        !pa_time_of(a->form, "end", &end, &a->error))
		return false;
	if (end < start)
		return pa_fail(
		        &a->error, PA_BAD_DATA, "end timestamp must not be before start timestamp");
	if (promql_parse(pa_form_get(a->form, "query"), &q, &err) < 0)
		return pa_fail_from(&a->error, "query", &err);
	struct scrape_exemplar *found = calloc(SCRAPE_EXEMPLARS_MAX, sizeof *found);
	if (found)
		series_out(j, found, choose(a, q, start, end, found));
	else
		(void)pa_fail(&a->error, PA_INTERNAL, "no memory for the answer");
	bool good = found != NULL;
	free(found);
	promql_free(q);
	return good;
}
