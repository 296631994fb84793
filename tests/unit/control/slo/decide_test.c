#include "../../test.h"

#include "base/rand.h"
#include "control/slo/decide_priv.h"

#include <stdlib.h>

#define T0      29000000u /* a minute of 2025, the first of its hour + 20 */
#define DAY_MIN (24u * 60)
#define PERIOD  (30u * DAY_MIN)

static void conf_make(struct slo_conf *c, uint32_t objective_ppm, uint64_t period_min)
{
	*c = (struct slo_conf){.min_failures = 1, .freeze_ppm = 100000};
	c->of[SLO_AVAILABILITY] = (struct slo_objective){
	        .set = true, .objective_ppm = objective_ppm, .period_min = period_min};
	burn_rules(period_min, c->of[SLO_AVAILABILITY].rule);
}

static void add(struct slo_history *h, uint64_t minute, uint64_t good, uint64_t bad)
{
	assert_int_equal(
	        slo_history_add(h, minute, &(struct slo_counts){.good = good, .bad = bad}), HG_OK);
}

/* ---- the history against a plain array ---- */

static void windows_are_sums_of_their_minutes_whatever_the_clock_does(void **state)
{
	enum { MINUTES = 4000 };
	struct slo_minute *plain = calloc(MINUTES, sizeof *plain);
	struct slo_history h = {0};
	struct hg_rand r;
	uint64_t now = 100;
	(void)state;
	assert_non_null(plain);
	hg_rand_seed(&r, 7);
	for (int i = 0; i < 6000; i++) {
		uint32_t jump = (uint32_t)hg_rand_below(&r, 100);
		if (jump == 0)
			now = hg_rand_below(&r, MINUTES); /* somebody set the clock */
		else if (jump < 40 && now + 1 < MINUTES)
			now++;
		struct slo_counts c = {.good = hg_rand_below(&r, 3) ? hg_rand_below(&r, 100000) : 0,
		        .bad = hg_rand_below(&r, 5) ? 0 : hg_rand_below(&r, 300),
		        .fast = hg_rand_below(&r, 2),
		        .slow = hg_rand_below(&r, 2) * 200};
		assert_int_equal(slo_history_add(&h, now, &c), HG_OK);
		plain[now].good += (uint32_t)c.good;
		plain[now].bad += (uint32_t)c.bad;
		plain[now].fast += (uint32_t)c.fast;
		plain[now].slow += (uint32_t)c.slow;
		uint64_t window = 1 + hg_rand_below(&r, 3000);
		struct slo_counts have, want = {0};
		slo_history_sum(&h, now, window, &have);
		for (uint64_t m = now >= window ? now - window + 1 : 0; m <= now; m++) {
			want.good += plain[m].good;
			want.bad += plain[m].bad;
			want.fast += plain[m].fast;
			want.slow += plain[m].slow;
		}
		if (memcmp(&have, &want, sizeof have) != 0)
			fail_msg("step %d, minute %lu, window %lu", i, (unsigned long)now,
			        (unsigned long)window);
	}
	slo_history_free(&h);
	free(plain);
}

static void hours_survive_as_bytes_and_bad_bytes_do_not(void **state)
{
	struct slo_history h = {0}, back = {0};
	uint8_t bytes[SLO_PACKED_MAX];
	struct slo_counts sum;
	bool good;
	(void)state;
	for (uint64_t i = 0; i < 60; i++)
		add(&h, 600 + i, i % 3 ? i * 1000 : 0, i % 7 ? 0 : UINT32_MAX);
	size_t n = slo_history_pack(&h, bytes);
	assert_true(n <= SLO_PACKED_MAX);
	for (size_t cut = 0; cut < n; cut++) {
		assert_int_equal(slo_history_load(&back, 10, bytes, cut, &good), HG_OK);
		assert_false(good);
		assert_false(back.open);
	}
	assert_int_equal(slo_history_load(&back, 10, bytes, n, &good), HG_OK);
	assert_true(good);
	assert_memory_equal(back.minute, h.minute, sizeof h.minute);
	slo_history_sum(&back, 659, 60, &sum);
	assert_int_equal(sum.bad, 9ull * UINT32_MAX);
	bytes[0]++; /* another version */
	assert_int_equal(slo_history_load(&back, 11, bytes, n, &good), HG_OK);
	assert_false(good);
	struct hg_rand r;
	hg_rand_seed(&r, 3);
	for (int i = 0; i < 20000; i++) {
		size_t len = 1 + hg_rand_below(&r, 40);
		bytes[0] = 1;
		for (size_t k = 1; k < len; k++)
			bytes[k] = (uint8_t)hg_rand_u64(&r);
		struct slo_history any = {0};
		assert_int_equal(slo_history_load(&any, 1, bytes, len, &good), HG_OK);
		if (good) {
			uint8_t again[SLO_PACKED_MAX];
			(void)slo_history_pack(&any, again);
		}
		slo_history_free(&any);
	}
	slo_history_free(&h);
	slo_history_free(&back);
}

