#include "jobs/store_priv.h"

#include <inttypes.h>
#include <stdio.h>

#define LIMIT_MAX 1000u

#define COLUMNS                                                                                   \
	"SELECT id, lease, queue, kind, args, unique_key, worker, error, result, state, sent_at," \
	" priority, attempt, attempts_max, run_at, created_at, started_at, finished_at, "         \
	"lease_until"                                                                             \
	" FROM jobs"

static enum job_state state_of(struct hg_str name)
{
	for (int i = 0; i < JOB_STATES; i++)
		if (hg_str_eq(name, hg_str(job_state_name((enum job_state)i))))
			return (enum job_state)i;
	return JOB_DEAD; /* the table's check knows no other */
}

/* Null is 0: the engines differ in what a column without a value reads as. */
static int64_t number(struct db_stmt *q, unsigned column)
{
	return db_column_null(q, column) ? 0 : db_column_i64(q, column);
}

static void row_of(struct db_stmt *q, struct job_row *r)
{
	*r = (struct job_row){.id = number(q, 0),
	        .lease = number(q, 1),
	        .queue = db_column_str(q, 2),
	        .kind = db_column_str(q, 3),
	        .args = db_column_str(q, 4),
	        .unique_key = db_column_str(q, 5),
	        .worker = db_column_str(q, 6),
	        .error = db_column_str(q, 7),
	        .result = db_column_str(q, 8),
	        .state = state_of(db_column_str(q, 9)),
	        .sent = !db_column_null(q, 10),
	        .priority = (uint32_t)number(q, 11),
	        .attempt = (uint32_t)number(q, 12),
	        .attempts_max = (uint32_t)number(q, 13),
	        .run_at_ms = number(q, 14),
	        .created_ms = number(q, 15),
	        .started_ms = number(q, 16),
	        .finished_ms = number(q, 17),
	        .lease_until_ms = number(q, 18)};
}

/* A query with conditions that are there or not. */
struct asked {
	char sql[1024];
	struct hg_out out;
	unsigned parameters;
	const char *joint;
};

static void ask(struct asked *a, const char *head)
{
	*a = (struct asked){.joint = " WHERE "};
	a->out = hg_out_over(a->sql, sizeof a->sql - 1);
	hg_out_cstr(&a->out, head);
}

/* "queue = $1" */
static void ask_where(struct asked *a, const char *what)
{
	hg_out_fmt(&a->out, "%s%s$%u", a->joint, what, ++a->parameters);
	a->joint = " AND ";
}

/* The name stands in the text, so that an index of such rows only is looked at. */
static void ask_state(struct asked *a, enum job_state s)
{
	hg_out_fmt(&a->out, "%sstate = '%s'", a->joint, job_state_name(s));
	a->joint = " AND ";
}

static const char *asked_text(struct asked *a)
{
	HG_ASSERT(!hg_out_failed(&a->out));
	a->sql[a->out.n] = 0;
	return a->sql;
}

static enum hg_rc each_row(struct db_stmt *q, void (*each)(void *arg, const struct job_row *row),
        void *arg, uint32_t *ret_n, struct hg_err *err)
{
	struct job_row r;
	bool row = false;
	enum hg_rc rc;
	while ((rc = db_step(q, &row, err)) == HG_OK && row) {
		row_of(q, &r);
		each(arg, &r);
		(*ret_n)++;
	}
	return rc;
}

