#include "tests/unit/test.h"

#include "auth/totp.c"

static const struct hg_str rfc = {"12345678901234567890", 20};

static void codes_are_those_of_the_rfc(void **state)
{
	static const struct {
		uint64_t at_s;
		uint32_t code;
	} rows[] = {{59, 94287082}, {1111111109, 7081804}, {1111111111, 14050471},
	        {1234567890, 89005924}, {2000000000, 69279037}, {20000000000, 65353130}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		uint32_t code = 0;
		assert_true(totp_code(rfc, rows[i].at_s / 30, 8, &code));
		assert_int_equal(code, rows[i].code);
		assert_true(totp_code(rfc, rows[i].at_s / 30, 6, &code));
		assert_int_equal(code, rows[i].code % 1000000);
	}
}

static void one_step_before_and_after_is_taken_each_once(void **state)
{
	const uint64_t now = 59; /* step 1; its code is 287082 */
	(void)state;
	assert_int_equal(totp_match(rfc, HG_STR("287082"), now, 0), 1);
	assert_int_equal(totp_match(rfc, HG_STR("287082"), now + 30, 0), 1);
	assert_int_equal(totp_match(rfc, HG_STR("287082"), now + 60, 0), 0);
	assert_int_equal(totp_match(rfc, HG_STR("287082"), now - 30, 0), 1);
	/* used, or older than one that was */
	assert_int_equal(totp_match(rfc, HG_STR("287082"), now, 1), 0);
	assert_int_equal(totp_match(rfc, HG_STR("287082"), now, 2), 0);
	/* the RFC's step 37037036 is the one before 37037037 */
	assert_int_equal(totp_match(rfc, HG_STR("081804"), 1111111111, 0), 37037036);
	assert_int_equal(totp_match(rfc, HG_STR("050471"), 1111111111, 37037036), 37037037);
}

static void only_six_digits_are_a_code(void **state)
{
	(void)state;
	assert_int_equal(totp_match(rfc, HG_STR("94287082"), 59, 0), 0);
	assert_int_equal(totp_match(rfc, HG_STR("28708"), 59, 0), 0);
	assert_int_equal(totp_match(rfc, HG_STR("28708x"), 59, 0), 0);
	assert_int_equal(totp_match(rfc, HG_STR("+87082"), 59, 0), 0);
	assert_int_equal(totp_match(rfc, HG_STR(""), 59, 0), 0);
	assert_int_equal(totp_match(rfc, HG_STR("287083"), 59, 0), 0);
}

static void secrets_are_shown_in_base_32(void **state)
{
	/* RFC 4648 section 10, without padding */
	static const char *const rows[][2] = {{"", ""}, {"f", "MY"}, {"fo", "MZXQ"},
	        {"foo", "MZXW6"}, {"foob", "MZXW6YQ"}, {"fooba", "MZXW6YTB"},
	        {"foobar", "MZXW6YTBOI"}};
	struct hg_buf b;
	(void)state;
	hg_buf_init(&b, 1000);
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		hg_buf_reset(&b);
		totp_base32(hg_str(rows[i][0]), &b);
		assert_str(hg_buf_view(&b), rows[i][1]);
	}
	hg_buf_reset(&b);
	totp_uri(HG_STR("Feedback App"), HG_STR("a+b@example.org"), rfc, &b);
	assert_str(hg_buf_view(&b),
	        "otpauth://totp/Feedback%20App:a%2Bb@example.org?secret="
	        "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Feedback%20App&algorithm=SHA1&digits=6"
	        "&period=30");
	hg_buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(codes_are_those_of_the_rfc),
	        cmocka_unit_test(one_step_before_and_after_is_taken_each_once),
	        cmocka_unit_test(only_six_digits_are_a_code),
	        cmocka_unit_test(secrets_are_shown_in_base_32),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
