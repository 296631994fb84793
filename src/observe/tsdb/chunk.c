#include "observe/tsdb/bits_priv.h"
#include "observe/tsdb/codec_priv.h"
#include "observe/tsdb/decimal_priv.h"

/*
 * A chunk:
 *   varint n · zigzag varint first time - base · (n > 1) varint second - first · times · values
 *   times   byte 0: evenly spaced · 1 + k: Rice bits with parameter k of zigzag (difference of
 *           differences), n - 2 of them, padded to a byte
 *   values  byte VALUES_CONST: the 8 bytes of all of them
 *           byte VALUES_DECIMAL: below · byte VALUES_XOR: 8 bytes of the first, then Gorilla's bits
 *           byte VALUES_SPLIT: byte k · byte zeros · u16 greatest top · for each its Rice code of
 *           greatest top - top, and 52 - zeros bits. A top is sign and exponent, the 12 bits in
 *           front of a double; all values end in `zeros` zero bits at least
 *   decimal byte e · byte order and form · byte k · varint number of exceptions, each varint place
 *           and 8 bytes · the first `order` integers (zigzag varints) · zigzag varint base · bits
 * of n - order residuals: the integers, their differences or the differences of these, minus base,
 * zigzag in Rice bits, or as they are in k bits A Rice code of u with k: u >> k ones, a zero, the k
 * low bits; RICE_LONG ones are followed by 64 plain bits instead. Bits are written from the highest
 * of a byte on.
 */
enum { VALUES_CONST, VALUES_DECIMAL, VALUES_XOR, VALUES_SPLIT };
enum { FORM_PLAIN = 4, ORDER_MASK = 3 };

/* ------------------------------------------------------------------ Rice codes */

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

/* Places of a chunk that are asked for: lo … hi - 1, and none when lo == hi. */
struct part {
	uint32_t lo, hi;
};

/* Evenly spaced times are not made to be looked at: only those that are asked for are. */
static bool times_even(int64_t first, uint64_t dt, uint32_t n, int64_t from, int64_t to, int64_t *t,
        struct part *p)
{
	int64_t last, span;
	if (!dt || dt > INT64_MAX || __builtin_mul_overflow((int64_t)dt, (int64_t)(n - 1), &span) ||
	        __builtin_add_overflow(first, span, &last))
		return false;
	uint64_t before = from > first ? (uint64_t)from - (uint64_t)first : 0;
	p->lo = before > (uint64_t)span ? n : (uint32_t)((before + dt - 1) / dt);
	p->hi = to < first   ? 0
	        : to >= last ? n
	                     : (uint32_t)(((uint64_t)to - (uint64_t)first) / dt) + 1;
	for (uint32_t i = p->lo; i < p->hi; i++)
		t[i - p->lo] = first + (int64_t)(dt * i);
	return true;
}

static bool times_uneven(
        struct span *in, int64_t first, uint64_t dt, uint32_t n, unsigned k, int64_t *t)
{
	uint64_t u[CODEC_CHUNK_MAX], at = (uint64_t)first + dt;
	struct bits_in b = {.p = in->p, .end = in->end};
	rice_get_all(&b, k, u, n - 2);
	in->p = bits_rest(&b);
	t[0] = first;
	t[1] = (int64_t)at;
	bool rising = t[1] > t[0];
	for (uint32_t i = 2; i < n; i++) {
		dt += (uint64_t)unzigzag(u[i - 2]);
		at += dt;
		t[i] = (int64_t)at;
		rising = rising && t[i] > t[i - 1];
	}
	return rising && !b.bad;
}

