/* The stream of all that changes: what is sent to whom, and what a rollout's trace is made of. */
#include "../../test.h"

#include "world.h"

#include "os/clock.h"

#include <math.h>

/* ---- parts and rows: pure ---- */

static struct hg_buf text_buf(const char *text)
{
	struct hg_buf b;
	hg_buf_init(&b, 4096);
	hg_buf_cstr(&b, text);
	return b;
}

static void set(struct live_part *p, const char *text, uint64_t turn)
{
	struct hg_buf b = text_buf(text);
	live_part_set(p, &b, turn);
	assert_int_equal(b.n, 0);
	hg_buf_free(&b);
}

static void a_part_changes_when_its_text_does(void **s)
{
	struct live_part p;
	(void)s;
	live_part_init(&p);
	set(&p, "{}", 3);
	assert_int_equal(p.turn, 3);
	set(&p, "{}", 4);
	assert_int_equal(p.turn, 3);
	set(&p, "{\"a\":1}", 5);
	assert_int_equal(p.turn, 5);
	/* What there was no memory for is not taken for news. */
	struct hg_buf broken = text_buf("{");
	broken.failed = true;
	assert_false(live_part_set(&p, &broken, 6));
	assert_string_equal(hg_buf_text(&p.text), "{\"a\":1}");
	hg_buf_free(&broken);
	live_part_free(&p);
}

/* `replicas`: their numbers, and what each of them is. */
static void row(struct live_rows *rows, const char *name, uint64_t turn, const char *head,
        const char *const replicas[], uint32_t hint)
{
	struct live_row *r = live_row_open(rows, name, hint);
	assert_non_null(r);
	r->there.looked = turn;
	set(&r->head, head, turn);
	for (uint32_t i = 0; replicas && replicas[i]; i++) {
		struct hg_buf b = text_buf(replicas[i]);
		uint32_t number = (uint32_t)replicas[i][0] - '0';
		struct live_replica *one = live_replica_open(&r->replicas, number, i, turn);
		assert_non_null(one);
		live_replica_set(&r->replicas, one, &b, turn);
		hg_buf_free(&b);
	}
	live_replicas_sweep(&r->replicas, turn, 0);
}

#define REPLICAS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void rows_are(const struct live_rows *rows, uint64_t seen, const char *want)
{
	struct hg_buf b;
	hg_buf_init(&b, 1u << 20);
	assert_int_equal(live_rows_write(rows, seen, &b), want != NULL);
	assert_string_equal(hg_buf_text(&b), want ? want : "");
	hg_buf_free(&b);
}

static void a_reader_gets_the_rows_that_changed_since_it_looked(void **s)
{
	struct live_rows rows = {0};
	(void)s;
	rows_are(&rows, 0, "{\"all\":true,\"apps\":[],\"gone\":[]}");
	row(&rows, "a", 1, "{\"n\":1}", REPLICAS("1"), 0);
	row(&rows, "c", 1, "{\"n\":3}", REPLICAS("3"), 1);
	live_rows_sweep(&rows, 1, 0);
	rows_are(&rows, 0,
	        "{\"all\":true,\"apps\":[{\"n\":1,\"replicas\":[1],\"replicas_gone\":[]},{\"n\":3,"
	        "\"replicas\":[3],\"replicas_gone\":[]}],"
	        "\"gone\":[]}");
	rows_are(&rows, 1, NULL);
	/* Another one stands between them; replicas go out with their row only when they changed.
	 */
	row(&rows, "a", 2, "{\"n\":1}", REPLICAS("1"), 0);
	row(&rows, "b", 2, "{\"n\":2}", REPLICAS("2"), 1);
	row(&rows, "c", 2, "{\"n\":4}", REPLICAS("3"), 2);
	live_rows_sweep(&rows, 2, 1);
	rows_are(&rows, 1,
	        "{\"all\":false,\"apps\":[{\"n\":2,\"replicas\":[2],\"replicas_gone\":[]},{\"n\":4}"
	        "],\"gone\":[]}");
	row(&rows, "a", 3, "{\"n\":1}", REPLICAS("19"), 0);
	row(&rows, "b", 3, "{\"n\":2}", REPLICAS("2"), 1);
	row(&rows, "c", 3, "{\"n\":4}", REPLICAS("3"), 2);
	live_rows_sweep(&rows, 3, 1);
	rows_are(&rows, 2,
	        "{\"all\":false,\"apps\":[{\"n\":1,\"replicas\":[19],\"replicas_gone\":[]}],"
	        "\"gone\":[]}");
	/* A slow one gets the newest of each, once. */
	rows_are(&rows, 1,
	        "{\"all\":false,\"apps\":[{\"n\":1,\"replicas\":[19],\"replicas_gone\":[]},"
	        "{\"n\":2,\"replicas\":[2],\"replicas_gone\":[]},"
	        "{\"n\":4}],\"gone\":[]}");
	live_rows_free(&rows);
}

