/* What a route does as a gateway: CORS, fields, paths, redirects, versions. */
#include "rig.h"

#include "wire/rate.h"

#define PAGE   "https://app.example.com"
#define OTHER  "https://evil.example.net"
#define GET(l) "GET / HTTP/1.1\r\nHost: a\r\n" l "\r\n"
#define ASKS   "Access-Control-Request-Method: PUT\r\n"
#define VAR(v) ((char)(FIELDVARS_FIRST + (v)))

#include "wire/fieldvars.h"

/* The request line as the body; of the fields of the answer rep->arg says more. */
static void rep_says(struct replica *rep, int fd)
{
	char out[4096], first[512];
	while (rep_head(rep, fd)) {
		snprintf(first, sizeof first, "%.*s", (int)strcspn(rep->last, "\r"), rep->last);
		snprintf(out, sizeof out,
		        "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n%s"
		        "Content-Length: %zu\r\n\r\n%s",
		        rep->arg ? (const char *)rep->arg : "", strlen(first), first);
		put(fd, out);
	}
}

static struct rig *gateway(const struct snap_in_gateway *w, const char *says)
{
	struct rig *g = rig_bare(0, 0);
	struct replica *rep = rig_replica(g, rep_says);
	rep->arg = (void *)(uintptr_t)says;
	g->guard.gateway = w;
	rig_publish(g);
	return g;
}

static struct snap_in_gateway cors(void)
{
	struct snap_in_gateway w = {.flags = SNAP_GW_CORS};
	w.text[SNAP_GW_ORIGINS] = HG_STR(PAGE "\nhttps://*.example.org\n");
	w.text[SNAP_GW_CORS_PREFLIGHT] = HG_STR("Access-Control-Allow-Methods: GET, PUT\r\n"
	                                        "Access-Control-Max-Age: 600\r\n");
	w.text[SNAP_GW_CORS_LINES] = HG_STR("Access-Control-Allow-Credentials: true\r\n"
	                                    "Access-Control-Expose-Headers: X-Total\r\n");
	return w;
}

/* Says it, and expects the status and a field; NULL: that the field is not there. */
static void expect(int fd, const char *text, int status, const char *name, const char *value)
{
	char v[1024];
	put(fd, text);
	struct resp *r = hear(fd);
	if (!r) fail_msg("no answer to: %s", text);
	const char *have = field(r->head, name, v, sizeof v);
	if (r->status != status || !have != !value || (have && strcmp(have, value) != 0))
		fail_msg("to: %shave: %s%s, want %d %s: %s", text, r->head, r->body, status, name,
		        value ? value : "nothing");
	resp_free(r);
}

static int count_of(const char *head, const char *name)
{
	int n = 0;
	size_t len = strlen(name);
	for (const char *p = strstr(head, "\r\n"); p && p[2]; p = strstr(p + 2, "\r\n"))
		n += strncasecmp(p + 2, name, len) == 0 && p[2 + len] == ':';
	return n;
}

static void a_preflight_is_answered_by_the_edge_and_costs_no_limit(void **state)
{
	struct snap_in_gateway w = cors();
	struct snap_in_limit l = {
	        .name = HG_STR("ip"), .field = HG_STR(""), .who = RATE_PER_IP, .id = 1};
	struct rig *g = gateway(&w, NULL);
	char v[256];
	(void)state;
	assert_true(gcra_rule_make(1, 3600000000000u, 1, &l.rule));
	g->guard.limits = &l;
	g->guard.limit_count = 1;
	rig_publish(g);
	int fd = dial(g);
	for (int i = 0; i < 3; i++) {
		put(fd, "OPTIONS /x HTTP/1.1\r\nHost: a\r\nOrigin: " PAGE "\r\n" ASKS "\r\n");
		struct resp *r = hear(fd);
		assert_int_equal(r->status, 204);
		assert_string_equal(
		        field(r->head, "Access-Control-Allow-Origin", v, sizeof v), PAGE);
		assert_string_equal(
		        field(r->head, "Access-Control-Allow-Methods", v, sizeof v), "GET, PUT");
		assert_string_equal(
		        field(r->head, "Access-Control-Allow-Credentials", v, sizeof v), "true");
		assert_string_equal(field(r->head, "Access-Control-Max-Age", v, sizeof v), "600");
		assert_string_equal(field(r->head, "Vary", v, sizeof v), "Origin");
		assert_null(field(r->head, "Content-Length", v, sizeof v));
		assert_null(field(r->head, "Content-Type", v, sizeof v));
		resp_free(r);
	}
	/* The limit of one was not touched; the refusal can be read by the page. */
	expect(fd, GET("Origin: " PAGE "\r\n"), 200, "Access-Control-Allow-Origin", PAGE);
	expect(fd, GET("Origin: " PAGE "\r\n"), 429, "Access-Control-Allow-Origin", PAGE);
	expect(fd, GET(""), 429, "Vary", "Origin");
	rig_sync(g);
	assert_int_equal(g->rep[0].requests, 1);
	assert_int_equal(meter_lane_code(g->meter, 0, 204), 3);
	close(fd);
	rig_free(g);
}

