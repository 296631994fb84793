#include "observe/tsdb/file_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "base/crc32c.h"

/*
 * A journal is read with the same state machine that wrote it: what a value means depends on those
 * before it, back to the reset with which a chunk of the series began. So
 *   - a chunk of the replayed series begins exactly where the journal says (reset), and nowhere
 *     else; then the state of the open chunk after the replay is the one that the file's next
 *     records build on;
 *   - frames are numbered: behind a gap or damage no state is known any more. The rest of the
 *     segment cannot be read; in later ones every series is read over until its next reset, and all
 *     open chunks end, so that what is appended from now on begins with one.
 *   - what coding has learned begins anew in each segment: one whose first frame is there can be
 *     read whatever is missing before it.
 * Segments are read, not mapped: a bad place on the disk is an error here, and no signal.
 */
struct replay {
	struct tsdb *db;
	struct window *w;
	struct journal_reader reader;
	uint32_t number; /* of the next frame */
	bool any;        /* a frame was seen */
	bool lost;       /* the rest of this segment cannot be read */
	bool old;        /* a segment has another version: no open chunk can be gone on with */
	bool damaged, failed;
	bool unreadable; /* a segment is there and cannot be read */
	int error;       /* -errno: there is no descriptor or memory to read it, now */
};

static bool replay_sample(void *arg, uint32_t id, int64_t t, double v, bool reset, bool late)
{
	struct replay *r = arg;
	struct window *w = r->w;
	uint32_t slot = id < w->ids ? w->slot_of[id] : TSDB_NONE;
	if (slot == TSDB_NONE || t < w->start || t >= w->end) return true;
	const struct series *s = &r->db->head.series[slot];
	enum hg_rc rc = HG_OK;
	if (late) {
		/* Late against a sample that may stand in a later window, which is read after this.
		 */
		if (t != s->last_t) rc = append_late(r->db, slot, t, v);
	} else if (t > s->last_t) {
		if (reset && s->window == w && !append_flush(r->db, slot)) rc = HG_E_NOMEM;
		if (rc == HG_OK) rc = append_next(r->db, slot, t, v);
		r->db->stats.replayed++;
	}
	r->failed = rc == HG_E_NOMEM;
	return !r->failed;
}

/* What came before is not known. */
static void replay_unsync(struct replay *r)
{
	r->db->stats.damaged += !r->lost;
	r->damaged = true;
	for (uint32_t i = 0; i < r->reader.ids; i++)
		r->reader.at[i].synced = false;
}

static void replay_lose(struct replay *r)
{
	replay_unsync(r);
	r->lost = true;
}

#define READ_BYTES 65536

static bool frame_here(const uint8_t *p, uint64_t size, uint64_t at, struct records_head *ret_head)
{
	struct records_head h;
	if (size - at < sizeof h) return false;
	memcpy(&h, p + at, sizeof h);
	if (h.magic != MAGIC_RECORDS || h.bytes > size - at - sizeof h) return false;
	uint32_t crc = hg_crc32c(0, &h, offsetof(struct records_head, crc));
	*ret_head = h;
	return h.crc == hg_crc32c(crc, p + at + sizeof h, h.bytes);
}

static void replay_frame(
        struct replay *r, const struct records_head *h, const uint8_t *body, bool first)
{
	struct hg_str runs, bits;
	if (r->any && h->number != r->number) {
		if (first)
			replay_unsync(r);
		else
			replay_lose(r);
	}
	r->any = true;
	r->number = h->number + 1;
	if (r->lost) return;
	enum hg_rc rc = records_open(r->db, body, h->bytes, &runs, &bits);
	bool good = rc == HG_OK && journal_read(&r->reader, runs, (const uint8_t *)bits.p, bits.n);
	r->failed |= rc == HG_E_NOMEM || r->reader.no_memory;
	if (!good && !r->failed) replay_lose(r);
}

/* Returns where the last whole frame ended. */
static uint64_t replay_frames(struct replay *r, const uint8_t *p, uint64_t size)
{
	static const uint32_t magic = MAGIC_RECORDS;
	uint64_t at = FILE_HEAD_BYTES, whole = at;
	struct records_head h;
	while (at < size && !r->failed) {
		if (frame_here(p, size, at, &h)) {
			if (at != whole) replay_lose(r);
			replay_frame(r, &h, p + at + sizeof h, at == FILE_HEAD_BYTES);
			at += sizeof h + h.bytes;
			whole = at;
			continue;
		}
		const uint8_t *hit = memmem(p + at + 1, size - at - 1, &magic, sizeof magic);
		if (!hit) break;
		at = (uint64_t)(hit - p);
	}
	return whole;
}

