/*
 * Some hours of a store's life at random, by a clock that is the test's: samples in order, late,
 * too late and ahead; series that come and go; clocks that are wrong for a while by minutes or
 * years; disks that are full for a while; kills between two calls of the system and within a write;
 * queries and restarts. Beside it a model that is an array of what was taken. HEADGATE_TEST_LONG=1:
 * weeks.
 */
#include "faults.h"

#define LIVE     8 /* series that get samples */
#define STEPS    1500
#define KEEP_MS  3600000
#define SPAN_MS  600000
#define AHEAD_MS 600000 /* that much ahead of the clock is taken */
#define DAY      INT64_C(86400000)
#define START    1700000000000

static int64_t clock_ms;

static int64_t clock_now(void)
{
	return clock_ms;
}

struct taken {
	int64_t t;
	bool sure; /* committed */
};

struct line {
	char text[24];
	tsdb_ref ref;
	struct taken *at; /* by time */
	uint32_t n, cap;
};

struct life {
	struct box box;
	struct tsdb *db;
	struct hg_rand rand;
	struct line *lines;
	uint32_t n;
	int64_t real_ms, off_ms; /* the clock is off by that much … */
	uint32_t off_steps, full_steps;
	int64_t floor_ms; /* retention may have removed what is older */
	uint64_t tried, took, kills, glitches, checked;
};

static uint32_t below(struct life *l, uint32_t n)
{
	return hg_rand_below(&l->rand, n);
}

/* So a sample that comes twice is the same both times. */
static double value_at(uint32_t line, int64_t t)
{
	uint64_t h = (uint64_t)t * 31 + line;
	if (line % 4 == 0) return (double)(t / 1000 % 100000);
	if (line % 4 == 1) return (double)(h % 1000) / 10;
	if (line % 4 == 2 && h % 11 == 0) return h % 2 ? tsdb_stale() : -INFINITY;
	return (double)(h * 0x9e3779b97f4a7c15ull >> 11) / 9e15;
}

static void life_open(struct life *l)
{
	struct hg_err err = {0};
	if (tsdb_open(&l->box.o, &l->db, &err) != HG_OK) fail_msg("%s", err.message);
	for (uint32_t i = 0; i < l->n; i++)
		l->lines[i].ref = 0;
}

static void line_new(struct life *l)
{
	l->lines = realloc(l->lines, (l->n + 1) * sizeof *l->lines);
	assert_non_null(l->lines);
	struct line *s = &l->lines[l->n];
	*s = (struct line){0};
	snprintf(s->text, sizeof s->text, "%u", l->n++);
}

static void taken_note(struct line *s, int64_t t)
{
	uint32_t i = s->n;
	while (i && s->at[i - 1].t > t)
		i--;
	if (i && s->at[i - 1].t == t) return;
	if (s->n == s->cap) {
		s->cap = s->cap * 2 + 64;
		s->at = realloc(s->at, s->cap * sizeof *s->at);
		assert_non_null(s->at);
	}
	memmove(&s->at[i + 1], &s->at[i], (s->n - i) * sizeof *s->at);
	s->at[i] = (struct taken){.t = t};
	s->n++;
}

/* ------------------------------------------------------------------ looking */

/* What the store has of a series in [from, to] is what was taken. `after`: a kill came between, and
 * what was not committed may be missing; then it is forgotten, and what is there stays. */
static void line_check(struct life *l, uint32_t line, const struct tsdb_samples *got, int64_t from,
        int64_t to, bool after)
{
	struct line *s = &l->lines[line];
	uint32_t kept = 0;
	size_t j = 0;
	for (uint32_t i = 0; i < s->n; i++) {
		struct taken *k = &s->at[i];
		bool in = k->t >= from && k->t <= to;
		bool there = in && j < got->n && got->t[j] == k->t;
		if (there) {
			double want = value_at(line, k->t);
			if (memcmp(&want, &got->v[j], sizeof want) != 0)
				fail_msg("series %u is %a at %lld", line, got->v[j],
				        (long long)k->t);
			j++;
			l->checked++;
		}
		if (in && !there && k->t >= l->floor_ms && (k->sure || !after))
			fail_msg("series %u lacks %lld, %lld s before now%s", line, (long long)k->t,
			        (long long)(l->real_ms - k->t) / 1000,
			        after ? ", after a kill" : "");
		if (after && there) k->sure = true;
		if (!(after && in && !there)) s->at[kept++] = *k;
	}
	s->n = kept;
	if (j != got->n)
		fail_msg("series %u has %lld, which was not taken", line, (long long)got->t[j]);
}

