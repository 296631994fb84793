/* Notes about histograms: classic ones whose buckets are missed, and native ones, which are not
 * there. */
#include "lint_priv.h"

static bool is_bucket(struct hg_str name)
{
	static const char *const part[] = {"_bucket", NULL};
	/* Names with ":" are recorded, and may be called anything. */
	return pl_has_any(name, part) || hg_str_find(name, ':') < name.n || !name.n;
}

static void quantile_fix(struct lint *l, const struct pq_node *n, struct hg_str metric)
{
	const struct pq_node *sel = pl_selector(n->u.call.arg[1]);
	hg_buf_reset(&l->fix);
	hg_buf_cstr(&l->fix, "histogram_quantile(");
	pq_node_print(&l->fix, n->u.call.arg[0]);
	hg_buf_cstr(&l->fix, ", sum by (le) (rate(");
	hg_buf_str(&l->fix, metric);
	if (!pl_has_any(metric, (const char *const[]){"_bucket", NULL}))
		hg_buf_cstr(&l->fix, "_bucket");
	bool any = false;
	for (uint32_t i = 0; sel && i < sel->u.sel.n; i++) {
		static const char *const op[] = {"=", "!=", "=~", "!~"};
		const struct label_matcher *m = &sel->u.sel.m[i];
		if (hg_str_eq(m->name, LABEL_METRIC)) continue;
		hg_buf_fmt(&l->fix, "%s%.*s%s", any ? "," : "{", HG_STR_ARG(m->name), op[m->op]);
		pq_quote(&l->fix, m->value);
		any = true;
	}
	hg_buf_cstr(&l->fix, any ? "}[5m])))" : "[5m])))");
}

static void check_quantile(struct lint *l, const struct pq_node *n)
{
	double phi;
	struct pl_shape s;
	if (!pl_is_call(n, PQ_F_HISTOGRAM_QUANTILE)) return;
	const struct pq_node *of = n->u.call.arg[1], *sel = pl_selector(of);
	struct hg_str name = sel ? pl_metric(sel) : (struct hg_str){"", 0};
	if (pl_number(n->u.call.arg[0], &phi) && phi > 1) {
		hg_buf_fmt(&l->fix, "%g", phi / 100);
		pl_note(l, "value", n->u.call.arg[0],
		        "a quantile lies between 0 and 1; histogram_quantile(%g, …) is +Inf", phi);
	}
	pl_shape(of, &s);
	if (sel && !is_bucket(name)) {
		quantile_fix(l, n, name);
		pl_note(l, "never", n,
		        "can never have a result: the buckets are the series %.*s_bucket, "
		        "with a label le; %.*s has none",
		        HG_STR_ARG(name), HG_STR_ARG(name));
		l->stopped = n;
	} else if (!pl_may(&s, HG_STR("le"))) {
		if (sel) quantile_fix(l, n, name);
		pl_note(l, "never", n,
		        "can never have a result: the label le, which tells the buckets, is "
		        "aggregated away");
		l->stopped = n;
	} else if (sel && hg_str_find(name, ':') == name.n && !pl_below(of, pl_is_rate)) {
		quantile_fix(l, n, name);
		pl_note(l, "type", n,
		        "buckets are counters: without rate() this is the quantile of all requests "
		        "since the process has started");
	}
}

/* ---- native histograms ---- */

/* The series of a classic histogram that says the same; NULL: none does. */
static const char *classic_part(enum pq_fn_id id)
{
	switch (id) {
	case PQ_F_HISTOGRAM_COUNT: return "_count";
	case PQ_F_HISTOGRAM_SUM: return "_sum";
	case PQ_F_HISTOGRAM_AVG: return "_sum by its _count";
	default: return NULL;
	}
}

static bool is_native_call(const struct pq_node *n)
{
	return pl_is_call(n, PQ_F_HISTOGRAM_COUNT) || pl_is_call(n, PQ_F_HISTOGRAM_SUM) ||
	       pl_is_call(n, PQ_F_HISTOGRAM_AVG) || pl_is_call(n, PQ_F_HISTOGRAM_STDDEV) ||
	       pl_is_call(n, PQ_F_HISTOGRAM_STDVAR);
}

static void check_native(struct lint *l, const struct pq_node *n)
{
	bool trims = n->kind == PQ_K_BINARY && pq_op_trims(n->u.bin.op);
	if (!trims && !is_native_call(n)) return;
	l->stopped = n;
	if (trims) {
		pl_note(l, "never", n,
		        "can never have a result: \"%s\" trims native histograms, which are not "
		        "built",
		        pq_op_name(n->u.bin.op));
		return;
	}
	const struct pq_node *sel = pl_selector(n->u.call.arg[0]);
	const char *part = classic_part(n->u.call.fn->id);
	struct hg_str name = sel ? pl_metric(sel) : (struct hg_str){"", 0};
	if (!part || !name.n)
		pl_note(l, "never", n,
		        "can never have a result: %s() reads native histograms, which are not "
		        "built",
		        n->u.call.fn->name);
	else
		pl_note(l, "never", n,
		        "can never have a result: %s() reads native histograms, which are not "
		        "built; of a classic one it is %.*s%s",
		        n->u.call.fn->name, HG_STR_ARG(name), part);
}

void pl_check_histogram(struct lint *l, const struct pq_node *n)
{
	check_quantile(l, n);
	check_native(l, n);
}
