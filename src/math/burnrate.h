/*
 * Error budgets: what an objective allows, what is left of it, and when its being spent too fast
 * is worth waking somebody. Burn 1 spends exactly the budget of the period in the period.
 *
 * Alerts are those of the Site Reliability Workbook (multiwindow, multi-burn-rate): 2 % of a 30-day
 * budget in 1 h (burn 14.4) or 5 % in 6 h (burn 6) wake a person, 10 % in 1 d (3) or in 3 d (1)
 * make a ticket; the short window, a twelfth of the long one, says that it still goes on. Other
 * periods have windows in proportion, in whole minutes and never shorter than one; the share of the
 * budget is what stays, so a window that had to be made longer has a lower burn. Whether a rule
 * holds is decided in whole numbers: no rounding can move an alert. Pure.
 */
#ifndef MATH_BURNRATE_H
#define MATH_BURNRATE_H

#include "base/hg.h"

#define BURN_RULES 4u /* the first two wake somebody */
#define BURN_PPM   1000000u

/* Events of one window. bad ≤ total. */
struct burn_counts {
	uint64_t bad, total;
};

struct burn_rule {
	uint32_t share_ppm; /* of the period's budget, spent within the long window */
	uint64_t long_min, short_min;
	bool page; /* false: a ticket is enough */
};

/* The rules of a period of so many minutes (≥ 1), the most urgent first. */
void burn_rules(uint64_t period_min, struct burn_rule ret_rules[BURN_RULES]);
/* 14.4, 6, 3 and 1 where the windows are not too short for it. */
double burn_rule_factor(const struct burn_rule *r, uint64_t period_min);
/* Do both windows burn faster than the rule allows, with at least `min_bad` bad events in the long
 * one? No traffic burns nothing. objective_ppm < BURN_PPM. */
bool burn_rule_holds(const struct burn_rule *r, uint64_t period_min, uint32_t objective_ppm,
        struct burn_counts in_long, struct burn_counts in_short, uint64_t min_bad);

/* How many times too fast the budget is spent by these events; 0 without traffic. */
double burn_rate(struct burn_counts c, uint32_t objective_ppm);
/* Share of the budget that is left: 1 untouched (also without traffic), 0 used up, negative: more
 * was spent than there was. `c`: all events of the period. */
double burn_left(struct burn_counts c, uint32_t objective_ppm);
/* The same question without rounding: is less than this share left? */
bool burn_left_below(struct burn_counts c, uint32_t objective_ppm, uint32_t share_ppm);
/* The budget as time of total outage: 99.95 % of 30 days leave 1,296,000 ms (21.6 minutes). */
uint64_t burn_budget_ms(uint32_t objective_ppm, uint64_t period_ms);
/* Seconds until nothing is left if it burns on like this; 0: nothing is left; < 0: it is not being
 * spent faster than it comes back (burn ≤ 1 in a rolling window, or no traffic). */
double burn_exhausted_in_s(double left, double burn, uint64_t period_min);

/* What a counter has gained. A smaller value than before means that it began anew. */
uint64_t burn_gained(uint64_t before, uint64_t now);

#endif
