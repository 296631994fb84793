/* What the functions of a gateway at routes need: CORS, fields, paths, redirects, versions. */
#include "spec/snapshot.h"
#include "spec/spec_priv.h"
#include "wire/fieldvars.h"
#include "wire/http1_field.h"
#include "wire/pathmap.h"

#define ORIGINS_MAX 6000u /* bytes, written out */
#define CORS_MAX    2000u
#define RULES_MAX   3000u
#define VAR_SIZE    128u /* what a variable may become */

_Static_assert(ORIGINS_MAX < SNAP_GATEWAY_TEXT && RULES_MAX + 3000 < SNAP_GATEWAY_TEXT, "they fit");

struct checking {
	const struct spec *s;
	struct spec_report *r;
	const struct spec_app *app;
	const struct spec_route *route;
	const struct spec_node *at; /* the route as it was written */
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

static struct hg_err *fail(struct checking *c, enum hg_rc rc, const struct spec_node *at)
{
	return spec_report_error(c->r, rc, at ? at->line : 0, at ? at->column : 0);
}

/* ---- CORS ---- */

static void check_methods(struct checking *c, const struct spec_node *at)
{
	const struct spec_cors *k = &c->route->cors;
	for (uint32_t i = 0; i < k->method_count; i++) {
		bool good = true;
		for (size_t n = 0; n < k->methods[i].n; n++)
			good = good && !(k->methods[i].p[n] >= 'a' && k->methods[i].p[n] <= 'z');
		if (good && !hg_str_eq(k->methods[i], HG_STR("*"))) continue;
		struct hg_err *e = fail(c, HG_E_CONFIG_VALUE, item(below(at, "methods"), i));
		spec_err_say(e, "\"%.*s\" is no method that a browser would find here",
		        HG_STR_ARG(k->methods[i]));
		hg_err_hint(e, "methods are listed, in upper case: [GET, POST, PATCH]");
	}
}

static size_t texts_size(const struct hg_str *s, uint32_t n)
{
	size_t all = 0;
	for (uint32_t i = 0; i < n; i++)
		all += s[i].n + 2;
	return all;
}

static void check_cors(struct checking *c)
{
	const struct spec_cors *k = &c->route->cors;
	const struct spec_node *at = below(c->at, "cors");
	bool any = false;
	struct hg_err *e;
	if (!k->set) return;
	for (uint32_t i = 0; i < k->origin_count; i++)
		any = any || hg_str_eq(k->origins[i], HG_STR("*"));
	if (k->origin_count == 0) {
		e = fail(c, HG_E_CONFIG_MISSING, below(at, "origins"));
		spec_err_say(e, "\"cors\" names no origin: it would refuse every page");
		hg_err_hint(e, "origins: [https://app.example.com]");
	}
	if (any && k->credentials) {
		e = fail(c, HG_E_CONFIG_CONFLICT, below(at, "credentials"));
		spec_err_say(e, "\"credentials\" with the origin \"*\": any page could act as the "
		                "user who looks at it, and browsers refuse it");
		hg_err_hint(e, "name the origins that may send credentials");
	}
	if (any && k->origin_count > 1)
		spec_err_say(fail(c, HG_E_CONFIG_CONFLICT, below(at, "origins")),
		        "the origin \"*\" stands for all: the others say nothing beside it");
	size_t others = texts_size(k->methods, k->method_count) +
	                texts_size(k->headers, k->header_count) +
	                texts_size(k->expose, k->exposed_count);
	if (texts_size(k->origins, k->origin_count) > ORIGINS_MAX || others > CORS_MAX)
		spec_err_say(fail(c, HG_E_CONFIG_LIMIT, at),
		        "\"cors\" of a route has at most %u bytes of origins and %u of others",
		        ORIGINS_MAX, CORS_MAX);
	check_methods(c, at);
}

/* ---- fields ---- */

struct side {
	const struct spec_header_rules *rules;
	const struct spec_node *at;
	unsigned of; /* FIELDVARS_… */
};

static bool starts_nocase(struct hg_str s, struct hg_str low)
{
	return s.n >= low.n && hg_str_eq_nocase((struct hg_str){s.p, low.n}, low);
}

static const char *request_reserved(struct hg_str name, enum http1_field_id id, bool setting)
{
	if (id == HTTP1_F_HOST)
		return "routes are chosen by it, and replicas are told what was asked for";
	if (id == HTTP1_F_CONTENT_LENGTH || id == HTTP1_F_EXPECT)
		return "it says where the message ends";
	if (id == HTTP1_F_TRACEPARENT || id == HTTP1_F_TRACESTATE)
		return "traces go through the edge, which writes it";
	if (id == HTTP1_F_X_REQUEST_ID || id == HTTP1_F_VIA || id == HTTP1_F_X_HEADGATE_MIRROR)
		return "the edge writes it";
	if ((http1_marks[id] & HTTP1_M_REQUEST) ||
	        (id == HTTP1_F_OTHER && http1_field_claims(name) &&
	                !(setting && hg_str_eq_nocase(name, HG_STR("X-Real-IP")))))
		return "only the edge says who the client is and how he came";
	return NULL;
}

/* Why a field is none that rules may touch; NULL: they may. */
static const char *reserved(const struct checking *c, struct hg_str name, unsigned of, bool setting)
{
	enum http1_field_id id = http1_field_alike(name);
	if (http1_marks[id] & HTTP1_M_HOP)
		return "it belongs to a connection and ends here, or is said to a proxy";
	if (id == HTTP1_F_CONTENT_ENCODING) return "it says how the body is to be read";
	if (of == FIELDVARS_REQUEST) return request_reserved(name, id, setting);
	if (http1_marks[id] & HTTP1_M_RESPONSE) return "it says where the message ends";
	if (starts_nocase(name, HG_STR("RateLimit")))
		return "the edge says what is left of the route's limits";
	if (c->route->cors.set && starts_nocase(name, HG_STR("Access-Control-")))
		return "`cors` of this route writes it";
	if (c->route->version.set && (hg_str_eq_nocase(name, HG_STR("Deprecation")) ||
	                                     hg_str_eq_nocase(name, HG_STR("Sunset"))))
		return "`version` of this route writes it";
	return NULL;
}

static void name_check(struct checking *c, const struct side *s, struct hg_str name, bool setting,
        const struct spec_node *at)
{
	const char *why = reserved(c, name, s->of, setting);
	if (!why) return;
	struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, at);
	spec_err_say(e, "\"%.*s\" is not for rules: %s", HG_STR_ARG(name), why);
}

