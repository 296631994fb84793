#include "observe/tsdb/tsdb_priv.h"

#include <stdlib.h>

/* Where a series has samples: a window and its id there. */
struct source {
	struct window *window;
	uint32_t id;
	struct source *next; /* later in time, or a later file of the same span */
};

struct entry {
	struct labels ls;
	uint64_t hash;             /* 0: not needed so far */
	uint32_t slot, generation; /* in the head; slot TSDB_NONE: no open chunk */
	struct source *first, *last;
};

struct tsdb_selection {
	struct tsdb *db;
	int64_t from, to;
	struct entry *at;
	uint32_t n, cap;
	uint32_t *table,
	        table_cap; /* by hash: 1 + entry; made when a second catalog is looked at */
	struct window **pinned;
	uint32_t pinned_n, pinned_cap;
	struct hg_arena arena;
	bool sorted;
	struct tsdb_select_limits limits;
};

/* ------------------------------------------------------------------ gathering */

static uint64_t entry_hash(struct labels ls)
{
	return labels_hash(ls) | 1;
}

static bool table_make(struct tsdb_selection *s, uint32_t want)
{
	uint32_t cap = 64;
	while (cap < want * 2)
		cap *= 2;
	if (cap <= s->table_cap) return true;
	uint32_t *table = calloc(cap, sizeof *table);
	if (!table) return false;
	for (uint32_t i = 0; i < s->n; i++) {
		if (!s->at[i].hash) s->at[i].hash = entry_hash(s->at[i].ls);
		uint32_t k = (uint32_t)s->at[i].hash & (cap - 1);
		while (table[k])
			k = (k + 1) & (cap - 1);
		table[k] = i + 1;
	}
	free(s->table);
	s->table = table;
	s->table_cap = cap;
	return true;
}

static struct entry *entry_find(struct tsdb_selection *s, struct labels ls, uint64_t hash)
{
	for (uint32_t k = (uint32_t)hash;; k++) {
		uint32_t i = s->table[k & (s->table_cap - 1)];
		if (!i) return NULL;
		struct entry *e = &s->at[i - 1];
		if (e->hash == hash && labels_equal(e->ls, ls)) return e;
	}
}

uint64_t tsdb_selection_bytes(const struct tsdb_selection *s)
{
	return s->arena.used + (uint64_t)s->cap * sizeof *s->at +
	       (uint64_t)s->table_cap * sizeof *s->table;
}

/* NULL: it does not fit. */
static struct entry *entry_add(struct tsdb_selection *s, struct labels ls, uint64_t hash)
{
	if (s->n == s->cap && tsdb_selection_bytes(s) > s->limits.bytes) return NULL;
	if (!tsdb_grow(&s->at, &s->cap, s->n + 1, sizeof *s->at)) return NULL;
	struct entry *e = &s->at[s->n++];
	*e = (struct entry){.ls = ls, .hash = hash, .slot = TSDB_NONE};
	if (s->table_cap) {
		uint32_t k = (uint32_t)hash & (s->table_cap - 1);
		while (s->table[k])
			k = (k + 1) & (s->table_cap - 1);
		s->table[k] = s->n;
	}
	return e;
}

static bool source_add(struct tsdb_selection *s, struct entry *e, struct window *w, uint32_t id)
{
	struct source *to = hg_arena_take(&s->arena, sizeof *to);
	if (!to) return false;
	*to = (struct source){.window = w, .id = id};
	if (e->last)
		e->last->next = to;
	else
		e->first = to;
	e->last = to;
	return true;
}

static struct labels labels_of(
        struct tsdb_selection *s, struct catalog c, uint32_t id, uint32_t *room)
{
	const uint32_t *pairs;
	uint32_t n = c.ops->pairs(c.self, id, room, &pairs);
	struct label *at = hg_arena_array(&s->arena, n, sizeof *at);
	for (uint32_t i = 0; at && i < n; i++)
		at[i] = (struct label){
		        c.ops->text(c.self, pairs[2 * i]), c.ops->text(c.self, pairs[2 * i + 1])};
	return (struct labels){at, at ? n : 0};
}

