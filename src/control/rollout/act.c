/* From what was decided to what is done, and from what is there to what was observed. */
#include "control/rollout/rollout_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "spec/spec.h"

/* ---- observing ---- */

static void arm_read(const struct ro_run *run, uint32_t release, struct ro_arm *to)
{
	struct fleet_release_state s;
	fleet_release_state(run->all->o.fleet, hg_str(run->conf.app), release, &s);
	double memory = s.memory_limit ? (double)s.memory_max / (double)s.memory_limit : 0;
	*to = (struct ro_arm){.wanted = s.wanted,
	        .total = s.total,
	        .ready = s.ready,
	        .starting = s.starting,
	        .crash_loops = s.crash_loops,
	        .failed_starts = s.failed_starts,
	        .exits = s.exits,
	        .memory_ends = s.memory_ends,
	        .memory = memory,
	        .cpu = s.cpu_limit > 0 ? s.cpu_max / s.cpu_limit : 0};
}

static uint32_t flags_of(const struct snap_trial *t)
{
	return (t->flags & SNAP_TRIAL_JUDGE ? RO_SPLIT_JUDGE : 0) |
	       (t->flags & SNAP_TRIAL_RESCUE ? RO_SPLIT_RESCUE : 0) |
	       (t->flags & SNAP_TRIAL_MATCH ? RO_SPLIT_MATCH : 0) |
	       (t->mirror_ppm ? RO_SPLIT_MIRROR : 0);
}

static void former_read(const struct ro_run *run, struct ro_seen_former *to)
{
	for (unsigned i = 0; i < RO_FORMER; i++) {
		struct trial_seen seen;
		if (run->former[i].slot < 0) continue;
		trial_look(&run->all->board, &run->former[i], &seen);
		to[i] = (struct ro_seen_former){
		        .epoch = run->former[i].snap.epoch, .evidence = seen.evidence};
	}
}

static uint64_t elapsed(uint64_t since_ms)
{
	uint64_t now = clock_wall_ms();
	return now > since_ms ? now - since_ms : 0;
}

static void gates_read(const struct ro_run *run, struct ro_gate_seen *to)
{
	for (uint32_t i = 0; i < RO_GATES_MAX; i++) {
		const struct ro_gate_run *g = &run->gate[i];
		to[i] = (struct ro_gate_seen){.state = g->state,
		        .status = g->status,
		        .took_ms = g->state == RO_GATE_RUNNING ? elapsed(g->began_ms) : g->took_ms};
	}
}

void ro_observe(struct ro_run *run, struct ro_observation *ret_seen)
{
	struct rollouts *r = run->all;
	struct hg_str app = hg_str(run->conf.app);
	struct fleet_want want = {0};
	struct trial_seen seen;
	*ret_seen = (struct ro_observation){
	        .replicas = fleet_replicas_wanted(r->o.fleet, app),
	        .fleet_known = fleet_knows(r->o.fleet),
	        .sample = r->samples,
	        .memory_id = r->memory_id,
	        .removed = r->applied && !ro_conf_find(r, app),
	};
	arm_read(run, run->kept.old_release, &ret_seen->old_arm);
	arm_read(run, run->kept.new_release, &ret_seen->new_arm);
	if (fleet_want(r->o.fleet, app, &want) == HG_OK)
		ret_seen->want = (struct ro_want){.serving = want.serving,
		        .serving_replicas = want.serving_replicas,
		        .trial = want.trial,
		        .trial_replicas = want.trial_replicas,
		        .recreate = want.recreate};
	trial_look(&r->board, &run->trial, &seen);
	if (run->trial.slot >= 0) {
		const struct snap_trial *t = &run->trial.snap;
		ret_seen->split = (struct ro_split){.present = true,
		        .weight_ppm = t->weight_ppm,
		        .epoch = t->epoch,
		        .flags = flags_of(t)};
		ret_seen->evidence_epoch = t->epoch;
		ret_seen->evidence = seen.evidence;
		ret_seen->tripped = seen.tripped;
		ret_seen->tripped_wall_ms = seen.tripped_wall_ms;
	}
	former_read(run, ret_seen->former);
	gates_read(run, ret_seen->gate);
	uint64_t requests = trial_requests(&r->board, run->conf.app, run->kept.old_release) +
	                    trial_requests(&r->board, run->conf.app, run->kept.new_release);
	/* What came before the first look is no news: control may be a replacement. */
	ret_seen->traffic = run->looked && requests != run->requests;
	run->requests = requests;
	run->looked = true;
	HG_LIST_EACH (node, &r->runs) {
		const struct ro_run *other = HG_CONTAINER(node, struct ro_run, node);
		if (other != run && !other->begun && strcmp(other->conf.app, run->conf.app) == 0)
			ret_seen->superseded = true;
	}
}

