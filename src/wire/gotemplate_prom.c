/* The functions that Prometheus and Alertmanager add. */
#include "wire/gotemplate_priv.h"

#include "wire/ip.h"
#include "wire/json.h"
#include "wire/re.h"

#include <math.h>
#include <stdlib.h>

bool gt_text(struct gt_run *r, const struct gt_value *v, struct hg_str *ret)
{
	if (v->kind != GT_STR && v->kind != GT_SAFE)
		return gt_fail(r, "a text is wanted, not a %s", gt_kind_name(v));
	*ret = v->s;
	return true;
}

bool gt_number(struct gt_run *r, const struct gt_value *v, double *ret)
{
	char text[64], *end;
	if (v->kind == GT_FLOAT) return *ret = v->f, true;
	if (v->kind == GT_INT) return *ret = (double)v->i, true;
	if (v->kind == GT_DURATION) return *ret = (double)v->i / 1e9, true;
	if (v->kind != GT_STR) return gt_fail(r, "a %s is no number", gt_kind_name(v));
	if (!v->s.n || !hg_str_copy(v->s, text, sizeof text) || strlen(text) != v->s.n)
		return gt_fail(r, "a text is no number");
	*ret = strtod(text, &end);
	if (*end || text[0] == ' ') return gt_fail(r, "\"%s\" is no number", text);
	return true;
}

static void scaled(struct hg_buf *to, double v, double by, const char *const *units, int n)
{
	const char *unit = "";
	for (int i = 0; i < n && fabs(v) >= by; i++) {
		unit = units[i];
		v /= by;
	}
	gt_float_format(to, v, 'g', 4);
	hg_buf_cstr(to, unit);
}

static void small(struct hg_buf *to, double v)
{
	static const char *const units[] = {"m", "u", "n", "p", "f", "a", "z", "y"};
	const char *unit = "";
	for (size_t i = 0; i < HG_COUNT(units) && fabs(v) < 1; i++) {
		unit = units[i];
		v *= 1000;
	}
	gt_float_format(to, v, 'g', 4);
	hg_buf_cstr(to, unit);
}

void gotemplate_humanize(struct hg_buf *to, double v)
{
	static const char *const units[] = {"k", "M", "G", "T", "P", "E", "Z", "Y"};
	if (v == 0 || isnan(v) || isinf(v))
		gt_float_format(to, v, 'g', 4);
	else if (fabs(v) >= 1)
		scaled(to, v, 1000, units, HG_COUNT(units));
	else
		small(to, v);
}

void gotemplate_humanize1024(struct hg_buf *to, double v)
{
	static const char *const units[] = {"ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"};
	if (fabs(v) <= 1 || isnan(v) || isinf(v))
		gt_float_format(to, v, 'g', 4);
	else
		scaled(to, v, 1024, units, HG_COUNT(units));
}

void gotemplate_humanize_duration(struct hg_buf *to, double v)
{
	if (isnan(v) || isinf(v)) {
		gt_float_format(to, v, 'g', 4);
		return;
	}
	if (fabs(v) < 1) {
		if (v == 0)
			hg_buf_byte(to, '0');
		else
			small(to, v);
		hg_buf_byte(to, 's');
		return;
	}
	if (v < 0) hg_buf_byte(to, '-');
	v = fabs(v);
	uint64_t s = v < 9.2e18 ? (uint64_t)v : (uint64_t)INT64_MAX;
	unsigned long long days = s / 86400, hours = s / 3600 % 24, minutes = s / 60 % 60;
	if (days) hg_buf_fmt(to, "%llud ", days);
	if (days || hours) hg_buf_fmt(to, "%lluh ", hours);
	if (days || hours || minutes) {
		hg_buf_fmt(to, "%llum %llus", minutes, (unsigned long long)(s % 60));
		return;
	}
	gt_float_format(to, v, 'g', 4);
	hg_buf_byte(to, 's');
}

