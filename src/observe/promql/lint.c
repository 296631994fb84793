/* The notes: each check looks at one node and what is below it. */
#include "lint_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX 60u /* of expressions that are looked at: people write no deeper ones */
#define SCRAPE_MS 15000

/* Two texts of nodes at a time, for messages. */
static const char *text_of(struct lint *l, int which, const struct pq_node *n)
{
	hg_buf_reset(&l->text[which]);
	pq_node_print(&l->text[which], n);
	return hg_buf_text(&l->text[which]);
}

void pl_note(struct lint *l, const char *id, const struct pq_node *at, const char *fmt, ...)
{
	struct promql_note_lint n = {.id = id, .at = at->from};
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(n.message, sizeof n.message, fmt, ap);
	va_end(ap);
	/* A suggestion that was cut is none. */
	if (!l->fix.failed && l->fix.n < sizeof n.fix)
		(void)hg_str_copy(hg_buf_view(&l->fix), n.fix, sizeof n.fix);
	hg_buf_reset(&l->fix);
	l->env->note(l->env->arg, &n);
}

bool pl_is_call(const struct pq_node *n, enum pq_fn_id id)
{
	return n->kind == PQ_K_CALL && n->u.call.fn->id == id;
}

bool pl_is_rate(const struct pq_node *n)
{
	return pl_is_call(n, PQ_F_RATE) || pl_is_call(n, PQ_F_IRATE) ||
	       pl_is_call(n, PQ_F_INCREASE);
}

bool pl_below(const struct pq_node *n, bool (*fn)(const struct pq_node *n))
{
	if (fn(n)) return true;
	uint32_t count = pq_child_count(n);
	for (uint32_t i = 0; i < count; i++)
		if (pl_below(pq_child(n, i), fn)) return true;
	return false;
}

/* ---- ranges ---- */

static bool needs_two(const struct pq_node *n)
{
	return pl_is_rate(n) || pl_is_call(n, PQ_F_DELTA) || pl_is_call(n, PQ_F_IDELTA) ||
	       pl_is_call(n, PQ_F_DERIV) || pl_is_call(n, PQ_F_PREDICT_LINEAR);
}

static void check_range(struct lint *l, const struct pq_node *n)
{
	if (!needs_two(n)) return;
	const struct pq_node *arg = pl_bare(n->u.call.arg[0]);
	int64_t every = l->env->scrape_ms ? l->env->scrape_ms : SCRAPE_MS;
	if (arg->kind != PQ_K_RANGE && arg->kind != PQ_K_SUBQUERY) return;
	if (!arg->range || arg->range->kind != PQ_S_NUMBER) return;
	if (arg->kind == PQ_K_RANGE &&
	        hg_str_find(pl_metric(arg->u.of), ':') < pl_metric(arg->u.of).n)
		return; /* recorded: it has the interval of its group */
	if (arg->kind == PQ_K_SUBQUERY) {
		if (!arg->step || arg->step->kind != PQ_S_NUMBER) return;
		every = (int64_t)(arg->step->seconds * 1000);
	}
	int64_t range = (int64_t)(arg->range->seconds * 1000);
	if (range >= 2 * every) return;
	struct hg_buf min, is;
	hg_buf_init(&min, 64);
	hg_buf_init(&is, 64);
	promql_print_duration(&min, 4 * every);
	promql_print_duration(&is, every);
	if (arg->kind == PQ_K_RANGE) {
		hg_buf_fmt(&l->fix, "%s(", n->u.call.fn->name);
		pq_node_print(&l->fix, arg->u.of);
		hg_buf_fmt(&l->fix, "[%s])", hg_buf_text(&min));
	}
	pl_note(l, range <= every ? "never" : "range", arg,
	        range <= every
	                ? "can never have a result: %s() needs two samples, and there is one every "
	                  "%s"
	                : "%s() needs two samples, and there is one every %s: often there is only "
	                  "one in the range; take four times the interval",
	        n->u.call.fn->name, hg_buf_text(&is));
	hg_buf_free(&min);
	hg_buf_free(&is);
}