/* Times that are in [from, to], to the front of t, which has room for all. */
static bool times_get(struct span *in, uint32_t n, int64_t base, int64_t from, int64_t to,
        int64_t *t, struct part *p)
{
	int64_t first = (int64_t)((uint64_t)base + (uint64_t)unzigzag(span_varint(in)));
	uint64_t dt = n > 1 ? span_varint(in) : 1;
	unsigned form = n > 1 ? span_byte(in) : 0;
	if (in->bad || form > 1 + RICE_MAX) return false;
	if (!form) return times_even(first, dt, n, from, to, t, p);
	if (n < 2 || !times_uneven(in, first, dt, n, form - 1, t)) return false;
	*p = (struct part){0, n};
	while (p->hi && t[p->hi - 1] > to)
		p->hi--;
	while (p->lo < p->hi && t[p->lo] < from)
		p->lo++;
	if (p->lo) memmove(t, t + p->lo, (p->hi - p->lo) * sizeof *t);
	return true;
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

/* The largest number that divides all differences; 1 also when there is none. */
static uint64_t unit_of(const int64_t *m, uint32_t n)
{
	uint64_t unit = 0;
	for (uint32_t i = 1; i < n && unit != 1; i++) {
		int64_t d = m[i] - m[i - 1]; /* 54 bits each */
		uint64_t a = (uint64_t)(d < 0 ? -d : d);
		while (a) {
			uint64_t rest = unit % a;
			unit = a;
			a = rest;
		}
	}
	return unit ? unit : 1;
}

/* NULL when the values are no decimals. */
static uint8_t *decimals_put(const double *v, uint32_t n, uint8_t *to)
{
	int64_t m[CODEC_CHUNK_MAX], x[CODEC_CHUNK_MAX];
	uint8_t odd[CODEC_CHUNK_MAX], e;
	uint32_t odd_count;
	struct plan best = {.bits = UINT64_MAX};
	if (!integers_of(v, n, m, &e, odd, &odd_count)) return NULL;
	int64_t first = m[0], unit = (int64_t)unit_of(m, n);
	for (uint32_t i = 0; unit > 1 && i < n; i++)
		m[i] = (m[i] - first) / unit;
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
	to = varint_put(to, (uint64_t)unit);
	if (unit > 1) to = varint_put(to, zigzag(first));
	return decimal_put(m, n, &best, to);
}

/* What integers mean: (first + unit * m) / power. */
struct meaning {
	uint64_t first, unit;
	double power;
};

static inline double meaning_value(struct meaning of, uint64_t m)
{
	return (double)(int64_t)(of.first + of.unit * m) / of.power;
}

struct decimal_head {
	unsigned order, k;
	bool plain;
	uint64_t base, odd_count;
	const uint8_t *odd;
	int64_t m[2];
	struct meaning of;
};

/*
 * The integers behind the residuals r of places order … part.hi - 1, and what those mean that are
 * asked for. An order is a constant of each call, so that the compiler makes three of it.
 */
static inline void integrate(const uint64_t *r, const struct decimal_head *h, unsigned order,
        struct part part, double *v)
{
	uint64_t last = order ? (uint64_t)h->m[order - 1] : 0;
	uint64_t delta = (uint64_t)h->m[1] - (uint64_t)h->m[0];
	for (uint32_t i = order; i < part.hi; i++) {
		uint64_t x = (h->plain ? r[i - order] : (uint64_t)unzigzag(r[i - order])) + h->base;
		if (order == 0) {
			last = x;
		} else if (order == 1) {
			last += x;
		} else {
			delta += x;
			last += delta;
		}
		if (i >= part.lo) v[i - part.lo] = meaning_value(h->of, last);
	}
}

static bool decimal_head_get(struct span *in, uint32_t n, struct decimal_head *h)
{
	uint8_t e = span_byte(in), form = span_byte(in), k = span_byte(in);
	uint64_t odd_count = span_varint(in);
	*h = (struct decimal_head){.order = form & ORDER_MASK,
	        .plain = form & FORM_PLAIN,
	        .k = k,
	        .odd_count = odd_count,
	        .odd = in->p};
	if (in->bad || e > DECIMAL_EXP_MAX || h->order > 2 || h->order > n || h->k > RICE_MAX ||
	        form > 7 || h->odd_count > n)
		return false;
	for (uint64_t i = 0; i < h->odd_count; i++) {
		span_varint(in);
		span_le(in, 8);
	}
	h->of = (struct meaning){.unit = span_varint(in), .power = decimal_power[e]};
	if (h->of.unit != 1) h->of.first = (uint64_t)unzigzag(span_varint(in));
	for (unsigned i = 0; i < h->order; i++)
		h->m[i] = unzigzag(span_varint(in));
	h->base = (uint64_t)unzigzag(span_varint(in));
	return !in->bad;
}

static bool decimals_get(struct span *in, uint32_t n, struct part part, double *v)
{
	struct decimal_head h;
	uint64_t r[CODEC_CHUNK_MAX];
	if (!decimal_head_get(in, n, &h)) return false;
	for (unsigned i = part.lo; i < HG_MIN(h.order, part.hi); i++)
		v[i - part.lo] = meaning_value(h.of, (uint64_t)h.m[i]);
	struct bits_in b = {.p = in->p, .end = in->end};
	uint32_t count = part.hi > h.order ? part.hi - h.order : 0;
	if (!h.plain)
		rice_get_all(&b, h.k, r, count);
	else
		for (uint32_t i = 0; i < count; i++)
			r[i] = bits_get(&b, h.k);
	if (h.order == 1)
		integrate(r, &h, 1, part, v);
	else if (h.order == 2)
		integrate(r, &h, 2, part, v);
	else
		integrate(r, &h, 0, part, v);
	struct span again = {.p = h.odd, .end = in->end};
	for (uint64_t i = 0; i < h.odd_count; i++) {
		uint64_t at = span_varint(&again), raw = span_le(&again, 8);
		if (at >= n) return false;
		if (at >= part.lo && at < part.hi) memcpy(&v[at - part.lo], &raw, 8);
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

static bool xor_get(struct span *in, struct part part, double *v)
{
	uint64_t bits = span_le(in, 8);
	unsigned lead = 0, len = 0;
	struct bits_in b = {.p = in->p, .end = in->end};
	for (uint32_t i = 0; i < part.hi; i++) {
		if (i && bits_get(&b, 1)) {
			if (bits_get(&b, 1)) {
				lead = (unsigned)bits_get(&b, 5);
				len = (unsigned)bits_get(&b, 6) + 1;
			}
			if (!len || lead + len > 64) return false;
			uint64_t x = len > 32 ? bits_get(&b, len - 32) << 32 | bits_get(&b, 32)
			                      : bits_get(&b, len);
			bits ^= x << (64 - lead - len);
		}
		if (i >= part.lo) memcpy(&v[i - part.lo], &bits, 8);
	}
	return !in->bad && !b.bad;
}

#define FRACTION_BITS 52
#define FRACTION_MASK ((UINT64_C(1) << FRACTION_BITS) - 1)
#define TOP_MOST      0xfffu

/*
 * Noise: the bits of a fraction say nothing about the next one's, so each stands for itself, and
 * only sizes are told apart. XOR would pay for a frame that one small value made wide.
 */
static uint8_t *split_put(const double *v, uint32_t n, uint8_t *to)
{
	uint64_t raw[CODEC_CHUNK_MAX], top[CODEC_CHUNK_MAX], bits, all = 0;
	uint16_t most = 0;
	for (uint32_t i = 0; i < n; i++) {
		memcpy(&raw[i], &v[i], 8);
		top[i] = raw[i] >> FRACTION_BITS;
		most = HG_MAX(most, (uint16_t)top[i]);
		all |= raw[i] & FRACTION_MASK;
	}
	for (uint32_t i = 0; i < n; i++)
		top[i] = most - top[i];
	unsigned k = rice_best(top, n, &bits);
	unsigned zeros = all ? (unsigned)__builtin_ctzll(all) : FRACTION_BITS;
	*to++ = VALUES_SPLIT;
	*to++ = (uint8_t)k;
	*to++ = (uint8_t)zeros;
	memcpy(to, &most, sizeof most);
	struct bits_out o = {.p = to + sizeof most};
	for (uint32_t i = 0; i < n; i++) {
		rice_put(&o, top[i], k);
		bits_put(&o, (raw[i] & FRACTION_MASK) >> zeros, FRACTION_BITS - zeros);
	}
	return bits_end(&o);
}

static bool split_get(struct span *in, struct part part, double *v)
{
	unsigned k = span_byte(in), zeros = span_byte(in);
	uint64_t most = span_le(in, 2);
	if (in->bad || k > RICE_MAX || zeros > FRACTION_BITS || most > TOP_MOST) return false;
	struct bits_in b = {.p = in->p, .end = in->end};
	for (uint32_t i = 0; i < part.hi; i++) {
		uint64_t less = rice_get(&b, k);
		uint64_t bits = bits_get(&b, FRACTION_BITS - zeros) << zeros;
		if (less > most) return false;
		bits |= (most - less) << FRACTION_BITS;
		if (i >= part.lo) memcpy(&v[i - part.lo], &bits, 8);
	}
	return !b.bad;
}

/* ------------------------------------------------------------------ the whole */

static bool all_same(const double *v, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		if (!value_same(v[i], v[0])) return false;
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
	/* Wide integers, noise, rare changes among noise: whichever is smallest. */
	uint8_t xors[CODEC_CHUNK_BYTES], split[CODEC_CHUNK_BYTES];
	size_t xor_size = (size_t)(xor_put(v, n, xors) - xors);
	size_t split_size = (size_t)(split_put(v, n, split) - split);
	size_t size = HG_MIN(xor_size, split_size);
	if (decimal && (size_t)(decimal - p) <= size) return (size_t)(decimal - to);
	memcpy(p, xor_size <= split_size ? xors : split, size);
	return (size_t)(p + size - to);
}

static bool const_get(struct span *in, struct part part, double *v)
{
	uint64_t bits = span_le(in, 8);
	for (uint32_t i = part.lo; i < part.hi; i++)
		memcpy(&v[i - part.lo], &bits, 8);
	return !in->bad;
}

bool chunk_decode_part(struct hg_str bytes, int64_t base, int64_t from, int64_t to, int64_t *t,
        double *v, uint32_t *ret_n)
{
	const uint8_t *p = (const uint8_t *)bytes.p;
	struct span in = {.p = p, .end = p + bytes.n};
	struct part part;
	uint64_t n = span_varint(&in);
	*ret_n = 0;
	if (in.bad || !n || n > CODEC_CHUNK_MAX ||
	        !times_get(&in, (uint32_t)n, base, from, to, t, &part))
		return false;
	if (part.lo >= part.hi) return true;
	uint8_t form = span_byte(&in);
	bool good = form == VALUES_CONST     ? const_get(&in, part, v)
	            : form == VALUES_DECIMAL ? decimals_get(&in, (uint32_t)n, part, v)
	            : form == VALUES_XOR     ? xor_get(&in, part, v)
	            : form == VALUES_SPLIT   ? split_get(&in, part, v)
	                                     : false;
	if (good) *ret_n = part.hi - part.lo;
	return good;
}

uint32_t chunk_decode(struct hg_str bytes, int64_t base, int64_t *t, double *v)
{
	uint32_t n;
	return chunk_decode_part(bytes, base, INT64_MIN, INT64_MAX, t, v, &n) ? n : 0;
}
