#include "apps/feedback/app_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "os/clock.h"
#include "wire/json.h"

#include "apps/feedback/desk_priv.h"
#include "apps/feedback/outgoing_priv.h"
#include "apps/feedback/people_priv.h"

#define BODY_MAX (16u << 20) /* 1000 messages of 500 characters, all escaped */

static void on_gone(void *arg)
{
	struct deferred *d = arg;
	d->call = NULL;
	d->req = NULL;
	loop_timer_stop(d->app->loop, &d->timer);
	if (!d->queued) app_deferred_free(d);
}

struct deferred *app_defer(struct app *a, struct serve_call *call, const struct serve_request *req)
{
	struct deferred *d = calloc(1, sizeof *d);
	if (!d) return NULL;
	*d = (struct deferred){.app = a, .call = call, .req = req};
	hg_list_append(&a->deferred, &d->node);
	serve_later(call, on_gone, d);
	return d;
}

void app_deferred_free(struct deferred *d)
{
	if (!d) return;
	loop_timer_stop(d->app->loop, &d->timer);
	hg_list_remove(&d->node);
	free(d);
}

static struct hg_str field(const struct serve_request *req, enum http1_field_id id)
{
	const struct http1_field *f = req && req->head ? http1_find(req->head, id) : NULL;
	return f ? f->value : HG_STR("");
}

void app_cors(struct serve_call *call, const struct serve_request *req)
{
	struct hg_str origin = field(req, HTTP1_F_ORIGIN);
	serve_field(call, "Access-Control-Allow-Origin", origin.n ? origin : HG_STR("*"));
	serve_field(call, "Access-Control-Expose-Headers", HG_STR("ETag, Link, X-Total-Count"));
	serve_field(call, "Vary", HG_STR("Origin"));
}

void app_answer(struct app *a, struct serve_call *call, const struct serve_request *req,
        unsigned status, struct hg_str json)
{
	/* What is refused of our own pages' is no other page's business. */
	bool people = status >= 400 && req->head && route_is_people(route_of(req->path).endpoint);
	if (!people) app_cors(call, req);
	/* What not everybody may see is in no cache that is everybody's. */
	bool private = a->people->config->auth == ACCESS_REQUIRED;
	serve_field(call, "Cache-Control",
	        people    ? HG_STR("no-store")
	        : private ? HG_STR("private, no-cache")
	                  : HG_STR("no-cache"));
	serve_field(call, "X-Content-Type-Options", HG_STR("nosniff"));
	if (status >= 400) {
		struct trace t = trace_of(a->tracer, req);
		if (t.on) serve_field(call, "X-Trace-Id", trace_id(&t));
	}
	serve_answer(call, status, json.n ? "application/json" : NULL, json);
}

/* What is our fault can be asked about by its trace. */
static void error_json(const char *what, struct hg_str trace, struct hg_buf *to)
{
	hg_buf_cstr(to, "{\"error\":");
	json_quote(to, hg_str(what));
	if (trace.n) {
		hg_buf_cstr(to, ",\"trace_id\":");
		json_quote(to, trace);
	}
	hg_buf_cstr(to, "}\n");
}

void app_refuse(struct app *a, struct serve_call *call, const struct serve_request *req,
        unsigned status, const char *what)
{
	struct trace t = status >= 500 ? trace_of(a->tracer, req) : (struct trace){0};
	hg_buf_reset(&a->body);
	error_json(what, trace_id(&t), &a->body);
	app_answer(a, call, req, status, hg_buf_view(&a->body));
}

void app_fail(struct app *a, struct serve_call *call, const struct serve_request *req,
        enum error_type type, enum hg_rc rc, const char *why)
{
	bool later = rc == HG_E_AGAIN || rc == HG_E_DB_FULL || rc == HG_E_NOMEM;
	const char *what = rc == HG_E_AGAIN     ? "The database is busy, please try again"
	                   : rc == HG_E_DB_FULL ? "The database has no room left"
	                   : rc == HG_E_NOMEM   ? "Too many requests are waiting, please try again"
	                                        : "Internal server error";
	struct trace t = trace_of(a->tracer, req);
	a->metrics.errors[type]++;
	jsonlog(a->log, HG_ERROR, "feedback", what, HG_S("reason", why),
	        HG_S("code", hg_rc_info(rc)->code), HG_V("path", req->path),
	        HG_V("trace_id", trace_id(&t)));
	if (later) serve_field(call, "Retry-After", HG_STR("1"));
	app_refuse(a, call, req, later ? 503 : 500, what);
}

