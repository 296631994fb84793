#include "../../test.h"

#include "observe/promql/promql.h"

#include <stdlib.h>

/* What is printed is read again, and printed the same. */
static void what_is_printed_reads_back(void **s)
{
	static const struct {
		const char *in, *out; /* NULL: as it was written */
	} row[] = {
	        {"1", NULL},
	        {"-1e+100", NULL},
	        {"999999", NULL},
	        {"1000000", "1e+06"},
	        {"-123456789.5", "-1.234567895e+08"},
	        {"0.0001 + 0.00001", "0.0001 + 1e-05"},
	        {"0x10 + 010", "16 + 8"},
	        {"5m", NULL},
	        {"+Inf", NULL},
	        {"2 ^ Inf ^ 3", NULL},
	        {"+Inf ^ 3", "+Inf ^ 3"},
	        {"11 ^ 1e999 ^ 3", "11 ^ Inf ^ 3"},
	        {"nan", "NaN"},
	        {"\"a\\\"b\\n\"", NULL},
	        {"'x' # comment", "\"x\""},
	        {"`a\\b`", "\"a\\\\b\""},
	        {"foo", NULL},
	        {"foo{}", "foo"},
	        {"foo{a=\"b\",c!=\"d\",e=~\"f.*\",g!~\"h\",}",
	                "foo{a=\"b\",c!=\"d\",e=~\"f.*\",g!~\"h\"}"},
	        {"{__name__=~\"x.+\"}", NULL},
	        {"{__name__=\"foo\",a=\"b\"}", NULL},
	        {"{__name__=\"on\"}", NULL},
	        {"{\"on\"}", NULL},
	        {"{\"foo\"}", "foo"},
	        {"{\"foo\",__name__=~\"f.*\"}", NULL},
	        {"foo </ 5 >/ 2", NULL},
	        {"timeseries_gen(\"\")", NULL},
	        {"{\"my.metric\",\"a.b\"=\"c\"}", NULL},
	        {"sum", NULL},
	        {"by{on=\"ignoring\"}", NULL},
	        {"foo:bar:baz", NULL},
	        {"foo[5m]", NULL},
	        {"foo[300]", "foo[5m]"},
	        {"foo[1h:30s] @ start() offset -5m", NULL},
	        {"foo offset 5m @ 100", "foo @ 100.000 offset 5m"},
	        {"foo @ end()", NULL},
	        {"rate(foo[5m] offset 1w)", NULL},
	        {"foo[5m * 2 + step()]", NULL},
	        {"foo offset (5m - 1m)", NULL},
	        {"foo[max_of(1m, step())]", NULL},
	        {"rate(foo[5m] anchored)", NULL},
	        {"foo smoothed", NULL},
	        {"-foo", NULL},
	        {"--foo ^ 2", NULL},
	        {"(1 + 2) * 3", NULL},
	        {"SUM(foo) BY (a, \"b.c\")", "sum by (a, \"b.c\") (foo)"},
	        {"sum without () (foo)", NULL},
	        {"topk(3, foo)", NULL},
	        {"count_values by (x) (\"v\", foo)", NULL},
	        {"a + on (x, y) group_left (z) b", NULL},
	        {"a / ignoring (x) group_right () b", NULL},
	        {"a == bool b", NULL},
	        {"a and on () b or c unless d", NULL},
	        {"a + fill(0) b", "a + fill (0) b"},
	        {"a + on (x) fill_left(1) fill_right(2) b",
	                "a + on (x) fill_left (1) fill_right (2) b"},
	        {"a atan2 b % c ^ d", NULL},
	        {"label_replace(foo, \"a\", \"$1\", \"b\", \"(.*)\")", NULL},
	        {"time()", NULL},
	        {"histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))", NULL},
	        {"info(foo, {region=~\".*\"})", NULL},
	        {"info(foo, {})", NULL},
	        {"info(foo, {\"bar\",a=\"b\"})", NULL},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		const char *want = row[i].out ? row[i].out : row[i].in, *in = row[i].in;
		for (int round = 0; round < 2; round++) {
			struct promql_query *q;
			struct hg_err err = {0};
			struct hg_buf b;
			if (promql_parse(hg_str(in), &q, &err) < 0)
				fail_msg("%s: %s", in, err.message);
			hg_buf_init(&b, 1 << 16);
			promql_print(q, &b);
			assert_string_equal(hg_buf_text(&b), want);
			hg_buf_free(&b);
			promql_free(q);
			in = want;
		}
	}
}

