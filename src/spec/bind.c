/* Tree → struct, by the table. One walk reports everything it finds. */
#include "spec/spec_priv.h"

#include <stdio.h>

#define SHOWN 48 /* bytes of a faulty value in a message */

static const char *found(const struct spec_node *n)
{
	if (n->kind == SPEC_N_MAP) return "a mapping";
	if (n->kind == SPEC_N_LIST) return "a list";
	return n->text.n || n->quoted ? "a text" : "nothing";
}

static void nomem(struct spec_loading *l)
{
	if (l->nomem) return;
	l->nomem = true;
	spec_err_say(
	        spec_report_error(l->report, HG_E_NOMEM, 0, 0), "no memory for the configuration");
}

static void *take(struct spec_loading *l, size_t count, size_t size)
{
	void *p = count ? hg_arena_array(l->a, count, size) : NULL;
	if (!p && count) nomem(l);
	return p;
}

static struct hg_str copy(struct spec_loading *l, struct hg_str s)
{
	struct hg_str c = hg_arena_str(l->a, s);
	if (!c.p) nomem(l);
	return c.p ? c : (struct hg_str){"", 0};
}

/* `what`: the key as messages name it. */
static struct hg_err *wrong_type(struct spec_loading *l, const struct spec_key *k,
        const struct spec_node *n, const char *accepted)
{
	struct hg_err *e = spec_report_error(l->report, HG_E_CONFIG_TYPE, n->line, n->column);
	if (n->kind == SPEC_N_SCALAR && !n->text.n && !n->quoted)
		spec_err_say(e, "\"%s\" has no value; it must be %s", k->name, accepted);
	else
		spec_err_say(e, "\"%s\" must be %s, not %s", k->name, accepted, found(n));
	return e;
}

static void problem(struct spec_loading *l, const struct spec_key *k, const struct spec_node *n,
        const struct spec_problem *p)
{
	struct hg_err *e = spec_report_error(l->report, p->rc, n->line, n->column);
	spec_err_say(e, "\"%s\" %s; found \"%.*s\"%s", k->name, p->why,
	        (int)HG_MIN(n->text.n, SHOWN), n->text.p, n->text.n > SHOWN ? "…" : "");
	if (p->hint[0])
		hg_err_hint(e, "%s", p->hint);
	else if (k->doc)
		hg_err_hint(e, "for example `%s: %s`", k->name, spec_kind_example(k));
}

static bool scalar(struct spec_loading *l, const struct spec_key *k, const struct spec_node *n)
{
	if (n->kind == SPEC_N_SCALAR && (n->text.n || n->quoted)) return true;
	struct hg_err *e = wrong_type(l, k, n, spec_kind_name(k->kind));
	hg_err_hint(e, "for example `%s: %s`", k->name, spec_kind_example(k));
	return false;
}

static void store_number(const struct spec_key *k, uint64_t v, void *member)
{
	switch (k->kind) {
	case SPEC_K_BOOL: *(bool *)member = v != 0; break;
	case SPEC_K_DURATION:
	case SPEC_K_SIZE: *(uint64_t *)member = v; break;
	case SPEC_K_ENUM: *(unsigned *)member = (unsigned)v; break;
	default: *(uint32_t *)member = (uint32_t)v; break;
	}
}

static void bind_number(
        struct spec_loading *l, const struct spec_key *k, const struct spec_node *n, void *member)
{
	struct spec_problem p;
	uint64_t v;
	if (!scalar(l, k, n)) return;
	if (n->quoted && (k->kind == SPEC_K_INT || k->kind == SPEC_K_BOOL)) {
		struct hg_err *e = wrong_type(l, k, n, spec_kind_name(k->kind));
		hg_err_hint(e, "remove the quotes");
		return;
	}
	if (spec_value_number(k, n->text, &v, &p))
		store_number(k, v, member);
	else
		problem(l, k, n, &p);
}

/* A text by the row's check and choices; where a row has choices, only these. */
static struct hg_str bind_text(
        struct spec_loading *l, const struct spec_key *k, const struct spec_node *n)
{
	struct spec_problem p;
	uint64_t at;
	if (k->choices) {
		struct spec_key of = {.kind = SPEC_K_ENUM, .choices = k->choices};
		if (spec_value_number(&of, n->text, &at, &p)) return copy(l, n->text);
		problem(l, k, n, &p);
	} else if (spec_value_check(k->check, n->text, &p)) {
		return copy(l, n->text);
	} else {
		problem(l, k, n, &p);
	}
	return (struct hg_str){"", 0};
}

