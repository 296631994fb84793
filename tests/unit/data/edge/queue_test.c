/* Requests wait for a replica with room: bounded, in turns, and not for ever. */
#include "trial_rig.h"

#include <arpa/inet.h>

#define LATE "GET /late HTTP/1.1\r\nHost: a\r\n\r\n"

/* Which of the replica's requests LATE was, the first being 1. */
static _Atomic int late_at;

/* Answers when *arg says so. */
static void rep_gate(struct replica *rep, int fd)
{
	char head[65536];
	while (rep_head_of(rep, fd, head, sizeof head)) {
		if (strncmp(head, LATE, 10) == 0) late_at = rep->requests;
		while (!*(_Atomic bool *)rep->arg)
			usleep(1000);
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n=");
	}
}

static struct rig *gated(_Atomic bool *open, uint32_t each, uint32_t queue, uint32_t ms)
{
	struct rig *g = rig_bare(0, 0);
	rig_replica(g, rep_gate)->arg = (void *)open;
	g->app.balance =
	        (struct snap_balance){.replica_max = each, .queue_max = queue, .queue_ms = ms};
	rig_publish(g);
	return g;
}

static const struct meter_app *counted(struct rig *g)
{
	static const struct meter_app none;
	rig_sync(g);
	const struct meter_app *m = meter_app_find(&g->meter->worker[g->worker], 7);
	return m ? m : &none;
}

static void wait_waiting(struct rig *g, uint32_t n)
{
	for (int i = 0; counted(g)->waiting != n && i < 5000; i++)
		usleep(1000);
	assert_int_equal(counted(g)->waiting, n);
}

static int dial_from(struct rig *g, unsigned last)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval tv = {10, 0};
	struct sockaddr_in from = {
	        .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000 | last)};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	assert_int_equal(bind(fd, (const void *)&from, sizeof from), 0);
	assert_int_equal(connect(fd, &g->addr.sa, g->addr.len), 0);
	return fd;
}

static int answered(int fd, char *retry)
{
	struct resp *r = hear(fd);
	assert_non_null(r);
	int status = r->status;
	if (retry && !field(r->head, "Retry-After", retry, 16)) retry[0] = 0;
	resp_free(r);
	return status;
}

/* Until `n` requests are with a replica that answers none, or wait: connections may take their
 * time. */
static void arrived(struct rig *g, uint32_t n)
{
	for (int i = 0; i < 10000; i++) {
		uint32_t with = g->rep[0].requests + g->rep[1].requests;
		if (with + atomic_load(&counted(g)->waiting) >= n) return;
		usleep(500);
	}
	fail_msg("%u requests did not arrive", n);
}

static void what_is_too_much_waits_and_is_served_in_order(void **state)
{
	_Atomic bool open = false;
	struct rig *g = gated(&open, 2, 10, 10000);
	int fd[6];
	(void)state;
	for (int i = 0; i < 6; i++) {
		fd[i] = dial(g);
		put(fd[i], GET);
		wait_waiting(g, i < 2 ? 0 : (uint32_t)i - 1);
	}
	for (int i = 0; g->rep[0].requests < 2 && i < 5000; i++)
		usleep(1000);
	assert_int_equal(g->rep[0].requests, 2);
	assert_int_equal(meter_in_flight(g->meter, 0), 2);
	open = true;
	for (int i = 0; i < 6; i++)
		assert_int_equal(answered(fd[i], NULL), 200);
	assert_int_equal(counted(g)->waiting, 0);
	assert_int_equal(counted(g)->queued, 4);
	assert_true(counted(g)->queue_ns > 0);
	/* Two connections were enough. */
	assert_int_equal(g->rep[0].connections, 2);
	for (int i = 0; i < 6; i++)
		close(fd[i]);
	rig_free(g);
}

