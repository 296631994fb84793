/* Phases, traffic, people and gates; hard signals are in signals_test.c. */
#include "stage.h"

static void a_canary_gets_nothing_until_its_replica_is_ready(void **state)
{
	struct stage *s = *state;
	begin(s);
	assert_int_equal(s->o.want.serving, OLD);
	assert_int_equal(s->o.want.trial, NEW);
	assert_int_equal(s->o.want.trial_replicas, 1);
	assert_int_equal(weight(s), 0);
	tick(s, 1000);
	assert_true(phase(s, RO_PHASE_START));
	tick(s, 2000);
	assert_int_equal(weight(s), 10);
	assert_int_equal(told(s, RO_EV_STARTED), 1);
}

static void replicas_of_a_weight_are_rounded_up_and_ready_before_it_rises(void **state)
{
	struct stage *s = *state;
	assert_int_equal(ro_need(100000, 4), 1);
	assert_int_equal(ro_need(250001, 4), 2);
	assert_int_equal(ro_need(1000000, 7), 7);
	assert_int_equal(ro_need(1, 3), 1);
	replicas(s, 7);
	begin(s);
	s->start_ms = 20000;
	UNTIL(s, s->ro.head.step == 1, 5 * MINUTE);
	assert_int_equal(s->o.want.trial_replicas, 4); /* of 7, for 50 % */
	assert_int_equal(weight(s), 10);
	tick(s, 15000);
	assert_int_equal(weight(s), 10);
	tick(s, 6000);
	assert_int_equal(weight(s), 50);
}

static void an_automatic_step_waits_ten_seconds_and_for_its_proof(void **state)
{
	struct stage *s = *state;
	s->rate = 10000;
	begin(s);
	to_step(s, 0);
	uint64_t at = s->now;
	to_step(s, 1);
	assert_in_range(s->now - at, 10000, 14000);
	assert_int_equal(s->ro.head.proof[0], RO_PROOF_EVIDENCE);
	assert_false(ro_unproven(&s->ro.head));
}

static void a_step_without_any_request_goes_by_probes_and_is_marked_unproven(void **state)
{
	struct stage *s = *state;
	s->rate = 0;
	begin(s);
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(s->ro.head.proof[i], RO_PROOF_QUIET);
	assert_true(ro_unproven(&s->ro.head));
}

/* Copies are no proof, and nobody else is sent there. */
static void a_first_step_of_nothing_passes_after_its_wait_and_only_mirrors(void **state)
{
	struct stage *s = *state;
	s->rules.mirror_ppm = 400000;
	step_add(s, 0, 30000);
	step_add(s, 50, 10000);
	step_add(s, 100, 10000);
	replicas(s, 5);
	s->rate = 10000;
	begin(s);
	assert_int_equal(s->o.split.flags & RO_SPLIT_MIRROR, 0);
	to_step(s, 0);
	uint64_t at = s->now;
	assert_int_equal(s->o.want.trial_replicas, 2); /* for 40 % in copies */
	tick(s, 25000);
	assert_int_equal(weight(s), 0);
	assert_int_equal(s->o.split.flags & (RO_SPLIT_MIRROR | RO_SPLIT_JUDGE), RO_SPLIT_MIRROR);
	to_step(s, 1);
	assert_in_range(s->now - at, 30000, 34000);
	assert_int_equal(s->ro.head.proof[0], RO_PROOF_SHADOW);
	assert_int_equal(s->o.want.trial_replicas, 4); /* 50 %, and 40 % of the other half */
	UNTIL(s, weight(s) == 50, MINUTE);
	assert_true(s->o.split.flags & RO_SPLIT_MIRROR && s->o.split.flags & RO_SPLIT_JUDGE);
	UNTIL(s, phase(s, RO_PHASE_WATCH), 5 * MINUTE);
	assert_int_equal(s->o.split.flags & RO_SPLIT_MIRROR, 0);
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
	/* What could be proven was. */
	assert_false(ro_unproven(&s->ro.head));
}

