/* The messages of remote write: bytes written down by hand from the .proto files, and back. */
#include "../test.h"

#include "wire/remotewrite.h"

#include <math.h>
#include <stdlib.h>

/* A field 9 that nobody knows; WriteRequest{timeseries{labels{"__name__","up"} labels{"a",""}
 * samples{1.5, 1000} samples{-0, -1}}}; metadata. */
static const char v1[] = "\x48\x07"
                         "\x0a\x3b" /* 16 + 7 + 14 + 22 */
                         "\x0a\x0e\x0a\x08__name__\x12\x02up"
                         "\x0a\x05\x0a\x01"
                         "a\x12\x00"
                         "\x12\x0c\x09\x00\x00\x00\x00\x00\x00\xf8\x3f\x10\xe8\x07"
                         "\x12\x14\x09\x00\x00\x00\x00\x00\x00\x00\x80"
                         "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                         "\x1a\x02\x08\x01";

static void one_that_was_written_by_hand_is_read(void **state)
{
	struct remotewrite r;
	struct remotewrite_series s;
	int64_t t;
	double v;
	(void)state;
	assert_true(remotewrite_open(&r, (struct hg_str){v1, sizeof v1 - 1}, REMOTEWRITE_1));
	for (int round = 0; round < 2; round++) {
		assert_int_equal(remotewrite_next(&r, &s), REMOTEWRITE_SERIES);
		assert_int_equal(s.label_n, 2);
		assert_str(s.label[0].name, "__name__");
		assert_str(s.label[0].value, "up");
		assert_str(s.label[1].name, "a");
		assert_str(s.label[1].value, "");
		assert_int_equal(s.sample_n, 2);
		assert_true(remotewrite_sample(&s, &t, &v));
		assert_true(t == 1000 && v == 1.5);
		assert_true(remotewrite_sample(&s, &t, &v));
		assert_true(t == -1 && v == 0 && signbit(v));
		assert_false(remotewrite_sample(&s, &t, &v));
		assert_int_equal(remotewrite_next(&r, &s), REMOTEWRITE_END);
		remotewrite_rewind(&r);
	}
	remotewrite_close(&r);
}

/* Request{symbols "", "__name__", "up"; timeseries{labels_refs 1,2; samples{2, 5}; exemplars}} */
static const char v2[] = "\x2a\x14" /* 4 + 13 + 3 */
                         "\x0a\x02\x01\x02"
                         "\x12\x0b\x09\x00\x00\x00\x00\x00\x00\x00\x40\x10\x05"
                         "\x22\x01\x08"
                         "\x22\x00"
                         "\x22\x08__name__"
                         "\x22\x02up";

static void version_2_finds_symbols_behind_the_series(void **state)
{
	char bytes[sizeof v2];
	struct remotewrite r;
	struct remotewrite_series s;
	int64_t t;
	double v;
	(void)state;
	memcpy(bytes, v2, sizeof v2);
	struct hg_str body = {bytes, sizeof v2 - 1};
	assert_true(remotewrite_open(&r, body, REMOTEWRITE_2));
	assert_int_equal(remotewrite_next(&r, &s), REMOTEWRITE_SERIES);
	assert_int_equal(s.label_n, 1);
	assert_str(s.label[0].name, "__name__");
	assert_str(s.label[0].value, "up");
	assert_int_equal(s.exemplar_n, 1);
	assert_true(remotewrite_sample(&s, &t, &v));
	assert_true(t == 5 && v == 2);
	assert_int_equal(remotewrite_next(&r, &s), REMOTEWRITE_END);
	remotewrite_close(&r);
	bytes[5] = 3; /* a symbol that is not there */
	assert_true(remotewrite_open(&r, body, REMOTEWRITE_2));
	assert_int_equal(remotewrite_next(&r, &s), REMOTEWRITE_BAD);
	assert_non_null(strstr(r.why, "symbol"));
	remotewrite_close(&r);
}

static void put(struct hg_buf *b)
{
	const struct remotewrite_label l[] = {
	        {HG_STR("__name__"), HG_STR("a_long_name_of_a_metric")}, {HG_STR("x"), HG_STR("")},
	        {HG_STR("y"), HG_STR("\xc3\xa4\x0a")}};
	const int64_t t[] = {INT64_MIN, -1, 0, 1, 1700000000000, INT64_MAX};
	const double v[] = {-0.0, INFINITY, -INFINITY, 1e-300, 0.1, 3};
	char name[300];
	remotewrite_put(b, l, 3, t, v, 6);
	memset(name, 'n', sizeof name);
	struct remotewrite_label wide = {{name, sizeof name}, {name, sizeof name}};
	remotewrite_put(b, &wide, 1, t, v, 0);
	remotewrite_put(b, NULL, 0, t, v, 1);
}

