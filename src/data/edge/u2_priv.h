/*
 * HTTP/2 between the edge and replicas (RFC 9113), by nghttp2. What is what:
 *   session  a connection to a replica that speaks HTTP/2: an edge_up carries it (its socket, its
 *            timer), many requests share it; belongs to its endpoint while it takes requests
 *   stream   one request on it: an edge_up without a socket. What is written to it is a request as
 *            HTTP/1.1 has it, what is read from it a response as HTTP/1.1 has it, so that retries,
 *            trials, rescue, mirrors and both kinds of clients do not know that it is one, and
 *            what a replica answers is read by the parser that reads every replica's answer
 * Frames are taken and made in one place, step() in u2.c; connections of clients are driven there
 * and after the callbacks of nghttp2, never from within.
 *
 * Windows: the session's is given back as bytes come, a stream's as its client takes them. One slow
 * client holds EDGE_U2_WINDOW bytes here and nobody else up.
 */
#ifndef DATA_EDGE_U2_PRIV_H
#define DATA_EDGE_U2_PRIV_H

#include <nghttp2/nghttp2.h>

#include "data/edge/edge_priv.h"
#include "data/edge/h2_priv.h"

#define EDGE_U2_MAGIC          0xed6e0012u
#define EDGE_U2_SESSIONS       64u  /* connections to one replica, per worker */
#define EDGE_U2_STREAMS        256u /* requests at a time on one of them; more open another */
#define EDGE_U2_STREAMS_BEFORE 100u /* … before the replica has said how many it takes */
#define EDGE_U2_WINDOW         131072u
#define EDGE_U2_SESSION_WINDOW (1 << 30)
#define EDGE_U2_TRAILERS_MAX   8192u  /* bytes of a request's trailers, as field lines */
#define EDGE_U2_IDLE_ASK_MS    10000u /* silent for so long: asked by PING before it is used */
#define EDGE_U2_ASK_MS         500u   /* … and given up without an answer by then */
#define EDGE_U2_HEAD_MS        10000u /* a header block that does not end */
#define EDGE_U2_ID_LAST        0x7fffff00
/* A window and what stands around it: a buffer that holds a head, one that is partly taken, and
 * trailers. */
#define EDGE_U2_RX_BUFS (EDGE_U2_WINDOW / EDGE_BUF_SIZE + 4)

enum edge_u2_state {
	EDGE_U2_CONNECTING,
	EDGE_U2_OPEN,
	EDGE_U2_ASKED, /* a PING is out: requests wait for its answer */
};

struct edge_u2 {
	uint32_t magic;
	uint8_t state; /* enum edge_u2_state */
	bool leaving;  /* takes no new requests; ends with the last one */
	bool over;     /* to be closed by the step */
	bool busy;     /* in the step: output follows by itself */
	bool settled;  /* the replica's SETTINGS came */
	bool tunnels;  /* … and allow extended CONNECT (RFC 8441) */
	bool goaway;
	bool data_seen; /* in what was read last */
	bool full;      /* nghttp2 has more than `out` takes */
	uint16_t slot;
	uint32_t stream_n, most; /* streams, and how many it takes */
	struct edge *edge;
	struct edge_up *carrier;
	nghttp2_session *ng;
	struct hg_list node; /* of edge_ep.sessions, or edge.u2_leaving */
	struct hg_list streams, ready;
	struct loop_task task;
	struct edge_flow in;
	char *out;
	uint32_t out_at, out_n;
	uint32_t owed; /* bytes that may still come for streams that were given up */
	uint64_t read_ms, ask_ms, idle_ms, stuck_ms;
	uint64_t head_ms; /* since when a header block is incomplete; 0: none is */
	uint32_t stray;   /* bytes of a header list that is nobody's */
	struct edge_h2_guard guard;
};

/* Part of a response, as HTTP/1.1 text. */
struct edge_u2_buf {
	char *p;
	uint32_t n;
	uint32_t chunk; /* where the chunk that is open begins */
	uint32_t paid;  /* bytes of it that the stream's window is owed */
	bool open;
};

