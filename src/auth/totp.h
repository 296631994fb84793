/*
 * One-time passwords by time (RFC 6238 over RFC 4226): HMAC-SHA-1, six digits, 30 seconds, which is
 * what every authenticator app understands. Pure but for libcrypto.
 */
#ifndef AUTH_TOTP_H
#define AUTH_TOTP_H

#include "base/buf.h"

#define TOTP_SECRET 20u /* bytes, as RFC 4226 recommends */
#define TOTP_DIGITS 6u
#define TOTP_STEP_S 30u
#define TOTP_WINDOW 1 /* steps before and after now that are taken as well: clocks differ */

/* The code of a step (Unix time / 30), with `digits` (6 to 8) digits. False: no memory. */
HG_MUST bool totp_code(struct hg_str secret, uint64_t step, unsigned digits, uint32_t *ret_code);
/*
 * The step a code of six digits is for, within the window around `now_s` and after `last_step`,
 * which was the last that was used: each counts once. 0: none. Looks at every step of the window,
 * whichever matches.
 */
HG_MUST uint64_t totp_match(
        struct hg_str secret, struct hg_str code, uint64_t now_s, uint64_t last_step);
/* Base 32 (RFC 4648 section 6) without padding. */
void totp_base32(struct hg_str bytes, struct hg_buf *to);
/* otpauth://totp/ISSUER:ACCOUNT?secret=…&issuer=…, which a QR code shows to an app. */
void totp_uri(struct hg_str issuer, struct hg_str account, struct hg_str secret, struct hg_buf *to);

#endif
