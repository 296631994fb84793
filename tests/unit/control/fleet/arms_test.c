/* A release under trial beside the one that serves. */
#include "stage.h"

/* Until nothing more happens: what is asked to start starts, what is asked to stop ends. */
static void settle(struct stage *s)
{
	for (int turn = 0; turn < 60; turn++) {
		play(s);
		start_all(s);
		s->now += FL_DRAIN_MIN_MS;
		play(s);
		end_all_signalled(s);
	}
}

static uint32_t up_of(const struct stage *s, uint32_t release, bool spare)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->app->high; i++) {
		const struct fl_replica *r = &s->app->slot[i];
		n += r->used && r->release == release && r->spare == spare &&
		     r->endpoint == SNAP_EP_UP;
	}
	return n;
}

static uint32_t places(const struct stage *s)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->app->high; i++)
		n += s->app->slot[i].used;
	return n;
}

static void with_trial(struct stage *s, uint32_t desired, uint32_t trial)
{
	s->app->desired = desired;
	settle(s);
	s->app->trial = (struct fl_trial){.release = 2, .revision = 2, .desired = trial};
	settle(s);
}

static void swap(struct stage *s, uint32_t trial)
{
	struct fl_trial was = s->app->trial;
	s->app->trial = (struct fl_trial){s->app->release, s->app->revision, trial};
	s->app->release = was.release;
	s->app->revision = was.revision;
}

static void a_trial_runs_beside_with_its_own_count_and_without_weight(void **state)
{
	static const struct {
		uint32_t desired, trial, scaled, want;
	} row[] = {{4, 1, 4, 4}, {4, 4, 2, 2}, {1, 3, 9, 9}, {3, 2, 0, 3}};
	struct stage *s = *state;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		memset(s->app->slot, 0, sizeof s->app->slot);
		s->app->high = 0;
		s->app->trial = (struct fl_trial){0};
		with_trial(s, row[i].desired, row[i].trial);
		assert_int_equal(up_of(s, 1, false), row[i].desired);
		assert_int_equal(up_of(s, 2, true), row[i].trial);
		/* Neither old nor part of the main count. */
		assert_int_equal(fl_counts(s->app).total, row[i].desired);
		assert_int_equal(fl_counts(s->app).updated, row[i].desired);
		assert_int_equal(fl_counts_trial(s->app).ready, row[i].trial);
		/* The main arm scales without the trial, the trial without the main arm. */
		s->app->desired = row[i].scaled ? row[i].scaled : row[i].desired;
		settle(s);
		assert_int_equal(up_of(s, 1, false), row[i].want);
		assert_int_equal(up_of(s, 2, true), row[i].trial);
		s->app->trial.desired = 2;
		settle(s);
		assert_int_equal(up_of(s, 2, true), 2);
		assert_int_equal(up_of(s, 1, false), row[i].want);
	}
}

static void a_swap_starts_and_stops_nothing_and_moves_the_weight_first(void **state)
{
	struct stage *s = *state;
	with_trial(s, 100, 100); /* more than one answer holds */
	swap(s, 100);
	/* Something else is due as well: it comes after. */
	fl_ended(s->app, 3, s->now);
	play(s);
	assert_int_equal(count(s, FL_SIGNAL), 0);
	assert_false(happened(s, FL_EV_RETIRED));
	assert_false(happened(s, FL_EV_CREATED));
	for (uint32_t i = 0; i < 200; i++) {
		assert_int_equal(s->seen[i].kind, FL_ENDPOINT);
		assert_int_equal(s->seen[i].endpoint, SNAP_EP_UP);
		/* First those that serve from now on. */
		assert_int_equal(s->app->slot[s->seen[i].slot].release, i < 100 ? 2 : 1);
	}
	assert_int_equal(count(s, FL_SPAWN), 1); /* the one that ended, in its place */
	settle(s);
	assert_int_equal(up_of(s, 2, false), 100);
	assert_int_equal(up_of(s, 1, true), 100);
	swap(s, 100);
	play(s);
	assert_int_equal(count(s, FL_ENDPOINT), 200);
	assert_int_equal(s->n, 200);
}

