#include "../test.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/rand.h"
#include "meter/rates.h"

#define S 1000000000ull

static struct rates *table(void)
{
	static const uint8_t secret[16] = {7, 1};
	struct rates *t =
	        mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t == MAP_FAILED) abort();
	rates_init(t, secret);
	assert_ptr_equal(rates_open(t, sizeof *t), t);
	return t;
}

static void drop(struct rates *t)
{
	munmap(t, sizeof *t);
}

static struct gcra_rule rule(uint64_t count, uint64_t period_ns, uint64_t burst)
{
	struct gcra_rule r;
	assert_true(gcra_rule_make(count, period_ns, burst, &r));
	return r;
}

/* Requests that this key gets admitted now. */
static uint64_t drain(struct rates *t, uint64_t key, struct gcra_rule r, uint64_t now)
{
	uint64_t n = 0;
	while (rates_take(t, key, r, now).admit)
		n++;
	return n;
}

/* The `i`-th key that falls into the bucket of `like`. */
static uint64_t neighbour(uint64_t like, uint64_t i)
{
	return (like & ~0xffffffffull) | (i + 1);
}

static void keys_tell_rule_kind_and_name_apart(void **state)
{
	struct rates *t = table();
	(void)state;
	uint64_t key = rates_key(t, 1, 2, "abc", 3);
	assert_int_equal(key, rates_key(t, 1, 2, "abc", 3));
	assert_int_not_equal(key, rates_key(t, 2, 2, "abc", 3));
	assert_int_not_equal(key, rates_key(t, 1, 3, "abc", 3));
	assert_int_not_equal(key, rates_key(t, 1, 2, "abd", 3));
	t->secret[0]++;
	assert_int_not_equal(key, rates_key(t, 1, 2, "abc", 3));
	t->layout++;
	assert_null(rates_open(t, sizeof *t));
	drop(t);
}

static void each_key_has_its_own_limit_and_a_look_costs_nothing(void **state)
{
	struct rates *t = table();
	struct gcra_rule r = rule(5, S, 5);
	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_true(rates_peek(t, 11, r, 10 * S).admit);
		assert_int_equal(rates_peek(t, 11, r, 10 * S).left, 4);
	}
	assert_int_equal(drain(t, 11, r, 10 * S), 5);
	assert_false(rates_peek(t, 11, r, 10 * S).admit);
	assert_int_equal(drain(t, 12ull << 40, r, 10 * S), 5);
	assert_int_equal(drain(t, 11, r, 10 * S + S / 5), 1);
	drop(t);
}

/*
 * The eviction bound: whoever is put out of a full bucket comes back to one request, not to a
 * burst, and each time took a request under a key that was not there.
 */
static void being_evicted_gives_nobody_his_limit_back(void **state)
{
	struct rates *t = table();
	struct gcra_rule r = rule(100, 3600 * S, 100);
	uint64_t now = 10 * S, mine = neighbour(5ull << 40, 0), admitted = 0, others = 0;
	(void)state;
	for (uint64_t i = 0; i < RATES_WAYS; i++)
		assert_int_equal(drain(t, neighbour(mine, i), r, now), 100);
	for (uint64_t i = 0; i < 1000; i++) {
		/* A new key puts out who owes least, which is a neighbour of before or me. */
		others += rates_take(t, neighbour(mine, 100 + i), r, now).admit;
		admitted += drain(t, mine, r, now);
	}
	assert_true(others >= 1);
	if (admitted > others)
		fail_msg("%llu of mine, %llu of others", (unsigned long long)admitted,
		        (unsigned long long)others);
	drop(t);
}

static void idle_entries_make_room_for_newcomers_with_their_whole_burst(void **state)
{
	struct rates *t = table();
	struct gcra_rule r = rule(10, S, 10);
	uint64_t base = 9ull << 40;
	(void)state;
	for (uint64_t i = 0; i < RATES_WAYS; i++)
		assert_int_equal(drain(t, neighbour(base, i), r, 10 * S), 10);
	/* All owe; a second later none does. */
	assert_int_equal(drain(t, neighbour(base, 50), r, 11 * S), 10);
	assert_int_equal(drain(t, neighbour(base, 51), r, 11 * S), 10);
	drop(t);
}

static void debts_of_a_slow_rule_do_not_lock_newcomers_of_another_out(void **state)
{
	struct rates *t = table();
	struct gcra_rule slow = rule(1, 86400 * S, 1), fast = rule(100, S, 100);
	uint64_t base = 3ull << 40;
	(void)state;
	for (uint64_t i = 0; i < RATES_WAYS; i++)
		assert_true(rates_take(t, neighbour(base, i), slow, 10 * S).admit);
	assert_true(rates_take(t, neighbour(base, 70), fast, 10 * S).admit);
	assert_true(rates_take(t, neighbour(base, 70), fast, 10 * S + S / 10).admit);
	drop(t);
}

/* ---- many workers ---- */

static uint64_t mono(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * S + (uint64_t)ts.tv_nsec;
}

struct hammer {
	struct rates *t;
	uint64_t keys, until;
	struct gcra_rule r;
	_Atomic uint64_t admitted, last; /* last: time of the newest request */
	_Atomic int go;
};

