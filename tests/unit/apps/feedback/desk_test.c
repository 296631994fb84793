#include "tests/unit/test.h"

#include "tests/unit/db/dir.h"

#include "apps/feedback/desk.c"

struct job {
	struct desk_task task;
	unsigned ms;      /* how long it takes */
	bool leave_open;  /* a transaction */
	bool endless;     /* a statement that never ends by itself */
	bool had_db, ran; /* out */
	int done;
	enum hg_rc rc;
	pthread_t thread;
};

static enum hg_rc run(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct job *j = HG_CONTAINER(t, struct job, task);
	j->ran = true;
	j->had_db = db != NULL;
	j->thread = pthread_self();
	if (j->ms) nanosleep(&(struct timespec){.tv_nsec = j->ms * 1000000l}, NULL);
	if (j->leave_open) {
		enum hg_rc rc = db_begin(db, err);
		return rc < 0 ? rc : db_exec(db, "CREATE TABLE gone (x)", err);
	}
	if (j->endless)
		return db_exec(db,
		        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
		        " SELECT max(i) FROM n",
		        err);
	return HG_OK;
}

static void done(struct desk_task *t, enum hg_rc rc, const char *why)
{
	struct job *j = HG_CONTAINER(t, struct job, task);
	(void)why;
	j->done++;
	j->rc = rc;
}

static struct job job_of(unsigned ms)
{
	return (struct job){.task = {.run = run, .done = done}, .ms = ms};
}

struct fixture {
	struct dir *dir;
	struct loop *loop;
	struct desk *desk;
};

static void open_desk(struct fixture *f, void **state, const char *url, uint32_t threads)
{
	f->dir = *state;
	struct desk_options o = {.url = url ? url : f->dir->db,
	        .durability = DB_NORMAL,
	        .threads = threads,
	        .queue_max = 8};
	if (threads) o.url = NULL;
	assert_int_equal(loop_new(&f->loop), HG_OK);
	assert_int_equal(desk_new(f->loop, &o, &f->desk), HG_OK);
}

static void close_desk(struct fixture *f)
{
	desk_free(f->desk);
	loop_free(f->loop);
}

static void turn_until(struct fixture *f, const int *count)
{
	uint64_t end = clock_mono_ms() + 20000;
	while (!*count) {
		assert_true(clock_mono_ms() < end);
		assert_int_equal(loop_turn(f->loop, 50), HG_OK);
	}
}

static void a_task_runs_on_another_thread_with_a_database_and_comes_back(void **state)
{
	struct fixture f;
	struct job j = job_of(0), open = job_of(0), after = job_of(0);
	open_desk(&f, state, NULL, 0);
	open.leave_open = true;
	assert_true(desk_queue(f.desk, &j.task, 0));
	assert_true(desk_queue(f.desk, &open.task, 0));
	assert_true(desk_queue(f.desk, &after.task, 0));
	assert_int_equal(desk_pending(f.desk), 3);
	turn_until(&f, &after.done);
	assert_int_equal(j.done + open.done + after.done, 3);
	assert_true(j.had_db);
	assert_false(pthread_equal(j.thread, pthread_self()));
	/* what was left open was taken back */
	assert_int_equal(after.rc, HG_OK);
	assert_int_equal(desk_pending(f.desk), 0);
	struct job again = job_of(0);
	again.leave_open = true;
	assert_true(desk_queue(f.desk, &again.task, 0));
	turn_until(&f, &again.done);
	assert_int_equal(again.rc, HG_OK); /* the table is not there yet */
	close_desk(&f);
}

static void what_is_cancelled_never_begins_and_comes_back_once(void **state)
{
	struct fixture f;
	struct job first = job_of(100), second = job_of(0);
	open_desk(&f, state, NULL, 0);
	assert_true(desk_queue(f.desk, &first.task, 0));
	assert_true(desk_queue(f.desk, &second.task, 0));
	desk_cancel(f.desk, &second.task);
	assert_int_equal(second.done, 0); /* not from inside */
	desk_cancel(f.desk, &second.task);
	turn_until(&f, &first.done);
	assert_int_equal(second.done, 1);
	assert_int_equal(second.rc, HG_E_CLOSED);
	assert_false(second.ran);
	assert_int_equal(first.rc, HG_OK);
	close_desk(&f);
}

static void a_full_queue_refuses_and_the_loop_goes_on(void **state)
{
	struct fixture f;
	struct job j[9];
	open_desk(&f, state, NULL, 0);
	for (size_t i = 0; i < HG_COUNT(j); i++) {
		j[i] = job_of(i ? 0 : 200);
		assert_int_equal(desk_queue(f.desk, &j[i].task, 0), i < 8);
	}
	uint64_t before = clock_mono_ms();
	assert_int_equal(loop_turn(f.loop, 0), HG_OK);
	assert_true(clock_mono_ms() - before < 100);
	turn_until(&f, &j[7].done);
	close_desk(&f);
}