static void pairs_check(struct checking *c, const struct side *s, const char *key,
        const struct spec_pair *pairs, uint32_t n, size_t *size)
{
	char text[SNAP_GATEWAY_TEXT];
	const struct spec_node *list = below(s->at, key);
	for (uint32_t i = 0; i < n; i++) {
		struct hg_out o = hg_out_over(text, sizeof text);
		name_check(c, s, pairs[i].name, true, item(list, i));
		const char *why = fieldvars_compile(pairs[i].value, s->of, &o);
		*size += pairs[i].name.n + o.n + 4;
		for (size_t k = 0; k < o.n; k++)
			if ((unsigned char)text[k] < 0x20 && text[k] != '\t') *size += VAR_SIZE;
		if (!why) continue;
		struct hg_err *e = fail(c, HG_E_CONFIG_VALUE, item(list, i));
		spec_err_say(e, "the value of field \"%.*s\" cannot be written",
		        HG_STR_ARG(pairs[i].name));
		hg_err_hint(e, "%s", why);
	}
}

static void check_rules(struct checking *c, const struct side *s)
{
	const struct spec_header_rules *r = s->rules;
	struct spec_problem p;
	size_t size = 0;
	if (!r->set) return;
	pairs_check(c, s, "set", r->set_, r->set_field_count, &size);
	pairs_check(c, s, "add", r->add, r->add_field_count, &size);
	for (uint32_t i = 0; i < r->remove_field_count; i++)
		name_check(c, s, r->remove[i], false, item(below(s->at, "remove"), i));
	for (uint32_t i = 0; i < r->rename_field_count; i++) {
		const struct spec_node *at = item(below(s->at, "rename"), i);
		struct hg_str to = r->rename[i].value;
		name_check(c, s, r->rename[i].name, false, at);
		if (spec_value_check(SPEC_C_TOKEN, to, &p))
			name_check(c, s, to, false, at);
		else
			spec_err_say(fail(c, HG_E_CONFIG_VALUE, at),
			        "\"%.*s\" is no name of a field", (int)HG_MIN(to.n, 64u), to.p);
		size += r->rename[i].name.n + to.n + 2;
	}
	uint32_t rules = r->set_field_count + r->add_field_count + r->remove_field_count +
	                 r->rename_field_count;
	size += texts_size(r->remove, r->remove_field_count);
	if (rules > SNAP_GATEWAY_RULES || size > RULES_MAX)
		spec_err_say(fail(c, HG_E_CONFIG_LIMIT, s->at),
		        "there are at most %u rules, of %u bytes together (a variable is %u)",
		        SNAP_GATEWAY_RULES, RULES_MAX, VAR_SIZE);
}

/* ---- paths ---- */

static struct hg_str prefix_of(struct hg_str p)
{
	while (p.n && p.p[p.n - 1] == '/')
		p.n--;
	return p;
}

