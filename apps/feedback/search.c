/*
 * GET /feedback?q=…&mine=1, and of the second version ?status=…&sort=votes: a list that is a part
 * of all, or in another order, asked of the database at the desk.
 *
 * Words can be anywhere in a message, and an index for that would make every write dearer. Instead
 * a request looks at SEARCH_WINDOW rows at most, in their order, and says by Link where to go on:
 * so each costs the same, however many rows there are and however rare the word is. A page may have
 * fewer entries than its limit, or none, and yet not be the last. There is no cache.
 *
 * By votes: those with votes from their index, then the rest, newest first, from the key. A page
 * begins behind a place (votes, id), which stays where it is whatever becomes of the row that gave
 * it; who is voted for meanwhile may be seen twice or not at all, as in any list that moves.
 */
#include "apps/feedback/app_priv.h"

#include <inttypes.h>
#include <stdlib.h>

#include "wire/json.h"

#include "apps/feedback/desk_priv.h"
#include "apps/feedback/sql_priv.h"

#define SEARCH_WINDOW 20000
#define TEXT_MAX      100u                /* code points */
#define TEXT_BYTES    (4 * TEXT_MAX + 64) /* with space around that is trimmed */
#define ANSWER_MAX    (16u << 20)

/* A place in the order by votes: behind the row of it, if there is one. */
struct place {
	int64_t votes, id;
};

struct searching {
	struct desk_task task;
	struct app *app;
	struct serve_call *call; /* NULL: the client has left */
	const struct serve_request *req;
	struct hg_str prefix; /* of the path, as route_of gives it */
	enum rows_form form;
	int64_t owner;     /* 0: everybody's */
	struct place from; /* where the page begins; id 0: at the beginning */
	uint32_t limit;
	bool by_votes, by_status;
	enum status status;
	char text[TEXT_BYTES];            /* "": whatever they say */
	char pattern[2 * TEXT_BYTES + 3]; /* of LIKE */
	/* out */
	struct hg_buf body;
	uint32_t n;
	struct place next; /* id 0: this is the last page */
	int64_t total;     /* -1: not counted */
};

/* ---- at the desk ---- */

/* A question as it is put together; values by their places. */
struct question {
	char text[1400];
	struct hg_out sql;
	struct sql_value value[10];
	size_t n;
	bool server;
};

static void ask_value(struct question *q, struct sql_value v)
{
	HG_ASSERT(q->n < HG_COUNT(q->value));
	q->value[q->n++] = v;
	hg_out_fmt(&q->sql, "$%zu", q->n);
}

static void begin_question(struct question *q, bool server)
{
	*q = (struct question){.server = server};
	q->sql = hg_out_over(q->text, sizeof q->text - 1);
	hg_out_cstr(&q->sql, server ? "SELECT id, message, " SQL_SERVER_TIME(
	                                      "created_at") ", " SQL_SERVER_TIME("updated_at")
	                            : "SELECT id, message, " SQL_FILE_TIME(
	                                      "created_at") ", " SQL_FILE_TIME("updated_at"));
	hg_out_cstr(&q->sql, ", votes, status FROM feedback WHERE ");
}

/* What a row must be like, whatever the order. */
static void ask_conditions(const struct searching *s, struct question *q)
{
	if (s->text[0]) {
		hg_out_cstr(&q->sql, q->server ? " AND message ILIKE " : " AND message LIKE ");
		ask_value(q, SQL_C(s->pattern));
		hg_out_cstr(&q->sql, " ESCAPE '\\'");
	}
	if (s->owner) {
		hg_out_cstr(&q->sql, " AND owner = ");
		ask_value(q, SQL_I(s->owner));
	}
	if (s->by_status) {
		/* Only then the planner knows that the index has them all. */
		if (s->status != STATUS_OPEN) hg_out_cstr(&q->sql, " AND status <> 'open'");
		hg_out_cstr(&q->sql, " AND status = ");
		ask_value(q, SQL_C(status_name(s->status)));
	}
}

static void put_row(struct searching *s, struct db_stmt *row)
{
	static const char *const names[] = {
	        ",\"message\":", ",\"created_at\":", ",\"updated_at\":"};
	hg_buf_fmt(&s->body, "%s{\"id\":%" PRId64, s->n ? "," : "", db_column_i64(row, 0));
	for (unsigned i = 0; i < HG_COUNT(names); i++) {
		hg_buf_cstr(&s->body, names[i]);
		json_quote(&s->body, db_column_str(row, i + 1));
	}
	rows_end_json(s->form, db_column_i64(row, 4), status_of(db_column_str(row, 5)), &s->body);
}

