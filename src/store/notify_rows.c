/* Alerts, silences and what was told. */
#include "store/store_priv.h"

enum hg_rc store_notify_set(struct store *s, enum store_notify kind, struct hg_str key,
        struct hg_str value, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_NOTIFY_SET, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, kind);
	db_bind_str(q, 2, key);
	db_bind_str(q, 3, value);
	return db_run(q, err);
}

enum hg_rc store_notify_remove(
        struct store *s, enum store_notify kind, struct hg_str key, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_NOTIFY_REMOVE, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, kind);
	db_bind_str(q, 2, key);
	return db_run(q, err);
}

enum hg_rc store_notify_each(
        struct store *s, enum store_notify kind, store_notify_fn fn, void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_NOTIFY_EACH, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, kind);
	for (bool row = true; rc == HG_OK;) {
		rc = db_step(q, &row, err);
		if (rc < 0 || !row) break;
		fn(arg, db_column_str(q, 0), db_column_str(q, 1));
	}
	return rc;
}
