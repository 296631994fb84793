/* Patterns that need no automaton: literals, lists of them, prefix, suffix, part. */
#include "wire/re_priv.h"

#include <stdlib.h>

#define PRODUCT_COUNT_MAX 1024u
#define PRODUCT_BYTES_MAX 8192u

/* Texts as ends in one buffer. */
struct texts {
	struct hg_buf bytes;
	uint32_t *end;
	uint32_t n, cap;
};

enum finding { FOUND, TOO_MANY, NO_MEMORY };

static void texts_free(struct texts *t)
{
	hg_buf_free(&t->bytes);
	free(t->end);
}

static void texts_init(struct texts *t, size_t max)
{
	*t = (struct texts){0};
	hg_buf_init(&t->bytes, max);
}

static struct hg_str text_at(const struct texts *t, uint32_t i)
{
	uint32_t from = i ? t->end[i - 1] : 0;
	return (struct hg_str){t->bytes.p ? t->bytes.p + from : "", t->end[i] - from};
}

static enum finding add(struct texts *t, struct hg_str a, struct hg_str b)
{
	if (t->n == t->cap) {
		uint32_t cap = t->cap ? t->cap * 2 : 8;
		uint32_t *end = realloc(t->end, cap * sizeof *end);
		if (!end) return NO_MEMORY;
		t->end = end;
		t->cap = cap;
	}
	hg_buf_str(&t->bytes, a);
	hg_buf_str(&t->bytes, b);
	if (t->bytes.failed) return t->bytes.n + a.n + b.n > t->bytes.max ? TOO_MANY : NO_MEMORY;
	t->end[t->n++] = (uint32_t)t->bytes.n;
	return FOUND;
}

static enum finding collect(const struct re_node *n, struct texts *to, size_t max);

/* *acc becomes all its texts followed by each of `with`. */
static enum finding product(struct texts *acc, const struct texts *with, size_t max)
{
	struct texts out;
	enum finding f = FOUND;
	if (with->n == 1 && text_at(with, 0).n == 0) return FOUND;
	if ((uint64_t)acc->n * with->n > PRODUCT_COUNT_MAX) return TOO_MANY;
	if (acc->n > 1 || with->n > 1) max = HG_MIN(max, (size_t)PRODUCT_BYTES_MAX);
	texts_init(&out, max);
	for (uint32_t i = 0; i < acc->n && f == FOUND; i++)
		for (uint32_t k = 0; k < with->n && f == FOUND; k++)
			f = add(&out, text_at(acc, i), text_at(with, k));
	texts_free(acc);
	*acc = out;
	return f;
}

static enum finding run_of_runes(
        const struct re_node *n, uint32_t *i, struct texts *with, size_t max)
{
	struct hg_buf run;
	enum finding f;
	hg_buf_init(&run, max);
	for (; *i < n->n && n->kids[*i]->kind == RE_RUNE; ++*i) {
		char c[4];
		hg_buf_str(&run, (struct hg_str){c, re_utf8_put(n->kids[*i]->value, c)});
	}
	f = run.failed ? TOO_MANY : add(with, hg_buf_view(&run), HG_STR(""));
	hg_buf_free(&run);
	return f;
}

static enum finding collect_cat(const struct re_node *n, struct texts *to, size_t max)
{
	struct texts acc;
	enum finding f;
	texts_init(&acc, max);
	f = add(&acc, HG_STR(""), HG_STR(""));
	for (uint32_t i = 0; i < n->n && f == FOUND;) {
		struct texts with;
		texts_init(&with, max);
		if (n->kids[i]->kind == RE_RUNE)
			f = run_of_runes(n, &i, &with, max);
		else
			f = collect(n->kids[i++], &with, max);
		if (f == FOUND) f = product(&acc, &with, max);
		texts_free(&with);
	}
	for (uint32_t i = 0; i < acc.n && f == FOUND; i++)
		f = add(to, text_at(&acc, i), HG_STR(""));
	texts_free(&acc);
	return f;
}

static enum finding collect_set(const struct re_node *n, struct texts *to)
{
	uint32_t count = 0;
	enum finding f = FOUND;
	for (uint32_t i = 0; i < n->n && count <= PRODUCT_COUNT_MAX; i++)
		count += n->set[i].hi - n->set[i].lo + 1;
	if (count > 128) return TOO_MANY;
	for (uint32_t i = 0; i < n->n; i++) {
		for (uint32_t r = n->set[i].lo; r <= n->set[i].hi && f == FOUND; r++) {
			char c[4];
			if (r >= 0xd800 && r <= 0xdfff) continue;
			f = add(to, (struct hg_str){c, re_utf8_put(r, c)}, HG_STR(""));
		}
	}
	return f;
}

