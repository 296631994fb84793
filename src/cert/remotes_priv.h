/* The block of a bundle that says how replicas are spoken to by TLS. */
#ifndef CERT_REMOTES_PRIV_H
#define CERT_REMOTES_PRIV_H

#include "cert/cert.h"

/* A multiple of eight bytes. */
size_t cert_remotes_size(const struct cert_remote_conf *r, uint32_t n);
/* `to` is aligned, has `size` bytes, all zero. */
void cert_remotes_put(char *to, size_t size, const struct cert_remote_conf *r, uint32_t n);
/* `block` is aligned and not trusted. As cert_bundle_remotes. */
HG_MUST enum hg_rc cert_remotes_read(const char *block, size_t size, const struct cert_remotes *old,
        struct cert_remotes **ret_remotes, char why[TLS_WHY_MAX]);

#endif
