/*
 * Rollouts: how a release takes over from another one, step by step, judged on every response, and
 * back at once when it is bad. One persisted state machine per rollout; what is to be done is
 * decided by a pure function (decide.h), this half carries it out: fleet_want_set for
 * replicas, the trial slots of the snapshot for traffic, gates as commands and HTTP requests, the
 * journal for evidence. Level-triggered: after kill -9 of control at any moment a rollout goes on
 * with the same weight or with 0. The edge may lower a weight to 0 by itself (meter.h, the trip);
 * this room then finishes the rollback and explains it.
 *
 * Everything runs on the one thread of the given loop; nothing blocks but the store's commits.
 */
#ifndef CONTROL_ROLLOUT_ROLLOUT_H
#define CONTROL_ROLLOUT_ROLLOUT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "os/loop.h"

struct fetch;
struct fleet;
struct rollouts;
struct rollouts_plan;
struct spec;
struct spec_pair;
struct store;
struct warden_child;

struct rollouts_incident {
	const char *app;
	uint64_t rollout;
	uint32_t release; /* the new one */
	const char *why;  /* one line */
	bool stuck;       /* the old release does not come back: users may be without */
};

struct rollouts_options {
	struct loop *loop;
	struct store *store;
	struct hg_log *log; /* may be NULL */
	struct fleet *fleet;
	struct fetch *fetch;              /* for gates with http */
	const struct warden_child *child; /* table, meter, data_dir, incarnation */
	void (*on_event)(void *arg);      /* journal entries were written; may be NULL */
	/* May a new release of this app go out? Fails with the reason. May be NULL: it may. */
	enum hg_rc (*may_deploy)(void *arg, struct hg_str app, struct hg_err *err);
	/* A rollout that asks for an incident was taken back, or cannot be; within the transaction
	 * of the store that writes this down, so that both are there or neither is. May be NULL. */
	enum hg_rc (*on_incident)(void *arg, const struct rollouts_incident *i, struct hg_err *err);
	void *arg;
};

/* Reads all rollouts that have not ended from the store; acts after the first rollouts_apply. */
HG_MUST enum hg_rc rollouts_new(
        const struct rollouts_options *o, struct rollouts **ret_rollouts, struct hg_err *err);
void rollouts_free(struct rollouts *r);

/* The configuration's part: strategies, steps, gates. Check may fail, apply may not. Call
 * rollouts_apply before fleet_apply, so that a release that it makes finds its strategy. */
HG_MUST enum hg_rc rollouts_check(struct rollouts *r, const struct spec *s,
        struct rollouts_plan **ret_plan, struct hg_err *err);
void rollouts_plan_free(struct rollouts_plan *p);
void rollouts_apply(struct rollouts *r, struct rollouts_plan *p);

/* For fleet_options.on_release: the file changed and made this release. */
void rollouts_on_release(struct rollouts *r, const char *app, uint32_t release);

/* ---- what people ask for ---- */

struct rollouts_deploy {
	struct hg_str app;
	struct hg_str version, command, artifact; /* empty: as configured */
	const struct spec_pair *env;
	uint32_t env_count;
	struct hg_str strategy; /* empty: as configured */
	struct hg_str override; /* why a freeze (may_deploy) is overridden; empty: it is not */
	struct hg_str who;      /* "unix:1000", "token:ci" */
};
/*
 * HG_E_ROLLOUT_SAME: that release serves already. HG_E_ROLLOUT_QUARANTINED: it was taken back
 * before; `retry` tries it again. What may_deploy says, unless it is overridden. A running rollout
 * of the app is superseded.
 */
HG_MUST enum hg_rc rollouts_deploy(
        struct rollouts *r, const struct rollouts_deploy *d, uint64_t *ret_id, struct hg_err *err);

enum rollouts_verb {
	ROLLOUTS_PROMOTE,      /* the next step now; confirms a gate that waits for a person */
	ROLLOUTS_PROMOTE_FULL, /* all the way now */
	ROLLOUTS_PAUSE,
	ROLLOUTS_RESUME,
	ROLLOUTS_ABORT,
	ROLLOUTS_RETRY, /* a new rollout of the same release */
};
/* *ret_id: the same, for ROLLOUTS_RETRY the new one. HG_E_ROLLOUT_STATE: not in this state. */
HG_MUST enum hg_rc rollouts_do(struct rollouts *r, uint64_t id, enum rollouts_verb verb,
        struct hg_str who, uint64_t *ret_id, struct hg_err *err);

/* `release` 0: the one promoted last before the serving one. While a rollout runs: its abort. */
HG_MUST enum hg_rc rollouts_rollback(struct rollouts *r, struct hg_str app, uint32_t release,
        struct hg_str who, uint64_t *ret_id, struct hg_err *err);

/* ---- what is: JSON documents, described in docs/reference/rollout-json.md ---- */

/* {"schema":"headgate.rollouts/1","rollouts":[…]}: newest first; `app` empty: of all. */
HG_MUST enum hg_rc rollouts_list_json(struct rollouts *r, struct hg_str app, uint32_t limit,
        struct hg_buf *to, struct hg_err *err);
/* "headgate.rollout/1". HG_E_NOT_FOUND. */
HG_MUST enum hg_rc rollouts_show_json(
        struct rollouts *r, uint64_t id, struct hg_buf *to, struct hg_err *err);
/* One that has not ended, in numbers: for lists and curves that are made every second. Strings are
 * valid during the call. */
struct rollouts_view {
	uint64_t id;
	const char *app;
	uint32_t old_release, new_release;
	const char *strategy, *state, *phase, *verdict; /* as in the documents */
	const char *why, *new_version;
	double weight_set, weight_actual; /* shares of 1 of the new release, as in the documents */
	uint32_t step, steps;             /* from 1 */
	double evidence;                  /* of the present epoch; may be infinite */
	uint64_t rescued, seen;           /* failures of the new release: answered by the old one,
	                                     seen by a client */
};
typedef void (*rollouts_view_fn)(void *arg, const struct rollouts_view *v);
/* Oldest first. */
void rollouts_each(struct rollouts *r, rollouts_view_fn fn, void *arg);
/* Has it not ended yet? */
bool rollouts_running(const struct rollouts *r, uint64_t id);
/* "headgate.plan/1": what a deploy would do, how long it takes at the present traffic, what the
 * judge could detect by then. */
HG_MUST enum hg_rc rollouts_plan_json(
        struct rollouts *r, const struct rollouts_deploy *d, struct hg_buf *to, struct hg_err *err);

/* Prometheus text: split, evidence, requests and phase of the rollouts that have not ended. */
void rollouts_metrics(const struct rollouts *r, struct hg_buf *to);

#endif