static void life_check(struct life *l, int64_t from, int64_t to, bool after)
{
	struct tsdb_selection *sel;
	struct hg_err err = {0};
	struct tsdb_samples got = {0}, none = {0};
	bool *seen = calloc(l->n, sizeof *seen);
	assert_non_null(seen);
	assert_int_equal(tsdb_select(l->db, NULL, 0, from, to, &sel, &err), HG_OK);
	for (uint32_t i = 0; i < tsdb_selection_count(sel); i++) {
		struct labels ls = tsdb_selection_labels(sel, i);
		uint64_t line;
		assert_true(hg_str_u64(labels_get(ls, HG_STR("line")), &line) && line < l->n);
		assert_false(seen[line]);
		seen[line] = true;
		assert_int_equal(tsdb_selection_read(sel, i, from, to, &got), HG_OK);
		line_check(l, (uint32_t)line, &got, from, to, after);
	}
	for (uint32_t i = 0; i < l->n; i++)
		if (!seen[i]) line_check(l, i, &none, from, to, after);
	tsdb_selection_free(sel);
	tsdb_samples_free(&got);
	free(seen);
}

/* ------------------------------------------------------------------ doing */

static int64_t time_of(struct life *l)
{
	switch (below(l, 40)) {
	case 0: return clock_ms - below(l, 540000);
	case 1: return clock_ms - below(l, 4000000);
	case 2: return clock_ms + below(l, 1200000);
	case 3: return clock_ms / 60000 * 60000;
	default: return clock_ms - below(l, 2000);
	}
}

static void append_one(struct life *l)
{
	struct hg_err err = {0};
	uint32_t i = l->n - 1 - below(l, HG_MIN(l->n, (uint32_t)LIVE));
	struct line *s = &l->lines[i];
	struct label at[] = {{LABEL_METRIC, HG_STR("m")}, {HG_STR("job"), HG_STR("a")},
	        {HG_STR("line"), hg_str(s->text)}};
	int64_t t = time_of(l);
	enum hg_rc rc = HG_E_NOT_FOUND;
	for (int k = 0; k < 2 && rc == HG_E_NOT_FOUND; k++) {
		if (k || !s->ref) rc = tsdb_series(l->db, (struct labels){at, 3}, &s->ref, &err);
		if (!k || rc == HG_OK) rc = tsdb_append(l->db, s->ref, t, value_at(i, t));
	}
	l->tried++;
	l->took += rc == HG_OK;
	if (rc == HG_OK)
		taken_note(s, t);
	else
		assert_true(rc == HG_E_TSDB_ORDER || rc == HG_E_TSDB_AHEAD);
}

static void clock_turn(struct life *l)
{
	static const int64_t offs[] = {5 * 365 * DAY, 40 * DAY, 3 * 3600000, 20 * 60000, 60000,
	        -2 * 3600000, -700000, -30 * 365 * DAY};
	l->real_ms += 500 + below(l, 20000);
	if (l->off_steps && !--l->off_steps) l->off_ms = 0;
	if (!l->off_steps && below(l, 300) == 0) {
		l->off_ms = offs[below(l, HG_COUNT(offs))];
		l->off_steps = 1 + below(l, 60);
		l->glitches++;
	}
	clock_ms = l->real_ms + l->off_ms;
	/* A leap of more than a day removes nothing: then age is measured by the end of the newest
	 * window before it, in which there may be a sample of ten minutes ahead. */
	if (l->off_ms < DAY)
		l->floor_ms = HG_MAX(l->floor_ms, clock_ms + AHEAD_MS + SPAN_MS - KEEP_MS);
}

