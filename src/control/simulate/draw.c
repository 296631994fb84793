#include "control/simulate/draw_priv.h"

#include <math.h>

#define Z95 1.6448536269514722

static double log_factorial(double k)
{
	int sign;
	return lgamma_r(k + 1, &sign);
}

/* n p small: gaps between successes are geometric. */
static uint64_t binomial_few(struct hg_rand *r, uint64_t n, double p)
{
	double log_q = log1p(-p), at = 0;
	uint64_t x = 0;
	for (;;) {
		at += floor(log1p(-hg_rand_unit(r)) / log_q) + 1;
		if (at > (double)n) return x;
		x++;
	}
}

static uint64_t binomial_many(struct hg_rand *r, uint64_t n, double p)
{
	double count = (double)n, q = 1 - p, spq = sqrt(count * p * q);
	double b = 1.15 + 2.53 * spq, a = -0.0873 + 0.0248 * b + 0.01 * p;
	double c = count * p + 0.5, v_r = 0.92 - 4.2 / b, alpha = (2.83 + 5.1 / b) * spq;
	double log_pq = log(p / q), mode = floor((count + 1) * p);
	double h = log_factorial(mode) + log_factorial(count - mode);
	for (;;) {
		double u = hg_rand_unit(r) - 0.5, v = 1 - hg_rand_unit(r), us = 0.5 - fabs(u);
		double k = floor((2 * a / us + b) * u + c);
		if (!(k >= 0 && k <= count)) continue;
		if (us >= 0.07 && v <= v_r) return (uint64_t)k;
		v = log(v * alpha / (a / (us * us) + b));
		if (v <= h - log_factorial(k) - log_factorial(count - k) + (k - mode) * log_pq)
			return (uint64_t)k;
	}
}

uint64_t sim_binomial(struct hg_rand *r, uint64_t n, double p)
{
	if (n == 0 || !(p > 0)) return 0;
	if (p >= 1) return n;
	if (p > 0.5) return n - sim_binomial(r, n, 1 - p);
	return (double)n * p < 10 ? binomial_few(r, n, p) : binomial_many(r, n, p);
}

static uint64_t poisson_few(struct hg_rand *r, double mean)
{
	double least = exp(-mean), product = 1 - hg_rand_unit(r);
	uint64_t k = 0;
	for (; product > least; k++)
		product *= 1 - hg_rand_unit(r);
	return k;
}

uint64_t sim_poisson(struct hg_rand *r, double mean)
{
	if (!(mean > 0)) return 0;
	if (mean < 10) return poisson_few(r, mean);
	double s = sqrt(mean), log_mean = log(mean), b = 0.931 + 2.53 * s;
	double a = -0.059 + 0.02483 * b, v_r = 0.9277 - 3.6224 / (b - 2);
	double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
	for (;;) {
		double u = hg_rand_unit(r) - 0.5, v = 1 - hg_rand_unit(r), us = 0.5 - fabs(u);
		double k = floor((2 * a / us + b) * u + mean + 0.43);
		if (us >= 0.07 && v <= v_r) return (uint64_t)k;
		if (!(k >= 0) || (us < 0.013 && v > us)) continue;
		if (log(v) + log(inverse_alpha) - log(a / (us * us) + b) <=
		        -mean + k * log_mean - log_factorial(k))
			return (uint64_t)k;
	}
}

uint64_t sim_geometric(struct hg_rand *r, double p)
{
	if (p >= 1) return 1;
	if (!(p > 1e-15)) return 1000000000000000u;
	double k = floor(log1p(-hg_rand_unit(r)) / log1p(-p)) + 1;
	return k < 1e15 ? (uint64_t)k : 1000000000000000u;
}

/* ---- response times ---- */

struct sim_latency sim_latency_of(double median_ms, double p95_ms)
{
	return (struct sim_latency){
	        .mu = log(median_ms), .sigma = log(HG_MAX(p95_ms / median_ms, 1)) / Z95};
}

double sim_latency_above(struct sim_latency l, double ms)
{
	if (!(ms > 0)) return 1;
	if (isinf(ms)) return 0;
	if (!(l.sigma > 0)) return log(ms) < l.mu;
	return erfc((log(ms) - l.mu) / l.sigma * M_SQRT1_2) / 2;
}

double sim_latency_quantile(struct sim_latency l, double q)
{
	/* Those that are asked for: the normal's quantiles to 16 digits. */
	double z = q >= 0.99   ? 2.3263478740408408
	           : q >= 0.95 ? Z95
	           : q >= 0.5  ? 0
	                       : -0.67448975019608171;
	return exp(l.mu + l.sigma * z);
}

double sim_latency_mean(struct sim_latency l)
{
	return exp(l.mu + l.sigma * l.sigma / 2);
}

double sim_latency_mean_between(struct sim_latency l, double low_ms, double high_ms)
{
	double share = sim_latency_above(l, low_ms) - sim_latency_above(l, high_ms);
	/* Weighted by itself, a log-normal is one with another middle. */
	struct sim_latency moved = {.mu = l.mu + l.sigma * l.sigma, .sigma = l.sigma};
	double part = sim_latency_above(moved, low_ms) - sim_latency_above(moved, high_ms);
	if (!(share > 1e-12)) return HG_MIN(HG_MAX(sim_latency_mean(l), low_ms), high_ms);
	return HG_MIN(HG_MAX(sim_latency_mean(l) * part / share, low_ms), high_ms);
}
