#include "../test.h"

#include <stdlib.h>

#include "base/crc32c.h"
#include "base/rand.h"
#include "judge_ref.h"

#define NEAR 1e-9

static const struct judge_rules no_rules = {.alpha = 0.001};
static const struct judge_rules two_rules = {.alpha = 0.001, .error_rate = 0.05, .p95 = true};

static struct judge begin(const struct judge_rules *rules, double w)
{
	struct judge j;
	judge_init(&j, rules);
	judge_epoch(&j, w, NULL);
	return j;
}

static struct judge_evidence errors(uint32_t c, uint32_t s, uint64_t n_new, uint64_t n_old)
{
	return (struct judge_evidence){
	        .count[JUDGE_ERRORS] = {c, s}, .n_new = n_new, .n_old = n_old};
}

static enum judge_verdict decide(const struct judge *j, struct judge_evidence e)
{
	return judge_decide(&j->lens, &e, NULL);
}

static double mean_of(const struct judge *j, struct judge_evidence e)
{
	double mean;
	judge_decide(&j->lens, &e, &mean);
	return mean;
}

#define assert_near(have, want, share)                                           \
	do {                                                                     \
		double have_ = (have), want_ = (want);                           \
		if (!(fabs(have_ - want_) <= (share)*fmax(fabs(want_), 1e-300))) \
			fail_msg("have %.17g, want %.17g", have_, want_);        \
	} while (0)

static void without_evidence_nothing_is_believed(void **state)
{
	(void)state;
	for (int w = 0; w <= 10; w++) {
		struct judge j = begin(&two_rules, w / 10.0);
		assert_near(mean_of(&j, errors(0, 0, 0, 0)), 1, 1e-12);
		assert_int_equal(decide(&j, errors(0, 0, 0, 0)), JUDGE_NOT_YET);
		for (int i = 0; i < 1000; i++)
			judge_look(&j, &(struct judge_evidence){0});
		assert_near(mean_of(&j, errors(0, 0, 0, 0)), 1, 1e-12);
	}
}

/* A release that fails every request beside one that fails none. */
static void a_total_failure_is_found_after_a_handful_of_requests(void **state)
{
	static const struct {
		double w;
		uint32_t alone, with_rules; /* failures until the verdict */
	} row[] = {{0.01, 3, 3}, {0.1, 5, 4}, {0.5, 14, 6}, {0.9, 87, 34}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		for (int rules = 0; rules < 2; rules++) {
			struct judge j = begin(rules ? &two_rules : &no_rules, row[i].w);
			uint32_t c = 0;
			while (decide(&j, errors(c, 0, c, 0)) != JUDGE_BAD && c < 1000)
				c++;
			assert_int_equal(decide(&j, errors(c, 0, c, 0)), JUDGE_BAD);
			assert_int_equal(c, rules ? row[i].with_rules : row[i].alone);
		}
	}
}

static void a_weight_of_nothing_or_all_compares_nothing(void **state)
{
	static const double w[] = {0, 1, -1, 2, NAN, INFINITY};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(w); i++) {
		struct judge j = begin(&no_rules, w[i]);
		assert_near(mean_of(&j, errors(1000, 1, 1000, 1000)), 1, 1e-12);
		j = begin(&two_rules, w[i]);
		assert_int_equal(decide(&j, errors(4, 0, 4, 0)), JUDGE_BAD);
	}
}

/* ---- against the twin ---- */

static uint32_t some(struct hg_rand *r, unsigned most_bits)
{
	return hg_rand_below(r, 1u << hg_rand_below(r, most_bits));
}

static struct judge_evidence random_events(struct hg_rand *r)
{
	struct judge_evidence d = {0};
	for (unsigned m = 0; m < JUDGE_METRICS; m++) {
		if (m == JUDGE_RULE_ERROR_RATE || m == JUDGE_RULE_ERROR_ABOVE) continue;
		if (hg_rand_below(r, 2)) d.count[m].c = some(r, 12) / 4;
		if (hg_rand_below(r, 2)) d.count[m].s = some(r, 14) / 4;
		d.n_new = HG_MAX(d.n_new, d.count[m].c);
		d.n_old = HG_MAX(d.n_old, d.count[m].s);
	}
	d.n_new += some(r, 16);
	d.n_old += some(r, 16);
	return d;
}

