/*
 * When a request gets a second attempt beside its first: after a fixed time, or after a quantile of
 * how long first attempts took lately (Dean & Barroso, "The tail at scale", 2013). Two turns of
 * buckets, each an eighth of an octave wide: an answer is remembered for 5 to 10 seconds. A first
 * attempt that was overtaken is one that took longer than the quantile: it is counted at its age,
 * and the quantile below it stays what it is. Pure.
 */
#ifndef MATH_HEDGE_H
#define MATH_HEDGE_H

#include "base/hg.h"

#define HEDGE_BUCKETS 216u /* 1 µs … 2^27 µs */
#define HEDGE_TURN_MS 5000u
#define HEDGE_KNOWN   100u /* answers from which a quantile is known */

struct hedge_rules {
	uint32_t after_ms;     /* 0: by the quantile */
	uint32_t quantile_ppm; /* 950000: the 95th percentile */
};

/* Zeroed: nothing is known. */
struct hedge {
	uint64_t turn_ms;  /* when the present turn began; 0: never */
	uint64_t known_ms; /* when `after_ms` was found */
	uint32_t after_ms;
	uint32_t n[2];
	uint32_t bucket[2][HEDGE_BUCKETS]; /* [0]: of the present turn */
};

/* A first attempt was answered after that long, or overtaken at that age. */
void hedge_observe(struct hedge *h, uint64_t latency_ns, uint64_t now_ms);
/* How long (ms, at least 1) a first attempt is waited for; 0: too little is known. */
uint32_t hedge_after(struct hedge *h, const struct hedge_rules *rules, uint64_t now_ms);

#endif
