/* Tokens → tree: expressions, calls, aggregations. Precedence climbing, so no recursion per level.
 */
#include "parse_priv.h"

#include <math.h>
#include <stdlib.h>

void pq_advance(struct pq_parser *p)
{
	p->last = p->tok.to;
	p->tok = pq_lex_next(&p->lex);
}

bool pq_is(const struct pq_parser *p, const char *symbol)
{
	return p->tok.kind == PQ_T_SYMBOL && hg_str_eq(p->tok.text, hg_str(symbol));
}

bool pq_is_word(const struct pq_parser *p, const char *word)
{
	return p->tok.kind == PQ_T_NAME && hg_str_eq_nocase(p->tok.text, hg_str(word));
}

bool pq_accept(struct pq_parser *p, const char *symbol)
{
	if (!pq_is(p, symbol)) return false;
	pq_advance(p);
	return true;
}

bool pq_unexpected(struct pq_parser *p, const char *where, const char *expected)
{
	const struct pq_tok *t = &p->tok;
	const char *comma = expected ? ", expected " : "";
	if (t->kind == PQ_T_ERROR)
		pq_refuse(p->q, t->from, p->err, "%s: \"%.*s\"", t->why,
		        (int)HG_MIN(t->text.n, (size_t)60), t->text.p);
	else if (t->kind == PQ_T_END)
		pq_refuse(p->q, t->from, p->err, "unexpected end of input in %s%s%s", where, comma,
		        expected ? expected : "");
	else
		pq_refuse(p->q, t->from, p->err, "unexpected %s\"%.*s\" in %s%s%s",
		        t->kind == PQ_T_STRING ? "string " : "", (int)HG_MIN(t->text.n, (size_t)60),
		        t->text.p, where, comma, expected ? expected : "");
	return false;
}

bool pq_expect(struct pq_parser *p, const char *symbol, const char *where)
{
	char expected[16];
	if (pq_accept(p, symbol)) return true;
	struct hg_out o = hg_out_over(expected, sizeof expected - 1);
	hg_out_fmt(&o, "\"%s\"", symbol);
	expected[o.n] = 0;
	return pq_unexpected(p, where, expected);
}

bool pq_nomem(struct pq_parser *p)
{
	hg_err_set(p->err, HG_E_QUERY_LIMIT,
	        "the query is too large: its tree takes more than %zu MiB", PQ_ARENA_MAX >> 20);
	return false;
}

struct pq_node *pq_node_new(struct pq_parser *p, enum pq_kind kind, uint32_t from)
{
	struct pq_node *n = hg_arena_take(&p->q->arena, sizeof *n);
	if (!n) {
		pq_nomem(p);
		return NULL;
	}
	n->kind = kind;
	n->from = from;
	return n;
}

bool pq_parse_names(struct pq_parser *p, struct pq_names *ret_names, const char *where)
{
	uint32_t cap = 0;
	struct hg_str *own = NULL;
	*ret_names = (struct pq_names){0};
	if (!pq_expect(p, "(", where)) return false;
	while (!pq_accept(p, ")")) {
		bool ok = p->tok.kind == PQ_T_NAME ? pq_is_plain_name(p->tok.text, false)
		                                   : p->tok.kind == PQ_T_STRING && p->tok.text.n &&
		                                             hg_utf8_valid(p->tok.text);
		if (!ok) return pq_unexpected(p, where, "label");
		if (ret_names->n == cap) {
			struct hg_str *more =
			        hg_arena_array(&p->q->arena, cap * 2 + 4, sizeof *more);
			if (!more) return pq_nomem(p);
			if (cap) memcpy(more, own, cap * sizeof *more);
			ret_names->at = own = more;
			cap = cap * 2 + 4;
		}
		own[ret_names->n++] = p->tok.text;
		pq_advance(p);
		if (pq_accept(p, ",")) continue;
		if (!pq_is(p, ")")) return pq_unexpected(p, where, "\",\" or \")\"");
	}
	return true;
}

