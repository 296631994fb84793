/* Where sizes grow beyond what a frame, a cap or a second can hold: each of these once cost
 * samples, the whole store, or minutes. */
#include "box.h"

#include <signal.h>
#include <sys/resource.h>
#include <time.h>

static double cpu_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct tsdb *open_store(const struct tsdb_options *o)
{
	struct tsdb *db;
	struct hg_err err = {0};
	if (tsdb_open(o, &db, &err) != HG_OK) fail_msg("%s", err.message);
	return db;
}

/* The series {__name__="x", NAME="I FILL"}; HG_OK or why not. */
static enum hg_rc series_of(
        struct tsdb *db, const char *name, uint32_t i, const char *fill, tsdb_ref *ret_ref)
{
	struct hg_err err = {0};
	struct hg_buf value;
	hg_buf_init(&value, SIZE_MAX / 2);
	hg_buf_fmt(&value, "%u ", i);
	hg_buf_cstr(&value, fill);
	struct label at[] = {{LABEL_METRIC, HG_STR("x")}, {hg_str(name), hg_buf_view(&value)}};
	enum hg_rc rc = tsdb_series(db, (struct labels){at, 2}, ret_ref, &err);
	hg_buf_free(&value);
	return rc;
}

static uint64_t samples_of(struct tsdb *db, uint32_t *ret_series)
{
	struct tsdb_selection *sel;
	struct hg_err err = {0};
	struct tsdb_samples got = {0};
	uint64_t n = 0;
	assert_int_equal(tsdb_select(db, NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX, &sel, &err), HG_OK);
	*ret_series = tsdb_selection_count(sel);
	for (uint32_t i = 0; i < *ret_series; i++) {
		assert_int_equal(
		        tsdb_selection_read(sel, i, TSDB_NO_MIN, TSDB_NO_MAX, &got), HG_OK);
		n += got.n;
	}
	tsdb_selection_free(sel);
	tsdb_samples_free(&got);
	return n;
}

/* A frame of more than 64 MiB is damage to every reader: what had waited for a disk that was full,
 * or had ended together with a window of very many series, was lost when the window closed. */
static void test_chunks_that_waited_for_a_disk_are_read_after_a_restart(void **state)
{
	(void)state;
	struct box b;
	struct rlimit was, tight;
	struct hg_rand r;
	struct tsdb_stats st;
	tsdb_ref ref[64];
	uint32_t series;
	box_init(&b);
	hg_rand_seed(&r, 2);
	b.o.window_ms = 0;
	b.o.memory_bytes = 1u << 30;
	struct tsdb *db = open_store(&b.o);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	tight = was;
	tight.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(series_of(db, "i", i, "", &ref[i]), HG_OK);
	/* 10 million samples of noise are 67 MiB of chunks. */
	int64_t t = 1700006400000;
	for (int k = 0; k < 160000; k++, t += 30)
		for (uint32_t i = 0; i < 64; i++)
			assert_int_equal(tsdb_append(db, ref[i], t, hg_rand_unit(&r)), HG_OK);
	assert_int_equal(tsdb_commit(db), HG_E_TSDB_DISK);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	/* The window closes; from then on there is no journal. */
	assert_int_equal(tsdb_append(db, ref[0], t + 3 * 7200000, 1), HG_OK);
	for (int k = 0; k < 40; k++)
		assert_int_equal(tsdb_commit(db), HG_OK);
	tsdb_close(db);
	db = open_store(&b.o);
	assert_int_equal(samples_of(db, &series), 64 * 160000 + 1);
	tsdb_stats(db, &st);
	assert_int_equal(st.damaged, 0);
	tsdb_close(db);
	box_fini(&b);
}

static uint64_t written(void)
{
	char text[512], *at;
	FILE *f = fopen("/proc/self/io", "r");
	assert_non_null(f);
	text[fread(text, 1, sizeof text - 1, f)] = 0;
	fclose(f);
	at = strstr(text, "wchar: ");
	assert_non_null(at);
	return strtoull(at + 7, NULL, 10);
}

/* A disk with room for a part of what waited was written full again each second, for nothing: it
 * was all or nothing, and the torn part kept others' room. */
