/* Inside of the room: the tree, what makes it and what prints it. */
#ifndef OBSERVE_PROMQL_AST_PRIV_H
#define OBSERVE_PROMQL_AST_PRIV_H

#include "base/arena.h"
#include "wire/re.h"
#include "observe/promql/promql.h"

#define PQ_DEPTH_MAX 500u /* of nested expressions: the stack of the parser and the evaluator */
#define PQ_ARENA_MAX ((size_t)64 << 20) /* of a tree */
#define PQ_ARGS_MAX  250u
#define PQ_ARGS_ANY  255 /* of a function: as many as a call may have */

enum pq_op {
	PQ_ADD,
	PQ_SUB,
	PQ_MUL,
	PQ_DIV,
	PQ_MOD,
	PQ_POW,
	PQ_ATAN2,
	PQ_EQL,
	PQ_NEQ,
	PQ_GTR,
	PQ_LSS,
	PQ_GTE,
	PQ_LTE,
	PQ_TRIM_UPPER, /* of native histograms */
	PQ_TRIM_LOWER,
	PQ_AND,
	PQ_OR,
	PQ_UNLESS
};

enum pq_agg {
	PQ_SUM,
	PQ_AVG,
	PQ_COUNT,
	PQ_MIN,
	PQ_MAX,
	PQ_GROUP,
	PQ_STDDEV,
	PQ_STDVAR,
	PQ_TOPK,
	PQ_BOTTOMK,
	PQ_QUANTILE,
	PQ_COUNT_VALUES,
	PQ_LIMITK,
	PQ_LIMIT_RATIO
};

enum pq_kind {
	PQ_K_NUMBER,
	PQ_K_TEXT,
	PQ_K_SELECTOR,
	PQ_K_RANGE, /* a selector with [5m] */
	PQ_K_SUBQUERY,
	PQ_K_CALL,
	PQ_K_BINARY,
	PQ_K_UNARY,
	PQ_K_PAREN,
	PQ_K_AGG
};

enum pq_at { PQ_AT_NONE, PQ_AT_TIME, PQ_AT_START, PQ_AT_END };

/* A length of time that is computed when the query's bounds are known. */
enum pq_span_kind {
	PQ_S_NUMBER,
	PQ_S_STEP,
	PQ_S_RANGE,
	PQ_S_MIN,
	PQ_S_MAX,
	PQ_S_OP,
	PQ_S_NEG,
	PQ_S_PAREN
};

struct pq_span {
	enum pq_span_kind kind;
	enum pq_op op;
	double seconds;
	bool is_duration; /* written as 5m, not as 300 */
	const struct pq_span *a, *b;
	uint32_t from, to;
};

struct pq_names {
	const struct hg_str *at;
	uint32_t n;
};

enum pq_card { PQ_ONE_TO_ONE, PQ_MANY_TO_ONE, PQ_ONE_TO_MANY, PQ_MANY_TO_MANY };

struct pq_matching {
	bool given, on; /* on or ignoring was written */
	enum pq_card card;
	struct pq_names labels, include;
	bool fill_left, fill_right;
	double left, right;
};

enum pq_extend { PQ_X_NONE, PQ_X_ANCHORED, PQ_X_SMOOTHED };

struct pq_fn;

struct pq_node {
	enum pq_kind kind;
	enum promql_type type;
	uint32_t from, to; /* place in the text: [from, to) */
	uint16_t depth;
	bool invariant; /* the same at every step: evaluated once */
	/* Selector, subquery. */
	enum pq_at at;
	bool plus; /* unary: nothing changes */
	int64_t at_ms;
	const struct pq_span *offset, *range, *step; /* NULL: none */
	int64_t offset_ms, range_ms, step_ms;        /* resolved for a run */
	union {
		struct {
			double v;
			bool is_duration;
		} number;
		struct hg_str text;
		struct {
			struct hg_str name; /* what __name__ has to be; empty: not said */
			bool outside;       /* it stands before the brace */
			bool labelled;      /* it is written __name__="…" */
			struct label_matcher *m;
			uint32_t n;
			enum pq_extend extend;
			bool empty;    /* no matcher needs anything: only info() takes that */
			bool matchers; /* the second of info(): all stands within the brace */
		} sel;
		struct {
			const struct pq_fn *fn;
			struct pq_node **arg; /* in the arena */
			uint32_t n;
		} call;
		struct {
			enum pq_op op;
			bool to_bool;
			struct pq_node *l, *r;
			struct pq_matching match;
		} bin;
		struct {
			enum pq_agg op;
			bool without, grouped;
			struct pq_names by;
			struct pq_node *of, *param;
		} agg;
		struct pq_node *of; /* range, subquery, unary (minus), paren */
	} u;
};

