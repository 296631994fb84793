/* GET and POST /feedback; GET, PUT and DELETE /feedback/{id}. */
#include "apps/feedback/people_priv.h"

#include "os/clock.h"

#include "apps/feedback/jobs_priv.h"

#include <stdlib.h>

#define LIMIT_DEFAULT 100u
#define KEY_MAX       128u

static const char not_found[] = APP_NOT_FOUND;

static void list_fields(struct serve_call *call, const struct route *r, uint32_t limit,
        const struct rows_page *page)
{
	char text[160];
	struct hg_out o = hg_out_over(text, sizeof text);
	hg_out_u64(&o, (uint64_t)page->total);
	serve_field(call, "X-Total-Count", (struct hg_str){text, o.n});
	if (!page->next) return;
	o = hg_out_over(text, sizeof text);
	hg_out_fmt(&o, "<%.*s/feedback?limit=%u&before=%lld>; rel=\"next\"", HG_STR_ARG(r->prefix),
	        limit, (long long)page->next);
	if (!hg_out_failed(&o)) serve_field(call, "Link", (struct hg_str){text, o.n});
}

bool app_number(struct hg_str query, const char *name, uint64_t max, uint64_t *number)
{
	char text[64];
	uint64_t n = 0;
	if (!serve_query(query, name, text, sizeof text)) return true;
	if (!hg_str_u64(hg_str(text), &n) || n < 1 || n > max) return false;
	*number = n;
	return true;
}

static void list_is(struct app *a, struct serve_call *call, struct hg_str etag, enum lists_how how)
{
	a->metrics.operations[OPERATION_READ]++;
	serve_field(call, "ETag", etag);
	if (a->lists) serve_field(call, "Cache-Status", hg_str(lists_status(how)));
}

void app_answer_unchanged(struct app *a, struct serve_call *call, const struct serve_request *req,
        struct hg_str etag, enum lists_how how)
{
	list_is(a, call, etag, how);
	app_answer(a, call, req, 304, HG_STR(""));
}

void app_answer_list(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct app_list *list)
{
	struct route r = route_of(req->path);
	char text[LISTS_ETAG_MAX];
	struct hg_str etag = lists_etag(a->build, list->page->stamp, &list->at, text);
	if (serve_unchanged(req, etag)) {
		app_answer_unchanged(a, call, req, etag, list->how);
		return;
	}
	list_is(a, call, etag, list->how);
	list_fields(call, &r, list->at.limit, list->page);
	app_answer(a, call, req, 200, list->json);
}

static void answer_list(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct store_op *op)
{
	struct app_list list = {{op->before, op->limit, op->form}, &op->page, op->json, LISTS_HIT};
	app_answer_list(a, call, req, &list);
}

static void list(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct route *r, struct store_op *op, struct deferred *d)
{
	uint64_t limit = LIMIT_DEFAULT, before = 0;
	if (!app_number(req->query, "limit", ROWS_LIMIT_MAX, &limit)) {
		app_deferred_free(d);
		app_refuse(a, call, req, 400, "limit must be a number from 1 to 1000");
		return;
	}
	if (!app_number(req->query, "before", INT64_MAX, &before)) {
		app_deferred_free(d);
		app_refuse(a, call, req, 400, "before must be the id of a feedback");
		return;
	}
	struct rows *rows = store_rows(a->store);
	struct hg_err err = {0};
	op->before = (int64_t)before;
	op->limit = (uint32_t)limit;
	if (app_searches(req->query, op->form)) {
		app_search(a, call, req, r, op, d);
		return;
	}
	if (a->lists) {
		lists_ask(a->lists, call, req, op, d);
		return;
	}
	if (!rows) {
		app_queue(a, call, req, op, d);
		return;
	}
	struct trace trace = trace_of(a->tracer, req);
	struct trace_when when = {.start_ns = trace_kept(a->tracer, &trace) ? clock_wall_ns() : 0};
	hg_buf_reset(&a->body);
	enum hg_rc rc = rows_list(rows, op->form, op->before, op->limit, &a->body, &op->page, &err);
	app_trace_read(a, &trace, when.start_ns, rc);
	op->json = hg_buf_view(&a->body);
	if (rc < 0)
		app_fail(a, call, req, ERROR_DATABASE, rc, err.message);
	else
		answer_list(a, call, req, op);
	app_deferred_free(d);
}

