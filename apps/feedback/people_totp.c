/* The second factor: enrolling, confirming, codes for recovery, ending. */
#include "apps/feedback/people_priv.h"

#include <stdio.h>

#include "auth/totp.h"
#include "os/file.h"
#include "wire/json.h"

#include "apps/feedback/sql_priv.h"

#define CODES 10
/* 16 of 32 letters are 80 bits: too many to try against the hash. */
#define CODE_BYTES 10

static const char *read_nothing(struct people_call *c)
{
	static const char *const names[] = {NULL};
	return people_only(c, names);
}

static const char *read_code(struct people_call *c)
{
	static const char *const names[] = {"code", NULL};
	struct hg_str code;
	const char *wrong = people_only(c, names);
	if (wrong) return wrong;
	if (!people_text(c, "code", &code) || !code.n) return "code must be a text";
	return hg_str_copy(hg_str_trim(code), c->code, sizeof c->code) ? NULL : "code is too long";
}

static enum hg_rc note(struct people_call *c, struct db *db, const char *action, struct hg_err *err)
{
	char object[PEOPLE_OBJECT_MAX];
	people_object(c->who.user, object);
	return audit_add(db, &c->from, c->now_ms, action, object, "", err);
}

/* A secret that counts for nothing until a code of it was shown. */
static enum hg_rc run_enroll(struct people_call *c, struct db *db, struct hg_err *err)
{
	unsigned char secret[TOTP_SECRET];
	char hex[2 * TOTP_SECRET + 1];
	struct hg_str bytes = {(const char *)secret, sizeof secret};
	int64_t changes = 0;
	if (file_random(secret, sizeof secret) < 0)
		return hg_err_set(err, HG_E_IO, "the kernel gives no random bytes");
	people_hex(secret, sizeof secret, hex);
	enum hg_rc rc = sql_run(db,
	        "UPDATE users SET totp_secret = $2, totp_step = 0 WHERE id = $1 AND totp_on = 0",
	        SQL_VALUES(SQL_I(c->who.user), SQL_C(hex)), &changes, err);
	if (rc < 0) return rc;
	if (!changes) return people_say(c, 409, "A second factor is on: end it first");
	hg_buf_cstr(&c->json, "{\"secret\":\"");
	totp_base32(bytes, &c->json);
	hg_buf_cstr(&c->json, "\",\"uri\":\"");
	totp_uri(HG_STR("Feedback App"), hg_str(c->who.name), bytes, &c->json);
	hg_buf_cstr(&c->json, "\"}\n");
	explicit_bzero(secret, sizeof secret);
	c->status = 200;
	return HG_OK;
}

/* "abcd-efgh-ijkl-mnop" */
static enum hg_rc make_code(struct hg_buf *to, struct hg_err *err)
{
	unsigned char random[CODE_BYTES];
	struct hg_buf text;
	if (file_random(random, sizeof random) < 0)
		return hg_err_set(err, HG_E_IO, "the kernel gives no random bytes");
	hg_buf_init(&text, 64);
	totp_base32((struct hg_str){(const char *)random, sizeof random}, &text);
	for (size_t i = 0; i < text.n; i++) {
		char l = text.p[i];
		if (i && i % 4 == 0) hg_buf_byte(to, '-');
		hg_buf_byte(to, l >= 'A' && l <= 'Z' ? (char)(l + 32) : l);
	}
	hg_buf_free(&text);
	return to->failed ? hg_err_set(err, HG_E_NOMEM, "not enough memory") : HG_OK;
}

/* New ones in place of the old ones; they are shown once, and kept as hashes. */
static enum hg_rc make_codes(struct people_call *c, struct db *db, struct hg_err *err)
{
	char hex[2 * JWS_DIGEST + 1];
	struct hg_buf code;
	enum hg_rc rc = sql_run(db, "DELETE FROM recovery_codes WHERE user_id = $1",
	        SQL_VALUES(SQL_I(c->who.user)), NULL, err);
	hg_buf_init(&code, 64);
	hg_buf_cstr(&c->json, "{\"recovery_codes\":[");
	for (int i = 0; rc == HG_OK && i < CODES; i++) {
		hg_buf_reset(&code);
		rc = make_code(&code, err);
		if (rc == HG_OK)
			rc = people_recovery_hash(c->who.user, hg_buf_text(&code), hex, err);
		if (rc == HG_OK)
			rc = sql_run(db,
			        "INSERT INTO recovery_codes (user_id, hash) VALUES ($1, $2)",
			        SQL_VALUES(SQL_I(c->who.user), SQL_C(hex)), NULL, err);
		hg_buf_fmt(&c->json, "%s\"%s\"", i ? "," : "", hg_buf_text(&code));
	}
	hg_buf_cstr(&c->json, "]}\n");
	hg_buf_free(&code);
	return rc;
}