static enum promql_metric_type type_of(struct lint *l, struct hg_str name)
{
	static const char *const gauges[] = {"_celsius", "_ratio", "_percent", "_in_flight",
	        "_resident_memory_bytes", "_virtual_memory_bytes", "_open_fds", "_max_fds",
	        "_usage_bytes", "_avail_bytes", "_free_bytes", "_size_bytes", "_limit_bytes",
	        "_working_set_bytes", "_MemAvailable_bytes", "_MemTotal_bytes", "_queue_length",
	        "_queue_depth", "_queue_size", "_timestamp_seconds", "_lag_seconds", "_connections",
	        "_goroutines", "_replicas"};
	enum promql_metric_type t = PROMQL_TYPE_UNKNOWN;
	if (l->env->type_of) t = l->env->type_of(l->env->arg, name);
	if (t != PROMQL_TYPE_UNKNOWN) return t;
	if (hg_str_ends(name, HG_STR("_total")) || hg_str_ends(name, HG_STR("_bucket")))
		return PROMQL_TYPE_COUNTER;
	if (hg_str_eq(name, HG_STR("up"))) return PROMQL_TYPE_GAUGE;
	for (size_t i = 0; i < HG_COUNT(gauges); i++)
		if (hg_str_ends(name, hg_str(gauges[i]))) return PROMQL_TYPE_GAUGE;
	return PROMQL_TYPE_UNKNOWN;
}

static bool is_sum(const struct pq_node *n)
{
	return n->kind == PQ_K_AGG && (n->u.agg.op == PQ_SUM || n->u.agg.op == PQ_AVG);
}

static bool is_aggregate(const struct pq_node *n)
{
	return n->kind == PQ_K_AGG;
}

static void check_type(struct lint *l, const struct pq_node *n)
{
	bool rate = pl_is_rate(n), delta = pl_is_call(n, PQ_F_DELTA) || pl_is_call(n, PQ_F_IDELTA);
	if (!rate && !delta) return;
	const struct pq_node *arg = pl_bare(n->u.call.arg[0]), *sel = pl_selector(arg);
	if (rate && arg->kind == PQ_K_SUBQUERY && pl_below(arg->u.of, is_sum)) {
		pl_note(l, "type", n,
		        "%s() of a sum: when one of the counters begins anew the sum falls, and "
		        "the "
		        "rest of it counts as if it had begun at 0; take the sum of the rates",
		        n->u.call.fn->name);
		return;
	}
	if (!sel || arg->kind != PQ_K_RANGE) return;
	struct hg_str name = pl_metric(sel);
	enum promql_metric_type t = type_of(l, name);
	if (rate && t == PROMQL_TYPE_GAUGE) {
		hg_buf_cstr(&l->fix, pl_is_call(n, PQ_F_INCREASE) ? "delta(" : "deriv(");
		pq_node_print(&l->fix, arg);
		hg_buf_byte(&l->fix, ')');
		pl_note(l, "type", n,
		        "%.*s is a gauge: %s() takes each fall for a counter that begins anew",
		        HG_STR_ARG(name), n->u.call.fn->name);
	}
	if (delta && t == PROMQL_TYPE_COUNTER) {
		hg_buf_cstr(&l->fix, "increase(");
		pq_node_print(&l->fix, arg);
		hg_buf_byte(&l->fix, ')');
		pl_note(l, "type", n, "%.*s is a counter: %s() is wrong whenever it begins anew",
		        HG_STR_ARG(name), n->u.call.fn->name);
	}
}

/* ---- selectors ---- */

static void check_selector(struct lint *l, const struct pq_node *n)
{
	if (n->kind != PQ_K_SELECTOR) return;
	for (uint32_t i = 0; i < n->u.sel.n; i++) {
		const struct label_matcher *m = &n->u.sel.m[i];
		if ((m->op != LABEL_EQ && m->op != LABEL_NE) || !pl_meant_as_regex(m)) continue;
		hg_buf_str(&l->fix, m->name);
		hg_buf_cstr(&l->fix, m->op == LABEL_EQ ? "=~" : "!~");
		pq_quote(&l->fix, m->value);
		pl_note(l, m->op == LABEL_EQ ? "never" : "always", n,
		        "%.*s%s\"%.*s\" compares with just that text; a regular expression is "
		        "matched "
		        "with %s",
		        HG_STR_ARG(m->name),
		        m->op == LABEL_EQ ? "=" : "!=", (int)HG_MIN(m->value.n, 60), m->value.p,
		        m->op == LABEL_EQ ? "=~" : "!~");
	}
}

