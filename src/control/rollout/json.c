/* Rollouts as JSON: docs/reference/rollout-json.md is the contract. */
#include "control/rollout/rollout_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/clock.h"

static double share(uint32_t ppm)
{
	return (double)ppm / RO_WHOLE;
}

static json_int_t whole(uint64_t v)
{
	return v > INT64_MAX ? INT64_MAX : (json_int_t)v;
}

/* JSON has no infinity. */
static double number(double v)
{
	return isfinite(v) ? v : 0;
}

/* ---- what clients saw ---- */

void ro_users_add(struct ro_users *u, const struct trial_seen *s)
{
	u->requests_new += s->evidence.n_new;
	u->requests_old += s->evidence.n_old;
	u->failed_new += s->evidence.count[JUDGE_ERRORS].c;
	u->rescued += s->rescued;
	u->seen += s->seen;
	u->unreplayable += s->unreplayable;
	u->forced += s->forced;
	u->mirrored += s->mirrored;
	u->differs += s->mirror_differs;
	u->mirror_failed += s->mirror_failed;
	u->mirror_partly += s->mirror_partly;
	u->mirror_dropped += s->mirror_dropped;
}

void ro_users_sum(struct ro_users *u, const struct ro_users *more)
{
	u->requests_new += more->requests_new;
	u->requests_old += more->requests_old;
	u->failed_new += more->failed_new;
	u->rescued += more->rescued;
	u->seen += more->seen;
	u->unreplayable += more->unreplayable;
	u->forced += more->forced;
	u->mirrored += more->mirrored;
	u->differs += more->differs;
	u->mirror_failed += more->mirror_failed;
	u->mirror_partly += more->mirror_partly;
	u->mirror_dropped += more->mirror_dropped;
}

void ro_users_past(const struct ro_run *run, struct ro_users *ret_users)
{
	struct trial_seen seen;
	*ret_users = run->users;
	for (unsigned i = 0; i < RO_FORMER; i++) {
		if (run->former[i].slot < 0) continue;
		trial_look(&run->all->board, &run->former[i], &seen);
		ro_users_add(ret_users, &seen);
	}
}

uint32_t ro_users_present(const struct ro_run *run, struct ro_users *ret_users)
{
	struct trial_seen seen;
	*ret_users = (struct ro_users){0};
	if (run->trial.slot < 0 || run->trial.snap.epoch == 0) return 0;
	trial_look(&run->all->board, &run->trial, &seen);
	ro_users_add(ret_users, &seen);
	return run->trial.snap.epoch;
}

void ro_users_now(const struct ro_run *run, struct ro_users *ret_users)
{
	struct ro_users present;
	ro_users_past(run, ret_users);
	(void)ro_users_present(run, &present);
	ro_users_sum(ret_users, &present);
}

/* ---- parts ---- */

/* The name that people gave the release, or its number. */
static void version_of(const struct ro_run *run, uint32_t release, char to[FLEET_VERSION_MAX])
{
	struct fleet_release_info info = {0};
	struct hg_err err = {0};
	if (fleet_release_info(run->all->o.fleet, hg_str(run->conf.app), release, &info, &err) < 0)
		info.version[0] = 0;
	if (info.version[0])
		memcpy(to, info.version, sizeof info.version);
	else
		snprintf(to, FLEET_VERSION_MAX, "%u", release);
}

static json_t *release_json(struct ro_run *run, uint32_t release)
{
	struct fleet_release_state st;
	char version[FLEET_VERSION_MAX];
	version_of(run, release, version);
	fleet_release_state(run->all->o.fleet, hg_str(run->conf.app), release, &st);
	return json_pack("{s:i,s:s,s:i,s:i,s:i,s:i}", "release", (int)release, "version", version,
	        "wanted", (int)st.wanted, "ready", (int)st.ready, "starting", (int)st.starting,
	        "crash_loops", (int)st.crash_loops);
}