static void bind_command(
        struct spec_loading *l, const struct spec_key *k, const struct spec_node *n, void *member)
{
	struct hg_str *to = member;
	if (n->kind == SPEC_N_LIST) {
		for (const struct spec_node *c = n->first; c; c = c->next) {
			if (!scalar(l, k, c)) return;
		}
		*to = n->count ? spec_command_join(l->a, n) : (struct hg_str){"", 0};
		if (!to->p) nomem(l);
		if (n->count) return;
	} else {
		if (!scalar(l, k, n)) return;
		*to = copy(l, n->text);
	}
	if (hg_str_trim(*to).n) return;
	struct hg_err *e = spec_report_error(l->report, HG_E_COMMAND, n->line, n->column);
	spec_err_say(e, "\"%s\" is empty", k->name);
	hg_err_hint(e, "for example `%s: %s`", k->name, spec_kind_example(k));
}

static void bind_strings(
        struct spec_loading *l, const struct spec_key *k, const struct spec_node *n, void *out)
{
	struct hg_str **to = (struct hg_str **)(void *)((char *)out + k->at);
	uint32_t *count = (uint32_t *)(void *)((char *)out + k->count_at), at = 0;
	if (n->kind == SPEC_N_SCALAR && k->single && (n->text.n || n->quoted)) {
		*to = take(l, 1, sizeof **to);
		if (*to) (*to)[(*count)++] = bind_text(l, k, n);
		return;
	}
	if (n->kind != SPEC_N_LIST) {
		struct hg_err *e = wrong_type(l, k, n, spec_kind_name(k->kind));
		if (n->kind == SPEC_N_SCALAR && n->text.n)
			hg_err_hint(e, "write `%s: [%.*s]`", k->name, (int)HG_MIN(n->text.n, SHOWN),
			        n->text.p);
		else
			hg_err_hint(e, "for example `%s: %s`", k->name, spec_kind_example(k));
		return;
	}
	*to = take(l, n->count, sizeof **to);
	if (!*to) return;
	for (const struct spec_node *c = n->first; c; c = c->next) {
		if (c->kind == SPEC_N_SCALAR && (c->text.n || c->quoted))
			(*to)[at++] = bind_text(l, k, c);
		else
			wrong_type(l, k, c, "a list of texts");
	}
	*count = at;
}

static void bind_pairs(
        struct spec_loading *l, const struct spec_key *k, const struct spec_node *n, void *out)
{
	struct spec_pair **to = (struct spec_pair **)(void *)((char *)out + k->at);
	uint32_t *count = (uint32_t *)(void *)((char *)out + k->count_at), at = 0;
	if (n->kind != SPEC_N_MAP) {
		struct hg_err *e = wrong_type(l, k, n, spec_kind_name(k->kind));
		hg_err_hint(e, "for example `%s: %s`", k->name, spec_kind_example(k));
		return;
	}
	*to = take(l, n->count, sizeof **to);
	if (!*to) return;
	for (const struct spec_node *c = n->first; c; c = c->next) {
		struct spec_problem p;
		struct spec_node name = {
		        .text = c->key, .line = c->key_line, .column = c->key_column};
		if (!spec_value_check(k->check, c->key, &p))
			problem(l, &(struct spec_key){.name = "name"}, &name, &p);
		if (c->kind != SPEC_N_SCALAR || (!c->text.n && !c->quoted)) {
			struct hg_err *e =
			        spec_report_error(l->report, HG_E_CONFIG_TYPE, c->line, c->column);
			spec_err_say(e, "\"%.*s\" in \"%s\" must be a text, not %s",
			        (int)HG_MIN(c->key.n, SHOWN), c->key.p, k->name, found(c));
			hg_err_hint(e, "an empty text is written \"\"");
			continue;
		}
		(*to)[at++] = (struct spec_pair){copy(l, c->key), copy(l, c->text)};
	}
	*count = at;
}

