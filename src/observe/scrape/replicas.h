/*
 * Replicas as targets: from apps that say where their metrics are, and the endpoint table, to
 * scrape jobs. Pure.
 *
 * Each app is a job of its name. Samples carry app, release, replica, and instance = "APP/REPLICA":
 * a replica that starts again goes on with its series, whatever port it got; a new release has
 * series of its own.
 */
#ifndef OBSERVE_SCRAPE_REPLICAS_H
#define OBSERVE_SCRAPE_REPLICAS_H

#include "observe/scrape/scrape.h"
#include "spec/snapshot.h"

struct scrape_app {
	uint32_t id; /* as in the endpoint table */
	struct hg_str name, path;
	uint32_t interval_ms; /* 0: the default */
};

struct scrape_replicas {
	struct scrape_job_conf *jobs;
	uint32_t job_n, target_n;
	uint32_t unasked; /* replicas that cannot be asked: TLS, or HTTP/2 alone */
};

/* Jobs for scrape_apply, for those of the `endpoint_n` slots that have a process of one of these
 * apps. All of it lies in the arena, but the apps' texts. HG_E_NOMEM. */
HG_MUST enum hg_rc scrape_replicas(struct hg_arena *a, const struct scrape_app *apps,
        uint32_t app_n, const struct snap_endpoint *endpoints, uint32_t endpoint_n,
        struct scrape_replicas *ret_replicas);

#endif
