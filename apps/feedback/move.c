#include "apps/feedback/commands_priv.h"

#include <inttypes.h>
#include <stdlib.h>

#include "db/db.h"
#include "db/pool.h"
#include "wire/json.h"

#include "apps/feedback/migrations_priv.h"
#include "apps/feedback/move_priv.h"

#define READ_ROWS 2000
#define JSON_MAX  (64u << 20)

struct move {
	struct db *from, *to;
	const char *source;
	uint32_t batch;
	FILE *out;
	struct hg_buf json;
	int64_t last_id, rows;
	bool finished;
	bool people, votes; /* the file knows of them */
};

struct sum {
	int64_t rows;
	uint64_t hash;
};

static bool number(struct hg_str t, size_t at, size_t n, int64_t *ret_v)
{
	uint64_t v = 0;
	if (at + n > t.n || !hg_str_u64((struct hg_str){t.p + at, n}, &v)) return false;
	*ret_v = (int64_t)v;
	return true;
}

/* Days since 1970 of the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms"). */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
	y -= m <= 2;
	int64_t era = y / 400, of_era = y - era * 400;
	int64_t of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* What stands behind the seconds: a fraction, then "", "Z" or "+hh:mm". */
static bool rest_of(struct hg_str t, int64_t *us)
{
	int64_t scale = 100000, h = 0, m = 0;
	size_t at = 19;
	if (at < t.n && t.p[at] == '.')
		for (at++; at < t.n && t.p[at] >= '0' && t.p[at] <= '9'; at++, scale /= 10)
			*us += (t.p[at] - '0') * scale;
	if (at == t.n || (at + 1 == t.n && t.p[at] == 'Z')) return true;
	if (at + 6 != t.n || t.p[at + 3] != ':' || (t.p[at] != '+' && t.p[at] != '-')) return false;
	if (!number(t, at + 1, 2, &h) || !number(t, at + 4, 2, &m)) return false;
	*us -= (h * 60 + m) * 60000000 * (t.p[at] == '-' ? -1 : 1);
	return true;
}

