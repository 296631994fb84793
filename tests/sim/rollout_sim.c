/*
 * Rollouts against a world that does its worst: releases that fail, start slowly, never or not for
 * long, shared outages, clocks that jump, traffic that stops, people, newer deploys, a store that
 * is full, reboots, and a control that is killed between any two of its actions and goes on from
 * what was saved last. The real decisions and the real judge; fleet, edge, gates and clock are
 * played here. What must hold is checked after every action and every quarter of a second.
 *
 * usage: rollout_sim FIRST COUNT [-v]    (seeds FIRST … FIRST + COUNT - 1)
 *
 * A seed that breaks something is run again with fewer and fewer faults while it still does, and
 * printed with those that are left.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rollout_world.h"

/* ---- what must hold ---- */

static bool can_serve(const struct world *w)
{
	uint32_t old = sim_count(&w->s, OLD, true), new = sim_count(&w->s, NEW, true);
	uint32_t weight = w->s.edge.tripped ? 0 : w->s.edge.split.weight_ppm;
	if (w->s.edge.split.present)
		return (weight < RO_WHOLE && old > 0) || (weight > 0 && new > 0);
	return sim_count(&w->s, w->s.want.serving, true) > 0 ||
	       (w->s.kept.rules.strategy == RO_ROLLING && old + new > 0);
}

static void check(struct world *w)
{
	const struct ro_state *s = &w->s.kept;
	const struct ro_head *h = &s->head;
	bool trial = s->rules.strategy != RO_RECREATE && s->rules.strategy != RO_ROLLING;
	/* While requests may have to go back, the old release has all its replicas. */
	if (trial && w->s.edge.split.present && w->s.alive && !w->s.removed)
		MUST(sim_arm(&w->s, OLD).wanted >= w->s.n || w->s.changed ||
		        world_on(w, FAULT_SCALE));
	if (s->rules.strategy == RO_RECREATE || w->s.n == 0 || w->s.removed) return;
	/* The new release may serve once its gates have passed; not after it was proven bad. */
	bool may = h->phase >= RO_PHASE_STEP && !w->s.edge.tripped &&
	           h->cause != RO_CAUSE_EVIDENCE &&
	           (h->phase != RO_PHASE_BACK || h->weight_ppm > 0) &&
	           (h->phase != RO_PHASE_PROMOTE || h->weight_ppm > 0);
	bool somebody = sim_count(&w->s, OLD, true) > 0 || (may && sim_count(&w->s, NEW, true) > 0);
	if (can_serve(w) || !somebody || !w->s.alive || w->s.now_ms < w->s.fleet_known_ms ||
	        world_on(w, FAULT_STORE) || h->pause != RO_GOING) {
		w->unserved_since = w->s.now_ms;
		return;
	}
	MUST(w->s.now_ms - w->unserved_since < 15000);
}

/* Before the fleet acts on it: what goes because of us. */
static void check_want(struct world *w, const struct ro_want *new_want)
{
	const struct ro_state *s = &w->s.kept;
	struct ro_want was = w->s.want;
	uint32_t ready = sim_count(&w->s, OLD, true) + sim_count(&w->s, NEW, true);
	uint32_t before = sim_arm(&w->s, OLD).wanted + sim_arm(&w->s, NEW).wanted;
	w->s.want = *new_want;
	uint32_t old = sim_arm(&w->s, OLD).wanted, new = sim_arm(&w->s, NEW).wanted;
	bool trial = s->rules.strategy == RO_CANARY || s->rules.strategy == RO_BLUE_GREEN ||
	             s->rules.strategy == RO_IMMEDIATE;
	/* Stable stays whole and warm while it can be needed. */
	if (trial && w->s.edge.split.present) MUST(old >= w->s.n);
	if (trial && w->s.edge.split.present && w->s.edge.split.weight_ppm == RO_WHOLE &&
	        !w->s.edge.tripped && s->head.phase == RO_PHASE_WATCH && s->head.promoted)
		MUST(new >= w->s.n);
	if (s->rules.strategy == RO_ROLLING && new_want->trial) {
		struct rolling_fence f =
		        rolling_fence(s->rules.surge, s->rules.unavailable, w->s.n);
		/* Scaled down, what is too many may only become fewer. */
		MUST(old + new <= HG_MAX(w->s.n + f.surge, before));
		uint32_t old_left = HG_MIN(sim_count(&w->s, OLD, true), old);
		uint32_t new_left = HG_MIN(sim_count(&w->s, NEW, true), new);
		uint32_t least = w->s.n - HG_MIN(f.unavailable, w->s.n);
		bool serves = w->s.edge.split.weight_ppm > 0;
		uint32_t left = old_left + (serves ? new_left : 0);
		uint32_t had = serves ? ready : sim_count(&w->s, OLD, true);
		MUST(left >= least || left >= had || world_on(w, FAULT_SCALE));
	}
	w->s.want = was;
}

