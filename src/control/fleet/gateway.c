/* The functions of a gateway at routes, made ready for the snapshot: what the edge writes or walks
 * over as it stands. The texts were checked while the file was read. */
#include "control/fleet/fleet_priv.h"

#include "wire/date.h"
#include "wire/fieldvars.h"

#include <stdlib.h>

/* One of a gateway's texts while it is written. */
struct text {
	struct hg_out o;
	char room[SNAP_GATEWAY_TEXT];
};

static void text_begin(struct text *t)
{
	t->o = hg_out_over(t->room, sizeof t->room);
}

static bool text_end(struct fleet_conf *c, struct text *t, struct snap_in_gateway *g,
        enum snap_gateway_text which)
{
	if (hg_out_failed(&t->o)) return false;
	g->text[which] = hg_arena_str(&c->mem, (struct hg_str){t->room, t->o.n});
	return g->text[which].p != NULL;
}

static void lower(struct hg_out *o, struct hg_str s)
{
	for (size_t i = 0; i < s.n; i++)
		hg_out_byte(o, s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 0x20) : s.p[i]);
	hg_out_byte(o, '\n');
}

static struct hg_str prefix_of(struct hg_str p)
{
	while (p.n && p.p[p.n - 1] == '/')
		p.n--;
	return p;
}

/* ---- CORS ---- */

static void names(struct hg_out *o, const char *field, const struct hg_str *s, uint32_t n)
{
	hg_out_cstr(o, field);
	for (uint32_t i = 0; i < n; i++) {
		if (i) hg_out_str(o, HG_STR(", "));
		hg_out_str(o, s[i]);
	}
	hg_out_str(o, HG_STR("\r\n"));
}

static void preflight(struct hg_out *o, const struct spec_cors *k, bool asked)
{
	if (k->method_count)
		names(o, "Access-Control-Allow-Methods: ", k->methods, k->method_count);
	else
		hg_out_cstr(o, "Access-Control-Allow-Methods: "
		               "GET, HEAD, POST, PUT, PATCH, DELETE\r\n");
	if (!asked && k->header_count)
		names(o, "Access-Control-Allow-Headers: ", k->headers, k->header_count);
	else if (!asked)
		hg_out_cstr(o, "Access-Control-Allow-Headers: Authorization, Content-Type\r\n");
	hg_out_cstr(o, "Access-Control-Max-Age: ");
	hg_out_u64(o, k->max_age_ms / 1000);
	hg_out_str(o, HG_STR("\r\n"));
}

static bool take_cors(struct fleet_conf *c, const struct spec_cors *k, struct snap_in_gateway *g)
{
	struct text t;
	bool asked = false;
	if (!k->set) return true;
	g->flags |= SNAP_GW_CORS | (k->private_network ? SNAP_GW_CORS_PRIVATE : 0);
	for (uint32_t i = 0; i < k->header_count; i++)
		asked = asked || hg_str_eq(k->headers[i], HG_STR("*"));
	if (asked) g->flags |= SNAP_GW_CORS_ASKED;
	text_begin(&t);
	for (uint32_t i = 0; i < k->origin_count; i++) {
		if (hg_str_eq(k->origins[i], HG_STR("*"))) g->flags |= SNAP_GW_CORS_ANY;
		hg_out_str(&t.o, k->origins[i]);
		hg_out_byte(&t.o, '\n');
	}
	if (!text_end(c, &t, g, SNAP_GW_ORIGINS)) return false;
	text_begin(&t);
	preflight(&t.o, k, asked);
	if (!text_end(c, &t, g, SNAP_GW_CORS_PREFLIGHT)) return false;
	text_begin(&t);
	if (k->credentials) hg_out_cstr(&t.o, "Access-Control-Allow-Credentials: true\r\n");
	if (k->exposed_count)
		names(&t.o, "Access-Control-Expose-Headers: ", k->expose, k->exposed_count);
	return text_end(c, &t, g, SNAP_GW_CORS_LINES);
}

/* ---- fields ---- */

/* Fields that the edge's own answers have of themselves, or that speak of a body that they have
 * not. */
static bool of_answers(struct hg_str name)
{
	static const char *const own[] = {"Age", "Allow", "Cache-Control", "Content-Disposition",
	        "Content-Language", "Content-Type", "Date", "ETag", "Expires", "Last-Modified",
	        "Location", "Retry-After", "Set-Cookie", "X-Request-Id"};
	for (size_t i = 0; i < HG_COUNT(own); i++)
		if (hg_str_eq_nocase(name, hg_str(own[i]))) return true;
	return false;
}

static bool line(struct hg_out *o, const struct spec_pair *p, unsigned side)
{
	hg_out_str(o, p->name);
	hg_out_str(o, HG_STR(": "));
	if (fieldvars_compile(p->value, side, o)) return false;
	hg_out_str(o, HG_STR("\r\n"));
	return true;
}

