/*
 * When a target is asked, and what time its samples get. Pure: Unix time in milliseconds comes in.
 *
 * Every target has its own offset within the interval, made from what it is, so that many targets
 * are spread out and one is asked at the same phase after a restart. Samples get the planned time
 * when the scrape began at most 2 ms late (1 % of the interval, for short ones): steady distances
 * are what the store keeps in the fewest bits.
 */
#ifndef OBSERVE_SCRAPE_PLAN_PRIV_H
#define OBSERVE_SCRAPE_PLAN_PRIV_H

#include "base/hg.h"

struct plan {
	int64_t interval_ms, offset_ms; /* 0 ≤ offset < interval */
	int64_t due_ms;                 /* of the next scrape */
};

/* `seed`: the target's own number. */
struct plan scrape_plan_new(int64_t interval_ms, uint64_t seed, int64_t now_ms);
/* How long to wait; 0: it is time. A clock that was set far back begins a new plan. */
int64_t scrape_plan_wait(struct plan *p, int64_t now_ms);
/* A scrape begins now: the time of its samples, and on to the next one. Those missed are left out.
 */
int64_t scrape_plan_take(struct plan *p, int64_t now_ms);

/* What is to be done when a target is no longer wanted. */
struct plan_end {
	int64_t stale_ms; /* the time of the markers: when it would have been asked next */
	int64_t act_ms;   /* when they are written: one interval later and 10 % of one */
};
struct plan_end scrape_plan_end(const struct plan *p);

#endif
