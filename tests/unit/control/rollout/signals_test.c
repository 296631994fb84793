/* Hard signals, deadlines, clocks, other strategies than the canary, and what a crash leaves. */
#include "stage.h"

static void no_ready_replica_left_goes_back(void **state)
{
	struct stage *s = *state;
	begin(s);
	to_step(s, 1);
	s->sick_new = 2;
	tick(s, 1000);
	assert_int_equal(weight(s), 0);
	ended(s, RO_ROLLED_BACK, RO_CAUSE_NO_READY_REPLICA);
}

static void one_exit_only_lowers_the_weight_to_what_is_left(void **state)
{
	struct stage *s = *state;
	begin(s);
	to_step(s, 1); /* 50 % with two of four */
	assert_int_equal(weight(s), 50);
	s->sick_new = s->o.new_arm.exits = 1;
	tick(s, 1000);
	assert_int_equal(weight(s), 25);
	s->sick_new = 0;
	tick(s, 2000);
	assert_int_equal(weight(s), 25);
	tick(s, 5000);
	assert_int_equal(weight(s), 50); /* settled */
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
}

static void replicas_that_are_missing_in_both_releases_blame_nobody(void **state)
{
	struct stage *s = *state;
	begin(s);
	to_step(s, 1);
	s->sick_new = s->sick_old = 4;
	tick(s, 30 * SECOND);
	assert_int_equal(s->ro.head.cause, RO_CAUSE_NONE);
	assert_int_equal(weight(s), 0);
	s->sick_new = s->sick_old = 0;
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
}

static void a_crash_loop_goes_back_also_while_nothing_was_sent_yet(void **state)
{
	struct stage *s = *state;
	s->start_ms = 60 * SECOND;
	begin(s);
	tick(s, 5000);
	s->o.new_arm.crash_loops = 1;
	tick(s, 1000);
	assert_int_equal(s->ro.head.cause, RO_CAUSE_CRASH_LOOP);
	s->o.new_arm.crash_loops = 0;
	ended(s, RO_ROLLED_BACK, RO_CAUSE_CRASH_LOOP);
}

static void a_crash_loop_in_the_watch_goes_back(void **state)
{
	struct stage *s = *state;
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_WATCH), 10 * MINUTE);
	s->o.new_arm.crash_loops = 1;
	tick(s, 1000);
	assert_int_equal(weight(s), 0);
	ended(s, RO_ROLLED_BACK, RO_CAUSE_CRASH_LOOP);
}

static void a_failed_start_of_two_replicas_goes_back(void **state)
{
	struct stage *s = *state;
	step_add(s, 50, 0);
	s->start_ms = MINUTE;
	begin(s);
	s->o.new_arm.failed_starts = s->o.new_arm.exits = 1;
	tick(s, 2000);
	assert_true(phase(s, RO_PHASE_START));
	s->o.new_arm.failed_starts = 2;
	ended(s, RO_ROLLED_BACK, RO_CAUSE_START_FAILED);
}

static void the_only_replica_may_fail_to_start_once(void **state)
{
	struct stage *s = *state;
	s->start_ms = MINUTE;
	begin(s);
	s->o.new_arm.failed_starts = s->o.new_arm.exits = 1;
	tick(s, 5000);
	assert_true(phase(s, RO_PHASE_START));
	s->o.new_arm.exits = 2;
	ended(s, RO_ROLLED_BACK, RO_CAUSE_START_FAILED);
}

static void the_deadline_is_counted_from_asking_and_flapping_does_not_reset_it(void **state)
{
	struct stage *s = *state;
	step_add(s, 50, 0);
	s->rules.progress_deadline_ms = 2 * MINUTE;
	begin(s);
	uint64_t at = s->now;
	for (unsigned i = 0; phase(s, RO_PHASE_START) && i < 600; i++) {
		s->sick_new = 1 + i % 2; /* never both of them */
		tick(s, 1000);
	}
	assert_in_range(s->now - at, 2 * MINUTE, 2 * MINUTE + 2000);
	ended(s, RO_ROLLED_BACK, RO_CAUSE_DEADLINE);
}

