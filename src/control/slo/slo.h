/*
 * Objectives and error budgets. What the edge has counted is taken from the meter every five
 * seconds and kept as sums by the minute, exact and durable, for as long as the longest window of
 * the app's objectives; no query language is asked. Budgets, burn rates and alerts are computed
 * from them (math/burnrate.h).
 *
 * After kill -9 of control nothing is lost: the sums are written once a minute together with what
 * the meter had counted by then, and what it counted since is added at the next start. When the
 * shared memory is gone too, at most the minute that was open is.
 *
 * Everything runs on the one thread of the given loop; nothing blocks but a commit of the store a
 * minute, and there is none while nobody asks anything of an app with objectives. Without
 * objectives in the file the room does nothing at all.
 */
#ifndef CONTROL_SLO_SLO_H
#define CONTROL_SLO_SLO_H

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "os/loop.h"

struct fleet;
struct meter;
struct slo;
struct slo_plan;
struct spec;
struct store;

enum slo_kind { SLO_AVAILABILITY, SLO_LATENCY, SLO_KINDS };
enum slo_severity { SLO_CRITICAL, SLO_WARNING, SLO_SEVERITIES };

/* A budget burns too fast, or does so no longer. Strings are valid during the call. */
struct slo_alert {
	const char *app;
	const char *slo;      /* "availability", "latency" */
	const char *severity; /* "critical": wake somebody; "warning": a ticket will do */
	bool firing;          /* false: it is over */
	bool again;           /* nothing is new: it fires still */
	uint32_t priority;    /* of the incident: 1 for the fastest rule, 2; 3 for tickets */
	uint64_t since_ms;    /* Unix time */
	double burn_long, burn_short, limit;
	const char *window_long, *window_short; /* "1h", "5m" */
	double left;                            /* share of the budget */
	const char *summary;                    /* one line */
	const char *runbook;                    /* "" without */
};

struct slo_options {
	struct loop *loop;
	struct store *store;
	struct hg_log *log; /* may be NULL */
	const struct fleet *fleet;
	const struct meter *meter; /* may be NULL: nothing is counted */
	uint64_t memory_id;        /* tells this shared memory from the next one's */
	uint64_t (*wall_ms)(void);
	/* Within the transaction that writes the alert into the journal, so that what is opened for
	 * it is there if it is. A failure undoes both, and both are tried again with the next look.
	 * May be NULL. */
	enum hg_rc (*on_news)(void *arg, const struct slo_alert *a, struct hg_err *err);
	/* After it, also when the disk is full: whoever tells people. Once for each change, and
	 * while it fires once a minute more, as those who are told of alerts take silence for an
	 * end. May be NULL. */
	void (*on_alert)(void *arg, const struct slo_alert *a);
	void (*on_event)(void *arg); /* journal entries were written; may be NULL */
	void *arg;
};

HG_MUST enum hg_rc slo_new(const struct slo_options *o, struct slo **ret_slo, struct hg_err *err);
/* Takes what was counted last, writes it, and forgets everything. NULL is fine. */
void slo_free(struct slo *s);

/* The configuration's part. Check may fail, apply may not. An app's history is read from the store
 * when its objectives are first in force, and again every few seconds while that fails; until then
 * nothing is counted and nothing written over. Call slo_apply after fleet_apply. */
HG_MUST enum hg_rc slo_check(
        struct slo *s, const struct spec *spec, struct slo_plan **ret_plan, struct hg_err *err);
void slo_plan_free(struct slo_plan *p);
void slo_apply(struct slo *s, struct slo_plan *p);

/* May this app be deployed now? HG_E_SLO_FROZEN with the reason when `freeze_deploys_below` says
 * no. An app without objectives may. */
HG_MUST enum hg_rc slo_may_deploy(struct slo *s, struct hg_str app, struct hg_err *err);

/* {"schema":"headgate.slo/1","objectives":[…]}; `app` empty: of all. HG_E_NOT_FOUND: the app has no
 * objectives. */
HG_MUST enum hg_rc slo_json(
        struct slo *s, struct hg_str app, struct hg_buf *to, struct hg_err *err);
/* An objective as it stood at the last look, five seconds ago at most. */
struct slo_view {
	const char *name; /* "availability", "latency" */
	double objective; /* share of 1 */
	double left;      /* share of the budget; negative: overspent */
	bool burning;     /* an alert fires */
};
/* Those of one app; none when it has none. */
void slo_each(const struct slo *s, const char *app, void (*fn)(void *arg, const struct slo_view *v),
        void *arg);
/* Prometheus text. */
void slo_metrics(struct slo *s, struct hg_buf *to);
/* Seconds of the app's own edge in the histogram of durations, between those that all have; 0: it
 * has none. */
double slo_edge_s(const struct slo *s, const char *app);

#endif
