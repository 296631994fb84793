/* rate and its relatives: a difference over a window, extrapolated to the window's bounds. */
#include "eval_priv.h"

#include <math.h>

/* What a counter lost in resets within the window. */
static double lost(const struct pq_win *w)
{
	double sum = 0;
	for (uint32_t i = 0; i < w->reset_n; i++)
		sum += w->v[w->reset[i] - w->base - 1];
	return sum;
}

static double extrapolated(const struct pq_win *w, bool counter, bool per_second)
{
	if (w->n < 2) return pq_none();
	const uint32_t last = w->n - 1;
	double result = w->v[last] - w->v[0];
	if (counter && w->reset_n) result += lost(w);
	double to_start = (double)(w->t[0] - w->start) / 1000;
	double to_end = (double)(w->end - w->t[last]) / 1000;
	double sampled = (double)(w->t[last] - w->t[0]) / 1000;
	double average = sampled / last, threshold = average * 1.1;
	/* A series that begins or ends within the window is extended by half an interval only. */
	if (to_start >= threshold) to_start = average / 2;
	if (counter) {
		/* A counter was never below zero: not further back than to there. */
		double to_zero = to_start;
		if (result > 0 && w->v[0] >= 0) to_zero = sampled * (w->v[0] / result);
		if (to_zero < to_start) to_start = to_zero;
	}
	if (to_end >= threshold) to_end = average / 2;
	double factor = (sampled + to_start + to_end) / sampled;
	if (per_second) factor /= (double)(w->end - w->start) / 1000;
	return result * factor;
}

double pq_rate(const struct pq_win *w)
{
	return extrapolated(w, true, true);
}

double pq_increase(const struct pq_win *w)
{
	return extrapolated(w, true, false);
}

double pq_delta(const struct pq_win *w)
{
	return extrapolated(w, false, false);
}

double pq_irate(const struct pq_win *w)
{
	if (w->n < 2) return pq_none();
	double before = w->v[w->n - 2], last = w->v[w->n - 1];
	double seconds = (double)(w->t[w->n - 1] - w->t[w->n - 2]) / 1000;
	return (last < before ? last : last - before) / seconds;
}

double pq_idelta(const struct pq_win *w)
{
	return w->n < 2 ? pq_none() : w->v[w->n - 1] - w->v[w->n - 2];
}

static bool ends(struct hg_str s, const char *with)
{
	return hg_str_ends(s, hg_str(with));
}

void pq_note_counter(struct pq_ev *ev, const struct pq_node *call, struct labels ls)
{
	struct hg_str name = pq_metric_name(ls), type = labels_get(ls, HG_STR("__type__"));
	if (!name.n) return;
	if (ev->o.types_and_units) {
		if (hg_str_eq(type, HG_STR("counter")) || hg_str_eq(type, HG_STR("histogram")))
			return;
		pq_note(ev, false, call->u.call.arg[0],
		        "metric might not be a counter, __type__ label is not set to \"counter\" "
		        "or "
		        "\"histogram\", got \"%.*s\": \"%.*s\"",
		        HG_STR_ARG(type), HG_STR_ARG(name));
		return;
	}
	if (ends(name, "_total") || ends(name, "_sum") || ends(name, "_count") ||
	        ends(name, "_bucket"))
		return;
	pq_note(ev, false, call->u.call.arg[0],
	        "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "
	        "\"%.*s\"",
	        HG_STR_ARG(name));
}
