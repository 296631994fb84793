#include "../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "wire/mirror.h"

static struct jsondiff_scratch scratch;

/* ---- paths ---- */

static void a_path_is_read_or_refused_with_its_place(void **s)
{
	static const struct {
		const char *text;
		int steps; /* -1: refused */
		size_t at;
	} row[] = {
	        {"$", 0, 0},
	        {"$.a", 1, 0},
	        {"$.created_at.x-y", 2, 0},
	        {"$[*].id", 2, 0},
	        {"$.list[*].created_at", 3, 0},
	        {"$.list[12]['a b'][\"c'd\"].*", 5, 0},
	        {"$.gr\xc3\xbcn", 1, 0},
	        {"$.a.b.c.d.e.f.g.h.i.j.k.l", 12, 0},
	        {"$.a.b.c.d.e.f.g.h.i.j.k.l.m", -1, 25},
	        {"", -1, 0},
	        {"a", -1, 0},
	        {"$a", -1, 1},
	        {"$.", -1, 2},
	        {"$..a", -1, 2},
	        {"$.a b", -1, 3},
	        {"$[", -1, 2},
	        {"$[]", -1, 2},
	        {"$[*", -1, 3},
	        {"$[1", -1, 3},
	        {"$[1000000000]", -1, 11},
	        {"$['a]", -1, 5},
	        {"$[a]", -1, 2},
	        {"$[-1]", -1, 2},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct jsonpath p;
		size_t at;
		const char *why = jsonpath_parse(hg_str(row[i].text), &p, &at);
		if (!why != (row[i].steps >= 0)) fail_msg("row %zu: %s", i, why ? why : "taken");
		if (!why) assert_int_equal(p.n, row[i].steps);
		if (why) assert_int_equal(at, row[i].at);
	}
	struct jsonpath p;
	size_t at;
	char large[JSONPATH_TEXT_MAX + 2] = "$.";
	memset(large + 2, 'a', sizeof large - 3);
	assert_non_null(jsonpath_parse(hg_str(large), &p, &at));
	large[JSONPATH_TEXT_MAX] = 0;
	assert_null(jsonpath_parse(hg_str(large), &p, &at));
}

/* ---- JSON ---- */

static uint32_t paths(const char *list, struct jsonpath *to)
{
	struct hg_str rest = hg_str(list);
	uint32_t n = 0;
	while (rest.n) {
		size_t at;
		assert_null(jsonpath_parse(hg_str_cut(&rest, '\n'), &to[n++], &at));
	}
	return n;
}

/* "" the same, NULL no JSON, else where. */
static void diff_is(const char *a, const char *b, const char *ignore, const char *want)
{
	struct jsonpath p[JSONDIFF_IGNORE_MAX];
	uint32_t n = paths(ignore, p);
	char at[48];
	for (int turn = 0; turn < 2; turn++) {
		size_t at_n;
		enum jsondiff_result got = jsondiff(hg_str(turn ? b : a), hg_str(turn ? a : b), p,
		        n, &scratch, at, sizeof at, &at_n);
		if (!want) {
			assert_int_equal(got, JSONDIFF_NOT_JSON);
		} else {
			if ((got == JSONDIFF_SAME) != (want[0] == 0) || at_n != strlen(want) ||
			        memcmp(at, want, at_n) != 0)
				fail_msg("%s | %s | %s: %d at %.*s, not %s", a, b, ignore, got,
				        (int)at_n, at, want);
		}
	}
}

static void what_says_the_same_is_the_same(void **s)
{
	(void)s;
	diff_is("{\"a\":1,\"b\":[true,null]}", " { \"b\" : [true ,null], \"a\":1 }\n", "", "");
	diff_is("{}", "{ }", "", "");
	diff_is("[1,2]", "[2,1]", "", "$[0]");
	diff_is("[\"\\u0041\\n\\/\"]", "[\"A\\u000a/\"]", "", "");
	diff_is("[\"\\ud83d\\ude00\"]", "[\"\xf0\x9f\x98\x80\"]", "", "");
	diff_is("[\"\\u00e4\\u20ac\"]", "[\"\xc3\xa4\xe2\x82\xac\"]", "", "");
	diff_is("[\"\\ud83d\"]", "[\"\\ude00\"]", "", "$[0]");
	diff_is("{\"\\u0061\":1}", "{\"a\":1}", "", "");
	diff_is("[\"a\"]", "[\"ab\"]", "", "$[0]");
	diff_is("[1]", "[\"1\"]", "", "$[0]");
	diff_is("[true]", "[false]", "", "$[0]");
	diff_is("[null]", "[{}]", "", "$[0]");
	diff_is("{\"a\":1}", "[1]", "", "$");
}

