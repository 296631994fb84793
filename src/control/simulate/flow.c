#include "control/simulate/flow_priv.h"

#include <math.h>
#include <string.h>

#define SWEEP_MS 25.0  /* a request that is too old is seen so much later, on average */
#define LATE_MS  200.0 /* an answer that takes longer keeps its client waiting */
#define DEPTH    48

static const enum judge_metric limit_metric[FLOW_LIMITS] = {
        JUDGE_P50, JUDGE_P95, JUDGE_P99, JUDGE_RULE_P95, JUDGE_RULE_P95_RATIO};

/* ---- kinds ---- */

struct limits {
	uint32_t n;
	double ms[FLOW_LIMITS]; /* rising */
	uint8_t bit[FLOW_LIMITS];
};

static struct limits limits_of(const struct flow_arm *a)
{
	struct limits l = {0};
	for (uint32_t i = 0; i < FLOW_LIMITS; i++) {
		if (!(a->limit_ms[i] > 0)) continue;
		uint32_t at = l.n++;
		for (; at > 0 && l.ms[at - 1] > a->limit_ms[i]; at--)
			l.ms[at] = l.ms[at - 1], l.bit[at] = l.bit[at - 1];
		l.ms[at] = a->limit_ms[i];
		l.bit[at] = (uint8_t)(1u << limit_metric[i]);
	}
	return l;
}

/* At `after_ms` it adds to `mask`; what comes within a millisecond comes together. */
static void stage_add(struct flow_kind *k, double after_ms, uint8_t mask)
{
	struct flow_stage *last = k->stage_count ? &k->stage[k->stage_count - 1] : NULL;
	if (last && (after_ms - last->after_ms < 1 || k->stage_count == FLOW_STAGES)) {
		last->mask |= mask;
		return;
	}
	k->stage[k->stage_count++] =
	        (struct flow_stage){.after_ms = after_ms, .enters = !last, .mask = mask};
}

static struct flow_kind *kind_add(struct flow *f, double share, bool of_new, bool failed)
{
	if (!(share > 1e-12) || f->kinds == FLOW_KINDS) return NULL;
	struct flow_kind *k = &f->kind[f->kinds++];
	*k = (struct flow_kind){.share = share, .of_new = of_new, .failed = failed};
	return k;
}

/*
 * Where the response times of one way are cut: each part has its own mean. At the limits of both
 * arms, so that requests that go the same way on both end at the same moments: else what ends an
 * outage would end it for one of them first, and at a million requests a second that is evidence.
 */
struct cuts {
	uint32_t n;
	double ms[2 * FLOW_LIMITS + 3];
};

static void cut_add(struct cuts *c, double ms)
{
	uint32_t i = c->n++;
	for (; i > 0 && c->ms[i - 1] > ms; i--)
		c->ms[i] = c->ms[i - 1];
	c->ms[i] = ms;
}

static struct cuts cuts_of(const struct flow *f, const struct flow_way *w)
{
	static const double level[] = {0.25, 0.5, 0.95};
	struct cuts c = {0};
	for (uint32_t arm = 0; arm < 2; arm++)
		for (uint32_t i = 0; i < FLOW_LIMITS; i++)
			if (f->arm[arm].limit_ms[i] > 0) cut_add(&c, f->arm[arm].limit_ms[i]);
	for (uint32_t i = 0; i < HG_COUNT(level); i++)
		cut_add(&c, w->factor * sim_latency_quantile(f->base, level[i]) + w->plus_ms);
	return c;
}

/* Requests of one way that take between two times. */
static void kind_of_part(struct flow *f, const struct flow_way *w, const struct limits *l,
        double low_ms, double high_ms, double share, bool of_new)
{
	struct flow_kind *k = kind_add(f, share, of_new, w->failed);
	if (!k) return;
	double low = (low_ms - w->plus_ms) / w->factor, high = (high_ms - w->plus_ms) / w->factor;
	double end =
	        w->factor * sim_latency_mean_between(f->base, HG_MAX(low, 0), high) + w->plus_ms;
	uint32_t over = 0;
	for (; over < l->n && l->ms[over] <= low_ms; over++)
		stage_add(k, HG_MIN(end, l->ms[over] + SWEEP_MS), l->bit[over]);
	/* Without a limit that is exceeded it enters when it ends. */
	if (w->failed || over == 0) stage_add(k, end, w->failed ? 1u << JUDGE_ERRORS : 0);
	k->client_ms = end;
}

