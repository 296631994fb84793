#include <errno.h>
#include <stdio.h>

#include "data/edge/u2_priv.h"
#include "wire/grpc.h"

/*
 * HTTP/1.1 text ↔ header lists, as h2_head.c has it for clients. A request's text is our own. Of a
 * response, nghttp2 refuses names that are no lower-case tokens, pseudo fields that are unknown or
 * out of place, connection-specific fields, and lengths that do not fit; what could make two lines
 * of one is looked for again, and the parser of HTTP/1.1 decides the rest.
 */

/* ---- requests ---- */

struct list {
	nghttp2_nv nv[HTTP1_FIELDS_MAX + 32 + SNAP_GATEWAY_RULES];
	size_t n;
};

static bool add(struct list *l, struct hg_str name, struct hg_str value)
{
	if (l->n == HG_COUNT(l->nv)) return false;
	l->nv[l->n++] = (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p,
	        name.n, value.n, NGHTTP2_NV_FLAG_NONE};
	return true;
}

/* Of a WebSocket's handshake over HTTP/1.1: what RFC 8441 has other words for. */
static bool handshake(struct edge_u2_stream *s, struct hg_str name, struct hg_str value)
{
	if (!hg_str_eq_nocase(name, HG_STR("Sec-WebSocket-Key"))) return false;
	if (value.n == EDGE_H2_WS_KEY) memcpy(s->ws_key, value.p, EDGE_H2_WS_KEY);
	return true;
}

static uint64_t number(struct hg_str v)
{
	uint64_t n = 0;
	for (size_t i = 0; i < v.n; i++)
		n = n * 10 + (uint64_t)(v.p[i] - '0');
	return n;
}

/* False: it is one that HTTP/2 has no place for. */
static bool passes(
        struct edge_u2_stream *s, struct list *l, struct hg_str name, struct hg_str value)
{
	if (hg_str_eq_nocase(name, HG_STR("Host"))) {
		add(l, HG_STR(":authority"), value);
		return false;
	}
	if (hg_str_eq_nocase(name, HG_STR("Transfer-Encoding"))) {
		s->kind = HTTP1_BODY_CHUNKED;
		return false;
	}
	if (hg_str_eq_nocase(name, HG_STR("Content-Length"))) {
		s->left = number(value);
		s->kind = s->left ? HTTP1_BODY_LENGTH : HTTP1_BODY_NONE;
	}
	if (hg_str_eq_nocase(name, HG_STR("Content-Type"))) s->is_grpc = grpc_type(value);
	if (s->tunnel && handshake(s, name, value)) return false;
	return !hg_str_eq_nocase(name, HG_STR("Connection")) &&
	       !hg_str_eq_nocase(name, HG_STR("Upgrade"));
}

/* "GET /x HTTP/1.1" */
static bool request_line(struct edge_u2_stream *s, struct list *l, struct hg_str line)
{
	struct hg_str method = hg_str_cut(&line, ' '), path = hg_str_cut(&line, ' ');
	if (method.n == 0 || path.n == 0) return false;
	s->is_head = hg_str_eq(method, HG_STR("HEAD"));
	add(l, HG_STR(":method"), s->tunnel ? HG_STR("CONNECT") : method);
	add(l, HG_STR(":scheme"), HG_STR("http"));
	add(l, HG_STR(":path"), path);
	if (s->tunnel) add(l, HG_STR(":protocol"), HG_STR("websocket"));
	return true;
}

int edge_u2_head_submit(struct edge_u2_stream *s, struct hg_str head)
{
	struct edge_u2 *h = s->session;
	nghttp2_data_provider body = {.read_callback = edge_u2_on_pull};
	struct list l;
	struct hg_str name, value;
	const char *end = memmem(head.p, head.n, "\r\n", 2);
	l.n = 0;
	s->kind = HTTP1_BODY_NONE;
	if (!end || !request_line(s, &l, (struct hg_str){head.p, (size_t)(end - head.p)}))
		return -EPROTO;
	head = (struct hg_str){end + 2, head.n - (size_t)(end + 2 - head.p)};
	while (edge_h2_line_next(&head, &name, &value)) {
		if (passes(s, &l, name, value) && !add(&l, name, value)) return -EPROTO;
	}
	if (s->tunnel) s->kind = HTTP1_BODY_TUNNEL;
	bool none = s->kind == HTTP1_BODY_NONE;
	s->id = nghttp2_submit_request(h->ng, NULL, l.nv, l.n, none ? NULL : &body, s);
	s->tx_end = none;
	if (s->id < 0) {
		/* Its numbers are used up, or there is no memory: it was not seen there. */
		s->gone = s->reset = s->refused = s->stale = true;
		h->over = h->over || s->id == NGHTTP2_ERR_NOMEM;
		s->id = 0;
		return -EPIPE;
	}
	s->submitted = true;
	return 0;
}

bool edge_u2_trailers_submit(struct edge_u2_stream *s)
{
	struct list l;
	struct hg_str name, value, p = {s->tx ? s->tx + s->tx_at + s->tx_n : NULL, s->trailer_n};
	l.n = 0;
	if (p.n == 0) return false;
	while (edge_h2_line_next(&p, &name, &value)) {
		if (name.n && !edge_h2_trailer_banned(name) && !add(&l, name, value)) break;
	}
	return l.n && nghttp2_submit_trailer(s->session->ng, s->id, l.nv, l.n) == 0;
}

