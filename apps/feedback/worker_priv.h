/*
 * The app's worker: jobs of src/jobs with the kinds of jobs_kinds.c, what it says in the log, and
 * its metrics. In a process of its own (feedback-app worker) or beside the API (WORKERS=inline).
 */
#ifndef FEEDBACK_WORKER_PRIV_H
#define FEEDBACK_WORKER_PRIV_H

#include "os/loop.h"

#include "apps/feedback/jobs_priv.h"
#include "apps/feedback/trace_priv.h"

struct worker;

HG_MUST enum hg_rc worker_new(struct loop *l, const struct config *c, struct jsonlog *log,
        struct tracer *tracer, struct worker **ret_worker, struct hg_err *err);
/* There may be a job. Takes NULL. */
void worker_nudge(struct worker *w);
/* As jobs_worker_stop. */
void worker_stop(struct worker *w, uint32_t within_ms, void (*stopped)(void *arg), void *arg);
/* Takes NULL. */
void worker_free(struct worker *w);
/* jobs_finished_total, job_duration_seconds … */
void worker_metrics(const struct worker *w, struct hg_buf *to);
bool worker_connected(const struct worker *w);

#endif
