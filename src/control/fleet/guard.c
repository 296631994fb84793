/* Who may, and how often: lists of networks and rate limits of the configuration, made ready for
 * the snapshot. The texts were checked while the file was read. */
#include "control/fleet/fleet_priv.h"

#include "wire/ip.h"
#include "wire/rate.h"

#include <stdio.h>
#include <stdlib.h>

#define GUARD_MAX (32u << 20)

static bool nets_add(
        struct ip_prefix *to, uint32_t *n, const struct hg_str *texts, uint32_t count, uint32_t v)
{
	uint8_t addr[16];
	for (uint32_t i = 0; i < count; i++) {
		struct ip_prefix *p = &to[*n];
		if (!ip_parse_net(texts[i], addr, &p->bits)) return false;
		p->addr = ip_addr_of(addr);
		p->value = v;
		(*n)++;
	}
	return true;
}

/* One set of two lists of networks, the second denied. */
static bool set_make(struct hg_arena *mem, const struct hg_str *allow, uint32_t allow_n,
        const struct hg_str *deny, uint32_t deny_n, struct snap_in_set *ret_set)
{
	uint32_t n = 0, all = allow_n + deny_n;
	*ret_set = (struct snap_in_set){.other = allow_n ? SNAP_ACCESS_DENY : SNAP_ACCESS_ALLOW};
	if (all == 0) return true;
	struct ip_prefix *p = calloc(all, sizeof *p);
	struct ip_step *steps = hg_arena_array(mem, IPSET_STEPS(all), sizeof *steps);
	bool ok = p && steps && nets_add(p, &n, allow, allow_n, SNAP_ACCESS_ALLOW) &&
	          nets_add(p, &n, deny, deny_n, SNAP_ACCESS_DENY);
	if (ok) ret_set->count = (uint32_t)ipset_compile(p, n, steps);
	ret_set->steps = steps;
	free(p);
	return ok;
}

/* "user-min", "ip-300s", "x-api-key-hour": short, and the same in every answer. */
static void limit_name(const struct rate *r, uint32_t at, char *to, size_t cap)
{
	static const char *const who[] = {[RATE_PER_ROUTE] = "route",
	        [RATE_PER_USER] = "user",
	        [RATE_PER_KEY] = "key",
	        [RATE_PER_IP] = "ip",
	        [RATE_PER_HEADER] = "header",
	        [RATE_PER_COOKIE] = "cookie"};
	unsigned s = (unsigned)r->period_s;
	char period[16];
	const char *word = s == 1       ? "sec"
	                   : s == 60    ? "min"
	                   : s == 3600  ? "hour"
	                   : s == 86400 ? "day"
	                                : NULL;
	if (word)
		(void)snprintf(period, sizeof period, "%s", word);
	else
		(void)snprintf(period, sizeof period, "%us", s);
	(void)snprintf(to, cap, "%s-%s", who[r->who], period);
	/* Names within a route differ. */
	size_t n = strlen(to);
	if (at && n < cap) (void)snprintf(to + n, cap - n, "-%u", at + 1);
}

/* As long as this is the same, so is the rule, and what was used of it stays used. */
static uint64_t limit_id(const char *app, const char *route, const struct rate *r)
{
	char text[640];
	int n = snprintf(text, sizeof text, "%s\n%s\n%d %llu/%llu+%llu %.*s", app, route,
	        (int)r->who, (unsigned long long)r->count, (unsigned long long)r->period_s,
	        (unsigned long long)r->burst, HG_STR_ARG(r->name));
	return hg_str_hash((struct hg_str){text, HG_MIN((size_t)n, sizeof text - 1)});
}

static bool limit_take(struct fleet_conf *c, const char *app, struct fleet_route *to,
        struct hg_str text, struct hg_out *policy)
{
	struct rate r;
	const char *why;
	char name[64];
	struct snap_in_limit *l = &to->limits[to->limit_count];
	if (!rate_parse(text, &r, &why) ||
	        !gcra_rule_make(r.count, r.period_s * 1000000000u, r.burst, &l->rule))
		return false;
	limit_name(&r, 0, name, sizeof name);
	for (uint32_t i = 0; i < to->limit_count; i++) {
		if (hg_str_eq(to->limits[i].name, hg_str(name)))
			limit_name(&r, to->limit_count, name, sizeof name);
	}
	l->name = hg_arena_str(&c->mem, hg_str(name));
	l->field = hg_arena_str(&c->mem, r.name.n ? r.name : HG_STR(""));
	l->id = limit_id(app, to->name, &r);
	l->who = r.who;
	l->local = r.local;
	hg_out_cstr(policy, to->limit_count++ ? ", " : "RateLimit-Policy: ");
	hg_out_fmt(policy, "\"%s\";q=%llu;w=%llu", name, (unsigned long long)r.count,
	        (unsigned long long)r.period_s);
	if (r.burst != r.count)
		hg_out_fmt(policy, ";headgate-burst=%llu", (unsigned long long)r.burst);
	return l->name.p && l->field.p;
}

bool fleet_guard_route(
        struct fleet_conf *c, struct hg_str app, const struct spec_route *r, struct fleet_route *to)
{
	char text[640], name[WD_NAME_MAX];
	struct hg_out policy = hg_out_over(text, sizeof text);
	if (r->rate_limit_count > SNAP_LIMITS || !hg_str_copy(app, name, sizeof name)) return false;
	if (r->rate_limit_count) {
		to->limits = hg_arena_array(&c->mem, r->rate_limit_count, sizeof *to->limits);
		if (!to->limits) return false;
	}
	for (uint32_t i = 0; i < r->rate_limit_count; i++)
		if (!limit_take(c, name, to, r->rate_limit[i], &policy)) return false;
	hg_out_cstr(&policy, "\r\n");
	if (hg_out_failed(&policy)) return false;
	if (to->limit_count) {
		to->policy = hg_arena_str(&c->mem, (struct hg_str){text, policy.n});
		to->session = hg_arena_str(&c->mem, r->session_cookie);
		if (!to->policy.p || !to->session.p) return false;
	}
	return set_make(&c->mem, r->allow, r->allowed_count, r->deny, r->denied_count, &to->access);
}

enum hg_rc fleet_guard_make(
        const struct spec_edge *s, struct fleet_guard **ret_guard, struct hg_err *err)
{
	struct fleet_guard *g = calloc(1, sizeof *g);
	if (!g) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	hg_arena_init(&g->mem, "lists of networks", GUARD_MAX);
	if (set_make(&g->mem, s->trusted_proxies, s->trusted_count, NULL, 0, &g->trusted) &&
	        set_make(&g->mem, s->rate_limit_exempt, s->exempt_count, NULL, 0, &g->exempt) &&
	        set_make(&g->mem, s->allow, s->allowed_count, s->deny, s->denied_count,
	                &g->access)) {
		*ret_guard = g;
		return HG_OK;
	}
	fleet_guard_free(g);
	return hg_err_set(err, HG_E_NOMEM, "the lists of networks are too large");
}

void fleet_guard_free(struct fleet_guard *g)
{
	if (!g) return;
	hg_arena_fini(&g->mem);
	free(g);
}
