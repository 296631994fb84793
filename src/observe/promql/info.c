/*
 * info(): labels of info series (target_info) beside those of other series, joined by job and
 * instance. Of several info series of one identity the one with the newest sample counts.
 */
#include "eval_priv.h"

#include <stdlib.h>

static const struct hg_str identity_name[] = {{"instance", 8}, {"job", 3}};
static const struct pq_names identity = {identity_name, 2};

struct pass {
	struct pq_ev *ev;
	const struct pq_grid *g;
	const struct pq_node *sel;  /* the second argument, or NULL */
	struct label_matcher *name; /* what info metrics are called */
	uint32_t names;
	struct pq_value base, info; /* info: values are the samples' times */
	struct pq_table ids;        /* job and instance */
	uint32_t *id_of;            /* info series → id */
	uint32_t *order, *first;    /* those of an id are order[first[id] .. first[id + 1]) */
	bool required;              /* some data matcher does not match the empty string */
	struct pq_table out;
	struct pq_value *ret;
	uint32_t cap;
};

static bool is_name(const struct label_matcher *m)
{
	return hg_str_eq(m->name, LABEL_METRIC);
}

/* The matchers for info metrics' names; without a positive one ".+_info". */
static bool names_of(struct pass *p, struct re **ret_re)
{
	bool positive = false;
	uint32_t n = p->sel ? p->sel->u.sel.n : 0;
	p->name = pq_take(p->ev, n + 1ul, sizeof *p->name);
	if (!p->name) return false;
	for (uint32_t i = 0; i < n; i++) {
		const struct label_matcher *m = &p->sel->u.sel.m[i];
		if (!is_name(m)) {
			p->required =
			        p->required || !label_matcher_matches(m, (struct hg_str){"", 0});
			continue;
		}
		positive = positive || m->op == LABEL_EQ || m->op == LABEL_RE;
		p->name[p->names++] = *m;
	}
	if (positive) return true;
	struct label_matcher *m = &p->name[p->names];
	*m = (struct label_matcher){LABEL_EQ, LABEL_METRIC, HG_STR("target_info"), NULL};
	if (p->names++) {
		*m = (struct label_matcher){LABEL_RE, LABEL_METRIC, HG_STR(".+_info"), NULL};
		if (re_compile(m->value, RE_ANCHORED | RE_DOTALL, ret_re, p->ev->err) < 0)
			return false;
		m->re = *ret_re;
	}
	return true;
}

/* Info series are looked at when the first selector of the other argument is. */
static const struct pq_node *first_selector(const struct pq_node *n)
{
	const struct pq_node *found = NULL;
	if (n->kind == PQ_K_SELECTOR) return n;
	uint32_t count = pq_child_count(n);
	for (uint32_t i = 0; i < count && !found; i++)
		found = first_selector(pq_child(n, i));
	return found;
}

static bool select_info(struct pass *p, const struct pq_node *call)
{
	const struct pq_node *like = first_selector(call->u.call.arg[0]);
	struct pq_node n = {.kind = PQ_K_SELECTOR, .type = PROMQL_VECTOR};
	uint32_t more = p->sel ? p->sel->u.sel.n : 0;
	if (p->sel) {
		n = *p->sel;
		n.kind = PQ_K_SELECTOR;
	}
	if (like) {
		n.at = like->at;
		n.at_ms = like->at_ms;
		n.offset_ms = like->offset_ms;
	}
	n.u.sel.m = pq_take(p->ev, p->names + (size_t)more, sizeof *n.u.sel.m);
	if (!n.u.sel.m) return false;
	memcpy(n.u.sel.m, p->name, p->names * sizeof *p->name);
	n.u.sel.n = p->names;
	for (uint32_t i = 0; i < more; i++)
		if (!is_name(&p->sel->u.sel.m[i])) n.u.sel.m[n.u.sel.n++] = p->sel->u.sel.m[i];
	return pq_select(p->ev, &n, p->g, true, &p->info);
}

static bool index_info(struct pass *p)
{
	struct labels ls;
	p->id_of = pq_take(p->ev, p->info.n, sizeof *p->id_of);
	if (!p->id_of || !pq_table_make(p->ev, &p->ids, p->info.n)) return false;
	for (uint32_t k = 0; k < p->info.n; k++)
		if (!pq_reduce(p->ev, p->info.at[k].ls, &identity, PQ_BY, &ls) ||
		        !pq_table_at(p->ev, &p->ids, ls, &p->id_of[k], NULL))
			return false;
	uint32_t *at = pq_take(p->ev, p->ids.n + 2ul, sizeof *at);
	p->order = pq_take(p->ev, p->info.n, sizeof *p->order);
	if (!at || !p->order) return false;
	for (uint32_t k = 0; k < p->info.n; k++)
		at[p->id_of[k] + 2]++;
	for (uint32_t i = 1; i < p->ids.n + 2; i++)
		at[i] += at[i - 1];
	for (uint32_t k = 0; k < p->info.n; k++)
		p->order[at[p->id_of[k] + 1]++] = k;
	p->first = at;
	return true;
}

