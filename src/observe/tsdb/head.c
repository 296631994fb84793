#include "observe/tsdb/tsdb_priv.h"

#include <stdlib.h>

/* ------------------------------------------------------------------ hashes */

static uint32_t text_hash(const struct head *h, struct hg_str s)
{
	return (uint32_t)hg_siphash(h->seed, s.p ? s.p : "", s.n);
}

/* Symbols are numbers of our own: nobody outside chooses them, so mixing is enough. */
static uint32_t pairs_hash(const uint32_t *pairs, uint32_t n)
{
	uint64_t hash = n;
	for (uint32_t i = 0; i < 2 * n; i++) {
		hash = (hash ^ pairs[i]) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 29;
	}
	return (uint32_t)(hash >> 16);
}

static uint32_t key_hash(uint64_t key)
{
	key *= 0x9e3779b97f4a7c15ull;
	return (uint32_t)(key >> 32);
}

/* ------------------------------------------------------------------ looking up */

uint32_t head_symbol(const struct head *h, struct hg_str text)
{
	return symbols_find(&h->symbols, text, text_hash(h, text));
}

struct hg_str head_text(const struct head *h, uint32_t symbol)
{
	const struct symbol *s = h->symbols.at[symbol];
	return (struct hg_str){s->text, s->n};
}

static uint32_t key_find(const struct head *h, uint64_t key)
{
	if (!h->key_cap) return TSDB_NONE;
	for (uint32_t i = key_hash(key);; i++) {
		uint32_t k = i & (h->key_cap - 1);
		if (!h->key_at[k]) return TSDB_NONE;
		if (h->keys[k] == key) return h->key_at[k] - 1;
	}
}

static uint64_t key_of(uint32_t name, uint32_t value)
{
	return (uint64_t)name << 32 | value;
}

const struct posting *head_posting(const struct head *h, uint32_t name, uint32_t value)
{
	uint32_t i = key_find(h, key_of(name, value));
	return i == TSDB_NONE ? NULL : &h->postings[i];
}

const struct head_name *head_name(const struct head *h, uint32_t name)
{
	uint32_t i = key_find(h, key_of(name, TSDB_NONE));
	return i == TSDB_NONE ? NULL : &h->names[i];
}

static uint32_t table_find(const struct head *h, const uint32_t *pairs, uint32_t n, uint32_t hash)
{
	if (!h->table_cap) return TSDB_NONE;
	for (uint32_t i = hash;; i++) {
		uint32_t slot = h->table[i & (h->table_cap - 1)];
		if (!slot) return TSDB_NONE;
		const struct series *s = &h->series[slot - 1];
		if (s->hash == hash && s->n == n &&
		        memcmp(s->pairs, pairs, n * 2 * sizeof *pairs) == 0)
			return slot - 1;
	}
}

uint32_t head_find(const struct head *h, struct labels ls)
{
	uint32_t pairs[2 * 64], *p = pairs, slot = TSDB_NONE;
	if (ls.n > 64) p = malloc(ls.n * 2 * sizeof *p);
	if (!p) return TSDB_NONE;
	uint32_t i = 0;
	for (; i < ls.n; i++) {
		p[2 * i] = head_symbol(h, ls.at[i].name);
		p[2 * i + 1] = head_symbol(h, ls.at[i].value);
		if (p[2 * i] == TSDB_NONE || p[2 * i + 1] == TSDB_NONE) break;
	}
	if (i == ls.n) slot = table_find(h, p, ls.n, pairs_hash(p, ls.n));
	if (p != pairs) free(p);
	return slot;
}

/* ------------------------------------------------------------------ making */

static void keys_put(uint64_t *keys, uint32_t *at, uint32_t cap, uint64_t key, uint32_t value)
{
	uint32_t i = key_hash(key) & (cap - 1);
	while (at[i])
		i = (i + 1) & (cap - 1);
	keys[i] = key;
	at[i] = value + 1;
}