static void an_idle_month_costs_nothing_and_a_busy_one_little(void **state)
{
	struct slo_history h = {0};
	size_t bytes = 0;
	(void)state;
	for (uint64_t m = 0; m < PERIOD; m++)
		assert_int_equal(slo_history_add(&h, T0 + m, &(struct slo_counts){0}), HG_OK);
	assert_int_equal(h.count, 0);
	assert_false(h.open);
	for (uint64_t m = 0; m < PERIOD; m++)
		assert_int_equal(
		        slo_history_add(&h, T0 + m, &(struct slo_counts){60000, 12, 59000, 1012}),
		        HG_OK);
	for (uint32_t i = 0; i < h.count; i++)
		bytes += h.hours[i].packed_n + sizeof h.hours[i];
	print_message("# 30 busy days: %u hours, %zu bytes in memory\n", h.count + 1, bytes);
	assert_true(bytes < 720 * 700);
	slo_history_prune(&h, (T0 + PERIOD) / 60 - 24);
	assert_int_equal(h.count, 24);
	slo_history_free(&h);
}

static void what_came_meanwhile_is_shared_out_and_nothing_is_lost(void **state)
{
	struct slo_counts c = {.good = 1000, .bad = 7, .fast = 3, .slow = 0}, sum = {0};
	(void)state;
	for (uint64_t i = 0; i < 6; i++) {
		struct slo_counts p;
		slo_counts_part(&c, 6, i, &p);
		assert_true(p.good == 166 || p.good == 167);
		assert_true(p.bad == 1 || p.bad == 2);
		sum.good += p.good;
		sum.bad += p.bad;
		sum.fast += p.fast;
		sum.slow += p.slow;
	}
	assert_memory_equal(&sum, &c, sizeof c);
}

/* ---- what counts ---- */

static void good_bad_and_neither(void **state)
{
	static const struct {
		const char *good, *bad;
		unsigned code;
		int want; /* 1 good, -1 bad, 0 neither */
	} cases[] = {
	        {"2xx 3xx 404", "5xx", 200, 1},
	        {"2xx 3xx 404", "5xx", 304, 1},
	        {"2xx 3xx 404", "5xx", 404, 1},
	        {"2xx 3xx 404", "5xx", 400, 0},
	        {"2xx 3xx 404", "5xx", 429, 0},
	        {"2xx 3xx 404", "5xx", 500, -1},
	        {"2xx 3xx 404", "5xx", 504, -1},
	        {"2xx 3xx 404", "5xx", 101, 0},
	        {"2xx 503", "5xx", 503, 1}, /* good goes first */
	        {"2xx", "429 5xx", 429, -1},
	        {"2xx", "5xx", 5, -1}, /* 599 and the like */
	        {"2xx", "5xx", 2, 1},
	        {"200", "5xx", 2, 0},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(cases); i++) {
		int have = slo_codes_have(hg_str(cases[i].good), cases[i].code)  ? 1
		           : slo_codes_have(hg_str(cases[i].bad), cases[i].code) ? -1
		                                                                 : 0;
		if (have != cases[i].want) fail_msg("case %zu: %d", i, have);
	}
}

