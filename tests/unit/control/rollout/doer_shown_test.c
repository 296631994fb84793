/* What the doing half shows: JSON as docs/reference/rollout-json.md has it, metrics; and how it
 * reads the configuration. */
#include "doer_rig.h"

#include <math.h>

static bool is_type(const json_t *v, char type)
{
	switch (type) {
	case 's': return json_is_string(v);
	case 'i': return json_is_integer(v);
	case 'n': return json_is_number(v);
	case 'b': return json_is_boolean(v);
	case 'o': return json_is_object(v);
	case 'a': return json_is_array(v);
	default: return json_is_null(v);
	}
}

/* `want`: "name:type …" with s i n(umber) b o a z(null); these members and no others. */
static void members(const json_t *o, const char *what, const char *want)
{
	size_t n = 0;
	assert_true(json_is_object(o));
	for (const char *at = want; *at; n++) {
		char name[64];
		size_t k = strcspn(at, ":");
		assert_true(k < sizeof name);
		memcpy(name, at, k);
		name[k] = 0;
		const json_t *v = json_object_get(o, name);
		if (!v || !is_type(v, at[k + 1]))
			fail_msg("%s: %s is missing or of another type", what, name);
		at += k + 2;
		at += *at == ' ';
	}
	if (json_object_size(o) != n) {
		char *text = json_dumps(o, JSON_INDENT(1));
		fail_msg("%s has other members: %s", what, text);
	}
}

#define RELEASE "release:i version:s wanted:i ready:i starting:i crash_loops:i"
#define RATE    "n:i bad:i rate:n low:n high:n"

static void parts(const json_t *o)
{
	size_t i;
	const json_t *v;
	members(rig_at(o, "old"), "old", RELEASE);
	members(rig_at(o, "new"), "new", RELEASE);
	members(rig_at(o, "weight"), "weight", "set:n actual:n");
	members(rig_at(o, "step"), "step",
	        "index:i count:i weight:n since_ms:i until_ms:i wait_ms:i");
	json_array_foreach(rig_at(o, "steps"), i, v)
	        members(v, "steps", "weight:n wait_ms:i state:s took_ms:i unproven:b proof:s");
	members(rig_at(o, "evidence"), "evidence", "e:n threshold:n confidence:n metrics:a good:o");
	members(rig_at(o, "evidence.good"), "good", "e:n needs:n limit:n");
	assert_int_equal(json_array_size(rig_at(o, "evidence.metrics")), JUDGE_METRICS);
	json_array_foreach(rig_at(o, "evidence.metrics"), i, v)
	{
		members(v, "metrics", "metric:s e:n share:n enabled:b new:o old:o");
		members(rig_at(v, "new"), "metrics.new", RATE);
		members(rig_at(v, "old"), "metrics.old", RATE);
	}
	members(rig_at(o, "users"), "users",
	        "requests_new:i failed_new:i rescued:i seen:i unreplayable:i forced:i");
	members(rig_at(o, "resources"), "resources", "memory:o cpu:o out_of_memory:o");
	members(rig_at(o, "resources.memory"), "memory", "rule:n new:n old_most:n over:i needs:i");
	members(rig_at(o, "resources.cpu"), "cpu", "rule:n new:n old_most:n over:i needs:i");
	members(rig_at(o, "resources.out_of_memory"), "out_of_memory", "new:i old:i");
	members(rig_at(o, "mirror"), "mirror",
	        "share:n copied:i differs:i failed:i partly:i dropped:i");
	json_array_foreach(rig_at(o, "first_failures"), i, v) members(v, "first_failures",
	        "ts_ms:i replica:i cause:s status:i method:s path:s request_id:s body:s");
	json_array_foreach(rig_at(o, "gates"), i, v)
	        members(v, "gates", "when:s kind:s run:s state:s took_ms:i status:i note:s");
}

#define TOP                                                                                        \
	"schema:s id:i app:s strategy:s who:s old:o new:o state:s phase:s outcome:s "              \
	"weight:o step:o steps:a verdict:s why:s cause:s evidence:o users:o mirror:o resources:o " \
	"first_failures:a first_differences:a gates:a created_ms:i changed_ms:i ended_ms:i "       \
	"next:s "

