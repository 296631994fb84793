/* Which values a result can have. */
#include "lint_priv.h"

#include <math.h>

#define ANY      ((struct pl_range){-INFINITY, INFINITY})
#define POSITIVE ((struct pl_range){0, INFINITY})
#define SHARE    ((struct pl_range){0, 1})

const struct pq_node *pl_bare(const struct pq_node *n)
{
	while (n->kind == PQ_K_PAREN)
		n = n->u.of;
	return n;
}

bool pl_number(const struct pq_node *n, double *ret)
{
	n = pl_bare(n);
	bool minus = n->kind == PQ_K_UNARY && !n->plus;
	if (n->kind == PQ_K_UNARY) n = pl_bare(n->u.of);
	if (n->kind != PQ_K_NUMBER) return false;
	*ret = minus ? -n->u.number.v : n->u.number.v;
	return true;
}

struct hg_str pl_metric(const struct pq_node *n)
{
	if (n->u.sel.name.n) return n->u.sel.name;
	for (uint32_t i = 0; i < n->u.sel.n; i++)
		if (n->u.sel.m[i].op == LABEL_EQ && hg_str_eq(n->u.sel.m[i].name, LABEL_METRIC))
			return n->u.sel.m[i].value;
	return (struct hg_str){"", 0};
}

bool pl_has_any(struct hg_str s, const char *const *parts)
{
	for (; *parts; parts++) {
		struct hg_str p = hg_str(*parts);
		for (size_t i = 0; p.n && i + p.n <= s.n; i++)
			if (memcmp(s.p + i, p.p, p.n) == 0) return true;
	}
	return false;
}

const struct pq_node *pl_selector(const struct pq_node *n)
{
	double ignored;
	n = pl_bare(n);
	switch (n->kind) {
	case PQ_K_SELECTOR: return n;
	case PQ_K_RANGE:
	case PQ_K_SUBQUERY:
	case PQ_K_UNARY:
	case PQ_K_PAREN: return pl_selector(n->u.of);
	case PQ_K_AGG: return pl_selector(n->u.agg.of);
	case PQ_K_BINARY:
		if (pl_number(n->u.bin.r, &ignored)) return pl_selector(n->u.bin.l);
		if (pl_number(n->u.bin.l, &ignored)) return pl_selector(n->u.bin.r);
		return NULL;
	case PQ_K_CALL:
		for (uint32_t i = 0; i < n->u.call.n; i++) {
			enum promql_type t = n->u.call.arg[i]->type;
			if (t == PROMQL_VECTOR || t == PROMQL_MATRIX)
				return pl_selector(n->u.call.arg[i]);
		}
		return NULL;
	case PQ_K_NUMBER:
	case PQ_K_TEXT: break;
	}
	return NULL;
}

/* ---- names ---- */

static struct pl_range of_metric(struct hg_str name)
{
	static const char *const zero_one[] = {"up", "probe_success", "ALERTS",
	        "headgate_replica_up", "pg_up", "mysql_up", "redis_up"};
	for (size_t i = 0; i < HG_COUNT(zero_one); i++)
		if (hg_str_eq(name, hg_str(zero_one[i]))) return SHARE;
	static const char *const ratio[] = {"error_ratio", NULL};
	if (hg_str_starts(name, HG_STR("headgate:")) && pl_has_any(name, ratio)) return SHARE;
	if (hg_str_ends(name, HG_STR("_total")) || hg_str_ends(name, HG_STR("_count")) ||
	        hg_str_ends(name, HG_STR("_bucket")))
		return POSITIVE;
	return ANY;
}

bool pl_may_be_filtered(struct hg_str metric)
{
	return hg_str_eq(metric, HG_STR("ALERTS")) ||
	       (hg_str_find(metric, ':') < metric.n && !hg_str_starts(metric, HG_STR("headgate:")));
}

/* Labels whose values are patterns themselves: path="/api/(.*)" is what it says. */
static bool holds_patterns(struct hg_str label)
{
	static const char *const names[] = {"path", "uri", "url", "route", "handler", "endpoint",
	        "pattern", "regex", "rule", "location", "match", "query", NULL};
	return pl_has_any(label, names);
}

bool pl_meant_as_regex(const struct label_matcher *m)
{
	static const char *const part[] = {".*", ".+", "[0-9]", "\\d", NULL};
	struct hg_str v = m->value;
	if (holds_patterns(m->name)) return false;
	if (pl_has_any(v, part)) return true;
	if (v.n >= 3 && hg_str_ends(v, HG_STR("..")) && v.p[0] >= '1' && v.p[0] <= '5') return true;
	size_t bar = hg_str_find(v, '|');
	return bar > 0 && bar + 1 < v.n;
}

/* ---- a part of a whole ---- */

static bool same_text(const struct pq_node *a, const struct pq_node *b)
{
	struct hg_buf x, y;
	hg_buf_init(&x, 65536);
	hg_buf_init(&y, 65536);
	pq_node_print(&x, a);
	pq_node_print(&y, b);
	bool same = !x.failed && !y.failed && hg_str_eq(hg_buf_view(&x), hg_buf_view(&y));
	hg_buf_free(&x);
	hg_buf_free(&y);
	return same;
}

