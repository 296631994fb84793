/* Texts to trees. */
#include "wire/gotemplate_priv.h"

#include <stdio.h>
#include <stdlib.h>

struct parse {
	struct gotemplate *set;
	const struct gt_source *src;
	struct hg_str s; /* the whole text */
	size_t at;
	bool trim; /* the action before ended with " -}}" */
	uint32_t depth, loops;
	struct hg_str vars[GT_VARS_MAX];
	uint32_t var_count;
	struct gt_template *found; /* defined in this text, newest first */
	struct hg_err *err;
	enum hg_rc rc;
};

enum stop { STOP_END_OF_TEXT, STOP_END, STOP_ELSE };

enum hg_rc gt_error(
        struct hg_err *err, const struct gt_source *src, size_t at, const char *fmt, ...)
{
	char text[sizeof err->message];
	unsigned line = 1;
	size_t from = 0;
	va_list list;
	va_start(list, fmt);
	vsnprintf(text, sizeof text, fmt, list);
	va_end(list);
	hg_err_set(err, HG_E_TEMPLATE, "%s", text);
	if (!err) return HG_E_TEMPLATE;
	at = HG_MIN(at, src->text.n);
	for (size_t i = 0; i < at; i++) {
		if (src->text.p[i] != '\n') continue;
		line++;
		from = i + 1;
	}
	hg_err_place(err, src->file, line, (unsigned)(at - from + 1));
	size_t end = from;
	while (end < src->text.n && src->text.p[end] != '\n')
		end++;
	if (at - from > 60) from = at - 60;
	struct hg_str shown = {src->text.p + from, HG_MIN(end - from, sizeof err->snippet - 1)};
	if (!hg_utf8_valid(shown)) return HG_E_TEMPLATE;
	(void)hg_str_copy(shown, err->snippet, sizeof err->snippet);
	err->caret = (unsigned)(at - from + 1);
	return HG_E_TEMPLATE;
}

#define FAIL(p, place, ...)                                                                    \
	((p)->rc = (p)->rc < 0 ? (p)->rc : gt_error((p)->err, (p)->src, (place), __VA_ARGS__), \
	        false)

static bool no_memory(struct parse *p)
{
	if (p->rc == HG_OK) p->rc = hg_err_set(p->err, HG_E_NOMEM, "memory is exhausted");
	return false;
}

static void *take(struct parse *p, size_t n)
{
	void *m = hg_arena_take(&p->set->mem, n);
	if (!m) no_memory(p);
	return m;
}

/* ---- inside of an action ---- */

static bool alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

static bool alnum(char c)
{
	return alpha(c) || (c >= '0' && c <= '9');
}

static char peek(const struct parse *p)
{
	return p->at < p->s.n ? p->s.p[p->at] : 0;
}

