/*
 * Binary min-heap of intrusive nodes with a 64-bit key, for timers. The heap owns only its array;
 * a node knows its place, so that removal is O(log n). Single-threaded.
 */
#ifndef HG_BASE_HEAP_H
#define HG_BASE_HEAP_H

#include "base/hg.h"

struct hg_heap_node {
	uint64_t key;
	uint32_t place; /* index + 1; 0: in no heap */
};

struct hg_heap {
	struct hg_heap_node **nodes;
	uint32_t n, cap;
};

void hg_heap_fini(struct hg_heap *h);
/* Room for one more node than are in; HG_E_NOMEM leaves the heap as it was. */
HG_MUST enum hg_rc hg_heap_reserve(struct hg_heap *h);
/* The node must be in no heap, and hg_heap_reserve must have succeeded since the last put. */
void hg_heap_put(struct hg_heap *h, struct hg_heap_node *node, uint64_t key);
/* Fine for a node that is in no heap. */
void hg_heap_remove(struct hg_heap *h, struct hg_heap_node *node);

static inline struct hg_heap_node *hg_heap_min(const struct hg_heap *h)
{
	return h->n ? h->nodes[0] : NULL;
}

#endif
