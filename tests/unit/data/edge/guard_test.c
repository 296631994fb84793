/* Who may, and how often. */
#include "rig.h"

#include "wire/ip.h"
#include "wire/rate.h"

#define GET        "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define WITH(line) "GET / HTTP/1.1\r\nHost: a\r\n" line "\r\n\r\n"

/* `burst` at once, then one an hour: a test never waits for the next. */
static struct snap_in_limit limit(uint32_t who, uint64_t burst, const char *name, const char *field)
{
	struct snap_in_limit l = {.name = hg_str(name),
	        .field = hg_str(field),
	        .who = who,
	        .id = hg_str_hash(hg_str(name))};
	assert_true(gcra_rule_make(1, 3600000000000u, burst, &l.rule));
	return l;
}

static struct rig *limited(const struct snap_in_limit *limits, uint32_t n)
{
	struct rig *g = rig_bare(0, 0);
	rig_replica(g, rep_echo);
	g->guard = (struct snap_in_route){.limits = limits,
	        .limit_count = n,
	        .policy = HG_STR("RateLimit-Policy: \"x\";q=1;w=3600\r\n"),
	        .session = HG_STR("session")};
	rig_publish(g);
	return g;
}

struct nets {
	struct ip_step steps[64];
	struct snap_in_set set;
};

/* Networks with a "!" before are denied. */
static void nets(struct nets *to, const char *const *text, uint32_t other)
{
	struct ip_prefix p[16];
	uint8_t addr[16];
	size_t n = 0;
	for (; text[n]; n++) {
		bool no = text[n][0] == '!';
		assert_true(ip_parse_net(hg_str(text[n] + no), addr, &p[n].bits));
		p[n].addr = ip_addr_of(addr);
		p[n].value = no ? SNAP_ACCESS_DENY : SNAP_ACCESS_ALLOW;
	}
	to->set = (struct snap_in_set){.steps = to->steps,
	        .count = (uint32_t)ipset_compile(p, n, to->steps),
	        .other = other};
}

static void beyond_the_limit_the_edge_answers_429_and_asks_no_replica(void **state)
{
	struct snap_in_limit l = limit(RATE_PER_IP, 3, "ip-hour", "");
	struct rig *g = limited(&l, 1);
	int fd = dial(g);
	char v[128];
	(void)state;
	for (int i = 0; i < 3; i++) {
		char want[64];
		put(fd, GET);
		struct resp *r = hear(fd);
		assert_int_equal(r->status, 200);
		snprintf(want, sizeof want, "\"ip-hour\";r=%d;t=3600", 2 - i);
		assert_string_equal(field(r->head, "RateLimit", v, sizeof v), want);
		assert_string_equal(
		        field(r->head, "RateLimit-Policy", v, sizeof v), "\"x\";q=1;w=3600");
		assert_null(field(r->head, "Retry-After", v, sizeof v));
		resp_free(r);
	}
	put(fd, GET);
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 429);
	assert_string_equal(field(r->head, "Retry-After", v, sizeof v), "3600");
	assert_string_equal(field(r->head, "RateLimit", v, sizeof v), "\"ip-hour\";r=0;t=3600");
	assert_string_equal(r->body, "too many requests\n");
	resp_free(r);
	/* The connection is good for more, and the body of a refused request is not waited for. */
	talk(fd, GET, 429, NULL);
	rig_sync(g);
	assert_int_equal(g->rep[0].requests, 3);
	assert_int_equal(meter_lane_code(g->meter, 0, 429), 2);
	assert_int_equal(g->meter->worker[1].rate_limited, 2);
	close(fd);
	rig_free(g);
}

static void the_access_log_says_which_limit_refused(void **state)
{
	struct snap_in_limit l = limit(RATE_PER_IP, 1, "ip-hour", "");
	struct rig *g = limited(&l, 1);
	char log[4096];
	int fd = dial(g);
	(void)state;
	talk(fd, GET, 200, NULL);
	talk(fd, GET, 429, NULL);
	size_t n = 0;
	for (int i = 0; i < 100 && !(n && strstr(log, "429")); i++) {
		ssize_t k = read(g->log_pipe[0], log + n, sizeof log - 1 - n);
		if (k > 0) n += (size_t)k;
		log[n] = 0;
		usleep(20000);
	}
	assert_non_null(strstr(log, "\"status\":429"));
	assert_non_null(strstr(log, "\"reason\":\"too many requests\",\"limit\":\"ip-hour\""));
	assert_non_null(strstr(log, "\"status\":200"));
	close(fd);
	rig_free(g);
}

