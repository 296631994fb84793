/*
 * A rollout played before it is begun: an app of a configuration, a traffic profile, what goes
 * wrong, and the timeline that would follow. The decisions are those of a real rollout
 * (control/rollout/decide.h, math/judge.h, in every look and at every response); fleet, edge, gates
 * and clock are played, seeded, without I/O: the same options give the same result everywhere.
 *
 * What is exact and what is not is told in docs/simulate.md; in short: which request completes the
 * proof is exact for arrivals of a Poisson process, at any rate; response times enter with the mean
 * of their kind, users at once as a rate that follows how many of them wait.
 */
#ifndef CONTROL_SIMULATE_SIMULATE_H
#define CONTROL_SIMULATE_SIMULATE_H

#include "base/err.h"
#include "control/rollout/decide.h"

struct spec_app;

/* ---- traffic ---- */

#define SIM_STAGES_MAX  32u
#define SIM_RATE_MAX    1e8 /* requests a second */
#define SIM_USERS_MAX   1e8
#define SIM_SPAN_MAX_MS (30ull * 24 * 3600 * 1000)

/* From what was before to `to` within `ms`; 0: at once. The last one lasts for ever. */
struct sim_stage {
	uint64_t ms;
	bool users;      /* `to` is users at once, else requests a second */
	double to;       /* users: each thinks, asks, and thinks again when it has its answer */
	double think_ms; /* mean, exponential; with `users` only */
};

struct sim_traffic {
	struct sim_stage stage[SIM_STAGES_MAX];
	uint32_t count;
	double unsafe; /* share of requests that nobody may repeat: POST without a key */
};

/*
 *     1000/s                                     2M/s, unsafe 20%
 *     100 users think 1s                         users=1M, think=30s
 *     ramp 2m to 100 users think 1s; hold 5m; ramp 2m to 200; hold 5m; ramp 2m to 0
 *
 * HG_E_USAGE with the place in `text`; `name` is what the text is called ("--traffic").
 */
HG_MUST enum hg_rc sim_traffic_parse(
        struct hg_str text, const char *name, struct sim_traffic *ret_traffic, struct hg_err *err);
/* What is asked for at that time: users or requests a second, and how long one thinks (users). */
struct sim_stage sim_traffic_at(const struct sim_traffic *t, uint64_t ms);
/* The time of the next change of the profile's slope after `ms`; UINT64_MAX: none. */
uint64_t sim_traffic_next(const struct sim_traffic *t, uint64_t ms);

/* ---- what goes wrong ---- */

#define SIM_FAULTS_MAX 16u

enum sim_fault_kind {
	SIM_FAULT_ERRORS,
	SIM_FAULT_SLOW,
	SIM_FAULT_HANG,
	SIM_FAULT_CLOSE,
	SIM_FAULT_CRASH,
	SIM_FAULT_UNHEALTHY,
	SIM_FAULT_NEVER_READY,
	SIM_FAULT_SLOW_START,
	SIM_FAULT_GATE,
	SIM_FAULT_OUTAGE,
	SIM_FAULT_OLD_UNHEALTHY,
	SIM_FAULT_QUIET,
	SIM_FAULT_CONTROL_DIES,
	SIM_FAULT_KINDS
};

struct sim_fault {
	enum sim_fault_kind kind;
	double share;              /* of requests, 0 … 1 */
	uint64_t ms;               /* slow: so much later; slow-start */
	double factor;             /* slow: so many times as long; 0: by `ms` */
	uint64_t from_ms, till_ms; /* since the deploy */
	uint64_t requests;         /* crash: a replica is well for so many */
};

/*
 * KIND[:SHARE%][:TIME|:Nx][:#N][:+FROM[..TILL]], as FEEDBACK_FAULT of the Feedback App has it; the
 * colon before + and # may be left out. HG_E_USAGE with the place.
 */
HG_MUST enum hg_rc sim_fault_parse(
        struct hg_str text, const char *name, struct sim_fault *ret_fault, struct hg_err *err);
/* Its name, and in one line what it does, for --help. */
const char *sim_fault_name(enum sim_fault_kind kind);
const char *sim_fault_text(enum sim_fault_kind kind);

