/* What the edge is told: snapshot generations, slots of the endpoint table. */
#include "control/fleet/fleet_priv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/clock.h"

struct draft {
	struct snap_in_app *apps;
	struct snap_in_route *routes;
	struct snap_in_lane *lanes;
	uint32_t app_count, route_count, lane_count, ca_count;
	struct fleet_authority ca[SNAP_CAS_MAX];
};

/* Releases of the app that have a process or are wanted, each once. */
static uint32_t releases_in_use(const struct fleet_app *a, uint32_t *to, uint32_t cap)
{
	uint32_t n = 0;
	to[n++] = a->core.release;
	if (a->core.trial.release) to[n++] = a->core.trial.release;
	for (uint32_t i = 0; i < a->core.high && n < cap; i++) {
		const struct fl_replica *r = &a->core.slot[i];
		bool seen = !r->used;
		for (uint32_t k = 0; k < n && !seen; k++)
			seen = to[k] == r->release;
		if (!seen) to[n++] = r->release;
	}
	return n;
}

#define RELEASES_MAX 8u

/* A name that is not there lets nobody in. */
static uint32_t cas_of(const struct draft *d, const struct fleet_route *r)
{
	uint32_t cas = 0;
	for (uint32_t i = 0; i < d->ca_count; i++) {
		bool named = r->ca_count == 0;
		for (uint32_t k = 0; k < r->ca_count && !named; k++)
			named = strcmp(d->ca[i].name, r->cas[k]) == 0;
		if (named) cas |= 1u << i;
	}
	return cas;
}

static void draft_app(struct fleet *f, struct fleet_app *a, struct draft *d)
{
	uint32_t rel[RELEASES_MAX], n = releases_in_use(a, rel, RELEASES_MAX);
	struct snap_in_app *in = &d->apps[d->app_count];
	*in = (struct snap_in_app){.name = hg_str(a->name), .fixed = a->conf->edge};
	in->fixed.id = a->id;
	in->pages = a->conf->pages;
	in->page_count = a->conf->page_count;
	in->fixed.maintenance = a->maintenance.on;
	in->fixed.maintenance_until_ms = a->maintenance.until_ms;
	in->message = hg_str(a->maintenance.message);
	in->through = (struct snap_in_set){.steps = a->through, .count = a->through_count};
	for (int k = 0; k < PROBE_KINDS; k++) {
		const struct fleet_probe_conf *p = &a->conf->probe[k];
		if (p->kind == FLEET_PROBE_HTTP) in->probe[k] = hg_str(p->what);
	}
	for (uint32_t i = 0; i < a->conf->route_count; i++) {
		const struct fleet_route *route = &a->conf->routes[i];
		struct snap_in_lane *lanes = &d->lanes[d->lane_count];
		for (uint32_t k = 0; k < n; k++)
			lanes[k] = (struct snap_in_lane){.release = rel[k],
			        .lane = fleet_lane_of(f, a->id, rel[k], route->name)};
		d->lane_count += n;
		d->routes[d->route_count++] = (struct snap_in_route){
		        .host = hg_str(route->host),
		        .path = hg_str(route->path),
		        .name = hg_str(route->name),
		        .app = d->app_count,
		        .lanes = lanes,
		        .lane_count = n,
		        .lane_none = fleet_lane_of(f, a->id, 0, route->name),
		        .preview = route->preview,
		        .priority = route->priority,
		        .affinity = route->affinity,
		        .affinity_s = route->affinity_s,
		        .affinity_cookie =
		                hg_str(route->affinity_cookie ? route->affinity_cookie : ""),
		        .client = route->client,
		        .cas = cas_of(d, route),
		        .limits = route->limits,
		        .limit_count = route->limit_count,
		        .policy = route->policy,
		        .session = route->session,
		        .access = route->access,
		        .rules = route->rules,
		        .gateway = route->gateway,
		};
	}
	d->app_count++;
}