enum hg_rc jobs_store_list(struct jobs_store *s, const struct jobs_filter *f,
        void (*each)(void *arg, const struct job_row *row), void *arg, struct hg_err *err)
{
	struct db_stmt *q = NULL;
	struct asked a;
	unsigned n = 1;
	uint32_t rows = 0;
	ask(&a, COLUMNS);
	ask_where(&a, "id < ");
	if (f->by_state) ask_state(&a, f->state);
	if (f->queue.n) ask_where(&a, "queue = ");
	if (f->kind.n) ask_where(&a, "kind = ");
	hg_out_fmt(&a.out, " ORDER BY id DESC LIMIT %u",
	        f->limit ? HG_MIN(f->limit, LIMIT_MAX) : 100u);
	enum hg_rc rc = db_prepare(s->db, asked_text(&a), &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, n++, f->before ? f->before : INT64_MAX);
	if (f->queue.n) db_bind_str(q, n++, f->queue);
	if (f->kind.n) db_bind_str(q, n++, f->kind);
	rc = each_row(q, each, arg, &rows, err);
	db_stmt_free(q);
	return rc;
}

enum hg_rc jobs_store_get(struct jobs_store *s, int64_t id,
        void (*each)(void *arg, const struct job_row *row), void *arg, struct hg_err *err)
{
	struct db_stmt *q = NULL;
	uint32_t rows = 0;
	enum hg_rc rc = db_prepare(s->db, COLUMNS " WHERE id = $1", &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, id);
	rc = each_row(q, each, arg, &rows, err);
	db_stmt_free(q);
	if (rc == HG_OK && rows == 0)
		rc = hg_err_set(err, HG_E_NOT_FOUND, "there is no job %" PRId64, id);
	return rc;
}

static void keep_state(void *arg, const struct job_row *row)
{
	*(struct job_row *)arg = (struct job_row){
	        .state = row->state, .lease_until_ms = row->lease_until_ms, .sent = row->sent};
}

/* Why a statement on one job changed nothing. */
static enum hg_rc explain(struct jobs_store *s, int64_t id, const char *verb, struct hg_err *err)
{
	struct job_row r = {0};
	enum hg_rc rc = jobs_store_get(s, id, keep_state, &r, err);
	if (rc < 0) return rc;
	return hg_err_set(err, HG_E_DB_CONSTRAINT, "job %" PRId64 " is %s and cannot be %s", id,
	        job_state_name(r.state), verb);
}

#define AGAIN                                                                                \
	"UPDATE jobs SET state = 'available', attempt = 0, run_at = $1, finished_at = NULL," \
	" lease = lease + 1"

/* Another that is unfinished may have its key. */
#define KEY_FREE                                                                                 \
	" AND (unique_key IS NULL OR NOT EXISTS (SELECT 1 FROM jobs other WHERE"                 \
	" other.kind = jobs.kind AND other.unique_key = jobs.unique_key AND other.id <> jobs.id" \
	" AND other.state IN ('available', 'running', 'retryable')))"

enum hg_rc jobs_store_retry(struct jobs_store *s, int64_t id, int64_t now_ms, struct hg_err *err)
{
	struct db_stmt *q = NULL;
	enum hg_rc rc = db_prepare(
	        s->db, AGAIN " WHERE id = $2 AND state IN ('dead', 'retryable', 'done')", &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, now_ms);
	db_bind_i64(q, 2, id);
	rc = db_run(q, err);
	bool changed = rc == HG_OK && db_changes(s->db) > 0;
	db_stmt_free(q);
	if (rc == HG_E_DB_CONSTRAINT)
		return hg_err_set(err, rc,
		        "another job with the unique key of job %" PRId64 " is unfinished", id);
	if (rc < 0 || changed) return rc;
	return explain(s, id, "tried again", err);
}

enum hg_rc jobs_store_delete(struct jobs_store *s, int64_t id, struct hg_err *err)
{
	struct db_stmt *q = NULL;
	enum hg_rc rc =
	        db_prepare(s->db, "DELETE FROM jobs WHERE id = $1 AND state <> 'running'", &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, id);
	rc = db_run(q, err);
	bool changed = rc == HG_OK && db_changes(s->db) > 0;
	db_stmt_free(q);
	return rc < 0 || changed ? rc : explain(s, id, "deleted", err);
}

