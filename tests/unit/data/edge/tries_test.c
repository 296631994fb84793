/* How long attempts may take, and whose word on it counts: data/edge/deadline.c. */
#include "trial_rig.h"

#include "wire/ip.h"

#define PUT    "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
#define TOLD   "X-Left-Ms"
#define WITHIN "GET / HTTP/1.1\r\nHost: a\r\nX-Left-Ms: 300\r\n\r\n"

static uint64_t clock_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t took(int fd, const char *text, int status, const char *body)
{
	uint64_t from = clock_ms();
	talk(fd, text, status, body);
	return clock_ms() - from;
}

static struct meter_lane *lane(struct rig *g)
{
	rig_sync(g);
	return &g->meter->worker[1].lane[1];
}

/* So many replicas that hang and so many that answer after `ms`; NULL: at once. */
static struct rig *rig_of(int hang, int answer, unsigned *ms)
{
	struct rig *g = rig_bare(0, 0);
	for (int i = 0; i < hang; i++)
		rig_replica(g, rep_hang);
	for (int i = 0; i < answer; i++)
		rig_replica(g, ms ? rep_slow : rep_echo)->arg = ms;
	g->app.tries = (struct snap_tries){.any = 1};
	return g;
}

/* Until the first replica has been asked. */
static uint64_t took_first(struct rig *g, int fd, const char *text, int status)
{
	for (int had = g->rep[0].requests, i = 0; i < 200; i++) {
		uint64_t ms = took(fd, text, status, NULL);
		if (g->rep[0].requests > had) return ms;
	}
	fail_msg("it was never asked");
	return 0;
}

/* ---- each attempt ---- */

static void an_attempt_is_given_up_after_its_time_and_made_elsewhere(void **state)
{
	struct rig *g = rig_of(1, 1, NULL);
	(void)state;
	g->app.response_ms = 3000;
	g->app.tries.per_try_ms = 200;
	rig_publish(g);
	int fd = dial(g);
	assert_in_range(took_first(g, fd, GET, 200), 200, 700);
	assert_in_range(took_first(g, fd, PUT, 200), 200, 700);
	assert_int_equal(lane(g)->retries, 2);
	/* It was the replica's failure. */
	assert_int_equal(g->meter->worker[1].replica[0].failures, 2);
	close(fd);
	rig_free(g);
}

static void each_of_several_attempts_has_that_time(void **state)
{
	struct rig *g = rig_of(3, 0, NULL);
	(void)state;
	g->app.response_ms = 1000;
	g->app.tries.per_try_ms = 200;
	rig_publish(g);
	int fd = dial(g);
	/* 200 + 200 + what is left: the last one is not given up for nobody else. */
	assert_in_range(took(fd, GET, 504, NULL), 980, 1500);
	assert_int_equal(lane(g)->retries, 2);
	for (int i = 0; i < 3; i++)
		assert_int_equal(g->rep[i].requests, 1);
	close(fd);
	rig_free(g);
}

static void who_cannot_be_asked_again_waits_on(void **state)
{
	static unsigned ms = 500;
	struct rig *g = rig_of(0, 2, &ms);
	(void)state;
	g->app.response_ms = 3000;
	g->app.tries.per_try_ms = 100;
	rig_publish(g);
	int fd = dial(g);
	assert_in_range(took(fd, POST, 200, "slow"), 490, 1500);
	assert_int_equal(lane(g)->retries, 0);
	/* Both are slower than an attempt may be: the last one has what is left. */
	assert_in_range(took(fd, GET, 200, "slow"), 590, 1500);
	assert_int_equal(lane(g)->retries, 1);
	rig_endpoint(g, 1, SNAP_EP_FREE);
	assert_in_range(took(fd, GET, 200, "slow"), 490, 1500);
	assert_int_equal(lane(g)->retries, 1);
	close(fd);
	rig_free(g);
}

static void spend_all(struct rig *g)
{
	g->edge->apps[0].tokens_ppm = 0;
}

static void without_budget_nothing_is_given_up(void **state)
{
	static unsigned ms = 500;
	struct rig *g = rig_of(0, 2, &ms);
	(void)state;
	g->app.response_ms = 3000;
	g->app.retry_budget_ppm = 0;
	g->app.tries.per_try_ms = 100;
	rig_publish(g);
	int fd = dial(g);
	put(fd, GET);
	while (g->rep[0].requests + g->rep[1].requests == 0)
		usleep(1000);
	rig_do(g, spend_all);
	struct resp *r = hear(fd);
	assert_int_equal(r->status, 200);
	resp_free(r);
	assert_int_equal(lane(g)->retries, 0);
	assert_int_equal(lane(g)->failures, 0);
	close(fd);
	rig_free(g);
}

