/* The tree as text for people: what is longer than a line is broken over several, as Prometheus'
 * /format_query does. */
#include "ast_priv.h"

#include <math.h>

#define LINE_MAX_BYTES 100u

struct page {
	struct hg_buf *to;
	struct hg_buf line; /* one node in one line; fails when it is too long */
	bool inside;        /* a sign stands before it: the indentation is left out once */
};

static void indent(struct page *p, uint32_t level)
{
	for (uint32_t i = 0; i < level && !p->inside; i++)
		hg_buf_cstr(p->to, "  ");
	p->inside = false;
}

/* In one line, if it fits. */
static bool fits(struct page *p, const struct pq_node *n, uint32_t level)
{
	hg_buf_reset(&p->line);
	pq_node_print(&p->line, n);
	if (p->line.failed) return false;
	indent(p, level);
	hg_buf_str(p->to, hg_buf_view(&p->line));
	return true;
}

static void node(struct page *p, const struct pq_node *n, uint32_t level);

static void arguments(
        struct page *p, struct pq_node *const *arg, uint32_t count, uint32_t level, bool more)
{
	for (uint32_t i = 0; i < count; i++) {
		node(p, arg[i], level + 1);
		hg_buf_cstr(p->to, i + 1 < count || more ? ",\n" : "\n");
	}
}

static void close_bracket(struct page *p, uint32_t level)
{
	indent(p, level);
	hg_buf_byte(p->to, ')');
}

static void call(struct page *p, const struct pq_node *n, uint32_t level)
{
	indent(p, level);
	hg_buf_cstr(p->to, n->u.call.fn->name);
	hg_buf_cstr(p->to, "(\n");
	arguments(p, n->u.call.arg, n->u.call.n, level, false);
	close_bracket(p, level);
}

static void aggregation(struct page *p, const struct pq_node *n, uint32_t level)
{
	indent(p, level);
	pq_agg_head_print(p->to, n);
	hg_buf_cstr(p->to, "(\n");
	if (n->u.agg.param) arguments(p, &n->u.agg.param, 1, level, true);
	arguments(p, &n->u.agg.of, 1, level, false);
	close_bracket(p, level);
}

/* The operator stands on a line of its own, less far to the right than what it joins. */
static void binary(struct page *p, const struct pq_node *n, uint32_t level)
{
	const struct pq_node *l = n->u.bin.l;
	if (l->kind == PQ_K_NUMBER && isinf(l->u.number.v) && l->u.number.v > 0) {
		indent(p, level + 1);
		hg_buf_cstr(p->to, "Inf"); /* "+Inf ^ 2" is the sign of the power */
	} else {
		node(p, l, level + 1);
	}
	hg_buf_byte(p->to, '\n');
	indent(p, level);
	pq_op_print(p->to, n);
	hg_buf_byte(p->to, '\n');
	node(p, n->u.bin.r, level + 1);
}

static void node(struct page *p, const struct pq_node *n, uint32_t level)
{
	if (p->to->failed || fits(p, n, level)) return;
	switch (n->kind) {
	case PQ_K_CALL: call(p, n, level); return;
	case PQ_K_AGG: aggregation(p, n, level); return;
	case PQ_K_BINARY: binary(p, n, level); return;
	case PQ_K_PAREN:
		indent(p, level);
		hg_buf_cstr(p->to, "(\n");
		arguments(p, &n->u.of, 1, level, false);
		close_bracket(p, level);
		return;
	case PQ_K_UNARY:
		indent(p, level);
		hg_buf_byte(p->to, n->plus ? '+' : '-');
		p->inside = true;
		node(p, n->u.of, level);
		return;
	case PQ_K_SUBQUERY:
		node(p, n->u.of, level);
		pq_range_tail_print(p->to, n);
		return;
	case PQ_K_NUMBER:
	case PQ_K_TEXT:
	case PQ_K_SELECTOR:
	case PQ_K_RANGE: break;
	}
	indent(p, level);
	pq_node_print(p->to, n);
}

void promql_pretty(const struct promql_query *q, struct hg_buf *to)
{
	struct page p = {.to = to};
	hg_buf_init(&p.line, LINE_MAX_BYTES);
	node(&p, q->root, 0);
	hg_buf_free(&p.line);
}
