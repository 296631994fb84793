/* The journal, tokens and the audit trail. */
#include "store/store_priv.h"

enum hg_rc store_event_add(
        struct store *s, const struct store_event *e, uint64_t *ret_id, struct hg_err *err)
{
	struct db_stmt *q;
	bool row;
	enum hg_rc rc = store_stmt(s, Q_EVENT_ADD, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, (int64_t)e->ts_ms);
	db_bind_str(q, 2, e->kind);
	db_bind_str(q, 3, e->app);
	db_bind_i64(q, 4, e->release);
	db_bind_i64(q, 5, e->replica);
	db_bind_str(q, 6, e->text.n ? e->text : HG_STR("{}"));
	rc = db_step(q, &row, err);
	if (rc < 0) return rc;
	if (!row) return hg_err_set(err, HG_E_DB_QUERY, "the store gave no event id");
	uint64_t id = (uint64_t)db_column_i64(q, 0);
	rc = db_step(q, &row, err);
	if (rc == HG_OK && ret_id) *ret_id = id;
	return rc;
}

static enum hg_rc events_walk(struct db_stmt *q, store_event_fn fn, void *arg, struct hg_err *err)
{
	enum hg_rc rc = HG_OK;
	for (bool row = true; rc == HG_OK;) {
		rc = db_step(q, &row, err);
		if (rc < 0 || !row) break;
		fn(arg, &(struct store_event){
		                .id = (uint64_t)db_column_i64(q, 0),
		                .ts_ms = (uint64_t)db_column_i64(q, 1),
		                .kind = db_column_str(q, 2),
		                .app = db_column_str(q, 3),
		                .release = (uint32_t)db_column_i64(q, 4),
		                .replica = (uint32_t)db_column_i64(q, 5),
		                .text = db_column_str(q, 6),
		        });
	}
	return rc;
}

enum hg_rc store_events(struct store *s, uint64_t after, struct hg_str app, uint32_t limit,
        store_event_fn fn, void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, app.n ? Q_EVENTS_APP : Q_EVENTS, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, after > INT64_MAX ? INT64_MAX : (int64_t)after);
	db_bind_i64(q, 2, limit);
	if (app.n) db_bind_str(q, 3, app);
	return events_walk(q, fn, arg, err);
}

enum hg_rc store_events_last(struct store *s, struct hg_str app, uint32_t limit, store_event_fn fn,
        void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, app.n ? Q_EVENTS_LAST_APP : Q_EVENTS_LAST, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, limit);
	if (app.n) db_bind_str(q, 2, app);
	return events_walk(q, fn, arg, err);
}

static struct hg_str digest_of(const uint8_t sha256[32])
{
	return (struct hg_str){(const char *)sha256, 32};
}

static void token_read(struct db_stmt *q, struct store_token *t)
{
	struct hg_str digest = db_column_blob(q, 0);
	*t = (struct store_token){
	        .name = db_column_str(q, 1),
	        .role = (enum store_role)db_column_i64(q, 2),
	        .created_ms = (uint64_t)db_column_i64(q, 3),
	        .used_ms = (uint64_t)db_column_i64(q, 4),
	        .expires_ms = (uint64_t)db_column_i64(q, 5),
	        .login = db_column_i64(q, 6) != 0,
	        .parent = db_column_str(q, 7),
	};
	if (digest.n == sizeof t->sha256) memcpy(t->sha256, digest.p, digest.n);
}

enum hg_rc store_token_add(struct store *s, const struct store_token *t, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_TOKEN_ADD, &q, err);
	if (rc < 0) return rc;
	db_bind_blob(q, 1, digest_of(t->sha256));
	db_bind_str(q, 2, t->name);
	db_bind_i64(q, 3, t->role);
	db_bind_i64(q, 4, (int64_t)t->created_ms);
	db_bind_i64(q, 5, (int64_t)t->used_ms);
	db_bind_i64(q, 6, (int64_t)t->expires_ms);
	db_bind_i64(q, 7, t->login);
	db_bind_str(q, 8, t->parent.n ? t->parent : HG_STR(""));
	return db_run(q, err);
}