static void the_deadline_does_not_count_waits_gates_and_pauses(void **state)
{
	struct stage *s = *state;
	step_add(s, 10, 30 * MINUTE);
	gate_add(s, RO_WHEN_BEFORE, 0);
	s->rules.progress_deadline_ms = MINUTE;
	s->rules.watch_ms = s->rules.keep_previous_ms = 0;
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_GATE), MINUTE);
	tick(s, 5 * MINUTE);
	gate_ends(s, 0, true);
	to_step(s, 0);
	say(s, ROLLOUTS_PAUSE);
	tick(s, 5 * MINUTE);
	say(s, ROLLOUTS_RESUME);
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
}

/* A canary in its first step, with this rule. */
static void used_begin(struct stage *s, double memory, double cpu)
{
	s->rules.memory = memory;
	s->rules.cpu = cpu;
	step_add(s, 10, 30 * MINUTE);
	begin(s);
	to_step(s, 0);
}

static void memory_over_the_limit_counts_in_three_samples_in_a_row(void **state)
{
	struct stage *s = *state;
	used_begin(s, 0.9, 0);
	s->o.old_arm.memory = 0.5;
	s->o.new_arm.memory = 0.95;
	tick(s, 9 * SECOND);
	s->o.new_arm.memory = 0.5;
	tick(s, 6 * SECOND);
	s->o.new_arm.memory = 0.95;
	tick(s, 9 * SECOND);
	assert_true(phase(s, RO_PHASE_STEP));
	tick(s, 7 * SECOND);
	ended(s, RO_ROLLED_BACK, RO_CAUSE_MEMORY);
	assert_int_equal(s->ro.memory_over, RO_OVER_SAMPLES);
	assert_true(s->ro.memory_new > 0.94 && s->ro.memory_old < 0.51);
}

static void what_the_old_release_uses_too_blames_nobody(void **state)
{
	struct stage *s = *state;
	used_begin(s, 0.9, 0.9);
	s->o.new_arm.memory = s->o.old_arm.memory = 0.95;
	s->o.new_arm.cpu = s->o.old_arm.cpu = 1;
	tick(s, MINUTE);
	/* With its requests went what it used of the old one: nothing new is known. */
	s->o.old_arm.memory = s->o.old_arm.cpu = 0.1;
	tick(s, 5 * MINUTE);
	assert_true(phase(s, RO_PHASE_STEP));
}

static void a_little_more_than_the_old_release_blames_nobody(void **state)
{
	struct stage *s = *state;
	used_begin(s, 0.9, 0.9);
	s->o.old_arm.memory = s->o.old_arm.cpu = 0.89;
	s->o.new_arm.memory = s->o.new_arm.cpu = 0.93;
	tick(s, 5 * MINUTE);
	assert_true(phase(s, RO_PHASE_STEP));
	s->o.new_arm.cpu = 0.95;
	ended(s, RO_ROLLED_BACK, RO_CAUSE_CPU);
}

static void an_end_for_want_of_memory_counts_at_once_where_there_is_a_rule(void **state)
{
	static const struct {
		double rule, old_memory;
		uint32_t new_ends, old_ends;
		bool back;
	} rows[] = {
	        {0.9, 0.5, 1, 0, true},
	        {0, 0.5, 1, 0, false},    /* no rule: an end like any other */
	        {0.9, 0.95, 1, 0, false}, /* the old one is that near, too */
	        {0.9, 0.5, 1, 1, false},  /* and was ended as well */
	        {0.9, 0.5, 0, 0, false},
	};
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		if (i) {
			stage_down(state);
			assert_int_equal(stage_up(state), 0);
		}
		struct stage *s = *state;
		used_begin(s, rows[i].rule, 0);
		s->o.old_arm.memory = rows[i].old_memory;
		tick(s, 6 * SECOND);
		s->o.new_arm.memory_ends = rows[i].new_ends;
		s->o.old_arm.memory_ends = rows[i].old_ends;
		tick(s, 2 * SECOND);
		assert_int_equal(phase(s, RO_PHASE_STEP), !rows[i].back);
		if (rows[i].back) ended(s, RO_ROLLED_BACK, RO_CAUSE_MEMORY);
	}
}

