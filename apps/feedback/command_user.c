/* feedback-app user …: the first administrator, and help when nobody can sign in. */
#include "apps/feedback/commands_priv.h"

#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/file.h"

#include "apps/feedback/migrations_priv.h"
#include "apps/feedback/people_priv.h"
#include "apps/feedback/sql_priv.h"

static enum hg_rc usage(struct hg_err *err)
{
	hg_err_set(err, HG_E_INVALID, "user add|list|role|disable|enable|password|totp-off");
	hg_err_hint(err, "feedback-app user add EMAIL --role admin");
	return HG_E_INVALID;
}

/* One line of standard input; on a terminal it is asked for, and not shown. */
static bool read_line(const char *prompt, char *to, size_t cap)
{
	struct termios was, quiet;
	bool terminal = tcgetattr(STDIN_FILENO, &was) == 0;
	if (terminal) {
		fputs(prompt, stderr);
		quiet = was;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	bool ok = fgets(to, (int)cap, stdin) != NULL;
	if (terminal) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
		fputc('\n', stderr);
	}
	if (!ok) return false;
	to[strcspn(to, "\r\n")] = 0;
	return true;
}

static enum hg_rc read_password(
        const char *email, char ret_hash[PASSWORD_TEXT_MAX], struct hg_err *err)
{
	char one[PEOPLE_PASSWORD_MAX + 8], two[PEOPLE_PASSWORD_MAX + 8];
	uint8_t salt[PASSWORD_SALT];
	enum hg_rc rc = password_ready(err);
	if (rc < 0) return rc;
	if (!read_line("Password: ", one, sizeof one))
		return hg_err_set(err, HG_E_INVALID, "no password was given on standard input");
	if (isatty(STDIN_FILENO) &&
	        (!read_line("Once more: ", two, sizeof two) || strcmp(one, two) != 0))
		return hg_err_set(err, HG_E_INVALID, "the two are not the same");
	const char *wrong = people_password(hg_str(one), email);
	if (wrong) return hg_err_set(err, HG_E_INVALID, "%s", wrong);
	if (file_random(salt, sizeof salt) < 0)
		return hg_err_set(err, HG_E_IO, "the kernel gives no random bytes");
	rc = password_hash(hg_str(one), salt, ret_hash);
	explicit_bzero(one, sizeof one);
	explicit_bzero(two, sizeof two);
	return rc < 0 ? hg_err_set(err, rc, "the password could not be kept") : HG_OK;
}

static enum hg_rc list(struct db *db, FILE *out, struct hg_err *err)
{
	struct db_stmt *s = NULL;
	bool row = false;
	enum hg_rc rc =
	        sql_open(db, "SELECT id, email, role, disabled, totp_on FROM users ORDER BY id",
	                NULL, 0, &s, err);
	while (rc == HG_OK && (rc = db_step(s, &row, err)) == HG_OK && row) {
		struct hg_str email = db_column_str(s, 1), role = db_column_str(s, 2);
		fprintf(out, "%6lld  %-32.*s  %.*s%s%s\n", (long long)db_column_i64(s, 0),
		        HG_STR_ARG(email), HG_STR_ARG(role),
		        db_column_i64(s, 3) ? "  disabled" : "",
		        db_column_i64(s, 4) ? "  totp" : "");
	}
	db_stmt_free(s);
	return rc;
}

static enum hg_rc add(struct db *db, const char *email, enum access_role role,
        const struct audit_from *from, FILE *out, struct hg_err *err)
{
	char hash[PASSWORD_TEXT_MAX], object[PEOPLE_OBJECT_MAX];
	int64_t id = 0;
	enum hg_rc rc = read_password(email, hash, err);
	if (rc == HG_OK) rc = db_begin(db, err);
	if (rc == HG_OK) rc = user_add(db, email, role, hash, clock_wall_ms(), &id, err);
	people_object(id, object);
	if (rc == HG_OK)
		rc = audit_add(
		        db, from, clock_wall_ms(), "user.add", object, access_role_name(role), err);
	if (rc == HG_OK) rc = db_commit(db, err);
	if (rc == HG_OK) fprintf(out, "%s is %s now\n", email, access_role_name(role));
	return rc;
}

static enum hg_rc change(struct db *db, const char *email, const char *what,
        const struct user_change *c, const struct audit_from *from, FILE *out, struct hg_err *err)
{
	char object[PEOPLE_OBJECT_MAX];
	struct user u;
	enum hg_rc rc = user_by_email(db, email, &u, err);
	if (rc == HG_E_NOT_FOUND) return hg_err_set(err, rc, "there is no user %s", email);
	if (rc == HG_OK) rc = db_begin(db, err);
	if (rc < 0) return rc;
	people_object(u.id, object);
	rc = user_change(db, u.id, c, clock_wall_ms(), err);
	if (rc == HG_OK)
		rc = audit_add(db, from, clock_wall_ms(), "user.change", object, what, err);
	if (rc == HG_OK) rc = db_commit(db, err);
	if (rc == HG_OK)
		fprintf(out, "%s: %s. Running processes know it within %u s.\n", email, what,
		        PEOPLE_SEEN_MS / 1000);
	return rc;
}

static enum hg_rc act(struct db *db, struct hg_str action, const char *address,
        const char *role_name, FILE *out, struct hg_err *err)
{
	struct user_change c = {.role = -1, .disabled = -1};
	struct audit_from from = {.on = true, .by = ACCESS_BY_OPERATOR};
	char email[PEOPLE_EMAIL_MAX + 1] = "", hash[PASSWORD_TEXT_MAX], what[64];
	enum access_role role = ACCESS_USER;
	snprintf(from.name, sizeof from.name, "command line, uid %u", (unsigned)getuid());
	if (hg_str_eq(action, HG_STR("list"))) return list(db, out, err);
	if (!address) return usage(err);
	const char *wrong = people_email(hg_str(address), email);
	if (wrong) return hg_err_set(err, HG_E_INVALID, "%s", wrong);
	if (role_name && !access_role_parse(hg_str(role_name), &role))
		return hg_err_set(err, HG_E_INVALID, "a role is admin, user or guest");
	if (hg_str_eq(action, HG_STR("add"))) return add(db, email, role, &from, out, err);
	if (hg_str_eq(action, HG_STR("role")) && role_name) {
		c.role = (int)role;
	} else if (hg_str_eq(action, HG_STR("disable"))) {
		c.disabled = 1;
	} else if (hg_str_eq(action, HG_STR("enable"))) {
		c.disabled = 0;
	} else if (hg_str_eq(action, HG_STR("totp-off"))) {
		c.drop_totp = true;
	} else if (hg_str_eq(action, HG_STR("password"))) {
		enum hg_rc rc = read_password(email, hash, err);
		if (rc < 0) return rc;
		c.password = hash;
	} else {
		return usage(err);
	}
	snprintf(what, sizeof what, "%.*s%s%s", HG_STR_ARG(action), c.role >= 0 ? " " : "",
	        c.role >= 0 ? access_role_name(role) : "");
	return change(db, email, what, &c, &from, out, err);
}

enum hg_rc command_user(const struct command_user *u, FILE *out, struct hg_err *err)
{
	struct db_options o = {.url = u->url, .durability = DB_FULL};
	struct db *db = NULL;
	enum hg_rc rc = db_open(&o, &db, err);
	if (rc == HG_OK)
		rc = u->migrate ? migrations_apply(db, NULL, err) : migrations_check(db, err);
	if (rc == HG_OK) rc = act(db, u->action, u->email, u->role, out, err);
	db_close(db);
	return rc;
}
