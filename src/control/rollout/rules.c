/* Rules, names and small views. */
#include "control/rollout/decide.h"

#include <string.h>

#define MINUTE_MS 60000ull
#define YEAR_MS   (366ull * 24 * 60 * MINUTE_MS)

void ro_rules_default(struct ro_rules *r, enum ro_strategy strategy)
{
	*r = (struct ro_rules){
	        .strategy = strategy,
	        .judge = {.alpha = 0.001, .tolerance_errors = 1, .tolerance_latency = 1.2},
	        .inconclusive = RO_INCONCLUSIVE_WAIT,
	        .inconclusive_after_ms = 10 * MINUTE_MS,
	        .rescue = true,
	        .open_incident = true,
	        .watch_ms = 10 * MINUTE_MS,
	        .keep_previous_ms = 5 * MINUTE_MS,
	        .progress_deadline_ms = 10 * MINUTE_MS,
	        .surge = ROLLING_25_PERCENT,
	        .unavailable = ROLLING_25_PERCENT,
	};
}

/* Ten in a hundred show a total failure within 40 requests; half shows what needs numbers; the
 * whole shows what needs load, while the old release still has all its replicas. */
static const uint32_t auto_steps[] = {100000, 500000, RO_WHOLE};

static void steps_fill(struct ro_rules *r)
{
	uint32_t n = 0, last = 0;
	for (uint32_t i = 0; i < HG_MIN(r->step_count, RO_STEPS_MAX); i++) {
		struct ro_step step = r->step[i];
		if (step.weight_ppm > RO_WHOLE || (n && step.weight_ppm <= last)) continue;
		last = step.weight_ppm;
		step.wait_ms = HG_MIN(step.wait_ms, YEAR_MS);
		r->step[n++] = step;
	}
	/* No request at any step would be a canary that nobody has seen. */
	if (n == 1 && last == 0) n = 0;
	if (r->strategy != RO_CANARY) {
		n = 0;
		if (r->strategy == RO_ROLLING || r->strategy == RO_RECREATE)
			r->step[n++] = (struct ro_step){.weight_ppm = RO_WHOLE};
	} else if (n == 0) {
		for (; n < HG_COUNT(auto_steps); n++)
			r->step[n] = (struct ro_step){.weight_ppm = auto_steps[n]};
	}
	r->step_count = n;
	memset(&r->step[n], 0, sizeof r->step[0] * (RO_STEPS_MAX - n));
}

void ro_rules_fill(struct ro_rules *r)
{
	if ((unsigned)r->strategy >= RO_STRATEGIES) r->strategy = RO_ROLLING;
	steps_fill(r);
	r->gate_count = HG_MIN(r->gate_count, RO_GATES_MAX);
	for (uint32_t i = 0; i < r->gate_count; i++) {
		if ((unsigned)r->gate[i].when >= RO_WHENS) r->gate[i].when = RO_WHEN_BEFORE;
		r->gate[i].weight_ppm = HG_MIN(r->gate[i].weight_ppm, RO_WHOLE);
	}
	memset(&r->gate[r->gate_count], 0, sizeof r->gate[0] * (RO_GATES_MAX - r->gate_count));
	if ((unsigned)r->inconclusive > RO_INCONCLUSIVE_ABORT)
		r->inconclusive = RO_INCONCLUSIVE_WAIT;
	if (!(r->memory > 0 && r->memory < 1e9)) r->memory = 0;
	if (!(r->cpu > 0 && r->cpu < 1e9)) r->cpu = 0;
	r->mirror_ppm = HG_MIN(r->mirror_ppm, RO_WHOLE);
	/* More than half as "control" would be no promotion. */
	r->control_ppm = HG_MIN(r->control_ppm, RO_WHOLE / 2);
	r->inconclusive_after_ms = HG_MIN(r->inconclusive_after_ms, YEAR_MS);
	r->keep_canary_ms = HG_MIN(r->keep_canary_ms, YEAR_MS);
	r->watch_ms = HG_MIN(r->watch_ms, YEAR_MS);
	r->keep_previous_ms = HG_MIN(r->keep_previous_ms, YEAR_MS);
	r->progress_deadline_ms = HG_MIN(HG_MAX(r->progress_deadline_ms, RO_TICK_MS), YEAR_MS);
	bool judged = r->strategy != RO_RECREATE && r->strategy != RO_IMMEDIATE;
	/* With nothing beside it to compare with, a limit that both are near would look like a
	 * fault. */
	if (!judged) r->memory = r->cpu = 0;
	if (judged && !(r->judge.error_rate > 0)) r->judge.error_rate = 0.05;
}

uint32_t ro_need(uint32_t weight_ppm, uint32_t n)
{
	uint64_t need = ((uint64_t)weight_ppm * n + RO_WHOLE - 1) / RO_WHOLE;
	return need ? (uint32_t)need : 1;
}

uint32_t ro_step_need(const struct ro_rules *r, uint32_t i, uint32_t n)
{
	uint64_t w = i < r->step_count ? r->step[i].weight_ppm : RO_WHOLE;
	return ro_need((uint32_t)(w + (RO_WHOLE - w) * r->mirror_ppm / RO_WHOLE), n);
}

uint32_t ro_step_weight(const struct ro_state *s, uint32_t i)
{
	return i < s->rules.step_count ? s->rules.step[i].weight_ppm : RO_WHOLE;
}

