/* Inside rollouts: the doing half. Who owns what: `struct rollouts` owns the runs; a run owns its
 * state, its slot of the snapshot and what its gates said. */
#ifndef CONTROL_ROLLOUT_ROLLOUT_PRIV_H
#define CONTROL_ROLLOUT_ROLLOUT_PRIV_H

#include "base/list.h"
#include "control/fleet/fleet.h"
#include "control/rollout/conf_priv.h"
#include "control/rollout/hook_priv.h"
#include "control/rollout/trial_priv.h"
#include "store/store.h"

#define ROLLOUTS_MAGIC 0x4011007u
#define RO_WHO_MAX     128u
#define RO_RATE_SPANS  13u /* samples of 5 s: a minute */

/* What clients saw, over all epochs but those that are still counted. */
struct ro_users {
	uint64_t requests_new, requests_old, failed_new, rescued, seen, unreplayable, forced,
	        mirrored, differs, mirror_failed, mirror_partly, mirror_dropped;
};

struct ro_gate_run {
	enum ro_gate_state state; /* NEXT, RUNNING, PASSED, FAILED */
	int status;
	uint64_t began_ms, took_ms;
	uint32_t serial;             /* results of an earlier run of it are not taken */
	struct ro_hook *hook;        /* of a gate with http that runs; else NULL */
	char note[RO_HOOK_NOTE_MAX]; /* what a service said, or why it could not be asked */
};

struct ro_run {
	struct hg_list node; /* of rollouts.runs, by id */
	struct rollouts *all;
	struct ro_conf conf;
	struct ro_state kept; /* as the store has it */
	bool begun;           /* false: it waits until an older one of its app has ended */
	char who[RO_WHO_MAX];
	struct trial trial;
	struct trial former[RO_FORMER]; /* newest first; slot -1: none */
	struct ro_users users;
	/* Read from the store: of the epoch that was the present one then. It is part of `users`
	 * unless the meter still has it, which counts on. */
	struct ro_users last;
	uint32_t last_epoch;
	struct ro_gate_run gate[RO_GATES_MAX];
	struct meter_failure first[METER_FAILURES];
	uint32_t first_n;
	struct meter_difference differs[METER_DIFFERENCES];
	uint32_t differs_n;
	uint64_t raised_ms; /* wall time of its first requests; 0: none yet */
	bool looked;        /* `requests` is known */
	uint64_t requests;  /* at the last look, for ro_observation.traffic */
	enum ro_waits waits;
	uint64_t left_ms, asked_ms; /* left_ms counts from then */
	uint64_t next_ms;
	uint64_t retry_ms; /* an action failed: not before */
};

struct ro_rate {
	char app[RO_NAME_MAX];
	uint64_t at_ms[RO_RATE_SPANS], total[RO_RATE_SPANS];
	uint32_t n;
};

struct rollouts {
	uint32_t magic;
	struct rollouts_options o;
	struct trial_board board;
	uint64_t memory_id;
	struct ro_conf *confs; /* of the configuration in force */
	uint32_t conf_count;
	struct hg_list runs;
	struct hg_list damaged; /* struct ro_run too; damaged.c */
	struct fleet_watch watch;
	struct loop_timer timer, sample;
	struct loop_task task;
	uint64_t samples;
	struct ro_rate *rates;
	uint32_t rate_count;
	bool applied;
};

struct rollouts_plan {
	struct ro_conf *confs;
	uint32_t count;
	struct ro_rate *rates;
};

/* ---- rollout.c ---- */
/* Nothing in it yet, in no list; NULL without memory. */
struct ro_run *ro_run_new(struct rollouts *r);
void ro_run_free(struct ro_run *run);
void ro_kick(struct rollouts *r);
struct ro_run *ro_run_find(const struct rollouts *r, uint64_t id);
/* The oldest of the app that has not ended. */
struct ro_run *ro_run_of(const struct rollouts *r, const char *app);
const struct ro_conf *ro_conf_find(const struct rollouts *r, struct hg_str app);

/* ---- act.c ---- */
void ro_observe(struct ro_run *run, struct ro_observation *ret_seen);
/* Carries the list out; false: the rest has to be decided again, later. */
bool ro_act(struct ro_run *run, struct ro_state *next, const struct ro_actions *out);
void ro_run_trial_rules(const struct ro_run *run, struct trial_rules *ret_rules);
/* To the end at once, with journal entry: for one that nothing has been done for. False: it could
 * not be written, and stays as it is. */
bool ro_end_now(struct ro_run *run, enum ro_outcome outcome, enum ro_cause cause, uint64_t now_ms);

/* ---- damaged.c ---- */
HG_MUST enum hg_rc ro_damaged_add(struct rollouts *r, const struct store_rollout *row);
/* Ends all there are; false: not all could be ended, try again later. */
bool ro_damaged_end(struct rollouts *r, uint64_t now_ms);

/* ---- ask.c ---- */
/* What a deploy goes by, to be freed: the app's configuration with the deploy's own strategy. */
HG_MUST enum hg_rc ro_conf_of(const struct rollouts *r, const struct rollouts_deploy *d,
        struct ro_conf **ret_conf, struct hg_err *err);

/* ---- rows.c ---- */
HG_MUST enum hg_rc ro_rows_load(struct rollouts *r, struct hg_err *err);
/* A row of its own; its id. */
HG_MUST enum hg_rc ro_row_add(struct ro_run *run, uint64_t *ret_id, struct hg_err *err);
/* State and all the rest of it; in the caller's transaction. */
HG_MUST enum hg_rc ro_row_set(struct ro_run *run, const struct ro_state *state, struct hg_err *err);

/* Who made it and what its users saw, as far as the row can be read. */
void ro_row_remarks(struct ro_run *run, const struct store_rollout *row);

/* One that has ended, from the store. HG_E_NOT_FOUND. */
struct ro_old {
	char app[RO_NAME_MAX];
	uint32_t old_release, new_release;
};
HG_MUST enum hg_rc ro_row_old(
        struct rollouts *r, uint64_t id, struct ro_old *ret_old, struct hg_err *err);
/* The release that served before `serving` was promoted; 0: none. */
HG_MUST enum hg_rc ro_row_before(struct rollouts *r, uint32_t app, uint32_t serving,
        uint32_t *ret_release, struct hg_err *err);

/* ---- json.c ---- */
/* "headgate.rollout/1"; NULL without memory. `s`: the run's state, or the one about to be saved. */
json_t *ro_run_json(struct ro_run *run, const struct ro_state *s);
void ro_users_add(struct ro_users *u, const struct trial_seen *s);
void ro_users_sum(struct ro_users *u, const struct ro_users *more);
/* Of epochs that have ended, and of the present one with its number (0: none). */
void ro_users_past(const struct ro_run *run, struct ro_users *ret_users);
uint32_t ro_users_present(const struct ro_run *run, struct ro_users *ret_users);
void ro_users_now(const struct ro_run *run, struct ro_users *ret_users);
double ro_rate_now(const struct rollouts *r, const char *app);

#endif
