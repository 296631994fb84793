/* The weight, the slot of the trial, and which release is to run how often. */
#include "control/rollout/inner_priv.h"

#include <string.h>

/* ---- epochs ---- */

void ro_epoch_open(struct ro_turn *t, uint32_t weight_ppm, uint32_t epoch)
{
	struct ro_state *s = t->s;
	bool first = s->head.epoch == 0;
	/* Going back the evidence stays as it stood, for `why`. */
	if (ro_is_going(s)) {
		if (!first) {
			memmove(&s->former[1], &s->former[0],
			        sizeof s->former[0] * (RO_FORMER - 1));
			s->former[0] = (struct ro_former){.epoch = s->head.epoch,
			        .weight_ppm = s->head.weight_ppm,
			        .taken = s->evidence};
		}
		judge_epoch(&s->judge, (double)weight_ppm / RO_WHOLE, first ? NULL : &s->evidence);
		memset(&s->evidence, 0, sizeof s->evidence);
		s->look_ms = 0;
		s->shared = false;
		s->verdict = JUDGE_NOT_YET;
		t->out->lens = true;
	}
	s->head.epoch = epoch;
	s->head.weight_ppm = weight_ppm;
	t->dirty = true;
}

/* ---- the weight ---- */

/* What the phase asks for, were all replicas there. */
static uint32_t asked_for(const struct ro_state *s)
{
	switch (s->head.phase) {
	case RO_PHASE_STEP:
	case RO_PHASE_HOLD:
		if (s->raised) return ro_step_weight(s, s->head.step);
		return s->head.step ? ro_step_weight(s, s->head.step - 1) : 0;
	case RO_PHASE_PROMOTE: {
		/* With `promote --full` steps were left out: stay where it was. */
		uint32_t n = s->rules.step_count;
		return n && s->head.proof[n - 1] != RO_PROOF_SKIPPED ? ro_step_weight(s, n - 1)
		                                                     : s->head.weight_ppm;
	}
	case RO_PHASE_WATCH: {
		bool control = ro_is_trial(s) && !s->closing && s->wait_ms < s->rules.watch_ms;
		return RO_WHOLE - (control ? s->rules.control_ppm : 0);
	}
	default: return 0;
	}
}

static uint32_t weight_back(struct ro_turn *t)
{
	const struct ro_state *s = t->s;
	const struct ro_arm *old = &t->o->old_arm, *new = &t->o->new_arm;
	if (s->tripped || s->head.cause == RO_CAUSE_EVIDENCE || s->head.weight_ppm == 0) return 0;
	/* What was saved but not done before control died is not done any more. */
	if (!t->o->fleet_known)
		return HG_MIN(s->head.weight_ppm, t->o->split.present ? t->o->split.weight_ppm : 0);
	if (new->ready == 0 || t->o->replicas == 0) return 0;
	if (ro_rolling_gentle(t)) return ro_rolling_share(t);
	/* Never to nobody: the new release serves until the old one is there again. */
	t->stable = old->ready == 0;
	return t->stable ? RO_WHOLE : 0;
}

/* A step of 0 %, with its replicas there. */
static bool is_shadow(const struct ro_state *s)
{
	bool step = s->head.phase == RO_PHASE_STEP || s->head.phase == RO_PHASE_HOLD;
	return step && s->raised && !s->tripped && ro_step_weight(s, s->head.step) == 0;
}

/* What its ready replicas let an arm have. */
static uint32_t allowed(struct ro_turn *t, uint32_t weight_ppm)
{
	struct ro_state *s = t->s;
	const struct ro_arm *old = &t->o->old_arm, *new = &t->o->new_arm;
	if (weight_ppm == 0 && !is_shadow(s)) return 0;
	if (!t->o->fleet_known) return s->head.weight_ppm;
	if (new->ready == 0) return 0;
	if (old->ready == 0 && ro_old_is_kept(s)) {
		t->stable = true;
		return RO_WHOLE;
	}
	if (new->ready >= t->o->replicas) s->base = t->o->replicas;
	uint32_t n = HG_MAX(HG_MIN(s->base, t->o->replicas), 1u);
	if (new->ready >= ro_need(weight_ppm, n)) return weight_ppm;
	return HG_MIN(weight_ppm, (uint32_t)((uint64_t) new->ready *RO_WHOLE / n));
}

static uint32_t target(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	bool rolls = s->rules.strategy == RO_ROLLING &&
	             (s->head.phase == RO_PHASE_STEP || s->head.phase == RO_PHASE_PROMOTE);
	if (s->head.phase >= RO_PHASE_BACK) return weight_back(t);
	if (s->tripped) return 0;
	if (rolls && !t->o->fleet_known) return s->head.weight_ppm;
	if (rolls) {
		uint32_t share = ro_rolling_share(t);
		t->stable = share == RO_WHOLE; /* nobody else serves */
		return share;
	}
	return allowed(t, asked_for(s));
}

/* One that rises because replicas came back, or falls because the old release's did, has to wait:
 * flapping replicas must not make an epoch a second. */
static bool may_move(const struct ro_turn *t, uint32_t to)
{
	const struct ro_state *s = t->s;
	if (t->rise || s->settle_ms >= RO_SETTLE_MS || s->head.phase == RO_PHASE_BACK) return true;
	if (to > s->head.weight_ppm) return t->stable;
	bool wanted = to > 0 || (is_shadow(s) && t->o->new_arm.ready > 0);
	bool old_is_back = s->head.weight_ppm == RO_WHOLE && wanted && to == asked_for(s);
	return !old_is_back;
}

