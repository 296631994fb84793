#include <errno.h>

#include "data/edge/secure_priv.h"
#include "data/edge/u2_priv.h"

static void on_task(struct loop *l, struct loop_task *t);

/* ---- life ---- */

void edge_u2_wake(struct edge_u2 *h)
{
	if (!h->busy) loop_task_queue(h->edge->loop, &h->task);
}

void edge_u2_stream_ready(struct edge_u2_stream *s)
{
	if (!hg_list_empty(&s->ready)) return;
	hg_list_append(&s->session->ready, &s->ready);
	edge_u2_wake(s->session);
}

/* Who waited for it may write now. */
void edge_u2_open(struct edge_u2 *h)
{
	h->state = EDGE_U2_OPEN;
	h->ask_ms = 0;
	HG_LIST_EACH (n, &h->streams) {
		struct edge_u2_stream *s = HG_CONTAINER(n, struct edge_u2_stream, node);
		if (!s->up.connecting || (s->tunnel && !h->settled)) continue;
		s->up.flags |= EDGE_CAN_WRITE;
		edge_u2_stream_ready(s);
	}
}

static struct edge_u2 *session_new(struct edge *e, struct edge_ep *ep, int *ret_errno)
{
	struct edge_u2 *h = edge_pool_take(&e->u2_sessions);
	struct edge_up *up = h ? edge_up_open(e, ep, ret_errno) : NULL;
	if (!h) *ret_errno = ENOBUFS;
	if (!up) {
		edge_pool_give(&e->u2_sessions, h);
		return NULL;
	}
	*h = (struct edge_u2){.magic = EDGE_U2_MAGIC,
	        .edge = e,
	        .carrier = up,
	        .slot = ep->slot,
	        .most = EDGE_U2_STREAMS_BEFORE,
	        .read_ms = edge_now_ms(e),
	        .state = up->connecting ? EDGE_U2_CONNECTING : EDGE_U2_OPEN};
	hg_list_init(&h->streams);
	hg_list_init(&h->ready);
	hg_list_init(&h->node);
	loop_task_init(&h->task, on_task);
	edge_h2_guard_init(&h->guard);
	up->session = h;
	if (!edge_u2_ng_make(h)) {
		nghttp2_session_del(h->ng);
		edge_up_close(up);
		h->magic = 0;
		edge_pool_give(&e->u2_sessions, h);
		*ret_errno = ENOMEM;
		return NULL;
	}
	hg_list_append(&ep->sessions, &h->node);
	ep->session_n++;
	edge_table_watch(e);
	return h;
}

void edge_u2_leave(struct edge_u2 *h)
{
	if (h->leaving) return;
	h->leaving = true;
	hg_list_remove(&h->node);
	hg_list_append(&h->edge->u2_leaving, &h->node);
	h->edge->eps[h->slot].session_n--;
	edge_u2_wake(h);
}

void edge_u2_part(struct edge_ep *ep)
{
	for (struct hg_list *n; (n = hg_list_first(&ep->sessions));)
		edge_u2_leave(HG_CONTAINER(n, struct edge_u2, node));
}

/* The client's connection, or the copy, that waits for this stream. */
static void stream_drive(struct edge_u2_stream *s)
{
	if (s->up.conn) {
		edge_conn_drive(s->up.conn);
	} else if (s->up.mirror) {
		edge_mirror_drive(s->up.mirror);
	}
}

/* Streams that are left learn it after nothing of the session is there any more: they may be
 * asking for another one. */