static void check_split(struct world *w, const struct ro_split *p, const struct ro_state *next)
{
	struct ro_state disk;
	bool known = w->s.now_ms >= w->s.fleet_known_ms;
	MUST(p->weight_ppm <= RO_WHOLE);
	MUST(!(w->s.edge.tripped && p->weight_ppm > 0));
	uint32_t before = w->s.edge.split.present ? w->s.edge.split.weight_ppm : 0;
	if (p->weight_ppm > before) {
		/* Never above what is on disk. */
		MUST(ro_load(w->s.saved, w->s.saved_n, &disk));
		MUST(disk.head.epoch == p->epoch && disk.head.weight_ppm == p->weight_ppm);
		if (known)
			MUST(sim_count(&w->s, NEW, true) > 0 ||
			        w->s.kept.head.phase == RO_PHASE_WATCH);
		MUST(next->head.phase != RO_PHASE_GATE && next->head.phase != RO_PHASE_START);
		bool alone = p->weight_ppm == RO_WHOLE && sim_count(&w->s, OLD, true) == 0;
		MUST(next->head.phase != RO_PHASE_BACK || alone ||
		        next->rules.strategy == RO_ROLLING);
	}
	MUST(p->epoch >= w->s.edge.split.epoch || !w->s.edge.split.present);
	/* Copies are requests: none before the gates that come before any, none once it serves. */
	enum ro_phase phase = next->head.phase;
	bool may_mirror = phase > RO_PHASE_GATE && phase < RO_PHASE_WATCH && !next->tripped;
	MUST(!(p->flags & RO_SPLIT_MIRROR) || (may_mirror && next->rules.mirror_ppm > 0));
}

static void check_passed(struct world *w, const struct ro_event *e, const struct ro_state *s)
{
	enum ro_proof proof = e->head.proof[e->index];
	uint64_t wait_ms = ro_step_wait_ms(s, e->index), real = w->step_real_ms;
	/* A jump of the clock may pass for one look's worth of time, not for more. */
	uint64_t slack = RO_TICK_MS + w->jumps * RO_TICK_MAX_MS;
	const struct judge_evidence *cell = sim_cell(&w->s.edge, e->head.epoch);
	bool canary = s->rules.strategy == RO_CANARY;
	switch (proof) {
	case RO_PROOF_EVIDENCE:
		if (!canary) break;
		MUST(real + slack >= wait_ms);
		MUST(cell && cell->n_new >= 200);
		MUST(cell->count[JUDGE_ERRORS].c * 10 <= cell->n_new);
		break;
	case RO_PROOF_QUIET:
		if (!canary) break;
		MUST(real + slack >= wait_ms);
		MUST(w->step_requests == 0);
		break;
	case RO_PROOF_POLICY:
		MUST(!canary || s->rules.inconclusive == RO_INCONCLUSIVE_PROMOTE);
		if (canary) MUST(real + slack >= wait_ms + s->rules.inconclusive_after_ms);
		break;
	case RO_PROOF_PERSON: MUST(w->said_promote > 0); break;
	case RO_PROOF_SHADOW:
		MUST(canary && e->index == 0 && ro_step_weight(s, 0) == 0);
		MUST(real + slack >= wait_ms);
		break;
	default: world_broken(w, "a step was left without a reason");
	}
}

