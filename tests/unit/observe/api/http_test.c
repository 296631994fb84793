/*
 * The API over a server on a socket. One thread: the test turns the loop until an answer is whole;
 * only the threads that evaluate queries run beside it.
 */
#include "../../test.h"

#include "observe/api/answer.c"
#include "observe/api/api.c"
#include "observe/scrape/scrape_priv.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/sock.h"

#define NOW 1700000000000ll

static int64_t now_ms(void)
{
	return NOW;
}

struct world {
	struct loop *loop;
	struct tsdb *db;
	struct observe_lock lock;
	struct promapi *api;
	struct serve *serve;
	int fd;
	struct sock_addr addr;
	/* The last answer. */
	struct hg_buf raw, body;
	unsigned status;
};

static void handle(void *arg, struct serve_call *call, const struct serve_request *req)
{
	struct world *w = arg;
	if (!promapi_http(w->api, call, req)) serve_answer(call, 204, NULL, (struct hg_str){0});
}

/* name, label=value pairs, samples every 15 s up to NOW with v = first + i * step */
static void add(struct world *w, const char *metric, const char *a, const char *b, double first,
        double step, int n)
{
	struct label l[3] = {
	        {LABEL_METRIC, hg_str(metric)}, {HG_STR("a"), hg_str(a)}, {HG_STR("b"), hg_str(b)}};
	struct labels ls = {l, b[0] ? 3 : a[0] ? 2 : 1};
	tsdb_ref ref;
	struct hg_err err = {0};
	if (tsdb_series(w->db, ls, &ref, &err) < 0) fail_msg("%s", err.message);
	for (int i = 0; i < n; i++)
		assert_int_equal(tsdb_append(w->db, ref, NOW - (int64_t)(n - 1 - i) * 15000,
		                         first + i * step),
		        HG_OK);
}

static void world_start(struct world *w, const struct promapi_options *like)
{
	struct tsdb_options to = {.window_ms = 7200000};
	struct hg_err err = {0};
	struct promapi_options o = like ? *like : (struct promapi_options){0};
	struct serve_options so = {.body_max = PROMAPI_BODY_MAX, .handle = handle, .arg = w};
	*w = (struct world){0};
	hg_buf_init(&w->raw, (size_t)256 << 20);
	hg_buf_init(&w->body, (size_t)256 << 20);
	observe_lock_init(&w->lock);
	assert_int_equal(tsdb_open(&to, &w->db, &err), HG_OK);
	assert_int_equal(loop_new(&w->loop), HG_OK);
	o.loop = w->loop;
	o.db = w->db;
	o.lock = &w->lock;
	o.now_ms = now_ms;
	o.version = "1.2.3";
	assert_int_equal(promapi_new(&o, &w->api, &err), HG_OK);
	assert_int_equal(serve_new(w->loop, &so, &w->serve), HG_OK);
	assert_true(sock_addr_parse(HG_STR("127.0.0.1:0"), &w->addr));
	w->fd = sock_listen(&w->addr, 64);
	assert_true(w->fd >= 0 && sock_local(w->fd, &w->addr));
	assert_int_equal(serve_listen(w->serve, w->fd, 0), HG_OK);
	observe_lock_take(&w->lock);
	loop_hooks(w->loop, observe_lock_give, observe_lock_take, &w->lock);
}

static void world_stop(struct world *w)
{
	serve_free(w->serve);
	promapi_free(w->api);
	loop_free(w->loop);
	observe_lock_give(&w->lock);
	observe_lock_fini(&w->lock);
	tsdb_close(w->db);
	sock_close(w->fd);
	hg_buf_free(&w->raw);
	hg_buf_free(&w->body);
}

static int send_text(struct world *w, const char *text)
{
	int fd = sock_connect(&w->addr);
	size_t n = strlen(text);
	assert_true(fd >= 0);
	for (size_t at = 0; at < n;) {
		ssize_t got =
		        sock_write(fd, (struct hg_str){text + at, n - at}, (struct hg_str){0});
		if (got > 0) at += (size_t)got;
		assert_true(got > 0 || got == -EAGAIN || got == -ENOTCONN);
		if (got <= 0) assert_int_equal(loop_turn(w->loop, 1), HG_OK);
	}
	return fd;
}

static void unchunk(struct world *w, struct hg_str from)
{
	struct http1_chunked c = {0};
	for (;;) {
		struct http1_span s = http1_chunked_next(&c, from);
		assert_int_not_equal(s.result, HTTP1_BAD);
		hg_buf_str(&w->body, s.data);
		from.p += s.used;
		from.n -= s.used;
		if (s.result == HTTP1_DONE) return;
		assert_true(s.used > 0); /* else it was cut */
	}
}