static bool has_matcher(const struct pq_node *sel, const struct label_matcher *m)
{
	for (uint32_t i = 0; i < sel->u.sel.n; i++)
		if (sel->u.sel.m[i].op == m->op && hg_str_eq(sel->u.sel.m[i].name, m->name) &&
		        hg_str_eq(sel->u.sel.m[i].value, m->value))
			return true;
	return false;
}

static bool same_span(const struct pq_span *a, const struct pq_span *b)
{
	if (!a || !b) return !a && !b;
	return a->kind == PQ_S_NUMBER && b->kind == PQ_S_NUMBER && a->seconds == b->seconds;
}

/* The selector `a` takes some of the series of `b`, no others, and at the same time. */
static bool selects_part(const struct pq_node *a, const struct pq_node *b)
{
	if (!pl_metric(a).n || !hg_str_eq(pl_metric(a), pl_metric(b))) return false;
	if (!same_span(a->offset, b->offset) || a->at != PQ_AT_NONE || b->at != PQ_AT_NONE)
		return false;
	for (uint32_t i = 0; i < b->u.sel.n; i++)
		if (!has_matcher(a, &b->u.sel.m[i])) return false;
	return true;
}

/* Each group of `a` is a group of `b`, or within one. */
static bool grouped_finer(const struct pq_node *a, const struct pq_node *b)
{
	if (a->u.agg.without != b->u.agg.without) return false;
	const struct pq_names *few = a->u.agg.without ? &a->u.agg.by : &b->u.agg.by;
	const struct pq_names *many = a->u.agg.without ? &b->u.agg.by : &a->u.agg.by;
	for (uint32_t i = 0; i < few->n; i++)
		if (!pl_listed(many, few->at[i])) return false;
	return true;
}

/* A sum over some is no more than that over all only where nothing is below 0. */
static bool sums_up(const struct pq_node *n)
{
	n = pl_bare(n);
	if (n->kind != PQ_K_SELECTOR) return true;
	struct hg_str name = pl_metric(n);
	return pl_range(n).lo >= 0 || hg_str_ends(name, HG_STR("_bytes"));
}

/* sum(rate(errors)) of sum(rate(all)): the same steps over a part of the same series. */
static bool is_part(const struct pq_node *a, const struct pq_node *b)
{
	a = pl_bare(a);
	b = pl_bare(b);
	/* A filter of the whole (`> 0`) takes nothing from what is there. */
	if (b->kind == PQ_K_BINARY && pq_op_compares(b->u.bin.op) && !b->u.bin.to_bool) {
		double ignored;
		if (pl_number(b->u.bin.r, &ignored)) return is_part(a, b->u.bin.l);
	}
	if (a->kind != b->kind) return false;
	switch (a->kind) {
	case PQ_K_SELECTOR: return selects_part(a, b);
	case PQ_K_RANGE: return same_span(a->range, b->range) && is_part(a->u.of, b->u.of);
	case PQ_K_AGG:
		return a->u.agg.op == PQ_SUM && b->u.agg.op == PQ_SUM && grouped_finer(a, b) &&
		       sums_up(b->u.agg.of) && is_part(a->u.agg.of, b->u.agg.of);
	case PQ_K_CALL: {
		enum pq_fn_id id = a->u.call.fn->id;
		return id == b->u.call.fn->id &&
		       (id == PQ_F_RATE || id == PQ_F_INCREASE || id == PQ_F_IRATE) &&
		       is_part(a->u.call.arg[0], b->u.call.arg[0]);
	}
	default: return same_text(a, b);
	}
}

/* By their names: bytes that are free of those that are there. */
static bool is_named_part(const struct pq_node *a, const struct pq_node *b)
{
	static const char *const part[] = {"_free", "_avail", "_available", "Free", "Avail",
	        "_used", "_usage", "_in_use", NULL};
	/* No limit: it may be passed, and 0 is often none. */
	static const char *const whole[] = {"_size", "_total", "Total", "_capacity", NULL};
	a = pl_bare(a);
	b = pl_bare(b);
	if (a->kind != PQ_K_SELECTOR || b->kind != PQ_K_SELECTOR) return false;
	struct hg_str x = pl_metric(a), y = pl_metric(b);
	size_t same = 0;
	while (same < x.n && same < y.n && x.p[same] == y.p[same])
		same++;
	return same >= 5 && hg_str_ends(x, HG_STR("_bytes")) && hg_str_ends(y, HG_STR("_bytes")) &&
	       pl_has_any(x, part) && pl_has_any(y, whole);
}

/* ---- values ---- */

