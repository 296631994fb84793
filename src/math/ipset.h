/*
 * Sets of addresses: prefixes with a value each become a sorted list of steps, a step being the
 * first address from which on a value holds. The longest prefix that covers an address decides.
 * Looking one up is a binary search; IPv4 is ::ffff:0:0/96 of IPv6. Pure; no memory of its own.
 */
#ifndef MATH_IPSET_H
#define MATH_IPSET_H

#include "base/hg.h"

struct ip_addr {
	uint64_t hi, lo; /* the address as a number of 128 bits */
};

struct ip_prefix {
	struct ip_addr addr; /* the bits behind `bits` are not looked at */
	uint32_t bits;       /* 0…128 */
	uint32_t value;      /* not 0 */
};

struct ip_step {
	uint64_t hi, lo;
	uint32_t value; /* 0: in no prefix */
	uint32_t pad;
};

/* Steps that `n` prefixes become at most. */
#define IPSET_STEPS(n) (2 * (size_t)(n) + 1)

struct ip_addr ip_addr_of(const uint8_t bytes[16]);
/* What names a client: IPv4 whole, of IPv6 the network of 64 bits, whose holder may use any
 * address below it. */
struct ip_addr ip_addr_client(struct ip_addr a);
static inline bool ip_addr_is_v4(struct ip_addr a)
{
	return a.hi == 0 && a.lo >> 32 == 0xffff;
}

/* Sorts `prefixes` in place; `to` has room for IPSET_STEPS(n). Of two equal prefixes the one with
 * the larger value counts. Returns the number of steps, 0 when n is 0. */
size_t ipset_compile(struct ip_prefix *prefixes, size_t n, struct ip_step *to);
/* Are these steps what ipset_compile makes: sorted, and beginning at 0? Needed once for steps
 * from elsewhere. */
HG_MUST bool ipset_valid(const struct ip_step *steps, size_t n);
/* The value, 0: none. */
uint32_t ipset_find(const struct ip_step *steps, size_t n, struct ip_addr a);

#endif
