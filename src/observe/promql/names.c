/* What is called how: functions, aggregations, operators. */
#include "ast_priv.h"

#define S    PQ_A_SCALAR
#define V    PQ_A_VECTOR
#define M    PQ_A_MATRIX
#define T    PQ_A_STRING
#define MANY PQ_ARGS_ANY

#define MATH(n, i)                                                                         \
	{                                                                                  \
		.name = n, .id = i, .class = PQ_C_MATH, .type = PROMQL_VECTOR, .arg = {V}, \
		.min = 1, .max = 1                                                         \
	}
#define DATE(n, i)                                                                         \
	{                                                                                  \
		.name = n, .id = i, .class = PQ_C_MATH, .type = PROMQL_VECTOR, .arg = {V}, \
		.min = 0, .max = 1, .time_bound = true                                     \
	}
#define OVER(n, i)                                                                          \
	{                                                                                   \
		.name = n, .id = i, .class = PQ_C_RANGE, .type = PROMQL_VECTOR, .arg = {M}, \
		.min = 1, .max = 1                                                          \
	}
#define OVER_X(n, i)                                                                        \
	{                                                                                   \
		.name = n, .id = i, .class = PQ_C_RANGE, .type = PROMQL_VECTOR, .arg = {M}, \
		.min = 1, .max = 1, .experimental = true                                    \
	}
#define OTHER(n, i, t, lo, hi, ...)                                                         \
	{                                                                                   \
		.name = n, .id = i, .class = PQ_C_SPECIAL, .type = t, .arg = {__VA_ARGS__}, \
		.min = lo, .max = hi                                                        \
	}
#define OTHER_X(n, i, t, lo, hi, ...)                                                       \
	{                                                                                   \
		.name = n, .id = i, .class = PQ_C_SPECIAL, .type = t, .arg = {__VA_ARGS__}, \
		.min = lo, .max = hi, .experimental = true                                  \
	}
#define BOUND_X(n, i)                                                             \
	{                                                                         \
		.name = n, .id = i, .class = PQ_C_SPECIAL, .type = PROMQL_SCALAR, \
		.experimental = true, .time_bound = true                          \
	}

