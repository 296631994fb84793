#include "observe/tsdb/file_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "base/crc32c.h"
#include "os/shm.h"

#define SERIES_PER_FRAME 20000
#define SERIES_BYTES     (4u << 20) /* of labels in a frame, before compression */
#define MAP_LEAST        (1u << 20)

/* ------------------------------------------------------------------ heads */

struct file_head file_head_make(uint32_t magic, int64_t start, uint32_t seq, uint32_t segment)
{
	struct file_head h = {.magic = magic,
	        .version = magic == MAGIC_JOURNAL ? JOURNAL_VERSION : FILE_VERSION,
	        .start = start,
	        .seq = seq,
	        .segment = segment};
	h.crc = hg_crc32c(0, &h, offsetof(struct file_head, crc));
	return h;
}

bool file_head_valid(const struct file_head *h, uint32_t magic)
{
	uint32_t newest = magic == MAGIC_JOURNAL ? JOURNAL_VERSION : FILE_VERSION;
	return h->magic == magic && h->version && h->version <= newest &&
	       h->crc == hg_crc32c(0, h, offsetof(struct file_head, crc));
}

bool frame_head_valid(const struct frame_head *h)
{
	return h->magic == MAGIC_FRAME && h->type >= FRAME_SERIES && h->type <= FRAME_INDEX &&
	       (h->type == FRAME_INDEX || h->bytes <= FRAME_MAX);
}

static uint32_t frame_crc(const struct frame_head *h, const void *payload)
{
	uint32_t crc = hg_crc32c(0, h, offsetof(struct frame_head, crc));
	return h->type == FRAME_SERIES ? hg_crc32c(crc, payload, h->bytes) : crc;
}

struct frame_head frame_head_make(uint32_t type, const void *payload, size_t bytes)
{
	struct frame_head h = {.magic = MAGIC_FRAME, .type = type, .bytes = (uint32_t)bytes};
	h.crc = frame_crc(&h, payload);
	return h;
}

bool frame_valid(const struct frame_head *h, const uint8_t *payload)
{
	return h->crc == frame_crc(h, payload);
}

bool file_foot_valid(const struct file_foot *f, uint64_t size)
{
	return f->magic == MAGIC_FOOT && f->version == FILE_VERSION &&
	       f->crc == hg_crc32c(0, f, offsetof(struct file_foot, crc)) &&
	       f->index_at >= FILE_HEAD_BYTES && f->index_at <= size &&
	       f->index_bytes <= size - f->index_at;
}

void window_name(const struct window *w, char to[static NAME_BYTES])
{
	snprintf(to, NAME_BYTES, "%lld-%u.hgm", (long long)w->start, w->seq);
}

void segment_name(const struct window *w, uint32_t segment, char to[static NAME_BYTES])
{
	snprintf(to, NAME_BYTES, "%lld-%u-%u.hgj", (long long)w->start, w->seq, segment);
}

/* ------------------------------------------------------------------ writing */

int file_put(struct tsdb *db, int fd, const void *bytes, size_t n, uint64_t at)
{
	int rc = disk_write(fd, bytes, n, at);
	if (rc == 0) db->stats.written_bytes += n;
	return rc;
}

#define PUT_BYTES (1u << 20)

/* Bytes of whole frames from `from` on, one at least, up to about PUT_BYTES. */
static size_t frames_some(const struct hg_buf *frames, size_t from, size_t bytes_at)
{
	size_t to = from;
	while (to < frames->n && to - from < PUT_BYTES) {
		uint32_t bytes;
		memcpy(&bytes, frames->p + to + bytes_at, sizeof bytes);
		to += FRAME_HEAD_BYTES + bytes;
	}
	HG_ASSERT(to <= frames->n);
	return to - from;
}

