#include "../test.h"

#include "math/rolling.h"

static struct rolling_share percent(uint32_t p)
{
	return (struct rolling_share){.is_ratio = true, .v = p * 10000};
}

static struct rolling_share count(uint32_t n)
{
	return (struct rolling_share){.v = n};
}

/* Kubernetes: deployment_util_test.go TestResolveFenceposts, and the defaults over N. */
static void surge_rounds_up_and_unavailable_rounds_down(void **state)
{
	static const struct {
		uint32_t surge, unavailable, n, want_surge, want_unavailable;
	} row[] = {
	        {25, 25, 1, 1, 0},
	        {25, 25, 2, 1, 0},
	        {25, 25, 3, 1, 0},
	        {25, 25, 4, 1, 1},
	        {25, 25, 5, 2, 1},
	        {25, 25, 7, 2, 1},
	        {25, 25, 10, 3, 2},
	        {25, 25, 20, 5, 5},
	        {39, 39, 10, 4, 3},
	        {0, 0, 0, 0, 1},
	        {0, 0, 10, 0, 1},
	        {100, 0, 3, 3, 0},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct rolling_fence f =
		        rolling_fence(percent(row[i].surge), percent(row[i].unavailable), row[i].n);
		assert_int_equal(f.surge, row[i].want_surge);
		assert_int_equal(f.unavailable, row[i].want_unavailable);
	}
	assert_int_equal(rolling_fence(count(3), count(2), 10).surge, 3);
	assert_int_equal(rolling_fence(count(0), count(0), 5).unavailable, 1);
}

/* Kubernetes: rolling_test.go reconcileNewReplicaSet. */
static void the_new_release_grows_into_the_surge(void **state)
{
	static const struct {
		uint32_t n, surge, old, now, want;
	} row[] = {
	        {10, 2, 10, 0, 2},
	        {10, 2, 5, 0, 7},
	        {10, 2, 10, 2, 2},
	        {10, 2, 2, 11, 10},
	        {10, 0, 10, 0, 0},
	        {0, 1, 3, 2, 0},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct rolling_fence f = {.surge = row[i].surge};
		uint32_t total = row[i].old + row[i].now;
		assert_int_equal(rolling_new(f, row[i].n, row[i].now, total), row[i].want);
	}
}

/* Kubernetes: rolling_test.go reconcileOldReplicaSets; row 5 of the worked examples. */
static void old_replicas_go_only_as_far_as_enough_are_available(void **state)
{
	static const struct {
		uint32_t n, surge, unavailable, old, old_available, now, now_available, want_old;
	} row[] = {
	        {10, 0, 0, 10, 10, 0, 0, 9},
	        {10, 0, 2, 10, 10, 0, 0, 8},
	        {10, 0, 2, 10, 8, 0, 0, 8},
	        {10, 0, 2, 10, 9, 0, 0, 8},
	        {10, 2, 2, 8, 8, 2, 0, 8},
	        {10, 0, 2, 0, 0, 10, 10, 0},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct rolling_fence f =
		        rolling_fence(count(row[i].surge), count(row[i].unavailable), row[i].n);
		struct rolling_down d = rolling_old(f, row[i].n, row[i].old, row[i].old_available,
		        row[i].now, row[i].now_available);
		assert_int_equal(row[i].old - d.unhealthy - d.available, row[i].want_old);
	}
}

struct pass {
	uint32_t old, old_available, now, now_available;
};

/* One thing a pass, as Kubernetes does it; false when nothing moves. */
static bool pass_once(struct pass *p, struct rolling_fence f, uint32_t n)
{
	uint32_t want = rolling_new(f, n, p->now, p->now + p->old);
	if (want != p->now) {
		p->now = want;
		return true;
	}
	struct rolling_down d =
	        rolling_old(f, n, p->old, p->old_available, p->now, p->now_available);
	p->old -= d.unhealthy + d.available;
	p->old_available -= d.available;
	return d.unhealthy + d.available > 0;
}

/* Row 6: N=10 surge 3 unavailable 2, nothing new becomes ready. Row 7: N=4, defaults. */
static void a_release_that_never_gets_ready_stops_half_way(void **state)
{
	struct pass p = {.old = 10, .old_available = 10};
	struct rolling_fence f = rolling_fence(count(3), count(2), 10);
	(void)state;
	while (pass_once(&p, f, 10)) {
	}
	assert_int_equal(p.old, 8);
	assert_int_equal(p.now, 5);

	p = (struct pass){.old = 4, .old_available = 4};
	f = rolling_fence(ROLLING_25_PERCENT, ROLLING_25_PERCENT, 4);
	while (pass_once(&p, f, 4)) {
	}
	assert_int_equal(p.old, 3);
	assert_int_equal(p.now, 2);
}

static void a_release_that_gets_ready_replaces_all(void **state)
{
	(void)state;
	for (uint32_t n = 1; n <= 40; n++) {
		struct pass p = {.old = n, .old_available = n};
		struct rolling_fence f = rolling_fence(ROLLING_25_PERCENT, ROLLING_25_PERCENT, n);
		for (int turn = 0; turn < 1000 && (p.old || p.now_available < n); turn++) {
			while (pass_once(&p, f, n)) {
				assert_true(p.old + p.now <= n + f.surge);
				assert_true(p.old_available + p.now_available + f.unavailable >= n);
			}
			if (p.now_available < p.now) p.now_available++;
		}
		assert_int_equal(p.old, 0);
		assert_int_equal(p.now, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(surge_rounds_up_and_unavailable_rounds_down),
	        cmocka_unit_test(the_new_release_grows_into_the_surge),
	        cmocka_unit_test(old_replicas_go_only_as_far_as_enough_are_available),
	        cmocka_unit_test(a_release_that_never_gets_ready_stops_half_way),
	        cmocka_unit_test(a_release_that_gets_ready_replaces_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
