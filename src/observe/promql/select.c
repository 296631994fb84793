/* Samples out of the store: instant selectors as columns, ranges and subqueries series by series.
 */
#include "eval_priv.h"

static void lock(struct pq_ev *ev)
{
	if (ev->o.lock) ev->o.lock(ev->o.arg);
}

static void unlock(struct pq_ev *ev)
{
	if (ev->o.unlock) ev->o.unlock(ev->o.arg);
}

static bool open_selection(struct pq_ev *ev, const struct pq_node *n, int64_t from, int64_t to,
        struct tsdb_selection **ret)
{
	struct hg_err why = {0};
	struct pq_open *o = pq_take(ev, 1, sizeof *o);
	enum hg_rc rc;
	if (!o) return false;
	if (ev->o.watch && !ev->o.watch(ev->o.arg, n->u.sel.m, n->u.sel.n, from, to))
		return pq_fail(ev, HG_E_QUERY_UNSUPPORTED, "a native histogram is selected");
	/* All that a query selects is there until its end. */
	struct tsdb_select_limits limits = {ev->o.series_max, ev->o.select_max - ev->selected};
	lock(ev);
	rc = tsdb_select_within(ev->db, n->u.sel.m, n->u.sel.n, from, to, &limits, &o->sel, &why);
	unlock(ev);
	if (rc == HG_E_TOO_LARGE) {
		pq_fail(ev, HG_E_QUERY_LIMIT, "%s", why.message);
		hg_err_hint(ev->err, "ask for fewer series");
		return false;
	}
	if (rc < 0) {
		*ev->err = why;
		ev->err->rc = rc;
		if (!ev->err->message[0]) pq_fail(ev, rc, "the store could not be read");
		return false;
	}
	ev->selected += HG_MIN(tsdb_selection_bytes(o->sel), ev->o.select_max - 1 - ev->selected);
	o->next = ev->open;
	ev->open = o;
	*ret = o->sel;
	return true;
}

/* Into ev->read, without staleness markers when `live`. */
static bool read_series(struct pq_ev *ev, struct tsdb_selection *sel, uint32_t i, int64_t from,
        int64_t to, bool live)
{
	struct tsdb_samples *s = &ev->read;
	size_t k = 0;
	if (i % 32 == 0 && !pq_may_go_on(ev)) return false;
	lock(ev);
	enum hg_rc rc = tsdb_selection_read(sel, i, from, to, s);
	unlock(ev);
	if (rc < 0) return pq_fail(ev, rc, "a series could not be read");
	ev->samples += s->n;
	if (ev->samples > ev->o.samples_max) {
		pq_fail(ev, HG_E_QUERY_LIMIT,
		        "query processing would load too many samples into memory in query "
		        "execution "
		        "(more than %llu)",
		        (unsigned long long)ev->o.samples_max);
		return false;
	}
	if (!live) return true;
	while (k < s->n && !tsdb_is_stale(s->v[k]))
		k++;
	for (size_t j = k; j < s->n; j++) {
		if (tsdb_is_stale(s->v[j])) continue;
		s->t[k] = s->t[j];
		s->v[k++] = s->v[j];
	}
	s->n = k;
	return true;
}

/* The newest sample of each step within the lookback. */
static void last_samples(const struct pq_ev *ev, const struct pq_node *n, const struct pq_grid *g,
        bool times, double *to)
{
	const struct tsdb_samples *s = &ev->read;
	size_t hi = 0; /* samples before it are not newer than the step */
	for (uint32_t i = 0; i < g->n; i++) {
		int64_t at = pq_window_end(n, pq_grid_at(g, i));
		while (hi < s->n && s->t[hi] <= at)
			hi++;
		bool found = hi > 0 && s->t[hi - 1] > at - ev->o.lookback_ms &&
		             !tsdb_is_stale(s->v[hi - 1]);
		to[i] = !found ? pq_none() : times ? (double)s->t[hi - 1] / 1000 : s->v[hi - 1];
	}
}

bool pq_select(struct pq_ev *ev, const struct pq_node *n, const struct pq_grid *g, bool times,
        struct pq_value *ret)
{
	int64_t from = pq_window_end(n, g->start) - ev->o.lookback_ms + 1;
	int64_t to = pq_window_end(n, pq_grid_at(g, g->n - 1));
	struct tsdb_selection *sel = NULL;
	uint32_t count;
	double *v = NULL;
	if (n->u.sel.extend == PQ_X_SMOOTHED) return pq_extended_select(ev, n, g, ret);
	*ret = (struct pq_value){.type = PROMQL_VECTOR};
	if (!open_selection(ev, n, from, to, &sel)) return false;
	count = tsdb_selection_count(sel);
	ret->at = pq_take(ev, count, sizeof *ret->at);
	if (!ret->at) return false;
	for (uint32_t i = 0; i < count; i++) {
		bool some = false;
		/* anchored: the newest sample, whatever marker stands behind it. */
		if (!read_series(ev, sel, i, from, to, n->u.sel.extend == PQ_X_ANCHORED))
			return false;
		if (!ev->read.n) continue;
		if (!v && !(v = pq_take(ev, g->n, sizeof *v))) return false;
		last_samples(ev, n, g, times, v);
		for (uint32_t k = 0; k < g->n && !some; k++)
			some = !pq_is_none(v[k]);
		if (!some) continue;
		ret->at[ret->n++] = (struct pq_column){tsdb_selection_labels(sel, i), v, false};
		v = NULL;
	}
	return true;
}

/* ---- ranges ---- */

