/*
 * The desk: for what is asked rarely and needs several statements, or seconds of a processor, so
 * that the loop never waits. Threads with a queue; each has a connection of its own by db.h, where
 * every call waits, or none (`url` NULL). A connection to a server that is lost is made again, with
 * a growing pause.
 *
 * Tasks are queued and handed back on the loop's thread, each exactly once, whatever happens.
 * What answers requests all the time is the store's (store_priv.h), not the desk's.
 */
#ifndef FEEDBACK_DESK_PRIV_H
#define FEEDBACK_DESK_PRIV_H

#include "db/db.h"
#include "os/loop.h"

#define DESK_QUEUE_MAX   256u
#define DESK_THREADS_MAX 4u
#define DESK_WITHIN_MS   5000u

struct desk;

/* Zero it, set `run` and `done`; the rest is the desk's. Embedded in what belongs to the task. */
struct desk_task {
	/*
	 * On a thread of the desk. No transaction is open, and one that is left open is taken back.
	 * `db` is NULL for a desk without one. Touches nothing of the loop's.
	 */
	enum hg_rc (*run)(struct desk_task *t, struct db *db, struct hg_err *err);
	/*
	 * On the loop's thread, and may free the task. `rc` is what `run` returned, or: HG_E_AGAIN
	 * (not begun in its time, or the server is away), HG_E_CLOSED (cancelled, or the desk was
	 * closed, before it began). `why` is "" unless there is something to say, and ends with
	 * the task.
	 */
	void (*done)(struct desk_task *t, enum hg_rc rc, const char *why);
	/* the desk's */
	struct hg_list node;
	uint64_t until_ms;
	enum { DESK_NEW, DESK_QUEUED, DESK_RUNNING, DESK_FINISHED } state;
	bool cancelled;
	enum hg_rc rc;
	char why[320];
};

struct desk_options {
	const char *url; /* for db_open, must stay; NULL: tasks get no database */
	enum db_durability durability;
	uint32_t threads;   /* 0: 1 */
	uint32_t queue_max; /* tasks that wait or run; 0: DESK_QUEUE_MAX */
};

/* Connects when the first task comes. HG_E_NOMEM, HG_E_IO (no descriptor, no thread). */
HG_MUST enum hg_rc desk_new(struct loop *l, const struct desk_options *o, struct desk **ret_desk);
/* Waits for what runs (until its time is over), hands everything back. Takes NULL. */
void desk_free(struct desk *d);
/*
 * False: the queue is full, and the task stays the caller's. `within_ms`: until then it has begun
 * or comes back; a database that still works on it then is interrupted. 0: DESK_WITHIN_MS.
 */
HG_MUST bool desk_queue(struct desk *d, struct desk_task *t, uint32_t within_ms);
/*
 * Nobody waits for it any more: if it has not begun, it never will. It is handed back as usual,
 * not from inside this call. Harmless for one that is not queued.
 */
void desk_cancel(struct desk *d, struct desk_task *t);
/* Tasks that wait or run. */
uint32_t desk_pending(const struct desk *d);

#endif
