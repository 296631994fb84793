/* What a sample costs on the disk in the long run: journal, chunks, names and index together. */
#include "box.h"

#define SERIES 400u
#define START  1700006400000 /* a window begins */

/* About Poisson with this mean. */
static double steps(struct hg_rand *r, double mean)
{
	double x = 0;
	for (int i = 0; i < 12; i++)
		x += hg_rand_unit(r);
	x = mean + (x - 6) * sqrt(mean);
	return x < 0 ? 0 : floor(x + 0.5);
}

/* The mix of bench/tsdb: of 100 series 60 count, 12 are seconds of CPU, 28 are gauges. */
static double next_value(struct hg_rand *r, uint32_t i, double before)
{
	uint32_t k = i % 100;
	if (k < 60) return before + steps(r, 0.3 * pow(10, k / 20.0));
	if (k < 72) return round((before + 0.3 * hg_rand_unit(r)) * 100) / 100;
	switch (k % 4) {
	case 0: return hg_rand_below(r, 200) ? before : hg_rand_below(r, 10);
	case 1: return before + 4096.0 * ((double)hg_rand_below(r, 64) - 20);
	case 2: return hg_rand_below(r, 10000) / 100.0;
	default: return hg_rand_unit(r) * 100;
	}
}

struct rig {
	struct box box;
	struct tsdb *db;
	struct hg_rand rand;
	tsdb_ref ref[SERIES];
	double last[SERIES];
};

static void rig_open(struct rig *g)
{
	struct hg_err err = {0};
	*g = (struct rig){0};
	box_init(&g->box);
	g->box.o.window_ms = 7200000;
	hg_rand_seed(&g->rand, 3);
	assert_int_equal(tsdb_open(&g->box.o, &g->db, &err), HG_OK);
	for (uint32_t i = 0; i < SERIES; i++) {
		char path[32];
		snprintf(path, sizeof path, "/path/%u", i);
		struct label at[] = {{LABEL_METRIC, HG_STR("x")}, {HG_STR("path"), hg_str(path)}};
		assert_int_equal(
		        tsdb_series(g->db, (struct labels){at, 2}, &g->ref[i], &err), HG_OK);
	}
}

/* `rounds` samples of each series `step` ms apart, a commit after each, until their window is
 * closed: bytes of a sample. */
static double written(uint32_t rounds, int64_t step, bool noise)
{
	struct rig g;
	struct tsdb_stats st;
	rig_open(&g);
	for (uint32_t k = 0; k < rounds; k++) {
		for (uint32_t i = 0; i < SERIES; i++) {
			g.last[i] = next_value(&g.rand, noise ? 75 : i, g.last[i]);
			assert_int_equal(
			        tsdb_append(g.db, g.ref[i], START + k * step, g.last[i]), HG_OK);
		}
		assert_int_equal(tsdb_commit(g.db), HG_OK);
	}
	assert_int_equal(tsdb_append(g.db, g.ref[0], START + 3 * 7200000, 1), HG_OK);
	for (int i = 0; i < 40; i++)
		assert_int_equal(tsdb_commit(g.db), HG_OK);
	tsdb_stats(g.db, &st);
	tsdb_close(g.db);
	char names[8][64];
	assert_int_equal(box_files(g.box.dir, ".hgj", names, 8), 1);
	box_fini(&g.box);
	return (double)st.written_bytes / (double)st.samples;
}

static void least(const char *what, double got, double most)
{
	print_message("%s: %.2f bytes a sample\n", what, got);
	if (got > most) fail_msg("%s: %.2f bytes a sample, more than %.2f", what, got, most);
}

static void test_a_sample_a_second_is_written_in_less_than_its_share(void **state)
{
	(void)state;
	/* A share of 0.3 of the 8.8 bytes that Prometheus writes into its log alone. */
	least("a sample a second", written(3600, 1000, false), 2.55);
}

static void test_noise_costs_little_more_than_its_bits(void **state)
{
	(void)state;
	/* 53 bits twice are 13.25 bytes. */
	least("noise", written(1800, 1000, true), 14.9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_a_sample_a_second_is_written_in_less_than_its_share),
	        cmocka_unit_test(test_noise_costs_little_more_than_its_bits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
