#include <stdlib.h>
#include <sys/mman.h>

#include "data/edge/edge_priv.h"

/*
 * Reserved whole, so that nothing is allocated later; pages never touched cost nothing.
 *
 * Of the free items the one with the lowest address is taken, so that those in use stand together
 * and pages behind them have none: after a burst these go back to the kernel. The last ones given
 * go first all the same, as they are in the cache; trimming puts them where they belong.
 */

#define PAGE          4096u
#define INVERSE_SHIFT 40

enum hg_rc edge_pool_init(struct edge_pool *p, size_t size, uint32_t max)
{
	uint32_t words = (max + 63) / 64, some_n = (words + 63) / 64;
	*p = (struct edge_pool){.size = (size + 63) & ~(size_t)63, .max = max};
	p->top_n = (some_n + 63) / 64;
	/* Sizes are multiples of 64, and 64 × 64 bytes a page. */
	for (p->group = 1; p->group * p->size % PAGE; p->group *= 2)
		;
	p->inverse = ((1ull << INVERSE_SHIFT) + p->size / 64 - 1) / (p->size / 64);
	p->word = calloc(words, sizeof *p->word);
	p->some = calloc(some_n, sizeof *p->some);
	p->top = calloc(p->top_n, sizeof *p->top);
	void *map = mmap(NULL, p->size * max, PROT_READ | PROT_WRITE,
	        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	p->base = map == MAP_FAILED ? NULL : map;
	if (!p->word || !p->some || !p->top || !p->base) {
		edge_pool_fini(p);
		return HG_E_NOMEM;
	}
	for (uint32_t i = 0; i < words; i++) {
		uint32_t n = max - i * 64;
		p->word[i].free = n < 64 ? (1ull << n) - 1 : UINT64_MAX;
		p->word[i].cold = UINT64_MAX;
		p->some[i / 64] |= 1ull << i % 64;
		p->top[i / 4096] |= 1ull << i / 64 % 64;
	}
	return HG_OK;
}

void edge_pool_fini(struct edge_pool *p)
{
	if (p->base) munmap(p->base, p->size * p->max);
	free(p->word);
	free(p->some);
	free(p->top);
	*p = (struct edge_pool){0};
}

/* The items that share pages with item k of a word. */
static uint64_t group_of(const struct edge_pool *p, uint32_t k)
{
	return (UINT64_MAX >> (64 - p->group)) << (k & ~(p->group - 1));
}

static char *lowest(struct edge_pool *p)
{
	uint32_t t = 0;
	while (t < p->top_n && !p->top[t])
		t++;
	if (t == p->top_n) return NULL;
	uint32_t s = t * 64 + (uint32_t)__builtin_ctzll(p->top[t]);
	uint32_t w = s * 64 + (uint32_t)__builtin_ctzll(p->some[s]);
	struct edge_pool_word *x = &p->word[w];
	uint32_t k = (uint32_t)__builtin_ctzll(x->free);
	x->free &= x->free - 1;
	x->needed |= 1ull << k;
	if (HG_UNLIKELY(x->cold >> k & 1)) {
		x->cold &= ~group_of(p, k);
		p->reach = HG_MAX(p->reach, w + 1);
	}
	if (HG_UNLIKELY(!x->free)) {
		p->some[s] &= p->some[s] - 1;
		if (!p->some[s]) p->top[t] &= p->top[t] - 1;
	}
	return p->base + (w * 64 + k) * p->size;
}

void *edge_pool_take(struct edge_pool *p)
{
	char *item = HG_LIKELY(p->recent_n) ? p->recent[--p->recent_n] : lowest(p);
	if (HG_UNLIKELY(!item)) return NULL;
	if (++p->used > p->most) p->most = p->used;
	return item;
}

static void put_back(struct edge_pool *p, const char *item)
{
	size_t at = (size_t)(item - p->base);
	uint32_t i = (uint32_t)(at / 64 * p->inverse >> INVERSE_SHIFT), w = i / 64;
	HG_ASSERT(i < p->max && i * p->size == at && !(p->word[w].free >> i % 64 & 1));
	p->word[w].free |= 1ull << i % 64;
	p->some[w / 64] |= 1ull << w % 64;
	p->top[w / 4096] |= 1ull << w / 64 % 64;
}

void edge_pool_give(struct edge_pool *p, void *item)
{
	if (!item) return;
	HG_ASSERT(p->used > 0 && (char *)item >= p->base);
	if (HG_UNLIKELY(p->recent_n == EDGE_POOL_RECENT)) {
		uint32_t half = EDGE_POOL_RECENT / 2;
		for (uint32_t i = 0; i < half; i++)
			put_back(p, p->recent[i]);
		p->recent_n -= half;
		memmove(p->recent, p->recent + half, p->recent_n * sizeof p->recent[0]);
	}
	p->recent[p->recent_n++] = item;
	p->used--;
}

/* Groups without a bit outside of `idle`. */
static uint64_t whole(const struct edge_pool *p, uint64_t idle)
{
	uint64_t out = 0;
	for (uint32_t k = 0; k < 64; k += p->group) {
		uint64_t g = group_of(p, k);
		if ((idle & g) == g) out |= g;
	}
	return out;
}

static void cool(struct edge_pool *p, uint32_t w, uint64_t items)
{
	p->word[w].cold |= items;
	while (items) {
		uint32_t from = (uint32_t)__builtin_ctzll(items);
		uint64_t run = ~(items >> from);
		uint32_t n = run ? (uint32_t)__builtin_ctzll(run) : 64;
		size_t at = (w * 64 + (size_t)from) * p->size, end = at + n * p->size;
		end = HG_MIN(end, p->size * p->max);
		madvise(p->base + at, end - at, MADV_DONTNEED);
		items &= n + from >= 64 ? 0 : UINT64_MAX << (from + n);
	}
}

bool edge_pool_trim(struct edge_pool *p)
{
	uint32_t reach = 0;
	bool more = false;
	while (p->recent_n)
		put_back(p, p->recent[--p->recent_n]);
	for (uint32_t w = 0; w < p->reach; w++) {
		struct edge_pool_word *x = &p->word[w];
		/* What is behind the last item is free, too. */
		uint32_t n = HG_MIN(p->max - w * 64, 64u);
		uint64_t end = n == 64 ? 0 : UINT64_MAX << n;
		uint64_t idle = (x->free | end) & ~x->needed & ~x->cold;
		if (idle) cool(p, w, whole(p, idle));
		x->needed = ~(x->free | end);
		if (whole(p, (x->free | end) & ~x->cold)) more = true;
		if (x->cold != UINT64_MAX) reach = w + 1;
	}
	p->reach = reach;
	return more;
}