static void a_full_queue_says_so_at_once_and_a_long_wait_ends(void **state)
{
	_Atomic bool open = false;
	struct rig *g = gated(&open, 1, 2, 400);
	int fd[4];
	char retry[16];
	(void)state;
	for (int i = 0; i < 3; i++) {
		fd[i] = dial(g);
		put(fd[i], GET);
		arrived(g, (uint32_t)i + 1);
	}
	fd[3] = dial(g);
	uint64_t at = clock_mono_ms();
	put(fd[3], GET);
	assert_int_equal(answered(fd[3], retry), 503);
	assert_string_equal(retry, "1");
	assert_true(clock_mono_ms() - at < 300);
	assert_int_equal(counted(g)->queue_full, 1);
	for (int i = 1; i < 3; i++)
		assert_int_equal(answered(fd[i], retry), 503);
	assert_in_range(clock_mono_ms() - at, 200, 1500);
	assert_int_equal(counted(g)->queue_late, 2);
	assert_int_equal(counted(g)->waiting, 0);
	open = true;
	assert_int_equal(answered(fd[0], NULL), 200);
	/* The connections are as good as before. */
	for (int i = 0; i < 4; i++) {
		talk(fd[i], GET, 200, "=");
		close(fd[i]);
	}
	rig_free(g);
}

static void without_a_queue_it_is_503_at_once(void **state)
{
	_Atomic bool open = false;
	struct rig *g = gated(&open, 1, 0, 0);
	int one = dial(g), two = dial(g);
	(void)state;
	put(one, GET);
	while (g->rep[0].requests == 0)
		usleep(500);
	talk(two, GET, 503, "all replicas are busy\n");
	open = true;
	assert_int_equal(answered(one, NULL), 200);
	talk(two, GET, 200, "=");
	close(one);
	close(two);
	rig_free(g);
}

static void a_client_that_leaves_makes_room(void **state)
{
	_Atomic bool open = false;
	struct rig *g = gated(&open, 1, 2, 10000);
	int fd[3];
	(void)state;
	for (int i = 0; i < 3; i++) {
		fd[i] = dial(g);
		put(fd[i], GET);
		arrived(g, (uint32_t)i + 1);
	}
	close(fd[1]);
	wait_waiting(g, 1);
	assert_int_equal(counted(g)->queue_left, 1);
	fd[1] = dial(g);
	put(fd[1], GET);
	wait_waiting(g, 2);
	open = true;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(answered(fd[i], NULL), 200);
		close(fd[i]);
	}
	rig_free(g);
}

/* A client whose lane is not that of 127.0.0.2, which waits; its request waits as well. */
static int other_lane(struct rig *g, uint32_t n)
{
	for (unsigned last = 3; last < 60; last++) {
		int fd = dial_from(g, last);
		unsigned lanes = 0;
		put(fd, LATE);
		wait_waiting(g, n);
		const struct edge_queue *q = edge_app_of(g->edge, 7)->queue[0];
		for (uint32_t i = 0; i < EDGE_QUEUE_LANES; i++)
			lanes += q->lane[i].n > 0;
		if (lanes == 2) return fd;
		close(fd);
		wait_waiting(g, n - 1);
	}
	fail_msg("all clients have the same lane");
	return -1;
}

static void clients_take_turns(void **state)
{
	_Atomic bool open = false;
	struct rig *g = gated(&open, 1, 100, 10000);
	int busy[20];
	(void)state;
	for (int i = 0; i < 20; i++) {
		busy[i] = dial_from(g, 2);
		put(busy[i], GET);
		arrived(g, (uint32_t)i + 1);
	}
	int late = other_lane(g, 20);
	open = true;
	assert_int_equal(answered(late, NULL), 200);
	/* It came last, and was the first or second of those that waited. */
	assert_in_range(late_at, 2, 3);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(answered(busy[i], NULL), 200);
		close(busy[i]);
	}
	close(late);
	rig_free(g);
}

static void count_lanes(struct rig *g)
{
	const struct edge_queue *q = edge_app_of(g->edge, 7)->queue[0];
	g->lanes = 0;
	for (uint32_t i = 0; i < EDGE_QUEUE_LANES; i++)
		g->lanes += q->lane[i].n > 0;
}

