/* query: PromQL on the command line. */
#include "client_priv.h"

#include "observe/promql/promql.h"
#include "os/clock.h"
#include "os/file.h"
#include "wire/date.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX_N ((size_t)16 << 20)
#define OUT_MAX    ((size_t)256 << 20)
#define QUERY_MS   150000u /* a query may take two minutes, and wait for its turn before */
#define POINTS     120u    /* of a range without --step */
#define COURSE     40u     /* columns of the course */

/* ---- the expression, looked at here so that an error shows its place ---- */

/* The line of the text with the error, shortened around it; columns count characters. */
static void snippet(struct hg_str text, struct hg_err *err)
{
	struct hg_str line = {0};
	for (unsigned i = 0; i < err->line; i++)
		line = hg_str_cut(&text, '\n');
	size_t at = err->column ? HG_MIN((size_t)err->column - 1, line.n) : 0;
	size_t from = at > 100 ? at - 100 : 0;
	while (from < at && ((unsigned char)line.p[from] & 0xc0) == 0x80)
		from++;
	struct hg_str before = {line.p + from, at - from};
	size_t n = HG_MIN(line.n - from, sizeof err->snippet - 1);
	while (n < line.n - from && n && ((unsigned char)line.p[from + n] & 0xc0) == 0x80)
		n--;
	for (size_t i = 0; i < n; i++)
		err->snippet[i] = line.p[from + i] == '\t' ? ' ' : line.p[from + i];
	err->snippet[n] = 0;
	err->caret = (unsigned)hg_utf8_count(before) + 1;
}

static enum hg_rc check(const char *expr, bool range, struct hg_err *err)
{
	struct promql_query *q = NULL;
	struct hg_str text = hg_str(expr);
	if (!hg_utf8_valid(text))
		return hg_err_set(err, HG_E_QUERY_SYNTAX, "the expression is not UTF-8");
	enum hg_rc rc = promql_parse(text, &q, err);
	if (rc == HG_E_QUERY_SYNTAX && err->line) snippet(text, err);
	if (rc < 0) return rc;
	enum promql_type type = promql_type_of(q);
	promql_free(q);
	if (!range || type == PROMQL_SCALAR || type == PROMQL_VECTOR) return HG_OK;
	hg_err_set(err, HG_E_QUERY_SYNTAX, "an expression of type %s has no course",
	        promql_type_name(type));
	hg_err_hint(
	        err, "Leave --range out, or put a function around it: rate(…), max_over_time(…).");
	return HG_E_QUERY_SYNTAX;
}

/* ---- what is asked ---- */

struct span {
	bool range;
	double start, end, step; /* seconds */
};

static enum hg_rc span_read(const struct cli_args *a, struct span *s, struct hg_err *err)
{
	const char *time = a->value[CLI_F_TIME];
	uint64_t ago, ms;
	double v;
	*s = (struct span){.range = cli_has(a, CLI_F_RANGE), .end = (double)clock_wall_ms() / 1000};
	if (time && cli_duration(hg_str(time), &ago)) {
		s->end -= (double)ago / 1000;
	} else if (time && date_rfc3339_parse(hg_str(time), &ms)) {
		s->end = (double)ms / 1000;
	} else if (time) {
		if (!promql_number(hg_str(time), &v) || !isfinite(v) || fabs(v) > 1e11) {
			hg_err_set(err, HG_E_USAGE, "\"%.100s\" is no time", time);
			hg_err_hint(err,
			        "Write 2026-11-26T10:00:00Z, seconds since 1970, or 2h for two "
			        "hours ago.");
			return HG_E_USAGE;
		}
		s->end = v;
	}
	if (!s->range && cli_has(a, CLI_F_STEP))
		return hg_err_set(err, HG_E_USAGE, "--step goes with --range");
	if (!s->range) return HG_OK;
	double length = (double)a->number[CLI_F_RANGE] / 1000;
	s->start = s->end - length;
	s->step = cli_has(a, CLI_F_STEP) ? (double)a->number[CLI_F_STEP] / 1000
	                                 : HG_MAX(1.0, ceil(length / POINTS));
	if (length <= 0 || s->step <= 0)
		return hg_err_set(err, HG_E_USAGE, "--range and --step are longer than nothing");
	return HG_OK;
}

static void path_make(const char *expr, const struct span *s, struct hg_buf *path)
{
	char text[64];
	hg_buf_cstr(path, s->range ? "/api/v1/query_range" : "/api/v1/query");
	cli_query_add(path, "query", hg_str(expr));
	if (s->range) {
		snprintf(text, sizeof text, "%.3f", s->start);
		cli_query_add(path, "start", hg_str(text));
		snprintf(text, sizeof text, "%.3f", s->step);
		cli_query_add(path, "step", hg_str(text));
	}
	snprintf(text, sizeof text, "%.3f", s->end);
	cli_query_add(path, s->range ? "end" : "time", hg_str(text));
}

/* ---- what came, for people ---- */

