#include "../../test.h"

#include "observe/promql/promql.h"
#include "os/clock.h"

#include <stdlib.h>
#include <stdio.h>

/* ---- the cases: files of the test language ---- */

static void run_file(const char *name)
{
	struct promql_test_counts counts = {0};
	struct hg_err err = {0};
	struct hg_buf out;
	char path[512], *text = malloc(1 << 20);
	struct hg_out o = hg_out_over(path, sizeof path - 1);
	hg_out_fmt(&o, TEST_DATA "/cases/%s.test", name);
	path[o.n] = 0;
	FILE *f = fopen(path, "rb");
	if (!f || !text) fail_msg("%s", path);
	size_t n = fread(text, 1, 1 << 20, f);
	fclose(f);
	hg_buf_init(&out, 1 << 20);
	assert_int_equal(promql_test((struct hg_str){text, n}, name, &out, &counts, &err), HG_OK);
	if (counts.failed || !counts.passed) fail_msg("%s", hg_buf_text(&out));
	hg_buf_free(&out);
	free(text);
}

static void functions_do_what_is_documented(void **s)
{
	(void)s;
	run_file("functions");
}

static void operators_do_what_is_documented(void **s)
{
	(void)s;
	run_file("operators");
}

static void aggregations_do_what_is_documented(void **s)
{
	(void)s;
	run_file("aggregates");
}

static void classic_histograms_do_what_is_documented(void **s)
{
	(void)s;
	run_file("histograms");
}

static void times_and_ranges_do_what_is_documented(void **s)
{
	(void)s;
	run_file("time");
}

static void anchored_and_smoothed_ranges_do_what_is_documented(void **s)
{
	(void)s;
	run_file("extended");
}

/* Prometheus' pages, sentence by sentence. */
static void the_pages_hold_sentence_by_sentence(void **s)
{
	static const char *const page[] = {"documented_basics", "documented_operators",
	        "documented_aggregations", "documented_functions", "documented_histograms",
	        "documented_flags"};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(page); i++)
		run_file(page[i]);
}

/* ---- the runner itself ---- */

static void run_text(
        const char *text, uint64_t passed, uint64_t failed, uint64_t skipped, const char *says)
{
	struct promql_test_counts c = {0};
	struct hg_buf out;
	hg_buf_init(&out, 1 << 20);
	assert_int_equal(promql_test(hg_str(text), "t", &out, &c, NULL), HG_OK);
	if (c.passed != passed || c.failed != failed || c.skipped != skipped ||
	        !strstr(hg_buf_text(&out), says))
		fail_msg("%llu %llu %llu\n%s", (unsigned long long)c.passed,
		        (unsigned long long)c.failed, (unsigned long long)c.skipped,
		        hg_buf_text(&out));
	hg_buf_free(&out);
}

static void a_wrong_expectation_fails_and_says_how(void **s)
{
	(void)s;
	run_text("load 1m\n m 1 2\n\neval instant at 1m m\n m 3\n", 0, 1, 0,
	        "m at 60.000: expected 3, got 2");
	run_text("load 1m\n m 1 2\n\neval instant at 1m m\n m 2\n", 1, 0, 0, "t:4: ok");
	run_text("load 1m\n m 1 2\n\neval instant at 1m m\n", 0, 1, 0, "unexpected series m 2");
	run_text("eval instant at 1m m\n m 2\n", 0, 1, 0, "expected m, got no such series");
	run_text("eval instant at 1m 1\n 2\n", 0, 1, 0, "expected the scalar 2, got 1");
	run_text("eval instant at 1m 1\n expect string \"x\"\n", 0, 1, 0, "expected the string");
	run_text("eval instant at 1m vector(1)\n expect fail\n", 0, 1, 0, "expected a failure");
	run_text(
	        "eval instant at 1m vector(1)\n expect warn\n {} 1\n", 0, 1, 0, "expected warning");
	run_text("load 1m\n m 1 2\n\neval instant at 1m rate(m[5m])\n expect no_info\n {} 0.005\n",
	        0, 1, 0, "unexpected information");
	run_text("load 1m\n m{a=\"1\"} 1\n m{a=\"2\"} 2\n\neval instant at 0 sort(m)\n expect "
	         "ordered\n m{a=\"2\"} 2\n m{a=\"1\"} 1\n",
	        0, 1, 0, "place 1");
	run_text("load 1m\n m 1 2 3\n\neval range from 0 to 2m step 1m m\n m 1 2\n", 0, 1, 0,
	        "expected nothing, got 3");
}

