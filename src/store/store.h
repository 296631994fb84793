/*
 * Headgate's memory: one SQLite file (WAL) at DATA/store/headgate.db, written by control alone.
 * It keeps the configuration last applied, apps and their releases, replicas, meter lanes, tokens,
 * the audit trail, and the journal of every decision, for ever. Commits are durable when a function
 * returns (synchronous=FULL). One thread, the owner's; views handed to callbacks are valid during
 * the callback only. A full disk, a locked or broken file are returned as HG_E_DB_… rows and leave
 * the former state; the store never crashes for them, and never deletes what it cannot read.
 *
 * The schema is additive between neighbouring versions: a former program reads a newer file.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/buf.h"
#include "base/err.h"

struct store;

/* Creates folder (0700) and file when missing, and brings the schema up to date. */
HG_MUST enum hg_rc store_open(const char *data_dir, struct store **ret_store, struct hg_err *err);
void store_close(struct store *s);

/* Several changes as one: what was done since store_begin is kept by commit, or undone. */
HG_MUST enum hg_rc store_begin(struct store *s, struct hg_err *err);
HG_MUST enum hg_rc store_commit(struct store *s, struct hg_err *err);
void store_rollback(struct store *s);
/* Between begin and the end of it. */
bool store_in_transaction(const struct store *s);

/* ---- single values ---- */

/* Appends the value to `to`; HG_E_NOT_FOUND when there is none. */
HG_MUST enum hg_rc store_kv_get(
        struct store *s, const char *key, struct hg_buf *to, struct hg_err *err);
HG_MUST enum hg_rc store_kv_set(
        struct store *s, const char *key, struct hg_str value, struct hg_err *err);
/* Numbers; a missing one reads as 0. */
HG_MUST enum hg_rc store_kv_u64(
        struct store *s, const char *key, uint64_t *ret_v, struct hg_err *err);
HG_MUST enum hg_rc store_kv_u64_set(
        struct store *s, const char *key, uint64_t v, struct hg_err *err);

/* ---- the configuration last applied ---- */

#define STORE_CONFIG_MAX (16u << 20)

struct store_config {
	struct hg_str text, file /* as named by the user */, dir /* absolute */, environment;
	uint64_t applied_ms; /* Unix time */
};
/* Keeps every configuration that was ever applied; the newest is the one in force. */
HG_MUST enum hg_rc store_config_set(
        struct store *s, const struct store_config *c, struct hg_err *err);
/* The newest one; strings go to `mem` and are valid as long as it. HG_E_NOT_FOUND. */
HG_MUST enum hg_rc store_config_get(
        struct store *s, struct hg_buf *mem, struct store_config *ret_config, struct hg_err *err);

/* ---- apps and releases ---- */

struct store_app {
	uint32_t id; /* stable for the name, for ever */
	struct hg_str name;
	int32_t scale;       /* replicas set by `headgate scale`; -1: the file's */
	uint32_t scale_file; /* the file's `replicas` when scale was set */
	uint32_t release;    /* the serving one that is wanted, 0: none yet */
	uint32_t revision;   /* a higher one with every new release and every restart */
	bool present;        /* in the configuration in force */
	/* Beside it; the revision is never that of the serving one. 0: none */
	uint32_t trial, trial_revision, trial_replicas;
	uint32_t serving_replicas; /* of `release`; 0: the app's own number */
	bool recreate;             /* all old replicas end before the first of `release` starts */
	uint32_t file_release;     /* made from the configuration in force */
	uint32_t told;             /* the file_release that was told to who decides about it */
};
/* The app of this name, created when it is new. */
HG_MUST enum hg_rc store_app_open(
        struct store *s, struct hg_str name, struct store_app *ret_app, struct hg_err *err);
HG_MUST enum hg_rc store_app_set(struct store *s, const struct store_app *a, struct hg_err *err);
typedef void (*store_app_fn)(void *arg, const struct store_app *a);
HG_MUST enum hg_rc store_apps(struct store *s, store_app_fn fn, void *arg, struct hg_err *err);

