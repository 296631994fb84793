/* The reference systems' ways of releasing, with their real durations, on a clock in our hand. */
#include "stage.h"

/* devops: 10 % and 15 minutes, 25 % and 10, 50 % and 15, then all of it; four triggers. */
static void devops(struct stage *s)
{
	s->rate = 50;
	s->fails_old = s->fails_new = 0.001;
	step_add(s, 10, 15 * MINUTE);
	step_add(s, 25, 10 * MINUTE);
	step_add(s, 50, 15 * MINUTE);
	step_add(s, 100, 0);
	gate_add(s, RO_WHEN_WEIGHT, 10); /* smoke tests against the canary */
	s->rules.judge.error_rate = 0.05;
	s->rules.judge.p95 = true;
	s->rules.judge.error_above = 0.03;
	s->rules.judge.p95_ratio = 1.5;
	s->rules.memory = 0.9;
	s->rules.cpu = 0.95;
	/* Of an even release: one in twenty is beyond its 95th percentile. */
	s->more_c[JUDGE_P50] = s->more_s[JUDGE_P50] = 0.5;
	s->more_c[JUDGE_P95] = s->more_s[JUDGE_P95] = 0.05;
	s->more_c[JUDGE_P99] = s->more_s[JUDGE_P99] = 0.01;
	s->more_c[JUDGE_RULE_P95_RATIO] = s->more_s[JUDGE_RULE_P95_RATIO] = 0.05;
	begin(s);
	to_step(s, 0);
	play(s);
	gate_ends(s, 0, true);
}

static void devops_clean_takes_forty_to_fifty_minutes(void **state)
{
	struct stage *s = *state;
	uint64_t at = s->now;
	devops(s);
	UNTIL(s, phase(s, RO_PHASE_WATCH), 60 * MINUTE);
	assert_in_range(s->now - at, 40 * MINUTE, 42 * MINUTE);
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
	assert_in_range(s->now - at, 50 * MINUTE, 52 * MINUTE); /* with ten minutes of watch */
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(s->ro.head.proof[i], RO_PROOF_EVIDENCE);
}

/* From the moment in which it begins to go wrong. */
static void devops_goes_back_within(struct stage *s, uint64_t ms)
{
	uint64_t at = s->now;
	ended(s, RO_ROLLED_BACK, RO_CAUSE_EVIDENCE);
	assert_true(s->now - at <= ms);
	assert_int_equal(s->o.old_arm.ready, 4);
	assert_int_equal(count(s, RO_INCIDENT), 1);
}

static void devops_goes_back_for_an_error_rate_over_5_percent(void **state)
{
	struct stage *s = *state;
	devops(s);
	tick(s, 3 * MINUTE);
	s->fails_new = 0.2;
	devops_goes_back_within(s, MINUTE);
}

static void devops_goes_back_for_a_p95_over_2_seconds(void **state)
{
	struct stage *s = *state;
	devops(s);
	tick(s, 3 * MINUTE);
	s->more_c[JUDGE_RULE_P95] = 0.5; /* half of the requests take longer */
	devops_goes_back_within(s, MINUTE);
}

static void devops_goes_back_for_errors_3_points_above_stable(void **state)
{
	struct stage *s = *state;
	devops(s);
	tick(s, 3 * MINUTE);
	s->fails_new = 0.045; /* below 5 % */
	devops_goes_back_within(s, 5 * MINUTE);
}

static void devops_goes_back_for_a_latency_of_one_and_a_half_times_stable(void **state)
{
	struct stage *s = *state;
	devops(s);
	tick(s, 3 * MINUTE);
	s->more_c[JUDGE_RULE_P95_RATIO] = 0.3; /* beyond 1.5 times the old 95th percentile */
	devops_goes_back_within(s, 2 * MINUTE);
}

