/* The circuit breaker at the edge, alone and beside a release under trial. */
#include "trial_rig.h"

#include "math/breaker.h"

static struct snap_balance breaker_of(uint32_t min, uint32_t open_ms)
{
	return (struct snap_balance){.guard = 1,
	        .breaker_ppm = 500000,
	        .breaker_over_ms = 60000,
	        .breaker_open_ms = open_ms,
	        .breaker_min = min,
	        .breaker_probes = 2};
}

static const struct meter_app *counted(struct rig *g)
{
	rig_sync(g);
	const struct meter_app *m = meter_app_find(&g->meter->worker[g->worker], 7);
	assert_non_null(m);
	return m;
}

static int status_of(int fd, const char *text, char *retry, size_t cap)
{
	put(fd, text);
	struct resp *r = hear(fd);
	assert_non_null(r);
	int status = r->status;
	if (retry && !field(r->head, "Retry-After", retry, cap)) retry[0] = 0;
	resp_free(r);
	return status;
}

static void a_failing_app_is_left_alone_and_asked_again_when_it_is_time(void **state)
{
	struct rig *g = rig_new(rep_500, 2);
	char retry[16];
	(void)state;
	g->app.balance = breaker_of(4, 1500);
	rig_publish(g);
	int fd = dial(g);
	for (int i = 0; i < 4; i++)
		assert_int_equal(status_of(fd, GET, retry, sizeof retry), 500);
	assert_int_equal(counted(g)->breaker, BREAKER_OPEN);
	int asked = g->rep[0].requests + g->rep[1].requests;
	for (int i = 0; i < 20; i++)
		assert_int_equal(status_of(fd, GET, retry, sizeof retry), 503);
	assert_string_equal(retry, "2");
	assert_int_equal(g->rep[0].requests + g->rep[1].requests, asked);
	assert_int_equal(counted(g)->breaker_refused, 20);
	assert_int_equal(counted(g)->breaker_opened, 1);
	/* One probe fails: open for as long again. */
	usleep(1550000);
	assert_int_equal(status_of(fd, GET, NULL, 0), 500);
	assert_int_equal(status_of(fd, GET, NULL, 0), 503);
	assert_int_equal(counted(g)->breaker_opened, 2);
	/* Two that succeed close it. */
	g->rep[0].script = g->rep[1].script = rep_echo;
	for (int i = 0; i < 2; i++) /* kept connections run the old script: they end here */
		rep_hang_up(&g->rep[i]);
	usleep(1550000);
	for (int i = 0; i < 20; i++)
		talk(fd, GET, 200, "=");
	assert_int_equal(counted(g)->breaker, BREAKER_CLOSED);
	close(fd);
	rig_free(g);
}

/* What "each worker has its own" costs: so many failures once for each, and no more after that. */
static void each_worker_opens_by_what_its_own_clients_saw(void **state)
{
	struct rig *g = rig_new(rep_500, 1), *h = rig_worker(0, 0, g, 0);
	(void)state;
	g->app.balance = h->app.balance = breaker_of(4, 60000);
	rig_publish(g);
	rig_publish(h);
	int a = dial(g), b = dial(h);
	for (int i = 0; i < 10; i++)
		assert_int_equal(status_of(a, GET, NULL, 0), i < 4 ? 500 : 503);
	assert_int_equal(g->rep[0].requests, 4);
	/* The other one is not taken along by it, in case it is this one's own trouble. */
	for (int i = 0; i < 10; i++)
		assert_int_equal(status_of(b, GET, NULL, 0), i < 4 ? 500 : 503);
	assert_int_equal(g->rep[0].requests, 8);
	assert_int_equal(counted(g)->breaker_opened + counted(h)->breaker_opened, 2);
	close(a);
	close(b);
	rig_free(h);
	rig_free(g);
}

static void what_retries_make_good_opens_nothing(void **state)
{
	struct rig *g = rig_new(rep_echo, 1);
	(void)state;
	rig_replica(g, rep_reset);
	g->app.balance = breaker_of(4, 60000);
	rig_publish(g);
	int fd = dial(g);
	for (int i = 0; i < 60; i++)
		talk(fd, GET, 200, "=");
	assert_true(g->rep[1].requests > 10);
	assert_int_equal(counted(g)->breaker_opened, 0);
	close(fd);
	rig_free(g);
}

static void requests_that_no_replica_answers_open_it(void **state)
{
	struct rig *g = rig_new(rep_reset, 2);
	(void)state;
	g->app.balance = breaker_of(3, 60000);
	rig_publish(g);
	int fd = dial(g);
	for (int i = 0; i < 3; i++)
		assert_int_equal(status_of(fd, GET, NULL, 0), 502);
	assert_int_equal(status_of(fd, GET, NULL, 0), 503);
	close(fd);
	rig_free(g);
}

