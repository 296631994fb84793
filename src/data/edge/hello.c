/*
 * Handshakes of clients with TLS. One costs as much as twenty requests, and a few hundred that come
 * at once would hold up all that is under way for longer than people wait. So each turn of the loop
 * gives them HELLOS_NS at most; who comes later in a turn waits in a row, in the order of coming.
 */
#include "data/edge/hello_priv.h"

#include "data/edge/h2_priv.h"
#include "data/edge/mtls_priv.h"

#include "os/clock.h"

#include <errno.h>

/* Five of them with ECDSA, one or two with RSA: what a request beside them waits longer. */
#define HELLOS_NS (2 * CLOCK_NS_PER_MS)

void edge_hello_failed(struct edge_conn *c, enum tls_failure why)
{
	struct meter_worker *m = c->edge->count;
	_Static_assert(TLS_FAILURES <= HG_COUNT(m->tls_failed), "a counter for each");
	meter_add(&m->tls_failures, 1);
	meter_add(&m->tls_failed[why], 1);
}

bool edge_h2_allowed(const struct edge *e)
{
	return !e->image || !(e->image->snap->h2_flags & SNAP_H2_OFF);
}

/* ---- the row ---- */

static bool turn_is_full(struct edge *e)
{
	uint64_t turn = loop_now_ns(e->loop);
	if (e->hello_turn_ns != turn) {
		e->hello_turn_ns = turn;
		e->hello_spent_ns = 0;
	}
	return e->hello_spent_ns >= HELLOS_NS;
}

/* At the end of each turn, while anybody waits. */
static void on_hellos(struct loop *l, struct loop_task *t)
{
	struct edge *e = HG_CONTAINER(t, struct edge, hello_task);
	while (!turn_is_full(e)) {
		struct hg_list *n = hg_list_pop(&e->hellos);
		if (!n) return;
		e->hello_called = HG_CONTAINER(n, struct edge_conn, task.node);
		edge_conn_drive(HG_CONTAINER(n, struct edge_conn, task.node));
		e->hello_called = NULL;
	}
	if (!hg_list_empty(&e->hellos)) loop_task_queue(l, t);
}

void edge_hello_init(struct edge *e)
{
	hg_list_init(&e->hellos);
	loop_task_init(&e->hello_task, on_hellos);
}

void edge_hello_fini(struct edge *e)
{
	HG_ASSERT(hg_list_empty(&e->hellos));
	loop_task_cancel(&e->hello_task);
}

/* In the row or now put at its end. A connection in a handshake has no other use for its task, and
 * whoever cancels the task takes it out of the row. */
static bool waits(struct edge_conn *c)
{
	struct edge *e = c->edge;
	if (!hg_list_empty(&c->task.node)) return true;
	bool called = e->hello_called == c;
	if (!turn_is_full(e) && (called || hg_list_empty(&e->hellos))) return false;
	hg_list_append(&e->hellos, &c->task.node);
	loop_task_queue(e->loop, &e->hello_task);
	meter_add(&e->count->tls_put_off, 1);
	return true;
}

/* ---- the handshake ---- */

static bool begin(struct edge_conn *c)
{
	struct edge *e = c->edge;
	if (!e->keyring) return false;
	c->tls = tls_new(e->keyring, c->io.fd);
	if (!c->tls) {
		meter_add(&e->count->refused_full, 1);
		return false;
	}
	if (c->flags & EDGE_HUP) tls_hung_up(c->tls);
	if (HG_UNLIKELY(e->image && e->image->clients)) edge_mtls_prepare(c);
	if (!edge_h2_allowed(e)) tls_alpn_only(c->tls, "http/1.1");
	return true;
}

static enum edge_step gone(struct edge_conn *c)
{
	edge_conn_close(c);
	return EDGE_STEP_GONE;
}

enum edge_step edge_hello_step(struct edge_conn *c)
{
	struct edge *e = c->edge;
	/* The first bytes make the session: who only connects costs no more than without TLS. */
	uint32_t awaited = c->tls ? EDGE_CAN_READ | EDGE_CAN_WRITE : EDGE_CAN_READ;
	if (!(c->flags & awaited) || waits(c)) return EDGE_STEP_BLOCK;
	if (!c->tls && !begin(c)) return gone(c);
	uint64_t before = clock_mono_ns();
	int r = tls_handshake(c->tls);
	e->hello_spent_ns += clock_mono_ns() - before;
	if (r == -EAGAIN) {
		c->flags &= ~(EDGE_CAN_READ | EDGE_CAN_WRITE);
		return EDGE_STEP_BLOCK;
	}
	if (r < 0) {
		edge_hello_failed(c, tls_failure(c->tls));
		return gone(c);
	}
	meter_add(&e->count->tls_handshakes, 1);
	if (HG_UNLIKELY(tls_is_challenge(c->tls))) return gone(c); /* RFC 8737 section 3 */
	if (tls_resumed(c->tls)) meter_add(&e->count->tls_resumed, 1);
	if (HG_UNLIKELY(tls_asked(c->tls))) edge_mtls_shown(c);
	c->flags |= EDGE_CAN_READ | EDGE_CAN_WRITE;
	if (hg_str_eq(tls_alpn(c->tls), HG_STR("h2"))) return edge_h2_begin(c);
	edge_conn_move(c, EDGE_IDLE);
	return EDGE_STEP_ON;
}
