/* From phase to phase. Each function does one transition that is due, or none. */
#include "control/rollout/inner_priv.h"

bool ro_old_is_kept(const struct ro_state *s)
{
	if (s->rules.strategy == RO_RECREATE) return s->head.phase < RO_PHASE_STEP;
	if (s->rules.strategy == RO_ROLLING)
		return s->head.phase < RO_PHASE_WATCH && (s->want_old > 0 || s->want_new == 0);
	return true;
}

static bool available(const struct ro_turn *t, uint32_t n)
{
	return t->o->fleet_known && t->o->new_arm.ready >= n;
}

/* Those of this phase's weight are there, and somebody beside them. */
void ro_settle(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	uint32_t n = HG_MAX(HG_MIN(s->base, t->o->replicas), 1u), need = n;
	if (s->rules.strategy == RO_ROLLING)
		need = s->want_new;
	else if (s->head.phase == RO_PHASE_STEP || s->head.phase == RO_PHASE_HOLD)
		need = ro_step_need(&s->rules, s->head.step, n);
	bool enough = available(t, need) && (t->o->old_arm.ready > 0 || !ro_old_is_kept(s));
	s->settle_ms = enough ? s->settle_ms + t->dt : 0;
}

static bool goes(const struct ro_turn *t)
{
	return t->s->head.pause == RO_GOING;
}

static void ask(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	s->asked = true;
	s->ask_ms = 0;
	t->dirty = true;
}

static void got(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	if (s->asked) t->dirty = true;
	s->asked = false;
}

/* The trial's replicas; never fewer than before, the app's own number at most. */
static void trial_at_least(struct ro_turn *t, uint32_t n)
{
	struct ro_state *s = t->s;
	uint32_t most = HG_MAX(t->o->replicas, 1u), want = HG_MAX(n, s->want_new);
	want = HG_MIN(want, most);
	if (want != s->want_new) t->dirty = true;
	s->want_new = want;
}

/* ---- upwards ---- */

static void enter_step(struct ro_turn *t, uint32_t i)
{
	struct ro_state *s = t->s;
	s->head.step = i;
	s->raised = s->traffic = s->skip = s->told_hold = false;
	s->wait_ms = s->hold_ms = 0;
	ask(t);
	ro_phase(t, RO_PHASE_STEP);
}

static void enter_promote(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	if (s->full)
		for (uint32_t i = 0; i < s->rules.step_count; i++)
			if (s->head.proof[i] == RO_PROOF_NONE) s->head.proof[i] = RO_PROOF_SKIPPED;
	s->skip = false;
	ask(t);
	ro_phase(t, RO_PHASE_PROMOTE);
}

static void promoted(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	got(t);
	s->head.promoted = true;
	s->promoted_ms = t->now;
	s->wait_ms = 0;
	s->skip = s->full = false;
	s->base = t->o->replicas;
	t->rise = true;
	s->head.phase = RO_PHASE_WATCH;
	s->phase_since_ms = t->now;
	ro_add(t, RO_PROMOTED);
	ro_tell(t, RO_EV_PROMOTED, 0);
}

static void pass(struct ro_turn *t, enum ro_proof proof)
{
	struct ro_state *s = t->s;
	uint32_t i = s->head.step;
	s->head.proof[i] = (uint8_t)proof;
	s->step_took_ms[i] = s->wait_ms;
	ro_tell(t, RO_EV_PASSED, i);
	if (i + 1 < s->rules.step_count && !s->full)
		enter_step(t, i + 1);
	else
		enter_promote(t);
}

static bool start_on(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	bool is_there = false;
	if (t->o->fleet_known && t->o->replicas == 0) {
		/* Scaled to nothing: there is nobody to start, to serve or to judge. */
		promoted(t);
		s->closing = true;
		return true;
	}
	if (s->rules.strategy == RO_RECREATE) {
		is_there = true;
	} else if (s->rules.strategy == RO_ROLLING) {
		is_there = ro_rolling_on(t);
	} else if (t->o->fleet_known) {
		trial_at_least(t, ro_step_need(&s->rules, 0, t->o->replicas));
		is_there = available(t, s->want_new);
	}
	if (!is_there) return false;
	got(t);
	if (!goes(t)) return false;
	ro_phase(t, RO_PHASE_GATE);
	return true;
}

