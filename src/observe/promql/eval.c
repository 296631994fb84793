/* The walk: node → columns; limits; notes; the result as the caller gets it. */
#include "eval_priv.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MEMORY_MAX  ((size_t)256 << 20)
#define SAMPLES_MAX 50000000ull
#define POINTS_MAX  11000u
#define NOTES_MAX   100u

bool pq_fail(struct pq_ev *ev, enum hg_rc rc, const char *fmt, ...)
{
	char text[1200];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	hg_err_set(ev->err, rc, "%s", text);
	/* Label sets are long: what does not fit stands below, whole. */
	if (strlen(text) >= sizeof ev->err->message) hg_err_detail(ev->err, "%s", text);
	return false;
}

void *pq_take(struct pq_ev *ev, size_t count, size_t size)
{
	void *p = hg_arena_array(ev->arena, count ? count : 1, size);
	if (p) return p;
	pq_fail(ev, HG_E_QUERY_LIMIT, "the query needs more than %zu MiB of memory",
	        ev->o.memory_max >> 20);
	hg_err_hint(ev->err, "ask for fewer series, a shorter range or a longer step");
	return NULL;
}

double *pq_blank(struct pq_ev *ev, uint32_t n)
{
	double *v = pq_take(ev, n, sizeof *v);
	for (uint32_t i = 0; v && i < n; i++)
		v[i] = pq_none();
	return v;
}

