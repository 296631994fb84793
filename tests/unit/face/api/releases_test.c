#include "../../test.h"

#include "world.h"

#include "face/api/release_diff.c"

static void has(const json_t *list, size_t at, const char *what, const char *change,
        const char *was, const char *now)
{
	const json_t *c = json_array_get(list, at);
	assert_non_null(c);
	print_message("# %s\n", json_string_value(json_object_get(c, "what")));
	assert_string_equal(json_string_value(json_object_get(c, "what")), what);
	assert_string_equal(json_string_value(json_object_get(c, "change")), change);
	const json_t *a = json_object_get(c, "old"), *b = json_object_get(c, "new");
	assert_true(
	        was ? json_is_string(a) && !strcmp(json_string_value(a), was) : json_is_null(a));
	assert_true(
	        now ? json_is_string(b) && !strcmp(json_string_value(b), now) : json_is_null(b));
}

static json_t *diff_of(const char *was, const char *now, bool open, json_t **ret_lines)
{
	json_t *a = json_loads(was, 0, NULL), *b = json_loads(now, 0, NULL);
	assert_non_null(a);
	assert_non_null(b);
	*ret_lines = json_array();
	json_t *changes = api_release_diff(a, b, open, *ret_lines);
	assert_int_equal(json_array_size(changes), json_array_size(*ret_lines));
	json_decref(a);
	json_decref(b);
	return changes;
}

#define OLD                                                                                \
	"{\"command\":\"./a\",\"dir\":\"/x\",\"path\":\"/1\",\"source\":\"/s\",\"uid\":7," \
	"\"flags\":1,\"artifact\":\"sha256:1\",\"writable\":[\"/x/d\"],"                   \
	"\"env\":{\"B\":\"1\",\"GONE\":\"g\",\"SAME\":\"s\"},\"memory_max\":268435456}"
#define NEW                                                                                \
	"{\"command\":\"./b\",\"dir\":\"/x\",\"path\":\"/2\",\"source\":\"/t\",\"uid\":7," \
	"\"flags\":3,\"artifact\":\"sha256:2\",\"writable\":[\"/x/d\"],"                   \
	"\"env\":{\"SAME\":\"s\",\"B\":\"2\",\"A\":\"\"},\"cpu_max_milli\":1500,\"http2\":true}"

static void an_admin_sees_what_changed_in_the_words_of_the_configuration(void **s)
{
	json_t *lines, *d = diff_of(OLD, NEW, true, &lines);
	(void)s;
	has(d, 0, "artifact", "changed", "sha256:1", "sha256:2");
	has(d, 1, "command", "changed", "./a", "./b");
	has(d, 2, "resources.limits.memory", "removed", "256MiB", NULL);
	has(d, 3, "resources.limits.cpu", "added", NULL, "1.5");
	has(d, 4, "sandbox.private_tmp", "changed", "false", "true");
	has(d, 5, "upstream.protocol", "changed", "http1", "http2");
	has(d, 6, "env.A", "added", NULL, "");
	has(d, 7, "env.B", "changed", "1", "2");
	has(d, 8, "env.GONE", "removed", "g", NULL);
	assert_int_equal(json_array_size(d), 9);
	assert_string_equal(json_string_value(json_array_get(lines, 1)), "~ command: ./a → ./b");
	assert_string_equal(json_string_value(json_array_get(lines, 8)), "- env.GONE: g");
	json_decref(d);
	json_decref(lines);
	d = diff_of(OLD, OLD, true, &lines);
	assert_int_equal(json_array_size(d), 0);
	json_decref(d);
	json_decref(lines);
}

static void others_see_that_it_changed_and_no_value_of_it(void **s)
{
	static const char was[] = "{\"command\":\"./a --key s3cret\",\"dir\":\"/s3cret\","
	                          "\"writable\":[\"/s3cret\"],\"flags\":0,\"later\":\"s3cret\","
	                          "\"env\":{\"A\":\"s3cret\",\"B\":\"s3cret\"}}";
	static const char now[] = "{\"command\":\"./b --key s3cret2\",\"dir\":\"/s3cret2\","
	                          "\"writable\":[\"/s3cret2\"],\"flags\":0,"
	                          "\"more\":{\"x\":\"s3cret\"},"
	                          "\"env\":{\"A\":\"s3cret2\",\"C\":\"s3cret\"}}";
	json_t *lines, *d = diff_of(was, now, false, &lines);
	(void)s;
	has(d, 0, "command", "changed", NULL, NULL);
	has(d, 3, "env.A", "changed", NULL, NULL);
	has(d, 4, "env.B", "removed", NULL, NULL);
	has(d, 5, "env.C", "added", NULL, NULL);
	has(d, 6, "later", "removed", NULL, NULL);
	has(d, 7, "more", "added", NULL, NULL);
	assert_true(json_is_true(json_object_get(json_array_get(d, 3), "hidden")));
	assert_string_equal(json_string_value(json_array_get(lines, 3)), "~ env.A");
	char *a = json_dumps(d, 0), *b = json_dumps(lines, 0);
	assert_null(strstr(a, "s3cret"));
	assert_null(strstr(b, "s3cret"));
	free(a);
	free(b);
	json_decref(d);
	json_decref(lines);
}

