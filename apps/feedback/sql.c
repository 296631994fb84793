#include "apps/feedback/sql_priv.h"

enum hg_rc sql_open(struct db *db, const char *sql, const struct sql_value *values, size_t n,
        struct db_stmt **ret_stmt, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	enum hg_rc rc = db_prepare(db, sql, &s, err);
	if (rc < 0) return rc;
	for (size_t i = 0; i < n; i++) {
		unsigned place = (unsigned)i + 1;
		switch (values[i].kind) {
		case SQL_NULL: db_bind_null(s, place); break;
		case SQL_INT: db_bind_i64(s, place, values[i].i); break;
		case SQL_TEXT: db_bind_str(s, place, values[i].s); break;
		}
	}
	*ret_stmt = s;
	return HG_OK;
}

enum hg_rc sql_row(struct db *db, const char *sql, const struct sql_value *values, size_t n,
        struct db_stmt **ret_stmt, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	bool row = false;
	enum hg_rc rc = sql_open(db, sql, values, n, &s, err);
	if (rc == HG_OK) rc = db_step(s, &row, err);
	if (rc < 0 || !row) {
		db_stmt_free(s);
		s = NULL;
	}
	*ret_stmt = s;
	return rc;
}

enum hg_rc sql_run(struct db *db, const char *sql, const struct sql_value *values, size_t n,
        int64_t *ret_changes, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	enum hg_rc rc = sql_open(db, sql, values, n, &s, err);
	if (rc == HG_OK) rc = db_run(s, err);
	if (rc == HG_OK && ret_changes) *ret_changes = db_changes(db);
	db_stmt_free(s);
	return rc;
}
