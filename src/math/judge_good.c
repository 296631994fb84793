#include "math/judge_priv.h"

#include <math.h>

#define INTERVAL_ALPHA 0.05
#define GOOD_E         20
#define GOOD_BAD       10 /* a step may not pass while E_bad is there */
#define GOOD_REQUESTS  200
#define HORIZON        1e13 /* requests; a plan looks no further */
#define COUNTS         512  /* failures a plan counts one by one */

static const double ratio[JUDGE_TERMS] = {1.25, 1.5, 2, 3, 5, 10, 30, 100};

/* Log ratios of the mirrored rule: the rate is p0 divided by the ratio. */
static void terms_good(double p0, double a[JUDGE_TERMS], double b[JUDGE_TERMS])
{
	for (int k = 0; k < JUDGE_TERMS; k++) {
		a[k] = -log(ratio[k]);
		b[k] = log1p(-p0 / ratio[k]) - log1p(-p0);
	}
}

/* Evidence that a rate is below p0, from x of n. */
static double e_below(double x, double n, double p0)
{
	double a[JUDGE_TERMS], b[JUDGE_TERMS];
	terms_good(p0, a, b);
	return judge_mean(NULL, a, b, x, n - x, INFINITY);
}

static double e_above(double x, double n, double p0)
{
	double a[JUDGE_TERMS], b[JUDGE_TERMS];
	judge_terms_absolute(p0, a, b);
	return judge_mean(NULL, a, b, x, n - x, INFINITY);
}

/* Where e(p) - 1/alpha changes sign between a rate at which the evidence is too weak and one at
 * which it is enough; the side of `weak` is returned by no more than the last step. */
static double edge_of(double (*e)(double x, double n, double p0), double x, double n, double alpha,
        double weak, double strong)
{
	for (int i = 0; i < 60; i++) {
		double middle = (weak + strong) / 2;
		if (e(x, n, middle) >= 1 / alpha)
			strong = middle;
		else
			weak = middle;
	}
	return strong;
}

double judge_upper(uint64_t x, uint64_t n, double alpha)
{
	if (x >= n || !(alpha > 0)) return 1;
	return edge_of(e_below, (double)x, (double)n, alpha, (double)x / (double)n, 1);
}

double judge_lower(uint64_t x, uint64_t n, double alpha)
{
	if (x == 0 || n == 0 || !(alpha > 0)) return 0;
	if (x > n) x = n;
	/* Below the observed rate the evidence only grows as p0 falls. */
	return edge_of(e_above, (double)x, (double)n, alpha,
	        HG_MIN((double)x / (double)n, JUDGE_P_MAX), 0);
}

static struct judge_rate rate_of(uint64_t x, uint64_t n)
{
	if (n < x) n = x;
	return (struct judge_rate){
	        .x = x,
	        .n = n,
	        .rate = n ? (double)x / (double)n : 0,
	        .lower = judge_lower(x, n, INTERVAL_ALPHA / 2),
	        .upper = judge_upper(x, n, INTERVAL_ALPHA / 2),
	};
}

void judge_report(const struct judge *j, const struct judge_evidence *now, struct judge_report *ret)
{
	static const double of_bad[] = {0.4, 0.2, 0.2, 0.2};
	const struct judge_lens *l = &j->lens;
	*ret = (struct judge_report){.threshold = l->threshold, .above_p0 = j->above_p0};
	ret->verdict = judge_decide(l, now, &ret->e);
	for (unsigned m = 0; m < JUDGE_METRICS; m++) {
		ret->weight[m] = l->metric[m].weight;
		ret->count[m] = now->count[m];
		ret->e_metric[m] = ret->weight[m] > 0 ? judge_lens_e(l, now, m) : 1;
		ret->gate[m] = ret->weight[m] > 0 && judge_lens_gate(l, now, m, true);
	}
	for (unsigned m = 0; m < HG_COUNT(of_bad); m++)
		ret->e_bad += of_bad[m] * ret->e_metric[m];
	for (unsigned i = 0; i < JUDGE_ABSOLUTE; i++)
		ret->e_old[i] = ret->weight[JUDGE_RULE_ERROR_RATE + i] > 0
		                        ? judge_lens_e_old(l, now, i)
		                        : 1;
	for (unsigned i = 0; i < JUDGE_ABSOLUTE; i++)
		ret->worse_now[i] = judge_lens_worse_now(l, now, JUDGE_RULE_ERROR_RATE + i);
	ret->count[JUDGE_RULE_ERROR_RATE] = now->count[JUDGE_ERRORS];
	ret->count[JUDGE_RULE_ERROR_ABOVE] = now->count[JUDGE_ERRORS];
	ret->rate_new = rate_of(now->count[JUDGE_ERRORS].c, now->n_new);
	ret->rate_old = rate_of(now->count[JUDGE_ERRORS].s, now->n_old);
	/* Were the bound too low, passing would only be harder: no part of alpha is needed. */
	double upper = judge_upper(ret->rate_old.x, ret->rate_old.n, INTERVAL_ALPHA);
	ret->good_p0 = HG_MIN(0.05, HG_MAX(0.01, upper + 0.01));
	ret->e_good = e_below((double)ret->rate_new.x, (double)ret->rate_new.n, ret->good_p0);
	ret->good =
	        ret->e_good >= GOOD_E && ret->e_bad < GOOD_BAD && ret->rate_new.n >= GOOD_REQUESTS;
}