static void a_rollout_is_shown_with_all_its_members_while_it_runs_and_afterwards(void **state)
{
	struct rig *r = *state;
	rig_apply(r, CANARY "  gates: [{when: promote, run: ./check}]\n");
	uint64_t id = rig_deploy(r, "2");
	RIG_UNTIL(r, rig_weight(r) == 10, 20000);
	rig_run(r, 5000);
	rig_serve(r, 10, 90, 1);
	rig_run(r, 5000);
	json_t *o = rig_show(r, id);
	members(o, "running", TOP "back:z");
	parts(o);
	assert_string_equal(rig_text(o, "schema"), "headgate.rollout/1");
	assert_string_equal(rig_text(o, "app"), "web");
	assert_string_equal(rig_text(o, "strategy"), "canary");
	assert_string_equal(rig_text(o, "old.version"), "1"); /* it has no name */
	assert_string_equal(rig_text(o, "new.version"), "1.2.0");
	assert_string_equal(rig_text(o, "phase"), "step");
	assert_string_equal(rig_text(o, "verdict"), "not_yet");
	assert_string_equal(rig_text(o, "next"), "headgate rollouts show 1");
	assert_float_equal(rig_num(o, "weight.set"), 0.1, 1e-9);
	assert_float_equal(rig_num(o, "weight.actual"), 0.1, 1e-9);
	assert_float_equal(rig_num(o, "evidence.confidence"), 0.999, 1e-9);
	assert_int_equal(rig_int(o, "step.index"), 1);
	assert_int_equal(rig_int(o, "step.count"), 3);
	assert_int_equal(rig_int(o, "step.wait_ms"), 30000);
	int64_t left = rig_int(o, "step.until_ms") - (int64_t)clock_wall_ms();
	assert_in_range(left, 18000, 22000);
	assert_non_null(strstr(rig_text(o, "why"), "10 % of the requests, watched for another "));
	assert_string_equal(rig_text(json_array_get(rig_at(o, "steps"), 0), "state"), "now");
	assert_string_equal(rig_text(json_array_get(rig_at(o, "steps"), 1), "state"), "next");
	assert_int_equal(rig_int(o, "ended_ms"), 0);
	json_decref(o);
	rig_failure(r, "/a\xff", true);
	rig_serve(r, 60, 500, 60);
	rig_trip(r);
	RIG_UNTIL(r, rig_ended(r, id), 20000);
	o = rig_show(r, id);
	members(o, "ended", TOP "back:o");
	members(rig_at(o, "back"), "back", "requests:i failures:i took_ms:i");
	parts(o);
	assert_string_equal(
	        rig_text(json_array_get(rig_at(o, "first_failures"), 0), "path"), "/a?");
	assert_string_equal(rig_text(o, "state"), "aborted");
	assert_string_equal(rig_text(o, "next"), "headgate rollouts why 1");
	assert_true(rig_int(o, "ended_ms") >= rig_int(o, "created_ms"));
	json_decref(o);
}

static void mirror_is(json_t *o)
{
	assert_float_equal(rig_num(o, "mirror.share"), 0.2, 1e-9);
	assert_int_equal(rig_int(o, "mirror.copied"), 40);
	assert_int_equal(rig_int(o, "mirror.differs"), 7);
	assert_int_equal(rig_int(o, "mirror.failed"), 3);
	assert_int_equal(rig_int(o, "mirror.partly"), 2);
	assert_int_equal(rig_int(o, "mirror.dropped"), 5);
	assert_int_equal(json_array_size(rig_at(o, "first_differences")), 1);
	const json_t *d = json_array_get(rig_at(o, "first_differences"), 0);
	members(d, "first_differences",
	        "ts_ms:i replica:i kind:s at:s cause:s status_old:i status_new:i method:s path:s "
	        "request_id:s");
	assert_string_equal(rig_text(d, "kind"), "json");
	assert_string_equal(rig_text(d, "at"), "$.price?");
	assert_string_equal(rig_text(d, "path"), "/a");
	json_decref(o);
}

