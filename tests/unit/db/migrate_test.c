#include "tests/unit/test.h"

#include <sys/wait.h>

#include "tests/unit/db/dir.h"

#include "db/migrate.c"

static const struct db_migration first[] = {
        {1, "notes", "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT NOT NULL)"},
        {2, "author",
                "ALTER TABLE notes ADD COLUMN author TEXT; INSERT INTO notes(body) "
                "VALUES('hello')"},
};

static struct db *open_ok(const char *path)
{
	struct db *db = NULL;
	struct hg_err err = {0};
	struct db_options o = {.url = path, .durability = DB_NORMAL, .busy_ms = 20000};
	if (db_open(&o, &db, &err) < 0) fail_msg("%s", err.message);
	return db;
}

static int64_t one(struct db *db, const char *sql)
{
	int64_t v = -1;
	return db_query_i64(db, sql, &v, NULL) < 0 ? -1 : v;
}

static void steps_are_applied_once_and_recorded(void **state)
{
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	struct db_migrated done = {0};
	assert_int_equal(db_migrate(db, first, 2, &done, NULL), HG_OK);
	assert_int_equal(done.version, 2);
	assert_int_equal(done.applied, 2);
	assert_int_equal(db_migrate(db, first, 2, &done, NULL), HG_OK);
	assert_int_equal(done.version, 2);
	assert_int_equal(done.applied, 0);
	assert_int_equal(one(db, "SELECT count(*) FROM notes"), 1);
	assert_int_equal(one(db, "SELECT count(*) FROM schema_migrations"), 2);
	db_close(db);
}

static void a_later_step_is_applied_on_top(void **state)
{
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	struct db_migrated done = {0};
	assert_int_equal(db_migrate(db, first, 1, &done, NULL), HG_OK);
	assert_int_equal(db_migrate(db, first, 2, &done, NULL), HG_OK);
	assert_int_equal(done.applied, 1);
	assert_int_equal(done.version, 2);
	db_close(db);
}

static void an_older_program_leaves_newer_steps_alone(void **state)
{
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	struct db_migrated done = {0};
	assert_int_equal(db_migrate(db, first, 2, &done, NULL), HG_OK);
	assert_int_equal(db_migrate(db, first, 1, &done, NULL), HG_OK);
	assert_int_equal(done.version, 2);
	assert_int_equal(done.applied, 0);
	assert_int_equal(done.unknown, 1);
	db_close(db);
}

static void a_failing_step_leaves_the_schema_as_it_was(void **state)
{
	const struct db_migration bad[] = {
	        first[0],
	        {2, "broken", "CREATE TABLE half(a); CREATE TABLE notes(a)"},
	};
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	struct hg_err err = {0};
	struct db_migrated done = {0};
	assert_int_equal(db_migrate(db, bad, 2, &done, &err), HG_E_DB_MIGRATION);
	assert_string_equal(err.message, "migration 2 \"broken\" failed");
	assert_non_null(strstr(err.detail, "already exists"));
	assert_false(db_in_transaction(db));
	assert_int_equal(one(db, "SELECT count(*) FROM sqlite_schema"), 0);
	db_close(db);
}

static void a_step_that_ends_the_transaction_is_an_error(void **state)
{
	const struct db_migration bad[] = {{1, "sly", "CREATE TABLE t(a); COMMIT"}};
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	struct hg_err err = {0};
	assert_int_equal(db_migrate(db, bad, 1, NULL, &err), HG_E_DB_MIGRATION);
	assert_non_null(strstr(err.detail, "transaction"));
	db_close(db);
}

static void an_edited_step_is_noticed(void **state)
{
	struct db_migration edited[] = {first[0], first[1]};
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	struct hg_err err = {0};
	assert_int_equal(db_migrate(db, first, 2, NULL, NULL), HG_OK);
	edited[0].sql = "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT)";
	assert_int_equal(db_migrate(db, edited, 2, NULL, &err), HG_E_DB_MIGRATION);
	assert_string_equal(err.message, "migration 1 \"notes\" was changed after it was applied");
	db_close(db);
}

static void a_step_below_an_applied_one_is_noticed(void **state)
{
	const struct db_migration gap[] = {
	        {1, "a", "CREATE TABLE a(x)"}, {3, "c", "CREATE TABLE c(x)"}};
	const struct db_migration late[] = {gap[0], {2, "b", "CREATE TABLE b(x)"}, gap[1]};
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	struct hg_err err = {0};
	assert_int_equal(db_migrate(db, gap, 2, NULL, NULL), HG_OK);
	assert_int_equal(db_migrate(db, late, 3, NULL, &err), HG_E_DB_MIGRATION);
	assert_string_equal(err.message, "migration 2 \"b\" is missing below 3, which was applied");
	db_close(db);
}