#define FN(name)                                                                         \
	static bool name(HG_UNUSED struct gt_run *r, HG_UNUSED const struct gt_value *a, \
	        HG_UNUSED uint32_t n, struct gt_value *ret)

static void buffer(struct gt_run *r, struct hg_buf *b)
{
	hg_buf_init(b, r->to->max);
}

static bool human(struct gt_run *r, const struct gt_value *a, void (*fn)(struct hg_buf *, double),
        struct gt_value *ret)
{
	struct hg_buf b;
	double v = 0;
	if (!gt_number(r, a, &v)) return false;
	buffer(r, &b);
	fn(&b, v);
	return gt_take(r, &b, GT_STR, ret);
}

FN(fn_humanize)
{
	return human(r, a, gotemplate_humanize, ret);
}
FN(fn_humanize1024)
{
	return human(r, a, gotemplate_humanize1024, ret);
}
FN(fn_humanize_duration)
{
	return human(r, a, gotemplate_humanize_duration, ret);
}

static void percentage(struct hg_buf *b, double v)
{
	gt_float_format(b, v * 100, 'g', 4);
	hg_buf_byte(b, '%');
}
FN(fn_percentage)
{
	return human(r, a, percentage, ret);
}

static void timestamp(struct hg_buf *b, double v)
{
	if (isnan(v) || isinf(v) || fabs(v) > 9e12) {
		gt_float_format(b, v, 'g', 4);
		return;
	}
	struct gt_value t = {.kind = GT_TIME, .i = (int64_t)(v * 1000 + (v < 0 ? -0.5 : 0.5))};
	gotemplate_print(b, &t);
}
FN(fn_timestamp)
{
	return human(r, a, timestamp, ret);
}

FN(fn_to_time)
{
	double v = 0;
	if (!gt_number(r, a, &v)) return false;
	if (isnan(v) || fabs(v) > 9e12) return gt_fail(r, "a number is no time");
	*ret = (struct gt_value){.kind = GT_TIME, .i = (int64_t)(v * 1000 + (v < 0 ? -0.5 : 0.5))};
	return true;
}

FN(fn_to_duration)
{
	double v = 0;
	if (!gt_number(r, a, &v)) return false;
	if (isnan(v) || fabs(v) > 9e9) return gt_fail(r, "a number is no duration");
	*ret = (struct gt_value){.kind = GT_DURATION, .i = (int64_t)(v * 1e9)};
	return true;
}

FN(fn_now)
{
	return *ret = gt_float((double)r->env->now_ms / 1000), true;
}

FN(fn_since)
{
	if (a->kind != GT_TIME) return gt_fail(r, "since takes a time");
	int64_t ms = (int64_t)r->env->now_ms - a->i;
	*ret = (struct gt_value){
	        .kind = GT_DURATION, .i = llabs(ms) > 9000000000000 ? 0 : ms * 1000000};
	return true;
}

FN(fn_parse_duration)
{
	struct hg_str s = {0};
	uint64_t ms;
	if (!gt_text(r, a, &s)) return false;
	if (!gotemplate_duration(s, &ms))
		return gt_fail(r, "\"%.*s\" is no duration", HG_STR_ARG(s));
	return *ret = gt_float((double)ms / 1000), true;
}

/* ---- texts ---- */

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}
static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

FN(fn_to_upper)
{
	struct hg_str s = {0};
	struct hg_buf b;
	if (!gt_text(r, a, &s)) return false;
	buffer(r, &b);
	for (size_t i = 0; i < s.n; i++)
		hg_buf_byte(&b, upper(s.p[i]));
	return gt_take(r, &b, GT_STR, ret);
}

FN(fn_to_lower)
{
	struct hg_str s = {0};
	struct hg_buf b;
	if (!gt_text(r, a, &s)) return false;
	buffer(r, &b);
	for (size_t i = 0; i < s.n; i++)
		hg_buf_byte(&b, lower(s.p[i]));
	return gt_take(r, &b, GT_STR, ret);
}

