/*
 * Canonical form of a file, line by line: two spaces a level, lists one level below their key, no
 * trailing blanks, no runs of empty lines, LF. Words, quotes, comments and the choice between
 * block and flow stay the writer's. The result is parsed again and compared with the original
 * tree: meaning never changes, and a file this cannot do well is returned as it was.
 */
#include "spec/spec_priv.h"

#include <stdlib.h>

enum line_kind {
	LINE_SHIFT, /* continues the line above: moves with it */
	LINE_START, /* a key or an item of a block starts here: its indentation is known */
	LINE_BLANK,
	LINE_COMMENT /* stands as deep as what follows */
};

struct line {
	struct hg_str text; /* without line end */
	enum line_kind kind;
	bool verbatim; /* inside a text of several lines: blanks count */
	uint32_t indent;
};

static uint32_t blanks(struct hg_str s)
{
	uint32_t n = 0;
	while (n < s.n && s.p[n] == ' ')
		n++;
	return n;
}

static bool is_flow(const struct spec_node *n, const struct line *lines, uint32_t count)
{
	if (!n->line || n->line > count) return true;
	struct hg_str text = lines[n->line - 1].text;
	size_t at = 0;
	for (uint32_t column = 1; column < n->column && at < text.n; column++) {
		at++;
		while (at < text.n && ((unsigned char)text.p[at] & 0xc0) == 0x80)
			at++;
	}
	return at < text.n && (text.p[at] == '{' || text.p[at] == '[');
}

/* `level` is where the children of a block stand. */
static void mark(const struct spec_node *n, struct line *lines, uint32_t count, uint32_t level)
{
	if (n->kind == SPEC_N_SCALAR) {
		for (uint32_t i = n->line; n->line && i < n->end_line && i <= count; i++) {
			lines[i - 1].verbatim = true;
			if (i < count) {
				lines[i].verbatim = true;
				lines[i].kind = LINE_SHIFT;
			}
		}
		return;
	}
	if (is_flow(n, lines, count)) {
		for (uint32_t i = n->line; n->line && i < n->end_line && i < count; i++) {
			if (lines[i].kind != LINE_BLANK) lines[i].kind = LINE_SHIFT;
		}
		for (const struct spec_node *c = n->first; c; c = c->next)
			mark(c, lines, count, level);
		return;
	}
	for (const struct spec_node *c = n->first; c; c = c->next) {
		uint32_t at = n->kind == SPEC_N_MAP ? c->key_line : c->line;
		if (at && at <= count) {
			struct line *l = &lines[at - 1];
			uint32_t first = blanks(l->text) + 1;
			bool starts = n->kind == SPEC_N_MAP
			                      ? c->key_column == first
			                      : l->kind != LINE_START && first <= l->text.n &&
			                                l->text.p[first - 1] == '-';
			if (starts) {
				l->kind = LINE_START;
				l->indent = level * 2;
			}
		}
		mark(c, lines, count, level + 1);
	}
}

static struct line *lines_of(struct hg_str text, struct hg_arena *a, uint32_t *ret_n)
{
	uint32_t n = 1, at = 0;
	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	struct line *lines = hg_arena_array(a, n, sizeof *lines);
	if (!lines) return NULL;
	while (text.n) {
		struct line *l = &lines[at++];
		l->text = hg_str_cut(&text, '\n');
		if (l->text.n && l->text.p[l->text.n - 1] == '\r') l->text.n--;
		struct hg_str inner = hg_str_trim(l->text);
		l->kind = inner.n == 0 ? LINE_BLANK : inner.p[0] == '#' ? LINE_COMMENT : LINE_SHIFT;
	}
	*ret_n = at;
	return lines;
}

/* "-   key" → "- key": the keys below are put at the same column. */
static void put_start(struct hg_str body, struct hg_buf *to)
{
	while (body.n > 2 && body.p[0] == '-' && body.p[1] == ' ') {
		size_t at = 1;
		while (at < body.n && body.p[at] == ' ')
			at++;
		if (at == body.n || body.p[at] == '#') break;
		hg_buf_cstr(to, "- ");
		body = (struct hg_str){body.p + at, body.n - at};
	}
	hg_buf_str(to, body);
}

