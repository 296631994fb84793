#include "observe/tsdb/tsdb_priv.h"

#include <stdlib.h>

#include "base/crc32c.h"
#include "observe/tsdb/file_priv.h"

/*
 * A chunk's record in a frame:
 *   u32 checksum of all that follows · varint bytes that follow · varint id << 1 | late ·
 *   varint distance to the record before it of the same series (0: none) ·
 *   zigzag varint first time - window's start · varint last time - first · the chunk (chunk.c), its
 * base the first time
 */

struct window *window_new(int64_t start, int64_t end, uint32_t seq)
{
	struct window *w = calloc(1, sizeof *w);
	if (!w) return NULL;
	*w = (struct window){.start = start,
	        .end = end,
	        .seq = seq,
	        .fd = -1,
	        .min_ms = TSDB_NO_MAX,
	        .max_ms = TSDB_NO_MIN,
	        .size = FILE_HEAD_BYTES,
	        .written = FILE_HEAD_BYTES};
	w->journal.fd = -1;
	hg_buf_init(&w->tail, SIZE_MAX / 2);
	hg_buf_init(&w->journal.pending, SIZE_MAX / 2);
	hg_buf_init(&w->journal.bits, SIZE_MAX / 2);
	hg_buf_init(&w->journal.sealed, SIZE_MAX / 2);
	return w;
}

uint32_t window_id_have(const struct window *w, uint32_t slot)
{
	return slot < w->id_of_cap ? w->id_of[slot] - 1 : TSDB_NONE;
}

uint32_t window_id(struct window *w, uint32_t slot)
{
	uint32_t id = window_id_have(w, slot);
	if (id != TSDB_NONE) return id;
	uint32_t cap = w->ids_cap;
	if (!tsdb_grow(&w->id_of, &w->id_of_cap, slot + 1, sizeof *w->id_of) ||
	        !tsdb_grow(&w->slot_of, &cap, w->ids + 1, sizeof *w->slot_of) ||
	        !tsdb_grow(&w->last, &w->ids_cap, w->ids + 1, sizeof *w->last))
		return TSDB_NONE;
	id = w->ids++;
	w->id_of[slot] = id + 1;
	w->slot_of[id] = slot;
	w->last[id] = 0;
	return id;
}

void window_frame_end(struct window *w)
{
	if (!w->tail.n) return;
	struct frame_head h =
	        frame_head_make(FRAME_CHUNKS, NULL, w->tail.n - w->frame_at - FRAME_HEAD_BYTES);
	memcpy(w->tail.p + w->frame_at, &h, sizeof h);
}

/*
 * Place for one more chunk in a frame. However much waits for a disk or ends at once with a window,
 * a frame stays small: one beyond FRAME_MAX would be damage to whoever reads it.
 */
static bool frame_ready(struct window *w)
{
	if (w->tail.n && w->tail.n - w->frame_at < TAIL_BYTES) return true;
	if (!hg_buf_room(&w->tail, FRAME_HEAD_BYTES)) return false;
	window_frame_end(w);
	w->frame_at = w->tail.n;
	hg_buf_add(&w->tail, FRAME_HEAD_BYTES);
	w->size += FRAME_HEAD_BYTES;
	window_frame_end(w);
	return true;
}

