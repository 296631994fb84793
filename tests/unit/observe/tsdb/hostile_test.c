/* What a long life, wrong clocks and a short memory do to a store: each of these once ended it, or
 * made it tell something that is not so. */
#include "box.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_a_label_that_is_gone_is_not_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
