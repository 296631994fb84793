#include "rig.h"

#include "store/store_priv.h"

#define HELLO(n, color)                                        \
	"app: hello\n"                                         \
	"command: sleep $PORT\n"                               \
	"domain: hello.example.com\n"                          \
	"probes: {readiness: {http: /health, every: 100ms}}\n" \
	"replicas: " #n "\n"                                   \
	"env: {COLOR: " #color "}\n"

static int up_decided(void **state)
{
	return rig_up_with(state, true);
}

/* Endpoints that take requests: with and without weight. */
static uint32_t weighed(struct rig *r, uint32_t release, bool weight)
{
	struct snap_endpoint ep;
	uint32_t n = 0;
	for (uint32_t i = 0; i < SNAP_ENDPOINTS; i++)
		n += snap_table_get(r->child.table, i, &ep) && ep.state == SNAP_EP_UP &&
		     ep.release == release && ep.weight == (weight ? 1000000u : 0u);
	return n;
}

static void want(struct rig *r, uint32_t serving, uint32_t trial, uint32_t replicas)
{
	struct hg_err err = {0};
	struct fleet_want w = {.serving = serving, .trial = trial, .trial_replicas = replicas};
	if (fleet_want_set(r->fleet, HG_STR("hello"), &w, &err) < 0) fail_msg("%s", err.message);
}

static uint32_t make(struct rig *r, const char *color)
{
	struct hg_err err = {0};
	struct spec_pair env = {HG_STR("COLOR"), hg_str(color)};
	struct fleet_change c = {.env = &env, .env_count = 1};
	uint32_t number;
	bool fresh;
	if (fleet_release_make(r->fleet, HG_STR("hello"), &c, &number, &fresh, &err) < 0)
		fail_msg("%s", err.message);
	return number;
}

/* ---- the file ---- */

static void a_changed_file_makes_a_release_and_what_serves_goes_on(void **state)
{
	struct rig *r = *state;
	rig_apply(r, HELLO(2, blue));
	RIG_UNTIL(r, weighed(r, 1, true) == 2);
	assert_string_equal(r->told, "");
	uint64_t before = r->fleet->generation;
	rig_apply(r, HELLO(2, green));
	/* It is told of at once, after the snapshot was published. */
	char text[64];
	(void)snprintf(text, sizeof text, "hello 2 @%llu, ", (unsigned long long)before + 1);
	assert_string_equal(r->told, text);
	for (int i = 0; i < 5; i++)
		assert_int_equal(loop_turn(r->loop, 20), HG_OK);
	assert_int_equal(r->proc_count, 2);
	assert_int_equal(rig_app(r, NULL).release, 1);
	/* Something else changes: nothing new to tell. */
	rig_apply(r, HELLO(3, green));
	RIG_UNTIL(r, weighed(r, 1, true) == 3);
	assert_string_equal(r->told, text);
	/* Back to what serves: nothing; and forth: the same number once more. */
	rig_apply(r, HELLO(3, blue));
	assert_string_equal(r->told, text);
	rig_apply(r, HELLO(3, green));
	assert_non_null(strstr(r->told + strlen(text), "hello 2 @"));
	assert_int_equal(r->proc_count, 3);
}

