/* A store without files: what is taken, what is refused, what matchers select. */
#include "model.h"

#include "wire/re.h"

static struct label_matcher eq(const char *name, const char *value)
{
	return (struct label_matcher){.op = LABEL_EQ, .name = hg_str(name), .value = hg_str(value)};
}

static struct label_matcher ne(const char *name, const char *value)
{
	return (struct label_matcher){.op = LABEL_NE, .name = hg_str(name), .value = hg_str(value)};
}

static void fill(struct model *m, int64_t from, uint32_t rounds, int64_t step)
{
	for (uint32_t k = 0; k < rounds; k++) {
		for (uint32_t i = 0; i < m->n; i++) {
			const struct model_series *s = &m->series[i];
			double before = s->n && isfinite(s->v[s->n - 1]) ? s->v[s->n - 1] : 0;
			model_append(m, i, from + k * step, model_value(m, i, before));
		}
		assert_int_equal(tsdb_commit(m->db), HG_OK);
	}
}

static void test_samples_come_back_bit_by_bit(void **state)
{
	(void)state;
	static const uint32_t rounds[] = {1, 2, 63, 128, 129, 1000};
	for (size_t k = 0; k < HG_COUNT(rounds); k++) {
		struct model m;
		model_init(&m, 30, 3 + k);
		model_open(&m, &(struct tsdb_options){0});
		fill(&m, 1700000000000, rounds[k], 15000);
		assert_int_equal(model_check(&m, NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX), 30);
		for (int i = 0; i < 20; i++) {
			int64_t a = 1700000000000 - 20000 +
			            hg_rand_below(&m.rand, rounds[k] * 15000 + 40000);
			model_check(&m, NULL, 0, a, a + hg_rand_below(&m.rand, 600000));
		}
		model_fini(&m);
	}
}

static void test_windows_that_are_over_leave_a_memory_store_with_retention(void **state)
{
	(void)state;
	struct model m;
	struct tsdb_stats st;
	model_init(&m, 8, 5);
	model_open(&m, &(struct tsdb_options){.window_ms = 60000, .keep_ms = 300000});
	fill(&m, 0, 100, 15000);
	tsdb_stats(m.db, &st);
	assert_true(st.dropped_windows > 10);
	assert_true(st.windows <= 7);
	assert_int_equal(model_check(&m, NULL, 0, 99 * 15000 - 300000, TSDB_NO_MAX), 8);
	model_fini(&m);
}

static void test_matchers_select_as_prometheus_does(void **state)
{
	(void)state;
	struct model m;
	model_init(&m, 60, 9);
	model_open(&m, &(struct tsdb_options){0});
	fill(&m, 0, 3, 1000);
	struct {
		struct label_matcher m[3];
		uint32_t n, want;
	} rows[] = {
	        {{eq("__name__", "m1")}, 1, 15},
	        {{eq("__name__", "m9")}, 1, 0},
	        {{eq("nosuch", "x")}, 1, 0},
	        {{eq("nosuch", "")}, 1, 60},
	        {{ne("nosuch", "x")}, 1, 60},
	        {{ne("nosuch", "")}, 1, 0},
	        {{eq("extra", "")}, 1, 20},
	        {{ne("extra", "")}, 1, 40},
	        {{ne("extra", "x1")}, 1, 40},
	        {{eq("job", "job1"), eq("__name__", "m1")}, 2, 15},
	        {{eq("job", "job0"), eq("__name__", "m1")}, 2, 0},
	        {{eq("job", "job1"), ne("__name__", "m1")}, 2, 15},
	        {{eq("job", "job1"), ne("__name__", "m1"), eq("extra", "")}, 3, 5},
	};
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		uint32_t got = model_check(&m, rows[i].m, rows[i].n, TSDB_NO_MIN, TSDB_NO_MAX);
		if (got != rows[i].want) fail_msg("row %zu: %u series", i, got);
	}
	model_fini(&m);
}

