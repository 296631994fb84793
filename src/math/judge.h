/*
 * The judge: is a new release worse than the old one, known from single responses and at any
 * moment? Evidence is kept as e-processes (Ville: if all is well, such a process ever reaches
 * 1/alpha with probability alpha at most), so it may be looked at after every request and acted on
 * at the first crossing. Sources: Lindon & Malek, NeurIPS 2022; Lindon, Sanden, Shirikian,
 * KDD 2022. docs/judge.md says what is judged, with measured figures and limits.
 *
 * Who holds what: `struct judge` is all state of one rollout and belongs to control. It publishes
 * the `struct judge_lens` in it; with that and the shared counters of the epoch (`struct
 * judge_evidence`) an edge worker decides alone, at its own failure, with judge_decide(). Pure:
 * no I/O, no clock, no allocation, no globals, no pointers; any input gives a finite answer.
 *
 * Staying awake: half of each process runs from the start; the other half is spread over restarts,
 * a quarter with v_j = 6/(pi^2 j^2) over the look-points j = 1, 2, … (epochs and minutes), a
 * quarter with u_i = 0.473/((i+1) ln^2(i+1)) over the ticks i that saw something. Weights are fixed
 * beforehand, and one not yet reached counts as 1. Ticks are for the failures of the old release:
 * at 1,000 requests a second and 1 % there are 500 within a minute, each an argument against a
 * start before them. Since a restart divides the product of likelihood ratios by what it was then,
 * all restarts of one alternative k collapse into one number, exactly and with bounded state:
 *
 *     E = rest + mean over k of exp(m_k),   m_k += the log ratio of what was seen,
 *     at a restart of weight v:  m_k = log(exp(m_k) + v),   rest -= v.
 *
 * No old start has to be merged or forgotten, and nothing cancels: m_k stays small while the
 * product from the start goes to e^-1000000.
 *
 * Latency comes in clusters: a replica that gets no CPU for a moment answers all of its requests
 * late. To the ratios each of them would be a witness of its own, and one replica of ten has a
 * tenth of the requests and all of such a moment. So a comparison of latency takes from one tick at
 * most what one toss of a coin can say, the ratio 2 (1/w above 50 %): its factor is the smaller of
 * two and so still has a mean of at most 1. Errors are not limited.
 *
 * Order of calls, by control: judge_init; judge_epoch at every change of the weight, the first
 * included; then within the epoch judge_tune every tick (a tenth of a second), judge_look every
 * minute, judge_fold for what completes late; publish j->lens after each of them.
 */
#ifndef MATH_JUDGE_H
#define MATH_JUDGE_H

#include "base/hg.h"

enum judge_metric {
	/* Relative: new against old by the draw's weight. Worth 0.4, 0.2, 0.2, 0.2 of E_bad. */
	JUDGE_ERRORS, /* failed first attempts */
	JUDGE_P50,    /* old: slower than tau_50, new: slower than tolerance_latency * tau_50 */
	JUDGE_P95,
	JUDGE_P99,
	/* Rules of abort_when. The first two and ERROR_ABOVE are absolute: c of n_new. */
	JUDGE_RULE_ERROR_RATE,  /* failed first attempts: it reads the counters of JUDGE_ERRORS */
	JUDGE_RULE_P95,         /* slower than the rule's limit; "2s" = P(latency > 2 s) <= 5 % */
	JUDGE_RULE_ERROR_ABOVE, /* failed first attempts: it reads the counters of JUDGE_ERRORS */
	JUDGE_RULE_P95_RATIO, /* relative; old: slower than tau_95, new: than p95_ratio * tau_95 */
	JUDGE_METRICS
};

enum {
	JUDGE_TERMS = 8,    /* alternatives in each mixture */
	JUDGE_ABSOLUTE = 3, /* JUDGE_RULE_ERROR_RATE, _P95, _ERROR_ABOVE, in this order */
	JUDGE_BY_LIMIT = 2, /* kinds of events in absolute rules: errors, over the p95 limit */
	JUDGE_SAVED_SIZE = 1112
};

/* Names for people and for JSON: "errors", "p50", … "p95_vs_stable". */
const char *judge_metric_name(enum judge_metric m);

