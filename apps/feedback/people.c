/* Who asks: what a request shows, what was looked up lately, and what has to be. */
#include "apps/feedback/people_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/apikey.h"
#include "os/clock.h"
#include "os/file.h"
#include "wire/base64.h"

#define SWEEP_MS 600000u

void people_hex(const unsigned char *bytes, size_t n, char *ret_text)
{
	static const char digit[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		ret_text[2 * i] = digit[bytes[i] >> 4];
		ret_text[2 * i + 1] = digit[bytes[i] & 15];
	}
	ret_text[2 * n] = 0;
}

bool people_unhex(const char *text, unsigned char *ret_bytes, size_t n)
{
	if (strlen(text) != 2 * n) return false;
	for (size_t i = 0; i < 2 * n; i++) {
		char c = text[i];
		bool digit = c >= '0' && c <= '9';
		if (!digit && (c < 'a' || c > 'f')) return false;
		unsigned char v = (unsigned char)(digit ? c - '0' : c - 'a' + 10);
		ret_bytes[i / 2] =
		        i % 2 ? (unsigned char)(ret_bytes[i / 2] | v) : (unsigned char)(v << 4);
	}
	return true;
}

void people_object(int64_t user, char ret_text[PEOPLE_OBJECT_MAX])
{
	snprintf(ret_text, PEOPLE_OBJECT_MAX, "user:%lld", (long long)user);
}

void people_mac(const struct people *p, const char *label, struct hg_str bytes,
        unsigned char ret_mac[JWS_DIGEST])
{
	char text[512];
	struct hg_out o = hg_out_over(text, sizeof text);
	hg_out_cstr(&o, label);
	hg_out_byte(&o, 0);
	hg_out_str(&o, bytes);
	HG_ASSERT(!hg_out_failed(&o));
	enum hg_rc rc = jws_hmac((struct hg_str){(const char *)p->secret, sizeof p->secret},
	        (struct hg_str){text, o.n}, ret_mac);
	/* Without it nothing is proved: bytes that nobody can know. */
	if (rc < 0 && file_random(ret_mac, JWS_DIGEST) < 0) abort();
}

void people_csrf(const struct people *p, struct hg_str raw, char ret_text[PEOPLE_CSRF_TEXT + 1])
{
	unsigned char mac[JWS_DIGEST];
	people_mac(p, "csrf", raw, mac);
	people_hex(mac, PEOPLE_CSRF_TEXT / 2, ret_text);
}

static struct hg_str field(const struct serve_request *req, enum http1_field_id id)
{
	const struct http1_field *f = http1_find(req->head, id);
	return f ? f->value : HG_STR("");
}

bool people_is_https(const struct serve_request *req)
{
	return hg_str_eq_nocase(field(req, HTTP1_F_X_FORWARDED_PROTO), HG_STR("https"));
}

const char *people_cookie_name(const struct serve_request *req)
{
	if (people_is_https(req)) return "__Host-session";
	return access_is_loopback(req->head->authority) ? "session" : NULL;
}

/* Who is not at this machine cannot say by a field where he comes from. */
static bool is_near(const struct sock_addr *a)
{
	switch (a->sa.sa_family) {
	case AF_UNIX: return true;
	case AF_INET: return ntohl(a->in4.sin_addr.s_addr) >> 24 == 127;
	case AF_INET6: return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
	default: return a->len == 0;
	}
}

static void address_of(const struct serve_request *req, char to[AUDIT_ADDRESS_MAX])
{
	char text[SOCK_TEXT_MAX];
	struct hg_str last = HG_STR("");
	if (is_near(&req->peer)) {
		struct hg_str rest = field(req, HTTP1_F_X_FORWARDED_FOR);
		while (rest.n)
			last = hg_str_trim(hg_str_cut(&rest, ','));
	}
	if (!last.n) last = (struct hg_str){text, sock_addr_host(&req->peer, text, sizeof text)};
	if (!text_is_token(last, AUDIT_ADDRESS_MAX - 1) ||
	        !hg_str_copy(last, to, AUDIT_ADDRESS_MAX))
		to[0] = 0;
}

