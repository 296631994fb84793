/*
 * The pure half of the fleet: what is to be done for one app, from what is wanted and what was
 * observed. No clock, no store, no process: `now` comes in, actions come out, and the simulator
 * (tests/sim) drives it through days in milliseconds.
 *
 * A replica is a numbered place (slot) that outlives its processes: when one ends, the next is
 * started in the same place after the back-off, until the place is retired. Level-triggered: the
 * functions below note facts, fl_decide compares them with what is wanted; asking twice does
 * nothing twice.
 */
#ifndef CONTROL_FLEET_DECIDE_PRIV_H
#define CONTROL_FLEET_DECIDE_PRIV_H

#include "control/fleet/fleet.h"
#include "math/backoff.h"
#include "math/probe.h"
#include "math/rolling.h"
#include "spec/snapshot.h"

#define FL_SLOTS       2500u /* per app: replicas, surge, and those that are still stopping */
#define FL_ACTIONS_MAX 64u
#define FL_DRAIN_MIN_MS \
	50u /* an edge that has just picked the endpoint shows in the gauge by then */
#define FL_DRAIN_LOOK_MS 20u   /* how often the gauge is looked at */
#define FL_TERM_MIN_MS   2000u /* of the grace period that draining leaves for SIGTERM */
#define FL_KILL_AGAIN_MS 1000u

struct fl_rules {
	struct probe_rules probe[PROBE_KINDS];
	uint32_t grace_ms;
	struct rolling_share surge, unavailable;
	bool recreate; /* all old replicas end before the first new one starts */
};

struct fl_replica {
	bool used;
	uint32_t number, release, revision;
	enum fleet_state state;
	bool retire;             /* not to be started again */
	bool ended;              /* the process ended; fl_decide has not looked at it yet */
	bool process;            /* a process was asked for and its end is not known */
	bool killed;             /* SIGKILL was sent */
	bool probe_kill;         /* it is being stopped for a failed probe */
	uint32_t endpoint;       /* enum snap_ep_state, as last told */
	bool spare;              /* weight 0 in the balancer: it is or was under trial */
	uint32_t in_flight;      /* observed */
	struct probe_set probes; /* of the process */
	struct backoff backoff;
	uint32_t restarts;
	uint64_t born_ms, since_ms, ready_since_ms, next_start_ms;
	uint64_t term_ms, kill_ms; /* draining: SIGTERM at the latest; stopping: SIGKILL */
};

/*
 * Beside the release that serves there may be one under trial. A place belongs to the arm whose
 * revision it has. When main and trial change places nothing is started or stopped; only who has
 * weight in the balancer changes.
 */
enum fl_arm {
	FL_MAIN,  /* serves */
	FL_TRIAL, /* counted for itself: neither old nor part of the main fence */
	FL_OLD,   /* has served: replaced step by step, by the fence */
	FL_LEFT,  /* was under trial: serves nobody and is stopped at once */
};

struct fl_trial {
	uint32_t release, revision, desired; /* release 0: none */
};

struct fl_app {
	/* wanted */
	uint32_t desired, release, revision;
	struct fl_trial trial; /* stopped as well while `desired` is 0 */
	struct fl_rules rules;
	bool blocked;      /* an app it needs is not ready */
	uint64_t hurry_ms; /* 0, or all is shut down: whatever stops is killed by then */
	uint32_t users;    /* observed: apps that need this one and have places left */
	/* observed */
	bool ever_ready; /* all wanted replicas have been ready at one time */
	uint32_t high;   /* slots in use are below */
	struct fl_replica slot[FL_SLOTS];
};

enum fl_act {
	FL_SPAWN,    /* start the process of this slot; answer with fl_spawned or fl_ended */
	FL_PROBE,    /* run the probe `probe`; answer with fl_probed */
	FL_ENDPOINT, /* tell the edge: `endpoint`, and the weight: 0 for a spare place */
	FL_SIGNAL,   /* send `signo` */
	FL_SAVE,     /* state, started, ready or retire changed: record it */
	FL_GONE,     /* the place is free again: forget all about it */
	FL_EVENT,    /* for journal and log */
};

