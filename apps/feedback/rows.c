#include "apps/feedback/rows_priv.h"

#include <stdlib.h>

#include "wire/json.h"

#include "apps/feedback/jobs_priv.h"
#include "apps/feedback/migrations_priv.h"

#define BUSY_MS      5000u
#define KEY_KEEP_NS  (24u * 3600u * 1000000000ull)
#define KEYS_A_WRITE 8 /* old ones that a new one takes with it: more than come in */

enum statement {
	GET,
	TOTAL,
	LIST,
	LIST_V2,
	CREATE,
	UPDATE,
	DELETE,
	KEY_GET,
	KEY_PUT,
	KEY_EXPIRE,
	MAIL_PUT,
	WEBHOOKS_PUT,
	AUDIT,
	VOTE_GIVE,
	VOTE_TAKE,
	STATUS,
	STATUS_TELL,
	STATEMENTS
};

#define COLUMNS "id, message, created_at, updated_at, votes, status"

static const char *const sql_of[STATEMENTS] = {
        [GET] = "SELECT " COLUMNS " FROM feedback WHERE id = $1",
        [TOTAL] = "SELECT total, stamp FROM feedback_total",
        [LIST] = "SELECT id, message, created_at, updated_at FROM feedback WHERE id < $1"
                 " ORDER BY id DESC LIMIT $2",
        [LIST_V2] = "SELECT " COLUMNS " FROM feedback WHERE id < $1 ORDER BY id DESC LIMIT $2",
        [CREATE] = "INSERT INTO feedback (message, created_at, updated_at, owner)"
                   " VALUES ($1, $2, $2, $3)",
        [UPDATE] = "UPDATE feedback SET message = $2, updated_at = $3 WHERE id = $1"
                   " AND ($4 = 0 OR owner = $4)"
                   " RETURNING " COLUMNS,
        [DELETE] = "DELETE FROM feedback WHERE id = $1 AND ($2 = 0 OR owner = $2)",
        [KEY_GET] = "SELECT feedback_id, message, created_at, created_at, 0, 'open'"
                    " FROM feedback_keys WHERE key = $1",
        [KEY_PUT] = "INSERT INTO feedback_keys (key, feedback_id, message, created_at)"
                    " VALUES ($1, $2, $3, $4)",
        [AUDIT] = "INSERT INTO audit (at, action, user_id, name, via, object, detail, address,"
                  " request_id) VALUES ($1, $2, $3, $4, $5, $6, $9, $7, $8)",
        [KEY_EXPIRE] = "DELETE FROM feedback_keys WHERE key IN (SELECT key FROM feedback_keys"
                       " WHERE created_at < $1 ORDER BY created_at LIMIT $2)",
        [MAIL_PUT] = "INSERT INTO jobs (queue, kind, args, run_at, created_at)"
                     " VALUES ('" QUEUE_NOTIFY "', '" KIND_EMAIL "', $1, $2, $2)",
        [WEBHOOKS_PUT] = "INSERT INTO jobs (queue, kind, args, run_at, created_at)"
                         " SELECT '" QUEUE_NOTIFY "', '" KIND_WEBHOOK "', printf("
                         "'{\"feedback_id\":%d,\"webhook_id\":%d%s}', $1, id, $3), $2, $2"
                         " FROM webhooks WHERE enabled = 1",
        [VOTE_GIVE] = "INSERT INTO feedback_votes (voter, feedback_id, created_at)"
                      " SELECT $2, id, $3 FROM feedback WHERE id = $1 ON CONFLICT DO NOTHING",
        [VOTE_TAKE] = "DELETE FROM feedback_votes WHERE voter = $2 AND feedback_id = $1",
        [STATUS] = "UPDATE feedback SET status = $2 WHERE id = $1 AND status <> $2"
                   " RETURNING " COLUMNS,
        [STATUS_TELL] = "INSERT INTO jobs (queue, kind, args, run_at, created_at)"
                        " SELECT '" QUEUE_NOTIFY "', '" KIND_WEBHOOK "', printf("
                        "'{\"feedback_id\":%d,\"webhook_id\":%d,\"event\":\"" EVENT_STATUS
                        "\",\"status\":\"%s\"}', $1, id, $3), $2, $2"
                        " FROM webhooks WHERE enabled = 1",
};

struct rows {
	struct db *db;
	struct db_stmt *stmt[STATEMENTS];
	struct hg_buf mail_to; /* ,"to":"…"} of the mail's arguments; empty: no mail */
	bool webhooks;
	struct hg_str trace; /* of the next creates */
};

