#include "data/edge/gateway_priv.h"
#include "data/edge/identity_priv.h"
#include "os/clock.h"
#include "wire/tracectx.h"

/*
 * Heads are rebuilt into one buffer: fields that pass unchanged are copied in runs, as they came;
 * what frames the message is always written by us, from what the parser understood, so that both
 * sides of the edge agree on where a message ends (RFC 9112 section 11.2).
 */

/* What this edge writes itself, so that what was received is left out. What a client says about
 * itself counts for nothing; what a trusted proxy says of it was read (client.c) and is said anew.
 */
bool edge_head_ours_request(const struct http1_field *f)
{
	if (f->hop || (http1_marks[f->id] & HTTP1_M_REQUEST)) return true;
	return f->id == HTTP1_F_OTHER && http1_field_claims(f->name);
}

bool edge_head_ours_response(const struct http1_field *f)
{
	return f->hop || (http1_marks[f->id] & HTTP1_M_RESPONSE);
}

/* Copies the lines of all fields that `ours` does not name. `end`: after the last field line. */
static void copy_fields(struct hg_out *o, const struct http1_head *h, const char *end,
        bool (*ours)(const struct http1_field *), bool no_tracestate)
{
	const char *run = NULL;
	for (uint16_t i = 0; i < h->field_count; i++) {
		const struct http1_field *f = &h->field[i];
		bool skip = ours(f) || (no_tracestate && f->id == HTTP1_F_TRACESTATE);
		if (!skip && !run) run = f->name.p;
		if (skip && run) {
			hg_out_str(o, (struct hg_str){run, (size_t)(f->name.p - run)});
			run = NULL;
		}
	}
	if (run) hg_out_str(o, (struct hg_str){run, (size_t)(end - run)});
}

static void line(struct hg_out *o, struct hg_str name, struct hg_str value)
{
	hg_out_str(o, name);
	hg_out_str(o, value);
	hg_out_str(o, HG_STR("\r\n"));
}

static void framing(struct hg_out *o, const struct http1_head *h, enum http1_body kind)
{
	if (kind == HTTP1_BODY_CHUNKED) {
		hg_out_str(o, HG_STR("Transfer-Encoding: chunked\r\n"));
	} else if (h->has_content_length) {
		hg_out_str(o, HG_STR("Content-Length: "));
		hg_out_u64(o, h->content_length);
		hg_out_str(o, HG_STR("\r\n"));
	}
}

static void upgrade(struct hg_out *o, const struct http1_head *h)
{
	const struct http1_field *f = http1_find(h, HTTP1_F_UPGRADE);
	if (f) line(o, HG_STR("Upgrade: "), f->value);
	hg_out_str(o, HG_STR("Connection: upgrade\r\n"));
}

static bool id_sane(struct hg_str s)
{
	if (s.n == 0 || s.n > 128) return false;
	for (size_t i = 0; i < s.n; i++) {
		char ch = s.p[i];
		bool ok = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') ||
		          (ch >= 'A' && ch <= 'Z') || (ch && strchr("-_.:+/=@", ch));
		if (!ok) return false;
	}
	return true;
}

static void request_id(struct edge_conn *c, const struct http1_head *h, struct hg_out *o)
{
	struct edge_req *r = c->req;
	const struct http1_field *f = http1_find(h, HTTP1_F_X_REQUEST_ID);
	if (f && id_sane(f->value)) {
		memcpy(r->rid, f->value.p, f->value.n);
		r->rid_n = (uint8_t)f->value.n;
	} else {
		tracectx_hex64(hg_rand_u64(&c->edge->rand), r->rid);
		tracectx_hex64(hg_rand_u64(&c->edge->rand), r->rid + 16);
		r->rid_n = 32;
	}
	line(o, HG_STR("X-Request-Id: "), (struct hg_str){r->rid, r->rid_n});
}

