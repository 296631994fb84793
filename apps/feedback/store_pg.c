#include "apps/feedback/store_pg_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "db/pool.h"
#include "os/clock.h"
#include "wire/json.h"

#include "apps/feedback/jobs_priv.h"
#include "apps/feedback/migrations_priv.h"

#define LIST_MAX    (16u << 20) /* 1000 messages of 500 characters, all escaped */
#define START_MS    30000u      /* how long a start waits for the server */
#define START_PAUSE 500u
#define POSITION_S  10u /* beyond the lag that replicas may have */
#define KEY_TRIES   3

#define KEPT "now() - interval '1 day'"

/* By enum store_kind; then what has no kind of its own. */
enum {
	CREATE_ONCE = STORE_STAMP + 1,
	LIST_V2,
	VOTE_TAKE, /* STORE_VOTE gives it */
	WITHOUT_JOBS,
	CREATE_JOBS = WITHOUT_JOBS,
	CREATE_ONCE_JOBS,
	STATUS_JOBS,
	STATEMENTS
};

/*
 * Who has done what, written down in the statement that does it, if $1 says so. Every write has
 * the same first six parameters.
 */
enum { NOTED_PARAMETERS = 6 };
#define NOTED_AS(action, detail)                                                            \
	", noted AS (INSERT INTO audit (at, action, user_id, name, via, object, detail,"    \
	" address, request_id) SELECT (extract(epoch FROM now()) * 1000)::bigint, '" action \
	"', $2::bigint, $3::text, $4::text, 'feedback:' || id, " detail                     \
	", $5::text, $6::text FROM made WHERE $1::boolean)"
#define NOTED(action) NOTED_AS(action, "''")

/* Columns of an answer with a row; its mark, if it has one, is behind them. */
#define COLUMNS "id, message, created_at, updated_at, votes, status"
enum { MARK = 6 };

/* $7: the message. */
#define CREATE                                                                        \
	"WITH made AS (INSERT INTO feedback (message, created_at, updated_at, owner)" \
	" VALUES ($7::text, now(), now(), $2::bigint)"                                \
	" RETURNING " COLUMNS ")" NOTED("feedback.create")

/* $7: the key, $8: the message. */
#define ONCE                                                                                 \
	"WITH old AS (DELETE FROM feedback_keys WHERE key IN (SELECT key FROM feedback_keys" \
	" WHERE created_at < " KEPT " AND key <> $7 ORDER BY created_at LIMIT 8"             \
	" FOR UPDATE SKIP LOCKED)),"                                                         \
	" had AS (SELECT feedback_id, message, created_at FROM feedback_keys"                \
	" WHERE key = $7 AND created_at >= " KEPT "),"                                       \
	" made AS (INSERT INTO feedback (message, created_at, updated_at, owner)"            \
	" SELECT $8::text, now(), now(), $2::bigint WHERE NOT EXISTS (SELECT FROM had)"      \
	" RETURNING " COLUMNS "),"                                                           \
	" kept AS (INSERT INTO feedback_keys AS k (key, feedback_id, message, created_at)"   \
	" SELECT $7, id, message, created_at FROM made"                                      \
	" ON CONFLICT (key) DO UPDATE SET feedback_id ="                                     \
	" CASE WHEN k.created_at < " KEPT " THEN excluded.feedback_id END,"                  \
	" message = excluded.message, created_at = excluded.created_at)" NOTED("feedback.create")
#define ONCE_ANSWER                                     \
	" SELECT " COLUMNS ", true FROM made UNION ALL" \
	" SELECT feedback_id, message, created_at, created_at, 0, 'open', false FROM had"

/* What a create leaves to be done, of what it has made. `to`: the parameter with the address, or
 * null; `hooks`: 1 with webhooks; `trace`: what they go on with, or null. Statements are prepared:
 * a trace in a comment would make each of them another one, so the server is not told of it. */
