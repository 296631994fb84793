/* From the text of a pattern to its tree. */
#include "wire/re_priv.h"

#include <stdio.h>

#define FLAG_FOLD   1u
#define FLAG_MULTI  2u
#define FLAG_DOTALL 4u
#define FLAG_LAZY   8u

struct parser {
	struct hg_str s;
	size_t at;
	unsigned flags;
	uint32_t depth;
	struct re_tree *tree;
	enum hg_rc rc;
	struct hg_err *err;
};

/* A list of nodes while it grows; lies in the arena when it is done. */
struct list {
	struct re_node **at;
	uint32_t n, cap;
};

static struct re_node *alternation(struct parser *p);

/* ---- failing ---- */

static void *fail_memory(struct parser *p)
{
	if (p->rc >= 0)
		p->rc = hg_err_set(p->err, HG_E_NOMEM, "no memory for a regular expression");
	return NULL;
}

/* `from`: the first byte of what is wrong, `to`: one past its last. */
static void *fail(struct parser *p, size_t from, size_t to, const char *why, const char *hint)
{
	size_t end = HG_MIN(to, p->s.n), n = end > from ? HG_MIN(end - from, (size_t)40) : 0;
	if (p->rc < 0) return NULL;
	p->rc = hg_err_set(p->err, HG_E_REGEX,
	        "regular expression \"%.*s%s\" is not valid: %s%s%.*s%s at byte %zu",
	        (int)HG_MIN(p->s.n, (size_t)120), p->s.p, p->s.n > 120 ? "…" : "", why,
	        n ? ": \"" : "", (int)n, p->s.p + from, n ? "\"" : "", from + 1);
	if (p->err) p->err->column = (unsigned)from + 1;
	if (hint) hg_err_hint(p->err, "%s", hint);
	return NULL;
}

/* ---- nodes ---- */

static struct re_node *node(struct parser *p, enum re_kind kind)
{
	struct re_node *n = hg_arena_take(&p->tree->arena, sizeof *n);
	if (!n) return fail_memory(p);
	n->kind = kind;
	n->weight = 1;
	return n;
}

static bool list_add(struct parser *p, struct list *l, struct re_node *n)
{
	if (l->n == l->cap) {
		uint32_t cap = l->cap ? l->cap * 2 : 4;
		struct re_node **at = hg_arena_array(&p->tree->arena, cap, sizeof(void *));
		if (!at) {
			fail_memory(p);
			return false;
		}
		if (l->n) memcpy(at, l->at, l->n * sizeof *at);
		l->at = at;
		l->cap = cap;
	}
	l->at[l->n++] = n;
	return true;
}

static struct re_node *node_over(struct parser *p, enum re_kind kind, struct list *l)
{
	struct re_node *n = node(p, kind);
	if (!n) return NULL;
	n->kids = l->at;
	n->n = l->n;
	n->nullable = kind == RE_CAT;
	for (uint32_t i = 0; i < l->n; i++) {
		n->weight = HG_MAX(n->weight, l->at[i]->weight);
		if (kind == RE_CAT)
			n->nullable &= l->at[i]->nullable;
		else
			n->nullable |= l->at[i]->nullable;
	}
	return n;
}

/* Takes over and frees `c`. */
static struct re_node *node_set(struct parser *p, struct re_class *c)
{
	struct re_node *n = NULL;
	re_class_tidy(c);
	if (c->failed) {
		fail_memory(p);
	} else if (c->n == 1 && c->at[0].lo == c->at[0].hi) {
		n = node(p, RE_RUNE);
		if (n) n->value = c->at[0].lo;
	} else {
		n = node(p, RE_SET);
		if (n && c->n) {
			n->set = hg_arena_array(&p->tree->arena, c->n, sizeof *n->set);
			if (n->set)
				memcpy(n->set, c->at, c->n * sizeof *n->set);
			else
				n = fail_memory(p);
		}
		if (n) n->n = c->n;
	}
	re_class_free(c);
	return n;
}

static struct re_node *node_rune(struct parser *p, uint32_t rune)
{
	struct re_class c = {0};
	re_class_add(&c, rune, rune);
	if (p->flags & FLAG_FOLD) re_class_fold(&c);
	return node_set(p, &c);
}