/* RFC 7239: an IPv6 address is quoted and in brackets; a host with a port is quoted. */
static void forwarded(struct edge_conn *c, struct hg_str host, struct hg_out *o)
{
	struct hg_str ip = {c->client, c->client_n};
	bool v6 = memchr(ip.p, ':', ip.n) != NULL;
	line(o, HG_STR("X-Forwarded-For: "), ip);
	line(o, HG_STR("X-Forwarded-Proto: "), c->https ? HG_STR("https") : HG_STR("http"));
	hg_out_str(o, HG_STR("Forwarded: for="));
	if (v6) hg_out_str(o, HG_STR("\"["));
	hg_out_str(o, ip);
	if (v6) hg_out_str(o, HG_STR("]\""));
	hg_out_str(o, c->https ? HG_STR(";proto=https") : HG_STR(";proto=http"));
	if (host.n) {
		hg_out_str(o, HG_STR(";host=\""));
		hg_out_str(o, host);
		hg_out_str(o, HG_STR("\"\r\n"));
		line(o, HG_STR("X-Forwarded-Host: "), host);
	} else {
		hg_out_str(o, HG_STR("\r\n"));
	}
}

static void request_line(const struct http1_head *h, struct hg_out *o)
{
	hg_out_str(o, h->method_text);
	hg_out_byte(o, ' ');
	if (h->target.n && (h->target.p[0] == '/' || h->target.p[0] == '*')) {
		hg_out_str(o, h->target);
	} else {
		/* absolute-form becomes origin-form (RFC 9112 section 3.2.2) */
		hg_out_str(o, h->path.n ? h->path : HG_STR("/"));
		if (h->query.n) hg_out_byte(o, '?');
		hg_out_str(o, h->query);
	}
	hg_out_str(o, HG_STR(" HTTP/1.1\r\n"));
}

/* HTTP/1.0 clients may send no Host; HTTP/1.1 replicas must get one: the address they came to. */
static struct hg_str host_of(struct edge_conn *c, const struct http1_head *h, char *to)
{
	struct sock_addr local;
	if (h->authority.n) return h->authority;
	if (!sock_local(c->io.fd, &local) || local.sa.sa_family == AF_UNIX)
		return HG_STR("localhost");
	return (struct hg_str){to, sock_addr_text(&local, to, SOCK_TEXT_MAX)};
}

bool edge_head_request(struct edge_conn *c, const struct http1_head *h, struct hg_out *o)
{
	struct edge_req *r = c->req;
	char host_text[SOCK_TEXT_MAX];
	struct hg_str host = host_of(c, h, host_text);
	const char *end = c->in.buf + c->in.raw - 2;
	if (HG_UNLIKELY(r->gateway && r->gateway->flags & SNAP_GW_PATH))
		edge_rewrite_line(c, h, o);
	else
		request_line(h, o);
	line(o, HG_STR("Host: "), host);
	/* A tracestate without its traceparent means nothing. */
	bool goes_on = r->trace_goes_on;
	edge_trace_line(c, o);
	if (HG_UNLIKELY(r->gateway && r->gateway->flags & SNAP_GW_REQUEST))
		edge_rewrite_request(c, h, end, !goes_on, o);
	else
		copy_fields(o, h, end, edge_head_ours_request, !goes_on);
	framing(o, h, h->body);
	if (r->expect) hg_out_str(o, HG_STR("Expect: 100-continue\r\n"));
	/* What gRPC asks for; of a stream, it says nothing but "trailers". */
	if (HG_UNLIKELY(c->stream) && http1_find(h, HTTP1_F_TE))
		hg_out_str(o, HG_STR("TE: trailers\r\nConnection: TE\r\n"));
	if (r->upgrade) upgrade(o, h);
	if (HG_UNLIKELY(r->timed)) edge_deadline_line(r, o);
	request_id(c, h, o);
	forwarded(c, h->authority, o);
	if (HG_UNLIKELY(r->who)) edge_identity_fields(r, o);
	if (HG_UNLIKELY(r->gateway)) edge_rewrite_request_end(c, h, o);
	if (HG_UNLIKELY(r->identity)) hg_out_str(o, tls_peer_fields(edge_conn_carrier(c)->tls));
	hg_out_str(o, HG_STR("Via: "));
	hg_out_str(o, c->stream ? HG_STR("2.0 ") : h->minor ? HG_STR("1.1 ") : HG_STR("1.0 "));
	line(o, r->image->via, HG_STR(""));
	hg_out_str(o, HG_STR("\r\n"));
	return !hg_out_failed(o);
}

