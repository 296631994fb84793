/*
 * Who may use a route, by method: roles and scopes of the configuration as one text, written by
 * control and walked by the edge with each request. A rule a line:
 *
 *   methods (hexadecimal, a bit each) SP require (0 to 2) SP roles SP scopes [SP issuers] LF
 *
 * Words are written as in identity.h, with commas between; "-" stands for none, and no issuers are
 * not written. Pure.
 */
#ifndef AUTH_RULES_H
#define AUTH_RULES_H

#include "auth/identity.h"

#define AUTH_RULES_MAX  32u   /* of a route */
#define AUTH_RULES_TEXT 8192u /* bytes */
#define AUTH_ANY_METHOD UINT32_MAX

enum auth_require {
	AUTH_OFF,      /* nobody is asked who he is */
	AUTH_OPTIONAL, /* who says who he is has to prove it */
	AUTH_REQUIRED,
};

struct auth_rule {
	uint32_t methods; /* AUTH_ANY_METHOD: all, also those without a bit */
	enum auth_require require;
	struct auth_words roles;   /* one of them is needed; n 0: none */
	struct auth_words scopes;  /* all of them are needed */
	struct auth_words issuers; /* of one of them it has to be; n 0: of any, or a key */
};

/* Appends a rule; the buffer remembers failure. */
void auth_rule_write(struct hg_out *to, const struct auth_rule *rule);
/* Is every line a rule? */
HG_MUST bool auth_rules_valid(struct hg_str rules);

/* A rule inside of the text. */
struct auth_found {
	enum auth_require require;
	struct hg_str roles, scopes, issuers; /* with commas; n 0: none */
};
/* The first rule that is for this method, `bit`: its one bit. False: there is none. */
HG_MUST bool auth_rules_find(struct hg_str rules, uint32_t bit, struct auth_found *ret_found);

enum auth_access {
	AUTH_PASS,
	AUTH_WHO,    /* he has to say who he is: 401 */
	AUTH_ROLE,   /* he may not: 403 */
	AUTH_SCOPE,  /* his token was given for less: 403 */
	AUTH_ISSUER, /* whoever says so is not asked here: 401 */
};
/* `id`: NULL: he has not said who he is. */
enum auth_access auth_decide(const struct auth_found *rule, const struct auth_identity *id);

#endif
