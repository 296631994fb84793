#include "jobs/store_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/clock.h"

#define RESCUE_MAX 100
#define SWEEP_MAX  500

/* What a claim, and a take, wants to know. */
#define CLAIMED                                                                           \
	" RETURNING jobs.id, jobs.lease, jobs.queue, jobs.kind, jobs.args, jobs.attempt," \
	" jobs.attempts_max, jobs.run_at, jobs.created_at"

#define DUE(lock)                                                                     \
	"WITH due AS MATERIALIZED (SELECT id AS due_id FROM jobs WHERE queue = $1"    \
	" AND priority = $2 AND state IN ('available', 'retryable') AND run_at <= $6" \
	" ORDER BY run_at, id LIMIT $3" lock ")"                                      \
	" UPDATE jobs SET state = 'running', lease = lease + 1, lease_until = $4, worker = $5,"

/* Parameters: queue, priority, most, until, worker, now. */
#define CLAIM(lock)                                                                    \
	DUE(lock)                                                                      \
	" started_at = $6, sent_at = NULL, attempt = attempt + 1 FROM due WHERE id = " \
	"due_id" CLAIMED
#define SEND(lock) DUE(lock) " sent_at = $6 FROM due WHERE id = due_id" CLAIMED

#define LOCK " FOR UPDATE SKIP LOCKED"

static const struct {
	const char *sqlite, *postgres; /* the second NULL: the same */
} sql_of[STATEMENTS] = {
        [PUT] = {"INSERT INTO jobs (queue, kind, args, unique_key, priority, attempts_max, run_at,"
                 " created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
                 " ON CONFLICT DO NOTHING RETURNING id",
                NULL},
        [FIND] = {"SELECT id FROM jobs WHERE kind = $1 AND unique_key = $2"
                  " AND state IN ('available', 'running', 'retryable')",
                NULL},
        [DUE_AT] = {"SELECT min(run_at) FROM jobs WHERE queue = $1 AND priority = $2"
                    " AND state IN ('available', 'retryable')",
                NULL},
        [CLAIM_RUN] = {CLAIM(""), CLAIM(LOCK)},
        [CLAIM_SEND] = {SEND(""), SEND(LOCK)},
        [TAKE] = {"UPDATE jobs SET lease = lease + 1, lease_until = $3, worker = $4,"
                  " started_at = $5, sent_at = NULL, attempt = attempt + 1"
                  " WHERE id = $1 AND lease = $2 AND state = 'running'"
                  " AND sent_at IS NOT NULL" CLAIMED,
                NULL},
        [SENT] = {"SELECT count(*) FROM jobs WHERE state = 'running' AND sent_at IS NOT NULL",
                NULL},
        [BEAT] = {"UPDATE jobs SET lease_until = $3 WHERE id = $1 AND lease = $2"
                  " AND state = 'running'",
                NULL},
        [END] = {"UPDATE jobs SET state = $3, run_at = $4, attempt = $5, finished_at = $6,"
                 " error = coalesce($7, error), result = coalesce($8, result),"
                 " lease_until = NULL, sent_at = NULL"
                 " WHERE id = $1 AND lease = $2 AND state = 'running'",
                NULL},
        [IS_MINE] = {"SELECT count(*) FROM jobs WHERE id = $1 AND lease = $2", NULL},
        [LAPSED] = {"SELECT id, lease, kind, attempt, attempts_max, worker, sent_at FROM jobs"
                    " WHERE state = 'running' AND lease_until < $1 ORDER BY lease_until LIMIT $2",
                "SELECT id, lease, kind, attempt, attempts_max, worker, sent_at FROM jobs"
                " WHERE state = 'running' AND lease_until < $1 ORDER BY lease_until LIMIT $2" LOCK},
        [RESCUE] = {"UPDATE jobs SET state = $3, run_at = $4, attempt = $5, finished_at = $6,"
                    " error = coalesce($7, error), lease = lease + 1, lease_until = NULL,"
                    " sent_at = NULL WHERE id = $1 AND lease = $2 AND state = 'running'",
                NULL},
        [SWEEP] = {"DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE state IN"
                   " ('done', 'dead') AND finished_at < $1 ORDER BY finished_at LIMIT $2)",
                NULL},
};

