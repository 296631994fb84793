/* What people type: profiles, faults, the release that serves; and where it is wrong. */
#include "../../test.h"

#include <math.h>

#include "control/simulate/simulate.h"

static struct sim_traffic traffic(const char *text)
{
	struct sim_traffic t;
	struct hg_err err = {0};
	if (sim_traffic_parse(hg_str(text), "--traffic", &t, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	return t;
}

static struct sim_fault fault(const char *text)
{
	struct sim_fault f;
	struct hg_err err = {0};
	if (sim_fault_parse(hg_str(text), "--fault", &f, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	return f;
}

static void a_bare_load_lasts_for_ever(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		double to;
		bool users;
		double think_ms;
	} rows[] = {{"1000/s", 1000, false, 0}, {"2M/s", 2e6, false, 0}, {"0.5/s", 0.5, false, 0},
	        {"100 users", 100, true, 1000}, {"1 user think 2s", 1, true, 2000},
	        {"users=1M,think=30s", 1e6, true, 30000},
	        {"users 20k think 500ms", 20000, true, 500}, {" 0 ", 0, false, 0}};
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct sim_traffic t = traffic(rows[i].text);
		for (uint64_t ms = 0; ms < 1000000000; ms += 333333333) {
			struct sim_stage s = sim_traffic_at(&t, ms);
			assert_float_equal(s.to, rows[i].to, 1e-9);
			assert_int_equal(s.users, rows[i].users);
			assert_float_equal(s.think_ms, rows[i].think_ms, 1e-9);
		}
		assert_true(sim_traffic_next(&t, 0) == UINT64_MAX);
	}
}

static void stages_ramp_and_hold_as_the_owners_profile_does(void **state)
{
	struct sim_traffic t =
	        traffic("ramp 2m to 100 users think 1s; hold 5m; ramp 2m to 200 users; "
	                "hold 5m; ramp 2m to 0");
	static const struct {
		double minute, users;
	} rows[] = {{0, 0}, {1, 50}, {2, 100}, {6.9, 100}, {8, 150}, {9, 200}, {13.9, 200},
	        {15, 100}, {16, 0}, {100, 0}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct sim_stage s = sim_traffic_at(&t, (uint64_t)(rows[i].minute * 60000));
		assert_float_equal(s.to, rows[i].users, 1e-6);
		assert_true(s.users);
		assert_float_equal(s.think_ms, 1000, 1e-9);
	}
	assert_int_equal(sim_traffic_next(&t, 0), 120000);
	assert_int_equal(sim_traffic_next(&t, 120000), 420000);
	assert_true(sim_traffic_next(&t, 960000) == UINT64_MAX);
}

static void a_load_without_a_time_is_a_jump(void **state)
{
	struct sim_traffic t = traffic("100/s unsafe 20%; hold 10s; 0; hold 5s; 50/s");
	(void)state;
	assert_float_equal(t.unsafe, 0.2, 1e-9);
	assert_float_equal(sim_traffic_at(&t, 9999).to, 100, 1e-9);
	assert_float_equal(sim_traffic_at(&t, 10000).to, 0, 1e-9);
	assert_float_equal(sim_traffic_at(&t, 15000).to, 50, 1e-9);
	assert_false(sim_traffic_at(&t, 15000).users);
}

static void a_wrong_profile_is_refused_at_its_place(void **state)
{
	static const struct {
		const char *text;
		unsigned column;
		const char *says;
	} rows[] = {{"100", 1, "of what"}, {"  ", 1, "empty"}, {"hold 5m", 1, "nothing to hold"},
	        {"100 users thnk 1s", 11, "thnk"}, {"1000/s think 1s", 8, "only users think"},
	        {"ramp 2m too 5/s", 9, "\"to\" is missing"},
	        {"ramp 2x to 5/s", 6, "ramp takes a time"},
	        {"10/s; hold 5", 12, "hold takes a time"}, {"10/s; ramp 5m to", 17, "is missing"},
	        {"users think 1s", 7, "no number of users"}, {"100 users think 0s", 17, "above 0"},
	        {"1000/s users", 1, "not both"}, {"1e9/s", 1, "no number"},
	        {"900M/s", 1, "at most"}, {"5/s unsafe 120%", 12, "unsafe takes a share"},
	        {"10 users; ramp 1m to 5/s", 11, "from users to users"},
	        {"10/s; hold 31d", 12, "30d"}, {"-5/s", 1, "no number"},
	        {"\xff\xff/s", 1, "no number"}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct sim_traffic t;
		struct hg_err err = {0};
		enum hg_rc rc = sim_traffic_parse(hg_str(rows[i].text), "--traffic", &t, &err);
		assert_int_equal(rc, HG_E_USAGE);
		if (!strstr(err.message, rows[i].says) || err.column != rows[i].column)
			fail_msg("\"%s\": column %u, %s", rows[i].text, err.column, err.message);
		assert_string_equal(err.file, "--traffic");
	}
	char many[1000] = "";
	for (int i = 0; i < 40; i++)
		strncat(many, "10/s;", sizeof many - strlen(many) - 1);
	struct sim_traffic t;
	assert_int_equal(sim_traffic_parse(hg_str(many), "--traffic", &t, NULL), HG_E_USAGE);
}

static void faults_are_written_as_the_feedback_apps_are(void **state)
{
	(void)state;
	struct sim_fault f = fault("errors");
	assert_int_equal(f.kind, SIM_FAULT_ERRORS);
	assert_float_equal(f.share, 1, 0);
	assert_true(f.from_ms == 0 && f.till_ms == UINT64_MAX);
	f = fault("errors:5%:+15m");
	assert_float_equal(f.share, 0.05, 1e-12);
	assert_int_equal(f.from_ms, 900000);
	f = fault("errors:5%+15m..20m");
	assert_int_equal(f.till_ms, 1200000);
	f = fault("slow");
	assert_int_equal(f.ms, 2000);
	f = fault("slow:25%:800ms");
	assert_float_equal(f.share, 0.25, 1e-12);
	assert_int_equal(f.ms, 800);
	f = fault("slow:1.5x");
	assert_float_equal(f.factor, 1.5, 1e-12);
	assert_int_equal(f.ms, 0);
	f = fault("crash:#200");
	assert_int_equal(f.requests, 200);
	f = fault("crash#200");
	assert_int_equal(f.requests, 200);
	f = fault("control-dies+5m");
	assert_true(f.from_ms == 300000 && f.till_ms == 301000);
	for (unsigned i = 0; i < SIM_FAULT_KINDS; i++) {
		f = fault(sim_fault_name((enum sim_fault_kind)i));
		assert_int_equal(f.kind, i);
		assert_true(strlen(sim_fault_text((enum sim_fault_kind)i)) > 5);
	}
}

static void a_wrong_fault_is_refused_at_its_place_and_near_names_are_told(void **state)
{
	static const struct {
		const char *text;
		unsigned column;
		const char *hint;
	} rows[] = {{"erors", 1, "errors"}, {"crash-after:200", 1, "crash#200"},
	        {"never_ready", 1, "never-ready"}, {"banana", 1, "one of:"}, {"", 1, "one of:"},
	        {"errors:5x", 8, "errors[:SHARE%]"}, {"errors:500%", 8, ""}, {"errors:2s", 8, ""},
	        {"slow:0.5x", 6, "Nx"}, {"errors:5%+", 11, ""}, {"errors+2m..1m", 12, ""},
	        {"errors#5", 7, ""}, {"crash#x", 6, ""}, {"quiet:5%", 7, ""},
	        {"errors::5%", 8, ""}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct sim_fault f;
		struct hg_err err = {0};
		enum hg_rc rc = sim_fault_parse(hg_str(rows[i].text), "--fault", &f, &err);
		assert_int_equal(rc, HG_E_USAGE);
		if (!strstr(err.hint, rows[i].hint) || err.column != rows[i].column)
			fail_msg("\"%s\": column %u, %s, %s", rows[i].text, err.column, err.message,
			        err.hint);
	}
}

static void the_serving_release_has_failures_and_times(void **state)
{
	static const struct {
		const char *text;
		double errors, median, p95;
	} rows[] = {{"1%", 0.01, 7, 9}, {"20ms/80ms", 0.5, 20, 80}, {"0.1%:5ms", 0.001, 5, 20},
	        {"5ms/5ms:2%", 0.02, 5, 5}};
	static const char *const wrong[] = {
	        "", "x", "5", "5ms/4ms", "101%", "0ms", "5ms/", "1%::2ms"};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct sim_baseline b = {.errors = 0.5, .median_ms = 7, .p95_ms = 9};
		assert_int_equal(
		        sim_baseline_parse(hg_str(rows[i].text), "--baseline", &b, NULL), HG_OK);
		assert_float_equal(b.errors, rows[i].errors, 1e-12);
		assert_float_equal(b.median_ms, rows[i].median, 1e-12);
		assert_float_equal(b.p95_ms, rows[i].p95, 1e-12);
	}
	for (size_t i = 0; i < HG_COUNT(wrong); i++) {
		struct sim_baseline b = {.median_ms = 7};
		struct hg_err err = {0};
		if (sim_baseline_parse(hg_str(wrong[i]), "--baseline", &b, &err) != HG_E_USAGE)
			fail_msg("\"%s\" was taken", wrong[i]);
		assert_true(b.median_ms == 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_bare_load_lasts_for_ever),
	        cmocka_unit_test(stages_ramp_and_hold_as_the_owners_profile_does),
	        cmocka_unit_test(a_load_without_a_time_is_a_jump),
	        cmocka_unit_test(a_wrong_profile_is_refused_at_its_place),
	        cmocka_unit_test(faults_are_written_as_the_feedback_apps_are),
	        cmocka_unit_test(a_wrong_fault_is_refused_at_its_place_and_near_names_are_told),
	        cmocka_unit_test(the_serving_release_has_failures_and_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