int file_put_frames(struct tsdb *db, int fd, struct hg_buf *frames, size_t bytes_at, uint64_t *at)
{
	size_t put = 0;
	int rc = 0;
	while (put < frames->n) {
		size_t n = frames_some(frames, put, bytes_at);
		rc = file_put(db, fd, frames->p + put, n, *at);
		if (rc < 0) break;
		put += n;
		*at += n;
	}
	hg_buf_drop(frames, put);
	if (rc < 0) (void)!disk_cut(fd, *at);
	return rc;
}

int window_make(struct tsdb *db, struct window *w)
{
	char name[NAME_BYTES];
	if (w->fd >= 0) return 0;
	window_name(w, name);
	int fd = disk_open(db->dir, name, O_RDWR | O_CREAT);
	if (fd < 0) return fd;
	uint32_t minutes = (uint32_t)((w->end - w->start) / 60000);
	struct file_head h = file_head_make(MAGIC_WINDOW, w->start, w->seq, minutes);
	int rc = file_put(db, fd, &h, sizeof h, 0);
	if (rc < 0) {
		/* Nobody could read it, and its number would be used up. */
		disk_close(fd);
		disk_unlink(db->dir, name);
		return rc;
	}
	w->fd = fd;
	db->names_unsynced = true;
	return 0;
}

int file_sync(struct tsdb *db, int fd, uint64_t from, uint64_t to, bool *unsure)
{
	int rc = db->names_unsynced ? disk_sync_names(db->dir) : 0;
	if (rc < 0) return rc;
	db->names_unsynced = false;
	if (*unsure) rc = disk_write_again(fd, from, to);
	if (rc == 0) rc = disk_sync(fd);
	*unsure = rc < 0;
	return rc;
}

int window_sync(struct tsdb *db, struct window *w)
{
	if (w->fd < 0 || (w->synced >= w->written && !db->names_unsynced)) return 0;
	int rc = file_sync(db, w->fd, w->synced, w->written, &w->unsure);
	if (rc == 0) w->synced = w->written;
	return rc;
}

static int tail_flush(struct tsdb *db, struct window *w)
{
	if (!w->tail.n) return 0;
	window_frame_end(w);
	size_t before = w->tail.n;
	int rc = file_put_frames(
	        db, w->fd, &w->tail, offsetof(struct frame_head, bytes), &w->written);
	w->frame_at = w->tail.n ? w->frame_at - (before - w->tail.n) : 0;
	if (rc < 0) return rc;
	/* What a full disk left behind is not kept for ever. */
	if (w->tail.cap > 16 * TAIL_BYTES)
		hg_buf_free(&w->tail);
	else
		hg_buf_reset(&w->tail);
	return 0;
}

static void text_put(struct hg_buf *to, struct hg_str s)
{
	uint8_t head[10];
	hg_buf_str(to, (struct hg_str){(char *)head, (size_t)(varint_put(head, s.n) - head)});
	hg_buf_str(to, s);
}

static void series_put(
        const struct tsdb *db, const struct window *w, uint32_t id, struct hg_buf *to)
{
	const struct series *s = &db->head.series[w->slot_of[id]];
	uint8_t n[10];
	hg_buf_str(to, (struct hg_str){(char *)n, (size_t)(varint_put(n, s->n) - n)});
	for (uint32_t i = 0; i < 2u * s->n; i++)
		text_put(to, head_text(&db->head, s->pairs[i]));
}

/* varint first id · varint count · varint raw bytes · zstd of, for each: varint labels, and their
 * names and values as varint length and bytes */
