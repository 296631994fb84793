#include "../test.h"

#include "wire/promread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DATA TEST_DATA "/../../data/promql/exposition/"

/* All events of a text, one a line, as a person would note them down. */
static void told(struct hg_str text, enum promread_format format, struct hg_buf *to)
{
	struct promread r = promread_over(text, format);
	struct promread_entry e;
	for (;;) {
		enum promread_event event = promread_next(&r, HG_STR(""), &e);
		switch (event) {
		case PROMREAD_END: return;
		case PROMREAD_BAD:
			hg_buf_fmt(to, "bad %u:%zu %s;", r.line, r.why_at - r.line_at + 1, r.why);
			return;
		case PROMREAD_SAMPLE:
			hg_buf_fmt(to, "%.*s=%.17g", HG_STR_ARG(e.series), e.value);
			if (e.has_time) hg_buf_fmt(to, "@%lld", (long long)e.time_ms);
			if (e.has_exemplar) {
				hg_buf_fmt(
				        to, "#%.*s=%g", HG_STR_ARG(e.exemplar), e.exemplar_value);
				if (e.exemplar_has_time)
					hg_buf_fmt(to, "@%lld", (long long)e.exemplar_time_ms);
			}
			hg_buf_byte(to, ';');
			break;
		default:
			hg_buf_fmt(to, "%s %.*s %.*s;",
			        event == PROMREAD_TYPE   ? "type"
			        : event == PROMREAD_HELP ? "help"
			                                 : "unit",
			        HG_STR_ARG(e.family), HG_STR_ARG(e.text));
		}
	}
}

struct reading {
	const char *text, *want;
};

static void check_all(const struct reading *row, size_t n, enum promread_format format)
{
	for (size_t i = 0; i < n; i++) {
		struct hg_buf got;
		hg_buf_init(&got, 1 << 16);
		told(hg_str(row[i].text), format, &got);
		assert_str(hg_buf_view(&got), row[i].want);
		hg_buf_free(&got);
	}
}

