#include "../test.h"

#include "math/backoff.h"

static void waits_double_from_nothing_to_a_minute(void **state)
{
	static const uint32_t want[] = {0, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct backoff b = {0};
		struct hg_rand r;
		hg_rand_seed(&r, seed);
		for (size_t i = 0; i < HG_COUNT(want); i++) {
			uint32_t ms = backoff_ended(&b, 0, &r);
			assert_in_range(ms, want[i] - want[i] / 4, want[i] + want[i] / 4);
			assert_int_equal(backoff_crash_loop(&b), i >= 2);
		}
	}
}

static void the_jitter_spreads_over_the_whole_quarter(void **state)
{
	uint32_t least = UINT32_MAX, most = 0;
	struct hg_rand r;
	(void)state;
	hg_rand_seed(&r, 7);
	for (int i = 0; i < 1000; i++) {
		struct backoff b = {.streak = 20};
		uint32_t ms = backoff_ended(&b, 0, &r);
		least = HG_MIN(least, ms);
		most = HG_MAX(most, ms);
	}
	assert_in_range(least, 45000, 46000);
	assert_in_range(most, 74000, 75000);
}

static void ten_healthy_minutes_forgive_and_less_do_not(void **state)
{
	struct hg_rand r;
	struct backoff b = {.streak = 5};
	(void)state;
	hg_rand_seed(&r, 3);
	backoff_healthy(&b, BACKOFF_HEALTHY_MS - 1);
	assert_true(backoff_crash_loop(&b));
	assert_true(backoff_ended(&b, BACKOFF_HEALTHY_MS - 1, &r) > 0);
	assert_int_equal(backoff_ended(&b, BACKOFF_HEALTHY_MS, &r), 0);
	assert_false(backoff_crash_loop(&b));
	assert_int_equal(b.streak, 1);
}

static void it_never_gives_up(void **state)
{
	struct hg_rand r;
	struct backoff b = {.streak = UINT32_MAX - 1};
	(void)state;
	hg_rand_seed(&r, 3);
	for (int i = 0; i < 5; i++) {
		assert_in_range(backoff_ended(&b, 0, &r), 45000, 75000);
		assert_true(backoff_crash_loop(&b));
	}
}

static void attempts_come_at_once_then_ever_later_and_never_in_step(void **state)
{
	static const uint32_t base[] = {0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000};
	(void)state;
	for (uint32_t i = 0; i < HG_COUNT(base); i++) {
		assert_int_equal(backoff_connect_ms(i, 0), base[i] - base[i] / 4);
		assert_int_equal(backoff_connect_ms(i, 0.5), base[i] - base[i] / 4 + base[i] / 4);
		assert_true(backoff_connect_ms(i, 0.999) <= base[i] + base[i] / 4);
	}
	assert_int_equal(backoff_connect_ms(UINT32_MAX, 0.5), 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(waits_double_from_nothing_to_a_minute),
	        cmocka_unit_test(the_jitter_spreads_over_the_whole_quarter),
	        cmocka_unit_test(ten_healthy_minutes_forgive_and_less_do_not),
	        cmocka_unit_test(it_never_gives_up),
	        cmocka_unit_test(attempts_come_at_once_then_ever_later_and_never_in_step),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
