/*
 * Inside the edge. Who owns what:
 *   edge   one worker: pools, current image, endpoints, timers
 *   conn   a client connection; owns bytes received (in) and its request, if one is in progress
 *   req    one request; owns its rebuilt head (uo), the kept body (keep), the response (rf, co),
 *          a reference to its image and, while an attempt runs, the upstream connection
 *   up     an upstream connection; attached to a conn or a mirror, or idle in the list of its
 *          endpoint
 *   mirror a copy of a request on its way to the release under trial (mirror_priv.h)
 * A conn changes state only in conn_move, and moves forward only in conn_drive.
 */
#ifndef DATA_EDGE_EDGE_PRIV_H
#define DATA_EDGE_EDGE_PRIV_H

#include "base/buf.h"
#include "base/list.h"
#include "base/rand.h"
#include "data/edge/edge.h"
#include "os/sock.h"
#include "os/tls.h"
#include "os/tls_client.h"
#include "os/tls_remote.h"
#include "data/edge/balance_priv.h"
#include "data/edge/limit_priv.h"
#include "data/edge/pool_priv.h"
#include "data/edge/trial_priv.h"
#include "data/edge/tries_priv.h"
#include "wire/http1.h"
#include "wire/jsondiff.h"
#include "wire/origin.h"

#define EDGE_BUF_SIZE       32768u
#define EDGE_HEAD_SPARE     1536u /* what a head may grow by: forwarding and trace fields */
#define EDGE_KEEP_SIZE      65536u
#define EDGE_KEEPS          512u
#define EDGE_CONNS          16384u
#define EDGE_BUFS           4096u
#define EDGE_APPS           (2 * SNAP_APPS_MAX)
#define EDGE_ACCEPT_BATCH   16
#define EDGE_TURN_BYTES     (512u * 1024) /* one connection's share of a loop turn */
#define EDGE_TABLE_MS       500 /* without traffic, how late a draining replica is noticed */
#define EDGE_UP_IDLE_MS     60000u
#define EDGE_UP_IDLE_MAX    256u   /* idle connections per endpoint */
#define EDGE_LOOSE_MS       60000u /* so long a replica that spoke unasked has new ones only */
#define EDGE_TUNNEL_IDLE_MS 3600000u
#define EDGE_SILENT_MS      100u
#define EDGE_LAG_MS         1000u /* a body that does not begin makes room after that */
#define EDGE_LAG_LOOKS      64
#define EDGE_LINGER_MS      2000u
#define EDGE_LINGER_BYTES   (1024u * 1024)
#define EDGE_STALL_MS       30000u /* a client that does not take its answer */
#define EDGE_JOIN_MAX       2048u  /* a body start this small is copied behind its head */
#define EDGE_INTERIM_MAX    16     /* 1xx responses before the final one */
#define EDGE_TRIED_MAX      8
#define EDGE_MIRRORS        32u /* copies at a time: 5.6 MiB at most, touched when used */

#define EDGE_MAGIC      0xed6e0001u
#define EDGE_CONN_MAGIC 0xed6e0002u
#define EDGE_UP_MAGIC   0xed6e0003u

struct edge_conn;
struct cert_token;
struct cert_remotes;
struct auth_identity;
struct auth_provider;
struct auth_providers;
struct hg_log;
struct edge_up;
struct edge_app;
struct edge_mirror;
struct edge_ask;
struct edge_together;
struct edge_h2;
struct edge_u2;
struct edge_u2_stream;
struct nghttp2_option;
struct nghttp2_session_callbacks;

/* ---- timers (timer.c): one deadline an object, moved lazily ---- */

enum edge_timer_owner { EDGE_TIMER_CONN, EDGE_TIMER_UP, EDGE_TIMER_MIRROR };

struct edge_timer {
	struct hg_list node;
	uint64_t deadline_ms;   /* 0: off */
	uint64_t fires_ms : 56; /* when the wheel will look at it */
	uint64_t owner : 8;     /* enum edge_timer_owner */
};

#define EDGE_WHEEL_SLOTS   1024u
#define EDGE_WHEEL_TICK_MS 32u

struct edge_wheel {
	struct hg_list slot[EDGE_WHEEL_SLOTS];
	uint64_t tick; /* the last one that was run */
	uint64_t wake_ms;
	struct loop_timer timer;
};

void edge_wheel_init(struct edge *e);
void edge_wheel_fini(struct edge *e);
void edge_timer_set(struct edge *e, struct edge_timer *t, uint64_t deadline_ms);
void edge_timer_off(struct edge_timer *t);

/* ---- bytes on their way (flow.c) ---- */

/* [at, ready) may be sent; [raw, n) was received and not looked at. at ≤ ready ≤ raw ≤ n. The
 * `kept` bytes after ready are the trailers of a body whose framing asks for them. */
struct edge_flow {
	char *buf;
	uint32_t at, ready, raw, n, kept;
};