static void test_who_wants_few_series_is_refused_when_there_are_more(void **state)
{
	(void)state;
	struct model m;
	struct tsdb_selection *sel;
	struct hg_err err;
	struct label_matcher name = eq("__name__", "m1"), job = eq("job", "job1"),
	                     all = {.op = LABEL_RE,
	                             .name = HG_STR("__name__"),
	                             .value = HG_STR(".+")};
	assert_int_equal(re_compile(all.value, RE_LABEL, &all.re, &err), HG_OK);
	struct {
		const struct label_matcher *m;
		uint32_t n, most;
		enum hg_rc want;
	} rows[] = {
	        {&name, 1, 15, HG_OK},
	        {&name, 1, 14, HG_E_TOO_LARGE},
	        {&job, 1, 60, HG_OK},
	        {NULL, 0, 60, HG_OK},
	        {NULL, 0, 59, HG_E_TOO_LARGE},
	        {NULL, 0, 3, HG_E_TOO_LARGE}, /* not even looked at: 3 × TSDB_LOOKS < 60 */
	        {&all, 1, 60, HG_OK},
	        {&all, 1, 3, HG_E_TOO_LARGE},
	};
	model_init(&m, 60, 9);
	model_open(&m, &(struct tsdb_options){0});
	fill(&m, 0, 3, 1000);
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		enum hg_rc rc =
		        tsdb_select_within(m.db, rows[i].m, rows[i].n, TSDB_NO_MIN, TSDB_NO_MAX,
		                &(struct tsdb_select_limits){.series = rows[i].most}, &sel, &err);
		if (rc != rows[i].want) fail_msg("row %zu: %d", i, rc);
		if (rc == HG_OK) assert_true(tsdb_selection_count(sel) <= rows[i].most);
		if (rc != HG_OK) assert_null(sel);
		tsdb_selection_free(sel);
	}
	/* And by what it takes. */
	assert_int_equal(tsdb_select(m.db, NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX, &sel, &err), HG_OK);
	uint64_t bytes = tsdb_selection_bytes(sel);
	tsdb_selection_free(sel);
	assert_true(bytes > 60 * 64 && bytes < 60 * 4096);
	assert_int_equal(tsdb_select_within(m.db, NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX,
	                         &(struct tsdb_select_limits){.bytes = bytes}, &sel, &err),
	        HG_OK);
	tsdb_selection_free(sel);
	assert_int_equal(tsdb_select_within(m.db, NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX,
	                         &(struct tsdb_select_limits){.bytes = bytes / 2}, &sel, &err),
	        HG_E_TOO_LARGE);
	re_free(all.re);
	model_fini(&m);
}

static void test_regular_expressions_select_as_prometheus_does(void **state)
{
	(void)state;
	static const struct {
		const char *name, *pattern;
		bool negated;
		uint32_t want;
	} rows[] = {
	        {"__name__", "m1", false, 15},
	        {"__name__", "m[12]", false, 30},
	        {"__name__", "m1|m3|nosuch", false, 30},
	        {"__name__", "nosuch|neither", false, 0},
	        {"__name__", "m", false, 0},
	        {"__name__", "m.*", false, 60},
	        {"__name__", "m1|m3", true, 30},
	        {"extra", ".+", false, 40},
	        {"extra", ".*", false, 60},
	        {"extra", "|x1", false, 40},
	        {"extra", "x1|", true, 20},
	        {"extra", ".+", true, 20},
	        {"extra", ".*", true, 0},
	        {"nosuch", "", false, 60},
	        {"nosuch", "x", true, 60},
	        {"nosuch", ".+", false, 0},
	        {"instance", "host-1[0-4]:.*", false, 20},
	        {"instance", "HOST-1:9100", false, 0},
	        {"instance", "(?i)HOST-1:9100", false, 4},
	};
	struct model m;
	struct hg_err err = {0};
	model_init(&m, 60, 9);
	model_open(&m, &(struct tsdb_options){0});
	fill(&m, 0, 3, 1000);
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct label_matcher one[2] = {{.op = rows[i].negated ? LABEL_NRE : LABEL_RE,
		                                       .name = hg_str(rows[i].name),
		                                       .value = hg_str(rows[i].pattern)},
		        eq("job", "job1")};
		assert_int_equal(re_compile(one[0].value, RE_LABEL, &one[0].re, &err), HG_OK);
		uint32_t got = model_check(&m, one, 1, TSDB_NO_MIN, TSDB_NO_MAX);
		if (got != rows[i].want) fail_msg("row %zu: %u series", i, got);
		/* With an equality beside it the other way of looking is taken. */
		model_check(&m, one, 2, TSDB_NO_MIN, TSDB_NO_MAX);
		re_free(one[0].re);
	}
	model_fini(&m);
}

