/* GET and POST /feedback; GET, PUT and DELETE /feedback/{id}. */
#include "apps/feedback/app_priv.h"

#include <stdlib.h>

#define LIMIT_DEFAULT 100u

static const char not_found[] = "Feedback not found";

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

/* A query parameter that is a number from 1 to max; absent: the value stays. */
static bool number_of(struct hg_str query, const char *name, uint64_t max, uint64_t *number)
{
	char text[64];
	uint64_t n = 0;
	if (!serve_query(query, name, text, sizeof text)) return true;
	if (!hg_str_u64(hg_str(text), &n) || n < 1 || n > max) return false;
	*number = n;
	return true;
}

static void list(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct route *r)
{
	uint64_t limit = LIMIT_DEFAULT, before = 0;
	struct rows_page page = {0};
	struct hg_err err = {0};
	enum hg_rc rc;
	if (!number_of(req->query, "limit", ROWS_LIMIT_MAX, &limit)) {
		app_refuse(a, call, req, 400, "limit must be a number from 1 to 1000");
		return;
	}
	if (!number_of(req->query, "before", INT64_MAX, &before)) {
		app_refuse(a, call, req, 400, "before must be the id of a feedback");
		return;
	}
	hg_buf_reset(&a->body);
	rc = rows_list(a->rows, (int64_t)before, (uint32_t)limit, &a->body, &page, &err);
	if (rc < 0) {
		app_fail(a, call, req, ERROR_DATABASE, rc, err.message);
		return;
	}
	a->metrics.operations[OPERATION_READ]++;
	list_fields(call, r, (uint32_t)limit, &page);
	app_answer(a, call, req, 200, hg_buf_view(&a->body));
}

static void answer_row(struct app *a, struct serve_call *call, const struct serve_request *req,
        unsigned status, const struct row *row)
{
	hg_buf_reset(&a->body);
	row_json(row, &a->body);
	app_answer(a, call, req, status, hg_buf_view(&a->body));
}

static void get(struct app *a, struct serve_call *call, const struct serve_request *req, int64_t id)
{
	struct row row;
	struct hg_err err = {0};
	enum hg_rc rc = id ? rows_get(a->rows, id, &row, &err) : HG_E_NOT_FOUND;
	if (rc == HG_E_NOT_FOUND) {
		app_refuse(a, call, req, 404, not_found);
	} else if (rc < 0) {
		app_fail(a, call, req, ERROR_DATABASE, rc, err.message);
	} else {
		a->metrics.operations[OPERATION_READ]++;
		answer_row(a, call, req, 200, &row);
	}
}

static void answer_written(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct write_op *op)
{
	if (op->rc == HG_E_NOT_FOUND)
		app_refuse(a, call, req, 404, not_found);
	else if (op->rc < 0)
		app_fail(a, call, req, ERROR_DATABASE, op->rc, op->why);
	else if (op->kind == WRITE_DELETE)
		app_answer(a, call, req, 200,
		        HG_STR("{\"message\":\"Feedback deleted successfully\"}\n"));
	else if (op->key_n && op->once == ROWS_OTHER)
		app_refuse(a, call, req, 422, "This Idempotency-Key was used for another message");
	else
		answer_row(a, call, req, op->kind == WRITE_CREATE ? 201 : 200, &op->row);
}

void app_written(void *arg, struct write_op *op)
{
	static const enum operation counted[] = {[WRITE_CREATE] = OPERATION_CREATE,
	        [WRITE_UPDATE] = OPERATION_UPDATE,
	        [WRITE_DELETE] = OPERATION_DELETE};
	struct app *a = HG_OBJ(arg, struct app, APP_MAGIC);
	struct deferred *d = op->tag;
	if (op->rc == HG_OK && op->once == ROWS_FIRST) a->metrics.operations[counted[op->kind]]++;
	d->writing = false;
	/* Answering may tell us that the client has left, which frees what is still deferred. */
	struct serve_call *call = d->call;
	const struct serve_request *req = d->req;
	app_deferred_free(d);
	if (call) answer_written(a, call, req, op);
	free(op);
}

static void queue_write(struct app *a, struct serve_call *call, const struct serve_request *req,
        struct write_op op, struct deferred *d)
{
	struct write_op *queued = malloc(sizeof *queued);
	if (queued && !d) d = app_defer(a, call, req);
	if (queued && d) {
		*queued = op;
		queued->tag = d;
		d->writing = true;
		if (writer_queue(a->writer, queued)) return;
		d->writing = false;
	}
	free(queued);
	app_deferred_free(d);
	app_fail(a, call, req, ERROR_OVERLOAD, HG_E_NOMEM, "the writer's queue is full");
}

/* NULL when the body is a good message; else what is wrong, and the status. */
static const char *message_of(
        const struct serve_request *req, struct message *m, unsigned *ret_status)
{
	const struct http1_field *type = http1_find(req->head, HTTP1_F_CONTENT_TYPE);
	const struct http1_field *coding = http1_find(req->head, HTTP1_F_CONTENT_ENCODING);
	*ret_status = 415;
	if (coding && !hg_str_eq_nocase(coding->value, HG_STR("identity")))
		return "Content-Encoding is not supported";
	if ((type || req->body.n) && (!type || !message_type_ok(type->value)))
		return "Content-Type must be application/json";
	*ret_status = 400;
	return message_parse(req->body, m);
}

/* NULL, and the key in *op if there is one; else what is wrong with it. */
static const char *key_of(const struct serve_request *req, struct write_op *op)
{
	const struct http1_field *f = http1_find(req->head, HTTP1_F_IDEMPOTENCY_KEY);
	if (!f) return NULL;
	struct hg_str key = f->value; /* a string of RFC 8941, so perhaps in quotation marks */
	if (key.n >= 2 && key.p[0] == '"' && key.p[key.n - 1] == '"')
		key = (struct hg_str){key.p + 1, key.n - 2};
	if (!text_is_token(key, sizeof op->key))
		return "Idempotency-Key must be 1 to 128 letters, digits or punctuation";
	memcpy(op->key, key.p, key.n);
	op->key_n = key.n;
	return NULL;
}

void app_feedback(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct route *r, struct deferred *d)
{
	struct write_op op = {.row.id = r->id};
	const char *wrong = NULL;
	unsigned status = 400;
	bool write = true;
	switch (req->method) {
	case HTTP1_POST: op.kind = WRITE_CREATE; break;
	case HTTP1_PUT: op.kind = WRITE_UPDATE; break;
	case HTTP1_DELETE: op.kind = WRITE_DELETE; break;
	default: write = false;
	}
	if (write && op.kind != WRITE_DELETE) wrong = message_of(req, &op.row.message, &status);
	if (write && !wrong && op.kind == WRITE_CREATE) wrong = key_of(req, &op);
	if (write && !wrong && r->endpoint == ENDPOINT_ITEM && !r->id) {
		wrong = not_found;
		status = 404;
	}
	if (write && !wrong) {
		queue_write(a, call, req, op, d);
		return;
	}
	/* From here on the answer is given at once, and a deferral is over. */
	app_deferred_free(d);
	if (wrong)
		app_refuse(a, call, req, status, wrong);
	else if (r->endpoint == ENDPOINT_LIST)
		list(a, call, req, r);
	else
		get(a, call, req, r->id);
}
