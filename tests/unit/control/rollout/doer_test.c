/* The doing half: what is decided is done in an order that survives every death of control. */
#include "doer_rig.h"

/* To the weight of the first step, 10 %. */
static uint64_t at_ten_percent(struct rig *r, const char *version)
{
	uint64_t id = rig_deploy(r, version);
	RIG_UNTIL(r, rig_weight(r) == 10, 20000);
	return id;
}

static void promoted(struct rig *r, uint64_t id)
{
	rig_do(r, id, ROLLOUTS_PROMOTE_FULL);
	RIG_UNTIL(r, rig_ended(r, id), 60000);
	assert_true(rig_is(r, id, "outcome", "promoted"));
	assert_int_equal(rig_weight(r), -1);
}

/* ---- forwards ---- */

static void nothing_is_done_before_a_configuration_and_the_replicas_are_known(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	uint64_t id;
	assert_int_equal(rig_ask(r, "2", "", &id, &err), HG_E_FLEET_APP);
	rig_apply(r, CANARY);
	r->fleet.knows = false;
	rig_deploy(r, "2");
	rig_run(r, 3000);
	assert_int_equal(r->fleet.wants, 0);
	assert_int_equal(rig_weight(r), -1);
	r->fleet.knows = true;
	RIG_UNTIL(r, r->fleet.app[0].want.trial == 2, 2000);
}

static void a_deploy_makes_a_row_and_a_slot_of_weight_0_until_its_replicas_are_ready(void **state)
{
	struct rig *r = *state;
	struct snap_trial t;
	rig_apply(r, CANARY);
	r->fleet.app[0].most[2] = 0;
	uint64_t id = rig_deploy(r, "2");
	json_t *o = rig_show(r, id);
	assert_string_equal(rig_text(o, "outcome"), "");
	json_decref(o);
	rig_run(r, 20000);
	assert_true(rig_slot(r, WEB, &t) >= 0);
	assert_int_equal(t.weight_ppm, 0);
	assert_int_equal(t.rollout, id);
	assert_int_equal(t.old_release, 1);
	assert_int_equal(t.new_release, 2);
	assert_false(t.flags & SNAP_TRIAL_JUDGE);
	assert_int_equal(r->fleet.app[0].want.serving, 1);
	assert_int_equal(r->fleet.app[0].want.trial, 2);
	assert_int_equal(r->fleet.app[0].want.trial_replicas, 1);
	assert_true(rig_is(r, id, "phase", "start"));
	r->fleet.app[0].most[2] = 1;
	fake_event(&r->fleet);
	rig_turn(r, 0);
	assert_int_equal(rig_weight(r), 10);
	assert_true(rig_slot(r, WEB, &t) >= 0);
	assert_true(t.flags & SNAP_TRIAL_JUDGE);
	assert_true(t.flags & SNAP_TRIAL_RESCUE);
	assert_true(t.lens.threshold > 0);
	assert_int_equal(rig_events(r, "rollout.started"), 1);
}

static void requests_that_do_well_lead_it_step_by_step_to_the_end(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	uint64_t id = at_ten_percent(r, "2");
	static const int weights[] = {10, 50, 100};
	for (unsigned i = 0; i < HG_COUNT(weights); i++) {
		RIG_UNTIL(r, rig_weight(r) == weights[i], 60000);
		for (int s = 0; s < 40 && rig_weight(r) == weights[i]; s++) {
			rig_serve(r, 100, 100, 0);
			rig_run(r, 1000);
		}
	}
	RIG_UNTIL(r, rig_ended(r, id), 60000);
	json_t *o = rig_show(r, id);
	assert_string_equal(rig_text(o, "outcome"), "promoted");
	assert_string_equal(rig_text(o, "why"), "promoted");
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(
		        rig_text(json_array_get(rig_at(o, "steps"), i), "proof"), "evidence");
	assert_true(rig_int(o, "users.requests_new") >= 9000);
	assert_int_equal(rig_int(o, "users.failed_new"), 0);
	json_decref(o);
	assert_int_equal(r->fleet.app[0].want.serving, 2);
	assert_int_equal(r->fleet.app[0].want.trial, 0);
	assert_int_equal(rig_weight(r), -1);
	assert_int_equal(rig_events(r, "rollout.promoted"), 1);
	assert_int_equal(rig_events(r, "rollout.ended"), 1);
	assert_true(r->told > 3);
}