static struct hg_str challenge(bool bad)
{
	return bad ? HG_STR("Bearer realm=\"feedback\", error=\"invalid_token\"")
	           : HG_STR("Bearer realm=\"feedback\"");
}

void app_unauthorized(
        struct app *a, struct serve_call *call, const struct serve_request *req, bool bad)
{
	serve_field(call, "WWW-Authenticate", challenge(bad));
	app_refuse(a, call, req, 401, "Unauthorized");
}

void app_forbidden(
        struct app *a, struct serve_call *call, const struct serve_request *req, const char *why)
{
	hg_buf_reset(&a->body);
	hg_buf_cstr(&a->body, "{\"error\":\"Forbidden\"");
	if (why) {
		hg_buf_cstr(&a->body, ",\"reason\":");
		json_quote(&a->body, hg_str(why));
	}
	hg_buf_cstr(&a->body, "}\n");
	app_answer(a, call, req, 403, hg_buf_view(&a->body));
}

bool app_admit(struct app *a, struct serve_call *call, const struct serve_request *req,
        struct deferred *d, enum access_permission p)
{
	const struct access_who *who = a->who;
	if (access_may(who, p)) return true;
	/* Without ADMIN_KEY there is nothing that could be shown. */
	bool hopeless = a->people->config->auth == ACCESS_OFF && !a->people->config->admin_key[0];
	app_deferred_free(d);
	if (who->by == ACCESS_BY_NOTHING && !hopeless)
		app_unauthorized(a, call, req, false);
	else
		app_forbidden(a, call, req, NULL);
	return false;
}

static void health(struct app *a, struct serve_call *call, const struct serve_request *req,
        bool ill, enum hg_rc rc, int64_t total, const char *why)
{
	char now[TEXT_TIME_MAX];
	size_t n = text_time_iso(clock_wall_ns(), now);
	if (ill && rc == HG_OK) {
		rc = HG_E_INTERNAL;
		why = "unhealthy on purpose (FEEDBACK_FAULT)";
	}
	hg_buf_reset(&a->body);
	if (rc == HG_OK) {
		hg_buf_fmt(&a->body,
		        "{\"status\":\"healthy\",\"timestamp\":\"%.*s\",\"feedback_count\":%lld}\n",
		        (int)n, now, (long long)total);
	} else {
		hg_buf_fmt(&a->body,
		        "{\"status\":\"unhealthy\",\"timestamp\":\"%.*s\",\"error\":", (int)n, now);
		json_quote(&a->body, hg_str(why));
		hg_buf_cstr(&a->body, "}\n");
		a->metrics.errors[ill ? ERROR_FAULT : ERROR_DATABASE]++;
	}
	app_answer(a, call, req, rc == HG_OK ? 200 : 503, hg_buf_view(&a->body));
}

/* Exemplars are there for those who ask for the format that has them. */
static bool wants_openmetrics(const struct serve_request *req)
{
	struct hg_str accept = field(req, HTTP1_F_ACCEPT);
	return accept.n && memmem(accept.p, accept.n, "application/openmetrics-text", 28);
}

static void metrics(struct app *a, struct serve_call *call, const struct serve_request *req,
        enum hg_rc rc, int64_t total)
{
	bool open = wants_openmetrics(req);
	struct metrics_gauges g = {.log_lines_dropped = jsonlog_dropped(a->log),
	        .feedback_count = rc == HG_OK ? total : -1};
	hg_buf_reset(&a->body);
	metrics_text(&a->metrics, &g, open, &a->body);
	store_metrics(a->store, &a->body);
	hg_buf_str(&a->body, hg_buf_view(&a->depths));
	if (a->workers) worker_metrics(a->workers, &a->body);
	lists_metrics(a->lists, &a->body);
	people_metrics(a->people, &a->body);
	tracer_metrics(a->tracer, &a->body);
	metrics_process_text(&a->body);
	if (open) metrics_openmetrics(&a->body);
	serve_field(call, "Vary", HG_STR("Accept"));
	serve_answer(call, 200, open ? METRICS_OPENMETRICS : METRICS_TEXT, hg_buf_view(&a->body));
}

