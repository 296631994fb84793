#include "../test.h"

#include "base/rand.h"
#include "math/outlier.h"

#include <math.h>

/* As the meter has them, about. */
static const double bounds[OUTLIER_BUCKETS] = {0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01,
        0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30, INFINITY};

static const struct outlier_rules rules = {.errors_ppm = 100000,
        .slower_ppm = 5000000,
        .min_requests = 20,
        .max_ppm = 500000,
        .bounds = bounds};

static uint32_t bucket_of(double s)
{
	uint32_t i = 0;
	while (i < OUTLIER_BUCKETS - 1 && s > bounds[i])
		i++;
	return i;
}

static void answer(struct outlier_seen *s, int n, double seconds, int errors)
{
	s->bucket[bucket_of(seconds)] += (uint32_t)n;
	s->errors += (uint32_t)errors;
}

static void who_fails_more_than_the_others_is_out(void **state)
{
	static const struct {
		int count;
		int n[5], bad[5];
		int want; /* the one that is out, −1: none */
	} cases[] = {
	        {3, {100, 100, 100}, {0, 30, 0}, 1}, /* a mean of all could never say so of three */
	        {2, {100, 100}, {0, 30}, 1}, {5, {100, 100, 100, 100, 100}, {1, 0, 30, 2, 0}, 2},
	        {3, {100, 100, 100}, {30, 30, 30}, -1}, /* what all depend on is out of order */
	        {3, {100, 100, 100}, {40, 30, 20}, -1},
	        {3, {100, 100, 100}, {0, 9, 0}, -1}, /* less than ten points above */
	        {3, {100, 19, 100}, {0, 19, 0}, -1}, /* too few to tell */
	        {3, {100, 20, 100}, {0, 20, 0}, 1},
	        {3, {20, 20, 20}, {0, 3, 0}, -1},                    /* 15 points, by chance */
	        {3, {1000, 1000, 1000}, {400, 250, 250}, -1},        /* an outage that all share */
	        {1, {100}, {100}, -1}, {2, {19, 100}, {0, 100}, -1}, /* nobody to compare it with */
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(cases); i++) {
		struct outlier_seen seen[5] = {0};
		uint8_t verdict[5];
		for (int k = 0; k < cases[i].count; k++)
			answer(&seen[k], cases[i].n[k], 0.001, cases[i].bad[k]);
		outlier_decide(&rules, seen, (uint32_t)cases[i].count, verdict);
		for (int k = 0; k < cases[i].count; k++)
			assert_int_equal(
			        verdict[k], k == cases[i].want ? OUTLIER_FAILS : OUTLIER_FINE);
	}
}

static void no_answer_is_a_failure(void **state)
{
	struct outlier_seen seen[3] = {0};
	uint8_t verdict[3];
	(void)state;
	answer(&seen[0], 500, 0.001, 0);
	seen[1].failures = 20; /* a black hole */
	answer(&seen[2], 500, 0.001, 0);
	outlier_decide(&rules, seen, 3, verdict);
	assert_int_equal(verdict[0], OUTLIER_FINE);
	assert_int_equal(verdict[1], OUTLIER_FAILS);
	assert_int_equal(verdict[2], OUTLIER_FINE);
}

static void who_is_slower_than_the_others_is_out(void **state)
{
	static const struct {
		double s[3];
		int n[3];
		int want;
	} cases[] = {
	        {{0.005, 0.5, 0.005}, {500, 20, 500}, 1}, {{0.005, 0.5, 0.005}, {500, 19, 500}, -1},
	        {{0.1, 0.3, 0.1}, {100, 100, 100}, -1},          /* three times, not five */
	        {{0.0004, 0.0028, 0.0004}, {100, 100, 100}, -1}, /* below 5 ms: the machine's */
	        {{0.5, 0.5, 0.5}, {100, 100, 100}, -1},
	        {{25, 60, 0.005}, {100, 100, 100}, 1}, /* the floor keeps the other one */
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(cases); i++) {
		struct outlier_seen seen[3] = {0};
		uint8_t verdict[3];
		for (int k = 0; k < 3; k++)
			answer(&seen[k], cases[i].n[k], cases[i].s[k], 0);
		outlier_decide(&rules, seen, 3, verdict);
		for (int k = 0; k < 3; k++)
			assert_int_equal(
			        verdict[k], k == cases[i].want ? OUTLIER_SLOW : OUTLIER_FINE);
	}
}

/* A few slow answers (big ones, slow clients) are no slow replica. */
static void a_tail_is_not_a_median(void **state)
{
	struct outlier_seen seen[2] = {0};
	uint8_t verdict[2];
	(void)state;
	answer(&seen[0], 100, 0.004, 0);
	answer(&seen[1], 60, 0.004, 0);
	answer(&seen[1], 40, 5, 0);
	outlier_decide(&rules, seen, 2, verdict);
	assert_int_equal(verdict[1], OUTLIER_FINE);
}

static void the_floor_holds_and_the_worst_are_first(void **state)
{
	struct outlier_seen seen[6] = {0};
	uint8_t verdict[6];
	static const int bad[6] = {60, 0, 90, 0, 0, 70};
	(void)state;
	for (int k = 0; k < 6; k++)
		answer(&seen[k], 100, 0.001, bad[k]);
	struct outlier_rules r = rules;
	r.max_ppm = 400000; /* two of six */
	outlier_decide(&r, seen, 6, verdict);
	static const uint8_t two[6] = {0, 0, OUTLIER_FAILS, 0, 0, OUTLIER_FAILS};
	assert_memory_equal(verdict, two, 6);
	/* One that is out already counts, and nobody is compared with it. */
	seen[2].out = true;
	outlier_decide(&r, seen, 6, verdict);
	static const uint8_t one[6] = {0, 0, 0, 0, 0, OUTLIER_FAILS};
	assert_memory_equal(verdict, one, 6);
	r.max_ppm = 0;
	outlier_decide(&r, seen, 6, verdict);
	static const uint8_t none[6] = {0};
	assert_memory_equal(verdict, none, 6);
}