/* Routes and prefixes are compared with paths in their normal form. */
static void prefix_check(struct checking *c, struct hg_str p, const struct spec_node *at)
{
	struct hg_str rest = prefix_of(p);
	bool good = hg_str_find(p, '?') == p.n && hg_str_find(p, '\\') == p.n;
	if (rest.n) (void)hg_str_cut(&rest, '/');
	while (good && rest.n) {
		struct hg_str part = hg_str_cut(&rest, '/');
		good = part.n && !hg_str_eq(part, HG_STR(".")) && !hg_str_eq(part, HG_STR(".."));
	}
	if (good) return;
	struct hg_err *e = fail(c, HG_E_CONFIG_VALUE, at);
	spec_err_say(e, "\"%.*s\" is no prefix of a path in its normal form", HG_STR_ARG(p));
	hg_err_hint(e, "without `//`, `.`, `..`, `?` and backslash");
}

static void check_rewrite(struct checking *c)
{
	const struct spec_rewrite *w = &c->route->rewrite;
	const struct spec_node *at = below(c->at, "rewrite");
	struct hg_str path = prefix_of(c->route->path), strip = prefix_of(w->strip_prefix);
	struct hg_str from = prefix_of(w->replace.from);
	struct hg_err *e;
	if (!w->set) return;
	if (w->strip_prefix.n) prefix_check(c, w->strip_prefix, below(at, "strip_prefix"));
	if (w->add_prefix.n) prefix_check(c, w->add_prefix, below(at, "add_prefix"));
	if (w->replace.from.n)
		prefix_check(c, w->replace.from, below(below(at, "replace"), "from"));
	if (w->replace.to.n) prefix_check(c, w->replace.to, below(below(at, "replace"), "to"));
	if (w->strip_prefix.n && !pathmap_fits(path, strip)) {
		e = fail(c, HG_E_CONFIG_CONFLICT, below(at, "strip_prefix"));
		spec_err_say(e, "the route's paths begin with \"%.*s\", not with \"%.*s\"",
		        HG_STR_ARG(c->route->path), HG_STR_ARG(w->strip_prefix));
		hg_err_hint(e, "write `strip_prefix: %.*s`", HG_STR_ARG(c->route->path));
	}
	if (w->replace.set && (w->strip_prefix.n || w->add_prefix.n)) {
		e = fail(c, HG_E_CONFIG_CONFLICT, below(at, "replace"));
		spec_err_say(e, "\"replace\" beside \"strip_prefix\" or \"add_prefix\": it is not "
		                "said which comes first");
		hg_err_hint(e, "`replace: {from: A, to: B}` does both");
	}
	if (w->replace.set && !pathmap_fits(path, from) && !pathmap_fits(from, path)) {
		e = fail(c, HG_E_CONFIG_CONFLICT, below(below(at, "replace"), "from"));
		spec_err_say(e, "no path of the route \"%.*s\" begins with \"%.*s\"",
		        HG_STR_ARG(c->route->path), HG_STR_ARG(w->replace.from));
	}
	if (!w->strip_prefix.n && !w->add_prefix.n && !w->replace.set) {
		e = fail(c, HG_E_CONFIG_MISSING, at);
		spec_err_say(e, "\"rewrite\" says nothing of the path");
		hg_err_hint(e, "add strip_prefix, add_prefix or replace");
	}
}

/* Would another route be asked for this path of the same host? */
static bool elsewhere(const struct checking *c, struct hg_str path)
{
	struct hg_str own = prefix_of(c->route->path);
	for (uint32_t a = 0; a < c->s->app_count; a++) {
		for (uint32_t i = 0; i < c->s->apps[a].route_count; i++) {
			const struct spec_route *r = &c->s->apps[a].routes[i];
			struct hg_str p = prefix_of(r->path);
			if (p.n > own.n && pathmap_fits(path, p) &&
			        hg_str_eq_nocase(r->host, c->route->host))
				return true;
		}
	}
	return false;
}

static void check_redirect(struct checking *c)
{
	static const uint32_t codes[] = {301, 302, 303, 307, 308};
	const struct spec_redirect *d = &c->route->redirect;
	const struct spec_node *at = below(c->at, "redirect");
	bool known = false;
	struct hg_err *e;
	if (!d->set) return;
	for (size_t i = 0; i < HG_COUNT(codes); i++)
		known = known || d->code == codes[i];
	if (!known)
		spec_err_say(fail(c, HG_E_CONFIG_VALUE, below(at, "code")),
		        "%u is no redirect: it must be 301, 302, 303, 307 or 308", d->code);
	if (c->route->rewrite.set)
		spec_err_say(fail(c, HG_E_CONFIG_CONFLICT, below(c->at, "rewrite")),
		        "\"rewrite\" beside \"redirect\": no replica would see the path");
	if (d->keep_path &&
	        (hg_str_find(d->to, '?') < d->to.n || hg_str_find(d->to, '#') < d->to.n)) {
		e = fail(c, HG_E_CONFIG_CONFLICT, below(at, "to"));
		spec_err_say(e, "what follows the route's path cannot be put behind a query");
		hg_err_hint(e, "add `keep_path: false`");
	}
	size_t n = hg_str_find(d->to, '?');
	struct hg_str to = {d->to.p, HG_MIN(n, hg_str_find(d->to, '#'))};
	if (to.n == 0 || to.p[0] != '/' || !pathmap_fits(to, prefix_of(c->route->path)) ||
	        elsewhere(c, to))
		return;
	e = fail(c, HG_E_CONFIG_CONFLICT, below(at, "to"));
	spec_err_say(e, "\"%.*s\" comes to the same route again: browsers would go in a circle",
	        HG_STR_ARG(d->to));
	hg_err_hint(e, "name another host or path, or add the route that serves it");
}

