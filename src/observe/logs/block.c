#include "observe/logs/block_priv.h"

#include <stdlib.h>
#include <zstd.h>

#include "base/crc32c.h"

#define CRC_FROM 8 /* magic and the CRC itself are not covered */

/* Widest columns first, so that each is aligned by itself. */
static char *put_columns(const struct block_item *items, uint32_t n, uint64_t min_ns, char *at)
{
	uint64_t before = min_ns;
	for (uint32_t i = 0; i < n; i++, at += 8) {
		uint64_t delta = items[i].ts_ns - before;
		before = items[i].ts_ns;
		memcpy(at, &delta, 8);
	}
	for (uint32_t i = 0; i < n; i++, at += 8)
		memcpy(at, &items[i].event_ns, 8);
	for (uint32_t i = 0; i < n; i++, at += 4)
		memcpy(at, &items[i].length, 4);
	for (uint32_t i = 0; i < n; i++, at += 2)
		memcpy(at, &items[i].label, 2);
	for (uint32_t i = 0; i < n; i++)
		*at++ = (char)items[i].level;
	for (uint32_t i = 0; i < n; i++)
		*at++ = (char)items[i].flags;
	return at;
}

size_t block_bound(uint32_t count, uint32_t text_size, uint32_t label_count)
{
	return sizeof(struct block_head) + label_count * sizeof(struct block_label) +
	       ZSTD_compressBound((size_t)count * BLOCK_COLUMNS + text_size);
}

enum hg_rc block_encode(struct ZSTD_CCtx_s *cctx, struct block_head *head,
        const struct block_label *labels, const struct block_item *items, const char *text,
        uint32_t text_size, char *raw, char *to, size_t cap, size_t *ret_size)
{
	uint32_t n = head->count;
	HG_ASSERT(n <= BLOCK_ENTRIES_MAX && text_size <= BLOCK_TEXT_MAX);
	HG_ASSERT(head->label_count <= BLOCK_LABELS_MAX);
	size_t labels_size = head->label_count * sizeof *labels;
	head->magic = BLOCK_MAGIC;
	head->version = BLOCK_VERSION;
	head->head_size = (uint32_t)(sizeof *head + labels_size);
	head->raw_size = n * BLOCK_COLUMNS + text_size;
	head->min_ns = n ? items[0].ts_ns : 0;
	head->max_ns = n ? items[n - 1].ts_ns : 0;
	head->max_seq = head->min_seq + n - 1;
	head->levels = 0;
	memset(head->level_lines, 0, sizeof head->level_lines);
	for (uint32_t i = 0; i < n; i++) {
		head->levels |= 1u << items[i].level;
		head->level_lines[items[i].level]++;
	}

	char *end = put_columns(items, n, head->min_ns, raw);
	if (text_size) memcpy(end, text, text_size);
	HG_ASSERT(cap >= head->head_size);
	size_t size = ZSTD_compressCCtx(
	        cctx, to + head->head_size, cap - head->head_size, raw, head->raw_size, 1);
	if (ZSTD_isError(size)) return HG_E_NOMEM;
	head->payload_size = (uint32_t)size;
	head->payload_crc = hg_crc32c(0, to + head->head_size, size);
	head->head_crc = 0;
	memcpy(to, head, sizeof *head);
	memcpy(to + sizeof *head, labels, labels_size);
	head->head_crc = hg_crc32c(0, to + CRC_FROM, head->head_size - CRC_FROM);
	memcpy(to, head, sizeof *head);
	*ret_size = head->head_size + size;
	return HG_OK;
}

bool block_head_plausible(const struct block_head *h)
{
	return h->magic == BLOCK_MAGIC && h->head_size >= sizeof *h &&
	       h->head_size <= BLOCK_HEAD_MAX && h->payload_size <= BLOCK_SIZE_MAX - BLOCK_HEAD_MAX;
}

bool block_head_valid(const char *p, size_t n, struct block_head *ret_head)
{
	struct block_head h;
	if (n < sizeof h) return false;
	memcpy(&h, p, sizeof h);
	if (!block_head_plausible(&h) || h.head_size > n) return false;
	if (hg_crc32c(0, p + CRC_FROM, h.head_size - CRC_FROM) != h.head_crc) return false;
	if (h.version == BLOCK_VERSION) {
		if (h.label_count > BLOCK_LABELS_MAX) return false;
		if (h.head_size != sizeof h + h.label_count * sizeof(struct block_label))
			return false;
		if (h.count == 0 || h.count > BLOCK_ENTRIES_MAX) return false;
		if (h.raw_size > BLOCK_RAW_MAX || h.raw_size < h.count * BLOCK_COLUMNS)
			return false;
		if (h.max_ns < h.min_ns || h.min_seq == 0) return false;
		if (h.max_seq < h.min_seq || h.max_seq - h.min_seq != h.count - 1) return false;
	}
	*ret_head = h;
	return true;
}

