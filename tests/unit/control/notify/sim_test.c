/*
 * Days of random alerts, failing receivers and crashes in milliseconds, on seeded clocks. After
 * every run the receiver must have: no message twice but where the answer was lost; every alert
 * that fired long enough; an end for every beginning, and no end before its beginning.
 */
#include "world.h"

#include "base/rand.h"

#include <stdio.h>

#define ALERTS 24u
#define HOURS  12u

static const struct hg_str by_name[] = {HG_STR("alertname")};
static const uint32_t zero[] = {0};
static const struct label_matcher muted_[] = {
        {.op = LABEL_EQ, .name = HG_STR("n"), .value = HG_STR("7")}};
static const struct notify_channel channels[] = {
        {NOTIFY_WEBHOOK, HG_STR("team/webhook"), HG_STR("X"), HG_STR(""), true, 0}};
static const struct notify_receiver receivers[] = {{HG_STR("team"), 0, 1, 0}};
static const struct notify_route routes[] = {{.key = HG_STR("{}"),
        .first = NOTIFY_NONE,
        .next = NOTIFY_NONE,
        .receivers = zero,
        .receiver_count = 1,
        .group_by = by_name,
        .group_by_count = 1,
        .wait_ms = 30000,
        .interval_ms = 2 * MIN_MS,
        .repeat_ms = 60 * MIN_MS}};
static const struct notify_conf conf = {.routes = routes,
        .route_count = 1,
        .receivers = receivers,
        .receiver_count = 1,
        .channels = channels,
        .channel_count = 1};

struct told {
	char id[NOTIFY_ID_SIZE];
	uint32_t times, lost; /* accepted; of these, answers that never arrived */
};

struct sim {
	struct hg_rand rand;
	struct notify_state *s;
	bool firing[ALERTS], known[ALERTS]; /* truth; as the receiver has it */
	uint64_t since[ALERTS];             /* of the truth */
	struct told told[4096];
	uint32_t told_count, crashes, doubles;
};

static enum hg_rc save(void *arg, const struct notify_changed *c)
{
	struct notify_state *to = arg;
	struct hg_err err = {0};
	if (c->what == NOTIFY_ALERT_SET) {
		struct notify_input in = {.labels = c->alert->labels,
		        .starts_ms = c->alert->starts_ms,
		        .ends_ms = c->alert->ends_ms};
		return notify_restore(to, &in, c->alert->updated_ms, c->alert->timeout);
	}
	if (c->what == NOTIFY_ENTRY_SET) return notify_log_restore(to, c->entry);
	if (c->what == NOTIFY_SILENCE_SET) return notify_silence_restore(to, c->silence, &err);
	return HG_OK;
}

/* All there is, not only what has changed: what a store would hold. */
static void crash(struct sim *m, uint64_t now)
{
	struct notify_state *next;
	struct hg_err err = {0};
	assert_int_equal(notify_state_new(hg_rand_u64(&m->rand), &next), HG_OK);
	for (uint32_t i = 0; i < notify_alert_count(m->s); i++)
		assert_int_equal(save(next, &(struct notify_changed){.what = NOTIFY_ALERT_SET,
		                                    .alert = notify_alert_at(m->s, i)}),
		        HG_OK);
	for (uint32_t i = 0; i < notify_entry_count(m->s); i++)
		assert_int_equal(save(next, &(struct notify_changed){.what = NOTIFY_ENTRY_SET,
		                                    .entry = notify_entry_at(m->s, i)}),
		        HG_OK);
	for (uint32_t i = 0; i < notify_silence_count(m->s); i++)
		assert_int_equal(save(next, &(struct notify_changed){.what = NOTIFY_SILENCE_SET,
		                                    .silence = notify_silence_at(m->s, i)}),
		        HG_OK);
	notify_state_free(m->s);
	m->s = next;
	notify_hold(m->s, now + MIN_MS);
	assert_int_equal(notify_conf_use(m->s, &conf, now, &err), HG_OK);
	m->crashes++;
}

static struct told *told_of(struct sim *m, const char *id)
{
	for (uint32_t i = 0; i < m->told_count; i++)
		if (strcmp(m->told[i].id, id) == 0) return &m->told[i];
	assert_true(m->told_count < HG_COUNT(m->told));
	struct told *t = &m->told[m->told_count++];
	*t = (struct told){0};
	memcpy(t->id, id, sizeof t->id);
	return t;
}