enum hg_rc rows_open(const struct rows_options *o, struct rows **ret_rows, struct hg_err *err)
{
	struct db_options with = {.url = o->url, .durability = o->durability, .busy_ms = BUSY_MS};
	struct rows *r = calloc(1, sizeof *r);
	enum hg_rc rc = HG_OK;
	if (!r) return hg_err_set(err, HG_E_NOMEM, "not enough memory to open the database");
	r->webhooks = o->webhooks;
	hg_buf_init(&r->mail_to, 1024);
	if (o->notify_email && o->notify_email[0]) {
		hg_buf_cstr(&r->mail_to, ",\"to\":");
		json_quote(&r->mail_to, hg_str(o->notify_email));
		hg_buf_byte(&r->mail_to, '}');
	}
	rc = db_open(&with, &r->db, err);
	if (rc < 0) goto out;
	rc = o->as_is ? migrations_check(r->db, err) : migrations_apply(r->db, NULL, err);
	if (rc < 0) goto out;
	for (size_t i = 0; i < STATEMENTS; i++) {
		rc = db_prepare(r->db, sql_of[i], &r->stmt[i], err);
		if (rc < 0) goto out;
	}
	*ret_rows = r;
	r = NULL;
out:
	rows_close(r);
	return rc;
}

void rows_close(struct rows *r)
{
	if (!r) return;
	for (size_t i = 0; i < STATEMENTS; i++)
		db_stmt_free(r->stmt[i]);
	db_close(r->db);
	hg_buf_free(&r->mail_to);
	free(r);
}

/* Rows of the first app have no zone; their times are UTC. */
static struct hg_str zone_of(struct hg_str t)
{
	bool has = t.n && (t.p[t.n - 1] == 'Z' ||
	                          (t.n >= 6 && (t.p[t.n - 6] == '+' || t.p[t.n - 6] == '-') &&
	                                  t.p[t.n - 3] == ':'));
	return has ? HG_STR("") : HG_STR("Z");
}

static void take_time(struct hg_str t, char *to, size_t cap)
{
	struct hg_out o = hg_out_over(to, cap - 1);
	hg_out_str(&o, t);
	hg_out_str(&o, zone_of(t));
	to[hg_out_failed(&o) ? 0 : o.n] = 0;
}

static void take_row(struct db_stmt *s, struct row *row)
{
	struct hg_str m = db_column_str(s, 1);
	row->id = db_column_i64(s, 0);
	row->message.n = HG_MIN(m.n, sizeof row->message.bytes);
	memcpy(row->message.bytes, m.p, row->message.n);
	take_time(db_column_str(s, 2), row->created_at, sizeof row->created_at);
	take_time(db_column_str(s, 3), row->updated_at, sizeof row->updated_at);
	row->votes = db_column_i64(s, 4);
	row->status = status_of(db_column_str(s, 5));
}

/* For statements that give one row or none. */
static enum hg_rc run_for_row(struct db_stmt *s, struct row *ret_row, struct hg_err *err)
{
	bool more = false;
	enum hg_rc rc = db_step(s, &more, err);
	if (rc < 0) return rc;
	if (!more) return HG_E_NOT_FOUND;
	take_row(s, ret_row);
	/* To the end: only then is an INSERT or UPDATE … RETURNING done. */
	return db_run(s, err);
}

enum hg_rc rows_get(struct rows *r, int64_t id, struct row *ret_row, struct hg_err *err)
{
	db_bind_i64(r->stmt[GET], 1, id);
	return run_for_row(r->stmt[GET], ret_row, err);
}

enum hg_rc rows_stamp(struct rows *r, int64_t *ret_total, int64_t *ret_stamp, struct hg_err *err)
{
	bool more = false;
	enum hg_rc rc = db_step(r->stmt[TOTAL], &more, err);
	if (rc < 0) return rc;
	if (!more) return hg_err_set(err, HG_E_DB_QUERY, "the table feedback_total is empty");
	*ret_total = db_column_i64(r->stmt[TOTAL], 0);
	*ret_stamp = db_column_i64(r->stmt[TOTAL], 1);
	db_reset(r->stmt[TOTAL]);
	return HG_OK;
}

enum hg_rc rows_total(struct rows *r, int64_t *ret_total, struct hg_err *err)
{
	int64_t stamp;
	return rows_stamp(r, ret_total, &stamp, err);
}

void rows_end_json(enum rows_form form, int64_t votes, enum status status, struct hg_buf *to)
{
	if (form == ROWS_V2) {
		hg_buf_str(to, HG_STR(",\"votes\":"));
		hg_buf_u64(to, (uint64_t)votes);
		hg_buf_str(to, HG_STR(",\"status\":\""));
		hg_buf_cstr(to, status_name(status));
		hg_buf_byte(to, '"');
	}
	hg_buf_byte(to, '}');
}

