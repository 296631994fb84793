#include "observe/tsdb/codec_priv.h"
#include "observe/tsdb/decimal_priv.h"

/*
 * A chunk:
 *   varint n · zigzag varint first time - base · (n > 1) varint second - first · times · values
 *   times   byte 0: evenly spaced · 1 + k: Rice bits with parameter k of zigzag (difference of
 *           differences), n - 2 of them, padded to a byte
 *   values  byte VALUES_CONST: the 8 bytes of all of them
 *           byte VALUES_DECIMAL: below · byte VALUES_XOR: 8 bytes of the first, then Gorilla's bits
 *   decimal byte e · byte order and form · byte k · varint number of exceptions, each varint place
 *           and 8 bytes · the first `order` integers (zigzag varints) · zigzag varint base · bits
 * of n - order residuals: the integers, their differences or the differences of these, minus base,
 * zigzag in Rice bits, or as they are in k bits A Rice code of u with k: u >> k ones, a zero, the k
 * low bits; RICE_LONG ones are followed by 64 plain bits instead. Bits are written from the highest
 * of a byte on.
 */
enum { VALUES_CONST, VALUES_DECIMAL, VALUES_XOR };
enum { FORM_PLAIN = 4, ORDER_MASK = 3 };
#define RICE_LONG 20
#define RICE_MAX  56

/* ------------------------------------------------------------------ bits */

struct bits_out {
	uint8_t *p;
	uint64_t acc;  /* bits not written yet, at its low end */
	unsigned have; /* how many, below 8 between two calls */
};

static void bits_put(struct bits_out *o, uint64_t v, unsigned n)
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

static uint8_t *bits_end(struct bits_out *o)
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

static uint64_t bits_get64(struct bits_in *in)
{
	uint64_t high = bits_get(in, 32);
	return high << 32 | bits_get(in, 32);
}

/* The byte after the last one that was begun; what was read ahead and not used goes back. */
static const uint8_t *bits_rest(const struct bits_in *in)
{
	return in->p - in->have / 8;
}

static void rice_put(struct bits_out *o, uint64_t u, unsigned k)
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

static uint64_t rice_bits(const uint64_t *u, uint32_t n, unsigned k)
{
	uint64_t bits = (uint64_t)n * (k + 1);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t q = u[i] >> k;
		bits += q < RICE_LONG ? q : RICE_LONG + 64 - (k + 1);
	}
	return bits;
}

/* The parameter with the fewest bits; these go to *ret_bits. The mean tells nearly which. */
static unsigned rice_best(const uint64_t *u, uint32_t n, uint64_t *ret_bits)
{
	double sum = 0;
	for (uint32_t i = 0; i < n; i++)
		sum += (double)u[i];
	unsigned guess = 0, best = 0;
	for (double mean = n ? sum / n * 0.7 : 0; mean >= 1 && guess < RICE_MAX; mean /= 2)
		guess++;
	*ret_bits = UINT64_MAX;
	/* One outlier lifts the mean by much: look further down than up. */
	for (unsigned k = guess > 3 ? guess - 3 : 0; k <= HG_MIN(guess + 1, RICE_MAX); k++) {
		uint64_t bits = rice_bits(u, n, k);
		if (bits >= *ret_bits) continue;
		*ret_bits = bits;
		best = k;
	}
	return best;
}

/* ------------------------------------------------------------------ times */

static uint8_t *times_put(const int64_t *t, uint32_t n, int64_t base, uint8_t *to)
{
	uint64_t u[CODEC_CHUNK_MAX], all = 0, bits;
	to = varint_put(to, zigzag(t[0] - base));
	if (n == 1) return to;
	to = varint_put(to, (uint64_t)(t[1] - t[0]));
	for (uint32_t i = 2; i < n; i++)
		all |= u[i - 2] = zigzag((t[i] - t[i - 1]) - (t[i - 1] - t[i - 2]));
	if (!all) {
		*to++ = 0;
		return to;
	}
	unsigned k = rice_best(u, n - 2, &bits);
	*to++ = (uint8_t)(1 + k);
	struct bits_out o = {.p = to};
	for (uint32_t i = 2; i < n; i++)
		rice_put(&o, u[i - 2], k);
	return bits_end(&o);
}

