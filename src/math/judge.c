#include "math/judge_priv.h"

#include <math.h>

#define GATE_COUNT      3
#define TICK_SHARE      0.5 /* so many of a tick's slow moments may be the new release's */
#define GATE_DIFFERENCE 0.002
/* E of the old release. A wrong pause is cheaper than a wrong verdict. */
#define OLD_BREAKS_TOO 20
/* So much says a comparison before a rule blames the new release. */
#define WORSE_NOW 20
/* The upper bound behind error_rate_above_stable may be wrong with this part of alpha; the
 * threshold is raised by as much, so that both together keep alpha. */
#define BOUND_PART 0.05

static const double worse[JUDGE_TERMS] = {1.5, 2, 3, 5, 10, 30, 100, 1000};
static const double above[JUDGE_TERMS] = {1.25, 1.5, 2, 3, 5, 10, 30, 100};
static const double of_bad[] = {0.4, 0.2, 0.2, 0.2};

static const char *const names[JUDGE_METRICS] = {
        [JUDGE_ERRORS] = "errors",
        [JUDGE_P50] = "p50",
        [JUDGE_P95] = "p95",
        [JUDGE_P99] = "p99",
        [JUDGE_RULE_ERROR_RATE] = "error_rate",
        [JUDGE_RULE_P95] = "p95_limit",
        [JUDGE_RULE_ERROR_ABOVE] = "error_rate_above_stable",
        [JUDGE_RULE_P95_RATIO] = "p95_vs_stable",
};

const char *judge_metric_name(enum judge_metric m)
{
	return (unsigned)m < JUDGE_METRICS ? names[m] : "unknown";
}

static bool is_latency(unsigned m)
{
	return (m >= JUDGE_P50 && m <= JUDGE_P99) || m == JUDGE_RULE_P95_RATIO;
}

static bool is_absolute(unsigned m)
{
	return m >= JUDGE_RULE_ERROR_RATE && m < JUDGE_RULE_ERROR_RATE + JUDGE_ABSOLUTE;
}

uint64_t judge_slow_new_ns(uint64_t old_ns, double tolerance)
{
	if (!old_ns) return 0; /* not known: nothing counts as slow */
	return HG_MAX((uint64_t)((double)old_ns * tolerance), old_ns + JUDGE_SLOWER_LEAST_NS);
}

/* ---- the mixtures ---- */

void judge_terms_relative(double w, double tolerance, double a[JUDGE_TERMS], double b[JUDGE_TERMS])
{
	bool apart = w > 0 && w < 1;
	for (int k = 0; k < JUDGE_TERMS; k++) {
		double null = w * tolerance + 1 - w;
		double alternative = w * tolerance * worse[k] + 1 - w;
		b[k] = apart ? log(null / alternative) : 0;
		a[k] = apart ? log(worse[k]) + b[k] : 0;
	}
}

void judge_terms_absolute(double p0, double a[JUDGE_TERMS], double b[JUDGE_TERMS])
{
	bool possible = p0 > 0 && p0 < JUDGE_P_MAX;
	for (int k = 0; k < JUDGE_TERMS; k++) {
		double p = HG_MIN(p0 * above[k], JUDGE_P_MAX);
		a[k] = possible ? log(p / p0) : 0;
		b[k] = possible ? log1p(-p) - log1p(-p0) : 0;
	}
}

void judge_terms(struct judge *j)
{
	const double limit[JUDGE_ABSOLUTE] = {j->rules.error_rate, JUDGE_RULE_SLOW, j->above_p0};
	j->lens.most = j->w > 0 && j->w < 1 ? -log(HG_MAX(j->w, TICK_SHARE)) : 0;
	for (unsigned m = 0; m < JUDGE_METRICS; m++) {
		struct judge_lens_metric *x = &j->lens.metric[m];
		if (is_absolute(m))
			judge_terms_absolute(limit[m - JUDGE_RULE_ERROR_RATE], x->a, x->b);
		else
			/* Of latency the edge applies the tolerance, to the limit itself. */
			judge_terms_relative(j->w,
			        m == JUDGE_ERRORS ? j->rules.tolerance_errors : 1, x->a, x->b);
	}
}

/* In this order NaN stays NaN. */
static double ratio_of(double a, double b, double x, double y, double most)
{
	double r = a * x + b * y;
	return r > most ? most : r;
}