static bool ever(const struct world *w, enum fault_kind kind)
{
	for (uint32_t i = 0; i < w->faults; i++)
		if (w->fault[i].kind == kind) return true;
	return false;
}

static void check_event(struct world *w, const struct ro_event *e, const struct ro_state *s)
{
	const struct ro_head *h = &e->head;
	MUST(h->phase >= w->pending.phase || h->phase == RO_PHASE_START ||
	        h->phase == RO_PHASE_STEP || h->phase == RO_PHASE_WATCH);
	MUST(w->pending.phase != RO_PHASE_END);
	if (e->kind == RO_EV_PASSED) check_passed(w, e, s);
	if (e->kind == RO_EV_BACK && h->cause == RO_CAUSE_MEMORY) {
		/* With a rule, for something that happened, and not for what the old one does. */
		MUST(s->rules.memory > 0 && w->s.memory_ends[OLD] == 0);
		MUST(w->s.memory_ends[NEW] > 0 || sim_arm(&w->s, NEW).memory > s->rules.memory);
		/* A rolling update that is over has nothing left to compare with. */
		MUST(!world_on(w, FAULT_BOTH_LEAK) || ever(w, FAULT_NEW_LEAKS) ||
		        (s->rules.strategy == RO_ROLLING && w->s.want.trial == 0));
	}
	if (e->kind == RO_EV_RESTARTED) w->step_requests = w->step_real_ms = 0;
	if (e->kind == RO_EV_PROMOTED && w->s.n > 0 && s->rules.strategy != RO_RECREATE &&
	        s->rules.strategy != RO_ROLLING) {
		MUST(sim_count(&w->s, NEW, true) >= w->s.n);
		for (uint32_t i = 0; i < s->rules.step_count; i++)
			MUST(h->proof[i] != RO_PROOF_NONE);
	}
	if (e->kind == RO_EV_PROMOTED && w->s.n > 0)
		for (uint32_t i = 0; i < s->rules.gate_count; i++) {
			enum ro_when when = s->rules.gate[i].when;
			if (when == RO_WHEN_BEFORE || when == RO_WHEN_PROMOTE)
				MUST(h->gate[i] == RO_GATE_PASSED);
		}
	ro_replay(&w->pending, e);
}

/* ---- control ---- */

/* Before each action: what must hold by then. */
static void on_action(struct sim_world *sim, const struct ro_action *a, const struct ro_state *next)
{
	struct world *w = (struct world *)sim;
	switch (a->kind) {
	case RO_SPLIT: check_split(w, &a->split, next); break;
	case RO_EVENT: check_event(w, &a->event, next); break;
	case RO_QUARANTINE: w->quarantined++; break;
	case RO_INCIDENT: w->incidents++; break;
	case RO_PROMOTED: w->promoted++; break;
	case RO_SAVE:
		w->journal = w->pending;
		MUST(ro_head_eq(&w->journal, &next->head));
		MUST(ro_head_eq(&next->told, &next->head));
		if (next->head.step != w->s.kept.head.step || next->raised != w->s.kept.raised)
			w->step_requests = w->step_real_ms = 0;
		break;
	case RO_WANT: check_want(w, &a->want); break;
	case RO_GATE_RUN: MUST(w->s.gate[a->gate].state == RO_GATE_NEXT); break;
	case RO_GATE_KILL: break;
	case RO_END_TRIAL: MUST(w->s.edge.split.present); break;
	default: world_broken(w, "an unknown action");
	}
}

static void control_dies(struct world *w)
{
	sim_control_die(&w->s, 50 + world_below(w, 15000));
}

