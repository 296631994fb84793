#include "data/edge/u2_priv.h"

/* ---- what nghttp2 tells ---- */

static struct edge_u2_stream *find(nghttp2_session *ng, int32_t id)
{
	return id > 0 ? nghttp2_session_get_stream_user_data(ng, id) : NULL;
}

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *arg)
{
	struct edge_u2 *h = arg;
	(void)ng;
	h->head_ms = 0; /* frames of other kinds do not come between those of a header block */
	/* Of a stream that was given up there may be a window full on its way. */
	if (hd->type == NGHTTP2_DATA && hd->length) {
		h->data_seen = true;
		return 0;
	}
	if (!edge_h2_guard_frames(&h->guard, 1, edge_now_ms(h->edge))) edge_u2_calm(h);
	return 0;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct edge_u2 *h = arg;
	struct edge_u2_stream *s = find(ng, f->hd.stream_id);
	h->head_ms = edge_now_ms(h->edge);
	h->stray = 0;
	if (s) edge_u2_head_begin(s);
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
	struct edge_u2_stream *s = find(ng, f->hd.stream_id);
	struct edge_u2 *h = arg;
	(void)flags;
	if (!s) {
		/* Of a request that was given up: its list has nobody who counts it. */
		h->stray += (uint32_t)(rcbuf_str(name).n + rcbuf_str(value).n);
		return h->stray > EDGE_H2_HEAD_EXCESS ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
	}
	edge_u2_head_field(s, rcbuf_str(name), rcbuf_str(value));
	/* One byte of HPACK may stand for kilobytes, and nghttp2 looks at every byte of them: not
	 * after this one. */
	return HG_UNLIKELY(h->over) ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

/* What nghttp2 would leave out in silence: it has bytes that no field may have. */
static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *f, nghttp2_rcbuf *name,
        nghttp2_rcbuf *value, uint8_t flags, void *arg)
{
	(void)ng, (void)f, (void)name, (void)value, (void)flags, (void)arg;
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void settings_read(struct edge_u2 *h)
{
	uint32_t most =
	        nghttp2_session_get_remote_settings(h->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	h->most = HG_MIN(most, EDGE_U2_STREAMS);
	h->tunnels = nghttp2_session_get_remote_settings(
	                     h->ng, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
	if (h->settled) return;
	h->settled = true;
	HG_LIST_EACH (n, &h->streams) {
		struct edge_u2_stream *s = HG_CONTAINER(n, struct edge_u2_stream, node);
		if (!s->tunnel || s->submitted || h->state != EDGE_U2_OPEN) continue;
		s->up.flags |= EDGE_CAN_WRITE;
		edge_u2_stream_ready(s);
	}
}

static void data_ended(struct edge_u2_stream *s)
{
	edge_u2_rx_close(s);
	if (s->framed) edge_u2_rx_text(s, HG_STR("0\r\n\r\n"));
}

static void message_part(struct edge_u2 *h, const nghttp2_frame *f)
{
	struct edge_u2_stream *s = find(h->ng, f->hd.stream_id);
	bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
	if (f->hd.type == NGHTTP2_HEADERS) {
		h->head_ms = 0;
		edge_h2_guard_moved(&h->guard);
		if (s) edge_u2_head_end(s, end);
	}
	if (!s) return;
	if (end && f->hd.type == NGHTTP2_DATA) data_ended(s);
	if (end && !s->bad) edge_u2_rx_end(s);
	edge_u2_stream_ready(s);
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct edge_u2 *h = arg;
	(void)ng;
	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA: message_part(h, f); break;
	case NGHTTP2_SETTINGS:
		if (!(f->hd.flags & NGHTTP2_FLAG_ACK)) settings_read(h);
		break;
	case NGHTTP2_PING:
		if (f->hd.flags & NGHTTP2_FLAG_ACK && h->state == EDGE_U2_ASKED) edge_u2_open(h);
		break;
	case NGHTTP2_GOAWAY:
		/* nghttp2 ends the streams above the last one after this. */
		h->goaway = true;
		edge_u2_leave(h);
		break;
	default: break;
	}
	return 0;
}

static int on_data(
        nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct edge_u2 *h = arg;
	struct edge_u2_stream *s = find(ng, id);
	(void)flags;
	if (n) edge_h2_guard_moved(&h->guard);
	/* Its window is the session's only measure: nobody waits for somebody else's client. */
	if (nghttp2_session_consume_connection(ng, n) == NGHTTP2_ERR_NOMEM)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (!s || s->bad || s->reset) return 0;
	edge_u2_rx_data(s, (const char *)p, n);
	s->up.flags |= EDGE_CAN_READ;
	edge_u2_stream_ready(s);
	return 0;
}

void edge_u2_stream_lost(struct edge_u2_stream *s, uint32_t code)
{
	s->reset = !s->ended;
	s->code = code;
	/* Whoever waits for it: to write, to read, or to be connected. */
	s->up.flags |= EDGE_CAN_READ | EDGE_CAN_WRITE;
	edge_u2_stream_ready(s);
}

/* Closed by both ends, by RST_STREAM, by GOAWAY, or by nghttp2 for a violation. */
static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
	struct edge_u2 *h = arg;
	struct edge_u2_stream *s = find(ng, id);
	if (!s) return 0;
	s->gone = true;
	if (!s->ended && code == NGHTTP2_REFUSED_STREAM && !s->begun) {
		s->refused = true;
		s->stale = h->goaway;
	}
	/* Ours: for something that is no response. */
	if (!s->ended && (code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR))
		s->bad = true;
	edge_u2_stream_lost(s, code);
	return 0;
}

/* ---- what nghttp2 has to send ---- */

static ssize_t on_send(nghttp2_session *ng, const uint8_t *p, size_t n, int flags, void *arg)
{
	struct edge_u2 *h = arg;
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
	struct edge_u2 *h = arg;
	struct edge_u2_stream *s = find(ng, f->hd.stream_id);
	(void)source;
	HG_ASSERT(f->data.padlen == 0);
	if (!s || s->tx_n < n) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (EDGE_BUF_SIZE - h->out_n < n + HEAD) {
		h->full = true;
		return NGHTTP2_ERR_WOULDBLOCK;
	}
	memcpy(h->out + h->out_n, head, HEAD);
	edge_u2_tx_take(s, h->out + h->out_n + HEAD, (uint32_t)n);
	h->out_n += (uint32_t)n + HEAD;
	edge_h2_guard_moved(&h->guard);
	return 0;
}

/* As long as fits behind what is in `out`. */
static ssize_t on_length(nghttp2_session *ng, uint8_t type, int32_t id, int32_t session_window,
        int32_t stream_window, uint32_t frame_max, void *arg)
{
	enum { LEAST = 1024, MOST = 16384 };
	const struct edge_u2 *h = arg;
	uint32_t room = EDGE_BUF_SIZE - h->out_n;
	(void)ng, (void)type, (void)id, (void)session_window, (void)stream_window, (void)frame_max;
	if (room < LEAST || room > MOST + 9) return MOST;
	return room - 9;
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *f, void *arg)
{
	struct edge_u2 *h = arg;
	struct edge_u2_stream *s = find(ng, f->hd.stream_id);
	if (f->hd.type != NGHTTP2_HEADERS) return 0;
	if (s) s->sent = true;
	edge_h2_guard_moved(&h->guard);
	if (f->hd.stream_id >= EDGE_U2_ID_LAST) edge_u2_leave(h);
	return 0;
}

/* A request that came too late for this connection. */
static int on_frame_not_send(nghttp2_session *ng, const nghttp2_frame *f, int error, void *arg)
{
	struct edge_u2 *h = arg;
	(void)ng, (void)error;
	if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
	HG_LIST_EACH (n, &h->streams) {
		struct edge_u2_stream *s = HG_CONTAINER(n, struct edge_u2_stream, node);
		if (s->id != f->hd.stream_id || !s->submitted) continue;
		s->gone = s->refused = s->stale = true;
		edge_u2_stream_lost(s, NGHTTP2_REFUSED_STREAM);
		break;
	}
	return 0;
}

/* ---- life ---- */

static bool shared_make(struct edge *e)
{
	nghttp2_session_callbacks *cb;
	if (e->u2_callbacks) return true;
	if (nghttp2_option_new(&e->u2_option) < 0) return false;
	if (nghttp2_session_callbacks_new(&cb) < 0) {
		nghttp2_option_del(e->u2_option);
		e->u2_option = NULL;
		return false;
	}
	nghttp2_option_set_no_auto_window_update(e->u2_option, 1);
	nghttp2_option_set_no_closed_streams(e->u2_option, 1);
	nghttp2_option_set_max_reserved_remote_streams(e->u2_option, 0);
	nghttp2_option_set_peer_max_concurrent_streams(e->u2_option, EDGE_U2_STREAMS_BEFORE);
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback2(cb, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback2(cb, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
	nghttp2_session_callbacks_set_send_callback(cb, on_send);
	nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
	nghttp2_session_callbacks_set_data_source_read_length_callback(cb, on_length);
	e->u2_callbacks = cb;
	return true;
}

static bool settings_say(struct edge_u2 *h)
{
	const struct edge *e = h->edge;
	const uint32_t head_max =
	        e->image ? e->image->limits.head_max : EDGE_BUF_SIZE - EDGE_HEAD_SPARE;
	const nghttp2_settings_entry iv[] = {
	        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
	        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0},
	        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, EDGE_U2_WINDOW},
	        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, head_max},
	};
	return nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, iv, HG_COUNT(iv)) == 0 &&
	       nghttp2_session_set_local_window_size(
	               h->ng, NGHTTP2_FLAG_NONE, 0, EDGE_U2_SESSION_WINDOW) == 0;
}

bool edge_u2_ng_make(struct edge_u2 *h)
{
	if (!shared_make(h->edge)) return false;
	if (nghttp2_session_client_new2(&h->ng, h->edge->u2_callbacks, h, h->edge->u2_option) < 0) {
		h->ng = NULL;
		return false;
	}
	return settings_say(h);
}

void edge_u2_calm(struct edge_u2 *h)
{
	if (h->over) return;
	h->over = true;
	meter_add(&h->edge->count->upstream_calmed, 1);
	/* Without memory for it the connection ends without a word. */
	(void)nghttp2_session_terminate_session(h->ng, NGHTTP2_ENHANCE_YOUR_CALM);
}
