/*
 * The log store over HTTP, for control and for whoever debugs: one object, one loop. It owns the
 * answers that are under way; a search gives the loop back every few blocks, so that pipes are
 * never left unread for a query.
 */
#ifndef OBSERVE_LOGS_HTTP_PRIV_H
#define OBSERVE_LOGS_HTTP_PRIV_H

#include "observe/logs/logs.h"
#include "observe/trace/trace.h"
#include "os/loop.h"
#include "serve/serve.h"

struct logs_http;

HG_MUST enum hg_rc logs_http_new(
        struct loop *loop, struct logs *l, uint64_t (*wall_ns)(void), struct logs_http **ret_http);
void logs_http_free(struct logs_http *h);
/* PUT /v1/traces/export?url=… is theirs, and a part of /metrics. NULL: there are none. */
void logs_http_traces(struct logs_http *h, struct traces *t);
/* The handler of serve; `arg` is the struct logs_http. */
void logs_http_handle(void *arg, struct serve_call *call, const struct serve_request *req);
/* New lines may be there: those who follow look again. */
void logs_http_wake(struct logs_http *h);

/* What the query string asks for; pointers go into the struct itself. */
struct logs_ask {
	struct logs_query q;
	char app[LOGS_APP_MAX], grep[LOGS_GREP_MAX + 1], cursor_app[LOGS_APP_MAX];
	uint64_t limit;
	bool has_limit, follow, array;
};

/* Pure. False: `ret_why` says what is wrong, in words for the caller of the API. */
HG_MUST bool logs_ask_read(struct hg_str query, uint64_t now_ns, struct logs_ask *ret_ask,
        char *ret_why, size_t why_cap);

#endif
