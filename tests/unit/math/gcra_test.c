#include "../test.h"

#include "base/rand.h"
#include "math/gcra.h"

#define S 1000000000u

static struct gcra_rule rule(uint64_t count, uint64_t period_ns, uint64_t burst)
{
	struct gcra_rule r;
	assert_true(gcra_rule_make(count, period_ns, burst, &r));
	return r;
}

static void rules_are_rounded_so_that_never_one_too_many_is_admitted(void **state)
{
	static const struct {
		uint64_t count, period_ns, burst, interval, tolerance;
		bool ok;
	} row[] = {
	        {1000, 60ull * S, 1000, 60000000, 59940000000, true}, {3, S, 1, 333333334, 0, true},
	        {1, S, 1, S, 0, true}, {S, S, 1, 1, 0, true}, {0, S, 1, 0, 0, false},
	        {1, S, 0, 0, 0, false},
	        {S + 1ull, S, 1, 0, 0, false},           /* more than one a nanosecond */
	        {1, UINT64_MAX, 1, 0, 0, false},         /* longer than can be counted */
	        {1, 86400ull * S, 1000000, 0, 0, false}, /* comes back after 2700 years */
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct gcra_rule r = {0};
		bool ok = gcra_rule_make(row[i].count, row[i].period_ns, row[i].burst, &r);
		if (ok != row[i].ok || r.interval_ns != row[i].interval ||
		        r.tolerance_ns != row[i].tolerance)
			fail_msg("row %zu", i);
	}
}

static void a_burst_is_admitted_at_once_and_then_one_an_interval(void **state)
{
	struct gcra_rule r = rule(10, S, 3);
	uint64_t tat = 0, now = 5ull * S;
	(void)state;
	for (uint64_t left = 2; left != UINT64_MAX; left--) {
		struct gcra_verdict v = gcra_decide(r, tat, now);
		assert_true(v.admit);
		assert_int_equal(v.left, left);
		assert_int_equal(v.wait_ns, 100000000);
		tat = v.tat_ns;
	}
	struct gcra_verdict v = gcra_decide(r, tat, now);
	assert_false(v.admit);
	assert_int_equal(v.left, 0);
	assert_int_equal(v.wait_ns, 100000000);
	assert_int_equal(v.tat_ns, tat);
	assert_false(gcra_decide(r, tat, now + 99999999).admit);
	assert_int_equal(gcra_decide(r, tat, now + 99999999).wait_ns, 1);
	v = gcra_decide(r, tat, now + 100000000);
	assert_true(v.admit);
	assert_int_equal(v.left, 0);
	/* After a rest the burst is back, and no more than it. */
	v = gcra_decide(r, v.tat_ns, now + 3600ull * S);
	assert_true(v.admit);
	assert_int_equal(v.left, 2);
}

static void the_wait_that_is_told_is_exactly_enough(void **state)
{
	struct hg_rand rand;
	(void)state;
	hg_rand_seed(&rand, 1);
	for (int i = 0; i < 200000; i++) {
		struct gcra_rule r = rule(1 + hg_rand_below(&rand, 5000),
		        (1 + hg_rand_below(&rand, 100)) * (uint64_t)S,
		        1 + hg_rand_below(&rand, 5000));
		uint64_t now = hg_rand_u64(&rand) >> 8;
		uint64_t tat = now + hg_rand_u64(&rand) % (r.tolerance_ns + 2 * r.interval_ns);
		struct gcra_verdict v = gcra_decide(r, tat, now);
		if (!v.admit) {
			assert_true(gcra_decide(r, v.tat_ns, now + v.wait_ns).admit);
			assert_false(gcra_decide(r, v.tat_ns, now + v.wait_ns - 1).admit);
			continue;
		}
		/* `left` more are admitted now, and one more after the wait. */
		uint64_t t = v.tat_ns, left = 0;
		for (struct gcra_verdict w; left < 6000 && (w = gcra_decide(r, t, now)).admit;
		        left++)
			t = w.tat_ns;
		assert_int_equal(left, v.left);
		assert_true(gcra_decide(r, t, now + v.wait_ns).admit);
		if (v.wait_ns) assert_false(gcra_decide(r, t, now + v.wait_ns - 1).admit);
	}
}

/* An oracle that keeps every admitted request: one more is admitted when, for every span that ends
 * now, there is room in burst + floor(span / interval). */
static bool oracle(const uint64_t *at, size_t n, struct gcra_rule r, uint64_t now)
{
	uint64_t burst = r.tolerance_ns / r.interval_ns + 1;
	for (size_t i = n; i-- > 0;) {
		uint64_t in = n - i + 1, may = burst + (now - at[i]) / r.interval_ns;
		if (in > may) return false;
	}
	return true;
}

static void decisions_agree_with_a_list_of_all_that_was_admitted(void **state)
{
	static uint64_t at[4000];
	struct hg_rand rand;
	(void)state;
	hg_rand_seed(&rand, 7);
	for (int round = 0; round < 60; round++) {
		struct gcra_rule r =
		        rule(1 + hg_rand_below(&rand, 50), S, 1 + hg_rand_below(&rand, 20));
		uint64_t now = hg_rand_u64(&rand) >> 4, tat = 0;
		size_t n = 0;
		for (int i = 0; i < 3000; i++) {
			now += hg_rand_below(&rand, 3) ? hg_rand_below(&rand, 2 * S / 50)
			                               : hg_rand_below(&rand, 1000);
			if (hg_rand_below(&rand, 200) == 0) now += 2ull * S;
			struct gcra_verdict v = gcra_decide(r, tat, now);
			if (v.admit != oracle(at, n, r, now))
				fail_msg("round %d, request %d", round, i);
			if (!v.admit) continue;
			at[n++] = now;
			tat = v.tat_ns;
		}
		assert_true(n > 0);
	}
}

static void nothing_overflows(void **state)
{
	static const uint64_t edge[] = {0, 1, S, GCRA_SPAN_MAX - 1, GCRA_SPAN_MAX, UINT64_MAX / 2,
	        UINT64_MAX - 1, UINT64_MAX};
	struct gcra_rule r[] = {rule(1, S, 1), rule(1000, 60ull * S, 1000), {1, 0},
	        {GCRA_SPAN_MAX, 0}, {1, GCRA_SPAN_MAX - 1}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(r); i++) {
		for (size_t a = 0; a < HG_COUNT(edge); a++) {
			for (size_t b = 0; b < HG_COUNT(edge); b++) {
				struct gcra_verdict v = gcra_decide(r[i], edge[a], edge[b]);
				if (v.admit) assert_true(v.tat_ns >= edge[b]);
				if (!v.admit) assert_true(v.wait_ns <= r[i].interval_ns);
			}
		}
	}
	/* What no honest writer left there is worth one interval of waiting, not for ever. */
	struct gcra_verdict v = gcra_decide(r[0], UINT64_MAX, 5ull * S);
	assert_false(v.admit);
	assert_int_equal(v.wait_ns, S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(rules_are_rounded_so_that_never_one_too_many_is_admitted),
	        cmocka_unit_test(a_burst_is_admitted_at_once_and_then_one_an_interval),
	        cmocka_unit_test(the_wait_that_is_told_is_exactly_enough),
	        cmocka_unit_test(decisions_agree_with_a_list_of_all_that_was_admitted),
	        cmocka_unit_test(nothing_overflows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