struct edge_framing {
	enum http1_body kind;
	bool done;
	bool dechunk;  /* forward the data only: the receiver speaks HTTP/1.0, or HTTP/2 */
	bool trailers; /* … and keep the trailers */
	uint64_t left;
	uint64_t total; /* payload bytes so far */
	struct http1_chunked chunked;
};

static inline uint32_t edge_flow_ready(const struct edge_flow *f)
{
	return f->ready - f->at;
}

/* Bytes read, 0 at the end, -EAGAIN, -ENOBUFS when no buffer is free or it is full, -errno. */
ssize_t edge_flow_read(
        struct edge *e, struct edge_flow *f, int fd, struct tls *tls, uint32_t *flags);
/* Extends `ready` by what belongs to the body; false when the framing is violated. */
bool edge_flow_frame(struct edge_flow *f, struct edge_framing *fr);
/* Gives the buffer back when nothing is in it. */
void edge_flow_trim(struct edge *e, struct edge_flow *f);
void edge_flow_drop(struct edge *e, struct edge_flow *f);
/* A buffer of EDGE_BUF_SIZE for edge.bufs; NULL: all are in use, and by nobody who must give way:
 * connections whose head or body does not come are closed first, never the one driven (room.c). */
char *edge_buf_take(struct edge *e);
/* Moves what is left to the start of the buffer. */
void edge_flow_compact(struct edge_flow *f);

/* What was received and not passed on. */
static inline struct hg_str edge_flow_seen(const struct edge_flow *f)
{
	return f->buf ? (struct hg_str){f->buf + f->at, f->n - f->at} : (struct hg_str){NULL, 0};
}

/* Socket flags, kept from edge-triggered events. */
#define EDGE_CAN_READ  1u
#define EDGE_CAN_WRITE 2u
#define EDGE_HUP       4u  /* the peer has stopped sending: read until 0 */
#define EDGE_DEAD      8u  /* reset, or both directions shut */
#define EDGE_EOF       16u /* 0 was read, or an error */
#define EDGE_RESET     32u /* an error was read */

struct edge_piece {
	const char *p;
	size_t n;
};
/* Bytes [at, end) of a buffer, which may be NULL when there are none. */
static inline struct edge_piece edge_piece_of(const char *buf, uint32_t at, uint32_t end)
{
	return end > at ? (struct edge_piece){buf + at, end - at} : (struct edge_piece){NULL, 0};
}
/* Up to four pieces; bytes sent, -EAGAIN (CAN_WRITE is cleared), -errno. `tls`: NULL: plain. */
ssize_t edge_send(
        int fd, struct tls *tls, const struct edge_piece *pieces, int count, uint32_t *flags);

/* ---- images and routes (route.c) ---- */

struct edge_host {
	struct hg_str name; /* without "*" for wildcards: ".example.com" */
	uint32_t id, path_max;
};

struct edge_index {
	struct edge_host *hosts; /* open addressing by name */
	uint32_t *paths;         /* open addressing by (host, path): route number + 1 */
	uint32_t host_mask, path_mask, host_count;
	uint32_t any; /* id of the host "" + 1, 0: none */
	uint32_t any_path_max;
	uint32_t *route_host; /* host id of each route */
	bool wildcards;
};

struct edge_image {
	const struct snap_image *snap;
	uint32_t refs;
	struct edge_index index;
	uint16_t *apps; /* by number in the image: number in edge.apps */
	struct http1_limits limits;
	struct hg_str via;
	struct tls_clients *clients; /* NULL: no route wants a certificate of its client */
	struct edge_asks *asks;      /* by number of the host; NULL likewise */
};

HG_MUST enum hg_rc edge_index_build(const struct snap_image *im, struct edge_index *ret_index);
void edge_index_fini(struct edge_index *x);
/* `host`: lower case, without port; NULL when no route fits. */
const struct snap_route *edge_route(const struct snap_image *im, const struct edge_index *x,
        struct hg_str host, struct hg_str path);
/* The number of an exact name or of ".x", UINT32_MAX: there is none. */
uint32_t edge_host_number(const struct edge_index *x, struct hg_str name);
/* "EXAMPLE.com.:80" → "example.com"; cap bounds the result, false when it is longer. */
bool edge_host_normal(struct hg_str authority, char *to, size_t cap, struct hg_str *ret_host);
/* Decodes unreserved characters and removes dot segments, as RFC 3986 section 6.2.2 says; the
 * result is for matching only. `to` has at least path.n bytes. */
struct hg_str edge_path_normal(struct hg_str path, char *to);

/* ---- endpoints (endpoint.c) ---- */

