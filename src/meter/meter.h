/*
 * The meter: counters and histograms in shared memory, the only road from the edge to control.
 *
 * One segment, made by the warden. Each edge worker writes only its own slab (plain relaxed
 * stores, no contention); control and observe only read. A slab survives its worker: counters go
 * on where the dead one stopped, gauges (in flight, connections) are zeroed by the warden.
 * A lane counts one (app, release, route); control hands lanes out and names them in the snapshot.
 */
#ifndef METER_METER_H
#define METER_METER_H

#include "base/err.h"
#include "base/str.h"

#include <stdatomic.h>

#define METER_MAGIC       0x4d455445u
#define METER_WORKERS_MAX 32
#define METER_LANES_MAX   32768
#define METER_ENDPOINTS   4096 /* = SNAP_ENDPOINTS: in-flight gauges by endpoint slot */
#define METER_CODES       72   /* places of meter_lane.code: what they count says meter_code_at */
#define METER_BUCKETS     24   /* the last one is +Inf */
#define METER_TRIALS      32   /* = SNAP_TRIALS */
#define METER_CELLS       256  /* epochs of all rollouts in turn */
#define METER_APPS        1024 /* = SNAP_APPS_MAX: apps that are guarded */
#define METER_METRICS     8    /* = JUDGE_METRICS */
#define METER_FAILURES    8    /* first failures kept of each rollout */
#define METER_DIFFERENCES 4    /* first differences of mirrored answers, of each rollout */
#define METER_TOP         1024 /* places in each list of those who ask most, of a worker */
#define METER_TOP_NAME    103  /* bytes of a name in one */

/* Upper bounds of the duration buckets in seconds; meter_bounds[METER_BUCKETS - 1] is +Inf. */
extern const double meter_bounds[METER_BUCKETS];

typedef _Atomic uint64_t meter_u64;

/* Whole lines of the cache, as there may be thousands in turn: a request writes three of them. */
struct meter_lane {
	meter_u64 duration_ns;         /* sum: first byte of the request to last of the response */
	meter_u64 bytes_in, bytes_out; /* bodies */
	meter_u64 attempts;            /* upstream requests sent */
	meter_u64 failures;            /* attempts without a complete response head */
	meter_u64 retries;             /* second attempts */
	meter_u64 aborted;             /* client went away before the response was complete */
	meter_u64 fast;                /* answers within snap_app.fast_ms, where that is set */
	/* What a finished request does not write. */
	meter_u64 broken; /* the answer stopped in the middle, and not by the client's doing */
	meter_u64 rule;   /* answers within snap_app.rule_ms, where that is set */
	meter_u64 reserved[6];
	meter_u64 bucket[METER_BUCKETS]; /* not cumulative */
	meter_u64 code[METER_CODES];     /* responses sent to clients */
};

/* What an endpoint slot has answered, whoever has it. */
struct meter_replica {
	/* Not cumulative; with attempts that were overtaken by a second one, at their age. */
	meter_u64 bucket[METER_BUCKETS];
	meter_u64 duration_ns; /* sum */
	meter_u64 overtaken;   /* of them: there was a quicker answer */
	meter_u64 errors;      /* of them 5xx */
	meter_u64 failures;    /* attempts without a complete response head */
	meter_u64 reserved[4];
};

/*
 * Trials: what proves a release bad. Failures and exceedances are added by all workers to one word
 * a metric (new release: upper half, old: lower half), so that they have one order and the worker
 * whose addition completes the proof knows it. Trials without an event cost the worker's own
 * counter only. Nothing is ever set back: the snapshot's trial says where an epoch began.
 */
struct meter_trial_cell {
	_Atomic uint64_t word[METER_METRICS];
};

/* Of one worker, by cell. */
struct meter_trial_count {
	meter_u64 n_new, n_old; /* first attempts that count */
	meter_u64 warm_new;     /* of n_new: not judged by latency */
	meter_u64 forced;       /* drawn by match, preview or a cookie: no evidence */
	meter_u64 rescued;      /* failed on the new release, answered by the old one */
	meter_u64 seen;         /* failed on the new release, and the client saw it */
	meter_u64 unreplayable; /* of `seen`: could not be repeated */
	/* Copies whose answer was compared, or that got none; of those: answered otherwise or not
	 * at all; not at all; the bodies left out. And those that were due and not made. */
	meter_u64 mirrored, mirror_differs, mirror_failed, mirror_partly, mirror_dropped;
};

enum meter_cause {
	METER_CAUSE_STATUS = 1, /* 5xx */
	METER_CAUSE_CONNECT,
	METER_CAUSE_CLOSED,  /* before a complete response */
	METER_CAUSE_INVALID, /* not HTTP */
	METER_CAUSE_TIMEOUT,
	METER_CAUSE_NO_ENDPOINT, /* drawn, but no replica could take it */
};

