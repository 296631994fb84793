#include "../test.h"

#include "base/embed.h"
#include "serve/file.c"

#include <stdio.h>

/* The server's side of an answer, noted. */
struct serve_call {
	unsigned status;
	char fields[1024], body[64];
};

void serve_field(struct serve_call *c, const char *name, struct hg_str value)
{
	size_t n = strlen(c->fields);
	snprintf(c->fields + n, sizeof c->fields - n, "%s: %.*s\n", name, HG_STR_ARG(value));
}

void serve_answer(struct serve_call *c, unsigned status, const char *type, struct hg_str body)
{
	assert_int_equal(c->status, 0);
	assert_int_equal(type != NULL, status == 200);
	c->status = status;
	assert_true(hg_str_copy(body, c->body, sizeof c->body));
}

static const struct serve_request *request(const char *fields)
{
	static struct http1_head head;
	static struct serve_request req;
	static char text[512];
	int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
	assert_int_equal(
	        http1_request((struct hg_str){text, (size_t)n}, 0, &HTTP1_LIMITS_DEFAULT, &head),
	        HTTP1_DONE);
	req = (struct serve_request){.head = &head, .method = HTTP1_GET};
	return &req;
}

static void a_client_gets_the_form_it_takes_and_no_body_when_it_has_that(void **s)
{
	static const struct hg_embed file = {HG_STR("/a.js"), HG_STR("text/javascript"),
	        HG_STR("0123456789abcdef"), HG_STR("plain"), HG_STR("packed")};
	static const struct {
		const char *fields;
		unsigned status;
		const char *body;
	} rows[] = {
	        {"", 200, "plain"},
	        {"Accept-Encoding: br, gzip\r\n", 200, "packed"},
	        {"Accept-Encoding: GZIP;q=0.5\r\n", 200, "packed"},
	        {"Accept-Encoding: gzip;q=0\r\n", 200, "plain"},
	        {"Accept-Encoding: gzip; q=0.000\r\n", 200, "plain"},
	        {"Accept-Encoding: identity\r\n", 200, "plain"},
	        {"Accept-Encoding: xgzip\r\n", 200, "plain"},
	        {"If-None-Match: \"0123456789abcdef\"\r\n", 304, ""},
	        {"If-None-Match: \"x\", W/\"0123456789abcdef\"\r\n", 304, ""},
	        {"If-None-Match: *\r\n", 304, ""},
	        {"If-None-Match: \"0123456789abcdee\"\r\n", 200, "plain"},
	        /* What it has is the other form. */
	        {"If-None-Match: \"0123456789abcdef-gz\"\r\n", 200, "plain"},
	        {"If-None-Match: \"0123456789abcdef-gz\"\r\nAccept-Encoding: gzip\r\n", 304, ""},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct serve_call c = {0};
		serve_file(&c, request(rows[i].fields), &file, HG_STR("no-cache"));
		print_message("# row %zu -> %u\n", i, c.status);
		assert_int_equal(c.status, rows[i].status);
		assert_string_equal(c.body, rows[i].body);
		assert_non_null(strstr(c.fields, "Vary: Accept-Encoding\n"));
		assert_non_null(strstr(c.fields, "Cache-Control: no-cache\n"));
		bool packed = strcmp(rows[i].body, "packed") == 0;
		assert_int_equal(strstr(c.fields, "Content-Encoding: gzip\n") != NULL, packed);
		if (rows[i].status == 200)
			assert_non_null(strstr(c.fields, "X-Content-Type-Options: nosniff\n"));
	}
}

static void a_file_that_is_not_packed_is_sent_as_it_is(void **s)
{
	static const struct hg_embed file = {
	        HG_STR("/a.txt"), HG_STR("text/plain"), HG_STR("01"), HG_STR("plain"), {0}};
	struct serve_call c = {0};
	(void)s;
	serve_file(&c, request("Accept-Encoding: gzip\r\n"), &file, HG_STR("no-cache"));
	assert_string_equal(c.body, "plain");
	assert_non_null(strstr(c.fields, "ETag: \"01\"\n"));
	assert_null(strstr(c.fields, "Content-Encoding"));
}

static void a_type_is_accepted_by_its_name_only(void **s)
{
	static const struct {
		const char *accept;
		bool wants;
	} rows[] = {
	        {"text/html,application/xhtml+xml,*/*;q=0.8", true},
	        {"application/json, text/html;q=0.1", true},
	        {"text/html;q=0", false},
	        {"*/*", false},
	        {"text/htmlx", false},
	        {"", false},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		char fields[128];
		snprintf(fields, sizeof fields, "Accept: %s\r\n", rows[i].accept);
		assert_int_equal(
		        serve_accepts(request(fields), HTTP1_F_ACCEPT, HG_STR("text/html")),
		        rows[i].wants);
	}
	assert_false(serve_accepts(request(""), HTTP1_F_ACCEPT, HG_STR("text/html")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_client_gets_the_form_it_takes_and_no_body_when_it_has_that),
	        cmocka_unit_test(a_file_that_is_not_packed_is_sent_as_it_is),
	        cmocka_unit_test(a_type_is_accepted_by_its_name_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
