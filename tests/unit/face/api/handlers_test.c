#include "../../test.h"

#include "world.h"

#include <sys/stat.h>
#include <unistd.h>

static void status_names_apps_replicas_and_processes(void **s)
{
	json_t *j = ask_json(*s, &(struct ask){.method = "GET", .path = "/v1/status"}, 200);
	assert_string_equal(json_string_value(json_object_get(j, "state")), "degraded");
	json_t *app = json_array_get(json_object_get(j, "apps"), 0);
	assert_string_equal(json_string_value(json_object_get(app, "name")), "web");
	json_t *second = json_array_get(json_object_get(app, "replicas"), 1);
	assert_string_equal(json_string_value(json_object_get(second, "state")), "backoff");
	assert_string_equal(
	        json_string_value(json_object_get(json_object_get(second, "exit"), "text")),
	        "exit status 1");
	json_t *p = json_object_get(j, "processes");
	assert_int_equal(json_array_size(p), 2);
	assert_string_equal(
	        json_string_value(json_object_get(json_array_get(p, 1), "role")), "edge");
	json_decref(j);
}

static void unknown_things_are_problems(void **s)
{
	char text[128];
	text_of(ask_json(*s, &(struct ask){.method = "GET", .path = "/v1/nothing"}, 404), "code",
	        text);
	assert_string_equal(text, "HG1610");
	text_of(ask_json(*s, &(struct ask){.method = "GET", .path = "/v1/apps/wep"}, 404), "detail",
	        text);
	assert_non_null(strstr(text, "wep"));
	struct serve_call c;
	ask(*s, &(struct ask){.method = "DELETE", .path = "/v1/status"}, &c);
	assert_int_equal(c.status, 405);
	assert_non_null(strstr(hg_buf_text(&c.fields), "Allow: GET, HEAD\n"));
	call_free(&c);
	assert_int_equal(ask_status(*s, &(struct ask){.method = "GET", .path = "/v1/apps/"}), 404);
	assert_int_equal(
	        ask_status(*s, &(struct ask){.method = "GET", .path = "/v1/apps/web/x"}), 404);
	assert_int_equal(ask_status(*s, &(struct ask){.method = "HEAD", .path = "/healthz"}), 200);
}

static void tokens_open_what_their_role_allows_and_no_more(void **s)
{
	struct world *w = *s;
	char *viewer = token_new(w, "v", "viewer"), *deployer = token_new(w, "d", "deployer"),
	     *admin = token_new(w, "a", "admin");
	const struct {
		const char *token, *method, *path, *body;
		unsigned status;
	} rows[] = {
	        {NULL, "GET", "/healthz", NULL, 200},
	        {NULL, "GET", "/readyz", NULL, 503},
	        {NULL, "GET", "/", NULL, 200},
	        {NULL, "GET", "/v1/status", NULL, 401},
	        {"hgt_wrong", "GET", "/v1/status", NULL, 401},
	        {viewer, "GET", "/v1/status", NULL, 200},
	        {viewer, "POST", "/v1/apps/web/scale", "{\"replicas\":3}", 403},
	        {deployer, "POST", "/v1/apps/web/scale", "{\"replicas\":3}", 200},
	        {deployer, "GET", "/v1/audit", NULL, 403},
	        {deployer, "POST", "/v1/reload", "{}", 403},
	        {deployer, "POST", "/v1/tokens", "{\"name\":\"x\",\"role\":\"admin\"}", 403},
	        {admin, "GET", "/v1/audit", NULL, 200},
	        {admin, "DELETE", "/v1/tokens/v", NULL, 200},
	        {viewer, "GET", "/v1/status", NULL, 401},
	        {admin, "DELETE", "/v1/tokens/v", NULL, 404},
	};
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		print_message("# %s %s\n", rows[i].method, rows[i].path);
		struct ask q = {.method = rows[i].method,
		        .path = rows[i].path,
		        .body = rows[i].body,
		        .token = rows[i].token,
		        .tcp = true};
		assert_int_equal(ask_status(w, &q), rows[i].status);
	}
	assert_int_equal(w->fleet.scaled, 3);
	free(viewer);
	free(deployer);
	free(admin);
}

