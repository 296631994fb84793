/* Gates as the doing half runs them: commands and people that are waited for. */
#include "doer_rig.h"

#define GATES                                                      \
	CANARY "  gates:\n"                                        \
	       "    - {when: before, run: ./check, timeout: 7s}\n" \
	       "    - {when: 50%, run: ./smoke --hard}\n"          \
	       "    - {when: promote, confirm: true}\n"            \
	       "    - {when: rollback, run: ./sorry}\n"

static void gates_run_with_their_environment_and_are_waited_for(void **state)
{
	struct rig *r = *state;
	const struct fake_command *c = r->fleet.command;
	rig_apply(r, GATES);
	uint64_t id = rig_deploy(r, "2");
	RIG_UNTIL(r, r->fleet.command_count == 1, 5000);
	assert_string_equal(c[0].app, "web");
	assert_string_equal(c[0].run, "./check");
	assert_int_equal(c[0].release, 2);
	assert_int_equal(c[0].timeout_ms, 7000);
	assert_string_equal(c[0].env, "HEADGATE_APP=web HEADGATE_RELEASE=2 HEADGATE_ROLLOUT=1 "
	                              "HEADGATE_WEIGHT=0 HEADGATE_WHEN=before ");
	rig_run(r, 30000);
	assert_int_equal(rig_weight(r), 0);
	assert_true(rig_is(r, id, "why", "waits for a gate"));
	fake_command_ends(&r->fleet, 0, 0);
	RIG_UNTIL(r, rig_weight(r) == 10, 1000);
	RIG_UNTIL(r, r->fleet.command_count == 2, 60000);
	assert_string_equal(c[1].run, "./smoke --hard");
	assert_string_equal(c[1].env, "HEADGATE_APP=web HEADGATE_RELEASE=2 HEADGATE_ROLLOUT=1 "
	                              "HEADGATE_WEIGHT=0.5 HEADGATE_WHEN=50% ");
	assert_int_equal(c[1].timeout_ms, 300000);
	rig_run(r, 60000);
	assert_int_equal(rig_weight(r), 50);
	fake_command_ends(&r->fleet, 1, 0);
	/* The last one is a person. */
	RIG_UNTIL(r, rig_is(r, id, "state", "waiting"), 120000);
	assert_true(rig_is(r, id, "phase", "promote"));
	rig_run(r, 60000);
	assert_true(rig_is(r, id, "why", "waits for a person: headgate rollouts promote 1"));
	rig_do(r, id, ROLLOUTS_PROMOTE);
	RIG_UNTIL(r, rig_ended(r, id), 60000);
	json_t *o = rig_show(r, id);
	const json_t *gates = rig_at(o, "gates");
	/* There is no way back any more. */
	static const char *const states[] = {"passed", "passed", "passed", "skipped"};
	for (size_t i = 0; i < HG_COUNT(states); i++)
		assert_string_equal(rig_text(json_array_get(gates, i), "state"), states[i]);
	assert_int_equal(rig_int(json_array_get(gates, 0), "status"), 0);
	assert_in_range(rig_int(json_array_get(gates, 0), "took_ms"), 29000, 32000);
	assert_string_equal(rig_text(json_array_get(gates, 2), "run"), "confirm");
	json_decref(o);
	assert_int_equal(r->fleet.command_count, 2);
}

static void a_gate_that_fails_takes_the_release_back(void **state)
{
	struct rig *r = *state;
	rig_apply(r, GATES);
	uint64_t id = rig_deploy(r, "2");
	RIG_UNTIL(r, r->fleet.command_count == 1, 5000);
	fake_command_ends(&r->fleet, 0, 3 << 8);
	/* The one for going back runs before the end. */
	RIG_UNTIL(r, r->fleet.command_count == 2, 5000);
	assert_string_equal(r->fleet.command[1].run, "./sorry");
	assert_int_equal(rig_weight(r), 0);
	fake_command_ends(&r->fleet, 1, 1 << 8);
	rig_taken_back(r, id, "gate");
	json_t *o = rig_show(r, id);
	assert_string_equal(rig_text(json_array_get(rig_at(o, "gates"), 0), "state"), "failed");
	assert_int_equal(rig_int(json_array_get(rig_at(o, "gates"), 0), "status"), 3 << 8);
	json_decref(o);
}

