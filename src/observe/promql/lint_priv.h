/* What can be said of an expression without data: its labels and its values. */
#ifndef OBSERVE_PROMQL_LINT_PRIV_H
#define OBSERVE_PROMQL_LINT_PRIV_H

#include "ast_priv.h"
#include "observe/promql/lint.h"

#define PL_NAMES_MAX 32u

struct pl_names {
	struct hg_str at[PL_NAMES_MAX];
	uint32_t n;
};

/*
 * The labels that series of a result have. Closed: only those of `has`. Open: any but those of
 * `lacks`. `fixed` with `value`: a label that is there and has one value. `unsure`: nothing can be
 * said.
 */
struct pl_shape {
	bool open, unsure;
	struct pl_names has, lacks, fixed;
	struct hg_str value[PL_NAMES_MAX];
};

void pl_shape(const struct pq_node *n, struct pl_shape *ret);
bool pl_may(const struct pl_shape *s, struct hg_str name);
/* A value that is not empty is to be expected. */
bool pl_must(const struct pl_shape *s, struct hg_str name);
/* The value it is fixed to, or empty. */
struct hg_str pl_fixed(const struct pl_shape *s, struct hg_str name);
bool pl_listed(const struct pq_names *names, struct hg_str name);

struct pl_range {
	double lo, hi;
};

struct pl_range pl_range(const struct pq_node *n);
/* Within parentheses, however many. */
const struct pq_node *pl_bare(const struct pq_node *n);
/* The selector that a chain of functions, aggregations and scalar arithmetic is about; NULL: it is
 * about more than one, or none. */
const struct pq_node *pl_selector(const struct pq_node *n);
struct hg_str pl_metric(const struct pq_node *selector);
bool pl_number(const struct pq_node *n, double *ret);
/* An expression that stands where a text is compared. */
bool pl_meant_as_regex(const struct label_matcher *m);
/* ALERTS, and what is recorded: series that may be there only while something is wrong. */
bool pl_may_be_filtered(struct hg_str metric);
bool pl_has_any(struct hg_str s, const char *const *parts);

/* ---- lint.c ---- */

struct lint {
	const struct promql_lint_env *env;
	const struct promql_query *q;
	struct hg_buf fix, text[2];
	const struct pq_node *stopped; /* what was told of the whole needs no word about a part */
};

/* Tells it, with what stands in `fix`, and empties that. */
void pl_note(struct lint *l, const char *id, const struct pq_node *at, const char *fmt, ...)
        HG_PRINTF(4, 5);
bool pl_is_call(const struct pq_node *n, enum pq_fn_id id);
/* rate, irate, increase */
bool pl_is_rate(const struct pq_node *n);
/* True of the node or of one below it. */
bool pl_below(const struct pq_node *n, bool (*fn)(const struct pq_node *n));

/* ---- lint_histogram.c ---- */

void pl_check_histogram(struct lint *l, const struct pq_node *n);

#endif
