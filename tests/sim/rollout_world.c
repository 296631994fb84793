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
		        (unsigned long long)w->seed, (unsigned long long)(w->now - w->started),
		        ro_strategy_name(w->kept.rules.strategy), ro_phase_name(w->kept.head.phase),
		        what);
	longjmp(w->broken, 1);
}

uint32_t world_below(struct world *w, uint32_t n)
{
	return hg_rand_below(&w->rand, n);
}

bool world_on(const struct world *w, enum fault_kind kind)
{
	for (uint32_t i = 0; i < w->faults; i++)
		if (w->fault[i].kind == kind && w->now >= w->fault[i].at &&
		        w->now < w->fault[i].until)
			return true;
	return false;
}

static uint32_t arg_of(const struct world *w, enum fault_kind kind)
{
	for (uint32_t i = 0; i < w->faults; i++)
		if (w->fault[i].kind == kind && w->now >= w->fault[i].at &&
		        w->now < w->fault[i].until)
			return w->fault[i].arg;
	return 0;
}

/* ---- fleet ---- */

struct ro_arm world_arm(const struct world *w, uint32_t release)
{
	struct ro_arm a = {0};
	for (uint32_t i = 0; i < w->high; i++) {
		const struct replica *r = &w->replica[i];
		if (!r->used || r->release != release) continue;
		a.total++;
		a.ready += r->ready;
		a.starting += !r->ready && !r->waits;
		a.crash_loops += r->streak >= 3;
		a.memory = HG_MAX(a.memory, r->memory);
	}
	if (release == w->want.serving)
		a.wanted = w->want.serving_replicas ? w->want.serving_replicas : w->n;
	else if (release == w->want.trial)
		a.wanted = w->want.trial_replicas;
	a.memory_ends = w->memory_ends[release];
	if (release == NEW) {
		a.failed_starts = w->failed_starts;
		a.exits = w->exits;
	}
	return a;
}

void world_replica_begin(struct world *w, struct replica *r)
{
	r->ready = r->waits = false;
	r->memory = 0.1;
	r->at = w->now + 200 + world_below(w, 4000);
	if (r->release != NEW) return;
	if (world_on(w, FAULT_NEW_SLOW)) r->at += world_below(w, 60000);
	if (world_on(w, FAULT_NEW_NEVER)) r->at = NEVER;
}

void world_replica_ends(struct world *w, struct replica *r)
{
	static const uint32_t backoff_ms[] = {0, 0, 1000, 2000, 4000, 8000, 16000};
	if (r->release == NEW) {
		w->exits++;
		w->failed_starts += !r->ever_ready && r->streak == 0;
	}
	r->streak++;
	r->ready = false;
	r->waits = true;
	r->at = w->now + backoff_ms[HG_MIN(r->streak, HG_COUNT(backoff_ms) - 1)];
	w->changed = true;
}

uint32_t world_count(const struct world *w, uint32_t release, bool only_ready)
{
	struct ro_arm a = world_arm(w, release);
	return only_ready ? a.ready : a.total;
}

void world_replica_add(struct world *w, uint32_t release)
{
	for (uint32_t i = 0; i < REPLICAS; i++) {
		if (w->replica[i].used) continue;
		w->high = HG_MAX(w->high, i + 1);
		w->replica[i] = (struct replica){.used = true, .release = release};
		world_replica_begin(w, &w->replica[i]);
		return;
	}
	world_broken(w, "more replicas than anybody should want");
}

static void drop(struct world *w, uint32_t release)
{
	struct replica *victim = NULL;
	for (uint32_t i = 0; i < w->high; i++) {
		struct replica *r = &w->replica[i];
		if (r->used && r->release == release && (!victim || (victim->ready && !r->ready)))
			victim = r;
	}
	if (victim) victim->used = false;
}

/* What the fleet does of struct fleet_want, in one pass. */
void world_fleet_pass(struct world *w)
{
	uint32_t other = w->want.serving == OLD ? NEW : OLD,
	         n = world_arm(w, w->want.serving).wanted;
	uint32_t beside = other == w->want.trial ? w->want.trial_replicas : 0;
	bool replaces = other != w->want.trial && world_count(w, other, false) > 0;
	if (replaces && w->want.recreate) {
		while (world_count(w, other, false) > 0)
			drop(w, other);
	} else if (replaces && w->kept.rules.strategy == RO_ROLLING) {
		/* A serving release that was not the trial replaces the former by the fence. */
		struct rolling_fence f =
		        rolling_fence(w->kept.rules.surge, w->kept.rules.unavailable, w->n);
		uint32_t have = world_count(w, w->want.serving, false);
		n = rolling_new(f, w->n, have, have + world_count(w, other, false));
		struct rolling_down d = rolling_old(f, w->n, world_count(w, other, false),
		        world_count(w, other, true), have, world_count(w, w->want.serving, true));
		beside = world_count(w, other, false) -
		         HG_MIN(world_count(w, other, false), d.unhealthy + d.available);
		n = HG_MAX(n, have);
	}
	while (world_count(w, w->want.serving, false) < n)
		world_replica_add(w, w->want.serving);
	while (world_count(w, w->want.serving, false) > n)
		drop(w, w->want.serving);
	while (world_count(w, other, false) < beside)
		world_replica_add(w, other);
	while (world_count(w, other, false) > beside)
		drop(w, other);
	if (world_count(w, NEW, false) == 0) w->failed_starts = w->exits = 0;
}

