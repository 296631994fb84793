/* API keys of a user: for programs, with a part of what he may. */
#include "apps/feedback/people_priv.h"

#include "auth/apikey.h"
#include "os/file.h"
#include "wire/json.h"

#include "apps/feedback/sql_priv.h"

#define KEYS_MAX    50
#define DAYS_MAX    3660u
#define HINT_LENGTH 8u

static const char *read_scopes(struct people_call *c)
{
	const json_t *list = json_object_get(c->in, "scopes"), *v;
	size_t i;
	c->scopes = c->who.permissions;
	if (!list) return NULL;
	if (!json_is_array(list)) return "scopes must be a list of permissions";
	c->scopes = 0;
	json_array_foreach(list, i, v)
	{
		uint64_t bit = 0;
		struct hg_str name = {json_string_value(v), json_string_length(v)};
		if (!json_is_string(v) || !name.n || !access_permissions_parse(name, &bit))
			return "scopes has something that is no permission";
		c->scopes |= bit;
	}
	return c->scopes & ~c->who.permissions ? "scopes has more than you may yourself" : NULL;
}

static const char *read_key(struct people_call *c)
{
	static const char *const names[] = {"name", "scopes", "days", NULL};
	const json_t *days = json_object_get(c->in, "days");
	struct hg_str name;
	const char *wrong = people_only(c, names);
	if (wrong) return wrong;
	if (!people_text(c, "name", &name) || !(name = text_trim(name)).n ||
	        !hg_str_copy(name, c->name, sizeof c->name))
		return "name must be a text of 1 to 80 bytes";
	if (days && (!json_is_integer(days) || json_integer_value(days) < 1 ||
	                    json_integer_value(days) > DAYS_MAX))
		return "days must be a number from 1 to 3660";
	if (days) c->expires_ms = (int64_t)c->now_ms + json_integer_value(days) * 86400000;
	return read_scopes(c);
}

static void scopes_text(uint64_t scopes, struct hg_buf *to)
{
	for (unsigned i = 0; i < ACCESS_PERMISSION_COUNT; i++)
		if (scopes >> i & 1) {
			if (to->n) hg_buf_byte(to, ' ');
			hg_buf_cstr(to, access_permission_name(i));
		}
}

static void time_json(struct db_stmt *s, unsigned column, const char *key, struct json_out *j)
{
	char at[TEXT_TIME_MAX];
	json_out_key(j, key);
	if (db_column_null(s, column)) {
		json_out_null(j);
		return;
	}
	size_t n = text_time_iso((uint64_t)db_column_i64(s, column) * 1000000, at);
	json_out_str(j, (struct hg_str){at, n});
}

#define COLUMNS "id, name, hint, scopes, created_at, expires_at, used_at"

/* `text`: the key itself, shown once; NULL: only its first characters. */
static void key_json(struct db_stmt *s, const char *text, struct json_out *j)
{
	struct hg_str rest = db_column_str(s, 3);
	json_out_object(j);
	json_out_key(j, "id");
	json_out_int(j, db_column_i64(s, 0));
	json_out_key(j, "name");
	json_out_str(j, db_column_str(s, 1));
	json_out_key(j, "hint");
	json_out_str(j, db_column_str(s, 2));
	json_out_key(j, "scopes");
	json_out_array(j);
	while (rest.n)
		json_out_str(j, hg_str_cut(&rest, ' '));
	json_out_end(j);
	time_json(s, 4, "created_at", j);
	time_json(s, 5, "expires_at", j);
	time_json(s, 6, "used_at", j);
	if (text) {
		json_out_key(j, "key");
		json_out_cstr(j, text);
	}
	json_out_end(j);
}

static enum hg_rc list_keys(struct people_call *c, struct db *db, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	struct json_out j;
	bool row = false;
	enum hg_rc rc =
	        sql_open(db, "SELECT " COLUMNS " FROM api_keys WHERE user_id = $1 ORDER BY id DESC",
	                SQL_VALUES(SQL_I(c->who.user)), &s, err);
	if (rc < 0) return rc;
	json_out_init(&j, &c->json);
	json_out_array(&j);
	while ((rc = db_step(s, &row, err)) == HG_OK && row)
		key_json(s, NULL, &j);
	json_out_end(&j);
	hg_buf_byte(&c->json, '\n');
	db_stmt_free(s);
	c->status = 200;
	return rc;
}