static bool keys_room(struct head *h)
{
	if ((h->key_n + 2) * 4 <= h->key_cap * 3) return true;
	uint32_t cap = HG_MAX(h->key_cap * 2, 64u);
	uint64_t *keys = malloc(cap * sizeof *keys);
	uint32_t *at = calloc(cap, sizeof *at);
	if (!keys || !at) {
		free(keys);
		free(at);
		return false;
	}
	for (uint32_t i = 0; i < h->key_cap; i++)
		if (h->key_at[i]) keys_put(keys, at, cap, h->keys[i], h->key_at[i] - 1);
	free(h->keys);
	free(h->key_at);
	h->keys = keys;
	h->key_at = at;
	h->key_cap = cap;
	return true;
}

static struct head_name *name_make(struct head *h, uint32_t name)
{
	uint32_t i = key_find(h, key_of(name, TSDB_NONE));
	if (i != TSDB_NONE) return &h->names[i];
	if (!keys_room(h) || !tsdb_grow(&h->names, &h->name_cap, h->name_n + 1, sizeof *h->names))
		return NULL;
	h->names[h->name_n] = (struct head_name){.name = name};
	keys_put(h->keys, h->key_at, h->key_cap, key_of(name, TSDB_NONE), h->name_n);
	h->key_n++;
	return &h->names[h->name_n++];
}

static struct posting *posting_make(struct head *h, uint32_t name, uint32_t value)
{
	uint32_t i = key_find(h, key_of(name, value));
	if (i != TSDB_NONE) return &h->postings[i];
	struct head_name *of = name_make(h, name);
	if (!of || !tsdb_grow(&of->postings, &of->cap, of->n + 1, sizeof *of->postings) ||
	        !tsdb_grow(&h->postings, &h->posting_cap, h->posting_n + 1, sizeof *h->postings) ||
	        !keys_room(h))
		return NULL;
	h->postings[h->posting_n] = (struct posting){.name = name, .value = value};
	keys_put(h->keys, h->key_at, h->key_cap, key_of(name, value), h->posting_n);
	h->key_n++;
	of->postings[of->n++] = h->posting_n;
	return &h->postings[h->posting_n++];
}

/* In no order: slots are used again, and keeping one would cost a pass for each series that comes
 * after others have gone. Whoever selects makes bits of them. */
static bool posting_add(struct posting *p, uint32_t slot)
{
	if (!tsdb_grow(&p->slots, &p->cap, p->n + 1, sizeof *p->slots)) return false;
	p->slots[p->n++] = slot;
	return true;
}

static void posting_remove(struct posting *p, uint32_t slot)
{
	uint32_t to = 0;
	for (uint32_t i = 0; i < p->n; i++)
		if (p->slots[i] != slot) p->slots[to++] = p->slots[i];
	p->n = to;
}

static bool table_room(struct head *h)
{
	if ((h->live + 1) * 4 <= h->table_cap * 3) return true;
	uint32_t cap = HG_MAX(h->table_cap * 2, 64u);
	uint32_t *table = calloc(cap, sizeof *table);
	if (!table) return false;
	for (uint32_t i = 0; i < h->n; i++) {
		if (!h->series[i].used) continue;
		uint32_t k = h->series[i].hash & (cap - 1);
		while (table[k])
			k = (k + 1) & (cap - 1);
		table[k] = i + 1;
	}
	free(h->table);
	h->table = table;
	h->table_cap = cap;
	return true;
}

/* What Headgate counts itself: no scraper and no sender leaves the label job out. */
static bool is_own(struct labels ls)
{
	struct hg_str name = labels_get(ls, LABEL_METRIC);
	return hg_str_starts(name, HG_STR("headgate_")) && !labels_get(ls, HG_STR("job")).n;
}

/* Whoever sends chooses how many apps there are: they are found by a hash, as all else. */
uint32_t head_app(struct head *h, struct labels ls)
{
	uint32_t symbol = is_own(ls) ? APP_OWN : APP_NAMELESS;
	struct hg_str name = labels_get(ls, HG_STR("app"));
	if (!name.n) name = labels_get(ls, HG_STR("job"));
	bool named = symbol != APP_OWN && name.n;
	if (named) symbol = head_symbol(h, name);
	/* A symbol that is not there is no app's; without a name the number stands for itself. */
	uint32_t i =
	        named && symbol == TSDB_NONE ? TSDB_NONE : key_find(h, key_of(TSDB_NONE, symbol));
	if (i != TSDB_NONE) return i;
	if (!keys_room(h) || !tsdb_grow(&h->apps, &h->app_cap, h->app_n + 1, sizeof *h->apps))
		return TSDB_NONE;
	if (named) {
		symbol = symbols_take(&h->symbols, name, text_hash(h, name));
		if (symbol == TSDB_NONE) return TSDB_NONE;
	}
	h->apps[h->app_n] = (struct app){.symbol = symbol};
	keys_put(h->keys, h->key_at, h->key_cap, key_of(TSDB_NONE, symbol), h->app_n);
	h->key_n++;
	return h->app_n++;
}

