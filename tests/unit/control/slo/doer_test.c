/* The doing half: counting, keeping, telling. */
#include "rig.h"

/* ---- counting ---- */

static void all_lanes_of_an_app_count_and_those_of_others_do_not(void **state)
{
	struct rig *r = *state;
	apply(r, YAML);
	traffic(r, 6, 503, 3, 1000); /* the edge's own answers */
	traffic(r, 7, 200, 10, 50000000);
	traffic(r, 7, 404, 2, 130000000); /* good, and too slow */
	traffic(r, 8, 429, 4, 1000);      /* neither */
	traffic(r, 5, 500, 9, 1000);
	after(r, 5000);
	struct slo_counts c = counts(r, "web", 5);
	assert_int_equal(c.good, 12);
	assert_int_equal(c.bad, 3);
	assert_int_equal(c.fast, 17);
	assert_int_equal(c.slow, 2);
	c = counts(r, "api", 5);
	assert_int_equal(c.bad, 9);
	assert_int_equal(c.fast, 0);
	after(r, 5000);
	assert_int_equal(counts(r, "web", 5).good, 12); /* once */
	/* An edge worker that is replaced counts on where the dead one stopped. */
	meter_worker_reset(r->meter, 1);
	traffic(r, 7, 200, 2, 1);
	after(r, 5000);
	assert_int_equal(counts(r, "web", 5).good, 14);
}

static void what_was_counted_before_there_was_an_objective_is_left_out(void **state)
{
	struct rig *r = *state;
	traffic(r, 7, 500, 1000, 1);
	apply(r, YAML);
	after(r, 5000);
	assert_int_equal(counts(r, "web", 60).bad, 0);
	traffic(r, 7, 500, 1, 1);
	after(r, 5000);
	assert_int_equal(counts(r, "web", 60).bad, 1);
}

static void kill_9_of_control_loses_nothing(void **state)
{
	struct rig *r = *state;
	uint64_t sent = 0;
	apply(r, YAML);
	for (int life = 0; life < 40; life++) {
		for (int i = 0; i < 1 + life % 17; i++, sent += 3) {
			traffic(r, 7, 200, 3, 1);
			after(r, 5000);
		}
		traffic(r, 7, 200, 2, 1); /* never looked at by this one */
		sent += 2;
		die(r);
		fake_ms += (uint64_t)life * 3000;
		begin(r);
		apply(r, YAML);
		assert_int_equal(counts(r, "web", 600).good, sent);
	}
	assert_int_equal(counts(r, "web", 600).bad, 0);
}

static void minutes_without_control_get_equal_shares(void **state)
{
	struct rig *r = *state;
	apply(r, YAML);
	traffic(r, 7, 200, 1, 1);
	after(r, 60000);
	after(r, 60000); /* written */
	die(r);
	traffic(r, 7, 200, 60, 1);
	fake_ms += 6 * 60000;
	begin(r);
	apply(r, YAML);
	assert_int_equal(counts(r, "web", 600).good, 61);
	/* What was written last was of the minute before: seven shares. */
	assert_in_range(counts(r, "web", 3).good, 24, 27);
	/* … but not the quiet ones before it was killed. */
	for (int i = 0; i < 200; i++)
		after(r, 60000);
	traffic(r, 7, 500, 12, 1);
	after(r, 5000);
	die(r);
	fake_ms += 1000;
	begin(r);
	apply(r, YAML);
	assert_int_equal(counts(r, "web", 2).bad, 12);
}

static void when_everything_was_killed_the_open_minute_is_lost_and_no_more(void **state)
{
	struct rig *r = *state;
	apply(r, YAML);
	for (int i = 0; i < 12 * 90; i++) { /* over the end of hours */
		traffic(r, 7, 200, 10, 1);
		after(r, 5000);
	}
	uint64_t sent = 10 * 12 * 90;
	die(r);
	memset(r->meter, 0, meter_size(2));
	meter_init(r->meter, 2);
	r->memory_id = 78;
	traffic(r, 7, 200, 5, 1); /* served before the new control looked */
	begin(r);
	apply(r, YAML);
	uint64_t have = counts(r, "web", 600).good;
	print_message("# %lu of %lu\n", (unsigned long)have, (unsigned long)sent + 5);
	assert_in_range(have, sent + 5 - 130, sent + 5);
	/* A proper end loses nothing. */
	slo_free(r->slo);
	begin(r);
	apply(r, YAML);
	assert_int_equal(counts(r, "web", 600).good, have);
}