static void the_socket_is_for_the_owner_and_root_alone(void **s)
{
	assert_int_equal(
	        ask_status(*s, &(struct ask){.method = "GET", .path = "/v1/audit", .uid = 1000}),
	        200);
	assert_int_equal(
	        ask_status(*s, &(struct ask){.method = "GET", .path = "/v1/audit", .uid = 33}),
	        403);
	assert_int_equal(
	        ask_status(*s, &(struct ask){.method = "GET", .path = "/healthz", .uid = 33}), 403);
}

static void a_foreign_host_name_gets_nothing(void **s)
{
	static const char *const paths[] = {"/", "/healthz", "/metrics", "/v1/status", "/none"};
	for (size_t i = 0; i < HG_COUNT(paths); i++) {
		char code[128];
		text_of(ask_json(*s,
		                &(struct ask){.method = "GET",
		                        .path = paths[i],
		                        .host = "evil.example",
		                        .tcp = true},
		                421),
		        "code", code);
		assert_string_equal(code, "HG1613");
	}
}

static void metrics_are_open_to_this_machine_only(void **s)
{
	struct ask q = {.method = "GET", .path = "/metrics", .tcp = true};
	assert_int_equal(ask_status(*s, &q), 200);
	q.far = true;
	assert_int_equal(ask_status(*s, &q), 401);
}

static void metrics_have_every_series_from_the_start(void **s)
{
	struct world *w = *s;
	struct serve_call c;
	meter_observe(meter_lane_of(&w->meter->worker[0], 1), 200, 3000000);
	meter_observe(meter_lane_of(&w->meter->worker[0], 2), 418, 3000000);
	meter_observe_replica(&w->meter->worker[0].replica[7], 500, 2000000);
	ask(w, &(struct ask){.method = "GET", .path = "/metrics"}, &c);
	static const char *const wanted[] = {
	        "headgate_requests_total{app=\"web\",release=\"1\",route=\"a\\\"b\\\\c\",code="
	        "\"200\"} 1\n",
	        "headgate_requests_total{app=\"web\",release=\"1\",route=\"*/x\",code=\"418\"} 1\n",
	        "headgate_requests_total{app=\"web\",release=\"1\",route=\"*/x\",code=\"500\"} 0\n",
	        "headgate_request_duration_seconds_bucket{app=\"web\",release=\"1\",le=\"+Inf\"} "
	        "2\n",
	        "headgate_request_duration_seconds_count{app=\"web\",release=\"1\"} 2\n",
	        "headgate_upstream_failures_total{app=\"web\",release=\"1\"} 0\n",
	        "headgate_replica_up{app=\"web\",release=\"1\",replica=\"1\"} 1\n",
	        "headgate_replica_up{app=\"web\",release=\"1\",replica=\"2\"} 0\n",
	        "headgate_replica_requests_total{app=\"web\",release=\"1\",replica=\"1\"} 1\n",
	        "headgate_replica_errors_total{app=\"web\",release=\"1\",replica=\"1\"} 1\n",
	        "headgate_replica_duration_seconds_bucket{app=\"web\",release=\"1\",replica=\"1\","
	        "le=\"0.001\"} 0\n",
	        "headgate_replica_duration_seconds_bucket{app=\"web\",release=\"1\",replica=\"1\","
	        "le=\"+Inf\"} 1\n",
	        "headgate_replica_duration_seconds_sum{app=\"web\",release=\"1\",replica=\"1\"} "
	        "0.002\n",
	        "headgate_replica_restarts_total{app=\"web\",release=\"1\",replica=\"2\"} 3\n",
	        "headgate_edge_no_route_total{worker=\"0\"} 0\n",
	        "headgate_edge_breaker_open{app=\"web\"} 0\n",
	        "headgate_edge_breaker_refused_total{app=\"web\"} 0\n",
	        "# TYPE headgate_request_duration_seconds histogram\n",
	};
	for (size_t i = 0; i < HG_COUNT(wanted); i++)
		if (!strstr(hg_buf_text(&c.body), wanted[i])) fail_msg("no %s", wanted[i]);
	/* One HELP a family, or Prometheus refuses the page. */
	const char *first = strstr(c.body.p, "# HELP headgate_requests_total ");
	assert_non_null(first);
	assert_null(strstr(first + 1, "# HELP headgate_requests_total "));
	call_free(&c);
}

