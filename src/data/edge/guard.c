#include "data/edge/edge_priv.h"

/*
 * The circuit breaker of an app, and how much of it at a time. Each worker has its own: what it
 * decides needs no word that others write, a worker that dies takes nothing with it, and a probe
 * cannot get lost. With n workers it takes n times `min_requests` failures until all of them have
 * opened, and n times `probes` until all have closed; each of them has evidence of its own for it.
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

/* ---- adaptive concurrency ---- */

static void limit_show(struct edge *e, struct edge_app *a)
{
	struct meter_app *m = meter_app_take(e->count, a->id);
	if (!m) return;
	a->dip_shown_ms = concurrency_dips(&a->concurrency);
	atomic_store_explicit(&m->limit, (uint32_t)a->concurrency.limit, memory_order_relaxed);
	atomic_store_explicit(&m->dip_ms, a->dip_shown_ms, memory_order_relaxed);
}

/* Workers take their limits down together (math/concurrency.h). One that dies in its dip takes what
 * it has said with it: meter_worker_reset. */
static void dip_with_others(struct edge *e, struct edge_app *a)
{
	uint64_t now_ms = edge_now_ms(e);
	if (a->dip_looked_ms == now_ms) return;
	a->dip_looked_ms = now_ms;
	for (uint32_t w = 0; w < e->meter->worker_count; w++) {
		const struct meter_worker *other = &e->meter->worker[w];
		const struct meter_app *m = other == e->count ? NULL : meter_app_find(other, a->id);
		if (!m) continue;
		concurrency_join(&a->concurrency,
		        atomic_load_explicit(&m->dip_ms, memory_order_relaxed), now_ms);
	}
}

/*
 * How many requests wait for their head counts, not how many are under way: a socket that stays
 * open for hours is no work. Beside a trial the old release's answers alone say what is fast, for
 * the reasons above, and all requests count, whichever release has them.
 */
static bool sheds(struct edge *e, const struct edge_req *r)
{
	struct edge_app *a = r->app;
	enum concurrency_priority p = (enum concurrency_priority)r->route->priority;
	dip_with_others(e, a);
	bool in = concurrency_admits(&a->concurrency, a->awaited, p, edge_now_ms(e));
	if (a->dip_shown_ms != concurrency_dips(&a->concurrency)) limit_show(e, a);
	if (in) return false;
	return !edge_of_probe(r, (struct hg_str){r->path, r->path_n});
}

static bool old_release(const struct edge_req *r)
{
	return !r->app->trial || r->release == r->app->trial->is.old_release;
}

static enum edge_step shed(struct edge_conn *c)
{
	struct meter_app *m = meter_app_take(c->edge->count, c->req->app->id);
	if (m) meter_add(&m->shed, 1);
	limit_show(c->edge, c->req->app);
	return edge_answer(c, 503, "the application has as much to do as it can");
}

void edge_guard_sent(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	if (!r->limits->balance.adaptive) return;
	r->awaited = true;
	r->app->awaited++;
}

void edge_guard_released(struct edge_req *r)
{
	r->awaited = false;
	r->app->awaited--;
}

/* ---- what becomes of a request ---- */

enum edge_step edge_guard_enter(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct edge_app *a = r->app;
	struct breaker_rules rules = rules_of(&r->limits->balance);
	enum breaker_state was = a->breaker.state;
	trial_look(e, a);
	if (!applies(r)) return EDGE_STEP_ON;
	r->guarded = true;
	if (r->limits->balance.adaptive && sheds(e, r)) return shed(c);
	r->probing = breaker_ask(&a->breaker, &rules, edge_now_ms(e), &r->breaker_term);
	if (a->breaker.state != was || HG_UNLIKELY(!a->breaker_shown)) show(e, a);
	return r->probing ? EDGE_STEP_ON : refuse(c);
}

/* The outcome for the client. */
static void tell(struct edge_conn *c, enum breaker_outcome outcome)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct edge_app *a = r->app;
	struct breaker_rules rules = rules_of(&r->limits->balance);
	if (!r->probing) return;
	r->probing = false;
	if (!old_release(r)) outcome = BREAKER_NONE;
	if (!breaker_tell(&a->breaker, &rules, r->breaker_term, outcome, edge_now_ms(e))) return;
	struct meter_app *m = meter_app_take(e->count, a->id);
	if (m && a->breaker.state == BREAKER_OPEN) meter_add(&m->breaker_opened, 1);
	show(e, a);
}

void edge_guard_answered(struct edge_conn *c, unsigned status)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	tell(c, status >= 500 ? BREAKER_BAD : BREAKER_GOOD);
	if (!r->awaited) return;
	edge_guard_released(r);
	/* An upload takes its client's time, and a failure may be quick. */
	if (r->body_any || status >= 500 || !old_release(r)) return;
	uint64_t now_ns = loop_now_ns(e->loop);
	uint64_t window = r->app->concurrency.window_ms;
	concurrency_answer(&r->app->concurrency, now_ns - r->attempt_ns, edge_now_ms(e));
	bool dips = r->app->dip_shown_ms != concurrency_dips(&r->app->concurrency);
	if (dips || r->app->concurrency.window_ms != window) limit_show(e, r->app);
}

void edge_guard_failed(struct edge_conn *c, bool timeout, bool final)
{
	struct edge_req *r = c->req;
	if (final) tell(c, BREAKER_BAD);
	if (timeout && r->limits->balance.adaptive && old_release(r))
		concurrency_timeout(&r->app->concurrency, edge_now_ms(c->edge));
}

void edge_guard_end(struct edge_conn *c)
{
	tell(c, BREAKER_NONE);
}
