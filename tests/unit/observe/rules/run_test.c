/* Rules over a store in memory: what is written, what is marked, what comes back after a restart,
 * and the same on the loop. */
#include "tests/unit/test.h"

#include "observe/rules/rules_priv.h"
#include "os/clock.h"

#include <stdlib.h>

struct world {
	struct rules_file *file;
	struct rules_live_group *groups;
	uint32_t n;
	struct tsdb *db;
	uint64_t change;
	int64_t started_ms;
	bool restoring;
};

static void groups_open(struct world *w, const char *text)
{
	struct spec_report *r = calloc(1, sizeof *r);
	assert_non_null(r);
	spec_report_init(r, HG_STR("r.yml"), hg_str(text));
	if (rules_file_read(hg_str(text), HG_STR("r.yml"), r, &w->file) < 0)
		fail_msg("%s", r->errors[0].message);
	free(r);
	assert_int_equal(rules_live_groups(&w->file, 1, 15000, &w->groups, &w->n), HG_OK);
}

static void groups_close(struct world *w)
{
	rules_live_groups_free(w->groups, w->n);
	rules_file_free(w->file);
}

static void world_open(struct world *w, const char *text)
{
	struct tsdb_options o = {.out_of_order_ms = (int64_t)1 << 50};
	*w = (struct world){0};
	assert_int_equal(tsdb_open(&o, &w->db, NULL), HG_OK);
	groups_open(w, text);
}

static void world_close(struct world *w)
{
	groups_close(w);
	tsdb_close(w->db);
}

static void put(struct world *w, const char *metric, int64_t t_s, double v)
{
	struct hg_arena a;
	struct labels ls;
	tsdb_ref ref;
	hg_arena_init(&a, "test", 1 << 16);
	assert_true(promql_metric_read(&a, hg_str(metric), &ls));
	assert_int_equal(tsdb_series(w->db, ls, &ref, NULL), HG_OK);
	assert_int_equal(tsdb_append(w->db, ref, t_s * 1000, v), HG_OK);
	hg_arena_fini(&a);
}

static void run(struct world *w, int64_t t_s)
{
	struct rules_world base = {.db = w->db,
	        .url = HG_STR("http://hg/x"),
	        .restoring = w->restoring,
	        .started_ms = w->started_ms};
	for (uint32_t i = 0; i < w->n; i++) {
		for (uint32_t k = 0; k < w->groups[i].n; k++)
			w->groups[i].rules[k].restored = !w->restoring;
		rules_group_run(w->db, &w->groups[i], &base, t_s * 1000, &w->change);
	}
}

/* The expression's value at a time; NAN: there is none. More than one: a failure. */
static double value(struct world *w, const char *expr, int64_t t_s)
{
	struct promql_query *q = NULL;
	const struct promql_result *r = NULL;
	struct promql_options o = {.start_ms = t_s * 1000, .end_ms = t_s * 1000};
	assert_int_equal(promql_parse(hg_str(expr), &q, NULL), HG_OK);
	assert_int_equal(promql_run(w->db, q, &o, &r, NULL), HG_OK);
	if (r->n > 1) fail_msg("%s: %zu series", expr, r->n);
	double v = r->n ? r->series[0].v[0] : -1;
	promql_result_free(r);
	promql_free(q);
	return v;
}

static void groups_are_evaluated_in_order_and_write_what_they_give(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, "groups:\n- name: a\n  labels: {zone: eu}\n  rules:\n"
	               "  - {record: double, expr: 2 * x}\n"
	               "  - {record: quad, expr: 2 * double, labels: {how: twice}}\n"
	               "  - {record: one, expr: '1'}\n");
	put(&w, "x{i=\"a\"}", 100, 5);
	run(&w, 100);
	assert_true(value(&w, "double{i=\"a\",zone=\"eu\"}", 100) == 10);
	assert_true(value(&w, "quad{i=\"a\",zone=\"eu\",how=\"twice\"}", 100) == 20);
	assert_true(value(&w, "one{zone=\"eu\"}", 100) == 1);
	world_close(&w);
}

