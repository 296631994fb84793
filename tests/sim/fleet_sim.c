/*
 * The fleet's decisions against a world that does its worst: processes that crash, hang, start
 * slowly, ignore SIGTERM; scale changes, new releases, restarts by hand; releases under trial that
 * come, go and change places with the one that serves; and a control that is killed between any
 * two of its actions and resumes from rows and from what lives.
 *
 * usage: fleet_sim FIRST COUNT [-v]    (seeds FIRST … FIRST + COUNT - 1)
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/fleet/decide_priv.h"

#define PROCS_MAX 4096
#define CHAOS_MS  (20 * 60 * 1000ull)
#define CALM_MS   (25 * 60 * 1000ull)
#define NEVER     UINT64_MAX
#define NUMBERS   512

struct proc {
	uint64_t id;
	uint32_t number, release, revision;
	bool alive, listed; /* listed: its end is not yet forgotten */
	uint64_t start, listen_at, die_at, hang_from, hang_to, spawned_at;
	bool ignores_term, told_spawn, told_end, sick; /* sick: probes answer with failure */
	bool readiness_ok;                             /* what its last readiness probe said */
	unsigned readiness_bad;
	bool was_up, liveness_bad; /* taken requests once; its last liveness probe failed */
	uint32_t endpoint;
	bool liveness_dead;
	bool spare; /* weight 0 in the endpoint table */
};

struct row {
	bool used, retire, started, ready, backoff, spare;
	uint32_t number, release, revision, restarts, streak;
	uint64_t id, exit_at;
};

struct place { /* by number: the oracle's own memory of ends */
	uint32_t streak;
	uint64_t last_end, ready_from;
};

struct answer {
	bool used;
	uint64_t at;
	uint32_t slot;
	uint64_t id;
	enum probe_kind kind;
	enum probe_outcome outcome;
};

struct world {
	struct hg_rand rand, fleet_rand;
	uint64_t now, next_id, next, seed;
	bool calm, verbose;
	struct fl_app *app;
	uint64_t slot_id[FL_SLOTS];
	struct proc proc[PROCS_MAX];
	uint32_t proc_count;
	struct row row[FL_SLOTS];
	struct place place[NUMBERS];
	struct answer answer[1024];
	size_t answer_high; /* answers in use are below */
	uint64_t control_born;
	uint32_t desired, release, revision, last; /* last: release and revision given out */
	struct fl_trial trial;
	bool lives, swapped; /* swapped: in this very turn */
	struct fl_rules rules;
	uint64_t spawns, kills, restarts, control_deaths, trials, swaps;
};

static void broken(const struct world *w, const char *what)
{
	fprintf(stderr, "fleet_sim: seed %llu at %llu ms: %s\n", (unsigned long long)w->seed,
	        (unsigned long long)w->now, what);
	exit(1);
}