static void a_reload_does_not_undo_a_deploy(void **state)
{
	struct rig *r = *state;
	for (int decides = 1; decides >= 0; decides--) {
		r->told[0] = 0;
		rig_apply(r, HELLO(1, blue));
		RIG_UNTIL(r, weighed(r, 1, true) == 1 || weighed(r, 2, true) == 1);
		uint32_t number = make(r, "red");
		assert_int_equal(number, 2);
		want(r, 2, 0, 0);
		RIG_UNTIL(r, weighed(r, 2, true) == 1 && rig_living(r) == 1);
		rig_apply(r, HELLO(1, blue) "logs: 2d\n");
		rig_apply(r, HELLO(1, blue));
		for (int i = 0; i < 5; i++)
			assert_int_equal(loop_turn(r->loop, 20), HG_OK);
		assert_int_equal(rig_app(r, NULL).release, 2);
		assert_string_equal(r->told, "");
		if (!decides) break;
		/* The same when the file itself decides, and after a death of control. */
		rig_control_dies(r);
		r->decides = false;
		rig_control(r, 2);
		rig_apply(r, HELLO(1, blue));
		RIG_UNTIL(r, !r->fleet->known);
	}
	assert_int_equal(r->terms, 1);
	/* The file says something new. */
	rig_apply(r, HELLO(1, green));
	RIG_UNTIL(r, weighed(r, 3, true) == 1 && rig_living(r) == 1);
}

static void who_was_not_told_of_a_release_is_told_after_a_death_of_control(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	struct store_app row;
	rig_apply(r, HELLO(1, blue));
	RIG_UNTIL(r, weighed(r, 1, true) == 1);
	rig_apply(r, HELLO(1, green));
	assert_int_equal(store_app_open(r->store, HG_STR("hello"), &row, &err), HG_OK);
	assert_int_equal(row.told, 2);
	assert_int_equal(row.release, 1);
	rig_control_dies(r);
	r->told[0] = 0;
	row.told = 1; /* it died in the call */
	assert_int_equal(store_app_set(r->store, &row, &err), HG_OK);
	rig_control(r, 2);
	rig_apply(r, HELLO(1, green));
	assert_non_null(strstr(r->told, "hello 2 @"));
	r->told[0] = 0;
	rig_apply(r, HELLO(1, green));
	assert_string_equal(r->told, "");
}

static void a_full_disk_delays_the_word_of_a_release_until_it_is_stored(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	rig_apply(r, HELLO(1, blue));
	RIG_UNTIL(r, weighed(r, 1, true) == 1);
	assert_int_equal(db_exec(r->store->db, "PRAGMA query_only=1", &err), HG_OK);
	rig_apply(r, HELLO(1, green));
	assert_string_equal(r->told, "");
	rig_apply(r, HELLO(1, green));
	assert_int_equal(r->fleet->apps[0]->file_release, 2);
	assert_int_equal(db_exec(r->store->db, "PRAGMA query_only=0", &err), HG_OK);
	assert_true(r->fleet->apps[0]->dirty);
	uint32_t number = make(r, "red");
	assert_int_equal(number, 3); /* the file's has its number */
	fleet_releases_tell(r->fleet);
	assert_non_null(strstr(r->told, "hello 2 @"));
}

static void after_all_was_down_the_file_counts_at_once(void **state)
{
	struct rig *r = *state;
	rig_apply(r, HELLO(1, blue));
	RIG_UNTIL(r, weighed(r, 1, true) == 1);
	rig_control_dies(r);
	rig_end(rig_alive(r, 0), 0);
	r->proc[0].forgotten = true;
	snap_table_init(r->child.table);
	rig_control(r, 1);
	rig_apply(r, HELLO(1, green));
	RIG_UNTIL(r, weighed(r, 2, true) == 1 && rig_living(r) == 1);
	assert_string_equal(r->told, "");
}

/* ---- two releases side by side ---- */

static void start_trial(struct rig *r, uint32_t serving, uint32_t trial)
{
	char yaml[512];
	(void)snprintf(yaml, sizeof yaml,
	        "app: hello\ncommand: sleep $PORT\ndomain: hello.example.com\n"
	        "probes: {readiness: {http: /health, every: 100ms}}\nreplicas: %u\n"
	        "env: {COLOR: blue}\nrollout: {preview: next.example.com}\n",
	        serving);
	rig_apply(r, yaml);
	RIG_UNTIL(r, weighed(r, 1, true) == serving);
	assert_int_equal(make(r, "green"), 2);
	want(r, 1, 2, trial);
	RIG_UNTIL(r, weighed(r, 2, false) == trial);
}

