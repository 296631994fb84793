/* The simulation's own world (control/simulate), with what goes wrong in it and what is remembered
 * of it to be checked. Requests come one by one. */
#ifndef TESTS_SIM_ROLLOUT_WORLD_H
#define TESTS_SIM_ROLLOUT_WORLD_H

#include <setjmp.h>

#include "control/simulate/world_priv.h"

#define OLD        SIM_OLD
#define NEW        SIM_NEW
#define QUANTUM_MS 250u
#define PENDING    64u
#define FAULTS     6u
#define CALM_MS    (20 * 60 * 1000ull) /* after this nothing bad happens any more */
#define END_MS     (12 * 3600 * 1000ull)

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

struct late {
	uint64_t at;
	uint32_t epoch;
	bool new_arm;
};

struct world {
	struct sim_world s; /* first: the hook gets its address */
	uint64_t seed, started;
	bool verbose, quiet;
	jmp_buf broken;
	struct fault fault[FAULTS];
	uint32_t faults;
	uint64_t sample_at;
	double rate, fails_old;
	struct late late[PENDING];
	uint64_t requests, failures_new, seen, trip_requests;
	struct ro_head journal, pending; /* committed; and of the transaction under way */
	uint64_t person_at;
	/* the oracle's memory */
	uint64_t step_real_ms; /* real time in which the step's weight was in force */
	uint64_t step_requests, unserved_since;
	uint32_t said_promote, said_abort, quarantined, promoted, incidents, jumps, hopeless;
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
/* What the faults of this moment mean to fleet, gates, store and control. */
void world_trouble(struct world *w);
/* A quantum's requests, and those that come to their end late. */
void world_edge_lives(struct world *w);

#endif
