#include <errno.h>
#include <sys/socket.h>

#include "data/edge/secure_priv.h"

/* ---- request: client → replica ---- */

/* Copies what is to be sent into the replay store, as long as all of it fits. */
static void keep_body(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	uint32_t n = edge_flow_ready(&c->in);
	if (!r->keep || r->keep_over || n == 0) return;
	if (n > EDGE_KEEP_SIZE - r->keep_n) {
		r->keep_over = true;
		return;
	}
	memcpy(r->keep + r->keep_n, c->in.buf + c->in.at, n);
	r->keep_n += n;
	c->in.at = c->in.ready;
}

static void request_sent(struct edge_conn *c, uint32_t n)
{
	struct edge_req *r = c->req;
	uint32_t k = HG_MIN(n, r->uo_n - r->uo_sent);
	r->sent_any = true;
	c->progress = true;
	r->up->sent += n;
	r->uo_sent += k;
	n -= k;
	k = HG_MIN(n, r->keep_n - r->keep_sent);
	r->keep_sent += k;
	c->in.at += n - k;
}

static enum edge_step client_gone(struct edge_conn *c)
{
	edge_request_abort(c);
	edge_conn_close(c);
	return EDGE_STEP_GONE;
}

/* A response that cannot be completed: only closing tells the client so. */
static enum edge_step cut(struct edge_conn *c)
{
	return client_gone(c);
}

/* … by the fault of the replica. */
static enum edge_step response_cut(struct edge_conn *c, enum meter_cause cause)
{
	struct edge_req *r = c->req;
	r->broken = true;
	if (HG_UNLIKELY(r->draw)) edge_draw_cut(c, cause);
	if (r->resp.kind == HTTP1_BODY_CLOSE || r->resp.dechunk) edge_conn_break(c);
	if (HG_UNLIKELY(r->up && r->up->stream)) edge_u2_cut(c);
	return cut(c);
}

static bool response_begun(const struct edge_conn *c)
{
	return c->state != EDGE_WAIT && c->state != EDGE_CONNECT && c->state != EDGE_HOLD;
}

/* A request body that breaks the rules, seen too late for an answer if one is under way. */
static enum edge_step bad_body(struct edge_conn *c, unsigned status, const char *why)
{
	c->close = true;
	if (response_begun(c)) return cut(c);
	if (status == 400) meter_add(&c->edge->count->bad_requests, 1);
	return edge_answer(c, status, why);
}

/* Who sends slowly holds no buffer meanwhile; a head that cannot be sent again is needed no more.
 */
static enum edge_step body_wait(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	if (HG_UNLIKELY(c->stream)) return EDGE_STEP_BLOCK; /* it has windows */
	edge_flow_trim(c->edge, &c->in);
	if (r->uo && r->uo_sent == r->uo_n && !edge_body_here(r)) {
		edge_pool_give(&c->edge->bufs, r->uo);
		r->uo = NULL;
		r->uo_n = r->uo_sent = 0;
	}
	return EDGE_STEP_BLOCK;
}

static ssize_t client_read(struct edge_conn *c)
{
	if (HG_UNLIKELY(c->stream)) return edge_h2_read(c);
	return edge_flow_read(c->edge, &c->in, c->io.fd, c->tls, &c->flags);
}

/* More of the body from the client; STEP_ON: there is some. */
static enum edge_step body_read(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	if (c->flags & EDGE_EOF) return client_gone(c);
	if (!(c->flags & EDGE_CAN_READ)) return body_wait(c);
	edge_flow_compact(&c->in);
	ssize_t n = client_read(c);
	if (n == -EAGAIN) return body_wait(c);
	if (n == -ENOBUFS && !response_begun(c)) return edge_answer(c, 503, "out of buffers");
	if (n <= 0) return client_gone(c);
	c->progress = true;
	r->sent_all = false;
	return EDGE_STEP_ON;
}

