/*
 * Text of others: versions, commands, paths and bodies come from files and from the network. What
 * reaches a terminal is letters, in as many columns as there are.
 */
#include "rollout_priv.h"

#include <stdio.h>

struct range {
	uint32_t from, to;
};

static bool in_ranges(const struct range *r, size_t n, uint32_t ch)
{
	for (size_t i = 0; i < n; i++)
		if (ch >= r[i].from && ch <= r[i].to) return true;
	return false;
}

/* Unicode 15, East_Asian_Width W and F, in the blocks that occur. */
static bool is_wide(uint32_t ch)
{
	static const struct range wide[] = {{0x1100, 0x115f}, {0x231a, 0x231b}, {0x23e9, 0x23ec},
	        {0x2e80, 0x303e}, {0x3041, 0x33ff}, {0x3400, 0x4dbf}, {0x4e00, 0xa4cf},
	        {0xa960, 0xa97c}, {0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe30, 0xfe6f},
	        {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
	        {0x1f900, 0x1faff}, {0x20000, 0x3fffd}};
	return ch >= 0x1100 && in_ranges(wide, HG_COUNT(wide), ch);
}

static bool is_combining(uint32_t ch)
{
	static const struct range none[] = {{0x300, 0x36f}, {0x483, 0x489}, {0x591, 0x5bd},
	        {0x610, 0x61a}, {0x64b, 0x65f}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},
	        {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xe0100, 0xe01ef}};
	return ch >= 0x300 && in_ranges(none, HG_COUNT(none), ch);
}

/* Invisible, or changes the order in which others are shown (UAX 9). */
static bool is_hidden(uint32_t ch)
{
	static const struct range hidden[] = {{0x00, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad},
	        {0x61c, 0x61c}, {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},
	        {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f}};
	return in_ranges(hidden, HG_COUNT(hidden), ch);
}

/* One code point off the front; a byte that is none is U+FFFD. */
static uint32_t next(struct hg_str *s)
{
	unsigned char b = (unsigned char)s->p[0];
	size_t n = b < 0x80 ? 1 : b >= 0xf0 ? 4 : b >= 0xe0 ? 3 : b >= 0xc2 ? 2 : 0;
	uint32_t ch = n == 1 ? b : b & (0x7fu >> n);
	bool good = n > 0 && n <= s->n && b < 0xf5;
	for (size_t i = 1; good && i < n; i++) {
		good = ((unsigned char)s->p[i] & 0xc0) == 0x80;
		ch = ch << 6 | ((unsigned char)s->p[i] & 0x3f);
	}
	if (!good) n = 1;
	s->p += n;
	s->n -= n;
	return good ? ch : 0xfffd;
}

/* Skips our own colours, ESC [ … m. */
static bool skip_colour(struct hg_str *s)
{
	if (s->n < 2 || s->p[0] != '\033' || s->p[1] != '[') return false;
	size_t end = hg_str_find(*s, 'm');
	end += end < s->n;
	s->p += end;
	s->n -= end;
	return true;
}

static size_t columns_of(uint32_t ch)
{
	return is_combining(ch) || is_hidden(ch) ? 0 : is_wide(ch) ? 2 : 1;
}

size_t cli_columns(struct hg_str text)
{
	size_t n = 0;
	while (text.n)
		if (!skip_colour(&text)) n += columns_of(next(&text));
	return n;
}

/* What stands for a letter on a terminal that knows ASCII only. */
static const char *ascii_of(uint32_t ch)
{
	static const struct {
		uint32_t ch;
		const char *text;
	} rows[] = {{0x2192, "->"}, {0x2190, "<-"}, {0x2265, ">="}, {0x2264, "<="}, {0xd7, "x"},
	        {0x2013, "-"}, {0x2014, "-"}, {0x2026, "..."}, {0xa0, " "}, {0x2018, "'"},
	        {0x2019, "'"}, {0x201c, "\""}, {0x201d, "\""}, {0xb1, "+-"}, {0x2212, "-"}};
	for (size_t i = 0; i < HG_COUNT(rows); i++)
		if (rows[i].ch == ch) return rows[i].text;
	return "?";
}

/* The cleaned text of `text` without a limit. */
static void clean(const struct cli *c, struct hg_str text, struct hg_buf *to)
{
	struct hg_buf plain;
	hg_buf_init(&plain, 1u << 20);
	/* Line feeds become spaces here; sequences of a terminal go as a whole. */
	cli_clean(&plain, text);
	struct hg_str rest = hg_buf_view(&plain);
	while (rest.n) {
		const char *at = rest.p;
		uint32_t ch = next(&rest);
		if (is_hidden(ch)) continue;
		if (ch >= 0x80 && !c->utf8)
			hg_buf_cstr(to, is_combining(ch) ? "" : ascii_of(ch));
		else if (ch == 0xfffd)
			hg_buf_cstr(to, "\xef\xbf\xbd");
		else
			hg_buf_str(to, (struct hg_str){at, (size_t)(rest.p - at)});
	}
	hg_buf_free(&plain);
}

/* Line feeds and tabs are spaces between words. */
static void one_line(struct hg_str text, struct hg_buf *to)
{
	bool space = false;
	for (size_t i = 0; i < text.n; i++) {
		char ch = text.p[i];
		bool blank = ch == '\n' || ch == '\r' || ch == '\t' || ch == ' ';
		if (blank) {
			space = to->n > 0;
			continue;
		}
		if (space) hg_buf_byte(to, ' ');
		space = false;
		hg_buf_byte(to, ch);
	}
}

