#include <errno.h>
#include <stdio.h>

#include "data/edge/u2_priv.h"

static const char hex[] = "0123456789abcdef";

/* A chunk's length stands in its first bytes, four digits of it: it is known when it ends. */
enum { CHUNK_HEAD = 6, CHUNK_END = 2 };

struct edge_u2_stream *edge_u2_stream_new(struct edge_u2 *h, bool reused)
{
	struct edge *e = h->edge;
	struct edge_u2_stream *s = edge_pool_take(&e->u2_streams);
	if (!s) return NULL;
	*s = (struct edge_u2_stream){.session = h,
	        .up = {.magic = EDGE_UP_MAGIC,
	                .edge = e,
	                .slot = h->slot,
	                .incarnation = h->carrier->incarnation,
	                .reused = reused,
	                .connecting = h->state != EDGE_U2_OPEN,
	                .out_armed = true,
	                .unix_socket = h->carrier->unix_socket,
	                .timer.owner = EDGE_TIMER_UP,
	                .io.fd = -1}};
	s->up.stream = s;
	s->up.flags = s->up.connecting ? 0 : EDGE_CAN_WRITE;
	hg_list_init(&s->up.node);
	hg_list_init(&s->up.owned);
	hg_list_init(&s->up.timer.node);
	hg_list_init(&s->ready);
	hg_list_append(&h->streams, &s->node);
	h->stream_n++;
	return s;
}

/* ---- the response ---- */

static struct edge_u2_buf *rx_last(struct edge_u2_stream *s)
{
	return s->rx_n ? &s->rx[s->rx_n - 1] : NULL;
}

static void rx_starved(struct edge_u2_stream *s)
{
	s->starved = true;
	s->up.flags |= EDGE_CAN_READ;
	edge_u2_stream_ready(s);
}

/* From the pool alone: who makes room by closing somebody could close this one. */
static struct edge_u2_buf *rx_more(struct edge_u2_stream *s)
{
	if (s->starved || s->rx_n == EDGE_U2_RX_BUFS) {
		rx_starved(s);
		return NULL;
	}
	char *p = edge_pool_take(&s->up.edge->bufs);
	if (!p) {
		rx_starved(s);
		return NULL;
	}
	s->rx[s->rx_n] = (struct edge_u2_buf){.p = p};
	return &s->rx[s->rx_n++];
}

static void chunk_close(struct edge_u2_buf *b)
{
	if (!b->open) return;
	b->open = false;
	uint32_t n = b->n - b->chunk - CHUNK_HEAD;
	if (n == 0) {
		b->n = b->chunk;
		return;
	}
	for (int i = 0; i < 4; i++)
		b->p[b->chunk + (uint32_t)i] = hex[n >> (12 - 4 * i) & 15];
	memcpy(b->p + b->chunk + 4, "\r\n", 2);
	memcpy(b->p + b->n, "\r\n", 2);
	b->n += CHUNK_END;
}

void edge_u2_rx_close(struct edge_u2_stream *s)
{
	struct edge_u2_buf *b = rx_last(s);
	if (b) chunk_close(b);
}

void edge_u2_rx_text(struct edge_u2_stream *s, struct hg_str text)
{
	struct edge_u2_buf *b = rx_last(s);
	HG_ASSERT(!b || !b->open);
	while (text.n) {
		if (!b || b->n == EDGE_BUF_SIZE) b = rx_more(s);
		if (!b) return;
		size_t k = HG_MIN(text.n, (size_t)(EDGE_BUF_SIZE - b->n));
		memcpy(b->p + b->n, text.p, k);
		b->n += (uint32_t)k;
		text = (struct hg_str){text.p + k, text.n - k};
	}
}

/* Room for one byte of a body at least; NULL: there is none. */
static struct edge_u2_buf *rx_place(struct edge_u2_stream *s)
{
	struct edge_u2_buf *b = rx_last(s);
	uint32_t around = s->framed ? CHUNK_END : 0;
	if (b && b->open && b->n < EDGE_BUF_SIZE - around) return b;
	if (b) chunk_close(b);
	uint32_t least = around + 1 + (s->framed ? (uint32_t)CHUNK_HEAD : 0);
	if (!b || EDGE_BUF_SIZE - b->n < least) b = rx_more(s);
	if (b && s->framed) {
		b->open = true;
		b->chunk = b->n;
		b->n += CHUNK_HEAD;
	}
	return b;
}

