#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "data/edge/h2_priv.h"

/* ---- life ---- */

struct edge_h2_stream *edge_h2_stream_new(struct edge_h2 *h, int32_t id)
{
	struct edge *e = h->conn->edge;
	struct edge_h2_stream *s = edge_pool_take(&e->streams);
	char *buf = s ? edge_pool_take(&e->bufs) : NULL;
	if (!buf) {
		edge_pool_give(&e->streams, s);
		meter_add(&e->count->refused_full, 1);
		/* Fails for want of memory: then it stays without an answer, and times out there.
		 */
		(void)nghttp2_submit_rst_stream(
		        h->ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
		return NULL;
	}
	*s = (struct edge_h2_stream){.id = id};
	edge_conn_stream_init(&s->conn, h->conn);
	s->conn.in.buf = buf;
	hg_list_init(&s->ready);
	hg_list_init(&s->node);
	hg_list_append(&h->streams, &s->node);
	h->stream_n++;
	meter_add(&e->count->h2_streams, 1);
	if (nghttp2_session_set_stream_user_data(h->ng, id, s) < 0) {
		s->gone = true;
		edge_conn_close(&s->conn);
		return NULL;
	}
	return s;
}

void edge_h2_stream_ready(struct edge_h2_stream *s)
{
	if (hg_list_empty(&s->ready)) hg_list_append(&s->conn.h2->ready, &s->ready);
}

static uint32_t reset_code(const struct edge_h2_stream *s)
{
	if (s->done) return NGHTTP2_NO_ERROR; /* the rest of the body is not wanted */
	if (s->malformed) return NGHTTP2_PROTOCOL_ERROR;
	if (s->code) return s->code;
	return s->refused ? NGHTTP2_REFUSED_STREAM : NGHTTP2_INTERNAL_ERROR;
}

static void rx_drop(struct edge_h2_stream *s)
{
	for (size_t i = 0; i < EDGE_H2_RX_BUFS; i++) {
		edge_pool_give(&s->conn.edge->bufs, s->rx[i]);
		s->rx[i] = NULL;
	}
}

void edge_h2_stream_free(struct edge_conn *c)
{
	struct edge_h2_stream *s = edge_h2_stream_of(c);
	struct edge_h2 *h = c->h2;
	bool whole = s->done && s->rx_end;
	if (!s->gone) nghttp2_session_set_stream_user_data(h->ng, s->id, NULL);
	if (!s->gone && !whole) {
		/* Without memory for it the client waits until the session ends. */
		(void)nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id, reset_code(s));
	}
	if (s->rx_n) (void)nghttp2_session_consume_connection(h->ng, s->rx_n);
	rx_drop(s);
	hg_list_remove(&s->ready);
	hg_list_remove(&s->node);
	h->stream_n--;
	edge_h2_wake(h);
	edge_pool_give(&c->edge->streams, s);
}

void edge_h2_stream_refuse(struct edge_conn *c)
{
	edge_h2_stream_of(c)->refused = true;
	edge_conn_close(c);
}

static void stream_begin(struct edge_h2_stream *s)
{
	struct edge_conn *c = &s->conn;
	s->begun = true;
	if (s->too_large) {
		if (edge_answer(c, 431, "request head too large") == EDGE_STEP_ON)
			edge_conn_drive(c);
		return;
	}
	if (s->malformed || !edge_h2_head_end(s)) {
		s->malformed = true;
		edge_conn_close(c);
		return;
	}
	c->head_ms = edge_now_ms(c->edge);
	if (s->other_protocol &&
	        edge_answer(c, 501, "a protocol other than websocket") != EDGE_STEP_ON) {
		return;
	}
	edge_conn_drive(c);
}

void edge_h2_stream_drive(struct edge_h2_stream *s)
{
	if (s->malformed && s->begun) {
		/* Trailers with bytes that no field may have. */
		if (s->conn.req) edge_request_abort(&s->conn);
		edge_conn_close(&s->conn);
	} else if (s->begun) {
		edge_conn_drive(&s->conn);
	} else if (s->complete) {
		stream_begin(s);
	}
}

void edge_h2_stream_done(struct edge_h2_stream *s)
{
	struct edge_conn *c = &s->conn;
	struct edge_req *r = c->req;
	s->done = true;
	c->h2->conn->served++;
	edge_h2_guard_answered(&c->h2->guard);
	edge_h2_guard_moved(&c->h2->guard);
	if (!r->local) r->bytes_out = r->resp.total;
	edge_request_close(c);
	edge_conn_close(c);
}

