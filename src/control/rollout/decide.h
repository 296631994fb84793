/*
 * The pure half of rollouts: what is to be done for one rollout, from its state, what was observed
 * and the time. No clock, no store, no process. A door of its own beside rollout.h, because what is
 * behind it needs nothing of what the doer needs: the simulation (control/simulate) drives the same
 * functions through weeks in milliseconds.
 *
 * How it is driven. Whoever does things (rollout.c) calls ro_decide at every fact (a replica became
 * ready or ended, a trip, a gate ended, a person spoke, a newer deploy) and at out->next_ms:
 *
 *     struct ro_state next = *kept;
 *     ro_decide(&next, &observed, wall_ms, &out);
 *     do out.a[0 … n - 1] in order; *kept = next once RO_SAVE succeeded, or there was none;
 *     if (out.lens) publish kept->judge.lens in the slot of the trial
 *
 * An action that fails ends the list: what was not done is decided again (RO_SAVE failed: from
 * *kept, which is what the store has); wait a second before. The order within a list is fixed and
 * is what makes kill -9 between any two actions harmless:
 *
 *     RO_SPLIT when it lowers the weight      may be in force before it is on disk
 *     RO_EVENT RO_QUARANTINE RO_INCIDENT RO_PROMOTED … RO_SAVE      one transaction of the store
 *     RO_SPLIT when it raises it              only once the state that says so is on disk
 *     RO_WANT, RO_GATE_KILL, RO_GATE_RUN, RO_END_TRIAL
 *
 * Level-triggered: RO_SPLIT, RO_WANT, RO_END_TRIAL and RO_GATE_RUN come when what is decided is
 * not what is observed, and come again until it is. Events come once.
 *
 * Time is kept as spans that went by while somebody looked, RO_TICK_MAX_MS at most between two
 * looks: a clock that jumps, a machine that slept and a control that was dead neither end a wait
 * nor miss a deadline. Wall times in the state are for people.
 */
#ifndef CONTROL_ROLLOUT_DECIDE_H
#define CONTROL_ROLLOUT_DECIDE_H

#include "control/rollout/rollout.h"
#include "math/judge.h"
#include "math/rolling.h"

#define RO_STEPS_MAX    32u
#define RO_GATES_MAX    16u
#define RO_ACTIONS_MAX  128u
#define RO_FORMER       4u       /* ended epochs whose late responses are still taken in */
#define RO_WHOLE        1000000u /* ppm */
#define RO_TICK_MS      1000u    /* out->next_ms is never later than this while it runs */
#define RO_TICK_MAX_MS  2000u    /* no more than this counts as gone by between two looks */
#define RO_SAVE_MS      5000u    /* spans are saved at least so often */
#define RO_LOOK_MS      60000u   /* judge_look; at weight 100 % every RO_TICK_MS */
#define RO_TUNE_MS      80u      /* judge_tune, at most so often: see math/judge.h on latency */
#define RO_DWELL_MS     10000u   /* of a step that names no wait */
#define RO_SETTLE_MS    5000u    /* a weight that sank for lack of replicas rises only after this */
#define RO_OVER_SAMPLES 3u       /* memory, cpu: so many samples over the limit */
#define RO_OVER_MORE    0.05     /* and so much more than the old release at its highest */
#define RO_SAVED_MAX    8192u

enum ro_strategy {
	RO_RECREATE,   /* all old ones end, then the new ones start; nothing is judged but readiness
	                */
	RO_ROLLING,    /* a few at a time; requests by the share of ready replicas; judged */
	RO_BLUE_GREEN, /* all new ones beside the old ones, then one switch */
	RO_CANARY,     /* a growing share of the requests, judged at each step */
	RO_IMMEDIATE,  /* back to a kept release: blue-green without gates and evidence */
	RO_STRATEGIES
};

enum ro_when {
	RO_WHEN_BEFORE,  /* replicas are ready, no request yet (recreate: the old ones serve yet) */
	RO_WHEN_WEIGHT,  /* at the first step with this weight or more, beside its wait */
	RO_WHEN_PROMOTE, /* before promotion; rolling, recreate: with RO_WHEN_BEFORE */
	RO_WHEN_AFTER,   /* after promotion, while the old release is still warm */
	RO_WHEN_ROLLBACK, /* after the weight is 0; its failure changes nothing */
	RO_WHEN_CONFIRM, /* a person: weight_ppm 0: as BEFORE; up to 999999: as WEIGHT; else PROMOTE
	                  */
	RO_WHENS
};

enum ro_inconclusive { RO_INCONCLUSIVE_WAIT, RO_INCONCLUSIVE_PROMOTE, RO_INCONCLUSIVE_ABORT };

