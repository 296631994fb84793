/* Functions of ranges: a window that slides over each series. */
#include "eval_priv.h"

#include <math.h>
#include <stdlib.h>

/* Neumaier's sum: what is lost to rounding is kept in *c. */
double pq_kahan(double inc, double sum, double *c)
{
	double t = sum + inc;
	if (isinf(t))
		*c = 0;
	else if (fabs(sum) >= fabs(inc))
		*c += (sum - t) + inc;
	else
		*c += (inc - t) + sum;
	return t;
}

/* The plain mean, until the sum overflows; then one that moves. */
double pq_mean(const double *v, size_t n)
{
	double sum = v[0], c = 0, mean = 0;
	bool moving = false;
	for (size_t i = 1; i < n; i++) {
		double count = (double)(i + 1);
		if (!moving) {
			double c2 = c, sum2 = pq_kahan(v[i], sum, &c2);
			if (!isinf(sum2)) {
				sum = sum2;
				c = c2;
				continue;
			}
			moving = true;
			mean = sum / (count - 1);
			c /= count - 1;
		}
		double q = (count - 1) / count;
		c *= q;
		mean = pq_kahan(v[i] / count, q * mean, &c);
	}
	return moving ? mean + c : sum / (double)n + c / (double)n;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	if (isnan(x)) return isnan(y) ? 0 : -1;
	if (isnan(y)) return 1;
	return (x > y) - (x < y);
}

double pq_quantile(double q, double *v, size_t n)
{
	if (!n || isnan(q)) return NAN;
	if (q < 0) return -INFINITY;
	if (q > 1) return INFINITY;
	qsort(v, n, sizeof *v, by_value);
	double rank = q * (double)(n - 1), whole = floor(rank), weight = rank - whole;
	size_t lower = (size_t)fmax(0, whole), upper = HG_MIN(n - 1, lower + 1);
	return v[lower] * (1 - weight) + v[upper] * weight;
}

void pq_check_quantile(struct pq_ev *ev, const struct pq_node *at, double q)
{
	struct hg_buf b;
	if (q >= 0 && q <= 1) return;
	hg_buf_init(&b, 400);
	pq_number_print(&b, q);
	pq_note(ev, true, at, "quantile value should be between 0 and 1, got %s", hg_buf_text(&b));
	hg_buf_free(&b);
}

/* ---- one window each ---- */

static double w_avg(const struct pq_win *w)
{
	return pq_mean(w->v, w->n);
}

static double w_sum(const struct pq_win *w)
{
	double sum = 0, c = 0;
	for (uint32_t i = 0; i < w->n; i++)
		sum = pq_kahan(w->v[i], sum, &c);
	return isinf(sum) ? sum : sum + c;
}

static double w_count(const struct pq_win *w)
{
	return w->n;
}

static double w_present(const struct pq_win *w)
{
	(void)w;
	return 1;
}

static double w_first(const struct pq_win *w)
{
	return w->v[0];
}

static double w_last(const struct pq_win *w)
{
	return w->v[w->n - 1];
}

static uint32_t place_of_max(const struct pq_win *w, bool last)
{
	uint32_t best = 0;
	for (uint32_t i = 1; i < w->n; i++)
		if (w->v[i] > w->v[best] || (last && w->v[i] == w->v[best]) || isnan(w->v[best]))
			best = i;
	return best;
}

static uint32_t place_of_min(const struct pq_win *w, bool last)
{
	uint32_t best = 0;
	for (uint32_t i = 1; i < w->n; i++)
		if (w->v[i] < w->v[best] || (last && w->v[i] == w->v[best]) || isnan(w->v[best]))
			best = i;
	return best;
}

static double w_max(const struct pq_win *w)
{
	return w->v[place_of_max(w, false)];
}

static double w_min(const struct pq_win *w)
{
	return w->v[place_of_min(w, false)];
}

static double seconds(int64_t ms)
{
	return (double)ms / 1000;
}

static double w_ts_first(const struct pq_win *w)
{
	return seconds(w->t[0]);
}

static double w_ts_last(const struct pq_win *w)
{
	return seconds(w->t[w->n - 1]);
}

static double w_ts_max(const struct pq_win *w)
{
	return seconds(w->t[place_of_max(w, true)]);
}

