#include "math/concurrency.h"

#include <math.h>

#define TOLERANCE  1.25 /* so much slower than without load is no waiting yet */
#define SMOOTH     0.4  /* of the way to the new limit at a time */
#define FAR_DOWN   0.7
#define SETTLE_MAX 5000u /* ms that a dip waits for what was asked before it */

static double clamp(double v, double low, double high)
{
	return v < low ? low : v > high ? high : v;
}

static void begin(struct concurrency *c, uint64_t now_ms)
{
	if (c->limit > 0) return;
	c->limit = CONCURRENCY_START;
	c->window_ms = now_ms;
	/* It may begin in the middle of an overload: the first dip comes soon. Modulo 2^64. */
	c->dip_ms = now_ms - (CONCURRENCY_DIP_MS - CONCURRENCY_FIRST_MS);
}

static void window_begin(struct concurrency *c, uint64_t now_ms)
{
	c->window_ms = now_ms;
	c->sum_ns = 0;
	c->samples = c->timeouts = c->busiest = 0;
}

static void dip(struct concurrency *c, uint64_t now_ms)
{
	c->kept = c->limit;
	c->limit = clamp(c->limit / 4, CONCURRENCY_MIN, CONCURRENCY_MAX);
	c->phase = CONCURRENCY_SETTLE;
	c->settle_ms = now_ms;
}

static void steer(struct concurrency *c, double mean_ns, uint64_t now_ms)
{
	if (c->base_ns <= 0 || mean_ns < c->base_ns) c->base_ns = mean_ns;
	double g = clamp(c->base_ns * TOLERANCE / mean_ns, 0.5, 1);
	if (c->timeouts) g = 0.5;
	double to = c->limit * g + sqrt(c->limit);
	/* Who does not use what he has needs no more. */
	if (to > c->limit && c->busiest < c->limit / 2) to = c->limit;
	c->limit = clamp(c->limit + SMOOTH * (to - c->limit), CONCURRENCY_MIN, CONCURRENCY_MAX);
	uint64_t since = now_ms - c->dip_ms;
	if (since >= CONCURRENCY_DIP_MS || (g < FAR_DOWN && since >= CONCURRENCY_HURRY_MS))
		dip(c, now_ms);
}

static void window_end(struct concurrency *c, uint64_t now_ms)
{
	double mean_ns = c->samples ? (double)c->sum_ns / c->samples : 0;
	switch (c->phase) {
	case CONCURRENCY_RUN:
		if (c->samples || c->timeouts)
			steer(c, c->samples ? HG_MAX(mean_ns, 1) : INFINITY, now_ms);
		break;
	case CONCURRENCY_SETTLE:
		/* Until what was asked before the dip has been answered. */
		if (c->flight > c->limit && now_ms - c->settle_ms < SETTLE_MAX) break;
		c->phase = CONCURRENCY_MEASURE;
		break;
	case CONCURRENCY_MEASURE:
		if (c->samples) c->base_ns = HG_MAX(mean_ns, 1);
		c->limit = c->kept;
		c->phase = CONCURRENCY_RUN;
		c->dip_ms = now_ms;
		break;
	}
	window_begin(c, now_ms);
}

/* With little traffic a window lasts until it has enough answers, or ten times as long. */
static void look(struct concurrency *c, uint64_t now_ms)
{
	uint64_t age = now_ms - HG_MIN(c->window_ms, now_ms);
	bool enough = c->samples + c->timeouts >= CONCURRENCY_SAMPLES;
	if (age >= (enough ? 1u : 10u) * CONCURRENCY_WINDOW) window_end(c, now_ms);
}

bool concurrency_admits(struct concurrency *c, uint32_t in_flight,
        enum concurrency_priority priority, uint64_t now_ms)
{
	static const double share[] = {
	        [CONCURRENCY_LOW] = 0.75, [CONCURRENCY_NORMAL] = 0.9, [CONCURRENCY_HIGH] = 1};
	begin(c, now_ms);
	look(c, now_ms);
	c->flight = in_flight;
	c->busiest = HG_MAX(c->busiest, in_flight + 1);
	return in_flight < HG_MAX(1, c->limit * share[priority]);
}

void concurrency_answer(struct concurrency *c, uint64_t latency_ns, uint64_t now_ms)
{
	begin(c, now_ms);
	/* Measured is what was asked within the dip. */
	bool older = latency_ns / 1000000u > now_ms - HG_MIN(c->window_ms, now_ms);
	if (c->phase != CONCURRENCY_MEASURE || !older) {
		c->sum_ns += latency_ns;
		c->samples++;
	}
	look(c, now_ms);
}

uint64_t concurrency_dips(const struct concurrency *c)
{
	return c->phase == CONCURRENCY_RUN ? 0 : c->settle_ms;
}

void concurrency_join(struct concurrency *c, uint64_t began_ms, uint64_t now_ms)
{
	begin(c, now_ms);
	/* A dip that is over, or that this one has just had as well, is none to join. */
	if (!began_ms || c->phase != CONCURRENCY_RUN) return;
	if ((int64_t)(began_ms - c->dip_ms) <= 0) return;
	if (now_ms - HG_MIN(began_ms, now_ms) > CONCURRENCY_WINDOW) return;
	dip(c, now_ms);
	c->settle_ms = began_ms; /* one dip, whoever tells of it */
	window_begin(c, now_ms);
}

void concurrency_timeout(struct concurrency *c, uint64_t now_ms)
{
	begin(c, now_ms);
	c->timeouts++;
	look(c, now_ms);
}
