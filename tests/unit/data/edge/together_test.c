/* Limits over several machines: dialogues with a Redis that is good, slow, dead or mad. */
#include "rig.h"

#include "data/edge/together_priv.h"
#include "wire/rate.h"

#define GET  "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"

/* ---- a Redis that says what it is told to ---- */

struct fake {
	struct fake_said {
		const char *_Atomic reply; /* to the script; NULL: nothing */
	} said;
	int fd;
	uint16_t port;
	pthread_t accepter;
	_Atomic bool stop, forgets; /* forgets: knows no script until it gets its text */
	_Atomic int asked, loaded, conn;
	char key[8][64]; /* of the last question */
	int key_n;
	pthread_mutex_t lock;
};

/* The words of one request; 0: the end. */
static int words(FILE *f, char to[32][2048])
{
	int n = 0, len = 0;
	char line[64];
	if (!fgets(line, sizeof line, f) || sscanf(line, "*%d", &n) != 1 || n > 32) return 0;
	for (int i = 0; i < n; i++) {
		if (!fgets(line, sizeof line, f) || sscanf(line, "$%d", &len) != 1 || len > 2047)
			return 0;
		if (fread(to[i], 1, (size_t)len + 2, f) != (size_t)len + 2) return 0;
		to[i][len] = 0;
	}
	return n;
}

static void fake_serve(struct fake *k, int fd)
{
	static __thread char word[32][2048];
	FILE *f = fdopen(dup(fd), "r");
	int n;
	while (f && (n = words(f, word)) > 0) {
		const char *reply = "+PONG\r\n";
		bool whole = strcmp(word[0], "EVAL") == 0;
		if (strcmp(word[0], "EVALSHA") == 0 && k->forgets) {
			reply = "-NOSCRIPT No matching script.\r\n";
		} else if (whole || strcmp(word[0], "EVALSHA") == 0) {
			if (whole) k->loaded++;
			if (whole) k->forgets = false;
			pthread_mutex_lock(&k->lock);
			k->key_n = (int)strtol(word[2], NULL, 10);
			for (int i = 0; i < k->key_n; i++)
				snprintf(k->key[i], sizeof k->key[i], "%.60s", word[3 + i]);
			pthread_mutex_unlock(&k->lock);
			reply = k->said.reply;
			k->asked++;
		}
		if (reply && strcmp(reply, "close") == 0) break;
		if (reply) put_all(fd, reply, strlen(reply));
	}
	if (f) fclose(f);
	shutdown(fd, SHUT_RDWR);
}

struct served {
	struct fake *k;
	int fd;
};

static void *fake_conn(void *arg)
{
	struct served s = *(struct served *)arg;
	free(arg);
	fake_serve(s.k, s.fd);
	s.k->conn--;
	return NULL;
}

static int fake_fds[64], fake_fd_n;

static void *fake_accept(void *arg)
{
	struct fake *k = arg;
	for (;;) {
		int fd = accept(k->fd, NULL, NULL);
		pthread_t t;
		if (fd < 0) return NULL;
		struct served *s = malloc(sizeof *s);
		*s = (struct served){k, fd};
		k->conn++;
		fake_fds[fake_fd_n++ % 64] = fd;
		if (pthread_create(&t, NULL, fake_conn, s)) abort();
		pthread_detach(t);
	}
}

static void fake_start(struct fake *k, const char *reply)
{
	struct sock_addr a;
	*k = (struct fake){.said.reply = reply};
	fake_fd_n = 0;
	pthread_mutex_init(&k->lock, NULL);
	sock_addr_tcp4(INADDR_LOOPBACK, 0, &a);
	k->fd = sock_listen(&a, 64);
	assert_true(k->fd >= 0 && sock_local(k->fd, &a));
	fcntl(k->fd, F_SETFL, fcntl(k->fd, F_GETFL) & ~O_NONBLOCK);
	k->port = sock_addr_port(&a);
	assert_int_equal(pthread_create(&k->accepter, NULL, fake_accept, k), 0);
}

static void fake_stop(struct fake *k)
{
	shutdown(k->fd, SHUT_RDWR);
	pthread_join(k->accepter, NULL);
	close(k->fd);
	for (int i = 0; i < fake_fd_n && i < 64; i++)
		shutdown(fake_fds[i], SHUT_RDWR);
	while (k->conn > 0)
		usleep(1000);
	for (int i = 0; i < fake_fd_n && i < 64; i++)
		close(fake_fds[i]);
}

/* ---- an edge that asks it ---- */

static char settings[256];
static uint32_t asks_used;
static bool usable;

static void take_call(struct rig *g)
{
	edge_together_take(g->edge, hg_str(settings));
}

static void look_call(struct rig *g)
{
	asks_used = g->edge->asks.used;
	usable = edge_together_usable(g->edge);
}