static void the_text_format_is_read_as_prometheus_reads_it(void **s)
{
	static const struct reading row[] = {
	        {"", ""},
	        {"\n\n", ""},
	        {"a 1\n", "a=1;"},
	        {"a 1", "a=1;"},
	        {"  a\t 1  \n", "a=1;"},
	        {"a{} 1\n", "a{}=1;"},
	        {"a:b{c=\"d\",} 1 1700000000123\n", "a:b{c=\"d\",}=1@1700000000123;"},
	        {"a{ c = \"d\" , e=\"f\" }5 -7\n", "a{ c = \"d\" , e=\"f\" }=5@-7;"},
	        {"a {c=\"d\"} 5\n", "a {c=\"d\"}=5;"},
	        {"a{c=\"\\\"\\\\\\n\\q\"} 5\n", "a{c=\"\\\"\\\\\\n\\q\"}=5;"},
	        {"{\"a.b\",c=\"d\"} 5\n", "{\"a.b\",c=\"d\"}=5;"},
	        {"{c=\"d\",\"a.b\"} 5\n", "{c=\"d\",\"a.b\"}=5;"},
	        {"a{\"c.d\"=\"e\"} 5\n", "a{\"c.d\"=\"e\"}=5;"},
	        {"a NaN\nb +Inf\nc -Inf\nd 1e3\ne .5\n", "a=nan;b=inf;c=-inf;d=1000;e=0.5;"},
	        {"# HELP a What it is.\n# TYPE a counter\na 1\n",
	                "help a What it is.;type a counter;a=1;"},
	        {"# HELP a\n#TYPE a gauge\n", "help a ;type a gauge;"},
	        {"# HELP \"a.b\" x\n# TYPE \"a.b\" untyped\n", "help a.b x;type a.b untyped;"},
	        {"# a comment\n# TYPED too\n#\na 1\n", "a=1;"},
	        {"# UNIT a seconds\na 1\n", "a=1;"},
	        {"# EOF\na 1\n", "a=1;"},
	        {"a\xc3\xbc 1\n", "bad 1:2 a number should stand here;"},
	        {"a 1\nb\n", "a=1;bad 2:2 a number should stand here;"},
	        {"a\n", "bad 1:2 a number should stand here;"},
	        {"a x\n", "bad 1:3 a number should stand here;"},
	        {"a 0x1p3\n", "bad 1:3 a number should stand here;"},
	        {"a 1_0\n", "bad 1:3 a number should stand here;"},
	        {"a 1e999\n", "bad 1:3 a number should stand here;"},
	        {"a 1 x\n", "bad 1:5 a time in whole milliseconds should stand here;"},
	        {"a 1 1.5\n", "bad 1:5 a time in whole milliseconds should stand here;"},
	        {"a 1 1 1\n", "bad 1:7 the line should end here;"},
	        {"a 1 1\r\n", "bad 1:5 a time in whole milliseconds should stand here;"},
	        {"a 1\r\n", "bad 1:3 a number should stand here;"},
	        {"1a 1\n", "bad 1:1 the name of a metric should stand here;"},
	        {"a{b=\"c\" 1\n", "bad 1:9 a comma or } should stand here;"},
	        {"a{b=c} 1\n", "bad 1:5 a label's value stands in quotes;"},
	        {"a{b=\"c} 1\n", "bad 1:5 the closing quote is missing;"},
	        {"a{b=\"c\\\"} 1\n", "bad 1:5 the closing quote is missing;"},
	        {"a{b=\"\xff\"} 1\n", "bad 1:5 this is not UTF-8;"},
	        {"a{b=\"\\\xff\"} 1\n", "bad 1:5 this is not UTF-8;"},
	        {"a{b} 1\n", "bad 1:4 = should stand here;"},
	        {"a{,} 1\n", "bad 1:3 the name of a label should stand here;"},
	        {"a{b:c=\"d\"} 1\n", "bad 1:4 = should stand here;"},
	        {"{} 1\n", "bad 1:2 the metric has no name;"},
	        {"{b=\"c\"} 1\n", "bad 1:7 the metric has no name;"},
	        {"{\"a\",\"b\"} 1\n", "bad 1:6 the metric has a name already;"},
	        {"a{\"b\"} 1\n", "bad 1:3 the metric has a name already;"},
	        {"{\"\"} 1\n", "bad 1:2 a name is empty;"},
	        {"# TYPE a\n", "bad 1:9 a type should stand here;"},
	        {"# TYPE a info\n", "bad 1:10 no such type;"},
	        {"# HELP 1 x\n", "bad 1:8 the name of a metric should stand here;"},
	};
	(void)s;
	check_all(row, HG_COUNT(row), PROMREAD_TEXT);
}

