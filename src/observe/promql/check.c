/* Types: what may stand where. Fills node->type, depth first. */
#include "ast_priv.h"

#include <stdarg.h>
#include <stdio.h>

const char *promql_type_name(enum promql_type t)
{
	static const char *const name[] = {
	        "none", "scalar", "instant vector", "range vector", "string"};
	return name[t];
}

bool pq_refuse(const struct promql_query *q, uint32_t at, struct hg_err *err, const char *fmt, ...)
{
	char text[280];
	unsigned line, column;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	hg_err_set(err, HG_E_QUERY_SYNTAX, "%s", text);
	pq_place(q->text, at, &line, &column);
	hg_err_place(err, "query", line, column);
	return false;
}

uint32_t pq_child_count(const struct pq_node *n)
{
	switch (n->kind) {
	case PQ_K_NUMBER:
	case PQ_K_TEXT:
	case PQ_K_SELECTOR: return 0;
	case PQ_K_RANGE:
	case PQ_K_SUBQUERY:
	case PQ_K_UNARY:
	case PQ_K_PAREN: return 1;
	case PQ_K_BINARY: return 2;
	case PQ_K_AGG: return n->u.agg.param ? 2 : 1;
	case PQ_K_CALL: return n->u.call.n;
	}
	return 0;
}

struct pq_node *pq_child(const struct pq_node *n, uint32_t i)
{
	switch (n->kind) {
	case PQ_K_BINARY: return i ? n->u.bin.r : n->u.bin.l;
	case PQ_K_AGG: return n->u.agg.param && !i ? n->u.agg.param : n->u.agg.of;
	case PQ_K_CALL: return n->u.call.arg[i];
	default: return n->u.of;
	}
}

struct pq_node *pq_bare(struct pq_node *n)
{
	while (n->kind == PQ_K_PAREN)
		n = n->u.of;
	return n;
}

static bool want(const struct promql_query *q, const struct pq_node *n, enum promql_type t,
        const char *where, struct hg_err *err)
{
	if (n->type == t) return true;
	pq_refuse(q, n->from, err, "expected type %s in %s, got %s", promql_type_name(t), where,
	        promql_type_name(n->type));
	if (t == PROMQL_MATRIX && n->type == PROMQL_VECTOR &&
	        pq_bare((struct pq_node *)(uintptr_t)n)->kind == PQ_K_SELECTOR)
		hg_err_hint(err, "give a range behind it: [5m]");
	if (t == PROMQL_VECTOR && n->type == PROMQL_MATRIX)
		hg_err_hint(err, "a range is for functions such as rate(x[5m])");
	return false;
}

static bool common(const struct pq_matching *m, struct hg_str *ret_name)
{
	for (uint32_t i = 0; i < m->include.n; i++)
		for (uint32_t j = 0; j < m->labels.n; j++)
			if (hg_str_eq(m->include.at[i], m->labels.at[j])) {
				*ret_name = m->include.at[i];
				return true;
			}
	return false;
}

static bool binary(struct promql_query *q, struct pq_node *n, struct hg_err *err)
{
	struct pq_node *l = n->u.bin.l, *r = n->u.bin.r;
	const struct pq_matching *m = &n->u.bin.match;
	enum pq_op op = n->u.bin.op;
	bool scalars = l->type == PROMQL_SCALAR && r->type == PROMQL_SCALAR;
	bool vectors = l->type == PROMQL_VECTOR && r->type == PROMQL_VECTOR;
	struct hg_str name;
	bool fills = m->fill_left || m->fill_right;
	if (n->u.bin.to_bool && !pq_op_compares(op))
		return pq_refuse(
		        q, n->from, err, "bool modifier can only be used on comparison operators");
	if (scalars && pq_op_compares(op) && !n->u.bin.to_bool)
		return pq_refuse(
		        q, n->from, err, "comparisons between scalars must use BOOL modifier");
	if (scalars && pq_op_trims(op))
		return pq_refuse(q, n->from, err, "operator \"%s\" needs a histogram on its left",
		        pq_op_name(op));
	if (pq_op_is_set(op) && (m->card == PQ_MANY_TO_ONE || m->card == PQ_ONE_TO_MANY))
		return pq_refuse(q, n->from, err, "no grouping allowed for \"%s\" operation",
		        pq_op_name(op));
	if (m->on && common(m, &name))
		return pq_refuse(q, n->from, err,
		        "label \"%.*s\" must not occur in ON and GROUP clause at once",
		        (int)HG_MIN(name.n, (size_t)60), name.p);
	for (int i = 0; i < 2; i++) {
		const struct pq_node *side = i ? r : l;
		if (side->type != PROMQL_SCALAR && side->type != PROMQL_VECTOR)
			return pq_refuse(q, side->from, err,
			        "binary expression must contain only scalar and instant vector "
			        "types");
	}
	if (!vectors && (m->given || fills))
		return pq_refuse(q, n->from, err,
		        fills && !m->given
		                ? "filling in missing series only allowed between instant vectors"
		                : "vector matching only allowed between instant vectors");
	if (!vectors && pq_op_is_set(op))
		return pq_refuse(q, n->from, err,
		        "set operator \"%s\" not allowed in binary scalar expression",
		        pq_op_name(op));
	if (fills && pq_op_is_set(op))
		return pq_refuse(
		        q, n->from, err, "filling in missing series not allowed for set operators");
	n->type = scalars ? PROMQL_SCALAR : PROMQL_VECTOR;
	return true;
}

static enum promql_type arg_type(const struct pq_fn *fn, uint32_t i)
{
	static const enum promql_type of[] = {
	        PROMQL_NONE, PROMQL_SCALAR, PROMQL_VECTOR, PROMQL_MATRIX, PROMQL_STRING};
	uint8_t a = 0;
	for (uint32_t k = 0; k <= i && k < HG_COUNT(fn->arg); k++)
		if (fn->arg[k]) a = fn->arg[k];
	return of[a];
}

