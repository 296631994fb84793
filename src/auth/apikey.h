/*
 * API keys: what they look like, and what is kept of them. A key is
 *
 *   prefix _ 43 characters of base 62 (256 random bits) 6 characters of base 62 (its checksum)
 *
 * as in "hgk_4kB…". Prefix and checksum let scanners of leaked secrets know one, and let a mistyped
 * or cut one be told apart from one that is not known, without looking anything up. Only the
 * SHA-256 of the whole text is kept: 256 random bits need no slow hash.
 */
#ifndef AUTH_APIKEY_H
#define AUTH_APIKEY_H

#include "base/str.h"

#define APIKEY_PREFIX_MAX 20u /* characters: a to z, 0 to 9, and _ inside */
#define APIKEY_RANDOM     32u /* bytes */
#define APIKEY_TEXT_MAX   (APIKEY_PREFIX_MAX + 1u + 43u + 6u) /* without a closing zero */
#define APIKEY_HASH       32u                                 /* bytes */

HG_MUST bool apikey_prefix_good(struct hg_str prefix);
/* The key of these random bytes; zero-terminated. `prefix` is good. Returns its length. */
size_t apikey_make(struct hg_str prefix, const uint8_t random[APIKEY_RANDOM],
        char ret_text[APIKEY_TEXT_MAX + 1]);
/* Has it the form of a key, and the checksum of its text? */
HG_MUST bool apikey_well_formed(struct hg_str text);
/* What is kept. False: memory is exhausted. */
HG_MUST bool apikey_hash(struct hg_str text, uint8_t ret_hash[APIKEY_HASH]);
/* In constant time. */
HG_MUST bool apikey_same(const uint8_t a[APIKEY_HASH], const uint8_t b[APIKEY_HASH]);
/* 64 lower or upper case hexadecimal digits to and from bytes. */
HG_MUST bool apikey_hash_read(struct hg_str hex, uint8_t ret_hash[APIKEY_HASH]);
void apikey_hash_text(const uint8_t hash[APIKEY_HASH], char ret_hex[2 * APIKEY_HASH + 1]);

#endif
