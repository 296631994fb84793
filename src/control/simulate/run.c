/* One rollout, from the deploy to its end: faults and traffic into the world, events out of it. */
#include "control/simulate/simulate.h"
#include "control/simulate/flow_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec/spec.h"

#define WINDOW_MS     200    /* control looks so often while a trial has traffic */
#define CALM_MS       1000   /* and we so often where nothing is judged or moved */
#define CALM_AFTER_MS 600000 /* in the same phase */
#define PATIENCE_MS   600000 /* a rollout that waits for a person is looked at so long */
#define START_MS      1000   /* a replica from its start until it is ready */
#define GATE_MS       1000
#define TIMEOUT_MS    30000
#define LIMIT_MS      (24ull * 3600 * 1000)
#define REPLICAS_MAX  (SIM_REPLICAS / 2 - 4)
/* As the doer has it: a new replica's caches are cold (control/rollout/trial.c). */
#define WARM_REQUESTS 50
#define WARM_MS       10000
#define WALL_MS       1700000000000ull

struct run {
	struct sim_world w; /* first: the hook gets its address */
	struct flow flow;
	const struct sim_options *o;
	struct sim_result *r;
	struct ro_latency latency;
	bool on[SIM_FAULTS_MAX];
	uint64_t person_since_ms;
	uint64_t phase_since_ms;
	enum ro_phase phase;
	/* When the first weight, and that of the step, came into force. */
	struct flow_totals at_raise, at_step;
};

void sim_options_default(struct sim_options *o, const struct spec_app *app)
{
	*o = (struct sim_options){.app = app,
	        .strategy = RO_STRATEGIES,
	        .traffic = {.count = 1, .stage = {{.to = 1000}}},
	        .baseline = {.errors = 0.001, .median_ms = 20, .p95_ms = 80},
	        .seed = 1,
	        .limit_ms = LIMIT_MS};
}

void sim_rules(const struct sim_options *o, struct ro_rules *ret_rules)
{
	struct ro_latency latency;
	ro_rules_read(o->app, ret_rules, &latency);
	if (o->strategy == RO_STRATEGIES) return;
	ret_rules->strategy = o->strategy;
	ro_rules_fill(ret_rules);
}

/* ---- what is written down ---- */

static struct sim_event *event_add(struct run *run, double at_ms, const char *what)
{
	struct sim_result *r = run->r;
	const struct sim_edge *edge = &run->w.edge;
	if (r->event_count == SIM_EVENTS_MAX) {
		r->events_dropped++;
		return NULL;
	}
	struct sim_event *e = &r->event[r->event_count++];
	*e = (struct sim_event){.at_ms = at_ms};
	snprintf(e->what, sizeof e->what, "%s", what);
	if (!edge->split.present) return e;
	e->weight_ppm = edge->tripped ? 0 : edge->split.weight_ppm;
	const struct judge_evidence *cell =
	        sim_cell((struct sim_edge *)&run->w.edge, edge->split.epoch);
	if (!cell) return e;
	e->n_new = cell->n_new;
	e->n_old = cell->n_old;
	e->c_new = cell->count[JUDGE_ERRORS].c;
	e->c_old = cell->count[JUDGE_ERRORS].s;
	e->threshold = edge->lens.threshold;
	(void)judge_decide(&edge->lens, cell, &e->e);
	return e;
}

static void text(struct sim_event *e, const char *fmt, ...) HG_PRINTF(2, 3);
static void text(struct sim_event *e, const char *fmt, ...)
{
	va_list ap;
	if (!e) return;
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
}