/* ---- matching ---- */

static void names_print(struct hg_buf *to, const struct pl_shape *s, const struct pl_shape *with)
{
	bool any = false;
	for (uint32_t i = 0; i < s->has.n; i++) {
		if (!pl_may(with, s->has.at[i])) continue;
		hg_buf_fmt(to, "%s%.*s", any ? ", " : "", HG_STR_ARG(s->has.at[i]));
		any = true;
	}
}

/* `l OP on(…) group r`, with the labels that both have. */
static void match_fix(
        struct lint *x, const struct pq_node *n, const struct pl_shape *l, const struct pl_shape *r)
{
	const struct pl_shape *small = !l->open && (r->open || l->has.n < r->has.n) ? l : r;
	const struct pl_shape *other = small == l ? r : l;
	if (small->open) return;
	pq_node_print(&x->fix, n->u.bin.l);
	hg_buf_fmt(&x->fix, " %s on (", pq_op_name(n->u.bin.op));
	names_print(&x->fix, small, other);
	hg_buf_cstr(&x->fix, ") ");
	if (!pq_op_is_set(n->u.bin.op))
		hg_buf_cstr(&x->fix, small == l ? "group_right () " : "group_left () ");
	pq_node_print(&x->fix, n->u.bin.r);
}

/* The label that one side has and the other cannot have. */
static bool odd_label(const struct pl_shape *l, const struct pl_shape *r,
        const struct pq_matching *m, struct hg_str *ret)
{
	const struct pl_names *of[2] = {&l->has, &l->fixed};
	for (int k = 0; k < 2; k++)
		for (uint32_t i = 0; i < of[k]->n; i++) {
			struct hg_str name = of[k]->at[i];
			if (pl_listed(&m->labels, name) || !pl_must(l, name) || pl_may(r, name))
				continue;
			*ret = name;
			return true;
		}
	return false;
}

static const char *effect(const struct pq_node *n)
{
	return n->u.bin.op == PQ_UNLESS ? "nothing is ever taken away"
	                                : "the two sides can never match";
}

static bool check_on(
        struct lint *x, const struct pq_node *n, const struct pl_shape *l, const struct pl_shape *r)
{
	const struct pq_matching *m = &n->u.bin.match;
	for (uint32_t i = 0; i < m->labels.n; i++) {
		struct hg_str name = m->labels.at[i];
		bool a = pl_may(l, name), b = pl_may(r, name);
		if (a == b) continue;
		pl_note(x, "match", n,
		        "%s: on (%.*s), but on the %s side the label %.*s cannot be there",
		        effect(n), HG_STR_ARG(name), a ? "right" : "left", HG_STR_ARG(name));
		return true;
	}
	return false;
}

static bool check_fixed(
        struct lint *x, const struct pq_node *n, const struct pl_shape *l, const struct pl_shape *r)
{
	const struct pq_matching *m = &n->u.bin.match;
	for (uint32_t i = 0; i < l->fixed.n; i++) {
		struct hg_str name = l->fixed.at[i], other = pl_fixed(r, name);
		bool counts = m->given && m->on ? pl_listed(&m->labels, name)
		                                : !pl_listed(&m->labels, name);
		if (!counts || !other.n || hg_str_eq(other, l->value[i])) continue;
		pq_node_print(&x->fix, n->u.bin.l);
		hg_buf_fmt(
		        &x->fix, " %s ignoring (%.*s) ", pq_op_name(n->u.bin.op), HG_STR_ARG(name));
		pq_node_print(&x->fix, n->u.bin.r);
		if (m->given) hg_buf_reset(&x->fix);
		pl_note(x, "match", n, "%s: %.*s is \"%.*s\" on the left and \"%.*s\" on the right",
		        effect(n), HG_STR_ARG(name), (int)HG_MIN(l->value[i].n, 40), l->value[i].p,
		        (int)HG_MIN(other.n, 40), other.p);
		return true;
	}
	return false;
}

