/* A simulation as a document. */
#include "simulate_priv.h"

#include <math.h>

static json_t *number(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

/* -1, "never", is null. */
static json_t *ms(double v)
{
	return v >= 0 ? json_real(v) : json_null();
}

static json_t *count(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static const char *end_name(enum sim_end end)
{
	static const char *const names[] = {"promoted", "rolled_back", "waiting"};
	return names[end];
}

static json_t *events(const struct sim_result *r)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < r->event_count; i++) {
		const struct sim_event *e = &r->event[i];
		json_t *o = json_pack("{s:f,s:s,s:s,s:f}", "at_ms", e->at_ms, "event", e->what,
		        "text", e->text, "weight", e->weight_ppm / 1e6);
		if (e->threshold > 0) {
			json_object_set_new(o, "evidence", number(e->e));
			json_object_set_new(o, "threshold", number(e->threshold));
			json_object_set_new(o, "new",
			        json_pack("{s:I,s:I}", "requests", (json_int_t)e->n_new, "failed",
			                (json_int_t)e->c_new));
			json_object_set_new(o, "old",
			        json_pack("{s:I,s:I}", "requests", (json_int_t)e->n_old, "failed",
			                (json_int_t)e->c_old));
		}
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *detects(const struct cli_simulation *s, double weight)
{
	static const double bad[] = {1, 0.5, 0.05, 0.01};
	json_t *list = json_array();
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		json_array_append_new(list, json_pack("{s:f,s:o}", "rate_new", bad[i], "requests",
		                                    number(judge_detects(&s->rules->judge, weight,
		                                            s->o->baseline.errors, bad[i]))));
	return list;
}

static json_t *steps(const struct cli_simulation *s)
{
	const struct sim_result *r = s->result;
	json_t *list = json_array();
	for (uint32_t i = 0; i < r->step_count; i++) {
		const struct sim_step *x = &r->step[i];
		double w = x->weight_ppm / 1e6;
		json_array_append_new(
		        list, json_pack("{s:f,s:o,s:o,s:o,s:s,s:o}", "weight", w, "since_ms",
		                      x->begun ? json_real(x->since_ms) : json_null(), "took_ms",
		                      x->begun ? json_real(x->took_ms) : json_null(),
		                      "requests_new", count(x->requests_new), "proof",
		                      ro_proof_name(x->proof), "detects", detects(s, w)));
	}
	return list;
}

static void one(json_t *o, const struct cli_simulation *s)
{
	const struct sim_result *r = s->result;
	json_object_set_new(o, "outcome", json_string(end_name(r->end)));
	json_object_set_new(o, "cause", json_string(ro_cause_name(r->cause)));
	json_object_set_new(o, "found_by",
	        json_string(r->tripped  ? "edge"
	                    : r->judged ? "control"
	                                : ""));
	json_object_set_new(o, "end_ms", ms(r->end_ms));
	json_object_set_new(o, "first_request_ms", ms(r->raised_ms));
	json_object_set_new(o, "weight_zero_ms", ms(r->zero_ms));
	json_object_set_new(o, "back_from", json_real(r->back_from_ppm / 1e6));
	json_object_set_new(o, "requests_until_zero", count(r->requests_until));
	json_object_set_new(o, "requests",
	        json_pack("{s:I,s:I}", "new", (json_int_t)r->requests_new, "old",
	                (json_int_t)r->requests_old));
	json_object_set_new(o, "failures",
	        json_pack("{s:I,s:I,s:I,s:I,s:I}", "new", (json_int_t)r->failed_new, "rescued",
	                (json_int_t)r->rescued, "seen", (json_int_t)r->seen_new, "seen_of_old",
	                (json_int_t)r->seen_old, "unserved", (json_int_t)r->unserved));
	json_object_set_new(o, "traffic_most",
	        json_pack("{s:f,s:I}", "requests_per_second", r->rate_most, "users",
	                (json_int_t)r->users_most));
	json_object_set_new(o, "steps", steps(s));
	json_object_set_new(o, "events", events(r));
	json_object_set_new(o, "events_dropped", count(r->events_dropped));
	json_object_set_new(o, "computed",
	        json_pack("{s:I,s:I,s:I}", "windows", (json_int_t)r->windows, "decisions",
	                (json_int_t)r->decisions, "sliced", (json_int_t)r->sliced));
}

static json_t *range(const struct sim_range *r)
{
	if (r->n == 0) return json_null();
	return json_pack("{s:i,s:f,s:f,s:f}", "runs", (int)r->n, "median", r->median, "low", r->low,
	        "high", r->high);
}

static void many(json_t *o, const struct sim_summary *s)
{
	json_object_set_new(o, "outcome", json_string(end_name(cli_simulation_usual(s))));
	json_object_set_new(o, "runs", json_integer(s->runs));
	json_object_set_new(o, "ended",
	        json_pack("{s:i,s:i,s:i}", "promoted", (int)s->ended[SIM_PROMOTED], "rolled_back",
	                (int)s->ended[SIM_ROLLED_BACK], "waiting", (int)s->ended[SIM_WAITING]));
	json_object_set_new(o, "requests_until_zero", range(&s->requests));
	json_object_set_new(o, "requests_new", range(&s->requests_new));
	json_object_set_new(o, "zero_ms", range(&s->zero_ms));
	json_object_set_new(o, "failures_new", range(&s->failed_new));
	json_object_set_new(o, "failures_seen", range(&s->seen));
	json_object_set_new(o, "end_ms", range(&s->end_ms));
}

json_t *cli_simulation_json(const struct cli *c, const struct cli_simulation *s, int status)
{
	const struct sim_options *o = s->o;
	const char *traffic = c->args.value[CLI_F_TRAFFIC];
	json_t *faults = json_array();
	for (int i = 0; i < c->args.many_count; i++)
		if (c->args.many[i].id == CLI_F_FAULT)
			json_array_append_new(faults, json_string(c->args.many[i].value));
	json_t *doc = json_pack("{s:s,s:s#,s:s,s:i,s:I,s:s,s:o,s:{s:f,s:f,s:f},s:i}", "schema",
	        "headgate.simulation/1", "app", o->app->name.p, (int)o->app->name.n, "strategy",
	        ro_strategy_name(s->rules->strategy), "replicas", (int)o->app->replicas, "seed",
	        (json_int_t)o->seed, "traffic", traffic ? traffic : "1000/s", "faults", faults,
	        "baseline", "errors", o->baseline.errors, "median_ms", o->baseline.median_ms,
	        "p95_ms", o->baseline.p95_ms, "exit", status);
	if (!doc) return NULL;
	if (s->summary)
		many(doc, s->summary);
	else
		one(doc, s);
	return doc;
}