#define SHADOW                                                                             \
	"app: web\ncommand: web --port $PORT\nreplicas: 2\nrollout:\n  strategy: canary\n" \
	"  steps: [{weight: 0%, wait: 10s}, {weight: 50%, wait: 30s}]\n"                   \
	"  mirror: {share: 20%, ignore: ['$.l[*].t', $.a]}\n"                              \
	"  after_promote: {watch: 2s, keep_previous: 2s}\n"

static void copies_reach_the_edge_and_what_came_of_them_is_shown(void **state)
{
	struct rig *r = *state;
	struct snap_trial t = {0};
	rig_apply(r, SHADOW);
	uint64_t id = rig_deploy(r, "2");
	RIG_UNTIL(r, rig_slot(r, WEB, &t) >= 0 && t.mirror_ppm == 200000, 20000);
	assert_int_equal(t.weight_ppm, 0);
	assert_str(((struct hg_str){t.ignore, t.ignore_n}), "$.l[*].t\n$.a\n");
	struct meter *m = r->child.meter;
	struct meter_trial_count *c = &m->worker[0].trial[t.cell];
	meter_add(&c->mirrored, 40);
	meter_add(&c->mirror_differs, 7);
	meter_add(&c->mirror_failed, 3);
	meter_add(&c->mirror_partly, 2);
	meter_add(&c->mirror_dropped, 5);
	static struct meter_difference d = {.what = METER_DIFFERS_JSON,
	        .method_n = 3,
	        .method = "GET",
	        .path_n = 2,
	        .path = "/a",
	        .at_n = 8,
	        .at = "$.price\xff"};
	d.wall_ms = clock_wall_ms();
	meter_difference_keep(&m->trial[rig_slot(r, WEB, &t)], t.rollout, &d);
	rig_run(r, 6000);
	mirror_is(rig_show(r, id));
	struct hg_buf text;
	hg_buf_init(&text, 1 << 20);
	rollouts_metrics(r->rollouts, &text);
	assert_non_null(strstr(
	        hg_buf_text(&text), "headgate_rollout_mirror{app=\"web\",kind=\"differs\"} 7\n"));
	hg_buf_free(&text);
	/* A control that takes over knows what may differ, and what there was. */
	rig_control_dies(r);
	rig_control(r);
	rig_apply(r, CANARY);
	RIG_UNTIL(r, rig_weight(r) == 50, 20000);
	assert_true(rig_slot(r, WEB, &t) >= 0);
	assert_str(((struct hg_str){t.ignore, t.ignore_n}), "$.l[*].t\n$.a\n");
	mirror_is(rig_show(r, id));
	rig_do(r, id, ROLLOUTS_ABORT);
	RIG_UNTIL(r, rig_ended(r, id), 20000);
	mirror_is(rig_show(r, id));
}

static void what_nobody_knows_is_not_found(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	struct hg_buf b;
	hg_buf_init(&b, 1 << 20);
	assert_int_equal(rollouts_show_json(r->rollouts, 7, &b, &err), HG_E_NOT_FOUND);
	hg_buf_free(&b);
}

static json_t *list(struct rig *r, const char *app, uint32_t limit)
{
	struct hg_err err = {0};
	struct hg_buf b;
	hg_buf_init(&b, 1 << 20);
	assert_int_equal(rollouts_list_json(r->rollouts, hg_str(app), limit, &b, &err), HG_OK);
	json_t *o = rig_json(&b);
	members(o, "list", "schema:s rollouts:a");
	assert_string_equal(rig_text(o, "schema"), "headgate.rollouts/1");
	return o;
}

