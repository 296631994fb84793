#include "wire/shortest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIVES 28 /* powers of five that fit in 64 bits */

/* __extension__: the standard has no such type, both compilers do. */
__extension__ typedef unsigned __int128 u128;

static size_t length_of(uint64_t v)
{
	static const uint64_t ten[20] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000,
	        100000000, 1000000000, 10000000000, 100000000000, 1000000000000, 10000000000000,
	        100000000000000, 1000000000000000, 10000000000000000, 100000000000000000,
	        1000000000000000000, 10000000000000000000u};
	/* Binary digits × log10(2), which is right or one too few. */
	unsigned n = ((64 - (unsigned)__builtin_clzll(v | 1)) * 1233) >> 12;
	return n + (n == 0 || v >= ten[n]);
}

size_t shortest_u64(uint64_t v, char *to)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930"
	                            "31323334353637383940414243444546474849505152535455565758596061"
	                            "62636465666768697071727374757677787980818283848586878889909192"
	                            "93949596979899";
	size_t n = length_of(v), at = n;
	while (v >= 100) {
		at -= 2;
		memcpy(to + at, pairs + v % 100 * 2, 2);
		v /= 100;
	}
	if (v >= 10)
		memcpy(to, pairs + v * 2, 2);
	else
		to[0] = (char)('0' + v);
	return n;
}

/* `v` × 10^scale as digits without zeros at the end. */
static size_t digits_of(uint64_t v, int scale, char *to, int *ret_exponent)
{
	size_t n = shortest_u64(v, to);
	*ret_exponent = (int)n - 1 + scale;
	while (n > 1 && to[n - 1] == '0')
		n--;
	return n;
}

/* For what is very large or very small. */
static size_t by_printf(double v, char *to, int *ret_exponent)
{
	char text[48];
	size_t n = 0;
	for (int precision = 0; precision < SHORTEST_DIGITS; precision++) {
		snprintf(text, sizeof text, "%.*e", precision, v);
		if (precision == SHORTEST_DIGITS - 1 || strtod(text, NULL) == v) break;
	}
	const char *p = text;
	for (; *p && *p != 'e' && n < SHORTEST_DIGITS; p++)
		if (*p != '.') to[n++] = *p;
	*ret_exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
	while (n > 1 && to[n - 1] == '0')
		n--;
	return n;
}

/*
 * v = m × 2^e is scaled by 10^k so that it has 17 or 18 digits before the point. 4 × m × 5^k fits
 * in 128 bits, so that v and the middles between it and its neighbours are known exactly as
 * numbers over 2^shift: every decimal between the middles reads back as v. The largest power of
 * ten that has a multiple in there gives the fewest digits, and the multiple nearest to v is
 * taken. False: it does not fit.
 */
static bool by_integers(uint64_t m, int e, bool narrow, char *to, size_t *ret_n, int *ret_exponent)
{
	static const uint64_t five[FIVES] = {1, 5, 25, 125, 625, 3125, 15625, 78125, 390625,
	        1953125, 9765625, 48828125, 244140625, 1220703125, 6103515625, 30517578125,
	        152587890625, 762939453125, 3814697265625, 19073486328125, 95367431640625,
	        476837158203125, 2384185791015625, 11920928955078125, 59604644775390625,
	        298023223876953125, 1490116119384765625, 7450580596923828125};
	/* floor of the decimal logarithm of 2^(e + 52); right for every exponent of a double */
	int tens = ((e + 52) * 315653) >> 20;
	int k = 16 - tens, shift = 2 - e - k;
	if (k < 0 || k >= FIVES || shift < 2 || shift > 120) return false;
	u128 w = (u128)(m * 4) * five[k], half = (u128)five[k] * 2;
	u128 below = w - (narrow ? half / 2 : half), above = w + half;
	u128 part = ((u128)1 << shift) - 1;
	bool even = m % 2 == 0; /* a middle itself reads back as the even neighbour */
	uint64_t lo = (uint64_t)(below >> shift) + (even && !(below & part) ? 0 : 1);
	uint64_t hi = (uint64_t)(above >> shift) - (!even && !(above & part) ? 1 : 0);
	uint64_t p = 1;
	int zeros = 0;
	for (uint64_t q = hi / 10; q * (p * 10) >= lo; q /= 10) {
		p *= 10;
		zeros++;
	}
	uint64_t v = (uint64_t)(w >> shift), d = v / p;
	uint64_t twice = (v % p) * 2;
	u128 rest = w & part, middle = (u128)1 << (shift - 1);
	bool up = p == 1 ? rest > middle || (rest == middle && d % 2)
	                 : twice > p || (twice == p && (rest || d % 2));
	if (up) d++;
	if (d * p < lo)
		d++;
	else if (d * p > hi)
		d--;
	*ret_n = digits_of(d, zeros - k, to, ret_exponent);
	return true;
}

size_t shortest_digits(double v, char to[static SHORTEST_ROOM], int *ret_exponent)
{
	uint64_t bits;
	size_t n = 0;
	HG_ASSERT(v > 0 && isfinite(v));
	/* Whole numbers are as they are: their neighbours are at most one away. */
	if (v < 9007199254740992.0 && v == (double)(uint64_t)v)
		return digits_of((uint64_t)v, 0, to, ret_exponent);
	memcpy(&bits, &v, sizeof bits);
	int exponent = (int)(bits >> 52);
	uint64_t m = bits & ((UINT64_C(1) << 52) - 1);
	if (exponent && by_integers(m | UINT64_C(1) << 52, exponent - 1075, m == 0 && exponent > 1,
	                        to, &n, ret_exponent))
		return n;
	return by_printf(v, to, ret_exponent);
}

static size_t put(char *to, const char *text)
{
	size_t n = strlen(text);
	memcpy(to, text, n);
	return n;
}

static size_t with_exponent(const char *digit, size_t n, int exponent, char *to)
{
	size_t at = 0;
	to[at++] = digit[0];
	if (n > 1) {
		to[at++] = '.';
		memcpy(to + at, digit + 1, n - 1);
		at += n - 1;
	}
	to[at++] = 'e';
	to[at++] = exponent < 0 ? '-' : '+';
	if (abs(exponent) < 10) to[at++] = '0';
	return at + shortest_u64((uint64_t)abs(exponent), to + at);
}

/* All digits there may be: copies of one length need no loop. There is room behind both. */
static void put_digits(char *to, const char *digit)
{
	memcpy(to, digit, SHORTEST_DIGITS);
}

size_t shortest_prometheus(double v, char to[static SHORTEST_TEXT])
{
	char digit[2 * SHORTEST_ROOM] = "";
	int exponent = 0;
	size_t at = 0, n;
	if (isnan(v)) return put(to, "NaN");
	if (isinf(v)) return put(to, v < 0 ? "-Inf" : "+Inf");
	if (signbit(v)) to[at++] = '-';
	v = fabs(v);
	if (v == 0) {
		to[at++] = '0';
		return at;
	}
	n = shortest_digits(v, digit, &exponent);
	if (v < 1e-6 || v >= 1e21) return at + with_exponent(digit, n, exponent, to + at);
	if (exponent < 0) {
		memcpy(to + at, "0.00000", 7);
		at += 1 - (size_t)exponent;
		put_digits(to + at, digit);
		return at + n;
	}
	size_t whole = (size_t)exponent + 1;
	put_digits(to + at, digit);
	if (n < whole) {
		memset(to + at + n, '0', whole - n);
		return at + whole;
	}
	if (n == whole) return at + n;
	to[at + whole] = '.';
	put_digits(to + at + whole + 1, digit + whole);
	return at + n + 1;
}
