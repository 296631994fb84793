/* Apps, releases, replicas and lanes. */
#include "store/store_priv.h"

static void app_read(struct db_stmt *q, struct store_app *a)
{
	*a = (struct store_app){
	        .id = (uint32_t)db_column_i64(q, 0),
	        .name = db_column_str(q, 1),
	        .scale = (int32_t)db_column_i64(q, 2),
	        .scale_file = (uint32_t)db_column_i64(q, 3),
	        .release = (uint32_t)db_column_i64(q, 4),
	        .revision = (uint32_t)db_column_i64(q, 5),
	        .present = db_column_i64(q, 6) != 0,
	        .trial = (uint32_t)db_column_i64(q, 7),
	        .trial_revision = (uint32_t)db_column_i64(q, 8),
	        .trial_replicas = (uint32_t)db_column_i64(q, 9),
	        .recreate = db_column_i64(q, 10) != 0,
	        .file_release = (uint32_t)db_column_i64(q, 11),
	        .told = (uint32_t)db_column_i64(q, 12),
	        .serving_replicas = (uint32_t)db_column_i64(q, 13),
	};
}

static enum hg_rc app_get(
        struct store *s, struct hg_str name, struct store_app *ret_app, struct hg_err *err)
{
	struct db_stmt *q;
	bool row;
	enum hg_rc rc = store_stmt(s, Q_APP_GET, &q, err);
	if (rc < 0) return rc;
	db_bind_str(q, 1, name);
	rc = db_step(q, &row, err);
	if (rc < 0) return rc;
	if (!row) return HG_E_NOT_FOUND;
	app_read(q, ret_app);
	ret_app->name = name; /* the column's memory ends with the statement */
	db_reset(q);
	return HG_OK;
}

enum hg_rc store_app_open(
        struct store *s, struct hg_str name, struct store_app *ret_app, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = app_get(s, name, ret_app, err);
	if (rc != HG_E_NOT_FOUND) return rc;
	rc = store_stmt(s, Q_APP_ADD, &q, err);
	if (rc < 0) return rc;
	db_bind_str(q, 1, name);
	rc = db_run(q, err);
	if (rc < 0) return rc;
	return app_get(s, name, ret_app, err);
}

enum hg_rc store_app_set(struct store *s, const struct store_app *a, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_APP_SET, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, a->id);
	db_bind_i64(q, 2, a->scale);
	db_bind_i64(q, 3, a->scale_file);
	db_bind_i64(q, 4, a->release);
	db_bind_i64(q, 5, a->revision);
	db_bind_i64(q, 6, a->present);
	db_bind_i64(q, 7, a->trial);
	db_bind_i64(q, 8, a->trial_revision);
	db_bind_i64(q, 9, a->trial_replicas);
	db_bind_i64(q, 10, a->recreate);
	db_bind_i64(q, 11, a->file_release);
	db_bind_i64(q, 12, a->told);
	db_bind_i64(q, 13, a->serving_replicas);
	rc = db_run(q, err);
	if (rc == HG_OK && db_changes(s->db) == 0) rc = HG_E_NOT_FOUND;
	return rc;
}

enum hg_rc store_apps(struct store *s, store_app_fn fn, void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_APPS, &q, err);
	for (bool row = true; rc == HG_OK;) {
		rc = db_step(q, &row, err);
		if (rc < 0 || !row) break;
		struct store_app a;
		app_read(q, &a);
		fn(arg, &a);
	}
	return rc;
}

enum hg_rc store_release_add(
        struct store *s, const struct store_release *r, uint32_t *ret_number, struct hg_err *err)
{
	struct db_stmt *q;
	bool row;
	enum hg_rc rc = store_stmt(s, Q_RELEASE_ADD, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, r->app);
	db_bind_str(q, 2, r->digest);
	db_bind_str(q, 3, r->spec);
	db_bind_i64(q, 4, (int64_t)r->created_ms);
	db_bind_str(q, 5, r->version);
	db_bind_i64(q, 6, r->kept);
	rc = db_step(q, &row, err);
	if (rc < 0) return rc;
	if (!row) return hg_err_set(err, HG_E_DB_QUERY, "the store gave no release number");
	uint32_t number = (uint32_t)db_column_i64(q, 0);
	/* To its end, so that the row is committed. */
	rc = db_step(q, &row, err);
	if (rc == HG_OK) *ret_number = number;
	return rc;
}