static struct judge_rules random_rules(struct hg_rand *r)
{
	bool on[4];
	for (int i = 0; i < 4; i++)
		on[i] = hg_rand_below(r, 2);
	return (struct judge_rules){
	        .alpha = pow(10, -1 - (double)hg_rand_below(r, 5)),
	        .tolerance_errors = hg_rand_below(r, 2) ? 1 : 1 + hg_rand_unit(r),
	        .error_rate = on[0] ? 0.001 + hg_rand_unit(r) * 0.8 : 0,
	        .p95 = on[1],
	        .error_above = on[2] ? 0.001 + hg_rand_unit(r) * 0.3 : 0,
	        .p95_ratio = on[3] ? 1.5 : 0,
	};
}

/* Where ours is at its end, theirs is at least there. */
static void assert_as_twin(double have, long double want)
{
	if (want < 1e290L)
		assert_near(have, (double)want, NEAR);
	else
		assert_true(have >= 1e290 && have <= 1e300);
}

static void compare_with_twin(const struct judge *j, const struct ref *r)
{
	struct judge_report rep;
	long double mean = 0;
	judge_report(j, &r->epoch, &rep);
	for (unsigned m = 0; m < JUDGE_METRICS; m++) {
		if (!(rep.weight[m] > 0)) continue;
		long double want = ref_e(r, m, false);
		assert_as_twin(rep.e_metric[m], want);
		mean += rep.weight[m] * want;
		unsigned i = m - JUDGE_RULE_ERROR_RATE;
		if (i < JUDGE_ABSOLUTE) assert_as_twin(rep.e_old[i], ref_e(r, m, true));
	}
	assert_as_twin(rep.e, mean);
	assert_int_equal(judge_decide(&j->lens, &r->epoch, NULL), rep.verdict);
}

static void random_history(uint64_t seed)
{
	struct hg_rand rand;
	struct judge j;
	struct ref *r = malloc(sizeof *r);
	double former = 0;
	hg_rand_seed(&rand, seed);
	struct judge_rules rules = random_rules(&rand);
	judge_init(&j, &rules);
	ref_init(r, &j.rules);
	unsigned steps = 1 + hg_rand_below(&rand, 40);
	for (unsigned i = 0; i < steps; i++) {
		struct judge_evidence d = random_events(&rand), seen = j.lens.seen;
		unsigned what = r->epochs ? hg_rand_below(&rand, 12) : 0;
		if (what == 0) {
			double w = hg_rand_below(&rand, 6) ? hg_rand_unit(&rand) : (double)(i % 2);
			judge_epoch(&j, w, r->epochs ? &r->epoch : NULL);
			former = r->w;
			ref_epoch(r, w);
		} else if (what < 3) {
			judge_look(&j, &r->epoch);
			ref_tune(r);
			ref_restart(r, false);
		} else if (what < 5) {
			judge_tune(&j, &r->epoch);
			ref_tune(r);
			/* Without anything new there is no start. */
			if (memcmp(&seen, &r->epoch, sizeof seen) != 0) ref_restart(r, true);
		} else if (what < 6 && r->epochs > 1) {
			judge_fold(&j, former, &d);
			ref_add(r, &d, former, true);
		} else {
			ref_add(r, &d, r->w, false);
		}
	}
	compare_with_twin(&j, r);
	free(r);
}

static void it_equals_the_definition_with_every_restart_kept(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3000; seed++)
		random_history(seed);
}

/* ---- epochs ---- */

/* 10 % of all requests fail on both while most traffic is on the new release. */
static void an_outage_of_both_during_a_ramp_condemns_nobody(void **state)
{
	struct judge j = begin(&no_rules, 0.01);
	struct judge_evidence e = errors(1, 99, 1000, 99000);
	(void)state;
	judge_epoch(&j, 0.5, &e);
	assert_int_equal(decide(&j, errors(5000, 5000, 50000, 50000)), JUDGE_NOT_YET);
	/* Pooled, at the mean weight, it would look like this. */
	j = begin(&no_rules, 0.255);
	assert_int_equal(decide(&j, errors(5001, 5099, 51000, 149000)), JUDGE_BAD);
}

static void evidence_is_carried_over_epochs(void **state)
{
	struct judge j = begin(&no_rules, 0.1);
	struct judge_evidence e = errors(3, 0, 3, 0);
	double before = mean_of(&j, e);
	(void)state;
	judge_epoch(&j, 0.2, &e);
	/* A start from here is added and one of those not yet reached gone: about the same. */
	assert_near(mean_of(&j, errors(0, 0, 0, 0)), before, 0.01);
	assert_int_equal(j.lens.seen.count[JUDGE_ERRORS].c, 0);
	/* The gate asks for three failures in this epoch. */
	assert_int_equal(decide(&j, errors(2, 0, 2, 0)), JUDGE_NOT_YET);
	assert_int_equal(decide(&j, errors(3, 0, 3, 0)), JUDGE_BAD);
}

