/*
 * The life of one replica:
 *
 *   waiting → spawning → starting → unready ⇄ ready → draining → stopping → (ended)
 *                ↑                                                             │
 *                └───────────────────────── backoff ←──────────────────────────┘
 */
#include "control/fleet/life_priv.h"

#include <signal.h>

#define BIT(s) (1u << (s))

/* Where a replica may go from each state; an end is possible from each with a process. */
static const uint16_t allowed[FLEET_STATES] = {
        [FLEET_WAITING] = BIT(FLEET_SPAWNING),
        [FLEET_SPAWNING] =
                BIT(FLEET_STARTING) | BIT(FLEET_UNREADY) | BIT(FLEET_READY) | BIT(FLEET_BACKOFF),
        [FLEET_STARTING] = BIT(FLEET_UNREADY) | BIT(FLEET_READY) | BIT(FLEET_DRAINING) |
                           BIT(FLEET_STOPPING) | BIT(FLEET_BACKOFF),
        [FLEET_UNREADY] =
                BIT(FLEET_READY) | BIT(FLEET_DRAINING) | BIT(FLEET_STOPPING) | BIT(FLEET_BACKOFF),
        [FLEET_READY] =
                BIT(FLEET_UNREADY) | BIT(FLEET_DRAINING) | BIT(FLEET_STOPPING) | BIT(FLEET_BACKOFF),
        [FLEET_DRAINING] = BIT(FLEET_STOPPING) | BIT(FLEET_BACKOFF),
        [FLEET_STOPPING] = BIT(FLEET_BACKOFF),
        [FLEET_BACKOFF] = BIT(FLEET_SPAWNING),
};

static void move(struct fl_replica *r, enum fleet_state to, uint64_t now_ms)
{
	HG_ASSERT(allowed[r->state] & BIT(to));
	r->state = to;
	r->since_ms = now_ms;
}

static void endpoint(struct fl_replica *r, uint32_t slot, uint32_t to, struct fl_actions *out)
{
	if (r->endpoint == to) return;
	r->endpoint = to;
	fl_emit(out, FL_ENDPOINT, slot)->endpoint = to;
}

static void signal_it(struct fl_actions *out, uint32_t slot, int signo)
{
	fl_emit(out, FL_SIGNAL, slot)->signo = signo;
}

static enum fleet_state running_state(const struct fl_replica *r)
{
	if (!r->probes.started) return FLEET_STARTING;
	return probe_ready(&r->probes) ? FLEET_READY : FLEET_UNREADY;
}

static void spawn(struct fl_replica *r, uint32_t slot, uint64_t now_ms, struct fl_actions *out)
{
	move(r, FLEET_SPAWNING, now_ms);
	r->process = true;
	r->killed = r->probe_kill = false;
	r->ready_since_ms = 0;
	fl_emit(out, FL_SPAWN, slot);
}

static void stop(struct fl_app *app, struct fl_replica *r, uint32_t slot, uint64_t now_ms,
        uint64_t kill_ms, struct fl_actions *out)
{
	(void)app;
	probe_terminate(&r->probes);
	endpoint(r, slot, SNAP_EP_DRAINING, out);
	move(r, FLEET_STOPPING, now_ms);
	r->kill_ms = kill_ms;
	signal_it(out, slot, SIGTERM);
	fl_emit(out, FL_SAVE, slot);
}

/* Out of the balancer first; what Kubernetes lets race is put in order here. */
static void drain(struct fl_app *app, struct fl_replica *r, uint32_t slot, uint64_t now_ms,
        struct fl_actions *out)
{
	uint32_t grace = app->rules.grace_ms;
	bool served = r->endpoint == SNAP_EP_UP || r->endpoint == SNAP_EP_UNREADY;
	probe_terminate(&r->probes);
	endpoint(r, slot, SNAP_EP_DRAINING, out);
	move(r, FLEET_DRAINING, now_ms);
	r->kill_ms = now_ms + grace;
	/* One that took no requests has nothing to finish. */
	r->term_ms = now_ms;
	if (served || r->in_flight)
		r->term_ms += grace > FL_TERM_MIN_MS ? grace - FL_TERM_MIN_MS : 0;
	fl_emit(out, FL_SAVE, slot);
}

static void announce(
        struct fl_replica *r, uint32_t slot, enum fleet_state was, struct fl_actions *out)
{
	if (was == FLEET_STARTING) fl_event(out, slot, FL_EV_STARTED);
	if (r->state == FLEET_READY)
		fl_event(out, slot, FL_EV_READY);
	else if (was == FLEET_READY)
		fl_event(out, slot, FL_EV_UNREADY);
}

/* What the edge is told of one that runs. One that was ready and only says no by its readiness may
 * be overloaded: better asked than nobody, when all of them say no. */