struct ro_step {
	uint32_t weight_ppm; /* rising to RO_WHOLE at most; the first may be 0 if more follow */
	uint64_t wait_ms;    /* 0: RO_DWELL_MS */
};

struct ro_gate {
	enum ro_when when;
	uint32_t weight_ppm; /* RO_WHEN_WEIGHT, RO_WHEN_CONFIRM */
	uint32_t text;       /* index of its command in the doer's texts */
};

/* One app's way of releasing, frozen when a rollout begins: a reload changes the next one. */
struct ro_rules {
	enum ro_strategy strategy;
	uint32_t step_count; /* canary; 0: 10 %, 50 %, 100 %, each as soon as it is proven */
	struct ro_step step[RO_STEPS_MAX];
	uint32_t gate_count;
	struct ro_gate gate[RO_GATES_MAX];
	struct judge_rules judge; /* confidence, abort_when; see ro_rules_fill */
	double memory, cpu;       /* abort_when: shares of the limit; 0: off */
	enum ro_inconclusive inconclusive;
	uint64_t inconclusive_after_ms; /* beyond the step's wait */
	bool rescue;                    /* failed requests are answered by the old release */
	bool preview, match;            /* there are ways to see the new release at weight 0 */
	bool open_incident;
	uint32_t mirror_ppm;
	uint32_t control_ppm; /* share of the old release in the watch, as live control */
	uint64_t keep_canary_ms, watch_ms, keep_previous_ms, progress_deadline_ms;
	struct rolling_share surge, unavailable;
};

/* All of a strategy's defaults, those of the configuration reference. */
void ro_rules_default(struct ro_rules *r, enum ro_strategy strategy);
/*
 * Puts right what cannot be meant: default steps, steps that do not rise are left out, waits and
 * shares in range. Near 100 % there is little or nothing to compare with: what is judged and has no
 * rule error_rate gets 5 %, above which no step could be proven anyway. ro_begin calls it.
 */
void ro_rules_fill(struct ro_rules *r);

/* The two limits of latency that only the edge needs to know; 0: off. */
struct ro_latency {
	uint64_t p95_ns;
	double p95_ratio;
};
struct spec_app;
/* What every rollout of this app begins with, filled in; gate i is the app's gate i. */
void ro_rules_read(
        const struct spec_app *app, struct ro_rules *ret_rules, struct ro_latency *ret_latency);
/* "rolling" and so on; false for a name that is none. */
HG_MUST bool ro_strategy_parse(struct hg_str name, enum ro_strategy *ret_strategy);

/* ---- state ---- */

enum ro_phase {
	RO_PHASE_START,   /* replicas of the new release are asked for; weight 0 */
	RO_PHASE_GATE,    /* gates before any request */
	RO_PHASE_STEP,    /* replicas for this step, then its weight and its wait */
	RO_PHASE_HOLD,    /* the wait is over and nothing is proven either way */
	RO_PHASE_PROMOTE, /* all N replicas, gates; the weight of the last step stays */
	RO_PHASE_WATCH,   /* the new release has the role of the serving one; the old one is warm */
	RO_PHASE_BACK,    /* the old release serves again; the failed one is kept to be looked at */
	RO_PHASE_END,
	RO_PHASES
};

enum ro_outcome { RO_RUNNING, RO_PROMOTED_OK, RO_ROLLED_BACK, RO_SUPERSEDED, RO_OUTCOMES };

/* Names as in docs/reference/rollout-json.md. */
enum ro_cause {
	RO_CAUSE_NONE,
	RO_CAUSE_EVIDENCE,
	RO_CAUSE_NO_READY_REPLICA,
	RO_CAUSE_CRASH_LOOP,
	RO_CAUSE_START_FAILED,
	RO_CAUSE_DEADLINE,
	RO_CAUSE_GATE,
	RO_CAUSE_MEMORY,
	RO_CAUSE_CPU,
	RO_CAUSE_INCONCLUSIVE,
	RO_CAUSE_PERSON,
	RO_CAUSE_SUPERSEDED,
	RO_CAUSE_REMOVED, /* the app is no longer in the configuration */
	RO_CAUSE_DAMAGED, /* its row in the store cannot be read */
	RO_CAUSES
};

enum ro_pause { RO_GOING, RO_PAUSED_PERSON, RO_PAUSED_SHARED /* the old release fails too */ };