void app_total(struct app *a, struct serve_call *call, const struct serve_request *req,
        enum hg_rc rc, int64_t total, const char *why)
{
	if (route_of(req->path).endpoint == ENDPOINT_METRICS)
		metrics(a, call, req, rc, total);
	else
		health(a, call, req, false, rc, total, why);
}

static void ask_total(
        struct app *a, struct serve_call *call, const struct serve_request *req, struct deferred *d)
{
	struct store_op op = {.kind = STORE_TOTAL};
	struct rows *rows = store_rows(a->store);
	struct hg_err err = {0};
	int64_t total = 0;
	if (!rows) {
		app_queue(a, call, req, &op, d);
		return;
	}
	enum hg_rc rc = rows_total(rows, &total, &err);
	app_total(a, call, req, rc, total, err.message);
	app_deferred_free(d);
}

void app_measured(struct app *a, struct deferred *d)
{
	ask_total(a, d->call, d->req, d);
}

static void ask_depths(
        struct app *a, struct serve_call *call, const struct serve_request *req, struct deferred *d)
{
	hg_buf_reset(&a->depths);
	if (!d) d = app_defer(a, call, req);
	if (!d || !app_measure(a, d)) ask_total(a, call, req, d);
}

/* Also answers a CORS preflight: any origin may use the API, without credentials. */
static void options(
        struct app *a, struct serve_call *call, const struct serve_request *req, enum endpoint e)
{
	const struct http1_field *asked =
	        http1_find_name(req->head, HG_STR("Access-Control-Request-Headers"));
	(void)a;
	serve_field(call, "Allow", hg_str(route_allow(e)));
	if (route_is_people(e)) { /* for our own pages alone */
		serve_answer(call, 204, NULL, HG_STR(""));
		return;
	}
	app_cors(call, req);
	serve_field(call, "Access-Control-Allow-Methods", hg_str(route_allow(e)));
	serve_field(call, "Access-Control-Allow-Headers",
	        asked && asked->value.n ? asked->value : HG_STR("Content-Type, Idempotency-Key"));
	serve_field(call, "Access-Control-Max-Age", HG_STR("600"));
	serve_answer(call, 204, NULL, HG_STR(""));
}

/* True: who asks may not touch feedback like that, and was told so. */
static bool keep_out(
        struct app *a, struct serve_call *call, const struct serve_request *req, struct deferred *d)
{
	const struct access_who *who = a->who;
	enum access_permission want = ACCESS_FEEDBACK_READ;
	switch (req->method) {
	case HTTP1_POST: want = ACCESS_FEEDBACK_CREATE; break;
	case HTTP1_PUT:
		want = access_may(who, ACCESS_FEEDBACK_UPDATE_OWN) ? ACCESS_FEEDBACK_UPDATE_OWN
		                                                   : ACCESS_FEEDBACK_UPDATE;
		break;
	case HTTP1_DELETE:
		want = access_may(who, ACCESS_FEEDBACK_DELETE_OWN) ? ACCESS_FEEDBACK_DELETE_OWN
		                                                   : ACCESS_FEEDBACK_DELETE;
		break;
	default: break;
	}
	return !app_admit(a, call, req, d, want);
}

