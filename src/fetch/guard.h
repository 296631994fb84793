/*
 * Where a request that a user can aim may not go: addresses that are this machine's or its
 * network's. Judged is the address a connection is about to be made to, not the name and not a
 * look-up before it, so that a name whose answer changes in between gains nothing. Pure.
 */
#ifndef FETCH_GUARD_H
#define FETCH_GUARD_H

#include "base/err.h"

#define GUARD_ALLOW_MAX 16u

enum guard_class {
	GUARD_PUBLIC,     /* anybody's: go ahead */
	GUARD_ALLOWED,    /* named by the one who runs this */
	GUARD_LOOPBACK,   /* 127/8, ::1, and 0/8, ::, which reach this machine too */
	GUARD_PRIVATE,    /* 10/8, 172.16/12, 192.168/16, fc00::/7, fec0::/10 */
	GUARD_LINK_LOCAL, /* 169.254/16 (metadata services of clouds), fe80::/10 */
	GUARD_SHARED,     /* 100.64/10, of carriers' networks */
	GUARD_MULTICAST,  /* 224/4, ff00::/8 */
	GUARD_RESERVED    /* documentation, benchmarks, tunnels, protocols, not given out */
};

struct guard_net {
	uint8_t addr[16];
	uint32_t bits;
};

struct guard {
	struct guard_net allow[GUARD_ALLOW_MAX];
	uint32_t allow_count;
};

/* "127.0.0.0/8, 10.1.2.3,fd00::/8"; "" allows nothing more than is public. HG_E_INVALID. */
HG_MUST enum hg_rc guard_parse(struct hg_str text, struct guard *ret_guard, struct hg_err *err);
/*
 * IPv4 is ::ffff:0:0/96. An address that carries one of IPv4 is judged by that where a translator
 * leads there (64:ff9b::/96), and refused where it is a tunnel (6to4, Teredo, v4-compatible).
 */
enum guard_class guard_judge(const struct guard *g, const uint8_t addr[16]);
/* "private" … */
const char *guard_class_name(enum guard_class c);
static inline bool guard_lets(enum guard_class c)
{
	return c == GUARD_PUBLIC || c == GUARD_ALLOWED;
}

#endif
