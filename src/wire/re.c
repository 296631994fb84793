#include "wire/re_priv.h"

#include <stdlib.h>

static enum hg_rc copy_names(struct re *re, const struct re_tree *t, struct hg_str given)
{
	char *text = malloc(given.n + 1);
	if (!text) return HG_E_NOMEM;
	if (given.n) memcpy(text, given.p, given.n);
	text[given.n] = 0;
	re->pattern.p = text;
	re->pattern.n = given.n;
	re->groups = t->groups;
	re->name = calloc(t->groups, sizeof *re->name);
	if (!re->name) return HG_E_NOMEM;
	for (uint32_t i = 0; i < t->groups; i++) {
		struct hg_str name = t->name[i];
		if (name.n) re->name[i] = (struct hg_str){text + (name.p - given.p), name.n};
	}
	return HG_OK;
}

enum hg_rc re_compile(struct hg_str pattern, unsigned flags, struct re **ret_re, struct hg_err *err)
{
	bool anchored = (flags & RE_ANCHORED) != 0;
	struct re_tree *t = NULL;
	struct re *re = NULL;
	enum hg_rc rc;
	if (!pattern.p) pattern = HG_STR("");
	if (pattern.n > RE_PATTERN_MAX)
		return hg_err_set(err, HG_E_TOO_LARGE,
		        "a regular expression has at most %u bytes; this one has %zu",
		        RE_PATTERN_MAX, pattern.n);
	t = calloc(1, sizeof *t);
	re = calloc(1, sizeof *re);
	if (!t || !re) {
		free(t);
		free(re);
		return hg_err_set(err, HG_E_NOMEM, "no memory for a regular expression");
	}
	re->flags = flags;
	rc = re_parse(pattern, flags, t, err);
	if (rc < 0) goto out;
	rc = re_prog_make(t, &re->prog, err);
	if (rc < 0) goto out;
	rc = copy_names(re, t, pattern);
	if (rc >= 0) rc = re_shortcut_find(t, anchored, &re->shortcut);
	if (rc >= 0 && re->shortcut.kind == RE_SHORT_NONE)
		rc = re_dfa_init(&re->dfa, &re->prog, anchored);
	if (rc < 0) hg_err_set(err, rc, "no memory for a regular expression");
out:
	hg_arena_fini(&t->arena);
	free(t);
	if (rc < 0)
		re_free(re);
	else
		*ret_re = re;
	return rc;
}

void re_free(struct re *re)
{
	if (!re) return;
	re_dfa_fini(&re->dfa);
	re_pike_free(re->pike);
	re_shortcut_fini(&re->shortcut);
	free(re->prog.at);
	free(re->name);
	free((void *)(uintptr_t)re->pattern.p);
	free(re);
}

struct hg_str re_pattern(const struct re *re)
{
	return re->pattern;
}

size_t re_bytes(const struct re *re)
{
	size_t n = sizeof *re + re->pattern.n + re->groups * sizeof *re->name;
	n += re->prog.cap * sizeof *re->prog.at + re_pike_bytes(re->pike);
	n += re->shortcut.n * sizeof *re->shortcut.literal;
	for (size_t i = 0; i < re->shortcut.n; i++)
		n += re->shortcut.literal[i].n;
	if (re->dfa.block) n += re->prog.n * 6 * sizeof(uint32_t);
	return n + re->dfa.bytes + re->dfa.table_cap * sizeof(void *);
}

bool re_match(struct re *re, struct hg_str s)
{
	if (!s.p) s = HG_STR("");
	if (re->shortcut.kind != RE_SHORT_NONE) return re_shortcut_match(&re->shortcut, s);
	if (re->flags & RE_ANCHORED && !hg_str_starts(s, re->shortcut.prefix)) return false;
	return re_dfa_match(&re->dfa, s);
}

size_t re_groups(const struct re *re)
{
	return re->groups;
}

struct hg_str re_group_name(const struct re *re, size_t i)
{
	return i < re->groups ? re->name[i] : (struct hg_str){0};
}

struct hg_str re_literal_prefix(const struct re *re)
{
	return re->shortcut.prefix;
}

bool re_literals(const struct re *re, const struct hg_str **ret_at, size_t *ret_n)
{
	if (re->shortcut.kind != RE_SHORT_LITERALS) return false;
	*ret_at = re->shortcut.literal;
	*ret_n = re->shortcut.n;
	return true;
}

bool re_matches_all(const struct re *re)
{
	return re->shortcut.kind == RE_SHORT_ANY && re->shortcut.least == 0;
}

/* ---- templates ---- */

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_';
}

/* After "$": the name, with or without braces; *ret_used bytes of it. False: none. */
static bool name_of(struct hg_str s, struct hg_str *ret_name, size_t *ret_used)
{
	bool braces = s.n > 0 && s.p[0] == '{';
	size_t from = braces, n = 0;
	while (from + n < s.n && is_word(s.p[from + n]))
		n++;
	if (n == 0) return false;
	if (braces && (from + n == s.n || s.p[from + n] != '}')) return false;
	*ret_name = (struct hg_str){s.p + from, n};
	*ret_used = from + n + braces;
	return true;
}

static const struct re_group *group_of(
        const struct re *re, struct hg_str name, const struct re_group *group)
{
	uint64_t number;
	if (hg_str_u64(name, &number)) return number < re->groups ? &group[number] : NULL;
	for (uint32_t i = 1; i < re->groups; i++)
		if (hg_str_eq(re->name[i], name)) return &group[i];
	return NULL;
}

void re_expand(
        const struct re *re, struct hg_str tmpl, const struct re_group *group, struct hg_buf *to)
{
	while (tmpl.n) {
		size_t at = hg_str_find(tmpl, '$'), used = 0;
		struct hg_str rest, name;
		hg_buf_str(to, (struct hg_str){tmpl.p, at});
		if (at == tmpl.n) return;
		rest = (struct hg_str){tmpl.p + at + 1, tmpl.n - at - 1};
		if (rest.n && rest.p[0] == '$') {
			hg_buf_byte(to, '$');
			used = 1;
		} else if (name_of(rest, &name, &used)) {
			const struct re_group *g = group_of(re, name, group);
			if (g && g->p) hg_buf_str(to, (struct hg_str){g->p, g->n});
		} else {
			hg_buf_byte(to, '$');
		}
		tmpl = (struct hg_str){rest.p + used, rest.n - used};
	}
}

void re_quote(struct hg_str s, struct hg_buf *to)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] && strchr("\\.+*?()|[]{}^$", s.p[i])) hg_buf_byte(to, '\\');
		hg_buf_byte(to, s.p[i]);
	}
}