struct edge_ep {
	/* What a request looks at is one line of the cache: there may be a thousand of these. */
	_Alignas(64) uint32_t state;
	uint32_t release, replica, incarnation, weight;
	uint32_t proxy; /* version of the PROXY protocol it is told by, 0: none */
	uint16_t slot;
	bool known;
	bool http2;  /* it speaks HTTP/2 (u2_priv.h) */
	bool secure; /* … by TLS */
	uint8_t text_n;
	uint32_t idle_n;
	struct hg_list idle;     /* connections, last used first */
	struct hg_list sessions; /* of HTTP/2, those that take requests */
	uint32_t session_n;
	uint32_t fails;            /* in a row */
	uint32_t place;            /* in edge.slots, UINT32_MAX: nowhere */
	uint64_t ejected_until_ms; /* 0: not ejected */
	char text[SOCK_TEXT_MAX];  /* of addr, for the access log */
	struct sock_addr addr;
	uint32_t seq; /* of the slot when it was read */
	uint32_t app_id;
	uint32_t taken; /* requests sent to it as the release under trial */
	uint32_t outs;  /* times it was ejected without having been well between */
	bool outlier;   /* ejected as it differs from its peers: one answer changes nothing */
	uint64_t ejected_last_ms;    /* when it came back last, or will */
	uint64_t up_ms;              /* when this worker first saw this incarnation up */
	uint64_t warm_ms;            /* … and when it was last up again, or is no more ejected */
	uint64_t loose_until_ms;     /* it said more than it was asked for; 0: not lately */
	struct tls_session *session; /* of TLS, of the last connection; NULL: none */
	uint64_t said_ms;            /* when its failure of TLS was logged last, 0: never */
	uint32_t unsaid;             /* failures since */
};

/* Endpoints that a request may go to: a range of edge.slots. */
struct edge_set {
	uint32_t first, count;
	bool even;       /* all weights are equal */
	uint32_t ring_n; /* points of its ring, 0: not made yet */
	uint64_t weight_sum;
	uint64_t warm_first_ms, warm_last_ms; /* of its replicas, warm_ms */
};

struct edge_app {
	/* What a request looks at stands together, as in edge_ep. */
	_Alignas(64) uint32_t id;
	uint32_t refs;
	bool panic;         /* none is up: those that were and live are asked */
	uint32_t in_flight; /* of this worker */
	uint32_t waiting;   /* in its queues */
	struct edge_set all;
	uint64_t tokens_ppm, tokens_at_ms;
	struct edge_trial *trial;       /* in force, or NULL */
	struct edge_set arm[EDGE_ARMS]; /* with a trial: parts of `all` */
	uint32_t rescues;               /* in progress */
	struct concurrency concurrency;
	uint64_t dip_shown_ms,
	        dip_looked_ms; /* of it: what the other workers know; when they were asked */
	uint32_t awaited; /* requests that a replica has and not answered, while it is adaptive */
	struct breaker breaker;
	uint64_t breaker_rollout;                /* the trial that it knows of; 0: none */
	bool breaker_shown;                      /* the meter has its state */
	uint32_t turn[1 + EDGE_ARMS];            /* round robin: of all, of each arm */
	struct edge_queue *queue[1 + EDGE_ARMS]; /* made when first needed */
	struct tls_remote *secure;      /* how its replicas are spoken to by TLS; of edge.remotes */
	struct edge_hedges *hedges;     /* made when first needed */
	struct auth_provider *provider; /* how clients prove who they are; of edge.providers */
};

struct edge_app *edge_app_of(struct edge *e, uint32_t id); /* or NULL */

/* Reads the table again when it has changed: with every attempt, and while connections to replicas
 * are kept, from time to time, so that those to a draining one are closed. */
void edge_table_refresh(struct edge *e, bool force);
void edge_table_watch(struct edge *e);
/* A replica for one attempt, NULL when none is left. */
struct edge_ep *edge_pick(
        struct edge *e, const struct edge_set *set, const uint16_t *tried, int tried_n);
void edge_ep_good(struct edge_ep *ep);
void edge_ep_bad(
        struct edge *e, struct edge_ep *ep, struct edge_app *app, const struct snap_app *limits);
/* Is the application's limit on concurrent requests reached? */
bool edge_app_full(struct edge *e, const struct edge_app *app, const struct snap_app *limits);
/* One request earns its share of a retry; one retry takes a token. */
void edge_budget_earn(struct edge_app *app, const struct snap_app *limits, uint64_t now_ms);
HG_MUST bool edge_budget_take(struct edge_app *app);
/* Is there a token? */
bool edge_budget_has(const struct edge_app *app);
/* Parts of it, for balance.c: neither ejected nor tried; a random place by weight; another one, of
 * the same release where weights differ. */
bool edge_ep_usable(struct edge *e, uint16_t slot, const uint16_t *tried, int tried_n);
uint32_t edge_set_draw(struct edge *e, const struct edge_set *set);
uint32_t edge_set_rival(struct edge *e, const struct edge_set *set, uint32_t first);
/* Is there another replica among these that is not ejected? */
bool edge_other_usable(struct edge *e, const struct edge_set *among, uint16_t slot);

/* ---- upstream connections (upstream.c) ---- */