static void cpu_over_the_limit_goes_back(void **state)
{
	struct stage *s = *state;
	used_begin(s, 0, 0.95);
	s->o.new_arm.cpu = 1;
	ended(s, RO_ROLLED_BACK, RO_CAUSE_CPU);
}

static void a_clock_that_jumps_neither_skips_a_wait_nor_misses_a_deadline(void **state)
{
	struct stage *s = *state;
	step_add(s, 10, 15 * MINUTE);
	begin(s);
	s->start_ms = 20 * SECOND;
	s->skew = 86400 * 1000; /* a day ahead, while replicas start */
	to_step(s, 0);
	uint64_t at = s->now;
	tick(s, MINUTE);
	s->skew = -86400 * 1000;
	tick(s, MINUTE);
	s->skew = 366 * 86400ll * 1000;
	UNTIL(s, s->ro.head.proof[0], 20 * MINUTE);
	assert_in_range(s->now - at, 15 * MINUTE - 5000, 15 * MINUTE + 5000);
}

static void time_without_control_is_no_wait(void **state)
{
	struct stage *s = *state;
	step_add(s, 10, 10 * MINUTE);
	begin(s);
	to_step(s, 0);
	tick(s, MINUTE);
	s->now += 9 * MINUTE; /* nobody looked */
	tick(s, MINUTE);
	assert_true(phase(s, RO_PHASE_STEP));
	assert_in_range(s->ro.wait_ms, 2 * MINUTE - 2000, 2 * MINUTE + 4000);
}

static void a_reboot_begins_again_at_weight_zero(void **state)
{
	struct stage *s = *state;
	begin(s);
	to_step(s, 1);
	uint32_t epoch = s->ro.head.epoch;
	s->o.memory_id = 2;
	s->o.split = (struct ro_split){0};
	s->o.evidence = (struct judge_evidence){0};
	s->o.evidence_epoch = 0;
	s->sick_new = s->sick_old = 4;
	play(s);
	assert_true(phase(s, RO_PHASE_START));
	assert_int_equal(weight(s), 0);
	assert_true(s->o.split.epoch > epoch);
	assert_int_equal(told(s, RO_EV_RESTARTED), 1);
	s->sick_new = s->sick_old = 0;
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
}

static void a_reboot_in_the_watch_leaves_the_promoted_release_where_it_is(void **state)
{
	struct stage *s = *state;
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_WATCH), 10 * MINUTE);
	s->o.memory_id = 2;
	s->o.split = (struct ro_split){0};
	s->o.evidence_epoch = 0;
	s->sick_new = s->sick_old = 4;
	play(s);
	assert_true(phase(s, RO_PHASE_WATCH));
	s->sick_new = s->sick_old = 0;
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
}

static void a_slot_torn_by_a_death_comes_back_with_the_same_weight(void **state)
{
	struct stage *s = *state;
	begin(s);
	to_step(s, 1);
	uint32_t epoch = s->ro.head.epoch;
	s->o.split = (struct ro_split){0};
	play(s);
	assert_int_equal(weight(s), 50);
	assert_int_equal(s->ro.head.step, 1);
	assert_true(s->o.split.epoch > epoch); /* its counters are not to be believed */
}