static void other_origins_get_no_word_of_permission(void **state)
{
	struct snap_in_gateway w = cors();
	struct rig *g = gateway(&w, NULL);
	int fd = dial(g);
	(void)state;
	expect(fd, "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: " OTHER "\r\n" ASKS "\r\n", 403,
	        "Access-Control-Allow-Origin", NULL);
	expect(fd, GET("Origin: " OTHER "\r\n"), 200, "Access-Control-Allow-Origin", NULL);
	expect(fd, GET("Origin: " OTHER "\r\n"), 200, "Access-Control-Allow-Credentials", NULL);
	expect(fd, GET("Origin: null\r\n"), 200, "Access-Control-Allow-Origin", NULL);
	/* … and a cache learns that it is so. */
	expect(fd, GET("Origin: " OTHER "\r\n"), 200, "Vary", "Origin");
	expect(fd, GET("Origin: https://a.b.example.org\r\n"), 200, "Access-Control-Allow-Origin",
	        "https://a.b.example.org");
	/* What is no preflight is the app's. */
	talk(fd, "OPTIONS /o HTTP/1.1\r\nHost: a\r\nOrigin: " OTHER "\r\n\r\n", 200,
	        "OPTIONS /o HTTP/1.1");
	close(fd);
	rig_free(g);
}

static void what_the_app_says_of_cors_is_replaced_and_not_doubled(void **state)
{
	struct snap_in_gateway w = cors();
	struct rig *g = gateway(&w, "Access-Control-Allow-Origin: *\r\nX-Total: 7\r\n"
	                            "access-control-allow-credentials: true\r\n"
	                            "Access-Control-Max-Age: 5\r\nVary: Accept, origin\r\n");
	int fd = dial(g);
	char v[256];
	(void)state;
	put(fd, GET("Origin: " PAGE "\r\n"));
	struct resp *r = hear(fd);
	assert_int_equal(count_of(r->head, "Access-Control-Allow-Origin"), 1);
	assert_string_equal(field(r->head, "Access-Control-Allow-Origin", v, sizeof v), PAGE);
	assert_int_equal(count_of(r->head, "Access-Control-Allow-Credentials"), 1);
	assert_int_equal(count_of(r->head, "Access-Control-Max-Age"), 0);
	assert_int_equal(count_of(r->head, "Vary"), 1);
	assert_string_equal(field(r->head, "X-Total", v, sizeof v), "7");
	resp_free(r);
	close(fd);
	rig_free(g);
}

static void answers_of_the_edge_itself_can_be_read_by_pages(void **state)
{
	struct snap_in_gateway w = cors();
	struct rig *g = gateway(&w, NULL);
	int fd;
	(void)state;
	rig_endpoint(g, 0, SNAP_EP_DOWN);
	fd = dial(g);
	expect(fd, GET("Origin: " PAGE "\r\n"), 503, "Access-Control-Allow-Origin", PAGE);
	close(fd);
	rig_free(g);
}