/* Why a step was left upwards. */
enum ro_proof {
	RO_PROOF_NONE,     /* not left yet */
	RO_PROOF_EVIDENCE, /* proven good */
	RO_PROOF_QUIET,    /* no request on either arm in the whole step: unproven */
	RO_PROOF_POLICY,   /* inconclusive: promote; rolling: nothing was proven: unproven */
	RO_PROOF_PERSON,   /* somebody said so: unproven */
	RO_PROOF_SKIPPED,  /* promote --full went past it: unproven */
	RO_PROOF_SHADOW,   /* weight 0: nobody was sent there, nothing was to be proven */
	RO_PROOFS
};

enum ro_gate_state {
	RO_GATE_NEXT,
	RO_GATE_RUNNING,
	RO_GATE_WAITING, /* for a person */
	RO_GATE_PASSED,
	RO_GATE_FAILED,
	RO_GATE_SKIPPED,
	RO_GATE_STATES
};

/* What the journal tells: replaying the events in order gives it back (ro_replay). */
struct ro_head {
	enum ro_phase phase;
	uint32_t step; /* from 0 */
	uint32_t weight_ppm, epoch;
	enum ro_pause pause;
	enum ro_outcome outcome;
	enum ro_cause cause;
	bool promoted;               /* has been, whatever came later */
	uint8_t proof[RO_STEPS_MAX]; /* enum ro_proof */
	uint8_t gate[RO_GATES_MAX];  /* enum ro_gate_state */
};

struct ro_former {
	uint32_t epoch; /* 0: none */
	uint32_t weight_ppm;
	struct judge_evidence taken; /* what the judge has seen of it */
};

/* Everything that survives: ro_save writes all of it. Read it; only ro_ functions write it. */
struct ro_state {
	uint64_t id; /* never used again */
	uint32_t app, old_release, new_release;
	struct ro_rules rules;
	struct ro_head head;
	struct ro_head told; /* as the journal knows it */
	/* Wall times for people; 0: not yet. */
	uint64_t created_ms, changed_ms, promoted_ms, back_ms, ended_ms;
	uint64_t phase_since_ms;
	uint64_t step_took_ms[RO_STEPS_MAX];
	uint64_t gate_took_ms[RO_GATES_MAX];
	int32_t gate_status[RO_GATES_MAX];
	/* Spans. */
	uint64_t last_ms;    /* wall time of the last look */
	uint64_t wait_ms;    /* at this step's weight, in the watch, or kept after going back */
	uint64_t hold_ms;    /* in RO_PHASE_HOLD */
	uint64_t ask_ms;     /* waiting for replicas of this step: the progress deadline */
	uint64_t settle_ms;  /* since enough replicas have been ready without a break */
	uint64_t look_ms;    /* since the last look-point */
	uint64_t unsaved_ms; /* since the last RO_SAVE */
	uint64_t tick_ms;    /* since the last tick of the judge; not saved */
	/* Replicas. */
	uint32_t want_old, want_new; /* rolling: how many of each; else want_new: of the trial */
	uint32_t base;               /* N when the weight was raised last */
	bool begun;                  /* ro_decide has looked once */
	bool asked;                  /* replicas for this step, and not all were available yet */
	bool raised;                 /* the step's weight was reached once */
	bool had_ready;              /* the new arm has had ready replicas since then */
	/* Facts that do not go away. */
	bool tripped;   /* proven bad, by the edge or by the judge: weight 0 for ever */
	bool abort;     /* a person asked */
	bool skip;      /* a person asked for the next step */
	bool full;      /* and for all of them */
	bool closing;   /* the last want and the end of the trial are under way */
	bool traffic;   /* there were requests in this step */
	bool proven;    /* rolling: proven good at least once */
	bool shared;    /* JUDGE_SHARED has paused it and has not gone away since */
	bool stuck;     /* going back waits for the old release longer than the deadline */
	bool told_hold; /* inconclusive_after passed in this hold */
	uint32_t memory_over, cpu_over; /* samples in a row */
	/* Shares of the limits: of the new release at the last sample, and the highest of the old
	 * one in any sample of this rollout; and processes that ended for want of memory. */
	double memory_new, memory_old, cpu_new, cpu_old;
	uint32_t memory_ends_new, memory_ends_old;
	uint64_t sample;    /* the last one that was looked at */
	uint64_t memory_id; /* of the shared memory that the counters are in */
	enum judge_verdict verdict;
	struct judge judge;
	struct judge_evidence evidence; /* of this epoch as last seen; frozen when it goes back */
	struct ro_former former[RO_FORMER];
};

/* A rollout from `old_release` (which serves; not 0) to `new_release`. */
void ro_begin(struct ro_state *s, uint64_t id, uint32_t app, uint32_t old_release,
        uint32_t new_release, const struct ro_rules *rules, uint64_t now_ms);

