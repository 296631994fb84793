/* What happens to a message: attempts, failures, restarts, and clocks that are set. */
#include "routes.h"

#include <stdio.h>

static void a_failure_is_tried_again_and_a_refusal_at_the_next_look(void **state)
{
	(void)state;
	struct notify_conf c = conf_of(plain, 1);
	struct notify_state *s;
	struct hg_err err = {0};
	char id[NOTIFY_ID_SIZE];
	assert_int_equal(notify_state_new(7, &s), HG_OK);
	assert_int_equal(notify_conf_use(s, &c, T0, &err), HG_OK);
	world_put(s, "alertname=A app=a", T0, T0 + 1000 * MIN_MS, T0);
	uint64_t now = T0 + 30000;
	notify_tick(s, now);
	struct notify_send *send = notify_due(s, now);
	assert_non_null(send);
	assert_null(notify_due(s, now)); /* it is under way */
	memcpy(id, send->id, sizeof id);
	notify_result(s, send, NOTIFY_RETRY, 0, "status 500", now);
	assert_null(notify_due(s, now));
	assert_in_range(notify_next(s), now + 750, now + 1000);
	send = notify_due(s, now + 1000);
	assert_non_null(send);
	assert_string_equal(send->id, id); /* the same message */
	assert_int_equal(send->attempts, 2);
	notify_result(s, send, NOTIFY_RETRY, 20000, "status 500", now + 1000); /* Retry-After */
	assert_null(notify_due(s, now + 20999));
	send = notify_due(s, now + 21000);
	assert_non_null(send);
	notify_result(s, send, NOTIFY_FINAL, 0, "status 500", now + 21000);
	assert_int_equal(notify_group_at(s, 0)->why, NOTIFY_WHY_FAILED);
	assert_null(notify_due(s, now + 60000));
	notify_tick(s, now + 5 * MIN_MS); /* the next look: still nobody knows */
	send = notify_due(s, now + 5 * MIN_MS);
	assert_non_null(send);
	assert_string_equal(send->id, id);
	notify_result(s, send, NOTIFY_DELIVERED, 0, NULL, now + 5 * MIN_MS);
	notify_tick(s, now + 10 * MIN_MS);
	assert_null(notify_due(s, now + 10 * MIN_MS));
	notify_state_free(s);
}

static void retries_end_with_the_interval_and_news_have_a_new_id(void **state)
{
	(void)state;
	struct notify_conf c = conf_of(plain, 1);
	struct notify_state *s;
	struct hg_err err = {0};
	char id[NOTIFY_ID_SIZE] = "";
	uint32_t ids = 0, attempts = 0;
	assert_int_equal(notify_state_new(7, &s), HG_OK);
	assert_int_equal(notify_conf_use(s, &c, T0, &err), HG_OK);
	world_put(s, "alertname=A app=a", T0, T0 + 1000 * MIN_MS, T0);
	for (uint64_t now = T0; now < T0 + 12 * MIN_MS; now += 250) {
		struct notify_send *send;
		if (now == T0 + 8 * MIN_MS)
			world_put(s, "alertname=A app=b", T0, T0 + 1000 * MIN_MS, now);
		notify_tick(s, now);
		while ((send = notify_due(s, now))) {
			attempts++;
			if (strcmp(send->id, id) != 0) ids++;
			memcpy(id, send->id, sizeof id);
			notify_result(s, send, NOTIFY_RETRY, 0, "status 500", now);
		}
	}
	assert_int_equal(ids, 2); /* a; then a and b */
	assert_in_range(attempts, 15, 40);
	notify_state_free(s);
}

/* What would be written, put into another state. */
static enum hg_rc copy(void *arg, const struct notify_changed *c)
{
	if (c->what == NOTIFY_ENTRY_SET) return notify_log_restore(arg, c->entry);
	if (c->what != NOTIFY_ALERT_SET) return HG_OK;
	struct notify_input in = {.labels = c->alert->labels,
	        .annotations = c->alert->annotations,
	        .starts_ms = c->alert->starts_ms,
	        .ends_ms = c->alert->ends_ms};
	return notify_restore(arg, &in, c->alert->updated_ms, c->alert->timeout);
}

