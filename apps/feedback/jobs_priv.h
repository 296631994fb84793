/*
 * The app's queue: what a create leaves to be done later, who does it, and what people may ask of
 * it. The machinery is src/jobs.
 */
#ifndef FEEDBACK_JOBS_PRIV_H
#define FEEDBACK_JOBS_PRIV_H

#include "jobs/store.h"

#include <stdio.h>

struct config;
struct jsonlog;
struct tracer;

/* What webhooks are told; the names are theirs. */
#define EVENT_CREATED "feedback.created"
#define EVENT_STATUS  "feedback.status_changed"

/* The owner's two queues. */
#define QUEUE_TASKS  "feedback-tasks"     /* exports */
#define QUEUE_NOTIFY "notification-queue" /* mail and webhooks */

#define KIND_EMAIL "send_email_notification" /* {"feedback_id": 1, "to": "admin@example.com"} */
/* {"feedback_id": 1, "webhook_id": 2}, and what has happened: nothing, and it was made; or
 * "event": EVENT_STATUS, "status": "planned" */
#define KIND_WEBHOOK "send_webhook"
#define KIND_EXPORT  "export_feedback" /* {"format": "csv"} */
#define KIND_TEST    "test"            /* jobs_test.c, with FEEDBACK_FAULT=jobs */

/* What a request has left goes on with its trace: "traceparent" is among the arguments. */

/* ---- kinds (jobs_kinds.c) ---- */

/* What a kind is made from. It stays as long as the kinds. */
struct jobs_context {
	const struct config *config;
	struct jsonlog *log;
	struct loop *loop;
	struct tracer *tracer; /* NULL: traces are sent nowhere */
};

/* One row of the table of kinds. */
struct jobs_maker {
	/* False: this process cannot do such jobs, as it is configured; they are others'. */
	bool (*make)(const struct jobs_context *c, struct job_kind *ret_kind);
	/* Takes back kind.arg; NULL: nothing to do. The worker is gone. */
	void (*unmake)(void *arg);
};

struct jobs_kinds {
	struct job_kind kind[JOBS_KINDS_MAX];
	const struct jobs_maker *maker[JOBS_KINDS_MAX];
	uint32_t n;
};

void jobs_kinds_make(const struct jobs_context *c, struct jobs_kinds *ret_kinds);
void jobs_kinds_unmake(struct jobs_kinds *k);

bool jobs_make_export(const struct jobs_context *c, struct job_kind *ret_kind);
bool jobs_make_test(const struct jobs_context *c, struct job_kind *ret_kind);
bool jobs_make_test_email(const struct jobs_context *c, struct job_kind *ret_kind);
bool jobs_make_test_webhook(const struct jobs_context *c, struct job_kind *ret_kind);
void jobs_unmake_export(void *arg);
void jobs_unmake_test(void *arg);

/* A number of a job's arguments; -1 when there is none. */
int64_t jobs_arg_i64(struct hg_str args, const char *name);
/* A text of them; false when there is none, or it is longer. */
bool jobs_arg_str(struct hg_str args, const char *name, char *to, size_t cap);

/* ---- exports (jobs_export.c) ---- */

/* EXPORT_DIR/feedback-ID.csv */
#define EXPORT_PATH_MAX 320
HG_MUST bool jobs_export_path(
        const char *dir, int64_t id, struct hg_str format, char to[EXPORT_PATH_MAX]);

/* ---- for people ---- */

/* A job as the API and the command line show it. */
void jobs_row_json(const struct job_row *row, struct hg_buf *to);
/* False: no state has this name. */
HG_MUST bool jobs_state_parse(struct hg_str name, enum job_state *ret_state);

struct jobs_command {
	const char *action; /* list, show, retry, purge, stats, put */
	int64_t id;         /* 0: none was given */
	bool by_state;
	enum job_state state;
	const char *queue, *kind, *args, *unique_key;
	uint32_t limit, priority, attempts;
	int64_t in_s; /* put: seconds from now */
	bool json;
};

/* feedback-app jobs …: prints to `out`. */
HG_MUST enum hg_rc command_jobs(
        const struct config *c, const struct jobs_command *o, FILE *out, struct hg_err *err);

#endif