void people_from(struct people *p, const struct serve_request *req, const struct access_who *who,
        struct audit_from *ret_from)
{
	struct audit_from *f = ret_from;
	struct hg_str id = field(req, HTTP1_F_X_REQUEST_ID);
	f->on = p->config->auth != ACCESS_OFF;
	f->by = who->by;
	f->user = who->user;
	memcpy(f->name, who->name, sizeof f->name);
	f->request_id[0] = 0;
	address_of(req, f->address);
	if (text_is_token(id, AUDIT_REQUEST_MAX))
		(void)hg_str_copy(id, f->request_id, sizeof f->request_id);
}

/* The bytes of a session's cookie, if they have our mark. */
static bool look_at_session(
        struct people *p, const struct serve_request *req, struct people_shown *s)
{
	const char *name = people_cookie_name(req);
	struct hg_str value = HG_STR("");
	unsigned char mac[JWS_DIGEST], other = 0;
	struct hg_buf bytes;
	if (!name || !access_cookie(field(req, HTTP1_F_COOKIE), name, &value)) return false;
	if (value.n != PEOPLE_TOKEN_TEXT) return false;
	hg_buf_init(&bytes, PEOPLE_TOKEN);
	bool ok = base64url_decode(&bytes, value) && !bytes.failed && bytes.n == PEOPLE_TOKEN;
	if (ok) memcpy(s->token, bytes.p, PEOPLE_TOKEN);
	hg_buf_free(&bytes);
	if (!ok) return false;
	s->raw = (struct hg_str){s->token, PEOPLE_TOKEN};
	s->by = ACCESS_BY_SESSION;
	if (jws_sha256(s->raw, s->hash) < 0) return false;
	/* What the database had has our mark. */
	const struct seen_who *seen = seen_find(p->seen, s->hash, loop_now_ms(p->app->loop));
	if (seen && seen->who.by == ACCESS_BY_SESSION) return true;
	people_mac(p, "session", (struct hg_str){s->token, PEOPLE_ID}, mac);
	for (size_t i = PEOPLE_ID; i < PEOPLE_TOKEN; i++)
		other |= mac[i - PEOPLE_ID] ^ (unsigned char)s->token[i];
	return other == 0;
}

/* A request that changes something is asked twice: who it is, and whether it is forged. */
static bool read_session(struct people *p, const struct serve_request *req, struct people_shown *s)
{
	if (!req->id || req->id != p->last.id) {
		p->last.shown = (struct people_shown){0};
		p->last.good = look_at_session(p, req, &p->last.shown);
		p->last.id = req->id;
	}
	*s = p->last.shown;
	if (s->raw.n) s->raw.p = s->token;
	return p->last.good;
}

static enum people_known read_bearer(
        struct people *p, struct hg_str token, struct people_shown *s, struct access_who *who)
{
	if (jws_sha256(token, s->hash) < 0) return PEOPLE_REFUSED;
	if (p->config->admin_key[0] && apikey_same(s->hash, p->operator_hash)) {
		*who = access_operator();
		return PEOPLE_KNOWN;
	}
	if (p->config->auth == ACCESS_OFF) return PEOPLE_KNOWN; /* as if it had shown nothing */
	if (!apikey_well_formed(token)) {
		int64_t now_s = (int64_t)(clock_wall_ms() / 1000);
		return p->tokens && tokens_check(p->tokens, token, now_s, who) ? PEOPLE_KNOWN
		                                                               : PEOPLE_REFUSED;
	}
	s->by = ACCESS_BY_KEY;
	return PEOPLE_LOOK_UP;
}

enum people_known people_identify(struct people *p, const struct serve_request *req,
        struct people_shown *ret_shown, struct access_who *ret_who)
{
	const struct http1_field *f = http1_find(req->head, HTTP1_F_AUTHORIZATION);
	enum people_known known = PEOPLE_KNOWN;
	struct hg_str token = HG_STR("");
	bool off = p->config->auth == ACCESS_OFF;
	ret_shown->by = ACCESS_BY_NOTHING;
	*ret_who = access_nobody(p->config->auth);
	if (f && access_bearer(f->value, &token))
		known = read_bearer(p, token, ret_shown, ret_who);
	else if (f && !off)
		known = PEOPLE_REFUSED;
	else if (!off && read_session(p, req, ret_shown))
		known = PEOPLE_LOOK_UP;
	if (known != PEOPLE_LOOK_UP) return known;
	const struct seen_who *seen =
	        seen_find(p->seen, ret_shown->hash, loop_now_ms(p->app->loop));
	if (!seen) return PEOPLE_LOOK_UP;
	*ret_who = seen->who;
	return PEOPLE_KNOWN;
}