static void phase_text(const struct run *run, struct sim_event *e, const struct ro_head *h)
{
	const struct ro_rules *rules = &run->w.kept.rules;
	switch (h->phase) {
	case RO_PHASE_START: text(e, "new replicas are asked for"); break;
	case RO_PHASE_GATE:
		text(e, rules->gate_count ? "replicas are ready; gates before any request"
		                          : "replicas are ready");
		break;
	case RO_PHASE_STEP:
		text(e, "step %u of %u: %.4g %%", h->step + 1, rules->step_count,
		        h->step < rules->step_count ? rules->step[h->step].weight_ppm / 1e4
		                                    : 100.0);
		break;
	case RO_PHASE_HOLD: text(e, "the wait is over and nothing is proven either way yet"); break;
	case RO_PHASE_PROMOTE: text(e, "all steps are passed; all replicas are asked for"); break;
	case RO_PHASE_WATCH: text(e, "the new release serves; the old one stays warm"); break;
	case RO_PHASE_BACK: text(e, "back to the old release"); break;
	default: text(e, "the end"); break;
	}
}

static const char *cause_text(enum ro_cause cause)
{
	static const char *const texts[RO_CAUSES] = {[RO_CAUSE_EVIDENCE] = "proven bad",
	        [RO_CAUSE_NO_READY_REPLICA] = "it has no ready replica any more",
	        [RO_CAUSE_CRASH_LOOP] = "a replica is in a crash loop",
	        [RO_CAUSE_START_FAILED] = "its replicas do not start",
	        [RO_CAUSE_DEADLINE] = "its replicas were not ready within progress_deadline",
	        [RO_CAUSE_GATE] = "a gate failed",
	        [RO_CAUSE_INCONCLUSIVE] = "inconclusive, and the policy is to abort"};
	return texts[cause] ? texts[cause] : ro_cause_name(cause);
}

static void event_text(struct run *run, struct sim_event *e, const struct ro_event *ev)
{
	static const char *const proofs[RO_PROOFS] = {"", "proven good", "no request: unproven",
	        "by policy: unproven", "by a person", "skipped", "nothing to be proven at 0 %"};
	const struct ro_head *h = &ev->head;
	switch (ev->kind) {
	case RO_EV_STARTED: text(e, "the rollout begins"); break;
	case RO_EV_PHASE: phase_text(run, e, h); break;
	case RO_EV_WEIGHT: text(e, "weight %.4g %%", h->weight_ppm / 1e4); break;
	case RO_EV_PASSED:
		text(e, "step %u passed: %s", ev->index + 1,
		        proofs[h->proof[ev->index] % RO_PROOFS]);
		break;
	case RO_EV_GATE:
		text(e, "gate %u %s", ev->index + 1,
		        ro_gate_state_name((enum ro_gate_state)h->gate[ev->index]));
		break;
	case RO_EV_PAUSED: text(e, "paused: the old release breaks a rule too"); break;
	case RO_EV_RESUMED: text(e, "goes on"); break;
	case RO_EV_HOLD: text(e, "still nothing is proven: a person may decide"); break;
	case RO_EV_STABLE:
		text(e, "the old release has no ready replica: the new one serves all");
		break;
	case RO_EV_RESTARTED: text(e, "the counters are gone: from weight 0 again"); break;
	case RO_EV_BACK: text(e, "taken back: %s", cause_text(h->cause)); break;
	case RO_EV_STUCK: text(e, "going back waits for replicas of the old release"); break;
	case RO_EV_PROMOTED: text(e, "promoted"); break;
	case RO_EV_ENDED: text(e, "the end"); break;
	default: break;
	}
}

/* ---- the rollout's actions ---- */

static double now_of(const struct run *run)
{
	return (double)run->w.now_ms;
}

static void step_left(struct run *run, uint32_t i, double at_ms)
{
	struct sim_step *s = &run->r->step[i];
	if (!s->begun || s->took_ms > 0) return;
	s->took_ms = at_ms - s->since_ms;
	s->requests_new = run->flow.total.new_ - run->at_step.new_;
}

static void zero(struct run *run, double at_ms, uint32_t from_ppm)
{
	const struct flow_totals *t = &run->flow.total, *was = &run->at_raise;
	run->r->zero_ms = at_ms;
	run->r->back_from_ppm = from_ppm;
	run->r->requests_until = t->new_ + t->old - was->new_ - was->old;
	for (uint32_t i = 0; i < run->r->step_count; i++)
		step_left(run, i, at_ms);
}

