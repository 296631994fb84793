/* Rule files: what is taken, what is refused, and where the mistake is. */
#include "tests/unit/test.h"

#include "observe/rules/rules.h"

#include <stdio.h>
#include <stdlib.h>

static enum hg_rc read(const char *text, struct rules_file **ret, struct hg_err *err)
{
	struct spec_report *r = calloc(1, sizeof *r);
	assert_non_null(r);
	spec_report_init(r, HG_STR("r.yml"), hg_str(text));
	enum hg_rc rc = rules_file_read(hg_str(text), HG_STR("r.yml"), r, ret);
	*err = r->errors[0];
	free(r);
	return rc;
}

static void a_file_of_prometheus_is_taken_as_it_is(void **state)
{
	(void)state;
	struct rules_file *f = NULL;
	struct hg_err err;
	assert_int_equal(read("groups:\n"
	                      "- name: a\n"
	                      "  interval: 30s\n"
	                      "  limit: 5\n"
	                      "  query_offset: 1m\n"
	                      "  labels: {team: x, severity: page}\n"
	                      "  rules:\n"
	                      "  - record: job:up:sum\n"
	                      "    expr: sum by (job) (up)\n"
	                      "    labels: {zone: eu}\n"
	                      "  - alert: Down\n"
	                      "    expr: |\n"
	                      "      up\n"
	                      "        == 0\n"
	                      "    for: 1h30m\n"
	                      "    keep_firing_for: 5m\n"
	                      "    labels: {severity: ticket}\n"
	                      "    annotations:\n"
	                      "      summary: '{{ $labels.instance }} is down, {{ $value }}'\n"
	                      "- name: b\n"
	                      "  rules: []\n",
	                         &f, &err),
	        HG_OK);
	assert_int_equal(f->n, 2);
	assert_int_equal(f->rules, 2);
	const struct rules_group *g = &f->groups[0];
	assert_int_equal(g->interval_ms, 30000);
	assert_int_equal(g->limit, 5);
	assert_int_equal(g->offset_ms, 60000);
	assert_int_equal(f->groups[1].offset_ms, -1);
	assert_false(g->rules[0].alerting);
	assert_str(labels_get(g->rules[0].labels, HG_STR("team")), "x");
	assert_str(labels_get(g->rules[0].labels, HG_STR("zone")), "eu");
	const struct rules_rule *r = &g->rules[1];
	assert_true(r->alerting);
	assert_str(r->name, "Down");
	assert_int_equal(r->for_ms, 5400000);
	assert_int_equal(r->keep_firing_ms, 300000);
	assert_str(labels_get(r->labels, HG_STR("severity")), "ticket");
	assert_non_null(r->templates);
	rules_file_free(f);
}

/* As generators and people write them who also have other readers of YAML. */
static void anchors_aliases_and_merge_keys_mean_what_they_mean_elsewhere(void **state)
{
	(void)state;
	struct rules_file *f = NULL;
	struct hg_err err;
	assert_int_equal(read("groups:\n"
	                      "- name: a\n"
	                      "  rules:\n"
	                      "  - &down\n"
	                      "    alert: Down\n"
	                      "    expr: &expr up == 0\n"
	                      "    for: &long 10m\n"
	                      "    labels: &page {severity: page, team: x}\n"
	                      "    annotations: &texts\n"
	                      "      summary: '{{ $labels.job }} is down'\n"
	                      "      __name__: odd\n"
	                      "  - <<: *down\n"
	                      "    alert: DownLong\n"
	                      "    for: 1h\n"
	                      "    labels:\n"
	                      "      team: y\n"
	                      "      <<: [{zone: eu, team: z}, *page]\n"
	                      "  - record: a\n"
	                      "    expr: *expr\n"
	                      "    for: 0s\n"
	                      "- name: b\n"
	                      "  interval: *long\n"
	                      "  rules:\n"
	                      "  - *down\n"
	                      "  - {alert: Other, expr: *expr, annotations: *texts}\n",
	                         &f, &err),
	        HG_OK);
	assert_int_equal(f->rules, 5);
	assert_int_equal(f->groups[1].interval_ms, 600000);
	const struct rules_rule *long_one = &f->groups[0].rules[1], *again = &f->groups[1].rules[0];
	assert_str(long_one->name, "DownLong");
	assert_int_equal(long_one->for_ms, 3600000);
	assert_int_equal(long_one->labels.n, 3);
	assert_str(labels_get(long_one->labels, HG_STR("team")), "y");
	assert_str(labels_get(long_one->labels, HG_STR("zone")), "eu");
	assert_str(labels_get(long_one->labels, HG_STR("severity")), "page");
	assert_str(labels_get(long_one->annotations, HG_STR("__name__")), "odd");
	assert_str(again->name, "Down");
	assert_int_equal(again->for_ms, 600000);
	assert_str(f->groups[0].rules[2].expr, "up == 0");
	assert_non_null(f->groups[1].rules[1].templates);
	rules_file_free(f);
}

