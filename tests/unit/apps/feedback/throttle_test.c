#include "tests/unit/test.h"

#include "apps/feedback/throttle.c"

static const struct throttle_policy policy = {
        .free = 3, .wait_ms = 1000, .most_ms = 8000, .forget_ms = 60000};

static void the_first_failures_cost_nothing_then_each_doubles_the_wait(void **state)
{
	static const uint64_t wait[] = {0, 0, 0, 1000, 2000, 4000, 8000, 8000};
	struct throttle_state s = {0};
	uint64_t now = 1000000;
	(void)state;
	for (size_t i = 0; i < HG_COUNT(wait); i++) {
		assert_true(throttle_wait_ms(&policy, s, now) == wait[i]);
		now += wait[i];
		assert_true(throttle_wait_ms(&policy, s, now) == 0);
		s = throttle_attempt(&policy, s, now);
	}
}

static void who_waits_long_enough_begins_anew(void **state)
{
	struct throttle_state s = {.failures = 1000000, .last_ms = 5000};
	(void)state;
	assert_true(throttle_wait_ms(&policy, s, 5000) == 8000);
	assert_true(throttle_wait_ms(&policy, s, 5000 + 60000) == 0);
	assert_true(throttle_attempt(&policy, s, 65000).failures == 1);
	assert_true(throttle_attempt(&policy, s, 64999).failures == 1000001);
}

static void a_clock_that_was_set_back_locks_nobody_out(void **state)
{
	struct throttle_state s = {.failures = 9, .last_ms = 10000000};
	(void)state;
	assert_true(throttle_wait_ms(&policy, s, 1000) == 0);
	assert_true(throttle_wait_ms(&policy, s, 9999000) <= 9000);
}

static void a_day_of_guessing_at_one_account_is_bounded(void **state)
{
	struct throttle_state s = {0};
	unsigned tries = 0;
	(void)state;
	for (uint64_t now = 1; now < 86400000u; now += 250) {
		if (throttle_wait_ms(&throttle_account, s, now)) continue;
		s = throttle_attempt(&throttle_account, s, now);
		tries++;
	}
	assert_in_range(tries, 50, 120);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_first_failures_cost_nothing_then_each_doubles_the_wait),
	        cmocka_unit_test(who_waits_long_enough_begins_anew),
	        cmocka_unit_test(a_clock_that_was_set_back_locks_nobody_out),
	        cmocka_unit_test(a_day_of_guessing_at_one_account_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
