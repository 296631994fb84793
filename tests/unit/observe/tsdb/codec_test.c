#include "tests/unit/test.h"

#include "base/rand.h"
#include "observe/tsdb/codec_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum shape { COUNTER, CONSTANT, DECIMALS, NOISE, WALK, ODD, EXTREMES, WIDE, SHAPES };

static double value_of(struct hg_rand *r, enum shape shape, uint32_t i, double before)
{
	static const double odd[] = {0, -0.0, 1e308, -1e308, 5e-324, 1.0 / 3, 9007199254740993.0,
	        -9007199254740992.0, 1e15, 123456789.123456, 1e-15, 0.1};
	switch (shape) {
	case COUNTER: return before + hg_rand_below(r, 40);
	case CONSTANT: return 12.5;
	case DECIMALS: return (double)hg_rand_below(r, 10000) / 100;
	case NOISE: return hg_rand_unit(r) * 1e6;
	case WALK: return before + ((double)hg_rand_below(r, 3) - 1) * 0.25;
	case ODD:
		if (hg_rand_below(r, 10) == 0) return hg_rand_below(r, 2) ? NAN : INFINITY;
		if (i % 17 == 5) return tsdb_stale();
		return (double)hg_rand_below(r, 1000);
	case EXTREMES: return odd[hg_rand_below(r, HG_COUNT(odd))];
	default: {
		uint64_t bits = hg_rand_u64(r);
		double v;
		memcpy(&v, &bits, sizeof v);
		return v;
	}
	}
}

static int64_t time_of(struct hg_rand *r, unsigned kind, int64_t before)
{
	switch (kind) {
	case 0: return before + 15000;
	case 1: return before + 15000 + hg_rand_below(r, 5) - 2;
	case 2: return before + 1 + hg_rand_below(r, 1000000);
	default: return before + 1 + (int64_t)(hg_rand_u64(r) >> 12) / CODEC_CHUNK_MAX;
	}
}

static void same_or_fail(const double *a, const double *b, const int64_t *t, const int64_t *u,
        uint32_t n, unsigned shape, unsigned kind)
{
	if (memcmp(a, b, n * sizeof *a) != 0 || memcmp(t, u, n * sizeof *t) != 0)
		fail_msg("shape %u, times %u, %u samples", shape, kind, n);
}

/* What lies in a span that begins and ends anywhere, also before, behind and between samples. */
static void parts_are_the_same(struct hg_rand *r, struct hg_str chunk, const struct stream *s,
        int64_t base, const int64_t *t, const double *v, uint32_t n)
{
	int64_t u[CODEC_CHUNK_MAX], bound[2];
	double w[CODEC_CHUNK_MAX];
	uint32_t lo = 0, got;
	for (int i = 0; i < 2; i++)
		bound[i] = t[hg_rand_below(r, n)] + (int64_t)hg_rand_below(r, 3) - 1;
	if (hg_rand_below(r, 8) == 0) bound[0] = INT64_MIN;
	if (hg_rand_below(r, 8) == 0) bound[1] = INT64_MAX;
	while (lo < n && t[lo] < bound[0])
		lo++;
	uint32_t hi = lo;
	while (hi < n && t[hi] <= bound[1])
		hi++;
	assert_true(chunk_decode_part(chunk, base, bound[0], bound[1], u, w, &got));
	assert_int_equal(got, hi - lo);
	same_or_fail(v + lo, w, t + lo, u, got, 100, 0);
	assert_int_equal(stream_read_part(s, bound[0], bound[1], u, w), hi - lo);
	same_or_fail(v + lo, w, t + lo, u, got, 101, 0);
}

