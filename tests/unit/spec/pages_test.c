/* show, fmt, explain, schema, diff and digest: what people and rollouts are told. */
#include "../test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "spec/spec.h"

#define ROOT TEST_DATA "/../../../"

static struct hg_arena arena;
static struct spec_report report;

static int setup(void **s)
{
	(void)s;
	hg_arena_init(&arena, "test", 256u << 20);
	return 0;
}

static int teardown(void **s)
{
	(void)s;
	hg_arena_fini(&arena);
	return 0;
}

static struct spec *load_env(const char *text, const char *environment)
{
	struct spec *spec = NULL;
	struct spec_source from = {
	        .text = hg_str(text), .file = "t.yaml", .environment = environment};
	enum hg_rc rc = spec_load(&from, &arena, &report, &spec);
	if (rc < 0) {
		struct hg_buf b;
		hg_buf_init(&b, 1u << 16);
		spec_report_print(&report, &b);
		print_error("%s\n%s", text, hg_buf_text(&b));
		hg_buf_free(&b);
	}
	assert_int_equal(rc, HG_OK);
	return spec;
}

static struct spec *load(const char *text)
{
	return load_env(text, NULL);
}

static char *read_all(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = calloc(1, SPEC_FILE_MAX);
	assert_non_null(f);
	assert_non_null(text);
	assert_true(fread(text, 1, SPEC_FILE_MAX - 1, f) > 0);
	fclose(f);
	return text;
}

static uint32_t changes(const struct spec *a, const struct spec *b, struct spec_change **ret)
{
	uint32_t n = 0;
	assert_int_equal(spec_diff(a, b, &arena, ret, &n), HG_OK);
	return n;
}

/* Calls `f` with the text of every file that is part of the tree. */
static void every_good_file(void (*f)(const char *path, const char *text))
{
	static const char *const others[] = {ROOT "docs/headgate.example.yaml",
	        ROOT "headgate.yaml", ROOT "examples/feedback/headgate.yaml",
	        ROOT "examples/devops/headgate.yaml", ROOT "examples/architect/headgate.yaml",
	        ROOT "examples/merchant/headgate.yaml"};
	char path[512];
	DIR *d = opendir(TEST_DATA "/good");
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		if (!hg_str_ends(hg_str(e->d_name), HG_STR(".yaml"))) continue;
		snprintf(path, sizeof path, TEST_DATA "/good/%s", e->d_name);
		char *text = read_all(path);
		f(path, text);
		free(text);
	}
	closedir(d);
	for (size_t i = 0; i < HG_COUNT(others); i++) {
		char *text = read_all(others[i]);
		f(others[i], text);
		free(text);
	}
}

static void show_once(const char *path, const char *text)
{
	struct hg_buf b;
	struct spec_change *c = NULL;
	hg_buf_init(&b, 4u << 20);
	struct spec *was = load(text);
	spec_show(was, &b);
	struct spec *now = load(hg_buf_text(&b));
	if (changes(was, now, &c)) fail_msg("%s: %.*s differs", path, HG_STR_ARG(c[0].path));
	hg_buf_free(&b);
}

static void show_loads_to_the_same(void **s)
{
	(void)s;
	every_good_file(show_once);
}

static void show_names_defaults_and_sources(void **s)
{
	struct hg_buf b;
	struct spec *c = load_env("app: a\ncommand: ./a --port $PORT\nhealth: /h\nreplicas: 2\n"
	                          "environments: {e: {apps: {a: {replicas: 5}}}}\n",
	        "e");
	(void)s;
	hg_buf_init(&b, 1u << 16);
	spec_show(c, &b);
	const char *text = hg_buf_text(&b);
	assert_non_null(strstr(text, "    replicas: 5  # e, line 5\n"));
	assert_non_null(strstr(text, "    command: ./a --port $PORT  # line 2\n"));
	assert_non_null(strstr(text, "        http: /h  # health, line 3\n"));
	assert_non_null(strstr(text, "        # timeout: 1s  # default\n"));
	assert_non_null(strstr(text, "# edge:\n"));
	hg_buf_free(&b);
}

static void fmt_once(const char *path, const char *text)
{
	struct hg_buf once, twice;
	struct spec_change *c = NULL;
	hg_buf_init(&once, 4u << 20);
	hg_buf_init(&twice, 4u << 20);
	struct spec_source from = {.text = hg_str(text), .file = path};
	assert_int_equal(spec_fmt(&from, &once, &report), HG_OK);
	from.text = hg_str(hg_buf_text(&once));
	assert_int_equal(spec_fmt(&from, &twice, &report), HG_OK);
	assert_string_equal(hg_buf_text(&once), hg_buf_text(&twice));
	if (changes(load(text), load(hg_buf_text(&once)), &c))
		fail_msg("%s: %.*s changed", path, HG_STR_ARG(c[0].path));
	hg_buf_free(&once);
	hg_buf_free(&twice);
}

static void fmt_is_stable_and_never_changes_meaning(void **s)
{
	(void)s;
	every_good_file(fmt_once);
}

