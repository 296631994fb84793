/* The PROXY protocol at the edge; built a second time with HTTPS. */
#include "rig.h"

#include <netinet/in.h>

#include "wire/ip.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define V2  "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x02\x1f\x90\x01\xbb"

static int plain_dial(struct rig *g)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct timeval tv = {10, 0};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
	assert_int_equal(connect(fd, &g->addr.sa, g->addr.len), 0);
	return fd;
}

/* What a client says after the header. */
static int secured(int fd)
{
#ifdef RIG_TLS
	struct timeval tv = {10, 0};
	fd = bridge_over(fd, "a.example");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
#endif
	return fd;
}

static struct ip_step steps[IPSET_STEPS(1)];

static void trust(struct rig *g, const char *block)
{
	struct ip_prefix p = {.value = 1};
	uint8_t ip[16];
	assert_true(ip_parse_net(hg_str(block), ip, &p.bits));
	p.addr = ip_addr_of(ip);
	g->trusted = (struct snap_in_set){
	        .steps = steps, .count = (uint32_t)ipset_compile(&p, 1, steps)};
	g->shape.proxy_in = 1;
	rig_publish(g);
}

static void for_whom(struct rig *g, char *to, size_t cap)
{
	pthread_mutex_lock(&g->rep[0].lock);
	field(g->rep[0].last, "X-Forwarded-For", to, cap);
	pthread_mutex_unlock(&g->rep[0].lock);
}

static void the_header_says_who_the_client_is(void **state)
{
	static const struct {
		struct hg_str head;
		const char *client;
	} row[] = {
	        {HG_STR("PROXY TCP4 192.0.2.9 10.0.0.1 4711 443\r\n"), "192.0.2.9"},
	        {HG_STR("PROXY TCP6 2001:db8::7 ::1 4711 443\r\n"), "2001:db8::7"},
	        {HG_STR("PROXY UNKNOWN\r\n"), "127.0.0.1"},
	        {HG_STR(V2), "192.0.2.7"},
	        {HG_STR("\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"), "127.0.0.1"},
	};
	struct rig *g = rig_new(rep_echo, 1);
	char v[64], log[8192];
	(void)state;
	trust(g, "127.0.0.0/8");
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		for (int slow = 0; slow < 2; slow++) {
			int fd = plain_dial(g);
			for (size_t k = 0; slow && k < row[i].head.n; k++) {
				put_all(fd, row[i].head.p + k, 1);
				usleep(500);
			}
			if (!slow) put_all(fd, row[i].head.p, row[i].head.n);
			fd = secured(fd);
			talk(fd, GET, 200, "=");
			for_whom(g, v, sizeof v);
			assert_string_equal(v, row[i].client);
			talk(fd, GET, 200, "="); /* it holds for the whole connection */
			for_whom(g, v, sizeof v);
			assert_string_equal(v, row[i].client);
			close(fd);
		}
	}
	rig_sync(g);
	assert_int_equal(g->meter->worker[1].proxy_headers, 2 * HG_COUNT(row));
	assert_int_equal(g->meter->worker[1].proxy_refused, 0);
	usleep(300000);
	ssize_t n = read(g->log_pipe[0], log, sizeof log - 1);
	assert_true(n > 0);
	log[n] = 0;
	assert_non_null(strstr(log, "\"client\":\"192.0.2.9\""));
	assert_non_null(strstr(log, "\"client\":\"2001:db8::7\""));
	rig_free(g);
}

/* Header and everything else in one packet: nothing that follows may be taken with it. */
static void what_follows_is_not_lost(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	(void)state;
	trust(g, "127.0.0.1");
#ifndef RIG_TLS
	int fd = plain_dial(g);
	put(fd, "PROXY TCP4 192.0.2.9 10.0.0.1 4711 443\r\n" GET GET);
	for (int i = 0; i < 2; i++)
		talk(fd, "", 200, "=");
	close(fd);
#else
	int fd = plain_dial(g), on = 1;
	setsockopt(fd, IPPROTO_TCP, 3 /* TCP_CORK */, &on, sizeof on);
	put(fd, "PROXY TCP4 192.0.2.9 10.0.0.1 4711 443\r\n");
	fd = secured(fd);
	talk(fd, GET, 200, "=");
	close(fd);
#endif
	rig_free(g);
}

