#include "observe/collect/collect_priv.h"

#include <stdlib.h>

#include "base/siphash.h"
#include "wire/promread.h"

#define TEXTS_MAX   ((size_t)1 << 20)
#define SCRATCH_MAX ((size_t)1 << 20)
#define TABLE_LEAST 64u
#define WAIT_ROUNDS 12u /* a minute: the quota is not asked for each sample */

void intake_init(struct intake *in, struct tsdb *db, const uint8_t key[16])
{
	*in = (struct intake){.db = db};
	memcpy(in->key, key, sizeof in->key);
	labels_builder_init(&in->builder);
	hg_buf_init(&in->scratch, SCRATCH_MAX);
	hg_arena_init(&in->texts, "collect", TEXTS_MAX);
}

void intake_fini(struct intake *in)
{
	free(in->at);
	free(in->table);
	labels_builder_fini(&in->builder);
	hg_buf_free(&in->scratch);
	hg_arena_fini(&in->texts);
	*in = (struct intake){0};
}

void intake_begin(struct intake *in, int64_t t_ms)
{
	in->round++;
	in->before_ms = in->t_ms;
	in->t_ms = t_ms;
	in->whole = false;
	in->next = 0;
	in->help = in->help_of = (struct hg_str){0};
}

/* ---- the table ---- */

static void table_put(struct intake *in, uint32_t place)
{
	uint32_t k = (uint32_t)in->at[place].hash & (in->table_cap - 1);
	while (in->table[k])
		k = (k + 1) & (in->table_cap - 1);
	in->table[k] = place + 1;
}

/* Anew, with room for `n` places. */
static bool table_make(struct intake *in, uint32_t n)
{
	uint32_t cap = TABLE_LEAST;
	while (cap < n * 2)
		cap *= 2;
	if (cap != in->table_cap) {
		uint32_t *table = malloc(cap * sizeof *table);
		if (!table) return false;
		free(in->table);
		in->table = table;
		in->table_cap = cap;
	}
	memset(in->table, 0, in->table_cap * sizeof *in->table);
	for (uint32_t i = 0; i < in->n; i++)
		table_put(in, i);
	return true;
}

static struct intake_place *find(struct intake *in, uint64_t hash)
{
	if (!in->table_cap) return NULL;
	for (uint32_t k = (uint32_t)hash;; k++) {
		uint32_t at = in->table[k & (in->table_cap - 1)];
		if (!at) return NULL;
		if (in->at[at - 1].hash == hash) return &in->at[at - 1];
	}
}

static struct intake_place *make(struct intake *in, uint64_t hash)
{
	if (in->n == in->cap) {
		uint32_t cap = in->cap ? in->cap * 2 : TABLE_LEAST;
		struct intake_place *at = realloc(in->at, cap * sizeof *at);
		if (!at) return NULL;
		in->at = at;
		in->cap = cap;
	}
	if ((in->n + 1) * 2 > in->table_cap && !table_make(in, in->n + 1)) return NULL;
	in->at[in->n] = (struct intake_place){.hash = hash};
	table_put(in, in->n);
	return &in->at[in->n++];
}

/* ---- one sample ---- */

/* Asks the store for the series whose labels the builder has. */
static bool series_ask(struct intake *in, struct intake_place *p)
{
	struct labels ls;
	struct hg_err err = {0};
	enum hg_rc rc = labels_builder_done(&in->builder, &ls);
	if (rc == HG_OK) rc = tsdb_series(in->db, ls, &p->ref, &err);
	if (rc == HG_OK) return true;
	p->ref = 0;
	p->wait = WAIT_ROUNDS;
	hg_str_copy(hg_str(err.message), in->why, sizeof in->why);
	return false;
}

/* Without labels in the builder yet: false, and it is called again with them. */
static bool append(struct intake *in, struct intake_place *p, double v, bool built)
{
	if (!p->ref && p->wait && --p->wait) {
		in->refused++;
		return true;
	}
	for (unsigned i = 0; i < 2; i++) {
		if (!p->ref) {
			if (!built) return false;
			if (!series_ask(in, p)) break;
		}
		enum hg_rc rc = tsdb_append(in->db, p->ref, in->t_ms, v);
		if (rc == HG_OK) {
			in->samples++;
			return true;
		}
		if (rc != HG_E_NOT_FOUND) {
			hg_str_copy(hg_str(hg_rc_info(rc)->summary), in->why, sizeof in->why);
			break;
		}
		p->ref = 0;
	}
	in->refused++;
	return true;
}

/* The place of a series, told that it is there; NULL: no memory. */
static struct intake_place *seen(struct intake *in, struct hg_str text)
{
	uint64_t hash = hg_siphash(in->key, text.p, text.n);
	/* They mostly come in the order in which they came before. */
	struct intake_place *p = in->next < in->n && in->at[in->next].hash == hash
	                                 ? &in->at[in->next]
	                                 : find(in, hash);
	in->fresh = !p;
	if (!p) p = make(in, hash);
	if (!p) {
		in->refused++;
		return NULL;
	}
	p->round = in->round;
	in->next = (uint32_t)(p - in->at) + 1;
	return p;
}

/* ---- from a sink ---- */

