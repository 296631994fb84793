/*
 * A writer that is killed at a hundred moments. What it had committed when it died is there, bit by
 * bit; what it had not may be there or not, but nothing else is.
 */
#include "box.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define SERIES 40
#define STEP   1000
#define START  1700000000000

/* What series i has at round k: a function, so that the reader knows it too. */
static double value_at(uint32_t i, uint64_t k)
{
	struct hg_rand r;
	switch (i % 4) {
	case 0: return (double)(k * (i + 1));
	case 1: return (double)(k * 7919 % 1000) / 10;
	case 2: hg_rand_seed(&r, k * SERIES + i); return hg_rand_unit(&r);
	default: return k % 50 == 49 ? tsdb_stale() : 3;
	}
}

/* Series begin one after the other, so that new ones come all the time at first. */
static bool has_sample(uint32_t i, uint64_t k)
{
	return k >= i * 3;
}

static void write_on(
        struct model *m, const struct tsdb_options *o, uint64_t from, volatile uint64_t *committed)
{
	model_open(m, o);
	for (uint64_t k = from;; k++) {
		for (uint32_t i = 0; i < SERIES; i++) {
			if (!has_sample(i, k)) continue;
			model_ref(m, i);
			if (tsdb_append(m->db, m->series[i].ref, START + (int64_t)k * STEP,
			            value_at(i, k)) != HG_OK)
				_exit(3);
		}
		if (tsdb_commit(m->db) != HG_OK) _exit(4);
		*committed = k + 1;
	}
}

/* Returns how many rounds are whole; all below `committed` must be. */
static uint64_t check(struct model *m, const struct tsdb_options *o, uint64_t committed)
{
	struct tsdb_selection *sel;
	struct hg_err err = {0};
	struct tsdb_samples got = {0};
	uint64_t rounds = UINT64_MAX;
	struct tsdb_stats st;
	model_open(m, o);
	assert_int_equal(tsdb_select(m->db, NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX, &sel, &err), HG_OK);
	uint32_t series = tsdb_selection_count(sel);
	for (uint32_t k = 0; k < series; k++) {
		uint32_t i = 0;
		while (!labels_equal(m->series[i].ls, tsdb_selection_labels(sel, k)))
			i++;
		assert_int_equal(
		        tsdb_selection_read(sel, k, TSDB_NO_MIN, TSDB_NO_MAX, &got), HG_OK);
		for (size_t j = 0; j < got.n; j++) {
			uint64_t round = i * 3 + j;
			double want = value_at(i, round);
			if (got.t[j] != START + (int64_t)round * STEP ||
			        memcmp(&got.v[j], &want, sizeof want) != 0)
				fail_msg("series %u, sample %zu: %lld %a", i, j,
				        (long long)got.t[j], got.v[j]);
		}
		rounds = HG_MIN(rounds, i * 3 + got.n);
		if (i * 3 + got.n < committed)
			fail_msg("series %u ends at %zu of %llu rounds", i, i * 3 + got.n,
			        (unsigned long long)committed);
	}
	if (committed > 3 * SERIES) assert_int_equal(series, SERIES);
	tsdb_selection_free(sel);
	tsdb_samples_free(&got);
	tsdb_stats(m->db, &st);
	assert_int_equal(st.damaged, 0);
	tsdb_close(m->db);
	m->db = NULL;
	return series ? rounds : 0;
}

static void test_a_writer_killed_at_any_moment_loses_only_what_it_had_not_committed(void **state)
{
	(void)state;
	struct box b;
	struct model m;
	struct hg_rand rand;
	volatile uint64_t *committed =
	        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(committed != MAP_FAILED);
	box_init(&b);
	hg_rand_seed(&rand, 99);
	model_init(&m, SERIES, 1);
	b.o.window_ms = 120000;
	b.o.out_of_order_ms = 60000;
	b.o.journal_bytes = 6000;
	b.o.chunk_samples = 30;
	uint64_t rounds = 0;
	for (int kill_no = 0; kill_no < 100; kill_no++) {
		*committed = rounds;
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (!pid) write_on(&m, &b.o, rounds, committed);
		/* Some while it starts, most while it writes. */
		usleep(hg_rand_below(&rand, kill_no % 4 ? 12000 : 1500));
		kill(pid, SIGKILL);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		rounds = check(&m, &b.o, *committed);
	}
	assert_true(rounds > 100);
	munmap((void *)(uintptr_t)committed, 4096);
	model_fini(&m);
	box_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(
	                test_a_writer_killed_at_any_moment_loses_only_what_it_had_not_committed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