const char *people_other_site(const struct serve_request *req)
{
	const struct http1_field *site = http1_find_name(req->head, HG_STR("Sec-Fetch-Site"));
	struct access_origin o = {.method = req->method,
	        .fetch_site = site ? site->value : HG_STR(""),
	        .origin = field(req, HTTP1_F_ORIGIN),
	        .host = req->head->authority};
	return access_forged(&o);
}

const char *people_forged(struct people *p, const struct serve_request *req)
{
	const struct http1_field *token = http1_find_name(req->head, HG_STR("X-CSRF-Token"));
	struct people_shown shown = {0};
	char want[PEOPLE_CSRF_TEXT + 1];
	unsigned char other = 0;
	const char *why = people_other_site(req);
	if (why || req->method == HTTP1_GET || req->method == HTTP1_HEAD) return why;
	if (!read_session(p, req, &shown)) return "there is no session";
	const struct seen_who *seen = seen_find(p->seen, shown.hash, loop_now_ms(p->app->loop));
	if (seen && seen->csrf[0])
		memcpy(want, seen->csrf, sizeof want);
	else
		people_csrf(p, shown.raw, want);
	if (!token || token->value.n != PEOPLE_CSRF_TEXT)
		return "the field X-CSRF-Token is missing: /auth/session gives it";
	for (size_t i = 0; i < PEOPLE_CSRF_TEXT; i++)
		other |= (unsigned char)(want[i] ^ token->value.p[i]);
	return other ? "the field X-CSRF-Token is not this session's" : NULL;
}

struct look_up {
	struct desk_task task;
	struct people *people;
	struct deferred *d;
	struct people_shown shown;
	struct session found;
	uint64_t now_ms;
};

static enum hg_rc look(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct look_up *l = HG_CONTAINER(t, struct look_up, task);
	if (l->shown.by == ACCESS_BY_SESSION)
		return session_find(
		        db, l->shown.hash, l->people->config, l->now_ms, &l->found, err);
	return key_find(db, l->shown.hash, l->now_ms, &l->found, err);
}

static void take_found(struct look_up *l, struct seen_who *to)
{
	const struct session *s = &l->found;
	to->created_ms = s->created_ms;
	to->who = (struct access_who){.by = l->shown.by,
	        .role = s->role,
	        .user = s->user,
	        .permissions = access_role_permissions(s->role)};
	if (l->shown.by == ACCESS_BY_KEY) to->who.permissions &= s->scopes;
	memcpy(to->who.name, s->email, sizeof s->email);
	if (l->shown.by == ACCESS_BY_SESSION) {
		struct hg_str raw = {l->shown.token, PEOPLE_TOKEN}; /* `shown` was copied */
		people_csrf(l->people, raw, to->csrf);
	}
}

static void looked(struct desk_task *t, enum hg_rc rc, const char *why)
{
	struct look_up *l = HG_CONTAINER(t, struct look_up, task);
	struct people *p = l->people;
	struct app *a = p->app;
	struct deferred *d = l->d;
	struct seen_who seen = {.who = access_nobody(p->config->auth)};
	bool refused = rc == HG_E_NOT_FOUND && l->shown.by == ACCESS_BY_KEY;
	d->queued = false;
	if (rc == HG_OK) {
		take_found(l, &seen);
		seen_put(p->seen, l->shown.hash, &seen, loop_now_ms(a->loop) + PEOPLE_SEEN_MS);
	}
	struct serve_call *call = d->call;
	const struct serve_request *req = d->req;
	if (call && (rc == HG_OK || (rc == HG_E_NOT_FOUND && !refused))) {
		app_enter(a, call, req, d, &seen.who);
	} else {
		app_deferred_free(d);
		if (call && refused)
			app_unauthorized(a, call, req, true);
		else if (call)
			app_fail(a, call, req, ERROR_DATABASE, rc, why);
	}
	free(l); /* `why` is inside of it */
}

void people_look_up(struct people *p, struct serve_call *call, const struct serve_request *req,
        const struct people_shown *shown, struct deferred *d)
{
	struct look_up *l = calloc(1, sizeof *l);
	if (l && !d) d = app_defer(p->app, call, req);
	if (l && d) {
		*l = (struct look_up){.task = {.run = look, .done = looked},
		        .people = p,
		        .d = d,
		        .shown = *shown,
		        .now_ms = clock_wall_ms()};
		d->queued = true;
		if (desk_queue(p->app->desk, &l->task, 0)) return;
		d->queued = false;
	}
	free(l);
	app_deferred_free(d);
	app_fail(p->app, call, req, ERROR_OVERLOAD, HG_E_NOMEM, "the desk's queue is full");
}

