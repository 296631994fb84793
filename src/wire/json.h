/*
 * Writes one JSON value (RFC 8259) into an hg_buf. It puts the commas itself and remembers
 * failure, so that a whole document needs one check, json_out_ok. The buffer stays the caller's.
 * Calls that cannot make JSON (a value in an object without its key, an end too many) are defects
 * of the caller and assert. (The prefix leaves json_* to jansson, which reads JSON.)
 */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include "base/buf.h"

#define JSON_OUT_DEPTH_MAX 64

struct json_out {
	struct hg_buf *to;
	uint64_t arrays, filled; /* one bit a level: is an array; has a member already */
	uint8_t depth;
	bool keyed; /* a key waits for its value */
	bool failed;
};

void json_out_init(struct json_out *j, struct hg_buf *to);
/* The value is complete, and the buffer took it all. */
HG_MUST bool json_out_ok(const struct json_out *j);

void json_out_object(struct json_out *j);
void json_out_array(struct json_out *j);
/* Closes the innermost object or array. */
void json_out_end(struct json_out *j);
void json_out_key(struct json_out *j, const char *key);
/* Invalid UTF-8 becomes U+FFFD, one for each byte that begins no sequence. */
void json_out_str(struct json_out *j, struct hg_str s);
/* NULL is written as null. */
void json_out_cstr(struct json_out *j, const char *s);
void json_out_int(struct json_out *j, int64_t v);
void json_out_u64(struct json_out *j, uint64_t v);
/* The shortest text that reads back as the same number; null when not finite. */
void json_out_num(struct json_out *j, double v);
void json_out_bool(struct json_out *j, bool v);
void json_out_null(struct json_out *j);
/* Text that is JSON already. */
void json_out_raw(struct json_out *j, struct hg_str json);

/* Only the quoted string, for text that is put together otherwise. */
void json_quote(struct hg_buf *to, struct hg_str s);

#endif