/* One old replica has nobody beside it and waits its whole time; so must a new one, or the time
 * alone would make it the worse release. */
static void beside_a_trial_both_releases_have_the_same_time(void **state)
{
	static unsigned ms = 400;
	struct snap_trial t = trial_of(500000);
	struct rig *g = rig_bare(0, 0);
	(void)state;
	rig_replica_of(g, rep_slow, 1)->arg = &ms;
	rig_replica_of(g, rep_slow, 2)->arg = &ms;
	trial_set(g, &t);
	g->app.response_ms = 3000;
	g->app.tries = (struct snap_tries){.any = 1, .per_try_ms = 100};
	rig_publish(g);
	int fd = dial(g);
	for (int i = 0; i < 12; i++)
		talk(fd, GET, 200, "slow");
	struct meter_trial_sum s = trial_sum(g);
	assert_true(s.n_new > 0 && s.n_old > 0);
	assert_int_equal(count_new(&s, JUDGE_ERRORS) + count_old(&s, JUDGE_ERRORS), 0);
	/* With another old one both are given up. */
	rig_replica_of(g, rep_slow, 1)->arg = &ms;
	for (int i = 0; i < 12; i++)
		talk(fd, GET, 200, "slow");
	struct meter_trial_sum then = trial_sum(g);
	assert_int_equal(count_new(&then, JUDGE_ERRORS), then.n_new - s.n_new);
	assert_int_equal(count_old(&then, JUDGE_ERRORS), then.n_old - s.n_old);
	assert_true(then.n_new > s.n_new && then.n_old > s.n_old);
	close(fd);
	rig_free(g);
}

/* ---- deadlines ---- */

static struct rig *deadline_rig(int hang, int answer, unsigned *ms, enum snap_deadline from)
{
	struct rig *g = rig_of(hang, answer, ms);
	g->app.response_ms = 2000;
	g->app.tries.deadline = from;
	memcpy(g->app.tries.deadline_field, TOLD, sizeof TOLD);
	rig_publish(g);
	return g;
}

static long told(struct rig *g, int replica, const char *name)
{
	char v[64], *end;
	rig_sync(g);
	pthread_mutex_lock(&g->rep[replica].lock);
	bool there = field(g->rep[replica].last, name, v, sizeof v) != NULL;
	pthread_mutex_unlock(&g->rep[replica].lock);
	if (!there) return -1;
	long n = strtol(v, &end, 10);
	if (strcmp(name, "grpc-timeout") == 0 && *end++ != 'm') return -2;
	while (*end == ' ')
		end++;
	return *end ? -3 : n;
}

static void replicas_are_told_what_is_left(void **state)
{
	struct rig *g = deadline_rig(1, 1, NULL, SNAP_DEADLINE_TRUSTED);
	(void)state;
	int fd = dial(g);
	took_first(g, fd, GET, 200);
	assert_in_range(told(g, 0, TOLD), 1900, 2000);
	/* The second attempt began after half of it. */
	assert_in_range(told(g, 1, TOLD), 500, 1000);
	/* An upload takes its own time. */
	talk(fd, PUT, 200, NULL);
	assert_in_range(told(g, 1, TOLD), 900, 2000);
	/* Who is not believed does not pass on what he says either. */
	rig_endpoint(g, 0, SNAP_EP_FREE);
	talk(fd, WITHIN, 200, "=");
	assert_in_range(told(g, 1, TOLD), 1900, 2000);
	close(fd);
	rig_free(g);
}

