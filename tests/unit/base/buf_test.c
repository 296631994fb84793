#include "../test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

static void a_buffer_stops_at_its_cap_and_remembers(void **s)
{
	struct hg_buf b;
	(void)s;
	hg_buf_init(&b, 8);
	hg_buf_cstr(&b, "12345");
	hg_buf_cstr(&b, "6789");
	assert_true(b.failed);
	hg_buf_byte(&b, 'x');
	assert_int_equal(b.n, 5);
	assert_string_equal(hg_buf_text(&b), "");
	hg_buf_reset(&b);
	hg_buf_fmt(&b, "%s-%d", "ab", 7);
	hg_buf_u64(&b, 0);
	assert_string_equal(hg_buf_text(&b), "ab-70");
	hg_buf_drop(&b, 3);
	char *text = hg_buf_take(&b);
	assert_string_equal(text, "70");
	free(text);
	hg_buf_free(&b);
}

static void an_out_never_writes_past_its_room(void **s)
{
	char room[6] = "------";
	(void)s;
	struct hg_out o = hg_out_over(room, 5);
	hg_out_cstr(&o, "abc");
	hg_out_u64(&o, 123);
	assert_true(hg_out_failed(&o));
	assert_int_equal(room[5], '-');
	o = hg_out_over(room, 5);
	hg_out_fmt(&o, "%s", "abcd");
	assert_false(hg_out_failed(&o));
	hg_out_fmt(&o, "%s", "e");
	assert_true(hg_out_failed(&o));
}

static void numbers_are_written_whole(void **s)
{
	uint64_t edges[] = {9999, 10000, 99999, 123456789, 1000000000, UINT32_MAX, UINT64_MAX,
	        UINT64_MAX - 1, 10000000000000000000u, 9999999999999999999u};
	char room[32], want[32];
	(void)s;
	for (uint64_t i = 0; i < 1200 + HG_COUNT(edges); i++) {
		uint64_t v = i < 1200 ? i : edges[i - 1200];
		struct hg_out o = hg_out_over(room, sizeof room);
		int n = snprintf(want, sizeof want, "%llu", (unsigned long long)v);
		hg_out_u64(&o, v);
		assert_int_equal(o.n, n);
		assert_memory_equal(room, want, (size_t)n);
		o = hg_out_over(room, (size_t)n - 1);
		hg_out_u64(&o, v);
		assert_true(hg_out_failed(&o));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_buffer_stops_at_its_cap_and_remembers),
	        cmocka_unit_test(an_out_never_writes_past_its_room),
	        cmocka_unit_test(numbers_are_written_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
