/*
 * Regular expressions as RE2 and Go's regexp read them, matched in linear time: no backtracking,
 * no pattern that explodes, memory bounded by the size of the pattern.
 *
 * Understood: literals, ".", classes with ranges, \d \w \s \pL \p{Lu} [[:alpha:]] and their
 * negations, ^ $ \A \z \b \B, groups (…) (?:…) (?P<name>…) (?<name>…), flags (?imsU-imsU) and
 * (?i:…), alternation, * + ? {n} {n,} {n,m} and their lazy forms (n and m up to 1000, nested ones
 * multiplied), \Q…\E, \x7f \x{10ffff} \123 \a \f \n \r \t \v. Refused with the reason:
 * back-references, lookaround, possessive and atomic groups, \C, \Z, \G, scripts as in \p{Greek}.
 *
 * Patterns are UTF-8. Text should be: bytes of it that are not UTF-8 match no class and no ".",
 * except that a leading or trailing ".*" which was turned into a comparison passes over them.
 * \b, \w, \d and \s know ASCII only, as in RE2. (?i) folds with the simple case orbits of Unicode
 * 14 ("k" matches U+212A KELVIN SIGN; no letter becomes two; dotless and dotted Turkish i keep to
 * themselves). Of several matches the leftmost wins, and there the alternative written first.
 *
 * A compiled expression belongs to one thread: matching fills its cache of automaton states, which
 * is bounded (RE_CACHE_BYTES and a few states) and emptied when full.
 */
#ifndef WIRE_RE_H
#define WIRE_RE_H

#include "base/err.h"

#define RE_PATTERN_MAX (1u << 20) /* bytes of a pattern */
#define RE_GROUPS_MAX  256u       /* capturing groups, the whole match included */
#define RE_CACHE_BYTES (256u << 10)

enum re_flag {
	RE_ANCHORED = 1, /* the whole text must match, as label matchers want it */
	RE_DOTALL = 2,   /* "." matches a line feed too, as if (?s) stood in front */
	RE_FOLD = 4,     /* as if (?i) stood in front */
	/* What Prometheus 3 does with =~ and !~, label_replace and relabelling. */
	RE_LABEL = RE_ANCHORED | RE_DOTALL,
};

struct re;

/* A part of the text that was searched; p is NULL when the group took no part in the match. */
struct re_group {
	const char *p;
	size_t n;
};

/*
 * Copies what it needs. HG_E_REGEX: message, and in err->column the byte of the pattern (from 1)
 * where; HG_E_TOO_LARGE: the pattern, or what it expands to; HG_E_NOMEM. Freed with re_free.
 */
HG_MUST enum hg_rc re_compile(
        struct hg_str pattern, unsigned flags, struct re **ret_re, struct hg_err *err);
void re_free(struct re *re);
/* The pattern as it was given. */
struct hg_str re_pattern(const struct re *re);
/* Bytes of memory it takes now, cache included. */
size_t re_bytes(const struct re *re);

/* Whether it matches (all of `s` with RE_ANCHORED, else some part). Time O(s.n · pattern) at
 * worst, a table lookup a byte as a rule. Without memory for a state it works without cache. */
bool re_match(struct re *re, struct hg_str s);
/*
 * The same, and where: group[0] is the whole match, group[i] the i-th "(" from the left. Groups
 * from re_groups() on get p = NULL. False: no match, groups untouched; also when there is no
 * memory for the search (a few words for each state of the expression).
 */
bool re_search(struct re *re, struct hg_str s, struct re_group *group, size_t n);
/* How many groups there are, the whole match included: at least 1. */
size_t re_groups(const struct re *re);
/* Of group `i`; empty when it has none. */
struct hg_str re_group_name(const struct re *re, size_t i);

/*
 * Appends `tmpl` with $1, ${1}, $name and ${name} replaced by the groups of a search (`group` holds
 * re_groups() of them) and $$ by $. A name is the longest run of letters, digits and "_", as
 * in Go's Expand; unknown names and groups without part are empty; a "$" that begins none of these
 * stays.
 */
void re_expand(
        const struct re *re, struct hg_str tmpl, const struct re_group *group, struct hg_buf *to);

/* What every match begins with (case matters); empty when there is no such text. */
struct hg_str re_literal_prefix(const struct re *re);
/*
 * With RE_ANCHORED: all texts that match, when they are few and known ("a|b", "5[0-9]{2}", "x"),
 * sorted and without doubles, so that an index can be asked for them. False otherwise.
 */
bool re_literals(const struct re *re, const struct hg_str **ret_at, size_t *ret_n);
/* True when any text matches, the empty one too (".*" in label matchers). */
bool re_matches_all(const struct re *re);

/* Appends `s` with every special character escaped, so that it matches only itself. */
void re_quote(struct hg_str s, struct hg_buf *to);

#endif