/* ---- traffic ---- */

void ro_run_trial_rules(const struct ro_run *run, struct trial_rules *ret_rules)
{
	const struct ro_state *s = &run->kept;
	*ret_rules = (struct trial_rules){.rollout = s->id,
	        .app = s->app,
	        .old_release = s->old_release,
	        .new_release = s->new_release,
	        .app_name = run->conf.app,
	        .sticky_s = run->conf.sticky_s,
	        .p95_ns = run->conf.latency.p95_ns,
	        .p95_ratio = run->conf.latency.p95_ratio,
	        .tolerance = s->rules.judge.tolerance_latency > 1 ? s->rules.judge.tolerance_latency
	                                                          : 1.2};
	memcpy(ret_rules->match, run->conf.match, sizeof ret_rules->match);
	ret_rules->ignore_n = run->conf.ignore_n;
	memcpy(ret_rules->ignore, run->conf.ignore, sizeof ret_rules->ignore);
}

/* The counters of an epoch that has ended are read on for a while: what completes late. */
static void epoch_ends(struct ro_run *run)
{
	struct trial *last = &run->former[RO_FORMER - 1];
	if (last->slot >= 0) {
		struct trial_seen seen;
		trial_look(&run->all->board, last, &seen);
		ro_users_add(&run->users, &seen);
	}
	memmove(&run->former[1], &run->former[0], sizeof run->former[0] * (RO_FORMER - 1));
	run->former[0] = run->trial;
}

static bool do_split(struct ro_run *run, const struct ro_state *next, const struct ro_split *split)
{
	struct rollouts *r = run->all;
	struct trial_rules rules;
	ro_run_trial_rules(run, &rules);
	if (run->trial.slot < 0 && !trial_open(&r->board, &run->trial, &rules)) return false;
	if (run->trial.snap.epoch && run->trial.snap.epoch != split->epoch) epoch_ends(run);
	rules.flags = (split->flags & RO_SPLIT_JUDGE ? SNAP_TRIAL_JUDGE : 0u) |
	              (split->flags & RO_SPLIT_RESCUE ? SNAP_TRIAL_RESCUE : 0u) |
	              (split->flags & RO_SPLIT_MATCH ? SNAP_TRIAL_MATCH : 0u) |
	              (rules.sticky_s ? SNAP_TRIAL_STICKY : 0u);
	rules.match_count = split->flags & RO_SPLIT_MATCH ? run->conf.match_count : 0;
	if (split->weight_ppm && !run->raised_ms) run->raised_ms = clock_wall_ms();
	rules.mirror_ppm = split->flags & RO_SPLIT_MIRROR ? next->rules.mirror_ppm : 0;
	trial_set(&r->board, &run->trial, &rules, split->weight_ppm, split->epoch, &next->judge);
	return true;
}

/* ---- replicas and gates ---- */

static bool do_want(struct ro_run *run, const struct ro_want *want)
{
	struct hg_err err = {0};
	struct fleet_want w = {.serving = want->serving,
	        .serving_replicas = want->serving_replicas,
	        .trial = want->trial,
	        .trial_replicas = want->trial_replicas,
	        .recreate = want->recreate};
	enum hg_rc rc = fleet_want_set(run->all->o.fleet, hg_str(run->conf.app), &w, &err);
	if (rc < 0 && run->all->o.log)
		hg_log(run->all->o.log, HG_WARN, "rollout.want", HG_S("app", run->conf.app),
		        HG_S("error", err.message));
	return rc == HG_OK;
}

/* The result of a gate finds its run by number: it may be gone by then. */
struct gate_call {
	struct rollouts *all;
	uint64_t id;
	uint32_t gate, serial;
};

static void on_gate(void *arg, int status, const char *why)
{
	struct gate_call *c = arg;
	struct ro_run *run = ro_run_find(c->all, c->id);
	(void)why;
	if (run && run->gate[c->gate].serial == c->serial) {
		struct ro_gate_run *g = &run->gate[c->gate];
		g->took_ms = elapsed(g->began_ms);
		g->status = status;
		g->state = status == 0 ? RO_GATE_PASSED : RO_GATE_FAILED;
		run->next_ms = 0;
		ro_kick(c->all);
	}
	free(c);
}

