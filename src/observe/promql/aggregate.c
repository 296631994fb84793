/* Aggregations: series are put into groups once, then each group is summed up over all steps. */
#include "eval_priv.h"

#include <math.h>
#include <stdlib.h>

struct acc {
	double a, b, c; /* sum or mean, compensation, and what else */
	uint32_t n;
	bool moving;
};

struct groups {
	struct pq_table table;
	uint32_t *of;    /* series → group */
	bool *drop;      /* by group */
	uint32_t *first; /* by group: series of it are order[first[g] .. first[g+1]) */
	uint32_t *order;
};

static bool make_groups(
        struct pq_ev *ev, const struct pq_node *n, const struct pq_value *in, struct groups *gr)
{
	struct labels ls;
	if (!pq_table_make(ev, &gr->table, 16)) return false;
	gr->of = pq_take(ev, in->n, sizeof *gr->of);
	gr->order = pq_take(ev, in->n, sizeof *gr->order);
	if (!gr->of || !gr->order) return false;
	for (uint32_t k = 0; k < in->n; k++) {
		if (!pq_reduce(ev, in->at[k].ls, &n->u.agg.by,
		            n->u.agg.without ? PQ_WITHOUT : PQ_BY, &ls))
			return false;
		if (!pq_table_at(ev, &gr->table, ls, &gr->of[k], NULL)) return false;
	}
	uint32_t *at = pq_take(ev, gr->table.n + 2, sizeof *at);
	gr->drop = pq_take(ev, gr->table.n + 1, sizeof *gr->drop);
	if (!at || !gr->drop) return false;
	for (uint32_t k = 0; k < in->n; k++) {
		at[gr->of[k] + 2]++;
		gr->drop[gr->of[k]] = gr->drop[gr->of[k]] || in->at[k].drop;
	}
	for (uint32_t i = 1; i < gr->table.n + 2; i++)
		at[i] += at[i - 1];
	/* at[g + 1] runs from the first place of group g to that of g + 1. */
	for (uint32_t k = 0; k < in->n; k++)
		gr->order[at[gr->of[k] + 1]++] = k;
	gr->first = at;
	return true;
}

/* ---- one sample into its group ---- */

static void add_sum(struct acc *a, double v)
{
	a->a = a->n++ ? pq_kahan(v, a->a, &a->b) : v;
}

static void add_avg(struct acc *a, double v)
{
	double n = ++a->n;
	if (n == 1) {
		a->a = v;
		return;
	}
	if (!a->moving) {
		double c = a->b, sum = pq_kahan(v, a->a, &c);
		if (!isinf(sum)) {
			a->a = sum;
			a->b = c;
			return;
		}
		/* The sum overflows: from here on the mean itself moves. */
		a->moving = true;
		a->a /= n - 1;
		a->b /= n - 1;
	}
	double q = (n - 1) / n;
	a->b *= q;
	a->a = pq_kahan(v / n, q * a->a, &a->b);
}

static void add_deviation(struct acc *a, double v)
{
	if (!a->n++) {
		a->a = v;
		a->c = isnan(v) || isinf(v) ? NAN : 0;
		return;
	}
	double delta = v - a->a;
	a->a += delta / a->n;
	a->c += delta * (v - a->a);
}

static void add_extreme(struct acc *a, double v, bool max)
{
	if (!a->n++ || isnan(a->a) || (max ? v > a->a : v < a->a)) a->a = v;
}

static void add(enum pq_agg op, struct acc *a, double v)
{
	switch (op) {
	case PQ_SUM: add_sum(a, v); return;
	case PQ_AVG: add_avg(a, v); return;
	case PQ_MIN:
	case PQ_MAX: add_extreme(a, v, op == PQ_MAX); return;
	case PQ_STDDEV:
	case PQ_STDVAR: add_deviation(a, v); return;
	default: a->n++;
	}
}

static double done(enum pq_agg op, const struct acc *a)
{
	if (!a->n) return pq_none();
	switch (op) {
	case PQ_SUM: return isinf(a->a) ? a->a : a->a + a->b;
	case PQ_AVG: return a->moving ? a->a + a->b : a->a / a->n + a->b / a->n;
	case PQ_MIN:
	case PQ_MAX: return a->a;
	case PQ_STDVAR: return a->c / a->n;
	case PQ_STDDEV: return sqrt(a->c / a->n);
	case PQ_COUNT: return a->n;
	default: return 1; /* group */
	}
}

/* NaNs of one kind are the same, and -0 is not 0. */
static uint64_t bits_of(double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof bits);
	return bits;
}

static bool by_adding(struct pq_ev *ev, enum pq_agg op, const struct pq_grid *g,
        const struct pq_value *in, const struct groups *gr, struct pq_value *ret)
{
	struct acc *acc = pq_take(ev, g->n, sizeof *acc);
	if (!acc) return false;
	for (uint32_t k = 0; k < gr->table.n; k++) {
		double *v = pq_take(ev, g->n, sizeof *v);
		if (!v || (k % 64 == 0 && !pq_may_go_on(ev))) return false;
		memset(acc, 0, g->n * sizeof *acc);
		for (uint32_t m = gr->first[k]; m < gr->first[k + 1]; m++) {
			const double *x = in->at[gr->order[m]].v;
			for (uint32_t i = 0; i < g->n; i++)
				if (!pq_is_none(x[i])) add(op, &acc[i], x[i]);
		}
		for (uint32_t i = 0; i < g->n; i++)
			v[i] = done(op, &acc[i]);
		ret->at[ret->n++] = (struct pq_column){gr->table.ls[k], v, gr->drop[k]};
	}
	return true;
}

