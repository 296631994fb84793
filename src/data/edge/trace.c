/*
 * Traces: whose goes on (W3C Trace Context), what a replica is told, and the spans of the edge
 * itself: one a request, and one an attempt, whose id the replica is told as its parent.
 *
 * Whether spans are kept is decided as late as can be: of a request that was not drawn at its head
 * they are kept all the same when it failed, was tried again, was the release's under trial or was
 * slow. Nothing is gathered for that: until its end a request has its numbers anyway, and a second
 * attempt already decides. Only replicas cannot be told later, so that theirs may be missing then;
 * who draws the release under trial is known before, and they are told.
 *
 * A worker may not wait and has no network of its own to use: records go over a lane to observe,
 * which exports them. What finds no room there and here is dropped and counted.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "data/edge/edge_priv.h"
#include "os/clock.h"
#include "wire/span.h"

#define SPANS_SIZE     65536u
#define SPANS_PIECE    16384u /* of a message; a record is smaller */
#define SPANS_FLUSH_MS 150

/* ---- whose trace ---- */

/* Is it believed? Only of those who do is what they say of traces looked at. */
static bool believed(const struct edge_conn *c, const struct snap_image *im)
{
	switch ((enum snap_trace)im->trace_from) {
	case SNAP_TRACE_ANYBODY: return true;
	case SNAP_TRACE_TRUSTED:
		return im->trusted.count &&
		       snap_set_find(im, im->trusted, ip_addr_of(c->peer)) != 0;
	case SNAP_TRACE_NOBODY: break;
	}
	return false;
}

/* Two of them are none (section 3.3.1 of the recommendation: exactly one). */
static bool only(const struct http1_head *h, const struct http1_field *f)
{
	for (const struct http1_field *k = f + 1; k < h->field + h->field_count; k++)
		if (k->id == HTTP1_F_TRACEPARENT) return false;
	return true;
}

void edge_trace_begin(struct edge_conn *c, const struct http1_head *h)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	const struct snap_image *im = r->image->snap;
	const struct http1_field *f = http1_find(h, HTTP1_F_TRACEPARENT);
	struct tracectx came;
	r->traced = true;
	tracectx_hex64(hg_rand_u64(&e->rand) | 1, r->trace_span);
	if (f && believed(c, im) && only(h, f) && tracectx_read(f->value, &came)) {
		memcpy(r->trace, came.trace, sizeof r->trace);
		memcpy(r->trace_from, came.span, sizeof r->trace_from);
		r->trace_flags = came.flags;
		r->trace_goes_on = true;
		return;
	}
	uint64_t low = hg_rand_u64(&e->rand);
	tracectx_hex64(hg_rand_u64(&e->rand) | 1, r->trace);
	tracectx_hex64(low, r->trace + 16);
	/* As tracectx_drawn has it, but for the digits. */
	uint64_t part = low << 8 >> 32, kept = 1000000u - im->trace_out_ppm;
	r->trace_flags = part * 1000000u < kept << 32 ? TRACECTX_SAMPLED : 0;
}

void edge_trace_line(struct edge_conn *c, struct hg_out *o)
{
	struct edge_req *r = c->req;
	if (HG_UNLIKELY(r->draw) && r->draw->arm == EDGE_NEW && r->image->snap->trace_to)
		r->trace_flags |= TRACECTX_SAMPLED;
	char flags[4] = {'0', (char)('0' + r->trace_flags), '\r', '\n'};
	hg_out_str(o, HG_STR("traceparent: 00-"));
	hg_out_str(o, (struct hg_str){r->trace, sizeof r->trace});
	hg_out_str(o, HG_STR("-"));
	r->trace_at = (uint32_t)o->n;
	hg_out_str(o, (struct hg_str){r->trace_span, sizeof r->trace_span});
	hg_out_str(o, HG_STR("-"));
	hg_out_str(o, (struct hg_str){flags, sizeof flags});
}

/* ---- the lane ---- */

static void on_flush(struct loop *l, struct loop_timer *t)
{
	(void)l;
	edge_trace_flush(HG_CONTAINER(t, struct edge, spans.timer));
}

/* As many whole records as a message may have. */
static uint32_t whole(const char *p, uint32_t n)
{
	uint32_t at = 0;
	for (size_t size; (size = span_size((struct hg_str){p + at, n - at})) > 0;) {
		if (at + size > SPANS_PIECE) break;
		at += (uint32_t)size;
	}
	return at;
}

static uint64_t records(const char *p, uint32_t n)
{
	uint64_t count = 0;
	for (size_t size, at = 0; (size = span_size((struct hg_str){p + at, n - at})) > 0;
	        at += size)
		count++;
	return count;
}

