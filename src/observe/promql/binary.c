/* Operators between two expressions: with scalars, between vectors by matching labels, sets. */
#include "eval_priv.h"

#include <math.h>

bool pq_op_apply(enum pq_op op, double l, double r, double *ret_v)
{
	*ret_v = l;
	switch (op) {
	case PQ_ADD: *ret_v = l + r; return true;
	case PQ_SUB: *ret_v = l - r; return true;
	case PQ_MUL: *ret_v = l * r; return true;
	case PQ_DIV: *ret_v = l / r; return true;
	case PQ_MOD: *ret_v = fmod(l, r); return true;
	case PQ_POW: *ret_v = pow(l, r); return true;
	case PQ_ATAN2: *ret_v = atan2(l, r); return true;
	case PQ_EQL: return l == r;
	case PQ_NEQ: return l != r;
	case PQ_GTR: return l > r;
	case PQ_LSS: return l < r;
	case PQ_GTE: return l >= r;
	case PQ_LTE: return l <= r;
	default: return true;
	}
}

static bool loses_name(const struct pq_node *n)
{
	return !pq_op_compares(n->u.bin.op) || n->u.bin.to_bool;
}

/* Only native histograms can be trimmed, and there are none. */
static void note_trim(struct pq_ev *ev, const struct pq_node *n)
{
	const char *op = pq_op_name(n->u.bin.op);
	pq_note(ev, false, n,
	        "incompatible sample types encountered for binary operator \"%s\": float %s float",
	        op, op);
}

/* ---- with scalars ---- */

static void scalars(
        const struct pq_node *n, const struct pq_grid *g, struct pq_value *l, const double *r)
{
	for (uint32_t i = 0; i < g->n; i++) {
		double v;
		bool holds = pq_op_apply(n->u.bin.op, l->scalar[i], r[i], &v);
		l->scalar[i] = pq_op_compares(n->u.bin.op) ? holds : v;
	}
}

/* `swapped`: the scalar stands on the left. A comparison lets the vector's value through. */
static bool with_scalar(struct pq_ev *ev, const struct pq_node *n, const struct pq_grid *g,
        struct pq_value *vec, const double *s, bool swapped)
{
	enum pq_op op = n->u.bin.op;
	bool compares = pq_op_compares(op);
	if (pq_op_trims(op)) {
		if (vec->n) note_trim(ev, n);
		vec->n = 0;
		return true;
	}
	for (uint32_t k = 0; k < vec->n; k++) {
		double *v = vec->at[k].v;
		for (uint32_t i = 0; i < g->n; i++) {
			double x = v[i], out;
			if (pq_is_none(x)) continue;
			bool holds = swapped ? pq_op_apply(op, s[i], x, &out)
			                     : pq_op_apply(op, x, s[i], &out);
			if (n->u.bin.to_bool)
				v[i] = holds;
			else
				v[i] = !compares ? out : holds ? x : pq_none();
		}
		if (loses_name(n) && !pq_drop_name(ev, &vec->at[k])) return false;
	}
	return !loses_name(n) || pq_after_drop(ev, vec, g->n);
}

/* ---- matching ---- */

/* Series of a side by signature: those of signature s are order[first[s] .. first[s + 1]). */
struct side {
	const struct pq_value *v;
	uint32_t *sig, *order, *first;
};

struct match {
	struct pq_ev *ev;
	const struct pq_node *n;
	const struct pq_matching *m;
	const struct pq_grid *g;
	struct pq_table sigs;
	struct side many, one;
	bool swapped;             /* the many side stands on the right */
	bool *many_any, *one_any; /* by step: is there anything on that side */
	/* The result. */
	struct pq_table out;
	struct pq_value *ret;
	uint32_t cap;
	bool *taken; /* by step, of the signature at hand: one-to-one was used up */
};

static bool sign(struct match *x, struct side *s, const struct pq_value *v)
{
	struct labels ls;
	s->v = v;
	s->sig = pq_take(x->ev, v->n, sizeof *s->sig);
	if (!s->sig) return false;
	for (uint32_t k = 0; k < v->n; k++) {
		if (!pq_reduce(x->ev, v->at[k].ls, &x->m->labels, x->m->on ? PQ_BY : PQ_IGNORING,
		            &ls) ||
		        !pq_table_at(x->ev, &x->sigs, ls, &s->sig[k], NULL))
			return false;
	}
	return true;
}