static void late_completions_count_with_the_weight_of_their_draw(void **state)
{
	struct judge on_time = begin(&two_rules, 0.1), late = on_time;
	struct judge_evidence all = errors(3, 2, 30, 200), early = errors(1, 1, 20, 150),
	                      rest = errors(2, 1, 10, 50);
	(void)state;
	judge_tune(&on_time, &all);
	judge_fold(&late, 0.1, &rest);
	judge_tune(&late, &early);
	for (unsigned m = 0; m < JUDGE_METRICS; m++)
		for (unsigned k = 0; k < JUDGE_TERMS; k++)
			assert_near(late.lens.metric[m].m[k], on_time.lens.metric[m].m[k], 1e-12);
	/* Another weight, another meaning. */
	judge_fold(&late, 0.9, &rest);
	assert_true(late.lens.metric[0].m[7] < on_time.lens.metric[0].m[7]);
}

static void a_tick_leaves_the_evidence_as_it_is(void **state)
{
	struct judge j = begin(&two_rules, 0.1);
	struct judge_evidence e = {0};
	(void)state;
	for (uint32_t i = 1; i <= 500; i++) {
		e = errors(i / 9, i, i * 10, i * 100);
		e.count[JUDGE_P50] = (struct judge_count){i * 5, i * 50};
		double before = mean_of(&j, e);
		if (i % 60)
			judge_tune(&j, &e);
		else
			judge_look(&j, &e);
		assert_near(mean_of(&j, e), before, 1e-9);
	}
	/* Without anything new, starts are not spent. */
	assert_int_equal(j.ticks, 500 - 500 / 60);
	judge_tune(&j, &e);
	assert_int_equal(j.ticks, 500 - 500 / 60);
}

/* ---- staying awake ---- */

static void after_a_healthy_quarter_of_an_hour_it_is_still_awake(void **state)
{
	struct judge j = begin(&two_rules, 0.1);
	struct judge_evidence e = {0};
	uint32_t c = 0;
	(void)state;
	for (uint32_t minute = 1; minute <= 15; minute++) {
		e = errors(60 * minute, 540 * minute, 6000 * minute, 54000 * minute);
		judge_look(&j, &e);
	}
	while (decide(&j, e) != JUDGE_BAD && c < 1000) {
		c++;
		e.count[JUDGE_ERRORS].c++;
		e.n_new++;
	}
	assert_int_equal(decide(&j, e), JUDGE_BAD);
	assert_in_range(c, 1, 10);
}

/* ---- rules ---- */

static void both_over_the_limit_is_a_pause_and_not_a_verdict(void **state)
{
	struct judge j = begin(&two_rules, 0.1);
	(void)state;
	assert_int_equal(decide(&j, errors(0, 0, 1000, 9000)), JUDGE_NOT_YET);
	/* 20 % of both. */
	assert_int_equal(decide(&j, errors(40, 360, 200, 1800)), JUDGE_SHARED);
	/* 20 % of the new one only. */
	assert_int_equal(decide(&j, errors(40, 2, 200, 1800)), JUDGE_BAD);
	/* Both are over it, but the new one is far worse: comparison alone condemns it. */
	assert_int_equal(decide(&j, errors(200, 360, 200, 1800)), JUDGE_BAD);
	/* Comparison finds the new one worse, but the old one breaks the rule as surely. */
	assert_int_equal(decide(&j, errors(65, 360, 200, 1800)), JUDGE_SHARED);
	/* Nearly all traffic is on the new one, so that little is known of the old one: it is not
	 * worse, and that is enough. */
	j = begin(&two_rules, 0.95);
	assert_int_equal(decide(&j, errors(380, 20, 1900, 100)), JUDGE_SHARED);
}

static void the_limit_on_p95_is_a_rule_of_its_own(void **state)
{
	struct judge j = begin(&two_rules, 0.1);
	struct judge_evidence e = {.n_new = 100, .n_old = 900};
	(void)state;
	e.count[JUDGE_RULE_P95] = (struct judge_count){30, 5};
	assert_int_equal(decide(&j, e), JUDGE_BAD);
	e.count[JUDGE_RULE_P95].s = 270;
	assert_int_equal(decide(&j, e), JUDGE_SHARED);
	j = begin(&no_rules, 0.1);
	e.count[JUDGE_RULE_P95].s = 0;
	assert_int_equal(decide(&j, e), JUDGE_NOT_YET);
}

