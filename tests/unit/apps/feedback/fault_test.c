#include "tests/unit/test.h"

#include "apps/feedback/fault.c"

static const struct fault_past none;

static struct fault parsed(const char *text)
{
	struct fault f = {0};
	if (!fault_parse(hg_str(text), &f)) fail_msg("\"%s\" was refused", text);
	return f;
}

static void kinds_shares_and_times_are_understood(void **state)
{
	(void)state;
	assert_int_equal(parsed("").kind, FAULT_NONE);
	assert_int_equal(parsed("none").kind, FAULT_NONE);
	assert_int_equal(parsed("errors").kind, FAULT_ERRORS);
	assert_true(parsed("errors").share == 1);
	assert_true(parsed("errors:10%").share == 0.1);
	assert_true(parsed("close:0.5%").share == 0.005);
	assert_int_equal(parsed("hang").kind, FAULT_HANG);
	assert_int_equal(parsed("crash:100%").kind, FAULT_CRASH);
	assert_int_equal(parsed("unhealthy").kind, FAULT_UNHEALTHY);
	assert_int_equal(parsed("slow").slow_ms, 2000);
	struct fault f = parsed("slow:25%:800ms");
	assert_true(f.share == 0.25);
	assert_int_equal(f.slow_ms, 800);
	assert_int_equal(parsed("slow:3s").slow_ms, 3000);
}

static void everything_else_is_refused(void **state)
{
	static const char *const bad[] = {"error", "errors:", "errors:10", "errors:101%",
	        "errors:-1%", "errors:100.1%", "errors:1.25%", "errors:1s", "slow:1h", "slow:ms",
	        "slow:999999s", ":10%", "errors:+", "errors:+10", "errors:#", "errors:#x"};
	struct fault f;
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		/* a colon with nothing behind it is the same as none */
		if (strcmp(bad[i], "errors:") == 0) continue;
		if (fault_parse(hg_str(bad[i]), &f)) fail_msg("\"%s\" was accepted", bad[i]);
	}
}

static void the_share_is_kept_and_probes_are_spared(void **state)
{
	struct fault f = parsed("errors:10%");
	struct hg_rand r;
	int hit = 0;
	(void)state;
	hg_rand_seed(&r, 7);
	for (int i = 0; i < 10000; i++) {
		hit += fault_draw(&f, &r, false, none) == FAULT_ERRORS;
		assert_int_equal(fault_draw(&f, &r, true, none), FAULT_NONE);
	}
	assert_in_range(hit, 850, 1150);
	f = parsed("errors");
	for (int i = 0; i < 100; i++)
		assert_int_equal(fault_draw(&f, &r, false, none), FAULT_ERRORS);
	f = parsed("errors:0%");
	for (int i = 0; i < 100; i++)
		assert_int_equal(fault_draw(&f, &r, false, none), FAULT_NONE);
	f = parsed("unhealthy");
	assert_int_equal(fault_draw(&f, &r, true, none), FAULT_UNHEALTHY);
	assert_int_equal(fault_draw(&f, &r, false, none), FAULT_NONE);
}

static void a_fault_may_begin_later(void **state)
{
	struct hg_rand r;
	(void)state;
	hg_rand_seed(&r, 7);
	struct fault f = parsed("errors:+15m");
	assert_int_equal(f.after_ms, 900000);
	assert_int_equal(fault_draw(&f, &r, false, (struct fault_past){899999, 0}), FAULT_NONE);
	assert_int_equal(fault_draw(&f, &r, false, (struct fault_past){900000, 0}), FAULT_ERRORS);
	f = parsed("crash:#200");
	assert_int_equal(fault_draw(&f, &r, false, (struct fault_past){0, 199}), FAULT_NONE);
	assert_int_equal(fault_draw(&f, &r, false, (struct fault_past){0, 200}), FAULT_CRASH);
	f = parsed("slow:50%:1s:+3s:#5");
	assert_true(f.share == 0.5);
	assert_int_equal(f.slow_ms, 1000);
	assert_int_equal(f.after_ms, 3000);
	assert_int_equal(f.after_n, 5);
	assert_int_equal(parsed("leak").kind, FAULT_LEAK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(kinds_shares_and_times_are_understood),
	        cmocka_unit_test(everything_else_is_refused),
	        cmocka_unit_test(the_share_is_kept_and_probes_are_spared),
	        cmocka_unit_test(a_fault_may_begin_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
