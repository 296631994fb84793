/*
 * The HTTP server side for request/response programs: Headgate's own API and the Feedback App.
 * (The edge relays; it has its own connections over wire/http1 and shares only the parser.)
 *
 * One loop, one thread. It owns connections from fixed pools (full: 503 and close), reads a whole
 * request (head limit, body limit, a deadline for each phase), calls the handler once, writes the
 * answer with correct framing, keeps the connection alive and answers pipelined requests in order.
 * Handlers answer at once, later (serve_later) or bit by bit (serve_stream). HEAD, Content-Length,
 * Date, Connection and 100-continue are its business, not the handler's.
 * Callbacks are never called from inside a serve_* function, but for those of serve_free, which may
 * not be called from a callback. An answer is limited to 64 MiB.
 */
#ifndef SERVE_SERVE_H
#define SERVE_SERVE_H

#include "base/buf.h"
#include "os/loop.h"
#include "os/sock.h"
#include "wire/http1.h"

struct hg_embed;
struct serve;
struct serve_call; /* one request being answered; valid until it is finished or aborted */

struct serve_request {
	const struct http1_head *head; /* fields; valid until the call is finished */
	enum http1_method method;
	struct hg_str path;  /* percent-decoded, "." and ".." resolved; starts with "/"
	                        (but is "*" for OPTIONS *) */
	struct hg_str query; /* raw */
	struct hg_str body;  /* whole, de-chunked */
	struct sock_addr peer;
	uint32_t peer_uid;   /* unix sockets: SO_PEERCRED; UINT32_MAX otherwise */
	uint32_t listener;   /* tag given to serve_listen */
	uint64_t started_ns; /* first byte read, monotonic */
	uint64_t id;         /* no other request of this server has it; from 1 */
	int64_t note[2];     /* the handler's, for `done` (serve_note); 0 at first */
};

struct serve_options {
	const char *name;         /* for logs and the Server field, static */
	uint32_t connections_max; /* 0: 1024 */
	uint32_t body_max;        /* 0: 1 MiB; more is 413 */
	uint32_t header_ms, body_ms, keepalive_ms, write_ms; /* 0: 10 s, 30 s, 60 s, 30 s */
	void (*handle)(void *arg, struct serve_call *call, const struct serve_request *req);
	/* Optional, once a call: after the last byte of an answer was written, or the client went
	 * away (status 0: before there was an answer). Setting it costs pipelining clients one
	 * write for each answer. */
	void (*done)(void *arg, const struct serve_request *req, unsigned status, uint64_t bytes,
	        uint64_t duration_ns);
	/* Optional: writes the body of answers serve makes itself (400, 404, 408, 413, 431, 503 …).
	 */
	void (*error_body)(void *arg, unsigned status, const char *what, struct hg_buf *body,
	        const char **ret_content_type);
	void *arg;
};

HG_MUST enum hg_rc serve_new(
        struct loop *l, const struct serve_options *o, struct serve **ret_serve);
/* Closes listeners it was given? No: descriptors of listeners stay the caller's. */
void serve_free(struct serve *s);
HG_MUST enum hg_rc serve_listen(struct serve *s, int listen_fd, uint32_t tag);
/* Stops accepting, closes idle connections, answers what is in flight with Connection: close;
 * calls `drained` when none is left or `within_ms` is over. */
void serve_drain(struct serve *s, uint32_t within_ms, void (*drained)(void *arg), void *arg);
uint32_t serve_connections(const struct serve *s);

/* Adds a response field; name and value are copied. Before serve_answer or serve_stream. */
void serve_field(struct serve_call *c, const char *name, struct hg_str value);
/* Two numbers that `done` finds in the request. Before the call is over. */
void serve_note(struct serve_call *c, int64_t first, int64_t second);
/* The whole answer. `content_type` may be NULL when there is no body. The call is over. */
void serve_answer(
        struct serve_call *c, unsigned status, const char *content_type, struct hg_str body);

/* A problem (RFC 9457) with the code of `rc`; `detail` may be cut. The call is over. */
void serve_problem(struct serve_call *c, unsigned status, enum hg_rc rc, const char *detail);

/* Closes the connection without an answer, or in the middle of one; `done` is told status 0. The
 * call is over. */
void serve_abort(struct serve_call *c);

/* Not now: returns the call for later; `gone` is told when the client leaves first (then the
 * call is invalid). */
void serve_later(struct serve_call *c, void (*gone)(void *arg), void *arg);

/* Starts an answer of unknown length (chunked, or until close for HTTP/1.0). `writable` is called
 * whenever the socket has room again after serve_write returned false; `gone` when it is lost. */
void serve_stream(struct serve_call *c, unsigned status, const char *content_type,
        void (*writable)(void *arg), void (*gone)(void *arg), void *arg);
/* Copies into the connection's buffer. False: buffered bytes are over 256 KiB, wait for `writable`.
 */
bool serve_write(struct serve_call *c, struct hg_str bytes);
void serve_end(struct serve_call *c);

/*
 * What a list field such as Accept or Accept-Encoding says of `what` by its name: true when it is
 * there and not refused by q=0. Wildcards stand for nothing.
 */
bool serve_accepts(const struct serve_request *req, enum http1_field_id field, struct hg_str what);
/* Does the client have this entity tag (If-None-Match)? Compared weakly (RFC 9110, 13.1.2). */
bool serve_unchanged(const struct serve_request *req, struct hg_str etag);
/*
 * A file of the program: compressed as it is stored when the client takes gzip, 304 when it has it,
 * with ETag, Vary, nosniff and `cache` as Cache-Control. The call is over.
 */
void serve_file(struct serve_call *c, const struct serve_request *req, const struct hg_embed *f,
        struct hg_str cache);

/* Query and form helpers: decoded value of a parameter into `to`; false when absent or too long. */
bool serve_query(struct hg_str query, const char *name, char *to, size_t cap);

#endif