static void fmt_gives(const char *text, const char *want)
{
	struct hg_buf b;
	struct spec_source from = {.text = hg_str(text), .file = "t.yaml"};
	hg_buf_init(&b, 1u << 16);
	assert_int_equal(spec_fmt(&from, &b, &report), HG_OK);
	assert_string_equal(hg_buf_text(&b), want);
	hg_buf_free(&b);
	fmt_once("t.yaml", text);
}

static void fmt_indents_by_two_and_keeps_comments(void **s)
{
	(void)s;
	fmt_gives("\n\n# first\r\nversion: 1   \n\n\n\napps:\n      # the app\n      a:\n"
	          "              command: ./a   # run\n"
	          "              needs:\n              -   b\n              # last need\n"
	          "              - c\n      b: {command: ./b,\n          replicas: 2}\n"
	          "      c:\n         command: >\n            ./c\n             x  \n\n            "
	          "y\n"
	          "project: \"p\"\n# end",
	        "# first\nversion: 1\n\napps:\n  # the app\n  a:\n"
	        "    command: ./a   # run\n"
	        "    needs:\n      - b\n      # last need\n"
	        "      - c\n  b: {command: ./b,\n      replicas: 2}\n"
	        "  c:\n    command: >\n       ./c\n        x  \n\n       y\n"
	        "project: \"p\"\n# end\n");
	fmt_gives(
	        "app: a\ncommand: ./a\nroutes:\n-   host: x.example\n    path: /a\n- {path: /b}\n",
	        "app: a\ncommand: ./a\nroutes:\n  - host: x.example\n    path: /a\n  - {path: "
	        "/b}\n");
}

static void explain_has(const char *path, const char *want)
{
	struct hg_buf b;
	struct hg_err err;
	hg_buf_init(&b, 1u << 18);
	assert_int_equal(spec_explain(hg_str(path), &b, &err), HG_OK);
	if (!strstr(hg_buf_text(&b), want))
		fail_msg("explain %s: no \"%s\" in\n%s", path, want, hg_buf_text(&b));
	hg_buf_free(&b);
}

static void explain_finds_keys_by_path_name_and_end(void **s)
{
	(void)s;
	explain_has("apps.*.replicas", "apps.*.replicas\n  Running copies.");
	explain_has("apps.feedback.replicas", "a whole number, 0 to 1000");
	explain_has("apps.replicas", "apps.*.replicas");
	explain_has("replicas", "apps.*.replicas");
	explain_has("apps.feedback.routes[0].host", "apps.*.routes[].host");
	explain_has("probes.liveness.every", "apps.*.probes.liveness.every");
	explain_has("every", "also      apps.*.probes.readiness.every");
	explain_has("edge.listen", "`listen: VALUE` is `listen: {http: VALUE}`");
	explain_has("admin.listen", "needs `headgate down` and `headgate up`");
	explain_has("rollout.strategy", "recreate, rolling, blue-green, canary");
	explain_has("autoscale", "not available in this release");
	explain_has("", "pipeline");
	explain_has("environments.production.apps.a.replicas", "Running copies");
	explain_has("environments.production.branch", "Branch that is deployed here");
}

static void explain_suggests(void **s)
{
	struct hg_buf b;
	struct hg_err err;
	(void)s;
	hg_buf_init(&b, 1u << 16);
	assert_int_equal(spec_explain(HG_STR("apps.x.replcas"), &b, &err), HG_E_NOT_FOUND);
	assert_string_equal(err.hint, "did you mean \"apps.*.replicas\"?");
	assert_int_equal(spec_explain(HG_STR("livenessProbe"), &b, &err), HG_E_NOT_FOUND);
	assert_string_equal(err.hint, "write `probes: {liveness: {http: /health}}`");
	assert_int_equal(spec_explain(HG_STR("no.such.thing.at.all"), &b, &err), HG_E_NOT_FOUND);
	assert_int_equal(b.n, 0);
	hg_buf_free(&b);
}

static void the_schema_is_the_committed_one(void **s)
{
	char *page = read_all(ROOT "docs/reference/headgate.schema.json");
	struct hg_str have = spec_schema();
	size_t at = 0;
	(void)s;
	for (const char *p = page; *p; p++) { /* the same but for white space */
		if (*p == ' ' || *p == '\n') continue;
		while (at < have.n && have.p[at] == ' ')
			at++;
		assert_true(at < have.n && have.p[at] == *p);
		at++;
	}
	free(page);
}

static const struct spec_change *find(const struct spec_change *c, uint32_t n, const char *path)
{
	for (uint32_t i = 0; i < n; i++) {
		if (hg_str_eq(c[i].path, hg_str(path))) return &c[i];
	}
	fail_msg("no change of %s", path);
}

