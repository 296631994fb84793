#include "jobs/decide.h"

#define POLL_MS      100u
#define POLL_IDLE_MS 500u
#define IDLE_AFTER   10u
#define RESCUE_SHARE 3u /* of a lease, as heartbeats */
#define SWEEP_MS     60000u
#define CLAIM_MAX    64u
#define AWAY_MIN_MS  100u
#define AWAY_MAX_MS  5000u
#define AFTER_MAX_MS (24u * 3600u * 1000u)

const char *job_state_name(enum job_state s)
{
	static const char *const names[JOB_STATES] = {
	        "available", "running", "retryable", "dead", "done"};
	return names[s];
}

static uint64_t formula_ms(uint32_t attempt, uint64_t cap_ms)
{
	uint64_t n = HG_MIN(attempt, 1000u); /* to the fourth it is beyond any cap */
	uint64_t ms = (15 + n * n * n * n) * 1000;
	return HG_MIN(ms, cap_ms);
}

uint64_t job_backoff_ms(const struct job_policy *p, uint32_t attempt, double unit)
{
	uint64_t cap_ms = p->cap_ms ? p->cap_ms : JOBS_CAP_MS, ms;
	HG_ASSERT(attempt >= 1);
	if (p->schedule_ms && p->schedule_count)
		ms = p->schedule_ms[HG_MIN(attempt, p->schedule_count) - 1];
	else
		ms = formula_ms(attempt, cap_ms);
	return (uint64_t)((double)ms * (0.9 + 0.2 * unit));
}

struct job_next job_decide_end(const struct job_policy *p, enum job_verdict verdict,
        uint32_t attempt, uint64_t after_ms, int64_t now_ms, double unit)
{
	uint32_t most = p->attempts_max ? p->attempts_max : JOBS_ATTEMPTS;
	struct job_next next = {.state = JOB_DEAD, .run_at_ms = now_ms, .attempt = attempt};
	uint64_t wait_ms;
	switch (verdict) {
	case JOB_OK: next.state = JOB_DONE; break;
	case JOB_GIVE_UP: break;
	case JOB_RELEASE:
		next.state = JOB_AVAILABLE;
		next.attempt = attempt - (attempt > 0);
		break;
	case JOB_LAPSED:
		/* The lease was wait enough. It may be the job that kills whoever runs it. */
		if (attempt < most) next.state = JOB_RETRYABLE;
		break;
	case JOB_RETRY:
		if (attempt >= most) break;
		wait_ms = job_backoff_ms(p, attempt, unit);
		next.state = JOB_RETRYABLE;
		next.run_at_ms += (int64_t)HG_MAX(wait_ms, HG_MIN(after_ms, AFTER_MAX_MS));
		break;
	}
	return next;
}

/* `last` 0: not yet, so it is due. */
static bool is_due(uint64_t last, uint64_t every, uint64_t now)
{
	return last == 0 || now >= last + every;
}

static uint64_t away_ms(uint32_t failures, double unit)
{
	uint64_t ms = AWAY_MIN_MS << HG_MIN(failures ? failures - 1 : 0, 6u);
	return (uint64_t)((double)HG_MIN(ms, AWAY_MAX_MS) * (0.75 + 0.5 * unit));
}

static uint32_t room_for(const struct jobs_pace *p)
{
	if (p->stopping || p->by_broker || p->running >= p->slots) return 0;
	return HG_MIN(p->slots - p->running, CLAIM_MAX);
}

struct jobs_plan jobs_decide_plan(
        const struct jobs_pace *p, int64_t now_ms, uint64_t now_mono_ms, double unit)
{
	struct jobs_plan plan = {.wake_mono_ms = UINT64_MAX};
	uint64_t share_ms = (p->lease_ms ? p->lease_ms : JOBS_LEASE_MS) / RESCUE_SHARE;
	uint64_t poll_ms = p->idle >= IDLE_AFTER ? POLL_IDLE_MS : POLL_MS;
	uint32_t room = room_for(p);
	uint64_t claim_at = p->claimed_mono_ms + (uint64_t)((double)poll_ms * (0.9 + 0.2 * unit));
	if (p->away) {
		plan.wake_mono_ms = p->tried_mono_ms + away_ms(p->failures, unit);
		if (now_mono_ms < plan.wake_mono_ms) return plan;
	}
	if (p->next_due_ms != INT64_MAX) {
		int64_t in_ms = p->next_due_ms - now_ms;
		uint64_t due_at = now_mono_ms + (in_ms > 0 ? (uint64_t)in_ms : 0);
		/* What is due and was not claimed is somebody else's at the moment: no hurry. */
		if (in_ms > 0) claim_at = HG_MIN(claim_at, due_at);
	}
	if (room && (p->more || p->nudged || p->claimed_mono_ms == 0 || now_mono_ms >= claim_at))
		plan.claim = room;
	else if (room)
		plan.wake_mono_ms = claim_at;
	plan.beat = p->running && is_due(p->beat_mono_ms, share_ms, now_mono_ms);
	if (p->running) plan.wake_mono_ms = HG_MIN(plan.wake_mono_ms, p->beat_mono_ms + share_ms);
	if (!p->stopping) {
		plan.rescue = is_due(p->rescued_mono_ms, share_ms, now_mono_ms);
		plan.sweep = is_due(p->swept_mono_ms, SWEEP_MS, now_mono_ms);
		plan.wake_mono_ms = HG_MIN(plan.wake_mono_ms, p->rescued_mono_ms + share_ms);
	}
	plan.any = plan.claim || plan.beat || plan.rescue || plan.sweep || p->ended;
	return plan;
}

bool job_lease_lapsed(uint64_t leased_mono_ms, uint64_t lease_ms, uint64_t now_mono_ms)
{
	return now_mono_ms >= leased_mono_ms + lease_ms - lease_ms / 10;
}
