#include <stdlib.h>

#include "data/edge/edge_priv.h"

/*
 * Requests that wait until a replica has room. Stochastic fair queueing (McKenney 1990): clients
 * are spread over lanes by a hash, lanes take turns, within a lane who came first goes first. When
 * the queue is full, the newest of the longest lane gives way: who sends much turns away himself.
 *
 * Each worker has its own queues: of the app, or beside a trial of each release, since a release
 * that has no room must not keep the other's requests waiting. Room that this worker makes is given
 * on at the end of the loop's turn, room that others make is found every 5 ms while somebody waits.
 * While somebody waits, nobody who comes later is sent before him.
 *
 * The time in the queue is no evidence against a release: the smaller arm of a trial has the longer
 * queue at the same load. A request is judged by its age without it.
 */

static uint32_t which_of(const struct edge_req *r)
{
	return r->app->trial ? 1 + (uint32_t)edge_draw_side(r) : 0;
}

static struct meter_app *counted(struct edge *e, const struct edge_req *r)
{
	return meter_app_take(e->count, r->app->id);
}

static struct edge_queue *queue_of(struct edge_app *a, uint32_t which)
{
	struct edge_queue *q = a->queue[which];
	if (q) return q;
	q = calloc(1, sizeof *q);
	if (!q) return NULL;
	q->app = a;
	hg_list_init(&q->node);
	hg_list_init(&q->turns);
	for (uint32_t i = 0; i < EDGE_QUEUE_LANES; i++) {
		hg_list_init(&q->lane[i].node);
		hg_list_init(&q->lane[i].waiting);
	}
	return a->queue[which] = q;
}

bool edge_queue_busy(const struct edge_req *r)
{
	const struct edge_queue *q = r->app->queue[which_of(r)];
	return q && q->n && r->chosen && r->limits->balance.queue_max;
}

/* ---- in and out ---- */

/* Of all workers. */
static uint32_t waiting(const struct edge *e, const struct edge_app *a)
{
	uint32_t n = 0;
	for (uint32_t w = 0; w < e->meter->worker_count; w++) {
		const struct meter_app *m = meter_app_find(&e->meter->worker[w], a->id);
		n += m ? atomic_load_explicit(&m->waiting, memory_order_relaxed) : 0;
	}
	return HG_MAX(n, a->waiting);
}

static uint8_t lane_of(const struct edge_conn *c)
{
	/* Whoever has an IPv6 address has a whole network of them: that is one client. */
	struct ip_addr client = ip_addr_client(c->addr);
	uint64_t h = hg_str_hash((struct hg_str){(const char *)&client, sizeof client});
	/* Another spread in each worker's life: nobody is unlucky for ever. */
	h = (h ^ (uint64_t)(uintptr_t)c->edge) * 0x9e3779b97f4a7c15u;
	return (uint8_t)(h >> 32 & (EDGE_QUEUE_LANES - 1));
}

static struct edge_conn *conn_of(struct edge *e, struct hg_list *n)
{
	/* The request knows its queue, and the queue its requests; the connection is beside. */
	struct edge_req *r = HG_CONTAINER(n, struct edge_req, queue_node);
	HG_ASSERT(r->queue_conn && r->queue_conn->edge == e);
	return r->queue_conn;
}

void edge_queue_leave(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct edge_queue *q = r->queue;
	struct edge_queue_lane *lane = &q->lane[r->queue_lane];
	struct meter_app *m = counted(e, r);
	uint64_t waited = loop_now_ns(e->loop) - r->queue_since_ns;
	r->queue = NULL;
	hg_list_remove(&r->queue_node);
	if (--lane->n == 0) hg_list_remove(&lane->node);
	if (--q->n == 0) hg_list_remove(&q->node);
	q->app->waiting--;
	if (m) meter_gauge_add(&m->waiting, -1);
	if (m) meter_add(&m->queue_ns, waited);
	if (!r->draw) return;
	r->draw->start_ns += waited;
	if (r->draw->evidence) edge_evidence_begin(e, r->draw);
}

void edge_queue_gone(struct edge_conn *c)
{
	struct meter_app *m = counted(c->edge, c->req);
	if (m) meter_add(&m->queue_left, 1);
	edge_queue_leave(c);
}

static enum edge_step turn_away(struct edge_conn *c, const char *why)
{
	if (c->req->queue) edge_queue_leave(c);
	return edge_answer(c, 503, why);
}

static const char full_text[] = "all replicas are busy, and too many requests wait";

/* The newest of the lane that has most waiting, if that is another one than `own`. */
static struct edge_conn *longest(struct edge *e, struct edge_queue *q, uint8_t own)
{
	uint32_t most = own;
	for (uint32_t i = 0; i < EDGE_QUEUE_LANES; i++)
		if (q->lane[i].n > q->lane[most].n) most = i;
	if (q->lane[most].n <= q->lane[own].n + 1) return NULL;
	return conn_of(e, q->lane[most].waiting.prev);
}

