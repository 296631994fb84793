/* The text of a key, found by its path or by the end of it. */
#include "spec/spec_priv.h"

#include "gen/spec_schema.h"

#include <stdio.h>

#define PARTS_MAX 16
#define FOUND_MAX 32

struct parts {
	struct hg_str at[PARTS_MAX];
	uint32_t n;
};

struct found {
	const struct spec_key *key;
	char path[160];
};

struct search {
	struct parts want;
	bool whole; /* the path must match from its start */
	struct found found[FOUND_MAX];
	uint32_t n;
	const struct spec_key *near;
	char near_path[160];
	const char *instead;
};

/* a.b[0].c → a b c: an index says nothing about the key. */
static struct parts split(struct hg_str path)
{
	struct parts p = {0};
	while (path.n && p.n < PARTS_MAX) {
		struct hg_str part = hg_str_cut(&path, '.');
		part.n = hg_str_find(part, '[');
		if (part.n) p.at[p.n++] = part;
	}
	return p;
}

/* A "*" of the pattern stands for any name, or for none that was given. */
static bool match(const struct parts *pattern, uint32_t i, const struct parts *want, uint32_t k)
{
	if (i == pattern->n) return k == want->n;
	if (hg_str_eq(pattern->at[i], HG_STR("*")))
		return (k < want->n && match(pattern, i + 1, want, k + 1)) ||
		       match(pattern, i + 1, want, k);
	return k < want->n && hg_str_eq(pattern->at[i], want->at[k]) &&
	       match(pattern, i + 1, want, k + 1);
}

static void consider(
        struct search *s, const struct spec_group *g, const struct spec_key *k, const char *path)
{
	struct parts pattern = split(hg_str(path));
	bool good = false;
	struct hg_str last = s->want.at[s->want.n - 1];
	for (uint32_t i = 0; i < (s->whole ? 1 : pattern.n) && !good; i++)
		good = match(&pattern, i, &s->want, 0);
	if (good && s->n < FOUND_MAX) {
		s->found[s->n].key = k;
		snprintf(s->found[s->n].path, sizeof s->found[s->n].path, "%s", path);
	}
	s->n += good;
	if (!s->near && spec_key_near(g, last, 2) == k) {
		s->near = k;
		snprintf(s->near_path, sizeof s->near_path, "%s", path);
	}
}

static void walk(struct search *s, const struct spec_group *g, const char *prefix)
{
	char path[160];
	for (size_t i = 0; i < g->alias_count && !s->instead; i++) {
		if (hg_str_eq(hg_str(g->aliases[i].name), s->want.at[s->want.n - 1]))
			s->instead = g->aliases[i].instead;
	}
	for (size_t i = 0; i < g->key_count; i++) {
		const struct spec_key *k = &g->keys[i];
		snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] ? "." : "", k->name);
		consider(s, g, k, path);
		if (!k->of) continue;
		if (k->kind != SPEC_K_GROUP) {
			size_t n = strlen(path);
			snprintf(path + n, sizeof path - n, "%s",
			        k->kind == SPEC_K_LIST ? "[]" : ".*");
		}
		walk(s, k->of, path);
	}
}

/* `text` in lines of at most 79 columns, `indent` blanks before each but the first. */
static void wrap(struct hg_str text, size_t indent, struct hg_buf *to)
{
	size_t column = indent;
	bool first = true;
	while (text.n) {
		struct hg_str word = hg_str_cut(&text, ' ');
		size_t width = hg_utf8_count(word);
		if (!first && column + 1 + width > 79) {
			hg_buf_fmt(to, "\n%*s", (int)indent, "");
			column = indent;
		} else if (!first) {
			hg_buf_byte(to, ' ');
			column++;
		}
		hg_buf_str(to, word);
		column += width;
		first = false;
	}
}

static void print_type(const struct spec_key *k, struct hg_buf *to)
{
	hg_buf_fmt(to, "  type      %s", spec_kind_name(k->kind));
	if (k->choices) {
		hg_buf_cstr(to, k->kind == SPEC_K_ENUM ? ":" : ", of");
		for (size_t i = 0; k->choices[i]; i++)
			hg_buf_fmt(to, "%s %s", i ? "," : "", k->choices[i]);
	}
	if (k->low) hg_buf_fmt(to, ", %s to %s", k->low, k->high);
	if (k->word) hg_buf_fmt(to, ", or %s", k->word);
	hg_buf_byte(to, '\n');
}

