#include "observe/tsdb/file_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ one window */

struct recovery {
	struct tsdb *db;
	struct window *w;
	uint64_t index_at; /* of an index without a foot, 0: none */
	bool failed;
};

static bool id_room(struct window *w, uint32_t id)
{
	uint32_t cap = w->ids_cap;
	if (id < w->ids) return true;
	if (id >= TSDB_IDS_MAX || !tsdb_grow(&w->slot_of, &cap, id + 1, sizeof *w->slot_of) ||
	        !tsdb_grow(&w->last, &w->ids_cap, id + 1, sizeof *w->last))
		return false;
	for (; w->ids <= id; w->ids++) {
		w->slot_of[w->ids] = TSDB_NONE;
		w->last[w->ids] = 0;
	}
	return true;
}

static bool recover_series(void *arg, uint32_t id, struct labels ls)
{
	struct recovery *r = arg;
	struct window *w = r->w;
	uint32_t slot = head_find(&r->db->head, ls);
	if (slot == TSDB_NONE) slot = head_make(&r->db->head, ls);
	r->failed = slot == TSDB_NONE || !id_room(w, id) ||
	            !tsdb_grow(&w->id_of, &w->id_of_cap, slot + 1, sizeof *w->id_of);
	if (r->failed) return false;
	w->slot_of[id] = slot;
	w->id_of[slot] = id + 1;
	return true;
}

static void recover_record(void *arg, const struct record *record, uint64_t place)
{
	struct recovery *r = arg;
	struct window *w = r->w;
	struct span in = {.p = (const uint8_t *)record->payload.p,
	        .end = (const uint8_t *)record->payload.p + record->payload.n};
	if (!id_room(w, record->id)) {
		r->failed = true;
		return;
	}
	uint64_t late =
	        (w->last[record->id] & TSDB_LATE_CHAIN) | (record->late ? TSDB_LATE_CHAIN : 0);
	w->last[record->id] = place | late;
	w->min_ms = HG_MIN(w->min_ms, record->min_ms);
	w->max_ms = HG_MAX(w->max_ms, record->max_ms);
	w->samples += span_varint(&in);
}

static bool recover_frame(void *arg, const struct frame_at *f)
{
	struct recovery *r = arg;
	if (f->type == FRAME_INDEX) {
		r->index_at = f->place;
		return false;
	}
	if (f->type == FRAME_CHUNKS)
		records_walk(f, r->w->start, &r->db->stats.damaged, recover_record, r);
	else if (!series_walk(r->db, f, recover_series, r) && !r->failed)
		r->db->stats.damaged++;
	return !r->failed;
}

void recover_newest(struct tsdb *db, struct window *w)
{
	for (uint32_t id = 0; id < w->ids; id++) {
		if (w->slot_of[id] == TSDB_NONE) continue;
		struct series *s = &db->head.series[w->slot_of[id]];
		uint64_t place = w->last[id] & ~TSDB_LATE_CHAIN;
		struct record r = {0};
		while (place && window_at(w, place, &r) && r.late)
			place = r.before;
		if (!place || r.late || r.max_ms <= s->last_t) continue;
		s->last_t = r.max_ms;
		s->last_known = s->last_none = false;
	}
	if (w->samples) db->max_ms = HG_MAX(db->max_ms, w->max_ms);
}

enum hg_rc recover_window(struct tsdb *db, struct window *w, struct hg_err *err)
{
	struct recovery r = {.db = db, .w = w};
	int64_t size = disk_size(w->fd);
	/* A bad place on the disk is found here, and not by a signal while it is mapped. */
	if (size < FILE_HEAD_BYTES || disk_probe(w->fd, (uint64_t)size) < 0 ||
	        !window_map(w, (uint64_t)size))
		return hg_err_set(err, HG_E_INVALID, "a file of metrics cannot be read");
	uint64_t whole = frames_walk(w->map, (uint64_t)size, &db->stats.damaged, recover_frame, &r);
	if (r.failed) return hg_err_set(err, HG_E_NOMEM, "out of memory for series on disk");
	if (r.index_at) whole = r.index_at;
	int rc = whole < (uint64_t)size ? disk_cut(w->fd, whole) : 0;
	if (rc < 0)
		return hg_err_set(
		        err, HG_E_INVALID, "a file of metrics cannot be cut: %s", strerror(-rc));
	w->size = w->written = whole;
	w->ids_written = w->ids;
	recover_newest(db, w);
	return HG_OK;
}

