#include "../test.h"

#include "base/str.h"

static void numbers_refuse_signs_overflow_and_emptiness(void **s)
{
	uint64_t v = 7;
	(void)s;
	assert_true(hg_str_u64(HG_STR("18446744073709551615"), &v));
	assert_true(v == UINT64_MAX);
	v = 7;
	assert_false(hg_str_u64(HG_STR("18446744073709551616"), &v));
	assert_false(hg_str_u64(HG_STR(""), &v));
	assert_false(hg_str_u64(HG_STR("-1"), &v));
	assert_false(hg_str_u64(HG_STR("1 "), &v));
	assert_int_equal(v, 7);
}

static void cut_walks_a_list(void **s)
{
	struct hg_str rest = HG_STR("a,,b");
	(void)s;
	assert_str(hg_str_cut(&rest, ','), "a");
	assert_str(hg_str_cut(&rest, ','), "");
	assert_str(hg_str_cut(&rest, ','), "b");
	assert_int_equal(rest.n, 0);
}

static void distance_counts_edits(void **s)
{
	(void)s;
	assert_int_equal(hg_str_distance(HG_STR("replicas"), HG_STR("replica")), 1);
	assert_int_equal(hg_str_distance(HG_STR("kitten"), HG_STR("sitting")), 3);
	assert_int_equal(hg_str_distance(HG_STR(""), HG_STR("abc")), 3);
}

static void utf8_follows_rfc_3629(void **s)
{
	(void)s;
	assert_true(hg_utf8_valid(HG_STR("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80")));
	assert_int_equal(hg_utf8_count(HG_STR("\xf0\x9f\x98\x80\xc3\xbc-")), 3);
	assert_false(hg_utf8_valid(HG_STR("\xc0\xaf")));         /* overlong */
	assert_false(hg_utf8_valid(HG_STR("\xed\xa0\x80")));     /* surrogate */
	assert_false(hg_utf8_valid(HG_STR("\xf4\x90\x80\x80"))); /* above U+10FFFF */
	assert_false(hg_utf8_valid(HG_STR("\xe2\x82")));         /* cut short */
}

static void trim_compare_and_copy(void **s)
{
	char to[4];
	(void)s;
	assert_str(hg_str_trim(HG_STR(" \t x y\r\n")), "x y");
	assert_true(hg_str_eq_nocase(HG_STR("Content-Type"), HG_STR("content-TYPE")));
	assert_true(hg_str_copy(HG_STR("abc"), to, sizeof to));
	assert_false(hg_str_copy(HG_STR("abcd"), to, sizeof to));
	assert_string_equal(to, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(numbers_refuse_signs_overflow_and_emptiness),
	        cmocka_unit_test(cut_walks_a_list),
	        cmocka_unit_test(distance_counts_edits),
	        cmocka_unit_test(utf8_follows_rfc_3629),
	        cmocka_unit_test(trim_compare_and_copy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