uint32_t world_leak_ms(uint32_t arg)
{
	return 3000 + arg % 60 * 1000;
}

static void leaks(struct world *w, struct replica *r)
{
	enum fault_kind kind = world_on(w, FAULT_BOTH_LEAK) ? FAULT_BOTH_LEAK : FAULT_NEW_LEAKS;
	if (r->waits || !world_on(w, kind) || (kind == FAULT_NEW_LEAKS && r->release != NEW))
		return;
	r->memory += 0.9 * QUANTUM_MS / world_leak_ms(arg_of(w, kind));
	if (r->memory < 1) return;
	w->memory_ends[r->release]++;
	world_replica_ends(w, r);
}

void world_replicas_live(struct world *w)
{
	for (uint32_t i = 0; i < w->high; i++) {
		struct replica *r = &w->replica[i];
		if (!r->used) continue;
		bool was = r->ready, new = r->release == NEW;
		if (w->now >= r->at && r->waits) {
			world_replica_begin(w, r);
		} else if (w->now >= r->at && !r->ready) {
			r->ready = r->ever_ready = true;
			r->at = NEVER;
		}
		if (r->at == NEVER && !r->ready && !(new &&world_on(w, FAULT_NEW_NEVER)))
			r->at = w->now + 500;
		if (new &&world_on(w, FAULT_NEW_CRASHES) && !r->waits && world_below(w, 6) == 0)
			world_replica_ends(w, r);
		leaks(w, r);
		bool flaps = world_on(w, new ? FAULT_NEW_FLAPS : FAULT_OLD_FLAPS) &&
		             world_below(w, 20) == 0;
		bool down = !new &&world_on(w, FAULT_OLD_DOWN);
		if (r->ready && (flaps || down)) {
			r->ready = false;
			r->at = w->now + 300 + world_below(w, 3000);
		}
		if (r->ready && !flaps && was) r->streak = 0;
		if (r->ready != was) w->changed = true;
	}
}

/* ---- edge ---- */

struct judge_evidence *world_cell(struct world *w, uint32_t epoch)
{
	uint32_t i = epoch % CELLS;
	return w->cell_epoch[i] == epoch ? &w->cell[i] : NULL;
}

/* One request comes to its end and is counted where it was drawn. */
static void complete(struct world *w, uint32_t epoch, bool new_arm, bool failed)
{
	struct judge_evidence *e = world_cell(w, epoch);
	if (!e) return;
	if (new_arm)
		e->n_new++;
	else
		e->n_old++;
	if (!failed) return;
	if (new_arm) {
		e->count[JUDGE_ERRORS].c++;
		w->failures_new++;
	} else {
		e->count[JUDGE_ERRORS].s++;
	}
	bool judged =
	        w->split.present && (w->split.flags & RO_SPLIT_JUDGE) && epoch == w->split.epoch;
	if (new_arm && judged && !w->tripped && judge_decide(&w->lens, e, NULL) == JUDGE_BAD) {
		w->tripped = true;
		w->trip_requests = w->requests;
		w->changed = true;
	}
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
	uint64_t bits = hg_rand_u64(&w->rand);
	double unit = (double)(bits >> 32) / 4294967296.0;
	w->requests++;
	w->traffic = true;
	if (!w->split.present) return;
	uint32_t weight = w->tripped ? 0 : w->split.weight_ppm;
	bool new_arm = (bits & 0xfffff) * 1000000 >> 20 < weight;
	MUST(!(w->tripped && new_arm));
	w->step_requests++;
	bool none = new_arm ? ready_new == 0 : ready_old == 0;
	bool failed = none || fails(w, new_arm, unit);
	if (failed && new_arm && (ready_old == 0 || !(w->split.flags & RO_SPLIT_RESCUE))) w->seen++;
	if ((bits >> 24 & 0x3f) == 0) {
		struct late *l = &w->late[bits >> 56 & (PENDING - 1)];
		if (l->at == 0) {
			l->at = w->now + 1 + (bits >> 40 & 0xfff);
			l->epoch = w->split.epoch;
			l->new_arm = new_arm;
			return;
		}
	}
	complete(w, w->split.epoch, new_arm, failed);
}

void world_edge_lives(struct world *w)
{
	for (uint32_t i = 0; i < PENDING; i++) {
		struct late *l = &w->late[i];
		if (l->at == 0 || w->now < l->at) continue;
		l->at = 0;
		complete(w, l->epoch, l->new_arm, fails(w, l->new_arm, hg_rand_unit(&w->rand)));
	}
	if (world_on(w, FAULT_QUIET)) return;
	double expected = w->rate * QUANTUM_MS / 1000;
	uint32_t k = (uint32_t)expected + (hg_rand_unit(&w->rand) < expected - (uint32_t)expected);
	uint32_t old = world_count(w, OLD, true), new = world_count(w, NEW, true);
	for (uint32_t i = 0; i < k; i++)
		request(w, old, new);
}
