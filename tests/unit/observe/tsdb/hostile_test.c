/* What a long life, wrong clocks and a short memory do to a store: each of these once ended it, or
 * made it tell something that is not so. */
#include "box.h"

#include "observe/tsdb/file_priv.h"

#define START 1700000000000

static int64_t clock_ms;

static int64_t clock_now(void)
{
	return clock_ms;
}

static struct tsdb *open_store(const struct tsdb_options *o)
{
	struct tsdb *db;
	struct hg_err err = {0};
	if (tsdb_open(o, &db, &err) != HG_OK) fail_msg("%s: %s", err.message, err.detail);
	return db;
}

/* {__name__=METRIC, job="a"}, with one more label unless `name` is NULL. */
static enum hg_rc series_of(struct tsdb *db, const char *metric, const char *name,
        const char *value, tsdb_ref *ret_ref, struct hg_err *err)
{
	struct label at[] = {{LABEL_METRIC, hg_str(metric)}, {HG_STR("job"), HG_STR("a")},
	        {hg_str(name ? name : ""), hg_str(value ? value : "")}};
	return tsdb_series(db, (struct labels){at, name ? 3 : 2}, ret_ref, err);
}

static void sample_of(struct tsdb *db, const char *metric, const char *name, const char *value)
{
	tsdb_ref ref;
	struct hg_err err = {0};
	if (series_of(db, metric, name, value, &ref, &err) != HG_OK) fail_msg("%s", err.message);
	assert_int_equal(tsdb_append(db, ref, clock_ms, 1), HG_OK);
}

static void commits(struct tsdb *db, int n)
{
	while (n--)
		assert_int_equal(tsdb_commit(db), HG_OK);
}

/* The label with the most values was remembered by its number, which is nobody's, or somebody
 * else's, once the last series that has it is gone: the next refusal read freed memory. */
static void test_a_label_that_is_gone_is_not_named(void **state)
{
	struct box b;
	tsdb_ref ref;
	struct hg_err err = {0};
	struct tsdb_stats st;
	(void)state;
	box_init(&b);
	b.o.series_per_app = 3;
	b.o.now_ms = clock_now;
	clock_ms = START;
	struct tsdb *db = open_store(&b.o);
	sample_of(db, "x", NULL, NULL);
	sample_of(db, "x", "pod", "p0");
	sample_of(db, "x", "pod", "p1");
	for (int i = 0; i < 13; i++)
		assert_int_equal(series_of(db, "x", "pod", "p2", &ref, &err), HG_E_TSDB_QUOTA);
	assert_non_null(strstr(err.detail, "\"pod\""));
	/* Its window closes, and the series leaves memory. */
	for (int i = 0; i < 300; i++) {
		clock_ms += 10000;
		sample_of(db, "x", NULL, NULL);
		commits(db, 1);
	}
	tsdb_stats(db, &st);
	assert_int_equal(st.series, 1);
	/* Of texts that are there: no number is used again. */
	sample_of(db, "a", NULL, NULL);
	sample_of(db, "job", NULL, NULL);
	assert_int_equal(series_of(db, "x", "pod", "p2", &ref, &err), HG_E_TSDB_QUOTA);
	assert_null(strstr(err.detail, "\"pod\""));
	tsdb_close(db);
	box_fini(&b);
}

/* A chunk that could not end took more samples than the reader of it has room for. */
static void test_without_memory_a_chunk_does_not_outgrow_its_reader(void **state)
{
	struct box b;
	tsdb_ref ref;
	struct hg_err err = {0};
	struct tsdb_selection *sel;
	struct tsdb_samples got = {0};
	uint32_t taken = 0;
	(void)state;
	box_init(&b);
	b.o.window_ms = 3600000;
	struct tsdb *db = open_store(&b.o);
	assert_int_equal(series_of(db, "x", NULL, NULL, &ref, &err), HG_OK);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 600; i++) {
			enum hg_rc rc = tsdb_append(db, ref, START + taken, taken / 7.0);
			assert_true(rc == HG_OK || rc == HG_E_NOMEM);
			taken += rc == HG_OK;
			if (!i) db->windows[0]->tail.max = round ? SIZE_MAX / 2 : 0;
		}
		assert_int_equal(taken, round ? CODEC_CHUNK_MAX + 600 : CODEC_CHUNK_MAX);
		if (!round) db->windows[0]->tail.max = SIZE_MAX / 2;
	}
	assert_int_equal(tsdb_select(db, NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX, &sel, &err), HG_OK);
	assert_int_equal(tsdb_selection_read(sel, 0, TSDB_NO_MIN, TSDB_NO_MAX, &got), HG_OK);
	assert_int_equal(got.n, taken);
	for (uint32_t i = 0; i < taken; i++)
		assert_true(got.t[i] == START + i && got.v[i] == i / 7.0);
	tsdb_samples_free(&got);
	tsdb_selection_free(sel);
	tsdb_close(db);
	box_fini(&b);
}

