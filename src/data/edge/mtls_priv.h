/* Certificates of clients (mtls.c). */
#ifndef DATA_EDGE_MTLS_PRIV_H
#define DATA_EDGE_MTLS_PRIV_H

#include "data/edge/edge_priv.h"

/* Whom the image's routes ask for what; `old` may be NULL. HG_E_INVALID, HG_E_NOMEM. */
HG_MUST enum hg_rc edge_mtls_make(struct edge_image *im, const struct edge_image *old);
void edge_mtls_free(struct edge_image *im);
/* Before the handshake of a connection. */
void edge_mtls_prepare(struct edge_conn *c);
/* The handshake of a connection that was asked is over. */
void edge_mtls_shown(struct edge_conn *c);
/* May this client use this route? `host`: normal. Answers if it may not. */
enum edge_step edge_mtls_check(struct edge_conn *c, struct hg_str host);

#endif