static void what_is_gone_is_marked_at_once(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, "groups:\n- name: a\n  rules:\n  - {record: big, expr: x > 3}\n");
	put(&w, "x", 100, 5);
	run(&w, 100);
	put(&w, "x", 115, 1);
	run(&w, 115);
	assert_true(value(&w, "big", 114) == 5);
	assert_true(value(&w, "big", 115) == -1);
	put(&w, "x", 130, 7);
	run(&w, 130);
	assert_true(value(&w, "big", 130) == 7);
	world_close(&w);
}

static void alerts_are_series_by_their_state(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, "groups:\n- name: a\n  rules:\n"
	               "  - {alert: Big, expr: x > 3, for: 30s, labels: {severity: page}}\n");
	put(&w, "x{i=\"a\"}", 100, 5);
	run(&w, 100);
	assert_true(value(&w,
	                    "ALERTS{alertname=\"Big\",alertstate=\"pending\",severity=\"page\",i="
	                    "\"a\"}",
	                    100) == 1);
	assert_true(value(&w, "ALERTS_FOR_STATE{alertname=\"Big\"}", 100) == 100);
	run(&w, 130);
	assert_true(value(&w, "ALERTS{alertstate=\"pending\"}", 130) == -1);
	assert_true(value(&w, "ALERTS{alertstate=\"firing\"}", 130) == 1);
	assert_true(value(&w, "ALERTS_FOR_STATE", 130) == 100);
	put(&w, "x{i=\"a\"}", 140, 0);
	run(&w, 145);
	assert_true(value(&w, "ALERTS", 145) == -1);
	assert_true(value(&w, "ALERTS_FOR_STATE", 145) == -1);
	world_close(&w);
}

static void templates_know_labels_value_and_the_store(void **state)
{
	(void)state;
	struct world w;
	world_open(&w,
	        "groups:\n- name: a\n  rules:\n"
	        "  - alert: Big\n"
	        "    expr: x > 3\n"
	        "    labels: {who: '{{ $labels.i | toUpper }}', none: '{{ $labels.nobody }}'}\n"
	        "    annotations:\n"
	        "      share: '{{ $value | humanizePercentage }} of {{ with query \"y\" }}"
	        "{{ . | first | value }}{{ end }}'\n"
	        "      link: '{{ externalURL }}{{ \"x > 3\" | tableLink }} {{ pathPrefix }}'\n"
	        "      fails: '{{ query \"none\" | first | value }}'\n");
	put(&w, "x{i=\"a\"}", 100, 5.5);
	put(&w, "y", 100, 42);
	run(&w, 100);
	const struct rules_live *l = &w.groups[0].rules[0];
	assert_int_equal(l->alerts.n, 1);
	const struct rules_alert *a = &l->alerts.at[0];
	assert_str(labels_get(a->labels, HG_STR("who")), "A");
	assert_int_equal(labels_get(a->labels, HG_STR("none")).n, 0);
	assert_str(labels_get(a->annotations, HG_STR("share")), "550% of 42");
	assert_str(labels_get(a->annotations, HG_STR("link")),
	        "http://hg/x/graph?g0.expr=x+%3E+3&g0.tab=1 /x");
	assert_true(hg_str_starts(
	        labels_get(a->annotations, HG_STR("fails")), HG_STR("<error expanding template:")));
	assert_int_equal(l->template_errors, 1);
	world_close(&w);
}

static void a_rule_that_fails_says_so_and_keeps_its_alerts(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, "groups:\n- name: a\n  rules:\n"
	               "  - {alert: Big, expr: x > 3, labels: {i: same}}\n"
	               "  - {record: dup, expr: x, labels: {i: same}}\n");
	put(&w, "x{i=\"a\"}", 100, 5);
	run(&w, 100);
	assert_string_equal(w.groups[0].rules[0].error, "");
	put(&w, "x{i=\"b\"}", 110, 6);
	run(&w, 115);
	assert_string_equal(w.groups[0].rules[0].error,
	        "vector contains metrics with the same labelset after applying alert labels");
	assert_string_equal(w.groups[0].rules[1].error,
	        "vector contains metrics with the same labelset after applying rule labels");
	assert_int_equal(w.groups[0].rules[0].alerts.n, 1);
	assert_int_equal(w.groups[0].rules[0].alerts.at[0].state, RULES_FIRING);
	world_close(&w);
}

