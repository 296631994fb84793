/* What carries it out: with a real store, on clocks that the test turns. */
#include "world.h"

#include "control/notify/notify.h"
#include "spec/spec.h"

#include <stdio.h>
#include <unistd.h>

static uint64_t wall_ms, mono_ms;

static uint64_t fake_wall(void)
{
	return wall_ms;
}

static uint64_t fake_mono(void)
{
	return mono_ms;
}

static void pass(uint64_t ms)
{
	wall_ms += ms;
	mono_ms += ms;
}

struct rig {
	char dir[64];
	struct loop *loop;
	struct store *store;
	struct notify *notify;
};

static void begin(struct rig *r)
{
	static const char yaml[] =
	        "app: a\ncommand: x\nalerts:\n  settle: 0s\n  receivers: {r: {slack: NO_SECRET}}\n"
	        "  route: {to: [r], wait: 1h}\n";
	struct notify_options o = {.loop = r->loop,
	        .store = r->store,
	        .data_dir = r->dir,
	        .seed = 1,
	        .wall_ms = fake_wall,
	        .mono_ms = fake_mono};
	struct hg_arena mem;
	struct spec *spec;
	struct spec_report *report = calloc(1, sizeof *report);
	struct notify_plan *plan = NULL;
	struct hg_err err = {0};
	assert_non_null(report);
	assert_int_equal(notify_new(&o, &r->notify, &err), HG_OK);
	hg_arena_init(&mem, "test", 64u << 20);
	struct spec_source from = {.text = hg_str(yaml), .file = "headgate.yaml"};
	if (spec_load(&from, &mem, report, &spec) < 0) fail_msg("%s", report->errors[0].message);
	if (notify_check(spec, &plan, &err) < 0) fail_msg("%s", err.message);
	notify_apply(r->notify, plan);
	hg_arena_fini(&mem);
	free(report);
}

static int up(void **state)
{
	struct rig *r = calloc(1, sizeof *r);
	assert_non_null(r);
	(void)snprintf(r->dir, sizeof r->dir, "/tmp/headgate-notify-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	assert_int_equal(store_open(r->dir, &r->store, NULL), HG_OK);
	assert_int_equal(loop_new(&r->loop), HG_OK);
	wall_ms = T0;
	mono_ms = 5000;
	begin(r);
	*state = r;
	return 0;
}

static int down(void **state)
{
	struct rig *r = *state;
	char command[128];
	notify_free(r->notify);
	loop_free(r->loop);
	store_close(r->store);
	(void)snprintf(command, sizeof command, "rm -r %s", r->dir);
	assert_int_equal(system(command), 0);
	free(r);
	return 0;
}

static void fire(struct rig *r)
{
	struct world_labels w;
	struct hg_err err = {0};
	struct notify_input in = {.labels = world_labels(&w, "alertname=A app=a"), .rule = true};
	assert_int_equal(notify_alert(r->notify, &in, 1, &err), HG_OK);
}

/* Whoever looks sees an alert that goes on as one, however the clock was set in between. */
static void a_clock_that_is_set_ends_no_alert(void **state)
{
	static const int64_t by[] = {3600000, -3600000, 1999, -86400000};
	struct rig *r = *state;
	fire(r);
	for (size_t i = 0; i < HG_COUNT(by); i++) {
		pass(60000);
		wall_ms = (uint64_t)((int64_t)wall_ms + by[i]);
		struct notify_state *s = notify_view(r->notify);
		assert_int_equal(notify_alert_count(s), 1);
		assert_false(notify_alert_resolved(notify_alert_at(s, 0), wall_ms));
		fire(r);
		uint64_t next = notify_next(notify_view(r->notify));
		assert_in_range(next, wall_ms + 1, wall_ms + 3600000);
	}
	/* Time that passes is another matter. */
	pass(NOTIFY_RESOLVE_MS + 1);
	assert_true(notify_alert_resolved(notify_alert_at(notify_view(r->notify), 0), wall_ms));
}

static void the_next_life_knows_alerts_and_why_the_last_attempt_failed(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	const struct notify_entry *failed = NULL;
	fire(r);
	pass(3600000);
	fire(r);
	assert_int_equal(notify_changed(r->notify, &err), HG_OK); /* it looks, and has no secret */
	struct notify_state *s = notify_view(r->notify);
	const struct notify_group *g = notify_group_at(s, 0);
	assert_int_equal(notify_group_why(s, g, 0, &failed), NOTIFY_WHY_FAILED);
	assert_string_equal(
	        failed->error, "secret NO_SECRET has no value: headgate secret set NO_SECRET");
	for (int i = 0; i < 400; i++) { /* until the look is given up, which is written */
		pass(1000);
		fire(r);
	}
	notify_free(r->notify);
	pass(1000);
	begin(r);
	s = notify_view(r->notify);
	assert_int_equal(notify_alert_count(s), 1);
	assert_int_equal(notify_entry_count(s), 1);
	assert_true(strstr(notify_entry_at(s, 0)->error, "NO_SECRET") != NULL);
}

#define RIG(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        RIG(a_clock_that_is_set_ends_no_alert),
	        RIG(the_next_life_knows_alerts_and_why_the_last_attempt_failed),
	};
	return cmocka_run_group_tests_name("doer", tests, NULL, NULL);
}
