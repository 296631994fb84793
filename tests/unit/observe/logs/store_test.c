#include "tests/unit/observe/logs/box.h"

#include "base/rand.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void test_lines_are_found_before_and_after_they_are_in_a_block(void **state)
{
	(void)state;
	struct box b;
	struct logs_source *out, *err;
	struct logs_query q = {.app = HG_STR("web")};
	box_init(&b, 0);
	int o = box_source(&b, "web", 3, 1, LOGS_STDOUT, &out);
	int e = box_source(&b, "web", 3, 1, LOGS_STDERR, &err);
	box_put(&b, out, o, "one\r\n\ntw");
	box_put(&b, err, e, "ERROR three\n");
	box_expect(&b, &q, "one\n\nERROR three\n");
	box_put(&b, out, o, "o\n");
	assert_int_equal(logs_flush(b.l), HG_OK);
	box_put(&b, out, o, "four\n");
	box_expect(&b, &q, "one\n\nERROR three\ntwo\nfour\n");
	q.newest_first = true;
	box_expect(&b, &q, "four\ntwo\nERROR three\n\none\n");
	q.least = HG_ERROR;
	box_expect(&b, &q, "ERROR three\n");
	q = (struct logs_query){.has_stream = true, .stream = LOGS_STDOUT, .grep = HG_STR("O")};
	box_expect(&b, &q, "");
	q.ignore_case = true;
	box_expect(&b, &q, "one\ntwo\nfour\n");
	box_expect(&b, &(struct logs_query){.app = HG_STR("nobody")}, "");
	close(o);
	close(e);
	box_fini(&b);
}

static void test_a_long_line_is_split_and_its_parts_are_marked(void **state)
{
	(void)state;
	struct box b;
	struct logs_source *s;
	struct logs_search *f;
	struct logs_entry e;
	size_t n = 2 * LOGS_LINE_MAX + 100, at = 0;
	char *line = malloc(n + 2);
	memset(line, 'x', n);
	memcpy(line + LOGS_LINE_MAX - 1, "\xe2\x82\xac", 3); /* a euro sign across the cut */
	memcpy(line + n, "\n", 2);
	box_init(&b, 0);
	int fd = box_source(&b, "web", 1, 1, LOGS_STDOUT, &s);
	box_put(&b, s, fd, line);
	box_put(&b, s, fd, "next\n");
	assert_int_equal(logs_search_new(b.l, &(struct logs_query){0}, &f), HG_OK);
	static const unsigned want[] = {LOGS_SPLIT, LOGS_SPLIT | LOGS_CONTINUED, LOGS_CONTINUED, 0};
	for (unsigned i = 0; i < 4; i++) {
		unsigned blocks = 100;
		assert_int_equal(logs_search_next(f, &blocks, &e), LOGS_FOUND);
		assert_int_equal(e.flags, want[i]);
		if (i == 0) assert_int_equal(e.text.n, LOGS_LINE_MAX - 1);
		if (i < 3) assert_memory_equal(e.text.p, line + at, e.text.n);
		at += e.text.n;
	}
	assert_str(e.text, "next");
	logs_search_free(f);
	free(line);
	close(fd);
	box_fini(&b);
}

static void test_what_was_not_in_a_block_comes_back_from_the_spool_once(void **state)
{
	(void)state;
	struct box b;
	struct logs_source *s;
	struct logs_query q = {.app = HG_STR("web")};
	box_init(&b, 0);
	int fd = box_source(&b, "web", 1, 1, LOGS_STDOUT, &s);
	box_put(&b, s, fd, "one\ntwo\nthr");
	logs_close(b.l);
	box_open(&b);
	box_expect(&b, &q, "one\ntwo\n");
	close(fd);
	fd = box_source(&b, "web", 1, 1, LOGS_STDOUT, &s);
	box_put(&b, s, fd, "ee\nlast");
	logs_source_end(b.l, s);
	box_expect(&b, &q, "one\ntwo\nthree\nlast\n");
	logs_close(b.l);
	box_open(&b);
	box_expect(&b, &q, "one\ntwo\nthree\nlast\n");
	/* The spool file went; the same name again begins where it ended. */
	struct logs_stats st;
	logs_stats(b.l, &st);
	assert_int_equal(st.sources, 0);
	close(fd);
	fd = box_source(&b, "web", 1, 1, LOGS_STDOUT, &s);
	box_put(&b, s, fd, "again\n");
	logs_close(b.l);
	box_open(&b);
	logs_orphans_end(b.l);
	box_expect(&b, &q, "one\ntwo\nthree\nlast\nagain\n");
	close(fd);
	box_fini(&b);
}

