/*
 * A string somebody else owns: pointer and length, not zero-terminated, never freed through this
 * struct. Valid as long as the buffer, arena or image it points into.
 */
#ifndef HG_BASE_STR_H
#define HG_BASE_STR_H

#include "base/hg.h"

#include <string.h>

struct hg_str {
	const char *p;
	size_t n;
};

#define HG_STR(literal) ((struct hg_str){"" literal, sizeof(literal) - 1})
/* For printf: `"%.*s", HG_STR_ARG(s)`. */
#define HG_STR_ARG(s) (int)(s).n, (s).p

static inline struct hg_str hg_str(const char *zero_terminated)
{
	return (struct hg_str){zero_terminated, zero_terminated ? strlen(zero_terminated) : 0};
}

static inline bool hg_str_eq(struct hg_str a, struct hg_str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case is ignored; other bytes must be equal. */
bool hg_str_eq_nocase(struct hg_str a, struct hg_str b);
bool hg_str_starts(struct hg_str s, struct hg_str prefix);
bool hg_str_ends(struct hg_str s, struct hg_str suffix);
/* Without leading and trailing space, tab, CR and LF. */
struct hg_str hg_str_trim(struct hg_str s);
/* First place of `c`, or s.n. */
size_t hg_str_find(struct hg_str s, char c);
/* Cuts the part before the first `sep` off `*rest` and returns it; the whole if there is none. */
struct hg_str hg_str_cut(struct hg_str *rest, char sep);
/* Digits only, no sign, no overflow: false otherwise and *ret_v is untouched. */
HG_MUST bool hg_str_u64(struct hg_str s, uint64_t *ret_v);
/* Copies with a closing zero; false (and an empty string) when it does not fit. */
bool hg_str_copy(struct hg_str s, char *to, size_t cap);
/* Levenshtein distance of two short strings; strings over 63 bytes give UINT32_MAX. */
uint32_t hg_str_distance(struct hg_str a, struct hg_str b);
/* FNV-1a, for tables whose keys we chose ourselves; see map.h for keys from outside. */
uint64_t hg_str_hash(struct hg_str s);
/* True when the bytes are well-formed UTF-8 (no surrogates, no overlong forms, RFC 3629). */
bool hg_utf8_valid(struct hg_str s);
/* Code points of a valid UTF-8 string. */
size_t hg_utf8_count(struct hg_str s);

#endif