static void traffic_counts_by_route_and_by_replica(void **s)
{
	struct world *w = *s;
	struct meter_worker *m = &w->meter->worker[0];
	meter_observe(meter_lane_of(m, 2), 503, 3000000);
	meter_observe(meter_lane_of(m, 2), 404, 3000000);
	meter_observe(meter_lane_of(m, 1), 200, 3000000);
	meter_observe_replica(&m->replica[7], 503, 3000000);
	meter_observe_replica(&m->replica[7], 200, 60000000000);
	meter_add(&m->replica[7].failures, 3);
	json_t *j = ask_json(w, &(struct ask){.method = "GET", .path = "/v1/traffic"}, 200);
	json_t *routes = json_object_get(j, "routes"), *first = json_array_get(routes, 0);
	/* Lane 0 has counted nothing; the busiest comes first. */
	assert_int_equal(json_array_size(routes), 2);
	assert_string_equal(json_string_value(json_object_get(first, "route")), "*/x");
	assert_int_equal(json_integer_value(json_object_get(first, "requests")), 2);
	assert_int_equal(json_integer_value(json_object_get(first, "errors")), 1);
	assert_int_equal(json_integer_value(json_object_get(first, "refused")), 1);
	/* The replica that backs off has no place to be asked at. */
	json_t *replicas = json_object_get(j, "replicas"), *one = json_array_get(replicas, 0);
	assert_int_equal(json_array_size(replicas), 1);
	assert_int_equal(json_integer_value(json_object_get(one, "requests")), 2);
	assert_int_equal(json_integer_value(json_object_get(one, "errors")), 1);
	assert_int_equal(json_integer_value(json_object_get(one, "failures")), 3);
	json_t *buckets = json_object_get(one, "buckets");
	assert_int_equal(json_array_size(buckets), METER_BUCKETS);
	assert_int_equal(json_integer_value(json_array_get(buckets, 3)), 1);
	assert_int_equal(json_integer_value(json_array_get(buckets, METER_BUCKETS - 1)), 1);
	assert_int_equal(json_array_size(json_object_get(j, "bounds")), METER_BUCKETS - 1);
	json_decref(j);
}

static void a_dry_run_changes_nothing_and_is_audited(void **s)
{
	struct world *w = *s;
	json_t *j = ask_json(w,
	        &(struct ask){.method = "POST",
	                .path = "/v1/apps/web/scale",
	                .body = "{\"replicas\":9,\"dry_run\":true}"},
	        200);
	assert_int_equal(json_integer_value(json_object_get(j, "was")), 2);
	json_decref(j);
	assert_int_equal(w->fleet.scaled, 0);
	ask_status(w, &(struct ask){.method = "POST", .path = "/v1/apps/nope/restart"});
	j = ask_json(w, &(struct ask){.method = "GET", .path = "/v1/audit"}, 200);
	json_t *lines = json_object_get(j, "entries");
	assert_int_equal(json_array_size(lines), 2);
	json_t *failed = json_array_get(lines, 0), *dry = json_array_get(lines, 1);
	assert_string_equal(json_string_value(json_object_get(failed, "result")), "HG1005");
	assert_string_equal(json_string_value(json_object_get(failed, "target")), "nope");
	assert_string_equal(json_string_value(json_object_get(dry, "what")),
	        "POST /v1/apps/web/scale (dry run)");
	assert_string_equal(json_string_value(json_object_get(dry, "who")), "unix:1000");
	json_t *replicas = json_object_get(json_object_get(dry, "details"), "replicas");
	assert_int_equal(json_integer_value(json_object_get(replicas, "old")), 2);
	assert_int_equal(json_integer_value(json_object_get(replicas, "new")), 9);
	json_decref(j);
}

static void bad_bodies_are_refused_before_anything_is_done(void **s)
{
	struct world *w = *s;
	static const char *const bodies[] = {"", "{", "[]", "{\"replicas\":-1}",
	        "{\"replicas\":1001}", "{\"replicas\":\"3\"}", "{\"replicas\":1.5}",
	        "{\"replicas\":3,\"replcas\":4}", "{\"replicas\":3,\"replicas\":4}",
	        "{\"replicas\":3,\"dry_run\":\"yes\"}"};
	for (size_t i = 0; i < HG_COUNT(bodies); i++) {
		char code[128];
		text_of(ask_json(w,
		                &(struct ask){.method = "POST",
		                        .path = "/v1/apps/web/scale",
		                        .body = bodies[i]},
		                400),
		        "code", code);
		assert_string_equal(code, "HG1614");
	}
	assert_int_equal(w->fleet.scaled, 0);
}