static void commit(struct life *l)
{
	if (l->full_steps)
		faults = (struct faults){.on = true,
		        .kinds = 1u << CALL_WRITE,
		        .n = UINT32_MAX,
		        .error = ENOSPC,
		        .torn = l->full_steps % 2};
	enum hg_rc rc = tsdb_commit(l->db);
	faults.on = false;
	if (l->full_steps) l->full_steps--;
	if (rc != HG_OK) return;
	for (uint32_t i = 0; i < l->n; i++)
		for (uint32_t k = 0; k < l->lines[i].n; k++)
			l->lines[i].at[k].sure = true;
}

/* Between two calls, or within a write, of a commit, or of closing, or of the start after it. */
static void life_kill(struct life *l)
{
	struct hg_err err = {0};
	l->kills++;
	faults = (struct faults){.on = true,
	        .kinds = FAULTS_WRITING,
	        .from = below(l, 4) ? below(l, 12) : 0,
	        .n = UINT32_MAX,
	        .error = EIO,
	        .torn = below(l, 2)};
	if (below(l, 2)) (void)!tsdb_commit(l->db);
	faults.from = HG_MIN(faults.from, faults.seen);
	tsdb_close(l->db);
	if (below(l, 3) == 0) {
		faults.from = faults.seen + below(l, 6);
		if (tsdb_open(&l->box.o, &l->db, &err) == HG_OK) tsdb_close(l->db);
	}
	faults.on = false;
	life_open(l);
	life_check(l, TSDB_NO_MIN, TSDB_NO_MAX, true);
}

static void step(struct life *l)
{
	clock_turn(l);
	if (below(l, 150) == 0) line_new(l);
	if (!l->full_steps && below(l, 250) == 0) l->full_steps = 1 + below(l, 40);
	commit(l); /* the clock is looked at then */
	for (uint32_t i = below(l, 3 * LIVE); i > 0; i--)
		append_one(l);
	if (below(l, 4)) commit(l);
	if (below(l, 50) == 0) {
		int64_t from = l->real_ms - below(l, 5000000);
		life_check(l, from, from + below(l, 3000000), false);
	}
	if (below(l, 60) == 0) {
		life_kill(l);
	} else if (below(l, 100) == 0) {
		tsdb_close(l->db);
		life_open(l);
		life_check(l, TSDB_NO_MIN, TSDB_NO_MAX, true);
	}
}

static void life_of(uint64_t seed, uint64_t *took, uint64_t *checked)
{
	struct life l = {.real_ms = START, .floor_ms = INT64_MIN};
	struct tsdb_stats st;
	print_message("# seed %llu\n", (unsigned long long)seed);
	hg_rand_seed(&l.rand, seed);
	box_init(&l.box);
	l.box.o.window_ms = SPAN_MS;
	l.box.o.keep_ms = KEEP_MS;
	l.box.o.now_ms = clock_now;
	l.box.o.chunk_samples = 20;
	l.box.o.journal_bytes = 3000;
	clock_ms = START;
	while (l.n < LIVE)
		line_new(&l);
	life_open(&l);
	for (uint32_t i = 0; i < STEPS; i++)
		step(&l);
	life_check(&l, TSDB_NO_MIN, TSDB_NO_MAX, false);
	/* It was no life of refusals, and it did not only grow. */
	assert_true(l.took > l.tried / 2 && l.kills > 5 && l.checked > l.took);
	tsdb_stats(l.db, &st);
	assert_true(st.windows < 400);
	tsdb_close(l.db);
	*took += l.took;
	*checked += l.checked;
	for (uint32_t i = 0; i < l.n; i++)
		free(l.lines[i].at);
	free(l.lines);
	box_fini(&l.box);
}

static void test_a_life_at_random_is_as_the_model_has_it(void **state)
{
	const char *more = getenv("HEADGATE_TEST_LONG"), *seed = getenv("SEED");
	uint64_t took = 0, checked = 0, first = seed ? strtoull(seed, NULL, 10) : 1;
	(void)state;
	for (uint64_t i = 0; i < (seed ? 1 : more && *more ? 150 : 3); i++)
		life_of(first + i, &took, &checked);
	print_message("# %llu samples taken, %llu compared\n", (unsigned long long)took,
	        (unsigned long long)checked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_a_life_at_random_is_as_the_model_has_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
