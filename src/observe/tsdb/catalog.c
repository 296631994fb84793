#include "observe/tsdb/tsdb_priv.h"

#include <stdlib.h>

#include "wire/re.h"

/* ------------------------------------------------------------------ the head's */

static uint32_t h_symbol(void *self, struct hg_str text)
{
	return head_symbol(self, text);
}

static struct hg_str h_text(void *self, uint32_t symbol)
{
	return head_text(self, symbol);
}

static uint32_t h_symbols(void *self)
{
	return ((struct head *)self)->symbols.n;
}

static uint32_t h_series(void *self)
{
	return ((struct head *)self)->n;
}

static uint32_t h_pairs(void *self, uint32_t slot, uint32_t *room, const uint32_t **ret_pairs)
{
	const struct series *s = &((struct head *)self)->series[slot];
	(void)room;
	*ret_pairs = s->pairs;
	return s->used ? s->n : 0;
}

static bool h_value(void *self, uint32_t name, uint32_t i, uint32_t *ret_symbol)
{
	const struct head_name *n = head_name(self, name);
	if (!n || i >= n->n) return false;
	*ret_symbol = ((struct head *)self)->postings[n->postings[i]].value;
	return true;
}

static uint32_t h_posting(void *self, uint32_t name, uint32_t value, uint32_t *to)
{
	const struct posting *p = head_posting(self, name, value);
	if (p && to && p->n) memcpy(to, p->slots, p->n * sizeof *to);
	return p ? p->n : 0;
}

static bool h_name(void *self, uint32_t i, uint32_t *ret_symbol)
{
	const struct head *h = self;
	if (i >= h->name_n) return false;
	*ret_symbol = h->names[i].name;
	return true;
}

const struct catalog_ops head_catalog = {
        h_symbol, h_text, h_symbols, h_series, h_pairs, h_value, h_posting, h_name};

/* ------------------------------------------------------------------ matching */

/* One matcher, as numbers of a catalog, with what is known of its values. */
struct test {
	const struct label_matcher *m;
	uint32_t name, value; /* TSDB_NONE: not in this catalog */
	bool empty;           /* matches a series without the label */
	bool certain;         /* met by the postings that were chosen */
	uint8_t *known;       /* two bits a symbol: looked at, matches */
	/* Of a regular expression that is a few texts: these, so that nothing is searched. */
	const struct hg_str *literals;
	size_t literal_n;
};

static bool value_matches(struct catalog c, struct test *t, uint32_t symbol)
{
	if (t->m->op == LABEL_EQ) return symbol == t->value;
	if (t->m->op == LABEL_NE) return symbol != t->value;
	unsigned shift = symbol % 4 * 2;
	uint8_t *at = &t->known[symbol / 4];
	if (!(*at >> shift & 1)) {
		bool yes = label_matcher_matches(t->m, c.ops->text(c.self, symbol));
		*at = (uint8_t)(*at | (1 + 2 * yes) << shift);
	}
	return *at >> shift & 2;
}

static bool tests_pass(
        struct catalog c, struct test *tests, uint32_t n, const uint32_t *pairs, uint32_t labels)
{
	for (uint32_t i = 0; i < n; i++) {
		struct test *t = &tests[i];
		uint32_t k = 0;
		if (t->certain) continue;
		while (k < labels && pairs[2 * k] != t->name)
			k++;
		if (k == labels ? !t->empty : !value_matches(c, t, pairs[2 * k + 1])) return false;
	}
	return true;
}

/* What is searched, and how many more values and series may be looked at for it. */
struct search {
	struct catalog c;
	struct test *tests;
	uint32_t n;
	uint64_t left;
};

static bool look(struct search *s)
{
	if (!s->left) return false;
	s->left--;
	return true;
}

/* The i-th value that a test matches; false behind the last, and when none may be looked at any
 * more. *ret_symbol may be TSDB_NONE. */
static bool test_value(struct search *s, struct test *t, uint32_t *i, uint32_t *ret_symbol)
{
	struct catalog c = s->c;
	if (t->m->op == LABEL_EQ) {
		*ret_symbol = t->value;
		return !(*i)++;
	}
	if (t->literals) {
		if (*i >= t->literal_n) return false;
		*ret_symbol = c.ops->symbol(c.self, t->literals[(*i)++]);
		return true;
	}
	while (look(s) && c.ops->value(c.self, t->name, (*i)++, ret_symbol))
		if (value_matches(c, t, *ret_symbol)) return true;
	return false;
}

