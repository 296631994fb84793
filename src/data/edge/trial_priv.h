/*
 * Releases under trial, inside the edge. Who owns what:
 *   trial  one value of w of one rollout, as read from the table. The slot holds a reference while
 *          it is in force, and so does each request drawn under it, until it is counted
 *   draw   a request's part in it; owned by the request, NULL without a trial
 * One object serves one epoch: what control writes within an epoch (the lens) is taken into it.
 */
#ifndef DATA_EDGE_TRIAL_PRIV_H
#define DATA_EDGE_TRIAL_PRIV_H

#include "base/buf.h"
#include "base/list.h"
#include "base/rand.h"
#include "meter/meter.h"
#include "spec/snapshot.h"
#include "wire/http1.h"

#define EDGE_TRIALS     (SNAP_CELLS + SNAP_TRIALS) /* epochs that are known or still counted */
#define EDGE_SWEEP_MS   50                         /* how late a hang is seen to be one */
#define EDGE_HOLD_MS    1000
#define EDGE_HOLD_SIZE  65536u
#define EDGE_RESCUE_MIN 64u /* rescues at a time that every application may have */

struct edge;
struct edge_app;
struct edge_conn;
struct edge_ep;
struct edge_mirror;
struct edge_req;

/* How a connection goes on. */
enum edge_step {
	EDGE_STEP_ON,    /* look again: the state has changed */
	EDGE_STEP_BLOCK, /* wait for an event */
	EDGE_STEP_GONE   /* the connection was closed */
};

enum edge_arm { EDGE_OLD, EDGE_NEW, EDGE_ARMS };

/* Metrics of latency, in the order of `edge_slow_metric`. */
enum { EDGE_SLOW_METRICS = 5 };

struct edge_trial {
	uint32_t refs, slot;
	uint64_t limit_ns[EDGE_ARMS][EDGE_SLOW_METRICS]; /* UINT64_MAX: off */
	uint64_t limit_min_ns[EDGE_ARMS];
	struct snap_trial is;
};

struct edge_draw {
	struct edge_trial *trial;
	struct hg_list node; /* of edge.judged, while an exceedance may still come */
	uint64_t start_ns;
	enum edge_arm arm;  /* as drawn: final */
	enum edge_arm side; /* where attempts go now */
	uint8_t over;       /* metrics of latency it has exceeded, a bit each */
	bool preview;
	bool evidence;   /* this request counts */
	bool entered;    /* … and is in n */
	bool first_over; /* the first attempt has failed: what follows is no evidence */
	bool warm;       /* sent to a replica that is new: not judged by latency */
	bool set_cookie;
	bool rescue;       /* being answered by the old release, outside the budget */
	bool failed;       /* the first attempt, on the new release */
	bool unreplayable; /* … and that is why there was no rescue */
	bool cut;          /* … and the client saw half a response */
	/* the held response: nothing of it was sent yet */
	bool keep_alive;  /* of the request, before that response had its say */
	uint32_t hold_at; /* of `co`: what stands before was sent or is to be sent anyway */
	uint32_t held_n, held_sent;
	char *held; /* the body's first bytes, when they are more than one buffer */
	uint64_t hold_until_ms;
	struct edge_mirror *mirror; /* takes in the old answer, to compare it with a new one */
};

/* ---- trial.c: slots, the draw ---- */

/* Reads the slots that have changed and tells the applications. Part of edge_table_refresh. */
void edge_trials_read(struct edge *e);
/* Sets `trial` of all applications from what was read. */
void edge_trials_assign(struct edge *e);
void edge_trials_fini(struct edge *e);
void edge_trial_drop(struct edge *e, struct edge_trial *t);

/* True with probability ppm / 1,000,000 for a random number of 64 bits, exactly. */
bool edge_draw_new(uint64_t random, uint32_t ppm);
/* May this request be repeated, as far as its head tells? */
bool edge_draw_replayable(const struct edge_req *r, const struct http1_head *h);