static bool in_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || (c & 0x80);
}

FN(fn_title)
{
	struct hg_str s = {0};
	struct hg_buf b;
	if (!gt_text(r, a, &s)) return false;
	buffer(r, &b);
	for (size_t i = 0; i < s.n; i++)
		hg_buf_byte(&b, i == 0 || !in_word(s.p[i - 1]) ? upper(s.p[i]) : s.p[i]);
	return gt_take(r, &b, GT_STR, ret);
}

FN(fn_trim_space)
{
	struct hg_str s = {0};
	if (!gt_text(r, a, &s)) return false;
	return *ret = gt_str(hg_str_trim(s)), true;
}

FN(fn_join)
{
	struct hg_str by = {0};
	struct hg_buf b;
	if (!gt_text(r, a, &by)) return false;
	if (a[1].kind != GT_LIST) return gt_fail(r, "join takes a separator and a list");
	buffer(r, &b);
	for (uint32_t i = 0; i < a[1].list.n; i++) {
		if (i) hg_buf_str(&b, by);
		gotemplate_print(&b, &a[1].list.at[i]);
	}
	return gt_take(r, &b, GT_STR, ret);
}

FN(fn_string_slice)
{
	struct gt_value *at = gt_memory(r, n, sizeof *at);
	if (!at) return false;
	for (uint32_t i = 0; i < n; i++)
		at[i] = a[i];
	return *ret = gt_list(at, n, GT_TEXTS), true;
}

FN(fn_safe)
{
	struct hg_str s = {0};
	if (!gt_text(r, a, &s)) return false;
	return *ret = (struct gt_value){.kind = GT_SAFE, .s = s}, true;
}

static bool regex(struct gt_run *r, const struct gt_value *pattern, struct re **ret)
{
	struct hg_str s = {0};
	struct hg_err err = {0};
	if (!gt_text(r, pattern, &s)) return false;
	r->steps += 100; /* it costs more than a step */
	if (re_compile(s, 0, ret, &err) == HG_OK) return true;
	return gt_fail(r, "\"%.*s\" is no regular expression: %s", (int)HG_MIN(s.n, 100), s.p,
	        err.message);
}

FN(fn_match)
{
	struct hg_str s = {0};
	struct re *re;
	if (!gt_text(r, &a[1], &s) || !regex(r, a, &re)) return false;
	*ret = gt_bool(re_match(re, s));
	re_free(re);
	return true;
}

/* Go's ReplaceAllString: an empty match is not taken right behind another match. */
static void replace_all(struct gt_run *r, struct re *re, struct hg_str with, struct hg_str s,
        struct re_group *group, struct hg_buf *to)
{
	size_t at = 0, last = 0;
	bool any = false;
	while (at <= s.n && !to->failed && r->steps < GOTEMPLATE_STEPS_MAX) {
		struct hg_str rest = {s.p + at, s.n - at};
		r->steps += 1 + (uint32_t)(rest.n / 256);
		if (!re_search(re, rest, group, re_groups(re))) break;
		size_t from = (size_t)(group[0].p - s.p), end = from + group[0].n;
		bool empty = from == end;
		if (!(empty && any && from == last)) {
			hg_buf_str(to, (struct hg_str){s.p + last, from - last});
			re_expand(re, with, group, to);
			last = end;
			any = true;
		}
		at = empty ? end + 1 : end;
		while (empty && at < s.n && (s.p[at] & 0xc0) == 0x80)
			at++;
		/* What is bound to the beginning of the text does so once. */
		if (hg_str_starts(re_pattern(re), HG_STR("^")) && at > 0) break;
	}
	if (last < s.n) hg_buf_str(to, (struct hg_str){s.p + last, s.n - last});
}

