#include "control/rollout/conf_priv.h"

#include <stdlib.h>
#include <string.h>

#include "spec/spec.h"

static enum hg_rc too_long(const struct spec_app *s, const char *what, struct hg_err *err)
{
	return hg_err_set(err, HG_E_TOO_LARGE, "%s of the rollout of app \"%.*s\" is too long",
	        what, HG_STR_ARG(s->name));
}

static double ratio(uint32_t ppm)
{
	return (double)ppm / RO_WHOLE;
}

bool ro_strategy_parse(struct hg_str name, enum ro_strategy *ret_strategy)
{
	for (unsigned i = 0; i < RO_IMMEDIATE; i++) {
		if (!hg_str_eq(name, hg_str(ro_strategy_name((enum ro_strategy)i)))) continue;
		*ret_strategy = (enum ro_strategy)i;
		return true;
	}
	return false;
}

static enum ro_strategy strategy_of(enum spec_rollout_strategy s)
{
	switch (s) {
	case SPEC_ROLLOUT_STRATEGY_RECREATE: return RO_RECREATE;
	case SPEC_ROLLOUT_STRATEGY_BLUE_GREEN: return RO_BLUE_GREEN;
	case SPEC_ROLLOUT_STRATEGY_CANARY: return RO_CANARY;
	case SPEC_ROLLOUT_STRATEGY_ROLLING: break;
	}
	return RO_ROLLING;
}

static struct rolling_share share_of(const struct spec_share *s)
{
	if (!s->set && !s->ppm && !s->count) return ROLLING_25_PERCENT;
	return (struct rolling_share){
	        .is_ratio = !s->is_count, .v = s->is_count ? s->count : s->ppm};
}

/* "10%" or "0.1", which the check of the configuration has seen; other words are 0. */
static uint32_t weight_of(struct hg_str when)
{
	char text[32], *end;
	if (!hg_str_copy(when, text, sizeof text)) return 0;
	double v = strtod(text, &end);
	if (end == text || !(v > 0)) return 0;
	if (*end == '%') v /= 100;
	return v >= 1 ? RO_WHOLE : (uint32_t)(v * RO_WHOLE + 0.5);
}

static enum ro_when when_of(struct hg_str when, bool confirm, uint32_t *ret_weight)
{
	*ret_weight = weight_of(when);
	if (hg_str_eq(when, HG_STR("promote")) || hg_str_eq(when, HG_STR("after")))
		*ret_weight = RO_WHOLE;
	if (confirm) return RO_WHEN_CONFIRM;
	if (hg_str_eq(when, HG_STR("promote"))) return RO_WHEN_PROMOTE;
	if (hg_str_eq(when, HG_STR("after"))) return RO_WHEN_AFTER;
	if (hg_str_eq(when, HG_STR("rollback"))) return RO_WHEN_ROLLBACK;
	return *ret_weight ? RO_WHEN_WEIGHT : RO_WHEN_BEFORE;
}

static enum hg_rc gates_read(const struct spec_app *s, struct ro_conf *c, struct hg_err *err)
{
	const struct spec_rollout *r = &s->rollout;
	for (uint32_t i = 0; i < r->gate_count && i < RO_GATES_MAX; i++) {
		const struct spec_gate *g = &r->gates[i];
		struct ro_gate_conf *to = &c->gate[i];
		struct ro_gate *gate = &c->rules.gate[i];
		gate->when = when_of(g->when, g->confirm, &gate->weight_ppm);
		gate->text = i;
		to->timeout_ms = (uint32_t)HG_MIN(g->timeout_ms, (uint64_t)UINT32_MAX);
		if (!hg_str_copy(g->run, to->run, sizeof to->run) ||
		        !hg_str_copy(g->when, to->when, sizeof to->when))
			return too_long(s, "a gate", err);
		c->rules.gate_count = i + 1;
	}
	return HG_OK;
}

static bool match_add(struct ro_conf *c, enum snap_match_kind kind, struct hg_str text, char sep)
{
	struct snap_match *m = &c->match[c->match_count];
	struct hg_str value = text, name = hg_str_cut(&value, sep);
	if (text.n == 0) return true;
	m->kind = kind;
	c->match_count++;
	return hg_str_copy(hg_str_trim(name), m->name, sizeof m->name) &&
	       hg_str_copy(hg_str_trim(value), m->value, sizeof m->value);
}