void edge_u2_rx_data(struct edge_u2_stream *s, const char *p, size_t n)
{
	uint32_t around = s->framed ? CHUNK_END : 0;
	while (n) {
		struct edge_u2_buf *b = rx_place(s);
		if (!b) return;
		size_t k = HG_MIN(n, (size_t)(EDGE_BUF_SIZE - around - b->n));
		memcpy(b->p + b->n, p, k);
		b->n += (uint32_t)k;
		b->paid += (uint32_t)k;
		p += k;
		n -= k;
	}
}

void edge_u2_rx_end(struct edge_u2_stream *s)
{
	s->ended = true;
	edge_u2_rx_close(s);
	s->up.flags |= EDGE_CAN_READ;
}

/* The first buffer was taken: its bytes may come again. */
static void rx_taken(struct edge_u2_stream *s)
{
	struct edge_u2_buf *b = &s->rx[0];
	if (b->paid && !s->gone && s->session) {
		(void)nghttp2_session_consume_stream(s->session->ng, s->id, b->paid);
		edge_u2_wake(s->session);
	}
	s->rx_n--;
	s->rx_at = 0;
	memmove(s->rx, s->rx + 1, s->rx_n * sizeof s->rx[0]);
}

ssize_t edge_u2_read(struct edge_up *up, struct edge_flow *f)
{
	struct edge_u2_stream *s = up->stream;
	struct edge_u2_buf *b = &s->rx[0];
	if (s->rx_n == 1) chunk_close(b);
	if (s->rx_n == 0 || b->n == s->rx_at) {
		if (s->starved) return -ENOBUFS;
		if (s->reset) {
			up->flags |= EDGE_EOF | EDGE_DEAD | EDGE_RESET;
			return -ECONNRESET;
		}
		up->flags &= ~EDGE_CAN_READ;
		if (!s->ended) return -EAGAIN;
		up->flags |= EDGE_EOF | EDGE_HUP;
		return 0;
	}
	uint32_t n = b->n - s->rx_at;
	if (!f->buf) {
		/* All of it changes hands. */
		*f = (struct edge_flow){.buf = b->p, .n = b->n};
		f->at = f->ready = f->raw = s->rx_at;
		rx_taken(s);
	} else {
		uint32_t room = EDGE_BUF_SIZE - f->n;
		if (room == 0) return -ENOBUFS;
		n = HG_MIN(n, room);
		memcpy(f->buf + f->n, b->p + s->rx_at, n);
		f->n += n;
		s->rx_at += n;
		if (s->rx_at == b->n) {
			edge_pool_give(&up->edge->bufs, b->p);
			rx_taken(s);
		}
	}
	if (s->rx_n == 0 && !s->ended && !s->reset && !s->starved) up->flags &= ~EDGE_CAN_READ;
	return (ssize_t)n;
}

/* ---- the request ---- */

static uint32_t tx_room(struct edge_u2_stream *s)
{
	if (s->tx_n == 0 && s->trailer_n == 0) s->tx_at = 0;
	if (!s->tx) return EDGE_BUF_SIZE - EDGE_U2_TRAILERS_MAX;
	if (s->tx_at && s->trailer_n == 0) {
		memmove(s->tx, s->tx + s->tx_at, s->tx_n);
		s->tx_at = 0;
	}
	uint32_t used = s->tx_at + s->tx_n + EDGE_U2_TRAILERS_MAX;
	return used < EDGE_BUF_SIZE ? EDGE_BUF_SIZE - used : 0;
}

static bool tx_add(struct edge_u2_stream *s, const char *p, size_t n)
{
	if (!s->tx) s->tx = edge_pool_take(&s->up.edge->bufs);
	if (!s->tx) return false;
	memcpy(s->tx + s->tx_at + s->tx_n, p, n);
	s->tx_n += (uint32_t)n;
	return true;
}

static bool tx_trailer(struct edge_u2_stream *s, struct hg_str t)
{
	if (t.n == 0) return true;
	if (!s->tx) s->tx = edge_pool_take(&s->up.edge->bufs);
	if (!s->tx || s->trailer_n + t.n > EDGE_U2_TRAILERS_MAX) return false;
	memcpy(s->tx + s->tx_at + s->tx_n + s->trailer_n, t.p, t.n);
	s->trailer_n += (uint32_t)t.n;
	return true;
}

