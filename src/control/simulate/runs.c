/* Many runs: what is usual, and what is rare. */
#include "control/simulate/simulate.h"

#include <stdlib.h>

enum { REQUESTS, REQUESTS_NEW, ZERO_MS, FAILED_NEW, SEEN, END_MS, VALUES };

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* The value with a share `q` of all below it. */
static double at(const double *v, uint32_t n, double q)
{
	uint32_t i = (uint32_t)(q * (double)n);
	return v[HG_MIN(i, n - 1)];
}

static struct sim_range range_of(double *v, uint32_t n)
{
	struct sim_range r = {.n = n};
	if (n == 0) return r;
	qsort(v, n, sizeof *v, by_size);
	r.low = at(v, n, 0.025);
	r.median = at(v, n, 0.5);
	r.high = at(v, n, 0.975);
	return r;
}

static void add(double *v, uint32_t *n, double x)
{
	v[(*n)++] = x;
}

enum hg_rc simulate_runs(const struct sim_options *o, uint32_t runs,
        struct sim_summary *ret_summary, struct hg_err *err)
{
	struct sim_options one = *o;
	struct sim_summary sum = {.runs = runs};
	uint32_t n[VALUES] = {0};
	enum hg_rc rc = HG_OK;
	struct sim_result *r = malloc(sizeof *r);
	double *v = calloc((size_t)VALUES * HG_MAX(runs, 1), sizeof *v);
	if (!r || !v) {
		rc = hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
		goto out;
	}
	for (uint32_t i = 0; i < runs; i++) {
		one.seed = o->seed + i;
		rc = simulate(&one, r, err);
		if (rc < 0) goto out;
		sum.ended[r->end]++;
		add(&v[END_MS * runs], &n[END_MS], r->end_ms);
		add(&v[SEEN * runs], &n[SEEN], (double)r->seen_new);
		add(&v[FAILED_NEW * runs], &n[FAILED_NEW], (double)r->failed_new);
		if (r->zero_ms < 0 || r->raised_ms < 0) continue;
		add(&v[ZERO_MS * runs], &n[ZERO_MS], r->zero_ms - r->raised_ms);
		add(&v[REQUESTS_NEW * runs], &n[REQUESTS_NEW], (double)r->requests_new);
		add(&v[REQUESTS * runs], &n[REQUESTS], (double)r->requests_until);
	}
	sum.requests = range_of(&v[REQUESTS * runs], n[REQUESTS]);
	sum.requests_new = range_of(&v[REQUESTS_NEW * runs], n[REQUESTS_NEW]);
	sum.zero_ms = range_of(&v[ZERO_MS * runs], n[ZERO_MS]);
	sum.failed_new = range_of(&v[FAILED_NEW * runs], n[FAILED_NEW]);
	sum.seen = range_of(&v[SEEN * runs], n[SEEN]);
	sum.end_ms = range_of(&v[END_MS * runs], n[END_MS]);
	*ret_summary = sum;
out:
	free(r);
	free(v);
	return rc;
}
