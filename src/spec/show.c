/* The effective configuration as YAML, and the keys of it that are not built yet. */
#include "spec/spec_priv.h"

#include <stdio.h>

/* ---- show ---- */

struct show {
	struct hg_buf *to;
	bool dash; /* the next line of a key opens an item of a list */
};

/* "production, line 12", or "health, line 9" when a shorthand made it. */
static void show_source(struct show *s, const struct spec_node *n)
{
	hg_buf_cstr(s->to, "  # ");
	if (n->layer) hg_buf_fmt(s->to, "%s, ", n->layer);
	if (n->by) hg_buf_fmt(s->to, "%s, ", n->by);
	hg_buf_fmt(s->to, "line %u\n", n->line);
}

static void show_indent(struct show *s, int level, bool comment)
{
	bool dash = s->dash && !comment;
	hg_buf_fmt(s->to, "%*s%s", (level - dash) * 2, "", comment ? "# " : dash ? "- " : "");
	s->dash = s->dash && comment;
}

static void show_group(struct show *s, const struct spec_group *g, const struct spec_node *map,
        const void *base, int level);

static void show_pairs(struct show *s, const struct spec_key *k, const struct spec_node *n,
        const void *base, int level)
{
	const struct spec_pair *p =
	        *(struct spec_pair *const *)(const void *)((const char *)base + k->at);
	const struct spec_node *c = n->first;
	uint32_t count = *(const uint32_t *)(const void *)((const char *)base + k->count_at);
	show_indent(s, level, false);
	if (count == 0) {
		hg_buf_fmt(s->to, "%s: {}\n", k->name);
		return;
	}
	hg_buf_fmt(s->to, "%s:\n", k->name);
	for (uint32_t i = 0; i < count; i++, c = c->next) {
		show_indent(s, level + 1, false);
		spec_text_print(p[i].name, s->to);
		hg_buf_cstr(s->to, ": ");
		spec_text_print(p[i].value, s->to);
		show_source(s, c);
	}
}

/* The items of a map, or of a list of groups. */
static void show_items(struct show *s, const struct spec_key *k, const struct spec_node *n,
        const void *base, int level)
{
	const char *items = *(char *const *)(const void *)((const char *)base + k->at);
	const struct spec_node *c = n->first;
	uint32_t count = *(const uint32_t *)(const void *)((const char *)base + k->count_at);
	bool list = k->kind == SPEC_K_LIST;
	show_indent(s, level, false);
	if (count == 0) {
		hg_buf_fmt(s->to, "%s: %s\n", k->name, list ? "[]" : "{}");
		return;
	}
	hg_buf_fmt(s->to, "%s:\n", k->name);
	for (uint32_t i = 0; i < count; i++, c = c->next) {
		if (list && c->first) {
			s->dash = true;
		} else {
			show_indent(s, level + 1, false);
			if (list)
				hg_buf_cstr(s->to, "- {}\n");
			else
				hg_buf_fmt(s->to, "%.*s:%s\n", HG_STR_ARG(c->key),
				        c->first ? "" : " {}");
		}
		if (!c->first) continue;
		show_group(s, k->of, c, items + k->of->size * i, level + 2);
	}
}

/* What the file does not say is shown as a comment, so that the output loads to the same. */
static void show_default(struct show *s, const struct spec_key *k, const void *base, int level)
{
	if (k->kind == SPEC_K_GROUP) {
		if (!k->available || hg_str_eq(hg_str(k->of->name), HG_STR("probe"))) return;
		bool any = false;
		for (size_t i = 0; i < k->of->key_count; i++)
			any = any || (k->of->keys[i].fallback && k->of->keys[i].available);
		if (!any) return;
		show_indent(s, level, true);
		hg_buf_fmt(s->to, "%s:\n", k->name);
		show_group(s, k->of, NULL, (const char *)base + k->at, level + 1);
		return;
	}
	if (!k->fallback || !k->available || k->count_at) return;
	show_indent(s, level, true);
	hg_buf_fmt(s->to, "%s: ", k->name);
	spec_value_print(k, (const char *)base + k->at, s->to);
	hg_buf_cstr(s->to, "  # default\n");
}