struct edge_up {
	uint32_t magic;
	uint32_t flags;
	struct loop_io io;
	struct edge *edge;
	struct edge_conn *conn;        /* all three NULL: idle */
	struct edge_mirror *mirror;    /* … */
	struct edge_hedge *hedge;      /* … */
	struct edge_u2 *session;       /* it carries requests of HTTP/2; NULL: it does not */
	struct edge_u2_stream *stream; /* it is one of them: no socket; NULL: it is not */
	struct hg_list node;
	struct edge_timer timer;
	uint64_t sent;        /* bytes ever, without what TLS adds */
	uint64_t sent_before; /* … with it, when this attempt began */
	uint32_t incarnation;
	uint16_t slot;
	bool connecting, reused, out_armed, unix_socket;
	bool secure;     /* the replica speaks TLS */
	struct tls *tls; /* NULL: plain, or before the handshake */
	uint64_t plain;  /* bytes sent before TLS */
	/* Told by the PROXY protocol whose it is: it serves nobody else. */
	uint8_t proxy;        /* version, 0: it is anybody's */
	struct hg_list owned; /* while idle: of edge_conn.own */
	struct ip_addr whose;
};

/* Reuses an idle connection or opens one; NULL and *ret_errno on failure. `fresh`: no reuse;
 * `probe`: an idle one is looked at first (for requests that must not be sent twice). */
struct edge_up *edge_up_get(
        struct edge *e, struct edge_ep *ep, bool fresh, bool probe, int *ret_errno);
void edge_up_close(struct edge_up *up);
/* A new one; NULL and *ret_errno. */
struct edge_up *edge_up_open(struct edge *e, struct edge_ep *ep, int *ret_errno);
/* 0: it is connected now; -EAGAIN: not yet; another -errno: it will not be. */
int edge_up_connect(struct edge_up *up);
/* Out of the list of its endpoint. */
void edge_up_wake(struct edge_up *up);
/* The replica said more on it than it was asked for: for a while none of its connections is used
 * twice. */
void edge_up_loose(const struct edge_up *up);
/* Has the replica neither closed it nor spoken without being asked? */
bool edge_up_quiet(struct edge_up *up);
/* Back into the list of its endpoint, or closed when that is gone or full. */
void edge_up_keep(struct edge_up *up);
/* Did the replica end the connection before it got any of this attempt's bytes? */
bool edge_up_untouched(const struct edge_up *up);
/* Unix sockets report writability only on demand. */
void edge_up_want_write(struct edge_up *up);

/* ---- requests ---- */

/* A client that must move so many bytes in so much time, or is too slow. */
struct edge_pace {
	uint64_t since_ms; /* 0: it is not waited for */
	uint64_t mark;     /* bytes moved by then */
};

