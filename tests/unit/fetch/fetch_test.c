/* libcurl behind its door, against a server on the same loop that says what it is told to. */
#include "../test.h"

#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fetch/fetch.h"
#include "os/clock.h"
#include "os/sock.h"

#define PEERS_MAX 32u

struct rig;

struct peer {
	struct loop_io io;
	struct rig *r;
	int fd;
	char got[4096];
	size_t got_n;
};

struct rig {
	struct loop *loop;
	struct fetch *fetch;
	struct loop_io listener;
	int fd;
	uint16_t port;
	struct peer peer[PEERS_MAX];
	uint32_t peer_count;
	const char *say;  /* NULL: nothing, for ever */
	size_t more;      /* bytes of 'x' behind it */
	uint32_t answers; /* that were told */
	/* The last one. */
	enum fetch_result result;
	int status, head_status;
	bool cut;
	uint64_t retry_after_ms;
	size_t body_n;
	char body[64], why[400], asked[64];
	struct fetch_call *cancel; /* by on_answer */
	uint64_t stall_ms;         /* the longest turn of the loop */
};

static unsigned rebinds;

/* A name that no server answers for: the thread that looks it up is busy for two seconds. */
int getaddrinfo(
        const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	void *p = dlsym(RTLD_NEXT, "getaddrinfo");
	if (node && strcmp(node, "slow.invalid") == 0) {
		sleep(2);
		return EAI_AGAIN;
	}
	/* A name whose answer is another each time it is asked for: first a harmless one. */
	if (node && strcmp(node, "rebind.invalid") == 0)
		node = rebinds++ == 0 ? "192.0.2.1" : "127.0.0.1";
	memcpy(&real, &p, sizeof real);
	return real(node, service, hints, ret);
}

static void on_peer(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct peer *p = HG_CONTAINER(io, struct peer, io);
	static char x[4096];
	(void)events;
	ssize_t n = read(p->fd, p->got + p->got_n, sizeof p->got - 1 - p->got_n);
	if (n > 0) p->got_n += (size_t)n;
	if (n <= 0) {
		loop_io_stop(l, io);
		return;
	}
	if (!p->r->say || !strstr(p->got, "\r\n\r\n")) return;
	memset(x, 'x', sizeof x);
	if (write(p->fd, p->r->say, strlen(p->r->say)) < 0) fail();
	for (size_t left = p->r->more; left; left -= HG_MIN(left, sizeof x))
		if (write(p->fd, x, HG_MIN(left, sizeof x)) < 0) break;
	loop_io_stop(l, io);
	close(p->fd);
	p->fd = -1;
}

static void on_listener(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct rig *r = HG_CONTAINER(io, struct rig, listener);
	(void)events;
	assert_true(r->peer_count < PEERS_MAX);
	struct peer *p = &r->peer[r->peer_count++];
	p->r = r;
	p->fd = sock_accept(r->fd, NULL);
	assert_true(p->fd >= 0);
	assert_int_equal(loop_io_start(l, &p->io, p->fd, EPOLLIN, on_peer), HG_OK);
}

static int up(void **state)
{
	struct rig *r = calloc(1, sizeof *r);
	struct sock_addr addr;
	assert_non_null(r);
	assert_int_equal(loop_new(&r->loop), HG_OK);
	assert_int_equal(fetch_new(r->loop, &r->fetch, NULL), HG_OK);
	sock_addr_tcp4(INADDR_LOOPBACK, 0, &addr);
	r->fd = sock_listen(&addr, 64);
	assert_true(r->fd >= 0);
	assert_true(sock_local(r->fd, &addr));
	r->port = sock_addr_port(&addr);
	assert_int_equal(loop_io_start(r->loop, &r->listener, r->fd, EPOLLIN, on_listener), HG_OK);
	*state = r;
	return 0;
}

static int down(void **state)
{
	struct rig *r = *state;
	fetch_free(r->fetch);
	for (uint32_t i = 0; i < r->peer_count; i++)
		if (r->peer[i].fd >= 0) close(r->peer[i].fd);
	loop_free(r->loop);
	close(r->fd);
	free(r);
	return 0;
}

static void on_answer(void *arg, const struct fetch_answer *a)
{
	struct rig *r = arg;
	r->answers++;
	r->result = a->result;
	r->status = a->status;
	r->head_status = a->head_status;
	r->cut = a->cut;
	r->retry_after_ms = a->retry_after_ms;
	r->body_n = a->body.n;
	(void)snprintf(r->body, sizeof r->body, "%.*s", (int)HG_MIN(a->body.n, 60u), a->body.p);
	(void)snprintf(r->why, sizeof r->why, "%s", a->why);
	(void)snprintf(r->asked, sizeof r->asked, "%s", a->peer);
	fetch_cancel(r->cancel);
	r->cancel = NULL;
}

