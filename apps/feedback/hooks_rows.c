#include "apps/feedback/hooks_priv.h"

#include "wire/date.h"

#define COLUMNS                                                                              \
	"id, url, secret, old_secret, enabled, created_at, secret_changed_at, disabled_at, " \
	"told_at,"                                                                           \
	" disabled_why, told"

static void read_row(struct db_stmt *s, struct hook *h)
{
	*h = (struct hook){.id = db_column_i64(s, 0),
	        .enabled = db_column_i64(s, 4) != 0,
	        .created_ms = db_column_i64(s, 5),
	        .secret_changed_ms = db_column_i64(s, 6),
	        .disabled_ms = db_column_i64(s, 7),
	        .told_ms = db_column_i64(s, 8)};
	(void)hg_str_copy(db_column_str(s, 1), h->url, sizeof h->url);
	(void)hg_str_copy(db_column_str(s, 2), h->secret, sizeof h->secret);
	(void)hg_str_copy(db_column_str(s, 3), h->old_secret, sizeof h->old_secret);
	(void)hg_str_copy(db_column_str(s, 9), h->disabled_why, sizeof h->disabled_why);
	(void)hg_str_copy(db_column_str(s, 10), h->told, sizeof h->told);
}

enum hg_rc hooks_list(
        struct db *db, void (*each)(void *arg, const struct hook *h), void *arg, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	struct hook h;
	bool row = true;
	enum hg_rc rc = db_prepare(db, "SELECT " COLUMNS " FROM webhooks ORDER BY id", &s, err);
	while (rc == HG_OK && row) {
		rc = db_step(s, &row, err);
		if (rc < 0 || !row) break;
		read_row(s, &h);
		each(arg, &h);
	}
	db_stmt_free(s);
	explicit_bzero(&h, sizeof h);
	return rc;
}

/* A statement whose first row is the webhook; none is HG_E_NOT_FOUND. */
static enum hg_rc one_row(struct db_stmt *s, struct hook *ret_hook, struct hg_err *err)
{
	bool row = false;
	enum hg_rc rc = db_step(s, &row, err);
	if (rc == HG_OK && !row) rc = hg_err_set(err, HG_E_NOT_FOUND, "there is no such webhook");
	if (rc == HG_OK) read_row(s, ret_hook);
	/* To the end: only then is an INSERT or UPDATE … RETURNING done. */
	if (rc == HG_OK) rc = db_run(s, err);
	db_stmt_free(s);
	return rc;
}

enum hg_rc hooks_get(struct db *db, int64_t id, struct hook *ret_hook, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	enum hg_rc rc = db_prepare(db, "SELECT " COLUMNS " FROM webhooks WHERE id = $1", &s, err);
	if (rc < 0) return rc;
	db_bind_i64(s, 1, id);
	return one_row(s, ret_hook, err);
}

static enum hg_rc secret_of(struct hg_str given, char *to, struct hg_err *err)
{
	if (!given.n) {
		if (webhook_secret_new(to) == HG_OK) return HG_OK;
		return hg_err_set(err, HG_E_IO, "the kernel gives no random bytes");
	}
	if (webhook_secret_ok(given) && hg_str_copy(given, to, WEBHOOK_SECRET_MAX)) return HG_OK;
	return hg_err_set(
	        err, HG_E_INVALID, "the secret is not \"whsec_\" and base64 of 24 to 64 bytes");
}