static void a_trial_has_replicas_and_lanes_and_no_weight(void **state)
{
	struct rig *r = *state;
	struct fleet_release_state s;
	struct fleet_want w;
	start_trial(r, 2, 1);
	assert_int_equal(weighed(r, 1, true), 2);
	assert_int_equal(weighed(r, 2, true), 0);
	assert_int_equal(rig_living(r), 3);
	assert_non_null(strstr(rig_alive(r, 2)->env, "COLOR=green\n"));
	/* Two routes (one of them the preview), each with a lane for both. */
	assert_int_equal(r->previews, 1);
	assert_int_equal(r->lanes, 4);
	struct fleet_app_status a = rig_app(r, NULL);
	assert_int_equal(a.phase, FLEET_APP_RUNNING);
	assert_int_equal(a.release, 1);
	assert_int_equal(a.trial, 2);
	assert_int_equal(a.ready, 2);
	assert_int_equal(a.total, 2);
	assert_int_equal(a.replica_count, 3);
	assert_int_equal(a.route_count, 1);
	fleet_release_state(r->fleet, HG_STR("hello"), 2, &s);
	assert_int_equal(s.wanted, 1);
	assert_int_equal(s.ready, 1);
	assert_int_equal(s.total, 1);
	fleet_release_state(r->fleet, HG_STR("hello"), 1, &s);
	assert_int_equal(s.wanted, 2);
	fleet_release_state(r->fleet, HG_STR("hello"), 9, &s);
	assert_int_equal(s.wanted + s.total, 0);
	assert_int_equal(fleet_want(r->fleet, HG_STR("hello"), &w), HG_OK);
	assert_int_equal(w.serving, 1);
	assert_int_equal(w.trial, 2);
	assert_int_equal(w.trial_replicas, 1);
	assert_int_equal(fleet_want(r->fleet, HG_STR("nobody"), &w), HG_E_FLEET_APP);
	assert_int_equal(fleet_replicas_wanted(r->fleet, HG_STR("hello")), 2);
	assert_int_equal(fleet_replicas_wanted(r->fleet, HG_STR("nobody")), 0);
	want(r, 1, 0, 0);
	RIG_UNTIL(r, rig_living(r) == 2);
	assert_int_equal(weighed(r, 1, true), 2);
	assert_int_equal(r->terms, 1);
}

static void a_promotion_and_the_way_back_start_and_stop_nothing(void **state)
{
	struct rig *r = *state;
	start_trial(r, 2, 2);
	for (int turn = 0; turn < 2; turn++) {
		/* The edge's table says so when it returns: the slot of the trial may be freed
		 * next, and then only these weights keep a bad release from requests. */
		want(r, 2, 1, 2);
		assert_int_equal(weighed(r, 2, true), 2);
		assert_int_equal(weighed(r, 1, false), 2);
		want(r, 1, 2, 2);
		assert_int_equal(weighed(r, 1, true), 2);
		assert_int_equal(weighed(r, 2, false), 2);
	}
	assert_int_equal(r->proc_count, 4);
	assert_int_equal(r->terms + r->kills, 0);
	want(r, 2, 1, 2);
	RIG_UNTIL(r, weighed(r, 2, true) == 2);
	want(r, 2, 0, 0);
	RIG_UNTIL(r, rig_living(r) == 2);
	assert_int_equal(weighed(r, 2, true), 2);
	assert_int_equal(rig_app(r, NULL).release, 2);
}

