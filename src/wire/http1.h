/*
 * HTTP/1.1 heads and chunked bodies (RFC 9110, RFC 9112), strict: bytes in, structs out.
 *
 * Every ambiguity that enables request smuggling is HTTP1_BAD; the caller answers `status` and
 * closes. The parser copies nothing: all strings point into the caller's buffer, which must stay
 * until the head is done with. No allocation, no system call, no state outside the structs.
 *
 * Refused: bare LF or CR as line end, obs-fold, white space before the colon or around the
 * request line's parts, NUL and other control bytes in names and values, empty or non-token
 * names, Content-Length with Transfer-Encoding, two differing Content-Length values or a list,
 * signs or overflow in lengths, any Transfer-Encoding but exactly "chunked", chunked in HTTP/1.0,
 * no or two Host fields in a 1.1 request, a Host that is not uri-host[:port], absolute-form whose
 * authority differs from Host, targets with control bytes, spaces, "#" or non-ASCII, versions
 * other than 1.0 and 1.1, more than HTTP1_FIELDS_MAX fields, over-long heads.
 */
#ifndef WIRE_HTTP1_H
#define WIRE_HTTP1_H

#include "base/str.h"
#include "wire/http1_field.h"

#define HTTP1_FIELDS_MAX 100

enum http1_result {
	HTTP1_MORE = 0, /* the head is not complete yet */
	HTTP1_DONE = 1,
	HTTP1_BAD = -1, /* answer `status`, then close */
};

enum http1_method {
	HTTP1_OTHER,
	HTTP1_GET,
	HTTP1_HEAD,
	HTTP1_POST,
	HTTP1_PUT,
	HTTP1_DELETE,
	HTTP1_PATCH,
	HTTP1_OPTIONS,
	HTTP1_TRACE,
	HTTP1_CONNECT,
	HTTP1_METHODS
};

struct http1_field {
	struct hg_str name, value; /* value without surrounding white space */
	uint8_t id;                /* enum http1_field_id */
	bool hop;                  /* hop-by-hop: not to be forwarded (RFC 9110 section 7.6.1),
	                              named by Connection or one of the fixed list; or a name that
	                              differs from a known one only by "_" for "-", which some
	                              programs take for it */
};

enum http1_body {
	HTTP1_BODY_NONE,   /* no body, whatever the fields say (HEAD, 1xx, 204, 304) or length 0 */
	HTTP1_BODY_LENGTH, /* exactly content_length bytes, > 0 */
	HTTP1_BODY_CHUNKED,
	HTTP1_BODY_CLOSE,  /* responses only: until the connection closes */
	HTTP1_BODY_TUNNEL, /* 101 to an upgrade, 2xx to CONNECT: raw bytes both ways */
};

struct http1_head {
	/* request */
	enum http1_method method;
	struct hg_str method_text, target;
	struct hg_str path;      /* of the target without query; "*" for OPTIONS * */
	struct hg_str query;     /* without "?" */
	struct hg_str authority; /* host[:port]: of an absolute-form target or the Host field */
	/* response */
	uint16_t status; /* also set by HTTP1_BAD: 400, 414, 431, 501, 505 */
	struct hg_str reason;
	/* both */
	uint8_t minor;        /* 0 or 1: HTTP/1.minor */
	bool keep_alive;      /* may be kept open after this message, by version and Connection */
	bool expect_continue; /* Expect: 100-continue (any other Expect: BAD with 417) */
	bool upgrade;         /* Connection: upgrade and an Upgrade field */
	enum http1_body body;
	uint64_t content_length; /* meaningful when has_content_length */
	bool has_content_length;
	size_t size; /* bytes of the head including the empty line */
	uint16_t field_count;
	struct http1_field field[HTTP1_FIELDS_MAX];
	const char *bad; /* with HTTP1_BAD: what is wrong, for logs (static text) */
};

struct http1_limits {
	uint32_t head_max;   /* bytes of the whole head; more is 431 */
	uint32_t target_max; /* bytes of the request target; more is 414 */
	uint16_t field_max;  /* ≤ HTTP1_FIELDS_MAX; more is 431 */
};

#define HTTP1_LIMITS_DEFAULT ((struct http1_limits){32768, 8192, HTTP1_FIELDS_MAX})

/*
 * `p`: everything received of this message so far; `seen`: how many bytes of it an earlier call
 * has already looked at (0 the first time), so that a slow sender costs linear time.
 * Up to two empty lines (CRLF) before a request line are skipped and counted in `size`.
 */
enum http1_result http1_request(
        struct hg_str p, size_t seen, const struct http1_limits *lim, struct http1_head *ret_head);
/* `to`: method of the request this answers: decides the body of HEAD and CONNECT. */
enum http1_result http1_response(struct hg_str p, size_t seen, const struct http1_limits *lim,
        enum http1_method to, bool upgrade_asked, struct http1_head *ret_head);

/* First field with this id, or NULL. */
const struct http1_field *http1_find(const struct http1_head *h, enum http1_field_id id);
/* By name, any case. */
const struct http1_field *http1_find_name(const struct http1_head *h, struct hg_str name);
/* True when a comma-separated list value contains the token, any case. */
bool http1_list_has(struct hg_str list, struct hg_str token);
/* "GET"; "" for HTTP1_OTHER. */
const char *http1_method_name(enum http1_method m);
/* RFC 9110 section 9.2.2: repeating the request has the effect of sending it once. */
bool http1_method_idempotent(enum http1_method m);
/* "Not Found" for 404; "Unknown" for a code without a registered phrase. */
const char *http1_reason(unsigned status);

/* Incremental decoder of a chunked body. Zero it before the first byte. */
struct http1_chunked {
	uint8_t state;
	uint8_t digits;
	uint8_t name_n;     /* bytes of name; more than fit: no name that matters */
	char name[21];      /* of the trailer field that is being read */
	uint64_t left;      /* bytes left in the current chunk */
	uint32_t line_size; /* of the chunk line or trailer section so far; limited */
	uint64_t total;     /* data bytes so far */
};

struct http1_span {
	enum http1_result result; /* MORE: p used up; DONE: the last CRLF was read; BAD */
	size_t used;              /* bytes of p consumed by this call */
	struct hg_str data;       /* payload within p, possibly empty; call again with the rest
	                             until result is not MORE or used == p.n with no data */
	struct hg_str trailer; /* whole or part of the trailer section: field lines with their CRLF,
	                          and after the last one the CR LF that ends it all */
};

/*
 * Consumes from `p` up to the end of the next run of payload. Extensions are accepted and
 * ignored up to 256 bytes a line; trailers are checked like fields, limited to 8 KiB, and
 * skipped; fields that frame, route or identify a message are BAD there (RFC 9110 section 6.5.1). A
 * proxy that relays chunked bodies unchanged forwards the `used` bytes themselves.
 */
struct http1_span http1_chunked_next(struct http1_chunked *c, struct hg_str p);

#endif
