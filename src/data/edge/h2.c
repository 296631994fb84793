#include <errno.h>

#include "data/edge/h2_priv.h"

/* What one session may take of a loop turn. */
#define TURN_BYTES EDGE_TURN_BYTES

static struct edge *edge_of(const struct edge_h2 *h)
{
	return h->conn->edge;
}

struct edge_conn *edge_conn_carrier(struct edge_conn *c)
{
	return c->stream ? c->h2->conn : c;
}

void edge_h2_wake(struct edge_h2 *h)
{
	if (!h->busy) loop_task_queue(edge_of(h)->loop, &h->conn->task);
}

void edge_h2_calm(struct edge_h2 *h)
{
	if (h->calmed) return;
	h->calmed = true;
	meter_add(&edge_of(h)->count->h2_calmed, 1);
	/* Fails for want of memory only; then the session ends without a word. */
	if (nghttp2_session_terminate_session(h->ng, NGHTTP2_ENHANCE_YOUR_CALM) < 0)
		h->conn->flags |= EDGE_EOF;
}

/* ---- what nghttp2 tells ---- */

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *arg)
{
	struct edge_h2 *h = arg;
	/* nghttp2 does not look at them, as we announce that they mean nothing; RFC 9113
	 * section 6.3 wants this all the same. */
	if (hd->type == NGHTTP2_PRIORITY && hd->stream_id == 0 &&
	        nghttp2_session_terminate_session(ng, NGHTTP2_PROTOCOL_ERROR) < 0) {
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	h->head_ms = 0; /* frames of other kinds do not come between those of a header block */
	if (!edge_h2_guard_frames(&h->guard, 1, edge_now_ms(edge_of(h)))) edge_h2_calm(h);
	return 0;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct edge_h2 *h = arg;
	(void)ng;
	h->head_ms = edge_now_ms(edge_of(h));
	h->stray = 0;
	if (f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST)
		edge_h2_stream_new(h, f->hd.stream_id);
	return 0;
}

static struct hg_str rcbuf_str(nghttp2_rcbuf *b)
{
	nghttp2_vec v = nghttp2_rcbuf_get_buf(b);
	return (struct hg_str){(const char *)v.base, v.len};
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *f, nghttp2_rcbuf *name,
        nghttp2_rcbuf *value, uint8_t flags, void *arg)
{
	struct edge_h2_stream *s = edge_h2_find(ng, f->hd.stream_id);
	struct edge_h2 *h = arg;
	(void)flags;
	if (!s) {
		/* Of a stream that was refused, or given up: its list has nobody who counts it. */
		h->stray += (uint32_t)(rcbuf_str(name).n + rcbuf_str(value).n);
		return h->stray > EDGE_H2_HEAD_EXCESS ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
	}
	if (f->headers.cat == NGHTTP2_HCAT_REQUEST) {
		edge_h2_head_field(s, rcbuf_str(name), rcbuf_str(value));
	} else {
		edge_h2_trailer_field(s, rcbuf_str(name), rcbuf_str(value));
	}
	/* One byte of HPACK may stand for kilobytes, and nghttp2 looks at every byte of them: not
	 * after this one. */
	return HG_UNLIKELY(h->calmed) ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

/* What nghttp2 would leave out in silence: it has bytes that no field may have. */
static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *f, nghttp2_rcbuf *name,
        nghttp2_rcbuf *value, uint8_t flags, void *arg)
{
	struct edge_h2_stream *s = edge_h2_find(ng, f->hd.stream_id);
	(void)name, (void)value, (void)flags, (void)arg;
	if (s) s->malformed = true;
	/* The rest of the list is not looked at: it may be a bomb. */
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void reset_received(struct edge_h2 *h)
{
	meter_add(&edge_of(h)->count->h2_resets_received, 1);
	if (!edge_h2_guard_reset(&h->guard)) edge_h2_calm(h);
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct edge_h2 *h = arg;
	struct edge_h2_stream *s = edge_h2_find(ng, f->hd.stream_id);
	if (f->hd.type == NGHTTP2_HEADERS) {
		h->head_ms = 0;
		if (s) s->complete = true;
		edge_h2_guard_moved(&h->guard);
	}
	if (f->hd.type == NGHTTP2_RST_STREAM) reset_received(h);
	if (!s || (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA)) return 0;
	if (f->hd.flags & NGHTTP2_FLAG_END_STREAM) s->rx_end = true;
	s->conn.flags |= EDGE_CAN_READ;
	edge_h2_stream_ready(s);
	return 0;
}

static int on_data(
        nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct edge_h2 *h = arg;
	struct edge_h2_stream *s = edge_h2_find(ng, id);
	(void)flags;
	edge_h2_guard_moved(&h->guard);
	if (s && !s->starved && edge_h2_rx_add(s, p, n)) return 0;
	if (s) s->starved = true;
	/* Of a request that was given up: the window of the session is given back. */
	return nghttp2_session_consume(ng, id, n) == NGHTTP2_ERR_NOMEM
	               ? NGHTTP2_ERR_CALLBACK_FAILURE
	               : 0;
}

/* Closed by the client's RST_STREAM, by ours, or by nghttp2 for a violation. */
static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
	struct edge_h2_stream *s = edge_h2_find(ng, id);
	(void)code, (void)arg;
	if (!s) return 0;
	s->gone = true;
	if (s->conn.req) edge_request_abort(&s->conn);
	edge_conn_close(&s->conn);
	return 0;
}

/* ---- what nghttp2 has to send ---- */

static ssize_t on_send(nghttp2_session *ng, const uint8_t *p, size_t n, int flags, void *arg)
{
	struct edge_h2 *h = arg;
	(void)ng, (void)flags;
	if (!h->out) return NGHTTP2_ERR_WOULDBLOCK;
	size_t k = HG_MIN(n, (size_t)(EDGE_BUF_SIZE - h->out_n));
	if (k < n) h->full = true;
	if (k == 0) return NGHTTP2_ERR_WOULDBLOCK;
	memcpy(h->out + h->out_n, p, k);
	h->out_n += (uint32_t)k;
	return (ssize_t)k;
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *f, const uint8_t *head, size_t n,
        nghttp2_data_source *source, void *arg)
{
	enum { HEAD = 9 };
	struct edge_h2 *h = arg;
	struct edge_h2_stream *s = edge_h2_find(ng, f->hd.stream_id);
	bool end;
	(void)source;
	HG_ASSERT(f->data.padlen == 0);
	if (!s || edge_h2_tx_ready(&s->conn, &end) < n)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (EDGE_BUF_SIZE - h->out_n < n + HEAD) {
		h->full = true;
		return NGHTTP2_ERR_WOULDBLOCK;
	}
	memcpy(h->out + h->out_n, head, HEAD);
	edge_h2_tx_take(&s->conn, h->out + h->out_n + HEAD, (uint32_t)n);
	h->out_n += (uint32_t)n + HEAD;
	edge_h2_guard_moved(&h->guard);
	edge_h2_stream_ready(s);
	return 0;
}

/* As long as fits behind what is in `out`: a frame that does not would wait for the next record. */
static ssize_t on_length(nghttp2_session *ng, uint8_t type, int32_t id, int32_t session_window,
        int32_t stream_window, uint32_t frame_max, void *arg)
{
	enum { LEAST = 1024, MOST = 16384 };
	const struct edge_h2 *h = arg;
	uint32_t room = EDGE_BUF_SIZE - h->out_n;
	(void)ng, (void)type, (void)id, (void)session_window, (void)stream_window, (void)frame_max;
	if (room < LEAST || room > MOST + 9) return MOST;
	return room - 9;
}

static void reset_sent(struct edge_h2 *h, uint32_t code)
{
	struct meter_worker *count = edge_of(h)->count;
	meter_add(&count->h2_resets_sent, 1);
	if (code == NGHTTP2_NO_ERROR || code == NGHTTP2_INTERNAL_ERROR ||
	        code == NGHTTP2_REFUSED_STREAM) {
		return;
	}
	/* What a replica said (u2_stream.c). */
	if (code == NGHTTP2_CANCEL || code == NGHTTP2_ENHANCE_YOUR_CALM) return;
	/* By a fault of the client's. */
	meter_add(&count->bad_requests, 1);
	if (!edge_h2_guard_reset(&h->guard)) edge_h2_calm(h);
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct edge_h2 *h = arg;
	switch (f->hd.type) {
	case NGHTTP2_GOAWAY: meter_add(&edge_of(h)->count->h2_goaways, 1); break;
	case NGHTTP2_RST_STREAM: reset_sent(h, f->rst_stream.error_code); break;
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA: {
		struct edge_h2_stream *s = edge_h2_find(ng, f->hd.stream_id);
		if (s && f->hd.flags & NGHTTP2_FLAG_END_STREAM) edge_h2_stream_done(s);
		break;
	}
	default: break;
	}
	return 0;
}

/* ---- life ---- */

static bool shared_make(struct edge *e)
{
	nghttp2_session_callbacks *cb;
	if (e->h2_callbacks) return true;
	if (nghttp2_option_new(&e->h2_option) < 0) return false;
	if (nghttp2_session_callbacks_new(&cb) < 0) {
		nghttp2_option_del(e->h2_option);
		e->h2_option = NULL;
		return false;
	}
	nghttp2_option_set_no_auto_window_update(e->h2_option, 1);
	nghttp2_option_set_no_closed_streams(e->h2_option, 1);
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback2(cb, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback2(cb, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	nghttp2_session_callbacks_set_send_callback(cb, on_send);
	nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
	nghttp2_session_callbacks_set_data_source_read_length_callback(cb, on_length);
	e->h2_callbacks = cb;
	return true;
}

enum hg_rc edge_h2_pools_init(struct edge *e, uint32_t conns)
{
	enum hg_rc rc = edge_pool_init(&e->sessions, EDGE_H2_SIZE, conns);
	if (rc == HG_OK) rc = edge_pool_init(&e->desks, EDGE_H2_DESK, conns);
	if (rc == HG_OK) rc = edge_pool_init(&e->streams, sizeof(struct edge_h2_stream), conns);
	return rc;
}

void edge_h2_fini(struct edge *e)
{
	edge_pool_fini(&e->sessions);
	edge_pool_fini(&e->desks);
	edge_pool_fini(&e->streams);
	nghttp2_session_callbacks_del(e->h2_callbacks);
	nghttp2_option_del(e->h2_option);
	e->h2_callbacks = NULL;
	e->h2_option = NULL;
}

static uint32_t head_max(const struct edge *e)
{
	return e->image ? e->image->limits.head_max : EDGE_BUF_SIZE - EDGE_HEAD_SPARE;
}

static bool settings_say(struct edge_h2 *h)
{
	const struct edge *e = edge_of(h);
	uint32_t streams = e->image ? e->image->snap->h2_streams : 0;
	const nghttp2_settings_entry iv[] = {
	        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams ? streams : EDGE_H2_STREAMS},
	        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, EDGE_H2_WINDOW},
	        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, head_max(e)},
	        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
	        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
	};
	return nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, iv, HG_COUNT(iv)) == 0 &&
	       nghttp2_session_set_local_window_size(
	               h->ng, NGHTTP2_FLAG_NONE, 0, EDGE_H2_SESSION_WINDOW) == 0;
}

