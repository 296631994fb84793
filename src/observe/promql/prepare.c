/* Before a run: lengths of time become numbers, @ start() a time, and it is found what is the same
 * at every step. */
#include "eval_priv.h"

#include <math.h>

static bool span_value(struct pq_ev *ev, const struct pq_span *s, double *ret_v)
{
	double a = 0, b = 0;
	if (s->a && !span_value(ev, s->a, &a)) return false;
	if (s->b && !span_value(ev, s->b, &b)) return false;
	switch (s->kind) {
	case PQ_S_NUMBER: *ret_v = s->seconds; return true;
	case PQ_S_STEP: *ret_v = (double)ev->o.step_ms / 1000; return true;
	case PQ_S_RANGE: *ret_v = (double)(ev->o.end_ms - ev->o.start_ms) / 1000; return true;
	case PQ_S_MIN: *ret_v = fmin(a, b); return true;
	case PQ_S_MAX: *ret_v = fmax(a, b); return true;
	case PQ_S_NEG: *ret_v = -a; return true;
	case PQ_S_PAREN: *ret_v = a; return true;
	case PQ_S_OP:
		if (s->op == PQ_DIV && b == 0)
			return pq_fail(ev, HG_E_QUERY_FAILED, "division by zero");
		if (s->op == PQ_MOD && b == 0)
			return pq_fail(ev, HG_E_QUERY_FAILED, "modulo by zero");
		return pq_op_apply(s->op, a, b, ret_v);
	}
	return false;
}

static bool span_ms(
        struct pq_ev *ev, const struct pq_span *s, bool may_be_negative, int64_t *ret_ms)
{
	double v = 0;
	*ret_ms = 0;
	if (!s) return true;
	if (!span_value(ev, s, &v)) return false;
	v = round(v * 1000);
	if (!(fabs(v) < 9.2e15)) return pq_fail(ev, HG_E_QUERY_FAILED, "duration out of range");
	if (!may_be_negative && v <= 0)
		return pq_fail(ev, HG_E_QUERY_FAILED, "duration must be greater than 0");
	*ret_ms = (int64_t)v;
	return true;
}

static bool here(struct pq_ev *ev, struct pq_node *n)
{
	if (!span_ms(ev, n->offset, true, &n->offset_ms)) return false;
	if (!span_ms(ev, n->range, false, &n->range_ms)) return false;
	if (!span_ms(ev, n->step, false, &n->step_ms)) return false;
	if (n->at == PQ_AT_START) n->at_ms = ev->o.start_ms;
	if (n->at == PQ_AT_END) n->at_ms = ev->o.end_ms;
	return true;
}

bool pq_prepare(struct pq_ev *ev, struct pq_node *n)
{
	uint32_t count = pq_child_count(n);
	bool all = true;
	for (uint32_t i = 0; i < count; i++) {
		if (!pq_prepare(ev, pq_child(n, i))) return false;
		all = all && pq_child(n, i)->invariant;
	}
	if (!here(ev, n)) return false;
	switch (n->kind) {
	case PQ_K_SELECTOR:
	case PQ_K_SUBQUERY: n->invariant = n->at != PQ_AT_NONE; break;
	case PQ_K_CALL:
		n->invariant = all && !n->u.call.fn->time_bound && n->u.call.fn->id != PQ_F_INFO;
		break;
	default: n->invariant = all;
	}
	return true;
}
