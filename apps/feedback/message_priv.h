/* What a client sent as a message: parsed, trimmed and checked. Pure. */
#ifndef FEEDBACK_MESSAGE_PRIV_H
#define FEEDBACK_MESSAGE_PRIV_H

#include "base/str.h"

#define MESSAGE_POINTS_MAX 500 /* code points after trimming */
#define MESSAGE_BYTES_MAX  (MESSAGE_POINTS_MAX * 4)

struct message {
	size_t n;
	char bytes[MESSAGE_BYTES_MAX];
};

/* NULL when fine; otherwise the sentence for {"error": …} of a 400. */
const char *message_parse(struct hg_str body, struct message *ret_message);
/* Whether a Content-Type says JSON in UTF-8. */
bool message_type_ok(struct hg_str content_type);

#endif
