#include "tests/unit/test.h"

#include <sys/wait.h>

#include "tests/unit/db/dir.h"

#include "db/sqlite.c"

static struct db *open_ok(const char *path)
{
	struct db *db = NULL;
	struct hg_err err = {0};
	struct db_options o = {.url = path, .durability = DB_NORMAL};
	if (db_open(&o, &db, &err) < 0) fail_msg("%s", err.message);
	return db;
}

static void exec_ok(struct db *db, const char *sql)
{
	struct hg_err err = {0};
	if (db_exec(db, sql, &err) < 0) fail_msg("%s", err.message);
}

static int64_t one(struct db *db, const char *sql)
{
	int64_t v = -1;
	struct hg_err err = {0};
	if (db_query_i64(db, sql, &v, &err) < 0) fail_msg("%s", err.message);
	return v;
}

static void a_value_of_each_kind_comes_back_as_it_went_in(void **state)
{
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	struct db_stmt *put = NULL, *get = NULL;
	bool row = false;
	exec_ok(db, "CREATE TABLE t(a INTEGER, b REAL, c TEXT, d BLOB, e TEXT)");
	assert_int_equal(db_prepare(db, "INSERT INTO t VALUES($1, $2, $3, $4, $5)", &put, NULL), 0);
	db_bind_i64(put, 1, INT64_MIN);
	db_bind_f64(put, 2, 0.125);
	db_bind_str(put, 3, HG_STR("na\xc3\xafve \xf0\x9f\x8c\x8a"));
	db_bind_blob(put, 4, (struct hg_str){"\0\1\2", 3});
	db_bind_null(put, 5);
	assert_int_equal(db_run(put, NULL), HG_OK);
	assert_int_equal(db_changes(db), 1);
	assert_int_equal(db_prepare(db, "SELECT a, b, c, d, e FROM t", &get, NULL), 0);
	assert_int_equal(db_step(get, &row, NULL), HG_OK);
	assert_true(row);
	assert_true(db_column_i64(get, 0) == INT64_MIN);
	assert_true(db_column_f64(get, 1) == 0.125);
	assert_str(db_column_str(get, 2), "na\xc3\xafve \xf0\x9f\x8c\x8a");
	assert_int_equal(db_column_blob(get, 3).n, 3);
	assert_memory_equal(db_column_blob(get, 3).p, "\0\1\2", 3);
	assert_true(db_column_null(get, 4));
	assert_int_equal(db_step(get, &row, NULL), HG_OK);
	assert_false(row);
	db_stmt_free(put);
	db_stmt_free(get);
	db_close(db);
}

static void placeholders_are_found_by_number_and_not_by_place(void **state)
{
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	struct db_stmt *s = NULL;
	bool row = false;
	assert_int_equal(db_prepare(db, "SELECT $2, $1, $2", &s, NULL), HG_OK);
	db_bind_i64(s, 1, 10);
	db_bind_i64(s, 2, 20);
	assert_int_equal(db_step(s, &row, NULL), HG_OK);
	assert_int_equal(db_column_i64(s, 0), 20);
	assert_int_equal(db_column_i64(s, 1), 10);
	assert_int_equal(db_column_i64(s, 2), 20);
	db_stmt_free(s);
	db_close(db);
}

static void a_bind_that_fails_is_reported_when_the_statement_runs(void **state)
{
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	struct db_stmt *s = NULL;
	struct hg_err err = {0};
	bool row = true;
	assert_int_equal(db_prepare(db, "SELECT $1", &s, NULL), HG_OK);
	db_bind_i64(s, 2, 1);
	assert_int_equal(db_step(s, &row, &err), HG_E_INVALID);
	assert_non_null(strstr(err.message, "bind"));
	/* and is forgotten with the reset */
	db_bind_i64(s, 1, 7);
	assert_int_equal(db_step(s, &row, &err), HG_OK);
	assert_int_equal(db_column_i64(s, 0), 7);
	db_stmt_free(s);
	db_close(db);
}

