/* What the edge's own keys, and what routes ask of it, must agree on. */
#include "spec/snapshot.h"
#include "spec/spec_priv.h"

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

static struct hg_err *fail(struct checking *c, enum hg_rc rc, const struct spec_node *at)
{
	return spec_report_error(c->r, rc, at ? at->line : 0, at ? at->column : 0);
}

static const struct spec_node *route_node(
        const struct checking *c, const struct spec_app *app, uint32_t route)
{
	const struct spec_node *apps = below(c->s->origin->tree, "apps");
	const struct spec_node *at = apps ? apps->first : NULL;
	while (at && !hg_str_eq(at->key, app->name))
		at = at->next;
	return item(below(at ? at : apps, "routes"), route);
}

static void check_proxies(struct checking *c)
{
	const struct spec_edge *e = &c->s->edge;
	const struct spec_node *edge = below(c->s->origin->tree, "edge");
	if (!e->listen.proxy_protocol || e->trusted_count) return;
	struct hg_err *err =
	        fail(c, HG_E_CONFIG_CONFLICT, below(below(edge, "listen"), "proxy_protocol"));
	spec_err_say(err, "\"proxy_protocol\" without \"trusted_proxies\": nobody may say who a "
	                  "client is");
	hg_err_hint(err, "name the load balancers: `edge: {trusted_proxies: [10.0.0.0/8]}`");
}

static void check_rates(struct checking *c)
{
	const struct spec_edge_rates *r = &c->s->edge.rate_limits;
	const struct spec_node *at = below(below(c->s->origin->tree, "edge"), "rate_limits");
	if (!r->set || !r->user.n || r->password_file.n) return;
	struct hg_err *err = fail(c, HG_E_CONFIG_MISSING, below(at, "user"));
	spec_err_say(err, "the user \"%.*s\" of Redis has no password", HG_STR_ARG(r->user));
	hg_err_hint(err, "name the file that holds it: `password_file: FILE`");
}

static const struct spec_client_ca *authority_find(const struct spec *s, struct hg_str name)
{
	for (uint32_t i = 0; i < s->edge.tls.client_ca_count; i++)
		if (hg_str_eq(s->edge.tls.client_ca[i].name, name))
			return &s->edge.tls.client_ca[i];
	return NULL;
}

/* What a route wants of its clients must be there. */
static void check_clients(struct checking *c, const struct spec_app *app)
{
	const struct spec_edge *e = &c->s->edge;
	for (uint32_t i = 0; i < app->route_count; i++) {
		const struct spec_client_certificate *w = &app->routes[i].client_certificate;
		const struct spec_node *at = below(route_node(c, app, i), "client_certificate");
		struct hg_err *err;
		for (uint32_t k = 0; k < w->ca_count; k++) {
			if (authority_find(c->s, w->ca[k])) continue;
			err = fail(c, HG_E_CONFIG_REFERENCE, item(below(at, "ca"), k));
			spec_err_say(
			        err, "there is no client authority \"%.*s\"", HG_STR_ARG(w->ca[k]));
			hg_err_hint(err, "they are listed under edge.tls.client_ca");
		}
		if (w->mode == SPEC_CLIENT_CERTIFICATE_MODE_OFF) continue;
		if (e->listen.https.set && e->tls.client_ca_count) continue;
		err = fail(c, HG_E_CONFIG_MISSING, at);
		spec_err_say(err, "route %.*s%.*s wants client certificates, but %s",
		        HG_STR_ARG(app->routes[i].host), HG_STR_ARG(app->routes[i].path),
		        e->listen.https.set ? "there is no authority they could come from"
		                            : "edge.listen.https is not set");
		hg_err_hint(err, e->listen.https.set ? "add `edge.tls: {client_ca: {NAME: ca.pem}}`"
		                                     : "add `edge.listen: {https: 443}`");
	}
	if (e->tls.client_ca_count > SNAP_CAS_MAX && app == c->s->apps)
		spec_err_say(fail(c, HG_E_CONFIG_LIMIT,
		                     below(below(below(c->s->origin->tree, "edge"), "tls"),
		                             "client_ca")),
		        "there are %u client authorities; the limit is %u", e->tls.client_ca_count,
		        SNAP_CAS_MAX);
}

void spec_check_edge(const struct spec *s, struct spec_report *report)
{
	struct checking c = {.s = s, .r = report};
	check_proxies(&c);
	check_rates(&c);
	for (uint32_t i = 0; i < s->app_count; i++)
		check_clients(&c, &s->apps[i]);
	spec_check_identity(s, report);
	spec_check_gateway(s, report);
}
