#include "wire/mail.h"

#include "wire/base64.h"
#include "wire/date.h"
#include "wire/tracectx.h"

#define LINE_MAX_CHARS 76u /* RFC 2045 section 6.7, RFC 2047 section 2 */
#define LOCAL_MAX      64u
#define WORD_HEAD      HG_STR("=?utf-8?B?")
#define WORD_AROUND    12u /* "=?utf-8?B?" and "?=" */
#define REPLACEMENT    HG_STR("\xef\xbf\xbd")

/* ---- addresses ---- */

static bool alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Words of `good` characters and letters with single dots between. */
static bool dotted(struct hg_str s, const char *good, size_t max)
{
	bool dot = true;
	if (s.n == 0 || s.n > max) return false;
	for (size_t i = 0; i < s.n; i++) {
		bool is_dot = s.p[i] == '.';
		if (is_dot && dot) return false;
		if (!is_dot && !alnum(s.p[i]) && (!s.p[i] || !strchr(good, s.p[i]))) return false;
		dot = is_dot;
	}
	return !dot;
}

static bool addr_ok(struct hg_str a)
{
	size_t at = hg_str_find(a, '@');
	if (at >= a.n || a.n > MAIL_ADDRESS_MAX) return false;
	struct hg_str local = {a.p, at}, domain = {a.p + at + 1, a.n - at - 1};
	return dotted(local, "!#$%&'*+-/=?^_`{|}~", LOCAL_MAX) && dotted(domain, "-", 253) &&
	       domain.p[0] != '-' && domain.p[domain.n - 1] != '-';
}

static bool name_ok(struct hg_str name)
{
	if (name.n > MAIL_NAME_MAX || !hg_utf8_valid(name)) return false;
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];
		if (c < 0x20 || c == 0x7f || c == '<' || c == '>' || c == '"' || c == '\\')
			return false;
	}
	return true;
}

bool mail_address_parse(struct hg_str text, struct mail_address *ret_address)
{
	struct mail_address a = {.name = {"", 0}, .addr = hg_str_trim(text)};
	size_t open = hg_str_find(a.addr, '<');
	if (open < a.addr.n) {
		if (a.addr.p[a.addr.n - 1] != '>') return false;
		a.name = hg_str_trim((struct hg_str){a.addr.p, open});
		a.addr = (struct hg_str){a.addr.p + open + 1, a.addr.n - open - 2};
		if (a.name.n >= 2 && a.name.p[0] == '"' && a.name.p[a.name.n - 1] == '"')
			a.name = (struct hg_str){a.name.p + 1, a.name.n - 2};
	}
	if (!addr_ok(a.addr) || !name_ok(a.name)) return false;
	*ret_address = a;
	return true;
}

/* ---- text ---- */

/* The length of the UTF-8 sequence at the start of `s`, 0 when there is none. */
static size_t sequence(struct hg_str s)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (n > s.n) return 0;
	return hg_utf8_valid((struct hg_str){s.p, n}) ? n : 0;
}

/* Takes one character off `*rest`, as it is to be shown: never a control character. */
static struct hg_str next(struct hg_str *rest, bool tab)
{
	size_t n = sequence(*rest);
	struct hg_str c = {rest->p, n};
	unsigned char first = (unsigned char)rest->p[0];
	size_t took = n ? n : 1;
	if (!n)
		c = REPLACEMENT;
	else if ((first < 0x20 && !(tab && first == '\t')) || first == 0x7f)
		c = tab ? REPLACEMENT : HG_STR(" ");
	else if (n == 2 && first == 0xc2 && (unsigned char)rest->p[1] < 0xa0)
		c = REPLACEMENT; /* the controls from U+0080 to U+009F */
	*rest = (struct hg_str){rest->p + took, rest->n - took};
	return c;
}

