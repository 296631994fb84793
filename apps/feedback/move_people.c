#include "apps/feedback/move_priv.h"

#include <inttypes.h>
#include <stdio.h>

#include "apps/feedback/sql_priv.h"

#define BATCH 1000

/* Below those whose rows they name. */
static const struct table {
	const char *name;
	const char *json;    /* of a row of the file */
	const char *columns; /* of the server's */
	const char *given;   /* where ids are the server's business otherwise */
	bool counted;        /* it has a sequence */
} tables[] = {
        {"secrets", "'name', name, 'value', value", "name, value", "", false},
        {"users",
                "'id', id, 'email', email, 'role', role, 'password', password, 'disabled', "
                "disabled,"
                " 'totp_secret', totp_secret, 'totp_on', totp_on, 'totp_step', totp_step,"
                " 'issuer', issuer, 'subject', subject, 'created_at', created_at,"
                " 'updated_at', updated_at",
                "id, email, role, password, disabled, totp_secret, totp_on, totp_step, issuer,"
                " subject, created_at, updated_at",
                "", true},
        {"api_keys",
                "'id', id, 'user_id', user_id, 'name', name, 'hint', hint, 'hash', hash,"
                " 'scopes', scopes, 'created_at', created_at, 'expires_at', expires_at,"
                " 'used_at', used_at",
                "id, user_id, name, hint, hash, scopes, created_at, expires_at, used_at", "", true},
        {"recovery_codes", "'user_id', user_id, 'hash', hash", "user_id, hash", "", false},
        {"audit",
                "'id', id, 'at', at, 'action', action, 'user_id', user_id, 'name', name,"
                " 'via', via, 'object', object, 'detail', detail, 'address', address,"
                " 'request_id', request_id",
                "id, at, action, user_id, name, via, object, detail, address, request_id",
                "OVERRIDING SYSTEM VALUE", true},
        /* Those of browsers too. Behind the feedback, whose counts they make. */
        {"feedback_votes", "'voter', voter, 'feedback_id', feedback_id, 'created_at', created_at",
                "voter, feedback_id, created_at", "", false},
        /* What is still to be done is done over there. */
        {"jobs",
                "'id', id, 'queue', queue, 'kind', kind, 'args', args, "
                "'state', state, 'priority', priority, 'attempt', attempt, "
                "'attempts_max', attempts_max, 'unique_key', unique_key, "
                "'run_at', run_at, 'created_at', created_at, 'lease', lease, "
                "'lease_until', lease_until, 'sent_at', sent_at, 'worker', worker, "
                "'started_at', started_at, 'finished_at', finished_at, "
                "'error', error, 'result', result",
                "id, queue, kind, args, state, priority, attempt, attempts_max, "
                "unique_key, run_at, created_at, lease, lease_until, sent_at, "
                "worker, started_at, finished_at, error, result",
                "", true},
        {"webhooks",
                "'id', id, 'url', url, 'secret', secret, 'old_secret', old_secret, "
                "'enabled', enabled, 'created_at', created_at, "
                "'disabled_at', disabled_at, 'disabled_why', disabled_why, "
                "'secret_changed_at', secret_changed_at, 'told_at', told_at, "
                "'told', told",
                "id, url, secret, old_secret, enabled, created_at, disabled_at, "
                "disabled_why, secret_changed_at, told_at, told",
                "", true},
};

enum hg_rc move_there(struct db *from, const char *table, bool *ret_there, struct hg_err *err)
{
	char sql[120];
	int64_t n = 0;
	snprintf(sql, sizeof sql,
	        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '%s'", table);
	enum hg_rc rc = db_query_i64(from, sql, &n, err);
	*ret_there = n > 0;
	return rc;
}

/* One batch; *at: the row it ends with, unchanged when there are no more. */
static enum hg_rc copy_batch(
        struct db_stmt *read, struct db_stmt *write, int64_t *at, struct hg_err *err)
{
	bool row = false;
	db_bind_i64(read, 1, *at);
	db_bind_i64(read, 2, BATCH);
	enum hg_rc rc = db_step(read, &row, err);
	if (rc < 0) return rc;
	if (row && !db_column_null(read, 1)) {
		*at = db_column_i64(read, 1);
		db_bind_str(write, 1, db_column_str(read, 0));
		rc = db_run(write, err);
	}
	db_reset(read);
	return rc;
}

static enum hg_rc copy_table(
        struct db *from, struct db *to, const struct table *t, struct hg_err *err)
{
	struct db_stmt *read = NULL, *write = NULL;
	char sql[1600];
	int64_t at = 0, before;
	snprintf(sql, sizeof sql,
	        "SELECT json_group_array(json_object(%s)), max(at_row) FROM (SELECT *, rowid AS "
	        "at_row"
	        " FROM %s WHERE rowid > $1 ORDER BY rowid LIMIT $2)",
	        t->json, t->name);
	enum hg_rc rc = db_prepare(from, sql, &read, err);
	snprintf(sql, sizeof sql,
	        "INSERT INTO %s (%s) %s SELECT %s FROM json_populate_recordset(NULL::%s, $1::json)"
	        " ON CONFLICT DO NOTHING",
	        t->name, t->columns, t->given, t->columns, t->name);
	if (rc == HG_OK) rc = db_prepare(to, sql, &write, err);
	do {
		before = at;
		if (rc == HG_OK) rc = copy_batch(read, write, &at, err);
	} while (rc == HG_OK && at > before);
	db_stmt_free(read);
	db_stmt_free(write);
	if (rc < 0 || !t->counted) return rc;
	snprintf(sql, sizeof sql,
	        "SELECT setval(pg_get_serial_sequence('%s', 'id'), greatest(max(id), 1),"
	        " max(id) IS NOT NULL) FROM %s",
	        t->name, t->name);
	return db_exec(to, sql, err);
}

enum hg_rc move_people(struct db *from, struct db *to, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	for (size_t i = 0; rc == HG_OK && i < HG_COUNT(tables); i++) {
		bool there = false;
		rc = move_there(from, tables[i].name, &there, err);
		if (rc == HG_OK && there) rc = copy_table(from, to, &tables[i], err);
	}
	return rc;
}

enum hg_rc move_people_same(struct db *from, struct db *to, struct hg_err *err)
{
	for (size_t i = 0; i < HG_COUNT(tables); i++) {
		char sql[64];
		int64_t there = 0, here = 0;
		bool has = false;
		snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", tables[i].name);
		enum hg_rc rc = move_there(from, tables[i].name, &has, err);
		if (rc == HG_OK && has) rc = db_query_i64(from, sql, &there, err);
		if (rc == HG_OK) rc = db_query_i64(to, sql, &here, err);
		if (rc < 0) return rc;
		if (there != here)
			return hg_err_set(err, HG_E_DB_QUERY,
			        "the two are not the same: %s has %" PRId64
			        " rows in the file, %" PRId64 " on the server",
			        tables[i].name, there, here);
	}
	return HG_OK;
}
