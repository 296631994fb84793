#include "tests/unit/test.h"

#include "apps/feedback/status.c"

static void words_and_statuses_are_the_same(void **state)
{
	(void)state;
	for (int i = 0; i < STATUSES; i++) {
		enum status s = STATUSES;
		assert_true(status_named(hg_str(status_name((enum status)i)), &s));
		assert_int_equal(s, i);
		assert_int_equal(status_of(hg_str(status_name((enum status)i))), i);
	}
	/* of a later release */
	assert_int_equal(status_of(HG_STR("duplicate")), STATUS_OPEN);
}

static void a_body_is_a_status_or_a_sentence(void **state)
{
	static const struct {
		const char *body, *want; /* NULL: done */
	} rows[] = {{"{\"status\":\"done\"}", NULL}, {" {\"x\":1,\"status\":\"done\"}\n", NULL},
	        {"", "Request body is required"}, {" \n", "Request body is required"},
	        {"{", "Request body is not valid JSON"},
	        {"[]", "Request body must be a JSON object"},
	        {"\"done\"", "Request body must be a JSON object"},
	        {"{}", "Status field is required"},
	        {"{\"status\":null}",
	                "Status must be open, planned, in_progress, done or declined"},
	        {"{\"status\":\"\"}",
	                "Status must be open, planned, in_progress, done or declined"},
	        {"{\"status\":\"done\\u0000\"}",
	                "Status must be open, planned, in_progress, done or declined"},
	        {"{\"status\":3}", "Status must be open, planned, in_progress, done or declined"}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		enum status s = STATUS_OPEN;
		const char *wrong = status_parse(hg_str(rows[i].body), &s);
		if (!rows[i].want) {
			if (wrong) fail_msg("%s: %s", rows[i].body, wrong);
			assert_int_equal(s, STATUS_DONE);
		} else {
			assert_non_null(wrong);
			assert_string_equal(wrong, rows[i].want);
		}
	}
}

static void a_browser_has_a_number_below_zero_that_never_changes(void **state)
{
	char long_text[66];
	(void)state;
	/* votes are kept by it: another number would be another voter */
	assert_true(status_voter(HG_STR("0123456789abcdef")) == -2890242840160550347);
	assert_true(status_voter(HG_STR("0123456789abcdeg")) < 0);
	assert_true(status_voter(HG_STR("0123456789abcdeg")) != -2890242840160550347);
	assert_true(status_voter(HG_STR("AZaz09-_AZaz09-_")) < 0);
	assert_int_equal(status_voter(HG_STR("0123456789abcde")), 0);
	assert_int_equal(status_voter(HG_STR("0123456789abcde.")), 0);
	assert_int_equal(status_voter(HG_STR("0123456789abcde\n")), 0);
	assert_int_equal(status_voter(HG_STR("")), 0);
	memset(long_text, 'x', sizeof long_text);
	assert_true(status_voter((struct hg_str){long_text, 64}) < 0);
	assert_int_equal(status_voter((struct hg_str){long_text, 65}), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(words_and_statuses_are_the_same),
	        cmocka_unit_test(a_body_is_a_status_or_a_sentence),
	        cmocka_unit_test(a_browser_has_a_number_below_zero_that_never_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
