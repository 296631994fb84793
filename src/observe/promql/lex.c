/* Text → tokens, on demand. Keywords are names here: the parser knows where one may stand. */
#include "ast_priv.h"

#include <ctype.h>

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char look(const struct pq_lex *l, uint32_t ahead)
{
	return l->at + ahead < l->text.n ? l->text.p[l->at + ahead] : 0;
}

static void skip_space(struct pq_lex *l)
{
	while (l->at < l->text.n) {
		char c = l->text.p[l->at];
		if (c == '#')
			while (l->at < l->text.n && l->text.p[l->at] != '\n')
				l->at++;
		else if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
			l->at++;
		else
			break;
	}
}

static struct hg_str cut(const struct pq_lex *l, uint32_t from)
{
	return (struct hg_str){l->text.p + from, l->at - from};
}

static struct pq_tok failed(const struct pq_lex *l, uint32_t from, const char *why)
{
	return (struct pq_tok){PQ_T_ERROR, from, l->at, cut(l, from), 0, false, why};
}

/* ---- numbers and durations ---- */

static void digits(struct pq_lex *l, bool hex)
{
	while (l->at < l->text.n) {
		char c = l->text.p[l->at];
		if (!(c == '_' || is_digit(c) || (hex && isxdigit((unsigned char)c)))) break;
		l->at++;
	}
}

static struct pq_tok number(struct pq_lex *l)
{
	uint32_t from = l->at;
	struct pq_tok t = {.kind = PQ_T_NUMBER, .from = from};
	int64_t ms;
	if (look(l, 0) == '0' && (look(l, 1) == 'x' || look(l, 1) == 'X')) {
		l->at += 2;
		digits(l, true);
	} else {
		digits(l, false);
		if (look(l, 0) == '.') {
			l->at++;
			digits(l, false);
		}
		if (look(l, 0) == 'e' || look(l, 0) == 'E') {
			uint32_t sign = look(l, 1) == '+' || look(l, 1) == '-';
			if (is_digit(look(l, 1 + sign))) {
				l->at += 1 + sign;
				digits(l, false);
			}
		}
	}
	/* 5m, 1h30m: what follows belongs to it. */
	while (is_alpha(look(l, 0)) || is_digit(look(l, 0)))
		l->at++;
	t.to = l->at;
	t.text = cut(l, from);
	if (pq_number_parse(t.text, &t.number)) return t;
	if (!pq_duration_parse(t.text, &ms))
		return failed(l, from, "bad number or duration syntax");
	t.number = (double)ms / 1000;
	t.is_duration = true;
	return t;
}

/* ---- strings ---- */

static unsigned hex_value(const char *p, unsigned n, bool *ok)
{
	unsigned v = 0;
	for (unsigned i = 0; i < n; i++) {
		char c = p[i];
		if (!isxdigit((unsigned char)c)) {
			*ok = false;
			return 0;
		}
		v = v * 16 + (unsigned)(is_digit(c) ? c - '0' : (c | 32) - 'a' + 10);
	}
	return v;
}