enum hg_rc jobs_store_retry_all(struct jobs_store *s, enum job_state state, struct hg_str queue,
        int64_t now_ms, int64_t *ret_n, struct hg_err *err)
{
	struct db_stmt *q = NULL;
	struct asked a;
	*ret_n = 0;
	if (state != JOB_DEAD && state != JOB_RETRYABLE && state != JOB_DONE)
		return hg_err_set(err, HG_E_INVALID, "jobs that are %s cannot be tried again",
		        job_state_name(state));
	ask(&a, AGAIN);
	a.parameters = 1;
	ask_state(&a, state);
	if (queue.n) ask_where(&a, "queue = ");
	hg_out_cstr(&a.out, KEY_FREE);
	/* Of several dead ones with the same key the newest. */
	hg_out_fmt(&a.out,
	        " AND (unique_key IS NULL OR id = (SELECT max(id) FROM jobs o WHERE o.kind ="
	        " jobs.kind AND o.unique_key = jobs.unique_key AND o.state = '%s'))",
	        job_state_name(state));
	enum hg_rc rc = db_prepare(s->db, asked_text(&a), &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, now_ms);
	if (queue.n) db_bind_str(q, 2, queue);
	rc = db_run(q, err);
	if (rc == HG_OK) *ret_n = db_changes(s->db);
	db_stmt_free(q);
	return rc;
}

enum hg_rc jobs_store_purge(struct jobs_store *s, enum job_state state, struct hg_str queue,
        int64_t *ret_n, struct hg_err *err)
{
	struct db_stmt *q = NULL;
	struct asked a;
	*ret_n = 0;
	if (state == JOB_RUNNING)
		return hg_err_set(err, HG_E_INVALID, "jobs that are running cannot be purged");
	ask(&a, "DELETE FROM jobs");
	ask_state(&a, state);
	if (queue.n) ask_where(&a, "queue = ");
	enum hg_rc rc = db_prepare(s->db, asked_text(&a), &q, err);
	if (rc < 0) return rc;
	if (queue.n) db_bind_str(q, 1, queue);
	rc = db_run(q, err);
	if (rc == HG_OK) *ret_n = db_changes(s->db);
	db_stmt_free(q);
	return rc;
}

/* Each from an index of its own, so that jobs that are done cost nothing. */
#define DEPTHS                                                                          \
	"SELECT queue, state, 0, count(*), min(run_at) FROM jobs WHERE state IN"        \
	" ('available', 'retryable') GROUP BY queue, state"                             \
	" UNION ALL SELECT queue, state, CASE WHEN sent_at IS NULL THEN 0 ELSE 1 END,"  \
	" count(*), min(created_at) FROM jobs WHERE state = 'running' GROUP BY 1, 2, 3" \
	" UNION ALL SELECT queue, state, 0, count(*), min(created_at) FROM jobs"        \
	" WHERE state = 'dead' GROUP BY queue, state"
#define DEPTHS_DONE                                                              \
	" UNION ALL SELECT queue, state, 0, count(*), min(created_at) FROM jobs" \
	" WHERE state = 'done' GROUP BY queue, state"

enum hg_rc jobs_store_depths(struct jobs_store *s, bool done,
        void (*each)(void *arg, const struct jobs_depth *d), void *arg, struct hg_err *err)
{
	struct db_stmt *q = NULL;
	bool row = false;
	enum hg_rc rc = db_prepare(s->db, done ? DEPTHS DEPTHS_DONE : DEPTHS, &q, err);
	while (rc == HG_OK && (rc = db_step(q, &row, err)) == HG_OK && row) {
		struct jobs_depth d = {.queue = db_column_str(q, 0),
		        .state = state_of(db_column_str(q, 1)),
		        .sent = number(q, 2) != 0,
		        .jobs = number(q, 3),
		        .oldest_ms = number(q, 4)};
		each(arg, &d);
	}
	db_stmt_free(q);
	return rc;
}