/* Somebody rather than nobody, as at any other weight; and back once the old ones have settled. */
static void in_a_step_of_nothing_the_new_release_serves_when_the_old_one_is_gone(void **state)
{
	struct stage *s = *state;
	step_add(s, 0, 60000);
	step_add(s, 100, 10000);
	begin(s);
	to_step(s, 0);
	tick(s, 5000);
	s->sick_old = 4;
	tick(s, 2000);
	assert_int_equal(weight(s), 100);
	s->sick_old = 0;
	tick(s, 2000);
	assert_int_equal(weight(s), 100);
	tick(s, RO_SETTLE_MS + 1000);
	assert_int_equal(weight(s), 0);
	/* Proven bad it gets nothing, whoever is there. */
	s->o.tripped = true;
	s->sick_old = 4;
	tick(s, 2000);
	assert_int_equal(weight(s), 0);
}

static void a_canary_with_no_step_but_nothing_has_the_usual_ones(void **state)
{
	struct stage *s = *state;
	step_add(s, 0, 1000);
	begin(s);
	assert_int_equal(s->ro.rules.step_count, 3);
	assert_int_equal(ro_step_weight(&s->ro, 0), 100000);
}

static void copies_wait_for_the_gates_that_come_before_any_request(void **state)
{
	struct stage *s = *state;
	s->rules.mirror_ppm = 1000000;
	gate_add(s, RO_WHEN_BEFORE, 0);
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_GATE), MINUTE);
	tick(s, 5000);
	assert_int_equal(s->o.split.flags & RO_SPLIT_MIRROR, 0);
	gate_ends(s, 0, true);
	to_step(s, 0);
	tick(s, 3000);
	assert_true(s->o.split.flags & RO_SPLIT_MIRROR);
}

static void too_few_requests_hold_a_step_for_ever_by_default(void **state)
{
	struct stage *s = *state;
	s->rate = 1;
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_HOLD), MINUTE);
	tick(s, 11 * MINUTE);
	assert_true(phase(s, RO_PHASE_HOLD));
	assert_int_equal(told(s, RO_EV_HOLD), 1);
	assert_int_equal(weight(s), 10);
	tick(s, 20 * MINUTE);
	assert_true(phase(s, RO_PHASE_HOLD));
	assert_int_equal(told(s, RO_EV_HOLD), 1);
}

static void a_hold_ends_when_the_proof_comes_late(void **state)
{
	struct stage *s = *state;
	s->rate = 1;
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_HOLD), MINUTE);
	tick(s, 30 * MINUTE);
	s->rate = 500;
	UNTIL(s, s->ro.head.step == 1, MINUTE);
	assert_int_equal(s->ro.head.proof[0], RO_PROOF_EVIDENCE);
}

static void a_release_that_fails_while_nothing_is_proven_is_taken_back(void **state)
{
	struct stage *s = *state;
	s->rate = 1;
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_HOLD), MINUTE);
	s->fails_new = 1;
	ended(s, RO_ROLLED_BACK, RO_CAUSE_EVIDENCE);
}

static void inconclusive_promote_goes_on_and_says_so(void **state)
{
	struct stage *s = *state;
	s->rate = 1;
	s->rules.inconclusive = RO_INCONCLUSIVE_PROMOTE;
	begin(s);
	to_step(s, 0);
	uint64_t at = s->now;
	to_step(s, 1);
	assert_in_range(s->now - at, 10 * MINUTE + 10000, 10 * MINUTE + 16000);
	assert_int_equal(s->ro.head.proof[0], RO_PROOF_POLICY);
}

static void inconclusive_abort_goes_back(void **state)
{
	struct stage *s = *state;
	s->rate = 1;
	s->rules.inconclusive = RO_INCONCLUSIVE_ABORT;
	begin(s);
	ended(s, RO_ROLLED_BACK, RO_CAUSE_INCONCLUSIVE);
}

static void promotion_swaps_roles_and_starts_nothing(void **state)
{
	struct stage *s = *state;
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_PROMOTE) || phase(s, RO_PHASE_WATCH), 10 * MINUTE);
	tick(s, 3000);
	assert_true(phase(s, RO_PHASE_WATCH));
	assert_int_equal(s->o.want.serving, NEW);
	assert_int_equal(s->o.want.trial, OLD);
	assert_int_equal(s->o.want.trial_replicas, 4);
	assert_int_equal(s->o.new_arm.ready, 4);
	assert_int_equal(s->o.old_arm.ready, 4);
	assert_int_equal(weight(s), 100);
	assert_int_equal(count(s, RO_PROMOTED), 1);
}

