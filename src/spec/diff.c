/* What changed between two configurations, and the identity of a release: both walk the table. */
#include "spec/spec_priv.h"

#include <stdio.h>

#define CHANGES_MAX 4096u

struct diff {
	struct hg_arena *a;
	struct spec_change *changes;
	uint32_t n;
	bool nomem;
	char path[512];
};

static size_t path_push(struct diff *d, const char *part, size_t n)
{
	size_t was = strlen(d->path);
	snprintf(d->path + was, sizeof d->path - was, "%s%.*s", was ? "." : "", (int)n, part);
	return was;
}

static void path_pop(struct diff *d, size_t to)
{
	d->path[to] = 0;
}

static struct hg_str keep(struct diff *d, struct hg_str s)
{
	if (s.n == 0) return (struct hg_str){"", 0};
	struct hg_str c = hg_arena_str(d->a, s);
	if (!c.p) d->nomem = true;
	return c.p ? c : (struct hg_str){"", 0};
}

static void change(struct diff *d, const struct spec_key *k, struct hg_str app, struct hg_str was,
        struct hg_str now)
{
	if (d->n == CHANGES_MAX) return;
	d->changes[d->n++] = (struct spec_change){.path = keep(d, hg_str(d->path)),
	        .app = keep(d, app),
	        .was = keep(d, was),
	        .now = keep(d, now),
	        .apply = k->apply};
}

static uint32_t count_of(const struct spec_key *k, const void *base)
{
	return base ? *(const uint32_t *)(const void *)((const char *)base + k->count_at) : 0;
}

static const char *items_of(const struct spec_key *k, const void *base)
{
	return base ? *(char *const *)(const void *)((const char *)base + k->at) : NULL;
}

/* Any value as one line of YAML; a group shows what differs from nothing. */
static void print_any(const struct spec_key *k, const void *base, struct hg_buf *to)
{
	uint32_t n = k->count_at ? count_of(k, base) : 0;
	const char *items = k->count_at ? items_of(k, base) : NULL;
	switch (k->kind) {
	case SPEC_K_PAIRS: {
		const struct spec_pair *p = (const struct spec_pair *)(const void *)items;
		hg_buf_byte(to, '{');
		for (uint32_t i = 0; i < n; i++) {
			if (i) hg_buf_cstr(to, ", ");
			spec_text_print(p[i].name, to);
			hg_buf_cstr(to, ": ");
			spec_text_print(p[i].value, to);
		}
		hg_buf_byte(to, '}');
		break;
	}
	case SPEC_K_GROUP:
		items = (const char *)base + k->at;
		n = 1;
		__attribute__((fallthrough));
	case SPEC_K_MAP:
	case SPEC_K_LIST:
	case SPEC_K_OVERLAYS:
		if (k->kind != SPEC_K_GROUP) hg_buf_byte(to, k->kind == SPEC_K_LIST ? '[' : '{');
		for (uint32_t i = 0; i < n; i++) {
			const char *item = items + k->of->size * i;
			if (i) hg_buf_cstr(to, ", ");
			if (k->of->named) {
				spec_text_print(
				        *(const struct hg_str *)(const void *)(item +
				                                               k->of->name_at),
				        to);
				hg_buf_cstr(to, ": ");
			}
			hg_buf_byte(to, '{');
			for (size_t f = 0; f < k->of->key_count; f++) {
				hg_buf_fmt(to, "%s%s: ", f ? ", " : "", k->of->keys[f].name);
				print_any(&k->of->keys[f], item, to);
			}
			hg_buf_byte(to, '}');
		}
		if (k->kind != SPEC_K_GROUP) hg_buf_byte(to, k->kind == SPEC_K_LIST ? ']' : '}');
		break;
	default: spec_value_print(k, (const char *)base + k->at, to); break;
	}
}

