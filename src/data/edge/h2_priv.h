/*
 * HTTP/2 between clients and the edge (RFC 9113), by nghttp2. What is what:
 *   session  a client connection that agreed on h2: its edge_conn carries it (state EDGE_QUIET
 *            without streams, EDGE_SESSION with some) and owns socket, TLS and timer
 *   stream   one request: an edge_conn without a socket. Its head is written as HTTP/1.1 text and
 *            read by the parser that reads everybody's, so that no header list reaches a replica
 *            that could not have come by HTTP/1.1; routing, limits, retries, trials and rescue do
 *            not know that it is one
 * Frames are taken and made in edge_h2_step only; streams are driven after the callbacks of
 * nghttp2, never from within.
 */
#ifndef DATA_EDGE_H2_PRIV_H
#define DATA_EDGE_H2_PRIV_H

#include <nghttp2/nghttp2.h>

#include "data/edge/edge_priv.h"

#define EDGE_H2_STREAMS        128u           /* at a time, where the snapshot says nothing */
#define EDGE_H2_WINDOW         (256u * 1024)  /* of a request body that nobody has taken yet */
#define EDGE_H2_SESSION_WINDOW (1024u * 1024) /* … of all streams of a session */
#define EDGE_H2_TRAILERS_MAX   4096u          /* bytes of a request's trailers */
#define EDGE_H2_HEAD_EXCESS    65536u /* a header list this much too large ends the session */
#define EDGE_H2_GOAWAY_MS      500u   /* between "no more, please" and the last word */
/* A window, a buffer that is partly used at its start, and trailers. */
#define EDGE_H2_RX_BUFS (EDGE_H2_WINDOW / EDGE_BUF_SIZE + 2)

/* ---- what a client may do for nothing (h2_guard.c): pure ---- */

#define EDGE_H2_RESETS      100u  /* requests that come to nothing, at first */
#define EDGE_H2_RESETS_MAX  1000u /* … saved up by those that were answered, one each */
#define EDGE_H2_NOISE       1000u /* frames a second that move nothing */
#define EDGE_H2_NOISE_BYTES 64u   /* … count as one, in frames of kinds that nobody knows */

struct edge_h2_guard {
	uint32_t resets_left, noise;
	uint64_t second;
};

void edge_h2_guard_init(struct edge_h2_guard *g);
/* Frames came, or bytes worth as many; false: too many that moved nothing. */
HG_MUST bool edge_h2_guard_frames(struct edge_h2_guard *g, uint32_t n, uint64_t now_ms);
/* A request or bytes of a body moved, one way or the other. */
void edge_h2_guard_moved(struct edge_h2_guard *g);
void edge_h2_guard_answered(struct edge_h2_guard *g);
/* The client gave up a request, or made us do so; false: too often. */
HG_MUST bool edge_h2_guard_reset(struct edge_h2_guard *g);

/* ---- sessions (h2.c) ---- */

enum edge_h2_end {
	EDGE_H2_OPEN,
	EDGE_H2_NOTICE, /* told not to begin new requests; those on their way are served */
	EDGE_H2_LAST,   /* told which request was the last one */
};

struct edge_h2 {
	struct edge_conn *conn;
	nghttp2_session *ng;
	struct hg_list streams; /* all */
	struct hg_list ready;   /* those that are to be driven */
	uint32_t stream_n;
	uint8_t end; /* enum edge_h2_end */
	bool busy;   /* in edge_h2_step: output follows by itself */
	bool full;   /* nghttp2 has more than `out` takes */
	bool calmed; /* it was told to be calm: the session ends */
	char *out;   /* frames on their way; NULL: none */
	uint32_t out_at, out_n;
	uint64_t head_ms;   /* since when a header block is incomplete; 0: none is */
	uint32_t stray;     /* bytes of a header list that is nobody's */
	uint64_t goaway_ms; /* when EDGE_H2_NOTICE becomes EDGE_H2_LAST */
	struct edge_h2_guard guard;
	/* h2_mem.c */
	bool making;
	uint8_t desk_n;           /* pages of the desk given out */
	uint8_t clean, clean_n;   /* of them, the table of streams: the first, how many */
	uint8_t frames, frames_n; /* … the buffer for frames */
	uint32_t row_n;
	uint64_t stepped_ms;     /* when it last did anything */
	struct hg_list warm;     /* of edge.h2_warm: the desk has pages */
	char *desk;              /* EDGE_H2_DESK bytes: what a session without streams needs not */
	_Alignas(16) char row[]; /* EDGE_H2_ROW bytes */
};

#define EDGE_H2_SIZE 5248u /* of a session without its desk */
#define EDGE_H2_ROW  (EDGE_H2_SIZE - (uint32_t)sizeof(struct edge_h2))
#define EDGE_H2_DESK 24576u

/* Makes h->ng, within the row and h->desk; false: no memory. */
HG_MUST bool edge_h2_ng_make(struct edge_h2 *h);
/* It does something now. */
void edge_h2_desk_warm(struct edge_h2 *h);