/* Series as an exporter gives them have labels; what is aggregated without `by` has none. */
static bool is_raw(const struct pq_node *n)
{
	const struct pq_node *sel = pl_selector(n);
	return sel && !pl_below(n, is_aggregate) && pl_metric(sel).n &&
	       hg_str_find(pl_metric(sel), ':') == pl_metric(sel).n;
}

static void check_match(struct lint *x, const struct pq_node *n)
{
	struct pl_shape l, r;
	struct hg_str odd;
	if (n->kind != PQ_K_BINARY || n->u.bin.l->type != PROMQL_VECTOR ||
	        n->u.bin.r->type != PROMQL_VECTOR || n->u.bin.op == PQ_OR)
		return;
	const struct pq_matching *m = &n->u.bin.match;
	pl_shape(n->u.bin.l, &l);
	pl_shape(n->u.bin.r, &r);
	if (l.unsure || r.unsure || m->fill_left || m->fill_right) return;
	if (check_fixed(x, n, &l, &r)) return;
	if (m->given && m->on) {
		(void)check_on(x, n, &l, &r);
		return;
	}
	bool left = odd_label(&l, &r, m, &odd), right = !left && odd_label(&r, &l, m, &odd);
	if (left || right) {
		if (!m->given && l.open && r.open) {
			pq_node_print(&x->fix, n->u.bin.l);
			hg_buf_fmt(&x->fix, " %s ignoring (%.*s) ", pq_op_name(n->u.bin.op),
			        HG_STR_ARG(odd));
			pq_node_print(&x->fix, n->u.bin.r);
		} else if (!m->given) {
			match_fix(x, n, &l, &r);
		}
		pl_note(x, "match", n,
		        "%s: series on the %s side have a label %.*s, on the other side it cannot "
		        "be "
		        "there",
		        effect(n), left ? "left" : "right", HG_STR_ARG(odd));
		return;
	}
	bool none_l = !l.open && !l.has.n, none_r = !r.open && !r.has.n;
	if (m->given || none_l == none_r || !is_raw(none_l ? n->u.bin.r : n->u.bin.l)) return;
	match_fix(x, n, &l, &r);
	pl_note(x, "match", n, "%s: the %s side has no labels, the other has those of its series",
	        effect(n), none_l ? "left" : "right");
}

/* rate(x{code="500"}[5m]) / rate(x[5m]): the only series on the right that match are those that
 * are on the left. */
static void check_self(struct lint *x, const struct pq_node *n)
{
	if (n->kind != PQ_K_BINARY || n->u.bin.op != PQ_DIV || n->u.bin.match.given) return;
	const struct pq_node *l = pl_bare(n->u.bin.l), *r = pl_bare(n->u.bin.r);
	if (l->kind != r->kind || pl_below(l, is_aggregate) || pl_below(r, is_aggregate)) return;
	bool calls = pl_is_rate(l) && pl_is_rate(r) && l->u.call.fn == r->u.call.fn;
	if (!calls && l->kind != PQ_K_SELECTOR) return;
	const struct pq_node *a = pl_selector(l), *b = pl_selector(r);
	if (!a || !b || !pl_metric(a).n || !hg_str_eq(pl_metric(a), pl_metric(b)) || a->offset ||
	        b->offset || a->at != PQ_AT_NONE || b->at != PQ_AT_NONE)
		return;
	if (calls) {
		const struct pq_node *ra = pl_bare(l->u.call.arg[0]),
		                     *rb = pl_bare(r->u.call.arg[0]);
		if (ra->kind != PQ_K_RANGE || rb->kind != PQ_K_RANGE || !ra->range || !rb->range ||
		        ra->range->seconds != rb->range->seconds)
			return;
	}
	hg_buf_cstr(&x->fix, "sum(");
	pq_node_print(&x->fix, l);
	hg_buf_cstr(&x->fix, ") / sum(");
	pq_node_print(&x->fix, r);
	hg_buf_byte(&x->fix, ')');
	pl_note(x, "ratio", n,
	        "not a ratio: each series is divided by itself, the result is always 1; aggregate "
	        "both sides first");
}