static size_t utf8_put(char *to, unsigned cp)
{
	if (cp < 0x80) {
		to[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		to[0] = (char)(0xc0 | cp >> 6);
		to[1] = (char)(0x80 | (cp & 63));
		return 2;
	}
	if (cp < 0x10000) {
		to[0] = (char)(0xe0 | cp >> 12);
		to[1] = (char)(0x80 | (cp >> 6 & 63));
		to[2] = (char)(0x80 | (cp & 63));
		return 3;
	}
	to[0] = (char)(0xf0 | cp >> 18);
	to[1] = (char)(0x80 | (cp >> 12 & 63));
	to[2] = (char)(0x80 | (cp >> 6 & 63));
	to[3] = (char)(0x80 | (cp & 63));
	return 4;
}

/* One escape after its backslash at p[0]; 0: not one. Never longer decoded than written. */
static size_t escape(const char *p, size_t left, char quote, char *to, size_t *ret_n)
{
	static const char from[] = "abfnrtv\\", into[] = "\a\b\f\n\r\t\v\\";
	bool ok = true;
	unsigned v;
	*ret_n = 1;
	if (!left) return 0;
	if (p[0] == quote) {
		to[0] = quote;
		return 1;
	}
	for (size_t i = 0; from[i]; i++)
		if (p[0] == from[i]) {
			to[0] = into[i];
			return 1;
		}
	unsigned n = p[0] == 'x' ? 2 : p[0] == 'u' ? 4 : p[0] == 'U' ? 8 : 0;
	if (n) {
		if (left < n + 1) return 0;
		v = hex_value(p + 1, n, &ok);
		if (!ok) return 0;
		if (n == 2) {
			to[0] = (char)v;
			return 3;
		}
		if (v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) return 0;
		*ret_n = utf8_put(to, v);
		return n + 1;
	}
	if (left < 3) return 0;
	v = 0;
	for (unsigned i = 0; i < 3; i++) {
		if (p[i] < '0' || p[i] > '7') return 0;
		v = v * 8 + (unsigned)(p[i] - '0');
	}
	if (v > 255) return 0;
	to[0] = (char)v;
	return 3;
}

static struct pq_tok string(struct pq_lex *l)
{
	uint32_t from = l->at;
	char quote = l->text.p[l->at++];
	/* The decoded text is never longer than what was written. */
	const char *end = memchr(l->text.p + l->at, quote, l->text.n - l->at);
	struct pq_tok t = {.kind = PQ_T_STRING, .from = from};
	size_t n = 0, used, put;
	if (!end) {
		l->at = (uint32_t)l->text.n;
		return failed(l, from, "unterminated quoted string");
	}
	if (quote == '`') {
		t.text = (struct hg_str){l->text.p + l->at, (size_t)(end - l->text.p) - l->at};
		l->at = t.to = (uint32_t)(end - l->text.p) + 1;
		return t;
	}
	uint32_t stop = l->at;
	while (stop < l->text.n && l->text.p[stop] != quote && l->text.p[stop] != '\n')
		stop += l->text.p[stop] == '\\' ? 2 : 1;
	if (stop >= l->text.n || l->text.p[stop] == '\n') {
		l->at = (uint32_t)HG_MIN(stop, l->text.n);
		return failed(l, from, "unterminated quoted string");
	}
	char *to = hg_arena_take(l->arena, stop - l->at + 1);
	if (!to) return failed(l, from, "out of memory");
	while (l->at < stop) {
		if (l->text.p[l->at] != '\\') {
			to[n++] = l->text.p[l->at++];
			continue;
		}
		used = escape(l->text.p + l->at + 1, stop - l->at - 1, quote, to + n, &put);
		if (!used) return failed(l, from, "unknown escape sequence");
		n += put;
		l->at += 1 + (uint32_t)used;
	}
	t.text = (struct hg_str){to, n};
	l->at = t.to = stop + 1;
	return t;
}

/* ---- everything else ---- */

static struct pq_tok name(struct pq_lex *l)
{
	uint32_t from = l->at;
	while (is_alpha(look(l, 0)) || is_digit(look(l, 0)) ||
	        (look(l, 0) == ':' && !l->brackets && !l->braces))
		l->at++;
	return (struct pq_tok){.kind = PQ_T_NAME, .from = from, .to = l->at, .text = cut(l, from)};
}

static struct pq_tok symbol(struct pq_lex *l)
{
	static const char two[][3] = {"==", "!=", ">=", "<=", "</", ">/", "=~", "!~"};
	static const char one[] = "(){}[],:@+-*/%^=<>";
	uint32_t from = l->at;
	struct pq_tok t = {.kind = PQ_T_SYMBOL, .from = from};
	for (size_t i = 0; i < HG_COUNT(two); i++) {
		if (look(l, 0) != two[i][0] || look(l, 1) != two[i][1]) continue;
		l->at += 2;
		t.to = l->at;
		t.text = cut(l, from);
		return t;
	}
	char c = l->text.p[l->at++];
	if (!c || !memchr(one, c, sizeof one - 1)) {
		/* The whole of it: half a character would make the message no UTF-8. */
		while (((unsigned char)look(l, 0) & 0xc0) == 0x80)
			l->at++;
		return failed(l, from, "unexpected character");
	}
	if (c == '[') l->brackets++;
	if (c == ']' && l->brackets) l->brackets--;
	if (c == '{') l->braces++;
	if (c == '}' && l->braces) l->braces--;
	t.to = l->at;
	t.text = cut(l, from);
	return t;
}

struct pq_tok pq_lex_next(struct pq_lex *l)
{
	skip_space(l);
	if (l->at >= l->text.n)
		return (struct pq_tok){.kind = PQ_T_END, .from = l->at, .to = l->at};
	char c = look(l, 0);
	if (is_digit(c) || (c == '.' && is_digit(look(l, 1)))) return number(l);
	if (c == '"' || c == '\'' || c == '`') return string(l);
	if (is_alpha(c) || (c == ':' && !l->brackets && !l->braces)) return name(l);
	return symbol(l);
}

void pq_place(struct hg_str text, uint32_t at, unsigned *ret_line, unsigned *ret_column)
{
	unsigned line = 1, column = 1;
	for (uint32_t i = 0; i < at && i < text.n; i++) {
		if (text.p[i] == '\n') {
			line++;
			column = 1;
		} else {
			column++;
		}
	}
	*ret_line = line;
	*ret_column = column;
}
