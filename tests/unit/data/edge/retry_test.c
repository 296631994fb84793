#include "rig.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/* Closes the connection instead of answering. */
static void rep_reset(struct replica *rep, int fd)
{
	struct linger hard = {1, 0};
	if (!rep_head(rep, fd)) return;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

static void rep_hang(struct replica *rep, int fd)
{
	char c;
	while (rep_head(rep, fd))
		;
	(void)!recv(fd, &c, 1, 0);
}

static uint64_t retries(struct rig *g)
{
	rig_sync(g);
	return g->meter->worker[1].lane[1].retries;
}

/* A port nobody listens on. */
static void rig_refusing(struct rig *g)
{
	struct replica *rep = rig_replica(g, rep_echo);
	replica_stop(rep);
}

static void a_refused_connection_is_tried_on_another_replica_whatever_the_method(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	(void)state;
	rig_refusing(g);
	for (int i = 0; i < 20; i++) {
		talk(fd, GET, 200, "=");
		talk(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 200, "=hi");
	}
	assert_true(retries(g) > 5);
	assert_int_equal(g->rep[0].requests, 40);
	assert_int_equal(g->meter->worker[1].lane[1].failures, retries(g));
	close(fd);
	rig_free(g);
}

static void a_reset_before_the_answer_is_tried_again_only_when_harmless(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g), bad = 0, good = 0;
	(void)state;
	rig_replica(g, rep_reset);
	for (int i = 0; i < 20; i++) {
		talk(fd, GET, 200, "=");
		talk(fd, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 200, "=hi");
		talk(fd, "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 200, "=");
		talk(fd,
		        "POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\nContent-Length: "
		        "1\r\n\r\nx",
		        200, "=x");
	}
	uint64_t before = retries(g);
	assert_true(before > 10);
	for (int i = 0; i < 40; i++) {
		/* A key that the replica is not shown is none. */
		put(fd, i % 2 ? "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
		              : "POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\nConnection: "
		                "idempotency-key\r\nContent-Length: 2\r\n\r\nhi");
		struct resp *r = hear(fd);
		assert_non_null(r);
		bad += r->status == 502;
		good += r->status == 200;
		resp_free(r);
	}
	assert_true(bad > 5 && good > 5 && bad + good == 40);
	assert_int_equal(retries(g), before);
	close(fd);
	rig_free(g);
}

static void bodies_are_kept_for_a_second_attempt_up_to_64_kib(void **state)
{
	static char text[70000];
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g), bad = 0;
	(void)state;
	rig_replica(g, rep_reset);
	memset(text, 'a', sizeof text);
	for (int i = 0; i < 12; i++) {
		put(fd, i % 2 ? "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n"
		              : "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
		                "chunked\r\n\r\nff00\r\n");
		put_all(fd, text, i % 2 ? 65536 : 0xff00);
		if (i % 2 == 0) put(fd, "\r\n0\r\n\r\n");
		struct resp *r = hear(fd);
		assert_non_null(r);
		assert_int_equal(r->status, 200);
		assert_int_equal(r->n, 1 + (i % 2 ? 65536 : 0xff00));
		resp_free(r);
	}
	assert_true(retries(g) > 0);
	close(fd);
	for (int i = 0; i < 20; i++) {
		fd = dial(g);
		put(fd, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n");
		put_all(fd, text, sizeof text);
		struct resp *r = hear(fd);
		/* A reset by the replica may end the exchange before all was read. */
		bad += !r || r->status == 502;
		resp_free(r);
		close(fd);
	}
	assert_true(bad > 2);
	rig_free(g);
}

static void rep_one_each(struct replica *rep, int fd)
{
	char *body = malloc(65536);
	size_t n;
	/* Says keep-alive and closes: the race every keep-alive client knows. */
	if (rep_request(rep, fd, body, 65536, &n)) {
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n=");
	}
	free(body);
}

static void a_kept_connection_that_was_closed_meanwhile_is_invisible(void **state)
{
	struct rig *g = rig_new(rep_one_each, 1);
	int fd = dial(g);
	(void)state;
	for (int i = 0; i < 200; i++) {
		talk(fd, GET, 200, "=");
		talk(fd, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 200, "=");
	}
	assert_int_equal(retries(g), 0);
	assert_int_equal(g->meter->worker[1].lane[1].failures, 0);
	close(fd);
	rig_free(g);
}

/* Sends 10 bytes that are read, then 20 more; the peer closes before or after those. */
static bool untouched_when(bool read_first)
{
	struct sock_addr a;
	char buf[32];
	struct edge_up up = {.sent = 30, .sent_before = 10};
	sock_addr_tcp4(INADDR_LOOPBACK, 0, &a);
	int l = sock_listen(&a, 1);
	assert_true(l >= 0 && sock_local(l, &a));
	up.io.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(up.io.fd, &a.sa, a.len), 0);
	fcntl(l, F_SETFL, 0);
	int peer = accept(l, NULL, NULL);
	put(up.io.fd, "0123456789");
	assert_true(get_n(peer, buf, 10));
	if (read_first) {
		put(up.io.fd, "01234567890123456789");
		assert_true(get_n(peer, buf, 20));
		close(peer);
	} else {
		close(peer);
		put(up.io.fd, "01234567890123456789");
	}
	if (recv(up.io.fd, buf, 1, 0) == 0) up.flags = EDGE_EOF;
	bool answer = edge_up_untouched(&up);
	close(up.io.fd);
	close(l);
	return answer;
}

