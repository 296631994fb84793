#include "rig.h"

#include "wire/tracectx.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

static void a_request_is_answered_by_a_replica_and_the_connection_goes_on(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	(void)state;
	for (int i = 0; i < 5; i++)
		talk(fd, GET, 200, "=");
	talk(fd, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 200, "=hello");
	assert_int_equal(g->rep[0].connections, 1);
	assert_int_equal(g->rep[0].requests, 6);
	close(fd);
	rig_free(g);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	struct rig *g = rig_new(rep_echo, 2);
	int fd = dial(g);
	static const char *body[] = {"=1", "=22", "=", "=333"};
	(void)state;
	put(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
	        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
	        "chunked\r\n\r\n2\r\n22\r\n0\r\n\r\n" GET
	        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n333");
	for (int i = 0; i < 4; i++) {
		struct resp *r = hear(fd);
		assert_non_null(r);
		assert_string_equal(r->body, body[i]);
		resp_free(r);
	}
	close(fd);
	rig_free(g);
}

static void a_request_that_comes_byte_by_byte_is_understood(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	const char *text = "\r\nPUT /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	                   "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n";
	(void)state;
	for (size_t i = 0; text[i]; i++) {
		put_all(fd, text + i, 1);
		if (i % 8 == 0) usleep(200);
	}
	struct resp *r = hear(fd);
	assert_non_null(r);
	assert_int_equal(r->status, 200);
	resp_free(r);
	close(fd);
	rig_free(g);
}

static void rep_chunked(struct replica *rep, int fd)
{
	while (rep_head(rep, fd)) {
		static const char *part[] = {"HTTP/1.1 200 OK\r\nTransfer-",
		        "Encoding: chunked\r\n", "\r\n3", "\r\nab", "c", "\r", "\n4\r\ndefg\r\n",
		        "0\r", "\n\r", "\n"};
		for (size_t i = 0; i < HG_COUNT(part); i++) {
			put(fd, part[i]);
			usleep(500);
		}
	}
}

static void chunked_responses_pass_and_are_unwrapped_for_http_1_0(void **state)
{
	struct rig *g = rig_new(rep_chunked, 1);
	int fd = dial(g);
	(void)state;
	talk(fd, GET, 200, "abcdefg");
	talk(fd, GET, 200, "abcdefg");
	close(fd);
	fd = dial(g);
	put(fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	struct resp *r = hear(fd);
	assert_non_null(r);
	assert_string_equal(r->body, "abcdefg");
	assert_true(r->closed);
	assert_null(strstr(r->head, "chunked"));
	assert_non_null(strstr(r->head, "Connection: close"));
	resp_free(r);
	close(fd);
	assert_int_equal(g->rep[0].connections, 1);
	rig_free(g);
}

static void rep_continue(struct replica *rep, int fd)
{
	char body[5];
	while (rep_head(rep, fd)) {
		if (strstr(rep->last, "/refused")) {
			put(fd, "HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno");
			continue;
		}
		put(fd, "HTTP/1.1 100 Continue\r\nX: y\r\n\r\n");
		if (!get_n(fd, body, 5)) return;
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
		put_all(fd, body, 5);
	}
}

static void a_client_that_waits_for_100_gets_the_replicas(void **state)
{
	struct rig *g = rig_new(rep_continue, 1);
	int fd = dial(g);
	(void)state;
	talk(fd, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
	        100, NULL);
	talk(fd, "hello", 200, "hello");
	/* One that did not ask gets no 100. */
	talk(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nworld", 200, "world");
	put(fd, "POST /refused HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
	        "5\r\n\r\n");
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 401);
	assert_non_null(strstr(r->head, "Connection: close"));
	resp_free(r);
	assert_true(closed(fd));
	close(fd);
	rig_free(g);
}

static void rep_bodiless(struct replica *rep, int fd)
{
	while (rep_head(rep, fd)) {
		if (strstr(rep->last, "/304")) {
			put(fd, "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\nETag: "
			        "\"x\"\r\n\r\n");
		} else if (strstr(rep->last, "/204")) {
			put(fd, "HTTP/1.1 204 No Content\r\n\r\n");
		} else if (strstr(rep->last, "HEAD ")) {
			put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
		} else {
			put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
		}
	}
}

static void responses_without_a_body_end_at_their_head(void **state)
{
	struct rig *g = rig_new(rep_bodiless, 1);
	int fd = dial(g);
	char v[64];
	(void)state;
	put(fd, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
	struct resp *r = hear_(fd, true);
	assert_string_equal(field(r->head, "Content-Length", v, sizeof v), "1000");
	resp_free(r);
	put(fd, "GET /304 HTTP/1.1\r\nHost: a\r\n\r\n");
	r = hear(fd);
	assert_int_equal(r->status, 304);
	assert_string_equal(field(r->head, "ETag", v, sizeof v), "\"x\"");
	resp_free(r);
	talk(fd, "GET /204 HTTP/1.1\r\nHost: a\r\n\r\n", 204, NULL);
	talk(fd, GET, 200, "");
	assert_int_equal(g->rep[0].connections, 1);
	close(fd);
	rig_free(g);
}

static void http_1_0_clients_are_served_as_they_ask(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	char v[64];
	(void)state;
	put(fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	struct resp *r = hear(fd);
	assert_string_equal(field(r->head, "Connection", v, sizeof v), "keep-alive");
	resp_free(r);
	put(fd, "GET / HTTP/1.0\r\n\r\n");
	r = hear(fd);
	assert_string_equal(field(r->head, "Connection", v, sizeof v), "close");
	resp_free(r);
	assert_true(closed(fd));
	close(fd);
	fd = dial(g);
	put(fd, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	r = hear(fd);
	assert_string_equal(field(r->head, "Connection", v, sizeof v), "close");
	resp_free(r);
	assert_true(closed(fd));
	close(fd);
	rig_free(g);
}

static void rep_until_close(struct replica *rep, int fd)
{
	if (!rep_head(rep, fd)) return;
	put(fd, "HTTP/1.0 200 OK\r\n\r\n");
	for (int i = 0; i < 100; i++)
		put(fd, "0123456789");
}

static void a_response_without_a_length_ends_with_its_connection(void **state)
{
	struct rig *g = rig_new(rep_until_close, 1);
	int fd = dial(g);
	(void)state;
	put(fd, GET);
	struct resp *r = hear(fd);
	assert_int_equal(r->n, 1000);
	assert_true(!RIG_H1 || strstr(r->head, "Connection: close"));
	assert_true(!RIG_H1 || strstr(r->head, "HTTP/1.1 200 OK"));
	assert_non_null(strstr(r->head, "\r\nDate: "));
	resp_free(r);
	close(fd);
	rig_free(g);
}

static void rep_truncated(struct replica *rep, int fd)
{
	if (!rep_head(rep, fd)) return;
	put(fd, strstr(rep->last, "/chunked")
	                ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"
	                : "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nabc");
}

static void a_response_that_breaks_off_is_not_passed_as_whole(void **state)
{
	struct rig *g = rig_new(rep_truncated, 1);
	(void)state;
	for (int i = 0; i < 2; i++) {
		char all[4096];
		size_t n = 0;
		ssize_t k;
		int fd = dial(g);
		put(fd, i ? "GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n" : GET);
		while ((k = recv(fd, all + n, sizeof all - n, 0)) > 0)
			n += (size_t)k;
		assert_true(n > 0 && !memmem(all, n, "0\r\n\r\n", 5));
		close(fd);
	}
	rig_sync(g);
	/* The replica's doing, not the client's. */
	assert_int_equal(g->meter->worker[1].lane[1].broken, 2);
	assert_int_equal(g->meter->worker[1].lane[1].aborted, 0);
	rig_free(g);
}

static void heard(struct rig *g, int fd, const char *request)
{
	put(fd, request);
	struct resp *r = hear(fd);
	assert_non_null(r);
	assert_int_equal(r->status, 200);
	resp_free(r);
	(void)g;
}

static void hop_by_hop_fields_stay_behind(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	const char *head = g->rep[0].last;
	char v[256];
	(void)state;
	heard(g, fd,
	        "GET /a?b=c HTTP/1.1\r\nHost: Example.com:81\r\nX-Keep: 1\r\nConnection: x-drop, "
	        "keep-alive\r\nX-Drop: secret\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n"
	        "Proxy-Authorization: Basic x\r\nProxy-Connection: close\r\nUpgrade: h2c\r\n"
	        "X-Last: 2\r\n\r\n");
	assert_non_null(strstr(head, "GET /a?b=c HTTP/1.1\r\n"));
	assert_string_equal(field(head, "Host", v, sizeof v), "Example.com:81");
	assert_string_equal(field(head, "X-Keep", v, sizeof v), "1");
	assert_string_equal(field(head, "X-Last", v, sizeof v), "2");
	assert_null(field(head, "X-Drop", v, sizeof v));
	assert_null(field(head, "Keep-Alive", v, sizeof v));
	assert_null(field(head, "TE", v, sizeof v));
	assert_null(field(head, "Proxy-Authorization", v, sizeof v));
	assert_null(field(head, "Proxy-Connection", v, sizeof v));
	assert_null(field(head, "Upgrade", v, sizeof v));
	assert_null(field(head, "Connection", v, sizeof v));
	/* Connection may not name what frames or routes the message. */
	heard(g, fd,
	        "POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length, host\r\n"
	        "Content-Length: 3\r\n\r\nabc");
	assert_string_equal(field(head, "Content-Length", v, sizeof v), "3");
	assert_string_equal(field(head, "Host", v, sizeof v), "a");
	heard(g, fd, "GET http://b:80/x?y HTTP/1.1\r\nHost: b:80\r\n\r\n");
	assert_non_null(strstr(head, "GET /x?y HTTP/1.1\r\n"));
	assert_string_equal(field(head, "Host", v, sizeof v), "b:80");
	close(fd);
	rig_free(g);
}

static void the_replica_learns_who_asked_and_cannot_be_lied_to(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	const char *head = g->rep[0].last;
	char v[256], w[256];
	(void)state;
	heard(g, fd,
	        "GET / HTTP/1.1\r\nHost: a.b:8080\r\nX-Forwarded-For: 1.2.3.4\r\n"
	        "Forwarded: for=6.6.6.6\r\nX-Forwarded-Proto: https\r\n"
	        "X-Forwarded-Host: evil\r\nVia: 1.0 other\r\nX-Request-Id: abc-123\r\n\r\n");
	assert_string_equal(field(head, "X-Forwarded-For", v, sizeof v), "127.0.0.1");
	assert_string_equal(field(head, "X-Forwarded-Proto", v, sizeof v), RIG_PROTO);
	assert_string_equal(field(head, "X-Forwarded-Host", v, sizeof v), "a.b:8080");
	assert_string_equal(field(head, "Forwarded", v, sizeof v),
	        "for=127.0.0.1;proto=" RIG_PROTO ";host=\"a.b:8080\"");
	assert_null(strstr(head, "6.6.6.6"));
	assert_non_null(strcasestr(head, "Via: 1.0 other\r\n"));
	assert_non_null(strstr(head, RIG_H1 ? "Via: 1.1 test-edge\r\n" : "Via: 2.0 test-edge\r\n"));
	assert_string_equal(field(head, "X-Request-Id", v, sizeof v), "abc-123");
	heard(g, fd, "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: <script>\r\n\r\n");
	assert_int_equal(strlen(field(head, "X-Request-Id", v, sizeof v)), 32);
	assert_int_equal(strspn(v, "0123456789abcdef"), 32);
	assert_true(strcspn(v, "abcdef") < 32 && strcspn(v, "0123456789") < 32);
	heard(g, fd, GET);
	assert_string_not_equal(v, field(head, "X-Request-Id", w, sizeof w));
	close(fd);
	rig_free(g);
}

static void a_valid_trace_goes_on_and_any_other_begins_anew(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	const char *head = g->rep[0].last;
	char v[256];
	static const char id[] = "0af7651916cd43dd8448eb211c80319c";
	(void)state;
	heard(g, fd,
	        "GET / HTTP/1.1\r\nHost: a\r\ntracestate: a=b\r\ntraceparent: "
	        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n\r\n");
	assert_non_null(field(head, "traceparent", v, sizeof v));
	assert_int_equal(strlen(v), 55);
	assert_memory_equal(v + 3, id, 32);
	assert_memory_not_equal(v + 36, "b7ad6b7169203331", 16);
	assert_string_equal(v + 52, "-00");
	assert_string_equal(field(head, "tracestate", v, sizeof v), "a=b");
	heard(g, fd,
	        "GET / HTTP/1.1\r\nHost: a\r\ntracestate: a=b\r\ntraceparent: "
	        "00-00000000000000000000000000000000-b7ad6b7169203331-00\r\n\r\n");
	assert_non_null(field(head, "traceparent", v, sizeof v));
	struct tracectx anew;
	assert_true(tracectx_read(hg_str(v), &anew));
	assert_null(field(head, "tracestate", v, sizeof v));
	close(fd);
	rig_free(g);
}

static void rep_upgrade(struct replica *rep, int fd)
{
	char buf[4096];
	ssize_t n;
	if (!rep_head(rep, fd)) return;
	if (strstr(rep->last, "/no")) {
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
		return;
	}
	put(fd, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
	        "echo\r\n\r\nhi");
	while ((n = recv(fd, buf, sizeof buf, 0)) > 0)
		put_all(fd, buf, (size_t)n);
	put(fd, "bye");
}

#define UPGRADE "Host: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

static void an_upgrade_becomes_a_tunnel_with_half_close(void **state)
{
	struct rig *g = rig_new(rep_upgrade, 1);
	int fd = dial(g);
	char buf[8], v[64];
	(void)state;
	/* The client may speak the new protocol at once. */
	put(fd, "GET / HTTP/1.1\r\n" UPGRADE "early");
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 101);
	assert_string_equal(field(r->head, "Upgrade", v, sizeof v), "echo");
	assert_string_equal(field(r->head, "Connection", v, sizeof v), "upgrade");
	resp_free(r);
	assert_true(get_n(fd, buf, 7));
	assert_memory_equal(buf, "hiearly", 7);
	for (int i = 0; i < 50; i++) {
		put(fd, "ping");
		assert_true(get_n(fd, buf, 4));
		assert_memory_equal(buf, "ping", 4);
	}
	shutdown(fd, SHUT_WR);
	assert_true(get_n(fd, buf, 3));
	assert_memory_equal(buf, "bye", 3);
	assert_true(closed(fd));
	close(fd);
	assert_non_null(strstr(g->rep[0].last, "Upgrade: echo\r\n"));
	fd = dial(g);
	talk(fd, "GET /no HTTP/1.1\r\n" UPGRADE, 200, "no");
	close(fd);
	rig_free(g);
}

static void rep_hints(struct replica *rep, int fd)
{
	while (rep_head(rep, fd)) {
		put(fd, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
		        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	}
}

static void early_hints_reach_those_who_know_them(void **state)
{
	struct rig *g = rig_new(rep_hints, 1);
	int fd = dial(g);
	(void)state;
	put(fd, GET);
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 103);
	assert_non_null(strstr(r->head, "Link: </a.css>\r\n"));
	resp_free(r);
	r = hear(fd);
	assert_int_equal(r->status, 200);
	resp_free(r);
	if (RIG_H1) {
		put(fd, "GET / HTTP/1.0\r\n\r\n");
		r = hear(fd);
		assert_int_equal(r->status, 200);
		resp_free(r);
	}
	close(fd);
	rig_free(g);
}

#define BIG (200u << 20)

static void rep_big(struct replica *rep, int fd)
{
	static const char zeros[65536];
	char *buf = malloc(65536);
	while (rep_head(rep, fd)) {
		if (strstr(rep->last, "POST")) {
			for (size_t left = BIG; left;) {
				ssize_t n = recv(fd, buf, HG_MIN(left, 65536u), 0);
				if (n <= 0) break;
				left -= (size_t)n;
			}
			put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!");
		} else {
			put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 209715200\r\n\r\n");
			for (size_t i = 0; i < BIG / sizeof zeros; i++)
				put_all(fd, zeros, sizeof zeros);
		}
	}
	free(buf);
}

static void bodies_of_200_megabytes_pass_through_a_few_buffers(void **state)
{
	static char zeros[65536];
	struct rig *g = rig_new(rep_big, 1);
	int fd = dial(g);
	char head[4096];
	(void)state;
	put(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 209715200\r\n\r\n");
	for (size_t i = 0; i < BIG / sizeof zeros; i++)
		put_all(fd, zeros, sizeof zeros);
	struct resp *r = hear(fd);
	assert_string_equal(r->body, "!");
	resp_free(r);
	put(fd, GET);
	assert_true(get_head(fd, head, sizeof head) > 0);
	size_t n = 0;
	for (ssize_t k; n < BIG && (k = recv(fd, zeros, sizeof zeros, 0)) > 0;)
		n += (size_t)k;
	assert_int_equal(n, BIG);
	close(fd);
	rig_sync(g);
	/* HTTP/2: a window of a body may be here. */
	assert_true(g->edge->bufs.most <= (RIG_H1 ? 4 : 14));
	assert_int_equal(g->edge->keeps.most, 0);
	assert_int_equal(g->meter->worker[1].lane[1].bytes_in, BIG);
	assert_int_equal(g->meter->worker[1].lane[1].bytes_out, BIG + 1);
	rig_free(g);
}

static void a_client_that_stops_reading_stops_the_replica(void **state)
{
	struct rig *g = rig_new(rep_big, 1);
	int fd = dial(g);
	(void)state;
	put(fd, GET);
	/* Nothing is read: kernel buffers fill, the edge keeps no more than its buffers. */
	usleep(200000);
	rig_sync(g);
	assert_true(g->edge->bufs.most <= 4);
	assert_int_equal(meter_in_flight(g->meter, 0), 1);
	close(fd);
	rig_free(g);
}

static void a_client_may_close_its_sending_side_and_still_be_answered(void **state)
{
	struct rig *g = rig_new(rep_chunked, 1);
	int fd = dial(g);
	(void)state;
	put(fd, GET);
	shutdown(fd, SHUT_WR);
	struct resp *r = hear(fd);
	assert_non_null(r);
	assert_string_equal(r->body, "abcdefg");
	resp_free(r);
	assert_true(closed(fd));
	close(fd);
	rig_free(g);
}

#ifndef RIG_TLS
static void location(struct rig *g, int fd, const char *request, const char *want)
{
	char v[512];
	put(fd, request);
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 308);
	assert_string_equal(field(r->head, "Location", v, sizeof v), want);
	resp_free(r);
	assert_int_equal(g->rep[0].requests, 0);
}

static void plain_http_is_redirected_once_there_is_https(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	(void)state;
	g->shape.https_port = 443;
	rig_publish(g);
	int fd = dial(g);
	location(g, fd, "GET /a/b?c=d HTTP/1.1\r\nHost: A.example:80\r\n\r\n",
	        "https://a.example/a/b?c=d");
	location(g, fd, "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", "https://a.example/");
	location(g, fd, "GET http://b.example/x?y HTTP/1.1\r\nHost: b.example\r\n\r\n",
	        "https://b.example/x?y");
	g->shape.https_port = 8443;
	rig_publish(g);
	location(g, fd, "POST / HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 3\r\n\r\nabc",
	        "https://[::1]:8443/");
	close(fd);
	fd = dial(g);
	if (RIG_H1) talk(fd, "GET / HTTP/1.0\r\n\r\n", 400, NULL);
	close(fd);
	rig_free(g);
}
#endif

int main(void)
{
#ifdef RIG_H2 /* HTTP/1.1's own */
	(void)chunked_responses_pass_and_are_unwrapped_for_http_1_0;
	(void)http_1_0_clients_are_served_as_they_ask;
	(void)an_upgrade_becomes_a_tunnel_with_half_close;
	(void)a_client_may_close_its_sending_side_and_still_be_answered;
#endif
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_request_is_answered_by_a_replica_and_the_connection_goes_on),
	        cmocka_unit_test(pipelined_requests_are_answered_in_order),
	        cmocka_unit_test(a_request_that_comes_byte_by_byte_is_understood),
#ifndef RIG_H2
	        cmocka_unit_test(chunked_responses_pass_and_are_unwrapped_for_http_1_0),
	        cmocka_unit_test(http_1_0_clients_are_served_as_they_ask),
	        cmocka_unit_test(an_upgrade_becomes_a_tunnel_with_half_close),
	        cmocka_unit_test(a_client_may_close_its_sending_side_and_still_be_answered),
#endif
	        cmocka_unit_test(a_client_that_waits_for_100_gets_the_replicas),
	        cmocka_unit_test(responses_without_a_body_end_at_their_head),
	        cmocka_unit_test(a_response_without_a_length_ends_with_its_connection),
	        cmocka_unit_test(a_response_that_breaks_off_is_not_passed_as_whole),
	        cmocka_unit_test(hop_by_hop_fields_stay_behind),
	        cmocka_unit_test(the_replica_learns_who_asked_and_cannot_be_lied_to),
	        cmocka_unit_test(a_valid_trace_goes_on_and_any_other_begins_anew),
#ifndef RIG_TLS
	        cmocka_unit_test(plain_http_is_redirected_once_there_is_https),
#endif
	        cmocka_unit_test(early_hints_reach_those_who_know_them),
	        cmocka_unit_test(bodies_of_200_megabytes_pass_through_a_few_buffers),
	        cmocka_unit_test(a_client_that_stops_reading_stops_the_replica),
	};
	return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