static void check_by(struct lint *x, const struct pq_node *n)
{
	struct pl_shape s;
	if (n->kind != PQ_K_AGG || n->u.agg.without) return;
	pl_shape(n->u.agg.of, &s);
	for (uint32_t i = 0; i < n->u.agg.by.n; i++) {
		struct hg_str name = n->u.agg.by.at[i];
		if (pl_may(&s, name)) continue;
		pl_note(x, "label", n,
		        "the label %.*s was aggregated away within: it is never there",
		        HG_STR_ARG(name));
	}
}

/* ---- comparisons ---- */

static enum pq_op turned(enum pq_op op)
{
	switch (op) {
	case PQ_GTR: return PQ_LSS;
	case PQ_LSS: return PQ_GTR;
	case PQ_GTE: return PQ_LTE;
	case PQ_LTE: return PQ_GTE;
	default: return op;
	}
}

static bool never(enum pq_op op, struct pl_range v, double c)
{
	switch (op) {
	case PQ_GTR: return v.hi <= c;
	case PQ_GTE: return v.hi < c;
	case PQ_LSS: return v.lo >= c;
	case PQ_LTE: return v.lo > c;
	case PQ_EQL: return c < v.lo || c > v.hi;
	default: return false;
	}
}

static bool is_count(const struct pq_node *n)
{
	n = pl_bare(n);
	return n->kind == PQ_K_AGG && (n->u.agg.op == PQ_COUNT || n->u.agg.op == PQ_GROUP);
}

static void never_fix(
        struct lint *x, const struct pq_node *of, enum pq_op op, struct pl_range v, double c)
{
	if (is_count(of)) {
		hg_buf_byte(&x->fix, '(');
		pq_node_print(&x->fix, of);
		hg_buf_fmt(&x->fix, " or vector(0)) %s %g", pq_op_name(op), c);
	} else if (v.lo == 0 && v.hi == 1 && c > 1 && c <= 100) {
		pq_node_print(&x->fix, of);
		hg_buf_fmt(&x->fix, " %s %g", pq_op_name(op), c / 100);
	}
}

static bool told_never(
        struct lint *x, const struct pq_node *n, const struct pq_node *of, enum pq_op op, double c)
{
	struct pl_range v = pl_range(of);
	const struct pq_node *bare = pl_bare(of);
	if (!never(op, v, c)) {
		bool always =
		        isfinite(v.hi) && v.lo < v.hi &&
		        ((op == PQ_LSS && v.hi < c) || (op == PQ_LTE && v.hi <= c && c > v.hi));
		if (!always || !x->env->alert) return false;
		if (v.lo == 0 && v.hi == 1 && c <= 100) {
			pq_node_print(&x->fix, of);
			hg_buf_fmt(&x->fix, " %s %g", pq_op_name(op), c / 100);
		}
		pl_note(x, "always", n,
		        "fires always: the value lies between %g and %g, and is compared "
		        "with %g",
		        v.lo, v.hi, c);
		return true;
	}
	never_fix(x, bare, op, v, c);
	if (is_count(bare))
		pl_note(x, "never", n,
		        "can never be true: where there is nothing to count there is no result at "
		        "all, not 0");
	else if (v.lo == v.hi)
		pl_note(x, "never", n, "can never be true: the value is always %g", v.lo);
	else if (isinf(v.hi))
		pl_note(x, "never", n, "can never be true: the value is never below %g", v.lo);
	else
		pl_note(x, "never", n,
		        "can never be true: the value lies between %g and %g, and is compared with "
		        "%g",
		        v.lo, v.hi, c);
	return true;
}

/* Only rates, their sums and such: so much a second. */
static bool is_plain_rate(const struct pq_node *n)
{
	n = pl_bare(n);
	if (n->kind == PQ_K_AGG)
		return n->u.agg.op != PQ_COUNT && n->u.agg.op != PQ_GROUP &&
		       n->u.agg.op != PQ_COUNT_VALUES && is_plain_rate(n->u.agg.of);
	return pl_is_call(n, PQ_F_RATE) || pl_is_call(n, PQ_F_IRATE);
}

