#include "observe/tsdb/file_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "os/file.h"

#define WINDOW_MS       (2 * 3600 * 1000)
#define OUT_OF_ORDER_MS (10 * 60 * 1000)
#define MEMORY_BYTES    (256u << 20)
#define CHUNK_SAMPLES   128

uint64_t tsdb_memory(const struct tsdb *db)
{
	uint64_t n = head_memory(&db->head);
	for (uint32_t i = 0; i < db->window_n; i++)
		n += window_memory(db->windows[i]);
	return n + db->scratch.cap;
}

void tsdb_memory_look(struct tsdb *db)
{
	db->full = tsdb_memory(db) > db->o.memory_bytes;
	db->choked = db->full && db->health.state != TSDB_WELL;
}

static void options_default(struct tsdb_options *o)
{
	/* In memory nothing is gained by spans, unless something is to go. */
	if (!o->window_ms) o->window_ms = o->dir || o->keep_ms ? WINDOW_MS : TSDB_TIME_LIMIT;
	/* A file's head counts its span in minutes. */
	if (o->dir) o->window_ms = HG_MAX(o->window_ms / 60000, (int64_t)1) * 60000;
	if (!o->memory_bytes) o->memory_bytes = MEMORY_BYTES;
	if (!o->out_of_order_ms) o->out_of_order_ms = OUT_OF_ORDER_MS;
	if (!o->chunk_samples) o->chunk_samples = CHUNK_SAMPLES;
	o->chunk_samples = HG_MIN(o->chunk_samples, (uint32_t)CODEC_CHUNK_MAX);
}

static void db_free(struct tsdb *db)
{
	head_fini(&db->head);
	for (uint32_t i = 0; i < db->window_n; i++)
		window_free(db->windows[i]);
	free(db->windows);
	hg_buf_free(&db->scratch);
	ZSTD_freeCCtx(db->zstd);
	ZSTD_freeDCtx(db->unzstd);
	disk_close(db->lock);
	disk_close(db->dir);
	free(db);
}

static enum hg_rc folder_open(struct tsdb *db, struct hg_err *err)
{
	const char *dir = db->o.dir;
	db->dir = disk_dir(AT_FDCWD, dir);
	if (db->dir < 0)
		return hg_err_set(err, HG_E_IO, "cannot open %s: %s", dir, strerror(-db->dir));
	db->lock = disk_lock(db->dir, "lock");
	if (db->lock == -EWOULDBLOCK)
		return hg_err_set(err, HG_E_DENIED, "%s is in use by another process", dir);
	if (db->lock < 0)
		return hg_err_set(err, HG_E_IO, "cannot lock %s: %s", dir, strerror(-db->lock));
	return recover_folder(db, err);
}

enum hg_rc tsdb_open(const struct tsdb_options *o, struct tsdb **ret_db, struct hg_err *err)
{
	*ret_db = NULL;
	struct tsdb *db = calloc(1, sizeof *db);
	if (!db) return hg_err_set(err, HG_E_NOMEM, "out of memory");
	db->o = *o;
	db->dir = db->lock = -1;
	db->max_ms = TSDB_NO_MIN;
	options_default(&db->o);
	hg_buf_init(&db->scratch, SIZE_MAX / 2);
	db->now_ms = o->now_ms ? o->now_ms() : TSDB_NO_MIN;
	enum hg_rc rc = HG_OK;
	if (file_random(db->head.seed, sizeof db->head.seed) < 0)
		rc = hg_err_set(err, HG_E_IO, "no random numbers");
	if (rc == HG_OK && o->dir) rc = folder_open(db, err);
	if (rc != HG_OK) {
		db_free(db);
		return rc;
	}
	tsdb_memory_look(db);
	*ret_db = db;
	return HG_OK;
}

void tsdb_limits(struct tsdb *db, const struct tsdb_options *o)
{
	db->o.keep_ms = o->keep_ms;
	db->o.keep_bytes = o->keep_bytes;
	db->o.memory_bytes = o->memory_bytes ? o->memory_bytes : MEMORY_BYTES;
	db->o.series_per_app = o->series_per_app;
	tsdb_memory_look(db);
}

void tsdb_close(struct tsdb *db)
{
	if (!db) return;
	HG_ASSERT(!db->selections);
	/* The journal has what is in no chunk: the next start takes it from there. */
	(void)!tsdb_commit(db);
	for (uint32_t i = 0; i < db->window_n; i++)
		if (!db->windows[i]->closed) (void)!journal_next(db, db->windows[i]);
	db_free(db);
}

/* ------------------------------------------------------------------ committing */

static int commit_window(struct tsdb *db, struct window *w)
{
	int rc = journal_write(db, w);
	if (rc == 0 && w->tail.n >= TAIL_BYTES) rc = window_flush(db, w);
	if (rc == 0) rc = journal_turn(db, w);
	w->idle++;
	return rc;
}

static void health_tell(struct tsdb *db, int rc)
{
	struct tsdb_health *h = &db->health;
	if (rc == 0) {
		*h = (struct tsdb_health){0};
		return;
	}
	if (h->state == TSDB_WELL) h->since_ms = db->max_ms;
	h->state = disk_is_full(rc) ? TSDB_DISK_FULL : TSDB_DISK_BROKEN;
	h->error = -rc;
	snprintf(h->message, sizeof h->message,
	        "metrics cannot be written (%s): samples stay in memory and are written later",
	        strerror(-rc));
}

enum hg_rc tsdb_commit(struct tsdb *db)
{
	int rc = 0;
	if (db->o.now_ms) db->now_ms = db->o.now_ms();
	/* Old windows first: they may make the room that is missing. */
	lifecycle_retention(db);
	for (uint32_t i = 0; db->o.dir && i < db->window_n; i++) {
		struct window *w = db->windows[i];
		int done = w->closed ? 0 : commit_window(db, w);
		if (rc == 0) rc = done;
	}
	if (rc == 0) rc = lifecycle_close(db);
	health_tell(db, rc);
	tsdb_memory_look(db);
	return rc == 0 ? HG_OK : rc == -ENOMEM ? HG_E_NOMEM : HG_E_TSDB_DISK;
}

void tsdb_health(const struct tsdb *db, struct tsdb_health *ret_health)
{
	*ret_health = db->health;
	if (ret_health->state != TSDB_WELL || !db->full) return;
	ret_health->state = TSDB_MEMORY_FULL;
	snprintf(ret_health->message, sizeof ret_health->message,
	        "the metrics store uses its %llu MiB: new series are refused",
	        (unsigned long long)(db->o.memory_bytes >> 20));
}

void tsdb_stats(const struct tsdb *db, struct tsdb_stats *ret_stats)
{
	struct tsdb_stats *s = ret_stats;
	*s = db->stats;
	s->series = db->head.live;
	s->memory_bytes = tsdb_memory(db);
	s->windows = db->window_n;
	s->disk_bytes = lifecycle_disk_bytes(db);
	s->min_ms = TSDB_NO_MAX;
	s->max_ms = db->max_ms;
	for (uint32_t i = 0; i < db->window_n; i++)
		s->min_ms = HG_MIN(s->min_ms, db->windows[i]->min_ms);
	/* What is in no chunk yet. */
	for (uint32_t i = 0; i < db->head.n; i++) {
		const struct series *of = &db->head.series[i];
		if (of->used && of->open.count) s->min_ms = HG_MIN(s->min_ms, of->open.first_t);
	}
}
