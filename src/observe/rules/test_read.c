/* Files of `promtool test rules`, as YAML says it. */
#include "test_priv.h"

#include "wire/date.h"

#include <math.h>
#include <stdlib.h>

struct reading {
	struct rt_file *f;
	struct spec_report *r;
};

static void refuse(struct reading *x, const struct spec_node *n, const char *what)
{
	spec_err_say(spec_report_error(x->r, HG_E_RULES_FILE, n->line, n->column), "%s", what);
}

static bool empty(const struct spec_node *n)
{
	return !n || (n->kind == SPEC_N_SCALAR && !n->text.n && !n->quoted);
}

static void *take(struct reading *x, size_t n, size_t size)
{
	void *p = hg_arena_array(&x->f->mem, n + 1, size);
	if (!p)
		spec_err_say(spec_report_error(x->r, HG_E_NOMEM, 0, 0),
		        "the file needs more memory than it may");
	return p;
}

static struct hg_str text_of(struct reading *x, const struct spec_node *map, const char *key)
{
	const struct spec_node *n = spec_node_get(map, key);
	if (empty(n)) return (struct hg_str){"", 0};
	if (n->kind == SPEC_N_SCALAR) return n->text;
	refuse(x, n, "this must be a text");
	return (struct hg_str){"", 0};
}

static int64_t duration_of(
        struct reading *x, const struct spec_node *map, const char *key, int64_t otherwise)
{
	const struct spec_node *n = spec_node_get(map, key);
	int64_t ms = 0;
	if (empty(n)) return otherwise;
	if (n->kind == SPEC_N_SCALAR && promql_duration(n->text, &ms) && ms >= 0) return ms;
	refuse(x, n, "this is no duration; write 30s, 5m, 1h30m");
	return otherwise;
}

/* The list under a key; NULL when there is none. */
static const struct spec_node *list_of(
        struct reading *x, const struct spec_node *map, const char *key)
{
	const struct spec_node *n = spec_node_get(map, key);
	if (empty(n)) return NULL;
	if (n->kind == SPEC_N_LIST) return n;
	refuse(x, n, "this must be a list");
	return NULL;
}

static bool is_map(struct reading *x, const struct spec_node *n)
{
	if (n->kind == SPEC_N_MAP) return true;
	refuse(x, n, "this must be a mapping");
	return false;
}

static struct labels pairs_of(
        struct reading *x, const struct spec_node *map, const char *key, struct hg_str alertname)
{
	const struct spec_node *n = spec_node_get(map, key);
	uint32_t count = 0;
	if (!empty(n) && !is_map(x, n)) return (struct labels){0};
	struct label *at = take(x, empty(n) ? 1 : n->count + 1ul, sizeof *at);
	if (!at) return (struct labels){0};
	if (alertname.n) at[count++] = (struct label){HG_STR("alertname"), alertname};
	for (const struct spec_node *c = empty(n) ? NULL : n->first; c; c = c->next) {
		if (c->kind != SPEC_N_SCALAR) {
			refuse(x, c, "this must be a text");
			continue;
		}
		/* What the test says of alertname is replaced. */
		if (alertname.n && hg_str_eq(c->key, HG_STR("alertname"))) continue;
		uint32_t k = count++;
		for (; k && label_text_compare(at[k - 1].name, c->key) > 0; k--)
			at[k] = at[k - 1];
		at[k] = (struct label){c->key, c->text};
	}
	return (struct labels){at, count};
}

static struct hg_str *texts_of(
        struct reading *x, const struct spec_node *map, const char *key, uint32_t *ret_n)
{
	const struct spec_node *n = list_of(x, map, key);
	struct hg_str *at = take(x, n ? n->count : 0, sizeof *at);
	*ret_n = 0;
	for (const struct spec_node *c = n ? n->first : NULL; at && c; c = c->next) {
		if (c->kind == SPEC_N_SCALAR)
			at[(*ret_n)++] = c->text;
		else
			refuse(x, c, "this must be a text");
	}
	return at;
}