/* The bytes of `s` for the store, the same on every machine; RO_SAVED_MAX is enough. Their number,
 * 0 when `cap` is too small. */
size_t ro_save(const struct ro_state *s, void *to, size_t cap);
/* False on anything that ro_save cannot have written; then *ret is untouched. */
HG_MUST bool ro_load(const void *bytes, size_t n, struct ro_state *ret);

/* ---- what was observed ---- */

struct ro_arm { /* struct fleet_release_state, and shares of the configured limits */
	uint32_t wanted, total /* not being stopped */, ready, starting;
	uint32_t crash_loops, failed_starts, exits;
	uint32_t memory_ends; /* those for want of memory */
	double memory, cpu;   /* of the largest and the busiest replica; 0: no limit is set */
};

/* struct fleet_want, and how many of the serving release while a rolling update runs. */
struct ro_want {
	uint32_t serving;
	uint32_t serving_replicas; /* 0: the app's own number; rolling only: fewer */
	uint32_t trial;            /* 0: none */
	uint32_t trial_replicas;
	bool recreate;
};

enum ro_split_flag {
	RO_SPLIT_JUDGE = 1, /* SNAP_TRIAL_JUDGE: evidence is counted, the proof trips */
	RO_SPLIT_RESCUE = 2,
	RO_SPLIT_MATCH = 4,  /* match and preview reach the new release */
	RO_SPLIT_MIRROR = 8, /* rules.mirror_ppm */
};

/*
 * What is in the slot of the trial. A new epoch: a fresh cell and bases as they are when it is
 * set. The same epoch with other flags: cell and bases stay. The same epoch when the slot is
 * empty: bases anew.
 */
struct ro_split {
	bool present; /* and of this rollout's id */
	uint32_t weight_ppm, epoch, flags;
};

struct ro_gate_seen {
	enum ro_gate_state state; /* NEXT: it does not run and nothing is known; RUNNING, PASSED,
	                             FAILED */
	int32_t status;
	uint64_t took_ms;
};

struct ro_seen_former {
	uint32_t epoch; /* 0: none */
	struct judge_evidence evidence;
};

struct ro_observation {
	uint32_t replicas; /* N: fleet_replicas_wanted, may change at any time */
	bool fleet_known;  /* the fleet has its list: the arms may be believed */
	struct ro_arm old_arm, new_arm;
	struct ro_want want;   /* what the fleet was last told (fleet_want) */
	struct ro_split split; /* what the slot says */
	uint64_t sample;       /* + 1 with every 5 s sample of memory and cpu */
	uint64_t memory_id;    /* of the shared memory with table and meter: another one when all
	                          processes were gone. Not 0 */
	bool tripped;          /* meter_tripped for this rollout's id */
	uint64_t tripped_wall_ms;
	uint32_t evidence_epoch; /* of `evidence`; 0: none */
	struct judge_evidence evidence;
	struct ro_seen_former former[RO_FORMER]; /* epochs that have ended, counters as they are
	                                            now; leave out what is not known */
	bool traffic;    /* there were requests on either arm since the last look, forced too */
	bool superseded; /* a newer deploy of the app waits for the end of this one */
	bool removed;    /* the app is no longer in the configuration */
	struct ro_gate_seen gate[RO_GATES_MAX];
};

/* ---- what is to be done ---- */

enum ro_act {
	RO_SPLIT,      /* write the trial's slot: `split`, with judge.lens */
	RO_EVENT,      /* journal: `event` */
	RO_QUARANTINE, /* the new release is not deployed again until `retry` */
	RO_INCIDENT,   /* open one: event.head.cause */
	RO_PROMOTED,   /* the new release counts as promoted: what `rollback` finds */
	RO_SAVE,       /* commit: the events before and ro_save(state) */
	RO_WANT,       /* fleet_want_set: `want` */
	RO_GATE_KILL,  /* end the command of `gate`, wait for nothing */
	RO_GATE_RUN,   /* start the command of `gate`; observed as RUNNING until it ends */
	RO_END_TRIAL,  /* free the slot: the serving release has all requests */
	RO_ACTS
};