static json_t *rate_json(const struct judge_rate *r)
{
	return json_pack("{s:I,s:I,s:f,s:f,s:f}", "n", whole(r->n), "bad", whole(r->x), "rate",
	        number(r->rate), "low", number(r->lower), "high", number(r->upper));
}

static struct judge_rate rate_of(uint64_t x, uint64_t n)
{
	struct judge_rate r = {.x = x, .n = n, .upper = 1};
	if (n == 0) return r;
	r.rate = (double)x / (double)n;
	r.lower = judge_lower(x, n, 0.025);
	r.upper = judge_upper(x, n, 0.025);
	return r;
}

static json_t *metric_json(
        const struct judge_report *rep, const struct judge_evidence *e, unsigned m)
{
	bool errors = m == JUDGE_RULE_ERROR_RATE || m == JUDGE_RULE_ERROR_ABOVE;
	struct judge_count c = e->count[errors ? JUDGE_ERRORS : m];
	struct judge_rate fresh = rate_of(c.c, e->n_new), old = rate_of(c.s, e->n_old);
	return json_pack("{s:s,s:f,s:f,s:b,s:o,s:o}", "metric",
	        judge_metric_name((enum judge_metric)m), "e", number(rep->e_metric[m]), "share",
	        rep->weight[m], "enabled", rep->weight[m] > 0, "new", rate_json(&fresh), "old",
	        rate_json(&old));
}

static json_t *evidence_json(const struct ro_state *s)
{
	struct judge_report rep;
	json_t *metrics = json_array();
	judge_report(&s->judge, &s->evidence, &rep);
	for (unsigned m = 0; m < JUDGE_METRICS; m++)
		json_array_append_new(metrics, metric_json(&rep, &s->evidence, m));
	return json_pack("{s:f,s:f,s:f,s:o,s:{s:f,s:f,s:f}}", "e", number(rep.e), "threshold",
	        rep.threshold, "confidence", 1 - s->rules.judge.alpha, "metrics", metrics, "good",
	        "e", number(rep.e_good), "needs", 20.0, "limit", rep.good_p0);
}

static json_t *steps_json(const struct ro_state *s)
{
	json_t *a = json_array();
	bool over = s->head.outcome == RO_PROMOTED_OK || s->head.promoted;
	for (uint32_t i = 0; i < s->rules.step_count; i++) {
		uint8_t proof = s->head.proof[i];
		bool done = proof != RO_PROOF_NONE || over;
		bool now = !done && i == s->head.step &&
		           (s->head.phase == RO_PHASE_STEP || s->head.phase == RO_PHASE_HOLD);
		json_array_append_new(a, json_pack("{s:f,s:I,s:s,s:I,s:b,s:s}", "weight",
		                                 share(ro_step_weight(s, i)), "wait_ms",
		                                 whole(ro_step_wait_ms(s, i)), "state",
		                                 done  ? "done"
		                                 : now ? "now"
		                                       : "next",
		                                 "took_ms", whole(s->step_took_ms[i]), "unproven",
		                                 ro_lacks_proof(proof), "proof",
		                                 ro_proof_name((enum ro_proof)proof)));
	}
	return a;
}

static json_t *gates_json(const struct ro_run *run, const struct ro_state *s)
{
	static const char *const names[] = {
	        "next", "running", "waiting", "passed", "failed", "skipped"};
	json_t *a = json_array();
	for (uint32_t i = 0; i < s->rules.gate_count; i++) {
		unsigned state = s->head.gate[i] < HG_COUNT(names) ? s->head.gate[i] : 0;
		const struct ro_gate_conf *c = &run->conf.gate[i];
		char what[RO_COMMAND_MAX + 8];
		if (c->http[0])
			ro_hook_name(c->method, c->http, what, sizeof what);
		else
			snprintf(what, sizeof what, "%s", c->run[0] ? c->run : "confirm");
		json_array_append_new(
		        a, json_pack("{s:s,s:s,s:s,s:s,s:I,s:i,s:s}", "when", c->when, "kind",
		                   c->http[0]  ? "http"
		                   : c->run[0] ? "command"
		                               : "confirm",
		                   "run", what, "state", names[state], "took_ms",
		                   whole(s->gate_took_ms[i]), "status", (int)s->gate_status[i],
		                   "note", run->gate[i].note));
	}
	return a;
}

