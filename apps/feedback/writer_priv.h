/*
 * The one writer of a process: a thread with a connection of its own, which commits whatever has
 * been queued since the last commit in one transaction (group commit), so that an acknowledged
 * write is on the disk and the loop never waits for the disk or for another process' lock.
 *
 * Operations are queued and finished on the loop's thread; a finished one is given to `done` after
 * its transaction was committed, or has failed. The writer owns queued operations.
 */
#ifndef FEEDBACK_WRITER_PRIV_H
#define FEEDBACK_WRITER_PRIV_H

#include "os/loop.h"

#include "apps/feedback/store_priv.h"

#define WRITER_QUEUE_MAX STORE_QUEUE_MAX
#define WRITER_BATCH_MAX 256u
struct writer;

/* `done` frees the operation. Takes over `rows`. */
HG_MUST enum hg_rc writer_new(struct loop *l, struct rows *rows,
        void (*done)(void *arg, struct store_op *op), void *arg, struct writer **ret_writer);
/* False: the queue is full and the operation stays the caller's. */
HG_MUST bool writer_queue(struct writer *w, struct store_op *op);
/* Finishes what is queued, hands it to `done` and ends the thread. Takes NULL. */
void writer_free(struct writer *w);

#endif
