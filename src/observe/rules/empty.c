/*
 * An alert whose series are gone never fires, and looks like an alert that has no reason to. So it
 * is looked whether the series that rules name are there; what is not is on the log, counted, and
 * a note of the rule.
 */
#include "rules_priv.h"

#include "observe/promql/lint.h"

#define FIRST_MS 180000u  /* after a configuration: targets have been scraped by then */
#define EVERY_MS 3600000u /* also the time in which there must have been a sample */
#define BUSY_MS  500u
#define FOUND    10000u /* series: more are not looked for */

struct looking {
	struct rules *r;
	struct rules_live_group *g;
	uint32_t at;
	const struct rules_rule *rule;
	bool any;
};

static bool exists(void *arg, const struct label_matcher *m, uint32_t n)
{
	const struct looking *x = arg;
	struct tsdb_selection *sel = NULL;
	int64_t now = x->r->o.wall_ms();
	struct hg_err err = {0};
	/* On the loop: of a million series it need not know each. */
	static const struct tsdb_select_limits limits = {.series = FOUND};
	/* What cannot be asked is not missing. */
	if (tsdb_select_within(
	            x->r->o.db, m, n, now - (int64_t)EVERY_MS, now, &limits, &sel, &err) < 0)
		return true;
	bool any = tsdb_selection_count(sel) > 0;
	tsdb_selection_free(sel);
	return any;
}

static void on_note(void *arg, const struct promql_note_lint *n)
{
	struct looking *x = arg;
	if (!hg_str_eq(hg_str(n->id), HG_STR("empty"))) return;
	x->any = true;
	rules_note_missing(x->g, x->at, n->message);
	if (x->r->o.log)
		hg_log(x->r->o.log, HG_WARN, "rule.matches_nothing", HG_V("file", x->g->file->name),
		        HG_V("group", x->g->group->name), HG_V("rule", x->rule->name),
		        HG_S("message", n->message));
}

bool rules_empty_look(struct rules *r)
{
	/* The expressions' compiled matchers belong to the evaluating thread meanwhile. */
	if (r->busy) return false;
	r->empty = 0;
	for (uint32_t i = 0; i < r->n; i++) {
		struct rules_live_group *g = &r->groups[i];
		rules_notes_found(g);
		if (hg_str_eq(g->file->text, rules_builtin())) continue;
		for (uint32_t k = 0; k < g->n; k++) {
			struct looking x = {.r = r, .g = g, .at = k, .rule = g->rules[k].rule};
			const struct promql_lint_env env = {
			        .exists = exists, .note = on_note, .arg = &x};
			promql_lint(x.rule->query, &env);
			r->empty += x.any;
		}
	}
	return true;
}

static void on_timer(struct loop *l, struct loop_timer *t)
{
	struct rules *r = HG_CONTAINER(t, struct rules, empty_timer);
	uint32_t next = rules_empty_look(r) ? EVERY_MS : BUSY_MS;
	if (loop_timer_start(l, t, next, on_timer) < 0 && r->o.log)
		hg_log(r->o.log, HG_ERROR, "rules.no_timer");
}

void rules_empty_start(struct rules *r)
{
	if (loop_timer_start(r->o.loop, &r->empty_timer, FIRST_MS, on_timer) < 0 && r->o.log)
		hg_log(r->o.log, HG_ERROR, "rules.no_timer");
}
