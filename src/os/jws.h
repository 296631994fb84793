/*
 * What JSON Web Signatures of an ACME account need (RFC 7518): P-256 keys, ES256, HMAC-SHA-256 and
 * SHA-256, by OpenSSL. Bytes in, bytes out; the texts around them are wire's and their owners'.
 * Private keys leave only as PEM, by jws_key_pem.
 */
#ifndef HG_OS_JWS_H
#define HG_OS_JWS_H

#include "base/buf.h"

#define JWS_SIGNATURE 64u /* bytes: r and s */
#define JWS_DIGEST    32u

struct jws_key;

/* A new one from the kernel's randomness. HG_E_NOMEM, HG_E_IO when OpenSSL cannot. */
HG_MUST enum hg_rc jws_key_new(struct jws_key **ret_key);
/* From PEM; HG_E_INVALID for anything but a P-256 private key without a pass phrase. */
HG_MUST enum hg_rc jws_key_read(struct hg_str pem, struct jws_key **ret_key);
/* NULL is fine. */
void jws_key_free(struct jws_key *k);
/* Appends the private key as PEM (PKCS #8); who owns the buffer wipes it. HG_E_NOMEM. */
HG_MUST enum hg_rc jws_key_pem(const struct jws_key *k, struct hg_buf *to);
/* The public point's coordinates, big-endian. HG_E_INVALID is not to be expected. */
HG_MUST enum hg_rc jws_key_point(
        const struct jws_key *k, unsigned char ret_x[32], unsigned char ret_y[32]);
/* ES256 (RFC 7518 section 3.4). HG_E_NOMEM. */
HG_MUST enum hg_rc jws_sign(
        const struct jws_key *k, struct hg_str bytes, unsigned char ret_signature[JWS_SIGNATURE]);
/* HS256 (RFC 7518 section 3.2). HG_E_NOMEM. */
HG_MUST enum hg_rc jws_hmac(
        struct hg_str key, struct hg_str bytes, unsigned char ret_digest[JWS_DIGEST]);
/* HG_E_NOMEM. */
HG_MUST enum hg_rc jws_sha256(struct hg_str bytes, unsigned char ret_digest[JWS_DIGEST]);

#endif
