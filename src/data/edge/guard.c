#include "data/edge/edge_priv.h"

/*
 * The circuit breaker of an app. Each worker has its own: what it decides needs no word that others
 * write, a worker that dies takes nothing with it, and a probe cannot get lost. With n workers it
 * takes n times `min_requests` failures until all of them have opened, and n times `probes` until
 * all have closed; each of them has evidence of its own for it.
 *
 * Under trial. The judge compares failures of two releases that get their requests by chance. A
 * breaker that held back one of them would move the failures to the other: a shared outage would
 * look like the new release's fault. So it asks before the draw and holds back both alike, which
 * leaves the share of the new release among those that are drawn what it was; and it listens to
 * answers of the old release only: the new one's failures are the judge's and never open it, and
 * however bad the new release is, nothing of that is hidden. Where the old release gets nothing
 * (weight 100 %, previews) there is nothing to listen to, and it lets everything pass.
 */

static struct breaker_rules rules_of(const struct snap_balance *b)
{
	return (struct breaker_rules){.errors_ppm = b->breaker_ppm,
	        .over_ms = b->breaker_over_ms,
	        .open_ms = b->breaker_open_ms,
	        .min_requests = b->breaker_min,
	        .probes = b->breaker_probes};
}

static bool applies(const struct edge_req *r)
{
	const struct edge_trial *t = r->app->trial;
	return !r->route->preview && (!t || t->is.weight_ppm < 1000000);
}

static void show(struct edge *e, struct edge_app *a)
{
	a->breaker_shown = true;
	struct meter_app *m = meter_app_take(e->count, a->id);
	if (m) atomic_store_explicit(&m->breaker, a->breaker.state, memory_order_relaxed);
}

/* A trial that ended may have left another release serving: what was seen of the old one is void.
 */
static void trial_look(struct edge *e, struct edge_app *a)
{
	uint64_t now = a->trial ? a->trial->is.rollout : 0;
	if (now == a->breaker_rollout) return;
	if (now == 0) {
		a->breaker = (struct breaker){.term = a->breaker.term + 1};
		show(e, a);
	}
	a->breaker_rollout = now;
}

static enum edge_step refuse(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct meter_app *m = meter_app_take(e->count, r->app->id);
	uint32_t ms = breaker_wait_ms(&r->app->breaker, edge_now_ms(e));
	if (m) meter_add(&m->breaker_refused, 1);
	r->retry_after_s = (uint16_t)HG_MIN(ms / 1000 + 1, 3600u);
	return edge_answer(c, 503, "the application fails: its circuit breaker is open");
}

enum edge_step edge_guard_enter(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct edge_app *a = r->app;
	struct breaker_rules rules = rules_of(&r->limits->balance);
	enum breaker_state was = a->breaker.state;
	trial_look(e, a);
	if (!applies(r)) return EDGE_STEP_ON;
	r->guarded = breaker_ask(&a->breaker, &rules, edge_now_ms(e), &r->breaker_term);
	if (a->breaker.state != was || HG_UNLIKELY(!a->breaker_shown)) show(e, a);
	return r->guarded ? EDGE_STEP_ON : refuse(c);
}

void edge_guard_tell(struct edge_conn *c, enum breaker_outcome outcome)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct edge_app *a = r->app;
	struct breaker_rules rules = rules_of(&r->limits->balance);
	if (!r->guarded) return;
	r->guarded = false;
	if (a->trial && r->release != a->trial->is.old_release) outcome = BREAKER_NONE;
	if (!breaker_tell(&a->breaker, &rules, r->breaker_term, outcome, edge_now_ms(e))) return;
	struct meter_app *m = meter_app_take(e->count, a->id);
	if (m && a->breaker.state == BREAKER_OPEN) meter_add(&m->breaker_opened, 1);
	show(e, a);
}