static unsigned maintenance(struct world *w, const char *app, const char *body)
{
	char path[128];
	snprintf(path, sizeof path, "/v1/apps/%s/maintenance", app);
	return ask_status(w, &(struct ask){.method = "POST", .path = path, .body = body});
}

static void maintenance_is_checked_whole_and_then_set(void **s)
{
	struct world *w = *s;
	const struct fleet_maintenance *m = &w->fleet.maintenance;
	static const char *const bodies[] = {"{}", "{\"on\":1}", "{\"on\":true,\"for_ms\":0}",
	        "{\"on\":true,\"for_ms\":\"1h\"}", "{\"on\":true,\"for_ms\":99999999999999}",
	        "{\"on\":true,\"message\":5}", "{\"on\":true,\"message\":\"a\\u0000b\"}",
	        "{\"on\":true,\"allow\":\"10.0.0.0/8\"}", "{\"on\":true,\"allow\":[1]}",
	        "{\"on\":false,\"message\":\"x\"}", "{\"on\":true,\"until\":5}"};
	for (size_t i = 0; i < HG_COUNT(bodies); i++)
		if (maintenance(w, "web", bodies[i]) != 400) fail_msg("%s", bodies[i]);
	assert_int_not_equal(maintenance(w, "web", "{\"on\":true,\"message\":\"a\\nb\"}"), 200);
	assert_int_equal(maintenance(w, "nope", "{\"on\":true}"), 404);
	assert_int_equal(maintenance(w, "web", "{\"on\":true,\"dry_run\":true}"), 200);
	assert_false(m->on);
	uint64_t before = clock_wall_ms();
	assert_int_equal(maintenance(w, "web",
	                         "{\"on\":true,\"for_ms\":60000,\"message\":\"soon\","
	                         "\"allow\":[\"10.0.0.0/8\",\"::1\"]}"),
	        200);
	assert_true(m->on && m->until_ms >= before + 60000 && m->until_ms < before + 90000);
	assert_string_equal(m->message, "soon");
	assert_int_equal(m->allow_count, 2);
	assert_string_equal(m->allow[1], "::1");
	assert_int_equal(maintenance(w, "web", "{\"on\":false}"), 200);
	assert_false(m->on);
}

static void a_reload_returns_its_changes_or_the_place_of_the_error(void **s)
{
	struct world *w = *s;
	struct ask q = {.method = "POST",
	        .path = "/v1/reload",
	        .body = "{\"text\":\"a: b\",\"file\":\"h.yaml\",\"dir\":\"/srv\"}"};
	json_t *j = ask_json(w, &q, 200);
	assert_int_equal(json_array_size(json_object_get(j, "changes")), 2);
	json_decref(j);
	w->reload_rc = HG_E_INVALID;
	j = ask_json(w, &q, 400);
	assert_int_equal(
	        json_integer_value(json_object_get(json_object_get(j, "place"), "line")), 3);
	json_decref(j);
	assert_int_equal(w->reloads, 2);
}

static uint64_t event_add(struct world *w, const char *kind)
{
	uint64_t id = 0;
	struct store_event e = {.ts_ms = 1,
	        .kind = hg_str(kind),
	        .app = HG_STR("web"),
	        .text = HG_STR("{\"why\":\"test\"}")};
	assert_int_equal(store_event_add(w->store, &e, &id, NULL), HG_OK);
	e.id = id;
	if (w->fleet.watch) w->fleet.watch->fn(w->fleet.watch->arg, &e);
	return id;
}

