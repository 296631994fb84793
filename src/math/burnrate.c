#include "math/burnrate.h"

#define PERIOD_MIN (30u * 24 * 60) /* what the windows below are made for */

static const struct burn_rule workbook[BURN_RULES] = {
        {.share_ppm = 20000, .long_min = 60, .short_min = 5, .page = true},
        {.share_ppm = 50000, .long_min = 6 * 60, .short_min = 30, .page = true},
        {.share_ppm = 100000, .long_min = 24 * 60, .short_min = 2 * 60},
        {.share_ppm = 100000, .long_min = 3 * 24 * 60, .short_min = 6 * 60},
};

static uint64_t scaled(uint64_t minutes, uint64_t period_min)
{
	uint64_t v = (minutes * period_min + PERIOD_MIN / 2) / PERIOD_MIN;
	return HG_MAX(v, (uint64_t)1);
}

void burn_rules(uint64_t period_min, struct burn_rule ret_rules[BURN_RULES])
{
	for (unsigned i = 0; i < BURN_RULES; i++) {
		ret_rules[i] = workbook[i];
		ret_rules[i].long_min = scaled(workbook[i].long_min, period_min);
		ret_rules[i].short_min = scaled(workbook[i].short_min, period_min);
	}
}

double burn_rule_factor(const struct burn_rule *r, uint64_t period_min)
{
	return (double)r->share_ppm / BURN_PPM * (double)period_min / (double)r->long_min;
}

/* bad / total > share × period / long × (1 − objective), multiplied out. */
static bool faster(
        const struct burn_rule *r, uint64_t period_min, uint32_t allowed, struct burn_counts c)
{
	unsigned __int128 have = (unsigned __int128)c.bad * BURN_PPM * BURN_PPM;
	unsigned __int128 most = (unsigned __int128)c.total * r->share_ppm * allowed;
	/* Counts are below 2^54 (a million requests a second for 500 years), so nothing overflows:
	 * 54 + 40 + 20 bits on the left, 54 + 37 + 20 on the right. */
	return have * r->long_min > most * period_min;
}

bool burn_rule_holds(const struct burn_rule *r, uint64_t period_min, uint32_t objective_ppm,
        struct burn_counts in_long, struct burn_counts in_short, uint64_t min_bad)
{
	HG_ASSERT(objective_ppm < BURN_PPM);
	uint32_t allowed = BURN_PPM - objective_ppm;
	return in_long.bad >= min_bad && faster(r, period_min, allowed, in_long) &&
	       faster(r, period_min, allowed, in_short);
}

double burn_rate(struct burn_counts c, uint32_t objective_ppm)
{
	HG_ASSERT(objective_ppm < BURN_PPM);
	if (c.total == 0) return 0;
	return (double)c.bad * BURN_PPM / ((double)c.total * (BURN_PPM - objective_ppm));
}

double burn_left(struct burn_counts c, uint32_t objective_ppm)
{
	return 1 - burn_rate(c, objective_ppm);
}

bool burn_left_below(struct burn_counts c, uint32_t objective_ppm, uint32_t share_ppm)
{
	HG_ASSERT(objective_ppm < BURN_PPM && share_ppm <= BURN_PPM);
	/* 1 − bad / (total × allowed) < share */
	unsigned __int128 spent = (unsigned __int128)c.bad * BURN_PPM * BURN_PPM;
	unsigned __int128 most = (unsigned __int128)c.total * (BURN_PPM - objective_ppm);
	return spent > most * (BURN_PPM - share_ppm);
}

uint64_t burn_budget_ms(uint32_t objective_ppm, uint64_t period_ms)
{
	HG_ASSERT(objective_ppm < BURN_PPM);
	unsigned __int128 v = (unsigned __int128)period_ms * (BURN_PPM - objective_ppm);
	return (uint64_t)(v / BURN_PPM);
}

double burn_exhausted_in_s(double left, double burn, uint64_t period_min)
{
	if (left <= 0) return 0;
	/* As much comes back as good requests push old errors out of the window: at burn 1 the two
	 * are even. Above it the whole of it is counted, as the Workbook does: the safe side. */
	if (burn <= 1) return -1;
	return left / burn * (double)period_min * 60;
}

uint64_t burn_gained(uint64_t before, uint64_t now)
{
	return now >= before ? now - before : now;
}
