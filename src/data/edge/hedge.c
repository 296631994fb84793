#include <errno.h>
#include <stdlib.h>

#include "data/edge/edge_priv.h"
#include "data/edge/secure_priv.h"
#include "data/edge/up_priv.h"

/*
 * A second attempt beside a first one that takes long (math/hedge.h says when). Whoever answers
 * first has the request; the other's connection is closed, and is no failure of its replica.
 *
 * Only GET, HEAD and OPTIONS. That a method is idempotent is not enough: the loser of two PUTs may
 * be carried out after the client's next one, and a second POST with the same Idempotency-Key is,
 * as a rule, answered 409 while the first is in progress.
 *
 * Not while a release is under trial. Within one release it would shorten the tail of the one that
 * has more replicas, and never that of a single new one; to the other release it would hide what
 * the judge looks for. And a request that was won by a second attempt has no honest latency of its
 * own. So all requests of an app under trial go without, those of both releases alike.
 *
 * What a slow replica lost is not forgotten (it would look well by the few requests it wins): a
 * first attempt that was overtaken is counted at its age in the replica's histogram, which those
 * look at who compare replicas (outlier.c), and people.
 *
 * Until the first bytes of an answer the second attempt is in here, with a flow of its own. What
 * they say decides, and then it becomes the attempt of the request: nothing else knows of two.
 */

#define EDGE_HEDGE_MAGIC 0xed6e0005u
#define EDGE_HEDGE_LOOK  13u /* bytes of an answer that say what it is: "HTTP/1.1 200 " */

struct edge_hedge {
	uint32_t magic;
	uint16_t slot; /* where the second attempt went */
	struct edge_conn *conn;
	struct hg_list node; /* of the app's line, until it is time */
	uint64_t due_ms;
	struct edge_up *up;  /* NULL: there is no second attempt (yet) */
	bool open;           /* it is connected, and TLS agreed on */
	struct edge_flow in; /* its answer's first bytes */
	uint32_t uo_sent, keep_sent;
	uint64_t begun_ns;
};

size_t edge_hedge_size(void)
{
	return sizeof(struct edge_hedge);
}

static struct meter_app *counted(struct edge *e, const struct edge_req *r)
{
	return meter_app_take(e->count, r->app->id);
}

static struct hedge_rules rules_of(const struct edge_req *r)
{
	return (struct hedge_rules){
	        .after_ms = r->limits->tries.hedge_ms, .quantile_ppm = r->limits->tries.hedge_ppm};
}

static void on_line(struct loop *l, struct loop_timer *t);

static struct edge_hedges *hedges_of(struct edge *e, struct edge_app *a)
{
	if (a->hedges) return a->hedges;
	struct edge_hedges *s = calloc(1, sizeof *s);
	if (!s) return NULL;
	s->edge = e;
	s->app = a;
	hg_list_init(&s->line);
	return a->hedges = s;
}

static void line_start(struct edge_hedges *s)
{
	struct hg_list *n = hg_list_first(&s->line);
	if (!n || loop_timer_active(&s->timer)) return;
	uint64_t due = HG_CONTAINER(n, struct edge_hedge, node)->due_ms;
	uint64_t now = edge_now_ms(s->edge);
	/* Without memory for the timer: the next request starts it. */
	if (loop_timer_start(s->edge->loop, &s->timer, due > now ? due - now : 0, on_line) < 0)
		return;
}

/* A first attempt that could be repeated at any time, and whose twin does no harm. */
static bool wanted(const struct edge_req *r)
{
	bool safe = r->method == HTTP1_GET || r->method == HTTP1_HEAD || r->method == HTTP1_OPTIONS;
	bool first = r->retries == 0 && r->tried_n == 0 && !r->fresh;
	return safe && first && !r->hedge && !r->draw && !r->app->trial && !r->upgrade &&
	       !r->expect && !r->route->affinity && edge_body_here(r);
}

void edge_hedge_wait(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct hedge_rules rules = rules_of(r);
	if (!wanted(r)) return;
	struct edge_hedges *s = hedges_of(e, r->app);
	struct edge_hedge *h = s ? edge_pool_take(&e->hedges) : NULL;
	if (!h) return;
	*h = (struct edge_hedge){.magic = EDGE_HEDGE_MAGIC, .conn = c};
	hg_list_init(&h->node);
	r->hedge = h;
	uint32_t after = hedge_after(&s->is, &rules, edge_now_ms(e));
	if (after == 0) return; /* this one is learned from */
	h->due_ms = edge_now_ms(e) + after;
	struct hg_list *last = s->line.prev;
	/* In order, also when the quantile has become less. */
	if (last != &s->line)
		h->due_ms = HG_MAX(h->due_ms, HG_CONTAINER(last, struct edge_hedge, node)->due_ms);
	hg_list_append(&s->line, &h->node);
	line_start(s);
}

/* ---- the end of it ---- */

