#include "observe/tsdb/file_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "base/crc32c.h"

/* ------------------------------------------------------------------ what a window's end means */

/* Series whose open chunk or late samples stand in `w` let go of them. */
static void series_let_go(struct tsdb *db, struct window *w)
{
	for (uint32_t i = 0; i < db->head.n; i++) {
		struct series *s = &db->head.series[i];
		if (!s->used) continue;
		if (s->window == w) {
			stream_reset(&s->open);
			s->window = NULL;
		}
		if (s->late && s->late->window == w) head_late_free(&db->head, s);
	}
}

/* True when no open window has samples of the series. */
static bool series_unused(void *arg, uint32_t slot)
{
	struct tsdb *db = arg;
	for (uint32_t i = 0; i < db->window_n; i++)
		if (!db->windows[i]->closed && window_id_have(db->windows[i], slot) != TSDB_NONE)
			return false;
	/* One that was made and waits for its first sample stays. */
	return db->head.series[slot].last_t != TSDB_NO_MIN;
}

void lifecycle_sweep(struct tsdb *db)
{
	if (db->selections) return; /* they show its symbols; the next window's end comes */
	db->sweep = false;
	head_sweep(&db->head, series_unused, db);
}

/* ------------------------------------------------------------------ closing */

#define IDLE_COMMITS 30 /* a window that is over and gets nothing any more is closed */
#define OPEN_MOST    6  /* more open ones are closed earlier */

static int close_chunks(struct tsdb *db, struct window *w)
{
	for (uint32_t id = 0; id < w->ids; id++) {
		uint32_t slot = w->slot_of[id];
		if (slot == TSDB_NONE) continue;
		struct series *s = &db->head.series[slot];
		if (s->window == w && !append_flush(db, slot)) return -ENOMEM;
		if (s->late && s->late->window == w && !append_flush_late(db, slot)) return -ENOMEM;
		if (s->window == w) s->window = NULL;
	}
	return window_flush(db, w);
}

/* The index begins at a multiple of four, and the foot tells where. */
static int close_index(struct tsdb *db, struct window *w, struct hg_buf *to)
{
	size_t pad = (4 - (w->written + FRAME_HEAD_BYTES) % 4) % 4;
	struct file_foot foot = {.magic = MAGIC_FOOT,
	        .version = FILE_VERSION,
	        .min_ms = w->min_ms,
	        .max_ms = w->max_ms,
	        .samples = w->samples,
	        .index_at = w->written + FRAME_HEAD_BYTES + pad};
	char *head = hg_buf_room(to, FRAME_HEAD_BYTES + pad);
	if (!head) return -ENOMEM;
	memset(head, 0, FRAME_HEAD_BYTES + pad);
	hg_buf_add(to, FRAME_HEAD_BYTES + pad);
	if (!index_build(db, w, to)) return -ENOMEM;
	foot.index_bytes = to->n - FRAME_HEAD_BYTES - pad;
	foot.index_crc = hg_crc32c(0, to->p + FRAME_HEAD_BYTES + pad, foot.index_bytes);
	foot.crc = hg_crc32c(0, &foot, offsetof(struct file_foot, crc));
	struct frame_head h = frame_head_make(FRAME_INDEX, NULL, to->n - FRAME_HEAD_BYTES);
	memcpy(to->p, &h, sizeof h);
	hg_buf_str(to, (struct hg_str){(char *)&foot, sizeof foot});
	if (to->failed) return -ENOMEM;
	int rc = file_put(db, w->fd, to->p, to->n, w->written);
	if (rc == 0) rc = file_sync(db, w->fd, w->synced, w->written + to->n, &w->unsure);
	if (rc < 0) {
		(void)!disk_cut(w->fd, w->written);
		return rc;
	}
	w->index.at = foot.index_at;
	w->index.n = foot.index_bytes;
	w->index.crc = foot.index_crc;
	w->size = w->written += to->n;
	return 0;
}