enum hg_rc jobs_store_new(struct db *db, struct jobs_store **ret_store, struct hg_err *err)
{
	struct jobs_store *s = calloc(1, sizeof *s);
	enum hg_rc rc = HG_OK;
	if (!s) return hg_err_set(err, HG_E_NOMEM, "not enough memory for the queue");
	s->db = db;
	for (size_t i = 0; rc == HG_OK && i < STATEMENTS; i++) {
		const char *sql = sql_of[i].sqlite;
		if (db_is_postgres(db) && sql_of[i].postgres) sql = sql_of[i].postgres;
		rc = db_prepare(db, sql, &s->stmt[i], err);
	}
	if (rc < 0)
		jobs_store_free(s);
	else
		*ret_store = s;
	return rc;
}

void jobs_store_free(struct jobs_store *s)
{
	if (!s) return;
	for (size_t i = 0; i < STATEMENTS; i++)
		db_stmt_free(s->stmt[i]);
	free(s);
}

enum hg_rc jobs_store_now(struct jobs_store *s, int64_t *ret_ms, struct hg_err *err)
{
	if (s->pretended_ms) {
		*ret_ms = s->pretended_ms;
		return HG_OK;
	}
	if (db_is_postgres(s->db))
		return db_query_i64(s->db,
		        "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", ret_ms,
		        err);
	*ret_ms = (int64_t)clock_wall_ms();
	return HG_OK;
}

void jobs_store_pretend(struct jobs_store *s, int64_t now_ms)
{
	s->pretended_ms = now_ms;
}

static void bind_str_or_null(struct db_stmt *q, unsigned n, struct hg_str v)
{
	if (v.n)
		db_bind_str(q, n, v);
	else
		db_bind_null(q, n);
}

static void bind_i64_or_null(struct db_stmt *q, unsigned n, int64_t v)
{
	if (v)
		db_bind_i64(q, n, v);
	else
		db_bind_null(q, n);
}

/* The first column of the first row; *ret_found false without one, or when it is null. */
static enum hg_rc number_of(struct db_stmt *q, int64_t *ret_v, bool *ret_found, struct hg_err *err)
{
	bool row = false;
	enum hg_rc rc = db_step(q, &row, err);
	*ret_found = rc == HG_OK && row && !db_column_null(q, 0);
	if (*ret_found) *ret_v = db_column_i64(q, 0);
	return rc == HG_OK && row ? db_run(q, err) : rc;
}

static enum hg_rc check_new(const struct job_new *n, struct hg_err *err)
{
	if (n->priority >= JOBS_PRIORITIES)
		return hg_err_set(err, HG_E_INVALID, "a job's priority is 0, 1 or 2");
	if (n->args.n > JOBS_ARGS_MAX)
		return hg_err_set(err, HG_E_TOO_LARGE, "a job's arguments are over 64 KiB");
	if (!n->queue.n || n->queue.n > JOBS_NAME_MAX || !n->kind.n || n->kind.n > JOBS_NAME_MAX)
		return hg_err_set(err, HG_E_INVALID, "a job has a queue and a kind");
	return HG_OK;
}

