/* The doing half: a real store, a real loop, a clock that is turned. */
#include "../../test.h"

#include "control/incident/incident.c"

#include <unistd.h>

#include "db/db.h"
#include "store/store_priv.h"

#define MIN 60000u

static uint64_t fake_ms;

static uint64_t fake_wall(void)
{
	return fake_ms;
}

struct rig {
	char dir[64];
	struct loop *loop;
	struct store *store;
	struct incidents *in;
	uint32_t events, lates;
	struct incident_late_notice last;
};

static void on_event(void *arg)
{
	struct rig *r = arg;
	r->events++;
}

static void on_late(void *arg, const struct incident_late_notice *n)
{
	struct rig *r = arg;
	r->lates++;
	r->last = *n;
}

static void begin_room(struct rig *r)
{
	struct incidents_options o = {.loop = r->loop,
	        .store = r->store,
	        .wall_ms = fake_wall,
	        .on_event = on_event,
	        .on_late = on_late,
	        .arg = r};
	assert_int_equal(incidents_new(&o, &r->in, NULL), HG_OK);
}

static int up(void **state)
{
	struct rig *r = calloc(1, sizeof *r);
	assert_non_null(r);
	(void)snprintf(r->dir, sizeof r->dir, "/tmp/headgate-inc-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	assert_int_equal(store_open(r->dir, &r->store, NULL), HG_OK);
	assert_int_equal(db_exec(r->store->db, "PRAGMA synchronous=OFF", NULL), HG_OK);
	assert_int_equal(loop_new(&r->loop), HG_OK);
	fake_ms = 1764183600000; /* 2025-11-26 19:00 UTC */
	begin_room(r);
	*state = r;
	return 0;
}

static int down(void **state)
{
	struct rig *r = *state;
	char command[128];
	incidents_free(r->in);
	loop_free(r->loop);
	store_close(r->store);
	(void)snprintf(command, sizeof command, "rm -r %s", r->dir);
	assert_int_equal(system(command), 0);
	free(r);
	return 0;
}

static void turn(struct rig *r, uint64_t ms)
{
	fake_ms += ms;
	look(r->loop, &r->in->task);
}

static uint64_t trigger(struct rig *r, const char *app, const char *cause, uint32_t priority)
{
	uint64_t id = 0;
	struct hg_err err = {0};
	if (incidents_trigger(r->in,
	            &(struct incident_trigger){.app = app,
	                    .cause = cause,
	                    .title = "it burns",
	                    .runbook = "docs/runbooks/errors.md",
	                    .priority = priority},
	            &id, &err) < 0)
		fail_msg("%s", err.message);
	return id;
}

static void event(struct rig *r, const char *app, const char *kind, const char *text)
{
	assert_int_equal(store_event_add(r->store,
	                         &(struct store_event){.ts_ms = fake_ms,
	                                 .kind = hg_str(kind),
	                                 .app = hg_str(app),
	                                 .release = 2,
	                                 .text = hg_str(text)},
	                         NULL, NULL),
	        HG_OK);
}

static enum hg_rc people(
        struct rig *r, uint64_t id, enum incident_verb verb, const char *to, const char *note)
{
	return incidents_do(r->in, id, verb, HG_STR("unix:1000"), hg_str(to), hg_str(note), NULL);
}

static void the_same_cause_joins_and_another_opens(void **state)
{
	struct rig *r = *state;
	struct incident i;
	uint64_t a = trigger(r, "web", "app:web", INCIDENT_P3);
	assert_int_equal(trigger(r, "web", "app:web", INCIDENT_P4), a);
	uint64_t b = trigger(r, "web", "backup:main", INCIDENT_P2);
	assert_int_not_equal(a, b);
	assert_int_equal(trigger(r, "web", "app:web", INCIDENT_P1), a);
	assert_int_equal(incident_get(r->in, a, &i, NULL), HG_OK);
	assert_int_equal(i.life.priority, INCIDENT_P1);
	/* One that was taken is joined as well; one that is resolved is over. */
	assert_int_equal(people(r, a, INCIDENT_ACK, "", ""), HG_OK);
	assert_int_equal(trigger(r, "web", "app:web", INCIDENT_P1), a);
	assert_int_equal(people(r, a, INCIDENT_RESOLVE, "", "fixed"), HG_OK);
	uint64_t c = trigger(r, "web", "app:web", INCIDENT_P3);
	assert_true(c > b);
	assert_int_equal(people(r, a, INCIDENT_ACK, "", ""), HG_E_INCIDENT_STATE);
	assert_int_equal(people(r, 99, INCIDENT_ACK, "", ""), HG_E_NOT_FOUND);
}

static void in_the_callers_transaction_it_is_there_or_is_not(void **state)
{
	struct rig *r = *state;
	struct incident i;
	assert_int_equal(store_begin(r->store, NULL), HG_OK);
	uint64_t a = trigger(r, "web", "app:web", INCIDENT_P1);
	store_rollback(r->store);
	assert_int_equal(incident_get(r->in, a, &i, NULL), HG_E_NOT_FOUND);
	assert_int_equal(store_begin(r->store, NULL), HG_OK);
	a = trigger(r, "web", "app:web", INCIDENT_P1);
	assert_int_equal(store_commit(r->store, NULL), HG_OK);
	assert_int_equal(incident_get(r->in, a, &i, NULL), HG_OK);
}

static void nobody_taking_it_is_said_also_by_the_next_control(void **state)
{
	struct rig *r = *state;
	uint64_t id = trigger(r, "web", "app:web", INCIDENT_P1);
	turn(r, 0);
	assert_true(loop_timer_active(&r->in->timer));
	turn(r, 5 * MIN - 1);
	assert_int_equal(r->lates, 0);
	incidents_free(r->in); /* kill -9: the room keeps nothing */
	begin_room(r);
	turn(r, 1);
	assert_int_equal(r->lates, 1);
	assert_int_equal(r->last.id, id);
	assert_int_equal(r->last.priority, INCIDENT_P1);
	turn(r, 1);
	assert_int_equal(r->lates, 1);
	turn(r, 5 * MIN);
	assert_int_equal(r->lates, 2);
	assert_int_equal(people(r, id, INCIDENT_ACK, "", ""), HG_OK);
	turn(r, 600 * MIN);
	assert_int_equal(r->lates, 2);
	assert_false(loop_timer_active(&r->in->timer)); /* nothing is due */
}

static void who_takes_it_has_it_until_somebody_else_is_named(void **state)
{
	struct rig *r = *state;
	struct incident i;
	uint64_t id = trigger(r, "web", "app:web", INCIDENT_P2);
	assert_int_equal(people(r, id, INCIDENT_ACK, "", ""), HG_OK);
	assert_int_equal(incident_get(r->in, id, &i, NULL), HG_OK);
	assert_string_equal(i.assignee, "unix:1000");
	assert_int_equal(people(r, id, INCIDENT_ASSIGN, "kim", ""), HG_OK);
	assert_int_equal(people(r, id, INCIDENT_RESOLVE, "", ""), HG_OK);
	assert_int_equal(incident_get(r->in, id, &i, NULL), HG_OK);
	assert_string_equal(i.assignee, "kim");
}

static uint64_t alert(struct rig *r, const char *cause, uint64_t since_ms)
{
	uint64_t id = 99;
	struct hg_err err = {0};
	if (incidents_alert(r->in,
	            &(struct incident_trigger){.app = "web",
	                    .cause = cause,
	                    .title = "it fires",
	                    .runbook = "",
	                    .priority = INCIDENT_P2},
	            since_ms, &id, &err) < 0)
		fail_msg("%s", err.message);
	return id;
}

static void an_alert_that_is_told_again_opens_nothing_again(void **state)
{
	struct rig *r = *state;
	uint64_t began = fake_ms;
	fake_ms += MIN;
	uint64_t id = alert(r, "app:web", began);
	assert_true(id > 0 && id != 99);
	assert_int_equal(alert(r, "app:web", began), 0);
	/* Another one of the app joins, as it began later; one of something else has its own. */
	fake_ms += MIN;
	assert_int_equal(alert(r, "app:web", fake_ms), id);
	uint64_t other = alert(r, "alert:Disk", began);
	assert_true(other && other != id);
	/* People have resolved it while the alert went on: they know. One that begins anew is new.
	 */
	fake_ms += MIN;
	assert_int_equal(people(r, id, INCIDENT_RESOLVE, "", ""), HG_OK);
	assert_int_equal(alert(r, "app:web", began), 0);
	fake_ms += MIN;
	uint64_t next = alert(r, "app:web", fake_ms);
	assert_true(next > other);
	assert_int_equal(alert(r, "app:web", fake_ms), 0);
}

static void a_critical_alert_says_what_the_incident_is(void **state)
{
	const struct label critical[] = {{HG_STR("alertname"), HG_STR("Down")},
	        {HG_STR("app"), HG_STR("web")}, {HG_STR("priority"), HG_STR("P3")},
	        {HG_STR("severity"), HG_STR("critical")}};
	const struct label warning[] = {
	        {HG_STR("alertname"), HG_STR("Slow")}, {HG_STR("severity"), HG_STR("warning")}};
	const struct label bare[] = {{HG_STR("alertname"), HG_STR("Disk")},
	        {HG_STR("priority"), HG_STR("soon")}, {HG_STR("severity"), HG_STR("critical")}};
	const struct label notes[] = {
	        {HG_STR("runbook"), HG_STR("down.md")}, {HG_STR("summary"), HG_STR("web is down")}};
	struct incident_alert a;
	(void)state;
	assert_false(incident_of_alert((struct labels){warning, 2}, (struct labels){0}, &a));
	assert_false(incident_of_alert((struct labels){0}, (struct labels){0}, &a));
	const struct label worst[] = {
	        {HG_STR("alertname"), HG_STR("Lost")}, {HG_STR("severity"), HG_STR("disaster")}};
	assert_true(incident_of_alert((struct labels){worst, 2}, (struct labels){0}, &a));
	assert_int_equal(a.trigger.priority, INCIDENT_P1);
	assert_true(incident_of_alert((struct labels){critical, 4}, (struct labels){notes, 2}, &a));
	assert_string_equal(a.trigger.app, "web");
	assert_string_equal(a.trigger.cause, "app:web");
	assert_string_equal(a.trigger.title, "web is down");
	assert_string_equal(a.trigger.runbook, "down.md");
	assert_int_equal(a.trigger.priority, INCIDENT_P3);
	assert_true(incident_of_alert((struct labels){bare, 3}, (struct labels){0}, &a));
	assert_string_equal(a.trigger.app, "");
	assert_string_equal(a.trigger.cause, "alert:Disk");
	assert_string_equal(a.trigger.title, "alert Disk");
	assert_int_equal(a.trigger.priority, INCIDENT_P1);
	/* A long text is cut, and not in the middle of a character. */
	char longer[700];
	for (size_t i = 0; i < sizeof longer; i += 2)
		memcpy(longer + i, "\xc3\xa9", 2);
	const struct label wordy[] = {{HG_STR("summary"), {longer, sizeof longer}}};
	assert_true(incident_of_alert((struct labels){bare, 3}, (struct labels){wordy, 1}, &a));
	assert_int_equal(strlen(a.title), INCIDENT_TEXT_MAX - 2);
}

static void its_timeline_is_the_apps_journal_around_it(void **state)
{
	static const char *const there[] = {"\"kind\":\"rollout.began\"", "incident opened as P2",
	        "\"kind\":\"replica.ready\"", "acknowledged by unix:1000: looking",
	        "assigned to kim by unix:1000", "resolved by unix:1000: was the disk",
	        "availability alert (critical): burn 20 in 1h, limit 14.4; 61.0 % of the budget",
	        "\"schema\":\"headgate.incident/1\"", "\"response_s\":900",
	        "\"state\":\"resolved\""};
	static const char *const away[] = {"old.news", "other.app", "after.it", "not.mine"};
	struct rig *r = *state;
	struct hg_buf b;
	event(r, "web", "old.news", "{}");
	fake_ms += 2 * 3600 * 1000;
	event(r, "web", "rollout.began", "{\"rollout\":3}");
	event(r, "other", "other.app", "{}");
	fake_ms += 10 * MIN;
	uint64_t id = trigger(r, "web", "app:web", INCIDENT_P2);
	event(r, "web", "slo.burn",
	        "{\"slo\":\"availability\",\"severity\":\"critical\",\"burn\":[20,30],\"limit\":"
	        "14.4,\"windows\":[\"1h\",\"5m\"],\"left\":0.61}");
	event(r, "web", "incident.not.mine", "{\"incident\":77}");
	fake_ms += MIN;
	assert_int_equal(people(r, id, INCIDENT_ACK, "", "looking"), HG_OK);
	event(r, "web", "replica.ready", "{}");
	assert_int_equal(people(r, id, INCIDENT_ASSIGN, "kim", ""), HG_OK);
	fake_ms += 30 * MIN;
	assert_int_equal(people(r, id, INCIDENT_RESOLVE, "", "was the disk"), HG_OK);
	event(r, "web", "after.it", "{}");
	hg_buf_init(&b, 1u << 20);
	assert_int_equal(incidents_show_json(r->in, id, &b, NULL), HG_OK);
	for (size_t i = 0; i < HG_COUNT(there); i++)
		if (!strstr(hg_buf_text(&b), there[i])) fail_msg("no %s in\n%s", there[i], b.p);
	for (size_t i = 0; i < HG_COUNT(away); i++)
		if (strstr(hg_buf_text(&b), away[i])) fail_msg("%s is in\n%s", away[i], b.p);
	hg_buf_free(&b);
}

static void the_report_is_filled_in_and_no_text_breaks_it(void **state)
{
	static const char *const there[] = {"# Incident 1: a \\| b \\<script>",
	        "| priority | P1, to "
	        "be taken within 5 min |",
	        "| acknowledged | 2025-11-26 19:06:00 UTC, after 6 min |", "| in time | no |",
	        "| resolved | 2025-11-26 19:36:00 UTC, after 36 min |",
	        "| runbook | docs/runbooks/errors.md |", "## Root cause", "## Actions",
	        "not acknowledged in time (escalation 1)", "resolved by unix:1000: x\\|y"};
	struct rig *r = *state;
	struct hg_buf b;
	uint64_t id = 0;
	assert_int_equal(incidents_trigger(r->in,
	                         &(struct incident_trigger){.app = "web",
	                                 .cause = "app:web",
	                                 .title = "a | b <script>\nc",
	                                 .runbook = "docs/runbooks/errors.md",
	                                 .priority = INCIDENT_P1},
	                         &id, NULL),
	        HG_OK);
	turn(r, 5 * MIN);
	fake_ms += MIN;
	assert_int_equal(people(r, id, INCIDENT_ACK, "", ""), HG_OK);
	fake_ms += 30 * MIN;
	assert_int_equal(people(r, id, INCIDENT_RESOLVE, "", "x|y"), HG_OK);
	hg_buf_init(&b, 1u << 20);
	assert_int_equal(incidents_report(r->in, id, &b, NULL), HG_OK);
	for (size_t i = 0; i < HG_COUNT(there); i++)
		if (!strstr(hg_buf_text(&b), there[i])) fail_msg("no %s in\n%s", there[i], b.p);
	assert_int_equal(incidents_report(r->in, 99, &b, NULL), HG_E_NOT_FOUND);
	hg_buf_free(&b);
}

static void lists_and_series(void **state)
{
	struct rig *r = *state;
	struct hg_buf b;
	uint64_t a = trigger(r, "web", "app:web", INCIDENT_P1);
	(void)trigger(r, "api", "app:api", INCIDENT_P3);
	assert_int_equal(people(r, a, INCIDENT_RESOLVE, "", ""), HG_OK);
	hg_buf_init(&b, 1u << 20);
	assert_int_equal(incidents_list_json(r->in, false, 10, &b, NULL), HG_OK);
	assert_non_null(strstr(hg_buf_text(&b), "\"app\":\"web\""));
	hg_buf_reset(&b);
	assert_int_equal(incidents_list_json(r->in, true, 10, &b, NULL), HG_OK);
	assert_null(strstr(hg_buf_text(&b), "\"app\":\"web\""));
	assert_non_null(strstr(hg_buf_text(&b), "\"priority\":\"P3\""));
	hg_buf_reset(&b);
	incidents_metrics(r->in, &b);
	assert_non_null(strstr(hg_buf_text(&b), "headgate_incidents_open{priority=\"P1\"} 0\n"));
	assert_non_null(strstr(hg_buf_text(&b), "headgate_incidents_open{priority=\"P3\"} 1\n"));
	hg_buf_free(&b);
}

static void a_full_disk_is_said_and_lateness_waits_for_it(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	uint64_t id = trigger(r, "web", "app:web", INCIDENT_P1), other = 0;
	assert_int_equal(db_exec(r->store->db, "PRAGMA query_only=ON", NULL), HG_OK);
	assert_true(incidents_trigger(r->in,
	                    &(struct incident_trigger){.app = "x",
	                            .cause = "x",
	                            .title = "x",
	                            .runbook = "",
	                            .priority = INCIDENT_P1},
	                    &other, &err) < 0);
	assert_false(store_in_transaction(r->store));
	turn(r, 6 * MIN);
	assert_int_equal(r->lates, 0);
	assert_int_equal(db_exec(r->store->db, "PRAGMA query_only=OFF", NULL), HG_OK);
	turn(r, 1000);
	assert_int_equal(r->lates, 1);
	assert_int_equal(r->last.id, id);
}

#define RIG(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        RIG(the_same_cause_joins_and_another_opens),
	        RIG(in_the_callers_transaction_it_is_there_or_is_not),
	        RIG(nobody_taking_it_is_said_also_by_the_next_control),
	        RIG(who_takes_it_has_it_until_somebody_else_is_named),
	        RIG(an_alert_that_is_told_again_opens_nothing_again),
	        cmocka_unit_test(a_critical_alert_says_what_the_incident_is),
	        RIG(its_timeline_is_the_apps_journal_around_it),
	        RIG(the_report_is_filled_in_and_no_text_breaks_it),
	        RIG(lists_and_series),
	        RIG(a_full_disk_is_said_and_lateness_waits_for_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