static void control_starts(struct world *w)
{
	sim_control_start(&w->s, world_below(w, 1500));
	MUST(w->s.saved_n == 0 || ro_head_eq(&w->s.kept.head, &w->journal));
	w->pending = w->journal;
}

static void control_looks(struct world *w)
{
	w->pending = w->journal;
	sim_control_look(&w->s);
	MUST(!w->s.stuck);
	MUST(!w->s.untold);
}

static void person(struct world *w, uint32_t verb)
{
	static const enum rollouts_verb verbs[] = {ROLLOUTS_PROMOTE, ROLLOUTS_PROMOTE_FULL,
	        ROLLOUTS_PAUSE, ROLLOUTS_RESUME, ROLLOUTS_ABORT};
	struct hg_err err = {0};
	if (!w->s.alive || w->s.done) return;
	enum rollouts_verb v = verbs[verb % HG_COUNT(verbs)];
	if (ro_command(&w->s.kept, v, w->s.wall_ms, &err) < 0) return;
	if (v <= ROLLOUTS_PROMOTE_FULL) w->said_promote++;
	if (v == ROLLOUTS_ABORT) w->said_abort++;
	w->s.changed = true;
}

/* ---- the world turns ---- */

static void fault_begins(struct world *w, struct fault *f)
{
	switch (f->kind) {
	case FAULT_NEW_CRASH:
	case FAULT_NEW_EXIT:
		for (uint32_t i = 0; i < w->s.high; i++) {
			struct sim_replica *r = &w->s.replica[i];
			if (!r->used || r->release != NEW || r->waits) continue;
			sim_replica_end(&w->s, r);
			if (f->kind == FAULT_NEW_EXIT) break;
		}
		break;
	case FAULT_CONTROL_DIES:
		if (w->s.alive) control_dies(w);
		break;
	case FAULT_REBOOT:
		if (w->s.alive) control_dies(w);
		w->s.memory_id++;
		w->s.edge.split = (struct ro_split){0};
		w->s.edge.tripped = false;
		memset(w->s.edge.cell_epoch, 0, sizeof w->s.edge.cell_epoch);
		memset(w->late, 0, sizeof w->late);
		for (uint32_t i = 0; i < w->s.high; i++)
			if (w->s.replica[i].used) sim_replica_begin(&w->s, &w->s.replica[i]);
		break;
	case FAULT_CLOCK_BACK: w->s.wall_ms -= HG_MIN(w->s.wall_ms, 1000ull * (1 + f->arg)); break;
	case FAULT_CLOCK_FORWARD:
		w->s.wall_ms += 1000ull * (1 + f->arg);
		w->jumps++;
		break;
	case FAULT_SUPERSEDED: w->s.superseded = true; break;
	case FAULT_REMOVED: w->s.removed = true; break;
	case FAULT_SCALE:
		w->s.n = f->arg % 9;
		sim_fleet_pass(&w->s);
		break;
	case FAULT_PERSON: person(w, f->arg); break;
	case FAULT_TORN_SLOT: w->s.edge.split = (struct ro_split){0}; break;
	default: break;
	}
	w->s.changed = true;
}

static void faults_make(struct world *w)
{
	w->faults = world_below(w, FAULTS + 1);
	if (w->seed % 20 == 0) {
		/* Nothing but a release that fails every request. */
		w->faults = 1;
		w->fault[0] = (struct fault){
		        FAULT_NEW_FAILS, w->s.now_ms, w->s.now_ms + CALM_MS + 3600000, 100};
		return;
	}
	if (w->seed % 20 == 1) {
		/* Nothing but a release that leaks, quickly. */
		w->faults = 1;
		w->fault[0] = (struct fault){FAULT_NEW_LEAKS, w->s.now_ms,
		        w->s.now_ms + CALM_MS + 3600000, world_below(w, 2)};
		return;
	}
	for (uint32_t i = 0; i < w->faults; i++) {
		struct fault *f = &w->fault[i];
		f->kind = world_below(w, FAULT_KINDS);
		if (f->kind == FAULT_REMOVED && world_below(w, 4)) f->kind = FAULT_NEW_FAILS;
		f->at = w->s.now_ms + world_below(w, 3) * world_below(w, 120000);
		f->until = f->at + 1000 + world_below(w, 60000);
		f->arg = world_below(w, 100000);
		if (f->kind == FAULT_NEW_FAILS || f->kind == FAULT_NEW_NEVER ||
		        f->kind == FAULT_NEW_LEAKS || f->kind == FAULT_BOTH_LEAK)
			f->until = world_below(w, 3) ? w->s.now_ms + CALM_MS : f->until;
		if (f->kind == FAULT_NEW_FAILS)
			f->arg = (const uint32_t[]){2, 5, 20, 50, 100, 100}[f->arg % 6];
		if (f->kind == FAULT_SCALE) f->until = w->s.now_ms + CALM_MS;
	}
}

