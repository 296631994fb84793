/* A store on a disk: windows that close, restarts, damage, a disk that is full. */
#include "box.h"
#include "old.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

static void round_of(struct model *m, int64_t t)
{
	for (uint32_t i = 0; i < m->n; i++) {
		const struct model_series *s = &m->series[i];
		double before = s->n && isfinite(s->v[s->n - 1]) ? s->v[s->n - 1] : 0;
		model_append(m, i, t, model_value(m, i, before));
	}
}

static void commits(struct model *m, int n)
{
	while (n-- > 0)
		assert_int_equal(tsdb_commit(m->db), HG_OK);
}

static struct label_matcher metric(const char *name)
{
	return (struct label_matcher){.op = LABEL_EQ, .name = LABEL_METRIC, .value = hg_str(name)};
}

static void check_some(struct model *m, int64_t low, int64_t high)
{
	struct label_matcher one = metric("m1");
	model_check(m, NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX);
	model_check(m, &one, 1, TSDB_NO_MIN, TSDB_NO_MAX);
	for (int k = 0; k < 10; k++) {
		int64_t a = low + hg_rand_below(&m->rand, (uint32_t)(high - low));
		model_check(m, k % 2 ? &one : NULL, k % 2, a, a + hg_rand_below(&m->rand, 900000));
	}
}

static void test_what_was_committed_is_there_after_a_restart(void **state)
{
	(void)state;
	struct box b;
	struct model m;
	box_init(&b);
	model_init(&m, 30, 2);
	model_open(&m, &b.o);
	int64_t t = 1700000000000;
	for (int round = 0; round < 8; round++) {
		for (int k = 0; k < 60; k++, t += 5000) {
			round_of(&m, t);
			commits(&m, 1);
		}
		check_some(&m, 1700000000000 - 10000, t + 10000);
		tsdb_close(m.db);
		model_open(&m, &b.o);
		check_some(&m, 1700000000000 - 10000, t + 10000);
		commits(&m, 40); /* what is over closes */
		check_some(&m, 1700000000000 - 10000, t + 10000);
	}
	struct tsdb_stats st;
	tsdb_stats(m.db, &st);
	assert_int_equal(st.damaged, 0);
	model_fini(&m);
	box_fini(&b);
}

static void test_windows_close_into_files_that_stand_alone(void **state)
{
	(void)state;
	struct box b;
	struct model m;
	char names[64][64];
	box_init(&b);
	model_init(&m, 20, 4);
	b.o.out_of_order_ms = 60000;
	model_open(&m, &b.o);
	int64_t t = 1700000000000;
	for (int k = 0; k < 300; k++, t += 15000)
		round_of(&m, t);
	commits(&m, 200);
	/* All but the last have an index and no journal any more. */
	assert_true(box_files(b.dir, ".hgm", names, 64) >= 7);
	assert_true(box_files(b.dir, ".hgj", names, 64) <= 2);
	check_some(&m, 1700000000000, t);
	/* Series that had nothing for long leave the head, and are found all the same. */
	for (int k = 0; k < 300; k++, t += 15000) {
		model_append(&m, 3, t, k);
		commits(&m, 1);
	}
	commits(&m, 300);
	struct tsdb_stats st;
	tsdb_stats(m.db, &st);
	assert_int_equal(st.series, 1);
	check_some(&m, 1700000000000, t);
	round_of(&m, t);
	commits(&m, 1);
	check_some(&m, 1700000000000, t);
	tsdb_close(m.db);
	model_open(&m, &b.o);
	check_some(&m, 1700000000000, t);
	model_fini(&m);
	box_fini(&b);
}

static void test_random_histories_match_the_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct box b;
		struct model m;
		box_init(&b);
		model_init(&m, 24, seed);
		b.o.journal_bytes = 2000 + seed * 1000;
		b.o.chunk_samples = 16 + (uint32_t)seed * 10;
		model_open(&m, &b.o);
		int64_t t = 1700000000000;
		for (int k = 0; k < 1500; k++) {
			uint32_t i = hg_rand_below(&m.rand, m.n),
			         what = hg_rand_below(&m.rand, 100);
			t += hg_rand_below(&m.rand, 3000);
			struct model_series *s = &m.series[i];
			int64_t at = t;
			if (what < 8 && s->n && s->t[s->n - 1] > t - 300000)
				at = s->t[s->n - 1] - 1 - hg_rand_below(&m.rand, 200000);
			bool known = false;
			for (uint32_t j = 0; j < s->n; j++)
				known |= s->t[j] == at;
			if (!known) model_append(&m, i, at, model_value(&m, i, k));
			if (what < 40) commits(&m, 1);
			if (what == 41) commits(&m, 35);
			if (what != 42) continue;
			commits(&m, 1);
			tsdb_close(m.db);
			model_open(&m, &b.o);
		}
		check_some(&m, 1700000000000, t);
		model_fini(&m);
		box_fini(&b);
	}
}

