/*
 * How a browser signs in. Somebody who may already (the socket's owner, a token) asks for a code;
 * the code, once and within minutes, becomes a token that ends by itself. So no lasting secret is
 * in an address, a shell's history or a browser's, and no cookie is set: cookies know no ports,
 * and an application at localhost:8080 would be sent the one of the admin's address.
 */
#include "api_priv.h"
#include "math/gcra.h"
#include "os/clock.h"

#include <openssl/crypto.h>
#include <stdio.h>

#define CODE_MS          (5u * 60 * 1000)
#define SESSION_MS       (12u * 3600 * 1000)
#define SESSIONS_MAX     1024u
#define WRONG_PER_SECOND 2u
#define WRONG_BURST      20u
/* Expired tokens are known for a day: who comes with one is told what happened. */
#define REMEMBERED_MS (24ull * 3600 * 1000)
#define PRUNE_EVERY   30u /* ticks: once a minute */

/* ---- codes: pure ---- */

static bool code_waits(const struct api_code *c, uint64_t now_ns)
{
	return c->until_ns > now_ns;
}

/*
 * A place for a code of `who`: a free one, or that of his oldest when he has enough. NULL: full;
 * the owner of DATA takes the oldest of all then, so that nobody with a token keeps him out.
 */
static struct api_code *code_place(
        struct api_codes *all, const char *who, bool owner, uint64_t now_ns)
{
	struct api_code *empty = NULL, *his_oldest = NULL, *oldest = NULL;
	uint32_t his = 0;
	for (size_t i = 0; i < API_CODES_MAX; i++) {
		struct api_code *c = &all->code[i];
		if (!code_waits(c, now_ns)) {
			empty = c;
			continue;
		}
		if (!oldest || c->until_ns < oldest->until_ns) oldest = c;
		if (strcmp(c->who, who) != 0) continue;
		his++;
		if (!his_oldest || c->until_ns < his_oldest->until_ns) his_oldest = c;
	}
	if (his >= API_CODES_EACH) return his_oldest;
	return empty || !owner ? empty : oldest;
}

/* Looks at all of them, and at all bytes of each: how long it takes tells nothing. */
static struct api_code *code_find(struct api_codes *all, const uint8_t sha256[32], uint64_t now_ns)
{
	struct api_code *found = NULL;
	for (size_t i = 0; i < API_CODES_MAX; i++) {
		struct api_code *c = &all->code[i];
		bool same = CRYPTO_memcmp(c->sha256, sha256, 32) == 0;
		found = same && code_waits(c, now_ns) ? c : found;
	}
	return found;
}

static void code_forget(struct api_code *c)
{
	memset(c, 0, sizeof *c);
}

/* The earlier of two ends; 0 is none. */
static uint64_t earlier(uint64_t a_ms, uint64_t b_ms)
{
	return !a_ms ? b_ms : !b_ms ? a_ms : HG_MIN(a_ms, b_ms);
}

/* "login-ci-1a2b3c4d": whose session it is, through sessions made from sessions. */
static void login_name(const struct api_code *c, const uint8_t salt[4], char to[API_NAME_TEXT])
{
	static const struct hg_str head = HG_STR("login-");
	const char *colon = strchr(c->who, ':');
	struct hg_str kind = {c->who, colon ? (size_t)(colon - c->who) : 0};
	struct hg_str base = hg_str(colon ? colon + 1 : c->who);
	struct hg_out o = hg_out_over(to, API_NAME_TEXT - 1);
	if (c->by_login && hg_str_starts(base, head) && base.n > head.n + 9) {
		base.p += head.n;
		base.n -= head.n + 9;
	}
	base.n = HG_MIN(base.n, (size_t)40);
	hg_out_str(&o, head);
	if (!c->by_token) hg_out_fmt(&o, "%.*s-", HG_STR_ARG(kind));
	hg_out_fmt(
	        &o, "%.*s-%02x%02x%02x%02x", HG_STR_ARG(base), salt[0], salt[1], salt[2], salt[3]);
	to[o.n] = 0;
}

