/*
 * Reproducible randomness: xoshiro256** (Blackman and Vigna 2018), seeded by the caller so that
 * tests and the simulator repeat. Not for secrets: os/file.h reads those from the kernel.
 */
#ifndef HG_BASE_RAND_H
#define HG_BASE_RAND_H

#include "base/hg.h"

struct hg_rand {
	uint64_t s[4];
};

void hg_rand_seed(struct hg_rand *r, uint64_t seed);
uint64_t hg_rand_u64(struct hg_rand *r);
/* Uniform in [0, n) without bias (Lemire 2019); n > 0. */
uint32_t hg_rand_below(struct hg_rand *r, uint32_t n);
/* Uniform in [0, 1). */
double hg_rand_unit(struct hg_rand *r);

#endif
