/*
 * The functions of a gateway at a route: CORS, fields, paths, redirects, versions. A route that has
 * none of them costs a request a few comparisons; what a route has stands ready in the image, so
 * that a head is rewritten in one pass, without allocation.
 */
#ifndef DATA_EDGE_GATEWAY_PRIV_H
#define DATA_EDGE_GATEWAY_PRIV_H

#include "data/edge/edge_priv.h"

/* ---- gateway.c ---- */

/* Chooses the route of the version that is asked for, and keeps what answers will need. First of
 * all, for routes with `gateway` or `variants`. */
void edge_gateway_enter(struct edge_conn *c, const struct http1_head *h);
/* Answers what needs no replica: preflights, redirects, versions that have ended, paths that cannot
 * be rewritten. `path`: in its normal form. For requests with a gateway; before certificates,
 * maintenance and limits. */
enum edge_step edge_gateway_answer(
        struct edge_conn *c, const struct http1_head *h, struct hg_str path);
/* Fields of an answer that the edge gives itself. */
void edge_gateway_own(struct edge_conn *c, struct hg_out *o);
/* Do the rules of the route leave this field (lower case) out of responses? */
bool edge_gateway_drops(const struct edge_req *r, struct hg_str name);

static inline struct hg_str edge_gateway_text(
        const struct edge_req *r, enum snap_gateway_text which)
{
	return snap_str(r->image->snap, r->gateway->text[which]);
}

/* ---- cors.c ---- */

/* Keeps the origin, if it is allowed. */
void edge_cors_enter(struct edge_req *r, const struct http1_head *h);
bool edge_cors_asks(const struct http1_head *h); /* is it a preflight? */
enum edge_step edge_cors_preflight(struct edge_conn *c, const struct http1_head *h);
/* What every answer of the route has; h: of the replica, or NULL. */
void edge_cors_fields(const struct edge_req *r, const struct http1_head *h, struct hg_out *o);

/* ---- rewrite.c ---- */

void edge_rewrite_line(struct edge_conn *c, const struct http1_head *h, struct hg_out *o);
/* The fields of a request (`end`: after the last line) that go to the replica … */
void edge_rewrite_request(struct edge_conn *c, const struct http1_head *h, const char *end,
        bool no_tracestate, struct hg_out *o);
/* … and what the rules add, once the request has its ids. */
void edge_rewrite_request_end(struct edge_conn *c, const struct http1_head *h, struct hg_out *o);
/* The fields of a final response, with what the rules and CORS add. */
void edge_rewrite_response(
        struct edge_conn *c, const struct http1_head *h, const char *end, struct hg_out *o);
/* Compiled lines; h: of the request, or NULL. */
void edge_rewrite_lines(
        struct edge_conn *c, const struct http1_head *h, struct hg_str lines, struct hg_out *o);

/* ---- analytics.c ---- */

/* Counts the finished request by who asked and for what; for apps with `analytics`. */
void edge_analytics(struct edge_conn *c, uint64_t now_ns);
void edge_analytics_fini(struct edge *e);

/* head.c: does the edge write this field itself, so that what was received is left out? */
bool edge_head_ours_request(const struct http1_field *f);
bool edge_head_ours_response(const struct http1_field *f);

#endif
