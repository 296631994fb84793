#include "remote_priv.h"

#define SETTLE_MS 1000   /* a scrape's samples have the time at which it began */
#define SLICE_MS  120000 /* of a pass that catches up … */
#define BEHIND_MS 180000 /* … which it is when it is so far behind */

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

int64_t send_until(int64_t passed_ms, int64_t now_ms)
{
	int64_t until = now_ms - SETTLE_MS;
	return until - passed_ms > BEHIND_MS ? passed_ms + SLICE_MS : until;
}
