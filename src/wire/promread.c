#include "wire/promread.h"

#include <math.h>
#include <stdlib.h>

#define MAX_TIME_MS 9.0e18 /* what an int64_t of milliseconds holds, with some room */

struct promread promread_over(struct hg_str text, enum promread_format format)
{
	if (!text.p) text = HG_STR("");
	return (struct promread){.text = text, .format = format};
}

/* ---- failing ---- */

static bool bad(struct promread *r, size_t at, const char *why)
{
	if (!r->why) {
		r->why = why;
		r->why_at = at;
	}
	return false;
}

enum hg_rc promread_err(const struct promread *r, const char *source, struct hg_err *err)
{
	struct hg_str line = {r->text.p + r->line_at, r->text.n - r->line_at};
	size_t column = r->why_at - r->line_at, from = column > 100 ? column - 60 : 0;
	HG_ASSERT(r->why);
	(void)hg_err_set(err, HG_E_EXPOSITION, "these metrics cannot be read: %s", r->why);
	hg_err_place(err, source, r->line, (unsigned)column + 1);
	if (!err) return HG_E_EXPOSITION;
	line.n = hg_str_find(line, '\n');
	line = (struct hg_str){line.p + from, HG_MIN(line.n - from, sizeof err->snippet - 1)};
	(void)hg_str_copy(line, err->snippet, sizeof err->snippet);
	for (char *p = err->snippet; *p; p++)
		if ((unsigned char)*p < 0x20) *p = ' ';
	err->caret = (unsigned)(column - from) + 1;
	return HG_E_EXPOSITION;
}

/* ---- tokens ---- */

