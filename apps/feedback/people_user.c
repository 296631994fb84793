/* People as administrators see them, and the audit log. */
#include "apps/feedback/people_priv.h"

#include "wire/json.h"

#include "apps/feedback/sql_priv.h"

static void user_json(struct db_stmt *s, struct json_out *j)
{
	char at[TEXT_TIME_MAX];
	size_t n = text_time_iso((uint64_t)db_column_i64(s, 5) * 1000000, at);
	json_out_object(j);
	json_out_key(j, "id");
	json_out_int(j, db_column_i64(s, 0));
	json_out_key(j, "email");
	json_out_str(j, db_column_str(s, 1));
	json_out_key(j, "role");
	json_out_str(j, db_column_str(s, 2));
	json_out_key(j, "disabled");
	json_out_bool(j, db_column_i64(s, 3) != 0);
	json_out_key(j, "totp");
	json_out_bool(j, db_column_i64(s, 4) != 0);
	json_out_key(j, "created_at");
	json_out_str(j, (struct hg_str){at, n});
	json_out_end(j);
}

#define COLUMNS "SELECT id, email, role, disabled, totp_on, created_at FROM users"

static enum hg_rc list_users(struct people_call *c, struct db *db, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	struct json_out j;
	bool row = false;
	enum hg_rc rc = sql_open(db, COLUMNS " WHERE id < $1 ORDER BY id DESC LIMIT $2",
	        SQL_VALUES(SQL_I(c->before ? c->before : INT64_MAX), SQL_I(c->limit)), &s, err);
	if (rc < 0) return rc;
	json_out_init(&j, &c->json);
	json_out_array(&j);
	while ((rc = db_step(s, &row, err)) == HG_OK && row)
		user_json(s, &j);
	json_out_end(&j);
	hg_buf_byte(&c->json, '\n');
	db_stmt_free(s);
	c->status = 200;
	return rc;
}

static enum hg_rc one_user(struct people_call *c, struct db *db, int64_t id, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	struct json_out j;
	enum hg_rc rc = sql_row(db, COLUMNS " WHERE id = $1", SQL_VALUES(SQL_I(id)), &s, err);
	if (rc < 0) return rc;
	if (!s) return people_say(c, 404, "There is no such user");
	json_out_init(&j, &c->json);
	user_json(s, &j);
	hg_buf_byte(&c->json, '\n');
	db_stmt_free(s);
	return HG_OK;
}

static bool may_be_left(const json_t *v)
{
	return !v || json_is_boolean(v);
}

/* Role, disabled, totp and password of the body; the password is hashed on the way. */
static const char *read_change(struct people_call *c)
{
	struct hg_str role, password;
	enum access_role r = ACCESS_GUEST;
	const json_t *disabled = json_object_get(c->in, "disabled");
	const json_t *totp = json_object_get(c->in, "totp");
	if (!people_text(c, "role", &role) || !people_text(c, "password", &password))
		return "role and password must be texts";
	if (role.n && !access_role_parse(role, &r)) return "role must be admin, user or guest";
	if (!may_be_left(disabled) || !may_be_left(totp) || json_is_true(totp))
		return "disabled must be true or false, totp false";
	if (role.n) c->change.role = (int)r;
	if (disabled) c->change.disabled = json_is_true(disabled);
	c->change.drop_totp = totp != NULL;
	if (!password.n) return NULL;
	const char *wrong = people_password(password, c->email);
	if (wrong) return wrong;
	return hg_str_copy(password, c->password, sizeof c->password)
	               ? NULL
	               : "password is longer than 256 bytes";
}

static enum hg_rc change_user(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct people_call *c = HG_CONTAINER(t, struct people_call, task);
	char object[PEOPLE_OBJECT_MAX], detail[160];
	struct hg_out o = hg_out_over(detail, sizeof detail - 1);
	enum hg_rc rc = db_begin(db, err);
	if (rc < 0) return rc;
	if (c->password[0]) c->change.password = c->hash;
	people_object(c->id, object);
	if (c->change.role >= 0)
		hg_out_fmt(&o, "role %s ", access_role_name((enum access_role)c->change.role));
	if (c->change.disabled >= 0) hg_out_cstr(&o, c->change.disabled ? "disabled " : "enabled ");
	if (c->change.password) hg_out_cstr(&o, "password ");
	if (c->change.drop_totp) hg_out_cstr(&o, "totp off ");
	detail[o.n ? o.n - 1 : 0] = 0;
	rc = user_change(db, c->id, &c->change, c->now_ms, err);
	if (rc == HG_OK)
		rc = audit_add(db, &c->from, c->now_ms, "user.change", object, detail, err);
	if (rc == HG_OK) rc = one_user(c, db, c->id, err);
	if (rc < 0 || c->status) return rc;
	rc = db_commit(db, err);
	c->forget_user = c->id;
	c->status = 200;
	return rc;
}

static enum hg_rc run_change(struct people_call *c, struct db *db, struct hg_err *err)
{
	if (c->id == c->who.user && (c->change.role >= 0 || c->change.disabled > 0))
		return people_say(c, 409, "Nobody takes a role, or access, from himself");
	enum hg_rc rc = user_by_id(db, c->id, &c->user, err);
	if (rc == HG_E_NOT_FOUND) return people_say(c, 404, "There is no such user");
	if (rc < 0 || c->password[0]) return rc;
	c->next = NULL;
	return change_user(&c->task, db, err);
}

