#include "cli_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool env_set(const char *name)
{
	const char *v = getenv(name);
	return v && *v;
}

static bool locale_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	for (size_t i = 0; i < HG_COUNT(names); i++) {
		const char *v = getenv(names[i]);
		if (!v || !*v) continue;
		return strcasestr(v, "utf-8") || strcasestr(v, "utf8");
	}
	return true; /* nothing said (containers, services): everything speaks UTF-8 today */
}

void cli_term_init(struct cli *c)
{
	const char *term = getenv("TERM");
	bool dumb = !term || !strcmp(term, "dumb");
	c->plain = cli_has(&c->args, CLI_F_PLAIN);
	c->out_tty = isatty(STDOUT_FILENO) && !dumb && !c->plain;
	c->colour = c->out_tty && !env_set("NO_COLOR");
	c->utf8 = !c->plain && locale_utf8();
	cli_size(c);
}

void cli_size(struct cli *c)
{
	struct winsize size;
	c->columns = 80;
	c->rows = 0;
	if (!c->out_tty || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0) return;
	if (size.ws_col) c->columns = HG_MAX((int)size.ws_col, 20);
	c->rows = size.ws_row;
}

const char *cli_mark(const struct cli *c, enum cli_mark m)
{
	static const char *const marks[3][5] = {
	        {"+", "x", "o", "!", " "},
	        {"✔", "✖", "◌", "▲", " "},
	        {"\033[32m✔\033[0m", "\033[31m✖\033[0m", "\033[36m◌\033[0m", "\033[33m▲\033[0m",
	                " "},
	};
	return marks[!c->utf8 ? 0 : c->colour ? 2 : 1][m];
}

const char *cli_bold(const struct cli *c)
{
	return c->colour ? "\033[1m" : "";
}

const char *cli_dim(const struct cli *c)
{
	return c->colour ? "\033[2m" : "";
}

const char *cli_off(const struct cli *c)
{
	return c->colour ? "\033[0m" : "";
}

const char *cli_dash(const struct cli *c)
{
	return c->utf8 ? "–" : "-";
}

const char *cli_arrow(const struct cli *c)
{
	return c->utf8 ? "→" : "->";
}

void cli_out(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vfprintf(stdout, fmt, ap);
	va_end(ap);
}

void cli_say(const char *fmt, ...)
{
	va_list ap;
	fflush(stdout); /* so that results and messages keep their order on a terminal */
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void cli_next(const struct cli *c, const char *fmt, ...)
{
	static const char name[] = "headgate ";
	const char *data = c ? c->args.value[CLI_F_DATA] : NULL;
	char text[8192];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fflush(stdout);
	fputs("next: ", stderr);
	for (const char *at = text; *at; at++) {
		bool here = data && (at == text || at[-1] == ' ') &&
		            !strncmp(at, name, sizeof name - 1);
		if (here) {
			fprintf(stderr, "%s--data %s ", name, data);
			at += sizeof name - 2;
		} else {
			fputc(*at, stderr);
		}
	}
	fputc('\n', stderr);
}

int cli_fail(const struct hg_err *err)
{
	const struct hg_rc_info *info = hg_rc_info(err->rc);
	struct hg_buf text;
	fflush(stdout);
	hg_buf_init(&text, 16384);
	hg_err_print(err, &text);
	fputs(hg_buf_text(&text), stderr);
	hg_buf_free(&text);
	fprintf(stderr, "next: headgate help %s\n", info->code);
	return info->exit_status;
}

const char *cli_human_rate(double per_s, char to[CLI_TEXT_MAX])
{
	if (per_s < 0.05)
		snprintf(to, CLI_TEXT_MAX, "0");
	else if (per_s < 9.95)
		snprintf(to, CLI_TEXT_MAX, "%.1f", per_s);
	else if (per_s < 9999.5)
		snprintf(to, CLI_TEXT_MAX, "%.0f", per_s);
	else if (per_s < 999950)
		snprintf(to, CLI_TEXT_MAX, "%.0fk", per_s / 1e3);
	else
		snprintf(to, CLI_TEXT_MAX, "%.1fM", per_s / 1e6);
	return to;
}

const char *cli_human_seconds(double s, char to[CLI_TEXT_MAX])
{
	if (s < 0)
		snprintf(to, CLI_TEXT_MAX, "-");
	else if (s < 0.00995)
		snprintf(to, CLI_TEXT_MAX, "%.1f ms", s * 1e3);
	else if (s < 0.9995)
		snprintf(to, CLI_TEXT_MAX, "%.0f ms", s * 1e3);
	else
		snprintf(to, CLI_TEXT_MAX, "%.1f s", s);
	return to;
}

const char *cli_human_ratio(double ratio, char to[CLI_TEXT_MAX])
{
	double percent = ratio * 100;
	if (percent <= 0)
		snprintf(to, CLI_TEXT_MAX, "0 %%");
	else if (percent < 0.01)
		snprintf(to, CLI_TEXT_MAX, "<0.01 %%");
	else if (percent < 9.995)
		snprintf(to, CLI_TEXT_MAX, "%.2f %%", percent);
	else
		snprintf(to, CLI_TEXT_MAX, "%.0f %%", percent);
	return to;
}

const char *cli_human_bytes(uint64_t bytes, char to[CLI_TEXT_MAX])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
	double v = (double)bytes;
	size_t unit = 0;
	if (bytes < 1024) {
		snprintf(to, CLI_TEXT_MAX, "%u B", (unsigned)bytes);
		return to;
	}
	for (v /= 1024; v >= 1023.95 && unit + 1 < HG_COUNT(units); unit++)
		v /= 1024;
	snprintf(to, CLI_TEXT_MAX, v < 9.95 ? "%.1f %s" : "%.0f %s", v, units[unit]);
	return to;
}

