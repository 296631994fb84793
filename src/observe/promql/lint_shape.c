/* Which labels the series of a result can have. */
#include "lint_priv.h"

static bool in(const struct pl_names *s, struct hg_str name, uint32_t *at)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (hg_str_eq(s->at[i], name)) {
			if (at) *at = i;
			return true;
		}
	return false;
}

static void add(struct pl_shape *s, struct pl_names *to, struct hg_str name)
{
	if (in(to, name, NULL)) return;
	if (to->n == PL_NAMES_MAX)
		s->unsure = true;
	else
		to->at[to->n++] = name;
}

static void take_out(struct pl_names *from, struct hg_str name)
{
	uint32_t at;
	if (in(from, name, &at)) from->at[at] = from->at[--from->n];
}

static void unfix(struct pl_shape *s, struct hg_str name)
{
	uint32_t at;
	if (!in(&s->fixed, name, &at)) return;
	s->fixed.at[at] = s->fixed.at[--s->fixed.n];
	s->value[at] = s->value[s->fixed.n];
}

static void fix(struct pl_shape *s, struct hg_str name, struct hg_str value)
{
	unfix(s, name);
	if (s->fixed.n == PL_NAMES_MAX) return;
	s->value[s->fixed.n] = value;
	s->fixed.at[s->fixed.n++] = name;
}

static void gains(struct pl_shape *s, struct hg_str name)
{
	unfix(s, name);
	take_out(&s->lacks, name);
	if (!s->open) add(s, &s->has, name);
}

static void loses(struct pl_shape *s, struct hg_str name)
{
	unfix(s, name);
	take_out(&s->has, name);
	if (s->open) add(s, &s->lacks, name);
}

bool pl_may(const struct pl_shape *s, struct hg_str name)
{
	if (s->unsure) return true;
	return s->open ? !in(&s->lacks, name, NULL) : in(&s->has, name, NULL);
}

bool pl_must(const struct pl_shape *s, struct hg_str name)
{
	if (s->unsure) return false;
	return in(&s->fixed, name, NULL) || (!s->open && in(&s->has, name, NULL));
}

struct hg_str pl_fixed(const struct pl_shape *s, struct hg_str name)
{
	uint32_t at;
	return in(&s->fixed, name, &at) ? s->value[at] : (struct hg_str){"", 0};
}

bool pl_listed(const struct pq_names *names, struct hg_str name)
{
	for (uint32_t i = 0; i < names->n; i++)
		if (hg_str_eq(names->at[i], name)) return true;
	return false;
}

/* Only the labels that are listed, as far as they can be there. */
static void keep_only(struct pl_shape *s, const struct pq_names *names)
{
	struct pl_shape was = *s;
	*s = (struct pl_shape){.unsure = was.unsure};
	for (uint32_t i = 0; i < names->n; i++) {
		struct hg_str fixed = pl_fixed(&was, names->at[i]);
		if (!pl_may(&was, names->at[i])) continue;
		add(s, &s->has, names->at[i]);
		if (fixed.n) fix(s, names->at[i], fixed);
	}
}

static void of_selector(const struct pq_node *n, struct pl_shape *s)
{
	struct hg_str name = pl_metric(n);
	s->open = true;
	for (uint32_t i = 0; i < n->u.sel.n; i++) {
		const struct label_matcher *m = &n->u.sel.m[i];
		if (hg_str_eq(m->name, LABEL_METRIC) || m->op != LABEL_EQ) continue;
		if (m->value.n)
			fix(s, m->name, m->value);
		else
			loses(s, m->name);
	}
	/* Of a classic histogram only the buckets have it. */
	if ((hg_str_ends(name, HG_STR("_count")) || hg_str_ends(name, HG_STR("_sum"))) &&
	        !in(&s->fixed, HG_STR("le"), NULL))
		loses(s, HG_STR("le"));
}

static void of_absent(const struct pq_node *n, struct pl_shape *s)
{
	const struct pq_node *sel = pl_bare(n->u.call.arg[0]);
	struct pl_shape inner = {0};
	if (sel->kind == PQ_K_RANGE) sel = sel->u.of;
	*s = (struct pl_shape){0};
	if (sel->kind != PQ_K_SELECTOR) return;
	of_selector(sel, &inner);
	for (uint32_t i = 0; i < inner.fixed.n; i++) {
		add(s, &s->has, inner.fixed.at[i]);
		fix(s, inner.fixed.at[i], inner.value[i]);
	}
}

