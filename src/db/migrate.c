#include "db/db.h"

#include <stdio.h>

/* Enough to notice an edited step; it does not defend against somebody who wants to fool it. */
static void checksum_of(const struct db_migration *m, char to[17])
{
	snprintf(to, 17, "%016llx", (unsigned long long)hg_str_hash(hg_str(m->sql)));
}

/* Both lists ascend, so they are merged. *ret_next: the first step that is not applied yet. */
static enum hg_rc compare(struct db *db, const struct db_migration *steps, size_t n,
        size_t *ret_next, struct db_migrated *done, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	bool row = false;
	size_t next = 0;
	enum hg_rc rc = db_prepare(
	        db, "SELECT version, checksum FROM schema_migrations ORDER BY version", &s, err);
	if (rc < 0) goto out;
	while ((rc = db_step(s, &row, err)) == HG_OK && row) {
		const struct db_migration *m = next < n ? &steps[next] : NULL;
		char sum[17];
		done->version = (uint32_t)db_column_i64(s, 0);
		if (!m || m->version > done->version) {
			done->unknown++;
			continue;
		}
		if (m->version < done->version) {
			rc = hg_err_set(err, HG_E_DB_MIGRATION,
			        "migration %u \"%s\" is missing below %u, which was applied",
			        m->version, m->name, done->version);
			hg_err_hint(err, "Give it a number above all that were applied.");
			goto out;
		}
		checksum_of(m, sum);
		if (!hg_str_eq(db_column_str(s, 1), hg_str(sum))) {
			rc = hg_err_set(err, HG_E_DB_MIGRATION,
			        "migration %u \"%s\" was changed after it was applied", m->version,
			        m->name);
			hg_err_hint(err, "Put its text back and write a new migration.");
			goto out;
		}
		next++;
	}
	*ret_next = next;
out:
	db_stmt_free(s);
	return rc;
}

static enum hg_rc record(struct db *db, const struct db_migration *m, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	char sum[17];
	enum hg_rc rc = db_prepare(db,
	        "INSERT INTO schema_migrations(version, name, checksum, applied_at)"
	        " VALUES($1, $2, $3, CURRENT_TIMESTAMP)",
	        &s, err);
	if (rc < 0) goto out;
	checksum_of(m, sum);
	db_bind_i64(s, 1, m->version);
	db_bind_str(s, 2, hg_str(m->name));
	db_bind_str(s, 3, hg_str(sum));
	rc = db_run(s, err);
out:
	db_stmt_free(s);
	return rc;
}

static enum hg_rc apply(struct db *db, const struct db_migration *m, struct hg_err *err)
{
	struct hg_err why = {0};
	enum hg_rc rc = db_exec(db, m->sql, &why);
	if (rc == HG_OK && !db_in_transaction(db)) {
		rc = HG_E_DB_MIGRATION;
		hg_err_set(&why, rc, "it ends the transaction that migrations run in");
	}
	if (rc == HG_OK) rc = record(db, m, &why);
	if (rc == HG_OK) return HG_OK;
	hg_err_set(err, HG_E_DB_MIGRATION, "migration %u \"%s\" failed", m->version, m->name);
	hg_err_detail(err, "%s", why.message);
	hg_err_hint(err, "The schema is as it was before.");
	return HG_E_DB_MIGRATION;
}

/*
 * One at a time: SQLite's transaction has the writer's lock, PostgreSQL is asked for one of a
 * number of our own. Whoever waits for it waits for a migration, longer than statements may for a
 * table.
 */
static enum hg_rc begin(struct db *db, struct hg_err *err)
{
	enum hg_rc rc = db_begin(db, err);
	if (rc < 0 || !db_is_postgres(db)) return rc;
	rc = db_exec(db,
	        "SET LOCAL lock_timeout = '120s';"
	        "SELECT pg_advisory_xact_lock(7236833191);"
	        "SET LOCAL lock_timeout = '5s'",
	        err);
	if (rc < 0) db_rollback(db);
	return rc;
}

static enum hg_rc make_history(struct db *db, struct hg_err *err)
{
	return db_exec(db,
	        "CREATE TABLE IF NOT EXISTS schema_migrations(version INTEGER PRIMARY KEY,"
	        " name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at TEXT NOT NULL)",
	        err);
}

static enum hg_rc migrate_locked(struct db *db, const struct db_migration *steps, size_t n,
        struct db_migrated *done, struct hg_err *err)
{
	size_t next = 0;
	enum hg_rc rc = make_history(db, err);
	if (rc == HG_OK) rc = compare(db, steps, n, &next, done, err);
	for (; rc == HG_OK && next < n; next++) {
		rc = apply(db, &steps[next], err);
		done->applied++;
		done->version = steps[next].version;
	}
	return rc;
}

enum hg_rc db_migrate(struct db *db, const struct db_migration *steps, size_t n,
        struct db_migrated *ret_done, struct hg_err *err)
{
	struct db_migrated done = {0};
	enum hg_rc rc;
	for (size_t i = 1; i < n; i++)
		HG_ASSERT(steps[i].version > steps[i - 1].version);
	rc = begin(db, err);
	if (rc < 0) return rc;
	rc = migrate_locked(db, steps, n, &done, err);
	if (rc < 0) {
		db_rollback(db);
		return rc;
	}
	rc = db_commit(db, err);
	if (rc == HG_OK && ret_done) *ret_done = done;
	return rc;
}

