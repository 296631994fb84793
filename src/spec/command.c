/* Commands: words, quotes and variables of a POSIX shell, and nothing else of it. */
#include "spec/spec_priv.h"

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool name_char(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (!first && c >= '0' && c <= '9');
}

/*
 * The one reader of commands: a walk over the text that tells where variables stand. Splitting,
 * checking and spec_command_uses are the same walk with different ears.
 */
struct walk {
	struct hg_str s;
	size_t at;
	struct hg_buf *word; /* NULL: nobody wants the words */
	spec_lookup_fn *lookup;
	void *ctx;
	struct hg_err *err;
	bool any; /* the word has begun, be it empty ("") */
};

static enum hg_rc complain(struct walk *w, const char *why, struct hg_str what)
{
	return hg_err_set(w->err, HG_E_COMMAND, "command \"%.*s\": %s%.*s",
	        (int)HG_MIN(w->s.n, 120), w->s.p, why, (int)HG_MIN(what.n, 64), what.p);
}

static void put(struct walk *w, char c)
{
	if (w->word) hg_buf_byte(w->word, c);
}

/* At "$": the variable is replaced; a lone "$" is itself. */
static enum hg_rc variable(struct walk *w)
{
	size_t start = ++w->at;
	bool brace = start < w->s.n && w->s.p[start] == '{';
	if (brace) start = ++w->at;
	while (w->at < w->s.n && name_char(w->s.p[w->at], w->at == start))
		w->at++;
	struct hg_str name = {w->s.p + start, w->at - start}, value = {0};
	if (brace) {
		if (w->at == w->s.n || w->s.p[w->at] != '}' || name.n == 0) {
			enum hg_rc rc = complain(w, "\"${\" must be ${NAME}", HG_STR(""));
			hg_err_hint(w->err, "operators such as ${NAME:-default} need a shell: "
			                    "[sh, -c, \"…\"]");
			return rc;
		}
		w->at++;
	} else if (name.n == 0) {
		put(w, '$');
		return HG_OK;
	}
	if (!w->lookup(w->ctx, name, &value)) {
		enum hg_rc rc = complain(w, "unknown variable $", name);
		hg_err_hint(w->err,
		        "known are PORT, SOCKET, LISTEN_FDS and the names in `env`; a dollar sign "
		        "itself is written '$' in single quotes");
		return rc;
	}
	if (w->word) hg_buf_str(w->word, value);
	return HG_OK;
}

static enum hg_rc quoted(struct walk *w)
{
	char quote = w->s.p[w->at++];
	w->any = true;
	while (w->at < w->s.n && w->s.p[w->at] != quote) {
		char c = w->s.p[w->at];
		if (quote == '"' && c == '$') {
			enum hg_rc rc = variable(w);
			if (rc < 0) return rc;
			continue;
		}
		if (quote == '"' && c == '\\' && w->at + 1 < w->s.n &&
		        strchr("\\\"$`", w->s.p[w->at + 1]))
			c = w->s.p[++w->at];
		put(w, c);
		w->at++;
	}
	if (w->at == w->s.n)
		return complain(w, "the quote is not closed: ", (struct hg_str){&quote, 1});
	w->at++;
	return HG_OK;
}

/* The next word; *ret_end when there is none. */
static enum hg_rc word(struct walk *w, bool *ret_end)
{
	enum hg_rc rc = HG_OK;
	w->any = false;
	while (w->at < w->s.n && blank(w->s.p[w->at]))
		w->at++;
	*ret_end = w->at == w->s.n;
	while (rc == HG_OK && w->at < w->s.n && !blank(w->s.p[w->at])) {
		char c = w->s.p[w->at];
		if (c == '\'' || c == '"') {
			rc = quoted(w);
		} else if (c == '$') {
			rc = variable(w);
		} else {
			if (c == '\\') {
				if (++w->at == w->s.n)
					return complain(w, "ends with a backslash", HG_STR(""));
				c = w->s.p[w->at];
			}
			put(w, c);
			w->at++;
		}
	}
	return rc;
}