static void json_columns(struct db_stmt *s, enum rows_form form, struct hg_buf *to)
{
	struct hg_str created = db_column_str(s, 2), updated;
	hg_buf_str(to, HG_STR("{\"id\":"));
	hg_buf_u64(to, (uint64_t)db_column_i64(s, 0));
	hg_buf_str(to, HG_STR(",\"message\":"));
	json_quote(to, db_column_str(s, 1));
	hg_buf_str(to, HG_STR(",\"created_at\":\""));
	hg_buf_str(to, created);
	hg_buf_str(to, zone_of(created));
	hg_buf_str(to, HG_STR("\",\"updated_at\":\""));
	updated = db_column_str(s, 3);
	hg_buf_str(to, updated);
	hg_buf_str(to, zone_of(updated));
	hg_buf_byte(to, '"');
	if (form == ROWS_V2)
		rows_end_json(form, db_column_i64(s, 4), status_of(db_column_str(s, 5)), to);
	else
		rows_end_json(form, 0, STATUS_OPEN, to);
}

enum hg_rc rows_list(struct rows *r, enum rows_form form, int64_t before, uint32_t limit,
        struct hg_buf *to, struct rows_page *ret_page, struct hg_err *err)
{
	struct db_stmt *s = r->stmt[form == ROWS_V2 ? LIST_V2 : LIST];
	struct rows_page page = {0};
	int64_t last = 0;
	uint32_t n = 0;
	bool more = false;
	enum hg_rc rc;
	HG_ASSERT(limit >= 1 && limit <= ROWS_LIMIT_MAX);
	db_bind_i64(s, 1, before ? before : INT64_MAX);
	db_bind_i64(s, 2, (int64_t)limit + 1); /* one more tells whether there is a next page */
	rc = db_step(s, &more, err);
	/* Inside the same read transaction: one lock for both, and they belong together. */
	if (rc == HG_OK) rc = rows_stamp(r, &page.total, &page.stamp, err);
	hg_buf_byte(to, '[');
	while (rc == HG_OK && more && n < limit) {
		if (n++) hg_buf_byte(to, ',');
		json_columns(s, form, to);
		last = db_column_i64(s, 0);
		rc = db_step(s, &more, err);
	}
	if (more) {
		page.next = last;
		db_reset(s);
	}
	hg_buf_str(to, HG_STR("]\n"));
	if (rc == HG_OK && to->failed)
		rc = hg_err_set(err, HG_E_NOMEM, "not enough memory for the list");
	if (rc == HG_OK) *ret_page = page;
	return rc;
}

enum hg_rc rows_begin(struct rows *r, struct hg_err *err)
{
	return db_begin(r->db, err);
}

enum hg_rc rows_commit(struct rows *r, struct hg_err *err)
{
	return db_commit(r->db, err);
}

bool rows_in_transaction(const struct rows *r)
{
	return db_in_transaction(r->db);
}

void rows_trace(struct rows *r, struct hg_str traceparent)
{
	r->trace = traceparent;
}

static enum hg_rc put_jobs(struct rows *r, int64_t id, uint64_t wall_ns, struct hg_err *err)
{
	int64_t now_ms = (int64_t)(wall_ns / 1000000);
	enum hg_rc rc = HG_OK;
	char trace[80];
	struct hg_out t = hg_out_over(trace, sizeof trace);
	if (r->trace.n) hg_out_fmt(&t, ",\"traceparent\":\"%.*s\"", HG_STR_ARG(r->trace));
	if (hg_out_failed(&t)) t.n = 0;
	if (r->mail_to.n) {
		char args[1200];
		struct hg_out o = hg_out_over(args, sizeof args);
		hg_out_str(&o, HG_STR("{\"feedback_id\":"));
		hg_out_u64(&o, (uint64_t)id);
		hg_out_str(&o, (struct hg_str){trace, t.n});
		hg_out_str(&o, hg_buf_view(&r->mail_to));
		db_bind_str(r->stmt[MAIL_PUT], 1, (struct hg_str){args, o.n});
		db_bind_i64(r->stmt[MAIL_PUT], 2, now_ms);
		rc = db_run(r->stmt[MAIL_PUT], err);
	}
	if (rc == HG_OK && r->webhooks) {
		db_bind_i64(r->stmt[WEBHOOKS_PUT], 1, id);
		db_bind_i64(r->stmt[WEBHOOKS_PUT], 2, now_ms);
		db_bind_str(r->stmt[WEBHOOKS_PUT], 3, (struct hg_str){trace, t.n});
		rc = db_run(r->stmt[WEBHOOKS_PUT], err);
	}
	/* The row must not stay without its jobs. */
	if (rc < 0 && db_in_transaction(r->db)) db_rollback(r->db);
	return rc;
}

