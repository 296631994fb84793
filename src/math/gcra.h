/*
 * The generic cell rate algorithm (ITU-T I.371): a limit of requests kept as one number, the
 * theoretical arrival time (TAT) at which everything taken so far would have come at the steady
 * rate. A request is admitted while that time is at most `tolerance_ns` ahead of now. Never more
 * than burst + rate × t requests are admitted in any span of t; what was refused costs nothing.
 * Whole nanoseconds of a clock that never goes back; nothing overflows whatever is given. Pure.
 */
#ifndef MATH_GCRA_H
#define MATH_GCRA_H

#include "base/hg.h"

struct gcra_rule {
	uint64_t interval_ns;  /* between two requests at the steady rate, rounded up; ≥ 1 */
	uint64_t tolerance_ns; /* (burst − 1) × interval_ns */
};

/* The longest time a rule may look ahead: 73 years. */
#define GCRA_SPAN_MAX ((uint64_t)1 << 61)

/* `count` requests in `period_ns`, `burst` of them at once. False for a zero, a rate above one a
 * nanosecond, and a burst that takes longer than GCRA_SPAN_MAX to come back. */
HG_MUST bool gcra_rule_make(
        uint64_t count, uint64_t period_ns, uint64_t burst, struct gcra_rule *ret_rule);

struct gcra_verdict {
	bool admit;
	uint64_t tat_ns;  /* to be kept; as it was (or less, when it was no TAT) if refused */
	uint64_t left;    /* requests that would be admitted now, after this one */
	uint64_t wait_ns; /* until there is one more than `left`; 0: all of the burst is there */
};

/* 0 as `tat_ns`: never seen. A TAT further ahead than this rule can bring one counts as the
 * furthest that it can. */
struct gcra_verdict gcra_decide(struct gcra_rule rule, uint64_t tat_ns, uint64_t now_ns);

#endif