/* The first multiple of the step after the window's start, as Prometheus aligns subqueries. */
static bool sub_grid(
        struct pq_ev *ev, const struct pq_node *n, int64_t from, int64_t to, struct pq_grid *ret)
{
	int64_t step = n->step ? n->step_ms : ev->o.subquery_step_ms;
	int64_t start = step * (from / step);
	if (start <= from) start += step;
	if (start > to) {
		*ret = (struct pq_grid){start, step, 0};
		return true;
	}
	if ((to - start) / step >= 10000000)
		return pq_fail(ev, HG_E_QUERY_LIMIT, "a subquery has more than 10,000,000 steps");
	*ret = (struct pq_grid){start, step, (uint32_t)((to - start) / step) + 1};
	return true;
}

bool pq_ranges_open(
        struct pq_ev *ev, struct pq_node *n, const struct pq_grid *g, struct pq_ranges *r)
{
	bool sub = n->kind == PQ_K_SUBQUERY;
	enum pq_extend how = sub ? PQ_X_NONE : n->u.of->u.sel.extend;
	*r = (struct pq_ranges){.n = n, .h = sub ? n : n->u.of, .range_ms = n->range_ms};
	r->from = pq_window_end(r->h, g->start) - r->range_ms + 1;
	r->to = pq_window_end(r->h, pq_grid_at(g, g->n - 1));
	if (how != PQ_X_NONE) r->from -= ev->o.lookback_ms;
	if (how == PQ_X_SMOOTHED) r->to += ev->o.lookback_ms;
	if (!sub) {
		if (!open_selection(ev, n->u.of, r->from, r->to, &r->sel)) return false;
		r->count = tsdb_selection_count(r->sel);
		return true;
	}
	if (!sub_grid(ev, n, r->from - 1, r->to, &r->sub_grid)) return false;
	if (!r->sub_grid.n) return true;
	if (!pq_eval(ev, n->u.of, &r->sub_grid, &r->sub)) return false;
	r->count = r->sub.n;
	r->t = pq_take(ev, r->sub_grid.n, sizeof *r->t);
	r->v = pq_take(ev, r->sub_grid.n, sizeof *r->v);
	return r->t && r->v;
}

static bool next_of_sub(struct pq_ev *ev, struct pq_ranges *r, struct pq_samples *ret)
{
	const struct pq_column *c = &r->sub.at[r->i++];
	*ret = (struct pq_samples){c->ls, c->drop, r->t, r->v, 0};
	if (r->i % 32 == 0 && !pq_may_go_on(ev)) return false;
	for (uint32_t k = 0; k < r->sub_grid.n; k++) {
		if (pq_is_none(c->v[k])) continue;
		r->t[ret->n] = pq_grid_at(&r->sub_grid, k);
		r->v[ret->n++] = c->v[k];
	}
	return true;
}

bool pq_ranges_next(struct pq_ev *ev, struct pq_ranges *r, struct pq_samples *ret, bool *ret_more)
{
	*ret_more = r->i < r->count; /* and true after a failure */
	if (!*ret_more) return true;
	if (!r->sel) return next_of_sub(ev, r, ret);
	if (!read_series(ev, r->sel, r->i, r->from, r->to, true)) return false;
	*ret = (struct pq_samples){tsdb_selection_labels(r->sel, r->i), false, ev->read.t,
	        ev->read.v, (uint32_t)ev->read.n};
	r->i++;
	return true;
}

/* ---- smoothed instant selectors: between the neighbours by a straight line ---- */

static double between(const struct tsdb_samples *s, size_t hi, int64_t at, int64_t lookback_ms)
{
	/* s->t[hi - 1] ≤ at < s->t[hi] */
	bool before = hi > 0 && s->t[hi - 1] > at - lookback_ms;
	bool after = hi < s->n && s->t[hi] <= at + lookback_ms;
	if (before && s->t[hi - 1] == at) return s->v[hi - 1];
	if (before && after)
		return s->v[hi - 1] + (s->v[hi] - s->v[hi - 1]) * (double)(at - s->t[hi - 1]) /
		                              (double)(s->t[hi] - s->t[hi - 1]);
	if (before) return s->v[hi - 1];
	return pq_none();
}

bool pq_extended_select(
        struct pq_ev *ev, const struct pq_node *n, const struct pq_grid *g, struct pq_value *ret)
{
	int64_t from = pq_window_end(n, g->start) - ev->o.lookback_ms + 1;
	int64_t to = pq_window_end(n, pq_grid_at(g, g->n - 1)) + ev->o.lookback_ms;
	struct tsdb_selection *sel = NULL;
	uint32_t count;
	*ret = (struct pq_value){.type = PROMQL_VECTOR};
	if (!open_selection(ev, n, from, to, &sel)) return false;
	count = tsdb_selection_count(sel);
	ret->at = pq_take(ev, count, sizeof *ret->at);
	if (!ret->at) return false;
	for (uint32_t i = 0; i < count; i++) {
		size_t hi = 0;
		double *v;
		if (!read_series(ev, sel, i, from, to, true)) return false;
		if (!ev->read.n) continue;
		if (!(v = pq_take(ev, g->n, sizeof *v))) return false;
		for (uint32_t k = 0; k < g->n; k++) {
			int64_t at = pq_window_end(n, pq_grid_at(g, k));
			while (hi < ev->read.n && ev->read.t[hi] <= at)
				hi++;
			v[k] = between(&ev->read, hi, at, ev->o.lookback_ms);
		}
		ret->at[ret->n++] = (struct pq_column){tsdb_selection_labels(sel, i), v, false};
	}
	return true;
}