static bool pin(struct tsdb_selection *s, struct window *w)
{
	if (!tsdb_grow(&s->pinned, &s->pinned_cap, s->pinned_n + 1, sizeof(struct window *)))
		return false;
	s->pinned[s->pinned_n++] = w;
	w->pins++;
	return true;
}

static bool overlaps(const struct window *w, int64_t from, int64_t to)
{
	return w->start <= to && w->end > from;
}

/* Bits of the series that match, and how many they are. */
static enum hg_rc matching(struct tsdb_selection *s, struct catalog c,
        const struct label_matcher *m, uint32_t n, uint64_t **ret_bits, uint32_t *ret_n)
{
	uint32_t most = s->limits.series;
	uint64_t looks = most ? (uint64_t)most * TSDB_LOOKS : UINT64_MAX;
	enum hg_rc rc = catalog_select(c, m, n, looks, ret_bits);
	*ret_n = 0;
	uint32_t words = rc == HG_OK ? c.ops->series(c.self) / 64 + 1 : 0;
	for (uint32_t i = 0; i < words; i++)
		if ((*ret_bits)[i]) *ret_n += (uint32_t)__builtin_popcountll((*ret_bits)[i]);
	if (!most || *ret_n <= most) return rc;
	free(*ret_bits);
	*ret_bits = NULL;
	return HG_E_TOO_LARGE;
}

static enum hg_rc gather_closed(
        struct tsdb_selection *s, struct window *w, const struct label_matcher *m, uint32_t n)
{
	struct catalog c = {&index_catalog, w};
	uint32_t room[2 * LABELS_MAX];
	uint32_t found;
	uint64_t *bits;
	if (!index_ready(s->db, w)) return HG_OK; /* counted as damaged */
	enum hg_rc rc = matching(s, c, m, n, &bits, &found);
	if (rc != HG_OK) return rc;
	if (s->n && !table_make(s, s->n + found)) rc = HG_E_NOMEM;
	bool first = !s->n;
	for (uint32_t word = 0; rc == HG_OK && word <= w->index.series / 64; word++) {
		for (uint64_t left = bits[word]; left; left &= left - 1) {
			uint32_t id = word * 64 + (uint32_t)__builtin_ctzll(left);
			struct labels ls = labels_of(s, c, id, room);
			uint64_t hash = first ? 0 : entry_hash(ls);
			struct entry *e = first ? NULL : entry_find(s, ls, hash);
			if (!ls.n || (!e && !(e = entry_add(s, ls, hash))) ||
			        !source_add(s, e, w, id)) {
				rc = HG_E_NOMEM;
				break;
			}
		}
	}
	/* The series of an index stand in the order of their labels. */
	s->sorted = first;
	free(bits);
	return rc;
}

static bool head_entry(struct tsdb_selection *s, uint32_t slot, uint32_t *room)
{
	struct tsdb *db = s->db;
	struct catalog c = {&head_catalog, &db->head};
	struct entry *e = NULL;
	for (uint32_t i = 0; i < db->window_n; i++) {
		struct window *w = db->windows[i];
		if (w->closed || !overlaps(w, s->from, s->to)) continue;
		uint32_t id = window_id_have(w, slot);
		if (id == TSDB_NONE) continue;
		if (!e) {
			struct labels ls = labels_of(s, c, slot, room);
			if (!ls.n) return false;
			uint64_t hash = s->table_cap ? entry_hash(ls) : 0;
			if (s->table_cap) e = entry_find(s, ls, hash);
			if (!e) e = entry_add(s, ls, hash);
			if (!e) return false;
			e->slot = slot;
			e->generation = db->head.series[slot].generation;
		}
		if (!source_add(s, e, w, id)) return false;
	}
	return true;
}

