#include "stage.h"

static void wanted_replicas_are_started_with_the_lowest_numbers(void **state)
{
	struct stage *s = *state;
	s->app->desired = 3;
	play(s);
	assert_int_equal(count(s, FL_SPAWN), 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(s->app->slot[i].number, i + 1);
	/* Level-triggered: asking again does nothing again. */
	play(s);
	assert_int_equal(s->n, 0);
	start_all(s);
	assert_int_equal(fl_counts(s->app).ready, 3);
	assert_int_equal(count(s, FL_ENDPOINT), 3);
	assert_true(s->app->ever_ready);
}

static void an_app_waits_for_what_it_needs(void **state)
{
	struct stage *s = *state;
	s->app->desired = 2;
	s->app->blocked = true;
	play(s);
	assert_int_equal(count(s, FL_SPAWN), 0);
	assert_int_equal(fl_counts(s->app).waiting, 2);
	s->app->blocked = false;
	play(s);
	assert_int_equal(count(s, FL_SPAWN), 2);
}

static void no_traffic_before_readiness_and_none_after_it_fails(void **state)
{
	struct stage *s = *state;
	s->app->rules.probe[PROBE_READINESS] = (struct probe_rules){
	        .present = true, .period_ms = 1000, .successes = 1, .failures = 1};
	s->app->desired = 1;
	play(s);
	start_all(s);
	assert_int_equal(find(s, FL_ENDPOINT).endpoint, SNAP_EP_DOWN);
	assert_int_equal(find(s, FL_PROBE).probe, PROBE_READINESS);
	fl_probed(s->app, 0, PROBE_READINESS, PROBE_OK, s->now);
	play(s);
	assert_int_equal(find(s, FL_ENDPOINT).endpoint, SNAP_EP_UP);
	/* The edge hears of it before the disk does. */
	assert_true(place_of(s, FL_ENDPOINT) < place_of(s, FL_SAVE));
	s->now += 1000;
	play(s);
	fl_probed(s->app, 0, PROBE_READINESS, PROBE_FAILED, s->now);
	play(s);
	assert_int_equal(find(s, FL_ENDPOINT).endpoint, SNAP_EP_UNREADY);
	assert_true(happened(s, FL_EV_UNREADY));
}

static void one_that_was_ready_may_be_asked_in_a_panic_until_its_liveness_fails(void **state)
{
	struct stage *s = *state;
	uint32_t n;
	for (int k = PROBE_READINESS; k <= PROBE_LIVENESS; k++)
		s->app->rules.probe[k] = (struct probe_rules){.present = true,
		        .period_ms = 1000,
		        .successes = 1,
		        .failures = k == PROBE_LIVENESS ? 3 : 1};
	s->app->desired = 2;
	play(s);
	start_all(s);
	/* Neither was ever ready. */
	fl_probed(s->app, 0, PROBE_READINESS, PROBE_FAILED, s->now);
	play(s);
	assert_false(fl_panics(s->app, &n));
	for (uint32_t i = 0; i < 2; i++)
		fl_probed(s->app, i, PROBE_READINESS, PROBE_OK, s->now);
	play(s);
	assert_false(fl_panics(s->app, &n));
	s->now += 1000;
	play(s);
	fl_probed(s->app, 0, PROBE_READINESS, PROBE_FAILED, s->now);
	play(s);
	assert_false(fl_panics(s->app, &n)); /* the other is ready */
	assert_int_equal(n, 1);
	fl_probed(s->app, 1, PROBE_READINESS, PROBE_FAILED, s->now);
	play(s);
	assert_true(fl_panics(s->app, &n));
	assert_int_equal(n, 2);
	/* It may hang: one failure is not yet the verdict, but enough not to ask it. */
	fl_probed(s->app, 0, PROBE_LIVENESS, PROBE_FAILED, s->now);
	play(s);
	assert_int_equal(find(s, FL_ENDPOINT).endpoint, SNAP_EP_DOWN);
	s->now += 1000;
	play(s);
	fl_probed(s->app, 0, PROBE_LIVENESS, PROBE_OK, s->now);
	play(s);
	assert_int_equal(find(s, FL_ENDPOINT).endpoint, SNAP_EP_UNREADY);
	/* One that is to go is drained like any that took requests. */
	s->app->slot[0].in_flight = s->app->slot[1].in_flight = 1;
	s->app->desired = 0;
	play(s);
	assert_int_equal(find(s, FL_ENDPOINT).endpoint, SNAP_EP_DRAINING);
	assert_int_equal(count(s, FL_SIGNAL), 0);
	assert_false(fl_panics(s->app, &n));
	assert_int_equal(n, 0);
}

static void a_stop_leaves_the_balancer_drains_terms_and_kills(void **state)
{
	struct stage *s = *state;
	s->app->desired = 1;
	play(s);
	start_all(s);
	s->app->slot[0].in_flight = 2;
	s->app->desired = 0;
	play(s);
	assert_int_equal(find(s, FL_ENDPOINT).endpoint, SNAP_EP_DRAINING);
	assert_int_equal(count(s, FL_SIGNAL), 0);
	/* Requests in flight are waited for, but not into the last two seconds of the grace. */
	s->now += 7999;
	play(s);
	assert_int_equal(count(s, FL_SIGNAL), 0);
	s->now += 1;
	play(s);
	assert_int_equal(find(s, FL_SIGNAL).signo, SIGTERM);
	s->now += 1999;
	play(s);
	assert_int_equal(count(s, FL_SIGNAL), 0);
	s->now += 1;
	play(s);
	assert_int_equal(find(s, FL_SIGNAL).signo, SIGKILL);
	assert_true(happened(s, FL_EV_KILLED));
	fl_ended(s->app, 0, s->now);
	play(s);
	assert_int_equal(find(s, FL_ENDPOINT).endpoint, SNAP_EP_FREE);
	assert_int_equal(count(s, FL_GONE), 1);
	assert_int_equal(s->app->high, 0);
}

static void an_idle_replica_is_terminated_soon_after_it_left_the_balancer(void **state)
{
	struct stage *s = *state;
	s->app->desired = 1;
	play(s);
	start_all(s);
	s->app->desired = 0;
	play(s);
	assert_int_equal(count(s, FL_SIGNAL), 0);
	assert_int_equal(s->next, s->now + FL_DRAIN_MIN_MS);
	s->now = s->next;
	play(s);
	assert_int_equal(find(s, FL_SIGNAL).signo, SIGTERM);
}

static void a_shutdown_in_a_hurry_kills_by_its_deadline(void **state)
{
	struct stage *s = *state;
	s->app->desired = 1;
	s->app->rules.grace_ms = 60000;
	play(s);
	start_all(s);
	s->app->slot[0].in_flight = 1;
	s->app->desired = 0;
	s->app->hurry_ms = s->now + 5000;
	play(s);
	s->now += 3000;
	play(s);
	assert_int_equal(find(s, FL_SIGNAL).signo, SIGTERM);
	s->now += 2000;
	play(s);
	assert_int_equal(find(s, FL_SIGNAL).signo, SIGKILL);
}

static void a_shutdown_stops_an_app_after_those_that_need_it(void **state)
{
	/* Grace 10 s. */
	static const struct {
		uint32_t users;
		uint64_t left_ms; /* to the deadline; 0: no shutdown */
		bool stops;
	} row[] = {
	        {0, 60000, true}, {1, 60000, false}, {3, 10001, false},
	        {1, 10000, true},            /* its own grace period is all that is left */
	        {1, 50, true}, {1, 0, true}, /* scaled to none: nobody is waited for */
	};
	struct stage *s = *state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		s->app->high = 0;
		s->app->users = 0;
		s->app->hurry_ms = 0;
		s->app->desired = 2;
		play(s);
		start_all(s);
		assert_int_equal(fl_counts(s->app).ready, 2);
		s->app->desired = 0;
		s->app->users = row[i].users;
		s->app->hurry_ms = row[i].left_ms ? s->now + row[i].left_ms : 0;
		play(s);
		assert_int_equal(happened(s, FL_EV_RETIRED), row[i].stops);
		assert_int_equal(
		        find(s, FL_ENDPOINT).endpoint, row[i].stops ? SNAP_EP_DRAINING : 99);
		if (!row[i].stops) {
			assert_true(s->next <= s->app->hurry_ms - 10000);
			/* A replica that dies meanwhile is not started again. */
			fl_ended(s->app, 0, s->now);
			play(s);
			assert_int_equal(count(s, FL_SPAWN), 0);
			assert_int_equal(count(s, FL_GONE), 1);
			s->app->users = 0;
			play(s);
			assert_true(happened(s, FL_EV_RETIRED));
		}
		s->now += 100;
		play(s);
		end_all_signalled(s);
		assert_int_equal(s->app->high, 0);
	}
}

