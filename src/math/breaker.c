#include "math/breaker.h"

#include <string.h>

static void change(struct breaker *b, enum breaker_state to)
{
	b->state = to;
	b->term++;
	b->probing = b->probed = 0;
	memset(b->good, 0, sizeof b->good);
	memset(b->bad, 0, sizeof b->bad);
}

/* Empties the buckets that time has passed by; returns that of now. A clock that goes backwards
 * counts into the newest. */
static uint32_t bucket_of(struct breaker *b, const struct breaker_rules *r, uint64_t now_ms)
{
	uint64_t width = HG_MAX(r->over_ms / BREAKER_BUCKETS, 1u), at = now_ms / width;
	if (at > b->newest + BREAKER_BUCKETS) b->newest = at - BREAKER_BUCKETS;
	while (b->newest < at) {
		b->newest++;
		b->good[b->newest % BREAKER_BUCKETS] = b->bad[b->newest % BREAKER_BUCKETS] = 0;
	}
	return (uint32_t)(b->newest % BREAKER_BUCKETS);
}

static bool too_many(const struct breaker *b, const struct breaker_rules *r)
{
	uint64_t good = 0, bad = 0;
	for (uint32_t i = 0; i < BREAKER_BUCKETS; i++) {
		good += b->good[i];
		bad += b->bad[i];
	}
	if (good + bad < HG_MAX(r->min_requests, 1u)) return false;
	return bad * 1000000u >= (good + bad) * r->errors_ppm;
}

bool breaker_ask(
        struct breaker *b, const struct breaker_rules *r, uint64_t now_ms, uint32_t *ret_term)
{
	/* A reload took it away. */
	if (r->errors_ppm == 0 && b->state != BREAKER_CLOSED) change(b, BREAKER_CLOSED);
	if (b->state == BREAKER_OPEN && now_ms >= b->until_ms) change(b, BREAKER_HALF_OPEN);
	*ret_term = b->term;
	switch (b->state) {
	case BREAKER_CLOSED: return true;
	case BREAKER_OPEN: return false;
	case BREAKER_HALF_OPEN: break;
	}
	if (b->probing + b->probed >= HG_MAX(r->probes, 1u)) return false;
	b->probing++;
	return true;
}

static bool tell_closed(struct breaker *b, const struct breaker_rules *r,
        enum breaker_outcome outcome, uint64_t now_ms)
{
	if (outcome == BREAKER_NONE || r->errors_ppm == 0) return false;
	uint32_t at = bucket_of(b, r, now_ms);
	if (outcome == BREAKER_GOOD) {
		b->good[at]++;
		return false;
	}
	b->bad[at]++;
	if (!too_many(b, r)) return false;
	change(b, BREAKER_OPEN);
	b->until_ms = now_ms + r->open_ms;
	return true;
}

bool breaker_tell(struct breaker *b, const struct breaker_rules *r, uint32_t term,
        enum breaker_outcome outcome, uint64_t now_ms)
{
	if (term != b->term) return false;
	if (b->state == BREAKER_CLOSED) return tell_closed(b, r, outcome, now_ms);
	/* Nothing passes while it is open, and a probe is told of once. */
	if (b->state == BREAKER_OPEN || b->probing == 0) return false;
	b->probing--;
	if (outcome == BREAKER_NONE) return false;
	if (outcome == BREAKER_BAD) {
		change(b, BREAKER_OPEN);
		b->until_ms = now_ms + r->open_ms;
		return true;
	}
	if (++b->probed < HG_MAX(r->probes, 1u)) return false;
	change(b, BREAKER_CLOSED);
	return true;
}

uint32_t breaker_wait_ms(const struct breaker *b, uint64_t now_ms)
{
	if (b->state != BREAKER_OPEN || b->until_ms <= now_ms) return 0;
	return (uint32_t)HG_MIN(b->until_ms - now_ms, (uint64_t)UINT32_MAX);
}