static void print_key(const struct found *f, struct hg_buf *to)
{
	static const char *const apply[] = {
	        [SPEC_APPLY_LIVE] = "taken at once",
	        [SPEC_APPLY_RELEASE] = "a new release is rolled out",
	        [SPEC_APPLY_RESTART] = "needs `headgate down` and `headgate up`",
	};
	const struct spec_key *k = f->key;
	hg_buf_fmt(to, "%s\n  ", f->path);
	wrap(hg_str(k->doc), 2, to);
	hg_buf_cstr(to, "\n\n");
	print_type(k, to);
	if (k->required)
		hg_buf_cstr(to, "  default   none: it must be given\n");
	else
		hg_buf_fmt(to, "  default   %s\n", k->fallback ? k->fallback : "none");
	hg_buf_fmt(to, "  on reload %s\n", apply[k->apply]);
	if (!k->available)
		hg_buf_cstr(to, "  state     not available in this release: `up` refuses it\n");
	if (k->kind != SPEC_K_GROUP && k->kind != SPEC_K_MAP && k->kind != SPEC_K_LIST &&
	        k->kind != SPEC_K_OVERLAYS)
		hg_buf_fmt(to, "  example   %s: %s\n", k->name, spec_kind_example(k));
	if (k->of && k->of->shorthand)
		hg_buf_fmt(to, "  shorthand `%s: VALUE` is `%s: {%s: VALUE}`\n", k->name, k->name,
		        k->of->shorthand);
	if (!k->of) return;
	hg_buf_cstr(to, "\n  keys\n");
	for (size_t i = 0; i < k->of->key_count; i++) {
		struct hg_str doc = hg_str(k->of->keys[i].doc);
		for (size_t at = 0; at + 1 < doc.n; at++) {
			if (doc.p[at] == '.' && doc.p[at + 1] == ' ') doc.n = at + 1;
		}
		hg_buf_fmt(to, "    %-23s ", k->of->keys[i].name);
		wrap(doc, 28, to);
		hg_buf_byte(to, '\n');
	}
}

static void print_all(const struct search *s, struct hg_buf *to)
{
	uint32_t n = HG_MIN(s->n, FOUND_MAX);
	if (n == 1) {
		print_key(&s->found[0], to);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		bool first =
		        true; /* one row may stand in several places, such as the three probes */
		for (uint32_t k = 0; k < i; k++)
			first = first && s->found[k].key != s->found[i].key;
		if (i && first) hg_buf_byte(to, '\n');
		if (first)
			print_key(&s->found[i], to);
		else
			hg_buf_fmt(to, "  also      %s\n", s->found[i].path);
	}
	if (s->n > n) hg_buf_fmt(to, "\n%u more; give more of the path\n", s->n - n);
}

static void print_root(struct hg_buf *to)
{
	for (size_t i = 0; i < spec_root->key_count; i++) {
		hg_buf_fmt(to, "%-13s ", spec_root->keys[i].name);
		wrap(hg_str(spec_root->keys[i].doc), 14, to);
		hg_buf_byte(to, '\n');
	}
}

enum hg_rc spec_explain(struct hg_str path, struct hg_buf *to, struct hg_err *err)
{
	struct search s = {.whole = true, .want = split(path)};
	if (s.want.n && hg_str_eq(s.want.at[s.want.n - 1], HG_STR("*"))) s.want.n--;
	if (s.want.n == 0) {
		print_root(to);
		return HG_OK;
	}
	if (hg_str_eq(s.want.at[0], HG_STR("environments")) && s.want.n > 2) {
		/* an overlay is the same tree; its own keys are found by the end of the path */
		for (uint32_t i = 2; i < s.want.n; i++)
			s.want.at[i - 2] = s.want.at[i];
		s.want.n -= 2;
	}
	walk(&s, spec_root, "");
	if (s.n == 0) {
		s.whole = false;
		walk(&s, spec_root, "");
	}
	if (s.n) {
		print_all(&s, to);
		return HG_OK;
	}
	hg_err_set(
	        err, HG_E_NOT_FOUND, "there is no key \"%.*s\"", (int)HG_MIN(path.n, 120), path.p);
	if (s.instead)
		hg_err_hint(err, "%s", s.instead);
	else if (s.near)
		hg_err_hint(err, "did you mean \"%s\"?", s.near_path);
	else
		hg_err_hint(err, "`headgate explain` without a key lists the top level");
	return HG_E_NOT_FOUND;
}

struct hg_str spec_schema(void)
{
	return (struct hg_str){spec_schema_text, sizeof spec_schema_text - 1};
}