static void dispatch(
        struct app *a, struct serve_call *call, const struct serve_request *req, struct deferred *d)
{
	struct route r = route_of(req->path);
	bool found = true, item = r.endpoint == ENDPOINT_LIST || r.endpoint == ENDPOINT_ITEM;
	if (a->who->by == ACCESS_BY_SESSION) {
		const char *why = people_forged(a->people, req);
		if (why) {
			app_deferred_free(d);
			app_forbidden(a, call, req, why);
			return;
		}
	}
	if (item && keep_out(a, call, req, d)) return;
	switch (r.endpoint) {
	case ENDPOINT_LIST:
	case ENDPOINT_ITEM: app_feedback(a, call, req, &r, d); return;
	case ENDPOINT_VOTE:
	case ENDPOINT_STATUS:
	case ENDPOINT_VOTES: app_votes(a, call, req, &r, d); return;
	case ENDPOINT_HEALTH: ask_total(a, call, req, d); return;
	case ENDPOINT_METRICS: ask_depths(a, call, req, d); return;
	case ENDPOINT_JOBS:
	case ENDPOINT_JOBS_STATS:
	case ENDPOINT_JOBS_RETRY:
	case ENDPOINT_JOB:
	case ENDPOINT_JOB_RETRY:
	case ENDPOINT_EXPORTS:
	case ENDPOINT_EXPORT: app_jobs(a, call, req, &r, d); return;
	case ENDPOINT_MAIL_TEST:
	case ENDPOINT_WEBHOOKS: outgoing_handle(a->outgoing, call, req, d); return;
	case ENDPOINT_AUTH:
	case ENDPOINT_USERS:
	case ENDPOINT_AUDIT: people_handle(a->people, call, req, d); return;
	case ENDPOINT_PAGE:
	case ENDPOINT_STATIC: app_static(call, req, &found); break;
	default: found = false;
	}
	if (!found) app_refuse(a, call, req, 404, "Not found");
	app_deferred_free(d);
}

void app_enter(struct app *a, struct serve_call *call, const struct serve_request *req,
        struct deferred *d, const struct access_who *who)
{
	a->who = who;
	dispatch(a, call, req, d);
	a->who = NULL;
}

/* Finds out who asks first, if it matters here. */
static void admit(
        struct app *a, struct serve_call *call, const struct serve_request *req, struct deferred *d)
{
	struct people_shown shown;
	struct access_who who;
	switch (route_of(req->path).endpoint) {
	case ENDPOINT_HEALTH:
	case ENDPOINT_METRICS:
	case ENDPOINT_PAGE:
	case ENDPOINT_STATIC:
		who = access_nobody(ACCESS_REQUIRED);
		app_enter(a, call, req, d, &who);
		return;
	default: break;
	}
	switch (people_identify(a->people, req, &shown, &who)) {
	case PEOPLE_KNOWN: app_enter(a, call, req, d, &who); break;
	case PEOPLE_LOOK_UP: people_look_up(a->people, call, req, &shown, d); break;
	case PEOPLE_REFUSED:
		app_deferred_free(d);
		app_unauthorized(a, call, req, true);
		break;
	}
}

static void on_slow_over(struct loop *l, struct loop_timer *t)
{
	struct deferred *d = HG_CONTAINER(t, struct deferred, timer);
	(void)l;
	admit(d->app, d->call, d->req, d);
}

#define LEAK_BYTES (1u << 20)

/* Kept by nobody, on purpose: mapped, so that a sanitizer does not take it for a defect. */
static void leak(void)
{
	char *p =
	        mmap(NULL, LEAK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p != MAP_FAILED) memset(p, 1, LEAK_BYTES);
}

/* True: the request is dealt with. */
static bool misbehave(
        struct app *a, struct serve_call *call, const struct serve_request *req, bool probe)
{
	struct deferred *d;
	struct fault_past past = {loop_now_ms(a->loop) - a->born_ms, a->requests};
	if (!probe) a->requests++;
	switch (fault_draw(&a->fault, &a->rand, probe, past)) {
	case FAULT_NONE:
	case FAULT_JOBS: return false;
	case FAULT_LEAK: leak(); return false;
	case FAULT_ERRORS:
		app_fail(a, call, req, ERROR_FAULT, HG_E_INTERNAL, "FEEDBACK_FAULT=errors");
		return true;
	case FAULT_CRASH: abort();
	case FAULT_CLOSE: serve_abort(call); return true;
	case FAULT_UNHEALTHY:
		if (!hg_str_eq(req->path, HG_STR("/health"))) return false;
		health(a, call, req, true, HG_OK, 0, "");
		return true;
	case FAULT_HANG: return app_defer(a, call, req) != NULL;
	case FAULT_SLOW:
		d = app_defer(a, call, req);
		if (!d) return false;
		if (loop_timer_start(a->loop, &d->timer, a->fault.slow_ms, on_slow_over) < 0)
			admit(a, call, req, d);
		return true;
	}
	return false;
}

