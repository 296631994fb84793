#include "observe/tsdb/codec_priv.h"

#include <math.h>
#include <stdlib.h>

#include "observe/tsdb/decimal_priv.h"

/*
 * Tokens by their first byte:
 *   0 … 239    the zigzag difference from what was expected
 *   240 … 247  the same, three bits here and eight in the next byte, from 240 on
 *   248 … 252  the same in 2, 3, 4, 6, 8 bytes
 *   253        scale (a byte), integer (zigzag varint): a scale begins
 *   254        XOR with the last value: a byte with leading zero bytes and length, then the bytes
 *   255        a time: zigzag varint of how its difference differs from the one before
 */
enum {
	TOKEN_SHORT = 240,
	TOKEN_WIDE = 248,
	TOKEN_DECIMAL = 253,
	TOKEN_XOR = 254,
	TOKEN_TIME = 255
};

static const uint8_t wide_bytes[5] = {2, 3, 4, 6, 8};

static size_t put_residual(uint64_t u, uint8_t *to)
{
	if (u < TOKEN_SHORT) {
		to[0] = (uint8_t)u;
		return 1;
	}
	if (u - TOKEN_SHORT < 2048) {
		u -= TOKEN_SHORT;
		to[0] = (uint8_t)(TOKEN_SHORT + (u >> 8));
		to[1] = (uint8_t)u;
		return 2;
	}
	unsigned k = 0;
	while (k < 4 && u >> (8 * wide_bytes[k]))
		k++;
	to[0] = (uint8_t)(TOKEN_WIDE + k);
	memcpy(to + 1, &u, wide_bytes[k]);
	return 1u + wide_bytes[k];
}

static size_t put_xor(uint64_t x, uint8_t *to)
{
	unsigned lead = x ? (unsigned)__builtin_clzll(x) / 8 : 0;
	unsigned trail = x ? (unsigned)__builtin_ctzll(x) / 8 : 8;
	unsigned len = 8 - lead - trail;
	to[0] = TOKEN_XOR;
	to[1] = (uint8_t)(lead << 4 | len);
	x >>= 8 * (trail & 7);
	memcpy(to + 2, &x, 8);
	return 2u + len;
}

/* The expectation follows the differences slowly: counters grow evenly, gauges stand. */
static void state_move(struct codec_state *s, int64_t m)
{
	uint64_t delta = ((uint64_t)m - (uint64_t)s->m) << s->shift;
	s->d = (int64_t)((uint64_t)s->d + (uint64_t)((int64_t)(delta - (uint64_t)s->d) / 8));
	s->m = m;
}

static uint64_t state_expected(const struct codec_state *s)
{
	uint64_t half = (UINT64_C(1) << s->shift) / 2;
	return (uint64_t)s->m + (uint64_t)((int64_t)((uint64_t)s->d + half) >> s->shift);
}

struct codec_step codec_step_of(struct codec_state *s, double v)
{
	uint64_t bits, before = s->bits;
	int64_t m;
	memcpy(&bits, &v, sizeof bits);
	s->bits = bits;
	if (s->e != CODEC_NO_EXP && decimal_is(v, s->e, &m) && !decimal_is_noise(m, s->e)) {
		uint64_t expected = state_expected(s);
		state_move(s, m);
		s->misses = 0;
		return (struct codec_step){
		        CODEC_RESIDUAL, 0, zigzag((int64_t)((uint64_t)m - expected))};
	}
	/* A value that has no scale, among noise, is not worth looking at each time. */
	if (s->misses < 3 || s->misses % 16 == 0) {
		uint8_t e = decimal_scale(v, &m);
		if (e != CODEC_NO_EXP) {
			s->m = m;
			s->d = 0;
			s->e = e;
			s->misses = 0;
			return (struct codec_step){CODEC_DECIMAL, e, zigzag(m)};
		}
	}
	s->misses = s->misses == 255 ? 16 : (uint8_t)(s->misses + 1);
	return (struct codec_step){CODEC_XOR, 0, bits ^ before};
}

bool codec_step_apply(struct codec_state *s, const struct codec_step *step, double *ret_v)
{
	if (step->kind == CODEC_XOR) {
		s->bits ^= step->u;
		memcpy(ret_v, &s->bits, sizeof s->bits);
		return true;
	}
	if (step->kind == CODEC_RESIDUAL) {
		if (s->e > DECIMAL_SCALE_MAX) return false;
		state_move(s, (int64_t)(state_expected(s) + (uint64_t)unzigzag(step->u)));
	} else {
		if (step->e > DECIMAL_SCALE_MAX) return false;
		s->e = step->e;
		s->m = unzigzag(step->u);
		s->d = 0;
	}
	*ret_v = decimal_value(s->m, s->e);
	memcpy(&s->bits, ret_v, sizeof s->bits);
	return true;
}

static size_t token_put(const struct codec_step *step, uint8_t *to)
{
	if (step->kind == CODEC_RESIDUAL) return put_residual(step->u, to);
	if (step->kind == CODEC_XOR) return put_xor(step->u, to);
	to[0] = TOKEN_DECIMAL;
	to[1] = step->e;
	return (size_t)(varint_put(to + 2, step->u) - to);
}

