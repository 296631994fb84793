/* Prometheus' HTTP API at the admin address: passed on to observe, errors in its envelope. */
#include "../../test.h"

#include "world.h"

#include <sys/stat.h>
#include <unistd.h>

#include "os/sock.h"
#include "wire/base64.h"

static int observe_listen(struct world *w)
{
	struct sock_addr addr;
	char text[128];
	snprintf(text, sizeof text, "%s/run", w->dir);
	assert_int_equal(mkdir(text, 0700), 0);
	snprintf(text, sizeof text, "unix:%s/run/observe.sock", w->dir);
	assert_true(sock_addr_parse(hg_str(text), &addr));
	int listener = sock_listen(&addr, 128);
	assert_true(listener >= 0);
	return listener;
}

static int observe_accept(struct world *w, int listener)
{
	int fd = -1;
	while (fd < 0) {
		assert_int_equal(loop_turn(w->loop, 10), HG_OK);
		fd = sock_accept(listener, NULL);
	}
	return fd;
}

/* Until `last` was seen. */
static void observe_read(struct world *w, int fd, const char *last, struct hg_buf *ret_seen)
{
	while (!strstr(hg_buf_text(ret_seen), last)) {
		char *room = hg_buf_room(ret_seen, 4096);
		ssize_t n = read(fd, room, 4096);
		assert_int_not_equal(n, 0);
		if (n > 0) hg_buf_add(ret_seen, (size_t)n);
		assert_int_equal(loop_turn(w->loop, 1), HG_OK);
	}
}

static void observe_say(int fd, const char *answer)
{
	assert_int_equal(write(fd, answer, strlen(answer)), (ssize_t)strlen(answer));
}

/* Accepts once, reads until `last` was seen, writes `answer`, closes. */
static void observe_once(struct world *w, int listener, const char *last, const char *answer,
        struct hg_buf *ret_seen)
{
	int fd = observe_accept(w, listener);
	observe_read(w, fd, last, ret_seen);
	observe_say(fd, answer);
	close(fd);
}

static void until_answered(struct world *w, struct serve_call *c)
{
	while (!c->ended)
		assert_int_equal(loop_turn(w->loop, 100), HG_OK);
}