static void what_completes_late_is_judged_under_the_weight_it_was_drawn_with(void **state)
{
	struct stage *s = *state;
	s->rules.step_count = 0;
	begin(s);
	to_step(s, 1);
	assert_int_equal(s->ro.former[0].epoch, s->ro.head.epoch - 1);
	struct judge_evidence *late = &s->o.former[0].evidence;
	assert_int_equal(s->o.former[0].epoch, s->ro.head.epoch - 1);
	late->n_new += 20;
	late->count[JUDGE_ERRORS].c += 20;
	/* Evidence of a time that is over, but evidence; three of now open the gate. */
	play(s);
	double e = 0;
	(void)judge_decide(&s->ro.judge.lens, &s->o.evidence, &e);
	assert_true(e > 1000);
	s->fails_new = 1;
	s->failures_new = 0;
	ended(s, RO_ROLLED_BACK, RO_CAUSE_EVIDENCE);
	assert_in_range(s->failures_new, 3, 5); /* the gate, and a portion of requests */
}

static void many_looks_are_not_many_ticks(void **state)
{
	struct stage *s = *state;
	begin(s);
	to_step(s, 0);
	uint32_t ticks = s->ro.judge.ticks;
	/* Replicas come and go, and each time it is looked: a moment stays one moment. */
	for (int i = 0; i < 20; i++) {
		s->now += 10;
		s->o.evidence.n_new++;
		s->o.evidence.n_old += 9;
		s->o.evidence.count[JUDGE_P95].c++;
		play(s);
	}
	assert_in_range(s->ro.judge.ticks - ticks, 1, 3);
	/* What was seen in between is not lost. */
	assert_int_equal(s->ro.evidence.count[JUDGE_P95].c, s->o.evidence.count[JUDGE_P95].c);
}

static void scaled_to_nothing_an_abort_waits_for_nobody(void **state)
{
	struct stage *s = *state;
	begin(s);
	to_step(s, 1);
	s->o.replicas = 0;
	tick(s, 5000);
	say(s, ROLLOUTS_ABORT);
	tick(s, 5000);
	ended(s, RO_ROLLED_BACK, RO_CAUSE_PERSON);
}

static void what_is_judged_has_a_rule_for_errors_in_any_case(void **state)
{
	struct stage *s = *state;
	for (int strategy = 0; strategy < RO_STRATEGIES; strategy++) {
		struct ro_rules r;
		ro_rules_default(&r, strategy);
		r.control_ppm = 50000; /* too little to compare with */
		r.judge.error_above = 0.03;
		ro_rules_fill(&r);
		bool judged = strategy != RO_RECREATE && strategy != RO_IMMEDIATE;
		assert_true(judged == (r.judge.error_rate > 0));
	}
	s->rules.strategy = RO_BLUE_GREEN;
	s->rules.control_ppm = 50000;
	s->rate = 5;
	s->fails_new = 1;
	begin(s);
	ended(s, RO_ROLLED_BACK, RO_CAUSE_EVIDENCE);
	/* The few requests of the old release must first show that it does not fail too. */
	assert_in_range(s->failures_new, 3, 75);
}

/* ---- other strategies ---- */

static void recreate_stops_all_and_then_starts_all(void **state)
{
	struct stage *s = *state;
	s->rules.strategy = RO_RECREATE;
	s->rules.watch_ms = s->rules.keep_previous_ms = MINUTE;
	gate_add(s, RO_WHEN_BEFORE, 0);
	begin(s);
	assert_int_equal(s->o.old_arm.ready, 4);
	assert_int_equal(s->o.want.serving, OLD);
	gate_ends(s, 0, true);
	assert_int_equal(s->o.want.serving, NEW);
	assert_true(s->o.want.recreate);
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
	assert_int_equal(count(s, RO_SPLIT), 0);
}

static void recreate_that_misses_its_deadline_starts_the_old_release_again(void **state)
{
	struct stage *s = *state;
	s->rules.strategy = RO_RECREATE;
	s->rules.progress_deadline_ms = MINUTE;
	begin(s);
	s->sick_new = 4;
	UNTIL(s, phase(s, RO_PHASE_BACK), 2 * MINUTE);
	assert_int_equal(s->o.want.serving, OLD);
	assert_true(s->o.want.recreate);
	ended(s, RO_ROLLED_BACK, RO_CAUSE_DEADLINE);
	assert_int_equal(s->o.old_arm.ready, 4);
}