static bool order(struct match *x, struct side *s)
{
	uint32_t *at = pq_take(x->ev, x->sigs.n + 2ul, sizeof *at);
	s->order = pq_take(x->ev, s->v->n, sizeof *s->order);
	if (!at || !s->order) return false;
	for (uint32_t k = 0; k < s->v->n; k++)
		at[s->sig[k] + 2]++;
	for (uint32_t i = 1; i < x->sigs.n + 2; i++)
		at[i] += at[i - 1];
	for (uint32_t k = 0; k < s->v->n; k++)
		s->order[at[s->sig[k] + 1]++] = k;
	s->first = at;
	return true;
}

static bool prepare(struct match *x, const struct pq_value *l, const struct pq_value *r)
{
	return pq_table_make(x->ev, &x->sigs, l->n) && sign(x, &x->many, l) &&
	       sign(x, &x->one, r) && order(x, &x->many) && order(x, &x->one);
}

/* ---- sets ---- */

/* By step: whether any series of the signature is there. */
static void presence(const struct side *s, uint32_t sig, uint32_t steps, bool *to)
{
	memset(to, 0, steps * sizeof *to);
	for (uint32_t m = s->first[sig]; m < s->first[sig + 1]; m++) {
		const double *v = s->v->at[s->order[m]].v;
		for (uint32_t i = 0; i < steps; i++)
			to[i] = to[i] || !pq_is_none(v[i]);
	}
}

/* Keeps of `of` the steps at which the other side has the signature (or has not). */
static bool filter(struct match *x, const struct side *of, const struct side *other, bool want)
{
	bool *there = pq_take(x->ev, x->g->n, sizeof *there);
	if (!there) return false;
	for (uint32_t sig = 0; sig < x->sigs.n; sig++) {
		presence(other, sig, x->g->n, there);
		for (uint32_t m = of->first[sig]; m < of->first[sig + 1]; m++) {
			double *v = of->v->at[of->order[m]].v;
			for (uint32_t i = 0; i < x->g->n; i++)
				if (there[i] != want) v[i] = pq_none();
		}
	}
	return true;
}

static bool sets(
        struct match *x, const struct pq_value *l, const struct pq_value *r, struct pq_value *ret)
{
	*ret = *l;
	if (x->n->u.bin.op == PQ_AND) return filter(x, &x->many, &x->one, true);
	if (x->n->u.bin.op == PQ_UNLESS) return filter(x, &x->many, &x->one, false);
	if (!filter(x, &x->one, &x->many, false)) return false;
	ret->at = pq_take(x->ev, (size_t)l->n + r->n, sizeof *ret->at);
	if (!ret->at) return false;
	if (l->n) memcpy(ret->at, l->at, l->n * sizeof *l->at);
	if (r->n) memcpy(ret->at + l->n, r->at, r->n * sizeof *r->at);
	ret->n = l->n + r->n;
	return pq_unite(x->ev, ret, x->g->n, false);
}

/* ---- one-to-one and many-to-one ---- */

static bool result_labels(
        struct match *x, struct labels many, struct labels one, struct labels *ret)
{
	const struct pq_matching *m = x->m;
	*ret = many;
	if (!pq_op_compares(x->n->u.bin.op) && !pq_without_name(x->ev, *ret, ret)) return false;
	if (m->card == PQ_ONE_TO_ONE) {
		struct labels less;
		if (m->on || !m->labels.n) {
			if (m->on && (!pq_reduce(x->ev, *ret, &m->labels, PQ_BY, &less) ||
			                     !pq_keep(x->ev, less, ret)))
				return false;
		} else {
			for (uint32_t i = 0; i < m->labels.n; i++)
				if (labels_get(*ret, m->labels.at[i]).n &&
				        !pq_with(x->ev, *ret, m->labels.at[i], (struct hg_str){0},
				                ret))
					return false;
		}
	}
	for (uint32_t i = 0; i < m->include.n; i++)
		if (!pq_with(x->ev, *ret, m->include.at[i], labels_get(one, m->include.at[i]), ret))
			return false;
	if (x->n->u.bin.to_bool && !x->ev->o.delayed_names)
		return pq_without_name(x->ev, *ret, ret);
	return true;
}

static bool out_column(struct match *x, struct labels ls, bool drop, struct pq_column **ret)
{
	uint32_t i;
	bool fresh;
	if (!pq_table_at(x->ev, &x->out, ls, &i, &fresh)) return false;
	if (fresh) {
		if (i == x->cap) {
			struct pq_column *more = pq_take(x->ev, x->cap * 2ul + 16, sizeof *more);
			if (!more) return false;
			if (i) memcpy(more, x->ret->at, i * sizeof *more);
			x->ret->at = more;
			x->cap = x->cap * 2 + 16;
		}
		double *v = pq_blank(x->ev, x->g->n);
		if (!v) return false;
		x->ret->at[i] = (struct pq_column){x->out.ls[i], v, false};
		x->ret->n = i + 1;
	}
	*ret = &x->ret->at[i];
	(*ret)->drop = (*ret)->drop || drop || x->n->u.bin.to_bool;
	return true;
}