enum fl_event {
	FL_EV_CREATED,
	FL_EV_STARTED, /* the startup probe succeeded */
	FL_EV_READY,
	FL_EV_UNREADY,
	FL_EV_RETIRED,       /* chosen to be stopped */
	FL_EV_PROBE_FAILED,  /* liveness or startup: it is restarted */
	FL_EV_KILLED,        /* the grace period is over */
	FL_EV_EXITED,        /* as asked */
	FL_EV_DIED,          /* not asked for */
	FL_EV_DIED_STARTING, /* before it was ready for the first time */
	FL_EV_CRASH_LOOP,
	FL_EVENTS
};

struct fl_action {
	enum fl_act kind;
	uint32_t slot;
	enum probe_kind probe;
	enum fl_event event;
	uint32_t endpoint; /* enum snap_ep_state */
	int signo;
	uint64_t wait_ms; /* FL_EV_DIED…: until the next start */
};

struct fl_actions {
	struct fl_action a[FL_ACTIONS_MAX];
	uint32_t n;
	uint64_t next_ms; /* ask again then, or after the next fact */
};

/* Actions for `now_ms`, in the order in which they are to be done. When next_ms ≤ now_ms there is
 * more: ask again. */
void fl_decide(struct fl_app *app, uint64_t now_ms, struct hg_rand *rand, struct fl_actions *out);

/*
 * The first part of it: who has weight in the balancer, FL_ENDPOINT only; those that serve from now
 * on first, so that there is no moment with nobody. False: there is more of it, ask again.
 */
bool fl_roles(struct fl_app *app, struct fl_actions *out);

/* ---- facts ---- */

void fl_spawned(struct fl_app *app, uint32_t slot, uint64_t now_ms);
/* The process ended, or could not be started. */
void fl_ended(struct fl_app *app, uint32_t slot, uint64_t now_ms);
void fl_probed(struct fl_app *app, uint32_t slot, enum probe_kind kind, enum probe_outcome outcome,
        uint64_t now_ms);

/* A place that was recorded before control started. */
struct fl_adopted {
	uint32_t number, release, revision, restarts, streak;
	bool alive; /* the process lives; false: it waits for its next start */
	bool started, ready, retire, spare;
	uint64_t start_ms;     /* of the process */
	uint64_t ended_ago_ms; /* not alive: since its end */
	uint32_t endpoint;     /* as the table has it */
};
/* Its slot, or FL_SLOTS when all are taken. */
uint32_t fl_adopt(struct fl_app *app, const struct fl_adopted *a, uint64_t now_ms,
        uint64_t uptime_ms, struct hg_rand *rand);

/* ---- views ---- */

struct fl_count {
	uint32_t total; /* places that are not retired */
	uint32_t ready, starting, updated, updated_ready, waiting, crash_loops;
	uint32_t retiring; /* places on their way out */
	uint32_t failed;   /* not ready after having ended or failed a probe */
};
/* Of what serves and what is being replaced by it; `retiring` counts all places. */
struct fl_count fl_counts(const struct fl_app *app);
/* Of the trial alone; all of it is "updated". */
struct fl_count fl_counts_trial(const struct fl_app *app);
enum fl_arm fl_arm(const struct fl_app *app, const struct fl_replica *r);

/*
 * No replica is ready, but some were and live: the edge sends them the requests all the same (as
 * Envoy does in its panic mode). *ret_n: how many.
 */
bool fl_panics(const struct fl_app *app, uint32_t *ret_n);

/*
 * While all is shut down an app stays until those that need it are gone, or until no more is left
 * to the deadline than its own grace period. It starts nothing any more.
 */
bool fl_held(const struct fl_app *app, uint64_t now_ms);

/* Who goes first when there are too many (Kubernetes ActivePodsWithRanks): < 0 when a does. */
int fl_victim_order(const struct fl_replica *a, const struct fl_replica *b, uint64_t now_ms);

/* Not ready yet for the first time. */
static inline bool fl_starting(const struct fl_replica *r)
{
	return r->state == FLEET_SPAWNING || r->state == FLEET_STARTING ||
	       (r->state == FLEET_UNREADY && !r->probes.ever_ready);
}

static inline bool fl_runs(const struct fl_replica *r)
{
	return r->state == FLEET_STARTING || r->state == FLEET_UNREADY || r->state == FLEET_READY;
}

#endif
