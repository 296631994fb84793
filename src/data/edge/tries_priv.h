/*
 * The attempts of one request beyond "one, and another one when it fails": how long each may take
 * (deadline.c), a second one beside the first (hedge.c), and replicas that differ from the others
 * (outlier.c). A request has a part in it when its app has a word about any of this in its
 * configuration; then edge_req.timed is set, and nothing here is called without.
 */
#ifndef DATA_EDGE_TRIES_PRIV_H
#define DATA_EDGE_TRIES_PRIV_H

#include "data/edge/trial_priv.h"
#include "math/hedge.h"
#include "math/outlier.h"

/* ---- deadline.c ---- */

/* After the draw and before the head is rebuilt: when this request's time is over. Takes the
 * client's fields about it out of the head that goes on, where we write our own. */
void edge_tries_begin(struct edge_conn *c, const struct http1_head *h);
/* The line that tells the replica what is left; its figure is written with each attempt. */
void edge_deadline_line(struct edge_req *r, struct hg_out *o);
/* Writes what is left into the head. */
void edge_deadline_tell(struct edge_conn *c);
/* An attempt is about to begin: writes what is left. False: nothing is, and it must not. */
bool edge_deadline_attempt(struct edge_conn *c);
/* The request was sent, all of it: the clock of one with a body begins. */
void edge_tries_sent(struct edge_conn *c);
/* Is its time over? */
bool edge_deadline_over(const struct edge_conn *c);
/* … the time that its client gave it: no replica is to blame. */
bool edge_deadline_theirs(const struct edge_conn *c);
/* 504, and why. */
enum edge_step edge_deadline_answer(struct edge_conn *c);
/* Until when (ms) what it is now at may take: being sent, being answered, or waiting for a
 * connection or for room, which `until_ms` ends otherwise. */
uint64_t edge_deadline_answer_by(const struct edge_conn *c);
uint64_t edge_deadline_limit(const struct edge_conn *c, uint64_t until_ms);
/* The time of an attempt is up. True: it is given up; false: nobody else may be asked, it waits on.
 */
bool edge_deadline_gives_up(struct edge_conn *c);

/* ---- hedge.c ---- */

/* A request whose first attempt is on its way, and the second one beside it; of the request. */
struct edge_hedge;
size_t edge_hedge_size(void);

/* Of an app; made when first needed. */
struct edge_hedges {
	struct edge *edge;
	struct edge_app *app;
	struct hg_list line; /* edge_hedge.node, in the order of their time */
	struct loop_timer timer;
	struct hedge is;
};

/* The first attempt was sent, all of it. */
void edge_hedge_wait(struct edge_conn *c);
/* An event of the second attempt's connection. */
void edge_hedge_drive(struct edge_hedge *h);
/* The first attempt has a final head: that is the answer. */
void edge_hedge_answered(struct edge_conn *c);
/* There will be no second attempt, or it is not needed any more. */
void edge_hedge_cancel(struct edge_conn *c);
/* The first attempt has failed and is accounted for. True: the second one takes its place. */
bool edge_hedge_takes_over(struct edge_conn *c);
void edge_hedge_free(struct edge_app *a);
void edge_hedges_fini(struct edge *e);

/* ---- outlier.c ---- */

#define EDGE_OUTLIER_MS      1000u /* how often replicas are compared while there is traffic */
#define EDGE_OUTLIER_TURN_MS 5000u /* what is compared is of the last one to two of these */

/* What a replica's counters said at two times. */
struct edge_outlier_base {
	uint32_t incarnation;
	struct outlier_seen at[2]; /* when the last turn began, and when this one did */
};

/* An app that is to be looked at has traffic. */
void edge_outlier_watch(struct edge *e);
/* Out, for longer each time in a row. `set`: those it shares its work with. */
void edge_ep_eject(struct edge *e, struct edge_ep *ep, struct edge_set *set, uint32_t eject_ms);
void edge_outliers_fini(struct edge *e);

#endif
