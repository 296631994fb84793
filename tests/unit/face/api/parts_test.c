#include "../../test.h"

#include <stdlib.h>

/* The parts that need no server: included, so that static functions are tested as they are. */
#include "face/api/api_priv.h"
#include "gen/api_routes.h"

/* Stand-ins for the doors below: what is tested here calls none of them. */
#include "fakes.h"

static void only_literal_and_local_host_names_are_answered(void **s)
{
	static const struct {
		const char *host;
		bool allowed;
	} rows[] = {{"127.0.0.1:4323", true}, {"10.0.0.7", true}, {"[::1]:4323", true},
	        {"localhost", true}, {"LOCALHOST:1", true}, {"app.localhost:80", true},
	        {"localhost.", true}, {"evil.example", false}, {"localhost.evil.example", false},
	        {"evillocalhost", false}, {"127.0.0.1.evil.example", false}, {"", false},
	        {"1.2.3", false}, {".localhost", false}, {"[::1", false}, {"[::1]x", false}};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		print_message("# \"%s\"\n", rows[i].host);
		assert_int_equal(api_host_allowed(hg_str(rows[i].host)), rows[i].allowed);
	}
}

static void a_problem_has_the_members_of_rfc_9457_and_the_code(void **s)
{
	struct hg_err e = {0};
	(void)s;
	hg_err_set(&e, HG_E_API_NO_ROUTE, "there is no \"%s\"", "/x");
	hg_err_hint(&e, "Look at /v1/openapi.json.");
	hg_err_place(&e, "headgate.yaml", 7, 5);
	json_t *j = api_problem_json(&e);
	assert_string_equal(
	        json_string_value(json_object_get(j, "type")), "urn:headgate:error:HG1610");
	assert_int_equal(json_integer_value(json_object_get(j, "status")), 404);
	assert_string_equal(json_string_value(json_object_get(j, "code")), "HG1610");
	assert_string_equal(json_string_value(json_object_get(j, "detail")), "there is no \"/x\"");
	assert_non_null(json_string_value(json_object_get(j, "title")));
	assert_int_equal(
	        json_integer_value(json_object_get(json_object_get(j, "place"), "line")), 7);
	json_decref(j);
}

static void the_openapi_document_lists_every_route(void **s)
{
	json_error_t je;
	(void)s;
	json_t *doc = json_loadb(api_openapi, sizeof api_openapi - 1, JSON_REJECT_DUPLICATES, &je);
	assert_non_null(doc);
	json_t *paths = json_object_get(doc, "paths");
	for (size_t i = 0; i < HG_COUNT(api_routes); i++) {
		char method[16] = "";
		const char *name = http1_method_name(api_routes[i].method);
		for (size_t k = 0; name[k] && k < 15; k++)
			method[k] = (char)(name[k] | 0x20);
		json_t *op = json_object_get(json_object_get(paths, api_routes[i].path), method);
		assert_non_null(op);
		assert_string_equal(json_string_value(json_object_get(op, "x-role")),
		        api_role_name(api_routes[i].role));
	}
	assert_true(json_object_size(paths) >= 14);
	json_decref(doc);
}

static void a_token_is_long_random_and_found_by_its_hash(void **s)
{
	char a[API_TOKEN_TEXT], b[API_TOKEN_TEXT];
	uint8_t hash_a[32], hash_b[32], again[32];
	(void)s;
	assert_int_equal(api_token_make("hgt_", a, hash_a, NULL), HG_OK);
	assert_int_equal(api_token_make("hgt_", b, hash_b, NULL), HG_OK);
	assert_int_equal(strlen(a), 68);
	assert_memory_not_equal(hash_a, hash_b, 32);
	api_token_hash(hg_str(a), again);
	assert_memory_equal(hash_a, again, 32);
	/* FIPS 180-4, the hash of "abc" begins so. */
	api_token_hash(HG_STR("abc"), again);
	assert_memory_equal(again, "\xba\x78\x16\xbf\x8f\x01\xcf\xea", 8);
}