static void bytes_that_were_never_acknowledged_were_never_seen(void **state)
{
	(void)state;
	assert_true(untouched_when(false));
	assert_false(untouched_when(true));
}

static void a_replica_that_hangs_is_given_up_in_time(void **state)
{
	struct rig *g = rig_new(rep_hang, 1);
	int fd = dial(g);
	(void)state;
	g->app.response_ms = 200;
	rig_publish(g);
	put(fd, GET);
	struct resp *r = hear(fd);
	assert_non_null(r);
	assert_int_equal(r->status, 504);
	resp_free(r);
	rig_replica(g, rep_echo);
	for (int i = 0; i < 6; i++)
		talk(fd, GET, 200, "=");
	assert_true(retries(g) > 0);
	/* In doubt, a POST is not sent twice. */
	int late = 0;
	for (int i = 0; i < 8; i++) {
		put(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
		r = hear(fd);
		assert_non_null(r);
		late += r->status == 504;
		resp_free(r);
	}
	assert_true(late > 0);
	close(fd);
	rig_free(g);
}

static uint64_t clock_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Until `replica` has been asked: the request is put to the others before by chance. */
static uint64_t ask_until(struct rig *g, int fd, int replica, const char *text, int status)
{
	for (int had = g->rep[replica].requests, i = 0; i < 200; i++) {
		uint64_t from = clock_ms();
		talk(fd, text, status, NULL);
		if (g->rep[replica].requests > had) return clock_ms() - from;
	}
	fail_msg("replica %d was never asked", replica);
	return 0;
}

static void the_first_attempt_waits_half_when_there_is_another_replica(void **state)
{
	unsigned slow_ms = 1300;
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	(void)state;
	rig_replica(g, rep_hang);
	g->app.response_ms = 2000;
	rig_publish(g);
	uint64_t ms = ask_until(g, fd, 1, GET, 200);
	assert_in_range(ms, 1000, 1800);
	assert_int_equal(g->meter->worker[1].timeouts, 1);
	/* What may not be repeated has all of its time, … */
	rig_endpoint(g, 1, SNAP_EP_FREE);
	rig_replica(g, rep_slow)->arg = &slow_ms;
	rig_sync(g);
	ms = ask_until(g, fd, 2, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 200);
	assert_in_range(ms, 1290, 1990);
	assert_int_equal(retries(g), 1);
	/* … and so has what there is no other replica for. */
	rig_endpoint(g, 0, SNAP_EP_FREE);
	ms = ask_until(g, fd, 2, GET, 200);
	assert_in_range(ms, 1290, 1990);
	assert_int_equal(retries(g), 1);
	close(fd);
	rig_free(g);
}

static void spend_all(struct rig *g)
{
	g->edge->apps[0].tokens_ppm = 0;
}

static void half_the_time_is_no_end_when_the_budget_is_spent(void **state)
{
	unsigned slow_ms = 1300;
	struct rig *g = rig_bare(0, 0);
	(void)state;
	g->app.response_ms = 2000;
	rig_replica(g, rep_slow)->arg = &slow_ms;
	rig_replica(g, rep_slow)->arg = &slow_ms;
	rig_publish(g);
	int fd = dial(g);
	put(fd, GET);
	while (g->rep[0].requests + g->rep[1].requests == 0)
		usleep(1000);
	rig_do(g, spend_all);
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 200);
	assert_string_equal(r->body, "slow");
	resp_free(r);
	assert_int_equal(retries(g), 0);
	assert_int_equal(g->meter->worker[1].timeouts, 0);
	close(fd);
	rig_free(g);
}

