#include "tests/unit/test.h"

#include "jobs/decide.c"

static void the_delay_grows_with_the_fourth_power_up_to_the_cap(void **state)
{
	static const struct {
		uint32_t attempt;
		uint64_t s;
	} want[] = {{1, 16}, {2, 31}, {3, 96}, {4, 271}, {5, 640}, {6, 1311}, {7, 2416}, {8, 4111},
	        {9, 6576}, {10, 10015}, {12, 20751}, {13, 21600}, {4000000000u, 21600}};
	struct job_policy p = {0};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(want); i++)
		assert_int_equal(job_backoff_ms(&p, want[i].attempt, 0.5), want[i].s * 1000);
	p.cap_ms = 60000;
	assert_int_equal(job_backoff_ms(&p, 3, 0.5), 60000);
}

static void jitter_is_a_tenth_either_way_all_of_it(void **state)
{
	struct job_policy p = {0};
	(void)state;
	assert_int_equal(job_backoff_ms(&p, 1, 0), 14400);
	assert_in_range(job_backoff_ms(&p, 1, 0.999999999), 17599, 17600);
	assert_int_equal(job_backoff_ms(&p, 1, 0.25), 15200);
}

static void a_schedule_is_kept_and_its_last_delay_stays(void **state)
{
	static const uint32_t schedule[] = {0, 5000, 300000};
	struct job_policy p = {.schedule_ms = schedule, .schedule_count = 3};
	(void)state;
	assert_int_equal(job_backoff_ms(&p, 1, 0.9), 0);
	assert_int_equal(job_backoff_ms(&p, 2, 0.5), 5000);
	assert_int_equal(job_backoff_ms(&p, 3, 0.5), 300000);
	assert_int_equal(job_backoff_ms(&p, 9, 0.5), 300000);
}

static void what_becomes_of_a_job(void **state)
{
	static const struct {
		enum job_verdict verdict;
		uint32_t attempt, most;
		uint64_t after_ms;
		enum job_state want;
		int64_t in_ms;
		uint32_t want_attempt;
	} rows[] = {
	        {JOB_OK, 1, 0, 0, JOB_DONE, 0, 1},
	        {JOB_OK, 10, 0, 9999, JOB_DONE, 0, 10},
	        {JOB_RETRY, 1, 0, 0, JOB_RETRYABLE, 16000, 1},
	        {JOB_RETRY, 9, 0, 0, JOB_RETRYABLE, 6576000, 9},
	        {JOB_RETRY, 10, 0, 0, JOB_DEAD, 0, 10},
	        {JOB_RETRY, 1, 1, 0, JOB_DEAD, 0, 1},
	        {JOB_RETRY, 3, 3, 60000, JOB_DEAD, 0, 3},
	        /* Retry-After: the longer of the two, a day at most */
	        {JOB_RETRY, 1, 0, 60000, JOB_RETRYABLE, 60000, 1},
	        {JOB_RETRY, 1, 0, 1000, JOB_RETRYABLE, 16000, 1},
	        {JOB_RETRY, 1, 0, UINT64_MAX, JOB_RETRYABLE, 86400000, 1},
	        {JOB_GIVE_UP, 1, 0, 0, JOB_DEAD, 0, 1},
	        {JOB_RELEASE, 4, 0, 0, JOB_AVAILABLE, 0, 3},
	        {JOB_RELEASE, 10, 0, 0, JOB_AVAILABLE, 0, 9},
	        {JOB_LAPSED, 1, 0, 0, JOB_RETRYABLE, 0, 1},
	        {JOB_LAPSED, 10, 0, 0, JOB_DEAD, 0, 10},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct job_policy p = {.attempts_max = rows[i].most};
		struct job_next n = job_decide_end(
		        &p, rows[i].verdict, rows[i].attempt, rows[i].after_ms, 1000000, 0.5);
		if (n.state != rows[i].want || n.run_at_ms != 1000000 + rows[i].in_ms ||
		        n.attempt != rows[i].want_attempt)
			fail_msg("row %zu: %s in %lld ms, attempt %u", i, job_state_name(n.state),
			        (long long)n.run_at_ms - 1000000, n.attempt);
	}
}

static struct jobs_pace steady(void)
{
	return (struct jobs_pace){.slots = 8,
	        .next_due_ms = INT64_MAX,
	        .tried_mono_ms = 100000,
	        .claimed_mono_ms = 100000,
	        .beat_mono_ms = 100000,
	        .rescued_mono_ms = 100000,
	        .swept_mono_ms = 100000};
}

