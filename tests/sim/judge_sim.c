/*
 * The judge's figures by simulation, beside those of its specification: how often a good release
 * is condemned, how fast a bad one is found, and what a plan foretells. Each figure must agree
 * within the sampling error of both simulations (4 standard errors); seeded, so that a failure
 * repeats.
 *
 * usage: judge_sim short|long    (long: as many runs as the specification's figures had)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "math/judge.h"

#define NEVER    100000000u
#define RUNS_MAX 100000
#define TICK     100u   /* requests: a tenth of a second at 1,000 a second */
#define MINUTE   60000u /* requests */

static const struct judge_rules alone = {.alpha = 0.001};
static const struct judge_rules two = {.alpha = 0.001, .error_rate = 0.05, .error_above = 0.03};
static const struct judge_rules two_p95 = {.alpha = 0.001, .error_rate = 0.05, .p95 = true};

struct world {
	double w, old_rate, new_rate, old_slow, new_slow; /* slow: share over tau_95 */
	bool latency;                                     /* draw it; else errors only */
	bool ticks;                                       /* control ticks and looks */
};

struct sim {
	struct hg_rand rand;
	bool is_long;
	unsigned rows, wrong;
	double sample[RUNS_MAX], failures[RUNS_MAX];
};

static unsigned runs_of(const struct sim *s, unsigned few, unsigned many)
{
	return s->is_long ? many : few;
}

static void row(struct sim *s, bool ok, const char *what, const char *want, const char *have)
{
	s->rows++;
	s->wrong += !ok;
	printf("%s | %-58s | %-18s | %s\n", ok ? "ok " : "BAD", what, want, have);
	fflush(stdout);
}

/* ---- random counts ---- */

/* Requests until the next event of probability p, itself included. */
static uint64_t gap(struct hg_rand *r, double p)
{
	if (p >= 1) return 1;
	if (p <= 0) return NEVER;
	double g = floor(log1p(-hg_rand_unit(r)) / log1p(-p)) + 1;
	return g < NEVER ? (uint64_t)g : NEVER;
}

/* Binomial: exact by gaps while events are few, then normal. It only makes a healthy past. */
static uint32_t binomial(struct hg_rand *r, uint32_t n, double p)
{
	double mean = n * p, sd = sqrt(mean * (1 - p));
	if (sd < 6 && p < 0.5) {
		uint32_t x = 0;
		for (uint64_t at = gap(r, p); at <= n; at += gap(r, p))
			x++;
		return x;
	}
	double z = sqrt(-2 * log1p(-hg_rand_unit(r))) * cos(2 * M_PI * hg_rand_unit(r));
	return (uint32_t)fmin(fmax(mean + sd * z + 0.5, 0), n);
}

/* ---- worlds ---- */

/* The process of the papers: one start, these weights, no gate unless told. */
static struct judge bare(double w, const double weight[JUDGE_METRICS], double p0, bool gate)
{
	struct judge j;
	judge_init(&j, &(struct judge_rules){.alpha = 0.001, .error_rate = p0});
	judge_epoch(&j, w, NULL);
	j.lens.rest = 0;
	for (unsigned m = 0; m < JUDGE_METRICS; m++) {
		j.lens.metric[m].weight = weight[m];
		memset(j.lens.metric[m].m, 0, sizeof j.lens.metric[m].m);
	}
	memset(j.lens.old, 0, sizeof j.lens.old);
	if (!gate) {
		j.lens.gate_count = 0;
		j.lens.gate_difference = -1;
	}
	return j;
}

/* One request; true when the new release did something that is counted. */
static bool request(struct hg_rand *r, const struct world *x, struct judge_evidence *e)
{
	bool is_new = hg_rand_unit(r) < x->w, event = false;
	double u = x->latency ? hg_rand_unit(r) : 1, slow = is_new ? x->new_slow : x->old_slow;
	*(is_new ? &e->n_new : &e->n_old) += 1;
	/* One latency, three limits: who is over tau_99 is over tau_95 too. */
	const double share[] = {hg_rand_unit(r) < (is_new ? x->new_rate : x->old_rate) ? 2 : 0,
	        10 * slow, slow, slow / 5};
	for (unsigned m = JUDGE_ERRORS; m <= JUDGE_P99; m++) {
		if (u >= share[m]) continue;
		*(is_new ? &e->count[m].c : &e->count[m].s) += 1;
		event = is_new;
	}
	return event;
}

