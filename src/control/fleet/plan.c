/* A configuration becomes a plan (may fail), and the plan the desired state (may not). */
#include "control/fleet/fleet_priv.h"

#include "math/concurrency.h"
#include "wire/json.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static const char *keep(struct hg_arena *mem, struct hg_str s)
{
	return hg_arena_str(mem, s).p;
}

void fleet_conf_free(struct fleet_conf *c)
{
	if (!c) return;
	hg_arena_fini(&c->mem);
	free(c);
}

static uint32_t ms32(uint64_t ms)
{
	return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static bool take_probe(struct fleet_conf *c, enum probe_kind kind, const struct spec_probe *p)
{
	struct fleet_probe_conf *to = &c->probe[kind];
	if (!p->set) return true;
	struct hg_str what = {0};
	if (p->http.n) {
		to->kind = FLEET_PROBE_HTTP;
		what = p->http;
	} else if (p->grpc.p) {
		to->kind = FLEET_PROBE_GRPC;
		what = p->grpc;
	} else if (p->tcp) {
		to->kind = FLEET_PROBE_TCP;
	} else if (p->command.n) {
		to->kind = FLEET_PROBE_COMMAND;
		what = p->command;
	} else {
		return true;
	}
	to->what = keep(&c->mem, what);
	to->timeout_ms = HG_MAX(ms32(p->timeout_ms), 1u);
	c->rules.probe[kind] = (struct probe_rules){
	        .present = true,
	        .delay_ms = ms32(p->delay_ms),
	        .period_ms = HG_MAX(ms32(p->every_ms), 1u),
	        .successes = kind == PROBE_READINESS ? HG_MAX(p->successes, 1u) : 1,
	        .failures = HG_MAX(p->failures, 1u),
	};
	return to->what != NULL;
}

/* An app with routes and without any probe would get requests before it listens. */
static void imply_startup(struct fleet_conf *c)
{
	for (int k = 0; k < PROBE_KINDS; k++)
		if (c->rules.probe[k].present) return;
	if (c->route_count == 0) return;
	c->probe[PROBE_STARTUP] =
	        (struct fleet_probe_conf){.kind = FLEET_PROBE_TCP, .what = "", .timeout_ms = 1000};
	c->rules.probe[PROBE_STARTUP] = (struct probe_rules){
	        .present = true, .period_ms = 1000, .successes = 1, .failures = 1, .endless = true};
}

static struct rolling_share share_of(const struct spec_share *s)
{
	if (!s->set && !s->ppm && !s->count) return ROLLING_25_PERCENT;
	return (struct rolling_share){
	        .is_ratio = !s->is_count, .v = s->is_count ? s->count : s->ppm};
}

static bool take_client(struct fleet_conf *c, struct fleet_route *to, const struct spec_route *r)
{
	static const uint32_t mode[] = {[SPEC_CLIENT_CERTIFICATE_MODE_OFF] = SNAP_CLIENT_OFF,
	        [SPEC_CLIENT_CERTIFICATE_MODE_OPTIONAL] = SNAP_CLIENT_OPTIONAL,
	        [SPEC_CLIENT_CERTIFICATE_MODE_REQUIRED] = SNAP_CLIENT_REQUIRED};
	const struct spec_client_certificate *from = &r->client_certificate;
	to->client = mode[from->mode];
	to->cas = hg_arena_array(&c->mem, from->ca_count + 1, sizeof *to->cas);
	for (uint32_t i = 0; to->cas && i < from->ca_count; i++)
		if (!(to->cas[to->ca_count++] = keep(&c->mem, from->ca[i]))) return false;
	return to->cas != NULL;
}

static bool take_routes(struct fleet_conf *c, const struct spec_app *s)
{
	char name[256];
	const struct spec_preview *preview = &s->rollout.preview;
	c->routes = hg_arena_array(&c->mem, 2 * (size_t)s->route_count + 2, sizeof *c->routes);
	if (!c->routes) return false;
	for (uint32_t i = 0; i < s->route_count; i++) {
		const struct spec_route *r = &s->routes[i];
		struct fleet_route *to = &c->routes[c->route_count++];
		/* A version that a header asks for counts apart. */
		struct hg_str version = r->version.header.n ? r->version.name : HG_STR("");
		(void)snprintf(name, sizeof name, "%.*s%.*s%s%.*s", HG_STR_ARG(r->host),
		        HG_STR_ARG(r->path), version.n ? "@" : "", HG_STR_ARG(version));
		to->host = keep(&c->mem, r->host);
		to->path = keep(&c->mem, r->path);
		to->name = keep(&c->mem, hg_str(name));
		if (!to->host || !to->path || !to->name || !take_client(c, to, r)) return false;
		if (!fleet_guard_route(c, s->name, r, to)) return false;
		if (!fleet_access_make(c, &s->identity, &r->access, to)) return false;
		to->priority = (uint32_t)r->priority; /* low, normal, high in both */
		if (!r->affinity.set) continue;
		to->affinity = r->affinity.cookie.n ? SNAP_AFFINITY_COOKIE : SNAP_AFFINITY_CLIENT;
		to->affinity_s = (uint32_t)(r->affinity.ttl_ms / 1000);
		to->affinity_cookie = keep(&c->mem, r->affinity.cookie);
		if (!to->affinity_cookie) return false;
	}
	if (!preview->set || !preview->host.n) return true;
	struct fleet_route *to = &c->routes[c->route_count++];
	(void)snprintf(name, sizeof name, "%.*s/", HG_STR_ARG(preview->host));
	*to = (struct fleet_route){.host = keep(&c->mem, preview->host),
	        .path = "/",
	        .name = keep(&c->mem, hg_str(name)),
	        .priority = CONCURRENCY_NORMAL,
	        .preview = true};
	/* What the strictest of the app's routes asks for: the preview shows all of them. */
	for (uint32_t i = 0; i + 1 < c->route_count; i++) {
		const struct fleet_route *r = &c->routes[i];
		if (r->client <= to->client) continue;
		to->client = r->client;
		to->cas = r->cas;
		to->ca_count = r->ca_count;
	}
	return to->host && to->name && fleet_access_preview(c, s);
}

static bool take_versions(struct fleet_conf *c, const struct spec_app *s)
{
	c->versions = hg_arena_array(&c->mem, s->version_count + 1, sizeof *c->versions);
	for (uint32_t i = 0; c->versions && i < s->version_count; i++) {
		const struct spec_app_version *v = &s->versions[i];
		struct fleet_version *to = &c->versions[c->version_count++];
		to->name = hg_arena_str(&c->mem, v->name);
		to->env = hg_arena_array(&c->mem, v->env_count + 1, sizeof *to->env);
		if (!to->name.p || !to->env) return false;
		for (uint32_t k = 0; k < v->env_count; k++) {
			struct spec_pair *p = &to->env[to->env_count++];
			p->name = hg_arena_str(&c->mem, v->env[k].name);
			p->value = hg_arena_str(&c->mem, v->env[k].value);
			if (!p->name.p || !p->value.p) return false;
		}
	}
	return c->versions != NULL;
}

static bool take_needs(struct fleet_conf *c, const struct spec_app *s, const struct spec *spec)
{
	c->needs = hg_arena_array(&c->mem, s->need_count + 1, sizeof *c->needs);
	if (!c->needs) return false;
	for (uint32_t i = 0; i < s->need_count; i++) {
		/* Databases are files or other people's servers: there is nothing to wait for. */
		if (!spec_app_find(spec, s->needs[i])) continue;
		if (!(c->needs[c->need_count++] = keep(&c->mem, s->needs[i]))) return false;
	}
	return true;
}

/* "header NAME" and the like, as it was checked. */
static void take_key(struct hg_str of, struct snap_balance *to)
{
	struct hg_str name = of, kind = hg_str_cut(&name, ' ');
	to->key = SNAP_KEY_CLIENT;
	if (hg_str_eq(kind, HG_STR("path"))) to->key = SNAP_KEY_PATH;
	if (hg_str_eq(kind, HG_STR("header"))) to->key = SNAP_KEY_HEADER;
	if (hg_str_eq(kind, HG_STR("cookie"))) to->key = SNAP_KEY_COOKIE;
	(void)hg_str_copy(name, to->key_name, sizeof to->key_name);
}

static struct snap_balance balance_of(const struct spec_app *s)
{
	const struct spec_circuit_breaker *b = &s->protect.circuit_breaker;
	static const uint32_t method_of[] = {
	        [SPEC_BALANCE_METHOD_LEAST] = SNAP_LEAST,
	        [SPEC_BALANCE_METHOD_ROUND_ROBIN] = SNAP_ROUND_ROBIN,
	        [SPEC_BALANCE_METHOD_HASH] = SNAP_HASH,
	};
	struct snap_balance to = {
	        .method = method_of[s->balance.method],
	        .slow_start_ms = ms32(s->protect.slow_start_ms),
	};
	take_key(s->balance.of, &to);
	to.replica_max = s->protect.max_in_flight_per_replica;
	if (s->protect.queue.set) {
		to.queue_max = s->protect.queue.max;
		to.queue_ms = ms32(s->protect.queue.timeout_ms);
	}
	to.adaptive = s->protect.adaptive;
	to.guard = to.adaptive || b->set;
	if (b->set) {
		to.breaker_ppm = b->errors_ppm;
		to.breaker_over_ms = ms32(b->over_ms);
		to.breaker_open_ms = ms32(b->open_for_ms);
		to.breaker_min = b->min_requests;
		to.breaker_probes = b->probes;
	}
	return to;
}

static struct snap_tries tries_of(const struct spec_app *s)
{
	static const uint32_t from_of[] = {
	        [SPEC_DEADLINE_FROM_NOBODY] = SNAP_DEADLINE_OWN,
	        [SPEC_DEADLINE_FROM_TRUSTED] = SNAP_DEADLINE_TRUSTED,
	        [SPEC_DEADLINE_FROM_ANYBODY] = SNAP_DEADLINE_ANY,
	};
	const struct spec_protect *p = &s->protect;
	struct snap_tries to = {.per_try_ms = ms32(p->retries.per_try_timeout_ms),
	        .outlier_ppm = p->outlier.error_rate_above_peers_ppm,
	        .outlier_slower = p->outlier.p50_vs_peers_ppm,
	        .outlier_min = p->outlier.min_requests};
	/* Where keys differ, so do the times that their replicas take. */
	if (s->balance.method == SPEC_BALANCE_METHOD_HASH) to.outlier_slower = 0;
	if (p->deadline.set) {
		to.deadline = from_of[p->deadline.from];
		(void)hg_str_copy(p->deadline.header, to.deadline_field, sizeof to.deadline_field);
	}
	/* It was checked with the file. */
	if (p->retries.hedge.set)
		(void)spec_hedge_after(p->retries.hedge.after, &to.hedge_ms, &to.hedge_ppm);
	to.any = to.per_try_ms || to.deadline || to.hedge_ms || to.hedge_ppm || to.outlier_ppm ||
	         to.outlier_slower;
	return to;
}

/* A latency objective that no bucket of the meter ends at is counted by itself. */
static uint32_t fast_ms(const struct spec_app *s)
{
	uint64_t ms = s->slo.latency.set ? s->slo.latency.faster_than_ms : 0;
	return meter_bound_at(ms * CLOCK_NS_PER_MS) ? 0 : ms32(ms);
}

/* So is the threshold that ends rollouts, unless it is the same. */
static uint32_t rule_ms(const struct spec_app *s)
{
	uint64_t ms = s->rollout.abort_when.p95_ms;
	return meter_bound_at(ms * CLOCK_NS_PER_MS) || ms32(ms) == fast_ms(s) ? 0 : ms32(ms);
}

static void take_edge(struct fleet_conf *c, const struct spec_app *s)
{
	const struct spec_protect *p = &s->protect;
	c->edge = (struct snap_app){
	        .connect_ms = 1000,
	        .response_ms = ms32(p->timeout_ms),
	        .idle_ms = 60000,
	        .max_in_flight = p->max_in_flight,
	        .retries = p->retries.max,
	        .retry_budget_ppm = p->retry_budget_ppm,
	        .eject_errors = p->outlier.consecutive_errors,
	        .eject_ms = ms32(p->outlier.eject_for_ms),
	        .eject_max_ppm = p->outlier.max_ejected_ppm,
	        .balance = balance_of(s),
	        .tries = tries_of(s),
	        .identity = s->identity.set,
	        .fast_ms = fast_ms(s),
	        .rule_ms = rule_ms(s),
	};
	if (!s->analytics.set) return;
	static const uint32_t consumers[] = {
	        [SPEC_ANALYTICS_CONSUMERS_OFF] = 0,
	        [SPEC_ANALYTICS_CONSUMERS_NETWORK] = SNAP_ANALYTICS_CONSUMERS,
	        [SPEC_ANALYTICS_CONSUMERS_ADDRESS] =
	                SNAP_ANALYTICS_CONSUMERS | SNAP_ANALYTICS_ADDRESS,
	};
	c->edge.analytics =
	        consumers[s->analytics.consumers] | (s->analytics.paths ? SNAP_ANALYTICS_PATHS : 0);
}

static enum hg_rc dir_of(
        const struct spec_app *s, const char *base, char to[PATH_MAX], struct hg_err *err)
{
	int n;
	if (s->dir.n == 0 || hg_str_eq(s->dir, HG_STR(".")))
		n = snprintf(to, PATH_MAX, "%s", base);
	else if (s->dir.p[0] == '/')
		n = snprintf(to, PATH_MAX, "%.*s", HG_STR_ARG(s->dir));
	else
		n = snprintf(to, PATH_MAX, "%s/%.*s", base, HG_STR_ARG(s->dir));
	if (n < (int)sizeof((struct wd_msg){0}.dir)) return HG_OK;
	return hg_err_set(err, HG_E_FLEET_COMMAND, "the folder of app \"%.*s\" is too long",
	        HG_STR_ARG(s->name));
}

static enum hg_rc conf_fill(struct fleet *f, struct fleet_conf *c, const struct spec *spec,
        const struct spec_app *s, const char *base_dir, struct hg_err *err)
{
	char dir[PATH_MAX];
	if (s->name.n >= WD_NAME_MAX)
		return hg_err_set(err, HG_E_FLEET_LIMIT,
		        "the name of app \"%.*s\" is longer than %d", HG_STR_ARG(s->name),
		        WD_NAME_MAX - 1);
	/* Names of role processes in logs and folders. */
	if (hg_str_eq(s->name, HG_STR("control")) || hg_str_eq(s->name, HG_STR("edge")) ||
	        hg_str_eq(s->name, HG_STR("observe")) || hg_str_eq(s->name, HG_STR("warden")))
		return hg_err_set(err, HG_E_FLEET_LIMIT,
		        "the name \"%.*s\" belongs to Headgate itself; name the app otherwise",
		        HG_STR_ARG(s->name));
	if (s->replicas > FLEET_REPLICAS_MAX)
		return hg_err_set(err, HG_E_FLEET_LIMIT,
		        "app \"%.*s\" asks for %u replicas; an app can have %d",
		        HG_STR_ARG(s->name), s->replicas, FLEET_REPLICAS_MAX);
	c->name = keep(&c->mem, s->name);
	c->replicas = s->replicas;
	c->rules.grace_ms = s->shutdown.grace_ms ? ms32(s->shutdown.grace_ms) : 30000;
	c->rules.surge = share_of(&s->rollout.max_surge);
	c->rules.unavailable = share_of(&s->rollout.max_unavailable);
	c->rules.recreate = s->rollout.strategy == SPEC_ROLLOUT_STRATEGY_RECREATE;
	bool ok = c->name && take_routes(c, s) && fleet_gateway_take(c, spec, s) &&
	          take_needs(c, s, spec) && take_versions(c, s) &&
	          take_probe(c, PROBE_STARTUP, &s->probes.startup) &&
	          take_probe(c, PROBE_READINESS, &s->probes.readiness) &&
	          take_probe(c, PROBE_LIVENESS, &s->probes.liveness);
	if (!ok) return hg_err_set(err, HG_E_NOMEM, "the configuration is too large");
	imply_startup(c);
	c->logs_keep_ms = s->logs.keep_ms;
	c->logs_max_bytes = s->logs.max_size_bytes;
	take_edge(c, s);
	enum hg_rc rc = dir_of(s, base_dir, dir, err);
	if (rc == HG_OK) rc = fleet_pages_read(f, c, s, base_dir, err);
	if (rc < 0) return rc;
	return fleet_release_json(f, c, s, base_dir, dir, err);
}

static enum hg_rc conf_check(const struct fleet_conf *c, struct hg_err *err)
{
	struct fleet_release *rel;
	enum hg_rc rc = fleet_release_read(hg_str(c->release_json), 0, &rel, err);
	if (rc < 0) return rc;
	rc = fleet_command_check(rel, rel->command, c->name, err);
	for (int k = 0; rc == HG_OK && k < PROBE_KINDS; k++)
		if (c->probe[k].kind == FLEET_PROBE_COMMAND)
			rc = fleet_command_check(rel, c->probe[k].what, c->name, err);
	fleet_release_free(rel);
	return rc;
}

static enum hg_rc conf_make(struct fleet *f, const struct spec *spec, const struct spec_app *s,
        const char *base_dir, struct fleet_conf **ret_conf, struct hg_err *err)
{
	struct fleet_conf *c = calloc(1, sizeof *c);
	if (!c) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	hg_arena_init(&c->mem, "app configuration", FLEET_CONF_MAX);
	enum hg_rc rc = conf_fill(f, c, spec, s, base_dir, err);
	if (rc == HG_OK) rc = conf_check(c, err);
	if (rc == HG_OK)
		*ret_conf = c;
	else
		fleet_conf_free(c);
	return rc;
}

/* Depth-first over `needs`; mark 1: on the way, 2: done. */
static enum hg_rc visit(const struct fleet_plan *p, uint32_t i, uint8_t *mark, struct hg_err *err)
{
	const struct fleet_conf *c = p->confs[i];
	if (mark[i] == 2) return HG_OK;
	if (mark[i] == 1)
		return hg_err_set(err, HG_E_FLEET_NEEDS,
		        "app \"%s\" needs itself, by way of others", c->name);
	mark[i] = 1;
	for (uint32_t n = 0; n < c->need_count; n++) {
		for (uint32_t k = 0; k < p->count; k++) {
			if (strcmp(p->confs[k]->name, c->needs[n]) != 0) continue;
			enum hg_rc rc = visit(p, k, mark, err);
			if (rc < 0) return rc;
		}
	}
	mark[i] = 2;
	return HG_OK;
}

static enum hg_rc limits_check(const struct fleet_plan *p, struct hg_err *err)
{
	uint64_t routes = 0, replicas = 0;
	uint8_t *mark = calloc(p->count + 1, 1);
	if (!mark) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	enum hg_rc rc = HG_OK;
	for (uint32_t i = 0; i < p->count; i++) {
		HG_ASSERT(p->confs[i]);
		routes += p->confs[i]->route_count;
		replicas += p->confs[i]->replicas;
		if (rc == HG_OK) rc = visit(p, i, mark, err);
	}
	free(mark);
	/* A route has a lane for answers of nobody, and one a release: two while one replaces. */
	if (rc == HG_OK && (routes * 3 > METER_LANES_MAX || p->count > SNAP_APPS_MAX))
		rc = hg_err_set(err, HG_E_FLEET_LIMIT, "%u apps and %u routes are too many",
		        p->count, (unsigned)routes);
	/* The warden's list, with room for those that are replaced. */
	if (rc == HG_OK && replicas > WARDEN_REPLICAS_MAX / 2)
		rc = hg_err_set(err, HG_E_FLEET_LIMIT,
		        "%u replicas in all are too many: %d can run", (unsigned)replicas,
		        WARDEN_REPLICAS_MAX / 2);
	return rc;
}

/* Everything that applying this app will need. */
static enum hg_rc prepare(struct fleet *f, struct fleet_plan *p, uint32_t i, struct hg_err *err)
{
	struct fleet_conf *c = p->confs[i];
	HG_ASSERT(c);
	struct store_app row;
	uint32_t newest;
	struct fleet_app *a = fleet_app_find(f, hg_str(c->name));
	enum hg_rc rc;
	if (!a) {
		a = p->apps[i] = calloc(1, sizeof *a);
		if (!a) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
		rc = store_app_open(f->o.store, hg_str(c->name), &row, err);
		if (rc < 0) return rc;
		(void)hg_str_copy(hg_str(c->name), a->name, sizeof a->name);
		fleet_app_take(a, &row);
	}
	rc = fleet_release_same(f, a, c->release_json, c->digest, &c->release, &newest, err);
	if (rc < 0) return rc;
	/* The file's release may be one that a full disk kept out of the store. */
	if (!c->release && a->conf && strcmp(a->conf->release_json, c->release_json) == 0)
		c->release = a->file_release;
	if (c->release) return HG_OK;
	c->release = newest + 1;
	return fleet_release_read(hg_str(c->release_json), c->release, &p->releases[i], err);
}

enum hg_rc fleet_check(struct fleet *f, const struct spec *s, const char *base_dir,
        struct fleet_plan **ret_plan, struct hg_err *err)
{
	enum hg_rc rc = fleet_may_change(f, err);
	if (rc < 0) return rc;
	struct fleet_plan *p = calloc(1, sizeof *p);
	rc = HG_E_NOMEM;
	if (!p) return hg_err_set(err, rc, "memory is exhausted");
	p->count = s->app_count;
	p->table_cap = f->app_count + s->app_count;
	p->confs = calloc(p->count + 1, sizeof *p->confs);
	p->apps = calloc(p->count + 1, sizeof(struct fleet_app *));
	p->releases = calloc(p->count + 1, sizeof *p->releases);
	p->table = calloc(p->table_cap + 1, sizeof(struct fleet_app *));
	if (!p->confs || !p->apps || !p->releases || !p->table) {
		(void)hg_err_set(err, rc, "memory is exhausted");
		goto out;
	}
	rc = HG_OK;
	for (uint32_t i = 0; rc == HG_OK && i < p->count; i++)
		rc = conf_make(f, s, &s->apps[i], base_dir, &p->confs[i], err);
	if (rc == HG_OK) rc = limits_check(p, err);
	for (uint32_t i = 0; rc == HG_OK && i < p->count; i++)
		rc = prepare(f, p, i, err);
	if (rc < 0) goto out;
	bool https = s->edge.listen.https.set;
	static const uint32_t trace_from[] = {[SPEC_TRACES_FROM_NOBODY] = SNAP_TRACE_NOBODY,
	        [SPEC_TRACES_FROM_TRUSTED] = SNAP_TRACE_TRUSTED,
	        [SPEC_TRACES_FROM_ANYBODY] = SNAP_TRACE_ANYBODY};
	const struct spec_traces *traces = &s->edge.traces;
	if (traces->to.n && !hg_str_copy(traces->to, p->traces_to, sizeof p->traces_to)) goto out;
	p->edge = (struct snap_image){.trace_from = trace_from[traces->from],
	        .trace_to = traces->to.n > 0,
	        /* Nobody has said how many: whoever is told may draw himself. */
	        .trace_out_ppm = traces->set ? 1000000 - traces->sample_ppm : 0,
	        .trace_slow_ms = ms32(traces->slow_ms),
	        .https_port = https && s->edge.tls.redirect ? s->edge.listen.https.port : 0,
	        .hsts_s = https ? (uint32_t)(s->edge.tls.hsts_ms / 1000) : 0,
	        .proxy_in = s->edge.listen.proxy_protocol,
	        .h2_flags = (s->edge.http2 ? 0 : SNAP_H2_OFF) | (s->edge.h2c ? SNAP_H2_CLEAR : 0),
	        .h2_streams = (uint32_t)s->edge.http2_streams,
	        .head_max = (uint32_t)s->edge.limits.header_bytes,
	        .fields_max = s->edge.limits.fields,
	        .header_ms = ms32(s->edge.limits.header_timeout_ms),
	        .body_idle_ms = ms32(s->edge.limits.idle_ms),
	        .min_rate = (uint32_t)s->edge.limits.min_rate_bytes,
	        .keepalive_ms = ms32(s->edge.limits.keepalive_ms),
	        .connections_max = s->edge.limits.connections,
	        .connections_per_ip = s->edge.connections_per_ip,
	        .access_sample_ppm = s->edge.access_log.to == SPEC_ACCESS_LOG_TO_OFF
	                                     ? 0
	                                     : s->edge.access_log.sample_ppm};
	rc = fleet_guard_make(&s->edge, &p->guard, err);
	if (rc < 0) goto out;
	*ret_plan = p;
	p = NULL;
out:
	fleet_plan_free(p);
	return rc;
}

void fleet_plan_free(struct fleet_plan *p)
{
	if (!p) return;
	fleet_guard_free(p->guard);
	for (uint32_t i = 0; i < p->count; i++) {
		if (p->confs && p->confs[i]) fleet_conf_free(p->confs[i]);
		if (p->releases) fleet_release_free(p->releases[i]);
		if (p->apps) free(p->apps[i]);
	}
	free(p->confs);
	free(p->releases);
	free(p->apps);
	free(p->table);
	free(p);
}

/* Running replicas are probed by the new rules from now on; what is known of them stays. */
static void probes_change(struct fleet *f, struct fleet_app *a, const struct fl_rules *rules)
{
	uint64_t now = loop_now_ms(f->o.loop);
	const double none[PROBE_KINDS] = {0};
	for (uint32_t i = 0; i < a->core.high; i++) {
		struct fl_replica *c = &a->core.slot[i];
		if (!c->used || !fl_runs(c)) continue;
		bool started = c->probes.started, ready = probe_ready(&c->probes);
		if (a->at[i]) fleet_probes_stop(a->at[i]);
		probe_resume(&c->probes, rules->probe, c->probes.start_ms, started, ready, now,
		        UINT64_MAX, none);
	}
}

/* The serving release has all the app's replicas again. */
static void trial_end(struct fleet_app *a)
{
	a->core.trial = (struct fl_trial){0};
	a->serving_replicas = 0;
}

/* What the file describes: run at once, or for somebody else to say how it takes over. */
static void release_apply(struct fleet *f, struct fleet_app *a, const struct fleet_conf *c)
{
	bool changed = a->file_release != c->release;
	/* After a start of all nothing serves yet that could be compared with. */
	bool cold = f->o.child->incarnation <= 1 && !f->applied && a->core.trial.release == 0;
	bool at_once = !f->o.on_release || !a->core.release || !a->present || cold;
	a->file_release = c->release;
	if (at_once) {
		a->told = c->release;
		a->recreate = c->rules.recreate;
	}
	if (at_once && !a->present) trial_end(a);
	if (c->release == a->core.release) a->told = c->release;
	if (!at_once || !(changed || !a->present) || c->release == a->core.release) return;
	bool was_trial = c->release == a->core.trial.release;
	a->core.revision = was_trial ? a->core.trial.revision : fleet_revision_next(f, a);
	a->core.release = c->release;
	if (was_trial) trial_end(a);
}

static void app_apply(struct fleet *f, struct fleet_app *a, struct fleet_conf **conf,
        struct fleet_release **release)
{
	struct fleet_conf *c = *conf, *old = a->conf;
	bool changed = !old;
	for (int k = 0; old && k < PROBE_KINDS; k++)
		changed = changed || !probe_rules_equal(&old->rules.probe[k], &c->rules.probe[k]) ||
		          old->probe[k].kind != c->probe[k].kind ||
		          (c->probe[k].what && strcmp(old->probe[k].what, c->probe[k].what) != 0);
	if (old && changed) probes_change(f, a, &c->rules);
	a->conf = c;
	*conf = NULL;
	/* A scale by hand stays until the file says something new. */
	if (a->scale >= 0 && a->scale_file != c->replicas) a->scale = -1;
	a->scale_file = c->replicas;
	if (*release) {
		(*release)->next = a->releases;
		a->releases = *release;
		*release = NULL;
	}
	release_apply(f, a, c);
	a->present = true;
	a->core.rules = c->rules;
	a->core.rules.recreate = a->recreate;
	fleet_conf_free(old);
	fleet_app_save(f, a);
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct fleet_app *const *)a)->name, (*(struct fleet_app *const *)b)->name);
}

