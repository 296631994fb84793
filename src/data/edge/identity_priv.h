/* Who sends a request, and whether he may (identity.c). */
#ifndef DATA_EDGE_IDENTITY_PRIV_H
#define DATA_EDGE_IDENTITY_PRIV_H

#include "auth/provider.h"
#include "data/edge/edge_priv.h"

/* Takes what a bundle of certificates says of identities. Codes and `why` as edge_certs. */
HG_MUST enum hg_rc edge_identity_take(struct edge *e, int fd, char why[TLS_WHY_MAX]);
/* A new image is in force. */
void edge_identity_image(struct edge *e);
void edge_identity_fini(struct edge *e);

/*
 * For requests of apps with identity: takes out of the head what only the edge may say, finds out
 * who the client is, and answers if he may not. What it answers counts against the limits of the
 * route, by address. `path`: normal.
 */
enum edge_step edge_identity(struct edge_conn *c, struct hg_str path);
/* The field lines for the replica. */
void edge_identity_fields(const struct edge_req *r, struct hg_out *o);
void edge_identity_drop(struct edge_req *r);

#endif
