/*
 * The rows of the table `jobs` over one database connection, used by one thread. Nothing here
 * reads a clock but jobs_store_now. Unless it says otherwise a function runs in the caller's
 * transaction, or by itself when there is none, and fails with the codes of db.h.
 */
#ifndef JOBS_STORE_H
#define JOBS_STORE_H

#include "base/list.h"
#include "jobs/jobs.h"

struct jobs_store;

/* The connection stays the caller's. */
HG_MUST enum hg_rc jobs_store_new(struct db *db, struct jobs_store **ret_store, struct hg_err *err);
/* Before db_close. Takes NULL. */
void jobs_store_free(struct jobs_store *s);

/* The time that counts: of the server, so that its clients' clocks need not agree; of the machine
 * for a file. */
HG_MUST enum hg_rc jobs_store_now(struct jobs_store *s, int64_t *ret_ms, struct hg_err *err);
/* For a simulated world: jobs_store_now says this from now on; 0: the clock again. */
void jobs_store_pretend(struct jobs_store *s, int64_t now_ms);

struct job_new {
	struct hg_str queue, kind;
	struct hg_str args; /* JSON, JOBS_ARGS_MAX at most */
	struct hg_str
	        unique_key;    /* n > 0: not while a job of this kind with this key is unfinished */
	uint32_t priority;     /* 0 … JOBS_PRIORITIES - 1; 1 is normal */
	uint32_t attempts_max; /* 0: its kind's */
	int64_t run_at_ms;     /* 0: now */
};

/* *ret_made false: there is one with its unique key, and *ret_id is that one. */
HG_MUST enum hg_rc jobs_store_put(struct jobs_store *s, const struct job_new *n, int64_t now_ms,
        int64_t *ret_id, bool *ret_made, struct hg_err *err);

/* The earliest run_at of what waits in these queues; INT64_MAX: nothing does. */
HG_MUST enum hg_rc jobs_store_due(struct jobs_store *s, const char *const *queue,
        uint32_t queue_count, int64_t *ret_ms, struct hg_err *err);

/* A job that was claimed; one allocation, texts included. free() it. */
struct jobs_claimed {
	struct hg_list node;
	struct job job;
	bool loaded;
	char texts[];
};

struct jobs_claim {
	const char *const *queue; /* asked in this order, each by priority, then run_at */
	uint32_t queue_count;
	uint32_t most;
	int64_t now_ms, until_ms; /* until when the lease is ours */
	const char *worker;
	bool send; /* for a broker: sent, not run; counts no attempt */
};

/* Appends struct jobs_claimed. What others are just claiming is left to them. */
HG_MUST enum hg_rc jobs_store_claim(struct jobs_store *s, const struct jobs_claim *c,
        struct hg_list *to, uint32_t *ret_n, struct hg_err *err);
/* The broker brought it: runs it, if `lease` is the newest and it was sent. *ret_job NULL: not. */
HG_MUST enum hg_rc jobs_store_take(struct jobs_store *s, int64_t id, int64_t lease,
        const struct jobs_claim *c, struct jobs_claimed **ret_job, struct hg_err *err);

/* How many brokers have. */
HG_MUST enum hg_rc jobs_store_sent(struct jobs_store *s, int64_t *ret_n, struct hg_err *err);

/* *ret_ours false: the lease was another's meanwhile, and nothing is changed. */
HG_MUST enum hg_rc jobs_store_beat(struct jobs_store *s, int64_t id, int64_t lease,
        int64_t until_ms, bool *ret_ours, struct hg_err *err);

enum jobs_ended {
	JOBS_ENDED,   /* now */
	JOBS_ALREADY, /* by us before: that transaction's end was not heard of */
	JOBS_NOT_OURS
};

/* `text`: the result of a job that is done, else what went wrong; empty: what was there stays. */
HG_MUST enum hg_rc jobs_store_end(struct jobs_store *s, int64_t id, int64_t lease,
        const struct job_next *next, struct hg_str text, int64_t now_ms, enum jobs_ended *ret_ended,
        struct hg_err *err);

/* Jobs whose lease is over: as job_decide_end has it by their kind's policy. 100 at most. */
HG_MUST enum hg_rc jobs_store_rescue(struct jobs_store *s, const struct job_kind *kind,
        uint32_t kind_count, int64_t now_ms, uint32_t *ret_n, struct hg_err *err);
/* Deletes what ended before `before_ms`, 500 at most. */
HG_MUST enum hg_rc jobs_store_sweep(
        struct jobs_store *s, int64_t before_ms, uint32_t *ret_n, struct hg_err *err);

/* ---- for people ---- */

struct job_row {
	int64_t id, lease;
	struct hg_str queue, kind, args, unique_key, worker, error, result;
	enum job_state state;
	bool sent;                                /* RUNNING, but a broker has it */
	uint32_t priority, attempt, attempts_max; /* attempts_max 0: its kind's */
	int64_t run_at_ms, created_ms;
	int64_t started_ms, finished_ms, lease_until_ms; /* 0: not set */
};

struct jobs_filter {
	bool by_state;
	enum job_state state;
	struct hg_str queue, kind; /* n == 0: any */
	int64_t before;            /* ids below it; 0: all */
	uint32_t limit;
};

/* Newest first. The row is valid within the call. */
HG_MUST enum hg_rc jobs_store_list(struct jobs_store *s, const struct jobs_filter *f,
        void (*each)(void *arg, const struct job_row *row), void *arg, struct hg_err *err);
/* HG_E_NOT_FOUND. */
HG_MUST enum hg_rc jobs_store_get(struct jobs_store *s, int64_t id,
        void (*each)(void *arg, const struct job_row *row), void *arg, struct hg_err *err);
/*
 * Tries a dead, retryable or done job again now, its attempts counted anew. HG_E_NOT_FOUND;
 * HG_E_DB_CONSTRAINT: it is running or waiting already, or another with its unique key is.
 */
HG_MUST enum hg_rc jobs_store_retry(
        struct jobs_store *s, int64_t id, int64_t now_ms, struct hg_err *err);
/* Deletes it. HG_E_DB_CONSTRAINT: it is running. */
HG_MUST enum hg_rc jobs_store_delete(struct jobs_store *s, int64_t id, struct hg_err *err);
/* All in one of the states DEAD, RETRYABLE or DONE, of a queue or (n == 0) all; for purging
 * AVAILABLE too. Those whose unique key is taken stay as they are. */
HG_MUST enum hg_rc jobs_store_retry_all(struct jobs_store *s, enum job_state state,
        struct hg_str queue, int64_t now_ms, int64_t *ret_n, struct hg_err *err);
HG_MUST enum hg_rc jobs_store_purge(struct jobs_store *s, enum job_state state, struct hg_str queue,
        int64_t *ret_n, struct hg_err *err);

struct jobs_depth {
	struct hg_str queue;
	enum job_state state;
	bool sent;
	int64_t jobs;
	int64_t oldest_ms; /* the earliest run_at of AVAILABLE and RETRYABLE, else creation */
};

/* By queue and state; jobs that are done only when asked for: there may be millions. */
HG_MUST enum hg_rc jobs_store_depths(struct jobs_store *s, bool done,
        void (*each)(void *arg, const struct jobs_depth *d), void *arg, struct hg_err *err);

#endif