enum hg_rc spec_command_split(struct hg_str command, spec_lookup_fn *lookup, void *ctx,
        struct hg_arena *a, char ***ret_argv, uint32_t *ret_argc, struct hg_err *err)
{
	struct hg_buf text;
	struct walk w = {.s = command, .word = &text, .lookup = lookup, .ctx = ctx, .err = err};
	char **argv = hg_arena_array(a, SPEC_ARGS_MAX + 1, sizeof *argv);
	enum hg_rc rc = HG_OK;
	uint32_t n = 0;
	bool end = false;
	if (!argv) return hg_err_set(err, HG_E_NOMEM, "no memory for a command");
	hg_buf_init(&text, SPEC_ARG_SIZE_MAX);
	while (rc == HG_OK) {
		hg_buf_reset(&text);
		rc = word(&w, &end);
		if (rc < 0 || end) break;
		if (text.failed) {
			rc = complain(&w, "a word is too long", HG_STR(""));
		} else if (n == SPEC_ARGS_MAX) {
			rc = complain(&w, "has more than 256 words", HG_STR(""));
		} else {
			struct hg_str copy = hg_arena_str(a, hg_buf_view(&text));
			if (!copy.p) rc = hg_err_set(err, HG_E_NOMEM, "no memory for a command");
			argv[n++] = (char *)(uintptr_t)copy.p;
		}
	}
	if (rc == HG_OK && n == 0) rc = complain(&w, "is empty", HG_STR(""));
	hg_buf_free(&text);
	if (rc < 0) return rc;
	*ret_argv = argv;
	*ret_argc = n;
	return HG_OK;
}

struct ear {
	struct hg_str variable;
	bool heard;
};

static bool listen_for(void *ctx, struct hg_str name, struct hg_str *ret_value)
{
	struct ear *e = ctx;
	e->heard = e->heard || hg_str_eq(name, e->variable);
	*ret_value = (struct hg_str){"", 0};
	return true;
}

/* A shell's script names its variables itself: `[sh, -c, "exec app $PORT"]`. */
static bool mentions(struct hg_str s, struct hg_str name)
{
	for (size_t i = 0; i + name.n < s.n; i++) {
		if (s.p[i] != '$') continue;
		size_t at = i + 1 + (s.p[i + 1] == '{');
		if (at + name.n <= s.n && memcmp(s.p + at, name.p, name.n) == 0 &&
		        (at + name.n == s.n || !name_char(s.p[at + name.n], false)))
			return true;
	}
	return false;
}

bool spec_command_uses(struct hg_str command, struct hg_str variable)
{
	struct ear ear = {.variable = variable};
	struct hg_err err;
	struct walk w = {.s = command, .lookup = listen_for, .ctx = &ear, .err = &err};
	bool end = false;
	while (!end && word(&w, &end) == HG_OK)
		;
	return ear.heard || mentions(command, variable);
}

static bool is_shell(struct hg_str s)
{
	static const char *const shells[] = {"sh", "bash", "dash", "ash", "zsh", "ksh"};
	for (size_t i = 0; i < HG_COUNT(shells); i++) {
		struct hg_str name = hg_str(shells[i]);
		if (hg_str_eq(s, name)) return true;
		if (s.n > name.n && hg_str_ends(s, name) && s.p[s.n - name.n - 1] == '/')
			return true;
	}
	return false;
}

/* A word of a list in quotes: '…' hands it over as it is, "…" lets variables be replaced. */
static void join_word(struct hg_str s, bool literal, struct hg_buf *to)
{
	hg_buf_byte(to, literal ? '\'' : '"');
	for (size_t i = 0; i < s.n; i++) {
		if (literal && s.p[i] == '\'')
			hg_buf_cstr(to, "'\\''");
		else if (!literal && strchr("\\\"", s.p[i]))
			hg_buf_fmt(to, "\\%c", s.p[i]);
		else
			hg_buf_byte(to, s.p[i]);
	}
	hg_buf_byte(to, literal ? '\'' : '"');
}

static bool simple(struct hg_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!name_char(s.p[i], false) && !strchr("$-./:=@%+,", s.p[i])) return false;
	}
	return s.n > 0;
}

struct hg_str spec_command_join(struct hg_arena *a, const struct spec_node *list)
{
	struct hg_buf text;
	bool shell = list->first && is_shell(list->first->text), script = false;
	hg_buf_init(&text, 4u * SPEC_FILE_MAX);
	for (const struct spec_node *c = list->first; c; c = c->next) {
		if (c != list->first) hg_buf_byte(&text, ' ');
		if (simple(c->text) && !script)
			hg_buf_str(&text, c->text);
		else
			join_word(c->text, script, &text);
		script = script || (shell && hg_str_eq(c->text, HG_STR("-c")));
	}
	struct hg_str joined = {0};
	if (!text.failed) joined = hg_arena_str(a, hg_buf_view(&text));
	hg_buf_free(&text);
	return joined;
}
