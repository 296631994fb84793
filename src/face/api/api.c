#include "live_priv.h"
#include "gen/api_routes.h"
#include "math/gcra.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define NOBODY_PER_MINUTE 6u
#define NOBODY_BURST      60u

json_t *api_json_str(struct hg_str s)
{
	json_t *j = json_stringn(s.p ? s.p : "", s.n);
	return j ? j : json_string("(not UTF-8)");
}

void api_text(struct api_request *r, unsigned status, const char *type, struct hg_str text)
{
	serve_field(r->call, "Cache-Control", HG_STR("no-store"));
	serve_field(r->call, "X-Content-Type-Options", HG_STR("nosniff"));
	r->answered = true;
	serve_answer(r->call, status, type, text);
}

void api_json(struct api_request *r, unsigned status, const char *type, json_t *j)
{
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	struct hg_buf b;
	hg_buf_init(&b, 64u << 20);
	hg_buf_cstr(
	        &b, text ? text : "{\"type\":\"about:blank\",\"status\":503,\"code\":\"HG1001\"}");
	hg_buf_byte(&b, '\n');
	api_text(r, text ? status : 503, type, hg_str(hg_buf_text(&b)));
	hg_buf_free(&b);
	free(text);
}

json_t *api_problem_json(const struct hg_err *err)
{
	const struct hg_rc_info *info = hg_rc_info(err->rc);
	json_t *j = json_object();
	char type[64];
	snprintf(type, sizeof type, "urn:headgate:error:%s", info->code);
	json_object_set_new(j, "type", json_string(type));
	json_object_set_new(j, "title", json_string(info->summary));
	json_object_set_new(j, "status", json_integer(info->http_status));
	json_object_set_new(j, "detail", api_json_str(hg_str(err->message)));
	json_object_set_new(j, "code", json_string(info->code));
	if (err->detail[0]) json_object_set_new(j, "facts", api_json_str(hg_str(err->detail)));
	if (err->hint[0]) json_object_set_new(j, "hint", api_json_str(hg_str(err->hint)));
	if (err->file[0]) {
		json_t *place = json_object();
		json_object_set_new(place, "file", api_json_str(hg_str(err->file)));
		json_object_set_new(place, "line", json_integer(err->line));
		json_object_set_new(place, "column", json_integer(err->column));
		if (err->snippet[0]) {
			json_object_set_new(place, "snippet", api_json_str(hg_str(err->snippet)));
			json_object_set_new(place, "caret", json_integer(err->caret));
		}
		json_object_set_new(j, "place", place);
	}
	return j;
}

/* For Grafana, promtool and their like: {"status":"error","errorType":…,"error":…}. */
static void prometheus_problem(struct api_request *r, const struct hg_err *err)
{
	const struct hg_rc_info *info = hg_rc_info(err->rc);
	unsigned status = (unsigned)info->http_status;
	if (status == 502 || status == 504) status = 503; /* they try these again */
	const char *type = status == 401   ? "unauthorized"
	                   : status == 403 ? "forbidden"
	                   : status == 404 ? "not_found"
	                   : status == 503 ? "unavailable"
	                   : status < 500  ? "bad_data"
	                                   : "internal";
	char text[sizeof err->message + sizeof err->hint + 4];
	snprintf(text, sizeof text, "%s%s%s", err->message, err->hint[0] ? "; " : "", err->hint);
	json_t *j = json_pack("{s:s,s:s,s:o,s:s}", "status", "error", "errorType", type, "error",
	        api_json_str(hg_str(text)), "code", info->code);
	api_json(r, status, "application/json", j);
	json_decref(j);
}

void api_problem(struct api_request *r, const struct hg_err *err)
{
	if (r->prometheus) {
		prometheus_problem(r, err);
		return;
	}
	json_t *j = api_problem_json(err);
	api_json(r, (unsigned)hg_rc_info(err->rc)->http_status, "application/problem+json", j);
	json_decref(j);
}

enum hg_rc api_query_u64(const struct api_request *r, const char *name, uint64_t max,
        uint64_t *ret_v, struct hg_err *err)
{
	char text[32];
	uint64_t v;
	if (!serve_query(r->req->query, name, text, sizeof text)) return HG_OK;
	if (!hg_str_u64(hg_str(text), &v) || v > max)
		return hg_err_set(err, HG_E_API_BODY, "\"%s\" is a whole number up to %llu", name,
		        (unsigned long long)max);
	*ret_v = v;
	return HG_OK;
}

/* As far as the pattern's first parameter: of all routes but a few that is not far. */
static bool begins_alike(const char *pattern, struct hg_str path)
{
	size_t i = 0;
	while (pattern[i] && pattern[i] != '{' && i < path.n && pattern[i] == path.p[i])
		i++;
	return pattern[i] == '{' || (!pattern[i] && i == path.n);
}