static double w_ts_min(const struct pq_win *w)
{
	return seconds(w->t[place_of_min(w, true)]);
}

static double variance(const struct pq_win *w)
{
	double mean = 0, mean_c = 0, sum = 0, sum_c = 0;
	for (uint32_t i = 0; i < w->n; i++) {
		double delta = w->v[i] - (mean + mean_c);
		mean = pq_kahan(delta / (i + 1), mean, &mean_c);
		sum = pq_kahan(delta * (w->v[i] - (mean + mean_c)), sum, &sum_c);
	}
	return (sum + sum_c) / w->n;
}

static double w_stddev(const struct pq_win *w)
{
	return sqrt(variance(w));
}

static double w_changes(const struct pq_win *w)
{
	double n = 0;
	for (uint32_t i = 1; i < w->n; i++) {
		double a = w->v[i - 1], b = w->v[i];
		n += a != b && !(isnan(a) && isnan(b));
	}
	return n;
}

static double w_resets(const struct pq_win *w)
{
	double n = 0;
	for (uint32_t i = 1; i < w->n; i++)
		n += w->v[i] < w->v[i - 1];
	return n;
}

static double w_quantile(const struct pq_win *w)
{
	memcpy(w->sort, w->v, w->n * sizeof *w->v);
	return pq_quantile(w->arg[0], w->sort, w->n);
}

static double w_mad(const struct pq_win *w)
{
	memcpy(w->sort, w->v, w->n * sizeof *w->v);
	double median = pq_quantile(0.5, w->sort, w->n);
	for (uint32_t i = 0; i < w->n; i++)
		w->sort[i] = fabs(w->v[i] - median);
	return pq_quantile(0.5, w->sort, w->n);
}

/* Least squares; x is counted from `origin`. */
static void regression(
        const struct pq_win *w, int64_t origin, double *ret_slope, double *ret_intercept)
{
	double x_sum = 0, x_c = 0, y_sum = 0, y_c = 0, xy = 0, xy_c = 0, xx = 0, xx_c = 0;
	double n = w->n;
	bool constant = true;
	for (uint32_t i = 0; i < w->n; i++) {
		double x = (double)(w->t[i] - origin) / 1000, y = w->v[i];
		constant = constant && y == w->v[0];
		x_sum = pq_kahan(x, x_sum, &x_c);
		y_sum = pq_kahan(y, y_sum, &y_c);
		xy = pq_kahan(x * y, xy, &xy_c);
		xx = pq_kahan(x * x, xx, &xx_c);
	}
	if (constant) {
		*ret_slope = isinf(w->v[0]) ? NAN : 0;
		*ret_intercept = isinf(w->v[0]) ? NAN : w->v[0];
		return;
	}
	x_sum += x_c;
	y_sum += y_c;
	xy += xy_c;
	xx += xx_c;
	double covariance = xy - x_sum * y_sum / n, spread = xx - x_sum * x_sum / n;
	*ret_slope = covariance / spread;
	*ret_intercept = y_sum / n - *ret_slope * x_sum / n;
}

static double w_deriv(const struct pq_win *w)
{
	double slope, intercept;
	if (w->n < 2) return pq_none();
	regression(w, w->t[0], &slope, &intercept);
	return slope;
}

static double w_predict(const struct pq_win *w)
{
	double slope, intercept;
	if (w->n < 2) return pq_none();
	regression(w, w->at, &slope, &intercept);
	return slope * w->arg[0] + intercept;
}

/* Holt's linear method. */
static double w_smooth(const struct pq_win *w)
{
	double sf = w->arg[0], tf = w->arg[1], before = 0, now, trend;
	if (w->n < 2) return pq_none();
	now = w->v[0];
	trend = w->v[1] - w->v[0];
	for (uint32_t i = 1; i < w->n; i++) {
		double x = sf * w->v[i];
		if (i > 1) trend = tf * (now - before) + (1 - tf) * trend;
		double y = (1 - sf) * (now + trend);
		before = now;
		now = x + y;
	}
	return now;
}