static void grpc_is_told_as_it_knows_it(void **state)
{
	struct rig *g = deadline_rig(0, 1, NULL, SNAP_DEADLINE_ANY);
	(void)state;
	int fd = dial(g);
	talk(fd,
	        "POST /s/m HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc+proto\r\n"
	        "grpc-timeout: 900m\r\nContent-Length: 0\r\n\r\n",
	        200, "=");
	assert_in_range(told(g, 0, "grpc-timeout"), 800, 900);
	assert_int_equal(told(g, 0, TOLD), -1);
	static const struct {
		const char *said;
		long low, high;
	} cases[] = {{"1S", 900, 1000}, {"1500000u", 1400, 1500}, {"700000000n", -1, -1},
	        {"70000000n", 1, 70}, {"1M", 1900, 2000}, {"1H", 1900, 2000}, {"5", 1900, 2000},
	        {"m", 1900, 2000}, {"-5m", 1900, 2000}, {"5 m", 1900, 2000}};
	for (size_t i = 0; i < HG_COUNT(cases); i++) {
		char text[256];
		snprintf(text, sizeof text,
		        "POST /s/m HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n"
		        "grpc-timeout: %s\r\nContent-Length: 0\r\n\r\n",
		        cases[i].said);
		talk(fd, text, 200, "=");
		/* Nine digits are none: the app's time holds. */
		long low = cases[i].low < 0 ? 1900 : cases[i].low;
		long high = cases[i].high < 0 ? 2000 : cases[i].high;
		assert_in_range(told(g, 0, "grpc-timeout"), low, high);
	}
	/* Not gRPC: a field like any other. */
	talk(fd, "GET / HTTP/1.1\r\nHost: a\r\ngrpc-timeout: 5m\r\n\r\n", 200, "=");
	assert_int_equal(told(g, 0, "grpc-timeout"), 5);
	assert_in_range(told(g, 0, TOLD), 1900, 2000);
	close(fd);
	rig_free(g);
}

static void a_believed_client_shortens_the_time_and_no_replica_is_blamed(void **state)
{
	struct rig *g = deadline_rig(2, 0, NULL, SNAP_DEADLINE_ANY);
	(void)state;
	g->app.eject_errors = 1;
	g->app.eject_ms = 60000;
	g->app.balance = (struct snap_balance){.guard = 1,
	        .breaker_ppm = 500000,
	        .breaker_over_ms = 10000,
	        .breaker_open_ms = 60000,
	        .breaker_min = 1,
	        .breaker_probes = 1};
	g->app.retries = 0;
	rig_publish(g);
	int fd = dial(g);
	for (int i = 0; i < 3; i++)
		assert_in_range(took(fd, WITHIN, 504, NULL), 300, 700);
	rig_sync(g);
	assert_int_equal(g->meter->worker[1].ejected, 0);
	struct meter_app *m = meter_app_take(&g->meter->worker[1], 7);
	assert_int_equal(m->late, 3);
	assert_int_equal(m->breaker_opened, 0);
	/* They are attempts without an answer all the same. */
	assert_int_equal(lane(g)->failures, 3);
	close(fd);
	rig_free(g);
}

static void it_never_lengthens_it_and_nonsense_says_nothing(void **state)
{
	static const char *const said[] = {
	        "100000000", "0", "-1", "5.5", "", "12x", "1234567890123"};
	struct rig *g = deadline_rig(0, 1, NULL, SNAP_DEADLINE_ANY);
	(void)state;
	int fd = dial(g);
	for (size_t i = 0; i < HG_COUNT(said); i++) {
		char text[128];
		snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nX-Left-Ms: %s\r\n\r\n",
		        said[i]);
		talk(fd, text, 200, "=");
		assert_in_range(told(g, 0, TOLD), 1900, 2000);
	}
	/* Nor does it reach a replica by a name that some take for it. */
	talk(fd, "GET / HTTP/1.1\r\nHost: a\r\nX_Left-Ms: 700\r\n\r\n", 200, "=");
	assert_in_range(told(g, 0, TOLD), 1900, 2000);
	assert_null(strstr(g->rep[0].last, "X_Left"));
	assert_null(strstr(g->rep[0].last, "x_left"));
	/* The shortest of several. */
	talk(fd, "GET / HTTP/1.1\r\nHost: a\r\nX-Left-Ms: 900\r\nx-left-ms: 700\r\n\r\n", 200, "=");
	assert_in_range(told(g, 0, TOLD), 600, 700);
	close(fd);
	rig_free(g);
}

