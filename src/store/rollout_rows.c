/* Rollouts, and the releases that were taken back. */
#include "store/store_priv.h"

enum hg_rc store_rollout_add(
        struct store *s, const struct store_rollout *r, uint64_t *ret_id, struct hg_err *err)
{
	struct db_stmt *q;
	bool row;
	enum hg_rc rc = store_stmt(s, Q_ROLLOUT_ADD, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, r->app);
	db_bind_i64(q, 2, r->old_release);
	db_bind_i64(q, 3, r->new_release);
	db_bind_i64(q, 4, r->strategy);
	db_bind_str(q, 5, r->who);
	db_bind_str(q, 6, r->texts.n ? r->texts : HG_STR("{}"));
	db_bind_i64(q, 7, (int64_t)r->created_ms);
	rc = db_step(q, &row, err);
	if (rc < 0) return rc;
	if (!row) return hg_err_set(err, HG_E_DB_QUERY, "the store gave no rollout id");
	uint64_t id = (uint64_t)db_column_i64(q, 0);
	/* To its end, so that the row is committed. */
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
	db_bind_i64(q, 2, r->phase);
	db_bind_i64(q, 3, r->pause);
	db_bind_i64(q, 4, r->outcome);
	db_bind_i64(q, 5, r->cause);
	db_bind_i64(q, 6, r->weight_ppm);
	db_bind_i64(q, 7, (int64_t)r->changed_ms);
	db_bind_i64(q, 8, (int64_t)r->ended_ms);
	db_bind_blob(q, 9, r->state);
	rc = db_run(q, err);
	if (rc == HG_OK && db_changes(s->db) == 0) rc = HG_E_NOT_FOUND;
	return rc;
}

static enum hg_rc rows(
        struct db_stmt *q, bool *ret_found, store_rollout_fn fn, void *arg, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	for (bool row = true; rc == HG_OK;) {
		rc = db_step(q, &row, err);
		if (rc < 0 || !row) break;
		if (ret_found) *ret_found = true;
		fn(arg, &(struct store_rollout){
		                .id = (uint64_t)db_column_i64(q, 0),
		                .app = (uint32_t)db_column_i64(q, 1),
		                .old_release = (uint32_t)db_column_i64(q, 2),
		                .new_release = (uint32_t)db_column_i64(q, 3),
		                .strategy = (uint32_t)db_column_i64(q, 4),
		                .phase = (uint32_t)db_column_i64(q, 5),
		                .pause = (uint32_t)db_column_i64(q, 6),
		                .outcome = (uint32_t)db_column_i64(q, 7),
		                .cause = (uint32_t)db_column_i64(q, 8),
		                .weight_ppm = (uint32_t)db_column_i64(q, 9),
		                .who = db_column_str(q, 10),
		                .created_ms = (uint64_t)db_column_i64(q, 11),
		                .changed_ms = (uint64_t)db_column_i64(q, 12),
		                .ended_ms = (uint64_t)db_column_i64(q, 13),
		                .texts = db_column_str(q, 14),
		                .state = db_column_blob(q, 15),
		        });
	}
	return rc;
}

enum hg_rc store_rollout_get(
        struct store *s, uint64_t id, store_rollout_fn fn, void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	bool found = false;
	if (id > INT64_MAX) return HG_E_NOT_FOUND;
	enum hg_rc rc = store_stmt(s, Q_ROLLOUT_GET, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, (int64_t)id);
	rc = rows(q, &found, fn, arg, err);
	return rc == HG_OK && !found ? HG_E_NOT_FOUND : rc;
}

enum hg_rc store_rollouts_running(
        struct store *s, store_rollout_fn fn, void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_ROLLOUTS_RUNNING, &q, err);
	return rc < 0 ? rc : rows(q, NULL, fn, arg, err);
}

enum hg_rc store_rollouts(struct store *s, uint32_t app, uint64_t before, uint32_t limit,
        store_rollout_fn fn, void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, app ? Q_ROLLOUTS_APP : Q_ROLLOUTS, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, before == 0 || before > INT64_MAX ? INT64_MAX : (int64_t)before);
	db_bind_i64(q, 2, limit);
	if (app) db_bind_i64(q, 3, app);
	return rows(q, NULL, fn, arg, err);
}

/* ---- quarantine ---- */

enum hg_rc store_quarantine_add(
        struct store *s, const struct store_quarantine *x, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_QUARANTINE_ADD, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, x->app);
	db_bind_i64(q, 2, x->release);
	db_bind_i64(q, 3, (int64_t)x->rollout);
	db_bind_i64(q, 4, (int64_t)x->since_ms);
	return db_run(q, err);
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

enum hg_rc store_quarantines(
        struct store *s, uint32_t app, store_quarantine_fn fn, void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_QUARANTINES, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, app);
	for (bool row = true; rc == HG_OK;) {
		rc = db_step(q, &row, err);
		if (rc < 0 || !row) break;
		fn(arg, &(struct store_quarantine){
		                .app = (uint32_t)db_column_i64(q, 0),
		                .release = (uint32_t)db_column_i64(q, 1),
		                .rollout = (uint64_t)db_column_i64(q, 2),
		                .since_ms = (uint64_t)db_column_i64(q, 3),
		        });
	}
	return rc;
}