static void of_a_rows_replicas_those_are_sent_that_changed_or_went(void **s)
{
	struct live_rows rows = {0};
	(void)s;
	row(&rows, "a", 1, "{\"n\":1}", REPLICAS("1", "2", "3", "4"), 0);
	live_rows_sweep(&rows, 1, 0);
	rows_are(&rows, 0,
	        "{\"all\":true,\"apps\":[{\"n\":1,\"replicas\":[1,2,3,4],\"replicas_gone\":[]}],"
	        "\"gone\":[]}");
	row(&rows, "a", 2, "{\"n\":1}", REPLICAS("1", "22", "4", "5"), 0);
	rows_are(&rows, 1,
	        "{\"all\":false,\"apps\":[{\"n\":1,\"replicas\":[22,5],\"replicas_gone\":[3]}],"
	        "\"gone\":[]}");
	rows_are(&rows, 0,
	        "{\"all\":true,\"apps\":[{\"n\":1,\"replicas\":[1,22,4,5],\"replicas_gone\":[]}],"
	        "\"gone\":[]}");
	/* One is back under its number, unchanged, and one only went: a slow reader is told once.
	 */
	row(&rows, "a", 3, "{\"n\":1}", REPLICAS("1", "22", "3", "5"), 0);
	rows_are(&rows, 2,
	        "{\"all\":false,\"apps\":[{\"n\":1,\"replicas\":[3],\"replicas_gone\":[4]}],"
	        "\"gone\":[]}");
	rows_are(&rows, 1,
	        "{\"all\":false,\"apps\":[{\"n\":1,\"replicas\":[22,3,5],\"replicas_gone\":[4]}],"
	        "\"gone\":[]}");
	/* The whole app goes and comes back with fewer, while somebody sleeps. */
	live_rows_sweep(&rows, 4, 1);
	row(&rows, "a", 5, "{\"n\":1}", REPLICAS("1", "3"), 0);
	live_rows_sweep(&rows, 5, 3);
	rows_are(&rows, 3,
	        "{\"all\":false,\"apps\":[{\"n\":1,\"replicas\":[1,3],\"replicas_gone\":[2,5]}],"
	        "\"gone\":[]}");
	/* Who is gone is forgotten when all have been told. */
	assert_int_equal(rows.at[0]->replicas.n, 5);
	live_replicas_sweep(&rows.at[0]->replicas, 5, 5);
	assert_int_equal(rows.at[0]->replicas.n, 2);
	rows_are(&rows, 5, NULL);
	live_rows_free(&rows);
}