static void session_end(struct edge_u2 *h)
{
	struct edge *e = h->edge;
	struct hg_list left;
	edge_u2_leave(h);
	hg_list_remove(&h->node);
	loop_task_cancel(&h->task);
	h->busy = true;
	HG_LIST_EACH (n, &h->streams) {
		struct edge_u2_stream *s = HG_CONTAINER(n, struct edge_u2_stream, node);
		if (!s->ended && !s->sent) s->refused = true;
		if (!s->gone) edge_u2_stream_lost(s, NGHTTP2_INTERNAL_ERROR);
		s->bad = s->bad || (h->over && s->sent);
		s->gone = true;
		hg_list_remove(&s->ready);
		s->session = NULL;
	}
	left = h->streams;
	if (hg_list_empty(&h->streams)) hg_list_init(&left);
	left.next->prev = left.prev->next = &left;
	nghttp2_session_del(h->ng);
	edge_up_close(h->carrier);
	edge_flow_drop(e, &h->in);
	edge_pool_give(&e->bufs, h->out);
	h->magic = 0;
	edge_pool_give(&e->u2_sessions, h);
	for (struct hg_list *n; (n = hg_list_pop(&left));)
		stream_drive(HG_CONTAINER(n, struct edge_u2_stream, node));
}

/* ---- moving bytes ---- */

static void drive_ready(struct edge_u2 *h)
{
	struct hg_list due;
	if (hg_list_empty(&h->ready)) return;
	/* Those that become ready meanwhile wait for the next round. */
	due = h->ready;
	due.next->prev = due.prev->next = &due;
	hg_list_init(&h->ready);
	for (struct hg_list *n; (n = hg_list_pop(&due));)
		stream_drive(HG_CONTAINER(n, struct edge_u2_stream, ready));
}

/* False: it could not be made. */
static bool connect_on(struct edge_u2 *h)
{
	struct edge_up *up = h->carrier;
	int r = up->tls ? 0 : edge_up_connect(up);
	if (r == 0 && HG_UNLIKELY(up->secure)) {
		enum edge_step s = edge_secure_step(up);
		r = s == EDGE_STEP_ON ? 0 : s == EDGE_STEP_BLOCK ? -EAGAIN : -EPROTO;
	}
	if (r == 0) edge_u2_open(h);
	return r == 0 || r == -EAGAIN;
}

/* False: the session is over. Read it is whatever waits to be sent: a replica that cannot get rid
 * of its answers takes no requests. */
static bool input(struct edge_u2 *h)
{
	struct edge *e = h->edge;
	struct edge_up *up = h->carrier;
	for (uint32_t moved = 0; up->flags & EDGE_CAN_READ;) {
		ssize_t n = edge_up_read(up, &h->in);
		if (n == -EAGAIN) break;
		if (n <= 0) return false;
		uint32_t got = h->in.n;
		h->in.n = 0;
		h->read_ms = edge_now_ms(e);
		h->data_seen = false;
		if (nghttp2_session_mem_recv(h->ng, (const uint8_t *)h->in.buf, got) < 0)
			return false;
		/* nghttp2 says nothing of frames whose kind it does not know, nor of bodies that
		 * nobody waits for: of these, a window full each may be on its way. */
		uint32_t owed = h->data_seen ? got : HG_MIN(got, h->owed);
		if (!h->data_seen) h->owed -= owed;
		uint32_t noise = (got - owed) / EDGE_H2_NOISE_BYTES;
		if (!edge_h2_guard_frames(&h->guard, noise, edge_now_ms(e))) edge_u2_calm(h);
		drive_ready(h);
		moved += got;
		if (h->over) break;
		if (moved <= EDGE_TURN_BYTES) continue;
		loop_task_queue(e->loop, &h->task);
		break;
	}
	edge_flow_trim(e, &h->in);
	return !(up->flags & EDGE_EOF);
}

/* Sends what is in `out`; false: the replica is gone. */
static bool out_flush(struct edge_u2 *h, bool *ret_stuck)
{
	struct edge_up *up = h->carrier;
	struct edge_piece p = edge_piece_of(h->out, h->out_at, h->out_n);
	*ret_stuck = false;
	if (p.n) {
		ssize_t n = up->flags & EDGE_CAN_WRITE ? edge_up_send(up, &p, 1) : -EAGAIN;
		if (n < 0 && n != -EAGAIN) return false;
		if (n > 0) h->stuck_ms = 0;
		h->out_at += n > 0 ? (uint32_t)n : 0;
		*ret_stuck = h->out_at < h->out_n;
	}
	if (*ret_stuck && !h->stuck_ms) h->stuck_ms = edge_now_ms(h->edge);
	if (*ret_stuck) edge_up_want_write(up);
	if (!*ret_stuck) h->out_at = h->out_n = 0;
	return true;
}

