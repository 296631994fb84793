#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#define BLOCK_MIN ((size_t)4096)
#define ALIGN     alignof(max_align_t)

struct hg_arena_block {
	struct hg_arena_block *next;
	alignas(max_align_t) char bytes[];
};

void hg_arena_init(struct hg_arena *a, const char *name, size_t max)
{
	*a = (struct hg_arena){.name = name, .max = max};
}

void hg_arena_fini(struct hg_arena *a)
{
	while (a->blocks) {
		struct hg_arena_block *next = a->blocks->next;
		free(a->blocks);
		a->blocks = next;
	}
	hg_arena_init(a, a->name, a->max);
}

static bool grow(struct hg_arena *a, size_t n)
{
	/* Blocks double, so that a large tree costs few of them. */
	size_t size = HG_MAX(HG_MAX(BLOCK_MIN, a->used / 2), n);
	struct hg_arena_block *b = calloc(1, sizeof *b + size);
	if (!b) return false;
	b->next = a->blocks;
	a->blocks = b;
	a->at = b->bytes;
	a->end = b->bytes + size;
	return true;
}

void *hg_arena_take(struct hg_arena *a, size_t n)
{
	if (n > a->max) return NULL;
	n = (n + ALIGN - 1) & ~(ALIGN - 1);
	if (n > a->max || a->used > a->max - n) return NULL;
	if (n > (size_t)(a->end - a->at) && !grow(a, n)) return NULL;
	void *p = a->at;
	a->at += n;
	a->used += n;
	return p;
}

void *hg_arena_array(struct hg_arena *a, size_t count, size_t size)
{
	size_t n;
	if (__builtin_mul_overflow(count, size, &n)) return NULL;
	return hg_arena_take(a, n);
}

struct hg_str hg_arena_str(struct hg_arena *a, struct hg_str s)
{
	char *p = hg_arena_take(a, s.n + 1);
	if (!p) return (struct hg_str){0};
	if (s.n) memcpy(p, s.p, s.n);
	return (struct hg_str){p, s.n};
}