static void diff_value(struct diff *d, const struct spec_key *k, const void *was, const void *now,
        struct hg_str app)
{
	struct hg_buf a, b;
	hg_buf_init(&a, 1u << 20);
	hg_buf_init(&b, 1u << 20);
	print_any(k, was, &a);
	print_any(k, now, &b);
	if (a.failed || b.failed) d->nomem = true;
	if (!hg_str_eq(hg_buf_view(&a), hg_buf_view(&b)))
		change(d, k, app, hg_buf_view(&a), hg_buf_view(&b));
	hg_buf_free(&a);
	hg_buf_free(&b);
}

static const struct spec_pair *pair_find(const struct spec_pair *p, uint32_t n, struct hg_str name)
{
	for (uint32_t i = 0; i < n; i++) {
		if (hg_str_eq(p[i].name, name)) return &p[i];
	}
	return NULL;
}

static void diff_pairs(struct diff *d, const struct spec_key *k, const void *was, const void *now,
        struct hg_str app)
{
	const void *a_items = items_of(k, was), *b_items = items_of(k, now);
	const struct spec_pair *a = a_items, *b = b_items;
	uint32_t an = count_of(k, was), bn = count_of(k, now);
	for (uint32_t i = 0; i < bn; i++) {
		const struct spec_pair *old = pair_find(a, an, b[i].name);
		if (old && hg_str_eq(old->value, b[i].value)) continue;
		struct hg_str was_value = {0};
		if (old) was_value = old->value;
		size_t at = path_push(d, b[i].name.p, b[i].name.n);
		change(d, k, app, was_value, b[i].value);
		path_pop(d, at);
	}
	for (uint32_t i = 0; i < an; i++) {
		if (pair_find(b, bn, a[i].name)) continue;
		size_t at = path_push(d, a[i].name.p, a[i].name.n);
		change(d, k, app, a[i].value, (struct hg_str){0});
		path_pop(d, at);
	}
}

static void diff_group(struct diff *d, const struct spec_group *g, const void *was, const void *now,
        struct hg_str app);

static const char *item_find(
        const struct spec_group *g, const char *items, uint32_t n, struct hg_str name)
{
	for (uint32_t i = 0; i < n; i++) {
		const char *item = items + g->size * i;
		if (hg_str_eq(*(const struct hg_str *)(const void *)(item + g->name_at), name))
			return item;
	}
	return NULL;
}

/* Items by name: the same name is compared, another one has come or gone. */
static void diff_map(struct diff *d, const struct spec_key *k, const void *was, const void *now,
        struct hg_str app)
{
	const char *a = items_of(k, was), *b = items_of(k, now);
	uint32_t an = count_of(k, was), bn = count_of(k, now);
	bool apps = hg_str_eq(hg_str(k->name), HG_STR("apps"));
	const struct hg_str there = HG_STR("present"), absent = {0};
	for (uint32_t side = 0; side < 2; side++) {
		for (uint32_t i = 0; i < (side ? an : bn); i++) {
			const char *item = (side ? a : b) + k->of->size * i;
			struct hg_str name =
			        *(const struct hg_str *)(const void *)(item + k->of->name_at);
			const char *other = item_find(k->of, side ? b : a, side ? bn : an, name);
			size_t at = path_push(d, name.p, name.n);
			struct hg_str whose = apps ? name : app;
			if (!side && other)
				diff_group(d, k->of, other, item, whose);
			else if (!other)
				change(d, k, whose, side ? there : absent, side ? absent : there);
			path_pop(d, at);
		}
	}
}

static void diff_group(struct diff *d, const struct spec_group *g, const void *was, const void *now,
        struct hg_str app)
{
	for (size_t i = 0; i < g->key_count; i++) {
		const struct spec_key *k = &g->keys[i];
		if (k->expands) continue; /* what it stands for is compared */
		size_t at = path_push(d, k->name, strlen(k->name));
		switch (k->kind) {
		case SPEC_K_GROUP:
			diff_group(d, k->of, (const char *)was + k->at, (const char *)now + k->at,
			        app);
			break;
		case SPEC_K_MAP: diff_map(d, k, was, now, app); break;
		case SPEC_K_PAIRS: diff_pairs(d, k, was, now, app); break;
		case SPEC_K_OVERLAYS: break; /* the chosen one has been laid on */
		default: diff_value(d, k, was, now, app); break;
		}
		path_pop(d, at);
	}
}

