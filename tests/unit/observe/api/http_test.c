/*
 * The API over a server on a socket. One thread: the test turns the loop until an answer is whole;
 * only the threads that evaluate queries run beside it.
 */
#include "../../test.h"

#include "observe/api/answer.c"
#include "observe/api/api.c"

#include <jansson.h>

#include "world.h"

static void queries_are_answered_to_the_byte(void **state)
{
	static const struct {
		const char *target, *body;
	} row[] = {
	        {"/api/v1/query?query=1",
	                OK_DATA "{\"resultType\":\"scalar\",\"result\":[1700000000,\"1\"]}}"},
	        {"/api/v1/query?query=1e-7&time=1435781451.780", OK_DATA
	                "{\"resultType\":\"scalar\",\"result\":[1435781451.78,\"0.0000001\"]}}"},
	        {"/api/v1/query?query=%22a%5C%22%3C%22",
	                OK_DATA "{\"resultType\":\"string\",\"result\":[1700000000,\"a\\\"<\"]}}"},
	        {"/api/v1/query?query=up", OK_DATA
	                "{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"__name__\":\"up\","
	                "\"a\":\"x\"},\"value\":[1700000000,\"1\"]},{\"metric\":{\"__name__\":"
	                "\"up\",\"a\":\"y\"},\"value\":[1700000000,\"0\"]}]}}"},
	        {"/api/v1/query?query=up&limit=1", OK_DATA
	                "{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"__name__\":\"up\","
	                "\"a\":\"x\"},\"value\":[1700000000,\"1\"]}]},\"warnings\":[\"results "
	                "truncated due to limit\"]}"},
	        {"/api/v1/query?query=nothing",
	                OK_DATA "{\"resultType\":\"vector\",\"result\":[]}}"},
	        {"/api/v1/query?query=up%7Ba=%22x%22%7D%5B20s%5D", OK_DATA
	                "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"__name__\":\"up\","
	                "\"a\":\"x\"},\"values\":[[1699999985,\"1\"],[1700000000,\"1\"]]}]}}"},
	        {"/api/v1/query?query=vector(1)*1e-7",
	                OK_DATA "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":"
	                        "[1700000000,\"1e-07\"]}]}}"},
	        {"/api/v1/query?query=vector(0)/0",
	                OK_DATA "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":"
	                        "[1700000000,\"NaN\"]}]}}"},
	        {"/api/v1/query_range?query=n_total&start=1699999984.5&end=1700000000&step=15",
	                OK_DATA "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"__name__\":"
	                        "\"n_total\"},\"values\":[[1699999984.500,\"2.5\"],[1699999999.500,"
	                        "\"3\"]]}]}}"},
	        {"/api/v1/query_range?query=2&start=0&end=1&step=1s", OK_DATA
	                "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[0,"
	                "\"2\"],[1,\"2\"]]}]}}"},
	        {"/api/v1/query?query=rate(up%5B1m%5D)&limit=1&time=1",
	                OK_DATA "{\"resultType\":\"vector\",\"result\":[]}}"},
	        {"/api/v1/series?match[]=up", OK_DATA
	                "[{\"__name__\":\"up\",\"a\":\"x\"},{\"__name__\":\"up\",\"a\":\"y\"}]}"},
	        {"/api/v1/series?match[]=up&match[]=%7Ba=~%22.%2B%22%7D", OK_DATA
	                "[{\"__name__\":\"up\",\"a\":\"x\"},{\"__name__\":\"up\",\"a\":\"y\"},"
	                "{\"__name__\":\"z\",\"a\":\"q\",\"b\":\"r\"}]}"},
	        {"/api/v1/series?match[]=up&limit=1", OK_DATA
	                "[{\"__name__\":\"up\",\"a\":\"x\"}],\"warnings\":[\"results truncated due "
	                "to limit\"]}"},
	        {"/api/v1/series?match[]=up&end=1000000000", OK_DATA "[]}"},
	        {"/api/v1/labels", OK_DATA "[\"__name__\",\"a\",\"b\"]}"},
	        {"/api/v1/labels?match[]=up&match[]=n_total", OK_DATA "[\"__name__\",\"a\"]}"},
	        {"/api/v1/labels?limit=2", OK_DATA
	                "[\"__name__\",\"a\"],\"warnings\":[\"results truncated due to limit\"]}"},
	        {"/api/v1/label/a/values", OK_DATA "[\"q\",\"x\",\"y\"]}"},
	        {"/api/v1/label/a/values?match[]=up&match[]=z", OK_DATA "[\"q\",\"x\",\"y\"]}"},
	        {"/api/v1/label/U__a/values?match[]=up", OK_DATA "[\"x\",\"y\"]}"},
	        {"/api/v1/label/nope/values", OK_DATA "[]}"},
	        {"/api/v1/format_query?query=sum+by+(a)(up)", OK_DATA "\"sum by (a) (up)\"}"},
	        {"/api/v1/format_query?query=foo/bar", OK_DATA "\"foo / bar\"}"},
	        {"/api/v1/parse_query?query=foo/bar", OK_DATA
	                "{\"bool\":false,\"lhs\":{\"matchers\":[{\"name\":\"__name__\",\"type\":\"="
	                "\",\"value\":\"foo\"}],\"name\":\"foo\",\"offset\":0,\"startOrEnd\":null,"
	                "\"timestamp\":null,\"type\":\"vectorSelector\"},\"matching\":{\"card\":"
	                "\"one-to-one\",\"include\":[],\"labels\":[],\"on\":false},\"op\":\"/"
	                "\",\"rhs\":{\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
	                "\"bar\"}],\"name\":\"bar\",\"offset\":0,\"startOrEnd\":null,\"timestamp\":"
	                "null,\"type\":\"vectorSelector\"},\"type\":\"binaryExpr\"}}"},
	        {"/api/v1/metadata?limit=1", OK_DATA "{}}"},
	        {"/api/v1/query_exemplars?query=up&start=0&end=1", OK_DATA "[]}"},
	        {"/api/v1/rules", OK_DATA "{\"groups\":[]}}"},
	        {"/api/v1/alerts", OK_DATA "{\"alerts\":[]}}"},
	        {"/api/v1/alertmanagers",
	                OK_DATA "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}}"},
	        {"/api/v1/targets?state=active", OK_DATA
	                "{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":{}}}"},
	        {"/api/v1/scrape_pools", OK_DATA "{\"scrapePools\":[]}}"},
	        {"/api/v1/status/config", OK_DATA "{\"yaml\":\"a: 1\\n\"}}"},
	        {"/api/v1/status/buildinfo", OK_DATA
	                "{\"version\":\"3.14.0\",\"revision\":\"headgate-1.2.3\",\"branch\":"
	                "\"headgate\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}}"},
	        {"/-/healthy", "Headgate's metrics are healthy.\n"},
	        {"/-/ready", "Headgate's metrics are ready.\n"},
	        {"/federate?match[]=up&match[]=n_total",
	                "# TYPE n_total untyped\nn_total{site=\"s\\\"1\",instance=\"\"} 3.5 "
	                "1700000000000\n# TYPE up untyped\nup{a=\"x\",site=\"s\\\"1\","
	                "instance=\"\"} 1 1700000000000\nup{a=\"y\",site=\"s\\\"1\",instance=\"\"} "
	                "0 1700000000000\n"},
	        {"/federate", ""},
	};
	struct world w;
	struct label site[] = {{HG_STR("site"), HG_STR("s\"1")}};
	(void)state;
	world_start(&w, NULL);
	add(&w, "up", "y", "", 0, 0, 3);
	add(&w, "up", "x", "", 1, 0, 3);
	add(&w, "z", "q", "r", 1, 0, 1);
	add(&w, "n_total", "", "", 0, 0.5, 8);
	assert_int_equal(promapi_external_labels(w.api, (struct labels){site, 1}), HG_OK);
	assert_int_equal(promapi_config_text(w.api, HG_STR("a: 1\n")), HG_OK);
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		get(&w, row[i].target);
		assert_answer(&w, 200, row[i].body);
	}
	ask(&w, "POST", "/api/v1/query?time=1", "", "query=2&time=3");
	assert_answer(&w, 200, OK_DATA "{\"resultType\":\"scalar\",\"result\":[3,\"2\"]}}");
	ask(&w, "POST", "/api/v1/series", "", "match[]=z");
	assert_answer(&w, 200, OK_DATA "[{\"__name__\":\"z\",\"a\":\"q\",\"b\":\"r\"}]}");
	/* What is no form is not looked at. */
	read_answer(
	        &w, send_text(&w, "POST /api/v1/query?query=1 HTTP/1.1\r\nHost: t\r\nConnection: "
	                          "close\r\nContent-Type: text/plain\r\nContent-Length: "
	                          "7\r\n\r\nquery=2"));
	assert_answer(
	        &w, 200, OK_DATA "{\"resultType\":\"scalar\",\"result\":[1700000000,\"1\"]}}");
	world_stop(&w);
}

