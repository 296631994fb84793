#include "tests/unit/test.h"

#include "apps/feedback/oidc.c"

static const char *check(const char *json, struct oidc_person *to)
{
	struct jwt_claims c = {.all = json_loads(json, 0, NULL)};
	const json_t *sub = json_object_get(c.all, "sub");
	assert_non_null(c.all);
	c.subject = (struct hg_str){json_string_value(sub), json_string_length(sub)};
	const char *wrong =
	        oidc_person_of(&c, HG_STR("me"), HG_STR("n1"), HG_STR("realm.roles"), to);
	json_decref(c.all);
	return wrong;
}

static void a_token_is_for_this_sign_in_and_this_client_alone(void **state)
{
	static const char *const bad[] = {
	        "{\"sub\":\"a\",\"aud\":\"me\"}",
	        "{\"sub\":\"a\",\"aud\":\"me\",\"nonce\":\"n2\"}",
	        "{\"sub\":\"a\",\"aud\":\"me\",\"nonce\":\"n1 \"}",
	        "{\"sub\":\"a\",\"aud\":\"me\",\"nonce\":[\"n1\"]}",
	        "{\"sub\":\"a\",\"aud\":[\"me\",\"x\"],\"nonce\":\"n1\"}",
	        "{\"sub\":\"a\",\"aud\":[\"me\",\"x\"],\"azp\":\"x\",\"nonce\":\"n1\"}",
	        "{\"sub\":\"a\",\"aud\":\"me\",\"azp\":\"x\",\"nonce\":\"n1\"}",
	        "{\"sub\":\"a\",\"aud\":\"me\",\"azp\":5,\"nonce\":\"n1\"}",
	        "{\"aud\":\"me\",\"nonce\":\"n1\"}",
	};
	static const char *const good[] = {
	        "{\"sub\":\"a\",\"aud\":\"me\",\"nonce\":\"n1\"}",
	        "{\"sub\":\"a\",\"aud\":[\"me\"],\"nonce\":\"n1\"}",
	        "{\"sub\":\"a\",\"aud\":[\"me\",\"x\"],\"azp\":\"me\",\"nonce\":\"n1\"}",
	};
	struct oidc_person p;
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		if (!check(bad[i], &p)) fail_msg("%s", bad[i]);
	for (size_t i = 0; i < HG_COUNT(good); i++)
		if (check(good[i], &p)) fail_msg("%s: %s", good[i], check(good[i], &p));
	assert_string_equal(p.subject, "a");
}

#define BASE "\"sub\":\"a\",\"aud\":\"me\",\"nonce\":\"n1\""

static void addresses_count_unless_the_provider_doubts_them(void **state)
{
	struct oidc_person p;
	(void)state;
	assert_null(check("{" BASE ",\"email\":\"A@B\",\"email_verified\":true}", &p));
	assert_string_equal(p.email, "a@b");
	assert_true(p.verified);
	assert_null(check("{" BASE ",\"email\":\"a@b\"}", &p));
	assert_string_equal(p.email, "a@b");
	assert_false(p.verified);
	assert_null(check("{" BASE ",\"email\":\"a@b\",\"email_verified\":false}", &p));
	assert_string_equal(p.email, "");
	assert_null(check("{" BASE ",\"email\":\"a@b\",\"email_verified\":\"true\"}", &p));
	assert_false(p.verified);
	assert_null(check("{" BASE ",\"email\":\"nobody\"}", &p));
	assert_string_equal(p.email, "");
}

static void the_most_that_the_claim_names_is_the_role(void **state)
{
	struct oidc_person p;
	(void)state;
	assert_null(check("{" BASE "}", &p));
	assert_false(p.has_role);
	assert_int_equal(p.role, ACCESS_USER);
	assert_null(check("{" BASE ",\"realm\":{\"roles\":[\"guest\",\"admin\",\"x\",5]}}", &p));
	assert_true(p.has_role);
	assert_int_equal(p.role, ACCESS_ADMIN);
	assert_null(check("{" BASE ",\"realm.roles\":\"guest\"}", &p));
	assert_true(p.has_role);
	assert_int_equal(p.role, ACCESS_GUEST);
	assert_null(check("{" BASE ",\"realm\":{\"roles\":[\"Admin\",\"root\"]}}", &p));
	assert_false(p.has_role);
}

static void codes_go_nowhere_in_the_clear_but_to_this_machine(void **state)
{
	(void)state;
	assert_true(is_safe(HG_STR("https://id.example.org/token")));
	assert_true(is_safe(HG_STR("http://127.0.0.1:3000/token")));
	assert_true(is_safe(HG_STR("http://localhost/token")));
	assert_false(is_safe(HG_STR("http://id.example.org/token")));
	assert_false(is_safe(HG_STR("http://localhost.evil/token")));
	assert_false(is_safe(HG_STR("http://localhost@evil/token")));
	assert_false(is_safe(HG_STR("http://localhost:x@evil/token")));
	assert_false(is_safe(HG_STR("file:///etc/passwd")));
	assert_false(is_safe(HG_STR("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_token_is_for_this_sign_in_and_this_client_alone),
	        cmocka_unit_test(addresses_count_unless_the_provider_doubts_them),
	        cmocka_unit_test(the_most_that_the_claim_names_is_the_role),
	        cmocka_unit_test(codes_go_nowhere_in_the_clear_but_to_this_machine),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
