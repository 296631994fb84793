/* What no single key can tell: the parts of the configuration must fit each other. */
#include "spec/spec_priv.h"

#include <stdio.h>

#include "base/map.h"
#include "spec/snapshot.h"
#include "wire/jsondiff.h"

struct checking {
	const struct spec *s;
	struct spec_report *r;
};

/* Where a key was written; the nearest thing above it that was, when it was not. */
static const struct spec_node *below(const struct spec_node *n, const char *key)
{
	const struct spec_node *c = n ? spec_node_get(n, key) : NULL;
	return c ? c : n;
}

static const struct spec_node *item(const struct spec_node *list, uint32_t at)
{
	const struct spec_node *c = list ? list->first : NULL;
	while (c && at--)
		c = c->next;
	return c ? c : list;
}

static const struct spec_node *named(const struct spec_node *map, struct hg_str name)
{
	for (const struct spec_node *c = map ? map->first : NULL; c; c = c->next) {
		if (hg_str_eq(c->key, name)) return c;
	}
	return map;
}

static const struct spec_node *app_node(const struct checking *c, const struct spec_app *app)
{
	return named(below(c->s->origin->tree, "apps"), app->name);
}

static struct hg_err *fail(struct checking *c, enum hg_rc rc, const struct spec_node *at)
{
	return spec_report_error(c->r, rc, at ? at->line : 0, at ? at->column : 0);
}

/* The same, at the key and not at the value. */
static struct hg_err *fail_key(struct checking *c, enum hg_rc rc, const struct spec_node *at)
{
	bool key = at && at->key_line;
	return spec_report_error(c->r, rc, key ? at->key_line : 0, key ? at->key_column : 0);
}

static struct hg_err *warn(struct checking *c, const struct spec_node *at)
{
	bool key = at && at->key_line;
	return spec_report_warning(c->r, key ? at->key_line : 0, key ? at->key_column : 0);
}

/* ---- needs ---- */

static const struct spec_database *database_find(const struct spec *s, struct hg_str name)
{
	for (uint32_t i = 0; i < s->database_count; i++) {
		if (hg_str_eq(s->databases[i].name, name)) return &s->databases[i];
	}
	return NULL;
}

static void near_name(struct hg_err *e, const struct spec *s, struct hg_str name)
{
	for (uint32_t i = 0; i < s->app_count; i++) {
		if (hg_str_distance(s->apps[i].name, name) <= 2) {
			hg_err_hint(e, "did you mean \"%.*s\"?", HG_STR_ARG(s->apps[i].name));
			return;
		}
	}
	for (uint32_t i = 0; i < s->database_count; i++) {
		if (hg_str_distance(s->databases[i].name, name) <= 2) {
			hg_err_hint(e, "did you mean \"%.*s\"?", HG_STR_ARG(s->databases[i].name));
			return;
		}
	}
	hg_err_hint(e, "name an app or a database of this file");
}

static void check_needs(struct checking *c, const struct spec_app *app)
{
	const struct spec_node *list = below(app_node(c, app), "needs");
	for (uint32_t i = 0; i < app->need_count; i++) {
		struct hg_str need = app->needs[i];
		if (hg_str_eq(need, app->name)) {
			spec_err_say(fail(c, HG_E_CONFIG_CONFLICT, item(list, i)),
			        "app \"%.*s\" needs itself", HG_STR_ARG(need));
		} else if (!spec_app_find(c->s, need) && !database_find(c->s, need)) {
			struct hg_err *e = fail(c, HG_E_CONFIG_REFERENCE, item(list, i));
			spec_err_say(e, "app \"%.*s\" needs \"%.*s\", which does not exist",
			        HG_STR_ARG(app->name), HG_STR_ARG(need));
			near_name(e, c->s, need);
		}
	}
}

enum colour { WHITE, GREY, BLACK }; /* not seen, on the way, done */

/* Depth first; an app that is met while it is on the way closes a cycle. NULL: none. */
static const struct spec_app *cycle_from(
        const struct spec *s, const struct spec_app *app, uint8_t *colours)
{
	const struct spec_app *found = NULL;
	colours[app - s->apps] = GREY;
	for (uint32_t i = 0; i < app->need_count && !found; i++) {
		const struct spec_app *next = spec_app_find(s, app->needs[i]);
		if (!next || next == app) continue; /* said already */
		if (colours[next - s->apps] == GREY) found = next;
		if (colours[next - s->apps] == WHITE) found = cycle_from(s, next, colours);
	}
	colours[app - s->apps] = BLACK;
	return found;
}

