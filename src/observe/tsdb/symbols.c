#include "observe/tsdb/tsdb_priv.h"

#include <stdlib.h>

bool tsdb_grow(void *array, uint32_t *cap, uint32_t want, size_t item)
{
	void **at = array;
	if (want <= *cap) return true;
	uint64_t grown = HG_MAX((uint64_t)*cap + *cap / 2 + 8, want);
	if (grown > UINT32_MAX) return false;
	void *p = realloc(*at, grown * item);
	if (!p) return false;
	memset((char *)p + *cap * item, 0, (grown - *cap) * item);
	*at = p;
	*cap = (uint32_t)grown;
	return true;
}

uint32_t symbols_find(const struct symbols *s, struct hg_str text, uint32_t hash)
{
	if (!s->slot_cap) return TSDB_NONE;
	for (uint32_t i = hash;; i++) {
		uint32_t number = s->slots[i & (s->slot_cap - 1)];
		if (!number) return TSDB_NONE;
		const struct symbol *sym = s->at[number - 1];
		if (sym->hash == hash && hg_str_eq((struct hg_str){sym->text, sym->n}, text))
			return number - 1;
	}
}

static void slots_put(uint32_t *slots, uint32_t cap, uint32_t hash, uint32_t number)
{
	uint32_t i = hash & (cap - 1);
	while (slots[i])
		i = (i + 1) & (cap - 1);
	slots[i] = number + 1;
}

static bool slots_grow(struct symbols *s)
{
	uint32_t cap = HG_MAX(s->slot_cap * 2, 64u);
	uint32_t *slots = calloc(cap, sizeof *slots);
	if (!slots) return false;
	for (uint32_t i = 0; i < s->n; i++)
		if (s->at[i]) slots_put(slots, cap, s->at[i]->hash, i);
	free(s->slots);
	s->slots = slots;
	s->slot_cap = cap;
	return true;
}

uint32_t symbols_take(struct symbols *s, struct hg_str text, uint32_t hash)
{
	uint32_t number = symbols_find(s, text, hash);
	if (number != TSDB_NONE) {
		s->at[number]->refs++;
		return number;
	}
	if ((s->used + 1) * 4 > s->slot_cap * 3 && !slots_grow(s)) return TSDB_NONE;
	if (text.n > UINT32_MAX / 2) return TSDB_NONE;
	uint32_t links_cap = s->cap;
	if (!tsdb_grow(&s->links, &links_cap, s->n + 1, sizeof *s->links)) return TSDB_NONE;
	if (!tsdb_grow(&s->at, &s->cap, s->n + 1, sizeof(struct symbol *))) return TSDB_NONE;
	struct symbol *sym = malloc(sizeof *sym + text.n);
	if (!sym) return TSDB_NONE;
	*sym = (struct symbol){.refs = 1, .n = (uint32_t)text.n, .hash = hash};
	if (text.n) memcpy(sym->text, text.p, text.n);
	number = s->n;
	if (s->free_list) {
		number = s->free_list - 1;
		s->free_list = s->links[number];
	} else {
		s->n++;
	}
	s->at[number] = sym;
	s->used++;
	slots_put(s->slots, s->slot_cap, hash, number);
	return number;
}

/* Whoever stood behind it in the same run of slots moves up, so that no gap hides it. */
static void slots_remove(struct symbols *s, uint32_t number)
{
	uint32_t mask = s->slot_cap - 1, hole = s->at[number]->hash & mask;
	while (s->slots[hole] != number + 1)
		hole = (hole + 1) & mask;
	for (uint32_t i = (hole + 1) & mask; s->slots[i]; i = (i + 1) & mask) {
		uint32_t home = s->at[s->slots[i] - 1]->hash & mask;
		if (((i - home) & mask) < ((i - hole) & mask)) continue;
		s->slots[hole] = s->slots[i];
		hole = i;
	}
	s->slots[hole] = 0;
}

void symbols_give(struct symbols *s, uint32_t number)
{
	struct symbol *sym = s->at[number];
	if (--sym->refs) return;
	slots_remove(s, number);
	free(sym);
	s->at[number] = NULL;
	s->links[number] = s->free_list;
	s->free_list = number + 1;
	s->used--;
}

void symbols_fini(struct symbols *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		free(s->at[i]);
	free(s->at);
	free(s->links);
	free(s->slots);
	*s = (struct symbols){0};
}