void people_metrics(const struct people *p, struct hg_buf *to)
{
	static const char *const word[PEOPLE_OUTCOMES] = {"good", "bad", "throttled", "needs_code"};
	if (p->config->auth == ACCESS_OFF) return;
	hg_buf_cstr(to, "# TYPE sign_ins_total counter\n");
	for (size_t i = 0; i < PEOPLE_OUTCOMES; i++)
		hg_buf_fmt(to, "sign_ins_total{outcome=\"%s\"} %llu\n", word[i],
		        (unsigned long long)p->sign_ins[i]);
	hg_buf_fmt(to, "# TYPE sessions_cached gauge\nsessions_cached %u\n",
	        seen_count(p->seen, loop_now_ms(p->app->loop)));
	tokens_metrics(p->tokens, to);
	hg_buf_fmt(to, "# TYPE desk_pending gauge\ndesk_pending %u\n", desk_pending(p->app->desk));
}

static enum hg_rc sweep(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct people *p = HG_CONTAINER(t, struct people, sweep_task);
	return people_sweep(db, p->config, clock_wall_ms(), err);
}

static void on_sweep(struct loop *l, struct loop_timer *t);

static void swept(struct desk_task *t, enum hg_rc rc, const char *why)
{
	struct people *p = HG_CONTAINER(t, struct people, sweep_task);
	if (rc < 0 && rc != HG_E_CLOSED)
		jsonlog(p->app->log, HG_WARN, "feedback.people",
		        "what is over could not be removed", HG_S("reason", why));
	p->sweeping = false;
}

static void on_sweep(struct loop *l, struct loop_timer *t)
{
	struct people *p = HG_CONTAINER(t, struct people, sweep);
	p->sweep_task.run = sweep;
	p->sweep_task.done = swept;
	if (!p->sweeping) p->sweeping = desk_queue(p->app->desk, &p->sweep_task, 60000);
	(void)!loop_timer_start(l, &p->sweep, SWEEP_MS, on_sweep);
}

static enum hg_rc read_secret(struct people *p, struct hg_err *err)
{
	struct db_options o = {.url = p->config->database, .durability = p->config->durability};
	struct db *db = NULL;
	enum hg_rc rc = db_open(&o, &db, err);
	if (rc == HG_OK) rc = people_secret(db, p->secret, err);
	db_close(db);
	return rc;
}

enum hg_rc people_init(struct people *p, struct app *a, struct hg_err *err)
{
	const struct config *c = p->config;
	struct desk_options o = {.threads = 2, .queue_max = 64};
	enum hg_rc rc = jws_sha256(hg_str(c->admin_key), p->operator_hash);
	p->app = a;
	if (rc < 0) return hg_err_set(err, rc, "not enough memory");
	if (c->auth == ACCESS_OFF) return HG_OK;
	rc = password_ready(err);
	if (rc == HG_OK) rc = read_secret(p, err);
	if (rc == HG_OK) rc = tokens_new(a->loop, c, a->log, &p->tokens, err);
	if (rc == HG_OK) rc = oidc_new(p, &p->oidc, err);
	if (rc < 0) return rc;
	rc = seen_new(&p->seen);
	if (rc == HG_OK) rc = desk_new(a->loop, &o, &p->hasher);
	if (rc == HG_OK) rc = loop_timer_start(a->loop, &p->sweep, SWEEP_MS / 10, on_sweep);
	return rc < 0 ? hg_err_set(err, rc, "could not start what signs people in") : HG_OK;
}

void people_stop(struct people *p)
{
	if (!p->app) return;
	desk_free(p->hasher);
	p->hasher = NULL;
	loop_timer_stop(p->app->loop, &p->sweep);
}

void people_fini(struct people *p)
{
	oidc_free(p->oidc);
	p->oidc = NULL;
	tokens_free(p->tokens);
	p->tokens = NULL;
	seen_free(p->seen);
	p->seen = NULL;
	explicit_bzero(p->secret, sizeof p->secret);
	explicit_bzero(&p->last, sizeof p->last);
}