static int segment_of(struct box *b, const char *app, char *path, size_t cap)
{
	char find[160];
	snprintf(find, sizeof find, "ls %s/%s/*.hgl", b->dir, app);
	FILE *p = popen(find, "r");
	assert_non_null(fgets(path, (int)cap, p));
	path[strcspn(path, "\n")] = 0;
	pclose(p);
	return open(path, O_RDWR | O_CLOEXEC);
}

static void test_a_torn_tail_is_cut_and_a_rotten_block_is_skipped(void **state)
{
	(void)state;
	struct box b;
	struct logs_source *s;
	char path[256];
	struct logs_stats st;
	box_init(&b, 0);
	int fd = box_source(&b, "web", 1, 1, LOGS_STDOUT, &s);
	static const char *const text[] = {"one\n", "two\n", "three\n"};
	for (unsigned i = 0; i < 3; i++) {
		box_put(&b, s, fd, text[i]);
		assert_int_equal(logs_flush(b.l), HG_OK);
	}
	int seg = segment_of(&b, "web", path, sizeof path);
	struct stat before;
	fstat(seg, &before);
	logs_close(b.l);
	assert_int_equal(pwrite(seg, "HGLB torn", 9, before.st_size), 9);
	assert_int_equal(pwrite(seg, "\xff", 1, before.st_size / 3 + 10), 1); /* head of "two" */
	box_open(&b);
	struct stat after;
	fstat(seg, &after);
	assert_int_equal(after.st_size, before.st_size);
	box_expect(&b, &(struct logs_query){.app = HG_STR("web")}, "one\nthree\n");
	box_expect(&b, &(struct logs_query){.app = HG_STR("web"), .newest_first = true},
	        "three\none\n");
	logs_stats(b.l, &st);
	assert_true(st.corrupt_blocks >= 1);
	close(seg);
	close(fd);
	box_fini(&b);
}

static void test_retention_drops_whole_segments_by_age_and_by_size(void **state)
{
	(void)state;
	static const struct logs_extent seg[] = {{1000, 10}, {2000, 20}, {3000, 30}, {4000, 40}};
	static const struct {
		uint64_t keep_ms, max_bytes, now_ns;
		size_t n, drop;
	} rows[] = {
	        {1000, 1000, 5000, 4, 0},
	        {0, 1000, 2000, 4, 0}, /* the second begins now: the first may hold younger lines */
	        {0, 1000, 2001, 4, 1},
	        {0, 1000, 9999, 4, 3}, /* never the last */
	        {UINT64_MAX, 100, 9999, 4, 0},
	        {UINT64_MAX, 99, 9999, 4, 1},
	        {UINT64_MAX, 70, 9999, 4, 2},
	        {UINT64_MAX, 0, 9999, 4, 3},
	        {0, 0, 9999, 1, 0},
	        {0, 0, 9999, 0, 0},
	};
	for (size_t i = 0; i < HG_COUNT(rows); i++)
		assert_int_equal(logs_retention_decide(seg, rows[i].n, rows[i].keep_ms,
		                         rows[i].max_bytes, rows[i].now_ns),
		        rows[i].drop);
}

