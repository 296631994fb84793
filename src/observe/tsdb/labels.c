#include "observe/tsdb/labels.h"

#include <stdlib.h>

#include "wire/re.h"

int label_text_compare(struct hg_str a, struct hg_str b)
{
	size_t n = HG_MIN(a.n, b.n);
	int c = n ? memcmp(a.p, b.p, n) : 0;
	if (c) return c;
	return (a.n > b.n) - (a.n < b.n);
}

struct hg_str labels_get(struct labels ls, struct hg_str name)
{
	for (uint32_t i = 0; i < ls.n; i++)
		if (hg_str_eq(ls.at[i].name, name)) return ls.at[i].value;
	return (struct hg_str){0};
}

int labels_compare(struct labels a, struct labels b)
{
	uint32_t n = HG_MIN(a.n, b.n);
	for (uint32_t i = 0; i < n; i++) {
		int c = label_text_compare(a.at[i].name, b.at[i].name);
		if (!c) c = label_text_compare(a.at[i].value, b.at[i].value);
		if (c) return c;
	}
	return (a.n > b.n) - (a.n < b.n);
}

uint32_t labels_place(const void *items, uint32_t n, size_t size, struct labels ls, bool *ret_found)
{
	uint32_t low = 0, high = n;
	*ret_found = false;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct labels *at = (const void *)((const char *)items + mid * size);
		int c = labels_compare(*at, ls);
		if (c == 0) {
			*ret_found = true;
			return mid;
		}
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool labels_equal(struct labels a, struct labels b)
{
	if (a.n != b.n) return false;
	for (uint32_t i = 0; i < a.n; i++)
		if (!hg_str_eq(a.at[i].name, b.at[i].name) ||
		        !hg_str_eq(a.at[i].value, b.at[i].value))
			return false;
	return true;
}

/* Multiply and fold, eight bytes at a time; the length goes in first, so no two texts run into
 * each other. */
static uint64_t hash_mix(uint64_t h, uint64_t word)
{
	__uint128_t wide = (__uint128_t)(h ^ word) * 0x9e3779b97f4a7c15ull;
	return (uint64_t)wide ^ (uint64_t)(wide >> 64);
}

static uint64_t hash_text(uint64_t h, struct hg_str s)
{
	uint64_t word;
	h = hash_mix(h, s.n + 0x51ed270b35ae1f4dull);
	for (; s.n >= 8; s.p += 8, s.n -= 8) {
		memcpy(&word, s.p, 8);
		h = hash_mix(h, word);
	}
	if (!s.n) return h;
	word = 0;
	memcpy(&word, s.p, s.n);
	return hash_mix(h, word);
}

#define HASH_START 0x2545f4914f6cdd1dull

static uint64_t hash_label(uint64_t h, const struct label *l)
{
	return hash_text(hash_text(h, l->name), l->value);
}

static bool is_among(struct hg_str name, const struct hg_str *names, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (hg_str_eq(name, names[i])) return true;
	return false;
}

uint64_t labels_hash(struct labels ls)
{
	uint64_t h = HASH_START;
	for (uint32_t i = 0; i < ls.n; i++)
		h = hash_label(h, &ls.at[i]);
	return h;
}

uint64_t labels_hash_on(struct labels ls, const struct hg_str *names, uint32_t n)
{
	uint64_t h = HASH_START;
	for (uint32_t i = 0; i < ls.n; i++)
		if (is_among(ls.at[i].name, names, n)) h = hash_label(h, &ls.at[i]);
	return h;
}

uint64_t labels_hash_without(struct labels ls, const struct hg_str *names, uint32_t n)
{
	uint64_t h = HASH_START;
	for (uint32_t i = 0; i < ls.n; i++) {
		if (hg_str_eq(ls.at[i].name, LABEL_METRIC)) continue;
		if (!is_among(ls.at[i].name, names, n)) h = hash_label(h, &ls.at[i]);
	}
	return h;
}

bool labels_valid(struct labels ls)
{
	for (uint32_t i = 0; i < ls.n; i++) {
		if (!ls.at[i].name.n || !ls.at[i].value.n) return false;
		if (i && label_text_compare(ls.at[i - 1].name, ls.at[i].name) >= 0) return false;
	}
	return ls.n <= LABELS_MAX;
}

/* ------------------------------------------------------------------ text */

static bool is_identifier(struct hg_str s, bool colon)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		             (colon && c == ':');
		if (!alpha && !(i && c >= '0' && c <= '9')) return false;
	}
	return s.n > 0;
}

