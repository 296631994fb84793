/*
 * The lock between the loop and threads that evaluate queries. Order is shown by tickets, not by
 * time: the test holds the lock until those it wants to see waiting have their tickets.
 */
#include "../../test.h"

#include "observe/tsdb/lock.c"

#include <sched.h>

#include "os/loop.h"

/* Returns once `n` tickets are out that were not served yet. */
static void wait_for_tickets(struct observe_lock *l, unsigned n)
{
	while (atomic_load(&l->next) - atomic_load(&l->serving) != n)
		sched_yield();
}

struct log {
	struct observe_lock lock;
	char order[16]; /* written by whoever holds the lock */
	unsigned n;
};

struct asker {
	struct log *log;
	char name;
	pthread_t thread;
};

static void *ask_once(void *arg)
{
	struct asker *a = arg;
	observe_lock_take(&a->log->lock);
	a->log->order[a->log->n++] = a->name;
	observe_lock_give(&a->log->lock);
	return NULL;
}

static void turns_come_in_the_order_in_which_they_were_asked_for(void **state)
{
	struct log log = {0};
	struct asker asker[5];
	(void)state;
	observe_lock_init(&log.lock);
	observe_lock_take(&log.lock);
	for (unsigned i = 0; i < HG_COUNT(asker); i++) {
		asker[i] = (struct asker){.log = &log, .name = (char)('a' + i)};
		assert_int_equal(pthread_create(&asker[i].thread, NULL, ask_once, &asker[i]), 0);
		wait_for_tickets(&log.lock, i + 2);
	}
	observe_lock_give(&log.lock);
	for (unsigned i = 0; i < HG_COUNT(asker); i++)
		assert_int_equal(pthread_join(asker[i].thread, NULL), 0);
	assert_string_equal(log.order, "abcde");
	observe_lock_fini(&log.lock);
}

/* What a query does: gives the lock after each series and takes it at once for the next. */
static void who_comes_again_comes_after_who_waits(void **state)
{
	struct log log = {0};
	struct asker loop = {.log = &log, .name = 'l'};
	(void)state;
	observe_lock_init(&log.lock);
	observe_lock_take(&log.lock);
	assert_int_equal(pthread_create(&loop.thread, NULL, ask_once, &loop), 0);
	wait_for_tickets(&log.lock, 2);
	observe_lock_give(&log.lock);
	observe_lock_take(&log.lock);
	log.order[log.n++] = 'q';
	observe_lock_give(&log.lock);
	assert_int_equal(pthread_join(loop.thread, NULL), 0);
	assert_string_equal(log.order, "lq");
	observe_lock_fini(&log.lock);
}

#define ROUNDS 2000u

struct race {
	struct observe_lock lock;
	uint64_t inside;             /* no atomic: the lock is what makes it right */
	atomic_uint query[2], turns; /* rounds so far */
	atomic_bool stop;
	struct loop_timer timer;
};

/* Everybody goes on until everybody had his rounds: who is starved keeps the test from ending. */
static bool enough(struct race *r)
{
	return atomic_load(&r->query[0]) >= ROUNDS && atomic_load(&r->query[1]) >= ROUNDS &&
	       atomic_load(&r->turns) >= ROUNDS;
}

struct hammer {
	struct race *race;
	unsigned i;
	uint64_t rounds;
};

static void *hammer(void *arg)
{
	struct hammer *h = arg;
	struct race *r = h->race;
	while (!atomic_load(&r->stop)) {
		observe_lock_take(&r->lock);
		r->inside++;
		observe_lock_give(&r->lock);
		h->rounds++;
		atomic_fetch_add(&r->query[h->i], 1);
	}
	return NULL;
}

static void busy(struct loop *l, struct loop_timer *t)
{
	struct race *r = HG_CONTAINER(t, struct race, timer);
	r->inside++;
	atomic_fetch_add(&r->turns, 1);
	if (enough(r)) {
		loop_stop(l);
		return;
	}
	assert_int_equal(loop_timer_start(l, t, 0, busy), HG_OK); /* it never rests */
}

static void neither_the_loop_nor_a_query_starves(void **state)
{
	struct race r = {0};
	struct loop *l = NULL;
	struct hammer h[2];
	pthread_t thread[2];
	(void)state;
	observe_lock_init(&r.lock);
	assert_int_equal(loop_new(&l), HG_OK);
	observe_lock_take(&r.lock);
	loop_hooks(l, observe_lock_give, observe_lock_take, &r.lock);
	assert_int_equal(loop_timer_start(l, &r.timer, 0, busy), HG_OK);
	for (unsigned i = 0; i < 2; i++) {
		h[i] = (struct hammer){.race = &r, .i = i};
		assert_int_equal(pthread_create(&thread[i], NULL, hammer, &h[i]), 0);
	}
	assert_int_equal(loop_run(l), HG_OK);
	atomic_store(&r.stop, true);
	observe_lock_give(&r.lock);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(r.inside, h[0].rounds + h[1].rounds + atomic_load(&r.turns));
	loop_free(l);
	observe_lock_fini(&r.lock);
}

static void tickets_may_run_over(void **state)
{
	struct log log = {0};
	struct asker a = {.log = &log, .name = 'a'};
	(void)state;
	observe_lock_init(&log.lock);
	atomic_store(&log.lock.next, UINT32_MAX);
	atomic_store(&log.lock.serving, UINT32_MAX);
	observe_lock_take(&log.lock);
	assert_int_equal(pthread_create(&a.thread, NULL, ask_once, &a), 0);
	wait_for_tickets(&log.lock, 2);
	log.order[log.n++] = 'x';
	observe_lock_give(&log.lock);
	assert_int_equal(pthread_join(a.thread, NULL), 0);
	assert_string_equal(log.order, "xa");
	observe_lock_fini(&log.lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(turns_come_in_the_order_in_which_they_were_asked_for),
	        cmocka_unit_test(who_comes_again_comes_after_who_waits),
	        cmocka_unit_test(neither_the_loop_nor_a_query_starves),
	        cmocka_unit_test(tickets_may_run_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
