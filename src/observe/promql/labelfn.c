/* Functions that look at labels: label_replace, label_join, the sorts. */
#include "eval_priv.h"

#include <math.h>
#include <stdlib.h>

static bool good_label(struct hg_str s)
{
	return s.n && hg_utf8_valid(s);
}

static const char *quoted(struct pq_ev *ev, struct hg_str s)
{
	struct hg_buf b;
	hg_buf_init(&b, 4096);
	hg_buf_str(&b, s);
	struct hg_str copy = hg_arena_str(ev->arena, hg_str(hg_buf_text(&b)));
	hg_buf_free(&b);
	return copy.p ? copy.p : "";
}

/* ---- label_replace ---- */

struct replace {
	struct hg_str dst, with, src;
	struct re *re;
	struct re_group *group;
	size_t groups;
};

static bool replace_one(struct pq_ev *ev, const struct replace *r, struct pq_column *c)
{
	struct hg_buf b;
	struct hg_str value, from = labels_get(c->ls, r->src);
	if (!pq_worked(ev, 100 + from.n)) return false;
	if (!re_search(r->re, from, r->group, r->groups)) return true;
	hg_buf_init(&b, PROMQL_TEXT_MAX);
	re_expand(r->re, r->with, r->group, &b);
	value = hg_arena_str(ev->arena, hg_str(hg_buf_text(&b)));
	value.n = b.n;
	bool ok = !b.failed && value.p;
	hg_buf_free(&b);
	if (!ok) return pq_take(ev, ev->o.memory_max, 2) != NULL;
	if (hg_str_eq(r->dst, LABEL_METRIC)) c->drop = false;
	return pq_with(ev, c->ls, r->dst, value, &c->ls);
}

bool pq_label_replace(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	struct pq_node *const *arg = n->u.call.arg;
	struct replace r = {pq_bare(arg[1])->u.text, pq_bare(arg[2])->u.text,
	        pq_bare(arg[3])->u.text, NULL, NULL, 0};
	struct hg_str regex = pq_bare(arg[4])->u.text;
	struct hg_err why = {0};
	bool ok = true;
	if (re_compile(regex, RE_ANCHORED | RE_DOTALL, &r.re, &why) < 0)
		return pq_fail(ev, HG_E_QUERY_FAILED,
		        "invalid regular expression in label_replace(): %s", quoted(ev, regex));
	if (!good_label(r.dst)) {
		re_free(r.re);
		return pq_fail(ev, HG_E_QUERY_FAILED,
		        "invalid destination label name in label_replace(): %s", quoted(ev, r.dst));
	}
	r.groups = re_groups(r.re);
	r.group = pq_take(ev, r.groups, sizeof *r.group);
	ok = r.group && pq_eval(ev, arg[0], g, ret);
	for (uint32_t k = 0; ok && k < ret->n; k++)
		ok = replace_one(ev, &r, &ret->at[k]);
	re_free(r.re);
	return ok && pq_unite(ev, ret, g->n, true);
}

/* ---- label_join ---- */

bool pq_label_join(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	struct pq_node *const *arg = n->u.call.arg;
	struct hg_str dst = pq_bare(arg[1])->u.text, between = pq_bare(arg[2])->u.text, value;
	struct hg_buf b;
	for (uint32_t i = 3; i < n->u.call.n; i++)
		if (!good_label(pq_bare(arg[i])->u.text))
			return pq_fail(ev, HG_E_QUERY_FAILED,
			        "invalid source label name in label_join(): %s",
			        quoted(ev, pq_bare(arg[i])->u.text));
	if (!good_label(dst))
		return pq_fail(ev, HG_E_QUERY_FAILED,
		        "invalid destination label name in label_join(): %s", quoted(ev, dst));
	if (!pq_eval(ev, arg[0], g, ret)) return false;
	for (uint32_t k = 0; k < ret->n; k++) {
		struct pq_column *c = &ret->at[k];
		hg_buf_init(&b, PROMQL_TEXT_MAX);
		for (uint32_t i = 3; i < n->u.call.n; i++) {
			if (i > 3) hg_buf_str(&b, between);
			hg_buf_str(&b, labels_get(c->ls, pq_bare(arg[i])->u.text));
		}
		value = hg_arena_str(ev->arena, hg_buf_view(&b));
		bool ok = !b.failed && value.p;
		hg_buf_free(&b);
		if (!ok) return pq_take(ev, ev->o.memory_max, 2) != NULL;
		if (hg_str_eq(dst, LABEL_METRIC)) c->drop = false;
		if (!pq_with(ev, c->ls, dst, value, &c->ls)) return false;
	}
	return pq_unite(ev, ret, g->n, true);
}