const char *cli_human_age(uint64_t seconds, char to[CLI_TEXT_MAX])
{
	if (seconds < 100)
		snprintf(to, CLI_TEXT_MAX, "%us", (unsigned)seconds);
	else if (seconds < 100 * 60)
		snprintf(to, CLI_TEXT_MAX, "%um", (unsigned)(seconds / 60));
	else if (seconds < 48 * 3600)
		snprintf(to, CLI_TEXT_MAX, "%uh", (unsigned)(seconds / 3600));
	else
		snprintf(to, CLI_TEXT_MAX, "%llud", (unsigned long long)(seconds / 86400));
	return to;
}

size_t cli_cut(struct hg_str text, size_t width, size_t *ret_width)
{
	size_t i = 0, n = 0;
	while (i < text.n) {
		if (text.p[i] == '\033') { /* our own colours: ESC [ … m */
			while (i < text.n && text.p[i] != 'm')
				i++;
			i += i < text.n;
			continue;
		}
		if (n == width) break;
		n++;
		do
			i++;
		while (i < text.n && ((unsigned char)text.p[i] & 0xc0) == 0x80);
	}
	*ret_width = n;
	return i;
}

size_t cli_width(const char *text)
{
	size_t n;
	(void)cli_cut(hg_str(text), SIZE_MAX, &n);
	return n;
}

int cli_fit(const struct cli *c, struct hg_str page, int room, struct hg_buf *to)
{
	struct hg_str count = page;
	int lines = 0, kept = 0;
	while (count.n) {
		(void)hg_str_cut(&count, '\n');
		lines++;
	}
	for (int i = 0; i < lines; i++) {
		size_t width;
		struct hg_str line = hg_str_cut(&page, '\n');
		if (room > 0 && lines > room && i >= room - 1 && i < lines - 1) continue;
		size_t n = cli_cut(line, (size_t)c->columns, &width);
		hg_buf_str(to, (struct hg_str){line.p, n});
		if (n < line.n) hg_buf_cstr(to, cli_off(c));
		hg_buf_byte(to, '\n');
		kept++;
	}
	return kept;
}

int cli_rows_of(const struct cli *c, struct hg_str page)
{
	int rows = 0;
	while (page.n) {
		size_t width;
		(void)cli_cut(hg_str_cut(&page, '\n'), SIZE_MAX, &width);
		rows += width ? (int)((width - 1) / (size_t)c->columns) + 1 : 1;
	}
	return rows;
}

void cli_pad(struct hg_buf *b, const char *text, size_t width)
{
	size_t n = 0;
	const char *at = text;
	for (; *at && n < width; n++) {
		do
			hg_buf_byte(b, *at++);
		while (((unsigned char)*at & 0xc0) == 0x80);
	}
	for (; n < width; n++)
		hg_buf_byte(b, ' ');
}

void cli_clean(struct hg_buf *b, struct hg_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char ch = (unsigned char)text.p[i];
		if (ch == '\033' && i + 1 < text.n && text.p[i + 1] == '[') {
			/* CSI … final byte: colours of a program that thinks it has a terminal */
			for (i += 2; i < text.n && !(text.p[i] >= 0x40 && text.p[i] <= 0x7e);)
				i++;
		} else if (ch == '\t') {
			hg_buf_cstr(b, "    ");
		} else if (ch >= 0x20 && ch != 0x7f) {
			/* C1 controls in UTF-8 (C2 80 … C2 9F) are terminal commands too. */
			bool c1 =
			        ch == 0xc2 && i + 1 < text.n && (unsigned char)text.p[i + 1] < 0xa0;
			if (c1)
				i++;
			else
				hg_buf_byte(b, (char)ch);
		}
	}
}
