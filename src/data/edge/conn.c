#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "data/edge/hello_priv.h"
#include "data/edge/mtls_priv.h"
#include "data/edge/secure_priv.h"
#include "data/edge/together_priv.h"

#define BIT(s) (1u << (s))

static const uint16_t allowed[EDGE_STATES] = {
        [EDGE_FREE] = BIT(EDGE_IDLE) | BIT(EDGE_HELLO) | BIT(EDGE_HEAD) | BIT(EDGE_PROXY),
        [EDGE_PROXY] = BIT(EDGE_HELLO) | BIT(EDGE_IDLE) | BIT(EDGE_FREE),
        [EDGE_HELLO] = BIT(EDGE_IDLE) | BIT(EDGE_FREE) | BIT(EDGE_QUIET),
        [EDGE_IDLE] = BIT(EDGE_HEAD) | BIT(EDGE_FREE) | BIT(EDGE_LINGER) | BIT(EDGE_QUIET),
        [EDGE_ASK] = BIT(EDGE_QUEUE) | BIT(EDGE_CONNECT) | BIT(EDGE_WAIT) | BIT(EDGE_RELAY) |
                     BIT(EDGE_FREE),
        [EDGE_QUEUE] = BIT(EDGE_CONNECT) | BIT(EDGE_WAIT) | BIT(EDGE_RELAY) | BIT(EDGE_FREE),
        [EDGE_HEAD] = BIT(EDGE_ASK) | BIT(EDGE_QUEUE) | BIT(EDGE_CONNECT) | BIT(EDGE_WAIT) |
                      BIT(EDGE_RELAY) | BIT(EDGE_FREE),
        [EDGE_CONNECT] = BIT(EDGE_QUEUE) | BIT(EDGE_CONNECT) | BIT(EDGE_WAIT) | BIT(EDGE_RELAY) |
                         BIT(EDGE_FREE),
        [EDGE_WAIT] = BIT(EDGE_QUEUE) | BIT(EDGE_CONNECT) | BIT(EDGE_WAIT) | BIT(EDGE_RELAY) |
                      BIT(EDGE_TUNNEL) | BIT(EDGE_HOLD) | BIT(EDGE_FREE),
        [EDGE_HOLD] = BIT(EDGE_QUEUE) | BIT(EDGE_CONNECT) | BIT(EDGE_WAIT) | BIT(EDGE_RELAY) |
                      BIT(EDGE_FREE),
        [EDGE_RELAY] = BIT(EDGE_IDLE) | BIT(EDGE_LINGER) | BIT(EDGE_FREE),
        [EDGE_TUNNEL] = BIT(EDGE_LINGER) | BIT(EDGE_FREE),
        [EDGE_LINGER] = BIT(EDGE_FREE),
        [EDGE_QUIET] = BIT(EDGE_SESSION) | BIT(EDGE_LINGER) | BIT(EDGE_FREE),
        [EDGE_SESSION] = BIT(EDGE_QUIET) | BIT(EDGE_LINGER) | BIT(EDGE_FREE),
};

void edge_conn_move(struct edge_conn *c, enum edge_state to)
{
	HG_ASSERT(allowed[c->state] & BIT(to));
	hg_list_remove(&c->node);
	if (to != EDGE_FREE) hg_list_append(&c->edge->by_state[to], &c->node);
	if (to <= EDGE_IDLE || to == EDGE_QUIET) c->idle_ms = edge_now_ms(c->edge);
	c->state = (uint8_t)to;
	c->progress = true;
}

/* TLS may have to write in order to read, and the other way round: it tries both. */
static void secure_event(struct edge_conn *c, uint32_t events)
{
	c->flags |= EDGE_CAN_READ | EDGE_CAN_WRITE;
	if (!c->tls) return;
	tls_ready(c->tls, events & ~(uint32_t)EPOLLOUT, events & EPOLLOUT);
	if (c->flags & (EDGE_HUP | EDGE_DEAD)) tls_hung_up(c->tls);
}