static void the_query_offset_is_that_of_the_samples_too(void **state)
{
	(void)state;
	struct world w;
	world_open(
	        &w, "groups:\n- name: a\n  query_offset: 1m\n  rules:\n  - {record: r, expr: x}\n");
	put(&w, "x", 100, 5);
	put(&w, "x", 150, 6);
	run(&w, 160);
	assert_true(value(&w, "r", 100) == 5);
	assert_true(value(&w, "r", 99) == -1);
	world_close(&w);
}

#define LONG "groups:\n- name: a\n  rules:\n  - {alert: Big, expr: x > 3, for: 2m}\n"

/* The process dies and another one takes over the store. */
static void what_fired_fires_on_after_a_restart(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, LONG);
	for (int64_t t = 1000; t <= 1150; t += 15) {
		put(&w, "x", t, 5);
		run(&w, t);
	}
	assert_int_equal(w.groups[0].rules[0].alerts.at[0].state, RULES_FIRING);
	groups_close(&w);
	groups_open(&w, LONG);
	w.restoring = true;
	w.started_ms = 1152000;
	put(&w, "x", 1165, 5);
	run(&w, 1165);
	const struct rules_alert *a = &w.groups[0].rules[0].alerts.at[0];
	assert_int_equal(a->state, RULES_FIRING);
	assert_int_equal(a->active_ms, 1000000);
	assert_true(value(&w, "ALERTS{alertstate=\"firing\"}", 1165) == 1);
	world_close(&w);
}

static void what_had_ended_before_a_restart_begins_anew(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, LONG);
	put(&w, "x", 1000, 5);
	run(&w, 1000);
	put(&w, "x", 1010, 1);
	run(&w, 1015);
	groups_close(&w);
	groups_open(&w, LONG);
	w.restoring = true;
	w.started_ms = 1020000;
	put(&w, "x", 1025, 5);
	run(&w, 1030);
	const struct rules_alert *a = &w.groups[0].rules[0].alerts.at[0];
	assert_int_equal(a->state, RULES_PENDING);
	assert_int_equal(a->active_ms, 1030000);
	world_close(&w);
}

/* ---- on the loop ---- */

static int64_t wall(void)
{
	return (int64_t)clock_wall_ms();
}

struct seen {
	unsigned news;
};

static void on_news(void *arg)
{
	((struct seen *)arg)->news++;
}

static void turn_until(struct loop *l, const struct rules *r, uint64_t iterations)
{
	for (int i = 0; i < 3000; i++) {
		bool all = true;
		for (uint32_t k = 0; k < r->n; k++)
			all = all && r->groups[k].iterations >= iterations;
		if (all) return;
		assert_int_equal(loop_turn(l, 20), HG_OK);
	}
	fail_msg("the groups were not evaluated");
}