static void the_old_release_stays_whole_until_the_watch_ends(void **state)
{
	struct stage *s = *state;
	s->rules.watch_ms = 2 * MINUTE;
	s->rules.keep_previous_ms = 7 * MINUTE;
	begin(s);
	for (unsigned i = 0; i < 1000 && !phase(s, RO_PHASE_WATCH); i++) {
		assert_int_equal(s->o.old_arm.ready, 4);
		tick(s, 1000);
	}
	uint64_t at = s->now;
	for (unsigned i = 0; i < 1000 && phase(s, RO_PHASE_WATCH); i++) {
		if (s->o.split.present) assert_int_equal(s->o.old_arm.ready, 4);
		tick(s, 1000);
	}
	assert_in_range(s->now - at, 7 * MINUTE, 7 * MINUTE + 3000);
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
	assert_int_equal(s->o.old_arm.total, 0);
}

static void the_old_release_keeps_its_share_as_control_while_it_is_watched(void **state)
{
	struct stage *s = *state;
	s->rules.control_ppm = 50000;
	s->rules.watch_ms = MINUTE;
	s->rules.keep_previous_ms = 3 * MINUTE;
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_WATCH), 10 * MINUTE);
	assert_int_equal(weight(s), 95);
	tick(s, MINUTE + 2000);
	assert_true(phase(s, RO_PHASE_WATCH));
	assert_int_equal(weight(s), 100);
}

static void a_trip_in_the_watch_swaps_the_roles_back_at_once(void **state)
{
	struct stage *s = *state;
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_WATCH), 10 * MINUTE);
	tick(s, MINUTE);
	s->fails_new = 1;
	tick(s, 1000);
	assert_true(phase(s, RO_PHASE_END) || phase(s, RO_PHASE_BACK));
	assert_int_equal(s->o.want.serving, OLD);
	assert_int_equal(s->o.old_arm.ready, 4);
	ended(s, RO_ROLLED_BACK, RO_CAUSE_EVIDENCE);
	assert_true(s->ro.head.promoted);
	assert_in_range(s->failures_new, 3, 40); /* nothing to compare with: the rule alone */
}

static void a_tripped_rollout_never_gets_a_request_again(void **state)
{
	struct stage *s = *state;
	s->rules.keep_canary_ms = 5 * MINUTE;
	begin(s);
	to_step(s, 0);
	s->fails_new = 1;
	UNTIL(s, phase(s, RO_PHASE_BACK), MINUTE);
	assert_int_equal(weight(s), 0);
	assert_int_equal(told(s, RO_EV_BACK), 1);
	for (uint32_t i = 0; i < s->log_n; i++)
		if (s->log[i].kind == RO_EVENT && s->log[i].event.kind == RO_EV_BACK)
			assert_true(s->log[i].event.e >= s->log[i].event.threshold);
	uint32_t from = s->log_n;
	s->fails_new = 0;
	tick(s, 4 * MINUTE);
	assert_true(phase(s, RO_PHASE_BACK));
	for (uint32_t i = from; i < s->log_n; i++)
		assert_false(s->log[i].kind == RO_SPLIT && s->log[i].split.weight_ppm > 0);
	assert_int_equal(s->o.want.trial, NEW); /* to be looked at */
	ended(s, RO_ROLLED_BACK, RO_CAUSE_EVIDENCE);
	assert_int_equal(count(s, RO_QUARANTINE), 1);
	assert_int_equal(count(s, RO_INCIDENT), 1);
}

static void a_bad_release_is_stopped_by_a_few_failures(void **state)
{
	struct stage *s = *state;
	begin(s);
	to_step(s, 0);
	s->fails_new = 1;
	s->failures_new = 0;
	ended(s, RO_ROLLED_BACK, RO_CAUSE_EVIDENCE);
	assert_in_range(s->failures_new, 3, 5);
}

static void going_back_lowers_the_weight_then_saves_then_moves_replicas(void **state)
{
	struct stage *s = *state;
	begin(s);
	to_step(s, 1);
	uint32_t from = s->log_n;
	say(s, ROLLOUTS_ABORT);
	assert_int_equal(s->log[from].kind, RO_SPLIT);
	assert_int_equal(s->log[from].split.weight_ppm, 0);
	uint32_t save = find(s, RO_SAVE, from), want = find(s, RO_WANT, from);
	assert_true(save < want && want < s->log_n);
	assert_true(find(s, RO_QUARANTINE, from) < save);
	assert_int_equal(count(s, RO_INCIDENT), 0); /* somebody wanted it */
	ended(s, RO_ROLLED_BACK, RO_CAUSE_PERSON);
}