enum edge_step edge_h2_begin(struct edge_conn *c)
{
	struct edge *e = c->edge;
	/* As many desks as sessions: if there is one, so is the other. */
	struct edge_h2 *h = shared_make(e) ? edge_pool_take(&e->sessions) : NULL;
	if (h) {
		*h = (struct edge_h2){.conn = c, .desk = edge_pool_take(&e->desks)};
		hg_list_init(&h->streams);
		hg_list_init(&h->ready);
		hg_list_init(&h->warm);
		edge_h2_guard_init(&h->guard);
		c->h2 = h;
		edge_h2_desk_warm(h);
	}
	if (!h || !edge_h2_ng_make(h) || !settings_say(h)) {
		meter_add(&e->count->refused_full, 1);
		edge_conn_close(c);
		return EDGE_STEP_GONE;
	}
	meter_add(&e->count->h2_sessions, 1);
	edge_conn_move(c, EDGE_QUIET);
	return EDGE_STEP_ON;
}

void edge_h2_free(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_h2 *h = c->h2;
	if (!h) return;
	h->busy = true; /* nothing is to be said any more */
	for (struct hg_list *n; (n = hg_list_first(&h->streams));) {
		struct edge_h2_stream *s = HG_CONTAINER(n, struct edge_h2_stream, node);
		s->gone = true;
		if (s->conn.req) edge_request_abort(&s->conn);
		edge_conn_close(&s->conn);
	}
	nghttp2_session_del(h->ng);
	hg_list_remove(&h->warm);
	edge_pool_give(&e->bufs, h->out);
	edge_pool_give(&e->desks, h->desk);
	edge_pool_give(&e->sessions, h);
	c->h2 = NULL;
}

