/*
 * JSON Web Tokens (RFC 7519) in compact form, verified as RFC 8725 asks for: RS256, ES256, EdDSA
 * with Ed25519, and HS256. What a token says of itself decides nothing: a key has one algorithm,
 * given by its type, and a token is checked with those keys only whose algorithm it names. Keys are
 * parsed once. No key, address or certificate of a token's own head is ever looked at; a token that
 * brings one is refused.
 *
 * Nothing here reads a clock or the network, and nothing is written down: verdicts have names, but
 * tokens are in no text.
 */
#ifndef AUTH_JWT_H
#define AUTH_JWT_H

#include <jansson.h>

#include "base/buf.h"

#define JWT_SIZE_MAX   8192u /* bytes of a token, unless the policy says less */
#define JWT_KID_MAX    256u  /* bytes of a key's name */
#define JWT_ISSUER_MAX 1024u /* bytes of an issuer's name, where there are several */
#define JWT_KEYS_MAX   64u   /* of a set */
#define JWT_TRIES      8u    /* keys that a token without a key's name is tried with at most */
#define JWT_SKEW_S     60u   /* that clocks may differ by */

/* 64 KiB bound what one set may be read from; keys within these sizes only. */
#define JWT_RSA_BITS_MIN 2048
#define JWT_RSA_BITS_MAX 8192
#define JWT_HMAC_KEY_MIN 32u   /* bytes */
#define JWT_HMAC_KEY_MAX 1024u /* bytes */

enum jwt_alg { JWT_RS256, JWT_ES256, JWT_EDDSA, JWT_HS256, JWT_ALGS };
#define JWT_BIT(alg) (1u << (alg))

/* "RS256" and the like; JWT_ALGS: none of them. Case counts. */
enum jwt_alg jwt_alg_of(struct hg_str name);
const char *jwt_alg_name(enum jwt_alg alg);

/* ---- keys ---- */

struct jwt_keys; /* a set; constant once it was filled, and then for any thread */

/* An empty one. HG_E_NOMEM. */
HG_MUST enum hg_rc jwt_keys_new(struct jwt_keys **ret_keys);
void jwt_keys_free(struct jwt_keys *keys); /* NULL is fine */
uint32_t jwt_keys_count(const struct jwt_keys *keys);
/* Which algorithms there is a key for: JWT_BIT of each. */
uint32_t jwt_keys_algs(const struct jwt_keys *keys);

/*
 * Each of these adds one key with the name `kid` (n 0: it has none, and any token may be tried with
 * it). HG_E_INVALID: *ret_why says what is wrong with it (static text, without the key);
 * HG_E_TOO_LARGE: the set is full; HG_E_NOMEM.
 */
/* A public key in PEM: RSA, EC on P-256, or Ed25519. */
HG_MUST enum hg_rc jwt_keys_pem(
        struct jwt_keys *keys, struct hg_str kid, struct hg_str pem, const char **ret_why);
/* The secret of HS256, as bytes. A PEM text is no secret: public keys are known to everybody. */
HG_MUST enum hg_rc jwt_keys_secret(
        struct jwt_keys *keys, struct hg_str kid, struct hg_str secret, const char **ret_why);
/*
 * A JSON Web Key (RFC 7517): RSA, EC with P-256, OKP with Ed25519, and oct if `secrets`. One that
 * is for something else (use, key_ops, alg, a kty or crv that is not known) is HG_E_INVALID too.
 */
HG_MUST enum hg_rc jwt_keys_jwk(
        struct jwt_keys *keys, const json_t *jwk, bool secrets, const char **ret_why);

/* ---- verifying ---- */

struct jwt_policy {
	struct hg_str issuer;          /* `iss` has to be exactly this; n 0: any or none */
	const struct hg_str *audience; /* `aud` has to name one of them … */
	uint32_t audience_count;       /* … 0: any or none */
	uint32_t algorithms;           /* JWT_BIT of each that is allowed; 0: that a key is for */
	uint32_t skew_s;               /* JWT_SKEW_S, as a rule */
	uint32_t size_max;             /* bytes of a token; 0: JWT_SIZE_MAX */
	bool access_only;              /* `typ` has to be at+jwt (RFC 9068) */
};

enum jwt_verdict {
	JWT_GOOD,
	JWT_MALFORMED, /* it is no token, or one that says what no token of ours says */
	JWT_TOO_LARGE,
	JWT_ALGORITHM, /* not allowed, or not that of the key */
	JWT_UNKNOWN,   /* no key has the name that it gives: a set that is read again might */
	JWT_SIGNATURE,
	JWT_EXPIRED,
	JWT_NOT_YET,
	JWT_ISSUER,
	JWT_AUDIENCE,
	JWT_TYPE,
	JWT_NOMEM, /* memory is exhausted: nothing is known of the token */
	JWT_VERDICTS
};

/* A word for counters and logs ("expired"), and a sentence for whoever sent it. Static. */
const char *jwt_verdict_word(enum jwt_verdict v);
const char *jwt_verdict_text(enum jwt_verdict v);

/* What a good token says. */
struct jwt_claims {
	json_t *all;           /* the object; ends with jwt_claims_fini */
	struct hg_str subject; /* of `sub`, inside of it; n 0: there is none */
	int64_t expires_s;     /* Unix time, without skew */
	int64_t issued_s;      /* 0: it does not say */
	enum jwt_alg alg;
};

/*
 * Looks at a whole token ("head.claims.signature", nothing around it) at Unix time `now_s`. A token
 * has to say when it ends. *ret_claims is set for JWT_GOOD only.
 */
HG_MUST enum jwt_verdict jwt_verify(const struct jwt_keys *keys, const struct jwt_policy *policy,
        struct hg_str token, int64_t now_s, struct jwt_claims *ret_claims);
void jwt_claims_fini(struct jwt_claims *claims);

/*
 * Whom a token names as its issuer, without a look at its signature: to choose the keys and the
 * policy that it is then verified with, and for nothing else. JWT_GOOD and *ret_issuer inside of
 * `to`; JWT_ISSUER when it names none that fits.
 */
HG_MUST enum jwt_verdict jwt_issuer_named(
        struct hg_str token, char to[JWT_ISSUER_MAX], struct hg_str *ret_issuer);

/*
 * The claim of this name, and if there is none, what is found member by member at the dots of the
 * name ("realm_access.roles"). NULL: nothing. Belongs to the claims.
 */
const json_t *jwt_claim(const struct jwt_claims *claims, struct hg_str name);

#endif