static void errors_are_prometheus_errors(void **state)
{
	static const struct {
		unsigned status;
		const char *target, *part;
	} row[] = {
	        {400, "/api/v1/query",
	                "invalid parameter \\\"query\\\": 1:1: parse error: no "
	                "expression found in input"},
	        {400, "/api/v1/query?query=sum(", "\"errorType\":\"bad_data\""},
	        {400, "/api/v1/query?query=rat(x)", "1:1: parse error: unknown function"},
	        {400, "/api/v1/query?query=1&time=x",
	                "invalid parameter \\\"time\\\": Invalid time value for 'time': cannot "
	                "parse \\\"x\\\" to a valid timestamp"},
	        {400, "/api/v1/query?query=1&timeout=x", "invalid parameter \\\"timeout\\\""},
	        {400, "/api/v1/query?query=1&lookback_delta=x", "lookback"},
	        {400, "/api/v1/query?query=1&lookback_delta=-5", "lookback"},
	        {400, "/api/v1/query?query=1&limit=x", "invalid parameter \\\"limit\\\""},
	        {400, "/api/v1/query?query=%zz", "invalid URL escape"},
	        {400, "/api/v1/query_range?query=1&end=1&step=1",
	                "invalid parameter \\\"start\\\": cannot parse \\\"\\\" to a valid "
	                "timestamp"},
	        {400, "/api/v1/query_range?query=1&start=1&step=1",
	                "invalid parameter \\\"end\\\""},
	        {400, "/api/v1/query_range?query=1&start=1&end=1",
	                "invalid parameter \\\"step\\\": cannot parse \\\"\\\" to a valid "
	                "duration"},
	        {400, "/api/v1/query_range?query=1&start=2&end=1&step=1",
	                "end timestamp must not be before start time"},
	        {400, "/api/v1/query_range?query=1&start=1&end=2&step=0",
	                "zero or negative query resolution step widths are not accepted. Try a "
	                "positive integer"},
	        {400, "/api/v1/query_range?query=1&start=1&end=2&step=-1", "zero or negative"},
	        {400, "/api/v1/query_range?query=1&start=0&end=11001&step=1",
	                "exceeded maximum resolution of 11,000 points per timeseries"},
	        {400, "/api/v1/query_range?query=up%5B5m%5D&start=1&end=2&step=1",
	                "invalid expression type \\\"range vector\\\" for range query, must be "
	                "Scalar or instant Vector"},
	        {422, "/api/v1/query?query=up%2Bon(b)up", "\"errorType\":\"execution\""},
	        {503, "/api/v1/query?query=up&timeout=0", "\"errorType\":\"timeout\""},
	        {400, "/api/v1/series", "no match[] parameter provided"},
	        {400, "/api/v1/series?match[]=%7B%7D", "at least one non-empty matcher"},
	        {400, "/api/v1/series?match[]=up%5B1m%5D", "a selector of series is wanted"},
	        {400, "/api/v1/series?match[]=up&start=x", "invalid parameter \\\"start\\\""},
	        {400, "/api/v1/series?match[]=1", "a selector of series is wanted"},
	        {400, "/api/v1/series?match[]=up%7B", "invalid parameter \\\"match[]\\\""},
	        {400, "/api/v1/labels?match[]=%29", "parse error"},
	        {400, "/api/v1/label/U__/values", "invalid label name"},
	        {400, "/api/v1/label/%ff/values", "invalid label name"},
	        {400, "/api/v1/rules?type=x",
	                "invalid parameter \\\"type\\\": not supported value"},
	        {400, "/federate?match[]=up%5B1m%5D", "a selector of series is wanted"},
	        {404, "/api/v1/nope", "\"errorType\":\"not_found\""},
	        {404, "/api/v1/label/a/b/values", "\"errorType\":\"not_found\""},
	        {404, "/-/nope", "404"},
	        {403, "/-/quit", "headgate down"},
	};
	struct world w;
	(void)state;
	world_start(&w, NULL);
	add(&w, "up", "x", "", 1, 0, 3);
	add(&w, "up", "y", "", 1, 0, 3);
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		get(&w, row[i].target);
		assert_has(&w, row[i].status, row[i].part);
	}
	ask(&w, "POST", "/api/v1/admin/tsdb/snapshot", "", "");
	assert_has(&w, 503, "admin APIs disabled");
	ask(&w, "POST", "/api/v1/rules", "", "");
	assert_has(&w, 405, "\"status\":\"error\"");
	ask(&w, "DELETE", "/api/v1/series?match[]=up", "", NULL);
	assert_has(&w, 405, "\"status\":\"error\"");
	ask(&w, "PUT", "/api/v1/label/a/values", "", "");
	assert_int_equal(w.status, 405);
	world_stop(&w);
}