static enum edge_step request_pump(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	for (uint32_t moved = 0; r->up && !r->sent_all && !r->write_dead;) {
		if (!edge_flow_frame(&c->in, &r->body)) {
			return bad_body(c, 400, "the request body is not well-formed");
		}
		if (r->limits->body_max && r->body.total > r->limits->body_max) {
			return bad_body(c, 413, "the request body is too large");
		}
		keep_body(c);
		struct edge_piece out[3] = {edge_piece_of(r->uo, r->uo_sent, r->uo_n),
		        edge_piece_of(r->keep, r->keep_sent, r->keep_n),
		        edge_piece_of(c->in.buf, c->in.at, c->in.ready)};
		size_t want = out[0].n + out[1].n + out[2].n;
		if (want == 0 && r->body.done) {
			r->sent_all = true;
			r->sent_ms = edge_now_ms(c->edge);
			edge_flow_trim(c->edge, &c->in);
			if (HG_UNLIKELY(r->timed)) edge_tries_sent(c);
			break;
		}
		if (want == 0) {
			enum edge_step s = body_read(c);
			if (s != EDGE_STEP_ON) return s;
			continue;
		}
		ssize_t n = -EAGAIN;
		if (r->up->flags & EDGE_CAN_WRITE) n = edge_up_send(r->up, out, 3);
		if (n == -EAGAIN) {
			edge_up_want_write(r->up);
			break;
		}
		if (n < 0) {
			/* It may have answered before it stopped reading. */
			r->write_dead = true;
			r->sent_ms = edge_now_ms(c->edge);
			r->up->flags |= EDGE_CAN_READ;
			break;
		}
		request_sent(c, (uint32_t)n);
		moved += (uint32_t)n;
		if (moved > EDGE_TURN_BYTES) {
			loop_task_queue(c->edge->loop, &c->task);
			break;
		}
	}
	return EDGE_STEP_BLOCK;
}

/* ---- response head ---- */

static enum edge_step co_flush(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	if (HG_UNLIKELY(c->stream)) return edge_h2_offer(c) ? EDGE_STEP_BLOCK : client_gone(c);
	struct edge_piece p = edge_piece_of(r->co, r->co_sent, r->co_n);
	if (p.n == 0 || !(c->flags & EDGE_CAN_WRITE)) return EDGE_STEP_BLOCK;
	ssize_t n = edge_send(c->io.fd, c->tls, &p, 1, &c->flags);
	if (n == -EAGAIN) return EDGE_STEP_BLOCK;
	if (n < 0) return client_gone(c);
	r->co_sent += (uint32_t)n;
	return EDGE_STEP_BLOCK;
}

static bool co_make(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	if (!r->co) r->co = edge_buf_take(c->edge);
	return r->co != NULL;
}

/* 1xx go to clients that know them; 100 only to one that waits for it. */
static enum edge_step interim(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	const struct http1_head *h = &c->edge->head;
	bool pass = r->minor_1 && (h->status != 100 || (r->expect && !r->continued));
	if (++r->interim > EDGE_INTERIM_MAX) return edge_attempt_failed(c, EDGE_FAULT_BAD_HEAD);
	if (h->status == 100) r->continued = true;
	if (pass && !co_make(c)) return edge_answer(c, 503, "out of buffers");
	if (pass) {
		struct hg_out o = hg_out_over(r->co + r->co_n, EDGE_BUF_SIZE / 2 - r->co_n);
		/* One that does not fit is left out: it is advice. */
		if (edge_head_response(c, h, &o)) r->co_n += (uint32_t)o.n;
	}
	r->rf.raw += (uint32_t)h->size;
	r->rf.at = r->rf.ready = r->rf.raw;
	r->resp_seen = 0;
	c->progress = true;
	enum edge_step s = co_flush(c);
	return s == EDGE_STEP_BLOCK ? EDGE_STEP_ON : s;
}

