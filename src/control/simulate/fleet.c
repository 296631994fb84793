#include "control/simulate/world_priv.h"

#define SMALL 0.1 /* share of its memory that a replica has at its start */

struct ro_arm sim_arm(const struct sim_world *w, uint32_t release)
{
	struct ro_arm a = {0};
	for (uint32_t i = 0; i < w->high; i++) {
		const struct sim_replica *r = &w->replica[i];
		if (!r->used || r->release != release) continue;
		a.total++;
		a.ready += r->ready;
		a.starting += !r->ready && !r->waits;
		a.crash_loops += backoff_crash_loop(&r->backoff);
		a.memory = HG_MAX(a.memory, r->memory);
	}
	if (release == w->want.serving)
		a.wanted = w->want.serving_replicas ? w->want.serving_replicas : w->n;
	else if (release == w->want.trial)
		a.wanted = w->want.trial_replicas;
	a.memory_ends = w->memory_ends[release];
	if (release == SIM_NEW) {
		a.failed_starts = w->failed_starts;
		a.exits = w->exits;
	}
	return a;
}

uint32_t sim_count(const struct sim_world *w, uint32_t release, bool only_ready)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < w->high; i++) {
		const struct sim_replica *r = &w->replica[i];
		n += r->used && r->release == release && (r->ready || !only_ready);
	}
	return n;
}

static void becomes_ready(struct sim_world *w, struct sim_replica *r)
{
	r->ready = r->ever_ready = true;
	r->ready_ms = w->now_ms;
	r->at_ms = SIM_NEVER;
}

static uint32_t spread(struct sim_world *w, uint32_t ms)
{
	return ms ? hg_rand_below(&w->rand, ms) : 0;
}

void sim_replica_begin(struct sim_world *w, struct sim_replica *r)
{
	r->ready = r->waits = false;
	r->served = 0;
	r->memory = SMALL;
	r->grown_ms = w->now_ms;
	r->crash_at = 0;
	r->at_ms = w->now_ms + w->start_least_ms + spread(w, w->start_spread_ms);
	if (r->release != SIM_NEW) return;
	r->at_ms += spread(w, w->trouble.new_slow_ms);
	if (w->trouble.new_never) r->at_ms = SIM_NEVER;
}

void sim_replica_end(struct sim_world *w, struct sim_replica *r)
{
	if (r->release == SIM_NEW) {
		w->exits++;
		w->failed_starts += !r->ever_ready && r->backoff.streak == 0;
	}
	uint64_t healthy_ms = r->ready ? w->now_ms - r->ready_ms : 0;
	r->at_ms = w->now_ms + backoff_ended(&r->backoff, healthy_ms, &w->rand);
	r->ready = false;
	r->waits = true;
	w->changed = true;
}

void sim_replica_add(struct sim_world *w, uint32_t release, bool ready)
{
	for (uint32_t i = 0; i < SIM_REPLICAS; i++) {
		struct sim_replica *r = &w->replica[i];
		if (r->used) continue;
		w->high = HG_MAX(w->high, i + 1);
		*r = (struct sim_replica){.used = true, .release = release};
		sim_replica_begin(w, r);
		if (ready) becomes_ready(w, r);
		return;
	}
	w->full = true;
}

/* One that is not ready, if there is any. */
static void drop(struct sim_world *w, uint32_t release)
{
	struct sim_replica *victim = NULL;
	for (uint32_t i = 0; i < w->high; i++) {
		struct sim_replica *r = &w->replica[i];
		if (r->used && r->release == release && (!victim || (victim->ready && !r->ready)))
			victim = r;
	}
	if (victim) victim->used = false;
}

static void have(struct sim_world *w, uint32_t release, uint32_t n)
{
	while (sim_count(w, release, false) < n && !w->full)
		sim_replica_add(w, release, false);
	while (sim_count(w, release, false) > n)
		drop(w, release);
}

void sim_fleet_pass(struct sim_world *w)
{
	uint32_t other = w->want.serving == SIM_OLD ? SIM_NEW : SIM_OLD,
	         n = sim_arm(w, w->want.serving).wanted;
	uint32_t beside = other == w->want.trial ? w->want.trial_replicas : 0;
	uint32_t others = sim_count(w, other, false);
	bool replaces = other != w->want.trial && others > 0;
	if (replaces && w->want.recreate) {
		have(w, other, 0);
	} else if (replaces && w->kept.rules.strategy == RO_ROLLING) {
		/* A serving release that was not the trial replaces the former by the fence. */
		struct rolling_fence f =
		        rolling_fence(w->kept.rules.surge, w->kept.rules.unavailable, w->n);
		uint32_t mine = sim_count(w, w->want.serving, false);
		n = rolling_new(f, w->n, mine, mine + others);
		struct rolling_down d = rolling_old(f, w->n, others, sim_count(w, other, true),
		        mine, sim_count(w, w->want.serving, true));
		beside = others - HG_MIN(others, d.unhealthy + d.available);
		n = HG_MAX(n, mine);
	}
	have(w, w->want.serving, n);
	have(w, other, beside);
	if (sim_count(w, SIM_NEW, false) == 0) w->failed_starts = w->exits = 0;
}

static void leaks(struct sim_world *w, struct sim_replica *r)
{
	const struct sim_trouble *t = &w->trouble;
	uint32_t ms = r->release == SIM_NEW ? t->new_leak_ms : t->old_leak_ms;
	uint64_t gone = w->now_ms - r->grown_ms;
	r->grown_ms = w->now_ms;
	if (r->waits || ms == 0) return;
	r->memory += (1 - SMALL) * (double)gone / ms;
	if (r->memory < 1) return;
	w->memory_ends[r->release]++;
	sim_replica_end(w, r);
}

static void replica_lives(struct sim_world *w, struct sim_replica *r)
{
	const struct sim_trouble *t = &w->trouble;
	bool was = r->ready, new = r->release == SIM_NEW;
	if (w->now_ms >= r->at_ms && r->waits)
		sim_replica_begin(w, r);
	else if (w->now_ms >= r->at_ms && !r->ready)
		becomes_ready(w, r);
	if (r->at_ms == SIM_NEVER && !r->ready && !(new && t->new_never))
		r->at_ms = w->now_ms + 500;
	if (new && t->new_crashes && !r->waits && hg_rand_below(&w->rand, 6) == 0)
		sim_replica_end(w, r);
	leaks(w, r);
	bool flaps = (new ? t->new_flaps : t->old_flaps) && hg_rand_below(&w->rand, 20) == 0;
	bool down = new ? t->new_down : t->old_down;
	if (r->ready && (flaps || down)) {
		r->ready = false;
		r->at_ms = w->now_ms + 300 + hg_rand_below(&w->rand, 3000);
	}
	if (r->ready) backoff_healthy(&r->backoff, w->now_ms - r->ready_ms);
	if (r->ready != was) w->changed = true;
}

void sim_replicas_live(struct sim_world *w)
{
	for (uint32_t i = 0; i < w->high; i++)
		if (w->replica[i].used) replica_lives(w, &w->replica[i]);
}
