/* Rollouts and releases in quarantine. */
#include "store/store_priv.h"

static void bind(struct db_stmt *q, const struct store_rollout *r)
{
	db_bind_i64(q, 2, r->app);
	db_bind_i64(q, 3, (int64_t)r->created_ms);
	db_bind_i64(q, 4, (int64_t)r->ended_ms);
	db_bind_i64(q, 5, r->old_release);
	db_bind_i64(q, 6, r->new_release);
	db_bind_i64(q, 7, r->promoted);
	db_bind_i64(q, 8, r->begun);
	db_bind_blob(q, 9, r->state);
	db_bind_str(q, 10, r->text);
}

enum hg_rc store_rollout_add(
        struct store *s, const struct store_rollout *r, uint64_t *ret_id, struct hg_err *err)
{
	struct db_stmt *q;
	bool row;
	enum hg_rc rc = store_stmt(s, Q_ROLLOUT_ADD, &q, err);
	if (rc < 0) return rc;
	bind(q, r);
	rc = db_step(q, &row, err);
	if (rc < 0) return rc;
	if (!row) return hg_err_set(err, HG_E_DB_QUERY, "the store gave no number for a rollout");
	uint64_t id = (uint64_t)db_column_i64(q, 0);
	rc = db_step(q, &row, err);
	if (rc == HG_OK) *ret_id = id;
	return rc;
}

enum hg_rc store_rollout_set(struct store *s, const struct store_rollout *r, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_ROLLOUT_SET, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, (int64_t)r->id);
	bind(q, r);
	rc = db_run(q, err);
	if (rc == HG_OK && db_changes(s->db) == 0)
		return hg_err_set(
		        err, HG_E_NOT_FOUND, "there is no rollout %llu", (unsigned long long)r->id);
	return rc;
}

static enum hg_rc walk(
        struct db_stmt *q, store_rollout_fn fn, void *arg, uint32_t *ret_n, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	for (bool row = true; rc == HG_OK;) {
		rc = db_step(q, &row, err);
		if (rc < 0 || !row) break;
		++*ret_n;
		fn(arg, &(struct store_rollout){
		                .id = (uint64_t)db_column_i64(q, 0),
		                .app = (uint32_t)db_column_i64(q, 1),
		                .created_ms = (uint64_t)db_column_i64(q, 2),
		                .ended_ms = (uint64_t)db_column_i64(q, 3),
		                .old_release = (uint32_t)db_column_i64(q, 4),
		                .new_release = (uint32_t)db_column_i64(q, 5),
		                .promoted = db_column_i64(q, 6) != 0,
		                .begun = db_column_i64(q, 7) != 0,
		                .state = db_column_blob(q, 8),
		                .text = db_column_str(q, 9),
		        });
	}
	return rc;
}

enum hg_rc store_rollout_get(
        struct store *s, uint64_t id, store_rollout_fn fn, void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	uint32_t n = 0;
	enum hg_rc rc = store_stmt(s, Q_ROLLOUT_GET, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, id > INT64_MAX ? INT64_MAX : (int64_t)id);
	rc = walk(q, fn, arg, &n, err);
	if (rc == HG_OK && n == 0)
		return hg_err_set(
		        err, HG_E_NOT_FOUND, "there is no rollout %llu", (unsigned long long)id);
	return rc;
}

enum hg_rc store_rollouts(struct store *s, uint32_t app, bool open, uint32_t limit,
        store_rollout_fn fn, void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	uint32_t n = 0;
	enum hg_rc rc = store_stmt(s, open ? Q_ROLLOUTS_OPEN : Q_ROLLOUTS, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, app);
	db_bind_i64(q, 2, limit);
	return walk(q, fn, arg, &n, err);
}

enum hg_rc store_quarantine_set(
        struct store *s, uint32_t app, uint32_t release, uint64_t rollout, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_QUARANTINE_SET, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, app);
	db_bind_i64(q, 2, release);
	db_bind_i64(q, 3, (int64_t)rollout);
	return db_run(q, err);
}

enum hg_rc store_quarantine_get(
        struct store *s, uint32_t app, uint32_t release, uint64_t *ret_rollout, struct hg_err *err)
{
	struct db_stmt *q;
	bool row;
	enum hg_rc rc = store_stmt(s, Q_QUARANTINE_GET, &q, err);
	if (rc < 0) return rc;
	*ret_rollout = 0;
	db_bind_i64(q, 1, app);
	db_bind_i64(q, 2, release);
	rc = db_step(q, &row, err);
	if (rc < 0 || !row) return rc;
	*ret_rollout = (uint64_t)db_column_i64(q, 0);
	return db_step(q, &row, err);
}

enum hg_rc store_quarantine_remove(
        struct store *s, uint32_t app, uint32_t release, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_QUARANTINE_REMOVE, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, app);
	db_bind_i64(q, 2, release);
	return db_run(q, err);
}