static void the_difference_rule_knows_its_limit_after_a_tick(void **state)
{
	struct judge_rules rules = {.alpha = 0.001, .error_above = 0.03};
	struct judge j = begin(&rules, 0.1);
	struct judge_evidence e = errors(0, 10, 1000, 10000);
	(void)state;
	assert_true(j.above_p0 == 1);
	assert_near(j.lens.threshold, 1 / 0.00095, 1e-12);
	judge_tune(&j, &e);
	/* 0.1 % were seen; the bound is wide, since it may hardly ever be wrong. */
	assert_in_range((int)(j.above_p0 * 1e4), 300 + 20, 300 + 60);
	double before = mean_of(&j, e);
	e.count[JUDGE_ERRORS].c += 30;
	e.n_new += 100;
	assert_true(mean_of(&j, e) > before);
	assert_int_equal(decide(&j, e), JUDGE_BAD);
	/* A new epoch does not know again. */
	judge_epoch(&j, 0.2, &e);
	assert_true(j.above_p0 == 1);
}

static void nonsense_in_rules_becomes_the_default(void **state)
{
	static const double nonsense[] = {NAN, INFINITY, -INFINITY, -1, 0};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(nonsense); i++) {
		double x = nonsense[i];
		struct judge_rules rules = {x, x, x, x, x, x, false};
		struct judge j = begin(&rules, 0.1);
		assert_true(j.rules.alpha == 0.001);
		assert_true(j.rules.tolerance_errors == 1);
		assert_true(j.rules.tolerance_latency == 1.2);
		assert_true(j.lens.threshold == 1 / 0.001);
		for (unsigned m = JUDGE_RULE_ERROR_RATE; m < JUDGE_METRICS; m++)
			assert_true(j.lens.metric[m].weight == 0);
	}
}

static void weights_sum_up_to_one(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		struct judge_rules rules = {.error_rate = bits & 1 ? 0.05 : 0,
		        .p95 = bits & 2,
		        .error_above = bits & 4 ? 0.03 : 0,
		        .p95_ratio = bits & 8 ? 1.5 : 0};
		struct judge j = begin(&rules, 0.1);
		double sum = 0;
		for (unsigned m = 0; m < JUDGE_METRICS; m++)
			sum += j.lens.metric[m].weight;
		assert_near(sum, 1, 1e-12);
		assert_near(j.lens.metric[JUDGE_ERRORS].weight, bits ? 0.2 : 0.4, 1e-12);
	}
}

/* Little is known of the old release in so short a time: comparison decides, and takes longer. */
static void a_rule_waits_until_it_knows_whom_to_blame(void **state)
{
	struct judge j = begin(&two_rules, 0.9);
	(void)state;
	assert_int_equal(decide(&j, errors(5, 0, 5, 0)), JUDGE_NOT_YET);
	/* By then it is broken beyond doubt. */
	assert_int_equal(decide(&j, errors(12, 0, 12, 0)), JUDGE_SHARED);
	assert_int_equal(decide(&j, errors(60, 0, 60, 6)), JUDGE_BAD);
	/* Nobody to compare with. */
	j = begin(&two_rules, 1);
	assert_int_equal(decide(&j, errors(5, 0, 5, 0)), JUDGE_BAD);
}

/* ---- the gate ---- */

static void fewer_than_three_failures_are_never_a_verdict(void **state)
{
	struct judge j = begin(&two_rules, 0.0001);
	(void)state;
	assert_true(mean_of(&j, errors(2, 0, 2, 0)) > 1000);
	assert_int_equal(decide(&j, errors(2, 0, 2, 0)), JUDGE_NOT_YET);
	assert_int_equal(decide(&j, errors(3, 0, 3, 0)), JUDGE_BAD);
}

/* 0.05 % against 0.15 %: proven, and of no account. */
static void a_proven_but_tiny_difference_is_not_a_verdict(void **state)
{
	struct judge j = begin(&no_rules, 0.5);
	struct judge_evidence e = errors(1500, 500, 1000000, 1000000);
	(void)state;
	assert_true(mean_of(&j, e) > 1000);
	assert_int_equal(decide(&j, e), JUDGE_NOT_YET);
	judge_look(&j, &e);
	assert_int_equal(decide(&j, e), JUDGE_NOT_YET);
	e.count[JUDGE_ERRORS].c += 1500;
	assert_int_equal(decide(&j, e), JUDGE_BAD);
}

/* ---- damage ---- */