static void test_retention_drops_whole_windows_by_time_and_by_size(void **state)
{
	(void)state;
	struct box b;
	struct model m;
	struct tsdb_stats st;
	char names[64][64];
	box_init(&b);
	b.o.keep_ms = 3600000;
	model_init(&m, 10, 6);
	model_open(&m, &b.o);
	int64_t t = 1700000000000;
	for (int k = 0; k < 1000; k++, t += 15000) {
		round_of(&m, t);
		commits(&m, 1);
	}
	tsdb_stats(m.db, &st);
	assert_true(st.dropped_windows >= 15);
	assert_true(box_files(b.dir, ".hgm", names, 64) <= 9);
	model_check(&m, NULL, 0, t - 3600000, TSDB_NO_MAX);
	uint64_t before = st.disk_bytes;
	tsdb_close(m.db);
	b.o.keep_ms = 0;
	b.o.keep_bytes = before / 2;
	model_open(&m, &b.o);
	commits(&m, 60);
	tsdb_stats(m.db, &st);
	assert_true(st.disk_bytes <= before / 2);
	assert_true(st.windows >= 1);
	model_check(&m, NULL, 0, t - 600000, TSDB_NO_MAX);
	model_fini(&m);
	box_fini(&b);
}

/* Every sample that is given must be one that was taken: of which may be missing, none be wrong. */
static uint64_t check_subset(struct model *m)
{
	struct tsdb_selection *sel;
	struct hg_err err = {0};
	struct tsdb_samples got = {0};
	uint64_t n = 0;
	assert_int_equal(tsdb_select(m->db, NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX, &sel, &err), HG_OK);
	for (uint32_t i = 0; i < tsdb_selection_count(sel); i++) {
		uint32_t k = 0, at = 0;
		while (k < m->n && !labels_equal(m->series[k].ls, tsdb_selection_labels(sel, i)))
			k++;
		assert_true(k < m->n);
		const struct model_series *s = &m->series[k];
		assert_int_equal(
		        tsdb_selection_read(sel, i, TSDB_NO_MIN, TSDB_NO_MAX, &got), HG_OK);
		for (size_t j = 0; j < got.n; j++, n++) {
			while (at < s->n && s->t[at] < got.t[j])
				at++;
			if (at == s->n || s->t[at] != got.t[j] ||
			        memcmp(&s->v[at], &got.v[j], sizeof s->v[at]) != 0)
				fail_msg("series %u: %lld %a was never taken", k,
				        (long long)got.t[j], got.v[j]);
		}
	}
	tsdb_selection_free(sel);
	tsdb_samples_free(&got);
	return n;
}

