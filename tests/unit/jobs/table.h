/*
 * A database with the table of jobs for each test: a file, or the server that JOBS_TEST_DATABASE
 * names (jobs_server_test.py starts one).
 */
#ifndef TESTS_UNIT_JOBS_TABLE_H
#define TESTS_UNIT_JOBS_TABLE_H

#include "tests/unit/db/dir.h"

#include "os/file.h"

static HG_UNUSED const char *table_url(const struct dir *d)
{
	const char *server = getenv("JOBS_TEST_DATABASE");
	return server && *server ? server : d->db;
}

static HG_UNUSED struct db *table_connect(const struct dir *d)
{
	struct db_options o = {.url = table_url(d), .durability = DB_NORMAL};
	struct hg_err err = {0};
	struct db *db = NULL;
	if (db_open(&o, &db, &err) < 0) fail_msg("%s", err.message);
	return db;
}

static HG_UNUSED struct db *table_make(const struct dir *d)
{
	struct db *db = table_connect(d);
	struct hg_err err = {0};
	struct hg_buf sql;
	const char *file = db_is_postgres(db) ? TEST_DATA
	                           "/../../../apps/feedback/migrations/postgres/0005_jobs.sql"
	                                      : TEST_DATA
	                           "/../../../apps/feedback/migrations/0005_jobs.sql";
	hg_buf_init(&sql, 1 << 20);
	if (file_read(file, 1 << 20, &sql, &err) < 0) fail_msg("%s", err.message);
	if (db_exec(db, "DROP TABLE IF EXISTS jobs; DROP TABLE IF EXISTS webhooks", &err) < 0 ||
	        db_exec(db, hg_buf_text(&sql), &err) < 0)
		fail_msg("%s", err.message);
	hg_buf_free(&sql);
	return db;
}

static HG_UNUSED struct jobs_store *table_store(struct db *db)
{
	struct jobs_store *s = NULL;
	struct hg_err err = {0};
	if (jobs_store_new(db, &s, &err) < 0) fail_msg("%s: %s", err.message, err.detail);
	return s;
}

/* An unnamed job of a queue. */
static HG_UNUSED int64_t table_put(
        struct jobs_store *s, const char *queue, const char *kind, int64_t now_ms)
{
	struct job_new n = {.queue = hg_str(queue), .kind = hg_str(kind), .priority = 1};
	struct hg_err err = {0};
	bool made = false;
	int64_t id = 0;
	if (jobs_store_put(s, &n, now_ms, &id, &made, &err) < 0) fail_msg("%s", err.message);
	assert_true(made);
	return id;
}

#endif