static void weight_set(struct run *run, const struct ro_split *p, const struct ro_state *next)
{
	struct sim_result *r = run->r;
	const struct ro_split *was = &run->w.edge.split;
	uint32_t i = next->head.step;
	bool stepping = next->head.phase == RO_PHASE_STEP && i < RO_STEPS_MAX && next->raised;
	if (p->weight_ppm > 0 && r->raised_ms < 0) {
		r->raised_ms = now_of(run);
		run->at_raise = run->flow.total;
	}
	if (stepping && !r->step[i].begun && p->weight_ppm >= ro_step_weight(next, i)) {
		r->step[i].begun = true;
		r->step[i].since_ms = now_of(run);
		run->at_step = run->flow.total;
	}
	bool back = next->head.phase >= RO_PHASE_BACK;
	if (back && p->weight_ppm == 0 && was->weight_ppm > 0 && r->zero_ms < 0) {
		zero(run, now_of(run), was->weight_ppm);
	}
}

/* What control knew: a moment later the counters are another epoch's. */
static void known(struct sim_event *e, const struct ro_event *ev, const struct ro_state *next)
{
	if (next->head.epoch == 0) return;
	e->e = ev->e;
	e->threshold = ev->threshold;
	e->n_new = next->evidence.n_new;
	e->n_old = next->evidence.n_old;
	e->c_new = next->evidence.count[JUDGE_ERRORS].c;
	e->c_old = next->evidence.count[JUDGE_ERRORS].s;
}

static void on_event(struct run *run, const struct ro_event *ev, const struct ro_state *next)
{
	struct sim_event *e = event_add(run, now_of(run), ro_event_name(ev->kind));
	if (ev->kind == RO_EV_PASSED) step_left(run, ev->index, now_of(run));
	if (ev->kind == RO_EV_BACK) step_left(run, ev->head.step, now_of(run));
	if (ev->kind == RO_EV_PROMOTED) run->r->promoted = true;
	if (!e) return;
	event_text(run, e, ev);
	known(e, ev, next);
	/* What is decided, not what is in force by now. */
	if (!run->w.edge.tripped) e->weight_ppm = ev->head.weight_ppm;
}

static void on_action(struct sim_world *w, const struct ro_action *a, const struct ro_state *next)
{
	struct run *run = (struct run *)w;
	if (a->kind == RO_SPLIT) weight_set(run, &a->split, next);
	if (a->kind == RO_EVENT) on_event(run, &a->event, next);
}

/* ---- faults ---- */

static bool is_on(const struct sim_fault *f, uint64_t now_ms)
{
	return now_ms >= f->from_ms && now_ms < f->till_ms;
}

static void fault_turns(struct run *run, uint32_t i, bool on)
{
	const struct sim_fault *f = &run->o->fault[i];
	run->on[i] = on;
	struct sim_event *e = event_add(run, now_of(run), on ? "fault.begins" : "fault.ends");
	text(e, "fault %s %s", sim_fault_name(f->kind), on ? "begins" : "ends");
	if (on && f->kind == SIM_FAULT_CONTROL_DIES && run->w.alive)
		sim_control_die(&run->w, f->till_ms - f->from_ms);
}

static void trouble_of(struct sim_trouble *t, const struct sim_fault *f)
{
	switch (f->kind) {
	case SIM_FAULT_UNHEALTHY: t->new_down = true; break;
	case SIM_FAULT_NEVER_READY: t->new_never = true; break;
	case SIM_FAULT_SLOW_START: t->new_slow_ms = (uint32_t)HG_MIN(f->ms, 1u << 30); break;
	case SIM_FAULT_GATE: t->gate_fails = true; break;
	case SIM_FAULT_OLD_UNHEALTHY: t->old_down = true; break;
	default: break;
	}
}