static void broken_answers_are_bad_and_those_a_client_left_do_not_count(void **state)
{
	struct slo_conf c = {0};
	struct meter *m = calloc(1, meter_size(2));
	struct meter_lane_sum sum;
	uint64_t code[METER_CODES];
	struct slo_counts have = {0};
	(void)state;
	assert_non_null(m);
	meter_init(m, 2);
	for (uint32_t i = 0; i < METER_CODES; i++)
		c.code[i] = slo_codes_have(HG_STR("2xx"), meter_code_at(i))   ? SLO_CODE_GOOD
		            : slo_codes_have(HG_STR("5xx"), meter_code_at(i)) ? SLO_CODE_BAD
		                                                              : SLO_CODE_NEITHER;
	c.fast_ns = 100000000; /* a bucket ends there */
	for (uint32_t w = 0; w < 2; w++) {
		struct meter_lane *l = meter_lane_of(&m->worker[w], 3);
		meter_observe(l, 200, 100000000);
		meter_observe(l, 200, 100000001);
		meter_observe(l, 503, 1);
		meter_observe(l, 429, 1);
		meter_add(&l->broken, 1);
		meter_add(&l->aborted, 5);
		meter_add(&l->fast, 1);
	}
	meter_lane_sum(m, 3, &sum);
	for (uint32_t i = 0; i < METER_CODES; i++)
		code[i] = meter_lane_place(m, 3, i);
	slo_counts_of(&c, code, &sum, &have);
	assert_int_equal(have.good, 4);
	assert_int_equal(have.bad, 4);
	assert_int_equal(have.fast, 6);
	assert_int_equal(have.slow, 2);
	/* Where no bucket ends, the edge has counted by itself. */
	c.fast_ns = 120000000;
	have = (struct slo_counts){0};
	slo_counts_of(&c, code, &sum, &have);
	assert_int_equal(have.fast, 2);
	assert_int_equal(have.slow, 6);
	c.fast_ns = 0;
	have = (struct slo_counts){0};
	slo_counts_of(&c, code, &sum, &have);
	assert_int_equal(have.fast + have.slow, 0);
	free(m);
}

/* ---- thirty days by a clock that is turned ---- */

struct turn {
	struct slo_conf conf;
	struct slo_history h;
	struct slo_state s;
	uint64_t now_ms;
	uint32_t burns[SLO_SEVERITIES], overs[SLO_SEVERITIES], frozen, thawed;
	uint64_t first_ms[SLO_SEVERITIES], over_ms[SLO_SEVERITIES], frozen_ms;
};

/* Five seconds of traffic, and a look. */
static void turn(struct turn *t, uint64_t good, uint64_t bad)
{
	struct slo_seen seen[SLO_KINDS] = {0};
	struct slo_event e[SLO_EVENTS];
	t->now_ms += 5000;
	add(&t->h, t->now_ms / 60000, good, bad);
	slo_observe(&t->conf.of[0], &t->h, SLO_AVAILABILITY, t->now_ms / 60000, &seen[0]);
	uint32_t n = slo_decide(&t->conf, seen, t->now_ms, &t->s, e);
	for (uint32_t i = 0; i < n; i++) {
		enum slo_severity v = e[i].severity;
		if (e[i].kind == SLO_EV_BURN && t->burns[v]++ == 0) t->first_ms[v] = t->now_ms;
		if (e[i].kind == SLO_EV_BURN_OVER && t->overs[v]++ == 0) t->over_ms[v] = t->now_ms;
		if (e[i].kind == SLO_EV_FROZEN && t->frozen++ == 0) t->frozen_ms = t->now_ms;
		t->thawed += e[i].kind == SLO_EV_THAWED;
	}
}

static void a_month_of_traffic(struct turn *t)
{
	/* Short of the month by an hour, a minute at a time: nothing is looked at. */
	for (uint64_t m = PERIOD; m > 60; m--)
		add(&t->h, t->now_ms / 60000 - m + 1, 1200, 0);
}

static struct turn *turn_new(void)
{
	struct turn *t = calloc(1, sizeof *t);
	assert_non_null(t);
	conf_make(&t->conf, 999500, PERIOD);
	t->now_ms = (uint64_t)T0 * 60000;
	return t;
}

