/*
 * Passwords, kept as argon2id (RFC 9106) in its usual text form, "$argon2id$v=19$m=…". The costs
 * are OWASP's: 19 MiB and two passes, some 30 ms of a processor; who verifies does it on a thread,
 * a few at a time. libargon2 is loaded when it is needed first.
 */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include "base/err.h"

#define PASSWORD_TEXT_MAX   128u /* bytes of what is kept, with its closing zero */
#define PASSWORD_SALT       16u  /* bytes */
#define PASSWORD_MEMORY_KIB 19456u
#define PASSWORD_PASSES     2u

/* Loads the library. HG_E_IO with the reason: it is not installed. */
HG_MUST enum hg_rc password_ready(struct hg_err *err);
/* What to keep. HG_E_NOMEM (19 MiB are needed), HG_E_IO (no library). For any thread. */
HG_MUST enum hg_rc password_hash(struct hg_str password, const uint8_t salt[PASSWORD_SALT],
        char ret_text[PASSWORD_TEXT_MAX]);
/* *ret_good: it is the password. HG_E_NOMEM, HG_E_IO: nothing is known. For any thread. */
HG_MUST enum hg_rc password_verify(const char *text, struct hg_str password, bool *ret_good);
/* Was it kept with other costs than today's? Then it is to be hashed again at the next sign-in. */
bool password_outdated(const char *text);

#endif