/* Each life of a replica has its own last request. */
static void crashes(struct run *run)
{
	const struct sim_fault *f = NULL;
	for (uint32_t i = 0; i < run->o->fault_count; i++)
		if (run->on[i] && run->o->fault[i].kind == SIM_FAULT_CRASH) f = &run->o->fault[i];
	for (uint32_t i = 0; i < run->w.high; i++) {
		struct sim_replica *p = &run->w.replica[i];
		if (!p->used || p->release != SIM_NEW || p->waits) continue;
		if (!f)
			p->crash_at = 0;
		else if (!(p->crash_at > 0))
			p->crash_at = HG_MAX(p->served, (double)f->requests) +
			              (double)sim_geometric(&run->w.rand, f->share);
		if (!p->ready || !(p->crash_at > 0) || p->served < p->crash_at) continue;
		/* The edge notices at once, control when it looks next. */
		bool changed = run->w.changed;
		sim_replica_end(&run->w, p);
		run->w.changed = changed;
	}
}

static void faults_live(struct run *run)
{
	run->w.trouble = (struct sim_trouble){0};
	for (uint32_t i = 0; i < run->o->fault_count; i++) {
		const struct sim_fault *f = &run->o->fault[i];
		bool on = is_on(f, run->w.now_ms);
		if (on != run->on[i]) fault_turns(run, i, on);
		if (on) trouble_of(&run->w.trouble, f);
	}
}

/* ---- traffic ---- */

static void way_add(struct flow_arm *a, struct flow_way w)
{
	if (!(w.factor > 0)) w.factor = 1;
	if (w.share > 0 && a->ways < FLOW_WAYS) a->way[a->ways++] = w;
}

static bool is_warming(const struct run *run, const struct sim_replica *p)
{
	return p->used && p->ready && p->release == SIM_NEW && p->served < WARM_REQUESTS &&
	       run->w.now_ms < p->ready_ms + WARM_MS;
}

static double warm_share(const struct run *run)
{
	uint32_t ready = sim_count(&run->w, SIM_NEW, true), warm = 0;
	for (uint32_t i = 0; i < run->w.high; i++)
		warm += is_warming(run, &run->w.replica[i]);
	return ready ? (double)warm / ready : 0;
}

static void ways_set(const struct run *run, struct flow_arm *a, bool of_new)
{
	const struct sim_options *o = run->o;
	for (uint32_t i = 0; i < o->fault_count; i++) {
		const struct sim_fault *x = &o->fault[i];
		bool both = x->kind == SIM_FAULT_OUTAGE;
		if (!run->on[i] || (!of_new && !both)) continue;
		if (both || x->kind == SIM_FAULT_ERRORS || x->kind == SIM_FAULT_CLOSE)
			way_add(a, (struct flow_way){.share = x->share, .failed = true});
		if (x->kind == SIM_FAULT_HANG)
			way_add(a, (struct flow_way){.share = x->share, .hangs = true});
	}
	way_add(a, (struct flow_way){.share = o->baseline.errors, .failed = true});
	for (uint32_t i = 0; i < o->fault_count && of_new; i++) {
		const struct sim_fault *x = &o->fault[i];
		if (run->on[i] && x->kind == SIM_FAULT_SLOW)
			way_add(a, (struct flow_way){.share = x->share,
			                   .factor = x->factor,
			                   .plus_ms = (double)x->ms});
	}
	way_add(a, (struct flow_way){.share = 1});
}

/* The doer takes the old release's quantiles from the meter; here they are known. */
static void limits_set(const struct run *run, struct flow_arm *a, bool of_new)
{
	const double level[] = {0.5, 0.95, 0.99};
	double tolerance = run->w.kept.judge.rules.tolerance_latency;
	for (uint32_t i = 0; i < HG_COUNT(level); i++) {
		double ms = sim_latency_quantile(run->flow.base, level[i]);
		a->limit_ms[i] = ms;
		if (of_new)
			a->limit_ms[i] =
			        (double)judge_slow_new_ns((uint64_t)(ms * 1e6), tolerance) / 1e6;
	}
	a->limit_ms[3] = (double)run->latency.p95_ns / 1e6;
	if (run->latency.p95_ratio > 1)
		a->limit_ms[4] = sim_latency_quantile(run->flow.base, 0.95) *
		                 (of_new ? run->latency.p95_ratio : 1);
}

