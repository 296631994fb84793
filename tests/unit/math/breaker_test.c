#include "../test.h"

#include "base/rand.h"
#include "math/breaker.h"

static const struct breaker_rules rules = {
        .errors_ppm = 500000, .over_ms = 10000, .open_ms = 15000, .min_requests = 10, .probes = 3};

/* One request that ends at once; false: it was refused. */
static bool one(struct breaker *b, enum breaker_outcome how, uint64_t now)
{
	uint32_t term;
	if (!breaker_ask(b, &rules, now, &term)) return false;
	(void)breaker_tell(b, &rules, term, how, now);
	return true;
}

static void it_opens_at_the_share_and_not_before_enough_requests(void **state)
{
	static const struct {
		int good, bad;
		enum breaker_state want;
	} cases[] = {{0, 9, BREAKER_CLOSED}, {0, 10, BREAKER_OPEN}, {5, 5, BREAKER_OPEN},
	        {6, 5, BREAKER_CLOSED}, {1000, 999, BREAKER_CLOSED}, {1000, 1000, BREAKER_OPEN}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(cases); i++) {
		struct breaker b = {0};
		for (int k = 0; k < cases[i].good; k++)
			assert_true(one(&b, BREAKER_GOOD, 1000));
		for (int k = 0; k < cases[i].bad; k++)
			assert_true(one(&b, BREAKER_BAD, 1000));
		assert_int_equal(b.state, cases[i].want);
		assert_int_equal(one(&b, BREAKER_GOOD, 1000), cases[i].want == BREAKER_CLOSED);
	}
}

static void what_left_the_window_counts_no_more(void **state)
{
	struct breaker b = {0};
	(void)state;
	for (int k = 0; k < 9; k++)
		one(&b, BREAKER_BAD, 1000);
	one(&b, BREAKER_BAD, 12000);
	assert_int_equal(b.state, BREAKER_CLOSED);
	for (int k = 0; k < 8; k++)
		one(&b, BREAKER_BAD, 20000);
	assert_int_equal(b.state, BREAKER_CLOSED);
	one(&b, BREAKER_BAD, 20900);
	assert_int_equal(b.state, BREAKER_OPEN);
	/* Years later, and backwards. */
	struct breaker c = {0};
	one(&c, BREAKER_BAD, (uint64_t)1 << 50);
	for (int k = 0; k < 8; k++)
		one(&c, BREAKER_BAD, 5);
	assert_int_equal(c.state, BREAKER_CLOSED);
	one(&c, BREAKER_BAD, 5);
	assert_int_equal(c.state, BREAKER_OPEN);
}

static struct breaker opened(uint64_t now)
{
	struct breaker b = {0};
	for (int k = 0; k < 10; k++)
		one(&b, BREAKER_BAD, now);
	assert_int_equal(b.state, BREAKER_OPEN);
	return b;
}

static void probes_that_succeed_close_it(void **state)
{
	struct breaker b = opened(1000);
	uint32_t term[4];
	(void)state;
	assert_int_equal(breaker_wait_ms(&b, 1000), 15000);
	assert_int_equal(breaker_wait_ms(&b, 15999), 1);
	assert_false(breaker_ask(&b, &rules, 15999, &term[0]));
	for (int k = 0; k < 3; k++)
		assert_true(breaker_ask(&b, &rules, 16000, &term[k]));
	assert_false(breaker_ask(&b, &rules, 16000, &term[3]));
	assert_int_equal(breaker_wait_ms(&b, 16000), 0);
	assert_false(breaker_tell(&b, &rules, term[0], BREAKER_GOOD, 16100));
	/* A place that told good is not given away again: three good ones in all. */
	assert_false(breaker_ask(&b, &rules, 16100, &term[3]));
	assert_false(breaker_tell(&b, &rules, term[1], BREAKER_GOOD, 16100));
	assert_true(breaker_tell(&b, &rules, term[2], BREAKER_GOOD, 16100));
	assert_int_equal(b.state, BREAKER_CLOSED);
	/* The old failures are forgotten. */
	assert_true(one(&b, BREAKER_BAD, 16100));
	assert_int_equal(b.state, BREAKER_CLOSED);
}

