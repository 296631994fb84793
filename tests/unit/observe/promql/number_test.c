#include "../../test.h"

#include "observe/promql/promql.h"

#include <math.h>

static void durations_are_read_as_prometheus_reads_them(void **s)
{
	static const struct {
		const char *in;
		int64_t ms; /* -1: refused */
	} row[] = {{"0", 0}, {"5m", 300000}, {"1h30m", 5400000}, {"100ms", 100},
	        {"1y", 31536000000}, {"1w2d", 777600000}, {"1d1h1m1s1ms", 90061001}, {"5", -1},
	        {"", -1}, {"m", -1}, {"5m1h", -1}, {"5m5m", -1}, {"1.5h", -1}, {"-5m", -1},
	        {"5x", -1}, {"99999999999999999999y", -1}, {"9223372036854775807y", -1}};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		int64_t ms = -1;
		bool ok = promql_duration(hg_str(row[i].in), &ms);
		if (ok != (row[i].ms >= 0) || (ok && ms != row[i].ms))
			fail_msg("%s: %lld", row[i].in, (long long)ms);
	}
}

static void numbers_are_read_as_prometheus_reads_them(void **s)
{
	static const struct {
		const char *in;
		double v;
		bool bad;
	} row[] = {{"1", 1, 0}, {"-1.5e3", -1500, 0}, {"+.5", .5, 0}, {"2.", 2, 0}, {"0x1F", 31, 0},
	        {"017", 15, 0}, {"09", 9, 0}, {"1_000", 1000, 0}, {"0x_f", 15, 0},
	        {"Inf", INFINITY, 0}, {"-inf", -INFINITY, 0}, {"1__0", 0, 1}, {"_1", 0, 1},
	        {"1_", 0, 1}, {"", 0, 1}, {"x", 0, 1}, {"1x", 0, 1}, {"0x", 0, 1}, {"--1", 0, 1},
	        {"1e", 0, 1}};
	double v;
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		bool ok = promql_number(hg_str(row[i].in), &v);
		if (ok == row[i].bad || (ok && v != row[i].v)) fail_msg("%s", row[i].in);
	}
	assert_true(promql_number(HG_STR("NaN"), &v) && isnan(v));
}

static void numbers_are_written_shortest_without_exponent(void **s)
{
	static const struct {
		double v;
		const char *out;
	} row[] = {{1, "1"}, {0.1, "0.1"}, {-2.5, "-2.5"}, {1e21, "1000000000000000000000"},
	        {1e-7, "0.0000001"}, {123456.789, "123456.789"}, {1.0 / 3, "0.3333333333333333"},
	        {INFINITY, "+Inf"}, {-INFINITY, "-Inf"}, {NAN, "NaN"}, {0, "0"}, {100, "100"}};
	struct hg_buf b;
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		hg_buf_init(&b, 400);
		promql_print_number(&b, row[i].v);
		assert_string_equal(hg_buf_text(&b), row[i].out);
		hg_buf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(durations_are_read_as_prometheus_reads_them),
	        cmocka_unit_test(numbers_are_read_as_prometheus_reads_them),
	        cmocka_unit_test(numbers_are_written_shortest_without_exponent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