static enum edge_step response_begin(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	const struct http1_head *h = &e->head;
	if (HG_UNLIKELY(c->stream) && !edge_h2_head_ok(c, h))
		return edge_attempt_failed(c, EDGE_FAULT_BAD_HEAD);
	if (HG_UNLIKELY(r->up->stream != NULL)) r->grpc = (uint8_t)edge_u2_grpc(r->up);
	if (HG_UNLIKELY(r->draw != NULL)) {
		if (edge_rescue_head(c)) return edge_rescue(c);
		r->draw->keep_alive = r->keep_alive;
	}
	r->status = h->status;
	r->up_keep_alive = h->keep_alive;
	r->resp = (struct edge_framing){.kind = h->body,
	        .left = h->content_length,
	        .dechunk = h->body == HTTP1_BODY_CHUNKED && (!r->minor_1 || c->stream),
	        .trailers = c->stream};
	/* A client that was told nothing to wait for may or may not send its body now. */
	bool unsure = r->expect && !r->continued && !r->body.done;
	if (r->resp.dechunk || h->body == HTTP1_BODY_CLOSE || unsure || e->draining) {
		r->keep_alive = false;
	}
	if (!co_make(c)) return edge_answer(c, 503, "out of buffers");
	uint32_t before = r->co_n;
	struct hg_out o = hg_out_over(r->co + r->co_n, EDGE_BUF_SIZE - r->co_n);
	if (!edge_head_response(c, h, &o)) return edge_attempt_failed(c, EDGE_FAULT_BAD_HEAD);
	r->co_n += (uint32_t)o.n;
	edge_ep_good(&e->eps[r->slot]);
	if (HG_UNLIKELY(r->hedge)) edge_hedge_answered(c);
	if (HG_UNLIKELY(r->guarded && r->up->stream))
		edge_u2_headed(c, h->status);
	else if (HG_UNLIKELY(r->guarded))
		edge_guard_answered(c, h->status);
	r->rf.raw += (uint32_t)h->size;
	r->rf.at = r->rf.ready = r->rf.raw;
	if (HG_UNLIKELY(r->draw != NULL)) {
		if (edge_hold_wanted(c)) {
			edge_hold_begin(c, before);
			return EDGE_STEP_ON;
		}
		edge_mirror_head(c, h);
	}
	edge_request_forget(c);
	if (h->body == HTTP1_BODY_TUNNEL) {
		if (HG_UNLIKELY(r->draw)) edge_draw_done(c);
		r->body = (struct edge_framing){.kind = HTTP1_BODY_TUNNEL};
		r->sent_all = false;
		r->keep_alive = false;
		edge_conn_move(c, EDGE_TUNNEL);
	} else {
		edge_conn_move(c, EDGE_RELAY);
	}
	return EDGE_STEP_ON;
}

static enum edge_step head_parse(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct hg_str p = {r->rf.buf + r->rf.raw, r->rf.n - r->rf.raw};
	enum http1_result res =
	        http1_response(p, r->resp_seen, &r->image->limits, r->method, r->upgrade, &e->head);
	r->resp_seen = (uint32_t)p.n;
	if (res == HTTP1_MORE) return EDGE_STEP_BLOCK;
	/* RFC 9110 section 15: codes outside 100…599 are invalid. */
	if (res == HTTP1_BAD || e->head.status > 599) {
		return edge_attempt_failed(c, EDGE_FAULT_BAD_HEAD);
	}
	if (e->head.status < 200 && e->head.status != 101) return interim(c);
	return response_begin(c);
}

static enum edge_fault fault_of(const struct edge_up *up)
{
	bool bad = HG_UNLIKELY(up->stream != NULL) && edge_u2_bad(up);
	return bad ? EDGE_FAULT_BAD_HEAD : EDGE_FAULT_CLOSED;
}

