/* Requests to /auth and /admin: which of them there are, who may, and how they travel. */
#include "apps/feedback/people_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "os/clock.h"
#include "os/file.h"
#include "wire/base64.h"
#include "wire/json.h"

#define JSON_MAX     (1u << 20)
#define LOCATION_MAX 4096u

static const struct people_op *op_at(size_t i)
{
	const struct {
		const struct people_op *op;
		size_t n;
	} parts[] = {{people_login_ops, people_login_op_count},
	        {people_user_ops, people_user_op_count}, {people_totp_ops, people_totp_op_count},
	        {people_key_ops, people_key_op_count}, {people_oidc_ops, people_oidc_op_count}};
	for (size_t k = 0; k < HG_COUNT(parts); k++) {
		if (i < parts[k].n) return &parts[k].op[i];
		i -= parts[k].n;
	}
	return NULL;
}

/* "/auth/keys/7" is "/auth/keys/:id". */
static bool is_path(struct hg_str path, const char *pattern, int64_t *ret_id)
{
	struct hg_str p = hg_str(pattern), tail = HG_STR(":id");
	uint64_t id = 0;
	if (!hg_str_ends(p, tail)) return hg_str_eq(path, p);
	p.n -= tail.n;
	if (!hg_str_starts(path, p)) return false;
	if (!hg_str_u64((struct hg_str){path.p + p.n, path.n - p.n}, &id) || id > INT64_MAX)
		return false;
	*ret_id = (int64_t)id;
	return true;
}

/* NULL: no such path, or *ret_allow has the methods that there are. */
static const struct people_op *op_of(
        const struct serve_request *req, int64_t *ret_id, struct hg_out *ret_allow)
{
	const struct people_op *o;
	enum http1_method m = req->method == HTTP1_HEAD ? HTTP1_GET : req->method;
	for (size_t i = 0; (o = op_at(i)); i++) {
		if (!is_path(req->path, o->path, ret_id)) continue;
		if (o->method == m) return o;
		if (ret_allow->n) hg_out_cstr(ret_allow, ", ");
		hg_out_cstr(ret_allow, http1_method_name(o->method));
		if (o->method == HTTP1_GET) hg_out_cstr(ret_allow, ", HEAD");
	}
	return NULL;
}

static void call_free(struct people_call *c)
{
	json_decref(c->in);
	hg_buf_free(&c->json);
	hg_buf_free(&c->location);
	explicit_bzero(c->password, sizeof c->password);
	explicit_bzero(c->code, sizeof c->code);
	explicit_bzero(c->shown.token, sizeof c->shown.token);
	free(c);
}

static void answer(struct people_call *c)
{
	struct people *p = c->people;
	struct serve_call *call = c->call;
	unsigned status = c->status;
	if (c->finish) c->finish(c);
	if (c->forget_user && p->seen) seen_forget_user(p->seen, c->forget_user);
	if (c->forget_shown && p->seen) seen_forget(p->seen, c->shown.hash);
	if (call) {
		char retry[24];
		struct hg_out o = hg_out_over(retry, sizeof retry);
		c->call = NULL;
		if (c->error) {
			hg_buf_reset(&c->json);
			hg_buf_cstr(&c->json, "{\"error\":");
			json_quote(&c->json, hg_str(c->error));
			hg_buf_cstr(&c->json, "}\n");
		}
		if (c->json.failed) status = 500;
		serve_field(call, "Cache-Control", HG_STR("no-store"));
		serve_field(call, "X-Content-Type-Options", HG_STR("nosniff"));
		serve_field(call, "Vary", HG_STR("Cookie, Authorization"));
		hg_out_u64(&o, c->retry_s);
		if (c->retry_s) serve_field(call, "Retry-After", (struct hg_str){retry, o.n});
		if (status == 401)
			serve_field(call, "WWW-Authenticate", HG_STR("Bearer realm=\"feedback\""));
		for (size_t i = 0; i < PEOPLE_COOKIES; i++)
			if (c->cookie[i][0]) serve_field(call, "Set-Cookie", hg_str(c->cookie[i]));
		if (status == 303) serve_field(call, "Location", hg_buf_view(&c->location));
		if (status == 204 || status == 303)
			serve_answer(call, status, NULL, HG_STR(""));
		else
			serve_answer(call, status, "application/json", hg_buf_view(&c->json));
	}
	call_free(c);
}