static void test_retention_is_remembered_and_drops_old_lines(void **state)
{
	(void)state;
	struct box b;
	struct logs_source *s;
	box_init(&b, 0);
	int fd = box_source(&b, "web", 1, 1, LOGS_STDOUT, &s);
	assert_int_equal(logs_retention_set(b.l, HG_STR("web"), 86400000, 1u << 30), HG_OK);
	assert_int_equal(logs_retention_set(b.l, HG_STR("../x"), 1, 1), HG_E_INVALID);
	box_put(&b, s, fd, "old\n");
	assert_int_equal(logs_flush(b.l), HG_OK);
	box_now_ns += 86400ull * 1000000000 * 3;
	box_put(&b, s, fd, "new\n");
	assert_int_equal(logs_flush(b.l), HG_OK);
	box_now_ns += 86400ull * 1000000000 * 2;
	logs_close(b.l);
	box_open(&b);
	logs_tick(b.l, 100000);
	box_expect(&b, &(struct logs_query){.app = HG_STR("web")}, "new\n");
	close(fd);
	box_fini(&b);
}

#define TWIN_LINES 20000

struct twin {
	char text[48];
	unsigned app, replica, level;
	uint64_t ts_ns;
};

static const char *const twin_apps[] = {"alpha", "beta"};
static const char *const twin_levels[] = {"DEBUG", "INFO", "WARN", "ERROR"};

static bool twin_matches(const struct twin *t, const struct logs_query *q)
{
	if (q->app.n && !hg_str_eq(q->app, hg_str(twin_apps[t->app]))) return false;
	if (t->level < q->least || (q->has_replica && t->replica != q->replica)) return false;
	if (t->ts_ns < q->since_ns || (q->until_ns && t->ts_ns >= q->until_ns)) return false;
	char needle[16] = "";
	if (q->grep.n) memcpy(needle, q->grep.p, q->grep.n);
	return q->ignore_case ? strcasestr(t->text, needle) != NULL
	                      : strstr(t->text, needle) != NULL;
}

static void twin_fill(struct box *b, struct twin *twin, struct hg_rand *r)
{
	struct logs_source *s[4];
	int fd[4];
	for (unsigned i = 0; i < 4; i++)
		fd[i] = box_source(b, twin_apps[i / 2], 1, i % 2 + 1, LOGS_STDOUT, &s[i]);
	for (unsigned i = 0; i < TWIN_LINES; i++) {
		unsigned from = hg_rand_below(r, 4);
		struct twin *t = &twin[i];
		*t = (struct twin){
		        .app = from / 2, .replica = from % 2 + 1, .level = hg_rand_below(r, 4)};
		/* Times differ, so that the merged order is one order. */
		t->ts_ns = box_now_ns += 1 + hg_rand_below(r, 1000000);
		snprintf(t->text, sizeof t->text, "%s %c%c%c %u", twin_levels[t->level],
		        'a' + (int)hg_rand_below(r, 4), 'A' + (int)hg_rand_below(r, 4),
		        'a' + (int)hg_rand_below(r, 4), i);
		box_put(b, s[from], fd[from], t->text);
		box_put(b, s[from], fd[from], "\n");
	}
	for (unsigned i = 0; i < 4; i++)
		close(fd[i]);
}

static void twin_check(struct box *b, const struct twin *twin, const struct logs_query *q)
{
	size_t n;
	char *have = box_find(b, q, &n), *at = have;
	for (unsigned k = 0; k < TWIN_LINES; k++) {
		const struct twin *t = &twin[q->newest_first ? TWIN_LINES - 1 - k : k];
		if (!twin_matches(t, q)) continue;
		size_t len = strlen(t->text);
		if (strncmp(at, t->text, len) != 0 || at[len] != '\n')
			fail_msg("want \"%s\", have \"%.40s\"", t->text, at);
		at += len + 1;
	}
	assert_int_equal(*at, 0);
	free(have);
}

