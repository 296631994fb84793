#include "../test.h"

#include "serve/serve.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TURNS_MAX 4000

/* A server and one client in the same thread; the test turns the loop until it sees what it
 * waits for, and fails after TURNS_MAX turns of up to 5 ms. */
struct world {
	struct loop *l;
	struct serve *s;
	int listener, fd;
	struct sock_addr addr;
	char got[4 << 20];
	size_t n;
	bool closed;
	/* what the handler saw and does */
	struct serve_call *call;
	unsigned handled, done, gone, drained;
	unsigned done_status;
	uint64_t written;
	uint32_t uid;
	bool stream_forever, told_full;
};

static void on_gone(void *arg)
{
	((struct world *)arg)->gone++;
}

static void on_writable(void *arg)
{
	struct world *w = arg;
	static const char block[32768];
	while (w->stream_forever) {
		w->written += sizeof block;
		if (!serve_write(w->call, (struct hg_str){block, sizeof block})) {
			w->told_full = true;
			return;
		}
	}
}

static void handle(void *arg, struct serve_call *c, const struct serve_request *req)
{
	struct world *w = arg;
	w->handled++;
	w->call = c;
	w->uid = req->peer_uid;
	if (hg_str_eq(req->path, HG_STR("/later"))) {
		serve_later(c, on_gone, w);
	} else if (hg_str_eq(req->path, HG_STR("/stream"))) {
		serve_stream(c, 200, "text/plain", on_writable, on_gone, w);
		serve_write(c, HG_STR("one"));
		serve_write(c, HG_STR(""));
		serve_write(c, HG_STR("two"));
		serve_end(c);
	} else if (hg_str_eq(req->path, HG_STR("/endless"))) {
		serve_stream(c, 200, "text/plain", on_writable, on_gone, w);
		on_writable(w);
	} else if (hg_str_eq(req->path, HG_STR("/abort"))) {
		serve_abort(c);
	} else if (hg_str_eq(req->path, HG_STR("/nothing"))) {
		return;
	} else if (hg_str_eq(req->path, HG_STR("/empty"))) {
		serve_answer(c, 204, NULL, (struct hg_str){0});
	} else if (hg_str_eq(req->path, HG_STR("/large"))) {
		char *body = calloc(1, 3 << 20);
		assert_non_null(body);
		serve_answer(c, 200, "x/y", (struct hg_str){body, 3 << 20});
		free(body);
	} else {
		serve_field(c, "X-Path", req->path);
		serve_field(c, "X-Evil", HG_STR("a\r\nSet-Cookie: b"));
		serve_answer(c, 200, "text/plain", req->body);
	}
}

static void on_done(void *arg, const struct serve_request *req, unsigned status, uint64_t bytes,
        uint64_t duration_ns)
{
	struct world *w = arg;
	(void)req, (void)bytes, (void)duration_ns;
	w->done++;
	w->done_status = status;
}

static void on_drained(void *arg)
{
	((struct world *)arg)->drained++;
}

static int client(struct world *w)
{
	int fd = sock_connect(&w->addr);
	assert_true(fd >= 0);
	return fd;
}

static struct world *world_with(struct serve_options o, const char *address)
{
	struct world *w = calloc(1, sizeof *w);
	assert_non_null(w);
	o.handle = handle;
	o.name = "test";
	o.arg = w;
	assert_int_equal(loop_new(&w->l), HG_OK);
	assert_true(sock_addr_parse(hg_str(address), &w->addr));
	w->listener = sock_listen(&w->addr, 64);
	assert_true(w->listener >= 0);
	assert_true(sock_local(w->listener, &w->addr));
	assert_int_equal(serve_new(w->l, &o, &w->s), HG_OK);
	assert_int_equal(serve_listen(w->s, w->listener, 7), HG_OK);
	w->fd = client(w);
	return w;
}

static struct world *world(void)
{
	return world_with((struct serve_options){.done = on_done, .body_max = 1000}, "127.0.0.1:0");
}

static void world_end(struct world *w)
{
	serve_free(w->s);
	loop_free(w->l);
	close(w->listener);
	close(w->fd);
	free(w);
}

static void turn(struct world *w)
{
	ssize_t n = 0;
	assert_int_equal(loop_turn(w->l, 5), HG_OK);
	while (w->n < sizeof w->got && !w->closed) {
		n = recv(w->fd, w->got + w->n, sizeof w->got - w->n, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) return;
		if (n <= 0) w->closed = true;
		if (n > 0) w->n += (size_t)n;
	}
}

