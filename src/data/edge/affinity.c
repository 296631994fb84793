#include "base/siphash.h"
#include "data/edge/edge_priv.h"
#include "os/clock.h"

/*
 * The cookie names the replica that a client has, for up to two releases, since beside a trial a
 * client may see both: <release 8><replica 8> twice, <minute 8>, all in hex, and a tag that signs
 * them. It names numbers and no address: a replica keeps its number when its process is replaced.
 *
 * While the replica is away, ejected or draining, its clients go to others, each to the same one
 * as long as nothing else changes (the ring), and come back with it: the cookie stays. It is
 * written anew when the release that answered is not in it, and after half of its life.
 *
 * A client that forges nothing but repeats somebody's cookie gets that one's replica, no more: the
 * choice is among replicas that the request could reach anyway. The tag keeps numbers from being
 * tried out, and ends when the platform's memory does, as do the sessions that replicas keep.
 */

#define HALF 16u /* hex digits of one pin */
#define TEXT (EDGE_PINS * HALF + 8u + 16u)
#define MOST 4 /* cookies of the name that are looked at */

void edge_balance_key(const struct edge *e, uint32_t app, uint8_t to[16])
{
	uint64_t id = atomic_load_explicit(&e->table->id, memory_order_relaxed);
	uint32_t what = 0x68676166;
	memcpy(to, &id, 8);
	memcpy(to + 8, &app, 4);
	memcpy(to + 12, &what, 4);
}

static void hex_put(uint64_t v, unsigned digits, struct hg_out *o)
{
	static const char digit[] = "0123456789abcdef";
	while (digits-- > 0)
		hg_out_byte(o, digit[v >> (4 * digits) & 15]);
}

static bool hex_get(const char *p, unsigned digits, uint64_t *ret_v)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < digits; i++) {
		char ch = p[i];
		bool dec = ch >= '0' && ch <= '9', hex = ch >= 'a' && ch <= 'f';
		if (!dec && !hex) return false;
		v = v << 4 | (uint64_t)(dec ? ch - '0' : ch - 'a' + 10);
	}
	*ret_v = v;
	return true;
}

static uint32_t now_minute(void)
{
	return (uint32_t)(clock_wall_ms() / 60000);
}

static bool value_read(const struct edge *e, struct edge_req *r, struct hg_str v)
{
	uint8_t key[16];
	uint64_t pin[EDGE_PINS], minute, tag;
	if (v.n != TEXT) return false;
	for (unsigned i = 0; i < EDGE_PINS; i++) {
		if (!hex_get(v.p + HALF * i, HALF, &pin[i])) return false;
	}
	if (!hex_get(v.p + EDGE_PINS * HALF, 8, &minute)) return false;
	if (!hex_get(v.p + EDGE_PINS * HALF + 8, 16, &tag)) return false;
	edge_balance_key(e, r->app->id, key);
	if (hg_siphash(key, v.p, TEXT - 16) != tag) return false;
	uint64_t now = now_minute();
	if (minute > now + 1 || now - HG_MIN(minute, now) > r->route->affinity_s / 60) return false;
	for (unsigned i = 0; i < EDGE_PINS; i++)
		r->pin[i] = (struct edge_pin){(uint32_t)(pin[i] >> 32), (uint32_t)pin[i]};
	r->pin_minute = (uint32_t)minute;
	return true;
}

void edge_affinity_read(struct edge_conn *c, const struct http1_head *h)
{
	struct edge_req *r = c->req;
	struct edge_cookies it = edge_cookies_of(h);
	struct hg_str name = snap_str(r->image->snap, r->route->affinity_cookie), have;
	for (int i = 0; i < MOST && edge_cookies_next(&it, name, &have); i++) {
		if (value_read(c->edge, r, have)) return;
	}
}

/* ---- choosing ---- */

static uint32_t name_hash(uint32_t app, struct edge_pin p)
{
	uint64_t h =
	        ((uint64_t)app << 40 ^ (uint64_t)p.release << 16 ^ p.replica) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(h >> 40);
}

