/*
 * The tree as JSON, node by node, as Prometheus' /api/v1/parse_query has it: the keys of an object
 * in the order of the alphabet, lengths of time in ms. Keys that its documentation does not show
 * stand there only when the expression uses what they are about. (wire/json.h's writer counts 64
 * levels; a query may have 500.)
 */
#include "ast_priv.h"
#include "wire/json.h"

static void key(struct hg_buf *to, const char *name)
{
	char last = to->n ? to->p[to->n - 1] : '{';
	if (last != '{' && last != '[') hg_buf_byte(to, ',');
	if (!name) return;
	json_quote(to, hg_str(name));
	hg_buf_byte(to, ':');
}

static void text(struct hg_buf *to, const char *name, struct hg_str value)
{
	key(to, name);
	json_quote(to, value);
}

static void word(struct hg_buf *to, const char *name, const char *value)
{
	key(to, name);
	hg_buf_cstr(to, value);
}

static void flag(struct hg_buf *to, const char *name, bool value)
{
	word(to, name, value ? "true" : "false");
}

static void number(struct hg_buf *to, const char *name, int64_t value)
{
	key(to, name);
	hg_buf_fmt(to, "%lld", (long long)value);
}

static void labels(struct hg_buf *to, const char *name, const struct pq_names *ls)
{
	key(to, name);
	hg_buf_byte(to, '[');
	for (uint32_t i = 0; i < ls->n; i++)
		text(to, NULL, ls->at[i]);
	hg_buf_byte(to, ']');
}

/* In ms; what is known only when the query runs is 0, and its text stands under `computed`. */
static void span(struct hg_buf *to, const char *name, const char *computed, const struct pq_span *s)
{
	const struct pq_span *plain = s && s->kind == PQ_S_NEG ? s->a : s;
	if (!s || plain->kind == PQ_S_NUMBER) {
		double ms = s ? plain->seconds * 1000 : 0;
		number(to, name, (int64_t)(plain != s ? -ms : ms));
		return;
	}
	struct hg_buf own;
	hg_buf_init(&own, PROMQL_TEXT_MAX);
	number(to, name, 0);
	pq_span_print(&own, s);
	text(to, computed, hg_buf_view(&own));
	hg_buf_free(&own);
}

static void node(struct hg_buf *to, const char *name, const struct pq_node *n);

static void at(struct hg_buf *to, const struct pq_node *n)
{
	if (n->at == PQ_AT_START || n->at == PQ_AT_END)
		text(to, "startOrEnd", hg_str(n->at == PQ_AT_START ? "start" : "end"));
	else
		word(to, "startOrEnd", "null");
}

static void timestamp(struct hg_buf *to, const struct pq_node *n)
{
	if (n->at == PQ_AT_TIME)
		number(to, "timestamp", n->at_ms);
	else
		word(to, "timestamp", "null");
}

/* `range`: NULL, or the range around it. */
static void selector(struct hg_buf *to, const struct pq_node *n, const struct pq_node *range)
{
	static const char *const op[] = {
	        [LABEL_EQ] = "=", [LABEL_NE] = "!=", [LABEL_RE] = "=~", [LABEL_NRE] = "!~"};
	if (n->u.sel.extend == PQ_X_ANCHORED) flag(to, "anchored", true);
	key(to, "matchers");
	hg_buf_byte(to, '[');
	for (uint32_t i = 0; i < n->u.sel.n; i++) {
		key(to, NULL);
		hg_buf_byte(to, '{');
		text(to, "name", n->u.sel.m[i].name);
		text(to, "type", hg_str(op[n->u.sel.m[i].op]));
		text(to, "value", n->u.sel.m[i].value);
		hg_buf_byte(to, '}');
	}
	hg_buf_byte(to, ']');
	text(to, "name", n->u.sel.labelled && !n->u.sel.outside ? HG_STR("") : n->u.sel.name);
	span(to, "offset", "offsetExpr", n->offset);
	if (range) span(to, "range", "rangeExpr", range->range);
	if (n->u.sel.extend == PQ_X_SMOOTHED) flag(to, "smoothed", true);
	at(to, n);
	timestamp(to, n);
	text(to, "type", hg_str(range ? "matrixSelector" : "vectorSelector"));
}

static void subquery(struct hg_buf *to, const struct pq_node *n)
{
	node(to, "expr", n->u.of);
	span(to, "offset", "offsetExpr", n->offset);
	span(to, "range", "rangeExpr", n->range);
	at(to, n);
	span(to, "step", "stepExpr", n->step);
	timestamp(to, n);
	text(to, "type", HG_STR("subquery"));
}

static void fill_value(struct hg_buf *to, const char *name, bool given, double v)
{
	struct hg_buf own;
	hg_buf_init(&own, 400);
	promql_print_number(&own, v);
	if (given)
		text(to, name, hg_buf_view(&own));
	else
		word(to, name, "null");
	hg_buf_free(&own);
}

