#include "base/err.h"

#include <stdio.h>

#include "gen/errors_table.h"

enum hg_rc hg_err_set(struct hg_err *err, enum hg_rc rc, const char *fmt, ...)
{
	va_list ap;
	if (!err) return rc;
	*err = (struct hg_err){.rc = rc};
	va_start(ap, fmt);
	vsnprintf(err->message, sizeof err->message, fmt, ap);
	va_end(ap);
	return rc;
}

void hg_err_detail(struct hg_err *err, const char *fmt, ...)
{
	va_list ap;
	if (!err) return;
	va_start(ap, fmt);
	vsnprintf(err->detail, sizeof err->detail, fmt, ap);
	va_end(ap);
}

void hg_err_hint(struct hg_err *err, const char *fmt, ...)
{
	va_list ap;
	if (!err) return;
	va_start(ap, fmt);
	vsnprintf(err->hint, sizeof err->hint, fmt, ap);
	va_end(ap);
}

void hg_err_place(struct hg_err *err, const char *file, unsigned line, unsigned column)
{
	if (!err) return;
	snprintf(err->file, sizeof err->file, "%s", file);
	err->line = line;
	err->column = column;
}

static void print_place(const struct hg_err *err, struct hg_buf *to)
{
	if (!err->file[0]) {
		hg_buf_cstr(to, "headgate: ");
		return;
	}
	hg_buf_cstr(to, err->file);
	if (err->line) hg_buf_fmt(to, ":%u", err->line);
	if (err->line && err->column) hg_buf_fmt(to, ":%u", err->column);
	hg_buf_cstr(to, ": ");
}

void hg_err_print(const struct hg_err *err, struct hg_buf *to)
{
	print_place(err, to);
	hg_buf_fmt(to, "%s %s: %s\n", err->warning ? "warning" : "error", hg_rc_info(err->rc)->code,
	        err->message);
	if (err->snippet[0]) {
		hg_buf_fmt(to, "%6u | %s\n", err->line, err->snippet);
		if (err->caret) hg_buf_fmt(to, "       | %*s^\n", (int)err->caret - 1, "");
	}
	if (err->detail[0]) hg_buf_fmt(to, "  detail: %s\n", err->detail);
	if (err->hint[0]) hg_buf_fmt(to, "  hint: %s\n", err->hint);
}

const struct hg_rc_info *hg_rc_all(size_t *ret_n)
{
	*ret_n = HG_COUNT(hg_rc_rows);
	return hg_rc_rows;
}

const struct hg_rc_info *hg_rc_info(enum hg_rc rc)
{
	const struct hg_rc_info *internal = NULL;
	for (size_t i = 0; i < HG_COUNT(hg_rc_rows); i++) {
		if (hg_rc_rows[i].rc == rc) return &hg_rc_rows[i];
		if (hg_rc_rows[i].rc == HG_E_INTERNAL) internal = &hg_rc_rows[i];
	}
	HG_ASSERT(internal);
	return internal;
}

const struct hg_rc_info *hg_rc_by_code(struct hg_str code)
{
	if (code.n == 4) {
		for (size_t i = 0; i < HG_COUNT(hg_rc_rows); i++) {
			if (memcmp(hg_rc_rows[i].code + 2, code.p, 4) == 0) return &hg_rc_rows[i];
		}
	}
	for (size_t i = 0; i < HG_COUNT(hg_rc_rows); i++) {
		if (hg_str_eq_nocase(hg_str(hg_rc_rows[i].code), code)) return &hg_rc_rows[i];
	}
	return NULL;
}