#define NOW_MS "(extract(epoch FROM now()) * 1000)::bigint"
#define QUEUED(to, hooks, trace)                                                                  \
	", queued AS (INSERT INTO jobs (queue, kind, args, run_at, created_at)"                   \
	" SELECT '" QUEUE_NOTIFY "', '" KIND_EMAIL                                                \
	"', json_strip_nulls(json_build_object('feedback_id', id, 'to', " to "::text,"            \
	" 'traceparent', " trace "::text))::text, " NOW_MS ", " NOW_MS " FROM made WHERE " to     \
	"::text IS NOT NULL UNION ALL SELECT '" QUEUE_NOTIFY "', '" KIND_WEBHOOK                  \
	"', json_strip_nulls(json_build_object('feedback_id', made.id,"                           \
	" 'webhook_id', webhooks.id, 'traceparent', " trace "::text))::text, " NOW_MS ", " NOW_MS \
	" FROM made, webhooks WHERE enabled = 1 AND " hooks "::integer = 1)"

/*
 * A vote: $7 of the feedback, $8 of the voter. The row is locked first, so that it is still there
 * when the vote is, and read as it is then, whatever others have committed meanwhile; its count is
 * kept by a trigger, behind this statement's own view.
 */
#define LOCKED \
	"WITH one AS (SELECT " COLUMNS " FROM feedback WHERE id = $7::bigint FOR NO KEY UPDATE),"
#define VOTED(sign)                                                \
	" SELECT id, message, created_at, updated_at, votes " sign \
	" (SELECT count(*) FROM made), status, EXISTS (SELECT FROM made) FROM one"

/* $7 of the feedback, $8: the status. */
#define STATUS_SET                                                                         \
	LOCKED " made AS (UPDATE feedback AS f SET status = $8::text FROM one"             \
	       " WHERE f.id = one.id AND one.status <> $8::text RETURNING f.id)" NOTED_AS( \
	               "feedback.status", "$8::text")
#define STATUS_ANSWER                                                                  \
	" SELECT id, message, created_at, updated_at, votes, $8::text, EXISTS (SELECT" \
	" FROM made) FROM one"

