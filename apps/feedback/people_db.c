/* The rows of people. */
#include "apps/feedback/people_priv.h"

#include <stdio.h>

#include "auth/apikey.h"
#include "os/file.h"

#include "apps/feedback/sql_priv.h"

#define DAY_MS 86400000ull

const char *people_email(struct hg_str text, char ret_email[PEOPLE_EMAIL_MAX + 1])
{
	static const char wrong[] = "email is not an e-mail address";
	struct hg_str t = text_trim(text);
	size_t at = hg_str_find(t, '@');
	if (t.n > PEOPLE_EMAIL_MAX) return "email is longer than 254 bytes";
	if (at == 0 || at + 1 >= t.n || !hg_utf8_valid(t)) return wrong;
	if (memchr(t.p + at + 1, '@', t.n - at - 1)) return wrong;
	for (size_t i = 0; i < t.n; i++) {
		char c = t.p[i];
		if ((unsigned char)c <= ' ' || c == 0x7f || strchr("<>\"\\,;:()", c)) return wrong;
		ret_email[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
	}
	ret_email[t.n] = 0;
	return NULL;
}

/* What is tried first, in passwords of ten characters and more. */
static const char *const common[] = {"password", "qwerty", "123456", "letmein", "iloveyou",
        "welcome", "administrator", "changeme", "abcdef", "111111"};

/* Nothing but something common and digits, dots and marks around it. */
static bool is_common(struct hg_str t)
{
	for (size_t i = 0; i < HG_COUNT(common); i++) {
		struct hg_str word = hg_str(common[i]), rest = t;
		if (rest.n < word.n || !hg_str_eq_nocase((struct hg_str){rest.p, word.n}, word))
			continue;
		size_t k = word.n;
		while (k < t.n && strchr("0123456789!.#?*_-", t.p[k]))
			k++;
		if (k == t.n) return true;
	}
	return false;
}

const char *people_password(struct hg_str text, const char *email)
{
	bool same = true;
	if (hg_utf8_valid(text) && hg_utf8_count(text) < PEOPLE_PASSWORD_MIN)
		return "password has less than 10 characters";
	if (text.n > PEOPLE_PASSWORD_MAX) return "password is longer than 256 bytes";
	if (!hg_utf8_valid(text) || memchr(text.p, 0, text.n)) return "password is not text";
	for (size_t i = 1; i < text.n; i++)
		same = same && text.p[i] == text.p[0];
	if (same || is_common(text)) return "password is one of those that are tried first";
	if (hg_str_eq_nocase(text, hg_str(email))) return "password is the e-mail address";
	return NULL;
}

enum hg_rc people_secret(struct db *db, unsigned char ret_secret[PEOPLE_SECRET], struct hg_err *err)
{
	unsigned char fresh[PEOPLE_SECRET];
	char hex[2 * PEOPLE_SECRET + 1];
	struct db_stmt *s = NULL;
	HG_ASSERT(PEOPLE_SECRET == APIKEY_HASH);
	if (file_random(fresh, sizeof fresh) < 0)
		return hg_err_set(err, HG_E_IO, "the kernel gives no random bytes");
	people_hex(fresh, sizeof fresh, hex);
	enum hg_rc rc = sql_run(db,
	        "INSERT INTO secrets (name, value) VALUES ('session', $1)"
	        " ON CONFLICT (name) DO NOTHING",
	        SQL_VALUES(SQL_C(hex)), NULL, err);
	if (rc == HG_OK)
		rc = sql_row(db, "SELECT value FROM secrets WHERE name = $1",
		        SQL_VALUES(SQL_C("session")), &s, err);
	if (rc == HG_OK && (!s || !apikey_hash_read(db_column_str(s, 0), ret_secret)))
		rc = hg_err_set(err, HG_E_DB_QUERY, "the app's secret in the database is damaged");
	db_stmt_free(s);
	return rc;
}

#define USER_COLUMNS \
	"id, email, role, disabled, password, totp_secret, totp_on, totp_step, created_at"

/* A role that this program does not know may do nothing more than a guest. */
static enum access_role role_of(struct hg_str name)
{
	enum access_role role = ACCESS_GUEST;
	(void)!access_role_parse(name, &role);
	return role;
}

static enum hg_rc take_user(enum hg_rc rc, struct db_stmt *s, struct user *u)
{
	if (rc < 0) return rc;
	if (!s) return HG_E_NOT_FOUND;
	*u = (struct user){.id = db_column_i64(s, 0),
	        .role = role_of(db_column_str(s, 2)),
	        .disabled = db_column_i64(s, 3) != 0,
	        .totp_on = db_column_i64(s, 6) != 0,
	        .totp_step = (uint64_t)db_column_i64(s, 7),
	        .created_ms = db_column_i64(s, 8)};
	(void)hg_str_copy(db_column_str(s, 1), u->email, sizeof u->email);
	(void)hg_str_copy(db_column_str(s, 4), u->password, sizeof u->password);
	(void)hg_str_copy(db_column_str(s, 5), u->totp_secret, sizeof u->totp_secret);
	db_stmt_free(s);
	return HG_OK;
}

enum hg_rc user_by_email(
        struct db *db, const char *email, struct user *ret_user, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	enum hg_rc rc = sql_row(db, "SELECT " USER_COLUMNS " FROM users WHERE email = $1",
	        SQL_VALUES(SQL_C(email)), &s, err);
	return take_user(rc, s, ret_user);
}

enum hg_rc user_by_id(struct db *db, int64_t id, struct user *ret_user, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	enum hg_rc rc = sql_row(db, "SELECT " USER_COLUMNS " FROM users WHERE id = $1",
	        SQL_VALUES(SQL_I(id)), &s, err);
	return take_user(rc, s, ret_user);
}

enum hg_rc user_add(struct db *db, const char *email, enum access_role role, const char *password,
        uint64_t now_ms, int64_t *ret_id, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	struct sql_value kept = password[0] ? SQL_C(password) : SQL_N;
	/* ON CONFLICT, so that the transaction around it lives on. */
	enum hg_rc rc = sql_row(db,
	        "INSERT INTO users (email, role, password, created_at, updated_at)"
	        " VALUES ($1, $2, $3, $4, $4) ON CONFLICT (email) DO NOTHING RETURNING id",
	        SQL_VALUES(SQL_C(email), SQL_C(access_role_name(role)), kept, SQL_I(now_ms)), &s,
	        err);
	if (rc < 0) return rc;
	if (!s) return hg_err_set(err, HG_E_DB_CONSTRAINT, "there is a user %s already", email);
	*ret_id = db_column_i64(s, 0);
	rc = db_run(s, err); /* to its end: only then is an INSERT … RETURNING done */
	db_stmt_free(s);
	return rc;
}

enum hg_rc user_sign_out(struct db *db, int64_t id, const unsigned char *but, struct hg_err *err)
{
	char hex[2 * JWS_DIGEST + 1] = "";
	if (but) people_hex(but, JWS_DIGEST, hex);
	return sql_run(db, "DELETE FROM sessions WHERE user_id = $1 AND hash <> $2",
	        SQL_VALUES(SQL_I(id), SQL_C(hex)), NULL, err);
}

enum hg_rc user_change(
        struct db *db, int64_t id, const struct user_change *c, uint64_t now_ms, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	if (c->role >= 0)
		rc = sql_run(db, "UPDATE users SET role = $2, updated_at = $3 WHERE id = $1",
		        SQL_VALUES(SQL_I(id), SQL_C(access_role_name((enum access_role)c->role)),
		                SQL_I(now_ms)),
		        NULL, err);
	if (rc == HG_OK && c->disabled >= 0)
		rc = sql_run(db, "UPDATE users SET disabled = $2, updated_at = $3 WHERE id = $1",
		        SQL_VALUES(SQL_I(id), SQL_I(c->disabled), SQL_I(now_ms)), NULL, err);
	if (rc == HG_OK && c->password)
		rc = sql_run(db, "UPDATE users SET password = $2, updated_at = $3 WHERE id = $1",
		        SQL_VALUES(SQL_I(id), SQL_C(c->password), SQL_I(now_ms)), NULL, err);
	if (rc == HG_OK && c->drop_totp)
		rc = sql_run(db,
		        "UPDATE users SET totp_on = 0, totp_secret = NULL, totp_step = 0,"
		        " updated_at = $2 WHERE id = $1",
		        SQL_VALUES(SQL_I(id), SQL_I(now_ms)), NULL, err);
	if (rc == HG_OK && c->drop_totp)
		rc = sql_run(db, "DELETE FROM recovery_codes WHERE user_id = $1",
		        SQL_VALUES(SQL_I(id)), NULL, err);
	return rc < 0 ? rc : user_sign_out(db, id, NULL, err);
}

enum hg_rc session_end(struct db *db, const unsigned char hash[JWS_DIGEST], struct hg_err *err)
{
	char hex[2 * JWS_DIGEST + 1];
	people_hex(hash, JWS_DIGEST, hex);
	return sql_run(
	        db, "DELETE FROM sessions WHERE hash = $1", SQL_VALUES(SQL_C(hex)), NULL, err);
}

enum hg_rc session_add(struct db *db, const unsigned char hash[JWS_DIGEST], int64_t user,
        const char *address, uint64_t now_ms, struct hg_err *err)
{
	char hex[2 * JWS_DIGEST + 1];
	people_hex(hash, JWS_DIGEST, hex);
	return sql_run(db,
	        "INSERT INTO sessions (hash, user_id, created_at, seen_at, address)"
	        " VALUES ($1, $2, $3, $3, $4)",
	        SQL_VALUES(SQL_C(hex), SQL_I(user), SQL_I(now_ms), SQL_C(address)), NULL, err);
}

static void take_session(struct db_stmt *s, struct session *to)
{
	to->user = db_column_i64(s, 0);
	to->role = role_of(db_column_str(s, 2));
	(void)hg_str_copy(db_column_str(s, 1), to->email, sizeof to->email);
}

enum hg_rc session_find(struct db *db, const unsigned char hash[JWS_DIGEST], const struct config *c,
        uint64_t now_ms, struct session *ret_session, struct hg_err *err)
{
	char hex[2 * JWS_DIGEST + 1];
	struct db_stmt *s = NULL;
	people_hex(hash, JWS_DIGEST, hex);
	enum hg_rc rc = sql_row(db,
	        "SELECT u.id, u.email, u.role, u.disabled, s.created_at, s.seen_at FROM sessions s"
	        " JOIN users u ON u.id = s.user_id WHERE s.hash = $1",
	        SQL_VALUES(SQL_C(hex)), &s, err);
	if (rc < 0) return rc;
	if (!s) return HG_E_NOT_FOUND;
	int64_t created = db_column_i64(s, 4), seen = db_column_i64(s, 5), now = (int64_t)now_ms;
	bool over = db_column_i64(s, 3) || now - created >= c->session_max_s * 1000ll ||
	            now - seen >= c->session_idle_s * 1000ll;
	take_session(s, ret_session);
	ret_session->created_ms = created;
	db_stmt_free(s);
	if (over) {
		rc = session_end(db, hash, err);
		return rc < 0 ? rc : HG_E_NOT_FOUND;
	}
	if (now - seen < (int64_t)PEOPLE_TOUCH_MS) return HG_OK;
	return sql_run(db, "UPDATE sessions SET seen_at = $2 WHERE hash = $1 AND seen_at < $2",
	        SQL_VALUES(SQL_C(hex), SQL_I(now)), NULL, err);
}

enum hg_rc key_find(struct db *db, const unsigned char hash[JWS_DIGEST], uint64_t now_ms,
        struct session *ret_session, struct hg_err *err)
{
	char hex[2 * JWS_DIGEST + 1];
	struct db_stmt *s = NULL;
	people_hex(hash, JWS_DIGEST, hex);
	enum hg_rc rc = sql_row(db,
	        "SELECT u.id, u.email, u.role, u.disabled, k.scopes, k.expires_at, k.used_at"
	        " FROM api_keys k JOIN users u ON u.id = k.user_id WHERE k.hash = $1",
	        SQL_VALUES(SQL_C(hex)), &s, err);
	if (rc < 0) return rc;
	if (!s) return HG_E_NOT_FOUND;
	int64_t now = (int64_t)now_ms, used = db_column_i64(s, 6);
	bool over = db_column_i64(s, 3) || (!db_column_null(s, 5) && now >= db_column_i64(s, 5)) ||
	            !access_permissions_parse(db_column_str(s, 4), &ret_session->scopes);
	take_session(s, ret_session);
	db_stmt_free(s);
	if (over) return HG_E_NOT_FOUND;
	if (now - used < (int64_t)PEOPLE_TOUCH_MS) return HG_OK;
	return sql_run(db, "UPDATE api_keys SET used_at = $2 WHERE hash = $1",
	        SQL_VALUES(SQL_C(hex), SQL_I(now)), NULL, err);
}

static enum hg_rc attempt_read(
        struct db *db, const char *key, struct throttle_state *ret_state, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	*ret_state = (struct throttle_state){0};
	enum hg_rc rc = sql_row(db, "SELECT failures, last_at FROM login_attempts WHERE key = $1",
	        SQL_VALUES(SQL_C(key)), &s, err);
	if (rc < 0 || !s) return rc;
	ret_state->failures = (uint64_t)db_column_i64(s, 0);
	ret_state->last_ms = (uint64_t)db_column_i64(s, 1);
	db_stmt_free(s);
	return HG_OK;
}

/* HG_E_AGAIN: somebody else has counted meanwhile. */
static enum hg_rc attempt_write(struct db *db, const char *key, struct throttle_state was,
        struct throttle_state is, struct hg_err *err)
{
	int64_t changes = 0;
	enum hg_rc rc =
	        was.failures || was.last_ms
	                ? sql_run(db,
	                          "UPDATE login_attempts SET failures = $4, last_at = $5"
	                          " WHERE key = $1 AND failures = $2 AND last_at = $3",
	                          SQL_VALUES(SQL_C(key), SQL_I(was.failures), SQL_I(was.last_ms),
	                                  SQL_I(is.failures), SQL_I(is.last_ms)),
	                          &changes, err)
	                : sql_run(db,
	                          "INSERT INTO login_attempts (key, failures, last_at)"
	                          " VALUES ($1, $2, $3) ON CONFLICT (key) DO NOTHING",
	                          SQL_VALUES(SQL_C(key), SQL_I(is.failures), SQL_I(is.last_ms)),
	                          &changes, err);
	if (rc < 0 || changes) return rc;
	return HG_E_AGAIN;
}

enum hg_rc attempt_count(struct db *db, const struct attempt *attempts, size_t n, uint64_t now_ms,
        uint64_t *ret_wait_ms, struct hg_err *err)
{
	enum hg_rc rc = db_begin(db, err);
	*ret_wait_ms = 0;
	for (size_t i = 0; rc == HG_OK && i < n; i++) {
		const struct attempt *a = &attempts[i];
		struct throttle_state was;
		rc = attempt_read(db, a->key, &was, err);
		if (rc < 0) break;
		*ret_wait_ms = throttle_wait_ms(a->policy, was, now_ms);
		if (*ret_wait_ms) break;
		rc = attempt_write(db, a->key, was, throttle_attempt(a->policy, was, now_ms), err);
	}
	if (rc == HG_OK && !*ret_wait_ms) return db_commit(db, err);
	db_rollback(db);
	if (rc != HG_E_AGAIN || (err && err->message[0])) return rc;
	*ret_wait_ms = 1000; /* two attempts at the same moment: one of them waits */
	return HG_OK;
}

static enum hg_rc give_back(struct db *db, const char *key, struct hg_err *err)
{
	return sql_run(db,
	        "UPDATE login_attempts SET failures = failures - 1 WHERE key = $1 AND failures > 0",
	        SQL_VALUES(SQL_C(key)), NULL, err);
}

enum hg_rc attempt_good(struct db *db, const char *account, const char *address, struct hg_err *err)
{
	enum hg_rc rc = sql_run(db, "DELETE FROM login_attempts WHERE key = $1",
	        SQL_VALUES(SQL_C(account)), NULL, err);
	/* One less, not none: who has an account here must not guess for free at others. */
	return rc < 0 ? rc : give_back(db, address, err);
}

/* One less, not none: who knows the password must not guess codes for free. */
enum hg_rc attempt_back(struct db *db, const char *account, const char *address, struct hg_err *err)
{
	enum hg_rc rc = give_back(db, account, err);
	return rc < 0 ? rc : give_back(db, address, err);
}

enum hg_rc people_sweep(struct db *db, const struct config *c, uint64_t now_ms, struct hg_err *err)
{
	uint64_t idle = now_ms - c->session_idle_s * 1000ull;
	uint64_t longest = now_ms - c->session_max_s * 1000ull;
	enum hg_rc rc = sql_run(db,
	        "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE seen_at < $1"
	        " OR created_at < $2 LIMIT 1000)",
	        SQL_VALUES(SQL_I(idle), SQL_I(longest)), NULL, err);
	if (rc == HG_OK)
		rc = sql_run(db,
		        "DELETE FROM login_attempts WHERE key IN (SELECT key FROM login_attempts"
		        " WHERE last_at < $1 LIMIT 1000)",
		        SQL_VALUES(SQL_I(now_ms - DAY_MS)), NULL, err);
	if (rc == HG_OK && c->audit_days)
		rc = audit_expire(db, now_ms - c->audit_days * DAY_MS, err);
	return rc;
}
