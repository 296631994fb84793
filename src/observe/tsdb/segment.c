#include "observe/tsdb/file_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "base/crc32c.h"

/*
 * How long a segment is: a start reads up to three of them, so short is good; but a chunk that is
 * not full when the second after its own ends is cut off, so there should be a chunk's samples of
 * every series in one: some 350 bytes each. With very many series a start would take too long: then
 * chunks are shorter.
 */
#define SEGMENT_LEAST      (2u << 20)
#define SEGMENT_MOST       (8u << 20)
#define SEGMENT_FULL       352 /* bytes of a series, for a full chunk */
#define SEGMENT_PER_SERIES 64
#define SEGMENT_MS         (30 * 60 * 1000)
#define COMPRESS_LEAST     128

static void buf_empty(struct hg_buf *b)
{
	if (b->cap > 2 * SEAL_BYTES)
		hg_buf_free(b);
	else
		hg_buf_reset(b);
}

/* Of one scrape the runs are a few bytes; of a back-fill, a column of times each. */
static uint8_t *runs_put(struct tsdb *db, const struct journal *j, size_t bound, uint8_t *to)
{
	size_t raw = j->pending.n, size = raw;
	uint8_t *p = varint_put(to, raw), *packed = p + 10;
	if (raw >= COMPRESS_LEAST)
		size = ZSTD_compressCCtx(db->zstd, packed, bound, j->pending.p, raw, 1);
	bool plain = ZSTD_isError(size) || size >= raw;
	if (plain) size = raw;
	p = varint_put(p, plain ? 0 : size);
	memmove(p, plain ? (const uint8_t *)j->pending.p : packed, size);
	return p + size;
}

bool journal_seal(struct tsdb *db, struct window *w)
{
	struct journal *j = &w->journal;
	journal_end_run(j);
	if (!j->pending.n) return true;
	journal_end_bits(j);
	size_t bound = ZSTD_compressBound(j->pending.n);
	uint8_t *at = (uint8_t *)hg_buf_room(&j->sealed, FRAME_HEAD_BYTES + 30 + bound + j->bits.n);
	if (!at || (!db->zstd && !(db->zstd = ZSTD_createCCtx()))) {
		j->sealed.failed = false;
		return false;
	}
	uint8_t *end = runs_put(db, j, bound, at + FRAME_HEAD_BYTES);
	if (j->bits.n) memcpy(end, j->bits.p, j->bits.n);
	end += j->bits.n;
	struct records_head h = {.magic = MAGIC_RECORDS,
	        .bytes = (uint32_t)(end - at) - FRAME_HEAD_BYTES,
	        .number = j->number++};
	h.crc = hg_crc32c(hg_crc32c(0, &h, offsetof(struct records_head, crc)),
	        at + FRAME_HEAD_BYTES, h.bytes);
	memcpy(at, &h, sizeof h);
	hg_buf_add(&j->sealed, (size_t)(end - at));
	buf_empty(&j->pending);
	buf_empty(&j->bits);
	j->end_id = 0;
	j->end_t = 0;
	return true;
}

enum hg_rc records_open(struct tsdb *db, const uint8_t *body, size_t n, struct hg_str *ret_runs,
        struct hg_str *ret_bits)
{
	struct span in = {.p = body, .end = body + n};
	uint64_t raw = span_varint(&in), packed = span_varint(&in), size = packed ? packed : raw;
	if (in.bad || raw > FRAME_MAX || size > (uint64_t)(in.end - in.p)) return HG_E_INVALID;
	*ret_bits = (struct hg_str){(const char *)in.p + size, (size_t)(in.end - in.p) - size};
	*ret_runs = (struct hg_str){(const char *)in.p, raw};
	if (!packed) return HG_OK;
	hg_buf_reset(&db->scratch);
	void *to = hg_buf_room(&db->scratch, raw);
	if (!to || (!db->unzstd && !(db->unzstd = ZSTD_createDCtx()))) return HG_E_NOMEM;
	ret_runs->p = to;
	bool whole = ZSTD_decompressDCtx(db->unzstd, to, raw, in.p, packed) == raw;
	return whole ? HG_OK : HG_E_INVALID;
}

static int segment_make(struct tsdb *db, struct window *w)
{
	struct journal *j = &w->journal;
	char name[NAME_BYTES];
	if (j->fd >= 0) return 0;
	segment_name(w, j->segment, name);
	int fd = disk_open(db->dir, name, O_RDWR | O_CREAT);
	if (fd < 0) return fd;
	struct file_head h = file_head_make(MAGIC_JOURNAL, w->start, w->seq, j->segment);
	int rc = file_put(db, fd, &h, sizeof h, 0);
	if (rc < 0) {
		disk_close(fd);
		return rc;
	}
	db->names_unsynced = true;
	j->fd = fd;
	j->unsure = false;
	j->size = sizeof h;
	j->first_t = tsdb_now(db);
	return 0;
}

