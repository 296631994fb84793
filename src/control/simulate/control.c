#include "control/simulate/world_priv.h"

#include <string.h>

void sim_control_begin(struct sim_world *w, uint64_t id, const struct ro_rules *rules)
{
	w->alive = true;
	w->memory_id = 1;
	w->want.serving = SIM_OLD;
	ro_begin(&w->kept, id, 7, SIM_OLD, SIM_NEW, rules, w->wall_ms);
	w->saved_n = ro_save(&w->kept, w->saved, sizeof w->saved);
}

void sim_control_die(struct sim_world *w, uint64_t for_ms)
{
	w->alive = false;
	w->deaths++;
	w->back_ms = w->now_ms + for_ms;
	/* Its commands die with it. */
	memset(w->gate, 0, sizeof w->gate);
}

void sim_control_start(struct sim_world *w, uint32_t fleet_unknown_ms)
{
	struct ro_state s;
	w->alive = true;
	w->fleet_known_ms = w->now_ms + fleet_unknown_ms;
	w->decide_ms = w->now_ms;
	if (!w->saved_n) return;
	bool loaded = ro_load(w->saved, w->saved_n, &s);
	HG_ASSERT(loaded);
	w->kept = s;
}

static void observe(struct sim_world *w, struct ro_observation *o)
{
	struct sim_edge *e = &w->edge;
	*o = (struct ro_observation){
	        .replicas = w->n,
	        .fleet_known = w->now_ms >= w->fleet_known_ms,
	        .want = w->want,
	        .split = e->split,
	        .sample = w->sample,
	        .memory_id = w->memory_id,
	        .tripped = e->tripped,
	        .traffic = e->traffic,
	        .superseded = w->superseded,
	        .removed = w->removed,
	};
	if (o->fleet_known) {
		o->old_arm = sim_arm(w, SIM_OLD);
		o->new_arm = sim_arm(w, SIM_NEW);
	}
	memcpy(o->gate, w->gate, sizeof o->gate);
	const struct judge_evidence *cell = e->split.present ? sim_cell(e, e->split.epoch) : NULL;
	o->evidence_epoch = cell ? e->split.epoch : 0;
	if (cell) o->evidence = *cell;
	for (uint32_t i = 0; i < RO_FORMER; i++) {
		uint32_t epoch = w->kept.former[i].epoch;
		cell = epoch ? sim_cell(e, epoch) : NULL;
		if (cell) o->former[i] = (struct ro_seen_former){epoch, *cell};
	}
	e->traffic = false;
}

/* False: the list ends here. */
static bool act(struct sim_world *w, const struct ro_action *a, struct ro_state *next)
{
	if (a->kind == RO_SAVE && w->trouble.store_fails) return false;
	if (w->on_action) w->on_action(w, a, next);
	switch (a->kind) {
	case RO_SPLIT:
		sim_split_set(&w->edge, &a->split);
		w->edge.lens = next->judge.lens;
		break;
	case RO_SAVE:
		w->saved_n = ro_save(next, w->saved, sizeof w->saved);
		HG_ASSERT(w->saved_n > 0);
		w->kept = *next;
		break;
	case RO_WANT:
		w->want = a->want;
		sim_fleet_pass(w);
		break;
	case RO_GATE_KILL: w->gate[a->gate].state = RO_GATE_NEXT; break;
	case RO_GATE_RUN:
		w->gate[a->gate].state = RO_GATE_RUNNING;
		w->gate_ms[a->gate] = w->now_ms + w->gate_least_ms;
		if (w->gate_spread_ms)
			w->gate_ms[a->gate] += hg_rand_below(&w->rand, w->gate_spread_ms);
		break;
	case RO_END_TRIAL: w->edge.split = (struct ro_split){0}; break;
	default: break;
	}
	return true;
}

/* False: control died, or the rest has to wait. */
static bool act_all(struct sim_world *w, const struct ro_actions *out, struct ro_state *next)
{
	bool saves = false;
	for (uint32_t i = 0; i < out->n; i++) {
		if (w->trouble.control_weak && hg_rand_below(&w->rand, 8) == 0) {
			sim_control_die(w, 50 + hg_rand_below(&w->rand, 15000));
			return false;
		}
		saves = saves || out->a[i].kind == RO_SAVE;
		if (!act(w, &out->a[i], next)) {
			w->decide_ms = w->now_ms + 1000;
			return false;
		}
	}
	if (!saves) {
		w->untold = w->untold || !ro_head_eq(&next->head, &w->kept.head);
		w->kept = *next;
	}
	return true;
}

void sim_control_look(struct sim_world *w)
{
	struct ro_observation o;
	struct ro_actions out;
	for (int turn = 0;; turn++) {
		if (turn == 50) {
			w->stuck = true;
			return;
		}
		struct ro_state next = w->kept;
		observe(w, &o);
		ro_decide(&next, &o, w->wall_ms, &out);
		w->looks++;
		if (!act_all(w, &out, &next)) return;
		struct sim_edge *e = &w->edge;
		if (out.lens && e->split.present && e->split.epoch == w->kept.head.epoch)
			e->lens = w->kept.judge.lens;
		w->done = out.done;
		w->waits = out.waits;
		if (out.done || out.next_ms > w->wall_ms) break;
	}
	w->decide_ms = w->now_ms + w->look_ms;
}

void sim_gates_live(struct sim_world *w)
{
	for (uint32_t i = 0; i < RO_GATES_MAX; i++) {
		if (w->gate[i].state != RO_GATE_RUNNING || w->now_ms < w->gate_ms[i]) continue;
		w->gate[i].state = w->trouble.gate_fails ? RO_GATE_FAILED : RO_GATE_PASSED;
		w->gate[i].status = w->trouble.gate_fails;
		w->changed = true;
	}
}