/* The value that the only series has at a time. */
static double value_at(struct tsdb *db, int64_t t_ms)
{
	struct tsdb_selection *sel;
	struct tsdb_samples got = {0};
	struct hg_err err = {0};
	assert_int_equal(tsdb_select(db, NULL, 0, t_ms, t_ms, &sel, &err), HG_OK);
	assert_int_equal(tsdb_selection_count(sel), 1);
	assert_int_equal(tsdb_selection_read(sel, 0, t_ms, t_ms, &got), HG_OK);
	assert_int_equal(got.n, 1);
	double v = got.v[0];
	tsdb_samples_free(&got);
	tsdb_selection_free(sel);
	return v;
}

/* Of several samples with one time the first that came is the one, whatever has become of the
 * chunks that they are in: it was the one whose chunk came to the file first. */
static void test_what_came_first_stays(void **state)
{
	struct box b;
	tsdb_ref ref;
	struct hg_err err = {0};
	(void)state;
	box_init(&b);
	struct tsdb *db = open_store(&b.o);
	assert_int_equal(series_of(db, "x", NULL, NULL, &ref, &err), HG_OK);
	for (int i = 0; i < 40; i++)
		assert_int_equal(tsdb_append(db, ref, START + i * 1000, i), HG_OK);
	/* Late ones between them, the 6th with the time of one that was in order. */
	for (int i = 0; i < 31; i++)
		(void)!tsdb_append(db, ref, START + i * 1000 + (i == 5 ? 0 : 500), 100 + i);
	assert_true(value_at(db, START + 5000) == 5 && value_at(db, START + 6500) == 106);
	/* They become a chunk, while the one that was in order is still open; a second chunk of
	 * late ones begins before the first and has one of its times. */
	for (int i = 0; i < 40; i++)
		(void)!tsdb_append(db, ref, START + i * 100 + 1, 200 + i);
	(void)!tsdb_append(db, ref, START + 6500, 300);
	commits(db, 1);
	for (int round = 0; round < 3; round++) {
		assert_true(value_at(db, START + 5000) == 5);
		assert_true(value_at(db, START + 6500) == 106);
		if (round == 0) { /* the window ends and is closed */
			assert_int_equal(tsdb_append(db, ref, START + 3600000, 1), HG_OK);
			commits(db, 60);
			assert_int_equal(db->windows[0]->closed, true);
		} else if (round == 1) {
			tsdb_close(db);
			db = open_store(&b.o);
		}
	}
	tsdb_close(db);
	box_fini(&b);
}

#define HOUR INT64_C(3600000)
#define YEAR (365 * 24 * HOUR)

static uint64_t samples_in(struct tsdb *db, int64_t from, int64_t to)
{
	struct tsdb_selection *sel;
	struct hg_err err = {0};
	struct tsdb_samples got = {0};
	uint64_t n = 0;
	assert_int_equal(tsdb_select(db, NULL, 0, from, to, &sel, &err), HG_OK);
	for (uint32_t i = 0; i < tsdb_selection_count(sel); i++) {
		assert_int_equal(tsdb_selection_read(sel, i, from, to, &got), HG_OK);
		n += got.n;
	}
	tsdb_selection_free(sel);
	tsdb_samples_free(&got);
	return n;
}

/* One sample an hour, for `hours`. */
static void hours_pass(struct tsdb *db, int hours)
{
	for (int i = 0; i < hours; i++, clock_ms += HOUR) {
		commits(db, 1); /* the clock first */
		sample_of(db, "x", NULL, NULL);
		commits(db, 40);
	}
}

/* Age was measured by the clock alone: one reading years ahead, and all windows were removed. */
static void test_a_clock_that_leaps_ahead_removes_nothing(void **state)
{
	struct box b;
	struct tsdb_stats st;
	(void)state;
	box_init(&b);
	b.o.window_ms = 0;
	b.o.keep_ms = 240 * HOUR;
	b.o.now_ms = clock_now;
	clock_ms = START;
	struct tsdb *db = open_store(&b.o);
	hours_pass(db, 72);
	for (int round = 0; round < 3; round++) {
		/* For less than a day, with samples and without, and a restart meanwhile. */
		clock_ms += 5 * YEAR;
		hours_pass(db, round == 1 ? 20 : 0);
		commits(db, 100);
		tsdb_close(db);
		db = open_store(&b.o);
		commits(db, 100);
		clock_ms -= 5 * YEAR + (round == 1 ? 20 * HOUR : 0);
		commits(db, 10);
		assert_int_equal(samples_in(db, START, START + 72 * HOUR), 72);
	}
	tsdb_stats(db, &st);
	assert_int_equal(st.dropped_windows, 0);
	/* A machine that was off for a month: a day later retention goes on as ever. */
	clock_ms = START + 30 * 24 * HOUR;
	hours_pass(db, 20);
	assert_int_equal(samples_in(db, START, START + 72 * HOUR), 72);
	hours_pass(db, 8);
	assert_int_equal(samples_in(db, START, START + 72 * HOUR), 0);
	assert_int_equal(samples_in(db, START, clock_ms), 28);
	tsdb_close(db);
	box_fini(&b);
}

