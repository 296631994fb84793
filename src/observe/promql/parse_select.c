/* Tokens → tree: selectors and what may stand behind an expression. */
#include "parse_priv.h"

#include <math.h>

/* ---- matchers ---- */

static bool add_matcher(struct pq_parser *p, struct pq_node *n, uint32_t *cap,
        const struct label_matcher *m, uint32_t at)
{
	if (n->u.sel.n == *cap) {
		struct label_matcher *more =
		        hg_arena_array(&p->q->arena, *cap * 2 + 4, sizeof *more);
		if (!more) return pq_nomem(p);
		if (*cap) memcpy(more, n->u.sel.m, n->u.sel.n * sizeof *more);
		n->u.sel.m = more;
		*cap = *cap * 2 + 4;
	}
	struct label_matcher *to = &n->u.sel.m[n->u.sel.n];
	*to = *m;
	if (m->op == LABEL_RE || m->op == LABEL_NRE) {
		struct hg_err why = {0};
		struct pq_regex *r = hg_arena_take(&p->q->arena, sizeof *r);
		if (!r) return pq_nomem(p);
		if (re_compile(m->value, RE_ANCHORED | RE_DOTALL, &r->re, &why) < 0)
			return pq_refuse(
			        p->q, at, p->err, "error parsing regexp: %.200s", why.message);
		r->next = p->q->regexes;
		p->q->regexes = r;
		to->re = r->re;
	}
	n->u.sel.n++;
	return true;
}

/* What people write for = by mistake is told apart. */
static bool matcher_op(struct pq_parser *p, enum label_match *ret_op)
{
	static const struct {
		const char *text;
		enum label_match op;
	} row[] = {{"=", LABEL_EQ}, {"!=", LABEL_NE}, {"=~", LABEL_RE}, {"!~", LABEL_NRE}};
	for (size_t i = 0; i < HG_COUNT(row); i++)
		if (pq_accept(p, row[i].text)) {
			*ret_op = row[i].op;
			return true;
		}
	bool twice = pq_is(p, "=="), colon = pq_is(p, ":"), missing = p->tok.kind == PQ_T_STRING;
	pq_unexpected(p, "label matching", "one of = != =~ !~");
	if (twice || colon || missing) hg_err_hint(p->err, "a label is matched with \"=\"");
	return false;
}

static bool name_once(struct pq_parser *p, struct pq_node *n, struct hg_str name, uint32_t at)
{
	if (!n->u.sel.name.n) {
		n->u.sel.name = name;
		return true;
	}
	return pq_refuse(p->q, at, p->err,
	        "metric name must not be set twice: \"%.*s\" or \"%.*s\"",
	        (int)HG_MIN(n->u.sel.name.n, (size_t)100), n->u.sel.name.p,
	        (int)HG_MIN(name.n, (size_t)100), name.p);
}

static bool matcher(struct pq_parser *p, struct pq_node *n, uint32_t *cap)
{
	struct pq_tok name = p->tok;
	struct label_matcher m = {.name = name.text};
	bool is_name = name.kind == PQ_T_NAME && pq_is_plain_name(name.text, false);
	if (!is_name && name.kind != PQ_T_STRING)
		return pq_unexpected(p, "label matching", "label name or \"}\"");
	pq_advance(p);
	if (name.kind == PQ_T_STRING && (pq_is(p, ",") || pq_is(p, "}"))) {
		m = (struct label_matcher){
		        .op = LABEL_EQ, .name = HG_STR("__name__"), .value = name.text};
		if (!name.text.n || !hg_utf8_valid(name.text))
			return pq_refuse(p->q, name.from, p->err, "invalid metric name");
		return name_once(p, n, name.text, name.from) &&
		       add_matcher(p, n, cap, &m, name.from);
	}
	if (!name.text.n || !hg_utf8_valid(name.text))
		return pq_refuse(p->q, name.from, p->err, "invalid label name");
	if (!matcher_op(p, &m.op)) return false;
	if (p->tok.kind != PQ_T_STRING) {
		bool bare = p->tok.kind == PQ_T_NAME || p->tok.kind == PQ_T_NUMBER;
		pq_unexpected(p, "label matching", "string");
		if (bare) hg_err_hint(p->err, "a label's value stands in quotes");
		return false;
	}
	m.value = p->tok.text;
	uint32_t at = p->tok.from;
	pq_advance(p);
	if (hg_str_eq(m.name, HG_STR("__name__")) && (m.op == LABEL_EQ || n->u.sel.outside)) {
		if (!name_once(p, n, m.value, name.from)) return false;
		n->u.sel.labelled = true;
	}
	return add_matcher(p, n, cap, &m, at);
}