/* The first is the example of Prometheus' page. */
static void the_tree_is_told_as_json(void **s)
{
	static const struct {
		const char *in, *out;
	} row[] = {
	        {"foo/bar",
	                "{\"bool\":false,\"lhs\":{\"matchers\":[{\"name\":\"__name__\",\"type\":\"="
	                "\",\"value\":\"foo\"}],\"name\":\"foo\",\"offset\":0,\"startOrEnd\":null,"
	                "\"timestamp\":null,\"type\":\"vectorSelector\"},\"matching\":{\"card\":"
	                "\"one-to-one\",\"include\":[],\"labels\":[],\"on\":false},\"op\":\"/"
	                "\",\"rhs\":{\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
	                "\"bar\"}],\"name\":\"bar\",\"offset\":0,\"startOrEnd\":null,\"timestamp\":"
	                "null,\"type\":\"vectorSelector\"},\"type\":\"binaryExpr\"}"},
	        {"1 < bool -2.5", "{\"bool\":true,\"lhs\":{\"type\":\"numberLiteral\",\"val\":"
	                          "\"1\"},\"matching\":null,\"op\":\"<\",\"rhs\":{\"type\":"
	                          "\"numberLiteral\",\"val\":\"-2.5\"},\"type\":\"binaryExpr\"}"},
	        {"(\"a\\\"b\")", "{\"expr\":{\"type\":\"stringLiteral\",\"val\":\"a\\\"b\"},"
	                         "\"type\":\"parenExpr\"}"},
	        {"-foo",
	                "{\"expr\":{\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
	                "\"foo\"}],\"name\":\"foo\",\"offset\":0,\"startOrEnd\":null,\"timestamp\":"
	                "null,\"type\":\"vectorSelector\"},\"op\":\"-\",\"type\":\"unaryExpr\"}"},
	        {"foo{a!~\"b\"} @ 1.5 offset -5m",
	                "{\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"foo\"},{"
	                "\"name\":\"a\",\"type\":\"!~\",\"value\":\"b\"}],\"name\":\"foo\","
	                "\"offset\":-300000,\"startOrEnd\":null,\"timestamp\":1500,\"type\":"
	                "\"vectorSelector\"}"},
	        {"{__name__=\"foo\"} @ end()",
	                "{\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"foo\"}],"
	                "\"name\":\"\",\"offset\":0,\"startOrEnd\":\"end\",\"timestamp\":null,"
	                "\"type\":\"vectorSelector\"}"},
	        {"rate({\"a.b\"}[1h30m] @ start())",
	                "{\"args\":[{\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
	                "\"a.b\"}],\"name\":\"a.b\",\"offset\":0,\"range\":5400000,\"startOrEnd\":"
	                "\"start\",\"timestamp\":null,\"type\":\"matrixSelector\"}],\"func\":{"
	                "\"argTypes\":[\"matrix\"],\"name\":\"rate\",\"returnType\":\"vector\","
	                "\"variadic\":0},\"type\":\"call\"}"},
	        {"max_over_time(foo[5m:] offset 1m)",
	                "{\"args\":[{\"expr\":{\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\","
	                "\"value\":\"foo\"}],\"name\":\"foo\",\"offset\":0,\"startOrEnd\":null,"
	                "\"timestamp\":null,\"type\":\"vectorSelector\"},\"offset\":60000,"
	                "\"range\":300000,\"startOrEnd\":null,\"step\":0,\"timestamp\":null,"
	                "\"type\":\"subquery\"}],\"func\":{\"argTypes\":[\"matrix\"],\"name\":"
	                "\"max_over_time\",\"returnType\":\"vector\",\"variadic\":0},\"type\":"
	                "\"call\"}"},
	        {"year()", "{\"args\":[],\"func\":{\"argTypes\":[\"vector\"],\"name\":\"year\","
	                   "\"returnType\":\"vector\",\"variadic\":1},\"type\":\"call\"}"},
	        {"topk by (a, b) (5, foo)",
	                "{\"expr\":{\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
	                "\"foo\"}],\"name\":\"foo\",\"offset\":0,\"startOrEnd\":null,\"timestamp\":"
	                "null,\"type\":\"vectorSelector\"},\"grouping\":[\"a\",\"b\"],\"op\":"
	                "\"topk\",\"param\":{\"type\":\"numberLiteral\",\"val\":\"5\"},\"type\":"
	                "\"aggregation\",\"without\":false}"},
	        {"sum without (a) (foo)",
	                "{\"expr\":{\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
	                "\"foo\"}],\"name\":\"foo\",\"offset\":0,\"startOrEnd\":null,\"timestamp\":"
	                "null,\"type\":\"vectorSelector\"},\"grouping\":[\"a\"],\"op\":\"sum\","
	                "\"param\":null,\"type\":\"aggregation\",\"without\":true}"},
	        {"foo * on (a) group_left (b) fill_right(0) bar",
	                "{\"bool\":false,\"lhs\":{\"matchers\":[{\"name\":\"__name__\",\"type\":\"="
	                "\",\"value\":\"foo\"}],\"name\":\"foo\",\"offset\":0,\"startOrEnd\":null,"
	                "\"timestamp\":null,\"type\":\"vectorSelector\"},\"matching\":{\"card\":"
	                "\"many-to-one\",\"fillValues\":{\"lhs\":null,\"rhs\":\"0\"},\"include\":["
	                "\"b\"],\"labels\":[\"a\"],\"on\":true},\"op\":\"*\",\"rhs\":{\"matchers\":"
	                "[{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"bar\"}],\"name\":"
	                "\"bar\",\"offset\":0,\"startOrEnd\":null,\"timestamp\":null,\"type\":"
	                "\"vectorSelector\"},\"type\":\"binaryExpr\"}"},
	        {"foo and bar",
	                "{\"bool\":false,\"lhs\":{\"matchers\":[{\"name\":\"__name__\",\"type\":\"="
	                "\",\"value\":\"foo\"}],\"name\":\"foo\",\"offset\":0,\"startOrEnd\":null,"
	                "\"timestamp\":null,\"type\":\"vectorSelector\"},\"matching\":{\"card\":"
	                "\"many-to-many\",\"include\":[],\"labels\":[],\"on\":false},\"op\":"
	                "\"and\",\"rhs\":{\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\","
	                "\"value\":\"bar\"}],\"name\":\"bar\",\"offset\":0,\"startOrEnd\":null,"
	                "\"timestamp\":null,\"type\":\"vectorSelector\"},\"type\":\"binaryExpr\"}"},
	        {"foo smoothed",
	                "{\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"foo\"}],"
	                "\"name\":\"foo\",\"offset\":0,\"smoothed\":true,\"startOrEnd\":null,"
	                "\"timestamp\":null,\"type\":\"vectorSelector\"}"},
	        {"foo offset (step() * 2)",
	                "{\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"foo\"}],"
	                "\"name\":\"foo\",\"offset\":0,\"offsetExpr\":\"(step() * "
	                "2)\",\"startOrEnd\":null,\"timestamp\":null,\"type\":\"vectorSelector\"}"},
	        {"label_join(foo, \"a\", \"\")",
	                "{\"args\":[{\"matchers\":[{\"name\":\"__name__\",\"type\":\"=\",\"value\":"
	                "\"foo\"}],\"name\":\"foo\",\"offset\":0,\"startOrEnd\":null,\"timestamp\":"
	                "null,\"type\":\"vectorSelector\"},{\"type\":\"stringLiteral\",\"val\":"
	                "\"a\"},{\"type\":\"stringLiteral\",\"val\":\"\"}],\"func\":{\"argTypes\":["
	                "\"vector\",\"string\",\"string\",\"string\"],\"name\":\"label_join\","
	                "\"returnType\":\"vector\",\"variadic\":-1},\"type\":\"call\"}"},
	        {"+Inf", "{\"type\":\"numberLiteral\",\"val\":\"+Inf\"}"},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct promql_query *q;
		struct hg_buf b;
		assert_int_equal(promql_parse(hg_str(row[i].in), &q, NULL), HG_OK);
		hg_buf_init(&b, 1 << 16);
		promql_tree(q, &b);
		assert_string_equal(hg_buf_text(&b), row[i].out);
		hg_buf_free(&b);
		promql_free(q);
	}
}