bool pq_may_go_on(struct pq_ev *ev)
{
	struct timespec t;
	if (ev->o.cancel && atomic_load_explicit(ev->o.cancel, memory_order_relaxed))
		return pq_fail(ev, HG_E_QUERY_TIME, "the query was cancelled");
	if (!ev->o.deadline_ms) return true;
	clock_gettime(CLOCK_MONOTONIC, &t);
	if ((uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 < ev->o.deadline_ms)
		return true;
	return pq_fail(ev, HG_E_QUERY_TIME, "the query took too long");
}

void pq_note(struct pq_ev *ev, bool warning, const struct pq_node *at, const char *fmt, ...)
{
	char text[900];
	unsigned line, column;
	va_list ap;
	struct hg_out o = hg_out_over(text, sizeof text - 1);
	char body[800];
	va_start(ap, fmt);
	vsnprintf(body, sizeof body, fmt, ap);
	va_end(ap);
	pq_place(ev->q->text, at->from, &line, &column);
	hg_out_fmt(&o, "PromQL %s: %s (%u:%u)", warning ? "warning" : "info", body, line, column);
	text[o.n] = 0;
	struct pq_note_item **to = &ev->notes;
	for (; *to; to = &(*to)->next)
		if (!strcmp((*to)->note.text, text)) return;
	if (ev->note_n == NOTES_MAX) return; /* enough to know */
	struct pq_note_item *item = hg_arena_take(ev->arena, sizeof *item);
	struct hg_str copy = hg_arena_str(ev->arena, hg_str(text));
	if (!item || !copy.p) return; /* the query itself will fail */
	item->note = (struct promql_note){warning, copy.p};
	*to = item;
	ev->note_n++;
}

/* ---- the walk ---- */

static bool fill_scalar(struct pq_ev *ev, const struct pq_grid *g, double x, struct pq_value *ret)
{
	*ret = (struct pq_value){.type = PROMQL_SCALAR};
	ret->scalar = pq_take(ev, g->n, sizeof(double));
	if (!ret->scalar) return false;
	for (uint32_t i = 0; i < g->n; i++)
		ret->scalar[i] = x;
	return true;
}

static bool negate(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	if (!pq_eval(ev, n->u.of, g, ret)) return false;
	if (n->plus) return true;
	if (ret->type == PROMQL_SCALAR) {
		for (uint32_t i = 0; i < g->n; i++)
			ret->scalar[i] = -ret->scalar[i];
		return true;
	}
	for (uint32_t k = 0; k < ret->n; k++) {
		double *v = ret->at[k].v;
		for (uint32_t i = 0; i < g->n; i++)
			if (!pq_is_none(v[i])) v[i] = -v[i];
		if (!pq_drop_name(ev, &ret->at[k])) return false;
	}
	return pq_after_drop(ev, ret, g->n);
}

static bool walk(struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	*ret = (struct pq_value){.type = n->type};
	switch (n->kind) {
	case PQ_K_NUMBER: return fill_scalar(ev, g, n->u.number.v, ret);
	case PQ_K_TEXT: ret->text = n->u.text; return true;
	case PQ_K_PAREN: return pq_eval(ev, n->u.of, g, ret);
	case PQ_K_UNARY: return negate(ev, n, g, ret);
	case PQ_K_SELECTOR: return pq_select(ev, n, g, false, ret);
	case PQ_K_BINARY: return pq_binary(ev, n, g, ret);
	case PQ_K_AGG: return pq_aggregate(ev, n, g, ret);
	case PQ_K_CALL:
		if (n->u.call.fn->missing)
			return pq_fail(ev, HG_E_QUERY_UNSUPPORTED,
			        "the experimental function %s() is not built", n->u.call.fn->name);
		if (n->u.call.fn->class == PQ_C_MATH) return pq_math_call(ev, n, g, ret);
		if (n->u.call.fn->class == PQ_C_RANGE) return pq_range_call(ev, n, g, ret);
		return pq_special_call(ev, n, g, ret);
	case PQ_K_RANGE:
	case PQ_K_SUBQUERY: break;
	}
	return pq_fail(
	        ev, HG_E_QUERY_FAILED, "a range vector can only be shown by an instant query");
}

/* What one step gave, at all of them. */
static bool repeat(struct pq_ev *ev, struct pq_value *v, uint32_t steps)
{
	double *many;
	if (v->type == PROMQL_SCALAR) {
		const double *one = v->scalar;
		HG_ASSERT(one);
		return fill_scalar(ev, &(struct pq_grid){0, 0, steps}, one[0], v);
	}
	for (uint32_t k = 0; k < v->n; k++) {
		double x = v->at[k].v[0];
		if (!(many = pq_take(ev, steps, sizeof *many))) return false;
		for (uint32_t i = 0; i < steps; i++)
			many[i] = x;
		v->at[k].v = many;
	}
	return true;
}

bool pq_eval(struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	bool once = n->invariant && g->n > 1 && n->kind != PQ_K_NUMBER && n->kind != PQ_K_TEXT;
	struct pq_grid one = {g->start, 0, 1};
	if (!pq_may_go_on(ev)) return false;
	if (!walk(ev, n, once ? &one : g, ret)) return false;
	return !once || repeat(ev, ret, g->n);
}

bool pq_scalar(struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, double **ret_v)
{
	struct pq_value v;
	if (!pq_eval(ev, n, g, &v)) return false;
	*ret_v = v.scalar;
	return true;
}

/* ---- the result ---- */

struct run {
	struct promql_result result; /* first: what the caller holds */
	struct hg_arena arena;
};

static bool drop_names(struct pq_ev *ev, struct pq_value *v, uint32_t steps)
{
	bool any = false;
	for (uint32_t k = 0; k < v->n; k++) {
		if (!v->at[k].drop) continue;
		any = true;
		if (!pq_without_name(ev, v->at[k].ls, &v->at[k].ls)) return false;
	}
	return (!any && v->n < 2) || pq_unite(ev, v, steps, true);
}

static int by_labels(const void *a, const void *b)
{
	const struct promql_series *x = a, *y = b;
	return labels_compare(x->labels, y->labels);
}

static bool copy_labels(struct pq_ev *ev, struct labels ls, struct labels *ret)
{
	if (labels_copy(ev->arena, ls, ret) == HG_OK) return true;
	(void)pq_take(ev, ev->o.memory_max, 2); /* says which limit it is */
	return false;
}

static bool columns_out(struct pq_ev *ev, const struct pq_value *v, const struct pq_grid *g,
        struct promql_result *r)
{
	struct promql_series *out = pq_take(ev, v->n, sizeof *out);
	if (!out) return false;
	for (uint32_t k = 0; k < v->n; k++) {
		size_t n = 0;
		int64_t *t;
		double *x;
		HG_ASSERT(v->at[k].v);
		for (uint32_t i = 0; i < g->n; i++)
			n += !pq_is_none(v->at[k].v[i]);
		if (!n) continue;
		t = pq_take(ev, n, sizeof *t);
		x = pq_take(ev, n, sizeof *x);
		if (!t || !x) return false;
		n = 0;
		for (uint32_t i = 0; i < g->n; i++) {
			if (pq_is_none(v->at[k].v[i])) continue;
			t[n] = pq_grid_at(g, i);
			x[n++] = v->at[k].v[i];
		}
		if (!copy_labels(ev, v->at[k].ls, &out[r->n].labels)) return false;
		out[r->n].t = t;
		out[r->n].v = x;
		out[r->n++].n = n;
	}
	r->series = out;
	if (r->type == PROMQL_MATRIX) qsort(out, r->n, sizeof *out, by_labels);
	return true;
}

/* The samples within the window; anchored and smoothed ones have points at its ends. */
static bool points_out(struct pq_ev *ev, const struct pq_ranges *r, const struct pq_samples *s,
        int64_t end, struct promql_series *to)
{
	enum pq_extend how = r->n->kind == PQ_K_RANGE ? r->h->u.sel.extend : PQ_X_NONE;
	uint32_t lo = 0, hi = s->n;
	while (lo < hi && s->t[lo] <= end - r->range_ms)
		lo++;
	while (hi > lo && s->t[hi - 1] > end)
		hi--;
	to->n = 0;
	if (lo == hi && how == PQ_X_NONE) return true;
	int64_t *t = pq_take(ev, s->n + 2ul, sizeof *t);
	double *v = pq_take(ev, s->n + 2ul, sizeof *v);
	if (!t || !v) return false;
	to->t = t;
	to->v = v;
	to->n = hi - lo;
	if (how != PQ_X_NONE) {
		to->n = pq_extended_points(how, s, end - r->range_ms, end, ev->o.lookback_ms, t, v);
		return true;
	}
	memcpy(t, s->t + lo, to->n * sizeof *t);
	memcpy(v, s->v + lo, to->n * sizeof *v);
	return true;
}

/* A range at the top of an instant query: the samples themselves. */
static bool range_out(struct pq_ev *ev, const struct pq_grid *g, struct promql_result *r)
{
	struct pq_ranges ranges;
	struct pq_samples s;
	struct promql_series *out;
	bool more;
	struct pq_node *n = pq_bare(ev->q->root);
	if (!pq_ranges_open(ev, n, g, &ranges)) return false;
	out = pq_take(ev, ranges.count, sizeof *out);
	if (!out) return false;
	while (pq_ranges_next(ev, &ranges, &s, &more) && more) {
		struct promql_series *to = &out[r->n];
		if (!points_out(ev, &ranges, &s, pq_window_end(ranges.h, g->start), to))
			return false;
		if (!to->n) continue;
		if (s.drop && !pq_without_name(ev, s.ls, &s.ls)) return false;
		if (!copy_labels(ev, s.ls, &to->labels)) return false;
		r->n++;
	}
	if (more) return false;
	qsort(out, r->n, sizeof *out, by_labels);
	r->series = out;
	return true;
}

static bool notes_out(struct pq_ev *ev, struct promql_result *r)
{
	struct promql_note *to = pq_take(ev, ev->note_n, sizeof *to);
	if (!to) return false;
	for (const struct pq_note_item *i = ev->notes; i; i = i->next)
		to[r->note_n++] = i->note;
	r->notes = to;
	return true;
}

static bool evaluate(struct pq_ev *ev, struct promql_result *r)
{
	const struct promql_options *o = &ev->o;
	struct pq_node *root = ev->q->root;
	struct pq_grid g = {o->start_ms, o->step_ms, 1};
	struct pq_value v;
	if (o->step_ms) g.n = (uint32_t)((o->end_ms - o->start_ms) / o->step_ms) + 1;
	if (!pq_prepare(ev, root)) return false;
	r->type = root->type;
	if (root->type == PROMQL_MATRIX) return range_out(ev, &g, r) && notes_out(ev, r);
	if (!pq_eval(ev, root, &g, &v)) return false;
	HG_ASSERT(root->type != PROMQL_SCALAR || v.scalar);
	if (o->step_ms) {
		r->type = PROMQL_MATRIX;
		if (root->type == PROMQL_SCALAR) {
			struct pq_column *c = pq_take(ev, 1, sizeof *c);
			if (!c) return false;
			c->v = v.scalar;
			v.at = c;
			v.n = 1;
		}
	}
	if (r->type == PROMQL_STRING) {
		r->text = hg_arena_str(ev->arena, v.text);
		return r->text.p && notes_out(ev, r);
	}
	if (r->type == PROMQL_SCALAR) {
		HG_ASSERT(v.scalar);
		r->scalar = v.scalar[0];
		return notes_out(ev, r);
	}
	return drop_names(ev, &v, g.n) && columns_out(ev, &v, &g, r) && notes_out(ev, r);
}

static enum hg_rc check_options(
        struct promql_options *o, const struct promql_query *q, struct hg_err *err)
{
	if (!o->lookback_ms) o->lookback_ms = PQ_LOOKBACK_MS;
	if (!o->subquery_step_ms) o->subquery_step_ms = 60000;
	if (!o->memory_max) o->memory_max = MEMORY_MAX;
	if (!o->samples_max) o->samples_max = SAMPLES_MAX;
	if (!o->points_max) o->points_max = POINTS_MAX;
	if (!o->select_max || o->select_max > TSDB_SELECT_BYTES) o->select_max = TSDB_SELECT_BYTES;
	if (o->step_ms < 0 || o->end_ms < o->start_ms || (!o->step_ms && o->end_ms != o->start_ms))
		return hg_err_set(
		        err, HG_E_QUERY_FAILED, "the end is before the start, or there is no step");
	if (o->step_ms && (o->end_ms - o->start_ms) / o->step_ms >= o->points_max) {
		hg_err_set(err, HG_E_QUERY_LIMIT,
		        "exceeded maximum resolution of %u points per timeseries", o->points_max);
		hg_err_hint(err, "ask for a longer step or a shorter range");
		return HG_E_QUERY_LIMIT;
	}
	if (o->step_ms && q->root->type != PROMQL_SCALAR && q->root->type != PROMQL_VECTOR)
		return hg_err_set(err, HG_E_QUERY_FAILED,
		        "invalid expression type \"%s\" for range query, must be Scalar or instant "
		        "Vector",
		        promql_type_name(q->root->type));
	return HG_OK;
}

enum hg_rc promql_run(struct tsdb *db, struct promql_query *q, const struct promql_options *o,
        const struct promql_result **ret_result, struct hg_err *err)
{
	struct hg_err own;
	struct pq_ev ev = {.db = db, .q = q, .o = *o, .err = err};
	enum hg_rc rc;
	if (!err) {
		own = (struct hg_err){0};
		ev.err = err = &own;
	}
	rc = check_options(&ev.o, q, err);
	if (rc < 0) return rc;
	struct run *run = calloc(1, sizeof *run);
	if (!run) return hg_err_set(err, HG_E_NOMEM, "out of memory");
	hg_arena_init(&run->arena, "promql query", ev.o.memory_max);
	ev.arena = &run->arena;
	bool ok = evaluate(&ev, &run->result);
	for (struct pq_open *s = ev.open; s; s = s->next) {
		if (o->lock) o->lock(o->arg);
		tsdb_selection_free(s->sel);
		if (o->unlock) o->unlock(o->arg);
	}
	tsdb_samples_free(&ev.read);
	run->result.samples = ev.samples;
	run->result.memory = run->arena.used;
	if (!ok) {
		promql_result_free(&run->result);
		return err->rc < 0 ? err->rc : HG_E_QUERY_FAILED;
	}
	*ret_result = &run->result;
	return HG_OK;
}

void promql_result_free(const struct promql_result *r)
{
	if (!r) return;
	struct run *run = (struct run *)(uintptr_t)r; /* its first member */
	hg_arena_fini(&run->arena);
	free(run);
}
