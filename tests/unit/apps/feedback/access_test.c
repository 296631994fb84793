#include "tests/unit/test.h"

#include "apps/feedback/access.c"

static void roles_are_what_the_contract_says(void **state)
{
	static const struct {
		enum access_role role;
		const char *may, *may_not;
	} rows[] = {
	        {ACCESS_GUEST, "feedback:read", "feedback:create feedback:update:own audit:read"},
	        {ACCESS_USER,
	                "feedback:read feedback:create feedback:update:own feedback:delete:own",
	                "feedback:update feedback:delete feedback:status users:admin jobs:admin "
	                "audit:read exports:create"},
	        {ACCESS_ADMIN, "feedback:update feedback:delete users:admin jobs:admin audit:read",
	                ""},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		uint64_t bits = access_role_permissions(rows[i].role), may = 0, may_not = 0;
		assert_true(access_permissions_parse(hg_str(rows[i].may), &may));
		assert_true(access_permissions_parse(hg_str(rows[i].may_not), &may_not));
		assert_true((bits & may) == may);
		assert_true((bits & may_not) == 0);
	}
}

static void nobody_may_everything_read_or_nothing_by_the_mode(void **state)
{
	struct access_who off = access_nobody(ACCESS_OFF), some = access_nobody(ACCESS_OPTIONAL),
	                  none = access_nobody(ACCESS_REQUIRED);
	(void)state;
	assert_true(access_may(&off, ACCESS_FEEDBACK_CREATE));
	assert_true(access_may(&off, ACCESS_FEEDBACK_UPDATE));
	assert_true(access_may(&off, ACCESS_FEEDBACK_DELETE));
	assert_false(access_may(&off, ACCESS_JOBS_ADMIN));
	assert_false(access_may(&off, ACCESS_EXPORTS_CREATE));
	assert_true(access_may(&some, ACCESS_FEEDBACK_READ));
	assert_false(access_may(&some, ACCESS_FEEDBACK_CREATE));
	assert_true(none.permissions == 0);
	assert_true(access_operator().permissions == ACCESS_ALL);
}

static void lists_of_permissions_are_read_whole_or_not_at_all(void **state)
{
	uint64_t bits = 7;
	(void)state;
	assert_true(access_permissions_parse(HG_STR(" feedback:read,,audit:read "), &bits));
	assert_true(bits == (ACCESS_BIT(ACCESS_FEEDBACK_READ) | ACCESS_BIT(ACCESS_AUDIT_READ)));
	assert_true(access_permissions_parse(HG_STR(""), &bits));
	assert_true(bits == 0);
	bits = 7;
	assert_false(access_permissions_parse(HG_STR("feedback:read feedback:everything"), &bits));
	assert_false(access_permissions_parse(HG_STR("feedback"), &bits));
	assert_true(bits == 7);
}

static void cookies_and_bearers_are_found_whatever_stands_around_them(void **state)
{
	struct hg_str v;
	(void)state;
	assert_true(access_cookie(HG_STR("a=1; session=x=y ;b=2"), "session", &v));
	assert_str(v, "x=y");
	assert_true(access_cookie(HG_STR("session=1; session=2"), "session", &v));
	assert_str(v, "1");
	assert_false(access_cookie(HG_STR("xsession=1; sessionx=2; Session=3"), "session", &v));
	assert_false(access_cookie(HG_STR(""), "session", &v));
	assert_true(access_bearer(HG_STR("bearer  abc "), &v));
	assert_str(v, "abc");
	assert_false(access_bearer(HG_STR("Bearer"), &v));
	assert_false(access_bearer(HG_STR("Bearer "), &v));
	assert_false(access_bearer(HG_STR("Basic abc"), &v));
}

static void a_request_from_another_site_is_a_forgery(void **state)
{
	static const struct {
		enum http1_method method;
		const char *site, *origin, *host;
		bool forged;
	} rows[] = {
	        {HTTP1_POST, "same-origin", "", "a", false},
	        {HTTP1_POST, "none", "", "a", false},
	        {HTTP1_POST, "cross-site", "https://a", "a", true},
	        {HTTP1_POST, "same-site", "https://a", "a", true},
	        {HTTP1_PUT, "anything", "", "a", true},
	        {HTTP1_GET, "cross-site", "https://evil", "a", false},
	        {HTTP1_POST, "", "https://a", "a", false},
	        {HTTP1_POST, "", "https://A:443", "a", false},
	        {HTTP1_POST, "", "http://a", "a:80", false},
	        {HTTP1_POST, "", "http://a:8090", "a:8090", false},
	        {HTTP1_POST, "", "https://a:80", "a", true},
	        {HTTP1_POST, "", "https://a.evil", "a", true},
	        {HTTP1_POST, "", "https://evil/https://a", "a", true},
	        {HTTP1_POST, "", "null", "a", true},
	        {HTTP1_POST, "", "https://", "", true},
	        {HTTP1_DELETE, "", "a", "a", true},
	        {HTTP1_DELETE, "", "", "a", false},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct access_origin o = {rows[i].method, hg_str(rows[i].site),
		        hg_str(rows[i].origin), hg_str(rows[i].host)};
		if ((access_forged(&o) != NULL) != rows[i].forged) fail_msg("row %zu", i);
	}
}

static void only_this_machine_is_loopback(void **state)
{
	static const char *const yes[] = {
	        "localhost", "LOCALHOST:8090", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8090"};
	static const char *const no[] = {"", "example.org", "localhost.evil", "127.0.0.1.evil",
	        "[::1].evil", "[::2]", "10.0.0.1", "xlocalhost", "localhost:x@evil",
	        "localhost@evil", "localhost:"};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(yes); i++)
		if (!access_is_loopback(hg_str(yes[i]))) fail_msg("%s", yes[i]);
	for (size_t i = 0; i < HG_COUNT(no); i++)
		if (access_is_loopback(hg_str(no[i]))) fail_msg("%s", no[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(roles_are_what_the_contract_says),
	        cmocka_unit_test(nobody_may_everything_read_or_nothing_by_the_mode),
	        cmocka_unit_test(lists_of_permissions_are_read_whole_or_not_at_all),
	        cmocka_unit_test(cookies_and_bearers_are_found_whatever_stands_around_them),
	        cmocka_unit_test(a_request_from_another_site_is_a_forgery),
	        cmocka_unit_test(only_this_machine_is_loopback),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