static enum hg_rc gather_head(struct tsdb_selection *s, const struct label_matcher *m, uint32_t n)
{
	struct head *h = &s->db->head;
	struct catalog c = {&head_catalog, h};
	uint32_t room[2 * LABELS_MAX];
	uint32_t found;
	uint64_t *bits, *ranks = NULL;
	enum hg_rc rc = matching(s, c, m, n, &bits, &found);
	if (rc != HG_OK) return rc;
	if (head_rank(h)) ranks = calloc(h->ordered / 64 + 1, sizeof *ranks);
	if (!ranks || (s->n && !table_make(s, s->n + found))) rc = HG_E_NOMEM;
	for (uint32_t word = 0; rc == HG_OK && word <= h->n / 64; word++) {
		for (uint64_t left = bits[word]; left; left &= left - 1) {
			uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(left);
			uint32_t rank = h->series[slot].rank;
			ranks[rank / 64] |= UINT64_C(1) << rank % 64;
		}
	}
	s->sorted = !s->n;
	for (uint32_t word = 0; rc == HG_OK && word <= h->ordered / 64; word++)
		for (uint64_t left = ranks[word]; rc == HG_OK && left; left &= left - 1)
			if (!head_entry(
			            s, h->order[word * 64 + (uint32_t)__builtin_ctzll(left)], room))
				rc = HG_E_NOMEM;
	free(bits);
	free(ranks);
	return rc;
}

static int by_labels(const void *a, const void *b)
{
	return labels_compare(((const struct entry *)a)->ls, ((const struct entry *)b)->ls);
}

static enum hg_rc gather(struct tsdb_selection *s, const struct label_matcher *m, uint32_t n)
{
	struct tsdb *db = s->db;
	bool open = false;
	for (uint32_t i = 0; i < db->window_n; i++) {
		struct window *w = db->windows[i];
		if (!overlaps(w, s->from, s->to)) continue;
		if (!pin(s, w)) return HG_E_NOMEM;
		if (!w->closed) {
			open = true;
			continue;
		}
		enum hg_rc rc = gather_closed(s, w, m, n);
		if (rc != HG_OK) return rc;
	}
	enum hg_rc rc = open ? gather_head(s, m, n) : HG_OK;
	/* Windows mostly have the same series: then the first one's order is everybody's. */
	uint32_t i = 1;
	while (!s->sorted && i < s->n && by_labels(&s->at[i - 1], &s->at[i]) < 0)
		i++;
	if (rc == HG_OK && !s->sorted && i < s->n) qsort(s->at, s->n, sizeof *s->at, by_labels);
	return rc;
}

enum hg_rc tsdb_select_within(struct tsdb *db, const struct label_matcher *matchers, uint32_t n,
        int64_t from_ms, int64_t to_ms, const struct tsdb_select_limits *limits,
        struct tsdb_selection **ret_selection, struct hg_err *err)
{
	*ret_selection = NULL;
	struct tsdb_selection *s = calloc(1, sizeof *s);
	if (!s) return hg_err_set(err, HG_E_NOMEM, "out of memory");
	*s = (struct tsdb_selection){.db = db, .from = from_ms, .to = to_ms, .limits = *limits};
	if (!limits->bytes || limits->bytes > TSDB_SELECT_BYTES)
		s->limits.bytes = TSDB_SELECT_BYTES;
	hg_arena_init(&s->arena, "tsdb selection", s->limits.bytes);
	db->selections++;
	enum hg_rc rc = gather(s, matchers, n);
	if (rc == HG_OK) {
		*ret_selection = s;
		return HG_OK;
	}
	if (tsdb_selection_bytes(s) >= s->limits.bytes / 2) rc = HG_E_TOO_LARGE;
	tsdb_selection_free(s);
	if (limits->series && rc == HG_E_TOO_LARGE)
		return hg_err_set(err, rc, "more than %u series are selected", limits->series);
	return hg_err_set(err, rc, "the selection of series does not fit in memory");
}

enum hg_rc tsdb_select(struct tsdb *db, const struct label_matcher *matchers, uint32_t n,
        int64_t from_ms, int64_t to_ms, struct tsdb_selection **ret_selection, struct hg_err *err)
{
	static const struct tsdb_select_limits none;
	return tsdb_select_within(db, matchers, n, from_ms, to_ms, &none, ret_selection, err);
}

