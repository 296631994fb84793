#include "../test.h"

#include <stdlib.h>

#include "base/rand.h"
#include "meter/meter.c"

static struct meter *make(uint32_t workers)
{
	struct meter *m = calloc(1, meter_size(workers));
	assert_non_null(m);
	meter_init(m, workers);
	return m;
}

static void a_duration_falls_into_the_bucket_a_linear_search_names(void **state)
{
	struct hg_rand r;
	(void)state;
	hg_rand_seed(&r, 1);
	for (int i = 0; i < 200000; i++) {
		uint64_t ns = hg_rand_u64(&r) >> hg_rand_below(&r, 64);
		if (i < METER_BUCKETS) ns = bounds_ns[i];
		if (i >= METER_BUCKETS && i < 2 * METER_BUCKETS - 1) {
			ns = bounds_ns[i - METER_BUCKETS] + 1;
		}
		uint32_t want = 0;
		while (ns > bounds_ns[want])
			want++;
		if (bucket_of(ns) != want) fail_msg("%lu ns: %u", (unsigned long)ns, want);
	}
}

static void bounds_in_seconds_and_nanoseconds_agree(void **state)
{
	(void)state;
	for (int i = 0; i < METER_BUCKETS - 1; i++) {
		assert_true(fabs(meter_bounds[i] * 1e9 - (double)bounds_ns[i]) < 1);
		assert_true(meter_bounds[i] < meter_bounds[i + 1]);
	}
	assert_true(isinf(meter_bounds[METER_BUCKETS - 1]));
}

static void sums_go_over_all_workers(void **state)
{
	struct meter *m = make(3);
	struct meter_lane_sum s;
	(void)state;
	meter_observe(meter_lane_of(&m->worker[0], 7), 200, 3000000);
	meter_observe(meter_lane_of(&m->worker[1], 7), 200, 3000000);
	meter_observe(meter_lane_of(&m->worker[2], 7), 503, 60000000000);
	meter_add(&meter_lane_of(&m->worker[2], 7)->retries, 2);
	meter_lane_sum(m, 7, &s);
	assert_int_equal(s.total, 3);
	assert_int_equal(s.count, 3);
	assert_int_equal(s.by_class[2], 2);
	assert_int_equal(s.by_class[5], 1);
	assert_int_equal(s.bucket[3], 2);
	assert_int_equal(s.bucket[METER_BUCKETS - 1], 1);
	assert_int_equal(s.duration_ns, 60006000000);
	assert_int_equal(s.retries, 2);
	assert_int_equal(meter_lane_code(m, 7, 503), 1);
	assert_int_equal(meter_lane_code(m, 6, 503), 0);
	assert_int_equal(meter_lane_code(m, METER_LANES_MAX, 200), 0);
	assert_int_equal(meter_lane_code(m, 7, 600), 0);
	meter_lane_sum(m, METER_LANES_MAX, &s);
	assert_int_equal(s.total, 0);
	free(m);
}

static void what_only_some_requests_count_is_summed_too(void **state)
{
	struct meter *m = make(2);
	struct meter_lane_sum s;
	(void)state;
	meter_add(&meter_lane_of(&m->worker[0], 7)->fast, 2);
	meter_add(&meter_lane_of(&m->worker[1], 7)->fast, 3);
	meter_add(&meter_lane_of(&m->worker[1], 7)->broken, 4);
	meter_lane_sum(m, 7, &s);
	assert_int_equal(s.fast, 5);
	assert_int_equal(s.broken, 4);
	assert_int_equal(s.total, 0);
	assert_int_equal(s.aborted, 0);
	for (int i = 0; i < METER_BUCKETS - 1; i++) {
		assert_true(meter_bound_at(bounds_ns[i]));
		assert_false(meter_bound_at(bounds_ns[i] + 1));
		assert_false(meter_bound_at(bounds_ns[i] - 1));
	}
	assert_false(meter_bound_at(0));
	assert_false(meter_bound_at(UINT64_MAX));
	free(m);
}

static void every_status_has_a_place_or_its_class_has_one(void **state)
{
	struct meter *m = make(1);
	unsigned before = 0;
	(void)state;
	for (unsigned status = 100; status < 600; status++) {
		struct meter_lane_sum s;
		meter_observe(meter_lane_of(&m->worker[0], status), status, 1);
		meter_lane_sum(m, status, &s);
		assert_int_equal(s.by_class[status / 100], 1);
		assert_int_equal(meter_lane_code(m, status, status), 1);
	}
	assert_int_equal(meter_lane_code(m, 404, 405), 0);
	/* 299 and 298 have no place of their own. */
	assert_int_equal(meter_lane_code(m, 299, 298), 1);
	assert_int_equal(meter_lane_place(m, 299, METER_CODES - 4), 1);
	assert_int_equal(meter_code_at(METER_CODES - 4), 2);
	for (uint32_t at = 0; at + 5 < METER_CODES; at++) {
		assert_true(meter_code_at(at) > before);
		before = meter_code_at(at);
		assert_int_equal(meter_lane_place(m, before, at), 1);
	}
	free(m);
}

