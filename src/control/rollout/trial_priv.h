/*
 * A release under trial as the edge sees it: the trial slot of the snapshot, and what the meter
 * says about it. One `struct trial` a rollout that has traffic to split. Everything that is not
 * in the slot can be made again from it, so that a control that was killed goes on with the same
 * epoch, counters and cookie key.
 */
#ifndef CONTROL_ROLLOUT_TRIAL_PRIV_H
#define CONTROL_ROLLOUT_TRIAL_PRIV_H

#include "math/judge.h"
#include "meter/meter.h"
#include "spec/snapshot.h"

struct fleet;

/* Shared by all rollouts. */
struct trial_board {
	struct snap_table *table;
	const struct meter *meter;
	const struct fleet *fleet;
	bool used[SNAP_TRIALS];
	uint32_t next_cell;
};

/* Takes over the slots that a former control left. `table` has been repaired (the fleet did). */
void trial_board_init(struct trial_board *b, struct snap_table *table, const struct meter *meter,
        const struct fleet *fleet);

struct trial_rules {
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
	uint32_t ignore_n;
	char ignore[SNAP_IGNORE_MAX];
};

struct trial {
	int slot; /* -1: no slot */
	struct snap_trial snap;
};

/* What happened in the present epoch. */
struct trial_seen {
	struct judge_evidence evidence;
	uint64_t forced, rescued, seen, unreplayable;
	uint64_t mirrored, mirror_differs, mirror_failed, mirror_partly, mirror_dropped;
	bool tripped;
	uint64_t tripped_wall_ms;
};

/* The slot that a former control made for this rollout; false: there is none, or it belongs to
 * other releases. */
bool trial_find(struct trial_board *b, struct trial *t, const struct trial_rules *r);
/* A slot with weight 0 and without counters; false: all are in use. */
bool trial_open(struct trial_board *b, struct trial *t, const struct trial_rules *r);
/* Another value of w: with a new `epoch` counters begin from here on in a fresh cell; the same
 * epoch keeps its cell. */
void trial_set(struct trial_board *b, struct trial *t, const struct trial_rules *r,
        uint32_t weight_ppm, uint32_t epoch, const struct judge *judge);
/* The same epoch with what the judge has learnt, and with the limits of latency if too little was
 * known of the old release when it began. */
void trial_lens(struct trial_board *b, struct trial *t, const struct trial_rules *r,
        const struct judge *judge);
/* Endpoint weights count again. */
void trial_close(struct trial_board *b, struct trial *t);

void trial_look(const struct trial_board *b, const struct trial *t, struct trial_seen *ret_seen);

/* A quantile of what the old release took, from the meter's histograms; 0: too little is known. */
uint64_t trial_quantile_ns(
        const struct trial_board *b, const char *app, uint32_t release, double q);
/* Requests that release has answered since the meter began. */
uint64_t trial_requests(const struct trial_board *b, const char *app, uint32_t release);

#endif
