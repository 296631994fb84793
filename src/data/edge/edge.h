/*
 * The edge: the data plane. One worker is one event loop that accepts on inherited listeners,
 * routes by the sealed snapshot, balances over the endpoint table and counts into the meter.
 * It owns its connections and buffers (fixed pools: full means 503); it reads no file, parses no
 * configuration and takes no lock. Everything belongs to the thread of its loop.
 * It fails a request with a small clear answer, a connection by closing it, and itself never:
 * it has no state that a replacement would miss. It never logs anything but the access log.
 *
 * Sources: RFC 9110, 9112 (HTTP/1.1), 7239 (Forwarded), W3C Trace Context.
 */
#ifndef DATA_EDGE_EDGE_H
#define DATA_EDGE_EDGE_H

#include "meter/meter.h"
#include "meter/rates.h"
#include "os/loop.h"
#include "spec/snapshot.h"
#include "os/tls.h"
#include "warden/warden.h"

struct edge;

struct edge_conf {
	struct loop *loop;   /* must outlive the edge */
	struct meter *meter; /* the slab of `worker` is written */
	uint32_t worker;
	const struct snap_table *table;
	struct rates *rates;   /* meter/rates.h; NULL: rate limits are not applied */
	const int *listen_fds; /* the caller's; only watched */
	uint32_t listen_count;
	uint32_t listen_tls; /* a bit each: speaks TLS, once edge_certs was called */
	int log_fd;          /* access log, written without blocking if O_NONBLOCK; -1: none */
	int span_fd; /* SEQPACKET, non-blocking: records of wire/span.h go there; 0 or less: none */
	struct hg_log *log;   /* failures of TLS to replicas are said there; NULL: nowhere */
	uint32_t connections; /* hard cap of client connections; 0: 16384 */
	uint32_t buffers;     /* hard cap of 32 KiB buffers; 0: 4096 */
	uint64_t seed;        /* of trace ids, request ids and balancing */
};

/* HG_E_NOMEM when the pools cannot be reserved, HG_E_IO when a listener cannot be watched. */
HG_MUST enum hg_rc edge_new(const struct edge_conf *conf, struct edge **ret_edge);
/* Closes every connection at once; NULL is fine. */
void edge_free(struct edge *e);

/*
 * Takes a new image into use for requests that begin from now on; those in flight keep theirs.
 * `fd` stays the caller's. A bad image is HG_E_INVALID and changes nothing.
 */
HG_MUST enum hg_rc edge_snapshot(struct edge *e, int fd);

/*
 * Takes new certificates (a bundle of cert/cert.h) into use for connections that begin from now
 * on; no connection is closed. Those of before stay in use when it fails: HG_E_INVALID with the
 * reason in `why`, HG_E_NOMEM. `fd` stays the caller's.
 */
HG_MUST enum hg_rc edge_certs(struct edge *e, int fd, char why[TLS_WHY_MAX]);

/*
 * No new connections; idle ones are closed, busy ones after their response. The loop is stopped
 * when the last is gone, or after `deadline_ms`.
 */
void edge_drain(struct edge *e, uint64_t deadline_ms);
/* True when no client connection is open. */
bool edge_idle(const struct edge *e);

/*
 * The process role: serves until WD_EDGE_DRAIN or SIGTERM has been obeyed, then returns the exit
 * status. The death of the warden is no reason to stop.
 */
int edge_main(const struct warden_child *child);

#endif