static void a_replica_that_dies_starting_is_told_at_once_and_backs_off(void **state)
{
	static const uint32_t want[] = {0, 1000, 2000, 4000, 8000};
	struct stage *s = *state;
	s->app->rules.probe[PROBE_STARTUP] = (struct probe_rules){
	        .present = true, .period_ms = 1000, .successes = 1, .failures = 30};
	s->app->desired = 1;
	play(s);
	for (size_t i = 0; i < HG_COUNT(want); i++) {
		start_all(s);
		fl_ended(s->app, 0, s->now);
		play(s);
		assert_true(happened(s, FL_EV_DIED_STARTING));
		assert_int_equal(happened(s, FL_EV_CRASH_LOOP), i == 2);
		if (want[i] == 0) {
			assert_int_equal(count(s, FL_SPAWN), 1);
			continue;
		}
		assert_int_equal(count(s, FL_SPAWN), 0);
		assert_in_range(s->next - s->now, want[i] * 3 / 4, want[i] * 5 / 4);
		s->now = s->next - 1;
		play(s);
		assert_int_equal(count(s, FL_SPAWN), 0);
		s->now += 1;
		play(s);
		assert_int_equal(count(s, FL_SPAWN), 1);
	}
	assert_int_equal(s->app->slot[0].restarts, HG_COUNT(want));
	assert_int_equal(s->app->slot[0].number, 1);
}