static void bind_map(
        struct spec_loading *l, const struct spec_key *k, const struct spec_node *n, void *out)
{
	char **to = (char **)(void *)((char *)out + k->at);
	uint32_t *count = (uint32_t *)(void *)((char *)out + k->count_at);
	char what[128];
	if (n->kind != SPEC_N_MAP) {
		struct hg_err *e = wrong_type(l, k, n, "a mapping by name");
		hg_err_hint(e, "write `%s: {NAME: {…}}`", k->name);
		return;
	}
	*to = take(l, n->count, k->of->size);
	if (!*to) return;
	for (const struct spec_node *c = n->first; c; c = c->next) {
		struct spec_problem p;
		char *item = *to + k->of->size * (*count)++;
		struct spec_node name = {
		        .text = c->key, .line = c->key_line, .column = c->key_column};
		if (!spec_value_check(SPEC_C_NAME, c->key, &p))
			problem(l, &(struct spec_key){.name = "name"}, &name, &p);
		*(struct hg_str *)(void *)(item + k->of->name_at) = copy(l, c->key);
		snprintf(what, sizeof what, "%s.%.*s", k->name, (int)HG_MIN(c->key.n, SHOWN),
		        c->key.p);
		if (c->kind == SPEC_N_MAP)
			spec_bind(l, k->of, c, what, item);
		else
			wrong_type(l, &(struct spec_key){.name = what}, c, "a mapping");
	}
}

static void bind_list(
        struct spec_loading *l, const struct spec_key *k, const struct spec_node *n, void *out)
{
	char **to = (char **)(void *)((char *)out + k->at);
	uint32_t *count = (uint32_t *)(void *)((char *)out + k->count_at);
	char what[128];
	if (n->kind != SPEC_N_LIST) {
		struct hg_err *e = wrong_type(l, k, n, "a list");
		hg_err_hint(e, "write `%s: [{%s: …}]`", k->name, k->of->keys[0].name);
		return;
	}
	*to = take(l, n->count, k->of->size);
	if (!*to) return;
	for (const struct spec_node *c = n->first; c; c = c->next) {
		char *item = *to + k->of->size * (*count)++;
		snprintf(what, sizeof what, "%s[%u]", k->name, *count - 1);
		if (c->kind == SPEC_N_MAP)
			spec_bind(l, k->of, c, what, item);
		else
			wrong_type(l, &(struct spec_key){.name = what}, c, "a mapping");
	}
}

static void bind_value(
        struct spec_loading *l, const struct spec_key *k, const struct spec_node *n, void *out)
{
	void *member = (char *)out + k->at;
	struct spec_problem p;
	switch (k->kind) {
	case SPEC_K_STRING:
		if (scalar(l, k, n)) *(struct hg_str *)member = bind_text(l, k, n);
		break;
	case SPEC_K_COMMAND: bind_command(l, k, n, member); break;
	case SPEC_K_ADDRESS:
		if (scalar(l, k, n) && !spec_value_address(copy(l, n->text), member, &p))
			problem(l, k, n, &p);
		break;
	case SPEC_K_SHARE:
		if (scalar(l, k, n) && !spec_value_share(n->text, member, &p)) problem(l, k, n, &p);
		break;
	case SPEC_K_STRINGS: bind_strings(l, k, n, out); break;
	case SPEC_K_PAIRS: bind_pairs(l, k, n, out); break;
	case SPEC_K_GROUP:
		if (n->kind == SPEC_N_MAP) {
			spec_bind(l, k->of, n, k->name, member);
		} else {
			struct hg_err *e = wrong_type(l, k, n, "a mapping");
			hg_err_hint(e, "for example `%s: {%s: …}`", k->name, k->of->keys[0].name);
		}
		break;
	case SPEC_K_MAP:
	case SPEC_K_OVERLAYS: bind_map(l, k, n, out); break;
	case SPEC_K_LIST: bind_list(l, k, n, out); break;
	default: bind_number(l, k, n, member); break;
	}
}

static void bind_default(struct spec_loading *l, const struct spec_key *k, void *out)
{
	void *member = (char *)out + k->at;
	struct spec_problem p;
	struct hg_str text = hg_str(k->fallback);
	uint64_t v;
	bool good = true;
	if (k->kind == SPEC_K_GROUP) {
		spec_bind(l, k->of, NULL, k->name, member);
		return;
	}
	if (!k->fallback || k->count_at) return;
	switch (k->kind) {
	case SPEC_K_STRING:
	case SPEC_K_COMMAND: *(struct hg_str *)member = text; break;
	case SPEC_K_ADDRESS:
		good = spec_value_address(text, member, &p);
		((struct spec_address *)member)->set = false;
		break;
	case SPEC_K_SHARE:
		good = spec_value_share(text, member, &p);
		((struct spec_share *)member)->set = false;
		break;
	default:
		good = spec_value_number(k, text, &v, &p);
		if (good) store_number(k, v, member);
		break;
	}
	HG_ASSERT(good); /* the generator checked the table */
}

