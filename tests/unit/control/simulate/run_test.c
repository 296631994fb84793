/* Whole rollouts whose ends are known. */
#include "../../test.h"

#include <stdio.h>
#include <stdlib.h>

#include "control/simulate/simulate.h"
#include "spec/spec.h"

static const char canary[] = "      strategy: canary\n"
                             "      steps: [{weight: 10%, wait: 1s}, {weight: 50%, wait: 1s}, "
                             "{weight: 100%, wait: 1s}]\n"
                             "      abort_when: {error_rate: 5%, p95: 2s}\n"
                             "      after_promote: {watch: 20s, keep_previous: 5s}\n";

struct stage {
	struct hg_arena mem;
	struct spec_report *report;
	struct spec *spec;
	struct sim_options o;
	struct sim_result *r;
};

static void load(struct stage *s, const char *rollout)
{
	char text[2000];
	snprintf(text, sizeof text,
	        "version: 1\nproject: test\napps:\n  feedback:\n    command: ./f --port $PORT\n"
	        "    health: /health\n    replicas: 3\n    rollout:\n%s",
	        rollout);
	struct spec_source from = {hg_str(text), "test.yaml", NULL, "/tmp"};
	if (spec_load(&from, &s->mem, s->report, &s->spec) < 0)
		fail_msg("%s", s->report->errors[0].message);
	sim_options_default(&s->o, &s->spec->apps[0]);
	s->o.baseline = (struct sim_baseline){.errors = 0, .median_ms = 5, .p95_ms = 20};
}

static int setup(void **state)
{
	struct stage *s = calloc(1, sizeof *s);
	if (!s) return -1;
	s->report = calloc(1, sizeof *s->report);
	s->r = calloc(1, sizeof *s->r);
	hg_arena_init(&s->mem, "test", 64u << 20);
	load(s, canary);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct stage *s = *state;
	hg_arena_fini(&s->mem);
	free(s->report);
	free(s->r);
	free(s);
	return 0;
}

static void fault(struct stage *s, const char *text)
{
	assert_int_equal(
	        sim_fault_parse(hg_str(text), "--fault", &s->o.fault[s->o.fault_count++], NULL),
	        HG_OK);
}

static void traffic(struct stage *s, const char *text)
{
	assert_int_equal(sim_traffic_parse(hg_str(text), "--traffic", &s->o.traffic, NULL), HG_OK);
}

static const struct sim_result *run(struct stage *s)
{
	struct hg_err err = {0};
	if (simulate(&s->o, s->r, &err) < 0) fail_msg("%s", err.message);
	return s->r;
}

static struct sim_summary runs(struct stage *s, uint32_t n)
{
	struct sim_summary sum;
	struct hg_err err = {0};
	if (simulate_runs(&s->o, n, &sum, &err) < 0) fail_msg("%s", err.message);
	return sum;
}

static const struct sim_event *event(const struct sim_result *r, const char *what)
{
	for (uint32_t i = 0; i < r->event_count; i++)
		if (!strcmp(r->event[i].what, what)) return &r->event[i];
	fail_msg("there is no event %s", what);
	return NULL;
}

static void the_rules_are_those_of_a_deploy(void **state)
{
	struct stage *s = *state;
	struct ro_rules rules;
	sim_rules(&s->o, &rules);
	assert_int_equal(rules.strategy, RO_CANARY);
	assert_int_equal(rules.step_count, 3);
	assert_int_equal(rules.step[1].weight_ppm, 500000);
	assert_float_equal(rules.judge.error_rate, 0.05, 1e-9);
	s->o.strategy = RO_BLUE_GREEN;
	sim_rules(&s->o, &rules);
	assert_int_equal(rules.strategy, RO_BLUE_GREEN);
	assert_int_equal(rules.step_count, 0);
}

static void a_release_as_good_as_the_old_one_is_promoted(void **state)
{
	struct stage *s = *state;
	s->o.baseline.errors = 0.001;
	const struct sim_result *r = run(s);
	assert_int_equal(r->end, SIM_PROMOTED);
	assert_true(r->promoted && !r->tripped);
	assert_int_equal(r->step_count, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(r->step[i].proof, RO_PROOF_EVIDENCE);
		assert_true(r->step[i].took_ms >= 1000);
		assert_true(r->step[i].requests_new >= 200);
	}
	struct sim_summary sum = runs(s, 60);
	assert_int_equal(sum.ended[SIM_PROMOTED], 60);
	assert_int_equal(sum.requests.n, 0);
}

