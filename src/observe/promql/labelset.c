/* Label sets within a query: made smaller, compared, counted. */
#include "eval_priv.h"

static bool is_meta(struct hg_str name)
{
	return name.n >= 8 && name.p[0] == '_' &&
	       (hg_str_eq(name, HG_STR("__name__")) || hg_str_eq(name, HG_STR("__type__")) ||
	               hg_str_eq(name, HG_STR("__unit__")));
}

bool pq_without_name(struct pq_ev *ev, struct labels ls, struct labels *ret)
{
	uint32_t first = 0, metas = 0, k = 0;
	for (uint32_t i = 0; i < ls.n; i++)
		metas += is_meta(ls.at[i].name);
	while (first < ls.n && is_meta(ls.at[first].name))
		first++;
	if (!metas) { /* also where there are no labels: NULL has no first */
		*ret = ls;
		return true;
	}
	/* Names that begin with "_" usually stand first: then nothing is copied. */
	if (first == metas) {
		*ret = (struct labels){ls.at + first, ls.n - first};
		return true;
	}
	struct label *to = pq_take(ev, ls.n - metas, sizeof *to);
	if (!to) return false;
	for (uint32_t i = 0; i < ls.n; i++)
		if (!is_meta(ls.at[i].name)) to[k++] = ls.at[i];
	*ret = (struct labels){to, k};
	return true;
}

bool pq_drop_name(struct pq_ev *ev, struct pq_column *c)
{
	c->drop = true;
	return ev->o.delayed_names || pq_without_name(ev, c->ls, &c->ls);
}

static bool listed(const struct pq_names *names, struct hg_str name)
{
	for (uint32_t i = 0; i < names->n; i++)
		if (hg_str_eq(names->at[i], name)) return true;
	return false;
}

bool pq_reduce(struct pq_ev *ev, struct labels ls, const struct pq_names *names, enum pq_less how,
        struct labels *ret)
{
	uint32_t k = 0;
	if (ls.n > ev->scratch_cap) {
		ev->scratch = pq_take(ev, (size_t)ls.n * 2, sizeof *ev->scratch);
		if (!ev->scratch) return false;
		ev->scratch_cap = ls.n * 2;
	}
	for (uint32_t i = 0; i < ls.n; i++) {
		bool in = listed(names, ls.at[i].name);
		if (how == PQ_WITHOUT) in = !in && !is_meta(ls.at[i].name);
		if (how == PQ_IGNORING) in = !in && !hg_str_eq(ls.at[i].name, LABEL_METRIC);
		if (in) ev->scratch[k++] = ls.at[i];
	}
	*ret = (struct labels){ev->scratch, k};
	return true;
}

bool pq_keep(struct pq_ev *ev, struct labels ls, struct labels *ret)
{
	struct label *to;
	*ret = (struct labels){NULL, 0};
	if (!ls.n) return true;
	to = pq_take(ev, ls.n, sizeof *to);
	if (!to) return false;
	memcpy(to, ls.at, ls.n * sizeof *to);
	*ret = (struct labels){to, ls.n};
	return true;
}

bool pq_with(struct pq_ev *ev, struct labels ls, struct hg_str name, struct hg_str value,
        struct labels *ret)
{
	struct label *to = pq_take(ev, (size_t)ls.n + 1, sizeof *to);
	uint32_t k = 0, i = 0;
	if (!to) return false;
	while (i < ls.n && label_text_compare(ls.at[i].name, name) < 0)
		to[k++] = ls.at[i++];
	if (value.n) to[k++] = (struct label){name, value};
	if (i < ls.n && hg_str_eq(ls.at[i].name, name)) i++;
	while (i < ls.n)
		to[k++] = ls.at[i++];
	*ret = (struct labels){to, k};
	return true;
}

const char *pq_labels_text(struct pq_ev *ev, struct labels ls)
{
	struct hg_buf b;
	struct hg_str copy;
	/* As Prometheus' labels print themselves: the name is a label like others. */
	hg_buf_init(&b, 4096);
	for (uint32_t i = 0; i < ls.n; i++) {
		hg_buf_cstr(&b, i ? ", " : "{");
		if (pq_is_plain_name(ls.at[i].name, false))
			hg_buf_str(&b, ls.at[i].name);
		else
			pq_quote(&b, ls.at[i].name);
		hg_buf_byte(&b, '=');
		pq_quote(&b, ls.at[i].value);
	}
	hg_buf_cstr(&b, ls.n ? "}" : "{}");
	copy = hg_arena_str(ev->arena, hg_str(hg_buf_text(&b)));
	hg_buf_free(&b);
	return copy.p ? copy.p : "";
}

