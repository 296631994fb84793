/* /federate: the newest sample of each series that is asked for, in the text format 0.0.4. */
#include "api_priv.h"

#include <stdlib.h>

#include "wire/shortest.h"

struct newest {
	struct labels ls;
	struct hg_str name;
	int64_t t;
	double v;
};

struct federated {
	struct promql_query **query;
	struct tsdb_selection **sel;
	struct newest *at;
	size_t n;
	struct hg_arena arena;
};

static void federated_free(struct pa_job *job)
{
	struct federated *f = job->found;
	for (uint32_t i = 0; i < job->match_n; i++) {
		tsdb_selection_free(f->sel[i]);
		promql_free(f->query[i]);
	}
	free(f->at);
	hg_arena_fini(&f->arena);
	free(f);
}

/* ---- text ---- */

static bool plain(struct hg_str s, bool colon)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
		bool digit = c >= '0' && c <= '9' && i > 0;
		if (!letter && !digit && !(colon && c == ':')) return false;
	}
	return s.n > 0;
}

/* Readers of 0.0.4 know no other names; what is none becomes one, as Prometheus does it. */
static void name_text(struct hg_buf *to, struct hg_str s, bool colon)
{
	if (plain(s, colon)) {
		hg_buf_str(to, s);
		return;
	}
	for (size_t i = 0; i < s.n; i++) {
		struct hg_str one = {s.p + i, 1};
		/* One "_" a character, not a byte. */
		if (((unsigned char)s.p[i] & 0xc0) == 0x80) continue;
		bool digit = i == 0 && s.p[i] >= '0' && s.p[i] <= '9';
		if (plain(one, colon) || (s.p[i] >= '0' && s.p[i] <= '9' && !digit))
			hg_buf_str(to, one);
		else
			hg_buf_byte(to, '_');
	}
}

static void value_text(struct hg_buf *to, struct hg_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '\n')
			hg_buf_str(to, HG_STR("\\n"));
		else if (c == '\\' || c == '"')
			hg_buf_str(to, (struct hg_str){(const char[]){'\\', c}, 2});
		else
			hg_buf_byte(to, c);
	}
}

static void pair_text(struct hg_buf *to, bool *first, struct hg_str name, struct hg_str value)
{
	hg_buf_byte(to, *first ? '{' : ',');
	*first = false;
	name_text(to, name, false);
	hg_buf_cstr(to, "=\"");
	value_text(to, value);
	hg_buf_byte(to, '"');
}

static void line(const struct pa_job *job, const struct newest *s, struct hg_buf *to)
{
	char text[SHORTEST_TEXT];
	bool first = true;
	name_text(to, s->name, true);
	for (uint32_t i = 0; i < s->ls.n; i++)
		if (!hg_str_eq(s->ls.at[i].name, LABEL_METRIC))
			pair_text(to, &first, s->ls.at[i].name, s->ls.at[i].value);
	/* The series' own labels win. */
	for (uint32_t i = 0; i < job->external.n; i++)
		if (!labels_get(s->ls, job->external.at[i].name).n)
			pair_text(to, &first, job->external.at[i].name, job->external.at[i].value);
	/* So that who scrapes us does not put our address there. */
	if (!labels_get(s->ls, HG_STR("instance")).n &&
	        !labels_get(job->external, HG_STR("instance")).n)
		pair_text(to, &first, HG_STR("instance"), HG_STR(""));
	hg_buf_cstr(to, "} ");
	hg_buf_str(to, (struct hg_str){text, shortest_prometheus(s->v, text)});
	hg_buf_fmt(to, " %lld\n", (long long)s->t);
}

static void lines(struct pa_job *job, struct hg_buf *to)
{
	const struct federated *f = job->found;
	for (; job->series < f->n; job->series++) {
		const struct newest *s = &f->at[job->series];
		if (to->n >= job->full || to->failed) return;
		if (!job->series || !hg_str_eq(s[-1].name, s->name)) {
			hg_buf_cstr(to, "# TYPE ");
			name_text(to, s->name, true);
			hg_buf_cstr(to, " untyped\n");
		}
		line(job, s, to);
	}
	job->more = NULL;
}

