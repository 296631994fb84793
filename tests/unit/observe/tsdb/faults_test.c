/*
 * Every call of the system that the store makes fails once, or for ever from there on, with half a
 * write or without; and the power is lost after each of them. Whatever happens: the store opens, a
 * value is never wrong, and what was promised is there.
 */
#include "faults.h"

#include "observe/tsdb/tsdb_priv.h"

#define SERIES 5
#define START  1700000040000 /* a whole minute */
#define ROUNDS 220 /* of a second: three windows of a minute and the lateness after them */

static int64_t clock_ms;

static int64_t clock_now(void)
{
	return clock_ms;
}

static double value_at(uint32_t i, uint32_t k)
{
	struct hg_rand r;
	if (i % 3 == 0) return (double)(k * (i + 1));
	if (i % 3 == 1) return (double)(k * 7919 % 1000) / 10;
	hg_rand_seed(&r, k * SERIES + i);
	return hg_rand_unit(&r);
}

/* In which round a sample was appended. */
static uint32_t round_of(uint32_t series, uint32_t k)
{
	return series == SERIES - 1 ? k ^ 1 : k;
}

struct history {
	struct tsdb_options o;
	struct tsdb *db;
	uint32_t appended, committed; /* rounds */
	/* Loss of power: what is promised of each window once so many deeds are done. */
	struct promise {
		uint32_t deeds, minute, rounds;
	} promised[ROUNDS * 4];
	uint32_t promised_n, ended[ROUNDS / 60 + 2], bad_sync;
};

static void history_options(struct history *h, const char *dir)
{
	*h = (struct history){.o = {.dir = dir,
	                              .window_ms = 60000,
	                              .out_of_order_ms = 5000,
	                              .now_ms = clock_now,
	                              .chunk_samples = 8,
	                              .journal_bytes = 500}};
}

static bool history_open(struct history *h)
{
	struct hg_err err = {0};
	clock_ms = START;
	return tsdb_open(&h->o, &h->db, &err) == HG_OK;
}

static void round_append(struct history *h, uint32_t k)
{
	struct hg_err err = {0};
	clock_ms = START + k * 1000;
	for (uint32_t i = 0; i < SERIES; i++) {
		char name[8];
		tsdb_ref ref;
		snprintf(name, sizeof name, "m%u", i);
		struct label at[] = {{LABEL_METRIC, hg_str(name)}};
		/* The last one comes late, every second time: so it is out of order. */
		uint32_t late = round_of(i, k);
		if (tsdb_series(h->db, (struct labels){at, 1}, &ref, &err) != HG_OK)
			fail_msg("%s", err.message);
		enum hg_rc rc = tsdb_append(h->db, ref, START + late * 1000, value_at(i, late));
		assert_int_equal(rc, HG_OK);
	}
	h->appended = k + 1;
}

/* A window whose segment ended, or which was closed, has come to the disk. */
static void history_promise(struct history *h, uint32_t rounds)
{
	for (uint32_t i = 0; i < h->db->window_n; i++) {
		const struct window *w = h->db->windows[i];
		uint32_t minute = (uint32_t)((w->start - START) / 60000);
		uint32_t ended = w->closed ? UINT32_MAX : w->journal.segment;
		if (w->seq || ended <= h->ended[minute]) continue;
		h->ended[minute] = ended;
		HG_ASSERT(h->promised_n < HG_COUNT(h->promised));
		h->promised[h->promised_n++] = (struct promise){power.n, minute, rounds};
	}
}

static void history_run(struct history *h, uint32_t rounds)
{
	for (uint32_t k = h->appended; k < rounds; k++) {
		round_append(h, k);
		if (tsdb_commit(h->db) == HG_OK) h->committed = k + 1;
		/* A segment ends only once all of its window is written, whatever failed later. */
		if (power.on) history_promise(h, k + 1);
	}
}

static void history_kill(struct history *h)
{
	/* What a kill leaves: whatever closing would do to files does not come to them. */
	faults =
	        (struct faults){.on = true, .kinds = FAULTS_WRITING, .n = UINT32_MAX, .error = EIO};
	tsdb_close(h->db);
	h->db = NULL;
	faults.on = false;
}

struct wanted {
	const struct history *h; /* with its promises before `deeds` … */
	uint32_t deeds, rounds;  /* … or everything of so many rounds */
};

