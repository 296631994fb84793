/* What status/config shows of a configuration. */
#include "tests/unit/test.h"

#include "observe/host/host_priv.h"
#include "spec/yaml.h"

#include <stdlib.h>

static const struct observe_conf_label labels[] = {{HG_STR("env"), HG_STR("a \"quoted\" one")}};
static const struct observe_conf_label headers[] = {{HG_STR("X-Key"), HG_STR("hidden4")}};
static const struct observe_conf_app apps[] = {
        {.id = 7, .name = HG_STR("web"), .path = HG_STR("/metrics?x=1"), .interval_ms = 5000}};
static const struct observe_conf_target targets[] = {{.job = HG_STR("node"),
        .address = HG_STR("127.0.0.1:9100"),
        .timeout_ms = 2500,
        .sample_limit = 9,
        .honor_labels = true,
        .labels = labels,
        .label_n = 1}};
static const struct hg_str sources[] = {HG_STR("__name__"), HG_STR("job")};
static const struct observe_conf_relabel rules[] = {
        {.action = HG_STR("drop"), .regex = HG_STR("go_.*"), .source = sources, .source_n = 2}};
static const struct observe_conf_remote_target remotes[] = {
        {.name = HG_STR("central"),
                .url = HG_STR("https://me:hidden1@a/api/v1/write"),
                .user = HG_STR("u"),
                .password = HG_STR("hidden2"),
                .timeout_ms = 30000,
                .relabel = rules,
                .relabel_n = 1},
        {.name = HG_STR("b"),
                .url = HG_STR("http://b/x@y"),
                .token = HG_STR("hidden3"),
                .headers = headers,
                .header_n = 1}};
static const struct observe_conf_rule_file files[] = {{HG_STR("rules/a.yml"), HG_STR("")}};

static void it_reads_as_a_prometheus_yml_and_has_no_secret(void **state)
{
	const struct observe_conf c = {.store = {.keep_ms = 3600000, .keep_bytes = 1 << 20},
	        .apps = apps,
	        .app_n = 1,
	        .targets = targets,
	        .target_n = 1,
	        .rules = {.files = files, .file_n = 1, .every_ms = 1500},
	        .remote = {.labels = labels, .label_n = 1, .targets = remotes, .target_n = 2}};
	struct hg_buf b;
	(void)state;
	hg_buf_init(&b, 1 << 20);
	host_conf_show(&c, &b);
	assert_string_equal(hg_buf_text(&b),
	        "global:\n  scrape_interval: 15s\n  scrape_timeout: 10s\n"
	        "  evaluation_interval: 1500ms\n"
	        "  external_labels: {\"env\": \"a \\\"quoted\\\" one\"}\n"
	        "storage:\n  tsdb:\n    retention:\n      time: 3600s\n      size: 1048576B\n"
	        "rule_files:\n- \"rules/a.yml\"\n"
	        "scrape_configs:\n- job_name: \"web\"\n  scrape_interval: 5s\n"
	        "  scrape_timeout: 5s\n  metrics_path: \"/metrics?x=1\"\n"
	        "  # its replicas, wherever they are\n"
	        "- job_name: \"node\"\n  scrape_interval: 15s\n  scrape_timeout: 2500ms\n"
	        "  metrics_path: \"/metrics\"\n  sample_limit: 9\n  honor_labels: true\n"
	        "  static_configs:\n  - targets: [\"127.0.0.1:9100\"]\n"
	        "    labels: {\"env\": \"a \\\"quoted\\\" one\"}\n"
	        "remote_write:\n- url: \"https://<secret>@a/api/v1/write\"\n  name: \"central\"\n"
	        "  remote_timeout: 30s\n  basic_auth:\n    username: \"u\"\n    password: "
	        "<secret>\n"
	        "  write_relabel_configs:\n  - action: \"drop\"\n"
	        "    source_labels: [\"__name__\", \"job\"]\n    regex: \"go_.*\"\n"
	        "- url: \"http://b/x@y\"\n  name: \"b\"\n"
	        "  authorization:\n    credentials: <secret>\n  headers: {\"X-Key\": "
	        "\"<secret>\"}\n");
	assert_null(strstr(hg_buf_text(&b), "hidden"));
	/* And it is YAML. */
	struct spec_report *r = calloc(1, sizeof *r);
	struct spec_node *tree = NULL;
	struct hg_arena a;
	assert_non_null(r);
	hg_arena_init(&a, "test", 1 << 20);
	spec_report_init(r, HG_STR("x"), hg_buf_view(&b));
	assert_int_equal(spec_yaml_parse(hg_buf_view(&b), &a, r, &tree), HG_OK);
	assert_non_null(spec_node_get(tree, "remote_write"));
	hg_arena_fini(&a);
	free(r);
	hg_buf_free(&b);
}

static void defaults_are_shown_too(void **state)
{
	struct observe_conf c;
	struct hg_buf b;
	(void)state;
	hg_buf_init(&b, 1 << 20);
	observe_conf_defaults(&c);
	host_conf_show(&c, &b);
	assert_string_equal(hg_buf_text(&b), "global:\n  scrape_interval: 15s\n  scrape_timeout: "
	                                     "10s\n  evaluation_interval: 15s\n"
	                                     "storage:\n  tsdb:\n    retention:\n      time: "
	                                     "1296000s\n      size: 4294967296B\n");
	hg_buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(it_reads_as_a_prometheus_yml_and_has_no_secret),
	        cmocka_unit_test(defaults_are_shown_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
