/* What was observed, taken into the state: time, evidence, and what needs no statistics. */
#include "control/rollout/inner_priv.h"

#include <string.h>

/* ---- the shared memory and the slot ---- */

/* All processes were gone and the counters with them: nobody knows any more what this step has
 * shown. The old release has all requests; a trial begins again with its first step. */
static void memory_lost(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	s->had_ready = false;
	s->settle_ms = 0;
	memset(s->former, 0, sizeof s->former);
	if (!ro_is_going(s)) return;
	if (ro_is_trial(s) && s->head.phase < RO_PHASE_WATCH) {
		memset(s->head.proof, 0, sizeof s->head.proof);
		memset(s->step_took_ms, 0, sizeof s->step_took_ms);
		s->head.step = 0;
		s->raised = s->traffic = s->skip = false;
		s->asked = true;
		s->ask_ms = s->wait_ms = s->hold_ms = 0;
		s->want_new = 0;
		s->head.phase = RO_PHASE_START;
		s->phase_since_ms = t->now;
		ro_epoch_open(t, 0, s->head.epoch + 1);
	} else if (ro_split_wanted(t)) {
		ro_epoch_open(t, s->head.weight_ppm, s->head.epoch + 1);
	}
	ro_tell(t, RO_EV_RESTARTED, 0);
}

static void slot(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	const struct ro_split *in = &t->o->split;
	if (s->memory_id != t->o->memory_id) {
		bool lost = s->memory_id != 0;
		s->memory_id = t->o->memory_id;
		t->dirty = true;
		if (lost) {
			memory_lost(t);
			return;
		}
	}
	if (in->present && in->epoch > s->head.epoch) {
		/* Control died after it had lowered the weight and before that was on disk. */
		ro_epoch_open(t, in->weight_ppm, in->epoch);
		ro_tell(t, RO_EV_WEIGHT, 0);
	} else if (!in->present && s->head.weight_ppm > 0 && ro_split_wanted(t) &&
	           s->head.epoch > 0 && ro_is_going(s)) {
		/* A slot that was torn by a death half way through writing is freed. */
		ro_epoch_open(t, s->head.weight_ppm, s->head.epoch + 1);
		ro_tell(t, RO_EV_WEIGHT, 0);
	}
}

/* ---- time ---- */

static void spans(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	t->dt = t->now > s->last_ms ? HG_MIN(t->now - s->last_ms, RO_TICK_MAX_MS) : 0;
	s->last_ms = t->now;
	s->unsaved_ms += t->dt;
	s->look_ms += t->dt;
	s->tick_ms += t->dt;
	if (s->head.pause != RO_GOING) return;
	uint32_t step_weight = ro_step_weight(s, s->head.step);
	bool rolling = s->rules.strategy == RO_ROLLING, waits = false;
	switch (s->head.phase) {
	case RO_PHASE_STEP:
	case RO_PHASE_HOLD:
		/* A weight that had to sink for lack of replicas is not the step's. */
		waits = s->raised && ro_in_force(t) &&
		        (rolling ? !s->asked : s->head.weight_ppm >= step_weight);
		break;
	case RO_PHASE_WATCH: waits = ro_in_force(t); break;
	case RO_PHASE_BACK: waits = ro_in_force(t) && s->head.weight_ppm == 0; break;
	default: break;
	}
	if (waits) s->wait_ms += t->dt;
	if (waits && s->head.phase == RO_PHASE_HOLD) s->hold_ms += t->dt;
	if (s->asked && t->o->fleet_known) s->ask_ms += t->dt;
}

/* ---- evidence ---- */

static uint32_t more(uint32_t now, uint32_t then)
{
	return now > then ? now - then : 0;
}

static uint64_t more64(uint64_t now, uint64_t then)
{
	return now > then ? now - then : 0;
}

/* What came in since `taken`, which becomes `now`; false: nothing. */
static bool difference(
        struct judge_evidence *taken, const struct judge_evidence *now, struct judge_evidence *ret)
{
	bool any = false;
	for (unsigned m = 0; m < JUDGE_METRICS; m++) {
		ret->count[m].c = more(now->count[m].c, taken->count[m].c);
		ret->count[m].s = more(now->count[m].s, taken->count[m].s);
		taken->count[m].c += ret->count[m].c;
		taken->count[m].s += ret->count[m].s;
		any = any || ret->count[m].c || ret->count[m].s;
	}
	ret->n_new = more64(now->n_new, taken->n_new);
	ret->n_old = more64(now->n_old, taken->n_old);
	taken->n_new += ret->n_new;
	taken->n_old += ret->n_old;
	return any || ret->n_new || ret->n_old;
}

static bool late(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	bool any = false;
	for (unsigned i = 0; i < RO_FORMER; i++) {
		struct ro_former *f = &s->former[i];
		for (unsigned k = 0; k < RO_FORMER && f->epoch; k++) {
			struct judge_evidence d;
			if (t->o->former[k].epoch != f->epoch) continue;
			if (!difference(&f->taken, &t->o->former[k].evidence, &d)) continue;
			judge_fold(&s->judge, (double)f->weight_ppm / RO_WHOLE, &d);
			any = true;
		}
	}
	return any;
}

