#include "observe/tsdb/file_priv.h"

#include <stdlib.h>

/*
 * An index (all numbers u32 unless said otherwise; the arrays are aligned to 4):
 *   head     INDEX_HEAD numbers: magic, counts of symbols, series, names, values, bytes of text,
 *            of entries, of postings
 *   symbols  count + 1 places in text; sorted, so that a number's order is its text's order
 *   series   count + 1 places in entries; sorted by labels
 *   names    count + 1 pairs: symbol, first value (the last pair ends the values of the one before)
 *   values   count + 1 triples: symbol, place in postings, series
 *   text, entries, postings
 * An entry: varint labels, and for each varint name, varint value; varint chunks, and for each
 *   varint place - place of the one before, zigzag varint first time - last time of the one before
 *   (at first the window's start), varint last time - first
 * Postings: varint differences of the numbers of series.
 */

struct build_chunk {
	uint32_t id, order;
	uint64_t place;
	int64_t min_ms, max_ms;
};

struct build {
	const struct head *head;
	struct window *w;
	struct build_chunk *chunks;
	uint32_t chunk_n, chunk_cap;
	uint32_t *number;  /* of a head's symbol in the index: 1 + number */
	uint32_t *symbols; /* head's symbols, sorted */
	uint32_t symbol_n;
	uint32_t *ids;      /* by labels */
	uint32_t *place_of; /* id: number of the series in the index */
	uint32_t id_n;
	bool failed;
};

static void build_chunk_add(void *arg, const struct record *r, uint64_t place)
{
	struct build *b = arg;
	if (r->id >= b->w->ids || b->w->slot_of[r->id] == TSDB_NONE) return;
	if (!tsdb_grow(&b->chunks, &b->chunk_cap, b->chunk_n + 1, sizeof *b->chunks)) {
		b->failed = true;
		return;
	}
	b->chunks[b->chunk_n] = (struct build_chunk){.id = r->id,
	        .order = b->chunk_n,
	        .place = place,
	        .min_ms = r->min_ms,
	        .max_ms = r->max_ms};
	b->chunk_n++;
}

static const struct series *series_of(const struct build *b, uint32_t id)
{
	return &b->head->series[b->w->slot_of[id]];
}

/* ------------------------------------------------------------------ order */

static int by_symbol_text(const void *x, const void *y, void *arg)
{
	const struct head *h = arg;
	return label_text_compare(
	        head_text(h, *(const uint32_t *)x), head_text(h, *(const uint32_t *)y));
}

static bool symbols_number(struct build *b)
{
	const struct head *h = b->head;
	b->number = calloc(h->symbols.n + 1, sizeof *b->number);
	b->symbols = malloc((h->symbols.used + 1) * sizeof *b->symbols);
	if (!b->number || !b->symbols) return false;
	for (uint32_t i = 0; i < b->id_n; i++) {
		const struct series *s = series_of(b, b->ids[i]);
		for (uint32_t k = 0; k < 2u * s->n; k++) {
			if (b->number[s->pairs[k]]) continue;
			b->number[s->pairs[k]] = 1;
			b->symbols[b->symbol_n++] = s->pairs[k];
		}
	}
	qsort_r(b->symbols, b->symbol_n, sizeof *b->symbols, by_symbol_text, (void *)(uintptr_t)h);
	for (uint32_t i = 0; i < b->symbol_n; i++)
		b->number[b->symbols[i]] = i + 1;
	return true;
}

static int by_rank(const void *x, const void *y, void *arg)
{
	const struct build *b = arg;
	uint32_t p = series_of(b, *(const uint32_t *)x)->rank;
	uint32_t q = series_of(b, *(const uint32_t *)y)->rank;
	return (p > q) - (p < q);
}

/* As they came: of two samples with one time the first is the one that counts. */
static int by_series_and_place(const void *x, const void *y, void *arg)
{
	const struct build *b = arg;
	const struct build_chunk *p = x, *q = y;
	if (p->id != q->id) return b->place_of[p->id] < b->place_of[q->id] ? -1 : 1;
	return p->order < q->order ? -1 : 1;
}

static bool build_order(struct build *b)
{
	struct window *w = b->w;
	uint8_t *has = calloc(w->ids + 1, 1);
	b->ids = malloc((w->ids + 1) * sizeof *b->ids);
	b->place_of = calloc(w->ids + 1, sizeof *b->place_of);
	if (!has || !b->ids || !b->place_of) {
		free(has);
		return false;
	}
	for (uint32_t i = 0; i < b->chunk_n; i++)
		has[b->chunks[i].id] = 1;
	for (uint32_t id = 0; id < w->ids; id++)
		if (has[id]) b->ids[b->id_n++] = id;
	free(has);
	qsort_r(b->ids, b->id_n, sizeof *b->ids, by_rank, b);
	for (uint32_t i = 0; i < b->id_n; i++)
		b->place_of[b->ids[i]] = i;
	if (b->chunk_n) qsort_r(b->chunks, b->chunk_n, sizeof *b->chunks, by_series_and_place, b);
	return symbols_number(b);
}

/* ------------------------------------------------------------------ writing */

static void put_varint(struct hg_buf *to, uint64_t v)
{
	uint8_t bytes[10];
	hg_buf_str(to, (struct hg_str){(char *)bytes, (size_t)(varint_put(bytes, v) - bytes)});
}

static void put_u32(struct hg_buf *to, uint64_t v)
{
	uint32_t word = (uint32_t)v;
	if (v > UINT32_MAX) to->failed = true;
	hg_buf_str(to, (struct hg_str){(char *)&word, sizeof word});
}