static const struct pq_fn row[] = {
        MATH("abs", PQ_F_ABS),
        OTHER("absent", PQ_F_ABSENT, PROMQL_VECTOR, 1, 1, V),
        OTHER("absent_over_time", PQ_F_ABSENT_OVER_TIME, PROMQL_VECTOR, 1, 1, M),
        MATH("acos", PQ_F_ACOS),
        MATH("acosh", PQ_F_ACOSH),
        MATH("asin", PQ_F_ASIN),
        MATH("asinh", PQ_F_ASINH),
        MATH("atan", PQ_F_ATAN),
        MATH("atanh", PQ_F_ATANH),
        OVER("avg_over_time", PQ_F_AVG_OVER_TIME),
        MATH("ceil", PQ_F_CEIL),
        OVER("changes", PQ_F_CHANGES),
        OTHER("clamp", PQ_F_CLAMP, PROMQL_VECTOR, 3, 3, V, S, S),
        OTHER("clamp_max", PQ_F_CLAMP_MAX, PROMQL_VECTOR, 2, 2, V, S),
        OTHER("clamp_min", PQ_F_CLAMP_MIN, PROMQL_VECTOR, 2, 2, V, S),
        MATH("cos", PQ_F_COS),
        MATH("cosh", PQ_F_COSH),
        OVER("count_over_time", PQ_F_COUNT_OVER_TIME),
        DATE("day_of_month", PQ_F_DAY_OF_MONTH),
        DATE("day_of_week", PQ_F_DAY_OF_WEEK),
        DATE("day_of_year", PQ_F_DAY_OF_YEAR),
        DATE("days_in_month", PQ_F_DAYS_IN_MONTH),
        MATH("deg", PQ_F_DEG),
        OVER("delta", PQ_F_DELTA),
        OVER("deriv", PQ_F_DERIV),
        {.name = "double_exponential_smoothing",
                .id = PQ_F_DOUBLE_EXP,
                .class = PQ_C_RANGE,
                .type = PROMQL_VECTOR,
                .arg = {M, S, S},
                .min = 3,
                .max = 3,
                .experimental = true},
        BOUND_X("end", PQ_F_END),
        MATH("exp", PQ_F_EXP),
        OVER("first_over_time", PQ_F_FIRST_OVER_TIME),
        MATH("floor", PQ_F_FLOOR),
        OTHER("histogram_avg", PQ_F_HISTOGRAM_AVG, PROMQL_VECTOR, 1, 1, V),
        OTHER("histogram_count", PQ_F_HISTOGRAM_COUNT, PROMQL_VECTOR, 1, 1, V),
        OTHER("histogram_fraction", PQ_F_HISTOGRAM_FRACTION, PROMQL_VECTOR, 3, 3, S, S, V),
        OTHER("histogram_quantile", PQ_F_HISTOGRAM_QUANTILE, PROMQL_VECTOR, 2, 2, S, V),
        OTHER_X("histogram_quantiles", PQ_F_HISTOGRAM_QUANTILES, PROMQL_VECTOR, 3, 12, V, T, S),
        OTHER("histogram_stddev", PQ_F_HISTOGRAM_STDDEV, PROMQL_VECTOR, 1, 1, V),
        OTHER("histogram_stdvar", PQ_F_HISTOGRAM_STDVAR, PROMQL_VECTOR, 1, 1, V),
        OTHER("histogram_sum", PQ_F_HISTOGRAM_SUM, PROMQL_VECTOR, 1, 1, V),
        DATE("hour", PQ_F_HOUR),
        OVER("idelta", PQ_F_IDELTA),
        OVER("increase", PQ_F_INCREASE),
        OTHER_X("info", PQ_F_INFO, PROMQL_VECTOR, 1, 2, V, V),
        OVER("irate", PQ_F_IRATE),
        OTHER("label_join", PQ_F_LABEL_JOIN, PROMQL_VECTOR, 3, MANY, V, T, T, T),
        OTHER("label_replace", PQ_F_LABEL_REPLACE, PROMQL_VECTOR, 5, 5, V, T, T, T, T),
        OVER("last_over_time", PQ_F_LAST_OVER_TIME),
        MATH("ln", PQ_F_LN),
        MATH("log10", PQ_F_LOG10),
        MATH("log2", PQ_F_LOG2),
        OVER_X("mad_over_time", PQ_F_MAD_OVER_TIME),
        OTHER_X("max_of", PQ_F_MAX_OF, PROMQL_SCALAR, 2, 2, S, S),
        OVER("max_over_time", PQ_F_MAX_OVER_TIME),
        OTHER_X("min_of", PQ_F_MIN_OF, PROMQL_SCALAR, 2, 2, S, S),
        OVER("min_over_time", PQ_F_MIN_OVER_TIME),
        DATE("minute", PQ_F_MINUTE),
        DATE("month", PQ_F_MONTH),
        {.name = "pi", .id = PQ_F_PI, .class = PQ_C_SPECIAL, .type = PROMQL_SCALAR},
        {.name = "predict_linear",
                .id = PQ_F_PREDICT_LINEAR,
                .class = PQ_C_RANGE,
                .type = PROMQL_VECTOR,
                .arg = {M, S},
                .min = 2,
                .max = 2,
                .time_bound = true},
        OVER("present_over_time", PQ_F_PRESENT_OVER_TIME),
        {.name = "quantile_over_time",
                .id = PQ_F_QUANTILE_OVER_TIME,
                .class = PQ_C_RANGE,
                .type = PROMQL_VECTOR,
                .arg = {S, M},
                .min = 2,
                .max = 2},
        MATH("rad", PQ_F_RAD),
        BOUND_X("range", PQ_F_RANGE),
        OVER("rate", PQ_F_RATE),
        OVER("resets", PQ_F_RESETS),
        OTHER("round", PQ_F_ROUND, PROMQL_VECTOR, 1, 2, V, S),
        OTHER("scalar", PQ_F_SCALAR, PROMQL_SCALAR, 1, 1, V),
        MATH("sgn", PQ_F_SGN),
        MATH("sin", PQ_F_SIN),
        MATH("sinh", PQ_F_SINH),
        OTHER("sort", PQ_F_SORT, PROMQL_VECTOR, 1, 1, V),
        OTHER_X("sort_by_label", PQ_F_SORT_BY_LABEL, PROMQL_VECTOR, 1, MANY, V, T),
        OTHER_X("sort_by_label_desc", PQ_F_SORT_BY_LABEL_DESC, PROMQL_VECTOR, 1, MANY, V, T),
        OTHER("sort_desc", PQ_F_SORT_DESC, PROMQL_VECTOR, 1, 1, V),
        MATH("sqrt", PQ_F_SQRT),
        BOUND_X("start", PQ_F_START),
        {.name = "start_timestamp",
                .id = PQ_F_START_TIMESTAMP,
                .class = PQ_C_SPECIAL,
                .type = PROMQL_VECTOR,
                .arg = {V},
                .min = 1,
                .max = 1,
                .experimental = true,
                .missing = true},
        OVER("stddev_over_time", PQ_F_STDDEV_OVER_TIME),
        OVER("stdvar_over_time", PQ_F_STDVAR_OVER_TIME),
        BOUND_X("step", PQ_F_STEP),
        OVER("sum_over_time", PQ_F_SUM_OVER_TIME),
        MATH("tan", PQ_F_TAN),
        MATH("tanh", PQ_F_TANH),
        {.name = "time",
                .id = PQ_F_TIME,
                .class = PQ_C_SPECIAL,
                .type = PROMQL_SCALAR,
                .time_bound = true},
        {.name = "timestamp",
                .id = PQ_F_TIMESTAMP,
                .class = PQ_C_SPECIAL,
                .type = PROMQL_VECTOR,
                .arg = {V},
                .min = 1,
                .max = 1,
                .time_bound = true},
        {.name = "timeseries_gen",
                .id = PQ_F_TIMESERIES_GEN,
                .class = PQ_C_SPECIAL,
                .type = PROMQL_VECTOR,
                .arg = {T, T},
                .min = 1,
                .max = MANY,
                .experimental = true,
                .missing = true},
        OVER_X("ts_of_first_over_time", PQ_F_TS_OF_FIRST),
        OVER_X("ts_of_last_over_time", PQ_F_TS_OF_LAST),
        OVER_X("ts_of_max_over_time", PQ_F_TS_OF_MAX),
        OVER_X("ts_of_min_over_time", PQ_F_TS_OF_MIN),
        OTHER("vector", PQ_F_VECTOR, PROMQL_VECTOR, 1, 1, S),
        DATE("year", PQ_F_YEAR),
};