/* Rows until the page is full. One more than asked for tells whether there are more: *ret_more. */
static enum hg_rc take_rows(
        struct searching *s, struct db *db, struct question *q, bool *ret_more, struct hg_err *err)
{
	struct db_stmt *rows = NULL;
	bool row = false;
	hg_out_cstr(&q->sql, " LIMIT ");
	ask_value(q, SQL_I((int64_t)s->limit - s->n + 1));
	HG_ASSERT(!hg_out_failed(&q->sql));
	q->text[q->sql.n] = 0;
	enum hg_rc rc = sql_open(db, q->text, q->value, q->n, &rows, err);
	if (rc < 0) return rc;
	while ((rc = db_step(rows, &row, err)) == HG_OK && row && s->n < s->limit) {
		put_row(s, rows);
		s->n++;
		s->next = (struct place){db_column_i64(rows, 4), db_column_i64(rows, 0)};
	}
	*ret_more = row;
	db_stmt_free(rows);
	return rc;
}

static enum hg_rc number(struct db *db, const char *sql, int64_t *ret_n, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	*ret_n = 0;
	enum hg_rc rc = sql_row(db, sql, NULL, 0, &s, err);
	if (rc < 0 || !s) return rc;
	*ret_n = db_column_i64(s, 0);
	db_stmt_free(s);
	return HG_OK;
}

/* In the order of ids, newest first, from below `high` on. With `by_votes`: those without votes. */
static enum hg_rc take_newest(
        struct searching *s, struct db *db, int64_t high, bool *ret_more, struct hg_err *err)
{
	struct question q;
	int64_t top = 0;
	enum hg_rc rc = number(db, "SELECT coalesce(max(id), 0) FROM feedback", &top, err);
	if (rc < 0) return rc;
	/* What an index has needs no window: one's own, and what was decided on. */
	bool open = s->by_status && s->status == STATUS_OPEN;
	bool window = s->text[0] || open || s->by_votes;
	high = high ? HG_MIN(high, top + 1) : top + 1;
	int64_t low = window ? HG_MAX(high - SEARCH_WINDOW, 0) : 0;
	begin_question(&q, db_is_postgres(db));
	hg_out_cstr(&q.sql, "id >= ");
	ask_value(&q, SQL_I(low));
	hg_out_cstr(&q.sql, " AND id < ");
	ask_value(&q, SQL_I(high));
	if (s->by_votes) hg_out_cstr(&q.sql, " AND votes <= 0");
	ask_conditions(s, &q);
	hg_out_cstr(&q.sql, " ORDER BY id DESC");
	rc = take_rows(s, db, &q, ret_more, err);
	if (!*ret_more) s->next = (struct place){0, low > 1 ? low : 0};
	return rc;
}

/* The last row that a page which begins behind `from` looks at; id 0: the index ends before. */
static enum hg_rc window_end(
        struct db *db, struct place from, struct place *ret_end, struct hg_err *err)
{
	struct db_stmt *row = NULL;
	*ret_end = (struct place){0};
	enum hg_rc rc = sql_row(db,
	        "SELECT votes, id FROM feedback WHERE votes > 0 AND (votes, id) < ($1, $2)"
	        " ORDER BY votes DESC, id DESC LIMIT 1 OFFSET $3",
	        SQL_VALUES(SQL_I(from.votes), SQL_I(from.id), SQL_I(SEARCH_WINDOW - 1)), &row, err);
	if (rc < 0 || !row) return rc;
	*ret_end = (struct place){db_column_i64(row, 0), db_column_i64(row, 1)};
	db_stmt_free(row);
	return HG_OK;
}

/* Those with votes, most first. *ret_more: there are some that were not looked at. */
static enum hg_rc take_voted(
        struct searching *s, struct db *db, struct place from, bool *ret_more, struct hg_err *err)
{
	struct question q;
	struct place end = {0};
	enum hg_rc rc = HG_OK;
	if (s->text[0] || s->owner || s->by_status) rc = window_end(db, from, &end, err);
	if (rc < 0) return rc;
	begin_question(&q, db_is_postgres(db));
	hg_out_cstr(&q.sql, "votes > 0 AND (votes, id) < (");
	ask_value(&q, SQL_I(from.votes));
	hg_out_cstr(&q.sql, ", ");
	ask_value(&q, SQL_I(from.id));
	hg_out_byte(&q.sql, ')');
	if (end.id) {
		hg_out_cstr(&q.sql, " AND (votes, id) >= (");
		ask_value(&q, SQL_I(end.votes));
		hg_out_cstr(&q.sql, ", ");
		ask_value(&q, SQL_I(end.id));
		hg_out_byte(&q.sql, ')');
	}
	ask_conditions(s, &q);
	hg_out_cstr(&q.sql, " ORDER BY votes DESC, id DESC");
	rc = take_rows(s, db, &q, ret_more, err);
	if (*ret_more || !end.id) return rc;
	s->next = end;
	*ret_more = true;
	return rc;
}