/* Frames are gathered until no stream has more for the moment or the buffer is full. False: the
 * session is over. */
static bool output(struct edge_u2 *h)
{
	struct edge *e = h->edge;
	bool stuck;
	for (uint32_t moved = 0;;) {
		if (!out_flush(h, &stuck)) return false;
		if (stuck) return true;
		if (!h->out && !nghttp2_session_want_write(h->ng)) break;
		if (!h->out) h->out = edge_buf_take(e);
		if (!h->out) {
			meter_add(&e->count->refused_full, 1);
			return false;
		}
		h->full = false;
		if (nghttp2_session_send(h->ng) < 0) return false;
		if (!h->over) drive_ready(h);
		if (h->out_n < EDGE_BUF_SIZE / 2 && !h->full && nghttp2_session_want_write(h->ng) &&
		        nghttp2_session_send(h->ng) < 0) {
			return false;
		}
		moved += h->out_n;
		if (h->out_n == 0) break;
		if (moved > EDGE_TURN_BYTES) {
			loop_task_queue(e->loop, &h->task);
			return out_flush(h, &stuck);
		}
	}
	edge_pool_give(&e->bufs, h->out);
	h->out = NULL;
	return true;
}

static void timer_arm(struct edge_u2 *h)
{
	uint64_t now = edge_now_ms(h->edge), at = UINT64_MAX;
	if (h->stream_n == 0 && h->state == EDGE_U2_OPEN) {
		if (!h->idle_ms) h->idle_ms = now;
		at = h->idle_ms + EDGE_UP_IDLE_MS;
	}
	if (h->stream_n) h->idle_ms = 0;
	if (h->ask_ms) at = HG_MIN(at, h->ask_ms + EDGE_U2_ASK_MS);
	if (h->head_ms) at = HG_MIN(at, h->head_ms + EDGE_U2_HEAD_MS);
	if (h->stuck_ms) at = HG_MIN(at, h->stuck_ms + EDGE_STALL_MS);
	if (at == UINT64_MAX) {
		edge_timer_off(&h->carrier->timer);
	} else {
		edge_timer_set(h->edge, &h->carrier->timer, at);
	}
}

/* The last word: which of its streams we know of, and that it was meant. */
static void goodbye(struct edge_u2 *h)
{
	bool stuck;
	if (h->over) return;
	if (nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0) < 0)
		return;
	h->busy = true;
	/* Best effort: what the socket does not take now is not waited for. */
	if (output(h)) (void)out_flush(h, &stuck);
	h->busy = false;
}

static void step(struct edge_u2 *h)
{
	bool on = true;
	h->busy = true;
	if (h->state == EDGE_U2_CONNECTING) on = connect_on(h);
	if (on && h->state != EDGE_U2_CONNECTING) {
		on = input(h);
		/* What made it end may have an explanation in it. */
		on = output(h) && on;
	}
	drive_ready(h);
	h->busy = false;
	/* A violation: nghttp2 has said so, and waits for nothing more. */
	if (on && !nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng) &&
	        h->out_at == h->out_n)
		h->over = true;
	bool useless = h->stream_n == 0 && (h->leaving || h->state == EDGE_U2_CONNECTING);
	if (on && useless && !h->over && h->state == EDGE_U2_OPEN) goodbye(h);
	if (!on || h->over || useless) {
		session_end(h);
		return;
	}
	if (!hg_list_empty(&h->ready) || (!h->stuck_ms && nghttp2_session_want_write(h->ng) &&
	                                         h->state != EDGE_U2_CONNECTING))
		loop_task_queue(h->edge->loop, &h->task);
	timer_arm(h);
}