/* ---- samples ---- */

static bool newest(struct pa_job *job, struct federated *f, struct tsdb_selection *sel, uint32_t i,
        struct tsdb_samples *read)
{
	struct newest *s = &f->at[f->n];
	if (i % 64 == 0 && !pa_may_go_on(job)) return false;
	s->ls = tsdb_selection_labels(sel, i);
	s->name = labels_get(s->ls, LABEL_METRIC);
	pa_lock(job);
	enum hg_rc rc = tsdb_selection_read(sel, i, job->start_ms, job->end_ms, read);
	pa_unlock(job);
	if (rc < 0) return pa_fail(&job->error, PA_INTERNAL, "a series could not be read");
	if (!s->name.n || !read->n) return true;
	s->t = read->t[read->n - 1];
	s->v = read->v[read->n - 1];
	f->n += !tsdb_is_stale(s->v);
	return true;
}

static bool select_one(struct pa_job *job, struct federated *f, uint32_t i)
{
	const struct label_matcher *m;
	struct hg_err err = {0};
	uint32_t n;
	if (promql_parse(job->match[i], &f->query[i], &err) < 0)
		return pa_fail_from(&job->error, "match[]", &err);
	if (!promql_matchers(f->query[i], &m, &n))
		return pa_fail_param(
		        &job->error, "match[]", "1:1: parse error: a selector of series is wanted");
	return pa_select(job, "match[]", m, n, &f->sel[i]);
}

static int by_name(const void *a, const void *b)
{
	const struct newest *x = a, *y = b;
	int c = label_text_compare(x->name, y->name);
	return c ? c : labels_compare(x->ls, y->ls);
}

static bool collect(struct pa_job *job, struct federated *f)
{
	struct tsdb_samples read = {0};
	size_t n = 0, kept = 0;
	bool ok = true;
	for (uint32_t i = 0; i < job->match_n; i++) {
		if (!pa_may_go_on(job) || !select_one(job, f, i)) return false;
		n += tsdb_selection_count(f->sel[i]);
	}
	f->at = n < job->memory / sizeof *f->at ? calloc(n + 1, sizeof *f->at) : NULL;
	if (!f->at)
		return pa_fail(&job->error, PA_EXECUTION,
		        "the series do not fit in the memory that queries may have");
	for (uint32_t i = 0; ok && i < job->match_n; i++)
		for (uint32_t k = 0; ok && k < tsdb_selection_count(f->sel[i]); k++)
			ok = newest(job, f, f->sel[i], k, &read);
	tsdb_samples_free(&read);
	if (!ok) return false;
	qsort(f->at, f->n, sizeof *f->at, by_name);
	for (size_t i = 0; i < f->n; i++)
		if (!kept || by_name(&f->at[kept - 1], &f->at[i]) != 0) f->at[kept++] = f->at[i];
	f->n = kept;
	pa_release(job, n * sizeof *f->at);
	return true;
}

static void run_federate(struct pa_job *job)
{
	if (!pa_reserve(job)) return;
	struct federated *f = calloc(1, sizeof *f);
	if (!f) {
		(void)pa_fail(&job->error, PA_INTERNAL, "no memory for the series");
		return;
	}
	hg_arena_init(&f->arena, "federate", (size_t)1 << 20);
	f->query = hg_arena_array(&f->arena, job->match_n + 1, sizeof(struct promql_query *));
	f->sel = hg_arena_array(&f->arena, job->match_n + 1, sizeof(struct tsdb_selection *));
	if (!f->query || !f->sel) {
		(void)pa_fail(&job->error, PA_INTERNAL, "no memory for the series");
		hg_arena_fini(&f->arena);
		free(f);
		return;
	}
	job->found = f;
	job->found_free = federated_free;
	if (collect(job, f)) job->more = lines;
}

const struct pa_kind_of_job pa_job_federate = {run_federate, false};