/* Until the server closes. */
static void read_answer(struct world *w, int fd)
{
	struct http1_head h;
	hg_buf_reset(&w->raw);
	hg_buf_reset(&w->body);
	for (;;) {
		char *to = hg_buf_room(&w->raw, 65536);
		ssize_t n = sock_read(fd, to, 65536);
		if (n == 0) break;
		if (n > 0) hg_buf_add(&w->raw, (size_t)n);
		if (n < 0 && n != -EAGAIN) break;
		if (n < 0) assert_int_equal(loop_turn(w->loop, 50), HG_OK);
	}
	sock_close(fd);
	enum http1_result got = http1_response(
	        hg_buf_view(&w->raw), 0, &HTTP1_LIMITS_DEFAULT, HTTP1_GET, false, &h);
	if (got != HTTP1_DONE) {
		w->status = 0;
		return;
	}
	struct hg_str rest = {w->raw.p + h.size, w->raw.n - h.size};
	w->status = h.status;
	if (h.body == HTTP1_BODY_CHUNKED)
		unchunk(w, rest);
	else
		hg_buf_str(&w->body, rest);
}

static void ask(struct world *w, const char *method, const char *target, const char *fields,
        const char *body)
{
	struct hg_buf b;
	hg_buf_init(&b, 8 << 20);
	hg_buf_fmt(
	        &b, "%s %s HTTP/1.1\r\nHost: t\r\nConnection: close\r\n%s", method, target, fields);
	if (body)
		hg_buf_fmt(&b,
		        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "
		        "%zu\r\n\r\n%s",
		        strlen(body), body);
	else
		hg_buf_cstr(&b, "\r\n");
	read_answer(w, send_text(w, hg_buf_text(&b)));
	hg_buf_free(&b);
}

static void get(struct world *w, const char *target)
{
	ask(w, "GET", target, "", NULL);
}

static void assert_answer(struct world *w, unsigned status, const char *body)
{
	if (w->status != status || !hg_str_eq(hg_buf_view(&w->body), hg_str(body)))
		fail_msg("%u %s\nwanted %u %s", w->status, hg_buf_text(&w->body), status, body);
}

static void assert_has(struct world *w, unsigned status, const char *part)
{
	if (w->status != status || !strstr(hg_buf_text(&w->body), part))
		fail_msg(
		        "%u %s\nwanted %u with %s", w->status, hg_buf_text(&w->body), status, part);
}

#define OK_DATA "{\"status\":\"success\",\"data\":"

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

static void what_metrics_mean_is_told_as_prometheus_does(void **state)
{
	static const struct {
		const char *target, *body;
	} row[] = {
	        {"/api/v1/metadata", OK_DATA
	                "{\"a_total\":[{\"type\":\"counter\",\"help\":\"One \\\"x\\\".\",\"unit\":"
	                "\"\"},{\"type\":\"gauge\",\"help\":\"Two.\",\"unit\":\"\"}],\"b\":[{"
	                "\"type\":\"gauge\",\"help\":\"\",\"unit\":\"\"}]}}"},
	        {"/api/v1/metadata?limit=1&limit_per_metric=1", OK_DATA
	                "{\"a_total\":[{\"type\":\"counter\",\"help\":\"One \\\"x\\\".\",\"unit\":"
	                "\"\"}]}}"},
	        {"/api/v1/metadata?metric=b&limit=-1",
	                OK_DATA "{\"b\":[{\"type\":\"gauge\",\"help\":\"\",\"unit\":\"\"}]}}"},
	        {"/api/v1/metadata?metric=c", OK_DATA "{}}"},
	        {"/api/v1/metadata?limit=0", OK_DATA "{}}"},
	        {"/api/v1/targets/metadata", OK_DATA "[]}"},
	        {"/api/v1/targets/metadata?match_target=%7Bjob%3D%22x%22%7D&metric=b&limit=2",
	                OK_DATA "[]}"},
	};
	struct world w;
	struct loop *loop = NULL;
	struct scrape *scrape = NULL;
	struct hg_err err = {0};
	(void)state;
	assert_int_equal(loop_new(&loop), HG_OK);
	struct scrape_options so = {.loop = loop, .now_ms = now_ms};
	assert_int_equal(scrape_new(&so, &scrape, &err), HG_OK);
	scrape_meta_own(scrape, HG_STR("b"), "gauge", HG_STR(""));
	scrape_meta_own(scrape, HG_STR("a_total"), "gauge", HG_STR("Two."));
	scrape_meta_own(scrape, HG_STR("a_total"), "counter", HG_STR("One \"x\"."));
	world_start(&w, &(struct promapi_options){.scrape = scrape});
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		get(&w, row[i].target);
		assert_answer(&w, 200, row[i].body);
	}
	get(&w, "/api/v1/metadata?limit=many");
	assert_answer(&w, 400,
	        "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"limit must be a "
	        "number\"}");
	get(&w, "/api/v1/targets/metadata?match_target=sum(up)");
	assert_int_equal(w.status, 400);
	world_stop(&w);
	scrape_free(scrape);
	loop_free(loop);
}