/* What a rollout asks for. Everything outside its range counts as its default. */
struct judge_rules {
	double alpha;             /* 1 - confidence, for the whole rollout; default 0.001 */
	double tolerance_errors;  /* the new one may fail so many times as often; >= 1, default 1 */
	double tolerance_latency; /* of judge_slow_new_ns, which the edge goes by; kept here for
	                             reports only; >= 1, default 1.2 */
	double error_rate;        /* rule: share of failures in (0, 0.9]; 0: off */
	double error_above;       /* rule: that much above the old release, (0, 0.9]; 0: off */
	double p95_ratio;         /* rule: > 1, applied by the edge as above; 0: off */
	bool p95;                 /* rule: on or off; its limit is known to the edge only */
};

/*
 * From where on a response of the new release is slow, when one of the old one is from `old_ns` on:
 * so many times, and at least a millisecond more. Of an app that answers in tenths of one, a
 * release with a tenth of the traffic is slower by up to a third without being worse (measured,
 * docs/judge.md): its caches are colder, and it is woken for each request.
 */
#define JUDGE_SLOWER_LEAST_NS 1000000u
uint64_t judge_slow_new_ns(uint64_t old_ns, double tolerance);

struct judge_count {
	uint32_t c, s; /* failures or exceedances of the new and of the old release */
};

/*
 * The shared counters of one epoch, from 0 at its start. A request enters n once its outcome
 * begins to be known: when it completes, fails or first exceeds a latency limit, whichever is
 * first. Writers add to n before c or s, readers read c and s before n: so c <= n_new.
 */
struct judge_evidence {
	struct judge_count count[JUDGE_METRICS];
	uint64_t n_new, n_old;
};

struct judge_lens_metric {
	double weight;         /* of the verdict; 0: off */
	double a[JUDGE_TERMS]; /* log ratio of one c */
	double b[JUDGE_TERMS]; /* relative: of one s; absolute: of one c that did not happen */
	double m[JUDGE_TERMS]; /* at the mark `seen` */
};

/* All zero: decides nothing. Fixed size, no pointers, no padding: it lives in shared memory. */
struct judge_lens {
	double threshold; /* bad when the weighted mean of all processes is at least this */
	double rest;      /* restarts not yet reached */
	double most; /* log ratio: so much, at most, says one tick's latency against the new release
	              */
	double gate_difference;     /* a metric counts from this difference of shares on, … */
	uint64_t gate_count;        /* … and from this many events of the new release */
	struct judge_evidence seen; /* of this epoch: contained in m; the last tick */
	struct judge_evidence look; /* of this epoch: at the last look-point; for the gate */
	struct judge_lens_metric metric[JUDGE_METRICS];
	double old[JUDGE_ABSOLUTE][JUDGE_TERMS]; /* m of the old release under the same rule */
	/* Is the new one worse than the old one just now? The log ratios of a comparison since the
	 * start that suits each alternative best; no e-process, only a brake on absolute rules. */
	double now[JUDGE_BY_LIMIT][JUDGE_TERMS];
};

_Static_assert(sizeof(struct judge_lens) == 5 * 8 + 2 * 80 + JUDGE_METRICS * 200 + 192 + 128 &&
                       sizeof(struct judge_lens) < 2304,
        "the lens has no padding and is small");

struct judge {
	struct judge_rules rules; /* as understood: defaults filled in */
	double w;                 /* of this epoch */
	double above_p0;          /* limit of JUDGE_RULE_ERROR_ABOVE now; 1: not yet known */
	uint32_t epochs, looks, ticks;
	struct judge_lens lens; /* publish this */
};

enum judge_verdict {
	JUDGE_NOT_YET,
	JUDGE_BAD,   /* roll back */
	JUDGE_SHARED /* a rule is broken, but not by the new release alone as far as is known: pause
	                and alert, and go on asking: JUDGE_BAD may follow */
};

void judge_init(struct judge *j, const struct judge_rules *rules);

/*
 * Ends the epoch with its final counters (`last`, NULL: none or the first epoch) and opens one
 * with weight w in [0, 1] (else 0), counters from 0. With w = 0 or 1 nothing is learnt by
 * comparison; absolute rules go on. A look-point.
 */
void judge_epoch(struct judge *j, double w, const struct judge_evidence *last);