static void kind_of_hang(struct flow *f, const struct limits *l, double share, bool of_new)
{
	struct flow_kind *k = kind_add(f, share, of_new, true);
	if (!k) return;
	for (uint32_t i = 0; i < l->n && l->ms[i] + SWEEP_MS < f->timeout_ms; i++)
		stage_add(k, l->ms[i] + SWEEP_MS, l->bit[i]);
	stage_add(k, f->timeout_ms, 1u << JUDGE_ERRORS);
	k->client_ms = f->timeout_ms;
}

static void kinds_of_ways(
        struct flow *f, const struct flow_arm *a, const struct limits *l, double part, bool of_new)
{
	double left = part;
	for (uint32_t i = 0; i < a->ways; i++) {
		const struct flow_way *w = &a->way[i];
		double share = left * w->share, above = 1;
		left -= share;
		if (w->hangs) {
			kind_of_hang(f, l, share, of_new);
			continue;
		}
		struct cuts c = cuts_of(f, w);
		for (uint32_t k = 0; k <= c.n; k++) {
			double low = k ? c.ms[k - 1] : 0, high = k < c.n ? c.ms[k] : INFINITY;
			double next = sim_latency_above(f->base, (high - w->plus_ms) / w->factor);
			kind_of_part(f, w, l, low, high, share * (above - next), of_new);
			above = next;
		}
	}
}

static void kinds_of(struct flow *f, const struct flow_arm *a, bool of_new)
{
	struct limits l = limits_of(a), none = {0};
	if (!a->ready) {
		struct flow_kind *k = kind_add(f, 1, of_new, true);
		if (!k) return;
		k->nobody = true;
		stage_add(k, 0, 1u << JUDGE_ERRORS);
		return;
	}
	kinds_of_ways(f, a, &l, 1 - a->warm, of_new);
	kinds_of_ways(f, a, &none, a->warm, of_new);
}

void flow_prepare(struct flow *f)
{
	f->kinds = 0;
	kinds_of(f, &f->arm[0], false);
	kinds_of(f, &f->arm[1], true);
	/* A failure of the new release is answered by the old one afterwards. */
	double old = sim_latency_mean(f->base);
	for (uint32_t i = 0; i < f->kinds; i++)
		if (f->kind[i].of_new && f->kind[i].failed) f->kind[i].client_ms += old;
}

double flow_quick_ms(const struct flow *f, double weight)
{
	double sum = 0;
	for (uint32_t i = 0; i < f->kinds; i++) {
		const struct flow_kind *k = &f->kind[i];
		double share = k->share * (k->of_new ? weight : 1 - weight);
		if (k->client_ms < LATE_MS) sum += share * k->client_ms;
	}
	return sum;
}

/* ---- parcels ---- */

static struct flow_parcel *parcel_add(struct flow *f, struct flow_parcel p)
{
	if (p.n == 0) return NULL;
	/* Never in practice; nothing may be lost, so it joins what is there, at another time. */
	if (f->parcels == FLOW_PARCELS) f->parcels--;
	f->parcel[f->parcels] = p;
	return &f->parcel[f->parcels++];
}

