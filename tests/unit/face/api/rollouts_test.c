/* Rollouts over HTTP: who may, what is refused, what the room is asked for. */
#include "../../test.h"

#include "world.h"

static void a_deploy_hands_over_what_was_asked_for_and_who_asked(void **s)
{
	struct world *w = *s;
	char *deployer = token_new(w, "ci", "deployer");
	json_t *j = ask_json(w,
	        &(struct ask){.method = "POST",
	                .path = "/v1/apps/web/rollouts",
	                .token = deployer,
	                .tcp = true,
	                .body = "{\"version\":\"1.8.0\",\"artifact\":\"/srv/web\",\"command\":"
	                        "\"./web --port $PORT\",\"env\":{\"A\":\"1\",\"B\":\"\"},"
	                        "\"strategy\":\"canary\",\"override\":\"urgent fix\"}"},
	        202);
	assert_string_equal(json_string_value(json_object_get(j, "schema")), "headgate.deploy/1");
	assert_int_equal(json_integer_value(json_object_get(j, "id")), 42);
	assert_string_equal(json_string_value(json_object_get(j, "url")), "/v1/rollouts/42");
	json_decref(j);
	const struct rollouts *r = &w->rollouts;
	assert_int_equal(r->deploys, 1);
	assert_string_equal(r->app, "web");
	assert_string_equal(r->version, "1.8.0");
	assert_string_equal(r->artifact, "/srv/web");
	assert_string_equal(r->strategy, "canary");
	assert_string_equal(r->override, "urgent fix");
	assert_string_equal(r->who, "token:ci");
	assert_string_equal(r->env, "A=1 B= ");
	free(deployer);
}

static void an_empty_body_deploys_the_app_as_it_is_configured(void **s)
{
	struct world *w = *s;
	struct ask q = {.method = "POST", .path = "/v1/apps/web/rollouts"};
	assert_int_equal(ask_status(w, &q), 202);
	assert_string_equal(w->rollouts.version, "");
	assert_int_equal(w->rollouts.env_count, 0);
	assert_string_equal(w->rollouts.who, "unix:1000");
}

static void a_dry_run_answers_with_the_plan_and_makes_nothing(void **s)
{
	struct world *w = *s;
	json_t *j = ask_json(w,
	        &(struct ask){.method = "POST",
	                .path = "/v1/apps/web/rollouts",
	                .body = "{\"version\":\"2\",\"dry_run\":true}"},
	        200);
	assert_string_equal(json_string_value(json_object_get(j, "schema")), "headgate.plan/1");
	json_decref(j);
	assert_int_equal(w->rollouts.plans, 1);
	assert_int_equal(w->rollouts.deploys, 0);
	struct ask promote = {.method = "POST",
	        .path = "/v1/rollouts/42/promote",
	        .body = "{\"full\":true,\"dry_run\":true}"};
	assert_int_equal(ask_status(w, &promote), 200);
	promote.path = "/v1/rollouts/7/promote";
	assert_int_equal(ask_status(w, &promote), 404);
	struct ask back = {.method = "POST",
	        .path = "/v1/apps/web/rollback",
	        .body = "{\"to\":3,\"dry_run\":true}"};
	assert_int_equal(ask_status(w, &back), 200);
	assert_int_equal(w->rollouts.changes + w->rollouts.rollbacks, 0);
}