static uint64_t get_residual(struct span *in, uint8_t first)
{
	if (first < TOKEN_SHORT) return first;
	if (first < TOKEN_WIDE)
		return TOKEN_SHORT + ((uint64_t)(first - TOKEN_SHORT) << 8) + span_byte(in);
	return span_le(in, wide_bytes[first - TOKEN_WIDE]);
}

static uint64_t get_xor(struct span *in)
{
	uint8_t c = span_byte(in);
	unsigned lead = c >> 4, len = c & 15;
	if (lead + len > 8) {
		in->bad = true;
		return 0;
	}
	uint64_t x = span_le(in, len);
	unsigned shift = 8 * (8 - lead - len);
	return shift < 64 ? x << shift : 0;
}

static double token_get(struct codec_state *s, struct span *in)
{
	uint8_t first = span_byte(in);
	struct codec_step step = {.kind = CODEC_XOR};
	double v = 0;
	if (first < TOKEN_DECIMAL) {
		step = (struct codec_step){CODEC_RESIDUAL, 0, get_residual(in, first)};
	} else if (first == TOKEN_DECIMAL) {
		step = (struct codec_step){.kind = CODEC_DECIMAL, .e = span_byte(in)};
		step.u = span_varint(in);
	} else if (first == TOKEN_XOR) {
		step.u = get_xor(in);
	} else {
		in->bad = true;
	}
	if (!in->bad && !codec_step_apply(s, &step, &v)) in->bad = true;
	return v;
}

bool stream_add(struct stream *s, int64_t t, double v, struct codec_step *ret_step)
{
	uint8_t bytes[CODEC_TIME_MAX + CODEC_TOKEN_MAX], *p = bytes;
	struct codec_state before = s->value;
	int64_t dt = s->count ? t - s->t : 0;
	if (dt != s->dt) {
		*p++ = TOKEN_TIME;
		p = varint_put(p, zigzag(dt - s->dt));
	}
	*ret_step = codec_step_of(&s->value, v);
	size_t size = (size_t)(p - bytes) + token_put(ret_step, p), need = s->bytes + size;
	if (need > s->cap) {
		size_t cap = HG_MAX(need, s->cap ? s->cap + (s->cap / 2u) : 24u);
		uint8_t *grown = cap <= UINT16_MAX ? realloc(s->p, cap) : NULL;
		if (!grown) {
			s->value = before;
			return false;
		}
		s->p = grown;
		s->cap = (uint16_t)cap;
	}
	memcpy(s->p + s->bytes, bytes, size);
	s->bytes = (uint16_t)need;
	if (!s->count) s->first_t = t;
	s->count++;
	s->t = t;
	s->dt = dt;
	return true;
}

/*
 * Most values are a short difference from what was expected, and what is not asked for need not be
 * divided: then the state's bits are late, until a token needs them.
 */
struct stream_reader {
	struct span in;
	struct codec_state state;
	bool late;
};

static bool read_short(struct stream_reader *r, bool wanted, double *ret_v)
{
	struct codec_state *s = &r->state;
	if (r->in.p >= r->in.end || *r->in.p >= TOKEN_SHORT || s->e > DECIMAL_SCALE_MAX)
		return false;
	state_move(s, (int64_t)(state_expected(s) + (uint64_t)unzigzag(*r->in.p++)));
	r->late = !wanted;
	if (r->late) return true;
	*ret_v = decimal_value(s->m, s->e);
	memcpy(&s->bits, ret_v, sizeof s->bits);
	return true;
}

static double read_other(struct stream_reader *r)
{
	if (r->late) {
		double v = decimal_value(r->state.m, r->state.e);
		memcpy(&r->state.bits, &v, sizeof v);
	}
	r->late = false;
	return token_get(&r->state, &r->in);
}

uint32_t stream_read_part(const struct stream *s, int64_t from, int64_t to, int64_t *t, double *v)
{
	struct stream_reader r = {.in = {.p = s->p, .end = s->p + s->bytes}};
	int64_t at = s->first_t, dt = 0;
	uint32_t n = 0, i = 0;
	codec_state_init(&r.state);
	for (; i < s->count; i++) {
		if (r.in.p < r.in.end && *r.in.p == TOKEN_TIME) {
			r.in.p++;
			dt += unzigzag(span_varint(&r.in));
		}
		if (i) at += dt;
		if (at > to) break;
		t[n] = at;
		if (!read_short(&r, at >= from, &v[n])) v[n] = read_other(&r);
		n += at >= from;
	}
	HG_ASSERT(!r.in.bad && (i < s->count || r.in.p == r.in.end));
	return n;
}

void stream_read(const struct stream *s, int64_t *t, double *v)
{
	HG_ASSERT(stream_read_part(s, INT64_MIN, INT64_MAX, t, v) == s->count);
}

void stream_reset(struct stream *s)
{
	s->bytes = s->count = 0;
	s->dt = 0;
	codec_state_init(&s->value);
}