static void ten_ready_minutes_forgive_the_streak_of_a_living_replica(void **state)
{
	struct stage *s = *state;
	s->app->desired = 1;
	s->app->slot[0].backoff.streak = 0;
	play(s);
	start_all(s);
	s->app->slot[0].backoff.streak = 4;
	play(s);
	assert_int_equal(s->next, s->now + BACKOFF_HEALTHY_MS);
	s->now = s->next;
	play(s);
	assert_int_equal(s->app->slot[0].backoff.streak, 0);
	assert_int_equal(fl_counts(s->app).crash_loops, 0);
}

static void a_failed_liveness_restarts_in_the_same_place(void **state)
{
	struct stage *s = *state;
	s->app->rules.probe[PROBE_LIVENESS] = (struct probe_rules){
	        .present = true, .period_ms = 1000, .successes = 1, .failures = 1};
	s->app->desired = 1;
	play(s);
	start_all(s);
	fl_probed(s->app, 0, PROBE_LIVENESS, PROBE_FAILED, s->now);
	play(s);
	assert_true(happened(s, FL_EV_PROBE_FAILED));
	assert_int_equal(find(s, FL_ENDPOINT).endpoint, SNAP_EP_DRAINING);
	assert_int_equal(find(s, FL_SIGNAL).signo, SIGTERM);
	fl_ended(s->app, 0, s->now);
	play(s);
	assert_int_equal(count(s, FL_SPAWN), 1);
	assert_int_equal(s->app->slot[0].number, 1);
	assert_int_equal(s->app->slot[0].restarts, 1);
}

