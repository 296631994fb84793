#include <errno.h>

#include "data/edge/edge_priv.h"

/*
 * What fails on the release under trial is answered by the old one, as long as the client has seen
 * no byte of a final response and the request may be repeated. So that it may be for longer, such
 * responses are held until they are complete, within limits of size and time.
 */

/* ---- rescue ---- */

static const struct edge_set *old_set(const struct edge_app *a)
{
	return a->trial ? &a->arm[EDGE_OLD] : &a->all;
}

/* The trial's own part of the question: is this a request that is to be protected? */
static bool protects(const struct edge_draw *d)
{
	return d->arm == EDGE_NEW && d->side == EDGE_NEW && !d->preview && !d->rescue &&
	       d->trial->is.flags & SNAP_TRIAL_RESCUE;
}

bool edge_rescue_protects(const struct edge_req *r)
{
	const struct edge_draw *d = r->draw;
	return protects(d) && !d->first_over && r->idempotent && edge_body_here(r) &&
	       old_set(r->app)->count > 0;
}

bool edge_rescue_possible(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	if (!protects(r->draw)) return false;
	if (r->sent_any && !(r->idempotent && edge_body_here(r))) {
		r->draw->unreplayable = true;
		return false;
	}
	if (r->app->rescues >= HG_MAX(EDGE_RESCUE_MIN, 2 * r->app->in_flight)) return false;
	return edge_pick(e, old_set(r->app), r->tried, r->tried_n) != NULL;
}

uint32_t edge_rescue_retries(struct edge_conn *c)
{
	const struct edge_req *r = c->req;
	struct edge_draw *d = r->draw;
	uint32_t retries = r->limits->retries;
	if (d->rescue) return HG_MIN(retries, 1);
	if (d->preview || d->arm != EDGE_NEW || !r->app->trial) return retries;
	if (r->app->arm[EDGE_OLD].count == 0) return retries; /* on another new replica */
	if (d->trial->is.flags & SNAP_TRIAL_RESCUE) return 0;
	d->side = EDGE_OLD;
	return retries;
}

enum edge_step edge_rescue(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	bool cut = c->state == EDGE_HOLD && !r->grpc; /* its head was all that is right of it */
	if (!r->try_fault && (cut || !r->status))
		r->try_fault = EDGE_FAULT_CLOSED + 1;
	else if (!r->try_fault)
		r->try_status = r->status;
	r->draw->rescue = true;
	r->draw->side = EDGE_OLD;
	r->app->rescues++;
	edge_hold_discard(c);
	edge_attempt_release(c, false);
	edge_attempt_reset(c);
	r->status = 0;
	r->interim = r->retries = 0;
	r->fresh = false;
	return edge_attempt(c);
}

/* The start of a response's body, without its framing. */
static struct hg_str body_start(
        const struct edge_req *r, const struct http1_head *h, char *to, size_t cap)
{
	struct hg_str in = {r->rf.buf + r->rf.raw + h->size, r->rf.n - r->rf.raw - h->size};
	struct http1_chunked chunked = {0};
	size_t n = 0;
	if (h->body == HTTP1_BODY_NONE) in.n = 0;
	if (h->body != HTTP1_BODY_CHUNKED) return in;
	while (in.n && n < cap) {
		struct http1_span s = http1_chunked_next(&chunked, in);
		size_t k = HG_MIN(s.data.n, cap - n);
		if (k) memcpy(to + n, s.data.p, k);
		n += k;
		if (s.result != HTTP1_MORE || s.used == 0) break;
		in = (struct hg_str){in.p + s.used, in.n - s.used};
	}
	return (struct hg_str){to, n};
}

static bool status_failed(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	char text[256];
	r->status = e->head.status;
	edge_draw_failed(c, METER_CAUSE_STATUS, body_start(r, &e->head, text, sizeof text));
	if (!edge_rescue_possible(c)) return false;
	edge_ep_good(&e->eps[r->slot]);
	return true;
}

bool edge_rescue_head(struct edge_conn *c)
{
	bool failed = c->edge->head.status >= 500 || edge_grpc_failed(c->req);
	return failed && !c->req->draw->first_over && status_failed(c);
}

/* ---- holding ---- */

/* Events are sent one by one to be seen at once: such a response is never complete. */
static bool is_stream(const struct http1_head *h)
{
	const struct http1_field *f = http1_find(h, HTTP1_F_CONTENT_TYPE);
	struct hg_str type = f ? f->value : HG_STR("");
	return hg_str_eq_nocase(hg_str_trim(hg_str_cut(&type, ';')), HG_STR("text/event-stream"));
}