FN(fn_replace)
{
	struct hg_str with = {0}, s = {0};
	struct re *re;
	struct hg_buf b;
	if (!gt_text(r, &a[1], &with) || !gt_text(r, &a[2], &s) || !regex(r, a, &re)) return false;
	struct re_group *group = gt_memory(r, re_groups(re), sizeof *group);
	buffer(r, &b);
	if (group) replace_all(r, re, with, s, group, &b);
	re_free(re);
	if (!group) {
		hg_buf_free(&b);
		return false;
	}
	return gt_take(r, &b, GT_STR, ret);
}

/* "host:port", "[v6]:port": its two parts; false: it is neither. */
static bool host_port(struct hg_str s, struct hg_str *host, struct hg_str *port)
{
	size_t colon = s.n;
	while (colon > 0 && s.p[colon - 1] != ':')
		colon--;
	if (!colon) return false;
	*host = (struct hg_str){s.p, colon - 1};
	*port = (struct hg_str){s.p + colon, s.n - colon};
	if (host->n >= 2 && host->p[0] == '[' && host->p[host->n - 1] == ']') {
		*host = (struct hg_str){host->p + 1, host->n - 2};
		return true;
	}
	return hg_str_find(*host, ':') == host->n;
}

FN(fn_strip_port)
{
	struct hg_str s = {0}, host = {0}, port = {0};
	if (!gt_text(r, a, &s)) return false;
	return *ret = gt_str(host_port(s, &host, &port) ? host : s), true;
}

static bool is_address(struct hg_str s)
{
	bool digits = s.n > 0, colon = hg_str_find(s, ':') < s.n;
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] < '0' || s.p[i] > '9') && s.p[i] != '.') digits = false;
	return digits || colon;
}

FN(fn_strip_domain)
{
	struct hg_str s = {0}, host = {0}, port = {0};
	struct hg_buf b;
	if (!gt_text(r, a, &s)) return false;
	if (!host_port(s, &host, &port)) {
		host = s;
		port = (struct hg_str){0};
	}
	if (is_address(host)) return *ret = gt_str(s), true;
	buffer(r, &b);
	hg_buf_str(&b, (struct hg_str){host.p, hg_str_find(host, '.')});
	if (port.n) {
		hg_buf_byte(&b, ':');
		hg_buf_str(&b, port);
	}
	return gt_take(r, &b, GT_STR, ret);
}

static void json_value(struct json_out *j, const struct gt_value *v, uint32_t depth)
{
	struct hg_buf b;
	switch (depth > 16 ? GT_NONE : v->kind) {
	case GT_NONE: json_out_null(j); return;
	case GT_BOOL: json_out_bool(j, v->b); return;
	case GT_INT:
	case GT_DURATION: json_out_int(j, v->i); return;
	case GT_FLOAT: json_out_num(j, v->f); return;
	case GT_STR:
	case GT_SAFE: json_out_str(j, v->s); return;
	case GT_TIME:
		hg_buf_init(&b, 256);
		gotemplate_time(&b, v, HG_STR("2006-01-02T15:04:05.999999999Z07:00"));
		json_out_str(j, hg_buf_view(&b));
		hg_buf_free(&b);
		return;
	case GT_LIST:
		json_out_array(j);
		for (uint32_t i = 0; i < v->list.n; i++)
			json_value(j, &v->list.at[i], depth + 1);
		json_out_end(j);
		return;
	case GT_MAP: break;
	}
	json_out_object(j);
	for (uint32_t i = 0; i < v->map.n; i++) {
		char name[256];
		if (!hg_str_copy(v->map.at[i].name, name, sizeof name)) continue;
		json_out_key(j, name);
		json_value(j, &v->map.at[i].value, depth + 1);
	}
	json_out_end(j);
}

FN(fn_to_json)
{
	struct json_out j;
	struct hg_buf b;
	buffer(r, &b);
	json_out_init(&j, &b);
	json_value(&j, a, 0);
	if (!json_out_ok(&j)) b.failed = true;
	return gt_take(r, &b, GT_STR, ret);
}

