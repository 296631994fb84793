#include "../test.h"

#include "wire/origin.h"

static void a_rule_is_an_origin_as_browsers_write_it(void **state)
{
	static const char *const good[] = {"https://app.example.com", "http://localhost:3000",
	        "https://*.example.com", "https://*.example.com:8443", "http://[::1]:5173",
	        "capacitor://localhost", "https://a_b.example"};
	static const char *const bad[] = {"", "null", "app.example.com", "https://",
	        "https://App.example.com", "https://app.example.com/", "https://app.example.com/x",
	        "https://app.example.com:443", "http://app.example.com:80",
	        "https://app.example.com:0", "https://app.example.com:65536",
	        "https://app.example.com:x", "https://*", "https://*example.com",
	        "https://a.*.example.com", "https://.example.com", "https://*..com", "https://a b",
	        "https://user@example.com", "https://example.com?x", "://x"};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(good); i++)
		if (origin_rule_check(hg_str(good[i]))) fail_msg("refused: %s", good[i]);
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		if (!origin_rule_check(hg_str(bad[i]))) fail_msg("taken: %s", bad[i]);
}

/* What attackers send to get past prefixes, suffixes and patterns. */
static void an_origin_is_allowed_only_as_a_whole(void **state)
{
	static const char rules[] = "https://app.example.com\nhttps://*.example.org\n"
	                            "http://localhost:3000\n";
	static const char *const yes[] = {"https://app.example.com", "https://a.example.org",
	        "https://a.b.example.org", "http://localhost:3000"};
	static const char *const no[] = {"", "null", "https://app.example.com.evil.net",
	        "https://evil-app.example.com", "http://app.example.com",
	        "https://app.example.com:8443", "https://APP.example.com", "https://example.org",
	        "https://.example.org", "https://evilexample.org", "https://a.example.org.evil.net",
	        "https://evil.net/.example.org", "https://evil.net#.example.org",
	        "https://evil.net?.example.org", "https://evil.net\\.example.org",
	        "https://user@evil.example.org", "https://evil.net:80.example.org",
	        "https://a.example.org:80", "http://a.example.org", "http://localhost:30000",
	        "https://app.example.com\nhttps://evil.net", "https://app.example.com "};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(yes); i++)
		if (!origin_allowed(hg_str(rules), hg_str(yes[i]))) fail_msg("refused: %s", yes[i]);
	for (size_t i = 0; i < HG_COUNT(no); i++)
		if (origin_allowed(hg_str(rules), hg_str(no[i]))) fail_msg("allowed: %s", no[i]);
	char longest[ORIGIN_MAX + 20] = "https://";
	memset(longest + 8, 'a', ORIGIN_MAX);
	memcpy(longest + ORIGIN_MAX - 11, ".example.org", 12);
	assert_false(origin_allowed(hg_str(rules), (struct hg_str){longest, ORIGIN_MAX + 1}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_rule_is_an_origin_as_browsers_write_it),
	        cmocka_unit_test(an_origin_is_allowed_only_as_a_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