enum hg_rc jobs_store_put(struct jobs_store *s, const struct job_new *n, int64_t now_ms,
        int64_t *ret_id, bool *ret_made, struct hg_err *err)
{
	struct db_stmt *q = s->stmt[PUT];
	enum hg_rc rc = check_new(n, err);
	bool found = false;
	/* The one that was in the way may end before we look for it. */
	for (int tries = 0; rc == HG_OK && !found && tries < 5; tries++) {
		db_bind_str(q, 1, n->queue);
		db_bind_str(q, 2, n->kind);
		db_bind_str(q, 3, n->args.n ? n->args : HG_STR("{}"));
		bind_str_or_null(q, 4, n->unique_key);
		db_bind_i64(q, 5, n->priority);
		bind_i64_or_null(q, 6, n->attempts_max);
		db_bind_i64(q, 7, n->run_at_ms ? n->run_at_ms : now_ms);
		db_bind_i64(q, 8, now_ms);
		rc = number_of(q, ret_id, ret_made, err);
		found = *ret_made;
		if (rc < 0 || found) break;
		db_bind_str(s->stmt[FIND], 1, n->kind);
		db_bind_str(s->stmt[FIND], 2, n->unique_key);
		rc = number_of(s->stmt[FIND], ret_id, &found, err);
	}
	if (rc == HG_OK && !found)
		rc = hg_err_set(err, HG_E_AGAIN, "a job with the same key comes and goes");
	return rc;
}

enum hg_rc jobs_store_due(struct jobs_store *s, const char *const *queue, uint32_t queue_count,
        int64_t *ret_ms, struct hg_err *err)
{
	struct db_stmt *q = s->stmt[DUE_AT];
	int64_t first = INT64_MAX;
	for (uint32_t i = 0; i < queue_count; i++) {
		for (int64_t priority = 0; priority < JOBS_PRIORITIES; priority++) {
			int64_t at = 0;
			bool found = false;
			db_bind_str(q, 1, hg_str(queue[i]));
			db_bind_i64(q, 2, priority);
			enum hg_rc rc = number_of(q, &at, &found, err);
			if (rc < 0) return rc;
			if (found) first = HG_MIN(first, at);
		}
	}
	*ret_ms = first;
	return HG_OK;
}

static void take_text(char **to, struct hg_str *text)
{
	if (text->n) memcpy(*to, text->p, text->n);
	text->p = *to;
	(*to)[text->n] = 0; /* for handlers whose libraries want it so */
	*to += text->n + 1;
}

static struct jobs_claimed *claimed_of(struct db_stmt *q)
{
	char key[96];
	struct job j = {.id = db_column_i64(q, 0),
	        .lease = db_column_i64(q, 1),
	        .queue = db_column_str(q, 2),
	        .kind = db_column_str(q, 3),
	        .args = db_column_str(q, 4),
	        .attempt = (uint32_t)db_column_i64(q, 5),
	        .attempts_max = db_column_null(q, 6) ? 0 : (uint32_t)db_column_i64(q, 6),
	        .run_at_ms = db_column_i64(q, 7),
	        .created_ms = db_column_i64(q, 8)};
	int n = snprintf(key, sizeof key, "job-%" PRId64 "-%" PRIx64, j.id, (uint64_t)j.created_ms);
	j.key = (struct hg_str){key, (size_t)n};
	size_t size = j.queue.n + j.kind.n + j.args.n + j.key.n + 4;
	struct jobs_claimed *c = calloc(1, sizeof *c + size);
	if (!c) return NULL;
	char *to = c->texts;
	take_text(&to, &j.queue);
	take_text(&to, &j.kind);
	take_text(&to, &j.args);
	take_text(&to, &j.key);
	c->job = j;
	return c;
}

/* All rows that the statement gives. */
static enum hg_rc collect(struct db_stmt *q, struct hg_list *to, uint32_t *n, struct hg_err *err)
{
	bool row = false;
	enum hg_rc rc;
	while ((rc = db_step(q, &row, err)) == HG_OK && row) {
		struct jobs_claimed *c = claimed_of(q);
		if (!c) {
			db_reset(q);
			return hg_err_set(err, HG_E_NOMEM, "not enough memory for a job");
		}
		hg_list_append(to, &c->node);
		(*n)++;
	}
	return rc;
}