void app_trace_read(struct app *a, const struct trace *t, uint64_t start_ns, enum hg_rc rc)
{
	if (!start_ns) return;
	bool failed = rc < 0 && rc != HG_E_NOT_FOUND;
	trace_database(a->tracer, t, "select", true, (struct trace_when){start_ns, clock_wall_ns()},
	        failed ? hg_rc_info(rc)->code : NULL);
}

static void answer_row(struct app *a, struct serve_call *call, const struct serve_request *req,
        unsigned status, const struct row *row)
{
	hg_buf_reset(&a->body);
	row_json(row, route_of(req->path).v2 ? ROWS_V2 : ROWS_V1, &a->body);
	app_answer(a, call, req, status, hg_buf_view(&a->body));
}

static void answer_got(struct app *a, struct serve_call *call, const struct serve_request *req,
        enum hg_rc rc, const struct row *row, const char *why)
{
	if (rc == HG_E_NOT_FOUND) {
		app_refuse(a, call, req, 404, not_found);
	} else if (rc < 0) {
		app_fail(a, call, req, ERROR_DATABASE, rc, why);
	} else {
		a->metrics.operations[OPERATION_READ]++;
		answer_row(a, call, req, 200, row);
	}
}

static void get(struct app *a, struct serve_call *call, const struct serve_request *req,
        struct store_op *op, struct deferred *d)
{
	struct rows *rows = store_rows(a->store);
	struct hg_err err = {0};
	int64_t id = op->row.id;
	if (!rows && id) {
		app_queue(a, call, req, op, d);
		return;
	}
	struct trace trace = trace_of(a->tracer, req);
	uint64_t start_ns = trace_kept(a->tracer, &trace) ? clock_wall_ns() : 0;
	enum hg_rc rc = id ? rows_get(rows, id, &op->row, &err) : HG_E_NOT_FOUND;
	app_trace_read(a, &trace, start_ns, rc);
	answer_got(a, call, req, rc, &op->row, err.message);
	app_deferred_free(d);
}

#define SEEN "feedback_seen"

void app_remember(struct app *a, struct serve_call *call, uint64_t position)
{
	char text[128];
	struct hg_out o = hg_out_over(text, sizeof text);
	if (!position || !store_position_s(a->store)) return;
	hg_out_fmt(&o, SEEN "=%llx; Path=/; Max-Age=%u; HttpOnly; SameSite=Lax",
	        (unsigned long long)position, store_position_s(a->store));
	if (!hg_out_failed(&o)) serve_field(call, "Set-Cookie", (struct hg_str){text, o.n});
}

/* 0 when there is none. A client that makes one up only sends its reads to the primary. */
static uint64_t position_of(struct app *a, const struct serve_request *req)
{
	if (!store_position_s(a->store)) return 0;
	const struct http1_field *f = http1_find(req->head, HTTP1_F_COOKIE);
	struct hg_str rest = f ? f->value : HG_STR("");
	while (rest.n) {
		struct hg_str one = hg_str_trim(hg_str_cut(&rest, ';'));
		char text[20];
		if (!hg_str_eq(hg_str_cut(&one, '='), HG_STR(SEEN))) continue;
		return hg_str_copy(one, text, sizeof text) ? strtoull(text, NULL, 16) : 0;
	}
	return 0;
}

static void answer_written(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct store_op *op)
{
	app_remember(a, call, op->position);
	if (op->rc == HG_E_NOT_FOUND)
		app_refuse(a, call, req, 404, not_found);
	else if (op->rc == HG_E_DENIED)
		app_forbidden(a, call, req, "it is not yours");
	else if (op->rc < 0)
		app_fail(a, call, req, ERROR_DATABASE, op->rc, op->why);
	else if (op->kind == STORE_DELETE)
		app_answer(a, call, req, 200,
		        HG_STR("{\"message\":\"Feedback deleted successfully\"}\n"));
	else if (op->key_n && op->once == ROWS_OTHER)
		app_refuse(a, call, req, 422, "This Idempotency-Key was used for another message");
	else {
		struct hg_str m = {op->row.message.bytes, op->row.message.n};
		serve_note(call, op->row.id, (int64_t)text_characters(m));
		answer_row(a, call, req, op->kind == STORE_CREATE ? 201 : 200, &op->row);
	}
}