static bool do_gate(struct ro_run *run, const struct ro_state *next, uint32_t i)
{
	char release[16], rollout[24], weight[16];
	struct hg_err err = {0};
	struct ro_gate_run *g = &run->gate[i];
	const struct ro_gate_conf *conf = &run->conf.gate[i];
	struct gate_call *call = malloc(sizeof *call);
	if (!call) return false;
	g->serial++;
	*call = (struct gate_call){run->all, run->kept.id, i, g->serial};
	snprintf(release, sizeof release, "%u", next->new_release);
	snprintf(rollout, sizeof rollout, "%llu", (unsigned long long)next->id);
	snprintf(weight, sizeof weight, "%g", (double)next->head.weight_ppm / RO_WHOLE);
	const struct spec_pair env[] = {{HG_STR("HEADGATE_APP"), hg_str(run->conf.app)},
	        {HG_STR("HEADGATE_RELEASE"), hg_str(release)},
	        {HG_STR("HEADGATE_ROLLOUT"), hg_str(rollout)},
	        {HG_STR("HEADGATE_WEIGHT"), hg_str(weight)},
	        {HG_STR("HEADGATE_WHEN"), hg_str(conf->when)}};
	g->state = RO_GATE_RUNNING;
	g->began_ms = clock_wall_ms();
	g->note[0] = 0;
	if (conf->http[0]) {
		free(call);
		if (ro_hook_begin(run, next, i)) return true;
		g->state = RO_GATE_NEXT;
		return false;
	}
	enum hg_rc rc = fleet_command_run(run->all->o.fleet, hg_str(run->conf.app),
	        next->new_release, hg_str(conf->run), env, HG_COUNT(env), conf->timeout_ms, on_gate,
	        call, &err);
	if (rc == HG_OK) return true;
	free(call);
	if (rc == HG_E_AGAIN) {
		/* Too many commands run just now. */
		g->state = RO_GATE_NEXT;
		return false;
	}
	/* A command that cannot be started is a gate that fails. */
	g->state = RO_GATE_FAILED;
	g->status = -1;
	run->next_ms = 0;
	if (run->all->o.log)
		hg_log(run->all->o.log, HG_WARN, "rollout.gate", HG_S("app", run->conf.app),
		        HG_S("error", err.message));
	return true;
}

/* ---- the journal, and what is saved with it ---- */

static enum hg_rc event_add(struct ro_run *run, const struct ro_state *next,
        const struct ro_event *e, struct hg_err *err)
{
	json_t *o = json_pack("{s:I,s:s,s:s,s:i,s:f,s:i,s:s,s:s,s:i,s:f,s:f}", "rollout",
	        (json_int_t)next->id, "strategy", ro_strategy_name(next->rules.strategy), "phase",
	        ro_phase_name(e->head.phase), "step", (int)e->head.step + 1, "weight",
	        (double)e->head.weight_ppm / RO_WHOLE, "epoch", (int)e->head.epoch, "outcome",
	        ro_outcome_name(e->head.outcome), "cause", ro_cause_name(e->head.cause), "index",
	        (int)e->index, "e", e->e, "threshold", e->threshold);
	if (o && e->head.cause == RO_CAUSE_DAMAGED)
		json_object_set_new(o, "code", json_string(hg_rc_info(HG_E_ROLLOUT_DAMAGED)->code));
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (!text) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	uint64_t id;
	struct store_event row = {.ts_ms = clock_wall_ms(),
	        .kind = hg_str(ro_event_name(e->kind)),
	        .app = hg_str(run->conf.app),
	        .release = next->new_release,
	        .text = hg_str(text)};
	enum hg_rc rc = store_event_add(run->all->o.store, &row, &id, err);
	free(text);
	return rc;
}

/* One that is taken and never finished (its worker died) hides none behind it. */
static void failures_read(struct ro_run *run)
{
	const struct meter *m = run->all->board.meter;
	struct meter_failure first[METER_FAILURES];
	uint32_t n = 0;
	if (!m || run->trial.slot < 0) return;
	for (uint32_t i = 0; i < METER_FAILURES; i++)
		if (meter_failure_get(&m->trial[run->trial.slot], i, run->kept.id, &first[n])) n++;
	/* Fewer than before: the shared memory is another one. */
	if (n <= run->first_n) return;
	memcpy(run->first, first, sizeof first[0] * n);
	run->first_n = n;
}

static void differences_read(struct ro_run *run)
{
	const struct meter *m = run->all->board.meter;
	struct meter_difference d[METER_DIFFERENCES];
	uint32_t n = 0;
	if (!m || run->trial.slot < 0) return;
	for (uint32_t i = 0; i < METER_DIFFERENCES; i++)
		if (meter_difference_get(&m->trial[run->trial.slot], i, run->kept.id, &d[n])) n++;
	if (n <= run->differs_n) return;
	memcpy(run->differs, d, sizeof d[0] * n);
	run->differs_n = n;
}

