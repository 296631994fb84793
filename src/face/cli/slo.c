/* slo: objectives, budgets, how fast they burn. */
#include "client_priv.h"
#include "rollout_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *percent(double ratio, int places, char to[CLI_TEXT_MAX])
{
	(void)snprintf(to, CLI_TEXT_MAX, "%.*f %%", places, ratio * 100);
	return to;
}

/* "99.95 %": as few places as say it. */
static const char *objective_text(double ratio, char to[CLI_TEXT_MAX])
{
	(void)snprintf(to, CLI_TEXT_MAX, "%.8g %%", ratio * 100);
	return to;
}

static enum cli_mark mark_of(const json_t *o)
{
	double left = json_number_value(json_object_get(json_object_get(o, "budget"), "left"));
	const json_t *a;
	size_t i;
	json_array_foreach(cli_list(o, "alerts"), i,
	        a) if (!strcmp(cli_text(a, "severity"), "critical")) return CLI_BAD;
	if (left <= 0) return CLI_BAD;
	return json_array_size(cli_list(o, "alerts")) || json_is_true(json_object_get(o, "frozen"))
	               ? CLI_WARN
	               : CLI_GOOD;
}

static const char *state_text(const json_t *o)
{
	bool alerts = json_array_size(cli_list(o, "alerts")) > 0;
	switch (mark_of(o)) {
	case CLI_BAD: return alerts ? "burns" : "used up";
	case CLI_WARN: return alerts ? "ticket" : "frozen";
	default: return "good";
	}
}

static double burn_of(const json_t *o)
{
	return json_number_value(
	        json_object_get(json_array_get(cli_list(o, "rules"), 0), "burn_long"));
}

static void row(const struct cli *c, const json_t *o)
{
	char goal[CLI_TEXT_MAX], ratio[CLI_TEXT_MAX] = "-", left[CLI_TEXT_MAX];
	const json_t *budget = json_object_get(o, "budget"), *r = json_object_get(o, "ratio");
	double now = json_number_value(r);
	if (json_is_number(r)) (void)snprintf(ratio, sizeof ratio, "%.4f %%", now * 100);
	cli_out("%s %-12.12s %-12s %-9s %-4s %-10s %-9s %-6.3g %s\n", cli_mark(c, mark_of(o)),
	        cli_text(o, "app"), cli_text(o, "slo"),
	        objective_text(json_number_value(json_object_get(o, "objective")), goal),
	        cli_text(o, "window"), ratio,
	        percent(json_number_value(json_object_get(budget, "left")), 1, left), burn_of(o),
	        state_text(o));
}

/* How the budget went: a line for each slice that spent something, the last of them. */
static void spent(const json_t *o)
{
	const json_t *slices = cli_list(json_object_get(o, "history"), "slices"), *s;
	char when[32], left[CLI_TEXT_MAX];
	size_t i, n = 0, shown = 0;
	json_array_foreach(slices, i, s) n += cli_int(s, "bad") > 0;
	json_array_foreach(slices, i, s)
	{
		if (cli_int(s, "bad") == 0 || n-- > 10) continue;
		if (!shown++)
			cli_out("  %-18s %-10s %-10s %-7s %s\n", "SPENT UNTIL (UTC)", "BAD",
			        "ANSWERS", "BURN", "LEFT");
		cli_out("  %-18s %-10lld %-10lld %-7.3g %s\n",
		        cli_moment((uint64_t)cli_int(s, "until_ms"), when),
		        (long long)cli_int(s, "bad"), (long long)cli_int(s, "total"),
		        json_number_value(json_object_get(s, "burn")),
		        percent(json_number_value(json_object_get(s, "left")), 1, left));
	}
}

static void details(const struct cli *c, const json_t *o)
{
	const json_t *budget = json_object_get(o, "budget"), *rule;
	char lasts[CLI_TEXT_MAX];
	size_t i;
	double ends = cli_num(budget, "exhausted_in_s");
	cli_out("  %lld of %lld answers bad, %.8g may be; the budget is %.1f minutes of outage, "
	        "%.1f left\n",
	        (long long)cli_int(o, "bad"), (long long)cli_int(o, "total"),
	        json_number_value(json_object_get(budget, "allowed")),
	        json_number_value(json_object_get(budget, "minutes")),
	        json_number_value(json_object_get(budget, "minutes_left")));
	if (ends > 0)
		cli_out("  at the burn of the last %s it lasts: %s\n",
		        cli_text(json_array_get(cli_list(o, "rules"), 0), "long"),
		        cli_human_age((uint64_t)ends, lasts));
	if (cli_num(o, "freeze_below") > 0)
		cli_out("  deployments need --override below %.3g %%%s\n",
		        cli_num(o, "freeze_below") * 100,
		        json_is_true(json_object_get(o, "frozen")) ? ": now" : "");
	if (cli_text(o, "runbook")[0]) cli_out("  runbook: %s\n", cli_text(o, "runbook"));
	cli_out("  %-9s %-8s %-8s %-8s %s\n", "ALERT", "LIMIT", "BURN", "IN", "");
	json_array_foreach(cli_list(o, "rules"), i, rule)
	{
		bool holds = json_is_true(json_object_get(rule, "holds"));
		cli_out("  %-9s %-8.3g %-8.3g %-8s %s\n", cli_text(rule, "severity"),
		        json_number_value(json_object_get(rule, "limit")),
		        json_number_value(json_object_get(rule, "burn_long")),
		        cli_text(rule, "long"), "");
		cli_out("  %-9s %-8s %-8.3g %-8s %s%s\n", "", "",
		        json_number_value(json_object_get(rule, "burn_short")),
		        cli_text(rule, "short"), holds ? cli_mark(c, CLI_BAD) : "",
		        holds ? " fires" : "");
	}
	spent(o);
}

int cli_do_slo(struct cli *c)
{
	struct hg_err err = {0};
	struct hg_buf path;
	json_t *j = NULL;
	const json_t *o, *worst = NULL;
	const char *app = c->args.count ? c->args.positional[0] : NULL;
	size_t i;
	hg_buf_init(&path, 8192);
	hg_buf_cstr(&path, "/v1/slo");
	if (app) cli_query_add(&path, "app", hg_str(app));
	enum hg_rc rc = cli_call(c, "GET", hg_buf_text(&path), NULL, CLI_READ_MS, &j, &err);
	hg_buf_free(&path);
	if (rc < 0) return cli_fail(&err);
	if (cli_has(&c->args, CLI_F_JSON)) {
		(void)cli_print_json(j, false);
		json_decref(j);
		return 0;
	}
	if (json_array_size(cli_list(j, "objectives")) == 0) {
		cli_say("no app has objectives");
		cli_next(c, "headgate explain apps.*.slo");
		json_decref(j);
		return 0;
	}
	cli_out("  %-12s %-12s %-9s %-4s %-10s %-9s %-6s %s\n", "APP", "OBJECTIVE", "GOAL", "IN",
	        "NOW", "LEFT", "BURN", "STATE");
	json_array_foreach(cli_list(j, "objectives"), i, o)
	{
		row(c, o);
		if (app) details(c, o);
		if (!worst && mark_of(o) == CLI_BAD) worst = o;
	}
	if (worst)
		cli_next(c, app ? "headgate incidents --open" : "headgate slo %s",
		        cli_text(worst, "app"));
	else if (!app)
		cli_next(c, "headgate slo %s",
		        cli_text(json_array_get(cli_list(j, "objectives"), 0), "app"));
	json_decref(j);
	return 0;
}
