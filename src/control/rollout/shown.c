/* What is shown of rollouts: those that run from memory, those that ended from the store. */
#include "control/rollout/rollout_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "spec/spec.h"

#define LIST_MAX 1000u

static enum hg_rc dump(json_t *o, struct hg_buf *to, struct hg_err *err)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (text) hg_buf_cstr(to, text);
	free(text);
	if (text && !to->failed) return HG_OK;
	return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
}

/* ---- one ---- */

struct stored {
	json_t *shown;
};

static void on_stored(void *arg, const struct store_rollout *row)
{
	struct stored *s = arg;
	json_t *o = json_loadb(row->text.p, row->text.n, 0, NULL);
	s->shown = json_incref(json_object_get(o, "shown"));
	/* It was written before the row had its number. */
	if (s->shown) json_object_set_new(s->shown, "id", json_integer((json_int_t)row->id));
	json_decref(o);
}

enum hg_rc rollouts_show_json(
        struct rollouts *r, uint64_t id, struct hg_buf *to, struct hg_err *err)
{
	struct ro_run *run = ro_run_find(r, id);
	struct stored s = {0};
	if (run) return dump(ro_run_json(run, &run->kept), to, err);
	enum hg_rc rc = store_rollout_get(r->o.store, id, on_stored, &s, err);
	if (rc < 0) return rc;
	if (s.shown) return dump(s.shown, to, err);
	return hg_err_set(err, HG_E_DB_CORRUPT, "rollout %llu of the store cannot be read",
	        (unsigned long long)id);
}

/* ---- many ---- */

static json_t *brief(const json_t *o)
{
	static const char *const keys[] = {"id", "app", "strategy", "old", "new", "state", "phase",
	        "outcome", "cause", "weight", "why", "created_ms", "ended_ms"};
	json_t *b = json_object();
	for (size_t i = 0; i < HG_COUNT(keys); i++)
		json_object_set(b, keys[i], json_object_get(o, keys[i]));
	return b;
}

struct listing {
	struct rollouts *r;
	json_t *list;
	struct hg_str app;
	uint32_t limit;
};

static void on_row(void *arg, const struct store_rollout *row)
{
	struct listing *l = arg;
	struct ro_run *run = ro_run_find(l->r, row->id);
	struct stored s = {0};
	if (json_array_size(l->list) >= l->limit) return;
	if (run)
		s.shown = ro_run_json(run, &run->kept);
	else
		on_stored(&s, row);
	const char *app = json_string_value(json_object_get(s.shown, "app"));
	if (app && (l->app.n == 0 || hg_str_eq(l->app, hg_str(app))))
		json_array_append_new(l->list, brief(s.shown));
	json_decref(s.shown);
}

enum hg_rc rollouts_list_json(struct rollouts *r, struct hg_str app, uint32_t limit,
        struct hg_buf *to, struct hg_err *err)
{
	struct listing l = {.r = r,
	        .list = json_array(),
	        .app = app,
	        .limit = HG_MIN(limit ? limit : LIST_MAX, LIST_MAX)};
	uint32_t id = app.n ? fleet_app_id(r->o.fleet, app) : 0;
	uint32_t rows = app.n && id == 0 ? LIST_MAX : l.limit;
	enum hg_rc rc = store_rollouts(r->o.store, id, false, rows, on_row, &l, err);
	if (rc < 0) {
		json_decref(l.list);
		return rc;
	}
	return dump(json_pack("{s:s,s:o}", "schema", "headgate.rollouts/1", "rollouts", l.list), to,
	        err);
}

/* ---- plan ---- */

/* -1: never at this traffic. */
static json_t *span(double requests, double per_second)
{
	if (!isfinite(requests) || !(per_second > 0)) return json_integer(-1);
	double ms = requests / per_second * 1000;
	return json_integer(ms < 1e15 ? (json_int_t)ms : -1);
}

static json_t *plan_steps(const struct ro_rules *rules, uint32_t n, double rate, json_int_t *ret_ms)
{
	json_t *a = json_array();
	double needs = judge_proves(0, 0.01);
	for (uint32_t i = 0; i < rules->step_count; i++) {
		double w = (double)rules->step[i].weight_ppm / RO_WHOLE;
		uint64_t wait = rules->step[i].wait_ms, least = wait ? wait : RO_DWELL_MS;
		json_t *proven = w > 0 ? span(needs, rate * w) : json_integer(0);
		json_int_t ms = json_integer_value(proven);
		if (ms < 0 || *ret_ms < 0)
			*ret_ms = -1;
		else
			*ret_ms += HG_MAX(ms, (json_int_t)least);
		json_array_append_new(a, json_pack("{s:f,s:i,s:I,s:o}", "weight", w, "replicas",
		                                 (int)ro_step_need(rules, i, n), "least_ms",
		                                 (json_int_t)least, "proven_ms", proven));
	}
	return a;
}

