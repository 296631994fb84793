#include "data/edge/edge_priv.h"

static void limits_set(struct edge_trial *t)
{
	const struct snap_trial *s = &t->is;
	const uint64_t limit[EDGE_ARMS][EDGE_SLOW_METRICS] = {
	        [EDGE_OLD] = {s->slow_old_ns[0], s->slow_old_ns[1], s->slow_old_ns[2],
	                s->rule_p95_ns, s->rule_ratio_old_ns},
	        [EDGE_NEW] = {s->slow_new_ns[0], s->slow_new_ns[1], s->slow_new_ns[2],
	                s->rule_p95_ns, s->rule_ratio_new_ns},
	};
	for (int arm = 0; arm < EDGE_ARMS; arm++) {
		t->limit_min_ns[arm] = UINT64_MAX;
		for (int i = 0; i < EDGE_SLOW_METRICS; i++) {
			uint64_t v = limit[arm][i] ? limit[arm][i] : UINT64_MAX;
			t->limit_ns[arm][i] = v;
			t->limit_min_ns[arm] = HG_MIN(t->limit_min_ns[arm], v);
		}
	}
}

static bool same_epoch(const struct snap_trial *a, const struct snap_trial *b)
{
	return a->rollout == b->rollout && a->epoch == b->epoch && a->cell == b->cell &&
	       a->app == b->app && a->old_release == b->old_release &&
	       a->new_release == b->new_release && a->weight_ppm == b->weight_ppm;
}

void edge_trial_drop(struct edge *e, struct edge_trial *t)
{
	HG_ASSERT(t->refs > 0);
	if (--t->refs == 0) edge_pool_give(&e->trials, t);
}

/* Without room for one more epoch the trial is not known: its old release has all requests. */
static struct edge_trial *trial_new(struct edge *e, uint32_t slot)
{
	struct edge_trial *t = edge_pool_take(&e->trials);
	if (!t) return NULL;
	t->refs = 1;
	t->slot = slot;
	return t;
}

static void slot_take(struct edge *e, uint32_t slot, const struct snap_trial *in)
{
	struct edge_trial *t = e->trial[slot];
	if (t && (in->app == 0 || !same_epoch(&t->is, in))) {
		edge_trial_drop(e, t);
		t = NULL;
	}
	if (!t && in->app) t = trial_new(e, slot);
	e->trial[slot] = t;
	if (!t) return;
	t->is = *in;
	limits_set(t);
}

void edge_trials_read(struct edge *e)
{
	struct snap_trial in;
	for (uint32_t i = 0; i < SNAP_TRIALS; i++) {
		uint32_t seq = atomic_load_explicit(&e->table->trial[i].seq, memory_order_acquire);
		if (seq == e->trial_seq[i]) continue;
		/* Half written by somebody who died, or rubbish: what was known goes on. */
		if (!snap_trial_get(e->table, i, &in)) continue;
		e->trial_seq[i] = seq;
		slot_take(e, i, &in);
	}
}

void edge_trials_assign(struct edge *e)
{
	for (uint32_t i = 0; i < EDGE_APPS; i++)
		e->apps[i].trial = NULL;
	for (uint32_t i = 0; i < SNAP_TRIALS; i++) {
		struct edge_trial *t = e->trial[i];
		struct edge_app *a = t ? edge_app_of(e, t->is.app) : NULL;
		/* Of two for one application the later one is meant. */
		if (a && (!a->trial || a->trial->is.rollout < t->is.rollout)) a->trial = t;
	}
}

void edge_trials_fini(struct edge *e)
{
	loop_timer_stop(e->loop, &e->sweep_timer);
	for (uint32_t i = 0; i < SNAP_TRIALS; i++) {
		if (e->trial[i]) edge_trial_drop(e, e->trial[i]);
		e->trial[i] = NULL;
	}
}

bool edge_draw_new(uint64_t random, uint32_t ppm)
{
	/* The upper 64 bits of random * 1,000,000: uniform in 0 … 999,999. */
	uint64_t high = (random >> 32) * 1000000u, low = (random & 0xffffffffu) * 1000000u;
	return (high + (low >> 32)) >> 32 < ppm;
}

bool edge_draw_replayable(const struct edge_req *r, const struct http1_head *h)
{
	if (!r->idempotent) return false;
	return !r->body_any || (h->has_content_length && h->content_length <= EDGE_KEEP_SIZE);
}