/* Dies; the next life has what was written. */
static struct notify_state *killed(struct notify_state *s, struct notify_state *disk, uint64_t now,
        const struct notify_conf *c)
{
	struct hg_err err = {0};
	assert_int_equal(notify_changes(s, copy, disk), HG_OK);
	assert_true(notify_alert_count(disk) == 1 && notify_entry_count(disk) == 1);
	notify_state_free(s);
	notify_hold(disk, now + MIN_MS);
	assert_int_equal(notify_conf_use(disk, c, now, &err), HG_OK);
	return disk;
}

static void a_send_that_was_cut_off_is_sent_again_with_its_id(void **state)
{
	(void)state;
	struct notify_conf c = conf_of(plain, 1);
	struct notify_state *s;
	struct hg_err err = {0};
	char id[NOTIFY_ID_SIZE];
	uint64_t now = T0 + 30000;
	assert_int_equal(notify_state_new(7, &s), HG_OK);
	assert_int_equal(notify_conf_use(s, &c, T0, &err), HG_OK);
	world_put(s, "alertname=A app=a", T0, T0 + 3 * MIN_MS, T0);
	notify_tick(s, now);
	struct notify_send *send = notify_due(s, now);
	assert_non_null(send);
	memcpy(id, send->id, sizeof id);
	struct notify_state *disk;
	assert_int_equal(notify_state_new(9, &disk), HG_OK);
	s = killed(s, disk, now, &c);
	notify_tick(s, now + 1);
	send = notify_due(s, now + 1);
	assert_non_null(send);
	assert_string_equal(send->id, id);
	notify_result(s, send, NOTIFY_DELIVERED, 0, NULL, now + 2);
	/* And once it was told, the next life tells nobody again. */
	assert_int_equal(notify_conf_use(s, &c, now + 3, &err), HG_OK);
	for (uint64_t t = now; t < now + 2 * MIN_MS; t += 1000) {
		notify_tick(s, t);
		assert_null(notify_due(s, t));
	}
	notify_state_free(s);
}

static struct notify_state *fresh(const struct notify_conf *c)
{
	struct notify_state *s;
	struct hg_err err = {0};
	assert_int_equal(notify_state_new(7, &s), HG_OK);
	assert_int_equal(notify_conf_use(s, c, T0, &err), HG_OK);
	return s;
}

static struct notify_send *due_at(struct notify_state *s, uint64_t now)
{
	notify_tick(s, now);
	return notify_due(s, now);
}

