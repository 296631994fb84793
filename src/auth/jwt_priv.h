/* Inside the room: what a set of keys is. */
#ifndef AUTH_JWT_PRIV_H
#define AUTH_JWT_PRIV_H

#include <openssl/evp.h>

#include "auth/jwt.h"

struct jwt_key {
	enum jwt_alg alg;
	EVP_PKEY *pkey;     /* of all but HS256 */
	EVP_MAC_CTX *mac;   /* of HS256: keyed, only ever copied */
	uint32_t signature; /* bytes that a signature has */
	char *kid;          /* NULL: it has no name */
	size_t kid_n;
};

struct jwt_keys {
	uint32_t count;
	struct jwt_key key[JWT_KEYS_MAX];
};

#endif
