/* Numbers and durations as Prometheus reads and writes them. */
#include "ast_priv.h"
#include "wire/shortest.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NUMBER_MAX \
	400u /* bytes of a literal: a double has at most 1,075 digits, nobody writes them */

/* ---- reading ---- */

/* Without underscores, which stand between digits only. */
static bool plain(struct hg_str s, char to[NUMBER_MAX + 1])
{
	size_t n = 0;
	bool hex = s.n > 1 && s.p[0] == '0' && (s.p[1] | 32) == 'x';
	if (!s.n || s.n > NUMBER_MAX) return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '_') {
			to[n++] = s.p[i];
			continue;
		}
		if (i == 0 || i + 1 == s.n) return false;
		char before = s.p[i - 1], after = s.p[i + 1];
		bool ok = hex ? isxdigit((unsigned char)after) &&
		                          (isxdigit((unsigned char)before) || (before | 32) == 'x')
		              : isdigit((unsigned char)after) && isdigit((unsigned char)before);
		if (!ok) return false;
	}
	to[n] = 0;
	return true;
}

static bool only(const char *s, const char *of)
{
	return *s && s[strspn(s, of)] == 0;
}

bool pq_number_parse(struct hg_str s, double *ret_v)
{
	char text[NUMBER_MAX + 1], *end;
	if (!plain(s, text)) return false;
	if (text[0] == '0' && (text[1] | 32) == 'x') {
		if (!only(text + 2, "0123456789abcdefABCDEF")) return false;
		*ret_v = strtod(text, NULL);
		return true;
	}
	if (text[0] == '0' && text[1] && only(text, "01234567")) {
		double v = 0;
		for (const char *p = text; *p; p++)
			v = v * 8 + (*p - '0');
		*ret_v = v;
		return true;
	}
	if (!only(text, "0123456789.eE+-") || !(isdigit((unsigned char)text[0]) || text[0] == '.'))
		return false;
	*ret_v = strtod(text, &end);
	return *end == 0 && end != text;
}

bool pq_duration_parse(struct hg_str s, int64_t *ret_ms)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} row[] = {{"y", 31536000000}, {"w", 604800000}, {"d", 86400000}, {"h", 3600000},
	        {"m", 60000}, {"s", 1000}, {"ms", 1}};
	size_t i = 0, next = 0;
	int64_t ms = 0;
	if (!s.n) return false;
	while (i < s.n) {
		int64_t v = 0, part;
		size_t from = i, unit;
		while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') {
			if (__builtin_mul_overflow(v, (int64_t)10, &v) ||
			        __builtin_add_overflow(v, (int64_t)(s.p[i] - '0'), &v))
				return false;
			i++;
		}
		if (i == from) return false;
		unit = i;
		while (i < s.n && !(s.p[i] >= '0' && s.p[i] <= '9'))
			i++;
		for (; next < HG_COUNT(row); next++)
			if (hg_str_eq(
			            (struct hg_str){s.p + unit, i - unit}, hg_str(row[next].unit)))
				break;
		if (next == HG_COUNT(row)) return false;
		if (__builtin_mul_overflow(v, row[next].ms, &part) ||
		        __builtin_add_overflow(ms, part, &ms))
			return false;
		next++;
	}
	*ret_ms = ms;
	return true;
}

bool promql_duration(struct hg_str s, int64_t *ret_ms)
{
	if (hg_str_eq(s, HG_STR("0"))) {
		*ret_ms = 0;
		return true;
	}
	return pq_duration_parse(s, ret_ms);
}

bool promql_number(struct hg_str s, double *ret_v)
{
	bool minus = s.n && s.p[0] == '-';
	double v;
	if (s.n && (s.p[0] == '-' || s.p[0] == '+')) s = (struct hg_str){s.p + 1, s.n - 1};
	if (hg_str_eq_nocase(s, HG_STR("inf")) || hg_str_eq_nocase(s, HG_STR("infinity")))
		v = INFINITY;
	else if (hg_str_eq_nocase(s, HG_STR("nan")))
		v = NAN;
	else if (!pq_number_parse(s, &v))
		return false;
	*ret_v = minus ? -v : v;
	return true;
}