static void recreate_that_is_superseded_does_not_start_the_old_release_again(void **state)
{
	struct stage *s = *state;
	s->rules.strategy = RO_RECREATE;
	s->start_ms = MINUTE;
	begin(s);
	tick(s, 5000);
	assert_int_equal(s->o.old_arm.total, 0);
	s->o.superseded = true;
	play(s);
	assert_true(phase(s, RO_PHASE_END));
	assert_int_equal(s->ro.head.outcome, RO_SUPERSEDED);
	assert_int_equal(s->o.want.serving, NEW);
	assert_int_equal(count(s, RO_PROMOTED), 0);
}

static void blue_green_switches_once_and_back_at_once(void **state)
{
	struct stage *s = *state;
	s->rules.strategy = RO_BLUE_GREEN;
	s->rules.preview = true;
	s->rules.watch_ms = s->rules.keep_previous_ms = 10 * MINUTE;
	begin(s);
	assert_int_equal(s->o.want.trial_replicas, 4);
	assert_true(s->o.split.flags & RO_SPLIT_MATCH);
	tick(s, 3000);
	assert_true(phase(s, RO_PHASE_WATCH));
	uint32_t splits = 0;
	for (uint32_t i = 0; i < s->log_n; i++)
		splits += s->log[i].kind == RO_SPLIT && s->log[i].split.weight_ppm > 0;
	assert_int_equal(splits, 1);
	assert_int_equal(weight(s), 100);
	say(s, ROLLOUTS_ABORT);
	assert_int_equal(weight(s), 0);
	assert_int_equal(s->o.want.serving, OLD);
	assert_int_equal(s->o.old_arm.ready, 4);
	ended(s, RO_ROLLED_BACK, RO_CAUSE_PERSON);
}

static void blue_green_is_judged_by_a_rule_when_nobody_gave_one(void **state)
{
	struct stage *s = *state;
	s->rules.strategy = RO_BLUE_GREEN;
	begin(s);
	assert_true(s->ro.rules.judge.error_rate > 0.049);
	UNTIL(s, phase(s, RO_PHASE_WATCH), MINUTE);
	s->fails_new = 1;
	s->failures_new = 0;
	ended(s, RO_ROLLED_BACK, RO_CAUSE_EVIDENCE);
	assert_in_range(s->failures_new, 3, 10);
}

static void back_to_a_warm_release_takes_one_turn(void **state)
{
	struct stage *s = *state;
	s->rules.strategy = RO_IMMEDIATE;
	s->o.want.trial = NEW;
	s->o.want.trial_replicas = s->had_new = s->o.new_arm.ready = s->o.new_arm.wanted = 4;
	begin(s);
	assert_true(phase(s, RO_PHASE_WATCH));
	assert_int_equal(s->o.want.serving, NEW);
	assert_int_equal(weight(s), 100);
	assert_false(s->o.split.flags & RO_SPLIT_JUDGE);
}

static void rolling_moves_by_its_fence_and_requests_follow_the_ready(void **state)
{
	struct stage *s = *state;
	s->rules.strategy = RO_ROLLING;
	s->rules.surge = (struct rolling_share){false, 1};
	s->rules.unavailable = (struct rolling_share){false, 0};
	replicas(s, 3);
	begin(s);
	static const uint32_t weights[] = {25, 33, 50, 66, 75};
	for (unsigned i = 0; i < HG_COUNT(weights); i++) {
		UNTIL(s, weight(s) == weights[i], 2 * MINUTE);
		assert_in_range(s->o.old_arm.ready + s->o.new_arm.ready, 3, 4);
		assert_true(s->o.old_arm.total + s->o.new_arm.total <= 4);
	}
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
	assert_int_equal(s->ro.head.proof[0], RO_PROOF_EVIDENCE);
}

