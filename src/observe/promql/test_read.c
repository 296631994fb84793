/* Prometheus' PromQL test language: lines → loads and evals. */
#include "test_priv.h"

#include <math.h>
#include <stdlib.h>

static struct hg_str trim(struct hg_str s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t' || s.p[0] == '\r'))
		s = (struct hg_str){s.p + 1, s.n - 1};
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

bool pt_line(struct pt_lines *l, struct hg_str *ret)
{
	if (!l->rest.n) return false;
	*ret = trim(hg_str_cut(&l->rest, '\n'));
	l->line++;
	if (ret->n && ret->p[0] == '#') ret->n = 0;
	return true;
}

struct hg_str pt_word(struct hg_str *s)
{
	struct hg_str w = {s->p, 0};
	while (w.n < s->n && s->p[w.n] != ' ' && s->p[w.n] != '\t')
		w.n++;
	*s = trim((struct hg_str){s->p + w.n, s->n - w.n});
	return w;
}

static bool is(struct hg_str s, const char *word)
{
	return hg_str_eq_nocase(s, hg_str(word));
}

/* ---- series ---- */

static bool labels_read(
        struct pq_lex *x, struct labels_builder *b, struct pq_tok *t, const char **why)
{
	*why = "labels";
	*t = pq_lex_next(x);
	while (!(t->kind == PQ_T_SYMBOL && t->text.p[0] == '}')) {
		struct pq_tok name = *t;
		if (name.kind != PQ_T_NAME && name.kind != PQ_T_STRING) return false;
		*t = pq_lex_next(x);
		if (t->kind != PQ_T_SYMBOL) return false;
		if (t->text.p[0] == '=' && t->text.n == 1) {
			*t = pq_lex_next(x);
			if (t->kind != PQ_T_STRING) return false;
			labels_builder_set(b, name.text, t->text);
			*t = pq_lex_next(x);
		} else if (name.kind == PQ_T_STRING) {
			labels_builder_set(b, LABEL_METRIC, name.text);
		} else {
			return false;
		}
		if (t->kind == PQ_T_SYMBOL && t->text.p[0] == ',')
			*t = pq_lex_next(x);
		else if (!(t->kind == PQ_T_SYMBOL && t->text.p[0] == '}'))
			return false;
	}
	return true;
}

/* name{…} in front; `*rest` is what follows. */
static bool metric(struct hg_arena *a, struct hg_str line, struct labels *ret, struct hg_str *rest,
        const char **why)
{
	struct labels_builder b;
	struct pq_lex x = {.arena = a, .text = line};
	struct pq_lex mark;
	struct labels ls;
	bool ok = true;
	labels_builder_init(&b);
	struct pq_tok t = pq_lex_next(&x);
	*why = "a metric";
	if (t.kind == PQ_T_NAME) {
		labels_builder_set(&b, LABEL_METRIC, t.text);
		mark = x;
		t = pq_lex_next(&x);
		if (!(t.kind == PQ_T_SYMBOL && t.text.p[0] == '{') ||
		        (x.at < line.n && line.p[x.at] == '{'))
			x = mark;
		else
			ok = labels_read(&x, &b, &t, why);
	} else {
		ok = t.kind == PQ_T_SYMBOL && t.text.p[0] == '{' && labels_read(&x, &b, &t, why);
	}
	ok = ok && labels_builder_done(&b, &ls) == HG_OK && labels_copy(a, ls, ret) == HG_OK;
	labels_builder_fini(&b);
	*rest = (struct hg_str){line.p + x.at, line.n - x.at};
	return ok;
}

static bool in(char c, const char *from, const char *to)
{
	for (; *from; from++, to++)
		if (c >= *from && c <= *to) return true;
	return false;
}

/*
 * 0x1F at `i`; 0: it is none. 0x10 is 0, ten times more: only a letter among the digits, or a large
 * X, makes it hexadecimal.
 */
static size_t hex_length(struct hg_str s, size_t i)
{
	if (s.n < i + 3 || s.p[i] != '0' || (s.p[i + 1] | 32) != 'x') return 0;
	bool hex = s.p[i + 1] == 'X';
	size_t end = i + 2;
	for (; end < s.n && in(s.p[end], "0aA", "9fF"); end++)
		hex = hex || in(s.p[end], "aA", "fF");
	return hex && end > i + 2 ? end : 0;
}

static size_t number_length(struct hg_str s)
{
	size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+');
	static const char *const word[] = {"inf", "nan"};
	size_t hex = hex_length(s, i);
	if (hex) return hex;
	for (int k = 0; k < 2; k++)
		if (s.n >= i + 3 && hg_str_eq_nocase((struct hg_str){s.p + i, 3}, hg_str(word[k])))
			return i + 3;
	size_t from = i;
	while (i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '.' || s.p[i] == '_'))
		i++;
	if (i == from) return 0;
	if (i + 1 < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		size_t e = i + 1 + (s.p[i + 1] == '-' || s.p[i + 1] == '+');
		if (e < s.n && s.p[e] >= '0' && s.p[e] <= '9') {
			for (i = e; i < s.n && s.p[i] >= '0' && s.p[i] <= '9';)
				i++;
		}
	}
	return i;
}

