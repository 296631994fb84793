#include "data/edge/edge_priv.h"

/*
 * Which release a request goes to. The order is the contract: what is proven bad gets nothing, a
 * preview and a rule decide without chance, a signed cookie repeats an earlier draw, and all others
 * are drawn. The arm is final: if it cannot take the request, that is its failure.
 */

static struct meter_trial_count *counters(struct edge *e, const struct edge_draw *d)
{
	return &e->count->trial[d->trial->is.cell];
}

static enum edge_arm arm_of(struct edge_conn *c, const struct http1_head *h)
{
	struct edge *e = c->edge;
	struct edge_draw *d = c->req->draw;
	const struct snap_trial *t = &d->trial->is;
	enum edge_arm arm = EDGE_NEW;
	bool forced = d->preview || edge_match(t, h);
	if (!forced && t->flags & SNAP_TRIAL_REPLAYABLE && !edge_draw_replayable(c->req, h)) {
		return EDGE_OLD;
	}
	if (!forced && t->flags & SNAP_TRIAL_STICKY) forced = edge_sticky_arm(t, h, &arm);
	if (forced) {
		meter_add(&counters(e, d)->forced, 1);
		return arm;
	}
	d->evidence = t->flags & SNAP_TRIAL_JUDGE;
	d->set_cookie = t->flags & SNAP_TRIAL_STICKY;
	return edge_draw_new(hg_rand_u64(&e->rand), t->weight_ppm) ? EDGE_NEW : EDGE_OLD;
}

enum edge_step edge_draw(struct edge_conn *c, const struct http1_head *h)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct edge_trial *t = r->app->trial;
	bool tripped = t && meter_tripped(&e->meter->trial[t->slot], t->is.rollout);
	if (r->route->preview && (!t || tripped)) {
		meter_add(&e->count->no_replica, 1);
		return edge_answer(c, 503, "no release is under trial");
	}
	struct edge_draw *d = edge_pool_take(&e->draws);
	HG_ASSERT(t && d); /* there are as many draws as requests */
	*d = (struct edge_draw){.trial = t,
	        .start_ns = r->start_ns + r->asked_ns,
	        .preview = r->route->preview != 0};
	hg_list_init(&d->node);
	t->refs++;
	r->draw = d;
	d->arm = d->side = tripped ? EDGE_OLD : arm_of(c, h);
	if (d->evidence) edge_evidence_begin(e, d);
	return EDGE_STEP_ON;
}

enum edge_arm edge_draw_side(const struct edge_req *r)
{
	const struct edge_draw *d = r->draw;
	if (!d) return EDGE_OLD; /* it began before the trial */
	if (d->preview) return EDGE_NEW;
	return d->trial->is.rollout == r->app->trial->is.rollout ? d->side : EDGE_OLD;
}

/* Caches of a new replica are cold. By latency it is not judged for its first requests or its first
 * seconds, whichever are over first: with little traffic the grace would else be long, and a slow
 * release serve all the while. Its requests are in n all the same, which favours the new release.
 */
void edge_draw_sent(struct edge_conn *c, struct edge_ep *ep)
{
	struct edge_draw *d = c->req->draw;
	const struct snap_trial *t = &d->trial->is;
	if (ep->release != t->new_release || d->first_over) return;
	d->warm = d->warm ||
	          (ep->taken < t->warm_requests && edge_now_ms(c->edge) < ep->up_ms + t->warm_ms);
	if (ep->taken < UINT32_MAX) ep->taken++;
}

bool edge_draw_turn(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	struct edge_draw *d = r->draw;
	edge_draw_failed(c, METER_CAUSE_NO_ENDPOINT, HG_STR(""));
	if (d->preview || d->rescue || d->side != d->arm || !r->app->trial) return false;
	enum edge_arm other = d->arm == EDGE_NEW ? EDGE_OLD : EDGE_NEW;
	if (r->app->arm[other].count == 0) return false;
	d->side = other;
	return true;
}

void edge_draw_failed(struct edge_conn *c, enum meter_cause cause, struct hg_str body)
{
	struct edge_draw *d = c->req->draw;
	if (d->first_over) return;
	d->first_over = true;
	if (d->arm == EDGE_NEW && !d->preview) {
		d->failed = true;
		edge_evidence_record(c, cause, body);
	}
	edge_evidence_fail(c->edge, d);
}

void edge_draw_excuse(struct edge_conn *c)
{
	struct edge_draw *d = c->req->draw;
	d->first_over = true;
	d->evidence = false;
	hg_list_remove(&d->node);
}

void edge_draw_cut(struct edge_conn *c, enum meter_cause cause)
{
	struct edge_draw *d = c->req->draw;
	/* Of a second attempt: it was answered by somebody else. */
	if (d->first_over) return;
	edge_draw_failed(c, cause, HG_STR(""));
	d->cut = d->failed;
}

void edge_draw_done(struct edge_conn *c)
{
	edge_evidence_end(c->edge, c->req->draw, true);
}

/* What became of a request that failed on the new release. */
static void outcome(struct edge_conn *c)
{
	const struct edge_req *r = c->req;
	const struct edge_draw *d = r->draw;
	struct meter_trial_count *n = counters(c->edge, d);
	bool answered = r->status && !r->local;
	if (!d->cut && answered && r->release != d->trial->is.new_release) {
		meter_add(&n->rescued, 1);
		return;
	}
	/* A client that went away before it got anything saw nothing. */
	if (r->aborted && !d->cut && !(r->status && r->co_sent)) return;
	meter_add(&n->seen, 1);
	if (d->unreplayable) meter_add(&n->unreplayable, 1);
}

void edge_draw_close(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct edge_draw *d = r->draw;
	/* What the edge answered by itself says nothing about a release. */
	if (r->local) d->evidence = false;
	edge_evidence_end(e, d, !r->aborted);
	if (d->failed) outcome(c);
	if (d->rescue) r->app->rescues--;
	hg_list_remove(&d->node);
	edge_pool_give(&e->keeps, d->held);
	edge_mirror_forget(d->mirror);
	edge_trial_drop(e, d->trial);
	r->draw = NULL;
	edge_pool_give(&e->draws, d);
}