static void rollouts_are_listed_newest_first_by_app_and_number(void **state)
{
	struct rig *r = *state;
	size_t i;
	const json_t *v;
	rig_apply(r, CANARY);
	uint64_t first = rig_deploy(r, "2");
	RIG_UNTIL(r, rig_weight(r) == 10, 20000);
	rig_do(r, first, ROLLOUTS_ABORT);
	RIG_UNTIL(r, rig_ended(r, first), 20000);
	rig_deploy(r, "4");
	rig_deploy(r, "5");
	json_t *o = list(r, "", 0);
	assert_int_equal(json_array_size(rig_at(o, "rollouts")), 3);
	json_array_foreach(rig_at(o, "rollouts"), i, v)
	{
		members(v, "rollout",
		        "id:i app:s strategy:s old:o new:o state:s phase:s outcome:s cause:s "
		        "weight:o why:s created_ms:i ended_ms:i");
		assert_int_equal(rig_int(v, "id"), 3 - i);
	}
	json_decref(o);
	o = list(r, "web", 2);
	assert_int_equal(json_array_size(rig_at(o, "rollouts")), 2);
	json_decref(o);
	o = list(r, "api", 0);
	assert_int_equal(json_array_size(rig_at(o, "rollouts")), 0);
	json_decref(o);
	o = list(r, "gone", 0);
	assert_int_equal(json_array_size(rig_at(o, "rollouts")), 0);
	json_decref(o);
}

/* ---- plan ---- */

static json_t *plan(struct rig *r, const struct rollouts_deploy *d)
{
	struct hg_err err = {0};
	struct hg_buf b;
	hg_buf_init(&b, 1 << 20);
	if (rollouts_plan_json(r->rollouts, d, &b, &err) < 0) fail_msg("%s", err.message);
	json_t *o = rig_json(&b);
	size_t i;
	const json_t *v;
	members(o, "plan",
	        "schema:s app:s strategy:s old:o new:o changes:a traffic:o steps:a total_ms:i "
	        "detects:a warnings:a");
	members(rig_at(o, "old"), "old", "release:i version:s");
	members(rig_at(o, "new"), "new", "release:i version:s");
	members(rig_at(o, "traffic"), "traffic", "requests_per_second:n");
	json_array_foreach(rig_at(o, "steps"), i, v)
	        members(v, "steps", "weight:n replicas:i least_ms:i proven_ms:i");
	json_array_foreach(rig_at(o, "detects"), i, v)
	        members(v, "detects", "rate_old:n rate_new:n weight:n requests:i ms:i");
	assert_string_equal(rig_text(o, "schema"), "headgate.plan/1");
	return o;
}

static void a_plan_says_what_a_deploy_would_do_and_makes_nothing(void **state)
{
	struct rig *r = *state;
	const struct spec_pair env[] = {{HG_STR("TOKEN"), HG_STR("very secret")}};
	struct rollouts_deploy d = {.app = HG_STR("web"),
	        .version = HG_STR("1.8.0"),
	        .command = HG_STR("web --fast"),
	        .env = env,
	        .env_count = 1};
	rig_apply(r, CANARY);
	json_t *o = plan(r, &d);
	assert_int_equal(rig_int(o, "total_ms"), -1); /* without traffic nothing is proven */
	assert_int_equal(json_array_size(rig_at(o, "warnings")), 1);
	assert_int_equal(json_array_size(rig_at(o, "steps")), 3);
	assert_int_equal(rig_int(json_array_get(rig_at(o, "steps"), 0), "replicas"), 1);
	assert_int_equal(rig_int(json_array_get(rig_at(o, "steps"), 2), "replicas"), 2);
	assert_int_equal(rig_int(json_array_get(rig_at(o, "steps"), 0), "least_ms"), 30000);
	assert_string_equal(rig_text(o, "new.version"), "1.8.0");
	assert_int_equal(rig_int(o, "new.release"), 0);
	char *text = json_dumps(rig_at(o, "changes"), JSON_COMPACT);
	assert_string_equal(text, "[\"version: 1.8.0\",\"command: web --fast\",\"env: TOKEN\"]");
	free(text);
	json_decref(o);
	/* Ten requests a second. */
	for (int i = 0; i < 20; i++) {
		for (int k = 0; k < 10; k++)
			meter_observe(
			        meter_lane_of(&((struct meter *)r->child.meter)->worker[0], 1), 200,
			        1);
		rig_run(r, 1000);
	}
	o = plan(r, &d);
	assert_float_equal(rig_num(o, "traffic.requests_per_second"), 10, 0.5);
	assert_true(rig_int(o, "total_ms") > 90000);
	assert_int_equal(json_array_size(rig_at(o, "warnings")), 0);
	for (size_t i = 0; i < 3; i++) {
		const json_t *v = json_array_get(rig_at(o, "detects"), i);
		assert_true(rig_int(v, "requests") > 0 && rig_int(v, "ms") > 0);
	}
	json_decref(o);
	d.strategy = HG_STR("recreate");
	rig_deploy(r, "2");
	o = plan(r, &d);
	assert_string_equal(rig_text(o, "strategy"), "recreate");
	assert_int_equal(json_array_size(rig_at(o, "warnings")), 2);
	json_decref(o);
	o = list(r, "", 0);
	assert_int_equal(json_array_size(rig_at(o, "rollouts")), 1);
	json_decref(o);
}