/* STEP_ON: the state changed, or another head follows. */
static enum edge_step response_head(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	enum edge_step s = co_flush(c);
	if (s != EDGE_STEP_BLOCK) return s;
	for (;;) {
		if (r->rf.n - r->rf.raw > r->resp_seen) {
			s = head_parse(c);
			if (s != EDGE_STEP_BLOCK) return s;
		}
		if (r->up->flags & EDGE_EOF) return edge_attempt_failed(c, fault_of(r->up));
		if (!(r->up->flags & EDGE_CAN_READ)) return EDGE_STEP_BLOCK;
		if (r->rf.n == EDGE_BUF_SIZE) edge_flow_compact(&r->rf);
		ssize_t n = edge_up_read(r->up, &r->rf);
		if (n == -EAGAIN) {
			edge_flow_trim(c->edge, &r->rf);
			return EDGE_STEP_BLOCK;
		}
		if (n == -ENOBUFS && !r->rf.buf) return edge_answer(c, 503, "out of buffers");
		if (n == -ENOBUFS) return edge_attempt_failed(c, EDGE_FAULT_BAD_HEAD);
		if (n < 0) return edge_attempt_failed(c, fault_of(r->up));
	}
}

/* ---- response body: replica → client ---- */

/* The replica has said everything: its connection serves the next request. */
static void response_received(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	bool clean = r->up_keep_alive && r->sent_all && r->rf.raw == r->rf.n &&
	             r->resp.kind != HTTP1_BODY_CLOSE;
	if (HG_UNLIKELY(r->rf.raw != r->rf.n) && r->up) edge_up_loose(r->up);
	if (HG_UNLIKELY(r->up && r->up->stream)) (void)edge_u2_answered(c);
	edge_attempt_release(c, clean);
}

/* STEP_ON: there is more to send, or the end was reached. */
static enum edge_step response_read(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	if (r->up->flags & EDGE_EOF) {
		/* The end of the connection is the end of the body; a reset is not. */
		if (r->resp.kind != HTTP1_BODY_CLOSE || r->up->flags & EDGE_RESET) {
			return response_cut(c, METER_CAUSE_CLOSED);
		}
		r->resp.done = true;
		return EDGE_STEP_ON;
	}
	if (!(r->up->flags & EDGE_CAN_READ)) return EDGE_STEP_BLOCK;
	edge_flow_compact(&r->rf);
	ssize_t n = edge_up_read(r->up, &r->rf);
	if (n == -EAGAIN) {
		edge_flow_trim(c->edge, &r->rf);
		return EDGE_STEP_BLOCK;
	}
	if (n == -ENOBUFS) return cut(c);
	if (HG_UNLIKELY(n < 0 && r->up->tls)) edge_secure_cut(r->up);
	if (n < 0) return response_cut(c, METER_CAUSE_CLOSED);
	c->progress = true;
	return EDGE_STEP_ON;
}

static void response_sent(struct edge_conn *c, uint32_t n)
{
	struct edge_req *r = c->req;
	uint32_t k = HG_MIN(n, r->co_n - r->co_sent);
	r->co_sent += k;
	r->rf.at += n - k;
	c->progress = true;
}

/* One piece is cheaper to send than two: the start of a small body goes behind its head. */
static void response_join(struct edge_req *r)
{
	uint32_t n = edge_flow_ready(&r->rf);
	if (r->co_sent == r->co_n || n == 0 || n > EDGE_JOIN_MAX || n > EDGE_BUF_SIZE - r->co_n) {
		return;
	}
	memcpy(r->co + r->co_n, r->rf.buf + r->rf.at, n);
	r->co_n += n;
	r->rf.at += n;
}