#define SERIES 600
#define STEPS  480

/* Large enough that it is streamed, whole or compressed. */
static void many(struct world *w)
{
	char name[16];
	for (int i = 0; i < SERIES; i++) {
		snprintf(name, sizeof name, "s%03d", i);
		add(w, "many", name, "", i, 0.125, STEPS);
	}
}

#define MANY "/api/v1/query_range?query=many&start=1699992815&end=1700000000&step=15"

/* Every point is there, once, in its place. */
static void assert_many(struct world *w)
{
	struct hg_buf want;
	hg_buf_init(&want, (size_t)64 << 20);
	hg_buf_cstr(&want, OK_DATA "{\"resultType\":\"matrix\",\"result\":[");
	for (int i = 0; i < SERIES; i++) {
		hg_buf_fmt(&want,
		        "%s{\"metric\":{\"__name__\":\"many\",\"a\":\"s%03d\"},\"values\":[",
		        i ? "," : "", i);
		for (int k = 0; k < STEPS; k++)
			hg_buf_fmt(&want, "%s[%lld,\"%.10g\"]", k ? "," : "",
			        (long long)(NOW / 1000) - (STEPS - 1 - k) * 15, i + k * 0.125);
		hg_buf_cstr(&want, "]}");
	}
	hg_buf_cstr(&want, "]}}");
	assert_int_equal(w->status, 200);
	if (!hg_str_eq(hg_buf_view(&w->body), hg_buf_view(&want)))
		fail_msg("%zu bytes, wanted %zu", w->body.n, want.n);
	hg_buf_free(&want);
}