static void bind_id(struct db_stmt *s, unsigned n, int64_t id)
{
	if (id)
		db_bind_i64(s, n, id);
	else
		db_bind_null(s, n);
}

enum hg_rc rows_create(struct rows *r, const struct message *m, int64_t owner, uint64_t wall_ns,
        struct row *ret_row, struct hg_err *err)
{
	char now[TEXT_TIME_MAX];
	size_t n = text_time_iso(wall_ns, now);
	bind_id(r->stmt[CREATE], 3, owner);
	db_bind_str(r->stmt[CREATE], 1, (struct hg_str){m->bytes, m->n});
	db_bind_str(r->stmt[CREATE], 2, (struct hg_str){now, n});
	enum hg_rc rc = db_run(r->stmt[CREATE], err);
	if (rc < 0) return rc;
	/* RETURNING would give the same, by way of a table of its own. */
	ret_row->id = db_last_id(r->db);
	ret_row->message.n = m->n;
	memmove(ret_row->message.bytes, m->bytes, m->n);
	take_time((struct hg_str){now, n}, ret_row->created_at, sizeof ret_row->created_at);
	take_time((struct hg_str){now, n}, ret_row->updated_at, sizeof ret_row->updated_at);
	ret_row->votes = 0;
	ret_row->status = STATUS_OPEN;
	if (!r->mail_to.n && !r->webhooks) return HG_OK;
	return put_jobs(r, ret_row->id, wall_ns, err);
}

static enum hg_rc key_expire(struct rows *r, uint64_t wall_ns, struct hg_err *err)
{
	char before[TEXT_TIME_MAX];
	size_t n = text_time_iso(wall_ns > KEY_KEEP_NS ? wall_ns - KEY_KEEP_NS : 0, before);
	db_bind_str(r->stmt[KEY_EXPIRE], 1, (struct hg_str){before, n});
	db_bind_i64(r->stmt[KEY_EXPIRE], 2, KEYS_A_WRITE);
	return db_run(r->stmt[KEY_EXPIRE], err);
}

static enum hg_rc key_put(
        struct rows *r, struct hg_str key, const struct row *row, struct hg_err *err)
{
	struct db_stmt *s = r->stmt[KEY_PUT];
	db_bind_str(s, 1, key);
	db_bind_i64(s, 2, row->id);
	db_bind_str(s, 3, (struct hg_str){row->message.bytes, row->message.n});
	db_bind_str(s, 4, hg_str(row->created_at));
	return db_run(s, err);
}

enum hg_rc rows_create_once(struct rows *r, struct hg_str key, const struct message *m,
        int64_t owner, uint64_t wall_ns, struct row *ret_row, enum rows_once *ret_once,
        struct hg_err *err)
{
	enum hg_rc rc = key_expire(r, wall_ns, err);
	if (rc < 0) return rc;
	db_bind_str(r->stmt[KEY_GET], 1, key);
	rc = run_for_row(r->stmt[KEY_GET], ret_row, err);
	if (rc == HG_OK) {
		const struct message *had = &ret_row->message;
		bool same = had->n == m->n && memcmp(had->bytes, m->bytes, m->n) == 0;
		*ret_once = same ? ROWS_AGAIN : ROWS_OTHER;
		return HG_OK;
	}
	if (rc != HG_E_NOT_FOUND) return rc;
	*ret_once = ROWS_FIRST;
	rc = rows_create(r, m, owner, wall_ns, ret_row, err);
	if (rc < 0) return rc;
	rc = key_put(r, key, ret_row, err);
	/* The row must not stay without its key. */
	if (rc < 0 && db_in_transaction(r->db)) db_rollback(r->db);
	return rc;
}

/* Nothing was changed: is there no such row, or is it another's? */
static enum hg_rc why_not(struct rows *r, int64_t id, int64_t only, struct hg_err *err)
{
	struct row row;
	enum hg_rc rc = only ? rows_get(r, id, &row, err) : HG_E_NOT_FOUND;
	return rc == HG_OK ? HG_E_DENIED : rc;
}

