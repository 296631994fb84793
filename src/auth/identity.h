/*
 * Who a request comes from, as a verified token or key says: one block of memory, counted
 * references, fit to be written into header fields as it stands. And what was verified lately, so
 * that a signature is checked once and not with each request.
 */
#ifndef AUTH_IDENTITY_H
#define AUTH_IDENTITY_H

#include "auth/jwt.h"

#define IDENTITY_TEXT_MAX 4096u /* bytes of all texts together */

/*
 * Texts hold visible ASCII only. Every other byte, "%" and "," (in scopes: and a space) is written
 * as %XX, so that two users never have one text, and no text ends its field.
 */
struct auth_identity {
	uint32_t refs;
	uint32_t pad;
	int64_t until_s;      /* Unix time from which it counts no more; INT64_MAX: never */
	struct hg_str issuer; /* whose token it was, where several may give them; n 0: not told */
	struct hg_str user;   /* never empty */
	struct hg_str name;   /* "issuer user", or the user alone: no two people have one */
	struct hg_str roles;  /* "admin,user"; n 0: none */
	struct hg_str scopes; /* "feedback:read feedback:create"; n 0: none */
};

/* Lists of words, unencoded. */
struct auth_words {
	const struct hg_str *word;
	uint32_t n;
};

/* Without an issuer. NULL: memory is exhausted, the user has no name, or the texts would be longer
 * than allowed. */
struct auth_identity *auth_identity_new(
        struct hg_str user, struct auth_words roles, struct auth_words scopes, int64_t until_s);
/* What of a token's claims is taken: names of claims (jwt_claim). */
struct auth_claimed {
	struct hg_str user, roles; /* n 0: `sub`, and no roles */
	struct hg_str issuer;      /* as it is, not the name of a claim; n 0: it is not told */
};
/*
 * Of a token's claims.
 * Roles are a list of texts, or a text with commas or spaces; scopes are those of `scope` or `scp`.
 * NULL as above, or when there is no such user. It ends with the token.
 */
struct auth_identity *auth_identity_of(
        const struct jwt_claims *claims, const struct auth_claimed *taken);
struct auth_identity *auth_identity_ref(struct auth_identity *id);
void auth_identity_unref(struct auth_identity *id); /* NULL is fine */

/* Is one of the words among the identity's? As they are written in it. */
bool auth_identity_role(const struct auth_identity *id, struct hg_str role);
bool auth_identity_scope(const struct auth_identity *id, struct hg_str scope);
/* Is it, written like that, one of these with commas between? */
bool auth_identity_issuer(const struct auth_identity *id, struct hg_str issuers);

/* ---- what was verified lately ---- */

#define AUTH_DIGEST 32u

struct auth_seen; /* of one thread; a fixed number of places, of which the longest unused goes */

/* `places`: a power of two, 4 at least. HG_E_NOMEM. */
HG_MUST enum hg_rc auth_seen_new(uint32_t places, struct auth_seen **ret_seen);
void auth_seen_free(struct auth_seen *s); /* NULL is fine */
/* The name that a token has here, its SHA-256; false: memory is exhausted. */
HG_MUST bool auth_seen_digest(
        struct auth_seen *s, struct hg_str token, uint8_t ret_digest[AUTH_DIGEST]);
/* Who showed it; NULL: nobody, or it has ended. Stays the cache's. */
struct auth_identity *auth_seen_find(
        struct auth_seen *s, const uint8_t digest[AUTH_DIGEST], int64_t now_s);
/* Takes a reference of its own. */
void auth_seen_put(
        struct auth_seen *s, const uint8_t digest[AUTH_DIGEST], struct auth_identity *id);
/* Forgets everything: the keys that it was verified with have changed. */
void auth_seen_clear(struct auth_seen *s);
uint32_t auth_seen_count(const struct auth_seen *s);

#endif
