#include "base/str.h"

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool hg_str_eq_nocase(struct hg_str a, struct hg_str b)
{
	if (a.n != b.n) return false;
	for (size_t i = 0; i < a.n; i++) {
		if (lower(a.p[i]) != lower(b.p[i])) return false;
	}
	return true;
}

bool hg_str_starts(struct hg_str s, struct hg_str prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool hg_str_ends(struct hg_str s, struct hg_str suffix)
{
	return s.n >= suffix.n &&
	       (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

static bool space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct hg_str hg_str_trim(struct hg_str s)
{
	while (s.n && space(s.p[0]))
		s.p++, s.n--;
	while (s.n && space(s.p[s.n - 1]))
		s.n--;
	return s;
}

size_t hg_str_find(struct hg_str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
	return at ? (size_t)(at - s.p) : s.n;
}

struct hg_str hg_str_cut(struct hg_str *rest, char sep)
{
	size_t at = hg_str_find(*rest, sep);
	struct hg_str head = {rest->p, at};
	size_t skip = at < rest->n ? at + 1 : at;
	if (rest->p) rest->p += skip;
	rest->n -= skip;
	return head;
}

bool hg_str_u64(struct hg_str s, uint64_t *ret_v)
{
	uint64_t v = 0;
	if (s.n == 0) return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';
		if (digit > 9) return false;
		if (__builtin_mul_overflow(v, 10u, &v)) return false;
		if (__builtin_add_overflow(v, digit, &v)) return false;
	}
	*ret_v = v;
	return true;
}

bool hg_str_copy(struct hg_str s, char *to, size_t cap)
{
	HG_ASSERT(cap > 0);
	if (s.n >= cap) {
		to[0] = 0;
		return false;
	}
	if (s.n) memcpy(to, s.p, s.n);
	to[s.n] = 0;
	return true;
}

uint32_t hg_str_distance(struct hg_str a, struct hg_str b)
{
	uint32_t row[64];
	if (a.n > 63 || b.n > 63) return UINT32_MAX;
	for (uint32_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 0; i < a.n; i++) {
		uint32_t diagonal = row[0];
		row[0] = (uint32_t)i + 1;
		for (size_t j = 0; j < b.n; j++) {
			uint32_t change = diagonal + (a.p[i] != b.p[j]);
			uint32_t step = HG_MIN(row[j], row[j + 1]) + 1;
			diagonal = row[j + 1];
			row[j + 1] = HG_MIN(change, step);
		}
	}
	return row[b.n];
}

uint64_t hg_str_hash(struct hg_str s)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
	return h;
}

/* Length of the sequence at p (1 to 4), or 0 when it is not well-formed. RFC 3629 section 4. */
static size_t utf8_step(const unsigned char *p, size_t n)
{
	static const struct {
		unsigned char lo, hi, second_lo, second_hi, len;
	} row[] = {
	        {0x00, 0x7f, 0, 0, 1},
	        {0xc2, 0xdf, 0x80, 0xbf, 2},
	        {0xe0, 0xe0, 0xa0, 0xbf, 3},
	        {0xe1, 0xec, 0x80, 0xbf, 3},
	        {0xed, 0xed, 0x80, 0x9f, 3},
	        {0xee, 0xef, 0x80, 0xbf, 3},
	        {0xf0, 0xf0, 0x90, 0xbf, 4},
	        {0xf1, 0xf3, 0x80, 0xbf, 4},
	        {0xf4, 0xf4, 0x80, 0x8f, 4},
	};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		if (p[0] < row[i].lo || p[0] > row[i].hi) continue;
		if (row[i].len > n) return 0;
		if (row[i].len > 1 && (p[1] < row[i].second_lo || p[1] > row[i].second_hi))
			return 0;
		for (size_t k = 2; k < row[i].len; k++) {
			if ((p[k] & 0xc0) != 0x80) return 0;
		}
		return row[i].len;
	}
	return 0;
}

bool hg_utf8_valid(struct hg_str s)
{
	for (size_t i = 0; i < s.n;) {
		size_t step = utf8_step((const unsigned char *)s.p + i, s.n - i);
		if (step == 0) return false;
		i += step;
	}
	return true;
}

size_t hg_utf8_count(struct hg_str s)
{
	size_t count = 0;
	for (size_t i = 0; i < s.n; i++)
		count += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return count;
}
