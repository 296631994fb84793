/*
 * Writes the Prometheus text exposition format, version 0.0.4, into an hg_buf, which remembers
 * failure. The caller keeps all samples of one metric together, after its prom_head.
 */
#ifndef WIRE_PROMTEXT_H
#define WIRE_PROMTEXT_H

#include "base/buf.h"

#define PROM_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct prom_label {
	const char *name;
	struct hg_str value; /* escaped here */
};

/* HELP and TYPE; `type`: "counter", "gauge", "histogram", "summary" or "untyped". */
void prom_head(struct hg_buf *to, const char *name, const char *type, const char *help);
void prom_sample(struct hg_buf *to, const char *name, const struct prom_label *labels,
        size_t label_count, double value);
/* Counters beyond 2^53 keep all digits. */
void prom_sample_u64(struct hg_buf *to, const char *name, const struct prom_label *labels,
        size_t label_count, uint64_t value);

struct prom_histogram {
	const double *bounds;   /* upper bounds, ascending, without +Inf */
	const uint64_t *counts; /* bound_count + 1: one for each bucket, not cumulative */
	size_t bound_count;
	double sum;
};

/* name_bucket{…,le="…"} cumulative with +Inf, name_sum, name_count. */
void prom_histogram(struct hg_buf *to, const char *name, const struct prom_label *labels,
        size_t label_count, const struct prom_histogram *h);

#endif