static void an_event_stream_resumes_where_the_client_left_off(void **s)
{
	struct world *w = *s;
	struct serve_call c;
	char last[32];
	event_add(w, "first.seen");
	snprintf(last, sizeof last, "%llu", (unsigned long long)event_add(w, "second.seen"));
	event_add(w, "third.missed");
	ask(w,
	        &(struct ask){.method = "GET",
	                .path = "/v1/events",
	                .accept = "text/event-stream",
	                .last_id = last},
	        &c);
	assert_string_equal(c.type, "text/event-stream");
	assert_int_equal(loop_turn(w->loop, 0), HG_OK);
	assert_null(strstr(hg_buf_text(&c.body), "second.seen"));
	assert_non_null(strstr(hg_buf_text(&c.body), "event: third.missed\ndata: {"));
	/* A slow client is written to again once it has room, and loses nothing meanwhile. */
	c.full = true;
	event_add(w, "fourth.fills");
	assert_int_equal(loop_turn(w->loop, 0), HG_OK);
	event_add(w, "fifth.waits");
	assert_int_equal(loop_turn(w->loop, 0), HG_OK);
	assert_null(strstr(hg_buf_text(&c.body), "fifth.waits"));
	c.full = false;
	c.writable(c.arg);
	assert_non_null(strstr(hg_buf_text(&c.body), "event: fifth.waits\n"));
	assert_int_equal(w->api->event_count, 1);
	c.gone(c.arg);
	assert_int_equal(w->api->event_count, 0);
	call_free(&c);
}

static void events_are_also_a_list_with_limits(void **s)
{
	struct world *w = *s;
	for (int i = 0; i < 5; i++)
		event_add(w, "x.y");
	json_t *j = ask_json(w,
	        &(struct ask){.method = "GET", .path = "/v1/events", .query = "after=1&limit=2"},
	        200);
	json_t *events = json_object_get(j, "events");
	assert_int_equal(json_array_size(events), 2);
	json_t *e = json_array_get(events, 0);
	assert_int_equal(json_integer_value(json_object_get(e, "id")), 2);
	assert_string_equal(
	        json_string_value(json_object_get(json_object_get(e, "evidence"), "why")), "test");
	json_decref(j);
	struct ask q = {.method = "GET", .path = "/v1/events", .query = "limit=many"};
	assert_int_equal(ask_status(w, &q), 400);
	q.query = "limit=1001";
	assert_int_equal(ask_status(w, &q), 400);
}

static void streams_are_limited(void **s)
{
	struct world *w = *s;
	struct ask q = {.method = "GET", .path = "/v1/events", .accept = "text/event-stream"};
	struct serve_call calls[API_STREAMS_MAX], over;
	for (size_t i = 0; i < HG_COUNT(calls); i++) {
		ask(w, &q, &calls[i]);
		assert_true(calls[i].streaming);
	}
	ask(w, &q, &over);
	assert_int_equal(over.status, 503);
	call_free(&over);
	api_streams_end(w->api);
	for (size_t i = 0; i < HG_COUNT(calls); i++) {
		assert_true(calls[i].ended);
		call_free(&calls[i]);
	}
}

static void without_observe_the_logs_say_so(void **s)
{
	char text[128];
	text_of(ask_json(*s, &(struct ask){.method = "GET", .path = "/v1/logs"}, 502), "detail",
	        text);
	assert_non_null(strstr(text, "log store"));
}

/* Accepts once, reads the request, writes `answer`, closes. */
static void observe_once(struct world *w, int listener, const char *answer, struct hg_buf *ret_seen)
{
	int fd = -1;
	while (fd < 0) {
		assert_int_equal(loop_turn(w->loop, 10), HG_OK);
		fd = sock_accept(listener, NULL);
	}
	while (!strstr(hg_buf_text(ret_seen), "\r\n\r\n")) {
		char *room = hg_buf_room(ret_seen, 4096);
		ssize_t n = read(fd, room, 4096);
		if (n > 0) hg_buf_add(ret_seen, (size_t)n);
		assert_int_equal(loop_turn(w->loop, 1), HG_OK);
	}
	assert_int_equal(write(fd, answer, strlen(answer)), (ssize_t)strlen(answer));
	close(fd);
}

static int observe_listen(struct world *w)
{
	struct sock_addr addr;
	char text[128];
	snprintf(text, sizeof text, "%s/run", w->dir);
	assert_int_equal(mkdir(text, 0700), 0);
	snprintf(text, sizeof text, "unix:%s/run/observe.sock", w->dir);
	assert_true(sock_addr_parse(hg_str(text), &addr));
	int listener = sock_listen(&addr, 8);
	assert_true(listener >= 0);
	return listener;
}