static struct jobs_plan plan_at(const struct jobs_pace *p, uint64_t mono_ms)
{
	return jobs_decide_plan(p, 5000000, mono_ms, 0.5);
}

static void a_worker_claims_what_it_has_room_for_when_it_is_time(void **state)
{
	struct jobs_pace p = steady();
	(void)state;
	assert_false(plan_at(&p, 100099).any);
	assert_int_equal(plan_at(&p, 100099).wake_mono_ms, 100100);
	assert_int_equal(plan_at(&p, 100100).claim, 8);
	p.running = 6;
	assert_int_equal(plan_at(&p, 100100).claim, 2);
	p.running = 8;
	assert_int_equal(plan_at(&p, 100100).claim, 0);
	p = steady();
	p.idle = 10; /* nothing for long: slower */
	assert_int_equal(plan_at(&p, 100499).claim, 0);
	assert_int_equal(plan_at(&p, 100500).claim, 8);
	p.nudged = true;
	assert_int_equal(plan_at(&p, 100001).claim, 8);
	p = steady();
	p.more = true;
	assert_int_equal(plan_at(&p, 100001).claim, 8);
	p.slots = 200;
	assert_int_equal(plan_at(&p, 100001).claim, 64);
	p.stopping = true;
	assert_int_equal(plan_at(&p, 200000).claim, 0);
}

static void a_job_for_later_wakes_the_worker_in_time(void **state)
{
	struct jobs_pace p = steady();
	(void)state;
	p.idle = 50;
	p.next_due_ms = 5000020;
	assert_int_equal(plan_at(&p, 100001).wake_mono_ms, 100021);
	/* due and not claimed: another has it at the moment */
	p.next_due_ms = 4000000;
	assert_int_equal(plan_at(&p, 100001).wake_mono_ms, 100500);
}

static void leases_are_renewed_three_times_while_they_last(void **state)
{
	struct jobs_pace p = steady();
	(void)state;
	p.running = 8;
	assert_false(plan_at(&p, 109999).beat);
	assert_int_equal(plan_at(&p, 109999).wake_mono_ms, 110000);
	assert_true(plan_at(&p, 110000).beat);
	p.stopping = true; /* what runs keeps its lease until the end */
	assert_true(plan_at(&p, 110000).beat);
	assert_false(plan_at(&p, 110000).rescue);
	p = steady();
	assert_false(plan_at(&p, 110000).beat);
	assert_true(plan_at(&p, 110000).rescue);
	assert_false(plan_at(&p, 159999).sweep);
	assert_true(plan_at(&p, 160000).sweep);
	/* ends are never put off */
	p.ended = true;
	assert_true(plan_at(&p, 100001).any);
}

static void a_database_that_is_away_is_asked_less_and_less_often(void **state)
{
	static const struct {
		uint32_t failures;
		uint64_t ms;
	} want[] = {{1, 100}, {2, 200}, {3, 400}, {6, 3200}, {7, 5000}, {1000, 5000}};
	struct jobs_pace p = steady();
	(void)state;
	p.away = true;
	p.ended = true;
	for (size_t i = 0; i < HG_COUNT(want); i++) {
		p.failures = want[i].failures;
		assert_false(plan_at(&p, 100000 + want[i].ms - 1).any);
		assert_int_equal(plan_at(&p, 100000).wake_mono_ms, 100000 + want[i].ms);
		assert_true(plan_at(&p, 100000 + want[i].ms).any);
	}
}

static void a_lease_counts_as_lost_before_others_may_take_it(void **state)
{
	(void)state;
	assert_false(job_lease_lapsed(1000, 30000, 27999));
	assert_true(job_lease_lapsed(1000, 30000, 28000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_delay_grows_with_the_fourth_power_up_to_the_cap),
	        cmocka_unit_test(jitter_is_a_tenth_either_way_all_of_it),
	        cmocka_unit_test(a_schedule_is_kept_and_its_last_delay_stays),
	        cmocka_unit_test(what_becomes_of_a_job),
	        cmocka_unit_test(a_worker_claims_what_it_has_room_for_when_it_is_time),
	        cmocka_unit_test(a_job_for_later_wakes_the_worker_in_time),
	        cmocka_unit_test(leases_are_renewed_three_times_while_they_last),
	        cmocka_unit_test(a_database_that_is_away_is_asked_less_and_less_often),
	        cmocka_unit_test(a_lease_counts_as_lost_before_others_may_take_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
