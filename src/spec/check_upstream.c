/* How replicas are spoken to. */
#include <arpa/inet.h>

#include "spec/spec_priv.h"

struct checking {
	const struct spec *s;
	struct spec_report *r;
	const struct spec_node *tls; /* the group as it was written */
};

static const struct spec_node *app_node(const struct spec *s, struct hg_str app)
{
	const struct spec_node *apps = spec_node_get(s->origin->tree, "apps");
	const struct spec_node *at = apps ? apps->first : NULL;
	while (at && !hg_str_eq(at->key, app))
		at = at->next;
	return at ? at : apps;
}

/* Where a key was written; the nearest thing above it that was, when it was not. */
static const struct spec_node *find(const struct spec_node *at, const char *path)
{
	struct hg_str rest = hg_str(path);
	while (at && rest.n && at->kind == SPEC_N_MAP) {
		struct hg_str key = hg_str_cut(&rest, '.');
		const struct spec_node *c = at->first;
		while (c && !hg_str_eq(c->key, key))
			c = c->next;
		if (!c) break;
		at = c;
	}
	return at;
}

void spec_app_place(const struct spec *s, struct hg_str app, const char *path, struct hg_err *err)
{
	const struct spec_node *at = find(app_node(s, app), path);
	if (at) hg_err_place(err, s->origin->file.p, at->line, at->column);
}

static struct hg_err *fail(struct checking *c, enum hg_rc rc, const char *key)
{
	const struct spec_node *at = find(c->tls, key);
	return spec_report_error(c->r, rc, at ? at->line : 0, at ? at->column : 0);
}

static struct hg_err *warn(struct checking *c, const char *key)
{
	const struct spec_node *at = find(c->tls, key);
	return spec_report_warning(c->r, at ? at->line : 0, at ? at->column : 0);
}

/* A host name as certificates have them, or an address. */
static bool name_good(struct hg_str name)
{
	char text[254];
	unsigned char ip[16];
	if (name.n == 0 || name.n >= sizeof text) return false;
	memcpy(text, name.p, name.n);
	text[name.n] = 0;
	if (inet_pton(AF_INET, text, ip) == 1 || inet_pton(AF_INET6, text, ip) == 1) return true;
	for (size_t i = 0; i < name.n; i++) {
		char k = name.p[i];
		bool good = (k >= 'a' && k <= 'z') || (k >= 'A' && k <= 'Z') ||
		            (k >= '0' && k <= '9') || k == '-' || k == '_' || k == '.';
		bool dots = k == '.' && (i == 0 || i + 1 == name.n || name.p[i - 1] == '.');
		if (!good || dots) return false;
	}
	return true;
}

static void check_tls(struct checking *c, const struct spec_upstream_tls *t)
{
	if (!name_good(t->name)) {
		struct hg_err *e = fail(c, HG_E_CONFIG_VALUE, "name");
		spec_err_say(e, "\"%.*s\" is no name that a certificate can be for",
		        HG_STR_ARG(t->name));
		hg_err_hint(e, "a whole host name or an address, e.g. `name: shop.internal`");
	}
	if (!t->certificate.n != !t->key.n) {
		bool key = t->key.n > 0;
		struct hg_err *e = fail(c, HG_E_CONFIG_MISSING, key ? "key" : "certificate");
		spec_err_say(e, key ? "`key` without the `certificate` it belongs to"
		                    : "`certificate` without its private `key`");
		hg_err_hint(e, "name both: `certificate: edge.pem` and `key: edge.key`");
	}
	if (t->verify) return;
	struct hg_err *e = warn(c, "verify");
	spec_err_say(e, "replicas are not verified: who takes the place of one reads and changes "
	                "what clients send");
	hg_err_hint(e, "name the authority of their certificates: `ca: FILE`; its own certificate "
	               "will do");
	if (t->ca.n) spec_err_say(warn(c, "ca"), "`ca` has no effect with `verify: false`");
}

void spec_check_upstream(const struct spec *s, struct spec_report *report)
{
	for (uint32_t i = 0; i < s->app_count; i++) {
		const struct spec_app *app = &s->apps[i];
		struct checking c = {s, report, find(app_node(s, app->name), "upstream.tls")};
		if (app->upstream.tls.set && app->upstream.tls.enabled)
			check_tls(&c, &app->upstream.tls);
	}
}

void spec_edge_place(const struct spec *s, const char *path, struct hg_err *err)
{
	const struct spec_node *edge = spec_node_get(s->origin->tree, "edge");
	const struct spec_node *at = edge ? find(edge, path) : NULL;
	if (at) hg_err_place(err, s->origin->file.p, at->line, at->column);
}

void spec_alerts_place(const struct spec *s, const char *path, struct hg_err *err)
{
	const struct spec_node *at = spec_node_get(s->origin->tree, "alerts");
	struct hg_str rest = hg_str(path);
	while (at && rest.n) {
		struct hg_str part = hg_str_cut(&rest, '.');
		const struct spec_node *c = at->kind == SPEC_N_SCALAR ? NULL : at->first;
		uint64_t i;
		if (at->kind == SPEC_N_LIST && hg_str_u64(part, &i)) {
			while (c && i--)
				c = c->next;
		} else {
			while (c && !hg_str_eq(c->key, part))
				c = c->next;
		}
		if (!c) break;
		at = c;
	}
	if (at) hg_err_place(err, s->origin->file.p, at->line, at->column);
}
