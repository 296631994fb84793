#include "math/hedge.h"

#include <string.h>

#define STEPS    8u   /* of an octave */
#define FRESH_MS 100u /* how long a quantile is good for */

/* 0: up to 1 µs; then STEPS for each doubling, equal in width within it. */
static uint32_t bucket_of(uint64_t ns)
{
	uint64_t us = ns / 1000;
	if (us < STEPS) return (uint32_t)us;
	uint32_t octave = 63 - (uint32_t)__builtin_clzll(us);
	uint32_t part = (uint32_t)(us >> (octave - 3)) & (STEPS - 1);
	uint32_t at = (octave - 2) * STEPS + part;
	return HG_MIN(at, HEDGE_BUCKETS - 1);
}

/* Where the bucket ends, in µs. */
static uint64_t end_of(uint32_t at)
{
	if (at < STEPS) return at + 1;
	uint32_t octave = at / STEPS + 2;
	return (uint64_t)(STEPS + at % STEPS + 1) << (octave - 3);
}

static void turn(struct hedge *h, uint64_t now_ms)
{
	uint64_t age = now_ms - h->turn_ms;
	if (h->turn_ms && age < HEDGE_TURN_MS) return;
	if (h->turn_ms && age < 2 * (uint64_t)HEDGE_TURN_MS) {
		memcpy(h->bucket[1], h->bucket[0], sizeof h->bucket[1]);
		h->n[1] = h->n[0];
	} else {
		memset(h->bucket[1], 0, sizeof h->bucket[1]);
		h->n[1] = 0;
	}
	memset(h->bucket[0], 0, sizeof h->bucket[0]);
	h->n[0] = 0;
	h->turn_ms = now_ms;
}

void hedge_observe(struct hedge *h, uint64_t latency_ns, uint64_t now_ms)
{
	turn(h, now_ms);
	h->bucket[0][bucket_of(latency_ns)]++;
	h->n[0]++;
}

static uint32_t quantile_ms(const struct hedge *h, uint32_t ppm)
{
	uint64_t total = (uint64_t)h->n[0] + h->n[1], seen = 0;
	uint64_t rank = (total * ppm + 999999) / 1000000;
	for (uint32_t i = 0; i < HEDGE_BUCKETS; i++) {
		seen += (uint64_t)h->bucket[0][i] + h->bucket[1][i];
		if (seen >= rank) return (uint32_t)HG_MAX((end_of(i) + 999) / 1000, 1u);
	}
	return 0;
}

uint32_t hedge_after(struct hedge *h, const struct hedge_rules *rules, uint64_t now_ms)
{
	if (rules->after_ms) return rules->after_ms;
	turn(h, now_ms);
	if ((uint64_t)h->n[0] + h->n[1] < HEDGE_KNOWN) return 0;
	if (h->known_ms && now_ms < h->known_ms + FRESH_MS) return h->after_ms;
	h->known_ms = now_ms;
	h->after_ms = quantile_ms(h, rules->quantile_ppm);
	return h->after_ms;
}
