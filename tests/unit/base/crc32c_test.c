#include "tests/unit/test.h"

#include "base/crc32c.c"

/* RFC 3720 appendix B.4. */
static void test_known_answers(void **state)
{
	(void)state;
	unsigned char b[32];
	memset(b, 0, sizeof b);
	assert_int_equal(hg_crc32c(0, b, 32), 0x8a9136aa);
	memset(b, 0xff, sizeof b);
	assert_int_equal(hg_crc32c(0, b, 32), 0x62a8ab43);
	for (unsigned i = 0; i < 32; i++)
		b[i] = (unsigned char)i;
	assert_int_equal(hg_crc32c(0, b, 32), 0x46dd794e);
	assert_int_equal(hg_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(hg_crc32c(0, b, 0), 0);
}

static void test_pieces_table_and_machine_agree_with_the_whole(void **state)
{
	(void)state;
	unsigned char b[100];
	for (unsigned i = 0; i < sizeof b; i++)
		b[i] = (unsigned char)(i * 7);
	uint32_t whole = hg_crc32c(0, b, sizeof b);
	for (size_t cut = 0; cut <= sizeof b; cut++)
		assert_int_equal(hg_crc32c(hg_crc32c(0, b, cut), b + cut, sizeof b - cut), whole);
	assert_int_equal(~crc_bytes(~0u, b, sizeof b), whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_known_answers),
	        cmocka_unit_test(test_pieces_table_and_machine_agree_with_the_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
