#include "math/probe.h"

#define QUICK_FIRST_MS 50u
#define QUICK_MAX_MS   250u

static void worker_fresh(struct probe_set *s, enum probe_kind k, uint64_t tick_ms)
{
	static const enum probe_verdict initial[PROBE_KINDS] = {
	        [PROBE_STARTUP] = PROBE_UNKNOWN,
	        [PROBE_READINESS] = PROBE_FAILURE,
	        [PROBE_LIVENESS] = PROBE_SUCCESS,
	};
	struct probe_worker *w = &s->worker[k];
	*w = (struct probe_worker){.tick_ms = tick_ms};
	w->verdict = s->rules[k].present ? initial[k] : PROBE_SUCCESS;
}

static void set_fresh(struct probe_set *s, const struct probe_rules rules[PROBE_KINDS])
{
	*s = (struct probe_set){0};
	for (int k = 0; k < PROBE_KINDS; k++) {
		s->rules[k] = rules[k];
		HG_ASSERT(!rules[k].present || (rules[k].period_ms > 0 && rules[k].successes > 0 &&
		                                       rules[k].failures > 0));
	}
}

void probe_init(struct probe_set *s, const struct probe_rules rules[PROBE_KINDS], uint64_t now_ms)
{
	set_fresh(s, rules);
	s->start_ms = now_ms;
	for (int k = 0; k < PROBE_KINDS; k++)
		worker_fresh(s, k, now_ms);
	s->started = !s->rules[PROBE_STARTUP].present;
	s->ever_ready = probe_ready(s);
}

void probe_resume(struct probe_set *s, const struct probe_rules rules[PROBE_KINDS],
        uint64_t start_ms, bool started, bool ready, uint64_t now_ms, uint64_t uptime_ms,
        const double jitter[PROBE_KINDS])
{
	set_fresh(s, rules);
	s->start_ms = start_ms;
	for (int k = 0; k < PROBE_KINDS; k++) {
		uint64_t wait = 0;
		if (rules[k].period_ms > uptime_ms)
			wait = (uint64_t)(jitter[k] * (double)rules[k].period_ms);
		worker_fresh(s, k, now_ms + wait);
	}
	s->started = started || !s->rules[PROBE_STARTUP].present;
	if (s->started) {
		s->worker[PROBE_STARTUP].verdict = PROBE_SUCCESS;
		s->worker[PROBE_STARTUP].hold = true;
	} else {
		/* The quick answer that a starting process is owed does not wait for the jitter. */
		s->worker[PROBE_STARTUP].tick_ms = now_ms;
	}
	if (s->started && ready) s->worker[PROBE_READINESS].verdict = PROBE_SUCCESS;
	s->ever_ready = probe_ready(s);
}

/* What may be probed at all in this moment of the life of the process. */
static bool worker_enabled(const struct probe_set *s, enum probe_kind k)
{
	if (!s->rules[k].present || s->worker[k].hold || s->worker[k].running) return false;
	if (k == PROBE_STARTUP) return !s->started && !s->terminating;
	if (k == PROBE_LIVENESS && s->terminating) return false;
	return s->started;
}

/* Moves the grid past `now`; ticks that were missed are not made up for. */
static void worker_tick(struct probe_worker *w, uint32_t period_ms, uint64_t now_ms)
{
	if (w->tick_ms > now_ms) return;
	w->tick_ms += ((now_ms - w->tick_ms) / period_ms + 1) * period_ms;
}

unsigned probe_due(struct probe_set *s, uint64_t now_ms, uint64_t *ret_next_ms)
{
	unsigned due = 0;
	uint64_t next = UINT64_MAX;
	for (int k = 0; k < PROBE_KINDS; k++) {
		const struct probe_rules *r = &s->rules[k];
		struct probe_worker *w = &s->worker[k];
		if (!worker_enabled(s, k)) continue;
		bool tick = w->tick_ms <= now_ms;
		bool quick = w->quick_ms && w->quick_ms <= now_ms;
		if (tick) worker_tick(w, r->period_ms, now_ms);
		/* Kubernetes skips the ticks within the initial delay, it does not move them. */
		if ((tick || quick) && now_ms - s->start_ms >= r->delay_ms) {
			due |= 1u << k;
			w->running = true;
			w->quick_ms = 0;
			continue;
		}
		if (quick) w->quick_ms = 0;
		next = HG_MIN(next, w->tick_ms);
		if (w->quick_ms) next = HG_MIN(next, w->quick_ms);
	}
	*ret_next_ms = next;
	return due;
}

