/*
 * PUT and DELETE /feedback/{id}/vote, PUT /feedback/{id}/status, and GET /feedback/votes: which
 * feedback one has voted for, asked beside the lists, which are the same for everybody.
 *
 * A vote is a user's. With AUTH=off there are no users, and it is a browser's: by a cookie that the
 * page draws by lot when somebody votes for the first time. Nobody can be kept from drawing another
 * one; counts that are to mean something need people. A vote without a cookie is refused and not
 * counted as somebody new: the same request sent twice would be two votes.
 */
#include "apps/feedback/people_priv.h"

#include <inttypes.h>
#include <stdlib.h>

#include "apps/feedback/sql_priv.h"

#define VOTER      "feedback_voter"
#define IDS_MAX    1000u
#define ANSWER_MAX (64u << 10)

/* NULL, and whose it is; else why nobody can be told. */
static const char *voter_of(struct app *a, const struct serve_request *req, int64_t *ret_voter)
{
	struct hg_str text = HG_STR("");
	*ret_voter = a->who->user;
	if (*ret_voter) return NULL;
	if (a->config->auth != ACCESS_OFF)
		return "a vote is a person's: this is none with an account";
	const struct http1_field *f = http1_find(req->head, HTTP1_F_COOKIE);
	if (f && access_cookie(f->value, VOTER, &text)) *ret_voter = status_voter(text);
	if (*ret_voter) return people_other_site(req);
	return "without people (AUTH=off) a vote is a browser's: the cookie " VOTER
	       " is missing, 16 to 64 letters and digits drawn by lot";
}

/* True: refused, and answered. */
static bool keep_out(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct route *r, struct deferred *d)
{
	bool status = r->endpoint == ENDPOINT_STATUS;
	if (!app_admit(a, call, req, d, status ? ACCESS_FEEDBACK_STATUS : ACCESS_FEEDBACK_VOTE))
		return true;
	if (r->id || r->endpoint == ENDPOINT_VOTES) return false;
	app_deferred_free(d);
	app_refuse(a, call, req, 404, APP_NOT_FOUND);
	return true;
}

static void vote(struct app *a, struct serve_call *call, const struct serve_request *req,
        struct store_op *op, struct deferred *d)
{
	const char *why = voter_of(a, req, &op->voter);
	op->kind = STORE_VOTE;
	op->given = req->method == HTTP1_PUT;
	if (!why) {
		app_queue(a, call, req, op, d);
		return;
	}
	app_deferred_free(d);
	app_forbidden(a, call, req, why);
}

static void set_status(struct app *a, struct serve_call *call, const struct serve_request *req,
        struct store_op *op, struct deferred *d)
{
	unsigned status = 400;
	const char *wrong = app_body_type(req, &status);
	if (!wrong) wrong = status_parse(req->body, &op->row.status);
	op->kind = STORE_STATUS;
	if (!wrong) {
		app_queue(a, call, req, op, d);
		return;
	}
	app_deferred_free(d);
	app_refuse(a, call, req, status, wrong);
}

void app_voted(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct store_op *op)
{
	app_remember(a, call, op->position);
	if (op->rc == HG_E_NOT_FOUND) {
		app_refuse(a, call, req, 404, APP_NOT_FOUND);
		return;
	}
	if (op->rc < 0) {
		app_fail(a, call, req, ERROR_DATABASE, op->rc, op->why);
		return;
	}
	hg_buf_reset(&a->body);
	if (op->kind == STORE_VOTE)
		hg_buf_fmt(&a->body, "{\"id\":%" PRId64 ",\"votes\":%" PRId64 ",\"voted\":%s}\n",
		        op->row.id, op->row.votes, op->given ? "true" : "false");
	else
		row_json(&op->row, ROWS_V2, &a->body);
	app_answer(a, call, req, 200, hg_buf_view(&a->body));
}

/* ---- which one has voted for ---- */

struct asking {
	struct desk_task task;
	struct app *app;
	struct serve_call *call; /* NULL: the client has left */
	const struct serve_request *req;
	int64_t voter;
	uint64_t before, limit;
	struct hg_buf body;
};