void tsdb_selection_free(struct tsdb_selection *s)
{
	if (!s) return;
	for (uint32_t i = 0; i < s->pinned_n; i++) {
		struct window *w = s->pinned[i];
		if (!--w->pins && w->gone) window_free(w);
	}
	s->db->selections--;
	free(s->pinned);
	free(s->table);
	free(s->at);
	hg_arena_fini(&s->arena);
	free(s);
}

uint32_t tsdb_selection_count(const struct tsdb_selection *s)
{
	return s->n;
}

struct labels tsdb_selection_labels(const struct tsdb_selection *s, uint32_t i)
{
	HG_ASSERT(i < s->n);
	return s->at[i].ls;
}

tsdb_ref tsdb_selection_ref(const struct tsdb_selection *s, uint32_t i)
{
	HG_ASSERT(i < s->n);
	const struct entry *e = &s->at[i];
	return e->slot == TSDB_NONE ? 0 : (tsdb_ref)e->generation << 32 | e->slot;
}

/* ------------------------------------------------------------------ reading */

struct reading {
	struct tsdb *db;
	struct tsdb_samples *out;
	int64_t from, to;
	bool mixed, failed; /* mixed: not by rising time */
	bool late;          /* chunks of late samples are read now, the others were before */
	bool any_late;      /* there are some */
};

static bool samples_room(struct tsdb_samples *out, size_t more)
{
	if (out->n + more <= out->cap) return true;
	size_t cap = HG_MAX(out->cap + out->cap / 2, out->n + more + 64);
	int64_t *t = realloc(out->t, cap * sizeof *t);
	if (!t) return false;
	out->t = t;
	double *v = realloc(out->v, cap * sizeof *v);
	if (!v) return false;
	out->v = v;
	out->cap = cap;
	return true;
}

/* n samples were put behind out->n. */
static void reading_took(struct reading *r, uint32_t n)
{
	struct tsdb_samples *out = r->out;
	if (n && out->n && out->t[out->n] <= out->t[out->n - 1]) r->mixed = true;
	out->n += n;
}

static bool reading_chunk(void *arg, const struct record *record)
{
	struct reading *r = arg;
	r->any_late |= record->late;
	if (record->late != r->late) return true;
	struct tsdb_samples *out = r->out;
	uint32_t n;
	if (!samples_room(out, CODEC_CHUNK_MAX)) {
		r->failed = true;
		return false;
	}
	if (!chunk_decode_part(record->payload, record->min_ms, r->from, r->to, out->t + out->n,
	            out->v + out->n, &n))
		r->db->stats.damaged++;
	reading_took(r, n);
	return true;
}

static void reading_open(struct reading *r, const struct series *s)
{
	struct tsdb_samples *out = r->out;
	if (s->open.t < r->from || s->open.first_t > r->to) return;
	if (!samples_room(out, s->open.count)) {
		r->failed = true;
		return;
	}
	reading_took(
	        r, stream_read_part(&s->open, r->from, r->to, out->t + out->n, out->v + out->n));
}

/* What came late stands by time. */
static void reading_late(struct reading *r, const struct late *l)
{
	struct tsdb_samples *out = r->out;
	uint32_t first = 0, n = l->n;
	while (n && l->t[n - 1] > r->to)
		n--;
	while (first < n && l->t[first] < r->from)
		first++;
	n -= first;
	if (!n) return;
	if (!samples_room(out, n)) {
		r->failed = true;
		return;
	}
	memcpy(out->t + out->n, l->t + first, n * sizeof *l->t);
	memcpy(out->v + out->n, l->v + first, n * sizeof *l->v);
	reading_took(r, n);
}