static void a_gate_that_takes_too_long_or_cannot_be_started_fails(void **state)
{
	struct rig *r = *state;
	rig_apply(r, GATES);
	uint64_t late = rig_deploy(r, "2");
	RIG_UNTIL(r, r->fleet.command_count == 1, 5000);
	fake_command_ends(&r->fleet, 0, -1);
	RIG_UNTIL(r, r->fleet.command_count == 2, 5000);
	fake_command_ends(&r->fleet, 1, 0);
	rig_taken_back(r, late, "gate");
	r->fleet.refuses_command = HG_E_COMMAND;
	uint64_t id = rig_deploy(r, "4");
	rig_taken_back(r, id, "gate");
	assert_true(rig_logged(r, "rollout.gate"));
}

static void a_gate_waits_while_too_many_commands_run(void **state)
{
	struct rig *r = *state;
	rig_apply(r, GATES);
	r->fleet.refuses_command = HG_E_AGAIN;
	uint64_t id = rig_deploy(r, "2");
	rig_run(r, 5000);
	assert_true(rig_is(r, id, "phase", "gate"));
	r->fleet.refuses_command = HG_OK;
	RIG_UNTIL(r, r->fleet.command_count == 1, 3000);
	fake_command_ends(&r->fleet, 0, 0);
	RIG_UNTIL(r, rig_weight(r) == 10, 3000);
}

static void the_result_of_a_former_run_of_a_gate_is_ignored(void **state)
{
	struct rig *r = *state;
	rig_apply(r, GATES);
	uint64_t id = rig_deploy(r, "2");
	RIG_UNTIL(r, r->fleet.command_count == 1, 5000);
	rig_do(r, id, ROLLOUTS_ABORT);
	RIG_UNTIL(r, r->fleet.command_count == 2, 5000);
	fake_command_ends(&r->fleet, 0, 0); /* the aborted one */
	rig_run(r, 3000);
	json_t *o = rig_show(r, id);
	assert_string_equal(rig_text(json_array_get(rig_at(o, "gates"), 0), "state"), "skipped");
	json_decref(o);
	rig_do(r, id, ROLLOUTS_ABORT); /* does not wait for the other one */
	rig_run(r, 1000);
	fake_command_ends(&r->fleet, 1, 0);
	rig_taken_back(r, id, "person");
	/* And one whose rollout is gone. */
	uint64_t next = rig_do(r, id, ROLLOUTS_RETRY);
	RIG_UNTIL(r, r->fleet.command_count == 3, 5000);
	rig_apply(r, "app: api\ncommand: api --port $PORT\n");
	RIG_UNTIL(r, rig_ended(r, next), 5000);
	rig_run(r, 1000);
	fake_command_ends(&r->fleet, 2, 0);
}

static void a_gate_is_run_again_after_control_was_replaced(void **state)
{
	struct rig *r = *state;
	rig_apply(r, GATES);
	rig_deploy(r, "2");
	RIG_UNTIL(r, r->fleet.command_count == 1, 5000);
	rig_run(r, 1000);
	rig_control_dies(r);
	rig_control(r);
	rig_apply(r, CANARY);
	RIG_UNTIL(r, r->fleet.command_count == 2, 5000);
	assert_string_equal(r->fleet.command[1].run, "./check");
	fake_command_ends(&r->fleet, 1, 0);
	RIG_UNTIL(r, rig_weight(r) == 10, 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        RIG_TEST(gates_run_with_their_environment_and_are_waited_for),
	        RIG_TEST(a_gate_that_fails_takes_the_release_back),
	        RIG_TEST(a_gate_that_takes_too_long_or_cannot_be_started_fails),
	        RIG_TEST(a_gate_waits_while_too_many_commands_run),
	        RIG_TEST(the_result_of_a_former_run_of_a_gate_is_ignored),
	        RIG_TEST(a_gate_is_run_again_after_control_was_replaced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
