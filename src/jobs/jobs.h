/*
 * Jobs: work that is kept in the database until it was done. A job is put there in the transaction
 * of the change that wants it, so that neither is without the other; workers, any number of
 * processes, claim jobs, run them and write how they ended.
 *
 * At least once: a worker that dies leaves a lease that lapses, and another runs the job again.
 * Every attempt is handed the same `key`, so that whoever is told twice can notice. A worker that
 * lost its lease cannot end the job: each claim has a number, and only the newest counts.
 *
 * Handlers run on the worker's loop and must not block: they start something, and say job_end when
 * it is over; or they are a `work` function, which has a thread of its own. The database is only
 * touched by the worker's thread: `load` before, `settle` after.
 */
#ifndef JOBS_JOBS_H
#define JOBS_JOBS_H

#include "base/err.h"
#include "base/log.h"
#include "db/db.h"
#include "jobs/decide.h"
#include "os/loop.h"

#include <stdatomic.h>

#define JOBS_KINDS_MAX  16u
#define JOBS_QUEUES_MAX 8u
#define JOBS_NAME_MAX   64u    /* of queues and kinds: letters, digits, "-", "_", "." */
#define JOBS_ARGS_MAX   65536u /* bytes of JSON */
#define JOBS_ERROR_MAX  2000u  /* bytes that are kept of what went wrong */
#define JOBS_SLOTS_MAX  256u

struct job {
	int64_t id;
	int64_t lease; /* the number of this claim */
	struct hg_str queue, kind;
	struct hg_str args; /* JSON */
	struct hg_str key;  /* the same for every attempt, unique: letters, digits, "-" */
	uint32_t attempt;   /* this one, from 1 */
	uint32_t attempts_max;
	int64_t run_at_ms, created_ms;
};

/* One attempt under way. */
struct job_run;

struct job_outcome {
	enum job_verdict verdict; /* JOB_OK, JOB_RETRY or JOB_GIVE_UP */
	uint64_t after_ms;        /* JOB_RETRY: not before that; 0: as the back-off has it */
	struct hg_str text;       /* the result, or what went wrong: for people. Copied */
};

struct job_kind {
	const char *name;
	uint32_t timeout_ms;      /* of a run; 0: 60 s */
	struct job_policy policy; /* attempts_max: when the job does not say */

	/*
	 * Optional, on the worker's thread before the run: what the handler must know of the
	 * database, in `to` (job_loaded). It only reads. HG_E_NOT_FOUND: what the job is about is
	 * no more, and the job is done; another failure of the database is tried again later.
	 */
	enum hg_rc (*load)(void *arg, struct db *db, const struct job *job, struct hg_buf *to,
	        struct hg_err *err);
	/*
	 * On the loop: starts the run. job_end comes from here or later, exactly once.
	 */
	void (*start)(void *arg, struct job_run *run);
	/*
	 * On the loop: the run must end (its time is over, its lease was lost, the process stops).
	 * job_end comes from here or soon. Until then the job is not run elsewhere, unless the
	 * lease was lost. NULL with `work`.
	 */
	void (*cancel)(void *arg, struct job_run *run);
	/*
	 * Instead of `start`: on a thread of its own. Looks at `stop` every few milliseconds and
	 * returns soon when it is set. `text`: room for the outcome's.
	 */
	enum job_verdict (*work)(
	        void *arg, struct job_run *run, const atomic_bool *stop, struct hg_buf *text);
	/*
	 * Optional, on the worker's thread, in the transaction that writes the end of the attempt
	 * (and only if it still is ours): what else must be written, such as a receiver that is
	 * gone for good. When it fails, what it did is taken back and the attempt has failed.
	 */
	enum hg_rc (*settle)(void *arg, struct db *db, const struct job *job,
	        const struct job_outcome *o, struct hg_err *err);
	void *arg;
};

/* Of a run, on any thread, until it ended. */
const struct job *job_of(const struct job_run *run);
struct hg_str job_loaded(const struct job_run *run);
/* The handler's own; NULL at first. */
void job_set_data(struct job_run *run, void *data);
void *job_data(const struct job_run *run);
/* The worker's loop, to start things on. */
struct loop *job_loop(const struct job_run *run);
/*
 * On any thread: whether the lease still holds. Asked just before what cannot be taken back, it
 * spares the world what a process that slept for longer would do a second time.
 */
bool job_is_ours(const struct job_run *run);
/* From the loop, once, not after it: the run is over. */
void job_end(struct job_run *run, const struct job_outcome *o);

/* ---- workers ---- */

struct jobs_worker;
struct relay_driver;

enum jobs_end { JOBS_END_DONE, JOBS_END_RETRIED, JOBS_END_DEAD, JOBS_END_RELEASED, JOBS_END_LOST };

struct jobs_worker_options {
	const char *database; /* address for db_open */
	enum db_durability durability;
	const char *name; /* of this worker, to be seen in lists: "host:pid" */
	const char *const *queue;
	uint32_t queue_count; /* 1 … JOBS_QUEUES_MAX */
	const struct job_kind *kind;
	uint32_t kind_count;
	uint32_t slots;    /* runs at once; 0: 8 */
	uint64_t lease_ms; /* 0: JOBS_LEASE_MS; at least 1000 */
	/* Who brings the jobs (relay.h); NULL: they are asked of the database. */
	const struct relay_driver *broker;
	const char *broker_url;
	/* Optional. What goes on: `job` may be NULL. */
	void (*note)(void *arg, enum hg_level level, const char *what, const struct job *job,
	        const char *why);
	/* Optional. An attempt ended and its end was written: how long it ran, and how it ended. */
	void (*ended)(void *arg, const struct job *job, uint64_t ran_ms, enum jobs_end how);
	void *arg;
};

/* Its thread opens the database, now and whenever it was lost. HG_E_NOMEM, HG_E_INVALID. */
HG_MUST enum hg_rc jobs_worker_new(struct loop *l, const struct jobs_worker_options *o,
        struct jobs_worker **ret_worker, struct hg_err *err);
/* There may be a job: look at once. Cheap. */
void jobs_worker_nudge(struct jobs_worker *w);
/*
 * Claims no more; runs have `within_ms` to end, then they are cancelled and their jobs given back.
 * `stopped` is called once, from the loop, when everything was written or 5 s later.
 */
void jobs_worker_stop(
        struct jobs_worker *w, uint32_t within_ms, void (*stopped)(void *arg), void *arg);
/* Runs that are under way are cancelled, and their leases lapse. Takes NULL. */
void jobs_worker_free(struct jobs_worker *w);

#define JOBS_BUCKETS 9u
extern const uint32_t jobs_bucket_ms[JOBS_BUCKETS];

struct jobs_kind_stats {
	const char *kind;
	uint64_t ok, retried, dead, lost; /* attempts that ended so; lost: their lease was */
	uint64_t bucket[JOBS_BUCKETS + 1], sum_ms; /* how long they ran */
};

struct jobs_stats {
	uint32_t running, slots;
	bool connected;
	uint64_t claimed, rescued, released;
	uint32_t kind_count;
	struct jobs_kind_stats kind[JOBS_KINDS_MAX];
};

void jobs_worker_stats(const struct jobs_worker *w, struct jobs_stats *ret_stats);

#endif
