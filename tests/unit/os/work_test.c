/* Jobs beside the loop. */
#include "../test.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/work.h"

struct job {
	struct loop *loop;
	atomic_int turns;
	bool done, blocked;
	int most;
};

static void nap(void)
{
	const struct timespec t = {.tv_nsec = 1000000};
	(void)nanosleep(&t, NULL);
}

static void works(void *arg, const atomic_bool *stop)
{
	struct job *j = arg;
	sigset_t set;
	assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &set), 0);
	j->blocked = sigismember(&set, SIGTERM) == 1;
	for (int i = 0; i < j->most && !atomic_load(stop); i++) {
		atomic_fetch_add(&j->turns, 1);
		nap();
	}
}

static void on_done(void *arg)
{
	struct job *j = arg;
	j->done = true;
	loop_stop(j->loop);
}

static int up(void **state)
{
	static struct job j;
	j = (struct job){.most = 50};
	*state = &j;
	return loop_new(&j.loop) == HG_OK ? 0 : -1;
}

static int down(void **state)
{
	struct job *j = *state;
	loop_free(j->loop);
	return 0;
}

static void the_loop_goes_on_and_is_told_of_the_end(void **state)
{
	struct job *j = *state;
	struct work *w;
	uint64_t began = clock_mono_ms();
	assert_int_equal(work_start(j->loop, works, on_done, j, &w), HG_OK);
	assert_int_equal(loop_turn(j->loop, 0), HG_OK);
	assert_true(clock_mono_ms() - began < 40);
	assert_false(j->done);
	assert_int_equal(loop_run(j->loop), HG_OK);
	assert_true(j->done);
	assert_int_equal(j->turns, 50);
	assert_true(j->blocked);
}

static void one_that_is_hurried_ends_early_and_tells(void **state)
{
	struct job *j = *state;
	struct work *w;
	j->most = 100000;
	assert_int_equal(work_start(j->loop, works, on_done, j, &w), HG_OK);
	work_hurry(w);
	assert_int_equal(loop_run(j->loop), HG_OK);
	assert_true(j->done);
	assert_true(j->turns < 1000);
}

static void one_that_is_stopped_has_ended_and_tells_nobody(void **state)
{
	struct job *j = *state;
	struct work *w;
	j->most = 100000;
	assert_int_equal(work_start(j->loop, works, on_done, j, &w), HG_OK);
	while (j->turns == 0)
		nap();
	work_stop(w);
	int turns = j->turns;
	nap();
	assert_int_equal(j->turns, turns);
	assert_int_equal(loop_turn(j->loop, 0), HG_OK);
	assert_false(j->done);
	work_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(the_loop_goes_on_and_is_told_of_the_end, up, down),
	        cmocka_unit_test_setup_teardown(one_that_is_hurried_ends_early_and_tells, up, down),
	        cmocka_unit_test_setup_teardown(
	                one_that_is_stopped_has_ended_and_tells_nobody, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
