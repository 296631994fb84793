#include "data/edge/edge_priv.h"
#include "os/clock.h"

/*
 * Evidence: first attempts only, of requests that could have gone either way. Each is counted in
 * the cell of the epoch it was drawn in, however late. First n, then the word: who reads in the
 * other order never sees more failures than requests. The worker whose addition completes the
 * proof trips the trial, and from then on every draw of every worker is the old release.
 *
 * A request that is not judged by latency adds to n but to no latency word. Comparisons of latency
 * use the words only, so this can hide a slow release for its first requests and never accuse one.
 */

static const enum judge_metric slow_metric[EDGE_SLOW_METRICS] = {
        JUDGE_P50, JUDGE_P95, JUDGE_P99, JUDGE_RULE_P95, JUDGE_RULE_P95_RATIO};

#define ALL_SLOW ((1u << EDGE_SLOW_METRICS) - 1)

static void enter(struct edge *e, struct edge_draw *d)
{
	struct meter_trial_count *n = &e->count->trial[d->trial->is.cell];
	if (d->entered) return;
	d->entered = true;
	meter_add(d->arm == EDGE_NEW ? &n->n_new : &n->n_old, 1);
	if (d->warm) meter_add(&n->warm_new, 1);
}

static void add(struct edge *e, struct edge_draw *d, enum judge_metric m)
{
	uint64_t one = d->arm == EDGE_NEW ? (uint64_t)1 << 32 : 1;
	enter(e, d);
	atomic_fetch_add_explicit(
	        &e->meter->cell[d->trial->is.cell].word[m], one, memory_order_acq_rel);
}

/* Adds each metric that this age exceeds and that was not added before. */
static bool add_slow(struct edge *e, struct edge_draw *d, uint64_t now_ns)
{
	const struct edge_trial *t = d->trial;
	uint64_t age = now_ns > d->start_ns ? now_ns - d->start_ns : 0;
	bool added = false;
	if (d->warm || age <= t->limit_min_ns[d->arm]) return false;
	for (unsigned i = 0; i < EDGE_SLOW_METRICS; i++) {
		if (d->over & 1u << i || age <= t->limit_ns[d->arm][i]) continue;
		d->over |= (uint8_t)(1u << i);
		add(e, d, slow_metric[i]);
		added = true;
	}
	return added;
}

static void evidence_read(
        struct edge *e, const struct snap_trial *t, struct judge_evidence *ret_evidence)
{
	struct meter_trial_sum sum;
	meter_trial_sum(e->meter, t->cell, &sum); /* words first, then n */
	for (int m = 0; m < JUDGE_METRICS; m++) {
		uint64_t word = sum.word[m] - t->base_word[m];
		ret_evidence->count[m] = (struct judge_count){
		        .c = (uint32_t)(word >> 32), .s = (uint32_t)(word & 0xffffffffu)};
	}
	ret_evidence->n_new = sum.n_new - t->base_new;
	ret_evidence->n_old = sum.n_old - t->base_old;
}

/* After every event of the new release. An epoch that is over is control's to judge. */
static void judge(struct edge *e, const struct edge_draw *d)
{
	const struct edge_trial *t = d->trial;
	struct meter_trial *word = &e->meter->trial[t->slot];
	struct judge_evidence now;
	if (d->arm != EDGE_NEW) return;
	edge_table_refresh(e, false);
	if (e->trial[t->slot] != t || meter_tripped(word, t->is.rollout)) return;
	evidence_read(e, &t->is, &now);
	if (judge_decide(&t->is.lens, &now, NULL) != JUDGE_BAD) return;
	/* Another worker may have been first: then it is done. */
	(void)meter_trip(word, t->is.rollout, t->is.epoch, clock_wall_ms());
}

/* A hang shows when it is too old, not when it ends. */
static void on_sweep(struct loop *l, struct loop_timer *timer)
{
	struct edge *e = HG_CONTAINER(timer, struct edge, sweep_timer);
	HG_LIST_EACH_SAFE (n, after, &e->judged) {
		struct edge_draw *d = HG_CONTAINER(n, struct edge_draw, node);
		if (add_slow(e, d, loop_now_ns(l))) judge(e, d);
		if (d->over == ALL_SLOW) hg_list_remove(&d->node);
	}
	/* Without memory for the timer: the next draw starts it. */
	if (!hg_list_empty(&e->judged) && loop_timer_start(l, timer, EDGE_SWEEP_MS, on_sweep) < 0)
		return;
}

void edge_evidence_begin(struct edge *e, struct edge_draw *d)
{
	if (d->trial->limit_min_ns[d->arm] == UINT64_MAX) return;
	hg_list_append(&e->judged, &d->node);
	if (loop_timer_active(&e->sweep_timer)) return;
	if (loop_timer_start(e->loop, &e->sweep_timer, EDGE_SWEEP_MS, on_sweep) < 0) return;
}

void edge_evidence_fail(struct edge *e, struct edge_draw *d)
{
	if (!d->evidence) return;
	d->evidence = false;
	hg_list_remove(&d->node);
	add(e, d, JUDGE_ERRORS);
	add_slow(e, d, loop_now_ns(e->loop));
	judge(e, d);
}

void edge_evidence_end(struct edge *e, struct edge_draw *d, bool whole)
{
	if (!d->evidence) return;
	d->evidence = false;
	hg_list_remove(&d->node);
	if (whole) enter(e, d);
	if (add_slow(e, d, loop_now_ns(e->loop))) judge(e, d);
}

static uint8_t text_keep(const char *from, size_t n, char *to, size_t cap)
{
	n = HG_MIN(n, cap);
	memcpy(to, from, n);
	return (uint8_t)n;
}

void edge_evidence_record(struct edge_conn *c, enum meter_cause cause, struct hg_str body)
{
	struct edge *e = c->edge;
	const struct edge_req *r = c->req;
	const struct edge_trial *t = r->draw->trial;
	struct meter_failure *f = meter_failure_take(&e->meter->trial[t->slot], t->is.rollout);
	if (!f) return;
	f->wall_ms = clock_wall_ms();
	f->replica = cause == METER_CAUSE_NO_ENDPOINT ? 0 : r->replica;
	f->status = cause == METER_CAUSE_STATUS ? (uint16_t)edge_grpc_status(r, r->status) : 0;
	f->cause = (uint8_t)cause;
	f->method_n = text_keep(r->method_text, r->method_n, f->method, sizeof f->method);
	f->path_n = text_keep(r->path, r->path_n, f->path, sizeof f->path);
	f->rid_n = text_keep(r->rid, r->rid_n, f->rid, sizeof f->rid);
	f->body_n = (uint16_t)HG_MIN(body.n, sizeof f->body);
	if (f->body_n) memcpy(f->body, body.p, f->body_n);
	meter_failure_done(f, t->is.rollout);
}