/* More than 100 bytes are broken; what fits stays in one line. */
static void what_is_long_is_broken_over_lines(void **s)
{
#define N40 "a_metric_with_a_name_that_has_40_letters"
	static const char *const row[] = {
	        "foo / bar",
	        "sum by (a) (\n    rate(" N40 N40 "[5m])\n  /\n    " N40 "{b=\"c\"}\n)",
	        "  " N40 "\n+ on (a, b) group_left (c)\n  rate(" N40 N40 "[5m])",
	        "    " N40 N40 "\n  *\n    " N40 "\n-\n  1",
	        "topk(\n  5,\n  (\n      " N40 "\n    unless\n      " N40 N40 "\n  )\n)",
	        "-(\n    " N40 "\n  +\n    " N40 N40 "\n)",
	        "max_over_time(\n  (\n      " N40 "\n    -\n      " N40 N40
	        "\n  )[5m:1m] offset 1h\n)",
	        "rate(\n  " N40 N40 N40 "[5m]\n)",
	        N40 N40 N40 "{a=\"b\"}",
	        "  Inf\n^\n  " N40 N40 N40,
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct promql_query *q;
		struct hg_buf b;
		struct hg_err err = {0};
		if (promql_parse(hg_str(row[i]), &q, &err) < 0)
			fail_msg("%s: %s", row[i], err.message);
		hg_buf_init(&b, 1 << 16);
		promql_pretty(q, &b);
		assert_string_equal(hg_buf_text(&b), row[i]);
		hg_buf_free(&b);
		promql_free(q);
	}
}

