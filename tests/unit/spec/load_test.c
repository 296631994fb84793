#include "../test.h"

#include <stdio.h>
#include <stdlib.h>

#include "spec/spec.h"

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
	        cmocka_unit_test(defaults_are_those_of_the_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
