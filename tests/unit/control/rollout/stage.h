/*
 * A stage for one rollout: a fleet that does what it is told, an edge that counts, a clock in our
 * hand. Tests change what the world is like and look at what was done.
 */
#ifndef TESTS_UNIT_CONTROL_ROLLOUT_STAGE_H
#define TESTS_UNIT_CONTROL_ROLLOUT_STAGE_H

#include "../../test.h"

#include <stdlib.h>

#include "control/rollout/decide.h"

#define OLD     1u
#define NEW     2u
#define T0      1700000000000ull
#define SECOND  1000ull
#define MINUTE  (60 * SECOND)
#define LOG_MAX 8192u
#define UNTIL(s, cond, within_ms)                                            \
	do {                                                                 \
		uint64_t end_ = (s)->now + (within_ms);                      \
		while (!(cond)) {                                            \
			if ((s)->now > end_) fail_msg("never came: " #cond); \
			tick(s, 1000);                                       \
		}                                                            \
	} while (0)

struct stage {
	struct ro_state ro;
	struct ro_rules rules;
	struct ro_observation o;
	struct ro_actions out;
	uint64_t now; /* real time; `skew` is what the clock adds */
	int64_t skew;
	/* the world */
	uint32_t start_ms, sick_new, sick_old; /* so many are not ready */
	uint64_t born_new, born_old;           /* when the present number was asked for */
	uint32_t had_new, had_old;             /* processes that have started */
	double rate, fails_new, fails_old;     /* requests a second; shares */
	double more_c[JUDGE_METRICS], more_s[JUDGE_METRICS]; /* shares of exceedances */
	double part_c[JUDGE_METRICS], part_s[JUDGE_METRICS], part_new, part_old;
	struct judge_lens lens;
	uint64_t requests_new, failures_new;
	/* what was done */
	struct ro_action log[LOG_MAX];
	uint32_t log_n;
	uint64_t saves;
};

static inline void have(struct ro_arm *a, uint32_t wanted, uint32_t *had, uint64_t *born,
        const struct stage *s, uint32_t sick)
{
	if (wanted > a->wanted) *born = s->now;
	a->wanted = a->total = wanted;
	*had = s->now - *born >= s->start_ms ? wanted : HG_MIN(*had, wanted);
	a->ready = *had - HG_MIN(sick, *had);
	a->starting = wanted - *had;
}

static inline uint32_t wanted_of(const struct stage *s, uint32_t release)
{
	const struct ro_want *w = &s->o.want;
	if (w->serving == release) return w->serving_replicas ? w->serving_replicas : s->o.replicas;
	return w->trial == release ? w->trial_replicas : 0;
}

static inline void fleet(struct stage *s)
{
	have(&s->o.old_arm, wanted_of(s, OLD), &s->had_old, &s->born_old, s, s->sick_old);
	have(&s->o.new_arm, wanted_of(s, NEW), &s->had_new, &s->born_new, s, s->sick_new);
}

static inline void act(struct stage *s, const struct ro_action *a)
{
	assert_true(s->log_n < LOG_MAX);
	s->log[s->log_n++] = *a;
	switch (a->kind) {
	case RO_SPLIT:
		if (!s->o.split.present || s->o.split.epoch != a->split.epoch) {
			for (unsigned i = RO_FORMER - 1; i > 0; i--)
				s->o.former[i] = s->o.former[i - 1];
			s->o.former[0] = (struct ro_seen_former){s->o.split.epoch, s->o.evidence};
			s->o.evidence = (struct judge_evidence){0};
			s->o.evidence_epoch = a->split.epoch;
		}
		s->o.split = a->split;
		break;
	case RO_WANT: s->o.want = a->want; break;
	case RO_END_TRIAL: s->o.split = (struct ro_split){0}; break;
	case RO_GATE_RUN: s->o.gate[a->gate].state = RO_GATE_RUNNING; break;
	case RO_GATE_KILL: s->o.gate[a->gate].state = RO_GATE_NEXT; break;
	case RO_SAVE: s->saves++; break;
	default: break;
	}
}

/* Decides until nothing more is to be done now. */
static inline void play(struct stage *s)
{
	for (int turn = 0;; turn++) {
		assert_true(turn < 20);
		fleet(s);
		uint64_t wall = s->now + (uint64_t)s->skew;
		ro_decide(&s->ro, &s->o, wall, &s->out);
		for (uint32_t i = 0; i < s->out.n; i++)
			act(s, &s->out.a[i]);
		if (s->o.split.present && s->o.split.epoch == s->ro.head.epoch)
			s->lens = s->ro.judge.lens;
		s->o.traffic = false;
		if (s->out.done || s->out.next_ms > wall) break;
	}
}

static inline uint32_t whole(double *part, double more)
{
	*part += more;
	uint32_t n = (uint32_t)*part;
	*part -= n;
	return n;
}

static inline void edge(struct stage *s, uint64_t ms)
{
	const struct ro_split *p = &s->o.split;
	if (!p->present || s->rate <= 0) return;
	struct judge_evidence *e = &s->o.evidence;
	double w = s->o.tripped ? 0 : p->weight_ppm / 1e6, all = s->rate * (double)ms / 1000;
	double share_c[JUDGE_METRICS], share_s[JUDGE_METRICS];
	memcpy(share_c, s->more_c, sizeof share_c);
	memcpy(share_s, s->more_s, sizeof share_s);
	share_c[JUDGE_ERRORS] = s->fails_new;
	share_s[JUDGE_ERRORS] = s->fails_old;
	uint32_t new = whole(&s->part_new, all * w);
	e->n_new += new;
	s->requests_new += new;
	e->n_old += whole(&s->part_old, all * (1 - w));
	for (unsigned m = 0; m < JUDGE_METRICS; m++) {
		uint32_t c = whole(&s->part_c[m], all * w * share_c[m]);
		e->count[m].s += whole(&s->part_s[m], all * (1 - w) * share_s[m]);
		e->count[m].c += c;
		if (m == JUDGE_ERRORS) s->failures_new += c;
	}
	bool judged = p->flags & RO_SPLIT_JUDGE;
	if (judged && !s->o.tripped && judge_decide(&s->lens, e, NULL) == JUDGE_BAD) {
		s->o.tripped = true;
		s->o.tripped_wall_ms = s->now;
	}
}

/* Time goes by: requests in small portions, a look at the end of each second. */
static inline void tick(struct stage *s, uint64_t ms)
{
	for (uint64_t gone = 0; gone < ms; gone += 50) {
		s->now += 50;
		edge(s, 50);
		if (s->now % 5000 == 0) s->o.sample++;
		if (s->now % 1000 == 0 || s->o.tripped) play(s);
	}
}

static inline int stage_up(void **state)
{
	struct stage *s = calloc(1, sizeof *s);
	assert_non_null(s);
	s->now = T0;
	s->start_ms = 2000;
	s->rate = 100;
	s->o = (struct ro_observation){
	        .replicas = 4, .fleet_known = true, .want = {.serving = OLD}, .memory_id = 1};
	s->had_old = s->o.old_arm.wanted = s->o.old_arm.ready = 4;
	ro_rules_default(&s->rules, RO_CANARY);
	*state = s;
	return 0;
}

static inline int stage_down(void **state)
{
	free(*state);
	return 0;
}

static inline void replicas(struct stage *s, uint32_t n)
{
	s->o.replicas = s->had_old = s->o.old_arm.wanted = s->o.old_arm.ready = n;
}

static inline void begin(struct stage *s)
{
	ro_begin(&s->ro, 7, 3, OLD, NEW, &s->rules, s->now + (uint64_t)s->skew);
	play(s);
}

static inline void step_add(struct stage *s, uint32_t percent, uint64_t wait_ms)
{
	s->rules.step[s->rules.step_count++] = (struct ro_step){percent * 10000, wait_ms};
}

static inline void gate_add(struct stage *s, enum ro_when when, uint32_t percent)
{
	s->rules.gate[s->rules.gate_count++] = (struct ro_gate){when, percent * 10000, 0};
}

static inline void gate_ends(struct stage *s, uint32_t i, bool good)
{
	assert_int_equal(s->o.gate[i].state, RO_GATE_RUNNING);
	s->o.gate[i].state = good ? RO_GATE_PASSED : RO_GATE_FAILED;
	s->o.gate[i].status = good ? 0 : 256;
	play(s);
}

static inline void say(struct stage *s, enum rollouts_verb verb)
{
	struct hg_err err = {0};
	assert_int_equal(ro_command(&s->ro, verb, s->now, &err), HG_OK);
	play(s);
}

static inline void refused(struct stage *s, enum rollouts_verb verb)
{
	struct hg_err err = {0};
	assert_int_equal(ro_command(&s->ro, verb, s->now, &err), HG_E_ROLLOUT_STATE);
}

static inline uint32_t count(const struct stage *s, enum ro_act kind)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->log_n; i++)
		n += s->log[i].kind == kind;
	return n;
}

