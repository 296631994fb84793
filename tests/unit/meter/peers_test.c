#include "../test.h"

#include <pthread.h>
#include <stdlib.h>

#include "meter/peers.h"

static struct peers *table(void)
{
	struct peers *p = calloc(1, sizeof *p);
	assert_non_null(p);
	return p;
}

static bool enter(struct peers *p, uint64_t key, uint32_t worker, uint32_t max, uint32_t *place)
{
	return peers_enter(p, key, worker, max, place);
}

static void connections_of_all_workers_count_together(void **state)
{
	struct peers *p = table();
	uint32_t at[4], x;
	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		assert_true(enter(p, 7, i, 4, &at[i]));
	assert_false(enter(p, 7, 9, 4, &x));
	assert_int_equal(x, PEERS_NONE);
	assert_true(enter(p, 8, 9, 4, &x)); /* somebody else */
	peers_leave(p, at[2], 2);
	assert_true(enter(p, 7, 9, 4, &x));
	assert_false(enter(p, 7, 2, 4, &x));
	free(p);
}

static void a_worker_that_died_takes_its_connections_along(void **state)
{
	struct peers *p = table();
	uint32_t x;
	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(enter(p, 7, 1, 4, &x));
	assert_true(enter(p, 7, 2, 4, &x));
	assert_false(enter(p, 7, 2, 4, &x));
	peers_worker_reset(p, 1);
	for (int i = 0; i < 3; i++)
		assert_true(enter(p, 7, 2, 4, &x));
	assert_false(enter(p, 7, 2, 4, &x));
	free(p);
}

static void a_full_bucket_lets_pass_and_a_free_place_is_used_again(void **state)
{
	struct peers *p = table();
	uint32_t at[PEERS_WAYS], x;
	(void)state;
	for (uint64_t i = 0; i < PEERS_WAYS; i++) {
		assert_true(enter(p, i + 1, 0, 1, &at[i]));
		assert_int_not_equal(at[i], PEERS_NONE);
	}
	assert_true(enter(p, 100, 0, 1, &x));
	assert_int_equal(x, PEERS_NONE);
	peers_leave(p, x, 0);
	peers_leave(p, at[3], 0);
	assert_true(enter(p, 100, 0, 1, &x));
	assert_int_equal(x, at[3]);
	assert_false(enter(p, 100, 1, 1, &x));
	free(p);
}

struct crowd {
	struct peers *p;
	uint32_t worker;
	uint32_t place[64];
	uint32_t in;
	pthread_barrier_t *start;
};

static void *crowd(void *arg)
{
	struct crowd *c = arg;
	pthread_barrier_wait(c->start);
	for (int round = 0; round < 20000; round++) {
		if (c->in < 64 && enter(c->p, 7, c->worker, 20, &c->place[c->in])) c->in++;
		if (c->in && round % 3 == 0) peers_leave(c->p, c->place[--c->in], c->worker);
	}
	return NULL;
}

static void threads_never_hold_more_than_the_limit_and_none_is_lost(void **state)
{
	enum { THREADS = 6 };
	static struct crowd c[THREADS];
	pthread_t thread[THREADS];
	pthread_barrier_t start;
	struct peers *p = table();
	uint32_t all = 0, x;
	(void)state;
	assert_true(enter(p, 7, 31, 20, &x)); /* the place is there */
	pthread_barrier_init(&start, NULL, THREADS);
	for (uint32_t i = 0; i < THREADS; i++) {
		c[i] = (struct crowd){.p = p, .worker = i, .start = &start};
		assert_int_equal(pthread_create(&thread[i], NULL, crowd, &c[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < THREADS; i++)
		all += c[i].in;
	assert_in_range(all, 1, 19);
	for (int i = 0; i < THREADS; i++)
		while (c[i].in)
			peers_leave(p, c[i].place[--c[i].in], c[i].worker);
	peers_leave(p, x, 31);
	for (int i = 0; i < 20; i++)
		assert_true(enter(p, 7, 0, 20, &x));
	assert_false(enter(p, 7, 0, 20, &x));
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(connections_of_all_workers_count_together),
	        cmocka_unit_test(a_worker_that_died_takes_its_connections_along),
	        cmocka_unit_test(a_full_bucket_lets_pass_and_a_free_place_is_used_again),
	        cmocka_unit_test(threads_never_hold_more_than_the_limit_and_none_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