struct pq_regex {
	struct re *re;
	struct pq_regex *next;
};

struct promql_query {
	struct hg_arena arena;
	struct hg_str text;
	struct pq_node *root;
	struct pq_regex *regexes; /* to be freed */
	bool experimental, bounds, time_bound;
};

/* ---- lex.c ---- */

enum pq_tok_kind {
	PQ_T_END,
	PQ_T_ERROR,
	PQ_T_NUMBER, /* also a duration: `is_duration` */
	PQ_T_STRING,
	PQ_T_NAME,
	PQ_T_SYMBOL /* ( ) { } [ ] , : @ and operators: `text` */
};

struct pq_tok {
	enum pq_tok_kind kind;
	uint32_t from, to;
	struct hg_str text; /* as written; of a string its value */
	double number;
	bool is_duration;
	const char *why; /* of PQ_T_ERROR */
};

struct pq_lex {
	struct hg_arena *arena;
	struct hg_str text;
	uint32_t at;
	uint32_t brackets, braces; /* open ones: a colon means something else within */
};

/* HG_E_NOMEM through kind PQ_T_ERROR as well. */
struct pq_tok pq_lex_next(struct pq_lex *l);
/* Line and column (bytes) of a place, both from 1. */
void pq_place(struct hg_str text, uint32_t at, unsigned *ret_line, unsigned *ret_column);

/* ---- names.c ---- */

enum pq_arg { PQ_A_SCALAR = 1, PQ_A_VECTOR, PQ_A_MATRIX, PQ_A_STRING };

enum pq_class {
	PQ_C_MATH,   /* each value for itself */
	PQ_C_RANGE,  /* a window to a value */
	PQ_C_SPECIAL /* a function of its own in the evaluator */
};

enum pq_fn_id {
	PQ_F_ABS,
	PQ_F_ABSENT,
	PQ_F_ABSENT_OVER_TIME,
	PQ_F_ACOS,
	PQ_F_ACOSH,
	PQ_F_ASIN,
	PQ_F_ASINH,
	PQ_F_ATAN,
	PQ_F_ATANH,
	PQ_F_AVG_OVER_TIME,
	PQ_F_CEIL,
	PQ_F_CHANGES,
	PQ_F_CLAMP,
	PQ_F_CLAMP_MAX,
	PQ_F_CLAMP_MIN,
	PQ_F_COS,
	PQ_F_COSH,
	PQ_F_COUNT_OVER_TIME,
	PQ_F_DAY_OF_MONTH,
	PQ_F_DAY_OF_WEEK,
	PQ_F_DAY_OF_YEAR,
	PQ_F_DAYS_IN_MONTH,
	PQ_F_DEG,
	PQ_F_DELTA,
	PQ_F_DERIV,
	PQ_F_DOUBLE_EXP,
	PQ_F_END,
	PQ_F_EXP,
	PQ_F_FIRST_OVER_TIME,
	PQ_F_FLOOR,
	PQ_F_HISTOGRAM_AVG,
	PQ_F_HISTOGRAM_COUNT,
	PQ_F_HISTOGRAM_FRACTION,
	PQ_F_HISTOGRAM_QUANTILE,
	PQ_F_HISTOGRAM_QUANTILES,
	PQ_F_HISTOGRAM_STDDEV,
	PQ_F_HISTOGRAM_STDVAR,
	PQ_F_HISTOGRAM_SUM,
	PQ_F_HOUR,
	PQ_F_IDELTA,
	PQ_F_INCREASE,
	PQ_F_INFO,
	PQ_F_IRATE,
	PQ_F_LABEL_JOIN,
	PQ_F_LABEL_REPLACE,
	PQ_F_LAST_OVER_TIME,
	PQ_F_LN,
	PQ_F_LOG10,
	PQ_F_LOG2,
	PQ_F_MAD_OVER_TIME,
	PQ_F_MAX_OF,
	PQ_F_MAX_OVER_TIME,
	PQ_F_MIN_OF,
	PQ_F_MIN_OVER_TIME,
	PQ_F_MINUTE,
	PQ_F_MONTH,
	PQ_F_PI,
	PQ_F_PREDICT_LINEAR,
	PQ_F_PRESENT_OVER_TIME,
	PQ_F_QUANTILE_OVER_TIME,
	PQ_F_RAD,
	PQ_F_RANGE,
	PQ_F_RATE,
	PQ_F_RESETS,
	PQ_F_ROUND,
	PQ_F_SCALAR,
	PQ_F_SGN,
	PQ_F_SIN,
	PQ_F_SINH,
	PQ_F_SORT,
	PQ_F_SORT_BY_LABEL,
	PQ_F_SORT_BY_LABEL_DESC,
	PQ_F_SORT_DESC,
	PQ_F_SQRT,
	PQ_F_START,
	PQ_F_START_TIMESTAMP,
	PQ_F_STDDEV_OVER_TIME,
	PQ_F_STDVAR_OVER_TIME,
	PQ_F_STEP,
	PQ_F_SUM_OVER_TIME,
	PQ_F_TAN,
	PQ_F_TANH,
	PQ_F_TIME,
	PQ_F_TIMESERIES_GEN,
	PQ_F_TIMESTAMP,
	PQ_F_TS_OF_FIRST,
	PQ_F_TS_OF_LAST,
	PQ_F_TS_OF_MAX,
	PQ_F_TS_OF_MIN,
	PQ_F_VECTOR,
	PQ_F_YEAR
};