static void test_searches_find_what_a_slow_grep_finds(void **state)
{
	(void)state;
	struct box b;
	struct hg_rand r;
	struct twin *twin = calloc(TWIN_LINES, sizeof *twin);
	hg_rand_seed(&r, 11);
	box_init(&b, 8 * 1024);
	logs_close(b.l);
	b.o.segment_bytes = 32 * 1024;
	box_open(&b);
	twin_fill(&b, twin, &r);
	static const char *const needles[] = {"", "aB", "aBa", "ERROR", "bC", "9", "zz", "777"};
	for (unsigned i = 0; i < 60; i++) {
		struct logs_query q = {.least = hg_rand_below(&r, 4),
		        .ignore_case = hg_rand_below(&r, 2),
		        .newest_first = hg_rand_below(&r, 2),
		        .has_replica = hg_rand_below(&r, 2),
		        .replica = hg_rand_below(&r, 3),
		        .grep = hg_str(needles[hg_rand_below(&r, HG_COUNT(needles))])};
		if (hg_rand_below(&r, 2)) q.app = hg_str(twin_apps[hg_rand_below(&r, 2)]);
		if (hg_rand_below(&r, 2)) q.since_ns = twin[hg_rand_below(&r, TWIN_LINES)].ts_ns;
		if (hg_rand_below(&r, 2)) q.until_ns = twin[hg_rand_below(&r, TWIN_LINES)].ts_ns;
		twin_check(&b, twin, &q);
	}
	free(twin);
	box_fini(&b);
}

static void test_pages_by_cursor_are_the_whole_and_a_follower_sees_what_comes(void **state)
{
	(void)state;
	struct box b;
	struct logs_source *s[2];
	int fd[2];
	box_init(&b, 1024);
	for (unsigned i = 0; i < 2; i++)
		fd[i] = box_source(&b, twin_apps[i], 1, 1, LOGS_STDOUT, &s[i]);
	for (unsigned i = 0; i < 500; i++) {
		char line[32];
		snprintf(line, sizeof line, "line %u\n", i);
		box_put(&b, s[i * 7 % 3 % 2], fd[i * 7 % 3 % 2], line); /* all at the same time */
	}
	for (unsigned newest = 0; newest < 2; newest++) {
		struct logs_query q = {.newest_first = newest};
		size_t n;
		char *whole = box_find(&b, &q, &n), *at = whole;
		char last_app[LOGS_APP_MAX];
		for (size_t i = 0; i < n; i++) {
			struct logs_search *f;
			struct logs_entry e;
			unsigned blocks = 1000;
			assert_int_equal(logs_search_new(b.l, &q, &f), HG_OK);
			assert_int_equal(logs_search_next(f, &blocks, &e), LOGS_FOUND);
			assert_memory_equal(at, e.text.p, e.text.n);
			at += e.text.n + 1;
			hg_str_copy(hg_str(e.app), last_app, sizeof last_app);
			q.has_cursor = true;
			q.cursor_ns = e.ts_ns;
			q.cursor_seq = e.seq;
			q.cursor_app = hg_str(last_app);
			logs_search_free(f);
		}
		box_expect(&b, &q, "");
		free(whole);
	}
	struct logs_search *f;
	struct logs_entry e;
	unsigned blocks = 10000, seen = 0;
	assert_int_equal(logs_search_new(b.l, &(struct logs_query){0}, &f), HG_OK);
	while (logs_search_next(f, &blocks, &e) == LOGS_FOUND)
		seen++;
	assert_int_equal(seen, 500);
	for (unsigned i = 0; i < 300; i++) {
		box_put(&b, s[i % 2], fd[i % 2], "more\n");
		if (i % 5 == 0) assert_int_equal(logs_flush(b.l), HG_OK);
		if (i % 7 == 0)
			while (logs_search_next(f, &blocks, &e) == LOGS_FOUND)
				seen++;
	}
	while (logs_search_next(f, &blocks, &e) == LOGS_FOUND)
		seen++;
	assert_int_equal(seen, 800);
	logs_search_free(f);
	for (unsigned i = 0; i < 2; i++)
		close(fd[i]);
	box_fini(&b);
}

/* In a child: a limit on the size of files stands for a full disk. */
static void fill_up(struct box *b)
{
	struct logs_source *s;
	signal(SIGXFSZ, SIG_IGN);
	int fd = box_source(b, "web", 1, 1, LOGS_STDOUT, &s);
	box_put(b, s, fd, "before\n");
	struct rlimit tight = {.rlim_cur = 64, .rlim_max = RLIM_INFINITY};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	for (unsigned i = 0; i < 1000; i++)
		box_put(b, s, fd, "a line for which there is no room on this disk\n");
	struct rlimit wide = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &wide), 0);
	box_put(b, s, fd, "after\n");
	logs_tick(b->l, 10000);
	struct logs_stats st;
	logs_stats(b->l, &st);
	assert_true(st.dropped > 900 && st.dropped < 1000);
	struct logs_query q = {.grep = HG_STR("lines dropped: disk full")};
	size_t n;
	free(box_find(b, &q, &n));
	assert_int_equal(n, 1);
	q.grep = HG_STR("after");
	box_expect(b, &q, "after\n");
	q.grep = HG_STR("before");
	box_expect(b, &q, "before\n");
	close(fd);
}

