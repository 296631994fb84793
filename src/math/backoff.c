#include "math/backoff.h"

uint32_t backoff_ended(struct backoff *b, uint64_t healthy_ms, struct hg_rand *r)
{
	backoff_healthy(b, healthy_ms);
	uint32_t n = b->streak++;
	if (b->streak == 0) b->streak = UINT32_MAX; /* no way back to zero by overflow */
	if (n == 0) return 0;
	uint32_t base = n > 6 ? BACKOFF_MAX_MS : 1000u << (n - 1);
	base = HG_MIN(base, BACKOFF_MAX_MS);
	return base - base / 4 + (uint32_t)(hg_rand_unit(r) * (base / 2));
}

void backoff_healthy(struct backoff *b, uint64_t healthy_ms)
{
	if (healthy_ms >= BACKOFF_HEALTHY_MS) b->streak = 0;
}

bool backoff_crash_loop(const struct backoff *b)
{
	return b->streak >= BACKOFF_CRASH_LOOP;
}