static void turn(struct rig *r)
{
	uint64_t began = clock_mono_ms();
	assert_int_equal(loop_turn(r->loop, 10), HG_OK);
	r->stall_ms = HG_MAX(r->stall_ms, clock_mono_ms() - began);
}

static void until(struct rig *r, uint32_t answers, uint64_t ms)
{
	for (uint64_t end = clock_mono_ms() + ms; r->answers < answers;) {
		if (clock_mono_ms() > end) fail_msg("no answer within %u ms", (unsigned)ms);
		turn(r);
	}
}

static struct fetch_call *start(struct rig *r, const char *url, uint32_t timeout_ms)
{
	struct fetch_call *c = NULL;
	struct hg_err err = {0};
	struct fetch_request q = {.method = "GET", .url = url, .timeout_ms = timeout_ms};
	if (fetch_start(r->fetch, &q, on_answer, r, &c, &err) < 0) fail_msg("%s", err.message);
	return c;
}

static const char *here(const struct rig *r, const char *path)
{
	static char url[256];
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", r->port, path);
	return url;
}

static void what_is_asked_arrives_and_what_is_answered_comes_back(void **state)
{
	struct rig *r = *state;
	struct fetch_call *c;
	const char *headers[] = {"X-Team: payments", "Content-Type: application/json"};
	struct fetch_request q = {.method = "POST",
	        .url = here(r, "/approve?release=7"),
	        .headers = headers,
	        .header_count = 2,
	        .body = HG_STR("{\"release\":7}"),
	        .timeout_ms = 5000};
	r->say = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	assert_int_equal(fetch_start(r->fetch, &q, on_answer, r, &c, NULL), HG_OK);
	assert_int_equal(r->answers, 0); /* never from inside */
	until(r, 1, 5000);
	assert_int_equal(r->result, FETCH_ANSWERED);
	assert_int_equal(r->status, 200);
	assert_string_equal(r->body, "ok");
	const char *got = r->peer[0].got;
	assert_memory_equal(got, "POST /approve?release=7 HTTP/1.1\r\n", 34);
	assert_non_null(strstr(got, "\r\nX-Team: payments\r\n"));
	assert_non_null(strstr(got, "\r\nContent-Length: 13\r\n"));
	assert_non_null(strstr(got, "\r\nUser-Agent: headgate/"));
	assert_null(strstr(got, "\r\nExpect:"));
	assert_non_null(strstr(got, "\r\n\r\n{\"release\":7}"));
}

static void what_an_answer_means(void **state)
{
	static const struct {
		const char *say;
		enum fetch_result result;
		int status;
		uint64_t retry_after_ms;
		int head_status; /* 0: the same as `status` */
	} table[] = {
	        {"HTTP/1.1 204 No Content\r\n\r\n", FETCH_ANSWERED, 204, 0},
	        {"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n",
	                FETCH_ANSWERED, 302, 0},
	        {"HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", FETCH_ANSWERED,
	                503, 7000},
	        {"HTTP/1.1 200 OK\r\n\r\nuntil the end", FETCH_ANSWERED, 200, 0},
	        {"220 mail.example.com ESMTP\r\n\r\n", FETCH_REFUSED, 0, 0},
	        /* It said that it took it before it broke off. */
	        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", FETCH_SILENT, 0, 0, 200},
	        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", FETCH_SILENT, 0, 0,
	                200},
	        {"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n", FETCH_SILENT, 0, 0, 503},
	        {"HTTP/1.1 200 OK\r\nContent-Length", FETCH_SILENT, 0, 0},
	        {"HTTP/1.1 103 Hints\r\n\r\n", FETCH_SILENT, 0, 0},
	        {"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
	                FETCH_ANSWERED, 500, 0},
	        {"", FETCH_SILENT, 0, 0},
	};
	struct rig *r = *state;
	for (uint32_t i = 0; i < HG_COUNT(table); i++) {
		r->say = table[i].say;
		start(r, here(r, "/"), 5000);
		until(r, i + 1, 5000);
		if (r->result != table[i].result || r->status != table[i].status)
			fail_msg("\"%s\": %d %d, %s", table[i].say, r->result, r->status, r->why);
		int head = table[i].head_status ? table[i].head_status : table[i].status;
		if (r->head_status != head)
			fail_msg("\"%s\": head %d", table[i].say, r->head_status);
		assert_int_equal(r->retry_after_ms, table[i].retry_after_ms);
		assert_int_equal(r->why[0] == 0, r->result == FETCH_ANSWERED);
	}
	/* Nobody went where the 302 pointed to. */
	assert_int_equal(r->peer_count, HG_COUNT(table));
}