static void kind_arrives(
        struct flow *f, struct flow_kind *k, uint32_t epoch, bool counts, double from, double till)
{
	k->first = UINT32_MAX;
	struct flow_parcel p = {.n = k->n, .epoch = epoch, .of_new = k->of_new, .fresh = true};
	for (uint32_t i = 0; i < k->stage_count && counts; i++) {
		const struct flow_stage *s = &k->stage[i];
		p.after_ms = s->after_ms;
		p.from_ms = from + s->after_ms;
		p.to_ms = till + s->after_ms;
		p.enters = s->enters;
		p.mask = s->mask;
		if (parcel_add(f, p) && i == 0) k->first = f->parcels - 1;
	}
	if (k->client_ms < LATE_MS) return;
	p.client = true;
	p.mask = 0;
	p.enters = false;
	p.after_ms = k->client_ms;
	p.from_ms = from + k->client_ms;
	p.to_ms = till + k->client_ms;
	if (parcel_add(f, p)) f->waiting += (double)k->n;
}

/* ---- a window, in order ---- */

struct due {
	uint32_t parcel;
	double from, to;
	uint64_t n, done;
};

struct play {
	struct flow *f;
	struct sim_world *w;
	struct due *due;
	uint32_t count;
	double tripped_at; /* -1: it did not */
};

/* The part of those of `d` that are due between a and b which is due before `at`. */
static double part_before(const struct due *d, double a, double b, double at)
{
	double from = HG_MAX(d->from, a), to = HG_MIN(d->to, b);
	if (to <= from) return from < at ? 1 : 0;
	double part = (at - from) / (to - from);
	return part < 0 ? 0 : part > 1 ? 1 : part;
}

static bool is_event(const struct flow_parcel *p)
{
	return p->of_new && p->mask;
}

/* Without asking the judge: known not to trip. */
static void take(struct play *p, const uint64_t *n)
{
	for (uint32_t i = 0; i < p->count; i++) {
		const struct flow_parcel *l = &p->f->parcel[p->due[i].parcel];
		struct judge_evidence *cell = l->client ? NULL : sim_cell(&p->w->edge, l->epoch);
		p->due[i].done += n[i];
		if (!cell || n[i] == 0) continue;
		if (l->enters) *(l->of_new ? &cell->n_new : &cell->n_old) += n[i];
		for (uint32_t m = 0; m < JUDGE_METRICS; m++)
			if (l->mask & 1u << m)
				*(l->of_new ? &cell->count[m].c : &cell->count[m].s) +=
				        (uint32_t)n[i];
	}
}

/* In any order of these: can the trial trip? All that is against the new release and nothing that
 * is for it. Each part of the verdict only grows by that, so it is a bound. */
static bool may_trip(struct play *p, const uint64_t *n, uint64_t *ret_events)
{
	struct sim_edge *e = &p->w->edge;
	uint32_t epoch = e->split.epoch;
	uint64_t events = 0;
	if (!sim_edge_judges(e, epoch)) return false;
	const struct judge_evidence *cell = sim_cell(e, epoch);
	if (!cell) return false;
	struct judge_evidence most = *cell;
	for (uint32_t i = 0; i < p->count; i++) {
		const struct flow_parcel *l = &p->f->parcel[p->due[i].parcel];
		if (n[i] == 0 || l->client || l->epoch != epoch) continue;
		if (!l->of_new && l->enters) most.n_old += n[i];
		if (!is_event(l)) continue;
		events += n[i];
		for (uint32_t m = 0; m < JUDGE_METRICS; m++)
			if (l->mask & 1u << m) most.count[m].c += (uint32_t)n[i];
	}
	*ret_events = events;
	if (events == 0) return false;
	p->f->decisions++;
	return judge_decide(&e->lens, &most, NULL) == JUDGE_BAD;
}

/* Exactly one event: before it, it, after it. */
static bool play_one(struct play *p, const uint64_t *n, double a, double b)
{
	uint64_t before[FLOW_DUE] = {0}, after[FLOW_DUE] = {0};
	uint32_t the = 0;
	struct hg_rand *r = &p->w->rand;
	for (uint32_t i = 0; i < p->count; i++) {
		const struct flow_parcel *l = &p->f->parcel[p->due[i].parcel];
		if (n[i] && is_event(l) && l->epoch == p->w->edge.split.epoch) the = i;
	}
	struct due *d = &p->due[the];
	double from = HG_MAX(d->from, a), to = HG_MIN(d->to, b);
	double at = to > from ? from + hg_rand_unit(r) * (to - from) : from;
	for (uint32_t i = 0; i < p->count; i++) {
		before[i] = i == the ? 0 : sim_binomial(r, n[i], part_before(&p->due[i], a, b, at));
		after[i] = i == the ? 0 : n[i] - before[i];
	}
	take(p, before);
	const struct flow_parcel *l = &p->f->parcel[d->parcel];
	d->done++;
	p->f->decisions++;
	if (sim_edge_event(&p->w->edge, l->epoch, true, l->enters, l->mask)) {
		p->tripped_at = at;
		return true;
	}
	take(p, after);
	return false;
}