static void what_is_written_is_read(void **state)
{
	struct hg_buf b;
	struct remotewrite r;
	struct remotewrite_series s;
	int64_t t;
	double v;
	(void)state;
	hg_buf_init(&b, 1 << 20);
	put(&b);
	assert_false(b.failed);
	assert_true(remotewrite_open(&r, hg_buf_view(&b), REMOTEWRITE_1));
	assert_int_equal(remotewrite_next(&r, &s), REMOTEWRITE_SERIES);
	assert_int_equal(s.label_n, 3);
	assert_int_equal(s.sample_n, 6);
	assert_str(s.label[2].value, "\xc3\xa4\x0a");
	assert_true(remotewrite_sample(&s, &t, &v) && t == INT64_MIN && signbit(v));
	assert_true(remotewrite_sample(&s, &t, &v) && t == -1 && v == INFINITY);
	for (int i = 0; i < 4; i++)
		assert_true(remotewrite_sample(&s, &t, &v));
	assert_true(t == INT64_MAX && v == 3);
	assert_int_equal(remotewrite_next(&r, &s), REMOTEWRITE_SERIES);
	assert_int_equal(s.label[0].value.n, 300);
	assert_int_equal(s.sample_n, 0);
	assert_int_equal(remotewrite_next(&r, &s), REMOTEWRITE_SERIES);
	assert_int_equal(s.label_n, 0);
	assert_int_equal(s.sample_n, 1);
	assert_int_equal(remotewrite_next(&r, &s), REMOTEWRITE_END);
	remotewrite_close(&r);
	hg_buf_free(&b);
}

/* Cut anywhere: at the end of a series it is a shorter request, anywhere else it is bad. */
static void what_was_cut_is_bad(void **state)
{
	struct hg_buf b;
	unsigned whole = 0, bad = 0;
	(void)state;
	hg_buf_init(&b, 1 << 20);
	put(&b);
	for (size_t n = 0; n < b.n; n++) {
		struct remotewrite r;
		struct remotewrite_series s;
		char *copy = malloc(n ? n : 1);
		assert_non_null(copy);
		memcpy(copy, b.p, n);
		enum remotewrite_event e = REMOTEWRITE_BAD;
		if (remotewrite_open(&r, (struct hg_str){copy, n}, REMOTEWRITE_1))
			while ((e = remotewrite_next(&r, &s)) == REMOTEWRITE_SERIES) {
			}
		whole += e == REMOTEWRITE_END;
		bad += e == REMOTEWRITE_BAD && r.why;
		remotewrite_close(&r);
		free(copy);
	}
	assert_int_equal(whole, 3); /* nothing, one series, two */
	assert_int_equal(bad, b.n - 3);
	hg_buf_free(&b);
}

static void what_is_wrong_within_is_bad(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} row[] = {
	        {"\x08\x01", 2},                 /* series: a number */
	        {"\x0b\x0c", 2},                 /* a group */
	        {"\x0a\x02\x0d\x01", 4},         /* labels: cut off */
	        {"\x0a\x02\x08\x01", 4},         /* labels: a number */
	        {"\x0a\x04\x0a\x02\x08\x01", 6}, /* a name: a number */
	        {"\x0a\x04\x12\x02\x08\x01", 6}, /* a value: a varint */
	        {"\x0a\x0b\x12\x09\x11\x01\x01\x01\x01\x01\x01\x01\x01", 13}, /* a time: 64 bits */
	        {"\x00\x01", 2},                                              /* field 0 */
	        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10},     /* more than 64 bits */
	        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}, /* longer than it is */
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct remotewrite r;
		struct remotewrite_series s;
		enum remotewrite_event e = REMOTEWRITE_BAD;
		if (remotewrite_open(&r, (struct hg_str){row[i].bytes, row[i].n}, REMOTEWRITE_1))
			while ((e = remotewrite_next(&r, &s)) == REMOTEWRITE_SERIES) {
			}
		if (e != REMOTEWRITE_BAD || !r.why) fail_msg("row %zu was taken", i);
		remotewrite_close(&r);
	}
}

static void a_series_has_labels_up_to_a_limit(void **state)
{
	static struct remotewrite_label many[REMOTEWRITE_LABELS_MAX + 1];
	struct hg_buf b;
	struct remotewrite r;
	struct remotewrite_series s;
	(void)state;
	hg_buf_init(&b, 1 << 20);
	for (uint32_t more = 0; more < 2; more++) {
		hg_buf_reset(&b);
		remotewrite_put(&b, many, REMOTEWRITE_LABELS_MAX + more, NULL, NULL, 0);
		assert_true(remotewrite_open(&r, hg_buf_view(&b), REMOTEWRITE_1));
		assert_int_equal(
		        remotewrite_next(&r, &s), more ? REMOTEWRITE_BAD : REMOTEWRITE_SERIES);
		remotewrite_close(&r);
	}
	hg_buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(one_that_was_written_by_hand_is_read),
	        cmocka_unit_test(version_2_finds_symbols_behind_the_series),
	        cmocka_unit_test(what_is_written_is_read),
	        cmocka_unit_test(what_was_cut_is_bad),
	        cmocka_unit_test(what_is_wrong_within_is_bad),
	        cmocka_unit_test(a_series_has_labels_up_to_a_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