bool pq_parse_signed(struct pq_parser *p, double *ret_v, const char *where)
{
	double sign = 1;
	if (pq_is(p, "-") || pq_is(p, "+")) {
		sign = pq_is(p, "-") ? -1 : 1;
		pq_advance(p);
	}
	if (p->tok.kind == PQ_T_NUMBER)
		*ret_v = sign * p->tok.number;
	else if (pq_is_word(p, "inf"))
		*ret_v = sign * INFINITY;
	else if (pq_is_word(p, "nan"))
		*ret_v = NAN;
	else
		return pq_unexpected(p, where, "number");
	pq_advance(p);
	return true;
}

/* ---- operators ---- */

enum { PREC_OR = 1, PREC_AND, PREC_COMPARE, PREC_ADD, PREC_MUL, PREC_POW };

static int operator_of(const struct pq_parser *p, enum pq_op *ret_op)
{
	static const struct {
		const char *text;
		enum pq_op op;
		int prec;
	} row[] = {{"+", PQ_ADD, PREC_ADD}, {"-", PQ_SUB, PREC_ADD}, {"*", PQ_MUL, PREC_MUL},
	        {"/", PQ_DIV, PREC_MUL}, {"%", PQ_MOD, PREC_MUL}, {"^", PQ_POW, PREC_POW},
	        {"==", PQ_EQL, PREC_COMPARE}, {"!=", PQ_NEQ, PREC_COMPARE},
	        {">", PQ_GTR, PREC_COMPARE}, {"<", PQ_LSS, PREC_COMPARE},
	        {">=", PQ_GTE, PREC_COMPARE}, {"<=", PQ_LTE, PREC_COMPARE},
	        {"</", PQ_TRIM_UPPER, PREC_COMPARE}, {">/", PQ_TRIM_LOWER, PREC_COMPARE}},
	  word[] = {{"atan2", PQ_ATAN2, PREC_MUL}, {"and", PQ_AND, PREC_AND},
	          {"unless", PQ_UNLESS, PREC_AND}, {"or", PQ_OR, PREC_OR}};
	if (p->tok.kind == PQ_T_SYMBOL) {
		for (size_t i = 0; i < HG_COUNT(row); i++)
			if (hg_str_eq(p->tok.text, hg_str(row[i].text))) {
				*ret_op = row[i].op;
				return row[i].prec;
			}
	}
	for (size_t i = 0; i < HG_COUNT(word); i++)
		if (pq_is_word(p, word[i].text)) {
			*ret_op = word[i].op;
			return word[i].prec;
		}
	return 0;
}

static bool fill(struct pq_parser *p, struct pq_matching *m)
{
	for (;;) {
		bool left = pq_is_word(p, "fill_left"), right = pq_is_word(p, "fill_right");
		bool both = pq_is_word(p, "fill");
		struct pq_parser mark = *p;
		uint32_t at = p->tok.from;
		double v;
		if (!left && !right && !both) return true;
		pq_advance(p);
		if (!pq_is(p, "(")) { /* a metric of that name */
			*p = mark;
			return true;
		}
		if ((m->fill_left && !right) || (m->fill_right && !left))
			return pq_refuse(p->q, at, p->err,
			        "each side may be filled in once, by fill, fill_left or "
			        "fill_right");
		pq_advance(p);
		if (!pq_parse_signed(p, &v, "fill modifier") || !pq_expect(p, ")", "fill modifier"))
			return false;
		p->q->experimental = true;
		if (left || both) {
			m->fill_left = true;
			m->left = v;
		}
		if (right || both) {
			m->fill_right = true;
			m->right = v;
		}
	}
}

/* on, ignoring, group_left, group_right, fill. */
static bool matching(struct pq_parser *p, struct pq_matching *m)
{
	if (pq_is_word(p, "on") || pq_is_word(p, "ignoring")) {
		struct pq_parser mark = *p;
		m->on = pq_is_word(p, "on");
		pq_advance(p);
		if (!pq_is(p, "(")) {
			*p = mark;
			m->on = false;
			return true;
		}
		m->given = true;
		if (!pq_parse_names(p, &m->labels, m->on ? "\"on\"" : "\"ignoring\"")) return false;
		if (pq_is_word(p, "group_left") || pq_is_word(p, "group_right")) {
			m->card = pq_is_word(p, "group_left") ? PQ_MANY_TO_ONE : PQ_ONE_TO_MANY;
			pq_advance(p);
			if (pq_is(p, "(") && !pq_parse_names(p, &m->include, "grouping modifier"))
				return false;
		}
	}
	return fill(p, m);
}