static void without_a_request_each_step_passes_as_quiet(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	uint64_t id = at_ten_percent(r, "2");
	RIG_UNTIL(r, rig_ended(r, id), 200000);
	json_t *o = rig_show(r, id);
	assert_string_equal(rig_text(o, "outcome"), "promoted");
	assert_string_equal(rig_text(json_array_get(rig_at(o, "steps"), 0), "proof"), "quiet");
	json_decref(o);
}

static void the_weight_rises_only_once_the_state_is_on_disk(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	r->fleet.app[0].most[2] = 0;
	uint64_t id = rig_deploy(r, "2");
	RIG_UNTIL(r, rig_weight(r) == 0, 2000);
	rig_sql(r, "PRAGMA query_only=1");
	r->fleet.app[0].most[2] = 9;
	rig_run(r, 10000);
	assert_int_equal(rig_weight(r), 0);
	assert_true(rig_logged(r, "rollout.save"));
	assert_true(rig_is(r, id, "phase", "start"));
	rig_sql(r, "PRAGMA query_only=0");
	RIG_UNTIL(r, rig_weight(r) == 10, 3000);
	assert_int_equal(rig_events(r, "rollout.started"), 1);
}

static void a_fleet_that_cannot_write_is_asked_again(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	r->fleet.refuses_want = HG_E_DB_FULL;
	rig_deploy(r, "2");
	rig_run(r, 3000);
	assert_true(rig_logged(r, "rollout.want"));
	assert_int_equal(rig_weight(r), 0);
	assert_true(r->fleet.wants >= 2 && r->fleet.wants <= 5); /* once a second */
	r->fleet.refuses_want = HG_OK;
	RIG_UNTIL(r, rig_weight(r) == 10, 3000);
}

/* ---- backwards ---- */

static void a_trip_takes_the_release_back_and_says_why(void **state)
{
	struct rig *r = *state;
	uint64_t by = 0;
	rig_apply(r, CANARY "  after_abort: {keep_canary: 3s}\n");
	uint64_t id = at_ten_percent(r, "2");
	rig_failure(r, "/a", true);
	rig_run(r, 200);
	rig_serve(r, 60, 500, 60);
	rig_failure(r, "/b", true);
	rig_trip(r);
	RIG_UNTIL(r, rig_weight(r) == 0, 300); /* at the next look */
	assert_true(rig_is(r, id, "phase", "back"));
	assert_int_equal(store_quarantine_get(r->store, WEB, 2, &by, NULL), HG_OK);
	assert_int_equal(by, id);
	rig_taken_back(r, id, "evidence");
	json_t *o = rig_show(r, id);
	assert_string_equal(rig_text(o, "verdict"), "bad");
	assert_non_null(strstr(rig_text(o, "why"), "60 of 60 requests of the new release failed"));
	assert_int_equal(rig_int(o, "users.requests_new"), 60);
	assert_int_equal(rig_int(o, "users.failed_new"), 60);
	assert_int_equal(rig_int(o, "users.rescued"), 60);
	assert_int_equal(rig_int(o, "users.seen"), 0);
	assert_int_equal(rig_int(o, "back.requests"), 60);
	assert_int_equal(rig_int(o, "back.failures"), 60);
	assert_in_range(rig_int(o, "back.took_ms"), 200, 1000);
	assert_true(rig_num(o, "evidence.e") >= rig_num(o, "evidence.threshold"));
	const json_t *first = rig_at(o, "first_failures");
	assert_int_equal(json_array_size(first), 2);
	assert_string_equal(rig_text(json_array_get(first, 0), "path"), "/a");
	assert_string_equal(rig_text(json_array_get(first, 1), "path"), "/b");
	assert_string_equal(rig_text(json_array_get(first, 0), "cause"), "status");
	assert_string_equal(rig_text(json_array_get(first, 0), "request_id"), "rid1");
	assert_string_equal(rig_text(json_array_get(first, 0), "body"), "oops?"); /* not UTF-8 */
	json_decref(o);
	assert_int_equal(r->fleet.app[0].want.serving, 1);
	assert_int_equal(rig_events(r, "rollout.back"), 1);
}

static void failures_alone_are_found_by_control_itself(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	uint64_t id = at_ten_percent(r, "2");
	rig_serve(r, 2000, 2000, 2000); /* nobody tripped */
	rig_run(r, 1000);
	rig_taken_back(r, id, "evidence");
}