/* Retry-After may be a date (RFC 9110, 10.2.3). */
static void a_pause_may_be_asked_for_until_a_date(void **state)
{
	struct rig *r = *state;
	char say[256];
	time_t at = time(NULL) + 100;
	struct tm tm;
	assert_non_null(gmtime_r(&at, &tm));
	size_t n = strftime(say, sizeof say,
	        "HTTP/1.1 429 Slow\r\nRetry-After: %a, %d %b %Y %H:%M:%S GMT\r\n"
	        "Content-Length: 0\r\n\r\n",
	        &tm);
	assert_true(n > 0);
	r->say = say;
	start(r, here(r, "/"), 5000);
	until(r, 1, 5000);
	assert_int_equal(r->status, 429);
	assert_in_range(r->retry_after_ms, 97000, 100000);
	/* One that is over is none. */
	r->say = "HTTP/1.1 429 Slow\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n"
	         "Content-Length: 0\r\n\r\n";
	start(r, here(r, "/"), 5000);
	until(r, 2, 5000);
	assert_int_equal(r->retry_after_ms, 0);
}

static void only_the_beginning_of_a_long_answer_is_read(void **state)
{
	struct rig *r = *state;
	r->say = "HTTP/1.1 403 Forbidden\r\n\r\n";
	r->more = 100000;
	start(r, here(r, "/"), 5000);
	until(r, 1, 5000);
	assert_int_equal(r->result, FETCH_ANSWERED);
	assert_int_equal(r->status, 403);
	assert_true(r->cut);
	assert_int_equal(r->body_n, FETCH_BODY_MAX);
}

static void a_service_that_hangs_or_is_not_there_is_silent(void **state)
{
	struct rig *r = *state;
	uint64_t began = clock_mono_ms();
	start(r, here(r, "/"), 300);
	until(r, 1, 5000);
	assert_int_equal(r->result, FETCH_SILENT);
	assert_in_range(clock_mono_ms() - began, 290, 2000);
	assert_true(r->why[0]);
	start(r, "http://127.0.0.1:1/", 5000);
	until(r, 2, 5000);
	assert_int_equal(r->result, FETCH_SILENT);
}

static void other_protocols_and_damaged_addresses_are_refused(void **state)
{
	static const char *const url[] = {"file:///etc/passwd", "gopher://127.0.0.1/", "http://"};
	struct rig *r = *state;
	for (uint32_t i = 0; i < HG_COUNT(url); i++) {
		start(r, url[i], 1000);
		until(r, i + 1, 3000);
		assert_int_equal(r->result, FETCH_REFUSED);
		assert_int_equal(r->body_n, 0);
	}
}

static void a_name_that_is_not_found_for_long_stops_nothing_else(void **state)
{
	struct rig *r = *state;
	uint64_t began;
	r->say = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	assert_int_equal(fetch_ready(r->fetch, NULL), HG_OK);
	r->stall_ms = 0;
	began = clock_mono_ms();
	start(r, "http://slow.invalid/", 300);
	struct fetch_call *c = start(r, "http://slow.invalid/", 60000);
	start(r, here(r, "/"), 5000);
	until(r, 1, 5000);
	assert_int_equal(r->status, 200);
	until(r, 2, 5000);
	assert_int_equal(r->result, FETCH_SILENT);
	fetch_cancel(c);
	/* Neither its time-out nor its end waited for the thread. */
	assert_true(clock_mono_ms() - began < 1900);
	assert_true(r->stall_ms < 1000);
	sleep(2); /* the threads end while their request is gone */
}

static void so_many_at_a_time_and_no_more(void **state)
{
	struct rig *r = *state;
	struct fetch_call *c[FETCH_MAX], *more;
	struct hg_err err = {0};
	struct fetch_request q = {.method = "GET", .url = here(r, "/"), .timeout_ms = 60000};
	for (uint32_t i = 0; i < FETCH_MAX; i++)
		c[i] = start(r, here(r, "/"), 60000);
	assert_int_equal(fetch_start(r->fetch, &q, on_answer, r, &more, &err), HG_E_AGAIN);
	fetch_cancel(c[0]);
	assert_int_equal(fetch_start(r->fetch, &q, on_answer, r, &more, &err), HG_OK);
	for (int i = 0; i < 20; i++)
		turn(r);
	assert_int_equal(r->answers, 0);
	/* The rest is under way when the room is freed. */
}

static void an_answer_may_cancel_another_call(void **state)
{
	struct rig *r = *state;
	r->say = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	start(r, here(r, "/"), 5000);
	r->cancel = start(r, "http://slow.invalid/", 500);
	until(r, 1, 5000);
	for (uint64_t end = clock_mono_ms() + 700; clock_mono_ms() < end;)
		turn(r);
	assert_int_equal(r->answers, 1);
}