static enum hg_rc take_by_votes(struct searching *s, struct db *db, struct hg_err *err)
{
	struct place from = s->from.id ? s->from : (struct place){INT64_MAX, INT64_MAX};
	bool more = false;
	/* The two parts belong to one moment. */
	enum hg_rc rc = db_exec(db,
	        db_is_postgres(db) ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" : "BEGIN",
	        err);
	if (rc == HG_OK && from.votes > 0) rc = take_voted(s, db, from, &more, err);
	if (rc == HG_OK && !more) rc = take_newest(s, db, from.votes > 0 ? 0 : from.id, &more, err);
	return rc;
}

static enum hg_rc run(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct searching *s = HG_CONTAINER(t, struct searching, task);
	bool more = false;
	bool all = s->form == ROWS_V2 && !s->text[0] && !s->owner && !s->by_status;
	hg_buf_byte(&s->body, '[');
	enum hg_rc rc = s->by_votes ? take_by_votes(s, db, err)
	                            : take_newest(s, db, s->from.id, &more, err);
	s->total = -1;
	if (rc == HG_OK && all)
		rc = number(db, "SELECT CAST(sum(total) AS bigint) FROM feedback_total", &s->total,
		        err);
	hg_buf_cstr(&s->body, "]\n");
	if (rc == HG_OK && s->body.failed)
		rc = hg_err_set(err, HG_E_NOMEM, "not enough memory for the list");
	return rc;
}

/* ---- answers ---- */

static void percent(struct hg_out *o, const char *text)
{
	for (const char *c = text; *c; c++) {
		bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
		             (*c >= '0' && *c <= '9') || *c == '-' || *c == '_';
		if (plain)
			hg_out_byte(o, *c);
		else
			hg_out_fmt(o, "%%%02X", (unsigned)(unsigned char)*c);
	}
}

static void next_field(struct searching *s, struct serve_call *call)
{
	char text[3 * TEXT_BYTES + 200];
	struct hg_out o = hg_out_over(text, sizeof text);
	if (s->total >= 0) {
		hg_out_u64(&o, (uint64_t)s->total);
		serve_field(call, "X-Total-Count", (struct hg_str){text, o.n});
		o = hg_out_over(text, sizeof text);
	}
	if (!s->next.id) return;
	hg_out_fmt(&o, "<%.*s/feedback?limit=%u&before=%lld", HG_STR_ARG(s->prefix), s->limit,
	        (long long)s->next.id);
	if (s->by_votes) hg_out_fmt(&o, "&votes=%lld&sort=votes", (long long)s->next.votes);
	if (s->by_status) hg_out_fmt(&o, "&status=%s", status_name(s->status));
	if (s->owner) hg_out_cstr(&o, "&mine=1");
	if (s->text[0]) hg_out_cstr(&o, "&q=");
	percent(&o, s->text);
	hg_out_cstr(&o, ">; rel=\"next\"");
	if (!hg_out_failed(&o)) serve_field(call, "Link", (struct hg_str){text, o.n});
}

static void done(struct desk_task *t, enum hg_rc rc, const char *why)
{
	struct searching *s = HG_CONTAINER(t, struct searching, task);
	struct serve_call *call = s->call;
	s->call = NULL;
	if (call && rc < 0) {
		app_fail(s->app, call, s->req, ERROR_DATABASE, rc, why);
	} else if (call) {
		s->app->metrics.operations[OPERATION_READ]++;
		next_field(s, call);
		/* what is mine is not another's */
		if (s->owner) serve_field(call, "Vary", HG_STR("Cookie, Authorization"));
		app_answer(s->app, call, s->req, 200, hg_buf_view(&s->body));
	}
	hg_buf_free(&s->body);
	free(s);
}

static void gone(void *arg)
{
	struct searching *s = arg;
	if (!s->call) return; /* it is being answered */
	s->call = NULL;
	desk_cancel(s->app->desk, &s->task);
}

/* ---- questions ---- */