static void a_weight_rises_only_after_it_was_saved(void **state)
{
	struct stage *s = *state;
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_END), 60 * MINUTE);
	bool saved = false;
	uint32_t w = 0, rises = 0;
	for (uint32_t i = 0; i < s->log_n; i++) {
		const struct ro_action *a = &s->log[i];
		if (a->kind == RO_SAVE) saved = true;
		if (a->kind == RO_EVENT) saved = false;
		if (a->kind != RO_SPLIT) continue;
		if (a->split.weight_ppm > w) {
			assert_true(saved);
			rises++;
		}
		w = a->split.weight_ppm;
	}
	assert_int_equal(rises, 3);
}

static void asked_twice_it_does_nothing_twice(void **state)
{
	struct stage *s = *state;
	begin(s);
	for (unsigned i = 0; i < 400; i++) {
		tick(s, 1000);
		play(s);
		assert_int_equal(s->out.n, 0);
	}
}

static void pause_freezes_the_wait_but_not_the_judge(void **state)
{
	struct stage *s = *state;
	step_add(s, 10, MINUTE);
	begin(s);
	to_step(s, 0);
	tick(s, 30 * SECOND);
	say(s, ROLLOUTS_PAUSE);
	refused(s, ROLLOUTS_PAUSE);
	assert_string_equal(ro_state_name(&s->ro), "paused");
	tick(s, 10 * MINUTE);
	assert_true(phase(s, RO_PHASE_STEP));
	say(s, ROLLOUTS_RESUME);
	refused(s, ROLLOUTS_RESUME);
	tick(s, 28 * SECOND);
	assert_true(phase(s, RO_PHASE_STEP));
	assert_int_equal(s->ro.head.step, 0);
	say(s, ROLLOUTS_PAUSE);
	s->fails_new = 1;
	ended(s, RO_ROLLED_BACK, RO_CAUSE_EVIDENCE);
}

static void promote_skips_wait_and_evidence_but_not_replicas(void **state)
{
	struct stage *s = *state;
	step_add(s, 10, 60 * MINUTE);
	step_add(s, 100, 60 * MINUTE);
	begin(s);
	refused(s, ROLLOUTS_PROMOTE); /* replicas are starting */
	to_step(s, 0);
	s->start_ms = 30000;
	say(s, ROLLOUTS_PROMOTE);
	assert_int_equal(s->ro.head.proof[0], RO_PROOF_PERSON);
	assert_int_equal(s->ro.head.step, 1);
	assert_int_equal(weight(s), 10);
	tick(s, 31000);
	assert_int_equal(weight(s), 100);
	assert_true(ro_unproven(&s->ro.head));
}

static void promote_full_goes_past_all_steps_but_not_past_gates(void **state)
{
	struct stage *s = *state;
	for (unsigned i = 1; i < 5; i++)
		step_add(s, i * 20, 60 * MINUTE);
	gate_add(s, RO_WHEN_PROMOTE, 0);
	begin(s);
	to_step(s, 0);
	say(s, ROLLOUTS_PROMOTE_FULL);
	assert_true(phase(s, RO_PHASE_PROMOTE));
	tick(s, 5000);
	assert_true(phase(s, RO_PHASE_PROMOTE));
	assert_int_equal(weight(s), 20);
	gate_ends(s, 0, true);
	assert_true(phase(s, RO_PHASE_WATCH));
	assert_int_equal(s->ro.head.proof[3], RO_PROOF_SKIPPED);
	assert_int_equal(weight(s), 100);
}

static void promote_is_refused_when_the_release_is_proven_bad(void **state)
{
	struct stage *s = *state;
	s->rules.keep_canary_ms = MINUTE;
	begin(s);
	to_step(s, 0);
	s->ro.verdict = JUDGE_BAD;
	refused(s, ROLLOUTS_PROMOTE);
	refused(s, ROLLOUTS_PROMOTE_FULL);
	play(s);
	assert_true(phase(s, RO_PHASE_BACK));
	refused(s, ROLLOUTS_PROMOTE);
}