/* ---- responses ---- */

static bool harmless(struct hg_str v)
{
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] == '\r' || v.p[i] == '\n' || v.p[i] == 0) return false;
	}
	return true;
}

static void bad(struct edge_u2_stream *s)
{
	if (s->bad) return;
	s->bad = s->told = true;
	/* Without memory for it, the stream ends with the session. */
	(void)nghttp2_submit_rst_stream(
	        s->session->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_PROTOCOL_ERROR);
	edge_u2_stream_lost(s, NGHTTP2_PROTOCOL_ERROR);
}

void edge_u2_head_begin(struct edge_u2_stream *s)
{
	s->begun = true;
	s->head_size = 0;
	edge_u2_rx_close(s);
	if (s->final && s->framed) edge_u2_rx_text(s, HG_STR("0\r\n"));
	if (!s->final) s->status = 0;
}

static void line(struct edge_u2_stream *s, struct hg_str name, struct hg_str value)
{
	edge_u2_rx_text(s, name);
	edge_u2_rx_text(s, HG_STR(": "));
	edge_u2_rx_text(s, value);
	edge_u2_rx_text(s, HG_STR("\r\n"));
}

static bool opens(const struct edge_u2_stream *s)
{
	return s->tunnel && s->status >= 200 && s->status < 300;
}

static void status_line(struct edge_u2_stream *s, struct hg_str v)
{
	char text[48];
	unsigned status = 0;
	if (v.n != 3) {
		bad(s);
		return;
	}
	status = (unsigned)number(v);
	s->status = (uint16_t)status;
	if (opens(s)) status = 101;
	int n = snprintf(text, sizeof text, "HTTP/1.1 %u %s\r\n", status, http1_reason(status));
	edge_u2_rx_text(s, (struct hg_str){text, HG_MIN((size_t)n, sizeof text - 1)});
}

/* The list's size as RFC 9113 section 10.5.1 counts; far beyond the limit it is an attack (one
 * byte of HPACK can stand for kilobytes). */
static bool sized(struct edge_u2_stream *s, struct hg_str name, struct hg_str value)
{
	const struct edge *e = s->up.edge;
	uint32_t most = e->image ? e->image->limits.head_max : EDGE_BUF_SIZE - EDGE_HEAD_SPARE;
	s->head_size += (uint32_t)(name.n + value.n) + 32;
	if (s->head_size > most + EDGE_H2_HEAD_EXCESS) edge_u2_calm(s->session);
	if (s->head_size > most) bad(s);
	return !s->bad;
}

static void trailer_field(struct edge_u2_stream *s, struct hg_str name, struct hg_str value)
{
	/* Behind a length there is no place for them towards us, either. */
	if (s->framed && !edge_h2_trailer_banned(name)) line(s, name, value);
}

void edge_u2_head_field(struct edge_u2_stream *s, struct hg_str name, struct hg_str value)
{
	if (s->bad || s->starved || !sized(s, name, value)) return;
	if (name.n == 0 || !harmless(name) || !harmless(value)) {
		bad(s);
	} else if (name.p[0] == ':') {
		/* nghttp2 lets no other one through. */
		status_line(s, value);
	} else {
		if (hg_str_eq(name, HG_STR("grpc-status"))) {
			s->grpc_said = true;
			s->grpc_status = grpc_status_read(value);
		}
		if (s->final) {
			trailer_field(s, name, value);
			return;
		}
		bool length = hg_str_eq(name, HG_STR("content-length"));
		if (length && opens(s)) return;
		if (length) s->length = true;
		if (hg_str_eq(name, HG_STR("content-type"))) s->grpc = grpc_type(value);
		line(s, name, value);
	}
}

static void final_end(struct edge_u2_stream *s, bool end)
{
	s->final = true;
	s->grpc = s->grpc && s->is_grpc && s->status == 200;
	if (opens(s)) {
		char accept[EDGE_H2_WS_PROOF];
		line(s, HG_STR("upgrade"), HG_STR("websocket"));
		line(s, HG_STR("connection"), HG_STR("upgrade"));
		if (edge_h2_ws_prove(s->ws_key, accept))
			line(s, HG_STR("sec-websocket-accept"),
			        (struct hg_str){accept, EDGE_H2_WS_PROOF});
	} else if (!s->length && !s->is_head && s->status != 204 && s->status != 304) {
		s->framed = !end;
		line(s, end ? HG_STR("content-length") : HG_STR("transfer-encoding"),
		        end ? HG_STR("0") : HG_STR("chunked"));
	}
	edge_u2_rx_text(s, HG_STR("\r\n"));
}

void edge_u2_head_end(struct edge_u2_stream *s, bool end)
{
	if (s->bad) return;
	if (s->final) {
		if (s->framed) edge_u2_rx_text(s, HG_STR("\r\n"));
		s->framed = false; /* its last chunk was said */
	} else if (s->status >= 200) {
		final_end(s, end);
	} else {
		edge_u2_rx_text(s, HG_STR("\r\n"));
	}
	s->up.flags |= EDGE_CAN_READ;
}