void people_answer(struct people_call *c)
{
	answer(c);
}

static void on_gone(void *arg)
{
	struct people_call *c = arg;
	c->call = NULL;
	c->req = NULL;
	if (c->at) desk_cancel(c->at, &c->task);
	if (!c->exchange) return;
	oidc_cancel(c->exchange);
	call_free(c);
}

static void fail(struct people_call *c, enum hg_rc rc, const char *why)
{
	/* `why` may be the call's own. */
	if (c->call) app_fail(c->people->app, c->call, c->req, ERROR_DATABASE, rc, why);
	call_free(c);
}

static void on_done(struct desk_task *t, enum hg_rc rc, const char *why)
{
	struct people_call *c = HG_CONTAINER(t, struct people_call, task);
	void (*next)(struct people_call *) = c->next;
	c->at = NULL;
	c->next = NULL;
	if (rc < 0)
		fail(c, rc, why);
	else if (next && !c->status)
		next(c);
	else
		answer(c);
}

void people_again(struct people_call *c, struct desk *desk,
        enum hg_rc (*run)(struct desk_task *t, struct db *db, struct hg_err *err))
{
	c->task.run = run;
	c->task.done = on_done;
	/* Who has left gets no session, and no password is hashed for him. */
	if (c->call && desk && desk_queue(desk, &c->task, 0)) {
		c->at = desk;
		return;
	}
	fail(c, HG_E_NOMEM, "the desk's queue is full");
}

static enum hg_rc run_op(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct people_call *c = HG_CONTAINER(t, struct people_call, task);
	return c->op->run(c, db, err);
}

enum hg_rc people_say(struct people_call *c, unsigned status, const char *error)
{
	c->status = status;
	c->error = error;
	return HG_OK;
}

bool people_text(const struct people_call *c, const char *name, struct hg_str *ret_text)
{
	const json_t *v = json_object_get(c->in, name);
	*ret_text = HG_STR("");
	if (!v || json_is_null(v)) return true;
	if (!json_is_string(v)) return false;
	*ret_text = (struct hg_str){json_string_value(v), json_string_length(v)};
	return !memchr(ret_text->p, 0, ret_text->n);
}

const char *people_only(const struct people_call *c, const char *const *names)
{
	const char *key;
	json_t *v;
	json_object_foreach(c->in, key, v)
	{
		const char *const *n = names;
		while (*n && strcmp(*n, key) != 0)
			n++;
		if (!*n) return "the body has a field that is not known here";
	}
	return NULL;
}

enum hg_rc people_sign_in(
        struct people_call *c, struct db *db, int64_t user, const char *email, struct hg_err *err)
{
	unsigned char raw[PEOPLE_TOKEN], mac[JWS_DIGEST], hash[JWS_DIGEST];
	struct people *p = c->people;
	struct hg_str token = {(const char *)raw, sizeof raw};
	struct hg_buf text;
	if (!c->cookie_name) return people_say(c, 403, "signing in needs HTTPS, or localhost");
	if (file_random(raw, PEOPLE_ID) < 0)
		return hg_err_set(err, HG_E_IO, "the kernel gives no random bytes");
	people_mac(p, "session", (struct hg_str){token.p, PEOPLE_ID}, mac);
	memcpy(raw + PEOPLE_ID, mac, PEOPLE_TOKEN - PEOPLE_ID);
	enum hg_rc rc = jws_sha256(token, hash);
	if (rc < 0) return hg_err_set(err, rc, "not enough memory");
	/* The id that came with the request is never kept: nobody can be given one beforehand. */
	if (c->shown.by == ACCESS_BY_SESSION) rc = session_end(db, c->shown.hash, err);
	if (rc == HG_OK) rc = session_add(db, hash, user, c->from.address, c->now_ms, err);
	if (rc < 0) return rc;
	c->forget_shown = c->shown.by == ACCESS_BY_SESSION;
	hg_buf_init(&text, 128);
	base64url_encode(&text, token);
	snprintf(c->cookie[0], sizeof c->cookie[0], "%s=%s; Path=/; HttpOnly; SameSite=Lax%s",
	        c->cookie_name, hg_buf_text(&text), c->cookie_name[0] == '_' ? "; Secure" : "");
	hg_buf_free(&text);
	rc = user_by_id(db, user, &c->user, err);
	if (rc < 0) return rc;
	struct access_who who = {.by = ACCESS_BY_SESSION,
	        .role = c->user.role,
	        .user = user,
	        .permissions = access_role_permissions(c->user.role)};
	(void)hg_str_copy(hg_str(email), who.name, sizeof who.name);
	hg_buf_reset(&c->json);
	people_session_json(p, &who, token, c->user.totp_on, &c->json);
	explicit_bzero(raw, sizeof raw);
	c->status = 200;
	return HG_OK;
}

