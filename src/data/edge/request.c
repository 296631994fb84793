#include <unistd.h>

#include "data/edge/challenge_priv.h"
#include "data/edge/gateway_priv.h"
#include "data/edge/identity_priv.h"
#include "data/edge/mtls_priv.h"
#include "data/edge/together_priv.h"
#include "os/clock.h"

static void text_keep(struct hg_str s, char *to, size_t cap, size_t *ret_n)
{
	*ret_n = HG_MIN(s.n, cap);
	if (*ret_n) memcpy(to, s.p, *ret_n);
}

static void req_free(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	c->req = NULL;
	edge_pool_give(&e->bufs, r->uo);
	edge_pool_give(&e->bufs, r->co);
	edge_pool_give(&e->keeps, r->keep);
	edge_flow_drop(e, &r->rf);
	if (r->image) edge_image_drop(e, r->image);
	if (HG_UNLIKELY(r->who)) edge_identity_drop(r);
	edge_pool_give(&e->reqs, r);
}

/* The fields before the texts are cleared; the texts have lengths. */
static struct edge_req *req_new(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = edge_pool_take(&e->reqs);
	if (!r) return NULL;
	memset(r, 0, offsetof(struct edge_req, trace));
	r->start_ns = loop_now_ns(e->loop);
	r->image = e->image;
	if (r->image) r->image->refs++;
	c->req = r;
	return r;
}

bool edge_request_make(struct edge_conn *c)
{
	return c->req || req_new(c);
}

/*
 * Another HTTP or TLS is nothing that a tunnel may carry past routes, limits and the log (h2c:
 * RFC 9113 section 3.1 has made it obsolete). Such an upgrade is left out, as a server may.
 */
static bool upgrade_hides(const struct http1_head *h)
{
	for (uint16_t i = 0; i < h->field_count; i++) {
		struct hg_str rest = h->field[i].value;
		if (h->field[i].id != HTTP1_F_UPGRADE) continue;
		while (rest.n) {
			struct hg_str one = hg_str_cut(&rest, ',');
			one = hg_str_trim(hg_str_cut(&one, '/'));
			if (hg_str_eq_nocase(one, HG_STR("h2c")) ||
			        hg_str_eq_nocase(one, HG_STR("h2")) ||
			        hg_str_eq_nocase(one, HG_STR("http")) ||
			        hg_str_eq_nocase(one, HG_STR("tls"))) {
				return true;
			}
		}
	}
	return false;
}

static void req_fill(struct edge_req *r, const struct http1_head *h)
{
	size_t n;
	const struct http1_field *accept = http1_find(h, HTTP1_F_ACCEPT);
	const struct http1_field *key = http1_find(h, HTTP1_F_IDEMPOTENCY_KEY);
	r->method = h->method;
	r->minor_1 = h->minor == 1;
	r->keep_alive = h->keep_alive;
	/* A key that Connection names does not reach the replica. */
	r->idempotent = http1_method_idempotent(h->method) || (key && !key->hop);
	r->expect = h->expect_continue;
	r->upgrade = h->upgrade && h->minor == 1 && h->body == HTTP1_BODY_NONE && !upgrade_hides(h);
	r->json = accept && http1_list_has(accept->value, HG_STR("application/json"));
	r->body = (struct edge_framing){
	        .kind = h->body, .left = h->content_length, .done = h->body == HTTP1_BODY_NONE};
	r->body_any = h->body != HTTP1_BODY_NONE;
	text_keep(h->method_text, r->method_text, sizeof r->method_text, &n);
	r->method_n = (uint8_t)n;
	text_keep(h->path, r->path, sizeof r->path, &n);
	r->path_n = (uint16_t)n;
}