/* Cuts a line off; CRLF, LF and CR end one. False when nothing is left. */
static bool next_line(struct hg_str *rest, struct hg_str *ret_line)
{
	size_t n = 0, end;
	if (!rest->n) return false;
	while (n < rest->n && rest->p[n] != '\n' && rest->p[n] != '\r')
		n++;
	*ret_line = (struct hg_str){rest->p, n};
	end = HG_MIN(n + 1, rest->n);
	if (n + 1 < rest->n && rest->p[n] == '\r' && rest->p[n + 1] == '\n') end = n + 2;
	*rest = (struct hg_str){rest->p + end, rest->n - end};
	return true;
}

/* ---- header ---- */

static bool plain(struct hg_str s, const char *specials)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c < 0x20 || c > 0x7e || strchr(specials, c)) return false;
		if (c == '=' && i + 1 < s.n && s.p[i + 1] == '?') return false;
	}
	return s.n == 0 || (s.p[0] != ' ' && s.p[s.n - 1] != ' ');
}

/*
 * Encoded words, each of whole characters, with a fold between; readers leave that out. `column`
 * is where the first begins. Returns the column behind the last.
 */
static size_t words(struct hg_buf *to, struct hg_str s, size_t column)
{
	char piece[LINE_MAX_CHARS];
	while (s.n) {
		size_t room =
		        (LINE_MAX_CHARS - HG_MIN(column + WORD_AROUND, LINE_MAX_CHARS)) / 4 * 3;
		size_t n = 0;
		while (s.n) {
			struct hg_str rest = s, c = next(&rest, false);
			if (n + c.n > room) break;
			memcpy(piece + n, c.p, c.n);
			n += c.n;
			s = rest;
		}
		if (n) {
			hg_buf_str(to, WORD_HEAD);
			base64_encode(to, (struct hg_str){piece, n});
			hg_buf_cstr(to, "?=");
			column += WORD_AROUND + (n + 2) / 3 * 4;
		}
		if (!s.n) break;
		hg_buf_cstr(to, "\r\n ");
		column = 1;
	}
	return column;
}

static void subject(struct hg_buf *to, struct hg_str s)
{
	hg_buf_cstr(to, "Subject: ");
	if (s.n + 9 <= LINE_MAX_CHARS && plain(s, ""))
		hg_buf_str(to, s);
	else
		(void)words(to, s, 9);
	hg_buf_cstr(to, "\r\n");
}

static void address(struct hg_buf *to, const char *field, const struct mail_address *a)
{
	size_t column = strlen(field) + 2;
	hg_buf_fmt(to, "%s: ", field);
	if (a->name.n) {
		/* In quotes: a name may have dots and commas. */
		if (a->name.n + column + 2 <= LINE_MAX_CHARS && plain(a->name, "\"\\")) {
			hg_buf_fmt(to, "\"%.*s\"", HG_STR_ARG(a->name));
			column += a->name.n + 2;
		} else {
			column = words(to, a->name, column);
		}
		hg_buf_cstr(to, column + a->addr.n + 3 > LINE_MAX_CHARS ? "\r\n " : " ");
		hg_buf_fmt(to, "<%.*s>\r\n", HG_STR_ARG(a->addr));
	} else {
		hg_buf_fmt(to, "%.*s\r\n", HG_STR_ARG(a->addr));
	}
}

static void identity(struct hg_buf *to, const struct mail *m)
{
	size_t at = hg_str_find(m->from.addr, '@') + 1;
	/* It cannot be folded, and a line has 998 characters at most (RFC 5322 section 2.1.1). */
	size_t n = HG_MIN(m->id.n, MAIL_ID_MAX);
	hg_buf_cstr(to, "Message-ID: <");
	for (size_t i = 0; i < n; i++) {
		char c = m->id.p[i];
		bool good = alnum(c) || (i && i + 1 < n && strchr("-._", c) && c);
		hg_buf_byte(to, good ? c : '_');
	}
	hg_buf_fmt(to, "@%.*s>\r\n", (int)(m->from.addr.n - at), m->from.addr.p + at);
}

/* ---- body ---- */