static void check_cycles(struct checking *c)
{
	uint8_t colours[1024] = {0}; /* as many as a mapping may have keys */
	HG_ASSERT(c->s->app_count <= sizeof colours);
	for (uint32_t i = 0; i < c->s->app_count; i++) {
		if (colours[i] != WHITE) continue;
		const struct spec_app *app = cycle_from(c->s, &c->s->apps[i], colours);
		if (!app) continue;
		struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, below(app_node(c, app), "needs"));
		spec_err_say(e, "app \"%.*s\" needs itself through others", HG_STR_ARG(app->name));
		hg_err_hint(e, "none of them could be started first: remove one of the needs");
		return;
	}
}

static bool has_address(const struct spec_app *app)
{
	for (uint32_t i = 0; i < app->env_count; i++)
		if (hg_str_eq(app->env[i].name, HG_STR("LISTEN_FDS"))) return true;
	return spec_command_uses(app->command, HG_STR("PORT")) ||
	       spec_command_uses(app->command, HG_STR("SOCKET")) ||
	       spec_command_uses(app->command, HG_STR("LISTEN_FDS"));
}

/* ---- routes ---- */

static struct hg_str path_norm(struct hg_str p)
{
	while (p.n > 1 && p.p[p.n - 1] == '/')
		p.n--;
	return p;
}

static const struct spec_node *route_node(
        const struct checking *c, const struct spec_app *app, uint32_t at)
{
	return item(below(app_node(c, app), "routes"), at);
}

#define ROUTES_MAX (SNAP_ROUTES_MAX / 16 * 10)

/* Host and path in the form in which two routes are the same; false: it has none. */
static bool route_key(const struct spec_route *r, struct hg_out *o)
{
	if (r->version.header.n) return false; /* one of several: check_gateway.c */
	for (size_t i = 0; i < r->host.n; i++) {
		char ch = r->host.p[i];
		hg_out_byte(o, ch >= 'A' && ch <= 'Z' ? (char)(ch | 0x20) : ch);
	}
	hg_out_byte(o, '\n');
	hg_out_str(o, path_norm(r->path));
	return !hg_out_failed(o);
}

static void check_limits(struct checking *c, const struct spec_app *app, uint32_t at)
{
	const struct spec_route *r = &app->routes[at];
	if (r->rate_limit_count <= SNAP_LIMITS) return;
	struct hg_err *e = fail(c, HG_E_CONFIG_LIMIT, below(route_node(c, app, at), "rate_limit"));
	spec_err_say(
	        e, "a route has at most %d rate limits, not %u", SNAP_LIMITS, r->rate_limit_count);
}

static void route_conflict(struct checking *c, const struct spec_app *app, uint32_t route,
        const struct spec_app *first, uint32_t first_route)
{
	const struct spec_node *at = route_node(c, first, first_route);
	struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, route_node(c, app, route));
	spec_err_say(e, "route %.*s%.*s of app \"%.*s\" is taken by app \"%.*s\"",
	        HG_STR_ARG(app->routes[route].host), HG_STR_ARG(app->routes[route].path),
	        HG_STR_ARG(app->name), HG_STR_ARG(first->name));
	if (at && at->line) hg_err_detail(e, "the first is on line %u", at->line);
	hg_err_hint(e, "give one of them another host or path");
}

/* The first route of each host and path is kept by number; a later one of the same is in conflict.
 */
static void check_route(struct checking *c, struct hg_map *seen, uint32_t a, uint32_t i)
{
	char text[8192];
	const struct spec_app *app = &c->s->apps[a];
	struct hg_out o = hg_out_over(text, sizeof text);
	check_limits(c, app, i);
	if (!route_key(&app->routes[i], &o)) return;
	struct hg_str key = {text, o.n};
	uintptr_t first = (uintptr_t)hg_map_get(seen, key);
	if (first) {
		first--;
		route_conflict(
		        c, app, i, &c->s->apps[first / ROUTES_MAX], (uint32_t)(first % ROUTES_MAX));
	} else if (hg_map_put(seen, key, (void *)((uintptr_t)a * ROUTES_MAX + i + 1)) < 0) {
		spec_err_say(fail(c, HG_E_NOMEM, NULL), "memory is exhausted");
	}
}