/* A killed store: its files as they are, and what it had in memory is gone. */
static struct tsdb *killed(struct box *b, struct tsdb *db)
{
	char copy[96];
	snprintf(copy, sizeof copy, "%s/copy", b->path);
	box_copy(b->dir, copy);
	tsdb_close(db);
	box_copy(copy, b->dir);
	return open_store(&b->o);
}

static uint64_t late_so_far(struct tsdb *db)
{
	struct tsdb_stats st;
	tsdb_stats(db, &st);
	return st.out_of_order;
}

/* The window that a wrong clock made in the future stayed open until then: its series never left
 * memory or quotas, and every sample of them was a late one. */
static void test_a_window_in_the_future_is_closed(void **state)
{
	struct box b;
	struct tsdb_stats st;
	(void)state;
	box_init(&b);
	b.o.window_ms = 0;
	b.o.now_ms = clock_now;
	clock_ms = START;
	struct tsdb *db = open_store(&b.o);
	uint64_t n = 0;
	for (int minute = 0; minute < 600; minute++, clock_ms += 60000, n++) {
		bool wrong = minute >= 30 && minute < 33;
		clock_ms += minute == 30 ? YEAR : minute == 33 ? -YEAR : 0;
		for (int k = 0; k < 5; k++)
			commits(db, 1);
		sample_of(db, "x", NULL, NULL);
		if (wrong) sample_of(db, "y", NULL, NULL);
		n += wrong;
		commits(db, 10);
		/* Ten minutes after the window's end samples are in order again. */
		if (minute == 60) st.out_of_order = late_so_far(db);
		if (minute > 60) assert_int_equal(late_so_far(db), st.out_of_order);
		/* Killed now and then: the journal is read. */
		if (minute % 7 == 5 && minute < 90) {
			db = killed(&b, db);
			assert_int_equal(samples_in(db, START, TSDB_NO_MAX), n + 1);
		}
	}
	tsdb_stats(db, &st);
	assert_int_equal(st.series, 1); /* y is in no open window */
	assert_int_equal(samples_in(db, START, TSDB_NO_MAX), n);
	assert_int_equal(st.damaged, 0);
	tsdb_close(db);
	box_fini(&b);
}

/* After such a window a series comes back to the journal of the one before, and its reader must not
 * go on with what it had learned of the series there. */
static void test_a_journal_is_read_of_a_series_that_came_back(void **state)
{
	struct box b;
	tsdb_ref ref;
	struct tsdb_stats st;
	struct hg_err err = {0};
	(void)state;
	box_init(&b);
	b.o.window_ms = 0;
	b.o.now_ms = clock_now;
	clock_ms = START / (2 * HOUR) * 2 * HOUR + 95 * 60000;
	struct tsdb *db = open_store(&b.o);
	int64_t from = clock_ms;
	uint32_t n = 0;
	assert_int_equal(series_of(db, "x", NULL, NULL, &ref, &err), HG_OK);
	for (; n < 149; n++, clock_ms += 10000) {
		/* In the next window, and not so far ahead that a segment ends. */
		bool wrong = n / 6 == 13;
		clock_ms += wrong ? 13 * 60000 : 0;
		commits(db, 1);
		assert_int_equal(tsdb_append(db, ref, clock_ms, clock_ms / 3e9), HG_OK);
		clock_ms -= wrong ? 13 * 60000 : 0;
		commits(db, 40);
	}
	assert_int_equal(late_so_far(db), 60); /* ten minutes */
	db = killed(&b, db);
	tsdb_stats(db, &st);
	assert_int_equal(st.damaged, 0);
	assert_int_equal(samples_in(db, from, TSDB_NO_MAX), n);
	tsdb_close(db);
	box_fini(&b);
}