static void openmetrics_is_read_strictly(void **s)
{
	static const struct reading row[] = {
	        {"# EOF", ""},
	        {"# EOF\n", ""},
	        {"a_total 1\n# EOF\n", "a_total=1;"},
	        {"a 1 1700000000.123\n# EOF\n", "a=1@1700000000123;"},
	        {"a{b=\"c\"} 1 -1.5\n# EOF\n", "a{b=\"c\"}=1@-1500;"},
	        {"a 1 # {t=\"x\"} 0.5\n# EOF\n", "a=1#{t=\"x\"}=0.5;"},
	        {"a 1 2 # {} 3 4.5\n# EOF\n", "a=1@2000#{}=3@4500;"},
	        {"# TYPE a counter\n# UNIT a_seconds seconds\n# HELP a x \\\"y\\\"\n# EOF\n",
	                "type a counter;unit a_seconds seconds;help a x \\\"y\\\";"},
	        {"# TYPE a gaugehistogram\n# TYPE b stateset\n# TYPE c unknown\n# EOF\n",
	                "type a gaugehistogram;type b stateset;type c unknown;"},
	        {"a 1\n", "a=1;bad 2:1 the last line should be # EOF: this is not all of it;"},
	        {"", "bad 1:1 the last line should be # EOF: this is not all of it;"},
	        {"# EOF\na 1\n", "bad 1:7 something stands behind # EOF;"},
	        {"# EOFX\n", "bad 1:6 the line should end here;"},
	        {"\n# EOF\n", "bad 1:1 OpenMetrics has no empty lines;"},
	        {"# hello\n# EOF\n",
	                "bad 1:1 OpenMetrics has only # HELP, # TYPE, # UNIT and # EOF;"},
	        {"a  1\n# EOF\n", "bad 1:3 a number should stand here;"},
	        {"a 1 \n# EOF\n", "bad 1:4 the line should end here;"},
	        {"a{b=\"c\"}1\n# EOF\n", "bad 1:9 a space and a number should stand here;"},
	        {"a{ b=\"c\"} 1\n# EOF\n", "bad 1:3 the name of a label should stand here;"},
	        {" a 1\n# EOF\n", "bad 1:1 the name of a metric should stand here;"},
	        {"a 1 NaN\n# EOF\n", "bad 1:5 a time in seconds should stand here;"},
	        {"a 1 1e30\n# EOF\n", "bad 1:5 a time in seconds should stand here;"},
	        {"a 1 # 1\n# EOF\n", "bad 1:7 the labels of the exemplar should stand here;"},
	        {"# TYPE a untyped\n# EOF\n", "bad 1:10 no such type;"},
	        {"# UNIT a seconds\n# EOF\n",
	                "bad 1:10 the metric's name does not end with this unit;"},
	        {"# TYPE a counter\r\n# EOF\n", "bad 1:10 no such type;"},
	};
	(void)s;
	check_all(row, HG_COUNT(row), PROMREAD_OPENMETRICS);
}

static void labels_are_walked_and_unescaped(void **s)
{
	static const struct {
		const char *series, *want;
	} row[] = {
	        {"a", "__name__=a;"},
	        {"a{}", "__name__=a;"},
	        {"a {b=\"c\" , d = \"e\",}", "__name__=a;b=c;d=e;"},
	        {"a{b=\"\\\"x\\\\\\n\\q\"}", "__name__=a;b=\"x\\\n\\q;"},
	        {"{\"a.b\",c=\"}\"}", "__name__=a.b;c=};"},
	        {"{\"c.d\"=\"e\",\"a\\\"b\"}", "c.d=e;__name__=a\"b;"},
	        {"a:b{c=\"{,=\"}", "__name__=a:b;c={,=;"},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct promread_label l;
		struct hg_buf got;
		size_t at = 0;
		hg_buf_init(&got, 1000);
		while (promread_label_next(hg_str(row[i].series), &at, &l)) {
			promread_unescape(l.name, false, &got);
			hg_buf_byte(&got, '=');
			promread_unescape(l.value, false, &got);
			hg_buf_byte(&got, ';');
			if (!l.value_escaped)
				assert_int_equal(hg_str_find(l.value, '\\'), l.value.n);
		}
		assert_str(hg_buf_view(&got), row[i].want);
		hg_buf_free(&got);
	}
	struct hg_buf help;
	hg_buf_init(&help, 100);
	promread_unescape(HG_STR("a\\\\b\\nc\\\"d\\"), true, &help);
	assert_str(hg_buf_view(&help), "a\\b\nc\\\"d\\");
	hg_buf_free(&help);
}