static bool grow(void **p, size_t *cap, size_t want, size_t unit)
{
	if (want <= *cap) return true;
	void *q = realloc(*p, want * unit);
	if (!q) return false;
	*p = q;
	*cap = want;
	return true;
}

bool block_reader_room(struct block_reader *r, size_t bytes, uint32_t items, uint32_t labels)
{
	size_t start_cap = r->items_cap ? r->items_cap + 1 : 0;
	return grow((void **)&r->bytes, &r->bytes_cap, HG_MAX(bytes, (size_t)1), 1) &&
	       grow((void **)&r->labels, &r->labels_cap, HG_MAX(labels, 1u), sizeof *r->labels) &&
	       grow((void **)&r->start, &start_cap, (size_t)HG_MAX(items, 1u) + 1,
	               sizeof *r->start) &&
	       grow((void **)&r->items, &r->items_cap, HG_MAX(items, 1u), sizeof *r->items);
}

size_t block_reader_size(const struct block_reader *r)
{
	return r->bytes_cap + r->items_cap * (sizeof *r->items + sizeof *r->start) +
	       r->labels_cap * sizeof *r->labels;
}

void block_reader_free(struct block_reader *r)
{
	free(r->bytes);
	free(r->items);
	free(r->start);
	free(r->labels);
	*r = (struct block_reader){.dctx = r->dctx};
}

/* Splits the columns into items and offsets; false when they contradict head or text. */
static bool read_columns(struct block_reader *r, const struct block_head *h)
{
	uint32_t n = h->count, text_size = h->raw_size - n * BLOCK_COLUMNS;
	const char *ts = r->bytes, *event = ts + 8 * (size_t)n, *length = event + 8 * (size_t)n;
	const char *label = length + 4 * (size_t)n;
	const uint8_t *level = (const uint8_t *)(label + 2 * (size_t)n), *flags = level + n;
	const char *text = (const char *)flags + n;
	uint64_t at_ns = h->min_ns, at = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct block_item *it = &r->items[i];
		uint64_t delta;
		memcpy(&delta, ts + 8 * (size_t)i, 8);
		if (__builtin_add_overflow(at_ns, delta, &at_ns)) return false;
		it->ts_ns = at_ns;
		memcpy(&it->event_ns, event + 8 * (size_t)i, 8);
		memcpy(&it->length, length + 4 * (size_t)i, 4);
		memcpy(&it->label, label + 2 * (size_t)i, 2);
		it->level = level[i];
		it->flags = flags[i];
		if (it->level > HG_ERROR || it->label >= h->label_count) return false;
		r->start[i] = (uint32_t)at;
		at += (uint64_t)it->length + 1;
		if (at > text_size || text[at - 1] != '\n') return false;
	}
	r->start[n] = (uint32_t)at;
	return at == text_size && at_ns == h->max_ns;
}

bool block_decode(struct block_reader *r, const struct block_head *head, const char *labels,
        const char *payload, struct block_view *ret_view)
{
	if (head->version != BLOCK_VERSION) return false;
	if (hg_crc32c(0, payload, head->payload_size) != head->payload_crc) return false;
	if (!block_reader_room(r, head->raw_size, head->count, head->label_count)) return false;
	size_t got =
	        ZSTD_decompressDCtx(r->dctx, r->bytes, head->raw_size, payload, head->payload_size);
	if (ZSTD_isError(got) || got != head->raw_size) return false;
	memcpy(r->labels, labels, head->label_count * sizeof *r->labels);
	for (uint32_t i = 0; i < head->label_count; i++)
		if (r->labels[i].stream > LOGS_STDERR) return false;
	if (!read_columns(r, head)) return false;
	*ret_view = (struct block_view){.head = *head,
	        .labels = r->labels,
	        .items = r->items,
	        .text = r->bytes + head->count * BLOCK_COLUMNS,
	        .text_size = head->raw_size - head->count * BLOCK_COLUMNS,
	        .start = r->start};
	return true;
}

bool logs_block_valid(struct hg_str bytes)
{
	struct block_head h;
	struct block_view v;
	struct block_reader r = {.dctx = ZSTD_createDCtx()};
	bool good = r.dctx && block_head_valid(bytes.p, bytes.n, &h) &&
	            bytes.n - h.head_size >= h.payload_size &&
	            block_decode(&r, &h, bytes.p + sizeof h, bytes.p + h.head_size, &v);
	block_reader_free(&r);
	ZSTD_freeDCtx(r.dctx);
	return good;
}