/* What can be read of a segment; *ret_n is less than its size behind a bad place. NULL: nothing. */
static uint8_t *segment_bytes(struct replay *r, int fd, uint64_t size, uint64_t *ret_n)
{
	uint8_t *p = malloc(size + 1);
	*ret_n = 0;
	if (!p) r->error = -ENOMEM;
	while (p && *ret_n < size) {
		size_t part = (size_t)HG_MIN(size - *ret_n, (uint64_t)READ_BYTES);
		ssize_t n = disk_read(fd, p + *ret_n, part, *ret_n);
		r->unreadable |= n < 0;
		if (n <= 0) break;
		*ret_n += (uint64_t)n;
	}
	return p;
}

static void segment_replay(struct replay *r, uint32_t segment, int fd, uint64_t size)
{
	struct window *w = r->w;
	struct file_head head;
	uint64_t n, whole = 0;
	uint8_t *p = segment_bytes(r, fd, size, &n);
	if (!p || r->unreadable || n <= FILE_HEAD_BYTES) {
		free(p);
		return;
	}
	memcpy(&head, p, sizeof head);
	if (file_head_valid(&head, MAGIC_JOURNAL) && head.start == w->start && head.seq == w->seq &&
	        head.segment == segment) {
		journal_reader_segment(&r->reader, head.version);
		r->old |= head.version != JOURNAL_VERSION;
		whole = replay_frames(r, p, n);
	} else {
		replay_lose(r);
	}
	free(p);
	/* What was torn was never promised; if it was, numbers tell. Nobody writes here again: if
	 * it cannot be cut off it is only read once more. */
	if (whole && whole < size) (void)!disk_cut(fd, whole);
	w->journal.at[segment - w->journal.oldest].bytes = whole;
}

static void segment_read(struct replay *r, uint32_t segment)
{
	char name[NAME_BYTES];
	r->lost = false;
	segment_name(r->w, segment, name);
	int fd = disk_open(r->db->dir, name, O_RDWR);
	int64_t size = fd < 0 ? fd : disk_size(fd);
	if (fd == -ENOENT)
		replay_lose(r); /* A gap: somebody removed it. */
	else if (size == -EMFILE || size == -ENFILE || size == -ENOMEM)
		r->error = (int)size;
	else if (size < 0)
		r->unreadable = true;
	else if (size > FILE_HEAD_BYTES)
		segment_replay(r, segment, fd, (uint64_t)size);
	disk_close(fd);
}

static bool open_chunks_end(struct tsdb *db, struct window *w)
{
	for (uint32_t id = 0; id < w->ids; id++) {
		uint32_t slot = w->slot_of[id];
		if (slot != TSDB_NONE && db->head.series[slot].window == w &&
		        !append_flush(db, slot))
			return false;
	}
	return true;
}

/* Ids that a lost frame of series gave away are not given away again. */
static bool ids_reserve(struct window *w, uint32_t ids)
{
	uint32_t cap = w->ids_cap;
	if (ids <= w->ids) return true;
	if (!tsdb_grow(&w->slot_of, &cap, ids, sizeof *w->slot_of) ||
	        !tsdb_grow(&w->last, &w->ids_cap, ids, sizeof *w->last))
		return false;
	for (; w->ids < ids; w->ids++) {
		w->slot_of[w->ids] = TSDB_NONE;
		w->last[w->ids] = 0;
	}
	w->ids_written = w->ids;
	return true;
}

enum hg_rc journal_replay(struct tsdb *db, struct window *w, struct hg_err *err)
{
	struct journal *j = &w->journal;
	struct replay r = {.db = db, .w = w, .reader = {.fn = replay_sample, .arg = &r}};
	/* Series whose names a loss of power took are known by their ids only. */
	r.reader.most = HG_MIN(w->ids + (1u << 20), TSDB_IDS_MAX);
	uint32_t last = j->segment;
	if (!tsdb_grow(&j->at, &j->cap, last - j->oldest + 2, sizeof *j->at))
		return hg_err_set(err, HG_E_NOMEM, "out of memory");
	db->replaying = true;
	for (uint32_t i = j->oldest; i <= last && !r.error && !r.unreadable && !r.failed; i++) {
		j->segment = i;
		segment_read(&r, i);
	}
	db->replaying = false;
	j->segment = last + 1;
	bool good = !r.failed && ids_reserve(w, r.reader.ids);
	if (good && (r.damaged || r.old)) good = open_chunks_end(db, w);
	j->number = r.number;
	free(r.reader.at);
	if (r.unreadable) return hg_err_set(err, HG_E_INVALID, "a journal cannot be read");
	if (r.error)
		return hg_err_set(err, HG_E_IO, "a journal of metrics cannot be opened: %s",
		        strerror(-r.error));
	return good ? HG_OK : hg_err_set(err, HG_E_NOMEM, "out of memory");
}