/* ---- asking for a code ---- */

static enum hg_rc role_wanted(
        const struct api_request *r, enum api_role *ret_role, struct hg_err *err)
{
	const json_t *v = json_object_get(r->body, "role");
	*ret_role = r->role;
	if (!v) return HG_OK;
	if (!json_is_string(v) || !api_role_parse(json_string_value(v), ret_role))
		return hg_err_set(err, HG_E_API_BODY, "\"role\" is viewer, deployer or admin");
	if (*ret_role > r->role)
		return hg_err_set(err, HG_E_ROLE, "%s has the role %s and cannot give %s", r->who,
		        api_role_name(r->role), api_role_name(*ret_role));
	return HG_OK;
}

/* Where the asker reaches the dashboard; "" when control has no address but the socket. */
static void dashboard_at(const struct api_request *r, struct hg_out *to)
{
	char address[SOCK_TEXT_MAX + 1];
	if (r->req->listener == API_TAG_TCP) {
		hg_out_fmt(to, "http://%.*s", HG_STR_ARG(r->req->head->authority));
		return;
	}
	api_admin_address(r->api, address, sizeof address);
	struct hg_str at = hg_str(address), any4 = HG_STR("0.0.0.0:"), any6 = HG_STR("[::]:");
	if (hg_str_starts(at, any4))
		hg_out_fmt(to, "http://127.0.0.1:%s", address + any4.n);
	else if (hg_str_starts(at, any6))
		hg_out_fmt(to, "http://[::1]:%s", address + any6.n);
	else if (at.n)
		hg_out_fmt(to, "http://%s", address);
}

static enum hg_rc room_check(const struct api_request *r, struct hg_err *err)
{
	uint64_t n = 0;
	if (!r->by.token) return HG_OK; /* the owner of DATA gets in in any case */
	enum hg_rc rc = store_logins(r->api->d.store, clock_wall_ms(), &n, err);
	if (rc < 0 || n < SESSIONS_MAX) return rc;
	hg_err_set(err, HG_E_LOGIN_LIMIT, "%llu sessions are open", (unsigned long long)n);
	hg_err_hint(err, "headgate token list names them; headgate token revoke NAME ends one.");
	return HG_E_LOGIN_LIMIT;
}

static void code_fill(struct api_code *c, const struct api_request *r, enum api_role role,
        const uint8_t sha256[32])
{
	code_forget(c);
	memcpy(c->sha256, sha256, sizeof c->sha256);
	memcpy(c->maker, r->by.sha256, sizeof c->maker);
	memcpy(c->who, r->who, sizeof c->who);
	c->by_token = r->by.token;
	c->by_login = r->by.login;
	c->role = role;
	c->until_ns = clock_mono_ns() + CODE_MS * CLOCK_NS_PER_MS;
}

static json_t *login_json(
        const struct api_request *r, enum api_role role, const char *code, uint64_t expires_ms)
{
	char url[400];
	struct hg_out o = hg_out_over(url, sizeof url - 1);
	dashboard_at(r, &o);
	if (o.n && code[0]) hg_out_fmt(&o, "/#/login?code=%s", code);
	url[hg_out_failed(&o) ? 0 : o.n] = 0;
	return json_pack("{s:s,s:s,s:s,s:I,s:o,s:b}", "schema", "headgate.login/1", "code", code,
	        "role", api_role_name(role), "expires_ms", (json_int_t)expires_ms, "url",
	        api_json_str(hg_str(url)), "dry_run", r->dry_run);
}

