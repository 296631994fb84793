/*
 * Which replicas differ so much from the others of their app that they are better left out. Each is
 * compared with all others taken together ("leave one out"): a mean and deviations of all, as other
 * proxies have it, can never blame one of three (its own share makes the deviation), and few teams
 * run more than three.
 *
 * Failures: its share is at least so many points above the others' and twice theirs, and Fisher's
 * exact test gives that a chance below one in a million (a look each second at ten replicas with
 * windows of 5 s: one false alarm in some days). Latency: its median is so many times that of the
 * others, and at least 5 ms more. Medians, since a few slow clients or requests say nothing about a
 * replica. Pure.
 */
#ifndef MATH_OUTLIER_H
#define MATH_OUTLIER_H

#include "base/hg.h"

#define OUTLIER_BUCKETS 24u
#define OUTLIER_BACKOFF 10u /* times eject_ms at most */

struct outlier_rules {
	uint32_t errors_ppm; /* share of failures above the others'; 0: not looked at */
	uint32_t slower_ppm; /* times their median, 1000000: once; 0: not looked at */
	uint32_t min_requests;
	uint32_t max_ppm; /* share of the replicas that may be out at a time */
	const double
	        *bounds; /* upper ends of the buckets, in seconds; the last one counts as open */
};

/* What a replica did in the time that is looked at. */
struct outlier_seen {
	uint32_t failures;                /* attempts without an answer */
	uint32_t errors;                  /* answers of 500 and above */
	uint32_t bucket[OUTLIER_BUCKETS]; /* answers by the time they took */
	bool out;                         /* it is left out already: nobody is compared with it */
};

enum outlier_verdict { OUTLIER_FINE, OUTLIER_FAILS, OUTLIER_SLOW };

/* One verdict each. Of those to be left out the worst come first when not all may be. */
void outlier_decide(const struct outlier_rules *rules, const struct outlier_seen *seen,
        uint32_t count, uint8_t *ret_verdict);
/* Of `count` replicas `out` are left out: may one more be? Never the last one, and at least one
 * where there are two and any may be. */
bool outlier_room(uint32_t count, uint32_t out, uint32_t max_ppm);
/* For how long it is left out the n-th time in a row (n ≥ 1). */
uint64_t outlier_for_ms(uint32_t eject_ms, uint32_t times);

#endif
