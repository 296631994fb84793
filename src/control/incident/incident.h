/*
 * Incidents: something is wrong that people have to take care of. Opened by what burns an error
 * budget, by a release that was taken back, and by whoever else calls incidents_trigger; what has
 * the same cause joins the one that is open. Rows of the store, for ever; what happened meanwhile
 * is the journal's entries of its app, and the document after it is written from both.
 *
 * Everything runs on the one thread of the given loop. The store is the only memory: nothing is
 * lost with control, and lateness is said by whoever comes next.
 */
#ifndef CONTROL_INCIDENT_INCIDENT_H
#define CONTROL_INCIDENT_INCIDENT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "control/incident/decide.h"
#include "observe/tsdb/labels.h"
#include "os/loop.h"

struct incidents;
struct store;

#define INCIDENT_TEXT_MAX 500u /* bytes of a title, a note, a name */

/* Nobody has taken it in time. Strings are valid during the call. */
struct incident_late_notice {
	uint64_t id;
	const char *app, *title, *runbook;
	uint32_t priority, escalations;
};

struct incidents_options {
	struct loop *loop;
	struct store *store;
	struct hg_log *log; /* may be NULL */
	uint64_t (*wall_ms)(void);
	void (*on_event)(void *arg); /* journal entries were written; may be NULL */
	void (*on_late)(void *arg, const struct incident_late_notice *n); /* likewise */
	void *arg;
};

HG_MUST enum hg_rc incidents_new(
        const struct incidents_options *o, struct incidents **ret_incidents, struct hg_err *err);
void incidents_free(struct incidents *in);

struct incident_trigger {
	const char *app;     /* "" for none */
	const char *cause;   /* what joins: "app:feedback", "backup:main" */
	const char *title;   /* one line; longer ones are cut */
	const char *runbook; /* "" without */
	uint32_t priority;   /* 1 … 4 */
};
/* Opens one, or joins the open one of the same cause: *ret_id. In the caller's transaction of the
 * store when there is one. */
HG_MUST enum hg_rc incidents_trigger(struct incidents *in, const struct incident_trigger *t,
        uint64_t *ret_id, struct hg_err *err);
/* What an alert says of an incident, in memory of its own. */
struct incident_alert {
	struct incident_trigger trigger; /* points into the rest */
	char app[64], cause[160], title[INCIDENT_TEXT_MAX], runbook[INCIDENT_TEXT_MAX];
};
/*
 * True: it is one, as its label `severity` is "critical". Its title is the annotation `summary`,
 * its runbook `runbook_url` or `runbook`; a label `priority` (P1 … P4) says how urgent, P1 without.
 * An alert with a label `app` has the cause of all else that is wrong with the app. Longer texts
 * are cut. Pure.
 */
bool incident_of_alert(
        struct labels ls, struct labels annotations, struct incident_alert *ret_alert);
/*
 * The same as incidents_trigger for an alert that fires since `since_ms`, of which one is told
 * again and again: an incident that was opened since then has it, and one that people have resolved
 * since then they have resolved knowing of it. *ret_id 0: so it was, and nothing was done.
 */
HG_MUST enum hg_rc incidents_alert(struct incidents *in, const struct incident_trigger *t,
        uint64_t since_ms, uint64_t *ret_id, struct hg_err *err);

/* What people ask for. `assignee`: for INCIDENT_ASSIGN. `note`: "" without.
 * HG_E_NOT_FOUND, HG_E_INCIDENT_STATE: it is resolved. */
HG_MUST enum hg_rc incidents_do(struct incidents *in, uint64_t id, enum incident_verb verb,
        struct hg_str who, struct hg_str assignee, struct hg_str note, struct hg_err *err);

/* {"schema":"headgate.incidents/1","incidents":[…]}, newest first. */
HG_MUST enum hg_rc incidents_list_json(
        struct incidents *in, bool open, uint32_t limit, struct hg_buf *to, struct hg_err *err);
/* "headgate.incident/1", with its timeline. HG_E_NOT_FOUND. */
HG_MUST enum hg_rc incidents_show_json(
        struct incidents *in, uint64_t id, struct hg_buf *to, struct hg_err *err);
/* The document after it, in Markdown: facts and timeline filled in, what people have to add as
 * headings with questions. HG_E_NOT_FOUND. */
HG_MUST enum hg_rc incidents_report(
        struct incidents *in, uint64_t id, struct hg_buf *to, struct hg_err *err);
/* How many are not resolved. */
HG_MUST enum hg_rc incidents_open(struct incidents *in, uint32_t *ret_n, struct hg_err *err);
/* Prometheus text: how many are open, by priority. */
void incidents_metrics(struct incidents *in, struct hg_buf *to);

#endif
