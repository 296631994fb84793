#include "data/edge/edge_priv.h"

/*
 * How long a request may take until its answer begins, and each of its attempts. The time of a
 * request is a deadline: a retry does not begin it anew, a queue takes from it, the replica is told
 * what is left, and what a believed client says shortens it.
 *
 * A client's own deadline that passes is no replica's fault: no consecutive failure, nothing for
 * the circuit breaker or the adaptive limit, else clients in a hurry could have good replicas left
 * out. It does count where replicas or releases are compared with each other, since chance gives
 * all of them the same clients: hangs must not hide behind impatience.
 */

#define TOLD_WIDTH 10 /* figure, unit and blanks: written over with each attempt */
#define MS_MAX     99999999u

static uint64_t or_default(uint32_t configured_ms, uint32_t default_ms)
{
	return configured_ms ? configured_ms : default_ms;
}

static uint64_t whole_ms(const struct edge_req *r)
{
	return or_default(r->limits->response_ms, 60000);
}

/* ---- what clients say ---- */

static bool digits(struct hg_str s, size_t max, uint64_t *ret_v)
{
	*ret_v = 0;
	if (s.n == 0 || s.n > max) return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9') return false;
		*ret_v = *ret_v * 10 + (uint64_t)(s.p[i] - '0');
	}
	return true;
}

/* gRPC over HTTP/2, "Timeout": at most 8 digits and a unit. */
static bool grpc_ms(struct hg_str s, uint64_t *ret_ms)
{
	uint64_t v;
	if (s.n < 2 || !digits((struct hg_str){s.p, s.n - 1}, 8, &v)) return false;
	switch (s.p[s.n - 1]) {
	case 'H': *ret_ms = v * 3600000; return true;
	case 'M': *ret_ms = v * 60000; return true;
	case 'S': *ret_ms = v * 1000; return true;
	case 'm': *ret_ms = v; return true;
	case 'u': *ret_ms = (v + 999) / 1000; return true;
	case 'n': *ret_ms = (v + 999999) / 1000000; return true;
	default: return false;
	}
}

static bool is_grpc(const struct http1_head *h)
{
	static const char type[] = "application/grpc";
	const struct http1_field *f = http1_find(h, HTTP1_F_CONTENT_TYPE);
	size_t n = sizeof type - 1;
	if (!f || f->value.n < n) return false;
	if (!hg_str_eq_nocase((struct hg_str){f->value.p, n}, (struct hg_str){type, n}))
		return false;
	/* not "application/grpc-web", which is read by a proxy */
	return f->value.n == n || f->value.p[n] == '+' || f->value.p[n] == ';';
}

/* Names are alike, also for whoever takes "_" for "-". */
static bool alike(struct hg_str a, struct hg_str b)
{
	if (a.n != b.n) return false;
	for (size_t i = 0; i < a.n; i++) {
		char x = a.p[i] == '_' ? '-' : a.p[i], y = b.p[i] == '_' ? '-' : b.p[i];
		if (x != y && ((x | 0x20) != (y | 0x20) || (x | 0x20) < 'a' || (x | 0x20) > 'z'))
			return false;
	}
	return true;
}

/* The shortest of what they say, UINT64_MAX: nothing. Whatever they say does not go on as theirs.
 */
static uint64_t client_says(struct edge_conn *c, struct hg_str name, bool grpc)
{
	struct http1_head *h = &c->edge->head;
	uint64_t least = UINT64_MAX, ms;
	for (uint16_t i = 0; i < h->field_count; i++) {
		struct http1_field *f = &h->field[i];
		if (f->id != HTTP1_F_OTHER || !alike(f->name, name)) continue;
		f->hop = true; /* head.c leaves it out */
		if (!hg_str_eq_nocase(f->name, name)) continue;
		bool valid = grpc ? grpc_ms(f->value, &ms) : digits(f->value, 12, &ms) && ms > 0;
		if (valid) least = HG_MIN(least, ms);
	}
	return least;
}

static bool believed(const struct edge_conn *c)
{
	const struct edge_req *r = c->req;
	const struct snap_image *im = r->image->snap;
	switch ((enum snap_deadline)r->limits->tries.deadline) {
	case SNAP_DEADLINE_ANY: return true;
	case SNAP_DEADLINE_TRUSTED: return snap_set_find(im, im->trusted, ip_addr_of(c->peer)) != 0;
	case SNAP_DEADLINE_OWN:
	case SNAP_DEADLINE_OFF: break;
	}
	return false;
}

void edge_tries_begin(struct edge_conn *c, const struct http1_head *h)
{
	struct edge_req *r = c->req;
	const struct snap_tries *t = &r->limits->tries;
	uint64_t now = edge_now_ms(c->edge);
	r->timed = true;
	if (t->outlier_ppm || t->outlier_slower) edge_outlier_watch(c->edge);
	/* An upload takes its client's time: that of its answer begins when it is sent. */
	if ((t->per_try_ms || t->deadline) && !r->body_any) r->deadline_ms = now + whole_ms(r);
	if (!t->deadline) return;
	r->grpc_timed = is_grpc(h);
	struct hg_str name = r->grpc_timed ? HG_STR("grpc-timeout") : hg_str(t->deadline_field);
	uint64_t says = client_says(c, name, r->grpc_timed);
	if (says == UINT64_MAX || !believed(c)) return;
	uint64_t theirs = r->start_ns / 1000000 + says;
	if (theirs >= now + whole_ms(r)) return;
	r->deadline_ms = theirs;
	r->deadline_theirs = true;
}

