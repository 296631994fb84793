/* The tree as text, in one line, as Prometheus' parser writes it. */
#include "ast_priv.h"

#include <math.h>
#include <stdlib.h>

static void label_name(struct hg_buf *to, struct hg_str s)
{
	if (pq_is_plain_name(s, false))
		hg_buf_str(to, s);
	else
		pq_quote(to, s);
}

static void names(struct hg_buf *to, const struct pq_names *ls)
{
	hg_buf_byte(to, '(');
	for (uint32_t i = 0; i < ls->n; i++) {
		if (i) hg_buf_cstr(to, ", ");
		label_name(to, ls->at[i]);
	}
	hg_buf_byte(to, ')');
}

/* Alone 300 is written as 5m; within arithmetic it stays a number. */
static void span(struct hg_buf *to, const struct pq_span *s, bool alone)
{
	switch (s->kind) {
	case PQ_S_NUMBER:
		if ((alone || s->is_duration) && fabs(s->seconds) < 9e15 &&
		        s->seconds * 1000 == trunc(s->seconds * 1000))
			pq_duration_print(to, (int64_t)(s->seconds * 1000));
		else
			pq_number_print(to, s->seconds);
		return;
	case PQ_S_STEP: hg_buf_cstr(to, "step()"); return;
	case PQ_S_RANGE: hg_buf_cstr(to, "range()"); return;
	case PQ_S_NEG:
		hg_buf_byte(to, '-');
		span(to, s->a, alone);
		return;
	case PQ_S_PAREN:
		hg_buf_byte(to, '(');
		span(to, s->a, false);
		hg_buf_byte(to, ')');
		return;
	case PQ_S_MIN:
	case PQ_S_MAX:
		hg_buf_cstr(to, s->kind == PQ_S_MIN ? "min_of(" : "max_of(");
		span(to, s->a, false);
		hg_buf_cstr(to, ", ");
		span(to, s->b, false);
		hg_buf_byte(to, ')');
		return;
	case PQ_S_OP:
		span(to, s->a, false);
		hg_buf_fmt(to, " %s ", pq_op_name(s->op));
		span(to, s->b, false);
		return;
	}
}

/* A name may stand before the brace where it is a plain one and nothing else is said of it. */
static bool stands_outside(const struct pq_node *n)
{
	uint32_t said = 0;
	for (uint32_t i = 0; i < n->u.sel.n; i++)
		said += hg_str_eq(n->u.sel.m[i].name, LABEL_METRIC);
	return said == 1 && !n->u.sel.labelled && !n->u.sel.matchers &&
	       pq_is_plain_name(n->u.sel.name, true) && !pq_is_reserved(n->u.sel.name);
}

struct text {
	size_t from, n; /* in the buffer */
	const struct hg_buf *of;
};

static int by_text(const void *a, const void *b)
{
	const struct text *x = a, *y = b;
	return label_text_compare((struct hg_str){x->of->p + x->from, x->n},
	        (struct hg_str){y->of->p + y->from, y->n});
}

/* Matchers stand in the order of their texts, whatever order they were written in. */
static void matchers(struct hg_buf *to, const struct pq_node *n, bool skip_name, bool any)
{
	static const char *const op[] = {
	        [LABEL_EQ] = "=", [LABEL_NE] = "!=", [LABEL_RE] = "=~", [LABEL_NRE] = "!~"};
	struct text *at = calloc(n->u.sel.n + 1ul, sizeof *at);
	struct hg_buf all;
	uint32_t count = 0;
	hg_buf_init(&all, to->max);
	for (uint32_t i = 0; at && i < n->u.sel.n; i++) {
		const struct label_matcher *m = &n->u.sel.m[i];
		if (skip_name && m->op == LABEL_EQ && hg_str_eq(m->name, LABEL_METRIC)) continue;
		at[count] = (struct text){.from = all.n, .of = &all};
		label_name(&all, m->name);
		hg_buf_cstr(&all, op[m->op]);
		pq_quote(&all, m->value);
		at[count].n = all.n - at[count].from;
		count++;
	}
	if (!at || all.failed) to->failed = true;
	if (count > 1 && !to->failed) qsort(at, count, sizeof *at, by_text);
	for (uint32_t i = 0; i < count && !to->failed; i++) {
		hg_buf_cstr(to, any || i ? "," : "{");
		hg_buf_str(to, (struct hg_str){all.p + at[i].from, at[i].n});
	}
	hg_buf_free(&all);
	free(at);
}

static void selector_head(struct hg_buf *to, const struct pq_node *n)
{
	struct hg_str name = n->u.sel.name;
	bool outside = stands_outside(n), inside = !outside && name.n && !n->u.sel.labelled;
	if (outside) hg_buf_str(to, name);
	if (inside) {
		hg_buf_byte(to, '{');
		pq_quote(to, name);
	}
	matchers(to, n, outside || inside, inside);
	if (n->u.sel.n > (outside || inside) || inside)
		hg_buf_byte(to, '}');
	else if (!outside)
		hg_buf_cstr(to, "{}"); /* the second of info() may be */
}

static void modifiers(struct hg_buf *to, const struct pq_node *n)
{
	if (n->kind == PQ_K_SELECTOR && n->u.sel.extend != PQ_X_NONE)
		hg_buf_cstr(to, n->u.sel.extend == PQ_X_ANCHORED ? " anchored" : " smoothed");
	if (n->at == PQ_AT_START) hg_buf_cstr(to, " @ start()");
	if (n->at == PQ_AT_END) hg_buf_cstr(to, " @ end()");
	if (n->at == PQ_AT_TIME) hg_buf_fmt(to, " @ %.3f", (double)n->at_ms / 1000);
	if (!n->offset) return;
	hg_buf_cstr(to, " offset ");
	span(to, n->offset, true);
}