static bool times_get(struct span *in, uint32_t n, int64_t base, int64_t *t)
{
	t[0] = (int64_t)((uint64_t)base + (uint64_t)unzigzag(span_varint(in)));
	if (n == 1) return !in->bad;
	uint64_t dt = span_varint(in), at = (uint64_t)t[0];
	unsigned form = span_byte(in);
	if (in->bad || form > 1 + RICE_MAX) return false;
	struct bits_in b = {.p = in->p, .end = in->end};
	for (uint32_t i = 1; i < n; i++) {
		if (form && i > 1) dt += (uint64_t)unzigzag(rice_get(&b, form - 1));
		at += dt;
		t[i] = (int64_t)at;
		if (t[i] <= t[i - 1]) return false;
	}
	if (form) in->p = bits_rest(&b);
	return !b.bad;
}

/* ------------------------------------------------------------------ decimals */

struct plan {
	uint64_t bits;
	int64_t base;
	uint8_t order, plain, k;
};

/* Integers, their differences, or the differences of these: x has n - order of them then. */
static void differences(const int64_t *m, uint32_t n, unsigned order, int64_t *x)
{
	for (uint32_t i = order; i < n; i++) {
		uint64_t d = (uint64_t)m[i];
		if (order == 1) d -= (uint64_t)m[i - 1];
		if (order == 2) d += (uint64_t)m[i - 2] - 2 * (uint64_t)m[i - 1];
		x[i - order] = (int64_t)d;
	}
}

static void plan_try(const int64_t *x, uint32_t n, uint8_t order, struct plan *best)
{
	uint64_t u[CODEC_CHUNK_MAX], bits;
	int64_t least = x[0], most = x[0];
	double sum = 0;
	for (uint32_t i = 0; i < n; i++) {
		least = HG_MIN(least, x[i]);
		most = HG_MAX(most, x[i]);
		sum += (double)x[i];
	}
	uint64_t width = (uint64_t)most - (uint64_t)least;
	unsigned k = width ? 64 - (unsigned)__builtin_clzll(width) : 0;
	if (k <= RICE_MAX && (uint64_t)n * k < best->bits)
		*best = (struct plan){(uint64_t)n * k, least, order, FORM_PLAIN, (uint8_t)k};
	double mean = sum / n;
	/* Differences of second order have no direction; those of 54 bits none that matters. */
	int64_t base = order == 2 ? 0 : (int64_t)(mean < 0 ? mean - 0.5 : mean + 0.5);
	for (uint32_t i = 0; i < n; i++)
		u[i] = zigzag((int64_t)((uint64_t)x[i] - (uint64_t)base));
	k = rice_best(u, n, &bits);
	if (bits < best->bits) *best = (struct plan){bits, base, order, 0, (uint8_t)k};
}

static uint8_t *decimal_put(const int64_t *m, uint32_t n, const struct plan *p, uint8_t *to)
{
	int64_t x[CODEC_CHUNK_MAX];
	for (uint32_t i = 0; i < HG_MIN(n, p->order); i++)
		to = varint_put(to, zigzag(m[i]));
	to = varint_put(to, zigzag(p->base));
	struct bits_out o = {.p = to};
	differences(m, n, p->order, x);
	for (uint32_t i = 0; i + p->order < n; i++) {
		uint64_t r = (uint64_t)x[i] - (uint64_t)p->base;
		if (p->plain)
			bits_put(&o, r, p->k);
		else
			rice_put(&o, zigzag((int64_t)r), p->k);
	}
	return bits_end(&o);
}

/* The integers of all values; false when more than one in eight is no decimal. Exceptions (markers,
 * NaN, infinities, odd values) repeat the integer before them. */