/* The last word is out: what the client still says is read, so that it hears it. */
static enum edge_step finish(struct edge_conn *c)
{
	edge_h2_free(c);
	edge_conn_finish(c);
	edge_flow_drop(c->edge, &c->in);
	edge_conn_move(c, EDGE_LINGER);
	return EDGE_STEP_ON;
}

/* ---- moving bytes ---- */

static void drive_ready(struct edge_h2 *h)
{
	struct hg_list due;
	if (hg_list_empty(&h->ready)) return;
	/* Those that become ready meanwhile wait for the next round. */
	due = h->ready;
	due.next->prev = due.prev->next = &due;
	hg_list_init(&h->ready);
	for (struct hg_list *n; (n = hg_list_first(&due));) {
		hg_list_remove(n);
		edge_h2_stream_drive(HG_CONTAINER(n, struct edge_h2_stream, ready));
	}
}

static uint32_t noise_of(size_t bytes)
{
	return (uint32_t)bytes / EDGE_H2_NOISE_BYTES;
}

/* False: the session is over. */
static bool input(struct edge_h2 *h)
{
	struct edge_conn *c = h->conn;
	struct edge *e = c->edge;
	/* Who does not take our answers is not asked for more questions. */
	for (uint32_t moved = 0; h->out_n == h->out_at;) {
		struct hg_str p = {c->in.buf, c->in.n};
		if (p.n) {
			ssize_t n = nghttp2_session_mem_recv(h->ng, (const uint8_t *)p.p, p.n);
			c->in.at = c->in.ready = c->in.raw = c->in.n = 0;
			c->progress = true;
			if (n < 0) return false;
			drive_ready(h);
			moved += (uint32_t)p.n;
			if (!edge_h2_guard_frames(&h->guard, noise_of(p.n), edge_now_ms(e)))
				edge_h2_calm(h);
			if (moved > TURN_BYTES) {
				loop_task_queue(e->loop, &c->task);
				break;
			}
		}
		if (c->flags & EDGE_EOF) return false;
		if (!(c->flags & EDGE_CAN_READ) || !nghttp2_session_want_read(h->ng)) break;
		ssize_t n = edge_flow_read(e, &c->in, c->io.fd, c->tls, &c->flags);
		if (n == -EAGAIN) break;
		if (n <= 0) return false;
	}
	edge_flow_trim(e, &c->in);
	return true;
}