bool edge_hold_wanted(const struct edge_conn *c)
{
	return !c->req->upgrade && edge_rescue_protects(c->req) && !is_stream(&c->edge->head);
}

void edge_hold_begin(struct edge_conn *c, uint32_t co_before)
{
	struct edge_draw *d = c->req->draw;
	d->hold_at = co_before;
	d->hold_until_ms = edge_now_ms(c->edge) + EDGE_HOLD_MS;
	edge_conn_move(c, EDGE_HOLD);
}

enum edge_step edge_hold_end(struct edge_conn *c)
{
	edge_request_forget(c);
	edge_conn_move(c, EDGE_RELAY);
	return EDGE_STEP_ON;
}

static void held_drop(struct edge_conn *c)
{
	struct edge_draw *d = c->req->draw;
	edge_pool_give(&c->edge->keeps, d->held);
	d->held = NULL;
	d->held_n = d->held_sent = 0;
}

void edge_hold_sent(struct edge_conn *c, uint32_t n)
{
	struct edge_draw *d = c->req->draw;
	d->held_sent += n;
	if (d->held_sent == d->held_n) held_drop(c);
}

void edge_hold_discard(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	struct edge_draw *d = r->draw;
	if (c->state != EDGE_HOLD) return;
	r->co_n = d->hold_at;
	r->keep_alive = d->keep_alive;
	r->status = 0;
	held_drop(c);
}

/* Room for more of the body; false: it is time to let go of what is here. */
static bool hold_room(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	struct edge_draw *d = r->draw;
	edge_flow_compact(&r->rf);
	if (r->rf.n < EDGE_BUF_SIZE) return true;
	uint32_t n = edge_flow_ready(&r->rf);
	if (n > EDGE_HOLD_SIZE - d->held_n) return false;
	if (!d->held) d->held = edge_pool_take(&c->edge->keeps);
	if (!d->held) return false;
	memcpy(d->held + d->held_n, r->rf.buf + r->rf.at, n);
	d->held_n += n;
	r->rf.at = r->rf.ready;
	edge_flow_compact(&r->rf);
	return r->rf.n < EDGE_BUF_SIZE;
}

static enum edge_step hold_failed(struct edge_conn *c, enum meter_cause cause)
{
	const struct edge_req *r = c->req;
	const struct edge_draw *d = r->draw;
	struct hg_str body = edge_flow_seen(&r->rf);
	if (d->held_n) body = (struct hg_str){d->held, d->held_n};
	edge_draw_failed(c, cause, body);
	if (edge_rescue_possible(c)) return edge_rescue(c);
	return edge_answer(c, 502, "the replica did not complete its response");
}

/* A call of gRPC that failed, as the end of its answer says: the trial knows. */
static enum edge_step hold_answered(struct edge_conn *c)
{
	return edge_rescue_possible(c) ? edge_rescue(c) : edge_hold_end(c);
}

/* 1xx responses that a slow client has not taken yet. */
static bool interim_flush(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	struct edge_piece p = edge_piece_of(r->co, r->co_sent, r->draw->hold_at);
	if (HG_UNLIKELY(c->stream)) return edge_h2_offer(c);
	if (HG_LIKELY(p.n == 0) || !(c->flags & EDGE_CAN_WRITE)) return true;
	ssize_t n = edge_send(c->io.fd, c->tls, &p, 1, &c->flags);
	if (n > 0) r->co_sent += (uint32_t)n;
	return n >= 0 || n == -EAGAIN;
}

enum edge_step edge_hold(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	struct edge_draw *d = r->draw;
	if (!interim_flush(c)) return edge_hold_end(c); /* the relay finds the client gone */
	for (;;) {
		if (!edge_flow_frame(&r->rf, &r->resp)) return hold_failed(c, METER_CAUSE_INVALID);
		if (r->resp.done && r->up->stream && !edge_u2_answered(c)) return hold_answered(c);
		if (r->resp.done) return edge_hold_end(c);
		if (d->held_n + edge_flow_ready(&r->rf) > EDGE_HOLD_SIZE) return edge_hold_end(c);
		if (r->up->flags & EDGE_EOF) {
			if (r->resp.kind != HTTP1_BODY_CLOSE || r->up->flags & EDGE_RESET) {
				return hold_failed(c, METER_CAUSE_CLOSED);
			}
			return edge_hold_end(c);
		}
		if (!(r->up->flags & EDGE_CAN_READ)) return EDGE_STEP_BLOCK;
		if (!hold_room(c)) return edge_hold_end(c);
		ssize_t n = edge_up_read(r->up, &r->rf);
		if (n == -EAGAIN) return EDGE_STEP_BLOCK;
		if (n == -ENOBUFS) return edge_hold_end(c);
	}
}
