/* What of an app's identity and its routes' access does not fit together. */
#include "spec/spec_priv.h"

struct checking {
	const struct spec *s;
	struct spec_report *r;
	const struct spec_app *app;
};

static const struct spec_node *child(const struct spec_node *at, struct hg_str key)
{
	const struct spec_node *c = at && at->kind == SPEC_N_MAP ? at->first : NULL;
	while (c && !hg_str_eq(c->key, key))
		c = c->next;
	return c;
}

static const struct spec_node *item(const struct spec_node *list, uint32_t at)
{
	const struct spec_node *c = list && list->kind == SPEC_N_LIST ? list->first : NULL;
	while (c && at--)
		c = c->next;
	return c;
}

/* Where a key was written; the nearest thing above it that was, when it was not. */
static const struct spec_node *find(const struct spec_node *at, const char *path)
{
	struct hg_str rest = hg_str(path);
	while (at && rest.n) {
		const struct spec_node *c = child(at, hg_str_cut(&rest, '.'));
		if (!c) break;
		at = c;
	}
	return at;
}

static const struct spec_node *app_node(const struct checking *c)
{
	const struct spec_node *apps = spec_node_get(c->s->origin->tree, "apps");
	const struct spec_node *at = child(apps, c->app->name);
	return at ? at : apps;
}

static struct hg_err *fail(struct checking *c, enum hg_rc rc, const struct spec_node *at)
{
	return spec_report_error(c->r, rc, at ? at->line : 0, at ? at->column : 0);
}

static struct hg_err *fail_at(struct checking *c, enum hg_rc rc, const char *path)
{
	return fail(c, rc, find(app_node(c), path));
}

static void check_sources(
        struct checking *c, const struct spec_identity_jwt *j, const struct spec_node *at)
{
	uint32_t n = (j->jwks.n > 0) + (j->public_key.n > 0) + (j->secret_file.n > 0);
	if (n == 1) return;
	struct hg_err *e = fail(c, n ? HG_E_CONFIG_CONFLICT : HG_E_CONFIG_MISSING, at);
	spec_err_say(e, n ? "tokens are checked with one of `jwks`, `public_key` and `secret_file`"
	                  : "there is nothing that tokens could be checked with");
	hg_err_hint(e, "name one: `jwks: https://…`, `public_key: FILE` or `secret_file: FILE`");
}

/* `at`: where this issuer was written. */
static void check_jwt(
        struct checking *c, const struct spec_identity_jwt *j, const struct spec_node *at)
{
	const struct spec_node *audience = find(at, "audience");
	check_sources(c, j, at);
	if (j->audience_count > 16) {
		struct hg_err *e = fail(c, HG_E_CONFIG_LIMIT, audience);
		spec_err_say(e, "at most 16 audiences, not %u", j->audience_count);
	}
	bool any = false;
	for (uint32_t i = 0; i < j->audience_count; i++)
		any = any || hg_str_eq(j->audience[i], HG_STR("*"));
	if (any && j->audience_count > 1) {
		struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, audience);
		spec_err_say(e, "\"*\" stands for every audience: nothing can stand beside it");
	} else if (any) {
		struct hg_err *e = spec_report_warning(
		        c->r, audience ? audience->line : 0, audience ? audience->column : 0);
		spec_err_say(e, "a token that the issuer made for any other service is good here "
		                "too");
		hg_err_hint(e, "name this service: `audience: %.*s`", HG_STR_ARG(c->app->name));
	}
	if (j->audience_count == 0) {
		struct hg_err *e = fail(c, HG_E_CONFIG_MISSING, at);
		spec_err_say(e, "`audience` names nobody");
		hg_err_hint(e, "name this service as the issuer does: `audience: %.*s`",
		        HG_STR_ARG(c->app->name));
	}
	bool hs = false, others = false;
	for (uint32_t i = 0; i < j->algorithm_count; i++) {
		bool is = hg_str_eq(j->algorithms[i], HG_STR("HS256"));
		hs = hs || is;
		others = others || !is;
	}
	if (j->algorithm_count && (j->secret_file.n ? !hs : j->public_key.n && !others)) {
		struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, find(at, "algorithms"));
		spec_err_say(e, "no key is for any of these algorithms: every token would be "
		                "refused");
		hg_err_hint(e, "a secret is for HS256, a public key for RS256, ES256 or EdDSA; "
		               "without `algorithms` the key decides");
	}
}

