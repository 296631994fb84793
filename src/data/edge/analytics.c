/*
 * Who asks most, and for what: for apps that want it, two lists a worker of bounded length
 * (math/topk.h), in shared memory. A consumer is counted by route, so that who still uses an old
 * version is seen.
 */
#include <stdlib.h>

#include "base/siphash.h"
#include "data/edge/gateway_priv.h"
#include "math/topk.h"
#include "os/clock.h"
#include "wire/ip.h"

struct edge_top {
	struct topk index[METER_TOP_KINDS];
	uint8_t key[16];   /* of the hash, so that nobody can make others' names meet */
	uint64_t memory[]; /* of the indices */
};

struct named {
	uint32_t lane;
	bool net; /* a network: hashed as it is, its text is made when it gets a place */
	uint8_t addr[16], bits;
	char text[METER_TOP_NAME]; /* n bytes of it count */
	size_t n;
};

static uint64_t hash_of(const struct edge_top *t, const struct named *who)
{
	uint8_t net[17];
	memcpy(net, who->addr, sizeof who->addr);
	net[16] = who->bits;
	uint64_t h = who->net ? hg_siphash(t->key, net, sizeof net)
	                      : hg_siphash(t->key, who->text, who->n);
	return h ^ who->lane * 0x9e3779b97f4a7c15u;
}

/* As it stands in the list, IPv4 with its own bits. */
static void net_text(struct named *to)
{
	static const uint8_t v4[12] = {[10] = 0xff, 0xff};
	char text[IP_TEXT_MAX];
	uint32_t before = memcmp(to->addr, v4, sizeof v4) == 0 ? 96 : 0;
	struct hg_out o = hg_out_over(to->text, sizeof to->text);
	hg_out_str(&o, (struct hg_str){text, ip_text(to->addr, text)});
	if (to->bits < 128) {
		hg_out_byte(&o, '/');
		hg_out_u64(&o, to->bits - before);
	}
	to->n = o.n;
}

/* What a predecessor has counted goes on, with its slots where they were. */
static void resume(struct edge *e, struct edge_top *t, enum meter_top_kind kind)
{
	uint64_t n = atomic_load_explicit(&e->count->top_n[kind], memory_order_relaxed);
	for (uint32_t i = 0; i < HG_MIN(n, (uint64_t)METER_TOP); i++) {
		const struct meter_top *from = &e->count->top[kind][i];
		struct named who = {
		        .lane = atomic_load_explicit(&from->lane, memory_order_relaxed)};
		uint64_t word[HG_COUNT(from->name)] = {0};
		char text[sizeof word];
		bool fresh;
		for (size_t k = 0; k < HG_COUNT(word); k++)
			word[k] = atomic_load_explicit(&from->name[k], memory_order_relaxed);
		memcpy(text, word, sizeof text);
		who.n = HG_MIN((uint8_t)text[0], METER_TOP_NAME);
		memcpy(who.text, text + 1, who.n);
		uint32_t bits = 0;
		who.net = kind == METER_TOP_CONSUMERS &&
		          ip_parse_net((struct hg_str){who.text, who.n}, who.addr, &bits);
		who.bits = (uint8_t)bits;
		uint64_t count = atomic_load_explicit(&from->count, memory_order_relaxed);
		uint32_t slot = topk_add(&t->index[kind], hash_of(t, &who), count, &fresh);
		/* Two of a name: it died half way through a change. What follows is given up. */
		if (slot != i) {
			atomic_store_explicit(&e->count->top_n[kind], i, memory_order_relaxed);
			return;
		}
		t->index[kind].slot[i].over =
		        atomic_load_explicit(&from->over, memory_order_relaxed);
	}
}

static struct edge_top *made(struct edge *e)
{
	size_t one = (topk_size(METER_TOP) + 7) & ~(size_t)7;
	struct edge_top *t = calloc(1, sizeof *t + METER_TOP_KINDS * one);
	if (!t) return NULL;
	for (size_t i = 0; i < sizeof t->key; i += 8) {
		uint64_t r = hg_rand_u64(&e->rand);
		memcpy(t->key + i, &r, sizeof r);
	}
	for (unsigned k = 0; k < METER_TOP_KINDS; k++) {
		topk_init(&t->index[k], METER_TOP, (char *)t->memory + k * one);
		resume(e, t, (enum meter_top_kind)k);
	}
	e->top = t;
	return t;
}