enum ro_event_kind {
	RO_EV_STARTED,
	RO_EV_PHASE,  /* another phase or step */
	RO_EV_WEIGHT, /* another weight or epoch */
	RO_EV_PASSED, /* step `index` was left upwards; head.proof[index] */
	RO_EV_GATE,   /* gate `index` changed; head.gate[index] */
	RO_EV_PAUSED,
	RO_EV_RESUMED,
	RO_EV_HOLD,   /* inconclusive_after is over; the policy is to wait */
	RO_EV_STABLE, /* the old release has no ready replica: the new one serves all; or again */
	RO_EV_RESTARTED, /* the counters are gone: from weight 0 again */
	RO_EV_BACK,      /* head.cause; e, threshold: the evidence */
	RO_EV_STUCK,     /* going back waits for replicas of the old release */
	RO_EV_PROMOTED,
	RO_EV_ENDED, /* head.outcome */
	RO_EVENTS
};

struct ro_event {
	enum ro_event_kind kind;
	uint32_t index;
	double e, threshold; /* the judge's, at this moment */
	struct ro_head head; /* after it */
};

struct ro_action {
	enum ro_act kind;
	uint32_t gate;
	struct ro_split split;
	struct ro_want want;
	struct ro_event event;
};

enum ro_waits {
	RO_WAITS_NOTHING, /* it has ended */
	RO_WAITS_REPLICAS,
	RO_WAITS_GATE,
	RO_WAITS_PERSON, /* confirmation */
	RO_WAITS_RESUME,
	RO_WAITS_TIME,     /* of the step, or of the watch */
	RO_WAITS_EVIDENCE, /* the wait is over */
	RO_WAITS_OLD,      /* replicas of the old release, going back */
	RO_WAITS_KEEP,     /* the failed release is kept to be looked at */
	RO_WAITS_APPLY,    /* actions that were just given out */
	RO_WAITS_COUNT
};

struct ro_actions {
	struct ro_action a[RO_ACTIONS_MAX];
	uint32_t n;
	bool lens;           /* judge.lens has changed: publish it */
	bool done;           /* it has ended and nothing is left to be done */
	enum ro_waits waits; /* for what, in one word for `why` */
	uint64_t left_ms;    /* RO_WAITS_TIME, _KEEP, _EVIDENCE (until the policy): still to go */
	uint64_t next_ms;    /* ask again then, or after the next fact; <= now: at once */
};

void ro_decide(struct ro_state *s, const struct ro_observation *seen, uint64_t now_ms,
        struct ro_actions *out);

/*
 * What a person asks for; ro_decide then acts. HG_E_ROLLOUT_STATE says what it is and why not.
 * ROLLOUTS_PROMOTE: confirms the gate that waits for a person, or leaves the step without its
 * wait and without proof (not without replicas and gates), or ends the watch; resumes.
 * ROLLOUTS_PROMOTE_FULL: the same, past all steps that are left. ROLLOUTS_ABORT: any time until
 * the end; while a failed release is kept to be looked at, it goes at once.
 */
HG_MUST enum hg_rc ro_command(
        struct ro_state *s, enum rollouts_verb verb, uint64_t now_ms, struct hg_err *err);

/* ---- views ---- */

/* The journal told again: `head` all zero before the first event. */
void ro_replay(struct ro_head *head, const struct ro_event *e);
bool ro_head_eq(const struct ro_head *a, const struct ro_head *b);

/* Replicas of the new release that a weight needs: ceil(w * n), 1 at least. */
uint32_t ro_need(uint32_t weight_ppm, uint32_t n);
/* Weight of step `i`, RO_WHOLE behind the last. */
uint32_t ro_step_weight(const struct ro_state *s, uint32_t i);
/* Replicas of the new release that step `i` needs: for its weight, and for the copies of requests
 * that the old release answers. */
uint32_t ro_step_need(const struct ro_rules *r, uint32_t i, uint32_t n);
/* What step `i` waits at least. */
uint64_t ro_step_wait_ms(const struct ro_state *s, uint32_t i);
/* How long the old release stays warm after promotion. */
uint64_t ro_watch_ms(const struct ro_rules *r);
/* A step that was left so might have been proven and was not. */
bool ro_lacks_proof(uint8_t proof);
/* Any step left without proof. */
bool ro_unproven(const struct ro_head *h);

/* "canary"; "step"; "rolled_back", "" while it runs; "crash_loop"; "running" … "next" …
 * "rollout.started" … */
const char *ro_strategy_name(enum ro_strategy v); /* "immediate" is one too */
const char *ro_phase_name(enum ro_phase v);
const char *ro_outcome_name(enum ro_outcome v);
const char *ro_cause_name(enum ro_cause v);
const char *ro_gate_state_name(enum ro_gate_state v);
const char *ro_proof_name(enum ro_proof v); /* "" "evidence" "quiet" "policy" … */
const char *ro_event_name(enum ro_event_kind v);
/* "running" "paused" "waiting" "done" "aborted" "superseded" */
const char *ro_state_name(const struct ro_state *s);

#endif