static bool by_quantile(struct pq_ev *ev, const struct pq_node *n, const struct pq_grid *g,
        const struct pq_value *in, const struct groups *gr, struct pq_value *ret)
{
	double *sort = pq_take(ev, in->n, sizeof *sort), *q;
	if (!sort || !pq_scalar(ev, n->u.agg.param, g, &q)) return false;
	for (uint32_t i = 0; i < g->n; i++)
		pq_check_quantile(ev, n->u.agg.param, q[i]);
	for (uint32_t k = 0; k < gr->table.n; k++) {
		double *v = pq_take(ev, g->n, sizeof *v);
		if (!v || !pq_may_go_on(ev)) return false;
		for (uint32_t i = 0; i < g->n; i++) {
			uint32_t m = 0;
			for (uint32_t s = gr->first[k]; s < gr->first[k + 1]; s++) {
				double x = in->at[gr->order[s]].v[i];
				if (!pq_is_none(x)) sort[m++] = x;
			}
			if (!pq_worked(ev, pq_sorting(m))) return false;
			v[i] = m ? pq_quantile(q[i], sort, m) : pq_none();
		}
		ret->at[ret->n++] = (struct pq_column){gr->table.ls[k], v, gr->drop[k]};
	}
	return true;
}

bool pq_aggregate(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	enum pq_agg op = n->u.agg.op;
	struct pq_value in;
	struct groups gr = {0};
	*ret = (struct pq_value){.type = PROMQL_VECTOR};
	if (!pq_eval(ev, n->u.agg.of, g, &in)) return false;
	if (op == PQ_COUNT_VALUES) return pq_count_values(ev, n, g, &in, ret);
	if (!make_groups(ev, n, &in, &gr)) return false;
	if (op == PQ_TOPK || op == PQ_BOTTOMK || op == PQ_LIMITK || op == PQ_LIMIT_RATIO)
		return pq_top(ev, n, g, &in, gr.of, gr.table.n, ret);
	ret->at = pq_take(ev, gr.table.n, sizeof *ret->at);
	if (!ret->at) return false;
	return op == PQ_QUANTILE ? by_quantile(ev, n, g, &in, &gr, ret)
	                         : by_adding(ev, op, g, &in, &gr, ret);
}

/* ---- count_values ---- */

/* The label is set before others are taken away: without() takes it too, if it names it. */
static bool value_labels(struct pq_ev *ev, const struct pq_node *n, struct labels from,
        struct hg_str name, struct hg_str value, struct labels *ret)
{
	if (n->u.agg.without)
		return pq_with(ev, from, name, value, ret) &&
		       pq_reduce(ev, *ret, &n->u.agg.by, PQ_WITHOUT, ret);
	return pq_reduce(ev, from, &n->u.agg.by, PQ_BY, ret) && pq_with(ev, *ret, name, value, ret);
}

bool pq_count_values(struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g,
        const struct pq_value *in, struct pq_value *ret)
{
	struct hg_str name = pq_bare(n->u.agg.param)->u.text;
	struct pq_table t;
	uint32_t cap = 16, i;
	struct hg_buf b;
	if (!name.n || !hg_utf8_valid(name)) {
		hg_buf_init(&b, 4096);
		pq_quote(&b, name);
		pq_fail(ev, HG_E_QUERY_FAILED, "invalid label name %s", hg_buf_text(&b));
		hg_buf_free(&b);
		return false;
	}
	if (!pq_table_make(ev, &t, 16) || !(ret->at = pq_take(ev, cap, sizeof *ret->at)))
		return false;
	for (uint32_t k = 0; k < in->n; k++) {
		double last = 0;
		uint32_t at = UINT32_MAX;
		for (uint32_t s = 0; s < g->n; s++) {
			double v = in->at[k].v[s];
			bool fresh = false;
			struct labels ls;
			if (pq_is_none(v)) continue;
			if (!pq_worked(ev, 100)) return false; /* texts and tables */
			if (at == UINT32_MAX || bits_of(v) != bits_of(last)) {
				hg_buf_init(&b, 2000);
				promql_print_number(&b, v);
				struct hg_str text = hg_arena_str(ev->arena, hg_buf_view(&b));
				hg_buf_free(&b);
				if (!text.p) return pq_take(ev, ev->o.memory_max, 2) != NULL;
				if (!value_labels(ev, n, in->at[k].ls, name, text, &ls) ||
				        !pq_table_at(ev, &t, ls, &at, &fresh))
					return false;
				last = v;
			}
			if (fresh) {
				if (at == cap) {
					struct pq_column *more =
					        pq_take(ev, cap * 2ul, sizeof *more);
					if (!more) return false;
					memcpy(more, ret->at, cap * sizeof *more);
					ret->at = more;
					cap *= 2;
				}
				double *v2 = pq_blank(ev, g->n);
				if (!v2) return false;
				ret->at[ret->n++] =
				        (struct pq_column){t.ls[at], v2, in->at[k].drop};
			}
			i = at;
			if (hg_str_eq(name, LABEL_METRIC)) ret->at[i].drop = false;
			ret->at[i].v[s] = pq_is_none(ret->at[i].v[s]) ? 1 : ret->at[i].v[s] + 1;
		}
	}
	return true;
}