static void rows_that_are_gone_are_told_to_all_and_then_forgotten(void **s)
{
	struct live_rows rows = {0};
	(void)s;
	row(&rows, "a", 1, "{\"n\":0}", NULL, 0);
	row(&rows, "b", 1, "{\"n\":0}", NULL, 1);
	live_rows_sweep(&rows, 1, 0);
	row(&rows, "a", 2, "{\"n\":0}", NULL, 0);
	live_rows_sweep(&rows, 2, 1);
	rows_are(&rows, 1, "{\"all\":false,\"apps\":[],\"gone\":[\"b\"]}");
	rows_are(&rows, 2, NULL);
	/* Who comes now knew of none. */
	rows_are(&rows, 0,
	        "{\"all\":true,\"apps\":[{\"n\":0,\"replicas\":[],\"replicas_gone\":[]}],\"gone\":["
	        "]}");
	row(&rows, "a", 3, "{\"n\":0}", NULL, 0);
	live_rows_sweep(&rows, 3, 1);
	assert_int_equal(rows.n, 2); /* somebody has seen turn 1 only */
	row(&rows, "a", 4, "{\"n\":0}", NULL, 0);
	row(&rows, "b", 4, "{\"n\":0}", NULL, 1);
	live_rows_sweep(&rows, 4, 1);
	assert_int_equal(rows.n, 2); /* it is back, and news although nothing of it changed */
	rows_are(&rows, 3,
	        "{\"all\":false,\"apps\":[{\"n\":0,\"replicas\":[],\"replicas_gone\":[]}],\"gone\":"
	        "[]}");
	row(&rows, "a", 5, "{\"n\":0}", NULL, 0);
	live_rows_sweep(&rows, 5, 4);
	row(&rows, "a", 6, "{\"n\":0}", NULL, 0);
	live_rows_sweep(&rows, 6, 5);
	assert_int_equal(rows.n, 1);
	live_rows_free(&rows);
}

/* ---- the trace: pure ---- */

static struct api_point counted(uint64_t at_ms, uint64_t total, uint64_t errors, int bucket)
{
	struct api_point p = {.at_ms = at_ms, .total = total, .errors = errors};
	p.bucket[bucket] = total;
	return p;
}

static void a_point_has_rates_of_a_second_and_quantiles_of_the_window(void **s)
{
	struct live_look window = {.wall_ms = 1000, .rescued = 1},
	                 before = {.wall_ms = 5000, .rescued = 1},
	                 now = {.wall_ms = 6000,
	                         .set = 0.2,
	                         .evidence = 7.5,
	                         .rescued = 3,
	                         .seen = 1};
	(void)s;
	window.arm[LIVE_NEW] = counted(100, 0, 0, 3);
	window.arm[LIVE_OLD] = counted(100, 1000, 0, 3);
	before.arm[LIVE_NEW] = counted(4100, 80, 0, 3);
	before.arm[LIVE_OLD] = counted(4100, 1400, 0, 3);
	now.arm[LIVE_NEW] = counted(5100, 100, 5, 3);
	now.arm[LIVE_OLD] = counted(5100, 1400, 0, 3);
	struct live_point p = live_point_of(&before, &window, &now);
	assert_true(p.t_ms == 6000 && p.set == 0.2 && p.evidence == 7.5);
	assert_true(p.rescued == 3 && p.seen == 1);
	/* Two of its failures were answered by the old release, and are its all the same. */
	assert_float_equal(p.arm[LIVE_NEW].rate, 22, 1e-9);
	assert_float_equal(p.arm[LIVE_NEW].error_ratio, 7.0 / 22, 1e-9);
	/* No request in this second: no ratio, but quantiles of the others. */
	assert_float_equal(p.arm[LIVE_OLD].rate, 0, 1e-9);
	assert_true(isnan(p.arm[LIVE_OLD].error_ratio));
	assert_true(p.arm[LIVE_OLD].p95 > meter_bounds[2]);
	assert_true(p.arm[LIVE_OLD].p95 <= meter_bounds[3]);
	assert_true(p.arm[LIVE_OLD].p50 < p.arm[LIVE_OLD].p95);
	assert_float_equal(p.actual, 102.0 / 500, 1e-9);
	p = live_point_of(&now, &now, &now);
	assert_true(isnan(p.actual) && isnan(p.arm[LIVE_NEW].p95));
}

static json_t *trace_json(
        const struct live_trace *t, bool begun, uint64_t *have, size_t want_points)
{
	struct hg_buf b;
	hg_buf_init(&b, 16u << 20);
	assert_true(live_trace_write(t, 42, begun, have, &b));
	json_t *j = json_loadb(b.p, b.n, 0, NULL);
	assert_non_null(j);
	hg_buf_free(&b);
	assert_int_equal(json_integer_value(json_object_get(j, "id")), 42);
	assert_int_equal(json_array_size(json_object_get(j, "t_ms")), want_points);
	assert_int_equal(
	        json_array_size(json_object_get(json_object_get(j, "new"), "p95")), want_points);
	return j;
}