struct edge_req {
	struct edge_image *image;
	const struct snap_route *route; /* NULL: answered before routing */
	const struct snap_app *limits;
	struct edge_app *app;
	struct edge_draw *draw;             /* NULL: no trial */
	const struct snap_gateway *gateway; /* NULL: its route has none (gateway_priv.h) */
	uint64_t start_ns, sent_ms, first_attempt_ms, attempt_ns;
	/* the client's request */
	enum http1_method method;
	bool minor_1, keep_alive, idempotent, expect, upgrade, json, body_any;
	struct edge_framing body;
	/* towards the replica */
	char *uo;
	uint32_t uo_n, uo_sent;
	char *keep; /* the body's first bytes, for a second attempt */
	uint32_t keep_n, keep_sent;
	bool keep_over; /* more was sent than was kept */
	struct edge_up *up;
	bool counted; /* in the in-flight gauge of `slot` */
	uint16_t slot;
	uint32_t release, replica, lane;
	bool has_lane, sent_any, sent_all, write_dead, fresh;
	bool identity;        /* the replica is told whose certificate was shown */
	bool patient;         /* the first attempt waits its whole time */
	bool timed;           /* its attempts are those of tries_priv.h */
	bool deadline_theirs; /* … and the client said when its time is over */
	bool grpc_timed;      /* … it is told and heard as gRPC does */
	uint16_t tried[EDGE_TRIED_MAX];
	uint8_t tried_n, retries, interim;
	bool continued;
	bool guarded; /* its app has a guard */
	bool probing; /* … whose breaker waits for the outcome */
	bool awaited; /* … counted in edge_app.awaited */
	bool chosen;  /* its replica is chosen in balance.c */
	bool keyed;   /* … by `key` */
	bool full;    /* … and none had room */
	uint8_t grpc; /* grpc-status of the answer + 1; 0: it has none */
	uint8_t queue_lane;
	struct edge_queue *queue; /* it waits there; NULL: it does not */
	struct edge_conn *queue_conn;
	struct hg_list queue_node;
	uint64_t queue_until_ms, queue_since_ns;
	uint64_t key;
	struct edge_pin pin[EDGE_PINS]; /* newest release first */
	uint32_t pin_minute;            /* when it was written; 0: there was no cookie */
	uint32_t breaker_term;
	uint16_t retry_after_s; /* of an answer 503; 0: a second */
	uint32_t deadline_at;   /* in `uo`: what is left, for the replica to read; 0: nowhere */
	uint64_t deadline_ms;   /* by then its answer must have begun; 0: tries_priv.h has no say */
	struct edge_hedge *hedge; /* NULL: no second attempt may come */
	/* the response */
	uint16_t status;
	bool local, up_keep_alive, aborted;
	bool broken; /* … as the answer cannot be completed, by no doing of the client */
	struct edge_flow rf;
	struct edge_framing resp;
	uint32_t resp_seen;
	char *co; /* head, or the whole of a local answer */
	uint32_t co_n, co_sent;
	uint64_t bytes_out;
	struct edge_pace pace; /* of a body from, or a response to, a client that is waited for */
	bool co_body;          /* part of co is a body */
	bool limited;          /* `quota` says what is left of the route's limits */
	const struct snap_limit *refused_by;
	struct edge_ask *ask;  /* in EDGE_ASK: about its limits, of all machines */
	uint64_t asked_ns;     /* how long that took */
	const char *why;       /* of a local answer; static text */
	struct hg_str message; /* to be said instead; of the image */
	struct hg_str page;    /* the body of a local answer, behind `co`; of the image */
	uint32_t page_sent;
	bool html;                 /* the client accepts it; only known where there are pages */
	bool denied;               /* by identity.c: the answer is in its words */
	struct auth_identity *who; /* a reference; NULL: the client has not proved who he is */
	uint64_t who_key;          /* … by this API key; 0: by none */
	/* for the access log */
	uint16_t path_n;
	uint8_t rid_n, method_n, upstream_n, origin_n, host_n;
	bool traced;         /* `trace` is set, and the flags */
	bool trace_goes_on;  /* it came with the request, from the span `trace_from` */
	bool trace_kept;     /* spans were written already, below `trace_own` */
	uint8_t trace_flags; /* of wire/tracectx.h */
	uint8_t trace_tries; /* attempts whose spans were written */
	uint8_t try_fault;   /* of an attempt that failed: enum edge_fault + 1 … */
	uint16_t try_status; /* … or what it was answered */
	uint32_t trace_at;   /* in `uo`: the span that the replica is told; 0: nowhere */
	/* `trace_span`: of the attempt under way */
	char trace[32], trace_span[16], trace_from[16], trace_own[16];
	char method_text[16], upstream[SOCK_TEXT_MAX], rid[128], path[256];
	struct edge_quota quota[SNAP_LIMITS];
	char origin[ORIGIN_MAX], host[255]; /* an allowed origin; the authority as it was asked */
};

enum edge_state {
	EDGE_FREE,
	EDGE_PROXY,   /* the header of a load balancer is awaited */
	EDGE_HELLO,   /* the TLS handshake */
	EDGE_IDLE,    /* between requests: owns no buffer */
	EDGE_HEAD,    /* part of a request head is here */
	EDGE_ASK,     /* the count of all machines is awaited */
	EDGE_QUEUE,   /* all replicas are busy */
	EDGE_CONNECT, /* a connection to the replica is being made */
	EDGE_WAIT,    /* the request is being sent, the response head awaited */
	EDGE_HOLD,    /* a response of the release under trial is kept until it is complete */
	EDGE_RELAY,   /* the response is being sent */
	EDGE_TUNNEL,  /* after 101 */
	EDGE_LINGER,  /* everything sent, reading until the client has closed */
	EDGE_QUIET,   /* HTTP/2 without a request */
	EDGE_SESSION, /* HTTP/2 with requests, which have conns of their own */
	EDGE_STATES
};

struct edge_conn {
	uint32_t magic;
	uint8_t state;                                    /* enum edge_state */
	bool close, progress, half_up, half_down, secure; /* secure: TLS, also before `tls` */
	bool stream; /* a request of h2: no socket of its own */
	bool https;  /* of the present request, as `addr` and `client` are */
	uint32_t flags;
	uint32_t served, head_seen, lingered;
	uint32_t peer_place; /* in the table of peers */
	struct loop_io io;
	struct loop_task task;
	struct edge *edge;
	struct tls *tls;     /* NULL: plain, or before the first byte */
	struct hg_list node; /* of edge.by_state */
	struct edge_timer timer;
	struct edge_flow in;
	struct edge_req *req;
	struct edge_h2
	        *h2; /* the HTTP/2 session that this carries, or is a stream of; NULL: neither */
	uint64_t idle_ms;   /* when it became idle, or its handshake began */
	uint64_t head_ms;   /* when the first byte of this head came */
	struct hg_list own; /* idle connections to replicas that nobody else may use */
	struct ip_addr addr;
	uint16_t to_port, client_port;
	bool to_known;
	uint8_t client_n;
	char client[46];
	uint8_t peer[16];
	uint8_t to_ip[16]; /* what the client connected to, if a load balancer said so */
};