static void logs_are_passed_on_as_they_come(void **s)
{
	struct world *w = *s;
	struct serve_call c;
	struct hg_buf seen;
	int listener = observe_listen(w);
	hg_buf_init(&seen, 65536);
	ask(w, &(struct ask){.method = "GET", .path = "/v1/logs", .query = "app=web&limit=2"}, &c);
	observe_once(w, listener,
	        "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
	        "Transfer-Encoding: "
	        "chunked\r\n\r\n8\r\n{\"a\":1}\n\r\n8\r\n{\"a\":2}\n\r\n0\r\n\r\n",
	        &seen);
	while (!c.ended)
		assert_int_equal(loop_turn(w->loop, 100), HG_OK);
	assert_int_equal(c.status, 200);
	assert_string_equal(hg_buf_text(&c.body), "{\"a\":1}\n{\"a\":2}\n");
	assert_int_equal(strncmp(seen.p, "GET /v1/logs?app=web&limit=2 HTTP/1.1\r\n", 39), 0);
	assert_int_equal(w->api->log_count, 0);
	call_free(&c);
	/* And so are their counts. */
	hg_buf_reset(&seen);
	ask(w, &(struct ask){.method = "GET", .path = "/v1/logs/volume", .query = "buckets=2"}, &c);
	observe_once(w, listener,
	        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
	        &seen);
	while (!c.ended)
		assert_int_equal(loop_turn(w->loop, 100), HG_OK);
	assert_string_equal(hg_buf_text(&c.body), "{}");
	assert_int_equal(strncmp(seen.p, "GET /v1/logs/volume?buckets=2 HTTP/1.1\r\n", 40), 0);
	call_free(&c);
	/* An answer cut short is not passed off as a whole one. */
	hg_buf_reset(&seen);
	ask(w, &(struct ask){.method = "GET", .path = "/v1/logs"}, &c);
	observe_once(w, listener,
	        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nabc",
	        &seen);
	while (!c.aborted)
		assert_int_equal(loop_turn(w->loop, 100), HG_OK);
	call_free(&c);
	hg_buf_free(&seen);
	close(listener);
}

/* The log store has said everything and hung up, the client reads slowly: nothing is read beyond
 * what can be passed on, and nothing is lost. */
static void logs_wait_for_a_slow_client_though_the_store_has_hung_up(void **s)
{
	enum { BODY = 150000 };
	struct world *w = *s;
	struct serve_call c;
	struct hg_buf seen, answer;
	int listener = observe_listen(w);
	hg_buf_init(&seen, 65536);
	hg_buf_init(&answer, BODY + 1024);
	hg_buf_fmt(&answer, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BODY);
	for (int i = 0; i < BODY; i++)
		hg_buf_byte(&answer, 'x');
	ask(w, &(struct ask){.method = "GET", .path = "/v1/logs"}, &c);
	c.full = true;
	observe_once(w, listener, hg_buf_text(&answer), &seen);
	for (int i = 0; i < 50; i++)
		assert_int_equal(loop_turn(w->loop, 1), HG_OK);
	assert_false(c.aborted);
	assert_true(c.body.n <= 65536);
	while (!c.ended && !c.aborted) {
		c.writable(c.arg);
		if (!c.ended) assert_int_equal(loop_turn(w->loop, 10), HG_OK);
	}
	assert_false(c.aborted);
	assert_int_equal(c.body.n, BODY);
	call_free(&c);
	hg_buf_free(&seen);
	hg_buf_free(&answer);
	close(listener);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	        CASE(status_names_apps_replicas_and_processes),
	        CASE(unknown_things_are_problems),
	        CASE(tokens_open_what_their_role_allows_and_no_more),
	        CASE(the_socket_is_for_the_owner_and_root_alone),
	        CASE(a_foreign_host_name_gets_nothing),
	        CASE(metrics_are_open_to_this_machine_only),
	        CASE(metrics_have_every_series_from_the_start),
	        CASE(traffic_counts_by_route_and_by_replica),
	        CASE(a_dry_run_changes_nothing_and_is_audited),
	        CASE(bad_bodies_are_refused_before_anything_is_done),
	        CASE(maintenance_is_checked_whole_and_then_set),
	        CASE(a_reload_returns_its_changes_or_the_place_of_the_error),
	        CASE(an_event_stream_resumes_where_the_client_left_off),
	        CASE(events_are_also_a_list_with_limits),
	        CASE(streams_are_limited),
	        CASE(without_observe_the_logs_say_so),
	        CASE(logs_are_passed_on_as_they_come),
	        CASE(logs_wait_for_a_slow_client_though_the_store_has_hung_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
