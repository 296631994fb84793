/* What there is, as Prometheus shows it, and as control asks for it. */
#include "rules_priv.h"

#include "wire/date.h"
#include "wire/json.h"
#include "wire/url.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void time_out(struct json_out *j, const char *key, int64_t ms)
{
	char text[DATE_RFC3339_SIZE];
	json_out_key(j, key);
	if (ms <= 0) {
		json_out_cstr(j, "0001-01-01T00:00:00Z");
		return;
	}
	date_rfc3339((uint64_t)ms, text);
	json_out_cstr(j, text);
}

static void labels_out(struct json_out *j, const char *key, struct labels ls)
{
	char name[1024];
	if (key) json_out_key(j, key);
	json_out_object(j);
	for (uint32_t i = 0; i < ls.n; i++) {
		if (!hg_str_copy(ls.at[i].name, name, sizeof name)) continue;
		json_out_key(j, name);
		json_out_str(j, ls.at[i].value);
	}
	json_out_end(j);
}

/* Go's FormatFloat(v, 'e', -1, 64): "1e+00". */
static void value_out(struct json_out *j, double v)
{
	char text[40];
	json_out_key(j, "value");
	if (isnan(v) || isinf(v)) {
		json_out_cstr(j, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
		return;
	}
	for (int digits = 0; digits < 18; digits++) {
		(void)snprintf(text, sizeof text, "%.*e", digits, v);
		if (strtod(text, NULL) == v) break;
	}
	json_out_cstr(j, text);
}

static void alert_out(struct json_out *j, const struct rules_alert *a)
{
	json_out_object(j);
	labels_out(j, "labels", a->labels);
	labels_out(j, "annotations", a->annotations);
	json_out_key(j, "state");
	json_out_cstr(j, rules_state_name(a->state));
	time_out(j, "activeAt", a->active_ms);
	if (a->keep_since_ms) time_out(j, "keepFiringSince", a->keep_since_ms);
	value_out(j, a->value);
	json_out_end(j);
}

static void alerts_out(struct json_out *j, const struct rules_live *l)
{
	for (uint32_t i = 0; i < l->alerts.n; i++)
		if (l->alerts.at[i].state != RULES_INACTIVE) alert_out(j, &l->alerts.at[i]);
}

static enum rules_state state_of(const struct rules_live *l)
{
	enum rules_state s = RULES_INACTIVE;
	for (uint32_t i = 0; i < l->alerts.n; i++)
		s = HG_MAX(s, l->alerts.at[i].state);
	return s;
}

static void query_out(struct json_out *j, const struct rules_rule *r)
{
	struct hg_buf b;
	hg_buf_init(&b, PROMQL_TEXT_MAX * 2);
	promql_print(r->query, &b);
	json_out_key(j, "query");
	json_out_str(j, hg_buf_view(&b));
	hg_buf_free(&b);
}

/* Beyond Prometheus': what `config check` says of the rule, and series that are not there. */
static void notes_out(struct json_out *j, const struct rules_live_group *g, uint32_t rule)
{
	bool any = false;
	for (uint32_t i = 0; i < g->note_n; i++) {
		const struct rules_note *n = &g->notes[i];
		if (n->rule != rule) continue;
		if (!any) {
			json_out_key(j, "notes");
			json_out_array(j);
			any = true;
		}
		json_out_object(j);
		json_out_key(j, "message");
		json_out_cstr(j, n->message);
		if (n->hint[0]) {
			json_out_key(j, "hint");
			json_out_cstr(j, n->hint);
		}
		json_out_end(j);
	}
	if (any) json_out_end(j);
}

static void rule_out(struct json_out *j, const struct rules_live_group *g, uint32_t at, bool alerts)
{
	const struct rules_live *l = &g->rules[at];
	const struct rules_rule *r = l->rule;
	json_out_object(j);
	if (r->alerting) {
		json_out_key(j, "state");
		json_out_cstr(j, rules_state_name(state_of(l)));
	}
	json_out_key(j, "name");
	json_out_str(j, r->name);
	query_out(j, r);
	if (r->alerting) {
		json_out_key(j, "duration");
		json_out_num(j, (double)r->for_ms / 1000);
		json_out_key(j, "keepFiringFor");
		json_out_num(j, (double)r->keep_firing_ms / 1000);
	}
	if (r->alerting || r->labels.n) labels_out(j, "labels", r->labels);
	if (r->alerting) labels_out(j, "annotations", r->annotations);
	if (r->alerting && alerts) {
		json_out_key(j, "alerts");
		json_out_array(j);
		alerts_out(j, l);
		json_out_end(j);
	}
	json_out_key(j, "health");
	json_out_cstr(j, !l->asked ? "unknown" : l->error[0] ? "err" : "ok");
	if (l->error[0]) {
		json_out_key(j, "lastError");
		json_out_cstr(j, l->error);
	}
	json_out_key(j, "evaluationTime");
	json_out_num(j, l->took_s);
	time_out(j, "lastEvaluation", l->last_ms);
	json_out_key(j, "type");
	json_out_cstr(j, r->alerting ? "alerting" : "recording");
	notes_out(j, g, at);
	json_out_end(j);
}

static bool wanted(const struct hg_str *list, uint32_t n, struct hg_str s)
{
	for (uint32_t i = 0; i < n; i++)
		if (hg_str_eq(list[i], s)) return true;
	return n == 0;
}

static bool rule_wanted(const struct rules_filter *f, const struct rules_rule *r)
{
	return !(r->alerting ? f->no_alerting : f->no_recording) &&
	       wanted(f->names, f->name_n, r->name);
}

static void group_out(
        struct json_out *j, const struct rules_live_group *g, const struct rules_filter *f)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < g->n; i++)
		n += rule_wanted(f, g->rules[i].rule);
	/* As there: a group of which nothing is wanted is left out when names were asked for. */
	if (!n && f->name_n) return;
	json_out_object(j);
	json_out_key(j, "name");
	json_out_str(j, g->group->name);
	json_out_key(j, "file");
	json_out_str(j, g->file->name);
	json_out_key(j, "rules");
	json_out_array(j);
	for (uint32_t i = 0; i < g->n; i++)
		if (rule_wanted(f, g->rules[i].rule)) rule_out(j, g, i, !f->no_alerts);
	json_out_end(j);
	json_out_key(j, "interval");
	json_out_num(j, (double)g->interval_ms / 1000);
	json_out_key(j, "limit");
	json_out_u64(j, g->group->limit);
	json_out_key(j, "evaluationTime");
	json_out_num(j, g->took_s);
	time_out(j, "lastEvaluation", g->last_ms);
	json_out_end(j);
}

