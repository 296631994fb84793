#include <errno.h>

#include "data/edge/secure_priv.h"

void edge_attempt_note(struct edge_conn *c, const struct edge_ep *ep, uint64_t since_ns)
{
	struct edge_req *r = c->req;
	const struct snap_image *im = r->image->snap;
	if (HG_UNLIKELY(r->try_fault || r->try_status)) edge_trace_again(c);
	r->slot = ep->slot;
	r->attempt_ns = since_ns;
	r->release = ep->release;
	r->replica = ep->replica;
	r->upstream_n = ep->text_n;
	memcpy(r->upstream, ep->text, ep->text_n);
	r->has_lane = false;
	for (uint32_t i = 0; i < r->route->lane_count; i++) {
		const struct snap_lane *l = &snap_lanes(im)[r->route->lane_first + i];
		if (l->release != ep->release) continue;
		r->lane = l->lane;
		r->has_lane = true;
		break;
	}
	meter_add(&edge_lane(c->edge, r)->attempts, 1);
	if (r->app->panic) meter_add(&c->edge->count->panic, 1);
}

static enum edge_step no_replica(struct edge_conn *c)
{
	meter_add(&c->edge->count->no_replica, 1);
	return edge_answer(c, 503, "no replica is ready");
}

bool edge_attempt_ours(int err)
{
	return err == ENOMEM || err == EMFILE || err == ENFILE || err == EADDRNOTAVAIL;
}

enum edge_step edge_attempt(struct edge_conn *c)
{
	const struct edge_req *r = c->req;
	if (HG_UNLIKELY(r->app->waiting) && edge_queue_busy(r)) return edge_queue_enter(c);
	return edge_attempt_now(c);
}

enum edge_step edge_attempt_now(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	struct edge_ep *ep = edge_pick_for(c);
	if (HG_UNLIKELY(!ep && r->full)) return edge_queue_enter(c);
	if (!ep && r->draw && edge_draw_turn(c)) return edge_attempt(c);
	return ep ? edge_attempt_on(c, ep) : no_replica(c);
}

enum edge_step edge_attempt_on(struct edge_conn *c, struct edge_ep *ep)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	int err = 0;
	if (!r->first_attempt_ms) r->first_attempt_ms = edge_now_ms(e);
	if (HG_UNLIKELY(r->timed) && !edge_deadline_attempt(c)) return edge_deadline_answer(c);
	edge_attempt_note(c, ep, loop_now_ns(e->loop));
	if (HG_UNLIKELY(r->draw)) edge_draw_sent(c, ep);
	struct edge_up *up = HG_UNLIKELY(ep->proxy)
	                             ? edge_proxy_up_get(c, ep, r->fresh, !r->idempotent, &err)
	                             : edge_up_get(e, ep, r->fresh, !r->idempotent, &err);
	if (!up && err == ENOBUFS) return edge_answer(c, 503, "out of upstream connections");
	if (!up && r->draw && edge_attempt_ours(err)) edge_draw_excuse(c);
	if (!up) return edge_attempt_failed(c, EDGE_FAULT_CONNECT);
	r->up = up;
	up->conn = c;
	up->sent_before = edge_up_wire(up);
	r->counted = true;
	if (HG_UNLIKELY(r->guarded)) edge_guard_sent(c);
	r->app->in_flight++;
	meter_gauge_add(&e->count->in_flight[r->slot], 1);
	if (HG_UNLIKELY(up->stream && r->upgrade)) edge_u2_tunnel_ask(up);
	edge_conn_move(c, up->connecting ? EDGE_CONNECT : EDGE_WAIT);
	return EDGE_STEP_ON;
}

void edge_attempt_release(struct edge_conn *c, bool keep)
{
	struct edge_req *r = c->req;
	if (r->counted) {
		r->counted = false;
		if (HG_UNLIKELY(r->awaited)) edge_guard_released(r);
		r->app->in_flight--;
		meter_gauge_add(&c->edge->count->in_flight[r->slot], -1);
		if (HG_UNLIKELY(r->app->waiting)) edge_queue_wake(c->edge, r->app, r->slot);
	}
	struct edge_up *up = r->up;
	if (!up) return;
	r->up = NULL;
	if (keep) {
		edge_up_keep(up);
	} else {
		edge_up_close(up);
	}
}

