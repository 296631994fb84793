/* The configuration's words as rules: pure, so that what is simulated is what would be done. */
#include "control/rollout/decide.h"

#include <stdlib.h>

#include "spec/spec.h"

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

static void gates_read(const struct spec_rollout *r, struct ro_rules *to)
{
	to->gate_count = HG_MIN(r->gate_count, RO_GATES_MAX);
	for (uint32_t i = 0; i < to->gate_count; i++) {
		const struct spec_gate *g = &r->gates[i];
		to->gate[i].when = when_of(g->when, g->confirm, &to->gate[i].weight_ppm);
		to->gate[i].text = i;
	}
}

void ro_rules_read(
        const struct spec_app *app, struct ro_rules *ret_rules, struct ro_latency *ret_latency)
{
	const struct spec_rollout *r = &app->rollout;
	struct ro_rules *to = ret_rules;
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
	*ret_latency = (struct ro_latency){
	        .p95_ns = a->p95_ms * 1000000u, .p95_ratio = ratio(a->p95_vs_stable_ppm)};
	switch (r->inconclusive) {
	case SPEC_ROLLOUT_INCONCLUSIVE_WAIT: to->inconclusive = RO_INCONCLUSIVE_WAIT; break;
	case SPEC_ROLLOUT_INCONCLUSIVE_PROMOTE: to->inconclusive = RO_INCONCLUSIVE_PROMOTE; break;
	case SPEC_ROLLOUT_INCONCLUSIVE_ABORT: to->inconclusive = RO_INCONCLUSIVE_ABORT; break;
	}
	to->inconclusive_after_ms = r->inconclusive_after_ms;
	to->rescue = r->rescue == SPEC_ROLLOUT_RESCUE_RETRY_ON_STABLE;
	to->preview = r->preview.host.n > 0;
	to->mirror_ppm = r->mirror.share_ppm;
	to->match = r->match.header.n > 0 || r->match.cookie.n > 0 || r->match.query.n > 0;
	to->control_ppm = r->after_promote.control_ppm;
	to->keep_canary_ms = r->after_abort.keep_canary_ms;
	to->open_incident = r->after_abort.open_incident;
	to->watch_ms = r->after_promote.watch_ms;
	to->keep_previous_ms = r->after_promote.keep_previous_ms;
	to->progress_deadline_ms = r->progress_deadline_ms;
	to->surge = share_of(&r->max_surge);
	to->unavailable = share_of(&r->max_unavailable);
	gates_read(r, to);
	ro_rules_fill(to);
}
