#include "../test.h"

#include "base/rand.h"
#include "math/hedge.h"

#define MS 1000000u

static const struct hedge_rules p95 = {.quantile_ppm = 950000};

static void a_fixed_time_needs_no_knowledge(void **state)
{
	struct hedge h = {0};
	static const struct hedge_rules fixed = {.after_ms = 20};
	(void)state;
	assert_int_equal(hedge_after(&h, &fixed, 5), 20);
	for (int i = 0; i < 1000; i++)
		hedge_observe(&h, 700 * (uint64_t)MS, 5);
	assert_int_equal(hedge_after(&h, &fixed, 5), 20);
}

static void a_quantile_needs_a_hundred_answers(void **state)
{
	struct hedge h = {0};
	(void)state;
	assert_int_equal(hedge_after(&h, &p95, 1), 0);
	for (int i = 0; i < 99; i++)
		hedge_observe(&h, 10 * MS, 1);
	assert_int_equal(hedge_after(&h, &p95, 1), 0);
	hedge_observe(&h, 10 * MS, 1);
	/* A bucket is an eighth of an octave wide: up to 12.5 % late, never early. */
	assert_in_range(hedge_after(&h, &p95, 1), 10, 12);
}

static void quantiles_are_at_most_an_eighth_late(void **state)
{
	static const struct {
		uint32_t ppm;
		double want_ms; /* of a uniform distribution on 0 … 1000 ms */
	} cases[] = {{500000, 500}, {900000, 900}, {950000, 950}, {990000, 990}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(cases); i++) {
		struct hedge h = {0};
		struct hg_rand rand;
		struct hedge_rules r = {.quantile_ppm = cases[i].ppm};
		hg_rand_seed(&rand, 3);
		for (int k = 0; k < 100000; k++)
			hedge_observe(&h, hg_rand_below(&rand, 1000000) * (uint64_t)1000, 7);
		double ms = hedge_after(&h, &r, 7);
		assert_true(ms >= cases[i].want_ms * 0.98 && ms <= cases[i].want_ms * 1.13);
	}
}

static void what_is_ten_seconds_old_is_forgotten(void **state)
{
	struct hedge h = {0};
	(void)state;
	for (int i = 0; i < 1000; i++)
		hedge_observe(&h, 100 * (uint64_t)MS, 1000);
	assert_in_range(hedge_after(&h, &p95, 1000), 100, 113);
	for (int i = 0; i < 200; i++)
		hedge_observe(&h, 10 * MS, 7000);
	/* The last turn counts on … */
	assert_in_range(hedge_after(&h, &p95, 7000), 100, 113);
	for (int i = 0; i < 200; i++)
		hedge_observe(&h, 10 * MS, 12500);
	/* … the one before it does not, */
	assert_in_range(hedge_after(&h, &p95, 12500), 10, 12);
	/* and after a silence nothing is known. */
	assert_int_equal(hedge_after(&h, &p95, 60000), 0);
}

/* One in twenty is slow. Those are overtaken, and counted at the age they then had. */
static void overtaken_attempts_do_not_lower_the_quantile(void **state)
{
	struct hedge h = {0};
	struct hg_rand rand;
	int hedged = 0;
	(void)state;
	hg_rand_seed(&rand, 1);
	for (int i = 0; i < 200000; i++) {
		uint64_t now = 1 + (uint64_t)i / 10;
		/* 1 … 3 ms, and 4 % of them 400 ms */
		uint64_t ns = MS + hg_rand_below(&rand, 2 * MS);
		if (hg_rand_below(&rand, 25) == 0) ns = 400 * (uint64_t)MS;
		uint32_t after = hedge_after(&h, &p95, now);
		if (after && ns > after * (uint64_t)MS) {
			hedged++;
			ns = after * (uint64_t)MS + 2 * MS; /* the second one's answer */
		}
		hedge_observe(&h, ns, now);
		if (after) assert_in_range(after, 2, 4);
	}
	/* Never more than about the share above the quantile. */
	assert_in_range(hedged, 200000 * 3 / 100, 200000 * 6 / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_fixed_time_needs_no_knowledge),
	        cmocka_unit_test(a_quantile_needs_a_hundred_answers),
	        cmocka_unit_test(quantiles_are_at_most_an_eighth_late),
	        cmocka_unit_test(what_is_ten_seconds_old_is_forgotten),
	        cmocka_unit_test(overtaken_attempts_do_not_lower_the_quantile),
	};
	return cmocka_run_group_tests_name("hedge", tests, NULL, NULL);
}