void edge_attempt_reset(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	edge_flow_drop(c->edge, &r->rf);
	r->resp_seen = 0;
	r->grpc = 0;
	r->uo_sent = r->keep_sent = 0;
	r->sent_any = r->sent_all = r->write_dead = false;
}

static const enum meter_cause cause_of[] = {
        [EDGE_FAULT_CONNECT] = METER_CAUSE_CONNECT,
        [EDGE_FAULT_CONNECT_TIMEOUT] = METER_CAUSE_CONNECT,
        [EDGE_FAULT_TLS] = METER_CAUSE_CONNECT,
        [EDGE_FAULT_CLOSED] = METER_CAUSE_CLOSED,
        [EDGE_FAULT_BAD_HEAD] = METER_CAUSE_INVALID,
        [EDGE_FAULT_RESPONSE_TIMEOUT] = METER_CAUSE_TIMEOUT,
};

static enum edge_step give_up(struct edge_conn *c, enum edge_fault fault)
{
	if (HG_UNLIKELY(c->req->guarded)) edge_guard_failed(c, false, true);
	switch (fault) {
	case EDGE_FAULT_CONNECT: return edge_answer(c, 502, "the replica could not be reached");
	case EDGE_FAULT_CONNECT_TIMEOUT:
		return edge_answer(c, 504, "the replica could not be reached in time");
	case EDGE_FAULT_TLS: return edge_answer(c, 502, "the replica could not be reached by TLS");
	case EDGE_FAULT_CLOSED:
		return edge_answer(c, 502, "the replica closed the connection without an answer");
	case EDGE_FAULT_BAD_HEAD:
		return edge_answer(c, 502, "the replica sent an invalid response");
	case EDGE_FAULT_RESPONSE_TIMEOUT: break;
	}
	return edge_answer(c, 504, "the replica did not answer in time");
}

/* Nothing was sent, or sending it twice has the effect of sending it once, no byte of a response
 * was received and every byte of the request is still here. */
static bool replayable(const struct edge_req *r, bool answered)
{
	if (answered) return false;
	if (!r->sent_any) return true;
	return r->idempotent && edge_body_here(r);
}

static bool in_time(struct edge_conn *c)
{
	const struct edge_req *r = c->req;
	if (HG_UNLIKELY(r->deadline_ms)) return !edge_deadline_over(c);
	uint64_t one = r->limits->response_ms ? r->limits->response_ms : 60000;
	return edge_now_ms(c->edge) < r->first_attempt_ms + 2 * one;
}

/* Who would be asked after a failure: what fails on a release under trial, the old one. */
static const struct edge_set *set_after_failure(const struct edge_req *r)
{
	const struct edge_draw *d = r->draw;
	const struct edge_app *a = r->app;
	bool goes_back = d && !d->preview && d->side == EDGE_NEW && a->trial;
	if (goes_back && a->arm[EDGE_OLD].count) return &a->arm[EDGE_OLD];
	return edge_set_of(r);
}

bool edge_attempt_hasty(const struct edge_conn *c)
{
	const struct edge_req *r = c->req;
	bool answered = r->rf.n > 0 || r->interim > 0;
	bool first = r->retries == 0 && r->tried_n == 0 && !r->patient;
	return first && r->sent_all && r->limits->retries > 0 && !answered && r->idempotent &&
	       edge_body_here(r) && !r->app->panic &&
	       edge_other_usable(c->edge, set_after_failure(r), r->slot);
}

bool edge_attempt_elsewhere(const struct edge_conn *c)
{
	const struct edge_req *r = c->req;
	const struct edge_set *set = set_after_failure(r);
	bool again = r->sent_all && r->idempotent && edge_body_here(r) && !r->rf.n && !r->interim;
	if (!again || r->app->panic || r->retries >= r->limits->retries) return false;
	if (r->tried_n == EDGE_TRIED_MAX) return false;
	for (uint32_t k = set->first; k < set->first + set->count; k++) {
		uint16_t slot = c->edge->slots[k];
		if (slot != r->slot && edge_ep_usable(c->edge, slot, r->tried, r->tried_n))
			return true;
	}
	return false;
}