static const struct db_pool_statement statements[STATEMENTS] = {
        [STORE_CREATE] = {"create", CREATE " SELECT " COLUMNS " FROM made"},
        /* A second row of another kind: there is one, but it is another's. */
        [STORE_UPDATE] = {"update",
                "WITH made AS (UPDATE feedback SET message = $8::text, updated_at = now()"
                " WHERE id = $7::bigint AND ($9::bigint = 0 OR owner = $9::bigint)"
                " RETURNING " COLUMNS
                ")" NOTED("feedback.update") " SELECT " COLUMNS ", true FROM "
                                             "made UNION ALL"
                                             " SELECT " COLUMNS ", false "
                                             "FROM feedback"
                                             " WHERE id = $7::bigint AND $9::bigint <> 0 AND NOT "
                                             "EXISTS (SELECT FROM made)"},
        [STORE_DELETE] = {"delete",
                "WITH made AS (DELETE FROM feedback WHERE id = $7::bigint"
                " AND ($8::bigint = 0 OR owner = $8::bigint) RETURNING id)" NOTED(
                        "feedback.delete") " SELECT id, true FROM made UNION ALL"
                                           " SELECT id, false FROM feedback"
                                           " WHERE id = $7::bigint AND $8::bigint <> 0 AND NOT "
                                           "EXISTS (SELECT FROM made)"},
        /* The total belongs to the same moment, and comes even when the list is empty. */
        [STORE_LIST] = {"list",
                "SELECT f.id, f.message, f.created_at, f.updated_at, t.total, t.stamp FROM"
                " (SELECT sum(total)::bigint AS total, sum(stamp)::bigint AS stamp"
                " FROM feedback_total) t LEFT JOIN"
                " (SELECT id, message, created_at, updated_at FROM feedback WHERE id < $1"
                " ORDER BY id DESC LIMIT $2) f ON true ORDER BY f.id DESC"},
        [LIST_V2] = {"list_v2",
                "SELECT f.id, f.message, f.created_at, f.updated_at, t.total, t.stamp, f.votes,"
                " f.status FROM"
                " (SELECT sum(total)::bigint AS total, sum(stamp)::bigint AS stamp"
                " FROM feedback_total) t LEFT JOIN"
                " (SELECT " COLUMNS " FROM feedback WHERE id < $1"
                " ORDER BY id DESC LIMIT $2) f ON true ORDER BY f.id DESC"},
        [STORE_GET] = {"get", "SELECT " COLUMNS " FROM feedback WHERE id = $1"},
        [STORE_VOTE] = {"vote",
                LOCKED " made AS (INSERT INTO feedback_votes (voter, feedback_id, created_at)"
                       " SELECT $8::bigint, id, " NOW_MS " FROM one ON CONFLICT DO NOTHING"
                       " RETURNING feedback_id AS id)" NOTED("feedback.vote") VOTED("+")},
        [VOTE_TAKE] = {"unvote", LOCKED
                " made AS (DELETE FROM feedback_votes AS v USING one WHERE v.voter = $8::bigint"
                " AND v.feedback_id = one.id RETURNING v.feedback_id AS id)" NOTED(
                        "feedback.unvote") VOTED("-")},
        [STORE_STATUS] = {"status", STATUS_SET STATUS_ANSWER},
        [STATUS_JOBS] = {"status_jobs", STATUS_SET
                ", queued AS (INSERT INTO jobs"
                " (queue, kind, args, run_at, created_at) SELECT '" QUEUE_NOTIFY "', '" KIND_WEBHOOK
                "', json_build_object('feedback_id', made.id, 'webhook_id',"
                " webhooks.id, 'event', '" EVENT_STATUS "', 'status', $8::text)::text, " NOW_MS
                ", " NOW_MS
                " FROM made, webhooks WHERE enabled = 1 AND $9::integer = 1)" STATUS_ANSWER},
        [STORE_TOTAL] = {"total", "SELECT sum(total)::bigint FROM feedback_total"},
        [STORE_STAMP] = {"stamp",
                "SELECT sum(total)::bigint, sum(stamp)::bigint FROM feedback_total"},
        /*
         * Once for a key: what the key has made, or a new row and its key. Of two at once the
         * second finds the first's key in its way; unless that is old, feedback_id becomes null,
         * which is refused, its row goes with it, and asked again it finds what the first made.
         * Old keys leave a few at a time.
         */
        [CREATE_ONCE] = {"create_once", ONCE ONCE_ANSWER},
        /* The same with jobs, in one statement, so that it stays one way there and back. */
        [CREATE_JOBS] = {"create_jobs",
                CREATE QUEUED("$8", "$9", "$10") " SELECT " COLUMNS " FROM made"},
        [CREATE_ONCE_JOBS] = {"create_once_jobs", ONCE QUEUED("$9", "$10", "$11") ONCE_ANSWER},
};

struct store_pg {
	struct db_pool *pool;
	void (*done)(void *arg, struct store_op *op);
	void *arg;
	struct hg_buf list;
	bool replicas;
	uint32_t lag_max_ms;
	bool jobs, webhooks;      /* creates leave jobs */
	const char *notify_email; /* NULL: no mail */
};

/* An operation on its way; the texts that its query points to. */
struct flight {
	struct db_query q;
	struct store_pg *store;
	struct store_op *op;
	int tries;
	char number[3][24];
	char key[STORE_KEY_MAX + 1];
	char message[MESSAGE_BYTES_MAX + 1];
};

/* "2026-11-21 07:12:23.109149+00" → "2026-11-21T07:12:23.109149Z"; zeros at the end come back. */
static size_t time_of(struct hg_str t, char to[TEXT_TIME_MAX])
{
	enum { SECONDS = 19, FRACTION = SECONDS + 1, END = FRACTION + 6 };
	if (t.n < SECONDS + 3 || t.n > END + 3 || t.p[10] != ' ' || t.p[t.n - 3] != '+') return 0;
	memcpy(to, t.p, SECONDS);
	to[10] = 'T';
	memcpy(to + SECONDS, ".000000Z", END + 1 - SECONDS);
	if (t.n - 3 > FRACTION) memcpy(to + FRACTION, t.p + FRACTION, t.n - 3 - FRACTION);
	return END + 1;
}

