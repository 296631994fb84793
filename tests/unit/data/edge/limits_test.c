#include "rig.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/* Says `text`; the answer has this status and the connection is closed after it. */
static void refused(struct rig *g, const char *text, int status)
{
	int fd = dial(g);
	char v[64];
	put(fd, text);
	struct resp *r = hear(fd);
	if (!r) fail_msg("no answer to %s", text);
	if (r->status != status) fail_msg("%d instead of %d to %s", r->status, status, text);
	if (RIG_H1 && (!field(r->head, "Connection", v, sizeof v) || strcmp(v, "close") != 0)) {
		fail_msg("the connection is kept: %s", r->head);
	}
	resp_free(r);
	assert_true(!RIG_H1 || closed(fd));
	close(fd);
}

static void requests_that_could_smuggle_are_refused_and_the_connection_closed(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	static const char *bad[] = {
	        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: "
	        "chunked\r\n\r\n"
	        "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
	        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
	        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd",
	        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
	        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
	        "GET / HTTP/1.1\nHost: a\n\n",
	        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	        "GET / HTTP/1.1\r\n\r\n",
	        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
	        "\x16\x03\x01\x02\x01\x01\r\n\r\n",
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		int fd = dial(g);
		put(fd, bad[i]);
		struct resp *r = hear(fd);
		if (!r || r->status < 400 || r->status > 501) fail_msg("case %zu", i);
		resp_free(r);
		assert_true(closed(fd));
		close(fd);
	}
	assert_int_equal(g->rep[0].requests, 0);
	assert_int_equal(g->meter->worker[1].bad_requests, HG_COUNT(bad));
	rig_free(g);
}

static void a_chunked_body_that_lies_is_cut_off(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	(void)state;
	refused(g, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400);
	refused(g, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
	        400);
	refused(g,
	        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	        "ffffffffffffffffff\r\n",
	        400);
	rig_free(g);
}

