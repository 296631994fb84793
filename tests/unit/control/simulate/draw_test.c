/* Draws against the probabilities they stand for (chi-square) and against their moments. */
#include "../../test.h"

#include <math.h>
#include <stdio.h>

#include "control/simulate/draw_priv.h"

#define DRAWS 200000

static double log_choose(double n, double k)
{
	int s;
	return lgamma_r(n + 1, &s) - lgamma_r(k + 1, &s) - lgamma_r(n - k + 1, &s);
}

static double binomial_chance(double n, double p, double k)
{
	return exp(log_choose(n, k) + k * log(p) + (n - k) * log1p(-p));
}

static double poisson_chance(double mean, double k)
{
	int s;
	return exp(-mean + k * log(mean) - lgamma_r(k + 1, &s));
}

/* Cells of 20 expected draws and more; the sum is far below 5 sigma when they agree. */
static void fits(const uint32_t *seen, const double *chance, size_t n, const char *what)
{
	double sum = 0, want = 0, have = 0;
	int cells = 0;
	for (size_t i = 0; i < n; i++) {
		want += chance[i] * DRAWS;
		have += seen[i];
		if (want < 20) continue;
		sum += (have - want) * (have - want) / want;
		cells++;
		want = have = 0;
	}
	assert_true(cells > 2);
	if (sum > cells + 5 * sqrt(2.0 * cells)) fail_msg("%s: %.1f in %d cells", what, sum, cells);
}

static void binomial_draws_are_binomial(void **state)
{
	static const struct {
		uint64_t n;
		double p;
	} rows[] = {
	        {10, 0.3}, {100, 0.02}, {100, 0.4}, {1000, 0.1}, {1000, 0.9}, {50, 0.5}, {3, 0.99}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		static uint32_t seen[1001];
		static double chance[1001];
		char what[64];
		struct hg_rand r;
		memset(seen, 0, sizeof seen);
		hg_rand_seed(&r, 7 + i);
		for (int k = 0; k < DRAWS; k++) {
			uint64_t x = sim_binomial(&r, rows[i].n, rows[i].p);
			assert_true(x <= rows[i].n);
			seen[x]++;
		}
		for (uint64_t k = 0; k <= rows[i].n; k++)
			chance[k] = binomial_chance((double)rows[i].n, rows[i].p, (double)k);
		snprintf(
		        what, sizeof what, "n %llu p %g", (unsigned long long)rows[i].n, rows[i].p);
		fits(seen, chance, rows[i].n + 1, what);
	}
}

static void poisson_draws_are_poisson(void **state)
{
	static const double means[] = {0.05, 1, 9.5, 10, 40, 300};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(means); i++) {
		static uint32_t seen[1000];
		static double chance[1000];
		char what[64];
		struct hg_rand r;
		memset(seen, 0, sizeof seen);
		hg_rand_seed(&r, 70 + i);
		for (int k = 0; k < DRAWS; k++) {
			uint64_t x = sim_poisson(&r, means[i]);
			assert_true(x < HG_COUNT(seen));
			seen[x]++;
		}
		for (size_t k = 0; k < HG_COUNT(chance); k++)
			chance[k] = poisson_chance(means[i], (double)k);
		snprintf(what, sizeof what, "mean %g", means[i]);
		fits(seen, chance, HG_COUNT(chance), what);
	}
}

static void large_draws_have_their_mean_and_spread(void **state)
{
	struct hg_rand r;
	double sum = 0, squares = 0, mean = 2e8 * 0.3, spread = sqrt(2e8 * 0.3 * 0.7);
	(void)state;
	hg_rand_seed(&r, 3);
	for (int i = 0; i < 20000; i++) {
		double x = ((double)sim_binomial(&r, 200000000, 0.3) - mean) / spread;
		sum += x;
		squares += x * x;
	}
	assert_true(fabs(sum / 20000) < 5 / sqrt(20000));
	assert_true(fabs(squares / 20000 - 1) < 0.05);
	assert_int_equal(sim_binomial(&r, 100, 0), 0);
	assert_int_equal(sim_binomial(&r, 100, 1), 100);
	assert_int_equal(sim_binomial(&r, 0, 0.5), 0);
	assert_int_equal(sim_binomial(&r, 10, NAN), 0);
	assert_int_equal(sim_poisson(&r, 0), 0);
	assert_int_equal(sim_poisson(&r, NAN), 0);
	assert_int_equal(sim_geometric(&r, 1), 1);
	assert_true(sim_geometric(&r, 0) > 1000000000);
}

static void response_times_have_the_quantiles_they_were_made_from(void **state)
{
	struct sim_latency l = sim_latency_of(20, 80), one = sim_latency_of(5, 5);
	(void)state;
	assert_float_equal(sim_latency_above(l, 20), 0.5, 1e-9);
	assert_float_equal(sim_latency_above(l, 80), 0.05, 1e-9);
	assert_float_equal(sim_latency_quantile(l, 0.95), 80, 1e-9);
	assert_float_equal(sim_latency_above(l, sim_latency_quantile(l, 0.99)), 0.01, 1e-9);
	assert_float_equal(sim_latency_above(one, 4.9), 1, 0);
	assert_float_equal(sim_latency_above(one, 5.1), 0, 0);
	/* The parts' means, weighted, are the mean. */
	double below = sim_latency_mean_between(l, 0, 80),
	       over = sim_latency_mean_between(l, 80, INFINITY);
	assert_true(below < 80 && over > 80);
	assert_float_equal(0.95 * below + 0.05 * over, sim_latency_mean(l), 1e-6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(binomial_draws_are_binomial),
	        cmocka_unit_test(poisson_draws_are_poisson),
	        cmocka_unit_test(large_draws_have_their_mean_and_spread),
	        cmocka_unit_test(response_times_have_the_quantiles_they_were_made_from),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
