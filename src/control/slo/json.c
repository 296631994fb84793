/* What people and programs are shown. */
#include "control/slo/slo_priv.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICES 60u

/* How the budget was spent: equal parts of the window, oldest first, and what was left after each
 * of what the whole window allows. */
static json_t *history_json(const struct slo *s, const struct slo_app *a, enum slo_kind kind)
{
	const struct slo_objective *o = &a->conf.of[kind];
	uint64_t slice = HG_MAX(o->period_min / SLICES, (uint64_t)1), now = slo_minute_now(s);
	uint64_t n = (o->period_min + slice - 1) / slice, first = slo_history_first(&a->history);
	struct burn_counts so_far = {0};
	json_t *list = json_array();
	for (uint64_t i = n; i-- > 0;) {
		struct slo_counts sum;
		uint64_t end = now - i * slice;
		if (end < first || i * slice > now) continue;
		slo_history_sum(&a->history, end, slice, &sum);
		struct burn_counts c = slo_events(&sum, kind);
		so_far.bad += c.bad;
		struct burn_counts spent = {so_far.bad, a->seen[kind].period.total};
		json_array_append_new(list,
		        json_pack("{s:I,s:I,s:I,s:f,s:f}", "until_ms",
		                (json_int_t)(end + 1) * 60000, "bad", (json_int_t)c.bad, "total",
		                (json_int_t)c.total, "burn", burn_rate(c, o->objective_ppm), "left",
		                burn_left(spent, o->objective_ppm)));
	}
	return json_pack("{s:I,s:o}", "slice_minutes", (json_int_t)slice, "slices", list);
}

static json_t *rules_json(const struct slo_app *a, enum slo_kind kind)
{
	const struct slo_objective *o = &a->conf.of[kind];
	const struct slo_seen *seen = &a->seen[kind];
	json_t *list = json_array();
	for (unsigned i = 0; i < BURN_RULES; i++) {
		const struct burn_rule *r = &o->rule[i];
		char in_long[SLO_SPAN], in_short[SLO_SPAN];
		slo_span_text(r->long_min, in_long);
		slo_span_text(r->short_min, in_short);
		bool holds = burn_rule_holds(r, o->period_min, o->objective_ppm, seen->in_long[i],
		        seen->in_short[i], a->conf.min_failures);
		json_array_append_new(list,
		        json_pack("{s:s,s:s,s:s,s:f,s:f,s:f,s:b}", "long", in_long, "short",
		                in_short, "severity",
		                slo_severity_name(r->page ? SLO_CRITICAL : SLO_WARNING), "limit",
		                burn_rule_factor(r, o->period_min), "burn_long",
		                burn_rate(seen->in_long[i], o->objective_ppm), "burn_short",
		                burn_rate(seen->in_short[i], o->objective_ppm), "holds", holds));
	}
	return list;
}

static json_t *alerts_json(const struct slo_app *a, enum slo_kind kind)
{
	json_t *list = json_array();
	for (int v = 0; v < SLO_SEVERITIES; v++) {
		const struct slo_alert_state *x = &a->state.alert[kind][v];
		if (!x->firing) continue;
		json_array_append_new(list,
		        json_pack("{s:s,s:I}", "severity", slo_severity_name((enum slo_severity)v),
		                "since_ms", (json_int_t)x->since_ms));
	}
	return list;
}

static json_t *budget_json(const struct slo_app *a, enum slo_kind kind)
{
	const struct slo_objective *o = &a->conf.of[kind];
	struct burn_counts c = a->seen[kind].period, in_long = a->seen[kind].in_long[0];
	double left = burn_left(c, o->objective_ppm);
	double minutes = (double)burn_budget_ms(o->objective_ppm, o->period_min * 60000) / 60000;
	double ends =
	        burn_exhausted_in_s(left, burn_rate(in_long, o->objective_ppm), o->period_min);
	json_t *j = json_pack("{s:f,s:f,s:f,s:f}", "allowed",
	        (double)c.total * (BURN_PPM - o->objective_ppm) / BURN_PPM, "left", left, "minutes",
	        minutes, "minutes_left", left * minutes);
	json_object_set_new(j, "exhausted_in_s", ends < 0 ? json_null() : json_real(ends));
	return j;
}