static enum hg_rc insert_key(struct people_call *c, struct db *db, const char *text,
        struct hg_str scopes, struct hg_err *err)
{
	uint8_t hash[APIKEY_HASH];
	char hex[2 * APIKEY_HASH + 1];
	struct db_stmt *s = NULL;
	struct json_out j;
	if (!apikey_hash(hg_str(text), hash))
		return hg_err_set(err, HG_E_NOMEM, "not enough memory");
	apikey_hash_text(hash, hex);
	enum hg_rc rc = sql_row(db,
	        "INSERT INTO api_keys (user_id, name, hint, hash, scopes, created_at, expires_at)"
	        " VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING " COLUMNS,
	        SQL_VALUES(SQL_I(c->who.user), SQL_C(c->name),
	                SQL_S(((struct hg_str){text, HINT_LENGTH})), SQL_C(hex), SQL_S(scopes),
	                SQL_I(c->now_ms), SQL_ID(c->expires_ms)),
	        &s, err);
	if (rc < 0) return rc;
	if (!s) return hg_err_set(err, HG_E_DB_QUERY, "the key was not kept");
	json_out_init(&j, &c->json);
	key_json(s, text, &j);
	hg_buf_byte(&c->json, '\n');
	rc = db_run(s, err);
	db_stmt_free(s);
	return rc;
}

static enum hg_rc count_keys(
        struct people_call *c, struct db *db, int64_t *ret_n, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	enum hg_rc rc = sql_row(db, "SELECT count(*) FROM api_keys WHERE user_id = $1",
	        SQL_VALUES(SQL_I(c->who.user)), &s, err);
	if (rc < 0 || !s) return rc;
	*ret_n = db_column_i64(s, 0);
	db_stmt_free(s);
	return HG_OK;
}

static enum hg_rc add_key(struct people_call *c, struct db *db, struct hg_err *err)
{
	uint8_t random[APIKEY_RANDOM];
	char text[APIKEY_TEXT_MAX + 1], object[PEOPLE_OBJECT_MAX];
	struct hg_buf scopes;
	int64_t n = 0;
	enum hg_rc rc = count_keys(c, db, &n, err);
	if (rc < 0) return rc;
	if (n >= KEYS_MAX) return people_say(c, 409, "50 keys are enough: delete one");
	if (file_random(random, sizeof random) < 0)
		return hg_err_set(err, HG_E_IO, "the kernel gives no random bytes");
	(void)apikey_make(HG_STR("fbk"), random, text);
	hg_buf_init(&scopes, 4096);
	scopes_text(c->scopes, &scopes);
	people_object(c->who.user, object);
	rc = db_begin(db, err);
	if (rc == HG_OK) rc = insert_key(c, db, text, hg_buf_view(&scopes), err);
	if (rc == HG_OK) rc = audit_add(db, &c->from, c->now_ms, "key.add", object, c->name, err);
	if (rc == HG_OK) rc = db_commit(db, err);
	hg_buf_free(&scopes);
	explicit_bzero(random, sizeof random);
	explicit_bzero(text, sizeof text);
	c->status = 201;
	return rc;
}

static enum hg_rc delete_key(struct people_call *c, struct db *db, struct hg_err *err)
{
	char object[PEOPLE_OBJECT_MAX];
	struct db_stmt *s = NULL;
	enum hg_rc rc = db_begin(db, err);
	if (rc == HG_OK)
		rc = sql_row(db,
		        "DELETE FROM api_keys WHERE id = $1 AND user_id = $2 RETURNING name",
		        SQL_VALUES(SQL_I(c->id), SQL_I(c->who.user)), &s, err);
	if (rc < 0) return rc;
	if (!s) return people_say(c, 404, "There is no such key");
	(void)hg_str_copy(db_column_str(s, 0), c->name, sizeof c->name);
	rc = db_run(s, err);
	db_stmt_free(s);
	people_object(c->who.user, object);
	if (rc == HG_OK)
		rc = audit_add(db, &c->from, c->now_ms, "key.delete", object, c->name, err);
	if (rc == HG_OK) rc = db_commit(db, err);
	c->forget_user = c->who.user;
	c->status = 204;
	return rc;
}

const struct people_op people_key_ops[] = {
        {HTTP1_GET, "/auth/keys", PEOPLE_SIGNED_IN, NULL, list_keys},
        {HTTP1_POST, "/auth/keys", PEOPLE_FRESH, read_key, add_key},
        {HTTP1_DELETE, "/auth/keys/:id", PEOPLE_SIGNED_IN, NULL, delete_key},
};
const size_t people_key_op_count = HG_COUNT(people_key_ops);