static void what_is_wrong_is_named_with_its_place(void **s)
{
	static const struct {
		const char *in;
		unsigned line, column;
		const char *message, *hint; /* parts of them */
	} row[] = {
	        {"", 1, 1, "no expression found", NULL},
	        {"1 +", 1, 4, "unexpected end of input", NULL},
	        {"foo{a=b}", 1, 7, "expected string", "in quotes"},
	        {"foo{a==\"b\"}", 1, 6, "one of = != =~ !~", "with \"=\""},
	        {"foo{a:\"b\"}", 1, 6, "one of = != =~ !~", "with \"=\""},
	        {"foo{a \"b\"}", 1, 7, "one of = != =~ !~", "with \"=\""},
	        {"foo{a=~\"(\"}", 1, 8, "error parsing regexp", NULL},
	        {"foo{a=\"b\"", 1, 10, "expected \",\" or \"}\"", NULL},
	        {"foo{\"bar\"}", 1, 5, "metric name must not be set twice", NULL},
	        {"foo{__name__=~\"b.*\"}", 1, 5, "metric name must not be set twice", NULL},
	        {"on{}", 1, 1, "unexpected \"on\" in expression", "{\"on\"}"},
	        {"1 + Group_Left", 1, 5, "unexpected \"Group_Left\"", NULL},
	        {"foo atan2 atan2", 1, 11, "unexpected \"atan2\"", NULL},
	        {"foo @ -Inf", 1, 5, "timestamp out of bounds for @ modifier: -Inf", NULL},
	        {"1 </ 2", 1, 1, "needs a histogram on its left", NULL},
	        {"foo </ bool 2", 1, 1, "bool modifier can only", NULL},
	        {"foo + fill(1) fill_left(2) bar", 1, 15, "may be filled in once", NULL},
	        {"info(foo, bar)", 1, 11, "expected label selectors only", NULL},
	        {"info(foo, {a=\"b\"} offset 1m)", 1, 11, "expected label selectors only", NULL},
	        {"{a=\"\"}", 1, 1, "at least one non-empty matcher", NULL},
	        {"raet(foo[5m])", 1, 1, "unknown function with name \"raet\"", "rate"},
	        {"sum(raet(foo[5m]))", 1, 5, "unknown function", "rate"},
	        {"holt_winters(foo[5m], 1, 1)", 1, 1, "unknown function",
	                "double_exponential_smoothing"},
	        {"rate(foo)", 1, 6,
	                "expected type range vector in call to function \"rate\", got instant "
	                "vector",
	                "[5m]"},
	        {"sum(foo[5m])", 1, 5,
	                "expected type instant vector in aggregation expression, got range vector",
	                NULL},
	        {"rate(foo[5m], 1)", 1, 1, "expected 1 argument(s) in call to \"rate\", got 2",
	                NULL},
	        {"round()", 1, 1, "expected at least 1 argument(s)", NULL},
	        {"topk(foo)", 1, 1,
	                "wrong number of arguments for aggregate expression provided, expected 2, "
	                "got 1",
	                NULL},
	        {"foo[0]", 1, 5, "duration must be greater than 0", NULL},
	        {"foo[5m", 1, 7, "expected \"]\"", NULL},
	        {"foo[5q]", 1, 5, "bad number or duration syntax", NULL},
	        {"sum(foo)[5m]", 1, 9, "ranges only allowed for vector selectors", "[5m:]"},
	        {"sum(foo) offset 5m", 1, 10, "offset modifier must be preceded by", NULL},
	        {"foo offset 5m offset 5m", 1, 15, "offset may not be set multiple times", NULL},
	        {"foo @ 1 @ 2", 1, 9, "may not be set multiple times", NULL},
	        {"1 == 1", 1, 1, "comparisons between scalars must use BOOL modifier", NULL},
	        {"foo + bool bar", 1, 1, "bool modifier can only be used on comparison operators",
	                NULL},
	        {"1 and foo", 1, 1, "set operator \"and\" not allowed in binary scalar expression",
	                NULL},
	        {"foo and on(a) group_left bar", 1, 1, "no grouping allowed for \"and\" operation",
	                NULL},
	        {"a + on(x) group_left(x) b", 1, 1,
	                "label \"x\" must not occur in ON and GROUP clause at once", NULL},
	        {"1 + \"x\"", 1, 5,
	                "binary expression must contain only scalar and instant vector types",
	                NULL},
	        {"-\"x\"", 1, 1, "unary expression only allowed on", NULL},
	        {"\"abc", 1, 1, "unterminated quoted string", NULL},
	        {"\"\\q\"", 1, 1, "unknown escape sequence", NULL},
	        {"foo\n  + bar)", 2, 8, "unexpected \")\"", NULL},
	        {"foo $", 1, 5, "unexpected character", NULL},
	        {"foo bar", 1, 5, "unexpected \"bar\"", NULL},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct promql_query *q;
		struct hg_err err = {0};
		if (promql_parse(hg_str(row[i].in), &q, &err) != HG_E_QUERY_SYNTAX)
			fail_msg("%s is taken", row[i].in);
		if (!strstr(err.message, row[i].message))
			fail_msg("%s: %s", row[i].in, err.message);
		if (err.line != row[i].line || err.column != row[i].column)
			fail_msg("%s: at %u:%u", row[i].in, err.line, err.column);
		if (row[i].hint && !strstr(err.hint, row[i].hint))
			fail_msg("%s: hint %s", row[i].in, err.hint);
	}
}

