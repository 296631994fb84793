/* Shared by the files of the HTTP/1.1 codec only: character classes and the parts of a head. */
#ifndef WIRE_HTTP1_PRIV_H
#define WIRE_HTTP1_PRIV_H

#include "wire/http1.h"

enum {
	HTTP1_C_TOKEN = 1,  /* tchar, RFC 9110 section 5.6.2 */
	HTTP1_C_VALUE = 2,  /* field-vchar, space, tab */
	HTTP1_C_TARGET = 4, /* visible ASCII but "#" */
	HTTP1_C_HOST = 8,   /* reg-name without pct-encoded, RFC 3986 section 3.2.2 */
	HTTP1_C_HEX = 16,
	HTTP1_C_DIGIT = 32,
	HTTP1_C_PLAIN = 64, /* tchar but "_" */
};

extern const uint8_t http1_class[256];

static inline bool http1_is(char c, unsigned classes)
{
	return (http1_class[(unsigned char)c] & classes) != 0;
}

/* What is known so far of the head that is being read. */
struct http1_reading {
	const char *p, *end; /* next byte; end of what may be looked at */
	const struct http1_limits *lim;
	struct http1_head *head;
	bool request;
	/* From the fields, as they come by. */
	const struct http1_field *host, *length;
	bool chunked, close, keep, connection_upgrade, upgrade_field, expect;
	unsigned options;       /* connection options so far */
	unsigned options_other; /* those that name fields */
};

/* Clears the head but for the array of fields, and sets up the reading. */
void http1_begin(struct http1_reading *r, struct hg_str p, const struct http1_limits *lim,
        struct http1_head *head, bool request);
/* HTTP1_BAD; of a response the status is 502 always. `why` is static. */
enum http1_result http1_refuse(struct http1_reading *r, unsigned status, const char *why);
/* HTTP1_BAD with the name of the offending byte. */
enum http1_result http1_refuse_byte(struct http1_reading *r, char c, const char *otherwise);
/* Takes CR LF: DONE, MORE or BAD. r->p is at a byte, or at the end. */
enum http1_result http1_crlf(struct http1_reading *r, const char *otherwise);
/* The field lines and the empty line; notes what matters for framing. */
enum http1_result http1_fields(struct http1_reading *r);
/* After the fields: marks those that Connection names. */
void http1_mark_hops(struct http1_reading *r);
/* True when a head that ended in MORE at `seen` bytes cannot be complete or refused yet. */
bool http1_wait(struct hg_str p, size_t seen, const struct http1_limits *lim);
/* The end of the run of value bytes. */
const char *http1_value_end(const char *p, const char *end);
/* uri-host [":" port], RFC 9110 section 7.2; `need_port` for CONNECT. */
bool http1_host_valid(struct hg_str host, bool need_port);

#endif
