#include "observe/tsdb/file_priv.h"

#include <stdlib.h>

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
		if (s->late && s->late->window == w) {
			free(s->late);
			s->late = NULL;
		}
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

static void window_drop(struct tsdb *db, uint32_t i)
{
	struct window *w = db->windows[i];
	if (!w->closed) {
		series_let_go(db, w);
		db->sweep = true;
	}
	for (uint32_t k = i + 1; k < db->window_n; k++)
		db->windows[k - 1] = db->windows[k];
	db->window_n--;
	db->stats.dropped_windows++;
	w->gone = true;
	if (!w->pins) window_free(w);
}

/* ------------------------------------------------------------------ retention */

static int64_t now_of(const struct tsdb *db)
{
	return db->now_ms != TSDB_NO_MIN ? db->now_ms : db->max_ms;
}

void lifecycle_retention(struct tsdb *db)
{
	int64_t now = now_of(db);
	if (db->o.keep_ms && now != TSDB_NO_MIN)
		while (db->window_n && db->windows[0]->end <= now - db->o.keep_ms)
			window_drop(db, 0);
	if (db->sweep) lifecycle_sweep(db);
}
