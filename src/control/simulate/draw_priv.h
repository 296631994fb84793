/* Exact draws of numbers of requests, by any size. */
#ifndef CONTROL_SIMULATE_DRAW_PRIV_H
#define CONTROL_SIMULATE_DRAW_PRIV_H

#include "base/rand.h"

/* Of n, each with chance p: how many? Rejection from a transformed density (Hörmann, "The
 * generation of binomial random variates", 1993, algorithm BTRS), counting for few. */
uint64_t sim_binomial(struct hg_rand *r, uint64_t n, double p);
/* A Poisson process's count (Hörmann, "The transformed rejection method for generating Poisson
 * random variables", 1993, algorithm PTRS). mean <= 1e12. */
uint64_t sim_poisson(struct hg_rand *r, double mean);
/* How many requests until the first that has chance p, itself included; at most 1e15. */
uint64_t sim_geometric(struct hg_rand *r, double p);

/* Response times of a release: log-normal. */
struct sim_latency {
	double mu, sigma; /* of ln(ms) */
};
struct sim_latency sim_latency_of(double median_ms, double p95_ms);
/* The share that takes longer. */
double sim_latency_above(struct sim_latency l, double ms);
/* q: 0.25, 0.5, 0.95 or 0.99. */
double sim_latency_quantile(struct sim_latency l, double q);
double sim_latency_mean(struct sim_latency l);
/* Of those that take longer than `low_ms` and no longer than `high_ms` (INFINITY: any). */
double sim_latency_mean_between(struct sim_latency l, double low_ms, double high_ms);

#endif