static void series_read(struct reading *x, const struct spec_node *n, struct rt_test *t)
{
	static const char *const keys[] = {"series", "values", NULL};
	const struct spec_node *list = list_of(x, n, "input_series");
	t->series = take(x, list ? list->count : 0, sizeof *t->series);
	for (const struct spec_node *c = list ? list->first : NULL; t->series && c; c = c->next) {
		struct rt_series *s = &t->series[t->series_n++];
		struct hg_err why = {0};
		if (!is_map(x, c)) continue;
		rules_keys_check(x->r, c, keys, "a series");
		enum hg_rc rc = promql_series_read(&x->f->mem, text_of(x, c, "series"),
		        text_of(x, c, "values"), &s->labels, &s->items, &s->n, &why);
		if (rc < 0)
			spec_err_say(
			        spec_report_error(x->r, rc, c->line, c->column), "%s", why.message);
	}
}

static void alerts_read(struct reading *x, const struct spec_node *n, struct rt_test *t)
{
	static const char *const keys[] = {"eval_time", "alertname", "exp_alerts", NULL};
	static const char *const alert_keys[] = {"exp_labels", "exp_annotations", NULL};
	const struct spec_node *list = list_of(x, n, "alert_rule_test");
	t->alerts = take(x, list ? list->count : 0, sizeof *t->alerts);
	for (const struct spec_node *c = list ? list->first : NULL; t->alerts && c; c = c->next) {
		struct rt_alert_test *a = &t->alerts[t->alert_n++];
		if (!is_map(x, c)) continue;
		rules_keys_check(x->r, c, keys, "a test of alerts");
		a->at_ms = duration_of(x, c, "eval_time", 0);
		a->name = text_of(x, c, "alertname");
		if (!a->name.n)
			refuse(x, c,
			        "an item under alert_rule_test misses required attribute "
			        "alertname");
		const struct spec_node *exp = list_of(x, c, "exp_alerts");
		a->alerts = take(x, exp ? exp->count : 0, sizeof *a->alerts);
		for (const struct spec_node *e = exp ? exp->first : NULL; a->alerts && e;
		        e = e->next) {
			struct rt_alert *to = &a->alerts[a->n++];
			if (!empty(e) && !is_map(x, e)) continue;
			rules_keys_check(x->r, e, alert_keys, "an expected alert");
			to->labels = pairs_of(x, e, "exp_labels", a->name);
			to->annotations = pairs_of(x, e, "exp_annotations", (struct hg_str){"", 0});
		}
	}
}

static double number_of(struct reading *x, const struct spec_node *map, const char *key)
{
	const struct spec_node *n = spec_node_get(map, key);
	double v = 0, sign = 1;
	if (empty(n)) return 0;
	struct hg_str s = n->kind == SPEC_N_SCALAR ? n->text : (struct hg_str){"", 0};
	if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
		sign = s.p[0] == '-' ? -1 : 1;
		s = (struct hg_str){s.p + 1, s.n - 1};
	}
	if (s.n && s.p[0] == '.' && s.n >= 4 && hg_str_eq_nocase(s, HG_STR(".inf")))
		return sign * INFINITY;
	if (hg_str_eq_nocase(s, HG_STR(".nan"))) return NAN;
	if (!promql_number(s, &v)) refuse(x, n, "this must be a number");
	return sign * v;
}

static void exprs_read(struct reading *x, const struct spec_node *n, struct rt_test *t)
{
	static const char *const keys[] = {"expr", "eval_time", "exp_samples", NULL};
	static const char *const sample_keys[] = {"labels", "value", "histogram", NULL};
	const struct spec_node *list = list_of(x, n, "promql_expr_test");
	t->exprs = take(x, list ? list->count : 0, sizeof *t->exprs);
	for (const struct spec_node *c = list ? list->first : NULL; t->exprs && c; c = c->next) {
		struct rt_expr_test *e = &t->exprs[t->expr_n++];
		if (!is_map(x, c)) continue;
		rules_keys_check(x->r, c, keys, "a test of an expression");
		e->at_ms = duration_of(x, c, "eval_time", 0);
		e->expr = text_of(x, c, "expr");
		const struct spec_node *exp = list_of(x, c, "exp_samples");
		e->samples = take(x, exp ? exp->count : 0, sizeof *e->samples);
		for (const struct spec_node *s = exp ? exp->first : NULL; e->samples && s;
		        s = s->next) {
			struct rt_sample *to = &e->samples[e->n++];
			if (!is_map(x, s)) continue;
			rules_keys_check(x->r, s, sample_keys, "an expected sample");
			if (!empty(spec_node_get(s, "histogram")))
				refuse(x, s, "native histograms are not built");
			to->text = text_of(x, s, "labels");
			to->bad = !promql_metric_read(&x->f->mem, to->text, &to->labels);
			to->v = number_of(x, s, "value");
		}
	}
}

