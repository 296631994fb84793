#include "../../test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/fleet/local/prober_priv.h"

/* A real listener that answers every connection with `say`, then closes or keeps it open. */
struct rig {
	struct loop *loop;
	struct loop_io listener, peer;
	struct sock_addr addr;
	int fd, peer_fd;
	const char *say;
	bool close_after;
	char got[1024];
	size_t got_n;
	struct prober *prober;
	bool done;
	enum probe_outcome outcome;
	unsigned status;
	char why[160];
	char body[256];
};

static void on_peer(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct rig *r = HG_CONTAINER(io, struct rig, peer);
	(void)events;
	ssize_t n = read(r->peer_fd, r->got + r->got_n, sizeof r->got - 1 - r->got_n);
	if (n > 0) r->got_n += (size_t)n;
	if (!r->say || !strstr(r->got, "\r\n\r\n")) return;
	assert_int_equal(write(r->peer_fd, r->say, strlen(r->say)), strlen(r->say));
	loop_io_stop(l, io);
	if (!r->close_after) return;
	close(r->peer_fd);
	r->peer_fd = -1;
}

static void on_listener(struct loop *l, struct loop_io *io, uint32_t events)
{
	struct rig *r = HG_CONTAINER(io, struct rig, listener);
	(void)events;
	r->peer_fd = sock_accept(r->fd, NULL);
	assert_true(r->peer_fd >= 0);
	assert_int_equal(loop_io_start(l, &r->peer, r->peer_fd, EPOLLIN, on_peer), HG_OK);
}

static int up(void **state)
{
	struct rig *r = calloc(1, sizeof *r);
	assert_non_null(r);
	r->peer_fd = -1;
	assert_int_equal(loop_new(&r->loop), HG_OK);
	sock_addr_tcp4(INADDR_LOOPBACK, 0, &r->addr);
	r->fd = sock_listen(&r->addr, 16);
	assert_true(r->fd >= 0);
	assert_true(sock_local(r->fd, &r->addr));
	assert_int_equal(loop_io_start(r->loop, &r->listener, r->fd, EPOLLIN, on_listener), HG_OK);
	*state = r;
	return 0;
}

static int down(void **state)
{
	struct rig *r = *state;
	prober_stop(r->prober);
	loop_free(r->loop);
	if (r->fd >= 0) close(r->fd);
	if (r->peer_fd >= 0) close(r->peer_fd);
	free(r);
	return 0;
}

static void on_result(void *arg, const struct prober_result *res)
{
	struct rig *r = arg;
	r->done = true;
	r->outcome = res->outcome;
	r->status = res->status;
	(void)snprintf(r->why, sizeof r->why, "%s", res->why);
	(void)hg_str_copy(res->body, r->body, sizeof r->body);
	prober_stop(r->prober);
	r->prober = NULL;
}

static void probe(struct rig *r, const char *path, uint32_t timeout_ms, uint32_t body_max)
{
	struct prober_target t = {
	        .addr = &r->addr, .path = path, .timeout_ms = timeout_ms, .body_max = body_max};
	assert_int_equal(prober_start(r->loop, &t, on_result, r, &r->prober), HG_OK);
	assert_false(r->done); /* never from within */
	while (!r->done)
		assert_int_equal(loop_turn(r->loop, 5000), HG_OK);
}

static void statuses_from_200_to_399_are_success(void **state)
{
	static const struct {
		const char *say;
		enum probe_outcome want;
	} row[] = {
	        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", PROBE_OK},
	        {"HTTP/1.1 204 No Content\r\n\r\n", PROBE_OK},
	        {"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", PROBE_OK},
	        {"HTTP/1.1 399 x\r\nContent-Length: 0\r\n\r\n", PROBE_OK},
	        {"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", PROBE_FAILED},
	        {"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", PROBE_FAILED},
	        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", PROBE_OK},
	        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", PROBE_FAILED},
	};
	struct rig *r = *state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		r->done = false;
		r->got_n = 0;
		memset(r->got, 0, sizeof r->got);
		r->say = row[i].say;
		probe(r, "/health", 2000, 0);
		if (r->outcome != row[i].want) fail_msg("%s: %s", row[i].say, r->why);
		if (r->peer_fd >= 0) close(r->peer_fd);
		r->peer_fd = -1;
	}
	assert_non_null(strstr(r->got, "GET /health HTTP/1.1\r\n"));
	assert_non_null(strstr(r->got, "Connection: close\r\n"));
}

