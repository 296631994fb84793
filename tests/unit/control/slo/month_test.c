/*
 * Forty days of an app and its two objectives, and a second calculation beside ours that shares
 * nothing with it: an array of minutes, sums by walking over it, long doubles. Traffic is random
 * with quiet hours and outages; control is killed, everything is stopped and started, the clock is
 * set, workers of the edge are replaced, objectives and what counts as good are changed in the
 * file.
 */
#include "rig.h"

#include <jansson.h>
#include <math.h>

#include "base/rand.h"

#define DAYS    40u
#define MINUTES ((DAYS + 4) * 1440u)

struct minute {
	uint64_t good, bad, fast, slow;
};

struct world {
	struct rig *r;
	struct hg_rand rand;
	struct minute *minute; /* from FIRST on */
	uint64_t counted;      /* minute of the last look */
	struct minute fresh;   /* since then */
	double objective, latency;
	bool not_found_bad;
	uint32_t failing;  /* of 1000 answers */
	uint64_t quiet_ms; /* until then nobody asks */
	uint32_t looks, checks, crashes, sets, alerts_seen, frozen_seen;
};

#define FIRST (T0 / 60000 - 2 * 1440)

static void conf_write(const struct world *w, char *to, size_t cap)
{
	(void)snprintf(to, cap,
	        "project: t\napps:\n  web:\n    command: x --port $PORT\n    slo:\n"
	        "      availability: {objective: %.10g%%, window: 30d, good: %s, bad: %s}\n"
	        "      latency: {objective: %.10g%%, faster_than: 120ms}\n"
	        "      error_budget: {freeze_deploys_below: 10%%}\n",
	        w->objective, w->not_found_bad ? "2xx 3xx" : "2xx 3xx 404",
	        w->not_found_bad ? "5xx 404" : "5xx", w->latency);
}

/* What a look must make of what came since the last: equal parts of the minutes between. */
static void expect(struct world *w)
{
	uint64_t now = fake_ms / 60000, n = now > w->counted ? now - w->counted : 1;
	if (n > 1440) n = 1440;
	for (uint64_t i = 0; i < n; i++) {
		struct minute *m = &w->minute[now - (n - 1 - i) - FIRST];
		m->good += w->fresh.good / n + (i < w->fresh.good % n);
		m->bad += w->fresh.bad / n + (i < w->fresh.bad % n);
		m->fast += w->fresh.fast / n + (i < w->fresh.fast % n);
		m->slow += w->fresh.slow / n + (i < w->fresh.slow % n);
	}
	w->fresh = (struct minute){0};
	w->counted = now;
}

static void apply_now(struct world *w)
{
	char yaml[1024];
	conf_write(w, yaml, sizeof yaml);
	apply(w->r, yaml);
	/* It looks before the new rules are in force, or at its start. */
	expect(w);
}

static void ask(struct world *w)
{
	static const struct {
		unsigned status, share;
	} kinds[] = {{200, 850}, {304, 50}, {404, 60}, {429, 40}};
	if (fake_ms < w->quiet_ms) return;
	uint32_t n = (uint32_t)hg_rand_below(&w->rand, 60);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t dice = (uint32_t)hg_rand_below(&w->rand, 1000);
		unsigned status = dice < w->failing ? 503 : 200, k = 0;
		dice = (uint32_t)hg_rand_below(&w->rand, 1000);
		for (uint32_t sum = 0; status == 200 && k < HG_COUNT(kinds); k++)
			if (dice < (sum += kinds[k].share)) {
				status = kinds[k].status;
				break;
			}
		bool fast = hg_rand_below(&w->rand, 100) < 96;
		traffic(w->r, 7 + i % 2, status, 1, fast ? 30000000 : 400000000);
		w->fresh.fast += fast;
		w->fresh.slow += !fast;
		bool bad = status >= 500 || (status == 404 && w->not_found_bad);
		w->fresh.bad += bad;
		w->fresh.good += !bad && status != 429;
	}
}

/* ---- the second calculation ---- */

static void sum(const struct world *w, uint64_t minutes, bool latency, uint64_t *bad, uint64_t *all)
{
	uint64_t now = fake_ms / 60000;
	*bad = *all = 0;
	for (uint64_t m = now - minutes + 1; m <= now; m++) {
		if (m < FIRST) continue;
		const struct minute *x = &w->minute[m - FIRST];
		*bad += latency ? x->slow : x->bad;
		*all += latency ? x->slow + x->fast : x->bad + x->good;
	}
}

static long double burn_of(const struct world *w, uint64_t minutes, bool latency)
{
	uint64_t bad, all;
	sum(w, minutes, latency, &bad, &all);
	long double allowed = 1 - (latency ? w->latency : w->objective) / 100.0L;
	return all ? (long double)bad / (long double)all / allowed : 0;
}

static void near(const char *what, double got, long double want)
{
	if (fabsl((long double)got - want) > 1e-9L * (1 + fabsl(want)))
		fail_msg("%s: %.15g, not %.15Lg", what, got, want);
}