static void a_hint_changes_nothing_but_the_time_it_takes(void **s)
{
	static const struct {
		const char *line, *hint;
	} row[] = {
	        {"a{b=\"c\"} 1\n", "a{b=\"c\"}"},
	        {"a{b=\"c\"} 1\n", "a"},
	        {"a {b=\"c\"} 1\n", "a"},
	        {"a\t{b=\"c\"} 1\n", "a"},
	        {"a 1\n", "a"},
	        {"ab 1\n", "a"},
	        {"a{b=\"c\"}1\n", "a{b=\"c\"}"},
	        {"a", "a"},
	        {"a ", "a"},
	        {"a{b=\"c\",d=\"e\"} 1\n", "a{b=\"c\"}"},
	        {"b 1\n", "a{b=\"c\"}"},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct promread_entry with = {0}, without = {0};
		struct promread r = promread_over(hg_str(row[i].line), PROMREAD_TEXT), q = r;
		enum promread_event e = promread_next(&r, hg_str(row[i].hint), &with);
		assert_int_equal(e, promread_next(&q, HG_STR(""), &without));
		assert_true(hg_str_eq(with.series, without.series));
		assert_int_equal(r.at, q.at);
	}
}

static uint64_t bits(double v)
{
	uint64_t b;
	memcpy(&b, &v, sizeof b);
	return b;
}

static void numbers_are_exact(void **s)
{
	static const char *const good[] = {"0", "-0", "1", "0.1", "1.", ".5", "+5", "1e5", "1E-5",
	        "123456789012345678", "12345678901234567890", "0.12345678901234567",
	        "1.7976931348623157e308", "4.9e-324", "2.2250738585072014e-308", "1e-400",
	        "9007199254740993", "9007199254740993e0", "0.000000000000000000000000001", "1e22",
	        "1e23", "8.5e25", "123e27", "00000000000000000000000001.5", "7.6238e-05", "5e-1",
	        "1000000000000000000000000"};
	static const char *const wrong[] = {"", "-", "+", ".", "e5", "1e", "1e+", "1x", "0x10",
	        "1_0", " 1", "--1", "+nan", "infi", "1e309", "1.2.3"};
	double v;
	unsigned x = 7;
	(void)s;
	for (size_t i = 0; i < HG_COUNT(good); i++) {
		assert_true(promread_number(hg_str(good[i]), &v));
		if (bits(v) != bits(strtod(good[i], NULL))) fail_msg("%s: %.17g", good[i], v);
	}
	for (size_t i = 0; i < HG_COUNT(wrong); i++)
		if (promread_number(hg_str(wrong[i]), &v)) fail_msg("\"%s\": %g", wrong[i], v);
	assert_true(promread_number(HG_STR("nAn"), &v));
	assert_true(bits(v) == 0x7ff8000000000001ull);
	assert_true(promread_number(HG_STR("+infinity"), &v) && isinf(v) && v > 0);
	assert_true(promread_number(HG_STR("-Inf"), &v) && isinf(v) && v < 0);
	for (int i = 0; i < 200000; i++) { /* what a wrong second rounding would show */
		char text[64];
		uint64_t b = 0;
		double want;
		for (int k = 0; k < 5; k++) {
			x = x * 1664525u + 1013904223u;
			b = b << 13 ^ x >> 8;
		}
		(void)snprintf(
		        text, sizeof text, "%.*g", 15 + (int)(x >> 10) % 5, (double)(b >> 11));
		(void)snprintf(text + strcspn(text, "e"), 8, "e%d", (int)(x >> 16) % 46 - 30);
		want = strtod(text, NULL);
		if (!promread_number(hg_str(text), &v) || bits(v) != bits(want))
			fail_msg("%s: %.17g, want %.17g", text, v, want);
	}
}

static void bounds_get_the_form_of_openmetrics(void **s)
{
	static const struct {
		double v;
		const char *want;
	} row[] = {{1, "1.0"}, {0, "0.0"}, {-1, "-1.0"}, {0.5, "0.5"}, {10, "10.0"}, {2.5, "2.5"},
	        {0.005, "0.005"}, {100000, "100000.0"}, {1000000, "1e+06"},
	        {1234567, "1.234567e+06"}, {0.0001, "0.0001"}, {0.00001, "1e-05"},
	        {0.1 + 0.2, "0.30000000000000004"}, {1e100, "1e+100"}, {123456, "123456.0"},
	        {99999.5, "99999.5"}, {INFINITY, "+Inf"}, {-INFINITY, "-Inf"}, {NAN, "NaN"},
	        {5e-324, "5e-324"}};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		char to[PROMREAD_NUMBER_MAX];
		assert_str(((struct hg_str){to, promread_number_text(row[i].v, to)}), row[i].want);
	}
}