static void answer_stored(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct store_op *op)
{
	switch (op->kind) {
	case STORE_LIST:
		if (op->rc < 0)
			app_fail(a, call, req, ERROR_DATABASE, op->rc, op->why);
		else
			answer_list(a, call, req, op);
		break;
	case STORE_GET: answer_got(a, call, req, op->rc, &op->row, op->why); break;
	case STORE_TOTAL: app_total(a, call, req, op->rc, op->page.total, op->why); break;
	case STORE_VOTE:
	case STORE_STATUS: app_voted(a, call, req, op); break;
	default: answer_written(a, call, req, op);
	}
}

/* What the database did, and the jobs that it keeps since. */
static void trace_stored(struct app *a, const struct store_op *op)
{
	static const char *const operation[] = {[STORE_CREATE] = "insert",
	        [STORE_UPDATE] = "update",
	        [STORE_VOTE] = "update",
	        [STORE_STATUS] = "update",
	        [STORE_DELETE] = "delete",
	        [STORE_LIST] = "select",
	        [STORE_GET] = "select",
	        [STORE_TOTAL] = NULL,
	        [STORE_STAMP] = NULL};
	const struct config *c = a->config;
	struct trace_when when = {op->begun_ns, op->ended_ns};
	struct trace_span s;
	if (!op->begun_ns || !operation[op->kind] || !trace_kept(a->tracer, &op->trace)) return;
	bool failed = op->rc < 0 && op->rc != HG_E_NOT_FOUND && op->rc != HG_E_DENIED;
	trace_database(a->tracer, &op->trace, operation[op->kind], store_rows(a->store) != NULL,
	        when, failed ? hg_rc_info(op->rc)->code : NULL);
	if (op->kind != STORE_CREATE || op->rc < 0 || op->once != ROWS_FIRST) return;
	if (!c->notify_email[0] && !c->webhooks) return;
	trace_begin(
	        &s, a->tracer, &op->trace, TRACE_QUEUE, SPAN_PRODUCER, "send " QUEUE_NOTIFY, when);
	trace_str(&s, "messaging.system", HG_STR("feedback"));
	trace_str(&s, "messaging.operation.name", HG_STR("send"));
	trace_str(&s, "messaging.operation.type", HG_STR("send"));
	trace_str(&s, "messaging.destination.name", HG_STR(QUEUE_NOTIFY));
	trace_end(&s);
}

void app_stored(void *arg, struct store_op *op)
{
	static const enum operation counted[] = {[STORE_CREATE] = OPERATION_CREATE,
	        [STORE_UPDATE] = OPERATION_UPDATE,
	        [STORE_VOTE] = OPERATION_VOTE,
	        [STORE_STATUS] = OPERATION_STATUS,
	        [STORE_DELETE] = OPERATION_DELETE};
	struct app *a = HG_OBJ(arg, struct app, APP_MAGIC);
	trace_stored(a, op);
	if (op->finish) {
		op->finish(op);
		return;
	}
	struct deferred *d = op->tag;
	bool written = op->kind <= STORE_DELETE && op->rc == HG_OK && !op->same;
	if (written) lists_changed(a->lists);
	if (written && op->once == ROWS_FIRST) a->metrics.operations[counted[op->kind]]++;
	if (written && (op->kind == STORE_CREATE || op->kind == STORE_STATUS))
		worker_nudge(a->workers);
	d->queued = false;
	/* Answering may tell us that the client has left, which frees what is still deferred. */
	struct serve_call *call = d->call;
	const struct serve_request *req = d->req;
	app_deferred_free(d);
	if (call) answer_stored(a, call, req, op);
	free(op);
}

void app_trace_op(struct app *a, const struct serve_request *req, struct store_op *op)
{
	op->trace = trace_of(a->tracer, req);
	if (op->kind != STORE_CREATE) return;
	struct hg_str f = trace_field(a->tracer, &op->trace, TRACE_QUEUE, op->trace_field);
	op->trace_field[f.n] = 0;
}

void app_queue(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct store_op *op, struct deferred *d)
{
	struct store_op *queued = malloc(sizeof *queued);
	struct hg_err err = {0};
	enum hg_rc rc = HG_E_NOMEM;
	if (queued && !d) d = app_defer(a, call, req);
	if (queued && d) {
		*queued = *op;
		queued->tag = d;
		app_trace_op(a, req, queued);
		d->queued = true;
		rc = store_queue(a->store, queued, &err);
		if (rc == HG_OK) return;
		d->queued = false;
	}
	free(queued);
	app_deferred_free(d);
	if (op->kind == STORE_TOTAL)
		app_total(a, call, req, rc, 0, err.message);
	else
		app_fail(a, call, req, rc == HG_E_NOMEM ? ERROR_OVERLOAD : ERROR_DATABASE, rc,
		        err.message);
}