static void a_failure_that_was_never_finished_hides_no_other(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	uint64_t id = at_ten_percent(r, "2");
	rig_failure(r, "/torn", false); /* its worker died */
	rig_failure(r, "/whole", true);
	rig_serve(r, 60, 500, 60);
	rig_trip(r);
	rig_taken_back(r, id, "evidence");
	json_t *o = rig_show(r, id);
	const json_t *first = rig_at(o, "first_failures");
	assert_int_equal(json_array_size(first), 1);
	assert_string_equal(rig_text(json_array_get(first, 0), "path"), "/whole");
	json_decref(o);
}

static void late_responses_of_an_ended_epoch_still_count_for_its_users(void **state)
{
	struct rig *r = *state;
	struct snap_trial t;
	rig_apply(r, CANARY "  after_abort: {keep_canary: 10s}\n");
	uint64_t id = at_ten_percent(r, "2");
	assert_true(rig_slot(r, WEB, &t) >= 0);
	uint32_t cell = t.cell;
	rig_serve(r, 60, 500, 60);
	rig_trip(r);
	RIG_UNTIL(r, rig_weight(r) == 0, 1000);
	struct meter *m = r->child.meter;
	meter_add(&m->worker[0].trial[cell].n_new, 3);
	meter_add(&m->worker[0].trial[cell].seen, 2);
	assert_true(rig_slot(r, WEB, &t) >= 0);
	assert_int_not_equal(t.cell, cell);
	rig_taken_back(r, id, "evidence");
	json_t *o = rig_show(r, id);
	assert_int_equal(rig_int(o, "users.requests_new"), 63);
	assert_int_equal(rig_int(o, "users.seen"), 2);
	json_decref(o);
}

/* ---- death of control, and of everything ---- */

static void a_control_that_takes_over_goes_on_with_slot_epoch_and_cookie_key(void **state)
{
	struct rig *r = *state;
	struct snap_trial before, after;
	rig_apply(r, CANARY "  sticky: 1h\n");
	uint64_t id = at_ten_percent(r, "2");
	rig_run(r, 2000);
	rig_serve(r, 50, 450, 1);
	int slot = rig_slot(r, WEB, &before);
	rig_control_dies(r);
	rig_run(r, 1000);
	rig_control(r);
	rig_apply(r, CANARY);
	rig_run(r, 1000);
	assert_int_equal(rig_slot(r, WEB, &after), slot);
	assert_int_equal(after.weight_ppm, before.weight_ppm);
	assert_int_equal(after.epoch, before.epoch);
	assert_int_equal(after.cell, before.cell);
	assert_int_equal(after.sticky_s, 3600); /* its own rules, not those of the file by now */
	assert_memory_equal(after.sticky_key, before.sticky_key, sizeof after.sticky_key);
	assert_int_equal(after.flags, before.flags);
	json_t *o = rig_show(r, id);
	assert_int_equal(rig_int(o, "users.requests_new"), 50);
	assert_int_equal(rig_int(o, "users.failed_new"), 1);
	assert_string_equal(rig_text(o, "who"), "unix:1000");
	json_decref(o);
	assert_int_equal(rig_events(r, "rollout.restarted"), 0);
	promoted(r, id);
}

static void a_trip_while_control_was_dead_is_acted_on_by_the_next(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	uint64_t id = at_ten_percent(r, "2");
	rig_control_dies(r);
	rig_serve(r, 60, 500, 60);
	rig_failure(r, "/a", true);
	rig_trip(r);
	rig_run(r, 5000);
	rig_control(r);
	rig_apply(r, CANARY);
	rig_taken_back(r, id, "evidence");
	json_t *o = rig_show(r, id);
	assert_int_equal(json_array_size(rig_at(o, "first_failures")), 1);
	assert_int_equal(rig_int(o, "back.failures"), 60);
	json_decref(o);
}

static void requests_before_control_was_replaced_are_no_traffic_of_now(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	meter_observe(meter_lane_of(&((struct meter *)r->child.meter)->worker[0], 1), 200, 1000000);
	uint64_t id = at_ten_percent(r, "2");
	rig_run(r, 6000);
	rig_control_dies(r);
	rig_control(r);
	rig_apply(r, CANARY);
	RIG_UNTIL(r, rig_weight(r) == 50, 40000);
	json_t *o = rig_show(r, id);
	assert_string_equal(rig_text(json_array_get(rig_at(o, "steps"), 0), "proof"), "quiet");
	json_decref(o);
}

