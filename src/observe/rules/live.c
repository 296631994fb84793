/* What a rule's result does: alerts change, series are written, what is gone is marked. */
#include "rules_priv.h"

#include <stdio.h>
#include <stdlib.h>

struct writing {
	struct tsdb *db;
	struct rules_live *l;
	int64_t t_ms;
	struct labels_builder b;
	enum hg_rc rc;
	struct hg_err err;
};

/* The place of a series among those that were written, made if it is new. NULL: no memory. */
static struct rules_written *written(struct writing *w, struct labels ls)
{
	struct rules_live *l = w->l;
	bool found;
	uint32_t at = labels_place(l->written, l->written_n, sizeof *l->written, ls, &found);
	if (found) return &l->written[at];
	if (l->written_n == l->written_cap) {
		uint32_t cap = l->written_cap ? l->written_cap * 2 : 8;
		struct rules_written *more = realloc(l->written, cap * sizeof *more);
		if (!more) return NULL;
		l->written = more;
		l->written_cap = cap;
	}
	struct labels own;
	if (labels_clone(ls, &own) < 0) return NULL;
	memmove(&l->written[at + 1], &l->written[at], (l->written_n - at) * sizeof *l->written);
	l->written[at] = (struct rules_written){.labels = own};
	l->written_n++;
	return &l->written[at];
}

static enum hg_rc append(struct writing *w, struct rules_written *s, double v)
{
	enum hg_rc rc = s->ref ? tsdb_append(w->db, s->ref, w->t_ms, v) : HG_E_NOT_FOUND;
	if (rc != HG_E_NOT_FOUND) return rc;
	rc = tsdb_series(w->db, s->labels, &s->ref, &w->err);
	return rc == HG_OK ? tsdb_append(w->db, s->ref, w->t_ms, v) : rc;
}

/* A clock that was set back makes samples that the store refuses: they are only lost. */
static bool is_refusal(enum hg_rc rc)
{
	return rc == HG_E_TSDB_DUPLICATE || rc == HG_E_TSDB_ORDER || rc == HG_E_TSDB_AHEAD;
}

static void write_sample(struct writing *w, struct labels ls, double v)
{
	struct rules_written *s = written(w, ls);
	if (!s) {
		w->rc = hg_err_set(&w->err, HG_E_NOMEM, "memory is exhausted");
		return;
	}
	s->now = true;
	enum hg_rc rc = append(w, s, v);
	if (rc == HG_OK || is_refusal(rc) || w->rc < 0) return;
	w->rc = rc;
	if (!w->err.message[0])
		hg_err_set(&w->err, rc, "the store did not take it: %s", hg_rc_info(rc)->summary);
}

/* What the last evaluation wrote and this one did not has ended. */
static void mark_gone(struct writing *w)
{
	struct rules_live *l = w->l;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < l->written_n; i++) {
		struct rules_written *s = &l->written[i];
		if (s->now) {
			s->now = false;
			l->written[kept++] = *s;
			continue;
		}
		/* Taken away in the millisecond in which it was written: the next one. What cannot
		 * be marked is forgotten by queries five minutes later. */
		int64_t t_ms = w->t_ms;
		if (s->ref && tsdb_last_ms(w->db, s->ref) == t_ms) w->t_ms++;
		enum hg_rc rc = append(w, s, tsdb_stale());
		(void)rc;
		w->t_ms = t_ms;
		labels_free(s->labels);
	}
	l->written_n = kept;
}

static void write_alert(struct writing *w, const struct rules_alert *a)
{
	struct labels ls = {0};
	labels_builder_reset(&w->b);
	labels_builder_from(&w->b, a->labels);
	labels_builder_set(&w->b, LABEL_METRIC, HG_STR("ALERTS_FOR_STATE"));
	if (labels_builder_done(&w->b, &ls) < 0) return;
	int64_t since_s = a->active_ms / 1000; /* whole ones, as Prometheus has it */
	write_sample(w, ls, (double)since_s);
	labels_builder_set(&w->b, LABEL_METRIC, HG_STR("ALERTS"));
	labels_builder_set(&w->b, HG_STR("alertstate"), hg_str(rules_state_name(a->state)));
	if (labels_builder_done(&w->b, &ls) < 0) return;
	write_sample(w, ls, 1);
}

static int by_labels(const void *a, const void *b)
{
	const struct rules_sample *x = a, *y = b;
	return labels_compare(x->labels, y->labels);
}

