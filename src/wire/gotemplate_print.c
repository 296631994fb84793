/* Values as text: Go's fmt. */
#include "wire/gotemplate_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Shortest digits that read back; *ret_point: where the point is, counted from the left. */
static size_t digits_of(double v, char to[static 20], int *ret_point)
{
	char text[40];
	for (int precision = 0; precision < 17; precision++) {
		snprintf(text, sizeof text, "%.*e", precision, v);
		if (strtod(text, NULL) == v) break;
	}
	size_t n = 0;
	const char *at = text;
	for (; *at && *at != 'e'; at++)
		if (*at != '.' && n < 19) to[n++] = *at;
	*ret_point = (int)strtol(at + 1, NULL, 10) + 1;
	while (n > 1 && to[n - 1] == '0')
		n--;
	return n;
}

static void shortest(struct hg_buf *to, double v, char verb)
{
	char d[20] = "";
	int point;
	if (signbit(v)) hg_buf_byte(to, '-');
	if (v == 0) {
		hg_buf_cstr(to, verb == 'e' ? "0e+00" : "0");
		return;
	}
	size_t n = digits_of(fabs(v), d, &point);
	int exponent = point - 1;
	bool science = verb == 'e' || (verb == 'g' && (exponent < -4 || exponent >= 6));
	if (science) {
		hg_buf_byte(to, d[0]);
		if (n > 1) hg_buf_byte(to, '.');
		hg_buf_str(to, (struct hg_str){d + 1, n - 1});
		hg_buf_fmt(to, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
		return;
	}
	if (point <= 0) hg_buf_cstr(to, "0.");
	for (int i = point; i < 0; i++)
		hg_buf_byte(to, '0');
	for (int i = 0; i < (int)n || i < point; i++) {
		if (i && i == point) hg_buf_byte(to, '.');
		hg_buf_byte(to, i < (int)n ? d[i] : '0');
	}
}

void gt_float_format(struct hg_buf *to, double v, char verb, int precision)
{
	if (isnan(v) || isinf(v)) {
		hg_buf_cstr(to, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
		return;
	}
	char lower = (char)(verb | 0x20);
	if (precision < 0 && lower == 'g') {
		shortest(to, v, 'g');
		return;
	}
	if (precision < 0) precision = 6;
	if (lower == 'e')
		hg_buf_fmt(to, "%.*e", precision, v);
	else if (lower == 'f')
		hg_buf_fmt(to, "%.*f", precision, v);
	else
		hg_buf_fmt(to, "%.*g", precision, v);
}

void gotemplate_number(struct hg_buf *to, double v)
{
	gt_float_format(to, v, 'g', -1);
}

/* time.Duration's String: "1h2m3.5s", "1.5ms". */
static void duration_print(struct hg_buf *to, int64_t ns)
{
	uint64_t u = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	if (!u) {
		hg_buf_cstr(to, "0s");
		return;
	}
	if (ns < 0) hg_buf_byte(to, '-');
	if (u < 1000000000) {
		const char *unit = u < 1000 ? "ns" : u < 1000000 ? "\xc2\xb5s" : "ms";
		shortest(to, (double)u / (u < 1000 ? 1.0 : u < 1000000 ? 1e3 : 1e6), 'f');
		hg_buf_cstr(to, unit);
		return;
	}
	uint64_t s = u / 1000000000, rest = u % 1000000000;
	if (s >= 3600) hg_buf_fmt(to, "%lluh", (unsigned long long)(s / 3600));
	if (s >= 60) hg_buf_fmt(to, "%llum", (unsigned long long)(s / 60 % 60));
	hg_buf_u64(to, s % 60);
	if (rest) {
		char text[16];
		size_t n = (size_t)snprintf(text, sizeof text, "%09llu", (unsigned long long)rest);
		while (n > 1 && text[n - 1] == '0')
			n--;
		hg_buf_byte(to, '.');
		hg_buf_str(to, (struct hg_str){text, n});
	}
	hg_buf_byte(to, 's');
}

static void print_depth(struct hg_buf *to, const struct gt_value *v, uint32_t depth)
{
	if (to->failed || depth > GT_DEPTH_MAX) return;
	switch (v->kind) {
	case GT_NONE: hg_buf_cstr(to, "<no value>"); return;
	case GT_BOOL: hg_buf_cstr(to, v->b ? "true" : "false"); return;
	case GT_INT: hg_buf_fmt(to, "%lld", (long long)v->i); return;
	case GT_FLOAT: gotemplate_number(to, v->f); return;
	case GT_STR:
	case GT_SAFE: hg_buf_str(to, v->s); return;
	case GT_TIME:
		gotemplate_time(to, v, HG_STR("2006-01-02 15:04:05.999999999 -0700 MST"));
		return;
	case GT_DURATION: duration_print(to, v->i); return;
	case GT_LIST:
		hg_buf_byte(to, '[');
		for (uint32_t i = 0; i < v->list.n; i++) {
			if (i) hg_buf_byte(to, ' ');
			print_depth(to, &v->list.at[i], depth + 1);
		}
		hg_buf_byte(to, ']');
		return;
	case GT_MAP: break;
	}
	hg_buf_cstr(to, v->type == GT_OBJECT ? "{" : "map[");
	for (uint32_t i = 0; i < v->map.n; i++) {
		if (i) hg_buf_byte(to, ' ');
		if (v->type != GT_OBJECT) {
			hg_buf_str(to, v->map.at[i].name);
			hg_buf_byte(to, ':');
		}
		print_depth(to, &v->map.at[i].value, depth + 1);
	}
	hg_buf_byte(to, v->type == GT_OBJECT ? '}' : ']');
}

void gotemplate_print(struct hg_buf *to, const struct gt_value *v)
{
	print_depth(to, v, 0);
}

/* ---- printf ---- */

struct verb {
	bool minus, plus, zero, space, sharp;
	int width, precision; /* -1: not given */
	char c;
};

/* strconv.Quote. */
static void quote(struct hg_buf *to, struct hg_str s)
{
	hg_buf_byte(to, '"');
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		static const char from[] = "\a\b\f\n\r\t\v\\\"", is[] = "abfnrtv\\\"";
		const char *at = c ? strchr(from, c) : NULL;
		if (at)
			hg_buf_fmt(to, "\\%c", is[at - from]);
		else if ((unsigned char)c < 0x20 || c == 0x7f)
			hg_buf_fmt(to, "\\x%02x", (unsigned char)c);
		else
			hg_buf_byte(to, c);
	}
	hg_buf_byte(to, '"');
}

/* "%!d(string=x)" */
static void bad_verb(struct hg_buf *to, char c, const struct gt_value *v)
{
	hg_buf_fmt(to, "%%!%c(", c);
	if (v->kind == GT_NONE) {
		hg_buf_cstr(to, "<nil>)");
		return;
	}
	hg_buf_fmt(to, "%s=", gt_kind_name(v));
	gotemplate_print(to, v);
	hg_buf_byte(to, ')');
}

static void integer(struct hg_buf *to, const struct verb *f, int64_t i)
{
	uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
	if (i < 0)
		hg_buf_byte(to, '-');
	else if (f->plus)
		hg_buf_byte(to, '+');
	else if (f->space)
		hg_buf_byte(to, ' ');
	if (f->c == 'b') {
		char bits[65];
		size_t n = sizeof bits;
		do {
			bits[--n] = (char)('0' + (u & 1));
			u >>= 1;
		} while (u);
		hg_buf_str(to, (struct hg_str){bits + n, sizeof bits - n});
		return;
	}
	if (f->sharp && f->c == 'x') hg_buf_cstr(to, "0x");
	if (f->c == 'x')
		hg_buf_fmt(to, "%llx", (unsigned long long)u);
	else if (f->c == 'X')
		hg_buf_fmt(to, "%llX", (unsigned long long)u);
	else if (f->c == 'o')
		hg_buf_fmt(to, "%llo", (unsigned long long)u);
	else
		hg_buf_u64(to, u);
}

static void hex(struct hg_buf *to, const struct verb *f, struct hg_str s)
{
	size_t n = f->precision >= 0 ? HG_MIN(s.n, (size_t)f->precision) : s.n;
	for (size_t i = 0; i < n; i++)
		hg_buf_fmt(to, f->c == 'x' ? "%02x" : "%02X", (unsigned char)s.p[i]);
}

static struct hg_str cut_runes(struct hg_str s, int n)
{
	if (n < 0) return s;
	size_t i = 0;
	while (i < s.n && n-- > 0) {
		i++;
		while (i < s.n && (s.p[i] & 0xc0) == 0x80)
			i++;
	}
	return (struct hg_str){s.p, i};
}

static void text_verb(struct hg_buf *to, const struct verb *f, const struct gt_value *v)
{
	if (f->c == 'x' || f->c == 'X')
		hex(to, f, v->s);
	else if (f->c == 'q')
		quote(to, cut_runes(v->s, f->precision));
	else if (f->c == 's' || f->c == 'v')
		hg_buf_str(to, cut_runes(v->s, f->precision));
	else
		bad_verb(to, f->c, v);
}

static void float_verb(struct hg_buf *to, const struct verb *f, double v)
{
	if (f->plus && !signbit(v) && !isnan(v) && !isinf(v)) hg_buf_byte(to, '+');
	if (f->space && !f->plus && !signbit(v)) hg_buf_byte(to, ' ');
	gt_float_format(to, v, f->c == 'v' ? 'g' : f->c, f->precision);
}

static void rune(struct hg_buf *to, int64_t i)
{
	uint32_t c = i < 0 || i > 0x10ffff ? 0xfffd : (uint32_t)i;
	if (c < 0x80)
		hg_buf_byte(to, (char)c);
	else if (c < 0x800)
		hg_buf_fmt(to, "%c%c", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
	else if (c < 0x10000)
		hg_buf_fmt(to, "%c%c%c", 0xe0 | c >> 12, 0x80 | (c >> 6 & 0x3f), 0x80 | (c & 0x3f));
	else
		hg_buf_fmt(to, "%c%c%c%c", 0xf0 | c >> 18, 0x80 | (c >> 12 & 0x3f),
		        0x80 | (c >> 6 & 0x3f), 0x80 | (c & 0x3f));
}

static void one_verb(struct hg_buf *to, const struct verb *f, const struct gt_value *v)
{
	bool number = v->kind == GT_INT || v->kind == GT_DURATION;
	if (f->c == 'T')
		hg_buf_cstr(to, gt_kind_name(v));
	else if (v->kind == GT_STR || v->kind == GT_SAFE)
		text_verb(to, f, v);
	else if (v->kind == GT_FLOAT && strchr("veEfFgG", f->c))
		float_verb(to, f, v->f);
	else if (v->kind == GT_INT && f->c == 'c')
		rune(to, v->i);
	else if (v->kind == GT_INT && f->c == 'q')
		hg_buf_fmt(to, "'%c'", v->i >= ' ' && v->i < 127 ? (char)v->i : '?');
	else if (number && (strchr("dxXob", f->c) || (f->c == 'v' && v->kind == GT_INT)))
		integer(to, f, v->i);
	else if (v->kind == GT_BOOL && f->c == 't')
		gotemplate_print(to, v);
	else if (f->c == 'v' && v->kind == GT_NONE)
		hg_buf_cstr(to, "<nil>");
	else if (f->c == 'v' || (f->c == 's' && (v->kind > GT_SAFE)))
		gotemplate_print(to, v);
	else
		bad_verb(to, f->c, v);
}

static size_t runes(struct hg_str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += (s.p[i] & 0xc0) != 0x80;
	return n;
}

static void padded(struct hg_buf *to, const struct verb *f, struct hg_str s)
{
	size_t have = runes(s), want = f->width > 0 ? (size_t)f->width : 0;
	size_t pad = want > have ? want - have : 0;
	bool zero = f->zero && !f->minus && s.n;
	if (zero && pad && (s.p[0] == '-' || s.p[0] == '+')) {
		hg_buf_byte(to, s.p[0]);
		s.p++;
		s.n--;
	}
	for (size_t i = 0; i < pad && !f->minus; i++)
		hg_buf_byte(to, zero ? '0' : ' ');
	hg_buf_str(to, s);
	for (size_t i = 0; i < pad && f->minus; i++)
		hg_buf_byte(to, ' ');
}

static int number_at(
        struct hg_str s, size_t *at, const struct gt_value *args, uint32_t n, uint32_t *used)
{
	int v = 0;
	if (*at < s.n && s.p[*at] == '*') {
		++*at;
		if (*used >= n || args[*used].kind != GT_INT) return -1;
		int64_t i = args[(*used)++].i;
		return i < 0 || i > 10000 ? -1 : (int)i;
	}
	size_t from = *at;
	while (*at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9') {
		v = HG_MIN(v * 10 + (s.p[*at] - '0'), 10000);
		++*at;
	}
	return *at > from ? v : -1;
}

static void flags(struct hg_str s, size_t *at, struct verb *f)
{
	for (; *at < s.n; ++*at) {
		switch (s.p[*at]) {
		case '-': f->minus = true; break;
		case '+': f->plus = true; break;
		case '0': f->zero = true; break;
		case ' ': f->space = true; break;
		case '#': f->sharp = true; break;
		default: return;
		}
	}
}

void gt_printf(struct hg_buf *to, struct hg_str s, const struct gt_value *args, uint32_t n)
{
	uint32_t used = 0;
	for (size_t i = 0; i < s.n && !to->failed;) {
		struct verb f = {.precision = -1};
		if (s.p[i] != '%') {
			hg_buf_byte(to, s.p[i++]);
			continue;
		}
		i++;
		flags(s, &i, &f);
		f.width = number_at(s, &i, args, n, &used);
		if (i < s.n && s.p[i] == '.') {
			i++;
			f.precision = number_at(s, &i, args, n, &used);
			if (f.precision < 0) f.precision = 0;
		}
		if (i >= s.n) {
			hg_buf_cstr(to, "%!(NOVERB)");
			break;
		}
		f.c = s.p[i++];
		if (f.c == '%') {
			hg_buf_byte(to, '%');
		} else if (used >= n) {
			hg_buf_fmt(to, "%%!%c(MISSING)", f.c);
		} else {
			struct hg_buf b;
			hg_buf_init(&b, to->max);
			one_verb(&b, &f, &args[used++]);
			padded(to, &f, hg_buf_view(&b));
			if (b.failed) to->failed = true;
			hg_buf_free(&b);
		}
	}
	if (used >= n) return;
	hg_buf_cstr(to, "%!(EXTRA ");
	for (uint32_t i = used; i < n; i++) {
		hg_buf_fmt(to, "%s%s=", i > used ? ", " : "", gt_kind_name(&args[i]));
		gotemplate_print(to, &args[i]);
	}
	hg_buf_byte(to, ')');
}
