/* Who a client is, whether he may, and how often: client.c, limit.c. */
#ifndef DATA_EDGE_LIMIT_PRIV_H
#define DATA_EDGE_LIMIT_PRIV_H

#include "math/gcra.h"
#include "math/ipset.h"
#include "data/edge/trial_priv.h"
#include "meter/rates.h"
#include "spec/snapshot.h"
#include "wire/http1.h"

struct edge;
struct edge_conn;
struct edge_req;
struct sock_addr;

/* What is left of each limit of a route, for the fields of the response. */
struct edge_quota {
	uint32_t left, wait_s;
};

/* The peer is the client until something trusted says otherwise. */
void edge_client_peer(struct edge_conn *c, const struct sock_addr *peer);
/* Sets the client of the request whose head this is. Only with trusted proxies, for each request:
 * what comes over one connection is of many clients. */
void edge_client_find(struct edge_conn *c, const struct http1_head *h);

/* One more connection of the peer, if it may have one. For images with connections_per_ip. */
HG_MUST bool edge_peer_enter(struct edge *e, const struct sock_addr *peer, uint32_t *ret_place);

/* May the peer connect, by edge.allow and edge.deny? True for a trusted proxy. */
bool edge_access_peer(const struct snap_image *im, const struct sock_addr *peer);
/* The same for a client's request: of the whole edge, and of a route. */
bool edge_access_edge(const struct snap_image *im, struct ip_addr client);
bool edge_access_route(
        const struct snap_image *im, const struct snap_route *route, struct ip_addr client);

/* Counts the request against the limits of its route, or answers 429. For routes with limits. */
enum edge_step edge_limit(struct edge_conn *c, const struct http1_head *h, struct hg_str path);
/* The lines RateLimit-Policy and RateLimit of a request that was counted. */
void edge_limit_fields(const struct edge_req *r, struct hg_out *o);

#endif