static bool all_of(json_t *j)
{
	bool all = json_is_true(json_object_get(j, "all"));
	json_decref(j);
	return all;
}

static void a_trace_is_sent_whole_once_and_then_by_its_new_points(void **s)
{
	struct live_trace *t = calloc(1, sizeof *t);
	struct hg_buf none;
	uint64_t have = 0;
	(void)s;
	/* There may be nothing yet: then that is said. */
	assert_true(all_of(trace_json(NULL, false, &have, 0)));
	for (uint64_t i = 0; i <= 10; i++) {
		struct live_look look = {.wall_ms = i * 1000};
		look.arm[LIVE_NEW] = counted(i * 1000, i * i, 0, 1);
		live_trace_add(t, &look);
	}
	assert_int_equal(t->n, 11);
	assert_true(isnan(t->ring[0].arm[LIVE_NEW].rate)); /* there was no look before it */
	assert_float_equal(t->ring[10].arm[LIVE_NEW].rate, 19, 1e-9);
	json_t *j = trace_json(t, true, &have, 11);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(j, "t_ms"), 10)), 10000);
	assert_true(json_is_null(
	        json_array_get(json_object_get(json_object_get(j, "old"), "error_ratio"), 0)));
	assert_false(all_of(j));
	hg_buf_init(&none, 4096);
	assert_false(live_trace_write(t, 42, true, &have, &none));
	for (uint64_t i = 0; i < LIVE_POINTS + 5; i++)
		live_trace_add(t, &(struct live_look){.wall_ms = 20000 + i});
	uint64_t fresh = 0, late = t->n - 3;
	assert_true(all_of(trace_json(t, false, &fresh, LIVE_POINTS)));
	assert_true(all_of(trace_json(t, true, &have, LIVE_POINTS)));
	assert_false(all_of(trace_json(t, true, &late, 3)));
	assert_int_equal(have, t->n);
	/* It was forgotten and began anew. */
	t->n = 2;
	assert_true(all_of(trace_json(t, true, &have, 2)));
	free(t);
}

/* ---- the stream ---- */

/* Until the answer has it; what the timers do takes a second. */
static const char *wait_text(struct world *w, struct serve_call *c, const char *text)
{
	uint64_t end = clock_mono_ms() + 10000;
	const char *found;
	while (!(found = strstr(hg_buf_text(&c->body), text))) {
		if (clock_mono_ms() > end) fail_msg("no %s in %s", text, hg_buf_text(&c->body));
		assert_int_equal(loop_turn(w->loop, 50), HG_OK);
	}
	return found;
}

static uint64_t event_add(struct world *w, const char *kind)
{
	uint64_t id;
	struct store_event e = {
	        .ts_ms = 1, .kind = hg_str(kind), .app = HG_STR("web"), .text = HG_STR("{}")};
	assert_int_equal(store_event_add(w->store, &e, &id, NULL), HG_OK);
	w->fleet.watch->fn(w->fleet.watch->arg, &e);
	return id;
}

static void the_present_comes_first_and_then_what_changes(void **s)
{
	struct world *w = *s;
	struct serve_call c;
	event_add(w, "before.it");
	ask(w, &(struct ask){.method = "GET", .path = "/v1/live"}, &c);
	assert_string_equal(c.type, "text/event-stream");
	const char *hello = wait_text(w, &c, "id: 1\nevent: hello\ndata: {\"version\":");
	const char *apps = wait_text(w, &c, "event: apps\ndata: {\"all\":true,\"apps\":[{");
	assert_true(hello < apps);
	wait_text(w, &c, "\"who\":\"unix:1000\",\"role\":\"admin\"");
	wait_text(w, &c, "event: platform\ndata: {\"state\":\"degraded\"");
	wait_text(w, &c, "event: counts\ndata: {\"alerts_firing\":0,");
	wait_text(w, &c, "\"name\":\"web\",\"version\":\"v1.0\",\"phase\":\"degraded\"");
	wait_text(w, &c, "\"slo\":[],\"rollout\":null,\"replicas\":[{\"replica\":1,");
	assert_null(strstr(hg_buf_text(&c.body), "before.it"));
	hg_buf_reset(&c.body);
	/* The row, but not its replicas. */
	w->fleet.reason = "something else";
	wait_text(w, &c, "event: apps\ndata: {\"all\":false,\"apps\":[{");
	wait_text(w, &c, "something else");
	assert_null(strstr(hg_buf_text(&c.body), "\"replicas\""));
	assert_null(strstr(hg_buf_text(&c.body), "event: platform"));
	w->fleet.in_flight = 17;
	wait_text(w, &c, "\"in_flight\":17,");
	event_add(w, "after.it");
	wait_text(w, &c, "id: 2\nevent: event\ndata: {\"id\":2,");
	assert_int_equal(w->api->live_count, 1);
	c.gone(c.arg);
	assert_int_equal(w->api->live_count, 0);
	assert_int_equal(w->api->event_count, 0);
	assert_int_equal(w->api->live->rows.n, 0);
	call_free(&c);
}