const char *app_body_type(const struct serve_request *req, unsigned *ret_status)
{
	const struct http1_field *type = http1_find(req->head, HTTP1_F_CONTENT_TYPE);
	const struct http1_field *coding = http1_find(req->head, HTTP1_F_CONTENT_ENCODING);
	*ret_status = 415;
	if (coding && !hg_str_eq_nocase(coding->value, HG_STR("identity")))
		return "Content-Encoding is not supported";
	if ((type || req->body.n) && (!type || !message_type_ok(type->value)))
		return "Content-Type must be application/json";
	*ret_status = 400;
	return NULL;
}

/* NULL when the body is a good message; else what is wrong, and the status. */
static const char *message_of(
        const struct serve_request *req, struct message *m, unsigned *ret_status)
{
	const char *wrong = app_body_type(req, ret_status);
	return wrong ? wrong : message_parse(req->body, m);
}

/* NULL, and the key in *op if there is one; else what is wrong with it. */
static const char *key_of(const struct serve_request *req, struct store_op *op)
{
	struct hg_out o = hg_out_over(op->key, sizeof op->key);
	const struct http1_field *f = http1_find(req->head, HTTP1_F_IDEMPOTENCY_KEY);
	if (!f) return NULL;
	struct hg_str key = f->value; /* a string of RFC 8941, so perhaps in quotation marks */
	if (key.n >= 2 && key.p[0] == '"' && key.p[key.n - 1] == '"')
		key = (struct hg_str){key.p + 1, key.n - 2};
	if (!text_is_token(key, KEY_MAX))
		return "Idempotency-Key must be 1 to 128 letters, digits or punctuation";
	/* Nobody gets what another has made under the same key; no token has a space. */
	if (op->owner) hg_out_fmt(&o, "%lld ", (long long)op->owner);
	hg_out_str(&o, key);
	op->key_n = o.n;
	return NULL;
}

/* Whose it becomes, whose it must be, and who is written down. None of it comes from the body. */
static void sign(struct app *a, const struct serve_request *req, struct store_op *op)
{
	const struct access_who *who = a->who;
	enum access_permission any =
	        op->kind == STORE_UPDATE ? ACCESS_FEEDBACK_UPDATE : ACCESS_FEEDBACK_DELETE;
	op->owner = who->user;
	/* -1 owns nothing: who has no account and may change his own alone. */
	if (op->kind != STORE_CREATE && !access_may(who, any))
		op->only_owner = who->user ? who->user : -1;
	people_from(a->people, req, who, &op->from);
}

void app_feedback(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct route *r, struct deferred *d)
{
	struct store_op op = {.row.id = r->id, .form = r->v2 ? ROWS_V2 : ROWS_V1};
	const char *wrong = NULL;
	unsigned status = 400;
	bool write = true;
	switch (req->method) {
	case HTTP1_POST: op.kind = STORE_CREATE; break;
	case HTTP1_PUT: op.kind = STORE_UPDATE; break;
	case HTTP1_DELETE: op.kind = STORE_DELETE; break;
	default: write = false;
	}
	if (write) sign(a, req, &op);
	if (write && op.kind != STORE_DELETE) wrong = message_of(req, &op.row.message, &status);
	if (write && !wrong && op.kind == STORE_CREATE) wrong = key_of(req, &op);
	if (write && !wrong && r->endpoint == ENDPOINT_ITEM && !r->id) {
		wrong = not_found;
		status = 404;
	}
	if (write && !wrong) {
		app_queue(a, call, req, &op, d);
		return;
	}
	if (wrong) {
		app_deferred_free(d); /* the answer is given at once */
		app_refuse(a, call, req, status, wrong);
		return;
	}
	op.kind = r->endpoint == ENDPOINT_LIST ? STORE_LIST : STORE_GET;
	op.seen = position_of(a, req);
	if (op.kind == STORE_LIST)
		list(a, call, req, r, &op, d);
	else
		get(a, call, req, &op, d);
}