struct end {
	enum judge_verdict verdict;
	uint64_t requests;
	double e_most;
};

/* Until a verdict or for `most` requests, on top of what is in `e`. */
static struct end run(struct hg_rand *r, struct judge *j, const struct world *x,
        struct judge_evidence *e, uint64_t most)
{
	struct end end = {0};
	while (end.requests < most && end.verdict == JUDGE_NOT_YET) {
		end.requests++;
		if (request(r, x, e)) {
			double mean;
			end.verdict = judge_decide(&j->lens, e, &mean);
			end.e_most = fmax(end.e_most, mean);
		}
		if (!x->ticks) continue;
		if (end.requests % MINUTE == 0)
			judge_look(j, e);
		else if (end.requests % TICK == 0)
			judge_tune(j, e);
	}
	return end;
}

/* The same from failure to failure, for errors alone: what lies between moves nothing. */
static struct end run_errors(struct hg_rand *r, struct judge *j, const struct world *x,
        struct judge_evidence *e, uint64_t most)
{
	struct end end = {0};
	double any = x->w * x->new_rate + (1 - x->w) * x->old_rate, ours = x->w * x->new_rate / any;
	for (;;) {
		end.requests += gap(r, any);
		if (end.requests > most) return end;
		bool is_new = hg_rand_unit(r) < ours;
		*(is_new ? &e->count[0].c : &e->count[0].s) += 1;
		if (!is_new) continue;
		double mean;
		end.verdict = judge_decide(&j->lens, e, &mean);
		end.e_most = fmax(end.e_most, mean);
		if (end.verdict == JUDGE_BAD) return end;
	}
}

/* ---- false alarms ---- */

static void alarms_agree(struct sim *s, const char *what, unsigned runs, const unsigned have[2],
        const double want[2], double theirs, bool at_most)
{
	char wants[64], haves[96];
	bool ok = true;
	for (int i = 0; i < 2; i++) {
		double p = fmax(want[i], 0.5 / theirs), share = (double)have[i] / runs;
		double off = 4 * sqrt(p * (1 - p) * (1.0 / runs + 1 / theirs)) + 0.00005;
		if (share > want[i] + off || (!at_most && share < want[i] - off)) ok = false;
	}
	snprintf(wants, sizeof wants, "%s%.4f / %.4f", at_most ? "<= " : "", want[0], want[1]);
	snprintf(haves, sizeof haves, "%.5f / %.5f (%u runs)", (double)have[0] / runs,
	        (double)have[1] / runs, runs);
	row(s, ok, what, wants, haves);
}

static void alarms_of_errors(struct sim *s, const char *what, double base, unsigned runs,
        const double want[2], double theirs)
{
	unsigned have[2] = {0};
	const struct world x = {.w = 0.1, .old_rate = base, .new_rate = base};
	const struct judge j = bare(x.w, (double[JUDGE_METRICS]){1}, 0, false);
	for (unsigned i = 0; i < runs; i++) {
		struct judge copy = j;
		struct judge_evidence e = {0};
		double most = run_errors(&s->rand, &copy, &x, &e, 100000).e_most;
		have[0] += most >= 100;
		have[1] += most >= 1000;
	}
	alarms_agree(s, what, runs, have, want, theirs, false);
}

/* With restarts; errors alone at full weight, as the others. */
static void alarms_of_ramp(struct sim *s, unsigned runs)
{
	static const double w[] = {0.01, 0.1, 0.5}, rate[] = {0.001, 0.001, 0.1};
	unsigned have[2] = {0};
	for (unsigned i = 0; i < runs; i++) {
		struct judge j;
		struct judge_evidence e = {0};
		double most = 0;
		judge_init(&j, &alone);
		for (unsigned k = 0; k < 3; k++) {
			const struct world x = {
			        .w = w[k], .old_rate = rate[k], .new_rate = rate[k]};
			judge_epoch(&j, w[k], &e);
			e = (struct judge_evidence){0};
			for (unsigned m = 0; m < JUDGE_METRICS; m++)
				j.lens.metric[m].weight = m == JUDGE_ERRORS;
			most = fmax(most, run_errors(&s->rand, &j, &x, &e, 33333).e_most);
		}
		have[0] += most >= 100;
		have[1] += most >= 1000;
	}
	alarms_agree(s, "false alarms, ramp 1/10/50 %, both fail 10 % at 50 %", runs, have,
	        (double[]){0.0057, 0}, 10000, true);
}

