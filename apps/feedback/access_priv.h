/*
 * Who asks, and what they may. Permissions are bits of a word, roles are rows of a table; nothing
 * here reads a clock, a socket or a database. Who finds out who asks is identify.c.
 *
 * A handler that needs more than the feedback routes begins with
 *
 *     if (!app_admit(a, call, req, ACCESS_JOBS_ADMIN)) return;
 *
 * (app_priv.h), which has answered 401 or 403 when it returns false.
 */
#ifndef FEEDBACK_ACCESS_PRIV_H
#define FEEDBACK_ACCESS_PRIV_H

#include "base/str.h"
#include "wire/http1.h"

/* X(ID, name). The names are scopes of API keys and claims of tokens: never renamed. */
#define ACCESS_PERMISSIONS(X)                         \
	X(FEEDBACK_READ, "feedback:read")             \
	X(FEEDBACK_CREATE, "feedback:create")         \
	X(FEEDBACK_UPDATE, "feedback:update")         \
	X(FEEDBACK_UPDATE_OWN, "feedback:update:own") \
	X(FEEDBACK_DELETE, "feedback:delete")         \
	X(FEEDBACK_DELETE_OWN, "feedback:delete:own") \
	X(FEEDBACK_VOTE, "feedback:vote")             \
	X(FEEDBACK_STATUS, "feedback:status")         \
	X(EXPORTS_CREATE, "exports:create")           \
	X(JOBS_ADMIN, "jobs:admin")                   \
	X(MAIL_ADMIN, "mail:admin")                   \
	X(WEBHOOKS_ADMIN, "webhooks:admin")           \
	X(USERS_ADMIN, "users:admin")                 \
	X(AUDIT_READ, "audit:read")

enum access_permission {
#define X(id, name) ACCESS_##id,
	ACCESS_PERMISSIONS(X)
#undef X
	        ACCESS_PERMISSION_COUNT
};

#define ACCESS_BIT(p) (UINT64_C(1) << (p))
#define ACCESS_ALL    (ACCESS_BIT(ACCESS_PERMISSION_COUNT) - 1)

enum access_role { ACCESS_GUEST, ACCESS_USER, ACCESS_ADMIN, ACCESS_ROLES };

enum access_mode { ACCESS_OFF, ACCESS_OPTIONAL, ACCESS_REQUIRED };

/* How somebody showed who they are. */
enum access_by {
	ACCESS_BY_NOTHING,  /* nobody in particular */
	ACCESS_BY_SESSION,  /* a cookie: requests that change something need more (access_forged) */
	ACCESS_BY_KEY,      /* an API key of a user */
	ACCESS_BY_TOKEN,    /* a JWT of a service */
	ACCESS_BY_OPERATOR, /* the environment's ADMIN_KEY */
};

#define ACCESS_NAME_MAX 255u /* bytes of an e-mail address, or of a token's subject */

struct access_who {
	enum access_by by;
	enum access_role role;
	int64_t user;         /* 0: no user of ours (nobody, a service, the operator) */
	uint64_t permissions; /* ACCESS_BIT(…) */
	char name[ACCESS_NAME_MAX + 1];
};

/* True: `who` may. "feedback:update:own" is not "feedback:update": ask for each. */
static inline bool access_may(const struct access_who *who, enum access_permission p)
{
	return who->permissions >> p & 1;
}

/* "feedback:read" */
const char *access_permission_name(enum access_permission p);
/* Bits of a list of names between spaces or commas. False: an unknown one. */
HG_MUST bool access_permissions_parse(struct hg_str list, uint64_t *ret_bits);

/* "admin", "user", "guest" */
const char *access_role_name(enum access_role r);
HG_MUST bool access_role_parse(struct hg_str name, enum access_role *ret_role);
uint64_t access_role_permissions(enum access_role r);

/* Somebody who has shown nothing. */
struct access_who access_nobody(enum access_mode mode);
/* The holder of ADMIN_KEY. */
struct access_who access_operator(void);

/* "off", "optional", "required" */
HG_MUST bool access_mode_parse(struct hg_str name, enum access_mode *ret_mode);
const char *access_mode_name(enum access_mode m);

/* The first cookie of this name in a Cookie field; false when there is none. */
HG_MUST bool access_cookie(struct hg_str field, const char *name, struct hg_str *ret_value);
/* The token of an Authorization field of the scheme Bearer; false for anything else. */
HG_MUST bool access_bearer(struct hg_str field, struct hg_str *ret_token);

/* What a browser says of where a request comes from; empty: it does not say. */
struct access_origin {
	enum http1_method method;
	struct hg_str fetch_site; /* Sec-Fetch-Site */
	struct hg_str origin;     /* Origin */
	struct hg_str host;       /* the authority the client asked */
};

/*
 * NULL when the request may come from our own pages, as far as the browser tells; else why not.
 * For requests that act by a cookie, or make one. Methods that change nothing always may.
 */
const char *access_forged(const struct access_origin *o);

/* Is the authority ("localhost:8090", "127.0.0.1", "[::1]:1") this machine's own? */
bool access_is_loopback(struct hg_str authority);

#endif