static void a_lane_nobody_counted_in_is_not_read(void **state)
{
	struct meter *m = make(2);
	struct meter_lane_sum s;
	(void)state;
	/* Written past the mark: only a reader that looks would see it. */
	meter_observe(&m->worker[1].lane[5], 200, 1);
	assert_false(meter_lane_used(m, 5));
	meter_lane_sum(m, 5, &s);
	assert_int_equal(s.total, 0);
	assert_int_equal(meter_lane_code(m, 5, 200), 0);
	meter_lane_of(&m->worker[1], 5);
	assert_true(meter_lane_used(m, 5));
	assert_int_equal(meter_lane_code(m, 5, 200), 1);
	assert_false(meter_lane_used(m, METER_LANES_MAX));
	free(m);
}

static void a_reset_zeroes_gauges_and_keeps_counters(void **state)
{
	struct meter *m = make(2);
	(void)state;
	meter_gauge_add(&m->worker[1].in_flight[9], 3);
	meter_gauge_add(&m->worker[0].in_flight[9], 2);
	meter_gauge_add(&m->worker[1].connections, 5);
	meter_add(&m->worker[1].accepted, 5);
	assert_int_equal(meter_in_flight(m, 9), 5);
	meter_worker_reset(m, 1);
	assert_int_equal(meter_in_flight(m, 9), 2);
	assert_int_equal(atomic_load(&m->worker[1].connections), 0);
	assert_int_equal(atomic_load(&m->worker[1].accepted), 5);
	assert_int_equal(meter_in_flight(m, METER_ENDPOINTS), 0);
	free(m);
}

static void a_foreign_or_short_segment_is_not_opened(void **state)
{
	struct meter *m = make(2);
	(void)state;
	assert_ptr_equal(meter_open(m, meter_size(2)), m);
	assert_null(meter_open(m, meter_size(2) - 1));
	assert_null(meter_open(m, 3));
	assert_null(meter_open(NULL, 0));
	m->layout++;
	assert_null(meter_open(m, meter_size(2)));
	m->layout--;
	m->worker_count = 0;
	assert_null(meter_open(m, meter_size(2)));
	m->worker_count = METER_WORKERS_MAX + 1;
	assert_null(meter_open(m, meter_size(2)));
	m->worker_count = 2;
	m->magic = 0;
	assert_null(meter_open(m, meter_size(2)));
	free(m);
}

static struct meter_difference difference(const char *at)
{
	struct meter_difference d = {.what = METER_DIFFERS_JSON, .status_old = 200};
	d.at_n = (uint8_t)strlen(at);
	memcpy(d.at, at, d.at_n);
	return d;
}

static void the_first_differences_of_each_kind_are_kept(void **state)
{
	struct meter *m = make(1);
	struct meter_trial *t = &m->trial[2];
	struct meter_difference d, got;
	static const char *const at[] = {"$.a", "$.b", "$.a", "$.c", "$.b", "$.d", "$.e"};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(at); i++) {
		d = difference(at[i]);
		meter_difference_keep(t, 7, &d);
	}
	static const char *const want[] = {"$.a", "$.b", "$.c", "$.d"};
	for (uint32_t i = 0; i < METER_DIFFERENCES; i++) {
		assert_true(meter_difference_get(t, i, 7, &got));
		assert_int_equal(got.at_n, 3);
		assert_memory_equal(got.at, want[i], 3);
		assert_false(meter_difference_get(t, i, 8, &got));
	}
	/* The next rollout begins anew; one that is late changes nothing. */
	d = difference("$.x");
	meter_difference_keep(t, 8, &d);
	d = difference("$.y");
	meter_difference_keep(t, 7, &d);
	assert_true(meter_difference_get(t, 0, 8, &got));
	assert_memory_equal(got.at, "$.x", 3);
	assert_false(meter_difference_get(t, 1, 8, &got));
	/* Lengths are not trusted. */
	t->differs[0].at_n = t->differs[0].path_n = 255;
	assert_true(meter_difference_get(t, 0, 8, &got));
	assert_int_equal(got.at_n, sizeof got.at);
	assert_int_equal(got.path_n, sizeof got.path);
	assert_false(meter_difference_get(t, METER_DIFFERENCES, 8, &got));
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_duration_falls_into_the_bucket_a_linear_search_names),
	        cmocka_unit_test(bounds_in_seconds_and_nanoseconds_agree),
	        cmocka_unit_test(sums_go_over_all_workers),
	        cmocka_unit_test(what_only_some_requests_count_is_summed_too),
	        cmocka_unit_test(every_status_has_a_place_or_its_class_has_one),
	        cmocka_unit_test(a_lane_nobody_counted_in_is_not_read),
	        cmocka_unit_test(a_reset_zeroes_gauges_and_keeps_counters),
	        cmocka_unit_test(a_foreign_or_short_segment_is_not_opened),
	        cmocka_unit_test(the_first_differences_of_each_kind_are_kept),
	};
	return cmocka_run_group_tests_name("meter", tests, NULL, NULL);
}