static void a_line_is_one_line_and_cut_between_characters(void **s)
{
	char was[700] = "{\"flags\":0,\"env\":{\"A\":\"x\\ny\"}}", now[700];
	size_t n = (size_t)snprintf(now, sizeof now, "{\"flags\":0,\"env\":{\"A\":\"x");
	for (int i = 0; i < 150; i++)
		n += (size_t)snprintf(now + n, sizeof now - n, "ü");
	snprintf(now + n, sizeof now - n, "\"}}");
	json_t *lines, *d = diff_of(was, now, true, &lines);
	(void)s;
	struct hg_str line = hg_str(json_string_value(json_array_get(lines, 0)));
	assert_true(hg_utf8_valid(line));
	assert_true(hg_str_starts(line, HG_STR("~ env.A: x y → xüü")));
	assert_true(hg_str_ends(line, HG_STR("ü…")));
	assert_int_equal(json_string_length(json_object_get(json_array_get(d, 0), "new")), 301);
	json_decref(d);
	json_decref(lines);
}

static void the_list_pages_backwards_and_knows_what_serves(void **s)
{
	struct world *w = *s;
	struct store_app a;
	uint32_t number;
	assert_int_equal(store_app_open(w->store, HG_STR("web"), &a, NULL), HG_OK);
	assert_int_equal(a.id, 1); /* as the stand-in for the fleet has it */
	for (int i = 0; i < 5; i++) {
		struct store_release r = {.app = a.id,
		        .spec = HG_STR(OLD),
		        .created_ms = 1000,
		        .version = HG_STR("v")};
		if (i == 3) r.spec = HG_STR(NEW);
		if (i == 4) r.spec = HG_STR("{"); /* a damaged row */
		assert_int_equal(store_release_add(w->store, &r, &number, NULL), HG_OK);
	}
	assert_int_equal(store_quarantine_set(w->store, a.id, 4, 9, NULL), HG_OK);
	json_t *j = ask_json(w,
	        &(struct ask){.method = "GET",
	                .path = "/v1/apps/web/releases",
	                .query = "before=5&limit=2"},
	        200);
	assert_int_equal(json_integer_value(json_object_get(j, "serving")), 3);
	json_t *list = json_object_get(j, "releases");
	assert_int_equal(json_array_size(list), 2);
	json_t *four = json_array_get(list, 0), *three = json_array_get(list, 1);
	assert_int_equal(json_integer_value(json_object_get(four, "number")), 4);
	assert_int_equal(json_integer_value(json_object_get(four, "quarantined_by")), 9);
	assert_true(json_is_false(json_object_get(four, "serving")));
	assert_true(json_is_true(json_object_get(three, "serving")));
	assert_true(json_is_null(json_object_get(three, "rollout")));
	json_decref(j);

	static const struct {
		const char *path, *query;
		unsigned status;
	} rows[] = {
	        {"/v1/apps/wep/releases", NULL, 404},
	        {"/v1/apps/web/releases", "limit=1001", 400},
	        {"/v1/apps/web/releases", "before=x", 400},
	        {"/v1/apps/web/releases/3/diff/4", NULL, 200},
	        {"/v1/apps/wep/releases/3/diff/4", NULL, 404},
	        {"/v1/apps/web/releases/3/diff/6", NULL, 404},
	        {"/v1/apps/web/releases/0/diff/4", NULL, 404},
	        {"/v1/apps/web/releases/x/diff/4", NULL, 404},
	        {"/v1/apps/web/releases/4294967299/diff/4", NULL, 404},
	        {"/v1/apps/web/releases/3/diff/5", NULL, 503},
	};
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct ask q = {.method = "GET", .path = rows[i].path, .query = rows[i].query};
		print_message("# %s\n", rows[i].path);
		if (rows[i].status == 503)
			assert_true(ask_status(w, &q) >= 500);
		else
			assert_int_equal(ask_status(w, &q), rows[i].status);
	}
}

static void only_an_admin_is_told_values_over_http(void **s)
{
	struct world *w = *s;
	struct store_app a;
	uint32_t number;
	assert_int_equal(store_app_open(w->store, HG_STR("web"), &a, NULL), HG_OK);
	struct store_release r = {.app = a.id, .spec = HG_STR(OLD)};
	assert_int_equal(store_release_add(w->store, &r, &number, NULL), HG_OK);
	r.spec = HG_STR(NEW);
	assert_int_equal(store_release_add(w->store, &r, &number, NULL), HG_OK);
	static const char *const roles[] = {"viewer", "deployer", "admin"};
	for (size_t i = 0; i < HG_COUNT(roles); i++) {
		char *token = token_new(w, roles[i], roles[i]);
		json_t *j = ask_json(w,
		        &(struct ask){.method = "GET",
		                .path = "/v1/apps/web/releases/1/diff/2",
		                .token = token,
		                .tcp = true},
		        200);
		json_t *command = json_array_get(json_object_get(j, "changes"), 1);
		assert_int_equal(json_is_string(json_object_get(command, "new")), i == 2);
		json_decref(j);
		free(token);
	}
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_admin_sees_what_changed_in_the_words_of_the_configuration),
	        cmocka_unit_test(others_see_that_it_changed_and_no_value_of_it),
	        cmocka_unit_test(a_line_is_one_line_and_cut_between_characters),
	        CASE(the_list_pages_backwards_and_knows_what_serves),
	        CASE(only_an_admin_is_told_values_over_http),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