/* What was held goes first, in one piece with the head. */
static enum edge_step held_flush(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	while (r->draw->held) {
		struct edge_piece out[2] = {
		        edge_piece_of(r->co, r->co_sent, r->co_n), edge_hold_piece(r->draw)};
		if (!(c->flags & EDGE_CAN_WRITE)) return EDGE_STEP_BLOCK;
		ssize_t n = edge_send(c->io.fd, c->tls, out, 2, &c->flags);
		if (n == -EAGAIN) return EDGE_STEP_BLOCK;
		if (n < 0) return client_gone(c);
		uint32_t k = HG_MIN((uint32_t)n, r->co_n - r->co_sent);
		r->co_sent += k;
		c->progress = true;
		edge_hold_sent(c, (uint32_t)n - k);
	}
	return EDGE_STEP_ON;
}

/* HTTP/2 takes what it can send by itself, and asks again when that is little. */
static enum edge_step stream_pump(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	for (;;) {
		uint32_t from = r->rf.ready;
		if (!edge_flow_frame(&r->rf, &r->resp)) {
			return response_cut(c, METER_CAUSE_INVALID);
		}
		if (HG_UNLIKELY(r->draw != NULL) && r->draw->mirror) edge_mirror_body(r, from);
		if (r->resp.done && r->up) response_received(c);
		if (r->resp.done || edge_flow_ready(&r->rf)) break;
		enum edge_step s = response_read(c);
		if (s == EDGE_STEP_GONE) return s;
		if (s != EDGE_STEP_ON) break;
	}
	return edge_h2_offer(c) ? EDGE_STEP_BLOCK : client_gone(c);
}

/* A page of the image, behind the head of a local answer. */
static enum edge_step page_flush(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	while (r->page_sent < r->page.n) {
		struct edge_piece out[2] = {edge_piece_of(r->co, r->co_sent, r->co_n),
		        {r->page.p + r->page_sent, r->page.n - r->page_sent}};
		if (!(c->flags & EDGE_CAN_WRITE)) return EDGE_STEP_BLOCK;
		ssize_t n = edge_send(c->io.fd, c->tls, out, 2, &c->flags);
		if (n == -EAGAIN) return EDGE_STEP_BLOCK;
		if (n < 0) return client_gone(c);
		uint32_t k = HG_MIN((uint32_t)n, r->co_n - r->co_sent);
		r->co_sent += k;
		r->page_sent += (uint32_t)n - k;
		c->progress = true;
	}
	return EDGE_STEP_ON;
}

static enum edge_step response_pump(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	if (HG_UNLIKELY(c->stream)) return stream_pump(c);
	if (HG_UNLIKELY(r->page.n)) {
		enum edge_step s = page_flush(c);
		if (s != EDGE_STEP_ON) return s;
	}
	if (HG_UNLIKELY(r->draw != NULL)) {
		enum edge_step s = held_flush(c);
		if (s != EDGE_STEP_ON) return s;
	}
	for (uint32_t moved = 0;;) {
		uint32_t from = r->rf.ready;
		if (!edge_flow_frame(&r->rf, &r->resp)) {
			return response_cut(c, METER_CAUSE_INVALID);
		}
		if (HG_UNLIKELY(r->draw != NULL) && r->draw->mirror) edge_mirror_body(r, from);
		if (r->resp.done && r->up) response_received(c);
		response_join(r);
		struct edge_piece out[2] = {edge_piece_of(r->co, r->co_sent, r->co_n),
		        edge_piece_of(r->rf.buf, r->rf.at, r->rf.ready)};
		if (out[0].n + out[1].n == 0) {
			if (r->resp.done) {
				if (!r->local) r->bytes_out = r->resp.total;
				return edge_request_end(c);
			}
			enum edge_step s = response_read(c);
			if (s != EDGE_STEP_ON) return s;
			continue;
		}
		if (!(c->flags & EDGE_CAN_WRITE)) return EDGE_STEP_BLOCK;
		ssize_t n = edge_send(c->io.fd, c->tls, out, 2, &c->flags);
		if (n == -EAGAIN) return EDGE_STEP_BLOCK;
		if (n < 0) return client_gone(c);
		response_sent(c, (uint32_t)n);
		moved += (uint32_t)n;
		if (moved > EDGE_TURN_BYTES) {
			loop_task_queue(c->edge->loop, &c->task);
			return EDGE_STEP_BLOCK;
		}
	}
}

