#include "../../test.h"

#include "auth/rules.h"
#include "control/fleet/fleet_priv.h"
#include "wire/http1.h"

#define GET (1u << HTTP1_GET)

struct stage {
	struct fleet_conf c;
	struct fleet_route routes[16];
	struct spec_app app;
};

static void begin(struct stage *s)
{
	*s = (struct stage){
	        .app.identity = {.set = true, .require = SPEC_IDENTITY_REQUIRE_REQUIRED}};
	hg_arena_init(&s->c.mem, "test", 1u << 20);
	s->c.routes = s->routes;
}

static void add(struct stage *s, const char *host, const char *path, const struct spec_access *a)
{
	static const struct spec_access none;
	struct fleet_route *r = &s->routes[s->c.route_count++];
	*r = (struct fleet_route){.host = host, .path = path, .name = path};
	assert_true(fleet_access_make(&s->c, &s->app.identity, a ? a : &none, r));
}

static enum auth_access decide(struct hg_str rules, uint32_t bit, const char *role)
{
	struct auth_found found;
	struct hg_str r = hg_str(role);
	struct auth_words roles = {&r, 1}, none = {NULL, 0};
	struct auth_identity *id =
	        role ? auth_identity_new(HG_STR("ann"), roles, none, INT64_MAX) : NULL;
	assert_true(auth_rules_find(rules, bit, &found));
	enum auth_access a = auth_decide(&found, id);
	auth_identity_unref(id);
	return a;
}

static void routes_ask_as_the_app_does_unless_they_say_otherwise(void **state)
{
	struct stage s;
	struct spec_access off = {.set = true, .require = SPEC_ACCESS_REQUIRE_OFF};
	(void)state;
	begin(&s);
	add(&s, "a", "/", NULL);
	add(&s, "a", "/open", &off);
	assert_int_equal(decide(s.routes[0].rules, GET, NULL), AUTH_WHO);
	assert_int_equal(decide(s.routes[1].rules, GET, NULL), AUTH_PASS);
	s.app.identity.require = SPEC_IDENTITY_REQUIRE_OPTIONAL;
	add(&s, "a", "/mixed", NULL);
	assert_int_equal(decide(s.routes[2].rules, GET, NULL), AUTH_PASS);
	s.app.identity.set = false;
	add(&s, "a", "/without", NULL);
	assert_int_equal(s.routes[3].rules.n, 0);
	hg_arena_fini(&s.c.mem);
}

static void rules_name_methods_and_get_is_head(void **state)
{
	struct stage s;
	struct hg_str get = HG_STR("GET"), admin = HG_STR("admin"), user = HG_STR("user");
	struct spec_access_rule rule = {.methods = &get,
	        .method_count = 1,
	        .require = SPEC_ACCESS_RULE_REQUIRE_REQUIRED,
	        .roles = &user,
	        .role_count = 1};
	struct spec_access access = {.set = true,
	        .require = SPEC_ACCESS_REQUIRE_REQUIRED,
	        .roles = &admin,
	        .role_count = 1,
	        .rules = &rule,
	        .rule_count = 1};
	(void)state;
	begin(&s);
	add(&s, "a", "/", &access);
	struct hg_str rules = s.routes[0].rules;
	assert_true(auth_rules_valid(rules));
	assert_int_equal(decide(rules, GET, "user"), AUTH_PASS);
	assert_int_equal(decide(rules, 1u << HTTP1_HEAD, "user"), AUTH_PASS);
	assert_int_equal(decide(rules, 1u << HTTP1_DELETE, "user"), AUTH_ROLE);
	assert_int_equal(decide(rules, 1u << HTTP1_OTHER, "user"), AUTH_ROLE);
	assert_int_equal(decide(rules, 1u << HTTP1_DELETE, "admin"), AUTH_PASS);
	hg_arena_fini(&s.c.mem);
}

static struct hg_str preview_rules(const struct stage *s, uint32_t from, const char *path)
{
	for (uint32_t i = from; i < s->c.route_count; i++)
		if (strcmp(s->routes[i].path, path) == 0) return s->routes[i].rules;
	fail_msg("no preview of %s", path);
	return (struct hg_str){NULL, 0};
}

static void nothing_is_open_by_the_preview(void **state)
{
	struct stage s;
	struct hg_str admin = HG_STR("admin");
	struct spec_access off = {.set = true, .require = SPEC_ACCESS_REQUIRE_OFF};
	struct spec_access admins = {.set = true,
	        .require = SPEC_ACCESS_REQUIRE_REQUIRED,
	        .roles = &admin,
	        .role_count = 1};
	(void)state;
	begin(&s);
	add(&s, "a", "/", &off);
	add(&s, "a", "/admin", &admins);
	add(&s, "a", "/x", &off);
	add(&s, "b", "/x/", &admins);
	add(&s, "b", "/", NULL);
	uint32_t first = s.c.route_count++;
	s.routes[first] =
	        (struct fleet_route){.host = "next", .path = "/", .name = "next/", .preview = true};
	assert_true(fleet_access_preview(&s.c, &s.app));
	/* "/", "/admin" and "/x": each as the strictest route of that path. */
	assert_int_equal(s.c.route_count, first + 3);
	assert_int_equal(decide(preview_rules(&s, first, "/"), GET, NULL), AUTH_WHO);
	assert_int_equal(decide(preview_rules(&s, first, "/admin"), GET, "user"), AUTH_ROLE);
	assert_int_equal(decide(preview_rules(&s, first, "/x"), GET, "user"), AUTH_ROLE);
	for (uint32_t i = first; i < s.c.route_count; i++) {
		assert_true(s.routes[i].preview);
		assert_string_equal(s.routes[i].host, "next");
	}
	hg_arena_fini(&s.c.mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(routes_ask_as_the_app_does_unless_they_say_otherwise),
	        cmocka_unit_test(rules_name_methods_and_get_is_head),
	        cmocka_unit_test(nothing_is_open_by_the_preview),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
