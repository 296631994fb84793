#include "apps/feedback/outgoing_priv.h"

#include <jansson.h>
#include <stdlib.h>

#include "os/clock.h"
#include "os/work.h"
#include "wire/mail.h"

#include "apps/feedback/hooks_priv.h"
#include "apps/feedback/mailer_priv.h"

#define AT_ONCE_MAX 4u /* mails and webhooks that are tried out at a time */
#define ANSWER_MAX  (512u << 10)

struct outgoing_api {
	struct app *app;
	const struct outgoing *with;
	struct hooks *hooks; /* made when the first is tried out */
	struct hg_list asking;
	uint32_t trying;
	bool stopped;
};

enum what { LIST, ADD, REMOVE, ROTATE, ENABLE, TRY, MAIL };

/* One request. It lives until it was answered, or its client's leaving was noticed at the end. */
struct asking {
	struct hg_list node;
	struct outgoing_api *api;
	struct deferred *d;
	struct desk_task task;
	enum what what;
	int64_t id;
	uint32_t rows;
	char url[WEBHOOK_URL_MAX], secret[WEBHOOK_SECRET_MAX];
	char to[MAIL_NAME_MAX + MAIL_ADDRESS_MAX + 8];
	struct hook hook;
	struct hg_buf body; /* of the answer */
	struct work *mail;
	struct hooks_call *call;
	struct smtp_report report; /* the thread's until it is over */
};

static void free_asking(struct asking *k)
{
	hg_list_remove(&k->node);
	if (k->what == MAIL || k->what == TRY) k->api->trying--;
	hg_buf_free(&k->body);
	explicit_bzero(&k->hook, sizeof k->hook);
	explicit_bzero(k->secret, sizeof k->secret);
	free(k);
}

/* The answer, if somebody waits for it. `error` NULL: the body is what was asked for. */
static void finish(struct asking *k, unsigned status, const char *error)
{
	struct deferred *d = k->d;
	struct app *a = k->api->app;
	d->queued = false;
	if (d->call && error)
		app_refuse(a, d->call, d->req, status, error);
	else if (d->call && status == 204)
		serve_answer(d->call, 204, NULL, HG_STR(""));
	else if (d->call)
		app_answer(a, d->call, d->req, status, hg_buf_view(&k->body));
	app_deferred_free(d);
	free_asking(k);
}

static void fail(struct asking *k, enum hg_rc rc, const char *why)
{
	if (rc == HG_E_NOT_FOUND) {
		finish(k, 404, "Webhook not found");
	} else if (rc == HG_E_INVALID || rc == HG_E_TOO_LARGE) {
		finish(k, rc == HG_E_INVALID ? 400 : 409, why);
	} else {
		struct deferred *d = k->d;
		d->queued = false;
		if (d->call) app_fail(k->api->app, d->call, d->req, ERROR_DATABASE, rc, why);
		app_deferred_free(d);
		free_asking(k);
	}
}

/* ---- rows, at the desk ---- */

static void add_row(void *arg, const struct hook *h)
{
	struct asking *k = arg;
	struct json_out j;
	if (k->rows++) hg_buf_byte(&k->body, ',');
	json_out_init(&j, &k->body);
	hook_json(&j, h, false);
	k->body.failed |= !json_out_ok(&j);
}

static enum hg_rc run_rows(struct asking *k, struct db *db, struct hg_err *err)
{
	int64_t now_ms = (int64_t)clock_wall_ms();
	enum hg_rc rc;
	switch (k->what) {
	case LIST:
		hg_buf_cstr(&k->body, "{\"webhooks\":[");
		rc = hooks_list(db, add_row, k, err);
		hg_buf_cstr(&k->body, "]}\n");
		return rc;
	case ADD:
		return hooks_add(
		        db, k->api->with, hg_str(k->url), hg_str(k->secret), now_ms, &k->hook, err);
	case REMOVE: return hooks_remove(db, k->id, err);
	case ROTATE: return hooks_rotate(db, k->id, now_ms, &k->hook, err);
	case ENABLE:
		rc = hooks_enable(db, k->id, err);
		return rc < 0 ? rc : hooks_get(db, k->id, &k->hook, err);
	default: return hooks_get(db, k->id, &k->hook, err);
	}
}

static enum hg_rc at_desk(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct asking *k = HG_CONTAINER(t, struct asking, task);
	enum hg_rc rc = run_rows(k, db, err);
	/* The text for the client is the message; a hint belongs to it. */
	if (rc == HG_E_INVALID && err->hint[0]) {
		size_t n = strlen(err->message);
		(void)snprintf(err->message + n, sizeof err->message - n, ". %s", err->hint);
	}
	return rc;
}