static void after_kill_9_of_control_both_arms_are_adopted_as_they_are(void **state)
{
	struct rig *r = *state;
	start_trial(r, 2, 2);
	for (uint32_t swapped = 0; swapped < 2; swapped++) {
		/* Durable when it returns: control dies before anything is done about it. */
		if (swapped) want(r, 2, 1, 2);
		rig_control_dies(r);
		rig_control(r, 2);
		rig_apply(r, HELLO(2, blue));
		RIG_UNTIL(r, !r->fleet->known);
		for (int i = 0; i < 5; i++)
			assert_int_equal(loop_turn(r->loop, 20), HG_OK);
		assert_int_equal(weighed(r, 1, !swapped), 2);
		assert_int_equal(weighed(r, 2, swapped), 2);
	}
	assert_int_equal(r->proc_count, 4);
	assert_int_equal(r->terms + r->kills, 0);
	assert_int_equal(rig_app(r, NULL).trial, 1);
	/* Taken away while control is dead: stopped by the next one, without ever having weight. */
	want(r, 2, 0, 0);
	rig_control_dies(r);
	rig_control(r, 2);
	rig_apply(r, HELLO(2, blue));
	while (rig_living(r) > 2) {
		assert_int_equal(weighed(r, 1, true), 0);
		assert_int_equal(loop_turn(r->loop, 50), HG_OK);
	}
	assert_int_equal(weighed(r, 2, true), 2);
}

static void a_row_of_a_program_that_knows_no_trials_is_not_mistaken(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	struct store_app row;
	start_trial(r, 1, 1);
	rig_control_dies(r);
	assert_int_equal(store_app_open(r->store, HG_STR("hello"), &row, &err), HG_OK);
	row.revision = row.trial_revision; /* it restarted all by its own count */
	assert_int_equal(store_app_set(r->store, &row, &err), HG_OK);
	rig_control(r, 2);
	rig_apply(r, HELLO(1, blue));
	assert_int_equal(rig_app(r, NULL).trial, 0);
}

static void failed_starts_and_ends_are_counted_per_release(void **state)
{
	struct rig *r = *state;
	struct fleet_release_state s;
	r->dead_release = 2;
	rig_apply(r, HELLO(1, blue));
	RIG_UNTIL(r, weighed(r, 1, true) == 1);
	assert_int_equal(make(r, "green"), 2);
	want(r, 1, 2, 1);
	RIG_UNTIL(r, (fleet_release_state(r->fleet, HG_STR("hello"), 2, &s), s.exits >= 2));
	assert_int_equal(s.failed_starts, s.exits);
	assert_int_equal(s.ready, 0);
	/* The app itself is well. */
	assert_int_equal(rig_app(r, NULL).phase, FLEET_APP_RUNNING);
	assert_string_equal(rig_app(r, NULL).reason, "");
	RIG_UNTIL(r, (fleet_release_state(r->fleet, HG_STR("hello"), 2, &s), s.crash_loops));
	rig_end(rig_alive(r, 0), SIGKILL);
	RIG_UNTIL(r, (fleet_release_state(r->fleet, HG_STR("hello"), 1, &s), s.exits == 1));
	assert_int_equal(s.failed_starts, 0);
}

static void what_cannot_be_wanted_is_refused(void **state)
{
	static const struct {
		struct fleet_want w;
		enum hg_rc rc;
	} row[] = {
	        {{.serving = 0}, HG_E_INVALID},
	        {{.serving = 1, .trial = 1, .trial_replicas = 1}, HG_E_INVALID},
	        {{.serving = 1, .trial = 2, .trial_replicas = FLEET_REPLICAS_MAX + 1},
	                HG_E_INVALID},
	        {{.serving = 9}, HG_E_NOT_FOUND},
	        {{.serving = 1, .trial = 9, .trial_replicas = 1}, HG_E_NOT_FOUND},
	};
	struct rig *r = *state;
	struct hg_err err = {0};
	rig_apply(r, HELLO(1, blue));
	assert_int_equal(make(r, "green"), 2);
	for (size_t i = 0; i < HG_COUNT(row); i++)
		assert_int_equal(
		        fleet_want_set(r->fleet, HG_STR("hello"), &row[i].w, &err), row[i].rc);
	struct fleet_want w = {.serving = 2};
	assert_int_equal(fleet_want_set(r->fleet, HG_STR("helo"), &w, &err), HG_E_FLEET_APP);
	assert_int_equal(rig_app(r, NULL).release, 1);
}