struct edge_u2_stream {
	struct edge_up up;       /* first: edge_up.stream points here */
	struct edge_u2 *session; /* NULL: it is gone */
	struct hg_list node, ready;
	int32_t id;
	/* request */
	bool submitted; /* handed to nghttp2 */
	bool sent;      /* … and its HEADERS went out */
	bool tunnel;    /* it asks for a WebSocket */
	bool is_head, is_grpc;
	bool tx_end; /* all of it is in `tx` */
	enum http1_body kind;
	uint64_t left;
	struct http1_chunked chunked;
	char *tx;                        /* of its body; NULL: nothing */
	uint32_t tx_at, tx_n, trailer_n; /* bytes from tx_at on, and trailers behind them */
	char ws_key[EDGE_H2_WS_KEY];
	/* response */
	uint16_t status;     /* of the head that is being read */
	bool begun;          /* a head of it came */
	bool final;          /* its final head is whole */
	bool length, framed; /* it has Content-Length; its body is chunked */
	bool ended;          /* all of it came */
	bool gone;           /* nghttp2 does not know the stream any more */
	bool reset;          /* … and it did not end */
	bool refused;        /* nothing of the request was processed */
	bool stale;          /* … because the connection was on its way out, or had ended */
	bool bad;            /* what came was no response */
	bool told;           /* RST_STREAM is on its way */
	bool starved;        /* no buffer for what came */
	bool grpc, grpc_said;
	uint8_t grpc_status;
	uint32_t code; /* of `reset` */
	uint32_t head_size;
	struct edge_u2_buf rx[EDGE_U2_RX_BUFS];
	uint32_t rx_n, rx_at; /* buffers; bytes of the first that were taken */
};

/* ---- sessions (u2.c) ---- */

/* Output is made at the end of this turn, or by the step that runs. */
void edge_u2_wake(struct edge_u2 *h);
void edge_u2_stream_ready(struct edge_u2_stream *s);
/* Requests may be written to it from now on; it takes no new ones. */
void edge_u2_open(struct edge_u2 *h);
void edge_u2_leave(struct edge_u2 *h);
/* The replica has used up its patience: GOAWAY with ENHANCE_YOUR_CALM. */
void edge_u2_calm(struct edge_u2 *h);

/* ---- what nghttp2 tells and asks (u2_frames.c) ---- */

/* h->ng, with our SETTINGS on their way; false: no memory. */
HG_MUST bool edge_u2_ng_make(struct edge_u2 *h);
/* Nothing more will come of it. */
void edge_u2_stream_lost(struct edge_u2_stream *s, uint32_t code);

/* ---- streams (u2_stream.c) ---- */

/* NULL: the pool is used up. */
struct edge_u2_stream *edge_u2_stream_new(struct edge_u2 *h, bool reused);
/* Text of the response; bytes of its body; its end. */
void edge_u2_rx_text(struct edge_u2_stream *s, struct hg_str text);
void edge_u2_rx_data(struct edge_u2_stream *s, const char *p, size_t n);
void edge_u2_rx_end(struct edge_u2_stream *s);
/* Ends the chunk that is open. */
void edge_u2_rx_close(struct edge_u2_stream *s);
ssize_t edge_u2_on_pull(nghttp2_session *ng, int32_t id, uint8_t *to, size_t cap, uint32_t *flags,
        nghttp2_data_source *source, void *arg);
/* Moves n bytes of the request's body to `to`. */
void edge_u2_tx_take(struct edge_u2_stream *s, char *to, uint32_t n);

/* ---- heads (u2_head.c) ---- */

/* A whole request head as text: handed to nghttp2. 0, or -errno. */
int edge_u2_head_submit(struct edge_u2_stream *s, struct hg_str head);
/* The request's trailers: handed to nghttp2; false: there are none. */
bool edge_u2_trailers_submit(struct edge_u2_stream *s);
void edge_u2_head_begin(struct edge_u2_stream *s);
/* One field of a response's header list, or of its trailers. */
void edge_u2_head_field(struct edge_u2_stream *s, struct hg_str name, struct hg_str value);
void edge_u2_head_end(struct edge_u2_stream *s, bool end);

#endif
