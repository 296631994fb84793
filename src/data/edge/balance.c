#include "base/siphash.h"
#include "data/edge/edge_priv.h"

/*
 * Which replica, where the less loaded of two is not what is wanted: by turns, by a key, by what a
 * client had before, or less for those that are new. Always within the set of replicas that the
 * draw has left (edge_set_of): the split between releases is none of its business. None of it looks
 * at more replicas the more there are, and none of it allocates but the rings, once.
 */

#define WARM_FLOOR 0.1 /* what a replica that has just become ready gets of a whole share */
#define TRIES      8

void edge_balance_begin(struct edge_conn *c, const struct http1_head *h)
{
	struct edge_req *r = c->req;
	const struct snap_balance *b = &r->limits->balance;
	struct edge_cookies it = edge_cookies_of(h);
	struct hg_str key = {0}, name = hg_str(b->key_name);
	uint8_t secret[16];
	r->chosen = true;
	if (r->route->affinity == SNAP_AFFINITY_COOKIE) edge_affinity_read(c, h);
	bool client = r->route->affinity == SNAP_AFFINITY_CLIENT;
	if (!client && b->method != SNAP_HASH) return;
	switch (client ? SNAP_KEY_CLIENT : (enum snap_key)b->key) {
	case SNAP_KEY_CLIENT: key = (struct hg_str){c->client, c->client_n}; break;
	case SNAP_KEY_PATH: key = h->path; break;
	case SNAP_KEY_COOKIE:
		if (!edge_cookies_next(&it, name, &key)) return;
		break;
	case SNAP_KEY_HEADER:
		for (uint16_t i = 0; i < h->field_count && !key.p; i++) {
			if (hg_str_eq_nocase(h->field[i].name, name)) key = h->field[i].value;
		}
		break;
	}
	if (key.n == 0) return;
	edge_balance_key(c->edge, r->app->id, secret);
	r->key = hg_siphash(secret, key.p, key.n);
	r->keyed = true;
}

/* The same set, to be written to. */
static struct edge_set *set_of(const struct edge_req *r, uint32_t *ret_which)
{
	struct edge_app *a = r->app;
	*ret_which = 0;
	if (!a->trial) return &a->all;
	enum edge_arm side = edge_draw_side(r);
	*ret_which = 1 + (uint32_t)side;
	return &a->arm[side];
}

/* ---- slow start ---- */

static double warmth(const struct edge *e, uint64_t since_ms, uint32_t over_ms)
{
	uint64_t now = edge_now_ms(e), age = now > since_ms ? now - since_ms : 0;
	if (age >= over_ms) return 1;
	return HG_MAX(WARM_FLOOR, (double)age / over_ms);
}

/* Has a replica that was drawn to give its turn to another one? Compared with the oldest of its
 * set: where all are new nobody gives way. */
static bool gives_way(
        struct edge *e, const struct edge_set *set, uint32_t over_ms, const struct edge_ep *ep)
{
	if (over_ms == 0 || edge_now_ms(e) >= set->warm_last_ms + over_ms) return false;
	double share = warmth(e, ep->warm_ms, over_ms) / warmth(e, set->warm_first_ms, over_ms);
	return share < 1 && hg_rand_unit(&e->rand) >= share;
}

/* ---- the methods ---- */

static bool has_room(const struct edge *e, const struct edge_req *r, uint16_t slot)
{
	uint32_t max = r->limits->balance.replica_max;
	return HG_LIKELY(max == 0) || meter_in_flight(e->meter, slot) < max;
}

bool edge_may_take(struct edge *e, const struct edge_req *r, const struct edge_ep *ep)
{
	return edge_ep_usable(e, ep->slot, r->tried, r->tried_n) && has_room(e, r, ep->slot);
}

/* Chance has found none: the first that may, beginning where a request has just left. */
static struct edge_ep *pick_room(struct edge *e, struct edge_req *r, const struct edge_set *set)
{
	uint32_t from = e->eps[e->room_slot].place - set->first;
	if (from >= set->count) from = hg_rand_below(&e->rand, set->count);
	for (uint32_t i = 0; i < set->count; i++) {
		uint16_t slot = e->slots[set->first + (from + i) % set->count];
		if (!edge_ep_usable(e, slot, r->tried, r->tried_n)) continue;
		if (has_room(e, r, slot)) return &e->eps[slot];
		r->full = true;
	}
	if (r->full) return NULL;
	struct edge_ep *ep = edge_pick(e, set, r->tried, r->tried_n); /* an ejected one */
	r->full = ep && !has_room(e, r, ep->slot);
	return r->full ? NULL : ep;
}

static struct edge_ep *pick_least(struct edge *e, const struct edge_req *r, struct edge_set *set)
{
	uint32_t over_ms = r->limits->balance.slow_start_ms;
	struct edge_ep *x = NULL, *y = NULL;
	for (int i = 0; i < TRIES && !y; i++) {
		uint32_t k = x ? edge_set_rival(e, set, x->place) : edge_set_draw(e, set);
		struct edge_ep *ep = &e->eps[e->slots[k]];
		if (ep == x) break;
		if (!edge_may_take(e, r, ep)) continue;
		if (gives_way(e, set, over_ms, ep)) continue;
		*(x ? &y : &x) = ep;
	}
	if (!x || !y) return x;
	return meter_in_flight(e->meter, y->slot) < meter_in_flight(e->meter, x->slot) ? y : x;
}

/* By weight: the turns of a golden section, which come as evenly as turns can. */
static uint32_t turn_place(struct edge *e, const struct edge_set *set, uint32_t turn)
{
	if (set->even) return set->first + turn % set->count;
	uint64_t part = turn * 0x9e3779b97f4a7c15u >> 32, x = part * set->weight_sum >> 32;
	uint32_t low = set->first, high = set->first + set->count - 1;
	while (low < high) {
		uint32_t mid = (low + high) / 2;
		if (x < e->weight_to[mid]) {
			high = mid;
		} else {
			low = mid + 1;
		}
	}
	return low;
}

static struct edge_ep *pick_turn(
        struct edge *e, const struct edge_req *r, struct edge_set *set, uint32_t *turn)
{
	/* Workers do not march in step. */
	if (*turn == 0) *turn = 1 + hg_rand_below(&e->rand, 1u << 16);
	for (int i = 0; i < TRIES; i++) {
		uint32_t k = turn_place(e, set, (*turn)++);
		struct edge_ep *ep = &e->eps[e->slots[k]];
		if (!edge_may_take(e, r, ep)) continue;
		if (!gives_way(e, set, r->limits->balance.slow_start_ms, ep)) return ep;
	}
	return NULL;
}

struct edge_ep *edge_choose(struct edge_conn *c)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	uint32_t which;
	struct edge_set *set = set_of(r, &which);
	struct edge_ep *ep = NULL;
	bool client = r->route->affinity == SNAP_AFFINITY_CLIENT;
	r->full = false;
	if (set->count == 0) return NULL;
	if (r->pin_minute) ep = edge_affinity_pick(c, set);
	if (!ep && r->keyed) ep = edge_ring_pick(c, set, r->key, client);
	if (ep) return ep;
	if (r->limits->balance.method == SNAP_ROUND_ROBIN)
		ep = pick_turn(e, r, set, &r->app->turn[which]);
	else
		ep = pick_least(e, r, set);
	if (!ep && r->limits->balance.replica_max) return pick_room(e, r, set);
	return ep ? ep : edge_pick(e, set, r->tried, r->tried_n);
}