/* Bytes of the UTF-8 character at `p`, 0 when it is none. */
static size_t utf8_here(const char *p, size_t left)
{
	for (size_t n = 2; n <= 4 && n <= left; n++)
		if (hg_utf8_valid((struct hg_str){p, n})) return n;
	return 0;
}

void label_text_quote(struct hg_buf *to, struct hg_str s)
{
	static const char named[] = "abtnvfr"; /* \a is 7, and so on */
	hg_buf_byte(to, '"');
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		size_t n = 1;
		if (c == '"' || c == '\\') {
			hg_buf_byte(to, '\\');
			hg_buf_byte(to, (char)c);
		} else if (c >= 7 && c <= 13) {
			hg_buf_byte(to, '\\');
			hg_buf_byte(to, named[c - 7]);
		} else if (c < 0x20 || c == 0x7f) {
			hg_buf_fmt(to, "\\x%02x", c);
		} else if (c < 0x80) {
			hg_buf_byte(to, (char)c);
		} else if ((n = utf8_here(s.p + i, s.n - i))) {
			hg_buf_str(to, (struct hg_str){s.p + i, n});
		} else {
			hg_buf_fmt(to, "\\x%02x", c);
			n = 1;
		}
		i += n;
	}
	hg_buf_byte(to, '"');
}

void labels_print(struct hg_buf *to, struct labels ls)
{
	struct hg_str metric = labels_get(ls, LABEL_METRIC);
	bool plain = is_identifier(metric, true), first = true;
	if (plain) hg_buf_str(to, metric);
	if (plain && ls.n == 1) return;
	hg_buf_byte(to, '{');
	if (metric.n && !plain) {
		label_text_quote(to, metric);
		first = false;
	}
	for (uint32_t i = 0; i < ls.n; i++) {
		const struct label *l = &ls.at[i];
		if (hg_str_eq(l->name, LABEL_METRIC)) continue;
		if (!first) hg_buf_cstr(to, ", ");
		first = false;
		if (is_identifier(l->name, false))
			hg_buf_str(to, l->name);
		else
			label_text_quote(to, l->name);
		hg_buf_byte(to, '=');
		label_text_quote(to, l->value);
	}
	hg_buf_byte(to, '}');
}

/* ------------------------------------------------------------------ copies */

static size_t labels_text_bytes(struct labels ls)
{
	size_t n = 0;
	for (uint32_t i = 0; i < ls.n; i++)
		n += ls.at[i].name.n + ls.at[i].value.n;
	return n;
}

/* `to` has room for the pairs and their text behind them. */
static struct labels labels_lay_down(struct label *to, struct labels ls)
{
	char *text = (char *)(to + ls.n);
	for (uint32_t i = 0; i < ls.n; i++) {
		const struct hg_str *from[2] = {&ls.at[i].name, &ls.at[i].value};
		struct hg_str *copy[2] = {&to[i].name, &to[i].value};
		for (int k = 0; k < 2; k++) {
			if (from[k]->n) memcpy(text, from[k]->p, from[k]->n);
			*copy[k] = (struct hg_str){text, from[k]->n};
			text += from[k]->n;
		}
	}
	return (struct labels){to, ls.n};
}

enum hg_rc labels_copy(struct hg_arena *a, struct labels ls, struct labels *ret_copy)
{
	*ret_copy = (struct labels){0};
	if (!ls.n) return HG_OK;
	void *to = hg_arena_take(a, ls.n * sizeof(struct label) + labels_text_bytes(ls));
	if (!to) return HG_E_NOMEM;
	*ret_copy = labels_lay_down(to, ls);
	return HG_OK;
}

enum hg_rc labels_clone(struct labels ls, struct labels *ret_copy)
{
	*ret_copy = (struct labels){0};
	if (!ls.n) return HG_OK;
	void *to = malloc(ls.n * sizeof(struct label) + labels_text_bytes(ls));
	if (!to) return HG_E_NOMEM;
	*ret_copy = labels_lay_down(to, ls);
	return HG_OK;
}

void labels_free(struct labels owned)
{
	free((void *)(uintptr_t)owned.at);
}

/* ------------------------------------------------------------------ builder */

void labels_builder_init(struct labels_builder *b)
{
	*b = (struct labels_builder){0};
}