static bool asked(const struct pass *p, struct hg_str label)
{
	bool any = false;
	for (uint32_t i = 0; p->sel && i < p->sel->u.sel.n; i++) {
		if (is_name(&p->sel->u.sel.m[i])) continue;
		any = true;
		if (hg_str_eq(p->sel->u.sel.m[i].name, label)) return true;
	}
	return !any;
}

/* Labels of one info series that are data and not there already. */
static bool add_labels(struct pass *p, struct labels base, struct labels info, struct labels *ls)
{
	for (uint32_t i = 0; i < info.n; i++) {
		struct hg_str name = info.at[i].name, have;
		if (hg_str_eq(name, LABEL_METRIC) || hg_str_eq(name, identity_name[0]) ||
		        hg_str_eq(name, identity_name[1]) || !asked(p, name) ||
		        labels_get(base, name).n)
			continue;
		have = labels_get(*ls, name);
		if (have.n && !hg_str_eq(have, info.at[i].value))
			return pq_fail(p->ev, HG_E_QUERY_FAILED, "conflicting label: %.*s",
			        (int)HG_MIN(name.n, (size_t)100), name.p);
		if (!have.n && !pq_with(p->ev, *ls, name, info.at[i].value, ls)) return false;
	}
	return true;
}

/* The newest of the same name at a step; the same time twice is an error. */
static bool is_newest(struct pass *p, uint32_t k, uint32_t step, bool *ret)
{
	struct hg_str name = pq_metric_name(p->info.at[k].ls);
	double t = p->info.at[k].v[step];
	uint32_t id = p->id_of[k];
	*ret = true;
	for (uint32_t m = p->first[id]; m < p->first[id + 1] && *ret; m++) {
		uint32_t j = p->order[m];
		double other = p->info.at[j].v[step];
		if (j == k || pq_is_none(other) ||
		        !hg_str_eq(name, pq_metric_name(p->info.at[j].ls)))
			continue;
		if (other == t) {
			const char *a = pq_labels_text(p->ev, p->info.at[HG_MIN(j, k)].ls);
			const char *b = pq_labels_text(p->ev, p->info.at[HG_MAX(j, k)].ls);
			return pq_fail(p->ev, HG_E_QUERY_FAILED,
			        "found duplicate series for info metric: existing %s @ %lld, new "
			        "%s @ %lld",
			        a, (long long)(t * 1000), b, (long long)(t * 1000));
		}
		*ret = other < t;
	}
	return true;
}

static bool put(struct pass *p, const struct pq_column *from, struct labels ls, uint32_t step)
{
	uint32_t i;
	bool fresh;
	if (!pq_table_at(p->ev, &p->out, ls, &i, &fresh)) return false;
	if (fresh) {
		if (i == p->cap) {
			struct pq_column *more = pq_take(p->ev, p->cap * 2ul + 16, sizeof *more);
			if (!more) return false;
			if (i) memcpy(more, p->ret->at, i * sizeof *more);
			p->ret->at = more;
			p->cap = p->cap * 2 + 16;
		}
		double *v = pq_blank(p->ev, p->g->n);
		if (!v) return false;
		p->ret->at[i] = (struct pq_column){p->out.ls[i], v, from->drop};
		p->ret->n = i + 1;
	}
	if (!pq_is_none(p->ret->at[i].v[step]))
		return pq_fail(p->ev, HG_E_QUERY_FAILED,
		        "vector cannot contain metrics with the same labelset");
	p->ret->at[i].v[step] = from->v[step];
	return true;
}

static bool enrich(struct pass *p, const struct pq_column *c)
{
	struct labels id, ls;
	bool itself = label_matchers_match(p->name, p->names, c->ls);
	if (!pq_reduce(p->ev, c->ls, &identity, PQ_BY, &id)) return false;
	uint32_t sig = id.n ? pq_table_find(&p->ids, id) : UINT32_MAX;
	for (uint32_t i = 0; i < p->g->n; i++) {
		bool found = false, newest;
		if (pq_is_none(c->v[i])) continue;
		ls = c->ls;
		uint32_t m = 0, end = 0;
		if (!itself && sig != UINT32_MAX) {
			m = p->first[sig];
			end = p->first[sig + 1];
		}
		for (; m < end; m++) {
			uint32_t k = p->order[m];
			if (pq_is_none(p->info.at[k].v[i])) continue;
			/* Each against all of its identity, and labels that are looked up. */
			if (!pq_worked(p->ev, 100 + end - p->first[sig])) return false;
			if (!is_newest(p, k, i, &newest)) return false;
			if (!newest) continue;
			found = true;
			if (!add_labels(p, c->ls, p->info.at[k].ls, &ls)) return false;
		}
		if (!itself && !found && p->required) continue;
		if (!put(p, c, ls, i)) return false;
	}
	return true;
}

bool pq_info(struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	struct pass p = {
	        .ev = ev, .g = g, .sel = n->u.call.n > 1 ? n->u.call.arg[1] : NULL, .ret = ret};
	struct re *re = NULL;
	bool ok = pq_eval(ev, n->u.call.arg[0], g, &p.base) && names_of(&p, &re) &&
	          select_info(&p, n) && index_info(&p) && pq_table_make(ev, &p.out, p.base.n);
	for (uint32_t k = 0; ok && k < p.base.n; k++)
		ok = enrich(&p, &p.base.at[k]);
	re_free(re);
	return ok;
}
