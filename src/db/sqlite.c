#include "db/db.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "db/pool.h"
#include "db/postgres_priv.h"
#include "os/clock.h"

#define BUSY_MS_DEFAULT     5000u
#define CACHE_KIB_DEFAULT   2048u
#define STATEMENT_BYTES_MAX (1 << 20)
#define WAL_KEPT_BYTES      (64 << 20)
#define STMT_MAGIC          0x5d6b57a7u
#define DB_MAGIC            0x5d6bdb01u

/* Either engine; which one is the first thing each function looks at. */
struct db {
	uint32_t magic;
	struct postgres *pg; /* NULL: SQLite, and the rest */
	sqlite3 *handle;
	uint32_t busy_ms;
	uint64_t busy_since_ms;
	char path[256]; /* shortened, for messages */
};

struct db_stmt {
	uint32_t magic;
	struct db *db;
	struct postgres_stmt *pg; /* NULL: SQLite, and the rest */
	sqlite3_stmt *handle;
	int place[DB_PARAMETERS_MAX + 1]; /* $n → SQLite's index; 0: not in the statement */
	int bind_failed;                  /* first SQLite code a bind gave, 0 = none */
};

static enum hg_rc rc_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE: return HG_OK;
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return HG_E_AGAIN;
	case SQLITE_CONSTRAINT: return HG_E_DB_CONSTRAINT;
	case SQLITE_FULL: return HG_E_DB_FULL;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return HG_E_DB_CORRUPT;
	case SQLITE_CANTOPEN: return HG_E_DB_OPEN;
	case SQLITE_NOMEM: return HG_E_NOMEM;
	case SQLITE_TOOBIG: return HG_E_TOO_LARGE;
	case SQLITE_RANGE:
	case SQLITE_MISUSE: return HG_E_INVALID;
	default: return HG_E_DB_QUERY;
	}
}

static enum hg_rc refuse(struct db *db, int code, const char *tried, struct hg_err *err)
{
	enum hg_rc rc = rc_of(code);
	hg_err_set(err, rc, "could not %s database \"%s\": %s", tried, db->path,
	        db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code));
	if (rc == HG_E_AGAIN)
		hg_err_hint(err, "Another process held the write lock for more than %u ms.",
		        db->busy_ms);
	else if (rc == HG_E_DB_FULL)
		hg_err_hint(err, "Free space on the disk that holds the file.");
	else if (rc == HG_E_DB_OPEN)
		hg_err_hint(err, "The folder must exist and be writable for this user.");
	else if (rc == HG_E_DB_CORRUPT)
		hg_err_hint(err, "Restore the file from a backup; keep the damaged one aside.");
	return rc;
}

/*
 * SQLite's own handler sleeps up to 100 ms at a time, which shows in the tail when replicas share
 * a file. This one starts at 1 ms and stays below 10, spread so that waiters do not march in step.
 */
static int wait_for_writer(void *arg, int tries)
{
	struct db *db = HG_OBJ(arg, struct db, DB_MAGIC);
	uint64_t now_ms = clock_mono_ms();
	if (tries == 0) db->busy_since_ms = now_ms;
	if (now_ms - db->busy_since_ms >= db->busy_ms) return 0;
	uint64_t noise = (clock_mono_ns() >> 7) ^ (uintptr_t)db >> 4;
	sqlite3_sleep(1 + HG_MIN(tries / 8, 6) + (int)(noise % 3));
	return 1;
}

static enum hg_rc path_of(const char *url, const char **ret_path, struct hg_err *err)
{
	if (!url) url = "";
	struct hg_str u = hg_str(url);
	if (hg_str_starts(u, HG_STR("sqlite:"))) {
		url += strlen("sqlite:");
		/* As other tools write them: sqlite:///absolute, sqlite://relative. */
		if (url[0] == '/' && url[1] == '/') url += 2;
	}
	if (!*url || strstr(url, "://"))
		return hg_err_set(err, HG_E_INVALID, "\"%.200s\" is not a database address", url);
	*ret_path = url;
	return HG_OK;
}

/*
 * Two processes that both switch a new file to write-ahead logging can meet in a lock that SQLite
 * gives up at once instead of calling the busy handler: try again until busy_ms.
 */