static enum finding collect_repeat(const struct re_node *n, struct texts *to, size_t max)
{
	struct texts kid, acc;
	enum finding f;
	if (n->max == RE_UNBOUNDED) return TOO_MANY;
	texts_init(&kid, max);
	texts_init(&acc, max);
	f = collect(n->kids[0], &kid, max);
	if (f == FOUND) f = add(&acc, HG_STR(""), HG_STR(""));
	for (uint32_t i = 0; i <= n->max && f == FOUND; i++) {
		if (i >= n->min)
			for (uint32_t k = 0; k < acc.n && f == FOUND; k++)
				f = add(to, text_at(&acc, k), HG_STR(""));
		if (i < n->max && f == FOUND) f = product(&acc, &kid, max);
		if (to->n > PRODUCT_COUNT_MAX) f = TOO_MANY;
	}
	texts_free(&kid);
	texts_free(&acc);
	return f;
}

/* All texts that `n` matches, appended. */
static enum finding collect(const struct re_node *n, struct texts *to, size_t max)
{
	enum finding f = FOUND;
	char c[4];
	switch (n->kind) {
	case RE_NOTHING: return add(to, HG_STR(""), HG_STR(""));
	case RE_RUNE: return add(to, (struct hg_str){c, re_utf8_put(n->value, c)}, HG_STR(""));
	case RE_SET: return collect_set(n, to);
	case RE_LOOK: return TOO_MANY;
	case RE_CAT: return collect_cat(n, to, max);
	case RE_ALT:
		for (uint32_t i = 0; i < n->n && f == FOUND; i++)
			f = collect(n->kids[i], to, max);
		return f;
	case RE_REPEAT: return collect_repeat(n, to, max);
	case RE_GROUP: return collect(n->kids[0], to, max);
	}
	return TOO_MANY;
}

static int by_bytes(const void *a, const void *b)
{
	const struct hg_str *x = a, *y = b;
	size_t n = HG_MIN(x->n, y->n);
	int c = n ? memcmp(x->p, y->p, n) : 0;
	return c ? c : (x->n > y->n) - (x->n < y->n);
}

/* Takes the bytes of `t` over. */
static enum hg_rc keep(struct re_shortcut *s, struct texts *t)
{
	uint32_t n = 0;
	s->literal = calloc(t->n ? t->n : 1, sizeof *s->literal);
	if (!s->literal) return HG_E_NOMEM;
	for (uint32_t i = 0; i < t->n; i++)
		s->literal[i] = text_at(t, i);
	qsort(s->literal, t->n, sizeof *s->literal, by_bytes);
	for (uint32_t i = 0; i < t->n; i++)
		if (n == 0 || !hg_str_eq(s->literal[n - 1], s->literal[i]))
			s->literal[n++] = s->literal[i];
	s->n = n;
	s->bytes = t->bytes.p;
	hg_buf_init(&t->bytes, 0);
	return HG_OK;
}

/* ---- prefix, suffix, part ---- */

static const struct re_node *bare(const struct re_node *n)
{
	while (n->kind == RE_GROUP || (n->kind == RE_CAT && n->n == 1))
		n = n->kids[0];
	return n;
}

/* .* or .+ over all characters: *ret_least is 0 or 1. */
static bool is_all(const struct re_node *n, size_t *ret_least)
{
	const struct re_node *kid;
	n = bare(n);
	if (n->kind != RE_REPEAT || n->max != RE_UNBOUNDED || n->min > 1) return false;
	kid = bare(n->kids[0]);
	if (kid->kind != RE_SET || kid->n != 1 || kid->set[0].lo || kid->set[0].hi != RE_RUNE_MAX)
		return false;
	*ret_least = n->min;
	return true;
}