static void recreate_ends_the_former_replicas_first(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	rig_apply(r, HELLO(2, blue));
	RIG_UNTIL(r, weighed(r, 1, true) == 2);
	assert_int_equal(make(r, "green"), 2);
	struct fleet_want w = {.serving = 2, .recreate = true};
	assert_int_equal(fleet_want_set(r->fleet, HG_STR("hello"), &w, &err), HG_OK);
	while (r->proc_count < 3) {
		assert_true(rig_living(r) <= 2);
		assert_int_equal(loop_turn(r->loop, 50), HG_OK);
	}
	assert_false(r->proc[0].alive);
	assert_false(r->proc[1].alive);
	RIG_UNTIL(r, weighed(r, 2, true) == 2);
}

/* ---- commands ---- */

struct said {
	uint32_t n;
	int status;
	char why[160];
};

static void on_done(void *arg, int status, const char *why)
{
	struct said *s = arg;
	s->n++;
	s->status = status;
	(void)snprintf(s->why, sizeof s->why, "%s", why);
}

static enum hg_rc run(
        struct rig *r, const char *command, uint32_t timeout_ms, struct said *s, struct hg_err *err)
{
	static const struct spec_pair env[] = {
	        {{"COLOR", 5}, {"of the gate", 11}}, {{"URL", 3}, {"http://x", 8}}};
	return fleet_command_run(
	        r->fleet, HG_STR("hello"), 1, hg_str(command), env, 2, timeout_ms, on_done, s, err);
}

static void a_command_runs_once_as_a_replica_would_and_its_end_is_told(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	struct said s = {0};
	rig_apply(r, HELLO(1, blue));
	RIG_UNTIL(r, weighed(r, 1, true) == 1);
	r->oneshot_status = 3 << 8;
	assert_int_equal(run(r, "true $URL", 5000, &s, &err), HG_OK);
	assert_int_equal(s.n, 0);
	RIG_UNTIL(r, s.n == 1);
	assert_int_equal(s.status, 3 << 8);
	assert_string_equal(s.why, "");
	struct rig_proc *p = &r->proc[1];
	assert_int_equal(p->m.kind, WD_KIND_ONESHOT);
	assert_int_equal(p->m.who.release, 1);
	assert_non_null(strstr(p->argv0, "/true"));
	assert_non_null(strstr(p->env, "COLOR=of the gate\n"));
	assert_null(strstr(p->env, "COLOR=blue"));
	assert_non_null(strstr(p->env, "HEADGATE_APP=hello\n"));
	assert_null(strstr(p->env, "\nPORT="));
	RIG_UNTIL(r, p->forgotten);
	assert_int_equal(r->fleet->command_count, 0);
}

static void a_command_that_takes_too_long_or_never_starts_has_failed(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	struct said s = {0}, t = {0};
	rig_apply(r, HELLO(1, blue));
	RIG_UNTIL(r, weighed(r, 1, true) == 1);
	r->slow_oneshots = true;
	assert_int_equal(run(r, "sleep 9", 60, &s, &err), HG_OK);
	RIG_UNTIL(r, s.n == 1);
	assert_int_equal(s.status, -1);
	assert_string_equal(s.why, "it took longer than 60 ms");
	assert_int_equal(r->kills, 1);
	r->exec_fails = true;
	assert_int_equal(run(r, "sleep 9", 1000, &t, &err), HG_OK);
	RIG_UNTIL(r, t.n == 1);
	assert_int_equal(t.status, -1);
	assert_non_null(strstr(t.why, "execution of its command failed"));
	r->exec_fails = false;
	assert_int_equal(run(r, "no-such-program", 1000, &t, &err), HG_E_FLEET_COMMAND);
	assert_int_equal(run(r, "true $PORT", 1000, &t, &err), HG_E_COMMAND);
	struct spec_pair bad = {HG_STR("A=B"), HG_STR("")};
	assert_int_equal(fleet_command_run(r->fleet, HG_STR("hello"), 1, HG_STR("true"), &bad, 1,
	                         1000, on_done, &t, &err),
	        HG_E_INVALID);
	assert_int_equal(fleet_command_run(r->fleet, HG_STR("hello"), 9, HG_STR("true"), NULL, 0,
	                         1000, on_done, &t, &err),
	        HG_E_NOT_FOUND);
	/* Sixteen at a time. */
	struct said many = {0};
	for (int i = 0; i < 16; i++)
		assert_int_equal(run(r, "sleep 9", 500, &many, &err), HG_OK);
	assert_int_equal(run(r, "sleep 9", 500, &many, &err), HG_E_AGAIN);
	RIG_UNTIL(r, many.n == 16);
	assert_int_equal(t.n, 1);
}

