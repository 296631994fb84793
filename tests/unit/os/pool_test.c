#include "../test.h"

#include <sched.h>
#include <stdatomic.h>

#include "os/pool.h"

struct job {
	struct pool_job job;
	struct loop *loop;
	atomic_bool running, let_go;
	char *order; /* of `done`, and of `run` where one thread runs them all */
	char name;
	unsigned *left;
};

static void run(struct pool_job *pj)
{
	struct job *j = HG_CONTAINER(pj, struct job, job);
	atomic_store(&j->running, true);
	while (!atomic_load(&j->let_go))
		sched_yield();
}

static void done(struct pool_job *pj)
{
	struct job *j = HG_CONTAINER(pj, struct job, job);
	j->order[strlen(j->order)] = j->name;
	if (--*j->left == 0) loop_stop(j->loop);
}

static void wait_until(atomic_bool *flag)
{
	while (!atomic_load(flag))
		sched_yield();
}

static void jobs(struct job *at, unsigned n, struct loop *l, char *order, unsigned *left)
{
	*left = n;
	for (unsigned i = 0; i < n; i++) {
		at[i] = (struct job){.job = {.run = run, .done = done},
		        .loop = l,
		        .order = order,
		        .name = (char)('a' + i),
		        .left = left};
	}
}

static void jobs_begin_in_the_order_in_which_they_were_given(void **state)
{
	struct loop *l;
	struct pool *p;
	struct job j[4];
	char order[8] = "";
	unsigned left;
	(void)state;
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(pool_new(l, 1, &p), HG_OK);
	jobs(j, 4, l, order, &left);
	for (int i = 0; i < 4; i++) {
		atomic_store(&j[i].let_go, i > 0);
		assert_int_equal(pool_give(p, &j[i].job), HG_OK);
	}
	wait_until(&j[0].running);
	assert_int_equal(pool_running(p), 1);
	assert_int_equal(pool_waiting(p), 3);
	atomic_store(&j[0].let_go, true);
	assert_int_equal(loop_run(l), HG_OK);
	assert_string_equal(order, "abcd");
	assert_int_equal(pool_running(p) + pool_waiting(p), 0);
	pool_free(p, NULL, NULL, NULL);
	loop_free(l);
}

static void as_many_run_at_once_as_there_are_threads(void **state)
{
	struct loop *l;
	struct pool *p;
	struct job j[3];
	char order[8] = "";
	unsigned left;
	(void)state;
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(pool_new(l, 2, &p), HG_OK);
	jobs(j, 3, l, order, &left);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pool_give(p, &j[i].job), HG_OK);
	wait_until(&j[0].running);
	wait_until(&j[1].running);
	assert_false(atomic_load(&j[2].running));
	assert_int_equal(pool_waiting(p), 1);
	atomic_store(&j[1].let_go, true);
	wait_until(&j[2].running);
	atomic_store(&j[0].let_go, true);
	atomic_store(&j[2].let_go, true);
	assert_int_equal(loop_run(l), HG_OK);
	assert_int_equal(strlen(order), 3);
	assert_int_equal(order[0], 'b');
	pool_free(p, NULL, NULL, NULL);
	loop_free(l);
}

static void what_was_taken_back_never_runs_and_what_runs_is_waited_for(void **state)
{
	struct loop *l;
	struct pool *p;
	struct job j[4];
	char order[8] = "";
	unsigned left;
	(void)state;
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(pool_new(l, 1, &p), HG_OK);
	jobs(j, 4, l, order, &left);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pool_give(p, &j[i].job), HG_OK);
	wait_until(&j[0].running);
	assert_false(pool_take_back(p, &j[0].job)); /* it has begun */
	assert_true(pool_take_back(p, &j[3].job));  /* the last one */
	assert_true(pool_take_back(p, &j[1].job));  /* the first one */
	assert_false(pool_take_back(p, &j[1].job));
	assert_int_equal(pool_waiting(p), 1);
	atomic_store(&j[0].let_go, true);
	pool_free(p, NULL, NULL, NULL);
	assert_false(atomic_load(&j[1].running) || atomic_load(&j[3].running));
	assert_string_equal(order, "");
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(jobs_begin_in_the_order_in_which_they_were_given),
	        cmocka_unit_test(as_many_run_at_once_as_there_are_threads),
	        cmocka_unit_test(what_was_taken_back_never_runs_and_what_runs_is_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