/* `le` has the form that the scraper gives it: one series, whichever way it came. */
static struct hg_str value_of(struct intake *in, const struct prom_label *l)
{
	char text[PROMREAD_NUMBER_MAX] = "";
	double v;
	if (strcmp(l->name, "le") != 0 || !promread_number(l->value, &v)) return l->value;
	return hg_arena_str(&in->texts, (struct hg_str){text, promread_number_text(v, text)});
}

static void build(struct intake *in, const char *name, const struct prom_label *labels, size_t n)
{
	labels_builder_reset(&in->builder);
	hg_arena_fini(&in->texts);
	labels_builder_add(&in->builder, LABEL_METRIC, hg_str(name));
	for (size_t i = 0; i < n; i++)
		labels_builder_add(&in->builder, hg_str(labels[i].name), value_of(in, &labels[i]));
}

static void on_family(void *arg, const char *name, const char *type, const char *help)
{
	const struct intake *in = arg;
	/* They are the same at each look. */
	if (in->scrape && in->round == 1)
		scrape_meta_own(in->scrape, hg_str(name), type, hg_str(help));
}

static void on_sample(
        void *arg, const char *name, const struct prom_label *labels, size_t n, double v)
{
	struct intake *in = arg;
	hg_buf_reset(&in->scratch);
	hg_buf_cstr(&in->scratch, name);
	for (size_t i = 0; i < n; i++) {
		/* Lengths before the texts, so that no two sets have the same bytes. */
		uint32_t lengths[2] = {
		        (uint32_t)strlen(labels[i].name), (uint32_t)labels[i].value.n};
		hg_buf_str(&in->scratch, (struct hg_str){(const char *)lengths, sizeof lengths});
		hg_buf_str(&in->scratch, (struct hg_str){labels[i].name, lengths[0]});
		hg_buf_str(&in->scratch, labels[i].value);
	}
	if (in->scratch.failed) {
		in->refused++;
		return;
	}
	struct intake_place *p = seen(in, hg_buf_view(&in->scratch));
	if (!p || append(in, p, v, false)) return;
	build(in, name, labels, n);
	/* A counter that begins with what it has counted already would hide that from rate(). It is
	 * a millisecond later than the look, where the series before it may have ended. */
	if (in->whole && in->fresh && in->before_ms && v > 0 && in->before_ms + 1 < in->t_ms &&
	        series_ask(in, p))
		(void)!tsdb_append(in->db, p->ref, in->before_ms + 1, 0);
	(void)append(in, p, v, true);
}

static void on_whole(void *arg, bool is_whole)
{
	struct intake *in = arg;
	in->whole = is_whole;
}

struct meter_series_sink intake_sink(struct intake *in)
{
	return (struct meter_series_sink){
	        .family = on_family, .sample = on_sample, .whole = on_whole, .arg = in};
}

/* ---- from a page ---- */

static struct hg_str plain(struct intake *in, struct hg_str s, bool escaped)
{
	if (!escaped) return s;
	hg_buf_reset(&in->scratch);
	promread_unescape(s, false, &in->scratch);
	return hg_arena_str(&in->texts, hg_buf_view(&in->scratch));
}

static void build_page(struct intake *in, struct hg_str series)
{
	struct promread_label l;
	size_t at = 0;
	labels_builder_reset(&in->builder);
	hg_arena_fini(&in->texts);
	while (promread_label_next(series, &at, &l))
		labels_builder_set(&in->builder, plain(in, l.name, l.name_escaped),
		        plain(in, l.value, l.value_escaped));
}

/* HELP comes before TYPE, in all pages of ours. */
static void page_family(struct intake *in, enum promread_event what, const struct promread_entry *e)
{
	if (what == PROMREAD_HELP) {
		in->help = e->text;
		in->help_of = e->family;
	}
	if (what != PROMREAD_TYPE || !in->scrape) return;
	bool has = hg_str_eq(in->help_of, e->family);
	scrape_meta_own(in->scrape, e->family, promread_type_name(e->type),
	        has ? in->help : (struct hg_str){0});
}

enum intake_page intake_page(struct intake *in, struct promread *page, uint32_t most)
{
	struct promread_entry e;
	for (uint32_t i = 0; i < most; i++) {
		enum promread_event ev = promread_next(page, (struct hg_str){NULL, 0}, &e);
		if (ev == PROMREAD_END) return INTAKE_READ;
		if (ev == PROMREAD_BAD) return INTAKE_BAD;
		if (ev != PROMREAD_SAMPLE) {
			page_family(in, ev, &e);
			continue;
		}
		struct intake_place *p = seen(in, e.series);
		if (!p || append(in, p, e.value, false)) continue;
		build_page(in, e.series);
		(void)append(in, p, e.value, true);
	}
	return INTAKE_MORE;
}

void intake_end(struct intake *in, bool all)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < in->n; i++) {
		struct intake_place *p = &in->at[i];
		if (!all && p->round == in->round) {
			in->at[kept++] = *p;
			continue;
		}
		in->ended++;
		/* What is not taken any more has ended already. */
		if (p->ref) (void)!tsdb_append(in->db, p->ref, in->t_ms, tsdb_stale());
	}
	if (kept == in->n) return;
	in->n = kept;
	/* Without memory for a smaller one the old one has room enough. */
	if (!table_make(in, in->n)) {
		memset(in->table, 0, in->table_cap * sizeof *in->table);
		for (uint32_t i = 0; i < in->n; i++)
			table_put(in, i);
	}
}