static void a_command_of_a_dead_control_is_ended_and_tells_nobody(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	struct said s = {0};
	rig_apply(r, HELLO(1, blue));
	RIG_UNTIL(r, weighed(r, 1, true) == 1);
	r->slow_oneshots = true;
	assert_int_equal(run(r, "sleep 9", 60000, &s, &err), HG_OK);
	RIG_UNTIL(r, rig_living(r) == 2);
	rig_control_dies(r);
	rig_control(r, 2);
	assert_int_equal(run(r, "sleep 9", 60000, &s, &err), HG_E_AGAIN);
	rig_apply(r, HELLO(1, blue));
	RIG_UNTIL(r, rig_living(r) == 1);
	RIG_UNTIL(r, r->proc[1].forgotten);
	assert_int_equal(s.n, 0);
	assert_true(r->proc[0].alive);
}

static void commands_fail_when_the_warden_is_lost(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	struct said s = {0};
	rig_apply(r, HELLO(1, blue));
	RIG_UNTIL(r, weighed(r, 1, true) == 1);
	r->slow_oneshots = true;
	assert_int_equal(run(r, "sleep 9", 60000, &s, &err), HG_OK);
	RIG_UNTIL(r, rig_living(r) == 2);
	loop_io_stop(r->loop, &r->io);
	assert_int_equal(shutdown(r->fds[1], SHUT_RDWR), 0);
	RIG_UNTIL(r, s.n == 1);
	assert_string_equal(s.why, "the warden is dead");
	assert_int_equal(run(r, "sleep 9", 60000, &s, &err), HG_E_FLEET_WARDEN);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, up_decided, rig_down)
	const struct CMUnitTest tests[] = {
	        CASE(a_changed_file_makes_a_release_and_what_serves_goes_on),
	        CASE(a_reload_does_not_undo_a_deploy),
	        CASE(who_was_not_told_of_a_release_is_told_after_a_death_of_control),
	        CASE(a_full_disk_delays_the_word_of_a_release_until_it_is_stored),
	        CASE(after_all_was_down_the_file_counts_at_once),
	        CASE(a_trial_has_replicas_and_lanes_and_no_weight),
	        CASE(a_promotion_and_the_way_back_start_and_stop_nothing),
	        CASE(after_kill_9_of_control_both_arms_are_adopted_as_they_are),
	        CASE(a_row_of_a_program_that_knows_no_trials_is_not_mistaken),
	        CASE(failed_starts_and_ends_are_counted_per_release),
	        CASE(what_cannot_be_wanted_is_refused),
	        CASE(recreate_ends_the_former_replicas_first),
	        CASE(a_command_runs_once_as_a_replica_would_and_its_end_is_told),
	        CASE(a_command_that_takes_too_long_or_never_starts_has_failed),
	        CASE(a_command_of_a_dead_control_is_ended_and_tells_nobody),
	        CASE(commands_fail_when_the_warden_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
