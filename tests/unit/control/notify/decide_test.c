/* Alertmanager's rules on a clock that the test turns. */
#include "routes.h"

#include <stdio.h>

/* ---- routes ---- */

static void the_first_match_wins_unless_it_goes_on(void **state)
{
	static const struct notify_route tree[] = {
	        ROUTE("{}", 1, NOTIFY_NONE, .receivers = zero, .receiver_count = 1),
	        ROUTE("{}/db", 4, 2, .matchers = db, .matcher_count = 1),
	        ROUTE("{}/critical", NOTIFY_NONE, 3, .matchers = critical, .matcher_count = 1,
	                .go_on = true),
	        ROUTE("{}/notdev", NOTIFY_NONE, NOTIFY_NONE, .matchers = not_dev,
	                .matcher_count = 1),
	        ROUTE("{}/db/critical", NOTIFY_NONE, NOTIFY_NONE, .matchers = critical,
	                .matcher_count = 1)};
	static const struct {
		const char *labels;
		uint32_t n, routes[4];
	} rows[] = {
	        {"alertname=A team=db", 1, {1}}, {"alertname=A severity=critical team=db", 1, {4}},
	        {"alertname=A severity=critical", 2, {2, 3}},
	        {"alertname=A env=dev severity=critical", 1, {2}}, {"alertname=A env=dev", 1, {0}},
	        {"alertname=A", 1, {3}}, /* a missing label is empty, which is not "dev" */
	};
	(void)state;
	struct notify_conf c = conf_of(tree, 5);
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct world_labels w;
		uint32_t got[8],
		        n = notify_route_match(&c, world_labels(&w, rows[i].labels), got, 8);
		if (n != rows[i].n || memcmp(got, rows[i].routes, n * sizeof *got) != 0)
			fail_msg("%s: %u routes, first %u", rows[i].labels, n, n ? got[0] : 99);
	}
}

/* ---- one group ---- */

struct turn {
	const char *put; /* labels; NULL: none */
	bool resolved;
	uint64_t at_s;    /* since T0 */
	const char *want; /* "+a-b": firing a, resolved b; "": nothing is sent */
};

static void play(const struct notify_conf *c, const struct turn *turns, size_t n)
{
	struct notify_state *s;
	struct hg_err err = {0};
	uint64_t now = T0;
	assert_int_equal(notify_state_new(1, &s), HG_OK);
	assert_int_equal(notify_conf_use(s, c, T0, &err), HG_OK);
	for (size_t i = 0; i < n; i++) {
		struct hg_buf b;
		hg_buf_init(&b, 4096);
		uint64_t until = T0 + turns[i].at_s * 1000;
		for (; now <= until; now += 1000) {
			if (now == until && turns[i].put)
				world_put(s, turns[i].put, T0,
				        turns[i].resolved ? now : now + 1000 * MIN_MS, now);
			notify_tick(s, now);
			sent_now(s, now, &b);
		}
		if (!hg_str_eq(hg_buf_view(&b), hg_str(turns[i].want)))
			fail_msg("turn %zu (second %llu): sent \"%s\", not \"%s\"", i,
			        (unsigned long long)turns[i].at_s, hg_buf_text(&b), turns[i].want);
		hg_buf_free(&b);
	}
	notify_state_free(s);
}

static void a_group_waits_then_tells_changes_by_its_interval(void **state)
{
	static const struct turn turns[] = {
	        {"alertname=A app=a", false, 0, ""},
	        {"alertname=A app=b", false, 10, ""},
	        {NULL, false, 29, ""},
	        {NULL, false, 30, "+a+b"},
	        {"alertname=A app=c", false, 40, ""}, /* told at the next look */
	        {NULL, false, 329, ""},
	        {NULL, false, 330, "+a+b+c"},
	        {"alertname=A app=a", true, 400, ""},
	        {NULL, false, 630, "+b+c-a"},
	        {NULL, false, 3600, ""},
	        {NULL, false, 630 + 3600, "+b+c"}, /* repeat */
	        {"alertname=A app=b", true, 4300, ""},
	        {"alertname=A app=c", true, 4301, ""},
	        {NULL, false, 4530, "-b-c"},
	        {NULL, false, 9000, ""},
	};
	(void)state;
	struct notify_conf c = conf_of(plain, 1);
	play(&c, turns, HG_COUNT(turns));
}

