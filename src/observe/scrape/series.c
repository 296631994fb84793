/* The series of one target, by the text in which it writes them. */
#include "observe/scrape/scrape_priv.h"

#include <stdlib.h>

#define TEXTS_MAX (1ull << 30)

void scrape_series_init(struct series *s, const uint8_t key[16])
{
	*s = (struct series){.key = key, .free = SERIES_NONE};
	hg_buf_init(&s->texts, TEXTS_MAX);
}

void scrape_series_fini(struct series *s)
{
	free(s->at);
	free(s->order);
	free(s->table);
	hg_buf_free(&s->texts);
	scrape_series_init(s, s->key);
}

size_t scrape_series_bytes(const struct series *s)
{
	return s->cap * sizeof *s->at + (s->order_cap + s->table_cap) * sizeof(uint32_t) +
	       s->texts.cap;
}

static uint32_t slot_of(const struct series *s, struct hg_str text)
{
	return (uint32_t)hg_siphash(s->key, text.p, text.n) & (s->table_cap - 1);
}

uint32_t scrape_series_find(const struct series *s, struct hg_str text)
{
	uint32_t i = s->table_cap ? s->table[slot_of(s, text)] : SERIES_NONE;
	while (i != SERIES_NONE && !hg_str_eq(scrape_series_text(s, i), text))
		i = s->at[i].chain;
	return i;
}

static void link_in(struct series *s, uint32_t place)
{
	uint32_t *slot = &s->table[slot_of(s, scrape_series_text(s, place))];
	s->at[place].chain = *slot;
	*slot = place;
}

static bool grow(struct series *s)
{
	uint32_t cap = s->cap ? s->cap * 2 : 32;
	struct series_place *at = realloc(s->at, cap * sizeof *at);
	uint32_t *table = NULL;
	if (at) s->at = at;
	table = at ? malloc(cap * sizeof *table) : NULL;
	if (!table) return false;
	memset(table, 0xff, cap * sizeof *table);
	free(s->table);
	s->table = table;
	s->table_cap = s->cap = cap;
	for (uint32_t i = 0; i < s->n; i++) /* all are used: the free list is empty */
		link_in(s, i);
	return true;
}

uint32_t scrape_series_add(struct series *s, struct hg_str text)
{
	uint32_t place;
	if (s->free == SERIES_NONE && s->n == s->cap && !grow(s)) return SERIES_NONE;
	size_t from = s->texts.n;
	hg_buf_str(&s->texts, text);
	if (s->texts.failed) {
		s->texts.failed = false;
		return SERIES_NONE;
	}
	place = s->free;
	if (place != SERIES_NONE)
		s->free = s->at[place].chain;
	else
		place = s->n++;
	s->at[place] = (struct series_place){.text = (uint32_t)from,
	        .n = (uint32_t)text.n,
	        .position = SERIES_NONE,
	        .round = s->round - 1};
	s->used++;
	link_in(s, place);
	return place;
}

void scrape_series_drop(struct series *s, uint32_t place)
{
	uint32_t *at = &s->table[slot_of(s, scrape_series_text(s, place))];
	while (*at != place)
		at = &s->at[*at].chain;
	*at = s->at[place].chain;
	s->garbage += s->at[place].n;
	s->at[place] = (struct series_place){.chain = s->free, .position = SERIES_NONE};
	s->free = place;
	s->used--;
}

void scrape_series_tidy(struct series *s)
{
	struct hg_buf texts;
	if (s->garbage < 4096 || s->garbage < s->texts.n / 2) return;
	hg_buf_init(&texts, TEXTS_MAX);
	if (!hg_buf_room(&texts, s->texts.n - s->garbage)) return; /* another time */
	for (uint32_t i = 0; i < s->n; i++) {
		size_t from = texts.n;
		if (s->at[i].n == 0) continue;
		hg_buf_str(&texts, scrape_series_text(s, i));
		s->at[i].text = (uint32_t)from;
	}
	hg_buf_free(&s->texts);
	s->texts = texts;
	s->garbage = 0;
}
