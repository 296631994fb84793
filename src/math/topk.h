/*
 * The most frequent of an endless stream of keys, in fixed memory: Space-Saving (Metwally, Agrawal
 * and El Abbadi, 2005). Pure: keys are 64-bit hashes, what belongs to one is the caller's, by slot.
 *
 * With `cap` slots, after `total` has been added:
 *  - every key with more than total / cap has a slot;
 *  - a slot's count is never below the truth, and above it by `over` at most;
 *  - `over` is never more than total / cap.
 */
#ifndef MATH_TOPK_H
#define MATH_TOPK_H

#include "base/hg.h"

struct topk_slot {
	uint64_t key, count, over;
};

struct topk {
	uint32_t cap, n; /* slots; in use: 0 … n-1 */
	uint32_t mask;   /* of `table` */
	uint64_t total;
	struct topk_slot *slot;
	uint32_t *heap, *at; /* slots, the least count first; place in the heap by slot */
	uint32_t *table;     /* open addressing by key: slot + 1 */
};

/* Bytes of memory that `cap` slots (1 to 65536) need. */
size_t topk_size(uint32_t cap);
/* Over zeroed memory of that size, the caller's, aligned to 8 bytes. */
void topk_init(struct topk *t, uint32_t cap, void *memory);
/* Adds `by` to a key; the number of its slot. *ret_new: the slot was nobody's, or another key's
 * that had the least count, which is now this one's `over`. */
uint32_t topk_add(struct topk *t, uint64_t key, uint64_t by, bool *ret_new);

#endif