static void a_file_that_is_wrong_is_told_by_line_and_the_rest_is_run(void **s)
{
	(void)s;
	run_text("load x\n m 1\n\nnonsense\n\neval instant at 1m 1\n 1\n", 1, 2, 0, "t:1: FAIL");
	run_text("load 1m\n m{a=} 1\n\neval instant at 1m 1 +\n\neval sometime 1\n 1\n", 0, 3, 0,
	        "t:2: FAIL");
	run_text("load 1m\n m 1x9999999999\n\n", 0, 1, 0, "expected a value");
}

static void an_expression_that_is_wrong_passes_only_where_its_fault_is_expected(void **s)
{
	(void)s;
	run_text("eval instant at 0 raet(m[5m])\n expect fail\n", 0, 1, 0, "t:1: FAIL");
	run_text("eval_fail instant at 0 raet(m[5m])\n", 0, 1, 0, "unknown function");
	run_text("eval instant at 0 raet(m[5m])\n expect fail regex: unknown function\n", 1, 0, 0,
	        "t:1: ok");
	run_text("eval_fail instant at 0 rate(m)\n expected_fail_message expected type range "
	         "vector in "
	         "call to function \"rate\", got instant vector\n",
	        1, 0, 0, "t:1: ok");
	run_text("eval instant at 0 rate(m)\n expect fail msg: something else\n", 0, 1, 0,
	        "expected type range vector");
}

static void every_form_of_an_item_is_read(void **s)
{
	(void)s;
	run_text("load 10s\n  m 5 1x2 1+2x2 1-2x2 _ _x2 stale 0x1F 0XA -0xff 0x2 1e1 -.5 +Inf NaN "
	         "1e1+1e1x1\n\n"
	         "eval instant at 4m m[4m]\n"
	         "  expect range vector from 10s to 240s step 10s\n"
	         "  m 1 1 1 1 3 5 1 -1 -3 _ _ _ _ 31 10 -255 0x2 10 -0.5 Inf NaN 10\n\n"
	         "eval instant at 4m10s m\n  m 20\n\n"
	         "eval instant at 2m10s m\n",
	        3, 0, 0, "t:4: ok");
}

static void every_form_of_an_eval_is_read(void **s)
{
	(void)s;
	run_text("# a comment\nLOAD 1m\n\tm{a=\"1\"}\t1 2\n  {\"u.v\", \"w.x\"='y'} 3\n\n"
	         "EVAL instant at 1m m\n m{a=\"1\"} 2\n\n"
	         "eval instant at 60 {\"u.v\"}\n {\"u.v\",\"w.x\"=\"y\"} 3\n\n"
	         "eval_ordered instant at 1m sort(m)\n m{a=\"1\"} 2\n\n"
	         "eval_warn instant at 1m quantile(2, m)\n {} Inf\n\n"
	         "eval_info instant at 1m increase(m[2m])\n {a=\"1\"} 2\n\n"
	         "eval_fail instant at 1m label_replace(m, \"\", \"\", \"\", \"\")\n"
	         " expected_fail_regexp invalid dest.* label\n\n"
	         "eval instant at 1m m * 2\n expect no_info\n expect no_warn\n {a=\"1\"} 4\n\n"
	         "eval instant at 1m \"x\"\n expect string \"x\"\n\n"
	         "eval range from 0 to 2m30s step 30s m\n m{a=\"1\"} 1 1 2x3\n\n"
	         "eval range from 1m to 1m step 1m m\n m{a=\"1\"} 2\n\n"
	         "eval instant at 1m m[2m]\n expect range vector from 0 to 1m step 1m\n"
	         " m{a=\"1\"} 1 2\n\n"
	         "eval instant at 1m -0x10\n -16\n\nclear\neval instant at 1m m\n",
	        13, 0, 0, "t:6: ok");
}

