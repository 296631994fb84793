/*
 * One HTTP GET (or bodiless PUT), by TLS too, or TCP connect against a replica, without blocking:
 * started on the loop, it calls back exactly once, unless it is stopped before. No keep-alive, no
 * redirects followed (a 3xx is an answer and counts as success, as in Kubernetes for other hosts),
 * at most PROBER_HEAD_MAX bytes of head and `body_max` bytes of body are read.
 */
#ifndef CONTROL_FLEET_LOCAL_PROBER_PRIV_H
#define CONTROL_FLEET_LOCAL_PROBER_PRIV_H

#include "base/buf.h"
#include "math/probe.h"
#include "os/loop.h"
#include "os/sock.h"
#include "os/tls_remote.h"

#define PROBER_HEAD_MAX 16384u
#define PROBER_PATH_MAX 2048u

struct prober;

struct prober_result {
	enum probe_outcome outcome;
	unsigned status;    /* 0: no response head */
	const char *why;    /* one line for people, valid during the call */
	struct hg_str body; /* with body_max only */
};
typedef void (*prober_fn)(void *arg, const struct prober_result *result);

struct prober_target {
	const struct sock_addr *addr;
	const char *path;    /* NULL: connecting is enough, or `service` is asked for */
	const char *service; /* of grpc.health.v1.Health, with http2; NULL: none is asked for */
	/* It is spoken to by TLS; NULL: it is not. Only needed during the call. */
	struct tls_remote *remote;
	bool http2;
	bool put;       /* PUT without a body instead of GET */
	uint32_t proxy; /* version of the PROXY protocol header that comes first; 0: none */
	uint32_t timeout_ms;
	uint32_t body_max; /* 0: the head is enough */
};

/* The callback comes from the loop, never from within this call. It may stop (free) the prober. */
HG_MUST enum hg_rc prober_start(struct loop *loop, const struct prober_target *t, prober_fn fn,
        void *arg, struct prober **ret_prober);
/* Frees it; no callback comes any more. NULL is fine. */
void prober_stop(struct prober *p);

#endif
