#include <stdio.h>

#include "data/edge/h2_priv.h"

/*
 * Header lists ↔ HTTP/1.1 text (RFC 9113 section 8). What nghttp2 refuses does not come here:
 * names that are no lower-case tokens, pseudo fields that are unknown, twice there or behind
 * others, connection-specific fields. What would change the meaning of the text is looked for
 * again all the same; the parser of HTTP/1.1 decides the rest.
 */

#define SPARE 256u /* what head_end writes, at most */

/* ---- requests ---- */

static bool append(struct edge_h2_stream *s, struct hg_str p)
{
	struct edge_flow *f = &s->conn.in;
	if (p.n > EDGE_BUF_SIZE - SPARE || f->n > EDGE_BUF_SIZE - SPARE - p.n) {
		s->too_large = true;
		return false;
	}
	if (p.n) memcpy(f->buf + f->n, p.p, p.n);
	f->n += (uint32_t)p.n;
	return true;
}

/* Line ends or NUL would make two fields of one, or end it early. */
static bool harmless(struct hg_str v)
{
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] == '\r' || v.p[i] == '\n' || v.p[i] == 0) return false;
	}
	return true;
}

/* Part of the request line: nothing that ends it, nothing that splits it. */
static bool visible(struct hg_str v)
{
	for (size_t i = 0; i < v.n; i++) {
		if ((unsigned char)v.p[i] <= ' ' || (unsigned char)v.p[i] >= 0x7f) return false;
	}
	return true;
}

static bool lower_token(struct hg_str v)
{
	if (v.n == 0) return false;
	for (size_t i = 0; i < v.n; i++) {
		char ch = v.p[i];
		if (ch <= ' ' || (unsigned char)ch >= 0x7f || ch == ':' || (ch >= 'A' && ch <= 'Z'))
			return false;
	}
	return true;
}

static struct hg_str pseudo(const struct edge_h2_stream *s, enum edge_h2_pseudo which)
{
	return (struct hg_str){s->conn.in.buf + s->pseudo[which].at, s->pseudo[which].n};
}

static void pseudo_keep(struct edge_h2_stream *s, struct hg_str name, struct hg_str value)
{
	static const char *const names[EDGE_H2_PSEUDOS] = {
	        ":method", ":scheme", ":authority", ":path", ":protocol"};
	for (int i = 0; i < EDGE_H2_PSEUDOS; i++) {
		if (!hg_str_eq(name, hg_str(names[i]))) continue;
		bool again = s->pseudo[i].n || s->lined;
		if (again || !visible(value) || value.n == 0) break;
		s->pseudo[i].at = (uint16_t)s->conn.in.n;
		if (append(s, value)) s->pseudo[i].n = (uint16_t)value.n;
		return;
	}
	s->malformed = true;
}

static void line(struct edge_h2_stream *s, struct hg_str name, struct hg_str value)
{
	append(s, name);
	append(s, HG_STR(": "));
	append(s, value);
	append(s, HG_STR("\r\n"));
}

/* The values stand before it in the buffer, and are gone once they are in it. */
static void request_line(struct edge_h2_stream *s)
{
	struct edge_flow *f = &s->conn.in;
	struct hg_str method = pseudo(s, EDGE_H2_METHOD), host = pseudo(s, EDGE_H2_AUTHORITY);
	struct hg_str path = pseudo(s, EDGE_H2_PATH), scheme = pseudo(s, EDGE_H2_SCHEME);
	struct hg_str protocol = pseudo(s, EDGE_H2_PROTOCOL);
	bool connect = hg_str_eq(method, HG_STR("CONNECT"));
	uint32_t at = f->n;
	s->lined = true;
	s->ws = connect && hg_str_eq(protocol, HG_STR("websocket"));
	s->other_protocol = connect && protocol.n && !s->ws;
	if (protocol.n && (!connect || host.n == 0)) s->malformed = true;
	if (connect && !protocol.n) {
		s->malformed = s->malformed || path.n || scheme.n || host.n == 0;
		path = host;
	} else {
		bool http = hg_str_eq(scheme, HG_STR("https")) || hg_str_eq(scheme, HG_STR("http"));
		/* Absolute forms would bring a second authority with them. */
		bool origin = path.n && (path.p[0] == '/' || hg_str_eq(path, HG_STR("*")));
		s->malformed = s->malformed || !http || !origin || method.n == 0;
	}
	append(s, s->ws ? HG_STR("GET") : method);
	append(s, HG_STR(" "));
	append(s, path);
	append(s, HG_STR(" HTTP/1.1\r\n"));
	if (host.n) line(s, HG_STR("Host"), host);
	f->at = f->ready = f->raw = at;
}