static void pairs_give(struct head *h, uint32_t *pairs, uint32_t symbols)
{
	for (uint32_t i = 0; i < symbols; i++)
		symbols_give(&h->symbols, pairs[i]);
	free(pairs);
}

static uint32_t *pairs_take(struct head *h, struct labels ls)
{
	uint32_t *pairs = calloc(ls.n * 2, sizeof *pairs);
	if (!pairs) return NULL;
	for (uint32_t i = 0; i < 2 * ls.n; i++) {
		struct hg_str text = i % 2 ? ls.at[i / 2].value : ls.at[i / 2].name;
		pairs[i] = symbols_take(&h->symbols, text, text_hash(h, text));
		if (pairs[i] != TSDB_NONE) continue;
		pairs_give(h, pairs, i);
		return NULL;
	}
	return pairs;
}

static bool postings_add(struct head *h, const uint32_t *pairs, uint32_t n, uint32_t slot)
{
	for (uint32_t i = 0; i < n; i++) {
		struct posting *p = posting_make(h, pairs[2 * i], pairs[2 * i + 1]);
		if (p && posting_add(p, slot)) continue;
		while (i-- > 0)
			posting_remove(posting_make(h, pairs[2 * i], pairs[2 * i + 1]), slot);
		return false;
	}
	return true;
}

uint32_t head_make(struct head *h, struct labels ls)
{
	uint32_t app = head_app(h, ls), slot = h->free_n ? h->free_slots[h->free_n - 1] : h->n;
	if (app == TSDB_NONE || !table_room(h) ||
	        !tsdb_grow(&h->series, &h->cap, slot + 1, sizeof *h->series) ||
	        !tsdb_grow(&h->fresh, &h->fresh_cap, h->fresh_n + 1, sizeof *h->fresh))
		return TSDB_NONE;
	uint32_t *pairs = pairs_take(h, ls);
	if (!pairs) return TSDB_NONE;
	if (!postings_add(h, pairs, ls.n, slot)) {
		pairs_give(h, pairs, 2 * ls.n);
		return TSDB_NONE;
	}
	struct series *s = &h->series[slot];
	uint32_t hash = pairs_hash(pairs, ls.n), k = hash & (h->table_cap - 1);
	*s = (struct series){.pairs = pairs,
	        .n = (uint16_t)ls.n,
	        .hash = hash,
	        .generation = s->generation + 1,
	        .app = app,
	        .last_t = TSDB_NO_MIN,
	        .used = true};
	codec_state_init(&s->open.value);
	while (h->table[k])
		k = (k + 1) & (h->table_cap - 1);
	h->table[k] = slot + 1;
	if (slot == h->n)
		h->n++;
	else
		h->free_n--;
	h->live++;
	h->apps[app].series++;
	h->fresh[h->fresh_n++] = slot;
	return slot;
}

/* ------------------------------------------------------------------ dropping */

static void table_remove(struct head *h, uint32_t slot)
{
	uint32_t mask = h->table_cap - 1, hole = h->series[slot].hash & mask;
	while (h->table[hole] != slot + 1)
		hole = (hole + 1) & mask;
	for (uint32_t i = (hole + 1) & mask; h->table[i]; i = (i + 1) & mask) {
		uint32_t home = h->series[h->table[i] - 1].hash & mask;
		if (((i - home) & mask) < ((i - hole) & mask)) continue;
		h->table[hole] = h->table[i];
		hole = i;
	}
	h->table[hole] = 0;
}

void head_late_free(struct head *h, struct series *s)
{
	free(s->late);
	s->late = NULL;
	h->held_bytes -= sizeof *s->late;
}