static void a_star_is_for_everybody_and_what_was_asked_may_be_allowed(void **state)
{
	struct snap_in_gateway w = {.flags = SNAP_GW_CORS | SNAP_GW_CORS_ANY | SNAP_GW_CORS_ASKED |
	                                     SNAP_GW_CORS_PRIVATE};
	struct rig *g = gateway(&w, NULL);
	int fd = dial(g);
	(void)state;
	expect(fd, GET("Origin: " OTHER "\r\n"), 200, "Access-Control-Allow-Origin", "*");
	expect(fd, GET(""), 200, "Vary", NULL);
	expect(fd,
	        "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: " OTHER "\r\n" ASKS
	        "Access-Control-Request-Headers: x-one,content-type\r\n\r\n",
	        204, "Access-Control-Allow-Headers", "x-one,content-type");
	expect(fd,
	        "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: " OTHER "\r\n" ASKS
	        "Access-Control-Request-Headers: x-one\"<b>\r\n\r\n",
	        204, "Access-Control-Allow-Headers", NULL);
	expect(fd,
	        "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: " OTHER "\r\n" ASKS
	        "Access-Control-Request-Private-Network: true\r\n\r\n",
	        204, "Access-Control-Allow-Private-Network", "true");
	expect(fd, "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: " OTHER "\r\n" ASKS "\r\n", 204,
	        "Access-Control-Allow-Private-Network", NULL);
	close(fd);
	rig_free(g);
}

static void requests_are_changed_by_the_rules(void **state)
{
	struct snap_in_gateway w = {.flags = SNAP_GW_REQUEST};
	char lines[128];
	struct rig *g;
	char v[256];
	(void)state;
	snprintf(lines, sizeof lines, "X-Set: new\r\nX-Added: %c/%c %c%c\r\n",
	        VAR(FIELDVAR_CLIENT_IP), VAR(FIELDVAR_APP), VAR(FIELDVAR_HOST), VAR(FIELDVAR_PATH));
	w.text[SNAP_GW_REQUEST_DROP] = HG_STR("x-set\nx-secret\n");
	w.text[SNAP_GW_REQUEST_RENAME] = HG_STR("x-old\nX-New\nx-none\nX-Kept\n");
	w.text[SNAP_GW_REQUEST_LINES] = hg_str(lines);
	g = gateway(&w, NULL);
	int fd = dial(g);
	talk(fd,
	        "GET /p?q HTTP/1.1\r\nHost: a:80\r\nX-SET: one\r\nX-Added: theirs\r\nX-New: "
	        "fake\r\n"
	        "X-Old: 1\r\nX-Secrets: stays\r\nX-Kept: stays\r\nx-secret: goes\r\nX-Old: 2\r\n"
	        "Tracestate: goes\r\n\r\n",
	        200, "GET /p?q HTTP/1.1");
	const char *seen = g->rep[0].last;
	assert_int_equal(count_of(seen, "X-Set"), 1);
	assert_string_equal(field(seen, "X-Set", v, sizeof v), "new");
	assert_int_equal(count_of(seen, "X-Secret"), 0);
	assert_string_equal(field(seen, "X-Secrets", v, sizeof v), "stays");
	assert_string_equal(field(seen, "X-Kept", v, sizeof v), "stays");
	assert_int_equal(count_of(seen, "X-New"), 2);
	assert_string_equal(field(seen, "X-New", v, sizeof v), "1");
	assert_int_equal(count_of(seen, "X-Old"), 0);
	assert_int_equal(count_of(seen, "X-Added"), 2);
	assert_non_null(strstr(seen, "X-Added: 127.0.0.1/app a:80/p\r\n"));
	assert_int_equal(count_of(seen, "Tracestate"), 0);
	assert_int_equal(count_of(seen, "traceparent"), 1);
	close(fd);
	rig_free(g);
}

