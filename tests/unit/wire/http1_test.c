#include "../test.h"

#include "wire/http1_priv.h"

#include <stdio.h>
#include <stdlib.h>

static const struct http1_limits lim = {4096, 64, 8};

#define R(text) HG_STR(text)
#define GET     "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST    "POST / HTTP/1.1\r\nHost: a\r\n"

/* Feeds the bytes one by one from a copy on the heap, so that sanitizers see every overrun. */
static enum http1_result bytewise(struct hg_str p, bool request, struct http1_head *h, char *copy)
{
	enum http1_result got = HTTP1_MORE;
	for (size_t n = 1; n <= p.n && got == HTTP1_MORE; n++) {
		copy[n - 1] = p.p[n - 1];
		struct hg_str part = {copy, n};
		got = request ? http1_request(part, n - 1, &lim, h)
		              : http1_response(part, n - 1, &lim, HTTP1_GET, false, h);
	}
	return got;
}

/* Every head is parsed at once, byte by byte, and must give the same. */
static enum http1_result parse_request(struct hg_str p, struct http1_head *h)
{
	struct http1_head again;
	char *copy = malloc(p.n + 1);
	assert_non_null(copy);
	enum http1_result got = http1_request(p, 0, &lim, h);
	enum http1_result slow = bytewise(p, true, &again, copy);
	if (slow != HTTP1_MORE || got == HTTP1_DONE) {
		assert_int_equal(got, slow);
		assert_int_equal(h->status, again.status);
		assert_int_equal(h->size, again.size);
		assert_int_equal(h->field_count, again.field_count);
		assert_true(hg_str_eq(h->target, again.target));
		assert_int_equal(h->body, again.body);
	}
	free(copy);
	return got;
}