#define UNTIL(w, cond)                                                                 \
	do {                                                                           \
		for (int i_ = 0; !(cond); i_++) {                                      \
			if (i_ == TURNS_MAX)                                           \
				fail_msg("waited in vain for %s; got \"%.*s\"", #cond, \
				        (int)HG_MIN((w)->n, (size_t)600), (w)->got);   \
			turn(w);                                                       \
		}                                                                      \
	} while (0)

static void put(struct world *w, struct hg_str s)
{
	for (int i = 0; s.n; i++) {
		assert_true(i < TURNS_MAX);
		ssize_t n = send(w->fd, s.p, s.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			s.p += n;
			s.n -= (size_t)n;
		} else {
			assert_true(errno == EAGAIN || errno == ENOTCONN);
			turn(w);
		}
	}
}

static bool has(struct world *w, const char *text)
{
	return memmem(w->got, w->n, text, strlen(text)) != NULL;
}

static unsigned count(struct world *w, const char *text)
{
	unsigned k = 0;
	size_t n = strlen(text);
	for (char *p = w->got; (p = memmem(p, w->n - (size_t)(p - w->got), text, n)); p += n)
		k++;
	return k;
}

#define HOST "Host: a\r\n"

static void a_request_sent_in_pieces_is_answered(void **s)
{
	struct hg_str text =
	        HG_STR("POST /a/../b%20c?q HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello");
	struct world *w = world();
	(void)s;
	for (size_t i = 0; i < text.n; i++) {
		put(w, (struct hg_str){text.p + i, 1});
		turn(w);
	}
	UNTIL(w, has(w, "\r\n\r\nhello") && w->done == 1);
	assert_true(has(w, "HTTP/1.1 200 OK\r\nDate: "));
	assert_true(has(w, "X-Path: /b c\r\nX-Evil: a  Set-Cookie: b\r\n"));
	assert_true(has(w, "Content-Length: 5\r\n"));
	assert_true(has(w, "Server: test\r\n"));
	assert_int_equal(w->done_status, 200);
	assert_int_equal(w->uid, UINT32_MAX);
	world_end(w);
}

static void pipelined_requests_are_answered_in_order(void **s)
{
	for (int with_done = 0; with_done < 2; with_done++) {
		struct serve_options o = {.done = with_done ? on_done : NULL};
		struct world *w = world_with(o, "127.0.0.1:0");
		(void)s;
		put(w, HG_STR("GET /1 HTTP/1.1\r\n" HOST "\r\n"
		              "POST /2 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
		              "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
		              "HEAD /3 HTTP/1.1\r\n" HOST "\r\n"
		              "GET /stream HTTP/1.1\r\n" HOST "\r\n"
		              "GET /empty HTTP/1.1\r\n" HOST "\r\n"
		              "GET /4 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"));
		UNTIL(w, w->closed);
		assert_int_equal(w->handled, 6);
		assert_int_equal(w->done, with_done ? 6 : 0);
		char *one = memmem(w->got, w->n, "X-Path: /1", 10);
		char *two = memmem(w->got, w->n, "\r\n\r\nabcdeHTTP", 13);
		char *three = memmem(w->got, w->n, "X-Path: /3", 10);
		char *stream = memmem(
		        w->got, w->n, "\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\nHTTP/1.1 204 ", 38);
		char *four = memmem(w->got, w->n, "X-Path: /4", 10);
		assert_true(one && two && three && stream && four);
		assert_true(one < two && two < three && three < stream && stream < four);
		assert_int_equal(count(w, "Connection: close\r\n"), 1);
		world_end(w);
	}
}