static bool too_deep(struct pq_parser *p, uint32_t at)
{
	pq_refuse(p->q, at, p->err, "the expression is nested more than %u deep", PQ_DEPTH_MAX);
	if (p->err) p->err->rc = HG_E_QUERY_LIMIT;
	return false;
}

static struct pq_node *unary(struct pq_parser *p);

struct pq_node *pq_parse_expr(struct pq_parser *p, int least)
{
	enum pq_op op;
	int prec;
	struct pq_node *l;
	if (p->depth >= PQ_DEPTH_MAX) {
		too_deep(p, p->tok.from);
		return NULL;
	}
	p->depth++;
	l = unary(p);
	while (l && (prec = operator_of(p, &op)) >= HG_MAX(least, PREC_OR)) {
		struct pq_node *n = pq_node_new(p, PQ_K_BINARY, l->from);
		if (!n) return NULL;
		n->u.bin.op = op;
		n->u.bin.l = l;
		pq_advance(p);
		if (pq_is_word(p, "bool")) {
			n->u.bin.to_bool = true;
			pq_advance(p);
		}
		if (!matching(p, &n->u.bin.match)) return NULL;
		if (pq_op_is_set(op) && n->u.bin.match.card == PQ_ONE_TO_ONE)
			n->u.bin.match.card = PQ_MANY_TO_MANY;
		n->u.bin.r = pq_parse_expr(p, op == PQ_POW ? prec : prec + 1);
		if (!n->u.bin.r) return NULL;
		n->to = n->u.bin.r->to;
		n->depth = (uint16_t)(1 + HG_MAX(l->depth, n->u.bin.r->depth));
		if (n->depth > PQ_DEPTH_MAX) {
			too_deep(p, n->from);
			return NULL;
		}
		l = n;
	}
	p->depth--;
	return l;
}

/* ---- operands ---- */

static struct pq_node *literal(struct pq_parser *p, double v, bool is_duration)
{
	struct pq_node *n = pq_node_new(p, PQ_K_NUMBER, p->tok.from);
	if (!n) return NULL;
	n->type = PROMQL_SCALAR;
	n->u.number.v = v;
	n->u.number.is_duration = is_duration;
	pq_advance(p);
	n->to = p->last;
	return n;
}

/* Arguments up to the closing parenthesis; the opening one is taken. */
static bool arguments(
        struct pq_parser *p, struct pq_node ***ret_arg, uint32_t *ret_n, const char *where)
{
	uint32_t cap = 0;
	*ret_n = 0;
	*ret_arg = NULL;
	if (pq_accept(p, ")")) return true;
	for (;;) {
		if (*ret_n == PQ_ARGS_MAX)
			return pq_refuse(p->q, p->tok.from, p->err, "more than %u arguments in %s",
			        PQ_ARGS_MAX, where);
		if (*ret_n == cap) {
			cap = cap * 2 + 4;
			struct pq_node **more = hg_arena_array(&p->q->arena, cap, sizeof *more);
			if (!more) return pq_nomem(p);
			if (*ret_n) memcpy(more, *ret_arg, *ret_n * sizeof *more);
			*ret_arg = more;
		}
		if (!((*ret_arg)[*ret_n] = pq_parse_expr(p, 0))) return false;
		++*ret_n;
		if (pq_accept(p, ")")) return true;
		if (!pq_expect(p, ",", where)) return false;
		if (pq_is(p, ")"))
			return pq_refuse(p->q, p->last - 1, p->err,
			        "trailing commas not allowed in function call args");
	}
}

static bool grouping(struct pq_parser *p, struct pq_node *n)
{
	if (!pq_is_word(p, "by") && !pq_is_word(p, "without")) return true;
	n->u.agg.grouped = true;
	n->u.agg.without = pq_is_word(p, "without");
	pq_advance(p);
	return pq_parse_names(p, &n->u.agg.by, "grouping opts");
}