struct hg_str pq_metric_name(struct labels ls)
{
	return labels_get(ls, LABEL_METRIC);
}

/* ---- the table ---- */

bool pq_table_make(struct pq_ev *ev, struct pq_table *t, uint32_t expected)
{
	uint32_t slots = 16;
	while (slots < expected && slots < 1u << 30)
		slots *= 2;
	slots *= 2;
	*t = (struct pq_table){.slots = slots, .cap = slots / 2};
	t->slot = pq_take(ev, slots, sizeof *t->slot);
	t->hash = pq_take(ev, t->cap, sizeof *t->hash);
	t->ls = pq_take(ev, t->cap, sizeof *t->ls);
	return t->slot && t->hash && t->ls;
}

static uint32_t slot_of(const struct pq_table *t, uint64_t hash, struct labels ls)
{
	uint32_t mask = t->slots - 1, i = (uint32_t)(hash ^ hash >> 32) & mask;
	while (t->slot[i]) {
		uint32_t k = t->slot[i] - 1;
		if (t->hash[k] == hash && labels_equal(t->ls[k], ls)) break;
		i = (i + 1) & mask;
	}
	return i;
}

static bool grow(struct pq_ev *ev, struct pq_table *t)
{
	struct pq_table more;
	if (!pq_table_make(ev, &more, t->cap * 2)) return false;
	more.n = t->n;
	memcpy(more.hash, t->hash, t->n * sizeof *t->hash);
	memcpy(more.ls, t->ls, t->n * sizeof *t->ls);
	for (uint32_t k = 0; k < t->n; k++)
		more.slot[slot_of(&more, more.hash[k], more.ls[k])] = k + 1;
	*t = more;
	return true;
}

bool pq_table_at(
        struct pq_ev *ev, struct pq_table *t, struct labels ls, uint32_t *ret_i, bool *ret_new)
{
	uint64_t hash = labels_hash(ls);
	uint32_t i = slot_of(t, hash, ls);
	if (ret_new) *ret_new = !t->slot[i];
	if (!t->slot[i]) {
		if (t->n == t->cap) {
			if (!grow(ev, t)) return false;
			i = slot_of(t, hash, ls);
		}
		if (!pq_keep(ev, ls, &t->ls[t->n])) return false;
		t->hash[t->n] = hash;
		t->slot[i] = ++t->n;
	}
	*ret_i = t->slot[i] - 1;
	return true;
}

uint32_t pq_table_find(const struct pq_table *t, struct labels ls)
{
	uint32_t i = slot_of(t, labels_hash(ls), ls);
	return t->slot[i] ? t->slot[i] - 1 : UINT32_MAX;
}

/* ---- one column for each label set ---- */

static bool overlap(const double *a, const double *b, uint32_t steps)
{
	for (uint32_t i = 0; i < steps; i++)
		if (!pq_is_none(a[i]) && !pq_is_none(b[i])) return true;
	return false;
}

bool pq_unite(struct pq_ev *ev, struct pq_value *v, uint32_t steps, bool strict)
{
	struct pq_table t;
	uint32_t kept = 0, *of;
	if (v->n < 2) return true;
	of = pq_take(ev, v->n, sizeof *of); /* table entry → column */
	if (!of || !pq_table_make(ev, &t, v->n)) return false;
	for (uint32_t i = 0; i < v->n; i++) {
		struct pq_column *c = &v->at[i];
		uint32_t k;
		bool fresh;
		if (!pq_table_at(ev, &t, c->ls, &k, &fresh)) return false;
		if (fresh) {
			of[k] = kept;
			v->at[kept++] = *c;
			continue;
		}
		struct pq_column *first = &v->at[of[k]];
		if (overlap(first->v, c->v, steps)) {
			if (strict)
				return pq_fail(ev, HG_E_QUERY_FAILED,
				        "vector cannot contain metrics with the same labelset");
			v->at[kept++] = *c;
			continue;
		}
		double *sum = pq_take(ev, steps, sizeof *sum);
		if (!sum) return false;
		for (uint32_t s = 0; s < steps; s++)
			sum[s] = pq_is_none(first->v[s]) ? c->v[s] : first->v[s];
		first->v = sum;
		first->drop = first->drop || c->drop;
	}
	v->n = kept;
	return true;
}

bool pq_after_drop(struct pq_ev *ev, struct pq_value *v, uint32_t steps)
{
	return ev->o.delayed_names || pq_unite(ev, v, steps, true);
}