static bool is_future(const struct tsdb *db, const struct window *w)
{
	return db->now_ms != TSDB_NO_MIN && w->start > db->now_ms + TSDB_AHEAD_MS;
}

/* Segments of all other journals end: see newest_forget. */
static int segments_end(struct tsdb *db, const struct window *w)
{
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i < db->window_n; i++)
		if (!db->windows[i]->closed && db->windows[i] != w)
			rc = journal_next(db, db->windows[i]);
	return rc;
}

/*
 * A clock that was ahead gave series a newest sample in the future, beside which all that comes is
 * late. Once its window is closed they begin again, behind the last moment at which what was late
 * could be taken. They come back to the journal of a window in which they had been before: a new
 * segment of it, since a reader of the old one would go on with what it had learned of them.
 */
static void newest_forget(struct tsdb *db, const struct window *w)
{
	int64_t most = tsdb_now(db) + TSDB_AHEAD_MS;
	for (uint32_t id = 0; id < w->ids; id++) {
		if (w->slot_of[id] == TSDB_NONE) continue;
		struct series *s = &db->head.series[w->slot_of[id]];
		/* With a chunk in a window that is open still, that one's end is waited for. */
		if (s->last_t <= most || s->window) continue;
		s->last_t = most;
		s->last_known = false;
		s->last_none = true;
	}
	/* In open windows nothing in order may come before what is there: a start would take it for
	 * something it has. The clock may have gone back by less. */
	for (uint32_t i = 0; i < db->window_n; i++)
		if (!db->windows[i]->closed) recover_newest(db, db->windows[i]);
}

static int window_close(struct tsdb *db, struct window *w)
{
	struct hg_buf index;
	/* What the journal has and the file lacks must be in the file when the journal goes. */
	int rc = is_future(db, w) ? segments_end(db, w) : 0;
	if (rc == 0) rc = close_chunks(db, w);
	hg_buf_init(&index, SIZE_MAX / 2);
	if (rc == 0) rc = close_index(db, w, &index);
	hg_buf_free(&index);
	w->idle = 0;
	if (rc < 0) return rc;
	window_unmap(w);
	w->closed = true;
	journal_remove(db, w);
	if (is_future(db, w)) newest_forget(db, w);
	hg_buf_free(&w->tail);
	window_ids_free(w);
	db->sweep = true;
	return 0;
}

static struct window *close_next(struct tsdb *db, int64_t grace)
{
	struct window *most_idle = NULL;
	uint32_t open = 0;
	int64_t newest = db->max_ms;
	/* A sample of years to come, from a clock that was wrong, does not end the present. */
	if (db->now_ms != TSDB_NO_MIN) newest = HG_MIN(newest, db->now_ms + TSDB_AHEAD_MS);
	for (uint32_t i = 0; i < db->window_n; i++) {
		struct window *w = db->windows[i];
		if (w->closed) continue;
		open++;
		/* Selections hold ids of open windows: they mean nothing once it is closed. */
		if (w->pins || !w->idle) continue;
		/* One in the future takes no sample until it has come; then it gets a second file.
		 */
		bool over = is_future(db, w) || newest >= w->end + grace;
		if (over && w->idle >= IDLE_COMMITS) return w;
		if (over && (!most_idle || w->idle > most_idle->idle)) most_idle = w;
	}
	return open > OPEN_MOST ? most_idle : NULL;
}

void lifecycle_aside(struct tsdb *db, struct window *w)
{
	series_let_go(db, w);
	window_unmap(w);
	journal_close(&w->journal);
	window_ids_free(w);
	w->closed = w->checked = w->broken = true;
	db->stats.damaged++;
	db->sweep = true;
}

void lifecycle_open_again(struct window *w)
{
	window_unmap(w);
	w->closed = w->checked = w->broken = w->rebuild = false;
	w->index = (struct index_view){0};
	w->min_ms = TSDB_NO_MAX;
	w->max_ms = TSDB_NO_MIN;
	w->samples = 0;
	w->idle = 0;
}