static void rolling_may_go_without_surge(void **state)
{
	struct stage *s = *state;
	s->rules.strategy = RO_ROLLING;
	s->rules.surge = (struct rolling_share){false, 0};
	s->rules.unavailable = (struct rolling_share){false, 1};
	begin(s);
	for (unsigned i = 0; i < 600 && !phase(s, RO_PHASE_END); i++) {
		assert_true(s->o.old_arm.total + s->o.new_arm.total <= 4);
		assert_true(s->o.old_arm.ready + s->o.new_arm.ready >= 3);
		tick(s, 1000);
	}
	assert_true(phase(s, RO_PHASE_WATCH) || phase(s, RO_PHASE_END));
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
}

static void a_rolling_update_of_the_only_replica_serves_as_soon_as_one_is_ready(void **state)
{
	struct stage *s = *state;
	s->rules.strategy = RO_ROLLING;
	s->rules.surge = (struct rolling_share){false, 0};
	s->rules.unavailable = (struct rolling_share){false, 1};
	replicas(s, 1);
	begin(s);
	assert_int_equal(s->o.old_arm.total, 0);
	s->o.replicas = 4; /* and is scaled up while it starts */
	tick(s, 1000);
	s->sick_new = 3;
	UNTIL(s, s->o.new_arm.ready == 1, MINUTE);
	tick(s, 1000);
	assert_int_equal(weight(s), 100);
	s->sick_new = 0;
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
}

static void a_rolling_update_that_fails_gets_no_request_more_and_goes_back(void **state)
{
	struct stage *s = *state;
	s->rules.strategy = RO_ROLLING;
	replicas(s, 8);
	begin(s);
	UNTIL(s, weight(s) > 0, MINUTE);
	s->fails_new = 1;
	ended(s, RO_ROLLED_BACK, RO_CAUSE_EVIDENCE);
	assert_int_equal(s->o.old_arm.ready, 8);
	assert_in_range(s->failures_new, 3, 12);
}

static void a_rolling_update_that_is_aborted_goes_the_same_way_back(void **state)
{
	struct stage *s = *state;
	s->rules.strategy = RO_ROLLING;
	s->rules.surge = (struct rolling_share){false, 1};
	s->rules.unavailable = (struct rolling_share){false, 0};
	begin(s);
	UNTIL(s, s->o.new_arm.ready == 3, 5 * MINUTE);
	say(s, ROLLOUTS_ABORT);
	for (unsigned i = 0; i < 600 && !phase(s, RO_PHASE_END); i++) {
		assert_true(s->o.old_arm.total + s->o.new_arm.total <= 5);
		assert_true(s->o.old_arm.ready + s->o.new_arm.ready >= 4);
		tick(s, 1000);
	}
	ended(s, RO_ROLLED_BACK, RO_CAUSE_PERSON);
}

static void gates_before_promotion_come_before_a_rolling_update_takes_anything_away(void **state)
{
	struct stage *s = *state;
	s->rules.strategy = RO_ROLLING;
	gate_add(s, RO_WHEN_PROMOTE, 0);
	gate_add(s, RO_WHEN_CONFIRM, 100);
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_GATE), MINUTE);
	gate_ends(s, 0, true);
	assert_int_equal(s->ro.head.gate[1], RO_GATE_WAITING);
	tick(s, 10 * MINUTE);
	assert_int_equal(s->o.old_arm.ready, 4);
	assert_int_equal(weight(s), 0);
	say(s, ROLLOUTS_PROMOTE);
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
}