static void a_probe_that_fails_opens_it_again(void **state)
{
	struct breaker b = opened(1000);
	uint32_t first, second, third;
	(void)state;
	assert_true(breaker_ask(&b, &rules, 16000, &first));
	assert_true(breaker_ask(&b, &rules, 16000, &second));
	assert_true(breaker_tell(&b, &rules, first, BREAKER_BAD, 17000));
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_int_equal(breaker_wait_ms(&b, 17000), 15000);
	/* The other one comes too late to say anything. */
	assert_false(breaker_tell(&b, &rules, second, BREAKER_GOOD, 17001));
	assert_true(breaker_ask(&b, &rules, 32000, &third));
	assert_false(breaker_tell(&b, &rules, second, BREAKER_BAD, 32001));
	assert_int_equal(b.state, BREAKER_HALF_OPEN);
}

static void a_probe_that_says_nothing_makes_room_for_another(void **state)
{
	struct breaker b = opened(1000);
	uint32_t term;
	(void)state;
	for (int k = 0; k < 100; k++) {
		assert_true(breaker_ask(&b, &rules, 16000, &term));
		assert_false(breaker_tell(&b, &rules, term, BREAKER_NONE, 16000));
	}
	for (int k = 0; k < 3; k++)
		assert_true(one(&b, BREAKER_GOOD, 16000));
	assert_int_equal(b.state, BREAKER_CLOSED);
}

static void late_answers_of_before_it_opened_do_not_count(void **state)
{
	struct breaker b = {0};
	uint32_t term;
	(void)state;
	assert_true(breaker_ask(&b, &rules, 500, &term));
	for (int k = 0; k < 10; k++)
		one(&b, BREAKER_BAD, 1000);
	assert_false(breaker_tell(&b, &rules, term, BREAKER_GOOD, 16000));
	assert_int_equal(b.state, BREAKER_OPEN);
}

static void taking_the_rule_away_closes_it(void **state)
{
	struct breaker b = opened(1000);
	struct breaker_rules none = {0};
	uint32_t term;
	(void)state;
	assert_true(breaker_ask(&b, &none, 1001, &term));
	assert_int_equal(b.state, BREAKER_CLOSED);
	for (int k = 0; k < 1000; k++)
		assert_false(breaker_tell(&b, &none, term, BREAKER_BAD, 1001));
}

/* An hour of virtual time with an outage in the middle: what the app is spared, what is lost. */
static void a_dead_app_is_asked_a_few_times_a_window(void **state)
{
	struct breaker b = {0};
	struct hg_rand r;
	uint64_t asked_dead = 0, refused_after = 0, closed_ms = 0;
	(void)state;
	hg_rand_seed(&r, 3);
	for (uint64_t t = 0; t < 3600000; t += 10) {
		bool dead = t >= 600000 && t < 1200000;
		/* 2 % of all fail on any day: that alone never opens it. */
		bool bad = dead || hg_rand_below(&r, 100) < 2;
		bool passed = one(&b, bad ? BREAKER_BAD : BREAKER_GOOD, t);
		if (t < 600000) assert_true(passed);
		asked_dead += dead && passed;
		refused_after += t >= 1200000 && !passed;
		if (t >= 1200000 && passed && b.state == BREAKER_CLOSED && !closed_ms)
			closed_ms = t - 1200000;
	}
	/* 60,000 requests came while it was dead. It takes half a window to notice, then one a
	 * quarter of a minute. */
	assert_in_range(asked_dead, 400, 600);
	assert_in_range(closed_ms, 1, 15100);
	assert_in_range(refused_after, 1, 1600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(it_opens_at_the_share_and_not_before_enough_requests),
	        cmocka_unit_test(what_left_the_window_counts_no_more),
	        cmocka_unit_test(probes_that_succeed_close_it),
	        cmocka_unit_test(a_probe_that_fails_opens_it_again),
	        cmocka_unit_test(a_probe_that_says_nothing_makes_room_for_another),
	        cmocka_unit_test(late_answers_of_before_it_opened_do_not_count),
	        cmocka_unit_test(taking_the_rule_away_closes_it),
	        cmocka_unit_test(a_dead_app_is_asked_a_few_times_a_window),
	};
	return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