/* *ret_good: the code is right. Guesses count as attempts to sign in do. */
static enum hg_rc check_code(
        struct people_call *c, struct db *db, bool *ret_good, struct hg_err *err)
{
	char key[PEOPLE_EMAIL_MAX + 16];
	uint64_t wait_ms = 0;
	snprintf(key, sizeof key, "totp:%s", c->who.name);
	const struct attempt attempts[] = {{key, &throttle_account}};
	*ret_good = false;
	enum hg_rc rc = attempt_count(db, attempts, 1, c->now_ms, &wait_ms, err);
	if (rc < 0) return rc;
	if (wait_ms) {
		c->retry_s = (uint32_t)((wait_ms + 999) / 1000);
		return people_say(c, 429, "Too many attempts, please wait");
	}
	rc = user_by_id(db, c->who.user, &c->user, err);
	if (rc == HG_OK) rc = db_begin(db, err);
	if (rc == HG_OK) rc = people_use_code(c, db, ret_good, err);
	if (rc < 0) return rc;
	if (!*ret_good) {
		rc = db_commit(db, err);
		return rc < 0 ? rc : people_say(c, 400, "The code is wrong");
	}
	return attempt_good(db, key, "", err);
}

static enum hg_rc run_confirm(struct people_call *c, struct db *db, struct hg_err *err)
{
	bool good = false;
	int64_t changes = 0;
	enum hg_rc rc = check_code(c, db, &good, err);
	if (rc < 0 || !good) return rc;
	rc = sql_run(db, "UPDATE users SET totp_on = 1 WHERE id = $1 AND totp_on = 0",
	        SQL_VALUES(SQL_I(c->who.user)), &changes, err);
	if (rc < 0) return rc;
	if (!changes) return people_say(c, 409, "A second factor is on already");
	/* Whoever has signed in elsewhere has done so without it. */
	rc = user_sign_out(db, c->who.user, c->shown.hash, err);
	if (rc == HG_OK) rc = note(c, db, "totp.on", err);
	if (rc == HG_OK) rc = make_codes(c, db, err);
	if (rc == HG_OK) rc = db_commit(db, err);
	c->forget_user = c->who.user;
	c->status = 200;
	return rc;
}

static enum hg_rc run_codes(struct people_call *c, struct db *db, struct hg_err *err)
{
	bool good = false;
	enum hg_rc rc = check_code(c, db, &good, err);
	if (rc < 0 || !good) return rc;
	if (!c->user.totp_on) return people_say(c, 409, "There is no second factor");
	rc = note(c, db, "totp.codes", err);
	if (rc == HG_OK) rc = make_codes(c, db, err);
	if (rc == HG_OK) rc = db_commit(db, err);
	c->status = 200;
	return rc;
}

static enum hg_rc run_disable(struct people_call *c, struct db *db, struct hg_err *err)
{
	bool good = false;
	enum hg_rc rc = check_code(c, db, &good, err);
	if (rc < 0 || !good) return rc;
	c->change.drop_totp = true;
	rc = user_change(db, c->who.user, &c->change, c->now_ms, err);
	if (rc == HG_OK) rc = note(c, db, "totp.off", err);
	if (rc == HG_OK) rc = people_sign_in(c, db, c->who.user, c->who.name, err);
	c->forget_user = c->who.user;
	return rc < 0 || c->status != 200 ? rc : db_commit(db, err);
}

const struct people_op people_totp_ops[] = {
        {HTTP1_POST, "/auth/totp/enroll", PEOPLE_FRESH, read_nothing, run_enroll},
        {HTTP1_POST, "/auth/totp/confirm", PEOPLE_FRESH, read_code, run_confirm},
        {HTTP1_POST, "/auth/totp/disable", PEOPLE_FRESH, read_code, run_disable},
        {HTTP1_POST, "/auth/totp/recovery", PEOPLE_FRESH, read_code, run_codes},
};
const size_t people_totp_op_count = HG_COUNT(people_totp_ops);