static bool arm_is(const struct flow_arm *a, const struct flow_arm *b)
{
	bool same = a->ready == b->ready && a->ways == b->ways && !(a->warm < b->warm) &&
	            !(a->warm > b->warm);
	for (uint32_t i = 0; i < a->ways && same; i++) {
		const struct flow_way *x = &a->way[i], *y = &b->way[i];
		same = x->failed == y->failed && x->hangs == y->hangs && !(x->share < y->share) &&
		       !(x->share > y->share) && !(x->factor < y->factor) &&
		       !(x->factor > y->factor) && !(x->plus_ms < y->plus_ms) &&
		       !(x->plus_ms > y->plus_ms);
	}
	return same; /* limits do not change within a run */
}

static void arms_set(struct run *run)
{
	struct flow_arm arm[2];
	memset(arm, 0, sizeof arm);
	for (uint32_t i = 0; i < HG_COUNT(arm); i++) {
		arm[i].ready = sim_count(&run->w, i ? SIM_NEW : SIM_OLD, true) > 0;
		arm[i].warm = i ? warm_share(run) : 0;
		ways_set(run, &arm[i], i);
		limits_set(run, &arm[i], i);
	}
	/* Half of the time would else go into the same kinds again and again. */
	const struct flow_arm *was = run->flow.arm;
	if (run->flow.kinds && arm_is(&arm[0], &was[0]) && arm_is(&arm[1], &was[1])) return;
	memcpy(run->flow.arm, arm, sizeof arm);
	flow_prepare(&run->flow);
}

/* The new release's share: of the trial, or without one as replicas are ready. */
static double weight_of(const struct run *run)
{
	const struct sim_edge *e = &run->w.edge;
	uint32_t new = sim_count(&run->w, SIM_NEW, true), old = sim_count(&run->w, SIM_OLD, true);
	if (e->split.present) return e->tripped ? 0 : (double)e->split.weight_ppm / RO_WHOLE;
	if (new + old == 0) return 0;
	/* Beside what serves, a trial's replicas get nothing before its slot is there. */
	if (run->w.kept.rules.strategy != RO_ROLLING) return run->w.want.serving == SIM_NEW ? 1 : 0;
	return (double)new / (new + old);
}

/* Requests a millisecond, and how many there can be at most. */
static double rate_of(struct run *run, double weight, double *ret_most)
{
	const struct sim_options *o = run->o;
	struct sim_result *r = run->r;
	struct sim_stage s = sim_traffic_at(&o->traffic, run->w.now_ms);
	*ret_most = INFINITY;
	for (uint32_t i = 0; i < o->fault_count; i++)
		if (run->on[i] && o->fault[i].kind == SIM_FAULT_QUIET) return 0;
	double rate = s.to / 1000;
	if (s.users) {
		double free_users = HG_MAX(s.to - run->flow.waiting, 0);
		rate = free_users / (s.think_ms + flow_quick_ms(&run->flow, weight));
		*ret_most = free_users;
		r->users_most = HG_MAX(r->users_most, (uint64_t)s.to);
	}
	r->rate_most = HG_MAX(r->rate_most, rate * 1000);
	return rate;
}

static void serve(struct run *run, double requests)
{
	uint32_t ready = sim_count(&run->w, SIM_NEW, true);
	for (uint32_t i = 0; i < run->w.high && ready; i++) {
		struct sim_replica *p = &run->w.replica[i];
		if (p->used && p->ready && p->release == SIM_NEW) p->served += requests / ready;
	}
}

static void tripped(struct run *run, double at_ms)
{
	struct sim_result *r = run->r;
	r->tripped = true;
	zero(run, at_ms, run->w.edge.split.weight_ppm);
	run->w.changed = true;
	text(event_add(run, at_ms, "edge.trip"),
	        "the proof is complete: weight 0 with this response");
}