static void test_a_disk_with_little_room_takes_what_it_can_once(void **state)
{
	(void)state;
	struct box b;
	struct rlimit was, tight;
	struct hg_rand r;
	tsdb_ref ref;
	uint32_t series;
	box_init(&b);
	hg_rand_seed(&r, 4);
	b.o.window_ms = 0;
	struct tsdb *db = open_store(&b.o);
	assert_int_equal(series_of(db, "i", 1, "", &ref), HG_OK);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	tight = was;
	tight.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	int64_t t = 1700006400000;
	for (int k = 0; k < 400000; k++, t += 10) {
		assert_int_equal(tsdb_append(db, ref, t, hg_rand_unit(&r)), HG_OK);
		if (k % 1000 == 0) assert_int_equal(tsdb_commit(db), HG_E_TSDB_DISK);
	}
	/* Of some 3 MB of records and as many of chunks, files of 2 MB. */
	tight.rlim_cur = 2 << 20;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	uint64_t before = written();
	for (int k = 0; k < 20; k++)
		assert_int_equal(tsdb_commit(db), HG_E_TSDB_DISK);
	assert_true(written() - before > 1 << 20);
	/* A megabyte is tried at a time. */
	assert_true(written() - before < (2 + 20) << 20);
	char names[8][64];
	uint32_t n = box_files(b.dir, ".hgj", names, 8);
	for (uint32_t i = 0; i < n; i++)
		assert_true(box_size(b.dir, names[i]) <= 2 << 20);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(tsdb_commit(db), HG_OK);
	tsdb_close(db);
	db = open_store(&b.o);
	assert_int_equal(samples_of(db, &series), 400000);
	tsdb_close(db);
	box_fini(&b);
}

/* 20,000 new series with labels of 4 KB did not fit in one frame, and then nothing was ever written
 * again. */
static void test_series_with_long_labels_are_written(void **state)
{
	(void)state;
	struct box b;
	char fill[4000];
	tsdb_ref ref;
	uint32_t series;
	memset(fill, 'y', sizeof fill - 1);
	fill[sizeof fill - 1] = 0;
	box_init(&b);
	struct tsdb *db = open_store(&b.o);
	for (uint32_t i = 0; i < 18000; i++) {
		assert_int_equal(series_of(db, "i", i, fill, &ref), HG_OK);
		assert_int_equal(tsdb_append(db, ref, 1700000000000, i), HG_OK);
	}
	assert_int_equal(tsdb_commit(db), HG_OK);
	tsdb_close(db);
	db = open_store(&b.o);
	assert_int_equal(samples_of(db, &series), 18000);
	assert_int_equal(series, 18000);
	/* One alone can be too long. */
	size_t n = 65u << 20;
	char *huge = malloc(n + 1);
	assert_non_null(huge);
	memset(huge, 'z', n);
	huge[n] = 0;
	assert_int_equal(series_of(db, "i", 1, huge, &ref), HG_E_INVALID);
	free(huge);
	tsdb_close(db);
	box_fini(&b);
}

/* A window that could not be read at a start lost its journal, and with it the last minutes, also
 * when it could be read at the next. */
static void test_a_journal_waits_for_a_window_that_cannot_be_read(void **state)
{
	(void)state;
	struct box b;
	char window[2][64];
	tsdb_ref ref;
	uint32_t series;
	box_init(&b);
	struct tsdb *db = open_store(&b.o);
	assert_int_equal(series_of(db, "i", 1, "", &ref), HG_OK);
	for (int k = 0; k < 20; k++) {
		assert_int_equal(tsdb_append(db, ref, 1700000100000 + k * 1000, k), HG_OK);
		assert_int_equal(tsdb_commit(db), HG_OK);
	}
	tsdb_close(db);
	assert_int_equal(box_files(b.dir, ".hgm", window, 2), 1);
	box_flip(b.dir, window[0], 9, 1);
	db = open_store(&b.o);
	assert_int_equal(samples_of(db, &series), 0);
	tsdb_close(db);
	box_flip(b.dir, window[0], 9, 1);
	db = open_store(&b.o);
	assert_int_equal(samples_of(db, &series), 20);
	tsdb_close(db);
	box_fini(&b);
}

/* CPU of making series FROM … TO and giving each a sample at t. */
static double make(struct tsdb *db, const char *name, uint32_t from, uint32_t to, int64_t t)
{
	tsdb_ref ref;
	double begun = cpu_s();
	for (uint32_t i = from; i < to; i++) {
		assert_int_equal(series_of(db, name, i, "", &ref), HG_OK);
		assert_int_equal(tsdb_append(db, ref, t, i), HG_OK);
	}
	return cpu_s() - begun;
}

/* Whoever sends chooses `job`. */
static void test_a_series_costs_the_same_however_many_apps_there_are(void **state)
{
	(void)state;
	struct tsdb *db = open_store(&(struct tsdb_options){.series_per_app = 10});
	make(db, "job", 0, 1000, 1);
	double few = make(db, "job", 1000, 5000, 1);
	make(db, "job", 5000, 76000, 1);
	double many = make(db, "job", 76000, 80000, 1);
	if (many > 8 * few + 0.02) fail_msg("%.4f s, and then %.4f s", few, many);
	tsdb_close(db);
}