static void on_the_loop_groups_take_their_turns_and_news_are_told(void **state)
{
	(void)state;
	struct tsdb_options to = {0};
	struct loop *l = NULL;
	struct tsdb *db = NULL;
	struct rules *r = NULL;
	struct seen seen = {0};
	struct hg_err err = {0};
	struct hg_buf b;
	hg_buf_init(&b, 1 << 20);
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(tsdb_open(&to, &db, NULL), HG_OK);
	struct rules_options o = {
	        .loop = l, .db = db, .wall_ms = wall, .on_news = on_news, .arg = &seen};
	assert_int_equal(rules_new(&o, &r, &err), HG_OK);
	struct rules_source src[] = {
	        {HG_STR("a.yml"), HG_STR("groups:\n- name: a\n  interval: 200ms\n  rules:\n"
	                                 "  - {alert: Always, expr: vector(1), annotations: {s: "
	                                 "'{{ $value }}'}}\n")},
	        {HG_STR("b.yml"), HG_STR("groups:\n- name: b\n  interval: 300ms\n  rules:\n"
	                                 "  - {record: two, expr: '2'}\n")}};
	struct rules_conf c = {.files = src, .file_count = 2, .url = HG_STR("http://hg")};
	assert_int_equal(rules_apply(r, &c, &err), HG_OK);
	turn_until(l, r, 2);
	assert_int_equal(seen.news, 1);
	assert_true(rules_has_news(r, HG_STR(""), 0));
	rules_news_json(r, HG_STR(""), 0, &b);
	assert_non_null(strstr(hg_buf_text(&b), "\"alertname\":\"Always\""));
	assert_non_null(strstr(hg_buf_text(&b), "\"ends\":0,\"valid\":240000"));
	assert_non_null(strstr(hg_buf_text(&b), "http://hg/graph?g0.expr=vector%281%29&g0.tab=1"));
	/* Nobody has said that these are the rules that people want. */
	assert_non_null(
	        strstr(hg_buf_text(&b), "\"pending\":[],\"complete\":false,\"incomplete\":[]"));
	assert_false(rules_has_news(r, hg_str(r->epoch), r->change));
	/* A mistake leaves what is in force. */
	struct rules_source wrong = {HG_STR("c.yml"), HG_STR("groups: 5")};
	struct rules_conf bad = {.files = &wrong, .file_count = 1};
	assert_int_equal(rules_apply(r, &bad, &err), HG_E_RULES_FILE);
	assert_string_equal(err.file, "c.yml");
	assert_int_equal(r->n, 2);
	/* The same again: alerts stay, nobody is told anew. */
	assert_int_equal(rules_apply(r, &c, &err), HG_OK);
	assert_int_equal(r->groups[0].rules[0].alerts.n, 1);
	turn_until(l, r, 4);
	assert_int_equal(seen.news, 1);
	hg_buf_reset(&b);
	rules_json(r, NULL, &b);
	assert_non_null(strstr(hg_buf_text(&b), "\"name\":\"a\",\"file\":\"a.yml\""));
	assert_non_null(strstr(hg_buf_text(&b), "\"state\":\"firing\""));
	assert_non_null(strstr(hg_buf_text(&b), "\"value\":\"1e+00\""));
	assert_non_null(strstr(hg_buf_text(&b), "\"health\":\"ok\""));
	struct hg_str name = HG_STR("two");
	struct rules_filter f = {.names = &name, .name_n = 1};
	hg_buf_reset(&b);
	rules_json(r, &f, &b);
	assert_null(strstr(hg_buf_text(&b), "Always"));
	assert_non_null(strstr(hg_buf_text(&b), "\"type\":\"recording\""));
	hg_buf_reset(&b);
	rules_alerts_json(r, &b);
	assert_non_null(strstr(hg_buf_text(&b), "\"activeAt\":\"20"));
	hg_buf_free(&b);
	rules_free(r);
	tsdb_close(db);
	loop_free(l);
}

static void what_fires_is_known_after_a_while_and_that_is_news(void **state)
{
	(void)state;
	struct tsdb_options to = {0};
	struct loop *l = NULL;
	struct tsdb *db = NULL;
	struct rules *r = NULL;
	struct seen seen = {0};
	struct hg_err err = {0};
	struct hg_buf b;
	hg_buf_init(&b, 1 << 20);
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(tsdb_open(&to, &db, NULL), HG_OK);
	struct rules_options o = {
	        .loop = l, .db = db, .wall_ms = wall, .on_news = on_news, .arg = &seen};
	assert_int_equal(rules_new(&o, &r, &err), HG_OK);
	struct rules_source src = {HG_STR("a.yml"),
	        HG_STR("groups:\n- name: a\n  interval: 100ms\n  rules:\n"
	               "  - {record: one, expr: '1'}\n"
	               "  - {alert: Never, expr: none > 1}\n"
	               "  - {alert: Held, expr: none > 1, keep_firing_for: 1h}\n"
	               "  - {alert: Waits, expr: vector(1), for: 1h, labels: {a: b}}\n"
	               "  - {alert: Fails, expr: \"label_replace(vector(1), 'x', '$1', 'y', "
	               "'(')\"}\n")};
	struct rules_conf c = {
	        .files = &src, .file_count = 1, .configured = true, .settle_ms = 400};
	if (rules_apply(r, &c, &err) < 0) fail_msg("%s", err.message);
	turn_until(l, r, 1);
	rules_news_json(r, HG_STR(""), 0, &b);
	assert_non_null(strstr(hg_buf_text(&b), "\"complete\":true"));
	assert_non_null(
	        strstr(hg_buf_text(&b), "\"incomplete\":[\"Never\",\"Held\",\"Waits\",\"Fails\"]"));
	assert_int_equal(seen.news, 0);
	turn_until(l, r, 7);
	assert_int_equal(seen.news, 1);
	hg_buf_reset(&b);
	rules_news_json(r, HG_STR(""), 0, &b);
	assert_non_null(strstr(hg_buf_text(&b), "\"incomplete\":[\"Held\",\"Fails\"]"));
	assert_non_null(
	        strstr(hg_buf_text(&b), "\"pending\":[{\"a\":\"b\",\"alertname\":\"Waits\"}]"));
	/* The same rules once more are known as before. */
	assert_int_equal(rules_apply(r, &c, &err), HG_OK);
	hg_buf_reset(&b);
	rules_news_json(r, HG_STR(""), 0, &b);
	assert_non_null(strstr(hg_buf_text(&b), "\"incomplete\":[\"Held\",\"Fails\"]"));
	hg_buf_free(&b);
	rules_free(r);
	tsdb_close(db);
	loop_free(l);
}

