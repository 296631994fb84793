/*
 * Certificates on their way into being: requests for an authority, certificates that sign
 * themselves, and what is to be known of one that came back. By OpenSSL; keys as PEM.
 */
#ifndef HG_OS_TLS_MAKE_H
#define HG_OS_TLS_MAKE_H

#include "base/buf.h"
#include "os/tls.h"

/* Appends a new P-256 private key as PEM; who owns the buffer wipes it. HG_E_NOMEM. */
HG_MUST enum hg_rc tls_key_make(struct hg_buf *to);

/*
 * Appends a certificate request (PKCS #10, DER) for these DNS names, signed by the key. The subject
 * is empty: authorities read the names alone. HG_E_INVALID with `why`, HG_E_NOMEM.
 */
HG_MUST enum hg_rc tls_request_make(struct hg_str key_pem, const struct hg_str *names, uint32_t n,
        struct hg_buf *to, char why[TLS_WHY_MAX]);

struct tls_self {
	const char *common_name;    /* what a person reads */
	struct hg_str host;         /* n == 0: no name is answered for */
	const unsigned char *proof; /* 32 bytes of acmeIdentifier (RFC 8737), or NULL */
	int64_t from_s, until_s;    /* wall clock, seconds since 1970 */
};
/* Appends a certificate, as PEM, that the key has signed itself. HG_E_INVALID with `why`. */
HG_MUST enum hg_rc tls_self_make(struct hg_str key_pem, const struct tls_self *self,
        struct hg_buf *to, char why[TLS_WHY_MAX]);

/*
 * Is the chain in order: the key the leaf's, each certificate signed by the one behind it, all of
 * them valid at `now_s` (an hour of wrong clocks allowed), all names in the leaf? That its root is
 * trusted is for clients to say. HG_OK, HG_E_INVALID with `why`, HG_E_NOMEM.
 */
HG_MUST enum hg_rc tls_chain_check(const struct tls_pem *pem, const struct hg_str *names,
        uint32_t n, int64_t now_s, char why[TLS_WHY_MAX]);

/*
 * The key identifier of the leaf's authority and the leaf's serial number, as they stand in it:
 * what names a certificate in ACME renewal information (RFC 9773 section 4.1). HG_E_NOT_FOUND: it
 * has none. HG_E_INVALID: not a certificate, or longer than `cap`.
 */
HG_MUST enum hg_rc tls_leaf_id(struct hg_str chain, unsigned char *ret_authority,
        size_t *ret_authority_n, unsigned char *ret_serial, size_t *ret_serial_n, size_t cap);

#endif
