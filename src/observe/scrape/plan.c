#include "observe/scrape/plan_priv.h"

#define TOLERANCE_MS 2

static int64_t next_after(const struct plan *p, int64_t now_ms)
{
	int64_t phase = now_ms % p->interval_ms;
	int64_t wait = p->offset_ms - phase;
	return now_ms + (wait > 0 ? wait : wait + p->interval_ms);
}

struct plan scrape_plan_new(int64_t interval_ms, uint64_t seed, int64_t now_ms)
{
	struct plan p = {
	        .interval_ms = interval_ms, .offset_ms = (int64_t)(seed % (uint64_t)interval_ms)};
	HG_ASSERT(interval_ms > 0 && now_ms >= 0);
	p.due_ms = next_after(&p, now_ms - 1); /* it may be due this very moment */
	return p;
}

int64_t scrape_plan_wait(struct plan *p, int64_t now_ms)
{
	if (p->due_ms - now_ms > p->interval_ms) p->due_ms = next_after(p, now_ms);
	return p->due_ms > now_ms ? p->due_ms - now_ms : 0;
}

int64_t scrape_plan_take(struct plan *p, int64_t now_ms)
{
	int64_t tolerance = HG_MIN(p->interval_ms / 100, (int64_t)TOLERANCE_MS), late;
	int64_t planned = p->due_ms;
	if (now_ms - planned >= p->interval_ms)
		planned += (now_ms - planned) / p->interval_ms * p->interval_ms;
	late = now_ms - planned;
	p->due_ms = planned + p->interval_ms;
	return late >= -tolerance && late <= tolerance ? planned : now_ms;
}

struct plan_end scrape_plan_end(const struct plan *p)
{
	return (struct plan_end){
	        .stale_ms = p->due_ms, .act_ms = p->due_ms + p->interval_ms + p->interval_ms / 10};
}