static void who_waits_too_long_gets_his_task_back(void **state)
{
	struct fixture f;
	struct job first = job_of(600), second = job_of(0);
	open_desk(&f, state, NULL, 0);
	assert_true(desk_queue(f.desk, &first.task, 5000));
	assert_true(desk_queue(f.desk, &second.task, 100));
	uint64_t before = clock_mono_ms();
	turn_until(&f, &second.done);
	assert_int_equal(second.rc, HG_E_AGAIN);
	assert_false(second.ran);
	assert_true(clock_mono_ms() - before < 500);
	close_desk(&f);
	assert_int_equal(first.done, 1);
}

static void a_statement_without_an_end_is_interrupted(void **state)
{
	struct fixture f;
	struct job j = job_of(0), next = job_of(0);
	open_desk(&f, state, NULL, 0);
	j.endless = true;
	assert_true(desk_queue(f.desk, &j.task, 200));
	assert_true(desk_queue(f.desk, &next.task, 5000));
	turn_until(&f, &next.done);
	assert_true(j.rc < 0);
	assert_int_equal(next.rc, HG_OK);
	close_desk(&f);
}

static void its_end_waits_for_what_runs_and_gives_back_the_rest(void **state)
{
	struct fixture f;
	struct job first = job_of(200), second = job_of(0), endless = job_of(0);
	open_desk(&f, state, NULL, 0);
	assert_true(desk_queue(f.desk, &first.task, 0));
	assert_true(desk_queue(f.desk, &second.task, 0));
	while (!__atomic_load_n(&first.ran, __ATOMIC_SEQ_CST))
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	close_desk(&f);
	assert_int_equal(first.rc, HG_OK);
	assert_int_equal(first.done + second.done, 2);
	assert_int_equal(second.rc, HG_E_CLOSED);
	open_desk(&f, state, NULL, 0);
	endless.endless = true;
	assert_true(desk_queue(f.desk, &endless.task, 300));
	while (!__atomic_load_n(&endless.ran, __ATOMIC_SEQ_CST))
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	close_desk(&f);
	assert_true(endless.rc < 0);
}

static void a_database_that_is_away_costs_its_tasks_their_time_and_no_more(void **state)
{
	struct fixture f;
	struct job j = job_of(0);
	open_desk(&f, state, "sqlite:/proc/nowhere/x.db", 0);
	assert_true(desk_queue(f.desk, &j.task, 250));
	turn_until(&f, &j.done);
	assert_int_equal(j.rc, HG_E_AGAIN);
	assert_false(j.ran);
	assert_non_null(strstr(j.task.why, "/proc/nowhere"));
	/* for longer than anybody would wait: at once */
	f.desk->away_ms -= DESK_WITHIN_MS;
	j = job_of(0);
	uint64_t before = clock_mono_ms();
	assert_true(desk_queue(f.desk, &j.task, 5000));
	turn_until(&f, &j.done);
	assert_int_equal(j.rc, HG_E_AGAIN);
	assert_true(clock_mono_ms() - before < 500);
	close_desk(&f);
}

static void threads_without_a_database_work_side_by_side(void **state)
{
	struct fixture f;
	struct job a = job_of(300), b = job_of(300);
	open_desk(&f, state, NULL, 2);
	uint64_t before = clock_mono_ms();
	assert_true(desk_queue(f.desk, &a.task, 0));
	assert_true(desk_queue(f.desk, &b.task, 0));
	turn_until(&f, &a.done);
	turn_until(&f, &b.done);
	assert_true(clock_mono_ms() - before < 550);
	assert_false(a.had_db);
	assert_false(pthread_equal(a.thread, b.thread));
	close_desk(&f);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, dir_setup, dir_teardown)
	const struct CMUnitTest tests[] = {
	        T(a_task_runs_on_another_thread_with_a_database_and_comes_back),
	        T(what_is_cancelled_never_begins_and_comes_back_once),
	        T(a_full_queue_refuses_and_the_loop_goes_on),
	        T(who_waits_too_long_gets_his_task_back),
	        T(a_statement_without_an_end_is_interrupted),
	        T(its_end_waits_for_what_runs_and_gives_back_the_rest),
	        T(a_database_that_is_away_costs_its_tasks_their_time_and_no_more),
	        T(threads_without_a_database_work_side_by_side),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
