/*
 * The lock of whoever may touch the store (observe/tsdb has one owner at a time): the loop of the
 * observe process, or a thread that evaluates a query.
 *
 * Fair: turns are given in the order in which they were asked for. A query that takes and gives
 * the lock once a series cannot starve the loop: the loop announces itself by asking, and the
 * query's next turn comes after it; nor can a loop that never rests starve a query. Nobody waits
 * longer than each of the others holds it once. Uncontended it is two atomic operations.
 *
 * The loop holds it in all its callbacks and gives it up only while it waits for events:
 *
 *     observe_lock_take(&lock);
 *     loop_hooks(loop, observe_lock_give, observe_lock_take, &lock);
 *     loop_run(loop);
 *
 * so that what runs on the loop never locks. A query passes the same two functions as
 * promql_options.lock and .unlock; one that is run on the loop passes NULL. Not recursive.
 */
#ifndef OBSERVE_TSDB_LOCK_H
#define OBSERVE_TSDB_LOCK_H

#include "base/hg.h"

#include <pthread.h>
#include <stdatomic.h>

struct observe_lock {
	atomic_uint next;    /* ticket of whoever asks next */
	atomic_uint serving; /* ticket of who holds it; equal to `next`: nobody does */
	pthread_mutex_t m;   /* only to sleep */
	pthread_cond_t turn;
};

void observe_lock_init(struct observe_lock *l);
/* Nobody holds it or waits for it. */
void observe_lock_fini(struct observe_lock *l);
/* `lock`: a struct observe_lock; as void * it fits loop_hooks and promql_options. */
void observe_lock_take(void *lock);
/* By its holder. */
void observe_lock_give(void *lock);

#endif
