/*
 * How many requests an app takes at a time, found by its latency. While answers are as fast as with
 * little load the limit grows; when they get slower requests wait somewhere, and it falls to where
 * they do not. A gradient of latencies as in Netflix' concurrency-limits and Envoy's adaptive
 * concurrency: limit' = limit × base × tolerance / latency + √limit, at least half of it.
 *
 * What "fast" is has to be measured at little load: the limit is a quarter for a moment now and
 * then (a dip), and the mean latency then is the base; otherwise the base only falls. A moving
 * average would follow an overload that lasts until nobody is turned away any more.
 *
 * Several that limit the same app each for themselves dip together: who dips alone sees what the
 * others leave of the app, takes that for fast, and their limits rise with each other. So each
 * tells the others when it dips, and they join.
 *
 * Pure: time comes from the caller, it owns nothing.
 */
#ifndef MATH_CONCURRENCY_H
#define MATH_CONCURRENCY_H

#include "base/hg.h"

#define CONCURRENCY_MIN      4.0
#define CONCURRENCY_START    32.0
#define CONCURRENCY_MAX      100000.0
#define CONCURRENCY_WINDOW   100u /* ms, at least, and so many answers: */
#define CONCURRENCY_SAMPLES  20u
#define CONCURRENCY_DIP_MS   30000u /* between dips */
#define CONCURRENCY_FIRST_MS 1000u  /* … the first */
#define CONCURRENCY_HURRY_MS 5000u  /* … when the limit is far down */

enum concurrency_phase { CONCURRENCY_RUN, CONCURRENCY_SETTLE, CONCURRENCY_MEASURE };

/* All zero: nothing known; the first call of concurrency_limit begins. */
struct concurrency {
	double limit, kept; /* kept: before a dip */
	double base_ns;     /* latency without waiting; 0: not known */
	enum concurrency_phase phase;
	uint64_t window_ms, dip_ms; /* when the window began, and the last dip ended */
	uint64_t settle_ms;         /* when the present dip began */
	uint64_t sum_ns;
	uint32_t samples, timeouts, busiest;
	uint32_t flight; /* as told last */
};

enum concurrency_priority { CONCURRENCY_LOW, CONCURRENCY_NORMAL, CONCURRENCY_HIGH };

/* May a request begin beside `in_flight` others? Low priority has to leave a quarter of the limit
 * to the others, normal a tenth to the high. */
bool concurrency_admits(struct concurrency *c, uint32_t in_flight,
        enum concurrency_priority priority, uint64_t now_ms);

/* An answer came after `latency_ns`, counted from when it was asked of a replica. */
void concurrency_answer(struct concurrency *c, uint64_t latency_ns, uint64_t now_ms);
/* When the present dip began, for the others; 0: there is none. */
uint64_t concurrency_dips(const struct concurrency *c);
/* Another one's dip began at `began_ms` (0: it has none) of the same clock. */
void concurrency_join(struct concurrency *c, uint64_t began_ms, uint64_t now_ms);
/* None came in time. */
void concurrency_timeout(struct concurrency *c, uint64_t now_ms);

#endif