static unsigned times(struct serve_call *c, const char *text)
{
	unsigned n = 0;
	for (const char *p = hg_buf_text(&c->body); (p = strstr(p, text)); p++)
		n++;
	return n;
}

static void a_slow_reader_gets_the_newest_state_once_and_every_entry(void **s)
{
	struct world *w = *s;
	struct serve_call slow, quick;
	struct ask q = {.method = "GET", .path = "/v1/live"};
	ask(w, &q, &slow);
	ask(w, &q, &quick);
	wait_text(w, &slow, "event: apps");
	slow.full = true;
	w->fleet.in_flight = 1001;
	wait_text(w, &slow, "\"in_flight\":1001,"); /* this fills it */
	hg_buf_reset(&slow.body);
	w->fleet.in_flight = 1002;
	wait_text(w, &quick, "\"in_flight\":1002,");
	w->fleet.other = true;
	wait_text(w, &quick, "\"name\":\"api\"");
	w->fleet.other = false;
	event_add(w, "one.missed");
	wait_text(w, &quick, "\"gone\":[\"api\"]");
	w->fleet.in_flight = 1003;
	event_add(w, "two.missed");
	wait_text(w, &quick, "\"in_flight\":1003,");
	assert_string_equal(hg_buf_text(&slow.body), "");
	slow.full = false;
	slow.writable(slow.arg);
	assert_int_equal(times(&slow, "event: apps"), 1);
	assert_int_equal(times(&slow, "\"in_flight\":1003,"), 1);
	assert_int_equal(times(&slow, "\"in_flight\":1002,"), 0);
	assert_int_equal(times(&slow, "\"gone\":[\"api\"]"), 1);
	assert_int_equal(times(&slow, "one.missed"), 1);
	assert_int_equal(times(&slow, "two.missed"), 1);
	slow.gone(slow.arg);
	quick.gone(quick.arg);
	call_free(&slow);
	call_free(&quick);
}

static void entries_resume_behind_the_id_that_a_client_has(void **s)
{
	struct world *w = *s;
	struct serve_call c;
	for (int i = 0; i < 5; i++)
		event_add(w, "x.y");
	ask(w, &(struct ask){.method = "GET", .path = "/v1/live", .last_id = "3"}, &c);
	wait_text(w, &c, "id: 3\nevent: hello");
	wait_text(w, &c, "id: 5\nevent: event\n");
	assert_int_equal(times(&c, "event: event\n"), 2);
	c.gone(c.arg);
	call_free(&c);
	assert_int_equal(
	        ask_status(
	                w, &(struct ask){.method = "GET", .path = "/v1/live", .last_id = "three"}),
	        400);
}

