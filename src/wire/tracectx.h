/*
 * W3C Trace Context (Recommendation, and the random flag of level 2): the field `traceparent`, and
 * which traces are kept. Ids stay the hexadecimal text that they are everywhere else. Pure.
 */
#ifndef WIRE_TRACECTX_H
#define WIRE_TRACECTX_H

#include "base/str.h"

#define TRACECTX_TRACE 32u /* digits of a trace id */
#define TRACECTX_SPAN  16u /* … of a span id */
#define TRACECTX_SIZE  55u /* bytes of a traceparent of version 00 */

#define TRACECTX_SAMPLED 0x01u
#define TRACECTX_RANDOM  0x02u /* the trace id's last 56 bits are random (level 2) */

struct tracectx {
	char trace[TRACECTX_TRACE], span[TRACECTX_SPAN]; /* lower case, never all zero */
	uint8_t flags;                                   /* those above; others are forgotten */
};

/*
 * Version 00 has exactly 55 bytes; of later ones what follows "-" is not looked at; ff is none.
 * Capital letters and ids of zeros are refused. False: the trace begins anew, and a tracestate that
 * came with it goes (section 3.2 of the recommendation).
 */
HG_MUST bool tracectx_read(struct hg_str field, struct tracectx *ret_ctx);
/* Version 00. */
void tracectx_write(const struct tracectx *c, char to[static TRACECTX_SIZE]);

/*
 * Is this trace one of the `ppm` in a million that are kept? Decided by the id's last 56 bits, so
 * that everybody who asks about a trace with the same share decides the same.
 */
bool tracectx_drawn(const char trace[static TRACECTX_TRACE], uint32_t ppm);

/* Eight digits at a time: a nibble goes into each byte, the lowest into the first. */
static inline void tracectx_hex32(uint64_t v, char *to)
{
	v = (v << 16 | v) & 0x0000ffff0000ffffu;
	v = (v << 8 | v) & 0x00ff00ff00ff00ffu;
	v = (v << 4 | v) & 0x0f0f0f0f0f0f0f0fu;
	uint64_t letter = (v + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
	v = __builtin_bswap64(v + 0x3030303030303030u + letter * ('a' - '0' - 10));
	memcpy(to, &v, sizeof v);
}

/* 16 digits, without a closing zero. */
static inline void tracectx_hex64(uint64_t v, char *to)
{
	tracectx_hex32(v >> 32, to);
	tracectx_hex32(v & UINT32_MAX, to + 8);
}

#endif