/* Sends what is in `out`; false: the client is gone. */
static bool out_flush(struct edge_h2 *h, bool *ret_stuck)
{
	struct edge_conn *c = h->conn;
	*ret_stuck = false;
	if (h->out_at < h->out_n) {
		struct edge_piece p = edge_piece_of(h->out, h->out_at, h->out_n);
		ssize_t n = c->flags & EDGE_CAN_WRITE
		                    ? edge_send(c->io.fd, c->tls, &p, 1, &c->flags)
		                    : -EAGAIN;
		if (n < 0 && n != -EAGAIN) return false;
		if (n > 0) c->progress = true;
		h->out_at += n > 0 ? (uint32_t)n : 0;
		*ret_stuck = h->out_at < h->out_n;
	}
	if (!*ret_stuck) h->out_at = h->out_n = 0;
	return true;
}

/*
 * Frames are gathered until no stream has more for the moment or the buffer is full, so that many
 * small answers leave in one record. A stream that was drained is filled again only when nothing
 * else waits: none keeps the others out. False: the session is over.
 */
static bool output(struct edge_h2 *h)
{
	struct edge_conn *c = h->conn;
	struct edge *e = c->edge;
	bool stuck;
	for (uint32_t moved = 0;;) {
		if (!out_flush(h, &stuck)) return false;
		if (stuck) return true;
		if (!h->out && !nghttp2_session_want_write(h->ng) && hg_list_empty(&h->ready))
			break;
		if (!h->out) h->out = edge_pool_take(&e->bufs);
		if (!h->out) {
			meter_add(&e->count->refused_full, 1);
			return false;
		}
		do {
			h->full = false;
			if (nghttp2_session_send(h->ng) < 0) return false;
			if (h->full || hg_list_empty(&h->ready)) break;
			drive_ready(h);
		} while (h->out_n < EDGE_BUF_SIZE / 2);
		moved += h->out_n;
		if (h->out_n == 0 && hg_list_empty(&h->ready)) break;
		if (moved > TURN_BYTES) {
			loop_task_queue(e->loop, &c->task);
			return out_flush(h, &stuck);
		}
	}
	edge_pool_give(&e->bufs, h->out);
	h->out = NULL;
	return true;
}