/* Where a result goes: found when the first value comes. */
struct place {
	struct labels ls;
	bool drop;
	struct pq_column *c;
};

static bool put(struct match *x, struct place *p, uint32_t step, double many, double one)
{
	double l = x->swapped ? one : many, r = x->swapped ? many : one, v;
	bool holds = pq_op_apply(x->n->u.bin.op, l, r, &v);
	if (pq_op_trims(x->n->u.bin.op)) {
		note_trim(x->ev, x->n);
		return true;
	}
	if (x->n->u.bin.to_bool)
		v = holds;
	else if (!holds)
		return true;
	else if (pq_op_compares(x->n->u.bin.op))
		v = l;
	if (x->m->card == PQ_ONE_TO_ONE) {
		if (x->taken[step])
			return pq_fail(x->ev, HG_E_QUERY_FAILED,
			        "multiple matches for labels: many-to-one matching must be "
			        "explicit "
			        "(group_left/group_right)");
		x->taken[step] = true;
	}
	if (!p->c && !out_column(x, p->ls, p->drop, &p->c)) return false;
	if (!pq_is_none(p->c->v[step]))
		return pq_fail(x->ev, HG_E_QUERY_FAILED,
		        x->m->card == PQ_ONE_TO_ONE
		                ? "vector cannot contain metrics with the same labelset"
		                : "multiple matches for labels: grouping labels must ensure unique "
		                  "matches");
	p->c->v[step] = v;
	return true;
}

/* A name that is to be dropped stays so; it is the one side's when it is taken from there. */
static bool pending(
        const struct match *x, const struct pq_column *many, const struct pq_column *one)
{
	for (uint32_t i = 0; i < x->m->include.n; i++)
		if (hg_str_eq(x->m->include.at[i], LABEL_METRIC)) return one->drop;
	return many->drop;
}

static bool not_one(
        struct match *x, uint32_t sig, const struct pq_column *a, const struct pq_column *b)
{
	const char *group = pq_labels_text(x->ev, x->sigs.ls[sig]);
	const char *second = pq_labels_text(x->ev, b->ls), *first = pq_labels_text(x->ev, a->ls);
	return pq_fail(x->ev, HG_E_QUERY_FAILED,
	        "found duplicate series for the match group %s on the %s hand-side of the "
	        "operation: "
	        "[%s, %s];many-to-many matching not allowed: matching labels must be unique on one "
	        "side",
	        group, x->swapped ? "left" : "right", second, first);
}

/* Two series of the one side at the same step are an error wherever both sides have anything. */
static bool check_one(struct match *x, uint32_t sig)
{
	uint32_t from = x->one.first[sig], to = x->one.first[sig + 1];
	if (to - from < 2) return true;
	for (uint32_t i = 0; i < x->g->n; i++) {
		const struct pq_column *seen = NULL;
		if (!x->many_any[i]) continue;
		for (uint32_t m = from; m < to; m++) {
			const struct pq_column *c = &x->one.v->at[x->one.order[m]];
			if (pq_is_none(c->v[i])) continue;
			if (seen) return not_one(x, sig, seen, c);
			seen = c;
		}
	}
	return true;
}

/* One series of the many side against all of its signature on the other. */
static bool pair(struct match *x, uint32_t sig, const struct pq_column *many, bool *found)
{
	memset(found, 0, x->g->n * sizeof *found);
	for (uint32_t m = x->one.first[sig]; m < x->one.first[sig + 1]; m++) {
		const struct pq_column *one = &x->one.v->at[x->one.order[m]];
		struct place p = {.drop = pending(x, many, one)};
		if (!pq_worked(x->ev, x->g->n)) return false;
		if (!result_labels(x, many->ls, one->ls, &p.ls)) return false;
		for (uint32_t i = 0; i < x->g->n; i++) {
			if (pq_is_none(many->v[i]) || pq_is_none(one->v[i])) continue;
			found[i] = true;
			if (!put(x, &p, i, many->v[i], one->v[i])) return false;
		}
	}
	return true;
}