void fleet_apply(struct fleet *f, struct fleet_plan *p)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < f->app_count; i++) {
		p->table[n++] = f->apps[i];
		bool named = false;
		for (uint32_t k = 0; k < p->count && !named; k++)
			named = strcmp(p->confs[k]->name, f->apps[i]->name) == 0;
		if (named || !f->apps[i]->present) continue;
		f->apps[i]->present = false;
		fleet_app_save(f, f->apps[i]);
		fleet_journal(f, "app.removed", f->apps[i], f->apps[i]->core.release, 0, NULL);
	}
	for (uint32_t i = 0; i < p->count; i++) {
		if (!p->apps[i]) continue;
		p->table[n++] = p->apps[i];
		p->apps[i] = NULL;
	}
	free(f->apps);
	f->apps = p->table;
	f->app_count = n;
	p->table = NULL;
	qsort(f->apps, n, sizeof(struct fleet_app *), by_name);
	for (uint32_t i = 0; i < p->count; i++) {
		struct fleet_app *a = fleet_app_find(f, hg_str(p->confs[i]->name));
		bool fresh = p->releases[i] != NULL;
		app_apply(f, a, &p->confs[i], &p->releases[i]);
		if (fresh) fleet_release_event(f, a, a->file_release, a->conf->digest, "");
	}
	f->edge = p->edge;
	memcpy(f->traces_to, p->traces_to, sizeof f->traces_to);
	fleet_guard_free(f->guard);
	f->guard = p->guard;
	p->guard = NULL;
	fleet_maintenance_load(f);
	f->applied = true;
	fleet_plan_free(p);
	fleet_publish(f);
	fleet_retention_tell(f);
	for (uint32_t i = 0; i < f->app_count; i++)
		if (f->apps[i]->conf) fleet_releases_sweep(f, f->apps[i]);
	fleet_removed_sweep(f);
	fleet_sweep_start(f);
	fleet_releases_tell(f);
	fleet_kick(f);
}