static bool matches_empty(const struct label_matcher *m)
{
	return label_matcher_matches(m, (struct hg_str){"", 0});
}

struct pq_node *pq_parse_selector(struct pq_parser *p, struct hg_str name, uint32_t from)
{
	struct pq_node *n = pq_node_new(p, PQ_K_SELECTOR, from);
	uint32_t cap = 0;
	bool some = false;
	if (!n) return NULL;
	n->type = PROMQL_VECTOR;
	n->to = p->last;
	if (name.n) {
		struct label_matcher m = {
		        .op = LABEL_EQ, .name = HG_STR("__name__"), .value = name};
		n->u.sel.name = name;
		n->u.sel.outside = true;
		if (!add_matcher(p, n, &cap, &m, from)) return NULL;
	}
	if (pq_accept(p, "{")) {
		while (!pq_accept(p, "}")) {
			if (!matcher(p, n, &cap)) return NULL;
			if (pq_accept(p, ",")) continue;
			if (!pq_is(p, "}")) {
				pq_unexpected(p, "label matching", "\",\" or \"}\"");
				return NULL;
			}
		}
		n->to = p->last;
	}
	for (uint32_t i = 0; i < n->u.sel.n; i++)
		some = some || !matches_empty(&n->u.sel.m[i]);
	n->u.sel.empty = !some;
	return n;
}

/* ---- lengths of time ---- */

static const struct pq_span *span_expr(struct pq_parser *p, int least);

static struct pq_span *span_new(struct pq_parser *p, enum pq_span_kind kind, uint32_t from)
{
	struct pq_span *s = hg_arena_take(&p->q->arena, sizeof *s);
	if (!s) {
		pq_nomem(p);
		return NULL;
	}
	s->kind = kind;
	s->from = from;
	return s;
}

/* step() range() min_of(a, b) max_of(a, b), and the older min and max. */
static const struct pq_span *span_call(struct pq_parser *p)
{
	uint32_t from = p->tok.from;
	bool step = pq_is_word(p, "step"), range = pq_is_word(p, "range");
	bool min = pq_is_word(p, "min") || pq_is_word(p, "min_of");
	bool max = pq_is_word(p, "max") || pq_is_word(p, "max_of");
	struct pq_span *s;
	if (!step && !range && !min && !max) {
		pq_unexpected(p, "duration", "number, duration, step, range, min_of or max_of");
		return NULL;
	}
	s = span_new(p, step ? PQ_S_STEP : range ? PQ_S_RANGE : min ? PQ_S_MIN : PQ_S_MAX, from);
	if (!s) return NULL;
	pq_advance(p);
	if (!pq_expect(p, "(", "duration")) return NULL;
	if (min || max) {
		if (!(s->a = span_expr(p, 0)) || !pq_expect(p, ",", "duration") ||
		        !(s->b = span_expr(p, 0)))
			return NULL;
	}
	if (!pq_expect(p, ")", "duration")) return NULL;
	p->q->bounds = p->q->bounds || step || range;
	p->q->experimental = true;
	s->to = p->last;
	return s;
}

