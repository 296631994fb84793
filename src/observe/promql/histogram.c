/* Classic histograms: quantiles and shares out of cumulative buckets. */
#include "eval_priv.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#define SMALL_DELTA 1e-12

struct bucket {
	double bound, count;
};

/* The buckets of one histogram: columns with the same labels but le. */
struct histogram {
	uint32_t first, n; /* in `member` */
};

struct member {
	double bound;
	uint32_t column, histogram;
};

static int by_histogram(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	if (x->histogram != y->histogram) return x->histogram < y->histogram ? -1 : 1;
	if (x->bound != y->bound) return x->bound < y->bound ? -1 : 1;
	return x->column < y->column ? -1 : 1;
}

struct pass {
	struct pq_ev *ev;
	const struct pq_node *n, *at; /* the call; the argument whose place notes name */
	const struct pq_grid *g;
	struct pq_value in;
	struct pq_table table;
	struct member *member;
	uint32_t members;
	struct histogram *h;
	struct bucket *bucket;
};

static bool almost(double a, double b, double epsilon)
{
	if (a == b) return true;
	double sum = fabs(a) + fabs(b), diff = fabs(a - b);
	if (a == 0 || b == 0 || sum < 2.2250738585072014e-308)
		return diff < epsilon * 2.2250738585072014e-308;
	return diff / fmin(sum, 1.7976931348623157e308) < epsilon;
}

static bool gather(struct pass *p)
{
	if (!pq_table_make(p->ev, &p->table, p->in.n)) return false;
	p->member = pq_take(p->ev, p->in.n, sizeof *p->member);
	if (!p->member) return false;
	for (uint32_t k = 0; k < p->in.n; k++) {
		struct labels ls = p->in.at[k].ls;
		struct hg_str text = labels_get(ls, HG_STR("le"));
		double bound;
		uint32_t h;
		if (!promql_number(text, &bound)) {
			struct hg_str name = pq_metric_name(ls);
			struct hg_buf b;
			hg_buf_init(&b, 700);
			pq_quote(&b, text);
			if (name.n) {
				hg_buf_cstr(&b, " for metric name ");
				pq_quote(&b, name);
			}
			pq_note(p->ev, true, p->at,
			        "bucket label \"le\" is missing or has a malformed value of %s",
			        hg_buf_text(&b));
			hg_buf_free(&b);
			continue;
		}
		if (!pq_with(p->ev, ls, HG_STR("le"), (struct hg_str){0}, &ls) ||
		        !pq_table_at(p->ev, &p->table, ls, &h, NULL))
			return false;
		p->member[p->members++] = (struct member){bound, k, h};
	}
	qsort(p->member, p->members, sizeof *p->member, by_histogram);
	p->h = pq_take(p->ev, p->table.n, sizeof *p->h);
	p->bucket = pq_take(p->ev, p->members, sizeof *p->bucket);
	if (!p->h || !p->bucket) return false;
	for (uint32_t m = 0; m < p->members; m++) {
		struct histogram *h = &p->h[p->member[m].histogram];
		if (!h->n++) h->first = m;
	}
	return true;
}

/* What had to be forced to be monotonic, over all steps of a histogram. */
struct forced {
	double low, high, diff; /* bounds of the buckets, the largest correction */
	uint32_t n;             /* steps */
	int64_t from, to;
};

static void force(struct forced *f, const struct bucket *b, double before)
{
	bool first = f->high < f->low;
	f->low = first ? b->bound : fmin(f->low, b->bound);
	f->high = first ? b->bound : fmax(f->high, b->bound);
	f->diff = fmax(f->diff, before - b->count);
}

