#include "../test.h"

#include "wire/date.h"
#include "wire/json.h"
#include "wire/promtext.h"

#include <math.h>

static void json_is_written_with_commas_and_escapes(void **s)
{
	struct hg_buf b;
	struct json_out j;
	(void)s;
	hg_buf_init(&b, 4096);
	json_out_init(&j, &b);
	json_out_object(&j);
	json_out_key(&j, "a\"b");
	json_out_str(&j, HG_STR("\\ \n\x01\x7f\xc3\xbc\xff\xe2\x82 \xed\xa0\x80"));
	json_out_key(&j, "list");
	json_out_array(&j);
	json_out_int(&j, INT64_MIN);
	json_out_u64(&j, UINT64_MAX);
	json_out_num(&j, 0.1);
	json_out_num(&j, NAN);
	json_out_bool(&j, true);
	json_out_array(&j);
	json_out_end(&j);
	json_out_object(&j);
	json_out_end(&j);
	json_out_end(&j);
	json_out_key(&j, "n");
	json_out_cstr(&j, NULL);
	assert_false(json_out_ok(&j));
	json_out_end(&j);
	assert_true(json_out_ok(&j));
	assert_string_equal(hg_buf_text(&b),
	        "{\"a\\\"b\":\"\\\\ \\n\\u0001\\u007f\xc3\xbc\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd "
	        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\","
	        "\"list\":[-9223372036854775808,18446744073709551615,0.1,null,true,[],{}],"
	        "\"n\":null}");
	hg_buf_free(&b);
}

static void json_that_is_too_deep_or_too_long_fails(void **s)
{
	struct hg_buf b;
	struct json_out j;
	(void)s;
	hg_buf_init(&b, 4096);
	json_out_init(&j, &b);
	for (int i = 0; i < 100; i++)
		json_out_array(&j);
	for (int i = 0; i < 100; i++)
		json_out_end(&j);
	assert_false(json_out_ok(&j));
	hg_buf_free(&b);
	hg_buf_init(&b, 4);
	json_out_init(&j, &b);
	json_out_str(&j, HG_STR("abcdef"));
	assert_false(json_out_ok(&j));
	hg_buf_free(&b);
}

static void metrics_are_written_in_the_text_format(void **s)
{
	struct hg_buf b;
	const struct prom_label l[] = {{"a", HG_STR("x\"\\\n")}};
	const double bounds[] = {0.005, 1};
	const uint64_t counts[] = {1, 2, 3};
	const struct prom_histogram h = {bounds, counts, 2, 7.5};
	(void)s;
	hg_buf_init(&b, 4096);
	prom_head(&b, "m", "counter", "two\nlines \"q\" \\");
	prom_sample_u64(&b, "m", l, 1, UINT64_MAX);
	prom_sample(&b, "g", NULL, 0, -INFINITY);
	prom_histogram(&b, "h", l, 1, &h);
	prom_histogram(&b, "i", NULL, 0, &h);
	assert_string_equal(hg_buf_text(&b), "# HELP m two\\nlines \"q\" \\\\\n# TYPE m counter\n"
	                                     "m{a=\"x\\\"\\\\\\n\"} 18446744073709551615\n"
	                                     "g -Inf\n"
	                                     "h_bucket{a=\"x\\\"\\\\\\n\",le=\"0.005\"} 1\n"
	                                     "h_bucket{a=\"x\\\"\\\\\\n\",le=\"1\"} 3\n"
	                                     "h_bucket{a=\"x\\\"\\\\\\n\",le=\"+Inf\"} 6\n"
	                                     "h_sum{a=\"x\\\"\\\\\\n\"} 7.5\n"
	                                     "h_count{a=\"x\\\"\\\\\\n\"} 6\n"
	                                     "i_bucket{le=\"0.005\"} 1\n"
	                                     "i_bucket{le=\"1\"} 3\n"
	                                     "i_bucket{le=\"+Inf\"} 6\n"
	                                     "i_sum 7.5\n"
	                                     "i_count 6\n");
	hg_buf_free(&b);
}

static void dates_are_shown_in_both_forms(void **s)
{
	char http[DATE_HTTP_SIZE], rfc[DATE_RFC3339_SIZE];
	(void)s;
	date_http(784111777, http);
	assert_string_equal(http, "Sun, 06 Nov 1994 08:49:37 GMT");
	date_http(0, http);
	assert_string_equal(http, "Thu, 01 Jan 1970 00:00:00 GMT");
	date_rfc3339(951782400123, rfc);
	assert_string_equal(rfc, "2000-02-29T00:00:00.123Z");
	date_rfc3339(253402300799999, rfc);
	assert_string_equal(rfc, "9999-12-31T23:59:59.999Z");
}

static void dates_are_read_back_and_impossible_ones_refused(void **s)
{
	static const char *const bad[] = {"", "2026-11-23", "2026-11-23T19:00:00",
	        "2026-11-23T19:00:00.Z", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
	        "2026-00-01T00:00:00Z", "2026-01-32T00:00:00Z", "2026-01-01T24:00:00Z",
	        "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "2026-01-01T00:00:00+24:00",
	        "2026-01-01T00:00:00+0100", "2026-01-01T00:00:00Zx", "1969-12-31T23:59:59Z",
	        "1970-01-01T00:00:00+00:01", "2026-1-01T00:00:00Z", "+026-01-01T00:00:00Z",
	        "2026-01-01T00:00:00.1234567890Z"};
	char rfc[DATE_RFC3339_SIZE];
	uint64_t ms = 0;
	(void)s;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		if (date_rfc3339_parse(hg_str(bad[i]), &ms)) fail_msg("%s", bad[i]);
	}
	assert_true(date_rfc3339_parse(HG_STR("2026-11-23 21:00:00.5+02:00"), &ms));
	date_rfc3339(ms, rfc);
	assert_string_equal(rfc, "2026-11-23T19:00:00.500Z");
	/* Every day of 200 years, at a second of the day that moves. */
	for (uint64_t day = 0; day < 73000; day++) {
		uint64_t at = (day * 86400 + day * 7919 % 86400) * 1000 + day % 1000;
		date_rfc3339(at, rfc);
		assert_true(date_rfc3339_parse(hg_str(rfc), &ms));
		assert_true(ms == at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(json_is_written_with_commas_and_escapes),
	        cmocka_unit_test(json_that_is_too_deep_or_too_long_fails),
	        cmocka_unit_test(metrics_are_written_in_the_text_format),
	        cmocka_unit_test(dates_are_shown_in_both_forms),
	        cmocka_unit_test(dates_are_read_back_and_impossible_ones_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
