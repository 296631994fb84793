/*
 * Requests by the number: what happens to those that arrive in a window, counted by kind, and at
 * which of them the trial trips. As exact as one by one, at any rate, because
 *   - arrivals are a Poisson process, so the numbers of each kind are independent draws, and within
 *     the window each arrival's time is uniform, whatever the others do;
 *   - the verdict can only fall at an event of the new release, and never falls if it would not
 *     with all of the window's events of the new release and none of the old one's failures; a
 *     window for which that is not so is cut in halves, by binomial draws, down to single events.
 */
#ifndef CONTROL_SIMULATE_FLOW_PRIV_H
#define CONTROL_SIMULATE_FLOW_PRIV_H

#include "control/simulate/draw_priv.h"
#include "control/simulate/world_priv.h"

#define FLOW_KINDS   512u  /* of requests, on both arms */
#define FLOW_STAGES  6u    /* moments at which one tells something */
#define FLOW_PARCELS 8192u /* what is under way */
#define FLOW_DUE     1024u /* of it, what comes due within a window */
#define FLOW_LIMITS  5u
#define FLOW_LEAVES  1000u /* single events a window is cut into, before slices have to do */

/* A moment in the life of one kind of requests. */
struct flow_stage {
	double after_ms;
	bool enters;  /* … n */
	uint8_t mask; /* metrics that count it */
};

struct flow_kind {
	double share; /* of its arm's requests */
	bool of_new, failed;
	bool nobody;      /* no replica is ready: nothing was sent, so anybody may repeat it */
	double client_ms; /* until its client has an answer */
	uint32_t stage_count;
	struct flow_stage stage[FLOW_STAGES];
	/* of this window */
	uint64_t n;
	uint32_t first; /* its first parcel */
};

/* So many will do something, evenly between two times. */
struct flow_parcel {
	double from_ms, to_ms, after_ms;
	uint64_t n;
	uint32_t epoch;
	uint8_t mask;
	bool of_new, enters;
	bool client; /* the client gets its answer: no evidence */
	bool fresh;  /* arrived in this window */
};

/* One way that requests of an arm go; shares of what the ways before it have left. */
struct flow_way {
	double share;
	bool failed, hangs;
	double factor, plus_ms; /* response time: factor * base + plus */
};

#define FLOW_WAYS 20u

struct flow_arm {
	bool ready;  /* any replica */
	double warm; /* share of its requests that is not judged by latency yet */
	uint32_t ways;
	struct flow_way way[FLOW_WAYS];
	double limit_ms[FLOW_LIMITS]; /* p50 p95 p99, rule p95, rule p95 against old; 0: off */
};

struct flow_totals {
	uint64_t new_, old, failed_new, rescued, seen_new, seen_old;
	uint64_t unserved; /* no replica of any release was ready; not in the others */
};

struct flow {
	struct sim_latency base;
	double timeout_ms, unsafe;
	struct flow_arm arm[2]; /* old, new */
	struct flow_kind kind[FLOW_KINDS];
	uint32_t kinds;
	struct flow_parcel parcel[FLOW_PARCELS];
	uint32_t parcels;
	double waiting; /* clients that wait for late answers */
	uint32_t leaves;
	uint64_t windows, decisions, sliced;
	struct flow_totals total;
};

/* Kinds of requests from the ways of both arms. Before a window whenever they may have changed. */
void flow_prepare(struct flow *f);
/* The mean time of answers that are not waited for as late ones, in ms. */
double flow_quick_ms(const struct flow *f, double weight);
/*
 * What happens from `from_ms` to `till_ms` with `rate_ms` requests a millisecond and no more than
 * `most`, a share `weight` of them to the new release. Returns when it ended: earlier than
 * `till_ms` when the trial tripped there.
 */
double flow_window(struct flow *f, struct sim_world *w, double from_ms, double till_ms,
        double rate_ms, double most, double weight);

#endif