static void alarms_of_verdict(struct sim *s, unsigned runs)
{
	const struct world x = {.w = 0.1,
	        .old_rate = 0.01,
	        .new_rate = 0.01,
	        .old_slow = 0.05,
	        .new_slow = 0.05,
	        .latency = true,
	        .ticks = true};
	unsigned have[2] = {0};
	for (unsigned i = 0; i < runs; i++) {
		struct judge j;
		struct judge_evidence e = {0};
		judge_init(&j, &two);
		judge_epoch(&j, x.w, NULL);
		double most = run(&s->rand, &j, &x, &e, 100000).e_most;
		have[0] += most >= 100;
		have[1] += most >= 1000;
	}
	alarms_agree(s, "false alarms, all metrics, (e), two rules, base 1 %", runs, have,
	        (double[]){0.01, 0.001}, 1e9, true);
}

/*
 * Replicas that get no CPU for a moment, each on its own: every request that comes to one meanwhile
 * is slow. Half a stall a second and replica, 30 ms on average; 1,000 requests a second for a
 * minute.
 */
static double most_of_stalls(struct hg_rand *r, double w, unsigned new_n, unsigned old_n)
{
	double until[2][16] = {{0}};
	struct judge j;
	struct judge_evidence e = {0};
	double most = 0;
	judge_init(&j, &alone);
	judge_epoch(&j, w, NULL);
	for (unsigned ms = 1; ms <= MINUTE; ms++) {
		for (unsigned arm = 0; arm < 2; arm++)
			for (unsigned i = 0; i < (arm ? new_n : old_n); i++)
				if (hg_rand_unit(r) < 0.0005)
					until[arm][i] = ms - 30 * log1p(-hg_rand_unit(r));
		bool is_new = hg_rand_unit(r) < w;
		bool stalls = until[is_new][hg_rand_below(r, is_new ? new_n : old_n)] > ms;
		*(is_new ? &e.n_new : &e.n_old) += 1;
		for (unsigned m = JUDGE_P50; m <= JUDGE_P99; m++) {
			static const double share[] = {0.5, 0.05, 0.01};
			if (!stalls && hg_rand_unit(r) >= share[m - JUDGE_P50]) continue;
			*(is_new ? &e.count[m].c : &e.count[m].s) += 1;
		}
		double mean;
		(void)judge_decide(&j.lens, &e, &mean);
		most = fmax(most, mean);
		if (ms % TICK == 0) judge_tune(&j, &e);
	}
	return most;
}

static void alarms_of_stalls(
        struct sim *s, const char *what, double w, unsigned new_n, unsigned old_n, unsigned runs)
{
	unsigned have[2] = {0};
	for (unsigned i = 0; i < runs; i++) {
		double most = most_of_stalls(&s->rand, w, new_n, old_n);
		have[0] += most >= 100;
		have[1] += most >= 1000;
	}
	alarms_agree(s, what, runs, have, (double[]){0.01, 0.001}, 1e9, true);
}

/* ---- speed ---- */

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double quantile(double *sample, unsigned n, double q)
{
	double at = q * (n - 1);
	return sample[(unsigned)fmin(fmax(at + 0.5, 0), n - 1)];
}

/* Is `want`, a quantile found in `theirs` runs, one of ours too? By order statistics. */
static bool is_quantile(double *sample, unsigned n, double q, double want, double theirs)
{
	double off = 4 * sqrt(q * (1 - q) * (1.0 / n + 1 / theirs));
	return want >= quantile(sample, n, fmax(q - off, 0)) - 1 &&
	       want <= quantile(sample, n, fmin(q + off, 1)) + 1;
}

struct want {
	double median, p95, theirs; /* p95 0: not given */
	double failures;            /* 0: not given; median of the new release's failures */
};

static void speed_agrees(struct sim *s, const char *what, unsigned n, struct want want)
{
	char wants[64], haves[96];
	qsort(s->sample, n, sizeof *s->sample, by_size);
	qsort(s->failures, n, sizeof *s->failures, by_size);
	bool ok = is_quantile(s->sample, n, 0.5, want.median, want.theirs) &&
	          (want.p95 <= 0 || is_quantile(s->sample, n, 0.95, want.p95, want.theirs)) &&
	          (want.failures <= 0 ||
	                  is_quantile(s->failures, n, 0.5, want.failures, want.theirs));
	int at = snprintf(wants, sizeof wants, "%.0f", want.median);
	if (want.p95 > 0) at += snprintf(wants + at, sizeof wants - at, " (%.0f)", want.p95);
	if (want.failures > 0) snprintf(wants + at, sizeof wants - at, ", %.0f f.", want.failures);
	snprintf(haves, sizeof haves, "%.0f (%.0f), %.0f failures (%u runs)",
	        quantile(s->sample, n, 0.5), quantile(s->sample, n, 0.95),
	        quantile(s->failures, n, 0.5), n);
	row(s, ok, what, wants, haves);
}

