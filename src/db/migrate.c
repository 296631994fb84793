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

static enum hg_rc migrate_locked(struct db *db, const struct db_migration *steps, size_t n,
        struct db_migrated *done, struct hg_err *err)
{
	size_t next = 0;
	enum hg_rc rc = db_exec(db,
	        "CREATE TABLE IF NOT EXISTS schema_migrations(version INTEGER PRIMARY KEY,"
	        " name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at TEXT NOT NULL)",
	        err);
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
	rc = db_begin(db, err);
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
