/*
 * Counters of one process in the Prometheus text format. Fixed size: method, endpoint and status
 * come from short lists, so no client can make the app remember more. Used from the loop's thread.
 */
#ifndef FEEDBACK_METRICS_PRIV_H
#define FEEDBACK_METRICS_PRIV_H

#include "base/buf.h"

#include "apps/feedback/route_priv.h"

enum operation {
	OPERATION_CREATE,
	OPERATION_READ,
	OPERATION_UPDATE,
	OPERATION_DELETE,
	OPERATION_VOTE, /* given or taken back */
	OPERATION_STATUS,
	OPERATIONS
};

/* Why a 5xx was answered. */
enum error_type { ERROR_DATABASE, ERROR_OVERLOAD, ERROR_INTERNAL, ERROR_FAULT, ERROR_TYPES };

#define METRICS_STATUSES 29
#define METRICS_BUCKETS  14

struct metrics {
	uint64_t requests[ENDPOINTS][HTTP1_METHODS][METRICS_STATUSES];
	struct metrics_duration {
		uint64_t bucket[METRICS_BUCKETS + 1]; /* not cumulative; the last is +Inf */
		uint64_t sum_ns;
	} duration[ENDPOINTS][HTTP1_METHODS];
	uint64_t operations[OPERATIONS];
	uint64_t errors[ERROR_TYPES];
};

void metrics_request(struct metrics *m, enum endpoint e, enum http1_method method, unsigned status,
        uint64_t duration_ns);

struct metrics_gauges {
	int64_t feedback_count; /* -1: not known now */
	uint64_t log_lines_dropped;
};

void metrics_text(const struct metrics *m, const struct metrics_gauges *g, struct hg_buf *to);
/* process_* from /proc/self; what cannot be read is left out. */
void metrics_process_text(struct hg_buf *to);

#endif
