#include "control/slo/decide_priv.h"

#include <string.h>

/* ---- what counts ---- */

/* `at_code`: a status, or 1 … 5 for those of a class that have no place of their own. */
bool slo_codes_have(struct hg_str codes, unsigned at_code)
{
	while (codes.n) {
		struct hg_str c = hg_str_cut(&codes, ' ');
		if (c.n != 3) continue;
		unsigned class = (unsigned)(c.p[0] - '0');
		if (c.p[1] == 'x') {
			if (class == (at_code < 100 ? at_code : at_code / 100)) return true;
		} else if (at_code ==
		           class * 100 + (unsigned)(c.p[1] - '0') * 10 + (unsigned)(c.p[2] - '0')) {
			return true;
		}
	}
	return false;
}

void slo_counts_of(const struct slo_conf *c, const uint64_t code[METER_CODES],
        const struct meter_lane_sum *sum, struct slo_counts *add_to)
{
	for (uint32_t i = 0; i < METER_CODES; i++) {
		if (c->code[i] == SLO_CODE_GOOD) add_to->good += code[i];
		if (c->code[i] == SLO_CODE_BAD) add_to->bad += code[i];
	}
	add_to->bad += sum->broken;
	if (!c->fast_ns) return;
	uint64_t fast = 0;
	if (!meter_bound_at(c->fast_ns)) {
		fast = HG_MIN(sum->fast, sum->count);
	} else {
		for (uint32_t i = 0; i < METER_BUCKETS - 1; i++)
			if ((uint64_t)(meter_bounds[i] * 1e9 + 0.5) <= c->fast_ns)
				fast += sum->bucket[i];
	}
	add_to->fast += fast;
	add_to->slow += sum->count - fast;
}

uint64_t slo_conf_mark(const struct slo_conf *c)
{
	uint64_t h = hg_str_hash((struct hg_str){(const char *)c->code, sizeof c->code});
	return h ^ (c->fast_ns * 0x9e3779b97f4a7c15u);
}

struct burn_counts slo_events(const struct slo_counts *c, enum slo_kind kind)
{
	if (kind == SLO_AVAILABILITY)
		return (struct burn_counts){.bad = c->bad, .total = c->good + c->bad};
	return (struct burn_counts){.bad = c->slow, .total = c->fast + c->slow};
}

uint64_t slo_keeps_min(const struct slo_conf *c)
{
	uint64_t most = 0;
	for (int k = 0; k < SLO_KINDS; k++)
		if (c->of[k].set) most = HG_MAX(most, c->of[k].period_min);
	return most;
}

/* ---- windows ---- */

static struct burn_counts window(
        const struct slo_history *h, enum slo_kind kind, uint64_t minute, uint64_t minutes)
{
	struct slo_counts sum;
	slo_history_sum(h, minute, minutes, &sum);
	return slo_events(&sum, kind);
}

void slo_observe(const struct slo_objective *o, const struct slo_history *h, enum slo_kind kind,
        uint64_t minute, struct slo_seen *ret_seen)
{
	*ret_seen = (struct slo_seen){0};
	if (!o->set) return;
	ret_seen->period = window(h, kind, minute, o->period_min);
	for (unsigned i = 0; i < BURN_RULES; i++) {
		ret_seen->in_long[i] = window(h, kind, minute, o->rule[i].long_min);
		ret_seen->in_short[i] = window(h, kind, minute, o->rule[i].short_min);
	}
}

/* ---- what to say ---- */

/* The most urgent rule of this severity that holds; BURN_RULES: none. */
static uint8_t rule_that_holds(const struct slo_conf *c, const struct slo_objective *o,
        const struct slo_seen *seen, enum slo_severity severity)
{
	for (uint8_t i = 0; o->set && i < BURN_RULES; i++) {
		const struct burn_rule *r = &o->rule[i];
		if (r->page != (severity == SLO_CRITICAL)) continue;
		if (burn_rule_holds(r, o->period_min, o->objective_ppm, seen->in_long[i],
		            seen->in_short[i], c->min_failures))
			return i;
	}
	return BURN_RULES;
}

/* True: there is something to say. */
static bool alert_step(
        struct slo_alert_state *a, uint8_t rule, uint64_t now_ms, enum slo_event_kind *ret_kind)
{
	if (rule < BURN_RULES) {
		bool worse = !a->firing || rule < a->rule;
		if (!a->firing) a->since_ms = now_ms;
		if (worse) a->rule = rule;
		a->firing = true;
		a->clear_ms = 0;
		*ret_kind = SLO_EV_BURN;
		return worse;
	}
	if (!a->firing) return false;
	/* A clock that was set back begins to wait anew. */
	if (a->clear_ms == 0 || a->clear_ms > now_ms) a->clear_ms = now_ms;
	if (now_ms - a->clear_ms < SLO_CLEAR_MS) return false;
	a->firing = false;
	a->clear_ms = 0;
	*ret_kind = SLO_EV_BURN_OVER;
	return true;
}

bool slo_freezes(const struct slo_conf *c, enum slo_kind kind, const struct slo_seen *seen)
{
	const struct slo_objective *o = &c->of[kind];
	return o->set && c->freeze_ppm && seen->period.bad >= c->min_failures &&
	       burn_left_below(seen->period, o->objective_ppm, c->freeze_ppm);
}

bool slo_frozen(
        const struct slo_conf *c, const struct slo_seen seen[SLO_KINDS], enum slo_kind *ret_by)
{
	*ret_by = c->of[SLO_AVAILABILITY].set ? SLO_AVAILABILITY : SLO_LATENCY;
	for (int k = 0; k < SLO_KINDS; k++) {
		if (!slo_freezes(c, (enum slo_kind)k, &seen[k])) continue;
		*ret_by = (enum slo_kind)k;
		return true;
	}
	return false;
}

uint32_t slo_decide(const struct slo_conf *c, const struct slo_seen seen[SLO_KINDS],
        uint64_t now_ms, struct slo_state *s, struct slo_event out[SLO_EVENTS])
{
	uint32_t n = 0;
	enum slo_kind by;
	for (int k = 0; k < SLO_KINDS; k++) {
		for (int v = 0; v < SLO_SEVERITIES; v++) {
			struct slo_alert_state *a = &s->alert[k][v];
			enum slo_severity severity = (enum slo_severity)v;
			enum slo_event_kind kind;
			uint8_t rule = rule_that_holds(c, &c->of[k], &seen[k], severity);
			if (!alert_step(a, rule, now_ms, &kind)) continue;
			out[n++] = (struct slo_event){.kind = kind,
			        .of = (enum slo_kind)k,
			        .severity = severity,
			        .rule = a->rule};
		}
	}
	bool frozen = slo_frozen(c, seen, &by);
	if (frozen != s->frozen)
		out[n++] = (struct slo_event){
		        .kind = frozen ? SLO_EV_FROZEN : SLO_EV_THAWED, .of = by};
	s->frozen = frozen;
	return n;
}
