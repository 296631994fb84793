#include "observe/tsdb/file_priv.h"

#include <stdlib.h>

#define CHUNK_SAMPLES 128
/* A chunk of noise: longer ones only cost those who read little of it. */
#define CHUNK_STREAM_BYTES 3000
/* Samples that come this fast make longer chunks, of ten minutes at most: the head of a chunk, its
 * entry in the index and the reset in the journal are paid once. Slower ones would make a reader of
 * a few minutes decode an hour. */
#define CHUNK_FAST_MS 2500

/* ------------------------------------------------------------------ windows */

bool tsdb_window_insert(struct tsdb *db, struct window *w)
{
	if (!tsdb_grow(&db->windows, &db->window_cap, db->window_n + 1, sizeof *db->windows))
		return false;
	uint32_t i = db->window_n++;
	for (; i; i--) {
		const struct window *before = db->windows[i - 1];
		if (before->start < w->start || (before->start == w->start && before->seq < w->seq))
			break;
		db->windows[i] = db->windows[i - 1];
	}
	db->windows[i] = w;
	return true;
}

static int64_t window_start(const struct tsdb *db, int64_t t)
{
	int64_t span = db->o.window_ms, rest = t % span;
	return t - (rest < 0 ? rest + span : rest);
}

struct window *append_window(struct tsdb *db, int64_t t)
{
	int64_t start = window_start(db, t);
	uint32_t seq = 0;
	for (uint32_t i = db->window_n; i-- > 0;) {
		struct window *w = db->windows[i];
		if (w->start > start) continue;
		if (w->start < start) break;
		if (!w->closed) return w;
		seq = HG_MAX(seq, w->seq + 1);
	}
	/* Somebody writes to a span again and again after it was closed. */
	if (seq >= TSDB_FILES_MAX) return NULL;
	struct window *w = window_new(start, start + db->o.window_ms, seq);
	if (w && !tsdb_window_insert(db, w)) {
		window_free(w);
		return NULL;
	}
	return w;
}

/* ------------------------------------------------------------------ chunks */

bool append_flush(struct tsdb *db, uint32_t slot)
{
	struct series *s = &db->head.series[slot];
	int64_t t[CODEC_CHUNK_MAX];
	double v[CODEC_CHUNK_MAX];
	if (!s->open.count) return true;
	stream_read(&s->open, t, v);
	uint32_t id = window_id_have(s->window, slot);
	if (!window_record(s->window, id, false, t, v, s->open.count)) return false;
	stream_reset(&s->open);
	if (db->o.dir) journal_release(&s->window->journal, s->segment);
	return true;
}

bool append_flush_late(struct tsdb *db, uint32_t slot)
{
	struct series *s = &db->head.series[slot];
	struct late *l = s->late;
	if (!l) return true;
	if (l->n &&
	        !window_record(l->window, window_id_have(l->window, slot), true, l->t, l->v, l->n))
		return false;
	if (l->n && db->o.dir) journal_release(&l->window->journal, l->segment);
	head_late_free(&db->head, s);
	return true;
}

static struct series *series_of(struct tsdb *db, tsdb_ref ref, uint32_t *ret_slot)
{
	uint32_t slot = (uint32_t)ref;
	if (!ref || slot >= db->head.n) return NULL;
	struct series *s = &db->head.series[slot];
	*ret_slot = slot;
	return s->used && s->generation == (uint32_t)(ref >> 32) ? s : NULL;
}

int64_t tsdb_last_ms(const struct tsdb *db, tsdb_ref ref)
{
	uint32_t slot = (uint32_t)ref;
	if (!ref || slot >= db->head.n) return TSDB_NO_MIN;
	const struct series *s = &db->head.series[slot];
	return s->used && s->generation == (uint32_t)(ref >> 32) ? s->last_t : TSDB_NO_MIN;
}

/* ------------------------------------------------------------------ late samples */

static enum hg_rc late_refuse(struct tsdb *db)
{
	db->stats.too_old++;
	return HG_E_TSDB_ORDER;
}