static void check_issuers(struct checking *c, const struct spec_identity *id)
{
	const struct spec_node *list = find(app_node(c), "identity.issuers");
	if (id->jwt.set) {
		struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, list);
		spec_err_say(e, "`jwt` is for one issuer, `issuers` for several: not both");
		hg_err_hint(e, "make what stands under `jwt` another entry of `issuers`");
	}
	if (id->issuer_count > 16) {
		struct hg_err *e = fail(c, HG_E_CONFIG_LIMIT, list);
		spec_err_say(e, "at most 16 issuers, not %u", id->issuer_count);
		return;
	}
	for (uint32_t i = 0; i < id->issuer_count; i++) {
		const struct spec_identity_jwt *j = &id->issuers[i];
		const struct spec_node *at = item(list, i);
		check_jwt(c, j, at);
		for (uint32_t k = 0; k < i; k++) {
			if (!hg_str_eq(id->issuers[k].issuer, j->issuer)) continue;
			struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, find(at, "issuer"));
			spec_err_say(e, "\"%.*s\" is there twice", HG_STR_ARG(j->issuer));
			hg_err_hint(e, "its tokens are checked with one set of keys");
			break;
		}
		if (j->issuer.n > 1024) {
			struct hg_err *e = fail(c, HG_E_CONFIG_LIMIT, find(at, "issuer"));
			spec_err_say(e, "an issuer's name has 1024 bytes at most");
		}
		bool same = hg_str_eq_nocase(j->header, id->issuers[0].header) &&
		            hg_str_eq(j->cookie, id->issuers[0].cookie);
		if (same) continue;
		struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, at);
		spec_err_say(
		        e, "tokens of all issuers of an app stand in one header and one cookie");
		hg_err_hint(e, "write the same `header` and `cookie` everywhere, or none");
	}
}

void spec_identity_place(const struct spec *s, const struct spec_app *app,
        const struct spec_identity_jwt *j, struct hg_err *err)
{
	const struct spec_identity *id = &app->identity;
	struct checking c = {.s = s, .app = app};
	const struct spec_node *at = find(app_node(&c), "identity.jwt");
	for (uint32_t i = 0; i < id->issuer_count; i++)
		if (j == &id->issuers[i]) at = item(find(app_node(&c), "identity.issuers"), i);
	if (at) at = find(at, j->jwks.n ? "jwks" : j->public_key.n ? "public_key" : "secret_file");
	if (at) hg_err_place(err, s->origin->file.p, at->line, at->column);
}

static void check_keys(struct checking *c, const struct spec_identity *id)
{
	const struct spec_node *list = find(app_node(c), "identity.keys");
	if (id->key_count > 4096) {
		struct hg_err *e = fail(c, HG_E_CONFIG_LIMIT, list);
		spec_err_say(e, "at most 4096 keys, not %u", id->key_count);
		return;
	}
	for (uint32_t i = 0; i < id->key_count; i++) {
		for (uint32_t k = 0; k < i; k++) {
			bool name = hg_str_eq(id->keys[i].name, id->keys[k].name);
			if (!name && !hg_str_eq_nocase(id->keys[i].sha256, id->keys[k].sha256))
				continue;
			struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, item(list, i));
			spec_err_say(e, "key \"%.*s\" has the %s of another one",
			        HG_STR_ARG(id->keys[i].name), name ? "name" : "hash");
			return;
		}
	}
}

static bool same_field(struct hg_str a, struct hg_str b)
{
	return a.n && hg_str_eq_nocase(a, b);
}

static void check_identity(struct checking *c, const struct spec_identity *id)
{
	if (!id->jwt.set && id->issuer_count == 0 && id->key_count == 0) {
		struct hg_err *e = fail_at(c, HG_E_CONFIG_MISSING, "identity");
		spec_err_say(e, "nobody could prove who he is: there are neither `jwt` nor `keys`");
		hg_err_hint(e, "for example `identity: {jwt: {issuer: …, audience: …, jwks: …}}`");
	}
	if (id->jwt.set) check_jwt(c, &id->jwt, find(app_node(c), "identity.jwt"));
	if (id->issuer_count) check_issuers(c, id);
	check_keys(c, id);
	const struct hg_str told[] = {
	        id->user_header, id->roles_header, id->scopes_header, id->issuer_header};
	bool twice = false;
	for (size_t i = 0; i < HG_COUNT(told); i++)
		for (size_t k = 0; k < i; k++)
			twice = twice || same_field(told[i], told[k]);
	if (twice) {
		struct hg_err *e = fail_at(c, HG_E_CONFIG_CONFLICT, "identity");
		spec_err_say(e, "two of the headers for user, roles, scopes and issuer have one "
		                "name");
	}
}