static bool is_wanted(const struct wanted *w, uint32_t series, uint32_t k)
{
	uint32_t round = round_of(series, k);
	if (!w->h) return round < w->rounds;
	for (uint32_t i = 0; i < w->h->promised_n; i++) {
		const struct promise *p = &w->h->promised[i];
		if (p->deeds <= w->deeds && p->minute == k / 60 && round < p->rounds) return true;
	}
	return false;
}

static void series_check(const struct wanted *w, const struct tsdb_samples *got, uint32_t series,
        uint32_t appended, const char *what)
{
	size_t j = 0;
	for (uint32_t k = 0; k <= appended; k++) {
		bool there = j < got->n && got->t[j] == START + k * 1000;
		double want = value_at(series, k);
		if (!there && is_wanted(w, series, k))
			fail_msg("%s: m%u lacks %u", what, series, k);
		if (!there) continue;
		if (round_of(series, k) >= appended || memcmp(&want, &got->v[j], sizeof want) != 0)
			fail_msg("%s: m%u is %a at %u", what, series, got->v[j], k);
		j++;
	}
	if (j < got->n) fail_msg("%s: m%u has more than was appended", what, series);
}

/* What is in `dir`: never a wrong value, none but those that were appended, all that is wanted. */
static void history_check(
        const char *dir, struct wanted wanted, uint32_t appended, const char *what)
{
	struct history h;
	struct hg_err err = {0};
	struct tsdb_selection *sel;
	struct tsdb_samples got[SERIES] = {0};
	history_options(&h, dir);
	clock_ms = START + appended * 1000;
	if (tsdb_open(&h.o, &h.db, &err) != HG_OK) fail_msg("%s: %s", what, err.message);
	assert_int_equal(tsdb_select(h.db, NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX, &sel, &err), HG_OK);
	for (uint32_t s = 0; s < tsdb_selection_count(sel); s++) {
		uint32_t i = (uint32_t)tsdb_selection_labels(sel, s).at[0].value.p[1] - '0';
		assert_true(i < SERIES);
		assert_int_equal(
		        tsdb_selection_read(sel, s, TSDB_NO_MIN, TSDB_NO_MAX, &got[i]), HG_OK);
	}
	for (uint32_t i = 0; i < SERIES; i++) {
		series_check(&wanted, &got[i], i, appended, what);
		tsdb_samples_free(&got[i]);
	}
	tsdb_selection_free(sel);
	tsdb_close(h.db);
}

static uint32_t step_or(uint32_t usual, uint32_t longer)
{
	const char *more = getenv("HEADGATE_TEST_LONG");
	return more && *more ? longer : usual;
}

static uint32_t step_of(uint32_t usual)
{
	return step_or(usual, 1);
}

/* How many calls a whole history makes. */
static uint32_t calls_of(struct box *b, unsigned kinds)
{
	struct history h;
	box_empty(b->dir);
	history_options(&h, b->dir);
	faults = (struct faults){.on = true, .kinds = kinds};
	assert_true(history_open(&h));
	history_run(&h, ROUNDS);
	tsdb_close(h.db);
	faults.on = false;
	return faults.seen;
}

static void one_kill(struct box *b, uint32_t n, bool torn)
{
	struct history h;
	char what[64];
	box_empty(b->dir);
	history_options(&h, b->dir);
	faults = (struct faults){.on = true,
	        .kinds = FAULTS_WRITING,
	        .from = n,
	        .n = UINT32_MAX,
	        .error = EIO,
	        .torn = torn};
	snprintf(what, sizeof what, "killed at call %u%s", n, torn ? ", within it" : "");
	if (!history_open(&h)) {
		faults.on = false;
		return;
	}
	for (uint32_t k = 0; k < ROUNDS && !faults.hits; k++)
		history_run(&h, k + 1);
	history_kill(&h);
	history_check(b->dir, (struct wanted){.rounds = h.committed}, h.appended, what);
	/* And after that start, and once more: what a start does to files is no worse. */
	history_check(b->dir, (struct wanted){.rounds = h.committed}, h.appended, what);
}

static void test_a_kill_at_every_call_loses_nothing_committed(void **state)
{
	struct box b;
	(void)state;
	box_init(&b);
	uint32_t calls = calls_of(&b, FAULTS_WRITING);
	assert_true(calls > 300);
	for (uint32_t n = 0; n < calls; n += step_of(3))
		one_kill(&b, n, n % 2);
	box_fini(&b);
}