static bool integers_of(
        const double *v, uint32_t n, int64_t *m, uint8_t *ret_e, uint8_t *odd, uint32_t *ret_odd)
{
	uint8_t e = 0;
	uint32_t misses = 0;
	for (uint32_t i = 0; i < n; i++) {
		int64_t integer;
		uint8_t need = decimal_exponent(v[i], e, &integer);
		if (need != CODEC_NO_EXP)
			e = need;
		else if (++misses > n / 8 + 1)
			return false;
	}
	*ret_e = e;
	*ret_odd = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (decimal_is(v[i], e, &m[i])) continue;
		m[i] = i ? m[i - 1] : 0;
		if (*ret_odd > n / 8) return false;
		odd[(*ret_odd)++] = (uint8_t)i;
	}
	/* An exception in front would make a jump of the first difference. */
	uint32_t lead = 0;
	while (lead < *ret_odd && odd[lead] == lead)
		lead++;
	for (uint32_t i = 0; lead < n && i < lead; i++)
		m[i] = m[lead];
	return true;
}

/* NULL when the values are no decimals. */
static uint8_t *decimals_put(const double *v, uint32_t n, uint8_t *to)
{
	int64_t m[CODEC_CHUNK_MAX], x[CODEC_CHUNK_MAX];
	uint8_t odd[CODEC_CHUNK_MAX], e;
	uint32_t odd_count;
	struct plan best = {.bits = UINT64_MAX};
	if (!integers_of(v, n, m, &e, odd, &odd_count)) return NULL;
	for (uint8_t order = 0; order <= 2 && order < n; order++) {
		differences(m, n, order, x);
		plan_try(x, n - order, order, &best);
	}
	*to++ = VALUES_DECIMAL;
	*to++ = e;
	*to++ = (uint8_t)(best.order | best.plain);
	*to++ = best.k;
	to = varint_put(to, odd_count);
	for (uint32_t i = 0; i < odd_count; i++) {
		to = varint_put(to, odd[i]);
		memcpy(to, &v[odd[i]], 8);
		to += 8;
	}
	return decimal_put(m, n, &best, to);
}

/* An order is a constant of each loop, so that the compiler makes three of it. */
static inline void integrate(struct bits_in *b, double *v, uint32_t n, int64_t m0, int64_t m1,
        uint64_t base, unsigned order, bool plain, unsigned k, double power)
{
	uint64_t last = (uint64_t)m1, delta = (uint64_t)m1 - (uint64_t)m0;
	for (uint32_t i = order; i < n; i++) {
		uint64_t r = plain ? bits_get(b, k) : (uint64_t)unzigzag(rice_get(b, k));
		r += base;
		if (order == 0) {
			last = r;
		} else if (order == 1) {
			last += r;
		} else {
			delta += r;
			last += delta;
		}
		v[i] = (double)(int64_t)last / power;
	}
}

static bool decimals_get(struct span *in, uint32_t n, double *v)
{
	uint8_t e = span_byte(in), form = span_byte(in), k = span_byte(in);
	unsigned order = form & ORDER_MASK;
	bool plain = form & FORM_PLAIN;
	uint64_t odd_count = span_varint(in);
	const uint8_t *odd = in->p;
	int64_t m[2] = {0};
	if (in->bad || e > DECIMAL_EXP_MAX || order > 2 || order > n || k > RICE_MAX || form > 7 ||
	        odd_count > n)
		return false;
	for (uint64_t i = 0; i < odd_count; i++) {
		span_varint(in);
		span_le(in, 8);
	}
	double power = decimal_power[e];
	for (unsigned i = 0; i < order; i++) {
		m[i] = unzigzag(span_varint(in));
		v[i] = (double)m[i] / power;
	}
	uint64_t base = (uint64_t)unzigzag(span_varint(in));
	if (in->bad) return false;
	struct bits_in b = {.p = in->p, .end = in->end};
	if (order == 1)
		integrate(&b, v, n, 0, m[0], base, 1, plain, k, power);
	else if (order == 2)
		integrate(&b, v, n, m[0], m[1], base, 2, plain, k, power);
	else
		integrate(&b, v, n, 0, 0, base, 0, plain, k, power);
	struct span again = {.p = odd, .end = in->end};
	for (uint64_t i = 0; i < odd_count; i++) {
		uint64_t at = span_varint(&again), raw = span_le(&again, 8);
		if (at >= n) return false;
		memcpy(&v[at], &raw, 8);
	}
	return !b.bad;
}

/* ------------------------------------------------------------------ anything else */

