#include "observe/tsdb/file_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "os/file.h"
#include "os/shm.h"

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
}

static void options_default(struct tsdb_options *o)
{
	/* In memory nothing is gained by spans, unless something is to go. */
	if (!o->window_ms) o->window_ms = o->dir || o->keep_ms ? WINDOW_MS : TSDB_TIME_LIMIT;
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
	free(db);
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
	db->now_ms = o->now_ms ? o->now_ms() : TSDB_NO_MIN;
	if (file_random(db->head.seed, sizeof db->head.seed) < 0 || o->dir) {
		db_free(db);
		return hg_err_set(err, HG_E_INVALID, "files are not supported yet");
	}
	*ret_db = db;
	return HG_OK;
}

void tsdb_close(struct tsdb *db)
{
	if (!db) return;
	HG_ASSERT(!db->selections);
	db_free(db);
}

enum hg_rc tsdb_commit(struct tsdb *db)
{
	if (db->o.now_ms) db->now_ms = db->o.now_ms();
	lifecycle_retention(db);
	tsdb_memory_look(db);
	return HG_OK;
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

bool window_map(struct window *w, uint64_t bytes)
{
	(void)w;
	(void)bytes;
	return false;
}

void window_unmap(struct window *w)
{
	(void)w;
}

bool index_ready(struct tsdb *db, struct window *w)
{
	(void)db;
	(void)w;
	return false;
}
const struct catalog_ops index_catalog;
