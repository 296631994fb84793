#include "observe/logs/logs_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#include "os/disk.h"

#define BLOCK_BYTES     (256u * 1024)
#define SMALL_BYTES     (32u * 1024)
#define SEGMENT_MAX     (64ull << 20)
#define SEGMENT_LEAST   (256ull << 10)
#define RETAIN_EVERY_MS 5000
#define SYNC_EVERY_MS   1000

static bool has_segments(void *arg, const char *name)
{
	bool *any = arg;
	*any = *any || hg_str_ends(hg_str(name), HG_STR(".hgl")) || !strcmp(name, "retention");
	return !*any;
}

static bool app_found(void *arg, const char *name)
{
	struct logs *l = arg;
	enum hg_rc rc;
	bool any = false;
	if (!app_name_valid(hg_str(name))) return true;
	int fd = disk_open(l->dir, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0) return true;
	if (disk_list(fd, has_segments, &any) < 0) any = false;
	disk_close(fd);
	if (any) (void)app_get(l, hg_str(name), true, &rc);
	return true;
}

static void defaults_fill(struct logs *l)
{
	struct logs_options *o = &l->o;
	if (!o->block_bytes) o->block_bytes = BLOCK_BYTES;
	o->block_bytes = HG_MIN(o->block_bytes, BLOCK_TEXT_MAX - LOGS_LINE_MAX);
	if (!o->block_ms) o->block_ms = 1000;
	if (!o->trickle_ms) o->trickle_ms = 3000;
	if (!o->segment_bytes) {
		/* Room is given back by whole segments: on a small disk they are small. */
		uint64_t part = disk_total(l->dir) / 64;
		o->segment_bytes = HG_MIN(HG_MAX(part, SEGMENT_LEAST), SEGMENT_MAX);
	}
}

enum hg_rc logs_open(const struct logs_options *o, struct logs **ret_logs, struct hg_err *err)
{
	enum hg_rc rc = HG_E_NOMEM;
	struct logs *l = calloc(1, sizeof *l);
	if (!l) return hg_err_set(err, HG_E_NOMEM, "could not open the log store: out of memory");
	l->o = *o;
	l->dir = l->spool_dir = -1;
	hg_list_init(&l->apps);
	l->cctx = ZSTD_createCCtx();
	l->dctx = ZSTD_createDCtx();
	l->read_buf = malloc(LOGS_READ_BYTES);
	if (!l->cctx || !l->dctx || !l->read_buf) {
		hg_err_set(err, rc, "could not open the log store: out of memory");
		goto out;
	}
	rc = HG_E_IO;
	l->dir = disk_dir(AT_FDCWD, o->dir);
	if (l->dir >= 0) l->spool_dir = disk_dir(l->dir, "spool");
	if (l->dir < 0 || l->spool_dir < 0) {
		int e = l->dir < 0 ? -l->dir : -l->spool_dir;
		hg_err_set(err, rc, "could not open the log store \"%s\": %s", o->dir, strerror(e));
		goto out;
	}
	defaults_fill(l);
	if (disk_list(l->dir, app_found, l) < 0 || spool_scan(l) < 0) {
		hg_err_set(err, rc, "could not read the log store \"%s\"", o->dir);
		goto out;
	}
	*ret_logs = l;
	l = NULL;
	rc = HG_OK;
out:
	logs_close(l);
	return rc;
}

enum hg_rc logs_flush(struct logs *l)
{
	enum hg_rc all = HG_OK;
	HG_LIST_EACH (at, &l->apps) {
		struct log_app *a = HG_CONTAINER(at, struct log_app, node);
		enum hg_rc rc = app_commit(l, a);
		app_sync(l, a);
		if (a->unsynced && rc == HG_OK) rc = HG_E_IO;
		if (rc < 0) all = HG_E_IO;
	}
	return all;
}

void logs_close(struct logs *l)
{
	if (!l) return;
	(void)!logs_flush(l);
	HG_LIST_EACH_SAFE (app, next_app, &l->apps) {
		struct log_app *a = HG_CONTAINER(app, struct log_app, node);
		HG_LIST_EACH_SAFE (at, after, &a->sources) {
			struct logs_source *s = HG_CONTAINER(at, struct logs_source, node);
			(void)!disk_sync(s->spool_fd);
			source_free(l, s);
		}
		app_free(l, a);
	}
	ZSTD_freeCCtx(l->cctx);
	ZSTD_freeDCtx(l->dctx);
	free(l->read_buf);
	free(l->raw);
	free(l->encoded);
	disk_close(l->spool_dir);
	disk_close(l->dir);
	free(l);
}

size_t logs_retention_decide(const struct logs_extent *seg, size_t n, uint64_t keep_ms,
        uint64_t max_bytes, uint64_t now_ns)
{
	uint64_t sum = 0, keep_ns;
	size_t drop = 0;
	if (n == 0) return 0;
	if (__builtin_mul_overflow(keep_ms, UINT64_C(1000000), &keep_ns)) keep_ns = UINT64_MAX;
	uint64_t oldest_ns = now_ns > keep_ns ? now_ns - keep_ns : 0;
	for (size_t i = 0; i < n; i++)
		sum += seg[i].bytes;
	/* The last line of a segment came before the first one of the next. */
	while (drop + 1 < n && (seg[drop + 1].first_ns < oldest_ns || sum > max_bytes))
		sum -= seg[drop++].bytes;
	return drop;
}

