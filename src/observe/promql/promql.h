/*
 * PromQL 3.x: text → tree → columns. A query is parsed once (typed tree with the place of every
 * node) and evaluated over whole columns: each series is read and decoded once, and every step of a
 * range query is made from it in one pass with windows that slide. No globals, no I/O but the
 * store.
 *
 * Evaluation blocks its thread. Whoever has a loop to keep (the observe process) runs it in a
 * thread of its own and gives `lock`/`unlock` around the few moments in which the store is read; a
 * query ends early by `cancel` or `deadline_ms`, both looked at between series. Slices on the
 * loop's own stack were the other way: a tree walk cannot be left and entered again without a
 * second stack or an evaluator turned inside out, and either costs more than a thread that is
 * already isolated by the lock.
 *
 * Semantics and texts: prometheus.io/docs/prometheus/latest/querying (3.x); docs/promql.md says
 * where we differ.
 */
#ifndef OBSERVE_PROMQL_PROMQL_H
#define OBSERVE_PROMQL_PROMQL_H

#include "base/err.h"
#include "observe/tsdb/labels.h"
#include "observe/tsdb/tsdb.h"

#include <stdatomic.h>

/* ---- a query ---- */

struct promql_query;

enum promql_type { PROMQL_NONE, PROMQL_SCALAR, PROMQL_VECTOR, PROMQL_MATRIX, PROMQL_STRING };

/* What the text may be: anything longer is refused before it is looked at. */
#define PROMQL_TEXT_MAX ((size_t)1 << 20)

/*
 * `text` is copied. HG_E_QUERY_SYNTAX with line and column (file is "query") and, where a name is
 * nearly one that exists, a hint; HG_E_QUERY_LIMIT when it is too long or too deep; HG_E_NOMEM.
 * Free with promql_free, which takes NULL.
 */
HG_MUST enum hg_rc promql_parse(
        struct hg_str text, struct promql_query **ret_query, struct hg_err *err);
void promql_free(struct promql_query *q);
enum promql_type promql_type_of(const struct promql_query *q);
/* "instant vector", "range vector", "scalar", "string", "none". */
const char *promql_type_name(enum promql_type t);
/* The query in one line as Prometheus writes it. */
void promql_print(const struct promql_query *q, struct hg_buf *to);
/* The same, but what takes more than 100 bytes is broken over lines (its /format_query). */
void promql_pretty(const struct promql_query *q, struct hg_buf *to);
/* The tree as JSON, as its /parse_query writes it: docs/promql.md has what it leaves open. */
void promql_tree(const struct promql_query *q, struct hg_buf *to);
/* True when it uses a function or an operator that Prometheus calls experimental. */
bool promql_is_experimental(const struct promql_query *q);
/*
 * The matchers of a query that is one selector of series and nothing else (no range, offset or
 * "@"): what match[] of the API is. They are the query's; their regular expressions belong to one
 * thread at a time. False: it is something else.
 */
bool promql_matchers(
        const struct promql_query *q, const struct label_matcher **ret_matchers, uint32_t *ret_n);

/* Each selector of series in it, as above; false from `fn` ends the walk and is the result. */
bool promql_selectors(const struct promql_query *q,
        bool (*fn)(void *arg, const struct label_matcher *m, uint32_t n), void *arg);

/*
 * Puts "@ at_ms" on every selector and subquery that has none and stands in no subquery that has
 * one: what the test language calls the second run. False, and nothing changed, when the query
 * calls a function whose result depends on the time of evaluation.
 */
bool promql_pin(struct promql_query *q, int64_t at_ms);
/* True when start(), end(), range() or step() is used: a range query is then another question. */
bool promql_uses_bounds(const struct promql_query *q);

/* ---- evaluation ---- */