static void on_task(struct loop *l, struct loop_task *t)
{
	struct edge_u2 *h =
	        HG_OBJ(HG_CONTAINER(t, struct edge_u2, task), struct edge_u2, EDGE_U2_MAGIC);
	(void)l;
	step(h);
}

void edge_u2_drive(struct edge_u2 *h)
{
	step(h);
}

void edge_u2_timeout(struct edge_u2 *h)
{
	uint64_t now = edge_now_ms(h->edge);
	bool idle = h->stream_n == 0 && h->idle_ms && now >= h->idle_ms + EDGE_UP_IDLE_MS;
	bool dead = (h->ask_ms && now >= h->ask_ms + EDGE_U2_ASK_MS) ||
	            (h->head_ms && now >= h->head_ms + EDGE_U2_HEAD_MS) ||
	            (h->stuck_ms && now >= h->stuck_ms + EDGE_STALL_MS);
	if (dead) {
		session_end(h);
	} else if (idle) {
		edge_u2_leave(h);
	} else {
		timer_arm(h);
	}
}

/* ---- a stream for a request ---- */

/* The first one with room; with none, the one with fewest. */
static struct edge_u2 *session_pick(struct edge_ep *ep, bool *ret_room)
{
	struct edge_u2 *least = NULL;
	*ret_room = false;
	HG_LIST_EACH (n, &ep->sessions) {
		struct edge_u2 *h = HG_CONTAINER(n, struct edge_u2, node);
		if (h->stream_n < h->most) {
			*ret_room = true;
			return h;
		}
		if (!least || h->stream_n < least->stream_n) least = h;
	}
	return least;
}

/* Silent for long: its replica may have gone without a word. */
static void ask(struct edge_u2 *h)
{
	uint64_t now = edge_now_ms(h->edge);
	if (h->state != EDGE_U2_OPEN || h->stream_n || now - h->read_ms < EDGE_U2_IDLE_ASK_MS)
		return;
	if (nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL) < 0) return;
	h->state = EDGE_U2_ASKED;
	h->ask_ms = now;
	edge_u2_wake(h);
}

struct edge_up *edge_u2_get(struct edge *e, struct edge_ep *ep, int *ret_errno)
{
	bool room;
	struct edge_u2 *h = session_pick(ep, &room), *fresh = NULL;
	if (!room && ep->session_n < EDGE_U2_SESSIONS) fresh = session_new(e, ep, ret_errno);
	if (fresh) h = fresh;
	if (!h) return NULL;
	ask(h);
	struct edge_u2_stream *s = edge_u2_stream_new(h, !fresh);
	if (!s) {
		*ret_errno = ENOBUFS;
		return NULL;
	}
	if (!fresh) meter_add(&e->count->upstream_reused, 1);
	return &s->up;
}

/* ---- the pools ---- */

enum hg_rc edge_u2_pools_init(struct edge *e, uint32_t streams)
{
	enum { SESSIONS = 8192 };
	uint32_t sessions = HG_MIN(streams, (uint32_t)SESSIONS);
	hg_list_init(&e->u2_leaving);
	enum hg_rc rc = edge_pool_init(&e->u2_sessions, sizeof(struct edge_u2), sessions);
	if (rc == HG_OK)
		rc = edge_pool_init(&e->u2_streams, sizeof(struct edge_u2_stream), streams);
	return rc;
}

void edge_u2_close_all(struct edge *e)
{
	for (uint32_t i = 0; i < SNAP_ENDPOINTS; i++) {
		if (e->eps[i].known) edge_u2_part(&e->eps[i]);
	}
	for (struct hg_list *n; (n = hg_list_first(&e->u2_leaving));)
		session_end(HG_CONTAINER(n, struct edge_u2, node));
}

void edge_u2_fini(struct edge *e)
{
	edge_pool_fini(&e->u2_sessions);
	edge_pool_fini(&e->u2_streams);
	nghttp2_session_callbacks_del(e->u2_callbacks);
	nghttp2_option_del(e->u2_option);
	e->u2_callbacks = NULL;
	e->u2_option = NULL;
}