static void judge(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	bool news = late(t), minute = s->look_ms >= RO_LOOK_MS, look = minute;
	if (t->o->evidence_epoch == s->head.epoch && s->head.epoch) {
		struct judge_evidence d;
		if (difference(&s->evidence, &t->o->evidence, &d)) s->traffic = news = true;
	}
	/* With nothing to compare with, each request that does well wears an absolute rule down:
	 * only one that starts again and again sees a release that fails late. */
	if (s->head.weight_ppm == RO_WHOLE) look = news && s->look_ms >= RO_TICK_MS;
	if (!news && !look) return;
	/* Before it is taken in: what came since the last look has a gate of its own. */
	s->verdict = judge_decide(&s->judge.lens, &s->evidence, NULL);
	t->out->lens = true;
	if (!look && s->tick_ms < RO_TUNE_MS) return;
	s->tick_ms = 0;
	if (!look) {
		judge_tune(&s->judge, &s->evidence);
		return;
	}
	judge_look(&s->judge, &s->evidence);
	s->look_ms = 0;
	t->dirty = t->dirty || minute;
}

bool ro_good(const struct ro_turn *t)
{
	struct judge_report report;
	/* The report is a hundred times dearer than the verdict. */
	if (t->s->evidence.n_new < 200) return false;
	judge_report(&t->s->judge, &t->s->evidence, &report);
	return report.good;
}

void ro_absorb(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	slot(t);
	spans(t);
	if (t->o->tripped && !s->tripped) {
		s->tripped = true;
		t->dirty = true;
	}
	if (t->o->traffic) s->traffic = true;
	if (ro_is_going(s) && s->rules.strategy != RO_RECREATE && s->rules.strategy != RO_IMMEDIATE)
		judge(t);
	ro_settle(t);
}

/* ---- hard signals ---- */

/*
 * The old release is compared by its highest sample, not by its present one: while the weight
 * rises its load goes away, and with it what it uses. A replica of the new release never has more
 * than its share of all requests (ceil(w * N) replicas have w of them), which is what one of the
 * old release had before.
 */
static bool over(double rule, double new, double old)
{
	return rule > 0 && new > rule && !(old > rule) && new >= old + RO_OVER_MORE;
}

static void samples(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	const struct ro_arm *old = &t->o->old_arm, *new = &t->o->new_arm;
	const struct ro_rules *r = &s->rules;
	/* Counted since control knows them: after a restart of control from 0 again. */
	s->memory_ends_new = HG_MAX(s->memory_ends_new, new->memory_ends);
	s->memory_ends_old = HG_MAX(s->memory_ends_old, old->memory_ends);
	if (t->o->sample == s->sample) return;
	s->sample = t->o->sample;
	s->memory_new = new->memory;
	s->cpu_new = new->cpu;
	s->memory_old = HG_MAX(s->memory_old, old->memory);
	s->cpu_old = HG_MAX(s->cpu_old, old->cpu);
	/* One that was ended at its limit has been there, whatever the samples saw. */
	double memory_old = s->memory_ends_old ? 1 : s->memory_old;
	s->memory_over = over(r->memory, new->memory, memory_old) ? s->memory_over + 1 : 0;
	s->cpu_over = over(r->cpu, new->cpu, s->cpu_old) ? s->cpu_over + 1 : 0;
}

/* More memory than any share of its limit, and the old release never did that. */
static bool ran_out(const struct ro_state *s)
{
	return s->rules.memory > 0 && s->memory_ends_new > 0 && s->memory_ends_old == 0 &&
	       !(s->memory_old > s->rules.memory);
}

static enum ro_cause hard(const struct ro_turn *t)
{
	const struct ro_state *s = t->s;
	const struct ro_arm *old = &t->o->old_arm, *new = &t->o->new_arm;
	if (ran_out(s)) return RO_CAUSE_MEMORY;
	if (new->crash_loops > 0) return RO_CAUSE_CRASH_LOOP;
	if (new->failed_starts >= 2 ||
	        (new->failed_starts == 1 && new->wanted == 1 && new->exits >= 2 && new->ready == 0))
		return RO_CAUSE_START_FAILED;
	/* When the old release has none either, something else is wrong with this machine. */
	if (s->had_ready && new->ready == 0 && (old->ready > 0 || !ro_old_is_kept(s)))
		return RO_CAUSE_NO_READY_REPLICA;
	if (s->asked && s->ask_ms >= s->rules.progress_deadline_ms) return RO_CAUSE_DEADLINE;
	if (s->memory_over >= RO_OVER_SAMPLES) return RO_CAUSE_MEMORY;
	if (s->cpu_over >= RO_OVER_SAMPLES) return RO_CAUSE_CPU;
	return RO_CAUSE_NONE;
}

static void shared(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	if (s->verdict != JUDGE_SHARED || s->shared) return;
	s->shared = true;
	t->dirty = true;
	if (s->head.pause != RO_GOING) return;
	s->head.pause = RO_PAUSED_SHARED;
	ro_tell(t, RO_EV_PAUSED, 0);
}

void ro_signals(struct ro_turn *t)
{
	struct ro_state *s = t->s;
	/* The last requests have already gone to the new release: it serves. */
	bool over = s->closing && !t->o->split.present && ro_is_going(s);
	if (!ro_is_going(s) || over) return;
	if (s->tripped || s->verdict == JUDGE_BAD) {
		ro_back(t, RO_CAUSE_EVIDENCE);
		return;
	}
	if (t->o->fleet_known) {
		samples(t);
		enum ro_cause cause = hard(t);
		if (cause != RO_CAUSE_NONE) {
			ro_back(t, cause);
			return;
		}
	}
	if (s->abort) {
		ro_back(t, RO_CAUSE_PERSON);
		return;
	}
	shared(t);
}