static void on_client(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct edge_conn *c =
	        HG_OBJ(HG_CONTAINER(io, struct edge_conn, io), struct edge_conn, EDGE_CONN_MAGIC);
	(void)l;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) c->flags |= EDGE_CAN_READ;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) c->flags |= EDGE_HUP;
	if (events & (EPOLLHUP | EPOLLERR)) c->flags |= EDGE_DEAD;
	if (events & EPOLLOUT) c->flags |= EDGE_CAN_WRITE;
	if (HG_UNLIKELY(c->secure)) secure_event(c, events);
	edge_conn_drive(c);
}

static void on_task(struct loop *l, struct loop_task *t)
{
	(void)l;
	edge_conn_drive(
	        HG_OBJ(HG_CONTAINER(t, struct edge_conn, task), struct edge_conn, EDGE_CONN_MAGIC));
}

struct edge_conn *edge_conn_new(
        struct edge *e, int fd, bool secure, const struct sock_addr *peer, uint32_t place)
{
	struct edge_conn *c = edge_pool_take(&e->conns);
	const struct snap_image *im = e->image ? e->image->snap : NULL;
	if (!c) return NULL;
	*c = (struct edge_conn){.magic = EDGE_CONN_MAGIC, .edge = e, .secure = secure};
	hg_list_init(&c->node);
	hg_list_init(&c->own);
	hg_list_init(&c->timer.node);
	loop_task_init(&c->task, on_task);
	edge_client_peer(c, peer);
	c->client_port = sock_addr_port(peer);
	c->peer_place = place;
	c->flags = EDGE_CAN_WRITE;
	uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
	if (loop_io_start(e->loop, &c->io, fd, events, on_client) < 0) {
		edge_pool_give(&e->conns, c);
		return NULL;
	}
	e->conn_n++;
	meter_gauge_add(&e->count->connections, 1);
	bool told = HG_UNLIKELY(im && im->proxy_in) && edge_proxy_trusts(im, peer);
	edge_conn_move(c, told ? EDGE_PROXY : secure ? EDGE_HELLO : EDGE_IDLE);
	edge_conn_drive(c);
	return c;
}

void edge_conn_stream_init(struct edge_conn *c, struct edge_conn *carrier)
{
	*c = (struct edge_conn){.magic = EDGE_CONN_MAGIC,
	        .edge = carrier->edge,
	        .secure = carrier->secure,
	        .stream = true,
	        .h2 = carrier->h2,
	        .peer_place = PEERS_NONE, /* the carrier is counted */
	        .https = carrier->secure,
	        .addr = carrier->addr,
	        .client_n = carrier->client_n,
	        .io.fd = -1};
	hg_list_init(&c->node);
	hg_list_init(&c->own);
	hg_list_init(&c->timer.node);
	loop_task_init(&c->task, on_task);
	memcpy(c->client, carrier->client, carrier->client_n);
	memcpy(c->peer, carrier->peer, sizeof c->peer);
	edge_conn_move(c, EDGE_HEAD);
}

void edge_conn_close(struct edge_conn *c)
{
	struct edge *e = c->edge;
	int fd = c->io.fd;
	HG_ASSERT(!c->req);
	if (HG_UNLIKELY(!hg_list_empty(&c->own))) edge_proxy_forget(c);
	edge_conn_move(c, EDGE_FREE);
	edge_flow_drop(e, &c->in);
	edge_timer_off(&c->timer);
	if (HG_UNLIKELY(c->h2 && !c->stream)) edge_h2_free(c);
	loop_task_cancel(&c->task);
	if (HG_UNLIKELY(c->stream)) {
		c->magic = 0;
		edge_h2_stream_free(c);
		return;
	}
	loop_io_stop(e->loop, &c->io);
	if (HG_UNLIKELY(c->tls)) {
		tls_free(c->tls);
		e->heap_left++;
	}
	close(fd);
	if (HG_UNLIKELY(c->peer_place != PEERS_NONE))
		peers_leave(&e->rates->peers, c->peer_place, e->worker);
	c->magic = 0;
	edge_pool_give(&e->conns, c);
	e->conn_n--;
	meter_gauge_add(&e->count->connections, -1);
	meter_add(&e->count->closed, 1);
	edge_table_watch(e);
	edge_check_drained(e);
}