/* name{a="b"}, clean of what could move the cursor. */
static void series_text(const json_t *metric, struct hg_buf *to)
{
	struct labels_builder b;
	struct labels ls;
	struct hg_buf raw;
	const char *name;
	json_t *value;
	labels_builder_init(&b);
	hg_buf_init(&raw, OUT_MAX);
	json_object_foreach((json_t *)(uintptr_t)metric, name, value)
	{
		labels_builder_add(&b, hg_str(name),
		        (struct hg_str){json_string_value(value), json_string_length(value)});
	}
	if (labels_builder_done(&b, &ls) == HG_OK) labels_print(&raw, ls);
	cli_clean(to, hg_buf_view(&raw));
	labels_builder_fini(&b);
	hg_buf_free(&raw);
}

static size_t widest(const json_t *result)
{
	struct hg_buf b;
	size_t i, width = 6;
	json_t *one;
	hg_buf_init(&b, OUT_MAX);
	json_array_foreach((json_t *)(uintptr_t)result, i, one)
	{
		hg_buf_reset(&b);
		series_text(json_object_get(one, "metric"), &b);
		width = HG_MAX(width, cli_width(hg_buf_text(&b)));
	}
	hg_buf_free(&b);
	return width;
}

/* What comes behind it begins at the same column in all lines. */
static void series_pad(const json_t *one, size_t width, struct hg_buf *to)
{
	struct hg_buf b;
	hg_buf_init(&b, OUT_MAX);
	series_text(json_object_get(one, "metric"), &b);
	cli_pad(to, hg_buf_text(&b), width);
	hg_buf_cstr(to, "  ");
	hg_buf_free(&b);
}

static double value_of(const json_t *point)
{
	const char *v = json_string_value(json_array_get(point, 1));
	return v ? strtod(v, NULL) : NAN; /* it knows NaN, +Inf and -Inf */
}

struct extent {
	double least, most, last;
	bool any; /* a value that is a number */
};

static struct extent extent_of(const json_t *values)
{
	struct extent e = {.last = NAN};
	size_t i;
	json_t *point;
	json_array_foreach((json_t *)(uintptr_t)values, i, point)
	{
		double v = value_of(point);
		e.last = v;
		if (!isfinite(v)) continue;
		e.least = e.any ? fmin(e.least, v) : v;
		e.most = e.any ? fmax(e.most, v) : v;
		e.any = true;
	}
	return e;
}