static void series_fini(struct head *h, struct series *s)
{
	if (s->late) head_late_free(h, s);
	h->held_bytes -= s->open.cap;
	free(s->pairs);
	free(s->open.p);
}

static uint32_t slots_filter(const struct head *h, uint32_t *slots, uint32_t n)
{
	uint32_t to = 0;
	for (uint32_t i = 0; i < n; i++)
		if (h->series[slots[i]].used) slots[to++] = slots[i];
	return to;
}

/* Apps without series go; those behind them move up. Without memory they wait for the next time. */
static void apps_sweep(struct head *h)
{
	uint32_t *to = malloc((h->app_n + 1) * sizeof *to), n = 0;
	/* The label with the most values may go with what is swept, and its number to another. */
	for (uint32_t i = 0; i < h->app_n; i++)
		h->apps[i].looked_at = 0;
	if (!to) return;
	for (uint32_t i = 0; i < h->app_n; i++) {
		struct app a = h->apps[i];
		if (a.series) {
			to[i] = n;
			h->apps[n++] = a;
		} else if (a.symbol != APP_NAMELESS && a.symbol != APP_OWN) {
			symbols_give(&h->symbols, a.symbol);
		}
	}
	h->app_n = n;
	for (uint32_t i = 0; i < h->n; i++)
		if (h->series[i].used) h->series[i].app = to[h->series[i].app];
	free(to);
}

static void apps_keys(struct head *h)
{
	for (uint32_t i = 0; i < h->app_n; i++)
		keys_put(h->keys, h->key_at, h->key_cap, key_of(TSDB_NONE, h->apps[i].symbol), i);
	h->key_n += h->app_n;
}

/* Postings of which nothing is left go, and their names; the keys are made anew. */
static void postings_sweep(struct head *h)
{
	uint32_t to = 0;
	for (uint32_t i = 0; i < h->posting_n; i++) {
		struct posting p = h->postings[i];
		p.n = slots_filter(h, p.slots, p.n);
		if (p.n)
			h->postings[to++] = p;
		else
			free(p.slots);
	}
	h->posting_n = to;
	memset(h->key_at, 0, h->key_cap * sizeof *h->key_at);
	h->key_n = 0;
	apps_keys(h);
	for (uint32_t i = 0; i < h->name_n; i++)
		h->names[i].n = 0;
	for (uint32_t i = 0; i < h->name_n; i++) {
		keys_put(h->keys, h->key_at, h->key_cap, key_of(h->names[i].name, TSDB_NONE), i);
		h->key_n++;
	}
	for (uint32_t i = 0; i < h->posting_n; i++) {
		const struct posting *p = &h->postings[i];
		struct head_name *name = &h->names[key_find(h, key_of(p->name, TSDB_NONE))];
		name->postings[name->n++] = i; /* it held more before */
		keys_put(h->keys, h->key_at, h->key_cap, key_of(p->name, p->value), i);
		h->key_n++;
	}
}

void head_sweep(struct head *h, bool (*unused)(void *arg, uint32_t slot), void *arg)
{
	uint32_t before = h->live;
	for (uint32_t i = 0; i < h->n; i++) {
		struct series *s = &h->series[i];
		if (!s->used || !unused(arg, i)) continue;
		if (!tsdb_grow(&h->free_slots, &h->free_cap, h->free_n + 1, sizeof *h->free_slots))
			break;
		table_remove(h, i);
		s->used = false;
		h->free_slots[h->free_n++] = i;
		h->live--;
		h->apps[s->app].series--;
	}
	if (h->live == before) return;
	h->ordered = slots_filter(h, h->order, h->ordered);
	h->fresh_n = slots_filter(h, h->fresh, h->fresh_n);
	for (uint32_t i = 0; i < h->ordered; i++)
		h->series[h->order[i]].rank = i;
	apps_sweep(h);
	postings_sweep(h);
	for (uint32_t i = 0; i < h->n; i++) {
		struct series *s = &h->series[i];
		if (s->used || !s->pairs) continue;
		for (uint32_t k = 0; k < 2u * s->n; k++)
			symbols_give(&h->symbols, s->pairs[k]);
		series_fini(h, s);
		*s = (struct series){.generation = s->generation};
	}
	/* A name whose last value went keeps its entry; its symbol may go. */
	uint32_t to = 0;
	for (uint32_t i = 0; i < h->name_n; i++) {
		if (h->names[i].n)
			h->names[to++] = h->names[i];
		else
			free(h->names[i].postings);
	}
	if (to == h->name_n) return;
	h->name_n = to;
	postings_sweep(h);
}