enum hg_rc api_post_login(struct api_request *r, struct hg_err *err)
{
	char text[API_TOKEN_TEXT] = "";
	uint8_t sha256[32];
	enum api_role role = API_NONE;
	enum hg_rc rc = api_members_known(r->body, "role dry_run", err);
	if (rc == HG_OK) rc = role_wanted(r, &role, err);
	if (rc == HG_OK) rc = room_check(r, err);
	if (rc < 0) return rc;
	r->details = json_pack("{s:s}", "role", api_role_name(role));
	struct api_code *c = code_place(&r->api->codes, r->who, !r->by.token, clock_mono_ns());
	if (!c) {
		hg_err_set(err, HG_E_LOGIN_LIMIT, "%u codes wait to be used", API_CODES_MAX);
		hg_err_hint(err, "One is over in %u minutes at most.", CODE_MS / 60000);
		return HG_E_LOGIN_LIMIT;
	}
	if (!r->dry_run) {
		rc = api_token_make("hgc_", text, sha256, err);
		if (rc < 0) return rc;
		code_fill(c, r, role, sha256);
	}
	r->reply = login_json(r, role, text, earlier(clock_wall_ms() + CODE_MS, r->by.expires_ms));
	r->status = r->dry_run ? 200 : 201;
	OPENSSL_cleanse(text, sizeof text);
	return HG_OK;
}

/* ---- using it ---- */

/* A page of another site would only use the tries up, or sign its visitor in as somebody else. */
static bool from_elsewhere(const struct http1_head *h)
{
	const struct http1_field *site = http1_find_name(h, HG_STR("Sec-Fetch-Site"));
	const struct http1_field *origin = http1_find(h, HTTP1_F_ORIGIN);
	if (site)
		return !hg_str_eq_nocase(site->value, HG_STR("same-origin")) &&
		       !hg_str_eq_nocase(site->value, HG_STR("none"));
	if (!origin) return false;
	struct hg_str o = origin->value;
	size_t at = hg_str_find(o, ':');
	if (at + 3 >= o.n) return true; /* "null" */
	return !hg_str_eq_nocase((struct hg_str){o.p + at + 3, o.n - at - 3}, h->authority);
}

/* Who made the code may have been revoked since, or have expired. */
static enum hg_rc maker_check(struct api *a, const struct api_code *c, uint64_t now_ms,
        struct store_token *ret_maker, struct hg_buf *mem, struct hg_err *err)
{
	if (!c->by_token) return HG_OK;
	enum hg_rc rc = store_token_find(a->d.store, c->maker, mem, ret_maker, err);
	if (rc < 0) return rc;
	bool over = ret_maker->expires_ms && ret_maker->expires_ms <= now_ms;
	return over || (enum api_role)ret_maker->role < c->role ? HG_E_NOT_FOUND : HG_OK;
}

/* The session is in the store before the code is gone: a full disk uses none up. */
static enum hg_rc session_make(struct api_request *r, struct api_code *c, struct hg_err *err)
{
	char name[API_NAME_TEXT], text[API_TOKEN_TEXT];
	struct store_token maker = {0};
	struct hg_buf mem;
	uint64_t now_ms = clock_wall_ms();
	hg_buf_init(&mem, 4096);
	struct store_token t = {
	        .role = (enum store_role)c->role, .created_ms = now_ms, .login = true};
	enum hg_rc rc = maker_check(r->api, c, now_ms, &maker, &mem, err);
	if (rc == HG_OK) rc = api_token_make("hgt_", text, t.sha256, err);
	if (rc == HG_OK) {
		login_name(c, t.sha256, name);
		t.name = hg_str(name);
		t.parent = maker.name;
		t.expires_ms = earlier(now_ms + SESSION_MS, maker.expires_ms);
		rc = store_token_add(r->api->d.store, &t, err);
	}
	hg_buf_free(&mem);
	if (rc < 0) return rc;
	memcpy(r->who, c->who, sizeof r->who);
	code_forget(c);
	api_target_set(r, t.name);
	r->details = json_pack("{s:s,s:I}", "role", api_role_name((enum api_role)t.role),
	        "expires_ms", (json_int_t)t.expires_ms);
	r->reply = json_pack("{s:s,s:s,s:s,s:s,s:I}", "schema", "headgate.session/1", "token", text,
	        "name", name, "role", api_role_name((enum api_role)t.role), "expires_ms",
	        (json_int_t)t.expires_ms);
	r->status = 201;
	OPENSSL_cleanse(text, sizeof text);
	return HG_OK;
}