enum hg_rc spec_diff(const struct spec *was, const struct spec *now, struct hg_arena *a,
        struct spec_change **ret_changes, uint32_t *ret_n)
{
	struct diff d = {.a = a};
	struct spec *nothing = NULL;
	d.changes = hg_arena_array(a, CHANGES_MAX, sizeof *d.changes);
	if (!d.changes) return HG_E_NOMEM;
	if (!was) {
		struct spec_report *r = hg_arena_take(a, sizeof *r);
		struct spec_source none = {.text = HG_STR("version: 1\n"), .file = ""};
		if (!r) return HG_E_NOMEM;
		enum hg_rc rc = spec_load(&none, a, r, &nothing);
		if (rc < 0) return rc;
		was = nothing;
	}
	diff_group(&d, spec_root, was, now, (struct hg_str){0});
	if (d.nomem) return HG_E_NOMEM;
	*ret_changes = d.changes;
	*ret_n = d.n;
	return HG_OK;
}

/* ---- digest ---- */

struct digest {
	uint64_t a, b;
};

/* FNV-1a, and a second independent mix: equality of honest values, not a defence. */
static void digest_bytes(struct digest *d, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		d->a = (d->a ^ (unsigned char)p[i]) * 0x100000001b3ull;
		d->b = (d->b + (unsigned char)p[i] + 1) * 0x9e3779b97f4a7c15ull;
		d->b ^= d->b >> 29;
	}
}

static void digest_field(struct digest *d, const char *name, struct hg_str value)
{
	digest_bytes(d, name, strlen(name) + 1);
	digest_bytes(d, value.p ? value.p : "", value.n);
	digest_bytes(d, "", 1);
}

/* In the order of names: the file's order has no meaning. */
static void digest_pairs(struct digest *d, const char *name, const struct spec_pair *p, uint32_t n)
{
	const struct spec_pair *last = NULL;
	for (uint32_t done = 0; done < n; done++) {
		const struct spec_pair *next = NULL;
		for (uint32_t i = 0; i < n; i++) {
			if (last && strcmp(p[i].name.p, last->name.p) <= 0) continue;
			if (!next || strcmp(p[i].name.p, next->name.p) < 0) next = &p[i];
		}
		if (!next) break;
		digest_bytes(d, name, strlen(name));
		digest_field(d, next->name.p, next->value);
		last = next;
	}
}

static void digest_group(struct digest *d, const struct spec_group *g, const void *base)
{
	for (size_t i = 0; i < g->key_count; i++) {
		const struct spec_key *k = &g->keys[i];
		const void *items = k->count_at ? items_of(k, base) : NULL;
		struct hg_buf text;
		if (k->apply != SPEC_APPLY_RELEASE || !k->available) continue;
		if (k->kind == SPEC_K_PAIRS) {
			digest_pairs(d, k->name, items, count_of(k, base));
			continue;
		}
		if (k->kind == SPEC_K_GROUP) {
			digest_bytes(d, k->name, strlen(k->name) + 1);
			digest_group(d, k->of, (const char *)base + k->at);
			continue;
		}
		hg_buf_init(&text, 4u << 20);
		print_any(k, base, &text);
		digest_field(d, k->name, hg_buf_view(&text));
		hg_buf_free(&text);
	}
}

void spec_app_digest(const struct spec_app *app, char ret_hex[33])
{
	struct digest d = {0xcbf29ce484222325ull, 0x2545f4914f6cdd1dull};
	digest_group(&d, spec_key_get(spec_root, "apps")->of, app);
	snprintf(ret_hex, 33, "%016llx%016llx", (unsigned long long)d.a, (unsigned long long)d.b);
}