struct store_release {
	uint32_t app, number; /* from 1, per app */
	struct hg_str digest; /* of the artifact, "sha256:…"; empty: none */
	struct hg_str spec;   /* JSON: what the release is made of */
	uint64_t created_ms;
	struct hg_str version; /* name for people, "" without */
	bool kept;             /* a copy of its artifact is kept under DATA/releases */
};
/* Numbers it: the highest number of the app + 1. */
HG_MUST enum hg_rc store_release_add(
        struct store *s, const struct store_release *r, uint32_t *ret_number, struct hg_err *err);
/* `version` and `kept` of the row; what a release is made of never changes. HG_E_NOT_FOUND. */
HG_MUST enum hg_rc store_release_note(
        struct store *s, const struct store_release *r, struct hg_err *err);
typedef void (*store_release_fn)(void *arg, const struct store_release *r);
/* `number` 0: all of the app, newest first. HG_E_NOT_FOUND for a number that is not there. */
HG_MUST enum hg_rc store_releases(struct store *s, uint32_t app, uint32_t number,
        store_release_fn fn, void *arg, struct hg_err *err);

/* A release as the history of its app has it. */
struct store_past {
	uint32_t number;
	struct hg_str version, digest; /* "" without */
	uint64_t created_ms;
	bool kept;
	uint64_t quarantined_by; /* rollout that took it back; 0: none */
	uint64_t rollout;        /* the last one that was to bring it; 0: none */
};
typedef void (*store_past_fn)(void *arg, const struct store_past *p);
/* The newest `limit` with a number below `before` (0: from the end), newest first. */
HG_MUST enum hg_rc store_history(struct store *s, uint32_t app, uint32_t before, uint32_t limit,
        store_past_fn fn, void *arg, struct hg_err *err);

/* ---- replicas: one row a process, from before it is asked for until its end is recorded ---- */

struct store_replica {
	uint64_t id; /* ≥ WD_FIRST_ID, never used again */
	uint32_t app, release, revision, number;
	uint32_t state; /* enum fleet_state */
	int32_t pid;
	struct hg_str address;
	bool started, ready; /* what the probes said last */
	bool retire;         /* not to be started again when it ends */
	bool spare;          /* it was under trial when the row was written */
	uint32_t restarts, streak;
	uint64_t started_ms, exit_ms; /* Unix time */
	int32_t exit_status;
};
/* `r->id` 0: the next one that was never used; otherwise this one, which must not be in use. */
HG_MUST enum hg_rc store_replica_add(
        struct store *s, const struct store_replica *r, uint64_t *ret_id, struct hg_err *err);
/* Above all ids that were ever used. */
HG_MUST enum hg_rc store_replica_next_id(struct store *s, uint64_t *ret_id, struct hg_err *err);
/* All fields of the row `r->id`. HG_E_NOT_FOUND. */
HG_MUST enum hg_rc store_replica_set(
        struct store *s, const struct store_replica *r, struct hg_err *err);
HG_MUST enum hg_rc store_replica_remove(struct store *s, uint64_t id, struct hg_err *err);
typedef void (*store_replica_fn)(void *arg, const struct store_replica *r);
HG_MUST enum hg_rc store_replicas(
        struct store *s, store_replica_fn fn, void *arg, struct hg_err *err);

/* ---- rollouts: one row each, for ever ---- */

struct store_rollout {
	uint64_t id; /* ascending, never used again */
	uint32_t app, old_release, new_release;
	uint64_t created_ms, ended_ms /* 0: it has not ended */;
	bool promoted;       /* it was, and was not taken back */
	bool begun;          /* false: it waits until an older one of its app has ended */
	struct hg_str state; /* bytes of the state machine */
	struct hg_str text;  /* JSON: the rest of it, and what people are shown once it has ended */
};
HG_MUST enum hg_rc store_rollout_add(
        struct store *s, const struct store_rollout *r, uint64_t *ret_id, struct hg_err *err);
/* All fields of the row `r->id`. HG_E_NOT_FOUND. */
HG_MUST enum hg_rc store_rollout_set(
        struct store *s, const struct store_rollout *r, struct hg_err *err);
typedef void (*store_rollout_fn)(void *arg, const struct store_rollout *r);
/* HG_E_NOT_FOUND. */
HG_MUST enum hg_rc store_rollout_get(
        struct store *s, uint64_t id, store_rollout_fn fn, void *arg, struct hg_err *err);
