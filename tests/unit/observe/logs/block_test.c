#include "tests/unit/test.h"

#include "observe/logs/logs_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#define ITEMS 100

/* A block of 100 lines "line N"; the caller frees it. */
static char *block_make(size_t *ret_size)
{
	static const struct block_label labels[2] = {
	        {.release = 3, .replica = 1, .offset = 700, .lines = 60},
	        {.release = 3, .replica = 2, .stream = LOGS_STDERR, .offset = 9, .lines = 40}};
	struct block_item items[ITEMS];
	char text[ITEMS * 16], raw[sizeof text + ITEMS * BLOCK_COLUMNS];
	uint32_t n = 0;
	for (uint32_t i = 0; i < ITEMS; i++) {
		int len = snprintf(text + n, sizeof text - n, "line %u\n", i);
		n += (uint32_t)len;
		items[i] = (struct block_item){.ts_ns = 1000 + i * 3,
		        .event_ns = LOGS_NO_EVENT,
		        .length = (uint32_t)len - 1,
		        .label = i >= 60,
		        .level = (uint8_t)(i % 3)};
	}
	struct block_head head = {.count = ITEMS, .label_count = 2, .min_seq = 41};
	size_t cap = block_bound(ITEMS, n, 2);
	char *to = malloc(cap);
	ZSTD_CCtx *c = ZSTD_createCCtx();
	assert_int_equal(
	        block_encode(c, &head, labels, items, text, n, raw, to, cap, ret_size), HG_OK);
	ZSTD_freeCCtx(c);
	return to;
}

static void test_a_block_comes_back_as_it_was(void **state)
{
	(void)state;
	size_t size;
	struct block_head h;
	struct block_view v;
	char *b = block_make(&size);
	struct block_reader r = {.dctx = ZSTD_createDCtx()};
	assert_true(block_head_valid(b, size, &h));
	assert_int_equal(h.head_size + h.payload_size, size);
	assert_true(block_decode(&r, &h, b + sizeof h, b + h.head_size, &v));
	assert_int_equal(v.head.min_ns, 1000);
	assert_int_equal(v.head.max_ns, 1000 + 99 * 3);
	assert_int_equal(v.head.max_seq, 140);
	assert_int_equal(v.head.levels, 7);
	for (uint32_t i = 0; i < ITEMS; i++) {
		char want[16];
		snprintf(want, sizeof want, "line %u", i);
		assert_str(((struct hg_str){v.text + v.start[i], v.items[i].length}), want);
		assert_int_equal(v.items[i].ts_ns, 1000 + i * 3);
		assert_int_equal(v.labels[v.items[i].label].replica, i >= 60 ? 2 : 1);
	}
	block_reader_free(&r);
	ZSTD_freeDCtx(r.dctx);
	free(b);
}

static void test_every_flipped_bit_of_a_block_is_found(void **state)
{
	(void)state;
	size_t size;
	char *b = block_make(&size);
	assert_true(logs_block_valid((struct hg_str){b, size}));
	for (size_t i = 0; i < size; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			b[i] = (char)(b[i] ^ (1 << bit));
			if (logs_block_valid((struct hg_str){b, size}))
				fail_msg("bit %u of byte %zu", bit, i);
			b[i] = (char)(b[i] ^ (1 << bit));
		}
	}
	free(b);
}

static void test_a_torn_block_is_found_at_every_length(void **state)
{
	(void)state;
	size_t size;
	char *b = block_make(&size);
	for (size_t n = 0; n < size; n++) {
		/* An exact copy, so that a sanitizer sees every byte read too far. */
		char *cut = malloc(n ? n : 1);
		memcpy(cut, b, n);
		assert_false(logs_block_valid((struct hg_str){cut, n}));
		free(cut);
	}
	free(b);
}

static void test_a_head_counts_only_what_is_all_wanted_and_in_one_bucket(void **state)
{
	(void)state;
	size_t size;
	struct block_head h;
	char *b = block_make(&size);
	struct logs_volume v = {.start_ns = 900, .step_ns = 500, .buckets = 2};
	assert_true(block_head_valid(b, size, &h));
	const char *labels = b + sizeof h;
	assert_true(volume_add_head(&v, &(struct logs_query){.release = 3}, &h, labels));
	assert_int_equal(v.lines[0][HG_DEBUG], 34);
	assert_int_equal(v.lines[0][HG_WARN], 33);
	assert_true(volume_add_head(&v, &(struct logs_query){.least = HG_WARN}, &h, labels));
	assert_int_equal(v.lines[0][HG_DEBUG], 34);
	assert_int_equal(v.lines[0][HG_WARN], 66);
	const struct logs_query not [] = {{.release = 4}, {.has_replica = true, .replica = 1},
	        {.has_stream = true}, {.grep = HG_STR("x")}, {.since_ns = 1001},
	        {.until_ns = 1297}};
	for (size_t i = 0; i < HG_COUNT(not ); i++)
		assert_false(volume_add_head(&v, &not [i], &h, labels));
	v.step_ns = 300; /* 1200 lies between its lines */
	assert_false(volume_add_head(&v, &(struct logs_query){0}, &h, labels));
	v.step_ns = 500;
	v.start_ns = 1001;
	assert_false(volume_add_head(&v, &(struct logs_query){0}, &h, labels));
	v.start_ns = 900;
	/* Written before heads had counts. */
	memset(h.level_lines, 0, sizeof h.level_lines);
	assert_false(volume_add_head(&v, &(struct logs_query){0}, &h, labels));
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_a_block_comes_back_as_it_was),
	        cmocka_unit_test(test_every_flipped_bit_of_a_block_is_found),
	        cmocka_unit_test(test_a_torn_block_is_found_at_every_length),
	        cmocka_unit_test(test_a_head_counts_only_what_is_all_wanted_and_in_one_bucket),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