/* ---- writing ---- */

static bool odd_one(struct hg_buf *to, double v)
{
	if (isnan(v))
		hg_buf_cstr(to, "NaN");
	else if (isinf(v))
		hg_buf_cstr(to, v < 0 ? "-Inf" : "+Inf");
	else if (v == 0)
		hg_buf_cstr(to, signbit(v) ? "-0" : "0");
	else
		return false;
	return true;
}

void promql_print_number(struct hg_buf *to, double v)
{
	char digit[32] = "";
	int exponent = 0;
	if (odd_one(to, v)) return;
	if (v < 0) hg_buf_byte(to, '-');
	size_t n = shortest_digits(fabs(v), digit, &exponent);
	if (exponent < 0) {
		hg_buf_cstr(to, "0.");
		for (int i = -1; i > exponent; i--)
			hg_buf_byte(to, '0');
		hg_buf_str(to, (struct hg_str){digit, n});
		return;
	}
	for (size_t i = 0; i <= (size_t)exponent || i < n; i++) {
		if (i == (size_t)exponent + 1) hg_buf_byte(to, '.');
		hg_buf_byte(to, i < n ? digit[i] : '0');
	}
}

void pq_number_print(struct hg_buf *to, double v)
{
	char digit[32] = "";
	int exponent = 0;
	if (odd_one(to, v)) return;
	size_t n = shortest_digits(fabs(v), digit, &exponent);
	if (exponent >= -4 && exponent < 6) {
		promql_print_number(to, v);
		return;
	}
	if (v < 0) hg_buf_byte(to, '-');
	hg_buf_byte(to, digit[0]);
	if (n > 1) hg_buf_byte(to, '.');
	hg_buf_str(to, (struct hg_str){digit + 1, n - 1});
	hg_buf_fmt(to, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
}

void promql_print_duration(struct hg_buf *to, int64_t ms)
{
	pq_duration_print(to, ms);
}

void pq_duration_print(struct hg_buf *to, int64_t ms)
{
	static const struct {
		const char *unit;
		int64_t ms;
		bool exact; /* only when nothing is left: 8d, not 1w1d */
	} row[] = {{"y", 31536000000, true}, {"w", 604800000, true}, {"d", 86400000, false},
	        {"h", 3600000, false}, {"m", 60000, false}, {"s", 1000, false}, {"ms", 1, false}};
	if (!ms) {
		hg_buf_cstr(to, "0s");
		return;
	}
	uint64_t left = ms < 0 ? (uint64_t)0 - (uint64_t)ms : (uint64_t)ms;
	if (ms < 0) hg_buf_byte(to, '-');
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		uint64_t unit = (uint64_t)row[i].ms;
		if (left < unit || (row[i].exact && left % unit)) continue;
		hg_buf_u64(to, left / unit);
		hg_buf_cstr(to, row[i].unit);
		left %= unit;
	}
}

void pq_quote(struct hg_buf *to, struct hg_str s)
{
	static const char from[] = "\a\b\f\n\r\t\v\\\"", into[] = "abfnrtv\\\"";
	hg_buf_byte(to, '"');
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		const char *e = c ? strchr(from, c) : NULL;
		size_t len = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 0;
		if (e) {
			hg_buf_byte(to, '\\');
			hg_buf_byte(to, into[e - from]);
			i++;
		} else if (len > 1 && i + len <= s.n &&
		           hg_utf8_valid((struct hg_str){s.p + i, len})) {
			hg_buf_str(to, (struct hg_str){s.p + i, len});
			i += len;
		} else {
			if (c < 0x20 || c >= 0x7f)
				hg_buf_fmt(to, "\\x%02x", c);
			else
				hg_buf_byte(to, (char)c);
			i++;
		}
	}
	hg_buf_byte(to, '"');
}

bool pq_is_plain_name(struct hg_str s, bool colon)
{
	if (!s.n || (s.p[0] >= '0' && s.p[0] <= '9')) return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!(isalnum((unsigned char)c) || c == '_' || (colon && c == ':')) ||
		        (unsigned char)c >= 0x80)
			return false;
	}
	return true;
}
