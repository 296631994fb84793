/*
 * The PROXY protocol, versions 1 (text) and 2 (binary): one header, before anything else on a
 * connection, that says for whom the sender connects. Strict: one spelling is accepted, everything
 * else is refused. Pure. Source: "The PROXY protocol", Willy Tarreau, 2020/03/05.
 */
#ifndef HG_WIRE_PROXYPROTO_H
#define HG_WIRE_PROXYPROTO_H

#include "base/buf.h"

#define PROXYPROTO_V1_MAX 107u  /* bytes with the end of line */
#define PROXYPROTO_MAX    4096u /* bytes of a version 2 header that is accepted */
#define PROXYPROTO_SENT   107u  /* the longest one that is written here */

enum proxyproto_result { PROXYPROTO_MORE, PROXYPROTO_DONE, PROXYPROTO_BAD };

/* Addresses as IPv6, IPv4 mapped (::ffff:a.b.c.d); ports in host order. */
struct proxyproto {
	bool known; /* false: LOCAL, UNKNOWN, UNSPEC or a unix socket: the peer is what it is */
	uint8_t version; /* 1 or 2 */
	uint8_t from[16], to[16];
	uint16_t from_port, to_port;
	size_t size;     /* bytes of the header; what follows belongs to the connection */
	const char *bad; /* why it is refused, a static text */
};

/*
 * `p` is all that was received. MORE: it may become a header with further bytes. A version 2 header
 * with a CRC-32C is refused when it does not fit; other extensions are checked for their lengths
 * and skipped.
 */
enum proxyproto_result proxyproto_read(struct hg_str p, struct proxyproto *ret);
/* Writes a header for these addresses; unknown ones as `PROXY UNKNOWN` or LOCAL. `o` has room for
 * PROXYPROTO_SENT bytes. */
void proxyproto_write(const struct proxyproto *p, struct hg_out *o);

#endif