struct reading {
	struct hg_arena *a;
	struct pt_series *s;
	uint32_t cap;
	const char **why;
};

static bool add(struct reading *r, enum pt_kind kind, double v)
{
	if (r->s->n == PT_ITEMS_MAX) {
		*r->why = "fewer values in a series";
		return false;
	}
	if (r->s->n == r->cap) {
		struct pt_item *more = hg_arena_array(r->a, r->cap * 2ul + 32, sizeof *more);
		*r->why = "a smaller file";
		if (!more) return false;
		if (r->cap) memcpy(more, r->s->at, r->cap * sizeof *more);
		r->s->at = more;
		r->cap = r->cap * 2 + 32;
	}
	r->s->at[r->s->n++] = (struct pt_item){kind, v};
	return true;
}

/* xN behind an item, if it stands there. */
static bool times(struct hg_str *s, uint64_t *ret_n, bool *ret_given)
{
	size_t i = 1;
	*ret_given = s->n > 1 && s->p[0] == 'x';
	*ret_n = 0;
	if (!*ret_given) return true;
	while (i < s->n && s->p[i] >= '0' && s->p[i] <= '9')
		i++;
	if (!hg_str_u64((struct hg_str){s->p + 1, i - 1}, ret_n) || *ret_n > PT_ITEMS_MAX)
		return false;
	*s = (struct hg_str){s->p + i, s->n - i};
	return true;
}

static bool skip_histogram(struct hg_str *s)
{
	for (size_t i = 2; i + 1 < s->n; i++)
		if (s->p[i] == '}' && s->p[i + 1] == '}') {
			*s = (struct hg_str){s->p + i + 2, s->n - i - 2};
			return true;
		}
	return false;
}

static bool starts(struct hg_str s, const char *with)
{
	return hg_str_starts(s, hg_str(with));
}

static bool item(struct reading *r, struct hg_str *s)
{
	enum pt_kind kind = PT_VALUE;
	double v = 0, delta = 0;
	uint64_t n;
	bool given;
	*r->why = "a value";
	if (starts(*s, "{{")) {
		kind = PT_HISTOGRAM;
		if (!skip_histogram(s)) return false;
		if ((starts(*s, "+{{") || starts(*s, "-{{"))) {
			*s = (struct hg_str){s->p + 1, s->n - 1};
			if (!skip_histogram(s)) return false;
		}
	} else if (s->p[0] == '_') {
		kind = PT_NONE;
		*s = (struct hg_str){s->p + 1, s->n - 1};
	} else if (starts(*s, "stale")) {
		v = tsdb_stale();
		*s = (struct hg_str){s->p + 5, s->n - 5};
	} else {
		size_t len = number_length(*s);
		if (!len || !promql_number((struct hg_str){s->p, len}, &v)) return false;
		*s = (struct hg_str){s->p + len, s->n - len};
		if (s->n && (s->p[0] == '+' || s->p[0] == '-')) {
			len = number_length(*s);
			if (!len || !promql_number((struct hg_str){s->p, len}, &delta))
				return false;
			*s = (struct hg_str){s->p + len, s->n - len};
		}
	}
	if (!times(s, &n, &given)) return false;
	if (s->n && s->p[0] != ' ' && s->p[0] != '\t') return false;
	if (kind == PT_NONE && given && !n) return true;
	for (uint64_t i = kind == PT_NONE && given ? 1 : 0; i <= n; i++) {
		if (!add(r, kind, v)) return false;
		if (!tsdb_is_stale(v)) v += delta;
	}
	return true;
}