static void check_routes(struct checking *c)
{
	uint32_t all = 0;
	bool listens = false;
	for (uint32_t a = 0; a < c->s->app_count; a++) {
		all += c->s->apps[a].route_count;
		listens = listens || has_address(&c->s->apps[a]);
	}
	if (all == 0 && listens) {
		struct hg_err *e = warn(c, below(c->s->origin->tree, "apps"));
		spec_err_say(e, "no app has a route: the edge answers every request with 404");
		hg_err_hint(e, "add `domain: example.com`, or `routes: [{path: /}]` for any host");
	}
	if (all > ROUTES_MAX) {
		spec_err_say(fail(c, HG_E_CONFIG_LIMIT, NULL),
		        "there are %u routes; the limit is %u", all, ROUTES_MAX);
		return;
	}
	struct hg_map seen;
	hg_map_init(&seen, 0);
	for (uint32_t a = 0; a < c->s->app_count; a++) {
		for (uint32_t i = 0; i < c->s->apps[a].route_count; i++)
			check_route(c, &seen, a, i);
	}
	hg_map_fini(&seen);
}

/* ---- folders ---- */

#define FOLDER_MAX       8192u
#define FOLDERS_COMPARED 4096u

struct folder {
	const struct spec_app *app;
	uint32_t at; /* in its `writable` */
	struct hg_str path;
};

/* Appends the parts of `path` in their plain form: no "//", no ".", ".." takes one away. */
static void path_add(struct hg_buf *to, struct hg_str path)
{
	while (path.n) {
		struct hg_str part = hg_str_cut(&path, '/');
		if (part.n == 0 || hg_str_eq(part, HG_STR("."))) continue;
		if (hg_str_eq(part, HG_STR(".."))) {
			while (to->n && to->p[--to->n] != '/') {
			}
			continue;
		}
		hg_buf_cstr(to, "/");
		hg_buf_str(to, part);
	}
}

/* Where the folder will be, from the root; below "/?" when the configuration's folder is not known.
 * False: no memory. */
static bool folder_path(
        const struct checking *c, struct hg_arena *a, struct folder *f, struct hg_str *ret_path)
{
	struct hg_buf b;
	struct hg_str path = f->app->sandbox.writable[f->at], dir = f->app->dir;
	bool whole = path.n && path.p[0] == '/', from_root = dir.n && dir.p[0] == '/';
	hg_buf_init(&b, FOLDER_MAX);
	if (!whole && !from_root) {
		struct hg_str base = c->s->origin->dir;
		path_add(&b, base.n ? base : HG_STR("?"));
	}
	if (!whole) path_add(&b, dir);
	path_add(&b, path);
	*ret_path = hg_arena_str(a, hg_buf_view(&b));
	hg_buf_free(&b);
	return ret_path->p != NULL;
}

/* True when `in` lies below `out`, not for the same folder. */
static bool lies_in(struct hg_str in, struct hg_str out)
{
	return in.n > out.n && hg_str_starts(in, out) && in.p[out.n] == '/';
}

static void nested(struct checking *c, const struct folder *in, const struct folder *out)
{
	const struct spec_node *list = below(below(app_node(c, out->app), "sandbox"), "writable");
	const struct spec_node *at = item(list, out->at);
	struct hg_str mine = in->app->sandbox.writable[in->at];
	struct hg_err *e = fail(c, HG_E_CONFIG_NESTED,
	        item(below(below(app_node(c, in->app), "sandbox"), "writable"), in->at));
	spec_err_say(e, "writable folder \"%.*s\" of app \"%.*s\" lies inside \"%.*s\" of %s%.*s%s",
	        HG_STR_ARG(mine), HG_STR_ARG(in->app->name),
	        HG_STR_ARG(out->app->sandbox.writable[out->at]),
	        in->app == out->app ? "the same app" : "app \"",
	        in->app == out->app ? 0 : (int)out->app->name.n, out->app->name.p,
	        in->app == out->app ? "" : "\"");
	if (at && at->line) hg_err_detail(e, "the outer one is on line %u", at->line);
	if (in->app == out->app)
		hg_err_hint(e, "the outer folder is enough: remove the inner one");
	else
		hg_err_hint(e, "give each app a folder of its own, side by side");
}