static void date(struct edge *e, struct hg_out *o)
{
	uint64_t s = clock_wall_ms() / 1000;
	if (s != e->date_s) {
		e->date_s = s;
		edge_http_date(s, e->date);
	}
	line(o, HG_STR("Date: "), hg_str(e->date));
}

/* RFC 6797 section 7.1: only over TLS, and once; what the application says counts. */
void edge_head_hsts(const struct edge_req *r, const struct http1_head *h, struct hg_out *o)
{
	uint32_t s = r->image ? r->image->snap->hsts_s : 0;
	if (s == 0) return;
	if (r->gateway && edge_gateway_drops(r, HG_STR("strict-transport-security"))) return;
	for (uint16_t i = 0; h && i < h->field_count; i++) {
		if (hg_str_eq_nocase(h->field[i].name, HG_STR("Strict-Transport-Security"))) return;
	}
	hg_out_str(o, HG_STR("Strict-Transport-Security: max-age="));
	hg_out_u64(o, s);
	hg_out_str(o, HG_STR("\r\n"));
}

bool edge_head_response(struct edge_conn *c, const struct http1_head *h, struct hg_out *o)
{
	struct edge_req *r = c->req;
	const char *end = r->rf.buf + r->rf.raw + h->size - 2;
	bool final = h->status >= 200 || h->status == 101;
	hg_out_str(o, HG_STR("HTTP/1.1 "));
	hg_out_u64(o, h->status);
	hg_out_byte(o, ' ');
	line(o, h->reason, HG_STR(""));
	if (HG_UNLIKELY(r->gateway && final))
		edge_rewrite_response(c, h, end, o);
	else
		copy_fields(o, h, end, edge_head_ours_response, false);
	if (h->body == HTTP1_BODY_TUNNEL) {
		upgrade(o, h);
	} else if (final) {
		if (!http1_find(h, HTTP1_F_DATE)) date(c->edge, o);
		if (HG_UNLIKELY(r->draw) && r->draw->set_cookie) {
			edge_sticky_write(&r->draw->trial->is, r->draw->arm, o);
		}
		if (HG_UNLIKELY(r->chosen)) edge_affinity_write(c, o);
		if (HG_UNLIKELY(c->secure)) edge_head_hsts(r, h, o);
		if (HG_UNLIKELY(r->limited)) edge_limit_fields(r, o);
		if (!r->resp.dechunk && h->status != 204) framing(o, h, h->body);
		if (!r->keep_alive) {
			hg_out_str(o, HG_STR("Connection: close\r\n"));
		} else if (!r->minor_1) {
			hg_out_str(o, HG_STR("Connection: keep-alive\r\n"));
		}
	}
	hg_out_str(o, HG_STR("\r\n"));
	return !hg_out_failed(o);
}

/* Does a received-by of this list name us? Via = protocol RWS received-by [RWS comment] */
static bool via_names(struct hg_str list, struct hg_str via)
{
	while (list.n) {
		struct hg_str one = hg_str_trim(hg_str_cut(&list, ','));
		hg_str_cut(&one, ' ');
		one = hg_str_trim(one);
		struct hg_str by = hg_str_cut(&one, ' ');
		if (hg_str_eq_nocase(by, via)) return true;
	}
	return false;
}

bool edge_via_loops(const struct http1_head *h, struct hg_str via)
{
	if (!http1_find(h, HTTP1_F_VIA)) return false;
	for (uint16_t i = 0; i < h->field_count; i++) {
		if (h->field[i].id == HTTP1_F_VIA && via_names(h->field[i].value, via)) return true;
	}
	return false;
}