enum hg_rc api_post_session(struct api_request *r, struct hg_err *err)
{
	struct api_codes *all = &r->api->codes;
	struct gcra_rule rule;
	uint8_t sha256[32];
	uint64_t now_ns = clock_mono_ns();
	enum hg_rc rc = api_members_known(r->body, "code", err);
	if (rc < 0) return rc;
	const json_t *code = json_object_get(r->body, "code");
	if (!json_is_string(code)) return hg_err_set(err, HG_E_API_BODY, "\"code\" is a text");
	if (from_elsewhere(r->req->head))
		return hg_err_set(err, HG_E_DENIED, "a page of another site may not sign in here");
	HG_ASSERT(gcra_rule_make(WRONG_PER_SECOND, CLOCK_NS_PER_S, WRONG_BURST, &rule));
	struct gcra_verdict v = gcra_decide(rule, all->wrong_tat_ns, now_ns);
	if (!v.admit) {
		serve_field(r->call, "Retry-After", HG_STR("1"));
		hg_err_set(err, HG_E_LOGIN_LIMIT, "too many wrong codes came in");
		hg_err_hint(err, "Try again in a moment; the code still counts.");
		return HG_E_LOGIN_LIMIT;
	}
	api_token_hash((struct hg_str){json_string_value(code), json_string_length(code)}, sha256);
	struct api_code *c = code_find(all, sha256, now_ns);
	rc = c ? session_make(r, c, err) : HG_E_NOT_FOUND;
	if (rc != HG_E_NOT_FOUND) return rc;
	all->wrong_tat_ns = v.tat_ns; /* only what was wrong is counted */
	hg_err_set(err, HG_E_LOGIN_CODE, "this code is not valid, or not any more");
	hg_err_hint(err, "Get another one with: headgate open");
	return HG_E_LOGIN_CODE;
}

/* ---- while it lasts ---- */

enum hg_rc api_get_session(struct api_request *r, struct hg_err *err)
{
	(void)err;
	const char *name = r->by.token ? r->by.name : r->who;
	r->reply = json_pack("{s:s,s:o,s:s,s:b,s:o,s:s}", "schema", "headgate.session/1", "name",
	        api_json_str(hg_str(name)), "role", api_role_name(r->role), "login", r->by.login,
	        "expires_ms",
	        r->by.expires_ms ? json_integer((json_int_t)r->by.expires_ms) : json_null(),
	        "version", HG_VERSION);
	return HG_OK;
}

enum hg_rc api_delete_session(struct api_request *r, struct hg_err *err)
{
	api_target_set(r, hg_str(r->by.token ? r->by.name : r->who));
	enum hg_rc rc = api_members_known(r->body, "dry_run", err);
	if (rc < 0) return rc;
	if (!r->by.login) {
		hg_err_set(err, HG_E_LOGIN_NONE, "%s did not sign in with a code", r->who);
		if (r->by.token)
			hg_err_hint(err, "headgate token revoke %s ends the token.", r->by.name);
		return HG_E_LOGIN_NONE;
	}
	if (!r->dry_run) rc = store_token_remove(r->api->d.store, hg_str(r->by.name), err);
	if (rc < 0) return rc;
	if (!r->dry_run) r->api->revoked = true;
	r->reply = json_pack("{s:s,s:s,s:b}", "schema", "headgate.revoke/1", "name", r->by.name,
	        "dry_run", r->dry_run);
	return HG_OK;
}

void api_sessions_tick(struct api *a)
{
	uint64_t now_ms = clock_wall_ms();
	if (a->codes.ticks++ % PRUNE_EVERY || now_ms < REMEMBERED_MS) return;
	/* They count for nothing in any case: a store that cannot be written has a minute. */
	(void)!store_tokens_prune(a->d.store, now_ms - REMEMBERED_MS, NULL);
}