/* A sign before it takes in operators of `least` and tighter. */
static const struct pq_span *span_operand(struct pq_parser *p, int least)
{
	struct pq_span *s;
	uint32_t from = p->tok.from;
	if (p->tok.kind == PQ_T_NUMBER) {
		s = span_new(p, PQ_S_NUMBER, from);
		if (!s) return NULL;
		s->seconds = p->tok.number;
		s->is_duration = p->tok.is_duration;
		pq_advance(p);
	} else if (pq_is(p, "-") || pq_is(p, "+")) {
		bool minus = pq_is(p, "-");
		const struct pq_span *of;
		pq_advance(p);
		if (p->depth >= PQ_DEPTH_MAX) {
			pq_refuse(p->q, from, p->err, "the duration is nested too deep");
			return NULL;
		}
		p->depth++;
		of = span_expr(p, least);
		p->depth--;
		if (!of || !minus) return of;
		s = span_new(p, PQ_S_NEG, from);
		if (!s) return NULL;
		s->a = of;
	} else if (pq_is(p, "(")) {
		s = span_new(p, PQ_S_PAREN, from);
		if (!s) return NULL;
		pq_advance(p);
		if (!(s->a = span_expr(p, 0)) || !pq_expect(p, ")", "duration")) return NULL;
	} else {
		return span_call(p);
	}
	s->to = p->last;
	return s;
}

static const struct pq_span *span_expr(struct pq_parser *p, int least)
{
	static const struct {
		const char *text;
		enum pq_op op;
		int prec;
	} row[] = {{"+", PQ_ADD, 1}, {"-", PQ_SUB, 1}, {"*", PQ_MUL, 2}, {"/", PQ_DIV, 2},
	        {"%", PQ_MOD, 2}, {"^", PQ_POW, 3}};
	const struct pq_span *l;
	if (p->depth >= PQ_DEPTH_MAX) {
		pq_refuse(p->q, p->tok.from, p->err, "the duration is nested too deep");
		return NULL;
	}
	p->depth++;
	l = span_operand(p, 3); /* a sign is weaker than ^: -2 ^ 2 is -4 */
	for (size_t i = 0; l && i < HG_COUNT(row); i++) {
		if (row[i].prec < least || !pq_is(p, row[i].text)) continue;
		struct pq_span *s = span_new(p, PQ_S_OP, l->from);
		if (!s) return NULL;
		pq_advance(p);
		s->op = row[i].op;
		s->a = l;
		s->b = span_expr(p, row[i].prec + (row[i].op != PQ_POW));
		if (!s->b) return NULL;
		s->to = s->b->to;
		p->q->experimental = true;
		l = s;
		i = (size_t)-1; /* look again */
	}
	p->depth--;
	return l;
}

/* A plain one must be positive here; a computed one is looked at when it is known. */
static bool positive(struct pq_parser *p, const struct pq_span *s)
{
	if (s->kind != PQ_S_NUMBER || s->seconds * 1000 >= 1) return true;
	return pq_refuse(p->q, s->from, p->err, "duration must be greater than 0");
}

/* ---- behind an expression ---- */

/* Where offset, @ and the like are kept: the selector in a range, the selector, the subquery. */
static struct pq_node *holder(struct pq_node *n)
{
	if (n->kind == PQ_K_RANGE) return n->u.of;
	return n->kind == PQ_K_SELECTOR || n->kind == PQ_K_SUBQUERY ? n : NULL;
}

static struct pq_node *brackets(struct pq_parser *p, struct pq_node *n)
{
	struct pq_node *to;
	const struct pq_span *range, *step = NULL;
	uint32_t at = p->tok.from;
	pq_advance(p);
	if (!(range = span_expr(p, 0)) || !positive(p, range)) return NULL;
	bool sub = pq_is(p, ":");
	if (sub) {
		pq_advance(p);
		if (!pq_is(p, "]") && (!(step = span_expr(p, 0)) || !positive(p, step)))
			return NULL;
	}
	if (!pq_expect(p, "]", "subquery or range")) return NULL;
	if (!sub && n->kind != PQ_K_SELECTOR) {
		pq_refuse(p->q, at, p->err, "ranges only allowed for vector selectors");
		hg_err_hint(p->err, "of any other expression a subquery: [5m:]");
		return NULL;
	}
	if (!sub && (n->offset || n->at != PQ_AT_NONE)) {
		pq_refuse(p->q, at, p->err, "no %s modifiers allowed before range",
		        n->offset ? "offset" : "@");
		return NULL;
	}
	to = pq_node_new(p, sub ? PQ_K_SUBQUERY : PQ_K_RANGE, n->from);
	if (!to) return NULL;
	to->type = PROMQL_MATRIX;
	to->u.of = n;
	to->range = range;
	to->step = step;
	to->to = p->last;
	to->depth = (uint16_t)(n->depth + 1);
	return to;
}