static void traffic_lives(struct run *run, double till_ms)
{
	struct flow *f = &run->flow;
	struct sim_world *w = &run->w;
	double at = now_of(run), most;
	struct sim_edge *e = &w->edge;
	arms_set(run);
	while (at < till_ms) {
		double weight = weight_of(run);
		double rate = rate_of(run, weight, &most);
		uint64_t new_before = f->total.new_;
		at = flow_window(f, w, at, till_ms, rate, most, weight);
		serve(run, (double)(f->total.new_ - new_before));
		if (e->tripped && !run->r->tripped) tripped(run, at);
	}
}

/* No replica may serve much beyond the request that it crashes at, or that ends its grace. */
static double until_served(struct run *run)
{
	uint32_t ready = sim_count(&run->w, SIM_NEW, true);
	double most, least = INFINITY, weight = ready ? weight_of(run) : 0;
	double rate = weight > 0 ? rate_of(run, weight, &most) * weight / ready : 0;
	for (uint32_t i = 0; i < run->w.high && rate > 0; i++) {
		const struct sim_replica *p = &run->w.replica[i];
		if (!p->used || !p->ready || p->release != SIM_NEW) continue;
		if (p->crash_at > 0) least = HG_MIN(least, (p->crash_at - p->served) / rate);
		if (is_warming(run, p)) least = HG_MIN(least, (WARM_REQUESTS - p->served) / rate);
	}
	return HG_MAX(least, 1);
}

/* ---- time ---- */

static uint64_t window_end(struct run *run)
{
	const struct sim_world *w = &run->w;
	const struct ro_head *h = &w->kept.head;
	uint64_t now = w->now_ms, step = WINDOW_MS;
	bool keeps = h->phase == RO_PHASE_BACK || h->phase == RO_PHASE_HOLD ||
	             h->phase == RO_PHASE_WATCH || h->phase == RO_PHASE_STEP;
	if (keeps && now - run->phase_since_ms > CALM_AFTER_MS) step = CALM_MS;
	uint64_t end = HG_MIN(now + step, sim_traffic_next(&run->o->traffic, now));
	for (uint32_t i = 0; i < run->o->fault_count; i++) {
		const struct sim_fault *f = &run->o->fault[i];
		if (f->from_ms > now) end = HG_MIN(end, f->from_ms);
		if (f->till_ms > now) end = HG_MIN(end, f->till_ms);
	}
	double served = until_served(run);
	if (served < (double)(end - now)) end = now + (uint64_t)served;
	return HG_MAX(end, now + 1);
}

static bool traffic_over(const struct run *run)
{
	const struct sim_options *o = run->o;
	if (sim_traffic_next(&o->traffic, run->w.now_ms) != UINT64_MAX) return false;
	if (!(sim_traffic_at(&o->traffic, run->w.now_ms).to > 0)) return true;
	for (uint32_t i = 0; i < o->fault_count; i++)
		if (run->on[i] && o->fault[i].kind == SIM_FAULT_QUIET &&
		        o->fault[i].till_ms == UINT64_MAX)
			return true;
	return false;
}

/* Only a person, or another day, moves it on. */
static bool waits(struct run *run)
{
	const struct sim_world *w = &run->w;
	const struct ro_state *s = &w->kept;
	if (w->now_ms >= run->o->limit_ms) return true;
	bool person = s->head.pause != RO_GOING || w->waits == RO_WAITS_PERSON;
	if (!person) run->person_since_ms = w->now_ms;
	if (w->now_ms - run->person_since_ms >= PATIENCE_MS) return true;
	return s->head.phase == RO_PHASE_HOLD && s->told_hold && traffic_over(run);
}

static void control_lives(struct run *run)
{
	struct sim_world *w = &run->w;
	if (!w->alive && w->now_ms >= w->back_ms) {
		sim_control_start(w, WINDOW_MS);
		text(event_add(run, now_of(run), "control.back"),
		        "control is back and reads its store");
	}
	if (w->alive) sim_gates_live(w);
	if (!w->alive || (!w->changed && w->now_ms < w->decide_ms)) return;
	w->changed = false;
	sim_control_look(w);
	if (w->kept.head.phase == run->phase) return;
	run->phase = w->kept.head.phase;
	run->phase_since_ms = w->now_ms;
}