static void counters_that_go_backwards_stand_still(void **state)
{
	struct judge j = begin(&two_rules, 0.1);
	struct judge_evidence e = errors(10, 1000, 10000, 90000), less = errors(0, 0, 0, 0);
	(void)state;
	judge_look(&j, &e);
	double before = mean_of(&j, e);
	assert_near(mean_of(&j, less), before, 1e-12);
	judge_tune(&j, &less);
	assert_int_equal(j.lens.seen.count[JUDGE_ERRORS].s, 1000);
	assert_near(mean_of(&j, e), before, 1e-12);
	/* More failures than requests: then there were at least as many requests. */
	j = begin(&(struct judge_rules){.error_rate = 0.05}, 0.1);
	assert_near(mean_of(&j, errors(2, 0, 0, 0)), mean_of(&j, errors(2, 0, 2, 0)), 1e-12);
}

static void the_largest_counters_give_a_finite_answer(void **state)
{
	static const struct judge_count count[] = {
	        {0, 0}, {UINT32_MAX, 0}, {0, UINT32_MAX}, {UINT32_MAX, UINT32_MAX}};
	static const double w[] = {1e-300, 1e-9, 0.5, 1 - 1e-12};
	static const struct judge_rules rules = {
	        .error_rate = 1e-6, .p95 = true, .error_above = 0.9, .p95_ratio = 9};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(count) * HG_COUNT(w); i++) {
		struct judge j = begin(&rules, w[i / HG_COUNT(count)]);
		struct judge_report r;
		struct judge_evidence e = {.n_new = UINT64_MAX, .n_old = UINT64_MAX};
		for (unsigned m = 0; m < JUDGE_METRICS; m++)
			e.count[m] = count[i % HG_COUNT(count)];
		for (int round = 0; round < 3; round++) {
			judge_report(&j, &e, &r);
			assert_true(isfinite(r.e) && r.e >= 0 && isfinite(r.e_good));
			assert_true(r.rate_new.lower <= r.rate_new.upper);
			judge_look(&j, &e);
			judge_epoch(&j, j.w, NULL);
		}
		for (unsigned m = 0; m < JUDGE_METRICS; m++)
			for (unsigned k = 0; k < JUDGE_TERMS; k++)
				assert_true(isfinite(j.lens.metric[m].m[k]));
	}
}

static void a_lens_of_rubbish_condemns_nobody(void **state)
{
	struct judge_lens lens = {0};
	struct judge_evidence e = errors(100, 0, 100, 0);
	struct hg_rand rand;
	double mean;
	(void)state;
	assert_int_equal(judge_decide(&lens, &e, &mean), JUDGE_NOT_YET);
	assert_true(mean == 0);
	memset(&lens, 0xff, sizeof lens); /* NaN everywhere */
	assert_int_equal(judge_decide(&lens, &e, &mean), JUDGE_NOT_YET);
	assert_true(isfinite(mean));
	struct judge j = begin(&two_rules, 0.1);
	j.lens.metric[JUDGE_P50].m[3] = NAN;
	assert_int_equal(judge_decide(&j.lens, &e, &mean), JUDGE_NOT_YET);
	hg_rand_seed(&rand, 1);
	for (int i = 0; i < 2000; i++) {
		for (size_t at = 0; at + 8 <= sizeof lens; at += 8) {
			uint64_t bits = hg_rand_u64(&rand);
			memcpy((char *)&lens + at, &bits, 8);
		}
		judge_decide(&lens, &e, &mean);
		assert_true(isfinite(mean) && mean >= 0);
	}
}

/* ---- bounds, report, plan ---- */

static void bounds_hold_the_rate_and_narrow(void **state)
{
	static const struct {
		uint64_t x, n;
	} row[] = {{0, 1}, {1, 1}, {0, 100}, {1, 1000}, {50, 100}, {99, 100}, {100, 100},
	        {10, 1000000}, {UINT32_MAX / 2, UINT32_MAX}, {0, UINT64_MAX}};
	(void)state;
	assert_true(judge_upper(0, 0, 0.05) == 1 && judge_lower(0, 0, 0.05) == 0);
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		double p = (double)row[i].x / (double)row[i].n, last_u = 1, last_l = 0;
		for (double alpha = 1e-9; alpha < 0.5; alpha *= 10) {
			double u = judge_upper(row[i].x, row[i].n, alpha);
			double l = judge_lower(row[i].x, row[i].n, alpha);
			assert_true(l >= 0 && l <= p && p <= u && u <= 1);
			assert_true(u <= last_u && l >= last_l);
			last_u = u;
			last_l = l;
		}
	}
	/* Without a failure E is about the mean of exp(p n (1 - 1/r)): 5.1 / n at 5 %. */
	assert_near(judge_upper(0, 1000, 0.05), (double)ref_upper(0, 1000, 0.05L), 1e-9);
	assert_near(judge_upper(7, 1000, 0.001), (double)ref_upper(7, 1000, 0.001L), 1e-9);
	assert_in_range((int)(judge_upper(0, 1000, 0.05) * 1e5), 300, 600);
}