static int series_frame(struct tsdb *db, struct window *w)
{
	struct hg_buf raw, *to = &db->scratch;
	uint32_t n = 0, most = HG_MIN(w->ids - w->ids_written, SERIES_PER_FRAME);
	int rc = -ENOMEM;
	hg_buf_init(&raw, FRAME_MAX);
	hg_buf_reset(to);
	for (; n < most && raw.n < SERIES_BYTES && !raw.failed; n++)
		series_put(db, w, w->ids_written + n, &raw);
	size_t bound = FRAME_HEAD_BYTES + 30 + ZSTD_compressBound(raw.n);
	uint8_t *at = raw.failed ? NULL : (uint8_t *)hg_buf_room(to, bound);
	if (!at || (!db->zstd && !(db->zstd = ZSTD_createCCtx()))) goto out;
	uint8_t *p = varint_put(at + FRAME_HEAD_BYTES, w->ids_written);
	p = varint_put(varint_put(p, n), raw.n);
	size_t size = ZSTD_compressCCtx(
	        db->zstd, p, (size_t)(at + bound - p), raw.p ? raw.p : "", raw.n, 3);
	if (ZSTD_isError(size)) goto out;
	size += (size_t)(p - at);
	struct frame_head h =
	        frame_head_make(FRAME_SERIES, at + FRAME_HEAD_BYTES, size - FRAME_HEAD_BYTES);
	memcpy(at, &h, sizeof h);
	rc = file_put(db, w->fd, at, size, w->written);
	if (rc < 0) goto out;
	w->written = w->size = w->written + size;
	w->ids_written += n;
out:
	hg_buf_free(&raw);
	return rc;
}

int window_flush(struct tsdb *db, struct window *w)
{
	int rc = window_make(db, w);
	if (rc == 0) rc = tail_flush(db, w);
	while (rc == 0 && w->ids_written < w->ids)
		rc = series_frame(db, w);
	return rc;
}

/* ------------------------------------------------------------------ reading */

bool window_map(struct window *w, uint64_t bytes)
{
	if (w->map && w->map_bytes >= bytes) return true;
	if (w->fd < 0) return false;
	window_unmap(w);
	/* An open file grows: the map reaches beyond its end, where nobody looks. */
	uint64_t size = w->closed ? bytes : HG_MAX(bytes * 2, MAP_LEAST);
	w->map = shm_map(w->fd, size, false);
	w->map_bytes = w->map ? size : 0;
	return w->map;
}

void window_unmap(struct window *w)
{
	if (w->map) shm_unmap((void *)(uintptr_t)w->map, w->map_bytes);
	w->map = NULL;
	w->map_bytes = 0;
}

/* The index is the last frame. One that is torn is not looked through for other frames: texts of
 * labels stand in it as somebody sent them. */
static bool index_begins(const uint8_t *p, uint64_t size, uint64_t at)
{
	struct frame_head h;
	if (size - at < sizeof h) return false;
	memcpy(&h, p + at, sizeof h);
	return frame_head_valid(&h) && h.type == FRAME_INDEX && frame_valid(&h, NULL);
}

static bool frame_here(const uint8_t *p, uint64_t size, uint64_t at, struct frame_at *ret_frame)
{
	struct frame_head h;
	if (size - at < sizeof h) return false;
	memcpy(&h, p + at, sizeof h);
	if (!frame_head_valid(&h) || h.bytes > size - at - sizeof h) return false;
	const uint8_t *payload = p + at + sizeof h;
	if (!frame_valid(&h, payload)) return false;
	*ret_frame = (struct frame_at){h.type, at, payload, h.bytes};
	return true;
}

uint64_t frames_walk(const uint8_t *p, uint64_t size, uint64_t *damaged,
        bool (*fn)(void *arg, const struct frame_at *f), void *arg)
{
	static const uint32_t magic = MAGIC_FRAME;
	uint64_t at = FILE_HEAD_BYTES, whole = at;
	struct frame_at f;
	while (at < size) {
		if (frame_here(p, size, at, &f)) {
			if (at != whole) ++*damaged;
			at += FRAME_HEAD_BYTES + f.bytes;
			whole = at;
			if (!fn(arg, &f)) break;
			continue;
		}
		if (index_begins(p, size, at)) break;
		const uint8_t *hit = memmem(p + at + 1, size - at - 1, &magic, sizeof magic);
		if (!hit) break;
		at = (uint64_t)(hit - p);
	}
	return whole;
}