static void a_plan_of_nothing_that_is_known_is_refused(void **state)
{
	struct rig *r = *state;
	struct hg_err err = {0};
	struct hg_buf b;
	struct rollouts_deploy d = {.app = HG_STR("wep")};
	rig_apply(r, CANARY);
	hg_buf_init(&b, 1 << 20);
	assert_int_equal(rollouts_plan_json(r->rollouts, &d, &b, &err), HG_E_FLEET_APP);
	assert_string_equal(err.hint, "Did you mean \"web\"?");
	d.app = HG_STR("web");
	d.strategy = HG_STR("yolo");
	assert_int_equal(rollouts_plan_json(r->rollouts, &d, &b, &err), HG_E_INVALID);
	assert_non_null(strstr(err.hint, "blue-green"));
	hg_buf_free(&b);
}

/* ---- metrics ---- */

static double sample(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	if (!at) fail_msg("%s is not in %s", name, text);
	return strtod(at + strlen(name), NULL);
}

static void metrics(struct rig *r, char *to, size_t cap)
{
	struct hg_buf b;
	hg_buf_init(&b, 1 << 20);
	rollouts_metrics(r->rollouts, &b);
	assert_true(hg_str_copy(hg_buf_view(&b), to, cap));
	hg_buf_free(&b);
}

static void split_weights_in_the_metrics_add_up_to_1(void **state)
{
	struct rig *r = *state;
	static char text[16384];
	rig_apply(r, CANARY);
	metrics(r, text, sizeof text);
	assert_null(strstr(text, "{app=")); /* nothing runs */
	rig_deploy(r, "2");
	RIG_UNTIL(r, rig_weight(r) == 10, 20000);
	rig_serve(r, 20, 180, 1);
	rig_run(r, 1000);
	metrics(r, text, sizeof text);
	double new = sample(text, "headgate_split_weight{app=\"web\",release=\"2\"} ");
	double old = sample(text, "headgate_split_weight{app=\"web\",release=\"1\"} ");
	assert_float_equal(new, 0.1, 1e-9);
	assert_float_equal(new + old, 1, 1e-9);
	assert_true(sample(text, "headgate_judge_threshold{app=\"web\"} ") > 1);
	assert_true(sample(text, "headgate_judge_evidence{app=\"web\",metric=\"all\"} ") > 0);
	assert_true(sample(text, "headgate_judge_evidence{app=\"web\",metric=\"errors\"} ") > 0);
	assert_float_equal(
	        sample(text, "headgate_rollout_requests{app=\"web\",kind=\"total\"} "), 20, 0);
	assert_float_equal(
	        sample(text, "headgate_rollout_requests{app=\"web\",kind=\"failed\"} "), 1, 0);
	assert_non_null(strstr(text, "headgate_rollout_release{app=\"web\",arm=\"new\"} 2\n"));
	assert_non_null(strstr(text, "headgate_rollout_release{app=\"web\",arm=\"old\"} 1\n"));
	assert_non_null(strstr(text, "headgate_rollout_info{app=\"web\",rollout=\"1\",strategy="
	                             "\"canary\",phase=\"step\",state=\"running\"} 1\n"));
	/* The edge is ahead of the slot. */
	rig_trip(r);
	metrics(r, text, sizeof text);
	new = sample(text, "headgate_split_weight{app=\"web\",release=\"2\"} ");
	old = sample(text, "headgate_split_weight{app=\"web\",release=\"1\"} ");
	assert_float_equal(new, 0, 0);
	assert_float_equal(old, 1, 0);
}

/* ---- the configuration ---- */