static void devops_is_not_stopped_by_an_outage_of_both(void **state)
{
	struct stage *s = *state;
	devops(s);
	tick(s, 20 * MINUTE);
	s->fails_old = s->fails_new = 0.3;
	tick(s, 2 * MINUTE);
	s->fails_old = s->fails_new = 0.001;
	assert_int_equal(s->ro.head.cause, RO_CAUSE_NONE);
	if (s->ro.head.pause == RO_PAUSED_SHARED) say(s, ROLLOUTS_RESUME);
	for (unsigned i = 0; i < 120 && !phase(s, RO_PHASE_END); i++) {
		tick(s, MINUTE);
		if (s->ro.head.pause == RO_PAUSED_SHARED) say(s, ROLLOUTS_RESUME);
	}
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
}

/* feedback: 10 %, five minutes, not more than 1 % errors. */
static void feedback(struct stage *s)
{
	s->rate = 50;
	step_add(s, 10, 5 * MINUTE);
	s->rules.judge.error_rate = 0.01;
	s->rules.keep_previous_ms = 5 * MINUTE;
	s->rules.watch_ms = 5 * MINUTE;
	begin(s);
	to_step(s, 0);
}

static void feedback_promotes_after_five_minutes_and_keeps_blue_for_five_more(void **state)
{
	struct stage *s = *state;
	uint64_t at = s->now;
	feedback(s);
	UNTIL(s, phase(s, RO_PHASE_WATCH), 10 * MINUTE);
	assert_in_range(s->now - at, 5 * MINUTE, 5 * MINUTE + 15000);
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
	assert_in_range(s->now - at, 10 * MINUTE, 10 * MINUTE + 20000);
}

static void feedback_goes_back_for_more_than_one_percent_of_errors(void **state)
{
	struct stage *s = *state;
	feedback(s);
	s->fails_new = 0.05;
	uint64_t at = s->now;
	ended(s, RO_ROLLED_BACK, RO_CAUSE_EVIDENCE);
	assert_true(s->now - at < 2 * MINUTE);
}

static void feedback_that_fails_every_request_costs_five_of_them(void **state)
{
	struct stage *s = *state;
	feedback(s);
	s->fails_new = 1;
	s->failures_new = 0;
	ended(s, RO_ROLLED_BACK, RO_CAUSE_EVIDENCE);
	assert_in_range(s->failures_new, 3, 5);
}

static void architect_canary_goes_by_5_25_100(void **state)
{
	struct stage *s = *state;
	replicas(s, 10);
	s->rate = 1000;
	step_add(s, 5, 10 * MINUTE);
	step_add(s, 25, 10 * MINUTE);
	step_add(s, 100, 10 * MINUTE);
	begin(s);
	static const uint32_t trials[] = {1, 3, 10}, weights[] = {5, 25, 100};
	for (uint32_t i = 0; i < 3; i++) {
		to_step(s, i);
		assert_int_equal(s->o.want.trial_replicas, trials[i]);
		assert_int_equal(weight(s), weights[i]);
		assert_int_equal(s->o.old_arm.ready, 10);
	}
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
}

/*
 * architect: checks and backup, deploy green, health and smoke tests, migrate, switch, watch for
 * 30 minutes, back in 30 s; sign-offs before the switch.
 */
static void architect(struct stage *s)
{
	replicas(s, 10);
	s->rate = 1000;
	s->rules.strategy = RO_BLUE_GREEN;
	s->rules.preview = true;
	s->rules.watch_ms = s->rules.keep_previous_ms = 30 * MINUTE;
	gate_add(s, RO_WHEN_BEFORE, 0);  /* smoke and synthetic tests of green */
	gate_add(s, RO_WHEN_PROMOTE, 0); /* migrate */
	for (unsigned i = 0; i < 6; i++)
		gate_add(s, RO_WHEN_CONFIRM, 100);
	gate_add(s, RO_WHEN_ROLLBACK, 0);
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_GATE), MINUTE);
	tick(s, 5 * MINUTE);
	assert_int_equal(s->o.new_arm.ready, 10);
	assert_int_equal(weight(s), 0);
	gate_ends(s, 0, true);
	tick(s, 5 * MINUTE);
	gate_ends(s, 1, true);
	for (unsigned i = 0; i < 6; i++) {
		assert_string_equal(ro_state_name(&s->ro), "waiting");
		assert_int_equal(weight(s), 0);
		tick(s, 60 * MINUTE);
		say(s, ROLLOUTS_PROMOTE);
	}
	assert_true(phase(s, RO_PHASE_WATCH));
	assert_int_equal(weight(s), 100); /* in the turn of the last signature */
	assert_int_equal(s->o.old_arm.ready, 10);
}

