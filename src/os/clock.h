/* Time, at the rim. Decisions never read a clock: they are given `now`. */
#ifndef HG_OS_CLOCK_H
#define HG_OS_CLOCK_H

#include "base/hg.h"

#define CLOCK_NS_PER_MS 1000000ull
#define CLOCK_NS_PER_S  1000000000ull

/* CLOCK_MONOTONIC in nanoseconds; comparable between the processes of one boot. */
uint64_t clock_mono_ns(void);
/* Milliseconds of the same clock. */
uint64_t clock_mono_ms(void);
/* Unix time in milliseconds (may jump). */
uint64_t clock_wall_ms(void);
/* Unix time in nanoseconds (may jump). */
uint64_t clock_wall_ns(void);

#endif