static struct ro_conf *conf_of(struct rig *r, const char *yaml)
{
	rig_apply(r, yaml);
	return (struct ro_conf *)ro_conf_find(r->rollouts, HG_STR("web"));
}

#define FULL                                                                           \
	"app: web\n"                                                                   \
	"command: web --port $PORT\n"                                                  \
	"rollout:\n"                                                                   \
	"  strategy: canary\n"                                                         \
	"  steps: [{weight: 5%, wait: 2m}, {weight: 50%}, {weight: 100%, wait: 1h}]\n" \
	"  match: {header: 'X-Canary: al:ways', cookie: canary=a=b, query: try}\n"     \
	"  abort_when: {error_rate: 2%, p95: 800ms, error_rate_above_stable: 1%, "     \
	"p95_vs_stable: 1.5x}\n"                                                       \
	"  confidence: 99%\n"                                                          \
	"  inconclusive: abort\n"                                                      \
	"  inconclusive_after: 7m\n"                                                   \
	"  rescue: off\n"                                                              \
	"  sticky: 2h\n"                                                               \
	"  after_abort: {keep_canary: 3m}\n"                                           \
	"  after_promote: {watch: 4m, keep_previous: 6m, control: 5%}\n"               \
	"  progress_deadline: 9m\n"                                                    \
	"  max_surge: 1\n"                                                             \
	"  max_unavailable: 10%\n"                                                     \
	"  gates:\n"                                                                   \
	"    - {when: before, run: ./check --all}\n"                                   \
	"    - {when: 50%, confirm: true}\n"                                           \
	"    - {when: 20%, run: ./smoke, timeout: 9s}\n"                               \
	"    - {when: promote, run: ./go}\n"                                           \
	"    - {when: after, run: ./tidy}\n"                                           \
	"    - {when: rollback, run: ./sorry}\n"

static void the_rules_are_read_as_they_are_written(void **state)
{
	const struct ro_conf *c = conf_of(*state, FULL);
	const struct ro_rules *u = &c->rules;
	assert_string_equal(c->app, "web");
	assert_int_equal(u->strategy, RO_CANARY);
	assert_int_equal(u->step_count, 3);
	assert_int_equal(u->step[0].weight_ppm, 50000);
	assert_int_equal(u->step[0].wait_ms, 120000);
	assert_int_equal(u->step[1].weight_ppm, 500000);
	assert_int_equal(u->step[1].wait_ms, 0);
	assert_int_equal(u->step[2].weight_ppm, RO_WHOLE);
	assert_float_equal(u->judge.alpha, 0.01, 1e-9);
	assert_float_equal(u->judge.error_rate, 0.02, 1e-9);
	assert_float_equal(u->judge.error_above, 0.01, 1e-9);
	assert_float_equal(u->judge.p95_ratio, 1.5, 1e-9);
	assert_true(u->judge.p95);
	assert_int_equal(c->latency.p95_ns, 800000000);
	assert_float_equal(c->latency.p95_ratio, 1.5, 1e-9);
	assert_int_equal(u->inconclusive, RO_INCONCLUSIVE_ABORT);
	assert_int_equal(u->inconclusive_after_ms, 420000);
	assert_false(u->rescue);
	assert_int_equal(c->sticky_s, 7200);
	assert_int_equal(u->keep_canary_ms, 180000);
	assert_int_equal(u->watch_ms, 240000);
	assert_int_equal(u->keep_previous_ms, 360000);
	assert_int_equal(u->control_ppm, 50000);
	assert_int_equal(u->progress_deadline_ms, 540000);
	assert_false(u->surge.is_ratio);
	assert_int_equal(u->surge.v, 1);
	assert_true(u->unavailable.is_ratio);
	assert_int_equal(u->unavailable.v, 100000);
	assert_false(u->preview);
	assert_true(u->match);
}