/*
 * A tick (every second or, better, tenth of it; not more often, see above): takes in the
 * counters so far, starts all processes once more if there is anything new, and sets the limit of
 * error_rate_above_stable to what is known of the old release now. E itself stays as it was.
 * Counters that go backwards count as still.
 */
void judge_tune(struct judge *j, const struct judge_evidence *now);

/* A look-point (every minute), instead of a tick. */
void judge_look(struct judge *j, const struct judge_evidence *now);

/* What completed late, in an epoch that has ended and had weight w: differences, not totals. The
 * rule error_rate_above_stable leaves them out, its limit of then is gone. */
void judge_fold(struct judge *j, double w, const struct judge_evidence *late);

/*
 * The verdict, from the lens and the epoch's counters as they are now: at every failure, by
 * whoever saw it. *ret_e: the weighted mean of all processes without the gate, in [0, 1e300];
 * without it (NULL) the answer is the same and comes several times faster.
 *
 * A metric takes part when its gate holds: 3 events of the new release, and a share 0.2 points
 * above that of the old one, both within the epoch, since the last look-point or since the last
 * tick (after a long healthy epoch its mean would hide a total failure for minutes).
 *
 * An absolute rule alone would blame the new release for an outage of both. It counts towards
 * JUDGE_BAD only while the old release is not known to break it too (its own process < 20) and,
 * where both have traffic, comparison says that the new one is worse (evidence >= 20 since the
 * start that suits it best). Broken otherwise, it leads to JUDGE_SHARED: at once if the old
 * release breaks it too, else when the evidence is beyond the square of the threshold.
 */
enum judge_verdict judge_decide(
        const struct judge_lens *lens, const struct judge_evidence *now, double *ret_e);

/* A rate and its interval: whenever it is looked at, it holds with 95 %. */
struct judge_rate {
	uint64_t x, n;
	double rate, lower, upper; /* n = 0: 0, 0, 1 */
};

/* What `why` shows. */
struct judge_report {
	enum judge_verdict verdict;
	double e;         /* the weighted mean of all processes */
	double threshold; /* what it must reach */
	double e_bad;     /* of the four metrics of comparison alone, by their weights */
	double e_metric[JUDGE_METRICS];
	double weight[JUDGE_METRICS];   /* 0: the metric is off */
	bool gate[JUDGE_METRICS];       /* it takes part in the verdict */
	double e_old[JUDGE_ABSOLUTE];   /* the old release under the absolute rules */
	bool worse_now[JUDGE_ABSOLUTE]; /* comparison lets the rule blame the new release */
	struct judge_count count[JUDGE_METRICS];
	struct judge_rate rate_new, rate_old; /* failed first attempts of this epoch */
	double above_p0;                      /* limit of error_rate_above_stable; 1: unknown */
	double good_p0; /* min(5 %, max(1 %, upper bound of the old release + 1 point)) */
	double e_good;  /* evidence of this epoch that the new release fails less often than that */
	bool good; /* e_good >= 20, e_bad < 10, 200 requests: a step may pass once it has waited */
};

void judge_report(
        const struct judge *j, const struct judge_evidence *now, struct judge_report *ret);

/* Bounds of a rate with x of n, each alone wrong with probability alpha over all looks. */
double judge_upper(uint64_t x, uint64_t n, double alpha);
double judge_lower(uint64_t x, uint64_t n, double alpha);

/*
 * For `plan`: requests to both releases together until a new release with rate_new is found bad
 * beside an old one with rate_old, about and on average, from a fresh start under these rules.
 * INFINITY: never (not worse, or by less than the gate asks). Latency is taken as equal.
 */
double judge_detects(const struct judge_rules *rules, double w, double rate_old, double rate_new);

/* For `plan`: requests to the new release, about and on average, until it is proven to fail less
 * often than p0, when it does so with `rate`; 200 at least. INFINITY: never. */
double judge_proves(double rate, double p0);

/* The state as bytes for the store, the same on every machine. */
void judge_save(const struct judge *j, uint8_t ret_bytes[JUDGE_SAVED_SIZE]);

/* False on anything that judge_save cannot have written; then *ret is untouched. */
HG_MUST bool judge_load(const void *bytes, size_t n, struct judge *ret);

#endif