static void other_beginnings_are_closed(void **state)
{
	static const struct hg_str row[] = {
	        HG_STR(GET),
	        HG_STR("\x16\x03\x01\x00\x05\x01"),
	        HG_STR("PROXY TCP4 1.2.3.4 10.0.0.1 4711\r\n" GET),
	        HG_STR("\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0b___________"),
	        HG_STR("PROXY TCP4 192.0.2.9 10.0.0.1 4711 443" GET),
	};
	struct rig *g = rig_new(rep_echo, 1);
	(void)state;
	trust(g, "127.0.0.1");
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		int fd = plain_dial(g);
		put_all(fd, row[i].p, row[i].n);
		assert_true(closed(fd));
		close(fd);
	}
	/* One that ends in the middle, and one that only looks whether somebody listens. */
	for (int i = 0; i < 2; i++) {
		int fd = plain_dial(g);
		if (i == 0) put(fd, "PROXY TCP4 ");
		shutdown(fd, SHUT_WR);
		assert_true(closed(fd));
		close(fd);
	}
	rig_sync(g);
	assert_int_equal(g->meter->worker[1].proxy_refused, HG_COUNT(row) + 1);
	assert_int_equal(g->rep[0].requests, 0);
	rig_free(g);
}

static void the_header_has_to_come_in_time(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	(void)state;
	g->shape.header_ms = 300;
	trust(g, "127.0.0.1");
	for (int begun = 0; begun < 2; begun++) {
		int fd = plain_dial(g);
		if (begun) put(fd, "PROXY ");
		uint64_t begin = clock_mono_ms();
		assert_true(closed(fd));
		assert_in_range(clock_mono_ms() - begin, 250, 2000);
		close(fd);
	}
	rig_free(g);
}

static void nobody_else_is_believed(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	char v[64];
	(void)state;
	trust(g, "192.0.2.0/24");
	int fd = secured(plain_dial(g));
	talk(fd, GET, 200, "=");
	for_whom(g, v, sizeof v);
	assert_string_equal(v, "127.0.0.1");
	close(fd);
#ifndef RIG_TLS
	fd = plain_dial(g);
	talk(fd, "PROXY TCP4 192.0.2.9 10.0.0.1 4711 443\r\n" GET, 400, NULL);
	close(fd);
	assert_int_equal(g->rep[0].requests, 1);
#endif
	rig_free(g);
}

/* The lists of who may come are about the client, not about its balancer. */
static void denied_clients_are_closed(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	struct ip_prefix p = {.value = SNAP_ACCESS_DENY};
	struct ip_step denied[IPSET_STEPS(1)];
	uint8_t ip[16];
	(void)state;
	assert_true(ip_parse_net(HG_STR("192.0.2.0/24"), ip, &p.bits));
	p.addr = ip_addr_of(ip);
	g->access = (struct snap_in_set){.steps = denied,
	        .count = (uint32_t)ipset_compile(&p, 1, denied),
	        .other = SNAP_ACCESS_ALLOW};
	trust(g, "127.0.0.1");
	int fd = plain_dial(g);
	put(fd, "PROXY TCP4 192.0.2.9 10.0.0.1 4711 443\r\n");
	assert_true(closed(fd));
	close(fd);
	fd = plain_dial(g);
	put(fd, "PROXY TCP4 198.51.100.9 10.0.0.1 4711 443\r\n");
	fd = secured(fd);
	talk(fd, GET, 200, "=");
	close(fd);
	rig_sync(g);
	assert_int_equal(g->meter->worker[1].denied, 1);
	rig_free(g);
}

/* ---- to replicas ---- */