static void who_sees_the_new_release_first_is_read_as_it_is_written(void **state)
{
	const struct ro_conf *c = conf_of(*state, FULL);
	assert_int_equal(c->match_count, 3);
	assert_int_equal(c->match[0].kind, SNAP_MATCH_HEADER);
	assert_string_equal(c->match[0].name, "X-Canary");
	assert_string_equal(c->match[0].value, "al:ways");
	assert_int_equal(c->match[1].kind, SNAP_MATCH_COOKIE);
	assert_string_equal(c->match[1].name, "canary");
	assert_string_equal(c->match[1].value, "a=b");
	assert_int_equal(c->match[2].kind, SNAP_MATCH_QUERY);
	assert_string_equal(c->match[2].name, "try");
	assert_string_equal(c->match[2].value, "");
}

static void gates_are_read_as_they_are_written(void **state)
{
	static const struct {
		enum ro_when when;
		uint32_t weight_ppm;
		const char *text, *run;
		uint32_t timeout_ms;
	} want[] = {{RO_WHEN_BEFORE, 0, "before", "./check --all", 300000},
	        {RO_WHEN_CONFIRM, 500000, "50%", "", 300000},
	        {RO_WHEN_WEIGHT, 200000, "20%", "./smoke", 9000},
	        {RO_WHEN_PROMOTE, RO_WHOLE, "promote", "./go", 300000},
	        {RO_WHEN_AFTER, RO_WHOLE, "after", "./tidy", 300000},
	        {RO_WHEN_ROLLBACK, 0, "rollback", "./sorry", 300000}};
	const struct ro_conf *c = conf_of(*state, FULL);
	assert_int_equal(c->rules.gate_count, HG_COUNT(want));
	for (size_t i = 0; i < HG_COUNT(want); i++) {
		assert_int_equal(c->rules.gate[i].when, want[i].when);
		assert_int_equal(c->rules.gate[i].weight_ppm, want[i].weight_ppm);
		assert_int_equal(c->rules.gate[i].text, i);
		assert_string_equal(c->gate[i].when, want[i].text);
		assert_string_equal(c->gate[i].run, want[i].run);
		assert_int_equal(c->gate[i].timeout_ms, want[i].timeout_ms);
	}
}

static void a_configuration_survives_the_store(void **state)
{
	const struct ro_conf *c = conf_of(*state, FULL);
	struct ro_conf *back = calloc(1, sizeof *back);
	assert_non_null(back);
	json_t *j = ro_conf_json(c);
	char *text = json_dumps(j, JSON_COMPACT);
	json_decref(j);
	j = json_loads(text, 0, NULL);
	assert_true(ro_conf_load(j, back));
	back->rules = c->rules; /* they are in the bytes of the state */
	assert_memory_equal(back, c, sizeof *c);
	json_object_del(j, "app");
	assert_false(ro_conf_load(j, back));
	json_decref(j);
	free(text);
	free(back);
}

static void without_a_word_an_app_rolls_with_a_quarter_at_a_time(void **state)
{
	const struct ro_conf *c = conf_of(*state, "app: web\ncommand: web --port $PORT\n");
	assert_int_equal(c->rules.strategy, RO_ROLLING);
	assert_true(c->rules.surge.is_ratio);
	assert_int_equal(c->rules.surge.v, 250000);
	assert_int_equal(c->rules.unavailable.v, 250000);
	assert_true(c->rules.rescue);
	assert_int_equal(c->rules.inconclusive, RO_INCONCLUSIVE_WAIT);
	assert_int_equal(c->rules.watch_ms, 600000);
	assert_int_equal(c->match_count, 0);
	assert_int_equal(c->rules.gate_count, 0);
	assert_int_equal(c->sticky_s, 0);
}

static void texts_that_are_too_long_are_refused_and_the_former_configuration_stays(void **state)
{
	struct rig *r = *state;
	static char yaml[8192], much[2000];
	struct hg_err err = {0};
	rig_apply(r, CANARY);
	memset(much, 'x', sizeof much - 1);
	snprintf(yaml, sizeof yaml, "%s  gates: [{when: before, run: './%s'}]\n", CANARY, much);
	assert_int_equal(rig_try(r, yaml, &err), HG_E_TOO_LARGE);
	assert_non_null(strstr(err.message, "a gate of the rollout of app \"web\" is too long"));
	much[200] = 0;
	snprintf(yaml, sizeof yaml, "%s  match: {header: 'X-A: %s'}\n", CANARY, much);
	assert_int_equal(rig_try(r, yaml, &err), HG_E_TOO_LARGE);
	assert_int_equal(ro_conf_find(r->rollouts, HG_STR("web"))->rules.step_count, 3);
}