static void with_all_memory_new_the_trial_begins_again_at_weight_0(void **state)
{
	struct rig *r = *state;
	struct snap_trial t;
	rig_apply(r, CANARY);
	uint64_t id = at_ten_percent(r, "2");
	RIG_UNTIL(r, rig_weight(r) == 50, 60000);
	rig_slot(r, WEB, &t);
	uint32_t epoch = t.epoch;
	rig_control_dies(r);
	rig_memory_gone(r);
	rig_memory(r);
	r->fleet.app[0].most[2] = 0; /* they start again, too */
	rig_control(r);
	assert_int_equal(rig_weight(r), -1);
	rig_apply(r, CANARY);
	rig_run(r, 2000);
	assert_int_equal(rig_weight(r), 0);
	rig_slot(r, WEB, &t);
	assert_true(t.epoch > epoch);
	assert_true(rig_is(r, id, "phase", "start"));
	assert_int_equal(rig_events(r, "rollout.restarted"), 1);
	r->fleet.app[0].most[2] = 9;
	RIG_UNTIL(r, rig_weight(r) == 10, 3000);
	promoted(r, id);
}

static void a_slot_whose_rollout_has_ended_is_freed_at_start(void **state)
{
	struct rig *r = *state;
	const struct snap_trial stray = {.app = WEB,
	        .old_release = 1,
	        .new_release = 2,
	        .rollout = 77,
	        .weight_ppm = 500000,
	        .epoch = 3};
	rig_control_dies(r);
	snap_trial_set(r->child.table, 5, &stray);
	assert_int_equal(rig_weight(r), 50);
	rig_control(r);
	assert_int_equal(rig_weight(r), -1);
}

static void damaged_rows_end_and_their_releases_go(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	uint64_t bad = at_ten_percent(r, "2"), waits = rig_deploy(r, "4"), last;
	rig_control_dies(r);
	rig_sql(r, "UPDATE rollout SET state=x'00112233', text='{' WHERE new=2");
	rig_sql(r, "UPDATE rollout SET state=x'' WHERE new=4");
	rig_control(r);
	/* Each is named; nobody asks the new release any more, even before the file is read. */
	assert_true(rig_logged(r, "\"rollout\":1"));
	assert_true(rig_logged(r, "\"rollout\":2"));
	assert_true(rig_logged(r, "HG1527"));
	assert_int_equal(rig_weight(r), -1);
	rig_apply(r, CANARY);
	r->told = 0;
	RIG_UNTIL(r, r->fleet.app[0].want.trial == 0, 5000);
	assert_int_equal(r->fleet.app[0].want.serving, 1);
	rig_run(r, 2000);
	assert_int_equal(rig_events(r, "rollout.ended"), 2);
	assert_int_equal(r->told, 2);
	for (uint64_t id = bad; id <= waits; id++) {
		assert_true(rig_is(r, id, "outcome", "rolled_back"));
		assert_true(rig_is(r, id, "cause", "damaged"));
		assert_true(rig_is(r, id, "app", "web"));
		assert_true(rig_ended(r, id));
		assert_int_equal(rig_refused(r, id, ROLLOUTS_ABORT), HG_E_ROLLOUT_STATE);
	}
	/* What can be read of it is kept. */
	assert_true(rig_is(r, waits, "who", "unix:1000"));
	/* Nothing is left of them: not in the store, not for who takes over, not for a deploy. */
	rig_control_dies(r);
	rig_control(r);
	rig_apply(r, CANARY);
	rig_run(r, 1000);
	assert_int_equal(rig_events(r, "rollout.ended"), 2);
	last = rig_deploy(r, "2");
	RIG_UNTIL(r, rig_weight(r) == 10, 5000);
	rig_do(r, last, ROLLOUTS_ABORT);
	rig_taken_back(r, last, "person");
}

static void a_damaged_row_leaves_the_rollout_that_runs_alone(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	at_ten_percent(r, "2");
	uint64_t waits = rig_deploy(r, "4");
	rig_control_dies(r);
	rig_sql(r, "UPDATE rollout SET state=x'00' WHERE new=4");
	rig_control(r);
	assert_int_equal(rig_weight(r), 10);
	rig_apply(r, CANARY);
	RIG_UNTIL(r, rig_ended(r, waits), 5000);
	rig_run(r, 2000);
	assert_int_equal(rig_weight(r), 10);
	assert_int_equal(r->fleet.app[0].want.trial, 2);
}

