/* Objectives and incidents over HTTP, over the rooms themselves and a real store. */
#include "../../test.h"

#include "world.h"

#include "control/incident/incident.h"
#include "control/slo/slo.h"
#include "os/clock.h"
#include "spec/spec.h"

static void rooms_in(struct world *w)
{
	struct hg_arena mem;
	struct slo_plan *plan;
	struct spec *spec;
	struct spec_report *report = calloc(1, sizeof *report);
	static const char yaml[] = "app: web\ncommand: x --port $PORT\nslo:\n"
	                           "  availability: {objective: 99.95%, window: 30d}\n"
	                           "  latency: {objective: 95%, faster_than: 120ms}\n"
	                           "  error_budget: {freeze_deploys_below: 10%}\n";
	struct slo_options so = {.loop = w->loop,
	        .store = w->store,
	        .fleet = &w->fleet,
	        .meter = w->meter,
	        .memory_id = 1,
	        .wall_ms = clock_wall_ms};
	struct incidents_options io = {
	        .loop = w->loop, .store = w->store, .wall_ms = clock_wall_ms};
	assert_non_null(report);
	assert_int_equal(slo_new(&so, &w->api->d.slo, NULL), HG_OK);
	assert_int_equal(incidents_new(&io, &w->api->d.incidents, NULL), HG_OK);
	hg_arena_init(&mem, "test", 64u << 20);
	struct spec_source from = {.text = hg_str(yaml), .file = "headgate.yaml"};
	if (spec_load(&from, &mem, report, &spec) < 0) fail_msg("%s", report->errors[0].message);
	assert_int_equal(slo_check(w->api->d.slo, spec, &plan, NULL), HG_OK);
	slo_apply(w->api->d.slo, plan);
	hg_arena_fini(&mem);
	free(report);
}

static int begin(void **s)
{
	int rc = setup(s);
	struct world *w = *s;
	rooms_in(w);
	return rc;
}

static int end(void **s)
{
	struct world *w = *s;
	slo_free(w->api->d.slo);
	incidents_free(w->api->d.incidents);
	w->api->d.slo = NULL;
	w->api->d.incidents = NULL;
	return teardown(s);
}

static uint64_t incident(struct world *w)
{
	uint64_t id = 0;
	assert_int_equal(incidents_trigger(w->api->d.incidents,
	                         &(struct incident_trigger){.app = "web",
	                                 .cause = "app:web",
	                                 .title = "it burns",
	                                 .runbook = "",
	                                 .priority = INCIDENT_P1},
	                         &id, NULL),
	        HG_OK);
	return id;
}

static void objectives_are_shown_of_all_apps_or_one(void **s)
{
	struct world *w = *s;
	char text[128];
	json_t *j = ask_json(w, &(struct ask){.method = "GET", .path = "/v1/slo"}, 200);
	assert_int_equal(json_array_size(json_object_get(j, "objectives")), 2);
	json_decref(j);
	j = ask_json(w, &(struct ask){.method = "GET", .path = "/v1/slo", .query = "app=web"}, 200);
	assert_int_equal(json_array_size(json_object_get(j, "objectives")), 2);
	json_decref(j);
	text_of(ask_json(w, &(struct ask){.method = "GET", .path = "/v1/slo", .query = "app=x"},
	                404),
	        "detail", text);
	assert_string_equal(text, "app \"x\" has no objectives");
}

static void the_objectives_own_edge_is_in_the_histogram(void **s)
{
	struct world *w = *s;
	struct serve_call c;
	struct meter_lane *l = meter_lane_of(&w->meter->worker[0], 1);
	meter_observe(l, 200, 110000000);
	meter_add(&l->fast, 1);
	meter_observe(l, 200, 130000000);
	meter_observe(l, 200, 1000);
	meter_add(&l->fast, 1);
	meter_add(&l->broken, 1);
	ask(w, &(struct ask){.method = "GET", .path = "/metrics"}, &c);
	static const char wanted[] =
	        "headgate_request_duration_seconds_bucket{app=\"web\",release=\"1\",le=\"0.1\"} 1\n"
	        "headgate_request_duration_seconds_bucket{app=\"web\",release=\"1\",le=\"0.12\"} "
	        "2\n"
	        "headgate_request_duration_seconds_bucket{app=\"web\",release=\"1\",le=\"0.15\"} "
	        "3\n";
	assert_non_null(strstr(hg_buf_text(&c.body), wanted));
	assert_non_null(strstr(hg_buf_text(&c.body),
	        "headgate_responses_broken_total{app=\"web\",release=\"1\"} 1\n"));
	assert_non_null(strstr(hg_buf_text(&c.body), "headgate_slo_deploys_frozen{app=\"web\"} 0"));
	assert_non_null(strstr(hg_buf_text(&c.body), "headgate_incidents_open{priority=\"P1\"} 0"));
	call_free(&c);
	/* What another objective has counted before makes it neither fall nor jump. */
	meter_add(&l->fast, 1000);
	ask(w, &(struct ask){.method = "GET", .path = "/metrics"}, &c);
	assert_non_null(strstr(hg_buf_text(&c.body),
	        "release=\"1\",le=\"0.12\"} 3\nheadgate_request_duration_seconds_bucket{app="
	        "\"web\",release=\"1\",le=\"0.15\"} 3\n"));
	call_free(&c);
}

