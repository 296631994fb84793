/* Gates: commands that must succeed, and people who must agree. */
#include "control/rollout/inner_priv.h"

struct place {
	enum ro_point point;
	uint32_t step;
};

/* The first step that has this weight or more; without one it is a matter of promotion. */
static struct place place_by_weight(const struct ro_state *s, uint32_t weight_ppm)
{
	for (uint32_t i = 0; i < s->rules.step_count; i++)
		if (s->rules.step[i].weight_ppm >= weight_ppm)
			return (struct place){RO_POINT_STEP, i};
	return (struct place){.point = RO_POINT_PROMOTE};
}

static struct place place_of(const struct ro_state *s, const struct ro_gate *g)
{
	struct place p = {.point = RO_POINT_BEFORE};
	bool no_return = s->rules.strategy == RO_ROLLING || s->rules.strategy == RO_RECREATE;
	switch (g->when) {
	case RO_WHEN_AFTER: p.point = RO_POINT_AFTER; break;
	case RO_WHEN_ROLLBACK: p.point = RO_POINT_BACK; break;
	case RO_WHEN_PROMOTE: p.point = RO_POINT_PROMOTE; break;
	case RO_WHEN_WEIGHT: p = place_by_weight(s, g->weight_ppm); break;
	case RO_WHEN_CONFIRM:
		if (g->weight_ppm == RO_WHOLE)
			p.point = RO_POINT_PROMOTE;
		else if (g->weight_ppm > 0)
			p = place_by_weight(s, g->weight_ppm);
		break;
	default: break;
	}
	/* When the old replicas are gone there is nothing left to keep from happening. */
	if (no_return && p.point == RO_POINT_PROMOTE) p.point = RO_POINT_BEFORE;
	if (s->rules.strategy == RO_RECREATE && p.point == RO_POINT_STEP) p.point = RO_POINT_BEFORE;
	return p;
}

static bool is_here(const struct ro_turn *t, const struct ro_gate *g, enum ro_point point)
{
	const struct ro_state *s = t->s;
	struct place p = place_of(s, g);
	if (p.point != point) return false;
	if (point != RO_POINT_STEP) return true;
	/* A rolling update has one step, in which the weight grows by itself. */
	if (s->rules.strategy == RO_ROLLING) return g->weight_ppm <= s->head.weight_ppm;
	return p.step == s->head.step;
}

static void set(struct ro_turn *t, uint32_t i, enum ro_gate_state state)
{
	t->s->head.gate[i] = (uint8_t)state;
	ro_tell(t, RO_EV_GATE, i);
}

/* True: this one is done with. */
static bool advance(struct ro_turn *t, uint32_t i, enum ro_point point)
{
	struct ro_state *s = t->s;
	const struct ro_gate_seen *seen = &t->o->gate[i];
	bool confirms = s->rules.gate[i].when == RO_WHEN_CONFIRM;
	switch ((enum ro_gate_state)s->head.gate[i]) {
	case RO_GATE_NEXT:
		if (s->head.pause == RO_GOING)
			set(t, i, confirms ? RO_GATE_WAITING : RO_GATE_RUNNING);
		return false;
	case RO_GATE_WAITING: return false;
	case RO_GATE_RUNNING: break;
	default: return true;
	}
	if (seen->state != RO_GATE_PASSED && seen->state != RO_GATE_FAILED) return false;
	s->gate_took_ms[i] = seen->took_ms;
	s->gate_status[i] = seen->status;
	set(t, i, seen->state);
	if (seen->state == RO_GATE_FAILED && point != RO_POINT_BACK) {
		ro_back(t, RO_CAUSE_GATE);
		return false;
	}
	return true;
}

bool ro_gates(struct ro_turn *t, enum ro_point point)
{
	for (uint32_t i = 0; i < t->s->rules.gate_count; i++)
		if (is_here(t, &t->s->rules.gate[i], point) && !advance(t, i, point)) return false;
	return true;
}

void ro_gates_stop(struct ro_turn *t, bool back_too)
{
	struct ro_state *s = t->s;
	for (uint32_t i = 0; i < s->rules.gate_count; i++) {
		if (s->rules.gate[i].when == RO_WHEN_ROLLBACK && !back_too) continue;
		if (s->head.gate[i] <= RO_GATE_WAITING) set(t, i, RO_GATE_SKIPPED);
	}
}

void ro_gates_emit(struct ro_turn *t)
{
	const struct ro_state *s = t->s;
	for (uint32_t i = 0; i < s->rules.gate_count; i++)
		if (s->head.gate[i] != RO_GATE_RUNNING && t->o->gate[i].state == RO_GATE_RUNNING)
			ro_add(t, RO_GATE_KILL)->gate = i;
	for (uint32_t i = 0; i < s->rules.gate_count; i++)
		if (s->head.gate[i] == RO_GATE_RUNNING && t->o->gate[i].state == RO_GATE_NEXT)
			ro_add(t, RO_GATE_RUN)->gate = i;
}
