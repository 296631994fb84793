#include "../test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "spec/spec.h"

#ifdef __SANITIZE_ADDRESS__
#define SLOWER 10 /* the sanitizers' own cost */
#else
#define SLOWER 1
#endif

#define ROOT TEST_DATA "/../../../"

struct loaded {
	struct hg_arena a;
	struct spec_report *report;
	struct spec *spec;
	enum hg_rc rc;
};

static struct loaded finish(struct loaded l)
{
	if (l.rc < 0 && getenv("VERBOSE")) {
		struct hg_buf b;
		hg_buf_init(&b, 1u << 20);
		spec_report_print(l.report, &b);
		fprintf(stderr, "%s", hg_buf_text(&b));
		hg_buf_free(&b);
	}
	return l;
}

static struct loaded load_path(const char *path, const char *environment)
{
	struct loaded l = {.report = calloc(1, sizeof *l.report)};
	hg_arena_init(&l.a, "test", 64u << 20);
	l.rc = spec_load_file(path, environment, &l.a, l.report, &l.spec);
	return finish(l);
}

static struct loaded load_text(const char *text, const char *environment)
{
	struct loaded l = {.report = calloc(1, sizeof *l.report)};
	struct spec_source from = {
	        .text = hg_str(text), .file = "t.yaml", .environment = environment};
	hg_arena_init(&l.a, "test", 64u << 20);
	l.rc = spec_load(&from, &l.a, l.report, &l.spec);
	return finish(l);
}

static void drop(struct loaded *l)
{
	hg_arena_fini(&l->a);
	free(l->report);
}

static void the_example_loads_with_every_value(void **s)
{
	struct loaded l = load_path(ROOT "docs/headgate.example.yaml", NULL);
	(void)s;
	assert_int_equal(l.rc, HG_OK);
	const struct spec *c = l.spec;
	assert_str(c->project, "feedback");
	assert_str(c->admin.listen.host, "127.0.0.1");
	assert_int_equal(c->admin.listen.port, 4323);
	assert_int_equal(c->edge.workers, 0);
	assert_int_equal(c->edge.listen.http.port, 80);
	assert_int_equal(c->edge.tls.min_version, SPEC_EDGE_TLS_MIN_VERSION_1_3);
	assert_int_equal(c->edge.access_log.sample_ppm, 1000000);
	assert_int_equal(c->app_count, 1);
	const struct spec_app *a = &c->apps[0];
	assert_str(a->name, "feedback");
	assert_str(a->command, "feedback-app --port $PORT");
	assert_int_equal(a->env_count, 2);
	assert_str(a->env[1].value, "sqlite:data/feedback.db");
	assert_int_equal(a->resources.requests.cpu_milli, 200);
	assert_int_equal(a->resources.limits.memory_bytes, 512u << 20);
	assert_int_equal(a->autoscale.scale_up.policy_count, 2);
	assert_int_equal(a->autoscale.scale_down.stabilization_ms, 300000);
	assert_int_equal(a->disruption.min_available.ppm, 750000);
	assert_int_equal(a->probes.startup.failures, 30);
	assert_int_equal(a->probes.startup.timeout_ms, 1000);
	assert_int_equal(a->probes.readiness.timeout_ms, 3000);
	assert_int_equal(a->route_count, 2);
	assert_int_equal(a->protect.circuit_breaker.errors_ppm, 500000);
	assert_int_equal(a->rollout.strategy, SPEC_ROLLOUT_STRATEGY_CANARY);
	assert_int_equal(a->rollout.step_count, 4);
	assert_int_equal(a->rollout.abort_when.p95_vs_stable_ppm, 1500000);
	assert_int_equal(a->rollout.confidence_ppm, 999000);
	assert_int_equal(a->logs.max_size_bytes, 10ull << 30);
	assert_int_equal(a->version_count, 2);
	assert_int_equal(a->slo.availability.objective_ppm, 999500);
	assert_int_equal(c->databases[0].backup.keep.remote_ms, 30ull * 86400000);
	assert_int_equal(c->alerts.rule_count, 2);
	assert_int_equal(c->environment_count, 3);
	assert_true(c->environments[2].protected);
	assert_int_equal(c->pipeline.stage_count, 7);
	drop(&l);
}