/* E_errors alone. */
static void speed_of_errors(struct sim *s, const char *what, struct world x, struct want want)
{
	const struct judge j = bare(x.w, (double[JUDGE_METRICS]){1}, 0, false);
	unsigned n = runs_of(s, 2000, 20000);
	for (unsigned i = 0; i < n; i++) {
		struct judge copy = j;
		struct judge_evidence e = {0};
		s->sample[i] = (double)run_errors(&s->rand, &copy, &x, &e, NEVER).requests;
		s->failures[i] = e.count[JUDGE_ERRORS].c;
	}
	speed_agrees(s, what, n, want);
}

enum counted { ALL_REQUESTS, NEW_REQUESTS };

/* Any weights without restarts. */
static void speed_of(struct sim *s, const char *what, struct world x, const struct judge *j,
        enum counted counted, unsigned n, struct want want)
{
	for (unsigned i = 0; i < n; i++) {
		struct judge copy = *j;
		struct judge_evidence e = {0};
		run(&s->rand, &copy, &x, &e, NEVER);
		s->sample[i] = (double)(counted == NEW_REQUESTS ? e.n_new : e.n_new + e.n_old);
		s->failures[i] = e.count[JUDGE_ERRORS].c;
	}
	speed_agrees(s, what, n, want);
}

static void speed_of_mix(struct sim *s, const char *what, double w, double old_rate,
        double new_rate, struct want want)
{
	const struct world x = {.w = w,
	        .old_rate = old_rate,
	        .new_rate = new_rate,
	        .old_slow = 0.05,
	        .new_slow = 0.05,
	        .latency = true};
	const struct judge j = bare(w, (double[JUDGE_METRICS]){0.4, 0.2, 0.2, 0.2}, 0, true);
	/* About as much work for each row. */
	unsigned n = (unsigned)fmin(fmax(4e6 / want.median, 200), 2000);
	speed_of(s, what, x, &j, ALL_REQUESTS, runs_of(s, n, n * 5), want);
}

static void speed_of_rule(struct sim *s, const char *what, double rate, struct want want)
{
	const struct world x = {.w = 1, .new_rate = rate};
	const struct judge j =
	        bare(1, (double[JUDGE_METRICS]){[JUDGE_RULE_ERROR_RATE] = 1}, 0.05, false);
	speed_of(s, what, x, &j, NEW_REQUESTS, runs_of(s, 2000, 20000), want);
}

/* ---- the whole verdict ---- */

static void healthy_requests(
        struct hg_rand *r, double w, double base, uint32_t n, struct judge_evidence *e)
{
	static const double share[] = {0.5, 0.05, 0.01};
	uint32_t all = binomial(r, n, w), all_old = n - all;
	e->n_new += all;
	e->n_old += all_old;
	e->count[JUDGE_ERRORS].c += binomial(r, all, base);
	e->count[JUDGE_ERRORS].s += binomial(r, all_old, base);
	for (unsigned m = 0; m < HG_COUNT(share); m++) {
		e->count[JUDGE_P50 + m].c += binomial(r, all, share[m]);
		e->count[JUDGE_P50 + m].s += binomial(r, all_old, share[m]);
	}
}

/* `minutes` in which all is well, then up to a minute more until it happens. Of the ticks only
 * the last ones are gone through: older starts have no say any more, but their weight is spent. */
static void healthy(struct hg_rand *r, struct judge *j, double w, double base, unsigned minutes,
        struct judge_evidence *e)
{
	for (unsigned i = 0; i < minutes; i++) {
		healthy_requests(r, w, base, MINUTE, e);
		judge_look(j, e);
		j->ticks += MINUTE / TICK - 1;
	}
	uint32_t ticks = hg_rand_below(r, MINUTE / TICK), last = HG_MIN(ticks, 40u);
	healthy_requests(r, w, base, (ticks - last) * TICK, e);
	j->ticks += ticks - last;
	for (uint32_t i = 0; i < last; i++) {
		judge_tune(j, e);
		healthy_requests(r, w, base, TICK, e);
	}
	judge_tune(j, e);
	healthy_requests(r, w, base, hg_rand_below(r, TICK), e);
}

