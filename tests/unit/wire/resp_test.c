#include "../test.h"

#include "wire/resp.h"

#define MAX (1u << 20)

static void a_request_is_an_array_of_strings(void **state)
{
	struct hg_buf b;
	(void)state;
	hg_buf_init(&b, 256);
	resp_request(&b, (struct hg_str[]){HG_STR("SET"), HG_STR("k\r\n"), HG_STR("")}, 3);
	assert_str(hg_buf_view(&b), "*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n");
	hg_buf_free(&b);
}

/* What a reply means, as one line: types in the order of a walk. */
static void describe(struct hg_str rest, char *to, size_t cap)
{
	struct hg_out o = hg_out_over(to, cap - 1);
	struct resp_value v;
	while (resp_next(&rest, &v)) {
		switch (v.type) {
		case RESP_NIL: hg_out_cstr(&o, "nil "); break;
		case RESP_STATUS: hg_out_fmt(&o, "+%.*s ", HG_STR_ARG(v.str)); break;
		case RESP_ERROR: hg_out_fmt(&o, "-%.*s ", HG_STR_ARG(v.str)); break;
		case RESP_INT: hg_out_fmt(&o, ":%lld ", (long long)v.n); break;
		case RESP_STR: hg_out_fmt(&o, "\"%.*s\" ", HG_STR_ARG(v.str)); break;
		case RESP_ARRAY: hg_out_fmt(&o, "[%lld ", (long long)v.n); break;
		}
	}
	to[o.n] = 0;
}

static const struct {
	const char *bytes, *means;
} good[] = {
        {"+OK\r\n", "+OK "},
        {"+\r\n", "+ "},
        {"-ERR no\r\n", "-ERR no "},
        {":0\r\n", ":0 "},
        {":-1\r\n", ":-1 "},
        {":9223372036854775807\r\n", ":9223372036854775807 "},
        {":-9223372036854775808\r\n", ":-9223372036854775808 "},
        {"$-1\r\n", "nil "},
        {"*-1\r\n", "nil "},
        {"$0\r\n\r\n", "\"\" "},
        {"$5\r\na\r\nb\n\r\n", "\"a\r\nb\n\" "},
        {"*0\r\n", "[0 "},
        {"*2\r\n$1\r\na\r\n:7\r\n", "[2 \"a\" :7 "},
        {"*3\r\n*1\r\n$1\r\na\r\n*0\r\n*2\r\n+x\r\n$-1\r\n", "[3 [1 \"a\" [0 [2 +x nil "},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "[1 [1 [1 [1 [1 [1 [1 [1 :1 "},
};

static void replies_are_read_whole_and_byte_by_byte(void **state)
{
	char text[256];
	(void)state;
	for (size_t i = 0; i < HG_COUNT(good); i++) {
		struct hg_str all = hg_str(good[i].bytes);
		struct resp_scan s = {0};
		size_t n = 0;
		for (size_t have = 0; have < all.n; have++) {
			enum resp_result got = resp_scan(&s, (struct hg_str){all.p, have}, MAX, &n);
			if (got != RESP_MORE) fail_msg("row %zu ended after %zu bytes", i, have);
		}
		assert_int_equal(resp_scan(&s, all, MAX, &n), RESP_DONE);
		assert_int_equal(n, all.n);
		describe(all, text, sizeof text);
		assert_string_equal(text, good[i].means);
	}
}

static void one_reply_ends_where_the_next_begins(void **state)
{
	struct hg_str in = HG_STR("*2\r\n:1\r\n:2\r\n+OK\r\n");
	struct resp_scan s = {0};
	size_t n = 0;
	(void)state;
	assert_int_equal(resp_scan(&s, in, MAX, &n), RESP_DONE);
	assert_int_equal(n, 12);
	in = (struct hg_str){in.p + n, in.n - n};
	assert_int_equal(resp_scan(&s, in, MAX, &n), RESP_DONE);
	assert_int_equal(n, 5);
}

static void what_is_no_reply_is_refused(void **state)
{
	static const char *const bad[] = {"\r\n", "OK\r\n", ":\r\n", ":x\r\n", ":1 \r\n", ":+1\r\n",
	        ":01\r\n", ":--1\r\n", ":9223372036854775808\r\n", "$-2\r\n", "$\r\n", "$x\r\n",
	        "$1\r\nabc", "$9223372036854775807\r\n", "$2000000\r\n", "*-2\r\n", "*1048577\r\n",
	        "*99999999999999999999\r\n", "%1\r\n", "_\r\n",
	        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		struct resp_scan s = {0};
		size_t n = 0;
		if (resp_scan(&s, hg_str(bad[i]), MAX, &n) != RESP_BAD)
			fail_msg("\"%s\" passed", bad[i]);
	}
}

static void a_line_without_end_and_a_reply_without_measure_are_refused(void **state)
{
	static char line[RESP_LINE_MAX + 2];
	struct resp_scan s = {0};
	size_t n = 0;
	(void)state;
	memset(line, 'x', sizeof line);
	line[0] = '+';
	assert_int_equal(resp_scan(&s, (struct hg_str){line, RESP_LINE_MAX}, MAX, &n), RESP_MORE);
	assert_int_equal(resp_scan(&s, (struct hg_str){line, sizeof line}, MAX, &n), RESP_BAD);
	/* an array whose elements together are too much */
	struct hg_buf b;
	hg_buf_init(&b, 4096);
	hg_buf_cstr(&b, "*1000\r\n");
	for (int i = 0; i < 20; i++)
		hg_buf_cstr(&b, "$5\r\nabcde\r\n");
	s = (struct resp_scan){0};
	assert_int_equal(resp_scan(&s, hg_buf_view(&b), 128, &n), RESP_BAD);
	hg_buf_free(&b);
}

static void skipping_takes_what_belongs_together(void **state)
{
	struct hg_str rest = HG_STR("*3\r\n*2\r\n*1\r\n:1\r\n:2\r\n$1\r\nx\r\n+end\r\n");
	struct resp_value v;
	(void)state;
	assert_true(resp_next(&rest, &v) && v.n == 3);
	assert_true(resp_next(&rest, &v) && v.type == RESP_ARRAY);
	resp_skip(&rest, &v);
	assert_true(resp_next(&rest, &v));
	assert_str(v.str, "x");
	resp_skip(&rest, &v);
	assert_true(resp_next(&rest, &v));
	assert_str(v.str, "end");
	assert_false(resp_next(&rest, &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_request_is_an_array_of_strings),
	        cmocka_unit_test(replies_are_read_whole_and_byte_by_byte),
	        cmocka_unit_test(one_reply_ends_where_the_next_begins),
	        cmocka_unit_test(what_is_no_reply_is_refused),
	        cmocka_unit_test(a_line_without_end_and_a_reply_without_measure_are_refused),
	        cmocka_unit_test(skipping_takes_what_belongs_together),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