static void every_ambiguous_request_is_refused(void **s)
{
	static const struct {
		unsigned status;
		struct hg_str text;
	} row[] = {
	        /* line ends */
	        {400, R("GET / HTTP/1.1\nHost: a\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\nHost: a\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\nHost: a\r\n\n")},
	        {400, R(GET "A: b\rC: d\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n")},
	        {400, R(GET "A: b\n\nGET /x HTTP/1.1\r\n\r\n")},
	        {400, R("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("\r\n\r\n\r\n" GET "\r\n")},
	        /* folding and white space */
	        {400, R(GET "A: b\r\n c\r\n\r\n")},
	        {400, R(GET "A: b\r\n\tc\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\n Host: a\r\n\r\n")},
	        {400, R(GET "A : b\r\n\r\n")},
	        {400, R(GET "A\t: b\r\n\r\n")},
	        {400, R(POST "Content-Length : 5\r\n\r\n12345")},
	        {400, R(POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n")},
	        {400, R(" GET / HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("GET  / HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("GET /  HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("GET / HTTP/1.1 \r\nHost: a\r\n\r\n")},
	        {400, R("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n")},
	        /* control bytes */
	        {400, R(GET "A: b\0c\r\n\r\n")},
	        {400, R(GET "A\0: b\r\n\r\n")},
	        {400, R(GET "A: b\x01\r\n\r\n")},
	        {400, R(GET "A: b\x7f\r\n\r\n")},
	        {400, R(GET "A: 01234567\x0b 01234567\r\n\r\n")},
	        {400, R(GET "A\x80: b\r\n\r\n")},
	        {400, R("G\0T / HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("\x16\x03\x01\x02\x00\x01")},
	        /* names */
	        {400, R(GET ": b\r\n\r\n")},
	        {400, R(GET "A\r\n\r\n")},
	        {400, R(GET "A(b): c\r\n\r\n")},
	        {400, R(GET "\"A\": c\r\n\r\n")},
	        /* Content-Length */
	        {400, R(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n")},
	        {400, R(POST "Content-Length: 5\r\nContent-Length: 05\r\n\r\n")},
	        {400, R(POST "Content-Length: 5, 5\r\n\r\n")},
	        {400, R(POST "Content-Length: 5,6\r\n\r\n")},
	        {400, R(POST "Content-Length: +5\r\n\r\n")},
	        {400, R(POST "Content-Length: -1\r\n\r\n")},
	        {400, R(POST "Content-Length: 0x5\r\n\r\n")},
	        {400, R(POST "Content-Length: 5 5\r\n\r\n")},
	        {400, R(POST "Content-Length: 5;\r\n\r\n")},
	        {400, R(POST "Content-Length:\r\n\r\n")},
	        {400, R(POST "Content-Length: 1e3\r\n\r\n")},
	        {400, R(POST "Content-Length: 18446744073709551616\r\n\r\n")},
	        /* CL.TE, TE.CL and TE.TE */
	        {400, R(POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG")},
	        {400, R(POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nG")},
	        {400, R(POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n")},
	        {400, R(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n")},
	        {400, R(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n")},
	        {400, R(POST "Transfer-Encoding: chunked, chunked\r\n\r\n")},
	        {400, R(POST "Transfer-Encoding: chunked, identity\r\n\r\n")},
	        {400, R(POST "Transfer-Encoding: identity\r\n\r\n")},
	        {400, R(POST "Transfer-Encoding: xchunked\r\n\r\n")},
	        {400, R(POST "Transfer-Encoding: chunked;q=1\r\n\r\n")},
	        {400, R(POST "Transfer-Encoding: \"chunked\"\r\n\r\n")},
	        {400, R(POST "Transfer-Encoding: \x0b"
	                     "chunked\r\n\r\n")},
	        {400, R(POST "Transfer-Encoding:\r\n\r\n")},
	        {400, R(POST "Transfer-Encoding:\r\n chunked\r\n\r\n")},
	        {400, R(POST "Transfer-Encoding\0: chunked\r\n\r\n")},
	        {400, R(POST "Foo: bar\nTransfer-Encoding: chunked\r\n\r\n")},
	        {501, R(POST "Transfer-Encoding: gzip, chunked\r\n\r\n")},
	        {400, R("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")},
	        {400, R("TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")},
	        {400, R("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")},
	        /* Host */
	        {400, R("GET / HTTP/1.1\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n")},
	        {400, R("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\nHost:\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\nHost: a:\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\nHost: a:70000\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\nHost: [1.2.3.4]\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\nHost: a%2\r\n\r\n")},
	        {400, R("GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n")},
	        /* targets */
	        {400, R("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("GET http:// HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("GET a HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("GET * HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n")},
	        /* versions */
	        {400, R("GET /\r\n\r\n")},
	        {400, R("GET / \r\n\r\n")},
	        {400, R("GET / X\r\n\r\n")},
	        {400, R("GET / http/1.1\r\nHost: a\r\n\r\n")},
	        {400, R("GET / HTTP/1.10\r\nHost: a\r\n\r\n")},
	        {400, R("GET / HTTP/11\r\nHost: a\r\n\r\n")},
	        {505, R("GET / HTTP/1.2\r\nHost: a\r\n\r\n")},
	        {505, R("GET / HTTP/0.9\r\nHost: a\r\n\r\n")},
	        {505, R("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
	        {417, R(POST "Expect: 200-ok\r\nContent-Length: 1\r\n\r\n")},
	        {431, R(GET "1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n6:\r\n7:\r\n8:\r\n\r\n")},
	        {414, R("GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
	                "HTTP/1.1\r\nHost: a\r\n\r\n")},
	};
	static struct http1_head h;
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		enum http1_result got = parse_request(row[i].text, &h);
		if (got != HTTP1_BAD || h.status != row[i].status || !h.bad)
			fail_msg("row %zu \"%.*s\": result %d, status %u", i,
			        HG_STR_ARG(row[i].text), got, h.status);
	}
}

static void a_request_is_taken_apart(void **s)
{
	static struct http1_head h;
	(void)s;
	struct hg_str p = R("\r\n\r\nPOST /a/b?c=d&e HTTP/1.1\r\nhOST: Example.com:8080\r\n"
	                    "content-LENGTH:\t 12 \t\r\nX-Empty:\r\nx-obs: gr\xfc\xdf\tdich\r\n\r\n"
	                    "hello");
	assert_int_equal(parse_request(p, &h), HTTP1_DONE);
	assert_int_equal(h.method, HTTP1_POST);
	assert_str(h.method_text, "POST");
	assert_str(h.target, "/a/b?c=d&e");
	assert_str(h.path, "/a/b");
	assert_str(h.query, "c=d&e");
	assert_str(h.authority, "Example.com:8080");
	assert_int_equal(h.size, p.n - 5);
	assert_int_equal(h.body, HTTP1_BODY_LENGTH);
	assert_int_equal(h.content_length, 12);
	assert_true(h.keep_alive);
	assert_int_equal(h.field_count, 4);
	assert_str(h.field[1].value, "12");
	assert_str(h.field[2].value, "");
	assert_str(http1_find_name(&h, HG_STR("X-OBS"))->value, "gr\xfc\xdf\tdich");
	assert_ptr_equal(http1_find(&h, HTTP1_F_HOST), &h.field[0]);
	assert_null(http1_find(&h, HTTP1_F_COOKIE));
}

static void the_four_forms_of_a_target_are_understood(void **s)
{
	static const struct {
		struct hg_str text;
		const char *path, *query, *authority;
	} row[] = {
	        {R("GET /?x HTTP/1.1\r\nHost: a\r\n\r\n"), "/", "x", "a"},
	        {R("GET http://a HTTP/1.1\r\nHost: A\r\n\r\n"), "/", "", "a"},
	        {R("GET HTTP://a?q HTTP/1.1\r\nHost: A\r\n\r\n"), "/", "q", "a"},
	        {R("GET https://[::1]:1/x HTTP/1.1\r\nHost: [::1]:1\r\n\r\n"), "/x", "", "[::1]:1"},
	        {R("GET http://a/x HTTP/1.0\r\n\r\n"), "/x", "", "a"},
	        {R("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), "*", "", "a"},
	        {R("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n"), "*", "", "a"},
	        {R("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), "", "", "a:443"},
	        {R("GET / HTTP/1.0\r\n\r\n"), "/", "", ""},
	};
	static struct http1_head h;
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		assert_int_equal(parse_request(row[i].text, &h), HTTP1_DONE);
		assert_str(h.path, row[i].path);
		assert_str(h.query, row[i].query);
		assert_str(h.authority, row[i].authority);
	}
}

static void keeping_alive_follows_version_and_connection(void **s)
{
	static const struct {
		struct hg_str text;
		bool keep, upgrade;
	} row[] = {
	        {R(GET "\r\n"), true, false},
	        {R(GET "Connection: close\r\n\r\n"), false, false},
	        {R(GET "Connection: keep-alive, Close\r\n\r\n"), false, false},
	        {R("GET / HTTP/1.0\r\n\r\n"), false, false},
	        {R("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), true, false},
	        {R(GET "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"), true, true},
	        {R(GET "Upgrade: websocket\r\n\r\n"), true, false},
	};
	static struct http1_head h;
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		assert_int_equal(parse_request(row[i].text, &h), HTTP1_DONE);
		assert_int_equal(h.keep_alive, row[i].keep);
		assert_int_equal(h.upgrade, row[i].upgrade);
	}
}

static void hop_by_hop_fields_are_marked_but_never_the_framing(void **s)
{
	static struct http1_head h;
	(void)s;
	assert_int_equal(parse_request(R(GET "Connection: x-a, host , content-length\r\n"
	                                     "X-A: 1\r\nX-B: 2\r\nKeep-Alive: 5\r\n"
	                                     "Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
	                         &h),
	        HTTP1_DONE);
	const bool want[] = {false, true, true, false, true, false, true};
	assert_int_equal(h.field_count, HG_COUNT(want));
	for (size_t i = 0; i < HG_COUNT(want); i++)
		assert_int_equal(h.field[i].hop, want[i]);
}

static void expectations_count_only_when_a_body_follows(void **s)
{
	static struct http1_head h;
	(void)s;
	parse_request(R(POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n"), &h);
	assert_true(h.expect_continue);
	parse_request(R(POST "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n"), &h);
	assert_false(h.expect_continue);
	parse_request(
	        R("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"), &h);
	assert_false(h.expect_continue);
}

static void a_head_over_the_limit_is_refused_at_the_limit(void **s)
{
	static struct http1_head h;
	static char text[8192];
	(void)s;
	int n = snprintf(text, sizeof text, GET "A: ");
	memset(text + n, 'x', sizeof text - (size_t)n);
	assert_int_equal(parse_request((struct hg_str){text, lim.head_max - 1}, &h), HTTP1_MORE);
	assert_int_equal(parse_request((struct hg_str){text, lim.head_max}, &h), HTTP1_BAD);
	assert_int_equal(h.status, 431);
	memcpy(text + lim.head_max - 4, "\r\n\r\n", 4);
	assert_int_equal(parse_request((struct hg_str){text, sizeof text}, &h), HTTP1_DONE);
	memcpy(text + lim.head_max - 4, "x\r\n\r\n", 5);
	assert_int_equal(parse_request((struct hg_str){text, sizeof text}, &h), HTTP1_BAD);
	assert_int_equal(h.status, 431);
}

static void responses_have_the_body_their_fields_and_request_say(void **s)
{
	static const struct {
		struct hg_str text;
		enum http1_method to;
		bool upgrade_asked;
		int body; /* -1: refused */
		bool keep;
	} row[] = {
	        {R("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), HTTP1_GET, 0, HTTP1_BODY_LENGTH,
	                1},
	        {R("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), HTTP1_GET, 0, HTTP1_BODY_NONE, 1},
	        {R("HTTP/1.1 200 \r\n\r\n"), HTTP1_GET, 0, HTTP1_BODY_CLOSE, 0},
	        {R("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"), HTTP1_GET, 0,
	                HTTP1_BODY_CHUNKED, 1},
	        {R("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), HTTP1_HEAD, 0, HTTP1_BODY_NONE,
	                1},
	        {R("HTTP/1.1 200 OK\r\n\r\n"), HTTP1_HEAD, 0, HTTP1_BODY_NONE, 1},
	        {R("HTTP/1.1 204 X\r\nContent-Length: 3\r\n\r\n"), HTTP1_GET, 0, HTTP1_BODY_NONE,
	                1},
	        {R("HTTP/1.1 304 X\r\nContent-Length: 3\r\n\r\n"), HTTP1_GET, 0, HTTP1_BODY_NONE,
	                1},
	        {R("HTTP/1.1 100 Continue\r\n\r\n"), HTTP1_POST, 0, HTTP1_BODY_NONE, 1},
	        {R("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), HTTP1_GET, 1,
	                HTTP1_BODY_TUNNEL, 0},
	        {R("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), HTTP1_GET, 0, -1,
	                0},
	        {R("HTTP/1.1 200 OK\r\n\r\n"), HTTP1_CONNECT, 0, HTTP1_BODY_TUNNEL, 0},
	        {R("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n"), HTTP1_GET, 0, HTTP1_BODY_LENGTH,
	                0},
	        {R("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
	                HTTP1_GET, 0, -1, 0},
	        {R("HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP1_GET, 0, -1, 0},
	        {R("HTTP/1.0 200 X\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP1_GET, 0, -1, 0},
	        {R("HTTP/1.1 200 X\r\nTransfer-Encoding: gzip\r\n\r\n"), HTTP1_GET, 0, -1, 0},
	        {R("HTTP/2.0 200 OK\r\n\r\n"), HTTP1_GET, 0, -1, 0},
	        {R("HTTP/1.1  200 OK\r\n\r\n"), HTTP1_GET, 0, -1, 0},
	        {R("HTTP/1.1 20 OK\r\n\r\n"), HTTP1_GET, 0, -1, 0},
	        {R("HTTP/1.1 2000 OK\r\n\r\n"), HTTP1_GET, 0, -1, 0},
	        {R("HTTP/1.1 099 OK\r\n\r\n"), HTTP1_GET, 0, -1, 0},
	        {R("HTTP/1.1 200 O\nK\r\n\r\n"), HTTP1_GET, 0, -1, 0},
	        {R("HTTP/1.1 2\r\n\r\n"), HTTP1_GET, 0, -1, 0},
	        {R("\r\nHTTP/1.1 200 OK\r\n\r\n"), HTTP1_GET, 0, -1, 0},
	};
	static struct http1_head h;
	char copy[256];
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		enum http1_result got =
		        http1_response(row[i].text, 0, &lim, row[i].to, row[i].upgrade_asked, &h);
		if (row[i].body < 0) {
			if (got != HTTP1_BAD || h.status != 502) fail_msg("row %zu", i);
			continue;
		}
		if (got != HTTP1_DONE || (int)h.body != row[i].body || h.keep_alive != row[i].keep)
			fail_msg("row %zu: %d %d %d", i, got, h.body, h.keep_alive);
		assert_int_equal(h.size, row[i].text.n);
		if (row[i].to == HTTP1_GET && !row[i].upgrade_asked)
			assert_int_equal(bytewise(row[i].text, false, &h, copy), HTTP1_DONE);
	}
}

static void known_field_names_are_found_in_any_case(void **s)
{
	static const struct {
		const char *name;
		enum http1_field_id id;
	} row[] = {{"Host", HTTP1_F_HOST}, {"CONNECTION", HTTP1_F_CONNECTION},
	        {"Keep-Alive", HTTP1_F_KEEP_ALIVE}, {"tE", HTTP1_F_TE},
	        {"Trailer", HTTP1_F_TRAILER}, {"Transfer-encodinG", HTTP1_F_TRANSFER_ENCODING},
	        {"Content-Length", HTTP1_F_CONTENT_LENGTH}, {"Upgrade", HTTP1_F_UPGRADE},
	        {"Expect", HTTP1_F_EXPECT}, {"Proxy-Connection", HTTP1_F_PROXY_CONNECTION},
	        {"Proxy-Authenticate", HTTP1_F_PROXY_AUTHENTICATE},
	        {"Proxy-Authorization", HTTP1_F_PROXY_AUTHORIZATION},
	        {"Content-Type", HTTP1_F_CONTENT_TYPE},
	        {"Content-Encoding", HTTP1_F_CONTENT_ENCODING},
	        {"Accept-Encoding", HTTP1_F_ACCEPT_ENCODING},
	        {"Authorization", HTTP1_F_AUTHORIZATION}, {"Cookie", HTTP1_F_COOKIE},
	        {"Date", HTTP1_F_DATE}, {"Server", HTTP1_F_SERVER}, {"Via", HTTP1_F_VIA},
	        {"Forwarded", HTTP1_F_FORWARDED}, {"X-Forwarded-For", HTTP1_F_X_FORWARDED_FOR},
	        {"X-Forwarded-Proto", HTTP1_F_X_FORWARDED_PROTO},
	        {"X-Forwarded-Host", HTTP1_F_X_FORWARDED_HOST},
	        {"X-Request-Id", HTTP1_F_X_REQUEST_ID},
	        {"X-Headgate-Mirror", HTTP1_F_X_HEADGATE_MIRROR},
	        {"Traceparent", HTTP1_F_TRACEPARENT}, {"Tracestate", HTTP1_F_TRACESTATE},
	        {"Idempotency-Key", HTTP1_F_IDEMPOTENCY_KEY}, {"Origin", HTTP1_F_ORIGIN},
	        {"If-None-Match", HTTP1_F_IF_NONE_MATCH}, {"ETag", HTTP1_F_ETAG},
	        {"Retry-After", HTTP1_F_RETRY_AFTER}, {"Accept", HTTP1_F_ACCEPT},
	        {"Location", HTTP1_F_LOCATION}, {"User-Agent", HTTP1_F_USER_AGENT},
	        {"Hos", HTTP1_F_OTHER}, {"x", HTTP1_F_OTHER}, {"Hosts", HTTP1_F_OTHER},
	        {"content_length", HTTP1_F_OTHER}, {"proxy-authorizations", HTTP1_F_OTHER}};
	unsigned known_ids = 0;
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		assert_int_equal(http1_field_lookup(hg_str(row[i].name)), row[i].id);
		known_ids += row[i].id != HTTP1_F_OTHER;
	}
	assert_int_equal(known_ids, HTTP1_FIELDS_KNOWN - 1);
}

/* What the rows must agree on: who reads one mark counts on the others. */
static void marks_of_fields_go_together(void **s)
{
#define ROW(id, name, marks) {name, HTTP1_F_##id},
	static const struct {
		const char *name;
		enum http1_field_id id;
	} row[] = {HTTP1_FIELD_ROWS(ROW)};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct hg_str name = hg_str(row[i].name);
		unsigned marks = http1_marks[row[i].id];
		assert_true(i == 0 || name.n >= strlen(row[i - 1].name));
		assert_int_equal(http1_field_lookup(name), row[i].id);
		if (marks & HTTP1_M_CONNECTION) assert_true(marks & HTTP1_M_HOP);
		/* What the edge says itself, or keeps, no client may add behind a body. */
		if (marks & (HTTP1_M_HOP | HTTP1_M_REQUEST | HTTP1_M_RESPONSE))
			assert_true(marks & HTTP1_M_NO_TRAILER);
		assert_int_equal(http1_trailer_allowed(name), !(marks & HTTP1_M_NO_TRAILER));
		/* One rule for each name. */
		if (http1_field_claims(name)) assert_true(marks & HTTP1_M_REQUEST);
	}
	assert_int_equal(http1_marks[HTTP1_F_OTHER], 0);
}

static void names_that_look_like_known_ones_are_not_forwarded(void **s)
{
	struct http1_head h;
	const struct hg_str p = HG_STR("GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1\r\n"
	                               "content_length: 5\r\nX_Mine: 1\r\nTransfer-Encoding_: "
	                               "x\r\nProxy-Authorization: x\r\n\r\n");
	const bool want[] = {false, true, true, false, false, true};
	(void)s;
	assert_int_equal(http1_request(p, 0, &HTTP1_LIMITS_DEFAULT, &h), HTTP1_DONE);
	assert_int_equal(h.body, HTTP1_BODY_NONE);
	assert_int_equal(h.field_count, HG_COUNT(want));
	for (size_t i = 0; i < HG_COUNT(want); i++)
		assert_int_equal(h.field[i].hop, want[i]);
}

static void a_lone_carriage_return_is_refused_without_waiting_for_more(void **s)
{
	struct http1_head h;
	const struct hg_str p = HG_STR("GET / HTTP/1.1\rHost");
	(void)s;
	for (size_t cut = 1; cut < p.n; cut++) {
		enum http1_result r =
		        http1_request((struct hg_str){p.p, cut}, 0, &HTTP1_LIMITS_DEFAULT, &h);
		if (r == HTTP1_MORE) r = http1_request(p, cut, &HTTP1_LIMITS_DEFAULT, &h);
		assert_int_equal(r, HTTP1_BAD);
		assert_int_equal(h.status, 400);
	}
}

static void small_helpers_answer(void **s)
{
	(void)s;
	assert_true(http1_list_has(HG_STR("a, B ,c"), HG_STR("b")));
	assert_false(http1_list_has(HG_STR("ab"), HG_STR("b")));
	assert_string_equal(http1_method_name(HTTP1_PATCH), "PATCH");
	assert_string_equal(http1_method_name(HTTP1_OTHER), "");
	assert_true(http1_method_idempotent(HTTP1_PUT));
	assert_false(http1_method_idempotent(HTTP1_POST));
	assert_string_equal(http1_reason(404), "Not Found");
	assert_string_equal(http1_reason(499), "Unknown");
}

/* Names are compared by words that overlap: every byte of every one counts. */
static void a_known_name_is_known_in_any_case_and_no_other(void **state)
{
	static const char *const names[] = {"te", "via", "host", "date", "etag", "accept", "cookie",
	        "trailer", "upgrade", "location", "forwarded", "user-agent", "keep-alive",
	        "traceparent", "content-type", "x-request-id", "authorization", "content-length",
	        "accept-encoding", "content-encoding", "transfer-encoding", "x-headgate-mirror",
	        "proxy-authenticate", "proxy-authorization"};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(names); i++) {
		size_t n = strlen(names[i]);
		char *other = malloc(n); /* exactly: nothing behind it is read */
		assert_non_null(other);
		memcpy(other, names[i], n);
		enum http1_field_id id = http1_field_lookup((struct hg_str){other, n});
		assert_int_not_equal(id, HTTP1_F_OTHER);
		for (size_t k = 0; k < n; k++) {
			if (names[i][k] == '-') continue;
			other[k] = (char)(names[i][k] - 32);
			assert_int_equal(http1_field_lookup((struct hg_str){other, n}), id);
		}
		for (size_t k = 0; k < n; k++) {
			char was = other[k];
			other[k] = was == '-' ? '_' : was == 'Q' ? 'z' : 'q';
			assert_int_not_equal(http1_field_lookup((struct hg_str){other, n}), id);
			other[k] = was;
		}
		free(other);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_known_name_is_known_in_any_case_and_no_other),
	        cmocka_unit_test(every_ambiguous_request_is_refused),
	        cmocka_unit_test(a_request_is_taken_apart),
	        cmocka_unit_test(the_four_forms_of_a_target_are_understood),
	        cmocka_unit_test(keeping_alive_follows_version_and_connection),
	        cmocka_unit_test(hop_by_hop_fields_are_marked_but_never_the_framing),
	        cmocka_unit_test(expectations_count_only_when_a_body_follows),
	        cmocka_unit_test(a_head_over_the_limit_is_refused_at_the_limit),
	        cmocka_unit_test(responses_have_the_body_their_fields_and_request_say),
	        cmocka_unit_test(known_field_names_are_found_in_any_case),
	        cmocka_unit_test(marks_of_fields_go_together),
	        cmocka_unit_test(names_that_look_like_known_ones_are_not_forwarded),
	        cmocka_unit_test(a_lone_carriage_return_is_refused_without_waiting_for_more),
	        cmocka_unit_test(small_helpers_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