/* What is taken here promtool takes too; of what is refused it takes binary, and a text called a
 * map. */
static void common_tags_mean_what_they_mean_elsewhere(void **state)
{
	(void)state;
	struct rules_file *f = NULL;
	struct hg_err err;
	assert_int_equal(read("groups: !!seq\n"
	                      "- name: !!str a\n"
	                      "  interval: !<tag:yaml.org,2002:str> 30s\n"
	                      "  rules:\n"
	                      "  - !!map\n"
	                      "    record: a\n"
	                      "    expr: !!int \"1\"\n"
	                      "    labels: {n: !!str 5, empty: !!str null, o: !mine bar,\n"
	                      "             p: !<tag:example.com,2000:x> y}\n",
	                         &f, &err),
	        HG_OK);
	const struct rules_rule *r = &f->groups[0].rules[0];
	assert_int_equal(f->groups[0].interval_ms, 30000);
	assert_str(r->expr, "1");
	assert_str(labels_get(r->labels, HG_STR("n")), "5");
	assert_str(labels_get(r->labels, HG_STR("empty")), "null");
	assert_str(labels_get(r->labels, HG_STR("o")), "bar");
	assert_str(labels_get(r->labels, HG_STR("p")), "y");
	rules_file_free(f);
	static const char *const others[] = {
	        "!!set {a, b}", "!!binary aGVsbG8=", "!!map x", "!!seq x", "!!float [1]"};
	for (size_t i = 0; i < HG_COUNT(others); i++) {
		char text[256];
		snprintf(text, sizeof text,
		        "groups:\n- name: a\n  rules:\n  - {record: a, expr: 1, labels: {x: %s}}\n",
		        others[i]);
		assert_int_equal(read(text, &f, &err), HG_E_CONFIG_REFUSED);
		assert_int_equal(err.line, 4);
	}
}