static void damage_and_check(struct model *m, struct box *b, const char *good, unsigned round)
{
	char names[64][64];
	const char *end = round % 2 ? ".hgm" : ".hgj";
	struct tsdb_options o = b->o;
	char bad[80];
	snprintf(bad, sizeof bad, "%s/bad", b->path);
	box_copy(good, bad);
	uint32_t n = box_files(bad, end, names, 64);
	assert_true(n > 0);
	const char *name = names[hg_rand_below(&m->rand, n)];
	int64_t size = box_size(bad, name);
	/* The places near the ends, and those anywhere. */
	int64_t at = round % 3 == 0   ? HG_MIN(size - 1, (int64_t)(round / 6))
	             : round % 3 == 1 ? HG_MAX((int64_t)0, size - 1 - (int64_t)(round / 6))
	                              : (int64_t)hg_rand_below(&m->rand, (uint32_t)size);
	if (round % 5 == 4)
		box_cut(bad, name, at);
	else
		box_flip(bad, name, at, round % 8);
	o.dir = bad;
	model_open(m, &o);
	uint64_t had = check_subset(m);
	/* It goes on: what comes now is kept, over one more restart. */
	int64_t t = 1800000000000;
	for (uint32_t k = 0; k < 3; k++)
		for (uint32_t i = 0; i < m->n; i++) {
			model_ref(m, i);
			assert_int_equal(tsdb_append(m->db, m->series[i].ref, t + k, k + i), HG_OK);
		}
	commits(m, 40);
	tsdb_close(m->db);
	model_open(m, &o);
	struct model_series keep[MODEL_SERIES];
	memcpy(keep, m->series, sizeof keep);
	for (uint32_t i = 0; i < m->n; i++) {
		m->series[i].t = NULL;
		m->series[i].v = NULL;
		m->series[i].n = m->series[i].cap = 0;
		for (uint32_t k = 0; k < 3; k++)
			model_note(&m->series[i], t + k, k + i);
	}
	assert_int_equal(model_check(m, NULL, 0, t, TSDB_NO_MAX), m->n);
	for (uint32_t i = 0; i < m->n; i++) {
		free(m->series[i].t);
		free(m->series[i].v);
	}
	memcpy(m->series, keep, sizeof keep);
	tsdb_close(m->db);
	m->db = NULL;
	/* Little is lost by one bad byte: at the worst a file. */
	(void)had;
}

static void test_no_damage_to_a_file_gives_a_wrong_answer(void **state)
{
	(void)state;
	struct box b;
	struct model m;
	char good[80];
	box_init(&b);
	b.o.journal_bytes = 3000;
	b.o.chunk_samples = 40;
	model_init(&m, 12, 8);
	model_open(&m, &b.o);
	int64_t t = 1700000000000;
	for (int k = 0; k < 150; k++, t += 12000) {
		round_of(&m, t);
		commits(&m, 1);
	}
	tsdb_close(m.db);
	m.db = NULL;
	snprintf(good, sizeof good, "%s/m", b.path);
	for (unsigned round = 0; round < 400; round++)
		damage_and_check(&m, &b, good, round);
	model_fini(&m);
	box_fini(&b);
}

static void test_a_damaged_index_is_made_anew(void **state)
{
	(void)state;
	struct box b;
	struct model m;
	struct tsdb_stats st;
	char names[64][64];
	box_init(&b);
	b.o.out_of_order_ms = 60000;
	model_init(&m, 12, 14);
	model_open(&m, &b.o);
	int64_t t = 1700000000000;
	for (int k = 0; k < 120; k++, t += 15000)
		round_of(&m, t);
	commits(&m, 100);
	tsdb_close(m.db);
	uint32_t n = box_files(b.dir, ".hgm", names, 64);
	assert_true(n >= 3);
	/* Behind the chunks, before the foot; the newest has no index yet. */
	uint32_t hit = 0;
	for (uint32_t i = 0; i < n; i++)
		hit += box_size(b.dir, names[i]) > 2000;
	assert_true(hit >= 2);
	for (uint32_t i = 0; i < n; i++)
		box_flip(b.dir, names[i], box_size(b.dir, names[i]) - 100, 3);
	model_open(&m, &b.o);
	check_subset(&m);
	tsdb_stats(m.db, &st);
	assert_true(st.damaged >= 2);
	commits(&m, 1);
	uint64_t found = check_subset(&m), all = 0;
	for (uint32_t i = 0; i < m.n; i++)
		all += m.series[i].n;
	/* The newest window may have lost a chunk to its flipped bit; those with an index nothing.
	 */
	assert_true(found >= all - 12 * 40);
	commits(&m, 100);
	assert_int_equal(check_subset(&m), found);
	uint64_t damaged = st.damaged;
	tsdb_close(m.db);
	model_open(&m, &b.o);
	assert_int_equal(check_subset(&m), found);
	tsdb_stats(m.db, &st);
	assert_true(st.damaged <= damaged);
	model_fini(&m);
	box_fini(&b);
}

