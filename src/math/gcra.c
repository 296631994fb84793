#include "math/gcra.h"

static uint64_t add(uint64_t a, uint64_t b)
{
	uint64_t sum;
	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

bool gcra_rule_make(uint64_t count, uint64_t period_ns, uint64_t burst, struct gcra_rule *ret_rule)
{
	uint64_t span;
	if (count == 0 || burst == 0 || count > period_ns || period_ns > GCRA_SPAN_MAX)
		return false;
	/* Rounded up: rather a request too few in a day than one too many. */
	uint64_t interval = period_ns / count + (period_ns % count != 0);
	if (__builtin_mul_overflow(interval, burst, &span) || span > GCRA_SPAN_MAX) return false;
	*ret_rule = (struct gcra_rule){.interval_ns = interval, .tolerance_ns = span - interval};
	return true;
}

struct gcra_verdict gcra_decide(struct gcra_rule rule, uint64_t tat_ns, uint64_t now_ns)
{
	uint64_t furthest = add(add(now_ns, rule.tolerance_ns), rule.interval_ns);
	uint64_t tat = HG_MIN(HG_MAX(tat_ns, now_ns), furthest);
	uint64_t ahead = tat - now_ns;
	if (ahead > rule.tolerance_ns) {
		return (struct gcra_verdict){.tat_ns = tat, .wait_ns = ahead - rule.tolerance_ns};
	}
	uint64_t room = rule.tolerance_ns - ahead;
	return (struct gcra_verdict){.admit = true,
	        .tat_ns = add(tat, rule.interval_ns),
	        .left = room / rule.interval_ns,
	        .wait_ns = rule.interval_ns - room % rule.interval_ns};
}