static void speed_of_verdict(struct sim *s, const char *what, const struct judge_rules *rules,
        double base, unsigned minutes, double aim)
{
	const struct world x = {.w = 0.1,
	        .old_rate = base,
	        .new_rate = 1,
	        .old_slow = 0.05,
	        .new_slow = 0.05,
	        .latency = true,
	        .ticks = true};
	unsigned n = runs_of(s, 150, 5000);
	char wants[32], haves[96];
	for (unsigned i = 0; i < n; i++) {
		struct judge j;
		struct judge_evidence e = {0};
		judge_init(&j, rules);
		judge_epoch(&j, x.w, NULL);
		if (minutes) healthy(&s->rand, &j, x.w, base, minutes, &e);
		uint32_t before = e.count[JUDGE_ERRORS].c;
		s->sample[i] = (double)run(&s->rand, &j, &x, &e, NEVER).requests;
		s->failures[i] = e.count[JUDGE_ERRORS].c - before;
	}
	qsort(s->sample, n, sizeof *s->sample, by_size);
	qsort(s->failures, n, sizeof *s->failures, by_size);
	double median = quantile(s->failures, n, 0.5);
	snprintf(wants, sizeof wants, "aim <= %.0f f.", aim);
	snprintf(haves, sizeof haves, "%.0f failures (p95 %.0f, most %.0f), %.0f (%.0f) requests",
	        median, quantile(s->failures, n, 0.95), s->failures[n - 1],
	        quantile(s->sample, n, 0.5), quantile(s->sample, n, 0.95));
	row(s, median <= aim, what, wants, haves);
}

/* Both fail one in five for 10,000 requests, out of the blue. */
static void outage_of_both(struct sim *s, double w, double most_bad)
{
	const struct world x = {.w = w,
	        .old_rate = 0.2,
	        .new_rate = 0.2,
	        .old_slow = 0.05,
	        .new_slow = 0.05,
	        .latency = true,
	        .ticks = true};
	unsigned n = runs_of(s, 400, 5000), bad = 0, shared = 0;
	char what[80], haves[80], wants[32];
	for (unsigned i = 0; i < n; i++) {
		struct judge j;
		struct judge_evidence e = {0};
		judge_init(&j, &two);
		judge_epoch(&j, w, NULL);
		healthy(&s->rand, &j, w, 0.001, 5, &e);
		enum judge_verdict v = run(&s->rand, &j, &x, &e, 10000).verdict;
		bad += v == JUDGE_BAD;
		shared += v == JUDGE_SHARED;
	}
	snprintf(what, sizeof what, "outage of both after 5 minutes, w = %.0f %%: bad / pause",
	        w * 100);
	snprintf(wants, sizeof wants, "bad <= %.3f", most_bad);
	snprintf(haves, sizeof haves, "%.4f / %.4f (%u runs)", (double)bad / n, (double)shared / n,
	        n);
	row(s, (double)bad / n <= most_bad, what, wants, haves);
}

/* ---- the plan ---- */

static void plan_agrees(struct sim *s, const char *what, double plan, unsigned n)
{
	char wants[32], haves[64];
	double sum = 0;
	for (unsigned i = 0; i < n; i++)
		sum += s->sample[i];
	snprintf(wants, sizeof wants, "%.0f", plan);
	snprintf(haves, sizeof haves, "%.0f on average (%u runs)", sum / n, n);
	row(s, fabs(plan / (sum / n) - 1) <= 0.25, what, wants, haves);
}

static void plan_of_detection(
        struct sim *s, const struct judge_rules *rules, double w, double old_rate, double new_rate)
{
	const struct world x = {.w = w,
	        .old_rate = old_rate,
	        .new_rate = new_rate,
	        .old_slow = 0.05,
	        .new_slow = 0.05,
	        .latency = true,
	        .ticks = true};
	double plan = judge_detects(rules, w, old_rate, new_rate);
	unsigned n = (unsigned)fmin(fmax(runs_of(s, 1, 30) * 1e6 / plan, 60), 2000);
	char what[80];
	for (unsigned i = 0; i < n; i++) {
		struct judge j;
		struct judge_evidence e = {0};
		judge_init(&j, rules);
		judge_epoch(&j, w, NULL);
		s->sample[i] = (double)run(&s->rand, &j, &x, &e, NEVER).requests;
	}
	snprintf(what, sizeof what, "plan: %.1f -> %.1f %% at w = %.0f %%%s", old_rate * 100,
	        new_rate * 100, w * 100, rules->error_rate > 0 ? ", error_rate 5 %, p95" : "");
	plan_agrees(s, what, plan, n);
}