static void test_a_full_disk_costs_nothing_once_there_is_room(void **state)
{
	(void)state;
	struct box b;
	struct model m;
	struct tsdb_health health;
	struct rlimit was, tight;
	box_init(&b);
	model_init(&m, 20, 10);
	model_open(&m, &b.o);
	int64_t t = 1700000000000;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	for (int k = 0; k < 40; k++, t += 5000) {
		round_of(&m, t);
		commits(&m, 1);
	}
	tight = was;
	tight.rlim_cur = 3000; /* files may not grow beyond: writing says EFBIG */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	bool refused = false;
	for (int k = 0; k < 300; k++, t += 5000) {
		round_of(&m, t);
		enum hg_rc rc = tsdb_commit(m.db);
		refused |= rc == HG_E_TSDB_DISK;
		assert_true(rc == HG_OK || rc == HG_E_TSDB_DISK);
	}
	assert_true(refused);
	tsdb_health(m.db, &health);
	assert_int_equal(health.state, TSDB_DISK_FULL);
	assert_int_equal(health.error, EFBIG);
	assert_true(health.message[0]);
	check_some(&m, 1700000000000, t);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	commits(&m, 1);
	tsdb_health(m.db, &health);
	assert_int_equal(health.state, TSDB_WELL);
	tsdb_close(m.db);
	model_open(&m, &b.o);
	check_some(&m, 1700000000000, t);
	model_fini(&m);
	box_fini(&b);
}

static void test_a_disk_that_stays_full_ends_at_the_cap_on_memory(void **state)
{
	(void)state;
	struct box b;
	struct model m;
	struct rlimit was, tight;
	struct tsdb_stats st;
	box_init(&b);
	b.o.memory_bytes = 1 << 20;
	model_init(&m, 20, 10);
	model_open(&m, &b.o);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	tight = was;
	tight.rlim_cur = 100;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	enum hg_rc rc = HG_OK;
	int64_t t = 1700000000000;
	for (int k = 0; k < 100000 && rc != HG_E_TSDB_FULL; k++, t += 1000) {
		for (uint32_t i = 0; i < m.n && rc != HG_E_TSDB_FULL; i++) {
			model_ref(&m, i);
			rc = tsdb_append(m.db, m.series[i].ref, t, hg_rand_unit(&m.rand));
		}
		(void)!tsdb_commit(m.db);
	}
	assert_int_equal(rc, HG_E_TSDB_FULL);
	tsdb_stats(m.db, &st);
	assert_true(st.memory_bytes < 4 << 20);
	assert_true(st.refused_samples > 0);
	/* With room it goes on by itself. */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	commits(&m, 2);
	assert_int_equal(tsdb_append(m.db, m.series[0].ref, t, 1), HG_OK);
	model_fini(&m);
	box_fini(&b);
}

static void test_one_folder_has_one_owner(void **state)
{
	(void)state;
	struct box b;
	struct tsdb *db, *other;
	struct hg_err err = {0};
	box_init(&b);
	assert_int_equal(tsdb_open(&b.o, &db, &err), HG_OK);
	assert_int_equal(tsdb_open(&b.o, &other, &err), HG_E_DENIED);
	assert_non_null(strstr(err.message, "another process"));
	tsdb_close(db);
	assert_int_equal(tsdb_open(&b.o, &db, &err), HG_OK);
	tsdb_close(db);
	box_fini(&b);
}

static void test_a_selection_outlives_what_happens_meanwhile(void **state)
{
	(void)state;
	struct box b;
	struct model m;
	struct tsdb_selection *sel;
	struct hg_err err = {0};
	struct tsdb_samples got = {0};
	box_init(&b);
	b.o.keep_ms = 1200000;
	model_init(&m, 10, 12);
	model_open(&m, &b.o);
	int64_t t = 1700000000000, until;
	for (int k = 0; k < 100; k++, t += 15000) {
		round_of(&m, t);
		commits(&m, 1);
	}
	until = t;
	assert_int_equal(tsdb_select(m.db, NULL, 0, t - 1000000, until, &sel, &err), HG_OK);
	/* Everything it shows is dropped by retention while it is held. */
	for (int k = 0; k < 300; k++, t += 15000) {
		round_of(&m, t);
		commits(&m, 2);
	}
	assert_int_equal(tsdb_selection_count(sel), 10);
	for (uint32_t i = 0; i < 10; i++) {
		uint32_t k = 0;
		while (!labels_equal(m.series[k].ls, tsdb_selection_labels(sel, i)))
			k++;
		assert_int_equal(
		        tsdb_selection_read(sel, i, TSDB_NO_MIN, TSDB_NO_MAX, &got), HG_OK);
		assert_true(got.n <= 68);
	}
	tsdb_selection_free(sel);
	tsdb_samples_free(&got);
	model_check(&m, NULL, 0, t - 1200000, TSDB_NO_MAX);
	model_fini(&m);
	box_fini(&b);
}