void edge_trace_flush(struct edge *e)
{
	struct edge_spans *s = &e->spans;
	uint32_t at = 0;
	loop_timer_stop(e->loop, &s->timer);
	while (at < s->n) {
		uint32_t piece = whole(s->buf + at, s->n - at);
		int rc = sock_send(s->fd, s->buf + at, piece, NULL, 0);
		if (rc == -EAGAIN || rc == -EWOULDBLOCK || rc == -ENOBUFS) break;
		if (rc < 0) /* nobody will ever read it */
			meter_add(&e->count->spans_dropped, records(s->buf + at, piece));
		at += piece;
	}
	if (at && at < s->n) memmove(s->buf, s->buf + at, s->n - at);
	s->n -= at;
	/* A full lane is tried again later. */
	if (s->n && loop_timer_start(e->loop, &s->timer, SPANS_FLUSH_MS, on_flush) < 0) return;
}

/* Room for a record; `cap` 0: there is none. */
static struct hg_out room(struct edge *e)
{
	struct edge_spans *s = &e->spans;
	if (!s->buf && s->fd >= 0) s->buf = malloc(SPANS_SIZE);
	if (s->buf && SPANS_SIZE - s->n < SPAN_RECORD_MAX) edge_trace_flush(e);
	bool full = !s->buf || SPANS_SIZE - s->n < SPAN_RECORD_MAX;
	return hg_out_over(full ? NULL : s->buf + s->n, full ? 0 : SPAN_RECORD_MAX);
}

static void written(struct edge *e, bool ok, const struct hg_out *o)
{
	struct edge_spans *s = &e->spans;
	meter_add(ok ? &e->count->spans_written : &e->count->spans_dropped, 1);
	if (!ok) return;
	s->n += (uint32_t)o->n;
	if (!loop_timer_active(&s->timer) &&
	        loop_timer_start(e->loop, &s->timer, SPANS_FLUSH_MS, on_flush) < 0)
		edge_trace_flush(e);
}

/* ---- spans ---- */

/* From here on spans of the request have a parent. */
static void keep(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	if (r->trace_kept) return;
	r->trace_kept = true;
	tracectx_hex64(hg_rand_u64(&c->edge->rand) | 1, r->trace_own);
}

/* How far Unix time is ahead of the clock that requests are measured by. */
static uint64_t ahead(void)
{
	return clock_wall_ns() - clock_mono_ns();
}

static struct span_head head_of(const struct edge_req *r, enum span_kind kind, uint64_t since_ns,
        uint64_t until_ns, uint64_t ahead_ns)
{
	struct span_head h = {.kind = (uint8_t)kind,
	        .flags = r->trace_flags,
	        .start_ns = since_ns + ahead_ns,
	        .end_ns = until_ns + ahead_ns};
	memcpy(h.trace, r->trace, sizeof h.trace);
	return h;
}

static struct hg_str method_of(const struct edge_req *r)
{
	return r->method == HTTP1_OTHER ? HG_STR("_OTHER") : hg_str(http1_method_name(r->method));
}

static void status_attr(struct span_writer *w, unsigned status, bool server)
{
	char text[8];
	struct hg_out o = hg_out_over(text, sizeof text);
	if (!status) return;
	span_int(w, "http.response.status_code", status);
	/* A client's mistake is an error of who asked, not of who answered (semantic conventions).
	 */
	if (status < (server ? 500u : 400u)) return;
	hg_out_u64(&o, status);
	span_str(w, "error.type", (struct hg_str){text, o.n});
	w->head.status = SPAN_ERROR;
}

static const char *const fault_name[] = {[EDGE_FAULT_CONNECT] = "connect",
        [EDGE_FAULT_CONNECT_TIMEOUT] = "connect_timeout",
        [EDGE_FAULT_TLS] = "tls",
        [EDGE_FAULT_CLOSED] = "closed",
        [EDGE_FAULT_BAD_HEAD] = "bad_response",
        [EDGE_FAULT_RESPONSE_TIMEOUT] = "response_timeout"};

/* The attempt that is over: `fault` NULL: it was answered, with `status`. */
static void attempt(
        struct edge_conn *c, const char *fault, unsigned status, uint64_t now_ns, uint64_t ahead_ns)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct span_writer w;
	struct hg_out o = room(e);
	struct span_head h = head_of(r, SPAN_CLIENT, r->attempt_ns, now_ns, ahead_ns);
	h.has_parent = 1;
	memcpy(h.id, r->trace_span, sizeof h.id);
	memcpy(h.parent, r->trace_own, sizeof h.parent);
	struct hg_str method = method_of(r);
	span_begin(&w, &o, &h, method);
	span_str(&w, "http.request.method", method);
	span_str(&w, "server.address", (struct hg_str){r->upstream, r->upstream_n});
	if (r->trace_tries) span_int(&w, "http.request.resend_count", r->trace_tries);
	span_int(&w, "headgate.release", r->release);
	span_int(&w, "headgate.replica", r->replica);
	if (fault) {
		span_str(&w, "error.type", hg_str(fault));
		w.head.status = SPAN_ERROR;
	} else {
		status_attr(&w, status, false);
	}
	bool ok = span_end(&w);
	written(e, ok, &o);
}