static void a_hanging_peer_is_a_failure_after_the_timeout(void **state)
{
	struct rig *r = *state;
	probe(r, "/", 30, 0);
	assert_int_equal(r->outcome, PROBE_FAILED);
	assert_string_equal(r->why, "no answer within 30 ms");
}

static void a_peer_that_closes_without_an_answer_is_a_failure(void **state)
{
	struct rig *r = *state;
	r->say = "HTT";
	r->close_after = true;
	probe(r, "/", 2000, 0);
	assert_int_equal(r->outcome, PROBE_FAILED);
	assert_string_equal(r->why, "closed without an answer");
}

static void nobody_listening_is_a_refusal_and_not_a_failure(void **state)
{
	struct rig *r = *state;
	struct sock_addr none;
	loop_io_stop(r->loop, &r->listener);
	close(r->fd);
	r->fd = -1;
	probe(r, "/", 2000, 0);
	assert_int_equal(r->outcome, PROBE_REFUSED);
	r->done = false;
	assert_true(sock_addr_parse(HG_STR("unix:/tmp/headgate-nobody-here.sock"), &none));
	r->addr = none;
	probe(r, NULL, 2000, 0);
	assert_int_equal(r->outcome, PROBE_REFUSED);
}

static void tcp_is_satisfied_by_a_connection(void **state)
{
	struct rig *r = *state;
	probe(r, NULL, 2000, 0);
	assert_int_equal(r->outcome, PROBE_OK);
	assert_int_equal(r->status, 0);
}

static void bodies_come_with_length_chunked_and_until_close(void **state)
{
	static const char chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	                              "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
	static const char *const say[] = {
	        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	        chunked,
	        "HTTP/1.1 200 OK\r\n\r\nhello",
	};
	struct rig *r = *state;
	for (size_t i = 0; i < HG_COUNT(say); i++) {
		r->done = false;
		r->got_n = 0;
		memset(r->got, 0, sizeof r->got);
		r->say = say[i];
		r->close_after = true;
		probe(r, "/", 2000, 200);
		assert_int_equal(r->status, 200);
		assert_string_equal(r->body, "hello");
	}
}

static void a_prober_may_be_stopped_at_any_moment(void **state)
{
	struct rig *r = *state;
	struct prober_target t = {.addr = &r->addr, .path = "/", .timeout_ms = 1000};
	for (int turns = 0; turns < 4; turns++) {
		assert_int_equal(prober_start(r->loop, &t, on_result, r, &r->prober), HG_OK);
		for (int i = 0; i < turns && !r->done; i++)
			assert_int_equal(loop_turn(r->loop, 10), HG_OK);
		prober_stop(r->prober);
		r->prober = NULL;
		if (r->peer_fd >= 0) loop_io_stop(r->loop, &r->peer);
		if (r->peer_fd >= 0) close(r->peer_fd);
		r->peer_fd = -1;
	}
	assert_false(r->done);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
	        CASE(statuses_from_200_to_399_are_success),
	        CASE(a_hanging_peer_is_a_failure_after_the_timeout),
	        CASE(a_peer_that_closes_without_an_answer_is_a_failure),
	        CASE(nobody_listening_is_a_refusal_and_not_a_failure),
	        CASE(tcp_is_satisfied_by_a_connection),
	        CASE(bodies_come_with_length_chunked_and_until_close),
	        CASE(a_prober_may_be_stopped_at_any_moment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
