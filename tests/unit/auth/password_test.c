#include "tests/unit/test.h"

#include "auth/password.c"

static void a_password_is_known_again_and_no_other_is(void **state)
{
	static const uint8_t salt[PASSWORD_SALT] = "0123456789abcde";
	char kept[PASSWORD_TEXT_MAX], other[PASSWORD_TEXT_MAX];
	bool good = false;
	(void)state;
	assert_int_equal(password_ready(NULL), HG_OK);
	assert_int_equal(password_hash(HG_STR("correct horse"), salt, kept), HG_OK);
	assert_true(hg_str_starts(hg_str(kept), HG_STR("$argon2id$v=19$m=19456,t=2,p=1$")));
	assert_null(strstr(kept, "correct"));
	assert_int_equal(password_verify(kept, HG_STR("correct horse"), &good), HG_OK);
	assert_true(good);
	assert_int_equal(password_verify(kept, HG_STR("correct horsf"), &good), HG_OK);
	assert_false(good);
	assert_int_equal(password_verify(kept, HG_STR(""), &good), HG_OK);
	assert_false(good);
	assert_int_equal(
	        password_hash(HG_STR("correct horse"), (const uint8_t *)"another salt 123", other),
	        HG_OK);
	assert_string_not_equal(kept, other);
	assert_false(password_outdated(kept));
}

static void what_is_no_hash_is_nobodys_password(void **state)
{
	bool good = false;
	(void)state;
	assert_true(password_verify("", HG_STR("x"), &good) < 0 || !good);
	assert_true(
	        password_verify("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ", HG_STR("x"), &good) < 0 ||
	        !good);
	assert_false(good);
	assert_true(password_outdated("$argon2id$v=19$m=4096,t=3,p=1$c2FsdHNhbHQ$aGFzaA"));
}

static void a_hash_of_the_reference_program_is_understood(void **state)
{
	/* printf password | argon2 somesalt -id -t 2 -k 256 -p 1 -e */
	static const char kept[] = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$"
	                           "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
	bool good = false;
	(void)state;
	assert_int_equal(password_verify(kept, HG_STR("password"), &good), HG_OK);
	assert_true(good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_password_is_known_again_and_no_other_is),
	        cmocka_unit_test(what_is_no_hash_is_nobodys_password),
	        cmocka_unit_test(a_hash_of_the_reference_program_is_understood),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