struct told {
	_Atomic int headers;
	char line[8][128];
};

/* A line first, then the usual. */
static void rep_told(struct replica *rep, int fd)
{
	struct told *t = rep->arg;
	char line[128] = "";
	size_t n = 0;
	while (n < sizeof line - 1 && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n')
		n++;
	if (n == 0) return;
	line[n - 1] = 0;
	int k = t->headers++;
	if (k < 8) memcpy(t->line[k], line, sizeof line);
	rep_echo(rep, fd);
}

static void replicas_are_told(void **state)
{
	struct rig *g = rig_bare(0, 0);
	struct told told = {0};
	struct sock_addr local;
	char want[128];
	(void)state;
	struct replica *rep = rig_replica(g, rep_told);
	rep->arg = &told;
	rep->proxy = 1;
	rig_endpoint(g, 0, SNAP_EP_UP);
	rig_publish(g);
	for (int client = 0; client < 3; client++) {
		int raw = plain_dial(g);
		assert_true(sock_local(raw, &local));
		int fd = secured(raw);
		for (int i = 0; i < 3; i++)
			talk(fd, GET, 200, "=");
		talk(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 200, "=abc");
		rig_sync(g);
		/* One connection a client, with its address and port. */
		assert_int_equal(told.headers, client + 1);
		snprintf(want, sizeof want, "PROXY TCP4 127.0.0.1 127.0.0.1 %u %u",
		        sock_addr_port(&local), sock_addr_port(&g->addr));
		assert_string_equal(told.line[client], want);
		close(fd);
	}
	for (int i = 0; i < 100 && rig_ups_used(g); i++)
		usleep(10000);
	/* Nothing is kept for clients that are gone. */
	assert_int_equal(rig_ups_used(g), 0);
	assert_int_equal(g->rep[0].requests, 12);
	rig_free(g);
}

static void what_a_balancer_said_is_passed_on(void **state)
{
	struct rig *g = rig_bare(0, 0);
	struct told told = {0};
	(void)state;
	struct replica *rep = rig_replica(g, rep_told);
	rep->arg = &told;
	rep->proxy = 1;
	rig_endpoint(g, 0, SNAP_EP_UP);
	trust(g, "127.0.0.1");
	int fd = plain_dial(g);
	put(fd, "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n");
	fd = secured(fd);
	talk(fd, GET, 200, "=");
	assert_string_equal(told.line[0], "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443");
	close(fd);
	rig_free(g);
}

/* A kept connection that the replica closed meanwhile is made again, header first. */
static void a_closed_connection_is_made_again(void **state)
{
	struct rig *g = rig_bare(0, 0);
	struct told told = {0};
	(void)state;
	struct replica *rep = rig_replica(g, rep_told);
	rep->arg = &told;
	rep->proxy = 1;
	rig_endpoint(g, 0, SNAP_EP_UP);
	rig_publish(g);
	int fd = secured(plain_dial(g));
	for (int i = 0; i < 3; i++) {
		talk(fd, GET, 200, "=");
		pthread_mutex_lock(&rep->lock);
		for (int k = 0; k < rep->peers; k++)
			if (rep->peer[k] >= 0) shutdown(rep->peer[k], SHUT_RDWR);
		pthread_mutex_unlock(&rep->lock);
	}
	assert_int_equal(told.headers, 3);
	assert_int_equal(g->rep[0].requests, 3);
	close(fd);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_header_says_who_the_client_is),
	        cmocka_unit_test(what_follows_is_not_lost),
	        cmocka_unit_test(other_beginnings_are_closed),
	        cmocka_unit_test(the_header_has_to_come_in_time),
	        cmocka_unit_test(nobody_else_is_believed),
	        cmocka_unit_test(denied_clients_are_closed),
	        cmocka_unit_test(replicas_are_told),
	        cmocka_unit_test(what_a_balancer_said_is_passed_on),
	        cmocka_unit_test(a_closed_connection_is_made_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