static void a_trial_that_is_taken_away_is_stopped_at_once_and_holds_no_place(void **state)
{
	struct stage *s = *state;
	s->app->rules.recreate = false;
	with_trial(s, 4, 4);
	/* The main arm is not whole: a trial that counted as old would stay for it. */
	s->app->rules.probe[PROBE_STARTUP] = (struct probe_rules){
	        .present = true, .period_ms = 1000, .successes = 1, .failures = 30};
	for (uint32_t i = 0; i < 4; i++)
		fl_ended(s->app, i, s->now);
	s->app->trial = (struct fl_trial){0};
	play(s);
	assert_int_equal(fl_counts(s->app).total, 4);
	assert_int_equal(fl_counts(s->app).ready, 0);
	assert_int_equal(fl_counts(s->app).retiring, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_false(s->app->slot[i].retire);
	/* On its way out it never gets weight. */
	for (uint32_t i = 0; i < s->n; i++)
		if (s->seen[i].kind == FL_ENDPOINT && s->seen[i].slot >= 4)
			assert_true(s->app->slot[s->seen[i].slot].spare);
}

static void a_new_trial_takes_the_place_of_the_former_one(void **state)
{
	struct stage *s = *state;
	with_trial(s, 3, 2);
	s->app->trial = (struct fl_trial){.release = 3, .revision = 3, .desired = 2};
	settle(s);
	assert_int_equal(up_of(s, 1, false), 3);
	assert_int_equal(up_of(s, 3, true), 2);
	assert_int_equal(places(s), 5);
}

static void a_third_release_replaces_the_main_one_and_leaves_the_trial_alone(void **state)
{
	struct stage *s = *state;
	for (int recreate = 0; recreate < 2; recreate++) {
		memset(s->app->slot, 0, sizeof s->app->slot);
		s->app->high = 0;
		s->app->trial = (struct fl_trial){0};
		s->app->rules.recreate = recreate;
		s->app->release = s->app->revision = 1;
		with_trial(s, 4, 2);
		s->app->release = s->app->revision = 3;
		for (int turn = 0; turn < 60; turn++) {
			play(s);
			struct fl_count c = fl_counts(s->app);
			assert_true(c.total <= 5);
			if (!recreate) assert_true(c.ready >= 3);
			assert_int_equal(up_of(s, 2, true), 2);
			start_all(s);
			s->now += FL_DRAIN_MIN_MS;
			play(s);
			end_all_signalled(s);
		}
		assert_int_equal(up_of(s, 3, false), 4);
		assert_int_equal(up_of(s, 1, false), 0);
		assert_int_equal(up_of(s, 2, true), 2);
		assert_int_equal(places(s), 6);
	}
}

static void a_trial_that_is_promoted_alone_lets_the_former_release_go_by_the_fence(void **state)
{
	struct stage *s = *state;
	with_trial(s, 4, 1);
	s->app->release = s->app->revision = 2;
	s->app->trial = (struct fl_trial){0};
	for (int turn = 0; turn < 60; turn++) {
		play(s);
		assert_true(fl_counts(s->app).ready >= 3);
		assert_true(fl_counts(s->app).total <= 5);
		start_all(s);
		s->now += FL_DRAIN_MIN_MS;
		play(s);
		end_all_signalled(s);
	}
	assert_int_equal(up_of(s, 2, false), 4);
	assert_int_equal(fl_counts(s->app).total, 4);
}

static void a_ready_trial_is_no_help_in_a_panic(void **state)
{
	struct stage *s = *state;
	uint32_t n;
	s->app->rules.probe[PROBE_READINESS] = (struct probe_rules){
	        .present = true, .period_ms = 1000, .successes = 1, .failures = 1};
	s->app->desired = 1;
	s->app->trial = (struct fl_trial){.release = 2, .revision = 2, .desired = 1};
	play(s);
	start_all(s);
	for (uint32_t i = 0; i < 2; i++)
		fl_probed(s->app, i, PROBE_READINESS, PROBE_OK, s->now);
	play(s);
	assert_int_equal(up_of(s, 1, false), 1);
	assert_int_equal(up_of(s, 2, true), 1);
	s->now += 1000;
	play(s);
	fl_probed(s->app, 0, PROBE_READINESS, PROBE_FAILED, s->now);
	play(s);
	assert_true(fl_panics(s->app, &n));
	assert_int_equal(n, 1);
}

static void a_stopped_app_stops_its_trial(void **state)
{
	struct stage *s = *state;
	with_trial(s, 2, 2);
	s->app->desired = 0;
	play(s);
	assert_int_equal(fl_counts(s->app).retiring, 4);
	settle(s);
	assert_int_equal(s->app->high, 0);
	s->app->desired = 2;
	settle(s);
	assert_int_equal(up_of(s, 1, false), 2);
	assert_int_equal(up_of(s, 2, true), 2);
}

static void a_trial_never_takes_places_that_the_main_arm_needs(void **state)
{
	struct stage *s = *state;
	s->app->rules.surge = (struct rolling_share){.is_ratio = true, .v = 1000000};
	with_trial(s, FLEET_REPLICAS_MAX, 1000);
	assert_int_equal(fl_counts(s->app).ready, FLEET_REPLICAS_MAX);
	/* Room for all and their surge stays. */
	assert_int_equal(fl_counts_trial(s->app).ready, FL_SLOTS - 2 * FLEET_REPLICAS_MAX);
	s->app->rules.surge = (struct rolling_share){.v = 1};
	settle(s);
	settle(s);
	assert_int_equal(fl_counts_trial(s->app).ready, FLEET_REPLICAS_MAX);
}

static void both_arms_are_adopted_as_they_are(void **state)
{
	struct stage *s = *state;
	s->app->desired = 2;
	s->app->trial = (struct fl_trial){.release = 2, .revision = 2, .desired = 1};
	for (uint32_t n = 1; n <= 3; n++) {
		struct fl_adopted a = {.number = n,
		        .release = n < 3 ? 1 : 2,
		        .revision = n < 3 ? 1 : 2,
		        .alive = true,
		        .started = true,
		        .ready = true,
		        .spare = n == 3,
		        .start_ms = s->now - 60000,
		        .endpoint = SNAP_EP_UP};
		assert_int_equal(fl_adopt(s->app, &a, s->now, 10, &s->rand), n - 1);
	}
	play(s);
	assert_int_equal(s->n, 0);
	assert_int_equal(fl_counts(s->app).ready, 2);
	assert_int_equal(fl_counts_trial(s->app).ready, 1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
	        CASE(a_trial_runs_beside_with_its_own_count_and_without_weight),
	        CASE(a_swap_starts_and_stops_nothing_and_moves_the_weight_first),
	        CASE(a_trial_that_is_taken_away_is_stopped_at_once_and_holds_no_place),
	        CASE(a_new_trial_takes_the_place_of_the_former_one),
	        CASE(a_third_release_replaces_the_main_one_and_leaves_the_trial_alone),
	        CASE(a_trial_that_is_promoted_alone_lets_the_former_release_go_by_the_fence),
	        CASE(a_ready_trial_is_no_help_in_a_panic),
	        CASE(a_stopped_app_stops_its_trial),
	        CASE(a_trial_never_takes_places_that_the_main_arm_needs),
	        CASE(both_arms_are_adopted_as_they_are),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