/* The receiver takes it: beginnings and ends must fit what it has heard. */
static void accept(struct sim *m, const struct notify_send *send)
{
	struct told *t = told_of(m, send->id);
	t->times++;
	if (t->times > t->lost + 1) m->doubles++;
	if (t->times > 1) return;
	for (uint32_t i = 0; i < send->count; i++) {
		struct hg_str n = labels_get(send->alerts[i]->labels, HG_STR("n"));
		uint64_t at = 0;
		assert_true(hg_str_u64(n, &at) && at < ALERTS);
		assert_int_not_equal(at, 7); /* it is silenced */
		bool firing = i < send->firing_count;
		if (!firing && !m->known[at]) /* an end whose beginning was never told */
			assert_true(notify_alert_resolved(send->alerts[i], send->now_ms));
		m->known[at] = firing;
	}
}

/* One attempt: taken, refused, lost before or behind the receiver, or the process dies. */
static bool attempt(struct sim *m, struct notify_send *send, uint64_t now)
{
	uint32_t dice = hg_rand_below(&m->rand, 100);
	if (dice < 60) {
		accept(m, send);
		notify_result(m->s, send, NOTIFY_DELIVERED, 0, NULL, now);
	} else if (dice < 75) {
		notify_result(m->s, send, NOTIFY_RETRY, 0, "status 500", now);
	} else if (dice < 80) {
		notify_result(m->s, send, NOTIFY_FINAL, 0, "status 500", now);
	} else if (dice < 90) {
		accept(m, send);
		told_of(m, send->id)->lost++;
		notify_result(m->s, send, NOTIFY_RETRY, 0, "status 500", now);
	} else {
		bool arrived = hg_rand_below(&m->rand, 2) == 0;
		if (arrived) {
			accept(m, send);
			told_of(m, send->id)->lost++;
		}
		crash(m, now);
		return false;
	}
	return true;
}

static void alerts_turn(struct sim *m, uint64_t now, bool calm)
{
	for (uint32_t i = 0; i < ALERTS; i++) {
		char text[64];
		bool flip = !calm && hg_rand_below(&m->rand, 1200) == 0;
		if (flip) {
			m->firing[i] = !m->firing[i];
			m->since[i] = now;
		}
		snprintf(text, sizeof text, "alertname=A%u n=%u", i % 4, i);
		if (flip && !m->firing[i])
			world_put(m->s, text, 0, now, now);
		else if (m->firing[i] && (flip || now % MIN_MS == 0))
			world_put(m->s, text, m->since[i], now + 4 * MIN_MS, now);
	}
}

static void one_run(uint64_t seed)
{
	struct sim *m = calloc(1, sizeof *m);
	struct hg_err err = {0};
	assert_non_null(m);
	hg_rand_seed(&m->rand, seed);
	assert_int_equal(notify_state_new(seed, &m->s), HG_OK);
	assert_int_equal(notify_conf_use(m->s, &conf, T0, &err), HG_OK);
	struct label_matcher match = muted_[0];
	struct notify_silence q = {.matchers = &match,
	        .matcher_count = 1,
	        .starts_ms = T0,
	        .ends_ms = T0 + 100ull * 60 * MIN_MS,
	        .created_by = HG_STR("me"),
	        .comment = HG_STR("sim")};
	assert_int_equal(notify_silence_set(m->s, &q, T0, NULL, &err), HG_OK);
	uint64_t calm = T0 + HOURS * 60 * MIN_MS, end = calm + 180 * MIN_MS;
	for (uint64_t now = T0; now < end; now += 5000) {
		struct notify_send *send;
		alerts_turn(m, now, now >= calm);
		notify_tick(m->s, now);
		while ((send = notify_due(m->s, now)))
			if (!attempt(m, send, now)) break;
	}
	/* Three quiet hours later everybody knows everything. */
	for (uint32_t i = 0; i < ALERTS; i++)
		if (i != 7 && m->firing[i] != m->known[i])
			fail_msg("seed %llu: alert %u %s, the receiver thinks otherwise",
			        (unsigned long long)seed, i, m->firing[i] ? "fires" : "is over");
	if (m->doubles) fail_msg("seed %llu: %u doubles", (unsigned long long)seed, m->doubles);
	assert_true(m->crashes > 0 && m->told_count > 20);
	notify_state_free(m->s);
	free(m);
}

static void nothing_is_lost_and_nothing_is_doubled(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++)
		one_run(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(nothing_is_lost_and_nothing_is_doubled),
	};
	return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