static void a_rollout_is_read_with_its_document_and_trace(void **s)
{
	struct world *w = *s;
	struct serve_call c, again;
	struct ask q = {.method = "GET", .path = "/v1/live", .query = "rollout=42"};
	fake_views[0] = (struct rollouts_view){.id = 42,
	        .app = "web",
	        .old_release = 1,
	        .new_release = 2,
	        .strategy = "canary",
	        .state = "running",
	        .phase = "step",
	        .verdict = "not_yet",
	        .why = "first",
	        .new_version = "v2",
	        .weight_set = 0.25,
	        .weight_actual = 0.2,
	        .step = 1,
	        .steps = 3,
	        .evidence = 1.5};
	fake_view_count = 1;
	ask(w, &q, &c);
	wait_text(w, &c, "\"rollout\":{\"id\":42,\"state\":\"running\",\"phase\":\"step\",");
	wait_text(w, &c, "\"weight_set\":0.25,\"weight_actual\":0.2,\"step\":1,\"steps\":3}");
	wait_text(w, &c, "event: rollout\ndata: {\"schema\":\"headgate.rollout/1\",\"id\":42,");
	wait_text(w, &c, "event: trace\ndata: {\"id\":42,\"all\":true,");
	fake_views[0].why = "second";
	wait_text(w, &c, "\"why\":\"second\"}\n\n");
	wait_text(w, &c, "event: trace\ndata: {\"id\":42,\"all\":false,");
	meter_observe(meter_lane_of(&w->meter->worker[0], 1), 500, 3000000);
	wait_text(w, &c, "\"error_ratio\":[1],");
	/* It ends: how it ended is told, and what happened is kept. */
	fake_views[0].why = "the end";
	fake_view_count = 0;
	wait_text(w, &c, "\"why\":\"\"}\n\n");
	hg_buf_reset(&c.body);
	ask(w, &q, &again);
	wait_text(w, &again, "event: trace\ndata: {\"id\":42,\"all\":true,\"t_ms\":[1");
	wait_text(w, &c, "event: tick\n");
	assert_null(strstr(hg_buf_text(&c.body), "event: rollout"));
	c.gone(c.arg);
	again.gone(again.arg);
	call_free(&c);
	call_free(&again);
	q.query = "rollout=43";
	assert_int_equal(ask_status(w, &q), 404);
	q.query = "rollout=x";
	assert_int_equal(ask_status(w, &q), 400);
	assert_int_equal(w->api->event_count, 0);
}

static void it_needs_a_token_and_counts_among_the_streams(void **s)
{
	struct world *w = *s;
	struct serve_call calls[API_STREAMS_MAX], c;
	struct ask q = {.method = "GET", .path = "/v1/live", .tcp = true};
	assert_int_equal(ask_status(w, &q), 401);
	char *viewer = token_new(w, "v", "viewer");
	q.token = viewer;
	for (size_t i = 0; i < HG_COUNT(calls); i++) {
		ask(w, &q, &calls[i]);
		assert_true(calls[i].streaming);
	}
	assert_int_equal(ask_status(w, &q), 503);
	ask(w, &(struct ask){.method = "GET", .path = "/metrics"}, &c);
	assert_non_null(strstr(hg_buf_text(&c.body), "headgate_api_streams{kind=\"live\"} 64\n"));
	call_free(&c);
	wait_text(w, &calls[0], "\"who\":\"token:v\",\"role\":\"viewer\"");
	api_streams_end(w->api);
	for (size_t i = 0; i < HG_COUNT(calls); i++) {
		assert_true(calls[i].ended);
		call_free(&calls[i]);
	}
	assert_int_equal(w->api->live_count, 0);
	free(viewer);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_part_changes_when_its_text_does),
	        cmocka_unit_test(a_reader_gets_the_rows_that_changed_since_it_looked),
	        cmocka_unit_test(of_a_rows_replicas_those_are_sent_that_changed_or_went),
	        cmocka_unit_test(rows_that_are_gone_are_told_to_all_and_then_forgotten),
	        cmocka_unit_test(a_point_has_rates_of_a_second_and_quantiles_of_the_window),
	        cmocka_unit_test(a_trace_is_sent_whole_once_and_then_by_its_new_points),
	        CASE(the_present_comes_first_and_then_what_changes),
	        CASE(a_slow_reader_gets_the_newest_state_once_and_every_entry),
	        CASE(entries_resume_behind_the_id_that_a_client_has),
	        CASE(a_rollout_is_read_with_its_document_and_trace),
	        CASE(it_needs_a_token_and_counts_among_the_streams),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