static void lanes_that_fall_back_are_no_traffic(void **state)
{
	struct rig *r = *state;
	apply(r, YAML);
	traffic(r, 7, 200, 100, 1);
	traffic(r, 8, 500, 10, 1);
	after(r, 5000);
	r->fleet.lane[3].lane = 9; /* its old one is another one's now */
	after(r, 5000);
	struct slo_counts c = counts(r, "web", 60);
	assert_int_equal(c.good, 100);
	assert_int_equal(c.bad, 10);
	traffic(r, 9, 500, 1, 1);
	after(r, 5000);
	assert_int_equal(counts(r, "web", 60).bad, 11);
}

/* After thousands of releases a lane that counted for one app counts for another. */
static void a_lane_that_is_given_to_another_app_brings_nothing_along(void **state)
{
	struct rig *r = *state;
	apply(r, YAML);
	traffic(r, 8, 500, 1000, 1);
	traffic(r, 7, 200, 50, 1);
	traffic(r, 5, 200, 10, 1);
	after(r, 5000);
	r->fleet.lane[3] = (struct fleet_lane){"web", "*/", 3, 9};
	r->fleet.lane[1] = (struct fleet_lane){"api", "*/new", 2, 8}; /* was web's */
	traffic(r, 7, 200, 5, 1);
	traffic(r, 5, 500, 2, 1);
	after(r, 5000);
	assert_int_equal(counts(r, "api", 60).bad, 2);
	assert_int_equal(counts(r, "web", 60).bad, 1000);
	assert_int_equal(counts(r, "web", 60).good, 55);
	traffic(r, 8, 500, 3, 1);
	traffic(r, 9, 500, 4, 1);
	after(r, 60000);
	assert_int_equal(counts(r, "api", 60).bad, 5);
	assert_int_equal(counts(r, "web", 60).bad, 1004);
	/* That is known to the next life as well. */
	after(r, 60000);
	die(r);
	begin(r);
	apply(r, YAML);
	assert_int_equal(counts(r, "api", 60).bad, 5);
	assert_int_equal(counts(r, "web", 60).bad, 1004);
}

static void other_rules_count_from_when_they_are_in_force(void **state)
{
	struct rig *r = *state;
	apply(r, YAML);
	traffic(r, 7, 404, 50, 1);
	after(r, 5000);
	traffic(r, 7, 404, 7, 1);
	fake_ms += 1000;
	apply(r, "project: t\napps:\n  web:\n    command: x --port $PORT\n    slo:\n"
	         "      availability: {objective: 99.95%, good: 2xx, bad: 404 5xx}\n");
	assert_int_equal(counts(r, "web", 60).good, 57); /* by the rules until then */
	assert_int_equal(counts(r, "web", 60).bad, 0);
	traffic(r, 7, 404, 5, 1);
	after(r, 5000);
	assert_int_equal(counts(r, "web", 60).good, 57);
	assert_int_equal(counts(r, "web", 60).bad, 5);
	apply(r, "project: t\napps: {web: {command: x --port $PORT}}\n");
	assert_int_equal(r->slo->count, 0);
	assert_false(loop_timer_active(&r->slo->timer)); /* nothing to do, nothing done */
}

static void a_damaged_hour_is_left_out_and_the_others_count(void **state)
{
	struct rig *r = *state;
	apply(r, YAML);
	for (int i = 0; i < 3; i++) {
		traffic(r, 7, 200, 10, 1);
		after(r, 3600 * 1000);
	}
	after(r, 60000);
	die(r);
	assert_int_equal(db_exec(r->store->db,
	                         "UPDATE slo_hour SET counts=x'0102' WHERE app=3 AND hour="
	                         "(SELECT min(hour) FROM slo_hour WHERE app=3)",
	                         NULL),
	        HG_OK);
	begin(r);
	apply(r, YAML);
	assert_int_equal(counts(r, "web", 6000).good, 20);
}

