/*
 * Mail that the app sends: about new feedback, and to show that it can. The settings decide how; a
 * mail that cannot leave says why in the words of the server (fetch/smtp.h).
 */
#ifndef FEEDBACK_MAILER_PRIV_H
#define FEEDBACK_MAILER_PRIV_H

#include "fetch/smtp.h"
#include "jobs/jobs.h"

#include "apps/feedback/config_priv.h"
#include "apps/feedback/jobs_priv.h"

struct mailer_letter {
	struct hg_str to; /* one address */
	struct hg_str subject, body;
	struct hg_str id; /* the same for the same mail: becomes its Message-ID */
	uint64_t unix_s;
	struct hg_str trace; /* traceparent of who sends it; "": none */
};

/*
 * Blocks for as long as the settings say (smtp_send). Without SMTP_URL: SMTP_LATER, and the report
 * says so. smtp_report_free is the caller's.
 */
enum smtp_result mailer_send(const struct outgoing *o, const struct mailer_letter *l,
        const atomic_bool *stop, struct smtp_report *ret_report);
/* The same for a mail whose only purpose is to arrive. */
enum smtp_result mailer_test(const struct outgoing *o, struct hg_str to, const atomic_bool *stop,
        struct smtp_report *ret_report);
/*
 * A row for jobs_kinds.c: KIND_EMAIL, to the address of its arguments, subject "New Feedback", the
 * feedback's message as body. Without SMTP_URL it fails, to be tried again, and says so.
 */
bool mailer_make(const struct jobs_context *c, struct job_kind *ret_kind);

#endif