static json_t *plan_detects(const struct ro_rules *rules, double rate)
{
	static const double bad[] = {1, 0.5, 0.05, 0.01};
	json_t *a = json_array();
	uint32_t first = rules->step_count && rules->step[0].weight_ppm == 0 ? 1 : 0;
	double w = rules->step_count ? (double)rules->step[first].weight_ppm / RO_WHOLE : 0.5;
	if (w >= 1) w = 0.5;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		double requests = judge_detects(&rules->judge, w, 0.001, bad[i]);
		json_array_append_new(
		        a, json_pack("{s:f,s:f,s:f,s:o,s:o}", "rate_old", 0.001, "rate_new", bad[i],
		                   "weight", w, "requests",
		                   json_integer(isfinite(requests) ? (json_int_t)requests : -1),
		                   "ms", span(requests, rate)));
	}
	return a;
}

static void change_add(json_t *list, const char *what, struct hg_str value)
{
	char text[320];
	if (value.n == 0) return;
	snprintf(text, sizeof text, "%s: %.*s", what, (int)HG_MIN(value.n, 256u), value.p);
	json_array_append_new(list, json_string(text));
}

static json_t *plan_changes(const struct rollouts_deploy *d)
{
	json_t *a = json_array();
	change_add(a, "version", d->version);
	change_add(a, "command", d->command);
	change_add(a, "artifact", d->artifact);
	/* Names only: values may be secrets. */
	for (uint32_t i = 0; i < d->env_count; i++)
		change_add(a, "env", d->env[i].name);
	return a;
}

static json_t *plan_release(struct rollouts *r, struct hg_str app, uint32_t release)
{
	struct fleet_release_info info = {0};
	struct hg_err err = {0};
	char number[16];
	snprintf(number, sizeof number, "%u", release);
	if (!release || fleet_release_info(r->o.fleet, app, release, &info, &err) < 0)
		info.version[0] = 0;
	return json_pack("{s:i,s:s}", "release", (int)release, "version",
	        info.version[0] ? info.version : number);
}

static json_t *plan_warnings(const struct rollouts *r, const struct ro_conf *c,
        const struct rollouts_deploy *d, double rate)
{
	json_t *a = json_array();
	struct hg_err err = {0};
	bool asked = r->o.may_deploy && !d->override.n;
	if (asked && r->o.may_deploy(r->o.arg, d->app, &err) < 0)
		json_array_append_new(a, json_string(err.message));
	if (ro_run_of(r, c->app))
		json_array_append_new(
		        a, json_string("a rollout of this app runs: it would be superseded"));
	if (rate < 1)
		json_array_append_new(
		        a, json_string("there is hardly any traffic: nothing can be proven by it"));
	if (c->rules.strategy == RO_RECREATE)
		json_array_append_new(
		        a, json_string("recreate: nobody is served while the replicas change"));
	return a;
}

enum hg_rc rollouts_plan_json(
        struct rollouts *r, const struct rollouts_deploy *d, struct hg_buf *to, struct hg_err *err)
{
	struct ro_conf *c = NULL;
	struct fleet_want want = {0};
	enum hg_rc rc = ro_conf_of(r, d, &c, err);
	if (rc < 0) return rc;
	HG_ASSERT(c);
	double rate = ro_rate_now(r, c->app);
	json_int_t total = 0;
	uint32_t n = fleet_replicas_wanted(r->o.fleet, d->app);
	(void)!fleet_want(r->o.fleet, d->app, &want);
	char new_version[FLEET_VERSION_MAX] = "";
	(void)hg_str_copy(d->version, new_version, sizeof new_version);
	json_t *steps = plan_steps(&c->rules, n, rate, &total);
	json_t *o = json_pack("{s:s,s:s,s:s,s:o,s:{s:i,s:s},s:o,s:{s:f},s:o,s:I,s:o,s:o}", "schema",
	        "headgate.plan/1", "app", c->app, "strategy", ro_strategy_name(c->rules.strategy),
	        "old", plan_release(r, d->app, want.serving), "new", "release", 0, "version",
	        new_version, "changes", plan_changes(d), "traffic", "requests_per_second", rate,
	        "steps", steps, "total_ms", total, "detects", plan_detects(&c->rules, rate),
	        "warnings", plan_warnings(r, c, d, rate));
	rc = dump(o, to, err);
	free(c);
	return rc;
}
