#include "tests/unit/test.h"

#include "apps/feedback/text.c"

static void times_are_utc_with_microseconds_and_a_zone(void **state)
{
	char to[TEXT_TIME_MAX];
	(void)state;
	size_t n = text_time_iso(1792393943109149123u, to);
	assert_str(((struct hg_str){to, n}), "2026-10-19T07:12:23.109149Z");
	n = text_time_log(1792393943109149123u, to);
	assert_str(((struct hg_str){to, n}), "2026-10-19 07:12:23,109");
	n = text_time_iso(0, to);
	assert_str(((struct hg_str){to, n}), "1970-01-01T00:00:00.000000Z");
}

static void trimming_takes_every_white_space_that_python_takes(void **state)
{
	(void)state;
	assert_str(text_trim(HG_STR("  a b \t\r\n")), "a b");
	assert_str(text_trim(HG_STR("\xc2\xa0\xe3\x80\x80"
	                            "a\xe2\x80\xa8\x1f")),
	        "a");
	assert_str(text_trim(HG_STR(" \xc2\x85\xe2\x80\x8a ")), "");
	assert_str(text_trim(HG_STR("")), "");
	/* zero-width space and byte order mark are no white space to Python */
	assert_str(text_trim(HG_STR("\xe2\x80\x8b")), "\xe2\x80\x8b");
	assert_str(text_trim(HG_STR("\xef\xbb\xbf"
	                            "x")),
	        "\xef\xbb\xbf"
	        "x");
	assert_str(text_trim(HG_STR(" \xf0\x9f\x8c\x8a ")), "\xf0\x9f\x8c\x8a");
}

static void characters_are_counted_not_bytes(void **state)
{
	(void)state;
	assert_int_equal(text_characters(HG_STR("")), 0);
	assert_int_equal(text_characters(HG_STR("abc")), 3);
	assert_int_equal(text_characters(HG_STR("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80")), 3);
}

static void ids_from_outside_are_short_and_plain(void **state)
{
	(void)state;
	assert_true(text_is_token(HG_STR("7f3a-b.c/d"), 128));
	assert_false(text_is_token(HG_STR("a b"), 128));
	assert_false(text_is_token(HG_STR("a\"b"), 128));
	assert_false(text_is_token(HG_STR("\xc3\xa4"), 128));
	assert_false(text_is_token(HG_STR("abc"), 2));
	assert_false(text_is_token(HG_STR(""), 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(times_are_utc_with_microseconds_and_a_zone),
	        cmocka_unit_test(trimming_takes_every_white_space_that_python_takes),
	        cmocka_unit_test(characters_are_counted_not_bytes),
	        cmocka_unit_test(ids_from_outside_are_short_and_plain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