void labels_builder_fini(struct labels_builder *b)
{
	free(b->at);
	*b = (struct labels_builder){0};
}

void labels_builder_reset(struct labels_builder *b)
{
	b->n = 0;
	b->sorted = b->failed = false;
}

void labels_builder_add(struct labels_builder *b, struct hg_str name, struct hg_str value)
{
	if (b->failed) return;
	if (b->n == b->cap) {
		uint32_t cap = HG_MAX(b->cap * 2, 16u);
		struct label *p = b->n < LABELS_MAX ? realloc(b->at, cap * sizeof *p) : NULL;
		if (!p) {
			b->failed = true;
			return;
		}
		b->at = p;
		b->cap = cap;
	}
	b->at[b->n++] = (struct label){name, value};
	b->sorted = false;
}

void labels_builder_from(struct labels_builder *b, struct labels ls)
{
	labels_builder_reset(b);
	for (uint32_t i = 0; i < ls.n; i++)
		labels_builder_add(b, ls.at[i].name, ls.at[i].value);
	b->sorted = !b->failed;
}

void labels_builder_set(struct labels_builder *b, struct hg_str name, struct hg_str value)
{
	if (!value.n) {
		labels_builder_drop(b, name);
		return;
	}
	bool found = false;
	/* All of them: labels_builder_add may have brought the name more than once. */
	for (uint32_t i = 0; i < b->n; i++) {
		if (!hg_str_eq(b->at[i].name, name)) continue;
		b->at[i].value = value;
		found = true;
	}
	if (!found) labels_builder_add(b, name, value);
}

void labels_builder_drop(struct labels_builder *b, struct hg_str name)
{
	labels_builder_drop_all(b, &name, 1);
}

static void builder_filter(
        struct labels_builder *b, const struct hg_str *names, uint32_t n, bool keep)
{
	uint32_t to = 0;
	for (uint32_t i = 0; i < b->n; i++)
		if (is_among(b->at[i].name, names, n) == keep) b->at[to++] = b->at[i];
	b->n = to;
}

void labels_builder_keep_only(struct labels_builder *b, const struct hg_str *names, uint32_t n)
{
	builder_filter(b, names, n, true);
}

void labels_builder_drop_all(struct labels_builder *b, const struct hg_str *names, uint32_t n)
{
	builder_filter(b, names, n, false);
}

struct hg_str labels_builder_get(struct labels_builder *b, struct hg_str name)
{
	for (uint32_t i = b->n; i-- > 0;)
		if (hg_str_eq(b->at[i].name, name)) return b->at[i].value;
	return (struct hg_str){0};
}

/* Few labels, mostly in order: insertion keeps the order of doubles and needs no memory. */
static void builder_sort(struct labels_builder *b)
{
	for (uint32_t i = 1; i < b->n; i++) {
		struct label l = b->at[i];
		uint32_t k = i;
		for (; k && label_text_compare(b->at[k - 1].name, l.name) > 0; k--)
			b->at[k] = b->at[k - 1];
		b->at[k] = l;
	}
}

enum hg_rc labels_builder_done(struct labels_builder *b, struct labels *ret_ls)
{
	*ret_ls = (struct labels){0};
	if (b->failed) return b->n < LABELS_MAX ? HG_E_NOMEM : HG_E_TOO_LARGE;
	if (!b->sorted) builder_sort(b);
	b->sorted = true;
	uint32_t to = 0;
	for (uint32_t i = 0; i < b->n; i++) {
		bool again = i + 1 < b->n && hg_str_eq(b->at[i].name, b->at[i + 1].name);
		if (!again && b->at[i].value.n) b->at[to++] = b->at[i];
	}
	b->n = to;
	*ret_ls = (struct labels){b->at, b->n};
	return HG_OK;
}

/* ------------------------------------------------------------------ matchers */

bool label_matcher_matches(const struct label_matcher *m, struct hg_str value)
{
	if (m->op == LABEL_EQ) return hg_str_eq(m->value, value);
	if (m->op == LABEL_NE) return !hg_str_eq(m->value, value);
	return re_match(m->re, value) == (m->op == LABEL_RE);
}

bool label_matchers_match(const struct label_matcher *m, uint32_t n, struct labels ls)
{
	for (uint32_t i = 0; i < n; i++)
		if (!label_matcher_matches(&m[i], labels_get(ls, m[i].name))) return false;
	return true;
}