static void what_is_resolved_and_fires_again_within_an_interval_is_no_news(void **state)
{
	static const struct turn turns[] = {
	        {"alertname=A app=a", false, 0, ""},
	        {NULL, false, 30, "+a"},
	        {"alertname=A app=a", true, 60, ""},
	        {"alertname=A app=a", false, 120, ""},
	        {NULL, false, 1200, ""},
	};
	(void)state;
	struct notify_conf c = conf_of(plain, 1);
	play(&c, turns, HG_COUNT(turns));
}

static void what_is_over_before_anybody_was_told_is_not_told(void **state)
{
	static const struct turn turns[] = {
	        {"alertname=A app=a", false, 0, ""},
	        {"alertname=A app=a", true, 20, ""},
	        {NULL, false, 1200, ""},
	};
	(void)state;
	struct notify_conf c = conf_of(plain, 1);
	play(&c, turns, HG_COUNT(turns));
}

static void a_channel_that_wants_no_ends_is_told_of_the_next_beginning(void **state)
{
	static const struct notify_route mail[] = {
	        ALONE(WAITS, .receivers = one, .receiver_count = 1)};
	static const struct turn turns[] = {
	        {"alertname=A app=a", false, 0, ""}, {NULL, false, 30, "+a"},
	        {"alertname=A app=a", true, 60, ""}, {NULL, false, 340, ""},
	        {"alertname=A app=a", false, 400, "+a"}, /* burns since T0: no wait */
	};
	(void)state;
	struct notify_conf c = conf_of(mail, 1);
	play(&c, turns, HG_COUNT(turns));
}

static void each_receiver_of_a_route_has_its_own_log(void **state)
{
	static const struct notify_route two[] = {
	        ALONE(WAITS, .receivers = both, .receiver_count = 2)};
	static const struct turn turns[] = {
	        {"alertname=A app=a", false, 0, ""},
	        {NULL, false, 30, "+a+a"},
	        {"alertname=A app=a", true, 60, ""},
	        {NULL, false, 330, "-a"},
	};
	(void)state;
	struct notify_conf c = conf_of(two, 1);
	play(&c, turns, HG_COUNT(turns));
}

static void groups_are_by_label_or_each_alert_its_own(void **state)
{
	static const struct notify_route app[] = {
	        ALONE(WAITS, .receivers = zero, .receiver_count = 1, .group_by_all = true)};
	(void)state;
	struct notify_conf c = conf_of(app, 1);
	struct notify_state *s;
	struct hg_err err = {0};
	assert_int_equal(notify_state_new(1, &s), HG_OK);
	assert_int_equal(notify_conf_use(s, &c, T0, &err), HG_OK);
	world_put(s, "alertname=A app=a", T0, 0, T0);
	world_put(s, "alertname=A app=b", T0, 0, T0);
	assert_int_equal(notify_group_count(s), 2);
	assert_str(notify_group_at(s, 0)->key, "{}:{alertname=\"A\", app=\"a\"}");
	struct notify_conf p = conf_of(plain, 1);
	assert_int_equal(notify_conf_use(s, &p, T0, &err), HG_OK);
	assert_int_equal(notify_group_count(s), 1);
	assert_str(notify_group_at(s, 0)->key, "{}:{alertname=\"A\"}");
	notify_state_free(s);
}

static void an_alert_that_nobody_repeats_ends_by_itself(void **state)
{
	(void)state;
	struct notify_conf c = conf_of(plain, 1);
	struct notify_state *s;
	struct hg_err err = {0};
	struct hg_buf b;
	hg_buf_init(&b, 4096);
	assert_int_equal(notify_state_new(1, &s), HG_OK);
	assert_int_equal(notify_conf_use(s, &c, T0, &err), HG_OK);
	world_put(s, "alertname=A app=a", 0, 0, T0);
	for (uint64_t now = T0; now < T0 + 20 * MIN_MS; now += 1000) {
		notify_tick(s, now);
		sent_now(s, now, &b);
	}
	assert_str(hg_buf_view(&b), "+a-a");
	assert_int_equal(notify_alert_count(s), 0);
	assert_int_equal(notify_group_count(s), 0);
	hg_buf_free(&b);
	notify_state_free(s);
}

/* ---- what keeps back ---- */

static void the_greater_evil_keeps_the_lesser_back(void **state)
{
	static const struct notify_route apart[] = {
	        ALONE(WAITS, .receivers = zero, .receiver_count = 1, .group_by_all = true)};
	(void)state;
	struct notify_conf c = conf_of(apart, 1);
	c.inhibits = inhibits;
	c.inhibit_count = 1;
	static const struct turn turns[] = {
	        {"alertname=A app=shop severity=critical", false, 0, ""},
	        {"alertname=B app=shop severity=warning", false, 1, ""},
	        {"alertname=C app=blog severity=warning", false, 2, ""},
	        {NULL, false, 33, "+shop+blog"}, /* one shop: the critical one */
	        {"alertname=A app=shop severity=critical", true, 60, ""},
	        /* The critical one's end; the warning is free at its own next look. */
	        {NULL, false, 340, "-shop+shop"},
	};
	play(&c, turns, HG_COUNT(turns));
}