static void exemplars_are_those_of_the_series_that_are_asked_for(void **state)
{
#define FIRST                                                                                    \
	"{\"seriesLabels\":{\"__name__\":\"a_total\",\"x\":\"1\"},\"exemplars\":[{\"labels\":{"  \
	"\"trace_id\":\"t1\"},\"value\":\"2.5\",\"timestamp\":1700000000},{\"labels\":{\"trace_" \
	"id\":"                                                                                  \
	"\"t2\"},\"value\":\"+Inf\",\"timestamp\":1700000001.5}]}"
#define SECOND                                                                                  \
	"{\"seriesLabels\":{\"__name__\":\"b\"},\"exemplars\":[{\"labels\":{},\"value\":\"1\"," \
	"\"timestamp\":1700000000}]}"
	static const struct {
		const char *target, *body;
	} row[] = {
	        {"/api/v1/query_exemplars?query=a_total&start=0&end=1800000000",
	                OK_DATA "[" FIRST "]}"},
	        {"/api/v1/query_exemplars?query=sum(rate(a_total[5m]))/b",
	                OK_DATA "[" FIRST "," SECOND "]}"},
	        {"/api/v1/query_exemplars?query=b&start=1700000000&end=1700000000",
	                OK_DATA "[" SECOND "]}"},
	        {"/api/v1/query_exemplars?query=b&start=1700000001", OK_DATA "[]}"},
	        {"/api/v1/query_exemplars?query=a_total%7Bx=~%22%5B2-9%5D%22%7D", OK_DATA "[]}"},
	        {"/api/v1/query_exemplars?query=1", OK_DATA "[]}"},
	};
	struct label a[] = {{LABEL_METRIC, HG_STR("a_total")}, {HG_STR("x"), HG_STR("1")}};
	struct label b[] = {{LABEL_METRIC, HG_STR("b")}};
	struct label t[] = {{HG_STR("trace_id"), HG_STR("t1")}, {HG_STR("trace_id"), HG_STR("t2")}};
	struct world w;
	struct loop *loop = NULL;
	struct scrape *scrape = NULL;
	struct hg_err err = {0};
	(void)state;
	assert_int_equal(loop_new(&loop), HG_OK);
	struct scrape_options so = {.loop = loop, .now_ms = now_ms};
	assert_int_equal(scrape_new(&so, &scrape, &err), HG_OK);
	struct exemplars *x = &scrape->exemplars;
	assert_true(scrape_exemplar_is_new(x, 1, 1));
	scrape_exemplar_add(
	        x, (struct labels){a, 2}, (struct labels){t + 1, 1}, INFINITY, NOW + 1500);
	scrape_exemplar_add(x, (struct labels){b, 1}, (struct labels){0}, 1, NOW);
	scrape_exemplar_add(x, (struct labels){a, 2}, (struct labels){t, 1}, 2.5, NOW);
	world_start(&w, &(struct promapi_options){.scrape = scrape});
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		get(&w, row[i].target);
		assert_answer(&w, 200, row[i].body);
	}
	ask(&w, "POST", "/api/v1/query_exemplars", "", "query=b");
	assert_answer(&w, 200, OK_DATA "[" SECOND "]}");
	static const char *const wrong[] = {
	        "query=b&start=2&end=1", "query=b(", "", "query=b&start=x"};
	for (size_t i = 0; i < HG_COUNT(wrong); i++) {
		ask(&w, "POST", "/api/v1/query_exemplars", "", wrong[i]);
		assert_int_equal(w.status, 400);
	}
	world_stop(&w);
	scrape_free(scrape);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(queries_are_answered_to_the_byte),
	        cmocka_unit_test(errors_are_prometheus_errors),
	        cmocka_unit_test(large_answers_are_streamed_and_compressed),
	        cmocka_unit_test(a_client_that_goes_away_takes_its_query_along),
	        cmocka_unit_test(more_than_may_wait_are_told_to_come_again),
	        cmocka_unit_test(a_query_ends_at_its_deadline_and_at_its_memory),
	        cmocka_unit_test(who_reads_slowly_holds_up_nobody),
	        cmocka_unit_test(columns_are_values_by_step_and_errors_in_their_place),
	        cmocka_unit_test(long_columns_come_in_slices_and_share_the_memory),
	        cmocka_unit_test(stats_say_how_much_was_read),
	        cmocka_unit_test(what_makes_the_series_is_counted),
	        cmocka_unit_test(rules_and_alerts_are_asked_of_who_has_them),
	        cmocka_unit_test(names_that_old_readers_do_not_know_are_made_for_them),
	        cmocka_unit_test(what_metrics_mean_is_told_as_prometheus_does),
	        cmocka_unit_test(exemplars_are_those_of_the_series_that_are_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