static void limits_are_answered_with_their_own_status(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	static char big[20000], text[21000];
	(void)state;
	g->app.body_max = 10;
	rig_publish(g);
	memset(big, 'a', sizeof big - 1);
	snprintf(text, sizeof text, "GET /%.5000s HTTP/1.1\r\nHost: a\r\n\r\n", big);
	refused(g, text, 414);
	snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n", big);
	refused(g, text, 431);
	refused(g, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413);
	refused(g,
	        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	        "b\r\n01234567890\r\n",
	        413);
	if (RIG_H1) refused(g, "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
	if (RIG_H1) {
		refused(g,
		        "POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\nContent-Length: 1\r\n\r\n",
		        417);
	}
	int fd = dial(g);
	talk(fd, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, NULL);
	talk(fd, "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 x, 1.1 Test-Edge (y)\r\n\r\n", 508, NULL);
	talk(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789", 200,
	        "=0123456789");
	close(fd);
	rig_free(g);
}

static void errors_speak_json_to_those_who_prefer_it(void **state)
{
	struct rig *g = rig_new(rep_echo, 0);
	int fd = dial(g);
	char v[64];
	(void)state;
	put(fd, "GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n");
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 503);
	static const char want[] =
	        "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,"
	        "\"detail\":\"no replica is ready\",\"error\":\"no replica is ready\","
	        "\"trace_id\":\"";
	assert_memory_equal(r->body, want, sizeof want - 1);
	assert_int_equal(strspn(r->body + sizeof want - 1, "0123456789abcdef"), 32);
	assert_string_equal(r->body + sizeof want - 1 + 32, "\"}\n");
	assert_string_equal(
	        field(r->head, "Content-Type", v, sizeof v), "application/problem+json");
	assert_string_equal(field(r->head, "Retry-After", v, sizeof v), "1");
	resp_free(r);
	talk(fd, GET, 503, "no replica is ready\n");
	put(fd, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
	r = hear_(fd, true);
	assert_string_equal(field(r->head, "Content-Length", v, sizeof v), "20");
	resp_free(r);
	talk(fd, GET, 503, NULL);
	rig_sync(g);
	assert_int_equal(meter_lane_code(g->meter, 0, 503), 4);
	close(fd);
	rig_free(g);
}

static void before_the_first_snapshot_the_answer_is_503(void **state)
{
	struct rig *g = rig_bare(0, 0);
	int fd = dial(g);
	(void)state;
	talk(fd, GET, 503, "starting\n");
	rig_replica(g, rep_echo);
	rig_publish(g);
	talk(fd, GET, 200, "=");
	close(fd);
	rig_free(g);
}

static uint64_t since(uint64_t start_ms)
{
	return clock_mono_ms() - start_ms;
}

static void a_slow_head_is_ended_with_408_however_often_a_byte_comes(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	const char *text = "GET / HTTP/1.1\r\nHost: a\r\nX-A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
	(void)state;
	g->shape.header_ms = 300;
	rig_publish(g);
	int fd = dial(g);
	uint64_t start = clock_mono_ms();
	for (size_t i = 0; text[i]; i++) {
		struct pollfd p = {fd, POLLIN, 0};
		put_all(fd, text + i, 1);
		if (poll(&p, 1, 20) > 0) break;
	}
	struct resp *r = hear(fd);
	assert_non_null(r);
	assert_int_equal(r->status, 408);
	assert_in_range(since(start), 290, 2000);
	resp_free(r);
	assert_true(closed(fd));
	close(fd);
	/* One that never says anything is closed without a word. */
	fd = dial(g);
	assert_true(closed(fd));
	close(fd);
	assert_int_equal(g->meter->worker[1].timeouts, 1);
	rig_free(g);
}

static void a_body_that_stops_coming_is_ended_with_408(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	(void)state;
	g->shape.body_idle_ms = 150;
	rig_publish(g);
	refused(g, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", 408);
	rig_free(g);
}

static void a_body_that_comes_a_byte_at_a_time_is_ended_with_408(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	(void)state;
	g->shape.body_idle_ms = 300;
	g->shape.min_rate = 1000;
	rig_publish(g);
	int fd = dial(g);
	uint64_t start = clock_mono_ms();
	put(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
	for (struct pollfd p = {fd, POLLIN, 0}; poll(&p, 1, 20) == 0 && since(start) < 5000;)
		put(fd, "x");
	struct resp *r = hear(fd);
	assert_non_null(r);
	assert_int_equal(r->status, 408);
	assert_in_range(since(start), 250, 2000);
	resp_free(r);
	close(fd);
	/* Who is just fast enough is served, however long it takes. */
	fd = dial(g);
	start = clock_mono_ms();
	put(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1600\r\n\r\n");
	/* By the clock: on a busy machine a short sleep may be a long one. */
	for (size_t sent = 0, due; sent < 1600; sent += due) {
		char text[1601];
		usleep(20000);
		due = HG_MIN((size_t)since(start) * 2, 1600u) - sent;
		memset(text, 'y', due);
		text[due] = 0;
		put(fd, text);
	}
	assert_true(since(start) > 600);
	r = hear(fd);
	assert_non_null(r);
	assert_int_equal(r->status, 200);
	assert_int_equal(r->n, 1601);
	resp_free(r);
	close(fd);
	rig_free(g);
}

static void rep_much(struct replica *rep, int fd)
{
	enum { SIZE = 16 << 20 };
	char *big = calloc(1, SIZE);
	while (big && rep_head(rep, fd)) {
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 16777216\r\n\r\n");
		put_all(fd, big, SIZE);
	}
	free(big);
}

static void a_client_that_takes_its_answer_a_few_bytes_at_a_time_is_cut_off(void **state)
{
	struct rig *g = rig_new(rep_much, 1);
	char some[64];
	(void)state;
	g->shape.body_idle_ms = 300;
	g->shape.min_rate = 4 << 20;
	rig_publish(g);
	int fd = dial(g);
	uint64_t start = clock_mono_ms();
	put(fd, GET);
	/* It reads all the time, so that it is never idle; the edge has sent what the kernel takes.
	 */
	while (g->meter->worker[1].timeouts == 0 && since(start) < 8000) {
		if (recv(fd, some, sizeof some, 0) <= 0) break;
		usleep(5000);
	}
	rig_sync(g);
	assert_int_equal(g->meter->worker[1].timeouts, 1);
	assert_int_equal(g->meter->worker[1].lane[1].broken, 0); /* its own doing */
	assert_in_range(since(start), 250, 6000);
	close(fd);
	/* A reader that keeps up gets all of it. */
	fd = dial(g);
	put(fd, GET);
	size_t n = 0;
	static char much[65536];
	for (ssize_t k; n < 16u << 20 && (k = recv(fd, much, sizeof much, 0)) > 0;)
		n += (size_t)k;
	assert_true(n >= 16u << 20);
	close(fd);
	rig_free(g);
}

#define UPGRADE "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
#define SWITCH  "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"

/* Echoes, or says more than any socket holds. */
static void rep_tunnel(struct replica *rep, int fd)
{
	static char much[65536];
	char buf[256];
	if (!rep_head(rep, fd)) return;
	put(fd, SWITCH);
	for (ssize_t n; (n = recv(fd, buf, sizeof buf, 0)) > 0;) {
		if (buf[0] != 'f') put_all(fd, buf, (size_t)n);
		while (buf[0] == 'f' && send(fd, much, sizeof much, MSG_NOSIGNAL) > 0) {
		}
	}
}

HG_UNUSED static void who_does_not_take_what_a_tunnel_brings_is_cut_off(void **state)
{
	struct rig *g = rig_new(rep_tunnel, 1);
	char c;
	(void)state;
	g->shape.body_idle_ms = 300;
	rig_publish(g);
	int fd = dial(g);
	put(fd, UPGRADE);
	resp_free(hear(fd));
	/* Silence is no offence. */
	for (int i = 0; i < 3; i++) {
		put(fd, "x");
		assert_true(recv(fd, &c, 1, 0) == 1 && c == 'x');
		usleep(700000);
	}
	assert_int_equal(g->meter->worker[1].timeouts, 0);
	uint64_t start = clock_mono_ms();
	put(fd, "f");
	while (g->meter->worker[1].timeouts == 0 && since(start) < 8000)
		usleep(10000);
	rig_sync(g);
	assert_int_equal(g->meter->worker[1].timeouts, 1);
	assert_int_equal(atomic_load(&g->meter->worker[1].connections), 0);
	close(fd);
	rig_free(g);
}

static void more_fields_than_allowed_are_431(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	(void)state;
	g->shape.fields_max = 3;
	rig_publish(g);
	int fd = dial(g);
	talk(fd, "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n", 200, "=");
	talk(fd, "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", 431, NULL);
	close(fd);
	rig_free(g);
}

static void idle_connections_are_closed_in_time(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	(void)state;
	g->shape.keepalive_ms = 200;
	rig_publish(g);
	int fd = dial(g);
	talk(fd, GET, 200, "=");
	usleep(100000);
	talk(fd, GET, 200, "=");
	uint64_t start = clock_mono_ms();
	assert_true(closed(fd));
	assert_in_range(since(start), 150, 2000);
	close(fd);
	rig_free(g);
}

static void rep_stops(struct replica *rep, int fd)
{
	char c;
	if (!rep_head(rep, fd)) return;
	put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
	(void)!recv(fd, &c, 1, 0);
}

static void a_response_that_stops_coming_is_cut_off(void **state)
{
	struct rig *g = rig_new(rep_stops, 1);
	(void)state;
	g->app.idle_ms = 150;
	rig_publish(g);
	int fd = dial(g);
	put(fd, GET);
	struct resp *r = hear(fd);
	assert_non_null(r);
	assert_true(r->closed);
	resp_free(r);
	/* Not the client's doing. */
	rig_sync(g);
	assert_int_equal(g->meter->worker[1].lane[1].broken, 1);
	assert_int_equal(g->meter->worker[1].lane[1].aborted, 0);
	close(fd);
	rig_free(g);
}

static void rep_smuggles(struct replica *rep, int fd)
{
	static const char both[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
	                           "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
	static const char *answer[] = {
	        both,
	        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
	        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
	        "220 mail.example ESMTP\r\n\r\n",
	        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
	};
	int n = (*(_Atomic int *)rep->arg)++;
	if (!rep_head(rep, fd)) return;
	put(fd, answer[n % (int)HG_COUNT(answer)]);
}

static void ambiguous_responses_are_not_passed_on(void **state)
{
	_Atomic int n = 0;
	struct rig *g = rig_bare(0, 0);
	(void)state;
	rig_replica(g, rep_smuggles)->arg = &n;
	rig_publish(g);
	int fd = dial(g);
	for (int i = 0; i < 5; i++)
		talk(fd, GET, 502, "the replica sent an invalid response\n");
	close(fd);
	rig_free(g);
}

static void rep_talkative(struct replica *rep, int fd)
{
	while (rep_head(rep, fd)) {
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
		        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
	}
}

static void bytes_after_a_response_never_reach_the_next_request(void **state)
{
	struct rig *g = rig_new(rep_talkative, 1);
	int fd = dial(g);
	(void)state;
	for (int i = 0; i < 5; i++)
		talk(fd, GET, 200, "ok");
	assert_int_equal(g->rep[0].connections, 5);
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

static void requests_over_the_applications_limit_are_told_to_come_back(void **state)
{
	_Atomic bool open = false;
	struct rig *g = rig_bare(0, 0);
	int fd[3];
	char v[16];
	(void)state;
	rig_replica(g, rep_gate)->arg = &open;
	g->app.max_in_flight = 2;
	rig_publish(g);
	for (int i = 0; i < 2; i++) {
		fd[i] = dial(g);
		put(fd[i], GET);
	}
	while (g->rep[0].requests < 2)
		usleep(1000);
	fd[2] = dial(g);
	put(fd[2], GET);
	struct resp *r = hear(fd[2]);
	assert_int_equal(r->status, 503);
	assert_string_equal(field(r->head, "Retry-After", v, sizeof v), "1");
	resp_free(r);
	open = true;
	for (int i = 0; i < 2; i++)
		resp_free(hear(fd[i]));
	rig_sync(g);
	talk(fd[2], GET, 200, "ok");
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	rig_free(g);
}

HG_UNUSED static void a_full_table_of_connections_refuses_with_a_reason(void **state)
{
	struct rig *g = rig_bare(3, 0);
	int fd[4];
	(void)state;
	rig_replica(g, rep_echo);
	rig_publish(g);
	for (int i = 0; i < 3; i++) {
		fd[i] = dial(g);
		put(fd[i], "GET /"); /* busy: an idle one would make room */
		rig_sync(g);
	}
	fd[3] = dial(g);
	struct resp *r = hear(fd[3]);
	assert_int_equal(r->status, 503);
	assert_string_equal(r->body, "too many open connections\n");
	resp_free(r);
	close(fd[3]);
	put(fd[0], " HTTP/1.1\r\nHost: a\r\n\r\n");
	resp_free(hear(fd[0]));
	rig_sync(g);
	/* Now one is idle: the newcomer gets its place. */
	fd[3] = dial(g);
	talk(fd[3], GET, 200, "=");
	assert_true(closed(fd[0]));
	for (int i = 0; i < 4; i++)
		close(fd[i]);
	assert_int_equal(g->meter->worker[1].refused_full, 1);
	rig_free(g);
}

static void silent_connections_cannot_keep_others_out(void **state)
{
	struct rig *g = rig_bare(8, 0);
	int silent[8];
	(void)state;
	rig_replica(g, rep_echo);
	rig_publish(g);
	for (int i = 0; i < 8; i++)
		silent[i] = dial(g);
	while (atomic_load(&g->meter->worker[1].connections) < 8)
		usleep(1000);
#ifdef RIG_TLS
	/* Silence begins when the handshake is over, and the machine may be busy. */
	while (atomic_load(&g->meter->worker[1].tls_handshakes) < 8)
		usleep(1000);
#endif
	usleep((EDGE_SILENT_MS + 20) * 1000);
	for (int i = 0; i < 20; i++) {
		int fd = dial(g);
		talk(fd, GET, 200, "=");
		close(fd);
	}
	assert_int_equal(g->meter->worker[1].refused_full, 0);
	for (int i = 0; i < 8; i++)
		close(silent[i]);
	rig_free(g);
}

static void a_nearly_full_worker_leaves_newcomers_to_one_with_room(void **state)
{
	struct rig *g = rig_bare(16, 0);
	struct meter_worker *other = &g->meter->worker[0], *own = &g->meter->worker[1];
	int fd[15];
	(void)state;
	rig_replica(g, rep_echo);
	rig_publish(g);
	atomic_store(&other->pid, 1);
	for (int i = 0; i < 14; i++) {
		fd[i] = dial(g);
		talk(fd[i], GET, 200, "=");
	}
	fd[14] = dial(g);
	put(fd[14], GET);
	usleep(100000);
	assert_int_equal(atomic_load(&own->accepted), 14);
	/* Full as well: then it is nobody's turn but ours. */
	atomic_store(&other->connections, 14);
	struct resp *r = hear(fd[14]);
	assert_int_equal(r->status, 200);
	resp_free(r);
	for (int i = 0; i < 15; i++)
		close(fd[i]);
	rig_free(g);
}

/* He stands still, or was killed a moment ago: the meter still says that he has room. */
static void a_worker_that_takes_nobody_does_not_keep_newcomers_waiting(void **state)
{
	struct rig *g = rig_bare(16, 0);
	struct meter_worker *other = &g->meter->worker[0];
	int fd[16];
	(void)state;
	rig_replica(g, rep_echo);
	rig_publish(g);
	atomic_store(&other->pid, 1);
	for (int i = 0; i < 16; i++) {
		fd[i] = dial(g);
		talk(fd[i], GET, 200, "=");
	}
	/* As soon as he takes one, he is left the others again. */
	meter_add(&other->accepted, 1);
	close(fd[14]);
	close(fd[15]);
	while (atomic_load(&g->meter->worker[1].connections) > 14)
		usleep(1000);
	fd[14] = dial(g);
	put(fd[14], GET);
	usleep(60000);
	assert_int_equal(atomic_load(&g->meter->worker[1].accepted), 16);
	/* The warden has found him dead. */
	meter_worker_reset(g->meter, 0);
	struct resp *r = hear(fd[14]);
	assert_int_equal(r->status, 200);
	resp_free(r);
	for (int i = 0; i < 15; i++)
		close(fd[i]);
	rig_free(g);
}

HG_UNUSED static void without_buffers_requests_are_refused_and_nothing_leaks(void **state)
{
	_Atomic bool open = false;
	struct rig *g = rig_bare(0, 3);
	int fd[3];
	(void)state;
	rig_replica(g, rep_gate)->arg = &open;
	rig_publish(g);
	/* A request that waits for its answer keeps its head for a second attempt. */
	for (int i = 0; i < 2; i++) {
		fd[i] = dial(g);
		put(fd[i], GET);
		while (g->rep[0].requests <= i)
			usleep(1000);
	}
	fd[2] = dial(g);
	put(fd[2], GET);
	struct resp *r = hear(fd[2]);
	assert_int_equal(r->status, 503);
	resp_free(r);
	open = true;
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	while (atomic_load(&g->meter->worker[1].connections) > 0)
		usleep(1000);
	for (int i = 0; i < 10; i++) {
		fd[0] = dial(g);
		talk(fd[0], GET, 200, "ok");
		close(fd[0]);
	}
	assert_int_equal(g->edge->bufs.most, 3);
	rig_free(g);
}

HG_UNUSED static void heads_that_do_not_come_cannot_keep_requests_out(void **state)
{
	struct rig *g = rig_bare(0, 12);
	int slow[12];
	(void)state;
	rig_replica(g, rep_echo);
	rig_publish(g);
	for (int i = 0; i < 12; i++) {
		slow[i] = dial(g);
		put(slow[i], "GET /");
		rig_sync(g);
	}
	usleep((EDGE_SILENT_MS + 20) * 1000);
	for (int i = 0; i < 20; i++) {
		int fd = dial(g);
		talk(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 200, "=hi");
		close(fd);
	}
	/* No more of them had to go than there were buffers needed. */
	assert_in_range(g->meter->worker[1].refused_full, 1, 10);
	talk(slow[11], " HTTP/1.1\r\nHost: a\r\n\r\n", 200, "=");
	for (int i = 0; i < 12; i++)
		close(slow[i]);
	rig_free(g);
}

HG_UNUSED static void bodies_that_do_not_come_cannot_keep_requests_out(void **state)
{
	struct rig *g = rig_bare(0, 12);
	int slow[11];
	(void)state;
	rig_replica(g, rep_echo);
	rig_publish(g);
	for (int i = 0; i < 11; i++) {
		slow[i] = dial(g);
		put(slow[i], "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
		while (g->rep[0].connections <= i)
			usleep(1000);
		rig_sync(g);
	}
	usleep((EDGE_LAG_MS + 50) * 1000);
	for (int i = 0; i < 20; i++) {
		int fd = dial(g);
		talk(fd, GET, 200, "=");
		close(fd);
	}
	assert_in_range(g->meter->worker[1].refused_full, 1, 10);
	talk(slow[10], "hi", 200, "=hi");
	for (int i = 0; i < 11; i++)
		close(slow[i]);
	rig_free(g);
}

HG_UNUSED static void a_long_body_holds_no_buffer_while_it_does_not_come(void **state)
{
	static char text[70000];
	struct rig *g = rig_bare(0, 6);
	int slow[8];
	(void)state;
	rig_replica(g, rep_echo);
	rig_publish(g);
	memset(text, 'a', sizeof text);
	for (int i = 0; i < 8; i++) {
		slow[i] = dial(g);
		put(slow[i], "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 70001\r\n\r\n");
		put_all(slow[i], text, sizeof text);
		while (g->rep[0].connections <= i)
			usleep(1000);
		while (rig_bufs_used(g) > 0) {
		}
	}
	for (int i = 0; i < 8; i++) {
		put(slow[i], "b");
		struct resp *r = hear(slow[i]);
		assert_true(r && r->status == 200 && r->n == 70002);
		resp_free(r);
		close(slow[i]);
	}
	assert_int_equal(g->meter->worker[1].refused_full, 0);
	rig_free(g);
}

HG_UNUSED static void bodies_that_come_slowly_hold_one_buffer_each(void **state)
{
	struct rig *g = rig_bare(0, 8);
	int slow[5], fd = dial(g);
	(void)state;
	rig_replica(g, rep_echo);
	rig_publish(g);
	for (int i = 0; i < 5; i++) {
		slow[i] = dial(g);
		put(slow[i], "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh");
		while (g->rep[0].connections <= i)
			usleep(1000);
		rig_sync(g);
	}
	talk(fd, GET, 200, "=");
	for (int i = 0; i < 5; i++) {
		talk(slow[i], "i", 200, "=hi");
		close(slow[i]);
	}
	close(fd);
	rig_free(g);
}

int main(void)
{
#ifdef RIG_H2 /* HTTP/1.1's own */
	(void)requests_that_could_smuggle_are_refused_and_the_connection_closed;
	(void)a_chunked_body_that_lies_is_cut_off;
	(void)before_the_first_snapshot_the_answer_is_503;
	(void)a_slow_head_is_ended_with_408_however_often_a_byte_comes;
#endif
	const struct CMUnitTest tests[] = {
#ifndef RIG_H2
		cmocka_unit_test(requests_that_could_smuggle_are_refused_and_the_connection_closed),
		cmocka_unit_test(a_chunked_body_that_lies_is_cut_off),
		cmocka_unit_test(before_the_first_snapshot_the_answer_is_503),
		cmocka_unit_test(a_slow_head_is_ended_with_408_however_often_a_byte_comes),
		cmocka_unit_test(heads_that_do_not_come_cannot_keep_requests_out),
#ifndef RIG_UP /* counts buffers by connections: those of handshakes hold two */
		cmocka_unit_test(bodies_that_do_not_come_cannot_keep_requests_out),
#endif
		cmocka_unit_test(a_long_body_holds_no_buffer_while_it_does_not_come),
#ifndef RIG_UP
		cmocka_unit_test(bodies_that_come_slowly_hold_one_buffer_each),
#endif
#endif
		cmocka_unit_test(limits_are_answered_with_their_own_status),
		cmocka_unit_test(errors_speak_json_to_those_who_prefer_it),
		cmocka_unit_test(a_body_that_stops_coming_is_ended_with_408),
		cmocka_unit_test(a_body_that_comes_a_byte_at_a_time_is_ended_with_408),
		cmocka_unit_test(a_client_that_takes_its_answer_a_few_bytes_at_a_time_is_cut_off),
#ifndef RIG_H2
		cmocka_unit_test(who_does_not_take_what_a_tunnel_brings_is_cut_off),
#endif
		cmocka_unit_test(more_fields_than_allowed_are_431),
		cmocka_unit_test(idle_connections_are_closed_in_time),
		cmocka_unit_test(a_response_that_stops_coming_is_cut_off),
		cmocka_unit_test(ambiguous_responses_are_not_passed_on),
		cmocka_unit_test(bytes_after_a_response_never_reach_the_next_request),
		cmocka_unit_test(requests_over_the_applications_limit_are_told_to_come_back),
#if !defined RIG_TLS && !defined RIG_H2 /* what is said without a request needs a handshake there \
                                         */
		cmocka_unit_test(a_full_table_of_connections_refuses_with_a_reason),
		cmocka_unit_test(without_buffers_requests_are_refused_and_nothing_leaks),
#endif
		cmocka_unit_test(silent_connections_cannot_keep_others_out),
		cmocka_unit_test(a_nearly_full_worker_leaves_newcomers_to_one_with_room),
		cmocka_unit_test(a_worker_that_takes_nobody_does_not_keep_newcomers_waiting),
	};
	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