static void enter(struct edge_conn *c, struct edge_queue *q)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	struct meter_app *m = counted(e, r);
	struct edge_queue_lane *lane = &q->lane[r->queue_lane];
	r->queue = q;
	r->queue_conn = c;
	r->queue_since_ns = loop_now_ns(e->loop);
	r->queue_until_ms = edge_now_ms(e) + r->limits->balance.queue_ms;
	hg_list_append(&lane->waiting, &r->queue_node);
	if (lane->n++ == 0) hg_list_append(&q->turns, &lane->node);
	if (q->n++ == 0) hg_list_append(&e->queues, &q->node);
	q->app->waiting++;
	if (m) meter_gauge_add(&m->waiting, 1);
	if (m) meter_add(&m->queued, 1);
	/* Nobody's fault while it waits. */
	if (r->draw) hg_list_remove(&r->draw->node);
	edge_conn_move(c, EDGE_QUEUE);
}

static void on_poll(struct loop *l, struct loop_timer *t);

enum edge_step edge_queue_enter(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	const struct snap_balance *b = &r->limits->balance;
	struct meter_app *m = counted(e, r);
	struct edge_queue *q = b->queue_max ? queue_of(r->app, which_of(r)) : NULL;
	hg_list_init(&r->queue_node);
	r->queue_lane = lane_of(c);
	if (!q) {
		if (m) meter_add(&m->queue_full, 1);
		return turn_away(c, "all replicas are busy");
	}
	if (waiting(e, r->app) >= b->queue_max) {
		struct edge_conn *out = longest(e, q, r->queue_lane);
		if (m) meter_add(&m->queue_full, 1);
		if (!out) return turn_away(c, full_text);
		if (turn_away(out, full_text) != EDGE_STEP_GONE)
			loop_task_queue(e->loop, &out->task);
	}
	enter(c, q);
	if (!loop_timer_active(&e->queue_timer)) {
		/* Without memory for the timer own completions still wake, and time ends the wait.
		 */
		if (loop_timer_start(e->loop, &e->queue_timer, EDGE_QUEUE_POLL_MS, on_poll) < 0)
			return EDGE_STEP_ON;
	}
	return EDGE_STEP_ON;
}

enum edge_step edge_queue_step(struct edge_conn *c)
{
	if (!(c->flags & EDGE_HUP)) return EDGE_STEP_BLOCK;
	/* Who has stopped sending before there was room does not wait any more. */
	edge_request_abort(c);
	edge_conn_close(c);
	return EDGE_STEP_GONE;
}

enum edge_step edge_queue_timeout(struct edge_conn *c)
{
	struct meter_app *m = counted(c->edge, c->req);
	if (m) meter_add(&m->queue_late, 1);
	if (HG_UNLIKELY(c->req->timed) && edge_deadline_over(c)) {
		edge_queue_leave(c);
		return edge_deadline_answer(c);
	}
	return turn_away(c, "no replica had room in time");
}

/* ---- going on ---- */

/* False: nobody of this queue can go on now. */
static bool next(struct edge *e, struct edge_queue *q)
{
	struct edge_queue_lane *lane = HG_CONTAINER(q->turns.next, struct edge_queue_lane, node);
	struct edge_conn *c = conn_of(e, lane->waiting.next);
	struct edge_ep *ep = edge_choose(c);
	if (!ep && c->req->full) return false;
	hg_list_remove(&lane->node);
	hg_list_append(&q->turns, &lane->node);
	edge_queue_leave(c);
	enum edge_step s = ep ? edge_attempt_on(c, ep) : edge_attempt_now(c);
	if (s != EDGE_STEP_GONE) edge_conn_drive(c);
	return true;
}

static void pump(struct edge *e)
{
	edge_table_refresh(e, false);
	HG_LIST_EACH_SAFE (n, after, &e->queues) {
		struct edge_queue *q = HG_CONTAINER(n, struct edge_queue, node);
		/* As many as there are now: who comes back to wait is not asked twice. */
		for (uint32_t i = q->n; i > 0 && q->n > 0; i--)
			if (!next(e, q)) break;
	}
}

static void on_wake(struct loop *l, struct loop_task *t)
{
	(void)l;
	pump(HG_CONTAINER(t, struct edge, queue_task));
}

static void on_poll(struct loop *l, struct loop_timer *t)
{
	struct edge *e = HG_CONTAINER(t, struct edge, queue_timer);
	pump(e);
	if (hg_list_empty(&e->queues)) return;
	if (loop_timer_start(l, t, EDGE_QUEUE_POLL_MS, on_poll) < 0) return;
}

/* Room is left to the other workers' polls in proportion to who waits there: a worker without a
 * request under way frees none itself, and would starve. */
void edge_queue_wake(struct edge *e, const struct edge_app *a, uint16_t slot)
{
	uint32_t all = waiting(e, a);
	e->room_slot = slot;
	if (all > a->waiting && hg_rand_below(&e->rand, all) >= a->waiting) return;
	loop_task_queue(e->loop, &e->queue_task);
}

/* ---- life ---- */

void edge_queue_init(struct edge *e)
{
	hg_list_init(&e->queues);
	loop_task_init(&e->queue_task, on_wake);
}

void edge_queue_free(struct edge_app *a)
{
	for (size_t i = 0; i < HG_COUNT(a->queue); i++) {
		HG_ASSERT(!a->queue[i] || a->queue[i]->n == 0);
		free(a->queue[i]);
		a->queue[i] = NULL;
	}
}

void edge_queue_fini(struct edge *e)
{
	loop_timer_stop(e->loop, &e->queue_timer);
	loop_task_cancel(&e->queue_task);
	for (uint32_t i = 0; i < EDGE_APPS; i++)
		edge_queue_free(&e->apps[i]);
}