static uint8_t *xor_put(const double *v, uint32_t n, uint8_t *to)
{
	uint64_t before, bits;
	unsigned lead = 0, len = 0;
	*to++ = VALUES_XOR;
	memcpy(&before, &v[0], 8);
	memcpy(to, &before, 8);
	struct bits_out o = {.p = to + 8};
	for (uint32_t i = 1; i < n; i++, before = bits) {
		memcpy(&bits, &v[i], 8);
		uint64_t x = bits ^ before;
		if (!x) {
			bits_put(&o, 0, 1);
			continue;
		}
		unsigned l = HG_MIN((unsigned)__builtin_clzll(x), 31u);
		unsigned tr = (unsigned)__builtin_ctzll(x);
		/* The old frame fits and costs no more than a new one would. */
		if (len && l >= lead && tr >= 64 - lead - len && len <= 64 - l - tr + 11) {
			bits_put(&o, 2, 2);
		} else {
			lead = l;
			len = 64 - l - tr;
			bits_put(&o, 3, 2);
			bits_put(&o, lead, 5);
			bits_put(&o, len - 1, 6);
		}
		bits_put(&o, x >> (64 - lead - len), len);
	}
	return bits_end(&o);
}

static bool xor_get(struct span *in, uint32_t n, double *v)
{
	uint64_t bits = span_le(in, 8);
	unsigned lead = 0, len = 0;
	memcpy(&v[0], &bits, 8);
	struct bits_in b = {.p = in->p, .end = in->end};
	for (uint32_t i = 1; i < n; i++) {
		if (bits_get(&b, 1)) {
			if (bits_get(&b, 1)) {
				lead = (unsigned)bits_get(&b, 5);
				len = (unsigned)bits_get(&b, 6) + 1;
			}
			if (!len || lead + len > 64) return false;
			uint64_t x = len > 32 ? bits_get(&b, len - 32) << 32 | bits_get(&b, 32)
			                      : bits_get(&b, len);
			bits ^= x << (64 - lead - len);
		}
		memcpy(&v[i], &bits, 8);
	}
	return !in->bad && !b.bad;
}

/* ------------------------------------------------------------------ the whole */

static bool all_same(const double *v, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		if (memcmp(&v[i], &v[0], sizeof v[0]) != 0) return false;
	return true;
}

size_t chunk_encode(const int64_t *t, const double *v, uint32_t n, int64_t base, uint8_t *to)
{
	HG_ASSERT(n && n <= CODEC_CHUNK_MAX);
	uint8_t *p = times_put(t, n, base, varint_put(to, n));
	if (all_same(v, n)) {
		*p++ = VALUES_CONST;
		memcpy(p, &v[0], 8);
		return (size_t)(p + 8 - to);
	}
	uint8_t *decimal = decimals_put(v, n, p);
	if (decimal && (size_t)(decimal - p) < n * 6u) return (size_t)(decimal - to);
	/* Wide integers: whichever is smaller. */
	uint8_t other[CODEC_CHUNK_BYTES];
	uint8_t *end = xor_put(v, n, other);
	size_t size = (size_t)(end - other);
	if (decimal && (size_t)(decimal - p) <= size) return (size_t)(decimal - to);
	memcpy(p, other, size);
	return (size_t)(p + size - to);
}

uint32_t chunk_decode(struct hg_str bytes, int64_t base, int64_t *t, double *v)
{
	const uint8_t *p = (const uint8_t *)bytes.p;
	struct span in = {.p = p, .end = p + bytes.n};
	uint64_t n = span_varint(&in);
	if (in.bad || !n || n > CODEC_CHUNK_MAX || !times_get(&in, (uint32_t)n, base, t)) return 0;
	uint8_t form = span_byte(&in);
	bool good = false;
	if (form == VALUES_CONST) {
		uint64_t bits = span_le(&in, 8);
		for (uint64_t i = 0; i < n; i++)
			memcpy(&v[i], &bits, 8);
		good = !in.bad;
	} else if (form == VALUES_DECIMAL) {
		good = decimals_get(&in, (uint32_t)n, v);
	} else if (form == VALUES_XOR) {
		good = xor_get(&in, (uint32_t)n, v);
	}
	return good ? (uint32_t)n : 0;
}