static uint32_t endpoint_wanted(const struct fl_replica *r)
{
	if (r->state == FLEET_READY) return SNAP_EP_UP;
	return probe_may_serve(&r->probes) ? SNAP_EP_UNREADY : SNAP_EP_DOWN;
}

static void run(struct fl_app *app, struct fl_replica *r, uint32_t slot, uint64_t now_ms,
        struct fl_actions *out)
{
	if (r->retire) {
		drain(app, r, slot, now_ms, out);
		out->next_ms = HG_MIN(out->next_ms, now_ms);
		return;
	}
	if (probe_must_restart(&r->probes)) {
		/* It may hang: requests in flight are not waited for, the edge repeats them. */
		r->probe_kill = true;
		fl_event(out, slot, FL_EV_PROBE_FAILED);
		stop(app, r, slot, now_ms, now_ms + app->rules.grace_ms, out);
		return;
	}
	enum fleet_state now = running_state(r), was = r->state;
	if (now != was) {
		move(r, now, now_ms);
		r->ready_since_ms = now == FLEET_READY ? now_ms : 0;
		/* To the edge first, then to the disk: traffic waits for no fsync. */
		endpoint(r, slot, endpoint_wanted(r), out);
		announce(r, slot, was, out);
		fl_emit(out, FL_SAVE, slot);
	} else {
		endpoint(r, slot, endpoint_wanted(r), out);
	}
	if (r->ready_since_ms && r->backoff.streak) {
		backoff_healthy(&r->backoff, now_ms - r->ready_since_ms);
		uint64_t forgiven = r->ready_since_ms + BACKOFF_HEALTHY_MS;
		if (r->backoff.streak)
			out->next_ms = HG_MIN(out->next_ms, forgiven);
		else
			fl_emit(out, FL_SAVE, slot);
	}
	uint64_t next;
	unsigned due = probe_due(&r->probes, now_ms, &next);
	for (int k = 0; k < PROBE_KINDS; k++) {
		if (due & (1u << k)) fl_emit(out, FL_PROBE, slot)->probe = k;
	}
	out->next_ms = HG_MIN(out->next_ms, next);
}

static void keep_draining(struct fl_app *app, struct fl_replica *r, uint32_t slot, uint64_t now_ms,
        struct fl_actions *out)
{
	uint64_t term = r->term_ms;
	if (app->hurry_ms)
		term = HG_MIN(
		        term, app->hurry_ms > FL_TERM_MIN_MS ? app->hurry_ms - FL_TERM_MIN_MS : 0);
	uint64_t quiet = HG_MIN(r->since_ms + FL_DRAIN_MIN_MS, r->term_ms);
	if (now_ms >= term || (r->in_flight == 0 && now_ms >= quiet)) {
		/* The time left is at least what draining had to leave. */
		uint64_t least = HG_MIN(FL_TERM_MIN_MS, app->rules.grace_ms);
		stop(app, r, slot, now_ms, HG_MAX(r->kill_ms, now_ms + least), out);
		out->next_ms = HG_MIN(out->next_ms, now_ms);
		return;
	}
	uint64_t look = r->in_flight == 0 ? quiet : now_ms + FL_DRAIN_LOOK_MS;
	out->next_ms = HG_MIN(out->next_ms, HG_MIN(look, term));
}

static void keep_stopping(struct fl_app *app, struct fl_replica *r, uint32_t slot, uint64_t now_ms,
        struct fl_actions *out)
{
	uint64_t at = r->kill_ms;
	if (app->hurry_ms && !r->killed) at = HG_MIN(at, app->hurry_ms);
	if (now_ms >= at) {
		if (!r->killed) fl_event(out, slot, FL_EV_KILLED);
		r->killed = true;
		r->kill_ms = at = now_ms + FL_KILL_AGAIN_MS;
		signal_it(out, slot, SIGKILL);
	}
	out->next_ms = HG_MIN(out->next_ms, at);
}

static void gone(struct fl_replica *r, uint32_t slot, struct fl_actions *out)
{
	endpoint(r, slot, SNAP_EP_FREE, out);
	fl_emit(out, FL_GONE, slot);
	r->used = false;
}

