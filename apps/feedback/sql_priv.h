/* Statements that are run once, for the desk and for commands: both engines, values by place. */
#ifndef FEEDBACK_SQL_PRIV_H
#define FEEDBACK_SQL_PRIV_H

#include "db/db.h"

struct sql_value {
	enum { SQL_NULL, SQL_INT, SQL_TEXT } kind;
	int64_t i;
	struct hg_str s;
};

#define SQL_I(v) ((struct sql_value){.kind = SQL_INT, .i = (int64_t)(v)})
#define SQL_S(v) ((struct sql_value){.kind = SQL_TEXT, .s = (v)})
#define SQL_C(v) ((struct sql_value){.kind = SQL_TEXT, .s = hg_str(v)})
#define SQL_N    ((struct sql_value){.kind = SQL_NULL})
/* 0 is kept as null */
#define SQL_ID(v) ((struct sql_value){.kind = (v) ? SQL_INT : SQL_NULL, .i = (int64_t)(v)})

#define SQL_VALUES(...)                          \
	(const struct sql_value[]){__VA_ARGS__}, \
	        sizeof((const struct sql_value[]){__VA_ARGS__}) / sizeof(struct sql_value)

/* Columns with times of the table feedback, as the API has them; those of the first app have no
 * zone.
 */
#define SQL_FILE_TIME(c)                                                                  \
	"CASE WHEN substr(" c ", -1) = 'Z' OR substr(" c ", -6, 1) IN ('+', '-') THEN " c \
	" ELSE " c " || 'Z' END"
#define SQL_SERVER_TIME(c) "to_char(" c " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

/* Prepared and bound: db_step, then db_stmt_free. */
HG_MUST enum hg_rc sql_open(struct db *db, const char *sql, const struct sql_value *values,
        size_t n, struct db_stmt **ret_stmt, struct hg_err *err);
/*
 * Opened, and on its first row; without one *ret_stmt is NULL and there is nothing to free. For
 * statements that give at most one row.
 */
HG_MUST enum hg_rc sql_row(struct db *db, const char *sql, const struct sql_value *values, size_t n,
        struct db_stmt **ret_stmt, struct hg_err *err);
/* Run to its end; *ret_changes (may be NULL): rows changed. */
HG_MUST enum hg_rc sql_run(struct db *db, const char *sql, const struct sql_value *values, size_t n,
        int64_t *ret_changes, struct hg_err *err);

#endif
