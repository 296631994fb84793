/*
 * The judge's slow twin, by the definition: it keeps every event, and at each question multiplies
 * the likelihood ratios from the start and from every restart anew, in long double. Shares no
 * formula with src/math/judge: shares are built from q_k and p_k as the papers write them.
 */
#ifndef TESTS_UNIT_MATH_JUDGE_REF_H
#define TESTS_UNIT_MATH_JUDGE_REF_H

#include <math.h>
#include <string.h>

#include "math/judge.h"

#define REF_EVENTS   128
#define REF_RESTARTS 64

struct ref_event {
	struct judge_evidence d; /* differences */
	double w;
	long double above_p0; /* 1: the rule error_above does not know yet, or leaves this out */
	unsigned tick;        /* of one number: between two ticks; what came late has its own */
};

struct ref {
	struct judge_rules rules;
	struct ref_event event[REF_EVENTS];
	unsigned events, restart[REF_RESTARTS], restarts, epochs, looks, ticks, tick, lates;
	long double weight[REF_RESTARTS];
	double w;
	long double above_p0;
	struct judge_evidence epoch; /* totals since the epoch began */
};

static long double ref_rk(unsigned m, unsigned k)
{
	static const double relative[] = {1.5, 2, 3, 5, 10, 30, 100, 1000};
	static const double absolute[] = {1.25, 1.5, 2, 3, 5, 10, 30, 100};
	bool rule =
	        m == JUDGE_RULE_ERROR_RATE || m == JUDGE_RULE_P95 || m == JUDGE_RULE_ERROR_ABOVE;
	return rule ? absolute[k] : relative[k];
}

/* Log ratio of one event under alternative k of metric m; `bad`: an event of the new release. */
static long double ref_ratio(
        const struct ref *r, const struct ref_event *e, unsigned m, unsigned k, bool bad)
{
	long double p0, p1, w = e->w;
	if (m == JUDGE_RULE_ERROR_RATE || m == JUDGE_RULE_P95 || m == JUDGE_RULE_ERROR_ABOVE) {
		p0 = m == JUDGE_RULE_P95          ? 0.05
		     : m == JUDGE_RULE_ERROR_RATE ? (long double)r->rules.error_rate
		                                  : e->above_p0;
		p1 = fminl(p0 * ref_rk(m, k), 0.999);
		if (!(p0 > 0 && p0 < 0.999L)) return 0;
	} else {
		long double r0 = m == JUDGE_ERRORS ? r->rules.tolerance_errors : 1;
		if (w <= 0 || w >= 1) return 0;
		p0 = w * r0 / (w * r0 + 1 - w);
		p1 = w * r0 * ref_rk(m, k) / (w * r0 * ref_rk(m, k) + 1 - w);
	}
	return bad ? logl(p1 / p0) : logl((1 - p1) / (1 - p0));
}

/* What all events between two ticks say about latency has a limit, unless it was one. */
static long double ref_limited(unsigned m, double w, long double sum, uint64_t slow)
{
	bool latency =
	        m == JUDGE_P50 || m == JUDGE_P95 || m == JUDGE_P99 || m == JUDGE_RULE_P95_RATIO;
	if (!latency || slow < 2 || w <= 0 || w >= 1) return sum;
	return fminl(sum, logl(1 / fmaxl(0.5L, w)));
}

static long double ref_between(
        const struct ref *r, unsigned from, unsigned tick, unsigned m, unsigned k, bool old)
{
	long double sum = 0;
	uint64_t slow = 0;
	double w = 0;
	for (unsigned i = from; i < r->events; i++) {
		const struct ref_event *e = &r->event[i];
		if (e->tick != tick) continue;
		w = e->w;
		slow += e->d.count[m].c;
		bool errors = m == JUDGE_RULE_ERROR_RATE || m == JUDGE_RULE_ERROR_ABOVE;
		struct judge_count n = e->d.count[errors ? JUDGE_ERRORS : m];
		long double bad = n.c, well = n.s;
		if (errors || m == JUDGE_RULE_P95) {
			bad = old ? n.s : n.c;
			well = (long double)(old ? e->d.n_old : e->d.n_new) - bad;
		}
		if (bad > 0) sum += bad * ref_ratio(r, e, m, k, true);
		if (well > 0) sum += well * ref_ratio(r, e, m, k, false);
	}
	return ref_limited(m, w, sum, slow);
}