double judge_mean(
        const double *m, const double *a, const double *b, double x, double y, double most)
{
	double sum = 0;
	for (int k = 0; k < JUDGE_TERMS; k++) {
		double e = (m ? m[k] : 0) + ratio_of(a[k], b[k], x, y, most);
		sum += exp(e > 690 ? 690 : e); /* in this order NaN stays NaN, which is never bad */
	}
	sum /= JUDGE_TERMS;
	return sum > JUDGE_E_MAX ? JUDGE_E_MAX : sum;
}

/* ---- counters ---- */

/* What one metric saw: c of the new release beside y, which for comparison is s, and for an
 * absolute rule the requests that did well; x_old and y_old for the old release under the rule. No
 * more than `most` is concluded from x and y. */
struct seen {
	double x, y, x_old, y_old, most;
};

static double since(uint64_t now, uint64_t then)
{
	return now > then ? (double)(now - then) : 0;
}

static struct judge_count count_of(const struct judge_evidence *e, unsigned m)
{
	bool errors = m == JUDGE_RULE_ERROR_RATE || m == JUDGE_RULE_ERROR_ABOVE;
	return e->count[errors ? JUDGE_ERRORS : m];
}

/* A damaged or late counter may go backwards: it then counts as still, or old responses that
 * never were would condemn the new release. */
static struct seen seen_since(const struct judge_lens *l, const struct judge_evidence *now,
        const struct judge_evidence *then, unsigned m)
{
	struct judge_count n = count_of(now, m), t = count_of(then, m);
	double c = since(n.c, t.c), s = since(n.s, t.s);
	/* A single one is no cluster. Counted by itself: a request may be known in one tick and be
	 * too slow for the next limit in another. */
	bool limited = is_latency(m) && c > 1;
	double most = limited ? l->most : INFINITY;
	if (!is_absolute(m)) return (struct seen){.x = c, .y = s, .most = most};
	double well = since(now->n_new, then->n_new) - c,
	       well_old = since(now->n_old, then->n_old) - s;
	return (struct seen){.x = c,
	        .y = HG_MAX(well, 0),
	        .x_old = s,
	        .y_old = HG_MAX(well_old, 0),
	        .most = most};
}

static void add(double *m, const struct judge_lens_metric *x, double c, double y, double most)
{
	for (int k = 0; k < JUDGE_TERMS; k++) {
		double r = m[k] + ratio_of(x->a[k], x->b[k], c, y, most);
		m[k] = fmin(fmax(r, -JUDGE_M_MAX), JUDGE_M_MAX);
	}
}

static void take_in(struct judge_lens *l, unsigned m, struct seen s)
{
	struct judge_lens_metric *x = &l->metric[m];
	add(x->m, x, s.x, s.y, s.most);
	if (is_absolute(m)) add(l->old[m - JUDGE_RULE_ERROR_RATE], x, s.x_old, s.y_old, INFINITY);
}

/* Errors are compared by the terms of JUDGE_ERRORS, the limit of p95 by those of latency. */
static const struct judge_lens_metric *compared_by(const struct judge_lens *l, unsigned kind)
{
	return &l->metric[kind == 0 ? JUDGE_ERRORS : JUDGE_P95];
}

static struct judge_count of_kind(
        const struct judge_evidence *now, const struct judge_evidence *then, unsigned kind)
{
	unsigned m = kind == 0 ? JUDGE_ERRORS : JUDGE_RULE_P95;
	struct judge_count n = now->count[m], t = then->count[m];
	return (struct judge_count){n.c > t.c ? n.c - t.c : 0, n.s > t.s ? n.s - t.s : 0};
}

/* As Page's sum: what speaks against an alternative is forgotten at each tick. */
static void compare_now(struct judge_lens *l, const struct judge_evidence *now)
{
	for (unsigned i = 0; i < JUDGE_BY_LIMIT; i++) {
		const struct judge_lens_metric *x = compared_by(l, i);
		struct judge_count n = of_kind(now, &l->seen, i);
		add(l->now[i], x, n.c, n.s, INFINITY);
		for (int k = 0; k < JUDGE_TERMS; k++)
			l->now[i][k] = HG_MAX(l->now[i][k], 0);
	}
}