pq_win_fn *pq_win_fn_of(enum pq_fn_id id)
{
	switch (id) {
	case PQ_F_AVG_OVER_TIME: return w_avg;
	case PQ_F_SUM_OVER_TIME: return w_sum;
	case PQ_F_COUNT_OVER_TIME: return w_count;
	case PQ_F_PRESENT_OVER_TIME: return w_present;
	case PQ_F_FIRST_OVER_TIME: return w_first;
	case PQ_F_LAST_OVER_TIME: return w_last;
	case PQ_F_MAX_OVER_TIME: return w_max;
	case PQ_F_MIN_OVER_TIME: return w_min;
	case PQ_F_TS_OF_FIRST: return w_ts_first;
	case PQ_F_TS_OF_LAST: return w_ts_last;
	case PQ_F_TS_OF_MAX: return w_ts_max;
	case PQ_F_TS_OF_MIN: return w_ts_min;
	case PQ_F_STDDEV_OVER_TIME: return w_stddev;
	case PQ_F_STDVAR_OVER_TIME: return variance;
	case PQ_F_CHANGES: return w_changes;
	case PQ_F_RESETS: return w_resets;
	case PQ_F_QUANTILE_OVER_TIME: return w_quantile;
	case PQ_F_MAD_OVER_TIME: return w_mad;
	case PQ_F_DERIV: return w_deriv;
	case PQ_F_PREDICT_LINEAR: return w_predict;
	case PQ_F_DOUBLE_EXP: return w_smooth;
	case PQ_F_RATE: return pq_rate;
	case PQ_F_INCREASE: return pq_increase;
	case PQ_F_DELTA: return pq_delta;
	case PQ_F_IRATE: return pq_irate;
	case PQ_F_IDELTA: return pq_idelta;
	default: return NULL;
	}
}

/* ---- the pass over a series ---- */

struct pass {
	struct pq_ev *ev;
	const struct pq_node *n;
	const struct pq_grid *g;
	pq_win_fn *fn;
	const double *arg[2]; /* by step; NULL: none */
	double *sort;
	uint32_t sort_cap;
	uint32_t *reset; /* of the series */
	uint32_t reset_cap;
	bool counter; /* resets are looked for, and the name */
};

static bool sorts(const struct pass *p)
{
	return p->fn == w_quantile || p->fn == w_mad;
}

static bool room(struct pass *p, uint32_t n)
{
	if (sorts(p) && n > p->sort_cap) {
		p->sort_cap = n * 2;
		p->sort = pq_take(p->ev, p->sort_cap, sizeof *p->sort);
		if (!p->sort) return false;
	}
	if (p->counter && n > p->reset_cap) {
		p->reset_cap = n * 2;
		p->reset = pq_take(p->ev, p->reset_cap, sizeof *p->reset);
		if (!p->reset) return false;
	}
	return true;
}

/* *ret_some: some step has a value. */
static bool slide(struct pass *p, const struct pq_ranges *r, const struct pq_samples *s, double *to,
        bool *ret_some)
{
	uint32_t lo = 0, hi = 0, resets = 0, first = 0, behind = 0;
	bool some = false, rest = false;
	struct pq_win w = {.sort = p->sort};
	for (uint32_t i = 1; p->counter && i < s->n; i++)
		if (s->v[i] < s->v[i - 1]) p->reset[resets++] = i;
	for (uint32_t i = 0; i < p->g->n; i++) {
		w.at = pq_grid_at(p->g, i);
		w.end = pq_window_end(r->h, w.at);
		w.start = w.end - r->range_ms;
		while (hi < s->n && s->t[hi] <= w.end)
			hi++;
		while (lo < hi && s->t[lo] <= w.start)
			lo++;
		to[i] = pq_none();
		if (lo == hi) continue;
		w.t = s->t + lo;
		w.v = s->v + lo;
		w.n = hi - lo;
		if (!pq_worked(p->ev, sorts(p) ? pq_sorting(w.n) : w.n)) return false;
		if (resets) {
			while (first < resets && p->reset[first] <= lo)
				first++;
			while (behind < resets && p->reset[behind] < hi)
				behind++;
			w.reset = p->reset + first;
			w.reset_n = behind > first ? behind - first : 0;
			w.base = lo;
		}
		for (int k = 0; k < 2; k++)
			if (p->arg[k]) w.arg[k] = p->arg[k][i];
		to[i] = p->fn(&w);
		some = some || !pq_is_none(to[i]);
		rest = true;
	}
	if (rest && p->counter && p->fn != pq_delta) pq_note_counter(p->ev, p->n, s->ls);
	*ret_some = some;
	return true;
}