/* What people see of a group is of the last attempt, for each receiver by itself. */
static void a_failed_attempt_is_shown_until_one_goes_well(void **state)
{
	static const struct notify_route two[] = {
	        ALONE(WAITS, .receivers = both, .receiver_count = 2)};
	(void)state;
	struct notify_conf c = conf_of(two, 1);
	struct notify_state *s = fresh(&c);
	const struct notify_entry *failed;
	world_put(s, "alertname=A app=a", T0, T0 + 1000 * MIN_MS, T0);
	const struct notify_group *g = notify_group_at(s, 0);
	assert_int_equal(notify_group_why(s, g, 0, &failed), NOTIFY_WHY_WAITING);
	uint64_t now = T0 + 30000;
	struct notify_send *x = due_at(s, now), *y = notify_due(s, now);
	assert_true(x && y);
	struct notify_send *hook = x->channel == 0 ? x : y, *mail = x->channel == 0 ? y : x;
	assert_int_equal(notify_group_why(s, g, 0, &failed), NOTIFY_WHY_SENDING);
	notify_result(s, mail, NOTIFY_DELIVERED, 0, NULL, now);
	assert_int_equal(notify_group_why(s, g, 1, &failed), NOTIFY_WHY_SENT);
	notify_result(s, hook, NOTIFY_RETRY, 0, "status 503", now);
	assert_int_equal(notify_group_why(s, g, 0, &failed), NOTIFY_WHY_FAILED);
	assert_string_equal(failed->error, "status 503");
	assert_str(failed->channel, "team/webhook");
	assert_int_equal(failed->try_ms, now);
	assert_int_equal(notify_again_ms(s, g, failed), hook->next_ms);
	assert_in_range(hook->next_ms, now + 750, now + 1000);
	const struct notify_entry *kept = failed;
	assert_int_equal(notify_group_why(s, g, 1, &failed), NOTIFY_WHY_SENT);
	/* The next one is under way: what is known is of the last. */
	hook = due_at(s, now + 1000);
	assert_non_null(hook);
	assert_int_equal(notify_group_why(s, g, 0, &failed), NOTIFY_WHY_FAILED);
	assert_true(failed == kept && notify_again_ms(s, g, failed) == 0);
	notify_result(s, hook, NOTIFY_FINAL, 0, "status 400: no \xc3", now + 1000);
	assert_int_equal(notify_group_why(s, g, 0, &failed), NOTIFY_WHY_FAILED);
	assert_string_equal(failed->error, "status 400: no ");
	assert_int_equal(failed->attempts, 2);
	/* Given up: it is tried again when the group is looked at, and has failed since then. */
	assert_int_equal(notify_again_ms(s, g, failed), g->next_ms);
	assert_true(g->next_ms > now + 1000 && failed->try_ms == now);
	hook = due_at(s, now + 5 * MIN_MS);
	assert_non_null(hook);
	notify_result(s, hook, NOTIFY_DELIVERED, 0, NULL, now + 5 * MIN_MS);
	assert_int_equal(notify_group_why(s, g, 0, &failed), NOTIFY_WHY_SENT);
	assert_null(failed);
	assert_null(due_at(s, now + 10 * MIN_MS));
	assert_int_equal(notify_group_why(s, g, 0, &failed), NOTIFY_WHY_TOLD);
	notify_state_free(s);
}

/* Whoever evaluates says when it ended, which may be before the look that told of its beginning. */
static void an_end_that_comes_while_the_beginning_is_told_is_told_too(void **state)
{
	(void)state;
	struct notify_conf c = conf_of(plain, 1);
	struct notify_state *s = fresh(&c);
	world_put(s, "alertname=A app=a", T0, T0 + 1000 * MIN_MS, T0);
	uint64_t now = T0 + 30000;
	struct notify_send *send = due_at(s, now);
	assert_non_null(send);
	world_put(s, "alertname=A app=a", T0, now - 500, now + 800);
	notify_result(s, send, NOTIFY_DELIVERED, 0, NULL, now + 1000);
	assert_int_equal(notify_alert_count(s), 1);
	send = due_at(s, now + 5 * MIN_MS);
	assert_non_null(send);
	assert_int_equal(send->count, 1);
	assert_int_equal(send->firing_count, 0);
	notify_result(s, send, NOTIFY_DELIVERED, 0, NULL, now + 5 * MIN_MS);
	notify_tick(s, now + 5 * MIN_MS + 1);
	assert_int_equal(notify_alert_count(s), 0);
	notify_state_free(s);
}

static uint32_t count_sent(struct notify_state *s, uint64_t from, uint64_t to)
{
	struct notify_send *send;
	uint32_t n = 0;
	for (uint64_t now = from; now <= to; now += 1000) {
		notify_tick(s, now);
		while ((send = notify_due(s, now)) && ++n)
			notify_result(s, send, NOTIFY_DELIVERED, 0, NULL, now);
	}
	return n;
}