static void a_damaged_row_is_ended_once_it_can_be_written(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	uint64_t bad = at_ten_percent(r, "2");
	rig_control_dies(r);
	rig_sql(r, "UPDATE rollout SET state=x'00', text='null' WHERE new=2");
	rig_control(r);
	r->fleet.refuses_want = HG_E_DB_FULL;
	rig_apply(r, "app: api\ncommand: api --port $PORT\n");
	/* Its app is not in the file any more: only the row is left to be ended. */
	rig_sql(r, "CREATE TEMP TRIGGER full BEFORE UPDATE ON main.rollout BEGIN "
	           "SELECT RAISE(FAIL, 'no room'); END");
	rig_run(r, 5000);
	assert_int_equal(rig_events(r, "rollout.ended"), 0);
	rig_sql(r, "DROP TRIGGER full");
	RIG_UNTIL(r, rig_events(r, "rollout.ended") == 1, 3000);
	assert_true(rig_ended(r, bad));
}

static void what_users_saw_before_a_raise_is_known_after_a_death_right_behind_it(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	uint64_t id = at_ten_percent(r, "2");
	rig_serve(r, 600, 5400, 0);
	struct meter *m = r->child.meter;
	struct snap_trial t;
	assert_true(rig_slot(r, WEB, &t) >= 0);
	RIG_UNTIL(r, rig_is(r, id, "phase", "step") && clock_mono_ms() % 10000 == 9000, 20000);
	meter_add(&m->worker[0].trial[t.cell].seen, 2);
	meter_add(&m->worker[0].trial[t.cell].unreplayable, 2);
	RIG_UNTIL(r, rig_weight(r) == 50, 60000);
	/* The very turn that raised it is the last. */
	rig_control_dies(r);
	rig_control(r);
	rig_apply(r, CANARY);
	rig_run(r, 1000);
	json_t *o = rig_show(r, id);
	assert_int_equal(rig_int(o, "users.requests_new"), 600);
	assert_int_equal(rig_int(o, "users.seen"), 2);
	assert_int_equal(rig_int(o, "users.unreplayable"), 2);
	json_decref(o);
	/* Counted once, also by who takes over next. */
	rig_serve(r, 500, 500, 0);
	rig_run(r, 6000);
	rig_control_dies(r);
	rig_control(r);
	rig_apply(r, CANARY);
	rig_run(r, 1000);
	o = rig_show(r, id);
	assert_int_equal(rig_int(o, "users.requests_new"), 1100);
	assert_int_equal(rig_int(o, "users.seen"), 2);
	json_decref(o);
}

static void a_deploy_that_could_not_be_written_whole_is_not_begun_later(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	uint64_t id;
	rig_apply(r, CANARY);
	rig_sql(r, "CREATE TEMP TRIGGER full BEFORE UPDATE ON main.rollout BEGIN "
	           "SELECT RAISE(FAIL, 'no room'); END");
	assert_true(rig_ask(r, "2", "", &id, &err) < 0);
	assert_true(err.message[0]);
	rig_sql(r, "DROP TRIGGER full");
	rig_control_dies(r);
	rig_control(r);
	rig_apply(r, CANARY);
	rig_run(r, 5000);
	assert_int_equal(r->fleet.app[0].want.trial, 0);
	assert_int_equal(rig_weight(r), -1);
}

/* ---- people ---- */

static void a_second_deploy_waits_for_the_first_and_supersedes_it(void **state)
{
	struct rig *r = *state;
	struct snap_trial t;
	rig_apply(r, CANARY);
	r->fleet.app[0].want.serving = 5;
	uint64_t first = at_ten_percent(r, "2"), second = rig_deploy(r, "4");
	assert_true(second > first);
	assert_true(rig_is(r, second, "state", "waiting"));
	json_t *o = rig_show(r, second);
	assert_int_equal(rig_int(o, "old.release"), 5);
	assert_int_equal(rig_int(o, "new.release"), 4);
	json_decref(o);
	assert_int_equal(rig_refused(r, second, ROLLOUTS_PAUSE), HG_E_ROLLOUT_STATE);
	RIG_UNTIL(r, rig_ended(r, first), 5000);
	assert_true(rig_is(r, first, "outcome", "superseded"));
	assert_true(rig_is(r, first, "state", "superseded"));
	RIG_UNTIL(r, rig_weight(r) == 10, 10000);
	rig_slot(r, WEB, &t);
	assert_int_equal(t.rollout, second);
	assert_int_equal(t.new_release, 4);
	/* It was not the first one's fault. */
	uint64_t by = 1;
	assert_int_equal(store_quarantine_get(r->store, WEB, 2, &by, NULL), HG_OK);
	assert_int_equal(by, 0);
}