static struct pl_range of_call(const struct pq_node *n)
{
	double phi;
	switch (n->u.call.fn->id) {
	case PQ_F_RATE:
	case PQ_F_INCREASE:
	case PQ_F_IRATE:
	case PQ_F_RESETS:
	case PQ_F_CHANGES:
	case PQ_F_ABS:
	case PQ_F_STDDEV_OVER_TIME:
	case PQ_F_STDVAR_OVER_TIME: return POSITIVE;
	case PQ_F_COUNT_OVER_TIME: return (struct pl_range){1, INFINITY};
	case PQ_F_ABSENT:
	case PQ_F_ABSENT_OVER_TIME:
	case PQ_F_PRESENT_OVER_TIME: return (struct pl_range){1, 1};
	case PQ_F_HISTOGRAM_FRACTION: return SHARE;
	case PQ_F_HISTOGRAM_QUANTILE:
		if (pl_number(n->u.call.arg[0], &phi) && phi > 1)
			return (struct pl_range){INFINITY, INFINITY};
		return ANY;
	case PQ_F_AVG_OVER_TIME:
	case PQ_F_MIN_OVER_TIME:
	case PQ_F_MAX_OVER_TIME:
	case PQ_F_LAST_OVER_TIME:
	case PQ_F_FIRST_OVER_TIME: return pl_range(n->u.call.arg[0]);
	case PQ_F_VECTOR:
	case PQ_F_SCALAR:
	case PQ_F_SORT:
	case PQ_F_SORT_DESC:
	case PQ_F_LABEL_REPLACE:
	case PQ_F_LABEL_JOIN: return pl_range(n->u.call.arg[0]);
	case PQ_F_HOUR: return (struct pl_range){0, 23};
	case PQ_F_MINUTE: return (struct pl_range){0, 59};
	case PQ_F_DAY_OF_WEEK: return (struct pl_range){0, 6};
	case PQ_F_DAY_OF_MONTH: return (struct pl_range){1, 31};
	case PQ_F_MONTH: return (struct pl_range){1, 12};
	case PQ_F_SGN: return (struct pl_range){-1, 1};
	default: return ANY;
	}
}

static struct pl_range of_aggregate(const struct pq_node *n)
{
	struct pl_range of = pl_range(n->u.agg.of);
	switch (n->u.agg.op) {
	case PQ_COUNT:
	case PQ_COUNT_VALUES: return (struct pl_range){1, INFINITY};
	case PQ_GROUP: return (struct pl_range){1, 1};
	case PQ_SUM: return of.lo >= 0 ? POSITIVE : ANY;
	case PQ_STDDEV:
	case PQ_STDVAR: return POSITIVE;
	case PQ_QUANTILE: return ANY;
	default: return of;
	}
}

/* 0 × ∞ is no bound. */
static double times(double a, double b)
{
	return a == 0 || b == 0 ? 0 : a * b;
}

static struct pl_range arithmetic(enum pq_op op, struct pl_range l, struct pl_range r)
{
	struct pl_range x = ANY;
	bool constant = r.lo == r.hi && isfinite(r.lo);
	if (op == PQ_ADD) x = (struct pl_range){l.lo + r.lo, l.hi + r.hi};
	if (op == PQ_SUB) x = (struct pl_range){l.lo - r.hi, l.hi - r.lo};
	if (op == PQ_MUL && constant && r.lo >= 0)
		x = (struct pl_range){times(l.lo, r.lo), times(l.hi, r.lo)};
	if (op == PQ_DIV && constant && r.lo > 0) x = (struct pl_range){l.lo / r.lo, l.hi / r.lo};
	if (isnan(x.lo) || isnan(x.hi)) return ANY;
	return x;
}

static struct pl_range of_binary(const struct pq_node *n)
{
	const struct pq_node *l = n->u.bin.l, *r = n->u.bin.r;
	enum pq_op op = n->u.bin.op;
	if (pq_op_compares(op)) {
		if (n->u.bin.to_bool) return SHARE;
		return pl_range(l->type == PROMQL_SCALAR && r->type == PROMQL_VECTOR ? r : l);
	}
	if (op == PQ_AND || op == PQ_UNLESS) return pl_range(l);
	struct pl_range a = pl_range(l), b = pl_range(r);
	if (op == PQ_OR) return (struct pl_range){fmin(a.lo, b.lo), fmax(a.hi, b.hi)};
	if (op == PQ_DIV && (is_part(l, r) || is_named_part(l, r))) return SHARE;
	if (op == PQ_DIV && a.lo >= 0 && b.lo >= 0 && !(b.lo == b.hi)) return POSITIVE;
	if (op == PQ_MUL && a.lo == a.hi) return arithmetic(op, b, a);
	if (op == PQ_MUL && a.lo >= 0 && b.lo >= 0 && b.lo != b.hi) return POSITIVE;
	return arithmetic(op, a, b);
}

struct pl_range pl_range(const struct pq_node *n)
{
	double v;
	n = pl_bare(n);
	if (pl_number(n, &v)) return isnan(v) ? ANY : (struct pl_range){v, v};
	switch (n->kind) {
	case PQ_K_SELECTOR: return of_metric(pl_metric(n));
	case PQ_K_RANGE:
	case PQ_K_SUBQUERY: return pl_range(n->u.of);
	case PQ_K_CALL: return of_call(n);
	case PQ_K_AGG: return of_aggregate(n);
	case PQ_K_BINARY: return of_binary(n);
	case PQ_K_UNARY: {
		struct pl_range of = pl_range(n->u.of);
		return n->plus ? of : (struct pl_range){-of.hi, -of.lo};
	}
	default: return ANY;
	}
}
