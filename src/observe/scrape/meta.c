/* What metrics mean: HELP, TYPE and UNIT of the families that targets write, each kept once however
 * many targets have it. */
#include <stdlib.h>

#include "observe/scrape/scrape_priv.h"

static uint64_t hash_of(const struct meta *m, const struct meta_text *t)
{
	uint64_t h = hg_siphash(m->key, t->family.p, t->family.n);
	h = h * 31 + hg_siphash(m->key, t->help.p, t->help.n);
	h = h * 31 + hg_siphash(m->key, t->unit.p, t->unit.n);
	return h * 31 + hg_siphash(m->key, t->type, strlen(t->type));
}

static struct meta_entry *find(const struct meta *m, uint64_t hash)
{
	struct meta_entry *e = m->bucket[hash % META_BUCKETS];
	while (e && e->hash != hash)
		e = e->next;
	return e;
}

/* As people read it; a text that is too long ends at a whole character. */
static struct hg_str plain(struct hg_buf *to, struct hg_str raw, bool help)
{
	size_t from = to->n;
	promread_unescape(raw, help, to);
	if (to->n - from > META_TEXT_MAX) {
		to->n = from + META_TEXT_MAX;
		while (to->n > from && ((unsigned char)to->p[to->n] & 0xc0) == 0x80)
			to->n--;
	}
	return (struct hg_str){NULL, to->n - from};
}

static struct meta_entry *entry_make(struct meta *m, uint64_t hash, const struct meta_text *t)
{
	struct hg_buf b;
	struct meta_entry *e = NULL;
	hg_buf_init(&b, 16 * META_TEXT_MAX);
	struct hg_str family = plain(&b, t->family, false);
	struct hg_str help = plain(&b, t->help, true);
	struct hg_str unit = plain(&b, t->unit, false);
	if (!b.failed) e = malloc(sizeof *e + b.n + 1);
	if (e) {
		*e = (struct meta_entry){.hash = hash, .type = t->type};
		if (b.n) memcpy(e->bytes, b.p, b.n);
		e->family = (struct hg_str){e->bytes, family.n};
		e->help = (struct hg_str){e->bytes + family.n, help.n};
		e->unit = (struct hg_str){e->bytes + family.n + help.n, unit.n};
		e->next = m->bucket[hash % META_BUCKETS];
		m->bucket[hash % META_BUCKETS] = e;
		m->n++;
	}
	hg_buf_free(&b);
	return e;
}

/* One more reference; NULL: there are too many, or no memory. */
static struct meta_entry *entry_of(struct meta *m, const struct meta_text *t, uint64_t hash)
{
	struct meta_entry *e = find(m, hash);
	if (!e && m->n < META_ENTRIES_MAX) e = entry_make(m, hash, t);
	if (e) e->refs++;
	return e;
}

static void entry_drop(struct meta *m, struct meta_entry *e)
{
	if (--e->refs) return;
	struct meta_entry **at = &m->bucket[e->hash % META_BUCKETS];
	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	m->n--;
	free(e);
}

/* ---- lists ---- */

void scrape_meta_list_clear(struct meta *m, struct meta_list *l)
{
	for (uint32_t i = 0; i < l->n; i++)
		entry_drop(m, l->at[i]);
	l->n = 0;
}

void scrape_meta_list_fini(struct meta *m, struct meta_list *l)
{
	scrape_meta_list_clear(m, l);
	free(l->at);
	*l = (struct meta_list){0};
}

void scrape_meta_add(struct meta *m, struct meta_list *l, const struct meta_list *before,
        const struct meta_text *t)
{
	if (l->n == META_EACH_MAX) return;
	if (l->n == l->cap) {
		uint32_t cap = l->cap ? l->cap * 2 : 64;
		struct meta_entry **at = realloc(l->at, cap * sizeof(*at));
		if (!at) return;
		l->at = at;
		l->cap = cap;
	}
	uint64_t hash = hash_of(m, t);
	struct meta_entry *e = NULL;
	/* Mostly it stands where it stood in the last answer. */
	if (l->n < before->n && before->at[l->n]->hash == hash) {
		e = before->at[l->n];
		e->refs++;
	} else {
		e = entry_of(m, t, hash);
	}
	if (e) l->at[l->n++] = e;
}

void scrape_meta_replace(struct meta *m, struct meta_list *list, struct meta_list *by)
{
	struct meta_list was = *list;
	*list = *by;
	*by = was;
	scrape_meta_list_clear(m, by);
	/* What all targets share must not be as large as the largest for each. */
	if (list->cap <= 2 * list->n + 64) return;
	struct meta_entry **at = realloc(list->at, (list->n + 1) * sizeof(*at));
	if (!at) return;
	list->at = at;
	list->cap = list->n + 1;
}

void scrape_meta_fini(struct meta *m)
{
	for (uint32_t i = 0; i < META_BUCKETS; i++) {
		while (m->bucket[i]) {
			struct meta_entry *e = m->bucket[i];
			m->bucket[i] = e->next;
			free(e);
		}
	}
}

/* ---- the door ---- */

void scrape_meta_own(struct scrape *s, struct hg_str family, const char *type, struct hg_str help)
{
	const struct meta_text t = {.family = family, .help = help, .type = type};
	uint64_t hash = hash_of(&s->meta, &t);
	const struct meta_entry *have = find(&s->meta, hash);
	if (have && have->own) return;
	struct meta_entry *e = entry_of(&s->meta, &t, hash);
	if (e) e->own = true;
}

static struct scrape_meta shown(const struct meta_entry *e)
{
	return (struct scrape_meta){e->family, e->help, e->unit, e->type};
}

uint32_t scrape_meta_all(const struct scrape *s, struct scrape_meta *ret, uint32_t max)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < META_BUCKETS; i++)
		for (const struct meta_entry *e = s->meta.bucket[i]; e && n < max; e = e->next)
			ret[n++] = shown(e);
	return n;
}

bool scrape_meta_next(const struct scrape_status *of, uint32_t *at, struct scrape_meta *ret)
{
	const struct meta_list *l = of->meta;
	if (!l || *at >= l->n) return false;
	*ret = shown(l->at[(*at)++]);
	return true;
}