/*
 * Whoever may write the outer folder may put something else in place of the inner one, which is
 * opened with more rights than its own at the next start. The same folder twice is another matter:
 * nobody may replace it, its parent is not theirs. Apps with the same `user` share it that way.
 */
static void check_folders(struct checking *c)
{
	uint32_t n = 0, filled = 0;
	struct hg_arena a;
	struct folder *f = NULL;
	for (uint32_t i = 0; i < c->s->app_count; i++)
		n += c->s->apps[i].sandbox.writable_count;
	if (n < 2) return;
	if (n > FOLDERS_COMPARED) {
		spec_err_say(fail(c, HG_E_CONFIG_LIMIT, NULL),
		        "there are %u writable folders; the limit is %u", n, FOLDERS_COMPARED);
		return;
	}
	hg_arena_init(&a, "spec.folders", 64u << 20);
	f = hg_arena_array(&a, n, sizeof *f);
	bool good = f != NULL;
	for (uint32_t i = 0; good && i < c->s->app_count; i++) {
		const struct spec_app *app = &c->s->apps[i];
		for (uint32_t k = 0; good && k < app->sandbox.writable_count; k++, filled++) {
			f[filled] = (struct folder){.app = app, .at = k};
			good = folder_path(c, &a, &f[filled], &f[filled].path);
		}
	}
	if (!good) spec_err_say(fail(c, HG_E_NOMEM, NULL), "no memory for the writable folders");
	for (uint32_t i = 0; good && i < n; i++) {
		for (uint32_t k = 0; k < n; k++) {
			if (!lies_in(f[i].path, f[k].path)) continue;
			nested(c, &f[i], &f[k]);
			break; /* once a folder */
		}
	}
	hg_arena_fini(&a);
}

/* ---- commands ---- */

static bool app_variable(void *ctx, struct hg_str name, struct hg_str *ret_value)
{
	static const char *const ours[] = {"PORT", "SOCKET", "LISTEN_FDS"};
	const struct spec_app *app = ctx;
	*ret_value = HG_STR("x");
	for (size_t i = 0; i < HG_COUNT(ours); i++) {
		if (hg_str_eq(name, hg_str(ours[i]))) return true;
	}
	if (hg_str_starts(name, HG_STR("HEADGATE_"))) return true;
	for (uint32_t i = 0; i < app->env_count; i++) {
		if (hg_str_eq(app->env[i].name, name)) return true;
	}
	for (uint32_t i = 0; i < app->secret_count; i++) {
		if (hg_str_eq(app->secrets[i], name)) return true;
	}
	return false;
}

static void check_command(struct checking *c, const struct spec_app *app, struct hg_str command,
        const struct spec_node *at)
{
	struct hg_arena a;
	struct hg_err err = {0};
	char **argv;
	uint32_t argc;
	if (command.n == 0) return;
	hg_arena_init(&a, "spec.check", 8u << 20);
	if (spec_command_split(
	            command, app_variable, (void *)(uintptr_t)app, &a, &argv, &argc, &err) < 0) {
		struct hg_err *e = fail(c, err.rc, at);
		spec_err_say(e, "%s", err.message);
		hg_err_hint(e, "%s", err.hint);
	}
	hg_arena_fini(&a);
}

static bool connects(const struct spec_probe *p)
{
	return p->http.n || p->grpc.p || p->tcp;
}

static void check_port(struct checking *c, const struct spec_app *app)
{
	const struct spec_probes *p = &app->probes;
	bool probed = connects(&p->startup) || connects(&p->readiness) || connects(&p->liveness);
	if (!app->command.n || (!app->route_count && !probed) || has_address(app)) return;
	struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, below(app_node(c, app), "command"));
	spec_err_say(e, "the command of app \"%.*s\" does not name $PORT, but the app has %s",
	        HG_STR_ARG(app->name), app->route_count ? "routes" : "probes that connect to it");
	hg_err_hint(e,
	        "every replica listens on a port of its own: add `--port $PORT`; for a program "
	        "that reads PORT from its environment write `env PORT=$PORT program`");
}