static void one_fault(struct box *b, unsigned kinds, uint32_t n, uint32_t times, int error)
{
	struct history h;
	char what[80];
	box_empty(b->dir);
	history_options(&h, b->dir);
	snprintf(what, sizeof what, "calls %u to %u of %x: %s", n, n + times - 1, kinds,
	        strerror(error));
	faults = (struct faults){
	        .on = true, .kinds = kinds, .from = n, .n = times, .error = error, .torn = n % 2};
	if (!history_open(&h)) {
		faults.on = false;
		return;
	}
	history_run(&h, ROUNDS);
	faults.on = false;
	/* The disk is well again: all that came is written by the next commit. */
	assert_int_equal(tsdb_commit(h.db), HG_OK);
	history_kill(&h);
	history_check(b->dir, (struct wanted){.rounds = ROUNDS}, ROUNDS, what);
}

static void test_a_disk_that_fails_for_a_while_costs_nothing(void **state)
{
	static const unsigned kinds[] = {FAULTS_WRITING, 1u << CALL_WRITE, 1u << CALL_SYNC,
	        1u << CALL_CUT, 1u << CALL_OPEN, 1u << CALL_UNLINK, 1u << CALL_MAP};
	static const int errors[] = {EIO, ENOSPC, EMFILE};
	struct box b;
	(void)state;
	box_init(&b);
	for (size_t i = 0; i < HG_COUNT(kinds); i++) {
		uint32_t calls = calls_of(&b, kinds[i]);
		for (uint32_t n = 0; n < calls; n += step_of(1 + calls / 40))
			one_fault(&b, kinds[i], n, n % 3 ? 1 : 7, errors[n % 3]);
	}
	box_fini(&b);
}

/* A start that meets a bad call: it fails, or it loses nothing. */
static void test_a_start_on_a_failing_disk_loses_nothing(void **state)
{
	static const unsigned kinds[] = {1u << CALL_OPEN, 1u << CALL_READ, 1u << CALL_MAP,
	        1u << CALL_CUT, 1u << CALL_UNLINK};
	static const int errors[] = {EIO, EMFILE, ENOMEM};
	struct box b;
	struct history h;
	struct hg_err err = {0};
	char good[96], what[80];
	(void)state;
	box_init(&b);
	snprintf(good, sizeof good, "%s/good", b.path);
	history_options(&h, b.dir);
	assert_true(history_open(&h));
	history_run(&h, 200);
	history_kill(&h);
	box_copy(b.dir, good);
	for (size_t i = 0; i < HG_COUNT(kinds); i++) {
		for (uint32_t n = 0, more = 1; more; n++) {
			box_copy(good, b.dir);
			faults = (struct faults){.on = true,
			        .kinds = kinds[i],
			        .from = n,
			        .n = 1,
			        .error = errors[n % 3]};
			clock_ms = START + 200000;
			if (tsdb_open(&h.o, &h.db, &err) == HG_OK) {
				/* It works for a while, and is started again. */
				for (int k = 0; k < 5; k++)
					(void)!tsdb_commit(h.db);
				tsdb_close(h.db);
			}
			more = faults.hits;
			faults.on = false;
			snprintf(what, sizeof what, "a start, call %u of %x: %s", n, kinds[i],
			        strerror(errors[n % 3]));
			history_check(b.dir, (struct wanted){.rounds = 200}, 200, what);
		}
	}
	box_fini(&b);
}

static void power_check(struct box *b, const struct history *h, uint32_t k, int keep, int names,
        struct hg_rand *rand)
{
	char image[96], what[96];
	snprintf(image, sizeof image, "%s/image", b->path);
	snprintf(what, sizeof what, "power lost at %u, keep %d, names %d, sync %u failed", k, keep,
	        names, h->bad_sync);
	power_image(image, k, keep, names, rand);
	power.on = false;
	history_check(image, (struct wanted){.h = h, .deeds = k}, h->appended, what);
	power.on = true;
}

static void power_history(struct box *b, struct history *h, uint32_t bad_sync)
{
	power_reset(true);
	box_empty(b->dir);
	history_options(h, b->dir);
	faults = (struct faults){
	        .on = true, .kinds = 1u << CALL_SYNC, .from = bad_sync, .n = 1, .error = EIO};
	assert_true(history_open(h));
	history_run(h, ROUNDS);
	tsdb_close(h->db);
	faults.on = false;
	h->bad_sync = bad_sync;
	assert_true(h->promised_n > 5);
}