struct edge_listener {
	struct loop_io io;
	struct edge *edge;
	int fd;
	bool tls;
};

struct edge_log {
	char *buf;
	uint32_t n;
	int fd;
	struct loop_timer timer;
	uint64_t second; /* what `stamp` says */
	char stamp[24];
};

/* Spans on their way to the lane; made with the first one (trace.c). */
struct edge_spans {
	char *buf;
	uint32_t n;
	int fd; /* -1: there is no lane */
	struct loop_timer timer;
};

struct edge {
	uint32_t magic;
	struct loop *loop;
	struct meter *meter;
	struct meter_worker *count;
	uint32_t worker;
	const struct snap_table *table;
	struct rates *rates;            /* NULL: nothing is limited */
	struct edge_together *together; /* NULL: this machine counts alone */
	uint64_t table_generation;
	struct edge_image *image;
	struct tls_keyring *keyring;      /* NULL: no certificates yet */
	struct cert_remotes *remotes;     /* NULL: no replica speaks TLS */
	struct auth_providers *providers; /* NULL: no bundle has come yet */
	uint32_t leftovers; /* so many at their end are in no bundle any more (identity.c) */
	struct hg_log *say; /* NULL: nothing is said */
	struct cert_token *challenges; /* that are under way; NULL: none, as nearly always */
	uint32_t challenge_count;
	struct hg_rand rand;
	struct edge_listener listener[WARDEN_LISTENERS_MAX];
	uint32_t listener_count;
	bool draining;
	uint64_t drain_at_ms;
	struct loop_timer drain_timer, accept_timer, table_timer;
	/* Newcomers are left to other workers: since when these have taken so many in all. */
	uint64_t left_since_ms, left_taken;
	struct edge_pool conns, ups, reqs, bufs, keeps, draws, trials, sessions, desks, streams;
	struct edge_pool u2_sessions, u2_streams, hedges, asks;
	struct nghttp2_option *u2_option; /* likewise, of connections to replicas */
	struct nghttp2_session_callbacks *u2_callbacks;
	struct hg_list u2_leaving;        /* sessions that take no new requests */
	struct nghttp2_option *h2_option; /* with the callbacks: NULL before the first session */
	struct nghttp2_session_callbacks *h2_callbacks;
	struct hg_list h2_warm; /* sessions that have memory to give back when they are quiet */
	struct edge_trial *trial[SNAP_TRIALS]; /* in force, by slot of the table */
	uint32_t trial_seq[SNAP_TRIALS];
	struct hg_list judged; /* draws whose age matters */
	struct edge_pool mirrors_pool;
	struct hg_list mirrors; /* those that have left their request */
	uint64_t mirror_look_ns, mirror_busy_ns;
	bool mirror_busy; /* when it was last looked at */
	struct jsondiff_scratch mirror_scratch;
	struct loop_timer sweep_timer;
	struct hg_list hellos; /* handshakes that wait for their turn, by task.node */
	const struct edge_conn *hello_called;   /* whose turn it is; to be compared only */
	uint64_t hello_turn_ns, hello_spent_ns; /* the turn, and what its handshakes have taken */
	uint32_t conn_n;
	uint32_t heap_left; /* connections with TLS that have ended since the heap was last trimmed
	                     */
	const struct edge_conn *driven; /* the last one; to be compared only */
	struct hg_list by_state[EDGE_STATES];
	struct edge_wheel wheel;
	struct edge_app apps[EDGE_APPS];
	uint16_t app_hash[4 * EDGE_APPS]; /* by id: number + 1 */
	struct edge_ep eps[SNAP_ENDPOINTS];
	uint16_t slots[SNAP_ENDPOINTS];     /* sorted by application and release */
	uint64_t weight_to[SNAP_ENDPOINTS]; /* sums of weights within an application */
	struct edge_point *ring,
	        *ring_spare;                /* EDGE_RING_POINTS for each of `slots`, when needed */
	uint16_t names[4 * SNAP_ENDPOINTS]; /* slot + 1 by app, release, replica; when needed */
	bool names_known;
	struct hg_list queues;
	struct loop_timer queue_timer;
	struct loop_task queue_task, hello_task;
	struct edge_top *top; /* who asks most; made when first needed (analytics.c) */
	struct edge_outlier_base *outliers; /* by slot; made when first needed */
	uint64_t outlier_turn_ms;
	struct loop_timer outlier_timer;
	uint16_t room_slot; /* the last one that a request has left */
	struct edge_log log;
	struct edge_spans spans;
	struct http1_head head; /* of the head being looked at, request or response */
	char path_scratch[EDGE_BUF_SIZE];
	char date[40]; /* "Date: …\r\n" of date_s */
	uint64_t date_s;
};

static inline uint64_t edge_now_ms(const struct edge *e)
{
	return loop_now_ms(e->loop);
}