/* The matcher that takes the failed ones of all requests. */
static const struct label_matcher *status_matcher(const struct pq_node *sel)
{
	static const char *const names[] = {"code", "status", "status_code", "http_status",
	        "http_status_code", "response_code", "status_class", "statuscode"};
	for (uint32_t i = 0; i < sel->u.sel.n * HG_COUNT(names); i++) {
		const struct label_matcher *m = &sel->u.sel.m[i / HG_COUNT(names)];
		if (m->value.n && hg_str_eq(m->name, hg_str(names[i % HG_COUNT(names)]))) return m;
	}
	return NULL;
}

static void rate_print(
        struct lint *x, const struct pq_node *rate, const struct label_matcher *without)
{
	static const char *const op[] = {"=", "!=", "=~", "!~"};
	const struct pq_node *range = pl_bare(rate->u.call.arg[0]), *sel = pl_selector(range);
	bool any = false;
	hg_buf_fmt(&x->fix, "%s(%.*s", rate->u.call.fn->name, HG_STR_ARG(pl_metric(sel)));
	for (uint32_t i = 0; i < sel->u.sel.n; i++) {
		const struct label_matcher *m = &sel->u.sel.m[i];
		bool skip = without && m->value.p == without->value.p;
		if (skip || hg_str_eq(m->name, LABEL_METRIC)) continue;
		hg_buf_fmt(&x->fix, "%s%.*s%s", any ? "," : "{", HG_STR_ARG(m->name), op[m->op]);
		pq_quote(&x->fix, m->value);
		any = true;
	}
	hg_buf_cstr(&x->fix, any ? "}[" : "[");
	if (range->range && range->range->kind == PQ_S_NUMBER)
		promql_print_duration(&x->fix, (int64_t)(range->range->seconds * 1000));
	hg_buf_cstr(&x->fix, "])");
}

/* The first aggregation's `by (…) `, or nothing. */
static void by_print(struct lint *x, const struct pq_node *n)
{
	n = pl_bare(n);
	if (n->kind != PQ_K_AGG || n->u.agg.without || !n->u.agg.by.n) return;
	hg_buf_cstr(&x->fix, " by (");
	for (uint32_t i = 0; i < n->u.agg.by.n; i++)
		hg_buf_fmt(&x->fix, "%s%.*s", i ? ", " : "", HG_STR_ARG(n->u.agg.by.at[i]));
	hg_buf_cstr(&x->fix, ") ");
}

static const struct pq_node *inner_rate(const struct pq_node *n)
{
	n = pl_bare(n);
	while (n->kind == PQ_K_AGG)
		n = pl_bare(n->u.agg.of);
	return n;
}

static void ratio_fix(struct lint *x, const struct pq_node *of, const struct label_matcher *status,
        enum pq_op op, double c)
{
	const struct pq_node *rate = inner_rate(of);
	hg_buf_cstr(&x->fix, "sum");
	by_print(x, of);
	hg_buf_byte(&x->fix, '(');
	rate_print(x, rate, NULL);
	hg_buf_cstr(&x->fix, ") / sum");
	by_print(x, of);
	hg_buf_byte(&x->fix, '(');
	rate_print(x, rate, status);
	hg_buf_fmt(&x->fix, ") %s %g", pq_op_name(op), c);
}

static void cores_fix(
        struct lint *x, const struct pq_node *of, struct hg_str name, enum pq_op op, double c)
{
	if (hg_str_eq(name, HG_STR("headgate_replica_cpu_seconds_total"))) {
		pq_node_print(&x->fix, of);
		hg_buf_fmt(&x->fix, " / headgate_replica_cpu_limit %s %g", pq_op_name(op), c);
		return;
	}
	if (!hg_str_starts(name, HG_STR("node_cpu"))) return;
	hg_buf_cstr(
	        &x->fix, "1 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[5m]))");
	hg_buf_fmt(&x->fix, " %s %g", pq_op_name(op), c);
}