static void numbers_are_compared_by_value_and_exactly(void **s)
{
	(void)s;
	diff_is("[1,100,0.5,-0,1e2]", "[1.0,1e2,5E-1,0,100.00]", "", "");
	diff_is("[0.00]", "[0e999999999999999999999]", "", "");
	diff_is("[10.10]", "[1.01e+1]", "", "");
	diff_is("[9007199254740993]", "[9007199254740992]", "", "$[0]");
	diff_is("[1]", "[-1]", "", "$[0]");
	diff_is("[1e999999999999999999999]", "[1e999999999999999999998]", "", "");
	diff_is("[1e5]", "[1e-5]", "", "$[0]");
	diff_is("[12]", "[1.2]", "", "$[0]");
	diff_is("[0.012]", "[12e-3]", "", "");
}

static void the_place_of_a_difference_is_told(void **s)
{
	(void)s;
	diff_is("{\"a\":{\"b\":[0,{\"c\":1}]}}", "{\"a\":{\"b\":[0,{\"c\":2}]}}", "", "$.a.b[1].c");
	diff_is("{\"a\":1}", "{\"a\":1,\"b\":2}", "", "$.b");
	diff_is("{\"b\":2,\"a\":1}", "{\"a\":1}", "", "$.b");
	diff_is("[1]", "[1,2,3]", "", "$[1]");
	diff_is("{\"a b\":1}", "{\"a b\":2}", "", "$['a b']");
	diff_is("{\"\":1}", "{\"\":2}", "", "$['']");
	diff_is("{\"a\":1,\"a\":1}", "{\"a\":1,\"b\":1}", "", "$.a");
	diff_is("{\"a\":1,\"a\":2}", "{\"a\":2,\"a\":1}", "", "$.a");
	diff_is("{\"12345678901234567890123456789012345678901234567890\":1}",
	        "{\"12345678901234567890123456789012345678901234567890\":2}", "",
	        "$.1234567890123456789012345678901234567890123…");
}

static void what_is_ignored_may_differ_or_be_missing(void **s)
{
	(void)s;
	diff_is("{\"t\":1,\"a\":1}", "{\"a\":1,\"t\":2}", "$.t", "");
	diff_is("{\"a\":1}", "{\"t\":{\"x\":[]},\"a\":1}", "$.t", "");
	diff_is("{\"a\":{\"t\":1}}", "{\"a\":{\"t\":2}}", "$.t", "$.a.t");
	diff_is("{\"a\":{\"t\":1}}", "{\"a\":{\"t\":2}}", "$.t\n$.a.t", "");
	diff_is("{\"a\":{\"t\":1}}", "{\"a\":{\"t\":2}}", "$.*.t", "");
	diff_is("{\"l\":[{\"t\":1,\"v\":1},{\"t\":2}]}", "{\"l\":[{\"t\":3,\"v\":1},{}]}",
	        "$.l[*].t", "");
	diff_is("{\"l\":[{\"t\":1,\"v\":1}]}", "{\"l\":[{\"t\":3,\"v\":2}]}", "$.l[*].t",
	        "$.l[0].v");
	diff_is("[1,2]", "[1,3]", "$[1]", "");
	diff_is("[1,2]", "[1]", "$[1]", "");
	diff_is("[1,2,3]", "[1]", "$[1]", "$[2]");
	diff_is("[1,2,3]", "[4]", "$[*]", "");
	diff_is("{\"\\u0074\":1}", "{\"t\":2}", "$.t", "");
	diff_is("{\"a.b\":1}", "{\"a.b\":2}", "$['a.b']", "");
	diff_is("{\"a\":1}", "[]", "$", "");
	/* An index is no name. */
	diff_is("{\"1\":1}", "{\"1\":2}", "$[1]", "$.1");
}

static void what_is_no_json_is_told_apart(void **s)
{
	static const char *const bad[] = {"", "x", "1", "\"a\"", "{", "[1,]", "{\"a\"}", "{a:1}",
	        "[01]", "[1.]", "[.5]", "[1e]", "[+1]", "[\"\x01\"]", "[\"\\x\"]", "[\"\\u12g4\"]",
	        "[\"\\u12", "[tru]", "[1] 2", "{\"a\":1,}", "[\"a]", "[\"\\", "[-]", "{\"a\":}"};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		diff_is(bad[i], "[]", "", NULL);
		/* Even what is to be ignored does not make JSON of it. */
		diff_is(bad[i], "[]", "$", NULL);
	}
}

