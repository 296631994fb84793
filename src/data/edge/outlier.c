#include <stdlib.h>

#include "data/edge/edge_priv.h"

/*
 * Replicas that differ from the others of their app (math/outlier.h decides). Each worker looks by
 * itself, once a second while there is traffic, at what all workers have counted: the meter is
 * shared memory that every worker reads, so all of them see the same and come to the same end, one
 * with little traffic as well, without a word that all write, and without control.
 *
 * Not beside a trial: which replicas have a release's requests is part of what the judge compares.
 * What was left out before stays so.
 */

static void read_now(struct edge *e, uint16_t slot, struct outlier_seen *to)
{
	struct meter_replica_sum sum;
	_Static_assert(OUTLIER_BUCKETS == METER_BUCKETS, "the same buckets");
	meter_replica_sum(e->meter, slot, &sum);
	*to = (struct outlier_seen){
	        .failures = (uint32_t)sum.failures, .errors = (uint32_t)sum.errors};
	for (uint32_t i = 0; i < OUTLIER_BUCKETS; i++)
		to->bucket[i] = (uint32_t)sum.bucket[i];
}

/* Counters wrap at 2^32: differences are right all the same. */
static struct outlier_seen since(const struct outlier_seen *now, const struct outlier_seen *then)
{
	struct outlier_seen d = {
	        .failures = now->failures - then->failures, .errors = now->errors - then->errors};
	for (uint32_t i = 0; i < OUTLIER_BUCKETS; i++)
		d.bucket[i] = now->bucket[i] - then->bucket[i];
	return d;
}

static void look_slot(struct edge *e, uint16_t slot, bool turn, struct outlier_seen *ret_seen)
{
	struct edge_outlier_base *b = &e->outliers[slot];
	const struct edge_ep *ep = &e->eps[slot];
	struct outlier_seen now;
	read_now(e, slot, &now);
	bool out = ep->ejected_until_ms > edge_now_ms(e);
	/* Of a process that is new, or comes back, what was before is void. */
	if (b->incarnation != ep->incarnation || out) {
		b->incarnation = ep->incarnation;
		b->at[0] = b->at[1] = now;
	}
	*ret_seen = since(&now, &b->at[0]);
	ret_seen->out = out;
	if (!turn) return;
	b->at[0] = b->at[1];
	b->at[1] = now;
}

static void look_app(struct edge *e, struct edge_app *a, const struct snap_app *limits, bool turn)
{
	const struct snap_tries *t = &limits->tries;
	struct edge_set *set = &a->all;
	uint8_t verdict[SNAP_ENDPOINTS];
	struct outlier_rules rules = {.errors_ppm = t->outlier_ppm,
	        .slower_ppm = t->outlier_slower,
	        .min_requests = t->outlier_min,
	        .max_ppm = limits->eject_max_ppm,
	        .bounds = meter_bounds};
	if (set->count < 2 || a->panic) return;
	struct outlier_seen *seen = calloc(set->count, sizeof *seen);
	if (!seen) return; /* the next look may have memory */
	for (uint32_t k = 0; k < set->count; k++)
		look_slot(e, e->slots[set->first + k], turn, &seen[k]);
	if (!a->trial) outlier_decide(&rules, seen, set->count, verdict);
	for (uint32_t k = 0; k < set->count && !a->trial; k++) {
		struct edge_ep *ep = &e->eps[e->slots[set->first + k]];
		if (verdict[k] == OUTLIER_FINE) continue;
		edge_ep_eject(e, ep, set, limits->eject_ms);
		ep->outlier = true;
		meter_add(verdict[k] == OUTLIER_SLOW ? &e->count->ejected_slow
		                                     : &e->count->ejected_failing,
		        1);
	}
	free(seen);
}

static void on_look(struct loop *l, struct loop_timer *timer)
{
	struct edge *e = HG_CONTAINER(timer, struct edge, outlier_timer);
	const struct edge_image *im = e->image;
	uint64_t now = loop_now_ms(l);
	bool turn = now >= e->outlier_turn_ms + EDGE_OUTLIER_TURN_MS;
	if (turn) e->outlier_turn_ms = now;
	edge_table_refresh(e, false);
	for (uint32_t i = 0; im && i < im->snap->app_count; i++) {
		const struct snap_app *limits = &snap_apps(im->snap)[i];
		if (!limits->tries.outlier_ppm && !limits->tries.outlier_slower) continue;
		look_app(e, &e->apps[im->apps[i]], limits, turn);
	}
}

void edge_outlier_watch(struct edge *e)
{
	if (HG_LIKELY(loop_timer_active(&e->outlier_timer))) return;
	/* Pages of it that no replica needs are never made. */
	if (!e->outliers) e->outliers = calloc(SNAP_ENDPOINTS, sizeof *e->outliers);
	if (!e->outliers) return;
	if (loop_timer_start(e->loop, &e->outlier_timer, EDGE_OUTLIER_MS, on_look) < 0) return;
}

void edge_ep_eject(struct edge *e, struct edge_ep *ep, struct edge_set *set, uint32_t eject_ms)
{
	uint64_t now = edge_now_ms(e);
	/* Well for as long as it was out last: what was before is forgotten. */
	uint64_t quiet = outlier_for_ms(eject_ms, ep->outs);
	if (ep->outs && now > ep->ejected_last_ms + quiet) ep->outs = 0;
	ep->outs++;
	ep->outlier = false;
	ep->ejected_until_ms = ep->ejected_last_ms = now + outlier_for_ms(eject_ms, ep->outs);
	ep->warm_ms = ep->ejected_until_ms;
	set->warm_last_ms = HG_MAX(set->warm_last_ms, ep->warm_ms);
	meter_add(&e->count->ejected, 1);
}

void edge_outliers_fini(struct edge *e)
{
	loop_timer_stop(e->loop, &e->outlier_timer);
	free(e->outliers);
	e->outliers = NULL;
}
