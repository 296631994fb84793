/* Replicas that differ from the others are left out: data/edge/outlier.c. */
#include "trial_rig.h"

static void rep_now_and_then_500(struct replica *rep, int fd)
{
	while (rep_head(rep, fd))
		put(fd, rep->requests % 3 == 0
		                ? "HTTP/1.1 500 Bad\r\nContent-Length: 3\r\n\r\nbad"
		                : "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
}

static struct rig *outlier_rig(void)
{
	struct rig *g = rig_bare(0, 0);
	g->app.eject_errors = 5;
	g->app.eject_ms = 60000;
	g->app.tries = (struct snap_tries){
	        .any = 1, .outlier_ppm = 100000, .outlier_slower = 5000000, .outlier_min = 20};
	return g;
}

/* Requests until something is left out, for two looks at most. Few enough that what another worker
 * has seen is not a drop among them, however fast the machine is. */
static int ask(struct rig *g, int fd, int ms)
{
	int n = 0;
	uint64_t until = clock_mono_ns() + (uint64_t)ms * 1000000u;
	for (; clock_mono_ns() < until && g->meter->worker[1].ejected == 0; n++) {
		put(fd, GET);
		struct resp *r = hear(fd);
		assert_non_null(r);
		resp_free(r);
		usleep(2000);
	}
	rig_sync(g);
	return n;
}

static void one_that_fails_now_and_then_is_left_out(void **state)
{
	struct rig *g = outlier_rig();
	struct meter_worker *m = &g->meter->worker[1];
	(void)state;
	rig_replica(g, rep_echo);
	rig_replica(g, rep_now_and_then_500);
	rig_replica(g, rep_echo);
	rig_publish(g);
	int fd = dial(g);
	/* Never five in a row, never for consecutive errors. */
	ask(g, fd, 5000);
	assert_int_equal(m->ejected, 1);
	assert_int_equal(m->ejected_failing, 1);
	assert_int_equal(m->ejected_slow, 0);
	int had = g->rep[1].requests;
	for (int i = 0; i < 60; i++)
		talk(fd, GET, 200, "=");
	assert_int_equal(g->rep[1].requests, had);
	close(fd);
	rig_free(g);
}

static void one_that_is_much_slower_is_left_out(void **state)
{
	static unsigned ms = 50;
	struct rig *g = outlier_rig();
	(void)state;
	rig_replica(g, rep_echo);
	rig_replica(g, rep_echo);
	rig_replica(g, rep_slow)->arg = &ms;
	rig_publish(g);
	int fd = dial(g);
	ask(g, fd, 8000);
	assert_int_equal(g->meter->worker[1].ejected_slow, 1);
	int had = g->rep[2].requests;
	for (int i = 0; i < 60; i++)
		talk(fd, GET, 200, "=");
	assert_int_equal(g->rep[2].requests, had);
	close(fd);
	rig_free(g);
}

/* What another worker has seen counts here: all see the same. */
static void evidence_of_other_workers_counts(void **state)
{
	struct rig *g = outlier_rig();
	struct meter_worker *other = &g->meter->worker[0];
	(void)state;
	for (int i = 0; i < 3; i++)
		rig_replica(g, rep_echo);
	rig_publish(g);
	int fd = dial(g);
	talk(fd, GET, 200, "=");
	usleep(1200000); /* the first look */
	for (int i = 0; i < 100; i++) {
		meter_observe_replica(&other->replica[0], 200, 1000000);
		meter_observe_replica(&other->replica[1], i % 2 ? 200 : 500, 1000000);
		meter_observe_replica(&other->replica[2], 200, 1000000);
	}
	ask(g, fd, 4000);
	assert_int_equal(g->meter->worker[1].ejected_failing, 1);
	int had = g->rep[1].requests;
	for (int i = 0; i < 30; i++)
		talk(fd, GET, 200, "=");
	assert_int_equal(g->rep[1].requests, had);
	close(fd);
	rig_free(g);
}

static void equal_ones_and_the_last_one_stay(void **state)
{
	struct rig *g = outlier_rig();
	(void)state;
	rig_replica(g, rep_now_and_then_500);
	rig_replica(g, rep_now_and_then_500);
	rig_publish(g);
	int fd = dial(g);
	assert_true(ask(g, fd, 2500) > 100);
	assert_int_equal(g->meter->worker[1].ejected, 0);
	rig_endpoint(g, 1, SNAP_EP_FREE);
	assert_true(ask(g, fd, 1500) > 100);
	assert_int_equal(g->meter->worker[1].ejected, 0);
	close(fd);
	rig_free(g);
}

/* Which replicas have a release's requests is part of what the judge compares. */
static void beside_a_trial_nobody_is_left_out(void **state)
{
	struct snap_trial t = trial_of(100000);
	struct rig *g = outlier_rig();
	(void)state;
	t.flags = SNAP_TRIAL_RESCUE;
	rig_replica_of(g, rep_echo, 1);
	rig_replica_of(g, rep_now_and_then_500, 1);
	rig_replica_of(g, rep_echo, 2);
	trial_set(g, &t);
	rig_publish(g);
	int fd = dial(g);
	assert_true(ask(g, fd, 2500) > 100);
	assert_int_equal(g->meter->worker[1].ejected, 0);
	close(fd);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(one_that_fails_now_and_then_is_left_out),
	        cmocka_unit_test(one_that_is_much_slower_is_left_out),
	        cmocka_unit_test(evidence_of_other_workers_counts),
	        cmocka_unit_test(equal_ones_and_the_last_one_stay),
	        cmocka_unit_test(beside_a_trial_nobody_is_left_out),
	};
	return cmocka_run_group_tests_name("outlier", tests, NULL, NULL);
}