bool pt_series_read(
        struct hg_arena *a, struct hg_str line, struct pt_series *ret, const char **ret_why)
{
	struct reading r = {.a = a, .s = ret, .why = ret_why};
	struct hg_str rest;
	*ret = (struct pt_series){0};
	if (!metric(a, line, &ret->ls, &rest, ret_why)) return false;
	rest = trim(rest);
	if (starts(rest, "@st")) {
		ret->start_times = true;
		return true;
	}
	for (rest = trim(rest); rest.n; rest = trim(rest))
		if (!item(&r, &rest)) return false;
	return true;
}

enum hg_rc promql_series_read(struct hg_arena *a, struct hg_str series, struct hg_str values,
        struct labels *ret_labels, struct promql_item **ret_items, uint32_t *ret_n,
        struct hg_err *err)
{
	struct hg_buf line;
	struct pt_series s;
	const char *why = "";
	hg_buf_init(&line, series.n + values.n + 2);
	hg_buf_str(&line, series);
	hg_buf_byte(&line, ' ');
	hg_buf_str(&line, values);
	struct hg_str own = hg_arena_str(a, hg_buf_view(&line));
	bool good = own.p && !line.failed;
	hg_buf_free(&line);
	if (!good) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	if (!pt_series_read(a, own, &s, &why))
		return hg_err_set(err, HG_E_QUERY_SYNTAX, "expected %s in \"%.*s\"", why,
		        (int)HG_MIN(own.n, 120), own.p);
	if (s.start_times)
		return hg_err_set(err, HG_E_QUERY_UNSUPPORTED, "start timestamps are not built");
	struct promql_item *items = hg_arena_array(a, s.n + 1ul, sizeof *items);
	if (!items) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	for (uint32_t i = 0; i < s.n; i++) {
		if (s.at[i].kind == PT_HISTOGRAM)
			return hg_err_set(
			        err, HG_E_QUERY_UNSUPPORTED, "native histograms are not built");
		items[i] = (struct promql_item){s.at[i].kind == PT_VALUE, s.at[i].v};
	}
	*ret_labels = s.ls;
	*ret_items = items;
	*ret_n = s.n;
	return HG_OK;
}

bool promql_metric_read(struct hg_arena *a, struct hg_str text, struct labels *ret_labels)
{
	struct hg_str own = hg_arena_str(a, trim(text)), rest;
	const char *why;
	*ret_labels = (struct labels){0};
	if (!own.p) return false;
	return !own.n || (metric(a, own, ret_labels, &rest, &why) && !trim(rest).n);
}

/* ---- evals ---- */

static bool duration(struct hg_str s, int64_t *ret)
{
	double v;
	if (promql_duration(s, ret)) return *ret < (int64_t)1 << 50;
	if (!promql_number(s, &v) || !(fabs(v) < 1e12)) return false; /* seconds */
	*ret = (int64_t)round(v * 1000);
	return true;
}