static struct pq_node *aggregation(struct pq_parser *p, enum pq_agg op, uint32_t from)
{
	struct pq_node *n = pq_node_new(p, PQ_K_AGG, from), **arg;
	uint32_t count, want = pq_agg_has_param(op) ? 2 : 1;
	if (!n) return NULL;
	n->u.agg.op = op;
	if (op == PQ_LIMITK || op == PQ_LIMIT_RATIO) p->q->experimental = true;
	if (!grouping(p, n) || !pq_expect(p, "(", "aggregation")) return NULL;
	if (!arguments(p, &arg, &count, "aggregation")) return NULL;
	if (!n->u.agg.grouped && !grouping(p, n)) return NULL;
	n->to = p->last;
	if (!count) {
		pq_refuse(p->q, from, p->err, "no arguments for aggregate expression provided");
		return NULL;
	}
	if (count != want) {
		pq_refuse(p->q, from, p->err,
		        "wrong number of arguments for aggregate expression provided, expected %u, "
		        "got %u",
		        want, count);
		return NULL;
	}
	n->u.agg.param = want == 2 ? arg[0] : NULL;
	n->u.agg.of = arg[want - 1];
	n->depth = (uint16_t)(1 + HG_MAX(n->u.agg.of->depth, want == 2 ? arg[0]->depth : 0));
	return n;
}

static struct pq_node *call(struct pq_parser *p, struct hg_str name, uint32_t from)
{
	const struct pq_fn *fn = pq_fn_find(name);
	struct pq_node *n;
	if (!fn) {
		const char *near = pq_fn_near(name);
		pq_refuse(p->q, from, p->err, "unknown function with name \"%.*s\"",
		        (int)HG_MIN(name.n, (size_t)100), name.p);
		if (near) hg_err_hint(p->err, "did you mean \"%s\"?", near);
		if (hg_str_eq(name, HG_STR("holt_winters")))
			hg_err_hint(p->err, "since 3.0 it is called double_exponential_smoothing");
		return NULL;
	}
	n = pq_node_new(p, PQ_K_CALL, from);
	if (!n) return NULL;
	pq_advance(p); /* the parenthesis */
	n->u.call.fn = fn;
	if (!arguments(p, &n->u.call.arg, &n->u.call.n, "function call")) return NULL;
	n->to = p->last;
	for (uint32_t i = 0; i < n->u.call.n; i++)
		n->depth = (uint16_t)HG_MAX(n->depth, n->u.call.arg[i]->depth + 1);
	if (fn->experimental) p->q->experimental = true;
	if (fn->time_bound) p->q->time_bound = true;
	if (fn->id == PQ_F_START || fn->id == PQ_F_END || fn->id == PQ_F_RANGE ||
	        fn->id == PQ_F_STEP)
		p->q->bounds = true;
	return n;
}

static struct pq_node *named(struct pq_parser *p)
{
	struct pq_tok name = p->tok;
	enum pq_agg op;
	if (hg_str_eq_nocase(name.text, HG_STR("inf"))) return literal(p, INFINITY, false);
	if (hg_str_eq_nocase(name.text, HG_STR("nan"))) return literal(p, NAN, false);
	if (pq_is_reserved(name.text)) {
		pq_unexpected(p, "expression", NULL);
		hg_err_hint(p->err, "a metric of that name is written {\"%.*s\"}",
		        HG_STR_ARG(name.text));
		return NULL;
	}
	pq_advance(p);
	if (pq_agg_find(name.text, &op) &&
	        (pq_is(p, "(") || pq_is_word(p, "by") || pq_is_word(p, "without")))
		return aggregation(p, op, name.from);
	if (pq_is(p, "(")) return call(p, name.text, name.from);
	return pq_parse_selector(p, name.text, name.from);
}