static void a_paused_rolling_update_moves_no_replica(void **state)
{
	struct stage *s = *state;
	s->rules.strategy = RO_ROLLING;
	begin(s);
	UNTIL(s, s->o.new_arm.ready == 1, MINUTE);
	say(s, ROLLOUTS_PAUSE);
	uint32_t total = s->ro.want_new;
	tick(s, 10 * MINUTE);
	assert_int_equal(s->ro.want_new, total);
	say(s, ROLLOUTS_RESUME);
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
}

/* ---- what a crash leaves ---- */

/* After each action of each list in turn: control dies and goes on from what was saved last. */
static void a_death_after_any_action_goes_on_to_the_same_weight_or_to_zero(void **state)
{
	struct stage *s = *state, at;
	static uint8_t saved[RO_SAVED_MAX];
	struct ro_state next;
	size_t n = 0;
	step_add(s, 25, 0);
	step_add(s, 60, 0);
	s->rules.watch_ms = s->rules.keep_previous_ms = 20 * SECOND;
	ro_begin(&s->ro, 7, 3, OLD, NEW, &s->rules, s->now);
	n = ro_save(&s->ro, saved, sizeof saved);
	unsigned deaths = 0;
	for (unsigned i = 0; i < 3000 && !phase(s, RO_PHASE_END); i++) {
		fleet(s);
		at = *s;
		ro_decide(&s->ro, &s->o, s->now, &s->out);
		for (uint32_t k = 0; k + 1 < s->out.n; k++) {
			/* The world as it is when only k + 1 of the actions were done. */
			struct stage crash = at;
			size_t disk = n;
			static uint8_t bytes[RO_SAVED_MAX];
			memcpy(bytes, saved, n);
			for (uint32_t a = 0; a <= k; a++) {
				if (s->out.a[a].kind == RO_SAVE)
					disk = ro_save(&s->ro, bytes, sizeof bytes);
				act(&crash, &s->out.a[a]);
			}
			assert_true(ro_load(bytes, disk, &crash.ro));
			uint32_t in_force = crash.o.split.weight_ppm;
			uint32_t wanted = crash.ro.head.weight_ppm;
			play(&crash);
			uint32_t w = crash.o.split.weight_ppm;
			assert_true(w == 0 || w == in_force || w == wanted ||
			            w == s->ro.head.weight_ppm);
			deaths++;
			crash.start_ms = 0;
			for (unsigned t = 0; t < 400 && !phase(&crash, RO_PHASE_END); t++)
				tick(&crash, 1000);
			assert_int_equal(crash.ro.head.outcome, RO_PROMOTED_OK);
		}
		for (uint32_t k = 0; k < s->out.n; k++) {
			if (s->out.a[k].kind == RO_SAVE) n = ro_save(&s->ro, saved, sizeof saved);
			act(s, &s->out.a[k]);
		}
		if (s->o.split.present && s->o.split.epoch == s->ro.head.epoch)
			s->lens = s->ro.judge.lens;
		next = s->ro;
		s->log_n = 0;
		if (s->out.next_ms > s->now) {
			s->now += 1000;
			edge(s, 1000);
		}
		assert_memory_equal(&next, &s->ro, sizeof next);
	}
	assert_true(phase(s, RO_PHASE_END));
	assert_in_range(deaths, 20, 1000);
}

static void a_rise_that_was_saved_but_not_done_is_not_done_on_the_way_back(void **state)
{
	struct stage *s = *state;
	begin(s);
	to_step(s, 1);
	/* Control died before the slot was written, and does not know the fleet yet. */
	s->o.split.weight_ppm = 100000;
	s->o.split.epoch--;
	s->o.fleet_known = false;
	s->o.superseded = true;
	uint32_t from = s->log_n;
	play(s);
	for (uint32_t i = from; i < s->log_n; i++)
		assert_false(s->log[i].kind == RO_SPLIT && s->log[i].split.weight_ppm > 100000);
	s->o.fleet_known = true;
	play(s);
	ended(s, RO_SUPERSEDED, RO_CAUSE_SUPERSEDED);
}