static void on_told(void *arg, const struct hooks_told *t)
{
	struct asking *k = arg;
	struct json_out j;
	k->call = NULL;
	json_out_init(&j, &k->body);
	json_out_object(&j);
	json_out_key(&j, "ok");
	json_out_bool(&j, t->verdict == WEBHOOK_OK);
	json_out_key(&j, "told");
	json_out_cstr(&j, t->words);
	json_out_end(&j);
	if (!json_out_ok(&j)) k->body.failed = true;
	finish(k, 200, NULL);
}

static void try_hook(struct asking *k)
{
	struct outgoing_api *g = k->api;
	struct hg_err err = {0};
	enum hg_rc rc = g->stopped ? HG_E_CLOSED : HG_OK;
	if (rc == HG_OK && !g->hooks)
		rc = hooks_new(g->app->loop, g->with, AT_ONCE_MAX, &g->hooks, &err);
	if (rc == HG_OK) rc = hooks_try(g->hooks, &k->hook, on_told, k, &k->call, &err);
	if (rc < 0) fail(k, rc == HG_E_INVALID ? HG_E_INTERNAL : rc, err.message);
}

static void from_desk(struct desk_task *t, enum hg_rc rc, const char *why)
{
	struct asking *k = HG_CONTAINER(t, struct asking, task);
	struct json_out j;
	if (rc == HG_OK && k->body.failed) rc = HG_E_TOO_LARGE;
	if (rc < 0) {
		fail(k, rc, why);
		return;
	}
	switch (k->what) {
	case TRY: try_hook(k); return;
	case REMOVE: finish(k, 204, NULL); return;
	case LIST: finish(k, 200, NULL); return;
	default: break;
	}
	json_out_init(&j, &k->body);
	hook_json(&j, &k->hook, k->what == ADD || k->what == ROTATE);
	if (!json_out_ok(&j)) k->body.failed = true;
	hg_buf_byte(&k->body, '\n');
	finish(k, k->what == ADD ? 201 : 200, NULL);
}

/* ---- a mail, on a thread ---- */

static void on_thread(void *arg, const atomic_bool *stop)
{
	struct asking *k = arg;
	(void)mailer_test(k->api->with, hg_str(k->to), stop, &k->report);
}

static void mail_over(void *arg)
{
	struct asking *k = arg;
	struct json_out j;
	k->mail = NULL;
	json_out_init(&j, &k->body);
	json_out_object(&j);
	json_out_key(&j, "ok");
	json_out_bool(&j, k->report.result == SMTP_SENT);
	if (k->report.result != SMTP_SENT) {
		json_out_key(&j, "error");
		json_out_cstr(&j, k->report.why);
	}
	json_out_key(&j, "dialogue");
	json_out_str(&j, hg_buf_view(&k->report.dialogue));
	json_out_end(&j);
	if (!json_out_ok(&j)) k->body.failed = true;
	smtp_report_free(&k->report);
	finish(k, 200, NULL);
}

/* ---- requests ---- */

/* A text of a JSON object; false: it is there and no text, or too long. */
static bool text_of(const json_t *body, const char *name, char *to, size_t cap)
{
	const json_t *v = json_object_get(body, name);
	struct hg_str s = {json_string_value(v), v ? json_string_length(v) : 0};
	return !v || (json_is_string(v) && hg_str_copy(s, to, cap) && !memchr(to, 0, s.n));
}

/* NULL, or what is wrong with the body. */
static const char *body_of(struct asking *k, struct hg_str text)
{
	struct mail_address address;
	json_t *body = json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, NULL);
	const char *wrong = NULL;
	if (!json_is_object(body))
		wrong = "Request body must be a JSON object";
	else if (k->what == MAIL && (!text_of(body, "to", k->to, sizeof k->to) ||
	                                    !mail_address_parse(hg_str(k->to), &address)))
		wrong = "\"to\" must be one e-mail address";
	else if (k->what == ADD && (!text_of(body, "url", k->url, sizeof k->url) || !k->url[0]))
		wrong = "\"url\" must be an address";
	else if (k->what == ADD && !text_of(body, "secret", k->secret, sizeof k->secret))
		wrong = "\"secret\" must be \"whsec_\" and base64 of 24 to 64 bytes";
	json_decref(body);
	return wrong;
}

#define MAIL_PATH  HG_STR("/admin/mail/test")
#define HOOKS_PATH HG_STR("/admin/webhooks")

