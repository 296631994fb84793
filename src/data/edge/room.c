#include "data/edge/edge_priv.h"

/*
 * The connection that has been sending a head longest, and not only just begun. Whoever sends heads
 * byte by byte holds a buffer for each: that must not be able to keep requests out that are there.
 */
static struct edge_conn *slow_head(struct edge *e)
{
	struct hg_list *n = hg_list_first(&e->by_state[EDGE_HEAD]);
	if (!n) return NULL;
	struct edge_conn *c = HG_CONTAINER(n, struct edge_conn, node);
	/* With a request it is the one that asks for a buffer. */
	if (c->req || c->stream || !c->in.buf || edge_now_ms(e) - c->head_ms < EDGE_SILENT_MS)
		return NULL;
	return c;
}

/* A request that keeps its head for a second attempt and waits for a body that does not come. */
static bool body_lags(const struct edge_conn *c, uint64_t now_ms)
{
	const struct edge_req *r = c->req;
	return !c->stream && r->uo && !r->sent_all && r->uo_sent == r->uo_n &&
	       !(c->flags & EDGE_CAN_READ) && !r->co && now_ms - c->head_ms >= EDGE_LAG_MS;
}

static struct edge_conn *slow_body(struct edge *e)
{
	uint64_t now = edge_now_ms(e);
	struct hg_list *all = &e->by_state[EDGE_WAIT], *n = all->next;
	/* Before them may stand some that wait for their replica. */
	for (int i = 0; n != all && i < EDGE_LAG_LOOKS; i++, n = n->next) {
		struct edge_conn *c = HG_CONTAINER(n, struct edge_conn, node);
		if (c != e->driven && body_lags(c, now)) return c;
	}
	return NULL;
}

char *edge_buf_take(struct edge *e)
{
	char *p = edge_pool_take(&e->bufs);
	if (HG_LIKELY(p != NULL)) return p;
	struct edge_conn *c = slow_head(e);
	if (!c) c = slow_body(e);
	if (!c) return NULL;
	meter_add(&e->count->refused_full, 1);
	if (c->req) edge_request_abort(c);
	edge_conn_refuse(c);
	return edge_pool_take(&e->bufs);
}