/* Text from the network: what is not UTF-8 becomes '?', so that JSON takes it. */
static json_t *wire_text(const char *p, size_t n)
{
	char clean[260];
	n = HG_MIN(n, sizeof clean);
	json_t *j = json_stringn(p, n);
	if (j) return j;
	for (size_t i = 0; i < n; i++)
		clean[i] = (unsigned char)p[i] < 0x80 ? p[i] : '?';
	return json_stringn(clean, n);
}

static const char *cause_name(uint8_t cause)
{
	static const char *const names[] = {
	        "", "status", "connect", "closed", "invalid", "timeout", "no_endpoint"};
	return names[cause < HG_COUNT(names) ? cause : 0];
}

static json_t *failures_json(const struct ro_run *run)
{
	json_t *a = json_array();
	for (uint32_t i = 0; i < run->first_n; i++) {
		const struct meter_failure *f = &run->first[i];
		json_array_append_new(a,
		        json_pack("{s:I,s:i,s:s,s:i,s:o,s:o,s:o,s:o}", "ts_ms", whole(f->wall_ms),
		                "replica", (int)f->replica, "cause", cause_name(f->cause), "status",
		                (int)f->status, "method", wire_text(f->method, f->method_n), "path",
		                wire_text(f->path, f->path_n), "request_id",
		                wire_text(f->rid, f->rid_n), "body",
		                wire_text(f->body, f->body_n)));
	}
	return a;
}

static json_t *differences_json(const struct ro_run *run)
{
	static const char *const kinds[] = {"", "status", "header", "json", "bytes", "no_answer"};
	json_t *a = json_array();
	for (uint32_t i = 0; i < run->differs_n; i++) {
		const struct meter_difference *d = &run->differs[i];
		json_array_append_new(
		        a, json_pack("{s:I,s:i,s:s,s:o,s:s,s:i,s:i,s:o,s:o,s:o}", "ts_ms",
		                   whole(d->wall_ms), "replica", (int)d->replica, "kind",
		                   kinds[d->what < HG_COUNT(kinds) ? d->what : 0], "at",
		                   wire_text(d->at, d->at_n), "cause", cause_name(d->cause),
		                   "status_old", (int)d->status_old, "status_new",
		                   (int)d->status_new, "method", wire_text(d->method, d->method_n),
		                   "path", wire_text(d->path, d->path_n), "request_id",
		                   wire_text(d->rid, d->rid_n)));
	}
	return a;
}

static json_t *mirror_json(const struct ro_state *s, const struct ro_users *u)
{
	return json_pack("{s:f,s:I,s:I,s:I,s:I,s:I}", "share", share(s->rules.mirror_ppm), "copied",
	        whole(u->mirrored), "differs", whole(u->differs), "failed", whole(u->mirror_failed),
	        "partly", whole(u->mirror_partly), "dropped", whole(u->mirror_dropped));
}

/* ---- one sentence ---- */

static uint64_t left_now(const struct ro_run *run)
{
	uint64_t now = clock_wall_ms(), gone = now > run->asked_ms ? now - run->asked_ms : 0;
	return run->left_ms > gone ? run->left_ms - gone : 0;
}

static void span(uint64_t ms, char *to, size_t cap)
{
	uint64_t s = (ms + 999) / 1000;
	if (s < 120)
		snprintf(to, cap, "%llu s", (unsigned long long)s);
	else
		snprintf(to, cap, "%llu min", (unsigned long long)((s + 59) / 60));
}

