#include "../test.h"

#include <inttypes.h>

#include "wire/shortest.c"

static void assert_text(double v, const char *want)
{
	char to[SHORTEST_TEXT];
	struct hg_str have = {to, shortest_prometheus(v, to)};
	assert_str(have, want);
}

static void values_are_written_as_prometheus_writes_them(void **state)
{
	(void)state;
	assert_text(0, "0");
	assert_text(-0.0, "-0");
	assert_text(1, "1");
	assert_text(-1.5, "-1.5");
	assert_text(0.1, "0.1");
	assert_text(0.1 + 0.2, "0.30000000000000004");
	assert_text(1.0 / 3, "0.3333333333333333");
	assert_text(100, "100");
	assert_text(1e20, "100000000000000000000");
	assert_text(123456789012345680000.0, "123456789012345680000");
	assert_text(1e21, "1e+21");
	assert_text(-1.5e21, "-1.5e+21");
	assert_text(1.7976931348623157e308, "1.7976931348623157e+308");
	assert_text(0.000001, "0.000001");
	assert_text(0.0000012345678901234567, "0.0000012345678901234567");
	assert_text(9.99e-7, "9.99e-07");
	assert_text(5e-324, "5e-324");
	assert_text(2.2250738585072014e-308, "2.2250738585072014e-308");
	assert_text(NAN, "NaN");
	assert_text(INFINITY, "+Inf");
	assert_text(-INFINITY, "-Inf");
	assert_text(1700000000.123, "1700000000.123");
	assert_text(9007199254740991.0, "9007199254740991");
	assert_text(9007199254740993.0, "9007199254740992");
	assert_text(2251799813685248.5, "2251799813685248.5");
	assert_text(5.9604644775390625e-08, "5.960464477539063e-08"); /* 2^-24 */
}

/*
 * The same by the long way: the first precision that reads back. Below a power of two the next
 * number is nearer, and a printf that rounds down there may need a digit more.
 */
static void assert_same(double v)
{
	char fast[SHORTEST_ROOM], slow[SHORTEST_ROOM], text[64];
	int e, f;
	size_t n = shortest_digits(v, fast, &e), m = by_printf(v, slow, &f);
	snprintf(text, sizeof text, "%.*se%d", (int)n, fast, e - (int)n + 1);
	if (strtod(text, NULL) != v) fail_msg("%.17g: %s does not read back", v, text);
	if (n < m) return;
	if (n != m || e != f || memcmp(fast, slow, n) != 0)
		fail_msg("%.17g: %.*s e%d, and %.*s e%d by printf", v, (int)n, fast, e, (int)m,
		        slow, f);
}

static uint64_t next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 11;
}

static void the_fast_way_gives_what_the_slow_way_gives(void **state)
{
	uint64_t seed = 1;
	(void)state;
	for (int i = 0; i < 60000; i++) {
		double u = (double)next(&seed) / 9007199254740992.0 + 1e-18;
		assert_same(u);
		assert_same(u * pow(10, (double)(next(&seed) % 26) - 10)); /* 1e-10 … 1e15 */
		assert_same((double)(next(&seed) % 1000000 + 1) / (double)(next(&seed) % 9999 + 1));
		assert_same((double)(next(&seed) % 100000000 + 1) / 1000);
	}
	/* Powers of two have a nearer neighbour below. */
	for (int e = -1074; e < 1024; e++) {
		assert_same(ldexp(1, e));
		if (e > -1022) assert_same(nextafter(ldexp(1, e), 0));
		assert_same(nextafter(ldexp(1, e), INFINITY));
	}
}

static void whole_numbers_have_all_their_digits(void **state)
{
	static const struct {
		uint64_t v;
		const char *text;
	} row[] = {{0, "0"}, {9, "9"}, {10, "10"}, {99, "99"}, {100, "100"}, {12345, "12345"},
	        {UINT64_MAX, "18446744073709551615"}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		char to[20];
		struct hg_str have = {to, shortest_u64(row[i].v, to)};
		assert_str(have, row[i].text);
	}
	for (uint64_t ten = 10; ten <= UINT64_MAX / 10; ten *= 10) {
		for (int i = -1; i <= 1; i++) {
			char to[20], want[24];
			(void)snprintf(want, sizeof want, "%" PRIu64, ten + (uint64_t)i);
			assert_str(
			        ((struct hg_str){to, shortest_u64(ten + (uint64_t)i, to)}), want);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(values_are_written_as_prometheus_writes_them),
	        cmocka_unit_test(the_fast_way_gives_what_the_slow_way_gives),
	        cmocka_unit_test(whole_numbers_have_all_their_digits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
