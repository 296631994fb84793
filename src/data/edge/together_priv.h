/*
 * Limits of requests that hold over several machines: what this machine's own count admits is asked
 * of a Redis that all of them share, while the request waits; at most for a time-out. When there is
 * no answer in time, the own count has decided.
 */
#ifndef DATA_EDGE_TOGETHER_PRIV_H
#define DATA_EDGE_TOGETHER_PRIV_H

#include "data/edge/edge_priv.h"
#include "redis/redis.h"

#define EDGE_ASK_MS 2000u /* beyond every time-out: when the loop had no timer for one */

/* What is answered to a request that is within its limits; NULL instead: it goes on. */
struct edge_after {
	unsigned status;
	const char *why;     /* static */
	struct hg_str extra; /* whole field lines */
};

/* The settings in a bundle's text about identities; of the same the connection stays. What cannot
 * be used is said on the log, and this machine counts alone. */
void edge_together_take(struct edge *e, struct hg_str text);
void edge_together_fini(struct edge *e);
/* Would Redis be asked now? */
bool edge_together_usable(const struct edge *e);

/* A client's key of a limit on all machines. For edges with `together`. */
uint64_t edge_together_key(
        const struct edge *e, const struct snap_limit *l, uint8_t kind, struct hg_str name);
/*
 * The limits of the request's route have admitted it here, under the keys `own`: asks about those
 * that all machines share. BLOCK: it waits, and goes on by itself; ON: nothing was asked.
 */
enum edge_step edge_together_ask(struct edge_conn *c, const struct http1_head *h,
        const uint64_t own[SNAP_LIMITS], const uint64_t shared[SNAP_LIMITS],
        const struct edge_after *after);
enum edge_step edge_together_step(struct edge_conn *c);
/* The client's own time-out has failed to end it. */
enum edge_step edge_together_timeout(struct edge_conn *c);
/* The request ends while it waits. */
void edge_together_drop(struct edge_conn *c);
size_t edge_together_size(void);

/* limit.c: as edge_limit, with an answer of the caller's for who is within the limits. */
enum edge_step edge_limit_then(struct edge_conn *c, const struct http1_head *h, struct hg_str path,
        const struct edge_after *after);
/* Answers 429 for the limit with this number of the route. */
enum edge_step edge_limit_refuse(struct edge_conn *c, uint32_t i, uint64_t wait_ns);
void edge_limit_keep(struct edge_req *r, uint32_t i, uint64_t left, uint64_t wait_ns);

/* request.c: what comes behind the limits. */
enum edge_step edge_request_go_on(struct edge_conn *c, const struct http1_head *h);

/* ---- together_decide.c: pure ---- */

/* The script counts in quarters of a microsecond. */
#define TOGETHER_TICK_NS 250u

/* A rule as the script has it: never more generous. */
struct together_rule {
	uint64_t interval, tolerance; /* ticks */
};
struct together_rule together_rule_of(struct gcra_rule rule);

struct together_said {
	bool admit; /* all limits */
	struct {
		bool refused;
		uint64_t left, wait_ns;
		uint64_t ahead_ns; /* of its time, with this request if it was admitted */
	} limit[SNAP_LIMITS];
};
/* Reads a reply about `n` limits; false: it is none. */
HG_MUST bool together_read(struct resp_value v, struct hg_str rest,
        const struct together_rule *rule, uint32_t n, struct together_said *ret_said);

extern const char together_script[];

#endif