static void promote_in_the_watch_ends_it(void **state)
{
	struct stage *s = *state;
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_WATCH), 10 * MINUTE);
	say(s, ROLLOUTS_PROMOTE);
	assert_true(phase(s, RO_PHASE_END));
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
	refused(s, ROLLOUTS_ABORT);
}

static void a_second_abort_does_not_keep_the_failed_release(void **state)
{
	struct stage *s = *state;
	s->rules.keep_canary_ms = 60 * MINUTE;
	begin(s);
	to_step(s, 0);
	say(s, ROLLOUTS_ABORT);
	tick(s, MINUTE);
	assert_true(phase(s, RO_PHASE_BACK));
	say(s, ROLLOUTS_ABORT);
	assert_true(phase(s, RO_PHASE_END));
}

static void a_newer_deploy_takes_the_weight_away_first(void **state)
{
	struct stage *s = *state;
	s->rules.keep_canary_ms = 60 * MINUTE;
	begin(s);
	to_step(s, 1);
	uint32_t from = s->log_n;
	s->o.superseded = true;
	play(s);
	assert_int_equal(s->log[from].kind, RO_SPLIT);
	assert_int_equal(s->log[from].split.weight_ppm, 0);
	assert_true(phase(s, RO_PHASE_END));
	ended(s, RO_SUPERSEDED, RO_CAUSE_SUPERSEDED);
	assert_int_equal(count(s, RO_QUARANTINE), 0);
}

static void a_newer_deploy_in_the_watch_begins_with_the_promoted_release(void **state)
{
	struct stage *s = *state;
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_WATCH), 10 * MINUTE);
	s->o.superseded = true;
	play(s);
	ended(s, RO_PROMOTED_OK, RO_CAUSE_SUPERSEDED);
}

static void an_app_that_is_removed_ends_its_rollout(void **state)
{
	struct stage *s = *state;
	begin(s);
	to_step(s, 1);
	s->o.removed = true;
	play(s);
	assert_true(phase(s, RO_PHASE_END));
	assert_false(s->o.split.present);
	assert_int_equal(s->ro.head.cause, RO_CAUSE_REMOVED);
	assert_true(s->out.done);
}

static void an_app_scaled_to_nothing_takes_the_release_at_once(void **state)
{
	struct stage *s = *state;
	replicas(s, 0);
	begin(s);
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
}

static void a_failing_gate_before_ends_it_without_a_request(void **state)
{
	struct stage *s = *state;
	gate_add(s, RO_WHEN_BEFORE, 0);
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_GATE), MINUTE);
	assert_int_equal(s->o.gate[0].state, RO_GATE_RUNNING);
	assert_int_equal(s->o.new_arm.ready, 1);
	tick(s, MINUTE);
	gate_ends(s, 0, false);
	ended(s, RO_ROLLED_BACK, RO_CAUSE_GATE);
	assert_int_equal(s->requests_new, 0);
	assert_int_equal(s->ro.gate_status[0], 256);
}

static void a_gate_at_a_weight_runs_beside_the_wait_and_must_pass(void **state)
{
	struct stage *s = *state;
	step_add(s, 10, 30 * SECOND);
	step_add(s, 50, 30 * SECOND);
	gate_add(s, RO_WHEN_WEIGHT, 10);
	gate_add(s, RO_WHEN_WEIGHT, 40); /* the first step with that much: 50 % */
	begin(s);
	to_step(s, 0);
	play(s);
	assert_int_equal(s->o.gate[0].state, RO_GATE_RUNNING);
	tick(s, 2 * MINUTE);
	assert_int_equal(s->ro.head.step, 0);
	gate_ends(s, 0, true);
	assert_int_equal(s->ro.head.step, 1);
	to_step(s, 1);
	play(s);
	gate_ends(s, 1, false);
	ended(s, RO_ROLLED_BACK, RO_CAUSE_GATE);
}

static void the_judge_goes_on_while_a_gate_runs(void **state)
{
	struct stage *s = *state;
	gate_add(s, RO_WHEN_WEIGHT, 10);
	begin(s);
	to_step(s, 0);
	play(s);
	s->fails_new = 1;
	UNTIL(s, !phase(s, RO_PHASE_STEP), MINUTE);
	assert_int_equal(s->ro.head.cause, RO_CAUSE_EVIDENCE);
	assert_int_equal(count(s, RO_GATE_KILL), 1);
	assert_int_equal(s->ro.head.gate[0], RO_GATE_SKIPPED);
}