static void take_time(const struct db_query *q, unsigned column, char *to)
{
	to[time_of(db_result_str(q, 0, column), to)] = 0;
}

static void take_row(const struct db_query *q, struct row *row)
{
	struct hg_str m = db_result_str(q, 0, 1);
	row->id = db_result_i64(q, 0, 0);
	row->message.n = HG_MIN(m.n, sizeof row->message.bytes);
	memcpy(row->message.bytes, m.p, row->message.n);
	take_time(q, 2, row->created_at);
	take_time(q, 3, row->updated_at);
	row->votes = db_result_i64(q, 0, 4);
	row->status = status_of(db_result_str(q, 0, 5));
}

static void json_time(const struct db_query *q, unsigned row, unsigned column, struct hg_buf *to)
{
	char text[TEXT_TIME_MAX];
	size_t n = time_of(db_result_str(q, row, column), text);
	hg_buf_str(to, (struct hg_str){text, n});
}

static void take_list(struct store_pg *s, const struct db_query *q, struct store_op *op)
{
	unsigned rows = db_result_rows(q), n = HG_MIN(rows, op->limit);
	struct hg_buf *to = &s->list;
	hg_buf_reset(to);
	op->page.total = db_result_i64(q, 0, 4);
	op->page.stamp = db_result_i64(q, 0, 5);
	if (rows == 1 && db_result_null(q, 0, 0)) rows = n = 0; /* only the total */
	hg_buf_byte(to, '[');
	for (unsigned i = 0; i < n; i++) {
		hg_buf_str(to, i ? HG_STR(",{\"id\":") : HG_STR("{\"id\":"));
		hg_buf_str(to, db_result_str(q, i, 0));
		hg_buf_str(to, HG_STR(",\"message\":"));
		json_quote(to, db_result_str(q, i, 1));
		hg_buf_str(to, HG_STR(",\"created_at\":\""));
		json_time(q, i, 2, to);
		hg_buf_str(to, HG_STR("\",\"updated_at\":\""));
		json_time(q, i, 3, to);
		hg_buf_byte(to, '"');
		if (op->form == ROWS_V2)
			rows_end_json(op->form, db_result_i64(q, i, 6),
			        status_of(db_result_str(q, i, 7)), to);
		else
			rows_end_json(op->form, 0, STATUS_OPEN, to);
	}
	hg_buf_str(to, HG_STR("]\n"));
	op->page.next = rows > n ? db_result_i64(q, n - 1, 0) : 0;
	op->json = hg_buf_view(to);
	if (to->failed) op->rc = HG_E_NOMEM;
}

static bool is_true(const struct db_query *q, unsigned column)
{
	return hg_str_eq(db_result_str(q, 0, column), HG_STR("t"));
}

static void take_once(const struct db_query *q, struct store_op *op)
{
	struct message asked = op->row.message;
	bool made = is_true(q, MARK);
	take_row(q, &op->row);
	bool same = asked.n == op->row.message.n &&
	            memcmp(asked.bytes, op->row.message.bytes, asked.n) == 0;
	op->once = made ? ROWS_FIRST : same ? ROWS_AGAIN : ROWS_OTHER;
}

static void take(struct store_pg *s, const struct db_query *q, struct store_op *op)
{
	bool any = db_result_rows(q) > 0;
	op->rc = any ? HG_OK : HG_E_NOT_FOUND;
	op->position = q->lsn;
	if (!any) return;
	unsigned mark = op->kind == STORE_UPDATE ? MARK : 1;
	if ((op->kind == STORE_UPDATE || op->kind == STORE_DELETE) && !is_true(q, mark)) {
		op->rc = HG_E_DENIED;
		return;
	}
	switch (op->kind) {
	case STORE_CREATE:
		if (op->key_n)
			take_once(q, op);
		else
			take_row(q, &op->row);
		break;
	case STORE_VOTE:
	case STORE_STATUS: op->same = !is_true(q, MARK); /* fall through */
	case STORE_UPDATE:
	case STORE_GET: take_row(q, &op->row); break;
	case STORE_LIST: take_list(s, q, op); break;
	case STORE_STAMP:
		op->page.stamp = db_result_i64(q, 0, 1);
		op->page.total = db_result_i64(q, 0, 0);
		break;
	case STORE_TOTAL: op->page.total = db_result_i64(q, 0, 0); break;
	case STORE_DELETE: break;
	}
}

