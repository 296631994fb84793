/*
 * The log store over HTTP, for control and for whoever debugs: one object, one loop. It owns the
 * answers that are under way; a search gives the loop back every few blocks, so that pipes are
 * never left unread for a query.
 */
#ifndef OBSERVE_LOGS_HTTP_H
#define OBSERVE_LOGS_HTTP_H

#include "base/buf.h"
#include "observe/logs/logs.h"
#include "os/loop.h"
#include "serve/serve.h"

struct logs_http;

HG_MUST enum hg_rc logs_http_new(
        struct loop *loop, struct logs *l, uint64_t (*wall_ns)(void), struct logs_http **ret_http);
/* What is under way ends without its last bytes; to be called once serve is gone. NULL is fine. */
void logs_http_free(struct logs_http *h);
/* Answers GET /v1/logs, GET /v1/logs/volume and PUT /v1/logs/retention, now or later; false: the
 * path is another's. */
bool logs_http(struct logs_http *h, struct serve_call *call, const struct serve_request *req);
/* New lines may be there: those who follow look again. */
void logs_http_wake(struct logs_http *h);
/* headgate_logs_* in the Prometheus format. */
void logs_http_metrics(const struct logs_http *h, struct hg_buf *to);

#endif