/* As it always was, though durations may be computed now: an offset without parentheses ends at the
 * first operator, also behind a sign. What is computed is experimental; these are not. */
static void a_plain_offset_ends_at_the_first_operator(void **s)
{
	static const char *const row[] = {"foo offset -2m ^ 2", "foo offset 2m ^ 2",
	        "foo offset -2m * 3", "foo offset -1m + 1m"};
	struct promql_query *q;
	struct hg_err err;
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		if (promql_parse(hg_str(row[i]), &q, &err) != HG_OK) fail_msg("%s", err.message);
		if (promql_is_experimental(q)) fail_msg("%s took its operator in", row[i]);
		promql_free(q);
	}
	assert_int_equal(promql_parse(HG_STR("foo offset -(2m ^ 2)"), &q, &err), HG_OK);
	assert_true(promql_is_experimental(q));
	promql_free(q);
}

static void a_query_may_be_long_and_deep_up_to_a_limit(void **s)
{
	static const struct {
		const char *open, *middle, *close;
	} row[] = {{"(", "1", ")"}, {"-", "foo", ""}, {"abs(", "foo", ")"}, {"1+", "1", ""},
	        {"2^", "1", ""}, {"", "foo[(", "m"}};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct hg_buf b;
		struct promql_query *q;
		struct hg_err err = {0};
		hg_buf_init(&b, 1 << 20);
		for (int k = 0; k < 100000; k++)
			hg_buf_cstr(&b, row[i].open);
		hg_buf_cstr(&b, row[i].middle);
		for (int k = 0; k < 100000; k++)
			hg_buf_cstr(&b, row[i].close);
		assert_int_not_equal(promql_parse(hg_buf_view(&b), &q, &err), HG_OK);
		hg_buf_free(&b);
	}
	struct promql_query *q;
	char *many = malloc(PROMQL_TEXT_MAX + 1);
	assert_non_null(many);
	memset(many, ' ', PROMQL_TEXT_MAX + 1);
	assert_int_equal(promql_parse((struct hg_str){many, PROMQL_TEXT_MAX + 1}, &q, NULL),
	        HG_E_QUERY_LIMIT);
	free(many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_printed_reads_back),
	        cmocka_unit_test(the_tree_is_told_as_json),
	        cmocka_unit_test(what_is_long_is_broken_over_lines),
	        cmocka_unit_test(what_is_wrong_is_named_with_its_place),
	        cmocka_unit_test(a_plain_offset_ends_at_the_first_operator),
	        cmocka_unit_test(a_query_may_be_long_and_deep_up_to_a_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