static void matching(struct hg_buf *to, const struct pq_matching *m)
{
	static const char *const card[] = {
	        "one-to-one", "many-to-one", "one-to-many", "many-to-many"};
	key(to, "matching");
	hg_buf_byte(to, '{');
	text(to, "card", hg_str(card[m->card]));
	if (m->fill_left || m->fill_right) {
		key(to, "fillValues");
		hg_buf_byte(to, '{');
		fill_value(to, "lhs", m->fill_left, m->left);
		fill_value(to, "rhs", m->fill_right, m->right);
		hg_buf_byte(to, '}');
	}
	labels(to, "include", &m->include);
	labels(to, "labels", &m->labels);
	flag(to, "on", m->on);
	hg_buf_byte(to, '}');
}

static void binary(struct hg_buf *to, const struct pq_node *n)
{
	bool vectors = n->u.bin.l->type == PROMQL_VECTOR && n->u.bin.r->type == PROMQL_VECTOR;
	flag(to, "bool", n->u.bin.to_bool);
	node(to, "lhs", n->u.bin.l);
	if (vectors)
		matching(to, &n->u.bin.match);
	else
		word(to, "matching", "null");
	text(to, "op", hg_str(pq_op_name(n->u.bin.op)));
	node(to, "rhs", n->u.bin.r);
	text(to, "type", HG_STR("binaryExpr"));
}

static void function(struct hg_buf *to, const struct pq_fn *fn)
{
	static const char *const type[] = {"none", "scalar", "vector", "matrix", "string"};
	static const char *const arg[] = {[PQ_A_SCALAR] = "scalar",
	        [PQ_A_VECTOR] = "vector",
	        [PQ_A_MATRIX] = "matrix",
	        [PQ_A_STRING] = "string"};
	key(to, "func");
	hg_buf_byte(to, '{');
	key(to, "argTypes");
	hg_buf_byte(to, '[');
	for (uint32_t i = 0; i < HG_COUNT(fn->arg) && fn->arg[i]; i++)
		text(to, NULL, hg_str(arg[fn->arg[i]]));
	hg_buf_byte(to, ']');
	text(to, "name", hg_str(fn->name));
	text(to, "returnType", hg_str(type[fn->type]));
	/* How many of the last may be left out or come more; -1: any number more. */
	number(to, "variadic", fn->max == PQ_ARGS_ANY ? -1 : fn->max - fn->min);
	hg_buf_byte(to, '}');
}

static void call(struct hg_buf *to, const struct pq_node *n)
{
	key(to, "args");
	hg_buf_byte(to, '[');
	for (uint32_t i = 0; i < n->u.call.n; i++)
		node(to, NULL, n->u.call.arg[i]);
	hg_buf_byte(to, ']');
	function(to, n->u.call.fn);
	text(to, "type", HG_STR("call"));
}

static void aggregation(struct hg_buf *to, const struct pq_node *n)
{
	node(to, "expr", n->u.agg.of);
	labels(to, "grouping", &n->u.agg.by);
	text(to, "op", hg_str(pq_agg_name(n->u.agg.op)));
	if (n->u.agg.param)
		node(to, "param", n->u.agg.param);
	else
		word(to, "param", "null");
	text(to, "type", HG_STR("aggregation"));
	flag(to, "without", n->u.agg.without);
}

static void literal(struct hg_buf *to, const struct pq_node *n)
{
	struct hg_buf own;
	if (n->kind == PQ_K_TEXT) {
		text(to, "type", HG_STR("stringLiteral"));
		text(to, "val", n->u.text);
		return;
	}
	hg_buf_init(&own, 400);
	promql_print_number(&own, n->u.number.v);
	text(to, "type", HG_STR("numberLiteral"));
	text(to, "val", hg_buf_view(&own));
	hg_buf_free(&own);
}

static void node(struct hg_buf *to, const char *name, const struct pq_node *n)
{
	key(to, name);
	hg_buf_byte(to, '{');
	switch (n->kind) {
	case PQ_K_NUMBER:
	case PQ_K_TEXT: literal(to, n); break;
	case PQ_K_SELECTOR: selector(to, n, NULL); break;
	case PQ_K_RANGE: selector(to, n->u.of, n); break;
	case PQ_K_SUBQUERY: subquery(to, n); break;
	case PQ_K_CALL: call(to, n); break;
	case PQ_K_BINARY: binary(to, n); break;
	case PQ_K_AGG: aggregation(to, n); break;
	case PQ_K_UNARY:
		node(to, "expr", n->u.of);
		text(to, "op", hg_str(n->plus ? "+" : "-"));
		text(to, "type", HG_STR("unaryExpr"));
		break;
	case PQ_K_PAREN:
		node(to, "expr", n->u.of);
		text(to, "type", HG_STR("parenExpr"));
		break;
	}
	hg_buf_byte(to, '}');
}

void promql_tree(const struct promql_query *q, struct hg_buf *to)
{
	struct hg_buf own;
	hg_buf_init(&own, to->max);
	node(&own, NULL, q->root);
	if (own.failed)
		to->failed = true;
	else
		hg_buf_str(to, hg_buf_view(&own));
	hg_buf_free(&own);
}