static enum edge_step conn_gone(struct edge_conn *c)
{
	edge_conn_close(c);
	return EDGE_STEP_GONE;
}

void edge_conn_finish(struct edge_conn *c)
{
	if (HG_UNLIKELY(c->tls)) tls_finish(c->tls);
	shutdown(c->io.fd, SHUT_WR);
}

void edge_conn_break(struct edge_conn *c)
{
	const struct linger now = {.l_onoff = 1};
	if (c->stream) return; /* its end says that it is none */
	if (c->tls) tls_drop(c->tls);
	/* When it fails, the end comes as it would have. */
	(void)setsockopt(c->io.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void edge_conn_refuse(struct edge_conn *c)
{
	if (HG_UNLIKELY(c->stream)) {
		edge_h2_stream_refuse(c);
		return;
	}
	if (!c->secure) edge_refuse(c->io.fd);
	edge_conn_close(c);
}

/* No memory for even one buffer: say so and go. */
static enum edge_step no_buffer(struct edge_conn *c)
{
	meter_add(&c->edge->count->refused_full, 1);
	edge_conn_refuse(c);
	return EDGE_STEP_GONE;
}

/* HTTP/2 without TLS, by prior knowledge (RFC 9113 section 3.3), where that is allowed: the first
 * bytes of a connection. `ret_more`: it may become one. */
static bool is_preface(const struct edge_conn *c, struct hg_str p, bool *ret_more)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	const struct edge *e = c->edge;
	if (c->served || c->secure || c->stream || !e->image) return false;
	if (!(e->image->snap->h2_flags & SNAP_H2_CLEAR) || !edge_h2_allowed(e)) return false;
	if (memcmp(p.p, preface, HG_MIN(p.n, sizeof preface - 1)) != 0) return false;
	/* "POST" and "PUT" have differed by now; "PRI" is no method that anybody uses. */
	*ret_more = p.n < 4;
	return true;
}

static enum edge_step head_look(struct edge_conn *c, bool *ret_more)
{
	struct edge *e = c->edge;
	struct hg_str p = {c->in.buf + c->in.raw, c->in.n - c->in.raw};
	struct http1_limits defaults = {EDGE_BUF_SIZE - EDGE_HEAD_SPARE, 8192, HTTP1_FIELDS_MAX};
	const struct http1_limits *limits = e->image ? &e->image->limits : &defaults;
	*ret_more = false;
	if (HG_UNLIKELY(*p.p == 'P') && c->state == EDGE_IDLE && is_preface(c, p, ret_more))
		return *ret_more ? EDGE_STEP_BLOCK : edge_h2_begin(c);
	if (c->state == EDGE_IDLE) {
		edge_conn_move(c, EDGE_HEAD);
		c->head_ms = edge_now_ms(e);
	}
	enum http1_result res = http1_request(p, c->head_seen, limits, &e->head);
	c->head_seen = (uint32_t)p.n;
	*ret_more = res == HTTP1_MORE;
	if (res == HTTP1_MORE) return EDGE_STEP_BLOCK;
	if (res == HTTP1_BAD) {
		meter_add(&e->count->bad_requests, 1);
		return edge_answer(c, e->head.status, e->head.bad);
	}
	return edge_request_begin(c);
}

static enum edge_step head_step(struct edge_conn *c)
{
	struct edge *e = c->edge;
	for (;;) {
		bool more = true;
		if (c->in.n - c->in.raw > c->head_seen) {
			enum edge_step s = head_look(c, &more);
			if (!more) return s;
		}
		if (c->in.n == EDGE_BUF_SIZE) edge_flow_compact(&c->in);
		if (c->in.n == EDGE_BUF_SIZE) return edge_answer(c, 431, "request head too large");
		if (c->flags & EDGE_EOF) return conn_gone(c);
		if (!(c->flags & EDGE_CAN_READ)) break;
		ssize_t n = edge_flow_read(e, &c->in, c->io.fd, c->tls, &c->flags);
		if (n == -EAGAIN) break;
		if (n == -ENOBUFS) return no_buffer(c);
		if (n <= 0) return conn_gone(c);
	}
	if (e->draining && c->state == EDGE_IDLE) return conn_gone(c);
	edge_flow_trim(e, &c->in);
	return EDGE_STEP_BLOCK;
}

static enum edge_step connect_step(struct edge_conn *c)
{
	struct edge_up *up = c->req->up;
	if (HG_UNLIKELY(up->stream != NULL)) return edge_u2_connect_step(c);
	if (HG_UNLIKELY(up->tls)) return edge_secure_connect(c);
	int r = edge_up_connect(up);
	if (r == -EAGAIN) return EDGE_STEP_BLOCK;
	if (r < 0) return edge_attempt_failed(c, EDGE_FAULT_CONNECT);
	if (HG_UNLIKELY(up->proxy) && !edge_proxy_say(c, up))
		return edge_attempt_failed(c, EDGE_FAULT_CONNECT);
	if (HG_UNLIKELY(up->secure)) return edge_secure_connect(c);
	edge_conn_move(c, EDGE_WAIT);
	return EDGE_STEP_ON;
}

/* The answer is out, the client still speaks: closing now would reset the connection and could
 * take the answer with it (RFC 9112 section 9.6). */
static enum edge_step linger_step(struct edge_conn *c)
{
	struct edge *e = c->edge;
	while (c->flags & EDGE_CAN_READ && c->lingered < EDGE_LINGER_BYTES) {
		c->in.at = c->in.ready = c->in.raw = c->in.n = 0;
		ssize_t n = edge_flow_read(e, &c->in, c->io.fd, c->tls, &c->flags);
		if (n == -EAGAIN) break;
		if (n <= 0) return conn_gone(c);
		c->lingered += (uint32_t)n;
	}
	edge_flow_drop(e, &c->in);
	if (c->lingered >= EDGE_LINGER_BYTES || c->flags & EDGE_EOF) return conn_gone(c);
	return EDGE_STEP_BLOCK;
}

static uint64_t or_default(uint32_t configured_ms, uint32_t default_ms)
{
	return configured_ms ? configured_ms : default_ms;
}

/* Whom we wait for must move something in `span`, and at least `rate` of bytes a second: who sends
 * a byte now and then holds buffers and a replica as well as who sends none. */
static uint64_t pace_deadline(
        struct edge_pace *p, uint64_t moved, uint32_t span_ms, uint32_t rate, uint64_t now)
{
	uint64_t need = HG_MAX((uint64_t)span_ms * rate / 1000, 1u);
	if (p->since_ms == 0 || moved - p->mark >= need)
		*p = (struct edge_pace){.since_ms = now, .mark = moved};
	return p->since_ms + span_ms;
}

static uint64_t wait_deadline(struct edge_conn *c, uint64_t now)
{
	struct edge_req *r = c->req;
	const struct snap_image *im = r->image->snap;
	uint64_t response = or_default(r->limits->response_ms, 60000);
	bool sent = r->sent_all || r->write_dead;
	if (HG_UNLIKELY(r->timed) && sent) return edge_deadline_answer_by(c);
	/* Half of it, where there is somebody else to ask. */
	bool protected = HG_UNLIKELY(r->draw) && edge_rescue_protects(r);
	if (protected) response /= 2;
	if (sent) {
		if (!protected && edge_attempt_hasty(c)) return r->sent_ms + response / 2;
		/* All attempts together get twice the time of one. */
		return HG_MIN(r->sent_ms + response, r->first_attempt_ms + 2 * response);
	}
	/* A call of gRPC may be silent for long: its messages come when they come. */
	bool call = HG_UNLIKELY(r->up->stream != NULL) && edge_u2_of_grpc(r->up);
	if (!(r->up->flags & EDGE_CAN_WRITE) || call) {
		r->pace.since_ms = 0;
		return now + or_default(r->limits->idle_ms, 60000);
	}
	return pace_deadline(&r->pace, r->body.total, (uint32_t)or_default(im->body_idle_ms, 30000),
	        im->min_rate, now);
}

static uint64_t relay_deadline(struct edge_conn *c, uint64_t now)
{
	struct edge_req *r = c->req;
	const struct snap_image *im = r->image ? r->image->snap : NULL;
	bool held = HG_UNLIKELY(r->draw != NULL) && r->draw->held;
	bool page = r->page_sent < r->page.n;
	if (r->co_sent < r->co_n || edge_flow_ready(&r->rf) || held || page || !r->limits) {
		uint64_t sent = r->co_sent + r->page_sent + r->resp.total - edge_flow_ready(&r->rf);
		if (held) sent += r->draw->held_sent;
		return pace_deadline(&r->pace, sent,
		        (uint32_t)or_default(im ? im->body_idle_ms : 0, EDGE_STALL_MS),
		        im ? im->min_rate : 0, now);
	}
	r->pace.since_ms = 0;
	/* A conversation over gRPC is silent as long as a WebSocket may be. */
	if (HG_UNLIKELY(r->up && r->up->stream) && edge_u2_of_grpc(r->up))
		return now + EDGE_TUNNEL_IDLE_MS;
	return now + or_default(r->limits->idle_ms, 60000);
}

/* Silence is allowed for long; to keep bytes here that the other side does not take is not: they
 * hold a buffer, and there are not many of those. */
static uint64_t tunnel_deadline(struct edge_conn *c, uint64_t now)
{
	struct edge_req *r = c->req;
	const struct snap_image *im = r->image->snap;
	if (r->co_sent < r->co_n || edge_flow_ready(&r->rf)) {
		uint64_t sent = r->co_sent + r->resp.total - edge_flow_ready(&r->rf);
		return pace_deadline(&r->pace, sent,
		        (uint32_t)or_default(im->body_idle_ms, EDGE_STALL_MS), im->min_rate, now);
	}
	r->pace.since_ms = 0;
	if (edge_flow_ready(&c->in)) return now + or_default(r->limits->idle_ms, 60000);
	return now + EDGE_TUNNEL_IDLE_MS;
}

static uint64_t timed(const struct edge_conn *c, uint64_t until_ms)
{
	return HG_UNLIKELY(c->req->timed) ? edge_deadline_limit(c, until_ms) : until_ms;
}

static uint64_t deadline_of(struct edge_conn *c)
{
	struct edge *e = c->edge;
	const struct snap_image *im = e->image ? e->image->snap : NULL;
	uint64_t now = edge_now_ms(e);
	uint64_t header = or_default(im ? im->header_ms : 0, 10000);
	uint64_t keepalive = or_default(im ? im->keepalive_ms : 0, 60000);
	switch ((enum edge_state)c->state) {
	case EDGE_PROXY:
	case EDGE_HELLO: return now + header;
	case EDGE_IDLE: return now + (c->served ? keepalive : header);
	case EDGE_HEAD: return c->head_ms + header;
	case EDGE_ASK: return now + EDGE_ASK_MS;
	case EDGE_QUEUE: return timed(c, c->req->queue_until_ms);
	case EDGE_CONNECT: return timed(c, now + or_default(c->req->limits->connect_ms, 1000));
	case EDGE_WAIT: return timed(c, wait_deadline(c, now));
	case EDGE_HOLD: return c->req->draw->hold_until_ms;
	case EDGE_RELAY: return relay_deadline(c, now);
	case EDGE_TUNNEL: return tunnel_deadline(c, now);
	case EDGE_LINGER: return now + EDGE_LINGER_MS;
	case EDGE_QUIET:
	case EDGE_SESSION: return edge_h2_deadline(c, header, keepalive);
	case EDGE_FREE:
	case EDGE_STATES: break;
	}
	HG_ASSERT(!"a deadline of no state");
	return 0;
}

static void conn_arm(struct edge_conn *c)
{
	if (!c->progress) return;
	c->progress = false;
	edge_timer_set(c->edge, &c->timer, deadline_of(c));
}

static enum edge_step conn_step(struct edge_conn *c)
{
	switch ((enum edge_state)c->state) {
	case EDGE_PROXY: return edge_proxy_step(c);
	case EDGE_HELLO: return edge_hello_step(c);
	case EDGE_IDLE:
	case EDGE_HEAD: return head_step(c);
	case EDGE_ASK: return edge_together_step(c);
	case EDGE_QUEUE: return edge_queue_step(c);
	case EDGE_CONNECT: return connect_step(c);
	case EDGE_WAIT:
	case EDGE_HOLD:
	case EDGE_RELAY: return edge_exchange(c);
	case EDGE_TUNNEL: return edge_tunnel(c);
	case EDGE_LINGER: return linger_step(c);
	case EDGE_QUIET:
	case EDGE_SESSION: return edge_h2_step(c);
	case EDGE_FREE:
	case EDGE_STATES: break;
	}
	HG_ASSERT(!"a step of no state");
	return EDGE_STEP_GONE;
}

void edge_conn_drive(struct edge_conn *c)
{
	enum edge_step s;
	c->edge->driven = c;
	/* A tunnel may be shut both ways with bytes still to be read. */
	if (c->flags & EDGE_DEAD && c->state != EDGE_TUNNEL) {
		if (c->req) edge_request_abort(c);
		edge_conn_close(c);
		return;
	}
	do {
		s = conn_step(c);
	} while (s == EDGE_STEP_ON);
	if (s == EDGE_STEP_BLOCK) conn_arm(c);
}

/* Half of the first attempt's time is over: when it can no longer be repeated it gets the rest. */
static bool wait_on(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	if (c->state != EDGE_WAIT || !r->sent_all || r->patient) return false;
	if (HG_UNLIKELY(r->timed)) {
		if (edge_deadline_gives_up(c)) return false;
	} else {
		if (edge_attempt_hasty(c) && edge_budget_has(r->app)) return false;
		r->patient = true;
	}
	uint64_t until = deadline_of(c);
	if (until <= edge_now_ms(c->edge)) return false;
	edge_timer_set(c->edge, &c->timer, until);
	return true;
}

static enum edge_step wait_timeout(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	bool from_client = !r->sent_all && !r->write_dead && r->up->flags & EDGE_CAN_WRITE;
	if (from_client && r->timed && edge_deadline_over(c)) return edge_deadline_answer(c);
	if (from_client) return edge_answer(c, 408, "the request body did not arrive in time");
	return edge_attempt_failed(c, EDGE_FAULT_RESPONSE_TIMEOUT);
}

/* Who kept the other waiting in the middle of a response: the replica, or a slow client? */
static void relay_timeout(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	bool held = r->draw && r->draw->held;
	bool taken = r->co_sent == r->co_n && edge_flow_ready(&r->rf) == 0 && !held;
	r->broken = r->up && taken;
	if (r->broken && r->draw) edge_draw_cut(c, METER_CAUSE_TIMEOUT);
}

void edge_conn_timeout(struct edge_conn *c)
{
	enum edge_step s = EDGE_STEP_GONE;
	c->edge->driven = c;
	if (wait_on(c)) return;
	if (c->state != EDGE_IDLE && c->state != EDGE_LINGER && c->state != EDGE_HOLD &&
	        c->state != EDGE_QUIET) {
		meter_add(&c->edge->count->timeouts, 1);
	}
	switch ((enum edge_state)c->state) {
	case EDGE_HEAD: s = edge_answer(c, 408, "the request head did not arrive in time"); break;
	case EDGE_ASK: s = edge_together_timeout(c); break;
	case EDGE_QUEUE: s = edge_queue_timeout(c); break;
	case EDGE_CONNECT: s = edge_attempt_failed(c, EDGE_FAULT_CONNECT_TIMEOUT); break;
	case EDGE_WAIT: s = wait_timeout(c); break;
	case EDGE_HOLD: s = edge_hold_end(c); break;
	case EDGE_QUIET:
	case EDGE_SESSION: s = edge_h2_timeout(c); break;
	default:
		if (c->state == EDGE_RELAY) relay_timeout(c);
		if (c->state == EDGE_HELLO && c->tls) edge_hello_failed(c, TLS_FAILED_TIMEOUT);
		if (c->req) edge_request_abort(c);
		edge_conn_close(c);
	}
	if (s != EDGE_STEP_GONE) edge_conn_drive(c);
}
