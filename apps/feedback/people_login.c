/* Signing in and out. */
#include "apps/feedback/people_priv.h"

#include <stdio.h>

#include "auth/totp.h"
#include "auth/apikey.h"
#include "os/file.h"

#include "apps/feedback/sql_priv.h"

#define DEVICE_S "31536000" /* a year */

static const char wrong_sign_in[] = "E-mail address or password is wrong";

static enum hg_rc run_session(struct people_call *c, struct db *db, struct hg_err *err)
{
	struct user u = {0};
	enum hg_rc rc = c->who.user ? user_by_id(db, c->who.user, &u, err) : HG_OK;
	if (rc < 0 && rc != HG_E_NOT_FOUND) return rc;
	people_session_json(c->people, &c->who,
	        c->who.by == ACCESS_BY_SESSION ? c->shown.raw : HG_STR(""), u.totp_on, &c->json);
	c->status = 200;
	return HG_OK;
}

static const char *read_login(struct people_call *c)
{
	static const char *const names[] = {"email", "password", "code", NULL};
	struct hg_str email, password, code;
	const char *wrong = people_only(c, names);
	if (wrong) return wrong;
	if (!people_text(c, "email", &email) || !people_text(c, "password", &password) ||
	        !people_text(c, "code", &code) || !email.n || !password.n)
		return "email and password must be texts";
	if (!hg_str_copy(password, c->password, sizeof c->password) ||
	        !hg_str_copy(hg_str_trim(code), c->code, sizeof c->code))
		return "password or code is too long";
	return people_email(email, c->email);
}

/* "account MAC": only who has signed in there before has one. */
static void device_text(
        const struct people *p, const char *email, char ret_text[2 * JWS_DIGEST + 1])
{
	unsigned char mac[JWS_DIGEST];
	people_mac(p, "device", hg_str(email), mac);
	people_hex(mac, sizeof mac, ret_text);
}

static bool device_known(const struct people_call *c)
{
	char want[2 * JWS_DIGEST + 1];
	unsigned char other = 0;
	device_text(c->people, c->email, want);
	if (strlen(c->device) != strlen(want)) return false;
	for (size_t i = 0; want[i]; i++)
		other |= (unsigned char)(want[i] ^ c->device[i]);
	return other == 0;
}

/* Names under which attempts are counted. */
struct names {
	char account[PEOPLE_EMAIL_MAX + 16], address[AUDIT_ADDRESS_MAX + 16];
	bool device;
};

static void names_of(const struct people_call *c, struct names *n)
{
	n->device = device_known(c);
	snprintf(
	        n->account, sizeof n->account, "%s:%s", n->device ? "device" : "account", c->email);
	/* Who has an address of IPv6 has 2^64 of them. */
	struct hg_str a = hg_str(c->from.address);
	size_t colons = 0, end = 0;
	while (end < a.n && colons < 4)
		colons += a.p[end++] == ':';
	snprintf(
	        n->address, sizeof n->address, "address:%.*s", (int)(colons == 4 ? end : a.n), a.p);
}

/* Counted first, so that a hundred attempts at one moment are not one. */
static enum hg_rc run_login(struct people_call *c, struct db *db, struct hg_err *err)
{
	struct names n;
	uint64_t wait_ms = 0;
	if (!c->cookie_name) return people_say(c, 403, "signing in needs HTTPS, or localhost");
	names_of(c, &n);
	const struct attempt attempts[] = {{n.address, &throttle_address},
	        {n.account, n.device ? &throttle_device : &throttle_account}};
	enum hg_rc rc = attempt_count(db, attempts, HG_COUNT(attempts), c->now_ms, &wait_ms, err);
	if (rc < 0) return rc;
	if (wait_ms) {
		c->retry_s = (uint32_t)((wait_ms + 999) / 1000);
		return people_say(c, 429, "Too many attempts to sign in, please wait");
	}
	rc = user_by_email(db, c->email, &c->user, err);
	if (rc == HG_E_NOT_FOUND) c->user = (struct user){0};
	return rc == HG_E_NOT_FOUND ? HG_OK : rc;
}

/* The same work whether there is such a user or not, so that time tells nobody who is one. */
static enum hg_rc check_password(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct people_call *c = HG_CONTAINER(t, struct people_call, task);
	static const uint8_t salt[PASSWORD_SALT] = {1};
	struct hg_str password = hg_str(c->password);
	bool good = false;
	(void)db;
	enum hg_rc rc = c->user.password[0] ? password_verify(c->user.password, password, &good)
	                                    : password_hash(password, salt, c->hash);
	c->good = good && c->user.id && !c->user.disabled;
	return rc < 0 ? hg_err_set(err, rc, "a password could not be checked") : HG_OK;
}