/* Too many events that hover at the threshold: they are looked at together, at their end. */
static bool play_slice(struct play *p, const uint64_t *n, double b)
{
	struct sim_edge *e = &p->w->edge;
	p->f->sliced++;
	take(p, n);
	const struct judge_evidence *cell = sim_cell(e, e->split.epoch);
	if (!cell || judge_decide(&e->lens, cell, NULL) != JUDGE_BAD) return false;
	e->tripped = true;
	p->tripped_at = b;
	return true;
}

static bool play(struct play *p, const uint64_t *n, double a, double b, int depth)
{
	uint64_t first[FLOW_DUE] = {0}, events = 0;
	if (!may_trip(p, n, &events)) {
		take(p, n);
		return false;
	}
	if (events == 1) {
		p->f->leaves++;
		return play_one(p, n, a, b);
	}
	if (depth == DEPTH || p->f->leaves > FLOW_LEAVES) return play_slice(p, n, b);
	double middle = (a + b) / 2;
	for (uint32_t i = 0; i < p->count; i++)
		first[i] = sim_binomial(&p->w->rand, n[i], part_before(&p->due[i], a, b, middle));
	if (play(p, first, a, middle, depth + 1)) return true;
	for (uint32_t i = 0; i < p->count; i++)
		first[i] = n[i] - first[i];
	return play(p, first, middle, b, depth + 1);
}

/* ---- a window ---- */

static uint32_t due_of(struct flow *f, struct hg_rand *r, double till, struct due *due)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < f->parcels && count < FLOW_DUE; i++) {
		struct flow_parcel *p = &f->parcel[i];
		if (p->from_ms >= till || p->n == 0) continue;
		double span = p->to_ms - p->from_ms;
		bool all = p->to_ms <= till || !(span > 0);
		uint64_t n = all ? p->n : sim_binomial(r, p->n, (till - p->from_ms) / span);
		due[count++] = (struct due){
		        .parcel = i, .from = p->from_ms, .to = HG_MIN(p->to_ms, till), .n = n};
	}
	return count;
}

/* What was due is no longer under way. After a trip at `end` those that had not arrived by then
 * do not arrive. */
static void settle(struct flow *f, struct hg_rand *r, const struct due *due, uint32_t count,
        double end, bool tripped)
{
	for (uint32_t i = 0; i < count; i++) {
		struct flow_parcel *p = &f->parcel[due[i].parcel];
		if (p->client) f->waiting -= (double)due[i].done;
		p->n -= due[i].done;
		p->from_ms = HG_MAX(p->from_ms, HG_MIN(end, p->to_ms));
	}
	for (uint32_t i = 0; i < f->parcels && tripped; i++) {
		struct flow_parcel *p = &f->parcel[i];
		double last = end + p->after_ms, span = p->to_ms - p->from_ms;
		if (!p->fresh || last >= p->to_ms) continue;
		uint64_t kept = span > 0 && last > p->from_ms
		                        ? sim_binomial(r, p->n, (last - p->from_ms) / span)
		                        : 0;
		if (p->client) f->waiting -= (double)(p->n - kept);
		p->n = kept;
		p->to_ms = HG_MAX(last, p->from_ms);
	}
}

