#include "observe/rules/decide.h"

#include <stdlib.h>

const char *rules_state_name(enum rules_state s)
{
	static const char *const name[] = {"inactive", "pending", "firing"};
	return name[s];
}

static void alert_fini(struct rules_alert *a)
{
	labels_free(a->labels);
	labels_free(a->annotations);
}

void rules_alerts_free(struct rules_alerts *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		alert_fini(&s->at[i]);
	free(s->at);
	*s = (struct rules_alerts){0};
}

static int by_labels(const void *a, const void *b)
{
	const struct rules_sample *const *x = a, *const *y = b;
	return labels_compare((*x)->labels, (*y)->labels);
}

/*
 * A pause of a few evaluations, as when the process is started again, is none: the alert was active
 * all the time. After a longer one it is as in Prometheus: what was nearly due waits for the grace
 * period, what had longer to wait does not count the time that nobody looked.
 */
int64_t rules_active_since(const struct rules_before *b, const struct rules_ask *ask)
{
	int64_t down = ask->now_ms - b->last_ms;
	if (!b->known || down > RULES_OUTAGE_MAX_MS || b->active_ms > ask->now_ms)
		return ask->now_ms;
	if (down <= RULES_SHORT_OUTAGE * ask->interval_ms) return b->active_ms;
	if (ask->for_ms < RULES_GRACE_MS) return ask->now_ms;
	int64_t left = ask->for_ms - (b->last_ms - b->active_ms);
	if (left <= 0) return b->active_ms;
	if (left < RULES_GRACE_MS) return ask->now_ms + RULES_GRACE_MS - ask->for_ms;
	return b->active_ms + down;
}

bool rules_knows(int64_t after_start_ms, int64_t settle_ms, int64_t keep_firing_ms)
{
	return after_start_ms >= HG_MAX(settle_ms, keep_firing_ms);
}

static enum hg_rc alert_make(
        const struct rules_sample *s, const struct rules_ask *ask, struct rules_alert *ret)
{
	*ret = (struct rules_alert){
	        .value = s->value, .state = RULES_PENDING, .active_ms = ask->now_ms, .seen = true};
	if (labels_clone(s->labels, &ret->labels) < 0) return HG_E_NOMEM;
	if (labels_clone(s->annotations, &ret->annotations) < 0) {
		labels_free(ret->labels);
		return HG_E_NOMEM;
	}
	if (!ask->restoring || !s->before.known) return HG_OK;
	ret->active_ms = rules_active_since(&s->before, ask);
	bool short_pause = ask->now_ms - s->before.last_ms <= RULES_SHORT_OUTAGE * ask->interval_ms;
	if (!s->before.firing || !short_pause || ret->active_ms == ask->now_ms) return HG_OK;
	ret->state = RULES_FIRING;
	ret->fired_ms = ret->active_ms + ask->for_ms;
	ret->changed = ask->change;
	return HG_OK;
}

/* New ones behind the others, into a list of their own: until all are made nothing has changed. */
struct fresh {
	struct rules_alert *at;
	struct labels *notes; /* of those that are there already; same order as the samples */
	uint32_t n;
};

static void fresh_free(struct fresh *f, uint32_t notes)
{
	for (uint32_t i = 0; i < f->n; i++)
		alert_fini(&f->at[i]);
	for (uint32_t i = 0; i < notes; i++)
		labels_free(f->notes[i]);
	free(f->at);
	free(f->notes);
}

static enum hg_rc prepare(const struct rules_alerts *s, const struct rules_ask *ask,
        const struct rules_sample **sorted, struct fresh *f)
{
	f->at = calloc(ask->n + 1ul, sizeof *f->at);
	f->notes = calloc(ask->n + 1ul, sizeof *f->notes);
	enum hg_rc rc = f->at && f->notes ? HG_OK : HG_E_NOMEM;
	for (uint32_t i = 0; rc == HG_OK && i < ask->n; i++) {
		bool found;
		uint32_t at = labels_place(s->at, s->n, sizeof *s->at, sorted[i]->labels, &found);
		if (found && s->at[at].state != RULES_INACTIVE)
			rc = labels_clone(sorted[i]->annotations, &f->notes[i]);
		else
			rc = alert_make(sorted[i], ask, &f->at[f->n]);
		if (rc == HG_OK && !(found && s->at[at].state != RULES_INACTIVE)) f->n++;
	}
	if (rc == HG_OK) return rc;
	if (f->at && f->notes) {
		fresh_free(f, ask->n);
	} else {
		free(f->at);
		free(f->notes);
	}
	return rc;
}