static void test_what_is_not_in_order_is_told_apart_and_counted(void **state)
{
	(void)state;
	struct model m;
	struct tsdb_stats st;
	model_init(&m, 1, 1);
	model_open(&m, &(struct tsdb_options){.out_of_order_ms = 10000});
	model_append(&m, 0, 100000, 1);
	model_append(&m, 0, 120000, 2);
	tsdb_ref ref = m.series[0].ref;
	assert_int_equal(tsdb_append(m.db, ref, 120000, 2), HG_OK);
	assert_int_equal(tsdb_append(m.db, ref, 120000, 3), HG_E_TSDB_DUPLICATE);
	assert_int_equal(tsdb_append(m.db, ref, 120000, NAN), HG_E_TSDB_DUPLICATE);
	model_append(&m, 0, 115000, 7);
	model_append(&m, 0, 112000, 6);
	assert_int_equal(tsdb_append(m.db, ref, 115000, 7), HG_OK);
	assert_int_equal(tsdb_append(m.db, ref, 115000, 8), HG_E_TSDB_DUPLICATE);
	assert_int_equal(tsdb_append(m.db, ref, 109999, 7), HG_E_TSDB_ORDER);
	assert_int_equal(tsdb_append(m.db, ref, TSDB_NO_MAX, 7), HG_E_TSDB_ORDER);
	assert_int_equal(tsdb_append(m.db, ref + 1, 130000, 7), HG_E_NOT_FOUND);
	assert_int_equal(tsdb_append(m.db, 0, 130000, 7), HG_E_NOT_FOUND);
	tsdb_stats(m.db, &st);
	assert_int_equal(st.samples, 4);
	assert_int_equal(st.duplicates, 3);
	assert_int_equal(st.repeated, 2);
	assert_int_equal(st.out_of_order, 2);
	assert_int_equal(st.too_old, 2);
	assert_int_equal(tsdb_last_ms(m.db, ref), 120000);
	model_check(&m, NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX);
	model_fini(&m);
}

static void test_late_samples_are_merged_where_they_belong(void **state)
{
	(void)state;
	struct model m;
	model_init(&m, 4, 21);
	model_open(&m, &(struct tsdb_options){.out_of_order_ms = 5000000});
	for (uint32_t k = 1; k < 3000; k++) {
		uint32_t i = hg_rand_below(&m.rand, 4);
		int64_t t = (int64_t)k * 1000;
		/* Odd seconds are late, each at most once. */
		if (k > 200 && hg_rand_below(&m.rand, 4) == 0)
			t = (int64_t)(k - 100 - hg_rand_below(&m.rand, 100)) * 1000 + k % 1000;
		bool known = false;
		for (uint32_t j = 0; j < m.series[i].n; j++)
			known |= m.series[i].t[j] == t;
		if (!known) model_append(&m, i, t, (double)k);
	}
	model_check(&m, NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX);
	for (int k = 0; k < 50; k++) {
		int64_t a = hg_rand_below(&m.rand, 3000000);
		model_check(&m, NULL, 0, a, a + hg_rand_below(&m.rand, 300000));
	}
	model_fini(&m);
}

static int64_t test_now;

static int64_t now(void)
{
	return test_now;
}

static void test_the_future_is_refused_by_the_clock(void **state)
{
	(void)state;
	struct model m;
	test_now = 1000000000;
	model_init(&m, 1, 1);
	model_open(&m, &(struct tsdb_options){.now_ms = now});
	model_append(&m, 0, test_now + 600000, 1);
	assert_int_equal(tsdb_append(m.db, m.series[0].ref, test_now + 600001, 1), HG_E_TSDB_AHEAD);
	test_now++;
	assert_int_equal(tsdb_commit(m.db), HG_OK);
	model_append(&m, 0, test_now + 600000, 1);
	model_fini(&m);
}

static void test_a_quota_names_the_label_that_explodes(void **state)
{
	(void)state;
	struct tsdb *db;
	struct hg_err err = {0};
	struct tsdb_stats st;
	tsdb_ref ref;
	assert_int_equal(
	        tsdb_open(&(struct tsdb_options){.series_per_app = 100}, &db, &err), HG_OK);
	enum hg_rc rc = HG_OK;
	for (int i = 0; i < 102; i++) {
		char user[16], path[16];
		snprintf(user, sizeof user, "u%d", i);
		snprintf(path, sizeof path, "/%d", i % 7);
		struct label at[] = {{HG_STR("__name__"), HG_STR("hits")},
		        {HG_STR("app"), HG_STR("shop")}, {HG_STR("path"), hg_str(path)},
		        {HG_STR("user"), hg_str(user)}};
		rc = tsdb_series(db, (struct labels){at, 4}, &ref, &err);
		assert_int_equal(rc, i < 100 ? HG_OK : HG_E_TSDB_QUOTA);
	}
	assert_non_null(strstr(err.message, "\"shop\""));
	assert_non_null(strstr(err.detail, "\"user\""));
	assert_non_null(strstr(err.detail, "100"));
	/* What is there is found, and others are not touched. */
	struct label known[] = {{HG_STR("__name__"), HG_STR("hits")},
	        {HG_STR("app"), HG_STR("shop")}, {HG_STR("path"), HG_STR("/3")},
	        {HG_STR("user"), HG_STR("u3")}};
	assert_int_equal(tsdb_series(db, (struct labels){known, 4}, &ref, &err), HG_OK);
	known[1].value = HG_STR("other");
	assert_int_equal(tsdb_series(db, (struct labels){known, 4}, &ref, &err), HG_OK);
	tsdb_stats(db, &st);
	assert_int_equal(st.refused_series, 2);
	assert_int_equal(st.series, 101);
	tsdb_close(db);
}

