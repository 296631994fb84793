/*
 * What a probe says and hears when a replica speaks HTTP/2: a GET, or grpc.health.v1.Health/Check
 * as Kubernetes asks it (grpc/grpc: doc/health-checking.md). Bytes in, bytes out; no sockets, no
 * clock.
 */
#ifndef CONTROL_FLEET_LOCAL_PROBER_H2_H
#define CONTROL_FLEET_LOCAL_PROBER_H2_H

#include "base/buf.h"

struct prober_h2;

enum prober_h2_result {
	PROBER_H2_MORE,
	PROBER_H2_GOOD, /* 200 to 399; SERVING */
	PROBER_H2_BAD,
};

struct prober_h2_ask {
	const char *host;
	const char *path;    /* of a GET; with a NULL, `service` is asked for */
	const char *service; /* "": the server as a whole */
};

/* What is to be sent first is appended to `out`. NULL: no memory, or a service's name that is too
 * long (255 bytes). */
struct prober_h2 *prober_h2_new(const struct prober_h2_ask *ask, struct hg_buf *out);
void prober_h2_free(struct prober_h2 *h);
/* Bytes that came; `out` gets what is to be said to them. With GOOD and BAD, *ret_status is the
 * status of HTTP (0: none) and `why` says it to people. */
enum prober_h2_result prober_h2_take(struct prober_h2 *h, struct hg_str bytes, struct hg_buf *out,
        unsigned *ret_status, char *why, size_t why_n);

#endif