void rules_json(const struct rules *r, const struct rules_filter *f, struct hg_buf *to)
{
	static const struct rules_filter all = {0};
	struct json_out j;
	if (!f) f = &all;
	json_out_init(&j, to);
	json_out_object(&j);
	json_out_key(&j, "groups");
	json_out_array(&j);
	for (uint32_t i = 0; i < r->n; i++)
		if (wanted(f->groups, f->group_n, r->groups[i].group->name) &&
		        wanted(f->files, f->file_n, r->groups[i].file->name))
			group_out(&j, &r->groups[i], f);
	json_out_end(&j);
	json_out_end(&j);
	if (!json_out_ok(&j)) to->failed = true;
}

void rules_alerts_json(const struct rules *r, struct hg_buf *to)
{
	struct json_out j;
	json_out_init(&j, to);
	json_out_object(&j);
	json_out_key(&j, "alerts");
	json_out_array(&j);
	for (uint32_t i = 0; i < r->n; i++)
		for (uint32_t k = 0; k < r->groups[i].n; k++)
			alerts_out(&j, &r->groups[i].rules[k]);
	json_out_end(&j);
	json_out_end(&j);
	if (!json_out_ok(&j)) to->failed = true;
}

/* ---- for control ---- */

bool rules_has_news(const struct rules *r, struct hg_str epoch, uint64_t after)
{
	return !hg_str_eq(epoch, hg_str(r->epoch)) || after < r->change;
}

static void link_out(struct json_out *j, const struct rules *r, const struct rules_rule *rule)
{
	struct hg_buf b, text;
	hg_buf_init(&b, PROMQL_TEXT_MAX * 4);
	hg_buf_init(&text, PROMQL_TEXT_MAX * 2);
	promql_print(rule->query, &text);
	hg_buf_str(&b, r->url);
	hg_buf_cstr(&b, "/graph?g0.expr=");
	url_encode(&b, hg_buf_view(&text), "");
	hg_buf_cstr(&b, "&g0.tab=1");
	json_out_key(j, "url");
	json_out_str(j, b.failed ? HG_STR("") : hg_buf_view(&b));
	hg_buf_free(&text);
	hg_buf_free(&b);
}