static void live(struct run *run)
{
	struct sim_world *w = &run->w;
	while (!w->done && !w->stuck && !waits(run)) {
		faults_live(run);
		sim_replicas_live(w);
		crashes(run);
		sim_fleet_pass(w);
		control_lives(run);
		if (w->done) break;
		uint64_t end = window_end(run);
		traffic_lives(run, (double)end);
		w->wall_ms += end - w->now_ms;
		w->now_ms = end;
	}
}

/* ---- from beginning to end ---- */

static void begin(struct run *run)
{
	const struct sim_options *o = run->o;
	struct sim_world *w = &run->w;
	struct ro_rules rules;
	ro_rules_read(o->app, &rules, &run->latency);
	sim_rules(o, &rules);
	hg_rand_seed(&w->rand, o->seed);
	w->wall_ms = WALL_MS;
	w->n = o->app->replicas;
	w->start_least_ms = START_MS;
	w->gate_least_ms = GATE_MS;
	w->look_ms = WINDOW_MS;
	w->on_action = on_action;
	sim_control_begin(w, 1, &rules);
	for (uint32_t i = 0; i < w->n; i++)
		sim_replica_add(w, SIM_OLD, true);
	run->flow.base = sim_latency_of(o->baseline.median_ms, o->baseline.p95_ms);
	run->flow.timeout_ms =
	        o->app->protect.timeout_ms ? (double)o->app->protect.timeout_ms : TIMEOUT_MS;
	run->flow.unsafe = o->traffic.unsafe;
	run->phase = w->kept.head.phase;
	run->r->step_count = w->kept.rules.step_count;
	run->r->raised_ms = run->r->zero_ms = -1;
}

static void finish(struct run *run)
{
	struct sim_result *r = run->r;
	const struct sim_world *w = &run->w;
	const struct ro_state *s = &w->kept;
	const struct flow_totals *t = &run->flow.total;
	r->end = SIM_WAITING;
	if (s->head.outcome == RO_PROMOTED_OK) r->end = SIM_PROMOTED;
	if (s->head.outcome == RO_ROLLED_BACK) r->end = SIM_ROLLED_BACK;
	r->cause = s->head.cause;
	r->judged = r->cause == RO_CAUSE_EVIDENCE;
	r->phase = s->head.phase;
	r->waits = w->waits;
	r->strategy = s->rules.strategy;
	r->end_ms = now_of(run);
	r->requests_new = t->new_;
	r->requests_old = t->old;
	r->failed_new = t->failed_new;
	r->rescued = t->rescued;
	r->seen_new = t->seen_new;
	r->seen_old = t->seen_old;
	r->unserved = t->unserved;
	for (uint32_t i = 0; i < r->step_count; i++) {
		r->step[i].weight_ppm = s->rules.step[i].weight_ppm;
		r->step[i].proof = (enum ro_proof)s->head.proof[i];
		step_left(run, i, now_of(run));
	}
	r->looks = w->looks;
	r->deaths = w->deaths;
	r->windows = run->flow.windows;
	r->decisions = run->flow.decisions;
	r->sliced = run->flow.sliced;
}

enum hg_rc simulate(const struct sim_options *o, struct sim_result *ret_result, struct hg_err *err)
{
	if (o->app->replicas > REPLICAS_MAX)
		return hg_err_set(err, HG_E_TOO_LARGE,
		        "app \"%.*s\" has %u replicas, a simulation has room for %u",
		        HG_STR_ARG(o->app->name), o->app->replicas, REPLICAS_MAX);
	struct run *run = calloc(1, sizeof *run);
	if (!run) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	memset(ret_result, 0, sizeof *ret_result);
	run->o = o;
	run->r = ret_result;
	begin(run);
	live(run);
	finish(run);
	enum hg_rc rc = HG_OK;
	if (run->w.stuck || run->w.untold)
		rc = hg_err_set(err, HG_E_INTERNAL, "the decisions of this rollout come to no end");
	free(run);
	return rc;
}