/* The product since event number `from`, of alternative k, as a logarithm. */
static long double ref_product(const struct ref *r, unsigned from, unsigned m, unsigned k, bool old)
{
	long double sum = 0;
	for (unsigned i = from; i < r->events; i++) {
		bool first = true;
		for (unsigned h = from; h < i; h++)
			first = first && r->event[h].tick != r->event[i].tick;
		if (first) sum += ref_between(r, from, r->event[i].tick, m, k, old);
	}
	return sum;
}

static long double ref_mean(const struct ref *r, unsigned from, unsigned m, bool old)
{
	long double sum = 0;
	for (unsigned k = 0; k < JUDGE_TERMS; k++)
		sum += expl(ref_product(r, from, m, k, old));
	return sum / JUDGE_TERMS;
}

static long double ref_v(unsigned j)
{
	return 6 / (acosl(-1) * acosl(-1) * j * j);
}

static long double ref_u(unsigned i)
{
	return 0.473L / ((i + 1) * logl(i + 1) * logl(i + 1));
}

static long double ref_e(const struct ref *r, unsigned m, bool old)
{
	long double e = ref_mean(r, 0, m, old) / 2, rest = 0.5L;
	for (unsigned j = 0; j < r->restarts; j++) {
		e += r->weight[j] * ref_mean(r, r->restart[j], m, old);
		rest -= r->weight[j];
	}
	return e + rest;
}

/* The largest rate that x of n do not refute with 1/alpha, by halving from above. */
static long double ref_upper(uint64_t x, uint64_t n, long double alpha)
{
	static const double ratio[] = {1.25, 1.5, 2, 3, 5, 10, 30, 100};
	long double low = 0, high = 1;
	if (x >= n) return 1;
	for (int i = 0; i < 70; i++) {
		long double p = (low + high) / 2, e = 0;
		for (unsigned k = 0; k < 8; k++)
			e += expl((long double)x * logl(1 / (long double)ratio[k]) +
			          (long double)(n - x) * logl((1 - p / ratio[k]) / (1 - p)));
		if (e / 8 >= 1 / alpha)
			high = p;
		else
			low = p;
	}
	return high;
}

static void ref_init(struct ref *r, const struct judge_rules *rules)
{
	memset(r, 0, sizeof *r);
	r->rules = *rules;
	r->above_p0 = 1;
}

static void ref_add(struct ref *r, const struct judge_evidence *d, double w, bool late)
{
	r->event[r->events++] = (struct ref_event){.d = *d,
	        .w = w,
	        .above_p0 = late ? 1 : r->above_p0,
	        .tick = late ? REF_EVENTS + r->lates++ : r->tick};
	if (late) return;
	for (unsigned m = 0; m < JUDGE_METRICS; m++) {
		r->epoch.count[m].c += d->count[m].c;
		r->epoch.count[m].s += d->count[m].s;
	}
	r->epoch.n_new += d->n_new;
	r->epoch.n_old += d->n_old;
}

static void ref_restart(struct ref *r, bool tick)
{
	r->weight[r->restarts] = (tick ? ref_u(++r->ticks) : ref_v(++r->looks)) / 4;
	r->restart[r->restarts++] = r->events;
}

static void ref_epoch(struct ref *r, double w)
{
	ref_restart(r, false);
	r->tick++;
	r->epochs++;
	r->w = w;
	r->above_p0 = 1;
	memset(&r->epoch, 0, sizeof r->epoch);
}

static void ref_tune(struct ref *r)
{
	r->tick++;
	if (!(r->rules.error_above > 0)) return;
	long double part = r->rules.alpha * 0.05L * ref_v(r->epochs);
	long double p = ref_upper(r->epoch.count[JUDGE_ERRORS].s, r->epoch.n_old, part);
	r->above_p0 = p + r->rules.error_above;
	if (r->above_p0 >= 0.999L) r->above_p0 = 1;
}

#endif