static void gunzip(struct world *w)
{
	struct hg_buf plain;
	z_stream z = {.next_in = (Bytef *)w->body.p, .avail_in = (uInt)w->body.n};
	int got = Z_OK;
	hg_buf_init(&plain, (size_t)256 << 20);
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	while (got == Z_OK) {
		z.next_out = (Bytef *)hg_buf_room(&plain, 65536);
		z.avail_out = 65536;
		got = inflate(&z, Z_NO_FLUSH);
		hg_buf_add(&plain, 65536 - z.avail_out);
	}
	assert_int_equal(got, Z_STREAM_END);
	assert_int_equal(z.avail_in, 0);
	(void)inflateEnd(&z);
	hg_buf_free(&w->body);
	w->body = plain;
}

static void large_answers_are_streamed_and_compressed(void **state)
{
	struct world w;
	struct promapi_stats st;
	(void)state;
	world_start(&w, NULL);
	many(&w);
	get(&w, MANY);
	assert_true(w.body.n > PA_WHOLE + PA_SLICE);
	assert_non_null(strstr(hg_buf_text(&w.raw), "Transfer-Encoding: chunked"));
	assert_many(&w);
	ask(&w, "GET", MANY, "Accept-Encoding: gzip, br\r\n", NULL);
	assert_non_null(strstr(hg_buf_text(&w.raw), "Content-Encoding: gzip"));
	assert_true(w.body.n < (size_t)4 << 20);
	gunzip(&w);
	assert_many(&w);
	/* A small one is not worth it. */
	ask(&w, "GET", "/api/v1/query?query=1", "Accept-Encoding: gzip\r\n", NULL);
	assert_answer(
	        &w, 200, OK_DATA "{\"resultType\":\"scalar\",\"result\":[1700000000,\"1\"]}}");
	ask(&w, "GET", "/api/v1/series?match[]=many", "Accept-Encoding: gzip\r\n", NULL);
	assert_non_null(strstr(hg_buf_text(&w.raw), "Content-Encoding: gzip"));
	gunzip(&w);
	assert_has(&w, 200, "{\"__name__\":\"many\",\"a\":\"s599\"}]}");
	promapi_stats(w.api, &st);
	assert_int_equal(st.memory, 0);
	assert_true(hg_list_empty(&w.api->jobs));
	world_stop(&w);
}

static void turn(struct world *w)
{
	assert_int_equal(loop_turn(w->loop, 20), HG_OK);
}

/* While it is on, the loop keeps the lock when it waits: queries on threads stand still. */
static void hold(struct world *w, bool on)
{
	loop_hooks(w->loop, on ? NULL : observe_lock_give, on ? NULL : observe_lock_take, &w->lock);
}