/* By time; of several with one time the first that came stays. Merging keeps their order. */
static bool samples_sort(struct tsdb_samples *s)
{
	size_t n = s->n;
	int64_t *t = malloc(n * sizeof *t), *from_t = s->t, *to_t = t;
	double *v = malloc(n * sizeof *v), *from_v = s->v, *to_v = v;
	if (!t || !v) {
		free(t);
		free(v);
		return false;
	}
	for (size_t width = 1; width < n; width *= 2) {
		for (size_t low = 0; low < n; low += 2 * width) {
			size_t a = low, mid = HG_MIN(low + width, n), b = mid;
			size_t high = HG_MIN(low + 2 * width, n);
			for (size_t k = low; k < high; k++) {
				bool left = a < mid && (b >= high || from_t[a] <= from_t[b]);
				size_t i = left ? a++ : b++;
				to_t[k] = from_t[i];
				to_v[k] = from_v[i];
			}
		}
		int64_t *swap_t = from_t;
		double *swap_v = from_v;
		from_t = to_t;
		to_t = swap_t;
		from_v = to_v;
		to_v = swap_v;
	}
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		if (kept && s->t[kept - 1] == from_t[i] && i) continue;
		int64_t time = from_t[i];
		double value = from_v[i];
		s->t[kept] = time;
		s->v[kept++] = value;
	}
	s->n = kept;
	free(t);
	free(v);
	return true;
}

static void reading_chunks(struct reading *r, const struct source *at)
{
	if (!window_chunks(r->db, at->window, at->id, r->from, r->to, reading_chunk, r) &&
	        !r->failed && !r->late)
		r->db->stats.damaged++;
}

/*
 * One series in one window. Late samples come behind the others, and what came first of them is
 * read first: where several have one time, the sort that follows keeps the first, today and once
 * chunks that are open now stand in the file.
 */
static bool reading_source(struct reading *r, const struct source *at, const struct series *s)
{
	const struct window *w = at->window;
	r->late = r->any_late = false;
	reading_chunks(r, at);
	if (s && s->window == w && s->open.count) reading_open(r, s);
	r->late = true;
	if (r->any_late && !r->failed) reading_chunks(r, at);
	if (s && s->late && s->late->window == w && !r->failed) reading_late(r, s->late);
	return !r->failed;
}

enum hg_rc tsdb_selection_read(struct tsdb_selection *s, uint32_t i, int64_t from_ms, int64_t to_ms,
        struct tsdb_samples *out)
{
	HG_ASSERT(i < s->n);
	const struct entry *e = &s->at[i];
	struct tsdb *db = s->db;
	struct reading r = {
	        .db = db, .out = out, .from = HG_MAX(from_ms, s->from), .to = HG_MIN(to_ms, s->to)};
	out->n = 0;
	for (const struct source *at = e->first; at; at = at->next) {
		const struct series *series = NULL;
		if (!overlaps(at->window, r.from, r.to)) continue;
		if (e->slot != TSDB_NONE && !at->window->closed) series = &db->head.series[e->slot];
		if (series && (!series->used || series->generation != e->generation)) series = NULL;
		if (!reading_source(&r, at, series)) return HG_E_NOMEM;
	}
	if (r.mixed && !samples_sort(out)) return HG_E_NOMEM;
	return HG_OK;
}

void tsdb_samples_free(struct tsdb_samples *s)
{
	free(s->t);
	free(s->v);
	*s = (struct tsdb_samples){0};
}

/* ------------------------------------------------------------------ names and values */

static int by_text(const void *a, const void *b)
{
	return label_text_compare(*(const struct hg_str *)a, *(const struct hg_str *)b);
}

struct texts {
	struct hg_str *at;
	uint32_t n, cap;
};

static bool texts_add(struct texts *to, struct hg_str text)
{
	if (to->n && hg_str_eq(to->at[to->n - 1], text)) return true;
	if (!tsdb_grow(&to->at, &to->cap, to->n + 1, sizeof *to->at)) return false;
	to->at[to->n++] = text;
	return true;
}

/* Sorts, drops doubles; the texts are copied into the arena. */
static enum hg_rc texts_give(
        struct texts *all, struct hg_arena *arena, struct hg_str **ret_at, uint32_t *ret_n)
{
	uint32_t n = 0;
	if (all->n) qsort(all->at, all->n, sizeof *all->at, by_text);
	for (uint32_t i = 0; i < all->n; i++)
		if (!n || !hg_str_eq(all->at[n - 1], all->at[i])) all->at[n++] = all->at[i];
	struct hg_str *at = hg_arena_array(arena, n ? n : 1, sizeof *at);
	for (uint32_t i = 0; at && i < n; i++) {
		at[i] = hg_arena_str(arena, all->at[i]);
		if (!at[i].p) at = NULL;
	}
	*ret_at = at;
	*ret_n = at ? n : 0;
	return at ? HG_OK : HG_E_NOMEM;
}