/* The newest `limit`, newest first; `app` 0: of all; `open`: only those that have not ended. */
HG_MUST enum hg_rc store_rollouts(struct store *s, uint32_t app, bool open, uint32_t limit,
        store_rollout_fn fn, void *arg, struct hg_err *err);

/* A release that was taken back by a rollout is not tried again by itself. */
HG_MUST enum hg_rc store_quarantine_set(
        struct store *s, uint32_t app, uint32_t release, uint64_t rollout, struct hg_err *err);
/* *ret_rollout 0: it is not in quarantine. */
HG_MUST enum hg_rc store_quarantine_get(
        struct store *s, uint32_t app, uint32_t release, uint64_t *ret_rollout, struct hg_err *err);
HG_MUST enum hg_rc store_quarantine_remove(
        struct store *s, uint32_t app, uint32_t release, struct hg_err *err);

/* ---- objectives: one row an app and hour, and incidents: one row each, for ever ---- */

struct store_slo_hour {
	uint32_t app;
	uint64_t hour;        /* since 1970 */
	struct hg_str counts; /* bytes of its minutes */
	struct hg_str base;   /* bytes: what the meter had counted by then */
};
/* A second one of the same app and hour takes the place of the first. */
HG_MUST enum hg_rc store_slo_hour_set(
        struct store *s, const struct store_slo_hour *h, struct hg_err *err);
typedef void (*store_slo_hour_fn)(void *arg, const struct store_slo_hour *h);
/* All of the app, oldest first. */
HG_MUST enum hg_rc store_slo_hours(
        struct store *s, uint32_t app, store_slo_hour_fn fn, void *arg, struct hg_err *err);
/* Forgets the hours before `hour`. */
HG_MUST enum hg_rc store_slo_hours_prune(
        struct store *s, uint32_t app, uint64_t hour, struct hg_err *err);

struct store_incident {
	uint64_t id;       /* ascending, never used again */
	struct hg_str app; /* "" when it is about none */
	struct hg_str cause, title;
	uint32_t priority; /* 1 … 4 */
	uint32_t state;    /* enum incident_state */
	uint32_t escalations;
	uint64_t opened_ms, acknowledged_ms, resolved_ms; /* Unix time, 0: not yet */
	uint64_t due_ms;                  /* somebody must have taken it by then; 0: not due */
	uint64_t first_event, last_event; /* of the journal: its timeline; last 0: it goes on */
	struct hg_str assignee, runbook;
};
HG_MUST enum hg_rc store_incident_add(
        struct store *s, const struct store_incident *i, uint64_t *ret_id, struct hg_err *err);
/* All fields of the row `i->id`. HG_E_NOT_FOUND. */
HG_MUST enum hg_rc store_incident_set(
        struct store *s, const struct store_incident *i, struct hg_err *err);
typedef void (*store_incident_fn)(void *arg, const struct store_incident *i);
/* HG_E_NOT_FOUND. */
HG_MUST enum hg_rc store_incident_get(
        struct store *s, uint64_t id, store_incident_fn fn, void *arg, struct hg_err *err);
/* The newest `limit`, newest first; `open`: only those that are not resolved. */
HG_MUST enum hg_rc store_incidents(struct store *s, bool open, uint32_t limit, store_incident_fn fn,
        void *arg, struct hg_err *err);

/* ---- meter lanes ---- */

struct store_lane {
	uint32_t lane, app, release; /* release 0: answers that no replica gave */
	struct hg_str route;
};
HG_MUST enum hg_rc store_lane_set(struct store *s, const struct store_lane *l, struct hg_err *err);
HG_MUST enum hg_rc store_lanes_clear(struct store *s, struct hg_err *err);
typedef void (*store_lane_fn)(void *arg, const struct store_lane *l);
HG_MUST enum hg_rc store_lanes(struct store *s, store_lane_fn fn, void *arg, struct hg_err *err);

/* ---- journal ---- */

struct store_event {
	uint64_t id; /* ascending, from 1 */
	uint64_t ts_ms;
	struct hg_str kind;        /* "replica.ready", "app.scaled", "config.applied" … */
	struct hg_str app;         /* "" when it is about no app */
	uint32_t release, replica; /* 0: about none */
	struct hg_str text;        /* one JSON object with the evidence */
};
HG_MUST enum hg_rc store_event_add(
        struct store *s, const struct store_event *e, uint64_t *ret_id, struct hg_err *err);
