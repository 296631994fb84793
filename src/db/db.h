/*
 * The database door: one connection, prepared statements, transactions and migrations, for
 * Headgate's own store and for the apps. A connection owns its statements' engine state but not
 * the statements: free each before closing. One thread a connection; several connections and
 * processes may share one file. Everything that can fail returns an enum hg_rc and fills `err`
 * (which may be NULL); bind functions remember a failure until the statement is stepped. It never
 * logs, never starts a thread, and never blocks longer than `busy_ms` for another writer.
 *
 * The engine is chosen by the address: "sqlite:PATH" or a plain path, or "postgres://…", where
 * every call waits for the server: for commands and migrations. pool.h is for what answers
 * requests. Placeholders are $1 … $16 for both.
 */
#ifndef DB_DB_H
#define DB_DB_H

#include "base/err.h"

struct db;
struct db_stmt;

#define DB_PARAMETERS_MAX 16

enum db_durability {
	DB_FULL,   /* a commit that returned survives power loss: fsync of the log at each commit */
	DB_NORMAL, /* survives kill -9; the last commits may be lost with the power, never torn */
};

struct db_options {
	const char *url; /* "sqlite:PATH", a path, ":memory:", "postgres://…" */
	enum db_durability durability;
	uint32_t busy_ms;   /* how long to wait for another writer; 0: 5000 */
	uint32_t cache_kib; /* page cache of this connection; 0: 2048 */
	bool read_only;     /* the file must exist; write-ahead log is not switched on */
};

/*
 * Opens, and creates the file when missing (its folder must exist). SQLite: write-ahead log,
 * foreign keys on, defensive. Safe when several processes open a new file at the same moment.
 * HG_E_DB_OPEN, HG_E_DB_CORRUPT, HG_E_AGAIN (locked longer than busy_ms), HG_E_NOMEM,
 * HG_E_INVALID (address).
 */
HG_MUST enum hg_rc db_open(const struct db_options *o, struct db **ret_db, struct hg_err *err);
/* Takes NULL. An open transaction is rolled back. */
void db_close(struct db *db);

bool db_is_postgres(const struct db *db);

/*
 * From another thread, while the connection is open and its own thread is in a call: that call
 * fails soon, and the connection to a server is of no use afterwards. What it asked for may have
 * been done.
 */
void db_interrupt(struct db *db);

/* One or more statements without parameters and without interest in rows. */
HG_MUST enum hg_rc db_exec(struct db *db, const char *sql, struct hg_err *err);

/* Compiles one statement, to be kept and run many times. */
HG_MUST enum hg_rc db_prepare(
        struct db *db, const char *sql, struct db_stmt **ret_stmt, struct hg_err *err);
/* Takes NULL. */
void db_stmt_free(struct db_stmt *s);

/* `n` counts from 1: the number after the $. Text and blobs are copied. */
void db_bind_i64(struct db_stmt *s, unsigned n, int64_t v);
void db_bind_f64(struct db_stmt *s, unsigned n, double v);
void db_bind_str(struct db_stmt *s, unsigned n, struct hg_str v);
void db_bind_blob(struct db_stmt *s, unsigned n, struct hg_str v);
void db_bind_null(struct db_stmt *s, unsigned n);

/*
 * Runs to the next row: *ret_row says whether there is one. After the last row, and after a
 * failure, the statement is reset and its parameters are forgotten.
 * HG_E_AGAIN (another writer longer than busy_ms), HG_E_DB_CONSTRAINT, HG_E_DB_FULL (disk),
 * HG_E_DB_CORRUPT, HG_E_DB_QUERY.
 */
HG_MUST enum hg_rc db_step(struct db_stmt *s, bool *ret_row, struct hg_err *err);
/* All of it, rows ignored. */
HG_MUST enum hg_rc db_run(struct db_stmt *s, struct hg_err *err);
/* Stops in the middle of the rows; needed only then. */
void db_reset(struct db_stmt *s);

/* Columns of the current row, counted from 0; views are valid until the next step or reset. */
int64_t db_column_i64(struct db_stmt *s, unsigned column);
double db_column_f64(struct db_stmt *s, unsigned column);
struct hg_str db_column_str(struct db_stmt *s, unsigned column);
struct hg_str db_column_blob(struct db_stmt *s, unsigned column);
bool db_column_null(struct db_stmt *s, unsigned column);

/* First column of the first row of a query without parameters; HG_E_NOT_FOUND without a row. */
HG_MUST enum hg_rc db_query_i64(struct db *db, const char *sql, int64_t *ret_v, struct hg_err *err);

/*
 * A write transaction takes the writer's lock at once (BEGIN IMMEDIATE), so that it cannot fail
 * half way for want of it. They do not nest. A commit that fails has rolled back.
 */
HG_MUST enum hg_rc db_begin(struct db *db, struct hg_err *err);
HG_MUST enum hg_rc db_commit(struct db *db, struct hg_err *err);
/* Harmless without a transaction. */
void db_rollback(struct db *db);
bool db_in_transaction(const struct db *db);
/*
 * A mark inside a write transaction: db_mark_undo takes back what was done since db_mark and the
 * transaction goes on; db_mark_keep keeps it. One at a time.
 */
HG_MUST enum hg_rc db_mark(struct db *db, struct hg_err *err);
HG_MUST enum hg_rc db_mark_keep(struct db *db, struct hg_err *err);
HG_MUST enum hg_rc db_mark_undo(struct db *db, struct hg_err *err);

/* Rows changed by the last INSERT, UPDATE or DELETE. */
int64_t db_changes(const struct db *db);
/* Key of the last INSERT of this connection (prefer RETURNING). */
int64_t db_last_id(const struct db *db);

/* One numbered step of a schema; `sql` may hold several statements. Never edited once released. */
struct db_migration {
	uint32_t version; /* ascending, from 1 */
	const char *name;
	const char *sql;
	const char *down; /* takes it back; NULL: it cannot be */
};

struct db_migrated {
	uint32_t version; /* of the schema now */
	uint32_t applied; /* steps done by this call */
	uint32_t unknown; /* steps in the database that this program does not know (a newer one) */
};

/*
 * Brings the schema up to the last step, in one write transaction, so that of several processes
 * that start together one does the work and the others find it done. What was applied is kept in
 * the table schema_migrations with a checksum. Steps of a newer program are left alone.
 * HG_E_DB_MIGRATION: a step failed (nothing of this call stays), was edited after it was applied,
 * or is missing below one that was applied.
 */
HG_MUST enum hg_rc db_migrate(struct db *db, const struct db_migration *steps, size_t n,
        struct db_migrated *ret_done, struct hg_err *err);
/*
 * Takes the newest `count` applied steps back, in one transaction, newest first.
 * HG_E_DB_MIGRATION: there is no way down for one of them, this program does not know it, or it
 * failed (nothing of this call stays). HG_E_NOT_FOUND: nothing is applied.
 */
HG_MUST enum hg_rc db_migrate_down(struct db *db, const struct db_migration *steps, size_t n,
        uint32_t count, struct db_migrated *ret_done, struct hg_err *err);

struct db_migration_state {
	uint32_t version;
	const char *name;         /* valid within the call */
	struct hg_str applied_at; /* empty: not applied */
	bool unknown;             /* applied by a newer program */
	bool changed;             /* its text is another than when it was applied */
};

/* Every step, applied or not, ascending. Changes nothing. */
HG_MUST enum hg_rc db_migration_states(struct db *db, const struct db_migration *steps, size_t n,
        void (*each)(void *arg, const struct db_migration_state *state), void *arg,
        struct hg_err *err);

#endif