static void what_is_on_both_sides_does_not_inhibit_itself(void **state)
{
	static const struct notify_inhibit same[] = {{critical, critical, 1, 1, by_app, 1}};
	(void)state;
	struct notify_conf c = conf_of(plain, 1);
	c.inhibits = same;
	c.inhibit_count = 1;
	static const struct turn turns[] = {
	        {"alertname=A app=shop severity=critical", false, 0, ""},
	        {"alertname=B app=shop severity=critical", false, 1, ""},
	        {NULL, false, 33, "+shop+shop"},
	};
	play(&c, turns, HG_COUNT(turns));
}

static const struct notify_silence *silence(struct notify_state *s, const char *id,
        const char *value, uint64_t from, uint64_t to, uint64_t now, enum hg_rc want)
{
	struct label_matcher m = {.op = LABEL_RE, .name = HG_STR("app"), .value = hg_str(value)};
	struct notify_silence in = {.matchers = &m,
	        .matcher_count = 1,
	        .starts_ms = from,
	        .ends_ms = to,
	        .created_by = HG_STR("me"),
	        .comment = HG_STR("work")};
	const struct notify_silence *q = NULL;
	struct hg_err err = {0};
	(void)hg_str_copy(hg_str(id), in.id, sizeof in.id);
	assert_int_equal(notify_silence_set(s, &in, now, &q, &err), want);
	return q;
}

static void silences_take_what_they_match_while_they_last(void **state)
{
	(void)state;
	struct notify_conf c = conf_of(plain, 1);
	struct notify_state *s;
	struct hg_err err = {0};
	struct hg_buf b;
	char id[NOTIFY_ID_SIZE];
	hg_buf_init(&b, 4096);
	assert_int_equal(notify_state_new(1, &s), HG_OK);
	assert_int_equal(notify_conf_use(s, &c, T0, &err), HG_OK);
	(void)silence(s, "", ".*", T0, T0 + MIN_MS, T0, HG_E_ALERT_BODY); /* takes everything */
	(void)silence(s, "", "a", T0 + MIN_MS, T0, T0, HG_E_ALERT_BODY);
	(void)silence(s, "", "(", T0, T0 + MIN_MS, T0, HG_E_ALERT_BODY);
	(void)silence(s, "nope", "a", T0, T0 + MIN_MS, T0, HG_E_NOT_FOUND);
	const struct notify_silence *q = silence(s, "", "a|x", T0, T0 + 10 * MIN_MS, T0, HG_OK);
	memcpy(id, q->id, sizeof id);
	world_put(s, "alertname=A app=a", T0, T0 + 1000 * MIN_MS, T0);
	world_put(s, "alertname=A app=b", T0, T0 + 1000 * MIN_MS, T0);
	for (uint64_t now = T0; now < T0 + MIN_MS; now += 1000) {
		notify_tick(s, now);
		sent_now(s, now, &b);
	}
	assert_str(hg_buf_view(&b), "+b");
	/* Longer is the same silence; other matchers are another one, and end the old. */
	q = silence(s, id, "a|x", T0, T0 + 20 * MIN_MS, T0 + MIN_MS, HG_OK);
	assert_string_equal(q->id, id);
	q = silence(s, id, "a", T0, T0 + 20 * MIN_MS, T0 + MIN_MS, HG_OK);
	assert_string_not_equal(q->id, id);
	assert_int_equal(notify_silence_state(notify_silence_find(s, hg_str(id)), T0 + MIN_MS),
	        NOTIFY_EXPIRED);
	memcpy(id, q->id, sizeof id);
	assert_int_equal(notify_silence_expire(s, hg_str(id), T0 + 2 * MIN_MS, NULL, &err), HG_OK);
	assert_int_equal(
	        notify_silence_expire(s, hg_str(id), T0 + 2 * MIN_MS, NULL, &err), HG_E_ALERT_BODY);
	for (uint64_t now = T0 + MIN_MS; now < T0 + 6 * MIN_MS; now += 1000) {
		notify_tick(s, now);
		sent_now(s, now, &b);
	}
	assert_str(hg_buf_view(&b), "+b+a+b");
	notify_tick(s, T0 + 130 * 60 * MIN_MS); /* kept for 120 hours */
	hg_buf_free(&b);
	notify_state_free(s);
}