struct pq_fn {
	const char *name;
	enum pq_fn_id id;
	enum pq_class class;
	enum promql_type type;
	uint8_t arg[5];   /* enum pq_arg; the last given one repeats when there are more */
	uint8_t min, max; /* number of arguments; PQ_ARGS_ANY: any */
	bool experimental;
	bool time_bound; /* depends on the time of evaluation even when its arguments do not */
	bool missing;    /* known by name, not built */
};

const struct pq_fn *pq_fn_find(struct hg_str name);
/* The nearest name within distance 2, or NULL. */
const char *pq_fn_near(struct hg_str name);
bool pq_agg_find(struct hg_str name, enum pq_agg *ret_op);
const char *pq_agg_name(enum pq_agg op);
bool pq_agg_has_param(enum pq_agg op);
const char *pq_op_name(enum pq_op op);
bool pq_op_compares(enum pq_op op);
bool pq_op_is_set(enum pq_op op);
bool pq_op_trims(enum pq_op op);
/* Words of the grammar that are no metric's name unless it stands in quotes. */
bool pq_is_reserved(struct hg_str name);

/* ---- number.c ---- */

/* Without a sign; digits, hex, octal, "_". */
bool pq_number_parse(struct hg_str s, double *ret_v);
bool pq_duration_parse(struct hg_str s, int64_t *ret_ms);
void pq_duration_print(struct hg_buf *to, int64_t ms);
/* Go's %g with the shortest digits: an exponent below 1e-4 and from 1e6. */
void pq_number_print(struct hg_buf *to, double v);
/* Go's %q. */
void pq_quote(struct hg_buf *to, struct hg_str s);
/* [a-zA-Z_][a-zA-Z0-9_]*, with `colon` also ':'. */
bool pq_is_plain_name(struct hg_str s, bool colon);

/* ---- check.c ---- */

/* Types of everything below `n`, depth first. `ret_at`: where it is wrong. */
bool pq_check(struct promql_query *q, struct pq_node *n, struct hg_err *err);
/* Sets the error with the place of `at` in the text; returns false. */
bool pq_refuse(const struct promql_query *q, uint32_t at, struct hg_err *err, const char *fmt, ...)
        HG_PRINTF(4, 5);

/* ---- print.c ---- */

/* Nothing more once `to` has failed. */
void pq_node_print(struct hg_buf *to, const struct pq_node *n);
/* Parts of it: "sum by (a) ", "+ on (a)", "[5m:1m] offset 1h", "5m". */
void pq_agg_head_print(struct hg_buf *to, const struct pq_node *n);
void pq_op_print(struct hg_buf *to, const struct pq_node *n);
void pq_range_tail_print(struct hg_buf *to, const struct pq_node *n);
void pq_span_print(struct hg_buf *to, const struct pq_span *s);

/* ---- walk ---- */

/* How many children a node has (at most PQ_ARGS_MAX), and one of them; in the order of the text. */
uint32_t pq_child_count(const struct pq_node *n);
struct pq_node *pq_child(const struct pq_node *n, uint32_t i);
/* A paren's inside, however many. */
struct pq_node *pq_bare(struct pq_node *n);

#endif