/* Looked at after every request the bounds are wrong less often than they admit. */
static void bounds_hold_at_every_look(void **state)
{
	struct hg_rand rand;
	unsigned wrong = 0, runs = 300;
	(void)state;
	hg_rand_seed(&rand, 7);
	for (unsigned run = 0; run < runs; run++) {
		uint64_t x = 0;
		bool out = false;
		for (uint64_t n = 1; n <= 1000 && !out; n++) {
			bool failed = hg_rand_unit(&rand) < 0.05;
			x += failed;
			/* Only these can break them. */
			if (failed) out = judge_lower(x, n, 0.1) > 0.05;
			if (n % 16 == 0) out = out || judge_upper(x, n, 0.1) < 0.05;
		}
		wrong += out;
	}
	assert_true(wrong <= 60); /* 20 % is what both admit together */
}

static void a_step_may_pass_when_the_new_release_is_proven_good(void **state)
{
	static const struct {
		uint32_t c, s;
		uint64_t n_new, n_old;
		bool good;
	} row[] = {
	        {0, 0, 0, 0, false},
	        {0, 0, 100, 900, false},
	        {0, 0, 199, 100000, false}, /* proven against 1 %? not before some 380 */
	        {0, 0, 400, 100000, true},
	        {0, 0, 200, 0, true}, /* nothing to compare with: 5 % */
	        {50, 0, 1000, 100000, false},
	        {100, 1000, 1000, 10000, false},
	        {0, 1000, 1000, 10000, true},
	};
	struct judge_report r;
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct judge j = begin(&no_rules, 0.1);
		struct judge_evidence e = errors(row[i].c, row[i].s, row[i].n_new, row[i].n_old);
		judge_report(&j, &e, &r);
		if (r.good != row[i].good)
			fail_msg("row %zu: e_good %g, e_bad %g", i, r.e_good, r.e_bad);
		assert_true(r.good_p0 >= 0.01 && r.good_p0 <= 0.05);
	}
	/* Slower by far: it does not pass, however few requests fail. */
	struct judge j = begin(&no_rules, 0.1);
	struct judge_evidence e = {0};
	for (uint32_t i = 1; i <= 20; i++) {
		e = errors(0, 0, 50 * i, 5000 * i);
		e.count[JUDGE_P95] = (struct judge_count){i, i};
		judge_tune(&j, &e);
	}
	judge_report(&j, &e, &r);
	assert_true(r.e_good >= 20 && r.e_bad >= 10 && !r.good);
}

static void the_report_says_what_was_decided_and_why(void **state)
{
	struct judge j = begin(&two_rules, 0.1);
	struct judge_evidence e = errors(40, 360, 200, 1800);
	struct judge_report r;
	double mean;
	(void)state;
	judge_report(&j, &e, &r);
	assert_int_equal(r.verdict, judge_decide(&j.lens, &e, &mean));
	assert_true(r.e == mean && r.threshold == 1000);
	assert_true(r.e_old[0] > 20 && r.e_old[1] < 1 && r.e_old[2] == 1);
	assert_false(r.worse_now[0]);
	assert_int_equal(r.count[JUDGE_RULE_ERROR_RATE].c, 40);
	assert_true(!r.gate[JUDGE_ERRORS] && r.rate_new.rate == 0.2 && r.rate_old.n == 1800);
	assert_true(r.rate_old.lower > 0.1 && r.rate_old.upper < 0.3);
	assert_string_equal(judge_metric_name(JUDGE_RULE_P95_RATIO), "p95_vs_stable");
	assert_string_equal(judge_metric_name(JUDGE_METRICS), "unknown");
}

