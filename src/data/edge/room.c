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
	if (c->req || !c->in.buf || edge_now_ms(e) - c->head_ms < EDGE_SILENT_MS) return NULL;
	return c;
}

char *edge_buf_take(struct edge *e)
{
	char *p = edge_pool_take(&e->bufs);
	if (HG_LIKELY(p != NULL)) return p;
	struct edge_conn *c = slow_head(e);
	if (!c) return NULL;
	meter_add(&e->count->refused_full, 1);
	edge_conn_refuse(c);
	return edge_pool_take(&e->bufs);
}