static struct rolling_share share(struct world *w)
{
	if (world_below(w, 2)) return (struct rolling_share){true, world_below(w, 5) * 125000};
	return (struct rolling_share){false, world_below(w, 3)};
}

static void rules_make(struct world *w, struct ro_rules *r)
{
	ro_rules_default(r, world_below(w, RO_STRATEGIES + 2) % RO_STRATEGIES);
	if (world_below(w, 4) == 0) r->strategy = RO_CANARY;
	r->step_count = world_below(w, 5);
	for (uint32_t i = 0; i < r->step_count; i++)
		r->step[i] = (struct ro_step){
		        .weight_ppm = (i + 1) * 1000000 / (r->step_count + world_below(w, 2)) -
		                      world_below(w, 90000),
		        .wait_ms = world_below(w, 30000)};
	r->gate_count = world_below(w, 3) ? 0 : 1 + world_below(w, 3);
	for (uint32_t i = 0; i < r->gate_count; i++)
		r->gate[i] = (struct ro_gate){.when = world_below(w, RO_WHENS),
		        .weight_ppm = world_below(w, 11) * 100000};
	r->judge.error_rate = world_below(w, 3) ? 0 : 0.05;
	r->judge.error_above = world_below(w, 4) ? 0 : 0.03;
	r->inconclusive = world_below(w, 3);
	r->inconclusive_after_ms = 5000 + world_below(w, 60000);
	r->rescue = world_below(w, 4) > 0;
	r->match = world_below(w, 2);
	r->control_ppm = world_below(w, 3) ? 0 : 50000;
	r->keep_canary_ms = world_below(w, 2) * world_below(w, 30000);
	r->watch_ms = world_below(w, 60000);
	r->keep_previous_ms = world_below(w, 60000);
	r->progress_deadline_ms = 20000 + world_below(w, 60000);
	r->memory = w->seed % 2 ? 0.9 : 0;
	r->surge = share(w);
	r->unavailable = share(w);
	r->mirror_ppm = world_below(w, 2) ? 0 : world_below(w, 1000001);
	if (r->step_count > 1 && world_below(w, 4) == 0) r->step[0].weight_ppm = 0;
}

static void setup(struct world *w)
{
	struct ro_rules rules;
	hg_rand_seed(&w->s.rand, w->seed);
	w->s.now_ms = w->started = 1000000;
	w->s.wall_ms = 1700000000000ull;
	w->s.n = world_below(w, 16) ? 1 + world_below(w, 8) : 0;
	w->rate = (const double[]){0, 0.3, 5, 40, 150}[world_below(w, 5)];
	w->fails_old = (const double[]){0, 0, 0.001, 0.01}[world_below(w, 4)];
	w->s.start_least_ms = 200;
	w->s.start_spread_ms = 4000;
	w->s.gate_least_ms = 100;
	w->s.gate_spread_ms = 20000;
	w->s.look_ms = RO_TICK_MS;
	w->s.on_action = on_action;
	w->person_at = w->s.now_ms + CALM_MS;
	rules_make(w, &rules);
	sim_control_begin(&w->s, 1 + w->seed, &rules);
	for (uint32_t i = 0; i < w->s.n; i++) {
		sim_replica_add(&w->s, OLD, true);
	}
	faults_make(w);
}

