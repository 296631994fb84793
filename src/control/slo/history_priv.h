/*
 * What an app's clients got, minute by minute: exact counts, kept for as long as the longest window
 * of its objectives. Hours without traffic do not exist; an hour is kept as its sums and its
 * minutes packed, the one that is written in is open. A minute is where the wall clock was: a clock
 * that is set back adds to the minutes it comes by again, one that is set forward leaves a gap.
 * Pure but for the heap.
 */
#ifndef CONTROL_SLO_HISTORY_PRIV_H
#define CONTROL_SLO_HISTORY_PRIV_H

#include "base/buf.h"
#include "math/burnrate.h"

#define SLO_HOUR_MIN   60u
#define SLO_PACKED_MAX (1u + SLO_HOUR_MIN * 21u)

/* good and bad by status; fast and slow of all answers. */
struct slo_counts {
	uint64_t good, bad, fast, slow;
};

struct slo_minute {
	uint32_t good, bad, fast, slow; /* full is full: 71 million requests a second */
};

struct slo_hour {
	uint64_t hour; /* since 1970 */
	struct slo_counts sum;
	uint8_t *packed;
	uint16_t packed_n;
};

struct slo_history {
	struct slo_hour *hours; /* by hour; the open one is not among them */
	uint32_t count, cap;
	uint64_t open_hour;
	bool open;  /* there is one */
	bool dirty; /* it has changed since slo_history_saved */
	struct slo_minute minute[SLO_HOUR_MIN];
};

void slo_history_free(struct slo_history *h);
/* Adds to a minute (since 1970), any. HG_E_NOMEM: nothing was added. Whoever keeps hours keeps the
 * open one before another is turned to. */
HG_MUST enum hg_rc slo_history_add(
        struct slo_history *h, uint64_t minute, const struct slo_counts *c);
/* Would adding to this minute close the open hour? */
bool slo_history_turns(const struct slo_history *h, uint64_t minute);
/* Sums of the `minutes` that end with `now` (which is one of them). */
void slo_history_sum(
        const struct slo_history *h, uint64_t now, uint64_t minutes, struct slo_counts *ret_sum);
/* The first minute with anything in it; UINT64_MAX: there is none. */
uint64_t slo_history_first(const struct slo_history *h);
/* Forgets hours before `hour`. */
void slo_history_prune(struct slo_history *h, uint64_t hour);

/* The open hour as bytes; its length. */
size_t slo_history_pack(const struct slo_history *h, uint8_t to[SLO_PACKED_MAX]);
/* An hour from bytes; each comes once, and the last one is open. *ret_good false: these are not
 * bytes of slo_history_pack, and nothing was changed. HG_E_NOMEM. */
HG_MUST enum hg_rc slo_history_load(
        struct slo_history *h, uint64_t hour, const uint8_t *bytes, size_t n, bool *ret_good);

/* What a minute that was not looked at in time gets of `c`: shares of `parts` minutes, the i-th. */
void slo_counts_part(
        const struct slo_counts *c, uint64_t parts, uint64_t i, struct slo_counts *ret_part);

#endif
