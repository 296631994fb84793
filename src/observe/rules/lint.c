/* Notes on rules: those on their expressions, and what needs the whole rule to be seen. */
#include "rules_priv.h"

#include "observe/promql/lint.h"

#include <stdio.h>

struct linting {
	const struct rules_file *f;
	const struct rules_lint_options *o;
	const struct rules_rule *rule;
	rules_found_fn found;
	void *arg;
};

static struct rules_finding finding(const struct linting *x, const struct spec_node *n, uint32_t at)
{
	struct rules_finding y = {.rule = x->rule};
	rules_place(x->f, n, at, &y.line, &y.column);
	return y;
}

static void on_note(void *arg, const struct promql_note_lint *n)
{
	const struct linting *x = arg;
	struct rules_finding y = finding(x, x->rule->expr_node, n->at);
	(void)snprintf(y.message, sizeof y.message, "%s", n->message);
	if (n->fix[0]) (void)snprintf(y.hint, sizeof y.hint, "did you mean: %s", n->fix);
	x->found(x->arg, &y);
}

static bool exists(void *arg, const struct label_matcher *m, uint32_t n)
{
	const struct linting *x = arg;
	return x->o->exists(x->o->arg, m, n);
}

static bool contains(struct hg_str s, const char *part)
{
	size_t n = strlen(part);
	for (size_t i = 0; i + n <= s.n; i++)
		if (memcmp(s.p + i, part, n) == 0) return true;
	return false;
}

static bool prints_percentage(const struct rules_rule *r)
{
	for (uint32_t i = 0; i < r->annotations.n; i++)
		if (contains(r->annotations.at[i].value, "$value | humanizePercentage") ||
		        contains(r->annotations.at[i].value, "humanizePercentage $value"))
			return true;
	return false;
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

/* `$labels.NAME` of labels that the expression has aggregated away prints nothing. */
static void template_labels(struct linting *x, const char *key, struct labels ls)
{
	static const char mark[] = "$labels.";
	const struct spec_node *map = spec_node_get(x->rule->node, key);
	for (uint32_t i = 0; map && i < ls.n; i++) {
		struct hg_str s = ls.at[i].value;
		const struct spec_node *n = map->first;
		while (n && !hg_str_eq(n->key, ls.at[i].name))
			n = n->next;
		for (size_t k = 0; n && k + sizeof mark < s.n; k++) {
			if (memcmp(s.p + k, mark, sizeof mark - 1) != 0) continue;
			struct hg_str name = {s.p + k + sizeof mark - 1, 0};
			while (name.p + name.n < s.p + s.n && is_name(name.p[name.n]))
				name.n++;
			if (!name.n || promql_may_have_label(x->rule->query, name)) continue;
			struct rules_finding y = finding(x, n, (uint32_t)k);
			(void)snprintf(y.message, sizeof y.message,
			        "the label %.*s is never there: the expression has "
			        "aggregated it away",
			        (int)HG_MIN(name.n, 60), name.p);
			(void)snprintf(y.hint, sizeof y.hint,
			        "add it to `by (…)`, or leave it out of the text");
			x->found(x->arg, &y);
			break;
		}
	}
}

static void for_check(struct linting *x, int64_t interval_ms)
{
	const struct spec_node *n = spec_node_get(x->rule->node, "for");
	struct hg_buf b;
	if (!n || x->rule->for_ms <= 0 || x->rule->for_ms >= interval_ms) return;
	struct rules_finding y = {.rule = x->rule, .line = n->line, .column = n->column};
	hg_buf_init(&b, 64);
	promql_print_duration(&b, interval_ms);
	(void)snprintf(y.message, sizeof y.message,
	        "`for` is shorter than the interval of the group (%s): it fires one interval after "
	        "it began",
	        hg_buf_text(&b));
	(void)snprintf(y.hint, sizeof y.hint, "did you mean: for: %s", hg_buf_text(&b));
	hg_buf_free(&b);
	x->found(x->arg, &y);
}

void rules_find(const struct rules_file *f, const struct rules_lint_options *o,
        rules_found_fn found, void *arg)
{
	static const struct rules_lint_options usual = {0};
	struct linting x = {.f = f, .o = o ? o : &usual, .found = found, .arg = arg};
	int64_t every = x.o->every_ms ? x.o->every_ms : (int64_t)RULES_EVERY_MS;
	for (uint32_t i = 0; i < f->n; i++) {
		const struct rules_group *g = &f->groups[i];
		for (uint32_t k = 0; k < g->n; k++) {
			x.rule = &g->rules[k];
			struct promql_lint_env env = {.alert = x.rule->alerting,
			        .percentage = prints_percentage(x.rule),
			        .scrape_ms = x.o->scrape_ms,
			        .exists = x.o->exists ? exists : NULL,
			        .note = on_note,
			        .arg = &x};
			promql_lint(x.rule->query, &env);
			if (!x.rule->alerting) continue;
			for_check(&x, g->interval_ms ? g->interval_ms : every);
			template_labels(&x, "labels", x.rule->labels);
			template_labels(&x, "annotations", x.rule->annotations);
		}
	}
}

struct reporting {
	struct spec_report *report;
	uint32_t n;
};

static void on_found(void *arg, const struct rules_finding *y)
{
	struct reporting *x = arg;
	struct hg_err *e = spec_report_warning(x->report, y->line, y->column);
	e->rc = HG_E_RULES_ADVICE;
	spec_err_say(e, "%.*s: %s", (int)HG_MIN(y->rule->name.n, 80), y->rule->name.p, y->message);
	if (y->hint[0]) hg_err_hint(e, "%s", y->hint);
	x->n++;
}

uint32_t rules_lint(
        const struct rules_file *f, const struct rules_lint_options *o, struct spec_report *report)
{
	struct reporting x = {.report = report};
	rules_find(f, o, on_found, &x);
	return x.n;
}