static void state_keep(struct edge_h2 *h)
{
	struct edge_conn *c = h->conn;
	enum edge_state want = h->stream_n ? EDGE_SESSION : EDGE_QUIET;
	if (c->state != want) edge_conn_move(c, want);
}

static void notice_say(struct edge_h2 *h)
{
	if (h->end != EDGE_H2_OPEN) return;
	h->end = EDGE_H2_NOTICE;
	h->goaway_ms = edge_now_ms(edge_of(h)) + EDGE_H2_GOAWAY_MS;
	h->conn->progress = true;
	if (nghttp2_submit_shutdown_notice(h->ng) < 0) h->conn->flags |= EDGE_EOF;
}

/* Requests that came before this are served. */
static void goodbye_say(struct edge_h2 *h)
{
	int32_t last = nghttp2_session_get_last_proc_stream_id(h->ng);
	h->end = EDGE_H2_LAST;
	h->conn->progress = true;
	if (nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0) < 0)
		h->conn->flags |= EDGE_EOF;
}

enum edge_step edge_h2_step(struct edge_conn *c)
{
	struct edge_h2 *h = c->h2;
	h->busy = true;
	edge_h2_desk_warm(h);
	if (HG_UNLIKELY(c->edge->draining)) notice_say(h);
	bool on = input(h);
	/* What made it end may have an explanation in it. */
	bool said = output(h);
	h->busy = false;
	if (!on || !said) {
		edge_conn_close(c);
		return EDGE_STEP_GONE;
	}
	bool over = !nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng);
	if (h->end == EDGE_H2_LAST && h->stream_n == 0) over = true;
	if (over && h->out_at == h->out_n) return finish(c);
	/* What was not read while output waited. */
	if (h->out_at == h->out_n && c->flags & EDGE_CAN_READ)
		loop_task_queue(c->edge->loop, &c->task);
	state_keep(h);
	return EDGE_STEP_BLOCK;
}

uint64_t edge_h2_deadline(const struct edge_conn *c, uint64_t header_ms, uint64_t keepalive_ms)
{
	const struct edge_h2 *h = c->h2;
	uint64_t now = edge_now_ms(c->edge);
	uint64_t at = now + EDGE_TUNNEL_IDLE_MS; /* streams have deadlines of their own */
	if (h->stream_n == 0) at = c->idle_ms + (c->served ? keepalive_ms : header_ms);
	if (h->head_ms) at = HG_MIN(at, h->head_ms + header_ms);
	if (h->out_at < h->out_n) at = HG_MIN(at, now + EDGE_STALL_MS);
	if (h->end == EDGE_H2_NOTICE) at = HG_MIN(at, h->goaway_ms);
	return at;
}

enum edge_step edge_h2_timeout(struct edge_conn *c)
{
	struct edge_h2 *h = c->h2;
	bool stuck = h->out_at < h->out_n;
	if (stuck || h->head_ms || h->end == EDGE_H2_LAST) {
		edge_conn_close(c);
		return EDGE_STEP_GONE;
	}
	goodbye_say(h);
	return EDGE_STEP_ON;
}

void edge_h2_drain(struct edge_conn *c)
{
	notice_say(c->h2);
	edge_conn_drive(c);
}