static enum hg_rc refuse_login(
        struct people_call *c, struct db *db, const char *why, struct hg_err *err)
{
	char object[PEOPLE_OBJECT_MAX] = "";
	c->from.user = c->user.id;
	snprintf(c->from.name, sizeof c->from.name, "%s", c->email);
	if (c->user.id) people_object(c->user.id, object);
	(void)!people_say(c, 401, wrong_sign_in);
	return audit_add(db, &c->from, c->now_ms, "login.failed", object, why, err);
}

enum hg_rc people_recovery_hash(
        int64_t user, const char *code, char ret_hex[2 * JWS_DIGEST + 1], struct hg_err *err)
{
	unsigned char hash[JWS_DIGEST];
	char text[96];
	struct hg_out o = hg_out_over(text, sizeof text);
	hg_out_fmt(&o, "%lld ", (long long)user);
	/* As people type them: case, spaces and dashes do not count. */
	for (const char *c = code; *c; c++)
		if (*c != '-' && *c != ' ')
			hg_out_byte(&o, *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c);
	enum hg_rc rc = jws_sha256((struct hg_str){text, o.n}, hash);
	if (rc < 0) return hg_err_set(err, rc, "not enough memory");
	people_hex(hash, sizeof hash, ret_hex);
	return HG_OK;
}

static enum hg_rc use_recovery(
        struct people_call *c, struct db *db, bool *ret_good, struct hg_err *err)
{
	char hex[2 * JWS_DIGEST + 1], object[PEOPLE_OBJECT_MAX];
	int64_t changes = 0;
	enum hg_rc rc = people_recovery_hash(c->user.id, c->code, hex, err);
	if (rc == HG_OK)
		rc = sql_run(db, "DELETE FROM recovery_codes WHERE user_id = $1 AND hash = $2",
		        SQL_VALUES(SQL_I(c->user.id), SQL_C(hex)), &changes, err);
	*ret_good = changes == 1;
	if (rc < 0 || !*ret_good) return rc;
	people_object(c->user.id, object);
	return audit_add(db, &c->from, c->now_ms, "totp.recovery", object, "", err);
}

enum hg_rc people_use_code(struct people_call *c, struct db *db, bool *ret_good, struct hg_err *err)
{
	unsigned char secret[TOTP_SECRET];
	int64_t changes = 0;
	struct hg_str code = hg_str(c->code);
	*ret_good = false;
	if (code.n != TOTP_DIGITS) return use_recovery(c, db, ret_good, err);
	if (!people_unhex(c->user.totp_secret, secret, sizeof secret)) return HG_OK;
	uint64_t step = totp_match((struct hg_str){(const char *)secret, sizeof secret}, code,
	        c->now_ms / 1000, c->user.totp_step);
	explicit_bzero(secret, sizeof secret);
	if (!step) return HG_OK;
	/* Of two that show the same code at the same moment one is too late. */
	enum hg_rc rc =
	        sql_run(db, "UPDATE users SET totp_step = $2 WHERE id = $1 AND totp_step < $2",
	                SQL_VALUES(SQL_I(c->user.id), SQL_I(step)), &changes, err);
	*ret_good = changes == 1;
	return rc;
}

static enum hg_rc second_factor(struct people_call *c, struct db *db, struct hg_err *err)
{
	struct names n;
	bool good = false;
	enum hg_rc rc = HG_OK;
	if (!c->user.totp_on) return HG_OK;
	c->from.user = c->user.id;
	snprintf(c->from.name, sizeof c->from.name, "%s", c->email);
	if (c->code[0]) rc = people_use_code(c, db, &good, err);
	if (rc < 0 || good) return rc;
	names_of(c, &n);
	rc = c->code[0] ? refuse_login(c, db, "the code is wrong", err)
	                : attempt_back(db, n.account, n.address, err);
	c->status = 401;
	c->error = NULL;
	hg_buf_cstr(&c->json, c->code[0] ? "{\"error\":\"The code is wrong\""
	                                 : "{\"error\":\"A code is needed\"");
	hg_buf_cstr(&c->json, ",\"totp_required\":true}\n");
	return rc;
}