enum edge_step edge_exchange(struct edge_conn *c)
{
	enum edge_step s = request_pump(c);
	if (s != EDGE_STEP_BLOCK) return s;
	if (c->state == EDGE_WAIT) return response_head(c);
	return HG_UNLIKELY(c->state == EDGE_HOLD) ? edge_hold(c) : response_pump(c);
}

/* ---- tunnel ---- */

struct side {
	struct edge_flow *flow;
	struct edge_framing *framing;
	int from, to;
	struct tls *from_tls, *to_tls;
	uint32_t *from_flags, *to_flags;
	bool *half; /* the receiver was told that nothing more comes */
};

enum pump { PUMP_BLOCK, PUMP_END, PUMP_BROKEN };

static enum pump tunnel_pump(struct edge_conn *c, struct side *s)
{
	for (uint32_t moved = 0;;) {
		edge_flow_frame(s->flow, s->framing);
		struct edge_piece p = edge_piece_of(s->flow->buf, s->flow->at, s->flow->ready);
		if (p.n == 0 && *s->from_flags & EDGE_EOF) {
			if (!*s->half) {
				if (s->to_tls) tls_finish(s->to_tls);
				shutdown(s->to, SHUT_WR);
			}
			*s->half = true;
			return PUMP_END;
		}
		ssize_t n;
		if (p.n == 0) {
			if (!(*s->from_flags & EDGE_CAN_READ)) break;
			edge_flow_compact(s->flow);
			n = edge_flow_read(c->edge, s->flow, s->from, s->from_tls, s->from_flags);
			if (n == -EAGAIN) break;
			if (n < 0) return PUMP_BROKEN;
			c->progress = true; /* from here on the receiver must take it */
			continue;
		}
		if (!(*s->to_flags & EDGE_CAN_WRITE)) return PUMP_BLOCK;
		n = edge_send(s->to, s->to_tls, &p, 1, s->to_flags);
		if (n == -EAGAIN) return PUMP_BLOCK;
		if (n < 0) return PUMP_BROKEN;
		s->flow->at += (uint32_t)n;
		moved += (uint32_t)n;
		c->progress = true;
		if (moved > EDGE_TURN_BYTES) {
			loop_task_queue(c->edge->loop, &c->task);
			return PUMP_BLOCK;
		}
	}
	edge_flow_trim(c->edge, s->flow);
	return PUMP_BLOCK;
}

enum edge_step edge_tunnel(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	struct edge_up *up = r->up;
	if (HG_UNLIKELY(c->stream)) return edge_h2_tunnel(c);
	if (HG_UNLIKELY(up->stream != NULL)) return edge_u2_tunnel(c);
	struct side to_up = {&c->in, &r->body, c->io.fd, up->io.fd, c->tls, up->tls, &c->flags,
	        &up->flags, &c->half_up};
	struct side to_client = {&r->rf, &r->resp, up->io.fd, c->io.fd, up->tls, c->tls, &up->flags,
	        &c->flags, &c->half_down};
	enum edge_step s = co_flush(c);
	if (s != EDGE_STEP_BLOCK) return s;
	if (r->co_sent < r->co_n) return EDGE_STEP_BLOCK;
	enum pump a = tunnel_pump(c, &to_up), b = tunnel_pump(c, &to_client);
	if (!(up->flags & EDGE_CAN_WRITE)) edge_up_want_write(up);
	if (a != PUMP_BROKEN && b != PUMP_BROKEN && (a != PUMP_END || b != PUMP_END)) {
		return EDGE_STEP_BLOCK;
	}
	r->bytes_out = r->resp.total;
	return edge_request_end(c);
}