/* In the transaction that says why. */
static enum hg_rc incident_open(
        const struct ro_run *run, const struct ro_state *next, struct hg_err *err)
{
	const struct rollouts_options *o = &run->all->o;
	char why[256];
	if (!o->on_incident) return HG_OK;
	(void)snprintf(why, sizeof why,
	        next->stuck ? "release %u of %s was taken back (%s), and the former one does not "
	                      "come back"
	                    : "release %u of %s was taken back (%s)",
	        next->new_release, run->conf.app, ro_cause_name(next->head.cause));
	return o->on_incident(o->arg,
	        &(struct rollouts_incident){.app = run->conf.app,
	                .rollout = next->id,
	                .release = next->new_release,
	                .why = why,
	                .stuck = next->stuck},
	        err);
}

/* Events, quarantine, incident and state as one transaction. `first` … `last`: the actions before
 * RO_SAVE. */
static bool do_save(struct ro_run *run, struct ro_state *next, const struct ro_actions *out,
        uint32_t first, uint32_t last)
{
	struct store *store = run->all->o.store;
	struct hg_err err = {0};
	failures_read(run);
	differences_read(run);
	enum hg_rc rc = store_begin(store, &err);
	if (rc < 0) goto out;
	for (uint32_t i = first; rc == HG_OK && i < last; i++) {
		const struct ro_action *a = &out->a[i];
		if (a->kind == RO_EVENT)
			rc = event_add(run, next, &a->event, &err);
		else if (a->kind == RO_QUARANTINE)
			rc = store_quarantine_set(
			        store, next->app, next->new_release, next->id, &err);
		else if (a->kind == RO_INCIDENT)
			rc = incident_open(run, next, &err);
	}
	if (rc == HG_OK) rc = ro_row_set(run, next, &err);
	if (rc == HG_OK) rc = store_commit(store, &err);
	if (rc < 0) store_rollback(store);
out:
	if (rc < 0 && run->all->o.log)
		hg_log(run->all->o.log, HG_ERROR, "rollout.save", HG_S("error", err.message));
	if (rc < 0) return false;
	run->kept = *next;
	if (run->all->o.on_event) run->all->o.on_event(run->all->o.arg);
	return true;
}

static bool act_one(struct ro_run *run, struct ro_state *next, const struct ro_action *a)
{
	switch (a->kind) {
	case RO_SPLIT: return do_split(run, next, &a->split);
	case RO_WANT: return do_want(run, &a->want);
	case RO_GATE_RUN: return do_gate(run, next, a->gate);
	case RO_GATE_KILL:
		/* A command ends by itself or by its time-out; nobody looks at its result. */
		ro_hook_stop(run, a->gate);
		run->gate[a->gate].serial++;
		run->gate[a->gate].state = RO_GATE_NEXT;
		return true;
	case RO_END_TRIAL:
		failures_read(run);
		differences_read(run);
		if (run->trial.slot >= 0) epoch_ends(run);
		trial_close(&run->all->board, &run->trial);
		return true;
	default: return true; /* part of the next RO_SAVE */
	}
}

bool ro_end_now(struct ro_run *run, enum ro_outcome outcome, enum ro_cause cause, uint64_t now_ms)
{
	struct ro_state next = run->kept;
	struct ro_actions out = {.n = 2};
	for (uint32_t i = 0; i < next.rules.gate_count; i++)
		if (next.head.gate[i] <= RO_GATE_WAITING) next.head.gate[i] = RO_GATE_SKIPPED;
	next.head.phase = RO_PHASE_END;
	next.head.outcome = outcome;
	next.head.cause = cause;
	next.head.pause = RO_GOING;
	next.told = next.head;
	next.ended_ms = next.changed_ms = next.phase_since_ms = now_ms;
	out.a[0] = (struct ro_action){
	        .kind = RO_EVENT, .event = {.kind = RO_EV_ENDED, .head = next.head}};
	out.a[1] = (struct ro_action){.kind = RO_SAVE};
	return ro_act(run, &next, &out);
}

bool ro_act(struct ro_run *run, struct ro_state *next, const struct ro_actions *out)
{
	bool saves = false, saved = false;
	uint32_t first = 0;
	for (uint32_t i = 0; i < out->n; i++)
		saves = saves || out->a[i].kind == RO_SAVE;
	for (uint32_t i = 0; i < out->n; i++) {
		bool ok = out->a[i].kind == RO_SAVE ? do_save(run, next, out, first, i)
		                                    : act_one(run, next, &out->a[i]);
		if (out->a[i].kind == RO_SAVE) {
			saved = ok;
			first = i + 1;
		}
		if (ok) continue;
		if (!saves) run->kept = *next;
		return false;
	}
	if (!saves) run->kept = *next;
	if (out->lens && (saved || !saves)) {
		struct trial_rules rules;
		ro_run_trial_rules(run, &rules);
		trial_lens(&run->all->board, &run->trial, &rules, &run->kept.judge);
	}
	return true;
}