static void a_new_release_replaces_step_by_step_and_never_below_what_is_available(void **state)
{
	struct stage *s = *state;
	s->app->desired = 4;
	play(s);
	start_all(s);
	s->app->release = s->app->revision = 2;
	for (int turn = 0; turn < 40; turn++) {
		play(s);
		struct fl_count c = fl_counts(s->app);
		assert_true(c.total <= 5);
		assert_true(c.ready >= 3);
		start_all(s);
		s->now += FL_DRAIN_MIN_MS;
		play(s);
		end_all_signalled(s);
	}
	struct fl_count c = fl_counts(s->app);
	assert_int_equal(c.updated_ready, 4);
	assert_int_equal(c.total, 4);
	assert_int_equal(c.retiring, 0);
}

static void a_release_that_never_gets_ready_leaves_the_old_one_serving(void **state)
{
	struct stage *s = *state;
	s->app->desired = 4;
	play(s);
	start_all(s);
	s->app->rules.probe[PROBE_READINESS] = (struct probe_rules){
	        .present = true, .period_ms = 1000, .successes = 1, .failures = 1};
	s->app->release = s->app->revision = 2;
	for (int turn = 0; turn < 40; turn++) {
		play(s);
		start_all(s);
		s->now += FL_DRAIN_MIN_MS;
		play(s);
		end_all_signalled(s);
	}
	/* Kubernetes stands at total 5, updated 2, available 3 (worked example 7). */
	struct fl_count c = fl_counts(s->app);
	assert_int_equal(c.total, 5);
	assert_int_equal(c.updated, 2);
	assert_int_equal(c.ready, 3);
}

static void recreate_starts_nothing_before_the_last_old_process_ended(void **state)
{
	struct stage *s = *state;
	s->app->rules.recreate = true;
	s->app->desired = 2;
	play(s);
	start_all(s);
	s->app->revision = 2;
	play(s);
	s->now += FL_DRAIN_MIN_MS;
	play(s);
	assert_int_equal(count(s, FL_SIGNAL), 2);
	assert_int_equal(count(s, FL_SPAWN), 0);
	fl_ended(s->app, 0, s->now);
	play(s);
	assert_int_equal(count(s, FL_SPAWN), 0);
	fl_ended(s->app, 1, s->now);
	play(s);
	assert_int_equal(count(s, FL_SPAWN), 2);
}

/* Kubernetes controller_utils.go ActivePodsWithRanks: each row goes before the next. */
static void victims_are_chosen_as_kubernetes_chooses_them(void **state)
{
	const uint64_t now = 100000000;
	const struct fl_replica order[] = {
	        {.state = FLEET_BACKOFF},
	        {.state = FLEET_SPAWNING},
	        {.state = FLEET_STARTING},
	        {.state = FLEET_UNREADY},
	        {.state = FLEET_READY, .ready_since_ms = now - 3000},
	        {.state = FLEET_READY, .ready_since_ms = now - 100000, .restarts = 2},
	        /* ready for about as long (log2): more restarts go first, then the newer */
	        {.state = FLEET_READY, .ready_since_ms = now - 90000, .born_ms = 9},
	        {.state = FLEET_READY, .ready_since_ms = now - 91000, .born_ms = 8},
	        {.state = FLEET_READY, .ready_since_ms = now - 9000000},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(order); i++) {
		for (size_t k = 0; k < HG_COUNT(order); k++) {
			int d = fl_victim_order(&order[i], &order[k], now);
			assert_int_equal(d < 0, i < k);
			assert_int_equal(d > 0, i > k);
		}
	}
}

static void scaling_down_takes_the_least_useful(void **state)
{
	struct stage *s = *state;
	s->app->desired = 3;
	play(s);
	fl_spawned(s->app, 0, s->now);
	fl_spawned(s->app, 2, s->now);
	play(s);
	s->app->desired = 2;
	play(s);
	assert_false(s->app->slot[0].retire);
	assert_true(s->app->slot[1].retire);
	assert_false(s->app->slot[2].retire);
	/* Not started yet: it is stopped as soon as it is there. */
	fl_spawned(s->app, 1, s->now);
	play(s);
	assert_int_equal(find(s, FL_SIGNAL).signo, SIGTERM);
}