/* ---- unknown keys ---- */

/* A key that lives in a mapping below: `grace` belongs under `shutdown`. */
static const struct spec_key *home_of(
        const struct spec_group *g, struct hg_str name, const struct spec_key **ret_in)
{
	for (size_t i = 0; i < g->key_count; i++) {
		const struct spec_key *k = &g->keys[i];
		if (k->kind != SPEC_K_GROUP && k->kind != SPEC_K_MAP && k->kind != SPEC_K_LIST)
			continue;
		const struct spec_key *inner = spec_key_find(k->of, name);
		if (!inner) continue;
		*ret_in = k;
		return inner;
	}
	return NULL;
}

static void list_keys(const struct spec_group *g, struct hg_err *e)
{
	char text[sizeof e->detail];
	struct hg_out o = hg_out_over(text, sizeof text - 1);
	for (size_t i = 0; i < g->key_count; i++)
		hg_out_fmt(&o, "%s%s", i ? ", " : "", g->keys[i].name);
	text[o.n] = 0;
	hg_err_detail(e, "keys here: %s", text);
}

static void unknown(struct spec_loading *l, const struct spec_group *g, const struct spec_node *n,
        const char *what)
{
	bool full = spec_report_full(l->report);
	struct hg_err *e =
	        spec_report_error(l->report, HG_E_CONFIG_UNKNOWN_KEY, n->key_line, n->key_column);
	const struct spec_key *in = NULL, *near = NULL;
	if (full) return;
	spec_err_say(e, "unknown key \"%.*s\"%s%s", (int)HG_MIN(n->key.n, SHOWN), n->key.p,
	        what[0] ? " in " : "", what);
	for (size_t i = 0; i < g->alias_count; i++) {
		if (!hg_str_eq(hg_str(g->aliases[i].name), n->key)) continue;
		hg_err_hint(e, "%s", g->aliases[i].instead);
		return;
	}
	near = spec_key_near(g, n->key, 1);
	if (!near && home_of(g, n->key, &in)) {
		hg_err_hint(e, "it belongs under \"%s\"", in->name);
		return;
	}
	if (!near) near = spec_key_near(g, n->key, 2);
	if (near) {
		hg_err_hint(e, "did you mean \"%s\"?", near->name);
		return;
	}
	list_keys(g, e);
}

/* The key is there, misspelt: saying that it is missing as well would only confuse. */
static bool misspelt(
        const struct spec_group *g, const struct spec_node *map, const struct spec_key *k)
{
	for (const struct spec_node *c = map->first; c; c = c->next) {
		if (!spec_key_find(g, c->key) && spec_key_near(g, c->key, 2) == k) return true;
	}
	return false;
}

void spec_bind(struct spec_loading *l, const struct spec_group *g, const struct spec_node *map,
        const char *what, void *out)
{
	*(bool *)out = map != NULL; /* every struct of the table starts with `set` */
	if (map) {
		HG_ASSERT(map->kind == SPEC_N_MAP);
		for (const struct spec_node *c = map->first; c; c = c->next) {
			if (!spec_key_find(g, c->key)) unknown(l, g, c, what);
		}
	}
	for (size_t i = 0; i < g->key_count; i++) {
		const struct spec_key *k = &g->keys[i];
		const struct spec_node *n = map ? spec_node_get(map, k->name) : NULL;
		if (n) {
			bind_value(l, k, n, out);
		} else if (k->required && map && !l->partial) {
			if (map->count <= 64 && misspelt(g, map, k)) continue;
			struct hg_err *e = spec_report_error(l->report, HG_E_CONFIG_MISSING,
			        map->key_line ? map->key_line : map->line,
			        map->key_line ? map->key_column : map->column);
			spec_err_say(
			        e, "\"%s\" is missing%s%s", k->name, what[0] ? " in " : "", what);
			hg_err_hint(e, "add `%s: %s`", k->name, spec_kind_example(k));
		} else {
			bind_default(l, k, out);
		}
	}
}