/* One of the first failures of the new release; `owner` last: rollout << 1 | 1 when it is whole. */
struct meter_failure {
	_Atomic uint64_t owner;
	uint64_t wall_ms;
	uint32_t replica;
	uint16_t status; /* METER_CAUSE_STATUS */
	uint8_t cause, method_n, path_n, rid_n;
	uint16_t body_n;
	char method[16], path[128], rid[64], body[256];
};

enum meter_differs {
	METER_DIFFERS_STATUS = 1,
	METER_DIFFERS_FIELD,
	METER_DIFFERS_JSON,
	METER_DIFFERS_BYTES,
	METER_DIFFERS_NO_ANSWER, /* `cause`: of the new release's failure */
};

/* One of the first differences between the old release's answer and that to a copy. */
struct meter_difference {
	_Atomic uint64_t owner; /* as in meter_failure */
	uint64_t wall_ms;
	uint32_t replica; /* of the new release; 0: none took it */
	uint16_t status_old, status_new;
	uint8_t what, cause, method_n, path_n, rid_n, at_n;
	char method[16], path[128], rid[64], at[128];
};

struct meter_trial {
	/* The rollout that was proved bad; only ever raised. Draws look here first. */
	_Atomic uint64_t tripped;
	_Atomic uint64_t tripped_wall_ms;
	_Atomic uint32_t tripped_epoch;
	struct meter_failure first[METER_FAILURES];
	struct meter_difference differs[METER_DIFFERENCES];
};

/* Why a request was refused whose client had to prove who he is. */
enum meter_denial {
	METER_DENIED_NOBODY, /* it says nothing of who he is */
	METER_DENIED_AMBIGUOUS,
	METER_DENIED_MALFORMED,
	METER_DENIED_TOO_LARGE,
	METER_DENIED_ALGORITHM,
	METER_DENIED_UNKNOWN_KEY, /* control reads the set of keys again */
	METER_DENIED_SIGNATURE,
	METER_DENIED_EXPIRED,
	METER_DENIED_NOT_YET,
	METER_DENIED_ISSUER,
	METER_DENIED_AUDIENCE,
	METER_DENIED_TYPE,
	METER_DENIED_NAMELESS,
	METER_DENIED_API_KEY,
	METER_DENIED_API_KEY_EXPIRED,
	METER_DENIED_ROLE,
	METER_DENIED_SCOPE,
	METER_DENIED_CROSS_SITE,
	METER_DENIED_UNAVAILABLE, /* 503: keys are not known yet, or no memory */
	METER_DENIALS
};

/* "expired" and the like. */
const char *meter_denial_name(enum meter_denial d);

/* What guards an app, in one worker; a place is taken when the app first needs one. */
struct meter_app {
	_Atomic uint32_t id;       /* of the app; 0: free */
	_Atomic uint32_t breaker;  /* gauge: enum breaker_state */
	meter_u64 breaker_opened;  /* how often */
	meter_u64 breaker_refused; /* requests answered 503 by it */
	_Atomic uint32_t limit;    /* gauge: requests at a time by protect.adaptive, 0: unknown */
	meter_u64 shed;            /* requests turned away by it */
	_Atomic uint64_t dip_ms; /* when the limit's present dip began (CLOCK_MONOTONIC), 0: none */
	_Atomic uint32_t waiting;   /* gauge: requests in its queues */
	meter_u64 queued, queue_ns; /* requests that waited, and how long together */
	meter_u64 queue_full, queue_late, queue_left; /* turned away, timed out, client gone */
	meter_u64 late;               /* requests answered 504 as their time was over */
	meter_u64 hedged, hedges_won; /* second attempts beside the first; that were quicker */
	/* Requests whose client has proved who he is: by a token that was known already, one that
	 * was verified, an API key. And those refused, by what for. */
	meter_u64 identity_seen, identity_verified, identity_keys;
	meter_u64 denied[METER_DENIALS];
};

enum meter_top_kind { METER_TOP_CONSUMERS, METER_TOP_PATHS, METER_TOP_KINDS };

/* Who asks most of a route, or for what (math/topk.h chooses who has a place). */
struct meter_top {
	_Atomic uint32_t seq;  /* odd while the place becomes another one's */
	_Atomic uint32_t lane; /* of the route, release 0 */
	meter_u64 count, over; /* requests, with at most so many that were another one's */
	/* Since it has the place; [0]: the client left before the answer. */
	meter_u64 code[6];
	meter_u64 duration_ns, bytes_out, last_ms /* Unix time */;
	meter_u64 name[(METER_TOP_NAME + 1) / 8]; /* its length in the first byte */
};

