#include "../../test.h"

#include "observe/scrape/plan.c"

static void every_target_has_its_phase_and_keeps_it(void **s)
{
	struct plan a = scrape_plan_new(15000, 4000, 1700000000000);
	(void)s;
	assert_int_equal(a.due_ms % 15000, 4000);
	assert_true(a.due_ms >= 1700000000000 && a.due_ms < 1700000000000 + 15000);
	struct plan b = scrape_plan_new(15000, 4000, 1700000123456); /* after a restart */
	assert_int_equal(b.due_ms % 15000, 4000);
	struct plan now = scrape_plan_new(1000, 5000, 10000);
	assert_int_equal(now.due_ms, 10000); /* due at once */
	assert_int_equal(scrape_plan_wait(&now, 10000), 0);
}

static void samples_get_the_planned_time_when_the_scrape_is_hardly_late(void **s)
{
	static const struct {
		int64_t interval, late, want; /* relative to what was planned */
	} row[] = {{15000, 0, 0}, {15000, 1, 0}, {15000, 2, 0}, {15000, 3, 3}, {15000, 400, 400},
	        {15000, -1, 0}, {100, 1, 0}, {100, 2, 2}, {50, 1, 1}, {50, 0, 0}};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct plan p = scrape_plan_new(row[i].interval, 0, 1000 * row[i].interval - 1);
		int64_t due = p.due_ms;
		assert_int_equal(due, 1000 * row[i].interval);
		if (scrape_plan_take(&p, due + row[i].late) - due != row[i].want)
			fail_msg("row %zu", i);
		assert_int_equal(p.due_ms, due + row[i].interval);
	}
}

static void missed_scrapes_are_left_out_and_the_phase_stays(void **s)
{
	struct plan p = scrape_plan_new(1000, 300, 5000);
	(void)s;
	assert_int_equal(p.due_ms, 5300);
	assert_int_equal(scrape_plan_take(&p, 8301), 8300);
	assert_int_equal(p.due_ms, 9300);
	assert_int_equal(scrape_plan_take(&p, 10299), 10299); /* nearly one interval late */
	assert_int_equal(p.due_ms, 10300);
}

static void a_clock_that_is_set_back_does_not_stop_the_scrapes(void **s)
{
	struct plan p = scrape_plan_new(1000, 300, 5000000);
	(void)s;
	assert_int_equal(scrape_plan_wait(&p, 5000000), 300);
	assert_int_equal(scrape_plan_wait(&p, 10000), 300);
	assert_int_equal(p.due_ms, 10300);
	assert_int_equal(scrape_plan_wait(&p, 99000), 0); /* set forward: at once */
	assert_int_equal(scrape_plan_take(&p, 99000), 99000);
	assert_int_equal(p.due_ms, 99300);
}

static void markers_of_a_target_that_is_gone_wait_for_another_to_take_over(void **s)
{
	struct plan p = scrape_plan_new(1000, 300, 5000);
	struct plan_end e = scrape_plan_end(&p);
	(void)s;
	assert_int_equal(e.stale_ms, 5300);
	assert_int_equal(e.act_ms, 6400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_target_has_its_phase_and_keeps_it),
	        cmocka_unit_test(samples_get_the_planned_time_when_the_scrape_is_hardly_late),
	        cmocka_unit_test(missed_scrapes_are_left_out_and_the_phase_stays),
	        cmocka_unit_test(a_clock_that_is_set_back_does_not_stop_the_scrapes),
	        cmocka_unit_test(markers_of_a_target_that_is_gone_wait_for_another_to_take_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
