/*
 * Bits, written from the highest of a byte on, and Rice codes of them.
 *
 * A Rice code of u with k: u >> k ones, a zero, the k low bits; RICE_LONG ones are followed by 64
 * plain bits instead. Reading never goes beyond the end: `bad` is set and zeros are given.
 */
#ifndef OBSERVE_TSDB_BITS_PRIV_H
#define OBSERVE_TSDB_BITS_PRIV_H

#include "base/str.h"

#define RICE_LONG 20
#define RICE_MAX  56

struct bits_out {
	uint8_t *p;
	uint64_t acc;  /* bits not written yet, at its low end */
	unsigned have; /* how many, below 8 between two calls */
};

static inline void bits_put(struct bits_out *o, uint64_t v, unsigned n)
{
	if (n > 32) {
		bits_put(o, v >> 32, n - 32);
		n = 32;
	}
	if (!n) return;
	o->acc = o->acc << n | (v & (0xffffffffu >> (32 - n)));
	for (o->have += n; o->have >= 8; o->have -= 8)
		*o->p++ = (uint8_t)(o->acc >> (o->have - 8));
}

static inline uint8_t *bits_end(struct bits_out *o)
{
	if (o->have) *o->p++ = (uint8_t)(o->acc << (8 - o->have));
	o->have = 0;
	return o->p;
}

struct bits_in {
	const uint8_t *p, *end;
	uint64_t acc;  /* the next bits, from the highest on; zeros behind them */
	unsigned have; /* how many of acc are real */
	bool bad;
};

static inline void bits_fill(struct bits_in *in)
{
	if (HG_LIKELY(in->end - in->p >= 8)) {
		uint64_t word;
		memcpy(&word, in->p, 8);
		in->acc |= __builtin_bswap64(word) >> in->have;
		in->p += (63 - in->have) >> 3;
		in->have |= 56;
		return;
	}
	for (; in->have <= 56 && in->p < in->end; in->have += 8)
		in->acc |= (uint64_t)*in->p++ << (56 - in->have);
}

static inline void bits_skip(struct bits_in *in, unsigned n)
{
	if (HG_UNLIKELY(n > in->have)) {
		in->bad = true;
		in->acc = 0;
		in->have = 0;
		return;
	}
	in->acc = n < 64 ? in->acc << n : 0;
	in->have -= n;
}

/* n ≤ 56. */
static inline uint64_t bits_get(struct bits_in *in, unsigned n)
{
	if (!n) return 0;
	if (in->have < n) bits_fill(in);
	uint64_t v = in->acc >> (64 - n);
	bits_skip(in, n);
	return v;
}

static inline uint64_t bits_get64(struct bits_in *in)
{
	uint64_t high = bits_get(in, 32);
	return high << 32 | bits_get(in, 32);
}

/* The byte after the last one that was begun; what was read ahead and not used goes back. */
static inline const uint8_t *bits_rest(const struct bits_in *in)
{
	return in->p - in->have / 8;
}

static inline void rice_put(struct bits_out *o, uint64_t u, unsigned k)
{
	uint64_t q = u >> k;
	if (q < RICE_LONG) {
		bits_put(o, (1ull << (q + 1)) - 2, (unsigned)q + 1);
		bits_put(o, u, k);
	} else {
		bits_put(o, (1ull << RICE_LONG) - 1, RICE_LONG);
		bits_put(o, u, 64);
	}
}

static inline uint64_t rice_get(struct bits_in *in, unsigned k)
{
	if (in->have < RICE_LONG + 1) bits_fill(in);
	unsigned q = ~in->acc ? (unsigned)__builtin_clzll(~in->acc) : 64;
	if (HG_UNLIKELY(q >= RICE_LONG)) {
		bits_skip(in, RICE_LONG);
		return bits_get64(in);
	}
	bits_skip(in, q + 1);
	return (uint64_t)q << k | bits_get(in, k);
}

/*
 * n codes into u, as rice_get reads them one by one. What is read ahead stays in registers as long
 * as eight bytes are left and a code is as short as most are; all others go the slow way.
 */
static inline void rice_get_all(struct bits_in *in, unsigned k, uint64_t *u, uint32_t n)
{
	struct bits_in b = *in;
	const unsigned want = HG_MIN(RICE_LONG + k, 56u);
	for (uint32_t i = 0; i < n; i++) {
		if (b.have < want && HG_LIKELY(b.end - b.p >= 8)) bits_fill(&b);
		unsigned q = (unsigned)__builtin_clzll(~b.acc | 1);
		if (HG_LIKELY(q < RICE_LONG && q + 1 + k <= b.have)) {
			b.acc <<= q + 1;
			u[i] = (uint64_t)q << k | b.acc >> 1 >> (63 - k);
			b.acc <<= k;
			b.have -= q + 1 + k;
			continue;
		}
		*in = b;
		u[i] = rice_get(in, k);
		b = *in;
	}
	*in = b;
}

#endif