static void users_are_told_apart_by_authorization_then_cookie_then_address(void **state)
{
	struct snap_in_limit l = limit(RATE_PER_USER, 1, "user-hour", "");
	struct rig *g = limited(&l, 1);
	static const char *const who[] = {
	        WITH("Authorization: Bearer aaaa"),
	        WITH("Authorization: Bearer aaab"),
	        WITH("Cookie: x=1; session=s1"),
	        WITH("Cookie: session=s2; session=s1"),
	        WITH("Cookie: session=aaaa"),
	        GET,
	};
	int fd = dial(g);
	(void)state;
	for (size_t i = 0; i < HG_COUNT(who); i++)
		talk(fd, who[i], 200, NULL);
	for (size_t i = 0; i < HG_COUNT(who); i++)
		talk(fd, who[i], 429, NULL);
	/* Other cookies and empty names do not make somebody new of an address. */
	talk(fd, WITH("Cookie: other=1"), 429, NULL);
	talk(fd, WITH("Cookie: session="), 429, NULL);
	talk(fd, WITH("Authorization:"), 429, NULL);
	/* The header comes first: a cookie beside it changes nothing. */
	talk(fd, WITH("Authorization: Bearer aaaa\r\nCookie: session=new"), 429, NULL);
	close(fd);
	rig_free(g);
}

static void a_header_or_a_cookie_can_name_the_client(void **state)
{
	struct snap_in_limit l[] = {limit(RATE_PER_HEADER, 1, "header-hour", "X-Api-Key"),
	        limit(RATE_PER_COOKIE, 2, "cookie-hour", "sid")};
	struct rig *g = limited(l, 2);
	int fd = dial(g);
	(void)state;
	talk(fd, WITH("x-api-key: one\r\nCookie: sid=a"), 200, NULL);
	talk(fd, WITH("X-Api-Key: one\r\nCookie: sid=a"), 429, NULL);
	/* What the first limit refused was not charged to the second. */
	talk(fd, WITH("X-Api-Key: two\r\nCookie: sid=a"), 200, NULL);
	talk(fd, WITH("X-Api-Key: three\r\nCookie: sid=a"), 429, NULL);
	talk(fd, WITH("X-Api-Key: three\r\nCookie: sid=b"), 200, NULL);
	close(fd);
	rig_free(g);
}

static void the_limit_of_a_route_is_of_all_together(void **state)
{
	struct snap_in_limit l = limit(RATE_PER_ROUTE, 2, "route-hour", "");
	struct rig *g = limited(&l, 1);
	int fd = dial(g);
	(void)state;
	talk(fd, WITH("Authorization: a"), 200, NULL);
	talk(fd, WITH("Authorization: b"), 200, NULL);
	talk(fd, WITH("Authorization: c"), 429, NULL);
	talk(fd, "GET / HTTP/1.1\r\nHost: preview\r\n\r\n", 503, NULL); /* another route */
	close(fd);
	rig_free(g);
}