static void the_same_receiver_by_two_ways_is_told_once(void **state)
{
	static const uint32_t twice[] = {0, 0};
	static const struct notify_route named_twice[] = {
	        ALONE(WAITS, .receivers = twice, .receiver_count = 2)};
	static const struct notify_route siblings[] = {
	        ROUTE("{}", 1, NOTIFY_NONE, WAITS, .receivers = zero, .receiver_count = 1),
	        ROUTE("{}/a", NOTIFY_NONE, 2, WAITS, .receivers = zero, .receiver_count = 1,
	                .go_on = true),
	        ROUTE("{}/a", NOTIFY_NONE, NOTIFY_NONE, WAITS, .receivers = zero,
	                .receiver_count = 1)};
	(void)state;
	struct notify_conf list[] = {conf_of(named_twice, 1), conf_of(siblings, 3)};
	for (size_t i = 0; i < HG_COUNT(list); i++) {
		struct notify_state *s = fresh(&list[i]);
		world_put(s, "alertname=A app=a", T0, T0 + 1000 * MIN_MS, T0);
		assert_int_equal(count_sent(s, T0, T0 + 59 * MIN_MS), 1);
		world_put(s, "alertname=A app=a", T0, T0 + 59 * MIN_MS, T0 + 59 * MIN_MS);
		assert_int_equal(count_sent(s, T0 + 59 * MIN_MS, T0 + 200 * MIN_MS), 1);
		assert_int_equal(notify_alert_count(s), 0);
		notify_state_free(s);
	}
}

static void a_receiver_that_asks_for_a_pause_gets_it_beyond_the_next_look(void **state)
{
	static const struct notify_route quick[] = {EVERY(1000, 60 * MIN_MS)};
	static const struct {
		uint64_t asked_ms, got_ms;
	} rows[] = {{60000, 60000}, {24 * 60 * MIN_MS, NOTIFY_ASKED_MAX_MS}};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct notify_conf c = conf_of(quick, 1);
		struct notify_state *s = fresh(&c);
		const struct notify_entry *failed;
		world_put(s, "alertname=A app=a", T0, T0 + 1000 * MIN_MS, T0);
		struct notify_send *send = due_at(s, T0);
		assert_non_null(send);
		notify_result(s, send, NOTIFY_RETRY, rows[i].asked_ms, "status 429", T0);
		uint64_t now = T0;
		while (!(send = due_at(s, now)) && now < T0 + 25 * 60 * MIN_MS) {
			const struct notify_group *g = notify_group_at(s, 0);
			assert_int_equal(notify_group_why(s, g, 0, &failed), NOTIFY_WHY_FAILED);
			now += 1000;
		}
		assert_int_equal(now - T0, rows[i].got_ms);
		notify_state_free(s);
	}
}

/* More than twice as long as a repetition, but shorter than the interval: the end is told. */
static void an_end_is_told_when_the_interval_is_longer_than_repeat(void **state)
{
	static const struct notify_route slow[] = {EVERY(60 * MIN_MS, MIN_MS)};
	(void)state;
	struct notify_conf c = conf_of(slow, 1);
	struct notify_state *s = fresh(&c);
	world_put(s, "alertname=A app=a", T0, T0 + 1000 * MIN_MS, T0);
	assert_int_equal(count_sent(s, T0, T0 + 30 * MIN_MS), 1);
	world_put(s, "alertname=A app=a", T0, T0 + 30 * MIN_MS, T0 + 30 * MIN_MS);
	assert_int_equal(count_sent(s, T0 + 30 * MIN_MS, T0 + 61 * MIN_MS), 1);
	notify_state_free(s);
}

/* An hour forwards or back: nothing is over, nothing is told early, late or twice. */
static void a_clock_that_is_set_changes_nothing_that_is_told(void **state)
{
	static const int64_t by[] = {3600000, -3600000, -86400000, 86400000};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(by); i++) {
		struct notify_conf c = conf_of(plain, 1);
		struct notify_state *s = fresh(&c);
		struct notify_send *send;
		char got[256] = "";
		uint64_t off = 0;
		for (uint64_t t = 0; t <= 70 * 60; t++) {
			uint64_t now = T0 + t * 1000 + off;
			if (t == 329) { /* a second before a look */
				off += (uint64_t)by[i];
				now += (uint64_t)by[i];
				notify_clock_set(s, by[i]);
			}
			struct world_labels w;
			struct notify_input in = {.labels = world_labels(&w, "alertname=A app=a")};
			/* Repeated by somebody who gives no end, until minute 40. */
			if (t % 60 == 0 && t < 40 * 60)
				assert_int_equal(notify_put(s, &in, now, NULL, NULL), HG_OK);
			notify_tick(s, now);
			while ((send = notify_due(s, now))) {
				size_t n = strlen(got);
				snprintf(got + n, sizeof got - n, "%llu%c ", (unsigned long long)t,
				        send->firing_count ? '+' : '-');
				notify_result(s, send, NOTIFY_DELIVERED, 0, NULL, now);
			}
		}
		/* Heard of last in minute 39: over five later, told at the next look. */
		assert_string_equal(got, "30+ 2730- ");
		notify_state_free(s);
	}
}

