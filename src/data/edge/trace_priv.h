/* Traces in the edge (trace.c): whose goes on, what replicas are told, and the edge's own spans. */
#ifndef DATA_EDGE_TRACE_PRIV_H
#define DATA_EDGE_TRACE_PRIV_H

#include "data/edge/edge_priv.h"

/* The head has been read: the request belongs to a trace, one that came or a new one. */
void edge_trace_begin(struct edge_conn *c, const struct http1_head *h);
/* The field that the replica is told; whoever draws has drawn. */
void edge_trace_line(struct edge_conn *c, struct hg_out *o);
/* Another attempt begins after one that failed: that one's span, and a new one for the replica. */
void edge_trace_again(struct edge_conn *c);
/* The request is over: what of it is worth keeping. */
void edge_trace_end(struct edge_conn *c, uint64_t now_ns);
void edge_trace_flush(struct edge *e);

/* What is known when a request is over; pure. */
struct edge_trace_view {
	bool sampled, aborted, trial;
	uint8_t again; /* retries, second attempts, rescues */
	uint16_t status;
	uint64_t took_ms, slow_ms; /* slow_ms 0: nothing is too slow */
};
/* Is it kept whatever was drawn? Errors, the release under trial, second attempts, and the slow. */
bool edge_trace_keep(const struct edge_trace_view *v);

#endif