static void why_evidence(const struct ro_state *s, char *to, size_t cap)
{
	struct judge_report rep;
	const struct judge_evidence *e = &s->evidence;
	judge_report(&s->judge, e, &rep);
	unsigned worst = 0;
	for (unsigned m = 1; m < JUDGE_METRICS; m++)
		if (rep.weight[m] * rep.e_metric[m] > rep.weight[worst] * rep.e_metric[worst])
			worst = m;
	bool errors = worst == JUDGE_ERRORS || worst == JUDGE_RULE_ERROR_RATE ||
	              worst == JUDGE_RULE_ERROR_ABOVE;
	struct judge_count c = e->count[errors ? JUDGE_ERRORS : worst];
	char evidence[48]; /* 4721 and not 4.72e+03: people compare it with the limit */
	snprintf(evidence, sizeof evidence,
	        rep.e < 1000   ? "%.3g"
	        : rep.e < 1e15 ? "%.0f"
	                       : "%.2g",
	        rep.e);
	int n = snprintf(to, cap,
	        "%s: %u of %llu requests of the new release %s, %u of %llu of the old one; "
	        "evidence %s, the limit is %.0f",
	        judge_metric_name((enum judge_metric)worst), c.c, (unsigned long long)e->n_new,
	        errors ? "failed" : "were too slow", c.s, (unsigned long long)e->n_old, evidence,
	        rep.threshold);
	/* The edge acts in the moment; what came in until control looked may have spoken for it. */
	if (rep.e < rep.threshold && n > 0 && (size_t)n < cap)
		snprintf(to + n, cap - (size_t)n, ", which it had reached");
}

static void limit_text(const struct fleet_release_state *st, bool memory, char *to, size_t cap)
{
	if (memory)
		snprintf(to, cap, "%.4g MiB", (double)st->memory_limit / (1 << 20));
	else
		snprintf(to, cap, "%g CPU", st->cpu_limit);
}

/* "memory: a replica of the new release used 93 % of its limit of 64 MiB …" */
static void why_used(const struct ro_run *run, const struct ro_state *s, char *to, size_t cap)
{
	struct fleet_release_state st;
	char limit[48];
	bool memory = s->head.cause == RO_CAUSE_MEMORY;
	fleet_release_state(run->all->o.fleet, hg_str(run->conf.app), s->new_release, &st);
	limit_text(&st, memory, limit, sizeof limit);
	uint32_t over = memory ? s->memory_over : s->cpu_over;
	if (memory && over < RO_OVER_SAMPLES) {
		snprintf(to, cap,
		        "memory: %u process%s of the new release ended at the limit of %s, none of "
		        "the old one",
		        s->memory_ends_new, s->memory_ends_new == 1 ? "" : "es", limit);
		return;
	}
	snprintf(to, cap,
	        "%s: a replica of the new release used %.0f %% of its limit of %s, more than "
	        "%.0f %% in %u samples 5 s apart; one of the old release %.0f %% at most",
	        memory ? "memory" : "CPU", 100 * (memory ? s->memory_new : s->cpu_new), limit,
	        100 * (memory ? s->rules.memory : s->rules.cpu), over,
	        100 * (memory ? s->memory_old : s->cpu_old));
}

/* Replicas that end for want of memory are the cause behind several others. */
static void why_memory_too(const struct ro_run *run, const struct ro_state *s, char *to, size_t cap)
{
	struct fleet_release_state st;
	char limit[48];
	size_t n = strlen(to);
	bool ended = s->head.cause == RO_CAUSE_NO_READY_REPLICA ||
	             s->head.cause == RO_CAUSE_CRASH_LOOP || s->head.cause == RO_CAUSE_EVIDENCE ||
	             s->head.cause == RO_CAUSE_START_FAILED || s->head.cause == RO_CAUSE_DEADLINE;
	if (!ended || s->memory_ends_new == 0 || n + 1 >= cap) return;
	fleet_release_state(run->all->o.fleet, hg_str(run->conf.app), s->new_release, &st);
	limit_text(&st, true, limit, sizeof limit);
	snprintf(to + n, cap - n, ": out of memory %u time%s (limit %s)", s->memory_ends_new,
	        s->memory_ends_new == 1 ? "" : "s", limit);
}