/* A store from a day whose clock was a year ahead. */
static void what_was_told_in_the_future_is_repeated_in_time(void **state)
{
	(void)state;
	struct notify_conf c = conf_of(plain, 1);
	struct notify_state *s = fresh(&c), *disk;
	struct hg_err err = {0};
	uint64_t ahead = T0 + 365ull * 1440 * MIN_MS;
	struct world_labels w;
	struct notify_input in = {.labels = world_labels(&w, "alertname=A app=a")};
	assert_int_equal(notify_put(s, &in, ahead, NULL, &err), HG_OK);
	assert_int_equal(count_sent(s, ahead, ahead + MIN_MS), 1);
	assert_int_equal(notify_state_new(9, &disk), HG_OK);
	s = killed(s, disk, T0, &c);
	uint32_t n = 0;
	for (uint64_t now = T0; now < T0 + 70 * MIN_MS; now += MIN_MS) {
		assert_int_equal(notify_put(s, &in, now, NULL, &err), HG_OK);
		n += count_sent(s, now, now + 59000);
	}
	assert_int_equal(n, 1); /* after an hour, not after a year */
	notify_state_free(s);
}

static void after_a_start_what_inhibits_may_come_first(void **state)
{
	static const struct notify_route apart[] = {
	        ALONE(.receivers = zero, .receiver_count = 1, .group_by_all = true)};
	(void)state;
	struct notify_conf c = conf_of(apart, 1);
	c.inhibits = inhibits;
	c.inhibit_count = 1;
	struct notify_state *s;
	struct hg_err err = {0};
	struct hg_buf b;
	hg_buf_init(&b, 4096);
	assert_int_equal(notify_state_new(1, &s), HG_OK);
	notify_hold(s, T0 + MIN_MS);
	assert_int_equal(notify_conf_use(s, &c, T0, &err), HG_OK);
	world_put(s, "alertname=B app=shop severity=warning", T0 - 60 * MIN_MS, T0 + 1000 * MIN_MS,
	        T0);
	for (uint64_t now = T0; now < T0 + 2 * MIN_MS; now += 1000) {
		if (now == T0 + 20000)
			world_put(s, "alertname=A app=shop severity=critical", T0,
			        T0 + 1000 * MIN_MS, now);
		notify_tick(s, now);
		sent_now(s, now, &b);
	}
	assert_str(hg_buf_view(&b), "+shop");
	hg_buf_free(&b);
	notify_state_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_failure_is_tried_again_and_a_refusal_at_the_next_look),
	        cmocka_unit_test(retries_end_with_the_interval_and_news_have_a_new_id),
	        cmocka_unit_test(a_send_that_was_cut_off_is_sent_again_with_its_id),
	        cmocka_unit_test(a_failed_attempt_is_shown_until_one_goes_well),
	        cmocka_unit_test(an_end_that_comes_while_the_beginning_is_told_is_told_too),
	        cmocka_unit_test(the_same_receiver_by_two_ways_is_told_once),
	        cmocka_unit_test(a_receiver_that_asks_for_a_pause_gets_it_beyond_the_next_look),
	        cmocka_unit_test(an_end_is_told_when_the_interval_is_longer_than_repeat),
	        cmocka_unit_test(a_clock_that_is_set_changes_nothing_that_is_told),
	        cmocka_unit_test(what_was_told_in_the_future_is_repeated_in_time),
	        cmocka_unit_test(after_a_start_what_inhibits_may_come_first),
	};
	return cmocka_run_group_tests_name("attempts", tests, NULL, NULL);
}