static void one_that_waits_for_what_serves_by_now_ends_without_doing_anything(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	r->fleet.knows = false;
	uint64_t id = rig_deploy(r, "2");
	r->fleet.app[0].want.serving = 2;
	r->fleet.knows = true;
	rig_run(r, 1000);
	assert_true(rig_is(r, id, "outcome", "superseded"));
	assert_int_equal(r->fleet.wants, 0);
	/* Whoever waits for it hears of its end. */
	assert_int_equal(rig_events(r, "rollout.ended"), 1);
	assert_int_equal(r->told, 1);
}

static void the_release_that_serves_or_is_under_way_is_not_deployed_twice(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	uint64_t id;
	rig_apply(r, CANARY);
	assert_int_equal(rig_ask(r, "1", "", &id, &err), HG_E_ROLLOUT_SAME);
	at_ten_percent(r, "2");
	assert_int_equal(rig_ask(r, "2", "", &id, &err), HG_E_ROLLOUT_SAME);
	/* Back to what serves: the one that runs ends for it. */
	assert_int_equal(rig_ask(r, "1", "", &id, &err), HG_OK);
	RIG_UNTIL(r, rig_ended(r, id), 10000);
	assert_int_equal(r->fleet.app[0].want.serving, 1);
}

static void a_quarantined_release_is_refused_until_somebody_tries_it_again(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	uint64_t id, by = 1;
	rig_apply(r, CANARY);
	uint64_t bad = at_ten_percent(r, "2");
	assert_int_equal(rig_refused(r, bad, ROLLOUTS_RETRY), HG_E_ROLLOUT_STATE);
	rig_serve(r, 60, 500, 60);
	rig_trip(r);
	rig_taken_back(r, bad, "evidence");
	assert_int_equal(rig_ask(r, "2", "", &id, &err), HG_E_ROLLOUT_QUARANTINED);
	assert_non_null(strstr(err.hint, "headgate rollouts retry 1"));
	rollouts_on_release(r->rollouts, "web", 2);
	assert_true(rig_logged(r, "rollout.refused"));
	id = rig_do(r, bad, ROLLOUTS_RETRY);
	assert_true(id > bad);
	assert_int_equal(store_quarantine_get(r->store, WEB, 2, &by, NULL), HG_OK);
	assert_int_equal(by, 0);
	RIG_UNTIL(r, rig_weight(r) == 10, 10000);
	/* The trip of the former one is none of this. */
	rig_run(r, 3000);
	assert_int_equal(rig_weight(r), 10);
	promoted(r, id);
	assert_int_equal(rig_refused(r, bad, ROLLOUTS_RETRY), HG_E_ROLLOUT_SAME);
	assert_int_equal(rig_refused(r, 99, ROLLOUTS_RETRY), HG_E_NOT_FOUND);
}

static void a_rollback_finds_the_release_that_was_promoted_before(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	uint64_t id = 0;
	const struct hg_str web = HG_STR("web"), who = HG_STR("token:ci");
	rig_apply(r, CANARY);
	assert_int_equal(rollouts_rollback(r->rollouts, web, 0, who, &id, &err), HG_E_ROLLOUT_NONE);
	promoted(r, at_ten_percent(r, "2"));
	promoted(r, at_ten_percent(r, "4"));
	assert_int_equal(r->fleet.app[0].want.serving, 4);
	assert_int_equal(rollouts_rollback(r->rollouts, web, 4, who, &id, &err), HG_E_ROLLOUT_SAME);
	assert_int_equal(rollouts_rollback(r->rollouts, web, 77, who, &id, &err), HG_E_NOT_FOUND);
	assert_int_equal(rollouts_rollback(r->rollouts, web, 0, who, &id, &err), HG_OK);
	assert_true(rig_is(r, id, "strategy", "immediate"));
	assert_true(rig_is(r, id, "who", "token:ci"));
	RIG_UNTIL(r, rig_ended(r, id), 20000);
	assert_true(rig_is(r, id, "outcome", "promoted"));
	assert_int_equal(r->fleet.app[0].want.serving, 2);
	assert_int_equal(
	        rollouts_rollback(r->rollouts, HG_STR("wep"), 0, who, &id, &err), HG_E_FLEET_APP);
}