static void architect_blue_green_takes_six_signatures_and_watches_half_an_hour(void **state)
{
	struct stage *s = *state;
	architect(s);
	uint64_t at = s->now;
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
	assert_in_range(s->now - at, 30 * MINUTE, 30 * MINUTE + 5000);
}

static void architect_goes_back_in_the_turn_in_which_somebody_says_so(void **state)
{
	struct stage *s = *state;
	architect(s);
	tick(s, 29 * MINUTE);
	uint64_t at = s->now;
	say(s, ROLLOUTS_ABORT);
	assert_int_equal(weight(s), 0);
	assert_int_equal(s->o.want.serving, OLD);
	assert_int_equal(s->now, at);
	gate_ends(s, 8, true);
	ended(s, RO_ROLLED_BACK, RO_CAUSE_PERSON);
	assert_true(s->now - at < 30 * SECOND);
}

static void architect_goes_back_by_itself_when_green_fails(void **state)
{
	struct stage *s = *state;
	architect(s);
	tick(s, 10 * MINUTE);
	s->fails_new = 1;
	uint64_t at = s->now;
	UNTIL(s, phase(s, RO_PHASE_BACK), MINUTE);
	assert_true(s->now - at <= 3 * SECOND);
	assert_int_equal(s->o.old_arm.ready, 10);
}

/* merchant: one more at a time, none missing; five minutes at most. */
static void merchant_rolls_with_one_more_and_none_missing(void **state)
{
	struct stage *s = *state;
	for (uint32_t n = 3; n <= 10; n++) {
		void *fresh = NULL;
		assert_int_equal(stage_up(&fresh), 0);
		struct stage *m = fresh;
		replicas(m, n);
		m->rate = 20; /* 1 M requests a day, and a peak */
		m->rules.strategy = RO_ROLLING;
		m->rules.surge = (struct rolling_share){false, 1};
		m->rules.unavailable = (struct rolling_share){false, 0};
		m->start_ms = 10 * SECOND;
		uint64_t at = m->now;
		begin(m);
		for (unsigned i = 0; i < 900 && !phase(m, RO_PHASE_WATCH); i++) {
			assert_true(m->o.old_arm.total + m->o.new_arm.total <= n + 1);
			assert_true(m->o.old_arm.ready + m->o.new_arm.ready >= n);
			tick(m, 1000);
		}
		assert_true(phase(m, RO_PHASE_WATCH));
		assert_true(m->now - at <= 5 * MINUTE);
		ended(m, RO_PROMOTED_OK, RO_CAUSE_NONE);
		free(m);
	}
	(void)s;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(devops_clean_takes_forty_to_fifty_minutes),
	        TEST(devops_goes_back_for_an_error_rate_over_5_percent),
	        TEST(devops_goes_back_for_a_p95_over_2_seconds),
	        TEST(devops_goes_back_for_errors_3_points_above_stable),
	        TEST(devops_goes_back_for_a_latency_of_one_and_a_half_times_stable),
	        TEST(devops_is_not_stopped_by_an_outage_of_both),
	        TEST(feedback_promotes_after_five_minutes_and_keeps_blue_for_five_more),
	        TEST(feedback_goes_back_for_more_than_one_percent_of_errors),
	        TEST(feedback_that_fails_every_request_costs_five_of_them),
	        TEST(architect_canary_goes_by_5_25_100),
	        TEST(architect_blue_green_takes_six_signatures_and_watches_half_an_hour),
	        TEST(architect_goes_back_in_the_turn_in_which_somebody_says_so),
	        TEST(architect_goes_back_by_itself_when_green_fails),
	        TEST(merchant_rolls_with_one_more_and_none_missing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
