#include "observe/tsdb/file_priv.h"

#include "base/crc32c.h"

/* ------------------------------------------------------------------ looking at it */

bool index_valid(const uint8_t *p, size_t n, struct index_view *ret_view)
{
	uint32_t head[INDEX_HEAD];
	struct index_view v = {.p = p, .n = n};
	if (n < sizeof head || (uintptr_t)p % 4) return false;
	memcpy(head, p, sizeof head);
	v.symbols = head[1];
	v.series = head[2];
	v.names = head[3];
	v.values = head[4];
	v.text_n = head[5];
	v.entries_n = head[6];
	v.postings_n = head[7];
	uint64_t words = (uint64_t)v.symbols + 1 + v.series + 1 + 2 * ((uint64_t)v.names + 1) +
	                 3 * ((uint64_t)v.values + 1);
	if (head[0] != MAGIC_INDEX ||
	        sizeof head + words * 4 + v.text_n + v.entries_n + (uint64_t)v.postings_n != n)
		return false;
	v.symbol_at = (const uint32_t *)(const void *)(p + sizeof head);
	v.series_at = v.symbol_at + v.symbols + 1;
	v.name_at = v.series_at + v.series + 1;
	v.value_at = v.name_at + 2 * ((size_t)v.names + 1);
	v.text = (const uint8_t *)(v.value_at + 3 * ((size_t)v.values + 1));
	v.entries = v.text + v.text_n;
	v.postings = v.entries + v.entries_n;
	*ret_view = v;
	return true;
}

bool index_ready(struct tsdb *db, struct window *w)
{
	struct index_view v;
	if (w->checked) return !w->broken;
	w->checked = true;
	w->broken = true;
	if (window_map(w, w->size) &&
	        w->index.crc == hg_crc32c(0, w->map + w->index.at, w->index.n) &&
	        index_valid(w->map + w->index.at, w->index.n, &v)) {
		v.at = w->index.at;
		v.crc = w->index.crc;
		w->index = v;
		w->broken = false;
	} else {
		db->stats.damaged++;
		w->rebuild = true;
	}
	return !w->broken;
}

/* ------------------------------------------------------------------ as a catalog */

static const struct index_view *view_of(void *self)
{
	return &((struct window *)self)->index;
}

static struct hg_str i_text(void *self, uint32_t symbol)
{
	const struct index_view *v = view_of(self);
	if (symbol >= v->symbols) return (struct hg_str){0};
	uint32_t from = v->symbol_at[symbol], to = v->symbol_at[symbol + 1];
	if (from > to || to > v->text_n) return (struct hg_str){0};
	return (struct hg_str){(const char *)v->text + from, to - from};
}

static uint32_t i_symbol(void *self, struct hg_str text)
{
	uint32_t low = 0, high = view_of(self)->symbols;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int c = label_text_compare(i_text(self, mid), text);
		if (!c) return mid;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return TSDB_NONE;
}

static uint32_t i_symbols(void *self)
{
	return view_of(self)->symbols;
}

static uint32_t i_series(void *self)
{
	return view_of(self)->series;
}

static struct span entry_of(const struct index_view *v, uint32_t series)
{
	uint32_t from = v->series_at[series], to = v->series_at[series + 1];
	if (from > to || to > v->entries_n) return (struct span){.bad = true};
	return (struct span){.p = v->entries + from, .end = v->entries + to};
}

static uint32_t i_pairs(void *self, uint32_t series, uint32_t *room, const uint32_t **ret_pairs)
{
	const struct index_view *v = view_of(self);
	if (series >= v->series) return 0;
	struct span in = entry_of(v, series);
	uint64_t n = in.bad ? 0 : span_varint(&in);
	*ret_pairs = room;
	if (in.bad || n > LABELS_MAX) return 0;
	for (uint64_t i = 0; i < 2 * n; i++) {
		uint64_t symbol = span_varint(&in);
		if (in.bad || symbol >= v->symbols) return 0;
		room[i] = (uint32_t)symbol;
	}
	return (uint32_t)n;
}

/* The place of a name among names, by its symbol. */
static uint32_t name_find(const struct index_view *v, uint32_t name)
{
	uint32_t low = 0, high = v->names;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (v->name_at[2 * mid] < name)
			low = mid + 1;
		else
			high = mid;
	}
	return low < v->names && v->name_at[2 * low] == name ? low : TSDB_NONE;
}

static bool values_of(
        const struct index_view *v, uint32_t name, uint32_t *ret_from, uint32_t *ret_to)
{
	uint32_t i = name_find(v, name);
	if (i == TSDB_NONE) return false;
	*ret_from = v->name_at[2 * i + 1];
	*ret_to = v->name_at[2 * i + 3];
	return *ret_from <= *ret_to && *ret_to <= v->values;
}

static bool i_value(void *self, uint32_t name, uint32_t i, uint32_t *ret_symbol)
{
	const struct index_view *v = view_of(self);
	uint32_t from, to;
	if (!values_of(v, name, &from, &to) || i >= to - from) return false;
	*ret_symbol = v->value_at[3 * (from + i)];
	return *ret_symbol < v->symbols;
}

static uint32_t i_posting(void *self, uint32_t name, uint32_t value, uint32_t *to)
{
	const struct index_view *v = view_of(self);
	uint32_t low, high, end;
	if (!values_of(v, name, &low, &end)) return 0;
	for (high = end; low < high;) {
		uint32_t mid = low + (high - low) / 2;
		if (v->value_at[3 * mid] < value)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == end || v->value_at[3 * low] != value) return 0;
	uint32_t at = v->value_at[3 * low + 1], n = v->value_at[3 * low + 2];
	if (at > v->postings_n || n > v->postings_n - at) return 0;
	struct span in = {.p = v->postings + at, .end = v->postings + v->postings_n};
	uint64_t series = 0;
	for (uint32_t i = 0; to && i < n; i++) {
		series += span_varint(&in);
		if (in.bad || series >= v->series) return i;
		to[i] = (uint32_t)series;
	}
	return n;
}

static bool i_name(void *self, uint32_t i, uint32_t *ret_symbol)
{
	const struct index_view *v = view_of(self);
	if (i >= v->names) return false;
	*ret_symbol = v->name_at[2 * i];
	return *ret_symbol < v->symbols;
}

const struct catalog_ops index_catalog = {
        i_symbol, i_text, i_symbols, i_series, i_pairs, i_value, i_posting, i_name};

/* ------------------------------------------------------------------ chunks */

bool index_chunks(struct window *w, uint32_t id, int64_t from, int64_t to,
        bool (*fn)(void *arg, const struct record *r), void *arg)
{
	const struct index_view *v = &w->index;
	if (id >= v->series) return false;
	struct span in = entry_of(v, id);
	uint64_t labels = in.bad ? 0 : span_varint(&in), place = 0, last = (uint64_t)w->start;
	span_skip(&in, labels);
	span_skip(&in, labels);
	uint64_t n = span_varint(&in);
	bool good = true;
	for (uint64_t i = 0; i < n && !in.bad; i++) {
		struct record r;
		place += (uint64_t)unzigzag(span_varint(&in));
		int64_t first = (int64_t)(last + (uint64_t)unzigzag(span_varint(&in)));
		last = (uint64_t)first + span_varint(&in);
		if (in.bad || first > to || (int64_t)last < from) continue;
		if (!window_at(w, place, &r)) {
			good = false;
			continue;
		}
		if (!fn(arg, &r)) return false;
	}
	return good && !in.bad;
}