/* One segment of the pattern against one of the path; "{x}" takes any that is not empty. */
static bool path_matches(const char *pattern, struct hg_str path, struct hg_str *params)
{
	size_t n = 0;
	if (!begins_alike(pattern, path)) return false;
	struct hg_str want = hg_str(pattern);
	if (path.n > 1 && path.p[path.n - 1] == '/') return false;
	while (want.n && path.n) {
		struct hg_str a = hg_str_cut(&want, '/'), b = hg_str_cut(&path, '/');
		if (a.n && a.p[0] == '{') {
			if (!b.n) return false;
			if (n < API_PARAMS_MAX) params[n++] = b;
		} else if (!hg_str_eq(a, b)) {
			return false;
		}
	}
	return want.n == 0 && path.n == 0;
}

static const struct api_route *route_find(struct api_request *r, struct hg_err *err)
{
	enum http1_method method = r->req->method == HTTP1_HEAD ? HTTP1_GET : r->req->method;
	char allow[64] = "";
	struct hg_out o = hg_out_over(allow, sizeof allow - 1);
	for (size_t i = 0; i < HG_COUNT(api_routes); i++) {
		const struct api_route *route = &api_routes[i];
		if (!path_matches(route->path, r->req->path, r->param)) continue;
		if (route->method == method) return route;
		hg_out_fmt(&o, "%s%s", o.n ? ", " : "", http1_method_name(route->method));
		if (route->method == HTTP1_GET) hg_out_cstr(&o, ", HEAD");
	}
	allow[o.n] = 0;
	if (allow[0]) {
		serve_field(r->call, "Allow", hg_str(allow));
		hg_err_set(err, HG_E_API_METHOD, "\"%.*s\" does not know %.*s",
		        (int)HG_MIN(r->req->path.n, 100), r->req->path.p,
		        (int)HG_MIN(r->req->head->method_text.n, 20), r->req->head->method_text.p);
	} else {
		hg_err_set(err, HG_E_API_NO_ROUTE, "there is no \"%.*s\"",
		        (int)HG_MIN(r->req->path.n, 100), r->req->path.p);
	}
	return NULL;
}

static enum hg_rc body_parse(struct api_request *r, struct hg_err *err)
{
	json_error_t je;
	if (!r->who[0] && r->req->body.n > API_BODY_NOBODY)
		return hg_err_set(
		        err, HG_E_TOO_LARGE, "the body has more than %u bytes", API_BODY_NOBODY);
	if (!r->req->body.n) {
		r->body = json_object();
	} else {
		r->body = json_loadb(r->req->body.p, r->req->body.n, JSON_REJECT_DUPLICATES, &je);
		if (!r->body)
			return hg_err_set(err, HG_E_API_BODY, "the body is not JSON: %s (byte %d)",
			        je.text, je.position);
	}
	if (!json_is_object(r->body))
		return hg_err_set(err, HG_E_API_BODY, "the body is not a JSON object");
	json_t *dry = json_object_get(r->body, "dry_run");
	if (dry && !json_is_boolean(dry))
		return hg_err_set(err, HG_E_API_BODY, "\"dry_run\" is true or false");
	r->dry_run = json_is_true(dry);
	return HG_OK;
}

/* Of those who are nobody a few are told and the others counted: each line is a write to disk. */
static bool audited(struct api_request *r)
{
	struct api *a = r->api;
	struct gcra_rule rule;
	HG_ASSERT(gcra_rule_make(NOBODY_PER_MINUTE, 60 * CLOCK_NS_PER_S, NOBODY_BURST, &rule));
	struct gcra_verdict v = gcra_decide(rule, a->nobody_tat_ns, clock_mono_ns());
	if (!v.admit) {
		a->nobody_untold++;
		return false;
	}
	a->nobody_tat_ns = v.tat_ns;
	if (a->nobody_untold && !r->details)
		r->details = json_pack("{s:I}", "left_out", (json_int_t)a->nobody_untold);
	a->nobody_untold = 0;
	return true;
}

/* Every change leaves a line, also one that failed or was refused. */
static void audit(struct api_request *r, enum hg_rc rc)
{
	char what[256];
	if (!r->who[0] && !audited(r)) return;
	snprintf(what, sizeof what, "%s %.*s%s", http1_method_name(r->req->method),
	        (int)HG_MIN(r->req->path.n, 200), r->req->path.p, r->dry_run ? " (dry run)" : "");
	char *details = r->details ? json_dumps(r->details, JSON_COMPACT) : NULL;
	struct store_audit line = {
	        .ts_ms = clock_wall_ms(),
	        .who = hg_str(r->who[0] ? r->who : "nobody"),
	        .what = hg_str(what),
	        .target = hg_str(r->target),
	        .result = hg_str(rc < 0 ? hg_rc_info(rc)->code : "ok"),
	        .text = details ? hg_str(details) : HG_STR("{}"),
	};
	struct hg_err err = {0};
	if (store_audit_add(r->api->d.store, &line, &err) < 0 && r->api->d.log)
		hg_log(r->api->d.log, HG_ERROR, "api.audit_not_written", HG_S("what", what),
		        HG_S("error", err.message));
	free(details);
}

