/*
 * /api/v1/status/tsdb: which names and labels make the series of the last hour. Every pair of every
 * series is put into one array; sorted, a run of equal pairs is a pair with its number of series, a
 * run of equal names a label with its number of values.
 */
#include "api_priv.h"

#include <stdlib.h>

#define TOP_MAX 1000u

struct top {
	struct entry {
		struct label of; /* value empty: only the name is shown */
		uint64_t n;
	} * at;
	uint32_t n, max;
};

enum { BY_METRIC, VALUES_BY_LABEL, BYTES_BY_LABEL, BY_PAIR, TOPS };

struct counted {
	struct tsdb_selection *sel;
	struct label *pairs;
	size_t n;
	uint64_t different; /* pairs */
	struct top top[TOPS];
	struct hg_arena arena;
};

static void counted_free(struct pa_job *job)
{
	struct counted *c = job->found;
	tsdb_selection_free(c->sel);
	free(c->pairs);
	hg_arena_fini(&c->arena);
	free(c);
}

/* Few are kept, so that the place is looked for from the end. */
static void top_add(struct top *t, struct label of, uint64_t n)
{
	if (t->n == t->max && (!t->max || n <= t->at[t->n - 1].n)) return;
	uint32_t i = t->n == t->max ? t->n - 1 : t->n++;
	for (; i > 0 && t->at[i - 1].n < n; i--)
		t->at[i] = t->at[i - 1];
	t->at[i] = (struct entry){of, n};
}

static int by_pair(const void *a, const void *b)
{
	const struct label *x = a, *y = b;
	int d = label_text_compare(x->name, y->name);
	return d ? d : label_text_compare(x->value, y->value);
}

static void tell_label(struct counted *c, struct hg_str name, uint64_t values, uint64_t bytes)
{
	top_add(&c->top[VALUES_BY_LABEL], (struct label){name, {0}}, values);
	top_add(&c->top[BYTES_BY_LABEL], (struct label){name, {0}}, bytes);
}

static void count(struct counted *c)
{
	uint64_t values = 0, bytes = 0;
	qsort(c->pairs, c->n, sizeof *c->pairs, by_pair);
	for (size_t i = 0, next; i < c->n; i = next) {
		const struct label *p = &c->pairs[i];
		for (next = i + 1; next < c->n && by_pair(p, &c->pairs[next]) == 0;)
			next++;
		c->different++;
		values++;
		bytes += p->value.n;
		top_add(&c->top[BY_PAIR], *p, next - i);
		if (hg_str_eq(p->name, LABEL_METRIC))
			top_add(&c->top[BY_METRIC], (struct label){p->value, {0}}, next - i);
		if (next < c->n && hg_str_eq(p->name, c->pairs[next].name)) continue;
		tell_label(c, p->name, values, bytes);
		values = bytes = 0;
	}
}

static bool gather(struct pa_job *job, struct counted *c)
{
	size_t n = 0;
	if (!pa_select(job, "limit", NULL, 0, &c->sel)) return false;
	for (uint32_t i = 0; i < tsdb_selection_count(c->sel); i++)
		n += tsdb_selection_labels(c->sel, i).n;
	c->pairs = n < job->memory / sizeof *c->pairs ? calloc(n + 1, sizeof *c->pairs) : NULL;
	if (!c->pairs)
		return pa_fail(&job->error, PA_EXECUTION,
		        "there are more series than can be counted in the memory that queries may "
		        "have");
	for (uint32_t i = 0; i < tsdb_selection_count(c->sel); i++) {
		struct labels ls = tsdb_selection_labels(c->sel, i);
		if (i % 4096 == 0 && !pa_may_go_on(job)) return false;
		memcpy(c->pairs + c->n, ls.at, ls.n * sizeof *ls.at);
		c->n += ls.n;
	}
	return true;
}

/* ---- JSON ---- */

static void number(struct json_out *j, const char *key, int64_t v)
{
	json_out_key(j, key);
	json_out_int(j, v);
}

static void top_json(struct json_out *j, const char *key, const struct top *t)
{
	json_out_key(j, key);
	json_out_array(j);
	for (uint32_t i = 0; i < t->n; i++) {
		const struct label *l = &t->at[i].of;
		struct hg_buf name;
		hg_buf_init(&name, l->name.n + l->value.n + 2);
		hg_buf_str(&name, l->name);
		if (l->value.n) hg_buf_byte(&name, '=');
		hg_buf_str(&name, l->value);
		json_out_object(j);
		json_out_key(j, "name");
		json_out_str(j, hg_buf_view(&name));
		number(j, "value", (int64_t)t->at[i].n);
		json_out_end(j);
		hg_buf_free(&name);
	}
	json_out_end(j);
}

static void more(struct pa_job *job, struct hg_buf *to)
{
	const struct counted *c = job->found;
	struct json_out j;
	hg_buf_cstr(to, "{\"status\":\"success\",\"data\":");
	json_out_init(&j, to);
	json_out_object(&j);
	json_out_key(&j, "headStats");
	json_out_object(&j);
	number(&j, "numSeries", tsdb_selection_count(c->sel));
	number(&j, "numLabelPairs", (int64_t)c->different);
	number(&j, "chunkCount", 0); /* chunks are counted by no one */
	number(&j, "minTime", job->head_min_ms);
	number(&j, "maxTime", job->head_max_ms);
	json_out_end(&j);
	top_json(&j, "seriesCountByMetricName", &c->top[BY_METRIC]);
	top_json(&j, "labelValueCountByLabelName", &c->top[VALUES_BY_LABEL]);
	top_json(&j, "memoryInBytesByLabelName", &c->top[BYTES_BY_LABEL]);
	top_json(&j, "seriesCountByLabelValuePair", &c->top[BY_PAIR]);
	json_out_end(&j);
	if (!json_out_ok(&j)) to->failed = true;
	pa_envelope_end(job, to);
}

static void run(struct pa_job *job)
{
	struct counted *c;
	if (!pa_reserve(job)) return;
	c = calloc(1, sizeof *c);
	if (!c) {
		(void)pa_fail(&job->error, PA_INTERNAL, "no memory to count in");
		return;
	}
	job->found = c;
	job->found_free = counted_free;
	hg_arena_init(&c->arena, "cardinality", (size_t)1 << 20);
	for (size_t i = 0; i < TOPS; i++) {
		c->top[i].max = (uint32_t)HG_MIN(job->limit, (uint64_t)TOP_MAX);
		c->top[i].at = hg_arena_array(&c->arena, c->top[i].max, sizeof *c->top[i].at);
		if (!c->top[i].at) {
			(void)pa_fail(&job->error, PA_INTERNAL, "no memory to count in");
			return;
		}
	}
	if (!gather(job, c)) return;
	count(c);
	job->more = more;
}

const struct pa_kind_of_job pa_job_cardinality = {run, false};