static void test_chunks_and_streams_give_back_every_bit(void **state)
{
	(void)state;
	struct hg_rand r;
	int64_t t[CODEC_CHUNK_MAX], u[CODEC_CHUNK_MAX];
	double v[CODEC_CHUNK_MAX], w[CODEC_CHUNK_MAX];
	uint8_t bytes[CODEC_CHUNK_BYTES];
	struct codec_step step;
	hg_rand_seed(&r, 7);
	for (unsigned round = 0; round < 4000; round++) {
		unsigned shape = round % SHAPES, kind = round / SHAPES % 4;
		uint32_t n = 1 + hg_rand_below(&r, CODEC_CHUNK_MAX);
		int64_t base = 1700000000000, at = base - 1000 + hg_rand_below(&r, 5000);
		double before = hg_rand_below(&r, 1000);
		struct stream s = {0};
		codec_state_init(&s.value);
		for (uint32_t i = 0; i < n; i++) {
			t[i] = at = time_of(&r, kind, at);
			v[i] = before = value_of(&r, shape, i, before);
			assert_true(stream_add(&s, t[i], v[i], &step));
		}
		memset(w, 0xee, sizeof w);
		stream_read(&s, u, w);
		same_or_fail(v, w, t, u, n, shape, kind);
		size_t size = chunk_encode(t, v, n, base, bytes);
		assert_true(size <= sizeof bytes);
		memset(w, 0xee, sizeof w);
		assert_int_equal(chunk_decode((struct hg_str){(char *)bytes, size}, base, u, w), n);
		same_or_fail(v, w, t, u, n, shape, kind);
		for (int part = 0; part < 4; part++)
			parts_are_the_same(
			        &r, (struct hg_str){(char *)bytes, size}, &s, base, t, v, n);
		free(s.p);
	}
}

/* Bytes of a sample that the forms are meant to reach; the bits are in the comments. */
static void test_sizes_of_usual_series(void **state)
{
	(void)state;
	static const struct {
		enum shape shape;
		double most;
	} rows[] = {
	        {CONSTANT, 0.15}, /* 8 bytes and a head */
	        {COUNTER, 0.85},  /* 40 steps are 5.3 bits, and 6 as plain ones */
	        {DECIMALS, 1.90}, /* 10,000 values are 13.3 bits */
	        {WALK, 0.40},     /* three steps are 1.6 bits */
	        {NOISE, 7.05},    /* 53 bits, and two or three for the size */
	};
	struct hg_rand r;
	int64_t t[CODEC_CHUNK_MAX];
	double v[CODEC_CHUNK_MAX];
	uint8_t bytes[CODEC_CHUNK_BYTES];
	hg_rand_seed(&r, 11);
	for (size_t k = 0; k < HG_COUNT(rows); k++) {
		double before = 5000;
		for (uint32_t i = 0; i < 128; i++) {
			t[i] = 1700000000000 + 15000 * (int64_t)i;
			v[i] = before = value_of(&r, rows[k].shape, i, before);
		}
		double each = (double)chunk_encode(t, v, 128, t[0], bytes) / 128;
		if (each > rows[k].most) fail_msg("shape %d: %.2f bytes", rows[k].shape, each);
	}
}

static void test_a_chunk_of_garbage_is_refused_or_read_within_bounds(void **state)
{
	(void)state;
	struct hg_rand r;
	int64_t t[CODEC_CHUNK_MAX], u[CODEC_CHUNK_MAX];
	double v[CODEC_CHUNK_MAX], w[CODEC_CHUNK_MAX];
	uint8_t bytes[CODEC_CHUNK_BYTES];
	hg_rand_seed(&r, 13);
	for (unsigned round = 0; round < 3000; round++) {
		uint32_t n = 1 + hg_rand_below(&r, 40);
		double before = 0;
		for (uint32_t i = 0; i < n; i++) {
			t[i] = 1000 * (int64_t)i;
			v[i] = before = value_of(&r, round % SHAPES, i, before);
		}
		size_t size = chunk_encode(t, v, n, 0, bytes);
		char *copy = malloc(size);
		assert_non_null(copy);
		memcpy(copy, bytes, size);
		size_t cut = hg_rand_below(&r, (uint32_t)size);
		assert_true(chunk_decode((struct hg_str){copy, cut}, 0, u, w) <= CODEC_CHUNK_MAX);
		copy[hg_rand_below(&r, (uint32_t)size)] ^= (char)(1u << hg_rand_below(&r, 8));
		uint32_t got = chunk_decode((struct hg_str){copy, size}, 0, u, w);
		for (uint32_t i = 1; i < got; i++)
			assert_true(u[i] > u[i - 1]);
		int64_t from = hg_rand_below(&r, 40000), to = hg_rand_below(&r, 40000);
		if (chunk_decode_part((struct hg_str){copy, size}, 0, from, to, u, w, &got)) {
			assert_true(got <= CODEC_CHUNK_MAX);
			for (uint32_t i = 0; i < got; i++)
				assert_true(u[i] >= from && u[i] <= to && (!i || u[i] > u[i - 1]));
		}
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_chunks_and_streams_give_back_every_bit),
	        cmocka_unit_test(test_sizes_of_usual_series),
	        cmocka_unit_test(test_a_chunk_of_garbage_is_refused_or_read_within_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