static char *nested(uint32_t depth)
{
	char *t = calloc(1, 2 * depth + 1);
	assert_non_null(t);
	memset(t, '[', depth);
	memset(t + depth, ']', depth);
	return t;
}

static void limits_hold_and_what_is_within_is_compared(void **s)
{
	(void)s;
	char *deep = nested(JSONDIFF_DEPTH_MAX), *deeper = nested(JSONDIFF_DEPTH_MAX + 1);
	diff_is(deep, deep, "", "");
	diff_is(deeper, deeper, "", NULL);
	free(deep);
	free(deeper);
	/* As many nodes as can be; and one byte too many. */
	char *a = malloc(JSONDIFF_TEXT_MAX + 2);
	assert_non_null(a);
	for (uint32_t i = 0; i < JSONDIFF_TEXT_MAX; i++)
		a[i] = i % 2 ? '1' : ',';
	a[0] = '[';
	a[JSONDIFF_TEXT_MAX - 1] = ']';
	a[JSONDIFF_TEXT_MAX - 2] = ' ';
	a[JSONDIFF_TEXT_MAX] = 0;
	diff_is(a, a, "", "");
	a[JSONDIFF_TEXT_MAX] = ' ';
	a[JSONDIFF_TEXT_MAX + 1] = 0;
	diff_is(a, a, "", NULL);
	/* A number of any length would do, were it not for its cost. */
	memset(a, '1', JSONDIFF_NUMBER_MAX + 2);
	a[0] = '[';
	memcpy(a + 1 + JSONDIFF_NUMBER_MAX, "]", 2);
	diff_is(a, a, "", "");
	memcpy(a + 1 + JSONDIFF_NUMBER_MAX, "1]", 3);
	diff_is(a, a, "", NULL);
	free(a);
}

static double ms_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Many members in the opposite order, with long common beginnings and escapes: the dearest there
 * is. A quadratic comparison would take minutes; the bound is wide for slow machines. */
static void a_hostile_order_of_members_costs_little(void **s)
{
	char *a = malloc(JSONDIFF_TEXT_MAX + 1), *b = malloc(JSONDIFF_TEXT_MAX + 1);
	(void)s;
	assert_non_null(a);
	assert_non_null(b);
	size_t na = 0, nb = 0;
	const int n = 7000;
	a[na++] = b[nb++] = '{';
	for (int i = 0; i < n; i++) {
		na += (size_t)snprintf(
		        a + na, JSONDIFF_TEXT_MAX - na, "%s\"%04x\":1", i ? "," : "", i);
		nb += (size_t)snprintf(
		        b + nb, JSONDIFF_TEXT_MAX - nb, "%s\"%04x\":1", i ? "," : "", n - 1 - i);
	}
	memcpy(a + na, "}", 2);
	memcpy(b + nb, "}", 2);
	double from = ms_now();
	diff_is(a, b, "$.x\n$.y\n$.z\n$.u\n$.v\n$.w\n$.a\n$.b\n$.c\n$.d\n$.e\n$.f", "");
	double took = (ms_now() - from) / 2;
	print_message("%d members in opposite order: %.2f ms\n", n, took);
	assert_true(took < 500);
	free(a);
	free(b);
}

/* ---- answers ---- */

static void answer(struct mirror_answer *a, const char *head, const char *body)
{
	struct http1_head h;
	const struct http1_limits lim = HTTP1_LIMITS_DEFAULT;
	memset(a, 0, sizeof *a);
	assert_int_equal(http1_response(hg_str(head), 0, &lim, HTTP1_GET, false, &h), HTTP1_DONE);
	mirror_answer_head(a, &h);
	a->body = hg_str(body);
}

static void compared(const struct mirror_answer *a, const struct mirror_answer *b,
        const char *ignore, enum mirror_what want, const char *at)
{
	struct mirror_result r;
	struct jsonpath p[JSONDIFF_IGNORE_MAX];
	mirror_compare(a, b, p, paths(ignore, p), &scratch, &r);
	assert_int_equal(r.what, want);
	assert_str(((struct hg_str){r.at, r.at_n}), at);
}

#define JSON "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
#define TEXT "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n"

