#include "../test.h"

#include "math/probe.h"

#define BIT(k) (1u << (k))

static const struct probe_rules ten_seconds = {
        .present = true, .period_ms = 10000, .successes = 1, .failures = 3};

/* Runs the clock from `from` to `to`; every due probe answers with `answer`. Counts the runs. */
static unsigned drive(struct probe_set *s, uint64_t from, uint64_t to,
        const enum probe_outcome answer[PROBE_KINDS], unsigned runs[PROBE_KINDS])
{
	unsigned changed = 0;
	uint64_t now = from;
	while (now <= to) {
		uint64_t next;
		unsigned due = probe_due(s, now, &next);
		for (int k = 0; k < PROBE_KINDS; k++) {
			if (!(due & BIT(k))) continue;
			runs[k]++;
			changed |= probe_result(s, k, answer[k], now);
		}
		if (due) continue;
		if (next == UINT64_MAX) break;
		assert_true(next > now);
		now = next;
	}
	return changed;
}

static void verdicts_before_the_first_probe_are_those_of_kubernetes(void **state)
{
	struct probe_rules all[PROBE_KINDS] = {ten_seconds, ten_seconds, ten_seconds};
	struct probe_rules none[PROBE_KINDS] = {0};
	struct probe_set s;
	(void)state;
	probe_init(&s, all, 5);
	assert_int_equal(s.worker[PROBE_STARTUP].verdict, PROBE_UNKNOWN);
	assert_int_equal(s.worker[PROBE_READINESS].verdict, PROBE_FAILURE);
	assert_int_equal(s.worker[PROBE_LIVENESS].verdict, PROBE_SUCCESS);
	assert_false(probe_ready(&s));
	assert_false(probe_must_restart(&s));
	probe_init(&s, none, 5);
	assert_true(probe_ready(&s));
	uint64_t next;
	assert_int_equal(probe_due(&s, 5, &next), 0);
	assert_true(next == UINT64_MAX);
}

static void probes_run_at_the_start_and_then_each_period(void **state)
{
	struct probe_rules rules[PROBE_KINDS] = {[PROBE_READINESS] = ten_seconds};
	const enum probe_outcome ok[PROBE_KINDS] = {PROBE_OK, PROBE_OK, PROBE_OK};
	unsigned runs[PROBE_KINDS] = {0};
	struct probe_set s;
	(void)state;
	probe_init(&s, rules, 1000);
	drive(&s, 1000, 41000, ok, runs);
	assert_int_equal(runs[PROBE_READINESS], 5);
	assert_true(probe_ready(&s));
}

static void the_initial_delay_skips_ticks_and_does_not_move_them(void **state)
{
	struct probe_rules rules[PROBE_KINDS] = {[PROBE_READINESS] = ten_seconds};
	uint64_t next;
	struct probe_set s;
	(void)state;
	rules[PROBE_READINESS].delay_ms = 15000;
	probe_init(&s, rules, 0);
	assert_int_equal(probe_due(&s, 0, &next), 0);
	assert_int_equal(next, 10000);
	assert_int_equal(probe_due(&s, 10000, &next), 0);
	assert_int_equal(probe_due(&s, 15000, &next), 0);
	assert_int_equal(probe_due(&s, 20000, &next), BIT(PROBE_READINESS));
}

static void a_probe_that_runs_is_not_asked_for_again(void **state)
{
	struct probe_rules rules[PROBE_KINDS] = {[PROBE_LIVENESS] = ten_seconds};
	uint64_t next;
	struct probe_set s;
	(void)state;
	probe_init(&s, rules, 0);
	assert_int_equal(probe_due(&s, 0, &next), BIT(PROBE_LIVENESS));
	assert_int_equal(probe_due(&s, 25000, &next), 0);
	assert_true(next == UINT64_MAX);
	/* One missed tick is made up for at once, not three. */
	assert_int_equal(probe_result(&s, PROBE_LIVENESS, PROBE_OK, 35000), 0);
	assert_int_equal(probe_due(&s, 35000, &next), BIT(PROBE_LIVENESS));
	assert_int_equal(probe_result(&s, PROBE_LIVENESS, PROBE_OK, 35001), 0);
	assert_int_equal(probe_due(&s, 35001, &next), 0);
	assert_int_equal(next, 40000);
}

static void thresholds_count_equal_results_in_a_row(void **state)
{
	struct probe_rules rules[PROBE_KINDS] = {[PROBE_READINESS] = ten_seconds};
	/* o: ok, x: failed, b: the prober broke (thrown away); and readiness after each. */
	static const char run[] = "ooxoooxxoxxxoobxoobo";
	static const char want[] = ".....rrrrrr........r";
	struct probe_set s;
	(void)state;
	rules[PROBE_READINESS].successes = 3;
	rules[PROBE_READINESS].failures = 3;
	probe_init(&s, rules, 0);
	for (size_t i = 0; i < sizeof run - 1; i++) {
		enum probe_outcome o = run[i] == 'o' ? PROBE_OK : PROBE_FAILED;
		if (run[i] == 'b') o = PROBE_BROKEN;
		unsigned changed = probe_result(&s, PROBE_READINESS, o, i * 10000);
		assert_int_equal(probe_ready(&s), want[i] == 'r');
		bool before = i > 0 && want[i - 1] == 'r';
		assert_int_equal(changed != 0, before != (want[i] == 'r'));
	}
}

