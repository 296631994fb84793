#include <errno.h>
#include <sys/socket.h>

#include "data/edge/u2_priv.h"

/* A WebSocket of a client of HTTP/1.1 on a stream to a replica (RFC 8441). False: broken. */

static bool up_pump(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	for (;;) {
		edge_flow_frame(&c->in, &r->body);
		struct edge_piece p = edge_piece_of(c->in.buf, c->in.at, c->in.ready);
		if (p.n == 0 && c->flags & EDGE_EOF) {
			if (!c->half_up) edge_up_finish(r->up);
			c->half_up = true;
		}
		ssize_t n;
		if (p.n == 0) {
			if (c->half_up || !(c->flags & EDGE_CAN_READ)) break;
			edge_flow_compact(&c->in);
			n = edge_flow_read(c->edge, &c->in, c->io.fd, c->tls, &c->flags);
			if (n == -EAGAIN) break;
			if (n < 0) return false;
			continue;
		}
		if (!(r->up->flags & EDGE_CAN_WRITE)) return true;
		n = edge_up_send(r->up, &p, 1);
		if (n == -EAGAIN) return true;
		if (n < 0) return false;
		c->in.at += (uint32_t)n;
		c->progress = true;
	}
	edge_flow_trim(c->edge, &c->in);
	return true;
}

static bool down_pump(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	while (!c->half_down) {
		edge_flow_frame(&r->rf, &r->resp);
		struct edge_piece p = edge_piece_of(r->rf.buf, r->rf.at, r->rf.ready);
		if (p.n == 0 && r->up->flags & EDGE_EOF) {
			c->half_down = true;
			edge_conn_finish(c);
			break;
		}
		ssize_t n;
		if (p.n == 0) {
			if (!(r->up->flags & EDGE_CAN_READ)) break;
			edge_flow_compact(&r->rf);
			n = edge_up_read(r->up, &r->rf);
			if (n == -EAGAIN) break;
			if (n < 0) return false;
			continue;
		}
		if (!(c->flags & EDGE_CAN_WRITE)) return true;
		n = edge_send(c->io.fd, c->tls, &p, 1, &c->flags);
		if (n == -EAGAIN) return true;
		if (n < 0) return false;
		r->rf.at += (uint32_t)n;
		c->progress = true;
	}
	edge_flow_trim(c->edge, &r->rf);
	return true;
}

/* The head that opened it goes first. */
static bool head_flush(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	struct edge_piece p = edge_piece_of(r->co, r->co_sent, r->co_n);
	if (p.n == 0 || !(c->flags & EDGE_CAN_WRITE)) return true;
	ssize_t n = edge_send(c->io.fd, c->tls, &p, 1, &c->flags);
	if (n > 0) r->co_sent += (uint32_t)n;
	return n >= 0 || n == -EAGAIN;
}

enum edge_step edge_u2_tunnel(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	bool on = head_flush(c);
	if (on && r->co_sent < r->co_n) return EDGE_STEP_BLOCK;
	on = on && up_pump(c) && down_pump(c);
	if (on && !(c->half_up && c->half_down)) return EDGE_STEP_BLOCK;
	r->bytes_out = r->resp.total;
	return edge_request_end(c);
}