/* All metrics up to `now`, which becomes the mark. */
static void take_in_all(struct judge_lens *l, const struct judge_evidence *now)
{
	compare_now(l, now);
	for (unsigned m = 0; m < JUDGE_METRICS; m++)
		take_in(l, m, seen_since(l, now, &l->seen, m));
	for (unsigned m = 0; m < JUDGE_METRICS; m++) {
		l->seen.count[m].c = HG_MAX(l->seen.count[m].c, now->count[m].c);
		l->seen.count[m].s = HG_MAX(l->seen.count[m].s, now->count[m].s);
	}
	l->seen.n_new = HG_MAX(l->seen.n_new, now->n_new);
	l->seen.n_old = HG_MAX(l->seen.n_old, now->n_old);
}

/* ---- the life of a rollout ---- */

/* NaN fails every comparison and so becomes the default. */
static double within(double x, double low, double high, double otherwise)
{
	return x >= low && x <= high ? x : otherwise;
}

struct judge_rules judge_rules_understood(const struct judge_rules *r)
{
	return (struct judge_rules){
	        .alpha = within(r->alpha, 1e-12, 0.5, 0.001),
	        .tolerance_errors = within(r->tolerance_errors, 1, 1000, 1),
	        .tolerance_latency = within(r->tolerance_latency, 1, 1000, 1.2),
	        .error_rate = within(r->error_rate, 1e-9, 0.9, 0),
	        .error_above = within(r->error_above, 1e-9, 0.9, 0),
	        .p95_ratio = r->p95_ratio > 1 && r->p95_ratio < 1e9 ? r->p95_ratio : 0,
	        .p95 = r->p95,
	};
}

static void weigh(struct judge *j)
{
	const struct judge_rules *r = &j->rules;
	const bool on[] = {r->error_rate > 0, r->p95, r->error_above > 0, r->p95_ratio > 0};
	struct judge_lens_metric *x = j->lens.metric;
	unsigned rules = 0;
	for (unsigned i = 0; i < HG_COUNT(on); i++)
		rules += on[i];
	for (unsigned i = 0; i < HG_COUNT(of_bad); i++)
		x[i].weight = of_bad[i] * (rules ? 0.5 : 1);
	for (unsigned i = 0; i < HG_COUNT(on); i++)
		x[JUDGE_RULE_ERROR_RATE + i].weight = on[i] ? 0.5 / rules : 0;
	j->lens.threshold = 1 / (r->error_above > 0 ? r->alpha * (1 - BOUND_PART) : r->alpha);
}

void judge_init(struct judge *j, const struct judge_rules *rules)
{
	*j = (struct judge){.rules = judge_rules_understood(rules), .above_p0 = 1};
	j->lens.rest = 0.5;
	j->lens.gate_count = GATE_COUNT;
	j->lens.gate_difference = GATE_DIFFERENCE;
	for (unsigned k = 0; k < JUDGE_TERMS; k++) {
		for (unsigned m = 0; m < JUDGE_METRICS; m++)
			j->lens.metric[m].m[k] = log(0.5);
		for (unsigned i = 0; i < JUDGE_ABSOLUTE; i++)
			j->lens.old[i][k] = log(0.5);
	}
	weigh(j);
	judge_terms(j);
}

static double log_of_sum(double a, double b)
{
	double high = HG_MAX(a, b), low = HG_MIN(a, b);
	return high + log1p(exp(low - high));
}

/* A part of `rest` becomes a start from here, with a product of 1. */
static void start_again(struct judge_lens *l, double v)
{
	double log_v = log(v);
	l->rest = HG_MAX(l->rest - v, 0);
	for (unsigned k = 0; k < JUDGE_TERMS; k++) {
		for (unsigned m = 0; m < JUDGE_METRICS; m++)
			l->metric[m].m[k] = log_of_sum(l->metric[m].m[k], log_v);
		for (unsigned i = 0; i < JUDGE_ABSOLUTE; i++)
			l->old[i][k] = log_of_sum(l->old[i][k], log_v);
	}
}

/* v_j, which sum up to 1. */
static double share_of_number(uint32_t number)
{
	return 6 / (M_PI * M_PI * (double)number * (double)number);
}

static void look_point(struct judge *j)
{
	if (j->looks < UINT32_MAX) start_again(&j->lens, share_of_number(++j->looks) / 4);
}