/* True: asked again, of the primary, or now that another's key is there. */
static bool ask_again(struct flight *f)
{
	const struct db_query *q = &f->q;
	bool raced = q->rc == HG_E_DB_CONSTRAINT && f->op->key_n && f->tries < KEY_TRIES;
	/* What a replica does not have may have been made a moment ago. */
	bool missed = q->rc == HG_OK && q->by_replica && f->op->kind == STORE_GET &&
	              db_result_rows(q) == 0;
	if (!raced && !missed) return false;
	f->tries++;
	f->q.primary_only = true;
	return db_pool_query(f->store->pool, &f->q, NULL) == HG_OK;
}

static void on_done(struct db_query *q)
{
	struct flight *f = HG_CONTAINER(q, struct flight, q);
	struct store_pg *s = f->store;
	struct store_op *op = f->op;
	if (ask_again(f)) return;
	op->ended_ns = clock_wall_ns();
	if (q->rc == HG_OK) {
		take(s, q, op);
	} else {
		op->rc = q->rc;
		snprintf(op->why, sizeof op->why, "%s", q->why);
	}
	s->done(s->arg, op);
	free(f);
}

/* The next parameter, a number; `n`: whose room it gets. */
static void add_number(struct flight *f, unsigned n, int64_t v)
{
	snprintf(f->number[n], sizeof f->number[n], "%" PRId64, v);
	f->q.param[f->q.param_count++] = f->number[n];
}

static void add_noted(struct flight *f)
{
	const struct audit_from *from = &f->op->from;
	struct db_query *q = &f->q;
	q->param[q->param_count++] = from->on ? "t" : "f";
	add_number(f, 0, f->op->from.user);
	if (!from->user) q->param[q->param_count - 1] = NULL;
	q->param[q->param_count++] = from->name;
	q->param[q->param_count++] = audit_via(from->by);
	q->param[q->param_count++] = from->address;
	q->param[q->param_count++] = from->request_id;
	HG_ASSERT(q->param_count == NOTED_PARAMETERS);
}

static void set_create(struct flight *f)
{
	const struct store_op *op = f->op;
	const struct store_pg *s = f->store;
	struct db_query *q = &f->q;
	q->statement = s->jobs ? CREATE_JOBS : STORE_CREATE;
	if (op->key_n) {
		memcpy(f->key, op->key, op->key_n);
		f->key[op->key_n] = 0;
		q->statement = s->jobs ? CREATE_ONCE_JOBS : CREATE_ONCE;
		q->param[q->param_count++] = f->key;
		q->repeatable = true;
	}
	q->param[q->param_count++] = f->message;
	if (!s->jobs) return;
	q->param[q->param_count++] = s->notify_email;
	q->param[q->param_count++] = s->webhooks ? "1" : "0";
	q->param[q->param_count++] = op->trace_field[0] ? op->trace_field : NULL;
}

static void set_parameters(struct flight *f)
{
	struct store_op *op = f->op;
	struct db_query *q = &f->q;
	const struct message *m = &op->row.message;
	q->statement = op->kind;
	q->write = op->kind <= STORE_DELETE;
	q->after_lsn = op->seen;
	if (op->kind == STORE_CREATE || op->kind == STORE_UPDATE) {
		memcpy(f->message, m->bytes, m->n);
		f->message[m->n] = 0;
	}
	if (q->write) add_noted(f);
	switch (op->kind) {
	case STORE_CREATE: set_create(f); break;
	case STORE_UPDATE:
		add_number(f, 1, op->row.id);
		q->param[q->param_count++] = f->message;
		add_number(f, 2, op->only_owner);
		break;
	case STORE_DELETE:
		add_number(f, 1, op->row.id);
		add_number(f, 2, op->only_owner);
		break;
	case STORE_VOTE:
		if (!op->given) q->statement = VOTE_TAKE;
		q->repeatable = true; /* once or twice is the same */
		add_number(f, 1, op->row.id);
		add_number(f, 2, op->voter);
		break;
	case STORE_STATUS:
		if (f->store->jobs) q->statement = STATUS_JOBS;
		add_number(f, 1, op->row.id);
		q->param[q->param_count++] = status_name(op->row.status);
		if (f->store->jobs) q->param[q->param_count++] = f->store->webhooks ? "1" : "0";
		break;
	case STORE_GET: add_number(f, 0, op->row.id); break;
	case STORE_LIST:
		if (op->form == ROWS_V2) q->statement = LIST_V2;
		add_number(f, 0, op->before ? op->before : INT64_MAX);
		add_number(f, 1, (int64_t)op->limit + 1); /* one more tells of a next page */
		break;
	case STORE_TOTAL: q->within_ms = STORE_HEALTH_MS; break;
	case STORE_STAMP: q->primary_only = true; break;
	}
}

