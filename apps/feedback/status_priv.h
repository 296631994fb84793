/*
 * What became of a feedback: five words, of which "open" is where each begins. And whose a vote is
 * where there are no users. Pure.
 */
#ifndef FEEDBACK_STATUS_PRIV_H
#define FEEDBACK_STATUS_PRIV_H

#include "base/str.h"

enum status {
	STATUS_OPEN,
	STATUS_PLANNED,
	STATUS_IN_PROGRESS,
	STATUS_DONE,
	STATUS_DECLINED,
	STATUSES
};

/* "open", "planned", "in_progress", "done", "declined": as kept, sent and asked for. */
const char *status_name(enum status s);
HG_MUST bool status_named(struct hg_str name, enum status *ret_status);
/* Of a row: a word that a later release knows is shown as "open" by this one. */
enum status status_of(struct hg_str name);
/* NULL, and the status of {"status": …}; otherwise the sentence for {"error": …} of a 400. */
const char *status_parse(struct hg_str body, enum status *ret_status);

/*
 * A browser's number, which is negative, from the text it has drawn for itself: 16 to 64 letters,
 * digits, '-' and '_'. The same for the same text in every process and release: votes are kept by
 * it. 0: it is not such a text.
 */
int64_t status_voter(struct hg_str text);

#endif