static int ask_many(struct world *w)
{
	return send_text(w, "GET " MANY " HTTP/1.1\r\nHost: t\r\n\r\n");
}

static void turn_until(struct world *w, unsigned running, unsigned waiting)
{
	struct promapi_stats st;
	for (;;) {
		promapi_stats(w->api, &st);
		if (st.running == running && st.waiting == waiting) return;
		turn(w);
	}
}

static void a_client_that_goes_away_takes_its_query_along(void **state)
{
	struct world w;
	struct promapi_stats st;
	int fd[5];
	(void)state;
	world_start(&w, NULL);
	many(&w);
	hold(&w, true);
	for (size_t i = 0; i < HG_COUNT(fd); i++)
		fd[i] = ask_many(&w);
	turn_until(&w, 2, 3);
	/* One that waits, and then those that run. */
	close(fd[4]);
	turn_until(&w, 2, 2);
	for (size_t i = 0; i < 4; i++)
		close(fd[i]);
	do {
		turn(&w);
		promapi_stats(w.api, &st);
	} while (st.canceled < 5);
	hold(&w, false);
	while (!hg_list_empty(&w.api->jobs))
		turn(&w);
	promapi_stats(w.api, &st);
	assert_int_equal(st.memory, 0);
	assert_int_equal(st.samples, 0); /* none went on to its end */
	get(&w, MANY);
	assert_many(&w);
	world_stop(&w);
}

static void more_than_may_wait_are_told_to_come_again(void **state)
{
	struct promapi_options o = {.threads = 1, .queue_max = 2};
	struct world w;
	int fd[3];
	(void)state;
	world_start(&w, &o);
	many(&w);
	hold(&w, true);
	for (size_t i = 0; i < HG_COUNT(fd); i++) {
		fd[i] = ask_many(&w);
		turn_until(&w, 1, (unsigned)i);
	}
	get(&w, MANY);
	assert_has(&w, 503, "\"errorType\":\"unavailable\"");
	assert_non_null(strstr(hg_buf_text(&w.raw), "Retry-After: 1"));
	/* What takes no time is still answered. */
	get(&w, "/api/v1/query?query=many%7Ba=%22s001%22%7D");
	assert_int_equal(w.status, 200);
	get(&w, "/api/v1/status/buildinfo");
	assert_int_equal(w.status, 200);
	/* The end comes while one runs: it gets the lock, and sees that nobody waits for it. */
	world_stop(&w);
	for (size_t i = 0; i < HG_COUNT(fd); i++)
		close(fd[i]);
}

/* However few samples they have: finding them alone would hold up the loop. */
static void many_series_are_looked_for_on_a_thread(void **state)
{
	struct world w;
	char name[16];
	(void)state;
	world_start(&w, NULL);
	for (int i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof name, "s%03d", i);
		add(&w, "few", name, "", i, 0, 1);
	}
	hold(&w, true);
	int fd = send_text(&w, "GET /api/v1/query?query=count(few) HTTP/1.1\r\nHost: t\r\n"
	                       "Connection: close\r\n\r\n");
	turn_until(&w, 1, 0);
	hold(&w, false);
	read_answer(&w, fd);
	assert_has(&w, 200, "\"300\"");
	/* These are found at once, and answered. */
	hold(&w, true);
	get(&w, "/api/v1/query?query=few%7Ba=~%22s00.%22%7D");
	assert_has(&w, 200, "\"s009\"");
	world_stop(&w);
}

/* match[] may come thousands of times, each with all series. */
static void selections_of_one_request_count_together(void **state)
{
	struct world w;
	struct tsdb_selection *sel = NULL;
	(void)state;
	world_start(&w, NULL);
	add(&w, "m", "x", "", 1, 0, 1);
	struct pa_job job = {.p = w.api, .start_ms = NOW - 1, .end_ms = NOW, .brief = true};
	for (int i = 0; i < 3; i++) {
		uint64_t before = job.selected;
		assert_true(pa_select(&job, "match[]", NULL, 0, &sel));
		assert_true(job.selected > before);
		tsdb_selection_free(sel);
	}
	job.selected = TSDB_SELECT_BYTES - 1;
	assert_false(pa_select(&job, "match[]", NULL, 0, &sel));
	assert_int_equal(job.error.kind, PA_EXECUTION);
	assert_non_null(strstr(job.error.text, "does not fit in memory"));
	world_stop(&w);
}