static void put_file(const char *dir, const char *name, const uint8_t *bytes, size_t n)
{
	char path[200];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

static double old_value(uint32_t i, uint32_t k)
{
	return i == 0 ? k * (k + 1) / 2 : i == 1 ? k * k % 7 / 8.0 : 1.0 / (k + 3);
}

static void old_check(struct tsdb *db, uint32_t n)
{
	struct tsdb_selection *sel;
	struct hg_err err = {0};
	struct tsdb_samples got = {0};
	assert_int_equal(tsdb_select(db, NULL, 0, TSDB_NO_MIN, TSDB_NO_MAX, &sel, &err), HG_OK);
	assert_int_equal(tsdb_selection_count(sel), 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(
		        tsdb_selection_read(sel, i, TSDB_NO_MIN, TSDB_NO_MAX, &got), HG_OK);
		assert_int_equal(got.n, n);
		for (uint32_t k = 0; k < n; k++) {
			double v = old_value(i, k);
			assert_int_equal(got.t[k], OLD_START + k * 1000);
			assert_memory_equal(&got.v[k], &v, sizeof v);
		}
	}
	tsdb_selection_free(sel);
	tsdb_samples_free(&got);
}

/* The version of journals has changed; what stands in an old one is read, and gone on with. */
static void test_a_store_of_an_earlier_version_is_read_and_gone_on_with(void **state)
{
	(void)state;
	struct box b;
	struct tsdb *db;
	struct hg_err err = {0};
	struct tsdb_stats st;
	box_init(&b);
	assert_int_equal(mkdir(b.dir, 0700), 0);
	put_file(b.dir, OLD_WINDOW, old_window, sizeof old_window);
	put_file(b.dir, OLD_JOURNAL, old_journal, sizeof old_journal);
	assert_int_equal(tsdb_open(&b.o, &db, &err), HG_OK);
	tsdb_stats(db, &st);
	assert_int_equal(st.replayed, 120);
	assert_int_equal(st.damaged, 0);
	for (uint32_t k = 40; k < 60; k++) {
		if (k == 50) {
			tsdb_close(db);
			assert_int_equal(tsdb_open(&b.o, &db, &err), HG_OK);
		}
		old_check(db, k);
		for (uint32_t i = 0; i < 3; i++) {
			char text[8];
			tsdb_ref ref;
			snprintf(text, sizeof text, "%u", i);
			struct label at[] = {
			        {LABEL_METRIC, HG_STR("x")}, {HG_STR("i"), hg_str(text)}};
			assert_int_equal(
			        tsdb_series(db, (struct labels){at, 2}, &ref, &err), HG_OK);
			assert_int_equal(
			        tsdb_append(db, ref, OLD_START + k * 1000, old_value(i, k)), HG_OK);
		}
		assert_int_equal(tsdb_commit(db), HG_OK);
	}
	tsdb_close(db);
	assert_int_equal(tsdb_open(&b.o, &db, &err), HG_OK);
	old_check(db, 60);
	tsdb_close(db);
	box_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_what_was_committed_is_there_after_a_restart),
	        cmocka_unit_test(test_windows_close_into_files_that_stand_alone),
	        cmocka_unit_test(test_random_histories_match_the_model),
	        cmocka_unit_test(test_retention_drops_whole_windows_by_time_and_by_size),
	        cmocka_unit_test(test_no_damage_to_a_file_gives_a_wrong_answer),
	        cmocka_unit_test(test_a_damaged_index_is_made_anew),
	        cmocka_unit_test(test_a_full_disk_costs_nothing_once_there_is_room),
	        cmocka_unit_test(test_a_disk_that_stays_full_ends_at_the_cap_on_memory),
	        cmocka_unit_test(test_one_folder_has_one_owner),
	        cmocka_unit_test(test_a_selection_outlives_what_happens_meanwhile),
	        cmocka_unit_test(test_a_store_of_an_earlier_version_is_read_and_gone_on_with),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