struct promql_options {
	int64_t start_ms, end_ms; /* equal for an instant query */
	int64_t step_ms;          /* 0: an instant query */
	int64_t lookback_ms;      /* 0: 5 minutes */
	int64_t subquery_step_ms; /* of [1h:]; 0: 1 minute */
	bool delayed_names;   /* __name__ is taken away at the end only (a feature flag there) */
	bool types_and_units; /* __type__ tells counters (a feature flag there) */
	size_t memory_max;    /* bytes this query may take; 0: 256 MiB */
	uint64_t samples_max; /* samples it may hold; 0: 50 million */
	uint32_t points_max;  /* points a series may have; 0: 11,000 */
	uint32_t series_max;  /* a selector may find; 0: what fits in select_max */
	/* Bytes that labels and lists of all selected series may take, beside memory_max; 0:
	 * TSDB_SELECT_BYTES, which is the most. */
	uint64_t select_max;
	uint64_t deadline_ms;      /* on the monotonic clock; 0: none */
	const atomic_bool *cancel; /* NULL: cannot be cancelled */
	/* Around each access to the store; NULL: nobody else uses it. */
	void (*lock)(void *arg);
	void (*unlock)(void *arg);
	/* Told of each selection (both bounds inclusive); false ends the query with
	 * HG_E_QUERY_UNSUPPORTED. */
	bool (*watch)(void *arg, const struct label_matcher *m, uint32_t n, int64_t from_ms,
	        int64_t to_ms);
	void *arg; /* of the three above */
};

struct promql_series {
	struct labels labels;
	const int64_t *t; /* ms, ascending */
	const double *v;
	size_t n;
};

struct promql_note {
	bool warning;     /* else: information */
	const char *text; /* with "PromQL warning: " or "PromQL info: " and "(line:column)" */
};

/* An instant vector is `series` with one point each; a scalar of a range query one series. */
struct promql_result {
	enum promql_type type; /* of a range query: PROMQL_MATRIX */
	const struct promql_series *series;
	size_t n;
	double scalar;
	struct hg_str text;
	const struct promql_note *notes;
	size_t note_n;
	uint64_t samples; /* that were read from the store */
	size_t memory;    /* bytes that were taken */
};

/*
 * Errors: HG_E_QUERY_FAILED (execution), HG_E_QUERY_LIMIT (names the limit), HG_E_QUERY_TIME
 * (deadline or cancelled), HG_E_QUERY_UNSUPPORTED (watch). The result is the caller's, with
 * promql_result_free (takes NULL). The query may be run again, by one thread at a time.
 */
HG_MUST enum hg_rc promql_run(struct tsdb *db, struct promql_query *q,
        const struct promql_options *o, const struct promql_result **ret_result,
        struct hg_err *err);
void promql_result_free(const struct promql_result *r);

/* ---- numbers ---- */

/* "5m" "1h30m" "100ms" "0" → ms. */
HG_MUST bool promql_duration(struct hg_str s, int64_t *ret_ms);
/* A number as Prometheus reads it in a query or a test file: floats, hex, octal, Inf, NaN, 1_000.
 */
HG_MUST bool promql_number(struct hg_str s, double *ret_v);
/* The shortest text that reads back as `v`, without an exponent (Go's 'f' with -1), "+Inf" "NaN".
 */
void promql_print_number(struct hg_buf *to, double v);

/* 90000 → "1m30s"; 0 → "0s". */
void promql_print_duration(struct hg_buf *to, int64_t ms);

/* ---- series in the test language, also of files that test rules ---- */

struct promql_item {
	bool there; /* false: there is no sample at this step */
	double v;
};

/*
 * `up{job="a"}` and `0+1x5 _ stale 7`: labels and a value a step, in the arena. HG_E_QUERY_SYNTAX,
 * HG_E_QUERY_UNSUPPORTED (native histograms), HG_E_NOMEM.
 */
HG_MUST enum hg_rc promql_series_read(struct hg_arena *a, struct hg_str series,
        struct hg_str values, struct labels *ret_labels, struct promql_item **ret_items,
        uint32_t *ret_n, struct hg_err *err);
/* `name{a="b"}`, also empty; labels in the arena. False: it is none. */
HG_MUST bool promql_metric_read(struct hg_arena *a, struct hg_str text, struct labels *ret_labels);

/* ---- test files ---- */

struct promql_test_counts {
	uint64_t passed, failed, skipped;
};

/*
 * Runs a file of Prometheus' PromQL test language, `name` as it is to be shown, and writes a line
 * for each eval: "name:line: ok", "… FAIL expected … got …", "… skipped: why". HG_OK also when
 * evals failed: look at the counts, which are added to. HG_E_QUERY_SYNTAX with file, line and
 * column when the file itself is wrong; what ran before it is counted.
 */
HG_MUST enum hg_rc promql_test(struct hg_str text, const char *name, struct hg_buf *to,
        struct promql_test_counts *counts, struct hg_err *err);

#endif