static double number(const json_t *o, const char *name)
{
	return json_number_value(json_object_get(o, name));
}

static void check_rules(const struct world *w, const json_t *o, bool latency)
{
	static const struct {
		uint64_t in_long, in_short;
		double limit;
	} rows[] = {{60, 5, 14.4}, {360, 30, 6}, {1440, 120, 3}, {4320, 360, 1}};
	const json_t *rules = json_object_get(o, "rules");
	assert_int_equal(json_array_size(rules), HG_COUNT(rows));
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		const json_t *rule = json_array_get(rules, i);
		uint64_t bad, all;
		long double a = burn_of(w, rows[i].in_long, latency);
		long double b = burn_of(w, rows[i].in_short, latency);
		sum(w, rows[i].in_long, latency, &bad, &all);
		near("limit", number(rule, "limit"), rows[i].limit);
		near("burn_long", number(rule, "burn_long"), a);
		near("burn_short", number(rule, "burn_short"), b);
		bool edge = fabsl(a - rows[i].limit) < 1e-12L || fabsl(b - rows[i].limit) < 1e-12L;
		bool holds = a > rows[i].limit && b > rows[i].limit && bad >= 5;
		if (!edge) assert_int_equal(json_is_true(json_object_get(rule, "holds")), holds);
	}
}

static void check_one(struct world *w, const json_t *o, bool latency)
{
	uint64_t bad, all;
	long double objective = (latency ? w->latency : w->objective) / 100.0L;
	sum(w, 30 * 1440, latency, &bad, &all);
	const json_t *budget = json_object_get(o, "budget");
	assert_int_equal(json_integer_value(json_object_get(o, "bad")), bad);
	assert_int_equal(json_integer_value(json_object_get(o, "total")), all);
	long double left = 1 - burn_of(w, 30 * 1440, latency), fast = burn_of(w, 60, latency);
	near("allowed", number(budget, "allowed"), (long double)all * (1 - objective));
	near("left", number(budget, "left"), left);
	near("minutes", number(budget, "minutes"), 30 * 1440 * (1 - objective));
	near("minutes_left", number(budget, "minutes_left"), left * 30 * 1440 * (1 - objective));
	const json_t *ends = json_object_get(budget, "exhausted_in_s");
	if (left <= 0)
		near("exhausted", json_number_value(ends), 0);
	else if (fast > 1)
		near("exhausted", json_number_value(ends), left / fast * 30 * 86400);
	else
		assert_true(json_is_null(ends));
	bool frozen = left < 0.1L && bad >= 5;
	if (fabsl(left - 0.1L) > 1e-12L)
		assert_int_equal(json_is_true(json_object_get(o, "frozen")), frozen);
	w->frozen_seen += frozen;
	w->alerts_seen += json_array_size(json_object_get(o, "alerts")) > 0;
	check_rules(w, o, latency);
}

static void check(struct world *w)
{
	struct hg_buf b;
	struct hg_err err = {0};
	hg_buf_init(&b, 1u << 20);
	assert_int_equal(slo_json(w->r->slo, HG_STR("web"), &b, &err), HG_OK);
	json_t *j = json_loads(hg_buf_text(&b), 0, NULL);
	const json_t *list = json_object_get(j, "objectives");
	assert_int_equal(json_array_size(list), 2);
	check_one(w, json_array_get(list, 0), false);
	check_one(w, json_array_get(list, 1), true);
	enum hg_rc rc = slo_may_deploy(w->r->slo, HG_STR("web"), &err);
	bool frozen = json_is_true(json_object_get(json_array_get(list, 0), "frozen")) ||
	              json_is_true(json_object_get(json_array_get(list, 1), "frozen"));
	assert_int_equal(rc, frozen ? HG_E_SLO_FROZEN : HG_OK);
	json_decref(j);
	hg_buf_free(&b);
	w->checks++;
}

/* ---- what happens to it ---- */

static void set_clock(struct world *w)
{
	static const int64_t by_min[] = {1, -1, 45, -45, 180, -180, -1440, 1440};
	int64_t by = by_min[hg_rand_below(&w->rand, HG_COUNT(by_min))];
	fake_ms = (uint64_t)((int64_t)fake_ms + by * 60000);
	w->sets++;
}