static void only_trusted_proxies_are_believed_by_default(void **state)
{
	struct rig *g = deadline_rig(0, 1, NULL, SNAP_DEADLINE_TRUSTED);
	struct ip_prefix here = {.bits = 128, .value = 1};
	struct ip_step steps[8];
	uint8_t addr[16];
	(void)state;
	int fd = dial(g);
	talk(fd, WITHIN, 200, "=");
	assert_in_range(told(g, 0, TOLD), 1900, 2000);
	assert_true(ip_parse_net(HG_STR("127.0.0.1"), addr, &here.bits));
	here.addr = ip_addr_of(addr);
	g->trusted = (struct snap_in_set){
	        .steps = steps, .count = (uint32_t)ipset_compile(&here, 1, steps)};
	rig_publish(g);
	talk(fd, WITHIN, 200, "=");
	assert_in_range(told(g, 0, TOLD), 1, 300);
	g->app.tries.deadline = SNAP_DEADLINE_OWN;
	rig_publish(g);
	talk(fd, WITHIN, 200, "=");
	assert_in_range(told(g, 0, TOLD), 1900, 2000);
	close(fd);
	rig_free(g);
}

/* All attempts together, and the queue: none begins when the time is over. */
static void retries_and_queues_take_from_the_same_time(void **state)
{
	struct rig *g = deadline_rig(4, 0, NULL, SNAP_DEADLINE_ANY);
	(void)state;
	g->app.response_ms = 1100;
	g->app.retries = 3;
	g->app.tries.per_try_ms = 400;
	rig_publish(g);
	int fd = dial(g);
	/* 400 + 400 + 300; on a machine that is busy nothing may be left for the third, but not
	 * every time. */
	uint64_t tried = 0;
	for (int i = 0; i < 5 && tried != 3; i++) {
		uint64_t before = lane(g)->attempts;
		assert_in_range(took(fd, GET, 504, NULL), 1080, 1600);
		tried = lane(g)->attempts - before;
		assert_in_range(tried, 2, 3);
	}
	assert_int_equal(tried, 3);
	for (int i = 0; i < 3; i++)
		rig_endpoint(g, i, SNAP_EP_FREE);
	g->app.balance = (struct snap_balance){.replica_max = 1, .queue_max = 10, .queue_ms = 5000};
	g->app.response_ms = 5000;
	rig_publish(g);
	int first = dial(g);
	put(first, GET);
	while (g->rep[3].requests == 0)
		usleep(1000);
	int had = g->rep[3].requests;
	assert_in_range(took(fd, WITHIN, 504, NULL), 300, 700);
	assert_int_equal(g->rep[3].requests, had);
	close(first);
	close(fd);
	rig_free(g);
}

/* Chance gives both releases the same clients: the one that hangs must not hide behind them. */
static void beside_a_trial_it_is_evidence_all_the_same(void **state)
{
	struct snap_trial t = trial_of(500000);
	struct rig *g = rig_bare(0, 0);
	(void)state;
	t.flags = SNAP_TRIAL_JUDGE;
	rig_replica_of(g, rep_echo, 1);
	rig_replica_of(g, rep_hang, 2);
	trial_set(g, &t);
	g->app.response_ms = 2000;
	g->app.retries = 0;
	g->app.tries = (struct snap_tries){.any = 1, .deadline = SNAP_DEADLINE_ANY};
	memcpy(g->app.tries.deadline_field, TOLD, sizeof TOLD);
	rig_publish(g);
	int fd = dial(g), late = 0;
	for (int i = 0; i < 40 && !trial_tripped(g); i++) {
		put(fd, "GET / HTTP/1.1\r\nHost: a\r\nX-Left-Ms: 50\r\n\r\n");
		struct resp *r = hear(fd);
		late += r->status == 504;
		resp_free(r);
	}
	assert_true(late >= 3);
	assert_true(trial_tripped(g));
	close(fd);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_attempt_is_given_up_after_its_time_and_made_elsewhere),
	        cmocka_unit_test(each_of_several_attempts_has_that_time),
	        cmocka_unit_test(who_cannot_be_asked_again_waits_on),
	        cmocka_unit_test(without_budget_nothing_is_given_up),
	        cmocka_unit_test(beside_a_trial_both_releases_have_the_same_time),
	        cmocka_unit_test(replicas_are_told_what_is_left),
	        cmocka_unit_test(grpc_is_told_as_it_knows_it),
	        cmocka_unit_test(a_believed_client_shortens_the_time_and_no_replica_is_blamed),
	        cmocka_unit_test(it_never_lengthens_it_and_nonsense_says_nothing),
	        cmocka_unit_test(only_trusted_proxies_are_believed_by_default),
	        cmocka_unit_test(retries_and_queues_take_from_the_same_time),
	        cmocka_unit_test(beside_a_trial_it_is_evidence_all_the_same),
	};
	return cmocka_run_group_tests_name("tries", tests, NULL, NULL);
}
