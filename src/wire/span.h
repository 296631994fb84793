/*
 * A span of a trace on its way to whoever sends it on: a record without pointers, written by a
 * process that may not wait (a worker of the edge, an app's loop), carried by a lane or a ring, and
 * read by one that believes nothing of it. Pure.
 *
 *   record   struct span_head, the name, then attributes: key length (1 byte), type (1), value
 * length (2), key, value. Little-endian, the only order we build for. A record that became too
 *            large loses its last attributes, not itself.
 */
#ifndef WIRE_SPAN_H
#define WIRE_SPAN_H

#include "base/buf.h"
#include "wire/tracectx.h"

#define SPAN_RECORD_MAX 4096u
#define SPAN_NAME_MAX   256u
#define SPAN_VALUE_MAX  1024u /* bytes of a text; the rest is cut off */
#define SPAN_ATTRS_MAX  64u

enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER, SPAN_CLIENT, SPAN_PRODUCER, SPAN_CONSUMER };
enum span_status { SPAN_UNSET, SPAN_OK, SPAN_ERROR };
enum span_type { SPAN_STR, SPAN_INT, SPAN_BOOL };

struct span_head {
	uint32_t size; /* of the whole record; written by span_end */
	uint8_t kind, status, has_parent, attrs;
	uint8_t flags; /* of its traceparent */
	uint8_t reserved;
	uint16_t name_n;
	char trace[TRACECTX_TRACE], id[TRACECTX_SPAN], parent[TRACECTX_SPAN];
	uint32_t reserved2;
	uint64_t start_ns, end_ns; /* Unix time */
};
_Static_assert(sizeof(struct span_head) == 96, "the record's format");

/* ---- writing ---- */

struct span_writer {
	struct hg_out *out;
	struct span_head head;
	size_t at;   /* where the record begins in `out` */
	bool failed; /* there was no room for an attribute: no more are written */
};

/* `h`: everything but size, attrs and name_n. The name is cut at SPAN_NAME_MAX. */
void span_begin(
        struct span_writer *w, struct hg_out *out, const struct span_head *h, struct hg_str name);
/* Keys: 1 to 127 bytes. An empty value is left out. */
void span_str(struct span_writer *w, const char *key, struct hg_str value);
void span_int(struct span_writer *w, const char *key, int64_t value);
void span_bool(struct span_writer *w, const char *key, bool value);
/* False: not even the head found room; `out` is as it was. */
bool span_end(struct span_writer *w);

/* ---- reading ---- */

struct span {
	struct span_head head;
	struct hg_str name;
	struct hg_str rest; /* the attributes */
};

struct span_attr {
	struct hg_str key, text;
	enum span_type type;
	int64_t number; /* of SPAN_INT; 0 or 1 of SPAN_BOOL */
};

/* How many bytes the record at the start has, 0: there is none that makes sense. */
size_t span_size(struct hg_str bytes);
/* The first record of `bytes`, every part of it checked. False: it is none. */
HG_MUST bool span_read(struct hg_str bytes, struct span *ret_span);
/* The attributes one after the other, of a span that was read; false: there are no more. */
bool span_attr(struct span *s, struct span_attr *ret_attr);

#endif