/* It reads nothing at all, and would have kept the loop for a minute. */
static void long_work_is_not_done_on_the_loop(void **state)
{
	struct world w;
	(void)state;
	world_start(&w, NULL);
	uint64_t began = clock_mono_ms();
	int fd = send_text(&w,
	        "GET "
	        "/api/v1/query_range?query=quantile_over_time(0.5,vector(time()%257919)[30000s:1s])"
	        "&start=1699990000&end=1700000000&step=1 HTTP/1.1\r\nHost: t\r\n\r\n");
	turn_until(&w, 1, 0);
	assert_true(clock_mono_ms() < began + 5000);
	/* Nor is it when nobody waits for it any more. */
	close(fd);
	turn_until(&w, 0, 0);
	while (!hg_list_empty(&w.api->jobs))
		turn(&w);
	assert_true(clock_mono_ms() < began + 10000);
	world_stop(&w);
}

static void a_query_ends_at_its_deadline_and_at_its_memory(void **state)
{
	struct promapi_options o = {.memory_max = (size_t)16 << 20};
	struct world w;
	struct promapi_stats st;
	(void)state;
	world_start(&w, &o);
	many(&w);
	hold(&w, true);
	int fd = send_text(&w, "GET " MANY "&timeout=50ms HTTP/1.1\r\nHost: t\r\nConnection: "
	                       "close\r\n\r\n");
	turn_until(&w, 1, 0);
	for (uint64_t until = clock_mono_ms() + 60; clock_mono_ms() < until;)
		turn(&w);
	hold(&w, false);
	read_answer(&w, fd);
	assert_has(&w, 503,
	        "\"errorType\":\"timeout\",\"error\":\"query timed out in query "
	        "execution\"");
	/* Each takes half at most; what an answer holds that nobody reads, others do not have. */
	get(&w, "/api/v1/query_range?query=many%2Bmany&start=1699990000&end=1700000000&step=1");
	assert_has(&w, 422, "\"errorType\":\"execution\"");
	atomic_fetch_add(&w.api->memory, (size_t)14 << 20);
	get(&w, MANY);
	assert_has(&w, 503, "hold all the memory that queries may have");
	atomic_fetch_sub(&w.api->memory, (size_t)14 << 20);
	promapi_stats(w.api, &st);
	assert_int_equal(st.memory, 0);
	assert_int_equal(st.timed_out, 1);
	assert_int_equal(st.refused, 1);
	world_stop(&w);
}

/* Its answer stays where it is; it goes when the client does. */
static void who_reads_slowly_holds_up_nobody(void **state)
{
	struct world w;
	struct promapi_stats st = {0};
	(void)state;
	world_start(&w, NULL);
	many(&w);
	int fd = ask_many(&w);
	while (!st.memory || st.running || st.waiting) {
		turn(&w);
		promapi_stats(w.api, &st);
	}
	get(&w, MANY);
	assert_many(&w);
	promapi_stats(w.api, &st);
	assert_true(st.memory > 0);
	close(fd);
	while (!hg_list_empty(&w.api->jobs))
		turn(&w);
	promapi_stats(w.api, &st);
	assert_int_equal(st.memory, 0);
	world_stop(&w);
}

#define COLUMNS_OF(more) "start=1699999940&end=1700000000&step=15" more

static void columns_are_values_by_step_and_errors_in_their_place(void **state)
{
	struct world w;
	(void)state;
	world_start(&w, NULL);
	add(&w, "n_total", "x", "", 0, 0.5, 3);
	add(&w, "huge", "", "", 1e22, 0, 1);
	ask(&w, "POST", "/v1/columns", "",
	        COLUMNS_OF("&query=n_total offset 30s&query=sum(&query=huge*vector(1)-30&query=nope"
	                   "&query=vector(1)/0&query=n_total[1m]"));
	assert_answer(&w, 200,
	        "{\"schema\":\"headgate.columns/1\",\"start_ms\":1699999940000,\"step_ms\":15000,"
	        "\"n\":5,\"results\":[{\"error\":null,\"series\":[{\"labels\":{\"__name__\":"
	        "\"n_total\",\"a\":\"x\"},\"values\":[null,null,null,null,0]}]},"
	        "{\"error\":\"invalid parameter \\\"query\\\": 1:5: parse error: unexpected end of "
	        "input in "
	        "expression\",\"series\":[]},{\"error\":null,\"series\":[{\"labels\":{},\"values\":"
	        "[null,null,null,null,1e+22]}]},"
	        "{\"error\":null,\"series\":[]},{\"error\":null,\"series\":[{\"labels\":{},"
	        "\"values\":[null,null,null,null,null]}]},{\"error\":\"invalid parameter "
	        "\\\"query\\\": invalid expression type \\\"range vector\\\" for range query, must "
	        "be Scalar or instant Vector\",\"series\":[]}]}\n");
	/* What is wrong with all of it is a problem as in the rest of Headgate's own API. */
	ask(&w, "POST", "/v1/columns", "", COLUMNS_OF(""));
	assert_has(&w, 400, "\"detail\":\"invalid parameter \\\"query\\\": it is there 0 times");
	ask(&w, "POST", "/v1/columns", "", "query=1&start=1&end=2");
	assert_has(&w, 400, "\"status\":400,");
	ask(&w, "POST", "/v1/columns", "", "query=%zz");
	assert_has(&w, 400, "invalid URL escape");
	get(&w, "/v1/columns?query=1&start=1&end=2&step=1");
	assert_int_equal(w.status, 405);
	world_stop(&w);
}