static void a_confirm_gate_waits_for_a_person(void **state)
{
	struct stage *s = *state;
	gate_add(s, RO_WHEN_CONFIRM, 100);
	begin(s);
	UNTIL(s, s->ro.head.gate[0] == RO_GATE_WAITING, 10 * MINUTE);
	assert_string_equal(ro_state_name(&s->ro), "waiting");
	assert_int_equal(s->out.waits, RO_WAITS_PERSON);
	tick(s, 60 * MINUTE);
	assert_true(phase(s, RO_PHASE_PROMOTE));
	assert_int_equal(count(s, RO_GATE_RUN), 0);
	say(s, ROLLOUTS_PROMOTE);
	assert_true(phase(s, RO_PHASE_WATCH));
}

static void a_gate_runs_again_when_control_was_replaced(void **state)
{
	struct stage *s = *state;
	gate_add(s, RO_WHEN_BEFORE, 0);
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_GATE), MINUTE);
	assert_int_equal(count(s, RO_GATE_RUN), 1);
	s->o.gate[0].state = RO_GATE_NEXT; /* nobody knows what became of it */
	play(s);
	assert_int_equal(count(s, RO_GATE_RUN), 2);
	gate_ends(s, 0, true);
	assert_true(phase(s, RO_PHASE_STEP));
}

static void gates_after_promotion_and_after_a_rollback_have_their_places(void **state)
{
	struct stage *s = *state;
	gate_add(s, RO_WHEN_AFTER, 0);
	gate_add(s, RO_WHEN_ROLLBACK, 0);
	s->rules.watch_ms = s->rules.keep_previous_ms = MINUTE;
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_WATCH), 10 * MINUTE);
	play(s);
	assert_int_equal(s->o.gate[0].state, RO_GATE_RUNNING);
	tick(s, 5 * MINUTE);
	assert_true(phase(s, RO_PHASE_WATCH)); /* not before it has passed */
	gate_ends(s, 0, false);
	assert_true(phase(s, RO_PHASE_BACK));
	assert_int_equal(weight(s), 0);
	play(s);
	gate_ends(s, 1, false); /* changes nothing */
	ended(s, RO_ROLLED_BACK, RO_CAUSE_GATE);
}

static void a_shared_outage_pauses_and_does_not_roll_back(void **state)
{
	struct stage *s = *state;
	s->rules.judge.error_rate = 0.05;
	step_add(s, 50, 5 * MINUTE);
	begin(s);
	to_step(s, 0);
	tick(s, 30 * SECOND);
	s->fails_new = s->fails_old = 0.5;
	UNTIL(s, s->ro.head.pause == RO_PAUSED_SHARED, 2 * MINUTE);
	assert_int_equal(weight(s), 50);
	assert_int_equal(told(s, RO_EV_PAUSED), 1);
	tick(s, 5 * MINUTE);
	assert_true(phase(s, RO_PHASE_STEP));
	s->fails_new = s->fails_old = 0;
	say(s, ROLLOUTS_RESUME);
	tick(s, 5 * MINUTE);
	assert_int_equal(told(s, RO_EV_PAUSED), 1);
	assert_int_equal(s->ro.head.cause, RO_CAUSE_NONE);
}

static void a_broken_stable_does_not_block_its_fix(void **state)
{
	struct stage *s = *state;
	s->sick_old = 4;
	gate_add(s, RO_WHEN_BEFORE, 0);
	begin(s);
	UNTIL(s, phase(s, RO_PHASE_GATE), MINUTE);
	assert_int_equal(weight(s), 0);
	gate_ends(s, 0, true);
	assert_int_equal(weight(s), 100); /* at once: nobody else can serve */
	assert_int_equal(told(s, RO_EV_STABLE), 1);
	/* Nothing could be given back to the old release by a trip. */
	assert_false(s->o.split.flags & RO_SPLIT_JUDGE);
	tick(s, 3000);
	assert_int_equal(s->o.want.trial_replicas, 4);
	s->sick_old = 0;
	tick(s, 2000);
	assert_int_equal(weight(s), 100);
	tick(s, 5000);
	assert_int_equal(weight(s), 10); /* settled: to the step again */
	ended(s, RO_PROMOTED_OK, RO_CAUSE_NONE);
}

