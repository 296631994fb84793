/* Is a result what was expected; the differences in words. */
#include "test_priv.h"

#include <math.h>

#define EPSILON 1e-6
#define SMALL   2.2250738585072014e-308

bool pt_same(double want, double got)
{
	if (tsdb_is_stale(want) || tsdb_is_stale(got))
		return tsdb_is_stale(want) && tsdb_is_stale(got);
	if (isnan(want) && isnan(got)) return true;
	if (want == got) return true;
	double sum = fabs(want) + fabs(got), diff = fabs(want - got);
	if (want == 0 || got == 0 || sum < SMALL) return diff < EPSILON * SMALL;
	return diff / fmin(sum, 1.7976931348623157e308) < EPSILON;
}

bool pt_expects(const struct pt_eval *e, enum pt_want want)
{
	for (uint32_t i = 0; i < e->expects; i++)
		if (e->expect[i].want == want) return true;
	return false;
}

static void number(struct hg_buf *b, double v)
{
	if (tsdb_is_stale(v))
		hg_buf_cstr(b, "stale");
	else
		pq_number_print(b, v);
}

/* The series of a result that has a point within the step at hand; `at` only when `middle`. */
static size_t points(const struct promql_series *s, bool middle, int64_t at, size_t *ret_first)
{
	*ret_first = 0;
	if (!middle) return s->n;
	for (size_t i = 0; i < s->n; i++)
		if (s->t[i] == at) {
			*ret_first = i;
			return 1;
		}
	return 0;
}

struct span {
	int64_t from, step;
	bool middle;
	int64_t at;
};

static bool same_series(const struct pt_series *want, const struct promql_series *got,
        const struct span *s, struct hg_buf *why)
{
	size_t i, n = points(got, s->middle, s->at, &i), end = i + n;
	for (uint32_t k = 0; k < want->n; k++) {
		int64_t t = s->from + k * s->step;
		if (i < end && got->t[i] < t) break; /* nothing was expected there */
		if (want->at[k].kind != PT_VALUE) continue;
		if (i < end && got->t[i] == t && pt_same(want->at[k].v, got->v[i])) {
			i++;
			continue;
		}
		labels_print(why, got->labels);
		hg_buf_fmt(why, " at %.3f: expected ", (double)t / 1000);
		number(why, want->at[k].v);
		hg_buf_cstr(why, ", got ");
		if (i < end && got->t[i] == t)
			number(why, got->v[i]);
		else
			hg_buf_cstr(why, "nothing");
		return false;
	}
	if (i == end) return true;
	labels_print(why, got->labels);
	hg_buf_fmt(why, " at %.3f: expected nothing, got ", (double)got->t[i] / 1000);
	number(why, got->v[i]);
	return false;
}

static bool has_points(const struct pt_series *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->at[i].kind == PT_VALUE) return true;
	return false;
}

static const struct pt_series *wanted(const struct pt_eval *e, struct labels ls)
{
	/* The same labels twice: the last line counts, as upstream's map has it. */
	for (uint32_t k = e->series_n; k-- > 0;)
		if (labels_equal(e->series[k].ls, ls)) return &e->series[k];
	return NULL;
}

static bool series(const struct pt_eval *e, const struct promql_result *r, const struct span *s,
        struct hg_buf *why)
{
	size_t ignored;
	for (size_t k = 0; k < r->n; k++) {
		if (!points(&r->series[k], s->middle, s->at, &ignored)) continue;
		const struct pt_series *want = wanted(e, r->series[k].labels);
		if (!want) {
			hg_buf_cstr(why, "unexpected series ");
			labels_print(why, r->series[k].labels);
			hg_buf_cstr(why, " ");
			number(why, r->series[k].v[ignored]);
			return false;
		}
		if (!same_series(want, &r->series[k], s, why)) return false;
	}
	for (uint32_t i = 0; i < e->series_n; i++) {
		bool found = !has_points(&e->series[i]);
		for (size_t k = 0; k < r->n && !found; k++)
			found = labels_equal(e->series[i].ls, r->series[k].labels) &&
			        points(&r->series[k], s->middle, s->at, &ignored);
		if (found) continue;
		hg_buf_cstr(why, "expected ");
		labels_print(why, e->series[i].ls);
		hg_buf_cstr(why, ", got no such series");
		return false;
	}
	return true;
}

static bool in_order(const struct pt_eval *e, const struct promql_result *r, struct hg_buf *why)
{
	for (size_t k = 0; k < r->n && k < e->series_n; k++) {
		if (labels_equal(e->series[k].ls, r->series[k].labels)) continue;
		hg_buf_fmt(why, "place %zu: expected ", k + 1);
		labels_print(why, e->series[k].ls);
		hg_buf_cstr(why, ", got ");
		labels_print(why, r->series[k].labels);
		return false;
	}
	return true;
}