static void of_processes_that_start_together_one_does_the_work(void **state)
{
	enum { CHILDREN = 4 };
	struct dir *d = *state;
	pid_t pids[CHILDREN];
	int worked = 0;
	for (int i = 0; i < CHILDREN; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] != 0) continue;
		struct db_migrated done = {0};
		struct db *db = open_ok(d->db);
		if (db_migrate(db, first, 2, &done, NULL) < 0 || done.version != 2) _exit(100);
		_exit((int)done.applied);
	}
	for (int i = 0; i < CHILDREN; i++) {
		int status = -1;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 2);
		worked += WEXITSTATUS(status) == 2;
	}
	assert_int_equal(worked, 1);
}

static const struct db_migration both_ways[] = {
        {1, "notes", "CREATE TABLE notes(id INTEGER PRIMARY KEY)", "DROP TABLE notes"},
        {2, "tags", "CREATE TABLE tags(id INTEGER PRIMARY KEY)", "DROP TABLE tags"},
        {3, "bad", "CREATE TABLE bad(id INTEGER PRIMARY KEY)", "DROP TABLE nobody"},
        {4, "oneway", "CREATE TABLE oneway(id INTEGER PRIMARY KEY)", NULL},
};

static void steps_are_taken_back_newest_first_or_not_at_all(void **state)
{
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	struct db_migrated done = {0};
	struct hg_err err = {0};
	assert_int_equal(db_migrate_down(db, both_ways, 2, 1, &done, NULL), HG_E_NOT_FOUND);
	assert_int_equal(db_migrate(db, both_ways, 2, NULL, NULL), HG_OK);
	assert_int_equal(db_migrate_down(db, both_ways, 2, 1, &done, NULL), HG_OK);
	assert_int_equal(done.version, 1);
	assert_int_equal(one(db, "SELECT count(*) FROM notes"), 0);
	assert_int_equal(one(db, "SELECT count(*) FROM tags"), -1);
	/* more than there are: all of them */
	assert_int_equal(db_migrate_down(db, both_ways, 2, 9, &done, NULL), HG_OK);
	assert_int_equal(done.version, 0);
	assert_int_equal(done.applied, 1);
	/* one that fails takes the whole call back */
	assert_int_equal(db_migrate(db, both_ways, 3, NULL, NULL), HG_OK);
	assert_int_equal(db_migrate_down(db, both_ways, 3, 2, NULL, &err), HG_E_DB_MIGRATION);
	assert_non_null(strstr(err.message, "migration 3 \"bad\" could not be taken back"));
	assert_int_equal(one(db, "SELECT count(*) FROM schema_migrations"), 3);
	/* nor is there a way back from a step without one, or of a newer program */
	assert_int_equal(db_migrate(db, both_ways, 4, NULL, NULL), HG_OK);
	assert_int_equal(db_migrate_down(db, both_ways, 4, 1, NULL, NULL), HG_E_DB_MIGRATION);
	assert_int_equal(db_migrate_down(db, both_ways, 2, 1, NULL, NULL), HG_E_DB_MIGRATION);
	assert_int_equal(one(db, "SELECT count(*) FROM schema_migrations"), 4);
	db_close(db);
}

struct seen {
	char text[256];
};

static void note_state(void *arg, const struct db_migration_state *s)
{
	struct seen *seen = arg;
	size_t n = strlen(seen->text);
	snprintf(seen->text + n, sizeof seen->text - n, "%u %s%s%s%s;", s->version, s->name,
	        s->applied_at.n ? " applied" : "", s->unknown ? " unknown" : "",
	        s->changed ? " changed" : "");
}

static void states_tell_what_is_pending_unknown_and_changed(void **state)
{
	struct dir *d = *state;
	struct db *db = open_ok(d->db);
	struct seen seen = {0};
	assert_int_equal(db_migration_states(db, both_ways, 2, note_state, &seen, NULL), HG_OK);
	assert_string_equal(seen.text, "1 notes;2 tags;");
	assert_int_equal(one(db, "SELECT count(*) FROM schema_migrations"), -1); /* untouched */
	assert_int_equal(db_migrate(db, both_ways, 3, NULL, NULL), HG_OK);
	assert_int_equal(
	        db_exec(db, "UPDATE schema_migrations SET checksum = '' WHERE version = 1", NULL),
	        HG_OK);
	seen.text[0] = 0;
	assert_int_equal(db_migration_states(db, both_ways, 2, note_state, &seen, NULL), HG_OK);
	assert_string_equal(
	        seen.text, "1 notes applied changed;2 tags applied;3 bad applied unknown;");
	db_close(db);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, dir_setup, dir_teardown)
	const struct CMUnitTest tests[] = {
	        T(steps_are_applied_once_and_recorded),
	        T(a_later_step_is_applied_on_top),
	        T(an_older_program_leaves_newer_steps_alone),
	        T(a_failing_step_leaves_the_schema_as_it_was),
	        T(a_step_that_ends_the_transaction_is_an_error),
	        T(an_edited_step_is_noticed),
	        T(a_step_below_an_applied_one_is_noticed),
	        T(steps_are_taken_back_newest_first_or_not_at_all),
	        T(states_tell_what_is_pending_unknown_and_changed),
	        T(of_processes_that_start_together_one_does_the_work),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