static void retries_end_at_the_applications_limit(void **state)
{
	struct rig *g = rig_new(rep_reset, 4);
	int fd = dial(g);
	(void)state;
	talk(fd, GET, 502, NULL);
	assert_int_equal(retries(g), 2);
	assert_int_equal(
	        g->rep[0].requests + g->rep[1].requests + g->rep[2].requests + g->rep[3].requests,
	        3);
	g->app.retries = 0;
	rig_publish(g);
	talk(fd, GET, 502, NULL);
	assert_int_equal(retries(g), 2);
	close(fd);
	rig_free(g);
}

static void a_retry_budget_ends_a_storm(void **state)
{
	struct snap_app limits = {.retry_budget_ppm = 200000};
	struct edge_app app = {.tokens_at_ms = 1000};
	int taken = 0;
	(void)state;
	for (int i = 0; i < 100; i++)
		edge_budget_earn(&app, &limits, 1000);
	while (edge_budget_take(&app))
		taken++;
	assert_int_equal(taken, 20);
	/* The floor: ten a second, so that a quiet application may retry too. */
	limits.retry_budget_ppm = 0;
	edge_budget_earn(&app, &limits, 3000);
	for (taken = 0; edge_budget_take(&app);)
		taken++;
	assert_int_equal(taken, 20);
	for (int i = 0; i < 100000; i++)
		edge_budget_earn(&app, &(struct snap_app){.retry_budget_ppm = 1000000}, 3000);
	for (taken = 0; edge_budget_take(&app);)
		taken++;
	assert_int_equal(taken, 1000);
}

static void a_failing_replica_is_ejected_and_the_last_one_never(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	(void)state;
	rig_replica(g, rep_reset);
	g->app.eject_errors = 3;
	g->app.eject_ms = 60000;
	rig_publish(g);
	for (int i = 0; i < 50; i++)
		talk(fd, GET, 200, "=");
	assert_int_equal(g->rep[1].requests, 3);
	assert_int_equal(retries(g), 3);
	assert_int_equal(g->meter->worker[1].ejected, 1);
	/* Without the good one, the bad one is asked all the same. */
	rig_endpoint(g, 0, SNAP_EP_DOWN);
	talk(fd, GET, 502, NULL);
	assert_int_equal(g->rep[1].requests, 4);
	close(fd);
	rig_free(g);
}

static void unready_replicas_are_asked_when_none_is_ready(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	struct meter_worker *m = &g->meter->worker[1];
	int fd = dial(g);
	(void)state;
	rig_replica(g, rep_echo);
	rig_publish(g);
	/* One is ready: it has them all. */
	rig_endpoint(g, 1, SNAP_EP_UNREADY);
	for (int i = 0; i < 20; i++)
		talk(fd, GET, 200, "=");
	assert_int_equal(g->rep[1].requests, 0);
	assert_int_equal(m->panic, 0);
	/* None is: those that were ready share them. */
	rig_endpoint(g, 0, SNAP_EP_UNREADY);
	for (int i = 0; i < 40; i++)
		talk(fd, GET, 200, "=");
	assert_true(g->rep[0].requests > 20 && g->rep[1].requests > 0);
	assert_int_equal(m->panic, 40);
	/* Never ready, draining, gone: nobody may answer. */
	rig_endpoint(g, 0, SNAP_EP_DOWN);
	int had = g->rep[0].requests;
	for (int i = 0; i < 20; i++)
		talk(fd, GET, 200, "=");
	assert_int_equal(g->rep[0].requests, had);
	rig_endpoint(g, 1, SNAP_EP_DRAINING);
	talk(fd, GET, 503, NULL);
	rig_endpoint(g, 1, SNAP_EP_FREE);
	talk(fd, GET, 503, NULL);
	assert_int_equal(m->no_replica, 2);
	/* It is over with the first that is ready. */
	rig_endpoint(g, 0, SNAP_EP_UP);
	talk(fd, GET, 200, "=");
	assert_int_equal(m->panic, 60);
	close(fd);
	rig_free(g);
}

