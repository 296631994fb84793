/*
 * Blocks of IP addresses, "10.0.0.0/8" or "2001:db8::/32". One form for both families: IPv4 is held
 * as ::ffff:a.b.c.d, so that an address that came through a dual-stack socket fits its block. Pure.
 */
#ifndef HG_WIRE_CIDR_H
#define HG_WIRE_CIDR_H

#include "base/str.h"

#define CIDR_MAX 256 /* blocks of one list */

struct cidr {
	uint8_t ip[16]; /* network byte order; no bit beyond `bits` is set */
	uint32_t bits;  /* of 128 */
};

/* An address without a block, as an IPv6 one; false: neither "1.2.3.4" nor "2001:db8::1". */
HG_MUST bool cidr_ip(struct hg_str text, uint8_t ret_ip[16]);
/*
 * A block, or a single address. NULL, or why it is none: a text for people that continues
 * `"10.0.0.1/8" …`. Bits beyond the length are refused: the block meant is not the one written.
 */
const char *cidr_parse(struct hg_str text, struct cidr *ret_cidr);
bool cidr_has(const struct cidr *c, const uint8_t ip[16]);

#endif