static void test_without_room_lines_are_dropped_counted_and_reported(void **state)
{
	(void)state;
	struct box b;
	box_init(&b, 0);
	fill_up(&b);
	box_fini(&b);
}

static void test_an_entry_as_json_escapes_what_must_be_and_replaces_what_is_no_utf8(void **state)
{
	(void)state;
	struct hg_buf out;
	hg_buf_init(&out, 4096);
	struct logs_entry e = {.ts_ns = 1795460400000000001u,
	        .event_ns = LOGS_NO_EVENT,
	        .seq = 7,
	        .app = "web",
	        .release = 2,
	        .replica = 1,
	        .level = HG_WARN,
	        .stream = LOGS_STDERR,
	        .text = HG_STR("a\"\\\t\x01\xff\xe2\x82\xac")};
	logs_entry_json(&e, &out);
	assert_string_equal(hg_buf_text(&out),
	        "{\"ts\":\"2026-11-23T19:00:00.000000001Z\",\"seq\":7,\"app\":\"web\",\"release\":"
	        "2,"
	        "\"replica\":1,\"stream\":\"stderr\",\"level\":\"warn\",\"text\":"
	        "\"a\\\"\\\\\\t\\u0001"
	        "\\ufffd\xe2\x82\xac\",\"cursor\":\"1795460400000000001-7-web\"}");
	hg_buf_free(&out);
}

/* What a search hands out, counted one by one. */
static void volume_by_lines(struct box *b, const struct logs_query *q, struct logs_volume *v)
{
	struct logs_search *s;
	struct logs_entry e;
	assert_int_equal(logs_search_new(b->l, q, &s), HG_OK);
	for (;;) {
		unsigned blocks = 100;
		enum logs_found f = logs_search_next(s, &blocks, &e);
		if (f == LOGS_NO_MORE) break;
		if (f == LOGS_FOUND && e.ts_ns >= v->start_ns &&
		        (e.ts_ns - v->start_ns) / v->step_ns < v->buckets)
			v->lines[(e.ts_ns - v->start_ns) / v->step_ns][e.level]++;
	}
	logs_search_free(s);
}

/* One block at a time, so that it is gone on with; returns how many bytes were decompressed. */
static uint64_t volume_by_count(struct box *b, const struct logs_query *q, struct logs_volume *v)
{
	struct logs_search *s;
	struct logs_stats before, after;
	enum logs_found f = LOGS_WORKING;
	logs_stats(b->l, &before);
	assert_int_equal(logs_search_new(b->l, q, &s), HG_OK);
	for (unsigned turns = 0; f == LOGS_WORKING && turns < 10000; turns++) {
		unsigned blocks = 1;
		f = logs_search_count(s, &blocks, v);
	}
	assert_int_equal(f, LOGS_NO_MORE);
	logs_search_free(s);
	logs_stats(b->l, &after);
	return after.search_bytes - before.search_bytes;
}

static uint64_t volume_sum(const struct logs_volume *v)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < v->buckets; i++)
		for (unsigned level = 0; level < LOGS_LEVELS; level++)
			sum += v->lines[i][level];
	return sum;
}