static void an_ejected_replica_comes_back_on_probation(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	int fd = dial(g);
	(void)state;
	rig_replica(g, rep_reset);
	g->app.eject_errors = 3;
	g->app.eject_ms = 300;
	rig_publish(g);
	for (int i = 0; g->meter->worker[1].ejected == 0 && i < 200; i++)
		talk(fd, GET, 200, "=");
	assert_int_equal(g->rep[1].requests, 3);
	usleep(350000);
	/* One failure is enough to send it out again. */
	for (int i = 0; g->meter->worker[1].ejected == 1 && i < 200; i++)
		talk(fd, GET, 200, "=");
	assert_int_equal(g->rep[1].requests, 4);
	/* … for twice as long: not again after 350 ms, if the machine has not slept over it. */
	uint64_t out = clock_ms();
	g->rep[1].script = rep_echo;
	usleep(350000);
	for (int i = 0; i < 20; i++)
		talk(fd, GET, 200, "=");
	int again = g->rep[1].requests;
	if (clock_ms() - out < 500) assert_int_equal(again, 4);
	usleep(300000);
	for (int i = 0; i < 50; i++)
		talk(fd, GET, 200, "=");
	assert_true(g->rep[1].requests > 10);
	close(fd);
	rig_free(g);
}

static void rep_gate(struct replica *rep, int fd)
{
	while (rep_head(rep, fd)) {
		while (!*(_Atomic bool *)rep->arg)
			usleep(1000);
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	}
}

static void a_draining_replica_finishes_what_it_has_and_gets_nothing_new(void **state)
{
	_Atomic bool open = false;
	struct rig *g = rig_bare(0, 0);
	(void)state;
	rig_replica(g, rep_gate)->arg = &open;
	rig_publish(g);
	int fd = dial(g), other = dial(g);
	put(fd, GET);
	while (g->rep[0].requests == 0)
		usleep(1000);
	rig_replica(g, rep_echo);
	rig_endpoint(g, 0, SNAP_EP_DRAINING);
	for (int i = 0; i < 20; i++)
		talk(other, GET, 200, "=");
	open = true;
	struct resp *r = hear(fd);
	assert_string_equal(r->body, "ok");
	resp_free(r);
	assert_int_equal(g->rep[0].requests, 1);
	rig_endpoint(g, 1, SNAP_EP_FREE);
	talk(fd, GET, 503, NULL);
	assert_int_equal(g->meter->worker[1].no_replica, 1);
	close(fd);
	close(other);
	rig_free(g);
}

static void rep_says_when_closed(struct replica *rep, int fd)
{
	char c;
	if (!rep_head(rep, fd)) return;
	put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	if (recv(fd, &c, 1, 0) == 0) *(_Atomic bool *)rep->arg = true;
}

static void idle_connections_to_a_draining_replica_are_closed_without_traffic(void **state)
{
	_Atomic bool gone = false;
	struct rig *g = rig_bare(0, 0);
	(void)state;
	rig_replica(g, rep_says_when_closed)->arg = (void *)&gone;
	rig_publish(g);
	int fd = dial(g);
	talk(fd, GET, 200, "ok");
	assert_false(gone);
	rig_endpoint(g, 0, SNAP_EP_DRAINING);
	for (int i = 0; !gone && i < 5000; i++)
		usleep(1000);
	assert_true(gone);
	close(fd);
	rig_free(g);
}

static void load_goes_where_less_is_in_flight(void **state)
{
	struct rig *g = rig_bare(0, 0);
	_Atomic bool open = false;
	int fd[40];
	(void)state;
	rig_replica(g, rep_gate)->arg = &open;
	rig_replica(g, rep_gate)->arg = &open;
	rig_publish(g);
	/* Another worker reports ten requests on the first replica. */
	atomic_store(&g->meter->worker[0].in_flight[0], 10);
	for (int i = 0; i < 40; i++) {
		fd[i] = dial(g);
		put(fd[i], GET);
		while (g->rep[0].requests + g->rep[1].requests <= i)
			usleep(200);
	}
	assert_int_equal(g->rep[0].requests, 15);
	assert_int_equal(g->rep[1].requests, 25);
	open = true;
	for (int i = 0; i < 40; i++) {
		resp_free(hear(fd[i]));
		close(fd[i]);
	}
	atomic_store(&g->meter->worker[0].in_flight[0], 0);
	rig_free(g);
}

