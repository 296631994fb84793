/*
 * What guards an app and chooses among its replicas, beyond the less loaded of two. None of it has
 * a say in which release a request goes to: that is chance and the trial's weight alone (draw.c).
 */
#ifndef DATA_EDGE_BALANCE_PRIV_H
#define DATA_EDGE_BALANCE_PRIV_H

#include "data/edge/trial_priv.h"
#include "math/breaker.h"
#include "math/concurrency.h"

struct edge_set;
struct edge_app;

/* A point of a ring: replicas stand at many places of it, keys at one. */
struct edge_point {
	uint32_t at;
	uint16_t slot;
};

#define EDGE_RING_POINTS 64u /* of a replica; a share is then within some 12 % of equal */

/* What a client's cookie says: the replica of each of two releases. */
struct edge_pin {
	uint32_t release, replica; /* release 0: nothing */
};
#define EDGE_PINS 2

/* ---- balance.c: a replica by more than chance and load ---- */

/* Has this request's app or route a way of its own to choose? Then takes from the head what that
 * needs. After the draw. */
void edge_balance_begin(struct edge_conn *c, const struct http1_head *h);
/* The replica for an attempt of such a request, NULL when none is left or, with `full` set, when
 * none of those that are has room. */
struct edge_ep *edge_choose(struct edge_conn *c);

/* ---- ring.c: consistent hashing with bounded load (Mirrokni, Thorup, Zadimoghaddam 2018) ---- */

/* The replica of a key: the first from its place on that is usable, and unless `sticky` has no more
 * than 1.25 times its share of the requests in flight. NULL: none was found, and any will do. */
struct edge_ep *edge_ring_pick(
        struct edge_conn *c, struct edge_set *set, uint64_t key, bool sticky);

/* May this replica have the request: not ejected, not tried, not full? */
bool edge_may_take(struct edge *e, const struct edge_req *r, const struct edge_ep *ep);

/* ---- queue.c: requests that wait for a replica with room ---- */

#define EDGE_QUEUE_LANES   32u /* clients are spread over them by a hash */
#define EDGE_QUEUE_POLL_MS 5u  /* how late room that another worker made is seen */

struct edge_queue {
	struct hg_list node; /* of edge.queues, while somebody waits */
	struct edge_app *app;
	uint32_t n;
	struct hg_list turns; /* lanes in which somebody waits, the next one first */
	struct edge_queue_lane {
		struct hg_list node, waiting;
		uint32_t n;
	} lane[EDGE_QUEUE_LANES];
};

/* Does somebody wait for the same replicas, so that this request has to stand behind? */
bool edge_queue_busy(const struct edge_req *r);
/* No replica has room: the request waits, or an answer. */
enum edge_step edge_queue_enter(struct edge_conn *c);
/* An event of a connection that waits. */
enum edge_step edge_queue_step(struct edge_conn *c);
enum edge_step edge_queue_timeout(struct edge_conn *c);
/* The request ends, or goes on. */
void edge_queue_leave(struct edge_conn *c);
/* … because its client has left. */
void edge_queue_gone(struct edge_conn *c);
/* A replica of this app has room: soon, somebody goes on. */
void edge_queue_wake(struct edge *e, const struct edge_app *a, uint16_t slot);
void edge_queue_init(struct edge *e);
/* Frees what an app's queues took; nobody waits in them. */
void edge_queue_free(struct edge_app *a);
void edge_queue_fini(struct edge *e);

/* ---- affinity.c ---- */

/* The key of everything signed or hashed here: it lives as long as the platform's memory. */
void edge_balance_key(const struct edge *e, uint32_t app, uint8_t to[16]);
void edge_affinity_read(struct edge_conn *c, const struct http1_head *h);
/* The replica that the client is to keep; NULL: none, or it cannot have it. */
struct edge_ep *edge_affinity_pick(struct edge_conn *c, struct edge_set *set);
/* The line "Set-Cookie: …" on a final response, when the client has none that says the same. */
void edge_affinity_write(struct edge_conn *c, struct hg_out *o);

/* ---- guard.c: before a request is drawn ---- */

/* May the request of an app that is guarded go on? Or an answer. */
enum edge_step edge_guard_enter(struct edge_conn *c);
/* An attempt of a guarded request begins, and ends; the head of a final response has come; an
 * attempt has failed, and `final`: there will be no other. At the latest edge_guard_end. */
void edge_guard_sent(struct edge_conn *c);
void edge_guard_released(struct edge_req *r);
void edge_guard_answered(struct edge_conn *c, unsigned status);
void edge_guard_failed(struct edge_conn *c, bool timeout, bool final);
void edge_guard_end(struct edge_conn *c);

#endif