static void bad_bodies_never_reach_the_room(void **s)
{
	struct world *w = *s;
	static const struct {
		const char *path, *body, *say;
	} rows[] = {
	        {"/v1/apps/web/rollouts", "[]", "object"},
	        {"/v1/apps/web/rollouts", "{\"verison\":\"1\"}", "verison"},
	        {"/v1/apps/web/rollouts", "{\"version\":\"\"}", "version"},
	        {"/v1/apps/web/rollouts", "{\"version\":1}", "version"},
	        {"/v1/apps/web/rollouts", "{\"version\":\"a b\"}", "version"},
	        {"/v1/apps/web/rollouts", "{\"version\":\"\\u001b[2J\"}", "control"},
	        {"/v1/apps/web/rollouts",
	                "{\"version\":\"0123456789012345678901234567890123456789"
	                "012345678901234567890123\"}",
	                "63 bytes"},
	        {"/v1/apps/web/rollouts", "{\"artifact\":\"web\"}", "absolute"},
	        {"/v1/apps/web/rollouts", "{\"command\":\"\"}", "command"},
	        {"/v1/apps/web/rollouts", "{\"strategy\":\"yolo\"}", "blue-green"},
	        {"/v1/apps/web/rollouts", "{\"override\":\"a\\nb\"}", "control"},
	        {"/v1/apps/web/rollouts", "{\"env\":[]}", "env"},
	        {"/v1/apps/web/rollouts", "{\"env\":{\"A\":1}}", "\"A\""},
	        {"/v1/apps/web/rollouts", "{\"env\":{\"1A\":\"x\"}}", "1A"},
	        {"/v1/apps/web/rollouts", "{\"env\":{\"\":\"x\"}}", "env"},
	        {"/v1/apps/web/rollouts", "{\"env\":{\"A=B\":\"x\"}}", "A=B"},
	        {"/v1/apps/web/rollouts", "{\"dry_run\":1}", "dry_run"},
	        {"/v1/rollouts/42/promote", "{\"full\":1}", "full"},
	        {"/v1/rollouts/42/promote", "{\"all\":true}", "all"},
	        {"/v1/rollouts/42/pause", "{\"full\":true}", "full"},
	        {"/v1/apps/web/rollback", "{\"to\":0}", "\"to\""},
	        {"/v1/apps/web/rollback", "{\"to\":\"1.7\"}", "\"to\""},
	        {"/v1/apps/web/rollback", "{\"release\":1}", "release"},
	};
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		char text[128];
		print_message("# %s %s\n", rows[i].path, rows[i].body);
		struct ask q = {.method = "POST", .path = rows[i].path, .body = rows[i].body};
		text_of(ask_json(w, &q, 400), "detail", text);
		assert_non_null(strstr(text, rows[i].say));
	}
	const struct rollouts *r = &w->rollouts;
	assert_int_equal(r->deploys + r->plans + r->changes + r->rollbacks, 0);
}

static void a_viewer_reads_and_a_deployer_changes(void **s)
{
	struct world *w = *s;
	char *viewer = token_new(w, "v", "viewer"), *deployer = token_new(w, "d", "deployer");
	static const struct {
		const char *method, *path, *body;
		unsigned viewer, deployer;
	} rows[] = {
	        {"GET", "/v1/rollouts", NULL, 200, 200},
	        {"GET", "/v1/rollouts/42", NULL, 200, 200},
	        {"GET", "/v1/rollouts/7", NULL, 404, 404},
	        {"GET", "/v1/rollouts/x", NULL, 404, 404},
	        {"GET", "/v1/rollouts/0", NULL, 404, 404},
	        {"POST", "/v1/apps/web/rollouts", "{}", 403, 202},
	        {"POST", "/v1/apps/web/rollouts", "{\"dry_run\":true}", 403, 200},
	        {"POST", "/v1/apps/nope/rollouts", "{}", 403, 404},
	        {"POST", "/v1/apps/web/rollback", "{}", 403, 202},
	        {"POST", "/v1/apps/nope/rollback", "{}", 403, 404},
	        {"POST", "/v1/rollouts/42/promote", "{}", 403, 202},
	        {"POST", "/v1/rollouts/42/promote", "{\"full\":true}", 403, 202},
	        {"POST", "/v1/rollouts/42/pause", "", 403, 202},
	        {"POST", "/v1/rollouts/42/resume", "", 403, 202},
	        {"POST", "/v1/rollouts/42/abort", "", 403, 202},
	        {"POST", "/v1/rollouts/42/retry", "", 403, 202},
	        {"POST", "/v1/rollouts/42/explode", "", 404, 404},
	        {"POST", "/v1/rollouts", "", 405, 405},
	};
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct ask q = {.method = rows[i].method,
		        .path = rows[i].path,
		        .body = rows[i].body,
		        .tcp = true};
		print_message("# %s %s\n", q.method, q.path);
		q.token = viewer;
		assert_int_equal(ask_status(w, &q), rows[i].viewer);
		q.token = deployer;
		assert_int_equal(ask_status(w, &q), rows[i].deployer);
		q.token = NULL;
		assert_int_equal(ask_status(w, &q),
		        rows[i].viewer == 405 || strstr(q.path, "explode") ? rows[i].viewer : 401);
	}
	free(viewer);
	free(deployer);
}