FN(fn_date)
{
	struct hg_str layout = {0};
	struct hg_buf b;
	if (!gt_text(r, a, &layout)) return false;
	if (a[1].kind != GT_TIME) return gt_fail(r, "date takes a layout and a time");
	buffer(r, &b);
	gotemplate_time(&b, &a[1], layout);
	return gt_take(r, &b, GT_STR, ret);
}

FN(fn_tz)
{
	struct hg_str name = {0};
	if (!gt_text(r, a, &name)) return false;
	if (a[1].kind != GT_TIME) return gt_fail(r, "tz takes a zone and a time");
	*ret = gt_time((uint64_t)a[1].i);
	if (hg_str_eq(name, HG_STR("UTC")) || !name.n) return true;
	int64_t s = a[1].i / 1000;
	if (r->env->zone && r->env->zone(r->env->arg, name, s, &ret->zone_s, ret->zone))
		return true;
	return gt_fail(r, "there is no time zone \"%.*s\"", HG_STR_ARG(name));
}

/* ---- of rules ---- */

FN(fn_query)
{
	struct hg_str expr = {0};
	struct hg_err err = {0};
	if (!gt_text(r, a, &expr)) return false;
	if (!r->env->query) return gt_fail(r, "nothing can be queried here");
	r->steps += 1000;
	if (r->env->query(r->env->arg, expr, r->mem, ret, &err) == HG_OK) return true;
	return gt_fail(r, "query failed: %s", err.message);
}

FN(fn_first)
{
	if (a->kind != GT_LIST) return gt_fail(r, "first takes what query gives");
	if (!a->list.n) return gt_fail(r, "first() called on vector with no elements");
	return *ret = a->list.at[0], true;
}

static const struct gt_value *of_sample(const struct gt_value *v, const char *name)
{
	return v->kind == GT_MAP ? gt_member(v, hg_str(name)) : NULL;
}

FN(fn_label)
{
	struct hg_str name = {0};
	const struct gt_value *labels = of_sample(&a[1], "Labels");
	if (!gt_text(r, a, &name)) return false;
	if (!labels || labels->kind != GT_MAP) return gt_fail(r, "label takes a name and a sample");
	const struct gt_value *v = gt_member(labels, name);
	return *ret = v ? *v : gt_str(HG_STR("")), true;
}

FN(fn_value)
{
	const struct gt_value *v = of_sample(a, "Value");
	if (!v) return gt_fail(r, "value takes a sample");
	return *ret = *v, true;
}

FN(fn_strvalue)
{
	const struct gt_value *labels = of_sample(a, "Labels");
	if (!labels || labels->kind != GT_MAP) return gt_fail(r, "strvalue takes a sample");
	const struct gt_value *v = gt_member(labels, HG_STR("__value__"));
	return *ret = v ? *v : gt_str(HG_STR("")), true;
}

static struct hg_str label_of(const struct gt_value *sample, struct hg_str name)
{
	const struct gt_value *labels = of_sample(sample, "Labels");
	const struct gt_value *v =
	        labels && labels->kind == GT_MAP ? gt_member(labels, name) : NULL;
	return v ? v->s : (struct hg_str){"", 0};
}

static int text_order(struct hg_str x, struct hg_str y)
{
	int c = memcmp(x.p ? x.p : "", y.p ? y.p : "", HG_MIN(x.n, y.n));
	return c ? c : x.n < y.n ? -1 : x.n > y.n;
}

struct sorted {
	struct hg_str key;
	uint32_t at;
};

static int by_key(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;
	int c = text_order(x->key, y->key);
	return c ? c : x->at < y->at ? -1 : x->at > y->at;
}

FN(fn_sort_by_label)
{
	struct hg_str name = {0};
	if (!gt_text(r, a, &name)) return false;
	if (a[1].kind != GT_LIST)
		return gt_fail(r, "sortByLabel takes a name and what query gives");
	uint32_t count = a[1].list.n;
	struct sorted *s = gt_memory(r, count, sizeof *s);
	struct gt_value *at = gt_memory(r, count, sizeof *at);
	if (!s || !at) return false;
	for (uint32_t i = 0; i < count; i++)
		s[i] = (struct sorted){label_of(&a[1].list.at[i], name), i};
	if (count) qsort(s, count, sizeof *s, by_key);
	for (uint32_t i = 0; i < count; i++)
		at[i] = a[1].list.at[s[i].at];
	return *ret = gt_list(at, count, a[1].type), true;
}