/* The password was right: the costs it is kept with may have grown since. */
static enum hg_rc end_good(struct people_call *c, struct db *db, struct hg_err *err)
{
	struct names n;
	char device[2 * JWS_DIGEST + 1], object[PEOPLE_OBJECT_MAX];
	enum hg_rc rc;
	names_of(c, &n);
	rc = attempt_good(db, n.account, n.address, err);
	if (rc < 0) return rc;
	c->from.user = c->user.id;
	c->from.by = ACCESS_BY_SESSION;
	snprintf(c->from.name, sizeof c->from.name, "%s", c->email);
	people_object(c->user.id, object);
	rc = people_sign_in(c, db, c->user.id, c->email, err);
	if (rc == HG_OK && c->status == 200)
		rc = audit_add(db, &c->from, c->now_ms, "login", object, "", err);
	device_text(c->people, c->email, device);
	bool secure = c->cookie_name && c->cookie_name[0] == '_';
	snprintf(c->cookie[1], sizeof c->cookie[1],
	        "%s=%s; Path=/; Max-Age=" DEVICE_S "; HttpOnly; SameSite=Lax%s",
	        secure ? "__Host-device" : "device", device, secure ? "; Secure" : "");
	return rc;
}

static enum hg_rc end_login(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct people_call *c = HG_CONTAINER(t, struct people_call, task);
	enum hg_rc rc = db_begin(db, err);
	if (rc < 0) return rc;
	rc = c->good ? second_factor(c, db, err)
	             : refuse_login(c, db, c->user.id ? "" : "no such user", err);
	if (rc == HG_OK && !c->status) rc = end_good(c, db, err);
	return rc < 0 ? rc : db_commit(db, err);
}

static void count_outcome(struct people_call *c)
{
	uint64_t *n = c->people->sign_ins;
	bool needs = c->status == 401 && c->good && !c->code[0];
	n[c->status == 200         ? PEOPLE_GOOD
	        : c->status == 429 ? PEOPLE_THROTTLED
	        : needs            ? PEOPLE_NEEDS_CODE
	                           : PEOPLE_BAD]++;
}

static void next_end(struct people_call *c)
{
	people_again(c, c->people->app->desk, end_login);
}

static void next_check(struct people_call *c)
{
	c->next = next_end;
	people_again(c, c->people->hasher, check_password);
}

static const char *begin_login(struct people_call *c)
{
	const char *wrong = read_login(c);
	c->next = next_check;
	c->finish = count_outcome;
	return wrong;
}

static enum hg_rc run_logout(struct people_call *c, struct db *db, struct hg_err *err)
{
	char object[PEOPLE_OBJECT_MAX];
	bool everywhere = json_is_true(json_object_get(c->in, "everywhere"));
	enum hg_rc rc = db_begin(db, err);
	if (rc < 0) return rc;
	rc = everywhere ? user_sign_out(db, c->who.user, NULL, err)
	                : session_end(db, c->shown.hash, err);
	people_object(c->who.user, object);
	if (rc == HG_OK)
		rc = audit_add(db, &c->from, c->now_ms, "logout", object,
		        everywhere ? "everywhere" : "", err);
	if (rc == HG_OK) rc = db_commit(db, err);
	if (rc < 0) return rc;
	c->forget_shown = true;
	if (everywhere) c->forget_user = c->who.user;
	if (c->cookie_name)
		snprintf(c->cookie[0], sizeof c->cookie[0],
		        "%s=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax%s", c->cookie_name,
		        c->cookie_name[0] == '_' ? "; Secure" : "");
	c->status = 204;
	return HG_OK;
}

/* ---- registering ---- */

enum hg_rc people_hash_password(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct people_call *c = HG_CONTAINER(t, struct people_call, task);
	uint8_t salt[PASSWORD_SALT];
	(void)db;
	if (file_random(salt, sizeof salt) < 0)
		return hg_err_set(err, HG_E_IO, "the kernel gives no random bytes");
	enum hg_rc rc = password_hash(hg_str(c->password), salt, c->hash);
	return rc < 0 ? hg_err_set(err, rc, "a password could not be kept") : HG_OK;
}

