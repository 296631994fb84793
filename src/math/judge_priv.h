/* What the files of the judge share. */
#ifndef MATH_JUDGE_PRIV_H
#define MATH_JUDGE_PRIV_H

#include "math/judge.h"

#define JUDGE_E_MAX     1e300 /* an E of more says no more */
#define JUDGE_M_MAX     1e15  /* logarithms of a term stay within: counters can say no more */
#define JUDGE_P_MAX     0.999 /* alternatives end here, and limits from here on are none */
#define JUDGE_RULE_SLOW 0.05  /* the share of "p95" */

/* The rules with defaults filled in. */
struct judge_rules judge_rules_understood(const struct judge_rules *rules);

/* Log ratios of one event under each alternative; zeros when the comparison can teach nothing. */
void judge_terms_relative(double w, double tolerance, double a[JUDGE_TERMS], double b[JUDGE_TERMS]);
void judge_terms_absolute(double p0, double a[JUDGE_TERMS], double b[JUDGE_TERMS]);

/* All coefficients of the lens from rules, w and above_p0. */
void judge_terms(struct judge *j);

/* Mean over k of exp(m_k + min(a_k x + b_k y, most)), at most JUDGE_E_MAX; NaN stays NaN. m NULL:
 * zeros. */
double judge_mean(
        const double *m, const double *a, const double *b, double x, double y, double most);

/* One process now: of the new release, and of the old one under absolute rule number i. */
double judge_lens_e(const struct judge_lens *l, const struct judge_evidence *now, unsigned m);
double judge_lens_e_old(const struct judge_lens *l, const struct judge_evidence *now, unsigned i);

/* The gate of a metric; `apart`: the difference is asked for too. */
bool judge_lens_gate(
        const struct judge_lens *l, const struct judge_evidence *now, unsigned m, bool apart);

/* Does comparison say that the new release is worse just now, in what absolute rule m counts? */
bool judge_lens_worse_now(const struct judge_lens *l, const struct judge_evidence *now, unsigned m);

#endif
