/* TLS to replicas (secure.c). */
#ifndef DATA_EDGE_SECURE_PRIV_H
#define DATA_EDGE_SECURE_PRIV_H

#include "data/edge/edge_priv.h"

/* Bytes given to the socket so far. */
static inline uint64_t edge_up_wire(const struct edge_up *up)
{
	return HG_LIKELY(!up->tls) ? up->sent : up->plain + tls_remote_sent(up->tls);
}

/* Which app's replicas are spoken to how: after a new image, and after new certificates. */
void edge_secure_assign(struct edge *e);
/* The endpoint has another process, or none any more. */
void edge_secure_forget(struct edge_ep *ep);

/*
 * The handshake on a connection that is made; begins it when first called. ON: it is over. BLOCK.
 * GONE: it failed, which was said and counted.
 */
enum edge_step edge_secure_step(struct edge_up *up);
/* … as a step of the request that waits for it. */
enum edge_step edge_secure_connect(struct edge_conn *c);
/* Of a connection that speaks TLS, or will. */
void edge_secure_event(struct edge_up *up, uint32_t events);
/* Has the replica sent nothing that matters? What it says to TLS alone (tickets) is taken. */
bool edge_secure_quiet(struct edge_up *up);
/* The attempt is over: false when the connection serves no other one. */
bool edge_secure_keep(struct edge_up *up);
/* Says goodbye and forgets the connection's TLS. */
void edge_secure_close(struct edge_up *up);
/* What a failed attempt over it comes to: a replica that turned our certificate away has not looked
 * at the request. Said and counted. */
enum edge_fault edge_secure_fault(struct edge_conn *c, enum edge_fault fault);
/* The end of a response that only its connection's end ends did not come as TLS asks. */
void edge_secure_cut(struct edge_up *up);

#endif