/* Their weights fall slowly, since there are many: 1/(n ln^2 n) over n >= 2 adds up to 2.1098. */
static void tick_point(struct judge *j)
{
	if (j->ticks == UINT32_MAX) return;
	double n = (double)++j->ticks + 1, l = log(n);
	start_again(&j->lens, 0.473 / (n * l * l) / 4);
}

static bool is_same(const struct judge_evidence *a, const struct judge_evidence *b)
{
	bool same = a->n_new == b->n_new && a->n_old == b->n_old;
	for (unsigned m = 0; m < JUDGE_METRICS; m++)
		same = same && a->count[m].c == b->count[m].c && a->count[m].s == b->count[m].s;
	return same;
}

void judge_epoch(struct judge *j, double w, const struct judge_evidence *last)
{
	if (last) take_in_all(&j->lens, last);
	look_point(j);
	if (j->epochs < UINT32_MAX) j->epochs++;
	j->lens.seen = j->lens.look = (struct judge_evidence){0};
	j->w = within(w, 0, 1, 0);
	j->above_p0 = 1;
	judge_terms(j);
}

/* The limit is a function of what was counted before it is used: so the product stays an
 * e-process although the limit moves. Each epoch has its part of the bound's alpha. */
static void set_above(struct judge *j)
{
	if (!(j->rules.error_above > 0)) return;
	const struct judge_evidence *e = &j->lens.seen;
	double part = j->rules.alpha * BOUND_PART * share_of_number(HG_MAX(j->epochs, 1));
	j->above_p0 = judge_upper(e->count[JUDGE_ERRORS].s, e->n_old, part) + j->rules.error_above;
	if (!(j->above_p0 < JUDGE_P_MAX)) j->above_p0 = 1;
	struct judge_lens_metric *x = &j->lens.metric[JUDGE_RULE_ERROR_ABOVE];
	judge_terms_absolute(j->above_p0, x->a, x->b);
}

void judge_tune(struct judge *j, const struct judge_evidence *now)
{
	struct judge_evidence before = j->lens.seen;
	take_in_all(&j->lens, now);
	if (is_same(&before, &j->lens.seen)) return;
	tick_point(j);
	set_above(j);
}

void judge_look(struct judge *j, const struct judge_evidence *now)
{
	take_in_all(&j->lens, now);
	look_point(j);
	set_above(j);
	j->lens.look = j->lens.seen;
}

void judge_fold(struct judge *j, double w, const struct judge_evidence *late)
{
	const struct judge_evidence none = {0};
	struct judge then = *j;
	then.w = within(w, 0, 1, 0);
	then.above_p0 = 1;
	judge_terms(&then);
	for (unsigned m = 0; m < JUDGE_METRICS; m++)
		take_in(&then.lens, m, seen_since(&then.lens, late, &none, m));
	for (unsigned m = 0; m < JUDGE_METRICS; m++)
		for (unsigned k = 0; k < JUDGE_TERMS; k++)
			j->lens.metric[m].m[k] = then.lens.metric[m].m[k];
	for (unsigned i = 0; i < JUDGE_ABSOLUTE; i++)
		for (unsigned k = 0; k < JUDGE_TERMS; k++)
			j->lens.old[i][k] = then.lens.old[i][k];
}

/* ---- the verdict ---- */

double judge_lens_e(const struct judge_lens *l, const struct judge_evidence *now, unsigned m)
{
	const struct judge_lens_metric *x = &l->metric[m];
	struct seen s = seen_since(l, now, &l->seen, m);
	return l->rest + judge_mean(x->m, x->a, x->b, s.x, s.y, s.most);
}

double judge_lens_e_old(const struct judge_lens *l, const struct judge_evidence *now, unsigned i)
{
	unsigned m = JUDGE_RULE_ERROR_RATE + i;
	struct seen s = seen_since(l, now, &l->seen, m);
	const struct judge_lens_metric *x = &l->metric[m];
	return l->rest + judge_mean(l->old[i], x->a, x->b, s.x_old, s.y_old, INFINITY);
}

/* Enough events of the new release since `then`; with `apart`, a large enough difference too. */
static bool gate_since(const struct judge_lens *l, const struct judge_evidence *now,
        const struct judge_evidence *then, unsigned m, bool apart)
{
	struct judge_count n = count_of(now, m), t = count_of(then, m);
	double c = since(n.c, t.c), s = since(n.s, t.s);
	if (c < (double)l->gate_count) return false;
	if (!apart) return true;
	double all = since(now->n_new, then->n_new), all_old = since(now->n_old, then->n_old);
	return c / HG_MAX(all, HG_MAX(c, 1)) - s / HG_MAX(all_old, HG_MAX(s, 1)) >=
	       l->gate_difference;
}