struct meter_worker {
	_Atomic uint32_t pid;
	_Atomic uint32_t connections;  /* gauge: open client connections */
	_Atomic uint64_t snapshot_ack; /* generation this worker has mapped */
	_Atomic uint64_t certs_ack;    /* generation of the certificates that it uses */
	meter_u64 accepted, closed, bad_requests, timeouts, refused_full, no_route, no_replica;
	meter_u64 upstream_connects, upstream_connect_errors, upstream_reused, ejected;
	meter_u64 upstream_tls_handshakes, upstream_tls_resumed, upstream_tls_failures;
	meter_u64 access_lines, access_dropped;
	meter_u64 loop_turns, busy_ns;
	meter_u64 panic;
	meter_u64 tls_handshakes, tls_resumed, tls_failures;
	meter_u64 rate_limited, denied, forbidden, refused_per_ip;
	meter_u64 h2_sessions, h2_streams, h2_resets_received, h2_resets_sent, h2_goaways;
	meter_u64 h2_calmed, upstream_calmed;
	meter_u64 proxy_headers, proxy_refused;
	meter_u64 tls_failed[8];                 /* by enum tls_failure of os/tls.h */
	meter_u64 ejected_failing, ejected_slow; /* of `ejected`: compared with the others */
	meter_u64 client_asked, client_shown, client_invalid, client_refused;
	meter_u64 top_n[METER_TOP_KINDS]; /* places of `top` that were ever used */
	meter_u64 rate_asked, rate_alone; /* decided by Redis; by this machine, for want of it */
	meter_u64 spans_written, spans_dropped; /* of traces; dropped: the lane was full */
	meter_u64 tls_put_off;                  /* handshakes that waited for a later turn */
	meter_u64 reserved[5];
	/* Which lanes this worker has ever counted in: readers leave the others alone, because
	 * reading a page of shared memory makes it. */
	_Atomic uint8_t lane_used[METER_LANES_MAX];
	_Atomic uint32_t in_flight[METER_ENDPOINTS];
	struct meter_replica replica[METER_ENDPOINTS];
	struct meter_trial_count trial[METER_CELLS];
	struct meter_app app[METER_APPS];
	struct meter_lane lane[METER_LANES_MAX];
	struct meter_top top[METER_TOP_KINDS][METER_TOP];
};

struct meter {
	uint32_t magic;
	uint32_t layout; /* meter_layout(): readers of another layout must not touch the segment */
	uint32_t worker_count;
	uint32_t reserved[13];                  /* the rest stands on lines of the cache */
	struct meter_trial trial[METER_TRIALS]; /* by slot of the snapshot */
	struct meter_trial_cell cell[METER_CELLS];
	struct meter_worker worker[];
};

/* Bytes of a segment for `workers` slabs. Untouched pages cost nothing. */
size_t meter_size(uint32_t workers);
/* Hash of the struct sizes above. */
uint32_t meter_layout(void);
/* Formats fresh zeroed memory. */
void meter_init(struct meter *m, uint32_t workers);
/* NULL when the mapping of `size` bytes is not a meter of this layout. */
struct meter *meter_open(void *mapping, size_t size);
/* Gauges of a dead worker back to zero. */
void meter_worker_reset(struct meter *m, uint32_t worker);
/* The pid of a worker that does not use these generations, or later ones, yet; 0: all that live do.
 * A generation of 0 asks for nothing. */
uint32_t meter_behind(const struct meter *m, uint64_t snapshot, uint64_t certs);

/* Only the owning worker adds: load and store need no lock prefix. */
static inline void meter_add(meter_u64 *c, uint64_t v)
{
	atomic_store_explicit(
	        c, atomic_load_explicit(c, memory_order_relaxed) + v, memory_order_relaxed);
}

static inline void meter_gauge_add(_Atomic uint32_t *g, int v)
{
	atomic_store_explicit(g, atomic_load_explicit(g, memory_order_relaxed) + (uint32_t)v,
	        memory_order_relaxed);
}

/* The place of an app in this worker's slab, taken if it has none; NULL: all are. Worker only. */
struct meter_app *meter_app_take(struct meter_worker *w, uint32_t id);
/* … or NULL when it has none. Any reader. */
const struct meter_app *meter_app_find(const struct meter_worker *w, uint32_t id);

/* The lane, marked as used. */
static inline struct meter_lane *meter_lane_of(struct meter_worker *w, uint32_t lane)
{
	HG_ASSERT(lane < METER_LANES_MAX);
	/* Who has counted attempts is marked; these are about to be written anyway. */
	if (HG_LIKELY(atomic_load_explicit(&w->lane[lane].attempts, memory_order_relaxed)))
		return &w->lane[lane];
	if (HG_UNLIKELY(!atomic_load_explicit(&w->lane_used[lane], memory_order_relaxed)))
		atomic_store_explicit(&w->lane_used[lane], 1, memory_order_relaxed);
	return &w->lane[lane];
}