static bool gate_on(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	bool passed = ro_gates(t, RO_POINT_BEFORE);
	if (s->head.phase != RO_PHASE_GATE) return true;
	if (!passed || !goes(t)) return false;
	if (s->rules.step_count == 0 || (s->full && ro_is_trial(s)))
		enter_promote(t);
	else
		enter_step(t, 0);
	return true;
}

/* The wait is over: is it proven, or nothing to be proven? */
static bool judged(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	if (ro_step_weight(s, s->head.step) == 0) {
		pass(t, RO_PROOF_SHADOW);
		return true;
	}
	if (ro_good(t)) {
		pass(t, RO_PROOF_EVIDENCE);
		return true;
	}
	if (!s->traffic) {
		pass(t, RO_PROOF_QUIET);
		return true;
	}
	if (s->head.phase == RO_PHASE_STEP) {
		s->hold_ms = 0;
		s->told_hold = false;
		ro_phase(t, RO_PHASE_HOLD);
		return true;
	}
	if (s->hold_ms < s->rules.inconclusive_after_ms) return false;
	switch (s->rules.inconclusive) {
	case RO_INCONCLUSIVE_PROMOTE: pass(t, RO_PROOF_POLICY); return true;
	case RO_INCONCLUSIVE_ABORT: ro_back(t, RO_CAUSE_INCONCLUSIVE); return true;
	default: break;
	}
	if (!s->told_hold) {
		s->told_hold = true;
		ro_tell(t, RO_EV_HOLD, s->head.step);
		t->dirty = true;
	}
	return false;
}

static bool canary_on(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	uint32_t need = ro_step_need(&s->rules, s->head.step, t->o->replicas);
	trial_at_least(t, need);
	/* It serves alone: as many as the app is to have. */
	bool alone =
	        t->o->fleet_known && t->o->old_arm.ready == 0 && s->head.weight_ppm == RO_WHOLE;
	if (alone) trial_at_least(t, t->o->replicas);
	if (!s->raised) {
		if (s->full && goes(t)) {
			enter_promote(t);
			return true;
		}
		if (!available(t, need)) return false;
		got(t);
		if (!goes(t)) return false;
		s->raised = t->rise = t->dirty = true;
		s->traffic = false;
		s->base = t->o->replicas;
		s->wait_ms = s->hold_ms = 0;
		return true;
	}
	bool gates = ro_gates(t, RO_POINT_STEP);
	if (!ro_is_going(s)) return true;
	if (!gates || !goes(t)) return false;
	if (s->skip || s->full) {
		pass(t, RO_PROOF_PERSON);
		return true;
	}
	if (s->wait_ms < ro_step_wait_ms(s, s->head.step)) return false;
	return judged(t);
}

static bool step_on(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	if (s->rules.strategy == RO_CANARY) return canary_on(t);
	s->raised = true;
	if (s->rules.strategy == RO_ROLLING) {
		if (!ro_rolling_on(t)) return !ro_is_going(s);
		if (!goes(t) || !ro_gates(t, RO_POINT_STEP)) return !ro_is_going(s);
		enum ro_proof unproven = s->traffic ? RO_PROOF_POLICY : RO_PROOF_QUIET;
		pass(t, s->proven ? RO_PROOF_EVIDENCE : unproven);
		return true;
	}
	if (s->want_new == 0) s->want_new = 1; /* the old ones were told to stop */
	if (!available(t, t->o->replicas) || t->o->old_arm.total > 0) return false;
	got(t);
	if (!goes(t)) return false;
	pass(t, RO_PROOF_POLICY); /* recreate judges nothing but readiness */
	return true;
}