static void together(struct rig *g, const struct fake *k, unsigned timeout_ms)
{
	snprintf(settings, sizeof settings,
	        "{\"providers\":[],\"rates\":{\"redis\":\"redis://127.0.0.1:%u\",\"secret\":\"s\","
	        "\"timeout_ms\":%u}}",
	        k->port, timeout_ms);
	rig_do(g, take_call);
	do {
		usleep(1000);
		rig_do(g, look_call);
	} while (!usable);
}

static struct snap_in_limit limit(const char *name, uint32_t who, uint64_t burst, bool local)
{
	struct snap_in_limit l = {.name = hg_str(name),
	        .field = HG_STR(""),
	        .who = who,
	        .local = local,
	        .id = hg_str_hash(hg_str(name))};
	assert_true(gcra_rule_make(1, 3600000000000u, burst, &l.rule));
	return l;
}

static struct rig *limited(const struct snap_in_limit *limits, uint32_t n, rig_script script)
{
	struct rig *g = rig_bare(0, 0);
	rig_replica(g, script);
	g->guard = (struct snap_in_route){.limits = limits,
	        .limit_count = n,
	        .policy = HG_STR("RateLimit-Policy: \"x\";q=1;w=3600\r\n"),
	        .session = HG_STR("session")};
	rig_publish(g);
	return g;
}

static const struct meter_worker *count(const struct rig *g)
{
	return &g->meter->worker[1];
}

/* One hour is 14,400,000,000 quarters of a microsecond. */
#define ADMIT  "*3\r\n:1\r\n:1\r\n:14400000000\r\n"
#define REFUSE "*3\r\n:0\r\n:-1\r\n:4000000\r\n"

static void what_redis_says_counts_and_is_told(void **state)
{
	struct snap_in_limit l = limit("ip-hour", RATE_PER_IP, 3, false);
	struct rig *g = limited(&l, 1, rep_echo);
	struct fake k;
	char v[128];
	(void)state;
	fake_start(&k, ADMIT);
	k.forgets = true;
	together(g, &k, 2000);
	int fd = dial(g);
	put(fd, POST);
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 200);
	assert_string_equal(r->body, "=hello");
	assert_string_equal(field(r->head, "RateLimit", v, sizeof v), "\"ip-hour\";r=1;t=3600");
	resp_free(r);
	assert_int_equal(k.asked, 1);
	assert_int_equal(k.loaded, 1); /* after NOSCRIPT, and counted once */
	pthread_mutex_lock(&k.lock);
	assert_int_equal(k.key_n, 1);
	assert_int_equal(strlen(k.key[0]), strlen("hg:rate:") + 16);
	pthread_mutex_unlock(&k.lock);
	/* Others have used it up. */
	k.said.reply = REFUSE;
	put(fd, GET);
	r = hear(fd);
	assert_int_equal(r->status, 429);
	assert_string_equal(field(r->head, "Retry-After", v, sizeof v), "1");
	assert_string_equal(field(r->head, "RateLimit", v, sizeof v), "\"ip-hour\";r=0;t=1");
	resp_free(r);
	assert_int_equal(k.asked, 2);
	/* That is known here now, and costs no further question. */
	talk(fd, GET, 429, NULL);
	assert_int_equal(k.asked, 2);
	assert_int_equal(g->rep[0].requests, 1);
	/* A second later there is one more, as the refused ones cost nothing. */
	k.said.reply = ADMIT;
	usleep(1100000);
	talk(fd, GET, 200, NULL);
	assert_int_equal(k.asked, 3);
	rig_sync(g);
	assert_int_equal(count(g)->rate_asked, 3);
	assert_int_equal(count(g)->rate_alone, 0);
	assert_int_equal(count(g)->rate_limited, 2);
	close(fd);
	rig_free(g);
	fake_stop(&k);
}

static void all_limits_of_a_route_are_one_question_without_local_ones(void **state)
{
	const struct snap_in_limit l[] = {limit("ip-hour", RATE_PER_IP, 9, false),
	        limit("hour", RATE_PER_ROUTE, 4, true), limit("user", RATE_PER_USER, 2, false)};
	struct rig *g = limited(l, 3, rep_echo);
	struct fake k;
	(void)state;
	fake_start(&k, "*5\r\n:1\r\n:8\r\n:14400000000\r\n:1\r\n:14400000000\r\n");
	together(g, &k, 2000);
	int fd = dial(g);
	talk(fd, GET, 200, NULL);
	assert_int_equal(k.asked, 1);
	pthread_mutex_lock(&k.lock);
	assert_int_equal(k.key_n, 2);
	assert_string_not_equal(k.key[0], k.key[1]);
	pthread_mutex_unlock(&k.lock);
	talk(fd, GET, 200, NULL);
	/* What is refused here asks nobody. */
	talk(fd, GET, 429, NULL);
	assert_int_equal(k.asked, 2);
	close(fd);
	rig_free(g);
	fake_stop(&k);
}