enum hg_rc store_release_note(struct store *s, const struct store_release *r, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_RELEASE_NOTE, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, r->app);
	db_bind_i64(q, 2, r->number);
	db_bind_str(q, 3, r->version);
	db_bind_i64(q, 4, r->kept);
	rc = db_run(q, err);
	if (rc == HG_OK && db_changes(s->db) == 0) rc = HG_E_NOT_FOUND;
	return rc;
}

enum hg_rc store_releases(struct store *s, uint32_t app, uint32_t number, store_release_fn fn,
        void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	bool found = false;
	enum hg_rc rc = store_stmt(s, number ? Q_RELEASE_GET : Q_RELEASES, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, app);
	if (number) db_bind_i64(q, 2, number);
	for (bool row = true; rc == HG_OK;) {
		rc = db_step(q, &row, err);
		if (rc < 0 || !row) break;
		found = true;
		fn(arg, &(struct store_release){
		                .app = (uint32_t)db_column_i64(q, 0),
		                .number = (uint32_t)db_column_i64(q, 1),
		                .digest = db_column_str(q, 2),
		                .spec = db_column_str(q, 3),
		                .created_ms = (uint64_t)db_column_i64(q, 4),
		                .version = db_column_str(q, 5),
		                .kept = db_column_i64(q, 6) != 0,
		        });
	}
	return rc == HG_OK && number && !found ? HG_E_NOT_FOUND : rc;
}

enum hg_rc store_history(struct store *s, uint32_t app, uint32_t before, uint32_t limit,
        store_past_fn fn, void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_HISTORY, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, app);
	db_bind_i64(q, 2, before ? before : INT64_MAX);
	db_bind_i64(q, 3, limit);
	for (bool row = true; rc == HG_OK;) {
		rc = db_step(q, &row, err);
		if (rc < 0 || !row) break;
		fn(arg, &(struct store_past){
		                .number = (uint32_t)db_column_i64(q, 0),
		                .version = db_column_str(q, 1),
		                .digest = db_column_str(q, 2),
		                .created_ms = (uint64_t)db_column_i64(q, 3),
		                .kept = db_column_i64(q, 4) != 0,
		                .quarantined_by = (uint64_t)db_column_i64(q, 5),
		                .rollout = (uint64_t)db_column_i64(q, 6),
		        });
	}
	return rc;
}

#define REPLICA_STARTED 1
#define REPLICA_READY   2
#define REPLICA_RETIRE  4
#define REPLICA_SPARE   8

static void replica_bind(struct db_stmt *q, const struct store_replica *r)
{
	int flags = (r->started ? REPLICA_STARTED : 0) | (r->ready ? REPLICA_READY : 0) |
	            (r->retire ? REPLICA_RETIRE : 0) | (r->spare ? REPLICA_SPARE : 0);
	db_bind_i64(q, 2, r->app);
	db_bind_i64(q, 3, r->release);
	db_bind_i64(q, 4, r->revision);
	db_bind_i64(q, 5, r->number);
	db_bind_i64(q, 6, r->state);
	db_bind_i64(q, 7, r->pid);
	db_bind_str(q, 8, r->address);
	db_bind_i64(q, 9, flags);
	db_bind_i64(q, 10, r->restarts);
	db_bind_i64(q, 11, r->streak);
	db_bind_i64(q, 12, (int64_t)r->started_ms);
	db_bind_i64(q, 13, (int64_t)r->exit_ms);
	db_bind_i64(q, 14, r->exit_status);
}

