/* Small text work of the app: times, Unicode white space, ids from outside. Pure. */
#ifndef FEEDBACK_TEXT_PRIV_H
#define FEEDBACK_TEXT_PRIV_H

#include "base/buf.h"

#define TEXT_TIME_MAX 32

/* "2026-11-21T07:12:23.109149Z" */
size_t text_time_iso(uint64_t wall_ns, char to[TEXT_TIME_MAX]);
/* "2026-11-21 07:12:12,455" in UTC: Python's asctime, which log pipelines know. */
size_t text_time_log(uint64_t wall_ns, char to[TEXT_TIME_MAX]);
/* Without leading and trailing white space as Python's str.strip() sees it. `s` is valid UTF-8. */
struct hg_str text_trim(struct hg_str s);
/* Characters of UTF-8 that is well-formed. */
size_t text_characters(struct hg_str s);
/* Only bytes that are harmless in a header and a log: for request ids from outside. */
bool text_is_token(struct hg_str s, size_t max);

#endif
