/*
 * People: signing in and out, sessions, keys, and who of a request's sender it is. The parts are
 * people.c (who asks), people_call.c (requests to /auth and /admin), people_login.c,
 * people_user.c, people_totp.c, people_keys.c (what they do), people_db.c (rows), seen.c (what was
 * looked up lately).
 */
#ifndef FEEDBACK_PEOPLE_PRIV_H
#define FEEDBACK_PEOPLE_PRIV_H

#include <jansson.h>

#include "auth/password.h"
#include "os/jws.h"

#include "apps/feedback/app_priv.h"
#include "apps/feedback/audit_priv.h"
#include "apps/feedback/desk_priv.h"
#include "apps/feedback/oidc_priv.h"
#include "apps/feedback/seen_priv.h"
#include "apps/feedback/throttle_priv.h"
#include "apps/feedback/tokens_priv.h"

#define PEOPLE_SECRET       32u /* bytes */
#define PEOPLE_ID           24u /* random bytes of a session's id … */
#define PEOPLE_TOKEN        32u /* … and with its mark, so that made-up ones cost no look-up */
#define PEOPLE_TOKEN_TEXT   43u /* characters */
#define PEOPLE_CSRF_TEXT    SEEN_CSRF /* characters */
#define PEOPLE_EMAIL_MAX    254u
#define PEOPLE_PASSWORD_MIN 10u
#define PEOPLE_PASSWORD_MAX 256u    /* bytes */
#define PEOPLE_FRESH_MS     900000u /* how old a sign-in may be for what changes how to sign in */
#define PEOPLE_SEEN_MS      5000u   /* how long a look-up counts: the bound for other processes */
#define PEOPLE_TOUCH_MS     60000u  /* how exact it is kept when a session was used last */

enum people_outcome {
	PEOPLE_GOOD,
	PEOPLE_BAD,
	PEOPLE_THROTTLED,
	PEOPLE_NEEDS_CODE,
	PEOPLE_OUTCOMES
};

/* What a request shows of its sender. */
struct people_shown {
	enum access_by by;
	unsigned char hash[JWS_DIGEST]; /* of what was shown */
	struct hg_str raw;              /* a session's token, in `token` */
	char token[PEOPLE_TOKEN];
};

struct people {
	struct app *app;
	const struct config *config;
	struct desk *hasher; /* passwords; NULL with AUTH=off */
	struct seen *seen;
	struct oidc *oidc;     /* NULL: there is no provider to sign in at */
	struct tokens *tokens; /* NULL: none are configured */
	unsigned char secret[PEOPLE_SECRET];
	unsigned char operator_hash[JWS_DIGEST];
	struct loop_timer sweep;
	struct desk_task sweep_task;
	bool sweeping;
	uint64_t sign_ins[PEOPLE_OUTCOMES];
	struct { /* the session that the request `id` shows, so that it is looked at once */
		uint64_t id;
		bool good;
		struct people_shown shown;
	} last;
};

/* ---- people.c ---- */

HG_MUST enum hg_rc people_init(struct people *p, struct app *a, struct hg_err *err);
/* Before the desk is freed: nothing is begun any more. */
void people_stop(struct people *p);
/* After it. */
void people_fini(struct people *p);

enum people_known { PEOPLE_KNOWN, PEOPLE_LOOK_UP, PEOPLE_REFUSED };

/*
 * Who asks. PEOPLE_KNOWN: *ret_who; PEOPLE_LOOK_UP: people_look_up has to ask the database;
 * PEOPLE_REFUSED: a key or token that counts for nothing, and 401 is the answer.
 */
enum people_known people_identify(struct people *p, const struct serve_request *req,
        struct people_shown *ret_shown, struct access_who *ret_who);
/*
 * Asks the database, then goes on by app_enter. Frees `d`, and answers, when it cannot. `d`: the
 * request was deferred already.
 */
void people_look_up(struct people *p, struct serve_call *call, const struct serve_request *req,
        const struct people_shown *shown, struct deferred *d);
/* NULL when the request is no forgery as far as one can tell; for those by a session's cookie. */
const char *people_forged(struct people *p, const struct serve_request *req);
/* NULL, or why a browser says that another site's page has sent it (access_forged). */
const char *people_other_site(const struct serve_request *req);
/* Of a request: who, and from where. `on`: it is to be written down. */
void people_from(struct people *p, const struct serve_request *req, const struct access_who *who,
        struct audit_from *ret_from);
void people_metrics(const struct people *p, struct hg_buf *to);
/* Is the client's side of this request HTTPS? */
bool people_is_https(const struct serve_request *req);
/* The session's cookie has another name without HTTPS, and only this machine may do without. */
const char *people_cookie_name(const struct serve_request *req);
/* Text of what proves that a page of ours has sent something. */
void people_csrf(const struct people *p, struct hg_str raw, char ret_text[PEOPLE_CSRF_TEXT + 1]);
/* HMAC-SHA-256 with the app's secret, over a label and bytes. */
void people_mac(const struct people *p, const char *label, struct hg_str bytes,
        unsigned char ret_mac[JWS_DIGEST]);