static bool offset(struct pq_parser *p, struct pq_node *n)
{
	struct pq_node *h = holder(n);
	uint32_t at = p->tok.from;
	pq_advance(p);
	if (!h)
		return pq_refuse(p->q, at, p->err,
		        "offset modifier must be preceded by an instant vector selector or range "
		        "vector selector or a subquery");
	if (h->offset) return pq_refuse(p->q, at, p->err, "offset may not be set multiple times");
	/* Without parentheses it ends at the first operator: x offset -5m ^ 2 is (x offset -5m)
	 * ^ 2. */
	h->offset = span_operand(p, 4);
	n->to = h->to = p->last;
	return h->offset != NULL;
}

static bool at_time(struct pq_parser *p, struct pq_node *n)
{
	struct pq_node *h = holder(n);
	uint32_t at = p->tok.from;
	double v;
	pq_advance(p);
	if (!h)
		return pq_refuse(p->q, at, p->err,
		        "@ modifier must be preceded by an instant vector selector or range vector "
		        "selector or a subquery");
	if (h->at != PQ_AT_NONE)
		return pq_refuse(p->q, at, p->err, "@ <timestamp> may not be set multiple times");
	if (pq_is_word(p, "start") || pq_is_word(p, "end")) {
		h->at = pq_is_word(p, "start") ? PQ_AT_START : PQ_AT_END;
		pq_advance(p);
		if (!pq_expect(p, "(", "@ modifier") || !pq_expect(p, ")", "@ modifier"))
			return false;
		p->q->bounds = true;
	} else {
		if (!pq_parse_signed(p, &v, "@ modifier")) return false;
		if (isnan(v) || isinf(v))
			return pq_refuse(p->q, at, p->err,
			        "timestamp out of bounds for @ modifier: %s",
			        isnan(v) ? "NaN"
			        : v < 0  ? "-Inf"
			                 : "+Inf");
		if (!(fabs(v) < 9.2e15))
			return pq_refuse(
			        p->q, at, p->err, "timestamp out of bounds for @ modifier: %f", v);
		h->at = PQ_AT_TIME;
		h->at_ms = (int64_t)round(v * 1000);
	}
	n->to = h->to = p->last;
	return true;
}

static bool extend(struct pq_parser *p, struct pq_node *n)
{
	struct pq_node *h = n->kind == PQ_K_RANGE ? n->u.of : n->kind == PQ_K_SELECTOR ? n : NULL;
	enum pq_extend how = pq_is_word(p, "anchored") ? PQ_X_ANCHORED : PQ_X_SMOOTHED;
	uint32_t at = p->tok.from;
	pq_advance(p);
	if (!h)
		return pq_refuse(p->q, at, p->err,
		        "%s modifier must be preceded by an instant vector selector or range "
		        "vector "
		        "selector",
		        how == PQ_X_ANCHORED ? "anchored" : "smoothed");
	if (h->u.sel.extend != PQ_X_NONE)
		return pq_refuse(p->q, at, p->err,
		        "anchored and smoothed modifiers cannot be used together");
	h->u.sel.extend = how;
	p->q->experimental = true;
	n->to = h->to = p->last;
	return true;
}

struct pq_node *pq_parse_behind(struct pq_parser *p, struct pq_node *n)
{
	for (;;) {
		if (pq_is(p, "[")) {
			if (n->depth >= PQ_DEPTH_MAX) {
				pq_refuse(
				        p->q, n->from, p->err, "the expression is nested too deep");
				return NULL;
			}
			n = brackets(p, n);
			if (!n) return NULL;
		} else if (pq_is_word(p, "offset")) {
			if (!offset(p, n)) return NULL;
		} else if (pq_is(p, "@")) {
			if (!at_time(p, n)) return NULL;
		} else if (pq_is_word(p, "anchored") || pq_is_word(p, "smoothed")) {
			if (!extend(p, n)) return NULL;
		} else {
			return n;
		}
	}
}