static void long_columns_come_in_slices_and_share_the_memory(void **state)
{
	struct promapi_options o = {.memory_max = (size_t)64 << 20};
	struct world w;
	struct promapi_stats st;
	(void)state;
	world_start(&w, &o);
	many(&w);
	ask(&w, "POST", "/v1/columns", "",
	        "query=many&query=many%2Bmany&query=1&start=1699990000&end=1700000000&step=4");
	assert_int_equal(w.status, 200);
	json_t *j = json_loadb(w.body.p, w.body.n, 0, NULL);
	json_t *all = json_object_get(j, "results"), *first = json_array_get(all, 0);
	assert_int_equal(json_array_size(all), 3);
	json_t *series = json_array_get(json_object_get(first, "series"), 1);
	assert_int_equal(json_array_size(json_object_get(series, "values")), 2501);
	/* The second had what the first one left. */
	assert_true(json_is_string(json_object_get(json_array_get(all, 1), "error")));
	assert_true(json_is_null(json_object_get(json_array_get(all, 2), "error")));
	json_decref(j);
	/* Wherever a slice ends: also right behind a series' labels. */
	for (int end = 1699993900; end < 1699994200; end += 15) {
		char target[128];
		snprintf(target, sizeof target,
		        "/api/v1/query_range?query=many&start=1699993600&end=%d&step=15", end);
		get(&w, target);
		assert_non_null(j = json_loadb(w.body.p, w.body.n, 0, NULL));
		json_decref(j);
	}
	promapi_stats(w.api, &st);
	assert_int_equal(st.memory, 0);
	world_stop(&w);
}

static void stats_say_how_much_was_read(void **state)
{
	struct world w;
	(void)state;
	world_start(&w, NULL);
	add(&w, "up", "x", "", 1, 0, 20);
	get(&w, "/api/v1/query?query=sum_over_time(up%5B1m%5D)&stats=all");
	assert_has(&w, 200, "\"stats\":{\"timings\":{\"evalTotalTime\":0.");
	assert_has(&w, 200, "\"samples\":{\"totalQueryableSamples\":4}}}}");
	world_stop(&w);
}

static void what_makes_the_series_is_counted(void **state)
{
	struct world w;
	(void)state;
	world_start(&w, NULL);
	get(&w, "/api/v1/status/tsdb");
	assert_has(&w, 200, "\"numSeries\":0,\"numLabelPairs\":0,");
	add(&w, "up", "x", "", 1, 0, 1);
	add(&w, "up", "y", "", 1, 0, 1);
	add(&w, "up", "z", "", 1, 0, 1);
	add(&w, "long", "x", "bbbb", 1, 0, 2);
	get(&w, "/api/v1/status/tsdb");
	assert_answer(&w, 200,
	        OK_DATA
	        "{\"headStats\":{\"numSeries\":4,\"numLabelPairs\":6,\"chunkCount\":0,\"minTime\":"
	        "1699999985000,\"maxTime\":1700000000000},\"seriesCountByMetricName\":[{\"name\":"
	        "\"up\",\"value\":3},{\"name\":\"long\",\"value\":1}],"
	        "\"labelValueCountByLabelName\":[{\"name\":\"a\",\"value\":3},{\"name\":"
	        "\"__name__\",\"value\":2},{\"name\":\"b\",\"value\":1}],"
	        "\"memoryInBytesByLabelName\":[{\"name\":\"__name__\",\"value\":6},{\"name\":\"b\","
	        "\"value\":4},{\"name\":\"a\",\"value\":3}],\"seriesCountByLabelValuePair\":[{"
	        "\"name\":\"__name__=up\",\"value\":3},{\"name\":\"a=x\",\"value\":2},{\"name\":"
	        "\"__name__=long\",\"value\":1},{\"name\":\"a=y\",\"value\":1},{\"name\":\"a=z\","
	        "\"value\":1},{\"name\":\"b=bbbb\",\"value\":1}]}}");
	get(&w, "/api/v1/status/tsdb?limit=1");
	assert_has(&w, 200,
	        "\"seriesCountByLabelValuePair\":[{\"name\":\"__name__=up\",\"value\":3}]}}");
	get(&w, "/api/v1/status/tsdb?limit=x");
	assert_has(&w, 400, "bad_data");
	world_stop(&w);
}

