/*
 * The arithmetic of a rolling update: how many replicas of the new release may be there now and
 * how many of the old ones may go. Kubernetes' rules (deployment/rolling.go, deployment_util.go,
 * intstr): surge rounds up, unavailable rounds down, and they are never both 0. Pure; each pass
 * does one thing, the caller repeats it with what it then observes.
 */
#ifndef MATH_ROLLING_H
#define MATH_ROLLING_H

#include "base/hg.h"

/* A count, or a share of N in millionths. */
struct rolling_share {
	bool is_ratio;
	uint32_t v; /* count, or ppm: 25 % = 250000 */
};

#define ROLLING_25_PERCENT ((struct rolling_share){.is_ratio = true, .v = 250000})

struct rolling_fence {
	uint32_t surge;       /* replicas above N that may exist */
	uint32_t unavailable; /* replicas below N that may be missing */
};

struct rolling_fence rolling_fence(
        struct rolling_share surge, struct rolling_share unavailable, uint32_t n);

/* How many replicas of the new release are to exist. `total`: of all releases, the new ones
 * included. */
uint32_t rolling_new(struct rolling_fence f, uint32_t n, uint32_t now, uint32_t total);

struct rolling_down {
	uint32_t unhealthy; /* old ones that are not available: remove so many of them */
	uint32_t available; /* and so many that are */
};

/* How many of `old` replicas (`old_available` of them available) may go. */
struct rolling_down rolling_old(struct rolling_fence f, uint32_t n, uint32_t old,
        uint32_t old_available, uint32_t now, uint32_t now_available);

#endif
