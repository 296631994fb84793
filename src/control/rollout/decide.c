/* One look: facts in, transitions, actions in their order. */
#include "control/rollout/inner_priv.h"

#include <string.h>

struct ro_action *ro_add(struct ro_turn *t, enum ro_act kind)
{
	struct ro_actions *out = t->out;
	/* Each of 16 gates may change three times and be started; all else is a handful. */
	HG_ASSERT(out->n < RO_ACTIONS_MAX);
	struct ro_action *a = &out->a[out->n++];
	memset(a, 0, sizeof *a);
	a->kind = kind;
	if (kind == RO_QUARANTINE || kind == RO_INCIDENT || kind == RO_PROMOTED) {
		a->event.head = t->s->head;
		t->dirty = true;
	}
	return a;
}

void ro_tell(struct ro_turn *t, enum ro_event_kind kind, uint32_t index)
{
	struct ro_state *s = t->s;
	struct ro_event *e = &ro_add(t, RO_EVENT)->event;
	e->kind = kind;
	e->index = index;
	e->threshold = s->judge.lens.threshold;
	(void)judge_decide(&s->judge.lens, &s->evidence, &e->e);
	e->head = s->told = s->head;
	t->dirty = true;
}

void ro_phase(struct ro_turn *t, enum ro_phase phase)
{
	t->s->head.phase = phase;
	t->s->phase_since_ms = t->now;
	ro_tell(t, RO_EV_PHASE, t->s->head.step);
}

void ro_back(struct ro_turn *t, enum ro_cause cause)
{
	struct ro_state *s = t->s;
	if (!ro_is_going(s)) return;
	bool own_fault = cause != RO_CAUSE_SUPERSEDED && cause != RO_CAUSE_REMOVED;
	/* Replicas that the fleet has in the role of the serving release stay what they are. */
	if (ro_is_trial(s) && s->head.phase == RO_PHASE_WATCH) s->want_new = t->o->replicas;
	ro_rolling_turn(t);
	s->head.cause = cause;
	s->head.pause = RO_GOING;
	s->head.phase = RO_PHASE_BACK;
	s->back_ms = s->phase_since_ms = t->now;
	s->wait_ms = s->ask_ms = s->hold_ms = 0;
	s->asked = true;
	s->closing = s->skip = s->full = s->raised = false;
	ro_tell(t, RO_EV_BACK, 0);
	ro_gates_stop(t, false);
	if (own_fault) ro_add(t, RO_QUARANTINE);
	if (own_fault && cause != RO_CAUSE_PERSON && s->rules.open_incident) ro_add(t, RO_INCIDENT);
}

void ro_forward(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	s->closing = true;
	s->head.pause = RO_GOING;
	ro_gates_stop(t, true);
	ro_phase(t, RO_PHASE_WATCH);
}

static void supersede(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	if (!ro_is_going(s) || s->closing) return;
	/* There is no old release to go back to. */
	bool stopped = !ro_old_is_kept(s) && s->head.phase >= RO_PHASE_STEP;
	bool alone = t->o->fleet_known && t->o->old_arm.ready == 0 && t->o->new_arm.ready > 0 &&
	             s->head.weight_ppm == RO_WHOLE;
	if (s->head.phase == RO_PHASE_WATCH || stopped || alone) {
		s->head.cause = RO_CAUSE_SUPERSEDED;
		ro_forward(t);
	} else {
		ro_back(t, RO_CAUSE_SUPERSEDED);
	}
}

static void remove_app(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	ro_gates_stop(t, true);
	if (t->o->split.present || s->head.phase == RO_PHASE_END) return;
	s->head.cause = RO_CAUSE_REMOVED;
	s->head.outcome = RO_SUPERSEDED;
	s->head.pause = RO_GOING;
	s->head.phase = RO_PHASE_END;
	s->ended_ms = s->phase_since_ms = t->now;
	ro_tell(t, RO_EV_ENDED, 0);
}

/* What a command changed and nobody has told yet. */
static void told(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	if (s->head.pause != s->told.pause)
		ro_tell(t, s->head.pause == RO_GOING ? RO_EV_RESUMED : RO_EV_PAUSED, 0);
	for (uint32_t i = 0; i < s->rules.gate_count; i++)
		if (s->head.gate[i] != s->told.gate[i]) ro_tell(t, RO_EV_GATE, i);
	if (!ro_head_eq(&s->head, &s->told)) ro_tell(t, RO_EV_PHASE, s->head.step);
}

/* ---- actions ---- */

