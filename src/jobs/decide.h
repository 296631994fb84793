/*
 * What happens to a job, decided: pure functions of what is known and of the time. The worker and
 * the simulator (tests/sim/jobs_sim.c) are driven by the same ones. Times are Unix milliseconds
 * unless a name says `mono`: the machine's monotonic clock.
 */
#ifndef JOBS_DECIDE_H
#define JOBS_DECIDE_H

#include "base/hg.h"

#define JOBS_ATTEMPTS   10u
#define JOBS_CAP_MS     (6u * 3600u * 1000u)      /* no back-off is longer */
#define JOBS_LEASE_MS   30000u                    /* without a heartbeat the job is another's */
#define JOBS_KEEP_MS    (14ll * 24 * 3600 * 1000) /* of done and dead jobs */
#define JOBS_PRIORITIES 3u                        /* 0 low, 1 normal, 2 high */

enum job_state {
	JOB_AVAILABLE, /* waits for a worker, and for its run_at */
	JOB_RUNNING,   /* a worker has its lease */
	JOB_RETRYABLE, /* has failed and waits for its next attempt */
	JOB_DEAD,      /* will not be tried again, unless somebody asks: the dead-letter queue */
	JOB_DONE,
	JOB_STATES
};

/* "available" … */
const char *job_state_name(enum job_state s);

/* How an attempt ended. */
enum job_verdict {
	JOB_OK,      /* done */
	JOB_RETRY,   /* failed, and may go better later */
	JOB_GIVE_UP, /* failed, and would fail again: dead at once */
	JOB_RELEASE, /* not its fault (the worker stops): available again, the attempt does not
	                count */
	JOB_LAPSED,  /* nobody said anything before the lease was over */
};

/* How often and when a job is tried. */
struct job_policy {
	uint32_t attempts_max;       /* 0: JOBS_ATTEMPTS */
	uint64_t cap_ms;             /* 0: JOBS_CAP_MS */
	const uint32_t *schedule_ms; /* the delay after the first failure, the second …; the last
	                                stays. NULL: 15 s + attempt^4 s */
	uint32_t schedule_count;
};

/*
 * The delay before the next attempt, when `attempt` (from 1) has failed: min(cap, 15 + attempt^4) s
 * or the schedule's, times a factor from 0.9 to 1.1 that `unit` in [0, 1) draws, so that what
 * failed together does not come back together. A delay of 0 stays 0.
 */
uint64_t job_backoff_ms(const struct job_policy *p, uint32_t attempt, double unit);

struct job_next {
	enum job_state state;
	int64_t run_at_ms; /* of AVAILABLE and RETRYABLE */
	uint32_t attempt;  /* attempts that count */
};

/*
 * After attempt number `attempt` (from 1) ended. `after_ms`: no sooner than that (Retry-After); it
 * counts beyond the cap, up to a day.
 */
struct job_next job_decide_end(const struct job_policy *p, enum job_verdict verdict,
        uint32_t attempt, uint64_t after_ms, int64_t now_ms, double unit);

/* What a worker knows of itself. */
struct jobs_pace {
	uint32_t slots, running; /* jobs at once; under way */
	bool stopping;           /* claims no more */
	bool by_broker;          /* claims nothing: a broker brings jobs */
	bool more;               /* the last claim was full: there is probably more */
	bool away;               /* the database did not answer; `failures` times in a row */
	uint32_t failures;
	uint32_t idle;            /* claims in a row that found nothing */
	int64_t next_due_ms;      /* of the earliest waiting job; INT64_MAX: none is known */
	uint64_t lease_ms;        /* 0: JOBS_LEASE_MS */
	uint64_t tried_mono_ms;   /* the last turn, whatever came of it; 0: none yet */
	uint64_t claimed_mono_ms; /* the last one with a claim, …; 0: none yet */
	uint64_t beat_mono_ms, rescued_mono_ms, swept_mono_ms;
	bool nudged; /* somebody in this process has just put a job there */
	bool ended;  /* there are ends to write */
};

/* What to ask the database for in the next turn. */
struct jobs_plan {
	uint32_t claim;        /* jobs */
	bool beat;             /* renew leases */
	bool rescue;           /* take over what others have let lapse */
	bool sweep;            /* delete what is over its time */
	bool any;              /* any of these, or ends */
	uint64_t wake_mono_ms; /* look again, when not `any` */
};

/*
 * Claims at once while there is more, else every 100 ms, and every 500 ms once nothing was found
 * for ten times; sooner when a job becomes due; 64 at most. Heartbeats three times a lease. A
 * database that is away is asked again after 0.1, 0.2 … 5 s.
 */
struct jobs_plan jobs_decide_plan(
        const struct jobs_pace *p, int64_t now_ms, uint64_t now_mono_ms, double unit);

/*
 * Whether a run must end because others may think that its lease is over: the lease, counted from
 * before it was asked for, less a tenth.
 */
bool job_lease_lapsed(uint64_t leased_mono_ms, uint64_t lease_ms, uint64_t now_mono_ms);

#endif