void edge_trace_again(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	if (r->image->snap->trace_to && r->upstream_n) {
		keep(c);
		attempt(c, r->try_fault ? fault_name[r->try_fault - 1] : NULL, r->try_status,
		        loop_now_ns(e->loop), ahead());
		r->trace_tries++;
		tracectx_hex64(hg_rand_u64(&e->rand) | 1, r->trace_span);
		if (r->uo && r->trace_at)
			memcpy(r->uo + r->trace_at, r->trace_span, sizeof r->trace_span);
	}
	r->try_fault = 0;
	r->try_status = 0;
}

bool edge_trace_keep(const struct edge_trace_view *v)
{
	bool failed = v->status >= 500 || (v->aborted && !v->status);
	return v->sampled || failed || v->trial || v->again ||
	       (v->slow_ms && v->took_ms > v->slow_ms);
}

static void request(struct edge_conn *c, uint64_t now_ns, uint64_t ahead_ns)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	const struct snap_image *im = r->image->snap;
	struct hg_str method = method_of(r), route = HG_STR(""), app = HG_STR("");
	struct span_writer w;
	struct hg_out o = room(e);
	char name[SPAN_NAME_MAX];
	struct span_head h = head_of(r, SPAN_SERVER, r->start_ns, now_ns, ahead_ns);
	h.has_parent = r->trace_goes_on;
	memcpy(h.id, r->trace_own, sizeof h.id);
	memcpy(h.parent, r->trace_from, sizeof h.parent);
	if (r->route) route = snap_str(im, r->route->name);
	if (r->limits) app = snap_str(im, r->limits->name);
	struct hg_out n = hg_out_over(name, sizeof name);
	hg_out_str(&n, method);
	if (route.n && route.n + method.n < sizeof name) {
		hg_out_byte(&n, ' ');
		hg_out_str(&n, route);
	}
	span_begin(&w, &o, &h, (struct hg_str){name, n.n});
	span_str(&w, "http.request.method", method);
	if (r->method == HTTP1_OTHER)
		span_str(&w, "http.request.method_original",
		        (struct hg_str){r->method_text, r->method_n});
	span_str(&w, "http.route", route);
	span_str(&w, "url.path", (struct hg_str){r->path, r->path_n});
	span_str(&w, "url.scheme", c->https ? HG_STR("https") : HG_STR("http"));
	span_str(&w, "client.address", (struct hg_str){c->client, c->client_n});
	span_str(&w, "network.protocol.version",
	        c->stream    ? HG_STR("2")
	        : r->minor_1 ? HG_STR("1.1")
	                     : HG_STR("1.0"));
	status_attr(&w, r->status, true);
	if (r->aborted) {
		span_bool(&w, "headgate.aborted", true);
		if (!r->status) w.head.status = SPAN_ERROR;
	}
	span_str(&w, "headgate.app", app);
	if (r->upstream_n) span_int(&w, "headgate.release", r->release);
	if (r->local && r->why) span_str(&w, "headgate.reason", hg_str(r->why));
	if (r->draw) {
		span_str(&w, "headgate.arm",
		        r->draw->arm == EDGE_NEW ? HG_STR("new") : HG_STR("old"));
		span_bool(&w, "headgate.rescued", r->draw->failed && r->draw->side != r->draw->arm);
	}
	if (r->retries) span_int(&w, "headgate.retries", r->retries);
	span_str(&w, "headgate.request_id", (struct hg_str){r->rid, r->rid_n});
	bool ok = span_end(&w);
	written(e, ok, &o);
}

void edge_trace_end(struct edge_conn *c, uint64_t now_ns)
{
	struct edge_req *r = c->req;
	const struct snap_image *im = r->image->snap;
	struct edge_trace_view v = {.sampled = r->trace_flags & TRACECTX_SAMPLED,
	        .aborted = r->aborted,
	        .trial = r->draw && r->draw->arm == EDGE_NEW,
	        .again = (uint8_t)(r->trace_tries + r->retries),
	        .status = r->status,
	        .took_ms = (now_ns - r->start_ns) / 1000000u,
	        .slow_ms = im->trace_slow_ms};
	if (!edge_trace_keep(&v)) return;
	uint64_t ahead_ns = ahead();
	keep(c);
	if (r->upstream_n && r->trace_at) {
		/* One whose answer did not come in whole, or at all. */
		const char *fault = r->try_fault            ? fault_name[r->try_fault - 1]
		                    : r->local && r->status ? "no_answer"
		                    : r->aborted            ? "aborted"
		                                            : NULL;
		attempt(c, fault, r->status, now_ns, ahead_ns);
	}
	request(c, now_ns, ahead_ns);
}
