/*
 * Alerts of rules, control's half: the rule files that a configuration names, read and checked; and
 * the alerts that observe's evaluation has, asked for and handed to those who tell people
 * (control/notify).
 *
 * Control asks, observe does not push: whatever parses metrics of strangers needs no door to
 * control, and nothing has to be kept for a receiver that is away. Each answer has all alerts that
 * fire, so an answer that was lost, a control or an observe that was killed in between cost a
 * second and no alert; an alert ends when observe says so, when it is not in an answer that has all
 * that fires (observe/rules/rules.h: "complete"), or when nobody has confirmed it for four minutes
 * (four intervals of its group, when that is more), as in Prometheus. The question waits at
 * observe's until there is news (25 s at most).
 */
#ifndef CONTROL_ALERT_ALERT_H
#define CONTROL_ALERT_ALERT_H

#include "base/err.h"
#include "base/log.h"
#include "os/loop.h"
#include "spec/spec.h"

/* ---- rule files ---- */

#define ALERT_FILES_MAX 256u

struct alert_source {
	struct hg_str name, text;
};

/* What `alerts.rules` and `alerts.import` say, as rule files; lives in its own arena. */
struct alert_rules {
	struct hg_arena mem;
	const struct alert_source *files; /* those of the configuration itself first */
	uint32_t n;
};

/*
 * Reads and checks them; paths start at `dir`. The first mistake is in `err`, with its place: in
 * the rule file, or in the configuration. `note` (may be NULL) is told of what is probably not
 * meant. HG_E_RULES_FILE, HG_E_QUERY_SYNTAX, HG_E_TEMPLATE, HG_E_CONFIG_REFERENCE …
 */
HG_MUST enum hg_rc alert_rules_read(const struct spec *s, const char *dir,
        void (*note)(void *arg, const struct hg_err *e), void *arg, struct alert_rules **ret_rules,
        struct hg_err *err);
/* NULL is fine. */
void alert_rules_free(struct alert_rules *r);

/* ---- the alerts ---- */

struct notify;
struct notify_input;
struct alert_watch;

struct alert_watch_options {
	struct loop *loop;
	struct hg_log *log; /* may be NULL */
	struct notify *notify;
	const char *data_dir; /* observe listens at run/observe.sock */
	uint64_t (*wall_ms)(void);
	/* An alert fires of which this watch has not told yet (after a restart of control: again).
	 * HG_E…: it could not be kept, and is told again. May be NULL. */
	enum hg_rc (*on_firing)(void *arg, const struct notify_input *in, struct hg_err *err);
	void *arg;
};

/* Asks at once, and then for ever. HG_E_NOMEM, HG_E_INVALID (the path is too long). */
HG_MUST enum hg_rc alert_watch_new(
        const struct alert_watch_options *o, struct alert_watch **ret_watch, struct hg_err *err);
/* NULL is fine. */
void alert_watch_free(struct alert_watch *w);

#endif