/* Nine lines that stand for a billion values, and a chain that is a mile deep. */
static void bombs_of_aliases_are_refused(void **state)
{
	(void)state;
	static char text[1u << 16];
	struct rules_file *f = NULL;
	struct hg_err err;
	struct hg_out o = hg_out_over(text, sizeof text);
	hg_out_fmt(&o, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 9; i++) {
		hg_out_fmt(&o, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			hg_out_fmt(&o, "%s*a%d", k ? ", " : "", i - 1);
		hg_out_fmt(&o, "]\n");
	}
	text[o.n] = 0;
	assert_int_equal(read(text, &f, &err), HG_E_CONFIG_LIMIT);
	assert_non_null(strstr(err.message, "too many values"));
	o = hg_out_over(text, sizeof text);
	hg_out_fmt(&o, "a0: &a0 [x]\n");
	for (int i = 1; i < 100; i++)
		hg_out_fmt(&o, "a%d: &a%d [*a%d]\n", i, i, i - 1);
	text[o.n] = 0;
	assert_int_equal(read(text, &f, &err), HG_E_CONFIG_LIMIT);
	assert_non_null(strstr(err.message, "nesting is too deep"));
	assert_null(f);
}

static void empty_files_are_files(void **state)
{
	(void)state;
	static const char *const text[] = {"", "# nothing\n", "groups:\n", "groups: []\n"};
	for (size_t i = 0; i < HG_COUNT(text); i++) {
		struct rules_file *f = NULL;
		struct hg_err err;
		assert_int_equal(read(text[i], &f, &err), HG_OK);
		assert_int_equal(f->n, 0);
		rules_file_free(f);
	}
}

static void the_built_in_rules_are_rules(void **state)
{
	(void)state;
	struct rules_file *f = NULL;
	struct hg_err err;
	assert_int_equal(read(rules_builtin().p, &f, &err), HG_OK);
	assert_int_equal(f->rules, 12);
	rules_file_free(f);
}

#define G "groups:\n- name: a\n  rules:\n"

static void mistakes_are_refused_with_their_place(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum hg_rc rc;
		unsigned line, column;
		const char *says, *hint;
	} row[] = {
	        {"group: []\n", HG_E_RULES_FILE, 1, 1, "unknown key \"group\"", "groups"},
	        {"- a\n", HG_E_RULES_FILE, 1, 1, "must be a mapping", ""},
	        {"groups: 5\n", HG_E_RULES_FILE, 1, 9, "must be a list", ""},
	        {"groups:\n- rules: []\n", HG_E_RULES_FILE, 2, 3, "no `name`", ""},
	        {"groups:\n- name: a\n  rulez: []\n", HG_E_RULES_FILE, 3, 3, "\"rulez\"", "rules"},
	        {"groups:\n- name: a\n- name: a\n", HG_E_RULES_FILE, 3, 3, "two groups", ""},
	        {"groups:\n- name: a\n  interval: 5 minutes\n", HG_E_RULES_FILE, 3, 13,
	                "no duration", "5m"},
	        {"groups:\n- name: a\n  limit: x\n", HG_E_RULES_FILE, 3, 10, "whole number", ""},
	        {G "  - expr: up\n", HG_E_RULES_FILE, 4, 5, "neither", ""},
	        {G "  - alert: ''\n    expr: up\n", HG_E_RULES_FILE, 4, 5, "neither", ""},
	        {G "  - alert: A\n    record: b\n    expr: up\n", HG_E_RULES_FILE, 4, 12,
	                "not both", ""},
	        {G "  - alert: A\n", HG_E_RULES_FILE, 4, 5, "no `expr`", ""},
	        {G "  - alert: A\n    expr: ''\n", HG_E_RULES_FILE, 5, 11, "no `expr`", ""},
	        {G "  - record: a{b}\n    expr: up\n", HG_E_RULES_FILE, 4, 13, "name of a metric",
	                ""},
	        {G "  - record: a\n    expr: up\n    for: 5m\n", HG_E_RULES_FILE, 6, 5,
	                "belongs to alerts", ""},
	        {G "  - *a\n", HG_E_CONFIG_REFUSED, 4, 6, "names no anchor", "&name"},
	        {G "  - &a {record: a, expr: up, labels: *a}\n", HG_E_CONFIG_REFUSED, 4, 39,
	                "inside of what it names", "write"},
	        {G "  - <<: 5\n    record: a\n    expr: up\n", HG_E_CONFIG_TYPE, 4, 9,
	                "only mappings", "&name"},
	        {G "  - <<: [{expr: up}, x]\n    record: a\n", HG_E_CONFIG_TYPE, 4, 22,
	                "only mappings", "&name"},
	        /* The place is where it is written out, not where it is used. */
	        {"groups:\n- name: a\n  labels: &l {__name__: x}\n  rules:\n"
	         "  - {record: a, expr: up, labels: *l}\n",
	                HG_E_RULES_FILE, 3, 15, "no name of a label", ""},
	        {G "  - record: a\n    expr: up\n    annotations: {a: b}\n", HG_E_RULES_FILE, 6, 5,
	                "belongs to alerts", ""},
	        {G "  - alert: A\n    expr: up\n    for: soon\n", HG_E_RULES_FILE, 6, 10,
	                "no duration", ""},
	        {G "  - alert: A\n    expr: up\n    label: {a: b}\n", HG_E_RULES_FILE, 6, 5,
	                "\"label\"", "labels"},
	        {G "  - alert: A\n    expr: up\n    labels: {__name__: b}\n", HG_E_RULES_FILE, 6,
	                14, "no name of a label", ""},
	        {G "  - alert: A\n    expr: sum(up\n", HG_E_QUERY_SYNTAX, 5, 17, "unexpected end",
	                ""},
	        {G "  - alert: A\n    expr: 'up[5m]'\n", HG_E_RULES_FILE, 5, 11, "range vector",
	                ""},
	        {G "  - alert: A\n    expr: |\n      up\n      == ratee(x[5m])\n",
	                HG_E_QUERY_SYNTAX, 7, 10, "ratee", "rate"},
	        {G "  - alert: A\n    expr: 'x{a=''b''} > > 1'\n", HG_E_QUERY_SYNTAX, 5, 25, "",
	                ""},
	        {G "  - alert: A\n    expr: >-\n      sum(rate(x[5m]))\n      by by (a)\n",
	                HG_E_QUERY_SYNTAX, 7, 10, "", ""},
	        {G "  - alert: A\n    expr: up\n    annotations:\n      s: 'a {{ $labls.x }}'\n",
	                HG_E_TEMPLATE, 7, 16, "labls", ""},
	        {G "  - alert: A\n    expr: up\n    annotations:\n      s: |\n        one\n"
	           "        {{ humanise $value }}\n",
	                HG_E_TEMPLATE, 9, 12, "humanise", "humanize"},
	        {G "  - alert: A\n    expr: up\n    labels: {a: '{{ if }}'}\n", HG_E_TEMPLATE, 6, 0,
	                "", ""},
	        {"groups: [\n", HG_E_CONFIG_SYNTAX, 0, 0, "", ""},
	};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct rules_file *f = NULL;
		struct hg_err e;
		enum hg_rc rc = read(row[i].text, &f, &e);
		if (rc != row[i].rc || (row[i].line && e.line != row[i].line) ||
		        (row[i].column && e.column != row[i].column) ||
		        !strstr(e.message, row[i].says) || !strstr(e.hint, row[i].hint)) {
			struct hg_buf b;
			hg_buf_init(&b, 4096);
			hg_err_print(&e, &b);
			fail_msg("row %zu (%s): %s", i, hg_rc_info(row[i].rc)->name,
			        hg_buf_text(&b));
		}
	}
}

