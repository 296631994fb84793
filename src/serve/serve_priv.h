/* Inside of the HTTP server: connections and the calls on them. */
#ifndef SERVE_SERVE_PRIV_H
#define SERVE_SERVE_PRIV_H

#include "serve/serve.h"

#include "wire/date.h"

#define CALL_MAGIC      0x5e4ca11eu
#define LISTENERS_MAX   8
#define READ_BYTES      8192u
#define KEEP_BYTES      (64u << 10) /* buffers larger than this are not kept for the next request */
#define BATCH_BYTES     (64u << 10) /* answers to pipelined requests are gathered up to here */
#define STREAM_HIGH     (256u << 10) /* serve_write says false above, */
#define STREAM_LOW      (64u << 10)  /* and `writable` is called below */
#define OUT_MAX         (64u << 20)
#define FIELD_BYTES_MAX (64u << 10)
#define LINGER_MS       2000
#define LINGER_BYTES    (1u << 20)
#define ROOMS_SPARE_MAX 64 /* rooms that wait for the next request */
#define ACCEPTS_A_TURN  64
#define ROUNDS_A_TURN   8

enum conn_state {
	CONN_FREE,
	CONN_HEAD,   /* reads a head, or idle between requests */
	CONN_BODY,   /* reads the body */
	CONN_BUSY,   /* the handler has the call */
	CONN_FLUSH,  /* the answer is complete and being written */
	CONN_LINGER, /* answered and closed for writing; discards what the client still sends,
	                because closing now would make the kernel reset the connection and lose the
	                answer */
	CONN_STATES
};

/* What a request needs from its first byte to the last of its answer. An idle connection has none,
 * so that ten thousand of them cost what their sockets cost. */
struct serve_room {
	struct serve_room *next; /* of s->spare */
	struct hg_buf in, out, fields, path;
	struct http1_head head;
};

/* One connection and the one request on it that is being answered. */
struct serve_call {
	uint32_t magic;
	enum conn_state state;
	struct serve *s;
	struct hg_list node; /* of s->live or s->free */
	struct loop_io io;
	uint32_t interest;
	struct loop_timer timer;
	uint64_t timer_at_ms, deadline_ms; /* 0: none */
	struct loop_task task;

	struct serve_room *room; /* NULL: nothing was received, and nothing is to be sent */
	size_t in_at, seen; /* start of the current request in `in`; bytes of it already parsed */
	size_t out_at;      /* bytes of `out` already written */
	const char *head_base; /* where `in` was when the head was parsed */
	size_t body_n, raw_at; /* decoded body so far; first byte of `in` not decoded yet */
	struct http1_chunked chunked;
	uint64_t lingered;

	/* Of the connection. */
	uint32_t requests;
	bool eof, broken, running, linger;
	bool early; /* the client sends more while its request is being answered */
	/* Of the call. */
	bool later, streaming, stream_chunked, want_writable, mute, keep;
	bool waiting; /* gone is to be told */
	bool told;    /* done was */
	unsigned status;
	uint64_t sent_bytes;
	void (*writable)(void *arg);
	void (*gone)(void *arg);
	void *arg;

	struct serve_request req;
};

struct serve {
	struct loop *l;
	struct serve_options o;
	struct http1_limits lim;
	struct serve_listener {
		struct loop_io io;
		struct serve *s;
		uint32_t tag;
		int fd;
	} listener[LISTENERS_MAX];
	uint32_t listener_count;
	struct loop_timer accept_again;
	struct serve_call *pool;
	uint32_t pool_used; /* slots that were ever used */
	struct serve_room *spare;
	uint32_t spare_count;
	struct hg_list live, free;
	uint32_t live_count;
	uint64_t calls; /* so far */
	bool draining, drain_told;
	struct loop_timer drain_timer;
	struct loop_task drain_task;
	void (*drained)(void *arg);
	void *drained_arg;
	uint64_t date_until_ns, date_s;
	char date[DATE_HTTP_SIZE];
};

/* conn.c */
void conn_open(struct serve *s, int fd, const struct sock_addr *peer, uint32_t tag);
/* Tells gone and done what they have to know, and gives the slot back. */
void conn_close(struct serve_call *c);
/* Goes on until it has to wait. The call may be closed afterwards. */
void conn_run(struct serve_call *c);
/* The same at the end of this turn; nothing when conn_run is at work already. */
void conn_run_later(struct serve_call *c);
void conn_move(struct serve_call *c, enum conn_state to);
void room_free(struct serve_room *r);
/* Writes what is buffered; sets `broken` when the client is lost. */
void conn_flush(struct serve_call *c);

/* Bytes that were received and not yet answered. */
static inline size_t conn_unread(const struct serve_call *c)
{
	return c->room ? c->room->in.n - c->in_at : 0;
}

static inline size_t conn_pending(const struct serve_call *c)
{
	return c->room ? c->room->out.n - c->out_at : 0;
}

/* request.c: reads heads and bodies. False: more bytes are needed. */
bool request_head(struct serve_call *c);
bool request_body(struct serve_call *c);
void request_dispatch(struct serve_call *c);
/* A deadline passed while the head or the body was read: 408. */
void request_late(struct serve_call *c);

/* answer.c: the answer serve gives itself; the connection closes after it. */
void answer_error(struct serve_call *c, unsigned status, const char *what);

/* serve.c */
void serve_conn_gone(struct serve *s);

#endif
