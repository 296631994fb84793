#include "apps/feedback/audit_priv.h"

#include "wire/json.h"

#include "apps/feedback/sql_priv.h"
#include "apps/feedback/text_priv.h"

const char *audit_via(enum access_by by)
{
	switch (by) {
	case ACCESS_BY_NOTHING: break;
	case ACCESS_BY_SESSION: return "session";
	case ACCESS_BY_KEY: return "key";
	case ACCESS_BY_TOKEN: return "token";
	case ACCESS_BY_OPERATOR: return "operator";
	}
	return "";
}

enum hg_rc audit_add(struct db *db, const struct audit_from *from, uint64_t now_ms,
        const char *action, const char *object, const char *detail, struct hg_err *err)
{
	return sql_run(db,
	        "INSERT INTO audit (at, action, user_id, name, via, object, detail, address,"
	        " request_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
	        SQL_VALUES(SQL_I(now_ms), SQL_C(action), SQL_ID(from->user), SQL_C(from->name),
	                SQL_C(audit_via(from->by)), SQL_C(object), SQL_C(detail),
	                SQL_C(from->address), SQL_C(from->request_id)),
	        NULL, err);
}

static void entry_json(struct db_stmt *s, struct json_out *j)
{
	static const char *const key[] = {
	        "action", "name", "via", "object", "detail", "address", "request_id"};
	char at[TEXT_TIME_MAX];
	size_t n = text_time_iso((uint64_t)db_column_i64(s, 1) * 1000000, at);
	json_out_object(j);
	json_out_key(j, "id");
	json_out_int(j, db_column_i64(s, 0));
	json_out_key(j, "at");
	json_out_str(j, (struct hg_str){at, n});
	json_out_key(j, "user");
	if (db_column_null(s, 2))
		json_out_null(j);
	else
		json_out_int(j, db_column_i64(s, 2));
	for (unsigned i = 0; i < HG_COUNT(key); i++) {
		json_out_key(j, key[i]);
		json_out_str(j, db_column_str(s, 3 + i));
	}
	json_out_end(j);
}

enum hg_rc audit_list(struct db *db, int64_t before, uint32_t limit, struct hg_buf *to,
        int64_t *ret_next, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	struct json_out j;
	bool row = false;
	uint32_t n = 0;
	int64_t last = 0;
	enum hg_rc rc = sql_open(db,
	        "SELECT id, at, user_id, action, name, via, object, detail, address, request_id"
	        " FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2",
	        SQL_VALUES(SQL_I(before ? before : INT64_MAX), SQL_I((int64_t)limit + 1)), &s, err);
	if (rc < 0) return rc;
	json_out_init(&j, to);
	json_out_array(&j);
	while ((rc = db_step(s, &row, err)) == HG_OK && row && n++ < limit) {
		last = db_column_i64(s, 0);
		entry_json(s, &j);
	}
	json_out_end(&j);
	*ret_next = rc == HG_OK && row ? last : 0;
	db_stmt_free(s);
	if (rc == HG_OK && !json_out_ok(&j))
		rc = hg_err_set(err, HG_E_NOMEM, "not enough memory for the list");
	return rc;
}

enum hg_rc audit_expire(struct db *db, uint64_t before_ms, struct hg_err *err)
{
	return sql_run(db,
	        "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < $1"
	        " ORDER BY at LIMIT 1000)",
	        SQL_VALUES(SQL_I(before_ms)), NULL, err);
}