static void a_place_in_an_expression_is_a_place_in_the_file(void **state)
{
	(void)state;
	static const struct {
		const char *text, *of; /* what is looked for in the expression */
		unsigned line, column;
	} row[] = {
	        {G "  - {record: a, expr: up + down}\n", "down", 4, 28},
	        {G "  - record: a\n    expr: \"x{a=\\\"b\\\"} + down\"\n", "down", 5, 25},
	        {G "  - record: a\n    expr: 'x{a=''b''} + down'\n", "down", 5, 25},
	        {G "  - record: a\n    expr: |\n      up\n        + down\n", "down", 7, 11},
	        {G "  - record: a\n    expr: >-\n      up +\n      down\n", "down", 7, 7},
	        {G "  - record: a\n    expr: up\n      + down\n", "down", 6, 9},
	};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct rules_file *f = NULL;
		struct hg_err e;
		uint32_t line, column;
		assert_int_equal(read(row[i].text, &f, &e), HG_OK);
		const struct rules_rule *r = &f->groups[0].rules[0];
		const char *at = strstr(r->expr.p, row[i].of);
		assert_non_null(at);
		rules_place(f, r->expr_node, (uint32_t)(at - r->expr.p), &line, &column);
		if (line != row[i].line || column != row[i].column)
			fail_msg("row %zu: %u:%u", i, line, column);
		rules_file_free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_file_of_prometheus_is_taken_as_it_is),
	        cmocka_unit_test(anchors_aliases_and_merge_keys_mean_what_they_mean_elsewhere),
	        cmocka_unit_test(common_tags_mean_what_they_mean_elsewhere),
	        cmocka_unit_test(bombs_of_aliases_are_refused),
	        cmocka_unit_test(empty_files_are_files),
	        cmocka_unit_test(the_built_in_rules_are_rules),
	        cmocka_unit_test(mistakes_are_refused_with_their_place),
	        cmocka_unit_test(a_place_in_an_expression_is_a_place_in_the_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