/* ---- what replicas are told ---- */

void edge_deadline_line(struct edge_req *r, struct hg_out *o)
{
	if (!r->limits->tries.deadline) return;
	hg_out_str(o,
	        r->grpc_timed ? HG_STR("grpc-timeout") : hg_str(r->limits->tries.deadline_field));
	hg_out_str(o, HG_STR(": "));
	r->deadline_at = (uint32_t)o->n;
	hg_out_str(o, HG_STR("          \r\n"));
	_Static_assert(TOLD_WIDTH == 10, "as many blanks");
}

void edge_deadline_tell(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	uint64_t now = edge_now_ms(c->edge), left = whole_ms(r);
	if (r->deadline_ms) left = r->deadline_ms > now ? r->deadline_ms - now : 1;
	if (!r->deadline_at || !r->uo) return;
	char text[TOLD_WIDTH];
	struct hg_out o = hg_out_over(text, sizeof text);
	memset(text, ' ', sizeof text);
	hg_out_u64(&o, HG_MIN(left, MS_MAX));
	if (r->grpc_timed) hg_out_byte(&o, 'm');
	memcpy(r->uo + r->deadline_at, text, sizeof text);
}

bool edge_deadline_over(const struct edge_conn *c)
{
	const struct edge_req *r = c->req;
	return r->deadline_ms && edge_now_ms(c->edge) >= r->deadline_ms;
}

bool edge_deadline_theirs(const struct edge_conn *c)
{
	return c->req->deadline_theirs && edge_deadline_over(c);
}

bool edge_deadline_attempt(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	if (edge_deadline_over(c)) return false;
	r->patient = false;
	edge_deadline_tell(c);
	return true;
}

enum edge_step edge_deadline_answer(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct meter_app *m = meter_app_take(e->count, c->req->app->id);
	if (m) meter_add(&m->late, 1);
	return edge_answer(c, 504,
	        c->req->deadline_theirs ? "the time that the client gave is over"
	                                : "the time of the request is over");
}

/* ---- how long ---- */

void edge_tries_sent(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	const struct snap_tries *t = &r->limits->tries;
	if (!r->deadline_ms && (t->per_try_ms || t->deadline))
		r->deadline_ms = r->sent_ms + whole_ms(r);
	if (t->hedge_ms || t->hedge_ppm) edge_hedge_wait(c);
}

/*
 * Beside a trial both releases' attempts must be given up after the same time, or that time alone
 * would make one of them the worse: what the new release has not answered could go to the old one
 * at any time, so it is given up only if an old replica's attempt would be, too.
 */
static bool fair(const struct edge_conn *c)
{
	const struct edge_req *r = c->req;
	const struct edge_app *a = r->app;
	if (!r->draw || !a->trial || edge_draw_side(r) != EDGE_NEW) return true;
	const struct edge_set *old = &a->arm[EDGE_OLD];
	uint32_t usable = 0;
	for (uint32_t k = old->first; k < old->first + old->count && usable < 2; k++)
		usable += edge_ep_usable(c->edge, c->edge->slots[k], NULL, 0);
	return usable == 2;
}

static bool gives_up_early(const struct edge_conn *c)
{
	const struct edge_req *r = c->req;
	return r->limits->tries.per_try_ms && !r->patient && edge_attempt_elsewhere(c) && fair(c);
}

uint64_t edge_deadline_answer_by(const struct edge_conn *c)
{
	const struct edge_req *r = c->req;
	uint64_t whole = r->deadline_ms;
	if (!whole) whole = HG_MIN(r->sent_ms + whole_ms(r), r->first_attempt_ms + 2 * whole_ms(r));
	uint64_t left = whole > r->sent_ms ? whole - r->sent_ms : 0;
	if (gives_up_early(c)) return r->sent_ms + HG_MIN(left, r->limits->tries.per_try_ms);
	if (r->draw && edge_rescue_protects(r)) return r->sent_ms + left / 2;
	bool half = !r->limits->tries.per_try_ms && edge_attempt_hasty(c);
	return r->sent_ms + (half ? left / 2 : left);
}

uint64_t edge_deadline_limit(const struct edge_conn *c, uint64_t until_ms)
{
	const struct edge_req *r = c->req;
	if (c->state == EDGE_CONNECT && r->limits->tries.per_try_ms)
		until_ms = HG_MIN(until_ms, r->attempt_ns / 1000000 + r->limits->tries.per_try_ms);
	return r->deadline_ms ? HG_MIN(until_ms, r->deadline_ms) : until_ms;
}

bool edge_deadline_gives_up(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	if (edge_deadline_over(c)) return true;
	if (gives_up_early(c) && edge_budget_has(r->app)) return true;
	if (!r->limits->tries.per_try_ms && edge_attempt_hasty(c) && edge_budget_has(r->app))
		return true;
	r->patient = true;
	return edge_deadline_answer_by(c) <= edge_now_ms(c->edge);
}