static struct late *late_of(struct tsdb *db, uint32_t slot, struct window *w)
{
	struct series *s = &db->head.series[slot];
	if (s->late && (s->late->window != w || s->late->n == TSDB_LATE_MAX) &&
	        !append_flush_late(db, slot))
		return NULL;
	if (s->late) return s->late;
	struct late *l = malloc(sizeof *l);
	if (!l) return NULL;
	db->head.held_bytes += sizeof *l;
	l->window = w;
	l->n = 0;
	s->late = l;
	return l;
}

/*
 * What lateness is measured by. A clock that was wrong has given the series a sample of years to
 * come; once it is right, what comes now is late beside that one and must be taken all the same, or
 * nothing would be until then.
 */
static int64_t newest_of(const struct tsdb *db, const struct series *s)
{
	bool ahead = db->now_ms != TSDB_NO_MIN && s->last_t > db->now_ms + TSDB_AHEAD_MS;
	return ahead ? db->now_ms : s->last_t;
}

static bool is_too_late(const struct tsdb *db, const struct series *s, int64_t t)
{
	return db->o.out_of_order_ms < 0 || newest_of(db, s) - t > db->o.out_of_order_ms;
}

/* Behind the newest, within the bound: it waits in order with others, and becomes a chunk of its
 * own that readers merge. */
enum hg_rc append_late(struct tsdb *db, uint32_t slot, int64_t t, double v)
{
	/* What was journaled was taken; and of its series nothing newer need be known yet. */
	if (!db->replaying && is_too_late(db, &db->head.series[slot], t)) return late_refuse(db);
	struct window *w = append_window(db, t);
	if (!w || window_id(w, slot) == TSDB_NONE) return w ? HG_E_NOMEM : late_refuse(db);
	struct late *l = late_of(db, slot, w);
	if (!l) return HG_E_NOMEM;
	uint32_t i = l->n;
	while (i && l->t[i - 1] > t)
		i--;
	if (i && l->t[i - 1] == t) {
		bool same = value_same(l->v[i - 1], v);
		*(same ? &db->stats.repeated : &db->stats.duplicates) += 1;
		return same ? HG_OK : HG_E_TSDB_DUPLICATE;
	}
	if (db->o.dir && !l->n) {
		if (!journal_hold(&w->journal)) return HG_E_NOMEM;
		l->segment = w->journal.segment;
	}
	if (db->o.dir && !db->replaying &&
	        !journal_add_late(&w->journal, window_id_have(w, slot), t, v)) {
		if (!l->n) journal_release(&w->journal, l->segment);
		return HG_E_NOMEM;
	}
	memmove(&l->t[i + 1], &l->t[i], (l->n - i) * sizeof *l->t);
	memmove(&l->v[i + 1], &l->v[i], (l->n - i) * sizeof *l->v);
	l->t[i] = t;
	l->v[i] = v;
	l->n++;
	w->idle = 0;
	db->stats.samples++;
	db->stats.out_of_order++;
	return HG_OK;
}

/* ------------------------------------------------------------------ appending */

static bool is_expired(const struct tsdb *db, int64_t now, int64_t t)
{
	return db->o.keep_ms && now != TSDB_NO_MIN && t < now - db->o.keep_ms;
}

/* The first chunk of a series ends early, by its hash: those that began together would all end
 * theirs together. */
static uint16_t chunk_limit(const struct series *s, uint32_t samples, uint32_t spread, bool first)
{
	return (uint16_t)HG_MAX(first ? samples - s->hash % (spread + 1) : samples, 1u);
}