static void what_is_taken_out_of_the_file_has_ended(void **state)
{
	(void)state;
	struct tsdb_options to = {0};
	struct loop *l = NULL;
	struct world w = {0};
	struct rules *r = NULL;
	struct hg_err err = {0};
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(tsdb_open(&to, &w.db, NULL), HG_OK);
	struct rules_options o = {.loop = l, .db = w.db, .wall_ms = wall};
	assert_int_equal(rules_new(&o, &r, &err), HG_OK);
	struct rules_source src = {
	        HG_STR("a.yml"), HG_STR("groups:\n- name: a\n  interval: 200ms\n"
	                                "  rules:\n  - {record: two, expr: '2'}\n")};
	struct rules_conf c = {.files = &src, .file_count = 1};
	assert_int_equal(rules_apply(r, &c, &err), HG_OK);
	turn_until(l, r, 1);
	assert_true(value(&w, "two", wall() / 1000 + 1) == 2);
	c.file_count = 0;
	assert_int_equal(rules_apply(r, &c, &err), HG_OK);
	assert_true(value(&w, "two", wall() / 1000 + 1) == -1);
	rules_free(r);
	tsdb_close(w.db);
	loop_free(l);
}

static void what_is_wrong_with_a_rule_is_said_beside_it(void **state)
{
	(void)state;
	struct tsdb_options to = {0};
	struct loop *l = NULL;
	struct world w = {0};
	struct rules *r = NULL;
	struct hg_err err = {0};
	struct hg_buf b;
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(tsdb_open(&to, &w.db, NULL), HG_OK);
	struct rules_options o = {.loop = l, .db = w.db, .wall_ms = wall};
	assert_int_equal(rules_new(&o, &r, &err), HG_OK);
	struct rules_source src[] = {
	        {HG_STR("a.yml"), HG_STR("groups:\n- name: a\n  rules:\n"
	                                 "  - {alert: Good, expr: there > 5}\n"
	                                 "- name: b\n  interval: 1m\n  rules:\n"
	                                 "  - {alert: Good, expr: there > 5}\n"
	                                 "  - {alert: Short, expr: there > 5, for: 5s}\n")},
	        {HG_STR("b.yml"), HG_STR("groups:\n- name: c\n  rules:\n"
	                                 "  - {alert: Never, expr: 'rate(x_total[5m]) < 0'}\n")}};
	struct rules_conf c = {.files = src, .file_count = 2, .builtin = true};
	assert_int_equal(rules_apply(r, &c, &err), HG_OK);
	const struct rules_live_group *g = &r->groups[r->n - 3];
	assert_int_equal(g[0].note_n, 0);
	assert_int_equal(g[1].note_n, 1);
	assert_int_equal(g[1].notes[0].rule, 1);
	assert_string_equal(g[1].notes[0].hint, "did you mean: for: 1m");
	assert_int_equal(g[2].note_n, 1);
	hg_buf_init(&b, 65536);
	rules_json(r, NULL, &b);
	assert_non_null(strstr(hg_buf_text(&b), "\"hint\":\"did you mean: for: 1m\""));
	hg_buf_free(&b);
	/* Right when it comes again. */
	c.file_count = 1;
	src[0].text = HG_STR("groups:\n- name: b\n  interval: 1m\n  rules:\n"
	                     "  - {alert: Short, expr: there > 5, for: 1m}\n");
	assert_int_equal(rules_apply(r, &c, &err), HG_OK);
	assert_int_equal(r->groups[r->n - 1].note_n, 0);
	rules_free(r);
	tsdb_close(w.db);
	loop_free(l);
}

