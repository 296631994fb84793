/* Signing in at a provider: away to it, back from it, and who that is here. */
#include "apps/feedback/people_priv.h"

#include <stdio.h>

#include "os/file.h"
#include "wire/base64.h"

#include "apps/feedback/sql_priv.h"

#define MARK 8u /* bytes */

/* A seed, when it was made, and our mark: what the cookie has. */
struct seed {
	unsigned char random[OIDC_SEED - 16], made_ms[8], mark[MARK];
};

static const char *cookie_name(const struct people_call *c)
{
	return c->cookie_name && c->cookie_name[0] == '_' ? "__Host-oidc" : "oidc";
}

static void set_cookie(struct people_call *c, struct hg_str value, unsigned seconds)
{
	snprintf(c->cookie[1], sizeof c->cookie[1],
	        "%s=%.*s; Path=/; Max-Age=%u; HttpOnly; SameSite=Lax%s", cookie_name(c),
	        HG_STR_ARG(value), seconds, c->cookie_name[0] == '_' ? "; Secure" : "");
}

static void mark_of(const struct people *p, const struct seed *s, unsigned char to[MARK])
{
	unsigned char mac[JWS_DIGEST];
	people_mac(p, "oidc", (struct hg_str){(const char *)s, sizeof *s - MARK}, mac);
	memcpy(to, mac, MARK);
}

/* Back to the page, which shows `word` when it was not a success. */
static void go_home(struct people_call *c, const char *word)
{
	c->status = 303;
	hg_buf_reset(&c->location);
	hg_buf_cstr(&c->location, word ? "/?sign_in=" : "/");
	if (word) hg_buf_cstr(&c->location, word);
	if (c->cookie_name) set_cookie(c, HG_STR(""), 0);
}

static const char *read_start(struct people_call *c)
{
	struct people *p = c->people;
	struct oidc_flow flow;
	struct seed s;
	struct hg_buf text;
	if (!p->oidc) return "there is no provider to sign in at";
	if (!c->cookie_name) return "signing in needs HTTPS, or localhost";
	if (file_random(s.random, sizeof s.random) < 0) return "the kernel gives no random bytes";
	for (size_t i = 0; i < sizeof s.made_ms; i++)
		s.made_ms[i] = (unsigned char)(c->now_ms >> (56 - 8 * i));
	mark_of(p, &s, s.mark);
	oidc_flow_of(p, (struct hg_str){(const char *)&s, sizeof s}, &flow);
	if (!oidc_start(p->oidc, &flow, &c->location)) {
		go_home(c, "unreachable");
		return NULL;
	}
	hg_buf_init(&text, 128);
	base64url_encode(&text, (struct hg_str){(const char *)&s, sizeof s});
	set_cookie(c, hg_buf_view(&text), OIDC_WITHIN_MS / 1000);
	hg_buf_free(&text);
	c->status = 303;
	return NULL;
}

/* The seed that this browser was given, if it is ours and not too old. */
static bool read_seed(struct people_call *c, struct seed *to)
{
	const struct http1_field *f = http1_find(c->req->head, HTTP1_F_COOKIE);
	struct hg_str value = HG_STR("");
	unsigned char mark[MARK], other = 0;
	struct hg_buf bytes;
	uint64_t made = 0;
	if (!c->cookie_name || !f || !access_cookie(f->value, cookie_name(c), &value)) return false;
	hg_buf_init(&bytes, sizeof *to);
	bool ok = base64url_decode(&bytes, value) && !bytes.failed && bytes.n == sizeof *to;
	if (ok) memcpy(to, bytes.p, sizeof *to);
	hg_buf_free(&bytes);
	if (!ok) return false;
	mark_of(c->people, to, mark);
	for (size_t i = 0; i < MARK; i++)
		other |= mark[i] ^ to->mark[i];
	for (size_t i = 0; i < sizeof to->made_ms; i++)
		made = made << 8 | to->made_ms[i];
	return other == 0 && c->now_ms >= made && c->now_ms - made < OIDC_WITHIN_MS;
}

static void note_failure(struct people_call *c, const char *why)
{
	jsonlog(c->people->app->log, HG_WARN, "feedback.people", "a sign-in at the provider failed",
	        HG_S("reason", why), HG_S("address", c->from.address));
	c->people->sign_ins[PEOPLE_BAD]++;
}

static const char *read_callback(struct people_call *c)
{
	char code[2048], state[128] = "", iss[512] = "", error[64] = "";
	struct hg_str query = c->req->query;
	struct oidc_flow flow;
	struct seed s;
	unsigned char other = 0;
	if (!c->people->oidc) return "there is no provider to sign in at";
	(void)serve_query(query, "state", state, sizeof state);
	(void)serve_query(query, "iss", iss, sizeof iss);
	if (!read_seed(c, &s)) {
		note_failure(c, "no cookie of a sign-in that was begun, or an old one");
		go_home(c, "expired");
		return NULL;
	}
	oidc_flow_of(c->people, (struct hg_str){(const char *)&s, sizeof s}, &c->flow);
	flow = c->flow;
	for (size_t i = 0; i < OIDC_TEXT; i++)
		other |= (unsigned char)(flow.state[i] ^ state[i]);
	if (other || strlen(state) != OIDC_TEXT) {
		note_failure(c, "the state is another browser's");
		go_home(c, "failed");
	} else if (!oidc_is_issuer(c->people->oidc, hg_str(iss))) {
		note_failure(c, "the answer is another provider's");
		go_home(c, "failed");
	} else if (serve_query(query, "error", error, sizeof error)) {
		note_failure(c, text_is_token(hg_str(error), 63) ? error : "an error");
		go_home(c, strcmp(error, "access_denied") == 0 ? "denied" : "failed");
	} else if (!serve_query(query, "code", code, sizeof code)) {
		go_home(c, "failed");
	}
	return NULL;
}