enum hg_rc jobs_store_claim(struct jobs_store *s, const struct jobs_claim *c, struct hg_list *to,
        uint32_t *ret_n, struct hg_err *err)
{
	struct db_stmt *q = s->stmt[c->send ? CLAIM_SEND : CLAIM_RUN];
	enum hg_rc rc = HG_OK;
	uint32_t n = 0;
	/* One statement a priority: each is a range of the index, however much waits for later. */
	for (uint32_t i = 0; i < c->queue_count; i++) {
		for (int64_t p = JOBS_PRIORITIES - 1; rc == HG_OK && p >= 0 && n < c->most; p--) {
			db_bind_str(q, 1, hg_str(c->queue[i]));
			db_bind_i64(q, 2, p);
			db_bind_i64(q, 3, c->most - n);
			db_bind_i64(q, 4, c->until_ms);
			db_bind_str(q, 5, hg_str(c->worker));
			db_bind_i64(q, 6, c->now_ms);
			rc = collect(q, to, &n, err);
		}
	}
	*ret_n = n;
	return rc;
}

enum hg_rc jobs_store_take(struct jobs_store *s, int64_t id, int64_t lease,
        const struct jobs_claim *c, struct jobs_claimed **ret_job, struct hg_err *err)
{
	struct db_stmt *q = s->stmt[TAKE];
	struct hg_list taken;
	uint32_t n = 0;
	hg_list_init(&taken);
	db_bind_i64(q, 1, id);
	db_bind_i64(q, 2, lease);
	db_bind_i64(q, 3, c->until_ms);
	db_bind_str(q, 4, hg_str(c->worker));
	db_bind_i64(q, 5, c->now_ms);
	enum hg_rc rc = collect(q, &taken, &n, err);
	struct hg_list *node = hg_list_first(&taken);
	*ret_job = node ? HG_CONTAINER(node, struct jobs_claimed, node) : NULL;
	if (node) hg_list_remove(node);
	return rc;
}

enum hg_rc jobs_store_sent(struct jobs_store *s, int64_t *ret_n, struct hg_err *err)
{
	bool found = false;
	return number_of(s->stmt[SENT], ret_n, &found, err);
}

enum hg_rc jobs_store_beat(struct jobs_store *s, int64_t id, int64_t lease, int64_t until_ms,
        bool *ret_ours, struct hg_err *err)
{
	struct db_stmt *q = s->stmt[BEAT];
	db_bind_i64(q, 1, id);
	db_bind_i64(q, 2, lease);
	db_bind_i64(q, 3, until_ms);
	enum hg_rc rc = db_run(q, err);
	*ret_ours = rc == HG_OK && db_changes(s->db) > 0;
	return rc;
}

static bool is_over(enum job_state s)
{
	return s == JOB_DONE || s == JOB_DEAD;
}

enum hg_rc jobs_store_end(struct jobs_store *s, int64_t id, int64_t lease,
        const struct job_next *next, struct hg_str text, int64_t now_ms, enum jobs_ended *ret_ended,
        struct hg_err *err)
{
	struct db_stmt *q = s->stmt[END];
	bool done = next->state == JOB_DONE, found = false;
	int64_t mine = 0;
	text.n = HG_MIN(text.n, JOBS_ERROR_MAX);
	db_bind_i64(q, 1, id);
	db_bind_i64(q, 2, lease);
	db_bind_str(q, 3, hg_str(job_state_name(next->state)));
	db_bind_i64(q, 4, next->run_at_ms);
	db_bind_i64(q, 5, next->attempt);
	bind_i64_or_null(q, 6, is_over(next->state) ? now_ms : 0);
	bind_str_or_null(q, 7, done ? HG_STR("") : text);
	bind_str_or_null(q, 8, done ? text : HG_STR(""));
	enum hg_rc rc = db_run(q, err);
	*ret_ended = JOBS_ENDED;
	if (rc < 0 || db_changes(s->db) > 0) return rc;
	/* Whoever rescues or claims it gives it another number: with ours, it was us. */
	db_bind_i64(s->stmt[IS_MINE], 1, id);
	db_bind_i64(s->stmt[IS_MINE], 2, lease);
	rc = number_of(s->stmt[IS_MINE], &mine, &found, err);
	*ret_ended = mine ? JOBS_ALREADY : JOBS_NOT_OURS;
	return rc;
}