static void plan_of_proof(struct sim *s, double rate, double p0)
{
	unsigned n = runs_of(s, 200, 2000);
	char what[80];
	for (unsigned i = 0; i < n; i++) {
		uint64_t requests = 200, x = binomial(&s->rand, 200, rate);
		/* Good is proven when the upper bound at 1/20 is below p0. */
		while (judge_upper(x, requests, 0.05) >= p0) {
			for (int k = 0; k < 10; k++)
				x += hg_rand_unit(&s->rand) < rate;
			requests += 10;
		}
		s->sample[i] = (double)requests;
	}
	snprintf(what, sizeof what, "plan: %.2f %% is proven to be below %.1f %%", rate * 100,
	        p0 * 100);
	plan_agrees(s, what, judge_proves(rate, p0), n);
}

/* ---- */

static void all_alarms(struct sim *s)
{
	alarms_of_errors(s, "false alarms of E_errors, w = 10 %, base 0.1 %", 0.001,
	        runs_of(s, 20000, 100000), (double[]){0.0035, 0.0003}, 100000);
	alarms_of_errors(s, "the same, base 1 %", 0.01, runs_of(s, 5000, 100000),
	        (double[]){0.0052, 0.0005}, 30000);
	alarms_of_ramp(s, runs_of(s, 1000, 50000));
	alarms_of_verdict(s, runs_of(s, 40, 4000));
	unsigned n = runs_of(s, 60, 2000);
	alarms_of_stalls(s, "stalls of single replicas, w = 1 %, 1 beside 5", 0.01, 1, 5, n);
	alarms_of_stalls(s, "the same, w = 10 %, 1 beside 5", 0.1, 1, 5, n);
	alarms_of_stalls(s, "the same, w = 10 %, 1 beside 1", 0.1, 1, 1, n);
	alarms_of_stalls(s, "the same, w = 25 %, 1 beside 3", 0.25, 1, 3, n);
	alarms_of_stalls(s, "the same, w = 75 %, 3 beside 1", 0.75, 3, 1, n);
}

static void all_speeds(struct sim *s)
{
	const double n = 2000;
	speed_of_errors(s, "E_errors, w = 10 %: 0 -> 100 %", (struct world){.w = .1, .new_rate = 1},
	        (struct want){37, 79, n, 4});
	speed_of_errors(s, "E_errors, w = 10 %: 0.1 -> 50 %",
	        (struct world){.w = .1, .old_rate = .001, .new_rate = .5},
	        (struct want){76, 163, n, 4});
	speed_of_errors(s, "E_errors, w = 10 %: 0.1 -> 5 %",
	        (struct world){.w = .1, .old_rate = .001, .new_rate = .05},
	        (struct want){846, 2028, n, 4});
	speed_of_errors(s, "E_errors, w = 10 %: 0.1 -> 1 %",
	        (struct world){.w = .1, .old_rate = .001, .new_rate = .01},
	        (struct want){7310, 16534, n, 8});
	speed_of_errors(s, "E_errors, w = 10 %: 1 -> 2 %",
	        (struct world){.w = .1, .old_rate = .01, .new_rate = .02},
	        (struct want){23336, 50187, n, 48});
	speed_of_errors(s, "E_errors, w = 1 %: 0 -> 100 %", (struct world){.w = .01, .new_rate = 1},
	        (struct want){175, 492, n, 2});
	speed_of_errors(s, "E_errors, w = 50 %: 0 -> 100 %", (struct world){.w = .5, .new_rate = 1},
	        (struct want){23, 33, n, 0});
	speed_of_mix(
	        s, "E_bad and gate, w = 10 %: 0 -> 100 %", .1, 0, 1, (struct want){38, 76, n, 4});
	speed_of_mix(s, "E_bad and gate, w = 10 %: 0.1 -> 5 %", .1, .001, .05,
	        (struct want){918, 2166, n, 4});
	speed_of_mix(s, "E_bad and gate, w = 10 %: 0.1 -> 1 %", .1, .001, .01,
	        (struct want){8085, 18394, n, 8});
	speed_of_mix(s, "E_bad and gate, w = 10 %: 1 -> 2 %", .1, .01, .02,
	        (struct want){26273, 54211, n, 54});
	speed_of_mix(
	        s, "E_bad and gate, w = 1 %: 0 -> 100 %", .01, 0, 1, (struct want){282, 624, n, 3});
	speed_of_rule(
	        s, "rule 5 %, requests of the new release: 100 %", 1, (struct want){3, 0, n, 3});
	speed_of_rule(s, "rule 5 %: 50 %", .5, (struct want){9, 23, n, 0});
	speed_of_rule(s, "rule 5 %: 20 %", .2, (struct want){56, 126, n, 0});
	speed_of_rule(s, "rule 5 %: 10 %", .1, (struct want){368, 805, n, 0});
	/* Lognormal, sigma 0.7: twice as slow is over 1.2 tau_95 with this share. */
	double slow = erfc((1.6448536269514722 + log(0.6) / 0.7) / sqrt(2)) / 2;
	struct judge j = bare(0.1, (double[JUDGE_METRICS]){[JUDGE_P95] = 1}, 0, false);
	speed_of(s, "latency x 2, requests of the new release",
	        (struct world){
	                .w = .1, .old_slow = .05, .new_slow = slow, .latency = true, .ticks = true},
	        &j, NEW_REQUESTS, runs_of(s, 1000, 20000), (struct want){235, 353, 1000, 0});
}