static bool grow(struct rules_alerts *s, uint32_t more)
{
	if (s->n + more <= s->cap) return true;
	uint32_t cap = HG_MAX(s->cap * 2, s->n + more);
	struct rules_alert *at = realloc(s->at, cap * sizeof *at);
	if (!at) return false;
	s->at = at;
	s->cap = cap;
	return true;
}

/* Cannot fail: room was made. */
static void take(struct rules_alerts *s, const struct rules_ask *ask,
        const struct rules_sample **sorted, struct fresh *f)
{
	uint32_t fresh = 0;
	for (uint32_t i = 0; i < s->n; i++)
		s->at[i].seen = false;
	for (uint32_t i = 0; i < ask->n; i++) {
		bool found;
		uint32_t at = labels_place(s->at, s->n, sizeof *s->at, sorted[i]->labels, &found);
		if (found && s->at[at].state != RULES_INACTIVE) {
			labels_free(s->at[at].annotations);
			s->at[at].annotations = f->notes[i];
			s->at[at].value = sorted[i]->value;
			s->at[at].seen = true;
			continue;
		}
		if (found) {
			alert_fini(&s->at[at]);
		} else {
			memmove(&s->at[at + 1], &s->at[at], (s->n - at) * sizeof *s->at);
			s->n++;
		}
		s->at[at] = f->at[fresh++];
	}
}

/* True when it is to be forgotten. */
static bool ended(struct rules_alert *a, const struct rules_ask *ask, bool *ret_active)
{
	bool keep = false;
	*ret_active = false;
	if (a->state == RULES_FIRING && ask->keep_firing_ms > 0) {
		if (!a->keep_since_ms) a->keep_since_ms = ask->now_ms;
		keep = ask->now_ms - a->keep_since_ms < ask->keep_firing_ms;
	}
	if (a->state == RULES_PENDING) return true;
	if (a->resolved_ms && ask->now_ms - a->resolved_ms > RULES_KEEP_RESOLVED_MS) return true;
	if (a->state == RULES_FIRING && !keep) {
		a->state = RULES_INACTIVE;
		a->resolved_ms = ask->now_ms;
		a->changed = ask->change;
	}
	*ret_active = keep;
	return false;
}

static uint32_t advance(struct rules_alerts *s, const struct rules_ask *ask)
{
	uint32_t kept = 0, active = 0;
	for (uint32_t i = 0; i < s->n; i++) {
		struct rules_alert *a = &s->at[i];
		bool live = a->seen;
		if (live) {
			a->keep_since_ms = 0;
		} else if (ended(a, ask, &live)) {
			alert_fini(a);
			continue;
		}
		if (live) active++;
		if (live && a->state == RULES_PENDING &&
		        ask->now_ms - a->active_ms >= ask->for_ms) {
			a->state = RULES_FIRING;
			a->fired_ms = ask->now_ms;
			a->changed = ask->change;
		}
		s->at[kept++] = *a;
	}
	s->n = kept;
	return active;
}

enum hg_rc rules_decide(struct rules_alerts *s, const struct rules_ask *ask, struct hg_err *err)
{
	struct fresh f = {0};
	if (ask->n > RULES_ALERTS_MAX)
		return hg_err_set(err, HG_E_RULES_LIMIT,
		        "the rule gives %u alerts; the limit is %u", ask->n, RULES_ALERTS_MAX);
	const struct rules_sample **sorted = calloc(ask->n + 1ul, sizeof *sorted);
	if (!sorted) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	for (uint32_t i = 0; i < ask->n; i++)
		sorted[i] = &ask->samples[i];
	if (ask->n) qsort(sorted, ask->n, sizeof *sorted, by_labels);
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 1; rc == HG_OK && i < ask->n; i++)
		if (labels_equal(sorted[i - 1]->labels, sorted[i]->labels))
			rc = hg_err_set(err, HG_E_RULES_DUPLICATE,
			        "vector contains metrics with the same labelset after applying "
			        "alert labels");
	if (rc == HG_OK) {
		rc = grow(s, ask->n) ? prepare(s, ask, sorted, &f) : HG_E_NOMEM;
		if (rc < 0) hg_err_set(err, rc, "memory is exhausted");
	}
	if (rc == HG_OK) {
		take(s, ask, sorted, &f);
		free(f.at);
		free(f.notes);
		uint32_t active = advance(s, ask);
		if (ask->limit && active > ask->limit) {
			rules_alerts_free(s);
			rc = hg_err_set(err, HG_E_RULES_LIMIT,
			        "exceeded limit of %u with %u alerts", ask->limit, active);
		}
	}
	free(sorted);
	return rc;
}
