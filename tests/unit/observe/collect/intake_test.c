#include "tests/unit/observe/collect/shelf.h"

#include "observe/collect/intake.c"

static const uint8_t key[16] = "0123456789abcde";

static void one(struct intake *in, const char *name, const char *app, double v)
{
	const struct prom_label ls[] = {{"app", hg_str(app)}};
	struct meter_series_sink s = intake_sink(in);
	s.sample(s.arg, name, ls, 1, v);
}

static void test_series_go_on_and_end_when_they_do_not_come(void **state)
{
	struct tsdb *db = shelf_open(0);
	struct intake in;
	(void)state;
	intake_init(&in, db, key);
	for (int64_t t = 5000; t <= 20000; t += 5000) {
		intake_begin(&in, t);
		one(&in, "x", "a", (double)t);
		if (t <= 10000) one(&in, "x", "b", 1);
		intake_end(&in, false);
	}
	assert_shelf(db, "x{app=\"a\"}", "5000=5000 10000=10000 15000=15000 20000=20000");
	assert_shelf(db, "x{app=\"b\"}", "5000=1 10000=1 15000=stale");
	assert_int_equal(in.n, 1);
	/* And comes back. */
	intake_begin(&in, 25000);
	one(&in, "x", "b", 2);
	intake_end(&in, false);
	assert_shelf(db, "x{app=\"b\"}", "5000=1 10000=1 15000=stale 25000=2");
	assert_shelf(
	        db, "x{app=\"a\"}", "5000=5000 10000=10000 15000=15000 20000=20000 25000=stale");
	intake_begin(&in, 30000);
	intake_end(&in, true);
	assert_int_equal(in.n, 0);
	intake_fini(&in);
	tsdb_close(db);
}

static void test_whole_counters_begin_with_zero_where_they_were_seen_last(void **state)
{
	static const struct {
		bool whole, first_look;
		double v;
		const char *want;
	} rows[] = {
	        {true, false, 3, "5001=0 10000=3"},
	        {false, false, 3, "10000=3"},
	        {true, true, 3, "10000=3"}, /* nothing is known of the time before */
	        {true, false, 0, "10000=0"},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct tsdb *db = shelf_open(0);
		struct intake in;
		intake_init(&in, db, key);
		if (!rows[i].first_look) {
			intake_begin(&in, 5000);
			intake_end(&in, false);
		}
		intake_begin(&in, 10000);
		struct meter_series_sink s = intake_sink(&in);
		s.whole(s.arg, rows[i].whole);
		one(&in, "x", "a", rows[i].v);
		intake_end(&in, false);
		assert_shelf(db, "x{app=\"a\"}", rows[i].want);
		/* Only once. */
		intake_begin(&in, 15000);
		s.whole(s.arg, rows[i].whole);
		one(&in, "x", "a", 9);
		intake_end(&in, false);
		char want[64];
		snprintf(want, sizeof want, "%s 15000=9", rows[i].want);
		assert_shelf(db, "x{app=\"a\"}", want);
		intake_fini(&in);
		tsdb_close(db);
	}
}

static void test_labels_that_run_into_each_other_are_two_series(void **state)
{
	struct tsdb *db = shelf_open(0);
	struct intake in;
	(void)state;
	intake_init(&in, db, key);
	struct meter_series_sink s = intake_sink(&in);
	const struct prom_label a[] = {{"p", HG_STR("xq")}, {"r", HG_STR("1")}};
	const struct prom_label b[] = {{"p", HG_STR("x")}, {"qr", HG_STR("1")}};
	const struct prom_label le[] = {{"le", HG_STR("1")}}, inf[] = {{"le", HG_STR("+Inf")}};
	intake_begin(&in, 1000);
	s.sample(s.arg, "m", a, 2, 1);
	s.sample(s.arg, "m", b, 2, 2);
	s.sample(s.arg, "m", NULL, 0, 3);
	/* As the scraper has it, whichever way a histogram comes. */
	s.sample(s.arg, "h_bucket", le, 1, 4);
	s.sample(s.arg, "h_bucket", inf, 1, 5);
	intake_end(&in, false);
	assert_shelf(db, "m{p=\"xq\", r=\"1\"}", "1000=1");
	assert_shelf(db, "m{p=\"x\", qr=\"1\"}", "1000=2");
	assert_shelf(db, "m", "1000=3");
	assert_shelf(db, "h_bucket{le=\"1.0\"}", "1000=4");
	assert_shelf(db, "h_bucket{le=\"+Inf\"}", "1000=5");
	intake_fini(&in);
	tsdb_close(db);
}