static void show_group(struct show *s, const struct spec_group *g, const struct spec_node *map,
        const void *base, int level)
{
	for (size_t i = 0; i < g->key_count; i++) {
		const struct spec_key *k = &g->keys[i];
		const struct spec_node *n = map ? spec_node_get(map, k->name) : NULL;
		if (k->expands || k->kind == SPEC_K_OVERLAYS) continue;
		if (!n) {
			show_default(s, k, base, level);
			continue;
		}
		switch (k->kind) {
		case SPEC_K_PAIRS: show_pairs(s, k, n, base, level); break;
		case SPEC_K_MAP:
		case SPEC_K_LIST: show_items(s, k, n, base, level); break;
		case SPEC_K_GROUP:
			show_indent(s, level, false);
			hg_buf_fmt(s->to, n->first ? "%s:\n" : "%s: {}\n", k->name);
			show_group(s, k->of, n, (const char *)base + k->at, level + 1);
			break;
		default:
			show_indent(s, level, false);
			hg_buf_fmt(s->to, "%s: ", k->name);
			spec_value_print(k, (const char *)base + k->at, s->to);
			show_source(s, n);
			break;
		}
	}
}

void spec_show(const struct spec *spec, struct hg_buf *to)
{
	struct show s = {.to = to};
	hg_buf_cstr(to, "# effective configuration");
	if (spec->origin->environment_name)
		hg_buf_fmt(to, " of environment %s", spec->origin->environment_name);
	hg_buf_fmt(to, ", from %.*s\n", HG_STR_ARG(spec->origin->file));
	if (!spec_node_get(spec->origin->tree, "project") && spec->project.n)
		hg_buf_fmt(to, "# project: %.*s  # default\n", HG_STR_ARG(spec->project));
	show_group(&s, spec_root, spec->origin->tree, spec, 0);
}

/* ---- not built yet ---- */

struct missing {
	const struct spec_origin *o;
	struct hg_err *errs;
	uint32_t n, max;
	char path[256];
};

static size_t path_push(struct missing *m, const char *dot, const char *part, size_t n)
{
	size_t was = strlen(m->path);
	snprintf(m->path + was, sizeof m->path - was, "%s%.*s", was ? dot : "", (int)n, part);
	return was;
}

static void missing_add(struct missing *m, const struct spec_node *n)
{
	if (m->n++ >= m->max) return;
	struct hg_err *e = &m->errs[m->n - 1];
	hg_err_set(e, HG_E_CONFIG_UNAVAILABLE, "\"%s\" is not available yet", m->path);
	hg_err_hint(e,
	        "this release of Headgate checks the key but does not act on it; remove it to "
	        "start");
	spec_err_place(e, m->o->file, m->o->text, n->key_line ? n->key_line : n->line,
	        n->key_line ? n->key_column : n->column);
}

/* A choice that is known and not built yet counts like a key that is not. */
static void missing_choice(struct missing *m, const struct spec_key *k, const struct spec_node *n)
{
	for (size_t i = 0; k->later && k->later[i]; i++) {
		if (!hg_str_eq(n->text, hg_str(k->later[i]))) continue;
		size_t was = path_push(m, ": ", k->later[i], strlen(k->later[i]));
		missing_add(m, n);
		m->path[was] = 0;
	}
}

static void missing_group(
        struct missing *m, const struct spec_group *g, const struct spec_node *map)
{
	for (const struct spec_node *c = map->first; c; c = c->next) {
		const struct spec_key *k = spec_key_find(g, c->key);
		if (!k || k->kind == SPEC_K_OVERLAYS) continue;
		size_t was = path_push(m, ".", k->name, strlen(k->name));
		if (!k->available) {
			missing_add(m, c);
		} else if (k->later) {
			missing_choice(m, k, c);
		} else if (k->kind == SPEC_K_GROUP) {
			missing_group(m, k->of, c);
		} else if (k->kind == SPEC_K_MAP || k->kind == SPEC_K_LIST) {
			uint32_t at = 0;
			for (const struct spec_node *i = c->first; i; i = i->next, at++) {
				char number[16];
				bool list = k->kind == SPEC_K_LIST;
				snprintf(number, sizeof number, "[%u]", at);
				size_t inner = list ? path_push(m, "", number, strlen(number))
				                    : path_push(m, ".", i->key.p, i->key.n);
				missing_group(m, k->of, i);
				m->path[inner] = 0;
			}
		}
		m->path[was] = 0;
	}
}

uint32_t spec_unavailable(const struct spec *s, struct hg_err *ret_errs, uint32_t max)
{
	struct missing m = {.o = s->origin, .errs = ret_errs, .max = max};
	missing_group(&m, spec_root, s->origin->tree);
	if (s->origin->environment) {
		(void)path_push(&m, ".", "environments", 12);
		(void)path_push(
		        &m, ".", s->origin->environment_name, strlen(s->origin->environment_name));
		missing_group(
		        &m, spec_key_get(spec_root, "environments")->of, s->origin->environment);
	}
	return m.n;
}
