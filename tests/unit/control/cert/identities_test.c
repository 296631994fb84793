#include "../../test.h"

#include "control/cert/identities_priv.h"
#include "redis/redis.h"

static void a_set_is_read_when_it_is_due_or_unknown_keys_come(void **state)
{
	static const struct {
		const char *what;
		uint64_t tried_ms, due_ms, unknown_then, unknown, now_ms;
		bool want;
	} row[] = {
	        {"never read", 0, 0, 0, 0, 5, true},
	        {"fresh", 1000, 60000, 0, 0, 2000, false},
	        {"due", 1000, 60000, 0, 0, 60000, true},
	        {"an unknown key, too soon", 1000, 3600000, 4, 5, 300999, false},
	        {"an unknown key, five minutes later", 1000, 3600000, 4, 5, 301000, true},
	        {"none since", 1000, 3600000, 5, 5, 900000, false},
	        {"counted from nothing after a new meter", 1000, 3600000, 5, 1, 900000, false},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct identity_one o = {.url = true,
		        .tried_ms = row[i].tried_ms,
		        .due_ms = row[i].due_ms,
		        .unknown = row[i].unknown_then,
		        .refetch_ms = 300000};
		if (identity_due(&o, row[i].unknown, row[i].now_ms) != row[i].want)
			fail_msg("%s", row[i].what);
		/* Files, and what is under way, never are. */
		o.call = (struct fetch_call *)&o;
		assert_false(identity_due(&o, row[i].unknown, row[i].now_ms));
		o.call = NULL;
		o.url = false;
		assert_false(identity_due(&o, row[i].unknown, row[i].now_ms));
	}
}

static void cache_control_says_how_long_within_bounds(void **state)
{
	static const struct {
		const char *text;
		uint64_t want;
	} row[] = {
	        {"", 777},
	        {"public", 777},
	        {"max-age=600", 600000},
	        {"public, Max-Age=600, must-revalidate", 600000},
	        {"max-age=0", 60000},
	        {"max-age=1", 60000},
	        {"max-age=999999999999", 86400000},
	        {"max-age=18446744073709551615", 86400000},
	        {"max-age=-5", 777},
	        {"no-store", 60000},
	        {"no-cache, max-age=600", 60000},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++)
		if (identity_fresh_ms(hg_str(row[i].text), 777) != row[i].want)
			fail_msg("%s", row[i].text);
}

static void texts_are_checked_before_they_are_used(void **state)
{
	static const char ed[] =
	        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
	        "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
	static const char oct[] = "{\"keys\":[{\"kty\":\"oct\",\"k\":"
	                          "\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}]}";
	static const char secret[] = "0123456789abcdef0123456789abcdef\n";
	static const struct {
		const char *text;
		bool secret, secrets;
		uint32_t keys;
		enum hg_rc want;
	} row[] = {
	        {NULL, false, false, 0, HG_OK},
	        {ed, false, false, 1, HG_OK},
	        /* A secret behind an address is everybody's. */
	        {oct, false, false, 0, HG_E_KEY_FILE},
	        {oct, false, true, 1, HG_OK},
	        {secret, true, false, 1, HG_OK},
	        {"short\n", true, false, 0, HG_E_KEY_FILE},
	        {"<html>", false, false, 0, HG_E_KEY_FILE},
	        {"-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n", false, false, 0,
	                HG_E_KEY_FILE},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct hg_err err = {0};
		char app[] = "shop", source[] = "/x";
		struct identity_one o = {.app = app, .source = source, .secret = row[i].secret};
		o.doc = json_pack("{s:s,s:{s:s,s:b}}", "app", "shop", "jwt", "issuer", "me",
		        "secrets", row[i].secrets);
		enum hg_rc rc = identity_text_check(&o, row[i].text, &err);
		if (rc != row[i].want || o.keys != row[i].keys)
			fail_msg("row %zu: %s", i, err.message);
		if (rc < 0) assert_null(strstr(err.message, "0123456789"));
		json_decref(o.doc);
	}
}

/* What the edge is told of the Redis of rate limits: an address that the client takes. */
static void a_password_goes_into_the_address_whatever_is_in_it(void **state)
{
	static const struct {
		const char *redis, *user, *password, *want;
	} row[] = {
	        {"redis://h:1/2", "", NULL, "redis://h:1/2"},
	        {"redis://h:1/2", "", "p w@/:%\n", "redis://:p%20w%40%2F%3A%25@h:1/2"},
	        {"redis://[::1]", "me", "x\r\n", "redis://me:x@[::1]"},
	        {"unix:/run/r@d?db=1", "", NULL, "unix:/run/r@d?db=1"},
	        {"unix:/run/r.sock?db=1", "me", "x", "redis+unix://me:x@/run/r.sock?db=1"},
	        {"unix:///run/r.sock", "", "x", "redis+unix://:x@/run/r.sock"},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct identities d = {0};
		struct identities_plan p = {0};
		struct hg_err err = {0};
		const char *text = row[i].password ? row[i].password : "";
		struct certs_given given = {.cert = HG_STR("jwt:pw"), .chain = hg_str(text)};
		struct identity_finding f = {"/nowhere", "/nowhere", &given, 1};
		struct spec s = {.project = HG_STR("shop")};
		s.edge.rate_limits.set = true;
		s.edge.rate_limits.redis = hg_str(row[i].redis);
		s.edge.rate_limits.user = hg_str(row[i].user);
		s.edge.rate_limits.timeout_ms = 7;
		if (row[i].password) s.edge.rate_limits.password_file = HG_STR("pw");
		assert_int_equal(identities_rates_check(&d, &s, &f, &p, &err), HG_OK);
		const char *url = json_string_value(json_object_get(p.rates, "redis"));
		assert_string_equal(url, row[i].want);
		assert_null(redis_url_wrong(url));
		const char *secret = json_string_value(json_object_get(p.rates, "secret"));
		assert_int_equal(strncmp(secret, "shop\n", 5), 0);
		assert_int_equal(strlen(secret) > 5, row[i].password != NULL);
		assert_int_equal(json_integer_value(json_object_get(p.rates, "timeout_ms")), 7);
		identity_one_free(p.rates_password);
		json_decref(p.rates);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_set_is_read_when_it_is_due_or_unknown_keys_come),
	        cmocka_unit_test(cache_control_says_how_long_within_bounds),
	        cmocka_unit_test(texts_are_checked_before_they_are_used),
	        cmocka_unit_test(a_password_goes_into_the_address_whatever_is_in_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