/* ---- people_db.c: rows. On the desk's thread, or in a command. ---- */

struct user {
	int64_t id;
	char email[PEOPLE_EMAIL_MAX + 1];
	enum access_role role;
	bool disabled, totp_on;
	char password[PASSWORD_TEXT_MAX]; /* "" none */
	char totp_secret[64];             /* hexadecimal; "" none */
	uint64_t totp_step;
	int64_t created_ms;
};

/* NULL, and lower case in *ret_email: fine; else what is wrong. */
const char *people_email(struct hg_str text, char ret_email[PEOPLE_EMAIL_MAX + 1]);
/* NULL: may be a password of this user; else what is wrong. */
const char *people_password(struct hg_str text, const char *email);
/* Makes it when there is none, so that all processes have the same. */
HG_MUST enum hg_rc people_secret(
        struct db *db, unsigned char ret_secret[PEOPLE_SECRET], struct hg_err *err);
/* HG_E_NOT_FOUND: there is none. */
HG_MUST enum hg_rc user_by_email(
        struct db *db, const char *email, struct user *ret_user, struct hg_err *err);
HG_MUST enum hg_rc user_by_id(struct db *db, int64_t id, struct user *ret_user, struct hg_err *err);
/* HG_E_DB_CONSTRAINT: the address is taken. `password`: as kept, "" for none. */
HG_MUST enum hg_rc user_add(struct db *db, const char *email, enum access_role role,
        const char *password, uint64_t now_ms, int64_t *ret_id, struct hg_err *err);
/* What is -1 or NULL stays. Ends the user's sessions. */
struct user_change {
	int role, disabled; /* enum access_role; 0 or 1 */
	const char *password;
	bool drop_totp;
};
HG_MUST enum hg_rc user_change(struct db *db, int64_t id, const struct user_change *c,
        uint64_t now_ms, struct hg_err *err);
/* Everywhere, but for the session with the hash `but` (NULL: none is spared). */
HG_MUST enum hg_rc user_sign_out(
        struct db *db, int64_t id, const unsigned char *but, struct hg_err *err);

struct session {
	int64_t user;
	int64_t created_ms;
	char email[PEOPLE_EMAIL_MAX + 1];
	enum access_role role;
	uint64_t scopes; /* of a key */
};
/* Ends what is over, and says when it was used. HG_E_NOT_FOUND. */
HG_MUST enum hg_rc session_find(struct db *db, const unsigned char hash[JWS_DIGEST],
        const struct config *c, uint64_t now_ms, struct session *ret_session, struct hg_err *err);
HG_MUST enum hg_rc session_add(struct db *db, const unsigned char hash[JWS_DIGEST], int64_t user,
        const char *address, uint64_t now_ms, struct hg_err *err);
HG_MUST enum hg_rc session_end(
        struct db *db, const unsigned char hash[JWS_DIGEST], struct hg_err *err);
/* By an API key. HG_E_NOT_FOUND: unknown, over, or its user is disabled. */
HG_MUST enum hg_rc key_find(struct db *db, const unsigned char hash[JWS_DIGEST], uint64_t now_ms,
        struct session *ret_session, struct hg_err *err);
/*
 * Counts an attempt to sign in under each of the names, unless one of them has to wait:
 * *ret_wait_ms. All or none is counted.
 */
struct attempt {
	const char *key;
	const struct throttle_policy *policy;
};
HG_MUST enum hg_rc attempt_count(struct db *db, const struct attempt *attempts, size_t n,
        uint64_t now_ms, uint64_t *ret_wait_ms, struct hg_err *err);
/* It has succeeded: forgotten under its account, given back to its address. */
HG_MUST enum hg_rc attempt_good(
        struct db *db, const char *account, const char *address, struct hg_err *err);
/* It has neither failed nor succeeded: given back to both. */
HG_MUST enum hg_rc attempt_back(
        struct db *db, const char *account, const char *address, struct hg_err *err);
/* What is over goes, a part at a time. */
HG_MUST enum hg_rc people_sweep(
        struct db *db, const struct config *c, uint64_t now_ms, struct hg_err *err);
void people_hex(const unsigned char *bytes, size_t n, char *ret_text);
/* 2 n hexadecimal digits, lower case. */
HG_MUST bool people_unhex(const char *text, unsigned char *ret_bytes, size_t n);

/* ---- people_call.c: a request that the desk works on ---- */

struct people_call;