static void why_back(const struct ro_run *run, const struct ro_state *s, char *to, size_t cap)
{
	switch (s->head.cause) {
	case RO_CAUSE_EVIDENCE: why_evidence(s, to, cap); return;
	case RO_CAUSE_NO_READY_REPLICA:
		snprintf(to, cap, "no replica of the new release was ready any more");
		return;
	case RO_CAUSE_CRASH_LOOP:
		snprintf(to, cap, "a replica of the new release ended again and again");
		return;
	case RO_CAUSE_START_FAILED:
		snprintf(to, cap, "replicas of the new release did not start");
		return;
	case RO_CAUSE_DEADLINE:
		snprintf(to, cap, "its replicas were not all ready within %llu s",
		        (unsigned long long)(s->rules.progress_deadline_ms / 1000));
		return;
	case RO_CAUSE_GATE: snprintf(to, cap, "a gate failed"); return;
	case RO_CAUSE_MEMORY:
	case RO_CAUSE_CPU: why_used(run, s, to, cap); return;
	case RO_CAUSE_INCONCLUSIVE:
		snprintf(to, cap, "nothing was proven in time, and the policy is to abort");
		return;
	case RO_CAUSE_PERSON: snprintf(to, cap, "a person aborted it"); return;
	case RO_CAUSE_SUPERSEDED: snprintf(to, cap, "a newer deploy took its place"); return;
	case RO_CAUSE_REMOVED:
		snprintf(to, cap, "the app is no longer in the configuration");
		return;
	case RO_CAUSE_DAMAGED:
		snprintf(to, cap,
		        "its record in the store could not be read; the release that "
		        "served goes on");
		return;
	default: snprintf(to, cap, "it was taken back"); return;
	}
}

static void why_waits(const struct ro_run *run, const struct ro_state *s, char *to, size_t cap)
{
	char left[32];
	span(left_now(run), left, sizeof left);
	double w = 100 * share(s->head.weight_ppm);
	switch (run->waits) {
	case RO_WAITS_REPLICAS:
		snprintf(to, cap, "waits for replicas of the new release to be ready");
		return;
	case RO_WAITS_GATE: snprintf(to, cap, "waits for a gate"); return;
	case RO_WAITS_PERSON:
		snprintf(to, cap, "waits for a person: headgate rollouts promote %llu",
		        (unsigned long long)s->id);
		return;
	case RO_WAITS_RESUME:
		snprintf(to, cap, "%s",
		        s->head.pause == RO_PAUSED_SHARED ? "paused: both releases break a rule, "
		                                            "so the new one is not to blame"
		                                          : "paused by a person");
		return;
	case RO_WAITS_TIME:
		if (s->head.phase == RO_PHASE_WATCH)
			snprintf(to, cap, "promoted; watched for another %s", left);
		else
			snprintf(to, cap, "%g %% of the requests, watched for another %s", w, left);
		return;
	case RO_WAITS_EVIDENCE:
		snprintf(to, cap, "not proven good yet: %llu requests of the new release seen",
		        (unsigned long long)s->evidence.n_new);
		return;
	case RO_WAITS_OLD:
		snprintf(to, cap, "goes back; waits for replicas of the old release");
		return;
	case RO_WAITS_KEEP:
		snprintf(to, cap, "went back; the failed release is kept for another %s", left);
		return;
	default: snprintf(to, cap, "under way"); return;
	}
}

static void why_text(const struct ro_run *run, const struct ro_state *s, char *to, size_t cap)
{
	if (!run->begun)
		snprintf(to, cap, "waits for the end of the rollout before it");
	else if (s->head.outcome == RO_PROMOTED_OK)
		snprintf(to, cap, "%s",
		        ro_unproven(&s->head) ? "promoted, not every step was proven" : "promoted");
	else if (s->head.cause != RO_CAUSE_NONE) {
		why_back(run, s, to, cap);
		why_memory_too(run, s, to, cap);
	} else
		why_waits(run, s, to, cap);
}

/* ---- the whole ---- */

