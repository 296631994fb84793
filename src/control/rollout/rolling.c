/*
 * A rolling update as two arms: each move takes as many old replicas away and adds as many new
 * ones as the fence lets it (math/rolling), then waits until they are ready and have been looked
 * at. Requests follow the ready replicas.
 */
#include "control/rollout/inner_priv.h"

static struct rolling_fence fence(const struct ro_turn *t)
{
	return rolling_fence(t->s->rules.surge, t->s->rules.unavailable, t->o->replicas);
}

uint32_t ro_rolling_share(const struct ro_turn *t)
{
	const struct ro_state *s = t->s;
	/* Those that are about to go count no more: their share moves before they do. */
	uint64_t new = HG_MIN(t->o->new_arm.ready, s->want_new);
	uint64_t old = HG_MIN(t->o->old_arm.ready, s->want_old);
	if (new == 0) return 0;
	return (uint32_t)(new *RO_WHOLE / (new + old));
}

static uint32_t grown(const struct ro_turn *t, uint32_t arm, uint32_t other)
{
	/* Those that were told to go may not have been told yet. */
	return rolling_new(fence(t), t->o->replicas, arm, arm + other);
}

static uint32_t shrunk(
        const struct ro_turn *t, uint32_t arm, uint32_t ready, uint32_t other, uint32_t other_ready)
{
	struct rolling_down d = rolling_old(fence(t), t->o->replicas, arm, HG_MIN(ready, arm),
	        other, HG_MIN(other_ready, other));
	return arm - HG_MIN(arm, d.unhealthy + d.available);
}

static void ask(struct ro_turn *t, bool more)
{
	struct ro_state *s = t->s;
	s->asked = more;
	s->ask_ms = s->wait_ms = 0;
	s->skip = false;
	t->dirty = t->rise = true;
}

static bool start(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	const struct ro_arm *old = &t->o->old_arm;
	if (s->want_new == 0) {
		s->want_old = t->o->replicas;
		s->want_new = grown(t, 0, s->want_old);
		if (s->want_new == 0) {
			s->want_old = shrunk(t, s->want_old, old->ready, 0, 0);
			s->want_new = grown(t, 0, s->want_old);
		}
		t->dirty = t->dirty || s->want_new > 0;
		if (s->want_old < t->o->replicas) s->base = 1;
	}
	return s->want_new > 0 && t->o->new_arm.ready >= s->want_new;
}

static bool move_is_due(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	bool good = ro_good(t);
	s->proven = s->proven || good;
	return good || s->skip || s->full || s->wait_ms >= RO_DWELL_MS;
}

bool ro_rolling_on(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	const struct ro_arm *old = &t->o->old_arm, *new = &t->o->new_arm;
	if (!t->o->fleet_known) return false;
	if (s->head.phase == RO_PHASE_START) return start(t);
	if (s->want_new > t->o->replicas || s->want_old == 0) s->want_new = t->o->replicas;
	if (new->ready < s->want_new) return false;
	if (s->asked) {
		s->asked = false;
		t->dirty = t->rise = true;
		s->wait_ms = 0;
	}
	if (s->want_old == 0) return old->total == 0;
	if (s->head.pause != RO_GOING || !ro_gates(t, RO_POINT_STEP)) return false;
	if (old->total > s->want_old || !ro_in_force(t) || !move_is_due(t)) return false;
	uint32_t want_old = s->want_old, want_new = s->want_new;
	s->want_old = shrunk(t, want_old, old->ready, want_new, new->ready);
	s->want_new = grown(t, want_new, s->want_old);
	if (s->want_old < want_old) s->base = 1;
	if (s->want_old != want_old || s->want_new != want_new) ask(t, s->want_new > want_new);
	return false;
}

bool ro_rolling_gentle(const struct ro_turn *t)
{
	const struct ro_state *s = t->s;
	if (s->rules.strategy != RO_ROLLING || s->tripped) return false;
	return s->head.cause == RO_CAUSE_PERSON || s->head.cause == RO_CAUSE_GATE ||
	       s->head.cause == RO_CAUSE_SUPERSEDED;
}

bool ro_rolling_back(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	const struct ro_arm *old = &t->o->old_arm, *new = &t->o->new_arm;
	uint32_t n = t->o->replicas;
	if (!t->o->fleet_known) return false;
	if (s->want_old == 0 && s->want_new == 0) return true; /* nothing was moved yet */
	if (s->want_old == 0)
		return t->o->want.serving == s->old_release && old->ready >= n && new->total == 0;
	uint32_t want_old = s->want_old, want_new = s->want_new;
	if (s->head.weight_ppm == 0 && ro_in_force(t)) {
		/* It serves nobody: as many as may be kept to be looked at, the others go now. */
		uint32_t spare = fence(t).surge;
		s->want_new = HG_MIN(want_new, s->rules.keep_canary_ms ? spare : 0);
		s->want_old = HG_MAX(HG_MIN(n, n + spare - s->want_new), 1u);
	} else {
		s->want_old = grown(t, want_old, want_new);
		if (old->ready >= want_old && s->want_old >= want_old)
			s->want_new = shrunk(t, want_new, new->ready, s->want_old, old->ready);
	}
	if (s->want_old != want_old || s->want_new != want_new) t->dirty = true;
	bool whole = old->ready >= n || s->base == 0; /* none of them was taken away */
	return s->want_old >= n && whole && s->head.weight_ppm == 0;
}
