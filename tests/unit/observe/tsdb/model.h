/*
 * A store beside a model of it that is too simple to be wrong: an array of every sample that was
 * taken. What the store gives is compared bit by bit.
 */
#ifndef TESTS_TSDB_MODEL_H
#define TESTS_TSDB_MODEL_H

#include "tests/unit/test.h"

#include "base/rand.h"
#include "observe/tsdb/tsdb.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MODEL_SERIES 64

struct model_series {
	struct label labels[6];
	struct labels ls;
	char text[6][24];
	int64_t *t;
	double *v;
	uint32_t n, cap;
	tsdb_ref ref;
};

struct model {
	struct hg_rand rand;
	struct tsdb *db;
	struct model_series series[MODEL_SERIES];
	uint32_t n;
};

static inline void model_open(struct model *m, const struct tsdb_options *o)
{
	struct hg_err err = {0};
	if (tsdb_open(o, &m->db, &err) != HG_OK) fail_msg("%s: %s", err.message, err.detail);
	for (uint32_t i = 0; i < m->n; i++)
		m->series[i].ref = 0;
}

static inline void model_ref(struct model *m, uint32_t i)
{
	struct hg_err err = {0};
	struct model_series *s = &m->series[i];
	if (!s->ref && tsdb_series(m->db, s->ls, &s->ref, &err) != HG_OK)
		fail_msg("%s", err.message);
}

/* Series i: metric m0 … m3, job, instance, and for some the label `extra`. */
static inline void model_init(struct model *m, uint32_t n, uint64_t seed)
{
	*m = (struct model){.n = n};
	hg_rand_seed(&m->rand, seed);
	for (uint32_t i = 0; i < n; i++) {
		struct model_series *s = &m->series[i];
		uint32_t k = 0;
		snprintf(s->text[0], sizeof s->text[0], "m%u", i % 4);
		snprintf(s->text[1], sizeof s->text[1], "x%u", i % 3);
		snprintf(s->text[2], sizeof s->text[2], "host-%u:9100", i / 4);
		snprintf(s->text[3], sizeof s->text[3], "job%u", i % 2);
		s->labels[k++] = (struct label){HG_STR("__name__"), hg_str(s->text[0])};
		if (i % 3) s->labels[k++] = (struct label){HG_STR("extra"), hg_str(s->text[1])};
		s->labels[k++] = (struct label){HG_STR("instance"), hg_str(s->text[2])};
		s->labels[k++] = (struct label){HG_STR("job"), hg_str(s->text[3])};
		s->ls = (struct labels){s->labels, k};
	}
}

static inline void model_fini(struct model *m)
{
	tsdb_close(m->db);
	for (uint32_t i = 0; i < m->n; i++) {
		free(m->series[i].t);
		free(m->series[i].v);
	}
}

/* Remembers a sample at its place in time. */
static inline void model_note(struct model_series *s, int64_t t, double v)
{
	if (s->n == s->cap) {
		s->cap = s->cap * 2 + 64;
		s->t = realloc(s->t, s->cap * sizeof *s->t);
		s->v = realloc(s->v, s->cap * sizeof *s->v);
		assert_true(s->t && s->v);
	}
	uint32_t i = s->n++;
	for (; i && s->t[i - 1] > t; i--) {
		s->t[i] = s->t[i - 1];
		s->v[i] = s->v[i - 1];
	}
	s->t[i] = t;
	s->v[i] = v;
}

static inline double model_value(struct model *m, uint32_t i, double before)
{
	switch (i % 6) {
	case 0: return before + hg_rand_below(&m->rand, 20);
	case 1: return (double)hg_rand_below(&m->rand, 100000) / 100;
	case 2: return hg_rand_unit(&m->rand);
	case 3: return 7;
	case 4:
		if (hg_rand_below(&m->rand, 20) == 0) return tsdb_stale();
		return hg_rand_below(&m->rand, 30) ? before : INFINITY;
	default: return before + 0.1;
	}
}

static inline void model_append(struct model *m, uint32_t i, int64_t t, double v)
{
	struct model_series *s = &m->series[i];
	model_ref(m, i);
	enum hg_rc rc = tsdb_append(m->db, s->ref, t, v);
	if (rc == HG_E_NOT_FOUND) {
		s->ref = 0;
		model_ref(m, i);
		rc = tsdb_append(m->db, s->ref, t, v);
	}
	if (rc != HG_OK) fail_msg("series %u at %lld: %d", i, (long long)t, (int)rc);
	model_note(s, t, v);
}

static inline void model_same(
        const struct model_series *s, const struct tsdb_samples *got, int64_t from, int64_t to)
{
	size_t n = 0;
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->t[i] < from || s->t[i] > to) continue;
		if (n >= got->n)
			fail_msg("%s: %zu samples, more are missing from %lld on", s->text[0], n,
			        (long long)s->t[i]);
		if (got->t[n] != s->t[i] || memcmp(&got->v[n], &s->v[i], sizeof s->v[i]) != 0)
			fail_msg("%s: sample %zu is %lld %a, not %lld %a", s->text[0], n,
			        (long long)got->t[n], got->v[n], (long long)s->t[i], s->v[i]);
		n++;
	}
	if (n != got->n) fail_msg("%s: %zu samples, not %zu", s->text[0], got->n, n);
}

/* Selects, compares the series with those of the model that match and have samples, and what is
 * read of each in [from, to]. Returns how many there were. */
static inline uint32_t model_check(
        struct model *m, const struct label_matcher *matchers, uint32_t n, int64_t from, int64_t to)
{
	struct tsdb_selection *sel;
	struct hg_err err = {0};
	struct tsdb_samples got = {0};
	uint32_t found = 0, nonempty = 0;
	if (tsdb_select(m->db, matchers, n, from, to, &sel, &err) != HG_OK)
		fail_msg("%s", err.message);
	for (uint32_t i = 0; i < tsdb_selection_count(sel); i++) {
		struct labels ls = tsdb_selection_labels(sel, i);
		if (i) assert_true(labels_compare(tsdb_selection_labels(sel, i - 1), ls) < 0);
		assert_true(label_matchers_match(matchers, n, ls));
		assert_int_equal(tsdb_selection_read(sel, i, from, to, &got), HG_OK);
		uint32_t k = 0;
		while (k < m->n && !labels_equal(m->series[k].ls, ls))
			k++;
		assert_true(k < m->n);
		model_same(&m->series[k], &got, from, to);
		nonempty += got.n > 0;
	}
	for (uint32_t k = 0; k < m->n; k++) {
		const struct model_series *s = &m->series[k];
		bool in = false;
		for (uint32_t i = 0; i < s->n; i++)
			in |= s->t[i] >= from && s->t[i] <= to;
		found += in && label_matchers_match(matchers, n, s->ls);
	}
	assert_int_equal(nonempty, found);
	tsdb_selection_free(sel);
	tsdb_samples_free(&got);
	return found;
}

#endif