static void an_ipv6_network_is_one_client(void **state)
{
	enum { N = 12 };
	_Atomic bool open = false;
	struct rig *g = gated(&open, 1, 100, 10000);
	struct ip_prefix near = {{0, 0xffff7f000001u}, 128, 1};
	struct ip_step step[IPSET_STEPS(1)];
	int fd[N];
	(void)state;
	g->trusted = (struct snap_in_set){step, (uint32_t)ipset_compile(&near, 1, step)};
	rig_publish(g);
	for (int i = 0; i < N; i++) {
		char text[128];
		(void)snprintf(text, sizeof text,
		        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 2001:db8::%x\r\n\r\n",
		        i + 1);
		fd[i] = dial(g);
		put(fd[i], text);
		arrived(g, (uint32_t)i + 1);
	}
	rig_do(g, count_lanes);
	assert_int_equal(g->lanes, 1);
	open = true;
	for (int i = 0; i < N; i++) {
		assert_int_equal(answered(fd[i], NULL), 200);
		close(fd[i]);
	}
	rig_free(g);
}

static void who_fills_the_queue_gives_way(void **state)
{
	_Atomic bool open = false;
	struct rig *g = gated(&open, 1, 9, 10000);
	int busy[10];
	(void)state;
	for (int i = 0; i < 9; i++) {
		busy[i] = dial_from(g, 2);
		put(busy[i], GET);
		arrived(g, (uint32_t)i + 1);
	}
	int late = other_lane(g, 9); /* the last free place */
	busy[9] = dial_from(g, 2);
	put(busy[9], GET);
	assert_int_equal(answered(busy[9], NULL), 503);
	close(late);
	wait_waiting(g, 8);
	put(busy[9], GET);
	wait_waiting(g, 9);
	/* Full; a client of another lane comes: the newest of the long lane goes. */
	for (unsigned last = 3; last < 60; last++) {
		late = dial_from(g, last);
		put(late, GET);
		struct pollfd p[2] = {
		        {.fd = late, .events = POLLIN}, {.fd = busy[9], .events = POLLIN}};
		assert_true(poll(p, 2, 5000) > 0);
		if (p[1].revents) break;
		assert_int_equal(answered(late, NULL), 503); /* the same lane */
		close(late);
	}
	assert_int_equal(answered(busy[9], NULL), 503);
	open = true;
	assert_int_equal(answered(late, NULL), 200);
	for (int i = 0; i < 10; i++) {
		if (i < 9) assert_int_equal(answered(busy[i], NULL), 200);
		close(busy[i]);
	}
	close(late);
	rig_free(g);
}

static void room_that_another_worker_makes_is_found(void **state)
{
	_Atomic bool open = true;
	struct rig *g = gated(&open, 3, 10, 10000);
	int fd = dial(g);
	(void)state;
	atomic_store(&g->meter->worker[0].in_flight[0], 3);
	put(fd, GET);
	wait_waiting(g, 1);
	assert_int_equal(g->rep[0].requests, 0);
	atomic_store(&g->meter->worker[0].in_flight[0], 2);
	uint64_t at = clock_mono_ms();
	assert_int_equal(answered(fd, NULL), 200);
	assert_true(clock_mono_ms() - at < 500);
	atomic_store(&g->meter->worker[0].in_flight[0], 0);
	close(fd);
	rig_free(g);
}

static void the_queue_is_one_for_all_workers(void **state)
{
	_Atomic bool open = false;
	struct rig *g = gated(&open, 1, 3, 10000);
	int fd[3];
	(void)state;
	struct meter_app *m = meter_app_take(&g->meter->worker[0], 7);
	atomic_store(&m->waiting, 2);
	for (int i = 0; i < 3; i++) {
		fd[i] = dial(g);
		put(fd[i], GET);
		if (i < 2) wait_waiting(g, (uint32_t)i);
	}
	assert_int_equal(answered(fd[2], NULL), 503);
	open = true;
	for (int i = 0; i < 2; i++)
		assert_int_equal(answered(fd[i], NULL), 200);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	rig_free(g);
}

static void drain_call(struct rig *g)
{
	edge_drain(g->edge, 5000);
}

static void what_waits_is_served_while_the_edge_drains(void **state)
{
	_Atomic bool open = false;
	struct rig *g = gated(&open, 1, 10, 10000);
	int fd[4];
	(void)state;
	for (int i = 0; i < 4; i++) {
		fd[i] = dial(g);
		put(fd[i], GET);
		arrived(g, (uint32_t)i + 1);
	}
	rig_do(g, drain_call);
	/* A new configuration without a limit: those that wait keep what they came by. */
	open = true;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(answered(fd[i], NULL), 200);
		close(fd[i]);
	}
	rig_free(g);
}

