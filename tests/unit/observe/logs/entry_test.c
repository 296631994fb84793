#include "tests/unit/test.h"

#include "observe/logs/entry.c"

static void test_levels_are_read_from_json_and_from_words(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		enum hg_level level;
	} rows[] = {
	        {"{\"level\":\"error\",\"msg\":\"x\"}", HG_ERROR},
	        {"{\"msg\":\"ERROR\",\"level\":\"info\"}", HG_INFO},
	        {"{\"a\":{\"level\":\"error\"},\"levelname\":\"WARNING\"}", HG_WARN},
	        {"{\"a\":[1,{\"level\":\"error\"}],\"level\":50}", HG_ERROR},
	        {"{\"level\":30}", HG_INFO},
	        {"{\"severity\" : \"CRITICAL\" }", HG_ERROR},
	        {"{\"q\":\"a\\\"level\\\":\",\"lvl\":\"debug\"}", HG_DEBUG},
	        {"{broken ERROR", HG_ERROR},
	        {"ERROR:root:no", HG_ERROR},
	        {"2026/11/23 10:00:00 [warn] 12#0: x", HG_WARN},
	        {"error: no such file", HG_ERROR},
	        {"0 errors, no error found", HG_INFO},
	        {"ts=1 level=debug msg=x", HG_DEBUG},
	        {"panic: runtime error", HG_ERROR},
	        {"Traceback (most recent call last):", HG_ERROR},
	        {"", HG_INFO},
	        {"{", HG_INFO},
	        {"plain", HG_INFO},
	};
	for (size_t i = 0; i < HG_COUNT(rows); i++)
		if (entry_read(hg_str(rows[i].line)).level != rows[i].level)
			fail_msg("%s: level %d", rows[i].line,
			        entry_read(hg_str(rows[i].line)).level);
}

static void test_times_are_read_in_the_forms_programs_write(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ns;
	} rows[] = {
	        {"1970-01-01T00:00:00Z", 0},
	        {"2026-11-23T19:00:00Z", 1795460400000000000},
	        {"2026-11-23T20:00:00.25+01:00", 1795460400250000000},
	        {"2026-11-23 19:00:00,123", 1795460400123000000},
	        {"2024-02-29T00:00:00Z", 1709164800000000000},
	        {"2026-11-23T19:00:00.123456789-00:30", 1795462200123456789},
	};
	int64_t ns;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		assert_true(entry_time(hg_str(rows[i].text), &ns));
		assert_int_equal(ns, rows[i].ns);
	}
	static const char *const bad[] = {"", "2026", "2026-13-01T00:00:00Z",
	        "2026-11-23T25:00:00Z", "2026-11-23T19:00:00Zx", "2026-11-23T19:00:00.",
	        "1969-01-01T00:00:00Z"};
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		assert_false(entry_time(hg_str(bad[i]), &ns));
}

static void test_epochs_are_told_apart_by_magnitude(void **state)
{
	(void)state;
	static const char *const same[] = {"1795460400", "1795460400000", "1795460400000000",
	        "1795460400000000000", "1795460400.0", "1795460400000.0"};
	int64_t ns;
	for (size_t i = 0; i < HG_COUNT(same); i++) {
		assert_true(entry_epoch(hg_str(same[i]), &ns));
		assert_int_equal(ns, 1795460400000000000);
	}
	assert_true(entry_epoch(HG_STR("1795460400.5"), &ns));
	assert_int_equal(ns, 1795460400500000000);
	assert_false(entry_epoch(HG_STR("18446744073709551615"), &ns));
	assert_false(entry_epoch(HG_STR("-1"), &ns));
	struct entry_said said = entry_read(HG_STR("{\"time\":1795460400.5,\"level\":\"info\"}"));
	assert_int_equal(said.event_ns, 1795460400500000000);
}

static void test_a_time_is_written_as_it_is_read(void **state)
{
	(void)state;
	char text[31];
	int64_t ns;
	for (uint64_t t = 123456789; t < 9000000000000000000u; t += 86399123456789u * 97) {
		entry_time_text(t, text);
		assert_true(entry_time(hg_str(text), &ns));
		assert_int_equal(ns, (int64_t)t);
	}
	entry_time_text(1795460400000000001u, text);
	assert_string_equal(text, "2026-11-23T19:00:00.000000001Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_levels_are_read_from_json_and_from_words),
	        cmocka_unit_test(test_times_are_read_in_the_forms_programs_write),
	        cmocka_unit_test(test_epochs_are_told_apart_by_magnitude),
	        cmocka_unit_test(test_a_time_is_written_as_it_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