static enum hg_rc ask(struct tsdb *db, const char *name, const char *app, const char *job)
{
	struct label ls[3] = {{LABEL_METRIC, hg_str(name)}};
	uint32_t n = 1;
	tsdb_ref ref;
	if (app) ls[n++] = (struct label){HG_STR("app"), hg_str(app)};
	if (job) ls[n++] = (struct label){HG_STR("job"), hg_str(job)};
	return tsdb_series(db, (struct labels){ls, n}, &ref, NULL);
}

static void test_headgates_own_series_are_in_nobodys_quota(void **state)
{
	struct tsdb *db;
	struct hg_err err = {0};
	(void)state;
	assert_int_equal(tsdb_open(&(struct tsdb_options){.series_per_app = 2}, &db, &err), HG_OK);
	assert_int_equal(ask(db, "a", "web", "web"), HG_OK);
	assert_int_equal(ask(db, "b", "web", "web"), HG_OK);
	assert_int_equal(ask(db, "c", "web", "web"), HG_E_TSDB_QUOTA);
	for (int i = 0; i < 10; i++) {
		char name[24];
		snprintf(name, sizeof name, "headgate_%d", i);
		assert_int_equal(ask(db, name, "web", NULL), HG_OK);
		assert_int_equal(ask(db, name, NULL, NULL), HG_OK);
	}
	/* Whoever is scraped has a job: an app cannot call its series ours. */
	assert_int_equal(ask(db, "headgate_x", "web", "web"), HG_E_TSDB_QUOTA);
	assert_int_equal(ask(db, "a", "other", "other"), HG_OK);
	tsdb_close(db);
}

static void test_limits_hold_from_when_they_are_told(void **state)
{
	struct tsdb *db;
	struct tsdb_stats st;
	struct hg_err err = {0};
	tsdb_ref ref;
	struct label ls[] = {{LABEL_METRIC, HG_STR("a")}};
	(void)state;
	assert_int_equal(tsdb_open(&(struct tsdb_options){.keep_ms = 100000000,
	                                   .window_ms = 1000,
	                                   .series_per_app = 1},
	                         &db, &err),
	        HG_OK);
	assert_int_equal(tsdb_series(db, (struct labels){ls, 1}, &ref, &err), HG_OK);
	assert_int_equal(ask(db, "b", NULL, NULL), HG_E_TSDB_QUOTA);
	for (int64_t t = 1000; t <= 100000; t += 1000)
		assert_int_equal(tsdb_append(db, ref, t, 1), HG_OK);
	tsdb_limits(db, &(struct tsdb_options){.keep_ms = 10000, .series_per_app = 2});
	assert_int_equal(ask(db, "b", NULL, NULL), HG_OK);
	assert_int_equal(ask(db, "c", NULL, NULL), HG_E_TSDB_QUOTA);
	assert_int_equal(tsdb_commit(db), HG_OK);
	tsdb_stats(db, &st);
	assert_true(st.min_ms >= 89000);
	assert_int_equal(st.max_ms, 100000);
	/* Memory: the smallest cap is below what is used. */
	tsdb_limits(db, &(struct tsdb_options){.memory_bytes = 1});
	assert_int_equal(ask(db, "d", NULL, NULL), HG_E_TSDB_FULL);
	tsdb_limits(db, &(struct tsdb_options){0});
	assert_int_equal(ask(db, "d", NULL, NULL), HG_OK);
	tsdb_close(db);
}