/* ------------------------------------------------------------------ order */

static int series_compare(const struct head *h, uint32_t x, uint32_t y)
{
	const struct series *a = &h->series[x], *b = &h->series[y];
	uint32_t n = 2u * HG_MIN(a->n, b->n);
	for (uint32_t i = 0; i < n; i++) {
		if (a->pairs[i] == b->pairs[i]) continue;
		return label_text_compare(head_text(h, a->pairs[i]), head_text(h, b->pairs[i]));
	}
	return (a->n > b->n) - (a->n < b->n);
}

static int by_labels(const void *a, const void *b, void *arg)
{
	return series_compare(arg, *(const uint32_t *)a, *(const uint32_t *)b);
}

bool head_rank(struct head *h)
{
	if (!h->fresh_n) return true;
	uint32_t n = h->ordered, m = h->fresh_n;
	if (!tsdb_grow(&h->order, &h->order_cap, n + m, sizeof *h->order)) return false;
	qsort_r(h->fresh, m, sizeof *h->fresh, by_labels, h);
	/* Merged from behind, so that nothing is overwritten before it was moved. */
	for (uint32_t to = n + m; m; to--) {
		bool old = n && series_compare(h, h->order[n - 1], h->fresh[m - 1]) > 0;
		h->order[to - 1] = old ? h->order[--n] : h->fresh[--m];
	}
	h->ordered += h->fresh_n;
	h->fresh_n = 0;
	for (uint32_t i = n; i < h->ordered; i++)
		h->series[h->order[i]].rank = i;
	return true;
}

/* ------------------------------------------------------------------ figures */

uint32_t head_worst(const struct head *h, uint32_t app, uint32_t *ret_values)
{
	uint32_t best = TSDB_NONE;
	*ret_values = 0;
	for (uint32_t i = 0; i < h->name_n; i++) {
		const struct head_name *name = &h->names[i];
		uint32_t values = 0;
		if (name->n <= *ret_values) continue;
		for (uint32_t k = 0; k < name->n; k++) {
			const struct posting *p = &h->postings[name->postings[k]];
			for (uint32_t j = 0; j < p->n; j++) {
				if (h->series[p->slots[j]].app != app) continue;
				values++;
				break;
			}
		}
		if (values <= *ret_values) continue;
		*ret_values = values;
		best = name->name;
	}
	return best;
}

uint64_t head_memory(const struct head *h)
{
	uint64_t n = (uint64_t)h->cap * sizeof *h->series;
	n += (uint64_t)h->symbols.cap * (sizeof(void *) + 4) + (uint64_t)h->symbols.slot_cap * 4;
	n += (uint64_t)h->table_cap * 4 + (uint64_t)h->key_cap * 12;
	n += (uint64_t)h->posting_cap * sizeof *h->postings;
	n += ((uint64_t)h->order_cap + h->fresh_cap + h->free_cap) * 4;
	/* What hangs off each of them, by a usual size: exact sums would cost a pass or a counter
	 * on every path. Eight labels: 64 bytes of pairs, 48 of postings. Open chunks differ by
	 * far more than that, and are counted. */
	n += h->held_bytes + (uint64_t)h->app_cap * sizeof *h->apps;
	return n + (uint64_t)h->live * (64 + 48 + 48) + (uint64_t)h->symbols.used * 56;
}

void head_fini(struct head *h)
{
	for (uint32_t i = 0; i < h->n; i++)
		series_fini(h, &h->series[i]);
	for (uint32_t i = 0; i < h->posting_n; i++)
		free(h->postings[i].slots);
	for (uint32_t i = 0; i < h->name_n; i++)
		free(h->names[i].postings);
	symbols_fini(&h->symbols);
	free(h->series);
	free(h->free_slots);
	free(h->table);
	free(h->postings);
	free(h->names);
	free(h->keys);
	free(h->key_at);
	free(h->order);
	free(h->fresh);
	free(h->apps);
	*h = (struct head){0};
}