static enum hg_rc run_register(struct people_call *c, struct db *db, struct hg_err *err)
{
	struct names n;
	uint64_t wait_ms = 0;
	if (!c->people->config->register_open)
		return people_say(c, 403, "Registering is closed: ask an administrator");
	names_of(c, &n);
	const struct attempt attempts[] = {{n.address, &throttle_address}};
	enum hg_rc rc = attempt_count(db, attempts, 1, c->now_ms, &wait_ms, err);
	if (rc < 0) return rc;
	if (wait_ms) {
		c->retry_s = (uint32_t)((wait_ms + 999) / 1000);
		return people_say(c, 429, "Too many attempts, please wait");
	}
	return HG_OK;
}

static enum hg_rc end_register(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct people_call *c = HG_CONTAINER(t, struct people_call, task);
	char object[PEOPLE_OBJECT_MAX];
	int64_t id = 0;
	enum hg_rc rc = db_begin(db, err);
	if (rc < 0) return rc;
	/* Whatever the body says: who comes by himself is a user. */
	rc = user_add(db, c->email, ACCESS_USER, c->hash, c->now_ms, &id, err);
	if (rc == HG_E_DB_CONSTRAINT) return people_say(c, 409, "There is such a user already");
	if (rc < 0) return rc;
	people_object(id, object);
	c->from.user = id;
	snprintf(c->from.name, sizeof c->from.name, "%s", c->email);
	rc = audit_add(db, &c->from, c->now_ms, "user.register", object, "", err);
	if (rc == HG_OK) rc = people_sign_in(c, db, id, c->email, err);
	if (rc == HG_OK && c->status == 200) c->status = 201;
	if (rc < 0 || c->status != 201) return rc;
	return db_commit(db, err);
}

static void next_end_register(struct people_call *c)
{
	people_again(c, c->people->app->desk, end_register);
}

static void next_hash(struct people_call *c)
{
	c->next = next_end_register;
	people_again(c, c->people->hasher, people_hash_password);
}

static const char *read_register(struct people_call *c)
{
	static const char *const names[] = {"email", "password", NULL};
	const char *wrong = people_only(c, names);
	if (!wrong) wrong = read_login(c);
	if (!wrong) wrong = people_password(hg_str(c->password), c->email);
	c->next = next_hash;
	return wrong;
}

/* ---- a password of one's own ---- */

static enum hg_rc end_password(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct people_call *c = HG_CONTAINER(t, struct people_call, task);
	char object[PEOPLE_OBJECT_MAX];
	enum hg_rc rc = db_begin(db, err);
	if (rc < 0) return rc;
	c->change.password = c->hash;
	people_object(c->who.user, object);
	rc = user_change(db, c->who.user, &c->change, c->now_ms, err);
	if (rc == HG_OK) rc = audit_add(db, &c->from, c->now_ms, "user.password", object, "", err);
	if (rc == HG_OK) rc = people_sign_in(c, db, c->who.user, c->who.name, err);
	c->forget_user = c->who.user;
	return rc < 0 || c->status != 200 ? rc : db_commit(db, err);
}

static void next_end_password(struct people_call *c)
{
	people_again(c, c->people->app->desk, end_password);
}

static void next_hash_own(struct people_call *c)
{
	c->next = next_end_password;
	people_again(c, c->people->hasher, people_hash_password);
}

static const char *read_password(struct people_call *c)
{
	static const char *const names[] = {"password", NULL};
	struct hg_str password;
	const char *wrong = people_only(c, names);
	if (wrong) return wrong;
	if (!people_text(c, "password", &password)) return "password must be a text";
	wrong = people_password(password, c->who.name);
	if (!wrong && !hg_str_copy(password, c->password, sizeof c->password))
		wrong = "password is longer than 256 bytes";
	c->next = next_hash_own;
	return wrong;
}

static enum hg_rc run_nothing(struct people_call *c, struct db *db, struct hg_err *err)
{
	(void)c, (void)db, (void)err;
	return HG_OK;
}

const struct people_op people_login_ops[] = {
        /* the first: it is there with AUTH=off too */
        {HTTP1_GET, "/auth/session", PEOPLE_ANYBODY, NULL, run_session},
        {HTTP1_POST, "/auth/login", PEOPLE_ANYBODY, begin_login, run_login},
        {HTTP1_POST, "/auth/logout", PEOPLE_SIGNED_IN, NULL, run_logout},
        {HTTP1_POST, "/auth/register", PEOPLE_ANYBODY, read_register, run_register},
        {HTTP1_POST, "/auth/password", PEOPLE_FRESH, read_password, run_nothing},
};
const size_t people_login_op_count = HG_COUNT(people_login_ops);