static void test_a_page_becomes_samples_and_half_a_page_ends_nothing(void **state)
{
	struct tsdb *db = shelf_open(0);
	struct intake in;
	struct promread page;
	(void)state;
	intake_init(&in, db, key);
	intake_begin(&in, 1000);
	page = promread_over(
	        HG_STR("# TYPE a counter\na{x=\"q\\\"\\n\\\\\"} 1\nb 2.5\n"), PROMREAD_TEXT);
	assert_int_equal(intake_page(&in, &page, 2), INTAKE_MORE);
	assert_int_equal(intake_page(&in, &page, 9), INTAKE_READ);
	intake_end(&in, false);
	assert_shelf(db, "a{x=\"q\\\"\\n\\\\\"}", "1000=1");
	assert_shelf(db, "b", "1000=2.5");
	intake_begin(&in, 2000);
	page = promread_over(HG_STR("b 3\na{x="), PROMREAD_TEXT);
	assert_int_equal(intake_page(&in, &page, 9), INTAKE_BAD);
	assert_shelf(db, "b", "1000=2.5 2000=3");
	assert_int_equal(in.n, 2);
	intake_fini(&in);
	tsdb_close(db);
}

static void test_what_the_store_refuses_is_counted_and_not_asked_for_each_time(void **state)
{
	struct tsdb *db = shelf_open(2);
	struct intake in;
	struct tsdb_stats st;
	(void)state;
	intake_init(&in, db, key);
	for (int64_t round = 0; round < 5; round++) {
		intake_begin(&in, 1000 + round * 1000);
		for (char c = 'a'; c <= 'd'; c++) {
			char name[2] = {c, 0};
			one(&in, name, "big", 1);
			/* Ours are not counted. */
			char own[16];
			snprintf(own, sizeof own, "headgate_%c", c);
			one(&in, own, "big", 1);
		}
		intake_end(&in, false);
	}
	assert_shelf(db, "a{app=\"big\"}", "1000=1 2000=1 3000=1 4000=1 5000=1");
	assert_shelf(db, "c{app=\"big\"}", "none");
	assert_shelf(db, "headgate_d{app=\"big\"}", "1000=1 2000=1 3000=1 4000=1 5000=1");
	assert_int_equal(in.refused, 10);
	assert_non_null(strstr(in.why, "app \"big\" has its 2 series"));
	tsdb_stats(db, &st);
	assert_int_equal(st.refused_series, 2);
	intake_fini(&in);
	tsdb_close(db);
}

static void test_many_series_come_and_go(void **state)
{
	struct tsdb *db = shelf_open(0);
	struct intake in;
	(void)state;
	intake_init(&in, db, key);
	for (unsigned round = 1; round <= 20; round++) {
		intake_begin(&in, round * 1000);
		for (unsigned i = 0; i < 500; i++) {
			char app[16];
			if ((i * 7 + round * 13) % 5 == 0) continue;
			snprintf(app, sizeof app, "app-%u", i);
			one(&in, "x", app, i);
		}
		intake_end(&in, false);
	}
	assert_int_equal(in.n, 400);
	assert_int_equal(in.refused, 0);
	struct tsdb_stats st;
	tsdb_stats(db, &st);
	assert_int_equal(st.series, 500);
	intake_fini(&in);
	tsdb_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_series_go_on_and_end_when_they_do_not_come),
	        cmocka_unit_test(test_whole_counters_begin_with_zero_where_they_were_seen_last),
	        cmocka_unit_test(test_labels_that_run_into_each_other_are_two_series),
	        cmocka_unit_test(test_a_page_becomes_samples_and_half_a_page_ends_nothing),
	        cmocka_unit_test(
	                test_what_the_store_refuses_is_counted_and_not_asked_for_each_time),
	        cmocka_unit_test(test_many_series_come_and_go),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
