/*
 * The automaton that says whether there is a match. A state is a set of instructions before what
 * needs no byte is followed, and what kind of place it is (begin of text, after a line feed, after
 * a word character), as far as the program asks. Following happens when the next byte is known, so
 * that "\b" and "$" can look at both sides; the end of the text is a symbol of its own.
 */
#include "wire/re_priv.h"

#include <stdlib.h>

#define AT_BEGIN   1u
#define AFTER_LINE 2u
#define AFTER_WORD 4u

struct re_state {
	struct re_state *chain; /* of the table */
	uint32_t hash, n;
	uint32_t place;
	uint32_t *ids;        /* sorted; behind `to` */
	struct re_state **to; /* of each byte class, and of the end; NULL: not known yet; behind */
};

/* Where every text ends that cannot match, or has. Never read, only compared. */
static const struct re_state ends[2];
#define NO_MORE ((struct re_state *)(uintptr_t)&ends[0])
#define MATCHED ((struct re_state *)(uintptr_t)&ends[1])

/* ---- sets ---- */

static bool ids_has(const struct re_ids *s, uint32_t id)
{
	return s->sparse[id] < s->n && s->dense[s->sparse[id]] == id;
}

static void ids_add(struct re_ids *s, uint32_t id)
{
	s->sparse[id] = s->n;
	s->dense[s->n++] = id;
}

static bool is_word(unsigned c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_';
}

/* ---- classes of bytes that no instruction tells apart ---- */

static void byte_classes(struct re_dfa *d)
{
	bool edge[257] = {[0] = true, [0x80] = !d->anchored, [0xc0] = !d->anchored};
	uint32_t id = 0;
	for (uint32_t i = 0; i < d->prog->n; i++) {
		const struct re_inst *in = &d->prog->at[i];
		if (in->op != RE_OP_BYTE || in->lo > in->hi) continue;
		edge[in->lo] = edge[in->hi + 1] = true;
	}
	if (d->prog->looks & (RE_LINE_BEGIN | RE_LINE_END)) edge['\n'] = edge['\n' + 1] = true;
	if (d->prog->looks & (RE_WORD_EDGE | RE_NO_WORD_EDGE))
		for (unsigned c = 1; c < 256; c++)
			edge[c] |= is_word(c) != is_word(c - 1);
	for (unsigned c = 0; c < 256; c++) {
		if (edge[c] && c) id++;
		d->byte_class[c] = (uint8_t)id;
		d->class_byte[id] = (uint8_t)c;
	}
	d->classes = id + 1;
}

/* ---- one step ---- */

static unsigned looks_at(uint32_t place, int c)
{
	unsigned have = 0;
	bool word = c >= 0 && is_word((unsigned)c);
	if (place & AT_BEGIN) have |= RE_TEXT_BEGIN | RE_LINE_BEGIN;
	if (place & AFTER_LINE) have |= RE_LINE_BEGIN;
	if (c < 0) have |= RE_TEXT_END | RE_LINE_END;
	if (c == '\n') have |= RE_LINE_END;
	have |= ((place & AFTER_WORD) != 0) != word ? RE_WORD_EDGE : RE_NO_WORD_EDGE;
	return have;
}

static uint32_t place_after(unsigned looks, int c)
{
	uint32_t place = 0;
	if (looks & RE_LINE_BEGIN && c == '\n') place |= AFTER_LINE;
	if (looks & (RE_WORD_EDGE | RE_NO_WORD_EDGE) && is_word((unsigned)c)) place |= AFTER_WORD;
	return place;
}

