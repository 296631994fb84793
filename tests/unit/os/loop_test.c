#include "../test.h"

#include <signal.h>
#include <unistd.h>

#include "os/loop.h"

struct seen {
	struct loop_io io, other;
	struct loop_timer timer, late;
	struct loop_task task;
	int reads, ticks, tasks, signals;
	int pipe[2], pipe2[2];
};

static struct seen *of_io(struct loop_io *io)
{
	return HG_CONTAINER(io, struct seen, io);
}

static void stop_the_other(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct seen *s = of_io(io);
	(void)events;
	s->reads++;
	loop_io_stop(l, &s->other);
	loop_io_stop(l, &s->io);
}

static void other_comes_first(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct seen *s = HG_CONTAINER(io, struct seen, other);
	(void)events;
	s->reads++;
	loop_io_stop(l, &s->io);
	loop_io_stop(l, &s->other);
}

static void events_of_a_stopped_watcher_are_dropped(void **state)
{
	struct seen s = {0};
	struct loop *l;
	(void)state;
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(pipe(s.pipe) | pipe(s.pipe2), 0);
	assert_int_equal(write(s.pipe[1], "x", 1) + write(s.pipe2[1], "x", 1), 2);
	assert_int_equal(loop_io_start(l, &s.io, s.pipe[0], EPOLLIN, stop_the_other), HG_OK);
	assert_int_equal(loop_io_start(l, &s.other, s.pipe2[0], EPOLLIN, other_comes_first), HG_OK);
	assert_int_equal(loop_turn(l, 0), HG_OK);
	assert_int_equal(loop_turn(l, 0), HG_OK);
	assert_int_equal(s.reads, 1);
	loop_free(l);
	for (int i = 0; i < 2; i++)
		close(s.pipe[i]), close(s.pipe2[i]);
}

#define READY 1000

struct crowd {
	struct loop_timer timer;
	struct one {
		struct loop_io io;
		struct crowd *of;
	} one[READY];
	int seen, seen_at_timer, ticks;
	bool stay;
};

static void on_one(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct one *one = HG_CONTAINER(io, struct one, io);
	(void)events;
	one->of->seen++;
	if (!one->of->stay) loop_io_stop(l, io);
}

static void on_crowd_timer(struct loop *l, struct loop_timer *t)
{
	struct crowd *c = HG_CONTAINER(t, struct crowd, timer);
	(void)l;
	c->ticks++;
	c->seen_at_timer = c->seen;
}

/* A time-out must not win against what came in time and was not looked at yet. */
static void timers_wait_until_what_is_ready_was_seen_but_not_for_ever(void **state)
{
	static struct crowd c;
	int ready[2];
	struct loop *l;
	(void)state;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(write(ready[1], "x", 1), 1);
	for (int stay = 0; stay < 2; stay++) {
		c = (struct crowd){.stay = stay};
		assert_int_equal(loop_new(&l), HG_OK);
		for (int i = 0; i < READY; i++) {
			int fd = dup(ready[0]);
			assert_true(fd >= 0);
			c.one[i].of = &c;
			assert_int_equal(
			        loop_io_start(l, &c.one[i].io, fd, EPOLLIN, on_one), HG_OK);
		}
		assert_int_equal(loop_timer_start(l, &c.timer, 1, on_crowd_timer), HG_OK);
		usleep(5000);
		int turns = 0;
		while (!c.ticks && turns++ < 200)
			assert_int_equal(loop_turn(l, 0), HG_OK);
		assert_int_equal(c.ticks, 1);
		assert_true(c.seen_at_timer >= READY);
		if (stay) assert_in_range(turns, 4, 64);
		loop_free(l);
		for (int fd = ready[1] + 1; fd < ready[1] + 1 + READY + 16; fd++)
			close(fd);
	}
	close(ready[0]);
	close(ready[1]);
}

static void on_task(struct loop *l, struct loop_task *t)
{
	struct seen *s = HG_CONTAINER(t, struct seen, task);
	if (++s->tasks < 3) loop_task_queue(l, t);
}

static void on_late(struct loop *l, struct loop_timer *t)
{
	HG_CONTAINER(t, struct seen, late)->ticks += 100;
	loop_stop(l);
}

static void on_tick(struct loop *l, struct loop_timer *t)
{
	struct seen *s = HG_CONTAINER(t, struct seen, timer);
	s->ticks++;
	loop_task_queue(l, &s->task);
	loop_task_queue(l, &s->task);
}

static void timers_fire_in_order_and_tasks_run_once_a_turn(void **state)
{
	struct seen s = {0};
	struct loop *l;
	(void)state;
	assert_int_equal(loop_new(&l), HG_OK);
	loop_task_init(&s.task, on_task);
	assert_int_equal(loop_timer_start(l, &s.late, 20, on_late), HG_OK);
	assert_int_equal(loop_timer_start(l, &s.timer, 500, on_tick), HG_OK);
	assert_int_equal(loop_timer_start(l, &s.timer, 5, on_tick), HG_OK); /* moved, not doubled */
	assert_int_equal(loop_run(l), HG_OK);
	assert_int_equal(s.ticks, 101);
	assert_int_equal(s.tasks, 3);
	loop_free(l);
}

static void on_usr1(struct loop *l, int signo, void *arg)
{
	*(int *)arg = signo;
	loop_stop(l);
}

static void signals_arrive_through_the_loop(void **state)
{
	struct loop *l;
	int got = 0;
	(void)state;
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(loop_signal(l, SIGUSR1, on_usr1, &got), HG_OK);
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	assert_int_equal(loop_run(l), HG_OK);
	assert_int_equal(got, SIGUSR1);
	loop_free(l);
}

struct waits {
	char seen[8];
	unsigned n;
	struct loop_task task;
};

static void before_wait(void *arg)
{
	struct waits *w = arg;
	w->seen[w->n++] = '<';
}

static void after_wait(void *arg)
{
	struct waits *w = arg;
	w->seen[w->n++] = '>';
}

static void in_between(struct loop *l, struct loop_task *t)
{
	struct waits *w = HG_CONTAINER(t, struct waits, task);
	(void)l;
	w->seen[w->n++] = 't';
}

static void hooks_stand_around_every_wait_and_around_nothing_else(void **state)
{
	struct loop *l;
	struct waits w = {0};
	(void)state;
	assert_int_equal(loop_new(&l), HG_OK);
	loop_hooks(l, before_wait, after_wait, &w);
	loop_task_init(&w.task, in_between);
	loop_task_queue(l, &w.task);
	assert_int_equal(loop_turn(l, -1), HG_OK); /* does not wait: a task is due */
	assert_int_equal(loop_turn(l, 0), HG_OK);
	loop_hooks(l, NULL, NULL, NULL);
	assert_int_equal(loop_turn(l, 0), HG_OK);
	assert_string_equal(w.seen, "<>t<>");
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(timers_wait_until_what_is_ready_was_seen_but_not_for_ever),
	        cmocka_unit_test(events_of_a_stopped_watcher_are_dropped),
	        cmocka_unit_test(timers_fire_in_order_and_tasks_run_once_a_turn),
	        cmocka_unit_test(signals_arrive_through_the_loop),
	        cmocka_unit_test(hooks_stand_around_every_wait_and_around_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