static bool told_rate(
        struct lint *x, const struct pq_node *n, const struct pq_node *of, enum pq_op op, double c)
{
	static const char *const cpu[] = {
	        "cpu_seconds", "cpu_usage_seconds", "cpu_user_seconds", "cpu_system_seconds", NULL};
	const struct pq_node *sel = pl_selector(of);
	if (!is_plain_rate(of) || !sel || !(c > 0 && c < 1)) return false;
	struct hg_str name = pl_metric(sel);
	const struct label_matcher *status = status_matcher(sel);
	/* A tenth of a failure a second is a limit as well; five in a hundred seconds hardly. */
	if (status && (x->env->percentage || c <= 0.05)) {
		ratio_fix(x, of, status, op, c);
		pl_note(x, "ratio", n,
		        "not a ratio: the left side is requests per second, however many there are "
		        "in "
		        "all; %g looks like a share",
		        c);
		return true;
	}
	bool per_mode = hg_str_starts(name, HG_STR("node_cpu"));
	bool is_cpu = pl_has_any(name, cpu) &&
	              (x->env->percentage ||
	                      (c >= 0.7 && (hg_str_starts(name, HG_STR("container_")) ||
	                                           hg_str_starts(name, HG_STR("headgate_")))));
	if (is_cpu && !per_mode) {
		cores_fix(x, of, name, op, c);
		pl_note(x, "ratio", n,
		        "not a ratio: CPU seconds a second are cores (2 when two are busy), and %g "
		        "looks "
		        "like a share; divide by the cores that there are, or by the limit",
		        c);
		return true;
	}
	/* Seconds a second are the share of the time. */
	static const char *const time[] = {"_seconds", NULL};
	if (!x->env->percentage || pl_has_any(name, time)) return false;
	pl_note(x, "ratio", n,
	        "not a ratio: the left side is %.*s per second, and the annotation prints it as a "
	        "percentage",
	        HG_STR_ARG(name));
	return true;
}

/* `x * 100` by a template that multiplies by 100 once more. */
static void check_percentage(struct lint *x, const struct pq_node *n, const struct pq_node *of)
{
	double c;
	of = pl_bare(of);
	if (!x->env->percentage || of->kind != PQ_K_BINARY || of->u.bin.op != PQ_MUL) return;
	bool right = pl_number(of->u.bin.r, &c) && c == 100;
	bool left = !right && pl_number(of->u.bin.l, &c) && c == 100;
	if (!right && !left) return;
	pl_note(x, "ratio", n,
	        "the value is a percentage already, and humanizePercentage multiplies it by 100 "
	        "once "
	        "more: leave out the 100, here and in the limit");
}

static void check_compare(struct lint *x, const struct pq_node *n)
{
	double c;
	if (n->kind != PQ_K_BINARY || !pq_op_compares(n->u.bin.op)) return;
	enum pq_op op = n->u.bin.op;
	const struct pq_node *of = n->u.bin.l;
	if (!pl_number(n->u.bin.r, &c)) {
		if (!pl_number(n->u.bin.l, &c)) return;
		of = n->u.bin.r;
		op = turned(op);
	}
	if (of->type != PROMQL_VECTOR || of == x->stopped || pl_bare(of) == x->stopped) return;
	if (told_never(x, n, of, op, c) || told_rate(x, n, of, op, c)) return;
	check_percentage(x, n, of);
}

/* ---- an alert's expression as a whole ---- */

static bool is_filter(const struct pq_node *n)
{
	if (n->kind == PQ_K_BINARY)
		return (pq_op_compares(n->u.bin.op) && !n->u.bin.to_bool) ||
		       n->u.bin.op == PQ_AND || n->u.bin.op == PQ_UNLESS;
	return pl_is_call(n, PQ_F_ABSENT) || pl_is_call(n, PQ_F_ABSENT_OVER_TIME);
}

/* Can the whole be empty because of what it says, and not only for want of series? */
static bool filters(const struct pq_node *n)
{
	n = pl_bare(n);
	if (n->kind == PQ_K_BINARY && n->u.bin.op == PQ_OR)
		return filters(n->u.bin.l) && filters(n->u.bin.r);
	return pl_below(n, is_filter);
}

static bool is_constant(const struct pq_node *n)
{
	n = pl_bare(n);
	return n->type == PROMQL_SCALAR || pl_is_call(n, PQ_F_VECTOR);
}