static bool lines(struct hg_out *o, const struct spec_header_rules *r, unsigned side, bool own)
{
	bool good = true;
	for (uint32_t i = 0; good && i < r->set_field_count; i++)
		if (!own || !of_answers(r->set_[i].name)) good = line(o, &r->set_[i], side);
	for (uint32_t i = 0; good && i < r->add_field_count; i++)
		if (!own || !of_answers(r->add[i].name)) good = line(o, &r->add[i], side);
	return good;
}

static void version_lines(struct hg_out *o, const struct spec_route_version *v)
{
	uint64_t s;
	char date[DATE_HTTP_SIZE];
	if (v->deprecated.n && spec_date(v->deprecated, &s)) {
		hg_out_fmt(o, "Deprecation: @%llu\r\n", (unsigned long long)s);
		if (v->link.n)
			hg_out_fmt(o, "Link: <%.*s>; rel=\"deprecation\"; type=\"text/html\"\r\n",
			        HG_STR_ARG(v->link));
	}
	if (v->sunset.n && spec_date(v->sunset, &s)) {
		date_http(s, date);
		hg_out_fmt(o, "Sunset: %s\r\n", date);
		if (v->link.n)
			hg_out_fmt(o, "Link: <%.*s>; rel=\"sunset\"; type=\"text/html\"\r\n",
			        HG_STR_ARG(v->link));
	}
}

static void drop(struct hg_out *o, const struct spec_header_rules *r)
{
	for (uint32_t i = 0; i < r->set_field_count; i++)
		lower(o, r->set_[i].name);
	for (uint32_t i = 0; i < r->remove_field_count; i++)
		lower(o, r->remove[i]);
}

static void renames(struct hg_out *o, const struct spec_header_rules *r)
{
	for (uint32_t i = 0; i < r->rename_field_count; i++) {
		lower(o, r->rename[i].name);
		hg_out_str(o, r->rename[i].value);
		hg_out_byte(o, '\n');
	}
}

static bool take_request(
        struct fleet_conf *c, const struct spec_header_rules *r, struct snap_in_gateway *g)
{
	struct text t;
	if (!r->set) return true;
	g->flags |= SNAP_GW_REQUEST;
	text_begin(&t);
	drop(&t.o, r);
	if (!text_end(c, &t, g, SNAP_GW_REQUEST_DROP)) return false;
	text_begin(&t);
	renames(&t.o, r);
	if (!text_end(c, &t, g, SNAP_GW_REQUEST_RENAME)) return false;
	text_begin(&t);
	return lines(&t.o, r, FIELDVARS_REQUEST, false) &&
	       text_end(c, &t, g, SNAP_GW_REQUEST_LINES);
}

/* `vary`: lines about what the route was chosen by. */
static bool take_response(struct fleet_conf *c, const struct spec_route *r, struct hg_str vary,
        struct snap_in_gateway *g)
{
	struct text t;
	const struct spec_header_rules *rules = &r->response_headers;
	text_begin(&t);
	drop(&t.o, rules);
	if (r->version.deprecated.n) hg_out_cstr(&t.o, "deprecation\n");
	if (r->version.sunset.n) hg_out_cstr(&t.o, "sunset\n");
	if (!text_end(c, &t, g, SNAP_GW_RESPONSE_DROP)) return false;
	text_begin(&t);
	renames(&t.o, rules);
	if (!text_end(c, &t, g, SNAP_GW_RESPONSE_RENAME)) return false;
	for (int own = 0; own < 2; own++) {
		text_begin(&t);
		hg_out_str(&t.o, vary);
		version_lines(&t.o, &r->version);
		if (!lines(&t.o, rules, FIELDVARS_RESPONSE, own) ||
		        !text_end(c, &t, g, own ? SNAP_GW_OWN_LINES : SNAP_GW_RESPONSE_LINES))
			return false;
	}
	return true;
}

/* ---- paths and versions ---- */

static void take_path(const struct spec_route *r, struct hg_str from[2], struct snap_in_gateway *g)
{
	const struct spec_rewrite *w = &r->rewrite;
	if (w->set) {
		from[0] = prefix_of(w->replace.set ? w->replace.from : w->strip_prefix);
		from[1] = prefix_of(w->replace.set ? w->replace.to : w->add_prefix);
		g->flags |= SNAP_GW_PATH | (w->strip_prefix.n ? SNAP_GW_STRIPPED : 0) |
		            (w->locations ? SNAP_GW_LOCATIONS : 0) |
		            (w->cookies ? SNAP_GW_COOKIES : 0);
	}
	if (r->redirect.set) {
		g->redirect = r->redirect.code;
		if (r->redirect.keep_path) g->flags |= SNAP_GW_KEEP_PATH;
	}
	if (r->version.after_sunset == SPEC_ROUTE_VERSION_AFTER_SUNSET_GONE)
		(void)spec_date(r->version.sunset, &g->gone_s);
}

