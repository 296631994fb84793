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

void store_tokens_forget(struct store *s)
{
	for (uint32_t i = 0; i < STORE_TOKENS_KEPT; i++)
		s->kept[i].there = false;
}

static struct store_kept *kept_place(struct store *s, const uint8_t sha256[32])
{
	return &s->kept[sha256[0] % STORE_TOKENS_KEPT];
}

static struct store_kept *kept_find(struct store *s, const uint8_t sha256[32])
{
	struct store_kept *k = kept_place(s, sha256);
	return k->there && memcmp(k->t.sha256, sha256, sizeof k->t.sha256) == 0 ? k : NULL;
}

static void kept_put(struct store *s, const struct store_token *t)
{
	struct store_kept *k = kept_place(s, t->sha256);
	k->there = t->name.n + t->parent.n <= sizeof k->text;
	if (!k->there) return;
	k->t = *t;
	memcpy(k->text, t->name.p, t->name.n);
	if (t->parent.n) memcpy(k->text + t->name.n, t->parent.p, t->parent.n);
	k->t.name.p = k->text;
	k->t.parent.p = k->text + t->name.n;
}

/* With its strings in `to`. */
static enum hg_rc token_give(const struct store_token *t, struct hg_buf *to,
        struct store_token *ret_token, struct hg_err *err)
{
	size_t at = to->n;
	hg_buf_str(to, t->name);
	hg_buf_str(to, t->parent);
	if (to->failed) return hg_err_set(err, HG_E_NOMEM, "memory is exhausted");
	*ret_token = *t;
	ret_token->name.p = to->p + at;
	ret_token->parent.p = to->p + at + t->name.n;
	return HG_OK;
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
	store_tokens_forget(s);
	return db_run(q, err);
}

enum hg_rc store_token_find(struct store *s, const uint8_t sha256[32], struct hg_buf *name,
        struct store_token *ret_token, struct hg_err *err)
{
	struct db_stmt *q;
	bool row;
	struct store_token t;
	const struct store_kept *k = kept_find(s, sha256);
	if (k) return token_give(&k->t, name, ret_token, err);
	enum hg_rc rc = store_stmt(s, Q_TOKEN_FIND, &q, err);
	if (rc < 0) return rc;
	db_bind_blob(q, 1, digest_of(sha256));
	rc = db_step(q, &row, err);
	if (rc < 0) return rc;
	if (!row) return HG_E_NOT_FOUND;
	token_read(q, &t);
	rc = token_give(&t, name, ret_token, err);
	if (rc == HG_OK) kept_put(s, &t);
	db_reset(q);
	return rc;
}

enum hg_rc store_token_used(
        struct store *s, const uint8_t sha256[32], uint64_t now_ms, struct hg_err *err)
{
	struct db_stmt *q;
	struct store_kept *k = kept_find(s, sha256);
	/* The statement says the same: it would change nothing. */
	if (k && now_ms <= k->t.used_ms + STORE_TOKEN_USED_MS) return HG_OK;
	enum hg_rc rc = store_stmt(s, Q_TOKEN_USED, &q, err);
	if (rc < 0) return rc;
	db_bind_blob(q, 1, digest_of(sha256));
	db_bind_i64(q, 2, (int64_t)now_ms);
	rc = db_run(q, err);
	if (rc == HG_OK && k && db_changes(s->db)) k->t.used_ms = now_ms;
	return rc;
}

enum hg_rc store_token_remove(struct store *s, struct hg_str name, struct hg_err *err)
{
	struct db_stmt *q;
	enum hg_rc rc = store_stmt(s, Q_TOKEN_REMOVE, &q, err);
	if (rc < 0) return rc;
	db_bind_str(q, 1, name);
	store_tokens_forget(s);
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
	store_tokens_forget(s);
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