/* Sets route, limits and application, or answers. */
static inline __attribute__((always_inline)) enum edge_step route(
        struct edge_conn *c, const struct http1_head *h)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	const struct snap_image *im = r->image->snap;
	char host_text[256];
	struct hg_str host;
	if (HG_UNLIKELY(e->challenges)) {
		const char *answer = edge_challenge(e, h);
		if (answer) return edge_challenge_answer(c, answer);
	}
	if (!edge_host_normal(h->authority, host_text, sizeof host_text, &host)) {
		return edge_answer(c, 400, "the host name is too long");
	}
	if (im->https_port && !c->https) return edge_redirect(c, h, host);
	struct hg_str path = edge_path_normal(h->path, e->path_scratch);
	r->route = edge_route(im, &r->image->index, host, path);
	if (!r->route) {
		meter_add(&e->count->no_route, 1);
		return edge_answer(c, 404, "no route fits this host and path");
	}
	if (HG_UNLIKELY(r->route->gateway | r->route->variants)) edge_gateway_enter(c, h);
	r->limits = &snap_apps(im)[r->route->app];
	r->app = &e->apps[r->image->apps[r->route->app]];
	if (HG_UNLIKELY(im->page_count)) r->html = edge_page_wanted(h);
	if (HG_UNLIKELY(r->route->access.count) && !edge_access_route(im, r->route, c->addr)) {
		meter_add(&e->count->forbidden, 1);
		return edge_answer(c, 403, "this client may not use this route");
	}
	if (HG_UNLIKELY(r->gateway)) {
		enum edge_step s = edge_gateway_answer(c, h, path);
		if (s != EDGE_STEP_ON || r->local) return s;
	}
	if (HG_UNLIKELY(r->route->client)) {
		enum edge_step s = edge_mtls_check(c, host);
		if (s != EDGE_STEP_ON || r->local) return s;
	}
	if (HG_UNLIKELY(r->limits->maintenance)) {
		enum edge_step s = edge_maintenance(c, path);
		if (s != EDGE_STEP_ON || r->local) return s;
	}
	if (HG_UNLIKELY(r->limits->identity)) {
		enum edge_step s = edge_identity(c, path);
		if (s != EDGE_STEP_ON || r->local) return s;
	}
	if (HG_UNLIKELY(r->route->limit_count)) {
		enum edge_step s = edge_limit(c, h, path);
		if (s != EDGE_STEP_ON || r->local) return s;
	}
	return EDGE_STEP_ON;
}

static inline enum edge_step admit(struct edge_conn *c, const struct http1_head *h)
{
	struct edge *e = c->edge;
	const struct edge_req *r = c->req;
	if (r->limits->body_max && h->has_content_length &&
	        h->content_length > r->limits->body_max) {
		return edge_answer(c, 413, "the request body is too large");
	}
	if (edge_app_full(e, r->app, r->limits)) {
		return edge_answer(c, 503, "too many requests are in progress");
	}
	return EDGE_STEP_ON;
}

/* A POST is kept too: a closed keep-alive connection may turn out not to have seen it. */
static bool wants_keep(const struct edge_req *r, const struct http1_head *h)
{
	return r->body_any && (r->limits->retries > 0 || r->draw) &&
	       (!h->has_content_length || h->content_length <= EDGE_KEEP_SIZE);
}

static enum edge_step refuse_early(struct edge_conn *c, const struct http1_head *h)
{
	struct edge *e = c->edge;
	const struct edge_image *im = c->req->image;
	if (!im) return edge_answer(c, 503, "starting");
	if (HG_UNLIKELY(im->snap->trusted.count)) edge_client_find(c, h);
	if (HG_UNLIKELY(im->snap->access.count) && !edge_access_edge(im->snap, c->addr)) {
		meter_add(&e->count->forbidden, 1);
		c->req->keep_alive = false;
		return edge_answer(c, 403, "this client may not connect");
	}
	if (h->method == HTTP1_CONNECT || h->method == HTTP1_TRACE) {
		return edge_answer(c, 405, "this method is not served here");
	}
	if (edge_via_loops(h, c->req->image->via)) {
		return edge_answer(c, 508, "the request has passed here before");
	}
	if (e->draining) c->req->keep_alive = false;
	return EDGE_STEP_ON;
}

/* What comes behind the limits. */
static inline __attribute__((always_inline)) enum edge_step go_on(
        struct edge_conn *c, const struct http1_head *h)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	enum edge_step s = admit(c, h);
	if (s != EDGE_STEP_ON || r->local) return s;
	edge_table_refresh(e, false);
	if (HG_UNLIKELY(r->limits->balance.guard)) s = edge_guard_enter(c);
	if (s != EDGE_STEP_ON || r->local) return s;
	if (HG_UNLIKELY(r->app->trial || r->route->preview)) s = edge_draw(c, h);
	if (s != EDGE_STEP_ON || r->local) return s;

	const struct snap_balance *b = &r->limits->balance;
	if (HG_UNLIKELY(b->method | b->slow_start_ms | b->replica_max | r->route->affinity))
		edge_balance_begin(c, h);
	if (HG_UNLIKELY(r->limits->tries.any)) edge_tries_begin(c, h);
	r->uo = edge_buf_take(e);
	if (!r->uo) return edge_answer(c, 503, "out of buffers");
	struct hg_out o = hg_out_over(r->uo, EDGE_BUF_SIZE);
	if (!edge_head_request(c, h, &o)) return edge_answer(c, 431, "request head too large");
	r->uo_n = (uint32_t)o.n;
	if (wants_keep(r, h)) r->keep = edge_pool_take(&e->keeps);
	edge_budget_earn(r->app, r->limits, edge_now_ms(e));
	return edge_attempt(c);
}