static void all_verdicts(struct sim *s)
{
	speed_of_verdict(s, "verdict with error_rate and above_stable: 0 -> 100 %", &two, 0, 0, 5);
	speed_of_verdict(s, "verdict with error_rate and p95 limit: 0 -> 100 %", &two_p95, 0, 0, 5);
	speed_of_verdict(s, "after 15 healthy minutes (error_rate, above)", &two, 0, 15, 10);
	speed_of_verdict(
	        s, "after 15 healthy minutes (error_rate, p95 limit)", &two_p95, 0, 15, 10);
	speed_of_verdict(s, "after 15 minutes, 0.1 -> 100 %", &two, 0.001, 15, 15);
	speed_of_verdict(s, "after 15 minutes, 1 -> 100 %", &two, 0.01, 15, 15);
	speed_of_verdict(s, "after 15 minutes, no rules, 1 -> 100 %", &alone, 0.01, 15, 15);
	outage_of_both(s, 0.1, 0.05);
	outage_of_both(s, 0.5, 0.05);
	outage_of_both(s, 0.9, 0.08);
}

static void all_plans(struct sim *s)
{
	for (int i = 0; i < 2; i++) {
		const struct judge_rules *rules = i ? &two_p95 : &alone;
		plan_of_detection(s, rules, 0.01, 0, 1);
		plan_of_detection(s, rules, 0.1, 0, 1);
		plan_of_detection(s, rules, 0.5, 0.001, 0.5);
		plan_of_detection(s, rules, 0.1, 0.001, 0.05);
		plan_of_detection(s, rules, 0.1, 0.001, 0.01);
		plan_of_detection(s, rules, 0.1, 0.01, 0.02);
	}
	plan_of_detection(s, &two_p95, 1, 0, 0.2);
	plan_of_proof(s, 0, 0.01);
	plan_of_proof(s, 0.001, 0.01);
	plan_of_proof(s, 0.001, 0.05);
	plan_of_proof(s, 0.005, 0.015);
	plan_of_proof(s, 0.01, 0.02);
	plan_of_proof(s, 0.03, 0.05);
	plan_of_proof(s, 0.04, 0.05);
}

int main(int argc, char **argv)
{
	struct sim *s = calloc(1, sizeof *s);
	if (!s) return 1;
	s->is_long = argc > 1 && strcmp(argv[1], "long") == 0;
	hg_rand_seed(&s->rand, 20261126);
	printf("    | %-58s | %-18s | %s\n", "what: median (p95)", "expected", "measured");
	all_alarms(s);
	all_speeds(s);
	all_verdicts(s);
	all_plans(s);
	unsigned wrong = s->wrong;
	printf("%u figures, %u of them off\n", s->rows, wrong);
	free(s);
	return wrong ? 1 : 0;
}