/* What is wanted; the status 0, 404 or 405. */
static unsigned meaning(const struct serve_request *req, enum what *ret_what, int64_t *ret_id)
{
	struct hg_str rest = req->path;
	enum http1_method m = req->method;
	uint64_t id = 0;
	if (hg_str_eq(rest, MAIL_PATH)) {
		*ret_what = MAIL;
		return m == HTTP1_POST ? 0 : 405;
	}
	if (hg_str_eq(rest, HOOKS_PATH)) {
		*ret_what = m == HTTP1_POST ? ADD : LIST;
		return m == HTTP1_POST || m == HTTP1_GET || m == HTTP1_HEAD ? 0 : 405;
	}
	rest = (struct hg_str){rest.p + HOOKS_PATH.n + 1, rest.n - HOOKS_PATH.n - 1};
	struct hg_str number = hg_str_cut(&rest, '/');
	if (!hg_str_u64(number, &id) || id == 0 || id > INT64_MAX) return 404;
	*ret_id = (int64_t)id;
	*ret_what = REMOVE;
	if (!rest.n) return m == HTTP1_DELETE ? 0 : 405;
	if (hg_str_eq(rest, HG_STR("rotate")))
		*ret_what = ROTATE;
	else if (hg_str_eq(rest, HG_STR("enable")))
		*ret_what = ENABLE;
	else if (hg_str_eq(rest, HG_STR("test")))
		*ret_what = TRY;
	else
		return 404;
	return m == HTTP1_POST ? 0 : 405;
}

static void begin(struct asking *k)
{
	struct outgoing_api *g = k->api;
	if (k->what == MAIL || k->what == TRY) g->trying++;
	if (k->what == MAIL) {
		if (work_start(g->app->loop, on_thread, mail_over, k, &k->mail) < 0)
			fail(k, HG_E_NOMEM, "no thread could be started");
		return;
	}
	k->task = (struct desk_task){.run = at_desk, .done = from_desk};
	if (!desk_queue(g->app->desk, &k->task, 0))
		fail(k, HG_E_NOMEM, "too much is asked at a time");
}

void outgoing_handle(struct outgoing_api *g, struct serve_call *call,
        const struct serve_request *req, struct deferred *d)
{
	enum what what = LIST;
	int64_t id = 0;
	unsigned status = meaning(req, &what, &id);
	if (!app_admit(
	            g->app, call, req, d, what == MAIL ? ACCESS_MAIL_ADMIN : ACCESS_WEBHOOKS_ADMIN))
		return;
	const char *wrong = status == 404   ? "Not found"
	                    : status == 405 ? "Method not allowed"
	                                    : NULL;
	struct asking *k = wrong ? NULL : calloc(1, sizeof *k);
	if (!wrong && k) {
		k->what = what;
		wrong = what == MAIL || what == ADD ? body_of(k, req->body) : NULL;
		status = 400;
	}
	if (!wrong && (what == MAIL || what == TRY) && g->trying >= AT_ONCE_MAX) {
		wrong = "Too many are being tried out, please try again";
		status = 503;
	}
	if (!wrong && k && !d) d = app_defer(g->app, call, req);
	if (wrong || !k || !d) {
		free(k);
		app_deferred_free(d);
		app_refuse(g->app, call, req, wrong ? status : 503, wrong ? wrong : "No memory");
		return;
	}
	k->api = g;
	k->d = d;
	k->id = id;
	d->queued = true;
	hg_buf_init(&k->body, ANSWER_MAX);
	hg_list_append(&g->asking, &k->node);
	begin(k);
}

/* ---- life ---- */

enum hg_rc outgoing_new(
        struct app *a, const struct outgoing *o, struct outgoing_api **ret_api, struct hg_err *err)
{
	struct outgoing_api *g = calloc(1, sizeof *g);
	if (!g) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	*g = (struct outgoing_api){.app = a, .with = o};
	hg_list_init(&g->asking);
	*ret_api = g;
	return HG_OK;
}

void outgoing_stop(struct outgoing_api *g)
{
	if (!g) return;
	g->stopped = true;
	HG_LIST_EACH_SAFE (node, after, &g->asking) {
		struct asking *k = HG_CONTAINER(node, struct asking, node);
		if (k->call) {
			hooks_cancel(k->call);
			k->call = NULL;
			fail(k, HG_E_CLOSED, "the app is stopping");
		} else if (k->mail) {
			work_stop(k->mail);
			smtp_report_free(&k->report);
			fail(k, HG_E_CLOSED, "the app is stopping");
		}
	}
}

void outgoing_free(struct outgoing_api *g)
{
	if (!g) return;
	hooks_free(g->hooks);
	free(g);
}
