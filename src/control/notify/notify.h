/*
 * Alerts come in, people are told: what carries out control/notify/decide.h. It runs on control's
 * loop, keeps alerts, silences and the notification log in the store, and sends by HTTP (Slack,
 * PagerDuty, webhooks) and SMTP.
 *
 * What is sent is written to the store before it is sent, and its result behind it: a control that
 * is killed in between sends it once more, with the same id (webhook-id, PagerDuty's dedup_key,
 * Message-ID), so that receivers which look at ids see it once. Slack has no id: there it may be
 * seen twice. Secrets are read from DATA/secrets when they are used, and never logged.
 */
#ifndef CONTROL_NOTIFY_NOTIFY_H
#define CONTROL_NOTIFY_NOTIFY_H

#include "base/log.h"
#include "control/notify/decide.h"
#include "os/loop.h"
#include "spec/spec.h"
#include "store/store.h"

struct notify;
struct notify_plan; /* a configuration that was checked */

struct notify_options {
	struct loop *loop;
	struct hg_log *log; /* may be NULL */
	struct store *store;
	const char *data_dir;
	uint64_t seed;
	uint64_t (*wall_ms)(void);
	uint64_t (*mono_ms)(void);   /* never set: tells when the other one was; may be NULL */
	void (*on_event)(void *arg); /* the journal has something new; may be NULL */
	void *arg;
};

/* Reads alerts, silences and the log from the store. HG_E_NOMEM, the store's. */
HG_MUST enum hg_rc notify_new(
        const struct notify_options *o, struct notify **ret_notify, struct hg_err *err);
/* What is under way is sent by the next control. NULL is fine. */
void notify_free(struct notify *n);

/* `alerts` of the configuration. HG_E_CONFIG_REFERENCE, HG_E_CONFIG_VALUE, HG_E_TEMPLATE … with the
 * place. */
HG_MUST enum hg_rc notify_check(
        const struct spec *s, struct notify_plan **ret_plan, struct hg_err *err);
void notify_plan_free(struct notify_plan *p);
/* The pure half's part of it, as long as the plan lives. */
const struct notify_conf *notify_plan_conf(const struct notify_plan *p);
/* Takes the plan. */
void notify_apply(struct notify *n, struct notify_plan *p);

/* Takes `count` alerts; all that are valid are taken, the first error is returned. They are in the
 * store when it returns. Also for rules: an alert that still fires is told again and again. */
HG_MUST enum hg_rc notify_alert(
        struct notify *n, const struct notify_input *in, uint32_t count, struct hg_err *err);
/* The state, for views and silences, by the clock as it is now; after a change of it, call
 * notify_changed. */
struct notify_state *notify_view(struct notify *n);
const struct notify_conf *notify_conf_now(const struct notify *n);
/* Writes what has changed, and looks what is to be done. */
HG_MUST enum hg_rc notify_changed(struct notify *n, struct hg_err *err);

/* A message to every channel of a receiver, as an alert would be told; `done` from the loop, once
 * for each channel. HG_E_NOT_FOUND. *ret_count: how many channels. */
typedef void (*notify_test_fn)(
        void *arg, struct hg_str channel, bool delivered, const char *why, bool last);
HG_MUST enum hg_rc notify_test(struct notify *n, struct hg_str receiver, notify_test_fn done,
        void *arg, uint32_t *ret_count, struct hg_err *err);
/* The one who asked is gone. */
void notify_test_forget(struct notify *n, void *arg);

/* `a="b"`, `a!=b`, `"a.b"=~"x|y"`, `a!~"…"`, as Alertmanager reads one: names may be quoted, values
 * with a comma or a brace are. The views point into `text` or *mem. `re` is not compiled.
 * HG_E_INVALID. */
HG_MUST enum hg_rc notify_matcher_parse(struct hg_str text, struct hg_arena *mem,
        struct label_matcher *ret_matcher, struct hg_err *err);
/* The same with its expression compiled; freed by notify_matcher_free. */
HG_MUST enum hg_rc notify_matcher_make(struct hg_str text, struct hg_arena *mem,
        struct label_matcher *ret_matcher, struct hg_err *err);
void notify_matcher_free(struct label_matcher *m);
const char *notify_matcher_sign(enum label_match op);

#endif
