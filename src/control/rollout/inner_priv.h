/* Between the files of the pure half: one call of ro_decide, and who decides which part of it. */
#ifndef CONTROL_ROLLOUT_INNER_PRIV_H
#define CONTROL_ROLLOUT_INNER_PRIV_H

#include "control/rollout/decide.h"

struct ro_turn {
	struct ro_state *s;
	const struct ro_observation *o;
	struct ro_actions *out;
	uint64_t now, dt;
	bool dirty;  /* to be saved */
	bool rise;   /* a transition of this turn sets the weight: no settling */
	bool stable; /* the weight is whole because the old release has no ready replica */
};

/* Where a gate stands in the order of things. */
enum ro_point { RO_POINT_BEFORE, RO_POINT_STEP, RO_POINT_PROMOTE, RO_POINT_AFTER, RO_POINT_BACK };

struct ro_action *ro_add(struct ro_turn *t, enum ro_act kind);
void ro_tell(struct ro_turn *t, enum ro_event_kind kind, uint32_t index);
void ro_phase(struct ro_turn *t, enum ro_phase phase);
/* Into RO_PHASE_BACK, unless it is there already. */
void ro_back(struct ro_turn *t, enum ro_cause cause);
/* Towards the end with the new release serving. */
void ro_forward(struct ro_turn *t);

/* signals.c: what was observed, taken into the state. */
void ro_absorb(struct ro_turn *t);
void ro_signals(struct ro_turn *t);
/* Proven good in this epoch. */
bool ro_good(const struct ro_turn *t);

/* steps.c: one transition; false: none is due. */
bool ro_step_on(struct ro_turn *t);
void ro_settle(struct ro_turn *t);
/* Shall the old release be there with ready replicas? Not while a strategy has stopped it. */
bool ro_old_is_kept(const struct ro_state *s);

/* gates.c: all gates of this point passed; starts the next one, goes back for one that failed. */
bool ro_gates(struct ro_turn *t, enum ro_point point);
/* Running ones are ended, waiting ones do not wait. */
void ro_gates_stop(struct ro_turn *t, bool back_too);
void ro_gates_emit(struct ro_turn *t);

/* rolling.c */
bool ro_rolling_on(struct ro_turn *t); /* forwards, in START and STEP */
/* It goes back from here: old replicas that have not been told to go stay. */
void ro_rolling_turn(struct ro_turn *t);
bool ro_rolling_back(struct ro_turn *t); /* true: all old ones serve again */
/* The new release's share of ready replicas. */
uint32_t ro_rolling_share(const struct ro_turn *t);
/* Going back, requests follow the replicas instead of leaving the new release at once. */
bool ro_rolling_gentle(const struct ro_turn *t);

/* traffic.c: weight and want. */
void ro_weigh(struct ro_turn *t);
bool ro_split_wanted(const struct ro_turn *t);
struct ro_split ro_split_of(const struct ro_turn *t);
struct ro_want ro_want_of(const struct ro_turn *t);
bool ro_want_eq(struct ro_want a, struct ro_want b);
/* The slot says what the state says. */
bool ro_in_force(const struct ro_turn *t);
void ro_epoch_open(struct ro_turn *t, uint32_t weight_ppm, uint32_t epoch);

static inline bool ro_is_trial(const struct ro_state *s)
{
	return s->rules.strategy == RO_CANARY || s->rules.strategy == RO_BLUE_GREEN ||
	       s->rules.strategy == RO_IMMEDIATE;
}

static inline bool ro_is_going(const struct ro_state *s)
{
	return s->head.phase < RO_PHASE_BACK;
}

#endif