bool judge_lens_gate(
        const struct judge_lens *l, const struct judge_evidence *now, unsigned m, bool apart)
{
	const struct judge_evidence none = {0};
	return gate_since(l, now, &none, m, apart) || gate_since(l, now, &l->look, m, apart) ||
	       gate_since(l, now, &l->seen, m, apart);
}

bool judge_lens_worse_now(const struct judge_lens *l, const struct judge_evidence *now, unsigned m)
{
	unsigned kind = m == JUDGE_RULE_P95 ? 1 : 0;
	const struct judge_lens_metric *x = compared_by(l, kind);
	struct judge_count n = of_kind(now, &l->seen, kind);
	/* Without traffic on both sides there is nobody to compare with. */
	if (!(x->a[0] > 0)) return true;
	return judge_mean(l->now[kind], x->a, x->b, n.c, n.s, INFINITY) >= WORSE_NOW;
}

/* The mean has crossed: is it for metrics whose gate holds, and the new release's alone? */
static enum judge_verdict weigh_up(
        const struct judge_lens *l, const struct judge_evidence *now, const double e[JUDGE_METRICS])
{
	double bad = 0, both = 0, unknown = 0; /* by whom it is broken */
	for (unsigned m = 0; m < JUDGE_METRICS; m++) {
		double part = l->metric[m].weight * e[m];
		if (!(l->metric[m].weight > 0)) continue;
		bool apart = judge_lens_gate(l, now, m, true);
		if (!is_absolute(m)) {
			bad += apart ? part : 0;
			continue;
		}
		if (!judge_lens_gate(l, now, m, false)) continue;
		if (judge_lens_e_old(l, now, m - JUDGE_RULE_ERROR_RATE) >= OLD_BREAKS_TOO)
			both += part;
		else if (apart && judge_lens_worse_now(l, now, m))
			bad += part;
		else
			unknown += part;
	}
	if (bad >= l->threshold) return JUDGE_BAD;
	if (bad + both >= l->threshold) return JUDGE_SHARED;
	/* A rule that is broken beyond doubt does not wait for somebody to blame. */
	bool plain = bad + both + unknown >= l->threshold * l->threshold;
	return plain ? JUDGE_SHARED : JUDGE_NOT_YET;
}

/* No mean is above its largest term: one exp a metric where the mean takes eight. */
static bool cannot_be(const struct judge_lens *l, const struct judge_evidence *now)
{
	double most = 0;
	for (unsigned m = 0; m < JUDGE_METRICS; m++) {
		const struct judge_lens_metric *x = &l->metric[m];
		if (!(x->weight > 0)) continue;
		struct seen s = seen_since(l, now, &l->seen, m);
		double e = x->m[0] + ratio_of(x->a[0], x->b[0], s.x, s.y, s.most);
		for (int k = 1; k < JUDGE_TERMS; k++) {
			double f = x->m[k] + ratio_of(x->a[k], x->b[k], s.x, s.y, s.most);
			e = f > e ? f : e;
		}
		most += x->weight * (l->rest + exp(e));
	}
	return most < l->threshold;
}

enum judge_verdict judge_decide(
        const struct judge_lens *lens, const struct judge_evidence *now, double *ret_e)
{
	double e[JUDGE_METRICS] = {0}, mean = 0;
	if (!ret_e && cannot_be(lens, now)) return JUDGE_NOT_YET;
	for (unsigned m = 0; m < JUDGE_METRICS; m++) {
		if (!(lens->metric[m].weight > 0)) continue;
		e[m] = judge_lens_e(lens, now, m);
		mean += lens->metric[m].weight * e[m];
	}
	/* A lens of zeros or of rubbish decides nothing. */
	if (!(mean >= 0)) mean = 0;
	if (mean > JUDGE_E_MAX) mean = JUDGE_E_MAX;
	if (ret_e) *ret_e = mean;
	if (!(lens->threshold > 1) || mean < lens->threshold) return JUDGE_NOT_YET;
	return weigh_up(lens, now, e);
}