void people_session_json(struct people *p, const struct access_who *who, struct hg_str raw,
        bool totp_on, struct hg_buf *to)
{
	char csrf[PEOPLE_CSRF_TEXT + 1] = "";
	struct json_out j;
	json_out_init(&j, to);
	json_out_object(&j);
	json_out_key(&j, "auth");
	json_out_cstr(&j, access_mode_name(p->config->auth));
	json_out_key(&j, "user");
	if (who->user) {
		json_out_object(&j);
		json_out_key(&j, "id");
		json_out_int(&j, who->user);
		json_out_key(&j, "email");
		json_out_cstr(&j, who->name);
		json_out_key(&j, "totp");
		json_out_bool(&j, totp_on);
		json_out_end(&j);
	} else {
		json_out_null(&j);
	}
	json_out_key(&j, "roles");
	json_out_array(&j);
	json_out_cstr(&j, access_role_name(who->role));
	json_out_end(&j);
	json_out_key(&j, "permissions");
	json_out_array(&j);
	for (unsigned i = 0; i < ACCESS_PERMISSION_COUNT; i++)
		if (access_may(who, i)) json_out_cstr(&j, access_permission_name(i));
	json_out_end(&j);
	json_out_key(&j, "csrf");
	if (raw.n) people_csrf(p, raw, csrf);
	json_out_cstr(&j, raw.n ? csrf : NULL);
	json_out_key(&j, "register");
	json_out_bool(&j, p->config->register_open);
	json_out_key(&j, "providers");
	json_out_array(&j);
	if (p->oidc) {
		json_out_object(&j);
		json_out_key(&j, "name");
		json_out_cstr(&j, oidc_name(p->oidc));
		json_out_key(&j, "start");
		json_out_cstr(&j, "/auth/oidc/start");
		json_out_end(&j);
	}
	json_out_end(&j);
	json_out_end(&j);
	hg_buf_byte(to, '\n');
}