void app_handle(void *arg, struct serve_call *call, const struct serve_request *req)
{
	struct app *a = HG_OBJ(arg, struct app, APP_MAGIC);
	enum endpoint e = route_of(req->path).endpoint;
	bool probe = e == ENDPOINT_HEALTH || e == ENDPOINT_METRICS;
	if (e == ENDPOINT_NONE || (a->config->worker && !probe)) {
		app_refuse(a, call, req, 404, "Not found");
	} else if (!route_allows(e, req->method)) {
		serve_field(call, "Allow", hg_str(route_allow(e)));
		app_refuse(a, call, req, 405, "Method not allowed");
	} else if (req->method == HTTP1_OPTIONS) {
		options(a, call, req, e);
	} else if (!misbehave(a, call, req, probe)) {
		admit(a, call, req, NULL);
	}
}

static struct hg_str safe_id(struct hg_str id)
{
	return text_is_token(id, 128) ? id : HG_STR("");
}

/* The span of a request, and the example of how long such a one takes. */
static void trace_request(struct app *a, const struct serve_request *req, const struct trace *t,
        enum endpoint e, unsigned status, uint64_t duration_ns)
{
	static const char *const named[HTTP1_METHODS][2] = {
	        [HTTP1_GET] = {"list_feedback", "get_feedback"},
	        [HTTP1_POST] = {"create_feedback"},
	        [HTTP1_PUT] = {NULL, "update_feedback"},
	        [HTTP1_DELETE] = {NULL, "delete_feedback"}};
	struct trace_span s;
	char name[96], code[8];
	uint64_t now_ns = clock_wall_ns();
	bool item = e == ENDPOINT_ITEM;
	const char *ours = e == ENDPOINT_LIST || item ? named[req->method][item] : NULL;
	metrics_example(&a->metrics, e, req->method, duration_ns, t->ctx.trace, now_ns);
	(void)snprintf(name, sizeof name, "%s %s", http1_method_name(req->method), route_label(e));
	trace_begin(&s, a->tracer, t, TRACE_SELF, SPAN_SERVER, ours ? ours : name,
	        (struct trace_when){now_ns - duration_ns, now_ns});
	trace_str(&s, "http.request.method", hg_str(http1_method_name(req->method)));
	trace_str(&s, "http.route", hg_str(route_label(e)));
	if (!route_is_people(e)) trace_str(&s, "url.path", req->path);
	trace_str(&s, "url.scheme", HG_STR("http"));
	trace_int(&s, "http.response.status_code", status);
	if (req->note[0]) trace_int(&s, "feedback.id", req->note[0]);
	if (req->note[1]) trace_int(&s, "feedback.message_length", req->note[1]);
	int n = snprintf(code, sizeof code, "%u", status);
	if (status >= 500) trace_failed(&s, (struct hg_str){code, (size_t)n});
	trace_end(&s);
}

void app_done(void *arg, const struct serve_request *req, unsigned status, uint64_t bytes,
        uint64_t duration_ns)
{
	struct app *a = HG_OBJ(arg, struct app, APP_MAGIC);
	bool parsed = req && req->head;
	enum endpoint e = parsed ? route_of(req->path).endpoint : ENDPOINT_NONE;
	enum http1_method method = parsed ? req->method : HTTP1_OTHER;
	bool probe = e == ENDPOINT_HEALTH || e == ENDPOINT_METRICS;
	enum hg_level level = status >= 500 ? HG_ERROR : probe && status < 400 ? HG_DEBUG : HG_INFO;
	char line[96], remote[SOCK_TEXT_MAX];
	struct hg_out o = hg_out_over(line, sizeof line - 1);
	if (status == 0) status = 499;
	struct trace trace = trace_of(a->tracer, parsed ? req : NULL);
	metrics_request(&a->metrics, e, method, status, duration_ns);
	/* Who looks after us is traced only if he asks for it. */
	if (parsed && trace_kept(a->tracer, &trace) && (!probe || trace.has_parent))
		trace_request(a, req, &trace, e, status, duration_ns);
	if (!jsonlog_wants(a->log, level)) return;
	struct hg_str method_text = parsed ? req->head->method_text : HG_STR("-");
	struct hg_str target = parsed ? req->head->target : HG_STR("-");
	if (parsed && route_is_people(e)) target = req->head->path; /* queries have codes there */
	hg_out_str(&o, (struct hg_str){method_text.p, HG_MIN(method_text.n, (size_t)16)});
	hg_out_byte(&o, ' ');
	hg_out_cstr(&o, parsed ? route_label(e) : "-");
	hg_out_byte(&o, ' ');
	hg_out_u64(&o, status);
	line[o.n] = 0;
	size_t n = req ? sock_addr_host(&req->peer, remote, sizeof remote) : 0;
	jsonlog(a->log, level, "feedback.access", line, HG_V("method", method_text),
	        HG_V("path", target), HG_I("status", status),
	        HG_F("duration_ms", (double)duration_ns / 1e6), HG_I("bytes", bytes),
	        HG_V("remote", ((struct hg_str){remote, n})), HG_V("trace_id", trace_id(&trace)),
	        HG_V("request_id", safe_id(field(req, HTTP1_F_X_REQUEST_ID))));
}

