/*
 * Mail through a server somebody runs (submission, RFC 6409), by libcurl: STARTTLS or TLS from the
 * start, AUTH, one recipient. It blocks, because libcurl does (it waits for the server's word on
 * the text and for its farewell): call it on a thread that may (os/work.h, a job's `work`). Every
 * word of the dialogue is kept, what is secret in it masked, so that a failure can be shown as it
 * was.
 *
 * What the server says about the mail (5xx to MAIL, RCPT, DATA or the text) is final. What it says
 * about us (greeting, STARTTLS, sign-in) is not, since the next mail would fare the same and
 * somebody will mend it: as Postfix does with smtp_sasl_auth_soft_bounce. Everything else may be
 * better later. A connection that is lost behind the text may have delivered it: who sends it again
 * does so with the same Message-ID.
 */
#ifndef FETCH_SMTP_H
#define FETCH_SMTP_H

#include "base/buf.h"
#include "base/err.h"

#include <stdatomic.h>

#define SMTP_DIALOGUE_MAX 16384u
#define SMTP_WHY_MAX      320u

enum smtp_tls {
	SMTP_TLS_REQUIRED, /* no word of the mail or the sign-in goes without */
	SMTP_TLS_TRY,      /* if the server offers it: whoever sits between can take that away */
	SMTP_TLS_OFF
};

struct smtp_server {
	const char *url;  /* smtp://HOST[:PORT][/NAME], smtps://…; NAME: what EHLO says */
	const char *user; /* "": no sign-in */
	const char *password;
	enum smtp_tls tls;   /* of smtp: */
	const char *ca;      /* file of authorities instead of the machine's store; "": the store */
	uint32_t timeout_ms; /* for the whole dialogue; not 0 */
};

enum smtp_result {
	SMTP_SENT,   /* the server has taken it over */
	SMTP_LATER,  /* no: it may go better next time */
	SMTP_REFUSED /* no: and it would be the same next time */
};

enum smtp_phase { SMTP_GREETING, SMTP_HELLO, SMTP_AUTH, SMTP_FROM, SMTP_TO, SMTP_DATA, SMTP_TEXT };

struct smtp_report {
	enum smtp_result result;
	enum smtp_phase phase;  /* of the last command */
	int reply;              /* the server's to it, as 250 or 550; 0: it said none */
	char why[SMTP_WHY_MAX]; /* a sentence unless SENT, else "" */
	struct hg_buf dialogue; /* lines: "C: " we, "S: " the server, "* " what happened around */
};

/*
 * Whether `s` can be used: HG_E_INVALID with a message that names what is wrong (SMTP_URL …).
 * Looks at no network.
 */
HG_MUST enum hg_rc smtp_check(const struct smtp_server *s, struct hg_err *err);
/*
 * Sends; returns within s->timeout_ms and 2 s, and within 2 s after *stop became true (NULL:
 * never). `from` and `to` are addresses alone (wire/mail.h), `message` as mail_write makes it.
 * Fills the report in any case; smtp_report_free is the caller's. Any number of threads at a time.
 */
enum smtp_result smtp_send(const struct smtp_server *s, struct hg_str from, struct hg_str to,
        struct hg_str message, const atomic_bool *stop, struct smtp_report *ret_report);
void smtp_report_free(struct smtp_report *r);

/* What an end means; pure. `reply`: the server's to the last command, 0: none. */
enum smtp_result smtp_judge(bool sent, enum smtp_phase phase, int reply);

#endif
