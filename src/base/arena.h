/*
 * Memory by lifetime: everything taken from an arena is given back at once, with the arena.
 * An arena has a name, a hard cap and counters; it is passed explicitly, first. Not thread-safe.
 */
#ifndef HG_BASE_ARENA_H
#define HG_BASE_ARENA_H

#include "base/str.h"

struct hg_arena_block;

struct hg_arena {
	const char *name;
	struct hg_arena_block *blocks;
	char *at, *end;
	size_t used, max;
};

/* `name` must outlive the arena. `max`: hard cap in bytes over all blocks. */
void hg_arena_init(struct hg_arena *a, const char *name, size_t max);
/* Frees everything; the arena may be used again. */
void hg_arena_fini(struct hg_arena *a);
/* Zeroed memory aligned for any type; NULL when the cap or the machine's memory is reached. */
HG_MUST void *hg_arena_take(struct hg_arena *a, size_t n);
/* `count` zeroed objects of `size` bytes; NULL also when the product overflows. */
HG_MUST void *hg_arena_array(struct hg_arena *a, size_t count, size_t size);
/* A zero-terminated copy; .p is NULL on failure. */
HG_MUST struct hg_str hg_arena_str(struct hg_arena *a, struct hg_str s);

#endif