/* ---- versions ---- */

static bool same_place(const struct spec_route *a, const struct spec_route *b)
{
	return hg_str_eq_nocase(a->host, b->host) &&
	       hg_str_eq(prefix_of(a->path), prefix_of(b->path));
}

/* Is there a route of this host and path for who names no version; or another one for this? */
static void check_version_header(struct checking *c, const struct spec_node *at)
{
	const struct spec_route_version *v = &c->route->version;
	bool plain = false, twice = false;
	struct hg_err *e;
	for (uint32_t a = 0; a < c->s->app_count; a++) {
		for (uint32_t i = 0; i < c->s->apps[a].route_count; i++) {
			const struct spec_route *r = &c->s->apps[a].routes[i];
			if (r == c->route || !same_place(r, c->route)) continue;
			plain = plain || !r->version.header.n;
			twice = twice || (hg_str_eq_nocase(r->version.header, v->header) &&
			                         hg_str_eq(r->version.name, v->name));
		}
	}
	if (!plain) {
		e = fail(c, HG_E_CONFIG_REFERENCE, below(at, "header"));
		spec_err_say(e, "no route %.*s%.*s serves requests that name no version",
		        HG_STR_ARG(c->route->host), HG_STR_ARG(c->route->path));
		hg_err_hint(e, "add a route of the same host and path without `header`");
	}
	if (!twice) return;
	e = fail(c, HG_E_CONFIG_CONFLICT, below(at, "name"));
	spec_err_say(e, "route %.*s%.*s has the version \"%.*s\" twice", HG_STR_ARG(c->route->host),
	        HG_STR_ARG(c->route->path), HG_STR_ARG(v->name));
}

static void check_version(struct checking *c)
{
	const struct spec_route_version *v = &c->route->version;
	const struct spec_node *at = below(c->at, "version");
	uint64_t deprecated = 0, sunset = 0;
	struct hg_err *e;
	if (!v->set) return;
	if (v->header.n) check_version_header(c, at);
	if (v->deprecated.n && !spec_date(v->deprecated, &deprecated)) return; /* said already */
	if (v->sunset.n && !spec_date(v->sunset, &sunset)) return;
	if (v->deprecated.n && v->sunset.n && sunset < deprecated) {
		e = fail(c, HG_E_CONFIG_CONFLICT, below(at, "sunset"));
		spec_err_say(
		        e, "version \"%.*s\" ends before it is deprecated", HG_STR_ARG(v->name));
		hg_err_hint(e, "RFC 9745: the sunset comes after the deprecation");
	}
	if (v->after_sunset == SPEC_ROUTE_VERSION_AFTER_SUNSET_GONE && !v->sunset.n) {
		e = fail(c, HG_E_CONFIG_MISSING, below(at, "after_sunset"));
		spec_err_say(e, "\"after_sunset\" without \"sunset\": it is not said when");
		hg_err_hint(e, "for example `sunset: 2027-03-01`");
	}
}

static void check_app(struct checking *c, const struct spec_node *routes)
{
	for (uint32_t i = 0; i < c->app->route_count; i++) {
		c->route = &c->app->routes[i];
		c->at = item(routes, i);
		struct side request = {&c->route->request_headers, below(c->at, "request_headers"),
		        FIELDVARS_REQUEST};
		struct side response = {&c->route->response_headers,
		        below(c->at, "response_headers"), FIELDVARS_RESPONSE};
		check_cors(c);
		check_rules(c, &request);
		check_rules(c, &response);
		check_rewrite(c);
		check_redirect(c);
		check_version(c);
	}
}

void spec_check_gateway(const struct spec *s, struct spec_report *report)
{
	struct checking c = {.s = s, .r = report};
	const struct spec_node *apps = below(s->origin->tree, "apps");
	for (uint32_t i = 0; i < s->app_count; i++) {
		const struct spec_node *at = apps ? apps->first : NULL;
		c.app = &s->apps[i];
		while (at && !hg_str_eq(at->key, c.app->name))
			at = at->next;
		check_app(&c, below(at ? at : apps, "routes"));
	}
}
