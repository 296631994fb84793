#include "../test.h"

#include "wire/tracectx.h"

#define ID   "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define ZERO "00000000000000000000000000000000"

static void the_field_is_judged_by_the_letter(void **state)
{
	static const struct {
		const char *text;
		int flags; /* -1: refused */
	} row[] = {
	        {"00-" ID "-" SPAN "-01", 1},
	        {"00-" ID "-" SPAN "-00", 0},
	        {"00-" ID "-" SPAN "-03", 3},
	        {"00-" ID "-" SPAN "-02", 2},
	        {"00-" ID "-" SPAN "-09", 1}, /* flags nobody knows yet are forgotten */
	        {"00-" ID "-" SPAN "-ff", 3},
	        {"00-" ID "-" SPAN "-fc", 0},
	        /* later versions: what follows is theirs */
	        {"01-" ID "-" SPAN "-01", 1},
	        {"cc-" ID "-" SPAN "-01-what-the-future-will-be-like", 1},
	        {"fe-" ID "-" SPAN "-01-", 1},
	        {"01-" ID "-" SPAN "-01.more", -1},
	        {"01-" ID "-" SPAN "-011", -1},
	        /* not of this version */
	        {"00-" ID "-" SPAN "-01-", -1},
	        {"00-" ID "-" SPAN "-01-more", -1},
	        {"00-" ID "-" SPAN "-01 ", -1},
	        {" 00-" ID "-" SPAN "-01", -1},
	        {"ff-" ID "-" SPAN "-01", -1},
	        {"FF-" ID "-" SPAN "-01", -1},
	        {"0-" ID "-" SPAN "-01", -1},
	        {".0-" ID "-" SPAN "-01", -1},
	        {"0x-" ID "-" SPAN "-01", -1},
	        /* ids */
	        {"00-" ZERO "-" SPAN "-01", -1},
	        {"00-" ID "-0000000000000000-01", -1},
	        {"00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01", -1},
	        {"00-" ID "-00F067AA0BA902B7-01", -1},
	        {"00-4bf92f3577b34da6a3ce929d0e0e473g-" SPAN "-01", -1},
	        {"00-4bf92f3577b34da6a3ce929d0e0e47-" SPAN "-01", -1},
	        {"00-" ID "0-" SPAN "-01", -1},
	        {"00-" ID "-" SPAN "-0", -1},
	        {"00-" ID "-" SPAN "-0x", -1},
	        {"00-" ID "-" SPAN "-A1", -1},
	        {"00_" ID "-" SPAN "-01", -1},
	        {"00-" ID "_" SPAN "-01", -1},
	        {"00-" ID "-" SPAN "_01", -1},
	        {"", -1},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct tracectx c;
		bool ok = tracectx_read(hg_str(row[i].text), &c);
		if (ok != (row[i].flags >= 0)) fail_msg("row %zu: %s", i, row[i].text);
		if (!ok) continue;
		assert_int_equal(c.flags, row[i].flags);
		assert_memory_equal(c.trace, ID, 32);
		assert_memory_equal(c.span, SPAN, 16);
	}
}

static void no_part_of_a_field_is_a_field(void **state)
{
	static const char good[] = "00-" ID "-" SPAN "-01";
	struct tracectx c;
	(void)state;
	for (size_t n = 0; n < sizeof good - 1; n++)
		assert_false(tracectx_read((struct hg_str){good, n}, &c));
}

static void what_is_written_is_read_again(void **state)
{
	char text[TRACECTX_SIZE];
	(void)state;
	for (uint8_t flags = 0; flags < 4; flags++) {
		struct tracectx c = {.flags = flags}, back;
		memcpy(c.trace, ID, 32);
		memcpy(c.span, SPAN, 16);
		tracectx_write(&c, text);
		assert_true(tracectx_read((struct hg_str){text, sizeof text}, &back));
		assert_memory_equal(&c, &back, sizeof c);
	}
	tracectx_hex64(0x0123456789abcdefu, text);
	assert_memory_equal(text, "0123456789abcdef", 16);
	tracectx_hex64(0xf0e0d0c0b0a09080u, text);
	assert_memory_equal(text, "f0e0d0c0b0a09080", 16);
}

static void a_share_of_traces_is_drawn_and_everybody_draws_the_same(void **state)
{
	static const uint32_t ppm[] = {0, 1, 10000, 500000, 1000000};
	enum { N = 200000 };
	uint64_t x = 88172645463325252u;
	uint32_t kept[HG_COUNT(ppm)] = {0};
	char id[32];
	(void)state;
	for (int i = 0; i < N; i++) {
		bool before = false;
		for (int half = 0; half < 2; half++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			tracectx_hex64(x, id + 16 * half);
		}
		for (size_t k = 0; k < HG_COUNT(ppm); k++) {
			bool in = tracectx_drawn(id, ppm[k]);
			kept[k] += in;
			/* What a small share keeps, a larger one keeps too. */
			assert_true(in || !before);
			before = in;
		}
	}
	assert_int_equal(kept[0], 0);
	assert_int_equal(kept[4], N);
	assert_in_range(kept[2], N / 100 * 8 / 10, N / 100 * 12 / 10);
	assert_in_range(kept[3], N / 2 * 98 / 100, N / 2 * 102 / 100);
}

static void only_the_last_56_bits_are_asked(void **state)
{
	(void)state;
	assert_true(tracectx_drawn("ffffffffffffffffff00000000000000", 1));
	assert_false(tracectx_drawn("000000000000000000ffffffffffffff", 999999));
	assert_true(tracectx_drawn("000000000000000000ffffffffffffff", 1000000));
	assert_false(tracectx_drawn("00000000000000000080000000000000", 500000));
	assert_true(tracectx_drawn("0000000000000000007fffffffffffff", 500000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_field_is_judged_by_the_letter),
	        cmocka_unit_test(no_part_of_a_field_is_a_field),
	        cmocka_unit_test(what_is_written_is_read_again),
	        cmocka_unit_test(a_share_of_traces_is_drawn_and_everybody_draws_the_same),
	        cmocka_unit_test(only_the_last_56_bits_are_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