static bool put(struct fleet_conf *c, struct snap_in_gateway *g, enum snap_gateway_text which,
        struct hg_str s)
{
	g->text[which] = hg_arena_str(&c->mem, s.n ? s : HG_STR(""));
	return g->text[which].p != NULL;
}

static struct snap_in_gateway *make(
        struct fleet_conf *c, const struct spec_route *r, struct hg_str vary)
{
	struct snap_in_gateway *g = hg_arena_array(&c->mem, 1, sizeof *g);
	struct hg_str from[2] = {{NULL, 0}, {NULL, 0}};
	if (!g) return NULL;
	take_path(r, from, g);
	bool good = take_cors(c, &r->cors, g) && take_request(c, &r->request_headers, g) &&
	            take_response(c, r, vary, g) && put(c, g, SNAP_GW_FROM, from[0]) &&
	            put(c, g, SNAP_GW_TO, from[1]) &&
	            put(c, g, SNAP_GW_REDIRECT_TO, r->redirect.to);
	if (good && r->version.header.n)
		good = put(c, g, SNAP_GW_VERSION_FIELD, r->version.header) &&
		       put(c, g, SNAP_GW_VERSION, r->version.name);
	return good ? g : NULL;
}

/* ---- all of an app ---- */

/* Routes of all apps that are chosen by a header: few, if any. */
struct by_header {
	const struct spec_route **route;
	uint32_t n;
};

static bool by_header_find(const struct spec *s, struct by_header *to)
{
	for (int pass = 0; pass < 2; pass++) {
		to->n = 0;
		for (uint32_t a = 0; a < s->app_count; a++) {
			for (uint32_t i = 0; i < s->apps[a].route_count; i++) {
				const struct spec_route *r = &s->apps[a].routes[i];
				if (!r->version.header.n) continue;
				if (pass) to->route[to->n] = r;
				to->n++;
			}
		}
		if (pass) break;
		to->route = calloc(to->n + 1, sizeof *to->route);
		if (!to->route) return false;
	}
	return true;
}

static bool same_place(const struct spec_route *a, const struct spec_route *b)
{
	return hg_str_eq_nocase(a->host, b->host) &&
	       hg_str_eq(prefix_of(a->path), prefix_of(b->path));
}

/* What a cache must look at: each field that decides at this host and path, once. */
static void vary_lines(struct hg_out *o, const struct by_header *all, const struct spec_route *r)
{
	for (uint32_t i = 0; i < all->n; i++) {
		struct hg_str field = all->route[i]->version.header;
		bool said = false;
		if (!same_place(all->route[i], r)) continue;
		for (uint32_t k = 0; k < i && !said; k++)
			said = same_place(all->route[k], r) &&
			       hg_str_eq_nocase(all->route[k]->version.header, field);
		if (!said) hg_out_fmt(o, "Vary: %.*s\r\n", HG_STR_ARG(field));
	}
}

/* The preview of a release shows the whole app: it does what the route of all paths does. */
static void preview(struct fleet_conf *c)
{
	struct fleet_route *last = c->route_count ? &c->routes[c->route_count - 1] : NULL;
	if (!last || !last->preview) return;
	for (uint32_t i = 0; i + 1 < c->route_count; i++) {
		const struct fleet_route *r = &c->routes[i];
		bool serves = r->gateway && !r->gateway->redirect &&
		              !r->gateway->text[SNAP_GW_VERSION_FIELD].n;
		if (serves && hg_str_eq(hg_str(r->path), HG_STR("/"))) last->gateway = r->gateway;
	}
}

bool fleet_gateway_take(struct fleet_conf *c, const struct spec *spec, const struct spec_app *s)
{
	struct by_header all = {0};
	bool good = by_header_find(spec, &all);
	for (uint32_t i = 0; good && i < s->route_count; i++) {
		const struct spec_route *r = &s->routes[i];
		char text[1024];
		struct hg_out vary = hg_out_over(text, sizeof text);
		vary_lines(&vary, &all, r);
		if (hg_out_failed(&vary)) vary.n = 0; /* more than anybody has */
		bool any = r->cors.set || r->request_headers.set || r->response_headers.set ||
		           r->rewrite.set || r->redirect.set || r->version.header.n ||
		           r->version.deprecated.n || r->version.sunset.n || vary.n;
		if (!any) continue;
		c->routes[i].gateway = make(c, r, (struct hg_str){text, vary.n});
		good = c->routes[i].gateway != NULL;
	}
	preview(c);
	free(all.route);
	return good;
}