static void turn_free(struct turn *t)
{
	slo_history_free(&t->h);
	free(t);
}

static void a_total_outage_wakes_somebody_within_half_a_minute(void **state)
{
	struct turn *t = turn_new();
	(void)state;
	a_month_of_traffic(t);
	for (int i = 0; i < 720; i++)
		turn(t, 100, 0);
	assert_int_equal(t->burns[SLO_CRITICAL] + t->burns[SLO_WARNING], 0);
	uint64_t began = t->now_ms;
	for (int i = 0; i < 120; i++)
		turn(t, 0, 100);
	/* 0.72 % of an hour is 26 s; the look comes every five. */
	uint64_t after = t->first_ms[SLO_CRITICAL] - began;
	print_message("# alert %lu ms after the outage began\n", (unsigned long)after);
	assert_in_range(after, 25000, 35000);
	assert_int_equal(t->burns[SLO_CRITICAL], 1); /* once, not with every look */
	/* Ten minutes of twenty-one are gone: nothing is frozen at 10 %. */
	assert_int_equal(t->frozen, 0);
	began = t->now_ms;
	for (int i = 0; i < 720; i++)
		turn(t, 100, 0);
	/* The short windows end it: 5 min without an error, and a minute to be sure. A rule of 6 h
	 * and 30 min would hold longer, and does. */
	assert_int_equal(t->overs[SLO_CRITICAL], 1);
	after = t->over_ms[SLO_CRITICAL] - began;
	print_message("# over %lu ms after it was mended\n", (unsigned long)after);
	assert_in_range(after, 5 * 60000, 32 * 60000);
	turn_free(t);
}

static void a_budget_that_is_spent_freezes_and_comes_back_by_itself(void **state)
{
	struct turn *t = turn_new();
	(void)state;
	a_month_of_traffic(t);
	uint64_t began = t->now_ms;
	/* 19.44 minutes are 90 % of 21.6. */
	for (int i = 0; i < 12 * 25; i++)
		turn(t, 0, 100);
	assert_int_equal(t->frozen, 1);
	uint64_t after = t->frozen_ms - began;
	print_message("# frozen after %lu ms of outage\n", (unsigned long)after);
	assert_in_range(after, (uint64_t)(19.40 * 60000), (uint64_t)(19.60 * 60000));
	for (uint64_t m = 1; m < PERIOD - 30; m++) {
		t->now_ms += 60000 - 5000;
		turn(t, 1200, 0);
	}
	assert_int_equal(t->thawed, 0);
	for (uint64_t m = 0; m < 30; m++) {
		t->now_ms += 60000 - 5000;
		turn(t, 1200, 0);
	}
	assert_int_equal(t->thawed, 1);
	assert_int_equal(t->burns[SLO_CRITICAL], t->overs[SLO_CRITICAL]);
	assert_int_equal(t->burns[SLO_WARNING], t->overs[SLO_WARNING]);
	turn_free(t);
}

static void a_slow_leak_is_a_ticket_and_wakes_nobody(void **state)
{
	struct turn *t = turn_new();
	(void)state;
	a_month_of_traffic(t);
	/* 0.2 % errors: burn 4. */
	for (int i = 0; i < 12 * 60 * 24; i++)
		turn(t, 998, 2);
	assert_int_equal(t->burns[SLO_CRITICAL], 0);
	assert_true(t->burns[SLO_WARNING] >= 1);
	turn_free(t);
}

static void without_traffic_nothing_fires_and_what_fired_ends(void **state)
{
	struct turn *t = turn_new();
	(void)state;
	for (int i = 0; i < 1000; i++)
		turn(t, 0, 0);
	assert_int_equal(t->burns[SLO_CRITICAL] + t->burns[SLO_WARNING] + t->frozen, 0);
	for (int i = 0; i < 12; i++)
		turn(t, 0, 50);
	assert_int_equal(t->burns[SLO_CRITICAL], 1);
	for (int i = 0; i < 12 * 60 * 8; i++)
		turn(t, 0, 0);
	assert_int_equal(t->overs[SLO_CRITICAL], 1);
	assert_int_equal(t->overs[SLO_WARNING], t->burns[SLO_WARNING]);
	turn_free(t);
}

