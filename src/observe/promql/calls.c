/* Functions of instant vectors and scalars. */
#include "eval_priv.h"

#include <math.h>

/* ---- dates: days of the proleptic Gregorian calendar, as UTC has them ---- */

struct date {
	int64_t year;
	int month, day, hour, minute, weekday, yearday;
};

static bool is_leap(int64_t y)
{
	return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static int days_in(int64_t y, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	return month == 2 && is_leap(y) ? 29 : days[month - 1];
}

static bool date_of(double seconds, struct date *d)
{
	if (!(fabs(seconds) < 1e15)) return false;
	int64_t s = (int64_t)seconds;
	int64_t days = s / 86400, rest = s % 86400;
	if (rest < 0) {
		rest += 86400;
		days--;
	}
	d->hour = (int)(rest / 3600);
	d->minute = (int)(rest / 60 % 60);
	d->weekday = (int)(((days + 4) % 7 + 7) % 7);
	/* Years from March on, so that the leap day is the last: eras of 400 years. */
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	d->day = (int)(doy - (153 * mp + 2) / 5 + 1);
	d->month = (int)(mp < 10 ? mp + 3 : mp - 9);
	d->year = yoe + era * 400 + (d->month <= 2);
	d->yearday = d->day;
	for (int m = 1; m < d->month; m++)
		d->yearday += days_in(d->year, m);
	return true;
}

static double date_part(enum pq_fn_id id, double v)
{
	struct date d;
	if (!date_of(v, &d)) return NAN;
	switch (id) {
	case PQ_F_YEAR: return (double)d.year;
	case PQ_F_MONTH: return d.month;
	case PQ_F_DAY_OF_MONTH: return d.day;
	case PQ_F_DAY_OF_WEEK: return d.weekday;
	case PQ_F_DAY_OF_YEAR: return d.yearday;
	case PQ_F_DAYS_IN_MONTH: return days_in(d.year, d.month);
	case PQ_F_HOUR: return d.hour;
	default: return d.minute;
	}
}

/* ---- each value for itself ---- */

static double sign_of(double x)
{
	return x < 0 ? -1 : x > 0 ? 1 : x;
}

static double to_degrees(double x)
{
	return x * 180 / M_PI;
}

static double to_radians(double x)
{
	return x * M_PI / 180;
}

typedef double math_fn(double);

static math_fn *math_of(enum pq_fn_id id)
{
	switch (id) {
	case PQ_F_ABS: return fabs;
	case PQ_F_ACOS: return acos;
	case PQ_F_ACOSH: return acosh;
	case PQ_F_ASIN: return asin;
	case PQ_F_ASINH: return asinh;
	case PQ_F_ATAN: return atan;
	case PQ_F_ATANH: return atanh;
	case PQ_F_CEIL: return ceil;
	case PQ_F_COS: return cos;
	case PQ_F_COSH: return cosh;
	case PQ_F_DEG: return to_degrees;
	case PQ_F_EXP: return exp;
	case PQ_F_FLOOR: return floor;
	case PQ_F_LN: return log;
	case PQ_F_LOG10: return log10;
	case PQ_F_LOG2: return log2;
	case PQ_F_RAD: return to_radians;
	case PQ_F_SGN: return sign_of;
	case PQ_F_SIN: return sin;
	case PQ_F_SINH: return sinh;
	case PQ_F_SQRT: return sqrt;
	case PQ_F_TAN: return tan;
	case PQ_F_TANH: return tanh;
	default: return NULL;
	}
}

static bool of_time(
        struct pq_ev *ev, enum pq_fn_id id, const struct pq_grid *g, struct pq_value *ret)
{
	ret->at = pq_take(ev, 1, sizeof *ret->at);
	if (!ret->at || !(ret->at->v = pq_take(ev, g->n, sizeof(double)))) return false;
	ret->n = 1;
	for (uint32_t i = 0; i < g->n; i++)
		ret->at->v[i] = date_part(id, (double)pq_grid_at(g, i) / 1000);
	return true;
}

bool pq_math_call(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	enum pq_fn_id id = n->u.call.fn->id;
	math_fn *fn = math_of(id);
	*ret = (struct pq_value){.type = PROMQL_VECTOR};
	if (!n->u.call.n) return of_time(ev, id, g, ret);
	if (!pq_eval(ev, n->u.call.arg[0], g, ret)) return false;
	for (uint32_t k = 0; k < ret->n; k++) {
		double *v = ret->at[k].v;
		for (uint32_t i = 0; i < g->n; i++)
			if (!pq_is_none(v[i])) v[i] = fn ? fn(v[i]) : date_part(id, v[i]);
		if (!pq_drop_name(ev, &ret->at[k])) return false;
	}
	return pq_after_drop(ev, ret, g->n);
}

/* ---- with arguments ---- */

/* As Go's math.Max and Min: NaN wins. */
static double greater(double a, double b)
{
	return isnan(a) || isnan(b) ? NAN : a > b ? a : b;
}

static double lesser(double a, double b)
{
	return isnan(a) || isnan(b) ? NAN : a < b ? a : b;
}

static double clamped(enum pq_fn_id id, double x, double a, double b)
{
	switch (id) {
	case PQ_F_CLAMP: return a > b ? pq_none() : greater(a, lesser(b, x));
	case PQ_F_CLAMP_MAX: return lesser(a, x);
	case PQ_F_CLAMP_MIN: return greater(a, x);
	default: /* round */ a = 1 / a; return floor(x * a + 0.5) / a;
	}
}

static bool clamp(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	struct pq_node *const *arg = n->u.call.arg;
	double *a = NULL, *b = NULL;
	if (!pq_eval(ev, arg[0], g, ret)) return false;
	if (n->u.call.n > 1 && !pq_scalar(ev, arg[1], g, &a)) return false;
	if (n->u.call.n > 2 && !pq_scalar(ev, arg[2], g, &b)) return false;
	for (uint32_t k = 0; k < ret->n; k++) {
		double *v = ret->at[k].v;
		for (uint32_t i = 0; i < g->n; i++)
			if (!pq_is_none(v[i]))
				v[i] = clamped(n->u.call.fn->id, v[i], a ? a[i] : 1, b ? b[i] : 0);
		if (!pq_drop_name(ev, &ret->at[k])) return false;
	}
	return pq_after_drop(ev, ret, g->n);
}

/* ---- absent ---- */

/* The labels that a selector would give: those it asks for with =, once. */
static bool asked_labels(struct pq_ev *ev, struct pq_node *of, struct labels *ret)
{
	const struct pq_node *n = pq_bare(of);
	*ret = (struct labels){0};
	if (n->kind == PQ_K_RANGE) n = n->u.of;
	if (n->kind != PQ_K_SELECTOR) return true;
	for (uint32_t i = 0; i < n->u.sel.n; i++) {
		const struct label_matcher *m = &n->u.sel.m[i];
		bool before = false;
		if (hg_str_eq(m->name, LABEL_METRIC)) continue;
		for (uint32_t j = 0; j < i; j++)
			before = before || (n->u.sel.m[j].op == LABEL_EQ &&
			                           hg_str_eq(n->u.sel.m[j].name, m->name));
		/* A second matcher of the same label makes it uncertain. */
		struct hg_str value = m->op == LABEL_EQ && !before ? m->value : (struct hg_str){0};
		if (!pq_with(ev, *ret, m->name, value, ret)) return false;
	}
	return true;
}

static bool absent(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	struct pq_value in;
	double *v;
	if (!pq_eval(ev, n->u.call.arg[0], g, &in)) return false;
	if (!(v = pq_take(ev, g->n, sizeof *v))) return false;
	for (uint32_t i = 0; i < g->n; i++)
		v[i] = 1;
	for (uint32_t k = 0; k < in.n; k++)
		for (uint32_t i = 0; i < g->n; i++)
			if (!pq_is_none(in.at[k].v[i])) v[i] = pq_none();
	ret->at = pq_take(ev, 1, sizeof *ret->at);
	if (!ret->at) return false;
	ret->n = 1;
	ret->at->v = v;
	return asked_labels(ev, n->u.call.arg[0], &ret->at->ls);
}

static bool absent_over_time(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	struct pq_ranges r;
	struct pq_samples s;
	bool more;
	double *v = pq_take(ev, g->n, sizeof *v);
	if (!v || !pq_ranges_open(ev, pq_bare(n->u.call.arg[0]), g, &r)) return false;
	for (uint32_t i = 0; i < g->n; i++)
		v[i] = 1;
	while (pq_ranges_next(ev, &r, &s, &more) && more) {
		uint32_t hi = 0;
		for (uint32_t i = 0; i < g->n; i++) {
			int64_t end = pq_window_end(r.h, pq_grid_at(g, i));
			while (hi < s.n && s.t[hi] <= end)
				hi++;
			if (hi && s.t[hi - 1] > end - r.range_ms) v[i] = pq_none();
		}
	}
	ret->at = pq_take(ev, 1, sizeof *ret->at);
	if (more || !ret->at) return false;
	ret->n = 1;
	ret->at->v = v;
	return asked_labels(ev, n->u.call.arg[0], &ret->at->ls);
}

/* ---- scalars and time ---- */

static bool scalar_of(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	struct pq_value in;
	if (!pq_eval(ev, n->u.call.arg[0], g, &in)) return false;
	ret->scalar = pq_take(ev, g->n, sizeof(double));
	if (!ret->scalar) return false;
	for (uint32_t i = 0; i < g->n; i++) {
		uint32_t found = 0;
		for (uint32_t k = 0; k < in.n && found < 2; k++) {
			if (pq_is_none(in.at[k].v[i])) continue;
			ret->scalar[i] = in.at[k].v[i];
			found++;
		}
		if (found != 1) ret->scalar[i] = NAN;
	}
	return true;
}

static bool vector_of(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	ret->at = pq_take(ev, 1, sizeof *ret->at);
	if (!ret->at) return false;
	ret->n = 1;
	return pq_scalar(ev, n->u.call.arg[0], g, &ret->at->v);
}

/* Of a selector: when its samples were taken. Of anything else: now. */
static bool timestamp(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	struct pq_node *of = pq_bare(n->u.call.arg[0]);
	bool raw = of->kind == PQ_K_SELECTOR && of->u.sel.extend == PQ_X_NONE;
	if (raw ? !pq_select(ev, of, g, true, ret) : !pq_eval(ev, of, g, ret)) return false;
	for (uint32_t k = 0; k < ret->n; k++) {
		double *v = ret->at[k].v;
		for (uint32_t i = 0; i < g->n && !raw; i++)
			if (!pq_is_none(v[i])) v[i] = (double)pq_grid_at(g, i) / 1000;
		if (!pq_drop_name(ev, &ret->at[k])) return false;
	}
	return pq_after_drop(ev, ret, g->n);
}

static bool number_of(
        struct pq_ev *ev, enum pq_fn_id id, const struct pq_grid *g, struct pq_value *ret)
{
	ret->scalar = pq_take(ev, g->n, sizeof(double));
	if (!ret->scalar) return false;
	for (uint32_t i = 0; i < g->n; i++) {
		double v = M_PI;
		if (id == PQ_F_TIME) v = (double)pq_grid_at(g, i) / 1000;
		if (id == PQ_F_START) v = (double)ev->o.start_ms / 1000;
		if (id == PQ_F_END) v = (double)ev->o.end_ms / 1000;
		if (id == PQ_F_STEP) v = (double)ev->o.step_ms / 1000;
		if (id == PQ_F_RANGE) v = (double)(ev->o.end_ms - ev->o.start_ms) / 1000;
		ret->scalar[i] = v;
	}
	return true;
}

static bool extreme_of(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	double *a, *b;
	bool max = n->u.call.fn->id == PQ_F_MAX_OF;
	if (!pq_scalar(ev, n->u.call.arg[0], g, &a) || !pq_scalar(ev, n->u.call.arg[1], g, &b))
		return false;
	for (uint32_t i = 0; i < g->n; i++)
		a[i] = max ? greater(a[i], b[i]) : lesser(a[i], b[i]);
	ret->scalar = a;
	return true;
}

/* They look at native histograms only: floats are silently left out. */
static bool of_histograms(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	if (!pq_eval(ev, n->u.call.arg[0], g, ret)) return false;
	ret->n = 0;
	return true;
}

bool pq_special_call(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	*ret = (struct pq_value){.type = n->type};
	switch (n->u.call.fn->id) {
	case PQ_F_ABSENT: return absent(ev, n, g, ret);
	case PQ_F_ABSENT_OVER_TIME: return absent_over_time(ev, n, g, ret);
	case PQ_F_CLAMP:
	case PQ_F_CLAMP_MAX:
	case PQ_F_CLAMP_MIN:
	case PQ_F_ROUND: return clamp(ev, n, g, ret);
	case PQ_F_SCALAR: return scalar_of(ev, n, g, ret);
	case PQ_F_VECTOR: return vector_of(ev, n, g, ret);
	case PQ_F_TIMESTAMP: return timestamp(ev, n, g, ret);
	case PQ_F_PI:
	case PQ_F_TIME:
	case PQ_F_START:
	case PQ_F_END:
	case PQ_F_STEP:
	case PQ_F_RANGE: return number_of(ev, n->u.call.fn->id, g, ret);
	case PQ_F_MAX_OF:
	case PQ_F_MIN_OF: return extreme_of(ev, n, g, ret);
	case PQ_F_LABEL_REPLACE: return pq_label_replace(ev, n, g, ret);
	case PQ_F_LABEL_JOIN: return pq_label_join(ev, n, g, ret);
	case PQ_F_SORT:
	case PQ_F_SORT_DESC:
	case PQ_F_SORT_BY_LABEL:
	case PQ_F_SORT_BY_LABEL_DESC: return pq_sort(ev, n, g, ret);
	case PQ_F_INFO: return pq_info(ev, n, g, ret);
	case PQ_F_HISTOGRAM_QUANTILE:
	case PQ_F_HISTOGRAM_QUANTILES:
	case PQ_F_HISTOGRAM_FRACTION: return pq_histogram(ev, n, g, ret);
	case PQ_F_HISTOGRAM_AVG:
	case PQ_F_HISTOGRAM_COUNT:
	case PQ_F_HISTOGRAM_SUM:
	case PQ_F_HISTOGRAM_STDDEV:
	case PQ_F_HISTOGRAM_STDVAR: return of_histograms(ev, n, g, ret);
	default: break;
	}
	return pq_fail(
	        ev, HG_E_QUERY_UNSUPPORTED, "the function %s() is not built", n->u.call.fn->name);
}