static void every_verb_is_its_own_and_a_retry_has_a_new_number(void **s)
{
	struct world *w = *s;
	static const struct {
		const char *path, *body;
		enum rollouts_verb verb;
		int id;
	} rows[] = {
	        {"/v1/rollouts/42/promote", "", ROLLOUTS_PROMOTE, 42},
	        {"/v1/rollouts/42/promote", "{\"full\":false}", ROLLOUTS_PROMOTE, 42},
	        {"/v1/rollouts/42/promote", "{\"full\":true}", ROLLOUTS_PROMOTE_FULL, 42},
	        {"/v1/rollouts/42/pause", "", ROLLOUTS_PAUSE, 42},
	        {"/v1/rollouts/42/resume", "", ROLLOUTS_RESUME, 42},
	        {"/v1/rollouts/42/abort", "", ROLLOUTS_ABORT, 42},
	        {"/v1/rollouts/42/retry", "", ROLLOUTS_RETRY, 43},
	};
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct ask q = {.method = "POST", .path = rows[i].path, .body = rows[i].body};
		json_t *j = ask_json(w, &q, 202);
		assert_int_equal(w->rollouts.verb, rows[i].verb);
		assert_int_equal(w->rollouts.id, 42);
		assert_int_equal(json_integer_value(json_object_get(j, "id")), rows[i].id);
		assert_string_equal(w->rollouts.who, "unix:1000");
		json_decref(j);
	}
	struct ask q = {.method = "POST", .path = "/v1/apps/web/rollback", .body = "{\"to\":7}"};
	assert_int_equal(ask_status(w, &q), 202);
	assert_int_equal(w->rollouts.to, 7);
	q.body = "";
	assert_int_equal(ask_status(w, &q), 202);
	assert_int_equal(w->rollouts.to, 0);
}

static void a_list_is_asked_for_by_app_and_limit(void **s)
{
	struct world *w = *s;
	struct ask q = {.method = "GET", .path = "/v1/rollouts", .query = "app=web&limit=3"};
	assert_int_equal(ask_status(w, &q), 200);
	assert_string_equal(w->rollouts.app, "web");
	assert_int_equal(w->rollouts.limit, 3);
	q.query = NULL;
	assert_int_equal(ask_status(w, &q), 200);
	assert_string_equal(w->rollouts.app, "");
	assert_int_equal(w->rollouts.limit, 100);
	q.query = "limit=1001";
	assert_int_equal(ask_status(w, &q), 400);
}

static void what_the_room_refuses_is_a_problem_with_its_code(void **s)
{
	struct world *w = *s;
	static const struct {
		enum hg_rc rc;
		unsigned status;
		const char *code;
	} rows[] = {{HG_E_ROLLOUT_SAME, 409, "HG1520"}, {HG_E_ROLLOUT_QUARANTINED, 409, "HG1521"},
	        {HG_E_ROLLOUT_STATE, 409, "HG1522"}, {HG_E_ROLLOUT_NONE, 409, "HG1523"},
	        {HG_E_AGAIN, 503, "HG1007"}, {HG_E_FLEET_ARTIFACT, 422, "HG1502"}};
	static const char *const paths[] = {
	        "/v1/apps/web/rollouts", "/v1/rollouts/42/abort", "/v1/apps/web/rollback"};
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		w->rollouts.rc = rows[i].rc;
		for (size_t k = 0; k < HG_COUNT(paths); k++) {
			char code[128];
			struct ask q = {.method = "POST", .path = paths[k]};
			text_of(ask_json(w, &q, rows[i].status), "code", code);
			assert_string_equal(code, rows[i].code);
		}
	}
}

static void every_change_is_audited_also_one_that_failed(void **s)
{
	struct world *w = *s;
	ask_status(w, &(struct ask){.method = "POST",
	                      .path = "/v1/apps/web/rollouts",
	                      .body = "{\"version\":\"2\",\"override\":\"urgent\",\"env\":{\"KEY\":"
	                              "\"hush\"}}"});
	w->rollouts.rc = HG_E_ROLLOUT_STATE;
	ask_status(w, &(struct ask){.method = "POST", .path = "/v1/rollouts/42/abort"});
	json_t *j = ask_json(w, &(struct ask){.method = "GET", .path = "/v1/audit"}, 200);
	json_t *list = json_object_get(j, "entries");
	assert_int_equal(json_array_size(list), 2);
	json_t *abort_line = json_array_get(list, 0), *deploy = json_array_get(list, 1);
	assert_string_equal(json_string_value(json_object_get(abort_line, "what")),
	        "POST /v1/rollouts/42/abort");
	assert_string_equal(json_string_value(json_object_get(abort_line, "target")), "42");
	assert_string_equal(json_string_value(json_object_get(abort_line, "result")), "HG1522");
	assert_string_equal(json_string_value(json_object_get(deploy, "target")), "web");
	assert_string_equal(json_string_value(json_object_get(deploy, "who")), "unix:1000");
	assert_string_equal(json_string_value(json_object_get(deploy, "result")), "ok");
	/* Why a freeze was overridden; never what a variable was set to. */
	char *details = json_dumps(json_object_get(deploy, "details"), JSON_COMPACT);
	assert_string_equal(
	        details, "{\"version\":\"2\",\"override\":\"urgent\",\"env\":[\"KEY\"]}");
	free(details);
	json_decref(j);
}

