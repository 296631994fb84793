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

/*
 * The samples that say something about the window: from the newest that is not behind its start
 * (without one: the first within) to the last within; smoothed also the next one, if there is one,
 * which says where the line goes that crosses the end. False: nothing is known of the window.
 */
static bool bounds(const struct ext *x, uint32_t *ret_first, uint32_t *ret_last)
{
	uint32_t before = 0, within = 0; /* samples up to the start; behind it, up to the end */
	for (uint32_t i = 0; i < x->n; i++) {
		before += x->t[i] <= x->start;
		within += x->t[i] > x->start && x->t[i] <= x->end;
	}
	uint32_t upto = before + within; /* of them all */
	bool next = x->how == PQ_X_SMOOTHED && upto < x->n && !(upto && x->t[upto - 1] == x->end);
	/* A line needs two ends: what comes behind the window alone does not do. */
	if (!within && !(next && before)) return false;
	*ret_first = before ? before - 1 : 0;
	*ret_last = upto - 1 + next;
	return true;
}

/* The part of the way from sample a to sample b that lies in the window. */
static double share(const struct ext *x, uint32_t a, uint32_t b)
{
	int64_t from = HG_MAX(x->t[a], x->start), to = HG_MIN(x->t[b], x->end);
	if (x->how == PQ_X_ANCHORED) return 1;
	return (double)(to - from) / (double)(x->t[b] - x->t[a]);
}

/* How far a counter came: way by way, and where it fell it has come up from zero. NaN is no count.
 */
static double counted(const struct ext *x, uint32_t first, uint32_t last)
{
	double sum = 0, lost = 0; /* compensated: ways may be small beside what they add up to */
	uint32_t a = first;
	for (uint32_t b = first + 1; b <= last; b++) {
		double from = x->v[a], to = x->v[b];
		if (isnan(to)) continue;
		if (!isnan(from)) {
			double way = share(x, a, b) * (to < from ? to : to - from) - lost;
			double next = sum + way;
			lost = (next - sum) - way;
			sum = next;
		}
		a = b;
	}
	return sum;
}

/* Where the line from sample i to the next is at this time. */
static double height(const struct ext *x, uint32_t i, int64_t at)
{
	double gone = (double)(at - x->t[i]) / (double)(x->t[i + 1] - x->t[i]);
	return x->v[i] + gone * (x->v[i + 1] - x->v[i]);
}

/* A gauge at the window's end, less what it was at the start. */
static double moved(const struct ext *x, uint32_t first, uint32_t last)
{
	double left = x->v[first], right = x->v[last];
	if (first == last || x->how == PQ_X_ANCHORED) return right - left;
	if (x->t[first] < x->start) left = height(x, first, x->start);
	if (x->t[last] > x->end) right = height(x, last - 1, x->end);
	return right - left;
}

uint32_t pq_extended_points(enum pq_extend how, const struct pq_samples *s, int64_t start,
        int64_t end, int64_t lookback_ms, int64_t *t, double *v)
{
	uint32_t lo = 0, hi = 0, first, last, n = 0;
	int64_t until = end + (how == PQ_X_SMOOTHED ? lookback_ms : 0);
	while (hi < s->n && s->t[hi] <= until)
		hi++;
	while (lo < hi && s->t[lo] <= start - lookback_ms)
		lo++;
	const struct ext x = {.how = how,
	        .start = start,
	        .end = end,
	        .t = s->t + lo,
	        .v = s->v + lo,
	        .n = hi - lo};
	if (lo == hi || !bounds(&x, &first, &last)) return 0;
	bool line = how == PQ_X_SMOOTHED && x.t[first] < start && last > first;
	t[n] = start;
	v[n++] = line ? height(&x, first, start) : x.v[first];
	for (uint32_t i = first; i <= last; i++) {
		if (x.t[i] <= start || x.t[i] > end) continue;
		t[n] = x.t[i];
		v[n++] = x.v[i];
	}
	if (t[n - 1] == end) return n;
	t[n] = end;
	v[n] = x.t[last] > end ? height(&x, last - 1, end) : x.v[last];
	return n + 1;
}

static double times(const struct ext *x, uint32_t first, uint32_t last)
{
	uint32_t n = 0;
	for (uint32_t i = first; i < last; i++) {
		double from = x->v[i], to = x->v[i + 1];
		bool both_nan = isnan(from) && isnan(to);
		n += x->id == PQ_F_RESETS ? to < from : from != to && !both_nan;
	}
	return n;
}

static double extended(const struct ext *x)
{
	uint32_t first, last;
	if (!bounds(x, &first, &last)) return pq_none();
	if (x->id == PQ_F_CHANGES || x->id == PQ_F_RESETS) return times(x, first, last);
	double way = x->counter ? counted(x, first, last) : moved(x, first, last);
	return x->id == PQ_F_RATE ? way / ((double)(x->end - x->start) / 1000) : way;
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

/* *ret_some: some step has a value. */
static bool slide(struct pq_ev *ev, struct ext *x, const struct pq_grid *g,
        const struct pq_ranges *r, const struct pq_samples *s, double *to, bool *ret_some)
{
	uint32_t lo = 0, hi = 0;
	*ret_some = false;
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
		if (!pq_worked(ev, x->n)) return false;
		to[i] = extended(x);
		*ret_some = *ret_some || !pq_is_none(to[i]);
	}
	return true;
}

bool pq_extended_call(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	struct pq_node *range = pq_bare(n->u.call.arg[0]);
	struct ext x = {.id = n->u.call.fn->id};
	struct pq_ranges r;
	struct pq_samples s;
	bool more, some;
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
		if (!slide(ev, &x, g, &r, &s, v, &some)) return false;
		if (!some) continue;
		if (x.counter) pq_note_counter(ev, n, s.ls);
		struct pq_column *c = &ret->at[ret->n++];
		*c = (struct pq_column){s.ls, v, s.drop};
		if (!pq_drop_name(ev, c)) return false;
	}
	return !more && pq_after_drop(ev, ret, g->n);
}