static enum hg_rc run(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct asking *q = HG_CONTAINER(t, struct asking, task);
	struct db_stmt *s = NULL;
	int64_t last = 0;
	uint64_t n = 0;
	bool row = false;
	enum hg_rc rc = sql_open(db,
	        "SELECT feedback_id FROM feedback_votes WHERE voter = $1 AND feedback_id < $2"
	        " ORDER BY feedback_id DESC LIMIT $3",
	        SQL_VALUES(SQL_I(q->voter), SQL_I(q->before), SQL_I(q->limit + 1)), &s, err);
	if (rc < 0) return rc;
	hg_buf_cstr(&q->body, "{\"ids\":[");
	while ((rc = db_step(s, &row, err)) == HG_OK && row && n < q->limit) {
		last = db_column_i64(s, 0);
		hg_buf_fmt(&q->body, "%s%" PRId64, n++ ? "," : "", last);
	}
	db_stmt_free(s);
	if (row)
		hg_buf_fmt(&q->body, "],\"next\":%" PRId64 "}\n", last);
	else
		hg_buf_cstr(&q->body, "],\"next\":null}\n");
	if (rc == HG_OK && q->body.failed) rc = hg_err_set(err, HG_E_NOMEM, "not enough memory");
	return rc;
}

static void done(struct desk_task *t, enum hg_rc rc, const char *why)
{
	struct asking *q = HG_CONTAINER(t, struct asking, task);
	struct serve_call *call = q->call;
	q->call = NULL;
	if (call && rc < 0) {
		app_fail(q->app, call, q->req, ERROR_DATABASE, rc, why);
	} else if (call) {
		/* what is mine is not another's */
		serve_field(call, "Vary", HG_STR("Cookie, Authorization"));
		app_answer(q->app, call, q->req, 200, hg_buf_view(&q->body));
	}
	hg_buf_free(&q->body);
	free(q);
}

static void gone(void *arg)
{
	struct asking *q = arg;
	if (!q->call) return; /* it is being answered */
	q->call = NULL;
	desk_cancel(q->app->desk, &q->task);
}

static void ask_mine(struct app *a, struct serve_call *call, const struct serve_request *req)
{
	uint64_t before = INT64_MAX, limit = 100;
	int64_t voter = 0;
	if (!app_number(req->query, "before", INT64_MAX, &before) ||
	        !app_number(req->query, "limit", IDS_MAX, &limit)) {
		app_refuse(
		        a, call, req, 400, "before and limit must be numbers, limit at most 1000");
		return;
	}
	const char *why = voter_of(a, req, &voter);
	if (!voter && a->config->auth == ACCESS_OFF) {
		app_answer(a, call, req, 200, HG_STR("{\"ids\":[],\"next\":null}\n"));
		return;
	}
	if (why) {
		app_forbidden(a, call, req, why);
		return;
	}
	struct asking *q = calloc(1, sizeof *q);
	if (q) {
		*q = (struct asking){.task = {.run = run, .done = done},
		        .app = a,
		        .call = call,
		        .req = req,
		        .voter = voter,
		        .before = before,
		        .limit = limit};
		hg_buf_init(&q->body, ANSWER_MAX);
	}
	if (q && desk_queue(a->desk, &q->task, 0)) {
		serve_later(call, gone, q);
		return;
	}
	free(q);
	app_fail(a, call, req, ERROR_OVERLOAD, HG_E_NOMEM, "the desk is full");
}

void app_votes(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct route *r, struct deferred *d)
{
	struct store_op op = {.row.id = r->id, .form = ROWS_V2};
	if (keep_out(a, call, req, r, d)) return;
	people_from(a->people, req, a->who, &op.from);
	switch (r->endpoint) {
	case ENDPOINT_VOTE: vote(a, call, req, &op, d); break;
	case ENDPOINT_STATUS: set_status(a, call, req, &op, d); break;
	default:
		app_deferred_free(d); /* from here on the task looks after the client */
		ask_mine(a, call, req);
	}
}