static void what_is_not_built_is_skipped_and_counted(void **s)
{
	(void)s;
	run_text("load 1m\n m@st 0 -1m 5s\n m 1 2 3\n n 1 2 3\n\n"
	         "eval instant at 2m rate(m[5m])\n {} 1\n\n"
	         "eval instant at 2m n\n n 3\n\n"
	         "eval instant at 2m start_timestamp(n)\n {} 1\n\n"
	         "eval instant at 2m timeseries_gen(`{{series 1.0}}`)\n {} 1\n\n"
	         "eval instant at 2m n + 0\n {} {{sum:1}}\n",
	        1, 0, 4, "t:6: skipped: start timestamps are not built");
	run_text("load 1m\n h {{schema:0 sum:5 count:4 z_bucket:1 z_bucket_w:0.1 buckets:[1 2 1] "
	         "offset:-1 n_buckets:[1] n_offset:0 counter_reset_hint:gauge}}+{{sum:1}}x5\n\n"
	         "eval instant at 1m h </ 0.5\n {} {{sum:1}}\n\n"
	         "eval instant at 1m sum(h) + count(h)\n expect fail\n\n"
	         "eval range from 0 to 5m step 1m histogram_quantile(0.5, h)\n {} 1 1\n\n"
	         "eval instant at 1h absent(h)\n {} 1\n",
	        1, 0, 3, "t:7: skipped: a native histogram is selected");
}

static void what_selects_a_native_histogram_is_skipped_and_counted(void **s)
{
	(void)s;
	run_text("load 1m\n h {{sum:1 count:2}}x3\n f 1\n\neval instant at 1m h\n\neval instant at "
	         "0 f\n f 1\n\n"
	         "eval instant at 10m h\n",
	        2, 0, 1, "t:5: skipped: a native histogram is selected");
	run_text("load_with_nhcb 1m\n h_bucket{le=\"1\"} 1\n h_bucket{le=\"+Inf\"} 2\n\neval "
	         "instant at 0 h\n\n"
	         "eval instant at 0 histogram_quantile(1, h_bucket)\n {} 1\n",
	        1, 0, 1, "skipped");
}

/* ---- limits ---- */

struct world {
	struct tsdb *db;
};

static void load(struct world *w, int series, int samples)
{
	struct tsdb_options o = {.out_of_order_ms = -1};
	struct label at[3];
	char number[24];
	assert_int_equal(tsdb_open(&o, &w->db, NULL), HG_OK);
	for (int i = 0; i < series; i++) {
		tsdb_ref ref;
		snprintf(number, sizeof number, "%05d", i);
		at[0] = (struct label){LABEL_METRIC, HG_STR("m_total")};
		at[1] = (struct label){HG_STR("i"), hg_str(number)};
		at[2] = (struct label){HG_STR("service"), (struct hg_str){number + 4, 1}};
		assert_int_equal(tsdb_series(w->db, (struct labels){at, 3}, &ref, NULL), HG_OK);
		for (int k = 0; k < samples; k++)
			assert_int_equal(
			        tsdb_append(w->db, ref, k * 15000, k * (i % 7 + 1)), HG_OK);
	}
}

static enum hg_rc ask(
        struct world *w, const char *text, struct promql_options o, struct hg_err *err)
{
	struct promql_query *q;
	const struct promql_result *r;
	assert_int_equal(promql_parse(hg_str(text), &q, NULL), HG_OK);
	enum hg_rc rc = promql_run(w->db, q, &o, &r, err);
	if (rc == HG_OK) promql_result_free(r);
	promql_free(q);
	return rc;
}