/* NULL, or what is wrong with the body. */
static const char *read_body(struct people_call *c, unsigned *ret_status)
{
	const struct serve_request *req = c->req;
	const struct http1_field *type = http1_find(req->head, HTTP1_F_CONTENT_TYPE);
	json_error_t where;
	*ret_status = 415;
	if (!req->body.n) return NULL;
	if (!type || !message_type_ok(type->value)) return "Content-Type must be application/json";
	*ret_status = 400;
	c->in = json_loadb(
	        req->body.p, req->body.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
	if (!c->in) return "Request body is not valid JSON";
	return json_is_object(c->in) ? NULL : "Request body must be a JSON object";
}

static const char *number_of(struct hg_str query, const char *name, uint64_t *number)
{
	char text[32];
	if (!serve_query(query, name, text, sizeof text)) return NULL;
	return hg_str_u64(hg_str(text), number) ? NULL : "before and limit must be numbers";
}

static const char *read_request(struct people_call *c, unsigned *ret_status)
{
	const char *wrong = read_body(c, ret_status);
	if (wrong) return wrong;
	*ret_status = 400;
	c->limit = 100;
	wrong = number_of(c->req->query, "before", &c->before);
	if (!wrong) wrong = number_of(c->req->query, "limit", &c->limit);
	if (!wrong && (c->before > INT64_MAX || c->limit < 1 || c->limit > AUDIT_LIMIT_MAX))
		wrong = "limit must be a number from 1 to 1000";
	return wrong || !c->op->read ? wrong : c->op->read(c);
}

/* True: refused, and answered. */
static bool refuse(struct people *p, struct serve_call *call, const struct serve_request *req,
        const struct people_op *op, const struct people_shown *shown)
{
	struct app *a = p->app;
	const struct access_who *who = a->who;
	const struct seen_who *seen;
	if (op->who >= 0) return !app_admit(a, call, req, NULL, (enum access_permission)op->who);
	if (op->who == PEOPLE_ANYBODY) {
		/* Signing somebody in as somebody else is a forgery too. */
		const char *why = people_other_site(req);
		if (why) app_forbidden(a, call, req, why);
		return why != NULL;
	}
	if (who->by == ACCESS_BY_NOTHING) {
		app_unauthorized(a, call, req, false);
		return true;
	}
	seen = shown->by == ACCESS_BY_SESSION
	               ? seen_find(p->seen, shown->hash, loop_now_ms(a->loop))
	               : NULL;
	if (who->by != ACCESS_BY_SESSION || !seen) {
		app_forbidden(a, call, req, "only who has signed in may do this");
		return true;
	}
	if (op->who != PEOPLE_FRESH ||
	        clock_wall_ms() < (uint64_t)seen->created_ms + PEOPLE_FRESH_MS)
		return false;
	app_forbidden(a, call, req, "the sign-in is too long ago for this: sign in again");
	return true;
}

static void device_of(struct people_call *c)
{
	struct hg_str value = HG_STR("");
	const struct http1_field *f = http1_find(c->req->head, HTTP1_F_COOKIE);
	const char *name = c->cookie_name && c->cookie_name[0] == '_' ? "__Host-device" : "device";
	if (f && access_cookie(f->value, name, &value))
		(void)hg_str_copy(value, c->device, sizeof c->device);
}

static void begin(struct people *p, struct serve_call *call, const struct serve_request *req,
        const struct people_op *op, const struct people_shown *shown, int64_t id)
{
	struct people_call *c = calloc(1, sizeof *c);
	unsigned status = 400;
	if (!c) {
		app_fail(p->app, call, req, ERROR_OVERLOAD, HG_E_NOMEM, "not enough memory");
		return;
	}
	c->people = p;
	c->call = call;
	c->req = req;
	c->op = op;
	c->who = *p->app->who;
	c->shown = *shown;
	c->shown.raw = (struct hg_str){c->shown.token, shown->raw.n};
	c->cookie_name = people_cookie_name(req);
	c->now_ms = clock_wall_ms();
	c->id = id;
	c->change = (struct user_change){.role = -1, .disabled = -1};
	hg_buf_init(&c->json, JSON_MAX);
	hg_buf_init(&c->location, LOCATION_MAX);
	people_from(p, req, &c->who, &c->from);
	c->from.on = true;
	device_of(c);
	const char *wrong = read_request(c, &status);
	if (wrong) {
		(void)!people_say(c, status, wrong);
		answer(c);
		return;
	}
	if (c->status) {
		answer(c);
		return;
	}
	serve_later(call, on_gone, c);
	if (op->go)
		op->go(c);
	else
		people_again(c, p->app->desk, run_op);
}

void people_handle(struct people *p, struct serve_call *call, const struct serve_request *req,
        struct deferred *d)
{
	char allow[96];
	struct hg_out o = hg_out_over(allow, sizeof allow);
	struct app *a = p->app;
	struct people_shown shown = {0};
	struct access_who who;
	int64_t id = 0;
	const struct people_op *op = op_of(req, &id, &o);
	bool off = p->config->auth == ACCESS_OFF && hg_str_starts(req->path, HG_STR("/auth/"));
	app_deferred_free(d); /* the call has what it needs of its own */
	if (!op && o.n) {
		serve_field(call, "Allow", (struct hg_str){allow, o.n});
		app_refuse(a, call, req, 405, "Method not allowed");
	} else if (!op) {
		app_refuse(a, call, req, 404, "Not found");
	} else if (off && op != people_login_ops) {
		app_refuse(a, call, req, 404, "Signing in is off (AUTH)");
	} else {
		(void)people_identify(p, req, &shown, &who);
		if (!refuse(p, call, req, op, &shown)) begin(p, call, req, op, &shown, id);
	}
}