static void next_change(struct people_call *c)
{
	people_again(c, c->people->app->desk, change_user);
}

/* With AUTH=off there is nobody to hash. */
static void hash(struct people_call *c, void (*next)(struct people_call *))
{
	c->next = next;
	people_again(c, c->people->hasher, people_hash_password);
}

static void next_hash_change(struct people_call *c)
{
	hash(c, next_change);
}

static const char *read_user(struct people_call *c)
{
	static const char *const names[] = {"role", "disabled", "totp", "password", NULL};
	const char *wrong = people_only(c, names);
	if (!wrong) wrong = read_change(c);
	bool nothing = c->change.role < 0 && c->change.disabled < 0 && !c->change.drop_totp &&
	               !c->password[0];
	c->next = next_hash_change;
	return wrong ? wrong : nothing ? "nothing is to be changed" : NULL;
}

static enum hg_rc add_user(struct desk_task *t, struct db *db, struct hg_err *err)
{
	struct people_call *c = HG_CONTAINER(t, struct people_call, task);
	enum access_role role = c->change.role < 0 ? ACCESS_USER : (enum access_role)c->change.role;
	char object[PEOPLE_OBJECT_MAX];
	int64_t id = 0;
	enum hg_rc rc = db_begin(db, err);
	if (rc == HG_OK) rc = user_add(db, c->email, role, c->hash, c->now_ms, &id, err);
	if (rc == HG_E_DB_CONSTRAINT) return people_say(c, 409, "There is such a user already");
	people_object(id, object);
	if (rc == HG_OK)
		rc = audit_add(
		        db, &c->from, c->now_ms, "user.add", object, access_role_name(role), err);
	if (rc == HG_OK) rc = one_user(c, db, id, err);
	if (rc == HG_OK) rc = db_commit(db, err);
	c->status = 201;
	return rc;
}

static enum hg_rc run_add(struct people_call *c, struct db *db, struct hg_err *err)
{
	if (c->password[0]) return HG_OK;
	c->next = NULL;
	return add_user(&c->task, db, err);
}

static void next_add(struct people_call *c)
{
	people_again(c, c->people->app->desk, add_user);
}

static void next_hash_add(struct people_call *c)
{
	hash(c, next_add);
}

static const char *read_add(struct people_call *c)
{
	static const char *const names[] = {"email", "role", "password", NULL};
	struct hg_str email;
	const char *wrong = people_only(c, names);
	if (wrong) return wrong;
	if (!people_text(c, "email", &email)) return "email must be a text";
	wrong = people_email(email, c->email);
	if (!wrong) wrong = read_change(c);
	c->next = next_hash_add;
	return wrong;
}

static enum hg_rc run_audit(struct people_call *c, struct db *db, struct hg_err *err)
{
	int64_t next = 0;
	hg_buf_cstr(&c->json, "{\"entries\":");
	enum hg_rc rc =
	        audit_list(db, (int64_t)c->before, (uint32_t)c->limit, &c->json, &next, err);
	if (next)
		hg_buf_fmt(&c->json, ",\"next\":%lld}\n", (long long)next);
	else
		hg_buf_cstr(&c->json, ",\"next\":null}\n");
	c->status = 200;
	return rc;
}

/*
 * What of the feedback is his who asks. Beside the lists and not in them: an object has four fields
 * for everybody, and one list is kept for all. Whose a feedback is never changes, so that a page
 * need ask only for what it has not asked for yet.
 */
static enum hg_rc run_own(struct people_call *c, struct db *db, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	bool row = false;
	uint64_t n = 0;
	int64_t last = 0;
	enum hg_rc rc = sql_open(db,
	        "SELECT id FROM feedback WHERE owner = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
	        SQL_VALUES(SQL_I(c->who.user), SQL_I(c->before ? c->before : INT64_MAX),
	                SQL_I(c->limit + 1)),
	        &s, err);
	if (rc < 0) return rc;
	hg_buf_cstr(&c->json, "{\"ids\":[");
	/* One more than asked for tells whether there is a next page. */
	while ((rc = db_step(s, &row, err)) == HG_OK && row && n < c->limit) {
		last = db_column_i64(s, 0);
		hg_buf_fmt(&c->json, "%s%lld", n++ ? "," : "", (long long)last);
	}
	if (row)
		hg_buf_fmt(&c->json, "],\"next\":%lld}\n", (long long)last);
	else
		hg_buf_cstr(&c->json, "],\"next\":null}\n");
	db_stmt_free(s);
	c->status = 200;
	return rc;
}

const struct people_op people_user_ops[] = {
        {HTTP1_GET, "/auth/own", PEOPLE_SIGNED_IN, NULL, run_own},
        {HTTP1_GET, "/admin/users", ACCESS_USERS_ADMIN, NULL, list_users},
        {HTTP1_POST, "/admin/users", ACCESS_USERS_ADMIN, read_add, run_add},
        {HTTP1_PUT, "/admin/users/:id", ACCESS_USERS_ADMIN, read_user, run_change},
        {HTTP1_GET, "/admin/audit", ACCESS_AUDIT_READ, NULL, run_audit},
};
const size_t people_user_op_count = HG_COUNT(people_user_ops);