static void a_move_that_was_saved_but_not_done_is_looked_at_again(void **state)
{
	struct stage *s = *state;
	s->rules.strategy = RO_ROLLING;
	s->rules.surge = (struct rolling_share){false, 1};
	s->rules.unavailable = (struct rolling_share){false, 0};
	begin(s);
	UNTIL(s, s->o.new_arm.ready == 2, MINUTE);
	struct ro_want before = s->o.want;
	assert_int_equal(before.serving_replicas, 3);
	UNTIL(s, s->ro.want_old == 2, MINUTE);
	/* It was to take another one away; meanwhile a new one is no longer ready. */
	s->o.want = before;
	s->had_old = s->o.old_arm.wanted = 3;
	s->had_new = s->o.new_arm.wanted = 2;
	s->sick_new = 1;
	s->start_ms = 0;
	play(s);
	assert_int_equal(s->o.old_arm.ready, 3);
	s->sick_new = 0;
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(no_ready_replica_left_goes_back),
	        TEST(one_exit_only_lowers_the_weight_to_what_is_left),
	        TEST(replicas_that_are_missing_in_both_releases_blame_nobody),
	        TEST(a_crash_loop_goes_back_also_while_nothing_was_sent_yet),
	        TEST(a_crash_loop_in_the_watch_goes_back),
	        TEST(a_failed_start_of_two_replicas_goes_back),
	        TEST(the_only_replica_may_fail_to_start_once),
	        TEST(the_deadline_is_counted_from_asking_and_flapping_does_not_reset_it),
	        TEST(the_deadline_does_not_count_waits_gates_and_pauses),
	        TEST(memory_over_the_limit_counts_in_three_samples_in_a_row),
	        TEST(what_the_old_release_uses_too_blames_nobody),
	        TEST(a_little_more_than_the_old_release_blames_nobody),
	        TEST(an_end_for_want_of_memory_counts_at_once_where_there_is_a_rule),
	        TEST(cpu_over_the_limit_goes_back),
	        TEST(a_clock_that_jumps_neither_skips_a_wait_nor_misses_a_deadline),
	        TEST(time_without_control_is_no_wait),
	        TEST(a_reboot_begins_again_at_weight_zero),
	        TEST(a_reboot_in_the_watch_leaves_the_promoted_release_where_it_is),
	        TEST(a_slot_torn_by_a_death_comes_back_with_the_same_weight),
	        TEST(what_completes_late_is_judged_under_the_weight_it_was_drawn_with),
	        TEST(scaled_to_nothing_an_abort_waits_for_nobody),
	        TEST(what_is_judged_has_a_rule_for_errors_in_any_case),
	        TEST(recreate_stops_all_and_then_starts_all),
	        TEST(recreate_that_misses_its_deadline_starts_the_old_release_again),
	        TEST(recreate_that_is_superseded_does_not_start_the_old_release_again),
	        TEST(blue_green_switches_once_and_back_at_once),
	        TEST(blue_green_is_judged_by_a_rule_when_nobody_gave_one),
	        TEST(back_to_a_warm_release_takes_one_turn),
	        TEST(rolling_moves_by_its_fence_and_requests_follow_the_ready),
	        TEST(rolling_may_go_without_surge),
	        TEST(a_rolling_update_of_the_only_replica_serves_as_soon_as_one_is_ready),
	        TEST(a_rolling_update_that_fails_gets_no_request_more_and_goes_back),
	        TEST(a_rolling_update_that_is_aborted_goes_the_same_way_back),
	        TEST(gates_before_promotion_come_before_a_rolling_update_takes_anything_away),
	        TEST(a_paused_rolling_update_moves_no_replica),
	        TEST(many_looks_are_not_many_ticks),
	        TEST(a_rise_that_was_saved_but_not_done_is_not_done_on_the_way_back),
	        TEST(a_move_that_was_saved_but_not_done_is_looked_at_again),
	        TEST(a_death_after_any_action_goes_on_to_the_same_weight_or_to_zero),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
