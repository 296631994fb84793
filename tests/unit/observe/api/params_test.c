#include "../../test.h"

#include "observe/api/errors.c"
#include "observe/api/params.c"

static void times_are_read_as_prometheus_reads_them(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		int64_t ms;
	} row[] = {
	        {"0", true, 0},
	        {"1435781451.781", true, 1435781451781},
	        {"1435781451.7815", true, 1435781451782},
	        {"1e9", true, 1000000000000},
	        {"-1.5", true, -1500},
	        {"2015-07-01T20:10:51.781Z", true, 1435781451781},
	        {"2015-07-01T22:10:51+02:00", true, 1435781451000},
	        {"-292273086-05-16T16:47:06Z", true, -PA_TIME_MAX_MS},
	        {"292277025-08-18T07:12:54.999999999Z", true, PA_TIME_MAX_MS},
	        {"1e300", true, PA_TIME_MAX_MS},
	        {"-1e300", true, -PA_TIME_MAX_MS},
	        {"", false, 0},
	        {"now", false, 0},
	        {"5m", false, 0},
	        {"NaN", false, 0},
	        {"Inf", false, 0},
	        {"0x10", false, 0},
	        {"1 ", false, 0},
	        {"1e999", false, 0},
	        {"2015-13-01T20:10:51Z", false, 0},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		int64_t ms = 0;
		bool ok = pa_time(hg_str(row[i].text), &ms);
		if (ok != row[i].ok || ms != row[i].ms)
			fail_msg("\"%s\": %d %lld", row[i].text, ok, (long long)ms);
	}
}

static void spans_are_seconds_or_have_units(void **state)
{
	static const struct {
		const char *text, *error;
		int64_t ms;
	} row[] = {
	        {"15", NULL, 15000},
	        {"0.25", NULL, 250},
	        {"5m", NULL, 300000},
	        {"1h30m", NULL, 5400000},
	        {"0", NULL, 0},
	        {"-1", NULL, -1000},
	        {"", "cannot parse \"\" to a valid duration", 0},
	        {"5 m", "cannot parse \"5 m\" to a valid duration", 0},
	        {"m5", "cannot parse \"m5\" to a valid duration", 0},
	        {"1e15", "cannot parse \"1e15\" to a valid duration. It overflows int64", 0},
	        {"9999999999999999999y",
	                "cannot parse \"9999999999999999999y\" to a valid duration", 0},
	        {"300000y", "cannot parse \"300000y\" to a valid duration", 0},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		int64_t ms = 0;
		struct pa_error e = {0};
		bool ok = pa_span(hg_str(row[i].text), &ms, &e);
		if (ok != !row[i].error || ms != row[i].ms)
			fail_msg("\"%s\": %d %lld", row[i].text, ok, (long long)ms);
		if (!ok) assert_string_equal(e.text, row[i].error);
	}
}

static struct pa_form form(const char *body, const char *query)
{
	struct pa_form f;
	struct pa_error e = {0};
	if (!pa_form_read(&f, hg_str(body), hg_str(query), &e)) fail_msg("%s", e.text);
	return f;
}

static void a_form_comes_before_the_query_string(void **state)
{
	const struct hg_str *all;
	uint32_t n;
	struct pa_error e = {0};
	struct pa_form f = form("query=a%2Bb+c&match[]=x", "query=second&match%5B%5D=y&empty=&&=v");
	(void)state;
	assert_str(pa_form_get(&f, "query"), "a+b c");
	assert_str(pa_form_get(&f, "empty"), "");
	assert_str(pa_form_get(&f, "none"), "");
	assert_true(pa_form_all(&f, "match[]", &all, &n, &e));
	assert_int_equal(n, 2);
	assert_str(all[0], "x");
	assert_str(all[1], "y");
	pa_form_free(&f);
	f = form("", "");
	assert_str(pa_form_get(&f, ""), "");
	pa_form_free(&f);
}

static void forms_that_are_wrong_are_refused(void **state)
{
	static const char *const bad[] = {"a=%", "a=%2", "a=%zz", "%=1", "a=%00"};
	struct pa_form f;
	struct hg_buf many;
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		struct pa_error e = {0};
		if (pa_form_read(&f, hg_str(bad[i]), HG_STR(""), &e)) fail_msg("%s", bad[i]);
		assert_int_equal(e.kind, PA_BAD_DATA);
		assert_string_equal(e.text, "error parsing form values: invalid URL escape");
		pa_form_free(&f);
	}
	hg_buf_init(&many, 1 << 20);
	for (unsigned i = 0; i <= PA_PAIRS_MAX; i++)
		hg_buf_cstr(&many, "a=b&");
	struct pa_error e = {0};
	assert_false(pa_form_read(&f, hg_buf_view(&many), HG_STR(""), &e));
	assert_string_equal(e.text, "error parsing form values: more than 4096");
	pa_form_free(&f);
	hg_buf_free(&many);
}

