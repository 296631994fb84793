/*
 * The messages of Prometheus' remote write, versions 1.0 (prometheus.WriteRequest) and 2.0
 * (io.prometheus.write.v2.Request), as protobuf; without the compression around them. Series with
 * labels and samples are read and written; histograms and exemplars are counted, metadata is passed
 * over. Pure; the reader allocates only its table of symbols and one series' labels.
 *
 * Sources: prometheus.io/docs/specs/prw/remote_write_spec and …_spec_2_0; protobuf.dev/programming-
 * guides/encoding. Unknown fields are passed over, as protobuf asks for; groups are refused.
 */
#ifndef WIRE_REMOTEWRITE_H
#define WIRE_REMOTEWRITE_H

#include "base/buf.h"

#define REMOTEWRITE_LABELS_MAX 1024u /* of a series; more are refused */

enum remotewrite_version { REMOTEWRITE_1, REMOTEWRITE_2 };

struct remotewrite_label {
	struct hg_str name, value;
};

struct remotewrite_series {
	const struct remotewrite_label *label; /* as they came: any order, doubles, empty ones */
	uint32_t label_n, sample_n, histogram_n, exemplar_n;
	struct hg_str rest; /* what remotewrite_sample has not read yet */
};

struct remotewrite {
	enum remotewrite_version version;
	struct hg_str body, rest;
	struct hg_str *symbol; /* of 2.0 */
	uint32_t symbol_n, symbol_cap;
	struct remotewrite_label *label;
	uint32_t label_cap;
	const char *why; /* a sentence, once something was BAD; else NULL */
};

/* The body is borrowed until remotewrite_close. False: it is no such message; `why` says it. */
HG_MUST bool remotewrite_open(
        struct remotewrite *r, struct hg_str body, enum remotewrite_version version);
void remotewrite_close(struct remotewrite *r);

enum remotewrite_event { REMOTEWRITE_SERIES, REMOTEWRITE_END, REMOTEWRITE_BAD };
/* The next series, looked at as a whole; valid until the next call. */
HG_MUST enum remotewrite_event remotewrite_next(
        struct remotewrite *r, struct remotewrite_series *ret_series);
/* From the first series again. */
void remotewrite_rewind(struct remotewrite *r);
/* The next sample of a series, in the order of the message; false: there are no more. */
HG_MUST bool remotewrite_sample(struct remotewrite_series *s, int64_t *ret_t_ms, double *ret_v);

/* Appends a series of version 1.0; a request is one after the other. The buffer remembers failure.
 */
void remotewrite_put(struct hg_buf *to, const struct remotewrite_label *label, uint32_t label_n,
        const int64_t *t_ms, const double *v, uint32_t sample_n);

#endif