static void a_refusal_gives_the_other_limits_back(void **state)
{
	const struct snap_in_limit l[] = {
	        limit("ip-hour", RATE_PER_IP, 2, false), limit("hour", RATE_PER_ROUTE, 2, true)};
	struct rig *g = limited(l, 2, rep_echo);
	struct fake k;
	char v[128];
	(void)state;
	fake_start(&k, "*3\r\n:0\r\n:-1\r\n:400\r\n"); /* for 100 µs */
	together(g, &k, 2000);
	int fd = dial(g);
	for (int i = 0; i < 5; i++) {
		talk(fd, GET, 429, NULL);
		usleep(2000);
	}
	assert_int_equal(k.asked, 5);
	/* Of the other nothing is gone, and of this there is one. */
	k.said.reply = ADMIT;
	put(fd, GET);
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 200);
	assert_non_null(field(r->head, "RateLimit", v, sizeof v));
	assert_non_null(strstr(v, "\"hour\";r=1;"));
	resp_free(r);
	talk(fd, GET, 429, NULL);
	assert_int_equal(k.asked, 6);
	close(fd);
	rig_free(g);
	fake_stop(&k);
}

static void no_request_fails_for_a_redis_that_is_mad(void **state)
{
	static const char *const mad[] = {"-WRONGTYPE Operation against a key\r\n", "+OK\r\n",
	        "$-1\r\n", "*0\r\n", "*3\r\n:1\r\n:5\r\n$1\r\na\r\n", "*3\r\n:7\r\n:1\r\n:1\r\n",
	        "*3\r\n:1\r\n:-1\r\n:5\r\n", "*3\r\n:1\r\n:1000\r\n:5\r\n",
	        "*3\r\n:1\r\n:999\r\n:5\r\n", "*3\r\n:1\r\n:1\r\n:-5\r\n",
	        "HTTP/1.1 200 OK\r\n\r\n", "close"};
	struct snap_in_limit l = limit("ip-hour", RATE_PER_IP, 1000, false);
	struct rig *g = limited(&l, 1, rep_echo);
	(void)state;
	for (size_t i = 0; i < HG_COUNT(mad); i++) {
		struct fake k;
		fake_start(&k, mad[i]);
		together(g, &k, 2000);
		int fd = dial(g);
		talk(fd, GET, 200, NULL);
		talk(fd, POST, 200, "=hello");
		if (k.asked == 0) fail_msg("nobody asked, case %zu", i);
		close(fd);
		fake_stop(&k);
	}
	rig_sync(g);
	assert_int_equal(count(g)->rate_asked, 0);
	assert_int_equal(count(g)->rate_alone, 2 * HG_COUNT(mad));
	rig_free(g);
}

static void a_silent_redis_costs_its_time_out_and_no_more(void **state)
{
	struct snap_in_limit l = limit("ip-hour", RATE_PER_IP, 25, false);
	struct rig *g = limited(&l, 1, rep_echo);
	struct fake k;
	(void)state;
	fake_start(&k, NULL);
	together(g, &k, 50);
	int fd = dial(g);
	uint64_t start = clock_mono_ms();
	for (int i = 0; i < 25; i++)
		talk(fd, GET, 200, NULL);
	/* The first has waited; the others found it stuck, and did not ask. */
	assert_true(clock_mono_ms() - start >= 50);
	talk(fd, GET, 429, NULL); /* the machine's own count holds */
	assert_in_range(k.asked, 1, 5);
	rig_sync(g);
	assert_int_equal(count(g)->rate_alone, 25);
	close(fd);
	rig_free(g);
	fake_stop(&k);
}

static void who_leaves_while_he_waits_leaves_nothing(void **state)
{
	struct snap_in_limit l = limit("ip-hour", RATE_PER_IP, 100, false);
	struct rig *g = limited(&l, 1, rep_echo);
	struct fake k;
	(void)state;
	fake_start(&k, NULL);
	together(g, &k, 3000);
	for (int i = 0; i < 5; i++) {
		int fd = dial(g);
		put(fd, POST);
		while (k.asked <= i)
			usleep(1000);
		rig_do(g, look_call);
		assert_int_equal(asks_used, 1);
		struct linger now = {.l_onoff = 1};
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
		close(fd);
		for (int tries = 0; asks_used && tries < 2000; tries++) {
			usleep(1000);
			rig_do(g, look_call);
		}
		assert_int_equal(asks_used, 0);
	}
	assert_int_equal(g->rep[0].requests, 0);
	assert_int_equal(rig_bufs_used(g), 0);
	/* And the edge may end while somebody waits. */
	int fd = dial(g);
	put(fd, GET);
	while (k.asked < 6)
		usleep(1000);
	rig_free(g);
	close(fd);
	fake_stop(&k);
}