static bool name_first(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool name_byte(char c)
{
	return name_first(c) || (c >= '0' && c <= '9');
}

static int peek(const struct promread *r)
{
	return r->at < r->text.n ? (unsigned char)r->text.p[r->at] : -1;
}

static void blanks(struct promread *r)
{
	while (r->at < r->text.n && (r->text.p[r->at] == ' ' || r->text.p[r->at] == '\t'))
		r->at++;
}

/* Between tokens: any blanks in the text format, none in OpenMetrics. */
static void between(struct promread *r)
{
	if (r->format == PROMREAD_TEXT) blanks(r);
}

/* Blanks that must be there; exactly one space in OpenMetrics. */
static bool gap(struct promread *r, const char *why)
{
	size_t from = r->at;
	if (r->format == PROMREAD_OPENMETRICS)
		r->at += peek(r) == ' ';
	else
		blanks(r);
	return r->at > from || bad(r, r->at, why);
}

/* The end of the line, or of the text. */
static bool line_end(struct promread *r)
{
	if (peek(r) == '\n') {
		r->at++;
		return true;
	}
	if (peek(r) < 0) return true;
	return bad(r, r->at, "the line should end here");
}

/* [a-zA-Z_:][…0-9]*; label names have no colon. */
static bool bare_name(struct promread *r, bool colon, struct hg_str *ret_name)
{
	size_t from = r->at;
	const char *p = r->text.p;
	if (from < r->text.n && (name_first(p[from]) || (colon && p[from] == ':'))) r->at++;
	while (r->at > from && r->at < r->text.n &&
	        (name_byte(p[r->at]) || (colon && p[r->at] == ':')))
		r->at++;
	*ret_name = (struct hg_str){p + from, r->at - from};
	return r->at > from;
}

/* "…" at r->at: what is between the quotes, with its escapes. */
static bool quoted(struct promread *r, struct hg_str *ret_text)
{
	size_t from = r->at + 1, at = from;
	const char *p = r->text.p;
	bool high = false;
	for (; at < r->text.n && p[at] != '"' && p[at] != '\n'; at++) {
		/* An escape's second byte is looked at as well: it may be any. */
		if (p[at] == '\\' && at + 1 < r->text.n && p[at + 1] != '\n') at++;
		high |= (unsigned char)p[at] >= 0x80;
	}
	if (at >= r->text.n || p[at] != '"') return bad(r, r->at, "the closing quote is missing");
	*ret_text = (struct hg_str){p + from, at - from};
	if (high && !hg_utf8_valid(*ret_text)) return bad(r, r->at, "this is not UTF-8");
	r->at = at + 1;
	return true;
}

/* ---- series ---- */

/*
 * {name="value", …} at r->at. A quoted string alone is the name of the metric: allowed where none
 * stands in front, and once.
 */
static bool labels(struct promread *r, bool named)
{
	struct hg_str name = {0}, value = {0};
	r->at++;
	for (bool first = true;; first = false) {
		size_t from;
		between(r);
		if (peek(r) == '}') break;
		if (!first) {
			if (peek(r) != ',') return bad(r, r->at, "a comma or } should stand here");
			r->at++;
			between(r);
			if (peek(r) == '}') break;
		}
		from = r->at;
		if (peek(r) == '"') {
			if (!quoted(r, &name)) return false;
			if (name.n == 0) return bad(r, from, "a name is empty");
			between(r);
			if (peek(r) != '=') {
				if (named) return bad(r, from, "the metric has a name already");
				named = true;
				continue;
			}
		} else if (!bare_name(r, false, &name)) {
			return bad(r, from, "the name of a label should stand here");
		}
		between(r);
		if (peek(r) != '=') return bad(r, r->at, "= should stand here");
		r->at++;
		between(r);
		if (peek(r) != '"') return bad(r, r->at, "a label's value stands in quotes");
		if (!quoted(r, &value)) return false;
	}
	r->at++;
	return named || bad(r, r->at - 1, "the metric has no name");
}

/* True when the hint stands here as a whole series. */
static bool same_again(struct promread *r, struct hg_str hint)
{
	struct hg_str rest = {r->text.p + r->at, r->text.n - r->at};
	size_t after = hint.n;
	if (hint.n == 0 || hint.n >= rest.n || memcmp(rest.p, hint.p, hint.n) != 0) return false;
	if (rest.p[after] != ' ' && rest.p[after] != '\t') return false;
	if (hint.p[hint.n - 1] == '}') return true;
	while (after < rest.n && (rest.p[after] == ' ' || rest.p[after] == '\t'))
		after++;
	return after < rest.n && rest.p[after] != '{';
}

static bool series(struct promread *r, struct hg_str hint, struct promread_entry *e)
{
	size_t from = r->at, end;
	struct hg_str name;
	bool named = false;
	if (same_again(r, hint)) {
		r->at += hint.n;
		e->series = (struct hg_str){r->text.p + from, hint.n};
		return e->same = true;
	}
	named = bare_name(r, true, &name);
	end = r->at;
	between(r);
	if (peek(r) == '{') {
		if (!labels(r, named)) return false;
		end = r->at;
	} else if (!named) {
		return bad(r, from, "the name of a metric should stand here");
	}
	r->at = end;
	e->series = (struct hg_str){r->text.p + from, end - from};
	return true;
}

/* ---- samples ---- */

static struct hg_str word(struct promread *r)
{
	size_t from = r->at;
	const char *p = r->text.p;
	while (r->at < r->text.n && p[r->at] != ' ' && p[r->at] != '\t' && p[r->at] != '\n')
		r->at++;
	return (struct hg_str){p + from, r->at - from};
}

static bool number(struct promread *r, double *ret_v)
{
	size_t from = r->at;
	if (promread_number(word(r), ret_v)) return true;
	return bad(r, from, "a number should stand here");
}

static bool whole_ms(struct hg_str s, int64_t *ret_ms)
{
	bool negative = s.n && s.p[0] == '-';
	struct hg_str d = {s.p + negative, s.n - negative};
	uint64_t v;
	if (!hg_str_u64(d, &v) || v > INT64_MAX) return false;
	*ret_ms = negative ? -(int64_t)v : (int64_t)v;
	return true;
}

/* Of the text format in ms, of OpenMetrics in seconds. */
static bool timestamp(struct promread *r, int64_t *ret_ms)
{
	size_t from = r->at;
	struct hg_str w = word(r);
	double seconds;
	if (r->format == PROMREAD_TEXT) {
		if (whole_ms(w, ret_ms)) return true;
		return bad(r, from, "a time in whole milliseconds should stand here");
	}
	if (!promread_number(w, &seconds) || !(fabs(seconds) * 1000 < MAX_TIME_MS))
		return bad(r, from, "a time in seconds should stand here");
	*ret_ms = (int64_t)(seconds * 1000);
	return true;
}

/* "# {…} value [time]" at the "#". */
static bool exemplar(struct promread *r, struct promread_entry *e)
{
	size_t from;
	r->at++;
	if (!gap(r, "a space and the labels of the exemplar should stand here")) return false;
	from = r->at;
	if (peek(r) != '{') return bad(r, r->at, "the labels of the exemplar should stand here");
	if (!labels(r, true)) return false;
	e->exemplar = (struct hg_str){r->text.p + from, r->at - from};
	if (!gap(r, "a space and a number should stand here")) return false;
	if (!number(r, &e->exemplar_value)) return false;
	e->has_exemplar = true;
	if (peek(r) != ' ') return true;
	r->at++;
	e->exemplar_has_time = true;
	return timestamp(r, &e->exemplar_time_ms);
}

static bool sample(struct promread *r, struct hg_str hint, struct promread_entry *e)
{
	bool om = r->format == PROMREAD_OPENMETRICS;
	if (!series(r, hint, e)) return false;
	if (!om && (peek(r) == '\n' || peek(r) < 0))
		return bad(r, r->at, "a number should stand here");
	/* In the text format name{…}5 is fine, too. */
	if (om && !gap(r, "a space and a number should stand here")) return false;
	between(r);
	if (!number(r, &e->value)) return false;
	if (peek(r) == '\n') { /* most lines end here */
		r->at++;
		return true;
	}
	between(r);
	if (om && peek(r) == ' ') r->at++;
	if (peek(r) >= 0 && peek(r) != '\n' && !(om && peek(r) == '#')) {
		if (!timestamp(r, &e->time_ms)) return false;
		e->has_time = true;
		between(r);
		if (om && peek(r) == ' ') r->at++;
	}
	if (om && peek(r) == '#' && !exemplar(r, e)) return false;
	if (om && r->at > 0 && r->text.p[r->at - 1] == ' ')
		return bad(r, r->at - 1, "the line should end here");
	return line_end(r);
}

/* ---- comments ---- */

static bool rest_of_line(struct promread *r, struct hg_str *ret_text)
{
	const char *from = r->text.p + r->at;
	const char *end = memchr(from, '\n', r->text.n - r->at);
	size_t n = end ? (size_t)(end - from) : r->text.n - r->at;
	*ret_text = (struct hg_str){from, n};
	r->at += n;
	return line_end(r);
}

static bool type_known(struct promread *r, struct hg_str s, enum promread_type *ret_type)
{
	static const char *const text[] = {"untyped", "counter", "gauge", "histogram", "summary"};
	if (r->format == PROMREAD_TEXT) {
		for (size_t i = 0; i < HG_COUNT(text); i++) {
			*ret_type = (enum promread_type)i;
			if (hg_str_eq(s, hg_str(text[i]))) return true;
		}
		return false;
	}
	for (int i = 0; i <= PROMREAD_STATESET; i++) {
		*ret_type = (enum promread_type)i;
		if (hg_str_eq(s, hg_str(promread_type_name(*ret_type)))) return true;
	}
	return false;
}

static bool unit_fits(const struct promread_entry *e)
{
	struct hg_str head = e->family;
	if (e->text.n == 0) return true;
	if (!hg_str_ends(head, e->text) || head.n == e->text.n) return false;
	return head.p[head.n - e->text.n - 1] == '_';
}

/* After "HELP", "TYPE" or "UNIT". */
static bool about(struct promread *r, enum promread_event what, struct promread_entry *e)
{
	size_t from;
	if (!gap(r, "a space and the name of a metric should stand here")) return false;
	from = r->at;
	if (peek(r) == '"') {
		if (!quoted(r, &e->family)) return false;
		if (e->family.n == 0) return bad(r, from, "a name is empty");
	} else if (!bare_name(r, true, &e->family)) {
		return bad(r, r->at, "the name of a metric should stand here");
	}
	if (peek(r) == '\n' || peek(r) < 0) {
		if (what == PROMREAD_TYPE) return bad(r, r->at, "a type should stand here");
		return line_end(r); /* without text */
	}
	if (!gap(r, "a space should stand here")) return false;
	from = r->at;
	if (!rest_of_line(r, &e->text)) return false;
	if (what == PROMREAD_TYPE) {
		if (r->format == PROMREAD_TEXT) e->text = hg_str_trim(e->text);
		if (!type_known(r, e->text, &e->type)) return bad(r, from, "no such type");
		r->type = e->type;
	} else if (what == PROMREAD_UNIT && !unit_fits(e)) {
		return bad(r, from, "the metric's name does not end with this unit");
	} else if (!hg_utf8_valid(e->text)) {
		return bad(r, from, "this is not UTF-8");
	}
	return true;
}

static bool word_is(struct promread *r, struct hg_str w)
{
	struct hg_str rest = {r->text.p + r->at, r->text.n - r->at};
	if (!hg_str_starts(rest, w)) return false;
	if (rest.n > w.n && rest.p[w.n] != ' ' && rest.p[w.n] != '\t' && rest.p[w.n] != '\n')
		return false;
	r->at += w.n;
	return true;
}

/* A line that begins with "#". PROMREAD_END: it says nothing. */
static bool comment(struct promread *r, struct promread_entry *e, enum promread_event *ret_event)
{
	static const struct {
		struct hg_str word;
		enum promread_event event;
	} row[] = {{{"HELP", 4}, PROMREAD_HELP}, {{"TYPE", 4}, PROMREAD_TYPE},
	        {{"UNIT", 4}, PROMREAD_UNIT}};
	bool om = r->format == PROMREAD_OPENMETRICS;
	size_t from = r->at++;
	struct hg_str rest;
	*ret_event = PROMREAD_END;
	if (om && peek(r) == ' ')
		r->at++;
	else
		between(r);
	for (size_t i = 0; i < HG_COUNT(row) - !om; i++) {
		if (!word_is(r, row[i].word)) continue;
		*ret_event = row[i].event;
		return about(r, row[i].event, e);
	}
	if (!om) return rest_of_line(r, &rest);
	r->at = from;
	rest = (struct hg_str){r->text.p + from, r->text.n - from};
	if (!hg_str_starts(rest, HG_STR("# EOF")))
		return bad(r, from, "OpenMetrics has only # HELP, # TYPE, # UNIT and # EOF");
	r->at += 5;
	if (!line_end(r)) return false;
	if (peek(r) >= 0) return bad(r, r->at, "something stands behind # EOF");
	r->eof = true;
	return true;
}

enum promread_event promread_next(
        struct promread *r, struct hg_str hint, struct promread_entry *ret_entry)
{
	enum promread_event event = PROMREAD_END;
	bool om = r->format == PROMREAD_OPENMETRICS;
	while (!r->why) {
		r->line_at = r->at;
		if (r->at == r->text.n) {
			if (!om || r->eof) return PROMREAD_END;
			r->line++;
			bad(r, r->at, "the last line should be # EOF: this is not all of it");
			break;
		}
		r->line++;
		between(r);
		*ret_entry = (struct promread_entry){0};
		switch (peek(r)) {
		case '#':
			if (comment(r, ret_entry, &event) && event != PROMREAD_END) return event;
			break;
		case '\n':
			if (om) bad(r, r->at, "OpenMetrics has no empty lines");
			r->at++;
			break;
		case -1: break;
		default:
			if (sample(r, hint, ret_entry)) return PROMREAD_SAMPLE;
		}
	}
	return PROMREAD_BAD;
}

/* ---- labels of what was read ---- */

static void skip_blanks(struct hg_str s, size_t *at)
{
	while (*at < s.n && (s.p[*at] == ' ' || s.p[*at] == '\t'))
		++*at;
}

static struct hg_str take_quoted(struct hg_str s, size_t *at, bool *ret_escaped)
{
	size_t from = ++*at;
	*ret_escaped = false;
	for (; *at < s.n && s.p[*at] != '"'; ++*at) {
		if (s.p[*at] != '\\') continue;
		*ret_escaped = true;
		if (*at + 1 < s.n) ++*at;
	}
	return (struct hg_str){s.p + from, (*at)++ - from};
}

static struct hg_str take_bare(struct hg_str s, size_t *at)
{
	size_t from = *at;
	while (*at < s.n && (name_byte(s.p[*at]) || s.p[*at] == ':'))
		++*at;
	return (struct hg_str){s.p + from, *at - from};
}

bool promread_label_next(struct hg_str series, size_t *at, struct promread_label *ret_label)
{
	struct promread_label *l = ret_label;
	*l = (struct promread_label){0};
	if (*at == 0 && series.n && series.p[0] != '{') {
		l->name = HG_STR("__name__");
		l->value = take_bare(series, at);
		return true;
	}
	while (*at < series.n && strchr(" \t{,", series.p[*at]))
		++*at;
	if (*at >= series.n || series.p[*at] == '}') return false;
	if (series.p[*at] == '"')
		l->name = take_quoted(series, at, &l->name_escaped);
	else
		l->name = take_bare(series, at);
	skip_blanks(series, at);
	if (*at < series.n && series.p[*at] == '=') {
		++*at;
		skip_blanks(series, at);
		l->value = take_quoted(series, at, &l->value_escaped);
		return true;
	}
	l->value = l->name;
	l->value_escaped = l->name_escaped;
	l->name = HG_STR("__name__");
	l->name_escaped = false;
	return true;
}

void promread_unescape(struct hg_str s, bool help, struct hg_buf *to)
{
	while (s.n) {
		size_t n = hg_str_find(s, '\\');
		char next = n + 1 < s.n ? s.p[n + 1] : 0;
		bool known = next == '\\' || next == 'n' || (next == '"' && !help);
		hg_buf_str(to, (struct hg_str){s.p, n});
		if (n == s.n) return;
		if (known)
			hg_buf_byte(to, next == 'n' ? '\n' : next);
		else
			hg_buf_byte(to, '\\');
		n += known ? 2 : 1;
		s = (struct hg_str){s.p + n, s.n - n};
	}
}

const char *promread_type_name(enum promread_type type)
{
	static const char *const name[] = {"unknown", "counter", "gauge", "histogram", "summary",
	        "gaugehistogram", "info", "stateset"};
	return (size_t)type < HG_COUNT(name) ? name[type] : name[0];
}