static void few_failures_wake_nobody_after_a_start_either(void **state)
{
	struct turn *t = turn_new();
	(void)state;
	t->conf.min_failures = 5;
	turn(t, 0, 1); /* the first request ever fails: 100 % */
	turn(t, 1, 3);
	assert_int_equal(t->burns[SLO_CRITICAL] + t->frozen, 0);
	turn(t, 0, 1);
	assert_int_equal(t->burns[SLO_CRITICAL], 1);
	assert_int_equal(t->frozen, 1);
	turn_free(t);
}

static void a_clock_that_is_set_neither_wakes_nor_forgets(void **state)
{
	struct turn *t = turn_new();
	(void)state;
	a_month_of_traffic(t);
	for (int i = 0; i < 720; i++)
		turn(t, 100, 0);
	for (int i = 0; i < 24; i++)
		turn(t, 0, 100);
	assert_int_equal(t->burns[SLO_CRITICAL], 1);
	t->now_ms -= 3 * 3600 * 1000; /* back, into hours that are there already */
	for (int i = 0; i < 12 * 10; i++)
		turn(t, 100, 0);
	assert_int_equal(t->burns[SLO_CRITICAL], 1);
	t->now_ms += 3 * 3600 * 1000;
	struct slo_counts sum;
	slo_history_sum(&t->h, t->now_ms / 60000, PERIOD, &sum);
	assert_int_equal(sum.bad, 2400);    /* all of them, once */
	t->now_ms += 400ull * 86400 * 1000; /* more than a year ahead */
	for (int i = 0; i < 12 * 10; i++)
		turn(t, 100, 0);
	assert_int_equal(t->burns[SLO_CRITICAL], 1);
	slo_history_sum(&t->h, t->now_ms / 60000, PERIOD, &sum);
	assert_int_equal(sum.bad, 0);
	turn_free(t);
}

static void it_says_so_when_it_gets_worse(void **state)
{
	struct turn *t = turn_new();
	(void)state;
	a_month_of_traffic(t);
	for (int i = 0; i < 720; i++)
		turn(t, 100, 0);
	/* 1 % errors: burn 20 in time, 6 long before 14.4. */
	for (int i = 0; i < 12 * 60 * 5; i++)
		turn(t, 990, 10);
	assert_int_equal(t->burns[SLO_CRITICAL], 1); /* 14.4 holds first: an hour is shorter */
	assert_int_equal(t->s.alert[0][SLO_CRITICAL].rule, 0);
	for (int i = 0; i < 12 * 60 * 5; i++)
		turn(t, 995, 5);                     /* burn 10 */
	assert_int_equal(t->overs[SLO_CRITICAL], 0); /* 6 still holds */
	turn_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(windows_are_sums_of_their_minutes_whatever_the_clock_does),
	        cmocka_unit_test(hours_survive_as_bytes_and_bad_bytes_do_not),
	        cmocka_unit_test(an_idle_month_costs_nothing_and_a_busy_one_little),
	        cmocka_unit_test(what_came_meanwhile_is_shared_out_and_nothing_is_lost),
	        cmocka_unit_test(good_bad_and_neither),
	        cmocka_unit_test(broken_answers_are_bad_and_those_a_client_left_do_not_count),
	        cmocka_unit_test(a_total_outage_wakes_somebody_within_half_a_minute),
	        cmocka_unit_test(a_budget_that_is_spent_freezes_and_comes_back_by_itself),
	        cmocka_unit_test(a_slow_leak_is_a_ticket_and_wakes_nobody),
	        cmocka_unit_test(without_traffic_nothing_fires_and_what_fired_ends),
	        cmocka_unit_test(few_failures_wake_nobody_after_a_start_either),
	        cmocka_unit_test(a_clock_that_is_set_neither_wakes_nor_forgets),
	        cmocka_unit_test(it_says_so_when_it_gets_worse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