static const char *last_result(struct world *w, uint32_t want_lines)
{
	static char text[32];
	json_t *j = ask_json(w, &(struct ask){.method = "GET", .path = "/v1/audit"}, 200);
	json_t *list = json_object_get(j, "entries");
	assert_int_equal(json_array_size(list), want_lines);
	snprintf(text, sizeof text, "%s",
	        json_string_value(json_object_get(json_array_get(list, 0), "result")));
	json_decref(j);
	return text;
}

static void a_deploy_waits_for_its_artifact_and_is_answered_then(void **s)
{
	struct world *w = *s;
	struct fleet *f = &w->fleet;
	struct serve_call c;
	f->to_read = 2;
	ask(w,
	        &(struct ask){.method = "POST",
	                .path = "/v1/apps/web/rollouts",
	                .body = "{\"version\":\"2\"}"},
	        &c);
	assert_non_null(c.gone);
	assert_int_equal(c.status, 0);
	f->to_read = 1;
	f->reading.done(f->reading.arg);
	assert_int_equal(c.status, 0);
	assert_int_equal(f->reading.starts, 2);
	assert_int_equal(f->reading.frees, 0);
	f->to_read = 0;
	f->reading.done(f->reading.arg);
	assert_int_equal(c.status, 202);
	assert_int_equal(f->reading.frees, 1);
	assert_int_equal(w->rollouts.deploys, 1);
	assert_string_equal(w->rollouts.version, "2");
	assert_string_equal(w->rollouts.who, "unix:1000");
	call_free(&c);
	assert_string_equal(last_result(w, 1), "ok");
}

static void who_leaves_while_the_artifact_is_read_deploys_nothing(void **s)
{
	struct world *w = *s;
	struct fleet *f = &w->fleet;
	struct serve_call c;
	f->to_read = 1;
	ask(w, &(struct ask){.method = "POST", .path = "/v1/apps/web/rollouts"}, &c);
	assert_non_null(c.gone);
	c.gone(c.arg);
	assert_int_equal(f->reading.frees, 1);
	assert_int_equal(w->rollouts.deploys, 0);
	call_free(&c);
	assert_string_not_equal(last_result(w, 1), "ok");
}

static void those_who_wait_at_the_end_are_forgotten(void **s)
{
	struct world *w = *s;
	struct serve_call c;
	w->fleet.to_read = 1;
	ask(w, &(struct ask){.method = "POST", .path = "/v1/apps/web/rollouts"}, &c);
	call_free(&c);
	/* The world ends with it; nothing leaks. */
}

static void without_the_room_every_route_says_503_and_why(void **s)
{
	struct world *w = *s;
	static const struct ask rows[] = {{.method = "GET", .path = "/v1/rollouts"},
	        {.method = "GET", .path = "/v1/rollouts/42"},
	        {.method = "POST", .path = "/v1/apps/web/rollouts"},
	        {.method = "POST", .path = "/v1/apps/web/rollback"},
	        {.method = "POST", .path = "/v1/rollouts/42/promote"}};
	w->api->d.rollouts = NULL;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		json_t *j = ask_json(w, &rows[i], 503);
		assert_string_equal(json_string_value(json_object_get(j, "code")), "HG1007");
		assert_non_null(
		        strstr(json_string_value(json_object_get(j, "detail")), "not available"));
		json_decref(j);
	}
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	        CASE(a_deploy_waits_for_its_artifact_and_is_answered_then),
	        CASE(who_leaves_while_the_artifact_is_read_deploys_nothing),
	        CASE(those_who_wait_at_the_end_are_forgotten),
	        CASE(a_deploy_hands_over_what_was_asked_for_and_who_asked),
	        CASE(an_empty_body_deploys_the_app_as_it_is_configured),
	        CASE(a_dry_run_answers_with_the_plan_and_makes_nothing),
	        CASE(bad_bodies_never_reach_the_room),
	        CASE(a_viewer_reads_and_a_deployer_changes),
	        CASE(every_verb_is_its_own_and_a_retry_has_a_new_number),
	        CASE(a_list_is_asked_for_by_app_and_limit),
	        CASE(what_the_room_refuses_is_a_problem_with_its_code),
	        CASE(every_change_is_audited_also_one_that_failed),
	        CASE(without_the_room_every_route_says_503_and_why),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