/* Follows what needs no byte from `id` on, into d->seen. True: a match is reached that counts. */
static bool follow(struct re_dfa *d, uint32_t id, unsigned have)
{
	bool counts = !d->anchored || have & RE_TEXT_END;
	uint32_t depth = 0;
	if (ids_has(&d->seen, id)) return false;
	ids_add(&d->seen, id);
	d->stack[depth++] = id;
	while (depth) {
		const struct re_inst *in = &d->prog->at[d->stack[--depth]];
		uint32_t out[2] = {in->out, in->also}, n = in->op == RE_OP_SPLIT ? 2 : 1;
		if (in->op == RE_OP_MATCH && counts) return true;
		if (in->op == RE_OP_MATCH || in->op == RE_OP_BYTE ||
		        (in->op == RE_OP_LOOK && !(in->look & have)))
			continue;
		for (uint32_t i = 0; i < n; i++) {
			if (ids_has(&d->seen, out[i])) continue;
			ids_add(&d->seen, out[i]);
			d->stack[depth++] = out[i];
		}
	}
	return false;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

enum step { STEP_ON, STEP_DEAD, STEP_MATCHED };

/*
 * From `ids` at `place` over the byte `c`, or the end with c < 0: d->next has what comes, sorted.
 * `ids` may not lie in d->next.
 */
static enum step step(struct re_dfa *d, const uint32_t *ids, uint32_t n, uint32_t place, int c)
{
	unsigned have = looks_at(place, c);
	d->seen.n = d->next.n = 0;
	for (uint32_t i = 0; i < n; i++)
		if (follow(d, ids[i], have)) return STEP_MATCHED;
	/* Wherever a character begins, a match may. */
	if (!d->anchored && !(c >= 0x80 && c < 0xc0) && follow(d, d->prog->start, have))
		return STEP_MATCHED;
	if (c < 0) return STEP_DEAD;
	for (uint32_t i = 0; i < d->seen.n; i++) {
		const struct re_inst *in = &d->prog->at[d->seen.dense[i]];
		if (in->op == RE_OP_BYTE && c >= in->lo && c <= in->hi &&
		        !ids_has(&d->next, in->out))
			ids_add(&d->next, in->out);
	}
	if (d->next.n == 0 && d->anchored) return STEP_DEAD;
	qsort(d->next.dense, d->next.n, sizeof *d->next.dense, by_value);
	return STEP_ON;
}

/* ---- the table of states ---- */

static uint32_t hash_of(const uint32_t *ids, uint32_t n, uint32_t place)
{
	uint64_t h = 0xcbf29ce484222325ull ^ place;
	for (uint32_t i = 0; i < n; i++)
		h = (h ^ ids[i]) * 0x100000001b3ull;
	return (uint32_t)(h ^ h >> 32);
}

static void forget(struct re_dfa *d)
{
	for (uint32_t i = 0; i < d->table_cap; i++) {
		while (d->table[i]) {
			struct re_state *s = d->table[i];
			d->table[i] = s->chain;
			free(s);
		}
	}
	d->begin = NULL;
	d->states = 0;
	d->bytes = 0;
}

static bool table_grow(struct re_dfa *d)
{
	uint32_t cap = d->table_cap ? d->table_cap * 2 : 16;
	struct re_state **table = calloc(cap, sizeof(void *));
	if (!table) return false;
	for (uint32_t i = 0; i < d->table_cap; i++) {
		while (d->table[i]) {
			struct re_state *s = d->table[i];
			d->table[i] = s->chain;
			s->chain = table[s->hash & (cap - 1)];
			table[s->hash & (cap - 1)] = s;
		}
	}
	free(d->table);
	d->table = table;
	d->table_cap = cap;
	return true;
}

/* The state of this set: found or made. NULL: no memory. When the cache is full it is emptied
 * first, and *ret_emptied set: all other states are gone. */
static struct re_state *state(
        struct re_dfa *d, const uint32_t *ids, uint32_t n, uint32_t place, bool *ret_emptied)
{
	uint32_t hash = hash_of(ids, n, place);
	size_t to = (d->classes + 1) * sizeof(void *), size = sizeof(struct re_state) + to + n * 4;
	struct re_state *s = d->table_cap ? d->table[hash & (d->table_cap - 1)] : NULL;
	for (; s; s = s->chain)
		if (s->hash == hash && s->n == n && s->place == place &&
		        memcmp(s->ids, ids, n * 4) == 0)
			return s;
	if (d->bytes + size > RE_CACHE_BYTES && d->states > 2) {
		forget(d);
		*ret_emptied = true;
	}
	if (d->states >= d->table_cap && !table_grow(d) && !d->table_cap) return NULL;
	s = malloc(size);
	if (!s) return NULL;
	memset(s, 0, sizeof *s + to);
	s->to = (struct re_state **)(void *)(s + 1);
	s->ids = (uint32_t *)(void *)((char *)(s + 1) + to);
	s->hash = hash;
	s->n = n;
	s->place = place;
	memcpy(s->ids, ids, n * 4);
	s->chain = d->table[hash & (d->table_cap - 1)];
	d->table[hash & (d->table_cap - 1)] = s;
	d->states++;
	d->bytes += size;
	return s;
}

/* ---- running ---- */

/* The rest of a text without a cache: for when there is no memory for states. */
static bool run_bare(struct re_dfa *d, uint32_t n, uint32_t place, struct hg_str s, size_t at)
{
	for (;; at++) {
		int c = at < s.n ? (unsigned char)s.p[at] : -1;
		enum step to = step(d, d->scratch, n, place, c);
		if (to != STEP_ON) return to == STEP_MATCHED;
		n = d->next.n;
		memcpy(d->scratch, d->next.dense, n * 4);
		place = place_after(d->prog->looks, c);
	}
}

/* What comes after `from` for the symbol; NULL: no memory, d->next and *ret_place say it. */
static struct re_state *advance(
        struct re_dfa *d, struct re_state *from, uint32_t symbol, uint32_t *ret_place)
{
	int c = symbol == d->classes ? -1 : d->class_byte[symbol];
	bool emptied = false;
	struct re_state *s = NULL;
	*ret_place = c < 0 ? 0 : place_after(d->prog->looks, c);
	switch (step(d, from->ids, from->n, from->place, c)) {
	case STEP_DEAD: s = NO_MORE; break;
	case STEP_MATCHED: s = MATCHED; break;
	case STEP_ON: s = state(d, d->next.dense, d->next.n, *ret_place, &emptied); break;
	}
	if (s && !emptied) from->to[symbol] = s;
	return s;
}

bool re_dfa_match(struct re_dfa *d, struct hg_str s)
{
	struct re_state *at = d->begin;
	bool emptied = false;
	uint32_t place = AT_BEGIN;
	if (!at) at = d->begin = state(d, &d->prog->start, d->anchored, AT_BEGIN, &emptied);
	if (!at) {
		d->scratch[0] = d->prog->start;
		return run_bare(d, d->anchored, place, s, 0);
	}
	for (size_t i = 0; i <= s.n; i++) {
		uint32_t symbol = i < s.n ? d->byte_class[(unsigned char)s.p[i]] : d->classes;
		struct re_state *to = at->to[symbol];
		if (HG_UNLIKELY(!to)) to = advance(d, at, symbol, &place);
		if (HG_UNLIKELY(!to)) {
			memcpy(d->scratch, d->next.dense, d->next.n * 4);
			return run_bare(d, d->next.n, place, s, i + 1);
		}
		if (to == NO_MORE) return false;
		if (to == MATCHED) return true;
		at = to;
	}
	return false;
}

enum hg_rc re_dfa_init(struct re_dfa *d, const struct re_prog *prog, bool anchored)
{
	*d = (struct re_dfa){.prog = prog, .anchored = anchored};
	/* Sparse arrays must not be zero, only theirs; calloc keeps analysers and valgrind calm. */
	d->block = calloc(prog->n, 6 * sizeof *d->block);
	if (!d->block) return HG_E_NOMEM;
	d->seen = (struct re_ids){d->block, d->block + prog->n, 0};
	d->next =
	        (struct re_ids){d->block + 2 * (size_t)prog->n, d->block + 3 * (size_t)prog->n, 0};
	d->stack = d->block + 4 * (size_t)prog->n;
	d->scratch = d->block + 5 * (size_t)prog->n;
	byte_classes(d);
	return HG_OK;
}

void re_dfa_fini(struct re_dfa *d)
{
	forget(d);
	free(d->table);
	free(d->block);
	*d = (struct re_dfa){0};
}