static void put_file(const struct box *b, const char *name, const void *bytes, size_t n)
{
	char path[4400];
	snprintf(path, sizeof path, "%s/%s", b->dir, name);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

/* A file of a span that was made while a disk was full has nothing in it. Sixteen starts with such
 * a disk, and all samples were refused until the span was over. */
static void test_empty_files_use_up_no_numbers(void **state)
{
	struct box b;
	(void)state;
	box_init(&b);
	b.o.now_ms = clock_now;
	clock_ms = START;
	tsdb_close(open_store(&b.o));
	for (unsigned seq = 0; seq < TSDB_FILES_MAX; seq++) {
		char name[64];
		snprintf(name, sizeof name, "%lld-%u.hgm", (long long)(START / 600000 * 600000),
		        seq);
		put_file(&b, name, "HGMW of a disk that is full", seq);
	}
	struct tsdb *db = open_store(&b.o);
	sample_of(db, "x", NULL, NULL);
	commits(db, 1);
	tsdb_close(db);
	db = open_store(&b.o);
	assert_int_equal(samples_in(db, START, START), 1);
	tsdb_close(db);
	box_fini(&b);
}

/* Numbers in names of files were added up without a look at how large they are. */
static void test_files_with_absurd_names_are_none_of_ours(void **state)
{
	static const char *const names[] = {"%lld-0-4294967294.hgj", "%lld-0-99999999999999.hgj",
	        "0%lld-0.hgm", "%lld-00-1.hgj", "%lld-4294967296.hgm", "%lld-0-1.hgj.hgj",
	        "%lld-0-.hgj", "%lld--1.hgm", "%lld-0-7.hgm"};
	struct box b;
	char name[64];
	struct file_head head;
	(void)state;
	box_init(&b);
	b.o.now_ms = clock_now;
	clock_ms = START;
	struct tsdb *db = open_store(&b.o);
	sample_of(db, "x", NULL, NULL);
	commits(db, 1);
	tsdb_close(db);
	long long start = START / 600000 * 600000;
	head = file_head_make(MAGIC_WINDOW, start, 0, 10);
	for (size_t i = 0; i < HG_COUNT(names); i++) {
		char format[64];
		(void)snprintf(format, sizeof format, "%s", names[i]);
		char *at = strstr(format, "%lld");
		snprintf(
		        name, sizeof name, "%.*s%lld%s", (int)(at - format), format, start, at + 4);
		put_file(&b, name, &head, sizeof head);
	}
	db = open_store(&b.o);
	assert_int_equal(samples_in(db, START, START), 1);
	sample_of(db, "y", NULL, NULL);
	commits(db, 1);
	tsdb_close(db);
	box_fini(&b);
}

/* Behind damage other frames are looked for; in a torn index stand texts that somebody sent, and a
 * text can look like a frame. */
static void test_a_text_is_not_taken_for_a_frame(void **state)
{
	struct box b;
	tsdb_ref ref;
	struct hg_err err = {0};
	char names[8][64];
	int64_t start = START / 600000 * 600000, t = start + 1000;
	double v = 666;
	(void)state;
	box_init(&b);
	struct window *forged = window_new(start, start + 600000, 0);
	uint32_t id = window_id(forged, 0);
	assert_true(window_record(forged, id, false, &t, &v, 1));
	window_frame_end(forged);
	struct tsdb *db = open_store(&b.o);
	struct label at[] = {
	        {LABEL_METRIC, HG_STR("x")}, {HG_STR("y"), hg_buf_view(&forged->tail)}};
	assert_int_equal(tsdb_series(db, (struct labels){at, 2}, &ref, &err), HG_OK);
	assert_int_equal(tsdb_append(db, ref, START, 1), HG_OK);
	assert_int_equal(tsdb_append(db, ref, START + HOUR, 1), HG_OK);
	commits(db, 60);
	tsdb_close(db);
	window_free(forged);
	uint32_t n = box_files(b.dir, "-0.hgm", names, 8);
	for (uint32_t i = 0; i < n; i++)
		if (strtoll(names[i], NULL, 10) == start)
			box_cut(b.dir, names[i], box_size(b.dir, names[i]) - FOOT_BYTES - 1);
	db = open_store(&b.o);
	assert_int_equal(samples_in(db, START, START), 1);
	assert_int_equal(samples_in(db, TSDB_NO_MIN, START - 1), 0);
	tsdb_close(db);
	box_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_a_label_that_is_gone_is_not_named),
	        cmocka_unit_test(test_without_memory_a_chunk_does_not_outgrow_its_reader),
	        cmocka_unit_test(test_what_came_first_stays),
	        cmocka_unit_test(test_a_clock_that_leaps_ahead_removes_nothing),
	        cmocka_unit_test(test_a_window_in_the_future_is_closed),
	        cmocka_unit_test(test_a_journal_is_read_of_a_series_that_came_back),
	        cmocka_unit_test(test_empty_files_use_up_no_numbers),
	        cmocka_unit_test(test_files_with_absurd_names_are_none_of_ours),
	        cmocka_unit_test(test_a_text_is_not_taken_for_a_frame),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