static void hours_that_no_window_needs_are_forgotten(void **state)
{
	struct rig *r = *state;
	apply(r, YAML);
	for (int i = 0; i < 6; i++) { /* api: a window of an hour */
		traffic(r, 5, 200, 10, 1);
		after(r, 3600 * 1000);
	}
	after(r, 60000);
	die(r);
	begin(r);
	apply(r, YAML);
	assert_in_range(counts(r, "api", 6000).good, 10, 30);
}

/* ---- telling ---- */

static void outage(struct rig *r)
{
	traffic(r, 7, 200, 200, 1);
	after(r, 5000);
	traffic(r, 7, 500, 100, 1);
	after(r, 5000);
}

static void a_burning_budget_is_told_once_and_written_down(void **state)
{
	struct rig *r = *state;
	apply(r, YAML);
	outage(r);
	assert_int_equal(journal(r, "slo.burn"), 2); /* critical, and the ticket */
	assert_int_equal(journal(r, "slo.frozen"), 1);
	assert_int_equal(r->told.firing, 2);
	assert_int_equal(r->told.news, 2);
	assert_true(strstr(r->told.summary, "100 of 300 answers in ") != NULL);
	for (int i = 0; i < 24; i++)
		after(r, 5000);
	assert_int_equal(r->told.alerts, 2);
	assert_int_equal(r->told.again, 4); /* each once a minute, as it fires still */
	/* Another control does not say it again. */
	die(r);
	begin(r);
	apply(r, YAML);
	after(r, 5000);
	assert_int_equal(r->told.alerts, 2);
	assert_int_equal(r->told.again, 6); /* … at once, as nobody knows when it was */
	assert_int_equal(journal(r, "slo.burn"), 2);
	/* Nobody asks any more: it ends. */
	for (int i = 0; i < 3 * 24 * 60; i++)
		after(r, 60000);
	assert_int_equal(r->told.over, 2);
	assert_int_equal(journal(r, "slo.burn_over"), 2);
}

static void with_a_full_disk_people_hear_of_it_and_the_journal_later(void **state)
{
	struct rig *r = *state;
	apply(r, YAML);
	after(r, 5000);
	assert_int_equal(db_exec(r->store->db, "PRAGMA query_only=ON", NULL), HG_OK);
	outage(r);
	for (int i = 0; i < 30; i++)
		after(r, 5000);
	assert_int_equal(r->told.firing, 2); /* once each, however often it is tried */
	assert_int_equal(db_exec(r->store->db, "PRAGMA query_only=OFF", NULL), HG_OK);
	assert_int_equal(journal(r, "slo.burn"), 0);
	after(r, 5000);
	assert_int_equal(journal(r, "slo.burn"), 2);
	assert_int_equal(r->told.firing, 2);
	after(r, 60000);
	after(r, 60000);
	die(r);
	begin(r);
	apply(r, YAML);
	assert_int_equal(counts(r, "web", 60).bad, 100); /* kept meanwhile, written now */
}

static void what_cannot_be_opened_for_it_undoes_the_entry(void **state)
{
	struct rig *r = *state;
	apply(r, YAML);
	r->told.news_rc = HG_E_DB_FULL;
	outage(r);
	assert_int_equal(journal(r, "slo.burn"), 0);
	r->told.news_rc = HG_OK;
	after(r, 5000);
	assert_int_equal(journal(r, "slo.burn"), 2);
}

static void a_freeze_says_why_and_what_to_do(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	apply(r, YAML);
	assert_int_equal(slo_may_deploy(r->slo, HG_STR("web"), &err), HG_OK);
	assert_int_equal(slo_may_deploy(r->slo, HG_STR("other"), &err), HG_OK);
	traffic(r, 7, 200, 9991, 1);
	traffic(r, 7, 500, 4, 1); /* fewer than min_failures */
	assert_int_equal(slo_may_deploy(r->slo, HG_STR("web"), &err), HG_OK);
	traffic(r, 7, 500, 1, 1); /* 5 of 9996: the budget is 4.998 */
	assert_int_equal(slo_may_deploy(r->slo, HG_STR("web"), &err), HG_E_SLO_FROZEN);
	assert_int_equal(hg_rc_info(err.rc)->exit_status, 6);
	assert_true(strstr(err.message, "\"web\" are frozen: 100.0 % of its error budget is "
	                                "spent; at least 10 % must be left") != NULL);
	assert_true(strstr(err.detail, "availability: 5 of 9996 answers of the last 30d") != NULL);
	assert_true(strstr(err.hint, "--override WHY") != NULL);
	/* api has no such rule. */
	traffic(r, 5, 500, 100, 1);
	assert_int_equal(slo_may_deploy(r->slo, HG_STR("api"), &err), HG_OK);
}