static void answers_are_compared_by_status_fields_and_body(void **s)
{
	struct mirror_answer a, b;
	(void)s;
	answer(&a, JSON "\r\n", "{\"a\":1,\"t\":1}");
	answer(&b, JSON "\r\n", "{\"t\":2,\"a\":1}");
	compared(&a, &b, "$.t", MIRROR_SAME, "");
	compared(&a, &b, "", MIRROR_JSON, "$.t");
	answer(&b, "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", "");
	compared(&a, &b, "$", MIRROR_STATUS, "");
	answer(&b, TEXT "\r\n", "{\"a\":1,\"t\":1}");
	compared(&a, &b, "", MIRROR_FIELD, "content-type");
	answer(&b, JSON "Cache-Control: no-store\r\n\r\n", "{\"a\":1,\"t\":1}");
	compared(&a, &b, "", MIRROR_FIELD, "cache-control");
	answer(&b, JSON "Location: /x\r\nSet-Cookie: a=b\r\n\r\n", "{\"a\":1,\"t\":1}");
	compared(&a, &b, "", MIRROR_FIELD, "location");
	/* What every release may say as it likes. */
	answer(&b, JSON "Set-Cookie: a=b\r\nDate: x\r\nServer: y\r\nETag: z\r\n\r\n",
	        "{\"a\":1,\"t\":1}");
	compared(&a, &b, "", MIRROR_SAME, "");
	answer(&a, TEXT "\r\n", "hello world");
	answer(&b, TEXT "\r\n", "hello there");
	compared(&a, &b, "$", MIRROR_BYTES, "byte 6");
	answer(&b, TEXT "\r\n", "hello");
	compared(&a, &b, "", MIRROR_BYTES, "byte 5");
	/* JSON on one side only. */
	answer(&a, JSON "\r\n", "{}");
	answer(&b, JSON "\r\n", "{");
	compared(&a, &b, "$", MIRROR_BYTES, "byte 1");
}

static void bodies_that_are_large_or_encoded_are_not_compared(void **s)
{
	struct mirror_answer a, b;
	(void)s;
	answer(&a, TEXT "\r\n", "x");
	answer(&b, TEXT "\r\n", "y");
	a.over = true;
	compared(&a, &b, "", MIRROR_PARTLY, "");
	compared(&b, &a, "", MIRROR_PARTLY, "");
	answer(&a, TEXT "Content-Encoding: gzip\r\n\r\n", "x");
	compared(&a, &b, "", MIRROR_FIELD, "content-encoding");
	answer(&b, TEXT "Content-Encoding: gzip\r\n\r\n", "y");
	compared(&a, &b, "", MIRROR_PARTLY, "");
	answer(&a, TEXT "Content-Encoding: identity\r\n\r\n", "x");
	answer(&b, TEXT "Content-Encoding: identity\r\n\r\n", "y");
	compared(&a, &b, "", MIRROR_BYTES, "byte 0");
}

static void a_long_field_is_compared_as_far_as_it_is_kept(void **s)
{
	struct mirror_answer a, b;
	char head[1024], value[MIRROR_FIELD_MAX + 2];
	(void)s;
	memset(value, 'a', sizeof value);
	for (int k = 0; k < 2; k++) {
		value[sizeof value - 1] = 0;
		value[sizeof value - 2] = k ? 'b' : 'a';
		snprintf(head, sizeof head, TEXT "Location: %s\r\n\r\n", value);
		answer(k ? &b : &a, head, "");
	}
	assert_int_equal(a.field_n[MIRROR_LOCATION], MIRROR_FIELD_MAX);
	compared(&a, &b, "", MIRROR_SAME, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_path_is_read_or_refused_with_its_place),
	        cmocka_unit_test(what_says_the_same_is_the_same),
	        cmocka_unit_test(numbers_are_compared_by_value_and_exactly),
	        cmocka_unit_test(the_place_of_a_difference_is_told),
	        cmocka_unit_test(what_is_ignored_may_differ_or_be_missing),
	        cmocka_unit_test(what_is_no_json_is_told_apart),
	        cmocka_unit_test(limits_hold_and_what_is_within_is_compared),
	        cmocka_unit_test(a_hostile_order_of_members_costs_little),
	        cmocka_unit_test(answers_are_compared_by_status_fields_and_body),
	        cmocka_unit_test(bodies_that_are_large_or_encoded_are_not_compared),
	        cmocka_unit_test(a_long_field_is_compared_as_far_as_it_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
