#include "auth/identity.h"
#include "data/edge/together_priv.h"
#include "wire/rate.h"

/*
 * Limits of requests. All limits of a route are looked at before any is charged: a request that one
 * refuses costs nothing of the others. Between the look and the charge another worker may take the
 * last of one; then what was charged before it stays charged.
 */

/* What a client's name is taken from; part of the key, so that a token is never an address. */
enum name_kind {
	NAME_ROUTE,
	NAME_ADDRESS,
	NAME_AUTHORIZATION,
	NAME_COOKIE,
	NAME_HEADER,
	NAME_USER, /* who has proved it */
	NAME_KEY
};

struct name {
	enum name_kind kind;
	struct hg_str bytes;
};

static struct name name_cookie(const struct http1_head *h, struct hg_str cookie, struct name other)
{
	struct edge_cookies it = edge_cookies_of(h);
	struct hg_str value;
	if (!edge_cookies_next(&it, cookie, &value) || value.n == 0) return other;
	return (struct name){NAME_COOKIE, value};
}

static struct name name_field(const struct http1_field *f, enum name_kind kind, struct name other)
{
	return f && f->value.n ? (struct name){kind, f->value} : other;
}

/* `address`: who the client is when he says nothing else. */
static struct name name_of(const struct edge_req *r, const struct snap_limit *l,
        const struct http1_head *h, struct name address)
{
	const struct snap_image *im = r->image->snap;
	struct hg_str field = snap_str(im, l->field);
	switch ((enum rate_who)l->who) {
	case RATE_PER_ROUTE: return (struct name){NAME_ROUTE, HG_STR("")};
	case RATE_PER_IP: break;
	case RATE_PER_HEADER: return name_field(http1_find_name(h, field), NAME_HEADER, address);
	case RATE_PER_COOKIE: return name_cookie(h, field, address);
	case RATE_PER_KEY:
		if (!r->who_key) return address;
		return (struct name){NAME_KEY, {(const char *)&r->who_key, sizeof r->who_key}};
	case RATE_PER_USER:
		if (r->who) return (struct name){NAME_USER, r->who->name};
		/* What is not proved is no name: who makes up tokens gets no limits of his own. */
		if (r->limits->identity) return address;
		address = name_cookie(h, snap_str(im, r->route->session), address);
		return name_field(
		        http1_find(h, HTTP1_F_AUTHORIZATION), NAME_AUTHORIZATION, address);
	}
	return address;
}

static uint32_t seconds_up(uint64_t ns)
{
	uint64_t s = ns / 1000000000u + (ns % 1000000000u != 0);
	return s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

static inline void keep(struct edge_req *r, uint32_t i, uint64_t left, uint64_t wait_ns)
{
	r->quota[i].left = left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
	r->quota[i].wait_s = seconds_up(wait_ns);
}

void edge_limit_keep(struct edge_req *r, uint32_t i, uint64_t left, uint64_t wait_ns)
{
	keep(r, i, left, wait_ns);
}

enum edge_step edge_limit_refuse(struct edge_conn *c, uint32_t i, uint64_t wait_ns)
{
	struct edge_req *r = c->req;
	char line[64];
	struct hg_out o = hg_out_over(line, sizeof line);
	meter_add(&c->edge->count->rate_limited, 1);
	r->refused_by = &snap_limits(r->image->snap)[r->route->limit_first + i];
	hg_out_cstr(&o, "Retry-After: ");
	hg_out_u64(&o, HG_MAX(seconds_up(wait_ns), 1u));
	hg_out_cstr(&o, "\r\n");
	return edge_answer_with(c, 429, "too many requests", (struct hg_str){line, o.n});
}

/* Probes come from control, but people and balancers ask the same paths. */
bool edge_of_probe(const struct edge_req *r, struct hg_str path)
{
	if (r->method != HTTP1_GET && r->method != HTTP1_HEAD) return false;
	for (int i = 0; i < SNAP_PROBES; i++) {
		struct hg_str probe = snap_str(r->image->snap, r->limits->probe[i]);
		if (probe.n && hg_str_eq(probe, path)) return true;
	}
	return false;
}

enum edge_step edge_limit(struct edge_conn *c, const struct http1_head *h, struct hg_str path)
{
	return edge_limit_then(c, h, path, NULL);
}

enum edge_step edge_limit_then(struct edge_conn *c, const struct http1_head *h, struct hg_str path,
        const struct edge_after *after)
{
	struct edge *e = c->edge;
	struct edge_req *r = c->req;
	const struct snap_image *im = r->image->snap;
	const struct snap_limit *limit = &snap_limits(im)[r->route->limit_first];
	uint32_t n = r->route->limit_count, worst = 0;
	uint64_t now = loop_now_ns(e->loop), key[SNAP_LIMITS], shared[SNAP_LIMITS], wait = 0;
	if (!e->rates || edge_of_probe(r, path) || snap_set_find(im, im->exempt, c->addr))
		return EDGE_STEP_ON;
	struct ip_addr client = ip_addr_client(c->addr);
	struct name address = {NAME_ADDRESS, {(const char *)&client, sizeof client}};
	r->limited = true;
	for (uint32_t i = 0; i < n; i++) {
		struct name name = name_of(r, &limit[i], h, address);
		key[i] = rates_key(
		        e->rates, limit[i].id, (uint8_t)name.kind, name.bytes.p, name.bytes.n);
		if (HG_UNLIKELY(e->together))
			shared[i] = edge_together_key(e, &limit[i], (uint8_t)name.kind, name.bytes);
		if (n == 1) break;
		struct gcra_verdict v = rates_peek(e->rates, key[i], limit[i].rule, now);
		keep(r, i, v.left, v.wait_ns);
		if (v.admit || v.wait_ns < wait) continue;
		wait = v.wait_ns;
		worst = i;
	}
	if (wait) return edge_limit_refuse(c, worst, wait);
	for (uint32_t i = 0; i < n; i++) {
		struct gcra_verdict v = rates_take(e->rates, key[i], limit[i].rule, now);
		keep(r, i, v.left, v.wait_ns);
		if (!v.admit) return edge_limit_refuse(c, i, v.wait_ns);
	}
	if (HG_UNLIKELY(e->together)) return edge_together_ask(c, h, key, shared, after);
	return EDGE_STEP_ON;
}

/* draft-ietf-httpapi-ratelimit-headers-11. `t`: the time in which there will be no more than `r`.
 */
void edge_limit_fields(const struct edge_req *r, struct hg_out *o)
{
	const struct snap_image *im = r->image->snap;
	const struct snap_limit *limit = &snap_limits(im)[r->route->limit_first];
	if (!r->limited) return;
	hg_out_str(o, snap_str(im, r->route->policy));
	for (uint32_t i = 0; i < r->route->limit_count; i++) {
		hg_out_str(o, i ? HG_STR(", \"") : HG_STR("RateLimit: \""));
		hg_out_str(o, snap_str(im, limit[i].name));
		hg_out_str(o, HG_STR("\";r="));
		hg_out_u64(o, r->quota[i].left);
		hg_out_str(o, HG_STR(";t="));
		hg_out_u64(o, r->quota[i].wait_s);
	}
	hg_out_str(o, HG_STR("\r\n"));
}