static void calm(struct world *w)
{
	/* An operator who wants to go home: whatever waits for a person gets one. */
	if (w->s.now_ms < w->person_at) return;
	w->person_at = w->s.now_ms + 10 * 60000;
	if (w->s.kept.head.pause != RO_GOING)
		person(w, 3);
	else if (w->s.kept.head.phase != RO_PHASE_WATCH)
		person(w, 0);
}

/* 5 at 10 %, a tick's worth at 100 %. In between, some requests of the old release must first show
 * that it does not fail too: that takes some 35 of the new one at 90 %, 70 at 95 %, 400 at 99 %. */
static uint64_t failures_most(const struct ro_rules *r)
{
	uint32_t near = r->control_ppm ? RO_WHOLE - r->control_ppm : 0;
	for (uint32_t i = 0; i < r->step_count; i++)
		if (r->step[i].weight_ppm < RO_WHOLE) near = HG_MAX(near, r->step[i].weight_ppm);
	return 40 + 8 * (uint64_t)RO_WHOLE / (RO_WHOLE - near);
}

static void finished(struct world *w)
{
	const struct ro_head *h = &w->s.kept.head;
	MUST(w->s.done);
	MUST(h->phase == RO_PHASE_END && h->outcome != RO_RUNNING);
	MUST(!w->s.edge.split.present);
	if (w->s.removed) return;
	MUST(w->s.want.trial == 0);
	if (h->outcome == RO_PROMOTED_OK) MUST(w->s.want.serving == NEW && w->promoted > 0);
	if (h->outcome == RO_ROLLED_BACK) MUST(w->s.want.serving == OLD && w->quarantined > 0);
	if (h->outcome == RO_ROLLED_BACK) MUST(h->cause != RO_CAUSE_NONE);
	const struct fault *f = &w->fault[0];
	bool hopeless = w->faults == 1 && f->kind == FAULT_NEW_FAILS && f->arg == 100 &&
	                f->at == w->started && f->until - f->at > CALM_MS;
	if (hopeless && w->s.n > 0 && w->rate >= 5 &&
	        (w->s.kept.rules.strategy == RO_CANARY ||
	                w->s.kept.rules.strategy == RO_BLUE_GREEN)) {
		MUST(h->outcome == RO_ROLLED_BACK && h->cause == RO_CAUSE_EVIDENCE);
		MUST(w->failures_new <= failures_most(&w->s.kept.rules));
		MUST(w->seen == 0 || !w->s.kept.rules.rescue);
	}
	/* A step is watched for longer than that. */
	bool leaks = w->faults == 1 && f->kind == FAULT_NEW_LEAKS && f->at == w->started &&
	             f->until - f->at >= CALM_MS && world_leak_ms(f->arg) < 5000;
	if (leaks && w->s.n > 0 && w->s.kept.rules.memory > 0 &&
	        w->s.kept.rules.strategy == RO_CANARY)
		MUST(h->outcome == RO_ROLLED_BACK);
	if (w->faults == 0 && w->s.kept.rules.inconclusive != RO_INCONCLUSIVE_ABORT)
		MUST(h->outcome == RO_PROMOTED_OK);
}