static void happen(struct world *w)
{
	static const double objectives[] = {99.95, 99.9, 99, 99.99}, latencies[] = {95, 90, 99.5};
	static const uint32_t failures[] = {0, 0, 0, 1, 5, 20, 1000};
	switch (hg_rand_below(&w->rand, 9)) {
	case 0: /* kill -9 of control; it is away for a while, and the edge counts on */
		w->quiet_ms = 0;
		do
			ask(w);
		while (!w->fresh.good && !w->fresh.bad);
		look(w->r->slo);
		expect(w);
		/* Without this row the last minute is shared out anew, with what comes after it. */
		assert_true(slo_save(w->r->slo));
		die(w->r);
		fake_ms += hg_rand_below(&w->rand, 90) * 60000;
		ask(w);
		begin(w->r);
		apply_now(w);
		w->crashes++;
		break;
	case 1: /* all of it is stopped and started: another meter */
		look(w->r->slo);
		expect(w);
		slo_free(w->r->slo);
		memset(w->r->meter, 0, meter_size(2));
		meter_init(w->r->meter, 2);
		w->r->memory_id++;
		begin(w->r);
		apply_now(w);
		break;
	case 2: meter_worker_reset(w->r->meter, (uint32_t)hg_rand_below(&w->rand, 2)); break;
	case 3: set_clock(w); break;
	case 4:
		w->objective = objectives[hg_rand_below(&w->rand, HG_COUNT(objectives))];
		w->latency = latencies[hg_rand_below(&w->rand, HG_COUNT(latencies))];
		apply_now(w);
		break;
	case 5: /* another way of counting: from here on */
		look(w->r->slo);
		expect(w);
		w->not_found_bad = !w->not_found_bad;
		apply_now(w);
		break;
	case 6: w->quiet_ms = fake_ms + hg_rand_below(&w->rand, 600) * 60000; break;
	default: w->failing = failures[hg_rand_below(&w->rand, HG_COUNT(failures))]; break;
	}
}

static void forty_days(uint64_t seed)
{
	void *state = NULL;
	struct world w = {.objective = 99.95, .latency = 95};
	assert_int_equal(up(&state), 0);
	w.r = state;
	hg_rand_seed(&w.rand, seed);
	w.minute = calloc(MINUTES, sizeof *w.minute);
	assert_non_null(w.minute);
	w.counted = fake_ms / 60000;
	apply_now(&w);
	while (fake_ms < T0 + DAYS * 86400000ull) {
		ask(&w);
		fake_ms += 1000 * (5 + hg_rand_below(&w.rand, 300));
		look(w.r->slo);
		expect(&w);
		w.looks++;
		if (hg_rand_below(&w.rand, 150) == 0) happen(&w);
		if (hg_rand_below(&w.rand, 40) == 0) check(&w);
	}
	print_message(
	        "# seed %llu: %u looks, %u checks, %u crashes, %u clocks set, %u with alerts, %u "
	        "frozen\n",
	        (unsigned long long)seed, w.looks, w.checks, w.crashes, w.sets, w.alerts_seen,
	        w.frozen_seen);
	assert_true(w.checks > 100 && w.crashes > 2 && w.alerts_seen && w.frozen_seen);
	free(w.minute);
	assert_int_equal(down(&state), 0);
}

static void budgets_are_what_a_second_calculation_says(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 2; seed++)
		forty_days(seed);
}

static void a_budget_of_99_95_percent_of_30_days_is_21_6_minutes(void **state)
{
	struct rig *r = *state;
	struct hg_buf b;
	apply(r, YAML);
	hg_buf_init(&b, 1u << 20);
	assert_int_equal(slo_json(r->slo, HG_STR("web"), &b, NULL), HG_OK);
	json_t *j = json_loads(hg_buf_text(&b), 0, NULL);
	const json_t *o = json_array_get(json_object_get(j, "objectives"), 0);
	assert_true(number(json_object_get(o, "budget"), "minutes") == 21.6);
	assert_true(number(json_object_get(o, "budget"), "left") == 1);
	json_decref(j);
	hg_buf_free(&b);
}

/* A clock that is a year ahead for two minutes. */
static void a_clock_that_was_wrong_for_a_moment_costs_no_history(void **state)
{
	struct rig *r = *state;
	apply(r, YAML);
	for (int hour = 0; hour < 100; hour++) {
		traffic(r, 7, 200, 90, 1);
		traffic(r, 7, 500, 10, 1);
		after(r, 3600000);
	}
	struct slo_counts before = counts(r, "web", 30 * 1440);
	assert_int_equal(before.good, 9000);
	fake_ms += 365ull * 86400000;
	for (int i = 0; i < 3; i++) {
		traffic(r, 7, 200, 1, 1);
		after(r, 60000);
	}
	assert_in_range(counts(r, "web", 30 * 1440).good, 1, 3);
	fake_ms -= 365ull * 86400000;
	after(r, 60000);
	assert_int_equal(counts(r, "web", 30 * 1440).good, 9000);
	assert_int_equal(counts(r, "web", 30 * 1440).bad, 1000);
	die(r);
	begin(r);
	apply(r, YAML);
	assert_int_equal(counts(r, "web", 30 * 1440).good, 9000);
}

#define RIG(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        RIG(a_budget_of_99_95_percent_of_30_days_is_21_6_minutes),
	        RIG(a_clock_that_was_wrong_for_a_moment_costs_no_history),
	        cmocka_unit_test(budgets_are_what_a_second_calculation_says),
	};
	return cmocka_run_group_tests_name("month", tests, NULL, NULL);
}