struct rules_seen {
	struct promapi_rules_ask ask;
	bool has_name, has_other;
};

static void fake_rules(void *arg, const struct promapi_rules_ask *ask, struct json_out *j)
{
	struct rules_seen *seen = arg;
	seen->ask = *ask;
	seen->has_name = promapi_wanted(ask->names, ask->name_n, HG_STR("n"));
	seen->has_other = promapi_wanted(ask->names, ask->name_n, HG_STR("o"));
	json_out_raw(j, HG_STR("{\"groups\":[1]}"));
}

static void fake_alerts(void *arg, struct json_out *j)
{
	(void)arg;
	json_out_raw(j, HG_STR("{\"alerts\":[2]}"));
}

static void rules_and_alerts_are_asked_of_who_has_them(void **state)
{
	struct world w;
	struct rules_seen seen = {0};
	struct promapi_rules r = {&seen, fake_rules, fake_alerts};
	(void)state;
	world_start(&w, NULL);
	promapi_rules_set(w.api, &r);
	get(&w, "/api/v1/rules?type=alert&rule_name[]=n&exclude_alerts=true");
	assert_answer(&w, 200, OK_DATA "{\"groups\":[1]}}");
	assert_true(seen.ask.alerting && !seen.ask.recording && seen.ask.without_alerts);
	assert_true(seen.has_name && !seen.has_other);
	get(&w, "/api/v1/rules");
	assert_true(seen.ask.alerting && seen.ask.recording && !seen.ask.without_alerts);
	assert_true(seen.has_name && seen.has_other);
	get(&w, "/api/v1/alerts");
	assert_answer(&w, 200, OK_DATA "{\"alerts\":[2]}}");
	promapi_rules_set(w.api, NULL);
	get(&w, "/api/v1/alerts");
	assert_answer(&w, 200, OK_DATA "{\"alerts\":[]}}");
	world_stop(&w);
}

static void names_that_old_readers_do_not_know_are_made_for_them(void **state)
{
	struct world w;
	(void)state;
	world_start(&w, NULL);
	add(&w, "my.m\xc3\xa9tric", "x", "", 1, 0, 1);
	add(&w, "7th", "a\\b\nc", "", 2, 0, 1);
	get(&w, "/federate?match[]=%7B__name__=~%22.%2B%22%7D");
	assert_answer(&w, 200,
	        "# TYPE _th untyped\n_th{a=\"a\\\\b\\nc\",instance=\"\"} 2 1700000000000\n"
	        "# TYPE my_m_tric untyped\nmy_m_tric{a=\"x\",instance=\"\"} 1 1700000000000\n");
	world_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(queries_are_answered_to_the_byte),
	        cmocka_unit_test(errors_are_prometheus_errors),
	        cmocka_unit_test(large_answers_are_streamed_and_compressed),
	        cmocka_unit_test(a_client_that_goes_away_takes_its_query_along),
	        cmocka_unit_test(more_than_may_wait_are_told_to_come_again),
	        cmocka_unit_test(many_series_are_looked_for_on_a_thread),
	        cmocka_unit_test(selections_of_one_request_count_together),
	        cmocka_unit_test(long_work_is_not_done_on_the_loop),
	        cmocka_unit_test(a_query_ends_at_its_deadline_and_at_its_memory),
	        cmocka_unit_test(who_reads_slowly_holds_up_nobody),
	        cmocka_unit_test(columns_are_values_by_step_and_errors_in_their_place),
	        cmocka_unit_test(long_columns_come_in_slices_and_share_the_memory),
	        cmocka_unit_test(stats_say_how_much_was_read),
	        cmocka_unit_test(what_makes_the_series_is_counted),
	        cmocka_unit_test(rules_and_alerts_are_asked_of_who_has_them),
	        cmocka_unit_test(names_that_old_readers_do_not_know_are_made_for_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