static bool link(struct gt_run *r, const struct gt_value *a, int tab, struct gt_value *ret)
{
	struct hg_str expr = {0};
	struct gt_value quoted;
	struct hg_buf b;
	const struct gt_func *escape = gt_func_find(HG_STR("urlquery"));
	if (!gt_text(r, a, &expr) || !escape->fn(r, a, 1, &quoted)) return false;
	buffer(r, &b);
	hg_buf_fmt(&b, "/graph?g0.expr=%.*s&g0.tab=%d", HG_STR_ARG(quoted.s), tab);
	return gt_take(r, &b, GT_STR, ret);
}

FN(fn_graph_link)
{
	return link(r, a, 0, ret);
}
FN(fn_table_link)
{
	return link(r, a, 1, ret);
}
FN(fn_external_url)
{
	return *ret = gt_str(r->env->external_url), true;
}
FN(fn_path_prefix)
{
	return *ret = gt_str(r->env->path_prefix), true;
}

FN(fn_args)
{
	static const char *const names[] = {
	        "arg0", "arg1", "arg2", "arg3", "arg4", "arg5", "arg6", "arg7", "arg8", "arg9"};
	struct gt_member *m = gt_memory(r, n, sizeof *m);
	if (!m) return false;
	for (uint32_t i = 0; i < n; i++)
		m[i] = (struct gt_member){hg_str(names[i]), a[i]};
	return *ret = gt_map(m, n, GT_PLAIN), true;
}

const struct gt_func gt_funcs_prom[] = {
        {"query", 1, 1, fn_query},
        {"first", 1, 1, fn_first},
        {"label", 2, 2, fn_label},
        {"value", 1, 1, fn_value},
        {"strvalue", 1, 1, fn_strvalue},
        {"sortByLabel", 2, 2, fn_sort_by_label},
        {"args", 0, 10, fn_args},
        {"humanize", 1, 1, fn_humanize},
        {"humanize1024", 1, 1, fn_humanize1024},
        {"humanizeDuration", 1, 1, fn_humanize_duration},
        {"humanizePercentage", 1, 1, fn_percentage},
        {"humanizeTimestamp", 1, 1, fn_timestamp},
        {"toTime", 1, 1, fn_to_time},
        {"toDuration", 1, 1, fn_to_duration},
        {"now", 0, 0, fn_now},
        {"since", 1, 1, fn_since},
        {"parseDuration", 1, 1, fn_parse_duration},
        {"toUpper", 1, 1, fn_to_upper},
        {"toLower", 1, 1, fn_to_lower},
        {"title", 1, 1, fn_title},
        {"trimSpace", 1, 1, fn_trim_space},
        {"join", 2, 2, fn_join},
        {"stringSlice", 0, GT_ARGS_MAX + 1, fn_string_slice},
        {"match", 2, 2, fn_match},
        {"reReplaceAll", 3, 3, fn_replace},
        {"safeHtml", 1, 1, fn_safe},
        {"safeUrl", 1, 1, fn_safe},
        {"stripPort", 1, 1, fn_strip_port},
        {"stripDomain", 1, 1, fn_strip_domain},
        {"toJson", 1, 1, fn_to_json},
        {"date", 2, 2, fn_date},
        {"tz", 2, 2, fn_tz},
        {"graphLink", 1, 1, fn_graph_link},
        {"tableLink", 1, 1, fn_table_link},
        {"externalURL", 0, 0, fn_external_url},
        {"pathPrefix", 0, 0, fn_path_prefix},
        {NULL, 0, 0, NULL},
};
