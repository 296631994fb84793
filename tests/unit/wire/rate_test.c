#include "../test.h"

#include "wire/rate.h"

static void limits_are_read_as_people_write_them(void **state)
{
	static const struct {
		const char *text;
		enum rate_who who;
		uint64_t count, period_s, burst;
		const char *name;
		bool local;
	} row[] = {
	        {"1000/min per user", RATE_PER_USER, 1000, 60, 1000, ""},
	        {"100/s per ip", RATE_PER_IP, 100, 1, 100, ""},
	        {"500/min per key", RATE_PER_KEY, 500, 60, 500, ""},
	        {"2000/5m per ip", RATE_PER_IP, 2000, 300, 2000, ""},
	        {"10/s per header X-Api-Key", RATE_PER_HEADER, 10, 1, 10, "X-Api-Key"},
	        {"10/hour per cookie sid burst 3", RATE_PER_COOKIE, 10, 3600, 3, "sid"},
	        {"5000/s", RATE_PER_ROUTE, 5000, 1, 5000, ""},
	        {"5000/s per route", RATE_PER_ROUTE, 5000, 1, 5000, ""},
	        {"50000/h  per  user   burst 100", RATE_PER_USER, 50000, 3600, 100, ""},
	        {"2000/5m per ip local", RATE_PER_IP, 2000, 300, 2000, "", true},
	        {"5/s local", RATE_PER_ROUTE, 5, 1, 5, "", true},
	        {"5/s per header local", RATE_PER_HEADER, 5, 1, 5, "local"},
	        {"5/s per ip burst 9  local", RATE_PER_IP, 5, 1, 9, "", true},
	        {"5/s local per ip", 0, 0, 0, 0, NULL},
	        {"5/s local local", 0, 0, 0, 0, NULL},
	        {"1/30d burst 2", RATE_PER_ROUTE, 1, 2592000, 2, ""},
	        {"90000000/min", RATE_PER_ROUTE, 0, 0, 0, NULL}, /* above 1000000 a second */
	        {"50000000/min", RATE_PER_ROUTE, 50000000, 60, 1000000, ""},
	        {"1/31d", 0, 0, 0, 0, NULL},
	        {"1/day burst 1000", 0, 0, 0, 0, NULL},
	        {"0/s", 0, 0, 0, 0, NULL},
	        {"-1/s", 0, 0, 0, 0, NULL},
	        {"10", 0, 0, 0, 0, NULL},
	        {"10/", 0, 0, 0, 0, NULL},
	        {"10/fortnight", 0, 0, 0, 0, NULL},
	        {"10/0s", 0, 0, 0, 0, NULL},
	        {"10/18446744073709551615d", 0, 0, 0, 0, NULL},
	        {"10/s per", 0, 0, 0, 0, NULL},
	        {"10/s per dog", 0, 0, 0, 0, NULL},
	        {"10/s per header", 0, 0, 0, 0, NULL},
	        {"10/s per header a:b", 0, 0, 0, 0, NULL},
	        {"10/s burst", 0, 0, 0, 0, NULL},
	        {"10/s burst 0", 0, 0, 0, 0, NULL},
	        {"10/s burst 1 more", 0, 0, 0, 0, NULL},
	        {"10/s per user burst 5 per ip", 0, 0, 0, 0, NULL},
	        {"", 0, 0, 0, 0, NULL},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct rate r;
		const char *why = NULL;
		bool ok = rate_parse(hg_str(row[i].text), &r, &why);
		if (ok != (row[i].name != NULL)) fail_msg("\"%s\": %s", row[i].text, why);
		if (!ok) {
			assert_non_null(why);
			continue;
		}
		if (r.who != row[i].who || r.count != row[i].count ||
		        r.period_s != row[i].period_s || r.burst != row[i].burst ||
		        r.local != row[i].local)
			fail_msg("\"%s\"", row[i].text);
		assert_str(r.name, row[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(limits_are_read_as_people_write_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