uint64_t ro_step_wait_ms(const struct ro_state *s, uint32_t i)
{
	uint64_t wait_ms = i < s->rules.step_count ? s->rules.step[i].wait_ms : 0;
	return wait_ms ? wait_ms : RO_DWELL_MS;
}

uint64_t ro_watch_ms(const struct ro_rules *r)
{
	return HG_MAX(r->watch_ms, r->keep_previous_ms);
}

bool ro_lacks_proof(uint8_t proof)
{
	return proof > RO_PROOF_EVIDENCE && proof != RO_PROOF_SHADOW;
}

bool ro_unproven(const struct ro_head *h)
{
	for (unsigned i = 0; i < RO_STEPS_MAX; i++)
		if (ro_lacks_proof(h->proof[i])) return true;
	return false;
}

bool ro_head_eq(const struct ro_head *a, const struct ro_head *b)
{
	return a->phase == b->phase && a->step == b->step && a->weight_ppm == b->weight_ppm &&
	       a->epoch == b->epoch && a->pause == b->pause && a->outcome == b->outcome &&
	       a->cause == b->cause && a->promoted == b->promoted &&
	       memcmp(a->proof, b->proof, sizeof a->proof) == 0 &&
	       memcmp(a->gate, b->gate, sizeof a->gate) == 0;
}

void ro_replay(struct ro_head *head, const struct ro_event *e)
{
	*head = e->head;
}

/* ---- names ---- */

static const char *name_of(const char *const *names, unsigned n, unsigned v)
{
	return v < n ? names[v] : "unknown";
}

#define NAME(list, v) name_of(list, HG_COUNT(list), (unsigned)(v))

const char *ro_strategy_name(enum ro_strategy v)
{
	static const char *const names[RO_STRATEGIES] = {[RO_RECREATE] = "recreate",
	        [RO_ROLLING] = "rolling",
	        [RO_BLUE_GREEN] = "blue-green",
	        [RO_CANARY] = "canary",
	        [RO_IMMEDIATE] = "immediate"};
	return NAME(names, v);
}

const char *ro_phase_name(enum ro_phase v)
{
	static const char *const names[RO_PHASES] = {
	        "start", "gate", "step", "hold", "promote", "watch", "back", "end"};
	return NAME(names, v);
}

const char *ro_outcome_name(enum ro_outcome v)
{
	static const char *const names[RO_OUTCOMES] = {"", "promoted", "rolled_back", "superseded"};
	return NAME(names, v);
}

const char *ro_cause_name(enum ro_cause v)
{
	static const char *const names[RO_CAUSES] = {[RO_CAUSE_NONE] = "",
	        [RO_CAUSE_EVIDENCE] = "evidence",
	        [RO_CAUSE_NO_READY_REPLICA] = "no_ready_replica",
	        [RO_CAUSE_CRASH_LOOP] = "crash_loop",
	        [RO_CAUSE_START_FAILED] = "start_failed",
	        [RO_CAUSE_DEADLINE] = "deadline",
	        [RO_CAUSE_GATE] = "gate",
	        [RO_CAUSE_MEMORY] = "memory",
	        [RO_CAUSE_CPU] = "cpu",
	        [RO_CAUSE_INCONCLUSIVE] = "inconclusive",
	        [RO_CAUSE_PERSON] = "person",
	        [RO_CAUSE_SUPERSEDED] = "superseded",
	        [RO_CAUSE_REMOVED] = "removed",
	        [RO_CAUSE_DAMAGED] = "damaged"};
	return NAME(names, v);
}

const char *ro_gate_state_name(enum ro_gate_state v)
{
	static const char *const names[RO_GATE_STATES] = {
	        "next", "running", "waiting", "passed", "failed", "skipped"};
	return NAME(names, v);
}

const char *ro_proof_name(enum ro_proof v)
{
	static const char *const names[RO_PROOFS] = {
	        "", "evidence", "quiet", "policy", "person", "skipped", "shadow"};
	return NAME(names, v);
}

const char *ro_event_name(enum ro_event_kind v)
{
	static const char *const names[RO_EVENTS] = {[RO_EV_STARTED] = "rollout.started",
	        [RO_EV_PHASE] = "rollout.phase",
	        [RO_EV_WEIGHT] = "rollout.weight",
	        [RO_EV_PASSED] = "rollout.passed",
	        [RO_EV_GATE] = "rollout.gate",
	        [RO_EV_PAUSED] = "rollout.paused",
	        [RO_EV_RESUMED] = "rollout.resumed",
	        [RO_EV_HOLD] = "rollout.inconclusive",
	        [RO_EV_STABLE] = "rollout.stable",
	        [RO_EV_RESTARTED] = "rollout.restarted",
	        [RO_EV_BACK] = "rollout.back",
	        [RO_EV_STUCK] = "rollout.stuck",
	        [RO_EV_PROMOTED] = "rollout.promoted",
	        [RO_EV_ENDED] = "rollout.ended"};
	return NAME(names, v);
}

const char *ro_state_name(const struct ro_state *s)
{
	if (s->head.phase == RO_PHASE_END) {
		if (s->head.outcome == RO_PROMOTED_OK) return "done";
		return s->head.outcome == RO_SUPERSEDED ? "superseded" : "aborted";
	}
	if (s->head.pause != RO_GOING) return "paused";
	for (uint32_t i = 0; i < s->rules.gate_count; i++)
		if (s->head.gate[i] == RO_GATE_WAITING) return "waiting";
	return "running";
}