/* ---- sorts ---- */

struct item {
	struct pq_column c;
	const struct pq_node *call;
	uint32_t place; /* keeps equals in order */
};

static bool is_number(char c)
{
	return c >= '0' && c <= '9';
}

/* Text with numbers in it by their size: a2 before a10. */
static int natural(struct hg_str a, struct hg_str b)
{
	size_t i = 0, j = 0;
	while (i < a.n && j < b.n) {
		if (is_number(a.p[i]) && is_number(b.p[j])) {
			size_t x = i, y = j, m, n;
			while (x < a.n && a.p[x] == '0')
				x++;
			while (y < b.n && b.p[y] == '0')
				y++;
			for (m = x; m < a.n && is_number(a.p[m]);)
				m++;
			for (n = y; n < b.n && is_number(b.p[n]);)
				n++;
			if (m - x != n - y) return m - x < n - y ? -1 : 1;
			int d = memcmp(a.p + x, b.p + y, m - x);
			if (d) return d;
			if (m - i != n - j) return m - i > n - j ? -1 : 1; /* more zeros first */
			i = m;
			j = n;
			continue;
		}
		if (a.p[i] != b.p[j]) return (unsigned char)a.p[i] < (unsigned char)b.p[j] ? -1 : 1;
		i++;
		j++;
	}
	return (i < a.n) - (j < b.n);
}

static int by_value(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	double v = *x->c.v, w = *y->c.v;
	bool down = x->call->u.call.fn->id == PQ_F_SORT_DESC;
	if (isnan(v) || isnan(w)) {
		if (isnan(v) != isnan(w)) return isnan(v) ? 1 : -1; /* NaN last, either way */
	} else if (v != w) {
		return (v < w) != down ? -1 : 1;
	}
	return x->place < y->place ? -1 : 1;
}

static int by_label(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	bool down = x->call->u.call.fn->id == PQ_F_SORT_BY_LABEL_DESC;
	int d = 0;
	for (uint32_t i = 1; !d && i < x->call->u.call.n; i++) {
		struct hg_str name = pq_bare(x->call->u.call.arg[i])->u.text;
		struct hg_str v = labels_get(x->c.ls, name), w = labels_get(y->c.ls, name);
		if (!hg_str_eq(v, w)) d = natural(v, w);
	}
	if (!d) d = labels_compare(x->c.ls, y->c.ls);
	if (!d) d = x->place < y->place ? -1 : 1;
	return down ? -d : d;
}

bool pq_sort(struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	bool labels = n->u.call.fn->id == PQ_F_SORT_BY_LABEL ||
	              n->u.call.fn->id == PQ_F_SORT_BY_LABEL_DESC;
	struct item *items;
	uint32_t kept = 0;
	if (ev->o.step_ms)
		pq_note(ev, true, n,
		        "sort is ineffective for range queries since results are always ordered by "
		        "labels");
	if (!pq_eval(ev, n->u.call.arg[0], g, ret)) return false;
	if (g->n > 1 || !ret->n) return true;
	items = pq_take(ev, ret->n, sizeof *items);
	if (!items) return false;
	for (uint32_t k = 0; k < ret->n; k++) {
		if (pq_is_none(*ret->at[k].v)) continue;
		items[kept] = (struct item){ret->at[k], n, kept};
		kept++;
	}
	qsort(items, kept, sizeof *items, labels ? by_label : by_value);
	for (uint32_t k = 0; k < kept; k++)
		ret->at[k] = items[k].c;
	ret->n = kept;
	return true;
}
