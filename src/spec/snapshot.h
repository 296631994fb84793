/*
 * The snapshot: what the edge knows of the world. Two parts in shared memory, written by control:
 *
 *  - the image: routes, apps and limits of one generation, in a sealed memfd; never changes.
 *    Control builds it, the warden keeps the newest descriptor and passes it to every worker.
 *  - the endpoint table: one slot a replica (address, state, weight), each a seqlock; changes
 *    all the time without a new generation.
 *
 * The edge trusts neither blindly: snap_map checks magic, layout, size and every offset once,
 * so that reading needs no checks. No private keys, no secrets.
 */
#ifndef SPEC_SNAPSHOT_H
#define SPEC_SNAPSHOT_H

#include "base/err.h"

#include <stdatomic.h>

#define SNAP_MAGIC      0x534e4150u
#define SNAP_ENDPOINTS  4096
#define SNAP_APPS_MAX   1024
#define SNAP_ROUTES_MAX 16384

/* A string inside the image: offset from its start. */
struct snap_text {
	uint32_t at, n;
};

struct snap_app {
	struct snap_text name;
	uint32_t id; /* stable number of the app, as in the endpoint table */
	uint32_t connect_ms, response_ms /* to the first byte */, idle_ms /* between body bytes */;
	uint32_t max_in_flight;    /* 0: no limit */
	uint32_t retries;          /* further replicas tried for replayable requests */
	uint32_t retry_budget_ppm; /* of the requests, e.g. 200000 = 20 % */
	uint32_t eject_errors;     /* consecutive failures that eject an endpoint; 0: never */
	uint32_t eject_ms;
	uint32_t eject_max_ppm; /* share of the endpoints that may be ejected at once */
	uint32_t reserved[8];
	uint64_t body_max; /* bytes of a request body; 0: no limit */
};

struct snap_route {
	struct snap_text host; /* lower case; "" and "*": any; "*.x": one or more labels before x */
	struct snap_text path; /* prefix on segment borders: "/a" matches "/a" and "/a/b" */
	struct snap_text name; /* label `route` of metrics, e.g. "feedback-app.com/static/" */
	uint32_t app;          /* index into the apps */
	uint32_t lane_first;   /* index into the lanes, lane_count of them */
	uint32_t lane_count;
	uint32_t lane_none; /* meter lane of answers that no replica gave */
};

struct snap_lane {
	uint32_t release;
	uint32_t lane; /* of the meter */
};

struct snap_image {
	uint32_t magic, layout, size, pad;
	uint64_t generation;
	uint32_t app_count, app_at, route_count, route_at, lane_count, lane_at, text_at, text_size;
	/* edge-wide */
	uint32_t head_max, target_max, header_ms /* whole request head */, body_idle_ms;
	uint32_t keepalive_ms, drain_ms, connections_max, access_sample_ppm;
	uint32_t trusted_count, trusted_at; /* reserved for trusted proxies */
	struct snap_text via;               /* pseudonym of this edge in Via */
	uint32_t reserved[16];
};

/* What the builder is given; plain pointers. */
struct snap_in_lane {
	uint32_t release, lane;
};
struct snap_in_route {
	struct hg_str host, path, name;
	uint32_t app; /* index into apps */
	const struct snap_in_lane *lanes;
	uint32_t lane_count, lane_none;
};
struct snap_in_app {
	struct hg_str name;
	struct snap_app fixed; /* everything but name */
};
struct snap_in {
	uint64_t generation;
	const struct snap_in_app *apps;
	uint32_t app_count;
	const struct snap_in_route *routes;
	uint32_t route_count;
	struct snap_image edge; /* the edge-wide numbers only */
	struct hg_str via;
};

/* A sealed memfd, the caller's. Routes are sorted so that the first match is the best one:
 * exact host, then longest wildcard, then any; within a host the longest path first. */
HG_MUST enum hg_rc snap_build(const struct snap_in *in, int *ret_fd, struct hg_err *err);
/* Maps read-only and checks; HG_E_INVALID for anything that is not a whole image. */
HG_MUST enum hg_rc snap_map(int fd, const struct snap_image **ret_image);
void snap_unmap(const struct snap_image *image);

static inline struct hg_str snap_str(const struct snap_image *i, struct snap_text t)
{
	return (struct hg_str){(const char *)i + i->text_at + t.at, t.n};
}
static inline const struct snap_app *snap_apps(const struct snap_image *i)
{
	return (const struct snap_app *)(const void *)((const char *)i + i->app_at);
}
static inline const struct snap_route *snap_routes(const struct snap_image *i)
{
	return (const struct snap_route *)(const void *)((const char *)i + i->route_at);
}
static inline const struct snap_lane *snap_lanes(const struct snap_image *i)
{
	return (const struct snap_lane *)(const void *)((const char *)i + i->lane_at);
}

/* ---- endpoint table ---- */

enum snap_ep_state {
	SNAP_EP_FREE,     /* slot unused */
	SNAP_EP_UP,       /* takes requests */
	SNAP_EP_DRAINING, /* no new requests; those in flight finish */
	SNAP_EP_DOWN,     /* known, not ready */
	SNAP_EP_UNREADY,  /* was ready and lives: takes requests when none of the app's is up */
};

struct snap_endpoint {
	uint32_t state; /* enum snap_ep_state */
	uint32_t app;   /* id, not index */
	uint32_t release;
	uint32_t replica;
	uint32_t incarnation; /* counts up with every process in this slot: never the same twice */
	uint32_t weight;      /* 0…1000000 */
	uint16_t family;      /* AF_INET or AF_UNIX */
	uint16_t port;
	uint32_t ip4;   /* host order */
	char path[108]; /* AF_UNIX */
};

struct snap_slot {
	_Atomic uint32_t seq; /* odd while control writes */
	uint32_t pad;
	struct snap_endpoint ep;
};

struct snap_table {
	uint32_t magic, layout;
	_Atomic uint64_t generation; /* +1 after every change of any slot */
	struct snap_slot slot[SNAP_ENDPOINTS];
};

void snap_table_init(struct snap_table *t);
struct snap_table *snap_table_open(void *mapping, size_t size); /* NULL: not one of this layout */
/* The one writer (control). */
void snap_table_set(struct snap_table *t, uint32_t slot, const struct snap_endpoint *ep);
/* A consistent copy; false after 1000 tries (a writer died half way: treat as SNAP_EP_FREE). */
bool snap_table_get(const struct snap_table *t, uint32_t slot, struct snap_endpoint *ret_ep);
/* After a writer's death: makes odd slots even again as SNAP_EP_FREE. Control, at start. */
void snap_table_repair(struct snap_table *t);

#endif