/* fill: what is missing on the one side is taken to be a number. */
static bool fill_one(struct match *x, uint32_t sig, const struct pq_column *many, const bool *found)
{
	bool fills = x->swapped ? x->m->fill_left : x->m->fill_right;
	double value = x->swapped ? x->m->left : x->m->right;
	struct place p = {.drop = many->drop};
	if (!fills) return true;
	if (!result_labels(x, many->ls, x->sigs.ls[sig], &p.ls)) return false;
	for (uint32_t i = 0; i < x->g->n; i++)
		if (!found[i] && !pq_is_none(many->v[i]) && !put(x, &p, i, many->v[i], value))
			return false;
	return true;
}

/* The same on the many side: one series that has the labels of the match. */
static bool fill_many(struct match *x, uint32_t sig)
{
	bool fills = x->swapped ? x->m->fill_right : x->m->fill_left;
	double value = x->swapped ? x->m->right : x->m->left;
	bool *there;
	if (!fills) return true;
	if (!(there = pq_take(x->ev, x->g->n, sizeof *there))) return false;
	presence(&x->many, sig, x->g->n, there);
	for (uint32_t m = x->one.first[sig]; m < x->one.first[sig + 1]; m++) {
		const struct pq_column *one = &x->one.v->at[x->one.order[m]];
		struct place p = {.drop = pending(x, one, one)};
		if (!result_labels(x, x->sigs.ls[sig], one->ls, &p.ls)) return false;
		for (uint32_t i = 0; i < x->g->n; i++)
			if (!there[i] && !pq_is_none(one->v[i]) && !put(x, &p, i, value, one->v[i]))
				return false;
	}
	return true;
}

static void anything(const struct pq_value *v, uint32_t steps, bool *to)
{
	for (uint32_t k = 0; k < v->n; k++)
		for (uint32_t i = 0; i < steps; i++)
			to[i] = to[i] || !pq_is_none(v->at[k].v[i]);
}

static bool arithmetic(struct match *x)
{
	uint32_t steps = x->g->n;
	bool *found = pq_take(x->ev, steps, sizeof *found);
	x->taken = pq_take(x->ev, steps, sizeof *x->taken);
	x->many_any = pq_take(x->ev, steps, sizeof *x->many_any);
	if (!found || !x->taken || !x->many_any || !pq_table_make(x->ev, &x->out, x->many.v->n))
		return false;
	anything(x->many.v, steps, x->many_any);
	for (uint32_t sig = 0; sig < x->sigs.n; sig++)
		if (!check_one(x, sig)) return false;
	for (uint32_t sig = 0; sig < x->sigs.n; sig++) {
		memset(x->taken, 0, steps * sizeof *x->taken);
		if (sig % 64 == 0 && !pq_may_go_on(x->ev)) return false;
		for (uint32_t m = x->many.first[sig]; m < x->many.first[sig + 1]; m++) {
			const struct pq_column *many = &x->many.v->at[x->many.order[m]];
			if (!pair(x, sig, many, found) || !fill_one(x, sig, many, found))
				return false;
		}
		if (!fill_many(x, sig)) return false;
	}
	return true;
}

static bool vectors(struct pq_ev *ev, const struct pq_node *n, const struct pq_grid *g,
        const struct pq_value *l, const struct pq_value *r, struct pq_value *ret)
{
	struct match x = {.ev = ev, .n = n, .m = &n->u.bin.match, .g = g, .ret = ret};
	*ret = (struct pq_value){.type = PROMQL_VECTOR};
	if (pq_op_is_set(n->u.bin.op)) return prepare(&x, l, r) && sets(&x, l, r, ret);
	x.swapped = x.m->card == PQ_ONE_TO_MANY;
	return prepare(&x, x.swapped ? r : l, x.swapped ? l : r) && arithmetic(&x);
}

bool pq_binary(struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	struct pq_value l, r;
	if (!pq_eval(ev, n->u.bin.l, g, &l) || !pq_eval(ev, n->u.bin.r, g, &r)) return false;
	if (l.type == PROMQL_SCALAR && r.type == PROMQL_SCALAR) {
		scalars(n, g, &l, r.scalar);
		*ret = l;
		return true;
	}
	if (l.type == PROMQL_VECTOR && r.type == PROMQL_VECTOR)
		return vectors(ev, n, g, &l, &r, ret);
	*ret = l.type == PROMQL_VECTOR ? l : r;
	return with_scalar(ev, n, g, ret, l.type == PROMQL_SCALAR ? l.scalar : r.scalar,
	        l.type == PROMQL_SCALAR);
}