/* [.*] literal [.*], the whole of it. */
static enum hg_rc shape(const struct re_node *root, bool anchored, struct re_shortcut *s)
{
	struct re_node one = {.kind = RE_CAT, .n = 1, .kids = (struct re_node **)&root};
	const struct re_node *n = bare(root);
	struct re_node middle;
	struct texts t;
	bool before, after;
	enum finding f;
	enum hg_rc rc = HG_OK;
	if (is_all(n, &s->least) || n->kind != RE_CAT) {
		if (is_all(n, &s->least)) {
			s->kind = RE_SHORT_ANY;
			return HG_OK;
		}
		n = &one;
	}
	if (n->n == 0) return HG_OK;
	before = is_all(n->kids[0], &s->least);
	after = n->n > 1 && is_all(n->kids[n->n - 1], &s->least_after);
	if (anchored && !before && !after) return HG_OK;
	middle = (struct re_node){
	        .kind = RE_CAT, .kids = n->kids + before, .n = n->n - before - after};
	texts_init(&t, 1u << 20);
	f = collect(&middle, &t, 1u << 20);
	if (f == FOUND && t.n == 1 && text_at(&t, 0).n > 0) rc = keep(s, &t);
	texts_free(&t);
	if (f == NO_MEMORY || rc < 0) return HG_E_NOMEM;
	if (!s->n) return HG_OK;
	if (!anchored || (before && after))
		s->kind = RE_SHORT_CONTAINS;
	else
		s->kind = before ? RE_SHORT_SUFFIX : RE_SHORT_PREFIX;
	if (s->kind == RE_SHORT_PREFIX) s->least = s->least_after;
	return HG_OK;
}

/* The literal that every match begins with, appended; true: all of `n` is literal. */
static bool prefix_of(const struct re_node *n, struct hg_buf *to)
{
	char c[4];
	switch (n->kind) {
	case RE_NOTHING: return true;
	case RE_RUNE: hg_buf_str(to, (struct hg_str){c, re_utf8_put(n->value, c)}); return true;
	case RE_CAT:
		for (uint32_t i = 0; i < n->n; i++)
			if (!prefix_of(n->kids[i], to)) return false;
		return true;
	case RE_GROUP: return prefix_of(n->kids[0], to);
	case RE_REPEAT:
		if (n->min) (void)prefix_of(n->kids[0], to);
		return false;
	case RE_LOOK: return n->value == RE_TEXT_END || n->value == RE_TEXT_BEGIN;
	default: return false;
	}
}

enum hg_rc re_shortcut_find(
        const struct re_tree *t, bool anchored, struct re_shortcut *ret_shortcut)
{
	struct re_shortcut *s = ret_shortcut;
	struct hg_buf prefix;
	struct texts all;
	enum finding f = TOO_MANY;
	enum hg_rc rc = HG_OK;
	size_t max = 1u << 20;
	*s = (struct re_shortcut){0};
	hg_buf_init(&prefix, max);
	(void)prefix_of(t->root, &prefix);
	texts_init(&all, max);
	if (anchored) f = collect(t->root, &all, max);
	if (f == NO_MEMORY || prefix.failed) rc = HG_E_NOMEM;
	if (rc >= 0 && f == FOUND) {
		rc = keep(s, &all);
		if (rc >= 0) s->kind = RE_SHORT_LITERALS;
	} else if (rc >= 0) {
		rc = shape(t->root, anchored, s);
	}
	texts_free(&all);
	s->prefix.n = prefix.n;
	s->prefix.p = hg_buf_take(&prefix);
	if (!s->prefix.p && s->prefix.n) rc = HG_E_NOMEM;
	if (rc < 0) re_shortcut_fini(s);
	return rc;
}

void re_shortcut_fini(struct re_shortcut *s)
{
	free(s->literal);
	free(s->bytes);
	free((void *)(uintptr_t)s->prefix.p);
	*s = (struct re_shortcut){0};
}

bool re_shortcut_match(const struct re_shortcut *s, struct hg_str text)
{
	const char *hit;
	switch (s->kind) {
	case RE_SHORT_ANY: return text.n >= s->least;
	case RE_SHORT_LITERALS:
		return s->n && bsearch(&text, s->literal, s->n, sizeof *s->literal, by_bytes);
	case RE_SHORT_PREFIX:
		return text.n >= s->literal[0].n + s->least && hg_str_starts(text, s->literal[0]);
	case RE_SHORT_SUFFIX:
		return text.n >= s->literal[0].n + s->least && hg_str_ends(text, s->literal[0]);
	case RE_SHORT_CONTAINS:
		if (text.n < s->literal[0].n + s->least + s->least_after) return false;
		hit = memmem(text.p + s->least, text.n - s->least - s->least_after, s->literal[0].p,
		        s->literal[0].n);
		return hit != NULL;
	case RE_SHORT_NONE: break;
	}
	return false;
}
