/*
 * The world that rollouts are played in: a fleet, an edge and a control process around the real
 * decisions and the real judge. Seeded, without clock and I/O. Two drive it: run.c for people, and
 * tests/sim/rollout_sim.c, which does its worst to it and checks what must hold. Whoever drives
 * turns `now_ms`, says what is wrong in `trouble`, brings requests, and lets each part live.
 */
#ifndef CONTROL_SIMULATE_WORLD_PRIV_H
#define CONTROL_SIMULATE_WORLD_PRIV_H

#include "base/rand.h"
#include "control/rollout/decide.h"
#include "math/backoff.h"

#define SIM_OLD      1u /* release numbers */
#define SIM_NEW      2u
#define SIM_REPLICAS 512u
#define SIM_CELLS    64u /* epochs whose counters are known */
#define SIM_NEVER    UINT64_MAX

struct sim_replica {
	bool used, ready, ever_ready, waits;
	uint32_t release;
	struct backoff backoff;
	uint64_t at_ms;    /* when it is ready, or starts again */
	uint64_t ready_ms; /* since when */
	double memory;     /* share of its limit, */
	uint64_t grown_ms; /* as it was then */
	double served;     /* requests in this life */
	double crash_at;   /* it dies with this one; 0: it does not */
};

/* What is wrong just now. */
struct sim_trouble {
	bool new_never;       /* new replicas do not get ready */
	uint32_t new_slow_ms; /* or up to so much later */
	bool new_crashes;     /* they end, one after the other, again and again */
	bool new_flaps, old_flaps;
	bool new_down, old_down;           /* not ready */
	uint32_t new_leak_ms, old_leak_ms; /* from start to the limit of memory; 0: does not grow */
	bool gate_fails, store_fails;
	bool control_weak; /* control dies between two actions */
};

struct sim_edge {
	struct ro_split split;
	struct judge_lens lens;
	struct judge_evidence cell[SIM_CELLS]; /* by epoch */
	uint32_t cell_epoch[SIM_CELLS];
	bool tripped;
	bool traffic; /* since control's last look */
};

struct sim_world;

/* Called before an action is done; `next` is the state it belongs to. */
typedef void sim_action_fn(
        struct sim_world *w, const struct ro_action *a, const struct ro_state *next);

struct sim_world {
	struct hg_rand rand;
	uint64_t now_ms, wall_ms;
	struct sim_trouble trouble;
	/* fleet */
	struct sim_replica replica[SIM_REPLICAS];
	uint32_t high; /* places of `replica` that were ever used */
	uint32_t n;    /* replicas the app is to have */
	uint32_t start_least_ms, start_spread_ms;
	struct ro_want want;
	uint32_t failed_starts, exits;
	uint32_t memory_ends[3]; /* by release */
	bool full;               /* more replicas were wanted than there is room for */
	uint64_t sample;
	/* edge */
	struct sim_edge edge;
	uint64_t memory_id;
	/* control */
	sim_action_fn *on_action; /* may be NULL */
	uint32_t look_ms;         /* how often it looks while nothing happens */
	uint32_t gate_least_ms, gate_spread_ms;
	bool changed; /* a fact that control is to hear of */
	bool alive, done;
	uint64_t back_ms, decide_ms, fleet_known_ms;
	struct ro_state kept;
	uint8_t saved[RO_SAVED_MAX];
	size_t saved_n;
	struct ro_gate_seen gate[RO_GATES_MAX];
	uint64_t gate_ms[RO_GATES_MAX];
	bool superseded, removed;
	enum ro_waits waits;
	uint32_t looks, deaths;
	/* Defects of the decisions: a look did not come to an end; a change no event told of. */
	bool stuck, untold;
};

/* ---- fleet.c ---- */

struct ro_arm sim_arm(const struct sim_world *w, uint32_t release);
uint32_t sim_count(const struct sim_world *w, uint32_t release, bool only_ready);
void sim_replica_add(struct sim_world *w, uint32_t release, bool ready);
/* It starts (again); it ends. */
void sim_replica_begin(struct sim_world *w, struct sim_replica *r);
void sim_replica_end(struct sim_world *w, struct sim_replica *r);
/* What the fleet does of struct ro_want, in one pass. */
void sim_fleet_pass(struct sim_world *w);
/* Replicas get ready, flap, end, start again, as time and trouble have it. */
void sim_replicas_live(struct sim_world *w);

/* ---- edge.c ---- */

/* The counters of an epoch; NULL: not known any more. */
struct judge_evidence *sim_cell(struct sim_edge *e, uint32_t epoch);
void sim_split_set(struct sim_edge *e, const struct ro_split *p);
/* Would a proof trip the trial in this epoch? */
bool sim_edge_judges(const struct sim_edge *e, uint32_t epoch);
/*
 * One event of a request that was drawn in `epoch`: it enters n, and adds to the metrics in `mask`
 * (a bit each). Trips the trial when that completes the proof, and then returns true.
 */
bool sim_edge_event(struct sim_edge *e, uint32_t epoch, bool of_new, bool enters, uint32_t mask);

/* ---- control.c ---- */

void sim_control_begin(struct sim_world *w, uint64_t id, const struct ro_rules *rules);
void sim_control_die(struct sim_world *w, uint64_t for_ms);
/* Everything is read from what was saved. */
void sim_control_start(struct sim_world *w, uint32_t fleet_unknown_ms);
/* Observes, decides and acts until nothing is due. */
void sim_control_look(struct sim_world *w);
void sim_gates_live(struct sim_world *w);

#endif
