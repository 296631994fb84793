#include "remote_priv.h"

#define SETTLE_MS 1000   /* a scrape's samples have the time at which it began */
#define SLICE_MS  120000 /* of a pass that catches up … */
#define BEHIND_MS 180000 /* … which it is when it is so far behind */
#define AHEAD_MS  600000 /* a clock that is corrected by less is waited for */
#define DAY_MS    86400000

enum send_verdict send_judge(int status)
{
	if (status >= 200 && status < 300) return SEND_TAKEN;
	/* A redirect is an address that somebody will correct; 4xx would be the same for ever. */
	bool refused = status >= 400 && status < 500 && status != 429;
	return refused ? SEND_REFUSED : SEND_AGAIN;
}

uint64_t send_pause(uint32_t tries, uint64_t asked_ms, uint64_t random)
{
	if (asked_ms) return HG_MIN(asked_ms, REMOTE_AFTER_MOST_MS);
	uint64_t ms = (uint64_t)REMOTE_PAUSE_LEAST_MS << HG_MIN(tries ? tries - 1 : 0, 16u);
	ms = HG_MIN(ms, REMOTE_PAUSE_MOST_MS);
	return ms - ms / 10 + random % (ms / 5);
}

bool send_is_ahead(int64_t position_ms, int64_t now_ms)
{
	return position_ms > now_ms + AHEAD_MS;
}

int64_t send_back(int64_t low_ms, uint32_t batch_ms, int64_t now_ms)
{
	bool known = low_ms && low_ms <= now_ms && now_ms - low_ms <= DAY_MS;
	return known ? low_ms : now_ms - 1 - 2 * (int64_t)batch_ms;
}

int64_t send_leap(int64_t passed_ms, int64_t high_ms, int64_t now_ms)
{
	return high_ms - passed_ms > DAY_MS && now_ms >= high_ms ? high_ms : passed_ms;
}

int64_t send_until(int64_t passed_ms, int64_t now_ms)
{
	int64_t until = now_ms - SETTLE_MS;
	return until - passed_ms > BEHIND_MS ? passed_ms + SLICE_MS : until;
}