/* ------------------------------------------------------------------ the folder */

static bool number_get(const char **p, int64_t *ret)
{
	bool minus = **p == '-';
	uint64_t v = 0;
	const char *from = *p += minus;
	for (; **p >= '0' && **p <= '9' && v < TSDB_TIME_LIMIT; ++*p)
		v = v * 10 + (uint64_t)(**p - '0');
	*ret = minus ? -(int64_t)v : (int64_t)v;
	return *p > from && v <= TSDB_TIME_LIMIT;
}

/* A window of two hours ends a segment each 2 MiB: more of them are none of ours. */
#define SEGMENTS_MAX (INT64_C(1) << 20)

/* START-SEQ.hgm, or START-SEQ-SEGMENT.hgj (then *ret_segment is not -1), as they are written. */
static bool name_parse(
        const char *name, int64_t *ret_start, uint32_t *ret_seq, int64_t *ret_segment)
{
	const char *at = name;
	char again[NAME_BYTES];
	int64_t seq;
	*ret_segment = -1;
	if (!number_get(&at, ret_start) || *at++ != '-' || !number_get(&at, &seq) || seq < 0 ||
	        seq > UINT32_MAX)
		return false;
	*ret_seq = (uint32_t)seq;
	struct window w = {.start = *ret_start, .seq = *ret_seq};
	window_name(&w, again);
	if (*at == '-') {
		at++;
		if (!number_get(&at, ret_segment) || *ret_segment < 0 ||
		        *ret_segment >= SEGMENTS_MAX)
			return false;
		segment_name(&w, (uint32_t)*ret_segment, again);
	}
	return strcmp(name, again) == 0;
}

struct listing {
	struct tsdb *db;
	bool journals, failed;
};

/* Closed when its foot says so; false when it is no window of ours. */
static bool window_look(struct window *w)
{
	struct file_head head;
	struct file_foot foot;
	int64_t size = disk_size(w->fd);
	if (size < FILE_HEAD_BYTES || disk_read(w->fd, &head, sizeof head, 0) != sizeof head ||
	        !file_head_valid(&head, MAGIC_WINDOW) || head.start != w->start ||
	        head.seq != w->seq || !head.segment)
		return false;
	w->end = w->start + (int64_t)head.segment * 60000;
	if (size < (int64_t)(FILE_HEAD_BYTES + FOOT_BYTES) ||
	        disk_read(w->fd, &foot, sizeof foot, (uint64_t)size - sizeof foot) != sizeof foot ||
	        !file_foot_valid(&foot, (uint64_t)size))
		return true;
	w->closed = true;
	w->size = w->written = (uint64_t)size;
	w->min_ms = foot.min_ms;
	w->max_ms = foot.max_ms;
	w->samples = foot.samples;
	w->index.at = foot.index_at;
	w->index.n = foot.index_bytes;
	w->index.crc = foot.index_crc;
	return true;
}

static bool list_window(struct listing *l, const char *name, int64_t start, uint32_t seq)
{
	struct tsdb *db = l->db;
	int fd = disk_open(db->dir, name, O_RDWR);
	int64_t size = fd < 0 ? fd : disk_size(fd);
	if (size >= 0 && size < FILE_HEAD_BYTES) {
		/* Made on a disk that was full: nothing is in it, and its number is one of few. */
		disk_close(fd);
		disk_unlink(db->dir, name);
		return true;
	}
	struct window *w = window_new(start, start + db->o.window_ms, seq);
	if (w) w->fd = fd;
	if (!w || !tsdb_window_insert(db, w)) {
		if (!w) disk_close(fd);
		window_free(w);
		l->failed = true;
		return false;
	}
	if (size >= 0 && window_look(w)) return true;
	/* Its place is kept, so that nothing is written over it; retention removes it. */
	w->size = w->written = size > 0 ? (uint64_t)size : 0;
	w->closed = w->checked = w->broken = true;
	db->stats.damaged++;
	return true;
}