static void an_abort_leaves_requests_with_the_new_release_while_the_old_one_is_dead(void **state)
{
	struct stage *s = *state;
	begin(s);
	to_step(s, 1);
	s->sick_old = 4;
	tick(s, 2000);
	assert_int_equal(weight(s), 100);
	say(s, ROLLOUTS_ABORT);
	tick(s, MINUTE);
	assert_true(phase(s, RO_PHASE_BACK));
	assert_int_equal(weight(s), 100);
	s->sick_old = 0;
	ended(s, RO_ROLLED_BACK, RO_CAUSE_PERSON);
}

static void a_fix_of_the_fix_begins_with_whoever_serves(void **state)
{
	struct stage *s = *state;
	s->sick_old = 4;
	begin(s);
	UNTIL(s, weight(s) == 100, MINUTE);
	s->o.superseded = true;
	play(s);
	assert_true(phase(s, RO_PHASE_END));
	assert_int_equal(s->ro.head.outcome, RO_SUPERSEDED);
	assert_int_equal(s->o.want.serving, NEW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(a_canary_gets_nothing_until_its_replica_is_ready),
	        TEST(replicas_of_a_weight_are_rounded_up_and_ready_before_it_rises),
	        TEST(an_automatic_step_waits_ten_seconds_and_for_its_proof),
	        TEST(a_step_without_any_request_goes_by_probes_and_is_marked_unproven),
	        TEST(a_first_step_of_nothing_passes_after_its_wait_and_only_mirrors),
	        TEST(in_a_step_of_nothing_the_new_release_serves_when_the_old_one_is_gone),
	        TEST(a_canary_with_no_step_but_nothing_has_the_usual_ones),
	        TEST(copies_wait_for_the_gates_that_come_before_any_request),
	        TEST(too_few_requests_hold_a_step_for_ever_by_default),
	        TEST(a_hold_ends_when_the_proof_comes_late),
	        TEST(a_release_that_fails_while_nothing_is_proven_is_taken_back),
	        TEST(inconclusive_promote_goes_on_and_says_so),
	        TEST(inconclusive_abort_goes_back),
	        TEST(promotion_swaps_roles_and_starts_nothing),
	        TEST(the_old_release_stays_whole_until_the_watch_ends),
	        TEST(the_old_release_keeps_its_share_as_control_while_it_is_watched),
	        TEST(a_trip_in_the_watch_swaps_the_roles_back_at_once),
	        TEST(a_tripped_rollout_never_gets_a_request_again),
	        TEST(a_bad_release_is_stopped_by_a_few_failures),
	        TEST(going_back_lowers_the_weight_then_saves_then_moves_replicas),
	        TEST(a_weight_rises_only_after_it_was_saved),
	        TEST(asked_twice_it_does_nothing_twice),
	        TEST(pause_freezes_the_wait_but_not_the_judge),
	        TEST(promote_skips_wait_and_evidence_but_not_replicas),
	        TEST(promote_full_goes_past_all_steps_but_not_past_gates),
	        TEST(promote_is_refused_when_the_release_is_proven_bad),
	        TEST(promote_in_the_watch_ends_it),
	        TEST(a_second_abort_does_not_keep_the_failed_release),
	        TEST(a_newer_deploy_takes_the_weight_away_first),
	        TEST(a_newer_deploy_in_the_watch_begins_with_the_promoted_release),
	        TEST(an_app_that_is_removed_ends_its_rollout),
	        TEST(an_app_scaled_to_nothing_takes_the_release_at_once),
	        TEST(a_failing_gate_before_ends_it_without_a_request),
	        TEST(a_gate_at_a_weight_runs_beside_the_wait_and_must_pass),
	        TEST(the_judge_goes_on_while_a_gate_runs),
	        TEST(a_confirm_gate_waits_for_a_person),
	        TEST(a_gate_runs_again_when_control_was_replaced),
	        TEST(gates_after_promotion_and_after_a_rollback_have_their_places),
	        TEST(a_shared_outage_pauses_and_does_not_roll_back),
	        TEST(a_broken_stable_does_not_block_its_fix),
	        TEST(an_abort_leaves_requests_with_the_new_release_while_the_old_one_is_dead),
	        TEST(a_fix_of_the_fix_begins_with_whoever_serves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