static bool at_text(const struct parse *p, const char *text)
{
	return hg_str_starts((struct hg_str){p->s.p + p->at, p->s.n - p->at}, hg_str(text));
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool skip_blanks(struct parse *p)
{
	size_t from = p->at;
	while (p->at < p->s.n && blank(p->s.p[p->at]))
		p->at++;
	return p->at > from;
}

/* Where the action ends: "}}" or " -}}", behind blanks. */
static bool action_ends(const struct parse *p)
{
	if (at_text(p, "}}")) return true;
	return at_text(p, "-}}") && p->at > 0 && blank(p->s.p[p->at - 1]);
}

static bool action_close(struct parse *p)
{
	skip_blanks(p);
	if (!action_ends(p)) {
		if (p->at >= p->s.n) return FAIL(p, p->s.n, "an action is not closed by }}");
		return FAIL(p, p->at, "there is \"%.*s\" where }} is expected",
		        (int)HG_MIN(p->s.n - p->at, 10), p->s.p + p->at);
	}
	p->trim = peek(p) == '-';
	p->at += p->trim ? 3 : 2;
	return true;
}

static struct hg_str word(struct parse *p)
{
	size_t from = p->at;
	while (p->at < p->s.n && alnum(p->s.p[p->at]))
		p->at++;
	return (struct hg_str){p->s.p + from, p->at - from};
}

/* The code point behind "\x", "\u", "\U" or an octal number. */
static bool escape_number(struct parse *p, char kind, uint32_t *ret)
{
	uint32_t digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 3, v = 0;
	uint32_t base = kind >= '0' && kind <= '7' ? 8 : 16;
	if (base == 8) p->at--;
	for (uint32_t i = 0; i < digits; i++, p->at++) {
		char c = peek(p);
		uint32_t d = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
		             : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
		             : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
		                                    : 99;
		if (d >= base) return FAIL(p, p->at, "an escape of a text is too short");
		v = v * base + d;
	}
	*ret = v;
	return true;
}

static size_t utf8_put(char *to, uint32_t c)
{
	if (c < 0x80) return to[0] = (char)c, 1;
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* One escape behind the backslash; its bytes to `to` (4 at most). */
static bool escape(struct parse *p, char *to, size_t *ret_n)
{
	static const char from[] = "abfnrtv\\\"'", is[] = "\a\b\f\n\r\t\v\\\"'";
	char c = peek(p);
	const char *at = c ? strchr(from, c) : NULL;
	uint32_t v = 0;
	p->at++;
	*ret_n = 1;
	if (at) {
		*to = is[at - from];
		return true;
	}
	if (c != 'x' && c != 'u' && c != 'U' && !(c >= '0' && c <= '7'))
		return FAIL(p, p->at - 1, "a text has no escape \"\\%c\"", c >= ' ' ? c : '?');
	if (!escape_number(p, c, &v)) return false;
	if (c == 'u' || c == 'U') {
		if (v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
			return FAIL(p, p->at, "an escape of a text is no character");
		*ret_n = utf8_put(to, v);
	} else {
		*to = (char)v;
	}
	return true;
}

static bool quoted(struct parse *p, struct hg_str *ret)
{
	size_t open = p->at++;
	char *to = take(p, p->s.n - open);
	size_t n = 0;
	if (!to) return false;
	for (;;) {
		char c = peek(p);
		if (p->at >= p->s.n || c == '\n')
			return FAIL(p, open, "a text is not closed by \"");
		p->at++;
		if (c == '"') break;
		size_t add = 1;
		to[n] = c;
		if (c == '\\') {
			/* An escape is never shorter than what it stands for. */
			if (!escape(p, to + n, &add)) return false;
		}
		n += add;
	}
	*ret = (struct hg_str){to, n};
	return true;
}

static bool raw(struct parse *p, struct hg_str *ret)
{
	size_t open = ++p->at;
	while (p->at < p->s.n && peek(p) != '`')
		p->at++;
	if (p->at >= p->s.n) return FAIL(p, open - 1, "a text is not closed by `");
	*ret = (struct hg_str){p->s.p + open, p->at++ - open};
	return true;
}

/* 'a', '\n': the number of the character. */
static bool character(struct parse *p, struct gt_value *ret)
{
	size_t open = p->at++;
	char bytes[8] = {0};
	size_t n = 0;
	if (peek(p) == '\\') {
		p->at++;
		if (!escape(p, bytes, &n)) return false;
	} else {
		do {
			if (n < 4) bytes[n++] = peek(p);
			p->at++;
		} while (p->at < p->s.n && (peek(p) & 0xc0) == 0x80);
	}
	if (peek(p) != '\'') return FAIL(p, open, "a character is not closed by '");
	p->at++;
	const unsigned char *u = (const unsigned char *)bytes;
	uint32_t v = n == 1   ? u[0]
	             : n == 2 ? (u[0] & 0x1fu) << 6 | (u[1] & 0x3f)
	             : n == 3 ? (u[0] & 0xfu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3f)
	                      : (u[0] & 7u) << 18 | (u[1] & 0x3fu) << 12 | (u[2] & 0x3fu) << 6 |
	                                (u[3] & 0x3f);
	*ret = gt_int(v);
	return true;
}

static bool number(struct parse *p, struct gt_value *ret)
{
	size_t open = p->at;
	char text[64], *end;
	size_t n = 0;
	while (p->at < p->s.n && n + 1 < sizeof text) {
		char c = peek(p), last = n ? text[n - 1] : 0;
		bool sign = (c == '+' || c == '-') &&
		            (n == 0 || last == 'e' || last == 'E' || last == 'p' || last == 'P');
		if (!alnum(c) && c != '.' && !sign) break;
		if (c != '_') text[n++] = c;
		p->at++;
	}
	text[n] = 0;
	const char *digits = text + (text[0] == '+' || text[0] == '-');
	bool octal = digits[0] == '0' && (digits[1] == 'o' || digits[1] == 'O');
	bool binary = digits[0] == '0' && (digits[1] == 'b' || digits[1] == 'B');
	if (octal || binary) memmove((char *)digits, digits + 2, strlen(digits) - 1);
	long long i = strtoll(text, &end, octal ? 8 : binary ? 2 : 0);
	if (end != text && !*end && *digits) {
		*ret = gt_int(i);
		return true;
	}
	double f = strtod(text, &end);
	bool digit = *digits == '.' || (*digits >= '0' && *digits <= '9');
	if (octal || binary || !digit || end == text || *end)
		return FAIL(p, open, "\"%s\" is no number", text);
	*ret = gt_float(f);
	return true;
}

/* ---- pipelines ---- */

static struct gt_pipe *pipe_parse(struct parse *p, bool inner);

static bool var_known(const struct parse *p, struct hg_str name)
{
	for (uint32_t i = 0; i < p->var_count; i++)
		if (hg_str_eq(p->vars[i], name)) return true;
	return false;
}

static bool var_add(struct parse *p, struct hg_str name)
{
	if (p->var_count == GT_VARS_MAX)
		return FAIL(p, p->at, "there are more than %u variables", GT_VARS_MAX);
	p->vars[p->var_count++] = name;
	return true;
}

/* ".A.B" behind a value; no blank may be before a dot. */
static bool fields(struct parse *p, struct gt_expr *e)
{
	struct hg_str found[16];
	uint32_t n = 0;
	while (peek(p) == '.' && p->at + 1 < p->s.n && alpha(p->s.p[p->at + 1])) {
		p->at++;
		if (n == HG_COUNT(found)) return FAIL(p, p->at, "there are too many fields");
		found[n++] = word(p);
	}
	if (!n) return true;
	e->fields = take(p, n * sizeof *found);
	if (!e->fields) return false;
	memcpy(e->fields, found, n * sizeof *found);
	e->field_count = n;
	return true;
}

static bool literal(struct parse *p, struct gt_expr *e, char c)
{
	struct hg_str s;
	e->kind = GT_E_VALUE;
	if (c == '"' || c == '`') {
		if (!(c == '"' ? quoted(p, &s) : raw(p, &s))) return false;
		e->value = gt_str(s);
		return true;
	}
	if (c == '\'') return character(p, &e->value);
	return number(p, &e->value);
}

static bool named(struct parse *p, struct gt_expr *e)
{
	e->name = word(p);
	e->kind = GT_E_VALUE;
	if (hg_str_eq(e->name, HG_STR("true")) || hg_str_eq(e->name, HG_STR("false"))) {
		e->value = gt_bool(e->name.n == 4);
		return true;
	}
	if (hg_str_eq(e->name, HG_STR("nil"))) return true;
	e->kind = GT_E_FUNC;
	e->func = gt_func_find(e->name);
	if (e->func) return true;
	const char *near = gt_func_near(e->name);
	(void)FAIL(p, e->at, "there is no function \"%.*s\"", HG_STR_ARG(e->name));
	if (near) hg_err_hint(p->err, "did you mean \"%s\"?", near);
	return false;
}

static struct gt_expr *operand(struct parse *p)
{
	struct gt_expr *e = take(p, sizeof *e);
	char c = peek(p), next = p->at + 1 < p->s.n ? p->s.p[p->at + 1] : 0;
	if (!e) return NULL;
	e->at = (uint32_t)p->at;
	bool digits = (c >= '0' && c <= '9') ||
	              ((c == '+' || c == '-' || c == '.') && next >= '0' && next <= '9') ||
	              ((c == '+' || c == '-') && next == '.');
	bool good = true;
	if (c == '(') {
		p->at++;
		e->kind = GT_E_PIPE;
		e->pipe = pipe_parse(p, true);
		good = e->pipe != NULL;
	} else if (c == '.' && !digits) {
		e->kind = GT_E_DOT;
		if (!alpha(next)) p->at++;
	} else if (c == '$') {
		p->at++;
		e->kind = GT_E_VAR;
		e->name = word(p);
		if (e->name.n && !var_known(p, e->name))
			good = FAIL(
			        p, e->at, "there is no variable \"$%.*s\"", HG_STR_ARG(e->name));
	} else if (c == '"' || c == '`' || c == '\'' || digits) {
		good = literal(p, e, c);
	} else if (alpha(c)) {
		good = named(p, e);
	} else {
		good = FAIL(p, p->at, "there is %s where a value is expected",
		        p->at >= p->s.n  ? "the end of the text"
		        : action_ends(p) ? "}}"
		                         : "a sign");
	}
	if (!good || !fields(p, e)) return NULL;
	return e;
}

static struct gt_cmd *command(struct parse *p)
{
	struct gt_cmd *c = take(p, sizeof *c);
	struct gt_expr **to = c ? &c->args : NULL;
	while (c) {
		*to = operand(p);
		if (!*to) return NULL;
		if (++c->n > GT_ARGS_MAX) {
			(void)FAIL(p, p->at, "a command has more than %u arguments", GT_ARGS_MAX);
			return NULL;
		}
		to = &(*to)->next;
		bool gap = skip_blanks(p);
		char ch = peek(p);
		if (ch == '|' || ch == ')' || p->at >= p->s.n || action_ends(p)) return c;
		if (!gap) {
			(void)FAIL(p, p->at, "there is no blank between two arguments");
			return NULL;
		}
	}
	return c;
}

/* "$x := ", "$x, $y := ", "$x = "; nothing is taken when it is none. */
static bool declaration(struct parse *p, struct gt_pipe *pipe)
{
	size_t from = p->at;
	uint32_t n = 0;
	while (peek(p) == '$' && n < 2) {
		p->at++;
		pipe->vars[n++] = word(p);
		skip_blanks(p);
		if (peek(p) == ',' && n < 2) {
			p->at++;
			skip_blanks(p);
			continue;
		}
		break;
	}
	bool declare = at_text(p, ":="), assign = peek(p) == '=';
	if (!n || (!declare && !assign)) {
		p->at = from;
		return true;
	}
	p->at += declare ? 2 : 1;
	skip_blanks(p);
	pipe->var_count = n;
	pipe->assign = assign;
	for (uint32_t i = 0; assign && i < n; i++)
		if (!var_known(p, pipe->vars[i]))
			return FAIL(p, from, "there is no variable \"$%.*s\"",
			        HG_STR_ARG(pipe->vars[i]));
	return true;
}

/* Up to the ")" of an inner one, which it takes, or to the end of the action, which it leaves. */
static struct gt_pipe *pipe_parse(struct parse *p, bool inner)
{
	struct gt_pipe *pipe = take(p, sizeof *pipe);
	if (!pipe) return NULL;
	if (++p->depth > GT_DEPTH_MAX) {
		(void)FAIL(p, p->at, "parentheses are nested too deep");
		return NULL;
	}
	skip_blanks(p);
	pipe->at = (uint32_t)p->at;
	if (!declaration(p, pipe)) return NULL;
	struct gt_cmd **to = &pipe->cmds;
	for (;;) {
		*to = command(p);
		if (!*to) return NULL;
		const struct gt_expr *called = (*to)->args;
		if (to != &pipe->cmds && called->kind != GT_E_FUNC && !called->field_count) {
			(void)FAIL(
			        p, called->at, "behind | stands something that takes no argument");
			return NULL;
		}
		to = &(*to)->next;
		if (peek(p) != '|') break;
		p->at++;
		skip_blanks(p);
	}
	if (inner != (peek(p) == ')')) {
		(void)FAIL(p, p->at, inner ? "( is not closed by )" : "there is a ) without (");
		return NULL;
	}
	if (inner) p->at++;
	p->depth--;
	for (uint32_t i = 0; i < pipe->var_count && !pipe->assign; i++)
		if (!var_add(p, pipe->vars[i])) return NULL;
	return pipe;
}

/* ---- text and actions ---- */

static bool list_parse(struct parse *p, struct gt_node **ret_first, enum stop *ret_stop);

static struct gt_node *node_new(struct parse *p, enum gt_node_kind kind, size_t at)
{
	struct gt_node *n = take(p, sizeof *n);
	if (!n) return NULL;
	n->kind = kind;
	n->at = (uint32_t)at;
	return n;
}

static bool if_else(struct parse *p, struct gt_node *n);

static bool else_branch(struct parse *p, struct gt_node *n)
{
	enum stop stop;
	size_t at = p->at;
	skip_blanks(p);
	struct hg_str w = word(p);
	if (hg_str_eq(w, HG_STR("if")) || hg_str_eq(w, HG_STR("with"))) {
		n->otherwise = node_new(p, w.n == 2 ? GT_N_IF : GT_N_WITH, at);
		return n->otherwise && if_else(p, n->otherwise);
	}
	p->at = at;
	if (!action_close(p) || !list_parse(p, &n->otherwise, &stop)) return false;
	if (stop == STOP_END) return action_close(p);
	return FAIL(p, n->at, stop == STOP_ELSE ? "there is a second else" : "end is missing");
}

/* Behind the word: pipeline, body, else, end. */
static bool if_else(struct parse *p, struct gt_node *n)
{
	enum stop stop;
	uint32_t vars = p->var_count;
	bool loop = n->kind == GT_N_RANGE;
	if (++p->depth > GT_DEPTH_MAX) return FAIL(p, n->at, "blocks are nested too deep");
	n->pipe = pipe_parse(p, false);
	if (!n->pipe) return false;
	if (n->pipe->var_count == 2 && !loop)
		return FAIL(p, n->pipe->at, "only range sets two variables");
	if (!action_close(p)) return false;
	p->loops += loop;
	if (!list_parse(p, &n->body, &stop)) return false;
	p->loops -= loop;
	bool good = stop == STOP_ELSE  ? else_branch(p, n)
	            : stop == STOP_END ? action_close(p)
	                               : FAIL(p, n->at, "end is missing");
	p->var_count = vars;
	p->depth--;
	return good;
}

static bool name_parse(struct parse *p, struct hg_str *ret)
{
	skip_blanks(p);
	if (peek(p) == '"') return quoted(p, ret);
	if (peek(p) == '`') return raw(p, ret);
	return FAIL(p, p->at, "the name of a template is a text in quotes");
}

/* `define` and the body of `block`: own variables, up to its end. */
static bool define(struct parse *p, struct hg_str name, size_t at)
{
	struct gt_template *t = take(p, sizeof *t);
	struct hg_str kept[GT_VARS_MAX];
	uint32_t vars = p->var_count, loops = p->loops;
	enum stop stop;
	if (!t) return false;
	if (++p->depth > GT_DEPTH_MAX) return FAIL(p, at, "blocks are nested too deep");
	memcpy(kept, p->vars, vars * sizeof *kept);
	p->var_count = p->loops = 0;
	*t = (struct gt_template){.name = name, .src = p->src};
	if (!action_close(p) || !list_parse(p, &t->nodes, &stop)) return false;
	if (stop != STOP_END) return FAIL(p, at, "end is missing");
	memcpy(p->vars, kept, vars * sizeof *kept);
	p->var_count = vars;
	p->loops = loops;
	p->depth--;
	t->next = p->found;
	p->found = t;
	return action_close(p);
}

/* {{template "name" pipeline}}, {{block "name" pipeline}} … {{end}} */
static bool call(struct parse *p, struct gt_node *n, bool block)
{
	if (!name_parse(p, &n->text)) return false;
	skip_blanks(p);
	if (!action_ends(p)) {
		n->pipe = pipe_parse(p, false);
		if (!n->pipe) return false;
	}
	return block ? define(p, n->text, n->at) : action_close(p);
}

static const char *const words[] = {
        "if", "range", "with", "template", "block", "define", "break", "continue", "end", "else"};

/* The keyword at this place, or -1; it is taken. */
static int keyword(struct parse *p)
{
	size_t from = p->at;
	struct hg_str w = word(p);
	for (int i = 0; i < (int)HG_COUNT(words); i++)
		if (hg_str_eq(w, hg_str(words[i]))) return i;
	p->at = from;
	return -1;
}

static bool action(struct parse *p, int key, size_t at, struct gt_node **ret)
{
	static const enum gt_node_kind kinds[] = {GT_N_IF, GT_N_RANGE, GT_N_WITH, GT_N_CALL,
	        GT_N_CALL, GT_N_CALL, GT_N_BREAK, GT_N_CONTINUE};
	struct hg_str name;
	*ret = NULL;
	if (key == 5) {
		if (p->depth) return FAIL(p, at, "define stands inside of another block");
		return name_parse(p, &name) && define(p, name, at);
	}
	struct gt_node *n = node_new(p, key < 0 ? GT_N_ACTION : kinds[key], at);
	if (!n) return false;
	*ret = n;
	if (key >= 0 && key < 3) return if_else(p, n);
	if (key == 3 || key == 4) return call(p, n, key == 4);
	if (key > 0 && !p->loops) return FAIL(p, at, "%s stands outside of range", words[key]);
	if (key > 0) return action_close(p);
	n->pipe = pipe_parse(p, false);
	return n->pipe && action_close(p);
}

static bool comment(struct parse *p)
{
	size_t open = p->at;
	while (p->at < p->s.n && !at_text(p, "*/"))
		p->at++;
	if (p->at >= p->s.n) return FAIL(p, open, "a comment is not closed by */");
	p->at += 2;
	return action_close(p);
}

/* The text up to the next action, which begins at *ret_at: behind "{{" or "{{- ". */
static bool text_parse(struct parse *p, struct gt_node **ret, size_t *ret_at)
{
	size_t from = p->at, to;
	*ret = NULL;
	while (p->at < p->s.n && !at_text(p, "{{"))
		p->at++;
	to = *ret_at = p->at;
	if (p->trim)
		while (from < to && blank(p->s.p[from]))
			from++;
	if (p->at < p->s.n) {
		p->at += 2;
		bool left = peek(p) == '-' && p->at + 1 < p->s.n && blank(p->s.p[p->at + 1]);
		if (left) p->at++;
		while (left && to > from && blank(p->s.p[to - 1]))
			to--;
	}
	p->trim = false;
	if (to == from) return true;
	*ret = node_new(p, GT_N_TEXT, from);
	if (*ret) (*ret)->text = (struct hg_str){p->s.p + from, to - from};
	return *ret != NULL;
}

static bool list_parse(struct parse *p, struct gt_node **ret_first, enum stop *ret_stop)
{
	struct gt_node **to = ret_first, *n;
	size_t at;
	*ret_first = NULL;
	for (;;) {
		if (!text_parse(p, &n, &at)) return false;
		if (n) {
			*to = n;
			to = &n->next;
		}
		*ret_stop = STOP_END_OF_TEXT;
		if (at >= p->s.n) return true;
		skip_blanks(p);
		if (at_text(p, "/*")) {
			if (!comment(p)) return false;
			continue;
		}
		int key = keyword(p);
		if (key >= 8) {
			*ret_stop = key == 8 ? STOP_END : STOP_ELSE;
			return true;
		}
		if (!action(p, key, at, &n)) return false;
		if (!n) continue;
		*to = n;
		to = &n->next;
	}
}

/* ---- sets ---- */

enum hg_rc gotemplate_new(struct gotemplate **ret_set)
{
	struct gotemplate *set = calloc(1, sizeof *set);
	if (!set) return HG_E_NOMEM;
	hg_arena_init(&set->mem, "templates", GT_SET_BYTES);
	*ret_set = set;
	return HG_OK;
}

void gotemplate_free(struct gotemplate *set)
{
	if (!set) return;
	hg_arena_fini(&set->mem);
	free(set);
}

const struct gt_template *gt_find(const struct gotemplate *set, struct hg_str name)
{
	for (const struct gt_template *t = set->first; t; t = t->next)
		if (hg_str_eq(t->name, name)) return t;
	return NULL;
}

bool gotemplate_has(const struct gotemplate *set, struct hg_str name)
{
	return gt_find(set, name) != NULL;
}

static bool add(struct parse *p, struct hg_str name, const char *const *variables)
{
	struct gt_template *t = take(p, sizeof *t);
	enum stop stop;
	if (!t) return false;
	*t = (struct gt_template){.name = hg_arena_str(&p->set->mem, name), .src = p->src};
	if (!t->name.p) return no_memory(p);
	for (; variables && variables[t->variable_count]; t->variable_count++) {
		HG_ASSERT(t->variable_count < GT_VARIABLES);
		struct hg_str v = hg_arena_str(&p->set->mem, hg_str(variables[t->variable_count]));
		if (!v.p) return no_memory(p);
		t->variables[t->variable_count] = v;
		if (!var_add(p, v)) return false;
	}
	if (!list_parse(p, &t->nodes, &stop)) return false;
	if (stop != STOP_END_OF_TEXT)
		return FAIL(p, p->at, "there is %s without if, range, with, define or block",
		        stop == STOP_END ? "an end" : "an else");
	t->next = p->set->first;
	while (p->found) { /* behind the text's own, so that of two of one name the later one counts
		            */
		struct gt_template *d = p->found;
		p->found = d->next;
		d->next = NULL;
		struct gt_template **at = &t->next;
		while (*at != p->set->first)
			at = &(*at)->next;
		d->next = *at;
		*at = d;
	}
	p->set->first = t;
	return true;
}

enum hg_rc gotemplate_add(struct gotemplate *set, struct hg_str name, const char *file,
        struct hg_str text, const char *const *variables, struct hg_err *err)
{
	struct gt_source *src = hg_arena_take(&set->mem, sizeof *src);
	struct parse p = {.set = set, .err = err};
	if (text.n > GOTEMPLATE_TEXT_MAX)
		return hg_err_set(err, HG_E_TEMPLATE, "a template is larger than %u bytes",
		        GOTEMPLATE_TEXT_MAX);
	struct hg_str copy = hg_arena_str(&set->mem, text);
	struct hg_str place = hg_arena_str(&set->mem, hg_str(file ? file : ""));
	if (!src || !copy.p || !place.p) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	*src = (struct gt_source){place.p, copy};
	p.src = src;
	p.s = copy;
	return add(&p, name, variables) ? HG_OK : p.rc;
}

static enum hg_rc calls_check(const struct gotemplate *set, const struct gt_template *t,
        const struct gt_node *n, struct hg_err *err)
{
	for (; n; n = n->next) {
		if (n->kind == GT_N_CALL && !gt_find(set, n->text))
			return gt_error(err, t->src, n->at, "there is no template \"%.*s\"",
			        (int)HG_MIN(n->text.n, 100), n->text.p);
		enum hg_rc rc = calls_check(set, t, n->body, err);
		if (rc == HG_OK) rc = calls_check(set, t, n->otherwise, err);
		if (rc < 0) return rc;
	}
	return HG_OK;
}

enum hg_rc gotemplate_check(const struct gotemplate *set, struct hg_err *err)
{
	for (const struct gt_template *t = set->first; t; t = t->next) {
		enum hg_rc rc = calls_check(set, t, t->nodes, err);
		if (rc < 0) return rc;
	}
	return HG_OK;
}