static bool has(struct hg_str query, const char *name)
{
	while (query.n) {
		struct hg_str one = hg_str_cut(&query, '&');
		if (hg_str_eq(hg_str_cut(&one, '='), hg_str(name))) return true;
	}
	return false;
}

bool app_searches(struct hg_str query, enum rows_form form)
{
	if (has(query, "q") || has(query, "mine")) return true;
	/* The first version knows neither, and takes no notice, as it ever did. */
	return form == ROWS_V2 && (has(query, "status") || has(query, "sort"));
}

/* NULL, or what is wrong with the text. An empty one is none. */
static const char *text_of(struct searching *s)
{
	static const char wrong[] = "q must be a text of at most 100 characters";
	char raw[TEXT_BYTES];
	struct hg_out o = hg_out_over(s->pattern, sizeof s->pattern - 1);
	if (!has(s->req->query, "q"))
		raw[0] = 0;
	else if (!serve_query(s->req->query, "q", raw, sizeof raw))
		return wrong;
	struct hg_str text = text_trim(hg_str(raw));
	if (!hg_utf8_valid(text) || hg_utf8_count(text) > TEXT_MAX ||
	        !hg_str_copy(text, s->text, sizeof s->text))
		return wrong;
	hg_out_byte(&o, '%');
	for (size_t i = 0; i < text.n; i++) {
		if (strchr("%_\\", text.p[i])) hg_out_byte(&o, '\\');
		hg_out_byte(&o, text.p[i]);
	}
	if (text.n) hg_out_byte(&o, '%');
	if (hg_out_failed(&o)) return wrong;
	s->pattern[o.n] = 0;
	return NULL;
}

static const char *mine_of(struct searching *s)
{
	char text[4] = "";
	if (!has(s->req->query, "mine")) return NULL;
	if (!serve_query(s->req->query, "mine", text, sizeof text) || strcmp(text, "1") != 0)
		return "mine must be 1";
	s->owner = s->app->who->user;
	return s->owner ? NULL : "mine is for who has an account";
}

static const char *status_asked(struct searching *s)
{
	char text[16] = "";
	if (s->form == ROWS_V1 || !has(s->req->query, "status")) return NULL;
	s->by_status = true;
	if (serve_query(s->req->query, "status", text, sizeof text) &&
	        status_named(hg_str(text), &s->status))
		return NULL;
	return "status must be open, planned, in_progress, done or declined";
}

/* `before` and `votes` are a place, as a Link has it. */
static const char *order_of(struct searching *s)
{
	char text[16] = "";
	uint64_t votes = 0;
	if (s->form == ROWS_V1 || !has(s->req->query, "sort")) return NULL;
	if (!serve_query(s->req->query, "sort", text, sizeof text) ||
	        (strcmp(text, "votes") != 0 && strcmp(text, "newest") != 0))
		return "sort must be newest or votes";
	s->by_votes = text[0] == 'v';
	if (!s->by_votes || !has(s->req->query, "votes")) return NULL;
	if (!serve_query(s->req->query, "votes", text, sizeof text) ||
	        !hg_str_u64(hg_str(text), &votes) || votes > INT64_MAX)
		return "votes must be a number: it belongs to before";
	s->from.votes = (int64_t)votes;
	return NULL;
}

void app_search(struct app *a, struct serve_call *call, const struct serve_request *req,
        const struct route *r, const struct store_op *op, struct deferred *d)
{
	struct searching *s = calloc(1, sizeof *s);
	const char *wrong = NULL;
	app_deferred_free(d); /* from here on the task looks after the client */
	if (!s) {
		app_fail(a, call, req, ERROR_OVERLOAD, HG_E_NOMEM, "");
		return;
	}
	*s = (struct searching){.task = {.run = run, .done = done},
	        .app = a,
	        .call = call,
	        .req = req,
	        .prefix = r->prefix,
	        .form = op->form,
	        .from.id = op->before,
	        .limit = op->limit};
	wrong = text_of(s);
	if (!wrong) wrong = mine_of(s);
	if (!wrong) wrong = status_asked(s);
	if (!wrong) wrong = order_of(s);
	hg_buf_init(&s->body, ANSWER_MAX);
	if (!wrong && desk_queue(a->desk, &s->task, 0)) {
		serve_later(call, gone, s);
		return;
	}
	free(s);
	if (wrong)
		app_refuse(a, call, req, 400, wrong);
	else
		app_fail(a, call, req, ERROR_OVERLOAD, HG_E_NOMEM, "the desk is full");
}