static void optional_parameters_keep_what_they_were(void **state)
{
	static const struct {
		const char *query, *error;
		uint64_t limit;
	} row[] = {
	        {"", NULL, 7},
	        {"limit=3", NULL, 3},
	        {"limit=0", NULL, UINT64_MAX},
	        {"limit=-1", "invalid parameter \"limit\": limit must be non-negative", 0},
	        {"limit=1.5", "invalid parameter \"limit\": limit must be a number", 0},
	        {"limit=99999999999999999999",
	                "invalid parameter \"limit\": limit must be a number", 0},
	        {"start=x",
	                "invalid parameter \"start\": Invalid time value for 'start': cannot parse "
	                "\"x\" to a valid timestamp",
	                0},
	        {"step=x", "invalid parameter \"step\": cannot parse \"x\" to a valid duration", 0},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct pa_form f = form("", row[i].query);
		struct pa_error e = {0};
		uint64_t limit = 7;
		int64_t start = 5, step = 6;
		bool ok = pa_limit_of(&f, &limit, &e) && pa_time_of(&f, "start", &start, &e) &&
		          pa_span_of(&f, "step", &step, &e);
		if (ok != !row[i].error) fail_msg("%s: %s", row[i].query, e.text);
		if (ok) assert_int_equal(limit, row[i].limit);
		if (!ok) assert_string_equal(e.text, row[i].error);
		if (!row[i].error) assert_true(start == 5 && step == 6);
		pa_form_free(&f);
	}
}

static void names_of_labels_may_be_escaped(void **state)
{
	static const struct {
		const char *text, *name;
	} row[] = {
	        {"job", "job"},
	        {"U__my_2e_name", "my.name"},
	        {"U__a__b", "a_b"},
	        {"U___e9_t_e9_", "\xc3\xa9t\xc3\xa9"},
	        {"U___20ac_", "\xe2\x82\xac"},
	        {"U___1f600_", "\xf0\x9f\x98\x80"},
	        {"U__a_2e", "U__a_2e"},           /* not closed: no escape */
	        {"U___d800_", "U___d800_"},       /* no character */
	        {"U___110000_", "U___110000_"},   /* none either */
	        {"U___1234567_", "U___1234567_"}, /* too long */
	        {"U__", ""},
	        {"u__a", "u__a"},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct pa_form f = form("", "");
		struct hg_str name = {0};
		assert_true(pa_label_name(&f, hg_str(row[i].text), &name));
		assert_str(name, row[i].name);
		pa_form_free(&f);
	}
}

static void errors_have_prometheus_kinds_and_codes(void **state)
{
	static const struct {
		enum hg_rc rc;
		unsigned line;
		const char *json;
		unsigned status;
	} row[] = {
	        {HG_E_QUERY_SYNTAX, 1,
	                "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"invalid "
	                "parameter \\\"query\\\": 1:5: parse error: a \\\"b\\\"; did you mean "
	                "c?\"}",
	                400},
	        {HG_E_QUERY_FAILED, 0,
	                "{\"status\":\"error\",\"errorType\":\"execution\",\"error\":\"a "
	                "\\\"b\\\"; "
	                "did you mean c?\"}",
	                422},
	        {HG_E_QUERY_TIME, 0,
	                "{\"status\":\"error\",\"errorType\":\"timeout\",\"error\":\"a \\\"b\\\"; "
	                "did you mean c?\"}",
	                503},
	        {HG_E_NOMEM, 0,
	                "{\"status\":\"error\",\"errorType\":\"internal\",\"error\":\"a \\\"b\\\"; "
	                "did you mean c?\"}",
	                500},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct hg_err err = {0};
		struct pa_error e = {0};
		struct hg_buf b;
		hg_err_set(&err, row[i].rc, "a \"b\"");
		hg_err_hint(&err, "did you mean c?");
		err.line = row[i].line;
		err.column = 5;
		assert_false(pa_fail_from(&e, "query", &err));
		hg_buf_init(&b, 4096);
		pa_error_json(&e, &b);
		assert_str(hg_buf_view(&b), row[i].json);
		assert_int_equal(pa_status(e.kind), row[i].status);
		hg_buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(times_are_read_as_prometheus_reads_them),
	        cmocka_unit_test(spans_are_seconds_or_have_units),
	        cmocka_unit_test(a_form_comes_before_the_query_string),
	        cmocka_unit_test(forms_that_are_wrong_are_refused),
	        cmocka_unit_test(optional_parameters_keep_what_they_were),
	        cmocka_unit_test(names_of_labels_may_be_escaped),
	        cmocka_unit_test(errors_have_prometheus_kinds_and_codes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