static void host_field(struct edge_h2_stream *s, struct hg_str value)
{
	struct hg_str host = pseudo(s, EDGE_H2_AUTHORITY);
	if (s->host_seen) s->malformed = true;
	s->host_seen = true;
	if (host.n == 0) {
		line(s, HG_STR("Host"), value);
	} else if (!hg_str_eq_nocase(host, value)) {
		s->malformed = true;
	}
}

/* RFC 9113 section 8.2.3: crumbs become one field again, wherever they came. */
static void cookie_field(struct edge_h2_stream *s, struct hg_str value)
{
	struct edge_flow *f = &s->conn.in;
	uint32_t at = s->cookie_end, n = f->n, more = (uint32_t)value.n + 2;
	if (at == 0) {
		line(s, HG_STR("Cookie"), value);
		s->cookie_end = f->n - 2;
		return;
	}
	/* Made longer at its end; then what was behind the cookie goes there. */
	if (!append(s, HG_STR("; ")) || !append(s, value)) return;
	memmove(f->buf + at + more, f->buf + at, n - at);
	memcpy(f->buf + at, "; ", 2);
	memcpy(f->buf + at + 2, value.p, value.n);
	s->cookie_end = at + more;
}

static bool connection_specific(struct hg_str name)
{
	return (http1_marks[http1_field_lookup(name)] & HTTP1_M_CONNECTION) ||
	       hg_str_eq(name, HG_STR("http2-settings"));
}

static void regular_field(struct edge_h2_stream *s, struct hg_str name, struct hg_str value)
{
	if (!s->lined) request_line(s);
	if (!lower_token(name) || !harmless(value) || connection_specific(name)) {
		s->malformed = true;
	} else if (hg_str_eq(name, HG_STR("cookie"))) {
		cookie_field(s, value);
	} else if (++s->field_n > HTTP1_FIELDS_MAX) {
		s->too_large = true;
	} else if (s->ws && hg_str_eq(name, HG_STR("sec-websocket-key"))) {
		return; /* ours counts */
	} else if (hg_str_eq(name, HG_STR("host"))) {
		host_field(s, value);
	} else {
		if (hg_str_eq(name, HG_STR("content-length"))) s->has_length = true;
		if (hg_str_eq(name, HG_STR("te")) && !hg_str_eq_nocase(value, HG_STR("trailers")))
			s->malformed = true;
		line(s, name, value);
	}
}

/* The list's size as the client counts it; far beyond the limit it is an attack (one byte of HPACK
 * can stand for kilobytes). */
static bool sized(struct edge_h2_stream *s, struct hg_str name, struct hg_str value)
{
	struct edge *e = s->conn.edge;
	uint32_t most = e->image ? e->image->limits.head_max : EDGE_BUF_SIZE - EDGE_HEAD_SPARE;
	s->head_size += (uint32_t)(name.n + value.n) + 32;
	if (s->head_size > most + EDGE_H2_HEAD_EXCESS) edge_h2_calm(s->conn.h2);
	if (s->head_size > most) s->too_large = true;
	return !s->too_large;
}

