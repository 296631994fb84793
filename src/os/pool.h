/*
 * A few threads that run jobs one after the other, for computing that takes too long for the loop
 * (os/work.h is for the single long system call). Jobs are the caller's structs and begin in the
 * order in which they were given. The threads are started with the first job.
 */
#ifndef HG_OS_POOL_H
#define HG_OS_POOL_H

#include "base/hg.h"
#include "os/loop.h"

struct pool;

struct pool_job {
	struct pool_job *next;
	void (*run)(struct pool_job *job);  /* on a thread */
	void (*done)(struct pool_job *job); /* on the loop, afterwards; may free the job */
};

HG_MUST enum hg_rc pool_new(struct loop *l, unsigned threads, struct pool **ret_pool);
/*
 * Waits for the jobs that run (tell them to hurry before); those that wait never run. Of none is
 * `done` called. `before` and `after`, both or none, stand around the waiting, as loop_hooks.
 */
void pool_free(struct pool *p, void (*before)(void *), void (*after)(void *), void *arg);

/* HG_E_IO: no thread could be started; the job was not taken. From the loop. */
HG_MUST enum hg_rc pool_give(struct pool *p, struct pool_job *job);
/* True: it had not begun, and neither run nor done will be called. From the loop. */
bool pool_take_back(struct pool *p, struct pool_job *job);
unsigned pool_waiting(struct pool *p);
unsigned pool_running(struct pool *p);

#endif