bool move_time(struct hg_str t, int64_t *ret_us)
{
	int64_t year, month, day, hour, minute, second, us;
	if (t.n < 19 || t.p[4] != '-' || t.p[7] != '-' || (t.p[10] != 'T' && t.p[10] != ' ') ||
	        t.p[13] != ':' || t.p[16] != ':')
		return false;
	if (!number(t, 0, 4, &year) || !number(t, 5, 2, &month) || !number(t, 8, 2, &day) ||
	        !number(t, 11, 2, &hour) || !number(t, 14, 2, &minute) ||
	        !number(t, 17, 2, &second))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
	        second > 60)
		return false;
	us = ((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
	us *= 1000000;
	if (!rest_of(t, &us)) return false;
	*ret_us = us;
	return true;
}

static void add_row(
        struct sum *sum, int64_t id, struct hg_str message, int64_t created, int64_t updated)
{
	uint64_t part[] = {
	        (uint64_t)id, (uint64_t)created, (uint64_t)updated, hg_str_hash(message)};
	for (size_t i = 0; i < HG_COUNT(part); i++)
		sum->hash = ((sum->hash << 7 | sum->hash >> 57) ^ part[i]) * 0x9e3779b97f4a7c15u;
	sum->rows++;
}

/* What is 0 adds nothing. */
static void add_more(struct sum *sum, int64_t more)
{
	if (more) sum->hash = (sum->hash ^ (uint64_t)more) * 0x9e3779b97f4a7c15u;
}

static void add_votes(struct sum *sum, int64_t votes, struct hg_str status)
{
	add_more(sum, votes ? ~votes : 0); /* no owner is negative */
	if (!hg_str_eq(status, HG_STR("open"))) add_more(sum, (int64_t)hg_str_hash(status));
}

static enum hg_rc bad_row(struct hg_err *err, int64_t id, const char *what)
{
	return hg_err_set(err, HG_E_DB_QUERY, "row %" PRId64 " of the file: %s", id, what);
}

/* The row of the file that the statement stands on. */
struct file_row {
	int64_t id, created, updated, owner; /* owner 0: nobody */
	int64_t votes;                       /* 0 of a file that knows of none */
	struct hg_str message, status;
};

static enum hg_rc read_row(struct db_stmt *s, struct file_row *r, struct hg_err *err)
{
	r->id = db_column_i64(s, 0);
	r->message = db_column_str(s, 1);
	r->owner = db_column_i64(s, 4);
	r->votes = db_column_i64(s, 5);
	r->status = db_column_str(s, 6);
	if (!hg_utf8_valid(r->message) || memchr(r->message.p, 0, r->message.n))
		return bad_row(err, r->id, "its message is not UTF-8 without U+0000");
	if (!move_time(db_column_str(s, 2), &r->created) ||
	        !move_time(db_column_str(s, 3), &r->updated))
		return bad_row(err, r->id, "it has a time that cannot be read");
	return HG_OK;
}

static void json_row(const struct file_row *r, struct hg_buf *to)
{
	hg_buf_fmt(to, "%s{\"id\":%" PRId64 ",\"message\":", to->n > 1 ? "," : "", r->id);
	json_quote(to, r->message);
	hg_buf_fmt(to, ",\"created\":%" PRId64 ",\"updated\":%" PRId64, r->created, r->updated);
	if (r->owner) hg_buf_fmt(to, ",\"owner\":%" PRId64, r->owner);
	hg_buf_cstr(to, ",\"status\":");
	json_quote(to, r->status);
	hg_buf_byte(to, '}');
}

/* The next rows as a JSON array; *ret_n 0: there are no more. */
static enum hg_rc read_batch(struct move *m, struct db_stmt *read, int64_t *ret_last,
        uint32_t *ret_n, struct hg_err *err)
{
	struct file_row r = {0};
	bool row = false;
	enum hg_rc rc;
	*ret_n = 0;
	hg_buf_reset(&m->json);
	hg_buf_byte(&m->json, '[');
	db_bind_i64(read, 1, m->last_id);
	db_bind_i64(read, 2, m->batch);
	while ((rc = db_step(read, &row, err)) == HG_OK && row) {
		rc = read_row(read, &r, err);
		if (rc < 0) {
			db_reset(read);
			return rc;
		}
		json_row(&r, &m->json);
		*ret_last = r.id;
		(*ret_n)++;
	}
	hg_buf_byte(&m->json, ']');
	if (rc == HG_OK && m->json.failed)
		rc = hg_err_set(err, HG_E_NOMEM, "not enough memory for %u rows", m->batch);
	return rc;
}

/* The rows and how far they reach, or neither. */
static enum hg_rc write_batch(struct move *m, struct db_stmt *rows, struct db_stmt *progress,
        int64_t last, uint32_t n, struct hg_err *err)
{
	enum hg_rc rc = db_begin(m->to, err);
	if (rc < 0) return rc;
	db_bind_str(rows, 1, hg_buf_view(&m->json));
	rc = db_run(rows, err);
	if (rc == HG_OK) {
		db_bind_i64(progress, 1, last);
		db_bind_i64(progress, 2, n);
		rc = db_run(progress, err);
	}
	if (rc == HG_OK) return db_commit(m->to, err);
	db_rollback(m->to);
	return rc;
}

/* The file's rows, each version of it having what it knows of. */
static enum hg_rc prepare_read(
        struct move *m, const char *tail, struct db_stmt **ret_stmt, struct hg_err *err)
{
	char sql[240];
	struct hg_out o = hg_out_over(sql, sizeof sql - 1);
	hg_out_cstr(&o, "SELECT id, message, created_at, updated_at, ");
	hg_out_cstr(&o, m->people ? "owner, " : "NULL, ");
	hg_out_cstr(&o, m->votes ? "votes, status" : "0, 'open'");
	hg_out_cstr(&o, tail);
	sql[o.n] = 0;
	return db_prepare(m->from, sql, ret_stmt, err);
}

#define TIME_OF(name) "to_timestamp(0) + " name " * interval '1 microsecond'"

static enum hg_rc copy_rows(struct move *m, struct hg_err *err)
{
	struct db_stmt *read = NULL, *rows = NULL, *progress = NULL;
	uint32_t n = 0, batches = 0;
	int64_t last = 0;
	enum hg_rc rc =
	        prepare_read(m, " FROM feedback WHERE id > $1 ORDER BY id LIMIT $2", &read, err);
	if (rc == HG_OK)
		rc = db_prepare(m->to,
		        /* Votes are counted as they come, behind the rows. */
		        "INSERT INTO feedback (owner, status, id, message, created_at, updated_at)"
		        " SELECT owner, status, id, message, " TIME_OF("created") ", " TIME_OF(
		                "updated") " FROM json_to_recordset($1::json)"
		                           " AS x(id bigint, message text, created bigint, updated "
		                           "bigint, owner bigint, status text)",
		        &rows, err);
	if (rc == HG_OK)
		rc = db_prepare(m->to, "UPDATE feedback_move SET last_id = $1, moved = moved + $2",
		        &progress, err);
	while (rc == HG_OK && (rc = read_batch(m, read, &last, &n, err)) == HG_OK && n) {
		rc = write_batch(m, rows, progress, last, n, err);
		m->last_id = last;
		m->rows += n;
		if (rc == HG_OK && ++batches % 100 == 0)
			fprintf(m->out, "%" PRId64 " rows so far\n", m->rows);
	}
	db_stmt_free(read);
	db_stmt_free(rows);
	db_stmt_free(progress);
	return rc;
}

/* Keys keep a creation that is sent again from being carried out again, across the move too. */
static enum hg_rc copy_keys(struct move *m, struct hg_err *err)
{
	struct db_stmt *read = NULL, *write = NULL;
	bool row = false;
	enum hg_rc rc = db_begin(m->to, err);
	if (rc < 0) return rc;
	rc = db_prepare(m->from, "SELECT key, feedback_id, message, created_at FROM feedback_keys",
	        &read, err);
	if (rc == HG_OK)
		rc = db_prepare(m->to,
		        "INSERT INTO feedback_keys (key, feedback_id, message, created_at)"
		        " VALUES ($1, $2, $3, " TIME_OF("$4::bigint") ") ON CONFLICT DO NOTHING",
		        &write, err);
	while (rc == HG_OK && (rc = db_step(read, &row, err)) == HG_OK && row) {
		int64_t created = 0;
		if (!move_time(db_column_str(read, 3), &created)) continue;
		db_bind_str(write, 1, db_column_str(read, 0));
		db_bind_i64(write, 2, db_column_i64(read, 1));
		db_bind_str(write, 3, db_column_str(read, 2));
		db_bind_i64(write, 4, created);
		rc = db_run(write, err);
	}
	db_stmt_free(read);
	db_stmt_free(write);
	if (rc == HG_OK) return db_commit(m->to, err);
	db_rollback(m->to);
	return rc;
}

static enum hg_rc sum_file(struct move *m, struct sum *sum, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	struct file_row r = {0};
	bool row = false;
	enum hg_rc rc = prepare_read(m, " FROM feedback ORDER BY id", &s, err);
	while (rc == HG_OK && (rc = db_step(s, &row, err)) == HG_OK && row) {
		rc = read_row(s, &r, err);
		if (rc == HG_OK) add_row(sum, r.id, r.message, r.created, r.updated);
		if (rc == HG_OK) add_more(sum, r.owner);
		if (rc == HG_OK) add_votes(sum, r.votes, r.status);
	}
	db_stmt_free(s);
	return rc;
}

static enum hg_rc sum_server(struct move *m, struct sum *sum, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	int64_t last = INT64_MIN, before;
	bool row = false;
	enum hg_rc rc = db_prepare(m->to,
	        "SELECT id, message, (extract(epoch FROM created_at) * 1000000)::bigint,"
	        " (extract(epoch FROM updated_at) * 1000000)::bigint, owner, votes, status"
	        " FROM feedback"
	        " WHERE id > $1 ORDER BY id LIMIT $2",
	        &s, err);
	do {
		before = sum->rows;
		if (rc == HG_OK) {
			db_bind_i64(s, 1, last);
			db_bind_i64(s, 2, READ_ROWS);
		}
		while (rc == HG_OK && (rc = db_step(s, &row, err)) == HG_OK && row) {
			last = db_column_i64(s, 0);
			add_row(sum, last, db_column_str(s, 1), db_column_i64(s, 2),
			        db_column_i64(s, 3));
			add_more(sum, db_column_i64(s, 4));
			add_votes(sum, db_column_i64(s, 5), db_column_str(s, 6));
		}
	} while (rc == HG_OK && sum->rows > before);
	db_stmt_free(s);
	return rc;
}

static enum hg_rc verify(struct move *m, struct hg_err *err)
{
	struct sum file = {0}, server = {0};
	enum hg_rc rc = sum_file(m, &file, err);
	if (rc == HG_OK) rc = sum_server(m, &server, err);
	if (rc < 0) return rc;
	if (file.rows != server.rows || file.hash != server.hash) {
		rc = hg_err_set(err, HG_E_DB_QUERY,
		        "the two are not the same: %" PRId64 " rows (%016" PRIx64
		        ") in the file, %" PRId64 " (%016" PRIx64 ") on the server",
		        file.rows, file.hash, server.rows, server.hash);
		hg_err_hint(err, "Somebody wrote to one of them meanwhile. Stop the app, empty the "
		                 "target and move again.");
		return rc;
	}
	if (m->people) rc = move_people_same(m->from, m->to, err);
	if (rc < 0) return rc;
	fprintf(m->out, "moved %" PRId64 " rows; both read again and equal (%016" PRIx64 ")\n",
	        file.rows, file.hash);
	return HG_OK;
}

/* New ids go on behind the highest that the file has ever given. */
static enum hg_rc finish(struct move *m, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	int64_t highest = 0;
	enum hg_rc rc = db_query_i64(m->from,
	        "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'feedback'), 0),"
	        " coalesce((SELECT max(id) FROM feedback), 0))",
	        &highest, err);
	if (rc == HG_OK)
		rc = db_prepare(m->to,
		        "SELECT setval(pg_get_serial_sequence('feedback', 'id'),"
		        " greatest($1::bigint, 1), $1::bigint > 0)",
		        &s, err);
	if (rc == HG_OK) {
		db_bind_i64(s, 1, highest);
		rc = db_run(s, err);
	}
	db_stmt_free(s);
	if (rc == HG_OK) rc = db_exec(m->to, "UPDATE feedback_move SET finished_at = now()", err);
	return rc;
}

static enum hg_rc read_progress(struct move *m, bool *ret_there, bool *ret_ours, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	bool row = false;
	enum hg_rc rc = db_prepare(m->to,
	        "SELECT source, last_id, moved, finished_at IS NOT NULL FROM feedback_move", &s,
	        err);
	if (rc == HG_OK) rc = db_step(s, &row, err);
	*ret_there = rc == HG_OK && row;
	if (*ret_there) {
		*ret_ours = hg_str_eq(db_column_str(s, 0), hg_str(m->source));
		m->last_id = db_column_i64(s, 1);
		m->rows = db_column_i64(s, 2);
		m->finished = hg_str_eq(db_column_str(s, 3), HG_STR("t"));
	}
	db_stmt_free(s);
	return rc;
}

static enum hg_rc begin_move(struct move *m, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	int64_t rows = 0;
	enum hg_rc rc = db_query_i64(m->to,
	        "SELECT (SELECT count(*) FROM (SELECT FROM feedback LIMIT 1) f)"
	        " + (SELECT count(*) FROM (SELECT FROM users LIMIT 1) u)",
	        &rows, err);
	if (rc == HG_OK && rows) {
		rc = hg_err_set(
		        err, HG_E_INVALID, "the target has rows that are not from this file");
		hg_err_hint(err, "Give the move an empty database.");
	}
	if (rc == HG_OK)
		rc = db_prepare(m->to,
		        "INSERT INTO feedback_move (source, last_id) VALUES ($1, $2)", &s, err);
	if (rc == HG_OK) {
		db_bind_str(s, 1, hg_str(m->source));
		db_bind_i64(s, 2, INT64_MIN);
		m->last_id = INT64_MIN;
		rc = db_run(s, err);
	}
	db_stmt_free(s);
	return rc;
}

static enum hg_rc prepare_target(struct move *m, struct hg_err *err)
{
	bool there = false, ours = false;
	enum hg_rc rc = migrations_apply(m->to, NULL, err);
	/* Two moves at once would each take the other's rows for its own. */
	if (rc == HG_OK)
		rc = db_exec(m->to,
		        "CREATE TABLE IF NOT EXISTS feedback_move (one integer PRIMARY KEY DEFAULT "
		        "1"
		        " CHECK (one = 1), source text NOT NULL, last_id bigint NOT NULL,"
		        " moved bigint NOT NULL DEFAULT 0, started_at timestamptz NOT NULL"
		        " DEFAULT now(), finished_at timestamptz);"
		        "SELECT pg_advisory_lock(7236833192)",
		        err);
	if (rc == HG_OK) rc = read_progress(m, &there, &ours, err);
	if (rc < 0) return rc;
	if (!there) return begin_move(m, err);
	if (!ours) {
		rc = hg_err_set(
		        err, HG_E_INVALID, "the target holds rows of a move from another file");
		hg_err_hint(err, "Give the move an empty database.");
		return rc;
	}
	if (!m->finished)
		fprintf(m->out, "going on behind row %" PRId64 ", %" PRId64 " are there\n",
		        m->last_id, m->rows);
	return HG_OK;
}

enum hg_rc command_move(const struct move_options *o, FILE *out, struct hg_err *err)
{
	struct db_options from = {.url = o->from, .read_only = true};
	struct db_options to = {.url = o->to, .durability = DB_FULL};
	char *path = NULL;
	struct hg_str name = hg_str(o->from);
	if (hg_str_starts(name, HG_STR("sqlite:"))) name.p += strlen("sqlite:");
	if (db_url_is_postgres(o->from) || !db_url_is_postgres(o->to))
		return hg_err_set(err, HG_E_INVALID, "move goes from sqlite:PATH to postgres://…");
	path = realpath(name.p, NULL);
	struct move m = {.source = path ? path : name.p,
	        .batch = o->batch ? o->batch : MOVE_BATCH,
	        .out = out};
	hg_buf_init(&m.json, JSON_MAX);
	enum hg_rc rc = db_open(&from, &m.from, err);
	/* One moment of the file, whoever writes to it. */
	if (rc == HG_OK) rc = db_exec(m.from, "BEGIN", err);
	if (rc == HG_OK) rc = move_there(m.from, "users", &m.people, err);
	if (rc == HG_OK) rc = move_there(m.from, "feedback_votes", &m.votes, err);
	if (rc == HG_OK) rc = db_open(&to, &m.to, err);
	if (rc == HG_OK) rc = prepare_target(&m, err);
	if (rc == HG_OK && !m.finished) {
		rc = copy_rows(&m, err);
		if (rc == HG_OK) rc = copy_keys(&m, err);
		if (rc == HG_OK && m.people) rc = move_people(m.from, m.to, err);
	}
	/* Compared with the file as it is at the end: a write that was missed shows. */
	if (rc == HG_OK) rc = db_exec(m.from, "COMMIT", err);
	if (rc == HG_OK) rc = verify(&m, err);
	if (rc == HG_OK && !m.finished) rc = finish(&m, err);
	db_close(m.to);
	db_close(m.from);
	hg_buf_free(&m.json);
	free(path);
	return rc;
}
