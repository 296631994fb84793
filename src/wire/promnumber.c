/* Numbers of the exposition formats: fast where they are short, exact always. */
#include "wire/promread.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define DIGITS_MAX 19u  /* of a decimal number that fits 64 bits */
#define TOKEN_MAX  400u /* longer numbers are no numbers */

struct decimal {
	uint64_t digits;
	int exponent;       /* of ten */
	bool negative, cut; /* more than DIGITS_MAX of them */
};

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Takes digits in; returns how many there were. */
static size_t digits(struct hg_str s, size_t *at, struct decimal *d, bool fraction, unsigned *have)
{
	size_t from = *at;
	for (; *at < s.n && digit(s.p[*at]); ++*at) {
		if (*have == 0 && s.p[*at] == '0') {
			d->exponent -= fraction;
		} else if (*have < DIGITS_MAX) {
			d->digits = d->digits * 10 + (uint64_t)(s.p[*at] - '0');
			d->exponent -= fraction;
			++*have;
		} else {
			d->cut = true;
			d->exponent += !fraction;
		}
	}
	return *at - from;
}

static bool decimal_read(struct hg_str s, struct decimal *d)
{
	size_t at = 0, n;
	unsigned have = 0;
	*d = (struct decimal){0};
	if (s.n && (s.p[0] == '-' || s.p[0] == '+')) d->negative = s.p[at++] == '-';
	n = digits(s, &at, d, false, &have);
	if (at < s.n && s.p[at] == '.') {
		at++;
		n += digits(s, &at, d, true, &have);
	}
	if (n == 0) return false;
	if (at < s.n && (s.p[at] | 0x20) == 'e') {
		bool negative = false;
		size_t from;
		int e = 0;
		at++;
		if (at < s.n && (s.p[at] == '-' || s.p[at] == '+')) negative = s.p[at++] == '-';
		for (from = at; at < s.n && digit(s.p[at]); at++)
			e = HG_MIN(e * 10 + (s.p[at] - '0'), 100000);
		if (at == from) return false;
		d->exponent += negative ? -e : e;
	}
	return at == s.n;
}

/*
 * Both operands are exact, so one rounding is all there is (Clinger). With the 64 bits of x87 there
 * is a second one; it can only be wrong when the first result lies halfway between two doubles.
 */
static bool fast(const struct decimal *d, double *ret_v)
{
	static const double ten[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	int e = d->exponent;
	double v;
	if (d->cut) return false;
	if (d->digits <= 1ull << 53 && e >= -22 && e <= 22) {
		v = (double)d->digits;
		v = e < 0 ? v / ten[-e] : v * ten[e];
	} else {
#if LDBL_MANT_DIG == 64
		static const long double more[] = {1e23L, 1e24L, 1e25L, 1e26L, 1e27L};
		long double x = (long double)d->digits, scale;
		uint64_t mantissa;
		if (e < -27 || e > 27) return false;
		scale = abs(e) <= 22 ? (long double)ten[abs(e)] : more[abs(e) - 23];
		x = e < 0 ? x / scale : x * scale;
		memcpy(&mantissa, &x, sizeof mantissa);
		if ((mantissa & 0x7ff) == 0x400) return false;
		v = (double)x;
#else
		return false;
#endif
	}
	*ret_v = d->negative ? -v : v;
	return true;
}

static bool special(struct hg_str s, double *ret_v)
{
	bool sign = s.n && (s.p[0] == '-' || s.p[0] == '+'), negative = sign && s.p[0] == '-';
	struct hg_str word = {s.p + sign, s.n - sign};
	if (!sign && hg_str_eq_nocase(word, HG_STR("nan"))) {
		static const uint64_t normal = 0x7ff8000000000001ull;
		memcpy(ret_v, &normal, sizeof normal);
		return true;
	}
	if (!hg_str_eq_nocase(word, HG_STR("inf")) && !hg_str_eq_nocase(word, HG_STR("infinity")))
		return false;
	*ret_v = negative ? -INFINITY : INFINITY;
	return true;
}

bool promread_number(struct hg_str s, double *ret_v)
{
	struct decimal d;
	char text[TOKEN_MAX];
	if (!decimal_read(s, &d)) return special(s, ret_v);
	if (fast(&d, ret_v)) return true;
	if (!hg_str_copy(s, text, sizeof text)) return false;
	*ret_v = strtod(text, NULL);
	return isfinite(*ret_v);
}

size_t promread_number_text(double v, char to[PROMREAD_NUMBER_MAX])
{
	char text[40] = "", *e = NULL;
	struct hg_out o = hg_out_over(to, PROMREAD_NUMBER_MAX);
	long exponent;
	int more = 0;
	if (isnan(v) || isinf(v)) {
		hg_out_cstr(&o, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
		return o.n;
	}
	for (; more < 17; more++) { /* digits behind the first: the fewest that read the same */
		struct hg_out t = hg_out_over(text, sizeof text - 1);
		hg_out_fmt(&t, "%.*e", more, v);
		text[t.n] = 0;
		if (strtod(text, NULL) == v) break;
	}
	e = strchr(text, 'e');
	HG_ASSERT(e);
	exponent = strtol(e + 1, NULL, 10);
	if (exponent < -4 || exponent >= 6) {
		hg_out_cstr(&o, text);
	} else {
		more = HG_MAX(more - (int)exponent, 0);
		hg_out_fmt(&o, "%.*f%s", more, v, more ? "" : ".0");
	}
	return o.n;
}
