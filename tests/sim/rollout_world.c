#include "rollout_world.h"

#include <stdio.h>

const char *const world_fault_names[FAULT_KINDS] = {"the new release fails",
        "new replicas never get ready", "new replicas start slowly", "all new replicas exit",
        "new replicas crash again and again", "one new replica exits", "new replicas flap",
        "old replicas flap", "no old replica is ready", "shared outage", "no requests",
        "control dies", "control dies between actions", "reboot", "the store fails",
        "the clock jumps back", "the clock jumps forward", "a newer deploy", "the app is removed",
        "scaled", "a person", "a gate fails", "the slot is torn", "the new release leaks",
        "both releases leak"};

HG_NORETURN void world_broken(struct world *w, const char *what)
{
	if (!w->quiet)
		fprintf(stderr, "rollout_sim: seed %llu after %llu ms (%s, phase %s): %s\n",
		        (unsigned long long)w->seed, (unsigned long long)(w->s.now_ms - w->started),
		        ro_strategy_name(w->s.kept.rules.strategy),
		        ro_phase_name(w->s.kept.head.phase), what);
	longjmp(w->broken, 1);
}

uint32_t world_below(struct world *w, uint32_t n)
{
	return hg_rand_below(&w->s.rand, n);
}

bool world_on(const struct world *w, enum fault_kind kind)
{
	for (uint32_t i = 0; i < w->faults; i++)
		if (w->fault[i].kind == kind && w->s.now_ms >= w->fault[i].at &&
		        w->s.now_ms < w->fault[i].until)
			return true;
	return false;
}

static uint32_t arg_of(const struct world *w, enum fault_kind kind)
{
	for (uint32_t i = 0; i < w->faults; i++)
		if (w->fault[i].kind == kind && w->s.now_ms >= w->fault[i].at &&
		        w->s.now_ms < w->fault[i].until)
			return w->fault[i].arg;
	return 0;
}

uint32_t world_leak_ms(uint32_t arg)
{
	return 3000 + arg % 60 * 1000;
}

static uint32_t leak_ms(const struct world *w, enum fault_kind kind)
{
	return world_on(w, kind) ? world_leak_ms(arg_of(w, kind)) : 0;
}

void world_trouble(struct world *w)
{
	w->s.trouble = (struct sim_trouble){
	        .new_never = world_on(w, FAULT_NEW_NEVER),
	        .new_slow_ms = world_on(w, FAULT_NEW_SLOW) ? 60000 : 0,
	        .new_crashes = world_on(w, FAULT_NEW_CRASHES),
	        .new_flaps = world_on(w, FAULT_NEW_FLAPS),
	        .old_flaps = world_on(w, FAULT_OLD_FLAPS),
	        .old_down = world_on(w, FAULT_OLD_DOWN),
	        .gate_fails = world_on(w, FAULT_GATE_FAILS),
	        .store_fails = world_on(w, FAULT_STORE),
	        .new_leak_ms = leak_ms(w, FAULT_BOTH_LEAK) ? leak_ms(w, FAULT_BOTH_LEAK)
	                                                   : leak_ms(w, FAULT_NEW_LEAKS),
	        .old_leak_ms = leak_ms(w, FAULT_BOTH_LEAK),
	        .control_weak = world_on(w, FAULT_CONTROL_WEAK),
	};
}

/* ---- edge ---- */

/* One request comes to its end and is counted where it was drawn. */
static void complete(struct world *w, uint32_t epoch, bool new_arm, bool failed)
{
	struct sim_edge *e = &w->s.edge;
	if (!sim_cell(e, epoch)) return;
	w->failures_new += failed && new_arm;
	if (!sim_edge_event(e, epoch, new_arm, true, failed ? 1u << JUDGE_ERRORS : 0)) return;
	w->trip_requests = w->requests;
	w->s.changed = true;
}

static bool fails(struct world *w, bool new_arm, double unit)
{
	double p = w->fails_old;
	if (new_arm && world_on(w, FAULT_NEW_FAILS))
		p = HG_MAX(p, arg_of(w, FAULT_NEW_FAILS) / 100.0);
	if (world_on(w, FAULT_OUTAGE)) p = HG_MAX(p, 0.4);
	return unit < p;
}

static void request(struct world *w, uint32_t ready_old, uint32_t ready_new)
{
	uint64_t bits = hg_rand_u64(&w->s.rand);
	double unit = (double)(bits >> 32) / 4294967296.0;
	w->requests++;
	w->s.edge.traffic = true;
	if (!w->s.edge.split.present) return;
	uint32_t weight = w->s.edge.tripped ? 0 : w->s.edge.split.weight_ppm;
	bool new_arm = (bits & 0xfffff) * 1000000 >> 20 < weight;
	MUST(!(w->s.edge.tripped && new_arm));
	w->step_requests++;
	bool none = new_arm ? ready_new == 0 : ready_old == 0;
	bool failed = none || fails(w, new_arm, unit);
	if (failed && new_arm && (ready_old == 0 || !(w->s.edge.split.flags & RO_SPLIT_RESCUE)))
		w->seen++;
	if ((bits >> 24 & 0x3f) == 0) {
		struct late *l = &w->late[bits >> 56 & (PENDING - 1)];
		if (l->at == 0) {
			l->at = w->s.now_ms + 1 + (bits >> 40 & 0xfff);
			l->epoch = w->s.edge.split.epoch;
			l->new_arm = new_arm;
			return;
		}
	}
	complete(w, w->s.edge.split.epoch, new_arm, failed);
}

void world_edge_lives(struct world *w)
{
	for (uint32_t i = 0; i < PENDING; i++) {
		struct late *l = &w->late[i];
		if (l->at == 0 || w->s.now_ms < l->at) continue;
		l->at = 0;
		complete(w, l->epoch, l->new_arm, fails(w, l->new_arm, hg_rand_unit(&w->s.rand)));
	}
	if (world_on(w, FAULT_QUIET)) return;
	double expected = w->rate * QUANTUM_MS / 1000;
	uint32_t k =
	        (uint32_t)expected + (hg_rand_unit(&w->s.rand) < expected - (uint32_t)expected);
	uint32_t old = sim_count(&w->s, OLD, true), new = sim_count(&w->s, NEW, true);
	for (uint32_t i = 0; i < k; i++)
		request(w, old, new);
}