static bool smoothing_ok(
        struct pq_ev *ev, const double *v, uint32_t n, const char *what, const char *letter)
{
	for (uint32_t i = 0; i < n; i++)
		if (!(v[i] >= 0 && v[i] <= 1))
			return pq_fail(ev, HG_E_QUERY_FAILED,
			        "invalid %s factor. Expected: 0 <= %s <= 1, got: %f", what, letter,
			        v[i]);
	return true;
}

static bool arguments(struct pass *p)
{
	struct pq_node *const *a = p->n->u.call.arg;
	double *v;
	switch (p->n->u.call.fn->id) {
	case PQ_F_QUANTILE_OVER_TIME:
		if (!pq_scalar(p->ev, a[0], p->g, &v)) return false;
		p->arg[0] = v;
		return true;
	case PQ_F_PREDICT_LINEAR:
	case PQ_F_DOUBLE_EXP:
		for (int k = 0; k < (p->n->u.call.fn->id == PQ_F_DOUBLE_EXP ? 2 : 1); k++) {
			if (!pq_scalar(p->ev, a[k + 1], p->g, &v)) return false;
			p->arg[k] = v;
		}
		return p->n->u.call.fn->id == PQ_F_PREDICT_LINEAR ||
		       (smoothing_ok(p->ev, p->arg[0], p->g->n, "smoothing", "sf") &&
		               smoothing_ok(p->ev, p->arg[1], p->g->n, "trend", "tf"));
	default: return true;
	}
}

/* Series of one name are different without it, if that is all they lose. */
static bool one_name(const struct pq_ranges *r)
{
	const struct pq_node *sel = r->sel ? r->n->u.of : NULL;
	for (uint32_t i = 0; sel && i < sel->u.sel.n; i++) {
		const struct label_matcher *m = &sel->u.sel.m[i];
		if (m->op == LABEL_EQ && m->value.n && hg_str_eq(m->name, LABEL_METRIC))
			return true;
	}
	return false;
}

static bool range_call(struct pass *p, struct pq_node *range, struct pq_value *ret)
{
	enum pq_fn_id id = p->n->u.call.fn->id;
	bool keeps = id == PQ_F_LAST_OVER_TIME || id == PQ_F_FIRST_OVER_TIME, more, different, some;
	struct pq_ranges r;
	struct pq_samples s;
	double *v = NULL;
	if (!arguments(p) || !pq_ranges_open(p->ev, range, p->g, &r)) return false;
	ret->at = pq_take(p->ev, r.count, sizeof *ret->at);
	if (!ret->at) return false;
	different = one_name(&r);
	while (pq_ranges_next(p->ev, &r, &s, &more)) {
		if (!more) break;
		if (!s.n) continue;
		if (!room(p, s.n) || (!v && !(v = pq_take(p->ev, p->g->n, sizeof *v))))
			return false;
		if (!slide(p, &r, &s, v, &some)) return false;
		if (!some) continue;
		struct pq_column *c = &ret->at[ret->n++];
		*c = (struct pq_column){s.ls, v, s.drop};
		v = NULL;
		if (!keeps && !pq_drop_name(p->ev, c)) return false;
		different = different && c->ls.n + 1 == s.ls.n;
	}
	if (more) return false;
	for (uint32_t i = 0; ret->n && id == PQ_F_QUANTILE_OVER_TIME && i < p->g->n; i++)
		pq_check_quantile(p->ev, p->n->u.call.arg[0], p->arg[0][i]);
	return keeps || different || pq_after_drop(p->ev, ret, p->g->n);
}

bool pq_range_call(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	enum pq_fn_id id = n->u.call.fn->id;
	struct pass p = {.ev = ev,
	        .n = n,
	        .g = g,
	        .fn = pq_win_fn_of(id),
	        .counter = id == PQ_F_RATE || id == PQ_F_INCREASE};
	struct pq_node *range = pq_bare(n->u.call.arg[id == PQ_F_QUANTILE_OVER_TIME ? 1 : 0]);
	HG_ASSERT(p.fn);
	*ret = (struct pq_value){.type = PROMQL_VECTOR};
	if (range->kind == PQ_K_RANGE && range->u.of->u.sel.extend != PQ_X_NONE)
		return pq_extended_call(ev, n, g, ret);
	return range_call(&p, range, ret);
}