static void a_query_ends_at_its_limits_and_names_them(void **s)
{
	struct world w;
	struct hg_err err;
	atomic_bool cancel = true;
	(void)s;
	load(&w, 50, 100);
	static const struct {
		struct promql_options o;
		enum hg_rc rc;
		const char *says;
	} row[] = {
	        {{.start_ms = 900000, .end_ms = 900000}, HG_OK, ""},
	        {{.start_ms = 900000, .end_ms = 900000, .samples_max = 100}, HG_E_QUERY_LIMIT,
	                "too many samples"},
	        {{.end_ms = 1000000, .step_ms = 1000, .memory_max = 65536}, HG_E_QUERY_LIMIT,
	                "MiB of memory"},
	        {{.end_ms = 1000000000, .step_ms = 1000}, HG_E_QUERY_LIMIT, "11000 points"},
	        {{.start_ms = 900000, .end_ms = 900000, .deadline_ms = 1}, HG_E_QUERY_TIME,
	                "too long"},
	        {{.start_ms = 1, .end_ms = 0, .step_ms = 1}, HG_E_QUERY_FAILED,
	                "the end is before the start"},
	};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		err = (struct hg_err){0};
		enum hg_rc rc = ask(&w, "sum by (service) (rate(m_total[5m]))", row[i].o, &err);
		if (rc != row[i].rc || !strstr(err.message, row[i].says))
			fail_msg("row %zu: %d %s", i, rc, err.message);
	}
	/* What selections take counts together: one fits, and two do not. */
	struct promql_options some = {.start_ms = 900000, .end_ms = 900000, .select_max = 20000};
	assert_int_equal(ask(&w, "m_total", some, &err), HG_OK);
	assert_int_equal(ask(&w, "m_total + m_total + m_total", some, &err), HG_E_QUERY_LIMIT);
	some.select_max = 2000;
	assert_int_equal(ask(&w, "m_total", some, &err), HG_E_QUERY_LIMIT);
	assert_non_null(strstr(err.hint, "fewer series"));
	some = (struct promql_options){.start_ms = 900000, .end_ms = 900000, .series_max = 50};
	assert_int_equal(ask(&w, "m_total", some, &err), HG_OK);
	some.series_max = 49;
	assert_int_equal(ask(&w, "m_total", some, &err), HG_E_QUERY_LIMIT);
	assert_non_null(strstr(err.message, "more than 49 series"));
	assert_int_equal(ask(&w, "m_total", (struct promql_options){.cancel = &cancel}, &err),
	        HG_E_QUERY_TIME);
	assert_int_equal(ask(&w, "m_total[5m]",
	                         (struct promql_options){.end_ms = 60000, .step_ms = 1000}, &err),
	        HG_E_QUERY_FAILED);
	assert_int_equal(
	        ask(&w, "max_over_time(m_total[1y:1ms])", (struct promql_options){0}, &err),
	        HG_E_QUERY_LIMIT);
	tsdb_close(w.db);
}

/* Few samples, and yet work for minutes: the deadline is looked at within loops, too. */
static void work_without_samples_ends_at_the_deadline(void **s)
{
	static const char *const text[] = {
	        "quantile_over_time(0.5, vector(time() % 7919)[30000s:1s])",
	        "sum_over_time(vector(time())[1000000s:1s])",
	        "mad_over_time(vector(time() % 7919)[30000s:1s])",
	        "info(base, {__name__=~\"i.+\"})",
	};
	struct world w = {0};
	struct hg_err err;
	char name[16];
	(void)s;
	load(&w, 1, 1);
	for (int i = -40; i < 1000; i++) {
		(void)snprintf(name, sizeof name, i < 0 ? "b%d" : "i%d", i);
		struct label l[] = {{LABEL_METRIC, i < 0 ? HG_STR("base") : hg_str(name)},
		        {HG_STR("a"), i < 0 ? hg_str(name) : HG_STR("")},
		        {HG_STR("instance"), HG_STR("x")}, {HG_STR("job"), HG_STR("y")}};
		if (i >= 0) memmove(&l[1], &l[2], 2 * sizeof *l);
		tsdb_ref ref;
		assert_int_equal(
		        tsdb_series(w.db, (struct labels){l, i < 0 ? 4 : 3}, &ref, &err), HG_OK);
		for (int64_t t = 60000; t <= 900000; t += 60000)
			assert_int_equal(tsdb_append(w.db, ref, t, 1), HG_OK);
	}
	for (size_t i = 0; i < HG_COUNT(text); i++) {
		uint64_t began = clock_mono_ms();
		struct promql_options o = {
		        .end_ms = 1000000, .step_ms = 100, .deadline_ms = began + 100};
		enum hg_rc rc = ask(&w, text[i], o, &err);
		if (rc != HG_E_QUERY_TIME) fail_msg("%s: %d %s", text[i], rc, err.message);
		if (clock_mono_ms() > began + 5000) fail_msg("%s: too late", text[i]);
	}
	tsdb_close(w.db);
}