static json_t *step_json(const struct ro_run *run, const struct ro_state *s)
{
	uint32_t n = s->rules.step_count, i = HG_MIN(s->head.step, n ? n - 1 : 0);
	bool timed = run->waits == RO_WAITS_TIME || run->waits == RO_WAITS_KEEP;
	uint64_t until = timed ? clock_wall_ms() + left_now(run) : 0;
	uint64_t wait =
	        s->head.phase == RO_PHASE_WATCH ? ro_watch_ms(&s->rules) : ro_step_wait_ms(s, i);
	return json_pack("{s:i,s:i,s:f,s:I,s:I,s:I}", "index", (int)i + 1, "count", (int)n,
	        "weight", share(ro_step_weight(s, i)), "since_ms", whole(s->phase_since_ms),
	        "until_ms", whole(until), "wait_ms", whole(wait));
}

static json_t *used_json(double rule, double new, double old, uint32_t over)
{
	return json_pack("{s:f,s:f,s:f,s:i,s:i}", "rule", number(rule), "new", number(new),
	        "old_most", number(old), "over", (int)over, "needs", (int)RO_OVER_SAMPLES);
}

/* What replicas used of their limits: shares, of the largest and the busiest. */
static json_t *resources_json(const struct ro_state *s)
{
	json_t *memory = used_json(s->rules.memory, s->memory_new, s->memory_old, s->memory_over);
	json_t *cpu = used_json(s->rules.cpu, s->cpu_new, s->cpu_old, s->cpu_over);
	return json_pack("{s:o,s:o,s:{s:i,s:i}}", "memory", memory, "cpu", cpu, "out_of_memory",
	        "new", (int)s->memory_ends_new, "old", (int)s->memory_ends_old);
}

static json_t *users_json(const struct ro_users *u)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "requests_new", whole(u->requests_new),
	        "failed_new", whole(u->failed_new), "rescued", whole(u->rescued), "seen",
	        whole(u->seen), "unreplayable", whole(u->unreplayable), "forced", whole(u->forced));
}

static json_t *back_json(
        const struct ro_run *run, const struct ro_state *s, const struct ro_users *u)
{
	if (s->head.cause == RO_CAUSE_NONE) return json_null();
	uint64_t from = run->first_n ? run->first[0].wall_ms : run->raised_ms, to = s->back_ms;
	return json_pack("{s:I,s:I,s:I}", "requests", whole(u->requests_new), "failures",
	        whole(u->failed_new), "took_ms", whole(from && to > from ? to - from : 0));
}

static const char *verdict_name(const struct ro_state *s, bool good)
{
	enum judge_verdict v = s->head.cause == RO_CAUSE_EVIDENCE ? JUDGE_BAD : s->verdict;
	if (v == JUDGE_BAD) return "bad";
	if (v == JUDGE_SHARED) return "shared";
	return good ? "good" : "not_yet";
}

static void next_text(const struct ro_run *run, const struct ro_state *s, char *to, size_t cap)
{
	unsigned long long id = s->id;
	if (s->head.outcome == RO_ROLLED_BACK || s->head.phase == RO_PHASE_BACK)
		snprintf(to, cap, "headgate rollouts why %llu", id);
	else if (s->head.outcome == RO_PROMOTED_OK)
		snprintf(to, cap, "headgate rollback %s", run->conf.app);
	else if (s->head.pause != RO_GOING)
		snprintf(to, cap, "headgate rollouts resume %llu", id);
	else
		snprintf(to, cap, "headgate rollouts show %llu", id);
}

/* The share of the requests that the new release got in this epoch. */
static double weight_actual(const struct ro_state *s)
{
	uint64_t n = s->evidence.n_new + s->evidence.n_old;
	return n ? (double)s->evidence.n_new / (double)n : share(s->head.weight_ppm);
}

static const char *state_of(const struct ro_run *run, const struct ro_state *s)
{
	return run->begun ? ro_state_name(s) : "waiting";
}

static bool set(json_t *o, const char *key, json_t *v)
{
	return v && json_object_set_new(o, key, v) == 0;
}