static void test_series_that_follow_others_cost_the_same(void **state)
{
	(void)state;
	struct tsdb_options o = {.window_ms = 60000, .keep_ms = 600000};
	struct tsdb *db = open_store(&o);
	struct tsdb_stats st;
	tsdb_ref ref;
	/* Those that stay, and those that go, side by side. */
	double first = 0;
	for (uint32_t i = 0; i < 60000; i += 2) {
		first += make(db, "i", i, i + 1, 1000);
		make(db, "gone", i, i + 1, 1000);
	}
	for (uint32_t i = 0; i < 60000; i += 2) {
		assert_int_equal(series_of(db, "i", i, "", &ref), HG_OK);
		assert_int_equal(tsdb_append(db, ref, 700000, i), HG_OK);
	}
	assert_int_equal(tsdb_commit(db), HG_OK);
	tsdb_stats(db, &st);
	assert_int_equal(st.series, 30000);
	double again = make(db, "new", 0, 30000, 700000);
	if (again > 4 * first + 0.02) fail_msg("%.4f s, and then %.4f s", first, again);
	tsdb_close(db);
}

/* The cap on memory is kept by this count. */
static void test_memory_of_open_chunks_and_late_samples_is_counted(void **state)
{
	(void)state;
	struct tsdb *db = open_store(&(struct tsdb_options){0});
	struct tsdb_stats made, grown, late;
	struct hg_rand r;
	static tsdb_ref ref[2000];
	hg_rand_seed(&r, 9);
	for (uint32_t i = 0; i < 2000; i++)
		assert_int_equal(series_of(db, "i", i, "", &ref[i]), HG_OK);
	tsdb_stats(db, &made);
	for (int k = 0; k < 60; k++)
		for (uint32_t i = 0; i < 2000; i++)
			assert_int_equal(
			        tsdb_append(db, ref[i], 100000 + k * 5000, hg_rand_unit(&r)),
			        HG_OK);
	tsdb_stats(db, &grown);
	/* Eight bytes of noise cannot be stored in fewer than six and a half. */
	assert_true(grown.memory_bytes - made.memory_bytes >= 2000 * 60 * 6);
	for (uint32_t i = 0; i < 2000; i++)
		assert_int_equal(tsdb_append(db, ref[i], 99000, 1), HG_OK);
	tsdb_stats(db, &late);
	assert_true(late.memory_bytes - grown.memory_bytes >= 2000 * 500);
	tsdb_close(db);
}

static int64_t clock_ms = 1700006400000;

static int64_t clock_now(void)
{
	return clock_ms;
}

/* Nobody could write to a series for as many years as a clock had been ahead. */
static void test_a_clock_that_was_years_ahead_stops_nobody(void **state)
{
	(void)state;
	struct box b;
	tsdb_ref ref;
	uint32_t series;
	box_init(&b);
	b.o.window_ms = 0;
	b.o.now_ms = clock_now;
	clock_ms += 4 * INT64_C(31536000000);
	struct tsdb *db = open_store(&b.o);
	assert_int_equal(series_of(db, "i", 1, "", &ref), HG_OK);
	assert_int_equal(tsdb_append(db, ref, clock_ms, 1), HG_OK);
	assert_int_equal(tsdb_commit(db), HG_OK);
	clock_ms = 1700006400000;
	for (int k = 0; k < 2000; k++, clock_ms += 1000) {
		/* Half of them after a restart. */
		if (k == 1000) {
			tsdb_close(db);
			db = open_store(&b.o);
			assert_int_equal(series_of(db, "i", 1, "", &ref), HG_OK);
		}
		assert_int_equal(tsdb_commit(db), HG_OK);
		assert_int_equal(tsdb_append(db, ref, clock_ms, k), HG_OK);
	}
	/* A sample a minute: the window it stands in is not over. */
	char files[32][64];
	for (int k = 0; k < 20; k++, clock_ms += 60000) {
		assert_int_equal(tsdb_append(db, ref, clock_ms, k), HG_OK);
		for (int i = 0; i < 60; i++)
			assert_int_equal(tsdb_commit(db), HG_OK);
	}
	assert_int_equal(box_files(b.dir, ".hgm", files, 32), 2);
	assert_int_equal(samples_of(db, &series), 2021);
	assert_int_equal(series, 1);
	/* What is older than is taken late is refused as ever. */
	assert_int_equal(tsdb_append(db, ref, clock_ms - 700000, 7), HG_E_TSDB_ORDER);
	tsdb_close(db);
	db = open_store(&b.o);
	assert_int_equal(samples_of(db, &series), 2021);
	tsdb_close(db);
	box_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_chunks_that_waited_for_a_disk_are_read_after_a_restart),
	        cmocka_unit_test(test_a_disk_with_little_room_takes_what_it_can_once),
	        cmocka_unit_test(test_series_with_long_labels_are_written),
	        cmocka_unit_test(test_a_journal_waits_for_a_window_that_cannot_be_read),
	        cmocka_unit_test(test_a_series_costs_the_same_however_many_apps_there_are),
	        cmocka_unit_test(test_series_that_follow_others_cost_the_same),
	        cmocka_unit_test(test_memory_of_open_chunks_and_late_samples_is_counted),
	        cmocka_unit_test(test_a_clock_that_was_years_ahead_stops_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
