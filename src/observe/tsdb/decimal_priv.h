/*
 * Doubles that people or counters wrote have few decimal places: 12.34 is 1234 / 10^2, exactly the
 * double nearest to it, because a division of two integers that doubles hold is rounded correctly.
 * Integers differ little from one sample to the next; the bits of such doubles differ in all
 * places.
 */
#ifndef OBSERVE_TSDB_DECIMAL_PRIV_H
#define OBSERVE_TSDB_DECIMAL_PRIV_H

#include "observe/tsdb/codec_priv.h"

#define DECIMAL_EXP_MAX   15
#define DECIMAL_KIB       16 /* scales beyond the exponents: what is counted in KiB … */
#define DECIMAL_PAGES     17 /* … and in pages of 4 KiB */
#define DECIMAL_SCALE_MAX 17

static const double decimal_power[DECIMAL_SCALE_MAX + 1] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7,
        1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1.0 / 1024, 1.0 / 4096};

static inline double decimal_value(int64_t m, uint8_t e)
{
	return (double)m / decimal_power[e];
}

/* Whether v is m / 10^e for an integer below 2^53, bit by bit (so neither -0 nor a NaN is). */
static inline bool decimal_is(double v, uint8_t e, int64_t *ret_m)
{
	double scaled = v * decimal_power[e];
	if (!(scaled > -9007199254740992.0 && scaled < 9007199254740992.0)) return false;
	/* Nearest integer, without a call: adding half away from zero and cutting. */
	int64_t m = (int64_t)(scaled + (scaled < 0 ? -0.5 : 0.5));
	double back = decimal_value(m, e);
	uint64_t a, b;
	memcpy(&a, &back, sizeof a);
	memcpy(&b, &v, sizeof b);
	*ret_m = m;
	return a == b;
}

/* The least exponent from `from` on that fits, or CODEC_NO_EXP. */
static inline uint8_t decimal_exponent(double v, uint8_t from, int64_t *ret_m)
{
	for (uint8_t e = from; e <= DECIMAL_EXP_MAX; e++)
		if (decimal_is(v, e, ret_m)) return e;
	return CODEC_NO_EXP;
}

/*
 * One double in three with noise in all bits is a decimal of 15 digits by chance, and its integer
 * as long as the double: that is no scale in which the next one differs little.
 */
#define DECIMAL_NOISE_EXP 12
#define DECIMAL_NOISE     (INT64_C(1) << 46)

static inline bool decimal_is_noise(int64_t m, uint8_t e)
{
	return e >= DECIMAL_NOISE_EXP && e <= DECIMAL_EXP_MAX &&
	       (m >= DECIMAL_NOISE || m <= -DECIMAL_NOISE);
}

/* The scale that makes the smallest integers; CODEC_NO_EXP when none fits. */
static inline uint8_t decimal_scale(double v, int64_t *ret_m)
{
	if ((v >= 4096 || v <= -4096) && decimal_is(v, DECIMAL_PAGES, ret_m)) return DECIMAL_PAGES;
	if ((v >= 1024 || v <= -1024) && decimal_is(v, DECIMAL_KIB, ret_m)) return DECIMAL_KIB;
	uint8_t e = decimal_exponent(v, 0, ret_m);
	return e != CODEC_NO_EXP && decimal_is_noise(*ret_m, e) ? CODEC_NO_EXP : e;
}

#endif
