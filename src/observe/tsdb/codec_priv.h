/*
 * How samples are written as bytes. Pure, and deterministic: what was read back is the same bits.
 *
 * Two forms. A *stream* grows sample by sample and is made of whole bytes: the open chunk of a
 * series in memory; the records of a journal are the same steps in bits. A *chunk* is a stream that
 * ended, coded again bit by bit with everything known: integers and decimals as differences from
 * what was to be expected (Rice codes or plain bits), anything else as Gorilla's XOR.
 */
#ifndef OBSERVE_TSDB_CODEC_PRIV_H
#define OBSERVE_TSDB_CODEC_PRIV_H

#include "base/str.h"
#include "observe/tsdb/tsdb.h"

#define CODEC_CHUNK_MAX   240  /* samples in a chunk */
#define CODEC_CHUNK_BYTES 8192 /* a chunk of as many samples never needs more */
#define CODEC_TOKEN_MAX   16   /* bytes of one value in a stream */
#define CODEC_TIME_MAX    11   /* bytes of one time in a stream */
#define CODEC_NO_EXP      0xff /* no scale */

/* Varints: seven bits a byte, the lowest first. */
static inline uint8_t *varint_put(uint8_t *to, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*to++ = (uint8_t)(v | 0x80);
	*to++ = (uint8_t)v;
	return to;
}

static inline uint64_t zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

static inline int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Bit by bit: NaNs of one kind are the same, 0 and -0 are not. */
static inline bool value_same(double a, double b)
{
	uint64_t x, y;
	memcpy(&x, &a, sizeof x);
	memcpy(&y, &b, sizeof y);
	return x == y;
}

/* Bytes that are read from the front; `bad` stays set once they did not suffice. */
struct span {
	const uint8_t *p, *end;
	bool bad;
};

static inline uint8_t span_byte(struct span *s)
{
	if (s->p < s->end) return *s->p++;
	s->bad = true;
	return 0;
}

static inline uint64_t span_varint(struct span *s)
{
	const uint8_t *p = s->p;
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64 && p < s->end; shift += 7) {
		v |= (uint64_t)(*p & 0x7f) << shift;
		if (*p++ >= 0x80) continue;
		s->p = p;
		return v;
	}
	s->p = p;
	s->bad = true;
	return 0;
}

/* Over n varints, without looking at what they say. */
static inline void span_skip(struct span *s, uint64_t n)
{
	const uint8_t *p = s->p;
	while (n && p < s->end)
		n -= *p++ < 0x80;
	s->p = p;
	if (n) s->bad = true;
}

static inline uint64_t span_le(struct span *s, unsigned bytes)
{
	uint64_t v = 0;
	if ((size_t)(s->end - s->p) < bytes) {
		s->bad = true;
		return 0;
	}
	memcpy(&v, s->p, bytes);
	s->p += bytes;
	return v;
}

/* What the next value of a stream is told against. */
struct codec_state {
	int64_t m;      /* last decimal's integer */
	int64_t d;      /* how much it is expected to grow, in 2^-shift */
	uint64_t bits;  /* last value */
	uint8_t e;      /* scale of the values (decimal_priv.h); CODEC_NO_EXP at first */
	uint8_t misses; /* writer only: values in a row that had no scale */
	uint8_t shift;
};

#define CODEC_SHIFT     4 /* so that counters that grow by one or two have an expectation, too */
#define CODEC_SHIFT_OLD 0 /* in journals of version 1 */

static inline void codec_state_init(struct codec_state *s)
{
	*s = (struct codec_state){.e = CODEC_NO_EXP, .shift = CODEC_SHIFT};
}

/* One value, told against the state. */
enum codec_kind { CODEC_RESIDUAL, CODEC_DECIMAL, CODEC_XOR };

struct codec_step {
	uint8_t kind, e; /* e: of CODEC_DECIMAL, which begins a scale */
	uint64_t u;      /* zigzag difference, zigzag integer, or XOR with the last value */
};

/* Moves the state on by a value. */
struct codec_step codec_step_of(struct codec_state *s, double v);
/* The same from the reader's side; false for a step that no writer makes. */
HG_MUST bool codec_step_apply(struct codec_state *s, const struct codec_step *step, double *ret_v);

/* An open chunk. {0} is an empty one. */
struct stream {
	uint8_t *p;
	uint16_t bytes, cap, count;
	int64_t first_t, t, dt;
	struct codec_state value;
};

/* Appends a value, of which *ret_step is the step. False: no memory, nothing was changed. */
HG_MUST bool stream_add(struct stream *s, int64_t t, double v, struct codec_step *ret_step);
/* All samples, `count` of them, into t and v. */
void stream_read(const struct stream *s, int64_t *t, double *v);
/* Those in [from, to]; t and v have room for all. Returns how many. */
uint32_t stream_read_part(const struct stream *s, int64_t from, int64_t to, int64_t *t, double *v);
/* Empties it, keeping time and memory. */
void stream_reset(struct stream *s);

/* Codes n (1 … CODEC_CHUNK_MAX) samples of strictly rising time; `to` has CODEC_CHUNK_BYTES. */
size_t chunk_encode(const int64_t *t, const double *v, uint32_t n, int64_t base, uint8_t *to);
/* Decodes into t and v, which have room for CODEC_CHUNK_MAX; returns n, 0 when it is no chunk. */
uint32_t chunk_decode(struct hg_str bytes, int64_t base, int64_t *t, double *v);
/* Only what lies in [from, to]: what stands before it costs little, what stands behind it nothing,
 * and is not looked at. False when it is no chunk. */
HG_MUST bool chunk_decode_part(struct hg_str bytes, int64_t base, int64_t from, int64_t to,
        int64_t *t, double *v, uint32_t *ret_n);

#endif