/* The buckets that are there at a step: sorted, equal bounds added up, monotonic. */
static uint32_t buckets_at(
        struct pass *p, const struct histogram *h, uint32_t step, struct forced *f)
{
	uint32_t n = 0;
	bool any = false;
	for (uint32_t m = h->first; m < h->first + h->n; m++) {
		double count = p->in.at[p->member[m].column].v[step];
		if (pq_is_none(count)) continue;
		if (n && p->bucket[n - 1].bound == p->member[m].bound)
			p->bucket[n - 1].count += count;
		else
			p->bucket[n++] = (struct bucket){p->member[m].bound, count};
	}
	if (!n || !isinf(p->bucket[n - 1].bound) || p->bucket[n - 1].bound < 0) return n;
	double before = p->bucket[0].count;
	for (uint32_t i = 1; i < n; i++) {
		double now = p->bucket[i].count;
		if (now == before) continue;
		if (almost(before, now, SMALL_DELTA)) {
			p->bucket[i].count = before; /* only rounding */
		} else if (now < before) {
			force(f, &p->bucket[i], before);
			p->bucket[i].count = before;
			any = true;
		} else {
			before = now;
		}
	}
	if (any) {
		f->to = pq_grid_at(p->g, step);
		if (!f->n++) f->from = f->to;
	}
	return n;
}

static double quantile(const struct bucket *b, uint32_t n, double q)
{
	if (isnan(q)) return NAN;
	if (q < 0) return -INFINITY;
	if (q > 1) return INFINITY;
	if (n < 2 || !isinf(b[n - 1].bound) || b[n - 1].bound < 0) return NAN;
	double all = b[n - 1].count, rank = q * all;
	if (all == 0 || isnan(all)) return NAN;
	uint32_t i = 0, hi = n - 1;
	while (i < hi) { /* the first whose count reaches the rank; else the last */
		uint32_t mid = i + (hi - i) / 2;
		if (b[mid].count >= rank)
			hi = mid;
		else
			i = mid + 1;
	}
	if (i == n - 1) return b[n - 2].bound;
	if (i == 0 && b[0].bound <= 0) return b[0].bound;
	double start = i ? b[i - 1].bound : 0, count = b[i].count;
	if (i) {
		count -= b[i - 1].count;
		rank -= b[i - 1].count;
	}
	return start + (b[i].bound - start) * (rank / count);
}

/* How many observations lie below `x`, by straight lines within buckets. */
static double rank_of(const struct bucket *b, uint32_t n, double x)
{
	double rank = 0;
	for (uint32_t i = 0; i < n; i++) {
		double lower = i ? b[i - 1].bound : b[0].bound > 0 ? 0 : -INFINITY;
		if (lower >= x) return rank;
		if (b[i].bound > x) {
			if (isinf(lower)) return b[i].count;
			return rank + (b[i].count - rank) * (x - lower) / (b[i].bound - lower);
		}
		rank = b[i].count;
	}
	return rank;
}

static double fraction(const struct bucket *b, uint32_t n, double lower, double upper)
{
	if (!n || !isinf(b[n - 1].bound) || b[n - 1].bound < 0) return NAN;
	double all = b[n - 1].count;
	if (all == 0 || isnan(all) || isnan(lower) || isnan(upper)) return NAN;
	if (lower >= upper) return 0;
	return (fmin(rank_of(b, n, upper), all) - fmin(rank_of(b, n, lower), all)) / all;
}

static void put_time(struct hg_buf *b, int64_t ms)
{
	struct tm tm;
	char text[40];
	time_t t = (time_t)(ms / 1000);
	if (gmtime_r(&t, &tm) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm))
		hg_buf_cstr(b, text);
}

static void note_forced(struct pass *p, struct labels ls, const struct forced *f)
{
	struct hg_str name = pq_metric_name(ls);
	struct hg_buf b;
	hg_buf_init(&b, 700);
	if (name.n) {
		hg_buf_cstr(&b, " for metric name ");
		pq_quote(&b, name);
	}
	hg_buf_cstr(&b, ", from buckets ");
	pq_number_print(&b, f->low);
	hg_buf_cstr(&b, " to ");
	pq_number_print(&b, f->high);
	hg_buf_fmt(&b, ", with a max diff of %.2g, over %u samples from ", f->diff, f->n);
	put_time(&b, f->from);
	hg_buf_cstr(&b, " to ");
	put_time(&b, f->to);
	pq_note(p->ev, false, p->at,
	        "input to histogram_quantile needed to be fixed for monotonicity (see "
	        "https://prometheus.io/docs/prometheus/latest/querying/functions/"
	        "#histogram_quantile)%s",
	        hg_buf_text(&b));
	hg_buf_free(&b);
}