/* conn.c */
/* `place`: of the peer in the table of peers; stays the caller's when it fails. */
struct edge_conn *edge_conn_new(
        struct edge *e, int fd, bool secure, const struct sock_addr *peer, uint32_t place);
void edge_conn_close(struct edge_conn *c);
/* Nothing more will be sent. */
void edge_conn_finish(struct edge_conn *c);
/* What was sent must not look whole by its end: closing will reset the connection. */
void edge_conn_break(struct edge_conn *c);
/* Says 503, where that can be said without a handshake, and closes. */
void edge_conn_refuse(struct edge_conn *c);
void edge_conn_move(struct edge_conn *c, enum edge_state to);
void edge_conn_drive(struct edge_conn *c);
void edge_conn_timeout(struct edge_conn *c);
/* A stream of the session that `carrier` carries; in EDGE_HEAD. */
void edge_conn_stream_init(struct edge_conn *c, struct edge_conn *carrier);

/* proxy.c: the PROXY protocol */
/* Is its word about clients believed? */
bool edge_proxy_trusts(const struct snap_image *im, const struct sock_addr *peer);
enum edge_step edge_proxy_step(struct edge_conn *c);
/* As edge_up_get, for an endpoint with `proxy`. */
struct edge_up *edge_proxy_up_get(
        struct edge_conn *c, struct edge_ep *ep, bool fresh, bool probe, int *ret_errno);
/* Sends the header over a connection that has just been made; false: it did not go out. */
HG_MUST bool edge_proxy_say(struct edge_conn *c, struct edge_up *up);
/* Closes what this client keeps. */
void edge_proxy_forget(struct edge_conn *c);
/* It is about to be idle: this client's next request has it. */
void edge_proxy_keep(struct edge_conn *c, struct edge_up *up);

/* request.c: from a complete head to the first attempt */
/* A request to answer with when the head could not be read; false: the pool is used up. */
bool edge_request_make(struct edge_conn *c);
enum edge_step edge_request_begin(struct edge_conn *c);
/* Counts, logs and frees the request; the connection goes on or ends. */
enum edge_step edge_request_end(struct edge_conn *c);
/* Counts, logs and frees it; what becomes of the connection is the caller's. */
void edge_request_close(struct edge_conn *c);
/* Frees without an answer: the client is gone, or the response cannot be completed. */
void edge_request_abort(struct edge_conn *c);
/* It will not be sent again: gives its buffers back, if all of it was sent. */
void edge_request_forget(struct edge_conn *c);

/* retry.c */
enum edge_fault {
	EDGE_FAULT_CONNECT, /* refused, unreachable */
	EDGE_FAULT_CONNECT_TIMEOUT,
	EDGE_FAULT_TLS,      /* the handshake, in either direction */
	EDGE_FAULT_CLOSED,   /* closed or reset before a complete head */
	EDGE_FAULT_BAD_HEAD, /* not HTTP, or ambiguous */
	EDGE_FAULT_RESPONSE_TIMEOUT,
};
enum edge_step edge_attempt(struct edge_conn *c);
/* … before those that wait in a queue; and on this replica. */
enum edge_step edge_attempt_now(struct edge_conn *c);
enum edge_step edge_attempt_on(struct edge_conn *c, struct edge_ep *ep);
/* The first attempt of a request that could be repeated on another replica: it waits only half of
 * the time for the response, so that a replica that stands still costs half as much. */
bool edge_attempt_hasty(const struct edge_conn *c);
/* Could the attempt under way, which was not answered, be made again on another replica? The budget
 * apart. */
bool edge_attempt_elsewhere(const struct edge_conn *c);
/* What the attempt is counted and logged as; `since_ns`: when it began. */
void edge_attempt_note(struct edge_conn *c, const struct edge_ep *ep, uint64_t since_ns);
enum edge_step edge_attempt_failed(struct edge_conn *c, enum edge_fault fault);
/* Is this errno of a connect a shortage here, and no replica's fault? */
bool edge_attempt_ours(int err);
/* The attempt is over; the connection is kept or closed. */
void edge_attempt_release(struct edge_conn *c, bool keep);
/* Forgets what the attempt sent and received: the request can be sent again. */
void edge_attempt_reset(struct edge_conn *c);

/* mirror.c */
/* The old release's final head is in edge.head, the request is still here: is it to be copied? */
void edge_mirror_head(struct edge_conn *c, const struct http1_head *h);
/* [from, ready) of the response was framed, and r->draw->mirror is set. At its end the copy goes on
 * by itself. */
void edge_mirror_body(struct edge_req *r, uint32_t from);
/* The response did not become whole: there is nothing to compare with. NULL is allowed. */
void edge_mirror_forget(struct edge_mirror *m);
void edge_mirror_drive(struct edge_mirror *m);
void edge_mirror_timeout(struct edge_mirror *m);
struct edge_mirror *edge_mirror_of(struct edge_timer *t);
size_t edge_mirror_size(void);
void edge_mirrors_fini(struct edge *e);