static void after_a_restart_of_control_ready_replicas_stay_in_the_balancer(void **state)
{
	struct stage *s = *state;
	s->app->rules.probe[PROBE_READINESS] = (struct probe_rules){
	        .present = true, .period_ms = 1000, .successes = 1, .failures = 3};
	s->app->desired = 2;
	for (uint32_t n = 1; n <= 2; n++) {
		struct fl_adopted a = {.number = n,
		        .release = 1,
		        .revision = 1,
		        .alive = true,
		        .started = true,
		        .ready = true,
		        .start_ms = s->now - 60000,
		        .endpoint = SNAP_EP_UP};
		assert_int_equal(fl_adopt(s->app, &a, s->now, 10, &s->rand), n - 1);
	}
	play(s);
	assert_int_equal(count(s, FL_SPAWN), 0);
	assert_int_equal(count(s, FL_ENDPOINT), 0);
	assert_int_equal(fl_counts(s->app).ready, 2);
	/* One that was asked in a panic still may be. */
	struct fl_adopted a = {.number = 3,
	        .release = 1,
	        .revision = 1,
	        .alive = true,
	        .started = true,
	        .start_ms = s->now - 60000,
	        .endpoint = SNAP_EP_UNREADY};
	s->app->desired = 3;
	assert_int_equal(fl_adopt(s->app, &a, s->now, 10, &s->rand), 2);
	play(s);
	assert_int_equal(count(s, FL_ENDPOINT), 0);
	assert_int_equal(s->app->slot[2].state, FLEET_UNREADY);
}

static void a_wait_goes_on_after_a_restart_of_control(void **state)
{
	struct stage *s = *state;
	struct fl_adopted a = {.number = 1,
	        .release = 1,
	        .revision = 1,
	        .streak = 6, /* 16 s */
	        .restarts = 6,
	        .start_ms = s->now,
	        .ended_ago_ms = 5000};
	s->app->desired = 1;
	assert_int_equal(fl_adopt(s->app, &a, s->now, 10, &s->rand), 0);
	play(s);
	assert_int_equal(count(s, FL_SPAWN), 0);
	assert_in_range(s->next - s->now, 12000 - 5000, 20000 - 5000);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
	        CASE(wanted_replicas_are_started_with_the_lowest_numbers),
	        CASE(an_app_waits_for_what_it_needs),
	        CASE(no_traffic_before_readiness_and_none_after_it_fails),
	        CASE(one_that_was_ready_may_be_asked_in_a_panic_until_its_liveness_fails),
	        CASE(a_stop_leaves_the_balancer_drains_terms_and_kills),
	        CASE(an_idle_replica_is_terminated_soon_after_it_left_the_balancer),
	        CASE(a_shutdown_in_a_hurry_kills_by_its_deadline),
	        CASE(a_shutdown_stops_an_app_after_those_that_need_it),
	        CASE(a_replica_that_dies_starting_is_told_at_once_and_backs_off),
	        CASE(ten_ready_minutes_forgive_the_streak_of_a_living_replica),
	        CASE(a_failed_liveness_restarts_in_the_same_place),
	        CASE(a_new_release_replaces_step_by_step_and_never_below_what_is_available),
	        CASE(a_release_that_never_gets_ready_leaves_the_old_one_serving),
	        CASE(recreate_starts_nothing_before_the_last_old_process_ended),
	        CASE(victims_are_chosen_as_kubernetes_chooses_them),
	        CASE(scaling_down_takes_the_least_useful),
	        CASE(after_a_restart_of_control_ready_replicas_stay_in_the_balancer),
	        CASE(a_wait_goes_on_after_a_restart_of_control),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