static enum hg_rc newest(struct db *db, int64_t *ret_version, struct hg_err *err)
{
	return db_query_i64(
	        db, "SELECT coalesce(max(version), 0) FROM schema_migrations", ret_version, err);
}

static enum hg_rc forget(struct db *db, uint32_t version, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	enum hg_rc rc = db_prepare(db, "DELETE FROM schema_migrations WHERE version = $1", &s, err);
	if (rc == HG_OK) {
		db_bind_i64(s, 1, version);
		rc = db_run(s, err);
	}
	db_stmt_free(s);
	return rc;
}

static enum hg_rc take_back(struct db *db, const struct db_migration *m, struct hg_err *err)
{
	struct hg_err why = {0};
	enum hg_rc rc = db_exec(db, m->down, &why);
	if (rc == HG_OK && !db_in_transaction(db)) {
		rc = HG_E_DB_MIGRATION;
		hg_err_set(&why, rc, "it ends the transaction that migrations run in");
	}
	if (rc == HG_OK) rc = forget(db, m->version, &why);
	if (rc == HG_OK) return HG_OK;
	hg_err_set(err, HG_E_DB_MIGRATION, "migration %u \"%s\" could not be taken back",
	        m->version, m->name);
	hg_err_detail(err, "%s", why.message);
	hg_err_hint(err, "The schema is as it was before.");
	return HG_E_DB_MIGRATION;
}

static enum hg_rc down_locked(struct db *db, const struct db_migration *steps, size_t n,
        uint32_t count, struct db_migrated *done, struct hg_err *err)
{
	int64_t version = 0;
	size_t next = 0;
	enum hg_rc rc = make_history(db, err);
	if (rc == HG_OK) rc = compare(db, steps, n, &next, done, err);
	for (; rc == HG_OK && count; count--) {
		rc = newest(db, &version, err);
		if (rc < 0 || version == 0) break;
		const struct db_migration *m = NULL;
		for (size_t i = 0; i < n; i++)
			if (steps[i].version == (uint32_t)version) m = &steps[i];
		if (!m || !m->down)
			return hg_err_set(err, HG_E_DB_MIGRATION,
			        "migration %u cannot be taken back by this program",
			        (unsigned)version);
		rc = take_back(db, m, err);
		done->applied++;
	}
	if (rc == HG_OK && done->applied == 0)
		rc = hg_err_set(err, HG_E_NOT_FOUND, "no migration is applied");
	if (rc == HG_OK) rc = newest(db, &version, err);
	done->version = (uint32_t)version;
	return rc;
}

enum hg_rc db_migrate_down(struct db *db, const struct db_migration *steps, size_t n,
        uint32_t count, struct db_migrated *ret_done, struct hg_err *err)
{
	struct db_migrated done = {0};
	enum hg_rc rc = begin(db, err);
	if (rc < 0) return rc;
	rc = down_locked(db, steps, n, count, &done, err);
	if (rc < 0) {
		db_rollback(db);
		return rc;
	}
	rc = db_commit(db, err);
	if (rc == HG_OK && ret_done) *ret_done = done;
	return rc;
}

static enum hg_rc history_exists(struct db *db, int64_t *ret_there, struct hg_err *err)
{
	return db_query_i64(db,
	        db_is_postgres(db)
	                ? "SELECT count(*) FROM pg_tables WHERE tablename = 'schema_migrations'"
	                  " AND schemaname = ANY (current_schemas(false))"
	                : "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_migrations'",
	        ret_there, err);
}

enum hg_rc db_migration_states(struct db *db, const struct db_migration *steps, size_t n,
        void (*each)(void *arg, const struct db_migration_state *state), void *arg,
        struct hg_err *err)
{
	struct db_stmt *s = NULL;
	bool row = false;
	size_t next = 0;
	int64_t there = 0;
	enum hg_rc rc = history_exists(db, &there, err);
	if (rc == HG_OK && there)
		rc = db_prepare(db,
		        "SELECT version, checksum, applied_at, name FROM schema_migrations"
		        " ORDER BY version",
		        &s, err);
	while (rc == HG_OK && s && (rc = db_step(s, &row, err)) == HG_OK && row) {
		uint32_t version = (uint32_t)db_column_i64(s, 0);
		char sum[17], name[64];
		for (; next < n && steps[next].version < version; next++)
			each(arg, &(struct db_migration_state){steps[next].version,
			                  steps[next].name, HG_STR(""), false, false});
		bool known = next < n && steps[next].version == version;
		hg_str_copy(db_column_str(s, 3), name, sizeof name);
		if (known) checksum_of(&steps[next], sum);
		each(arg, &(struct db_migration_state){version, known ? steps[next].name : name,
		                  db_column_str(s, 2), !known,
		                  known && !hg_str_eq(db_column_str(s, 1), hg_str(sum))});
		next += known;
	}
	for (; rc == HG_OK && next < n; next++)
		each(arg, &(struct db_migration_state){
		                  steps[next].version, steps[next].name, HG_STR(""), false, false});
	db_stmt_free(s);
	return rc;
}