/* A closed window whose index is damaged is read as an open one, and closed again later. */
static void window_reopen(struct tsdb *db, struct window *w)
{
	struct hg_err err;
	lifecycle_open_again(w);
	if (recover_window(db, w, &err) != HG_OK) lifecycle_aside(db, w);
}

int lifecycle_close(struct tsdb *db)
{
	for (uint32_t i = 0; i < db->window_n; i++)
		if (db->windows[i]->rebuild && !db->windows[i]->pins)
			window_reopen(db, db->windows[i]);
	int64_t grace = HG_MAX(db->o.out_of_order_ms, (int64_t)60000);
	struct window *w = db->o.dir ? close_next(db, grace) : NULL;
	/* One at a time: the index of many series takes a while. */
	return w ? window_close(db, w) : 0;
}

static void window_drop(struct tsdb *db, uint32_t i)
{
	struct window *w = db->windows[i];
	char name[NAME_BYTES];
	if (!w->closed) {
		series_let_go(db, w);
		db->sweep = true;
	}
	if (db->o.dir) {
		/* The journal first: without its window it says nothing. */
		if (!w->closed) journal_remove(db, w);
		window_name(w, name);
		disk_unlink(db->dir, name);
	}
	for (uint32_t k = i + 1; k < db->window_n; k++)
		db->windows[k - 1] = db->windows[k];
	db->window_n--;
	db->stats.dropped_windows++;
	w->gone = true;
	if (!w->pins) window_free(w);
}

/* ------------------------------------------------------------------ retention */

/*
 * What age is measured by. One wrong reading of the clock, years ahead, would make everything too
 * old: so time counts as passed only as far as there are samples of it. A run of them that began
 * less than DAY_MS ago, or none, behind a gap of more, proves nothing yet: whoever set the clock
 * has a day to notice, and after months without power old samples stay a day longer. Samples that
 * a wrong clock left in the future are no proof either.
 */
#define DAY_MS (INT64_C(24) * 3600 * 1000)

static int64_t retention_now(const struct tsdb *db)
{
	int64_t now = tsdb_now(db), newest = now, run = now;
	for (uint32_t i = db->window_n; i-- > 0;) {
		const struct window *w = db->windows[i];
		if (w->start > now) continue;
		if (run - w->end > DAY_MS) {
			if (newest - run >= DAY_MS) return newest;
			newest = run = w->end;
		}
		run = HG_MIN(run, w->start);
	}
	return newest;
}

int64_t tsdb_next_ms(const struct tsdb *db, int64_t t_ms)
{
	int64_t next = TSDB_NO_MAX;
	for (uint32_t i = 0; i < db->window_n; i++) {
		const struct window *w = db->windows[i];
		if (w->end > t_ms) next = HG_MIN(next, HG_MAX(w->start, t_ms));
	}
	return next;
}

uint64_t lifecycle_disk_bytes(const struct tsdb *db)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < db->window_n; i++) {
		const struct window *w = db->windows[i];
		const struct journal *j = &w->journal;
		if (w->fd >= 0) n += w->written;
		for (uint32_t k = 0; !w->closed && k < j->cap; k++)
			n += j->at[k].bytes;
	}
	return n;
}

void lifecycle_retention(struct tsdb *db)
{
	int64_t now = retention_now(db);
	if (db->o.keep_ms && now != TSDB_NO_MIN)
		while (db->window_n && db->windows[0]->end <= now - db->o.keep_ms)
			window_drop(db, 0);
	if (db->o.keep_bytes) /* The newest stays: it is being written. */
		while (db->window_n > 1 && db->windows[0]->closed &&
		        lifecycle_disk_bytes(db) > db->o.keep_bytes)
			window_drop(db, 0);
	if (db->sweep) lifecycle_sweep(db);
}
