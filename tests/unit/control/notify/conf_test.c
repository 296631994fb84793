/* What people write in `alerts`: matchers and times as Alertmanager reads them. */
#include "world.h"

#include "control/notify/notify.h"
#include "spec/spec.h"

#include <stdio.h>

static void matchers_are_read_as_alertmanager_reads_them(void **state)
{
	static const struct {
		const char *text, *name, *value; /* name NULL: refused */
		enum label_match op;
	} rows[] = {
	        {"a=b", "a", "b", LABEL_EQ},
	        {" a = b ", "a", "b", LABEL_EQ},
	        {"a=\"\"", "a", "", LABEL_EQ},
	        {"a=", "a", "", LABEL_EQ},
	        {"a!=b c", "a", "b c", LABEL_NE},
	        {"a=~\"x|y\"", "a", "x|y", LABEL_RE},
	        {"a!~x.*", "a", "x.*", LABEL_NRE},
	        {"a==b", "a", "=b", LABEL_EQ},
	        {"a=\"b\\\"c\"", "a", "b\"c", LABEL_EQ},
	        {"a=\"b\\\\\"", "a", "b\\", LABEL_EQ},
	        {"a=\"b\\nc\"", "a", "b\nc", LABEL_EQ},
	        {"a=~\"b\\.c\"", "a", "b\\.c", LABEL_RE},
	        {"a=~b\\\\.c", "a", "b\\.c", LABEL_RE}, /* also without quotes */
	        {"a=\"x,y{z}\"", "a", "x,y{z}", LABEL_EQ},
	        {"\"a.b/c\"=\"d\"", "a.b/c", "d", LABEL_EQ},
	        {"\"\xf0\x9f\x99\x82\"=~\"\xc3\xa4+\"", "\xf0\x9f\x99\x82", "\xc3\xa4+", LABEL_RE},
	        {"\xc3\xa4=b", "\xc3\xa4", "b", LABEL_EQ},
	        {"a.b=c", "a.b", "c", LABEL_EQ},
	        {"\"a\\\"b\"=\"c\"", "a\"b", "c", LABEL_EQ},
	        {"a", NULL, NULL, 0},
	        {"=b", NULL, NULL, 0},
	        {"\"\"=b", NULL, NULL, 0},
	        {"\"a=b", NULL, NULL, 0},
	        {"a!b", NULL, NULL, 0},
	        {"a=\"b", NULL, NULL, 0},
	        {"a=b\"", NULL, NULL, 0},
	        {"a=\"b\\\"", NULL, NULL, 0}, /* the quote is not the end */
	        {"a=\"b\"c\"", NULL, NULL, 0},
	        {"a=b,c=d", NULL, NULL, 0}, /* there it would be two */
	        {"{a=b}", NULL, NULL, 0},
	        {"a=~x{2}", NULL, NULL, 0},
	        {"a=\"b\",c=\"d\"", NULL, NULL, 0},
	        {"", NULL, NULL, 0},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct hg_arena mem;
		struct hg_err err = {0};
		struct label_matcher m = {0};
		hg_arena_init(&mem, "test", 1 << 20);
		enum hg_rc rc = notify_matcher_parse(hg_str(rows[i].text), &mem, &m, &err);
		if ((rc == HG_OK) != (rows[i].name != NULL))
			fail_msg("%s: %s", rows[i].text, rc < 0 ? err.message : "was taken");
		if (rc == HG_OK) {
			assert_str(m.name, rows[i].name);
			assert_str(m.value, rows[i].value);
			assert_int_equal(m.op, rows[i].op);
		}
		hg_arena_fini(&mem);
	}
}

static enum hg_rc plan_of(const char *yaml, struct notify_plan **ret_plan)
{
	struct hg_arena mem;
	struct spec *spec;
	struct spec_report *report = calloc(1, sizeof *report);
	struct hg_err err = {0};
	assert_non_null(report);
	hg_arena_init(&mem, "test", 64u << 20);
	struct spec_source from = {.text = hg_str(yaml), .file = "headgate.yaml"};
	if (spec_load(&from, &mem, report, &spec) < 0) fail_msg("%s", report->errors[0].message);
	enum hg_rc rc = notify_check(spec, ret_plan, &err);
	hg_arena_fini(&mem);
	free(report);
	return rc;
}

static void what_a_route_does_not_say_is_as_above_it(void **state)
{
	static const char yaml[] =
	        "app: a\ncommand: x\nalerts:\n  receivers: {r: {slack: S}, q: {slack: S}}\n"
	        "  route:\n    to: [r]\n    wait: 20s\n    interval: 3m\n    repeat: 2h\n"
	        "    group_by: [x]\n    routes:\n"
	        "      - {match: [a=b], wait: 0s, to: [q], routes: [{match: [c=d]}, "
	        "{match: [e=f], wait: 5s, interval: 1m, repeat: 1h, group_by: [y, z]}]}\n"
	        "      - {match: [g=h], wait: inherit}\n";
	static const struct {
		uint64_t wait_ms, interval_ms, repeat_ms;
		uint32_t receiver, by;
	} want[] = {{20000, 180000, 7200000, 0, 1}, {0, 180000, 7200000, 1, 1},
	        {0, 180000, 7200000, 1, 1}, {5000, 60000, 3600000, 1, 2},
	        {20000, 180000, 7200000, 0, 1}};
	struct notify_plan *plan = NULL;
	(void)state;
	assert_int_equal(plan_of(yaml, &plan), HG_OK);
	const struct notify_conf *c = notify_plan_conf(plan);
	assert_int_equal(c->route_count, HG_COUNT(want));
	for (uint32_t i = 0; i < c->route_count; i++) {
		const struct notify_route *r = &c->routes[i];
		if (r->wait_ms != want[i].wait_ms || r->interval_ms != want[i].interval_ms ||
		        r->repeat_ms != want[i].repeat_ms || r->receiver_count != 1 ||
		        r->receivers[0] != want[i].receiver || r->group_by_count != want[i].by)
			fail_msg("route %u: wait %llu", i, (unsigned long long)r->wait_ms);
	}
	notify_plan_free(plan);
}

