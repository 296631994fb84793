/* Fixed pools of items of one size: pool.c. */
#ifndef DATA_EDGE_POOL_PRIV_H
#define DATA_EDGE_POOL_PRIV_H

#include "base/err.h"

#define EDGE_POOL_RECENT 16u

/* 64 items; a bit each. */
struct edge_pool_word {
	uint64_t free;
	uint64_t needed; /* was not free all the time since the last trim */
	uint64_t cold;   /* its pages are the kernel's */
};

struct edge_pool {
	char *base;
	size_t size;
	uint32_t max, used, most; /* now, and ever at a time */
	uint32_t recent_n;
	char *recent[EDGE_POOL_RECENT]; /* free, given last: still in the cache */
	struct edge_pool_word *word;
	uint64_t *some, *top; /* a bit a word with a free item; a bit a word of `some` with one */
	uint32_t top_n;
	uint32_t reach;   /* words from here on have nothing but cold items */
	uint32_t group;   /* items that fill whole pages: 1 to 64 */
	uint64_t inverse; /* of size, to find an item's number without a division */
};

HG_MUST enum hg_rc edge_pool_init(struct edge_pool *p, size_t size, uint32_t max);
void edge_pool_fini(struct edge_pool *p);
/* Not cleared; NULL: the pool is used up. */
void *edge_pool_take(struct edge_pool *p);
void edge_pool_give(struct edge_pool *p, void *item);
/* Gives the pages of items back to the kernel that were not needed since the last call; false: no
 * free item has pages any more, another call would do nothing. */
bool edge_pool_trim(struct edge_pool *p);

#endif
