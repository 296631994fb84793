#include "../test.h"

#include "wire/url.h"

static void a_path_is_decoded_and_its_dots_resolved(void **s)
{
	static const struct {
		struct hg_str in;
		const char *want; /* NULL: refused */
	} row[] = {
	        {HG_STR("/"), "/"},
	        {HG_STR("/a/b"), "/a/b"},
	        {HG_STR("/a/./b"), "/a/b"},
	        {HG_STR("/a/../b"), "/b"},
	        {HG_STR("/a/b/.."), "/a/"},
	        {HG_STR("/a/b/."), "/a/b/"},
	        {HG_STR("/.."), "/"},
	        {HG_STR("/../../x"), "/x"},
	        {HG_STR("/a/%2e%2E/b"), "/b"},
	        {HG_STR("/a/.%2e/.%2e/b"), "/b"},
	        {HG_STR("/a%2fb"), "/a%2Fb"},
	        {HG_STR("/..%2f.."), "/..%2F.."},
	        {HG_STR("/..."), "/..."},
	        {HG_STR("//a//"), "//a//"},
	        {HG_STR("//.."), "/"},
	        {HG_STR("/gr%C3%BCn+x"), "/gr\xc3\xbcn+x"},
	        {HG_STR("/%00"), NULL},
	        {HG_STR("/%0"), NULL},
	        {HG_STR("/%"), NULL},
	        {HG_STR("/%zz"), NULL},
	        {HG_STR("a"), NULL},
	        {HG_STR(""), NULL},
	};
	char to[64];
	struct hg_str got;
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		bool ok = url_path(row[i].in, to, sizeof to, &got);
		if (ok != (row[i].want != NULL)) fail_msg("row %zu", i);
		if (ok) assert_str(got, row[i].want);
		if (ok) assert_true(got.n <= row[i].in.n);
	}
	assert_false(url_path(HG_STR("/abc"), to, 3, &got));
	assert_true(url_path(HG_STR("/abc"), to, 4, &got));
}

static void a_query_is_walked_and_searched(void **s)
{
	struct hg_str q = HG_STR("a=1&&b&%63=x%20y+z&a=2&d="), name, value;
	char to[8];
	size_t n = 0, pairs = 0;
	(void)s;
	assert_true(url_query_find(q, HG_STR("a"), &value));
	assert_str(value, "1");
	assert_true(url_query_find(q, HG_STR("b"), &value));
	assert_str(value, "");
	assert_true(url_query_find(q, HG_STR("c"), &value));
	assert_true(url_decode(value, true, to, sizeof to, &n));
	assert_str(((struct hg_str){to, n}), "x y z");
	assert_false(url_decode(value, true, to, 4, &n));
	assert_false(url_decode(HG_STR("%4"), true, to, sizeof to, &n));
	assert_false(url_query_find(q, HG_STR("e"), &value));
	while (url_query_next(&q, &name, &value))
		pairs++;
	assert_int_equal(pairs, 5);
}

static void encoding_is_undone_by_decoding(void **s)
{
	struct hg_buf b;
	char all[255], back[255];
	size_t n = 0;
	(void)s;
	for (size_t i = 0; i < sizeof all; i++)
		all[i] = (char)(i + 1);
	hg_buf_init(&b, 4096);
	url_encode(&b, (struct hg_str){all, sizeof all}, "");
	assert_true(url_decode(hg_buf_view(&b), true, back, sizeof back, &n));
	assert_int_equal(n, sizeof all);
	assert_memory_equal(all, back, n);
	hg_buf_reset(&b);
	url_encode(&b, HG_STR("/a b/\xc3\xbc~"), "/");
	assert_string_equal(hg_buf_text(&b), "/a%20b/%C3%BC~");
	hg_buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_path_is_decoded_and_its_dots_resolved),
	        cmocka_unit_test(a_query_is_walked_and_searched),
	        cmocka_unit_test(encoding_is_undone_by_decoding),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