bool window_record(
        struct window *w, uint32_t id, bool late, const int64_t *t, const double *v, uint32_t n)
{
	uint8_t chunk[CODEC_CHUNK_BYTES], head[64];
	size_t size = chunk_encode(t, v, n, t[0], chunk);
	if (!frame_ready(w)) goto failed;
	uint64_t place = w->size, before = w->last[id] & ~TSDB_LATE_CHAIN;
	uint8_t *p = varint_put(head, (uint64_t)id << 1 | late);
	p = varint_put(p, before ? place - before : 0);
	p = varint_put(p, zigzag(t[0] - w->start));
	p = varint_put(p, (uint64_t)(t[n - 1] - t[0]));
	size_t head_size = (size_t)(p - head);
	uint8_t *to = (uint8_t *)hg_buf_room(&w->tail, 4 + 10 + head_size + size);
	if (!to) goto failed;
	p = varint_put(to + 4, head_size + size);
	memcpy(p, head, head_size);
	memcpy(p + head_size, chunk, size);
	p += head_size + size;
	uint32_t crc = hg_crc32c(0, to + 4, (size_t)(p - to) - 4);
	memcpy(to, &crc, sizeof crc);
	hg_buf_add(&w->tail, (size_t)(p - to));
	w->size += (uint64_t)(p - to);
	w->last[id] = place | (w->last[id] & TSDB_LATE_CHAIN) | (late ? TSDB_LATE_CHAIN : 0);
	w->min_ms = HG_MIN(w->min_ms, t[0]);
	w->max_ms = HG_MAX(w->max_ms, t[n - 1]);
	w->samples += n;
	return true;
failed:
	w->tail.failed = false;
	return false;
}

bool record_parse(const uint8_t *p, size_t n, int64_t start, uint64_t place, bool check,
        struct record *ret_record, size_t *ret_bytes)
{
	uint32_t crc;
	if (n < 5) return false;
	memcpy(&crc, p, sizeof crc);
	struct span in = {.p = p + 4, .end = p + n};
	uint64_t bytes = span_varint(&in);
	if (in.bad || bytes > (uint64_t)(in.end - in.p)) return false;
	in.end = in.p + bytes;
	*ret_bytes = (size_t)(in.end - p);
	if (check && crc != hg_crc32c(0, p + 4, *ret_bytes - 4)) return false;
	uint64_t id = span_varint(&in), back = span_varint(&in);
	uint64_t first = (uint64_t)start + (uint64_t)unzigzag(span_varint(&in));
	uint64_t length = span_varint(&in);
	if (in.bad || id >> 1 >= TSDB_NONE || back > place ||
	        (back && place - back < FILE_HEAD_BYTES))
		return false;
	*ret_record = (struct record){.id = (uint32_t)(id >> 1),
	        .late = id & 1,
	        .min_ms = (int64_t)first,
	        .max_ms = (int64_t)(first + length),
	        .before = back ? place - back : 0,
	        .payload = {(const char *)in.p, (size_t)(in.end - in.p)}};
	return ret_record->max_ms >= ret_record->min_ms;
}

bool window_at(struct window *w, uint64_t place, struct record *ret_record)
{
	size_t bytes;
	if (place >= w->size) return false;
	if (place >= w->written)
		return record_parse((const uint8_t *)w->tail.p + (place - w->written),
		        (size_t)(w->size - place), w->start, place, true, ret_record, &bytes);
	if (!window_map(w, w->written)) return false;
	return record_parse(w->map + place, (size_t)(w->written - place), w->start, place, true,
	        ret_record, &bytes);
}

uint64_t window_memory(const struct window *w)
{
	return sizeof *w + w->tail.cap + w->journal.pending.cap + w->journal.bits.cap +
	       w->journal.sealed.cap + (uint64_t)w->id_of_cap * 4 + (uint64_t)w->ids_cap * 12;
}

void window_ids_free(struct window *w)
{
	free(w->id_of);
	free(w->slot_of);
	free(w->last);
	w->id_of = w->slot_of = NULL;
	w->last = NULL;
	w->id_of_cap = w->ids = w->ids_cap = w->ids_written = 0;
}

void window_free(struct window *w)
{
	if (!w) return;
	window_unmap(w);
	journal_close(&w->journal);
	disk_close(w->fd);
	hg_buf_free(&w->tail);
	hg_buf_free(&w->journal.pending);
	hg_buf_free(&w->journal.bits);
	hg_buf_free(&w->journal.sealed);
	free(w->journal.at);
	window_ids_free(w);
	free(w);
}
