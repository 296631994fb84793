#include "../../test.h"

#include "face/web/web.c"

#include <stdio.h>
#include <stdlib.h>

struct serve_call {
	unsigned status;
	char type[64], fields[2048];
	struct hg_str body;
};

void serve_field(struct serve_call *c, const char *name, struct hg_str value)
{
	size_t n = strlen(c->fields);
	snprintf(c->fields + n, sizeof c->fields - n, "%s: %.*s\n", name, HG_STR_ARG(value));
}

void serve_answer(struct serve_call *c, unsigned status, const char *type, struct hg_str body)
{
	c->status = status;
	c->body = body;
	snprintf(c->type, sizeof c->type, "%s", type ? type : "");
}

static bool get(const char *url, struct serve_call *c)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	struct http1_head head;
	memset(c, 0, sizeof *c);
	assert_int_equal(http1_request(hg_str(text), 0, &HTTP1_LIMITS_DEFAULT, &head), HTTP1_DONE);
	struct serve_request req = {.head = &head, .method = HTTP1_GET};
	return web_answer(c, &req, hg_str(url));
}

static void every_file_is_guarded_and_only_named_ones_are_kept_for_ever(void **s)
{
	static const char *const wanted[] = {
	        "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
	        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
	        "frame-ancestors 'none'\n",
	        "X-Content-Type-Options: nosniff\n",
	        "Referrer-Policy: no-referrer\n",
	        "Cross-Origin-Opener-Policy: same-origin\n",
	        "Cross-Origin-Resource-Policy: same-origin\n",
	        "Permissions-Policy: ",
	};
	struct serve_call c;
	(void)s;
	assert_true(dashboard_web_count >= 4);
	for (size_t i = 0; i < dashboard_web_count; i++) {
		bool asset = hg_str_starts(dashboard_web[i].url, HG_STR("/assets/"));
		assert_true(get(dashboard_web[i].url.p, &c));
		assert_int_equal(c.status, 200);
		assert_string_equal(c.type, dashboard_web[i].type.p);
		for (size_t k = 0; k < HG_COUNT(wanted); k++)
			assert_non_null(strstr(c.fields, wanted[k]));
		assert_int_equal(strstr(c.fields, "immutable") != NULL, asset);
		assert_int_equal(strstr(c.fields, "Cache-Control: no-cache\n") != NULL, !asset);
	}
}

/* The policy allows nothing else, so a page that needs it would not work. */
static void the_page_names_only_files_that_are_there_and_has_no_script_inside(void **s)
{
	struct serve_call c, file;
	(void)s;
	assert_true(get("/", &c));
	assert_string_equal(c.type, "text/html; charset=utf-8");
	char *page = strndup(c.body.p, c.body.n);
	assert_non_null(page);
	unsigned named = 0;
	for (char *at = page; (at = strpbrk(at, "=")) != NULL;) {
		char url[256];
		bool relative = strncmp(at, "=\"./", 4) == 0;
		at++;
		if (strncmp(at, "\"/", 2) != 0 && !relative) continue;
		at += relative ? 2 : 1;
		assert_true(hg_str_copy((struct hg_str){at, strcspn(at, "\"")}, url, sizeof url));
		print_message("# %s\n", url);
		assert_true(get(url, &file));
		named++;
	}
	assert_true(named >= 3);
	for (char *at = page; (at = strstr(at, "<script")) != NULL; at++) {
		char *end = strchr(at, '>');
		assert_non_null(end);
		assert_int_equal(strncmp(end, "></script>", 10), 0);
	}
	assert_null(strstr(page, "<style"));
	assert_null(strstr(page, " style="));
	assert_null(strstr(page, "http:"));
	assert_null(strstr(page, "https:"));
	free(page);
}

static void what_is_not_there_is_not_answered(void **s)
{
	static const char *const urls[] = {"/index.html", "/assets/", "/assets", "/assets/x.js",
	        "/assets/../favicon.svg", "", "//"};
	struct serve_call c;
	(void)s;
	for (size_t i = 0; i < HG_COUNT(urls); i++) {
		assert_false(get(urls[i], &c));
		assert_int_equal(c.status, 0);
		assert_string_equal(c.fields, "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_file_is_guarded_and_only_named_ones_are_kept_for_ever),
	        cmocka_unit_test(the_page_names_only_files_that_are_there_and_has_no_script_inside),
	        cmocka_unit_test(what_is_not_there_is_not_answered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