/* ---- the request's body ---- */

static bool ring_add(struct edge_h2_stream *s, const char *p, size_t n)
{
	while (n) {
		uint32_t at = s->rx_at + s->rx_n + s->trailer_n, i = at / EDGE_BUF_SIZE;
		if (i == EDGE_H2_RX_BUFS) return false;
		if (!s->rx[i]) s->rx[i] = edge_pool_take(&s->conn.edge->bufs);
		if (!s->rx[i]) return false;
		at %= EDGE_BUF_SIZE;
		uint32_t k = (uint32_t)HG_MIN(n, (size_t)(EDGE_BUF_SIZE - at));
		memcpy(s->rx[i] + at, p, k);
		/* Trailers come last; whose bytes they are is corrected by who adds them. */
		s->rx_n += k;
		p += k;
		n -= k;
	}
	return true;
}

bool edge_h2_rx_add(struct edge_h2_stream *s, const uint8_t *p, size_t n)
{
	return ring_add(s, (const char *)p, n);
}

bool edge_h2_rx_trailer(struct edge_h2_stream *s, struct hg_str text)
{
	uint32_t before = s->rx_n;
	bool ok = ring_add(s, text.p, text.n);
	s->trailer_n += s->rx_n - before;
	s->rx_n = before;
	return ok;
}

static void ring_take(struct edge_h2_stream *s, char *to, uint32_t n)
{
	while (n) {
		uint32_t k = HG_MIN(n, EDGE_BUF_SIZE - s->rx_at);
		memcpy(to, s->rx[0] + s->rx_at, k);
		to += k;
		n -= k;
		s->rx_at += k;
		if (s->rx_at < EDGE_BUF_SIZE) continue;
		edge_pool_give(&s->conn.edge->bufs, s->rx[0]);
		memmove(s->rx, s->rx + 1, sizeof s->rx - sizeof s->rx[0]);
		s->rx[EDGE_H2_RX_BUFS - 1] = NULL;
		s->rx_at = 0;
	}
}

static void rx_take(struct edge_h2_stream *s, char *to, uint32_t n)
{
	struct edge_h2 *h = s->conn.h2;
	ring_take(s, to, n);
	s->rx_n -= n;
	/* The window is given back as the replica takes the bytes: what is kept here is bounded. */
	if (s->gone) return;
	(void)nghttp2_session_consume(h->ng, s->id, n);
	edge_h2_wake(h);
	if (s->rx_n + s->trailer_n == 0) {
		rx_drop(s);
		s->rx_at = 0;
	}
}

/* Without a length the body is chunked on its way to the replica. */
static uint32_t chunk_write(struct edge_h2_stream *s, char *to, uint32_t room)
{
	enum { FRAMING = 16 };
	uint32_t k = HG_MIN(s->rx_n, room - FRAMING), n;
	if (k == 0) return 0;
	n = (uint32_t)snprintf(to, FRAMING, "%x\r\n", k);
	rx_take(s, to + n, k);
	memcpy(to + n + k, "\r\n", 2);
	return n + k + 2;
}

static uint32_t chunk_last(struct edge_h2_stream *s, char *to)
{
	uint32_t n = s->trailer_n;
	s->rx_end_said = true;
	memcpy(to, "0\r\n", 3);
	ring_take(s, to + 3, n);
	s->trailer_n = 0;
	memcpy(to + 3 + n, "\r\n", 2);
	return n + 5;
}

ssize_t edge_h2_read(struct edge_conn *c)
{
	struct edge_h2_stream *s = edge_h2_stream_of(c);
	struct edge_flow *f = &c->in;
	bool chunked = c->req && c->req->body.kind == HTTP1_BODY_CHUNKED;
	if (s->starved) return -ENOBUFS;
	if (s->rx_n == 0 && (!s->rx_end || !chunked || s->rx_end_said)) {
		c->flags &= ~EDGE_CAN_READ;
		if (!s->rx_end) return -EAGAIN;
		c->flags |= EDGE_EOF;
		return 0;
	}
	if (!f->buf) {
		*f = (struct edge_flow){.buf = edge_pool_take(&c->edge->bufs)};
		if (!f->buf) return -ENOBUFS;
	}
	uint32_t before = f->n, room = EDGE_BUF_SIZE - f->n;
	if (room < EDGE_BUF_SIZE / 2) return -ENOBUFS;
	if (!chunked) {
		uint32_t k = HG_MIN(s->rx_n, room);
		rx_take(s, f->buf + f->n, k);
		f->n += k;
	} else {
		f->n += chunk_write(s, f->buf + f->n, room - EDGE_H2_TRAILERS_MAX - 16);
		if (s->rx_n == 0 && s->rx_end) f->n += chunk_last(s, f->buf + f->n);
	}
	return (ssize_t)(f->n - before);
}