static void note(struct edge_conn *c, struct edge_top *t, enum meter_top_kind kind,
        struct named *who, uint64_t now_ns)
{
	const struct edge_req *r = c->req;
	struct meter_worker *w = c->edge->count;
	struct topk *x = &t->index[kind];
	bool fresh;
	uint32_t slot = topk_add(x, hash_of(t, who), 1, &fresh);
	struct meter_top *to = &w->top[kind][slot];
	if (fresh) {
		if (who->net) net_text(who);
		meter_top_take(to, who->lane, (struct hg_str){who->text, who->n});
		atomic_store_explicit(&w->top_n[kind], x->n, memory_order_release);
	}
	atomic_store_explicit(&to->count, x->slot[slot].count, memory_order_relaxed);
	if (fresh) atomic_store_explicit(&to->over, x->slot[slot].over, memory_order_relaxed);
	meter_add(&to->code[r->aborted ? 0 : HG_MIN(r->status / 100u, 5u)], 1);
	meter_add(&to->duration_ns, now_ns - r->start_ns);
	meter_add(&to->bytes_out, r->bytes_out);
	atomic_store_explicit(&to->last_ms, clock_wall_ms(), memory_order_relaxed);
}

/* 192.0.2.0/24, 2001:db8:1::/48; whole if the app wants it so. */
static void consumer(const struct edge_conn *c, uint32_t flags, struct named *to)
{
	struct ip_addr a = c->addr;
	bool v4 = ip_addr_is_v4(a), whole = flags & SNAP_ANALYTICS_ADDRESS;
	if (!whole && v4) a.lo &= ~(uint64_t)0xff;
	if (!whole && !v4) a = (struct ip_addr){.hi = a.hi & ~(uint64_t)0xffff};
	uint64_t hi = __builtin_bswap64(a.hi), lo = __builtin_bswap64(a.lo);
	memcpy(to->addr, &hi, sizeof hi);
	memcpy(to->addr + sizeof hi, &lo, sizeof lo);
	to->bits = whole ? 128 : v4 ? 120 : 48;
	to->net = true;
}

/* A number, or a long word of hexadecimal digits and dashes: the name of one thing of many. */
static bool names_one(struct hg_str s)
{
	bool digits = s.n > 0, hex = s.n >= 16;
	for (size_t i = 0; i < s.n && (digits || hex); i++) {
		bool digit = s.p[i] >= '0' && s.p[i] <= '9';
		char low = (char)(s.p[i] | 0x20);
		digits = digits && digit;
		hex = hex && (digit || (low >= 'a' && low <= 'f') || s.p[i] == '-');
	}
	return digits || hex;
}

/* The path without what only names one of many; of those that are not there, one for all. */
static void path_of(const struct edge_req *r, struct named *to)
{
	struct hg_out o = hg_out_over(to->text, sizeof to->text);
	struct hg_str rest = {r->path, r->path_n};
	if (rest.n && rest.p[0] == '/') rest = (struct hg_str){rest.p + 1, rest.n - 1};
	if (r->status == 404) hg_out_str(&o, HG_STR("(not found)"));
	do {
		struct hg_str part = hg_str_cut(&rest, '/');
		if (r->status == 404) break;
		hg_out_byte(&o, '/');
		hg_out_str(&o, names_one(part) ? HG_STR(":id") : part);
	} while (rest.n);
	to->n = o.n;
}

void edge_analytics(struct edge_conn *c, uint64_t now_ns)
{
	const struct edge_req *r = c->req;
	uint32_t flags = r->limits->analytics;
	struct edge_top *t = c->edge->top ? c->edge->top : made(c->edge);
	struct named who = {.lane = r->route->lane_none};
	if (!t) return; /* without memory there is other trouble */
	if (flags & SNAP_ANALYTICS_CONSUMERS) {
		consumer(c, flags, &who);
		note(c, t, METER_TOP_CONSUMERS, &who, now_ns);
	}
	if (flags & SNAP_ANALYTICS_PATHS) {
		who.net = false;
		path_of(r, &who);
		note(c, t, METER_TOP_PATHS, &who, now_ns);
	}
}

void edge_analytics_fini(struct edge *e)
{
	free(e->top);
	e->top = NULL;
}