static void responses_are_changed_by_the_rules(void **state)
{
	struct snap_in_gateway w = {.flags = SNAP_GW_RESPONSE};
	char lines[128];
	char v[256];
	(void)state;
	snprintf(lines, sizeof lines, "X-Frame: DENY\r\nX-Served: %c.%c %c\r\n",
	        VAR(FIELDVAR_RELEASE), VAR(FIELDVAR_REPLICA), VAR(FIELDVAR_ROUTE));
	w.text[SNAP_GW_RESPONSE_DROP] = HG_STR("x-frame\nserver\nx-powered-by\n");
	w.text[SNAP_GW_RESPONSE_RENAME] = HG_STR("x-inner\nX-Outer\n");
	w.text[SNAP_GW_RESPONSE_LINES] = hg_str(lines);
	w.text[SNAP_GW_OWN_LINES] = hg_str(lines);
	struct rig *g = gateway(&w, "Server: app/1\r\nX-Powered-By: php\r\nX-Frame: ALLOW\r\n"
	                            "X-Inner: in\r\nSet-Cookie: a=b\r\n");
	int fd = dial(g);
	put(fd, GET(""));
	struct resp *r = hear(fd);
	assert_int_equal(count_of(r->head, "Server"), 0);
	assert_int_equal(count_of(r->head, "X-Powered-By"), 0);
	assert_int_equal(count_of(r->head, "X-Frame"), 1);
	assert_string_equal(field(r->head, "X-Frame", v, sizeof v), "DENY");
	assert_string_equal(field(r->head, "X-Outer", v, sizeof v), "in");
	assert_string_equal(field(r->head, "X-Served", v, sizeof v), "1.0 all/");
	assert_string_equal(field(r->head, "Set-Cookie", v, sizeof v), "a=b");
	resp_free(r);
	/* The edge's own answers are the route's as well. */
	rig_endpoint(g, 0, SNAP_EP_DOWN);
	put(fd, GET(""));
	r = hear(fd);
	assert_int_equal(r->status, 503);
	assert_int_equal(count_of(r->head, "Server"), 0);
	assert_string_equal(field(r->head, "X-Frame", v, sizeof v), "DENY");
	assert_string_equal(field(r->head, "X-Served", v, sizeof v), "-.- all/");
	resp_free(r);
	close(fd);
	rig_free(g);
}

static void lines_that_do_not_fit_an_answer_are_left_out(void **state)
{
	struct snap_in_gateway w = cors();
	static char lines[SNAP_GATEWAY_TEXT];
	(void)state;
	memcpy(lines, "X-Long: ", 8);
	memset(lines + 8, VAR(FIELDVAR_ROUTE), sizeof lines - 10);
	memcpy(lines + sizeof lines - 2, "\r\n", 2);
	w.text[SNAP_GW_OWN_LINES] = (struct hg_str){lines, sizeof lines};
	struct rig *g = gateway(&w, NULL);
	rig_endpoint(g, 0, SNAP_EP_DOWN);
	int fd = dial(g);
	expect(fd, GET("Origin: " PAGE "\r\n"), 503, "X-Long", NULL);
	expect(fd, GET("Origin: " PAGE "\r\n"), 503, "Access-Control-Allow-Origin", PAGE);
	close(fd);
	rig_free(g);
}

static struct snap_in_gateway strip(void)
{
	struct snap_in_gateway w = {
	        .flags = SNAP_GW_PATH | SNAP_GW_STRIPPED | SNAP_GW_LOCATIONS | SNAP_GW_COOKIES};
	w.text[SNAP_GW_FROM] = HG_STR("/v1");
	return w;
}

static void the_replica_sees_the_path_behind_the_prefix(void **state)
{
	struct snap_in_gateway w = strip();
	struct rig *g = gateway(&w, NULL);
	int fd = dial(g);
	char v[64];
	(void)state;
	talk(fd, "GET /v1/users?id=%2e%2e HTTP/1.1\r\nHost: a\r\nX-Forwarded-Prefix: /no\r\n\r\n",
	        200, "GET /users?id=%2e%2e HTTP/1.1");
	assert_int_equal(count_of(g->rep[0].last, "X-Forwarded-Prefix"), 1);
	assert_string_equal(field(g->rep[0].last, "X-Forwarded-Prefix", v, sizeof v), "/v1");
	talk(fd, "GET /v1 HTTP/1.1\r\nHost: a\r\n\r\n", 200, "GET / HTTP/1.1");
	talk(fd, "GET /x/../v1/%7Eme HTTP/1.1\r\nHost: a\r\n\r\n", 200, "GET /~me HTTP/1.1");
	talk(fd, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200, "OPTIONS * HTTP/1.1");
	talk(fd, "GET /v1/..%2fadmin HTTP/1.1\r\nHost: a\r\n\r\n", 400, NULL);
	talk(fd, "GET /v1//evil.example HTTP/1.1\r\nHost: a\r\n\r\n", 400, NULL);
	if (RIG_H1)
		talk(fd, "GET http://a/v1/abs?q HTTP/1.1\r\nHost: a\r\n\r\n", 200,
		        "GET /abs?q HTTP/1.1");
	close(fd);
	rig_free(g);
}