/* `before`: what the edge had been told when the handler began; NULL: it did not. */
static void finish(struct api_request *r, const struct api_route *route,
        const struct api_edge *before, enum hg_rc rc, struct hg_err *err)
{
	if (route->change) audit(r, rc);
	if (rc < 0) {
		if (err->rc == HG_OK) hg_err_set(err, rc, "%s", hg_rc_info(rc)->summary);
		if (!r->answered) api_problem(r, err);
	} else if (!r->answered && !(before && api_hold(r, before))) {
		api_json(r, r->status, "application/json", r->reply);
	}
	json_decref(r->reply);
	json_decref(r->body);
	json_decref(r->details);
}

/* ---- changes that need an artifact, which is read beside the loop ---- */

struct api_waiting {
	struct hg_list node; /* of api.waiting */
	struct api_request r;
	const struct api_route *route;
	struct fleet_reading *reading;
};

static void waiting_free(struct api_waiting *w)
{
	fleet_reading_free(w->reading);
	hg_list_remove(&w->node);
	free(w);
}

/* Nobody waits for the answer: nothing was changed, and nothing will be. */
static void on_gone(void *arg)
{
	struct api_waiting *w = arg;
	audit(&w->r, HG_E_CLOSED);
	json_decref(w->r.body);
	json_decref(w->r.details);
	waiting_free(w);
}

static void on_read(void *arg);

/* True: it waits, and so does the call. The handler begins anew when it was read. */
static bool waits(struct api_request *r, const struct api_route *route,
        struct fleet_reading *reading, struct api_waiting *w, enum hg_rc *rc, struct hg_err *err)
{
	bool fresh = !w;
	if (*rc != HG_E_FLEET_READING || !reading) return false;
	*err = (struct hg_err){0};
	if (fresh) {
		w = calloc(1, sizeof *w);
		*rc = HG_E_NOMEM;
		if (!w) return false;
		hg_list_append(&r->api->waiting, &w->node);
	}
	w->route = route;
	w->reading = reading;
	*rc = fleet_reading_start(reading, on_read, w, err);
	if (*rc < 0) {
		w->reading = NULL; /* the caller's */
		if (fresh) waiting_free(w);
		return false;
	}
	json_decref(r->reply);
	json_decref(r->details);
	r->reply = r->details = NULL;
	w->r = *r;
	if (fresh) serve_later(r->call, on_gone, w);
	return true;
}

static void run(struct api_request *r, const struct api_route *route, struct fleet_reading *reading,
        struct api_waiting *w)
{
	struct hg_err err = {0};
	struct fleet *f = r->api->d.fleet;
	struct api_edge before = api_edge_told(r->api);
	if (f) fleet_reading_enter(f, &reading);
	enum hg_rc rc = route->handler(r, &err);
	if (f) fleet_reading_leave(f);
	if (waits(r, route, reading, w, &rc, &err)) return;
	finish(r, route, route->change ? &before : NULL, rc, &err);
	fleet_reading_free(reading);
	if (!w) return;
	w->reading = NULL;
	waiting_free(w);
}

static void on_read(void *arg)
{
	struct api_waiting *w = arg;
	struct api_request r = w->r;
	run(&r, w->route, w->reading, w);
}

static void waiting_end(struct api *a)
{
	HG_LIST_EACH_SAFE (node, after, &a->waiting) {
		struct api_waiting *w = HG_CONTAINER(node, struct api_waiting, node);
		json_decref(w->r.body);
		json_decref(w->r.details);
		waiting_free(w);
	}
}

static void handle(void *arg, struct serve_call *call, const struct serve_request *req)
{
	struct api *a = HG_OBJ(arg, struct api, API_MAGIC);
	struct api_request r = {.api = a,
	        .call = call,
	        .req = req,
	        .status = 200,
	        .prometheus = hg_str_starts(req->path, HG_STR("/api/v1/"))};
	struct hg_err err = {0};
	const struct api_route *route = route_find(&r, &err);
	enum hg_rc rc;
	if (!route) {
		/* Nothing is told to a page that came through a foreign name, not even 404. */
		static const struct api_route nothing = {.role = API_NONE};
		struct hg_err denied = {0};
		if (api_authorize(&r, &nothing, &denied) < 0) err = denied;
		api_problem(&r, &err);
		return;
	}
	rc = api_authorize(&r, route, &err);
	if (rc == HG_OK && route->change) rc = body_parse(&r, &err);
	if (rc == HG_OK)
		run(&r, route, NULL, NULL);
	else
		finish(&r, route, NULL, rc, &err);
}