static void rules_whose_series_are_not_there_are_counted(void **state)
{
	(void)state;
	struct tsdb_options to = {0};
	struct loop *l = NULL;
	struct world w = {0};
	struct rules *r = NULL;
	struct hg_err err = {0};
	struct hg_buf b;
	assert_int_equal(loop_new(&l), HG_OK);
	assert_int_equal(tsdb_open(&to, &w.db, NULL), HG_OK);
	put(&w, "there{a=\"b\"}", wall() / 1000, 1);
	struct rules_options o = {.loop = l, .db = w.db, .wall_ms = wall};
	assert_int_equal(rules_new(&o, &r, &err), HG_OK);
	struct rules_source src = {
	        HG_STR("a.yml"), HG_STR("groups:\n- name: a\n  rules:\n"
	                                "  - {alert: Good, expr: there > 5}\n"
	                                "  - {alert: Dead, expr: gone > 5}\n"
	                                "  - {alert: Half, expr: 'there{a=\"c\"} > 5'}\n"
	                                "  - {alert: Asks, expr: absent(gone)}\n")};
	struct rules_conf c = {.files = &src, .file_count = 1, .builtin = true};
	assert_int_equal(rules_apply(r, &c, &err), HG_OK);
	hg_buf_init(&b, 65536);
	assert_true(rules_empty_look(r));
	assert_int_equal(r->empty, 2);
	rules_json(r, NULL, &b);
	/* Beside the rule, once however often it is looked. */
	assert_true(rules_empty_look(r));
	assert_int_equal(r->groups[r->n - 1].note_n, 2);
	assert_int_equal(r->groups[r->n - 1].notes[0].rule, 1);
	assert_non_null(strstr(hg_buf_text(&b), "\"notes\":[{\"message\":\""));
	hg_buf_reset(&b);
	put(&w, "gone", wall() / 1000, 1);
	assert_true(rules_empty_look(r));
	assert_int_equal(r->empty, 1);
	assert_int_equal(r->groups[r->n - 1].note_n, 1);
	rules_metrics(r, &b);
	assert_non_null(strstr(hg_buf_text(&b), "headgate_rules_matching_nothing 1\n"));
	hg_buf_free(&b);
	rules_free(r);
	tsdb_close(w.db);
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(groups_are_evaluated_in_order_and_write_what_they_give),
	        cmocka_unit_test(what_is_gone_is_marked_at_once),
	        cmocka_unit_test(alerts_are_series_by_their_state),
	        cmocka_unit_test(templates_know_labels_value_and_the_store),
	        cmocka_unit_test(a_rule_that_fails_says_so_and_keeps_its_alerts),
	        cmocka_unit_test(the_query_offset_is_that_of_the_samples_too),
	        cmocka_unit_test(what_fired_fires_on_after_a_restart),
	        cmocka_unit_test(what_had_ended_before_a_restart_begins_anew),
	        cmocka_unit_test(on_the_loop_groups_take_their_turns_and_news_are_told),
	        cmocka_unit_test(what_fires_is_known_after_a_while_and_that_is_news),
	        cmocka_unit_test(what_is_taken_out_of_the_file_has_ended),
	        cmocka_unit_test(what_is_wrong_with_a_rule_is_said_beside_it),
	        cmocka_unit_test(rules_whose_series_are_not_there_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
