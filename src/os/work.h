/*
 * One job on a thread of its own, for system calls that take seconds: reading, copying and
 * removing large files. The loop goes on meanwhile and is told of the end. A job shares nothing
 * with the loop but what it was given, and says what it has done in atomic fields of that.
 */
#ifndef HG_OS_WORK_H
#define HG_OS_WORK_H

#include "base/err.h"
#include "os/loop.h"

#include <stdatomic.h>

struct work;

/* On the thread. Looks at `stop` every few milliseconds and returns soon when it is set. */
typedef void (*work_fn)(void *arg, const atomic_bool *stop);
/* From the loop, once; the thread has ended and the handle is gone. Not after work_stop. */
typedef void (*work_done_fn)(void *arg);

/* HG_E_NOMEM, HG_E_IO: no thread could be made; nothing was called. */
HG_MUST enum hg_rc work_start(
        struct loop *l, work_fn fn, work_done_fn done, void *arg, struct work **ret_work);
/* Asks it to stop and goes on; `done` comes as usual. */
void work_hurry(struct work *w);
/* The same, and waits for its end; `done` is not called. NULL is fine. */
void work_stop(struct work *w);

#endif
