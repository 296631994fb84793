/*
 * The end, in phases that each have a time of their own: edges finish what is in flight, control
 * stops the replicas, what is left of them is stopped here, observe makes the logs durable.
 */
#include <signal.h>
#include <unistd.h>

#include "os/clock.h"
#include "warden/warden_priv.h"

#define GRACE_MS    30000
#define OBSERVE_MS  3000
#define EXIT_MS     1000 /* control, after its work is done */
#define TERM_MIN_MS 500
#define HURRY_MS    500

static void on_phase_timer(struct loop *l, struct loop_timer *t);

static uint64_t left_ms(const struct warden *w)
{
	uint64_t now = clock_mono_ms();
	return w->stop_at_ms > now ? w->stop_at_ms - now : 0;
}

static void phase_for(struct warden *w, uint64_t ms)
{
	if (w->hurry) ms = HG_MIN(ms, (uint64_t)HURRY_MS);
	w->phase_until_ms = clock_mono_ms() + ms;
	if (loop_timer_start(w->loop, &w->phase_timer, ms, on_phase_timer) < 0) loop_stop(w->loop);
}

static bool role_runs(const struct warden *w, enum wd_role role)
{
	for (uint32_t i = 0; i < w->role_count; i++) {
		if (w->roles[i].role == role && w->roles[i].pid) return true;
	}
	return false;
}

static void role_kill(struct warden *w, enum wd_role role, int signo)
{
	for (uint32_t i = 0; i < w->role_count; i++) {
		/* Our own child that is not reaped yet: the pid cannot be another's. */
		if (w->roles[i].role == role && w->roles[i].pid) kill(w->roles[i].pid, signo);
	}
}

static void role_stop(struct warden *w, enum wd_role role)
{
	for (uint32_t i = 0; i < w->role_count; i++) {
		struct role *r = &w->roles[i];
		if (r->role != role) continue;
		loop_timer_stop(w->loop, &r->timer); /* no restart any more */
		if (r->pid) role_tell(r, TELL_STOP);
	}
}

static void replicas_signal(struct warden *w, int signo)
{
	for (uint32_t i = 0; i < w->replica_high; i++) {
		struct replica *r = &w->replicas[i];
		if (r->state == REPLICA_RUNS || r->state == REPLICA_STARTING) {
			replica_signal(r, signo);
		}
	}
}

static void enter(struct warden *w, enum phase phase)
{
	w->phase = phase;
	switch (phase) {
	case PHASE_EDGES:
		phase_for(w, left_ms(w) / 2);
		for (uint32_t i = 0; i < w->role_count; i++) {
			if (w->roles[i].role == WD_ROLE_CONTROL) {
				loop_timer_stop(w->loop, &w->roles[i].timer);
			}
		}
		role_stop(w, WD_ROLE_EDGE);
		break;
	case PHASE_CONTROL: {
		uint64_t left = left_ms(w);
		phase_for(w, left > 3 * EXIT_MS ? left - 2 * EXIT_MS : left / 2);
		role_stop(w, WD_ROLE_CONTROL);
		break;
	}
	case PHASE_REPLICAS:
		phase_for(w, HG_MAX(left_ms(w), (uint64_t)TERM_MIN_MS));
		replicas_signal(w, SIGTERM);
		role_kill(w, WD_ROLE_CONTROL, SIGTERM);
		break;
	case PHASE_OBSERVE:
		phase_for(w, OBSERVE_MS);
		role_stop(w, WD_ROLE_OBSERVE);
		break;
	default:
		loop_timer_stop(w->loop, &w->phase_timer);
		loop_stop(w->loop);
		break;
	}
}

static bool phase_over(const struct warden *w)
{
	switch (w->phase) {
	case PHASE_EDGES: return !role_runs(w, WD_ROLE_EDGE);
	case PHASE_CONTROL: return w->control_done || !role_runs(w, WD_ROLE_CONTROL);
	case PHASE_REPLICAS: return replicas_running(w) == 0 && !role_runs(w, WD_ROLE_CONTROL);
	case PHASE_OBSERVE: return !role_runs(w, WD_ROLE_OBSERVE);
	default: return false;
	}
}

void shutdown_step(struct warden *w)
{
	while (w->phase != PHASE_UP && w->phase != PHASE_DONE && phase_over(w))
		enter(w, (enum phase)(w->phase + 1));
}

/* The time of the phase is up: by force. */
static void on_phase_timer(struct loop *l, struct loop_timer *t)
{
	struct warden *w = HG_CONTAINER(t, struct warden, phase_timer);
	(void)l;
	switch (w->phase) {
	case PHASE_EDGES: role_kill(w, WD_ROLE_EDGE, SIGKILL); break;
	case PHASE_CONTROL: enter(w, PHASE_REPLICAS); break;
	case PHASE_REPLICAS:
		replicas_signal(w, SIGKILL);
		role_kill(w, WD_ROLE_CONTROL, SIGKILL);
		break;
	case PHASE_OBSERVE: role_kill(w, WD_ROLE_OBSERVE, SIGKILL); break;
	default: break;
	}
	/* A process in an uninterruptible wait may need a second blow, or never go. */
	if (w->phase != PHASE_DONE &&
	        loop_timer_start(w->loop, &w->phase_timer, EXIT_MS, on_phase_timer) < 0) {
		loop_stop(w->loop);
	}
	shutdown_step(w);
}

void shutdown_begin(struct warden *w, int signo)
{
	uint64_t grace = w->plan->grace_ms ? w->plan->grace_ms : GRACE_MS;
	if (w->phase != PHASE_UP) { /* asked again: quickly now */
		w->hurry = true;
		w->stop_at_ms = HG_MIN(w->stop_at_ms, clock_mono_ms() + 2 * HURRY_MS);
		phase_for(w, HURRY_MS);
		return;
	}
	hg_log(&w->log, HG_INFO, "warden.stop", HG_I("signal", signo), HG_I("grace_ms", grace));
	w->stop_at_ms = clock_mono_ms() + grace;
	enter(w, PHASE_EDGES);
	shutdown_step(w);
}
