#include <stdlib.h>
#include <sys/mman.h>

#include "data/edge/h2_priv.h"

/*
 * Where nghttp2 keeps a session. What it takes while it is made stands in a row behind our own
 * struct, but for two things that only streams need and that fill whole pages of their own, the
 * desk: the table of streams, which is all zero without any, and the buffer in which a frame is
 * made. When a session has been quiet for a moment their pages go back to the kernel, and are zero
 * when they are touched again. Everything later comes from malloc.
 */

#define PAGE 4096u
/* A frame of 16 KiB with its head, and what nghttp2 puts before it. */
#define FRAME_LEAST (16384u + 9)
#define FRAME_MOST  (16384u + 64)
#define QUIET_MS    1000u

static bool within(const char *at, const char *from, size_t n)
{
	return from && at >= from && at < from + n;
}

static bool ours(const struct edge_h2 *h, const void *p)
{
	return within(p, h->row, EDGE_H2_ROW) || within(p, h->desk, EDGE_H2_DESK);
}

static char *desk_take(struct edge_h2 *h, size_t n, uint8_t *ret_first, uint8_t *ret_n)
{
	size_t pages = (n + PAGE - 1) / PAGE;
	if (pages > EDGE_H2_DESK / PAGE - h->desk_n) return NULL;
	*ret_first = h->desk_n;
	*ret_n = (uint8_t)pages;
	h->desk_n += *ret_n;
	return h->desk + *ret_first * PAGE;
}

static void *row_malloc(size_t n, void *arg)
{
	struct edge_h2 *h = arg;
	if (!h->making) return malloc(n);
	if (n >= FRAME_LEAST && n <= FRAME_MOST && !h->frames_n) {
		char *p = desk_take(h, n, &h->frames, &h->frames_n);
		if (p) return p;
	}
	if (n > EDGE_H2_ROW - 16 - h->row_n) return malloc(n);
	void *p = h->row + h->row_n;
	h->row_n += ((uint32_t)n + 15) & ~15u;
	return p;
}

static void row_free(void *p, void *arg)
{
	/* Row and desk go with the session. */
	if (p && !ours(arg, p)) free(p);
}

static void *row_calloc(size_t count, size_t size, void *arg)
{
	struct edge_h2 *h = arg;
	if (count == 0 || size == 0) return NULL; /* nghttp2 asks for something */
	if (!h->making || count > EDGE_H2_DESK / size) return calloc(count, size);
	size_t n = count * size;
	void *p = n % PAGE == 0 && !h->clean_n ? desk_take(h, n, &h->clean, &h->clean_n) : NULL;
	if (!p) p = row_malloc(n, arg);
	if (p) memset(p, 0, n);
	return p;
}

static void *row_realloc(void *p, size_t n, void *arg)
{
	struct edge_h2 *h = arg;
	if (!p) return row_malloc(n, arg);
	if (!ours(h, p)) return realloc(p, n);
	/* How long it was is not known; what follows it may be copied, too. */
	const char *at = p;
	bool row = within(at, h->row, EDGE_H2_ROW);
	size_t had = (size_t)((row ? h->row + EDGE_H2_ROW : h->desk + EDGE_H2_DESK) - at);
	void *to = malloc(n);
	if (to) memcpy(to, p, HG_MIN(n, had));
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

static bool all_zero(const char *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

static void clear(struct edge_h2 *h)
{
	char *clean = h->desk + h->clean * PAGE;
	size_t n = h->clean_n * PAGE;
	hg_list_remove(&h->warm);
	/* Whatever nghttp2 makes of it, nothing but zeros is given for zeros. */
	if (n && all_zero(clean, n)) madvise(clean, n, MADV_DONTNEED);
	if (h->frames_n) madvise(h->desk + h->frames * PAGE, h->frames_n * PAGE, MADV_DONTNEED);
}

void edge_h2_desk_warm(struct edge_h2 *h)
{
	struct edge *e = h->conn->edge;
	h->stepped_ms = edge_now_ms(e);
	if (HG_LIKELY(!hg_list_empty(&h->warm))) return;
	hg_list_append(&e->h2_warm, &h->warm);
	edge_table_watch(e);
}

bool edge_h2_desks_clear(struct edge *e)
{
	for (struct hg_list *n = e->h2_warm.next, *after; n != &e->h2_warm; n = after) {
		struct edge_h2 *h = HG_CONTAINER(n, struct edge_h2, warm);
		after = n->next;
		bool quiet = h->stream_n == 0 && h->out_at == h->out_n &&
		             edge_now_ms(e) - h->stepped_ms >= QUIET_MS;
		if (quiet && !nghttp2_session_want_write(h->ng)) clear(h);
	}
	return !hg_list_empty(&e->h2_warm);
}