static void check_env(struct checking *c, const struct spec_app *app)
{
	const struct spec_node *env = below(app_node(c, app), "env");
	for (uint32_t i = 0; i < app->env_count; i++) {
		struct hg_str n = app->env[i].name;
		if (hg_str_eq(n, HG_STR("LISTEN_FDS")) &&
		        !hg_str_eq(app->env[i].value, HG_STR("1"))) {
			struct hg_err *e = fail(c, HG_E_CONFIG_RANGE, item(env, i));
			spec_err_say(e, "LISTEN_FDS must be 1: a replica inherits one listener");
			hg_err_hint(e, "write `LISTEN_FDS: 1`");
		}
		if (!hg_str_eq(n, HG_STR("LISTEN_PID")) && !hg_str_eq(n, HG_STR("PORT")) &&
		        !hg_str_eq(n, HG_STR("SOCKET")) && !hg_str_starts(n, HG_STR("HEADGATE_")))
			continue;
		struct hg_err *e = fail_key(c, HG_E_CONFIG_CONFLICT, item(env, i));
		spec_err_say(e, "\"%.*s\" is set by Headgate for every replica", HG_STR_ARG(n));
		hg_err_hint(e, "remove it from env; use $PORT in the command");
	}
}

/* ---- probes ---- */

static void check_probe(struct checking *c, const struct spec_app *app, const char *name,
        const struct spec_probe *p, bool once)
{
	const struct spec_node *at = below(below(app_node(c, app), "probes"), name);
	int ways = (p->http.n > 0) + (p->grpc.p != NULL) + p->tcp + (p->command.n > 0);
	if (!p->set) return;
	if (ways != 1) {
		struct hg_err *e = fail_key(c, HG_E_CONFIG_CONFLICT, at);
		spec_err_say(e,
		        "probe \"%s\" of app \"%.*s\" must have one of http, grpc, tcp and "
		        "command",
		        name, HG_STR_ARG(app->name));
		hg_err_hint(e, "for example `%s: {http: /health}`", name);
	}
	if (once && p->successes != 1) {
		struct hg_err *e = fail(c, HG_E_CONFIG_RANGE, below(at, "successes"));
		spec_err_say(e, "\"successes\" of a %s probe must be 1", name);
		hg_err_hint(e, "only readiness may ask for several successes in a row");
	}
	if (p->grpc.p && app->upstream.protocol != SPEC_UPSTREAM_PROTOCOL_HTTP2) {
		struct hg_err *e = fail_key(c, HG_E_CONFIG_CONFLICT, below(at, "grpc"));
		spec_err_say(e,
		        "a grpc probe asks by HTTP/2, but the replicas are spoken to by HTTP/1.1");
		hg_err_hint(e, "add `upstream: {protocol: http2}` to app \"%.*s\"",
		        HG_STR_ARG(app->name));
	}
	check_command(c, app, p->command, below(at, "command"));
}

/* What cannot be said once for a connection that many clients share. */
static void check_upstream(struct checking *c, const struct spec_app *app)
{
	const struct spec_node *at = below(below(app_node(c, app), "upstream"), "protocol");
	if (app->upstream.protocol != SPEC_UPSTREAM_PROTOCOL_HTTP2 || !app->proxy_protocol) return;
	struct hg_err *e = fail_key(c, HG_E_CONFIG_CONFLICT, at);
	spec_err_say(e,
	        "\"proxy_protocol\" with \"protocol: http2\": a connection to a replica carries "
	        "requests of many clients");
	hg_err_hint(e, "remove proxy_protocol; replicas find the client in X-Forwarded-For");
}

static void check_probes(struct checking *c, const struct spec_app *app)
{
	const struct spec_probes *p = &app->probes;
	const struct spec_node *at = below(app_node(c, app), "probes");
	check_probe(c, app, "startup", &p->startup, true);
	check_probe(c, app, "readiness", &p->readiness, false);
	check_probe(c, app, "liveness", &p->liveness, true);
	if (p->liveness.http.n && hg_str_eq(p->liveness.http, p->readiness.http)) {
		struct hg_err *e = warn(c, below(at, "liveness"));
		spec_err_say(e,
		        "app \"%.*s\" asks the same path for liveness and readiness: an outage of "
		        "its database would restart every replica",
		        HG_STR_ARG(app->name));
		hg_err_hint(e,
		        "let liveness ask a path that looks at the process alone, or leave it out");
	}
	if (app->route_count && app->replicas && !p->readiness.set && !p->startup.set) {
		struct hg_err *e = warn(c, app_node(c, app));
		spec_err_say(e, "app \"%.*s\" has no health check: zero downtime is off",
		        HG_STR_ARG(app->name));
		hg_err_hint(e, "a replica gets requests as soon as it runs, ready or not; add "
		               "`health: /health`");
	}
}

