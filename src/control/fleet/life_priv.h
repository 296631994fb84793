/* Between decide.c and life.c. */
#ifndef CONTROL_FLEET_LIFE_PRIV_H
#define CONTROL_FLEET_LIFE_PRIV_H

#include "control/fleet/decide_priv.h"

/* One replica's next steps at `now_ms`. */
void fl_live(struct fl_app *app, uint32_t slot, uint64_t now_ms, struct hg_rand *rand,
        struct fl_actions *out);

uint32_t fl_slot_take(struct fl_app *app, uint64_t now_ms);

static inline struct fl_action *fl_emit(struct fl_actions *out, enum fl_act kind, uint32_t slot)
{
	HG_ASSERT(out->n < FL_ACTIONS_MAX);
	struct fl_action *a = &out->a[out->n++];
	*a = (struct fl_action){.kind = kind, .slot = slot};
	return a;
}

static inline struct fl_action *fl_event(struct fl_actions *out, uint32_t slot, enum fl_event e)
{
	struct fl_action *a = fl_emit(out, FL_EVENT, slot);
	a->event = e;
	return a;
}

#endif