static void a_client_that_leaves_says_nothing(void **state)
{
	struct rig *g = rig_new(rep_hang, 1);
	(void)state;
	g->app.balance = breaker_of(1, 60000);
	rig_publish(g);
	for (int i = 0; i < 5; i++) {
		int fd = dial(g);
		struct linger hard = {1, 0};
		put(fd, GET);
		while (g->rep[0].requests <= i)
			usleep(500);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
		close(fd);
	}
	for (int i = 0; meter_in_flight(g->meter, 0) && i < 5000; i++)
		usleep(1000);
	assert_int_equal(meter_in_flight(g->meter, 0), 0);
	assert_int_equal(counted(g)->breaker_opened, 0);
	rig_free(g);
}

/* The same failures that would open it are all the new release's. */
static void a_bad_release_under_trial_is_the_judges_and_opens_nothing(void **state)
{
	struct snap_trial t = trial_of(500000);
	(void)state;
	t.flags = SNAP_TRIAL_JUDGE; /* no rescue: clients see the failures */
	struct rig *g = trial_rig(rep_echo, rep_500, &t);
	g->app.balance = breaker_of(4, 60000);
	rig_publish(g);
	int fd = dial(g);
	for (int i = 0; i < 200 && !trial_tripped(g); i++)
		(void)status_of(fd, GET, NULL, 0);
	assert_true(trial_tripped(g));
	assert_true(g->rep[1].requests >= 4);
	assert_int_equal(counted(g)->breaker_opened, 0);
	assert_int_equal(counted(g)->breaker_refused, 0);
	for (int i = 0; i < 20; i++)
		talk(fd, GET, 200, "=");
	close(fd);
	rig_free(g);
}

/* Both fail: nothing is drawn any more, for either, so nobody is blamed for it. */
static void an_outage_of_both_holds_back_both_alike(void **state)
{
	struct snap_trial t = trial_of(500000);
	(void)state;
	t.flags = SNAP_TRIAL_JUDGE;
	struct rig *g = trial_rig(rep_500, rep_500, &t);
	g->app.balance = breaker_of(6, 60000);
	rig_publish(g);
	int fd = dial(g), drawn = 0;
	while (status_of(fd, GET, NULL, 0) == 500)
		drawn++;
	struct meter_trial_sum was = trial_sum(g);
	assert_int_equal(was.n_old + was.n_new, drawn);
	/* It opened by the sixth failure of the old release, however many the new one had. */
	assert_int_equal(count_old(&was, JUDGE_ERRORS), 6);
	for (int i = 0; i < 100; i++)
		assert_int_equal(status_of(fd, GET, NULL, 0), 503);
	struct meter_trial_sum now = trial_sum(g);
	assert_int_equal(now.n_old + now.n_new, drawn);
	assert_false(trial_tripped(g));
	/* A preview is looked at all the same. */
	assert_int_equal(status_of(fd, "GET / HTTP/1.1\r\nHost: preview\r\n\r\n", NULL, 0), 500);
	close(fd);
	rig_free(g);
}

static void without_an_old_release_to_listen_to_everything_passes(void **state)
{
	struct snap_trial t = trial_of(1000000);
	(void)state;
	t.flags = 0;
	struct rig *g = trial_rig(rep_echo, rep_500, &t);
	g->app.balance = breaker_of(2, 60000);
	rig_publish(g);
	int fd = dial(g);
	for (int i = 0; i < 30; i++)
		assert_int_equal(status_of(fd, GET, NULL, 0), 500);
	close(fd);
	rig_free(g);
}

/* ---- adaptive ---- */

/* Answers after 20 ms, four at a time. */
static pthread_mutex_t one_of_four[4] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};

static void rep_knee(struct replica *rep, int fd)
{
	while (rep_head(rep, fd)) {
		pthread_mutex_t *m = &one_of_four[fd % 4];
		pthread_mutex_lock(m);
		usleep(20000);
		pthread_mutex_unlock(m);
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n=");
	}
}

struct crowd {
	struct rig *g;
	_Atomic bool stop;
	_Atomic int ok, shed;
};

static void *crowd_thread(void *arg)
{
	struct crowd *c = arg;
	int fd = dial(c->g);
	while (!c->stop) {
		int status = status_of(fd, GET, NULL, 0);
		(*(status == 200 ? &c->ok : &c->shed))++;
		if (status == 503) usleep(5000);
	}
	close(fd);
	return NULL;
}