static void roles_are_ordered_and_named(void **s)
{
	enum api_role role = API_NONE;
	(void)s;
	assert_true(API_NONE < API_VIEWER && API_VIEWER < API_DEPLOYER && API_DEPLOYER < API_ADMIN);
	assert_true(api_role_parse("deployer", &role) && role == API_DEPLOYER);
	assert_false(api_role_parse("none", &role));
	assert_false(api_role_parse("root", &role));
}

static enum hg_rc read_config(const char *json, struct api_config *ret_c, struct hg_err *err)
{
	static struct hg_arena mem;
	hg_arena_fini(&mem);
	hg_arena_init(&mem, "test", 1u << 20);
	memset(err, 0, sizeof *err);
	return api_config_parse(&mem, hg_str(json), ret_c, err);
}

static void the_configuration_document_is_read_strictly(void **s)
{
	struct api_config c;
	struct hg_err e;
	(void)s;
	assert_int_equal(read_config("{\"text\":\"app: a\\n\",\"file\":\"h.yaml\",\"dir\":\"/srv\","
	                             "\"environment\":\"staging\",\"dry_run\":true}",
	                         &c, &e),
	        HG_OK);
	assert_str(c.text, "app: a\n");
	assert_str(c.dir, "/srv");
	assert_str(c.environment, "staging");
	assert_true(c.dry_run);
	static const char *const bad[] = {"", "[]", "{}", "{\"text\":1}", "null",
	        "{\"text\":\"a\",\"file\":\"b\",\"dir\":\"relative\"}",
	        "{\"text\":\"a\",\"file\":\"b\",\"dir\":\"/\",\"extra\":1}",
	        "{\"text\":\"a\\u0000b\",\"file\":\"b\",\"dir\":\"/\"}",
	        "{\"text\":\"a\",\"text\":\"b\",\"file\":\"b\",\"dir\":\"/\"}"};
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		assert_int_equal(read_config(bad[i], &c, &e), HG_E_API_BODY);
		assert_true(e.message[0]);
	}
	read_config("[]", &c, &e);
}

static void rates_are_differences_and_never_negative(void **s)
{
	struct api_point from = {.at_ms = 1000, .total = 100, .errors = 10},
	                 to = {.at_ms = 3000, .total = 300, .errors = 60};
	(void)s;
	from.bucket[3] = 100;
	to.bucket[3] = 300;
	struct api_now now = api_rate_between(&from, &to);
	assert_float_equal(now.rate, 100, 1e-9);
	assert_float_equal(now.error_ratio, 0.25, 1e-9);
	assert_true(now.p95_s > meter_bounds[2] && now.p95_s <= meter_bounds[3]);
	to.total = 20; /* the lane was handed out again */
	now = api_rate_between(&from, &to);
	assert_float_equal(now.rate, 10, 1e-9);
	now = api_rate_between(&from, &from);
	assert_float_equal(now.rate, 0, 1e-9);
	assert_true(now.error_ratio < 0 && now.p95_s < 0);
}

static void a_quantile_is_interpolated_inside_its_bucket(void **s)
{
	uint64_t bucket[METER_BUCKETS] = {0};
	(void)s;
	assert_true(meter_quantile(bucket, 0.95) < 0);
	bucket[5] = 100;
	double half = meter_quantile(bucket, 0.5);
	assert_float_equal(half, (meter_bounds[4] + meter_bounds[5]) / 2, 1e-9);
	bucket[5] = 0;
	bucket[METER_BUCKETS - 1] = 1;
	assert_float_equal(meter_quantile(bucket, 0.5), meter_bounds[METER_BUCKETS - 2], 1e-9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(only_literal_and_local_host_names_are_answered),
	        cmocka_unit_test(a_problem_has_the_members_of_rfc_9457_and_the_code),
	        cmocka_unit_test(the_openapi_document_lists_every_route),
	        cmocka_unit_test(a_token_is_long_random_and_found_by_its_hash),
	        cmocka_unit_test(roles_are_ordered_and_named),
	        cmocka_unit_test(the_configuration_document_is_read_strictly),
	        cmocka_unit_test(rates_are_differences_and_never_negative),
	        cmocka_unit_test(a_quantile_is_interpolated_inside_its_bucket),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