static void a_query_goes_to_observe_and_its_answer_comes_back(void **s)
{
	struct world *w = *s;
	struct serve_call c;
	struct hg_buf seen;
	int listener = observe_listen(w);
	hg_buf_init(&seen, 65536);
	ask(w,
	        &(struct ask){.method = "POST",
	                .path = "/api/v1/query",
	                .query = "time=1",
	                .body = "query=up%2B1",
	                .fields = "Accept-Encoding: gzip\r\nContent-Type: "
	                          "application/x-www-form-urlencoded\r\nCookie: secret\r\n"},
	        &c);
	assert_int_equal(w->api->query_count, 1);
	observe_once(w, listener, "query=up%2B1",
	        "HTTP/1.1 422 Unprocessable Entity\r\nContent-Type: application/json\r\n"
	        "Content-Encoding: gzip\r\nX-Other: 1\r\nContent-Length: 3\r\n\r\nabc",
	        &seen);
	until_answered(w, &c);
	assert_string_equal(hg_buf_text(&seen),
	        "POST /api/v1/query?time=1 HTTP/1.1\r\nHost: observe\r\n"
	        "Accept-Encoding: gzip\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	        "Content-Length: 12\r\n\r\nquery=up%2B1");
	assert_int_equal(c.status, 422);
	assert_string_equal(c.type, "application/json");
	assert_string_equal(hg_buf_text(&c.body), "abc");
	assert_string_equal(
	        hg_buf_text(&c.fields), "Content-Encoding: gzip\nCache-Control: no-store\n");
	assert_int_equal(w->api->query_count, 0);
	call_free(&c);
	hg_buf_free(&seen);
	close(listener);
}

#define ANSWER(text) "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" text

/* One question and its answer over a connection that is there, or is made (`fd` -1). */
static int question(struct world *w, int listener, int fd, const char *answer, const char *want)
{
	const struct ask q = {.method = "GET", .path = "/api/v1/query", .query = "query=1"};
	struct serve_call c;
	struct hg_buf seen;
	hg_buf_init(&seen, 65536);
	ask(w, &q, &c);
	if (fd < 0) fd = observe_accept(w, listener);
	observe_read(w, fd, "\r\n\r\n", &seen);
	assert_string_equal(
	        hg_buf_text(&seen), "GET /api/v1/query?query=1 HTTP/1.1\r\nHost: observe\r\n\r\n");
	observe_say(fd, answer);
	until_answered(w, &c);
	assert_int_equal(c.status, 200);
	assert_string_equal(hg_buf_text(&c.body), want);
	assert_int_equal(w->api->query_count, 0);
	call_free(&c);
	hg_buf_free(&seen);
	return fd;
}

static void many_questions_go_over_one_connection(void **s)
{
	struct world *w = *s;
	int listener = observe_listen(w);
	int fd = question(w, listener, -1, ANSWER("Content-Length: 1\r\n\r\na"), "a");
	assert_int_equal(w->api->link_count, 1);
	question(w, listener, fd, ANSWER("Content-Length: 0\r\n\r\n"), "");
	question(w, listener, fd, ANSWER("Transfer-Encoding: chunked\r\n\r\n2\r\nbc\r\n0\r\n\r\n"),
	        "bc");
	assert_int_equal(w->api->link_count, 1);
	/* Not after an answer that is the last one, nor one with something behind it. */
	question(w, listener, fd, ANSWER("Connection: close\r\nContent-Length: 1\r\n\r\nd"), "d");
	assert_int_equal(w->api->link_count, 0);
	close(fd);
	fd = question(
	        w, listener, -1, ANSWER("Content-Length: 1\r\n\r\neHTTP/1.1 200 OK\r\n"), "e");
	assert_int_equal(w->api->link_count, 0);
	close(fd);
	/* One that nobody needs is closed, and one that observe closes is not used. */
	fd = question(w, listener, -1, ANSWER("Content-Length: 1\r\n\r\nf"), "f");
	api_links_end(w->api, loop_now_ms(w->loop));
	assert_int_equal(w->api->link_count, 0);
	char byte;
	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
	fd = question(w, listener, -1, ANSWER("Content-Length: 1\r\n\r\ng"), "g");
	close(fd);
	while (w->api->link_count)
		assert_int_equal(loop_turn(w->loop, 10), HG_OK);
	close(question(w, listener, -1, ANSWER("Content-Length: 1\r\n\r\nh"), "h"));
	close(listener);
}

/* A connection that waited may be closed at the very moment at which it is needed. */
static void a_question_that_nobody_read_is_asked_again_and_no_other(void **s)
{
	struct world *w = *s;
	struct ask q = {.method = "GET", .path = "/api/v1/query", .query = "query=1"};
	struct serve_call c;
	struct hg_buf seen;
	int listener = observe_listen(w);
	hg_buf_init(&seen, 65536);
	/* Closed before it was written to, and after. */
	for (int after = 0; after < 2; after++) {
		int fd = question(w, listener, -1, ANSWER("Content-Length: 1\r\n\r\na"), "a");
		if (!after) close(fd);
		ask(w, &q, &c);
		if (after) close(fd);
		hg_buf_reset(&seen);
		observe_once(w, listener, "\r\n\r\n", ANSWER("Content-Length: 1\r\n\r\nb"), &seen);
		until_answered(w, &c);
		assert_int_equal(c.status, 200);
		call_free(&c);
		while (w->api->link_count)
			assert_int_equal(loop_turn(w->loop, 10), HG_OK);
	}
	/* Whoever read it may have died of it. */
	int fd = question(w, listener, -1, ANSWER("Content-Length: 1\r\n\r\na"), "a");
	ask(w, &q, &c);
	hg_buf_reset(&seen);
	observe_read(w, fd, "\r\n\r\n", &seen);
	close(fd);
	until_answered(w, &c);
	assert_int_equal(c.status, 503);
	assert_true(sock_accept(listener, NULL) < 0);
	call_free(&c);
	/* And a new connection that is not taken is no reason to try another. */
	ask(w, &q, &c);
	close(observe_accept(w, listener));
	until_answered(w, &c);
	assert_int_equal(c.status, 503);
	assert_true(sock_accept(listener, NULL) < 0);
	call_free(&c);
	hg_buf_free(&seen);
	close(listener);
}

static void assert_envelope(struct world *w, const struct ask *q, unsigned status, const char *type)
{
	struct serve_call c;
	ask(w, q, &c);
	json_t *j = json_loadb(c.body.p, c.body.n, 0, NULL);
	if (c.status != status || !j) fail_msg("%u %s", c.status, hg_buf_text(&c.body));
	assert_string_equal(c.type, "application/json");
	assert_string_equal(json_string_value(json_object_get(j, "status")), "error");
	assert_string_equal(json_string_value(json_object_get(j, "errorType")), type);
	assert_true(json_string_length(json_object_get(j, "error")) > 10);
	json_decref(j);
	call_free(&c);
}

static void errors_of_control_have_the_envelope_that_clients_know(void **s)
{
	struct world *w = *s;
	static const struct {
		struct ask q;
		unsigned status;
		const char *type;
	} row[] = {
	        /* Observe is not there. */
	        {{.method = "GET", .path = "/api/v1/query", .query = "query=1"}, 503,
	                "unavailable"},
	        {{.method = "GET", .path = "/api/v1/label/a/values"}, 503, "unavailable"},
	        {{.method = "GET", .path = "/api/v1/status/buildinfo"}, 503, "unavailable"},
	        {{.method = "GET", .path = "/api/v1/query", .tcp = true}, 401, "unauthorized"},
	        {{.method = "GET", .path = "/api/v1/query", .uid = 7}, 403, "forbidden"},
	        {{.method = "GET", .path = "/api/v1/nope"}, 404, "not_found"},
	        {{.method = "DELETE", .path = "/api/v1/query"}, 405, "bad_data"},
	};
	for (size_t i = 0; i < HG_COUNT(row); i++)
		assert_envelope(w, &row[i].q, row[i].status, row[i].type);
	/* Who is no program of Prometheus' gets problems as ever. */
	char text[128];
	text_of(ask_json(w, &(struct ask){.method = "GET", .path = "/federate"}, 502), "detail",
	        text);
	assert_non_null(strstr(text, "the metrics store does not answer"));
	assert_int_equal(w->api->query_count, 0);
}

static void basic(const char *user, const char *password, char to[256])
{
	struct hg_buf plain, text;
	hg_buf_init(&plain, 256);
	hg_buf_init(&text, 256);
	hg_buf_fmt(&plain, "%s:%s", user, password);
	base64_encode(&text, hg_buf_view(&plain));
	snprintf(to, 256, "Authorization: Basic %s\r\n", hg_buf_text(&text));
	hg_buf_free(&plain);
	hg_buf_free(&text);
}

/* Data sources and scrapers often know a user and a password only. */
static void a_token_may_come_as_a_password(void **s)
{
	struct world *w = *s;
	char *viewer = token_new(w, "v", "viewer"), field[256];
	struct ask q = {.method = "GET", .path = "/v1/apps", .tcp = true, .fields = field};
	basic("anybody", viewer, field);
	assert_int_equal(ask_status(w, &q), 200);
	basic("", viewer, field);
	assert_int_equal(ask_status(w, &q), 200);
	basic("anybody", "wrong", field);
	assert_int_equal(ask_status(w, &q), 401);
	basic(viewer, "", field);
	assert_int_equal(ask_status(w, &q), 401);
	snprintf(field, sizeof field, "Authorization: Basic %s\r\n", viewer); /* not base64 */
	assert_int_equal(ask_status(w, &q), 401);
	snprintf(field, sizeof field, "Authorization: Basic YWJj\r\n"); /* "abc": no colon */
	assert_int_equal(ask_status(w, &q), 401);
	snprintf(field, sizeof field, "Authorization: Basic\r\n");
	assert_int_equal(ask_status(w, &q), 401);
	free(viewer);
}

static void queries_are_limited_apart_from_log_streams(void **s)
{
	struct world *w = *s;
	struct ask q = {.method = "GET", .path = "/api/v1/query", .query = "query=1"};
	struct serve_call calls[API_QUERIES_MAX];
	int listener = observe_listen(w);
	for (size_t i = 0; i < HG_COUNT(calls); i++)
		ask(w, &q, &calls[i]);
	assert_int_equal(w->api->query_count, API_QUERIES_MAX);
	assert_int_equal(w->api->log_count, 0);
	assert_envelope(w, &q, 503, "unavailable");
	api_streams_end(w->api);
	for (size_t i = 0; i < HG_COUNT(calls); i++) {
		assert_int_equal(calls[i].status, 503);
		call_free(&calls[i]);
	}
	assert_int_equal(w->api->query_count, 0);
	close(listener);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	        CASE(a_query_goes_to_observe_and_its_answer_comes_back),
	        CASE(many_questions_go_over_one_connection),
	        CASE(a_question_that_nobody_read_is_asked_again_and_no_other),
	        CASE(errors_of_control_have_the_envelope_that_clients_know),
	        CASE(a_token_may_come_as_a_password),
	        CASE(queries_are_limited_apart_from_log_streams),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