enum edge_h2_pseudo {
	EDGE_H2_METHOD,
	EDGE_H2_SCHEME,
	EDGE_H2_AUTHORITY,
	EDGE_H2_PATH,
	EDGE_H2_PROTOCOL,
	EDGE_H2_PSEUDOS
};

struct edge_h2_stream {
	struct edge_conn conn; /* first: edge_h2_stream_of */
	struct hg_list node, ready;
	int32_t id;
	/* head */
	uint32_t head_size;  /* of the header list, as RFC 9113 section 10.5.1 counts */
	uint32_t cookie_end; /* in conn.in: where the next crumb goes; 0: none yet */
	uint16_t field_n;
	struct {
		uint16_t at, n;
	} pseudo[EDGE_H2_PSEUDOS]; /* in conn.in */
	bool lined;                /* the request line is written */
	bool complete;             /* the header list has ended */
	bool begun;                /* … and was looked at */
	bool has_length, host_seen, malformed, too_large;
	bool ws;             /* CONNECT with :protocol websocket */
	bool other_protocol; /* … with another one */
	char ws_key[24];     /* what the replica has to prove that it saw */
	/* body */
	char *rx[EDGE_H2_RX_BUFS];
	uint32_t rx_at, rx_n;     /* bytes of the body from rx[0] + rx_at on */
	uint32_t trailer_n;       /* bytes of trailers behind them, as field lines */
	bool rx_end, rx_end_said; /* the client has ended; the replica was told */
	bool starved;             /* no buffer for what came */
	/* response */
	bool head_sent; /* the final one was handed to nghttp2 */
	bool done;      /* nghttp2 has all of it */
	bool gone;      /* nghttp2 does not know it any more */
	bool refused;   /* nothing of it was processed */
	uint32_t code;  /* what the replica gave it up with, to be said again; 0: nothing */
};

static inline struct edge_h2_stream *edge_h2_stream_of(struct edge_conn *c)
{
	HG_ASSERT(c->stream);
	return HG_CONTAINER(c, struct edge_h2_stream, conn);
}

static inline struct edge_h2_stream *edge_h2_find(nghttp2_session *ng, int32_t id)
{
	return nghttp2_session_get_stream_user_data(ng, id);
}

/* Output is made at the end of this turn, or by the step that runs. */
void edge_h2_wake(struct edge_h2 *h);
/* The client has used up its patience: GOAWAY with ENHANCE_YOUR_CALM. */
void edge_h2_calm(struct edge_h2 *h);

/* ---- streams (h2_stream.c) ---- */

/* NULL: no room; it was refused. */
struct edge_h2_stream *edge_h2_stream_new(struct edge_h2 *h, int32_t id);
void edge_h2_stream_ready(struct edge_h2_stream *s);
/* What a ready stream has to do. */
void edge_h2_stream_drive(struct edge_h2_stream *s);
/* Bytes of the request's body; false: no buffer. */
bool edge_h2_rx_add(struct edge_h2_stream *s, const uint8_t *p, size_t n);
/* A piece of the request's trailers; false: no buffer. */
bool edge_h2_rx_trailer(struct edge_h2_stream *s, struct hg_str text);
/* nghttp2 has sent the last of the response. */
void edge_h2_stream_done(struct edge_h2_stream *s);
/* Bytes of the response's body that can be sent; whether nothing follows them. */
uint32_t edge_h2_tx_ready(const struct edge_conn *c, bool *ret_end);
/* Moves n of them to `to`. */
void edge_h2_tx_take(struct edge_conn *c, char *to, uint32_t n);

/* ---- WebSocket (h2_ws.c) ---- */

#define EDGE_H2_WS_KEY   24
#define EDGE_H2_WS_PROOF 28
void edge_h2_ws_key(struct edge_h2_stream *s);
/* What Sec-WebSocket-Accept says to a key; false: it cannot be computed. */
bool edge_h2_ws_prove(const char key[EDGE_H2_WS_KEY], char ret_accept[EDGE_H2_WS_PROOF]);

/* ---- heads (h2_head.c) ---- */

/* One field of a request's header list, or of its trailers. */
void edge_h2_head_field(struct edge_h2_stream *s, struct hg_str name, struct hg_str value);
void edge_h2_trailer_field(struct edge_h2_stream *s, struct hg_str name, struct hg_str value);
/* The text of the head becomes whole; false: malformed. */
HG_MUST bool edge_h2_head_end(struct edge_h2_stream *s);
/* Hands the heads in r->co to nghttp2; false: it takes no more. */
HG_MUST bool edge_h2_head_send(struct edge_h2_stream *s, const nghttp2_data_provider *body);
/* The trailers behind the response's body; false: there are none to send. */
bool edge_h2_trailers_send(struct edge_h2_stream *s);
/* Must it not come behind a body, or does it mean nothing there (RFC 9110 section 6.5.1)? Where
 * trailers are written anew it can be left out. */
bool edge_h2_trailer_banned(struct hg_str name);
/* Takes a line "name: value" CRLF off p; false: there is none, or it is the empty one. */
bool edge_h2_line_next(struct hg_str *p, struct hg_str *ret_name, struct hg_str *ret_value);

#endif
