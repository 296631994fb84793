/*
 * Doubles as text: the fewest digits that read back as the same number, of several such the
 * nearest. Exact, without a printf for what metrics are made of: an answer to a query holds
 * hundreds of thousands of them.
 */
#ifndef WIRE_SHORTEST_H
#define WIRE_SHORTEST_H

#include "base/hg.h"

#define SHORTEST_DIGITS 17 /* there are never more */
#define SHORTEST_ROOM   24 /* for them, and for what is written before their number is known */
#define SHORTEST_TEXT   40

/* Of a finite number above zero: v = d.ddd × 10^exponent. Returns how many digits; the first and
 * the last are no zeros. */
size_t shortest_digits(double v, char to[static SHORTEST_ROOM], int *ret_exponent);

/*
 * As Prometheus' API writes a sample's value: without an exponent from 1e-6 to 1e21, else as
 * 1e+21 and 1e-07; NaN, +Inf, -Inf. Returns the length; there is no closing zero.
 */
size_t shortest_prometheus(double v, char to[static SHORTEST_TEXT]);

/* Decimal digits of `v`, without a closing zero; returns how many. `to` has room for 20. */
size_t shortest_u64(uint64_t v, char *to);

#endif
