#include "../test.h"

#include "math/burnrate.h"

#include <math.h>

#define DAY_MIN (24u * 60)

static void a_budget_of_99_95_over_30_days_is_21_6_minutes(void **state)
{
	static const struct {
		uint32_t objective_ppm;
		uint64_t days, want_ms;
	} cases[] = {
	        {999500, 30, 1296000},  /* 21.6 min; neither 22 nor 2.16 hours */
	        {999900, 365, 3153600}, /* 52.56 min a year */
	        {999000, 30, 2592000},  /* 43.2 min */
	        {990000, 7, 6048000},   /* 100.8 min */
	        {999999, 365, 31536},   /* 31.5 s a year */
	        {500000, 30, 1296000000},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(cases); i++)
		assert_int_equal(
		        burn_budget_ms(cases[i].objective_ppm, cases[i].days * DAY_MIN * 60000),
		        cases[i].want_ms);
}

static void windows_follow_the_period_and_factors_the_workbook(void **state)
{
	static const struct {
		uint64_t period_min;
		uint64_t long_min[BURN_RULES], short_min[BURN_RULES];
		double factor[BURN_RULES];
	} cases[] = {
	        {30 * DAY_MIN, {60, 360, 1440, 4320}, {5, 30, 120, 360}, {14.4, 6, 3, 1}},
	        {90 * DAY_MIN, {180, 1080, 4320, 12960}, {15, 90, 360, 1080}, {14.4, 6, 3, 1}},
	        {7 * DAY_MIN, {14, 84, 336, 1008}, {1, 7, 28, 84}, {14.4, 6, 3, 1}},
	        {365 * DAY_MIN, {730, 4380, 17520, 52560}, {61, 365, 1460, 4380}, {14.4, 6, 3, 1}},
	        /* Never shorter than a minute; the share of the budget stays what it is. */
	        {60, {1, 1, 2, 6}, {1, 1, 1, 1}, {1.2, 3, 3, 1}},
	        {1, {1, 1, 1, 1}, {1, 1, 1, 1}, {0.02, 0.05, 0.1, 0.1}},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(cases); i++) {
		struct burn_rule r[BURN_RULES];
		burn_rules(cases[i].period_min, r);
		for (int k = 0; k < (int)BURN_RULES; k++) {
			assert_int_equal(r[k].long_min, cases[i].long_min[k]);
			assert_int_equal(r[k].short_min, cases[i].short_min[k]);
			assert_float_equal(burn_rule_factor(&r[k], cases[i].period_min),
			        cases[i].factor[k], cases[i].factor[k] * 0.001);
			assert_int_equal(r[k].page, k < 2);
		}
	}
}

static void a_rule_holds_above_its_limit_in_both_windows_and_not_at_it(void **state)
{
	/* 99.95 %: burn 14.4 is 0.72 % errors, 6 is 0.3 %, 3 is 0.15 %, 1 is 0.05 %. */
	static const struct {
		int rule;
		struct burn_counts in_long, in_short;
		uint64_t least;
		bool want;
	} cases[] = {
	        {0, {720, 100000}, {100, 1000}, 1, false}, /* exactly at it */
	        {0, {721, 100000}, {100, 1000}, 1, true},
	        {0, {721, 100000}, {72, 10000}, 1, false}, /* it is over by now */
	        {0, {721, 100000}, {73, 10000}, 1, true},
	        {0, {100, 1000}, {72, 10000}, 1, false},
	        {1, {300, 100000}, {301, 100000}, 1, false},
	        {1, {301, 100000}, {301, 100000}, 1, true},
	        {2, {150, 100000}, {1, 1}, 1, false},
	        {2, {151, 100000}, {1, 1}, 1, true},
	        {3, {50, 100000}, {1, 1}, 1, false},
	        {3, {51, 100000}, {1, 1}, 1, true},
	        {0, {0, 0}, {0, 0}, 0, false},      /* nobody asked anything */
	        {0, {100, 1000}, {0, 0}, 1, false}, /* … lately */
	        {0, {4, 4}, {4, 4}, 5, false},      /* too few to wake somebody */
	        {0, {5, 5}, {5, 5}, 5, true},
	        /* A year of a million requests a second: whole numbers hold it. */
	        {0, {227059200001u, 31536000000000u}, {1, 1}, 1, true},
	        {0, {227059200000u, 31536000000000u}, {1, 1}, 1, false},
	};
	struct burn_rule r[BURN_RULES];
	(void)state;
	burn_rules(30 * DAY_MIN, r);
	for (size_t i = 0; i < HG_COUNT(cases); i++) {
		bool have = burn_rule_holds(&r[cases[i].rule], 30 * DAY_MIN, 999500,
		        cases[i].in_long, cases[i].in_short, cases[i].least);
		if (have != cases[i].want) fail_msg("case %zu: %d", i, have);
	}
}

