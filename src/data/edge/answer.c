#include <unistd.h>

#include "data/edge/gateway_priv.h"
#include "os/clock.h"

static void head_write(struct edge_conn *c, unsigned status, const char *type, size_t body_n,
        struct hg_str extra, struct hg_out *o)
{
	const struct edge_req *r = c->req;
	char date[32];
	edge_http_date(clock_wall_ms() / 1000, date);
	hg_out_cstr(o, "HTTP/1.1 ");
	hg_out_u64(o, status);
	hg_out_byte(o, ' ');
	hg_out_cstr(o, http1_reason(status));
	hg_out_cstr(o, "\r\nDate: ");
	hg_out_cstr(o, date);
	hg_out_cstr(o, "\r\n");
	if (!r->gateway || !edge_gateway_drops(r, HG_STR("server")))
		hg_out_cstr(o, "Server: headgate\r\n");
	if (status != 204) { /* RFC 9110 section 8.6: no length, and nothing to describe */
		hg_out_cstr(o, "Content-Type: ");
		hg_out_cstr(o, type);
		hg_out_cstr(o, "\r\nContent-Length: ");
		hg_out_u64(o, body_n);
		hg_out_cstr(o, "\r\n");
	}
	hg_out_cstr(o, "Cache-Control: no-store\r\n");
	if (status == 503 && extra.n == 0) {
		hg_out_cstr(o, "Retry-After: ");
		hg_out_u64(o, HG_MAX(r->retry_after_s, 1u));
		hg_out_cstr(o, "\r\n");
	}
	hg_out_str(o, extra);
	if (r->limited) edge_limit_fields(r, o);
	if (c->secure) edge_head_hsts(r, NULL, o);
	if (r->gateway) edge_gateway_own(c, o);
	if (status == 405) {
		hg_out_cstr(o, "Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n");
	}
	if (r->traced && status >= 400) {
		hg_out_cstr(o, "X-Trace-Id: ");
		hg_out_str(o, (struct hg_str){r->trace, sizeof r->trace});
		hg_out_cstr(o, "\r\n");
	}
	if (r->rid_n) {
		hg_out_cstr(o, "X-Request-Id: ");
		hg_out_str(o, (struct hg_str){r->rid, r->rid_n});
		hg_out_cstr(o, "\r\n");
	}
	if (r->draw && r->draw->set_cookie) {
		edge_sticky_write(&r->draw->trial->is, r->draw->arm, o);
	}
	if (!r->keep_alive) {
		hg_out_cstr(o, "Connection: close\r\n");
	} else if (!r->minor_1) {
		hg_out_cstr(o, "Connection: keep-alive\r\n");
	}
	hg_out_cstr(o, "\r\n");
}

static enum edge_step hopeless(struct edge_conn *c)
{
	meter_add(&c->edge->count->refused_full, 1);
	if (c->req) {
		c->req->broken = true;
		edge_request_abort(c);
	}
	edge_conn_refuse(c);
	return EDGE_STEP_GONE;
}

enum edge_step edge_answer_with(
        struct edge_conn *c, unsigned status, const char *why, struct hg_str extra)
{
	struct edge *e = c->edge;
	char text[4096];
	const char *type;
	if (!edge_request_make(c)) return hopeless(c);
	struct edge_req *r = c->req;
	bool unread = c->state == EDGE_HEAD && r->status == 0 && !r->method_n;
	if (HG_UNLIKELY(r->draw)) edge_hold_discard(c);
	edge_attempt_release(c, false);
	if (HG_UNLIKELY(r->hedge)) edge_hedge_cancel(c);
	edge_flow_drop(e, &r->rf);
	if (!r->co) r->co = edge_buf_take(e);
	if (!r->co) return hopeless(c);
	/* Where the next request would begin is not known without the rest of the body. */
	if (unread || !r->body.done) r->keep_alive = false;
	r->local = true;
	r->has_lane = false;
	r->status = (uint16_t)status;
	/* Kept for the log; of a success it may be a text that does not last. */
	r->why = status >= 400 ? why : NULL;
	r->resp = (struct edge_framing){.kind = HTTP1_BODY_NONE, .done = true};
	struct hg_out body = hg_out_over(text, sizeof text);
	edge_page_write(r, status, why, &body, &type);
	size_t body_n = r->page.p ? r->page.n : body.n;
	struct hg_out o = hg_out_over(r->co + r->co_n, EDGE_BUF_SIZE - r->co_n);
	head_write(c, status, type, body_n, extra, &o);
	if (r->method == HTTP1_HEAD || status == 204) {
		r->page = (struct hg_str){NULL, 0};
	} else {
		hg_out_str(&o, (struct hg_str){text, body.n});
		r->bytes_out = body_n;
	}
	HG_ASSERT(!hg_out_failed(&o) && !hg_out_failed(&body));
	r->co_n += (uint32_t)o.n;
	edge_conn_move(c, EDGE_RELAY);
	return EDGE_STEP_ON;
}

enum edge_step edge_answer(struct edge_conn *c, unsigned status, const char *why)
{
	return edge_answer_with(c, status, why, HG_STR(""));
}

/* 308 keeps method and body (RFC 9110 section 15.4.9). */
enum edge_step edge_redirect(struct edge_conn *c, const struct http1_head *h, struct hg_str host)
{
	struct edge *e = c->edge;
	uint32_t port = c->req->image->snap->https_port;
	if (host.n == 0) return edge_answer(c, 400, "the request names no host");
	struct hg_out o = hg_out_over(e->path_scratch, sizeof e->path_scratch);
	hg_out_cstr(&o, "Location: https://");
	hg_out_str(&o, host);
	if (port != 443) {
		hg_out_byte(&o, ':');
		hg_out_u64(&o, port);
	}
	hg_out_str(&o, h->path.n && h->path.p[0] == '/' ? h->path : HG_STR("/"));
	if (h->query.n) hg_out_byte(&o, '?');
	hg_out_str(&o, h->query);
	hg_out_cstr(&o, "\r\n");
	HG_ASSERT(!hg_out_failed(&o)); /* targets are shorter than the scratch */
	return edge_answer_with(
	        c, 308, "this is served over HTTPS", (struct hg_str){e->path_scratch, o.n});
}

void edge_refuse(int fd)
{
	static const char text[] =
	        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
	        "Content-Length: 26\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
	        "too many open connections\n";
	/* Best effort: the peer may be gone, and there is nobody to tell. */
	(void)!send(fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(fd, SHUT_WR);
}