typedef void (*store_event_fn)(void *arg, const struct store_event *e);
/* Events with an id above `after`, oldest first, at most `limit`; `app` empty: of all. */
HG_MUST enum hg_rc store_events(struct store *s, uint64_t after, struct hg_str app, uint32_t limit,
        store_event_fn fn, void *arg, struct hg_err *err);
/* The last `limit` events, oldest first. */
HG_MUST enum hg_rc store_events_last(struct store *s, struct hg_str app, uint32_t limit,
        store_event_fn fn, void *arg, struct hg_err *err);

/* ---- alerts, silences and the notification log: rows of control/notify ---- */

enum store_notify { STORE_ALERT = 1, STORE_SILENCE, STORE_TOLD };

/* Adds or replaces; `value` is JSON. */
HG_MUST enum hg_rc store_notify_set(struct store *s, enum store_notify kind, struct hg_str key,
        struct hg_str value, struct hg_err *err);
/* Fine for one that is not there. */
HG_MUST enum hg_rc store_notify_remove(
        struct store *s, enum store_notify kind, struct hg_str key, struct hg_err *err);
typedef void (*store_notify_fn)(void *arg, struct hg_str key, struct hg_str value);
HG_MUST enum hg_rc store_notify_each(
        struct store *s, enum store_notify kind, store_notify_fn fn, void *arg, struct hg_err *err);

/* ---- tokens and audit ---- */

enum store_role { STORE_VIEWER = 1, STORE_DEPLOYER, STORE_ADMIN };

struct store_token {
	struct hg_str name;
	enum store_role role;
	uint8_t sha256[32]; /* of the secret; the secret itself is never kept */
	uint64_t created_ms, used_ms /* 0: never */;
	uint64_t expires_ms;  /* Unix time from which on it counts for nothing; 0: never */
	bool login;           /* a person signed in with a code and got it */
	struct hg_str parent; /* name of the token that the code was made with, "" by none */
};
/* HG_E_DB_CONSTRAINT: the name is taken. */
HG_MUST enum hg_rc store_token_add(
        struct store *s, const struct store_token *t, struct hg_err *err);
/* HG_E_NOT_FOUND. Strings of *ret_token go to `name`. Also one that has expired. */
HG_MUST enum hg_rc store_token_find(struct store *s, const uint8_t sha256[32], struct hg_buf *name,
        struct store_token *ret_token, struct hg_err *err);
/* Remembers the use; written at most once a minute and token. */
HG_MUST enum hg_rc store_token_used(
        struct store *s, const uint8_t sha256[32], uint64_t now_ms, struct hg_err *err);
/* And all that came from it by signing in. HG_E_NOT_FOUND. */
HG_MUST enum hg_rc store_token_remove(struct store *s, struct hg_str name, struct hg_err *err);
/* Forgets those that had expired by `until_ms`. Writes nothing when there are none. */
HG_MUST enum hg_rc store_tokens_prune(struct store *s, uint64_t until_ms, struct hg_err *err);
/* How many came from signing in and have not expired. */
HG_MUST enum hg_rc store_logins(
        struct store *s, uint64_t now_ms, uint64_t *ret_n, struct hg_err *err);
typedef void (*store_token_fn)(void *arg, const struct store_token *t);
HG_MUST enum hg_rc store_tokens(struct store *s, store_token_fn fn, void *arg, struct hg_err *err);

struct store_audit {
	uint64_t id, ts_ms;
	struct hg_str who;    /* "token:ci", "unix:1000" */
	struct hg_str what;   /* "POST /v1/apps/feedback/scale" */
	struct hg_str target; /* "feedback" */
	struct hg_str result; /* "ok", "HG1503" */
	struct hg_str text;   /* JSON, without secrets */
};
HG_MUST enum hg_rc store_audit_add(
        struct store *s, const struct store_audit *a, struct hg_err *err);
typedef void (*store_audit_fn)(void *arg, const struct store_audit *a);
/* The newest `limit` with an id below `before` (0: from the end), newest first. */
HG_MUST enum hg_rc store_audits(struct store *s, uint64_t before, uint32_t limit, store_audit_fn fn,
        void *arg, struct hg_err *err);

#endif
