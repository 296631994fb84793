/*
 * What is done to a connection to a replica, whatever it is: a socket, or a stream that shares one
 * with others (u2_priv.h). Part of edge_priv.h, which includes it.
 */
#ifndef DATA_EDGE_UP_PRIV_H
#define DATA_EDGE_UP_PRIV_H

#include "data/edge/edge_priv.h"

/* HTTP/2 to replicas (u2.c, u2_stream.c). A stream for one request, as edge_up_get; as edge_send
 * and edge_flow_read; no more is sent; as edge_up_close. */
struct edge_up *edge_u2_get(struct edge *e, struct edge_ep *ep, int *ret_errno);
ssize_t edge_u2_send(struct edge_up *up, const struct edge_piece *pieces, int count);
ssize_t edge_u2_read(struct edge_up *up, struct edge_flow *f);
void edge_u2_finish(struct edge_up *up);
void edge_u2_close(struct edge_up *up);
/* Of the connection that carries streams: something happened to its socket; its time is up. */
void edge_u2_drive(struct edge_u2 *h);
void edge_u2_timeout(struct edge_u2 *h);
/* The connections of an endpoint take no new requests. */
void edge_u2_part(struct edge_ep *ep);
/* Of a stream that failed: did the replica process nothing of it; was the connection on its way
 * out, so that nobody is to blame; was what came no response? */
bool edge_u2_untouched(const struct edge_up *up);
bool edge_u2_stale(const struct edge_up *up);
bool edge_u2_bad(const struct edge_up *up);
/* Does a stream carry a gRPC call; the grpc-status of its answer + 1, 0: it has none, or has it not
 * yet. */
bool edge_u2_of_grpc(const struct edge_up *up);
uint32_t edge_u2_grpc(const struct edge_up *up);
/* The status that a response is judged by: of gRPC, what HTTP would say instead (u2_grpc.c). */
unsigned edge_grpc_status(const struct edge_req *r, unsigned status);
/* Is it known that the call failed by the replica's fault? */
bool edge_grpc_failed(const struct edge_req *r);
/* A guarded request has its response's head; a response is whole: false: it is a failure, and the
 * trial was told. */
void edge_u2_headed(struct edge_conn *c, unsigned status);
bool edge_u2_answered(struct edge_conn *c);
enum edge_step edge_u2_connect_step(struct edge_conn *c);
/* The request on it asks for a WebSocket. */
void edge_u2_tunnel_ask(struct edge_up *up);
/* The response ended early: tells a client of HTTP/2 what the replica said. */
void edge_u2_cut(struct edge_conn *c);
enum edge_step edge_u2_tunnel(struct edge_conn *c);
HG_MUST enum hg_rc edge_u2_pools_init(struct edge *e, uint32_t streams);
void edge_u2_close_all(struct edge *e);
void edge_u2_fini(struct edge *e);

/* As edge_send and edge_flow_read. */
static inline ssize_t edge_up_send(struct edge_up *up, const struct edge_piece *pieces, int count)
{
	if (HG_UNLIKELY(up->stream != NULL)) return edge_u2_send(up, pieces, count);
	return edge_send(up->io.fd, up->tls, pieces, count, &up->flags);
}

static inline ssize_t edge_up_read(struct edge_up *up, struct edge_flow *f)
{
	if (HG_UNLIKELY(up->stream != NULL)) return edge_u2_read(up, f);
	return edge_flow_read(up->edge, f, up->io.fd, up->tls, &up->flags);
}

/* Tells the replica that no more is sent. */
void edge_up_finish(struct edge_up *up);

#endif