static bool list_segment(
        struct listing *l, const char *name, int64_t start, uint32_t seq, uint32_t segment)
{
	for (uint32_t i = 0; i < l->db->window_n; i++) {
		struct window *w = l->db->windows[i];
		if (w->start != start || w->seq != seq) continue;
		/* What cannot be opened today may be well tomorrow: its journal waits as well. */
		if (w->broken) return true;
		struct journal *j = &w->journal;
		bool first = !w->has_journal;
		w->has_journal = true;
		j->oldest = first ? segment : HG_MIN(j->oldest, segment);
		j->segment = first ? segment : HG_MAX(j->segment, segment);
		return true;
	}
	/* Its window is no more. */
	disk_unlink(l->db->dir, name);
	return true;
}

static bool list_file(void *arg, const char *name)
{
	struct listing *l = arg;
	int64_t start, segment;
	uint32_t seq;
	if (!name_parse(name, &start, &seq, &segment) || l->journals != (segment >= 0)) return true;
	if (l->journals) return list_segment(l, name, start, seq, (uint32_t)segment);
	return list_window(l, name, start, seq);
}

static bool whole_frame(void *arg, const struct frame_at *f)
{
	struct recovery *r = arg;
	uint64_t before = r->db->stats.damaged;
	if (f->type == FRAME_INDEX) r->index_at = f->place;
	if (f->type == FRAME_CHUNKS)
		records_walk(f, r->w->start, &r->db->stats.damaged, NULL, NULL);
	r->failed |= r->db->stats.damaged != before;
	return f->type != FRAME_INDEX;
}

/*
 * A closed window beside which a journal is still there: it was being closed. After a kill it has
 * everything. After a loss of power its foot may have come to the disk, and what is before it not.
 */
static bool window_whole(struct tsdb *db, struct window *w)
{
	struct recovery r = {.db = db, .w = w};
	uint64_t damaged = db->stats.damaged;
	if (!index_ready(db, w)) return false;
	frames_walk(w->map, w->size, &damaged, whole_frame, &r);
	bool whole = r.index_at && !r.failed && damaged == db->stats.damaged;
	db->stats.damaged = HG_MAX(db->stats.damaged, damaged);
	return whole;
}

static void recover_closed(struct tsdb *db, struct window *w)
{
	if (w->samples) db->max_ms = HG_MAX(db->max_ms, w->max_ms);
	if (!w->has_journal || w->broken) return;
	if (disk_probe(w->fd, w->size) < 0) {
		lifecycle_aside(db, w);
	} else if (window_whole(db, w)) {
		w->rebuild = false;
		journal_remove(db, w);
	} else {
		lifecycle_open_again(w);
	}
}

static enum hg_rc recover_open(struct tsdb *db, struct window *w, struct hg_err *err)
{
	enum hg_rc rc = recover_window(db, w, err);
	/* File by file and in the order of time: a series' newest sample only rises. */
	if (rc == HG_OK && w->has_journal) rc = journal_replay(db, w, err);
	if (rc != HG_E_INVALID) return rc;
	lifecycle_aside(db, w);
	return HG_OK;
}

enum hg_rc recover_folder(struct tsdb *db, struct hg_err *err)
{
	struct listing l = {.db = db};
	int rc = disk_list(db->dir, list_file, &l);
	l.journals = true;
	if (rc == 0 && !l.failed) rc = disk_list(db->dir, list_file, &l);
	if (rc < 0)
		return hg_err_set(err, HG_E_IO, "the folder of metrics cannot be read: %d", -rc);
	if (l.failed) return hg_err_set(err, HG_E_NOMEM, "out of memory");
	enum hg_rc done = HG_OK;
	for (uint32_t i = 0; done == HG_OK && i < db->window_n; i++) {
		if (db->windows[i]->closed) recover_closed(db, db->windows[i]);
		if (!db->windows[i]->closed) done = recover_open(db, db->windows[i], err);
	}
	return done;
}