static void end(struct fl_app *app, struct fl_replica *r, uint32_t slot, uint64_t now_ms,
        struct hg_rand *rand, struct fl_actions *out)
{
	bool asked = r->retire && (r->state == FLEET_STOPPING || r->state == FLEET_DRAINING);
	bool was_ready = r->probes.ever_ready && r->state != FLEET_SPAWNING;
	uint64_t healthy = r->ready_since_ms ? now_ms - HG_MIN(r->ready_since_ms, now_ms) : 0;
	r->ended = r->process = false;
	endpoint(r, slot, SNAP_EP_FREE, out);
	if (asked) {
		fl_event(out, slot, FL_EV_EXITED);
		gone(r, slot, out);
		return;
	}
	uint32_t wait = backoff_ended(&r->backoff, healthy, rand);
	enum fl_event what = was_ready || r->probe_kill ? FL_EV_DIED : FL_EV_DIED_STARTING;
	fl_event(out, slot, what)->wait_ms = wait;
	if (r->retire) {
		gone(r, slot, out);
		return;
	}
	if (r->backoff.streak == BACKOFF_CRASH_LOOP)
		fl_event(out, slot, FL_EV_CRASH_LOOP)->wait_ms = wait;
	move(r, FLEET_BACKOFF, now_ms);
	r->ready_since_ms = 0;
	r->restarts++;
	r->in_flight = 0;
	r->next_start_ms = now_ms + wait;
	fl_emit(out, FL_SAVE, slot);
	out->next_ms = HG_MIN(out->next_ms, r->next_start_ms);
	(void)app;
}

void fl_live(struct fl_app *app, uint32_t slot, uint64_t now_ms, struct hg_rand *rand,
        struct fl_actions *out)
{
	struct fl_replica *r = &app->slot[slot];
	if (!r->used) return;
	if (out->n + 10 > FL_ACTIONS_MAX) {
		out->next_ms = now_ms;
		return;
	}
	if (r->ended) {
		end(app, r, slot, now_ms, rand, out);
		if (!r->used) return;
	}
	switch (r->state) {
	case FLEET_WAITING:
		if (r->retire || app->hurry_ms) /* nothing begins while all ends */
			gone(r, slot, out);
		else if (!app->blocked)
			spawn(r, slot, now_ms, out);
		break;
	case FLEET_BACKOFF:
		if (r->retire || app->hurry_ms) /* nothing begins while all ends */
			gone(r, slot, out);
		else if (now_ms >= r->next_start_ms)
			spawn(r, slot, now_ms, out);
		else
			out->next_ms = HG_MIN(out->next_ms, r->next_start_ms);
		break;
	case FLEET_STARTING:
	case FLEET_UNREADY:
	case FLEET_READY: run(app, r, slot, now_ms, out); break;
	case FLEET_DRAINING: keep_draining(app, r, slot, now_ms, out); break;
	case FLEET_STOPPING: keep_stopping(app, r, slot, now_ms, out); break;
	case FLEET_SPAWNING:
	case FLEET_STATES: break;
	}
}

void fl_spawned(struct fl_app *app, uint32_t slot, uint64_t now_ms)
{
	struct fl_replica *r = &app->slot[slot];
	if (!r->used || r->state != FLEET_SPAWNING) return;
	probe_init(&r->probes, app->rules.probe, now_ms);
	move(r, FLEET_STARTING, now_ms);
}

void fl_ended(struct fl_app *app, uint32_t slot, uint64_t now_ms)
{
	struct fl_replica *r = &app->slot[slot];
	(void)now_ms;
	if (r->used && r->process) r->ended = true;
}

void fl_probed(struct fl_app *app, uint32_t slot, enum probe_kind kind, enum probe_outcome outcome,
        uint64_t now_ms)
{
	struct fl_replica *r = &app->slot[slot];
	if (r->used && fl_runs(r)) (void)probe_result(&r->probes, kind, outcome, now_ms);
}

uint32_t fl_adopt(struct fl_app *app, const struct fl_adopted *a, uint64_t now_ms,
        uint64_t uptime_ms, struct hg_rand *rand)
{
	double jitter[PROBE_KINDS];
	uint32_t i = fl_slot_take(app, now_ms);
	if (i == FL_SLOTS) return i;
	struct fl_replica *r = &app->slot[i];
	r->number = a->number;
	r->release = a->release;
	r->revision = a->revision;
	r->restarts = a->restarts;
	r->backoff.streak = a->streak;
	r->retire = a->retire;
	r->spare = a->spare;
	r->endpoint = a->endpoint;
	r->process = a->alive;
	r->born_ms = HG_MIN(a->start_ms, now_ms);
	if (!a->alive) {
		uint32_t wait = backoff_again(&r->backoff, rand);
		r->state = FLEET_BACKOFF;
		r->next_start_ms = now_ms + (wait > a->ended_ago_ms ? wait - a->ended_ago_ms : 0);
		return i;
	}
	for (int k = 0; k < PROBE_KINDS; k++)
		jitter[k] = hg_rand_unit(rand);
	probe_resume(&r->probes, app->rules.probe, a->start_ms, a->started, a->ready, now_ms,
	        uptime_ms, jitter);
	if (a->endpoint == SNAP_EP_UNREADY) r->probes.ever_ready = true;
	r->state = running_state(r);
	/* How long it had been ready before is not known: the streak is forgiven later. */
	if (r->state == FLEET_READY) r->ready_since_ms = now_ms;
	return i;
}
