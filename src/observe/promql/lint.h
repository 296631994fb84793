/*
 * What is probably wrong with an expression that is well-formed: it can never give a result, it
 * compares a rate with a share, its two sides can never match … Each note has the place, the reason
 * and, where there is one, the expression that was probably meant. Pure: the store is not asked;
 * what is known of metrics comes from their names, or from the caller.
 *
 * Meant to be quiet rather than complete: a note is made when the expression cannot do what it
 * looks like, or when its own text contradicts it (docs/howto/alert-rules.md has the list).
 */
#ifndef OBSERVE_PROMQL_LINT_H
#define OBSERVE_PROMQL_LINT_H

#include "observe/promql/promql.h"

enum promql_metric_type { PROMQL_TYPE_UNKNOWN, PROMQL_TYPE_COUNTER, PROMQL_TYPE_GAUGE };

struct promql_note_lint {
	const char *id; /* "never", "always", "ratio", "range", "type", "label", "match", "value" */
	uint32_t at;    /* byte in the query */
	char message[300]; /* why */
	char fix[300];     /* what to write instead; "": there is nothing to copy */
};

struct promql_lint_env {
	bool alert;        /* the expression is that of an alert: any result fires */
	bool percentage;   /* its annotations print the value by humanizePercentage */
	int64_t scrape_ms; /* how often there are samples; 0: 15 s */
	/* May be NULL, and say that it does not know. */
	enum promql_metric_type (*type_of)(void *arg, struct hg_str metric);
	/* Has the store a series that these match? NULL: it is not asked. */
	bool (*exists)(void *arg, const struct label_matcher *m, uint32_t n);
	void (*note)(void *arg, const struct promql_note_lint *n);
	void *arg;
};

void promql_lint(const struct promql_query *q, const struct promql_lint_env *env);
/* False: no series of the result can have the label, whatever is in the store. */
bool promql_may_have_label(const struct promql_query *q, struct hg_str name);
/* All metrics that the query names, as they come; stops when `fn` says false. */
void promql_metrics(
        const struct promql_query *q, bool (*fn)(void *arg, struct hg_str metric), void *arg);

#endif