enum edge_step edge_request_begin(struct edge_conn *c)
{
	struct edge *e = c->edge;
	const struct http1_head *h = &e->head;
	struct edge_req *r = req_new(c);
	if (!r) {
		meter_add(&e->count->refused_full, 1);
		edge_conn_refuse(c);
		return EDGE_STEP_GONE;
	}
	req_fill(r, h);
	r->start_ns = c->head_ms == edge_now_ms(e) ? r->start_ns : c->head_ms * 1000000u;
	c->in.raw += (uint32_t)h->size;
	c->in.at = c->in.ready = c->in.raw;
	c->head_seen = 0;
	if (HG_LIKELY(r->image)) edge_trace_begin(c, h);
	enum edge_step s = refuse_early(c, h);
	if (s == EDGE_STEP_ON && !r->local) s = route(c, h);
	if (s != EDGE_STEP_ON || r->local) return s;
	return go_on(c, h);
}

enum edge_step edge_request_go_on(struct edge_conn *c, const struct http1_head *h)
{
	return go_on(c, h);
}

static void count(struct edge_conn *c, uint64_t now_ns)
{
	struct edge_req *r = c->req;
	struct meter_lane *lane = edge_lane(c->edge, r);
	if (!lane) return;
	if (r->aborted) {
		meter_add(r->broken ? &lane->broken : &lane->aborted, 1);
	} else {
		unsigned status = HG_LIKELY(!r->grpc) ? r->status : edge_grpc_status(r, r->status);
		meter_observe(lane, status, now_ns - r->start_ns);
		if (HG_UNLIKELY(r->limits->fast_ms) &&
		        now_ns - r->start_ns <= r->limits->fast_ms * CLOCK_NS_PER_MS)
			meter_add(&lane->fast, 1);
		if (HG_UNLIKELY(r->limits->rule_ms) &&
		        now_ns - r->start_ns <= r->limits->rule_ms * CLOCK_NS_PER_MS)
			meter_add(&lane->rule, 1);
		if (!r->local)
			meter_observe_replica(
			        &c->edge->count->replica[r->slot], status, now_ns - r->attempt_ns);
	}
	if (HG_UNLIKELY(r->limits->analytics)) edge_analytics(c, now_ns);
	if (r->body.total) meter_add(&lane->bytes_in, r->body.total);
	if (r->bytes_out) meter_add(&lane->bytes_out, r->bytes_out);
}

void edge_request_close(struct edge_conn *c)
{
	uint64_t now_ns = loop_now_ns(c->edge->loop);
	edge_attempt_release(c, false);
	if (HG_UNLIKELY(c->req->hedge)) edge_hedge_cancel(c);
	if (HG_UNLIKELY(c->req->queue)) edge_queue_gone(c);
	if (HG_UNLIKELY(c->req->guarded)) edge_guard_end(c);
	count(c, now_ns);
	edge_log_request(c, now_ns);
	if (HG_UNLIKELY(c->req->traced && c->req->image->snap->trace_to)) edge_trace_end(c, now_ns);
	if (HG_UNLIKELY(c->req->draw)) edge_draw_close(c);
	req_free(c);
}

void edge_request_forget(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	bool left = r->uo_sent < r->uo_n || r->keep_sent < r->keep_n;
	/* With a body that goes on, these are not touched again. */
	if (!r->sent_all && (left || !r->up || !r->up->stream)) return;
	edge_pool_give(&e->bufs, r->uo);
	edge_pool_give(&e->keeps, r->keep);
	r->uo = r->keep = NULL;
	r->uo_n = r->uo_sent = r->keep_n = r->keep_sent = 0;
}

void edge_request_abort(struct edge_conn *c)
{
	c->req->aborted = true;
	if (HG_UNLIKELY(c->req->ask)) edge_together_drop(c);
	edge_request_close(c);
}

enum edge_step edge_request_end(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	bool keep = r->keep_alive && !c->close && r->body.done;
	bool quiet = r->body.done && c->in.raw == c->in.n && !(c->flags & EDGE_CAN_READ);
	edge_request_close(c);
	c->served++;
	if (keep) {
		c->in.at = c->in.ready = c->in.raw;
		edge_conn_move(c, EDGE_IDLE);
		return EDGE_STEP_ON;
	}
	if (quiet) {
		edge_conn_close(c);
		return EDGE_STEP_GONE;
	}
	edge_conn_finish(c);
	c->in.at = c->in.ready = c->in.raw = c->in.n = 0;
	edge_conn_move(c, EDGE_LINGER);
	return EDGE_STEP_ON;
}
