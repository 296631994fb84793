#include "math/topk.h"

static uint32_t table_size(uint32_t cap)
{
	uint32_t n = 4;
	while (n < 2 * cap)
		n *= 2;
	return n;
}

size_t topk_size(uint32_t cap)
{
	return cap * (sizeof(struct topk_slot) + 2 * sizeof(uint32_t)) +
	       table_size(cap) * sizeof(uint32_t);
}

void topk_init(struct topk *t, uint32_t cap, void *memory)
{
	HG_ASSERT(cap > 0 && cap <= 65536);
	*t = (struct topk){.cap = cap, .mask = table_size(cap) - 1, .slot = memory};
	t->heap = (uint32_t *)(void *)(t->slot + cap);
	t->at = t->heap + cap;
	t->table = t->at + cap;
}

static uint32_t home(const struct topk *t, uint64_t key)
{
	return (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32) & t->mask;
}

/* Where the key is, or the free place that ends the search. */
static uint32_t place(const struct topk *t, uint64_t key)
{
	uint32_t i = home(t, key);
	while (t->table[i] && t->slot[t->table[i] - 1].key != key)
		i = (i + 1) & t->mask;
	return i;
}

/* Linear probing without marks for what was removed: what follows moves up. */
static void table_remove(struct topk *t, uint64_t key)
{
	uint32_t hole = place(t, key);
	for (uint32_t i = (hole + 1) & t->mask; t->table[i]; i = (i + 1) & t->mask) {
		uint32_t want = home(t, t->slot[t->table[i] - 1].key);
		if (((i - want) & t->mask) < ((i - hole) & t->mask)) continue;
		t->table[hole] = t->table[i];
		hole = i;
	}
	t->table[hole] = 0;
}

static void put(struct topk *t, uint32_t i, uint32_t slot)
{
	t->heap[i] = slot;
	t->at[slot] = i;
}

/* Counts only grow, so a slot only moves away from the least. */
static void sink(struct topk *t, uint32_t slot)
{
	uint32_t i = t->at[slot];
	for (;;) {
		uint32_t least = 2 * i + 1;
		if (least >= t->n) break;
		if (least + 1 < t->n &&
		        t->slot[t->heap[least + 1]].count < t->slot[t->heap[least]].count)
			least++;
		if (t->slot[t->heap[least]].count >= t->slot[slot].count) break;
		put(t, i, t->heap[least]);
		i = least;
	}
	put(t, i, slot);
}

/* A new one at the end may be less than those above it. */
static void rise(struct topk *t, uint32_t slot)
{
	uint32_t i = t->at[slot];
	while (i && t->slot[t->heap[(i - 1) / 2]].count > t->slot[slot].count) {
		put(t, i, t->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(t, i, slot);
}

uint32_t topk_add(struct topk *t, uint64_t key, uint64_t by, bool *ret_new)
{
	uint32_t i = place(t, key), slot;
	t->total += by;
	*ret_new = t->table[i] == 0;
	if (!*ret_new) {
		slot = t->table[i] - 1;
		t->slot[slot].count += by;
		sink(t, slot);
		return slot;
	}
	if (t->n < t->cap) {
		slot = t->n++;
		t->slot[slot] = (struct topk_slot){.key = key, .count = by};
		t->at[slot] = slot;
		t->table[i] = slot + 1;
		rise(t, slot);
		return slot;
	}
	slot = t->heap[0];
	table_remove(t, t->slot[slot].key);
	t->slot[slot].over = t->slot[slot].count;
	t->slot[slot].count += by;
	t->slot[slot].key = key;
	t->table[place(t, key)] = slot + 1;
	sink(t, slot);
	return slot;
}