static bool scalar(const struct pt_eval *e, const struct promql_result *r, bool middle, int64_t at,
        struct hg_buf *why)
{
	double got = r->scalar;
	size_t i = 0;
	bool has = r->type == PROMQL_SCALAR;
	if (middle && r->type == PROMQL_MATRIX && r->n == 1 && r->series[0].labels.n == 0 &&
	        points(&r->series[0], true, at, &i)) {
		got = r->series[0].v[i];
		has = true;
	}
	if (has && pt_same(e->number, got)) return true;
	hg_buf_cstr(why, "expected the scalar ");
	number(why, e->number);
	hg_buf_cstr(why, ", got ");
	if (has)
		number(why, got);
	else
		hg_buf_cstr(why, promql_type_name(r->type));
	return false;
}

bool pt_judge(const struct pt_eval *e, const struct promql_result *r, bool middle, int64_t at,
        struct hg_buf *why)
{
	struct span s = {e->from, e->step, middle, at};
	if (e->is_string) {
		if (r->type == PROMQL_STRING && hg_str_eq(r->text, e->text)) return true;
		hg_buf_fmt(why, "expected the string \"%.*s\", got ", HG_STR_ARG(e->text));
		if (r->type == PROMQL_STRING)
			hg_buf_fmt(why, "\"%.*s\"", HG_STR_ARG(r->text));
		else
			hg_buf_cstr(why, promql_type_name(r->type));
		return false;
	}
	if (e->scalar) return scalar(e, r, middle, at, why);
	if (r->type != PROMQL_VECTOR && r->type != PROMQL_MATRIX) {
		if (!e->range && !e->series_n &&
		        r->type == PROMQL_SCALAR) { /* nothing was written */
			hg_buf_cstr(why, "expected nothing, got a scalar");
			return false;
		}
		hg_buf_fmt(why, "expected series, got %s", promql_type_name(r->type));
		return false;
	}
	if (e->matrix) {
		s.from = e->m_from;
		s.step = e->m_step;
	} else if (middle) {
		s.from = at;
	}
	if (!series(e, r, &s, why)) return false;
	return !e->ordered || middle || in_order(e, r, why);
}

/* ---- messages ---- */

static bool text_matches(const struct pt_expect *x, const char *text)
{
	struct re *re;
	bool ok;
	if (!x->text.n) return true;
	if (!x->regex) return hg_str_eq(x->text, hg_str(text));
	if (re_compile(x->text, RE_DOTALL, &re, NULL) < 0) return false;
	ok = re_match(re, hg_str(text));
	re_free(re);
	return ok;
}

static bool judge_kind(
        const struct pt_eval *e, const struct promql_result *r, bool warning, struct hg_buf *why)
{
	enum pt_want want = warning ? PT_WARN : PT_INFO, none = warning ? PT_NO_WARN : PT_NO_INFO;
	const char *word = warning ? "warning" : "information";
	for (uint32_t i = 0; i < e->expects; i++) {
		bool found = false;
		if (e->expect[i].want != want) continue;
		for (size_t k = 0; k < r->note_n && !found; k++)
			found = r->notes[k].warning == warning &&
			        text_matches(&e->expect[i], r->notes[k].text);
		if (found) continue;
		hg_buf_fmt(why, "expected %s %s\"%.*s\", got", word,
		        e->expect[i].regex ? "like " : "", HG_STR_ARG(e->expect[i].text));
		for (size_t k = 0; k < r->note_n; k++)
			hg_buf_fmt(why, " \"%s\"", r->notes[k].text);
		if (!r->note_n) hg_buf_cstr(why, " none");
		return false;
	}
	for (size_t k = 0; k < r->note_n; k++) {
		bool found = !pt_expects(e, want) && !pt_expects(e, none);
		if (r->notes[k].warning != warning) continue;
		for (uint32_t i = 0; i < e->expects && !found; i++)
			found = e->expect[i].want == want &&
			        text_matches(&e->expect[i], r->notes[k].text);
		if (found) continue;
		hg_buf_fmt(why, "unexpected %s \"%s\"", word, r->notes[k].text);
		return false;
	}
	return true;
}

bool pt_judge_notes(const struct pt_eval *e, const struct promql_result *r, struct hg_buf *why)
{
	return judge_kind(e, r, true, why) && judge_kind(e, r, false, why);
}

bool pt_judge_failure(const struct pt_eval *e, const struct hg_err *err, struct hg_buf *why)
{
	const char *text = err->detail[0] ? err->detail : err->message;
	for (uint32_t i = 0; i < e->expects; i++) {
		if (e->expect[i].want != PT_FAIL || text_matches(&e->expect[i], text)) continue;
		hg_buf_fmt(why, "expected failure %s\"%.*s\", got \"%s\"",
		        e->expect[i].regex ? "like " : "", HG_STR_ARG(e->expect[i].text), text);
		return false;
	}
	return true;
}

bool pt_expects_error(const struct pt_eval *e, const struct hg_err *err)
{
	bool said = false;
	for (uint32_t i = 0; i < e->expects; i++) {
		if (e->expect[i].want != PT_FAIL || !e->expect[i].text.n) continue;
		if (!text_matches(&e->expect[i], err->message)) return false;
		said = true;
	}
	return said;
}
