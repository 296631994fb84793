/*
 * A circuit breaker: an app that fails is not asked for a while, so that it can recover and its
 * clients get an answer at once. Closed: everything passes, and outcomes are counted in a window
 * of buckets. Open: nothing passes. Half open: so many requests may try; all of them good closes
 * it, one bad opens it again. Nygard, Release It! (2007); the window as in Hystrix' rolling
 * counters. Pure: time comes from the caller, it owns nothing.
 */
#ifndef MATH_BREAKER_H
#define MATH_BREAKER_H

#include "base/hg.h"

#define BREAKER_BUCKETS 10u

struct breaker_rules {
	uint32_t errors_ppm;   /* share of failures that opens it; 0: never */
	uint32_t over_ms;      /* the window */
	uint32_t open_ms;      /* how long it stays open */
	uint32_t min_requests; /* fewer in the window prove nothing */
	uint32_t probes;       /* good ones in a row that close it; at least 1 */
};

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
enum breaker_outcome { BREAKER_GOOD, BREAKER_BAD, BREAKER_NONE /* it tells nothing */ };

/* All zero: closed, nothing counted. */
struct breaker {
	enum breaker_state state;
	uint32_t term;     /* counts changes of state: what was let in before one does not count */
	uint64_t until_ms; /* open: until then */
	uint64_t newest;   /* number of the newest bucket */
	uint32_t good[BREAKER_BUCKETS], bad[BREAKER_BUCKETS];
	uint32_t probing, probed; /* half open: on their way, and good so far */
};

/* May a request pass? True: *ret_term goes back with its outcome. */
bool breaker_ask(
        struct breaker *b, const struct breaker_rules *r, uint64_t now_ms, uint32_t *ret_term);

/* The outcome of an attempt that passed in `term`: once for each that passed, as it ends; while
 * closed also further attempts of the same request. True: it opened or closed by this. */
bool breaker_tell(struct breaker *b, const struct breaker_rules *r, uint32_t term,
        enum breaker_outcome outcome, uint64_t now_ms);

/* How long until asking again may help, in ms; for Retry-After. */
uint32_t breaker_wait_ms(const struct breaker *b, uint64_t now_ms);

#endif
