/*
 * Traces in observe: takes the spans of the edge's workers from their lane and sends them on by
 * OTLP. What comes is believed nothing of (wire/span.h checks every record); without a receiver it
 * is read, counted and forgotten, so that the lane never stands full of what nobody wants. A store
 * of traces will be one more taker here. One thread, the loop's.
 */
#ifndef OBSERVE_TRACE_TRACE_H
#define OBSERVE_TRACE_TRACE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "os/loop.h"
#include "serve/serve.h"

struct traces;

#define TRACES_URL_MAX 1008u

/* `lane_fd`: stays the caller's; -1: none. `log`: must outlive it. HG_E_NOMEM, HG_E_IO. */
HG_MUST enum hg_rc traces_new(
        struct loop *l, int lane_fd, struct hg_log *log, struct traces **ret_traces);
/* Sends nothing more. Takes NULL. */
void traces_free(struct traces *t);
/*
 * Where spans are sent from now on: the base address of a receiver, to which "/v1/traces" is added;
 * empty: nowhere. What waits for another receiver is dropped. The same again changes nothing.
 * HG_E_INVALID, HG_E_NOMEM.
 */
HG_MUST enum hg_rc traces_export(struct traces *t, struct hg_str url, struct hg_err *err);
/* Answers PUT /v1/traces/export?url=…; false: the path is another's. */
bool traces_http(struct traces *t, struct serve_call *call, const struct serve_request *req);
/* Sends what is there, tries nothing twice, and waits `within_ms` at most. */
void traces_flush(struct traces *t, uint32_t within_ms);
/* headgate_traces_* in the Prometheus format. */
void traces_metrics(const struct traces *t, struct hg_buf *to);

#endif