static void a_rollback_of_what_runs_is_its_abort(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	uint64_t id = 0;
	rig_apply(r, CANARY);
	uint64_t run = at_ten_percent(r, "2");
	assert_int_equal(
	        rollouts_rollback(r->rollouts, HG_STR("web"), 0, HG_STR("unix:1000"), &id, &err),
	        HG_OK);
	assert_int_equal(id, run);
	rig_taken_back(r, run, "person");
}

static void people_pause_resume_promote_and_abort(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	uint64_t id = at_ten_percent(r, "2");
	assert_int_equal(rig_refused(r, id, ROLLOUTS_RESUME), HG_E_ROLLOUT_STATE);
	rig_do(r, id, ROLLOUTS_PAUSE);
	assert_true(rig_is(r, id, "state", "paused"));
	rig_run(r, 1000);
	assert_true(rig_is(r, id, "why", "paused by a person"));
	assert_int_equal(rig_refused(r, id, ROLLOUTS_PAUSE), HG_E_ROLLOUT_STATE);
	rig_run(r, 120000);
	assert_int_equal(rig_weight(r), 10);
	/* A pause is on disk before anybody is told that it is one. */
	rig_control_dies(r);
	rig_control(r);
	rig_apply(r, CANARY);
	rig_run(r, 60000);
	assert_true(rig_is(r, id, "state", "paused"));
	assert_int_equal(rig_weight(r), 10);
	rig_do(r, id, ROLLOUTS_RESUME);
	rig_do(r, id, ROLLOUTS_PROMOTE);
	RIG_UNTIL(r, rig_weight(r) == 50, 1000);
	rig_do(r, id, ROLLOUTS_ABORT);
	rig_turn(r, 0);
	assert_true(rig_weight(r) <= 0);
	rig_taken_back(r, id, "person");
	assert_int_equal(rig_refused(r, id, ROLLOUTS_ABORT), HG_E_ROLLOUT_STATE);
	assert_int_equal(rig_refused(r, 99, ROLLOUTS_ABORT), HG_E_NOT_FOUND);
	assert_int_equal(rig_events(r, "rollout.paused"), 1);
	assert_int_equal(rig_events(r, "rollout.resumed"), 1);
}

static void a_command_that_cannot_be_written_changes_nothing(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	uint64_t id = at_ten_percent(r, "2");
	rig_sql(r, "PRAGMA query_only=1");
	assert_int_equal(rig_refused(r, id, ROLLOUTS_ABORT), HG_E_DB_QUERY);
	rig_sql(r, "PRAGMA query_only=0");
	rig_run(r, 3000);
	assert_int_equal(rig_weight(r), 10);
}

static void an_unknown_app_is_refused_with_what_was_meant(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	uint64_t id;
	struct rollouts_deploy d = {.app = HG_STR("wep"), .version = HG_STR("2")};
	rig_apply(r, CANARY);
	assert_int_equal(rollouts_deploy(r->rollouts, &d, &id, &err), HG_E_FLEET_APP);
	assert_string_equal(err.message, "there is no app \"wep\"");
	assert_string_equal(err.hint, "Did you mean \"web\"?");
	err = (struct hg_err){0};
	d.app = HG_STR("something");
	assert_int_equal(rollouts_deploy(r->rollouts, &d, &id, &err), HG_E_FLEET_APP);
	assert_string_equal(err.hint, "");
}

static void a_strategy_that_is_none_is_refused(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	uint64_t id;
	rig_apply(r, CANARY);
	assert_int_equal(rig_ask(r, "2", "yolo", &id, &err), HG_E_INVALID);
	assert_non_null(strstr(err.hint, "blue-green"));
	/* It is what `rollback` does, nobody asks for it. */
	assert_int_equal(rig_ask(r, "2", "immediate", &id, &err), HG_E_INVALID);
	assert_int_equal(rig_ask(r, "2", "blue-green", &id, &err), HG_OK);
	assert_true(rig_is(r, id, "strategy", "blue-green"));
	RIG_UNTIL(r, rig_ended(r, id), 60000);
	assert_true(rig_is(r, id, "outcome", "promoted"));
}

static void an_app_that_serves_nothing_yet_has_to_wait(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	uint64_t id;
	rig_apply(r, CANARY);
	r->fleet.app[0].want.serving = 0;
	assert_int_equal(rig_ask(r, "2", "", &id, &err), HG_E_AGAIN);
}