/* The release that serves now: failures, and response times (log-normal). */
struct sim_baseline {
	double errors;
	double median_ms, p95_ms;
};
/* [SHARE%][:MEDIAN[/P95]]: "0.1%", "0.1%:20ms/80ms", "5ms/20ms". HG_E_USAGE with the place. */
HG_MUST enum hg_rc sim_baseline_parse(struct hg_str text, const char *name,
        struct sim_baseline *ret_baseline, struct hg_err *err);

/* ---- a run ---- */

struct sim_options {
	const struct spec_app *app;
	enum ro_strategy strategy; /* RO_STRATEGIES: as configured */
	struct sim_traffic traffic;
	struct sim_fault fault[SIM_FAULTS_MAX];
	uint32_t fault_count;
	struct sim_baseline baseline;
	uint64_t seed;
	uint64_t limit_ms; /* the run ends then, at the latest */
};

/* 1000 requests/s, an old release that fails in 0.1 % and answers in 20 ms (95 %: 80 ms), seed 1,
 * a day. */
void sim_options_default(struct sim_options *o, const struct spec_app *app);
/* The rules that a deploy of this app would have. */
void sim_rules(const struct sim_options *o, struct ro_rules *ret_rules);

enum sim_end { SIM_PROMOTED, SIM_ROLLED_BACK, SIM_WAITING };

#define SIM_EVENTS_MAX 512u

struct sim_event {
	double at_ms;
	char what[40]; /* "rollout.weight", "edge.trip", "fault.begins" … */
	char text[96]; /* for people */
	uint32_t weight_ppm;
	double e, threshold;                 /* of the judge; 0: not known */
	uint64_t n_new, n_old, c_new, c_old; /* requests and failures of the epoch by then */
};

struct sim_step {
	uint32_t weight_ppm;
	enum ro_proof proof;
	bool begun;
	double since_ms, took_ms; /* of its weight */
	uint64_t requests_new;
};

struct sim_result {
	enum sim_end end;
	enum ro_cause cause;
	enum ro_phase phase;
	enum ro_waits waits;
	enum ro_strategy strategy;
	bool promoted;    /* it was, whatever came later */
	bool judged;      /* the judge's proof ended it */
	bool tripped;     /* … found by the edge itself, at the response that completed it */
	double end_ms;    /* since the deploy */
	double raised_ms; /* first weight above 0; -1: never */
	double zero_ms;   /* back at weight 0; -1: never */
	uint32_t back_from_ppm;
	uint64_t requests_until; /* to both releases from the first weight to 0 again */
	/* From the deploy to the end: */
	uint64_t requests_new, requests_old;
	uint64_t failed_new;        /* first attempts */
	uint64_t rescued, seen_new; /* of those */
	uint64_t seen_old;          /* failures of the old release */
	uint64_t unserved;          /* requests while no replica of any release was ready */
	uint64_t users_most;
	double rate_most;
	uint32_t step_count;
	struct sim_step step[RO_STEPS_MAX];
	uint32_t looks, deaths;
	uint64_t windows, decisions, sliced; /* how it was computed */
	uint32_t event_count, events_dropped;
	struct sim_event event[SIM_EVENTS_MAX];
};

/* HG_E_TOO_LARGE: more replicas than a simulation has room for. `ret_result` is large: not on a
 * stack. */
HG_MUST enum hg_rc simulate(
        const struct sim_options *o, struct sim_result *ret_result, struct hg_err *err);

/* ---- many runs ---- */

struct sim_range {
	uint32_t n;               /* runs that have a value */
	double low, median, high; /* 2.5 %, 50 %, 97.5 % of them */
};

struct sim_summary {
	uint32_t runs, ended[SIM_WAITING + 1];
	struct sim_range requests, requests_new; /* until weight 0, of runs that went back */
	struct sim_range zero_ms;                /* from the first weight to 0 again */
	struct sim_range failed_new, seen;
	struct sim_range end_ms;
};

#define SIM_RUNS_MAX 100000u

/* Runs with seeds o->seed, o->seed + 1 … */
HG_MUST enum hg_rc simulate_runs(const struct sim_options *o, uint32_t runs,
        struct sim_summary *ret_summary, struct hg_err *err);

#endif