/* Makes s->open ready for one more sample at t: a chunk ends with its window. */
static enum hg_rc chunk_ready(struct tsdb *db, uint32_t slot, int64_t t)
{
	struct series *s = &db->head.series[slot];
	struct window *w = s->window;
	/* One that could not end for want of memory has no place for more at CODEC_CHUNK_MAX. */
	if (s->open.count && s->open.count < CODEC_CHUNK_MAX && t < w->end) return HG_OK;
	if (!append_flush(db, slot)) return HG_E_NOMEM;
	if (!w || w->closed || t < w->start || t >= w->end) {
		w = append_window(db, t);
		if (!w) return late_refuse(db);
	}
	uint32_t id = window_id(w, slot);
	if (id == TSDB_NONE) return HG_E_NOMEM;
	if (db->o.dir && !journal_hold(&w->journal)) return HG_E_NOMEM;
	s->segment = w->journal.segment;
	s->limit = chunk_limit(s, db->o.chunk_samples, db->o.chunk_samples / 2, !s->staggered);
	s->staggered = true;
	/* Each window has a journal of its own, which knows nothing of the series yet. */
	if (s->window != w) s->coder.segment = 0;
	s->window = w;
	return HG_OK;
}

/* Whether an open chunk that is full takes more all the same. */
static bool chunk_stretch(const struct tsdb *db, struct series *s)
{
	uint32_t usual = db->o.chunk_samples;
	if (s->open.dt <= 0) return false;
	if (s->open.dt <= CHUNK_FAST_MS && s->limit <= usual) {
		uint32_t most = HG_MIN(usual * 15 / 8, (uint32_t)CODEC_CHUNK_MAX);
		s->limit = chunk_limit(s, most, most * 3 / 4, s->limit < usual);
		if (s->open.count < s->limit) return true;
	}
	/* A window that is nearly over gets no chunk for its last few samples: this one has them.
	 */
	int64_t left = (s->window->end - 1 - s->open.t) / s->open.dt;
	if (!left || left > usual / 2 || s->open.count + left > CODEC_CHUNK_MAX) return false;
	s->limit = (uint16_t)(s->open.count + left);
	return true;
}

static void count_sample(struct tsdb *db, struct series *s, int64_t t, double v)
{
	memcpy(&s->last_bits, &v, sizeof v);
	s->last_known = true;
	s->last_none = false;
	s->last_t = t;
	db->max_ms = HG_MAX(db->max_ms, t);
	db->stats.samples++;
}

enum hg_rc append_next(struct tsdb *db, uint32_t slot, int64_t t, double v)
{
	struct series *s = &db->head.series[slot];
	struct codec_step step;
	enum hg_rc rc = chunk_ready(db, slot, t);
	if (rc != HG_OK) return rc;
	struct journal *j = &s->window->journal;
	bool journaled = db->o.dir && !db->replaying, begins = !s->open.count;
	uint16_t cap = s->open.cap;
	if ((journaled && !journal_room(j)) || !stream_add(&s->open, t, v, &step)) {
		if (begins && db->o.dir) journal_release(j, s->segment);
		return HG_E_NOMEM;
	}
	db->head.held_bytes += (uint64_t)(s->open.cap - cap);
	if (journaled) journal_add(j, window_id_have(s->window, slot), t, begins, &step, &s->coder);
	count_sample(db, s, t, v);
	s->window->idle = 0;
	/* A journal tells where its chunks began; see replay.c. */
	bool ends = s->open.bytes >= CHUNK_STREAM_BYTES ||
	            (s->open.count >= s->limit && !chunk_stretch(db, s));
	if (db->replaying ? s->open.count < CODEC_CHUNK_MAX : !ends) return HG_OK;
	if (journaled && j->bits.n > SEAL_BYTES) (void)!journal_seal(db, s->window);
	/* The sample is taken. Without memory the chunk goes on, and ends with a later one. */
	(void)!append_flush(db, slot);
	return HG_OK;
}

enum hg_rc tsdb_append(struct tsdb *db, tsdb_ref ref, int64_t t, double v)
{
	uint32_t slot;
	struct series *s = series_of(db, ref, &slot);
	if (!s) return HG_E_NOT_FOUND;
	if (t <= -TSDB_TIME_LIMIT || t >= TSDB_TIME_LIMIT) return late_refuse(db);
	if (db->now_ms != TSDB_NO_MIN && t > db->now_ms + TSDB_AHEAD_MS) {
		db->stats.ahead++;
		return HG_E_TSDB_AHEAD;
	}
	if (is_expired(db, tsdb_now(db), t)) return late_refuse(db);
	if (db->choked) {
		db->stats.refused_samples++;
		return HG_E_TSDB_FULL;
	}
	if (t > s->last_t) return append_next(db, slot, t, v);
	if (t < s->last_t || s->last_none) return append_late(db, slot, t, v);
	double last;
	memcpy(&last, &s->last_bits, sizeof last);
	bool same = !s->last_known || value_same(last, v);
	*(same ? &db->stats.repeated : &db->stats.duplicates) += 1;
	return same ? HG_OK : HG_E_TSDB_DUPLICATE;
}