/* ---- the response ---- */

/* In the order in which they are sent: what is behind the head in co, a page of the image, what was
 * held, the rest. */
static int tx_pieces(const struct edge_conn *c, struct edge_piece out[4])
{
	const struct edge_req *r = c->req;
	int n = 0;
	out[n++] = edge_piece_of(r->co, r->co_sent, r->co_n);
	if (HG_UNLIKELY(r->page_sent < r->page.n))
		out[n++] = (struct edge_piece){r->page.p + r->page_sent, r->page.n - r->page_sent};
	if (HG_UNLIKELY(r->draw && r->draw->held)) out[n++] = edge_hold_piece(r->draw);
	out[n++] = edge_piece_of(r->rf.buf, r->rf.at, r->rf.ready);
	return n;
}

uint32_t edge_h2_tx_ready(const struct edge_conn *c, bool *ret_end)
{
	const struct edge_req *r = c->req;
	struct edge_piece p[4];
	size_t sum = 0;
	*ret_end = c->state == EDGE_RELAY && r->resp.done;
	if (c->state == EDGE_TUNNEL) *ret_end = c->half_down;
	for (int i = tx_pieces(c, p) - 1; i >= 0; i--)
		sum += p[i].n;
	return (uint32_t)sum;
}

static void tx_advance(struct edge_conn *c, uint32_t n)
{
	struct edge_req *r = c->req;
	uint32_t k = HG_MIN(n, r->co_n - r->co_sent);
	r->co_sent += k;
	n -= k;
	if (HG_UNLIKELY(r->page_sent < r->page.n)) {
		k = HG_MIN(n, (uint32_t)(r->page.n - r->page_sent));
		r->page_sent += k;
		n -= k;
	}
	if (HG_UNLIKELY(r->draw && r->draw->held) && n) {
		k = HG_MIN(n, r->draw->held_n - r->draw->held_sent);
		edge_hold_sent(c, k);
		n -= k;
	}
	r->rf.at += n;
	c->progress = true;
}

void edge_h2_tx_take(struct edge_conn *c, char *to, uint32_t n)
{
	struct edge_piece p[4];
	uint32_t left = n;
	int count = tx_pieces(c, p);
	for (int i = 0; i < count && left; i++) {
		if (!p[i].p) continue;
		uint32_t k = (uint32_t)HG_MIN(p[i].n, (size_t)left);
		memcpy(to, p[i].p, k);
		to += k;
		left -= k;
	}
	HG_ASSERT(left == 0);
	tx_advance(c, n);
}

static ssize_t on_pull(nghttp2_session *ng, int32_t id, uint8_t *to, size_t cap, uint32_t *flags,
        nghttp2_data_source *source, void *arg)
{
	struct edge_h2_stream *s = edge_h2_find(ng, id);
	bool end;
	(void)to, (void)source, (void)arg;
	/* Given up: RST_STREAM is on its way. */
	if (!s) return NGHTTP2_ERR_DEFERRED;
	uint32_t n = edge_h2_tx_ready(&s->conn, &end);
	if (n == 0 && !end) return NGHTTP2_ERR_DEFERRED;
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (n <= cap && end) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (edge_h2_trailers_send(s)) *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	}
	return (ssize_t)HG_MIN((size_t)n, cap);
}

bool edge_h2_offer(struct edge_conn *c)
{
	static const nghttp2_data_provider body = {.read_callback = on_pull};
	struct edge_h2_stream *s = edge_h2_stream_of(c);
	struct edge_req *r = c->req;
	bool end;
	if (!s->head_sent && r->co_sent < r->co_n && !edge_h2_head_send(s, &body)) return false;
	if (s->head_sent && (edge_h2_tx_ready(c, &end) || end)) {
		/* An error says that it was not waiting: it goes on by itself. */
		(void)nghttp2_session_resume_data(c->h2->ng, s->id);
	}
	edge_h2_wake(c->h2);
	return true;
}
