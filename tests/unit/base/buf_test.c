#include "../test.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_buffer_stops_at_its_cap_and_remembers),
	        cmocka_unit_test(an_out_never_writes_past_its_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