/* So many of a kind arrived before `end`: those that were due, and those that are left. */
static uint64_t arrived(const struct flow *f, struct hg_rand *r, const struct flow_kind *k,
        const struct due *due, uint32_t count, double part)
{
	if (k->n == 0 || k->first == UINT32_MAX) return sim_binomial(r, k->n, part);
	uint64_t n = f->parcel[k->first].n;
	for (uint32_t i = 0; i < count; i++)
		if (due[i].parcel == k->first) n += due[i].done;
	return n;
}

static void account(struct flow *f, struct sim_world *w, const struct flow_kind *k, uint64_t n)
{
	struct flow_totals *t = &f->total;
	bool rescue = w->edge.split.flags & RO_SPLIT_RESCUE;
	if (k->nobody && !f->arm[0].ready && !f->arm[1].ready) {
		t->unserved += n;
		return;
	}
	if (!k->of_new) {
		t->old += n;
		if (k->failed && !(k->nobody && f->arm[1].ready)) t->seen_old += n;
		return;
	}
	t->new_ += n;
	if (!k->failed) return;
	t->failed_new += n;
	uint64_t can = f->arm[0].ready ? n : 0;
	if (can && !k->nobody) can = rescue ? sim_binomial(&w->rand, n, 1 - f->unsafe) : 0;
	/* The old release may fail it too. */
	double fails = 0, left = 1;
	for (uint32_t i = 0; i < f->arm[0].ways; i++) {
		if (f->arm[0].way[i].failed) fails += left * f->arm[0].way[i].share;
		left -= left * f->arm[0].way[i].share;
	}
	uint64_t rescued = can - sim_binomial(&w->rand, can, fails);
	t->rescued += rescued;
	t->seen_new += n - rescued;
}

static void tidy(struct flow *f)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < f->parcels; i++) {
		f->parcel[i].fresh = false;
		if (f->parcel[i].n) f->parcel[kept++] = f->parcel[i];
	}
	f->parcels = kept;
}

double flow_window(struct flow *f, struct sim_world *w, double from_ms, double till_ms,
        double rate_ms, double most, double weight)
{
	struct due due[FLOW_DUE] = {0};
	uint64_t n[FLOW_DUE] = {0};
	struct hg_rand *r = &w->rand;
	struct sim_edge *e = &w->edge;
	uint64_t all = sim_poisson(r, rate_ms * (till_ms - from_ms));
	if ((double)all > most) all = (uint64_t)most;
	if (all) e->traffic = true;
	uint64_t left[2] = {0, sim_binomial(r, all, weight)};
	left[0] = all - left[1];
	double share[2] = {1, 1};
	bool counts = (e->split.flags & RO_SPLIT_JUDGE) && !e->tripped;
	f->windows++;
	f->leaves = 0;
	for (uint32_t i = 0; i < f->kinds; i++) {
		struct flow_kind *k = &f->kind[i];
		double part = share[k->of_new] > 0 ? k->share / share[k->of_new] : 1;
		/* The last of an arm takes what is left, whatever rounding did to the shares. */
		bool last = i + 1 == f->kinds || f->kind[i + 1].of_new != k->of_new;
		k->n = last ? left[k->of_new] : sim_binomial(r, left[k->of_new], part);
		left[k->of_new] -= k->n;
		share[k->of_new] -= k->share;
		kind_arrives(f, k, e->split.epoch, counts, from_ms, till_ms);
	}
	struct play p = {.f = f, .w = w, .due = due, .tripped_at = -1};
	p.count = due_of(f, r, till_ms, due);
	for (uint32_t i = 0; i < p.count; i++)
		n[i] = due[i].n;
	bool tripped = play(&p, n, from_ms, till_ms, 0);
	double end = tripped ? p.tripped_at : till_ms;
	settle(f, r, due, p.count, end, tripped);
	for (uint32_t i = 0; i < f->kinds; i++) {
		struct flow_kind *k = &f->kind[i];
		uint64_t came = k->n;
		if (tripped)
			came = arrived(
			        f, r, k, due, p.count, (end - from_ms) / (till_ms - from_ms));
		account(f, w, k, came);
	}
	tidy(f);
	return end;
}