static void test_counts_are_those_of_the_lines_whatever_is_asked(void **state)
{
	(void)state;
	static const char *const level[] = {"DEBUG", "INFO", "WARN", "ERROR"};
	struct box b;
	struct logs_source *s[3];
	int fd[3];
	struct hg_rand r;
	uint64_t start = box_now_ns;
	box_init(&b, 4096);
	fd[0] = box_source(&b, "web", 1, 1, LOGS_STDOUT, &s[0]);
	fd[1] = box_source(&b, "web", 2, 2, LOGS_STDERR, &s[1]);
	fd[2] = box_source(&b, "mail", 1, 1, LOGS_STDOUT, &s[2]);
	hg_rand_seed(&r, 7);
	for (unsigned i = 0; i < 6000; i++) {
		char line[80];
		unsigned k = (unsigned)hg_rand_below(&r, 3);
		snprintf(line, sizeof line, "%s line %u of many\n",
		        level[hg_rand_below(&r, i < 3000 ? 2 : 4)], i);
		box_put(&b, s[k], fd[k], line);
		box_now_ns += 10000000 + (i % 1000 == 0 ? 5000000000u : 0);
	}
	const struct logs_query ask[] = {
	        {0},
	        {.app = HG_STR("web")},
	        {.app = HG_STR("nobody")},
	        {.least = HG_WARN},
	        {.release = 2},
	        {.has_replica = true, .replica = 1},
	        {.has_stream = true, .stream = LOGS_STDERR},
	        {.grep = HG_STR("7 of")},
	        {.grep = HG_STR("error LINE"), .ignore_case = true},
	        {.since_ns = start + 20000000001u, .until_ns = start + 60000000001u},
	};
	static const uint64_t steps[] = {1000000000u, 7000000000u, 3600000000000u};
	for (size_t i = 0; i < HG_COUNT(ask); i++) {
		for (size_t k = 0; k < HG_COUNT(steps); k++) {
			struct logs_volume want = {start, steps[k], 100, {{0}}}, have = want;
			volume_by_lines(&b, &ask[i], &want);
			volume_by_count(&b, &ask[i], &have);
			assert_memory_equal(&have, &want, sizeof want);
			if (i != 2) assert_true(volume_sum(&have) > 0);
		}
	}
	/* Once all is in blocks, one bucket for all needs no block's text. */
	assert_int_equal(logs_flush(b.l), HG_OK);
	struct logs_volume all = {start, 3600000000000u, 1, {{0}}};
	assert_int_equal(volume_by_count(&b, &(struct logs_query){0}, &all), 0);
	assert_int_equal(volume_sum(&all), 6000);
	for (unsigned i = 0; i < 3; i++)
		close(fd[i]);
	box_fini(&b);
}

static void test_counts_as_json(void **state)
{
	(void)state;
	struct hg_buf out;
	struct logs_volume v = {.start_ns = 5000000, .step_ns = 2000000, .buckets = 2};
	v.lines[0][HG_ERROR] = 3;
	v.lines[1][HG_INFO] = 12;
	hg_buf_init(&out, 4096);
	logs_volume_json(&v, &out);
	assert_string_equal(hg_buf_text(&out),
	        "{\"schema\":\"headgate.log_volume/1\",\"start_ms\":5,\"step_ms\":2,\"n\":2,"
	        "\"debug\":[0,0],\"info\":[0,12],\"warn\":[0,0],\"error\":[3,0]}");
	hg_buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_lines_are_found_before_and_after_they_are_in_a_block),
	        cmocka_unit_test(test_a_long_line_is_split_and_its_parts_are_marked),
	        cmocka_unit_test(test_what_was_not_in_a_block_comes_back_from_the_spool_once),
	        cmocka_unit_test(test_a_torn_tail_is_cut_and_a_rotten_block_is_skipped),
	        cmocka_unit_test(test_retention_drops_whole_segments_by_age_and_by_size),
	        cmocka_unit_test(test_retention_is_remembered_and_drops_old_lines),
	        cmocka_unit_test(test_searches_find_what_a_slow_grep_finds),
	        cmocka_unit_test(test_pages_by_cursor_are_the_whole_and_a_follower_sees_what_comes),
	        cmocka_unit_test(test_counts_are_those_of_the_lines_whatever_is_asked),
	        cmocka_unit_test(test_counts_as_json),
	        cmocka_unit_test(test_without_room_lines_are_dropped_counted_and_reported),
	        cmocka_unit_test(
	                test_an_entry_as_json_escapes_what_must_be_and_replaces_what_is_no_utf8),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
