#include <stdlib.h>

#include "data/edge/edge_priv.h"

/*
 * Each replica stands at 64 places of a ring, by its number, which a new process in its place
 * keeps: a key's replica is the first from the key's own place on. When a replica leaves, its keys
 * go to those behind its places and no other key moves. The points of a set of replicas lie at 64
 * times its place in edge.slots; they are sorted when the set is used first after the table
 * changed.
 *
 * The load bound counts this worker's requests only: each worker keeps its own part of the load
 * within bounds, so the sum is. While a release is under trial it counts those of both releases,
 * and is looser than it need be for each.
 */

#define LOAD_NUM  5u /* a replica may have 5/4 of its share */
#define LOAD_DEN  4u
#define WALK_MAX  1024u
#define DIGIT     11u
#define DIGIT_MAX (1u << DIGIT)

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* By `at`, three times 11 bits, least first; the result is in `p` again or in `spare`. */
static struct edge_point *sort(struct edge_point *p, struct edge_point *spare, uint32_t n)
{
	for (unsigned shift = 0; shift < 32; shift += DIGIT) {
		uint32_t start[DIGIT_MAX] = {0}, sum = 0;
		for (uint32_t i = 0; i < n; i++)
			start[p[i].at >> shift & (DIGIT_MAX - 1)]++;
		for (uint32_t d = 0; d < DIGIT_MAX; d++) {
			uint32_t count = start[d];
			start[d] = sum;
			sum += count;
		}
		for (uint32_t i = 0; i < n; i++)
			spare[start[p[i].at >> shift & (DIGIT_MAX - 1)]++] = p[i];
		struct edge_point *other = p;
		p = spare;
		spare = other;
	}
	return p;
}

static bool ring_make(struct edge *e, struct edge_set *set)
{
	uint32_t n = 0, most = 1;
	size_t all = (size_t)SNAP_ENDPOINTS * EDGE_RING_POINTS;
	if (!e->ring) e->ring = calloc(all, sizeof *e->ring);
	if (!e->ring_spare) e->ring_spare = calloc(all, sizeof *e->ring_spare);
	if (!e->ring || !e->ring_spare) return false;
	for (uint32_t k = set->first; k < set->first + set->count; k++)
		most = HG_MAX(most, e->eps[e->slots[k]].weight);
	struct edge_point *to = e->ring + (size_t)set->first * EDGE_RING_POINTS;
	struct edge_point *spare = e->ring_spare + (size_t)set->first * EDGE_RING_POINTS;
	for (uint32_t k = set->first; k < set->first + set->count; k++) {
		const struct edge_ep *ep = &e->eps[e->slots[k]];
		/* Within an arm weights do not count. */
		uint64_t points = (uint64_t)EDGE_RING_POINTS * ep->weight / most;
		if (set->even) points = EDGE_RING_POINTS;
		for (uint64_t i = 0; i < HG_MAX(points, 1u); i++)
			to[n++] = (struct edge_point){
			        .at = (uint32_t)mix((uint64_t)ep->replica << 16 | i),
			        .slot = ep->slot};
	}
	struct edge_point *sorted = sort(to, spare, n);
	if (sorted != to) memcpy(to, sorted, n * sizeof *to);
	set->ring_n = n;
	return true;
}

/* The first point at or behind `at`. Hashes are spread evenly: of n points a guess misses by some
 * √n, a second one from there by the root of that; the rest is walked. */
static uint32_t find(const struct edge_point *p, uint32_t n, uint32_t at)
{
	int64_t guess = (int64_t)((uint64_t)at * n >> 32);
	for (int i = 0; i < 2; i++) {
		guess += ((int64_t)at - p[guess].at) * (int64_t)n / ((int64_t)1 << 32);
		guess = HG_MAX(HG_MIN(guess, (int64_t)n - 1), (int64_t)0);
	}
	uint32_t k = (uint32_t)guess;
	while (k > 0 && p[k - 1].at >= at)
		k--;
	while (k < n && p[k].at < at)
		k++;
	return k == n ? 0 : k;
}

static bool has_room(const struct edge *e, const struct edge_app *a, const struct edge_set *set,
        const struct edge_ep *ep)
{
	uint64_t have = atomic_load_explicit(&e->count->in_flight[ep->slot], memory_order_relaxed);
	uint64_t all = (uint64_t)a->in_flight + 1;
	if (set->even) {
		uint64_t of = (uint64_t)LOAD_DEN * set->count;
		return have < (LOAD_NUM * all + of - 1) / of;
	}
	uint64_t of = LOAD_DEN * set->weight_sum;
	return have < (LOAD_NUM * all * ep->weight + of - 1) / of;
}

/* How much of its keys a replica has that is new: which ones is no matter of chance, so that a key
 * moves once. */
static bool not_yet(const struct edge *e, const struct edge_set *set, const struct edge_ep *ep,
        uint32_t over_ms, uint64_t key)
{
	uint64_t now = edge_now_ms(e);
	if (over_ms == 0 || now >= set->warm_last_ms + over_ms || now >= ep->warm_ms + over_ms) {
		return false;
	}
	uint64_t age = now > ep->warm_ms ? now - ep->warm_ms : 0;
	uint64_t oldest = HG_MIN(now - HG_MIN(set->warm_first_ms, now), (uint64_t)over_ms);
	return mix(key ^ ep->replica) % 1024 * HG_MAX(oldest, 1u) >= age * 1024;
}

struct edge_ep *edge_ring_pick(struct edge_conn *c, struct edge_set *set, uint64_t key, bool sticky)
{
	struct edge *e = c->edge;
	const struct edge_req *r = c->req;
	struct edge_ep *full = NULL;
	uint32_t over_ms = sticky ? 0 : r->limits->balance.slow_start_ms;
	if (set->ring_n == 0 && !ring_make(e, set)) return NULL;
	const struct edge_point *p = e->ring + (size_t)set->first * EDGE_RING_POINTS;
	uint32_t n = set->ring_n, at = find(p, n, (uint32_t)(key >> 32));
	for (uint32_t i = 0; i < n && i < WALK_MAX; i++, at = at + 1 == n ? 0 : at + 1) {
		struct edge_ep *ep = &e->eps[p[at].slot];
		if (!edge_may_take(e, r, ep)) continue;
		if (sticky || (has_room(e, r->app, set, ep) && !not_yet(e, set, ep, over_ms, key)))
			return ep;
		if (!full) full = ep;
	}
	return full;
}