static void the_file_s_own_release_is_rolled_out_too(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	rollouts_on_release(r->rollouts, "web", 2);
	rollouts_on_release(r->rollouts, "web", 2); /* told again after a death */
	RIG_UNTIL(r, rig_weight(r) == 10, 20000);
	assert_true(rig_is(r, 1, "who", "file"));
	promoted(r, 1);
}

static void an_app_that_leaves_the_file_ends_its_rollout(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY);
	uint64_t id = at_ten_percent(r, "2");
	rig_apply(r, "app: api\ncommand: api --port $PORT\n");
	RIG_UNTIL(r, rig_ended(r, id), 5000);
	assert_true(rig_is(r, id, "cause", "removed"));
	assert_int_equal(rig_weight(r), -1);
}

static void there_are_no_more_rollouts_than_slots(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	uint64_t id;
	rig_apply(r, CANARY);
	r->fleet.knows = false;
	for (uint32_t i = 0; i < SNAP_TRIALS; i++)
		assert_int_equal(rig_ask(r, i % 2 ? "4" : "2", "", &id, &err), HG_OK);
	assert_int_equal(rig_ask(r, "5", "", &id, &err), HG_E_ROLLOUT_LIMIT);
	r->fleet.knows = true;
	RIG_UNTIL(r, rig_ended(r, id - 1) && rig_weight(r) == 10, 60000);
	promoted(r, id);
	assert_int_equal(r->fleet.app[0].want.serving, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        RIG_TEST(nothing_is_done_before_a_configuration_and_the_replicas_are_known),
	        RIG_TEST(a_deploy_makes_a_row_and_a_slot_of_weight_0_until_its_replicas_are_ready),
	        RIG_TEST(requests_that_do_well_lead_it_step_by_step_to_the_end),
	        RIG_TEST(without_a_request_each_step_passes_as_quiet),
	        RIG_TEST(the_weight_rises_only_once_the_state_is_on_disk),
	        RIG_TEST(a_fleet_that_cannot_write_is_asked_again),
	        RIG_TEST(a_trip_takes_the_release_back_and_says_why),
	        RIG_TEST(failures_alone_are_found_by_control_itself),
	        RIG_TEST(a_failure_that_was_never_finished_hides_no_other),
	        RIG_TEST(late_responses_of_an_ended_epoch_still_count_for_its_users),
	        RIG_TEST(a_control_that_takes_over_goes_on_with_slot_epoch_and_cookie_key),
	        RIG_TEST(a_trip_while_control_was_dead_is_acted_on_by_the_next),
	        RIG_TEST(requests_before_control_was_replaced_are_no_traffic_of_now),
	        RIG_TEST(with_all_memory_new_the_trial_begins_again_at_weight_0),
	        RIG_TEST(a_slot_whose_rollout_has_ended_is_freed_at_start),
	        RIG_TEST(damaged_rows_end_and_their_releases_go),
	        RIG_TEST(a_damaged_row_leaves_the_rollout_that_runs_alone),
	        RIG_TEST(a_damaged_row_is_ended_once_it_can_be_written),
	        RIG_TEST(what_users_saw_before_a_raise_is_known_after_a_death_right_behind_it),
	        RIG_TEST(a_deploy_that_could_not_be_written_whole_is_not_begun_later),
	        RIG_TEST(a_second_deploy_waits_for_the_first_and_supersedes_it),
	        RIG_TEST(one_that_waits_for_what_serves_by_now_ends_without_doing_anything),
	        RIG_TEST(the_release_that_serves_or_is_under_way_is_not_deployed_twice),
	        RIG_TEST(a_quarantined_release_is_refused_until_somebody_tries_it_again),
	        RIG_TEST(a_rollback_finds_the_release_that_was_promoted_before),
	        RIG_TEST(a_rollback_of_what_runs_is_its_abort),
	        RIG_TEST(people_pause_resume_promote_and_abort),
	        RIG_TEST(a_command_that_cannot_be_written_changes_nothing),
	        RIG_TEST(an_unknown_app_is_refused_with_what_was_meant),
	        RIG_TEST(a_strategy_that_is_none_is_refused),
	        RIG_TEST(an_app_that_serves_nothing_yet_has_to_wait),
	        RIG_TEST(the_file_s_own_release_is_rolled_out_too),
	        RIG_TEST(an_app_that_leaves_the_file_ends_its_rollout),
	        RIG_TEST(there_are_no_more_rollouts_than_slots),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