static void a_plan_says_never_where_nothing_can_be_found(void **state)
{
	(void)state;
	assert_true(isinf(judge_detects(&no_rules, 0.1, 0.01, 0.01)));
	assert_true(isinf(judge_detects(&no_rules, 0.1, 0.01, 0.0115))); /* the gate */
	assert_true(isinf(judge_detects(&no_rules, 0, 0, 1)));
	assert_true(isinf(judge_detects(&no_rules, 1, 0, 1)));
	assert_true(isinf(judge_detects(&no_rules, NAN, 0, 1)));
	assert_true(isinf(judge_detects(&no_rules, 0.1, NAN, 1)));
	assert_true(
	        isfinite(judge_detects(&two_rules, 1, 0, 1))); /* the rule needs no comparison */
	assert_near(judge_detects(&no_rules, 0.1, 0, 1), 50, 1e-9);
	assert_true(isinf(judge_proves(0.01, 0.01)) && isinf(judge_proves(NAN, 0.01)));
	assert_true(isinf(judge_proves(0, 0)) && isinf(judge_proves(0, 1)));
	assert_true(judge_proves(0, 0.05) == 200);
	assert_in_range((int)judge_proves(0.001, 0.01), 378, 650);
}

/* ---- latency ---- */

/* `n` slow requests of the new release, of `n` in all, in each of so many ticks; none of the old.
 */
static enum judge_verdict slow_ticks(double w, uint32_t ticks, uint32_t n, double *ret_e)
{
	struct judge j = begin(&no_rules, w);
	struct judge_evidence e = {0};
	for (uint32_t i = 0; i < ticks; i++) {
		e.n_new += n;
		e.n_old += 100;
		for (unsigned m = JUDGE_P50; m <= JUDGE_P99; m++)
			e.count[m].c += n;
		if (i + 1 < ticks) judge_tune(&j, &e);
	}
	return judge_decide(&j.lens, &e, ret_e);
}

static void a_replica_that_stalls_once_is_no_proof_of_a_slow_release(void **state)
{
	double e;
	(void)state;
	/* All of its requests of a moment were late, however many they are: one witness. */
	assert_int_equal(slow_ticks(0.1, 1, 100, &e), JUDGE_NOT_YET);
	assert_true(e < 2);
	assert_int_equal(slow_ticks(0.1, 3, 100, &e), JUDGE_NOT_YET);
	/* Three seconds of nothing else are no chance. */
	assert_int_equal(slow_ticks(0.1, 15, 10, &e), JUDGE_BAD);
	assert_int_equal(slow_ticks(0.5, 15, 10, &e), JUDGE_BAD);
	/* Known in one tick (over p50) and too slow in the next one (over p99): the same. */
	struct judge j = begin(&no_rules, 0.1);
	struct judge_evidence late = {.n_new = 50, .n_old = 500};
	judge_tune(&j, &late);
	late.count[JUDGE_P99].c = 50;
	assert_int_equal(judge_decide(&j.lens, &late, &e), JUDGE_NOT_YET);
	assert_true(e < 2);
	/* With little traffic every request is a witness of its own. */
	assert_int_equal(slow_ticks(0.1, 6, 1, &e), JUDGE_BAD);
	/* Where nine of ten replicas are new, so are nine of ten stalls. */
	assert_int_equal(slow_ticks(0.9, 30, 10, &e), JUDGE_NOT_YET);
	assert_int_equal(slow_ticks(0.9, 110, 10, &e), JUDGE_BAD);
}

/* ---- save and load ---- */

static struct judge long_life(void)
{
	struct judge_rules rules = {.alpha = 0.01,
	        .error_rate = 0.05,
	        .error_above = 0.03,
	        .p95 = true,
	        .p95_ratio = 1.5};
	struct judge j = begin(&rules, 0.1);
	struct judge_evidence e = errors(3, 20, 1000, 9000);
	e.count[JUDGE_P99] = (struct judge_count){7, 80};
	judge_look(&j, &e);
	judge_epoch(&j, 0.25, &e);
	judge_tune(&j, &e);
	return j;
}

static void what_was_saved_is_loaded_to_the_bit(void **state)
{
	struct judge j = long_life(), back;
	uint8_t bytes[JUDGE_SAVED_SIZE], again[JUDGE_SAVED_SIZE];
	(void)state;
	judge_save(&j, bytes);
	assert_memory_equal(bytes, "HGJUDGE1", 8);
	assert_true(judge_load(bytes, sizeof bytes, &back));
	assert_memory_equal(&back.lens, &j.lens, sizeof j.lens);
	judge_save(&back, again);
	assert_memory_equal(again, bytes, sizeof bytes);
	judge_init(&j, &no_rules);
	judge_save(&j, bytes);
	assert_true(judge_load(bytes, sizeof bytes, &back));
}