static void to_be_silenced_is_no_end(void **state)
{
	(void)state;
	struct notify_conf c = conf_of(plain, 1);
	struct notify_state *s;
	struct hg_err err = {0};
	struct hg_buf b;
	hg_buf_init(&b, 4096);
	assert_int_equal(notify_state_new(1, &s), HG_OK);
	assert_int_equal(notify_conf_use(s, &c, T0, &err), HG_OK);
	world_put(s, "alertname=A app=a", T0, T0 + 1000 * MIN_MS, T0);
	for (uint64_t now = T0; now < T0 + 30 * MIN_MS; now += 1000) {
		if (now == T0 + MIN_MS)
			(void)silence(s, "", "a", now, now + 10 * MIN_MS, now, HG_OK);
		notify_tick(s, now);
		sent_now(s, now, &b);
	}
	assert_str(hg_buf_view(&b), "+a");
	assert_int_equal(notify_group_at(s, 0)->why, NOTIFY_WHY_TOLD);
	hg_buf_free(&b);
	notify_state_free(s);
}

static void muted_times_and_active_times_keep_back(void **state)
{
	static const uint32_t at_night_[] = {0}, weekend_[] = {1};
	static const struct notify_route muted[] = {ALONE(
	        WAITS, .receivers = zero, .receiver_count = 1, .mute = at_night_, .mute_count = 1)};
	static const struct notify_route active[] = {ALONE(WAITS, .receivers = zero,
	        .receiver_count = 1, .active = weekend_, .active_count = 1)};
	/* T0 is 22:13:20: night until midnight, which is 6400 s away; looks at 30 + 300 n. */
	static const struct turn turns[] = {
	        {"alertname=A app=a", false, 0, ""},
	        {NULL, false, 6400, ""},
	        {NULL, false, 6700, "+a"},
	};
	static const struct turn never[] = {
	        {"alertname=A app=a", false, 0, ""},
	        {NULL, false, 6700, ""},
	};
	(void)state;
	struct notify_conf c = conf_of(muted, 1);
	play(&c, turns, HG_COUNT(turns));
	c = conf_of(active, 1);
	play(&c, never, HG_COUNT(never));
}

static void times_are_cut_from_days_and_minutes(void **state)
{
	static const struct notify_span last[] = {{-2, -1}}, nov[] = {{11, 11}},
	                                y[] = {{2023, 2024}};
	static const struct notify_span tue_fri[] = {{2, 5}}, mid[] = {{14, 14}};
	static const struct notify_period p1[] = {{.days = last, .day_count = 1}};
	static const struct notify_period p2[] = {{.weekdays = tue_fri,
	        .weekday_count = 1,
	        .days = mid,
	        .day_count = 1,
	        .months = nov,
	        .month_count = 1,
	        .years = y,
	        .year_count = 1,
	        .minutes = night,
	        .minute_count = 1}};
	const struct notify_times t1 = {HG_STR("t"), p1, 1, NULL}, t2 = {HG_STR("t"), p2, 1, NULL};
	(void)state;
	assert_true(notify_times_contain(&t2, T0));
	assert_false(notify_times_contain(&t2, T0 + 2 * 60 * MIN_MS)); /* the 15th */
	assert_false(notify_times_contain(&t2, T0 - 60 * MIN_MS));     /* before 22:00 */
	assert_false(notify_times_contain(&t1, T0));
	assert_true(notify_times_contain(&t1, T0 + 15ull * 1440 * MIN_MS));  /* Nov 29 */
	assert_false(notify_times_contain(&t1, T0 + 14ull * 1440 * MIN_MS)); /* Nov 28 */
	assert_true(notify_times_contain(&t1, 1709164800000));               /* Feb 29, 2024 */
}

static void limits_are_errors(void **state)
{
	(void)state;
	struct notify_conf c = conf_of(plain, 1);
	struct notify_state *s;
	struct hg_err err = {0};
	assert_int_equal(notify_state_new(1, &s), HG_OK);
	assert_int_equal(notify_conf_use(s, &c, T0, &err), HG_OK);
	struct notify_input none = {0};
	assert_int_equal(notify_put(s, &none, T0, NULL, &err), HG_E_ALERT_BODY);
	struct world_labels w;
	struct notify_input late = {
	        .labels = world_labels(&w, "a=b"), .starts_ms = T0, .ends_ms = T0 - 1};
	assert_int_equal(notify_put(s, &late, T0, NULL, &err), HG_E_ALERT_BODY);
	for (uint32_t i = 0; i <= NOTIFY_ALERTS_MAX; i++) {
		char text[32];
		snprintf(text, sizeof text, "alertname=A i=%u", i);
		struct notify_input in = {.labels = world_labels(&w, text)};
		enum hg_rc rc = notify_put(s, &in, T0, NULL, &err);
		assert_int_equal(rc, i < NOTIFY_ALERTS_MAX ? HG_OK : HG_E_ALERT_LIMIT);
	}
	notify_state_free(s);
}