/* The client gave it no more time. */
static enum edge_step late(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	edge_attempt_release(c, false);
	meter_add(&edge_lane(e, r)->failures, 1);
	meter_add(&e->count->replica[r->slot].failures, 1);
	if (HG_UNLIKELY(r->draw)) edge_draw_failed(c, METER_CAUSE_TIMEOUT, edge_flow_seen(&r->rf));
	return edge_deadline_answer(c);
}

enum edge_step edge_attempt_failed(struct edge_conn *c, enum edge_fault fault)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	uint32_t retries = r->limits->retries;
	bool answered = r->rf.n > 0 || r->interim > 0;
	if (HG_UNLIKELY(r->up && r->up->secure)) fault = edge_secure_fault(c, fault);
	bool timeout = fault == EDGE_FAULT_RESPONSE_TIMEOUT || fault == EDGE_FAULT_CONNECT_TIMEOUT;
	if (HG_UNLIKELY(r->timed) && timeout && edge_deadline_theirs(c)) return late(c);
	/* The replica may close a kept connection at any moment; that is no failure. */
	bool stale = r->up && r->up->reused && fault == EDGE_FAULT_CLOSED && !answered;
	bool refused = false; /* HTTP/2: nothing of it was processed (RFC 9113 section 8.7) */
	if (HG_UNLIKELY(r->up && r->up->stream)) {
		stale = fault == EDGE_FAULT_CLOSED && !answered && edge_u2_stale(r->up);
		refused = !answered && edge_u2_untouched(r->up);
	}
	if ((stale || refused) && r->sent_any && edge_body_here(r) && edge_up_untouched(r->up))
		r->sent_any = false;
	bool again = replayable(r, answered);
	bool same = !r->up || e->eps[r->slot].incarnation == r->up->incarnation;
	edge_attempt_release(c, false);
	if (stale && again && !r->fresh) {
		r->fresh = true;
		edge_attempt_reset(c);
		edge_table_refresh(e, false);
		return edge_attempt(c);
	}
	struct meter_lane *lane = edge_lane(e, r);
	HG_ASSERT(lane); /* an attempt has a route */
	r->try_fault = (uint8_t)(fault + 1);
	meter_add(&lane->failures, 1);
	if (same) meter_add(&e->count->replica[r->slot].failures, 1);
	if (HG_UNLIKELY(r->guarded))
		edge_guard_failed(c, fault == EDGE_FAULT_RESPONSE_TIMEOUT, false);
	if (fault <= EDGE_FAULT_TLS) {
		meter_add(&e->count->upstream_connect_errors, 1);
	}
	if (same) edge_ep_bad(e, &e->eps[r->slot], r->app, r->limits);
	if (HG_UNLIKELY(r->draw)) {
		edge_draw_failed(c, cause_of[fault], edge_flow_seen(&r->rf));
		if (edge_rescue_possible(c)) return edge_rescue(c);
		retries = edge_rescue_retries(c);
	}
	if (HG_UNLIKELY(r->hedge) && edge_hedge_takes_over(c)) return EDGE_STEP_ON;
	if (!again || r->retries >= retries || r->tried_n == EDGE_TRIED_MAX || !in_time(c)) {
		return give_up(c, fault);
	}
	r->tried[r->tried_n++] = r->slot;
	edge_table_refresh(e, false);
	if (!edge_pick(e, edge_set_of(r), r->tried, r->tried_n) || !edge_budget_take(r->app)) {
		return give_up(c, fault);
	}
	r->retries++;
	r->fresh = false;
	edge_attempt_reset(c);
	enum edge_step s = edge_attempt(c);
	if (s != EDGE_STEP_GONE && c->req == r && !r->local) {
		meter_add(&edge_lane(e, r)->retries, 1);
	}
	return s;
}
