#include "../test.h"

#include "wire/base64.h"

static void texts_are_those_of_the_rfc(void **state)
{
	/* RFC 4648 section 10, without the padding; and both characters that are not base64's. */
	static const char *const row[][2] = {{"", ""}, {"f", "Zg"}, {"fo", "Zm8"}, {"foo", "Zm9v"},
	        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"},
	        {"\xfb\xff\xfe", "-__-"}};
	struct hg_buf b;
	(void)state;
	hg_buf_init(&b, 100);
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		hg_buf_reset(&b);
		base64url_encode(&b, hg_str(row[i][0]));
		assert_string_equal(hg_buf_text(&b), row[i][1]);
		hg_buf_reset(&b);
		assert_true(base64url_decode(&b, hg_str(row[i][1])));
		assert_string_equal(hg_buf_text(&b), row[i][0]);
	}
	hg_buf_free(&b);
}

static void each_byte_string_has_one_text(void **state)
{
	static const char *const bad[] = {
	        "Zg==", "Zh", "Zm9", "Z", "Zm9vY", "Zm 8", "Zm+8", "Zm/8", "Zg\n"};
	struct hg_buf b;
	(void)state;
	hg_buf_init(&b, 100);
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		assert_false(base64url_decode(&b, hg_str(bad[i])));
	assert_int_equal(b.n, 0);
	hg_buf_free(&b);
}

static void with_padding_it_is_mimes(void **state)
{
	static const char *const row[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
	        {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
	        {"\xfb\xff\xfe", "+//+"}};
	static const char *const bad[] = {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z===", "====", "=",
	        "Zg==Zg==", "Zm9v====", "-__-", "Zm9v\n", "Z=g="};
	struct hg_buf b;
	(void)state;
	hg_buf_init(&b, 100);
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		hg_buf_reset(&b);
		base64_encode(&b, hg_str(row[i][0]));
		assert_string_equal(hg_buf_text(&b), row[i][1]);
		hg_buf_reset(&b);
		assert_true(base64_decode(&b, hg_str(row[i][1])));
		assert_string_equal(hg_buf_text(&b), row[i][0]);
	}
	hg_buf_reset(&b);
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		if (base64_decode(&b, hg_str(bad[i]))) fail_msg("\"%s\"", bad[i]);
	assert_int_equal(b.n, 0);
	hg_buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(texts_are_those_of_the_rfc),
	        cmocka_unit_test(each_byte_string_has_one_text),
	        cmocka_unit_test(with_padding_it_is_mimes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