enum hg_rc hooks_add(struct db *db, const struct outgoing *o, struct hg_str url,
        struct hg_str secret, int64_t now_ms, struct hook *ret_hook, struct hg_err *err)
{
	char own[WEBHOOK_SECRET_MAX];
	struct db_stmt *s = NULL;
	int64_t n = 0;
	/* Without https only to networks that were named: the guard sees to that when it is sent.
	 */
	bool plain = o->webhook_allow.allow_count > 0;
	enum hg_rc rc = webhook_url_check(url, plain, &o->webhook_allow, err);
	if (rc == HG_OK) rc = secret_of(secret, own, err);
	if (rc == HG_OK) rc = db_query_i64(db, "SELECT count(*) FROM webhooks", &n, err);
	if (rc == HG_OK && n >= HOOKS_MAX)
		rc = hg_err_set(err, HG_E_TOO_LARGE, "there are %u webhooks already", HOOKS_MAX);
	if (rc == HG_OK)
		rc = db_prepare(db,
		        "INSERT INTO webhooks (url, secret, created_at) VALUES ($1, $2, $3)"
		        " RETURNING " COLUMNS,
		        &s, err);
	if (rc < 0) return rc;
	db_bind_str(s, 1, url);
	db_bind_str(s, 2, hg_str(own));
	db_bind_i64(s, 3, now_ms);
	explicit_bzero(own, sizeof own);
	return one_row(s, ret_hook, err);
}

enum hg_rc hooks_remove(struct db *db, int64_t id, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	enum hg_rc rc = db_prepare(db, "DELETE FROM webhooks WHERE id = $1", &s, err);
	if (rc < 0) return rc;
	db_bind_i64(s, 1, id);
	rc = db_run(s, err);
	if (rc == HG_OK && db_changes(db) == 0)
		rc = hg_err_set(err, HG_E_NOT_FOUND, "there is no such webhook");
	db_stmt_free(s);
	return rc;
}

enum hg_rc hooks_rotate(
        struct db *db, int64_t id, int64_t now_ms, struct hook *ret_hook, struct hg_err *err)
{
	char own[WEBHOOK_SECRET_MAX];
	struct db_stmt *s = NULL;
	enum hg_rc rc = secret_of(HG_STR(""), own, err);
	if (rc == HG_OK)
		rc = db_prepare(db,
		        "UPDATE webhooks SET old_secret = secret, secret = $2, secret_changed_at = "
		        "$3"
		        " WHERE id = $1 RETURNING " COLUMNS,
		        &s, err);
	if (rc < 0) return rc;
	db_bind_i64(s, 1, id);
	db_bind_str(s, 2, hg_str(own));
	db_bind_i64(s, 3, now_ms);
	explicit_bzero(own, sizeof own);
	return one_row(s, ret_hook, err);
}

enum hg_rc hooks_enable(struct db *db, int64_t id, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	enum hg_rc rc = db_prepare(db,
	        "UPDATE webhooks SET enabled = 1, disabled_at = NULL, disabled_why = NULL"
	        " WHERE id = $1",
	        &s, err);
	if (rc < 0) return rc;
	db_bind_i64(s, 1, id);
	rc = db_run(s, err);
	if (rc == HG_OK && db_changes(db) == 0)
		rc = hg_err_set(err, HG_E_NOT_FOUND, "there is no such webhook");
	db_stmt_free(s);
	return rc;
}

static void time_json(struct json_out *j, const char *key, int64_t ms)
{
	char text[DATE_RFC3339_SIZE];
	json_out_key(j, key);
	if (ms <= 0) {
		json_out_null(j);
		return;
	}
	date_rfc3339((uint64_t)ms, text);
	json_out_cstr(j, text);
}

static void text_json(struct json_out *j, const char *key, const char *text)
{
	json_out_key(j, key);
	json_out_cstr(j, text[0] ? text : NULL);
}

void hook_json(struct json_out *j, const struct hook *h, bool secret)
{
	json_out_object(j);
	json_out_key(j, "id");
	json_out_int(j, h->id);
	text_json(j, "url", h->url);
	json_out_key(j, "enabled");
	json_out_bool(j, h->enabled);
	if (secret) text_json(j, "secret", h->secret);
	time_json(j, "created_at", h->created_ms);
	time_json(j, "secret_changed_at", h->secret_changed_ms);
	time_json(j, "told_at", h->told_ms);
	text_json(j, "told", h->told);
	time_json(j, "disabled_at", h->disabled_ms);
	text_json(j, "disabled_why", h->disabled_why);
	json_out_end(j);
}