static void put_entries(struct build *b, struct hg_buf *places, struct hg_buf *entries)
{
	uint32_t chunk = 0;
	for (uint32_t i = 0; i < b->id_n; i++) {
		const struct series *s = series_of(b, b->ids[i]);
		uint32_t end = chunk;
		int64_t last = b->w->start;
		uint64_t place = 0;
		put_u32(places, entries->n);
		put_varint(entries, s->n);
		for (uint32_t k = 0; k < 2u * s->n; k++)
			put_varint(entries, b->number[s->pairs[k]] - 1);
		while (end < b->chunk_n && b->chunks[end].id == b->ids[i])
			end++;
		put_varint(entries, end - chunk);
		for (; chunk < end; chunk++) {
			const struct build_chunk *c = &b->chunks[chunk];
			/* Signed since files of earlier versions have chunks by time. */
			put_varint(entries, zigzag((int64_t)(c->place - place)));
			put_varint(entries, zigzag(c->min_ms - last));
			put_varint(entries, (uint64_t)(c->max_ms - c->min_ms));
			place = c->place;
			last = c->max_ms;
		}
	}
	put_u32(places, entries->n);
}

struct use {
	uint32_t name, value, series;
};

static int by_use(const void *x, const void *y)
{
	const struct use *p = x, *q = y;
	if (p->name != q->name) return p->name < q->name ? -1 : 1;
	if (p->value != q->value) return p->value < q->value ? -1 : 1;
	return (p->series > q->series) - (p->series < q->series);
}

static struct use *uses_make(struct build *b, uint32_t *ret_n)
{
	uint64_t n = 0, i = 0;
	for (uint32_t k = 0; k < b->id_n; k++)
		n += series_of(b, b->ids[k])->n;
	struct use *uses = n < UINT32_MAX ? malloc((n + 1) * sizeof *uses) : NULL;
	for (uint32_t k = 0; uses && k < b->id_n; k++) {
		const struct series *s = series_of(b, b->ids[k]);
		for (uint32_t l = 0; l < s->n; l++)
			uses[i++] = (struct use){b->number[s->pairs[2 * l]] - 1,
			        b->number[s->pairs[2 * l + 1]] - 1, k};
	}
	if (uses && n) qsort(uses, n, sizeof *uses, by_use);
	*ret_n = (uint32_t)n;
	return uses;
}

struct parts {
	struct hg_buf symbols, series, names, values, text, entries, postings;
	uint32_t name_n, value_n;
};

static bool put_postings(struct build *b, struct parts *to)
{
	uint32_t n, last_series = 0;
	struct use *uses = uses_make(b, &n);
	if (!uses) return false;
	for (uint32_t i = 0; i < n;) {
		uint32_t end = i;
		if (!i || uses[i].name != uses[i - 1].name) {
			put_u32(&to->names, uses[i].name);
			put_u32(&to->names, to->value_n);
			to->name_n++;
		}
		put_u32(&to->values, uses[i].value);
		put_u32(&to->values, to->postings.n);
		for (last_series = 0; end < n && uses[end].name == uses[i].name &&
		                      uses[end].value == uses[i].value;
		        end++) {
			put_varint(&to->postings, uses[end].series - last_series);
			last_series = uses[end].series;
		}
		put_u32(&to->values, end - i);
		to->value_n++;
		i = end;
	}
	put_u32(&to->names, 0);
	put_u32(&to->names, to->value_n);
	put_u32(&to->values, 0);
	put_u32(&to->values, to->postings.n);
	put_u32(&to->values, 0);
	free(uses);
	return true;
}

static void put_symbols(struct build *b, struct parts *to)
{
	for (uint32_t i = 0; i < b->symbol_n; i++) {
		put_u32(&to->symbols, to->text.n);
		hg_buf_str(&to->text, head_text(b->head, b->symbols[i]));
	}
	put_u32(&to->symbols, to->text.n);
}

static bool put_all(struct build *b, struct parts *p, struct hg_buf *to)
{
	struct hg_buf *part[] = {&p->symbols, &p->series, &p->names, &p->values, &p->text,
	        &p->entries, &p->postings};
	for (size_t i = 0; i < HG_COUNT(part); i++)
		hg_buf_init(part[i], UINT32_MAX);
	put_symbols(b, p);
	put_entries(b, &p->series, &p->entries);
	bool good = put_postings(b, p);
	const uint64_t head[INDEX_HEAD] = {MAGIC_INDEX, b->symbol_n, b->id_n, p->name_n, p->value_n,
	        p->text.n, p->entries.n, p->postings.n};
	for (size_t i = 0; i < HG_COUNT(head); i++)
		put_u32(to, head[i]);
	for (size_t i = 0; i < HG_COUNT(part); i++) {
		good &= !part[i]->failed;
		if (good) hg_buf_str(to, hg_buf_view(part[i]));
		hg_buf_free(part[i]);
	}
	return good && !to->failed;
}

bool index_build(struct tsdb *db, struct window *w, struct hg_buf *to)
{
	struct build b = {.head = &db->head, .w = w};
	struct parts parts = {0};
	bool good = head_rank(&db->head) &&
	            window_walk(w, &db->stats.damaged, build_chunk_add, &b) && !b.failed &&
	            build_order(&b) && put_all(&b, &parts, to);
	free(b.chunks);
	free(b.number);
	free(b.symbols);
	free(b.ids);
	free(b.place_of);
	return good;
}