static void drop_call(struct rig *g)
{
	edge_together_take(g->edge, HG_STR("{\"providers\":[]}"));
}

static void who_waits_goes_on_when_the_settings_change(void **state)
{
	struct snap_in_limit l = limit("ip-hour", RATE_PER_IP, 100, false);
	struct rig *g = limited(&l, 1, rep_echo);
	struct fake k;
	(void)state;
	fake_start(&k, NULL);
	together(g, &k, 5000);
	int fd = dial(g);
	put(fd, POST);
	while (k.asked < 1)
		usleep(1000);
	rig_do(g, take_call); /* the same: nothing happens */
	rig_do(g, look_call);
	assert_int_equal(asks_used, 1);
	rig_publish(g); /* another image */
	uint64_t start = clock_mono_ms();
	rig_do(g, drop_call);
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 200);
	assert_string_equal(r->body, "=hello");
	resp_free(r);
	assert_in_range(clock_mono_ms() - start, 0, 2000);
	talk(fd, GET, 200, NULL);
	assert_int_equal(k.asked, 1);
	close(fd);
	rig_free(g);
	fake_stop(&k);
}

/* The first connection of each is closed without an answer. */
static void rep_closes_once(struct replica *rep, int fd)
{
	if (rep->connections <= 1) return;
	rep_echo(rep, fd);
}

static void a_retry_is_not_counted_again(void **state)
{
	struct snap_in_limit l = limit("ip-hour", RATE_PER_IP, 100, false);
	struct rig *g = limited(&l, 1, rep_closes_once);
	struct fake k;
	(void)state;
	rig_replica(g, rep_closes_once);
	rig_publish(g);
	fake_start(&k, "*3\r\n:1\r\n:90\r\n:14400000000\r\n");
	together(g, &k, 2000);
	int fd = dial(g), before = 0;
	for (int i = 0; i < 6; i++) {
		put(fd, GET);
		resp_free(hear(fd));
		assert_int_equal(k.asked, ++before);
	}
	close(fd);
	rig_free(g);
	fake_stop(&k);
}

#ifndef RIG_H2
static void what_is_sent_behind_a_waiting_request_waits_its_turn(void **state)
{
	struct snap_in_limit l = limit("ip-hour", RATE_PER_IP, 100, false);
	struct rig *g = limited(&l, 1, rep_echo);
	struct fake k;
	(void)state;
	fake_start(&k, NULL);
	together(g, &k, 100);
	int fd = dial(g);
	put(fd, POST POST GET);
	for (int i = 0; i < 3; i++) {
		struct resp *r = hear(fd);
		assert_int_equal(r->status, 200);
		assert_string_equal(r->body, i < 2 ? "=hello" : "=");
		resp_free(r);
	}
	/* Who has stopped sending is answered all the same. */
	put(fd, GET);
	shutdown(fd, SHUT_WR);
	struct resp *r = hear(fd);
	assert_true(r && r->status == 200);
	resp_free(r);
	close(fd);
	rig_free(g);
	fake_stop(&k);
}
#endif

static void rules_are_never_more_generous_in_ticks(void **state)
{
	static const struct {
		uint64_t count, period_s, burst;
	} c[] = {{1000, 60, 1000}, {50000, 3600, 50000}, {2000, 300, 2000}, {1000000, 1, 1000000},
	        {7, 86400, 3}, {1, 2592000, 1}, {700001, 1, 5}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(c); i++) {
		struct gcra_rule rule;
		assert_true(
		        gcra_rule_make(c[i].count, c[i].period_s * 1000000000u, c[i].burst, &rule));
		struct together_rule t = together_rule_of(rule);
		assert_true(t.interval * TOGETHER_TICK_NS >= rule.interval_ns);
		assert_true(t.interval * TOGETHER_TICK_NS < rule.interval_ns + TOGETHER_TICK_NS);
		assert_int_equal(t.tolerance / t.interval + 1, c[i].burst);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(rules_are_never_more_generous_in_ticks),
	        cmocka_unit_test(what_redis_says_counts_and_is_told),
	        cmocka_unit_test(all_limits_of_a_route_are_one_question_without_local_ones),
	        cmocka_unit_test(a_refusal_gives_the_other_limits_back),
	        cmocka_unit_test(no_request_fails_for_a_redis_that_is_mad),
	        cmocka_unit_test(a_silent_redis_costs_its_time_out_and_no_more),
	        cmocka_unit_test(who_leaves_while_he_waits_leaves_nothing),
	        cmocka_unit_test(who_waits_goes_on_when_the_settings_change),
	        cmocka_unit_test(a_retry_is_not_counted_again),
#ifndef RIG_H2
	        cmocka_unit_test(what_is_sent_behind_a_waiting_request_waits_its_turn),
#endif
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
