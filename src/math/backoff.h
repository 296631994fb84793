/*
 * How long to wait before a process that ended is started again: at once, then 1, 2, 4 … 60 s,
 * each ± 25 % so that replicas that fell together do not rise together. It never gives up. The
 * streak of ends is forgotten after ten healthy minutes; from the third end in a streak on the
 * process is in a crash loop. Kubernetes' curve (flowcontrol/backoff.go: 10 s … 300 s, no jitter)
 * scaled down: on one machine a hole of five minutes is the outage. Pure; owns nothing.
 */
#ifndef MATH_BACKOFF_H
#define MATH_BACKOFF_H

#include "base/rand.h"

#define BACKOFF_MAX_MS     60000u
#define BACKOFF_HEALTHY_MS 600000u
#define BACKOFF_CRASH_LOOP 3u

struct backoff {
	uint32_t streak; /* ends in a row */
};

/*
 * The process ended after having been ready for the last `healthy_ms` without a break (0: it was
 * not ready). Returns the wait in ms, counted from its end.
 */
uint32_t backoff_ended(struct backoff *b, uint64_t healthy_ms, struct hg_rand *r);
/* The wait after the last end of the streak, drawn again: for whoever lost the first draw. */
uint32_t backoff_again(const struct backoff *b, struct hg_rand *r);
/* The process lives and has been ready for `healthy_ms`: forgets the streak when it is time. */
void backoff_healthy(struct backoff *b, uint64_t healthy_ms);
bool backoff_crash_loop(const struct backoff *b);

#define BACKOFF_CONNECT_MAX_MS 5000u

/*
 * How long to wait before a server is connected to again, after `streak` failures in a row: at
 * once, then 100, 200 … 5000 ms, each ± 25 %. Not the curve above, which is for processes that
 * crash: here every second is one in which users go without although the server is back, and one
 * attempt a second costs nothing. `unit`: a draw from [0, 1).
 */
uint32_t backoff_connect_ms(uint32_t streak, double unit);

#endif