static inline uint32_t told(const struct stage *s, enum ro_event_kind kind)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->log_n; i++)
		n += s->log[i].kind == RO_EVENT && s->log[i].event.kind == kind;
	return n;
}

/* Where in the log the first action of this kind is from `from` on; log_n: nowhere. */
static inline uint32_t find(const struct stage *s, enum ro_act kind, uint32_t from)
{
	while (from < s->log_n && s->log[from].kind != kind)
		from++;
	return from;
}

static inline bool phase(const struct stage *s, enum ro_phase p)
{
	return s->ro.head.phase == p;
}

static inline uint32_t weight(const struct stage *s)
{
	return s->o.split.present ? s->o.split.weight_ppm / 10000 : 0;
}

/* At the weight of step `i`, which has just begun. */
static inline void to_step(struct stage *s, uint32_t i)
{
	UNTIL(s, phase(s, RO_PHASE_STEP) && s->ro.head.step == i && s->ro.raised, 60 * MINUTE);
}

static inline void ended(struct stage *s, enum ro_outcome outcome, enum ro_cause cause)
{
	UNTIL(s, phase(s, RO_PHASE_END), 120 * MINUTE);
	assert_int_equal(s->ro.head.outcome, outcome);
	assert_int_equal(s->ro.head.cause, cause);
	assert_false(s->o.split.present);
	assert_int_equal(s->o.want.trial, 0);
	assert_int_equal(s->o.want.serving, outcome == RO_PROMOTED_OK ? NEW : OLD);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, stage_up, stage_down)

#endif