static void hammer(struct hammer *h, uint64_t seed)
{
	struct hg_rand rand;
	hg_rand_seed(&rand, seed);
	while (!atomic_load(&h->go)) {
	}
	/* However little of the processor it gets: more requests than the burst. */
	for (uint64_t n = 0, now; (now = mono()) < h->until || n < 200; n++) {
		uint64_t key = neighbour(1ull << 40, hg_rand_below(&rand, (uint32_t)h->keys));
		if (rates_take(h->t, key, h->r, now).admit) atomic_fetch_add(&h->admitted, 1);
		uint64_t last = atomic_load(&h->last);
		while (last < now && !atomic_compare_exchange_weak(&h->last, &last, now)) {
		}
	}
}

static void *hammer_thread(void *arg)
{
	hammer(arg, (uint64_t)pthread_self());
	return NULL;
}

static void threads_on_one_key_never_admit_more_than_burst_and_rate(void **state)
{
	enum { THREADS = 8 };
	(void)state;
	for (int round = 0; round < 20; round++) {
		static struct hammer h;
		pthread_t thread[THREADS];
		h = (struct hammer){.t = table(), .keys = 1, .r = rule(10000, S, 50)};
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&thread[i], NULL, hammer_thread, &h), 0);
		uint64_t start = mono();
		h.until = start + S / 20;
		atomic_store(&h.go, 1);
		for (int i = 0; i < THREADS; i++)
			pthread_join(thread[i], NULL);
		uint64_t most = 50 + (h.last - start) / h.r.interval_ns;
		if (h.admitted > most || h.admitted < 50)
			fail_msg("%llu admitted, %llu at most", (unsigned long long)h.admitted,
			        (unsigned long long)most);
		drop(h.t);
	}
}

/* More keys than the bucket holds, processes that are killed in between: the table stays usable,
 * and nobody gets more than the bound: one request an eviction, and the evictions are as many as
 * the requests under keys that were not there. */
static void processes_that_are_killed_leave_a_table_that_works(void **state)
{
	enum { WORKERS = 4 };
	struct hammer *h =
	        mmap(NULL, sizeof *h, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid[WORKERS];
	(void)state;
	if (h == MAP_FAILED) abort();
	*h = (struct hammer){
	        .t = table(), .keys = 6, .r = rule(1000, S, 10), .until = mono() + 60 * S};
	atomic_store(&h->go, 1);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < WORKERS; i++) {
			pid[i] = fork();
			if (pid[i] == 0) {
				hammer(h, (uint64_t)getpid());
				_exit(0);
			}
		}
		usleep(20000);
		for (int i = 0; i < WORKERS; i++) {
			kill(pid[i], SIGKILL);
			waitpid(pid[i], NULL, 0);
		}
	}
	assert_true(h->admitted > 0);
	/* After a rest everything is as if nothing had been. */
	uint64_t later = mono() + 3600 * S;
	for (uint64_t i = 0; i < RATES_WAYS; i++)
		assert_int_equal(drain(h->t, neighbour(1ull << 40, i), h->r, later), 10);
	drop(h->t);
	munmap(h, sizeof *h);
}

/* Two machines that count together: what the other admitted is owed here too, and what was refused
 * there was not counted here. */
static void what_is_known_from_elsewhere_is_owed_here(void **state)
{
	struct rates *t = table();
	struct gcra_rule r = rule(1, S, 3);
	uint64_t now = 1000 * S;
	(void)state;
	assert_int_equal(rates_take(t, 7, r, now).left, 2);
	rates_settle(t, 7, r, true, 0);
	assert_int_equal(rates_peek(t, 7, r, now).left, 2);
	assert_int_equal(rates_take(t, 7, r, now).left, 2);
	rates_settle(t, 7, r, false, now + 2 * S); /* two were taken in all */
	assert_int_equal(rates_peek(t, 7, r, now).left, 0);
	rates_settle(t, 7, r, false, now + S); /* older news */
	assert_int_equal(rates_peek(t, 7, r, now).left, 0);
	rates_settle(t, 7, r, false, now + 4 * S); /* over the limit there */
	assert_false(rates_take(t, 7, r, now).admit);
	assert_true(rates_take(t, 7, r, now + 2 * S).admit);
	rates_settle(t, 8, r, true, now + 9 * S); /* nobody's */
	assert_int_equal(rates_take(t, 8, r, now).left, 2);
	drop(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(keys_tell_rule_kind_and_name_apart),
	        cmocka_unit_test(each_key_has_its_own_limit_and_a_look_costs_nothing),
	        cmocka_unit_test(being_evicted_gives_nobody_his_limit_back),
	        cmocka_unit_test(idle_entries_make_room_for_newcomers_with_their_whole_burst),
	        cmocka_unit_test(debts_of_a_slow_rule_do_not_lock_newcomers_of_another_out),
	        cmocka_unit_test(what_is_known_from_elsewhere_is_owed_here),
	        cmocka_unit_test(threads_on_one_key_never_admit_more_than_burst_and_rate),
	        cmocka_unit_test(processes_that_are_killed_leave_a_table_that_works),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