static bool promote_on(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	if (ro_is_trial(s)) {
		trial_at_least(t, t->o->replicas);
		if (available(t, t->o->replicas)) got(t);
	}
	bool gates = ro_gates(t, RO_POINT_PROMOTE);
	if (!ro_is_going(s)) return true;
	if (!gates || !goes(t)) return false;
	if (ro_is_trial(s) && !available(t, t->o->replicas)) return false;
	promoted(t);
	return true;
}

static bool watch_on(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	if (ro_is_trial(s) && s->want_new != t->o->replicas && t->o->fleet_known)
		s->want_new = t->o->replicas;
	bool gates = ro_gates(t, RO_POINT_AFTER);
	if (!ro_is_going(s)) return true;
	if (!gates || !goes(t)) return false;
	if (!s->skip && s->wait_ms < ro_watch_ms(&s->rules)) return false;
	s->closing = true;
	t->dirty = true;
	return true;
}

/* ---- downwards and out ---- */

/* True: the old release has what it needs to serve alone. */
static bool old_is_back(struct ro_turn *t)
{
	const struct ro_state *s = t->s;
	if (s->rules.strategy == RO_ROLLING) return ro_rolling_back(t);
	if (s->rules.strategy == RO_RECREATE)
		return s->want_new == 0 ||
		       (t->o->fleet_known && t->o->old_arm.ready >= t->o->replicas);
	return s->head.weight_ppm == 0;
}

static bool close_back(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	s->closing = true;
	s->asked = false;
	ro_gates_stop(t, true);
	t->dirty = true;
	return true;
}

static bool back_on(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	const struct ro_arm *old = &t->o->old_arm, *new = &t->o->new_arm;
	bool hurry = t->o->superseded;
	bool serves = !s->tripped && s->head.weight_ppm > 0 && t->o->fleet_known &&
	              old->ready == 0 && new->ready > 0;
	if (!old_is_back(t)) {
		bool late = s->ask_ms >= s->rules.progress_deadline_ms;
		if (late && !s->stuck) {
			s->stuck = true;
			ro_tell(t, RO_EV_STUCK, 0);
			if (s->rules.open_incident) ro_add(t, RO_INCIDENT);
		}
		/* What comes next has to begin with who serves, if anybody does. */
		if (hurry && serves && (ro_is_trial(s) || late)) {
			ro_forward(t);
			return true;
		}
		return hurry && late ? close_back(t) : false;
	}
	got(t);
	if (!ro_in_force(t) || s->head.weight_ppm > 0) return false;
	if (hurry) return close_back(t);
	if (!ro_gates(t, RO_POINT_BACK)) return false;
	bool keeps = s->rules.strategy != RO_RECREATE && !ro_rolling_gentle(t) && !s->skip;
	if (keeps && s->wait_ms < s->rules.keep_canary_ms) return false;
	return close_back(t);
}

static bool close_on(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	if (t->o->split.present || !ro_want_eq(t->o->want, ro_want_of(t))) return false;
	bool forward = s->head.phase == RO_PHASE_WATCH;
	/* There will be no way back: gates for it are over as well. */
	ro_gates_stop(t, true);
	if (forward)
		s->head.outcome = s->head.promoted ? RO_PROMOTED_OK : RO_SUPERSEDED;
	else
		s->head.outcome =
		        s->head.cause == RO_CAUSE_SUPERSEDED ? RO_SUPERSEDED : RO_ROLLED_BACK;
	s->head.phase = RO_PHASE_END;
	s->head.pause = RO_GOING;
	s->ended_ms = s->phase_since_ms = t->now;
	ro_tell(t, RO_EV_ENDED, 0);
	return true;
}

bool ro_step_on(struct ro_turn *t)
{
	if (t->s->closing && t->s->head.phase != RO_PHASE_END) return close_on(t);
	switch (t->s->head.phase) {
	case RO_PHASE_START: return start_on(t);
	case RO_PHASE_GATE: return gate_on(t);
	case RO_PHASE_STEP:
	case RO_PHASE_HOLD: return step_on(t);
	case RO_PHASE_PROMOTE: return promote_on(t);
	case RO_PHASE_WATCH: return watch_on(t);
	case RO_PHASE_BACK: return back_on(t);
	default: return false;
	}
}