static struct re_node *node_look(struct parser *p, enum re_look which)
{
	struct re_node *n = node(p, RE_LOOK);
	if (!n) return NULL;
	n->value = which;
	n->nullable = true;
	return n;
}

/* ---- reading ---- */

static bool more(const struct parser *p)
{
	return p->at < p->s.n;
}

static int peek(const struct parser *p, size_t ahead)
{
	return ahead < p->s.n - p->at ? (unsigned char)p->s.p[p->at + ahead] : -1;
}

static bool take(struct parser *p, struct hg_str what)
{
	struct hg_str rest = {p->s.p + p->at, p->s.n - p->at};
	if (!hg_str_starts(rest, what)) return false;
	p->at += what.n;
	return true;
}

static bool rune(struct parser *p, uint32_t *ret_rune)
{
	if (re_utf8_get(p->s, &p->at, ret_rune)) return true;
	fail(p, p->at, p->at, "the pattern is not UTF-8", NULL);
	return false;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(int c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int hex(int c)
{
	if (is_digit(c)) return c - '0';
	if (c >= 'a' && c <= 'f') return c - 'a' + 10;
	if (c >= 'A' && c <= 'F') return c - 'A' + 10;
	return -1;
}

/* ---- escapes ---- */

/* After "\x": two digits, or any number in braces. */
static bool escape_hex(struct parser *p, size_t from, uint32_t *ret_rune)
{
	uint32_t v = 0;
	unsigned digits = 0;
	bool braces = take(p, HG_STR("{"));
	while (hex(peek(p, 0)) >= 0 && (braces || digits < 2) && v <= RE_RUNE_MAX) {
		v = v * 16 + (uint32_t)hex(peek(p, 0));
		p->at++;
		digits++;
	}
	if (digits == 0 || (!braces && digits < 2) || v > RE_RUNE_MAX ||
	        (braces && !take(p, HG_STR("}")))) {
		fail(p, from, p->at, "the escape is not complete",
		        "write \\x7f or \\x{10ffff}: at most 10ffff");
		return false;
	}
	*ret_rune = v;
	return true;
}

static const char *why_refused(int c)
{
	if (c >= '1' && c <= '9')
		return "back-references cannot be matched in linear time: write the alternatives "
		       "out";
	if (c == 'Z') return "write \\z, or $, for the end of the text";
	if (c == 'G' || c == 'C' || c == 'K' || c == 'R' || c == 'X')
		return "this is Perl's; RE2 syntax does not have it";
	if (c == 'h') return "write [\\t ] for a blank";
	if (c == 'u') return "write \\x{…} with the hexadecimal code point";
	return NULL;
}

/* One code point after a backslash (at p->at); `from` is the place of the backslash. */
static bool escape(struct parser *p, size_t from, uint32_t *ret_rune)
{
	static const char letters[] = "afnrtv", means[] = "\a\f\n\r\t\v";
	int c = peek(p, 0);
	const char *known;
	if (c < 0) {
		fail(p, from, p->at, "a backslash ends the pattern", "write \\\\ for a backslash");
		return false;
	}
	if (c >= 0x80) return rune(p, ret_rune);
	p->at++;
	known = c ? strchr(letters, c) : NULL;
	if (known) {
		*ret_rune = (unsigned char)means[known - letters];
	} else if (c == 'x') {
		return escape_hex(p, from, ret_rune);
	} else if (c == '0' || (c >= '1' && c <= '7' && peek(p, 0) >= '0' && peek(p, 0) <= '7')) {
		*ret_rune = (uint32_t)c - '0';
		for (int i = 0; i < 2 && peek(p, 0) >= '0' && peek(p, 0) <= '7'; i++)
			*ret_rune = *ret_rune * 8 + (uint32_t)(p->s.p[p->at++] - '0');
	} else if (is_word(c) && c != '_') {
		fail(p, from, p->at, "this escape is not supported", why_refused(c));
		return false;
	} else {
		*ret_rune = (uint32_t)c;
	}
	return true;
}

/* \d \S \pL \P{Lu} … at p->at: adds to `c`. *ret_is false: something else stands here. */
static bool escape_class(struct parser *p, struct re_class *c, bool *ret_is)
{
	struct re_class part = {0};
	size_t from = p->at;
	int letter = peek(p, 1), lower = letter | 0x20;
	bool negated = letter >= 'A' && letter <= 'Z', ok = true;
	*ret_is = peek(p, 0) == '\\' && letter > 0 && strchr("dswDSWpP", letter);
	if (!*ret_is) return true;
	p->at += 2;
	if (lower == 'p') {
		struct hg_str name = {p->s.p + p->at, p->s.n - p->at};
		if (take(p, HG_STR("{"))) {
			name = (struct hg_str){name.p + 1, hg_str_find(name, '}')};
			p->at += name.n;
			ok = p->at <= p->s.n && name.n > 0;
			name.n -= ok;
			if (ok && name.n && name.p[0] == '^') {
				negated = !negated;
				name = (struct hg_str){name.p + 1, name.n - 1};
			}
		} else {
			ok = name.n > 0;
			name.n = ok;
			p->at += name.n;
		}
		if (!ok || !re_class_category(&part, name)) {
			re_class_free(&part);
			fail(p, from, p->at, "no such class of characters",
			        "general categories are known, such as \\pL, \\p{Lu} or \\p{Any}; "
			        "scripts such as \\p{Greek} are not supported");
			return false;
		}
	} else {
		re_class_perl(&part, (char)lower);
	}
	re_class_add_class(c, &part, p->flags & FLAG_FOLD, negated);
	re_class_free(&part);
	return true;
}

/* ---- classes ---- */

/* [:name:] or [:^name:] at p->at. *ret_is false: no closing ":]", so it is something else. */
static bool posix_class(struct parser *p, struct re_class *c, bool *ret_is)
{
	struct re_class part = {0};
	struct hg_str rest = {p->s.p + p->at, p->s.n - p->at};
	const char *end = NULL;
	bool negated, ok;
	*ret_is = false;
	if (!hg_str_starts(rest, HG_STR("[:"))) return true;
	end = memmem(rest.p + 2, rest.n - 2, ":]", 2);
	if (!end) return true;
	*ret_is = true;
	negated = rest.p[2] == '^';
	rest = (struct hg_str){rest.p + 2 + negated, (size_t)(end - rest.p) - 2 - negated};
	ok = re_class_posix(&part, rest);
	if (!ok) {
		size_t n = (size_t)(end + 2 - (p->s.p + p->at));
		fail(p, p->at, p->at + n, "no such class of characters",
		        "known are alnum alpha ascii blank cntrl digit graph lower print punct "
		        "space upper word xdigit");
	} else {
		re_class_add_class(c, &part, p->flags & FLAG_FOLD, negated);
		p->at = (size_t)(end + 2 - p->s.p);
	}
	re_class_free(&part);
	return ok;
}

static bool class_rune(struct parser *p, size_t open, uint32_t *ret_rune)
{
	size_t from = p->at;
	if (!more(p)) {
		fail(p, open, p->s.n, "the closing ] is missing", NULL);
		return false;
	}
	if (!take(p, HG_STR("\\"))) return rune(p, ret_rune);
	return escape(p, from, ret_rune);
}

static bool class_range(struct parser *p, struct re_class *c, size_t open)
{
	struct re_class part = {0};
	size_t from = p->at;
	uint32_t lo, hi;
	if (!class_rune(p, open, &lo)) return false;
	hi = lo;
	if (peek(p, 0) == '-' && peek(p, 1) >= 0 && peek(p, 1) != ']') {
		p->at++;
		if (!class_rune(p, open, &hi)) return false;
		if (hi < lo) {
			fail(p, from, p->at, "the range runs backwards", NULL);
			return false;
		}
	}
	re_class_add(&part, lo, hi);
	re_class_add_class(c, &part, p->flags & FLAG_FOLD, false);
	re_class_free(&part);
	return true;
}

static struct re_node *class_node(struct parser *p)
{
	struct re_class c = {0};
	size_t open = p->at++;
	bool negated = take(p, HG_STR("^")), is = false;
	for (bool first = true; first || peek(p, 0) != ']'; first = false) {
		if (!more(p)) {
			fail(p, open, p->s.n, "the closing ] is missing",
			        "a [ that is meant as such is written \\[");
			break;
		}
		if (!posix_class(p, &c, &is)) break;
		if (!is && !escape_class(p, &c, &is)) break;
		if (!is && !class_range(p, &c, open)) break;
		/* A class of 1 MiB of single characters stays as small as what it says. */
		if (c.n > 4096) re_class_tidy(&c);
	}
	if (p->rc < 0) {
		re_class_free(&c);
		return NULL;
	}
	p->at++;
	if (negated) re_class_negate(&c);
	return node_set(p, &c);
}

/* ---- groups ---- */

static bool group_name(struct parser *p, size_t open, struct hg_str *ret_name)
{
	struct hg_str name = {p->s.p + p->at, p->s.n - p->at};
	name.n = hg_str_find(name, '>');
	for (size_t i = 0; i < name.n; i++) {
		if (is_word((unsigned char)name.p[i])) continue;
		fail(p, open, p->at + i + 1, "the name of a group has letters, digits and _", NULL);
		return false;
	}
	if (name.n == 0 || p->at + name.n == p->s.n) {
		fail(p, open, p->s.n, "the name of a group is not complete", "write (?P<name>…)");
		return false;
	}
	for (uint32_t i = 1; i < p->tree->groups; i++) {
		if (!hg_str_eq(p->tree->name[i], name)) continue;
		fail(p, open, p->at + name.n + 1, "two groups have the same name", NULL);
		return false;
	}
	p->at += name.n + 1;
	*ret_name = name;
	return true;
}

/* After "(?": letters up to ")" or ":". *ret_group: a group follows. */
static bool group_flags(struct parser *p, size_t open, bool *ret_group)
{
	static const char letters[] = "imsU";
	bool off = false, any = false;
	for (;; p->at++) {
		int c = peek(p, 0);
		const char *known = c > 0 ? strchr(letters, c) : NULL;
		if (known) {
			unsigned bit = 1u << (known - letters);
			p->flags = off ? p->flags & ~bit : p->flags | bit;
			any = true;
		} else if (c == '-' && !off) {
			off = true;
			any = false;
		} else if ((c == ':' || c == ')') && (any || !off)) {
			*ret_group = c == ':';
			if (c == ')' && !any) break; /* (?) says nothing */
			p->at++;
			return true;
		} else {
			break;
		}
	}
	fail(p, open, HG_MIN(p->at + 1, p->s.n), "this kind of group is not supported",
	        "there is (…) (?:…) (?P<name>…) (?i) (?m) (?s) (?U); lookaround (?=…) (?!…) "
	        "(?<=…), atomic groups (?>…) and comments (?#…) are Perl's and cannot be had "
	        "in linear time");
	return false;
}

static struct re_node *group_body(struct parser *p, size_t open)
{
	struct re_node *n = NULL;
	if (++p->depth > RE_DEPTH_MAX)
		return fail(p, open, open, "groups are nested too deeply (500 at most)", NULL);
	n = alternation(p);
	p->depth--;
	if (!n) return NULL;
	if (!take(p, HG_STR(")")))
		return fail(p, open, p->s.n, "the closing ) of this group is missing",
		        "a ( that is meant as such is written \\(");
	return n;
}

/* At "(". Flags alone, as in (?i), give an empty node and hold to the end of the outer group. */
static struct re_node *group(struct parser *p)
{
	size_t open = p->at++;
	unsigned outer = p->flags;
	struct hg_str name = {0};
	bool captures = true, follows = true;
	struct re_node *n = NULL, *body = NULL;
	if (take(p, HG_STR("?P<"))) {
		if (!group_name(p, open, &name)) return NULL;
	} else if (peek(p, 0) == '?' && peek(p, 1) == '<' && peek(p, 2) != '=' &&
	           peek(p, 2) != '!') {
		p->at += 2;
		if (!group_name(p, open, &name)) return NULL;
	} else if (take(p, HG_STR("?"))) {
		captures = false;
		if (!group_flags(p, open, &follows)) return NULL;
	}
	if (!follows) {
		n = node(p, RE_NOTHING);
		if (n) n->nullable = true;
		return n;
	}
	if (captures) {
		if (p->tree->groups == RE_GROUPS_MAX)
			return fail(p, open, open + 1, "there are more than 255 capturing groups",
			        "write (?:…) where nothing is captured");
		n = node(p, RE_GROUP);
		if (!n) return NULL;
		n->value = p->tree->groups++;
		p->tree->name[n->value] = name;
	}
	body = group_body(p, open);
	p->flags = outer;
	if (!body || !captures) return body;
	n->kids = hg_arena_array(&p->tree->arena, 1, sizeof(void *));
	if (!n->kids) return fail_memory(p);
	n->kids[0] = body;
	n->n = 1;
	n->nullable = body->nullable;
	n->weight = body->weight;
	return n;
}

/* ---- repetition ---- */

/* {n}, {n,} or {n,m} at p->at; false, and nothing is read: the brace is meant as such. */
static bool counts(struct parser *p, uint32_t *ret_min, uint32_t *ret_max)
{
	uint32_t v[2] = {0, RE_UNBOUNDED};
	size_t at = p->at + 1;
	for (int i = 0; i < 2; i++) {
		size_t from = at;
		uint32_t x = 0;
		for (; at < p->s.n && is_digit((unsigned char)p->s.p[at]); at++)
			x = HG_MIN(x * 10 + (uint32_t)(p->s.p[at] - '0'), RE_REPEAT_MAX + 1);
		if (at > from) v[i] = x;
		if (i == 0) {
			if (at == from || at == p->s.n) return false;
			if (p->s.p[at] == '}') v[1] = v[0];
			if (p->s.p[at] != ',') break;
			at++;
		}
	}
	if (at >= p->s.n || p->s.p[at] != '}') return false;
	p->at = at + 1;
	*ret_min = v[0];
	*ret_max = v[1];
	return true;
}

static struct re_node *repeat(
        struct parser *p, struct re_node *kid, size_t from, uint32_t min, uint32_t max)
{
	struct re_node *n = node(p, RE_REPEAT);
	uint32_t most = max == RE_UNBOUNDED ? min : max;
	bool counted = min >= 2 || (max != RE_UNBOUNDED && max >= 2);
	if (!n) return NULL;
	n->kids = hg_arena_array(&p->tree->arena, 1, sizeof(void *));
	if (!n->kids) return fail_memory(p);
	n->kids[0] = kid;
	n->n = 1;
	n->min = min;
	n->max = max;
	n->lazy = (p->flags & FLAG_LAZY) != 0;
	if (take(p, HG_STR("?"))) n->lazy = !n->lazy;
	n->nullable = min == 0 || kid->nullable;
	n->weight = counted ? kid->weight * most : kid->weight;
	if ((max != RE_UNBOUNDED && max < min) || most > RE_REPEAT_MAX || n->weight > RE_REPEAT_MAX)
		return fail(p, from, p->at, "the count of the repetition is not valid",
		        "at most 1000, nested counts multiplied, and {n,m} with n ≤ m");
	return n;
}

/* The repetition that may stand at p->at; *ret_is: one did. */
static struct re_node *repeated(struct parser *p, struct re_node *kid, bool *ret_is)
{
	size_t from = p->at;
	int c = peek(p, 0);
	uint32_t min = c == '+', max = c == '?' ? 1 : RE_UNBOUNDED;
	*ret_is = true;
	if (c == '*' || c == '+' || c == '?') {
		p->at++;
	} else if (c != '{' || !counts(p, &min, &max)) {
		*ret_is = false;
		return kid;
	}
	if (!kid)
		return fail(p, from, p->at, "there is nothing to repeat in front of",
		        "a character that is meant as such is written with a backslash: \\* \\+ "
		        "\\?");
	return repeat(p, kid, from, min, max);
}

/* ---- sequences ---- */

static struct re_node *any(struct parser *p)
{
	struct re_class c = {0};
	if (p->flags & FLAG_DOTALL) {
		re_class_add(&c, 0, RE_RUNE_MAX);
	} else {
		re_class_add(&c, 0, '\n' - 1);
		re_class_add(&c, '\n' + 1, RE_RUNE_MAX);
	}
	return node_set(p, &c);
}

/* \Q…\E: `cat` gets all characters but the last, which is returned: a repetition binds to it. */
static struct re_node *quoted(struct parser *p, struct list *cat)
{
	struct re_node *n = NULL;
	uint32_t c;
	while (more(p) && !take(p, HG_STR("\\E"))) {
		if (n && !list_add(p, cat, n)) return NULL;
		if (!rune(p, &c)) return NULL;
		n = node_rune(p, c);
		if (!n) return NULL;
	}
	if (n) return n;
	n = node(p, RE_NOTHING);
	if (n) n->nullable = true;
	return n;
}

static struct re_node *backslash(struct parser *p, struct list *cat)
{
	static const struct {
		char letter;
		enum re_look look;
	} looks[] = {{'A', RE_TEXT_BEGIN}, {'z', RE_TEXT_END}, {'b', RE_WORD_EDGE},
	        {'B', RE_NO_WORD_EDGE}};
	struct re_class c = {0};
	size_t from = p->at;
	uint32_t r;
	bool is = false;
	for (size_t i = 0; i < HG_COUNT(looks); i++) {
		if (peek(p, 1) != looks[i].letter) continue;
		p->at += 2;
		return node_look(p, looks[i].look);
	}
	if (take(p, HG_STR("\\Q"))) return quoted(p, cat);
	if (!escape_class(p, &c, &is)) {
		re_class_free(&c);
		return NULL;
	}
	if (is) return node_set(p, &c);
	p->at++;
	return escape(p, from, &r) ? node_rune(p, r) : NULL;
}

static struct re_node *atom(struct parser *p, struct list *cat)
{
	uint32_t r;
	switch (peek(p, 0)) {
	case '(': return group(p);
	case '[': return class_node(p);
	case '\\': return backslash(p, cat);
	case '.': p->at++; return any(p);
	case '^':
		p->at++;
		return node_look(p, p->flags & FLAG_MULTI ? RE_LINE_BEGIN : RE_TEXT_BEGIN);
	case '$': p->at++; return node_look(p, p->flags & FLAG_MULTI ? RE_LINE_END : RE_TEXT_END);
	default: return rune(p, &r) ? node_rune(p, r) : NULL;
	}
}

/* One atom with its repetition. */
static struct re_node *piece(struct parser *p, struct list *cat)
{
	struct re_node *n = NULL;
	bool is = false, again = false;
	size_t from, bare;
	repeated(p, NULL, &is); /* fails where a repetition stands first */
	if (p->rc < 0) return NULL;
	bare = p->at;
	n = atom(p, cat);
	if (!n) return NULL;
	if (n->kind == RE_NOTHING && p->s.p[bare] == '(') { /* flags: nothing that repeats */
		repeated(p, NULL, &is);
		return p->rc < 0 ? NULL : n;
	}
	from = p->at;
	n = repeated(p, n, &is);
	if (!n || !is) return n;
	(void)repeated(p, n, &again);
	if (again)
		return fail(p, from, p->at, "one repetition follows another",
		        "possessive forms such as a*+ are Perl's and not needed here; (?:a*){2} "
		        "repeats a repetition");
	return n;
}

static struct re_node *sequence(struct parser *p)
{
	struct list cat = {0};
	while (more(p) && peek(p, 0) != '|' && peek(p, 0) != ')') {
		struct re_node *n = piece(p, &cat);
		if (!n || !list_add(p, &cat, n)) return NULL;
	}
	return cat.n == 1 ? cat.at[0] : node_over(p, RE_CAT, &cat);
}

static struct re_node *alternation(struct parser *p)
{
	struct list alt = {0};
	do {
		struct re_node *n = sequence(p);
		if (!n || !list_add(p, &alt, n)) return NULL;
	} while (take(p, HG_STR("|")));
	return alt.n == 1 ? alt.at[0] : node_over(p, RE_ALT, &alt);
}

enum hg_rc re_parse(
        struct hg_str pattern, unsigned flags, struct re_tree *ret_tree, struct hg_err *err)
{
	struct parser p = {.s = pattern, .tree = ret_tree, .err = err};
	if (flags & RE_FOLD) p.flags |= FLAG_FOLD;
	if (flags & RE_DOTALL) p.flags |= FLAG_DOTALL;
	hg_arena_init(&ret_tree->arena, "regular expression", (1u << 20) + pattern.n * 256);
	ret_tree->groups = 1;
	ret_tree->name[0] = (struct hg_str){0};
	ret_tree->root = alternation(&p);
	if (p.rc >= 0 && more(&p))
		fail(&p, p.at, p.at + 1, "a closing ) has no opening one",
		        "a ) that is meant as such is written \\)");
	HG_ASSERT(p.rc < 0 || ret_tree->root);
	return p.rc;
}
