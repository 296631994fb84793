/* Inside of what carries notifications out. */
#ifndef CONTROL_NOTIFY_NOTIFY_PRIV_H
#define CONTROL_NOTIFY_NOTIFY_PRIV_H

#include "base/list.h"
#include "control/notify/conf_priv.h"
#include "fetch/fetch.h"
#include "os/work.h"

#define NOTIFY_HTTP_MS    15000u
#define NOTIFY_MAIL_MS    30000u
#define NOTIFY_BODY_MAX   (1u << 20)
#define NOTIFY_SECRET_MAX 4096u

/* One attempt under way; of a send, or of a test. */
struct notify_attempt {
	struct hg_list node;
	struct notify *n;
	struct notify_send *send; /* NULL: of a test */
	struct notify_test *test;
	uint32_t channel;
	struct fetch_call *call;
	struct work *work;
	/* Of a mail, for the thread. */
	struct smtp_server server;
	char *password;
	struct hg_buf message;
	char to[MAIL_ADDRESS_MAX + 2];
	char from[MAIL_ADDRESS_MAX + 2];
	struct smtp_report report;
};

/* A test of all channels of a receiver. */
struct notify_test {
	struct hg_list node;
	notify_test_fn done;
	void *arg;
	uint32_t left;
};

struct notify {
	struct notify_options o;
	struct fetch *fetch;
	struct notify_state *state;
	struct notify_plan *plan; /* NULL before the first */
	struct hg_list attempts, tests;
	struct loop_timer timer;
	int64_t clock_ms;  /* how far the wall clock was ahead of the other one */
	bool store_failed; /* said already */
	uint64_t sent, failed;
};

/* ---- payload.c: what is told ---- */

struct notify_message {
	const struct notify_plan *plan;
	uint32_t channel;
	struct hg_str group; /* key */
	struct labels group_labels;
	const struct notify_alert *const *alerts;
	uint32_t firing, count;
	uint32_t shown; /* of these the first ones are listed; the others are counted */
	const char *id;
	uint64_t now_ms;
	/* A template failed: why; the text is a plain one then. */
	char template_error[320];
};

/*
 * The JSON body of a Slack message, a PagerDuty event (`key`: the routing key) or a webhook.
 * False: too large, or no memory. */
HG_MUST bool notify_body(struct notify_message *m, struct hg_str key, struct hg_buf *to);
/* The mail, as wire/mail.h writes it. */
HG_MUST bool notify_mail(struct notify_message *m, struct hg_buf *to);

/* ---- rows.c: the store ---- */

HG_MUST enum hg_rc notify_rows_read(struct notify *n, struct hg_err *err);
/* All changes as one transaction. */
HG_MUST enum hg_rc notify_rows_write(struct notify *n, struct hg_err *err);

/* ---- send.c ---- */

/* Begins an attempt of a send (or of a test, with `send` NULL). */
void notify_attempt_begin(struct notify *n, struct notify_send *send, struct notify_test *test,
        uint32_t channel, struct notify_message *m);
/* Ends all without telling. */
void notify_attempts_stop(struct notify *n);
/* notify.c: how one went; `a` is gone afterwards. */
void notify_attempt_done(
        struct notify_attempt *a, enum notify_result r, uint64_t retry_after_ms, const char *why);
void notify_attempt_free(struct notify_attempt *a);
void notify_journal(struct notify *n, const char *kind, const struct notify_channel *c,
        const struct notify_send *send, const char *why);

#endif