static void second_close(struct edge_hedge *h)
{
	struct edge_conn *c = h->conn;
	struct edge *e = c->edge;
	struct edge_up *up = h->up;
	if (!up) return;
	h->up = NULL;
	edge_flow_drop(e, &h->in);
	edge_up_close(up);
	c->req->app->in_flight--;
	meter_gauge_add(&e->count->in_flight[h->slot], -1);
	if (HG_UNLIKELY(c->req->app->waiting)) edge_queue_wake(e, c->req->app, h->slot);
}

static void hedge_free(struct edge_hedge *h)
{
	struct edge_conn *c = h->conn;
	hg_list_remove(&h->node);
	c->req->hedge = NULL;
	h->magic = 0;
	edge_pool_give(&c->edge->hedges, h);
}

void edge_hedge_cancel(struct edge_conn *c)
{
	struct edge_hedge *h = c->req->hedge;
	second_close(h);
	hedge_free(h);
}

/* How long the first attempt took, or has taken in vain. */
static void learn(struct edge_conn *c)
{
	struct edge *e = c->edge;
	const struct edge_req *r = c->req;
	struct edge_hedges *s = r->app->hedges;
	if (s) hedge_observe(&s->is, loop_now_ns(e->loop) - r->attempt_ns, edge_now_ms(e));
}

void edge_hedge_answered(struct edge_conn *c)
{
	learn(c);
	edge_hedge_cancel(c);
}

/* ---- the second attempt ---- */

/* It has failed, or has not been what was hoped for; the first one goes on alone. `bad`: by the
 * fault of its replica. */
static void give_up(struct edge_hedge *h, bool bad)
{
	struct edge_conn *c = h->conn;
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct edge_ep *ep = &e->eps[h->slot];
	bool same = ep->incarnation == h->up->incarnation;
	second_close(h);
	if (!bad || !same) return;
	meter_add(&e->count->replica[h->slot].failures, 1);
	edge_ep_bad(e, ep, r->app, r->limits);
}

static void begin(struct edge_hedge *h)
{
	struct edge_conn *c = h->conn;
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	int err = 0;
	bool waits = c->state == EDGE_WAIT && r->sent_all && r->uo && !r->rf.n && !r->interim;
	if (!waits || r->app->trial || r->app->panic || r->app->waiting) return;
	edge_table_refresh(e, false);
	r->tried[r->tried_n++] = r->slot;
	struct edge_ep *ep = r->app->trial ? NULL : edge_pick_for(c);
	r->tried_n--;
	/* An ejected one, or one that wants to know the client: there is no need. Over HTTP/2 the
	 * streams of a session share its fate, and calls are POSTs as a rule. */
	if (!ep || ep->proxy || ep->http2 || !edge_ep_usable(e, ep->slot, &r->slot, 1)) return;
	if (edge_app_full(e, r->app, r->limits) || !edge_budget_take(r->app)) return;
	struct edge_up *up = edge_up_get(e, ep, false, false, &err);
	if (!up) return;
	h->up = up;
	h->slot = ep->slot;
	h->begun_ns = loop_now_ns(e->loop);
	h->open = !up->connecting;
	up->hedge = h;
	up->sent_before = edge_up_wire(up);
	r->app->in_flight++;
	meter_gauge_add(&e->count->in_flight[h->slot], 1);
	struct meter_app *m = counted(e, r);
	if (m) meter_add(&m->hedged, 1);
	edge_deadline_tell(c);
	edge_hedge_drive(h);
}

static void on_line(struct loop *l, struct loop_timer *t)
{
	struct edge_hedges *s = HG_CONTAINER(t, struct edge_hedges, timer);
	uint64_t now = loop_now_ms(l);
	for (struct hg_list *n; (n = hg_list_first(&s->line));) {
		struct edge_hedge *h = HG_CONTAINER(n, struct edge_hedge, node);
		if (h->due_ms > now) break;
		hg_list_remove(n);
		begin(h);
	}
	line_start(s);
}

/* The second attempt becomes the request's. What the first one had is closed or gone. */
static void take_place(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct edge_hedge *h = r->hedge;
	struct edge_up *up = h->up;
	bool open = h->open;
	edge_attempt_reset(c);
	if (r->tried_n < EDGE_TRIED_MAX) r->tried[r->tried_n++] = r->slot;
	r->retries++;
	edge_attempt_note(c, &e->eps[h->slot], h->begun_ns);
	r->rf = h->in;
	r->uo_sent = h->uo_sent;
	r->keep_sent = h->keep_sent;
	r->sent_any = h->uo_sent + h->keep_sent > 0;
	r->fresh = false;
	r->patient = false;
	r->up = up;
	r->counted = true; /* as the second attempt was */
	up->hedge = NULL;
	up->conn = c;
	h->up = NULL;
	h->in = (struct edge_flow){0};
	hedge_free(h);
	if (HG_UNLIKELY(r->guarded)) edge_guard_sent(c);
	edge_conn_move(c, open ? EDGE_WAIT : EDGE_CONNECT);
}

static bool is_current(const struct edge *e, const struct edge_hedge *h)
{
	return h->up && e->eps[h->slot].incarnation == h->up->incarnation;
}