/* One column for each histogram; `label` names the quantile, if it is to be named. */
static bool column(struct pass *p, uint32_t h, const double *a, const double *b,
        struct hg_str label, struct pq_value *ret)
{
	bool share = p->n->u.call.fn->id == PQ_F_HISTOGRAM_FRACTION, some = false;
	struct forced forced = {.low = 1, .high = 0};
	double *v = pq_take(p->ev, p->g->n, sizeof *v);
	if (!v) return false;
	HG_ASSERT(a && (b || !share));
	for (uint32_t i = 0; i < p->g->n; i++) {
		uint32_t n = buckets_at(p, &p->h[h], i, &forced);
		v[i] = !n      ? pq_none()
		       : share ? fraction(p->bucket, n, a[i], b[i])
		               : quantile(p->bucket, n, a[i]);
		some = some || n;
	}
	if (forced.n && !share) note_forced(p, p->table.ls[h], &forced);
	if (!some) return true;
	struct pq_column *c = &ret->at[ret->n++];
	*c = (struct pq_column){p->table.ls[h], v, false};
	if (label.n) {
		struct hg_buf text;
		hg_buf_init(&text, 400);
		pq_number_print(&text, a[0]);
		struct hg_str value = hg_arena_str(p->ev->arena, hg_str(hg_buf_text(&text)));
		hg_buf_free(&text);
		if (!value.p || !pq_with(p->ev, c->ls, label, value, &c->ls)) return false;
	}
	return pq_drop_name(p->ev, c);
}

static bool quantiles(struct pass *p, struct pq_value *ret)
{
	struct pq_node *const *arg = p->n->u.call.arg;
	struct hg_str label = pq_bare(arg[1])->u.text;
	double *q;
	if (!label.n || !hg_utf8_valid(label))
		return pq_fail(p->ev, HG_E_QUERY_FAILED,
		        "invalid label name in histogram_quantiles(): %.*s",
		        (int)HG_MIN(label.n, (size_t)100), label.p ? label.p : "");
	for (uint32_t k = 2; k < p->n->u.call.n; k++) {
		if (!pq_scalar(p->ev, arg[k], p->g, &q)) return false;
		for (uint32_t i = 0; i < p->g->n; i++)
			pq_check_quantile(p->ev, arg[k], q[i]);
		for (uint32_t h = 0; h < p->table.n; h++)
			if (!column(p, h, q, q, label, ret)) return false;
	}
	return true;
}

bool pq_histogram(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	struct pass p = {.ev = ev, .n = n, .g = g};
	enum pq_fn_id id = n->u.call.fn->id;
	struct pq_node *const *arg = n->u.call.arg;
	uint32_t of = id == PQ_F_HISTOGRAM_QUANTILE ? 1 : id == PQ_F_HISTOGRAM_FRACTION ? 2 : 0;
	double *a = NULL, *b = NULL;
	p.at = arg[of];
	*ret = (struct pq_value){.type = PROMQL_VECTOR};
	if (of && !pq_scalar(ev, arg[0], g, &a)) return false;
	if (of == 2 && !pq_scalar(ev, arg[1], g, &b)) return false;
	if (!pq_eval(ev, arg[of], g, &p.in) || !gather(&p)) return false;
	ret->at = pq_take(ev, (size_t)p.table.n * (of ? 1 : n->u.call.n), sizeof *ret->at);
	if (!ret->at) return false;
	if (id == PQ_F_HISTOGRAM_QUANTILE)
		for (uint32_t i = 0; i < g->n; i++)
			pq_check_quantile(ev, arg[0], a[i]);
	if (!of) return quantiles(&p, ret) && pq_after_drop(ev, ret, g->n);
	for (uint32_t h = 0; h < p.table.n; h++)
		if (!column(&p, h, a, b, (struct hg_str){0}, ret)) return false;
	return pq_after_drop(ev, ret, g->n);
}
