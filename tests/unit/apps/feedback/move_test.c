#include "tests/unit/test.h"

#include "apps/feedback/move.c"

static void times_of_every_app_so_far_become_microseconds(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} rows[] = {{"1970-01-01T00:00:00Z", 0}, {"1970-01-01 00:00:01", 1000000},
	        {"2026-10-19T07:12:23.109149Z", 1792393943109149},
	        {"2026-10-19T07:12:23.109149", 1792393943109149},
	        {"2026-10-19T07:12:23.1Z", 1792393943100000},
	        {"2026-10-19T07:12:23.1091499Z", 1792393943109149},
	        {"2026-10-19T09:12:23.109149+02:00", 1792393943109149},
	        {"2026-10-19T01:42:23.109149-05:30", 1792393943109149},
	        {"2000-02-29T23:59:59.999999Z", 951868799999999},
	        {"1969-12-31T23:59:59Z", -1000000}};
	static const char *const bad[] = {"", "yesterday", "2026-10-19", "2026-13-19T07:12:23Z",
	        "2026-10-19T24:12:23Z", "2026-10-19T07:12:23x", "2026-10-19T07:12:23+0200",
	        "2026-10-19T07:12:23.1Zx", "2026-1x-19T07:12:23Z", "2026-10-19T07:12:2"};
	int64_t us = -1;
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		if (!move_time(hg_str(rows[i].text), &us)) fail_msg("%s is refused", rows[i].text);
		assert_int_equal(us, rows[i].us);
	}
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		if (move_time(hg_str(bad[i]), &us)) fail_msg("%s is taken", bad[i]);
}

static void the_hash_tells_any_difference(void **state)
{
	struct sum base = {0}, other = {0}, swapped = {0};
	(void)state;
	add_row(&base, 1, HG_STR("a"), 10, 20);
	add_row(&base, 2, HG_STR("b"), 10, 20);
	add_row(&swapped, 2, HG_STR("b"), 10, 20);
	add_row(&swapped, 1, HG_STR("a"), 10, 20);
	assert_true(base.hash != swapped.hash);
	add_row(&other, 1, HG_STR("a"), 10, 20);
	add_row(&other, 2, HG_STR("b"), 10, 21);
	assert_true(base.hash != other.hash);
	assert_int_equal(base.rows, 2);
	/* of two numbers it matters which one it is */
	struct sum with[] = {base, base, base, base, base};
	add_more(&with[1], 3);
	add_votes(&with[2], 3, HG_STR("open"));
	add_votes(&with[3], 0, HG_STR("planned"));
	add_votes(&with[4], 0, HG_STR("done"));
	for (size_t i = 0; i < HG_COUNT(with); i++)
		for (size_t k = 0; k < i; k++)
			assert_true(with[i].hash != with[k].hash);
	add_votes(&base, 0, HG_STR("open"));
	assert_true(base.hash == with[0].hash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(times_of_every_app_so_far_become_microseconds),
	        cmocka_unit_test(the_hash_tells_any_difference),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