static void diff_says_what_needs_a_release(void **s)
{
	struct spec_change *c;
	struct spec *a = load("project: p\napps:\n  a: {command: ./a $PORT, env: {X: '1', Y: '2'}, "
	                      "health: /h}\n  b: {command: ./b}\n");
	struct spec *b =
	        load("project: p\nedge: {listen: {http: 9000}}\napps:\n  a: {command: ./a2 "
	             "$PORT, env: {X: '1', Z: '3'}, replicas: 2, domain: a.example}\n"
	             "  c: {command: ./c}\n");
	(void)s;
	assert_int_equal(changes(a, a, &c), 0);
	uint32_t n = changes(a, b, &c);
	assert_int_equal(find(c, n, "apps.a.command")->apply, SPEC_APPLY_RELEASE);
	assert_str(find(c, n, "apps.a.command")->was, "./a $PORT");
	assert_str(find(c, n, "apps.a.command")->app, "a");
	assert_str(find(c, n, "apps.a.env.Y")->now, "");
	assert_str(find(c, n, "apps.a.env.Z")->now, "3");
	assert_int_equal(find(c, n, "apps.a.env.Z")->apply, SPEC_APPLY_RELEASE);
	assert_int_equal(find(c, n, "apps.a.replicas")->apply, SPEC_APPLY_LIVE);
	assert_int_equal(find(c, n, "apps.a.routes")->apply, SPEC_APPLY_LIVE);
	assert_str(find(c, n, "apps.a.probes.readiness.http")->was, "/h");
	assert_int_equal(find(c, n, "edge.listen.http")->apply, SPEC_APPLY_RESTART);
	assert_str(find(c, n, "apps.c")->was, "");
	assert_str(find(c, n, "apps.b")->now, "");
	assert_true(changes(NULL, a, &c) > 0);
}

static void the_digest_is_of_the_release_alone(void **s)
{
	char a[33], b[33];
	(void)s;
	spec_app_digest(&load("app: a\ncommand: ./a\nenv: {X: '1', Y: '2'}\n")->apps[0], a);
	spec_app_digest(
	        &load("app: a\ncommand: ./a\nreplicas: 7\nhealth: /h\nenv: {Y: '2', X: '1'}\n")
	                 ->apps[0],
	        b);
	assert_string_equal(a, b);
	assert_int_equal(strlen(a), 32);
	spec_app_digest(&load("app: a\ncommand: ./a\nenv: {X: '1', Y: '3'}\n")->apps[0], b);
	assert_string_not_equal(a, b);
	spec_app_digest(&load("app: a\ncommand: ./b\nenv: {X: '1', Y: '2'}\n")->apps[0], b);
	assert_string_not_equal(a, b);
	spec_app_digest(
	        &load("app: a\ncommand: ./a\nenv: {X: '1', Y: '2'}\nsandbox: {user: 5}\n")->apps[0],
	        b);
	assert_string_not_equal(a, b);
}

static void keys_that_are_not_built_are_named_with_their_place(void **s)
{
	struct hg_err errs[2];
	struct spec *c = load_env("app: a\ncommand: ./a\nautoscale: {min: 1, max: 2, cpu: 70%}\n"
	                          "routes:\n  - {path: /, cache: 1h}\npipeline: {stages: []}\n"
	                          "environments: {e: {protected: true}, f: {replicas: 2}}\n",
	        "e");
	(void)s;
	assert_int_equal(spec_unavailable(c, errs, 2), 4);
	assert_string_equal(errs[0].message, "\"pipeline\" is not available yet");
	assert_int_equal(errs[0].line, 6);
	assert_int_equal(errs[0].rc, HG_E_CONFIG_UNAVAILABLE);
	assert_string_equal(errs[1].message, "\"apps.a.autoscale\" is not available yet");
	assert_int_equal(errs[1].line, 3);
	assert_int_equal(errs[1].column, 1);
	c = load("app: a\ncommand: ./a --port $PORT\nhealth: /h\ndomain: a.example\n");
	assert_int_equal(spec_unavailable(c, errs, 2), 0);
	c = load("app: a\ncommand: ./a --port $PORT\nedge: {access_log: {to: stdout}}\n");
	assert_int_equal(spec_unavailable(c, errs, 2), 1);
	assert_string_equal(errs[0].message, "\"edge.access_log.to: stdout\" is not available yet");
	c = load("app: a\ncommand: ./a --port $PORT\nedge: {access_log: {to: off}}\n");
	assert_int_equal(spec_unavailable(c, errs, 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(show_loads_to_the_same),
	        cmocka_unit_test(show_names_defaults_and_sources),
	        cmocka_unit_test(fmt_is_stable_and_never_changes_meaning),
	        cmocka_unit_test(fmt_indents_by_two_and_keeps_comments),
	        cmocka_unit_test(explain_finds_keys_by_path_name_and_end),
	        cmocka_unit_test(explain_suggests),
	        cmocka_unit_test(the_schema_is_the_committed_one),
	        cmocka_unit_test(diff_says_what_needs_a_release),
	        cmocka_unit_test(the_digest_is_of_the_release_alone),
	        cmocka_unit_test(keys_that_are_not_built_are_named_with_their_place),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
