#include "tests/unit/test.h"

#include "jobs/worker.c"

#include "tests/unit/jobs/table.h"

/* What the handlers of the tests do, and saw. */
struct world {
	struct dir *dir;
	struct db *db;
	struct jobs_store *s;
	struct loop *l;
	struct jobs_worker *w;
	int started, cancelled, ended, lost, most_at_once, at_once;
	bool hold; /* runs do not end by themselves */
	struct job_run *held[64];
	uint32_t held_n;
	enum job_verdict verdict;
	char loaded[64], said[128];
	bool stopped, settle_fails;
};

static int setup(void **state)
{
	struct world *x = calloc(1, sizeof *x);
	if (!x || dir_setup((void **)&x->dir)) return -1;
	x->db = table_make(x->dir);
	x->s = table_store(x->db);
	if (loop_new(&x->l) < 0) return -1;
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct world *x = *state;
	jobs_worker_free(x->w);
	loop_free(x->l);
	jobs_store_free(x->s);
	db_close(x->db);
	dir_teardown((void **)&x->dir);
	free(x);
	return 0;
}

static void start_one(void *arg, struct job_run *run)
{
	struct world *x = arg;
	x->started++;
	x->at_once++;
	x->most_at_once = HG_MAX(x->most_at_once, x->at_once);
	(void)hg_str_copy(job_loaded(run), x->loaded, sizeof x->loaded);
	if (x->hold) {
		x->held[x->held_n++] = run;
		return;
	}
	x->at_once--;
	job_end(run, &(struct job_outcome){.verdict = x->verdict, .text = HG_STR("words")});
}

static void cancel_one(void *arg, struct job_run *run)
{
	struct world *x = arg;
	x->cancelled++;
	x->at_once--;
	job_end(run, &(struct job_outcome){.verdict = JOB_RETRY, .text = HG_STR("broken off")});
}

static enum hg_rc load_one(
        void *arg, struct db *db, const struct job *job, struct hg_buf *to, struct hg_err *err)
{
	(void)arg;
	(void)db;
	if (hg_str_eq(job->args, HG_STR("gone")))
		return hg_err_set(err, HG_E_NOT_FOUND, "feedback 7 is gone");
	hg_buf_str(to, HG_STR("for "));
	hg_buf_str(to, job->args);
	return HG_OK;
}

static enum hg_rc settle_one(void *arg, struct db *db, const struct job *job,
        const struct job_outcome *o, struct hg_err *err)
{
	struct world *x = arg;
	(void)job;
	(void)o;
	if (x->settle_fails) return db_exec(db, "INSERT INTO webhooks (url) VALUES (NULL)", err);
	return db_exec(db,
	        "INSERT INTO webhooks (url, secret, created_at) VALUES ('settled', 's', 1)", err);
}

static enum job_verdict work_one(
        void *arg, struct job_run *run, const atomic_bool *stop, struct hg_buf *text)
{
	(void)arg;
	(void)run;
	while (!atomic_load(stop))
		usleep(1000);
	hg_buf_cstr(text, "stopped half way");
	return JOB_RETRY;
}

static void on_note(
        void *arg, enum hg_level level, const char *what, const struct job *job, const char *why)
{
	struct world *x = arg;
	(void)level;
	x->ended += job != NULL;
	snprintf(x->said, sizeof x->said, "%s: %s", what, why);
}

static void work_with(struct world *x, uint32_t slots, uint32_t timeout_ms)
{
	static const char *const queues[] = {"a", "b"};
	struct job_kind kinds[] = {
	        {.name = "k",
	                .start = start_one,
	                .cancel = cancel_one,
	                .arg = x,
	                .timeout_ms = timeout_ms},
	        {.name = "loads",
	                .load = load_one,
	                .start = start_one,
	                .cancel = cancel_one,
	                .arg = x},
	        {.name = "settles",
	                .start = start_one,
	                .cancel = cancel_one,
	                .settle = settle_one,
	                .arg = x},
	        {.name = "works", .work = work_one, .arg = x, .timeout_ms = timeout_ms},
	};
	struct jobs_worker_options o = {.database = table_url(x->dir),
	        .durability = DB_NORMAL,
	        .name = "test",
	        .queue = queues,
	        .queue_count = 2,
	        .kind = kinds,
	        .kind_count = HG_COUNT(kinds),
	        .slots = slots,
	        .lease_ms = 1000,
	        .note = on_note,
	        .arg = x};
	struct hg_err err = {0};
	if (jobs_worker_new(x->l, &o, &x->w, &err) < 0) fail_msg("%s", err.message);
}