static void incidents_are_looked_at_by_viewers_and_changed_by_deployers(void **s)
{
	struct world *w = *s;
	char *viewer = token_new(w, "v", "viewer"), *deployer = token_new(w, "d", "deployer");
	assert_int_equal(incident(w), 1);
	const struct {
		const char *token, *method, *path, *query, *body;
		unsigned status;
	} rows[] = {
	        {NULL, "GET", "/v1/incidents", NULL, NULL, 401},
	        {NULL, "GET", "/v1/slo", NULL, NULL, 401},
	        {viewer, "GET", "/v1/incidents", NULL, NULL, 200},
	        {viewer, "GET", "/v1/incidents", "open=true&limit=1", NULL, 200},
	        {viewer, "GET", "/v1/incidents", "open=maybe", NULL, 400},
	        {viewer, "GET", "/v1/incidents/1", NULL, NULL, 200},
	        {viewer, "GET", "/v1/incidents/1/report", NULL, NULL, 200},
	        {viewer, "GET", "/v1/incidents/2", NULL, NULL, 404},
	        {viewer, "GET", "/v1/incidents/x", NULL, NULL, 404},
	        {viewer, "POST", "/v1/incidents/1/ack", NULL, "{}", 403},
	        {deployer, "POST", "/v1/incidents/1/ack", NULL, "{\"nota\":\"x\"}", 400},
	        {deployer, "POST", "/v1/incidents/1/ack", NULL, "{\"note\":\"a\\u001bb\"}", 400},
	        {deployer, "POST", "/v1/incidents/1/ack", NULL, "{\"note\":7}", 400},
	        {deployer, "POST", "/v1/incidents/9/ack", NULL, "{}", 404},
	        {deployer, "POST", "/v1/incidents/9/ack", NULL, "{\"dry_run\":true}", 404},
	        {deployer, "POST", "/v1/incidents/1/resolve", NULL, "{\"dry_run\":true}", 200},
	        {deployer, "POST", "/v1/incidents/1/ack", NULL, "{\"note\":\"looking\"}", 200},
	        {deployer, "POST", "/v1/incidents/1/assign", NULL, "{}", 400},
	        {deployer, "POST", "/v1/incidents/1/assign", NULL, "{\"to\":\"kim\"}", 200},
	        {deployer, "POST", "/v1/incidents/1/resolve", NULL, "{}", 200},
	        {deployer, "POST", "/v1/incidents/1/resolve", NULL, "{}", 409},
	};
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		print_message("# %s %s %s\n", rows[i].method, rows[i].path,
		        rows[i].body ? rows[i].body : "");
		struct ask q = {.method = rows[i].method,
		        .path = rows[i].path,
		        .query = rows[i].query,
		        .body = rows[i].body,
		        .token = rows[i].token,
		        .tcp = true};
		assert_int_equal(ask_status(w, &q), rows[i].status);
	}
	json_t *j = ask_json(w, &(struct ask){.method = "GET", .path = "/v1/audit"}, 200);
	char *text = json_dumps(j, 0);
	json_decref(j);
	/* Who, what and with which words; refused ones too. */
	assert_non_null(strstr(text, "POST /v1/incidents/1/ack"));
	assert_non_null(strstr(text, "looking"));
	assert_non_null(strstr(text, "token:d"));
	assert_non_null(strstr(text, "HG1532"));
	free(text);
	free(viewer);
	free(deployer);
}

static void without_the_rooms_it_is_said(void **s)
{
	struct world *w = *s;
	struct slo *slo = w->api->d.slo;
	struct incidents *in = w->api->d.incidents;
	w->api->d.slo = NULL;
	w->api->d.incidents = NULL;
	assert_int_equal(ask_status(w, &(struct ask){.method = "GET", .path = "/v1/slo"}), 503);
	assert_int_equal(
	        ask_status(w, &(struct ask){.method = "GET", .path = "/v1/incidents"}), 503);
	assert_int_equal(
	        ask_status(w, &(struct ask){.method = "GET", .path = "/v1/incidents/1"}), 503);
	assert_int_equal(ask_status(w, &(struct ask){.method = "GET", .path = "/metrics"}), 200);
	w->api->d.slo = slo;
	w->api->d.incidents = in;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(
	                objectives_are_shown_of_all_apps_or_one, begin, end),
	        cmocka_unit_test_setup_teardown(
	                the_objectives_own_edge_is_in_the_histogram, begin, end),
	        cmocka_unit_test_setup_teardown(
	                incidents_are_looked_at_by_viewers_and_changed_by_deployers, begin, end),
	        cmocka_unit_test_setup_teardown(without_the_rooms_it_is_said, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