static void every_flipped_bit_is_refused(void **state)
{
	struct judge j = long_life(), back = {.looks = 77};
	uint8_t bytes[JUDGE_SAVED_SIZE + 1] = {0};
	(void)state;
	judge_save(&j, bytes);
	for (size_t bit = 0; bit < JUDGE_SAVED_SIZE * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(judge_load(bytes, JUDGE_SAVED_SIZE, &back));
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_false(judge_load(bytes, 0, &back));
	assert_false(judge_load(bytes, JUDGE_SAVED_SIZE - 1, &back));
	assert_false(judge_load(bytes, JUDGE_SAVED_SIZE + 1, &back));
	assert_int_equal(back.looks, 77);
}

/* With a checksum that is right, so that the ranges are what refuses. */
static void values_that_cannot_be_are_refused(void **state)
{
	static const double value[] = {NAN, INFINITY, -INFINITY, 1e300};
	struct judge j = long_life(), back;
	uint8_t bytes[JUDGE_SAVED_SIZE];
	(void)state;
	for (size_t at = 8; at + 8 < JUDGE_SAVED_SIZE; at += 8) {
		bool counter = at >= 14 * 8 && at < 34 * 8; /* the marks: any number may be */
		for (size_t v = 0; v < HG_COUNT(value) && !counter; v++) {
			judge_save(&j, bytes);
			memcpy(bytes + at, &value[v], 8);
			uint64_t crc = hg_crc32c(0, bytes, JUDGE_SAVED_SIZE - 8);
			memcpy(bytes + JUDGE_SAVED_SIZE - 8, &crc, 8);
			if (judge_load(bytes, sizeof bytes, &back))
				fail_msg("word %zu with %g was taken", at / 8, value[v]);
		}
	}
}

static void a_release_may_be_so_much_slower_and_a_millisecond_in_any_case(void **state)
{
	static const struct {
		uint64_t old_ns, new_ns;
		double tolerance;
	} rows[] = {{0, 0, 1.2}, {300000, 1300000, 1.2}, {4999999, 5999999, 1.2},
	        {5000000, 6000000, 1.2}, {20000000, 24000000, 1.2}, {400000, 1400000, 3},
	        {20000000, 21000000, 1}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++)
		assert_int_equal(
		        judge_slow_new_ns(rows[i].old_ns, rows[i].tolerance), rows[i].new_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_release_may_be_so_much_slower_and_a_millisecond_in_any_case),
	        cmocka_unit_test(without_evidence_nothing_is_believed),
	        cmocka_unit_test(a_total_failure_is_found_after_a_handful_of_requests),
	        cmocka_unit_test(a_weight_of_nothing_or_all_compares_nothing),
	        cmocka_unit_test(it_equals_the_definition_with_every_restart_kept),
	        cmocka_unit_test(an_outage_of_both_during_a_ramp_condemns_nobody),
	        cmocka_unit_test(evidence_is_carried_over_epochs),
	        cmocka_unit_test(late_completions_count_with_the_weight_of_their_draw),
	        cmocka_unit_test(a_tick_leaves_the_evidence_as_it_is),
	        cmocka_unit_test(after_a_healthy_quarter_of_an_hour_it_is_still_awake),
	        cmocka_unit_test(both_over_the_limit_is_a_pause_and_not_a_verdict),
	        cmocka_unit_test(the_limit_on_p95_is_a_rule_of_its_own),
	        cmocka_unit_test(the_difference_rule_knows_its_limit_after_a_tick),
	        cmocka_unit_test(nonsense_in_rules_becomes_the_default),
	        cmocka_unit_test(weights_sum_up_to_one),
	        cmocka_unit_test(a_rule_waits_until_it_knows_whom_to_blame),
	        cmocka_unit_test(fewer_than_three_failures_are_never_a_verdict),
	        cmocka_unit_test(a_proven_but_tiny_difference_is_not_a_verdict),
	        cmocka_unit_test(counters_that_go_backwards_stand_still),
	        cmocka_unit_test(the_largest_counters_give_a_finite_answer),
	        cmocka_unit_test(a_lens_of_rubbish_condemns_nobody),
	        cmocka_unit_test(bounds_hold_the_rate_and_narrow),
	        cmocka_unit_test(bounds_hold_at_every_look),
	        cmocka_unit_test(a_step_may_pass_when_the_new_release_is_proven_good),
	        cmocka_unit_test(the_report_says_what_was_decided_and_why),
	        cmocka_unit_test(a_replica_that_stalls_once_is_no_proof_of_a_slow_release),
	        cmocka_unit_test(a_plan_says_never_where_nothing_can_be_found),
	        cmocka_unit_test(what_was_saved_is_loaded_to_the_bit),
	        cmocka_unit_test(every_flipped_bit_is_refused),
	        cmocka_unit_test(values_that_cannot_be_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