static void put(struct world *x, const char *kind, const char *args)
{
	struct job_new n = {
	        .queue = HG_STR("a"), .kind = hg_str(kind), .args = hg_str(args), .priority = 1};
	int64_t id, now;
	bool made;
	assert_int_equal(jobs_store_now(x->s, &now, NULL), HG_OK);
	assert_int_equal(jobs_store_put(x->s, &n, now, &id, &made, NULL), HG_OK);
}

static int64_t count_of(struct world *x, const char *where)
{
	char sql[200];
	int64_t n = -1;
	snprintf(sql, sizeof sql, "SELECT count(*) FROM jobs WHERE %s", where);
	assert_int_equal(db_query_i64(x->db, sql, &n, NULL), HG_OK);
	return n;
}

#define UNTIL(x, cond)                                                            \
	do {                                                                      \
		uint64_t until_ = clock_mono_ms() + 10000;                        \
		while (!(cond)) {                                                 \
			assert_int_equal(loop_turn((x)->l, 50), HG_OK);           \
			if (clock_mono_ms() > until_) fail_msg("not: %s", #cond); \
		}                                                                 \
	} while (0)

static void jobs_are_run_and_their_ends_are_written(void **state)
{
	struct world *x = *state;
	for (int i = 0; i < 200; i++)
		put(x, "k", "{}");
	work_with(x, 8, 0);
	UNTIL(x, x->ended == 200);
	assert_int_equal(x->started, 200);
	assert_int_equal(count_of(x, "state = 'done' AND attempt = 1 AND result = 'words'"), 200);
	struct jobs_stats s;
	jobs_worker_stats(x->w, &s);
	assert_int_equal(s.kind[0].ok, 200);
	assert_int_equal(s.claimed, 200);
	assert_int_equal(s.running, 0);
	assert_true(s.connected);
}

static void never_more_run_than_there_are_slots(void **state)
{
	struct world *x = *state;
	x->hold = true;
	for (int i = 0; i < 30; i++)
		put(x, "k", "{}");
	work_with(x, 5, 0);
	UNTIL(x, x->held_n == 5);
	for (int i = 0; i < 20; i++)
		assert_int_equal(loop_turn(x->l, 20), HG_OK);
	assert_int_equal(x->held_n, 5);
	x->hold = false;
	for (uint32_t i = 0; i < 5; i++) {
		x->at_once--;
		job_end(x->held[i], &(struct job_outcome){.verdict = JOB_OK});
	}
	UNTIL(x, x->ended == 30);
	assert_int_equal(x->most_at_once, 5);
}

static void a_long_job_keeps_its_lease(void **state)
{
	struct world *x = *state;
	uint64_t until = clock_mono_ms() + 2500;
	x->hold = true;
	put(x, "k", "{}");
	work_with(x, 4, 0);
	UNTIL(x, x->held_n == 1);
	while (clock_mono_ms() < until) {
		uint32_t n = 9;
		int64_t now = 0;
		assert_int_equal(loop_turn(x->l, 50), HG_OK);
		assert_int_equal(jobs_store_now(x->s, &now, NULL), HG_OK);
		assert_int_equal(jobs_store_rescue(x->s, NULL, 0, now, &n, NULL), HG_OK);
		assert_int_equal(n, 0);
	}
	assert_int_equal(x->cancelled, 0);
	job_end(x->held[0], &(struct job_outcome){.verdict = JOB_OK});
	UNTIL(x, x->ended == 1);
	assert_int_equal(count_of(x, "state = 'done' AND attempt = 1"), 1);
}

static void a_job_that_was_taken_away_is_broken_off(void **state)
{
	struct world *x = *state;
	x->hold = true;
	put(x, "k", "{}");
	work_with(x, 4, 0);
	UNTIL(x, x->held_n == 1);
	assert_int_equal(
	        db_exec(x->db, "UPDATE jobs SET lease = lease + 1, worker = 'other'", NULL), HG_OK);
	UNTIL(x, x->ended == 1);
	assert_int_equal(x->cancelled, 1);
	assert_int_equal(count_of(x, "state = 'running' AND worker = 'other'"), 1);
	struct jobs_stats s;
	jobs_worker_stats(x->w, &s);
	assert_int_equal(s.kind[0].lost, 1);
}

static void a_run_over_its_time_is_broken_off_and_tried_again(void **state)
{
	struct world *x = *state;
	x->hold = true;
	put(x, "k", "{}");
	put(x, "works", "{}");
	work_with(x, 4, 150);
	UNTIL(x, x->ended == 2);
	assert_int_equal(
	        count_of(x, "state = 'retryable' AND error = 'over its time of 150 ms: broken "
	                    "off'"),
	        1);
	assert_int_equal(count_of(x, "state = 'retryable' AND error = 'over its time of 150 ms: "
	                             "stopped half way'"),
	        1);
}

static void what_a_handler_must_know_is_loaded_before(void **state)
{
	struct world *x = *state;
	put(x, "loads", "me");
	work_with(x, 4, 0);
	UNTIL(x, x->ended == 1);
	assert_string_equal(x->loaded, "for me");
	put(x, "loads", "gone");
	UNTIL(x, x->ended == 2);
	assert_int_equal(x->started, 1);
	assert_int_equal(
	        count_of(x, "state = 'done' AND result = 'nothing to do: feedback 7 is gone'"), 1);
}

static void a_kind_that_nobody_knows_is_said_and_tried_later(void **state)
{
	struct world *x = *state;
	put(x, "from-tomorrow", "{}");
	work_with(x, 4, 0);
	UNTIL(x, x->ended == 1);
	assert_int_equal(count_of(x, "state = 'retryable' AND error LIKE '%from-tomorrow%'"), 1);
}

static int64_t settled(struct world *x)
{
	int64_t n = 0;
	assert_int_equal(db_query_i64(x->db, "SELECT count(*) FROM webhooks", &n, NULL), HG_OK);
	return n;
}

static void what_a_handler_writes_with_the_end_is_there_with_it_or_not(void **state)
{
	struct world *x = *state;
	put(x, "settles", "{}");
	work_with(x, 4, 0);
	UNTIL(x, x->ended == 1);
	assert_int_equal(settled(x), 1);
	assert_int_equal(count_of(x, "state = 'done'"), 1);
	x->settle_fails = true;
	put(x, "settles", "{}");
	put(x, "k", "{}"); /* in the same transaction, probably, and not harmed by it */
	UNTIL(x, x->ended == 3);
	assert_int_equal(settled(x), 1);
	assert_int_equal(count_of(x, "state = 'done'"), 2);
	assert_int_equal(count_of(x, "state = 'retryable' AND error LIKE 'its end could not%'"), 1);
}

static void on_stopped(void *arg)
{
	((struct world *)arg)->stopped = true;
}

static void a_stop_gives_back_what_does_not_end_in_time(void **state)
{
	struct world *x = *state;
	x->hold = true;
	for (int i = 0; i < 3; i++)
		put(x, "k", "{}");
	put(x, "works", "{}");
	work_with(x, 4, 0);
	UNTIL(x, x->held_n == 3);
	jobs_worker_stop(x->w, 200, on_stopped, x);
	put(x, "k", "{}");
	for (int i = 0; i < 3; i++)
		assert_int_equal(loop_turn(x->l, 20), HG_OK);
	x->at_once--;
	job_end(x->held[0], &(struct job_outcome){.verdict = JOB_OK});
	UNTIL(x, x->stopped);
	assert_int_equal(count_of(x, "state = 'done'"), 1);
	assert_int_equal(count_of(x, "state = 'available' AND attempt = 0 AND error IS NULL"), 4);
	assert_int_equal(x->started, 3);
}

static void a_database_that_goes_away_costs_nothing_but_time(void **state)
{
	struct world *x = *state;
	if (!db_is_postgres(x->db)) return;
	x->hold = true;
	put(x, "k", "{}");
	work_with(x, 4, 0);
	UNTIL(x, x->held_n == 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(db_exec(x->db,
		                         "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
		                         "WHERE datname ="
		                         " current_database() AND pid <> pg_backend_pid() AND"
		                         " application_name = 'headgate'",
		                         NULL),
		        HG_OK);
	job_end(x->held[0], &(struct job_outcome){.verdict = JOB_OK});
	UNTIL(x, x->ended >= 1 && count_of(x, "state = 'done'") == 1);
	x->hold = false;
	put(x, "k", "{}");
	UNTIL(x, count_of(x, "state = 'done'") == 2);
}

static void workers_share_what_there_is_and_nothing_is_run_twice(void **state)
{
	struct world *x = *state;
	for (int i = 0; i < 300; i++)
		put(x, "k", "{}");
	work_with(x, 4, 0);
	struct jobs_worker *first = x->w;
	work_with(x, 4, 0);
	UNTIL(x, x->ended == 300);
	struct jobs_stats a, b;
	jobs_worker_stats(first, &a);
	jobs_worker_stats(x->w, &b);
	assert_int_equal(a.kind[0].ok + b.kind[0].ok, 300);
	assert_int_equal(x->started, 300);
	assert_true(a.claimed > 0 && b.claimed > 0);
	jobs_worker_free(first);
}

static void a_handler_that_ends_after_its_worker_is_harmless(void **state)
{
	struct world *x = *state;
	x->hold = true;
	put(x, "k", "{}");
	work_with(x, 4, 0);
	UNTIL(x, x->held_n == 1);
	x->held[0]->cancelled = CANCEL_STOP; /* it was asked before, and is still at it */
	jobs_worker_free(x->w);
	x->w = NULL;
	job_end(x->held[0], &(struct job_outcome){.verdict = JOB_OK});
}

static void options_are_checked(void **state)
{
	struct world *x = *state;
	static const char *const bad[] = {"a b"}, *const good[] = {"a"};
	struct jobs_worker *w = NULL;
	struct hg_err err = {0};
	struct jobs_worker_options o = {
	        .database = "x", .name = "n", .queue = bad, .queue_count = 1};
	assert_int_equal(jobs_worker_new(x->l, &o, &w, &err), HG_E_INVALID);
	o.queue = good;
	o.queue_count = 0;
	assert_int_equal(jobs_worker_new(x->l, &o, &w, &err), HG_E_INVALID);
	o.queue_count = 1;
	o.lease_ms = 10;
	assert_int_equal(jobs_worker_new(x->l, &o, &w, &err), HG_E_INVALID);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	        TEST(jobs_are_run_and_their_ends_are_written),
	        TEST(never_more_run_than_there_are_slots),
	        TEST(a_long_job_keeps_its_lease),
	        TEST(a_job_that_was_taken_away_is_broken_off),
	        TEST(a_run_over_its_time_is_broken_off_and_tried_again),
	        TEST(what_a_handler_must_know_is_loaded_before),
	        TEST(a_kind_that_nobody_knows_is_said_and_tried_later),
	        TEST(what_a_handler_writes_with_the_end_is_there_with_it_or_not),
	        TEST(a_stop_gives_back_what_does_not_end_in_time),
	        TEST(a_database_that_goes_away_costs_nothing_but_time),
	        TEST(workers_share_what_there_is_and_nothing_is_run_twice),
	        TEST(a_handler_that_ends_after_its_worker_is_harmless),
	        TEST(options_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