/* Quoted-printable costs three bytes for one, base64 four for three. */
static bool mostly_ascii(struct hg_str body)
{
	size_t other = 0;
	for (size_t i = 0; i < body.n; i++)
		other += (unsigned char)body.p[i] >= 0x80;
	return other * 6 <= body.n;
}

static void quoted_line(struct hg_buf *to, struct hg_str line)
{
	static const char hex[] = "0123456789ABCDEF";
	/* What a mailbox file or a careless relay would change: a dot alone, "From " in front. */
	bool odd = hg_str_starts(line, HG_STR(".")) || hg_str_starts(line, HG_STR("From "));
	size_t column = 0;
	while (line.n) {
		struct hg_str c = next(&line, true);
		for (size_t i = 0; i < c.n; i++) {
			unsigned char b = (unsigned char)c.p[i];
			bool end = line.n == 0 && i + 1 == c.n;
			bool blank = b == ' ' || b == '\t';
			bool quote = b > 0x7e || b == '=' || (blank && end) || odd;
			size_t n = quote ? 3 : 1;
			odd = false;
			/* One column stays for the "=" that says that the line goes on. */
			if (column + n > LINE_MAX_CHARS - (end ? 0 : 1)) {
				hg_buf_cstr(to, "=\r\n");
				column = 0;
			}
			/* The line that is begun anew must not begin with a dot either. */
			if (column == 0 && b == '.') quote = true, n = 3;
			if (quote) {
				const char q[3] = {'=', hex[b >> 4], hex[b & 15]};
				hg_buf_str(to, (struct hg_str){q, sizeof q});
			} else {
				hg_buf_byte(to, (char)b);
			}
			column += n;
		}
	}
	hg_buf_cstr(to, "\r\n");
}

/* In pieces of 57 bytes, which are 76 characters. */
struct wrap {
	struct hg_buf *to;
	char piece[57];
	size_t n;
};

static void wrap_flush(struct wrap *w)
{
	if (!w->n) return;
	base64_encode(w->to, (struct hg_str){w->piece, w->n});
	hg_buf_cstr(w->to, "\r\n");
	w->n = 0;
}

static void wrap_add(struct wrap *w, struct hg_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		w->piece[w->n++] = s.p[i];
		if (w->n == sizeof w->piece) wrap_flush(w);
	}
}

static void body(struct hg_buf *to, struct hg_str text, bool quoted)
{
	struct wrap w = {.to = to};
	struct hg_str line;
	while (next_line(&text, &line)) {
		if (quoted) {
			quoted_line(to, line);
			continue;
		}
		while (line.n)
			wrap_add(&w, next(&line, true));
		wrap_add(&w, HG_STR("\r\n"));
	}
	wrap_flush(&w);
}

void mail_write(struct hg_buf *to, const struct mail *m)
{
	char date[DATE_HTTP_SIZE];
	struct tracectx trace;
	char traceparent[TRACECTX_SIZE];
	bool quoted = mostly_ascii(m->body);
	date_http(m->unix_s, date);
	/* RFC 5322 has a number for the zone; "GMT" is its obsolete form. */
	hg_buf_fmt(to, "Date: %.26s+0000\r\n", date);
	address(to, "From", &m->from);
	address(to, "To", &m->to);
	subject(to, m->subject);
	identity(to, m);
	if (tracectx_read(m->trace, &trace)) {
		/* Anew: what follows in a later version could be anything. */
		tracectx_write(&trace, traceparent);
		hg_buf_fmt(to, "Traceparent: %.*s\r\n", (int)sizeof traceparent, traceparent);
	}
	hg_buf_fmt(to,
	        "MIME-Version: 1.0\r\n"
	        "Content-Type: text/plain; charset=utf-8\r\n"
	        "Content-Transfer-Encoding: %s\r\n"
	        "Auto-Submitted: auto-generated\r\n"
	        "\r\n",
	        quoted ? "quoted-printable" : "base64");
	body(to, m->body, quoted);
}