static void nothing_else_runs_before_startup_succeeded_and_readiness_follows_at_once(void **state)
{
	struct probe_rules rules[PROBE_KINDS] = {ten_seconds, ten_seconds, ten_seconds};
	uint64_t next;
	struct probe_set s;
	(void)state;
	rules[PROBE_STARTUP].period_ms = 3000;
	probe_init(&s, rules, 0);
	assert_int_equal(probe_due(&s, 0, &next), BIT(PROBE_STARTUP));
	assert_int_equal(probe_result(&s, PROBE_STARTUP, PROBE_FAILED, 5), 0);
	assert_int_equal(probe_due(&s, 5, &next), 0);
	assert_int_equal(next, 3000);
	assert_int_equal(probe_due(&s, 3000, &next), BIT(PROBE_STARTUP));
	assert_int_equal(probe_result(&s, PROBE_STARTUP, PROBE_OK, 3004), BIT(PROBE_STARTUP));
	assert_int_equal(probe_due(&s, 3004, &next) & BIT(PROBE_READINESS), BIT(PROBE_READINESS));
	assert_int_equal(probe_result(&s, PROBE_READINESS, PROBE_OK, 3010), BIT(PROBE_READINESS));
	assert_true(probe_ready(&s));
	/* Startup is never asked again. */
	const enum probe_outcome ok[PROBE_KINDS] = {PROBE_OK, PROBE_OK, PROBE_OK};
	unsigned runs[PROBE_KINDS] = {0};
	(void)probe_result(&s, PROBE_LIVENESS, PROBE_OK, 3010);
	drive(&s, 3010, 60000, ok, runs);
	assert_int_equal(runs[PROBE_STARTUP], 0);
	assert_true(runs[PROBE_LIVENESS] >= 5);
}

static void failed_startup_and_liveness_hold_until_a_new_incarnation(void **state)
{
	static const enum probe_kind kinds[] = {PROBE_STARTUP, PROBE_LIVENESS};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(kinds); i++) {
		struct probe_rules rules[PROBE_KINDS] = {[PROBE_READINESS] = ten_seconds};
		const enum probe_outcome bad[PROBE_KINDS] = {
		        PROBE_FAILED, PROBE_FAILED, PROBE_FAILED};
		unsigned runs[PROBE_KINDS] = {0};
		struct probe_set s;
		rules[kinds[i]] = ten_seconds;
		probe_init(&s, rules, 0);
		unsigned changed = drive(&s, 0, 200000, bad, runs);
		assert_int_equal(changed & BIT(kinds[i]), BIT(kinds[i]));
		assert_int_equal(runs[kinds[i]], 3);
		assert_true(probe_must_restart(&s));
	}
}

static void a_terminating_process_is_not_probed_for_liveness(void **state)
{
	struct probe_rules rules[PROBE_KINDS] = {
	        [PROBE_READINESS] = ten_seconds, [PROBE_LIVENESS] = ten_seconds};
	const enum probe_outcome bad[PROBE_KINDS] = {PROBE_FAILED, PROBE_FAILED, PROBE_FAILED};
	unsigned runs[PROBE_KINDS] = {0};
	struct probe_set s;
	(void)state;
	probe_init(&s, rules, 0);
	probe_terminate(&s);
	drive(&s, 0, 100000, bad, runs);
	assert_int_equal(runs[PROBE_LIVENESS], 0);
	assert_true(runs[PROBE_READINESS] > 0);
	assert_false(probe_must_restart(&s));
}

static void refusals_before_the_first_ready_are_retried_quickly_and_free(void **state)
{
	struct probe_rules rules[PROBE_KINDS] = {
	        [PROBE_READINESS] = ten_seconds, [PROBE_LIVENESS] = ten_seconds};
	uint64_t now = 0, next, gap[8];
	struct probe_set s;
	(void)state;
	rules[PROBE_LIVENESS].present = false;
	rules[PROBE_READINESS].failures = 1;
	probe_init(&s, rules, 0);
	for (size_t i = 0; i < HG_COUNT(gap); i++) {
		assert_int_equal(probe_due(&s, now, &next), BIT(PROBE_READINESS));
		assert_int_equal(probe_result(&s, PROBE_READINESS, PROBE_REFUSED, now), 0);
		assert_int_equal(probe_due(&s, now, &next), 0);
		gap[i] = next - now;
		now = next;
	}
	assert_int_equal(gap[0], 50);
	for (size_t i = 1; i < HG_COUNT(gap); i++)
		assert_true(gap[i] >= gap[i - 1] && gap[i] <= 250);
	assert_int_equal(gap[HG_COUNT(gap) - 1], 250);
	assert_int_equal(probe_due(&s, now, &next), BIT(PROBE_READINESS));
	assert_int_equal(probe_result(&s, PROBE_READINESS, PROBE_OK, now), BIT(PROBE_READINESS));
	/* Once it was ready, a refusal is a failure like any other. */
	assert_int_equal(
	        probe_result(&s, PROBE_READINESS, PROBE_REFUSED, now + 1), BIT(PROBE_READINESS));
	assert_false(probe_ready(&s));
}

