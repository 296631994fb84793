/*
 * GET /feedback?q=…&mine=1: a list that is a part of all, asked of the database at the desk.
 *
 * Words can be anywhere in a message, and an index for that would make every write dearer. Instead
 * a request looks at SEARCH_WINDOW ids at most, newest first, and says by Link where to go on: so
 * each costs the same, however many rows there are and however rare the word is. A page may have
 * fewer entries than its limit, or none, and yet not be the last. There is no total, and no cache.
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

struct searching {
	struct desk_task task;
	struct app *app;
	struct serve_call *call; /* NULL: the client has left */
	const struct serve_request *req;
	struct hg_str prefix; /* of the path, as route_of gives it */
	int64_t owner;        /* 0: everybody's */
	int64_t before;
	uint32_t limit;
	char text[TEXT_BYTES];            /* "": whatever they say */
	char pattern[2 * TEXT_BYTES + 3]; /* of LIKE */
	/* out */
	struct hg_buf body;
	int64_t next;
};

/* ---- at the desk ---- */

/* $1 ≤ id < $2, whose pattern is $3, whose owner is $5: the newest $4 */
#define SELECT(time, like, owner)                                             \
	"SELECT id, message, " time("created_at") ", " time(                  \
	        "updated_at") " FROM feedback"                                \
	                      " WHERE id >= $1 AND id < $2 AND message " like \
	                      " $3 ESCAPE '\\'" owner " ORDER BY id DESC LIMIT $4"

static const char *const sql_of[2][2] = {
        {SELECT(SQL_FILE_TIME, "LIKE", ""), SELECT(SQL_FILE_TIME, "LIKE", " AND owner = $5")},
        {SELECT(SQL_SERVER_TIME, "ILIKE", ""), SELECT(SQL_SERVER_TIME, "ILIKE", " AND owner = $5")},
};

static void put_row(struct searching *s, struct db_stmt *row, bool first)
{
	static const char *const names[] = {
	        ",\"message\":", ",\"created_at\":", ",\"updated_at\":"};
	hg_buf_fmt(&s->body, "%s{\"id\":%" PRId64, first ? "" : ",", db_column_i64(row, 0));
	for (unsigned i = 0; i < HG_COUNT(names); i++) {
		hg_buf_cstr(&s->body, names[i]);
		json_quote(&s->body, db_column_str(row, i + 1));
	}
	hg_buf_byte(&s->body, '}');
}

static enum hg_rc newest(struct db *db, int64_t *ret_id, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	*ret_id = 0;
	enum hg_rc rc = sql_row(db, "SELECT coalesce(max(id), 0) FROM feedback", NULL, 0, &s, err);
	if (rc < 0 || !s) return rc;
	*ret_id = db_column_i64(s, 0);
	db_stmt_free(s);
	return HG_OK;
}

static enum hg_rc run(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct searching *s = HG_CONTAINER(t, struct searching, task);
	struct db_stmt *rows = NULL;
	int64_t top = 0, last = 0;
	uint32_t n = 0;
	bool row = false;
	enum hg_rc rc = newest(db, &top, err);
	if (rc < 0) return rc;
	int64_t high = s->before ? HG_MIN(s->before, top + 1) : top + 1;
	int64_t low = s->text[0] ? HG_MAX(high - SEARCH_WINDOW, 0) : 0;
	rc = sql_open(db, sql_of[db_is_postgres(db)][s->owner != 0],
	        (const struct sql_value[]){SQL_I(low), SQL_I(high), SQL_C(s->pattern),
	                SQL_I(s->limit + 1), SQL_I(s->owner)},
	        s->owner ? 5 : 4, &rows, err);
	if (rc < 0) return rc;
	hg_buf_byte(&s->body, '[');
	/* One more than asked for tells whether there is more here. */
	while ((rc = db_step(rows, &row, err)) == HG_OK && row && n < s->limit) {
		put_row(s, rows, n++ == 0);
		last = db_column_i64(rows, 0);
	}
	hg_buf_cstr(&s->body, "]\n");
	db_stmt_free(rows);
	s->next = row ? last : low > 1 ? low : 0;
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
	if (!s->next) return;
	hg_out_fmt(&o, "<%.*s/feedback?limit=%u&before=%lld", HG_STR_ARG(s->prefix), s->limit,
	        (long long)s->next);
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

bool app_searches(struct hg_str query)
{
	return has(query, "q") || has(query, "mine");
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
	        .before = op->before,
	        .limit = op->limit};
	wrong = text_of(s);
	if (!wrong) wrong = mine_of(s);
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