static struct hg_str without_end_blanks(struct hg_str s)
{
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* A comment stands as deep as the next key below it; at the end of the file, at the top. */
static uint32_t comment_indent(const struct line *lines, uint32_t at, uint32_t n)
{
	for (uint32_t i = at + 1; i < n; i++) {
		if (lines[i].kind == LINE_START) return lines[i].indent;
		if (lines[i].kind == LINE_SHIFT) return blanks(lines[i].text);
	}
	return 0;
}

static void put_lines(const struct line *lines, uint32_t n, struct hg_buf *to)
{
	int64_t shift = 0;
	bool blank = true; /* none at the start */
	for (uint32_t i = 0; i < n; i++) {
		const struct line *l = &lines[i];
		struct hg_str text = l->verbatim ? l->text : without_end_blanks(l->text);
		uint32_t have = blanks(text);
		struct hg_str body = {text.p + have, text.n - have};
		if (l->kind == LINE_BLANK && !l->verbatim) {
			blank = true;
			continue;
		}
		if (blank && to->n) hg_buf_byte(to, '\n');
		blank = false;
		if (l->kind == LINE_START) {
			shift = (int64_t)l->indent - have;
			hg_buf_fmt(to, "%*s", (int)l->indent, "");
			put_start(body, to);
		} else if (l->kind == LINE_COMMENT) {
			hg_buf_fmt(to, "%*s", (int)comment_indent(lines, i, n), "");
			hg_buf_str(to, body);
		} else if (body.n == 0 && l->verbatim) {
			hg_buf_str(to, text);
		} else {
			int64_t indent = HG_MAX((int64_t)have + shift, 0);
			hg_buf_fmt(to, "%*s", (int)indent, "");
			hg_buf_str(to, body);
		}
		hg_buf_byte(to, '\n');
	}
}

static bool same(const struct spec_node *a, const struct spec_node *b)
{
	if (!a || !b) return a == b;
	if (a->kind != b->kind || a->count != b->count || a->quoted != b->quoted ||
	        !hg_str_eq(a->key, b->key) || !hg_str_eq(a->text, b->text))
		return false;
	const struct spec_node *x = a->first, *y = b->first;
	for (; x && y; x = x->next, y = y->next) {
		if (!same(x, y)) return false;
	}
	return x == y;
}

/* One pass over `text` into `to`; false when the result would not mean the same. */
static bool pass(struct hg_str text, struct hg_arena *a, struct spec_report *r, struct hg_buf *to)
{
	struct spec_node *was = NULL, *now = NULL;
	uint32_t n = 0;
	spec_report_init(r, HG_STR("fmt"), text);
	if (spec_yaml_parse(text, a, r, &was) < 0 || !was) return false;
	struct line *lines = lines_of(text, a, &n);
	if (!lines) return false;
	mark(was, lines, n, 0);
	put_lines(lines, n, to);
	if (to->failed) return false;
	spec_report_init(r, HG_STR("fmt"), hg_buf_view(to));
	return spec_yaml_parse(hg_buf_view(to), a, r, &now) == HG_OK && same(was, now);
}

enum hg_rc spec_fmt(const struct spec_source *from, struct hg_buf *to, struct spec_report *report)
{
	struct hg_arena a;
	struct hg_buf once, twice;
	struct spec *spec = NULL;
	struct spec_source base = {.text = from->text, .file = from->file};
	struct spec_report *quiet = malloc(sizeof *quiet);
	hg_arena_init(&a, "spec.fmt", 256u << 20);
	hg_buf_init(&once, 4u * SPEC_FILE_MAX);
	hg_buf_init(&twice, 4u * SPEC_FILE_MAX);
	enum hg_rc rc = spec_load(&base, &a, report, &spec);
	if (rc == HG_OK && !quiet) rc = HG_E_NOMEM;
	if (rc < 0) goto out;
	/* kept only when it means the same and a second pass finds nothing to do */
	if (pass(from->text, &a, quiet, &once) && pass(hg_buf_view(&once), &a, quiet, &twice) &&
	        hg_str_eq(hg_buf_view(&once), hg_buf_view(&twice)))
		hg_buf_str(to, hg_buf_view(&once));
	else
		hg_buf_str(to, from->text);
	if (to->failed) rc = HG_E_NOMEM;
out:
	/* the report's file and text were the arena's */
	report->file = (struct hg_str){0};
	report->text = (struct hg_str){0};
	hg_buf_free(&twice);
	hg_buf_free(&once);
	free(quiet);
	hg_arena_fini(&a);
	return rc;
}