/* ---- the rest ---- */

static void check_autoscale(struct checking *c, const struct spec_app *app)
{
	const struct spec_autoscale *s = &app->autoscale;
	const struct spec_node *at = below(app_node(c, app), "autoscale");
	if (!s->set) return;
	if (s->min > s->max) {
		struct hg_err *e = fail(c, HG_E_CONFIG_RANGE, below(at, "min"));
		spec_err_say(
		        e, "autoscale.min (%u) is larger than autoscale.max (%u)", s->min, s->max);
	}
	const struct spec_scale_rule *rules[] = {&s->scale_up, &s->scale_down};
	const char *const names[] = {"scale_up", "scale_down"};
	for (size_t r = 0; r < HG_COUNT(rules); r++) {
		for (uint32_t i = 0; i < rules[r]->policy_count; i++) {
			const struct spec_scale_policy *p = &rules[r]->policies[i];
			if (!p->percent != !p->replicas) continue;
			spec_err_say(fail(c, HG_E_CONFIG_CONFLICT,
			                     item(below(below(at, names[r]), "policies"), i)),
			        "a scaling policy must have one of percent and replicas");
		}
	}
}

static void check_steps(struct checking *c, const struct spec_app *app)
{
	const struct spec_node *at = below(below(app_node(c, app), "rollout"), "steps");
	uint32_t last = 0;
	for (uint32_t i = 0; i < app->rollout.step_count; i++) {
		uint32_t w = app->rollout.steps[i].weight_ppm;
		/* The first may be 0 %: replicas are there, and copies of requests at most. */
		if (w <= last && i > 0) {
			struct hg_err *e = fail(c, HG_E_CONFIG_RANGE, item(at, i));
			spec_err_say(e, "the weights of the steps must grow");
			return;
		}
		last = w;
	}
	if (app->rollout.step_count == 1 && last == 0)
		spec_err_say(fail(c, HG_E_CONFIG_RANGE, item(at, 0)),
		        "no step has requests: after 0%% there must be another step");
}

static bool ignore_fits(struct checking *c, struct hg_str text, const struct spec_node *at)
{
	struct jsonpath path;
	size_t place;
	const char *why = jsonpath_parse(text, &path, &place);
	if (!why) return true;
	struct hg_err *e = fail(c, HG_E_CONFIG_VALUE, at);
	spec_err_say(e, "\"%.*s\" is no path into an answer: %s, at its character %zu",
	        HG_STR_ARG(text), why, place + 1);
	hg_err_hint(e, "$.created_at, $.list[*].id, $[0]['any name']; quoted where YAML needs it");
	return false;
}

/* What differs between two answers and does not matter. All of it goes to the edge. */
static void check_mirror(struct checking *c, const struct spec_app *app)
{
	const struct spec_mirror *m = &app->rollout.mirror;
	const struct spec_node *at = below(below(app_node(c, app), "rollout"), "mirror");
	const struct spec_node *list = below(at, "ignore");
	size_t all = 0;
	bool fit = true;
	for (uint32_t i = 0; i < m->ignore_count; i++) {
		fit = ignore_fits(c, m->ignore[i], item(list, i)) && fit;
		all += m->ignore[i].n + 1;
	}
	if (fit && (m->ignore_count > JSONDIFF_IGNORE_MAX || all > SNAP_IGNORE_MAX))
		spec_err_say(fail(c, HG_E_CONFIG_RANGE, list),
		        "a mirror ignores at most %u paths, %d bytes together", JSONDIFF_IGNORE_MAX,
		        SNAP_IGNORE_MAX);
	bool recreate = app->rollout.strategy == SPEC_ROLLOUT_STRATEGY_RECREATE;
	if (m->share_ppm == 0 || !recreate) return;
	struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, at);
	spec_err_say(
	        e, "strategy recreate has no two releases at a time: there is nothing to mirror");
	hg_err_hint(e, "leave mirror out, or write `strategy: canary`");
}