struct people_op {
	enum http1_method method;
	const char *path; /* "/auth/keys/:id" */
	/* Who may: PEOPLE_ANYBODY, PEOPLE_SIGNED_IN, PEOPLE_FRESH, or an access_permission. */
	int who;
	/* On the loop: NULL, or what is wrong with the request (400). */
	const char *(*read)(struct people_call *c);
	/* On the desk. Sets status, and json or error. */
	enum hg_rc (*run)(struct people_call *c, struct db *db, struct hg_err *err);
	/* Instead of `run`: on the loop, sees to it that there is an answer. */
	void (*go)(struct people_call *c);
};

enum { PEOPLE_ANYBODY = -1, PEOPLE_SIGNED_IN = -2, PEOPLE_FRESH = -3 };

#define PEOPLE_COOKIES 2
struct people_call {
	struct desk_task task;
	struct people *people;
	struct serve_call *call; /* NULL: the client has left */
	const struct serve_request *req;
	const struct people_op *op;
	struct desk *at; /* that has the task; NULL: none */
	struct access_who who;
	struct audit_from from;
	struct people_shown shown;
	const char *cookie_name; /* of a session */
	uint64_t now_ms;         /* wall clock */
	int64_t id;              /* of the path */
	json_t *in;              /* the body, NULL: none */
	uint64_t before, limit;  /* of the query */
	/* a further stage, after the one that has run; NULL: the answer is due */
	void (*next)(struct people_call *c);
	void (*finish)(struct people_call *c); /* before the answer; NULL: nothing */
	unsigned status;
	const char *error;
	struct hg_buf json;
	struct hg_buf location;         /* of a 303 */
	struct oidc_flow flow;          /* of a sign-in at the provider … */
	struct oidc_exchange *exchange; /* … under way, not the desk's; NULL: none */
	struct oidc_person person;
	uint32_t retry_s; /* Retry-After; 0: none */
	char cookie[PEOPLE_COOKIES][256];
	int64_t forget_user; /* whose look-ups count no more in this process; 0: nobody's */
	bool forget_shown;   /* the session's or key's that was shown */
	/* of signing in, and of whatever has a password */
	char email[PEOPLE_EMAIL_MAX + 1];
	char password[PEOPLE_PASSWORD_MAX + 1];
	char code[48];
	char device[2 * JWS_DIGEST + 1]; /* hexadecimal; "" none */
	char hash[PASSWORD_TEXT_MAX];
	struct user user;
	bool good;
	struct user_change change;
	uint64_t scopes;
	int64_t expires_ms;
	char name[81];
};

/* The request of /auth/… or /admin/users, /admin/audit. */
void people_handle(struct people *p, struct serve_call *call, const struct serve_request *req,
        struct deferred *d);
/* Hands the call to a desk again, from its `next`; answers when it takes no more. */
void people_again(struct people_call *c, struct desk *desk,
        enum hg_rc (*run)(struct desk_task *t, struct db *db, struct hg_err *err));
/* Gives the answer, and frees the call. */
void people_answer(struct people_call *c);
/* Says what a refusal is; always HG_OK. */
enum hg_rc people_say(struct people_call *c, unsigned status, const char *error);
/* A member of the body that is a text; empty when it is not there. False: it is something else. */
HG_MUST bool people_text(const struct people_call *c, const char *name, struct hg_str *ret_text);
/* NULL, or "unknown field": the body has nothing but these; `names` ends with NULL. */
const char *people_only(const struct people_call *c, const char *const *names);
/* A new session in place of the one that was shown; its cookie. */
HG_MUST enum hg_rc people_sign_in(
        struct people_call *c, struct db *db, int64_t user, const char *email, struct hg_err *err);
/* *ret_good: `code` is one of the user's app, or for recovery, and is used up now. */
HG_MUST enum hg_rc people_use_code(
        struct people_call *c, struct db *db, bool *ret_good, struct hg_err *err);
/* What is kept of a code for recovery, hexadecimal. */
HG_MUST enum hg_rc people_recovery_hash(
        int64_t user, const char *code, char ret_hex[2 * JWS_DIGEST + 1], struct hg_err *err);
/* On the hasher: c->hash of c->password. */
HG_MUST enum hg_rc people_hash_password(struct desk_task *t, struct db *db, struct hg_err *err);
/* "user:7" */
#define PEOPLE_OBJECT_MAX 32
void people_object(int64_t user, char ret_text[PEOPLE_OBJECT_MAX]);
/* Who is signed in, as /auth/session says it; `raw`: the session's token. */
void people_session_json(struct people *p, const struct access_who *who, struct hg_str raw,
        bool totp_on, struct hg_buf *to);

/* people_login.c, people_user.c, people_totp.c, people_keys.c, people_oidc.c */
extern const struct people_op people_login_ops[], people_user_ops[], people_totp_ops[],
        people_key_ops[], people_oidc_ops[];
extern const size_t people_login_op_count, people_user_op_count, people_totp_op_count,
        people_key_op_count, people_oidc_op_count;

#endif