/* HG_OK, and whether each moment lies in it; or an error. */
static enum hg_rc times_try(const char *times, const uint64_t *at, bool *ret, size_t n)
{
	char yaml[1024];
	struct notify_plan *plan = NULL;
	snprintf(yaml, sizeof yaml,
	        "app: a\ncommand: x\nalerts:\n  receivers: {r: {slack: S}}\n  route: {to: [r], "
	        "routes: [{match: [a=b], mute: [t]}]}\n  times: {t: {%s}}\n",
	        times);
	enum hg_rc rc = plan_of(yaml, &plan);
	for (size_t i = 0; rc == HG_OK && i < n; i++)
		ret[i] = notify_times_contain(&notify_plan_conf(plan)->times[0], at[i] * 1000);
	notify_plan_free(plan);
	return rc;
}

static void times_that_no_month_has_are_refused(void **state)
{
	static const struct {
		const char *times;
		bool good;
	} rows[] = {
	        {"days: ['1:31']", true},
	        {"days: ['-1']", true},
	        {"days: ['-7:-1']", true},
	        {"days: ['5:-1']", true},
	        {"days: ['29:-1']", true},
	        {"days: ['-5:3']", false}, /* would never be: people would hear of nothing */
	        {"days: ['-1:-7']", false},
	        {"days: ['20:-20']", false},
	        {"days: ['7:3']", false},
	        {"days: ['0:3']", false},
	        {"days: ['1:32']", false},
	        {"days: ['-32:-1']", false},
	        {"weekdays: ['monday:friday']", true},
	        {"weekdays: ['saturday:sunday']", false}, /* Sunday is the first */
	        {"months: ['march:may', 12]", true},
	        {"months: ['may:march']", false},
	        {"months: [13]", false},
	        {"years: ['2024:2026']", true},
	        {"years: ['2026:2024']", false},
	        {"at: ['00:00-24:00']", true},
	        {"at: ['22:00-06:00']", false},
	        {"at: ['10:00-10:00']", false},
	        {"at: ['24:00-24:00']", false},
	        {"zone: Europe/Nowhere", false},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++)
		if ((times_try(rows[i].times, NULL, NULL, 0) == HG_OK) != rows[i].good)
			fail_msg("%s", rows[i].times);
}

/* Summer time in Zurich: 2026-03-29 02:00 becomes 03:00, 2026-10-25 03:00 becomes 02:00. */
static void times_follow_the_clock_on_the_wall(void **state)
{
	static const uint64_t at[] = {
	        1774745940, /* 2026-03-29 01:59 CET */
	        1774746000, /* 03:00 CEST: there is no 02:30 that night */
	        1792888200, /* 2026-10-25 02:30 CEST */
	        1792891800, /* 02:30 CET, the second one */
	        1792893600, /* 03:00 CET */
	        1772319540, /* 2026-02-28 23:59 CET */
	        1772319600, /* 2026-03-01 00:00 CET */
	        1709161200, /* 2024-02-29 00:00 CET */
	};
	static const struct {
		const char *times;
		bool in[HG_COUNT(at)];
	} rows[] = {
	        {"zone: Europe/Zurich, at: ['02:00-03:00']", {0, 0, 1, 1, 0, 0, 0, 0}},
	        {"zone: Europe/Zurich, at: ['00:00-02:00']", {1, 0, 0, 0, 0, 0, 1, 1}},
	        {"zone: Europe/Zurich, days: ['-1']", {0, 0, 0, 0, 0, 1, 0, 1}},
	        {"zone: Europe/Zurich, days: ['29:31']", {1, 1, 0, 0, 0, 0, 0, 1}},
	        {"zone: Europe/Zurich, days: ['-3:-1']", {1, 1, 0, 0, 0, 1, 0, 1}},
	        {"zone: Europe/Zurich, weekdays: [sunday], months: ['october']",
	                {0, 0, 1, 1, 1, 0, 0, 0}},
	        {"days: ['-1']", {0, 0, 0, 0, 0, 1, 1, 0}}, /* UTC */
	        {"zone: Europe/Zurich, years: [2024]", {0, 0, 0, 0, 0, 0, 0, 1}},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		bool got[HG_COUNT(at)];
		assert_int_equal(times_try(rows[i].times, at, got, HG_COUNT(at)), HG_OK);
		for (size_t k = 0; k < HG_COUNT(at); k++)
			if (got[k] != rows[i].in[k])
				fail_msg("%s at %llu: %d", rows[i].times, (unsigned long long)at[k],
				        got[k]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(matchers_are_read_as_alertmanager_reads_them),
	        cmocka_unit_test(what_a_route_does_not_say_is_as_above_it),
	        cmocka_unit_test(times_that_no_month_has_are_refused),
	        cmocka_unit_test(times_follow_the_clock_on_the_wall),
	};
	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