static void quick_retry(struct probe_worker *w, uint64_t now_ms)
{
	uint32_t wait = QUICK_FIRST_MS;
	for (uint32_t i = 0; i < w->quick && wait < QUICK_MAX_MS; i++)
		wait += wait / 2;
	w->quick++;
	w->quick_ms = now_ms + HG_MIN(wait, QUICK_MAX_MS);
}

/* Refusals are free until the first ready, within the budget of the probe. */
static bool refusal_is_free(const struct probe_set *s, enum probe_kind k, uint64_t now_ms)
{
	const struct probe_rules *r = &s->rules[k];
	if (s->ever_ready) return false;
	if (k == PROBE_READINESS || r->endless) return true;
	uint64_t budget = r->delay_ms + (uint64_t)r->period_ms * r->failures;
	return now_ms - s->start_ms < budget;
}

static void on_started(struct probe_set *s, uint64_t now_ms)
{
	s->started = true;
	/* Readiness is asked at once, not at its next place in the grid; its initial delay is
	 * over or not by the clock of the process. */
	s->worker[PROBE_READINESS].quick_ms = now_ms;
}

unsigned probe_result(
        struct probe_set *s, enum probe_kind kind, enum probe_outcome outcome, uint64_t now_ms)
{
	const struct probe_rules *r = &s->rules[kind];
	struct probe_worker *w = &s->worker[kind];
	w->running = false;
	if (!r->present || w->hold || outcome == PROBE_BROKEN) return 0;
	if (s->terminating && kind != PROBE_READINESS) return 0;
	bool spent = false;
	if (outcome == PROBE_REFUSED && !s->ever_ready) {
		if (refusal_is_free(s, kind, now_ms)) {
			quick_retry(w, now_ms);
			return 0;
		}
		spent = true; /* all of its failures were forgiven before: this one decides */
	}
	bool ok = outcome == PROBE_OK;
	w->run = w->run > 0 && w->last_ok == ok ? w->run + 1 : 1;
	w->last_ok = ok;
	if (w->run < (ok ? r->successes : r->failures) && !spent) return 0;
	if (!ok && r->endless) return 0;
	enum probe_verdict before = w->verdict;
	w->verdict = ok ? PROBE_SUCCESS : PROBE_FAILURE;
	if (kind == PROBE_STARTUP || (kind == PROBE_LIVENESS && !ok)) {
		w->hold = true;
		w->run = 0;
	}
	if (kind == PROBE_STARTUP && ok) on_started(s, now_ms);
	if (probe_ready(s)) s->ever_ready = true;
	return w->verdict != before ? 1u << kind : 0;
}

void probe_terminate(struct probe_set *s)
{
	s->terminating = true;
	s->worker[PROBE_STARTUP].verdict = PROBE_SUCCESS;
	s->worker[PROBE_LIVENESS].verdict = PROBE_SUCCESS;
}

bool probe_ready(const struct probe_set *s)
{
	return s->started && s->worker[PROBE_READINESS].verdict == PROBE_SUCCESS;
}

bool probe_may_serve(const struct probe_set *s)
{
	const struct probe_worker *live = &s->worker[PROBE_LIVENESS];
	bool sick = s->rules[PROBE_LIVENESS].present && live->run > 0 && !live->last_ok;
	return s->ever_ready && s->started && !s->terminating && !sick && !probe_ready(s);
}

bool probe_must_restart(const struct probe_set *s)
{
	return s->worker[PROBE_STARTUP].verdict == PROBE_FAILURE ||
	       s->worker[PROBE_LIVENESS].verdict == PROBE_FAILURE;
}
