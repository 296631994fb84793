/* Handshakes of clients with TLS: hello.c. */
#ifndef DATA_EDGE_HELLO_PRIV_H
#define DATA_EDGE_HELLO_PRIV_H

#include "data/edge/edge_priv.h"

void edge_hello_init(struct edge *e);
/* When all connections have been closed. */
void edge_hello_fini(struct edge *e);
/* One step of the handshake; waits for its turn. */
enum edge_step edge_hello_step(struct edge_conn *c);
void edge_hello_failed(struct edge_conn *c, enum tls_failure why);
/* Not where the configuration says `http2: off`. */
bool edge_h2_allowed(const struct edge *e);

#endif