static void one_that_always_fails_is_gone_within_the_promise(void **state)
{
	struct stage *s = *state;
	fault(s, "errors");
	/* So slow that what is in flight at the verdict is counted apart. */
	traffic(s, "100/s");
	struct sim_summary sum = runs(s, 500);
	assert_int_equal(sum.ended[SIM_ROLLED_BACK], 500);
	assert_true(sum.requests.median <= 50);
	assert_true(sum.failed_new.median <= 5);
	assert_true(sum.failed_new.high <= 5);
	assert_float_equal(sum.seen.high, 0, 0);
	const struct sim_result *r = run(s);
	assert_int_equal(r->cause, RO_CAUSE_EVIDENCE);
	assert_true(r->tripped && r->judged);
	assert_int_equal(r->failed_new, r->rescued);
	const struct sim_event *trip = event(r, "edge.trip");
	assert_true(trip->e >= trip->threshold);
	assert_int_equal(trip->weight_ppm, 0);
	assert_float_equal(trip->at_ms, r->zero_ms, 1e-9);
}

static void what_cannot_be_repeated_is_seen(void **state)
{
	struct stage *s = *state;
	fault(s, "errors");
	traffic(s, "1000/s unsafe 100%");
	const struct sim_result *r = run(s);
	assert_int_equal(r->end, SIM_ROLLED_BACK);
	assert_true(r->failed_new >= 4);
	assert_int_equal(r->seen_new, r->failed_new);
	assert_int_equal(r->rescued, 0);
}

static void five_percent_are_found_where_the_judges_figures_say(void **state)
{
	struct stage *s = *state;
	s->o.baseline.errors = 0.001;
	load(s, "      strategy: canary\n      steps: [{weight: 10%, wait: 10m}, {weight: "
	        "100%}]\n");
	s->o.baseline.errors = 0.001;
	fault(s, "errors:5%");
	struct sim_summary sum = runs(s, 400);
	assert_int_equal(sum.ended[SIM_ROLLED_BACK], 400);
	/* docs/judge.md, without and with rules: 844 and 918. */
	assert_true(sum.requests.median > 650 && sum.requests.median < 1200);
}

static void faults_end_as_they_should(void **state)
{
	static const struct {
		const char *fault;
		enum sim_end end;
		enum ro_cause cause;
	} rows[] = {{"hang", SIM_ROLLED_BACK, RO_CAUSE_EVIDENCE},
	        {"close", SIM_ROLLED_BACK, RO_CAUSE_EVIDENCE},
	        {"slow", SIM_ROLLED_BACK, RO_CAUSE_EVIDENCE},
	        {"slow:3x", SIM_ROLLED_BACK, RO_CAUSE_EVIDENCE},
	        {"unhealthy+3s", SIM_ROLLED_BACK, RO_CAUSE_NO_READY_REPLICA},
	        {"never-ready", SIM_ROLLED_BACK, RO_CAUSE_DEADLINE},
	        {"control-dies+1500ms", SIM_PROMOTED, RO_CAUSE_NONE},
	        {"errors+10s", SIM_ROLLED_BACK, RO_CAUSE_EVIDENCE},
	        {"errors+1h", SIM_PROMOTED, RO_CAUSE_NONE},
	        {"slow-start:10s", SIM_PROMOTED, RO_CAUSE_NONE},
	        {"outage:40%+1500ms..3m", SIM_WAITING, RO_CAUSE_NONE},
	        {"quiet+1500ms", SIM_WAITING, RO_CAUSE_NONE}};
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct stage *s = *state;
		load(s, canary);
		fault(s, rows[i].fault);
		const struct sim_result *r = run(s);
		if (r->end != rows[i].end || r->cause != rows[i].cause)
			fail_msg("%s: end %d, cause %s", rows[i].fault, (int)r->end,
			        ro_cause_name(r->cause));
		if (i < 3) assert_int_equal(r->seen_new, 0);
	}
}

static void an_outage_of_both_blames_nobody_at_any_rate(void **state)
{
	static const char *const rates[] = {"50/s", "1000/s", "5M/s"};
	for (size_t i = 0; i < HG_COUNT(rates); i++) {
		struct stage *s = *state;
		load(s, canary);
		s->o.baseline =
		        (struct sim_baseline){.errors = 0.001, .median_ms = 20, .p95_ms = 80};
		traffic(s, rates[i]);
		fault(s, "outage:40%+1500ms..90s");
		uint32_t n = i < 2 ? 10 : 2;
		struct sim_summary sum = runs(s, n);
		if (sum.ended[SIM_WAITING] < n - 1)
			fail_msg("%s: %u", rates[i], sum.ended[SIM_WAITING]);
	}
}

static void the_edge_stops_it_while_control_is_dead(void **state)
{
	struct stage *s = *state;
	fault(s, "control-dies+1500ms..60s");
	fault(s, "errors+10s");
	const struct sim_result *r = run(s);
	assert_int_equal(r->end, SIM_ROLLED_BACK);
	assert_true(r->zero_ms > 10000 && r->zero_ms < 11000);
	assert_true(event(r, "rollout.back")->at_ms >= 60000);
	/* What the verdict was about is told, not the counters of the weight that came after it. */
	assert_true(event(r, "rollout.back")->c_new >= 4 && event(r, "rollout.back")->n_old > 1000);
	assert_true(r->failed_new < 10);
}

