#include "math/rolling.h"

static uint32_t share_of(struct rolling_share s, uint32_t n, bool up)
{
	if (!s.is_ratio) return s.v;
	uint64_t product = (uint64_t)s.v * n;
	return (uint32_t)((product + (up ? 999999 : 0)) / 1000000);
}

struct rolling_fence rolling_fence(
        struct rolling_share surge, struct rolling_share unavailable, uint32_t n)
{
	struct rolling_fence f = {
	        .surge = share_of(surge, n, true),
	        .unavailable = share_of(unavailable, n, false),
	};
	/* Otherwise nothing could ever move. */
	if (f.surge == 0 && f.unavailable == 0) f.unavailable = 1;
	return f;
}

uint32_t rolling_new(struct rolling_fence f, uint32_t n, uint32_t now, uint32_t total)
{
	if (now >= n) return n;
	uint32_t most = n + f.surge;
	if (total >= most) return now;
	return now + HG_MIN(most - total, n - now);
}

struct rolling_down rolling_old(struct rolling_fence f, uint32_t n, uint32_t old,
        uint32_t old_available, uint32_t now, uint32_t now_available)
{
	struct rolling_down d = {0};
	uint32_t least = n - HG_MIN(f.unavailable, n);
	int64_t room = (int64_t)old + now - least - ((int64_t)now - now_available);
	if (old == 0 || room <= 0) return d;
	/* Sick ones first: they serve nobody and would block the update. */
	d.unhealthy = (uint32_t)HG_MIN(room, (int64_t)old - old_available);
	int64_t spare = (int64_t)old_available + now_available - least;
	if (spare > 0) d.available = (uint32_t)HG_MIN(spare, (int64_t)old_available);
	return d;
}