static void test_a_cap_on_memory_refuses_series_and_not_the_process(void **state)
{
	(void)state;
	struct tsdb *db;
	struct hg_err err = {0};
	struct tsdb_stats st;
	struct tsdb_health health;
	tsdb_ref ref;
	enum hg_rc rc = HG_OK;
	assert_int_equal(
	        tsdb_open(&(struct tsdb_options){.memory_bytes = 4 << 20}, &db, &err), HG_OK);
	for (int i = 0; i < 100000 && rc == HG_OK; i++) {
		char user[16];
		snprintf(user, sizeof user, "u%d", i);
		struct label at[] = {
		        {HG_STR("__name__"), HG_STR("hits")}, {HG_STR("user"), hg_str(user)}};
		rc = tsdb_series(db, (struct labels){at, 2}, &ref, &err);
		if (rc == HG_OK) (void)!tsdb_append(db, ref, 1000, i);
	}
	assert_int_equal(rc, HG_E_TSDB_FULL);
	assert_int_equal(tsdb_commit(db), HG_OK);
	tsdb_health(db, &health);
	assert_int_equal(health.state, TSDB_MEMORY_FULL);
	tsdb_stats(db, &st);
	assert_true(st.memory_bytes < 6 << 20);
	assert_true(st.series > 1000);
	tsdb_close(db);
}

static void test_names_and_values_are_sorted_and_once(void **state)
{
	(void)state;
	struct model m;
	struct hg_arena a;
	struct hg_str *at;
	uint32_t n;
	struct label_matcher only = eq("extra", "x2");
	model_init(&m, 60, 9);
	model_open(&m, &(struct tsdb_options){0});
	fill(&m, 0, 1, 1000);
	hg_arena_init(&a, "test", 1 << 20);
	assert_int_equal(
	        tsdb_label_names(m.db, NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX, &a, &at, &n), HG_OK);
	assert_int_equal(n, 4);
	assert_str(at[0], "__name__");
	assert_str(at[1], "extra");
	assert_str(at[3], "job");
	assert_int_equal(tsdb_label_values(m.db, HG_STR("extra"), NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX,
	                         &a, &at, &n),
	        HG_OK);
	assert_int_equal(n, 2);
	assert_str(at[1], "x2");
	assert_int_equal(tsdb_label_values(m.db, HG_STR("instance"), &only, 1, TSDB_NO_MIN,
	                         TSDB_NO_MAX, &a, &at, &n),
	        HG_OK);
	assert_int_equal(n, 15);
	for (uint32_t i = 1; i < n; i++)
		assert_true(label_text_compare(at[i - 1], at[i]) < 0);
	assert_int_equal(
	        tsdb_label_values(m.db, HG_STR("job"), NULL, 0, 100000, 200000, &a, &at, &n),
	        HG_OK);
	hg_arena_fini(&a);
	model_fini(&m);
}

static void test_sets_that_are_no_sets_are_refused(void **state)
{
	(void)state;
	struct tsdb *db;
	struct hg_err err = {0};
	tsdb_ref ref;
	struct label wrong[] = {{HG_STR("b"), HG_STR("1")}, {HG_STR("a"), HG_STR("1")}};
	assert_int_equal(tsdb_open(&(struct tsdb_options){0}, &db, &err), HG_OK);
	assert_int_equal(tsdb_series(db, (struct labels){wrong, 2}, &ref, &err), HG_E_INVALID);
	assert_int_equal(tsdb_series(db, (struct labels){0}, &ref, &err), HG_E_INVALID);
	tsdb_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_samples_come_back_bit_by_bit),
	        cmocka_unit_test(test_windows_that_are_over_leave_a_memory_store_with_retention),
	        cmocka_unit_test(test_matchers_select_as_prometheus_does),
	        cmocka_unit_test(test_who_wants_few_series_is_refused_when_there_are_more),
	        cmocka_unit_test(test_regular_expressions_select_as_prometheus_does),
	        cmocka_unit_test(test_what_is_not_in_order_is_told_apart_and_counted),
	        cmocka_unit_test(test_late_samples_are_merged_where_they_belong),
	        cmocka_unit_test(test_the_future_is_refused_by_the_clock),
	        cmocka_unit_test(test_a_quota_names_the_label_that_explodes),
	        cmocka_unit_test(test_headgates_own_series_are_in_nobodys_quota),
	        cmocka_unit_test(test_limits_hold_from_when_they_are_told),
	        cmocka_unit_test(test_a_cap_on_memory_refuses_series_and_not_the_process),
	        cmocka_unit_test(test_names_and_values_are_sorted_and_once),
	        cmocka_unit_test(test_sets_that_are_no_sets_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