static void room_and_backoff(void **state)
{
	(void)state;
	assert_true(outlier_room(2, 0, 100000)); /* at least one of two */
	assert_false(outlier_room(2, 1, 1000000));
	assert_false(outlier_room(1, 0, 1000000));
	assert_true(outlier_room(10, 4, 500000));
	assert_false(outlier_room(10, 5, 500000));
	assert_false(outlier_room(10, 0, 0));
	assert_int_equal(outlier_for_ms(30000, 1), 30000);
	assert_int_equal(outlier_for_ms(30000, 3), 90000);
	assert_int_equal(outlier_for_ms(30000, 1000), 300000);
	assert_int_equal(outlier_for_ms(30000, 0), 30000);
}

/* ---- played ---- */

/* A long tail: a median of 10 ms, one in a hundred takes 100 ms and more. */
static double latency(struct hg_rand *r)
{
	double u = hg_rand_unit(r), v = hg_rand_unit(r);
	return 0.01 * exp(sqrt(-2 * log(1 - u)) * cos(6.283185307 * v));
}

/* One look at `n` replicas with `each` requests. */
static uint32_t play(struct hg_rand *r, uint32_t n, uint32_t each, const double *fails,
        const double *times, uint8_t *verdict)
{
	struct outlier_seen seen[32] = {0};
	uint32_t out = 0;
	for (uint32_t k = 0; k < n; k++) {
		for (uint32_t i = 0; i < each; i++) {
			answer(&seen[k], 1, latency(r) * times[k], 0);
			if (hg_rand_unit(r) < fails[k]) seen[k].errors++;
		}
	}
	outlier_decide(&rules, seen, n, verdict);
	for (uint32_t k = 0; k < n; k++)
		out += verdict[k] != OUTLIER_FINE;
	return out;
}

static void equal_replicas_are_left_alone(void **state)
{
	static const uint32_t teams[] = {2, 3, 5, 20}, requests[] = {20, 100, 1000};
	static const double shares[] = {0, 0.01, 0.1, 0.5};
	double fails[32], times[32];
	uint8_t verdict[32];
	struct hg_rand r;
	uint32_t looks = 0, out = 0;
	(void)state;
	hg_rand_seed(&r, 5);
	for (size_t t = 0; t < HG_COUNT(teams); t++) {
		for (size_t q = 0; q < HG_COUNT(requests); q++) {
			for (size_t s = 0; s < HG_COUNT(shares); s++) {
				for (int k = 0; k < 32; k++) {
					fails[k] = shares[s];
					times[k] = 1;
				}
				int times_n = requests[q] == 1000 ? 30 : 300;
				for (int i = 0; i < times_n; i++, looks++)
					out += play(
					        &r, teams[t], requests[q], fails, times, verdict);
			}
		}
	}
	print_message("# %u looks at equal replicas: %u left out\n", looks, out);
	assert_true(out <= looks / 3000);
}

static void the_one_that_differs_is_found(void **state)
{
	static const struct {
		uint32_t team, each;
		double fails, times;
		uint32_t least; /* of 300 looks */
	} cases[] = {{3, 50, 0.3, 1, 200}, {3, 200, 0.3, 1, 299}, {20, 50, 0.3, 1, 280},
	        {3, 20, 0, 100, 300}, {20, 20, 0, 100, 300}, {2, 20, 0, 10, 290}};
	uint8_t verdict[32];
	struct hg_rand r;
	(void)state;
	hg_rand_seed(&r, 9);
	for (size_t i = 0; i < HG_COUNT(cases); i++) {
		double fails[32] = {0}, times[32];
		uint32_t found = 0, wrong = 0;
		for (int k = 0; k < 32; k++) {
			fails[k] = 0.005;
			times[k] = 1;
		}
		fails[1] += cases[i].fails;
		times[1] = cases[i].times;
		for (int k = 0; k < 300; k++) {
			uint32_t out =
			        play(&r, cases[i].team, cases[i].each, fails, times, verdict);
			found += verdict[1] != OUTLIER_FINE;
			wrong += out - (verdict[1] != OUTLIER_FINE);
		}
		print_message("# team %u, %u requests each, %.0f %% fail, %.0f times as slow: "
		              "found in %u of 300 looks, %u others\n",
		        cases[i].team, cases[i].each, cases[i].fails * 100, cases[i].times, found,
		        wrong);
		assert_true(found >= cases[i].least);
		assert_int_equal(wrong, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(who_fails_more_than_the_others_is_out),
	        cmocka_unit_test(no_answer_is_a_failure),
	        cmocka_unit_test(who_is_slower_than_the_others_is_out),
	        cmocka_unit_test(a_tail_is_not_a_median),
	        cmocka_unit_test(the_floor_holds_and_the_worst_are_first),
	        cmocka_unit_test(room_and_backoff),
	        cmocka_unit_test(equal_replicas_are_left_alone),
	        cmocka_unit_test(the_one_that_differs_is_found),
	};
	return cmocka_run_group_tests_name("outlier", tests, NULL, NULL);
}