const struct pq_fn *pq_fn_find(struct hg_str name)
{
	for (size_t i = 0; i < HG_COUNT(row); i++)
		if (hg_str_eq(name, hg_str(row[i].name))) return &row[i];
	return NULL;
}

/* Of two as near, the one of the same length: letters are swapped more often than left out. */
static void consider(struct hg_str given, const char *name, uint32_t *least, const char **ret_best)
{
	struct hg_str n = hg_str(name);
	uint32_t d = hg_str_distance(given, n);
	if (d > 2 || d >= given.n) return;
	d = d * 2 + (n.n != given.n);
	if (d >= *least) return;
	*least = d;
	*ret_best = name;
}

const char *pq_fn_near(struct hg_str name)
{
	const char *best = NULL;
	uint32_t least = UINT32_MAX;
	for (size_t i = 0; i < HG_COUNT(row); i++)
		consider(name, row[i].name, &least, &best);
	for (int op = PQ_SUM; op <= PQ_LIMIT_RATIO; op++)
		consider(name, pq_agg_name((enum pq_agg)op), &least, &best);
	return best;
}

static const char *const aggs[] = {
        [PQ_SUM] = "sum",
        [PQ_AVG] = "avg",
        [PQ_COUNT] = "count",
        [PQ_MIN] = "min",
        [PQ_MAX] = "max",
        [PQ_GROUP] = "group",
        [PQ_STDDEV] = "stddev",
        [PQ_STDVAR] = "stdvar",
        [PQ_TOPK] = "topk",
        [PQ_BOTTOMK] = "bottomk",
        [PQ_QUANTILE] = "quantile",
        [PQ_COUNT_VALUES] = "count_values",
        [PQ_LIMITK] = "limitk",
        [PQ_LIMIT_RATIO] = "limit_ratio",
};

bool pq_agg_find(struct hg_str name, enum pq_agg *ret_op)
{
	for (size_t i = 0; i < HG_COUNT(aggs); i++) {
		if (!hg_str_eq_nocase(name, hg_str(aggs[i]))) continue;
		*ret_op = (enum pq_agg)i;
		return true;
	}
	return false;
}

const char *pq_agg_name(enum pq_agg op)
{
	return aggs[op];
}

bool pq_agg_has_param(enum pq_agg op)
{
	return op >= PQ_TOPK;
}

const char *pq_op_name(enum pq_op op)
{
	static const char *const name[] = {"+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">",
	        "<", ">=", "<=", "</", ">/", "and", "or", "unless"};
	return name[op];
}

bool pq_op_compares(enum pq_op op)
{
	return op >= PQ_EQL && op <= PQ_LTE;
}

bool pq_op_is_set(enum pq_op op)
{
	return op >= PQ_AND;
}

bool pq_op_trims(enum pq_op op)
{
	return op == PQ_TRIM_UPPER || op == PQ_TRIM_LOWER;
}

bool pq_is_reserved(struct hg_str name)
{
	static const char *const word[] = {
	        "atan2", "bool", "group_left", "group_right", "ignoring", "on"};
	for (size_t i = 0; i < HG_COUNT(word); i++)
		if (hg_str_eq_nocase(name, hg_str(word[i]))) return true;
	return false;
}