/* It was quicker. */
static void win(struct edge_hedge *h)
{
	struct edge_conn *c = h->conn;
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	if (!is_current(e, h)) {
		give_up(h, false);
		return;
	}
	struct meter_app *m = counted(e, r);
	if (m) meter_add(&m->hedges_won, 1);
	if (r->up && e->eps[r->slot].incarnation == r->up->incarnation)
		meter_observe_overtaken(
		        &e->count->replica[r->slot], loop_now_ns(e->loop) - r->attempt_ns);
	learn(c);
	/* The app was that slow, for the one that lost. */
	if (HG_UNLIKELY(r->awaited))
		concurrency_answer(
		        &r->app->concurrency, loop_now_ns(e->loop) - r->attempt_ns, edge_now_ms(e));
	edge_attempt_release(c, false);
	/* Its kept connection was closed, and it waits for room to be sent again. */
	if (HG_UNLIKELY(r->queue)) edge_queue_leave(c);
	take_place(c);
	edge_conn_drive(c);
}

bool edge_hedge_takes_over(struct edge_conn *c)
{
	struct edge *e = c->edge;
	/* A quick failure says nothing about how long answers take. */
	if (edge_now_ms(e) >= c->req->hedge->due_ms) learn(c);
	if (!is_current(e, c->req->hedge)) {
		edge_hedge_cancel(c);
		return false;
	}
	take_place(c);
	return true;
}

/* ---- its exchange, until the first bytes of an answer ---- */

static void send_on(struct edge_hedge *h)
{
	struct edge_req *r = h->conn->req;
	struct edge_up *up = h->up;
	struct edge_piece out[2] = {edge_piece_of(r->uo, h->uo_sent, r->uo_n),
	        edge_piece_of(r->keep, h->keep_sent, r->keep_n)};
	if (out[0].n + out[1].n == 0) return;
	ssize_t n = -EAGAIN;
	if (up->flags & EDGE_CAN_WRITE) n = edge_up_send(up, out, 2);
	if (n == -EAGAIN) edge_up_want_write(up);
	if (n < 0 && n != -EAGAIN) up->flags |= EDGE_CAN_READ; /* why, will be read */
	if (n <= 0) return;
	uint32_t k = HG_MIN((uint32_t)n, r->uo_n - h->uo_sent);
	up->sent += (uint64_t)n;
	h->uo_sent += k;
	h->keep_sent += (uint32_t)n - k;
}

/* Enough to know what it answers; false: not yet, or it has given up. */
static bool read_on(struct edge_hedge *h)
{
	struct edge *e = h->conn->edge;
	struct edge_up *up = h->up;
	while (h->in.n < EDGE_HEDGE_LOOK) {
		if (up->flags & EDGE_EOF) {
			/* A kept connection may be closed at any moment. */
			give_up(h, !up->reused);
			return false;
		}
		if (!(up->flags & EDGE_CAN_READ)) return false;
		ssize_t n = edge_up_read(up, &h->in);
		if (n == -EAGAIN) {
			edge_flow_trim(e, &h->in);
			return false;
		}
		if (n == -ENOBUFS) {
			give_up(h, false);
			return false;
		}
	}
	return true;
}

/* False: not yet, or it has given up. */
static bool open_on(struct edge_hedge *h)
{
	struct edge_up *up = h->up;
	int r = up->connecting && !up->tls ? edge_up_connect(up) : 0;
	if (r == -EAGAIN) return false;
	enum edge_step s = EDGE_STEP_ON;
	if (r == 0 && HG_UNLIKELY(up->secure)) s = edge_secure_step(up);
	if (s == EDGE_STEP_BLOCK) return false;
	if (r < 0 || s == EDGE_STEP_GONE) {
		meter_add(&h->conn->edge->count->upstream_connect_errors, 1);
		give_up(h, true);
		return false;
	}
	h->open = true;
	return true;
}

void edge_hedge_drive(struct edge_hedge *h)
{
	HG_ASSERT(h->magic == EDGE_HEDGE_MAGIC && h->up);
	if (!h->open && !open_on(h)) return;
	send_on(h);
	if (!read_on(h)) return;
	bool http = memcmp(h->in.buf, "HTTP/1.", 7) == 0;
	switch (h->in.buf[9]) {
	case '2':
	case '3':
	case '4':
		if (http) {
			win(h);
			return;
		}
		break;
	case '1':
	case '5':
		/* "Not yet", or a failure: the first attempt may still do better. */
		give_up(h, !http);
		return;
	}
	give_up(h, true);
}

/* ---- life ---- */

void edge_hedge_free(struct edge_app *a)
{
	if (!a->hedges) return;
	HG_ASSERT(hg_list_empty(&a->hedges->line));
	loop_timer_stop(a->hedges->edge->loop, &a->hedges->timer);
	free(a->hedges);
	a->hedges = NULL;
}

void edge_hedges_fini(struct edge *e)
{
	for (uint32_t i = 0; i < EDGE_APPS; i++)
		edge_hedge_free(&e->apps[i]);
}