static bool catalog_texts(struct catalog c, struct hg_str name, struct texts *to)
{
	uint32_t symbol;
	if (!name.n) {
		for (uint32_t i = 0; c.ops->name(c.self, i, &symbol); i++)
			if (!texts_add(to, c.ops->text(c.self, symbol))) return false;
		return true;
	}
	uint32_t of = c.ops->symbol(c.self, name);
	if (of == TSDB_NONE) return true;
	for (uint32_t i = 0; c.ops->value(c.self, of, i, &symbol); i++)
		if (!texts_add(to, c.ops->text(c.self, symbol))) return false;
	return true;
}

/* Without matchers the postings know; with them the series are looked at. `name` empty: names. */
static enum hg_rc texts_find(struct tsdb *db, struct hg_str name, const struct label_matcher *m,
        uint32_t n, int64_t from, int64_t to, struct texts *all)
{
	struct tsdb_selection *s = NULL;
	bool head = false;
	for (uint32_t i = 0; !n && i < db->window_n; i++) {
		struct window *w = db->windows[i];
		if (!overlaps(w, from, to)) continue;
		if (!w->closed)
			head = true;
		else if (index_ready(db, w) &&
		         !catalog_texts((struct catalog){&index_catalog, w}, name, all))
			return HG_E_NOMEM;
	}
	if (!n) {
		struct catalog c = {&head_catalog, &db->head};
		return !head || catalog_texts(c, name, all) ? HG_OK : HG_E_NOMEM;
	}
	enum hg_rc rc = tsdb_select(db, m, n, from, to, &s, NULL);
	if (rc != HG_OK || !s) return rc;
	for (uint32_t i = 0; rc == HG_OK && i < s->n; i++) {
		for (uint32_t k = 0; rc == HG_OK && k < s->at[i].ls.n; k++) {
			const struct label *l = &s->at[i].ls.at[k];
			if (name.n && !hg_str_eq(l->name, name)) continue;
			if (!texts_add(all, name.n ? l->value : l->name)) rc = HG_E_NOMEM;
		}
		/* Names repeat with every series: now and then doubles go. */
		if (all->n < 100000 || name.n) continue;
		qsort(all->at, all->n, sizeof *all->at, by_text);
		uint32_t kept = 0;
		for (uint32_t k = 0; k < all->n; k++)
			if (!kept || !hg_str_eq(all->at[kept - 1], all->at[k]))
				all->at[kept++] = all->at[k];
		all->n = kept;
	}
	tsdb_selection_free(s);
	return rc;
}

static enum hg_rc texts_ask(struct tsdb *db, struct hg_str name, const struct label_matcher *m,
        uint32_t n, int64_t from, int64_t to, struct hg_arena *arena, struct hg_str **ret_at,
        uint32_t *ret_n)
{
	struct texts all = {0};
	*ret_at = NULL;
	*ret_n = 0;
	enum hg_rc rc = texts_find(db, name, m, n, from, to, &all);
	if (rc == HG_OK) rc = texts_give(&all, arena, ret_at, ret_n);
	free(all.at);
	return rc;
}

enum hg_rc tsdb_label_names(struct tsdb *db, const struct label_matcher *matchers, uint32_t n,
        int64_t from_ms, int64_t to_ms, struct hg_arena *arena, struct hg_str **ret_names,
        uint32_t *ret_n)
{
	return texts_ask(
	        db, (struct hg_str){0}, matchers, n, from_ms, to_ms, arena, ret_names, ret_n);
}

enum hg_rc tsdb_label_values(struct tsdb *db, struct hg_str name,
        const struct label_matcher *matchers, uint32_t n, int64_t from_ms, int64_t to_ms,
        struct hg_arena *arena, struct hg_str **ret_values, uint32_t *ret_n)
{
	return texts_ask(db, name, matchers, n, from_ms, to_ms, arena, ret_values, ret_n);
}
