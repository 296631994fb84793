#include <stdio.h>

#include "data/edge/u2_priv.h"
#include "wire/grpc.h"

/*
 * What a call of gRPC came to stands behind its answer, in a status of 200. Whoever judges (the
 * meter, a trial, the circuit breaker) is told what HTTP would have said instead.
 */

unsigned edge_grpc_status(const struct edge_req *r, unsigned status)
{
	return r->grpc && !r->local ? grpc_http_status((uint8_t)(r->grpc - 1)) : status;
}

bool edge_grpc_failed(const struct edge_req *r)
{
	return r->grpc && grpc_http_status((uint8_t)(r->grpc - 1)) >= 500;
}

void edge_u2_headed(struct edge_conn *c, unsigned status)
{
	struct edge_req *r = c->req;
	bool later = edge_u2_of_grpc(r->up) && !r->grpc && status == 200;
	if (!later) {
		edge_guard_answered(c, edge_grpc_status(r, status));
	} else if (r->awaited) {
		edge_guard_released(r);
	}
}

bool edge_u2_answered(struct edge_conn *c)
{
	struct edge_req *r = c->req;
	char text[48];
	bool before = r->grpc != 0;
	r->grpc = (uint8_t)edge_u2_grpc(r->up);
	if (!r->grpc) return true;
	unsigned code = r->grpc - 1u;
	if (HG_UNLIKELY(r->guarded) && !before)
		edge_guard_answered(c, edge_grpc_status(r, r->status));
	if (!edge_grpc_failed(r)) return true;
	int n = snprintf(
	        text, sizeof text, "grpc-status: %u %s", code, grpc_status_name((uint8_t)code));
	if (HG_UNLIKELY(r->draw != NULL))
		edge_draw_failed(c, METER_CAUSE_STATUS, (struct hg_str){text, (size_t)n});
	return false;
}