static void of_call(const struct pq_node *n, struct pl_shape *s)
{
	enum pq_fn_id id = n->u.call.fn->id;
	const struct pq_node *of = NULL;
	for (uint32_t i = 0; i < n->u.call.n; i++) {
		enum promql_type t = n->u.call.arg[i]->type;
		if (!of && (t == PROMQL_VECTOR || t == PROMQL_MATRIX)) of = n->u.call.arg[i];
	}
	if (n->type == PROMQL_SCALAR || !of || id == PQ_F_VECTOR) return; /* no labels at all */
	if (id == PQ_F_ABSENT || id == PQ_F_ABSENT_OVER_TIME) {
		of_absent(n, s);
		return;
	}
	pl_shape(of, s);
	if (id == PQ_F_HISTOGRAM_QUANTILE || id == PQ_F_HISTOGRAM_FRACTION) loses(s, HG_STR("le"));
	if (id == PQ_F_INFO) s->unsure = true;
	bool names =
	        id == PQ_F_LABEL_REPLACE || id == PQ_F_LABEL_JOIN || id == PQ_F_HISTOGRAM_QUANTILES;
	if (!names) return;
	if (n->u.call.arg[1]->kind == PQ_K_TEXT)
		gains(s, n->u.call.arg[1]->u.text);
	else
		s->unsure = true;
}

static void of_aggregate(const struct pq_node *n, struct pl_shape *s)
{
	enum pq_agg op = n->u.agg.op;
	pl_shape(n->u.agg.of, s);
	if (op == PQ_TOPK || op == PQ_BOTTOMK || op == PQ_LIMITK || op == PQ_LIMIT_RATIO) return;
	if (n->u.agg.without) {
		for (uint32_t i = 0; i < n->u.agg.by.n; i++)
			loses(s, n->u.agg.by.at[i]);
	} else {
		keep_only(s, &n->u.agg.by);
	}
	if (op != PQ_COUNT_VALUES) return;
	if (n->u.agg.param->kind == PQ_K_TEXT)
		gains(s, n->u.agg.param->u.text);
	else
		s->unsure = true;
}

/* Both have to agree: what either lacks the result lacks. */
static void intersect(struct pl_shape *s, const struct pl_shape *with)
{
	s->unsure = s->unsure || with->unsure;
	if (s->open && !with->open) {
		struct pl_shape was = *s;
		*s = *with;
		for (uint32_t i = 0; i < was.lacks.n; i++)
			loses(s, was.lacks.at[i]);
		return;
	}
	struct pl_names gone = {0};
	for (uint32_t i = 0; i < s->has.n; i++)
		if (!pl_may(with, s->has.at[i])) gone.at[gone.n++] = s->has.at[i];
	for (uint32_t i = 0; i < gone.n; i++)
		loses(s, gone.at[i]);
	for (uint32_t i = 0; s->open && i < with->lacks.n; i++)
		loses(s, with->lacks.at[i]);
}

static void unite(struct pl_shape *s, const struct pl_shape *with)
{
	struct pl_shape a = *s;
	*s = (struct pl_shape){.open = a.open || with->open, .unsure = a.unsure || with->unsure};
	if (s->open) {
		const struct pl_shape *lacking = a.open ? &a : with, *other = a.open ? with : &a;
		for (uint32_t i = 0; i < lacking->lacks.n; i++)
			if (!pl_may(other, lacking->lacks.at[i]))
				add(s, &s->lacks, lacking->lacks.at[i]);
		return;
	}
	s->has = a.has;
	for (uint32_t i = 0; i < with->has.n; i++)
		add(s, &s->has, with->has.at[i]);
}

static void of_binary(const struct pq_node *n, struct pl_shape *s)
{
	struct pl_shape r = {0};
	const struct pq_matching *m = &n->u.bin.match;
	bool l_scalar = n->u.bin.l->type == PROMQL_SCALAR;
	if (n->type == PROMQL_SCALAR) return;
	pl_shape(l_scalar ? n->u.bin.r : n->u.bin.l, s);
	if (l_scalar || n->u.bin.r->type == PROMQL_SCALAR) return;
	pl_shape(n->u.bin.r, &r);
	if (n->u.bin.op == PQ_OR) {
		unite(s, &r);
		return;
	}
	if (pq_op_is_set(n->u.bin.op)) return;
	if (m->card == PQ_MANY_TO_ONE || m->card == PQ_ONE_TO_MANY) {
		if (m->card == PQ_ONE_TO_MANY) *s = r;
		for (uint32_t i = 0; i < m->include.n; i++)
			gains(s, m->include.at[i]);
		return;
	}
	if (m->given && m->on) {
		keep_only(s, &m->labels);
		return;
	}
	for (uint32_t i = 0; i < m->labels.n; i++) {
		loses(s, m->labels.at[i]);
		loses(&r, m->labels.at[i]);
	}
	intersect(s, &r);
}

void pl_shape(const struct pq_node *n, struct pl_shape *ret)
{
	*ret = (struct pl_shape){0};
	switch (n->kind) {
	case PQ_K_NUMBER:
	case PQ_K_TEXT: return;
	case PQ_K_SELECTOR: of_selector(n, ret); return;
	case PQ_K_RANGE:
	case PQ_K_SUBQUERY:
	case PQ_K_UNARY:
	case PQ_K_PAREN: pl_shape(n->u.of, ret); return;
	case PQ_K_CALL: of_call(n, ret); return;
	case PQ_K_AGG: of_aggregate(n, ret); return;
	case PQ_K_BINARY: of_binary(n, ret); return;
	}
}