#define MUST(cond)                                     \
	do {                                           \
		if (!(cond)) broken(w, "not: " #cond); \
	} while (0)

static uint32_t below(struct world *w, uint32_t n)
{
	return hg_rand_below(&w->rand, n);
}

static struct proc *proc_by_id(struct world *w, uint64_t id)
{
	for (uint32_t i = 0; id && i < w->proc_count; i++)
		if (w->proc[i].id == id) return &w->proc[i];
	return NULL;
}

static struct proc *proc_new(struct world *w)
{
	for (uint32_t i = 0; i < w->proc_count; i++)
		if (!w->proc[i].alive && !w->proc[i].listed) return &w->proc[i];
	MUST(w->proc_count < PROCS_MAX);
	return &w->proc[w->proc_count++];
}

/* ---- processes ---- */

static void proc_start(struct world *w, uint64_t id, const struct fl_replica *r)
{
	struct proc *p = proc_new(w);
	for (uint32_t i = 0; i < w->proc_count; i++)
		MUST(!(w->proc[i].alive && w->proc[i].number == r->number));
	*p = (struct proc){.id = id,
	        .number = r->number,
	        .release = r->release,
	        .revision = r->revision,
	        .alive = true,
	        .listed = true,
	        .start = w->now,
	        .spawned_at = w->now + 1 + below(w, 20),
	        .die_at = NEVER,
	        .hang_from = NEVER,
	        .hang_to = NEVER};
	p->listen_at = w->now + 20 + below(w, 400);
	w->spawns++;
	if (w->calm) return;
	uint32_t fate = below(w, 100);
	if (fate < 15)
		p->die_at = w->now + below(w, 2000);
	else if (fate < 30)
		p->die_at = w->now + below(w, 300000);
	else if (fate < 36)
		p->hang_from = w->now + below(w, 60000), p->hang_to = NEVER;
	else if (fate < 42)
		p->hang_from = w->now + below(w, 60000), p->hang_to = p->hang_from + 8000;
	else if (fate < 48)
		p->listen_at = w->now + below(w, 90000);
	else if (fate < 52)
		p->listen_at = NEVER;
	else if (fate < 56)
		p->sick = true;
	p->ignores_term = below(w, 10) == 0;
}

static void proc_end(struct world *w, struct proc *p)
{
	struct place *place = &w->place[p->number];
	p->alive = false;
	if (place->ready_from && w->now - place->ready_from >= BACKOFF_HEALTHY_MS)
		place->streak = 0;
	place->ready_from = 0;
	place->last_end = w->now;
	place->streak++;
}

static bool proc_hangs(const struct world *w, const struct proc *p)
{
	return w->now >= p->hang_from && w->now < p->hang_to;
}

/* ---- control ---- */

static void row_write(struct world *w, uint32_t slot)
{
	const struct fl_replica *r = &w->app->slot[slot];
	struct proc *p = proc_by_id(w, w->slot_id[slot]);
	w->row[slot] = (struct row){.used = true,
	        .retire = r->retire,
	        .started = r->probes.started,
	        .ready = r->state == FLEET_READY,
	        .backoff = r->state == FLEET_BACKOFF,
	        .spare = r->spare,
	        .number = r->number,
	        .release = r->release,
	        .revision = r->revision,
	        .restarts = r->restarts,
	        .streak = r->backoff.streak,
	        .id = w->slot_id[slot],
	        .exit_at = w->place[r->number].last_end};
	if (r->state == FLEET_BACKOFF && p) p->listed = false; /* forgotten: it is on disk */
}

static void probe_run(struct world *w, uint32_t slot, enum probe_kind kind)
{
	struct proc *p = proc_by_id(w, w->slot_id[slot]);
	struct answer *a;
	size_t at = 0;
	while (at < w->answer_high && w->answer[at].used)
		at++;
	MUST(at < HG_COUNT(w->answer));
	w->answer_high = HG_MAX(w->answer_high, at + 1);
	a = &w->answer[at];
	*a = (struct answer){.used = true,
	        .slot = slot,
	        .id = w->slot_id[slot],
	        .kind = kind,
	        .at = w->now + 1 + below(w, 5),
	        .outcome = PROBE_OK};
	if (!p || !p->alive || w->now < p->listen_at)
		a->outcome = PROBE_REFUSED;
	else if (proc_hangs(w, p))
		a->at = w->now + 1000, a->outcome = PROBE_FAILED;
	else if (p->sick && kind != PROBE_STARTUP && below(w, 3))
		a->outcome = PROBE_FAILED;
	else if (!w->calm && below(w, 200) == 0)
		a->outcome = PROBE_BROKEN;
}

static void do_spawn(struct world *w, uint32_t slot, bool dies_before_sending)
{
	const struct fl_replica *r = &w->app->slot[slot];
	struct place *place = &w->place[r->number];
	struct proc *old = proc_by_id(w, w->slot_id[slot]);
	MUST(!old || !old->alive);
	/* The back-off: 0, 1, 2, 4 … 60 s, less at most a quarter. */
	if (place->streak >= 2 && r->restarts > 0) {
		uint64_t wait =
		        place->streak > 7 ? 60000 : HG_MIN(1000ull << (place->streak - 2), 60000);
		MUST(w->now - place->last_end >= wait - wait / 4);
	}
	if (r->restarts > 0) w->restarts++;
	w->slot_id[slot] = w->next_id++;
	row_write(w, slot);
	w->row[slot].id = w->slot_id[slot];
	if (!dies_before_sending) proc_start(w, w->slot_id[slot], r);
}

static void do_endpoint(struct world *w, const struct fl_action *a)
{
	struct proc *p = proc_by_id(w, w->slot_id[a->slot]);
	MUST(a->endpoint == SNAP_EP_FREE || p);
	if (!p) return;
	p->was_up = p->was_up || a->endpoint == SNAP_EP_UP;
	/* In a panic the edge asks it: never before it was ready once, nor while it ends. A new
	 * weight is told with the state that was told last. */
	if (a->endpoint == SNAP_EP_UNREADY && p->endpoint != SNAP_EP_UNREADY)
		MUST(p->was_up && !p->liveness_bad && !w->app->slot[a->slot].retire);
	if (a->endpoint == SNAP_EP_UP) {
		MUST(p->readiness_ok || p->endpoint == SNAP_EP_UP);
		if (!w->place[p->number].ready_from) w->place[p->number].ready_from = w->now;
	} else {
		w->place[p->number].ready_from = 0;
	}
	p->endpoint = a->endpoint;
	p->spare = w->app->slot[a->slot].spare;
}

static void do_signal(struct world *w, const struct fl_action *a)
{
	struct proc *p = proc_by_id(w, w->slot_id[a->slot]);
	if (!p || !p->alive) return;
	/* out of the balancer first */
	MUST(p->endpoint != SNAP_EP_UP && p->endpoint != SNAP_EP_UNREADY);
	if (a->signo == SIGKILL) {
		w->kills++;
		p->die_at = w->now + 1;
	} else if (!p->ignores_term && !proc_hangs(w, p)) {
		p->die_at = HG_MIN(p->die_at, w->now + 1 + below(w, 3000));
	}
}

static void check_created(struct world *w, uint32_t slot)
{
	struct fl_count c = fl_counts(w->app);
	struct rolling_fence f =
	        rolling_fence(w->rules.surge, w->rules.unavailable, w->app->desired);
	MUST(!w->swapped);
	if (w->app->slot[slot].spare)
		MUST(fl_counts_trial(w->app).total <= w->trial.desired);
	else
		MUST(c.total <= w->app->desired + f.surge);
}

/* Nobody who serves goes for the sake of a trial. */
static void check_retired(struct world *w, uint32_t slot)
{
	struct fl_count c = fl_counts(w->app);
	struct rolling_fence f =
	        rolling_fence(w->rules.surge, w->rules.unavailable, w->app->desired);
	const struct fl_replica *r = &w->app->slot[slot];
	enum fl_arm arm = fl_arm(w->app, r);
	MUST(!w->swapped);
	if (arm == FL_MAIN) MUST(c.updated >= w->desired);
	if (arm == FL_OLD && r->state == FLEET_READY && !w->rules.recreate)
		MUST(c.ready + f.unavailable >= w->desired);
	if (arm == FL_TRIAL) MUST(!w->desired || fl_counts_trial(w->app).total >= w->trial.desired);
}

/* Who serves has weight, who is under trial has none; in the table as well. */
static void check_roles(struct world *w)
{
	for (uint32_t i = 0; i < w->app->high; i++) {
		const struct fl_replica *r = &w->app->slot[i];
		const struct proc *p = proc_by_id(w, w->slot_id[i]);
		if (!r->used) continue;
		enum fl_arm arm = fl_arm(w->app, r);
		MUST(arm != FL_MAIN || !r->spare);
		MUST(arm != FL_TRIAL || r->spare);
		MUST(arm != FL_LEFT || r->retire);
		if (p && p->alive && p->endpoint != SNAP_EP_FREE) MUST(p->spare == r->spare);
	}
}

/* False: control dies here. */
static bool act(struct world *w, const struct fl_action *a, bool dies)
{
	switch (a->kind) {
	case FL_SPAWN: do_spawn(w, a->slot, dies); return !dies;
	case FL_PROBE: probe_run(w, a->slot, a->probe); break;
	case FL_ENDPOINT: do_endpoint(w, a); break;
	case FL_SIGNAL: do_signal(w, a); break;
	case FL_SAVE:
		if (w->slot_id[a->slot]) row_write(w, a->slot);
		break;
	case FL_GONE: {
		struct proc *p = proc_by_id(w, w->slot_id[a->slot]);
		MUST(!p || !p->alive);
		if (p) p->listed = false;
		w->row[a->slot].used = false;
		w->slot_id[a->slot] = 0;
		break;
	}
	case FL_EVENT:
		if (a->event == FL_EV_CREATED) {
			check_created(w, a->slot);
			w->slot_id[a->slot] = 0;
			w->place[w->app->slot[a->slot].number] = (struct place){0};
		}
		if (a->event == FL_EV_RETIRED) check_retired(w, a->slot);
		break;
	}
	return !dies;
}

static void wanted(struct world *w)
{
	w->app->desired = w->desired;
	w->app->release = w->release;
	w->app->revision = w->revision;
	w->app->trial = w->trial;
	w->app->rules = w->rules;
}

static bool decide(struct world *w, bool may_die)
{
	struct fl_actions out;
	bool did = w->swapped;
	for (int turn = 0;; turn++) {
		MUST(turn < 10000);
		fl_decide(w->app, w->now, &w->fleet_rand, &out);
		for (uint32_t i = 0; i < out.n; i++) {
			bool dies = may_die && below(w, 400) == 0;
			if (!act(w, &out.a[i], dies)) return false;
			did = did || out.a[i].kind != FL_PROBE;
		}
		if (out.next_ms > w->now) break;
	}
	for (uint32_t i = 0; i < w->app->high; i++) {
		const struct fl_replica *r = &w->app->slot[i];
		bool asked = r->endpoint == SNAP_EP_UP || r->endpoint == SNAP_EP_UNREADY;
		MUST(!r->used || !r->retire || !asked);
	}
	if (did) check_roles(w);
	w->next = out.next_ms;
	return true;
}

static void control_start(struct world *w)
{
	struct row old[FL_SLOTS];
	memcpy(old, w->row, sizeof old);
	memset(w->row, 0, sizeof w->row);
	memset(w->slot_id, 0, sizeof w->slot_id);
	memset(w->answer, 0, sizeof w->answer);
	memset(w->app, 0, sizeof *w->app);
	w->control_deaths++;
	w->control_born = w->now;
	wanted(w);
	for (uint32_t i = 0; i < FL_SLOTS; i++) {
		if (!old[i].used) continue;
		struct proc *p = proc_by_id(w, old[i].id);
		bool listed = p && p->listed && !old[i].backoff;
		if (!listed && old[i].retire) continue;
		struct fl_adopted a = {.number = old[i].number,
		        .release = old[i].release,
		        .revision = old[i].revision,
		        .restarts = old[i].restarts,
		        .streak = old[i].streak,
		        .alive = listed,
		        .started = old[i].started,
		        .ready =
		                listed && (p->endpoint == SNAP_EP_FREE ? old[i].ready
		                                                       : p->endpoint == SNAP_EP_UP),
		        .retire = old[i].retire,
		        .spare = listed && p->endpoint != SNAP_EP_FREE ? p->spare : old[i].spare,
		        .start_ms = p ? p->start : w->now,
		        .ended_ago_ms = w->now - HG_MIN(old[i].exit_at, w->now),
		        .endpoint = listed ? p->endpoint : SNAP_EP_FREE};
		uint32_t slot = fl_adopt(w->app, &a, w->now, 0, &w->fleet_rand);
		MUST(slot < FL_SLOTS);
		w->slot_id[slot] = old[i].id;
		w->row[slot] = old[i];
		if (listed) p->told_spawn = true;
		if (listed) p->liveness_bad = false; /* nobody remembers */
		if (listed && !p->alive) {
			p->told_end = true;
			fl_ended(w->app, slot, w->now);
		}
	}
}

/* ---- the world turns ---- */

static uint32_t slot_of(const struct world *w, uint64_t id)
{
	for (uint32_t i = 0; i < FL_SLOTS; i++)
		if (w->slot_id[i] == id && w->app->slot[i].used) return i;
	return FL_SLOTS;
}

static void tell(struct world *w, struct proc *p)
{
	uint32_t slot = slot_of(w, p->id);
	if (slot == FL_SLOTS) {
		if (!p->alive) p->listed = false;
		return;
	}
	if (!p->told_spawn && w->now >= p->spawned_at) {
		p->told_spawn = true;
		fl_spawned(w->app, slot, w->now);
	}
	if (!p->alive && p->told_spawn && !p->told_end) {
		p->told_end = true;
		p->endpoint = SNAP_EP_FREE;
		fl_ended(w->app, slot, w->now);
	}
}

static void world_facts(struct world *w, bool control_lives)
{
	for (uint32_t i = 0; i < w->proc_count; i++) {
		struct proc *p = &w->proc[i];
		if (p->alive && w->now >= p->die_at) proc_end(w, p);
		if (control_lives && p->listed) tell(w, p);
	}
	for (size_t i = 0; control_lives && i < w->answer_high; i++) {
		struct answer *a = &w->answer[i];
		if (!a->used || a->at > w->now) continue;
		a->used = false;
		struct proc *p = proc_by_id(w, a->id);
		if (w->slot_id[a->slot] != a->id || !w->app->slot[a->slot].used) continue;
		if (p && a->kind == PROBE_READINESS && a->outcome != PROBE_BROKEN) {
			/* The oracle's own count of the thresholds (1 success, 3 failures). */
			p->readiness_bad = a->outcome == PROBE_OK ? 0 : p->readiness_bad + 1;
			if (a->outcome == PROBE_OK) p->readiness_ok = true;
			if (p->readiness_bad >= 3) p->readiness_ok = false;
		}
		if (p && a->kind == PROBE_LIVENESS && a->outcome != PROBE_BROKEN)
			p->liveness_bad = a->outcome != PROBE_OK;
		fl_probed(w->app, a->slot, a->kind, a->outcome, w->now);
	}
	for (uint32_t i = 0; control_lives && i < w->app->high; i++) {
		struct fl_replica *r = &w->app->slot[i];
		if (r->used && r->state == FLEET_DRAINING)
			r->in_flight =
			        w->now - r->since_ms < 3000 ? below(w, 3) : below(w, 200) == 0;
	}
}

static uint64_t world_next(const struct world *w, bool control_lives)
{
	uint64_t next = NEVER;
	for (uint32_t i = 0; i < w->proc_count; i++) {
		const struct proc *p = &w->proc[i];
		if (p->alive) next = HG_MIN(next, p->die_at);
		if (p->listed && !p->told_spawn) next = HG_MIN(next, p->spawned_at);
	}
	for (size_t i = 0; control_lives && i < w->answer_high; i++)
		if (w->answer[i].used) next = HG_MIN(next, w->answer[i].at);
	if (control_lives) next = HG_MIN(next, w->next);
	return HG_MAX(next, w->now + 1);
}

static void swap(struct world *w, uint32_t trial_replicas)
{
	struct fl_trial was = w->trial;
	w->trial = (struct fl_trial){w->release, w->revision, trial_replicas};
	w->release = was.release;
	w->revision = was.revision;
	w->swaps++;
}

static void trial_change(struct world *w)
{
	struct fl_count c = fl_counts(w->app), t = fl_counts_trial(w->app);
	switch (below(w, 6)) {
	case 0:
	case 1:
		w->last++;
		w->trial = (struct fl_trial){w->last, w->last, below(w, 13)};
		w->trials++;
		break;
	case 2: w->trial.desired = below(w, 2) ? w->desired : below(w, 13); break;
	case 3:
		if (!w->trial.release) break;
		/* With as many on both sides nothing may be started or stopped for it. */
		w->swapped = w->lives && c.total == w->desired && c.updated == w->desired &&
		             t.total == w->desired;
		swap(w, w->swapped ? w->desired : below(w, 13));
		break;
	case 4:
		/* The trial serves from now on, and the former release goes by the fence. */
		if (w->trial.release) swap(w, 0);
		w->trial = (struct fl_trial){0};
		break;
	default: w->trial = (struct fl_trial){0}; break;
	}
}

static void people(struct world *w)
{
	switch (below(w, 9)) {
	case 0: w->desired = below(w, 13); break;
	case 1: w->release = w->revision = ++w->last; break;
	case 2: w->revision = ++w->last; break;
	case 6:
	case 7:
	case 8: trial_change(w); break;
	case 3: {
		struct proc *p = &w->proc[below(w, w->proc_count + 1) % HG_MAX(w->proc_count, 1u)];
		if (p->alive) p->die_at = w->now + 1; /* kill -9 */
		break;
	}
	default: break;
	}
	wanted(w);
}

static void calm_down(struct world *w)
{
	w->calm = true;
	w->desired = HG_MAX(w->desired, 1u);
	for (uint32_t i = 0; i < w->proc_count; i++) {
		struct proc *p = &w->proc[i];
		if (!p->alive) continue;
		p->sick = false;
		p->hang_from = NEVER;
		if (p->listen_at == NEVER) p->listen_at = w->now + 100;
	}
}

static void settled(struct world *w)
{
	struct fl_count c = fl_counts(w->app), t = fl_counts_trial(w->app);
	uint32_t alive = 0, up = 0, beside = 0, trial = w->trial.release ? w->trial.desired : 0;
	for (uint32_t i = 0; i < w->proc_count; i++) {
		const struct proc *p = &w->proc[i];
		alive += p->alive;
		up += p->alive && p->endpoint == SNAP_EP_UP && !p->spare;
		beside += p->alive && p->endpoint == SNAP_EP_UP && p->spare;
		if (p->alive) MUST(p->release == (p->spare ? w->trial.release : w->release));
	}
	MUST(c.ready == w->desired);
	MUST(c.total == w->desired);
	MUST(c.updated == w->desired);
	MUST(c.retiring == 0);
	MUST(t.ready == trial);
	MUST(t.total == trial);
	MUST(alive == w->desired + trial);
	MUST(up == w->desired);
	MUST(beside == trial);
}

static void setup(struct world *w, uint64_t seed)
{
	struct fl_app *app = w->app;
	bool verbose = w->verbose;
	memset(w, 0, sizeof *w);
	memset(app, 0, sizeof *app);
	w->app = app;
	w->verbose = verbose;
	w->seed = seed;
	hg_rand_seed(&w->rand, seed);
	hg_rand_seed(&w->fleet_rand, seed ^ 0x9e3779b97f4a7c15ull);
	w->now = 1000000;
	w->next_id = 1024;
	w->desired = below(w, 11);
	w->release = w->revision = w->last = 1;
	w->rules = (struct fl_rules){.grace_ms = 5000 + below(w, 3) * 5000,
	        .surge = ROLLING_25_PERCENT,
	        .unavailable = ROLLING_25_PERCENT};
	w->rules.probe[PROBE_READINESS] = (struct probe_rules){
	        .present = true, .period_ms = 2000, .successes = 1, .failures = 3};
	if (below(w, 2))
		w->rules.probe[PROBE_STARTUP] = (struct probe_rules){
		        .present = true, .period_ms = 1000, .successes = 1, .failures = 60};
	w->rules.probe[PROBE_LIVENESS] = (struct probe_rules){
	        .present = true, .period_ms = 5000, .successes = 1, .failures = 3};
	w->rules.recreate = below(w, 8) == 0;
	wanted(w);
}

static void run(struct world *w, uint64_t seed)
{
	setup(w, seed);
	uint64_t calm_at = w->now + CHAOS_MS, end = calm_at + CALM_MS, people_at = w->now + 5000;
	bool lives = true;
	uint64_t back_at = NEVER;
	while (w->now < end) {
		world_facts(w, lives);
		if (!w->calm && w->now >= calm_at) {
			calm_down(w);
			wanted(w);
		}
		if (!w->calm && w->now >= people_at) {
			w->lives = lives;
			people(w);
			people_at = w->now + 1 + below(w, 60000);
		}
		if (!lives && w->now >= back_at) {
			control_start(w);
			lives = true;
		}
		if (lives && !decide(w, !w->calm)) {
			lives = false;
			back_at = w->now + 1 + below(w, 5000);
		}
		w->swapped = false;
		uint64_t next = world_next(w, lives);
		if (!w->calm) next = HG_MIN(next, people_at);
		if (!lives) next = HG_MIN(next, back_at);
		if (!w->calm) next = HG_MIN(next, calm_at);
		w->now = HG_MAX(HG_MIN(next, end), w->now + 1);
	}
	settled(w);
	if (w->verbose)
		printf("seed %llu: %llu starts, %llu restarts, %llu kills, %llu trials, %llu "
		       "swaps, control died %llu times\n",
		        (unsigned long long)seed, (unsigned long long)w->spawns,
		        (unsigned long long)w->restarts, (unsigned long long)w->kills,
		        (unsigned long long)w->trials, (unsigned long long)w->swaps,
		        (unsigned long long)w->control_deaths);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
	struct world *w = calloc(1, sizeof *w);
	struct fl_app *app = calloc(1, sizeof *app);
	uint64_t starts = 0, deaths = 0;
	if (!w || !app) return 1;
	w->app = app;
	w->verbose = argc > 3;
	for (uint64_t i = 0; i < count; i++) {
		run(w, first + i);
		starts += w->spawns;
		deaths += w->control_deaths;
	}
	printf("%llu schedules, %llu starts, %llu deaths of control: all invariants held\n",
	        (unsigned long long)count, (unsigned long long)starts, (unsigned long long)deaths);
	free(app);
	free(w);
	return 0;
}