/* Fields that would make another request of it, or that we write ourselves. */
static bool header_ours(struct hg_str name)
{
	static const char *const ours[] = {"Connection", "Content-Length", "Content-Type", "Expect",
	        "Idempotency-Key", "Transfer-Encoding", "Upgrade"};
	for (size_t i = 0; i < HG_COUNT(ours); i++)
		if (hg_str_eq_nocase(name, hg_str(ours[i]))) return true;
	return false;
}

static void check_hook(struct checking *c, const struct spec_gate *g, const struct spec_node *at)
{
	static const char *const of_http[] = {"method", "expect", "headers", "retries"};
	const struct spec_node *list = below(at, "headers");
	size_t bytes = 0;
	for (size_t i = 0; !g->http.n && i < HG_COUNT(of_http); i++) {
		if (below(at, of_http[i]) == at) continue;
		spec_err_say(fail_key(c, HG_E_CONFIG_CONFLICT, below(at, of_http[i])),
		        "\"%s\" belongs to a gate with http", of_http[i]);
	}
	for (uint32_t i = 0; i < g->header_count; i++) {
		struct hg_str name = g->headers[i].name, value = g->headers[i].value;
		bool good = true;
		for (size_t k = 0; k < value.n; k++)
			good = good && ((unsigned char)value.p[k] >= 0x20 && value.p[k] != 0x7f);
		if (header_ours(name))
			spec_err_say(fail_key(c, HG_E_CONFIG_CONFLICT, named(list, name)),
			        "the header \"%.*s\" is written by Headgate", HG_STR_ARG(name));
		else if (!good || value.n == 0)
			spec_err_say(fail(c, HG_E_CONFIG_VALUE, named(list, name)),
			        "the value of header \"%.*s\" must be one line of text",
			        HG_STR_ARG(name));
		bytes += name.n + value.n + 3;
	}
	if (g->header_count > SPEC_GATE_HEADERS_MAX || bytes > SPEC_GATE_HEADER_BYTES)
		spec_err_say(fail(c, HG_E_CONFIG_RANGE, list),
		        "a gate has at most %d headers of %d bytes together", SPEC_GATE_HEADERS_MAX,
		        SPEC_GATE_HEADER_BYTES);
}

/* A gate does one thing, and one at a weight has its step. */
static void check_gate(struct checking *c, const struct spec_app *app, uint32_t i)
{
	const struct spec_gate *g = &app->rollout.gates[i];
	const struct spec_node *at = item(below(below(app_node(c, app), "rollout"), "gates"), i);
	struct spec_share share;
	struct spec_problem ignored;
	bool known = app->rollout.step_count == 0;
	if ((g->run.n > 0) + (g->http.n > 0) + g->confirm != 1) {
		struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, at);
		spec_err_say(e, "a gate must have one of run, http and confirm");
		hg_err_hint(e, "run: a command that must succeed; http: a URL that must agree; "
		               "confirm: true waits for a person");
	}
	check_hook(c, g, at);
	if (!spec_value_share(g->when, &share, &ignored) || share.is_count) return;
	for (uint32_t k = 0; k < app->rollout.step_count; k++)
		known = known || app->rollout.steps[k].weight_ppm == share.ppm;
	if (known) return;
	struct hg_err *e = fail(c, HG_E_CONFIG_REFERENCE, below(at, "when"));
	spec_err_say(e, "no step has the weight \"%.*s\"", HG_STR_ARG(g->when));
	hg_err_hint(e, "the weights are listed under rollout.steps");
}

static void check_gates(struct checking *c, const struct spec_app *app)
{
	const struct spec_node *at = below(app_node(c, app), "rollout");
	for (uint32_t i = 0; i < app->rollout.gate_count; i++)
		check_gate(c, app, i);
	if (app->rollout.gate_count > SPEC_GATES_MAX)
		spec_err_say(fail(c, HG_E_CONFIG_RANGE, below(at, "gates")),
		        "a rollout has at most %d gates", SPEC_GATES_MAX);
	if (app->rollout.step_count > SPEC_STEPS_MAX)
		spec_err_say(fail(c, HG_E_CONFIG_RANGE, below(at, "steps")),
		        "a rollout has at most %d steps", SPEC_STEPS_MAX);
}