static enum hg_rc count_change(void *arg, const struct notify_changed *c)
{
	if (c->what == NOTIFY_ALERT_SET) ++*(unsigned *)arg;
	return HG_OK;
}

/* How often the store is told of an alert that is told of now, and ends `valid` later. */
static unsigned changes(struct notify_state *s, struct notify_input in, uint64_t now, bool rule)
{
	struct world_labels w;
	unsigned n = 0;
	in.labels = world_labels(&w, "alertname=A");
	in.rule = rule;
	assert_int_equal(notify_put(s, &in, now, NULL, NULL), HG_OK);
	assert_int_equal(notify_changes(s, count_change, &n), HG_OK);
	return n;
}

static void that_a_rules_alert_goes_on_is_written_once_a_minute(void **state)
{
	(void)state;
	struct notify_state *s = NULL;
	struct world_labels notes;
	struct notify_input in = {.starts_ms = T0, .ends_ms = T0 + 4 * MIN_MS};
	assert_int_equal(notify_state_new(1, &s), HG_OK);
	assert_int_equal(changes(s, in, T0, true), 1);
	for (uint64_t t = T0 + 1000; t <= T0 + MIN_MS; t += 1000) {
		in.ends_ms = t + 4 * MIN_MS;
		assert_int_equal(changes(s, in, t, true), 0);
	}
	in.ends_ms = T0 + 5 * MIN_MS + 1000;
	assert_int_equal(changes(s, in, T0 + MIN_MS + 1000, true), 1);
	/* What is said of it changed; it ends; it begins again; somebody else tells. */
	in.annotations = world_labels(&notes, "summary=b");
	assert_int_equal(changes(s, in, T0 + MIN_MS + 2000, true), 1);
	in.ends_ms = T0 + MIN_MS + 3000;
	assert_int_equal(changes(s, in, T0 + MIN_MS + 3000, true), 1);
	in.starts_ms = T0 + MIN_MS + 4000;
	in.ends_ms = T0 + 5 * MIN_MS;
	assert_int_equal(changes(s, in, T0 + MIN_MS + 4000, true), 1);
	assert_int_equal(changes(s, in, T0 + MIN_MS + 4000, false), 1);
	assert_int_equal(changes(s, in, T0 + MIN_MS + 4000, false), 1);
	notify_state_free(s);
}

static void the_fingerprint_is_that_of_prometheus(void **state)
{
	(void)state;
	/* model.LabelSet{}.Fingerprint() is the offset of FNV-1a. */
	assert_int_equal(notify_fingerprint((struct labels){0}), 14695981039346656037u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_first_match_wins_unless_it_goes_on),
	        cmocka_unit_test(a_group_waits_then_tells_changes_by_its_interval),
	        cmocka_unit_test(what_is_resolved_and_fires_again_within_an_interval_is_no_news),
	        cmocka_unit_test(what_is_over_before_anybody_was_told_is_not_told),
	        cmocka_unit_test(a_channel_that_wants_no_ends_is_told_of_the_next_beginning),
	        cmocka_unit_test(each_receiver_of_a_route_has_its_own_log),
	        cmocka_unit_test(groups_are_by_label_or_each_alert_its_own),
	        cmocka_unit_test(an_alert_that_nobody_repeats_ends_by_itself),
	        cmocka_unit_test(the_greater_evil_keeps_the_lesser_back),
	        cmocka_unit_test(what_is_on_both_sides_does_not_inhibit_itself),
	        cmocka_unit_test(silences_take_what_they_match_while_they_last),
	        cmocka_unit_test(to_be_silenced_is_no_end),
	        cmocka_unit_test(muted_times_and_active_times_keep_back),
	        cmocka_unit_test(times_are_cut_from_days_and_minutes),
	        cmocka_unit_test(limits_are_errors),
	        cmocka_unit_test(that_a_rules_alert_goes_on_is_written_once_a_minute),
	        cmocka_unit_test(the_fingerprint_is_that_of_prometheus),
	};
	return cmocka_run_group_tests_name("decide", tests, NULL, NULL);
}