static void a_crash_after_so_many_requests_costs_a_handful(void **state)
{
	struct stage *s = *state;
	fault(s, "crash#200");
	struct sim_summary sum = runs(s, 100);
	assert_int_equal(sum.ended[SIM_ROLLED_BACK], 100);
	assert_true(sum.requests_new.low >= 199 && sum.requests_new.high <= 220);
	assert_true(sum.failed_new.high <= 8);
	assert_float_equal(sum.seen.high, 0, 0);
}

static void a_gate_that_fails_or_waits_decides(void **state)
{
	struct stage *s = *state;
	load(s, "      strategy: canary\n      gates: [{when: before, run: ./smoke.sh}]\n");
	fault(s, "gate-fails");
	assert_int_equal(run(s)->cause, RO_CAUSE_GATE);
	assert_true(s->r->raised_ms < 0);
	assert_int_equal(s->r->requests_new, 0);
	load(s, "      strategy: canary\n      gates: [{when: promote, confirm: true}]\n");
	assert_int_equal(run(s)->end, SIM_WAITING);
	assert_int_equal(s->r->waits, RO_WAITS_PERSON);
}

static void recreate_serves_nobody_meanwhile(void **state)
{
	struct stage *s = *state;
	s->o.strategy = RO_RECREATE;
	const struct sim_result *r = run(s);
	assert_int_equal(r->end, SIM_PROMOTED);
	assert_true(r->unserved > 800 && r->unserved < 1400);
	s->o.strategy = RO_ROLLING;
	assert_int_equal(run(s)->unserved, 0);
	s->o.strategy = RO_BLUE_GREEN;
	assert_int_equal(run(s)->unserved, 0);
}

static void the_same_seed_gives_the_same_run(void **state)
{
	struct stage *s = *state;
	struct sim_result *again = calloc(1, sizeof *again);
	struct hg_err err = {0};
	assert_non_null(again);
	fault(s, "errors:5%");
	traffic(s, "ramp 1m to 300 users think 500ms; hold 10m; 0");
	s->o.seed = 42;
	(void)run(s);
	assert_int_equal(simulate(&s->o, again, &err), HG_OK);
	assert_memory_equal(s->r, again, sizeof *again);
	s->o.seed = 43;
	assert_int_equal(simulate(&s->o, again, &err), HG_OK);
	assert_true(s->r->requests_new != again->requests_new || s->r->zero_ms != again->zero_ms);
	free(again);
}

static void a_million_users_are_as_many_requests_as_their_thinking_allows(void **state)
{
	struct stage *s = *state;
	traffic(s, "1M users think 1s");
	const struct sim_result *r = run(s);
	assert_int_equal(r->end, SIM_PROMOTED);
	assert_int_equal(r->users_most, 1000000);
	/* Each takes a second and the 7 ms of a response. */
	double served = (double)(r->requests_new + r->requests_old), seconds = r->end_ms / 1000;
	assert_float_equal(served / seconds, 1000000 / 1.007, 3000);
	fault(s, "errors:1%");
	assert_int_equal(run(s)->end, SIM_ROLLED_BACK);
	assert_true(r->decisions > 10);
}

static void users_who_wait_for_a_release_that_hangs_ask_less(void **state)
{
	struct stage *s = *state;
	traffic(s, "100 users think 100ms");
	s->o.strategy = RO_RECREATE;
	const struct sim_result *r = run(s);
	double before = (double)r->requests_new / r->end_ms;
	fault(s, "hang");
	r = run(s);
	/* All users sit in one request until the edge gives up: 30 s instead of a tenth. */
	assert_true((double)r->requests_new / r->end_ms < before / 20);
	assert_in_range(r->requests_new, 90, 200);
}

static void the_time_can_be_limited(void **state)
{
	struct stage *s = *state;
	s->o.limit_ms = 2000;
	const struct sim_result *r = run(s);
	assert_int_equal(r->end, SIM_WAITING);
	assert_true(r->end_ms >= 2000 && r->end_ms < 2300);
	s->spec->apps[0].replicas = 100000;
	assert_int_equal(simulate(&s->o, s->r, NULL), HG_E_TOO_LARGE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(the_rules_are_those_of_a_deploy),
	        TEST(a_release_as_good_as_the_old_one_is_promoted),
	        TEST(one_that_always_fails_is_gone_within_the_promise),
	        TEST(what_cannot_be_repeated_is_seen),
	        TEST(five_percent_are_found_where_the_judges_figures_say),
	        TEST(faults_end_as_they_should),
	        TEST(an_outage_of_both_blames_nobody_at_any_rate),
	        TEST(the_edge_stops_it_while_control_is_dead),
	        TEST(a_crash_after_so_many_requests_costs_a_handful),
	        TEST(a_gate_that_fails_or_waits_decides),
	        TEST(recreate_serves_nobody_meanwhile),
	        TEST(the_same_seed_gives_the_same_run),
	        TEST(a_million_users_are_as_many_requests_as_their_thinking_allows),
	        TEST(users_who_wait_for_a_release_that_hangs_ask_less),
	        TEST(the_time_can_be_limited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
