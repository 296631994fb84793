#include "math/outlier.h"

#include <math.h>

#define PPM    1e6
#define CHANCE 1e-6  /* of a look at a replica that is as good as the others */
#define SLOW_S 0.005 /* below that, times are the machine's */

/* What the others did together: sums over all, from which one's own part is taken away. */
struct sums {
	double n, bad;
	uint64_t bucket[OUTLIER_BUCKETS];
};

static double answers(const struct outlier_seen *s)
{
	double n = 0;
	for (uint32_t i = 0; i < OUTLIER_BUCKETS; i++)
		n += s->bucket[i];
	return n;
}

static double total(const struct outlier_seen *s)
{
	return answers(s) + s->failures;
}

static double bad(const struct outlier_seen *s)
{
	return (double)s->failures + s->errors;
}

static void add(struct sums *to, const struct outlier_seen *s, int sign)
{
	to->n += sign * total(s);
	to->bad += sign * bad(s);
	for (uint32_t i = 0; i < OUTLIER_BUCKETS; i++)
		to->bucket[i] += (uint64_t)((int64_t)sign * s->bucket[i]);
}

/* Straight within a bucket; −1: there are none. */
static double median(const uint64_t *bucket, const double *bounds)
{
	uint64_t n = 0, below = 0;
	for (uint32_t i = 0; i < OUTLIER_BUCKETS; i++)
		n += bucket[i];
	if (n == 0) return -1;
	double rank = (double)n / 2;
	for (uint32_t i = 0; i < OUTLIER_BUCKETS; i++) {
		if ((double)(below + bucket[i]) < rank || bucket[i] == 0) {
			below += bucket[i];
			continue;
		}
		double low = i ? bounds[i - 1] : 0;
		if (i == OUTLIER_BUCKETS - 1) return low;
		return low + (bounds[i] - low) * (rank - (double)below) / (double)bucket[i];
	}
	return -1;
}

static double log_choose(double n, double k)
{
	int sign; /* lgamma alone writes it to memory that threads share */
	return lgamma_r(n + 1, &sign) - lgamma_r(k + 1, &sign) - lgamma_r(n - k + 1, &sign);
}

/*
 * Fisher's exact test: if all had the same chance to fail, how likely would one with n of `all`
 * requests have at least x of the `bad` failures? Exact for small numbers too, where a normal
 * distribution calls two failures of twenty a proof. Terms fall at least by half from twice the
 * mean on, which is where it is asked: 64 of them are the sum.
 */
static double chance(double x, double n, double bad_all, double all)
{
	double most = HG_MIN(n, bad_all), sum = 0;
	double whole = log_choose(all, bad_all);
	for (int i = 0; i < 64 && x <= most; i++, x += 1)
		sum += exp(log_choose(n, x) + log_choose(all - n, bad_all - x) - whole);
	return sum;
}

/* How bad: 0: not. */
static double fails(
        const struct outlier_rules *r, const struct sums *others, const struct outlier_seen *s)
{
	double n = total(s), b = bad(s);
	if (r->errors_ppm == 0 || n < r->min_requests || others->n < r->min_requests) return 0;
	double own = b / n, theirs = others->bad / others->n, above = own - theirs;
	/* Where all fail, one that fails somewhat more is not what is wrong. */
	if (above < r->errors_ppm / PPM || own < 2 * theirs) return 0;
	return chance(b, n, b + others->bad, n + others->n) < CHANCE ? 1 + above : 0;
}

static double slow(
        const struct outlier_rules *r, const struct sums *others, const struct outlier_seen *s)
{
	uint64_t bucket[OUTLIER_BUCKETS];
	double there = 0;
	if (r->slower_ppm == 0 || answers(s) < r->min_requests) return 0;
	for (uint32_t i = 0; i < OUTLIER_BUCKETS; i++) {
		bucket[i] = s->bucket[i];
		there += (double)others->bucket[i];
	}
	if (there < r->min_requests) return 0;
	double own = median(bucket, r->bounds), theirs = median(others->bucket, r->bounds);
	bool is = own >= theirs * (r->slower_ppm / PPM) && own - theirs >= SLOW_S;
	return is ? 1 - 1 / (own / theirs) : 0; /* below any that fails */
}

bool outlier_room(uint32_t count, uint32_t out, uint32_t max_ppm)
{
	uint64_t most = (uint64_t)count * max_ppm / 1000000u;
	if (max_ppm && most == 0) most = 1;
	return out < most && out + 1 < count;
}

static double look(const struct outlier_rules *rules, const struct sums *all,
        const struct outlier_seen *s, enum outlier_verdict *ret_verdict)
{
	struct sums others = *all;
	add(&others, s, -1);
	double how = fails(rules, &others, s);
	*ret_verdict = OUTLIER_FAILS;
	if (how > 0) return how;
	*ret_verdict = OUTLIER_SLOW;
	return slow(rules, &others, s);
}

void outlier_decide(const struct outlier_rules *rules, const struct outlier_seen *seen,
        uint32_t count, uint8_t *ret_verdict)
{
	uint32_t out = 0;
	struct sums all = {0};
	for (uint32_t i = 0; i < count; i++) {
		ret_verdict[i] = OUTLIER_FINE;
		out += seen[i].out;
		if (!seen[i].out) add(&all, &seen[i], 1);
	}
	/* One at a time, the worst first: without it the others may look different. */
	while (outlier_room(count, out, rules->max_ppm)) {
		double worst = 0;
		uint32_t at = 0;
		enum outlier_verdict why = OUTLIER_FINE, verdict;
		for (uint32_t i = 0; i < count; i++) {
			if (seen[i].out || ret_verdict[i] != OUTLIER_FINE) continue;
			double how = look(rules, &all, &seen[i], &verdict);
			if (how <= worst) continue;
			worst = how;
			at = i;
			why = verdict;
		}
		if (why == OUTLIER_FINE) return;
		ret_verdict[at] = (uint8_t)why;
		add(&all, &seen[at], -1);
		out++;
	}
}

uint64_t outlier_for_ms(uint32_t eject_ms, uint32_t times)
{
	return (uint64_t)eject_ms * HG_MIN(HG_MAX(times, 1u), OUTLIER_BACKOFF);
}