static struct hg_str file(const char *path)
{
	FILE *f = fopen(path, "r");
	static char bytes[1 << 19];
	size_t n;
	if (!f) fail_msg("%s cannot be opened", path);
	n = fread(bytes, 1, sizeof bytes, f);
	(void)fclose(f);
	return (struct hg_str){bytes, n};
}

/* What `grep -vc '^#'` counts, and the same again with the lines before as hints. */
static void count_file(const char *path, enum promread_format format, size_t samples, size_t types,
        size_t exemplars)
{
	struct promread r = promread_over(file(path), format);
	struct hg_str *seen = calloc(samples + 1, sizeof *seen);
	struct promread_entry e;
	enum promread_event event;
	size_t n = 0, t = 0, x = 0;
	assert_non_null(seen);
	while ((event = promread_next(&r, HG_STR(""), &e)) != PROMREAD_END) {
		if (event == PROMREAD_BAD) fail_msg("line %u: %s", r.line, r.why);
		t += event == PROMREAD_TYPE;
		x += event == PROMREAD_SAMPLE && e.has_exemplar;
		if (event == PROMREAD_SAMPLE && n++ < samples) seen[n - 1] = e.series;
	}
	assert_int_equal(n, samples);
	assert_int_equal(t, types);
	assert_int_equal(x, exemplars);
	r = promread_over(r.text, format);
	for (n = 0; (event = promread_next(&r, seen[n], &e)) != PROMREAD_END;) {
		assert_int_not_equal(event, PROMREAD_BAD);
		if (event == PROMREAD_SAMPLE) assert_true(e.series.p == seen[n++].p);
	}
	assert_int_equal(n, samples);
	free(seen);
}

static void prometheus_own_files_are_read_whole(void **s)
{
	(void)s;
	count_file(DATA "alltypes.237mfs.prom.txt", PROMREAD_TEXT, 1857, 237, 0);
	count_file(DATA "1histogram.om.txt", PROMREAD_OPENMETRICS, 42, 1, 0);
}

static void an_error_shows_the_line(void **s)
{
	struct promread r = promread_over(HG_STR("a 1\nb{c=d} 1\n"), PROMREAD_TEXT);
	struct promread_entry e;
	struct hg_err err;
	struct hg_buf text;
	(void)s;
	assert_int_equal(promread_next(&r, HG_STR(""), &e), PROMREAD_SAMPLE);
	assert_int_equal(promread_next(&r, HG_STR(""), &e), PROMREAD_BAD);
	assert_int_equal(promread_next(&r, HG_STR(""), &e), PROMREAD_BAD);
	assert_int_equal(promread_err(&r, "http://web/metrics", &err), HG_E_EXPOSITION);
	hg_buf_init(&text, 2000);
	hg_err_print(&err, &text);
	assert_string_equal(hg_buf_text(&text),
	        "http://web/metrics:2:5: error HG1301: these metrics cannot be read: a label's "
	        "value stands in quotes\n"
	        "     2 | b{c=d} 1\n"
	        "       |     ^\n");
	hg_buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_text_format_is_read_as_prometheus_reads_it),
	        cmocka_unit_test(openmetrics_is_read_strictly),
	        cmocka_unit_test(labels_are_walked_and_unescaped),
	        cmocka_unit_test(a_hint_changes_nothing_but_the_time_it_takes),
	        cmocka_unit_test(numbers_are_exact),
	        cmocka_unit_test(bounds_get_the_form_of_openmetrics),
	        cmocka_unit_test(prometheus_own_files_are_read_whole),
	        cmocka_unit_test(an_error_shows_the_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