static void check_alert(struct lint *x, const struct pq_node *n)
{
	const struct pq_node *top = pl_bare(n);
	if (!x->env->alert || is_constant(top)) return; /* an alert that shall always fire */
	if (top->kind == PQ_K_BINARY && top->u.bin.to_bool) {
		pq_node_print(&x->fix, top->u.bin.l);
		hg_buf_fmt(&x->fix, " %s ", pq_op_name(top->u.bin.op));
		pq_node_print(&x->fix, top->u.bin.r);
		pl_note(x, "always", top,
		        "fires always: with bool the result is 0 or 1, and an alert fires for any "
		        "result; leave out bool");
		return;
	}
	if (top->kind == PQ_K_BINARY && top->u.bin.op == PQ_OR && is_constant(top->u.bin.r)) {
		pl_note(x, "always", top,
		        "fires always: the right side of `or` gives a result when the left has "
		        "none, "
		        "and an alert fires for any result");
		return;
	}
	const struct pq_node *sel = pl_selector(top);
	if (filters(top) || (sel && pl_may_be_filtered(pl_metric(sel)))) return;
	hg_buf_str(&x->fix, x->q->text);
	hg_buf_cstr(&x->fix, " > 0");
	pl_note(x, "always", top,
	        "fires for every series, whatever its value: nothing in it compares");
}

/* ---- the store ---- */

static void check_exists(struct lint *x, const struct pq_node *n)
{
	if (!x->env->exists || n->kind != PQ_K_SELECTOR) return;
	struct hg_str name = pl_metric(n);
	if (hg_str_starts(name, HG_STR("ALERTS"))) return;
	if (x->env->exists(x->env->arg, n->u.sel.m, n->u.sel.n)) return;
	pl_note(x, "empty", n, "matches no series: %.200s", text_of(x, 0, n));
}

static void walk(struct lint *x, const struct pq_node *n, bool may_be_empty)
{
	pl_check_histogram(x, n);
	check_range(x, n);
	check_type(x, n);
	check_selector(x, n);
	check_by(x, n);
	check_self(x, n);
	check_match(x, n);
	check_compare(x, n);
	/* What asks whether there is something needs nothing to be there. */
	bool asks = pl_is_call(n, PQ_F_ABSENT) || pl_is_call(n, PQ_F_ABSENT_OVER_TIME) ||
	            (n->kind == PQ_K_BINARY && (n->u.bin.op == PQ_OR || n->u.bin.op == PQ_UNLESS));
	if (!may_be_empty) check_exists(x, n);
	uint32_t count = pq_child_count(n);
	for (uint32_t i = 0; i < count; i++)
		walk(x, pq_child(n, i), may_be_empty || asks);
}

void promql_lint(const struct promql_query *q, const struct promql_lint_env *env)
{
	struct lint x = {.env = env, .q = q};
	if (q->root->depth > DEPTH_MAX) return;
	hg_buf_init(&x.fix, 4096);
	hg_buf_init(&x.text[0], 4096);
	hg_buf_init(&x.text[1], 4096);
	walk(&x, q->root, false);
	check_alert(&x, q->root);
	hg_buf_free(&x.fix);
	hg_buf_free(&x.text[0]);
	hg_buf_free(&x.text[1]);
}

bool promql_may_have_label(const struct promql_query *q, struct hg_str name)
{
	struct pl_shape s;
	if (q->root->depth > DEPTH_MAX) return true;
	pl_shape(q->root, &s);
	return pl_may(&s, name);
}

static bool metrics(const struct pq_node *n, bool (*fn)(void *arg, struct hg_str metric), void *arg)
{
	if (n->kind == PQ_K_SELECTOR && pl_metric(n).n && !fn(arg, pl_metric(n))) return false;
	uint32_t count = pq_child_count(n);
	for (uint32_t i = 0; i < count; i++)
		if (!metrics(pq_child(n, i), fn, arg)) return false;
	return true;
}

void promql_metrics(
        const struct promql_query *q, bool (*fn)(void *arg, struct hg_str metric), void *arg)
{
	(void)metrics(q->root, fn, arg);
}