size_t cli_put(const struct cli *c, struct hg_buf *to, struct hg_str text, size_t columns)
{
	struct hg_buf line, good;
	size_t used = 0;
	hg_buf_init(&line, 1u << 20);
	hg_buf_init(&good, 1u << 20);
	one_line(text, &line);
	clean(c, hg_buf_view(&line), &good);
	struct hg_str rest = hg_buf_view(&good);
	size_t width = cli_columns(rest), dots = c->utf8 ? 1 : 3;
	bool cut = width > columns;
	size_t room = !cut ? columns : columns > dots ? columns - dots : 0;
	while (rest.n) {
		const char *at = rest.p;
		size_t w = columns_of(next(&rest));
		if (used + w > room) break;
		used += w;
		hg_buf_str(to, (struct hg_str){at, (size_t)(rest.p - at)});
	}
	if (cut && columns >= dots) {
		hg_buf_cstr(to, c->utf8 ? "…" : "...");
		used += dots;
	}
	hg_buf_free(&line);
	hg_buf_free(&good);
	return used;
}

void cli_cell(const struct cli *c, struct hg_buf *to, const char *text, size_t columns)
{
	for (size_t n = cli_put(c, to, hg_str(text), columns); n < columns; n++)
		hg_buf_byte(to, ' ');
}

void cli_wrap(const struct cli *c, struct hg_buf *to, struct hg_str text, size_t indent)
{
	struct hg_buf line, good;
	size_t column = indent, end = (size_t)HG_MIN(c->columns, 100);
	hg_buf_init(&line, 1u << 20);
	hg_buf_init(&good, 1u << 20);
	one_line(text, &line);
	clean(c, hg_buf_view(&line), &good);
	struct hg_str rest = hg_buf_view(&good);
	while (rest.n) {
		struct hg_str word = hg_str_cut(&rest, ' ');
		size_t width = cli_columns(word);
		bool first = column == indent;
		if (!first && column + 1 + width > end) {
			hg_buf_fmt(to, "\n%*s", (int)indent, "");
			column = indent;
			first = true;
		}
		if (!first) hg_buf_byte(to, ' ');
		column += !first + cli_put(c, to, word, end > indent ? end - indent : 1);
	}
	hg_buf_byte(to, '\n');
	hg_buf_free(&line);
	hg_buf_free(&good);
}

static void clip_line(struct hg_buf *to, struct hg_str line, size_t columns)
{
	size_t used = 0;
	bool coloured = false;
	while (line.n) {
		const char *at = line.p;
		if (skip_colour(&line)) {
			coloured = true;
		} else {
			size_t w = columns_of(next(&line));
			if (used + w > columns) break;
			used += w;
		}
		hg_buf_str(to, (struct hg_str){at, (size_t)(line.p - at)});
	}
	if (coloured) hg_buf_cstr(to, "\033[0m");
}

int cli_clip(struct hg_buf *to, struct hg_str page, size_t columns, int rows)
{
	int n = 0;
	for (; page.n && n < rows; n++) {
		clip_line(to, hg_str_cut(&page, '\n'), columns);
		hg_buf_byte(to, '\n');
	}
	return n;
}

const char *cli_human_ms(int64_t ms, char to[CLI_TEXT_MAX])
{
	int64_t s = ms / 1000;
	if (ms < 0)
		snprintf(to, CLI_TEXT_MAX, "-");
	else if (ms < 995)
		snprintf(to, CLI_TEXT_MAX, "%.2fs", (double)ms / 1000);
	else if (ms < 59950)
		snprintf(to, CLI_TEXT_MAX, "%.1fs", (double)ms / 1000);
	else if (s < 3600)
		snprintf(to, CLI_TEXT_MAX, "%dm%02ds", (int)(s / 60), (int)(s % 60));
	else if (s < 48 * 3600)
		snprintf(to, CLI_TEXT_MAX, "%dh%02dm", (int)(s / 3600), (int)(s / 60 % 60));
	else
		snprintf(to, CLI_TEXT_MAX, "%lldd", (long long)(s / 86400));
	return to;
}

const char *cli_human_share(double share, char to[CLI_TEXT_MAX])
{
	double percent = share * 100, tenths = percent * 10;
	bool whole = tenths - (double)(int64_t)(tenths + 0.5) < 0.05 &&
	             (int64_t)(tenths + 0.5) % 10 == 0;
	if (share < 0 || share > 1e6)
		snprintf(to, CLI_TEXT_MAX, "-");
	else if (percent > 0 && percent < 0.05)
		snprintf(to, CLI_TEXT_MAX, "%.2g %%", percent);
	else
		snprintf(to, CLI_TEXT_MAX, whole ? "%.0f %%" : "%.1f %%", percent);
	return to;
}

void cli_put_evidence(struct hg_buf *to, double e)
{
	char t[CLI_TEXT_MAX];
	if (e < 1e5) {
		hg_buf_fmt(to, e < 9.95 ? "%.1f" : "%.0f", HG_MAX(e, 0));
		return;
	}
	/* "1.7e+06" is what machines write. */
	snprintf(t, sizeof t, "%.1e", e);
	const char *power = strchr(t, 'e');
	if (!power || power[1] != '+') { /* not a finite number */
		hg_buf_cstr(to, "very much");
		return;
	}
	const char *digits = power + 2;
	while (*digits == '0' && digits[1])
		digits++;
	hg_buf_fmt(to, "%.*se%s", (int)(power - t), t, digits);
}