static void places_in_responses_lead_through_the_edge(void **state)
{
	struct snap_in_gateway w = strip();
	struct rig *g = gateway(&w, "Location: /users/7?a=b\r\nContent-Location: http://a:8/x\r\n"
	                            "Set-Cookie: s=1; Path=/; HttpOnly\r\n"
	                            "Set-Cookie: path=/; path=/in; Secure\r\n"
	                            "Set-Cookie: t=2; HttpOnly\r\n");
	int fd = dial(g);
	char v[256];
	(void)state;
	put(fd, "POST /v1/users HTTP/1.1\r\nHost: a:8\r\nContent-Length: 0\r\n\r\n");
	struct resp *r = hear(fd);
	assert_string_equal(field(r->head, "Location", v, sizeof v), "/v1/users/7?a=b");
	assert_string_equal(field(r->head, "Content-Location", v, sizeof v), "http://a:8/v1/x");
	assert_int_equal(count_of(r->head, "Set-Cookie"), 3);
	assert_non_null(strstr(r->head, ": s=1; Path=/v1; HttpOnly\r\n"));
	assert_non_null(strstr(r->head, ": path=/; Path=/v1/in; Secure\r\n"));
	assert_non_null(strstr(r->head, ": t=2; HttpOnly\r\n"));
	resp_free(r);
	/* Another host's address is left alone. */
	put(fd, "POST /v1/users HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n");
	r = hear(fd);
	assert_string_equal(field(r->head, "Content-Location", v, sizeof v), "http://a:8/x");
	resp_free(r);
	close(fd);
	rig_free(g);
}

static void a_redirect_keeps_what_follows_and_names_no_other_host(void **state)
{
	struct snap_in_gateway w = {.flags = SNAP_GW_KEEP_PATH, .redirect = 301};
	w.text[SNAP_GW_REDIRECT_TO] = HG_STR("https://www.example.com/docs/");
	struct rig *g = gateway(&w, NULL);
	int fd = dial(g);
	(void)state;
	expect(fd, "GET /a/b?c=d HTTP/1.1\r\nHost: a\r\n\r\n", 301, "Location",
	        "https://www.example.com/docs/a/b?c=d");
	expect(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 301, "Location",
	        "https://www.example.com/docs/");
	w.text[SNAP_GW_REDIRECT_TO] = HG_STR("/");
	rig_publish(g);
	talk(fd, "GET //evil.example/x HTTP/1.1\r\nHost: a\r\n\r\n", 400, NULL);
	w.flags = 0;
	w.redirect = 303;
	w.text[SNAP_GW_REDIRECT_TO] = HG_STR("/elsewhere?x=1");
	rig_publish(g);
	expect(fd, "POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 303, "Location",
	        "/elsewhere?x=1");
	rig_sync(g);
	assert_int_equal(g->rep[0].requests, 0);
	close(fd);
	rig_free(g);
}

