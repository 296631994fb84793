#include <stdlib.h>
#include <sys/mman.h>

#include "data/edge/edge_priv.h"

/* Reserved whole, so that nothing is allocated later; pages never touched cost nothing. */
enum hg_rc edge_pool_init(struct edge_pool *p, size_t size, uint32_t max)
{
	*p = (struct edge_pool){.size = (size + 63) & ~(size_t)63, .max = max};
	p->free = malloc(max * sizeof *p->free);
	void *map = mmap(NULL, p->size * max, PROT_READ | PROT_WRITE,
	        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	p->base = map == MAP_FAILED ? NULL : map;
	if (p->free && p->base) return HG_OK;
	edge_pool_fini(p);
	return HG_E_NOMEM;
}

void edge_pool_fini(struct edge_pool *p)
{
	if (p->base) munmap(p->base, p->size * p->max);
	free(p->free);
	*p = (struct edge_pool){0};
}

void *edge_pool_take(struct edge_pool *p)
{
	if (p->free_n) {
		p->free_n--;
		if (p->free_n < p->low) p->low = p->free_n;
		if (p->free_n < p->cold) p->cold = p->free_n;
		return p->base + p->free[p->free_n] * p->size;
	}
	if (p->made == p->max) return NULL;
	return p->base + p->made++ * p->size;
}

void edge_pool_give(struct edge_pool *p, void *item)
{
	if (!item) return;
	size_t at = (size_t)((char *)item - p->base);
	HG_ASSERT(at % p->size == 0 && at / p->size < p->made && p->free_n < p->made);
	p->free[p->free_n++] = (uint32_t)(at / p->size);
}

void edge_pool_trim(struct edge_pool *p)
{
	if (p->size % 4096) return;
	for (; p->cold < p->low; p->cold++)
		madvise(p->base + p->free[p->cold] * p->size, p->size, MADV_DONTNEED);
	p->low = p->free_n;
}