static void an_overlay_replaces_only_what_it_names(void **s)
{
	struct loaded l = load_path(ROOT "docs/headgate.example.yaml", "development");
	(void)s;
	assert_int_equal(l.rc, HG_OK);
	const struct spec_app *a = &l.spec->apps[0];
	assert_int_equal(a->replicas, 1);
	assert_int_equal(a->rollout.strategy, SPEC_ROLLOUT_STRATEGY_RECREATE);
	assert_int_equal(a->rollout.step_count, 4);
	assert_str(a->env[0].value, "debug");
	assert_int_equal(a->env_count, 2);
	assert_str(a->routes[0].host, "localhost");
	assert_str(a->routes[1].host, "localhost");
	assert_str(a->routes[1].path, "/static/");
	drop(&l);
}

static void the_flat_form_is_one_app(void **s)
{
	struct loaded l = load_path(TEST_DATA "/good/flat.yaml", NULL);
	(void)s;
	assert_int_equal(l.rc, HG_OK);
	assert_str(l.spec->project, "hello");
	assert_int_equal(l.spec->app_count, 1);
	const struct spec_app *a = &l.spec->apps[0];
	assert_str(a->name, "hello");
	assert_int_equal(a->replicas, 2);
	assert_str(a->routes[0].host, "hello.example.com");
	assert_str(a->routes[0].path, "/");
	assert_true(a->probes.startup.set && a->probes.readiness.set && !a->probes.liveness.set);
	assert_str(a->probes.readiness.http, "/health");
	assert_int_equal(a->probes.startup.every_ms, 1000);
	assert_int_equal(a->probes.readiness.every_ms, 10000);
	assert_int_equal(a->rollout.strategy, SPEC_ROLLOUT_STRATEGY_CANARY);
	drop(&l);
}