/* Braces and what stands in them. */
static bool only_matchers(const struct pq_node *n)
{
	return n->kind == PQ_K_SELECTOR && !n->u.sel.outside && !n->offset && n->at == PQ_AT_NONE &&
	       n->u.sel.extend == PQ_X_NONE;
}

static bool call(struct promql_query *q, struct pq_node *n, struct hg_err *err)
{
	const struct pq_fn *fn = n->u.call.fn;
	uint32_t got = n->u.call.n;
	char where[64];
	if (got < fn->min || got > fn->max)
		return pq_refuse(q, n->from, err,
		        "expected %s%u argument(s) in call to \"%s\", got %u",
		        fn->min == fn->max ? ""
		        : got < fn->min    ? "at least "
		                           : "at most ",
		        got < fn->min ? fn->min : fn->max, fn->name, got);
	snprintf(where, sizeof where, "call to function \"%s\"", fn->name);
	for (uint32_t i = 0; i < got; i++) {
		if (!want(q, n->u.call.arg[i], arg_type(fn, i), where, err)) return false;
		if (fn->id == PQ_F_INFO && i == 1 && !only_matchers(n->u.call.arg[i]))
			return pq_refuse(q, n->u.call.arg[i]->from, err,
			        "expected label selectors only in the second argument of info()");
	}
	n->type = fn->type;
	return true;
}

static bool aggregate(struct promql_query *q, struct pq_node *n, struct hg_err *err)
{
	enum pq_agg op = n->u.agg.op;
	n->type = PROMQL_VECTOR;
	if (!want(q, n->u.agg.of, PROMQL_VECTOR, "aggregation expression", err)) return false;
	if (!n->u.agg.param) return true;
	return want(q, n->u.agg.param, op == PQ_COUNT_VALUES ? PROMQL_STRING : PROMQL_SCALAR,
	        "aggregation parameter", err);
}

bool pq_check(struct promql_query *q, struct pq_node *n, struct hg_err *err)
{
	uint32_t count = pq_child_count(n);
	if (n->kind == PQ_K_CALL && n->u.call.fn->id == PQ_F_INFO && count > 1 &&
	        pq_child(n, 1)->kind == PQ_K_SELECTOR) {
		pq_child(n, 1)->u.sel.empty = false;
		pq_child(n, 1)->u.sel.matchers = true;
	}
	for (uint32_t i = 0; i < count; i++)
		if (!pq_check(q, pq_child(n, i), err)) return false;
	switch (n->kind) {
	case PQ_K_SELECTOR:
		return !n->u.sel.empty ||
		       pq_refuse(q, n->from, err,
		               "vector selector must contain at least one non-empty matcher");
	case PQ_K_BINARY: return binary(q, n, err);
	case PQ_K_CALL: return call(q, n, err);
	case PQ_K_AGG: return aggregate(q, n, err);
	case PQ_K_PAREN: n->type = n->u.of->type; return true;
	case PQ_K_UNARY:
		n->type = n->u.of->type;
		if (n->type == PROMQL_SCALAR || n->type == PROMQL_VECTOR) return true;
		return pq_refuse(q, n->from, err,
		        "unary expression only allowed on expressions of type scalar or instant "
		        "vector, "
		        "got \"%s\"",
		        promql_type_name(n->type));
	case PQ_K_SUBQUERY:
		if (n->u.of->type == PROMQL_VECTOR) return true;
		return pq_refuse(q, n->from, err,
		        "subquery is only allowed on instant vector, got %s instead",
		        promql_type_name(n->u.of->type));
	default: return true;
	}
}

/* ---- @ on everything ---- */

static void pin(struct pq_node *n, int64_t at_ms)
{
	uint32_t count = pq_child_count(n);
	/* Its matchers follow the first argument. */
	if (n->kind == PQ_K_CALL && n->u.call.fn->id == PQ_F_INFO) count = 1;
	if ((n->kind == PQ_K_SELECTOR || n->kind == PQ_K_SUBQUERY) && n->at == PQ_AT_NONE) {
		n->at = PQ_AT_TIME;
		n->at_ms = at_ms;
	}
	if (n->kind == PQ_K_SUBQUERY) return; /* it has one now */
	for (uint32_t i = 0; i < count; i++)
		pin(pq_child(n, i), at_ms);
}

bool promql_pin(struct promql_query *q, int64_t at_ms)
{
	if (q->time_bound || q->bounds) return false;
	pin(q->root, at_ms);
	return true;
}

bool promql_matchers(
        const struct promql_query *q, const struct label_matcher **ret_matchers, uint32_t *ret_n)
{
	const struct pq_node *n = q->root;
	if (n->kind != PQ_K_SELECTOR || n->at != PQ_AT_NONE || n->offset ||
	        n->u.sel.extend != PQ_X_NONE)
		return false;
	*ret_matchers = n->u.sel.m;
	*ret_n = n->u.sel.n;
	return true;
}

static bool selectors(const struct pq_node *n,
        bool (*fn)(void *arg, const struct label_matcher *m, uint32_t n), void *arg)
{
	if (n->kind == PQ_K_SELECTOR) return fn(arg, n->u.sel.m, n->u.sel.n);
	uint32_t count = pq_child_count(n);
	for (uint32_t i = 0; i < count; i++)
		if (!selectors(pq_child(n, i), fn, arg)) return false;
	return true;
}

bool promql_selectors(const struct promql_query *q,
        bool (*fn)(void *arg, const struct label_matcher *m, uint32_t n), void *arg)
{
	return selectors(q->root, fn, arg);
}