json_t *ro_run_json(struct ro_run *run, const struct ro_state *s)
{
	char why[320], next[96];
	struct ro_users u;
	struct judge_report rep;
	ro_users_now(run, &u);
	why_text(run, s, why, sizeof why);
	next_text(run, s, next, sizeof next);
	judge_report(&s->judge, &s->evidence, &rep);
	json_t *o = json_pack("{s:s,s:I,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "schema",
	        "headgate.rollout/1", "id", whole(s->id), "app", run->conf.app, "strategy",
	        ro_strategy_name(s->rules.strategy), "who", run->who, "state", state_of(run, s),
	        "phase", ro_phase_name(s->head.phase), "outcome", ro_outcome_name(s->head.outcome),
	        "verdict", verdict_name(s, rep.good), "why", why, "cause",
	        ro_cause_name(s->head.cause), "next", next);
	bool ok = o && set(o, "old", release_json(run, s->old_release)) &&
	          set(o, "new", release_json(run, s->new_release)) &&
	          set(o, "weight",
	                  json_pack("{s:f,s:f}", "set", share(s->head.weight_ppm), "actual",
	                          weight_actual(s))) &&
	          set(o, "step", step_json(run, s)) && set(o, "steps", steps_json(s)) &&
	          set(o, "evidence", evidence_json(s)) && set(o, "users", users_json(&u)) &&
	          set(o, "resources", resources_json(s)) && set(o, "mirror", mirror_json(s, &u)) &&
	          set(o, "first_differences", differences_json(run)) &&
	          set(o, "back", back_json(run, s, &u)) &&
	          set(o, "first_failures", failures_json(run)) &&
	          set(o, "gates", gates_json(run, s)) &&
	          set(o, "created_ms", json_integer(whole(s->created_ms))) &&
	          set(o, "changed_ms", json_integer(whole(s->changed_ms))) &&
	          set(o, "ended_ms", json_integer(whole(s->ended_ms)));
	if (ok) return o;
	json_decref(o);
	return NULL;
}

void rollouts_each(struct rollouts *r, rollouts_view_fn fn, void *arg)
{
	HG_LIST_EACH (node, &r->runs) {
		struct ro_run *run = HG_CONTAINER(node, struct ro_run, node);
		const struct ro_state *s = &run->kept;
		char why[320], version[FLEET_VERSION_MAX];
		struct judge_report rep;
		struct ro_users u;
		uint32_t steps = s->rules.step_count;
		judge_report(&s->judge, &s->evidence, &rep);
		ro_users_now(run, &u);
		why_text(run, s, why, sizeof why);
		version_of(run, s->new_release, version);
		struct rollouts_view v = {.id = s->id,
		        .app = run->conf.app,
		        .old_release = s->old_release,
		        .new_release = s->new_release,
		        .strategy = ro_strategy_name(s->rules.strategy),
		        .state = state_of(run, s),
		        .phase = ro_phase_name(s->head.phase),
		        .verdict = verdict_name(s, rep.good),
		        .why = why,
		        .new_version = version,
		        .weight_set = share(s->head.weight_ppm),
		        .weight_actual = weight_actual(s),
		        .step = HG_MIN(s->head.step, steps ? steps - 1 : 0) + 1,
		        .steps = steps,
		        .evidence = rep.e,
		        .rescued = u.rescued,
		        .seen = u.seen};
		fn(arg, &v);
	}
}

bool rollouts_running(const struct rollouts *r, uint64_t id)
{
	return ro_run_find(r, id) != NULL;
}

double ro_rate_now(const struct rollouts *r, const char *app)
{
	for (uint32_t i = 0; i < r->rate_count; i++) {
		const struct ro_rate *x = &r->rates[i];
		if (strcmp(x->app, app) != 0 || x->n < 2) continue;
		uint64_t ms = x->at_ms[x->n - 1] - x->at_ms[0];
		return ms ? (double)(x->total[x->n - 1] - x->total[0]) * 1000 / (double)ms : 0;
	}
	return 0;
}