enum hg_rc store_token_find(struct store *s, const uint8_t sha256[32], struct hg_buf *name,
        struct store_token *ret_token, struct hg_err *err)
{
	struct db_stmt *q;
	bool row;
	struct store_token t;
	enum hg_rc rc = store_stmt(s, Q_TOKEN_FIND, &q, err);
	if (rc < 0) return rc;
	db_bind_blob(q, 1, digest_of(sha256));
	rc = db_step(q, &row, err);
	if (rc < 0) return rc;
	if (!row) return HG_E_NOT_FOUND;
	token_read(q, &t);
	size_t at = name->n, length = t.name.n;
	hg_buf_str(name, t.name);
	hg_buf_str(name, t.parent);
	db_reset(q);
	if (name->failed) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	t.name = (struct hg_str){name->p + at, length};
	t.parent = (struct hg_str){name->p + at + length, name->n - at - length};
	*ret_token = t;
	return HG_OK;
}

enum hg_rc store_token_used(
        struct store *s, const uint8_t sha256[32], uint64_t now_ms, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_TOKEN_USED, &q, err);
	if (rc < 0) return rc;
	db_bind_blob(q, 1, digest_of(sha256));
	db_bind_i64(q, 2, (int64_t)now_ms);
	return db_run(q, err);
}

enum hg_rc store_token_remove(struct store *s, struct hg_str name, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_TOKEN_REMOVE, &q, err);
	if (rc < 0) return rc;
	db_bind_str(q, 1, name);
	rc = db_run(q, err);
	if (rc == HG_OK && db_changes(s->db) == 0) rc = HG_E_NOT_FOUND;
	return rc;
}

enum hg_rc store_tokens_prune(struct store *s, uint64_t until_ms, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_TOKENS_PRUNE, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, (int64_t)HG_MIN(until_ms, (uint64_t)INT64_MAX));
	return db_run(q, err);
}

enum hg_rc store_logins(struct store *s, uint64_t now_ms, uint64_t *ret_n, struct hg_err *err)
{
	struct db_stmt *q;
	bool row;
	enum hg_rc rc = store_stmt(s, Q_LOGINS, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, (int64_t)now_ms);
	rc = db_step(q, &row, err);
	if (rc < 0) return rc;
	*ret_n = row ? (uint64_t)db_column_i64(q, 0) : 0;
	db_reset(q);
	return HG_OK;
}

enum hg_rc store_tokens(struct store *s, store_token_fn fn, void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_TOKENS, &q, err);
	for (bool row = true; rc == HG_OK;) {
		rc = db_step(q, &row, err);
		if (rc < 0 || !row) break;
		struct store_token t;
		token_read(q, &t);
		fn(arg, &t);
	}
	return rc;
}

enum hg_rc store_audit_add(struct store *s, const struct store_audit *a, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_AUDIT_ADD, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, (int64_t)a->ts_ms);
	db_bind_str(q, 2, a->who);
	db_bind_str(q, 3, a->what);
	db_bind_str(q, 4, a->target);
	db_bind_str(q, 5, a->result);
	db_bind_str(q, 6, a->text.n ? a->text : HG_STR("{}"));
	return db_run(q, err);
}

enum hg_rc store_audits(struct store *s, uint64_t before, uint32_t limit, store_audit_fn fn,
        void *arg, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_AUDITS, &q, err);
	if (rc < 0) return rc;
	db_bind_i64(q, 1, before && before < INT64_MAX ? (int64_t)before : INT64_MAX);
	db_bind_i64(q, 2, limit);
	for (bool row = true; rc == HG_OK;) {
		rc = db_step(q, &row, err);
		if (rc < 0 || !row) break;
		fn(arg, &(struct store_audit){
		                .id = (uint64_t)db_column_i64(q, 0),
		                .ts_ms = (uint64_t)db_column_i64(q, 1),
		                .who = db_column_str(q, 2),
		                .what = db_column_str(q, 3),
		                .target = db_column_str(q, 4),
		                .result = db_column_str(q, 5),
		                .text = db_column_str(q, 6),
		        });
	}
	return rc;
}
