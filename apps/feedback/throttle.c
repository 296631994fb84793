#include "apps/feedback/throttle_priv.h"

/* A school may share one address, so it gets more; successes are given back (people_db.c). */
const struct throttle_policy throttle_address = {30, 1000, 300000, 3600000};
const struct throttle_policy throttle_account = {5, 1000, 900000, 3600000};
const struct throttle_policy throttle_device = {5, 1000, 300000, 3600000};

static bool forgotten(const struct throttle_policy *p, struct throttle_state s, uint64_t now_ms)
{
	return now_ms >= s.last_ms && now_ms - s.last_ms >= p->forget_ms;
}

uint64_t throttle_wait_ms(const struct throttle_policy *p, struct throttle_state s, uint64_t now_ms)
{
	if (s.failures < p->free || forgotten(p, s, now_ms)) return 0;
	uint64_t over = s.failures - p->free, wait = p->wait_ms;
	for (uint64_t i = 0; i < over && wait < p->most_ms; i++)
		wait *= 2;
	wait = HG_MIN(wait, p->most_ms);
	/* A clock that was set back must not lock anybody out. */
	if (s.last_ms > now_ms + p->most_ms) return 0;
	uint64_t until = s.last_ms + wait;
	return until > now_ms ? until - now_ms : 0;
}

struct throttle_state throttle_attempt(
        const struct throttle_policy *p, struct throttle_state s, uint64_t now_ms)
{
	return (struct throttle_state){
	        .failures = forgotten(p, s, now_ms) ? 1 : s.failures + 1, .last_ms = now_ms};
}
