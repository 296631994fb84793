#include "wire/url.h"

static int hex(char c)
{
	if (c >= '0' && c <= '9') return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that begins at s.p[*i], which moves past it; -1 when malformed or zero. */
static int next_byte(struct hg_str s, bool plus, size_t *i)
{
	char c = s.p[(*i)++];
	if (c == '+' && plus) return ' ';
	if (c != '%') return c ? (unsigned char)c : -1;
	if (s.n - *i < 2) return -1;
	int high = hex(s.p[*i]), low = hex(s.p[*i + 1]);
	*i += 2;
	if (high < 0 || low < 0 || high + low == 0) return -1;
	return high * 16 + low;
}

bool url_decode(struct hg_str s, bool plus, char *to, size_t cap, size_t *ret_n)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n;) {
		int b = next_byte(s, plus, &i);
		if (b < 0 || n == cap) return false;
		to[n++] = (char)b;
	}
	*ret_n = n;
	return true;
}

/* `to` holds "…/segment" of length n; returns the length after "." and ".." were taken away. */
static size_t close_segment(const char *to, size_t start, size_t n, bool last)
{
	size_t len = n - start;
	bool dot = len == 1 && to[start] == '.';
	bool dots = len == 2 && to[start] == '.' && to[start + 1] == '.';
	if (!dot && !dots) return n;
	/* Back to just after the slash before the segment, or before the one above it. */
	size_t at = start;
	if (dots && at > 1) {
		at--;
		while (to[at - 1] != '/')
			at--;
	}
	return last ? at : at - 1;
}

bool url_path(struct hg_str path, char *to, size_t cap, struct hg_str *ret_path)
{
	size_t n = 0, start = 0;
	if (path.n == 0 || path.p[0] != '/') return false;
	for (size_t i = 0; i < path.n;) {
		bool escaped = path.p[i] == '%';
		int b = next_byte(path, false, &i);
		if (b < 0) return false;
		bool kept = escaped && b == '/';
		if (b == '/' && !kept) n = n ? close_segment(to, start, n, false) : 0;
		if (cap - n < (kept ? 3u : 1u)) return false;
		if (kept) {
			memcpy(to + n, "%2F", 3);
			n += 3;
			continue;
		}
		to[n++] = (char)b;
		if (b == '/') start = n;
	}
	n = close_segment(to, start, n, true);
	*ret_path = (struct hg_str){to, n};
	return true;
}

bool url_query_next(struct hg_str *rest, struct hg_str *ret_name, struct hg_str *ret_value)
{
	while (rest->n) {
		struct hg_str value = hg_str_cut(rest, '&');
		if (value.n == 0) continue;
		*ret_name = hg_str_cut(&value, '=');
		*ret_value = value;
		return true;
	}
	return false;
}

static bool decodes_to(struct hg_str encoded, struct hg_str want)
{
	size_t at = 0;
	for (size_t i = 0; i < encoded.n; at++) {
		int b = next_byte(encoded, true, &i);
		if (b < 0 || at == want.n || (unsigned char)want.p[at] != b) return false;
	}
	return at == want.n;
}

bool url_query_find(struct hg_str query, struct hg_str name, struct hg_str *ret_value)
{
	struct hg_str have, value;
	while (url_query_next(&query, &have, &value)) {
		if (!decodes_to(have, name)) continue;
		*ret_value = value;
		return true;
	}
	return false;
}

static bool unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

void url_encode(struct hg_buf *to, struct hg_str s, const char *keep)
{
	static const char digit[] = "0123456789ABCDEF";
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (unreserved((char)c) || (c && strchr(keep, c))) {
			hg_buf_byte(to, (char)c);
		} else {
			const char text[3] = {'%', digit[c >> 4], digit[c & 15]};
			hg_buf_str(to, (struct hg_str){text, sizeof text});
		}
	}
}