enum hg_rc store_replica_add(
        struct store *s, const struct store_replica *r, uint64_t *ret_id, struct hg_err *err)
{
	struct db_stmt *q;
	bool row;
	enum hg_rc rc = store_stmt(s, Q_REPLICA_ADD, &q, err);
	if (rc < 0) return rc;
	if (r->id)
		db_bind_i64(q, 1, (int64_t)r->id);
	else
		db_bind_null(q, 1);
	replica_bind(q, r);
	rc = db_step(q, &row, err);
	if (rc < 0) return rc;
	if (!row) return hg_err_set(err, HG_E_DB_QUERY, "the store gave no replica id");
	uint64_t id = (uint64_t)db_column_i64(q, 0);
	rc = db_step(q, &row, err);
	if (rc == HG_OK) *ret_id = id;
	return rc;
}

enum hg_rc store_replica_next_id(struct store *s, uint64_t *ret_id, struct hg_err *err)
{
	int64_t last;
	enum hg_rc rc = db_query_i64(
	        s->db, "SELECT seq FROM sqlite_sequence WHERE name='replica'", &last, err);
	if (rc == HG_OK) *ret_id = (uint64_t)last + 1;
	return rc;
}

enum hg_rc store_replica_set(struct store *s, const struct store_replica *r, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_REPLICA_SET, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, (int64_t)r->id);
	replica_bind(q, r);
	rc = db_run(q, err);
	if (rc == HG_OK && db_changes(s->db) == 0) rc = HG_E_NOT_FOUND;
	return rc;
}

enum hg_rc store_replica_remove(struct store *s, uint64_t id, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_REPLICA_REMOVE, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, (int64_t)id);
	return db_run(q, err);
}

enum hg_rc store_replicas(struct store *s, store_replica_fn fn, void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_REPLICAS, &q, err);
	for (bool row = true; rc == HG_OK;) {
		rc = db_step(q, &row, err);
		if (rc < 0 || !row) break;
		int64_t flags = db_column_i64(q, 8);
		fn(arg, &(struct store_replica){
		                .id = (uint64_t)db_column_i64(q, 0),
		                .app = (uint32_t)db_column_i64(q, 1),
		                .release = (uint32_t)db_column_i64(q, 2),
		                .revision = (uint32_t)db_column_i64(q, 3),
		                .number = (uint32_t)db_column_i64(q, 4),
		                .state = (uint32_t)db_column_i64(q, 5),
		                .pid = (int32_t)db_column_i64(q, 6),
		                .address = db_column_str(q, 7),
		                .started = (flags & REPLICA_STARTED) != 0,
		                .ready = (flags & REPLICA_READY) != 0,
		                .retire = (flags & REPLICA_RETIRE) != 0,
		                .spare = (flags & REPLICA_SPARE) != 0,
		                .restarts = (uint32_t)db_column_i64(q, 9),
		                .streak = (uint32_t)db_column_i64(q, 10),
		                .started_ms = (uint64_t)db_column_i64(q, 11),
		                .exit_ms = (uint64_t)db_column_i64(q, 12),
		                .exit_status = (int32_t)db_column_i64(q, 13),
		        });
	}
	return rc;
}

enum hg_rc store_lane_set(struct store *s, const struct store_lane *l, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_LANE_SET, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, l->lane);
	db_bind_i64(q, 2, l->app);
	db_bind_i64(q, 3, l->release);
	db_bind_str(q, 4, l->route);
	return db_run(q, err);
}

enum hg_rc store_lanes_clear(struct store *s, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_LANES_CLEAR, &q, err);
	return rc < 0 ? rc : db_run(q, err);
}

enum hg_rc store_lanes(struct store *s, store_lane_fn fn, void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_LANES, &q, err);
	for (bool row = true; rc == HG_OK;) {
		rc = db_step(q, &row, err);
		if (rc < 0 || !row) break;
		fn(arg, &(struct store_lane){
		                .lane = (uint32_t)db_column_i64(q, 0),
		                .app = (uint32_t)db_column_i64(q, 1),
		                .release = (uint32_t)db_column_i64(q, 2),
		                .route = db_column_str(q, 3),
		        });
	}
	return rc;
}