static void a_process_that_never_listens_is_restarted_when_its_budget_is_spent(void **state)
{
	static const enum probe_kind kinds[] = {PROBE_STARTUP, PROBE_LIVENESS};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(kinds); i++) {
		struct probe_rules rules[PROBE_KINDS] = {[PROBE_READINESS] = ten_seconds};
		const enum probe_outcome refused[PROBE_KINDS] = {
		        PROBE_REFUSED, PROBE_REFUSED, PROBE_REFUSED};
		unsigned runs[PROBE_KINDS] = {0};
		struct probe_set s;
		rules[kinds[i]] = ten_seconds;
		rules[kinds[i]].delay_ms = 10000;
		probe_init(&s, rules, 0);
		drive(&s, 0, 39900, refused, runs);
		assert_false(probe_must_restart(&s));
		drive(&s, 39900, 40300, refused, runs);
		assert_true(probe_must_restart(&s));
	}
}

static void a_probe_nobody_asked_for_never_restarts(void **state)
{
	struct probe_rules rules[PROBE_KINDS] = {[PROBE_STARTUP] = ten_seconds};
	const enum probe_outcome refused[PROBE_KINDS] = {
	        PROBE_REFUSED, PROBE_REFUSED, PROBE_REFUSED};
	const enum probe_outcome ok[PROBE_KINDS] = {PROBE_OK, PROBE_OK, PROBE_OK};
	unsigned runs[PROBE_KINDS] = {0};
	struct probe_set s;
	(void)state;
	rules[PROBE_STARTUP].endless = true;
	probe_init(&s, rules, 0);
	drive(&s, 0, 3600000, refused, runs);
	assert_false(probe_must_restart(&s));
	assert_false(probe_ready(&s));
	drive(&s, 3600000, 3610000, ok, runs);
	assert_true(probe_ready(&s));
}

static void after_a_restart_of_control_a_ready_replica_stays_ready(void **state)
{
	struct probe_rules rules[PROBE_KINDS] = {ten_seconds, ten_seconds, ten_seconds};
	const double jitter[PROBE_KINDS] = {0.5, 0.5, 0.25};
	uint64_t next;
	struct probe_set s;
	(void)state;
	probe_resume(&s, rules, 1000, true, true, 90000, 10, jitter);
	assert_true(probe_ready(&s));
	assert_int_equal(probe_due(&s, 90000, &next), 0);
	assert_int_equal(next, 92500);
	assert_int_equal(probe_due(&s, 92500, &next), BIT(PROBE_LIVENESS));
	assert_int_equal(probe_due(&s, 95000, &next), BIT(PROBE_READINESS));
	assert_true(probe_ready(&s));
	/* Long after control's start nothing is spread. */
	probe_resume(&s, rules, 1000, true, true, 90000, 60000, jitter);
	assert_int_equal(probe_due(&s, 90000, &next), BIT(PROBE_READINESS) | BIT(PROBE_LIVENESS));
	/* One that was still starting is asked at once. */
	probe_resume(&s, rules, 89000, false, false, 90000, 10, jitter);
	assert_int_equal(probe_due(&s, 90000, &next), BIT(PROBE_STARTUP));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(verdicts_before_the_first_probe_are_those_of_kubernetes),
	        cmocka_unit_test(probes_run_at_the_start_and_then_each_period),
	        cmocka_unit_test(the_initial_delay_skips_ticks_and_does_not_move_them),
	        cmocka_unit_test(a_probe_that_runs_is_not_asked_for_again),
	        cmocka_unit_test(thresholds_count_equal_results_in_a_row),
	        cmocka_unit_test(
	                nothing_else_runs_before_startup_succeeded_and_readiness_follows_at_once),
	        cmocka_unit_test(failed_startup_and_liveness_hold_until_a_new_incarnation),
	        cmocka_unit_test(a_terminating_process_is_not_probed_for_liveness),
	        cmocka_unit_test(refusals_before_the_first_ready_are_retried_quickly_and_free),
	        cmocka_unit_test(
	                a_process_that_never_listens_is_restarted_when_its_budget_is_spent),
	        cmocka_unit_test(a_probe_nobody_asked_for_never_restarts),
	        cmocka_unit_test(after_a_restart_of_control_a_ready_replica_stays_ready),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