static const struct job_policy *policy_of(
        const struct job_kind *kind, uint32_t count, struct hg_str name)
{
	static const struct job_policy otherwise;
	for (uint32_t i = 0; i < count; i++)
		if (hg_str_eq(hg_str(kind[i].name), name)) return &kind[i].policy;
	return &otherwise;
}

struct lapsed {
	int64_t id, lease;
	struct job_next next;
	char why[160];
};

static void lapsed_of(struct db_stmt *q, const struct job_kind *kind, uint32_t kind_count,
        int64_t now_ms, struct lapsed *l)
{
	struct job_policy p = *policy_of(kind, kind_count, db_column_str(q, 2));
	struct hg_str worker = db_column_str(q, 5);
	uint32_t attempt = (uint32_t)db_column_i64(q, 3);
	bool sent = !db_column_null(q, 6);
	if (!db_column_null(q, 4)) p.attempts_max = (uint32_t)db_column_i64(q, 4);
	l->id = db_column_i64(q, 0);
	l->lease = db_column_i64(q, 1);
	/* What only waited in a broker was no attempt. */
	l->next = sent ? (struct job_next){JOB_AVAILABLE, now_ms, attempt}
	               : job_decide_end(&p, JOB_LAPSED, attempt, 0, now_ms, 0);
	l->why[0] = 0;
	if (!sent)
		snprintf(l->why, sizeof l->why,
		        "attempt %u: worker %.*s was not heard of before its lease was over",
		        attempt, (int)HG_MIN(worker.n, 64), worker.p);
}

enum hg_rc jobs_store_rescue(struct jobs_store *s, const struct job_kind *kind, uint32_t kind_count,
        int64_t now_ms, uint32_t *ret_n, struct hg_err *err)
{
	struct lapsed *l = calloc(RESCUE_MAX, sizeof *l);
	struct db_stmt *q = s->stmt[LAPSED];
	bool row = false;
	uint32_t n = 0;
	enum hg_rc rc = HG_OK;
	*ret_n = 0;
	if (!l) return hg_err_set(err, HG_E_NOMEM, "not enough memory to rescue jobs");
	db_bind_i64(q, 1, now_ms);
	db_bind_i64(q, 2, RESCUE_MAX);
	while ((rc = db_step(q, &row, err)) == HG_OK && row) {
		HG_ASSERT(n < RESCUE_MAX);
		lapsed_of(q, kind, kind_count, now_ms, &l[n++]);
	}
	q = s->stmt[RESCUE];
	for (uint32_t i = 0; rc == HG_OK && i < n; i++) {
		const struct job_next *next = &l[i].next;
		db_bind_i64(q, 1, l[i].id);
		db_bind_i64(q, 2, l[i].lease);
		db_bind_str(q, 3, hg_str(job_state_name(next->state)));
		db_bind_i64(q, 4, next->run_at_ms);
		db_bind_i64(q, 5, next->attempt);
		bind_i64_or_null(q, 6, is_over(next->state) ? now_ms : 0);
		bind_str_or_null(q, 7, hg_str(l[i].why));
		rc = db_run(q, err);
		if (rc == HG_OK) *ret_n += db_changes(s->db) > 0;
	}
	free(l);
	return rc;
}

enum hg_rc jobs_store_sweep(
        struct jobs_store *s, int64_t before_ms, uint32_t *ret_n, struct hg_err *err)
{
	struct db_stmt *q = s->stmt[SWEEP];
	db_bind_i64(q, 1, before_ms);
	db_bind_i64(q, 2, SWEEP_MAX);
	enum hg_rc rc = db_run(q, err);
	*ret_n = rc == HG_OK ? (uint32_t)db_changes(s->db) : 0;
	return rc;
}
