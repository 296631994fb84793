/* What changed, for the journal and for people. */
#include "control/slo/slo_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/store.h"

#include <jansson.h>

const char *slo_kind_name(enum slo_kind k)
{
	return k == SLO_AVAILABILITY ? "availability" : "latency";
}

const char *slo_severity_name(enum slo_severity v)
{
	return v == SLO_CRITICAL ? "critical" : "warning";
}

static const char *event_name(enum slo_event_kind k)
{
	switch (k) {
	case SLO_EV_BURN: return "slo.burn";
	case SLO_EV_BURN_OVER: return "slo.burn_over";
	case SLO_EV_FROZEN: return "slo.frozen";
	case SLO_EV_THAWED: break;
	}
	return "slo.thawed";
}

static json_t *event_json(const struct slo_app *a, const struct slo_event *e)
{
	const struct slo_objective *o = &a->conf.of[e->of];
	const struct slo_seen *seen = &a->seen[e->of];
	json_t *j = json_pack("{s:s,s:f,s:f}", "slo", slo_kind_name(e->of), "objective",
	        (double)o->objective_ppm / BURN_PPM, "left",
	        burn_left(seen->period, o->objective_ppm));
	if (e->kind == SLO_EV_FROZEN || e->kind == SLO_EV_THAWED) {
		json_object_set_new(j, "below", json_real((double)a->conf.freeze_ppm / BURN_PPM));
		return j;
	}
	const struct burn_rule *r = &o->rule[e->rule];
	char in_long[SLO_SPAN], in_short[SLO_SPAN];
	slo_span_text(r->long_min, in_long);
	slo_span_text(r->short_min, in_short);
	json_object_set_new(j, "severity", json_string(slo_severity_name(e->severity)));
	json_object_set_new(j, "limit", json_real(burn_rule_factor(r, o->period_min)));
	json_object_set_new(j, "windows", json_pack("[s,s]", in_long, in_short));
	json_object_set_new(j, "burn",
	        json_pack("[f,f]", burn_rate(seen->in_long[e->rule], o->objective_ppm),
	                burn_rate(seen->in_short[e->rule], o->objective_ppm)));
	return j;
}

/* The alert as others are given it; the texts live in `t`. */
struct texts {
	char in_long[SLO_SPAN], in_short[SLO_SPAN], summary[320];
};

void slo_left_text(double left, const char *what, char *to, size_t cap)
{
	bool some = left >= 0;
	(void)snprintf(to, cap, "%.1f %% of %s is %s", 100 * (some ? left : 1 - left), what,
	        some ? "left" : "spent");
}

static struct slo_alert alert_of(
        const struct slo_app *a, const struct slo_event *e, struct texts *t)
{
	const struct slo_objective *o = &a->conf.of[e->of];
	const struct slo_seen *seen = &a->seen[e->of];
	const struct burn_rule *r = &o->rule[e->rule];
	struct burn_counts c = seen->in_long[e->rule];
	double left = burn_left(seen->period, o->objective_ppm);
	char of_budget[64];
	slo_left_text(left, "the budget", of_budget, sizeof of_budget);
	double limit = burn_rule_factor(r, o->period_min), burn = burn_rate(c, o->objective_ppm);
	slo_span_text(r->long_min, t->in_long);
	slo_span_text(r->short_min, t->in_short);
	(void)snprintf(t->summary, sizeof t->summary,
	        "%s: %llu of %llu answers in %s were %s, %.3g times what the objective allows "
	        "(alert above %.3g); %s",
	        a->conf.app, (unsigned long long)c.bad, (unsigned long long)c.total, t->in_long,
	        e->of == SLO_AVAILABILITY ? "bad" : "too slow", burn, limit, of_budget);
	return (struct slo_alert){.app = a->conf.app,
	        .slo = slo_kind_name(e->of),
	        .severity = slo_severity_name(e->severity),
	        .firing = e->kind == SLO_EV_BURN,
	        .priority = r->page ? 1u + e->rule : 3u,
	        .since_ms = a->state.alert[e->of][e->severity].since_ms,
	        .burn_long = burn,
	        .burn_short = burn_rate(seen->in_short[e->rule], o->objective_ppm),
	        .limit = limit,
	        .window_long = t->in_long,
	        .window_short = t->in_short,
	        .left = left,
	        .summary = t->summary,
	        .runbook = a->conf.runbook};
}

enum hg_rc slo_journal(
        struct slo *s, const struct slo_app *a, const struct slo_event *e, struct hg_err *err)
{
	uint64_t id;
	json_t *j = event_json(a, e);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (!text) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	enum hg_rc rc = store_event_add(s->o.store,
	        &(struct store_event){.ts_ms = s->o.wall_ms(),
	                .kind = hg_str(event_name(e->kind)),
	                .app = hg_str(a->conf.app),
	                .text = hg_str(text)},
	        &id, err);
	free(text);
	bool burn = e->kind == SLO_EV_BURN || e->kind == SLO_EV_BURN_OVER;
	if (rc < 0 || !burn || !s->o.on_news) return rc;
	struct texts t;
	struct slo_alert alert = alert_of(a, e, &t);
	return s->o.on_news(s->o.arg, &alert, err);
}

void slo_notice(struct slo *s, struct slo_app *a, const struct slo_event *e)
{
	struct texts t;
	if (e->kind != SLO_EV_BURN && e->kind != SLO_EV_BURN_OVER) return;
	const struct slo_alert_state *is = &a->state.alert[e->of][e->severity];
	struct slo_alert_state *told = &a->noticed.alert[e->of][e->severity];
	if (told->firing == is->firing && (!is->firing || told->rule == is->rule)) return;
	*told = *is;
	a->told_ms[e->of][e->severity] = s->o.wall_ms();
	struct slo_alert alert = alert_of(a, e, &t);
	if (s->o.log)
		hg_log(s->o.log, alert.firing ? HG_WARN : HG_INFO, event_name(e->kind),
		        HG_S("app", alert.app), HG_S("slo", alert.slo),
		        HG_S("severity", alert.severity), HG_F("burn", alert.burn_long));
	if (s->o.on_alert) s->o.on_alert(s->o.arg, &alert);
}

void slo_notice_again(struct slo *s, struct slo_app *a)
{
	uint64_t now = s->o.wall_ms();
	for (int k = 0; s->o.on_alert && k < SLO_KINDS; k++) {
		for (int v = 0; v < SLO_SEVERITIES; v++) {
			const struct slo_alert_state *is = &a->state.alert[k][v];
			uint64_t *told = &a->told_ms[k][v];
			/* A clock that was set back says it once too often. */
			if (!is->firing || (*told <= now && now - *told < SLO_TELL_MS)) continue;
			*told = now;
			struct texts t;
			struct slo_event e = {.kind = SLO_EV_BURN,
			        .of = (enum slo_kind)k,
			        .severity = (enum slo_severity)v,
			        .rule = is->rule};
			struct slo_alert alert = alert_of(a, &e, &t);
			alert.again = true;
			s->o.on_alert(s->o.arg, &alert);
		}
	}
}