int journal_write(struct tsdb *db, struct window *w)
{
	struct journal *j = &w->journal;
	if (!journal_seal(db, w)) return -ENOMEM;
	if (!j->sealed.n) return 0;
	/* A record names a series by its id: its labels must be in the file before. */
	int rc = w->ids_written < w->ids ? window_flush(db, w) : window_make(db, w);
	if (rc == 0 && !tsdb_grow(&j->at, &j->cap, j->segment - j->oldest + 1, sizeof *j->at))
		rc = -ENOMEM;
	if (rc == 0) rc = segment_make(db, w);
	if (rc < 0) return rc;
	rc = file_put_frames(db, j->fd, &j->sealed, offsetof(struct records_head, bytes), &j->size);
	j->at[j->segment - j->oldest].bytes = j->size;
	if (rc == 0) buf_empty(&j->sealed);
	return rc;
}

/* The chunks that still begin in the oldest segment end now: their series are slow. */
static int oldest_end(struct tsdb *db, struct window *w)
{
	uint32_t oldest = w->journal.oldest;
	for (uint32_t id = 0; id < w->ids && w->journal.at[0].open; id++) {
		uint32_t slot = w->slot_of[id];
		if (slot == TSDB_NONE) continue;
		const struct series *s = &db->head.series[slot];
		if (s->window == w && s->open.count && s->segment == oldest &&
		        !append_flush(db, slot))
			return -ENOMEM;
		if (s->late && s->late->window == w && s->late->segment == oldest &&
		        !append_flush_late(db, slot))
			return -ENOMEM;
	}
	return 0;
}

static int oldest_drop(struct tsdb *db, struct window *w)
{
	struct journal *j = &w->journal;
	char name[NAME_BYTES];
	int rc = window_flush(db, w);
	/* The chunks take over what the journal promised: they must be on the disk first. */
	if (rc == 0) rc = window_sync(db, w);
	if (rc < 0) return rc;
	segment_name(w, j->oldest, name);
	rc = disk_unlink(db->dir, name);
	if (rc < 0 && rc != -ENOENT) return rc;
	memmove(j->at, j->at + 1, (j->cap - 1) * sizeof *j->at);
	j->at[j->cap - 1] = (struct journal_segment){0};
	j->oldest++;
	return 0;
}

static uint64_t segment_bytes(uint64_t series)
{
	uint64_t full = HG_MAX(series * SEGMENT_FULL, (uint64_t)SEGMENT_LEAST);
	return HG_MAX(HG_MIN(full, (uint64_t)SEGMENT_MOST), series * SEGMENT_PER_SERIES);
}

int journal_next(struct tsdb *db, struct window *w)
{
	struct journal *j = &w->journal;
	if (j->fd < 0) return 0;
	/* Records name series by numbers: the names first. */
	int rc = window_sync(db, w);
	if (rc == 0) rc = file_sync(db, j->fd, 0, j->size, &j->unsure);
	if (rc < 0) return rc;
	if (!tsdb_grow(&j->at, &j->cap, j->segment - j->oldest + 2, sizeof *j->at)) return -ENOMEM;
	journal_close(j);
	j->segment++;
	return 0;
}

int journal_turn(struct tsdb *db, struct window *w)
{
	struct journal *j = &w->journal;
	uint64_t most = db->o.journal_bytes;
	if (!most) most = segment_bytes(w->ids);
	int rc = 0;
	if (j->fd >= 0 && (j->size >= most || tsdb_now(db) - j->first_t >= SEGMENT_MS))
		rc = journal_next(db, w);
	if (rc < 0) return rc;
	if (j->segment - j->oldest >= 2 && j->at && j->at[0].open) rc = oldest_end(db, w);
	while (rc == 0 && j->oldest < j->segment && j->at && !j->at[0].open)
		rc = oldest_drop(db, w);
	return rc;
}

void journal_remove(struct tsdb *db, struct window *w)
{
	struct journal *j = &w->journal;
	char name[NAME_BYTES];
	journal_close(j);
	for (uint32_t i = j->oldest; i <= j->segment; i++) {
		segment_name(w, i, name);
		disk_unlink(db->dir, name);
	}
	hg_buf_free(&j->pending);
	hg_buf_free(&j->bits);
	hg_buf_free(&j->sealed);
	free(j->at);
	*j = (struct journal){.fd = -1};
	hg_buf_init(&j->pending, SIZE_MAX / 2);
	hg_buf_init(&j->bits, SIZE_MAX / 2);
	hg_buf_init(&j->sealed, SIZE_MAX / 2);
}
