#include "tests/unit/test.h"

#include "apps/feedback/store_pg.c"

static void check(const char *text, const char *want)
{
	char to[TEXT_TIME_MAX];
	to[time_of(hg_str(text), to)] = 0;
	assert_string_equal(to, want);
}

static void times_of_the_server_are_written_as_those_of_the_file(void **state)
{
	(void)state;
	check("2026-11-21 07:12:23.109149+00", "2026-11-21T07:12:23.109149Z");
	check("2026-11-21 07:12:23.1+00", "2026-11-21T07:12:23.100000Z");
	check("2026-11-21 07:12:23+00", "2026-11-21T07:12:23.000000Z");
	check("", "");
	check("infinity", "");
	check("2026-11-21", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(times_of_the_server_are_written_as_those_of_the_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
