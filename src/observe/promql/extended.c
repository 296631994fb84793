/*
 * anchored and smoothed ranges: instead of extrapolating, the value at the window's start is that
 * of the sample before it (anchored), or both ends are interpolated between their neighbours
 * (smoothed).
 */
#include "eval_priv.h"

#include <math.h>

struct ext {
	enum pq_fn_id id;
	enum pq_extend how;
	bool counter;
	int64_t start, end, lookback;
	const int64_t *t; /* samples of (start - lookback, end (+ lookback)] */
	const double *v;
	uint32_t n;
};

static double interpolate(const struct ext *x, uint32_t i, int64_t at)
{
	double a = x->v[i], b = x->v[i + 1];
	if (x->counter && b < a) a = 0; /* a reset between the two: on the ramp behind it */
	return a + (b - a) * (double)(at - x->t[i]) / (double)(x->t[i + 1] - x->t[i]);
}

static double changes_of(const struct ext *x, uint32_t first, uint32_t last)
{
	double n = 0;
	for (uint32_t i = first + 1; i <= last; i++) {
		double a = x->v[i - 1], b = x->v[i];
		if (x->id == PQ_F_RESETS)
			n += b < a;
		else
			n += a != b && !(isnan(a) && isnan(b));
	}
	return n;
}

/* What was lost in resets between the ends; those at the ends are in `left` and `right` already. */
static double lost(const struct ext *x, uint32_t first, uint32_t last, double left, double right)
{
	double before = left, sum = 0;
	uint32_t end = last + 1;
	if (x->t[first] <= x->start) first++;
	if (x->t[last] >= x->end) end--;
	for (uint32_t i = first; i < end; i++) {
		if (x->v[i] < before) sum += before;
		before = x->v[i];
	}
	return right < before ? sum + before : sum;
}

static double extended(const struct ext *x)
{
	uint32_t last = x->n - 1, first = 0;
	bool smoothed = x->how == PQ_X_SMOOTHED;
	while (first < x->n - 1 && x->t[first + 1] <= x->start)
		first++;
	if (smoothed) /* the first at or behind the end, else the last there is */
		for (last = 0; last + 1 < x->n && x->t[last] < x->end;)
			last++;
	if (x->t[last] <= x->start) return pq_none();
	if (smoothed && x->t[first] > x->end) return pq_none();
	if (x->id == PQ_F_CHANGES || x->id == PQ_F_RESETS) return changes_of(x, first, last);
	double left = x->v[first], right = x->v[last];
	if (smoothed && x->t[first] < x->start) left = interpolate(x, first, x->start);
	if (smoothed && last > 0 && x->t[last] > x->end) right = interpolate(x, last - 1, x->end);
	double result = right - left;
	if (x->counter) result += lost(x, first, last, left, right);
	return x->id == PQ_F_RATE ? result / ((double)(x->end - x->start) / 1000) : result;
}

static bool allowed(struct pq_ev *ev, const struct pq_node *n, enum pq_extend how)
{
	enum pq_fn_id id = n->u.call.fn->id;
	bool rates = id == PQ_F_RATE || id == PQ_F_INCREASE || id == PQ_F_DELTA;
	if (rates || (how == PQ_X_ANCHORED && (id == PQ_F_CHANGES || id == PQ_F_RESETS)))
		return true;
	return pq_fail(ev, HG_E_QUERY_FAILED, "%s modifier can only be used with: %s - not with %s",
	        how == PQ_X_ANCHORED ? "anchored" : "smoothed",
	        how == PQ_X_ANCHORED ? "changes, delta, increase, rate, resets"
	                             : "delta, increase, rate",
	        n->u.call.fn->name);
}

static bool slide(struct pq_ev *ev, struct ext *x, const struct pq_grid *g,
        const struct pq_ranges *r, const struct pq_samples *s, double *to)
{
	uint32_t lo = 0, hi = 0;
	bool some = false;
	for (uint32_t i = 0; i < g->n; i++) {
		x->end = pq_window_end(r->h, pq_grid_at(g, i));
		x->start = x->end - r->range_ms;
		int64_t until = x->end + (x->how == PQ_X_SMOOTHED ? ev->o.lookback_ms : 0);
		while (hi < s->n && s->t[hi] <= until)
			hi++;
		while (lo < hi && s->t[lo] <= x->start - ev->o.lookback_ms)
			lo++;
		to[i] = pq_none();
		if (lo == hi) continue;
		x->t = s->t + lo;
		x->v = s->v + lo;
		x->n = hi - lo;
		to[i] = extended(x);
		some = some || !pq_is_none(to[i]);
	}
	return some;
}

bool pq_extended_call(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	struct pq_node *range = pq_bare(n->u.call.arg[0]);
	struct ext x = {.id = n->u.call.fn->id};
	struct pq_ranges r;
	struct pq_samples s;
	bool more;
	if (range->kind != PQ_K_RANGE) range = pq_bare(n->u.call.arg[n->u.call.n - 1]);
	x.how = range->u.of->u.sel.extend;
	x.counter = x.id == PQ_F_RATE || x.id == PQ_F_INCREASE;
	if (!allowed(ev, n, x.how) || !pq_ranges_open(ev, range, g, &r)) return false;
	ret->at = pq_take(ev, r.count, sizeof *ret->at);
	if (!ret->at) return false;
	while (pq_ranges_next(ev, &r, &s, &more) && more) {
		double *v;
		if (!s.n) continue;
		if (!(v = pq_take(ev, g->n, sizeof *v))) return false;
		if (!slide(ev, &x, g, &r, &s, v)) continue;
		if (x.counter) pq_note_counter(ev, n, s.ls);
		struct pq_column *c = &ret->at[ret->n++];
		*c = (struct pq_column){s.ls, v, s.drop};
		if (!pq_drop_name(ev, c)) return false;
	}
	return !more && pq_after_drop(ev, ret, g->n);
}