/* ---- resources ---- */

static void share_of_nothing(
        struct checking *c, const struct spec_app *app, const char *key, const char *example)
{
	const struct spec_node *rules = below(below(app_node(c, app), "rollout"), "abort_when");
	struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, below(rules, key));
	spec_err_say(e,
	        "abort_when.%s of app \"%.*s\" is a share of resources.limits.%s, which is "
	        "not set",
	        key, HG_STR_ARG(app->name), key);
	hg_err_hint(e, "add `resources: {limits: {%s: %s}}` to the app, or remove the rule", key,
	        example);
}

static void too_much(struct checking *c, const struct spec_app *app, const char *key)
{
	const struct spec_node *at = below(below(app_node(c, app), "resources"), "requests");
	struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, below(at, key));
	spec_err_say(e, "app \"%.*s\" requests more %s than its limit lets it use",
	        HG_STR_ARG(app->name), key);
	hg_err_hint(e, "requests.%s may be limits.%s at most", key, key);
}

static void check_resources(struct checking *c, const struct spec_app *app)
{
	const struct spec_resources *r = &app->resources;
	const struct spec_abort_when *a = &app->rollout.abort_when;
	if (a->memory_ppm && !r->limits.memory_bytes) share_of_nothing(c, app, "memory", "512Mi");
	if (a->cpu_ppm && !r->limits.cpu_milli) share_of_nothing(c, app, "cpu", "1000m");
	if (r->limits.memory_bytes && r->requests.memory_bytes > r->limits.memory_bytes)
		too_much(c, app, "memory");
	if (r->limits.cpu_milli && r->requests.cpu_milli > r->limits.cpu_milli)
		too_much(c, app, "cpu");
}

static void check_ports(struct checking *c)
{
	const struct spec *s = c->s;
	const struct spec_node *tree = s->origin->tree;
	const struct spec_node *listen = below(below(tree, "edge"), "listen");
	const struct spec_address *http = &s->edge.listen.http, *https = &s->edge.listen.https;
	if (s->admin.listen.port == http->port) {
		struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT,
		        s->admin.set ? below(below(tree, "admin"), "listen") : listen);
		spec_err_say(e, "admin.listen and edge.listen.http have the same port %u",
		        s->admin.listen.port);
	}
	if (https->set && (https->port == http->port || https->port == s->admin.listen.port))
		spec_err_say(fail(c, HG_E_CONFIG_CONFLICT, below(listen, "https")),
		        "edge.listen.https and %s have the same port %u",
		        https->port == http->port ? "edge.listen.http" : "admin.listen",
		        https->port);
}

enum hg_rc spec_check(const struct spec *s, struct spec_report *report)
{
	struct checking c = {.s = s, .r = report};
	const struct spec_node *tree = s->origin->tree;
	if (s->app_count == 0) {
		struct hg_err *e = fail_key(&c, HG_E_CONFIG_MISSING, spec_node_get(tree, "apps"));
		spec_err_say(e, "the configuration has no app");
		hg_err_hint(e, "add `apps: {NAME: {command: …}}`");
	}
	for (uint32_t i = 0; i < s->app_count; i++) {
		const struct spec_app *app = &s->apps[i];
		check_needs(&c, app);
		check_command(&c, app, app->command, below(app_node(&c, app), "command"));
		check_port(&c, app);
		check_env(&c, app);
		check_probes(&c, app);
		check_upstream(&c, app);
		check_autoscale(&c, app);
		check_steps(&c, app);
		check_mirror(&c, app);
		check_gates(&c, app);
		check_resources(&c, app);
		if (database_find(s, app->name))
			spec_err_say(fail_key(&c, HG_E_CONFIG_CONFLICT, app_node(&c, app)),
			        "an app and a database have the same name \"%.*s\"",
			        HG_STR_ARG(app->name));
	}
	check_cycles(&c);
	check_routes(&c);
	check_folders(&c);
	check_ports(&c);
	spec_check_tls(s, report);
	spec_check_edge(s, report);
	spec_check_observe(s, report);
	spec_check_upstream(s, report);
	spec_check_alerts(s, report);
	spec_report_sort(report);
	return spec_report_rc(report);
}
