#include "base/heap.h"

#include <stdlib.h>

void hg_heap_fini(struct hg_heap *h)
{
	free(h->nodes);
	*h = (struct hg_heap){0};
}

enum hg_rc hg_heap_reserve(struct hg_heap *h)
{
	if (h->n < h->cap) return HG_OK;
	uint32_t cap = h->cap ? h->cap * 2 : 32;
	struct hg_heap_node **nodes = realloc(h->nodes, cap * sizeof *nodes);
	if (!nodes) return HG_E_NOMEM;
	h->nodes = nodes;
	h->cap = cap;
	return HG_OK;
}

static void settle(struct hg_heap *h, uint32_t i, struct hg_heap_node *node)
{
	h->nodes[i] = node;
	node->place = i + 1;
}

static void rise(struct hg_heap *h, uint32_t i, struct hg_heap_node *node)
{
	for (uint32_t up; i > 0 && h->nodes[up = (i - 1) / 2]->key > node->key; i = up) {
		settle(h, i, h->nodes[up]);
	}
	settle(h, i, node);
}

static void sink(struct hg_heap *h, uint32_t i, struct hg_heap_node *node)
{
	for (uint32_t down; (down = 2 * i + 1) < h->n; i = down) {
		if (down + 1 < h->n && h->nodes[down + 1]->key < h->nodes[down]->key) down++;
		if (h->nodes[down]->key >= node->key) break;
		settle(h, i, h->nodes[down]);
	}
	settle(h, i, node);
}

void hg_heap_put(struct hg_heap *h, struct hg_heap_node *node, uint64_t key)
{
	HG_ASSERT(node->place == 0 && h->n < h->cap);
	node->key = key;
	rise(h, h->n++, node);
}

void hg_heap_remove(struct hg_heap *h, struct hg_heap_node *node)
{
	if (node->place == 0) return;
	uint32_t i = node->place - 1;
	HG_ASSERT(i < h->n && h->nodes[i] == node);
	struct hg_heap_node *last = h->nodes[--h->n];
	node->place = 0;
	if (last == node) return;
	if (i > 0 && h->nodes[(i - 1) / 2]->key > last->key) {
		rise(h, i, last);
	} else {
		sink(h, i, last);
	}
}
