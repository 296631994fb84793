/* A second attempt beside a slow first one: data/edge/hedge.c. */
#include "trial_rig.h"

#define HEAD_ "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"

static uint64_t clock_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct meter_app *counted(struct rig *g)
{
	rig_sync(g);
	return meter_app_take(&g->meter->worker[1], 7);
}

/* Hangs while *arg; then answers at once. Counts connections that were closed while it hung. */
struct stall {
	_Atomic bool on;
	_Atomic int cut;
	const char *says;
};

static void rep_stall(struct replica *rep, int fd)
{
	struct stall *s = rep->arg;
	while (rep_head(rep, fd)) {
		char c;
		if (s->on) {
			/* Until the edge gives it up. */
			if (recv(fd, &c, 1, MSG_PEEK) <= 0) s->cut++;
			return;
		}
		put(fd, s->says ? s->says : "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstall");
	}
}

static void rep_interim(struct replica *rep, int fd)
{
	while (rep_head(rep, fd)) {
		put(fd, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
		usleep(300000);
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
	}
}

static struct rig *hedge_rig(uint32_t after_ms)
{
	struct rig *g = rig_bare(0, 0);
	g->app.tries = (struct snap_tries){.any = 1, .hedge_ms = after_ms};
	g->app.response_ms = 4000;
	return g;
}

/* Until the first replica has been asked before another. */
static uint64_t first_asked(struct rig *g, int fd, const char *text, int status, const char *body)
{
	for (int i = 0; i < 300; i++) {
		int had = g->rep[0].requests;
		uint64_t from = clock_ms();
		talk(fd, text, status, body);
		if (g->rep[0].requests > had) return clock_ms() - from;
	}
	fail_msg("the first replica was never asked");
	return 0;
}

static void a_stalled_replica_costs_no_more_than_the_delay(void **state)
{
	struct stall s = {.on = true};
	struct rig *g = hedge_rig(150);
	(void)state;
	g->app.eject_errors = 1;
	g->app.eject_ms = 60000;
	rig_replica(g, rep_stall)->arg = &s;
	rig_replica(g, rep_echo);
	rig_publish(g);
	int fd = dial(g);
	for (unsigned i = 1; i <= 5; i++) {
		assert_in_range(first_asked(g, fd, GET, 200, "="), 150, 1500);
		assert_true(counted(g)->hedges_won >= i);
	}
	/* The losers were let go (where the machine was slow, also a second attempt that lost),
	 * were no failures, and are remembered at their age. */
	int hedged = (int)counted(g)->hedged;
	uint64_t won = counted(g)->hedges_won;
	for (int i = 0; i < 300 && s.cut < hedged; i++)
		usleep(10000);
	assert_int_equal(s.cut, hedged);
	struct meter_replica_sum sum;
	meter_replica_sum(g->meter, 0, &sum);
	assert_int_equal(sum.failures, 0);
	assert_int_equal(sum.overtaken, won);
	assert_int_equal(sum.count, won);
	assert_true(sum.duration_ns >= won * 150000000u);
	assert_int_equal(g->meter->worker[1].ejected, 0);
	assert_int_equal(g->meter->worker[1].lane[1].failures, 0);
	close(fd);
	rig_free(g);
}

static void the_first_one_may_still_win(void **state)
{
	static unsigned slow_ms = 150, slower_ms = 1500;
	struct rig *g = hedge_rig(50);
	(void)state;
	rig_replica(g, rep_slow)->arg = &slow_ms;
	rig_publish(g);
	int fd = dial(g);
	talk(fd, GET, 200, "slow"); /* nobody else: no second attempt */
	assert_int_equal(counted(g)->hedged, 0);
	rig_replica(g, rep_slow)->arg = &slower_ms;
	for (int i = 0; i < 50 && counted(g)->hedged == 0; i++) {
		int had = g->rep[1].requests;
		uint64_t from = clock_ms();
		talk(fd, GET, 200, "slow");
		/* Whoever was first: the quicker one answered. */
		assert_true(clock_ms() - from < 900);
		if (g->rep[1].requests > had) break;
	}
	assert_true(counted(g)->hedged >= 1);
	close(fd);
	rig_free(g);
}

static void only_what_does_no_harm_is_asked_twice(void **state)
{
	static const char *const no[] = {POST, KEYED,
	        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
	        "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n"};
	static const char *const yes[] = {GET, "OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n",
	        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"};
	static unsigned ms = 120;
	struct rig *g = hedge_rig(20);
	(void)state;
	rig_replica(g, rep_slow)->arg = &ms;
	rig_replica(g, rep_slow)->arg = &ms;
	rig_publish(g);
	int fd = dial(g);
	/* The replicas do not read bodies: one connection for each. */
	for (size_t i = 0; i < HG_COUNT(no); i++) {
		put(fd, no[i]);
		resp_free(hear(fd));
		close(fd);
		fd = dial(g);
	}
	assert_int_equal(counted(g)->hedged, 0);
	for (size_t i = 0; i < HG_COUNT(yes); i++) {
		put(fd, yes[i]);
		resp_free(hear(fd));
		assert_int_equal(counted(g)->hedged, i + 1);
		close(fd);
		fd = dial(g);
	}
	put(fd, HEAD_);
	resp_free(hear_(fd, true));
	assert_int_equal(counted(g)->hedged, HG_COUNT(yes) + 1);
	close(fd);
	/* A client that is to keep its replica is not sent to another one for being slow. */
	g->affinity = SNAP_AFFINITY_COOKIE;
	rig_publish(g);
	fd = dial(g);
	put(fd, GET);
	resp_free(hear(fd));
	assert_int_equal(counted(g)->hedged, HG_COUNT(yes) + 1);
	close(fd);
	rig_free(g);
}

static void a_second_attempt_that_fails_leaves_the_first_alone(void **state)
{
	static unsigned ms = 250;
	static const rig_script how[] = {rep_500, rep_reset, rep_garbage, rep_interim};
	for (size_t i = 0; i < HG_COUNT(how); i++) {
		struct rig *g = hedge_rig(50);
		(void)state;
		rig_replica(g, rep_slow)->arg = &ms;
		rig_publish(g);
		int fd = dial(g);
		put(fd, GET);
		while (g->rep[0].requests == 0)
			usleep(500);
		/* Only now there is somebody else. */
		rig_replica(g, how[i]);
		struct resp *r = hear(fd);
		assert_int_equal(r->status, 200);
		assert_string_equal(r->body, "slow");
		resp_free(r);
		assert_int_equal(counted(g)->hedged, 1);
		assert_int_equal(counted(g)->hedges_won, 0);
		assert_int_equal(g->rep[1].requests, 1);
		/* What it did wrong is known of it. */
		struct meter_replica_sum sum;
		meter_replica_sum(g->meter, 1, &sum);
		assert_int_equal(sum.failures, how[i] == rep_reset || how[i] == rep_garbage);
		close(fd);
		rig_free(g);
	}
}

/* Hangs, and closes its connection when told to. */
static void rep_closes(struct replica *rep, int fd)
{
	unsigned *ms = rep->arg;
	if (!rep_head(rep, fd)) return;
	usleep(*ms * 1000);
}

static void the_second_takes_over_when_the_first_fails(void **state)
{
	static unsigned closes_ms = 150, slow_ms = 300;
	struct rig *g = hedge_rig(50);
	(void)state;
	rig_replica(g, rep_closes)->arg = &closes_ms;
	rig_publish(g);
	int fd = dial(g);
	put(fd, GET);
	while (g->rep[0].requests == 0)
		usleep(500);
	rig_replica(g, rep_slow)->arg = &slow_ms;
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 200);
	assert_string_equal(r->body, "slow");
	resp_free(r);
	assert_int_equal(counted(g)->hedged, 1);
	/* Not asked a third time. */
	assert_int_equal(g->rep[0].requests + g->rep[1].requests, 2);
	assert_int_equal(g->meter->worker[1].replica[0].failures, 1);
	assert_int_equal(g->meter->worker[1].lane[1].retries, 0);
	close(fd);
	rig_free(g);
}

static void a_client_that_leaves_takes_both_with_it(void **state)
{
	struct stall s = {.on = true};
	struct linger hard = {1, 0};
	struct rig *g = hedge_rig(30);
	(void)state;
	rig_replica(g, rep_stall)->arg = &s;
	rig_replica(g, rep_stall)->arg = &s;
	rig_publish(g);
	int fd = dial(g);
	put(fd, GET);
	while (g->rep[0].requests + g->rep[1].requests < 2)
		usleep(1000);
	/* A reset: one that only stops sending may still want its answer. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
	for (int i = 0; i < 300 && s.cut < 2; i++)
		usleep(10000);
	assert_int_equal(s.cut, 2);
	rig_sync(g);
	for (int i = 0; i < 2; i++)
		assert_int_equal(g->meter->worker[1].in_flight[i], 0);
	rig_free(g);
}

static void spend_all(struct rig *g)
{
	g->edge->apps[0].tokens_ppm = 0;
}

static void the_budget_bounds_what_it_costs(void **state)
{
	static unsigned ms = 60;
	struct rig *g = hedge_rig(10);
	(void)state;
	g->app.retry_budget_ppm = 100000;
	rig_replica(g, rep_slow)->arg = &ms;
	rig_replica(g, rep_slow)->arg = &ms;
	rig_publish(g);
	int fd[20];
	for (int i = 0; i < 20; i++)
		fd[i] = dial(g);
	talk(fd[0], GET, 200, NULL);
	rig_do(g, spend_all);
	uint64_t from = clock_ms(), before = counted(g)->hedged;
	for (int turn = 0; turn < 10; turn++) {
		for (int i = 0; i < 20; i++)
			put(fd[i], GET);
		for (int i = 0; i < 20; i++)
			resp_free(hear(fd[i]));
	}
	/* A tenth of 200, and ten a second. */
	uint64_t most = 20 + 10 * (clock_ms() - from) / 1000 + 2;
	uint64_t made = counted(g)->hedged - before;
	assert_true(made >= 10 && made <= most);
	for (int i = 0; i < 20; i++)
		close(fd[i]);
	rig_free(g);
}

static void a_quantile_is_learned(void **state)
{
	struct stall s = {0};
	struct rig *g = hedge_rig(0);
	(void)state;
	g->app.tries.hedge_ppm = 950000;
	rig_replica(g, rep_stall)->arg = &s;
	rig_replica(g, rep_echo);
	rig_publish(g);
	int fd = dial(g);
	for (int i = 0; i < 99; i++)
		talk(fd, GET, 200, NULL);
	assert_int_equal(counted(g)->hedged, 0);
	for (int i = 0; i < 100; i++)
		talk(fd, GET, 200, NULL);
	uint64_t before = counted(g)->hedged;
	s.on = true;
	/* Answers take well below a millisecond here, whatever the machine does meanwhile. */
	assert_true(first_asked(g, fd, GET, 200, "=") < 1000);
	assert_true(counted(g)->hedged > before);
	close(fd);
	rig_free(g);
}

/* Within one release it would help the one that has more replicas, to the other it would hide what
 * the judge looks for. */
static void beside_a_trial_there_are_none(void **state)
{
	static unsigned ms = 80;
	struct snap_trial t = trial_of(500000);
	struct rig *g = hedge_rig(10);
	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		rig_replica_of(g, rep_slow, 1)->arg = &ms;
		rig_replica_of(g, rep_slow, 2)->arg = &ms;
	}
	trial_set(g, &t);
	rig_publish(g);
	int fd = dial(g);
	for (int i = 0; i < 10; i++)
		talk(fd, GET, 200, "slow");
	assert_int_equal(counted(g)->hedged, 0);
	/* Nor for a request that was under way when it began. */
	snap_trial_set(g->table, SLOT, &(struct snap_trial){0});
	rig_sync(g);
	close(fd);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_stalled_replica_costs_no_more_than_the_delay),
	        cmocka_unit_test(the_first_one_may_still_win),
	        cmocka_unit_test(only_what_does_no_harm_is_asked_twice),
	        cmocka_unit_test(a_second_attempt_that_fails_leaves_the_first_alone),
	        cmocka_unit_test(the_second_takes_over_when_the_first_fails),
	        cmocka_unit_test(a_client_that_leaves_takes_both_with_it),
	        cmocka_unit_test(the_budget_bounds_what_it_costs),
	        cmocka_unit_test(a_quantile_is_learned),
	        cmocka_unit_test(beside_a_trial_there_are_none),
	};
	return cmocka_run_group_tests_name("hedge", tests, NULL, NULL);
}