/* Adds, or finds, whom the provider speaks of. */
static enum hg_rc find_person(
        struct people_call *c, struct db *db, int64_t *ret_id, struct hg_err *err)
{
	const struct oidc_person *who = &c->person;
	const char *issuer = c->people->config->oidc_issuer;
	char object[PEOPLE_OBJECT_MAX];
	struct db_stmt *s = NULL;
	enum hg_rc rc = sql_row(db, "SELECT id FROM users WHERE issuer = $1 AND subject = $2",
	        SQL_VALUES(SQL_C(issuer), SQL_C(who->subject)), &s, err);
	if (rc < 0) return rc;
	if (s) {
		*ret_id = db_column_i64(s, 0);
		db_stmt_free(s);
		return HG_OK;
	}
	if (!who->email[0]) return HG_E_DENIED;
	rc = user_add(db, who->email, who->has_role ? who->role : ACCESS_USER, "", c->now_ms,
	        ret_id, err);
	if (rc == HG_E_DB_CONSTRAINT) {
		/* Who has an account here becomes that one only by an address that was verified. */
		rc = who->verified ? user_by_email(db, who->email, &c->user, err) : HG_E_DENIED;
		if (rc < 0) return rc;
		*ret_id = c->user.id;
	}
	if (rc < 0) return rc;
	int64_t changes = 0;
	rc = sql_run(db,
	        "UPDATE users SET issuer = $2, subject = $3 WHERE id = $1 AND issuer IS NULL",
	        SQL_VALUES(SQL_I(*ret_id), SQL_C(issuer), SQL_C(who->subject)), &changes, err);
	if (rc < 0 || !changes) return rc < 0 ? rc : HG_E_DENIED;
	people_object(*ret_id, object);
	return audit_add(db, &c->from, c->now_ms, "user.linked", object, issuer, err);
}

/* The provider's word counts each time, for who came by it. */
static enum hg_rc follow_role(struct people_call *c, struct db *db, int64_t id, struct hg_err *err)
{
	char object[PEOPLE_OBJECT_MAX];
	enum hg_rc rc = user_by_id(db, id, &c->user, err);
	if (rc < 0 || !c->person.has_role || c->person.role == c->user.role) return rc;
	c->change.role = (int)c->person.role;
	people_object(id, object);
	rc = user_change(db, id, &c->change, c->now_ms, err);
	c->forget_user = id;
	return rc < 0 ? rc
	              : audit_add(db, &c->from, c->now_ms, "user.change", object,
	                        access_role_name(c->person.role), err);
}

static enum hg_rc end_oidc(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct people_call *c = HG_CONTAINER(t, struct people_call, task);
	char object[PEOPLE_OBJECT_MAX];
	int64_t id = 0;
	enum hg_rc rc = db_begin(db, err);
	if (rc < 0) return rc;
	snprintf(c->from.name, sizeof c->from.name, "%s",
	        c->person.email[0] ? c->person.email : c->person.subject);
	rc = find_person(c, db, &id, err);
	if (rc == HG_OK) {
		c->from.user = id;
		rc = follow_role(c, db, id, err);
	}
	if (rc == HG_E_DENIED || (rc == HG_OK && c->user.disabled)) {
		db_rollback(db);
		rc = audit_add(db, &c->from, c->now_ms, "login.failed", "", "at the provider", err);
		go_home(c, "refused");
		return rc;
	}
	if (rc < 0) return rc;
	people_object(id, object);
	/* The provider's second factor is the provider's business; ours guards our password. */
	rc = people_sign_in(c, db, id, c->user.email, err);
	if (rc == HG_OK) rc = audit_add(db, &c->from, c->now_ms, "login", object, "oidc", err);
	if (rc == HG_OK) rc = db_commit(db, err);
	hg_buf_reset(&c->json);
	go_home(c, NULL);
	return rc;
}

static void on_person(void *arg, const struct oidc_person *person, const char *why)
{
	struct people_call *c = arg;
	c->exchange = NULL;
	if (!person) {
		note_failure(c, why);
		go_home(c, "failed");
		people_answer(c);
		return;
	}
	c->person = *person;
	people_again(c, c->people->app->desk, end_oidc);
}

static void go_callback(struct people_call *c)
{
	char code[2048] = "";
	(void)serve_query(c->req->query, "code", code, sizeof code);
	enum hg_rc rc =
	        oidc_exchange(c->people->oidc, hg_str(code), &c->flow, on_person, c, &c->exchange);
	if (rc == HG_OK) return;
	go_home(c, "unreachable");
	people_answer(c);
}

const struct people_op people_oidc_ops[] = {
        {HTTP1_GET, "/auth/oidc/start", PEOPLE_ANYBODY, read_start, NULL, NULL},
        {HTTP1_GET, "/auth/oidc/callback", PEOPLE_ANYBODY, read_callback, NULL, go_callback},
};
const size_t people_oidc_op_count = HG_COUNT(people_oidc_ops);