static void wrong_sql_and_two_statements_are_refused_with_their_text(void **state)
{
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	struct db_stmt *s = NULL;
	struct hg_err err = {0};
	assert_int_equal(db_prepare(db, "SELEKT 1", &s, &err), HG_E_DB_QUERY);
	assert_string_equal(err.detail, "SELEKT 1");
	assert_int_equal(db_prepare(db, "SELECT 1; SELECT 2", &s, &err), HG_E_INVALID);
	assert_int_equal(db_prepare(db, "  ", &s, &err), HG_E_INVALID);
	assert_int_equal(db_prepare(db, "SELECT 1; \n", &s, &err), HG_OK);
	db_stmt_free(s);
	db_close(db);
}

static void a_broken_rule_of_the_schema_is_a_constraint_error(void **state)
{
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	exec_ok(db, "CREATE TABLE p(id INTEGER PRIMARY KEY, v TEXT UNIQUE);"
	            "CREATE TABLE c(p INTEGER REFERENCES p(id)); INSERT INTO p VALUES(1, 'x')");
	assert_int_equal(db_exec(db, "INSERT INTO p VALUES(2, 'x')", NULL), HG_E_DB_CONSTRAINT);
	assert_int_equal(db_exec(db, "INSERT INTO c VALUES(9)", NULL), HG_E_DB_CONSTRAINT);
	db_close(db);
}

static void a_rollback_leaves_nothing_and_a_commit_everything(void **state)
{
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	exec_ok(db, "CREATE TABLE t(a)");
	assert_int_equal(db_begin(db, NULL), HG_OK);
	assert_true(db_in_transaction(db));
	exec_ok(db, "INSERT INTO t VALUES(1)");
	db_rollback(db);
	db_rollback(db); /* harmless */
	assert_int_equal(one(db, "SELECT count(*) FROM t"), 0);
	assert_int_equal(db_begin(db, NULL), HG_OK);
	exec_ok(db, "INSERT INTO t VALUES(1)");
	assert_int_equal(db_commit(db, NULL), HG_OK);
	assert_false(db_in_transaction(db));
	assert_int_equal(one(db, "SELECT count(*) FROM t"), 1);
	db_close(db);
}

static void a_mark_takes_back_only_what_came_after_it(void **state)
{
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	exec_ok(db, "CREATE TABLE t(a)");
	assert_int_equal(db_begin(db, NULL), HG_OK);
	exec_ok(db, "INSERT INTO t VALUES(1)");
	assert_int_equal(db_mark(db, NULL), HG_OK);
	exec_ok(db, "INSERT INTO t VALUES(2)");
	assert_int_equal(db_mark_undo(db, NULL), HG_OK);
	assert_int_equal(db_mark(db, NULL), HG_OK);
	exec_ok(db, "INSERT INTO t VALUES(3)");
	assert_int_equal(db_mark_keep(db, NULL), HG_OK);
	assert_int_equal(db_commit(db, NULL), HG_OK);
	assert_int_equal(one(db, "SELECT sum(a) FROM t"), 4);
	db_close(db);
}

static void a_second_writer_is_told_to_try_again_after_its_patience(void **state)
{
	struct dir *d = *state;
	struct db *a = open_ok(d->db), *b = NULL;
	struct db_options o = {.url = d->db, .busy_ms = 30};
	struct hg_err err = {0};
	exec_ok(a, "CREATE TABLE t(a)");
	assert_int_equal(db_open(&o, &b, &err), HG_OK);
	assert_int_equal(db_begin(a, NULL), HG_OK);
	assert_int_equal(db_begin(b, &err), HG_E_AGAIN);
	assert_non_null(strstr(err.message, d->db));
	assert_int_equal(db_commit(a, NULL), HG_OK);
	assert_int_equal(db_begin(b, NULL), HG_OK);
	db_close(b);
	db_close(a);
}