/* ---- draw.c: the request under trial ---- */

/* The arm of c->req, whose application has a trial or whose route is a preview; or an answer. */
enum edge_step edge_draw(struct edge_conn *c, const struct http1_head *h);
/* The arm that attempts go to while the application's trial is in force. */
enum edge_arm edge_draw_side(const struct edge_req *r);
/* An attempt goes to `ep`. */
void edge_draw_sent(struct edge_conn *c, struct edge_ep *ep);
/* No endpoint is left in the arm: that was its failure. True: the other arm serves the request. */
bool edge_draw_turn(struct edge_conn *c);
/* The first attempt failed by the release's fault; `body`: what was received of the response.
 * Counts it once, keeps a record of it, and may trip the trial. */
void edge_draw_failed(struct edge_conn *c, enum meter_cause cause, struct hg_str body);
/* The first attempt failed by our own fault: no evidence. */
void edge_draw_excuse(struct edge_conn *c);
/* The response stopped in the middle, and the client has the first part. */
void edge_draw_cut(struct edge_conn *c, enum meter_cause cause);
/* The response was complete enough to count: the end, or the start of a tunnel. */
void edge_draw_done(struct edge_conn *c);
/* Before the request is freed. */
void edge_draw_close(struct edge_conn *c);

/* ---- evidence.c ---- */

/* The request is in flight from now on and will count. */
void edge_evidence_begin(struct edge *e, struct edge_draw *d);
/* It failed on its arm. */
void edge_evidence_fail(struct edge *e, struct edge_draw *d);
/* It ended; `whole`: with a response, so that it is one of n. */
void edge_evidence_end(struct edge *e, struct edge_draw *d, bool whole);
void edge_evidence_record(struct edge_conn *c, enum meter_cause cause, struct hg_str body);

/* ---- rescue.c ---- */

/* Will the old release answer if this first attempt fails? */
bool edge_rescue_protects(const struct edge_req *r);
/* May the old release answer instead? Only before any final byte was sent to the client. */
bool edge_rescue_possible(struct edge_conn *c);
/* Throws away what the new release said and asks the old one. */
enum edge_step edge_rescue(struct edge_conn *c);
/* Without a rescue: how many second attempts there may be, which go to the old release. */
uint32_t edge_rescue_retries(struct edge_conn *c);
/* A final head is in edge.head; true: it is a failure that the old release can make good. */
bool edge_rescue_head(struct edge_conn *c);

/* Is this response to be held until it is complete? */
bool edge_hold_wanted(const struct edge_conn *c);
void edge_hold_begin(struct edge_conn *c, uint32_t co_before);
enum edge_step edge_hold(struct edge_conn *c);
/* What was held goes to the client, and the rest as it comes. */
enum edge_step edge_hold_end(struct edge_conn *c);
/* So many held bytes were sent. */
void edge_hold_sent(struct edge_conn *c, uint32_t n);
/* Forgets a response of which the client knows nothing. */
void edge_hold_discard(struct edge_conn *c);

/* ---- match.c, sticky.c ---- */

/* Does a rule of the trial send this request to the new release? */
bool edge_match(const struct snap_trial *t, const struct http1_head *h);
struct edge_cookies {
	const struct http1_head *head;
	uint16_t field;
	struct hg_str rest;
};
/* The values of all cookies of that name, one after the other. */
struct edge_cookies edge_cookies_of(const struct http1_head *h);
bool edge_cookies_next(struct edge_cookies *it, struct hg_str name, struct hg_str *ret_value);
/* True when a cookie of this rollout and epoch that we signed names the arm. */
bool edge_sticky_arm(
        const struct snap_trial *t, const struct http1_head *h, enum edge_arm *ret_arm);
/* The line "Set-Cookie: …". */
void edge_sticky_write(const struct snap_trial *t, enum edge_arm arm, struct hg_out *o);

#endif
