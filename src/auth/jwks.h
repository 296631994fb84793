/*
 * Sets of JSON Web Keys (RFC 7517), as authorities publish them. A set is taken for what can be
 * used of it: keys of kinds, algorithms and uses that are not known are left out, and counted.
 */
#ifndef AUTH_JWKS_H
#define AUTH_JWKS_H

#include "auth/jwt.h"

#define JWKS_SIZE_MAX 65536u /* bytes of its text */

struct jwks_report {
	uint32_t taken, left_out;
	const char
	        *why; /* the last one was left out for, or the set refused; "" otherwise. Static */
};

/*
 * Appends the keys of a set to `keys`. `secrets`: keys of kind oct are taken, which no address may
 * be believed to be the only one to know: for files alone. HG_E_INVALID: it is no set, has a member
 * twice, or nothing of it can be used; HG_E_TOO_LARGE: more than JWKS_SIZE_MAX, or than
 * JWT_KEYS_MAX keys that can be used (`keys` is not to be used then); HG_E_NOMEM.
 */
HG_MUST enum hg_rc jwks_read(
        struct hg_str text, bool secrets, struct jwt_keys *keys, struct jwks_report *ret_report);

#endif