/* A column is the mean of the points that fall into it; none: a space. */
static void course(const struct cli *c, const json_t *values, const struct span *s,
        const struct extent *e, struct hg_buf *to)
{
	static const char *const block[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	static const char *const plain[] = {".", ":", "-", "=", "+", "*", "#", "@"};
	double sum[COURSE] = {0}, length = HG_MAX(s->end - s->start, 1e-3);
	unsigned n[COURSE] = {0};
	size_t i;
	json_t *point;
	json_array_foreach((json_t *)(uintptr_t)values, i, point)
	{
		double v = value_of(point);
		double at = (json_number_value(json_array_get(point, 0)) - s->start) / length;
		if (!isfinite(v) || at < 0) continue;
		size_t k = HG_MIN((size_t)(at * COURSE), (size_t)COURSE - 1);
		sum[k] += v;
		n[k]++;
	}
	for (size_t k = 0; k < COURSE; k++) {
		double height = e->most - e->least;
		double part = n[k] && height > 0 ? (sum[k] / n[k] - e->least) / height : 0;
		size_t step = (size_t)(HG_MIN(HG_MAX(part, 0.0), 1.0) * 7 + 0.5);
		hg_buf_cstr(to, !n[k] ? " " : c->utf8 ? block[step] : plain[step]);
	}
}

static void short_number(struct hg_buf *to, double v, bool any)
{
	char text[32];
	snprintf(text, sizeof text, any ? "%.4g" : "-", v);
	hg_buf_fmt(to, "%11s", text);
}

static void range_table(
        const struct cli *c, const json_t *result, const struct span *s, struct hg_buf *to)
{
	char from[32], until[32];
	size_t i, width = widest(result);
	json_t *one;
	/* What stands behind the name takes 3 × 11 + 2 + the course. */
	if (c->out_tty) width = HG_MIN(width, (size_t)HG_MAX(c->columns - 77, 20));
	hg_buf_str(to, hg_str(cli_bold(c)));
	cli_pad(to, "SERIES", width);
	hg_buf_fmt(to, "  %11s%11s%11s  %s%s\n", "MIN", "MAX", "LAST", "COURSE", cli_off(c));
	json_array_foreach((json_t *)(uintptr_t)result, i, one)
	{
		const json_t *values = json_object_get(one, "values");
		struct extent e = extent_of(values);
		series_pad(one, width, to);
		short_number(to, e.least, e.any);
		short_number(to, e.most, e.any);
		short_number(to, e.last, json_array_size(values) > 0);
		hg_buf_cstr(to, "  ");
		course(c, values, s, &e, to);
		hg_buf_byte(to, '\n');
	}
	hg_buf_fmt(to, "%s%s to %s UTC, a point every %gs%s\n", cli_dim(c),
	        cli_moment((uint64_t)(HG_MAX(s->start, 0.0) * 1000), from),
	        cli_moment((uint64_t)(HG_MAX(s->end, 0.0) * 1000), until), s->step, cli_off(c));
}

/* Of a range without a function around it: how many samples, and the newest. */
static void instant_table(const struct cli *c, const json_t *result, bool matrix, struct hg_buf *to)
{
	size_t i, width = widest(result);
	json_t *one;
	if (c->out_tty) width = HG_MIN(width, (size_t)HG_MAX(c->columns - 26, 20));
	hg_buf_str(to, hg_str(cli_bold(c)));
	cli_pad(to, "SERIES", width);
	hg_buf_fmt(to, "  %s%s\n", matrix ? "SAMPLES  NEWEST" : "VALUE", cli_off(c));
	json_array_foreach((json_t *)(uintptr_t)result, i, one)
	{
		const json_t *values = json_object_get(one, "values"), *last;
		size_t n = json_array_size(values);
		last = matrix ? json_array_get(values, n ? n - 1 : 0)
		              : json_object_get(one, "value");
		const char *v = json_string_value(json_array_get(last, 1));
		series_pad(one, width, to);
		if (matrix) hg_buf_fmt(to, "%7zu  ", n);
		hg_buf_fmt(to, "%s\n", v ? v : "-");
	}
}

static void notes(const json_t *doc, const char *name, const char *word)
{
	size_t i;
	json_t *one;
	json_array_foreach(cli_list(doc, name), i, one)
	        cli_say("%s: %s", word, json_is_string(one) ? json_string_value(one) : "");
}

static void show(const struct cli *c, const json_t *doc, const struct span *s)
{
	const json_t *data = json_object_get(doc, "data"),
	             *result = json_object_get(data, "result");
	const char *type = cli_text(data, "resultType");
	struct hg_buf to;
	hg_buf_init(&to, OUT_MAX);
	if (!strcmp(type, "scalar") || !strcmp(type, "string")) {
		const char *v = json_string_value(json_array_get(result, 1));
		cli_clean(&to, hg_str(v ? v : ""));
		hg_buf_byte(&to, '\n');
	} else if (!json_array_size(result)) {
		hg_buf_cstr(&to,
		        "no series: nothing has these names and labels at this time, or nothing "
		        "is left of it\n");
	} else if (s->range) {
		range_table(c, result, s, &to);
	} else {
		instant_table(c, result, !strcmp(type, "matrix"), &to);
	}
	cli_out("%s", hg_buf_text(&to));
	hg_buf_free(&to);
	notes(doc, "warnings", "warning");
	notes(doc, "infos", "note");
}

int cli_do_query_run(struct cli *c)
{
	const char *expr = c->args.positional[0];
	struct hg_err err = {0};
	struct span s;
	struct hg_buf path;
	json_t *doc = NULL;
	enum hg_rc rc = span_read(&c->args, &s, &err);
	if (rc == HG_OK) rc = check(expr, s.range, &err);
	if (rc < 0) return cli_fail(&err);
	hg_buf_init(&path, (size_t)4 << 20);
	path_make(expr, &s, &path);
	bool without;
	rc = cli_call_metrics(c, hg_buf_text(&path), QUERY_MS, &doc, &without, &err);
	hg_buf_free(&path);
	if (rc < 0) return cli_fail(&err);
	if (without) cli_say("control does not answer; observe was asked itself");
	if (cli_has(&c->args, CLI_F_JSON)) {
		json_t *out = json_pack("{s:s}", "schema", "headgate.query/1");
		(void)json_object_update(out, doc);
		/* Times have thirteen digits. */
		char *text = json_dumps(out, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
		cli_out("%s\n", text ? text : "null");
		free(text);
		json_decref(out);
	} else {
		show(c, doc, &s);
	}
	json_decref(doc);
	return 0;
}

int cli_do_query_test(struct cli *c)
{
	struct promql_test_counts counts = {0};
	struct hg_err err = {0};
	enum hg_rc rc = HG_OK;
	for (int i = 0; i < c->args.count && rc == HG_OK; i++) {
		struct hg_buf text, out;
		hg_buf_init(&text, FILE_MAX_N);
		hg_buf_init(&out, OUT_MAX);
		rc = file_read(c->args.positional[i], FILE_MAX_N, &text, &err);
		if (rc == HG_OK)
			rc = promql_test(
			        hg_buf_view(&text), c->args.positional[i], &out, &counts, &err);
		if (out.n) cli_out("%s", hg_buf_text(&out));
		hg_buf_free(&out);
		hg_buf_free(&text);
	}
	if (rc < 0) return cli_fail(&err);
	cli_out("%llu passed, %llu failed, %llu skipped\n", (unsigned long long)counts.passed,
	        (unsigned long long)counts.failed, (unsigned long long)counts.skipped);
	return counts.failed ? 1 : 0;
}