/* Counts one whole answer of a replica; `duration_ns` from when it was chosen. */
void meter_observe_replica(struct meter_replica *r, unsigned status, uint64_t duration_ns);

/* … and an attempt that a second one was quicker than, at its age. */
void meter_observe_overtaken(struct meter_replica *r, uint64_t age_ns);

/* Counts one finished response. */
void meter_observe(struct meter_lane *l, unsigned status, uint64_t duration_ns);

/* The place becomes another one's: its counts begin anew. Worker only. */
void meter_top_take(struct meter_top *t, uint32_t lane, struct hg_str name);

/* Reading side: sums over all workers. */

struct meter_top_row {
	uint32_t lane;
	uint64_t count, over, code[6], duration_ns, bytes_out, last_ms;
	uint8_t name_n;
	char name[METER_TOP_NAME + 1]; /* with a closing zero */
};
/* All workers' rows of these routes, the same in two of them added up, by falling count; the lanes
 * are sorted. *ret_rows: the caller's to free. */
HG_MUST enum hg_rc meter_top_rows(const struct meter *m, enum meter_top_kind kind,
        const uint32_t *lanes, size_t lane_n, struct meter_top_row **ret_rows, size_t *ret_n);

/* Whether a bucket ends at exactly so many nanoseconds: then it counts what a threshold asks for.
 */
bool meter_bound_at(uint64_t ns);
/* The status that place `at` of a lane counts: 100…599, or its class 1…5 for all others of the
 * class, whose numbers are in no registry. at < METER_CODES. */
unsigned meter_code_at(uint32_t at);
/* Responses counted at place `at`. */
uint64_t meter_lane_place(const struct meter *m, uint32_t lane, uint32_t at);
/* Has any worker counted in it? */
bool meter_lane_used(const struct meter *m, uint32_t lane);
/* … of one status; one without a place of its own: all such of its class. */
uint64_t meter_lane_code(const struct meter *m, uint32_t lane, unsigned status);
struct meter_lane_sum {
	uint64_t total, by_class[6] /* [1]…[5]: 1xx…5xx */, bucket[METER_BUCKETS], count;
	uint64_t duration_ns, bytes_in, bytes_out, attempts, failures, retries, aborted;
	uint64_t fast, broken;
};
void meter_lane_sum(const struct meter *m, uint32_t lane, struct meter_lane_sum *ret_sum);
uint32_t meter_in_flight(const struct meter *m, uint32_t endpoint);
/* Counters of whoever had the slot, ever: those of one replica are differences. */
struct meter_replica_sum {
	uint64_t bucket[METER_BUCKETS], count, duration_ns, errors, failures, overtaken;
};
void meter_replica_sum(const struct meter *m, uint32_t endpoint, struct meter_replica_sum *ret_sum);
/* Seconds below which the share `q` of what is counted lies, straight within a bucket; −1: nothing
 * is counted. As in Prometheus, what is above the last bound is shown as that bound. */
double meter_quantile(const uint64_t bucket[METER_BUCKETS], double q);
/* Sums of all workers for one cell. X before n (judge.md): read the words first. */
struct meter_trial_sum {
	uint64_t word[METER_METRICS];
	uint64_t n_new, n_old, warm_new, forced, rescued, seen, unreplayable, mirrored,
	        mirror_differs, mirror_failed, mirror_partly, mirror_dropped;
};
void meter_trial_sum(const struct meter *m, uint32_t cell, struct meter_trial_sum *ret_sum);

/* The worker that completed the proof; true for the one that was first. A late worker cannot trip
 * a later rollout. */
bool meter_trip(struct meter_trial *t, uint64_t rollout, uint32_t epoch, uint64_t wall_ms);
static inline bool meter_tripped(const struct meter_trial *t, uint64_t rollout)
{
	return atomic_load_explicit(&t->tripped, memory_order_acquire) >= rollout;
}
/* A place for one of the first failures, NULL when all are taken; give it to meter_failure_done
 * once it is filled. */
struct meter_failure *meter_failure_take(struct meter_trial *t, uint64_t rollout);
void meter_failure_done(struct meter_failure *f, uint64_t rollout);
/* A copy; false when there is none of this rollout at `i`. */
bool meter_failure_get(const struct meter_trial *t, uint32_t i, uint64_t rollout,
        struct meter_failure *ret_failure);
/* Keeps a copy of `d` (all but `owner`) unless all places are taken, or one of this rollout differs
 * in the same way at the same place: four times the same would say no more than once. */
void meter_difference_keep(
        struct meter_trial *t, uint64_t rollout, const struct meter_difference *d);
/* A copy; false when there is none of this rollout at `i`. */
bool meter_difference_get(const struct meter_trial *t, uint32_t i, uint64_t rollout,
        struct meter_difference *ret_difference);

#endif