void app_error_body(void *arg, unsigned status, const char *what, struct hg_buf *body,
        const char **ret_content_type)
{
	struct app *a = HG_OBJ(arg, struct app, APP_MAGIC);
	(void)what; /* may say more than a client should know; the status phrase is enough */
	if (status >= 500) a->metrics.errors[ERROR_OVERLOAD]++;
	error_json(http1_reason(status), HG_STR(""), body);
	*ret_content_type = "application/json";
}

static void on_note(
        void *arg, enum hg_level level, const char *what, const char *server, const char *why)
{
	struct app *a = HG_OBJ(arg, struct app, APP_MAGIC);
	jsonlog(a->log, level, "feedback.database", what, HG_S("server", server),
	        HG_S("reason", why));
}

enum hg_rc app_init(struct app *a, struct loop *l, struct jsonlog *log, const struct config *c,
        struct hg_err *err)
{
	*a = (struct app){.magic = APP_MAGIC,
	        .config = c,
	        .loop = l,
	        .log = log,
	        .fault = c->fault,
	        .born_ms = loop_now_ms(l)};
	struct store_options o = {.config = c, .done = app_stored, .note = on_note, .arg = a};
	hg_rand_seed(&a->rand, clock_mono_ns());
	hg_buf_init(&a->body, BODY_MAX);
	hg_buf_init(&a->depths, BODY_MAX);
	hg_list_init(&a->deferred);
	a->build = lists_build();
	struct desk_options desk = {.url = c->database, .durability = c->durability};
	a->people = calloc(1, sizeof *a->people);
	if (!a->people) return hg_err_set(err, HG_E_NOMEM, "not enough memory");
	a->people->config = c;
	enum hg_rc rc = tracer_new(c, &a->tracer, err);
	if (rc == HG_OK) rc = store_open(l, &o, &a->store, err);
	if (rc == HG_OK) rc = lists_new(a, c, &a->lists, err);
	if (rc < 0) return rc;
	rc = desk_new(l, &desk, &a->desk);
	if (rc < 0) return hg_err_set(err, rc, "could not start the desk");
	rc = people_init(a->people, a, err);
	if (rc == HG_OK) rc = outgoing_new(a, &c->outgoing, &a->outgoing, err);
	if (rc == HG_OK && (c->worker || c->workers_inline))
		rc = worker_new(l, c, log, a->tracer, &a->workers, err);
	return rc;
}

/* The desk first: what it hands back may go on to the store. */
void app_stop(struct app *a)
{
	outgoing_stop(a->outgoing);
	worker_free(a->workers);
	a->workers = NULL;
	if (a->people) people_stop(a->people);
	desk_free(a->desk);
	a->desk = NULL;
	outgoing_free(a->outgoing);
	a->outgoing = NULL;
	lists_stop(a->lists);
	store_close(a->store);
	a->store = NULL;
}

void app_fini(struct app *a)
{
	lists_free(a->lists);
	a->lists = NULL;
	HG_LIST_EACH_SAFE (node, after, &a->deferred) {
		app_deferred_free(HG_CONTAINER(node, struct deferred, node));
	}
	hg_buf_free(&a->body);
	hg_buf_free(&a->depths);
	if (a->people) people_fini(a->people);
	free(a->people);
	a->people = NULL;
	tracer_free(a->tracer);
	a->tracer = NULL;
	metrics_free(&a->metrics);
	a->magic = 0;
}