static int64_t start_of(struct reading *x, const struct spec_node *map)
{
	const struct spec_node *n = spec_node_get(map, "start_timestamp");
	uint64_t ms;
	double s;
	if (empty(n)) return 0;
	if (n->kind == SPEC_N_SCALAR && date_rfc3339_parse(n->text, &ms)) return (int64_t)ms;
	if (n->kind == SPEC_N_SCALAR && promql_number(n->text, &s) && s >= 0 && s < 1e12)
		return (int64_t)llround(s * 1000);
	refuse(x, n, "this must be a time: seconds, or as 2026-01-01T00:00:00Z");
	return 0;
}

static void test_read(struct reading *x, const struct spec_node *n, struct rt_test *t)
{
	static const char *const keys[] = {"name", "interval", "input_series", "alert_rule_test",
	        "promql_expr_test", "external_labels", "external_url", "start_timestamp", NULL};
	if (!is_map(x, n)) return;
	rules_keys_check(x->r, n, keys, "a test");
	t->line = n->line;
	t->name = text_of(x, n, "name");
	t->interval_ms = duration_of(x, n, "interval", 0);
	if (!t->interval_ms) t->interval_ms = x->f->every_ms;
	t->start_ms = start_of(x, n);
	t->url = text_of(x, n, "external_url");
	t->external = pairs_of(x, n, "external_labels", (struct hg_str){"", 0});
	series_read(x, n, t);
	alerts_read(x, n, t);
	exprs_read(x, n, t);
}

static void file_read_tree(struct reading *x, const struct spec_node *tree)
{
	static const char *const keys[] = {"rule_files", "evaluation_interval", "group_eval_order",
	        "tests", "fuzzy_compare", NULL};
	struct rt_file *f = x->f;
	if (!is_map(x, tree)) return;
	rules_keys_check(x->r, tree, keys, "a file of tests");
	f->rule_files = texts_of(x, tree, "rule_files", &f->rule_file_n);
	f->order = texts_of(x, tree, "group_eval_order", &f->order_n);
	for (uint32_t i = 1; i < f->order_n; i++)
		for (uint32_t k = 0; k < i; k++)
			if (hg_str_eq(f->order[i], f->order[k]))
				refuse(x, spec_node_get(tree, "group_eval_order"),
				        "a group is named twice in group_eval_order");
	int64_t every = duration_of(x, tree, "evaluation_interval", 60000);
	f->every_ms = every > 0 ? every : 60000;
	struct hg_str fuzzy = text_of(x, tree, "fuzzy_compare");
	f->fuzzy = hg_str_eq(fuzzy, HG_STR("true"));
	const struct spec_node *tests = list_of(x, tree, "tests");
	f->tests = take(x, tests ? tests->count : 0, sizeof *f->tests);
	for (const struct spec_node *c = tests ? tests->first : NULL; f->tests && c; c = c->next)
		test_read(x, c, &f->tests[f->test_n++]);
}

enum hg_rc rt_file_read(struct hg_str text, struct spec_report *report, struct rt_file *f)
{
	struct reading x = {.f = f, .r = report};
	struct spec_node *tree = NULL;
	*f = (struct rt_file){.every_ms = 60000};
	hg_arena_init(&f->mem, "rule tests", RT_BYTES);
	if (spec_yaml_parse_aliases(text, &f->mem, report, &tree) == HG_OK && !empty(tree))
		file_read_tree(&x, tree);
	return spec_report_rc(report);
}

void rt_file_free(struct rt_file *f)
{
	hg_arena_fini(&f->mem);
}