static void what_is_left_of_a_budget(void **state)
{
	static const struct {
		struct burn_counts c;
		uint32_t objective_ppm;
		double want;
	} cases[] = {
	        {{0, 0}, 999500, 1},
	        {{0, 1000}, 999500, 1},
	        {{1, 2000}, 999500, 0},
	        {{25, 100000}, 999500, 0.5},
	        {{200, 100000}, 999500, -3},
	        {{1, 1}, 999500, -1999},
	        {{1, 40}, 950000, 0.5},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(cases); i++) {
		double left = burn_left(cases[i].c, cases[i].objective_ppm);
		assert_float_equal(left, cases[i].want, 1e-9);
		/* The exact question agrees away from the edge and knows the edge. */
		assert_int_equal(burn_left_below(cases[i].c, cases[i].objective_ppm, 100000),
		        left < 0.1 - 1e-9);
	}
	assert_false(burn_left_below((struct burn_counts){45, 100000}, 999500, 100000)); /* 10 % */
	assert_true(burn_left_below((struct burn_counts){46, 100000}, 999500, 100000));
	assert_false(burn_left_below((struct burn_counts){0, 0}, 999500, 1000000));
	assert_true(burn_left_below((struct burn_counts){1, 1000000}, 999500, 1000000));
	assert_false(burn_left_below((struct burn_counts){50, 100000}, 999500, 0));
	assert_true(burn_left_below((struct burn_counts){51, 100000}, 999500, 0));
}

static void when_nothing_will_be_left(void **state)
{
	(void)state;
	/* A whole budget of 30 days at burn 14.4: 50 hours. */
	assert_float_equal(burn_exhausted_in_s(1, 14.4, 30 * DAY_MIN), 50 * 3600, 1e-6);
	assert_float_equal(burn_exhausted_in_s(0.5, 6, 30 * DAY_MIN), 60 * 3600, 1e-6);
	assert_true(burn_exhausted_in_s(0.5, 1, 30 * DAY_MIN) < 0);
	assert_true(burn_exhausted_in_s(1, 0, 30 * DAY_MIN) < 0);
	assert_float_equal(burn_exhausted_in_s(0, 14.4, 30 * DAY_MIN), 0, 0);
	assert_float_equal(burn_exhausted_in_s(-2, 0, 30 * DAY_MIN), 0, 0);
}

static void burn_rates(void **state)
{
	(void)state;
	assert_float_equal(burn_rate((struct burn_counts){0, 0}, 999500), 0, 0);
	assert_float_equal(burn_rate((struct burn_counts){72, 10000}, 999500), 14.4, 1e-9);
	/* 95 % fast: it cannot burn faster than 20. */
	assert_float_equal(burn_rate((struct burn_counts){10, 10}, 950000), 20, 1e-9);
}

static void a_counter_that_fell_began_anew(void **state)
{
	(void)state;
	assert_int_equal(burn_gained(5, 9), 4);
	assert_int_equal(burn_gained(5, 5), 0);
	assert_int_equal(burn_gained(5, 3), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_budget_of_99_95_over_30_days_is_21_6_minutes),
	        cmocka_unit_test(windows_follow_the_period_and_factors_the_workbook),
	        cmocka_unit_test(a_rule_holds_above_its_limit_in_both_windows_and_not_at_it),
	        cmocka_unit_test(what_is_left_of_a_budget),
	        cmocka_unit_test(when_nothing_will_be_left),
	        cmocka_unit_test(burn_rates),
	        cmocka_unit_test(a_counter_that_fell_began_anew),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