/* Of an operator. Infinity has no sign there: before `^`, "+Inf" would be the sign of the power. */
static void left(struct hg_buf *to, const struct pq_node *n)
{
	if (n->kind == PQ_K_NUMBER && isinf(n->u.number.v) && n->u.number.v > 0)
		hg_buf_cstr(to, "Inf");
	else
		pq_node_print(to, n);
}

void pq_op_print(struct hg_buf *to, const struct pq_node *n)
{
	const struct pq_matching *m = &n->u.bin.match;
	hg_buf_cstr(to, pq_op_name(n->u.bin.op));
	if (n->u.bin.to_bool) hg_buf_cstr(to, " bool");
	if (m->given &&
	        (m->on || m->labels.n || m->card == PQ_MANY_TO_ONE || m->card == PQ_ONE_TO_MANY)) {
		hg_buf_cstr(to, m->on ? " on " : " ignoring ");
		names(to, &m->labels);
	}
	if (m->card == PQ_MANY_TO_ONE || m->card == PQ_ONE_TO_MANY) {
		hg_buf_cstr(to, m->card == PQ_MANY_TO_ONE ? " group_left " : " group_right ");
		names(to, &m->include);
	}
	bool same = m->fill_left && m->fill_right &&
	            (m->left == m->right || (isnan(m->left) && isnan(m->right)));
	if (m->fill_left) {
		hg_buf_cstr(to, same ? " fill (" : " fill_left (");
		pq_number_print(to, m->left);
		hg_buf_byte(to, ')');
	}
	if (m->fill_right && !same) {
		hg_buf_cstr(to, " fill_right (");
		pq_number_print(to, m->right);
		hg_buf_byte(to, ')');
	}
}

static void binary(struct hg_buf *to, const struct pq_node *n)
{
	left(to, n->u.bin.l);
	hg_buf_byte(to, ' ');
	pq_op_print(to, n);
	hg_buf_byte(to, ' ');
	pq_node_print(to, n->u.bin.r);
}

void pq_agg_head_print(struct hg_buf *to, const struct pq_node *n)
{
	hg_buf_cstr(to, pq_agg_name(n->u.agg.op));
	if (n->u.agg.without || n->u.agg.by.n) {
		hg_buf_cstr(to, n->u.agg.without ? " without " : " by ");
		names(to, &n->u.agg.by);
		hg_buf_byte(to, ' ');
	}
}

static void aggregate(struct hg_buf *to, const struct pq_node *n)
{
	pq_agg_head_print(to, n);
	hg_buf_byte(to, '(');
	if (n->u.agg.param) {
		pq_node_print(to, n->u.agg.param);
		hg_buf_cstr(to, ", ");
	}
	pq_node_print(to, n->u.agg.of);
	hg_buf_byte(to, ')');
}

static void call(struct hg_buf *to, const struct pq_node *n)
{
	hg_buf_cstr(to, n->u.call.fn->name);
	hg_buf_byte(to, '(');
	for (uint32_t i = 0; i < n->u.call.n; i++) {
		if (i) hg_buf_cstr(to, ", ");
		pq_node_print(to, n->u.call.arg[i]);
	}
	hg_buf_byte(to, ')');
}

void pq_range_tail_print(struct hg_buf *to, const struct pq_node *n)
{
	bool sub = n->kind == PQ_K_SUBQUERY;
	hg_buf_byte(to, '[');
	span(to, n->range, true);
	if (sub) hg_buf_byte(to, ':');
	if (n->step) span(to, n->step, true);
	hg_buf_byte(to, ']');
	modifiers(to, sub ? n : n->u.of);
}

static void range(struct hg_buf *to, const struct pq_node *n)
{
	if (n->kind == PQ_K_SUBQUERY)
		pq_node_print(to, n->u.of);
	else
		selector_head(to, n->u.of);
	pq_range_tail_print(to, n);
}

static void number(struct hg_buf *to, const struct pq_node *n)
{
	double ms = n->u.number.v * 1000;
	if (n->u.number.is_duration && fabs(ms) < 9e15)
		pq_duration_print(to, (int64_t)round(ms));
	else
		pq_number_print(to, n->u.number.v);
}

void pq_node_print(struct hg_buf *to, const struct pq_node *n)
{
	if (to->failed) return; /* it only has to be known whether a line is short */
	switch (n->kind) {
	case PQ_K_NUMBER: number(to, n); return;
	case PQ_K_TEXT: pq_quote(to, n->u.text); return;
	case PQ_K_SELECTOR:
		selector_head(to, n);
		modifiers(to, n);
		return;
	case PQ_K_RANGE:
	case PQ_K_SUBQUERY: range(to, n); return;
	case PQ_K_CALL: call(to, n); return;
	case PQ_K_BINARY: binary(to, n); return;
	case PQ_K_UNARY:
		hg_buf_byte(to, n->plus ? '+' : '-');
		pq_node_print(to, n->u.of);
		return;
	case PQ_K_PAREN:
		hg_buf_byte(to, '(');
		pq_node_print(to, n->u.of);
		hg_buf_byte(to, ')');
		return;
	case PQ_K_AGG: aggregate(to, n); return;
	}
}

void pq_span_print(struct hg_buf *to, const struct pq_span *s)
{
	span(to, s, true);
}

void promql_print(const struct promql_query *q, struct hg_buf *to)
{
	pq_node_print(to, q->root);
}