enum hg_rc rows_update(struct rows *r, int64_t id, int64_t only, const struct message *m,
        uint64_t wall_ns, struct row *ret_row, struct hg_err *err)
{
	char now[TEXT_TIME_MAX];
	size_t n = text_time_iso(wall_ns, now);
	db_bind_i64(r->stmt[UPDATE], 1, id);
	db_bind_str(r->stmt[UPDATE], 2, (struct hg_str){m->bytes, m->n});
	db_bind_str(r->stmt[UPDATE], 3, (struct hg_str){now, n});
	db_bind_i64(r->stmt[UPDATE], 4, only);
	enum hg_rc rc = run_for_row(r->stmt[UPDATE], ret_row, err);
	return rc == HG_E_NOT_FOUND ? why_not(r, id, only, err) : rc;
}

enum hg_rc rows_delete(struct rows *r, int64_t id, int64_t only, struct hg_err *err)
{
	enum hg_rc rc;
	db_bind_i64(r->stmt[DELETE], 1, id);
	db_bind_i64(r->stmt[DELETE], 2, only);
	rc = db_run(r->stmt[DELETE], err);
	if (rc < 0) return rc;
	return db_changes(r->db) ? HG_OK : why_not(r, id, only, err);
}

enum hg_rc rows_vote(struct rows *r, int64_t id, int64_t voter, bool given, uint64_t wall_ns,
        struct row *ret_row, bool *ret_changed, struct hg_err *err)
{
	struct db_stmt *s = r->stmt[given ? VOTE_GIVE : VOTE_TAKE];
	db_bind_i64(s, 1, id);
	db_bind_i64(s, 2, voter);
	if (given) db_bind_i64(s, 3, (int64_t)(wall_ns / 1000000));
	enum hg_rc rc = db_run(s, err);
	if (rc < 0) return rc;
	*ret_changed = db_changes(r->db) > 0;
	return rows_get(r, id, ret_row, err);
}

enum hg_rc rows_status(struct rows *r, int64_t id, enum status status, uint64_t wall_ns,
        struct row *ret_row, bool *ret_changed, struct hg_err *err)
{
	struct db_stmt *s = r->stmt[STATUS];
	db_bind_i64(s, 1, id);
	db_bind_str(s, 2, hg_str(status_name(status)));
	enum hg_rc rc = run_for_row(s, ret_row, err);
	*ret_changed = rc == HG_OK;
	if (rc == HG_E_NOT_FOUND) return rows_get(r, id, ret_row, err);
	if (rc < 0 || !r->webhooks) return rc;
	s = r->stmt[STATUS_TELL];
	db_bind_i64(s, 1, id);
	db_bind_i64(s, 2, (int64_t)(wall_ns / 1000000));
	db_bind_str(s, 3, hg_str(status_name(status)));
	rc = db_run(s, err);
	/* Nobody must miss it. */
	if (rc < 0 && db_in_transaction(r->db)) db_rollback(r->db);
	return rc;
}

enum hg_rc rows_audit(struct rows *r, const struct audit_from *from, const struct rows_deed *deed,
        uint64_t wall_ns, struct hg_err *err)
{
	struct db_stmt *s = r->stmt[AUDIT];
	char object[40];
	struct hg_out o = hg_out_over(object, sizeof object);
	hg_out_str(&o, HG_STR("feedback:"));
	hg_out_u64(&o, (uint64_t)deed->id);
	db_bind_i64(s, 1, (int64_t)(wall_ns / 1000000));
	db_bind_str(s, 2, hg_str(deed->action));
	bind_id(s, 3, from->user);
	db_bind_str(s, 4, hg_str(from->name));
	db_bind_str(s, 5, hg_str(audit_via(from->by)));
	db_bind_str(s, 6, (struct hg_str){object, o.n});
	db_bind_str(s, 7, hg_str(from->address));
	db_bind_str(s, 8, hg_str(from->request_id));
	db_bind_str(s, 9, hg_str(deed->detail));
	enum hg_rc rc = db_run(s, err);
	if (rc < 0 && db_in_transaction(r->db)) db_rollback(r->db);
	return rc;
}

void row_json(const struct row *row, enum rows_form form, struct hg_buf *to)
{
	hg_buf_str(to, HG_STR("{\"id\":"));
	hg_buf_u64(to, (uint64_t)row->id);
	hg_buf_str(to, HG_STR(",\"message\":"));
	json_quote(to, (struct hg_str){row->message.bytes, row->message.n});
	hg_buf_str(to, HG_STR(",\"created_at\":"));
	json_quote(to, hg_str(row->created_at));
	hg_buf_str(to, HG_STR(",\"updated_at\":"));
	json_quote(to, hg_str(row->updated_at));
	rows_end_json(form, row->votes, row->status, to);
	hg_buf_byte(to, '\n');
}