static void done(void *arg, const struct serve_request *req, unsigned status, uint64_t bytes,
        uint64_t duration_ns)
{
	struct api *a = HG_OBJ(arg, struct api, API_MAGIC);
	(void)req, (void)bytes, (void)duration_ns;
	if (status >= 100 && status < 600) a->answers[status / 100]++;
}

/* Answers that serve makes itself look like every other problem. */
static void error_body(void *arg, unsigned status, const char *what, struct hg_buf *body,
        const char **ret_content_type)
{
	(void)arg;
	hg_buf_fmt(body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"detail\":",
	        http1_reason(status), status);
	json_t *detail = json_string(what ? what : "");
	char *text = detail ? json_dumps(detail, JSON_ENCODE_ANY) : NULL;
	hg_buf_fmt(body, "%s,\"code\":\"%s\"}\n", text ? text : "\"\"",
	        status == 413   ? "HG1003"
	        : status == 408 ? "HG1004"
	        : status == 503 ? "HG1001"
	                        : "HG1006");
	free(text);
	json_decref(detail);
	*ret_content_type = "application/problem+json";
}

static void on_tick(struct loop *l, struct loop_timer *t)
{
	struct api *a = HG_CONTAINER(t, struct api, tick);
	api_rates_tick(a);
	api_streams_check(a);
	api_events_heartbeat(a);
	api_sessions_tick(a);
	if (loop_timer_start(l, t, API_TICK_MS, on_tick) < 0 && a->d.log)
		hg_log(a->d.log, HG_ERROR, "api.no_timer");
}

static void on_event(void *arg, const struct store_event *e)
{
	(void)e;
	api_events_changed(HG_OBJ(arg, struct api, API_MAGIC));
}

enum hg_rc api_new(const struct api_deps *d, struct api **ret_api, struct hg_err *err)
{
	struct api *a = calloc(1, sizeof *a);
	if (!a) return hg_err_set(err, HG_E_NOMEM, "no memory for the API");
	a->magic = API_MAGIC;
	a->d = *d;
	a->started_ms = clock_wall_ms();
	hg_list_init(&a->event_streams);
	hg_list_init(&a->relays);
	hg_list_init(&a->links);
	hg_list_init(&a->waiting);
	hg_list_init(&a->held);
	hg_list_init(&a->watch.node);
	loop_task_init(&a->events_task, api_events_push);
	struct serve_options o = {.name = "headgate",
	        .connections_max = 256,
	        .body_max = API_BODY_MAX,
	        .handle = handle,
	        .done = done,
	        .error_body = error_body,
	        .arg = a};
	enum hg_rc rc = serve_new(d->loop, &o, &a->serve);
	if (rc == HG_OK && d->control_fd >= 0)
		rc = serve_listen(a->serve, d->control_fd, API_TAG_UNIX);
	if (rc == HG_OK && d->admin_fd >= 0) rc = serve_listen(a->serve, d->admin_fd, API_TAG_TCP);
	if (rc == HG_OK) rc = loop_timer_start(d->loop, &a->tick, API_TICK_MS, on_tick);
	if (rc == HG_OK) rc = api_live_new(a, err);
	if (rc < 0) {
		api_free(a);
		return hg_err_set(err, rc, "could not start the API");
	}
	api_rates_tick(a);
	if (d->fleet) fleet_watch_start(d->fleet, &a->watch, on_event, a);
	*ret_api = a;
	return HG_OK;
}

void api_free(struct api *a)
{
	if (!a) return;
	HG_ASSERT(a->magic == API_MAGIC);
	if (a->d.fleet && !hg_list_empty(&a->watch.node)) fleet_watch_stop(&a->watch);
	api_streams_end(a);
	api_live_free(a->live);
	loop_task_cancel(&a->events_task);
	loop_timer_stop(a->d.loop, &a->tick);
	loop_timer_stop(a->d.loop, &a->hold);
	/* Those who wait are told that their call is gone. */
	if (a->serve) serve_free(a->serve);
	api_links_end(a, UINT64_MAX);
	waiting_end(a);
	free(a->rates);
	a->magic = 0;
	free(a);
}

void api_events_changed(struct api *a)
{
	api_live_news(a);
	if (a->event_count) loop_task_queue(a->d.loop, &a->events_task);
}

void api_drain(struct api *a, uint32_t within_ms, void (*drained)(void *arg), void *arg)
{
	api_streams_end(a);
	api_held_end(a);
	serve_drain(a->serve, within_ms, drained, arg);
}