static void test_a_loss_of_power_loses_nothing_promised(void **state)
{
	struct box b;
	struct history h;
	struct hg_rand rand;
	(void)state;
	box_init(&b);
	hg_rand_seed(&rand, 11);
	power_history(&b, &h, UINT32_MAX);
	for (uint32_t k = 0; k <= power.n; k += step_of(7)) {
		for (int how = 0; how < 3; how++)
			power_check(&b, &h, k, how, how, &rand);
		power_check(&b, &h, k, 0, 2, &rand);
		power_check(&b, &h, k, 2, 0, &rand);
	}
	power_check(&b, &h, power.n, 0, 0, &rand);
	power_reset(false);
	box_fini(&b);
}

/* Linux forgets what a sync could not write: asking again says it is there, and it is not. */
static void test_what_a_sync_refused_is_written_again(void **state)
{
	struct box b;
	struct history h;
	struct hg_rand rand;
	(void)state;
	box_init(&b);
	hg_rand_seed(&rand, 12);
	for (uint32_t bad = 0;; bad += step_of(2)) {
		power_history(&b, &h, bad);
		if (!faults.hits) break;
		for (uint32_t k = 0; k <= power.n; k += step_or(101, 23))
			power_check(&b, &h, k, 0, 0, &rand);
		power_check(&b, &h, power.n, 0, 0, &rand);
	}
	power_reset(false);
	box_fini(&b);
}

/* ------------------------------------------------------------------ cuts and bits */

/* Rounds that stand whole below a place of the newest segment. */
static uint32_t rounds_below(const uint64_t *ends, uint32_t rounds, uint64_t size)
{
	while (rounds && ends[rounds - 1] > size)
		rounds--;
	return rounds;
}

/*
 * A small store, killed: one window is closed, one open. The newest segment is cut at every byte:
 * the rounds before it are there. Every other file is cut at every byte, and in all of them every
 * bit is flipped: it opens, and no value is wrong.
 */
static void test_no_cut_and_no_bit_gives_a_wrong_value(void **state)
{
	struct box b;
	struct history h;
	char good[96], what[128], names[16][64], newest[64];
	uint64_t ends[ROUNDS];
	(void)state;
	box_init(&b);
	snprintf(good, sizeof good, "%s/good", b.path);
	history_options(&h, b.dir);
	h.o.journal_bytes = 1000;
	assert_true(history_open(&h));
	uint32_t rounds = 0, segment = 0;
	for (; rounds < 175; rounds++) {
		history_run(&h, rounds + 1);
		const struct window *w = h.db->windows[h.db->window_n - 1];
		if (w->journal.segment != segment) memset(ends, 0, sizeof ends);
		segment = w->journal.segment;
		ends[rounds] = w->journal.size;
		snprintf(newest, sizeof newest, "%lld-%u-%u.hgj", (long long)w->start, w->seq,
		        segment);
	}
	history_kill(&h);
	box_copy(b.dir, good);
	uint32_t n = box_files(good, "", names, 16);
	for (uint32_t i = 0; i < n; i++) {
		if (!hg_str_ends(hg_str(names[i]), HG_STR(".hgm")) &&
		        !hg_str_ends(hg_str(names[i]), HG_STR(".hgj")))
			continue;
		bool last = strcmp(names[i], newest) == 0;
		int64_t size = box_size(good, names[i]);
		box_copy(good, b.dir);
		for (int64_t at = size - 1; at >= 0; at -= step_of(13)) {
			snprintf(what, sizeof what, "%s cut at %lld", names[i], (long long)at);
			uint32_t sure = last ? rounds_below(ends, rounds, (uint64_t)at) : 0;
			box_copy(good, b.dir);
			box_cut(b.dir, names[i], at);
			history_check(b.dir, (struct wanted){.rounds = sure}, rounds, what);
		}
		for (int64_t bit = 0; bit < size * 8; bit += step_or(211, 11)) {
			snprintf(what, sizeof what, "%s with bit %lld flipped", names[i],
			        (long long)bit);
			box_copy(good, b.dir);
			box_flip(b.dir, names[i], bit / 8, bit % 8);
			history_check(b.dir, (struct wanted){.rounds = 0}, rounds, what);
		}
	}
	box_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_a_kill_at_every_call_loses_nothing_committed),
	        cmocka_unit_test(test_a_disk_that_fails_for_a_while_costs_nothing),
	        cmocka_unit_test(test_a_start_on_a_failing_disk_loses_nothing),
	        cmocka_unit_test(test_a_loss_of_power_loses_nothing_promised),
	        cmocka_unit_test(test_what_a_sync_refused_is_written_again),
	        cmocka_unit_test(test_no_cut_and_no_bit_gives_a_wrong_value),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