static enum hg_rc record(struct writing *w, const struct rules_live_group *g,
        struct rules_outcome *out, struct hg_err *err)
{
	if (out->n) qsort(out->samples, out->n, sizeof *out->samples, by_labels);
	for (uint32_t i = 1; i < out->n; i++)
		if (labels_equal(out->samples[i - 1].labels, out->samples[i].labels))
			return hg_err_set(err, HG_E_RULES_DUPLICATE,
			        "vector contains metrics with the same labelset after applying "
			        "rule labels");
	if (g->group->limit && out->n > g->group->limit)
		return hg_err_set(err, HG_E_RULES_LIMIT, "exceeded limit of %u with %u series",
		        g->group->limit, out->n);
	for (uint32_t i = 0; i < out->n; i++)
		write_sample(w, out->samples[i].labels, out->samples[i].value);
	return HG_OK;
}

static enum hg_rc alerts(struct writing *w, const struct rules_live_group *g,
        const struct rules_outcome *out, int64_t now_ms, uint64_t change, struct hg_err *err)
{
	struct rules_live *l = w->l;
	const struct rules_ask ask = {.now_ms = now_ms,
	        .for_ms = l->rule->for_ms,
	        .keep_firing_ms = l->rule->keep_firing_ms,
	        .interval_ms = g->interval_ms,
	        .limit = g->group->limit,
	        .change = change,
	        .restoring = !l->restored,
	        .samples = out->samples,
	        .n = out->n};
	enum hg_rc rc = rules_decide(&l->alerts, &ask, err);
	for (uint32_t i = 0; rc == HG_OK && i < l->alerts.n; i++)
		if (l->alerts.at[i].state != RULES_INACTIVE) write_alert(w, &l->alerts.at[i]);
	return rc;
}

static bool any_changed(const struct rules_live *l, uint64_t change)
{
	for (uint32_t i = 0; i < l->alerts.n; i++)
		if (l->alerts.at[i].changed == change) return true;
	return false;
}

bool rules_take(struct tsdb *db, struct rules_live *l, const struct rules_live_group *g,
        struct rules_outcome *out, int64_t now_ms, uint64_t change)
{
	struct writing w = {.db = db, .l = l, .t_ms = now_ms - g->offset_ms};
	struct hg_err err = {0};
	enum hg_rc rc = out->rc;
	l->asked = true;
	l->last_ms = now_ms;
	l->template_errors += out->template_errors;
	if (rc < 0) {
		err = out->err;
	} else {
		labels_builder_init(&w.b);
		rc = l->rule->alerting ? alerts(&w, g, out, now_ms, change, &err)
		                       : record(&w, g, out, &err);
		labels_builder_fini(&w.b);
		if (rc == HG_OK) mark_gone(&w);
		if (rc == HG_OK && w.rc < 0) {
			rc = w.rc;
			err = w.err;
		}
	}
	l->error[0] = 0;
	if (rc < 0)
		(void)snprintf(l->error, sizeof l->error, "%s",
		        err.message[0] ? err.message : hg_rc_info(rc)->summary);
	return l->rule->alerting && any_changed(l, change);
}

void rules_group_run(struct tsdb *db, struct rules_live_group *g, const struct rules_world *base,
        int64_t now_ms, uint64_t *change)
{
	struct rules_world w = *base;
	struct rules_outcome out;
	w.now_ms = now_ms;
	w.offset_ms = g->offset_ms;
	for (uint32_t i = 0; i < g->n; i++) {
		rules_evaluate(g->rules[i].rule, &w, &out);
		if (rules_take(db, &g->rules[i], g, &out, now_ms, *change + 1)) ++*change;
		rules_outcome_free(&out);
	}
	g->last_ms = now_ms;
	g->iterations++;
}

void rules_live_end(struct tsdb *db, struct rules_live *l, int64_t now_ms)
{
	struct writing w = {.db = db, .l = l, .t_ms = now_ms};
	for (uint32_t i = 0; i < l->written_n; i++)
		l->written[i].now = false;
	mark_gone(&w);
}

void rules_live_fini(struct rules_live *l)
{
	for (uint32_t i = 0; i < l->written_n; i++)
		labels_free(l->written[i].labels);
	free(l->written);
	rules_alerts_free(&l->alerts);
	*l = (struct rules_live){0};
}