/* The bytes of p that were taken, or -errno. */
static ssize_t tx_chunks(struct edge_u2_stream *s, const char *p, size_t n)
{
	size_t done = 0;
	while (done < n && !s->tx_end) {
		size_t room = tx_room(s);
		if (room == 0) break;
		struct http1_span t = http1_chunked_next(
		        &s->chunked, (struct hg_str){p + done, HG_MIN(n - done, room)});
		/* It was looked at before it came here. */
		if (t.result == HTTP1_BAD) return -EPROTO;
		if (t.data.n && !tx_add(s, t.data.p, t.data.n)) return -ENOMEM;
		if (!tx_trailer(s, t.trailer)) return -ENOMEM;
		done += t.used;
		s->tx_end = t.result == HTTP1_DONE;
		if (t.used == 0) break;
	}
	return (ssize_t)done;
}

static ssize_t tx_plain(struct edge_u2_stream *s, const char *p, size_t n)
{
	n = HG_MIN(n, (size_t)tx_room(s));
	if (s->kind == HTTP1_BODY_LENGTH) n = HG_MIN(n, s->left);
	if (n && !tx_add(s, p, n)) return -ENOMEM;
	if (s->kind != HTTP1_BODY_LENGTH) return (ssize_t)n;
	s->left -= n;
	s->tx_end = s->left == 0;
	return (ssize_t)n;
}

static ssize_t tx_piece(struct edge_u2_stream *s, const char *p, size_t n)
{
	switch (s->kind) {
	case HTTP1_BODY_CHUNKED: return tx_chunks(s, p, n);
	case HTTP1_BODY_LENGTH:
	case HTTP1_BODY_TUNNEL: return tx_plain(s, p, n);
	case HTTP1_BODY_NONE:
	case HTTP1_BODY_CLOSE: break;
	}
	return -EPROTO;
}

/* The head stands whole at the start of the first piece. */
static ssize_t head_take(struct edge_u2_stream *s, const struct edge_piece *p)
{
	const char *end = p->p ? memmem(p->p, p->n, "\r\n\r\n", 4) : NULL;
	if (!end) return -EPROTO;
	size_t n = (size_t)(end - p->p) + 4;
	int r = edge_u2_head_submit(s, (struct hg_str){p->p, n});
	return r < 0 ? r : (ssize_t)n;
}

static void tx_wake(struct edge_u2_stream *s)
{
	if (s->gone || !s->session) return;
	/* An error says that it was not waiting: it goes on by itself. */
	if (s->tx_n || s->tx_end) (void)nghttp2_session_resume_data(s->session->ng, s->id);
	edge_u2_wake(s->session);
}

ssize_t edge_u2_send(struct edge_up *up, const struct edge_piece *pieces, int count)
{
	struct edge_u2_stream *s = up->stream;
	size_t sum = 0, skip = 0;
	if (s->gone || s->reset || !s->session) return -EPIPE;
	if (!s->submitted) {
		ssize_t n = head_take(s, &pieces[0]);
		if (n < 0) return n;
		sum = skip = (size_t)n;
	}
	for (int i = 0; i < count; i++) {
		struct edge_piece p = pieces[i];
		if (p.n == 0) continue;
		if (skip) {
			p = (struct edge_piece){p.p + skip, p.n - skip};
			skip = 0;
		}
		if (p.n == 0) continue;
		ssize_t n = tx_piece(s, p.p, p.n);
		if (n < 0) return n;
		sum += (size_t)n;
		if ((size_t)n == p.n) continue;
		up->flags &= ~EDGE_CAN_WRITE;
		break;
	}
	tx_wake(s);
	return sum ? (ssize_t)sum : -EAGAIN;
}

void edge_u2_finish(struct edge_up *up)
{
	up->stream->tx_end = true;
	tx_wake(up->stream);
}

static void tx_drop(struct edge_u2_stream *s)
{
	edge_pool_give(&s->up.edge->bufs, s->tx);
	s->tx = NULL;
	s->tx_at = s->tx_n = s->trailer_n = 0;
}

ssize_t edge_u2_on_pull(nghttp2_session *ng, int32_t id, uint8_t *to, size_t cap, uint32_t *flags,
        nghttp2_data_source *source, void *arg)
{
	struct edge_u2_stream *s = nghttp2_session_get_stream_user_data(ng, id);
	(void)to, (void)source, (void)arg;
	/* Given up: RST_STREAM is on its way. */
	if (!s || (s->tx_n == 0 && !s->tx_end)) return NGHTTP2_ERR_DEFERRED;
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (s->tx_n <= cap && s->tx_end) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (edge_u2_trailers_submit(s)) *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	}
	return (ssize_t)HG_MIN((size_t)s->tx_n, cap);
}