static void rules_read(const struct spec_rollout *r, struct ro_conf *c)
{
	struct ro_rules *to = &c->rules;
	const struct spec_abort_when *a = &r->abort_when;
	ro_rules_default(to, strategy_of(r->strategy));
	to->step_count = 0;
	for (uint32_t i = 0; i < r->step_count && i < RO_STEPS_MAX; i++)
		to->step[to->step_count++] = (struct ro_step){
		        .weight_ppm = r->steps[i].weight_ppm, .wait_ms = r->steps[i].wait_ms};
	to->judge = (struct judge_rules){
	        .alpha = 1 - ratio(r->confidence_ppm),
	        .error_rate = ratio(a->error_rate_ppm),
	        .error_above = ratio(a->error_rate_above_stable_ppm),
	        .p95_ratio = ratio(a->p95_vs_stable_ppm),
	        .p95 = a->p95_ms > 0,
	};
	to->memory = ratio(a->memory_ppm);
	to->cpu = ratio(a->cpu_ppm);
	c->p95_ns = a->p95_ms * 1000000u;
	c->p95_ratio = ratio(a->p95_vs_stable_ppm);
	switch (r->inconclusive) {
	case SPEC_ROLLOUT_INCONCLUSIVE_WAIT: to->inconclusive = RO_INCONCLUSIVE_WAIT; break;
	case SPEC_ROLLOUT_INCONCLUSIVE_PROMOTE: to->inconclusive = RO_INCONCLUSIVE_PROMOTE; break;
	case SPEC_ROLLOUT_INCONCLUSIVE_ABORT: to->inconclusive = RO_INCONCLUSIVE_ABORT; break;
	}
	to->inconclusive_after_ms = r->inconclusive_after_ms;
	to->rescue = r->rescue == SPEC_ROLLOUT_RESCUE_RETRY_ON_STABLE;
	to->preview = r->preview.host.n > 0;
	to->control_ppm = r->after_promote.control_ppm;
	to->keep_canary_ms = r->after_abort.keep_canary_ms;
	to->watch_ms = r->after_promote.watch_ms;
	to->keep_previous_ms = r->after_promote.keep_previous_ms;
	to->progress_deadline_ms = r->progress_deadline_ms;
	to->surge = share_of(&r->max_surge);
	to->unavailable = share_of(&r->max_unavailable);
}

enum hg_rc ro_conf_read(const struct spec_app *s, struct ro_conf *ret_conf, struct hg_err *err)
{
	struct ro_conf *c = ret_conf;
	const struct spec_match *m = &s->rollout.match;
	*c = (struct ro_conf){0};
	if (!hg_str_copy(s->name, c->app, sizeof c->app)) return too_long(s, "the name", err);
	rules_read(&s->rollout, c);
	c->sticky_s = (uint32_t)HG_MIN(s->rollout.sticky_ms / 1000, (uint64_t)UINT32_MAX);
	if (!match_add(c, SNAP_MATCH_HEADER, m->header, ':') ||
	        !match_add(c, SNAP_MATCH_COOKIE, m->cookie, '=') ||
	        !match_add(c, SNAP_MATCH_QUERY, m->query, '='))
		return too_long(s, "match", err);
	c->rules.match = c->match_count > 0;
	enum hg_rc rc = gates_read(s, c, err);
	if (rc == HG_OK) ro_rules_fill(&c->rules);
	return rc;
}

/* ---- for the store ---- */

json_t *ro_conf_json(const struct ro_conf *c)
{
	json_t *gates = json_array(), *match = json_array();
	for (uint32_t i = 0; i < c->rules.gate_count; i++)
		json_array_append_new(
		        gates, json_pack("{s:s,s:s,s:i}", "run", c->gate[i].run, "when",
		                       c->gate[i].when, "timeout_ms", (int)c->gate[i].timeout_ms));
	for (uint32_t i = 0; i < c->match_count; i++)
		json_array_append_new(
		        match, json_pack("{s:i,s:s,s:s}", "kind", (int)c->match[i].kind, "name",
		                       c->match[i].name, "value", c->match[i].value));
	return json_pack("{s:s,s:o,s:o,s:i,s:I,s:f}", "app", c->app, "gates", gates, "match", match,
	        "sticky_s", (int)c->sticky_s, "p95_ns", (json_int_t)c->p95_ns, "p95_ratio",
	        c->p95_ratio);
}

static bool text(const json_t *o, const char *key, char *to, size_t cap)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s && hg_str_copy(hg_str(s), to, cap);
}

static uint64_t number(const json_t *o, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(o, key));
	return n > 0 ? (uint64_t)n : 0;
}

bool ro_conf_load(const json_t *j, struct ro_conf *ret_conf)
{
	struct ro_conf *c = ret_conf;
	const json_t *gates = json_object_get(j, "gates"), *match = json_object_get(j, "match");
	bool ok = text(j, "app", c->app, sizeof c->app);
	for (size_t i = 0; ok && i < json_array_size(gates) && i < RO_GATES_MAX; i++) {
		const json_t *g = json_array_get(gates, i);
		ok = text(g, "run", c->gate[i].run, sizeof c->gate[i].run) &&
		     text(g, "when", c->gate[i].when, sizeof c->gate[i].when);
		c->gate[i].timeout_ms = (uint32_t)number(g, "timeout_ms");
	}
	for (size_t i = 0; ok && i < json_array_size(match) && i < SNAP_TRIAL_MATCHES; i++) {
		const json_t *m = json_array_get(match, i);
		ok = text(m, "name", c->match[i].name, sizeof c->match[i].name) &&
		     text(m, "value", c->match[i].value, sizeof c->match[i].value);
		c->match[i].kind = (uint32_t)number(m, "kind");
		c->match_count = (uint32_t)i + 1;
	}
	c->sticky_s = (uint32_t)number(j, "sticky_s");
	c->p95_ns = number(j, "p95_ns");
	c->p95_ratio = json_real_value(json_object_get(j, "p95_ratio"));
	return ok;
}
