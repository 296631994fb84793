/*
 * A release under trial as the edge sees it: the trial slot of the snapshot, and what the meter
 * says about it. One `struct traffic` a rollout that has traffic to split. Everything that is not
 * in the slot can be made again from it, so that a control that was killed goes on with the same
 * epoch, counters and cookie key.
 */
#ifndef CONTROL_ROLLOUT_TRAFFIC_PRIV_H
#define CONTROL_ROLLOUT_TRAFFIC_PRIV_H

#include "math/judge.h"
#include "meter/meter.h"
#include "spec/snapshot.h"

struct fleet;

/* Shared by all rollouts. */
struct traffic_board {
	struct snap_table *table;
	const struct meter *meter;
	const struct fleet *fleet;
	bool used[SNAP_TRIALS];
	uint32_t next_cell;
};

/* Takes over the slots that a former control left. `table` has been repaired (the fleet did). */
void traffic_board_init(struct traffic_board *b, struct snap_table *table,
        const struct meter *meter, const struct fleet *fleet);

struct traffic_rules {
	uint64_t rollout;
	uint32_t app, old_release, new_release;
	const char *app_name;
	uint32_t flags; /* enum snap_trial_flag */
	uint32_t sticky_s, mirror_ppm;
	uint64_t p95_ns;  /* abort_when.p95, 0: off */
	double p95_ratio; /* abort_when.p95_vs_stable, 0: off */
	double tolerance; /* of latency: 1.2 */
	uint32_t match_count;
	struct snap_match match[SNAP_TRIAL_MATCHES];
};

struct traffic {
	int slot; /* -1: no slot */
	struct snap_trial trial;
};

/* What happened in the present epoch. */
struct traffic_seen {
	struct judge_evidence evidence;
	uint64_t forced, rescued, seen, unreplayable, mirrored, mirror_differs;
	bool tripped;
	uint64_t tripped_wall_ms;
};

/* The slot that a former control made for this rollout; false: there is none, or it belongs to
 * other releases. */
bool traffic_find(struct traffic_board *b, struct traffic *t, const struct traffic_rules *r);
/* A slot with weight 0 and without counters; false: all are in use. */
bool traffic_open(struct traffic_board *b, struct traffic *t, const struct traffic_rules *r);
/* A new value of w: counters from here on belong to `epoch`. */
void traffic_epoch(struct traffic_board *b, struct traffic *t, const struct traffic_rules *r,
        uint32_t weight_ppm, uint32_t epoch, const struct judge *judge);
/* The same epoch with what the judge has learnt. */
void traffic_lens(struct traffic_board *b, struct traffic *t, const struct judge *judge);
/* Endpoint weights count again. */
void traffic_close(struct traffic_board *b, struct traffic *t);

void traffic_look(
        const struct traffic_board *b, const struct traffic *t, struct traffic_seen *ret_seen);

/* A quantile of what the old release took, from the meter's histograms; 0: too little is known. */
uint64_t traffic_quantile_ns(
        const struct traffic_board *b, const char *app, uint32_t release, double q);
/* Requests that release has answered since the meter began. */
uint64_t traffic_requests(const struct traffic_board *b, const char *app, uint32_t release);

#endif