void records_walk(const struct frame_at *f, int64_t start, uint64_t *damaged,
        void (*fn)(void *arg, const struct record *r, uint64_t place), void *arg)
{
	size_t at = 0, bytes;
	struct record r;
	while (at < f->bytes) {
		uint64_t place = f->place + FRAME_HEAD_BYTES + at;
		bytes = 0;
		if (!record_parse(f->payload + at, f->bytes - at, start, place, true, &r, &bytes))
			++*damaged;
		else if (fn)
			fn(arg, &r, place);
		/* A length that is damaged as well leads nowhere: the next ones fail too. */
		if (!bytes) return;
		at += bytes;
	}
}

struct window_walking {
	int64_t start;
	uint64_t *damaged;
	void (*fn)(void *arg, const struct record *r, uint64_t place);
	void *arg;
};

static bool walk_frame(void *arg, const struct frame_at *f)
{
	struct window_walking *k = arg;
	if (f->type == FRAME_CHUNKS) records_walk(f, k->start, k->damaged, k->fn, k->arg);
	return f->type != FRAME_INDEX;
}

bool window_walk(struct window *w, uint64_t *damaged,
        void (*fn)(void *arg, const struct record *r, uint64_t place), void *arg)
{
	struct window_walking k = {w->start, damaged, fn, arg};
	if (w->written > FILE_HEAD_BYTES) {
		if (!window_map(w, w->written)) return false;
		frames_walk(w->map, w->written, damaged, walk_frame, &k);
	}
	window_frame_end(w);
	for (size_t at = 0; at < w->tail.n;) {
		struct frame_head h;
		const uint8_t *p = (const uint8_t *)w->tail.p + at;
		memcpy(&h, p, sizeof h);
		struct frame_at f = {FRAME_CHUNKS, w->written + at, p + sizeof h, h.bytes};
		records_walk(&f, w->start, damaged, fn, arg);
		at += sizeof h + h.bytes;
	}
	return true;
}

static struct hg_str text_get(struct span *in)
{
	uint64_t n = span_varint(in);
	if (in->bad || n > (uint64_t)(in->end - in->p)) {
		in->bad = true;
		return (struct hg_str){0};
	}
	struct hg_str s = {(const char *)in->p, (size_t)n};
	in->p += n;
	return s;
}

bool series_walk(struct tsdb *db, const struct frame_at *f,
        bool (*fn)(void *arg, uint32_t id, struct labels ls), void *arg)
{
	struct span in = {.p = f->payload, .end = f->payload + f->bytes};
	uint64_t first = span_varint(&in), n = span_varint(&in), raw = span_varint(&in);
	struct label at[LABELS_MAX];
	if (in.bad || raw > FRAME_MAX || n > TSDB_NONE - 1 || first > TSDB_NONE - 1 - n)
		return false;
	hg_buf_reset(&db->scratch);
	void *to = hg_buf_room(&db->scratch, raw ? raw : 1);
	if (!to || (!db->unzstd && !(db->unzstd = ZSTD_createDCtx()))) return false;
	size_t got = ZSTD_decompressDCtx(db->unzstd, to, raw, in.p, (size_t)(in.end - in.p));
	if (ZSTD_isError(got) || got != raw) return false;
	struct span text = {.p = to, .end = (uint8_t *)to + raw};
	for (uint64_t i = 0; i < n; i++) {
		uint64_t labels = span_varint(&text);
		if (text.bad || labels > LABELS_MAX) return false;
		for (uint64_t k = 0; k < labels; k++) {
			at[k].name = text_get(&text);
			at[k].value = text_get(&text);
		}
		struct labels ls = {at, (uint32_t)labels};
		if (text.bad || !labels || !labels_valid(ls)) return false;
		if (!fn(arg, (uint32_t)(first + i), ls)) return false;
	}
	return text.p == text.end;
}