enum hg_rc store_pg_queue(struct store_pg *s, struct store_op *op, struct hg_err *err)
{
	struct flight *f = calloc(1, sizeof *f);
	if (!f) return hg_err_set(err, HG_E_NOMEM, "not enough memory for a query");
	f->store = s;
	f->op = op;
	f->q.done = on_done;
	op->begun_ns = clock_wall_ns();
	set_parameters(f);
	enum hg_rc rc = db_pool_query(s->pool, &f->q, err);
	if (rc < 0) free(f);
	return rc;
}

/* Of several processes that start, one does it; a server that is still starting is waited for. */
static enum hg_rc migrate(const struct config *c, struct hg_err *err)
{
	struct db_options o = {.url = c->database};
	uint64_t until_ms = clock_mono_ms() + START_MS;
	for (;;) {
		struct db *db = NULL;
		enum hg_rc rc = db_open(&o, &db, err);
		bool away = rc == HG_E_DB_OPEN || rc == HG_E_AGAIN;
		if (rc == HG_OK)
			rc = c->migrate ? migrations_apply(db, NULL, err)
			                : migrations_check(db, err);
		db_close(db);
		if (rc == HG_OK || !away || clock_mono_ms() >= until_ms) return rc;
		nanosleep(&(struct timespec){.tv_nsec = START_PAUSE * 1000000l}, NULL);
	}
}

enum hg_rc store_pg_open(struct loop *l, const struct store_options *o, struct store_pg **ret_store,
        struct hg_err *err)
{
	const struct config *c = o->config;
	const char *replica[DB_POOL_REPLICAS_MAX];
	struct store_pg *s;
	enum hg_rc rc = migrate(c, err);
	if (rc < 0) return rc;
	s = calloc(1, sizeof *s);
	if (!s) return hg_err_set(err, HG_E_NOMEM, "not enough memory to open the database");
	*s = (struct store_pg){.done = o->done,
	        .arg = o->arg,
	        .replicas = c->replica_count > 0,
	        .lag_max_ms = c->lag_max_ms,
	        .jobs = c->webhooks || c->notify_email[0],
	        .webhooks = c->webhooks,
	        .notify_email = c->notify_email[0] ? c->notify_email : NULL};
	hg_buf_init(&s->list, LIST_MAX);
	for (size_t i = 0; i < c->replica_count; i++)
		replica[i] = c->replica[i];
	struct db_pool_options with = {.name = "feedback-app",
	        .url = c->database,
	        .replica = replica,
	        .replica_count = c->replica_count,
	        .connections_max = c->pool_size,
	        .queue_max = STORE_QUEUE_MAX,
	        .query_ms = c->query_ms,
	        .connect_ms = c->connect_ms,
	        .lag_max_ms = c->lag_max_ms,
	        .statement = statements,
	        .statement_count = s->jobs ? STATEMENTS : WITHOUT_JOBS,
	        .note = o->note,
	        .arg = o->arg};
	rc = db_pool_new(l, &with, &s->pool, err);
	if (rc < 0)
		store_pg_close(s);
	else
		*ret_store = s;
	return rc;
}

void store_pg_close(struct store_pg *s)
{
	if (!s) return;
	db_pool_free(s->pool);
	hg_buf_free(&s->list);
	free(s);
}