/* relay.c */
enum edge_step edge_exchange(struct edge_conn *c);
enum edge_step edge_tunnel(struct edge_conn *c);

/* head.c: false when it does not fit */
bool edge_head_request(struct edge_conn *c, const struct http1_head *h, struct hg_out *o);
bool edge_head_response(struct edge_conn *c, const struct http1_head *h, struct hg_out *o);
/* Strict-Transport-Security, if it is wanted and the response has none; h may be NULL. */
void edge_head_hsts(const struct edge_req *r, const struct http1_head *h, struct hg_out *o);
bool edge_via_loops(const struct http1_head *h, struct hg_str via);

/* h2.c, h2_stream.c: HTTP/2 (h2_priv.h) */
/* Who has the socket and TLS of this connection: itself, or the one that carries its session. What
 * a request may do by what was agreed on there (the host that was named, a client's certificate)
 * is asked of it; a request that may not come this way is 421: the client opens another one. */
struct edge_conn *edge_conn_carrier(struct edge_conn *c);
/* The connection becomes a session: ON, or GONE when there is no room. */
enum edge_step edge_h2_begin(struct edge_conn *c);
enum edge_step edge_h2_step(struct edge_conn *c);
uint64_t edge_h2_deadline(const struct edge_conn *c, uint64_t header_ms, uint64_t keepalive_ms);
enum edge_step edge_h2_timeout(struct edge_conn *c);
/* No new requests, please; the session ends when those on their way are answered. */
void edge_h2_drain(struct edge_conn *c);
/* The session with its streams; part of closing the connection that carries it. */
void edge_h2_free(struct edge_conn *c);
/* Of a stream, as part of closing it; the client is told unless it has everything. */
void edge_h2_stream_free(struct edge_conn *c);
/* Nothing of this stream was processed: it may be tried again. */
void edge_h2_stream_refuse(struct edge_conn *c);
/* More of a stream's body into c->in; as edge_flow_read. */
ssize_t edge_h2_read(struct edge_conn *c);
/* May this head be the answer to the stream's request? False: 502. */
bool edge_h2_head_ok(struct edge_conn *c, const struct http1_head *h);
enum edge_step edge_h2_tunnel(struct edge_conn *c);
/* What there is of a stream's response is sent as the client takes it; false: no memory. */
bool edge_h2_offer(struct edge_conn *c);
/* Sessions that have been quiet for a while give memory back; true: some will later. */
bool edge_h2_desks_clear(struct edge *e);
HG_MUST enum hg_rc edge_h2_pools_init(struct edge *e, uint32_t conns);
void edge_h2_fini(struct edge *e);

/* answer.c */
enum edge_step edge_answer(struct edge_conn *c, unsigned status, const char *why);
/* `extra`: whole field lines, copied. */
enum edge_step edge_answer_with(
        struct edge_conn *c, unsigned status, const char *why, struct hg_str extra);
/* To the same place by HTTPS; `host`: normal, without port. */
enum edge_step edge_redirect(struct edge_conn *c, const struct http1_head *h, struct hg_str host);
/* For a connection there is no room for: static text, then close. */
void edge_refuse(int fd);

/* access.c */
void edge_log_request(struct edge_conn *c, uint64_t now_ns);
void edge_log_flush(struct edge *e);
/* "Sun, 06 Nov 1994 08:49:37 GMT" and the like; `to` has at least 30 bytes. */
size_t edge_http_date(uint64_t unix_s, char *to);

/* edge.c */
void edge_image_drop(struct edge *e, struct edge_image *im);
void edge_check_drained(struct edge *e);
/* Memory that a burst needed goes back to the kernel; true: there is more of it, for the next call.
 */
bool edge_pools_trim(struct edge *e);

static inline struct meter_lane *edge_lane(struct edge *e, const struct edge_req *r)
{
	if (!r->route) return NULL;
	return meter_lane_of(e->count, r->has_lane ? r->lane : r->route->lane_none);
}

/* Is every byte of the request's body that was received still here? */
static inline bool edge_body_here(const struct edge_req *r)
{
	return !r->body_any || (r->keep && !r->keep_over);
}

static inline struct edge_piece edge_hold_piece(const struct edge_draw *d)
{
	return edge_piece_of(d->held, d->held_sent, d->held_n);
}

static inline const struct edge_set *edge_set_of(const struct edge_req *r)
{
	const struct edge_app *a = r->app;
	return HG_LIKELY(!a->trial) ? &a->all : &a->arm[edge_draw_side(r)];
}

static inline struct edge_ep *edge_pick_for(struct edge_conn *c)
{
	const struct edge_req *r = c->req;
	if (HG_UNLIKELY(r->chosen)) return edge_choose(c);
	return edge_pick(c->edge, edge_set_of(r), r->tried, r->tried_n);
}

#include "data/edge/trace_priv.h"
#include "data/edge/up_priv.h"

#endif