static void a_replica_that_comes_makes_room(void **state)
{
	_Atomic bool open = false;
	struct rig *g = gated(&open, 1, 10, 10000);
	int one = dial(g), two = dial(g);
	(void)state;
	put(one, GET);
	wait_waiting(g, 0);
	while (g->rep[0].requests == 0)
		usleep(500);
	put(two, GET);
	wait_waiting(g, 1);
	rig_replica(g, rep_echo);
	assert_int_equal(answered(two, NULL), 200);
	open = true;
	assert_int_equal(answered(one, NULL), 200);
	close(one);
	close(two);
	rig_free(g);
}

static void all_replicas_gone_is_no_reason_to_wait(void **state)
{
	_Atomic bool open = false;
	struct rig *g = gated(&open, 1, 10, 10000);
	int fd[3];
	(void)state;
	for (int i = 0; i < 3; i++) {
		fd[i] = dial(g);
		put(fd[i], GET);
		arrived(g, (uint32_t)i + 1);
	}
	rig_endpoint(g, 0, SNAP_EP_DOWN);
	assert_int_equal(answered(fd[1], NULL), 503);
	assert_int_equal(answered(fd[2], NULL), 503);
	open = true;
	assert_int_equal(answered(fd[0], NULL), 200);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	rig_free(g);
}

/* A release without room keeps only its own waiting, and its queue is no evidence against it. */
static void beside_a_trial_each_release_has_its_own_queue(void **state)
{
	_Atomic bool open = false;
	struct snap_trial t = trial_of(500000);
	(void)state;
	t.flags = SNAP_TRIAL_JUDGE;
	t.slow_new_ns[0] = 400000000; /* slower than this is counted */
	struct rig *g = trial_rig(rep_echo, rep_gate, &t);
	g->rep[1].arg = (void *)&open;
	g->app.balance =
	        (struct snap_balance){.replica_max = 1, .queue_max = 100, .queue_ms = 10000};
	rig_publish(g);
	int fd[60], n = 0;
	for (; n < 60 && g->rep[0].requests < 8; n++) {
		fd[n] = dial(g);
		put(fd[n], GET);
		usleep(3000);
		if (n > 20 && g->rep[0].requests == 0) break;
	}
	assert_true(g->rep[0].requests >= 8);
	for (int i = 0; i < 1000 && !g->rep[1].requests; i++)
		usleep(1000);
	arrived(g, (uint32_t)n);
	uint32_t waits = counted(g)->waiting;
	assert_true(waits >= 1);
	usleep(700000);
	/* One is with the replica and is slow; those that wait are not. */
	struct meter_trial_sum sum = trial_sum(g);
	assert_int_equal(count_new(&sum, JUDGE_P50), 1);
	open = true;
	for (int i = 0; i < n; i++) {
		assert_int_equal(answered(fd[i], NULL), 200);
		close(fd[i]);
	}
	sum = trial_sum(g);
	assert_int_equal(count_new(&sum, JUDGE_P50), 1);
	assert_int_equal(sum.n_new, waits + 1);
	assert_int_equal(sum.n_old + sum.n_new, n);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_too_much_waits_and_is_served_in_order),
	        cmocka_unit_test(a_full_queue_says_so_at_once_and_a_long_wait_ends),
	        cmocka_unit_test(without_a_queue_it_is_503_at_once),
	        cmocka_unit_test(a_client_that_leaves_makes_room),
	        cmocka_unit_test(clients_take_turns),
	        cmocka_unit_test(an_ipv6_network_is_one_client),
	        cmocka_unit_test(who_fills_the_queue_gives_way),
	        cmocka_unit_test(room_that_another_worker_makes_is_found),
	        cmocka_unit_test(the_queue_is_one_for_all_workers),
	        cmocka_unit_test(what_waits_is_served_while_the_edge_drains),
	        cmocka_unit_test(a_replica_that_comes_makes_room),
	        cmocka_unit_test(all_replicas_gone_is_no_reason_to_wait),
	        cmocka_unit_test(beside_a_trial_each_release_has_its_own_queue),
	};
	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