static struct pq_node *operand(struct pq_parser *p)
{
	struct pq_node *n;
	switch (p->tok.kind) {
	case PQ_T_NUMBER: return literal(p, p->tok.number, p->tok.is_duration);
	case PQ_T_STRING:
		n = pq_node_new(p, PQ_K_TEXT, p->tok.from);
		if (!n) return NULL;
		n->type = PROMQL_STRING;
		n->u.text = p->tok.text;
		pq_advance(p);
		n->to = p->last;
		return n;
	case PQ_T_NAME: return named(p);
	case PQ_T_SYMBOL:
		if (pq_is(p, "{")) return pq_parse_selector(p, (struct hg_str){0}, p->tok.from);
		if (!pq_is(p, "(")) break;
		n = pq_node_new(p, PQ_K_PAREN, p->tok.from);
		if (!n) return NULL;
		pq_advance(p);
		n->u.of = pq_parse_expr(p, 0);
		if (!n->u.of || !pq_expect(p, ")", "paren expression")) return NULL;
		n->to = p->last;
		n->depth = (uint16_t)(n->u.of->depth + 1);
		return n;
	default: break;
	}
	pq_unexpected(p, "expression", NULL);
	return NULL;
}

/* A minus binds weaker than ^ and stronger than *: -2 ^ 2 is -4. */
static struct pq_node *unary(struct pq_parser *p)
{
	uint32_t from = p->tok.from;
	bool minus = pq_is(p, "-");
	struct pq_node *n, *of;
	if (!minus && !pq_is(p, "+")) {
		n = operand(p);
		return n ? pq_parse_behind(p, n) : NULL;
	}
	pq_advance(p);
	of = pq_parse_expr(p, PREC_POW);
	if (!of) return NULL;
	if (of->kind == PQ_K_NUMBER) {
		if (minus) of->u.number.v = -of->u.number.v;
		of->from = from;
		return of;
	}
	n = pq_node_new(p, PQ_K_UNARY, from);
	if (!n) return NULL;
	n->u.of = of;
	n->plus = !minus;
	n->to = of->to;
	n->depth = (uint16_t)(of->depth + 1);
	return n;
}

/* ---- the door ---- */

static enum hg_rc parse(struct promql_query *q, struct hg_str text, struct hg_err *err)
{
	struct pq_parser p = {.q = q, .err = err};
	q->text = hg_arena_str(&q->arena, text);
	if (!q->text.p) return hg_err_set(err, HG_E_NOMEM, "out of memory");
	p.lex = (struct pq_lex){.arena = &q->arena, .text = q->text};
	pq_advance(&p);
	if (p.tok.kind == PQ_T_END) {
		pq_refuse(q, 0, err, "no expression found in input");
		return HG_E_QUERY_SYNTAX;
	}
	q->root = pq_parse_expr(&p, 0);
	if (!q->root) return err->rc;
	if (p.tok.kind != PQ_T_END) {
		pq_unexpected(&p, "expression", NULL);
		return err->rc;
	}
	return pq_check(q, q->root, err) ? HG_OK : err->rc;
}

enum hg_rc promql_parse(struct hg_str text, struct promql_query **ret_query, struct hg_err *err)
{
	struct hg_err own;
	struct promql_query *q;
	enum hg_rc rc;
	if (!err) {
		own = (struct hg_err){0};
		err = &own;
	}
	if (text.n > PROMQL_TEXT_MAX)
		return hg_err_set(err, HG_E_QUERY_LIMIT, "the query is longer than %zu bytes",
		        PROMQL_TEXT_MAX);
	q = calloc(1, sizeof *q);
	if (!q) return hg_err_set(err, HG_E_NOMEM, "out of memory");
	hg_arena_init(&q->arena, "promql tree", PQ_ARENA_MAX);
	rc = parse(q, text, err);
	if (rc < 0) {
		promql_free(q);
		return rc;
	}
	*ret_query = q;
	return HG_OK;
}

void promql_free(struct promql_query *q)
{
	if (!q) return;
	for (struct pq_regex *r = q->regexes; r; r = r->next)
		re_free(r->re);
	hg_arena_fini(&q->arena);
	free(q);
}

enum promql_type promql_type_of(const struct promql_query *q)
{
	return q->root->type;
}

bool promql_is_experimental(const struct promql_query *q)
{
	return q->experimental;
}

bool promql_uses_bounds(const struct promql_query *q)
{
	return q->bounds;
}
