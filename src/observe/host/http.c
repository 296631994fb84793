/* Who answers what on DATA/run/observe.sock: each room its paths, this file what belongs to none.
 */
#include "observe/host/host_priv.h"

#define METRICS_MAX ((size_t)4 << 20)

void host_metrics(struct host *h, struct hg_buf *to)
{
	logs_http_metrics(h->http, to);
	traces_metrics(h->traces, to);
	store_metrics(&h->store, to);
	hg_buf_fmt(to,
	        "# HELP headgate_observe_conf_refused_total Documents of control that were "
	        "refused.\n# TYPE headgate_observe_conf_refused_total counter\n"
	        "headgate_observe_conf_refused_total %llu\n",
	        (unsigned long long)h->conf_refused);
	for (uint32_t i = 0; i < h->room_count; i++)
		if (h->rooms[i].metrics) h->rooms[i].metrics(h->rooms[i].room, to);
}

static void get_metrics(struct host *h, struct serve_call *call)
{
	struct hg_buf b;
	hg_buf_init(&b, METRICS_MAX);
	host_metrics(h, &b);
	if (b.failed)
		serve_problem(call, 500, HG_E_TOO_LARGE, "the metrics are too large");
	else
		serve_answer(
		        call, 200, "text/plain; version=0.0.4; charset=utf-8", hg_buf_view(&b));
	hg_buf_free(&b);
}

/* Paths of rooms that there are only while the store is open. */
static bool needs_store(struct hg_str path)
{
	return hg_str_starts(path, HG_STR("/api/v1/")) || hg_str_eq(path, HG_STR("/federate")) ||
	       hg_str_starts(path, HG_STR("/-/"));
}

static void nobody(struct host *h, struct serve_call *call, const struct serve_request *req)
{
	if (h->store.db || !needs_store(req->path)) {
		serve_problem(call, 404, HG_E_NOT_FOUND, "there is nothing at this path");
		return;
	}
	promapi_unavailable(call, h->store.state == STORE_FAILED
	                                  ? h->store.why
	                                  : "the metrics store is being opened");
}

void host_http(void *arg, struct serve_call *call, const struct serve_request *req)
{
	struct host *h = arg;
	bool get = req->method == HTTP1_GET || req->method == HTTP1_HEAD;
	h->requests++;
	if (logs_http(h->http, call, req) || traces_http(h->traces, call, req)) return;
	for (uint32_t i = 0; i < h->room_count; i++) {
		const struct host_room *r = &h->rooms[i];
		if (r->http && r->http(r->room, call, req)) return;
	}
	if (hg_str_eq(req->path, HG_STR("/healthz"))) {
		serve_answer(call, 200, "text/plain; charset=utf-8", HG_STR("ok\n"));
		return;
	}
	if (!hg_str_eq(req->path, HG_STR("/metrics"))) {
		nobody(h, call, req);
		return;
	}
	if (get)
		get_metrics(h, call);
	else
		serve_problem(call, 405, HG_E_INVALID, "this path has no such method");
}
