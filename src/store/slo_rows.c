/* Counts of objectives by the hour, and incidents. */
#include "store/store_priv.h"

enum hg_rc store_slo_hour_set(struct store *s, const struct store_slo_hour *h, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_SLO_HOUR_SET, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, h->app);
	db_bind_i64(q, 2, (int64_t)h->hour);
	db_bind_blob(q, 3, h->counts);
	db_bind_blob(q, 4, h->base);
	return db_run(q, err);
}

enum hg_rc store_slo_hours(
        struct store *s, uint32_t app, store_slo_hour_fn fn, void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_SLO_HOURS, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, app);
	for (bool row = true; rc == HG_OK;) {
		rc = db_step(q, &row, err);
		if (rc < 0 || !row) break;
		fn(arg, &(struct store_slo_hour){
		                .app = (uint32_t)db_column_i64(q, 0),
		                .hour = (uint64_t)db_column_i64(q, 1),
		                .counts = db_column_blob(q, 2),
		                .base = db_column_blob(q, 3),
		        });
	}
	return rc;
}

enum hg_rc store_slo_hours_prune(struct store *s, uint32_t app, uint64_t hour, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_SLO_HOURS_PRUNE, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, app);
	db_bind_i64(q, 2, (int64_t)hour);
	return db_run(q, err);
}

static void bind(struct db_stmt *q, const struct store_incident *i)
{
	db_bind_str(q, 2, i->app);
	db_bind_str(q, 3, i->cause);
	db_bind_str(q, 4, i->title);
	db_bind_i64(q, 5, i->priority);
	db_bind_i64(q, 6, i->state);
	db_bind_i64(q, 7, i->escalations);
	db_bind_i64(q, 8, (int64_t)i->opened_ms);
	db_bind_i64(q, 9, (int64_t)i->acknowledged_ms);
	db_bind_i64(q, 10, (int64_t)i->resolved_ms);
	db_bind_i64(q, 11, (int64_t)i->due_ms);
	db_bind_i64(q, 12, (int64_t)i->first_event);
	db_bind_i64(q, 13, (int64_t)i->last_event);
	db_bind_str(q, 14, i->assignee);
	db_bind_str(q, 15, i->runbook);
}

enum hg_rc store_incident_add(
        struct store *s, const struct store_incident *i, uint64_t *ret_id, struct hg_err *err)
{
	struct db_stmt *q;
	bool row;
	enum hg_rc rc = store_stmt(s, Q_INCIDENT_ADD, &q, err);
	if (rc < 0) return rc;
	bind(q, i);
	rc = db_step(q, &row, err);
	if (rc < 0) return rc;
	if (!row) return hg_err_set(err, HG_E_DB_QUERY, "the store gave no number for an incident");
	uint64_t id = (uint64_t)db_column_i64(q, 0);
	rc = db_step(q, &row, err);
	if (rc == HG_OK) *ret_id = id;
	return rc;
}

static enum hg_rc missing(uint64_t id, struct hg_err *err)
{
	enum hg_rc rc = hg_err_set(
	        err, HG_E_NOT_FOUND, "there is no incident %llu", (unsigned long long)id);
	hg_err_hint(err, "headgate incidents list shows them");
	return rc;
}

enum hg_rc store_incident_set(struct store *s, const struct store_incident *i, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_INCIDENT_SET, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, (int64_t)i->id);
	bind(q, i);
	rc = db_run(q, err);
	return rc == HG_OK && db_changes(s->db) == 0 ? missing(i->id, err) : rc;
}

static enum hg_rc walk(
        struct db_stmt *q, store_incident_fn fn, void *arg, uint32_t *ret_n, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	for (bool row = true; rc == HG_OK;) {
		rc = db_step(q, &row, err);
		if (rc < 0 || !row) break;
		++*ret_n;
		fn(arg, &(struct store_incident){
		                .id = (uint64_t)db_column_i64(q, 0),
		                .app = db_column_str(q, 1),
		                .cause = db_column_str(q, 2),
		                .title = db_column_str(q, 3),
		                .priority = (uint32_t)db_column_i64(q, 4),
		                .state = (uint32_t)db_column_i64(q, 5),
		                .escalations = (uint32_t)db_column_i64(q, 6),
		                .opened_ms = (uint64_t)db_column_i64(q, 7),
		                .acknowledged_ms = (uint64_t)db_column_i64(q, 8),
		                .resolved_ms = (uint64_t)db_column_i64(q, 9),
		                .due_ms = (uint64_t)db_column_i64(q, 10),
		                .first_event = (uint64_t)db_column_i64(q, 11),
		                .last_event = (uint64_t)db_column_i64(q, 12),
		                .assignee = db_column_str(q, 13),
		                .runbook = db_column_str(q, 14),
		        });
	}
	return rc;
}

enum hg_rc store_incident_get(
        struct store *s, uint64_t id, store_incident_fn fn, void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	uint32_t n = 0;
	enum hg_rc rc = store_stmt(s, Q_INCIDENT_GET, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, id > INT64_MAX ? INT64_MAX : (int64_t)id);
	rc = walk(q, fn, arg, &n, err);
	return rc == HG_OK && n == 0 ? missing(id, err) : rc;
}

enum hg_rc store_incidents(struct store *s, bool open, uint32_t limit, store_incident_fn fn,
        void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	uint32_t n = 0;
	enum hg_rc rc = store_stmt(s, open ? Q_INCIDENTS_OPEN : Q_INCIDENTS, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, limit);
	return walk(q, fn, arg, &n, err);
}
