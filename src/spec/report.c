#include "spec/spec_priv.h"

#include <stdio.h>

void spec_report_init(struct spec_report *r, struct hg_str file, struct hg_str text)
{
	*r = (struct spec_report){.file = file, .text = text};
}

static struct hg_str line_of(struct hg_str text, uint32_t line)
{
	struct hg_str rest = text, cut = {0};
	for (uint32_t i = 0; i < line; i++) {
		if (rest.n == 0) return (struct hg_str){0};
		cut = hg_str_cut(&rest, '\n');
	}
	if (hg_str_ends(cut, HG_STR("\r"))) cut.n--;
	return cut;
}

/* Bytes of the UTF-8 sequence at `at`; 1 for anything that is none. */
static size_t char_size(struct hg_str s, size_t at)
{
	size_t n = 1;
	while (at + n < s.n && n < 4 && ((unsigned char)s.p[at + n] & 0xc0) == 0x80)
		n++;
	return n;
}

/* The part of the line around `column` that fits; sets the caret. */
static void snippet_cut(struct hg_err *e, struct hg_str line, uint32_t column)
{
	enum { BEFORE = 60, ROOM = sizeof e->snippet - 12 };
	size_t at = 0, start = 0, out = 0;
	uint32_t chars = 1, skipped = 0;
	for (size_t i = 0; i < line.n && chars < column; i += char_size(line, i), chars++)
		at = i + char_size(line, i);
	while (at - start > BEFORE) {
		start += char_size(line, start);
		skipped++;
	}
	if (start) out = (size_t)snprintf(e->snippet, sizeof e->snippet, "…");
	for (size_t i = start; i < line.n;) {
		size_t n = char_size(line, i);
		if (out + n > ROOM) {
			out += (size_t)snprintf(e->snippet + out, sizeof e->snippet - out, "…");
			break;
		}
		if (n == 1 &&
		        ((unsigned char)line.p[i] < 0x20 || (unsigned char)line.p[i] > 0x7e)) {
			e->snippet[out++] = (unsigned char)line.p[i] == '\t' ? ' ' : '?';
		} else {
			memcpy(e->snippet + out, line.p + i, n);
			out += n;
		}
		i += n;
	}
	e->snippet[out] = 0;
	if (out) e->caret = column - skipped + (start ? 1 : 0);
}

void spec_err_place(
        struct hg_err *e, struct hg_str file, struct hg_str text, uint32_t line, uint32_t column)
{
	(void)hg_str_copy(file, e->file, sizeof e->file);
	e->line = line;
	e->column = column;
	if (line) snippet_cut(e, line_of(text, line), column ? column : 1);
}

struct hg_err *spec_report_error(
        struct spec_report *r, enum hg_rc rc, uint32_t line, uint32_t column)
{
	struct hg_err *e =
	        r->error_count < SPEC_PROBLEMS_MAX ? &r->errors[r->error_count] : &r->spill;
	*e = (struct hg_err){.rc = rc};
	if (!spec_report_full(r)) spec_err_place(e, r->file, r->text, line, column);
	r->error_count++;
	return e;
}

struct hg_err *spec_report_warning(struct spec_report *r, uint32_t line, uint32_t column)
{
	struct hg_err *e =
	        r->warning_count < SPEC_PROBLEMS_MAX ? &r->warnings[r->warning_count] : &r->spill;
	*e = (struct hg_err){.rc = HG_E_CONFIG_ADVICE, .warning = true};
	if (r->warning_count < SPEC_PROBLEMS_MAX) spec_err_place(e, r->file, r->text, line, column);
	r->warning_count++;
	return e;
}

void spec_err_say(struct hg_err *e, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(e->message, sizeof e->message, fmt, ap);
	va_end(ap);
}

static bool later(const struct hg_err *a, const struct hg_err *b)
{
	return a->line != b->line ? a->line > b->line : a->column > b->column;
}

static void sort(struct hg_err *e, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		for (uint32_t k = i; k > 0 && later(&e[k - 1], &e[k]); k--) {
			struct hg_err swap = e[k];
			e[k] = e[k - 1];
			e[k - 1] = swap;
		}
	}
}

void spec_report_sort(struct spec_report *r)
{
	sort(r->errors, HG_MIN(r->error_count, SPEC_PROBLEMS_MAX));
	sort(r->warnings, HG_MIN(r->warning_count, SPEC_PROBLEMS_MAX));
}

enum hg_rc spec_report_rc(const struct spec_report *r)
{
	return r->error_count ? r->errors[0].rc : HG_OK;
}

void spec_report_print(const struct spec_report *r, struct hg_buf *to)
{
	for (uint32_t i = 0; i < HG_MIN(r->error_count, SPEC_PROBLEMS_MAX); i++)
		hg_err_print(&r->errors[i], to);
	if (r->error_count > SPEC_PROBLEMS_MAX)
		hg_buf_fmt(to, "%u more errors\n", r->error_count - SPEC_PROBLEMS_MAX);
	for (uint32_t i = 0; i < HG_MIN(r->warning_count, SPEC_PROBLEMS_MAX); i++)
		hg_err_print(&r->warnings[i], to);
	if (r->warning_count > SPEC_PROBLEMS_MAX)
		hg_buf_fmt(to, "%u more warnings\n", r->warning_count - SPEC_PROBLEMS_MAX);
}