static void addresses_are_paths_or_sqlite_urls_and_nothing_else(void **state)
{
	struct dir *d = *state;
	struct db *db = NULL;
	struct hg_err err = {0};
	char url[128];
	snprintf(url, sizeof url, "sqlite:%s", d->db);
	db_close(open_ok(url));
	snprintf(url, sizeof url, "sqlite://%s", d->db);
	db_close(open_ok(url));
	db_close(open_ok(":memory:"));
	struct db_options o = {.url = "postgres://127.0.0.1/app?nonsense=1"};
	assert_int_equal(db_open(&o, &db, &err), HG_E_INVALID);
	assert_non_null(strstr(err.message, "the address of the database"));
	o.url = "mysql://x";
	assert_int_equal(db_open(&o, &db, &err), HG_E_INVALID);
	o.url = "";
	assert_int_equal(db_open(&o, &db, &err), HG_E_INVALID);
	o.url = "sqlite:";
	assert_int_equal(db_open(&o, &db, &err), HG_E_INVALID);
}

static void a_missing_folder_and_a_file_that_is_no_database_are_named(void **state)
{
	struct dir *d = *state;
	struct db *db = NULL;
	struct hg_err err = {0};
	struct db_options o = {.url = "/nonexistent/folder/x.db"};
	assert_int_equal(db_open(&o, &db, &err), HG_E_DB_OPEN);
	assert_non_null(strstr(err.message, "/nonexistent/folder/x.db"));
	assert_true(err.hint[0]);
	FILE *f = fopen(d->db, "w");
	assert_non_null(f);
	for (int i = 0; i < 200; i++)
		fputs("this is not a database\n", f);
	fclose(f);
	o.url = d->db;
	assert_int_equal(db_open(&o, &db, &err), HG_E_DB_CORRUPT);
	assert_null(db);
}

static void a_query_without_a_row_is_not_found(void **state)
{
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	int64_t v = 5;
	assert_int_equal(db_query_i64(db, "SELECT 1 WHERE 0", &v, NULL), HG_E_NOT_FOUND);
	assert_int_equal(v, 5);
	db_close(db);
}

/* Each child opens the (at first missing) file by itself and adds rows one by one. */
static int child_writes(const char *path, int rows)
{
	struct db *db = NULL;
	struct db_stmt *s = NULL;
	struct db_options o = {.url = path, .durability = DB_NORMAL, .busy_ms = 20000};
	if (db_open(&o, &db, NULL) < 0) return 1;
	if (db_exec(db, "CREATE TABLE IF NOT EXISTS t(a)", NULL) < 0) return 2;
	if (db_prepare(db, "INSERT INTO t VALUES($1)", &s, NULL) < 0) return 3;
	for (int i = 0; i < rows; i++) {
		if (db_begin(db, NULL) < 0) return 4;
		db_bind_i64(s, 1, i);
		if (db_run(s, NULL) < 0) return 5;
		if (db_commit(db, NULL) < 0) return 6;
	}
	db_stmt_free(s);
	db_close(db);
	return 0;
}

static void processes_that_open_a_new_file_together_all_write_all_their_rows(void **state)
{
	enum { CHILDREN = 4, ROWS = 100 };
	struct dir *d = *state;
	pid_t pids[CHILDREN];
	for (int i = 0; i < CHILDREN; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) _exit(child_writes(d->db, ROWS));
	}
	for (int i = 0; i < CHILDREN; i++) {
		int status = -1;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	struct db *db = open_ok(d->db);
	assert_int_equal(one(db, "SELECT count(*) FROM t"), CHILDREN * ROWS);
	db_close(db);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, dir_setup, dir_teardown)
	const struct CMUnitTest tests[] = {
	        T(a_value_of_each_kind_comes_back_as_it_went_in),
	        T(placeholders_are_found_by_number_and_not_by_place),
	        T(a_bind_that_fails_is_reported_when_the_statement_runs),
	        T(wrong_sql_and_two_statements_are_refused_with_their_text),
	        T(a_broken_rule_of_the_schema_is_a_constraint_error),
	        T(a_rollback_leaves_nothing_and_a_commit_everything),
	        T(a_mark_takes_back_only_what_came_after_it),
	        T(a_second_writer_is_told_to_try_again_after_its_patience),
	        T(addresses_are_paths_or_sqlite_urls_and_nothing_else),
	        T(a_missing_folder_and_a_file_that_is_no_database_are_named),
	        T(a_query_without_a_row_is_not_found),
	        T(processes_that_open_a_new_file_together_all_write_all_their_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