static void what_probes_ask_is_never_limited(void **state)
{
	struct snap_in_limit l = limit(RATE_PER_ROUTE, 1, "route-hour", "");
	struct rig *g = limited(&l, 1);
	(void)state;
	g->probe = HG_STR("/health");
	rig_publish(g);
	int fd = dial(g);
	for (int i = 0; i < 5; i++)
		talk(fd, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL);
	talk(fd, "GET /x/../%68ealth?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL);
	talk(fd, "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 200, NULL);
	talk(fd, "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 429, NULL);
	talk(fd, "GET /healthy HTTP/1.1\r\nHost: a\r\n\r\n", 429, NULL);
	talk(fd, "GET /health/ HTTP/1.1\r\nHost: a\r\n\r\n", 429, NULL);
	close(fd);
	rig_free(g);
}

static void exempt_clients_are_not_counted(void **state)
{
	struct snap_in_limit l = limit(RATE_PER_IP, 1, "ip-hour", "");
	struct rig *g = limited(&l, 1);
	struct nets n;
	char v[64];
	(void)state;
	nets(&n, (const char *const[]){"127.0.0.0/8", NULL}, 0);
	g->exempt = n.set;
	rig_publish(g);
	int fd = dial(g);
	for (int i = 0; i < 3; i++)
		talk(fd, GET, 200, NULL);
	put(fd, GET);
	struct resp *r = hear(fd);
	assert_null(field(r->head, "RateLimit", v, sizeof v));
	resp_free(r);
	g->exempt = (struct snap_in_set){0};
	rig_publish(g);
	talk(fd, GET, 200, NULL);
	talk(fd, GET, 429, NULL);
	close(fd);
	rig_free(g);
}

static void workers_share_a_limit_and_a_new_image_keeps_it(void **state)
{
	struct snap_in_limit l = limit(RATE_PER_IP, 4, "ip-hour", "");
	struct rig *g = limited(&l, 1), *h = rig_worker(0, 0, g, 0);
	(void)state;
	h->guard = g->guard;
	rig_publish(h);
	int one = dial(g), two = dial(h);
	talk(one, GET, 200, NULL);
	talk(two, GET, 200, NULL);
	rig_publish(g);
	talk(one, GET, 200, NULL);
	talk(two, GET, 200, NULL);
	talk(one, GET, 429, NULL);
	talk(two, GET, 429, NULL);
	/* Another rule begins anew. */
	struct snap_in_limit other = limit(RATE_PER_IP, 5, "ip-day", "");
	g->guard.limits = &other;
	rig_publish(g);
	talk(one, GET, 200, NULL);
	talk(two, GET, 429, NULL);
	close(one);
	close(two);
	rig_free(h);
	rig_free(g);
}

/* ---- who the client is ---- */

static void only_a_trusted_proxy_says_who_the_client_is(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	struct nets n;
	char v[128];
	(void)state;
	int fd = dial(g);
	talk(fd, WITH("X-Forwarded-For: 192.0.2.1"), 200, NULL);
	assert_string_equal(field(g->rep[0].last, "X-Forwarded-For", v, sizeof v), "127.0.0.1");
	nets(&n, (const char *const[]){"127.0.0.1", "10.0.0.0/8", NULL}, 0);
	g->trusted = n.set;
	rig_publish(g);
	static const struct {
		const char *request, *want;
	} row[] = {
	        {WITH("X-Forwarded-For: 192.0.2.1"), "192.0.2.1"},
	        /* The first of the list is what the client made up. */
	        {WITH("X-Forwarded-For: 9.9.9.9, 192.0.2.1"), "192.0.2.1"},
	        {WITH("X-Forwarded-For: 9.9.9.9, 192.0.2.1, 10.1.2.3"), "192.0.2.1"},
	        {WITH("X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 192.0.2.2"), "192.0.2.2"},
	        {WITH("X-Forwarded-For: 192.0.2.3\r\nX-Forwarded-For: 10.0.0.1"), "192.0.2.3"},
	        {WITH("X-Forwarded-For: 2001:db8::7"), "2001:db8::7"},
	        {WITH("X-Forwarded-For: unknown, 10.0.0.9"), "10.0.0.9"},
	        {WITH("X-Forwarded-For: 10.0.0.1, 10.0.0.2"), "10.0.0.1"},
	        {WITH("X-Forwarded-For: nonsense"), "127.0.0.1"},
	        {WITH("X-Forwarded-For:"), "127.0.0.1"},
	        {GET, "127.0.0.1"},
	};
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		talk(fd, row[i].request, 200, NULL);
		field(g->rep[0].last, "X-Forwarded-For", v, sizeof v);
		if (strcmp(v, row[i].want) != 0) fail_msg("%s%s", row[i].request, v);
		assert_null(strstr(g->rep[0].last, "9.9.9.9"));
	}
	talk(fd, WITH("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https"), 200, NULL);
	assert_string_equal(field(g->rep[0].last, "X-Forwarded-Proto", v, sizeof v), "https");
	assert_string_equal(field(g->rep[0].last, "Forwarded", v, sizeof v),
	        "for=192.0.2.1;proto=https;host=\"a\"");
	/* … and here too: a proxy that adds its own says the truth at the end. */
	talk(fd, WITH("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http"), 200, NULL);
	assert_string_equal(field(g->rep[0].last, "X-Forwarded-Proto", v, sizeof v), "http");
	talk(fd, WITH("X-Forwarded-Proto: http, https"), 200, NULL);
	assert_string_equal(field(g->rep[0].last, "X-Forwarded-Proto", v, sizeof v), "https");
	talk(fd, GET, 200, NULL);
	assert_string_equal(field(g->rep[0].last, "X-Forwarded-Proto", v, sizeof v), "http");
	close(fd);
	rig_free(g);
}

static void limits_by_address_count_the_client_behind_the_proxy(void **state)
{
	struct snap_in_limit l = limit(RATE_PER_IP, 1, "ip-hour", "");
	struct rig *g = limited(&l, 1);
	struct nets n;
	(void)state;
	nets(&n, (const char *const[]){"127.0.0.1", NULL}, 0);
	g->trusted = n.set;
	rig_publish(g);
	int fd = dial(g);
	talk(fd, WITH("X-Forwarded-For: 192.0.2.1"), 200, NULL);
	talk(fd, WITH("X-Forwarded-For: 192.0.2.1"), 429, NULL);
	talk(fd, WITH("X-Forwarded-For: 192.0.2.2"), 200, NULL);
	/* Who has a network of IPv6 is one client. */
	talk(fd, WITH("X-Forwarded-For: 2001:db8::1"), 200, NULL);
	talk(fd, WITH("X-Forwarded-For: 2001:db8::ffff:1"), 429, NULL);
	talk(fd, WITH("X-Forwarded-For: 2001:db8:0:1::1"), 200, NULL);
	close(fd);
	rig_free(g);
}

/* ---- who may ---- */

#ifndef RIG_H2 /* of connections, and said before a handshake */
static void denied_clients_are_closed_at_accept(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	struct nets n;
	(void)state;
	int before = dial(g);
	talk(before, GET, 200, NULL);
	nets(&n, (const char *const[]){"!127.0.0.0/8", NULL}, SNAP_ACCESS_ALLOW);
	g->access = n.set;
	rig_publish(g);
	int fd = dial(g);
	put(fd, GET);
	assert_true(closed(fd));
	close(fd);
	/* A connection of before is not closed, and gets nothing more. */
	talk(before, GET, 403, "this client may not connect\n");
	assert_true(closed(before));
	close(before);
	rig_sync(g);
	assert_int_equal(g->rep[0].requests, 1);
	assert_int_equal(g->meter->worker[1].denied, 1);
	assert_int_equal(g->meter->worker[1].forbidden, 1);
	/* The longest network decides. */
	nets(&n, (const char *const[]){"!127.0.0.0/8", "127.0.0.1", NULL}, SNAP_ACCESS_DENY);
	g->access = n.set;
	rig_publish(g);
	fd = dial(g);
	talk(fd, GET, 200, NULL);
	close(fd);
	rig_free(g);
}
#endif

static void behind_a_trusted_proxy_the_client_is_asked_and_not_the_proxy(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	struct nets n, t;
	(void)state;
	nets(&n, (const char *const[]){"192.0.2.0/24", "!192.0.2.66", NULL}, SNAP_ACCESS_DENY);
	nets(&t, (const char *const[]){"127.0.0.1", NULL}, 0);
	g->access = n.set;
	g->trusted = t.set;
	rig_publish(g);
	int fd = dial(g);
	talk(fd, WITH("X-Forwarded-For: 192.0.2.1"), 200, NULL);
	talk(fd, WITH("X-Forwarded-For: 192.0.2.66"), 403, NULL);
	close(fd);
	fd = dial(g);
	talk(fd, WITH("X-Forwarded-For: 198.51.100.1"), 403, NULL);
	close(fd);
	rig_free(g);
}

static void a_route_can_be_for_some_clients_only(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	struct nets n;
	(void)state;
	nets(&n, (const char *const[]){"10.0.0.0/8", NULL}, SNAP_ACCESS_DENY);
	g->guard.access = n.set;
	rig_publish(g);
	int fd = dial(g);
	talk(fd, GET, 403, "this client may not use this route\n");
	talk(fd, "GET / HTTP/1.1\r\nHost: preview\r\n\r\n", 503, NULL);
	nets(&n, (const char *const[]){"10.0.0.0/8", "127.0.0.1", NULL}, SNAP_ACCESS_DENY);
	g->guard.access = n.set;
	rig_publish(g);
	talk(fd, GET, 200, NULL);
	rig_sync(g);
	assert_int_equal(g->rep[0].requests, 1);
	close(fd);
	rig_free(g);
}

/* ---- in whose words ---- */

#define HTML "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"

static void own_errors_come_in_the_form_that_the_client_accepts(void **state)
{
	static char large[SNAP_PAGE_MAX];
	struct snap_in_page pages[] = {{500, 599, HG_STR("<p>broken</p>")},
	        {503, 503, {large, sizeof large}}, {404, 404, HG_STR("<p>not here</p>")}};
	struct snap_in_limit l = limit(RATE_PER_ROUTE, 1, "route-hour", "");
	struct rig *g = limited(&l, 1);
	char v[128];
	(void)state;
	memset(large, 'x', sizeof large);
	g->shown = (struct snap_in_app){.pages = pages, .page_count = 3};
	rig_publish(g);
	int fd = dial(g);
	/* No replica: 503 has a page of its own, larger than a buffer. */
	put(fd, "GET / HTTP/1.1\r\nHost: preview\r\n" HTML "\r\n\r\n");
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 503);
	assert_int_equal(r->n, sizeof large);
	assert_true(r->body[0] == 'x' && r->body[sizeof large - 1] == 'x' && !r->body[r->n]);
	assert_string_equal(
	        field(r->head, "Content-Type", v, sizeof v), "text/html; charset=utf-8");
	resp_free(r);
	put(fd, "HEAD / HTTP/1.1\r\nHost: preview\r\n" HTML "\r\n\r\n");
	r = hear_(fd, true);
	assert_string_equal(field(r->head, "Content-Length", v, sizeof v), "65536");
	resp_free(r);
	/* JSON, or a line, for those who do not accept HTML. */
	put(fd, "GET / HTTP/1.1\r\nHost: preview\r\nAccept: application/json\r\n\r\n");
	r = hear(fd);
	assert_non_null(strstr(r->body, "\"status\":503,\"detail\":\""));
	resp_free(r);
	put(fd, "GET / HTTP/1.1\r\nHost: preview\r\nAccept: text/html;q=0, */*\r\n\r\n");
	r = hear(fd);
	assert_string_equal(
	        field(r->head, "Content-Type", v, sizeof v), "text/plain; charset=utf-8");
	resp_free(r);
	/* A status without a page has none; a limit says which. */
	talk(fd, WITH(HTML), 200, NULL);
	talk(fd, WITH(HTML), 429, "too many requests\n");
	put(fd, WITH("Accept: application/json"));
	r = hear(fd);
	assert_string_equal(r->body,
	        "{\"type\":\"https://iana.org/assignments/http-problem-types#quota-exceeded\","
	        "\"title\":\"Too Many Requests\",\"status\":429,\"detail\":\"too many requests\","
	        "\"error\":\"too many requests\",\"violated-policies\":[\"route-hour\"]}\n");
	resp_free(r);
	rig_sync(g);
	assert_int_equal(g->rep[0].requests, 1);
	close(fd);
	rig_free(g);
}

static void rep_not_found(struct replica *rep, int fd)
{
	while (rep_head(rep, fd))
		put(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nmine");
}

static void an_answer_of_a_replica_is_never_replaced(void **state)
{
	struct snap_in_page pages[] = {{400, 499, HG_STR("<p>ours</p>")}};
	struct rig *g = rig_new(rep_not_found, 1);
	(void)state;
	g->shown = (struct snap_in_app){.pages = pages, .page_count = 1};
	rig_publish(g);
	int fd = dial(g);
	talk(fd, WITH(HTML), 404, "mine");
	close(fd);
	rig_free(g);
}

static void in_maintenance_the_edge_answers_and_some_pass(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	struct nets n;
	char v[64];
	(void)state;
	g->app.maintenance = 1;
	g->app.maintenance_until_ms = clock_wall_ms() + 90000;
	g->shown.message = HG_STR("back \"soon\"");
	g->probe = HG_STR("/health");
	rig_publish(g);
	int fd = dial(g);
	put(fd, GET);
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 503);
	assert_string_equal(r->body, "back \"soon\"\n");
	assert_in_range(strtoul(field(r->head, "Retry-After", v, sizeof v), NULL, 10), 80, 90);
	assert_null(strstr(strstr(r->head, "Retry-After") + 1, "Retry-After"));
	resp_free(r);
	put(fd, WITH("Accept: application/json"));
	r = hear(fd);
	assert_non_null(strstr(r->body, "\"detail\":\"back \\u0022soon\\u0022\""));
	resp_free(r);
	talk(fd, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL);
	talk(fd, "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 503, NULL);
	/* Preview routes go their own way: no release is under trial here. */
	talk(fd, "GET / HTTP/1.1\r\nHost: preview\r\n\r\n", 503, "no release is under trial\n");
	nets(&n, (const char *const[]){"127.0.0.0/8", NULL}, 0);
	g->shown.through = n.set;
	rig_publish(g);
	talk(fd, GET, 200, NULL);
	/* Its end comes by the clock, without a new image. */
	g->shown.through = (struct snap_in_set){0};
	g->app.maintenance_until_ms = clock_wall_ms() + 600;
	rig_publish(g);
	talk(fd, GET, 503, NULL);
	usleep(700000);
	talk(fd, GET, 200, NULL);
	g->app.maintenance_until_ms = 0;
	g->shown.message = HG_STR("");
	rig_publish(g);
	talk(fd, GET, 503, "down for maintenance\n");
	close(fd);
	rig_free(g);
}

#ifndef RIG_H2 /* of connections, and said before a handshake */
static void an_address_has_so_many_connections_over_all_workers(void **state)
{
	struct rig *g = rig_new(rep_echo, 1), *h = rig_worker(0, 0, g, 0);
	struct nets n;
	int fd[4];
	(void)state;
	g->shape.connections_per_ip = h->shape.connections_per_ip = 3;
	rig_publish(g);
	rig_publish(h);
	for (int i = 0; i < 3; i++) {
		fd[i] = dial(i == 1 ? h : g);
		talk(fd[i], GET, 200, NULL);
	}
	for (int i = 0; i < 2; i++) {
		fd[3] = dial(i ? h : g);
		struct resp *r = hear(fd[3]);
		assert_non_null(r);
		assert_int_equal(r->status, 503);
		resp_free(r);
		assert_true(closed(fd[3]));
		close(fd[3]);
	}
	rig_sync(g);
	assert_int_equal(g->meter->worker[1].refused_per_ip, 1);
	assert_int_equal(g->meter->worker[0].refused_per_ip, 1);
	/* One that goes makes room for another. */
	close(fd[0]);
	for (int i = 0; i < 500 && g->meter->worker[1].connections > 1; i++) {
		usleep(5000);
		rig_sync(g);
	}
	fd[0] = dial(h);
	talk(fd[0], GET, 200, NULL);
	/* A proxy's connections are of many clients. */
	nets(&n, (const char *const[]){"127.0.0.1", NULL}, 0);
	g->trusted = n.set;
	rig_publish(g);
	fd[3] = dial(g);
	talk(fd[3], GET, 200, NULL);
	for (int i = 0; i < 4; i++)
		close(fd[i]);
	rig_free(h);
	rig_free(g);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(beyond_the_limit_the_edge_answers_429_and_asks_no_replica),
	        cmocka_unit_test(the_access_log_says_which_limit_refused),
	        cmocka_unit_test(users_are_told_apart_by_authorization_then_cookie_then_address),
	        cmocka_unit_test(a_header_or_a_cookie_can_name_the_client),
	        cmocka_unit_test(the_limit_of_a_route_is_of_all_together),
	        cmocka_unit_test(what_probes_ask_is_never_limited),
	        cmocka_unit_test(exempt_clients_are_not_counted),
	        cmocka_unit_test(workers_share_a_limit_and_a_new_image_keeps_it),
	        cmocka_unit_test(only_a_trusted_proxy_says_who_the_client_is),
	        cmocka_unit_test(limits_by_address_count_the_client_behind_the_proxy),
#ifndef RIG_H2
	        cmocka_unit_test(denied_clients_are_closed_at_accept),
#endif
	        cmocka_unit_test(behind_a_trusted_proxy_the_client_is_asked_and_not_the_proxy),
	        cmocka_unit_test(own_errors_come_in_the_form_that_the_client_accepts),
	        cmocka_unit_test(an_answer_of_a_replica_is_never_replaced),
	        cmocka_unit_test(in_maintenance_the_edge_answers_and_some_pass),
#ifndef RIG_H2
	        cmocka_unit_test(an_address_has_so_many_connections_over_all_workers),
#endif
	        cmocka_unit_test(a_route_can_be_for_some_clients_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