void edge_h2_head_field(struct edge_h2_stream *s, struct hg_str name, struct hg_str value)
{
	if (!sized(s, name, value) || s->malformed) return;
	if (name.n && name.p[0] == ':') {
		pseudo_keep(s, name, value);
	} else {
		regular_field(s, name, value);
	}
}

/* Methods whose meaning anticipates a body (RFC 9110 section 8.6). */
static bool expects_body(struct hg_str method)
{
	return hg_str_eq(method, HG_STR("POST")) || hg_str_eq(method, HG_STR("PUT")) ||
	       hg_str_eq(method, HG_STR("PATCH"));
}

static void length_line(struct edge_h2_stream *s, uint32_t n)
{
	char text[16];
	int k = snprintf(text, sizeof text, "%u", n);
	line(s, HG_STR("Content-Length"), (struct hg_str){text, (size_t)k});
}

bool edge_h2_head_end(struct edge_h2_stream *s)
{
	if (!s->lined) request_line(s);
	/* What follows a CONNECT is no body. */
	if (s->ws && s->has_length) s->malformed = true;
	if (s->malformed) return false;
	bool connect = hg_str_eq(pseudo(s, EDGE_H2_METHOD), HG_STR("CONNECT"));
	if (s->ws) {
		edge_h2_ws_key(s);
		line(s, HG_STR("Upgrade"), HG_STR("websocket"));
		line(s, HG_STR("Connection"), HG_STR("upgrade"));
		line(s, HG_STR("Sec-WebSocket-Key"), (struct hg_str){s->ws_key, EDGE_H2_WS_KEY});
	}
	if (s->has_length || connect) {
		/* nghttp2 has compared it with an end that is here, and will with one to come. */
	} else if (!s->rx_end || s->trailer_n) {
		line(s, HG_STR("Transfer-Encoding"), HG_STR("chunked"));
	} else if (s->rx_n || expects_body(pseudo(s, EDGE_H2_METHOD))) {
		length_line(s, s->rx_n); /* all of it is here already */
	}
	append(s, HG_STR("\r\n"));
	return true;
}

bool edge_h2_trailer_banned(struct hg_str name)
{
	static const char *const names[] = {
	        "set-cookie", "content-range", "range", "cache-control", "max-forwards"};
	if (!http1_trailer_allowed(name)) return true;
	for (size_t i = 0; i < HG_COUNT(names); i++) {
		if (hg_str_eq_nocase(name, hg_str(names[i]))) return true;
	}
	return false;
}

void edge_h2_trailer_field(struct edge_h2_stream *s, struct hg_str name, struct hg_str value)
{
	if (!lower_token(name) || !harmless(value)) s->malformed = true;
	if (!sized(s, name, value) || s->malformed || edge_h2_trailer_banned(name)) return;
	/* With a length there is no place for them towards the replica. */
	if (s->has_length || s->begun) {
		const struct edge_req *r = s->conn.req;
		if (s->has_length || !r || r->body.kind != HTTP1_BODY_CHUNKED) return;
	}
	if (s->trailer_n + name.n + value.n + 4 > EDGE_H2_TRAILERS_MAX) return;
	if (!edge_h2_rx_trailer(s, name) || !edge_h2_rx_trailer(s, HG_STR(": ")) ||
	        !edge_h2_rx_trailer(s, value) || !edge_h2_rx_trailer(s, HG_STR("\r\n"))) {
		s->starved = true;
	}
}

/* ---- responses ---- */

static bool hop_response(struct hg_str name)
{
	if (name.n != 10 && name.n != 16 && name.n != 17 && name.n != 7) return false;
	return (http1_marks[http1_field_lookup(name)] & HTTP1_M_CONNECTION) != 0;
}

static nghttp2_nv nv_of(struct hg_str name, struct hg_str value)
{
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n,
	        value.n, NGHTTP2_NV_FLAG_NONE};
}