/* Without a slot requests follow the serving release. */
static bool new_is_wanted(const struct ro_state *s)
{
	return s->head.phase > RO_PHASE_GATE && s->head.phase < RO_PHASE_BACK;
}

void ro_weigh(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	if (!ro_split_wanted(t)) {
		if (s->closing || t->o->removed) return;
		uint32_t all = new_is_wanted(s) ? RO_WHOLE : 0;
		if (all == s->head.weight_ppm) return;
		s->head.weight_ppm = all;
		ro_tell(t, RO_EV_WEIGHT, 0);
		return;
	}
	uint32_t to = target(t);
	bool first = s->head.epoch == 0;
	if (!first && (to == s->head.weight_ppm || !may_move(t, to))) return;
	bool stable =
	        t->stable && to == RO_WHOLE && s->head.weight_ppm != RO_WHOLE && ro_old_is_kept(s);
	ro_epoch_open(t, to, s->head.epoch + 1);
	ro_tell(t, stable ? RO_EV_STABLE : RO_EV_WEIGHT, 0);
}

/* ---- the slot ---- */

static uint32_t side(const struct ro_state *s)
{
	return s->head.phase == RO_PHASE_WATCH ? s->new_release : s->old_release;
}

bool ro_split_wanted(const struct ro_turn *t)
{
	const struct ro_state *s = t->s;
	if (s->rules.strategy == RO_RECREATE || s->head.phase == RO_PHASE_END) return false;
	if (t->o->removed) return false;
	/* A rolling update that has stopped all old replicas has no second arm: a trip would leave
	 * requests to nobody. */
	if (s->rules.strategy == RO_ROLLING &&
	        (s->head.phase == RO_PHASE_WATCH ||
	                (s->head.phase == RO_PHASE_BACK && s->want_old == 0)))
		return false;
	/* The end of the trial gives everything to the serving release: it has to be the right
	 * one by then, and once it has ended it does not begin again. */
	return !(s->closing && (t->o->want.serving == side(s) || !t->o->split.present));
}

struct ro_split ro_split_of(const struct ro_turn *t)
{
	const struct ro_state *s = t->s;
	const struct ro_rules *r = &s->rules;
	struct ro_split p = {
	        .present = true, .weight_ppm = s->head.weight_ppm, .epoch = s->head.epoch};
	bool before = s->head.phase < RO_PHASE_WATCH && !s->tripped;
	/* A trip gives all requests to the old release: without it there is nobody to give them to.
	 */
	bool old = t->o->old_arm.ready > 0 || !t->o->fleet_known;
	bool judged = r->strategy != RO_IMMEDIATE && old && !s->closing;
	if (judged && ro_is_going(s) && p.weight_ppm > 0) p.flags |= RO_SPLIT_JUDGE;
	if (r->rescue) p.flags |= RO_SPLIT_RESCUE;
	if ((r->match || r->preview) && before) p.flags |= RO_SPLIT_MATCH;
	/* A copy is a request too: gates that come before any request come before it. */
	if (r->mirror_ppm && before && s->head.phase > RO_PHASE_GATE) p.flags |= RO_SPLIT_MIRROR;
	return p;
}

bool ro_in_force(const struct ro_turn *t)
{
	const struct ro_state *s = t->s;
	if (!ro_split_wanted(t)) return true;
	const struct ro_split *in = &t->o->split;
	return in->present && in->epoch == s->head.epoch && in->weight_ppm == s->head.weight_ppm;
}

/* ---- replicas ---- */

static struct ro_want beside(uint32_t serving, uint32_t trial, uint32_t trial_replicas)
{
	struct ro_want w = {.serving = serving};
	if (trial_replicas > 0) w.trial = trial, w.trial_replicas = trial_replicas;
	return w;
}

static struct ro_want want_rolling(const struct ro_turn *t)
{
	const struct ro_state *s = t->s;
	bool back = s->head.phase >= RO_PHASE_BACK;
	/* Backwards from the end the fleet itself replaces the serving release by its fence. */
	if (back && (s->want_old == 0 || (s->closing && !t->o->split.present)))
		return (struct ro_want){.serving = s->old_release};
	if (s->head.phase == RO_PHASE_WATCH || (s->want_old == 0 && s->want_new > 0))
		return (struct ro_want){.serving = s->new_release};
	struct ro_want w = beside(s->old_release, s->new_release, s->want_new);
	if (s->want_old < t->o->replicas) w.serving_replicas = s->want_old;
	return w;
}

struct ro_want ro_want_of(const struct ro_turn *t)
{
	const struct ro_state *s = t->s;
	bool last = s->closing && !t->o->split.present;
	if (s->rules.strategy == RO_RECREATE) {
		uint32_t serving = new_is_wanted(s) ? s->new_release : s->old_release;
		return (struct ro_want){.serving = serving, .recreate = true};
	}
	if (s->rules.strategy == RO_ROLLING) return want_rolling(t);
	if (s->head.phase == RO_PHASE_WATCH)
		return beside(s->new_release, s->old_release, last ? 0 : t->o->replicas);
	return beside(s->old_release, s->new_release, last ? 0 : s->want_new);
}

bool ro_want_eq(struct ro_want a, struct ro_want b)
{
	if (a.trial == 0 || a.trial_replicas == 0) a.trial = a.trial_replicas = 0;
	if (b.trial == 0 || b.trial_replicas == 0) b.trial = b.trial_replicas = 0;
	return a.serving == b.serving && a.serving_replicas == b.serving_replicas &&
	       a.trial == b.trial && a.trial_replicas == b.trial_replicas;
}