static bool head(struct hg_str s, struct pt_eval *e, const char **why)
{
	struct hg_str command = pt_word(&s), word = pt_word(&s);
	*why = "instant at T, or range from A to B step S";
	if (is(command, "eval_fail")) e->expect[e->expects++] = (struct pt_expect){.want = PT_FAIL};
	if (is(command, "eval_warn")) e->expect[e->expects++] = (struct pt_expect){.want = PT_WARN};
	if (is(command, "eval_info")) e->expect[e->expects++] = (struct pt_expect){.want = PT_INFO};
	e->ordered = is(command, "eval_ordered");
	if (is(word, "instant")) {
		if (starts(s, "at ") || starts(s, "at\t")) {
			(void)pt_word(&s);
			if (!duration(pt_word(&s), &e->from)) return false;
		}
		e->to = e->from;
	} else if (is(word, "range")) {
		e->range = true;
		if (!is(pt_word(&s), "from") || !duration(pt_word(&s), &e->from) ||
		        !is(pt_word(&s), "to") || !duration(pt_word(&s), &e->to) ||
		        !is(pt_word(&s), "step") || !duration(pt_word(&s), &e->step) ||
		        e->step <= 0 || e->to < e->from)
			return false;
	} else {
		return false;
	}
	*why = "an expression";
	e->expr = s;
	return s.n > 0;
}

static struct hg_str unquoted(struct hg_arena *a, struct hg_str s)
{
	struct pq_lex x = {.arena = a, .text = s};
	struct pq_tok t = pq_lex_next(&x);
	return t.kind == PQ_T_STRING ? t.text : s;
}

static bool expectation(struct hg_arena *a, struct hg_str s, struct pt_eval *e, const char **why)
{
	struct hg_str what = pt_word(&s);
	struct pt_expect x = {0};
	*why = "fail, warn, info, no_warn, no_info, ordered, string or range vector behind expect";
	if (is(what, "ordered")) {
		e->ordered = true;
		return true;
	}
	if (is(what, "string")) {
		e->is_string = true;
		e->text = unquoted(a, s);
		return true;
	}
	if (is(what, "range")) {
		e->matrix = true;
		return is(pt_word(&s), "vector") && is(pt_word(&s), "from") &&
		       duration(pt_word(&s), &e->m_from) && is(pt_word(&s), "to") &&
		       duration(pt_word(&s), &e->m_to) && is(pt_word(&s), "step") &&
		       duration(pt_word(&s), &e->m_step) && e->m_step > 0;
	}
	if (is(what, "fail"))
		x.want = PT_FAIL;
	else if (is(what, "warn"))
		x.want = PT_WARN;
	else if (is(what, "info"))
		x.want = PT_INFO;
	else if (is(what, "no_warn"))
		x.want = PT_NO_WARN;
	else if (is(what, "no_info"))
		x.want = PT_NO_INFO;
	else
		return false;
	x.regex = starts(s, "regex:");
	if (x.regex || starts(s, "msg:")) {
		size_t n = x.regex ? 6 : 4;
		x.text = trim((struct hg_str){s.p + n, s.n - n});
	} else if (s.n) {
		return false;
	}
	e->expect[e->expects++] = x;
	return true;
}

static bool eval_line(struct hg_arena *a, struct hg_str s, struct pt_eval *e, const char **why)
{
	struct hg_str rest = s, word = pt_word(&rest);
	*why = "fewer lines of an eval";
	if (e->expects + 1 >= PT_LINES_MAX || e->series_n == HG_COUNT(e->series)) return false;
	if (is(word, "expect")) return expectation(a, rest, e, why);
	if (is(word, "expected_fail_message") || is(word, "expected_fail_regexp")) {
		e->expect[e->expects++] =
		        (struct pt_expect){PT_FAIL, is(word, "expected_fail_regexp"), rest};
		return true;
	}
	if (promql_number(s, &e->number)) {
		e->scalar = true;
		return true;
	}
	struct pt_series *to = &e->series[e->series_n++];
	if (!pt_series_read(a, s, to, why)) return false;
	for (uint32_t i = 0; i < to->n; i++)
		e->histograms = e->histograms || to->at[i].kind == PT_HISTOGRAM;
	return true;
}

bool pt_eval_read(struct hg_arena *a, struct pt_lines *l, struct hg_str first, struct pt_eval *e,
        const char **ret_why)
{
	struct hg_str s;
	bool ok;
	*e = (struct pt_eval){.line = l->line};
	ok = head(first, e, ret_why);
	while (pt_line(l, &s) && s.n)
		ok = ok && eval_line(a, s, e, ret_why);
	return ok;
}
