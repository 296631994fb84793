/* What holds a release up (a freeze), and what one that is taken back opens (an incident). */
#include "doer_rig.h"

struct goals {
	struct rig *r;
	bool frozen;
	uint32_t opened;
	bool in_transaction;
	enum hg_rc rc; /* of opening */
	struct rollouts_incident last;
	char why[256];
};

static struct goals goals;

static enum hg_rc may_deploy(void *arg, struct hg_str app, struct hg_err *err)
{
	(void)arg;
	(void)app;
	return goals.frozen ? hg_err_set(err, HG_E_SLO_FROZEN, "frozen") : HG_OK;
}

static enum hg_rc on_incident(void *arg, const struct rollouts_incident *i, struct hg_err *err)
{
	(void)arg;
	goals.opened++;
	goals.last = *i;
	(void)snprintf(goals.why, sizeof goals.why, "%s", i->why);
	goals.in_transaction = store_in_transaction(goals.r->store);
	return goals.rc < 0 ? hg_err_set(err, goals.rc, "no") : HG_OK;
}

static struct rig *goals_in(void **state)
{
	struct rig *r = *state;
	goals = (struct goals){.r = r};
	r->rollouts->o.may_deploy = may_deploy;
	r->rollouts->o.on_incident = on_incident;
	return r;
}

static enum hg_rc deploy(struct rig *r, const char *override, struct hg_err *err)
{
	uint64_t id = 0;
	struct rollouts_deploy d = {.app = HG_STR("web"),
	        .version = HG_STR("2"),
	        .override = hg_str(override),
	        .who = HG_STR("unix:1000")};
	return rollouts_deploy(r->rollouts, &d, &id, err);
}

static char shown[512];

static void on_override(void *arg, const struct store_event *e)
{
	(void)arg;
	if (hg_str_eq(e->kind, HG_STR("rollout.override")))
		(void)snprintf(shown, sizeof shown, "%.*s", HG_STR_ARG(e->text));
}

static void a_freeze_holds_a_deploy_up_unless_somebody_says_why(void **state)
{
	struct rig *r = goals_in(state);
	struct hg_err err = {0};
	rig_apply(r, CANARY);
	goals.frozen = true;
	assert_int_equal(deploy(r, "", &err), HG_E_SLO_FROZEN);
	assert_string_equal(err.message, "frozen");
	assert_int_equal(rig_events(r, "rollout.started"), 0);
	/* A plan says so, and is shown. */
	struct hg_buf plan;
	struct rollouts_deploy what = {.app = HG_STR("web"), .version = HG_STR("2")};
	hg_buf_init(&plan, 1u << 20);
	assert_int_equal(rollouts_plan_json(r->rollouts, &what, &plan, &err), HG_OK);
	assert_non_null(strstr(hg_buf_text(&plan), "\"warnings\":[\"frozen\""));
	what.override = HG_STR("because");
	hg_buf_reset(&plan);
	assert_int_equal(rollouts_plan_json(r->rollouts, &what, &plan, &err), HG_OK);
	assert_null(strstr(hg_buf_text(&plan), "frozen"));
	hg_buf_free(&plan);
	assert_int_equal(deploy(r, "the fix for \"it\"", &err), HG_OK);
	assert_int_equal(rig_events(r, "rollout.override"), 1);
	assert_int_equal(
	        store_events(r->store, 0, HG_STR("web"), 100, on_override, NULL, NULL), HG_OK);
	assert_string_equal(
	        shown, "{\"rollout\":1,\"who\":\"unix:1000\",\"why\":\"the fix for \\\"it\\\"\"}");
	RIG_UNTIL(r, rig_weight(r) == 10, 20000);
	/* Back is never held up. */
	rig_do(r, 1, ROLLOUTS_ABORT);
	RIG_UNTIL(r, rig_ended(r, 1), 60000);
	/* A word that was not needed is no news. */
	goals.frozen = false;
	struct rollouts_deploy d = {.app = HG_STR("web"),
	        .version = HG_STR("3"),
	        .override = HG_STR("just in case"),
	        .who = HG_STR("unix:1000")};
	uint64_t id = 0;
	assert_int_equal(rollouts_deploy(r->rollouts, &d, &id, &err), HG_OK);
	assert_int_equal(rig_events(r, "rollout.override"), 1);
}

static void a_file_that_changed_meanwhile_waits_for_a_person(void **state)
{
	struct rig *r = goals_in(state);
	rig_apply(r, CANARY);
	goals.frozen = true;
	rollouts_on_release(r->rollouts, "web", 2);
	assert_int_equal(rig_events(r, "rollout.frozen"), 1);
	assert_true(rig_logged(r, "rollout.refused"));
	rig_run(r, 2000);
	assert_int_equal(rig_events(r, "rollout.started"), 0);
	assert_int_equal(deploy(r, "it cannot wait", NULL), HG_OK);
	RIG_UNTIL(r, rig_weight(r) == 10, 20000);
}

static void bad(struct rig *r, const char *yaml)
{
	rig_apply(r, yaml);
	uint64_t id = rig_deploy(r, "2");
	RIG_UNTIL(r, rig_weight(r) == 10, 20000);
	rig_serve(r, 60, 500, 60);
	rig_trip(r);
	RIG_UNTIL(r, rig_ended(r, id), 60000);
	assert_true(rig_is(r, id, "outcome", "rolled_back"));
}

static void a_release_that_is_taken_back_opens_one_incident_with_the_entry(void **state)
{
	struct rig *r = goals_in(state);
	bad(r, CANARY);
	assert_int_equal(goals.opened, 1);
	assert_true(goals.in_transaction);
	assert_int_equal(goals.last.rollout, 1);
	assert_int_equal(goals.last.release, 2);
	assert_false(goals.last.stuck);
	assert_string_equal(goals.why, "release 2 of web was taken back (evidence)");
}

static void it_does_not_when_it_is_not_wanted_or_a_person_did_it(void **state)
{
	struct rig *r = goals_in(state);
	bad(r, CANARY "  after_abort: {open_incident: false}\n");
	assert_int_equal(goals.opened, 0);
	rig_apply(r, CANARY);
	uint64_t id = rig_deploy(r, "3");
	RIG_UNTIL(r, rig_weight(r) == 10, 20000);
	rig_do(r, id, ROLLOUTS_ABORT);
	RIG_UNTIL(r, rig_ended(r, id), 60000);
	assert_int_equal(goals.opened, 0);
}

static void what_could_not_be_opened_is_tried_again_with_the_entry(void **state)
{
	struct rig *r = goals_in(state);
	rig_apply(r, CANARY);
	uint64_t id = rig_deploy(r, "2");
	RIG_UNTIL(r, rig_weight(r) == 10, 20000);
	goals.rc = HG_E_DB_FULL;
	rig_serve(r, 60, 500, 60);
	rig_trip(r);
	RIG_UNTIL(r, goals.opened >= 2, 10000);
	assert_int_equal(rig_events(r, "rollout.back"), 0);
	goals.rc = HG_OK;
	uint32_t before = goals.opened;
	RIG_UNTIL(r, rig_ended(r, id), 60000);
	assert_int_equal(goals.opened, before + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        RIG_TEST(a_freeze_holds_a_deploy_up_unless_somebody_says_why),
	        RIG_TEST(a_file_that_changed_meanwhile_waits_for_a_person),
	        RIG_TEST(a_release_that_is_taken_back_opens_one_incident_with_the_entry),
	        RIG_TEST(it_does_not_when_it_is_not_wanted_or_a_person_did_it),
	        RIG_TEST(what_could_not_be_opened_is_tried_again_with_the_entry),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