static json_t *objective_json(const struct slo *s, const struct slo_app *a, enum slo_kind kind)
{
	const struct slo_objective *o = &a->conf.of[kind];
	struct burn_counts c = a->seen[kind].period;
	char span[SLO_SPAN];
	uint64_t first = slo_history_first(&a->history), now = slo_minute_now(s);
	/* Older hours are kept, and count no more. */
	if (now >= o->period_min) first = HG_MAX(first, now - o->period_min + 1);
	slo_span_text(o->period_min, span);
	json_t *j = json_pack("{s:s,s:s,s:f,s:s,s:I,s:I,s:I,s:o,s:o,s:o,s:o,s:s}", "app",
	        a->conf.app, "slo", slo_kind_name(kind), "objective",
	        (double)o->objective_ppm / BURN_PPM, "window", span, "window_s",
	        (json_int_t)o->period_min * 60, "bad", (json_int_t)c.bad, "total",
	        (json_int_t)c.total, "budget", budget_json(a, kind), "rules", rules_json(a, kind),
	        "alerts", alerts_json(a, kind), "history", history_json(s, a, kind), "runbook",
	        a->conf.runbook);
	if (!j) return json_null();
	json_object_set_new(j, "ratio",
	        c.total ? json_real((double)(c.total - c.bad) / (double)c.total) : json_null());
	json_object_set_new(j, "since_ms",
	        first == UINT64_MAX ? json_null() : json_integer((json_int_t)first * 60000));
	if (kind == SLO_LATENCY)
		json_object_set_new(j, "faster_than_s", json_real((double)a->conf.fast_ns / 1e9));
	json_object_set_new(j, "freeze_below",
	        a->conf.freeze_ppm ? json_real((double)a->conf.freeze_ppm / BURN_PPM)
	                           : json_null());
	json_object_set_new(j, "frozen", json_boolean(slo_freezes(&a->conf, kind, &a->seen[kind])));
	return j;
}

enum hg_rc slo_json(struct slo *s, struct hg_str app, struct hg_buf *to, struct hg_err *err)
{
	json_t *list = json_array();
	bool found = app.n == 0;
	for (uint32_t i = 0; i < s->count; i++) {
		struct slo_app *a = &s->apps[i];
		if (app.n && !hg_str_eq(app, hg_str(a->conf.app))) continue;
		found = true;
		slo_app_observe(s, a);
		for (int k = 0; k < SLO_KINDS; k++)
			if (a->conf.of[k].set)
				json_array_append_new(list, objective_json(s, a, (enum slo_kind)k));
	}
	json_t *j = json_pack("{s:s,s:I,s:o}", "schema", "headgate.slo/1", "now_ms",
	        (json_int_t)s->o.wall_ms(), "objectives", list);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (text) hg_buf_cstr(to, text);
	bool good = text && !to->failed;
	free(text);
	if (!good) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	if (found) return HG_OK;
	enum hg_rc rc =
	        hg_err_set(err, HG_E_NOT_FOUND, "app \"%.*s\" has no objectives", HG_STR_ARG(app));
	hg_err_hint(err, "write `slo: {availability: {objective: 99.9%%}}` in the app");
	return rc;
}

void slo_each(const struct slo *s, const char *app, void (*fn)(void *arg, const struct slo_view *v),
        void *arg)
{
	for (uint32_t i = 0; i < s->count; i++) {
		const struct slo_app *a = &s->apps[i];
		if (strcmp(a->conf.app, app) != 0) continue;
		for (int k = 0; k < SLO_KINDS; k++) {
			const struct slo_objective *o = &a->conf.of[k];
			const struct slo_alert_state *alert = a->state.alert[k];
			if (!o->set) continue;
			struct slo_view v = {.name = slo_kind_name((enum slo_kind)k),
			        .objective = (double)o->objective_ppm / BURN_PPM,
			        .left = burn_left(a->seen[k].period, o->objective_ppm),
			        .burning = alert[SLO_CRITICAL].firing || alert[SLO_WARNING].firing};
			fn(arg, &v);
		}
		return;
	}
}

/* ---- Prometheus ---- */

enum metric {
	M_OBJECTIVE,
	M_PERIOD,
	M_GOOD,
	M_BAD,
	M_LEFT,
	M_FIRING_CRITICAL,
	M_FIRING_WARNING,
	METRICS
};