static void emit(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	struct ro_actions *out = t->out;
	const struct ro_split *in = &t->o->split;
	bool slot = ro_split_wanted(t), moves = false;
	struct ro_split split = ro_split_of(t);
	bool differs =
	        slot && (!in->present || in->epoch != split.epoch ||
	                        in->weight_ppm != split.weight_ppm || in->flags != split.flags);
	bool lower = in->present && split.weight_ppm < in->weight_ppm;
	if (s->unsaved_ms >= RO_SAVE_MS) t->dirty = true;
	if (differs && lower) {
		ro_add(t, RO_SPLIT)->split = split;
		struct ro_action a = out->a[out->n - 1];
		memmove(&out->a[1], &out->a[0], sizeof out->a[0] * (out->n - 1));
		out->a[0] = a;
	}
	if (t->dirty) {
		ro_add(t, RO_SAVE);
		s->unsaved_ms = 0;
		s->changed_ms = t->now;
	}
	if (differs && !lower) ro_add(t, RO_SPLIT)->split = split;
	struct ro_want want = ro_want_of(t);
	bool ended = s->head.phase == RO_PHASE_END;
	/* Replicas are moved by who sees them. */
	bool sees = t->o->fleet_known && !t->o->removed;
	bool wants = !ended && sees && !ro_want_eq(t->o->want, want);
	if (wants) ro_add(t, RO_WANT)->want = want;
	ro_gates_emit(t);
	bool ends = !slot && in->present;
	if (ends) ro_add(t, RO_END_TRIAL);
	moves = differs || wants || ends;
	out->next_ms = moves ? t->now : t->now + RO_TICK_MS;
	out->done = ended && !moves;
	if (out->done) out->next_ms = UINT64_MAX;
}

static void wait_left(struct ro_turn *t, enum ro_waits waits, uint64_t of_ms, uint64_t gone_ms)
{
	t->out->waits = waits;
	t->out->left_ms = of_ms > gone_ms ? of_ms - gone_ms : 0;
}

static bool gate_in(const struct ro_state *s, enum ro_gate_state state)
{
	for (uint32_t i = 0; i < s->rules.gate_count; i++)
		if (s->head.gate[i] == state) return true;
	return false;
}

static void explain(struct ro_turn *t)
{
	const struct ro_state *s = t->s;
	const struct ro_rules *r = &s->rules;
	enum ro_phase phase = s->head.phase;
	if (t->out->done)
		t->out->waits = RO_WAITS_NOTHING;
	else if (s->closing || phase == RO_PHASE_END)
		t->out->waits = RO_WAITS_APPLY;
	else if (phase == RO_PHASE_BACK && s->asked)
		t->out->waits = RO_WAITS_OLD;
	else if (s->head.pause != RO_GOING)
		t->out->waits = RO_WAITS_RESUME;
	else if (gate_in(s, RO_GATE_WAITING))
		t->out->waits = RO_WAITS_PERSON;
	else if (s->asked)
		t->out->waits = RO_WAITS_REPLICAS;
	else if (phase == RO_PHASE_STEP && s->wait_ms < ro_step_wait_ms(s, s->head.step))
		wait_left(t, RO_WAITS_TIME, ro_step_wait_ms(s, s->head.step), s->wait_ms);
	else if (gate_in(s, RO_GATE_RUNNING))
		t->out->waits = RO_WAITS_GATE;
	else if (phase == RO_PHASE_STEP || phase == RO_PHASE_HOLD)
		wait_left(t, RO_WAITS_EVIDENCE, r->inconclusive_after_ms, s->hold_ms);
	else if (phase == RO_PHASE_WATCH)
		wait_left(t, RO_WAITS_TIME, ro_watch_ms(r), s->wait_ms);
	else if (phase == RO_PHASE_BACK)
		wait_left(t, RO_WAITS_KEEP, r->keep_canary_ms, s->wait_ms);
	else
		t->out->waits = RO_WAITS_REPLICAS;
}

void ro_decide(struct ro_state *s, const struct ro_observation *seen, uint64_t now_ms,
        struct ro_actions *out)
{
	struct ro_turn t = {.s = s, .o = seen, .out = out, .now = now_ms};
	out->n = 0;
	out->lens = out->done = false;
	out->left_ms = 0;
	if (s->head.phase != RO_PHASE_END) {
		if (!s->begun) ro_tell(&t, RO_EV_STARTED, 0);
		s->begun = true;
		told(&t);
		ro_absorb(&t);
		if (seen->removed)
			remove_app(&t);
		else
			ro_signals(&t);
		if (seen->superseded && !seen->removed) supersede(&t);
		/* As many as there are phases, steps and gates; no state comes twice. */
		for (int i = 0; i < 128 && !seen->removed && ro_step_on(&t); i++) {
		}
		if (s->head.phase != RO_PHASE_END) ro_weigh(&t);
		told(&t);
		if (seen->fleet_known && ro_is_going(s) && s->head.weight_ppm > 0 &&
		        seen->new_arm.ready > 0)
			s->had_ready = true;
	}
	emit(&t);
	explain(&t);
}