static void weights_split_the_requests(void **state)
{
	struct rig *g = rig_new(rep_echo, 2);
	int fd = dial(g);
	(void)state;
	struct snap_endpoint ep;
	assert_true(snap_table_get(g->table, 1, &ep));
	ep.weight = 100000;
	ep.release = 2;
	snap_table_set(g->table, 1, &ep);
	for (int i = 0; i < 1000; i++)
		talk(fd, GET, 200, "=");
	/* 1 : 10 gives 91 of 1000; six standard deviations are 55. */
	assert_in_range(g->rep[1].requests, 36, 146);
	rig_sync(g);
	assert_int_equal(meter_lane_code(g->meter, 2, 200), g->rep[1].requests);
	assert_int_equal(meter_lane_code(g->meter, 1, 200), g->rep[0].requests);
	ep.weight = 0;
	snap_table_set(g->table, 1, &ep);
	int before = g->rep[1].requests;
	for (int i = 0; i < 100; i++)
		talk(fd, GET, 200, "=");
	assert_int_equal(g->rep[1].requests, before);
	close(fd);
	rig_free(g);
}

static void a_replica_may_listen_on_a_unix_socket(void **state)
{
	struct rig *g = rig_bare(0, 0);
	char path[64];
	struct sock_addr a;
	(void)state;
	struct replica *rep = rig_replica(g, rep_echo);
	snprintf(path, sizeof path, "/tmp/edge-test-%d.sock", getpid());
	char text[80];
	snprintf(text, sizeof text, "unix:%s", path);
	assert_true(sock_addr_parse(hg_str(text), &a));
	shutdown(rep->fd, SHUT_RDWR);
	pthread_join(rep->accepter, NULL);
	close(rep->fd);
	rep->fd = sock_listen(&a, 16);
	fcntl(rep->fd, F_SETFL, 0);
	assert_int_equal(pthread_create(&rep->accepter, NULL, accept_thread, rep), 0);
	struct snap_endpoint ep = {.state = SNAP_EP_UP,
	        .app = 7,
	        .release = 1,
	        .incarnation = 9,
	        .weight = 1,
	        .family = AF_UNIX,
	        .tls = rep->tls};
	memcpy(ep.path, path, strlen(path) + 1);
	snap_table_set(g->table, 0, &ep);
	rig_publish(g);
	int fd = dial(g);
	static char big[300000];
	memset(big, 'u', sizeof big);
	for (int i = 0; i < 20; i++)
		talk(fd, GET, 200, "=");
	put(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
	put_all(fd, big, sizeof big);
	struct resp *r = hear(fd);
	assert_int_equal(r->n, 300001);
	resp_free(r);
	assert_int_equal(rep->connections, 1);
	close(fd);
	unlink(path);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(
	                a_refused_connection_is_tried_on_another_replica_whatever_the_method),
	        cmocka_unit_test(a_reset_before_the_answer_is_tried_again_only_when_harmless),
	        cmocka_unit_test(bodies_are_kept_for_a_second_attempt_up_to_64_kib),
	        cmocka_unit_test(a_kept_connection_that_was_closed_meanwhile_is_invisible),
	        cmocka_unit_test(bytes_that_were_never_acknowledged_were_never_seen),
	        cmocka_unit_test(a_replica_that_hangs_is_given_up_in_time),
	        cmocka_unit_test(the_first_attempt_waits_half_when_there_is_another_replica),
	        cmocka_unit_test(half_the_time_is_no_end_when_the_budget_is_spent),
	        cmocka_unit_test(retries_end_at_the_applications_limit),
	        cmocka_unit_test(a_retry_budget_ends_a_storm),
	        cmocka_unit_test(a_failing_replica_is_ejected_and_the_last_one_never),
	        cmocka_unit_test(unready_replicas_are_asked_when_none_is_ready),
	        cmocka_unit_test(an_ejected_replica_comes_back_on_probation),
	        cmocka_unit_test(a_draining_replica_finishes_what_it_has_and_gets_nothing_new),
	        cmocka_unit_test(idle_connections_to_a_draining_replica_are_closed_without_traffic),
	        cmocka_unit_test(load_goes_where_less_is_in_flight),
	        cmocka_unit_test(weights_split_the_requests),
	        cmocka_unit_test(a_replica_may_listen_on_a_unix_socket),
	};
	return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