static enum hg_rc build(struct fleet *f, struct draft *d, int *ret_fd, struct hg_err *err)
{
	uint32_t routes = 0;
	for (uint32_t i = 0; i < f->app_count; i++)
		if (f->apps[i]->present && f->apps[i]->conf)
			routes += f->apps[i]->conf->route_count;
	d->apps = calloc(f->app_count + 1, sizeof *d->apps);
	d->routes = calloc(routes + 1, sizeof *d->routes);
	d->lanes = calloc((size_t)routes * RELEASES_MAX + 1, sizeof *d->lanes);
	if (!d->apps || !d->routes || !d->lanes)
		return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	if (f->o.authorities) d->ca_count = f->o.authorities(f->o.arg, d->ca);
	fleet_lanes_begin(f);
	for (uint32_t i = 0; i < f->app_count; i++)
		if (f->apps[i]->present && f->apps[i]->conf) draft_app(f, f->apps[i], d);
	struct snap_in_ca cas[SNAP_CAS_MAX];
	for (uint32_t i = 0; i < d->ca_count; i++)
		cas[i] = (struct snap_in_ca){d->ca[i].certs, d->ca[i].crl};
	struct snap_in in = {
	        .cas = cas,
	        .ca_count = d->ca_count,
	        .generation = f->generation + 1,
	        .apps = d->apps,
	        .app_count = d->app_count,
	        .routes = d->routes,
	        .route_count = d->route_count,
	        .edge = f->edge,
	        .via = HG_STR("headgate"),
	};
	if (f->guard) {
		in.trusted = f->guard->trusted;
		in.exempt = f->guard->exempt;
		in.access = f->guard->access;
	}
	return snap_build(&in, ret_fd, err);
}

void fleet_publish(struct fleet *f)
{
	struct draft d = {0};
	struct hg_err err = {0};
	int fd = -1;
	enum hg_rc rc = build(f, &d, &fd, &err);
	free(d.apps);
	free(d.routes);
	free(d.lanes);
	fleet_lanes_end(f);
	if (rc < 0) {
		/* The edge goes on with what it has. */
		if (f->o.log)
			hg_log(f->o.log, HG_ERROR, "snapshot.failed", HG_S("error", err.message));
		return;
	}
	f->generation++;
	fleet_store_result(
	        f, store_kv_u64_set(f->o.store, "snapshot.generation", f->generation, &err), &err);
	struct wd_msg m = {.type = WD_SNAPSHOT, .generation = f->generation};
	fleet_send(f, &m, fd);
	if (f->ready_sent) return;
	f->ready_sent = true;
	fleet_send_simple(f, WD_READY, 0, 0);
}

uint64_t fleet_generation(const struct fleet *f)
{
	return f->generation;
}

void fleet_authorities_changed(struct fleet *f)
{
	if (f->applied) fleet_publish(f);
}

static int place_take(struct fleet *f, struct fleet_replica *r)
{
	/* Round robin, so that a place rests before the next process has it. */
	for (uint32_t i = 0; i < SNAP_ENDPOINTS; i++) {
		uint32_t at = (f->ep_next + i) % SNAP_ENDPOINTS;
		if (f->ep_owner[at]) continue;
		f->ep_next = (at + 1) % SNAP_ENDPOINTS;
		f->ep_owner[at] = r;
		return (int)at;
	}
	return -1;
}

/* What the place has counted for others, before anybody sees that it is ours. */
static void base_take(struct fleet *f, int place)
{
	struct meter_replica_sum sum;
	if (!f->board || !f->meter || place < 0) return;
	meter_replica_sum(f->meter, (uint32_t)place, &sum);
	board_base_set(f->board, (uint32_t)place, &sum, clock_mono_ms());
}

void fleet_endpoint(struct fleet_replica *r, uint32_t state)
{
	struct fleet *f = r->f;
	const struct fl_replica *c = fleet_core(r);
	const struct fleet_release *rel = fleet_release_find(f, r->app, c->release);
	if (r->ep < 0 && state == SNAP_EP_FREE) return;
	if (r->ep < 0) {
		r->ep = place_take(f, r);
		base_take(f, r->ep);
	}
	if (r->ep < 0) return; /* more than 4096 replicas: refused by fleet_check */
	struct snap_endpoint ep = {
	        .state = state,
	        .app = r->app->id,
	        .release = c->release,
	        .replica = c->number,
	        .incarnation = (uint32_t)r->id,
	        .weight = c->spare ? 0 : 1000000,
	        .family = r->addr.sa.sa_family,
	        .proxy = rel ? rel->proxy : 0,
	        .tls = rel ? rel->tls : 0,
	        .http2 = rel && rel->http2,
	};
	if (ep.family == AF_UNIX) {
		(void)hg_str_copy(hg_str(r->addr.un.sun_path), ep.path, sizeof ep.path);
	} else if (ep.family == AF_INET) {
		ep.port = sock_addr_port(&r->addr);
		ep.ip4 = ntohl(r->addr.in4.sin_addr.s_addr);
	}
	if (state == SNAP_EP_FREE) ep = (struct snap_endpoint){.state = SNAP_EP_FREE};
	snap_table_set(f->table, (uint32_t)r->ep, &ep);
	if (state != SNAP_EP_FREE) return;
	f->ep_owner[r->ep] = NULL;
	r->ep = -1;
}