static void run_on(struct world *w)
{
	uint64_t end = w->s.now_ms + END_MS;
	bool begun[FAULTS] = {false};
	while (!w->s.done) {
		MUST(w->s.now_ms < end);
		for (uint32_t i = 0; i < w->faults; i++) {
			if (begun[i] || w->s.now_ms < w->fault[i].at) continue;
			begun[i] = true;
			fault_begins(w, &w->fault[i]);
		}
		world_trouble(w);
		sim_replicas_live(&w->s);
		sim_fleet_pass(&w->s);
		MUST(!w->s.full);
		world_edge_lives(w);
		if (w->s.alive) sim_gates_live(&w->s);
		if (w->s.now_ms >= w->sample_at) w->s.sample++, w->sample_at = w->s.now_ms + 5000;
		calm(w);
		if (!w->s.alive && w->s.now_ms >= w->s.back_ms) control_starts(w);
		if (w->s.alive && (w->s.changed || w->s.now_ms >= w->s.decide_ms)) {
			w->s.changed = false;
			control_looks(w);
		}
		check(w);
		if (w->s.edge.split.present && w->s.kept.head.pause == RO_GOING &&
		        w->s.edge.split.weight_ppm >=
		                ro_step_weight(&w->s.kept, w->s.kept.head.step))
			w->step_real_ms += QUANTUM_MS;
		w->s.now_ms += QUANTUM_MS;
		w->s.wall_ms += QUANTUM_MS;
	}
	finished(w);
}

/* True: all held. `mask`: which of the seed's faults happen. */
static bool run(struct world *w, uint64_t seed, uint32_t mask, bool quiet)
{
	bool verbose = w->verbose;
	memset(w, 0, sizeof *w);
	w->verbose = verbose;
	w->seed = seed;
	w->quiet = quiet;
	if (setjmp(w->broken)) return false;
	setup(w);
	uint32_t n = 0;
	for (uint32_t i = 0; i < w->faults; i++)
		if (mask & 1u << i) w->fault[n++] = w->fault[i];
	w->faults = n;
	run_on(w);
	return true;
}

static void shrink(struct world *w, uint64_t seed)
{
	uint32_t mask = (1u << FAULTS) - 1;
	for (uint32_t i = 0; i < FAULTS; i++)
		if (!run(w, seed, mask & ~(1u << i), true)) mask &= ~(1u << i);
	(void)run(w, seed, mask, false);
	fprintf(stderr, "  strategy %s, N %u, %.1f requests/s; faults that are needed:\n",
	        ro_strategy_name(w->s.kept.rules.strategy), w->s.n, w->rate);
	for (uint32_t i = 0; i < w->faults; i++)
		fprintf(stderr, "    %6.1f … %.1f s: %s (%u)\n",
		        (double)(w->fault[i].at - w->started) / 1000,
		        (double)(w->fault[i].until - w->started) / 1000,
		        world_fault_names[w->fault[i].kind], w->fault[i].arg);
	if (w->faults == 0) fprintf(stderr, "    none\n");
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000, bad = 0;
	uint64_t outcome[RO_OUTCOMES] = {0}, deaths = 0, looks = 0, trips = 0;
	struct world *w = calloc(1, sizeof *w);
	if (!w) return 1;
	w->verbose = argc > 3;
	for (uint64_t i = 0; i < n && bad < 5; i++) {
		if (!run(w, first + i, UINT32_MAX, false)) {
			shrink(w, first + i);
			bad++;
			continue;
		}
		outcome[w->s.kept.head.outcome]++;
		deaths += w->s.deaths;
		looks += w->s.looks;
		trips += w->s.edge.tripped;
		if (w->verbose)
			printf("seed %llu: %s, %s, %s, %llu s\n", (unsigned long long)w->seed,
			        ro_strategy_name(w->s.kept.rules.strategy),
			        ro_outcome_name(w->s.kept.head.outcome),
			        ro_cause_name(w->s.kept.head.cause),
			        (unsigned long long)(w->s.now_ms - w->started) / 1000);
	}
	printf("%llu rollouts: %llu promoted, %llu rolled back, %llu superseded; %llu trips, %llu "
	       "deaths of control, %llu looks: %s\n",
	        (unsigned long long)n, (unsigned long long)outcome[RO_PROMOTED_OK],
	        (unsigned long long)outcome[RO_ROLLED_BACK],
	        (unsigned long long)outcome[RO_SUPERSEDED], (unsigned long long)trips,
	        (unsigned long long)deaths, (unsigned long long)looks,
	        bad ? "BROKEN" : "all invariants held");
	free(w);
	return bad > 0;
}
