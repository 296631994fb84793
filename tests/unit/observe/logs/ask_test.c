#include "tests/unit/test.h"

#include "observe/logs/ask.c"

#define NOW 1795460400000000000u

static void test_every_parameter_is_understood(void **state)
{
	(void)state;
	struct logs_ask a;
	char why[128] = "";
	bool good = logs_ask_read(HG_STR("app=web&since=1h30m&until=2026-11-23T19:00:00Z&level="
	                                 "warn&release=3&replica=0"
	                                 "&stream=stderr&grep=a%20b%26&ignore_case=1&limit=5&order="
	                                 "oldest&cursor=12-7-we-b"
	                                 "&format=json&follow="),
	        NOW, &a, why, sizeof why);
	if (!good) fail_msg("%s", why);
	assert_str(a.q.app, "web");
	assert_int_equal(a.q.since_ns, NOW - 5400000000000u);
	assert_int_equal(a.q.until_ns, NOW);
	assert_int_equal(a.q.least, HG_WARN);
	assert_int_equal(a.q.release, 3);
	assert_true(a.q.has_replica && a.q.replica == 0 && a.q.has_stream && a.q.ignore_case);
	assert_str(a.q.grep, "a b&");
	assert_int_equal(a.limit, 5);
	assert_true(!a.q.newest_first && a.array && !a.follow);
	assert_int_equal(a.q.cursor_ns, 12);
	assert_int_equal(a.q.cursor_seq, 7);
	assert_str(a.q.cursor_app, "we-b");
}

static void test_nothing_asked_is_the_newest_thousand(void **state)
{
	(void)state;
	struct logs_ask a;
	char why[128];
	assert_true(logs_ask_read(HG_STR(""), NOW, &a, why, sizeof why));
	assert_true(a.q.newest_first && a.limit == 1000 && !a.follow && a.q.app.n == 0);
	assert_true(logs_ask_read(HG_STR("follow=1"), NOW, &a, why, sizeof why));
	assert_int_equal(a.limit, 10);
}

static void test_what_is_not_understood_is_refused_with_a_reason(void **state)
{
	(void)state;
	static const char *const bad[][2] = {
	        {"app=..%2Fx", "parameter \"app\" is not valid: it takes a name of a-z, 0-9 and -"},
	        {"since=yesterday",
	                "parameter \"since\" is not valid: it takes a duration like 10m or "
	                "2h, an RFC 3339 time or epoch seconds"},
	        {"level=loud",
	                "parameter \"level\" is not valid: it takes debug, info, warn or error"},
	        {"limit=1000001", "parameter \"limit\" is not valid: it takes 0 to 1000000"},
	        {"limit=-1", "parameter \"limit\" is not valid: it takes 0 to 1000000"},
	        {"order=random", "parameter \"order\" is not valid: it takes newest or oldest"},
	        {"cursor=1-2", "parameter \"cursor\" is not valid: it takes the cursor of a line"},
	        {"release=0", "parameter \"release\" is not valid: it takes a number from 1"},
	        {"lines=5", "unknown parameter \"lines\""},
	        {"grep=%zz", "parameter \"grep\" is too long or badly encoded"},
	        {"buckets=5", "\"buckets\" is for /v1/logs/volume"},
	        {"buckets=241", "parameter \"buckets\" is not valid: it takes 1 to 240"},
	        {"follow=1&format=json", "format=json cannot be followed: take ndjson"},
	};
	struct logs_ask a;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		char why[128] = "";
		assert_false(logs_ask_read(hg_str(bad[i][0]), NOW, &a, why, sizeof why));
		assert_string_equal(why, bad[i][1]);
	}
}

static void test_counts_have_a_span_and_buckets(void **state)
{
	(void)state;
	struct logs_ask a;
	struct logs_volume v;
	char why[128] = "";
	assert_true(logs_ask_volume(HG_STR("app=web"), NOW, &a, &v, why, sizeof why));
	assert_false(a.q.newest_first);
	assert_int_equal(a.q.until_ns, NOW);
	assert_int_equal(a.q.since_ns, NOW - 3600000000000u);
	assert_int_equal(v.start_ns, a.q.since_ns / 1000000 * 1000000);
	assert_int_equal(v.buckets, 60);
	assert_true(logs_ask_volume(HG_STR("since=1795460400001&until=1795460400011&buckets=3"),
	        NOW, &a, &v, why, sizeof why));
	assert_int_equal(v.start_ns, 1795460400001000000u);
	assert_int_equal(v.step_ns, 4000000);
	assert_int_equal(v.buckets, 3);
	static const char *const bad[] = {"limit=5", "order=oldest", "follow=1", "format=json",
	        "cursor=1795460400001000000-2-web", "since=1795460400001&until=1795460400001",
	        "since=1795460400002&until=1795460400001", "buckets=0", "nonsense=1"};
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		why[0] = 0;
		assert_false(logs_ask_volume(hg_str(bad[i]), NOW, &a, &v, why, sizeof why));
		assert_true(why[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_every_parameter_is_understood),
	        cmocka_unit_test(test_nothing_asked_is_the_newest_thousand),
	        cmocka_unit_test(test_what_is_not_understood_is_refused_with_a_reason),
	        cmocka_unit_test(test_counts_have_a_span_and_buckets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
