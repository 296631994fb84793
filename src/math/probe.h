/*
 * When to probe a process and what the answers mean: Kubernetes' rules (kubelet prober/worker.go
 * and prober_manager.go, 1.32), as a decision without clock and sockets. One `struct probe_set`
 * belongs to one incarnation of one process; the caller asks probe_due what to run now, runs it,
 * and hands every outcome back with probe_result. Nothing is allocated, nothing can fail.
 *
 * Headgate adds one promise: until the process was ready for the first time, a refused connection
 * (nobody listens yet) is tried again after 50 → 250 ms and does not count as a failure. It begins
 * to count when the probe's own budget (initial delay + period × failure threshold) is spent, so
 * that a process that never listens is restarted exactly when Kubernetes would.
 */
#ifndef MATH_PROBE_H
#define MATH_PROBE_H

#include "base/hg.h"

enum probe_kind { PROBE_STARTUP, PROBE_READINESS, PROBE_LIVENESS, PROBE_KINDS };

enum probe_verdict { PROBE_UNKNOWN, PROBE_SUCCESS, PROBE_FAILURE };

/* What one run of a probe gave. */
enum probe_outcome {
	PROBE_OK,
	PROBE_FAILED,  /* a bad status, a timeout, a broken connection, a non-zero exit */
	PROBE_REFUSED, /* nobody listens at the address */
	PROBE_BROKEN,  /* the prober itself failed: thrown away */
};

struct probe_rules {
	bool present;
	uint32_t delay_ms, period_ms /* > 0 */;
	uint32_t successes, failures; /* thresholds, ≥ 1; successes is 1 but for readiness */
	bool endless; /* failures never become a verdict: for probes nobody asked for */
};

/* Whether both say the same. */
static inline bool probe_rules_equal(const struct probe_rules *a, const struct probe_rules *b)
{
	return a->present == b->present && a->delay_ms == b->delay_ms &&
	       a->period_ms == b->period_ms && a->successes == b->successes &&
	       a->failures == b->failures && a->endless == b->endless;
}

struct probe_worker {
	enum probe_verdict verdict; /* in force */
	bool running;               /* asked for, no result yet */
	bool hold;                  /* not probed again in this incarnation */
	bool last_ok;
	uint32_t run;      /* equal results in a row */
	uint32_t quick;    /* refusals answered by a quick retry */
	uint64_t tick_ms;  /* next place in the grid of periods */
	uint64_t quick_ms; /* 0: no quick retry is due */
};

struct probe_set {
	struct probe_rules rules[PROBE_KINDS];
	struct probe_worker worker[PROBE_KINDS];
	uint64_t start_ms;
	bool started; /* the startup probe succeeded, or there is none */
	bool ever_ready;
	bool terminating;
};

/* A fresh process, started at `now_ms`. Verdicts: startup unknown, readiness failure, liveness
 * success; a probe that is not present has succeeded. */
void probe_init(struct probe_set *s, const struct probe_rules rules[PROBE_KINDS], uint64_t now_ms);

/*
 * A process that control finds alive after its own restart. Verdicts stay as recorded until a
 * probe says otherwise. As in Kubernetes each worker first waits jitter × period, `jitter` in
 * [0, 1), if the period is longer than control has been up.
 */
void probe_resume(struct probe_set *s, const struct probe_rules rules[PROBE_KINDS],
        uint64_t start_ms, bool started, bool ready, uint64_t now_ms, uint64_t uptime_ms,
        const double jitter[PROBE_KINDS]);

/*
 * Bits (1 << kind) of the probes to run now; they count as running until probe_result.
 * *ret_next_ms: when to ask again at the latest, UINT64_MAX: not before a result.
 */
unsigned probe_due(struct probe_set *s, uint64_t now_ms, uint64_t *ret_next_ms);

/* Bits of the kinds whose verdict changed. */
unsigned probe_result(
        struct probe_set *s, enum probe_kind kind, enum probe_outcome outcome, uint64_t now_ms);

/* The process is being stopped: startup and liveness are not probed any more and count as
 * success, readiness goes on. */
void probe_terminate(struct probe_set *s);

/* Started, and readiness in force is success. */
bool probe_ready(const struct probe_set *s);
/* Not ready now, but it was once, and its liveness did not fail when it was asked last. */
bool probe_may_serve(const struct probe_set *s);
/* Liveness or startup failed: the process is to be restarted. */
bool probe_must_restart(const struct probe_set *s);

#endif