static const struct {
	const char *name, *more, *help;
} rows[METRICS] = {
        [M_OBJECTIVE] = {"headgate_slo_objective_ratio", "", "Share that the objective asks for."},
        [M_PERIOD] = {"headgate_slo_window_seconds", "", "What it is counted over."},
        [M_GOOD] = {"headgate_slo_window_events", ",result=\"good\"", "Answers in the window."},
        [M_BAD] = {"headgate_slo_window_events", ",result=\"bad\"", NULL},
        [M_LEFT] = {"headgate_slo_error_budget_remaining_ratio", "",
                "Share of the error budget that is left; negative: overspent."},
        [M_FIRING_CRITICAL] = {"headgate_slo_alert_firing", ",severity=\"critical\"",
                "1 while the budget burns too fast."},
        [M_FIRING_WARNING] = {"headgate_slo_alert_firing", ",severity=\"warning\"", NULL},
};

static double metric(const struct slo_app *a, enum slo_kind k, enum metric m)
{
	const struct slo_objective *o = &a->conf.of[k];
	struct burn_counts c = a->seen[k].period;
	switch (m) {
	case M_OBJECTIVE: return (double)o->objective_ppm / BURN_PPM;
	case M_PERIOD: return (double)o->period_min * 60;
	case M_GOOD: return (double)(c.total - c.bad);
	case M_BAD: return (double)c.bad;
	case M_LEFT: return burn_left(c, o->objective_ppm);
	case M_FIRING_CRITICAL: return a->state.alert[k][SLO_CRITICAL].firing;
	case M_FIRING_WARNING: return a->state.alert[k][SLO_WARNING].firing;
	case METRICS: break;
	}
	return 0;
}

static void head(struct hg_buf *to, const char *name, const char *help)
{
	hg_buf_fmt(to, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

static void burns(const struct slo *s, struct hg_buf *to)
{
	static const char name[] = "headgate_slo_burn_rate";
	head(to, name, "How many times too fast the budget is spent, by window.");
	for (uint32_t i = 0; i < s->count; i++) {
		const struct slo_app *a = &s->apps[i];
		for (int k = 0; k < SLO_KINDS; k++) {
			const struct slo_objective *o = &a->conf.of[k];
			uint64_t said[2 * BURN_RULES];
			uint32_t said_n = 0;
			for (unsigned r = 0; o->set && r < 2 * BURN_RULES; r++) {
				const struct burn_rule *rule = &o->rule[r / 2];
				uint64_t minutes = r % 2 ? rule->long_min : rule->short_min;
				struct burn_counts c = r % 2 ? a->seen[k].in_long[r / 2]
				                             : a->seen[k].in_short[r / 2];
				char span[SLO_SPAN];
				bool again = false;
				/* Windows of a short period meet. */
				for (uint32_t x = 0; x < said_n; x++)
					again = again || said[x] == minutes;
				if (again) continue;
				said[said_n++] = minutes;
				slo_span_text(minutes, span);
				hg_buf_fmt(to, "%s{app=\"%s\",slo=\"%s\",window=\"%s\"} %.9g\n",
				        name, a->conf.app, slo_kind_name((enum slo_kind)k), span,
				        burn_rate(c, o->objective_ppm));
			}
		}
	}
}

void slo_metrics(struct slo *s, struct hg_buf *to)
{
	enum slo_kind by;
	if (s->count == 0) return;
	for (uint32_t i = 0; i < s->count; i++)
		slo_app_observe(s, &s->apps[i]);
	for (int m = 0; m < METRICS; m++) {
		if (rows[m].help) head(to, rows[m].name, rows[m].help);
		for (uint32_t i = 0; i < s->count; i++) {
			const struct slo_app *a = &s->apps[i];
			for (int k = 0; k < SLO_KINDS; k++) {
				if (!a->conf.of[k].set) continue;
				hg_buf_fmt(to, "%s{app=\"%s\",slo=\"%s\"%s} %.12g\n", rows[m].name,
				        a->conf.app, slo_kind_name((enum slo_kind)k), rows[m].more,
				        metric(a, (enum slo_kind)k, (enum metric)m));
			}
		}
	}
	burns(s, to);
	head(to, "headgate_slo_deploys_frozen", "1 while deployments need --override.");
	for (uint32_t i = 0; i < s->count; i++)
		hg_buf_fmt(to, "headgate_slo_deploys_frozen{app=\"%s\"} %d\n", s->apps[i].conf.app,
		        slo_frozen(&s->apps[i].conf, s->apps[i].seen, &by));
}