static void programs_are_shown_numbers_and_prometheus_every_series(void **state)
{
	static const char *const lines[] = {
	        "headgate_slo_objective_ratio{app=\"web\",slo=\"availability\"} 0.9995\n",
	        "headgate_slo_window_seconds{app=\"web\",slo=\"availability\"} 2592000\n",
	        "headgate_slo_window_events{app=\"web\",slo=\"availability\",result=\"bad\"} 100\n",
	        "headgate_slo_window_events{app=\"web\",slo=\"latency\",result=\"good\"} 300\n",
	        "headgate_slo_error_budget_remaining_ratio{app=\"api\",slo=\"availability\"} 1\n",
	        "headgate_slo_alert_firing{app=\"web\",slo=\"availability\",severity=\"critical\"} "
	        "1\n",
	        "headgate_slo_alert_firing{app=\"web\",slo=\"latency\",severity=\"critical\"} 0\n",
	        "headgate_slo_burn_rate{app=\"web\",slo=\"availability\",window=\"1h\"} 666.66",
	        "headgate_slo_burn_rate{app=\"api\",slo=\"availability\",window=\"1m\"} 0\n",
	        "headgate_slo_deploys_frozen{app=\"web\"} 1\n",
	        "headgate_slo_deploys_frozen{app=\"api\"} 0\n"};
	struct rig *r = *state;
	struct hg_buf b;
	struct hg_err err = {0};
	hg_buf_init(&b, 1u << 20);
	slo_metrics(r->slo, &b);
	assert_int_equal(b.n, 0); /* no objectives, no series */
	apply(r, YAML);
	outage(r);
	slo_metrics(r->slo, &b);
	for (size_t i = 0; i < HG_COUNT(lines); i++)
		if (!strstr(hg_buf_text(&b), lines[i])) fail_msg("no %s in\n%s", lines[i], b.p);
	hg_buf_reset(&b);
	assert_int_equal(slo_json(r->slo, HG_STR("web"), &b, &err), HG_OK);
	const char *text = hg_buf_text(&b);
	assert_non_null(strstr(text, "\"schema\":\"headgate.slo/1\""));
	assert_non_null(strstr(text, "\"bad\":100,\"total\":300"));
	assert_non_null(strstr(text, "\"minutes\":21.6"));
	assert_non_null(strstr(text, "\"frozen\":true"));
	assert_non_null(strstr(text, "\"frozen\":false")); /* latency does not */
	assert_non_null(strstr(text, "\"exhausted_in_s\":0.0"));
	assert_null(strstr(text, "\"api\""));
	assert_int_equal(slo_json(r->slo, HG_STR("nobody"), &b, &err), HG_E_NOT_FOUND);
	assert_float_equal(slo_edge_s(r->slo, "web"), 0.12, 1e-9);
	assert_float_equal(slo_edge_s(r->slo, "api"), 0, 0);
	hg_buf_free(&b);
}

#define RIG(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        RIG(all_lanes_of_an_app_count_and_those_of_others_do_not),
	        RIG(what_was_counted_before_there_was_an_objective_is_left_out),
	        RIG(kill_9_of_control_loses_nothing),
	        RIG(minutes_without_control_get_equal_shares),
	        RIG(when_everything_was_killed_the_open_minute_is_lost_and_no_more),
	        RIG(lanes_that_fall_back_are_no_traffic),
	        RIG(a_lane_that_is_given_to_another_app_brings_nothing_along),
	        RIG(other_rules_count_from_when_they_are_in_force),
	        RIG(a_damaged_hour_is_left_out_and_the_others_count),
	        RIG(hours_that_no_window_needs_are_forgotten),
	        RIG(a_burning_budget_is_told_once_and_written_down),
	        RIG(with_a_full_disk_people_hear_of_it_and_the_journal_later),
	        RIG(what_cannot_be_opened_for_it_undoes_the_entry),
	        RIG(a_freeze_says_why_and_what_to_do),
	        RIG(programs_are_shown_numbers_and_prometheus_every_series),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