static void a_version_is_chosen_by_path_or_by_header(void **state)
{
	struct snap_in_gateway two = {0}, old = {.flags = SNAP_GW_RESPONSE};
	two.text[SNAP_GW_VERSION_FIELD] = HG_STR("API-Version");
	two.text[SNAP_GW_VERSION] = HG_STR("2");
	two.text[SNAP_GW_RESPONSE_LINES] = HG_STR("X-Version: 2\r\nVary: API-Version\r\n");
	struct snap_in_gateway three = two;
	three.text[SNAP_GW_VERSION] = HG_STR("3");
	three.text[SNAP_GW_RESPONSE_LINES] = HG_STR("X-Version: 3\r\n");
	old.text[SNAP_GW_RESPONSE_LINES] = HG_STR("X-Version: old\r\n");
	struct snap_in_route routes[] = {{.host = HG_STR("*"),
	                                         .path = HG_STR("/api"),
	                                         .name = HG_STR("3"),
	                                         .gateway = &three},
	        {.host = HG_STR("*"),
	                .path = HG_STR("/api/"),
	                .name = HG_STR("-"),
	                .gateway = &old},
	        {.host = HG_STR("*"), .path = HG_STR("/api"), .name = HG_STR("2"), .gateway = &two},
	        {.host = HG_STR("*"), .path = HG_STR("/api/v9"), .name = HG_STR("v9")}};
	struct rig *g = rig_bare(0, 0);
	(void)state;
	rig_replica(g, rep_says);
	g->routes = routes;
	g->route_count = HG_COUNT(routes);
	rig_publish(g);
	int fd = dial(g);
	expect(fd, "GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n", 200, "X-Version", "old");
	expect(fd, "GET /api/x HTTP/1.1\r\nHost: a\r\nAPI-Version: 1\r\n\r\n", 200, "X-Version",
	        "old");
	expect(fd, "GET /api/x HTTP/1.1\r\nHost: a\r\napi-version: 2\r\n\r\n", 200, "X-Version",
	        "2");
	expect(fd, "GET /api HTTP/1.1\r\nHost: a\r\nAPI-Version: 3\r\n\r\n", 200, "X-Version", "3");
	expect(fd, "GET /api/v9 HTTP/1.1\r\nHost: a\r\nAPI-Version: 3\r\n\r\n", 200, "X-Version",
	        NULL);
	close(fd);
	rig_free(g);
}

static void a_version_that_has_ended_is_gone_and_says_so(void **state)
{
	struct snap_in_gateway w = {.flags = SNAP_GW_RESPONSE};
	w.text[SNAP_GW_RESPONSE_DROP] = HG_STR("deprecation\nsunset\n");
	w.text[SNAP_GW_RESPONSE_LINES] = w.text[SNAP_GW_OWN_LINES] =
	        HG_STR("Deprecation: @1700000000\r\nSunset: Sat, 01 Jan 2050 00:00:00 GMT\r\n"
	               "Link: <https://example.com/c>; rel=\"sunset\"\r\n");
	w.gone_s = 2524608000u; /* 2050 */
	struct rig *g = gateway(&w, "Deprecation: ?1\r\n");
	int fd = dial(g);
	(void)state;
	put(fd, GET(""));
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 200);
	assert_int_equal(count_of(r->head, "Deprecation"), 1);
	resp_free(r);
	expect(fd, GET(""), 200, "Deprecation", "@1700000000");
	w.gone_s = 1700000000u;
	rig_publish(g);
	expect(fd, GET(""), 410, "Sunset", "Sat, 01 Jan 2050 00:00:00 GMT");
	expect(fd, GET(""), 410, "Link", "<https://example.com/c>; rel=\"sunset\"");
	close(fd);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_preflight_is_answered_by_the_edge_and_costs_no_limit),
	        cmocka_unit_test(other_origins_get_no_word_of_permission),
	        cmocka_unit_test(what_the_app_says_of_cors_is_replaced_and_not_doubled),
	        cmocka_unit_test(answers_of_the_edge_itself_can_be_read_by_pages),
	        cmocka_unit_test(a_star_is_for_everybody_and_what_was_asked_may_be_allowed),
	        cmocka_unit_test(requests_are_changed_by_the_rules),
	        cmocka_unit_test(responses_are_changed_by_the_rules),
	        cmocka_unit_test(lines_that_do_not_fit_an_answer_are_left_out),
	        cmocka_unit_test(the_replica_sees_the_path_behind_the_prefix),
	        cmocka_unit_test(places_in_responses_lead_through_the_edge),
	        cmocka_unit_test(a_redirect_keeps_what_follows_and_names_no_other_host),
	        cmocka_unit_test(a_version_is_chosen_by_path_or_by_header),
	        cmocka_unit_test(a_version_that_has_ended_is_gone_and_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
