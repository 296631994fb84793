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

#define METRICS_TEXT        "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* The trace of the last request that fell into a bucket. */
struct metrics_exemplar {
	char trace[32];
	uint64_t value_ns, at_ns; /* how long it took; Unix time, 0: there is none */
};

struct metrics {
	uint64_t requests[ENDPOINTS][HTTP1_METHODS][METRICS_STATUSES];
	struct metrics_duration {
		uint64_t bucket[METRICS_BUCKETS + 1]; /* not cumulative; the last is +Inf */
		uint64_t sum_ns;
		struct metrics_exemplar *example; /* one a bucket; NULL: no trace was kept yet */
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

/* A request that was counted belongs to a trace that is kept. */
void metrics_example(struct metrics *m, enum endpoint e, enum http1_method method,
        uint64_t duration_ns, const char trace[static 32], uint64_t wall_ns);
void metrics_free(struct metrics *m);

/* `examples`: with exemplars, which only OpenMetrics may have. */
void metrics_text(
        const struct metrics *m, const struct metrics_gauges *g, bool examples, struct hg_buf *to);
/* What the text format has, as OpenMetrics 1.0 has it: families of counters without "_total", and
 * an end. Samples that are no counters by that name's end are of unknown type. */
void metrics_openmetrics(struct hg_buf *text);
/* process_* from /proc/self; what cannot be read is left out. */
void metrics_process_text(struct hg_buf *to);

#endif