/* Without the flag names go at once, as a server of Prometheus does by default. */
static void names_are_dropped_at_once_unless_asked_for(void **s)
{
	struct world w;
	struct promql_query *q;
	const struct promql_result *r;
	struct promql_options o = {.start_ms = 900000, .end_ms = 900000};
	(void)s;
	load(&w, 2, 100);
	assert_int_equal(
	        promql_parse(HG_STR("count by (__name__) (rate(m_total[5m]))"), &q, NULL), HG_OK);
	assert_int_equal(promql_run(w.db, q, &o, &r, NULL), HG_OK);
	assert_int_equal(r->n, 1);
	assert_int_equal(r->series[0].labels.n, 0);
	assert_true(r->series[0].v[0] == 2);
	promql_result_free(r);
	promql_free(q);
	tsdb_close(w.db);
}

static void the_store_is_locked_around_each_access(void *arg)
{
	int *depth = arg;
	assert_int_equal((*depth)++, 0);
}

static void unlocked(void *arg)
{
	int *depth = arg;
	assert_int_equal(--*depth, 0);
}

static void the_lock_is_taken_and_given_back(void **s)
{
	struct world w;
	int depth = 0;
	struct promql_options o = {.start_ms = 900000,
	        .end_ms = 900000,
	        .arg = &depth,
	        .lock = the_store_is_locked_around_each_access,
	        .unlock = unlocked};
	(void)s;
	load(&w, 3, 100);
	assert_int_equal(ask(&w, "m_total + on(i) m_total", o, NULL), HG_OK);
	assert_int_equal(depth, 0);
	tsdb_close(w.db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(functions_do_what_is_documented),
	        cmocka_unit_test(operators_do_what_is_documented),
	        cmocka_unit_test(aggregations_do_what_is_documented),
	        cmocka_unit_test(classic_histograms_do_what_is_documented),
	        cmocka_unit_test(times_and_ranges_do_what_is_documented),
	        cmocka_unit_test(anchored_and_smoothed_ranges_do_what_is_documented),
	        cmocka_unit_test(the_pages_hold_sentence_by_sentence),
	        cmocka_unit_test(a_wrong_expectation_fails_and_says_how),
	        cmocka_unit_test(a_file_that_is_wrong_is_told_by_line_and_the_rest_is_run),
	        cmocka_unit_test(
	                an_expression_that_is_wrong_passes_only_where_its_fault_is_expected),
	        cmocka_unit_test(every_form_of_an_item_is_read),
	        cmocka_unit_test(every_form_of_an_eval_is_read),
	        cmocka_unit_test(what_is_not_built_is_skipped_and_counted),
	        cmocka_unit_test(what_selects_a_native_histogram_is_skipped_and_counted),
	        cmocka_unit_test(a_query_ends_at_its_limits_and_names_them),
	        cmocka_unit_test(work_without_samples_ends_at_the_deadline),
	        cmocka_unit_test(names_are_dropped_at_once_unless_asked_for),
	        cmocka_unit_test(the_lock_is_taken_and_given_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
