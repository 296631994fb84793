#include "math/backoff.h"

uint32_t backoff_again(const struct backoff *b, struct hg_rand *r)
{
	if (b->streak < 2) return 0;
	uint32_t base = b->streak > 7 ? BACKOFF_MAX_MS : 1000u << (b->streak - 2);
	base = HG_MIN(base, BACKOFF_MAX_MS);
	return base - base / 4 + (uint32_t)(hg_rand_unit(r) * (double)base / 2);
}

uint32_t backoff_ended(struct backoff *b, uint64_t healthy_ms, struct hg_rand *r)
{
	backoff_healthy(b, healthy_ms);
	if (b->streak < UINT32_MAX) b->streak++;
	return backoff_again(b, r);
}

void backoff_healthy(struct backoff *b, uint64_t healthy_ms)
{
	if (healthy_ms >= BACKOFF_HEALTHY_MS) b->streak = 0;
}

bool backoff_crash_loop(const struct backoff *b)
{
	return b->streak >= BACKOFF_CRASH_LOOP;
}

uint32_t backoff_connect_ms(uint32_t streak, double unit)
{
	uint32_t base = BACKOFF_CONNECT_MAX_MS;
	if (streak < 2) return 0;
	if (streak < 8) base = HG_MIN(100u << (streak - 2), BACKOFF_CONNECT_MAX_MS);
	return base - base / 4 + (uint32_t)(unit * (double)base / 2);
}
