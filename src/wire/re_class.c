/* Sets of code points, and UTF-8. */
#include "wire/re_priv.h"

#include <stdlib.h>

void re_class_free(struct re_class *c)
{
	free(c->at);
	*c = (struct re_class){0};
}

void re_class_add(struct re_class *c, uint32_t lo, uint32_t hi)
{
	if (c->failed) return;
	if (c->n && c->at[c->n - 1].hi + 1 == lo) { /* what comes in order stays short */
		c->at[c->n - 1].hi = hi;
		return;
	}
	if (c->n == c->cap) {
		uint32_t cap = c->cap ? c->cap * 2 : 8;
		struct re_range *at = realloc(c->at, cap * sizeof *at);
		if (!at) {
			c->failed = true;
			return;
		}
		c->at = at;
		c->cap = cap;
	}
	c->at[c->n++] = (struct re_range){lo, hi};
}

static int by_low(const void *a, const void *b)
{
	const struct re_range *x = a, *y = b;
	return (x->lo > y->lo) - (x->lo < y->lo);
}

void re_class_tidy(struct re_class *c)
{
	uint32_t n = 0;
	if (c->n < 2) return;
	qsort(c->at, c->n, sizeof *c->at, by_low);
	for (uint32_t i = 1; i < c->n; i++) {
		if (c->at[i].lo <= c->at[n].hi + 1)
			c->at[n].hi = HG_MAX(c->at[n].hi, c->at[i].hi);
		else
			c->at[++n] = c->at[i];
	}
	c->n = n + 1;
}

uint32_t re_fold_next(uint32_t c)
{
	/* Rows of upper and lower case interleave: they are looked through, at compile time only.
	 */
	for (size_t i = 0; i < re_folds_n; i++) {
		const struct re_fold *f = &re_folds[i];
		if (c >= f->lo && c <= f->hi && (c - f->lo) % f->step == 0)
			return (uint32_t)((int32_t)c + f->delta);
	}
	return c;
}

void re_class_fold(struct re_class *c)
{
	uint32_t n;
	re_class_tidy(c);
	n = c->n;
	for (uint32_t i = 0; i < n && !c->failed; i++) {
		struct re_range r = c->at[i];
		for (size_t k = 0; k < re_folds_n; k++) {
			const struct re_fold *f = &re_folds[k];
			if (f->hi < r.lo || f->lo > r.hi) continue;
			for (uint32_t x = f->lo; x <= f->hi; x += f->step) {
				if (x < r.lo || x > r.hi) continue;
				for (uint32_t y = re_fold_next(x); y != x; y = re_fold_next(y))
					re_class_add(c, y, y);
			}
		}
	}
	re_class_tidy(c);
}

void re_class_negate(struct re_class *c)
{
	struct re_class out = {0};
	uint32_t from = 0;
	re_class_tidy(c);
	for (uint32_t i = 0; i < c->n; i++) {
		if (c->at[i].lo > from) re_class_add(&out, from, c->at[i].lo - 1);
		from = c->at[i].hi + 1;
	}
	if (from <= RE_RUNE_MAX) re_class_add(&out, from, RE_RUNE_MAX);
	out.failed |= c->failed;
	free(c->at);
	*c = out;
}

void re_class_add_class(struct re_class *c, struct re_class *from, bool fold, bool negated)
{
	if (fold) re_class_fold(from);
	if (negated)
		re_class_negate(from);
	else
		re_class_tidy(from);
	for (uint32_t i = 0; i < from->n; i++)
		re_class_add(c, from->at[i].lo, from->at[i].hi);
	c->failed |= from->failed;
}

bool re_class_posix(struct re_class *c, struct hg_str name)
{
	static const struct {
		const char *name;
		struct re_range r[4];
		uint32_t n;
	} row[] = {
	        {"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}, 3},
	        {"alpha", {{'A', 'Z'}, {'a', 'z'}}, 2},
	        {"ascii", {{0, 127}}, 1},
	        {"blank", {{'\t', '\t'}, {' ', ' '}}, 2},
	        {"cntrl", {{0, 31}, {127, 127}}, 2},
	        {"digit", {{'0', '9'}}, 1},
	        {"graph", {{'!', '~'}}, 1},
	        {"lower", {{'a', 'z'}}, 1},
	        {"print", {{' ', '~'}}, 1},
	        {"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}, 4},
	        {"space", {{'\t', '\r'}, {' ', ' '}}, 2},
	        {"upper", {{'A', 'Z'}}, 1},
	        {"word", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}, 4},
	        {"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}, 3},
	};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		if (!hg_str_eq(name, hg_str(row[i].name))) continue;
		for (uint32_t k = 0; k < row[i].n; k++)
			re_class_add(c, row[i].r[k].lo, row[i].r[k].hi);
		return true;
	}
	return false;
}

void re_class_perl(struct re_class *c, char letter)
{
	if (letter == 's') {
		re_class_add(c, '\t', '\n');
		re_class_add(c, '\f', '\r');
		re_class_add(c, ' ', ' ');
	} else {
		HG_ASSERT(re_class_posix(c, letter == 'd' ? HG_STR("digit") : HG_STR("word")));
	}
}

/* "L" takes in all whose name begins with it; unassigned code points are in none. */
static bool category_in(size_t category, struct hg_str name)
{
	const char *have = re_category_names[category];
	return memcmp(have, "Cn", 2) != 0 && have[0] == name.p[0] &&
	       (name.n == 1 || have[1] == name.p[1]);
}

bool re_class_category(struct re_class *c, struct hg_str name)
{
	bool any = false;
	if (hg_str_eq(name, HG_STR("Any"))) {
		re_class_add(c, 0, RE_RUNE_MAX);
		return true;
	}
	if (name.n < 1 || name.n > 2) return false;
	for (size_t i = 0; i < re_category_count; i++)
		any |= category_in(i, name);
	if (!any) return false;
	for (size_t i = 0; i < re_categories_n; i++) {
		uint32_t row = re_categories[i];
		uint32_t end =
		        i + 1 < re_categories_n ? (re_categories[i + 1] >> 5) - 1 : RE_RUNE_MAX;
		if (category_in(row & 31, name)) re_class_add(c, row >> 5, end);
	}
	return true;
}

size_t re_utf8_put(uint32_t c, char to[4])
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

bool re_utf8_get(struct hg_str s, size_t *at, uint32_t *ret_rune)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const uint8_t *p = (const uint8_t *)s.p + *at;
	size_t left = s.n - *at, n;
	uint32_t c;
	if (left == 0) return false;
	n = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n == 0 || n > left || p[0] > 0xf4) return false;
	c = n == 1 ? p[0] : p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80) return false;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > RE_RUNE_MAX || (c >= 0xd800 && c < 0xe000)) return false;
	*at += n;
	*ret_rune = c;
	return true;
}