/* ---- for `plan` ---- */

/* The weighted mean after n requests that fail exactly as often as expected. */
static double mean_path(const struct judge *j, double n, double rate_old, double rate_new)
{
	const struct judge_lens *l = &j->lens;
	double c = n * j->w * rate_new, s = n * (1 - j->w) * rate_old, sum = 0;
	for (unsigned m = 0; m < JUDGE_METRICS; m++) {
		const struct judge_lens_metric *x = &l->metric[m];
		double e = 1;
		if (m == JUDGE_ERRORS)
			e = l->rest + judge_mean(x->m, x->a, x->b, c, s, INFINITY);
		else if (m == JUDGE_RULE_ERROR_RATE)
			e = l->rest + judge_mean(x->m, x->a, x->b, c, n * j->w - c, INFINITY);
		sum += x->weight > 0 ? x->weight * e : 0;
	}
	return sum;
}

double judge_detects(const struct judge_rules *rules, double w, double rate_old, double rate_new)
{
	struct judge j;
	judge_init(&j, rules);
	judge_epoch(&j, w, NULL);
	if (!(j.w > 0) || !(rate_old >= 0 && rate_old <= 1) || !(rate_new > 0 && rate_new <= 1) ||
	        rate_new - rate_old < j.lens.gate_difference)
		return INFINITY;
	double few = 0, many = 1;
	while (mean_path(&j, many, rate_old, rate_new) < j.lens.threshold) {
		few = many;
		many *= 2;
		if (many > HORIZON) return INFINITY;
	}
	for (int i = 0; i < 50; i++) {
		double middle = (few + many) / 2;
		if (mean_path(&j, middle, rate_old, rate_new) < j.lens.threshold)
			few = middle;
		else
			many = middle;
	}
	/* It is crossed at a failure of the new release, so at a whole number of them. */
	double failures = HG_MAX(ceil(many * j.w * rate_new), (double)j.lens.gate_count);
	return failures / (j.w * rate_new);
}

/* Requests after which x failures among them prove it, GOOD_REQUESTS at least. */
static double proven_at(double x, double share, double p0)
{
	double few = x, many = HG_MAX(GOOD_REQUESTS, x);
	/* `share`: of failures beyond x, for a path on which they grow with n. */
	while (e_below(x + share * many, many, p0) < GOOD_E) {
		few = many;
		many *= 2;
		if (many > HORIZON) return INFINITY;
	}
	for (int i = 0; i < 50 && many > GOOD_REQUESTS; i++) {
		double middle = (few + many) / 2;
		if (e_below(x + share * middle, middle, p0) < GOOD_E)
			few = middle;
		else
			many = middle;
	}
	return HG_MAX(many, GOOD_REQUESTS);
}

/* Adds a number of failures with mean `mean` (Poisson) to their distribution. */
static void more_failures(double p[COUNTS], int from, double mean)
{
	for (int i = COUNTS - 1; i >= from; i--) {
		double sum = 0, chance = exp(-mean);
		for (int k = 0; i - k >= from; k++) {
			sum += p[i - k] * chance;
			chance *= mean / (k + 1);
		}
		p[i] = sum;
	}
}

/*
 * Proven with x failures at n_x, if there are no more by then: the chance of each number that is
 * still waiting is carried from n_0 to n_1 and so on. Where rate and p0 are so close that
 * hundreds of failures are needed, chance matters little and the expected path is followed.
 */
double judge_proves(double rate, double p0)
{
	double p[COUNTS] = {1}, waiting = 1, mean = 0, at = 0;
	if (!(rate >= 0) || !(p0 > 0 && p0 < 1) || rate >= p0) return INFINITY;
	double straight = proven_at(0, rate, p0);
	if (2 * straight * rate > COUNTS) return straight;
	for (int x = 0; x < COUNTS && waiting > 1e-3; x++) {
		double n = proven_at(x, 0, p0);
		more_failures(p, x, rate * (n - at));
		mean += n * p[x];
		waiting -= p[x];
		p[x] = 0;
		at = n;
	}
	return mean + HG_MAX(waiting, 0) * at;
}
