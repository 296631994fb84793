#include <stdlib.h>

#include "data/edge/h2_priv.h"

/*
 * Where nghttp2 keeps a session. What it takes while it is made stands in one row behind our own
 * struct: the last of it, and largest, is a buffer for frames of 16 KiB, of which no more than the
 * start is used while heads are short, so that its pages are never touched. An idle session costs
 * three pages instead of seven. Everything later, what streams need, comes from malloc.
 */

static bool in_row(const struct edge_h2 *h, const void *p)
{
	const char *at = p;
	return at >= h->row && at < h->row + EDGE_H2_ROW;
}

static void *row_malloc(size_t n, void *arg)
{
	struct edge_h2 *h = arg;
	if (!h->making || n > EDGE_H2_ROW - 16 - h->row_n) return malloc(n);
	void *p = h->row + h->row_n;
	h->row_n += ((uint32_t)n + 15) & ~15u;
	return p;
}

static void row_free(void *p, void *arg)
{
	/* The row goes with the session. */
	if (p && !in_row(arg, p)) free(p);
}

static void *row_calloc(size_t count, size_t size, void *arg)
{
	struct edge_h2 *h = arg;
	if (!h->making || size == 0 || count > EDGE_H2_ROW / size) return calloc(count, size);
	void *p = row_malloc(count * size, arg);
	if (p) memset(p, 0, count * size);
	return p;
}

static void *row_realloc(void *p, size_t n, void *arg)
{
	struct edge_h2 *h = arg;
	if (!p) return row_malloc(n, arg);
	if (!in_row(h, p)) return realloc(p, n);
	/* How long it was is not known; what follows it in the row may be copied, too. */
	void *to = malloc(n);
	if (to) memcpy(to, p, HG_MIN(n, (size_t)(h->row + EDGE_H2_ROW - (char *)p)));
	return to;
}

bool edge_h2_ng_make(struct edge_h2 *h)
{
	const struct edge *e = h->conn->edge;
	nghttp2_mem mem = {h, row_malloc, row_free, row_calloc, row_realloc};
	h->making = true;
	int r = nghttp2_session_server_new3(&h->ng, e->h2_callbacks, h, e->h2_option, &mem);
	h->making = false;
	if (r < 0) h->ng = NULL;
	return r == 0;
}