/* Section by section the values its owner wrote down. */
static void the_owners_file_has_the_owners_values(void **s)
{
	struct loaded l = load_path(ROOT "examples/feedback/headgate.yaml", NULL);
	(void)s;
	assert_int_equal(l.rc, HG_OK);
	assert_int_equal(spec_check(l.spec, l.report), HG_OK);
	assert_int_equal(l.report->warning_count, 1); /* one path for liveness and readiness */
	const struct spec_app *a = &l.spec->apps[0];
	assert_str(a->command, "feedback-app --port $PORT");
	assert_int_equal(a->autoscale.min, 10);
	assert_int_equal(a->autoscale.max, 100);
	assert_int_equal(a->autoscale.cpu_ppm, 700000);
	assert_int_equal(a->autoscale.memory_ppm, 800000);
	assert_int_equal(a->autoscale.requests_per_second, 1000);
	assert_int_equal(a->autoscale.scale_down.stabilization_ms, 300000);
	assert_int_equal(a->autoscale.scale_down.policies[0].percent, 50);
	assert_int_equal(a->autoscale.scale_down.policies[0].every_ms, 60000);
	assert_int_equal(a->autoscale.scale_up.stabilization_ms, 0);
	assert_int_equal(a->autoscale.scale_up.policies[0].percent, 100);
	assert_int_equal(a->autoscale.scale_up.policies[1].replicas, 4);
	assert_int_equal(a->autoscale.scale_up.select, SPEC_SCALE_RULE_SELECT_MAX);
	assert_int_equal(a->disruption.min_available.ppm, 750000);
	assert_int_equal(a->probes.liveness.delay_ms, 30000);
	assert_int_equal(a->probes.liveness.every_ms, 10000);
	assert_int_equal(a->probes.liveness.timeout_ms, 5000);
	assert_int_equal(a->probes.liveness.failures, 3);
	assert_int_equal(a->probes.readiness.delay_ms, 10000);
	assert_int_equal(a->probes.readiness.every_ms, 5000);
	assert_int_equal(a->probes.readiness.timeout_ms, 3000);
	assert_int_equal(a->sandbox.user, 1000);
	assert_true(a->sandbox.read_only_root && a->sandbox.private_tmp);
	assert_int_equal(a->resources.requests.cpu_milli, 500);
	assert_int_equal(a->resources.requests.memory_bytes, 512u << 20);
	assert_int_equal(a->resources.limits.cpu_milli, 2000);
	assert_int_equal(a->resources.limits.memory_bytes, 2ull << 30);
	assert_int_equal(a->routes[0].rate_limit_count, 3);
	assert_str(a->routes[0].rate_limit[2], "2000/5m per ip");
	assert_int_equal(a->routes[0].affinity.ttl_ms, 3600000);
	assert_int_equal(a->rollout.max_surge.ppm, 250000);
	assert_int_equal(a->rollout.max_unavailable.ppm, 250000);
	assert_int_equal(a->rollout.steps[0].weight_ppm, 100000);
	assert_int_equal(a->rollout.steps[0].wait_ms, 300000);
	assert_int_equal(a->rollout.abort_when.error_rate_ppm, 10000);
	assert_str(a->rollout.match.header, "canary: true");
	assert_int_equal(a->rollout.after_promote.keep_previous_ms, 300000);
	assert_int_equal(a->logs.keep_ms, 90ull * 86400000);
	assert_int_equal(a->slo.availability.objective_ppm, 999900);
	assert_int_equal(a->slo.latency.faster_than_ms, 200);
	assert_int_equal(l.spec->alerts.rule_count, 8);
	assert_int_equal(l.spec->alerts.rules[3].for_ms, 120000);
	assert_int_equal(l.spec->pipeline.stages[3].fail_on_count, 2);
	drop(&l);
	l = load_path(ROOT "examples/feedback/headgate.yaml", "blue-green");
	assert_int_equal(l.rc, HG_OK);
	assert_int_equal(l.spec->apps[0].rollout.strategy, SPEC_ROLLOUT_STRATEGY_BLUE_GREEN);
	assert_int_equal(l.spec->apps[0].rollout.after_promote.watch_ms, 600000);
	drop(&l);
}

static void the_demo_uses_available_keys_only(void **s)
{
	struct loaded l = load_path(ROOT "headgate.yaml", NULL);
	struct hg_err e;
	(void)s;
	assert_int_equal(l.rc, HG_OK);
	assert_int_equal(spec_check(l.spec, l.report), HG_OK);
	assert_int_equal(l.report->warning_count, 0);
	assert_int_equal(spec_unavailable(l.spec, &e, 1), 0);
	assert_int_equal(l.spec->apps[0].replicas, 3);
	assert_int_equal(l.spec->edge.listen.http.port, 8080);
	drop(&l);
}