static void what_is_written_reaches_the_edge(void **state)
{
	struct rig *r = *state;
	struct snap_trial t;
	rig_apply(r, CANARY "  match: {header: 'X-Canary: always'}\n"
	                    "  sticky: 1h\n"
	                    "  abort_when: {p95: 800ms, p95_vs_stable: 2x}\n");
	for (int i = 0; i < 1000; i++)
		meter_observe(meter_lane_of(&((struct meter *)r->child.meter)->worker[0], 1), 200,
		        80000000);
	rig_deploy(r, "2");
	RIG_UNTIL(r, rig_weight(r) == 10, 20000);
	assert_true(rig_slot(r, WEB, &t) >= 0);
	assert_int_equal(t.match_count, 1);
	assert_string_equal(t.match[0].name, "X-Canary");
	assert_int_equal(t.flags,
	        SNAP_TRIAL_JUDGE | SNAP_TRIAL_RESCUE | SNAP_TRIAL_MATCH | SNAP_TRIAL_STICKY);
	assert_int_equal(t.sticky_s, 3600);
	assert_int_equal(t.rule_p95_ns, 800000000);
	/* All took between 75 and 100 ms. */
	assert_in_range(t.slow_old_ns[1], 75000000, 100000000);
	assert_in_range(
	        t.slow_new_ns[1], t.slow_old_ns[1] * 119 / 100, t.slow_old_ns[1] * 121 / 100);
	assert_int_equal(t.rule_ratio_old_ns, t.slow_old_ns[1]);
	assert_in_range(
	        t.rule_ratio_new_ns, t.slow_old_ns[1] * 199 / 100, t.slow_old_ns[1] * 201 / 100);
}

static void of_a_fast_app_the_new_release_may_be_a_millisecond_slower(void **state)
{
	struct rig *r = *state;
	struct snap_trial t;
	rig_apply(r, CANARY "  abort_when: {p95_vs_stable: 2x}\n");
	for (int i = 0; i < 1000; i++)
		meter_observe(meter_lane_of(&((struct meter *)r->child.meter)->worker[0], 1), 200,
		        200000);
	rig_deploy(r, "2");
	RIG_UNTIL(r, rig_weight(r) == 10, 20000);
	assert_true(rig_slot(r, WEB, &t) >= 0);
	for (int i = 0; i < SNAP_TRIAL_LEVELS; i++) {
		assert_in_range(t.slow_old_ns[i], 1, 500000);
		assert_int_equal(t.slow_new_ns[i], t.slow_old_ns[i] + 1000000);
	}
	/* What is asked for is taken as it stands. */
	assert_in_range(
	        t.rule_ratio_new_ns, t.slow_old_ns[1] * 199 / 100, t.slow_old_ns[1] * 201 / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        RIG_TEST(a_rollout_is_shown_with_all_its_members_while_it_runs_and_afterwards),
	        RIG_TEST(copies_reach_the_edge_and_what_came_of_them_is_shown),
	        RIG_TEST(what_nobody_knows_is_not_found),
	        RIG_TEST(rollouts_are_listed_newest_first_by_app_and_number),
	        RIG_TEST(a_plan_says_what_a_deploy_would_do_and_makes_nothing),
	        RIG_TEST(a_plan_of_nothing_that_is_known_is_refused),
	        RIG_TEST(split_weights_in_the_metrics_add_up_to_1),
	        RIG_TEST(the_rules_are_read_as_they_are_written),
	        RIG_TEST(who_sees_the_new_release_first_is_read_as_it_is_written),
	        RIG_TEST(gates_are_read_as_they_are_written),
	        RIG_TEST(a_configuration_survives_the_store),
	        RIG_TEST(without_a_word_an_app_rolls_with_a_quarter_at_a_time),
	        RIG_TEST(texts_that_are_too_long_are_refused_and_the_former_configuration_stays),
	        RIG_TEST(what_is_written_reaches_the_edge),
	        RIG_TEST(of_a_fast_app_the_new_release_may_be_a_millisecond_slower),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