static void retain(struct logs *l, struct log_app *a)
{
	struct logs_extent *seg;
	if (a->segment_count < 2) return;
	seg = calloc(a->segment_count, sizeof *seg);
	if (!seg) return; /* tried again in a moment */
	for (uint32_t i = 0; i < a->segment_count; i++)
		seg[i] = (struct logs_extent){a->segments[i].first_ns, a->segments[i].size};
	size_t n = logs_retention_decide(
	        seg, a->segment_count, a->keep_ms, a->max_bytes, l->o.wall_ns());
	segments_drop(l, a, (uint32_t)n);
	free(seg);
}

enum hg_rc logs_retention_set(
        struct logs *l, struct hg_str app, uint64_t keep_ms, uint64_t max_bytes)
{
	enum hg_rc rc;
	char text[64];
	struct log_app *a = app_get(l, app, true, &rc);
	if (!a) return rc;
	if (a->keep_ms == keep_ms && a->max_bytes == max_bytes) return HG_OK;
	struct hg_out o = hg_out_over(text, sizeof text);
	hg_out_u64(&o, keep_ms);
	hg_out_byte(&o, ' ');
	hg_out_u64(&o, max_bytes);
	hg_out_byte(&o, '\n');
	if (disk_replace(a->dir, "retention", (struct hg_str){text, o.n}) < 0) return HG_E_IO;
	a->keep_ms = keep_ms;
	a->max_bytes = max_bytes;
	retain(l, a);
	return HG_OK;
}

bool store_relieve(struct logs *l)
{
	struct log_app *most = NULL;
	uint64_t most_bytes = 0, freed = 0;
	if (l->relieved_ms && l->now_ms < l->relieved_ms + 1000) return false;
	l->relieved_ms = l->now_ms + 1;
	HG_LIST_EACH (at, &l->apps) {
		struct log_app *a = HG_CONTAINER(at, struct log_app, node);
		uint64_t bytes = app_bytes(a);
		if (a->segment_count < 2 || bytes <= most_bytes) continue;
		most = a;
		most_bytes = bytes;
	}
	if (!most) return false;
	uint32_t n = 0;
	while (n + 1 < most->segment_count && freed < most_bytes / 20 + 1)
		freed += most->segments[n++].size;
	segments_drop(l, most, n);
	return n > 0;
}

static void app_tick(struct logs *l, struct log_app *a, bool sync)
{
	struct log_live *v = &a->live;
	/* Sources that had to wait for room. */
	HG_LIST_EACH (at, &a->sources) {
		struct logs_source *s = HG_CONTAINER(at, struct logs_source, node);
		if ((s->parsed < s->size && !s->orphan) || s->dropped) spool_parse(l, s);
	}
	uint32_t wait = v->text_size >= SMALL_BYTES ? l->o.block_ms : l->o.trickle_ms;
	bool due = v->count && (l->now_ms >= v->since_ms + wait || l->live_bytes > LOGS_LIVE_MAX);
	if (due && app_commit(l, a) == HG_OK && v->text_cap > SMALL_BYTES &&
	        l->live_bytes > LOGS_LIVE_MAX / 4)
		app_live_trim(l, a);
	if (sync) app_sync(l, a);
}

void logs_tick(struct logs *l, uint64_t now_ms)
{
	bool sync = now_ms >= l->synced_ms + SYNC_EVERY_MS;
	bool retain_now = now_ms >= l->retained_ms + RETAIN_EVERY_MS;
	l->now_ms = now_ms;
	if (sync) l->synced_ms = now_ms;
	if (retain_now) l->retained_ms = now_ms;
	HG_LIST_EACH (at, &l->apps) {
		struct log_app *a = HG_CONTAINER(at, struct log_app, node);
		app_tick(l, a, sync);
		if (retain_now) retain(l, a);
	}
}

void logs_lines_each(const struct logs *l,
        void (*each)(void *arg, const char *app, const uint64_t lines[LOGS_LEVELS]), void *arg)
{
	HG_LIST_EACH (at, &l->apps) {
		const struct log_app *a = HG_CONTAINER(at, struct log_app, node);
		each(arg, a->name, a->lines);
	}
}

void logs_stats(const struct logs *l, struct logs_stats *ret_stats)
{
	struct logs_stats st = l->stats;
	st.apps = l->app_count;
	st.sources = l->source_count;
	HG_LIST_EACH (at, &l->apps) {
		const struct log_app *a = HG_CONTAINER(at, struct log_app, node);
		st.segments += a->segment_count;
		st.disk_bytes += app_bytes(a);
		HG_LIST_EACH (src, &a->sources) {
			const struct logs_source *s = HG_CONTAINER(src, struct logs_source, node);
			st.spool_bytes += s->size - s->committed;
		}
	}
	*ret_stats = st;
}

uint64_t logs_lines(const struct logs *l)
{
	return l->stats.lines;
}