static void what_cannot_be_served_is_refused_and_the_connection_closed(void **s)
{
	static const struct {
		struct hg_str text;
		const char *want;
	} row[] = {
	        {HG_STR("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 400 "},
	        {HG_STR("GET /%00 HTTP/1.1\r\n" HOST "\r\n"), "HTTP/1.1 400 "},
	        {HG_STR("GET / HTTP/2.0\r\n" HOST "\r\n"), "HTTP/1.1 505 "},
	        {HG_STR("POST / HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n"),
	                "HTTP/1.1 413 "},
	        {HG_STR("POST / HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n"
	                "Expect: 100-continue\r\n\r\n"),
	                "HTTP/1.1 413 "},
	        {HG_STR("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nx\r\n"),
	                "HTTP/1.1 400 "},
	        {HG_STR("CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n"), "HTTP/1.1 501 "},
	        {HG_STR("GET /nothing HTTP/1.1\r\n" HOST "\r\n"), "HTTP/1.1 500 "},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct world *w = world();
		put(w, row[i].text);
		put(w, HG_STR("GET /smuggled HTTP/1.1\r\n" HOST "\r\n"));
		UNTIL(w, has(w, row[i].want));
		UNTIL(w, w->closed);
		assert_int_equal(count(w, "HTTP/1.1 "), 1);
		assert_true(has(w, "Connection: close\r\n"));
		assert_false(has(w, "smuggled"));
		world_end(w);
	}
}

static void a_chunked_body_over_the_limit_is_413(void **s)
{
	struct world *w = world();
	(void)s;
	put(w, HG_STR("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"));
	for (int i = 0; i < 1100 && !has(w, "413"); i++)
		put(w, HG_STR("1\r\nx\r\n"));
	UNTIL(w, has(w, "HTTP/1.1 413 "));
	assert_int_equal(w->handled, 0);
	world_end(w);
}

static void continue_is_sent_before_the_body(void **s)
{
	struct world *w = world();
	(void)s;
	put(w, HG_STR("POST /x HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n"
	              "Content-Length: 3\r\n\r\n"));
	UNTIL(w, has(w, "HTTP/1.1 100 Continue\r\n\r\n"));
	put(w, HG_STR("abc"));
	UNTIL(w, has(w, "\r\n\r\nabc"));
	world_end(w);
}

static void slow_senders_meet_a_deadline(void **s)
{
	static const struct {
		const char *text, *want;
	} row[] = {
	        {"", ""},
	        {"GET / HT", "HTTP/1.1 408 "},
	        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nab", "HTTP/1.1 408 "},
	        {"GET / HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 200 "},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct world *w = world_with(
		        (struct serve_options){.header_ms = 30, .body_ms = 30, .keepalive_ms = 30},
		        "127.0.0.1:0");
		put(w, hg_str(row[i].text));
		UNTIL(w, w->closed);
		assert_true(has(w, row[i].want));
		assert_int_equal(w->n == 0, row[i].want[0] == 0);
		world_end(w);
	}
}

static void a_stream_stops_when_the_reader_does(void **s)
{
	struct world *w = world();
	(void)s;
	w->stream_forever = true;
	put(w, HG_STR("GET /endless HTTP/1.1\r\n" HOST "\r\n"));
	/* Nothing is read here: the writer has to be told that it is enough. */
	for (int i = 0; i < 50 || !w->told_full; i++) {
		assert_true(i < TURNS_MAX);
		assert_int_equal(loop_turn(w->l, 1), HG_OK);
	}
	uint64_t written = w->written;
	for (int i = 0; i < 20; i++)
		assert_int_equal(loop_turn(w->l, 1), HG_OK);
	assert_true(w->written == written);
	UNTIL(w, w->written > written && w->n > 1000000);
	close(w->fd);
	w->closed = true;
	UNTIL(w, w->gone == 1 && w->done == 1);
	assert_int_equal(serve_connections(w->s), 0);
	w->fd = client(w);
	world_end(w);
}

static void a_large_answer_arrives_whole(void **s)
{
	struct world *w = world();
	(void)s;
	put(w, HG_STR("GET /large HTTP/1.0\r\n\r\n"));
	UNTIL(w, w->closed);
	assert_true(has(w, "Content-Length: 3145728\r\n"));
	char *body = memmem(w->got, w->n, "\r\n\r\n", 4);
	assert_non_null(body);
	assert_int_equal(w->n - (size_t)(body + 4 - w->got), 3 << 20);
	world_end(w);
}

static void an_answer_may_come_later_and_the_next_request_waits(void **s)
{
	struct world *w = world();
	(void)s;
	put(w, HG_STR("GET /later HTTP/1.1\r\n" HOST "\r\nGET /next HTTP/1.1\r\n" HOST "\r\n"));
	UNTIL(w, w->handled == 1);
	for (int i = 0; i < 5; i++)
		turn(w);
	assert_int_equal(w->handled, 1);
	serve_field(w->call, "X-Late", HG_STR("yes"));
	serve_answer(w->call, 200, "text/plain", HG_STR("late"));
	UNTIL(w, has(w, "X-Path: /next"));
	assert_true(has(w, "X-Late: yes"));
	assert_int_equal(w->gone, 0);
	world_end(w);
}

static void a_client_that_leaves_is_noticed_while_the_answer_is_awaited(void **s)
{
	struct world *w = world();
	(void)s;
	put(w, HG_STR("GET /later HTTP/1.1\r\n" HOST "\r\n"));
	UNTIL(w, w->handled == 1);
	close(w->fd);
	w->closed = true;
	UNTIL(w, w->gone == 1);
	assert_int_equal(w->done, 1);
	assert_int_equal(w->done_status, 0);
	w->fd = client(w);
	world_end(w);
}

static void an_aborted_call_closes_without_an_answer(void **s)
{
	struct world *w = world();
	(void)s;
	put(w, HG_STR("GET /abort HTTP/1.1\r\n" HOST "\r\n"));
	UNTIL(w, w->closed);
	assert_int_equal(w->n, 0);
	assert_int_equal(w->done, 1);
	assert_int_equal(w->done_status, 0);
	assert_int_equal(w->gone, 0);
	world_end(w);
}

#define IDLE 500

static void connections_that_wait_for_a_request_hold_no_buffers(void **s)
{
	struct world *w = world();
	static int fd[IDLE];
	(void)s;
	put(w, HG_STR("GET /warm HTTP/1.1\r\n" HOST "\r\n"));
	UNTIL(w, w->done == 1);
	size_t before = mallinfo2().uordblks;
	for (unsigned i = 0; i < IDLE; i++) {
		close(w->fd);
		w->fd = fd[i] = client(w);
		fd[i] = dup(fd[i]); /* stays open */
		assert_true(fd[i] >= 0);
		put(w, HG_STR("POST /x HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"));
		UNTIL(w, w->done == i + 2);
	}
	assert_true(serve_connections(w->s) >= IDLE);
	/* Sanitizers count otherwise: there this says nothing. */
	size_t grown = mallinfo2().uordblks - before;
	if (grown / IDLE >= 256) fail_msg("%zu bytes for each of %d", grown / IDLE, IDLE);
	/* Each of them is still served. */
	for (unsigned i = 0; i < IDLE; i++) {
		close(w->fd);
		w->fd = fd[i];
		w->n = 0;
		put(w, HG_STR("GET /again HTTP/1.1\r\n" HOST "\r\n"));
		UNTIL(w, has(w, "X-Path: /again"));
	}
	world_end(w);
}

static void draining_finishes_what_is_in_flight(void **s)
{
	struct world *w = world();
	int idle = client(w);
	(void)s;
	put(w, HG_STR("GET /later HTTP/1.1\r\n" HOST "\r\n"));
	UNTIL(w, w->handled == 1 && serve_connections(w->s) == 2);
	serve_drain(w->s, 60000, on_drained, w);
	UNTIL(w, serve_connections(w->s) == 1);
	assert_int_equal(w->drained, 0);
	serve_answer(w->call, 200, "text/plain", HG_STR("late"));
	UNTIL(w, w->drained == 1);
	UNTIL(w, w->closed);
	assert_true(has(w, "Connection: close\r\n"));
	assert_true(has(w, "\r\n\r\nlate"));
	close(idle);
	world_end(w);
}

static void draining_ends_at_its_deadline(void **s)
{
	struct world *w = world();
	(void)s;
	put(w, HG_STR("GET /later HTTP/1.1\r\n" HOST "\r\n"));
	UNTIL(w, w->handled == 1);
	serve_drain(w->s, 20, on_drained, w);
	UNTIL(w, w->drained == 1);
	assert_int_equal(serve_connections(w->s), 1);
	world_end(w);
}

static void a_full_pool_says_503(void **s)
{
	struct world *w = world_with((struct serve_options){.connections_max = 1}, "127.0.0.1:0");
	(void)s;
	UNTIL(w, serve_connections(w->s) == 1);
	int first = w->fd;
	w->fd = client(w);
	UNTIL(w, has(w, "HTTP/1.1 503 "));
	UNTIL(w, w->closed);
	close(w->fd);
	w->fd = first;
	w->n = 0;
	w->closed = false;
	put(w, HG_STR("GET /still HTTP/1.1\r\n" HOST "\r\n"));
	UNTIL(w, has(w, "X-Path: /still"));
	world_end(w);
}

static void own_error(void *arg, unsigned status, const char *what, struct hg_buf *body,
        const char **ret_content_type)
{
	(void)arg;
	*ret_content_type = "application/problem+json";
	hg_buf_fmt(body, "{\"status\":%u,\"detail\":\"%s\"}", status, what);
}

static void the_program_may_word_the_refusals(void **s)
{
	struct world *w =
	        world_with((struct serve_options){.error_body = own_error}, "127.0.0.1:0");
	(void)s;
	put(w, HG_STR("GET / HTTP/1.1\r\n\r\n"));
	UNTIL(w, has(w, "{\"status\":400,\"detail\":\"no Host field\"}"));
	assert_true(has(w, "Content-Type: application/problem+json\r\n"));
	world_end(w);
}

static void a_reader_that_stops_loses_its_connection(void **s)
{
	struct world *w =
	        world_with((struct serve_options){.write_ms = 30, .done = on_done}, "127.0.0.1:0");
	(void)s;
	w->stream_forever = true;
	put(w, HG_STR("GET /endless HTTP/1.1\r\n" HOST "\r\n"));
	for (int i = 0; w->gone == 0; i++) {
		assert_true(i < TURNS_MAX);
		assert_int_equal(loop_turn(w->l, 5), HG_OK);
	}
	assert_int_equal(w->done, 1);
	assert_int_equal(w->done_status, 200);
	assert_int_equal(serve_connections(w->s), 0);
	world_end(w);
}

static void a_stream_to_http_1_0_ends_with_the_connection(void **s)
{
	struct world *w = world();
	(void)s;
	put(w, HG_STR("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
	UNTIL(w, w->closed);
	assert_true(has(w, "Connection: close\r\n\r\nonetwo"));
	assert_false(has(w, "chunked"));
	world_end(w);
}

static void one_connection_carries_many_requests(void **s)
{
	struct world *w = world();
	(void)s;
	for (unsigned i = 1; i <= 2000; i++) {
		w->n = 0;
		put(w, HG_STR("GET /again HTTP/1.1\r\n" HOST "\r\n"));
		UNTIL(w, w->done == i && has(w, "\r\n\r\n"));
	}
	assert_int_equal(serve_connections(w->s), 1);
	world_end(w);
}

static void unix_peers_are_known_by_their_uid(void **s)
{
	char dir[] = "/tmp/serve-test-XXXXXX", address[64];
	(void)s;
	assert_non_null(mkdtemp(dir));
	snprintf(address, sizeof address, "unix:%s/s", dir);
	struct world *w = world_with((struct serve_options){0}, address);
	put(w, HG_STR("GET / HTTP/1.1\r\n" HOST "\r\n"));
	UNTIL(w, w->handled == 1);
	assert_int_equal(w->uid, getuid());
	world_end(w);
	unlink(address + 5);
	rmdir(dir);
}

static void query_values_are_decoded(void **s)
{
	char to[6];
	(void)s;
	assert_true(serve_query(HG_STR("a=1&b=x%20+y"), "b", to, sizeof to));
	assert_string_equal(to, "x  y");
	assert_false(serve_query(HG_STR("a=1"), "b", to, sizeof to));
	assert_false(serve_query(HG_STR("b=123456"), "b", to, sizeof to));
	assert_false(serve_query(HG_STR("b=%zz"), "b", to, sizeof to));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_request_sent_in_pieces_is_answered),
	        cmocka_unit_test(pipelined_requests_are_answered_in_order),
	        cmocka_unit_test(what_cannot_be_served_is_refused_and_the_connection_closed),
	        cmocka_unit_test(a_chunked_body_over_the_limit_is_413),
	        cmocka_unit_test(continue_is_sent_before_the_body),
	        cmocka_unit_test(slow_senders_meet_a_deadline),
	        cmocka_unit_test(a_stream_stops_when_the_reader_does),
	        cmocka_unit_test(a_large_answer_arrives_whole),
	        cmocka_unit_test(an_answer_may_come_later_and_the_next_request_waits),
	        cmocka_unit_test(a_client_that_leaves_is_noticed_while_the_answer_is_awaited),
	        cmocka_unit_test(an_aborted_call_closes_without_an_answer),
	        cmocka_unit_test(connections_that_wait_for_a_request_hold_no_buffers),
	        cmocka_unit_test(draining_finishes_what_is_in_flight),
	        cmocka_unit_test(draining_ends_at_its_deadline),
	        cmocka_unit_test(a_full_pool_says_503),
	        cmocka_unit_test(the_program_may_word_the_refusals),
	        cmocka_unit_test(a_reader_that_stops_loses_its_connection),
	        cmocka_unit_test(a_stream_to_http_1_0_ends_with_the_connection),
	        cmocka_unit_test(one_connection_carries_many_requests),
	        cmocka_unit_test(unix_peers_are_known_by_their_uid),
	        cmocka_unit_test(query_values_are_decoded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
