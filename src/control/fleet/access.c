/* Who may use a route, by roles and scopes of the configuration, as the text that the edge walks.
 */
#include "control/fleet/fleet_priv.h"

#include <stdio.h>

#include "auth/rules.h"
#include "wire/http1.h"

static uint32_t bits_of(const struct hg_str *methods, uint32_t n)
{
	uint32_t bits = 0;
	for (uint32_t i = 0; i < n; i++) {
		for (int m = HTTP1_GET; m < HTTP1_METHODS; m++)
			if (hg_str_eq(methods[i], hg_str(http1_method_name((enum http1_method)m))))
				bits |= 1u << m;
	}
	/* Who may read may ask what there is to read. */
	if (bits & 1u << HTTP1_GET) bits |= 1u << HTTP1_HEAD;
	return bits;
}

/* off, optional, required: in this order in all three places. */
_Static_assert((int)SPEC_ACCESS_REQUIRE_OPTIONAL == (int)AUTH_OPTIONAL &&
                       (int)SPEC_ACCESS_RULE_REQUIRE_OPTIONAL == (int)AUTH_OPTIONAL &&
                       (int)SPEC_IDENTITY_REQUIRE_OPTIONAL == (int)AUTH_OPTIONAL &&
                       (int)SPEC_ACCESS_REQUIRE_REQUIRED == (int)AUTH_REQUIRED &&
                       (int)SPEC_ACCESS_RULE_REQUIRE_REQUIRED == (int)AUTH_REQUIRED &&
                       (int)SPEC_IDENTITY_REQUIRE_REQUIRED == (int)AUTH_REQUIRED,
        "one order");

bool fleet_access_make(struct fleet_conf *c, const struct spec_identity *id,
        const struct spec_access *access, struct fleet_route *to)
{
	char text[AUTH_RULES_TEXT];
	struct hg_out o = hg_out_over(text, sizeof text);
	struct auth_rule last = {
	        .methods = AUTH_ANY_METHOD, .require = (enum auth_require)id->require};
	to->rules = (struct hg_str){NULL, 0};
	if (!id->set) return true;
	for (uint32_t i = 0; access->set && i < access->rule_count; i++) {
		const struct spec_access_rule *r = &access->rules[i];
		struct auth_rule rule = {.methods = bits_of(r->methods, r->method_count),
		        .require = (enum auth_require)r->require,
		        .roles = {r->roles, r->role_count},
		        .scopes = {r->scopes, r->scope_count},
		        .issuers = {r->issuers, r->issuer_count}};
		auth_rule_write(&o, &rule);
	}
	if (access->set) {
		last.require = (enum auth_require)access->require;
		last.roles = (struct auth_words){access->roles, access->role_count};
		last.scopes = (struct auth_words){access->scopes, access->scope_count};
		last.issuers = (struct auth_words){access->issuers, access->issuer_count};
	}
	auth_rule_write(&o, &last);
	if (hg_out_failed(&o)) return false;
	to->rules = hg_arena_str(&c->mem, (struct hg_str){text, o.n});
	return to->rules.p != NULL;
}

/* How much a route asks for; the preview of two with one path asks for the more. */
static int strictness(const struct fleet_route *r)
{
	struct auth_found found;
	if (!auth_rules_find(r->rules, 1u << HTTP1_GET, &found)) return 0;
	return (int)found.require * 8 + (found.roles.n > 0) * 4 + (found.scopes.n > 0) * 2 +
	       (found.issuers.n > 0);
}

/* "/a" and "/a/" are one route. */
static bool same_path(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	while (n > 1 && a[n - 1] == '/')
		n--;
	while (m > 1 && b[m - 1] == '/')
		m--;
	return n == m && memcmp(a, b, n) == 0;
}

/* The strictest of the first `n` routes with this path; NULL: there is none. */
static const struct fleet_route *strictest(const struct fleet_conf *c, uint32_t n, const char *path)
{
	const struct fleet_route *found = NULL;
	for (uint32_t i = 0; i < n; i++) {
		const struct fleet_route *r = &c->routes[i];
		if (!same_path(r->path, path)) continue;
		if (!found || strictness(r) > strictness(found)) found = r;
	}
	return found;
}

static bool seen(const struct fleet_conf *c, uint32_t from, const char *path)
{
	for (uint32_t i = from; i < c->route_count; i++)
		if (same_path(c->routes[i].path, path)) return true;
	return false;
}

bool fleet_access_preview(struct fleet_conf *c, const struct spec_app *s)
{
	static const struct spec_access none;
	char name[512];
	if (!s->identity.set) return true;
	/* The last one is the preview itself, for "/" and all that no route of the app is for. */
	uint32_t n = c->route_count - 1;
	const struct fleet_route *root = strictest(c, n, "/");
	if (root)
		c->routes[n].rules = root->rules;
	else if (!fleet_access_make(c, &s->identity, &none, &c->routes[n]))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		const char *path = c->routes[i].path;
		if (seen(c, n, path)) continue;
		struct fleet_route *to = &c->routes[c->route_count++];
		*to = c->routes[n];
		(void)snprintf(name, sizeof name, "%s%s", to->host, path);
		to->path = path;
		to->name = hg_arena_str(&c->mem, hg_str(name)).p;
		const struct fleet_route *like = strictest(c, n, path);
		HG_ASSERT(like); /* the route itself at least */
		to->rules = like->rules;
		if (!to->name) return false;
	}
	return true;
}
