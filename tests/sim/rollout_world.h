/* The world that rollouts are played in: fleet, edge and what goes wrong. Seeded. */
#ifndef TESTS_SIM_ROLLOUT_WORLD_H
#define TESTS_SIM_ROLLOUT_WORLD_H

#include <setjmp.h>

#include "base/rand.h"
#include "control/rollout/decide_priv.h"

#define OLD        1u
#define NEW        2u
#define QUANTUM_MS 250u
#define REPLICAS   64u
#define CELLS      64u
#define PENDING    64u
#define FAULTS     6u
#define CALM_MS    (20 * 60 * 1000ull) /* after this nothing bad happens any more */
#define END_MS     (12 * 3600 * 1000ull)
#define NEVER      UINT64_MAX

enum fault_kind {
	FAULT_NEW_FAILS,   /* share of failures of the new release */
	FAULT_NEW_NEVER,   /* new replicas never get ready */
	FAULT_NEW_SLOW,    /* they need up to a minute */
	FAULT_NEW_CRASH,   /* all of them exit */
	FAULT_NEW_CRASHES, /* one after the other, again and again */
	FAULT_NEW_EXIT,    /* one exits once */
	FAULT_NEW_FLAPS,   /* readiness comes and goes */
	FAULT_OLD_FLAPS,
	FAULT_OLD_DOWN, /* no old replica is ready for a while */
	FAULT_OUTAGE,   /* both fail */
	FAULT_QUIET,    /* no requests for a while */
	FAULT_CONTROL_DIES,
	FAULT_CONTROL_WEAK, /* dies between actions, again and again for a while */
	FAULT_REBOOT,       /* everything starts anew, the shared memory is empty */
	FAULT_STORE,        /* commits fail for a while */
	FAULT_CLOCK_BACK,
	FAULT_CLOCK_FORWARD,
	FAULT_SUPERSEDED,
	FAULT_REMOVED,
	FAULT_SCALE,
	FAULT_PERSON,
	FAULT_GATE_FAILS,
	FAULT_TORN_SLOT,
	FAULT_NEW_LEAKS, /* each replica of the new release grows to its limit and is ended */
	FAULT_BOTH_LEAK, /* so does the old one: no fault of the new release */
	FAULT_KINDS
};

struct fault {
	enum fault_kind kind;
	uint64_t at, until;
	uint32_t arg;
};

struct replica {
	bool used, ready, ever_ready, waits;
	uint32_t release, streak;
	uint64_t at;   /* when it is ready, or starts again */
	double memory; /* share of its limit */
};

struct late {
	uint64_t at;
	uint32_t epoch;
	bool new_arm;
};

struct world {
	struct hg_rand rand;
	uint64_t seed, now, wall, started;
	bool verbose, quiet;
	jmp_buf broken;
	struct fault fault[FAULTS];
	uint32_t faults;
	/* fleet */
	struct replica replica[REPLICAS];
	struct ro_want want;
	uint32_t n, failed_starts, exits, high;
	uint32_t memory_ends[3]; /* by release */
	uint64_t sample_at, sample;
	bool changed; /* a fact control is to hear of */
	/* edge */
	double rate, fails_old;
	struct ro_split split;
	struct judge_lens lens;
	struct judge_evidence cell[CELLS]; /* by epoch */
	uint32_t cell_epoch[CELLS];
	struct late late[PENDING];
	uint64_t memory_id, requests, failures_new, seen, trip_requests;
	bool tripped, traffic;
	/* control */
	bool alive;
	uint64_t back_at, decide_at, fleet_known_at;
	struct ro_state kept;
	uint8_t saved[RO_SAVED_MAX];
	size_t saved_n;
	struct ro_head journal, pending; /* committed; and of the transaction under way */
	struct ro_gate_seen gate[RO_GATES_MAX];
	uint64_t gate_at[RO_GATES_MAX];
	bool superseded, removed;
	uint64_t person_at;
	/* the oracle's memory */
	uint64_t step_real_ms; /* real time in which the step's weight was in force */
	uint64_t step_requests, unserved_since;
	uint32_t said_promote, said_abort, quarantined, promoted, incidents, looks, deaths, jumps,
	        hopeless;
	bool done;
};

#define MUST(cond)                                           \
	do {                                                 \
		if (!(cond)) world_broken(w, "not: " #cond); \
	} while (0)

extern const char *const world_fault_names[FAULT_KINDS];

/* Says what and leaves the run. */
HG_NORETURN void world_broken(struct world *w, const char *what);
uint32_t world_below(struct world *w, uint32_t n);
bool world_on(const struct world *w, enum fault_kind kind);
/* From start to limit, of a fault that leaks. */
uint32_t world_leak_ms(uint32_t arg);
struct ro_arm world_arm(const struct world *w, uint32_t release);
uint32_t world_count(const struct world *w, uint32_t release, bool only_ready);
void world_replica_add(struct world *w, uint32_t release);
void world_replica_begin(struct world *w, struct replica *r);
void world_replica_ends(struct world *w, struct replica *r);
void world_fleet_pass(struct world *w);
void world_replicas_live(struct world *w);
struct judge_evidence *world_cell(struct world *w, uint32_t epoch);
void world_edge_lives(struct world *w);

#endif