/* An issuer that is none of the app's would let nobody in. */
static void check_access_issuers(
        struct checking *c, const struct spec_node *at, const struct hg_str *names, uint32_t n)
{
	const struct spec_identity *id = &c->app->identity;
	for (uint32_t i = 0; i < n; i++) {
		bool there = false;
		for (uint32_t k = 0; k < id->issuer_count; k++)
			there = there || hg_str_eq(id->issuers[k].issuer, names[i]);
		if (there) continue;
		struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, at);
		spec_err_say(e, "\"%.*s\" is none of the app's `identity.issuers`",
		        HG_STR_ARG(names[i]));
		hg_err_hint(e, id->issuer_count ? "write it to the letter as it stands there"
		                                : "list the issuers there: `jwt` alone has no "
		                                  "other to be told from");
	}
}

static void check_access(struct checking *c, const struct spec_route *r, uint32_t at)
{
	const struct spec_node *node =
	        child(item(child(app_node(c), HG_STR("routes")), at), HG_STR("access"));
	if (!c->app->identity.set) {
		struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, node);
		spec_err_say(e, "`access` of a route in an app without `identity`");
		hg_err_hint(e, "say how clients prove who they are: `identity:` of the app; "
		               "networks are `allow` and `deny` of the route");
		return;
	}
	if (r->access.rule_count > 31) {
		struct hg_err *e = fail(c, HG_E_CONFIG_LIMIT, node);
		spec_err_say(e, "at most 31 rules, not %u", r->access.rule_count);
	}
	check_access_issuers(c, find(node, "issuers"), r->access.issuers, r->access.issuer_count);
	for (uint32_t i = 0; i < r->access.rule_count; i++)
		check_access_issuers(c, item(find(node, "rules"), i), r->access.rules[i].issuers,
		        r->access.rules[i].issuer_count);
	bool off = r->access.require == SPEC_ACCESS_REQUIRE_OFF;
	if (off && (r->access.role_count || r->access.scope_count)) {
		struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT, node);
		spec_err_say(e, "roles and scopes are of nobody where nobody is asked who he is");
		hg_err_hint(e, "write `require: required`, or take them out");
	}
}

/* Is it a name by which the replica is told who somebody is ("_" counts as "-")? */
static bool tells(const struct spec_identity *id, struct hg_str name)
{
	const struct hg_str told[] = {
	        id->user_header, id->roles_header, id->scopes_header, id->issuer_header};
	char dashed[64];
	if (name.n > sizeof dashed) return false;
	for (size_t i = 0; i < name.n; i++)
		dashed[i] = name.p[i] == '_' ? '-' : name.p[i];
	for (size_t i = 0; i < HG_COUNT(told); i++)
		if (hg_str_eq_nocase(told[i], (struct hg_str){dashed, name.n})) return true;
	return false;
}

/* A rule that renames a client's field to one of these would let him be anybody. */
static void check_fields(struct checking *c, const struct spec_route *r, uint32_t at)
{
	const struct spec_header_rules *f = &r->request_headers;
	struct hg_str found = {NULL, 0};
	for (uint32_t i = 0; i < f->rename_field_count; i++)
		if (tells(&c->app->identity, f->rename[i].value)) found = f->rename[i].value;
	for (uint32_t i = 0; i < f->set_field_count; i++)
		if (tells(&c->app->identity, f->set_[i].name)) found = f->set_[i].name;
	for (uint32_t i = 0; i < f->add_field_count; i++)
		if (tells(&c->app->identity, f->add[i].name)) found = f->add[i].name;
	if (!found.n) return;
	struct hg_err *e = fail(c, HG_E_CONFIG_CONFLICT,
	        child(item(child(app_node(c), HG_STR("routes")), at), HG_STR("request_headers")));
	spec_err_say(e, "\"%.*s\" tells the replica who somebody is: only `identity` may write it",
	        HG_STR_ARG(found));
	hg_err_hint(e, "take the rule out, or name the field otherwise: `identity.user_header`");
}

void spec_check_identity(const struct spec *s, struct spec_report *report)
{
	for (uint32_t a = 0; a < s->app_count; a++) {
		struct checking c = {s, report, &s->apps[a]};
		if (c.app->identity.set) check_identity(&c, &c.app->identity);
		for (uint32_t i = 0; i < c.app->route_count; i++) {
			if (c.app->routes[i].access.set) check_access(&c, &c.app->routes[i], i);
			if (c.app->identity.set) check_fields(&c, &c.app->routes[i], i);
		}
	}
}
