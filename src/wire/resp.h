/*
 * RESP2, the protocol of Redis: requests out, replies in. Pure; nothing is allocated for a reply.
 *
 *   resp_request   appends one command to a buffer
 *   resp_scan      finds the end of a reply while its bytes arrive; every byte is looked at once
 *   resp_next      walks a complete reply, an array before its elements
 *
 * Replies of a server that went mad are refused by their size, depth and number of values before
 * anything is kept of them.
 */
#ifndef WIRE_RESP_H
#define WIRE_RESP_H

#include "base/buf.h"

#define RESP_DEPTH_MAX  8u
#define RESP_VALUES_MAX (1u << 20) /* of one reply */
#define RESP_LINE_MAX   65536u     /* a status or an error; a script's may be long */

/* Appends `*n\r\n$len\r\narg\r\n…`. A failure is in the buffer (to->failed). */
void resp_request(struct hg_buf *to, const struct hg_str *arg, size_t n);

enum resp_result {
	RESP_MORE, /* the reply is not complete yet */
	RESP_DONE,
	RESP_BAD /* no reply, or one beyond the limits: the connection is of no use any more */
};

/* All zero at the start of a reply. */
struct resp_scan {
	size_t at;   /* bytes that are understood */
	size_t line; /* bytes behind `at` that hold no line end */
	uint32_t depth, values;
	uint32_t left[RESP_DEPTH_MAX]; /* elements still to come of each open array */
};

/*
 * `in`: everything received since the reply's first byte, each time a bit longer. RESP_DONE:
 * *ret_n bytes are the reply, and the scan is ready for the next one. `bytes_max`: of a reply.
 */
enum resp_result resp_scan(struct resp_scan *s, struct hg_str in, size_t bytes_max, size_t *ret_n);

enum resp_type { RESP_NIL, RESP_STATUS, RESP_ERROR, RESP_INT, RESP_STR, RESP_ARRAY };

struct resp_value {
	enum resp_type type;
	int64_t n;         /* RESP_INT: the number; RESP_ARRAY: how many elements follow */
	struct hg_str str; /* RESP_STATUS, RESP_ERROR, RESP_STR; points into the reply */
};

/* Takes the next value off a complete reply (as resp_scan found it); false at its end. */
bool resp_next(struct hg_str *rest, struct resp_value *ret_v);
/* Takes what belongs to `v`, its elements and theirs, off as well: what comes next is beside it. */
void resp_skip(struct hg_str *rest, const struct resp_value *v);

#endif