static void guarded(struct rig *r, const char *url, const char *allow, uint32_t body_max)
{
	struct guard g;
	struct fetch_call *c = NULL;
	struct fetch_request q = {.method = "POST",
	        .url = url,
	        .timeout_ms = 3000,
	        .guard = &g,
	        .body = HG_STR("{}"),
	        .body_max = body_max};
	assert_int_equal(guard_parse(hg_str(allow), &g, NULL), HG_OK);
	assert_int_equal(fetch_start(r->fetch, &q, on_answer, r, &c, NULL), HG_OK);
	memset(&g, 0xff, sizeof g); /* it was copied */
	until(r, r->answers + 1, 5000);
}

/* Each of these leads to this machine, by one spelling or another. */
static void a_guard_judges_the_address_that_is_connected_to(void **state)
{
	static const char *const host[] = {"127.0.0.1", "localhost", "127.1", "0x7f.1",
	        "2130706433", "017700000001", "0", "[::1]", "[::ffff:127.0.0.1]", "[::]",
	        "127.0.0.1."};
	struct rig *r = *state;
	char url[128];
	r->say = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	for (size_t i = 0; i < HG_COUNT(host); i++) {
		(void)snprintf(url, sizeof url, "https://%s:%u/", host[i], r->port);
		guarded(r, url, "", 0);
		if (r->result == FETCH_ANSWERED || r->asked[0])
			fail_msg("%s: %d, %s", host[i], r->result, r->asked);
		if (r->result == FETCH_BLOCKED) assert_non_null(strstr(r->why, "address"));
	}
	assert_int_equal(r->peer_count, 0);
	guarded(r, here(r, "/"), "127.0.0.0/8", 0);
	assert_int_equal(r->result, FETCH_ANSWERED);
	assert_string_equal(r->asked, "127.0.0.1");
	assert_int_equal(r->peer_count, 1);
}

static void a_name_that_changes_its_address_gains_nothing(void **state)
{
	struct rig *r = *state;
	char url[128];
	r->say = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	rebinds = 1; /* whoever looked first has seen 192.0.2.1 */
	(void)snprintf(url, sizeof url, "https://rebind.invalid:%u/", r->port);
	guarded(r, url, "192.0.2.0/24", 0);
	assert_true(rebinds >= 2);
	assert_int_equal(r->result, FETCH_BLOCKED);
	assert_non_null(strstr(r->why, "loopback"));
	assert_int_equal(r->peer_count, 0);
}

static void without_https_only_what_is_named_is_asked(void **state)
{
	struct rig *r = *state;
	r->say = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	guarded(r, "http://8.8.8.8:9/", "127.0.0.0/8", 0);
	assert_int_equal(r->result, FETCH_BLOCKED);
	assert_non_null(strstr(r->why, "https"));
	guarded(r, here(r, "/"), "127.0.0.1", 0);
	assert_int_equal(r->result, FETCH_ANSWERED);
}

static void redirects_and_long_answers_lead_nowhere(void **state)
{
	struct rig *r = *state;
	char say[256];
	(void)snprintf(say, sizeof say,
	        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:%u/x\r\n\r\n",
	        r->port);
	r->say = say;
	r->more = 100000;
	guarded(r, here(r, "/"), "127.0.0.1", 4096);
	assert_int_equal(r->status, 307);
	assert_true(r->cut);
	assert_int_equal(r->body_n, 4096);
	assert_int_equal(r->peer_count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(
	                what_is_asked_arrives_and_what_is_answered_comes_back, up, down),
	        cmocka_unit_test_setup_teardown(what_an_answer_means, up, down),
	        cmocka_unit_test_setup_teardown(a_pause_may_be_asked_for_until_a_date, up, down),
	        cmocka_unit_test_setup_teardown(
	                only_the_beginning_of_a_long_answer_is_read, up, down),
	        cmocka_unit_test_setup_teardown(
	                a_service_that_hangs_or_is_not_there_is_silent, up, down),
	        cmocka_unit_test_setup_teardown(
	                other_protocols_and_damaged_addresses_are_refused, up, down),
	        cmocka_unit_test_setup_teardown(
	                a_name_that_is_not_found_for_long_stops_nothing_else, up, down),
	        cmocka_unit_test_setup_teardown(so_many_at_a_time_and_no_more, up, down),
	        cmocka_unit_test_setup_teardown(an_answer_may_cancel_another_call, up, down),
	        cmocka_unit_test_setup_teardown(
	                a_guard_judges_the_address_that_is_connected_to, up, down),
	        cmocka_unit_test_setup_teardown(
	                a_name_that_changes_its_address_gains_nothing, up, down),
	        cmocka_unit_test_setup_teardown(
	                without_https_only_what_is_named_is_asked, up, down),
	        cmocka_unit_test_setup_teardown(redirects_and_long_answers_lead_nowhere, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