void edge_u2_tx_take(struct edge_u2_stream *s, char *to, uint32_t n)
{
	HG_ASSERT(n <= s->tx_n);
	if (n) memcpy(to, s->tx + s->tx_at, n);
	s->tx_at += n;
	s->tx_n -= n;
	/* Trailers that are whole were copied by nghttp2. */
	if (s->tx_n == 0 && (s->tx_end || s->trailer_n == 0)) tx_drop(s);
	if (s->up.flags & EDGE_CAN_WRITE) return;
	s->up.flags |= EDGE_CAN_WRITE;
	edge_u2_stream_ready(s);
}

/* ---- its end ---- */

void edge_u2_close(struct edge_up *up)
{
	struct edge_u2_stream *s = up->stream;
	struct edge *e = up->edge;
	struct edge_u2 *h = s->session;
	if (h && s->submitted && !s->gone) {
		(void)nghttp2_session_set_stream_user_data(h->ng, s->id, NULL);
		/* Without memory for it the replica works on for nobody. */
		h->owed = HG_MIN(h->owed + EDGE_U2_WINDOW, (uint32_t)EDGE_U2_SESSION_WINDOW);
		if (!s->told)
			(void)nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id,
			        s->ended ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
	}
	for (uint32_t i = 0; i < s->rx_n; i++)
		edge_pool_give(&e->bufs, s->rx[i].p);
	tx_drop(s);
	hg_list_remove(&s->ready);
	hg_list_remove(&s->node);
	edge_timer_off(&up->timer);
	if (h) {
		h->stream_n--;
		/* A header block stands open: nothing else can come on this connection. */
		if (h->head_ms && !s->ended) edge_u2_leave(h);
		edge_u2_wake(h);
	}
	up->magic = 0;
	edge_pool_give(&e->u2_streams, s);
}

/* ---- what became of it ---- */

bool edge_u2_untouched(const struct edge_up *up)
{
	return up->stream->refused;
}

bool edge_u2_stale(const struct edge_up *up)
{
	const struct edge_u2_stream *s = up->stream;
	return s->stale || (!s->session && up->reused);
}

bool edge_u2_bad(const struct edge_up *up)
{
	return up->stream->bad;
}

bool edge_u2_of_grpc(const struct edge_up *up)
{
	return up->stream->is_grpc;
}

uint32_t edge_u2_grpc(const struct edge_up *up)
{
	const struct edge_u2_stream *s = up->stream;
	enum { UNKNOWN = 2 };
	if (!s->grpc || !s->ended) return 0;
	return 1u + (s->grpc_said ? s->grpc_status : UNKNOWN);
}

enum edge_step edge_u2_connect_step(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	struct edge_u2_stream *s = r->up->stream;
	if (s->gone || !s->session) {
		bool stale = edge_u2_stale(&s->up);
		return edge_attempt_failed(c, stale ? EDGE_FAULT_CLOSED : EDGE_FAULT_CONNECT);
	}
	if (!(s->up.flags & EDGE_CAN_WRITE)) return EDGE_STEP_BLOCK;
	if (s->tunnel && !s->session->tunnels)
		return edge_answer(c, 501, "the replica takes no WebSocket over HTTP/2");
	s->up.connecting = false;
	edge_conn_move(c, EDGE_WAIT);
	return EDGE_STEP_ON;
}

/* Whether it may is in the replica's SETTINGS. */
void edge_u2_tunnel_ask(struct edge_up *up)
{
	struct edge_u2_stream *s = up->stream;
	s->tunnel = true;
	up->connecting = true;
	if (!s->session->settled) up->flags &= ~EDGE_CAN_WRITE;
}

/* A client of HTTP/2 is told what the replica said. */
void edge_u2_cut(struct edge_conn *c)
{
	const struct edge_u2_stream *s = c->req->up->stream;
	if (!c->stream || !s->reset) return;
	if (s->code == NGHTTP2_CANCEL || s->code == NGHTTP2_ENHANCE_YOUR_CALM)
		edge_h2_stream_of(c)->code = s->code;
}