uint32_t store_pg_position_s(const struct store_pg *s)
{
	return s->replicas ? POSITION_S + s->lag_max_ms / 1000 : 0;
}

/* A family of metrics: one line for each server. */
static void family(struct store_pg *s, const char *name, const char *type, struct hg_buf *to,
        double (*value)(const struct db_pool_server *v))
{
	hg_buf_fmt(to, "# TYPE %s %s\n", name, type);
	for (size_t i = 0; i < db_pool_servers(s->pool); i++) {
		struct db_pool_server v;
		db_pool_server(s->pool, i, &v);
		double x = value(&v);
		if (x >= 0) hg_buf_fmt(to, "%s{server=\"%s\"} %.10g\n", name, v.name, x);
	}
}

static double waiting(const struct db_pool_server *v)
{
	return v->waiting;
}

static double flying(const struct db_pool_server *v)
{
	return v->flying;
}

static double opened(const struct db_pool_server *v)
{
	return (double)v->opened;
}

static double lost(const struct db_pool_server *v)
{
	return (double)v->lost;
}

static double refused(const struct db_pool_server *v)
{
	return (double)v->refused;
}

static double timeouts(const struct db_pool_server *v)
{
	return (double)v->timeouts;
}

static double repeated(const struct db_pool_server *v)
{
	return (double)v->repeated;
}

static double usable(const struct db_pool_server *v)
{
	return v->usable;
}

static double lag(const struct db_pool_server *v)
{
	return v->replica && v->lag_ms >= 0 ? (double)v->lag_ms / 1e3 : -1;
}

static void connections_text(const struct db_pool_server *v, struct hg_buf *to)
{
	static const char *const state[] = {"idle", "busy", "connecting"};
	uint32_t n[] = {v->idle, v->busy, v->connecting};
	for (size_t i = 0; i < HG_COUNT(n); i++)
		hg_buf_fmt(to, "database_connections{server=\"%s\",state=\"%s\"} %u\n", v->name,
		        state[i], n[i]);
}

static void seconds_text(const struct db_pool_server *v, struct hg_buf *to)
{
	static const char *const name = "database_query_seconds";
	uint64_t n = 0;
	for (size_t b = 0; b <= DB_POOL_BUCKETS; b++) {
		char le[24] = "+Inf";
		n += v->bucket[b];
		if (b < DB_POOL_BUCKETS)
			snprintf(le, sizeof le, "%g", (double)db_pool_bucket_ns[b] / 1e9);
		hg_buf_fmt(to, "%s_bucket{server=\"%s\",le=\"%s\"} %" PRIu64 "\n", name, v->name,
		        le, n);
	}
	hg_buf_fmt(to, "%s_sum{server=\"%s\"} %.6f\n%s_count{server=\"%s\"} %" PRIu64 "\n", name,
	        v->name, (double)v->sum_ns / 1e9, name, v->name, n);
}

void store_pg_metrics(struct store_pg *s, struct hg_buf *to)
{
	struct db_pool_server v;
	hg_buf_cstr(to, "# TYPE database_connections gauge\n");
	for (size_t i = 0; i < db_pool_servers(s->pool); i++) {
		db_pool_server(s->pool, i, &v);
		connections_text(&v, to);
	}
	family(s, "database_queries_waiting", "gauge", to, waiting);
	family(s, "database_queries_in_flight", "gauge", to, flying);
	family(s, "database_connections_opened_total", "counter", to, opened);
	family(s, "database_connections_lost_total", "counter", to, lost);
	family(s, "database_connections_refused_total", "counter", to, refused);
	family(s, "database_timeouts_total", "counter", to, timeouts);
	family(s, "database_queries_repeated_total", "counter", to, repeated);
	family(s, "database_usable", "gauge", to, usable);
	family(s, "database_replica_lag_seconds", "gauge", to, lag);
	hg_buf_cstr(to, "# TYPE database_query_seconds histogram\n");
	for (size_t i = 0; i < db_pool_servers(s->pool); i++) {
		db_pool_server(s->pool, i, &v);
		seconds_text(&v, to);
	}
}