static void news_out(struct json_out *j, const struct rules *r, const struct rules_live_group *g,
        const struct rules_live *l, const struct rules_alert *a)
{
	json_out_object(j);
	labels_out(j, "labels", a->labels);
	labels_out(j, "annotations", a->annotations);
	json_out_key(j, "starts");
	json_out_int(j, a->fired_ms ? a->fired_ms : a->active_ms);
	json_out_key(j, "ends");
	json_out_int(j, a->state == RULES_INACTIVE ? a->resolved_ms : 0);
	json_out_key(j, "valid");
	json_out_int(j, 4 * HG_MAX(g->interval_ms, (int64_t)RULES_RESEND_MS));
	link_out(j, r, l->rule);
	json_out_end(j);
}

/* What waits for its `for` is not over: it may have fired before the process was started. */
static void pending_out(struct json_out *j, const struct rules_live *l)
{
	for (uint32_t i = 0; i < l->alerts.n; i++)
		if (l->alerts.at[i].state == RULES_PENDING)
			labels_out(j, NULL, l->alerts.at[i].labels);
}

static void unknown_out(struct json_out *j, const struct rules_live *l)
{
	if (l->rule->alerting && !l->known) json_out_str(j, l->rule->name);
}

static void each_rule(struct json_out *j, const struct rules *r, const char *key,
        void (*out)(struct json_out *j, const struct rules_live *l))
{
	json_out_key(j, key);
	json_out_array(j);
	for (uint32_t i = 0; i < r->n; i++)
		for (uint32_t k = 0; k < r->groups[i].n; k++)
			out(j, &r->groups[i].rules[k]);
	json_out_end(j);
}

void rules_news_json(const struct rules *r, struct hg_str epoch, uint64_t after, struct hg_buf *to)
{
	struct json_out j;
	if (!hg_str_eq(epoch, hg_str(r->epoch))) after = 0;
	json_out_init(&j, to);
	json_out_object(&j);
	json_out_key(&j, "epoch");
	json_out_cstr(&j, r->epoch);
	json_out_key(&j, "at");
	json_out_u64(&j, r->change);
	json_out_key(&j, "alerts");
	json_out_array(&j);
	for (uint32_t i = 0; i < r->n; i++) {
		const struct rules_live_group *g = &r->groups[i];
		for (uint32_t k = 0; k < g->n; k++) {
			const struct rules_live *l = &g->rules[k];
			for (uint32_t q = 0; q < l->alerts.n; q++) {
				const struct rules_alert *a = &l->alerts.at[q];
				bool over = a->state == RULES_INACTIVE && a->changed > after;
				if (a->state == RULES_FIRING || over) news_out(&j, r, g, l, a);
			}
		}
	}
	json_out_end(&j);
	each_rule(&j, r, "pending", pending_out);
	json_out_key(&j, "complete");
	json_out_bool(&j, r->configured);
	each_rule(&j, r, "incomplete", unknown_out);
	json_out_end(&j);
	if (!json_out_ok(&j)) to->failed = true;
}

/* ---- of itself ---- */

static void metric(struct hg_buf *to, const char *name, const char *type, uint64_t v)
{
	hg_buf_fmt(to, "# TYPE headgate_rules_%s %s\nheadgate_rules_%s %llu\n", name, type, name,
	        (unsigned long long)v);
}

void rules_metrics(const struct rules *r, struct hg_buf *to)
{
	uint64_t evaluations = 0, missed = 0, failures = 0, firing = 0, pending = 0, rules = 0;
	uint64_t templates = 0;
	for (uint32_t i = 0; i < r->n; i++) {
		const struct rules_live_group *g = &r->groups[i];
		evaluations += g->iterations;
		missed += g->missed;
		failures += g->failures;
		rules += g->n;
		for (uint32_t k = 0; k < g->n; k++) {
			templates += g->rules[k].template_errors;
			for (uint32_t q = 0; q < g->rules[k].alerts.n; q++) {
				firing += g->rules[k].alerts.at[q].state == RULES_FIRING;
				pending += g->rules[k].alerts.at[q].state == RULES_PENDING;
			}
		}
	}
	metric(to, "evaluations_total", "counter", evaluations);
	metric(to, "missed_evaluations_total", "counter", missed);
	metric(to, "failures_total", "counter", failures);
	metric(to, "template_failures_total", "counter", templates);
	metric(to, "groups", "gauge", r->n);
	metric(to, "loaded", "gauge", rules);
	metric(to, "matching_nothing", "gauge", r->empty);
	metric(to, "alerts_firing", "gauge", firing);
	metric(to, "alerts_pending", "gauge", pending);
}