/* ------------------------------------------------------------------ series */

/* A frame of series holds one at least. */
#define TSDB_LABELS_BYTES (1u << 20)

static size_t labels_bytes(struct labels ls)
{
	size_t n = 0;
	for (uint32_t i = 0; i < ls.n; i++)
		n += ls.at[i].name.n + ls.at[i].value.n;
	return n;
}

static enum hg_rc refuse_quota(struct tsdb *db, struct app *app, struct hg_err *err)
{
	struct head *h = &db->head;
	/* Looking is a pass over the postings: not each time somebody knocks. A sweep sets
	 * looked_at back, since what was found may be gone. */
	if (!app->looked_at || app->refused >= app->looked_at * 2 ||
	        app->refused > app->looked_at + 10000) {
		app->looked_at = app->refused;
		app->worst = head_worst(h, (uint32_t)(app - h->apps), &app->worst_values);
	}
	app->refused++;
	db->stats.refused_series++;
	if (!err) return HG_E_TSDB_QUOTA;
	struct hg_str name = app->symbol == APP_NAMELESS ? HG_STR("?") : head_text(h, app->symbol);
	struct hg_str worst = app->worst == TSDB_NONE ? HG_STR("?") : head_text(h, app->worst);
	hg_err_set(err, HG_E_TSDB_QUOTA, "app \"%.*s\" has its %u series", (int)HG_MIN(name.n, 64u),
	        name.p, db->o.series_per_app);
	hg_err_detail(err, "label \"%.*s\" has the most values of them: %u",
	        (int)HG_MIN(worst.n, 64u), worst.p, app->worst_values);
	hg_err_hint(err,
	        "drop that label where the app exposes it or by metric_relabel_configs, or "
	        "raise the quota");
	return HG_E_TSDB_QUOTA;
}

static enum hg_rc refuse_full(struct tsdb *db, struct hg_err *err)
{
	db->stats.refused_series++;
	hg_err_set(err, HG_E_TSDB_FULL, "the metrics store has its %llu MiB of memory",
	        (unsigned long long)(db->o.memory_bytes >> 20));
	hg_err_hint(err, "fewer series, or a larger cap; series that are there go on");
	return HG_E_TSDB_FULL;
}

enum hg_rc tsdb_series(struct tsdb *db, struct labels ls, tsdb_ref *ret_ref, struct hg_err *err)
{
	struct head *h = &db->head;
	*ret_ref = 0;
	if (!ls.n || !labels_valid(ls))
		return hg_err_set(err, HG_E_INVALID, "labels are not sorted, doubled or empty");
	uint32_t slot = head_find(h, ls);
	if (slot == TSDB_NONE) {
		if (h->live % 64 == 0) tsdb_memory_look(db);
		if (db->full) return refuse_full(db, err);
		if (labels_bytes(ls) > TSDB_LABELS_BYTES)
			return hg_err_set(err, HG_E_INVALID, "labels of a series are over 1 MiB");
		uint32_t app = head_app(h, ls);
		if (app == TSDB_NONE) return hg_err_set(err, HG_E_NOMEM, "out of memory");
		if (db->o.series_per_app && h->apps[app].symbol != APP_OWN &&
		        h->apps[app].series >= db->o.series_per_app)
			return refuse_quota(db, &h->apps[app], err);
		slot = head_make(h, ls);
		if (slot == TSDB_NONE) return hg_err_set(err, HG_E_NOMEM, "out of memory");
	}
	*ret_ref = (uint64_t)h->series[slot].generation << 32 | slot;
	return HG_OK;
}