/* Seconds of CPU that one load takes. */
static double hostile_once(const char *what, const char *text, size_t n, enum hg_rc want)
{
	struct loaded l = {.report = calloc(1, sizeof *l.report)};
	struct spec_source from = {.text = {text, n}, .file = what};
	struct timespec a, b;
	hg_arena_init(&l.a, "test", 64u << 20);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	l.rc = spec_load(&from, &l.a, l.report, &l.spec);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	if (want && l.rc != want) fail_msg("%s: %d", what, l.rc);
	assert_true(l.rc < 0 && l.report->error_count > 0 && l.report->errors[0].message[0]);
	drop(&l);
	return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

/* The best of three: a neighbour's work in the caches must not fail the test. */
static void hostile(const char *what, const char *text, size_t n, enum hg_rc want)
{
	double s = hostile_once(what, text, n, want);
	for (int i = 0; i < 2 && s > 0.5 * SLOWER; i++)
		s = hostile_once(what, text, n, want);
	if (s > 0.5 * SLOWER) fail_msg("%s took %.2f s", what, s);
}

/* `head`, then `piece` until `n` bytes are full, in lines of at most `line` pieces (0: one line).
 */
static char *repeat(const char *head, const char *piece, size_t n, size_t line)
{
	char *text = malloc(n);
	size_t at = strlen(head), size = strlen(piece), pieces = 0;
	assert_non_null(text);
	memcpy(text, head, at);
	while (at + size < n) {
		memcpy(text + at, piece, size);
		at += size;
		if (line && ++pieces % line == 0) text[at++] = '\n';
	}
	memset(text + at, '\n', n - at);
	return text;
}

static void hostile_input_is_refused_quickly(void **s)
{
	static const struct {
		const char *what, *head, *piece;
		size_t n, line;
		enum hg_rc rc;
	} cases[] = {
	        {"10 MB", "a: ", "x", 10u << 20, 80, HG_E_CONFIG_LIMIT},
	        {"64 KB line", "a: ", "x", 65536, 0, HG_E_CONFIG_LIMIT},
	        {"depth 10000, flow lists", "a: ", "[", 10000, 0, HG_E_CONFIG_LIMIT},
	        {"depth 10000, flow maps", "a: ", "{a: ", 15000, 0, HG_E_CONFIG_LIMIT},
	        {"depth 10000, dashes", "", "- ", 10000, 0, HG_E_CONFIG_LIMIT},
	        {"depth, question marks", "", "? ", 10000, 0, 0},
	        {"many lists", "a: [", " [],", 1u << 20, 1000, HG_E_CONFIG_LIMIT},
	        {"many keys", "", "a: 1\n", 1u << 20, 0, 0},
	        {"many colons", "", ":", 1u << 20, 4000, 0},
	        {"many quotes", "", "\"", 1u << 20, 4000, 0},
	        {"many words", "", "word ", 1u << 20, 1000, 0},
	        {"many anchors", "", "&a ", 1u << 20, 1000, 0},
	        {"many aliases", "a: [", " *a,", 1u << 20, 1000, HG_E_CONFIG_REFUSED},
	        {"many tags", "", "!t ", 1u << 20, 1000, 0},
	        {"many directives", "", "%TAG ! x\n", 1u << 20, 0, 0},
	        {"many documents", "", "---\n", 1u << 20, 0, 0},
	        {"many comments", "", "# x\n", 1u << 20, 0, 0},
	        {"many commas", "[", ",", 1u << 20, 4000, 0},
	        {"many brackets", "", "[", 1u << 20, 4000, 0},
	        {"closing brackets", "", "]", 1u << 20, 4000, 0},
	        {"carriage returns", "a: b", "\r", 16000, 0, 0},
	        {"block text", "a: |\n", " x\n", 1u << 20, 0, 0},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(cases); i++) {
		char *text = repeat(cases[i].head, cases[i].piece, cases[i].n, cases[i].line);
		hostile(cases[i].what, text, cases[i].n, cases[i].rc);
		free(text);
	}
	static const char bomb[] = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n"
	                           "c: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c]\n";
	hostile("alias bomb", bomb, sizeof bomb - 1, HG_E_CONFIG_REFUSED);
	static const char elf[] = "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0>\0";
	hostile("binary", elf, sizeof elf - 1, HG_E_CONFIG_SYNTAX);
}

static void files_that_are_none_are_refused(void **s)
{
	static const char *const paths[] = {
	        "/nowhere/headgate.yaml", "/dev/zero", "/proc", "/dev/null"};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(paths); i++) {
		struct loaded l = load_path(paths[i], NULL);
		assert_int_equal(l.rc, HG_E_CONFIG_FILE);
		assert_int_equal(l.report->error_count, 1);
		drop(&l);
	}
}

