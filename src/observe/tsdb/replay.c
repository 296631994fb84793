#include "observe/tsdb/file_priv.h"

#include <stdlib.h>
#include <zstd.h>

#include "base/crc32c.h"
#include "os/shm.h"

/*
 * A journal is read with the same state machine that wrote it: what a value means depends on those
 * before it, back to the reset with which a chunk of the series began. So
 *   - a chunk of the replayed series begins exactly where the journal says (reset), and nowhere
 *     else; then the state of the open chunk after the replay is the one that the file's next
 *     records build on;
 *   - behind damage no state is known any more: every series is read over until its next reset, and
 *     all open chunks end, so that what is appended from now on begins with one.
 */
struct replay {
	struct tsdb *db;
	struct window *w;
	struct journal_reader reader;
	bool damaged, failed;
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

static void replay_lose_states(struct replay *r)
{
	r->damaged = true;
	if (r->reader.ids) memset(r->reader.synced, 0, r->reader.ids * sizeof *r->reader.synced);
}

/* The records of the frame at `at`, inflated when need be; NULL when it is not whole. */
static const uint8_t *frame_open(struct tsdb *db, const uint8_t *p, uint64_t size, uint64_t at,
        struct records_head *ret_head)
{
	struct records_head h;
	if (size - at < sizeof h) return NULL;
	memcpy(&h, p + at, sizeof h);
	const uint8_t *body = p + at + sizeof h;
	if (h.magic != MAGIC_RECORDS || h.bytes > size - at - sizeof h || h.raw > FRAME_MAX ||
	        h.bytes > h.raw)
		return NULL;
	uint32_t crc = hg_crc32c(0, &h, offsetof(struct records_head, crc));
	if (h.crc != hg_crc32c(crc, body, h.bytes)) return NULL;
	*ret_head = h;
	if (h.bytes == h.raw) return body;
	hg_buf_reset(&db->scratch);
	void *to = hg_buf_room(&db->scratch, h.raw);
	if (!to || (!db->unzstd && !(db->unzstd = ZSTD_createDCtx()))) return NULL;
	size_t got = ZSTD_decompressDCtx(db->unzstd, to, h.raw, body, h.bytes);
	return got == h.raw ? to : NULL;
}

/* Returns where the last whole frame ended. */
static uint64_t replay_frames(struct replay *r, const uint8_t *p, uint64_t size)
{
	static const uint32_t magic = MAGIC_RECORDS;
	uint64_t at = FILE_HEAD_BYTES, whole = at;
	struct records_head h;
	while (at < size && !r->failed) {
		const uint8_t *records = frame_open(r->db, p, size, at, &h);
		if (records) {
			if (at != whole) {
				r->db->stats.damaged++;
				replay_lose_states(r);
			}
			if (!journal_read(&r->reader, records, h.raw) && !r->failed) {
				r->db->stats.damaged++;
				replay_lose_states(r);
			}
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

static int segment_read(struct replay *r, uint32_t segment, bool last)
{
	struct window *w = r->w;
	char name[NAME_BYTES];
	struct file_head head;
	segment_name(w, segment, name);
	int fd = disk_open(r->db->dir, name, O_RDWR);
	if (fd < 0) {
		/* A gap: somebody removed it. */
		r->db->stats.damaged++;
		replay_lose_states(r);
		return 0;
	}
	int64_t size = disk_size(fd);
	const uint8_t *p = size > FILE_HEAD_BYTES ? shm_map(fd, (size_t)size, false) : NULL;
	uint64_t whole = 0;
	int rc = 0;
	if (p) memcpy(&head, p, sizeof head);
	if (p && file_head_valid(&head, MAGIC_JOURNAL) && head.start == w->start &&
	        head.seq == w->seq && head.segment == segment) {
		whole = replay_frames(r, p, (uint64_t)size);
	} else if (size > FILE_HEAD_BYTES) {
		r->db->stats.damaged++;
		replay_lose_states(r);
	}
	if (p) shm_unmap((void *)(uintptr_t)p, (size_t)size);
	if (whole && whole < (uint64_t)size) {
		/* What was torn was never promised, unless something was promised after it. */
		if (!last) {
			r->db->stats.damaged++;
			replay_lose_states(r);
		}
		rc = disk_cut(fd, whole);
	}
	w->journal.at[segment - w->journal.oldest].bytes = whole;
	if (rc == 0 && last) rc = disk_sync(fd);
	disk_close(fd);
	return rc;
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
	uint32_t last = j->segment;
	int rc = 0;
	if (!tsdb_grow(&j->at, &j->cap, last - j->oldest + 2, sizeof *j->at))
		return hg_err_set(err, HG_E_NOMEM, "out of memory");
	db->replaying = true;
	for (uint32_t i = j->oldest; rc == 0 && i <= last && !r.failed; i++) {
		j->segment = i;
		rc = segment_read(&r, i, i == last);
	}
	db->replaying = false;
	j->segment = last + 1;
	bool good = !r.failed && ids_reserve(w, r.reader.ids);
	if (good && r.damaged) good = open_chunks_end(db, w);
	free(r.reader.state);
	free(r.reader.synced);
	if (rc < 0)
		return hg_err_set(err, HG_E_IO, "a journal of metrics cannot be mended: %d", -rc);
	return good ? HG_OK : hg_err_set(err, HG_E_NOMEM, "out of memory");
}
