#include "../test.h"

#include "wire/md5.h"

/* RFC 1321, appendix A.5, and lengths around the ends of blocks (md5sum). */
static void sums_are_those_of_the_rfc(void **s)
{
	static const struct {
		const char *text, *want;
	} row[] = {
	        {"", "d41d8cd98f00b204e9800998ecf8427e"},
	        {"a", "0cc175b9c0f1b6a831c399e269772661"},
	        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
	        {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
	        {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
	        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
	                "d174ab98d277d9f5a5611c2c9f419d9f"},
	        {"1234567890123456789012345678901234567890123456789012345678901234567890123456789"
	         "0",
	                "57edf4a22be3c955ac49da2e2107b67a"},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		uint8_t sum[16];
		char text[33] = "";
		md5(hg_str(row[i].text), sum);
		for (size_t k = 0; k < 16; k++) {
			text[k * 2] = "0123456789abcdef"[sum[k] >> 4];
			text[k * 2 + 1] = "0123456789abcdef"[sum[k] & 15];
		}
		assert_string_equal(text, row[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(sums_are_those_of_the_rfc)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