static void memory_that_runs_out_is_an_error(void **s)
{
	(void)s;
	for (size_t cap = 1024; cap < 200000; cap += 1777) {
		struct loaded l = {.report = calloc(1, sizeof *l.report)};
		struct spec_source from = {.file = "t.yaml",
		        .text = HG_STR("app: a\ncommand: [sh, -c, \"x\"]\nhealth: /h\ndomain: a.b\n"
		                       "environments: {e: {replicas: 2}}\n"),
		        .environment = "e"};
		hg_arena_init(&l.a, "test", cap);
		l.rc = spec_load(&from, &l.a, l.report, &l.spec);
		assert_true(l.rc == HG_OK ? l.spec != NULL : l.rc == HG_E_NOMEM);
		drop(&l);
	}
}

/* The check, with the folder of the file known. */
static enum hg_rc check_in(const char *dir, const char *text)
{
	struct loaded l = {.report = calloc(1, sizeof *l.report)};
	struct spec_source from = {.text = hg_str(text), .file = "t.yaml", .dir = dir};
	hg_arena_init(&l.a, "test", 64u << 20);
	l.rc = spec_load(&from, &l.a, l.report, &l.spec);
	if (l.rc == HG_OK) l.rc = spec_check(l.spec, l.report);
	enum hg_rc rc = l.rc;
	drop(&l);
	return rc;
}

static void a_writable_folder_may_be_shared_but_not_nested(void **s)
{
	(void)s;
#define TWO(a, b)                                                                        \
	"project: p\napps: {a: {command: x, sandbox: {user: 7, writable: [" a "]}}, b: " \
	"{command: x, sandbox: {user: 7, writable: [" b "]}}}\n"
	assert_int_equal(check_in("/srv", TWO("data/", "data")), HG_OK);
	assert_int_equal(check_in("/srv", TWO("data/", "/srv/./data")), HG_OK);
	assert_int_equal(check_in("/srv", TWO("data", "data-too")), HG_OK);
	assert_int_equal(check_in("/srv", TWO("data", "/srv/data/b")), HG_E_CONFIG_NESTED);
	assert_int_equal(check_in("/srv", TWO("/srv/", "data")), HG_E_CONFIG_NESTED);
	assert_int_equal(check_in("/", TWO("/srv", "srv/data")), HG_E_CONFIG_NESTED);
	assert_int_equal(check_in(NULL, TWO("/srv", "srv/data")), HG_OK); /* nobody knows */
}

static void defaults_are_those_of_the_table(void **s)
{
	struct loaded l = load_text("apps: {a: {command: x}}\n", NULL);
	(void)s;
	assert_int_equal(l.rc, HG_OK);
	assert_str(l.spec->project, "a");
	assert_int_equal(l.spec->edge.listen.http.port, 8080);
	assert_false(l.spec->edge.set || l.spec->edge.listen.http.set);
	assert_int_equal(l.spec->apps[0].replicas, 1);
	assert_int_equal(l.spec->apps[0].shutdown.grace_ms, 30000);
	assert_str(l.spec->apps[0].dir, ".");
	drop(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_example_loads_with_every_value),
	        cmocka_unit_test(an_overlay_replaces_only_what_it_names),
	        cmocka_unit_test(the_flat_form_is_one_app),
	        cmocka_unit_test(the_owners_file_has_the_owners_values),
	        cmocka_unit_test(the_demo_uses_available_keys_only),
	        cmocka_unit_test(hostile_input_is_refused_quickly),
	        cmocka_unit_test(files_that_are_none_are_refused),
	        cmocka_unit_test(memory_that_runs_out_is_an_error),
	        cmocka_unit_test(defaults_are_those_of_the_table),
	        cmocka_unit_test(a_writable_folder_may_be_shared_but_not_nested),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