static void more_than_the_app_can_do_is_turned_away_early(void **state)
{
	enum { CROWD = 60 };
	struct rig *g = rig_new(rep_knee, 1);
	struct crowd c = {.g = g};
	pthread_t thread[CROWD];
	(void)state;
	g->app.balance = (struct snap_balance){.guard = 1, .adaptive = 1};
	rig_publish(g);
	for (int i = 0; i < CROWD; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, crowd_thread, &c), 0);
	/* 60 want something, the app does four at a time: the limit finds down to that, sooner or
	 * later by how busy the machine is, and stays there. */
	usleep(2000000);
	uint64_t end_ms = clock_mono_ms() + 30000;
	uint32_t limit, busy;
	do {
		usleep(100000);
		limit = counted(g)->limit;
		busy = meter_in_flight(g->meter, 0);
	} while ((limit > 40 || busy > limit + 20 || c.shed <= 100) && clock_mono_ms() < end_ms);
	/* 200 a second are possible, on a machine with nothing else to do. */
	int ok = c.ok;
	while (c.ok - ok <= 30 && clock_mono_ms() < end_ms)
		usleep(10000);
	ok = c.ok - ok;
	c.stop = true;
	for (int i = 0; i < CROWD; i++)
		pthread_join(thread[i], NULL);
	assert_in_range(limit, 4, 40);
	assert_true(busy <= limit + 20);
	assert_true(c.shed > 100);
	assert_true(counted(g)->shed >= (uint64_t)c.shed);
	assert_true(ok > 30);
	assert_int_equal(edge_app_of(g->edge, 7)->awaited, 0);
	rig_free(g);
}

/* A worker that looked for "fast" while the other one keeps the app busy would take that for fast.
 */
static void workers_take_their_limits_down_together(void **state)
{
	enum { CROWD = 24 };
	struct rig *g = rig_new(rep_knee, 1), *h = rig_worker(0, 0, g, 0);
	struct crowd c = {.g = g}, d = {.g = h};
	pthread_t thread[2 * CROWD];
	int together = 0;
	(void)state;
	g->app.balance = h->app.balance = (struct snap_balance){.guard = 1, .adaptive = 1};
	rig_publish(g);
	rig_publish(h);
	for (int i = 0; i < CROWD; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, crowd_thread, &c), 0);
	/* Later than the first: two that begin in the same moment dip each for itself, and there is
	 * none to join. */
	usleep(CONCURRENCY_FIRST_MS * 1000 / 3);
	for (int i = CROWD; i < 2 * CROWD; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, crowd_thread, &d), 0);
	/* A worker that was stalled through the other's dip joins one of the next. */
	uint64_t end_ms = clock_mono_ms() + 4 * CONCURRENCY_HURRY_MS;
	while (!together && clock_mono_ms() < end_ms) {
		const struct meter_app *one = meter_app_find(&g->meter->worker[0], 7),
		                       *other = meter_app_find(&g->meter->worker[1], 7);
		uint64_t at = one ? one->dip_ms : 0;
		together += at && other && at == other->dip_ms;
		usleep(1000);
	}
	c.stop = d.stop = true;
	for (int i = 0; i < 2 * CROWD; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(together, 1);
	rig_free(h);
	rig_free(g);
}

/* A socket that stays open is no work. */
static void rep_stream(struct replica *rep, int fd)
{
	char c;
	if (!rep_head(rep, fd)) return;
	put(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
	(void)!recv(fd, &c, 1, 0);
}

static void streams_that_stay_open_are_no_load(void **state)
{
	enum { STREAMS = 60 };
	struct rig *g = rig_new(rep_stream, 1);
	int fd[STREAMS];
	char head[4096];
	(void)state;
	g->app.balance = (struct snap_balance){.guard = 1, .adaptive = 1};
	rig_publish(g);
	for (int i = 0; i < STREAMS; i++) {
		fd[i] = dial(g);
		put(fd[i], GET);
		assert_true(get_head(fd[i], head, sizeof head) > 0);
		assert_non_null(strstr(head, " 200 "));
	}
	rig_sync(g);
	assert_int_equal(edge_app_of(g->edge, 7)->awaited, 0);
	for (int i = 0; i < STREAMS; i++)
		close(fd[i]);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_failing_app_is_left_alone_and_asked_again_when_it_is_time),
	        cmocka_unit_test(each_worker_opens_by_what_its_own_clients_saw),
	        cmocka_unit_test(what_retries_make_good_opens_nothing),
	        cmocka_unit_test(requests_that_no_replica_answers_open_it),
	        cmocka_unit_test(a_client_that_leaves_says_nothing),
	        cmocka_unit_test(a_bad_release_under_trial_is_the_judges_and_opens_nothing),
	        cmocka_unit_test(an_outage_of_both_holds_back_both_alike),
	        cmocka_unit_test(without_an_old_release_to_listen_to_everything_passes),
	        cmocka_unit_test(more_than_the_app_can_do_is_turned_away_early),
	        cmocka_unit_test(workers_take_their_limits_down_together),
	        cmocka_unit_test(streams_that_stay_open_are_no_load),
	};
	return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