static void names_make(struct edge *e)
{
	uint32_t mask = HG_COUNT(e->names) - 1;
	memset(e->names, 0, sizeof e->names);
	for (uint32_t i = 0; i < SNAP_ENDPOINTS; i++) {
		const struct edge_ep *ep = &e->eps[i];
		if (!ep->known || ep->place == UINT32_MAX) continue;
		struct edge_pin p = {ep->release, ep->replica};
		uint32_t at = name_hash(ep->app_id, p) & mask;
		while (e->names[at])
			at = (at + 1) & mask;
		e->names[at] = (uint16_t)(i + 1);
	}
	e->names_known = true;
}

/* The endpoint of that name which takes requests. */
static struct edge_ep *named(struct edge *e, uint32_t app, struct edge_pin p)
{
	uint32_t mask = HG_COUNT(e->names) - 1;
	if (!e->names_known) names_make(e);
	for (uint32_t at = name_hash(app, p) & mask; e->names[at]; at = (at + 1) & mask) {
		struct edge_ep *ep = &e->eps[e->names[at] - 1];
		if (ep->app_id == app && ep->release == p.release && ep->replica == p.replica) {
			return ep;
		}
	}
	return NULL;
}

/* Sets are sorted by release. */
static bool has_release(const struct edge *e, const struct edge_set *set, uint32_t release)
{
	const struct edge_ep *first = &e->eps[e->slots[set->first]];
	const struct edge_ep *last = &e->eps[e->slots[set->first + set->count - 1]];
	return first->release <= release && release <= last->release;
}

struct edge_ep *edge_affinity_pick(struct edge_conn *c, struct edge_set *set)
{
	struct edge *e = c->edge;
	const struct edge_req *r = c->req;
	const struct edge_pin *away = NULL;
	for (unsigned i = 0; i < EDGE_PINS && r->pin[i].release; i++) {
		struct edge_ep *ep = named(e, r->app->id, r->pin[i]);
		bool in_set = ep && ep->place >= set->first && ep->place < set->first + set->count;
		if (in_set && edge_may_take(e, r, ep)) return ep;
		if (!away && has_release(e, set, r->pin[i].release)) away = &r->pin[i];
	}
	if (!away) return NULL;
	uint64_t key = ((uint64_t)away->replica << 32 | away->release) * 0x9e3779b97f4a7c15u;
	return edge_ring_pick(c, set, key, true);
}

/* ---- answering ---- */

/* What the cookie is to say when this replica has answered; false: what it says is good. */
static bool pins_next(const struct edge_req *r, struct edge_pin to[EDGE_PINS])
{
	uint32_t half = r->route->affinity_s / 120;
	bool old = !r->pin_minute ||
	           now_minute() - HG_MIN(r->pin_minute, now_minute()) > HG_MAX(half, 1u);
	memcpy(to, r->pin, sizeof r->pin);
	for (unsigned i = 0; i < EDGE_PINS; i++) {
		if (to[i].release != r->release) continue;
		to[i].replica = r->replica;
		return old;
	}
	/* The newest two, the newer first. */
	struct edge_pin fresh = {r->release, r->replica};
	if (fresh.release > to[0].release) {
		to[1] = to[0];
		to[0] = fresh;
	} else {
		to[1] = fresh;
	}
	return true;
}

void edge_affinity_write(struct edge_conn *c, struct hg_out *o)
{
	struct edge *e = c->edge;
	const struct edge_req *r = c->req;
	struct edge_pin pin[EDGE_PINS];
	uint8_t key[16];
	if (r->route->affinity != SNAP_AFFINITY_COOKIE || !pins_next(r, pin)) return;
	hg_out_str(o, HG_STR("Set-Cookie: "));
	hg_out_str(o, snap_str(r->image->snap, r->route->affinity_cookie));
	hg_out_byte(o, '=');
	size_t from = o->n;
	for (unsigned i = 0; i < EDGE_PINS; i++)
		hex_put((uint64_t)pin[i].release << 32 | pin[i].replica, HALF, o);
	hex_put(now_minute(), 8, o);
	if (hg_out_failed(o)) return;
	edge_balance_key(e, r->app->id, key);
	hex_put(hg_siphash(key, o->p + from, o->n - from), 16, o);
	hg_out_str(o, HG_STR("; Path=/; HttpOnly; SameSite=Lax; Max-Age="));
	hg_out_u64(o, r->route->affinity_s);
	hg_out_str(o, c->secure ? HG_STR("; Secure\r\n") : HG_STR("\r\n"));
}