/* How many series the postings of a test have; counting stops at `enough`. */
static uint64_t test_size(struct search *s, struct test *t, uint64_t enough)
{
	const struct catalog_ops *ops = s->c.ops;
	uint32_t symbol, i = 0;
	uint64_t size = 0;
	while (t->name != TSDB_NONE && size < enough && test_value(s, t, &i, &symbol))
		if (symbol != TSDB_NONE) size += ops->posting(s->c.self, t->name, symbol, NULL);
	return size;
}

static uint32_t test_read(struct search *s, struct test *t, uint32_t *to)
{
	const struct catalog_ops *ops = s->c.ops;
	uint32_t symbol, n = 0, i = 0;
	while (t->name != TSDB_NONE && test_value(s, t, &i, &symbol))
		if (symbol != TSDB_NONE) n += ops->posting(s->c.self, t->name, symbol, to + n);
	return n;
}

static enum hg_rc tests_init(
        struct catalog c, const struct label_matcher *m, uint32_t n, struct test *tests)
{
	for (uint32_t i = 0; i < n; i++) {
		struct test *t = &tests[i];
		*t = (struct test){.m = &m[i],
		        .name = c.ops->symbol(c.self, m[i].name),
		        .value = TSDB_NONE,
		        .empty = label_matcher_matches(&m[i], (struct hg_str){0})};
		if (m[i].op == LABEL_EQ || m[i].op == LABEL_NE) {
			if (m[i].value.n) t->value = c.ops->symbol(c.self, m[i].value);
			continue;
		}
		if (m[i].op == LABEL_RE && !re_literals(m[i].re, &t->literals, &t->literal_n))
			t->literals = NULL;
		t->known = calloc(c.ops->symbols(c.self) / 4 + 1, 1);
		if (!t->known) return HG_E_NOMEM;
	}
	return HG_OK;
}

/* The test whose postings are shortest; NULL when none has any (all also match "no label"). */
static struct test *tests_least(struct search *s, uint64_t *ret_size)
{
	struct test *best = NULL;
	*ret_size = UINT64_MAX;
	/* Equality first: what it costs is one look, and it bounds the others. */
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < s->n; i++) {
			struct test *t = &s->tests[i];
			if (t->empty || (t->m->op == LABEL_EQ) != (pass == 0)) continue;
			if (pass && best && *ret_size < 64) continue;
			uint64_t size = test_size(s, t, *ret_size);
			if (size >= *ret_size && best) continue;
			*ret_size = size;
			best = t;
		}
	}
	return best;
}

static enum hg_rc select_from(struct search *s, uint64_t *bits)
{
	struct catalog c = s->c;
	uint64_t size;
	uint32_t room[2 * LABELS_MAX], *list = NULL;
	const uint32_t *pairs;
	struct test *least = tests_least(s, &size);
	if (!least) size = c.ops->series(c.self);
	if (size > s->left) return HG_E_TOO_LARGE;
	if (least) {
		list = malloc((size ? size : 1) * sizeof *list);
		if (!list) return HG_E_NOMEM;
		size = test_read(s, least, list);
		least->certain = true;
	}
	for (uint64_t i = 0; i < size; i++) {
		uint32_t id = list ? list[i] : (uint32_t)i;
		uint32_t labels = 0;
		if (s->n > 1 || !list) {
			labels = c.ops->pairs(c.self, id, room, &pairs);
			if (!labels || !tests_pass(c, s->tests, s->n, pairs, labels)) continue;
		}
		bits[id / 64] |= UINT64_C(1) << id % 64;
	}
	free(list);
	/* What was left out for want of looks is not told from what is not there. */
	return s->left ? HG_OK : HG_E_TOO_LARGE;
}

enum hg_rc catalog_select(struct catalog c, const struct label_matcher *m, uint32_t n,
        uint64_t looks, uint64_t **ret_bits)
{
	struct search s = {.c = c, .tests = calloc(n + 1, sizeof *s.tests), .n = n, .left = looks};
	uint64_t *bits = calloc(c.ops->series(c.self) / 64 + 1, sizeof *bits);
	enum hg_rc rc = s.tests && bits ? tests_init(c, m, n, s.tests) : HG_E_NOMEM;
	if (rc == HG_OK) rc = select_from(&s, bits);
	for (uint32_t i = 0; s.tests && i < n; i++)
		free(s.tests[i].known);
	free(s.tests);
	if (rc != HG_OK) {
		free(bits);
		bits = NULL;
	}
	*ret_bits = bits;
	return rc;
}