bool edge_h2_line_next(struct hg_str *p, struct hg_str *ret_name, struct hg_str *ret_value)
{
	const char *end = p->n ? memchr(p->p, '\r', p->n) : NULL;
	const char *colon = end ? memchr(p->p, ':', (size_t)(end - p->p)) : NULL;
	size_t used = end ? (size_t)(end - p->p) + 2 : 0;
	if (!end || used > p->n) return false;
	*ret_name = *ret_value = (struct hg_str){NULL, 0};
	if (colon) {
		*ret_name = (struct hg_str){p->p, (size_t)(colon - p->p)};
		*ret_value = hg_str_trim((struct hg_str){colon + 1, (size_t)(end - colon) - 1});
	}
	bool empty = end == p->p;
	*p = (struct hg_str){p->p + used, p->n - used};
	return !empty;
}

/* The fields up to the empty line, without those that are HTTP/1.1's own. nghttp2 makes the names
 * lower case. */
static size_t fields_read(struct hg_str *p, nghttp2_nv *nv, size_t n, size_t cap)
{
	struct hg_str name, value;
	while (edge_h2_line_next(p, &name, &value)) {
		if (name.n == 0 || n == cap || hop_response(name)) continue;
		/* It proves something to us alone. */
		if (name.n == 20 && hg_str_eq_nocase(name, HG_STR("Sec-WebSocket-Accept")))
			continue;
		nv[n++] = nv_of(name, value);
	}
	return n;
}

static bool one_head(struct edge_h2_stream *s, const nghttp2_data_provider *body)
{
	struct edge_conn *c = &s->conn;
	struct edge_req *r = c->req;
	nghttp2_nv nv[HTTP1_FIELDS_MAX + 16 + SNAP_GATEWAY_RULES + SNAP_GATEWAY_OWN];
	struct hg_str p = {r->co + r->co_sent, r->co_n - r->co_sent};
	struct hg_str status = {p.p + 9, 3}, name, value;
	bool end;
	HG_ASSERT(p.n > 12);
	edge_h2_line_next(&p, &name, &value); /* the status line */
	bool tunnel = s->ws && hg_str_eq(status, HG_STR("101"));
	nv[0] = nv_of(HG_STR(":status"), tunnel ? HG_STR("200") : status);
	size_t n = fields_read(&p, nv, 1, HG_COUNT(nv));
	r->co_sent = r->co_n - (uint32_t)p.n;
	if (status.p[0] == '1' && !tunnel) {
		return nghttp2_submit_headers(
		               c->h2->ng, NGHTTP2_FLAG_NONE, s->id, NULL, nv, n, NULL) == 0;
	}
	s->head_sent = true;
	bool bodiless = edge_h2_tx_ready(c, &end) == 0 && end && r->rf.kept == 0;
	return nghttp2_submit_response(c->h2->ng, s->id, nv, n, bodiless ? NULL : body) == 0;
}

bool edge_h2_head_send(struct edge_h2_stream *s, const nghttp2_data_provider *body)
{
	struct edge_req *r = s->conn.req;
	uint32_t until = r->co_n;
	/* While a response is held, its head is here and not to be seen yet. */
	if (s->conn.state == EDGE_HOLD) until = r->draw->hold_at;
	while (!s->head_sent && r->co_sent < until) {
		if (!one_head(s, body)) return false;
	}
	return true;
}

bool edge_h2_trailers_send(struct edge_h2_stream *s)
{
	struct edge_conn *c = &s->conn;
	struct edge_req *r = c->req;
	nghttp2_nv nv[32];
	struct hg_str p, name, value;
	size_t n = 0;
	if (r->rf.kept == 0) return false;
	p = (struct hg_str){r->rf.buf + r->rf.ready, r->rf.kept};
	while (n < HG_COUNT(nv) && edge_h2_line_next(&p, &name, &value)) {
		if (name.n && !edge_h2_trailer_banned(name)) nv[n++] = nv_of(name, value);
	}
	return n && nghttp2_submit_trailer(c->h2->ng, s->id, nv, n) == 0;
}