static int switch_to_wal(struct db *db)
{
	uint64_t until_ms = clock_mono_ms() + db->busy_ms;
	for (;;) {
		int code = sqlite3_exec(db->handle, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
		if ((code & 0xff) != SQLITE_BUSY || clock_mono_ms() >= until_ms) return code;
		sqlite3_sleep(5);
	}
}

static int configure(struct db *db, const struct db_options *o)
{
	char sql[320];
	int code;
	sqlite3_extended_result_codes(db->handle, 1);
	sqlite3_busy_handler(db->handle, wait_for_writer, db);
	sqlite3_limit(db->handle, SQLITE_LIMIT_SQL_LENGTH, STATEMENT_BYTES_MAX);
	sqlite3_limit(db->handle, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	snprintf(sql, sizeof sql,
	        "PRAGMA foreign_keys=ON; PRAGMA synchronous=%s; PRAGMA cache_size=-%u;"
	        "PRAGMA journal_size_limit=%d; PRAGMA temp_store=MEMORY;",
	        o->durability == DB_FULL ? "FULL" : "NORMAL",
	        o->cache_kib ? o->cache_kib : CACHE_KIB_DEFAULT, WAL_KEPT_BYTES);
	code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
	if (code == SQLITE_OK && !o->read_only) code = switch_to_wal(db);
	/* The first read finds out whether this is a database at all. */
	if (code == SQLITE_OK)
		code = sqlite3_exec(
		        db->handle, "SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL);
	return code;
}

static enum hg_rc open_postgres(const struct db_options *o, struct db **ret_db, struct hg_err *err)
{
	struct db *db = calloc(1, sizeof *db);
	if (!db) return hg_err_set(err, HG_E_NOMEM, "not enough memory to open the database");
	db->magic = DB_MAGIC;
	enum hg_rc rc = postgres_open(o, &db->pg, err);
	if (rc < 0)
		free(db);
	else
		*ret_db = db;
	return rc;
}

enum hg_rc db_open(const struct db_options *o, struct db **ret_db, struct hg_err *err)
{
	if (db_url_is_postgres(o->url)) return open_postgres(o, ret_db, err);
	const char *path = NULL;
	enum hg_rc rc = path_of(o->url, &path, err);
	int flags =
	        o->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	int code;
	struct db *db;
	if (rc < 0) return rc;
	db = calloc(1, sizeof *db);
	if (!db) return hg_err_set(err, HG_E_NOMEM, "not enough memory to open \"%s\"", path);
	db->magic = DB_MAGIC;
	db->busy_ms = o->busy_ms ? o->busy_ms : BUSY_MS_DEFAULT;
	snprintf(db->path, sizeof db->path, "%s", path);
	code = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
	if (code == SQLITE_OK) code = configure(db, o);
	if (code != SQLITE_OK) {
		rc = refuse(db, code, "open", err);
		db_close(db);
		return rc;
	}
	*ret_db = db;
	return HG_OK;
}

void db_close(struct db *db)
{
	if (!db) return;
	HG_OBJ(db, struct db, DB_MAGIC);
	db_rollback(db);
	postgres_close(db->pg);
	/* Statements that are still alive keep the handle as a zombie until they are freed. */
	sqlite3_close_v2(db->handle);
	db->magic = 0;
	free(db);
}

bool db_is_postgres(const struct db *db)
{
	return db->pg != NULL;
}

void db_interrupt(struct db *db)
{
	if (db->pg)
		postgres_interrupt(db->pg);
	else
		sqlite3_interrupt(db->handle);
}

enum hg_rc db_exec(struct db *db, const char *sql, struct hg_err *err)
{
	if (db->pg) return postgres_exec(db->pg, sql, "change", err);
	int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
	return code == SQLITE_OK ? HG_OK : refuse(db, code, "change", err);
}

enum hg_rc db_prepare(struct db *db, const char *sql, struct db_stmt **ret_stmt, struct hg_err *err)
{
	const char *rest = NULL;
	enum hg_rc rc;
	int code;
	struct db_stmt *s = calloc(1, sizeof *s);
	if (!s) return hg_err_set(err, HG_E_NOMEM, "not enough memory to prepare a statement");
	s->magic = STMT_MAGIC;
	s->db = db;
	if (db->pg) {
		rc = postgres_prepare(db->pg, sql, &s->pg, err);
		if (rc < 0) goto out;
		*ret_stmt = s;
		return HG_OK;
	}
	code = sqlite3_prepare_v3(
	        db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->handle, &rest);
	if (code != SQLITE_OK) {
		rc = refuse(db, code, "prepare a statement for", err);
		hg_err_detail(err, "%s", sql);
		goto out;
	}
	if (!s->handle || hg_str_trim(hg_str(rest)).n) {
		rc = hg_err_set(err, HG_E_INVALID, "a prepared statement is exactly one statement");
		hg_err_detail(err, "%s", sql);
		goto out;
	}
	for (int n = 1; n <= DB_PARAMETERS_MAX; n++) {
		char name[16];
		snprintf(name, sizeof name, "$%d", n);
		s->place[n] = sqlite3_bind_parameter_index(s->handle, name);
	}
	*ret_stmt = s;
	return HG_OK;
out:
	db_stmt_free(s);
	return rc;
}

void db_stmt_free(struct db_stmt *s)
{
	if (!s) return;
	HG_OBJ(s, struct db_stmt, STMT_MAGIC);
	sqlite3_finalize(s->handle);
	postgres_stmt_free(s->pg);
	s->magic = 0;
	free(s);
}

static int place_of(struct db_stmt *s, unsigned n)
{
	HG_ASSERT(n >= 1 && n <= DB_PARAMETERS_MAX);
	return s->place[n];
}

static void note_bind(struct db_stmt *s, int code)
{
	if (code != SQLITE_OK && !s->bind_failed) s->bind_failed = code;
}

void db_bind_i64(struct db_stmt *s, unsigned n, int64_t v)
{
	if (s->pg) {
		char text[24];
		int len = snprintf(text, sizeof text, "%lld", (long long)v);
		postgres_bind(s->pg, n, text, (size_t)len, false);
		return;
	}
	note_bind(s, sqlite3_bind_int64(s->handle, place_of(s, n), v));
}

void db_bind_f64(struct db_stmt *s, unsigned n, double v)
{
	if (s->pg) {
		char text[40];
		int len = snprintf(text, sizeof text, "%.17g", v);
		postgres_bind(s->pg, n, text, (size_t)len, false);
		return;
	}
	note_bind(s, sqlite3_bind_double(s->handle, place_of(s, n), v));
}

void db_bind_str(struct db_stmt *s, unsigned n, struct hg_str v)
{
	if (s->pg) {
		postgres_bind(s->pg, n, v.n ? v.p : "", v.n, false);
		return;
	}
	note_bind(s, sqlite3_bind_text64(s->handle, place_of(s, n), v.n ? v.p : "", v.n,
	                     SQLITE_TRANSIENT, SQLITE_UTF8));
}

void db_bind_blob(struct db_stmt *s, unsigned n, struct hg_str v)
{
	if (s->pg) {
		postgres_bind(s->pg, n, v.n ? v.p : "", v.n, true);
		return;
	}
	note_bind(s, sqlite3_bind_blob64(
	                     s->handle, place_of(s, n), v.n ? v.p : "", v.n, SQLITE_TRANSIENT));
}

void db_bind_null(struct db_stmt *s, unsigned n)
{
	if (s->pg) {
		postgres_bind(s->pg, n, NULL, 0, false);
		return;
	}
	note_bind(s, sqlite3_bind_null(s->handle, place_of(s, n)));
}

void db_reset(struct db_stmt *s)
{
	if (s->pg) {
		postgres_reset(s->pg);
		return;
	}
	sqlite3_reset(s->handle);
	sqlite3_clear_bindings(s->handle);
	s->bind_failed = 0;
}

enum hg_rc db_step(struct db_stmt *s, bool *ret_row, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	int code;
	HG_OBJ(s, struct db_stmt, STMT_MAGIC);
	if (HG_UNLIKELY(s->pg != NULL)) return postgres_step(s->pg, ret_row, err);
	if (s->bind_failed) {
		code = s->bind_failed;
		rc = hg_err_set(
		        err, rc_of(code), "could not bind a parameter: %s", sqlite3_errstr(code));
		hg_err_detail(err, "%s", sqlite3_sql(s->handle));
		db_reset(s);
		return rc;
	}
	code = sqlite3_step(s->handle);
	if (code == SQLITE_ROW) {
		*ret_row = true;
		return HG_OK;
	}
	if (code != SQLITE_DONE) {
		rc = refuse(s->db, code, "query", err);
		hg_err_detail(err, "%s", sqlite3_sql(s->handle));
	} else {
		*ret_row = false;
	}
	db_reset(s);
	return rc;
}

enum hg_rc db_run(struct db_stmt *s, struct hg_err *err)
{
	bool row = true;
	while (row) {
		enum hg_rc rc = db_step(s, &row, err);
		if (rc < 0) return rc;
	}
	return HG_OK;
}

int64_t db_column_i64(struct db_stmt *s, unsigned column)
{
	if (HG_UNLIKELY(s->pg != NULL)) return strtoll(postgres_column(s->pg, column).p, NULL, 10);
	return sqlite3_column_int64(s->handle, (int)column);
}

double db_column_f64(struct db_stmt *s, unsigned column)
{
	if (HG_UNLIKELY(s->pg != NULL)) return strtod(postgres_column(s->pg, column).p, NULL);
	return sqlite3_column_double(s->handle, (int)column);
}

struct hg_str db_column_str(struct db_stmt *s, unsigned column)
{
	if (HG_UNLIKELY(s->pg != NULL)) return postgres_column(s->pg, column);
	/* Order matters: the text call converts, the bytes call then counts the result. */
	const char *p = (const char *)sqlite3_column_text(s->handle, (int)column);
	size_t n = (size_t)sqlite3_column_bytes(s->handle, (int)column);
	return p ? (struct hg_str){p, n} : HG_STR("");
}

struct hg_str db_column_blob(struct db_stmt *s, unsigned column)
{
	if (HG_UNLIKELY(s->pg != NULL)) return postgres_column_blob(s->pg, column);
	const char *p = sqlite3_column_blob(s->handle, (int)column);
	size_t n = (size_t)sqlite3_column_bytes(s->handle, (int)column);
	return p ? (struct hg_str){p, n} : HG_STR("");
}

bool db_column_null(struct db_stmt *s, unsigned column)
{
	if (HG_UNLIKELY(s->pg != NULL)) return postgres_column_null(s->pg, column);
	return sqlite3_column_type(s->handle, (int)column) == SQLITE_NULL;
}

enum hg_rc db_query_i64(struct db *db, const char *sql, int64_t *ret_v, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	bool row = false;
	enum hg_rc rc = db_prepare(db, sql, &s, err);
	if (rc < 0) goto out;
	rc = db_step(s, &row, err);
	if (rc < 0) goto out;
	if (!row) {
		rc = hg_err_set(err, HG_E_NOT_FOUND, "the query gave no row");
		goto out;
	}
	*ret_v = db_column_i64(s, 0);
out:
	db_stmt_free(s);
	return rc;
}

enum hg_rc db_begin(struct db *db, struct hg_err *err)
{
	int code;
	HG_ASSERT(!db_in_transaction(db));
	if (db->pg) return postgres_exec(db->pg, "BEGIN", "begin a transaction in", err);
	code = sqlite3_exec(db->handle, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	return code == SQLITE_OK ? HG_OK : refuse(db, code, "begin a transaction in", err);
}

enum hg_rc db_commit(struct db *db, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	if (db->pg) {
		rc = postgres_commit(db->pg, err);
	} else {
		int code = sqlite3_exec(db->handle, "COMMIT", NULL, NULL, NULL);
		if (code != SQLITE_OK) rc = refuse(db, code, "commit to", err);
	}
	if (rc < 0) db_rollback(db);
	return rc;
}

void db_rollback(struct db *db)
{
	/* The engine may have rolled back by itself (full disk); then there is nothing to do. */
	if (!db_in_transaction(db)) return;
	if (db->pg)
		(void)!postgres_exec(db->pg, "ROLLBACK", "roll back", NULL);
	else
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

bool db_in_transaction(const struct db *db)
{
	if (db->pg) return postgres_in_transaction(db->pg);
	return db->handle && !sqlite3_get_autocommit(db->handle);
}

enum hg_rc db_mark(struct db *db, struct hg_err *err)
{
	HG_ASSERT(db_in_transaction(db));
	return db_exec(db, "SAVEPOINT mark", err);
}

enum hg_rc db_mark_keep(struct db *db, struct hg_err *err)
{
	return db_exec(db, "RELEASE mark", err);
}

enum hg_rc db_mark_undo(struct db *db, struct hg_err *err)
{
	return db_exec(db, "ROLLBACK TO mark; RELEASE mark", err);
}

int64_t db_changes(const struct db *db)
{
	if (db->pg) return postgres_changes(db->pg);
	return sqlite3_changes64(db->handle);
}

int64_t db_last_id(const struct db *db)
{
	HG_ASSERT(!db->pg); /* there RETURNING is the only way */
	return sqlite3_last_insert_rowid(db->handle);
}
