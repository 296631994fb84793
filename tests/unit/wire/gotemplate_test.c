/* Expected texts were derived from the documentation of text/template, Prometheus and Alertmanager.
 */
#include "tests/unit/test.h"

#include "wire/gotemplate.h"

#include <stdlib.h>

#define TEXT(key, text)                                   \
	{                                                 \
		HG_STR(key),                              \
		{                                         \
			.kind = GT_STR, .s = HG_STR(text) \
		}                                         \
	}

static const struct gt_member labels[] = {TEXT("alertname", "HighErrorRate"),
        TEXT("app", "feedback"), TEXT("instance", "a.b.c:9090")};
static const struct gt_member labels2[] = {TEXT("alertname", "Slow"), TEXT("app", "shop")};

/* What a notification has, with two alerts. */
static struct gt_value data(
        struct gt_member to[8], struct gt_member one[2][3], struct gt_value at[2])
{
	one[0][0] = (struct gt_member){HG_STR("Labels"), gt_map(labels, 3, GT_TEXTS)};
	one[0][1] = (struct gt_member){HG_STR("StartsAt"), gt_time(1700000000123)};
	one[0][2] = (struct gt_member){HG_STR("Status"), gt_str(HG_STR("firing"))};
	one[1][0] = (struct gt_member){HG_STR("Labels"), gt_map(labels2, 2, GT_TEXTS)};
	one[1][1] = (struct gt_member){HG_STR("StartsAt"), gt_time(1700000000000)};
	one[1][2] = (struct gt_member){HG_STR("Status"), gt_str(HG_STR("resolved"))};
	at[0] = gt_map(one[0], 3, GT_OBJECT);
	at[1] = gt_map(one[1], 3, GT_OBJECT);
	to[0] = (struct gt_member){HG_STR("Alerts"), gt_list(at, 2, GT_ALERTS)};
	to[1] = (struct gt_member){HG_STR("CommonLabels"), gt_map(labels, 3, GT_TEXTS)};
	to[2] = (struct gt_member){HG_STR("Count"), gt_int(3)};
	to[3] = (struct gt_member){HG_STR("Evil"), gt_str(HG_STR("<b a='1'>&\"+"))};
	to[4] = (struct gt_member){HG_STR("Link"), gt_str(HG_STR("javascript:alert(1)"))};
	to[5] = (struct gt_member){HG_STR("Status"), gt_str(HG_STR("firing"))};
	return gt_map(to, 6, GT_OBJECT);
}

static enum hg_rc query(void *arg, struct hg_str expr, struct hg_arena *mem,
        struct gt_value *ret_value, struct hg_err *err)
{
	(void)arg;
	if (hg_str_eq(expr, HG_STR("none"))) return *ret_value = gt_list(NULL, 0, GT_PLAIN), HG_OK;
	if (hg_str_eq(expr, HG_STR("bad"))) return hg_err_set(err, HG_E_INVALID, "bad query");
	struct gt_member *m = hg_arena_array(mem, 4, sizeof *m);
	struct gt_value *v = hg_arena_array(mem, 2, sizeof *v);
	assert_true(m && v);
	m[0] = (struct gt_member){HG_STR("Labels"), gt_map(labels2, 2, GT_TEXTS)};
	m[1] = (struct gt_member){HG_STR("Value"), gt_float(2)};
	m[2] = (struct gt_member){HG_STR("Labels"), gt_map(labels, 3, GT_TEXTS)};
	m[3] = (struct gt_member){HG_STR("Value"), gt_float(1.5)};
	v[0] = gt_map(m, 2, GT_OBJECT);
	v[1] = gt_map(m + 2, 2, GT_OBJECT);
	*ret_value = gt_list(v, 2, GT_PLAIN);
	return HG_OK;
}

static bool zone(void *arg, struct hg_str name, int64_t unix_s, int32_t *ret_offset_s,
        char ret_short[static 8])
{
	(void)arg, (void)unix_s;
	*ret_offset_s = 3600;
	memcpy(ret_short, "CET", 4);
	return hg_str_eq(name, HG_STR("Europe/Zurich"));
}

static enum hg_rc run(const char *text, bool html, struct hg_buf *to, struct hg_err *err)
{
	static const char *const names[] = {"labels", "value", NULL};
	struct gt_value values[2] = {gt_map(labels, 3, GT_TEXTS), gt_float(0.0666666)};
	struct gt_member m[8], one[2][3];
	struct gt_value at[2], dot = data(m, one, at);
	struct gotemplate_env env = {.now_ms = 1700000060000,
	        .external_url = HG_STR("https://hg.example"),
	        .query = query,
	        .zone = zone,
	        .html = html};
	struct gotemplate *set;
	struct hg_arena mem;
	assert_int_equal(gotemplate_new(&set), HG_OK);
	hg_arena_init(&mem, "run", 1 << 20);
	enum hg_rc rc = gotemplate_add(set, HG_STR("t"), "x.tmpl", hg_str(text), names, err);
	if (rc == HG_OK) rc = gotemplate_check(set, err);
	if (rc == HG_OK) rc = gotemplate_run(set, HG_STR("t"), &dot, values, &env, &mem, to, err);
	hg_arena_fini(&mem);
	gotemplate_free(set);
	return rc;
}

static const struct {
	const char *text, *want;
} good[] = {
        {"plain", "plain"},
        {"", ""},
        {"{{ .Status }}!", "firing!"},
        {"a {{- 1 -}} b", "a1b"},
        {"a {{- /* no */ -}} b", "ab"},
        {"a {{/* no */}} b", "a  b"},
        {"{{-1}}", "-1"},
        {"{{ $labels.app }} {{ $labels.none }}|", "feedback |"},
        {"{{ $value | humanizePercentage }}", "6.667%"},
        {"{{ $value }}", "0.0666666"},
        {"{{ printf \"%.2f\" $value }}", "0.07"},
        {"{{ with $x := 5 }}{{ $x }}{{ end }}", "5"},
        {"{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"},
        {"{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ end }}{{ $x }}", "1"},
        {"{{ if eq .Status \"firing\" }}f{{ else }}r{{ end }}", "f"},
        {"{{ if eq .Count 1 }}a{{ else if eq .Count 2 3 }}b{{ else }}c{{ end }}", "b"},
        {"{{ if and .Status (gt .Count 2) }}y{{ end }}", "y"},
        {"{{ or \"\" \"x\" (first (query \"none\")) }}", "x"},
        {"{{ and 0 (first (query \"none\")) }}", "0"},
        {"{{ not 1 }} {{ not \"\" }}", "false true"},
        {"{{ gt $value 0 }} {{ lt 1 2 }} {{ le 2 2 }} {{ ge 1 2 }} {{ ne \"a\" \"b\" }}",
                "true true true false true"},
        {"{{ range .Alerts }}{{ .Labels.app }},{{ end }}", "feedback,shop,"},
        {"{{ range $i, $a := .Alerts }}{{ $i }}={{ $a.Status }} {{ end }}", "0=firing 1=resolved "},
        {"{{ range $k, $v := $labels }}{{ $k }}={{ $v }};{{ end }}",
                "alertname=HighErrorRate;app=feedback;instance=a.b.c:9090;"},
        {"{{ range .Alerts.Firing }}{{ .Labels.app }}{{ end }}", "feedback"},
        {"{{ .Alerts.Resolved | len }}", "1"},
        {"{{ range (query \"none\") }}x{{ else }}none{{ end }}", "none"},
        {"{{ range $i, $a := .Alerts }}{{ if $i }}{{ break }}{{ end }}a{{ end }}", "a"},
        {"{{ range $i, $a := .Alerts }}{{ if eq $i 0 }}{{ continue }}{{ end }}{{ $i }}{{ end }}",
                "1"},
        {"{{ range 3 }}{{ . }}{{ end }}", "012"},
        {"{{ with .Alerts }}{{ len . }}{{ $.Count }}{{ end }}", "23"},
        {"{{ with \"\" }}a{{ else }}b{{ end }}", "b"},
        {"{{ with \"\" }}a{{ else with 2 }}{{ . }}{{ end }}", "2"},
        {"{{ define \"x\" }}<{{ . }}>{{ end }}{{ template \"x\" .Count }}{{ template \"x\" 4 }}",
                "<3><4>"},
        {"{{ block \"y\" .Count }}[{{ . }}]{{ end }}", "[3]"},
        {"{{ .CommonLabels.SortedPairs.Values | join \"/\" }}",
                "HighErrorRate/feedback/a.b.c:9090"},
        {"{{ (.CommonLabels.Remove (stringSlice \"app\")).Names | join \" \" }}",
                "alertname instance"},
        {"{{ range .CommonLabels.SortedPairs }}{{ .Name }}={{ .Value }} {{ end }}",
                "alertname=HighErrorRate app=feedback instance=a.b.c:9090 "},
        {"{{ index $labels \"app\" }} {{ index (stringSlice \"a\" \"b\") 1 }}", "feedback b"},
        {"{{ len \"abc\" }} {{ slice \"abcd\" 1 3 }}", "3 bc"},
        {"{{ print 1 2 \"x\" 3 }} {{ println \"a\" 1 }}", "1 2x3 a 1\n"},
        {"{{ printf \"%s %d %v %q %x %t %e %g %5d|%-5s|%05d %%\" \"s\" 7 1.5 \"q\\n\" 255 true "
         "12.5 0.1 42 \"ab\" 42 }}",
                "s 7 1.5 \"q\\n\" ff true 1.250000e+01 0.1    42|ab   |00042 %"},
        {"{{ printf \"%d\" \"x\" }} {{ printf \"%d\" 1.5 }} {{ printf \"%s\" }} {{ printf \"a\" 1 "
         "}}",
                "%!d(string=x) %!d(float64=1.5) %!s(MISSING) a%!(EXTRA int=1)"},
        {"{{ printf \"%.3s|%+d|%x|%6.2f|%c\" \"abcdef\" 3 \"hi\" 3.14159 65 }}",
                "abc|+3|6869|  3.14|A"},
        {"{{ 1e3 }} {{ 1234567.0 }} {{ 0.00001 }} {{ 0x1f }} {{ 'a' }} {{ 1_000 }} {{ .5 }}",
                "1000 1.234567e+06 1e-05 31 97 1000 0.5"},
        {"{{ 100000.0 }} {{ 123456.5 }} {{ 1000000.0 }}", "100000 123456.5 1e+06"},
        {"{{ humanize 1234.5 }} {{ humanize 0.00042 }} {{ humanize 0 }} {{ humanize \"1e6\" }}",
                "1.234k 420u 0 1M"},
        {"{{ humanize1024 1234 }} {{ humanize1024 1048576 }}", "1.205ki 1Mi"},
        {"{{ humanizeDuration 0 }} {{ humanizeDuration 59.5 }} {{ humanizeDuration 1234 }} "
         "{{ humanizeDuration 86400 }} {{ humanizeDuration 0.005 }} {{ humanizeDuration -3661 }}",
                "0s 59.5s 20m 34s 1d 0h 0m 0s 5ms -1h 1m 1s"},
        {"{{ humanizeTimestamp 1435065584.128 }}", "2015-06-23 13:19:44.128 +0000 UTC"},
        {"{{ (1435065584.128 | toTime).Format \"2006 Jan 2 15:04:05.000 Monday\" }}",
                "2015 Jun 23 13:19:44.128 Tuesday"},
        {"{{ toTime 0 | date \"Mon, 02 Jan 2006 03:04:05 PM -0700 MST\" }}",
                "Thu, 01 Jan 1970 12:00:00 AM +0000 UTC"},
        {"{{ (index .Alerts 0).StartsAt | tz \"Europe/Zurich\" | date \"15:04 MST\" }}",
                "23:13 CET"},
        {"{{ (index .Alerts 0).StartsAt }}", "2023-11-14 22:13:20.123 +0000 UTC"},
        {"{{ since (index .Alerts 1).StartsAt }} {{ toDuration 3661.5 }}", "1m0s 1h1m1.5s"},
        {"{{ parseDuration \"1h30m\" }} {{ now }}", "5400 1.70000006e+09"},
        {"{{ toUpper \"ab\" }}{{ \"CD\" | toLower }}{{ title \"ab cd-e\" }}", "ABcdAb Cd-E"},
        {"{{ match \"a+b\" \"xaab\" }} {{ match \"^b\" \"ab\" }}", "true false"},
        {"{{ reReplaceAll \"(.*):.*\" \"${1}!\" $labels.instance }}", "a.b.c!"},
        {"{{ reReplaceAll \"a\" \"-\" \"banana\" }} {{ reReplaceAll \"x*\" \"-\" \"ab\" }}",
                "b-n-n- -a-b-"},
        {"{{ reReplaceAll \"^a\" \"\" \"aab\" }}", "ab"},
        {"{{ stripPort \"h:80\" }} {{ stripPort \"[::1]:80\" }} {{ stripPort \"h\" }}", "h ::1 h"},
        {"{{ stripDomain \"a.b.c:80\" }} {{ stripDomain \"a.b\" }} {{ stripDomain \"10.0.0.1:1\" "
         "}}",
                "a:80 a 10.0.0.1:1"},
        {"{{ query \"q\" | first | value }} {{ query \"q\" | first | label \"app\" }}", "2 shop"},
        {"{{ range query \"q\" | sortByLabel \"app\" }}{{ .Labels.app }}:{{ .Value }} {{ end }}",
                "feedback:1.5 shop:2 "},
        {"{{ graphLink \"a b\" }} {{ tableLink \"up\" }} {{ externalURL }}",
                "/graph?g0.expr=a+b&g0.tab=0 /graph?g0.expr=up&g0.tab=1 https://hg.example"},
        {"{{ urlquery \"a/b c\" }} {{ html \"<\" }} {{ js \"'\" }}", "a%2Fb+c &lt; \\'"},
        {"{{ toJson .CommonLabels }}", "{\"alertname\":\"HighErrorRate\",\"app\":\"feedback\","
                                       "\"instance\":\"a.b.c:9090\"}"},
        {"{{ $labels }}", "map[alertname:HighErrorRate app:feedback instance:a.b.c:9090]"},
        {"{{ stringSlice \"a\" \"b\" }} {{ nil | print }}", "[a b] <no value>"},
        {"{{ `raw \"\\n` }}{{ \"\\u00e4\\x41\\t\" }}", "raw \"\\n\xc3\xa4"
                                                       "A\t"},
        {"{{ trimSpace \" a \" }}", "a"},
        {"{{ if (and (eq 1 1) (or (eq 1 2) (eq 2 2))) -}} yes {{- end }}", "yes"},
        {"{{ ( args 1 2 ).arg1 }}", "2"},
};

static void texts_come_out_as_go_writes_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < HG_COUNT(good); i++) {
		struct hg_err err = {0};
		struct hg_buf b;
		hg_buf_init(&b, 1 << 20);
		if (run(good[i].text, false, &b, &err) < 0)
			fail_msg("%s: %u:%u %s", good[i].text, err.line, err.column, err.message);
		if (!hg_str_eq(hg_buf_view(&b), hg_str(good[i].want)))
			fail_msg("%s: have \"%s\", want \"%s\"", good[i].text, hg_buf_text(&b),
			        good[i].want);
		hg_buf_free(&b);
	}
}

static const struct {
	const char *text;
	unsigned line, column;
	const char *message;
} bad[] = {
        {"a\n{{ .X", 2, 6, "an action is not closed by }}"},
        {"{{ if 1 }}x", 1, 1, "end is missing"},
        {"{{ end }}", 1, 7, "there is an end without"},
        {"{{ humanise 1 }}", 1, 4, "there is no function \"humanise\""},
        {"{{ $labls.app }}", 1, 4, "there is no variable \"$labls\""},
        {"{{ \"abc }}", 1, 4, "a text is not closed"},
        {"{{ /* x }}", 1, 4, "a comment is not closed"},
        {"{{ 1 | 2 }}", 1, 8, "behind | stands something"},
        {"{{ (1 }}", 1, 7, "( is not closed by )"},
        {"{{ 1) }}", 1, 5, "there is a ) without ("},
        {"{{ break }}", 1, 1, "break stands outside"},
        {"{{ template \"nope\" }}", 1, 1, "there is no template \"nope\""},
        {"{{ template x }}", 1, 13, "the name of a template is a text"},
        {"{{ 12x }}", 1, 4, "\"12x\" is no number"},
        {"{{ }}", 1, 4, "there is }} where a value is expected"},
        {"{{ if }}a{{ end }}", 1, 7, "there is }} where a value is expected"},
        {"{{ \"\\q\" }}", 1, 6, "a text has no escape"},
        {"{{ if 1 }}{{ else }}{{ else }}{{ end }}", 1, 1, "there is a second else"},
        /* while it runs */
        {"x\n  {{ .Nope }}", 2, 6, "there is no field \"Nope\""},
        {"{{ first (query \"none\") }}", 1, 4, "first() called on vector with no elements"},
        {"{{ query \"bad\" }}", 1, 4, "query failed: bad query"},
        {"{{ humanize \"x\" }}", 1, 4, "\"x\" is no number"},
        {"{{ index (stringSlice \"a\") 3 }}", 1, 4, "index 3 is out of range"},
        {"{{ eq \"a\" 1 }}", 1, 4, "a string and a int do not compare"},
        {"{{ match \"(\" \"a\" }}", 1, 4, "\"(\" is no regular expression"},
        {"{{ range \"x\" }}{{ end }}", 1, 10, "range cannot walk over a string"},
        {"{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}", 1, 17,
                "templates call each other too deep"},
        {"{{ range 1000000 }}{{ range 1000000 }}{{ end }}{{ end }}", 1, 20, "takes more than"},
        {"{{ len 1 }}", 1, 4, "a int has no length"},
        {"{{ toUpper 1 2 }}", 1, 4, "\"toUpper\" takes 1 argument, not 2"},
};

static void errors_have_their_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		struct hg_err err = {0};
		struct hg_buf b;
		hg_buf_init(&b, 1 << 20);
		if (run(bad[i].text, false, &b, &err) != HG_E_TEMPLATE)
			fail_msg("%s: no error but \"%s\"", bad[i].text, hg_buf_text(&b));
		if (!strstr(err.message, bad[i].message) || err.line != bad[i].line ||
		        err.column != bad[i].column || strcmp(err.file, "x.tmpl") != 0)
			fail_msg("%s: have %s:%u:%u %s", bad[i].text, err.file, err.line,
			        err.column, err.message);
		hg_buf_free(&b);
	}
}

static void a_misspelt_function_is_named(void **state)
{
	(void)state;
	struct hg_err err = {0};
	struct hg_buf b;
	hg_buf_init(&b, 4096);
	assert_int_equal(run("{{ humanise 1 }}", false, &b, &err), HG_E_TEMPLATE);
	assert_string_equal(err.hint, "did you mean \"humanize\"?");
	hg_buf_free(&b);
}

static void html_is_escaped(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
	        {"<p>{{ .Evil }}</p>", "<p>&lt;b a=&#39;1&#39;&gt;&amp;&#34;&#43;</p>"},
	        {"{{ .Evil | safeHtml }}", "<b a='1'>&\"+"},
	        {"<a href=\"{{ .Link }}\">", "<a href=\"#ZgotmplZ\">"},
	        {"<a href=\"{{ externalURL }}\">", "<a href=\"https://hg.example\">"},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct hg_err err = {0};
		struct hg_buf b;
		hg_buf_init(&b, 4096);
		assert_int_equal(run(rows[i].text, true, &b, &err), HG_OK);
		assert_str(hg_buf_view(&b), rows[i].want);
		hg_buf_free(&b);
	}
}

static void output_and_memory_are_bounded(void **state)
{
	(void)state;
	struct hg_err err = {0};
	struct hg_buf b;
	hg_buf_init(&b, 100);
	assert_int_equal(
	        run("{{ range 1000 }}xxxxxxxxxx{{ end }}", false, &b, &err), HG_E_TOO_LARGE);
	hg_buf_free(&b);
	hg_buf_init(&b, 1 << 20);
	assert_int_equal(
	        run("{{ $x := \"aaaaaaaa\" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}", false,
	                &b, &err),
	        HG_E_TOO_LARGE);
	hg_buf_free(&b);
}

static void a_text_with_an_error_adds_nothing(void **state)
{
	(void)state;
	struct gotemplate *set;
	struct hg_err err = {0};
	assert_int_equal(gotemplate_new(&set), HG_OK);
	assert_int_equal(gotemplate_add(set, HG_STR("a"), "f",
	                         HG_STR("{{ define \"x\" }}1{{ end }}{{ if }}"), NULL, &err),
	        HG_E_TEMPLATE);
	assert_false(gotemplate_has(set, HG_STR("x")));
	assert_false(gotemplate_has(set, HG_STR("a")));
	assert_int_equal(gotemplate_add(set, HG_STR("a"), "f",
	                         HG_STR("{{ define \"x\" }}1{{ end }}"), NULL, &err),
	        HG_OK);
	assert_int_equal(
	        gotemplate_add(set, HG_STR("b"), "f",
	                HG_STR("{{ define \"x\" }}2{{ end }}{{ template \"x\" }}"), NULL, &err),
	        HG_OK);
	struct hg_arena mem;
	struct hg_buf b;
	struct gt_value dot = {0};
	hg_arena_init(&mem, "run", 65536);
	hg_buf_init(&b, 100);
	assert_int_equal(gotemplate_run(set, HG_STR("b"), &dot, NULL, NULL, &mem, &b, &err), HG_OK);
	assert_str(hg_buf_view(&b), "2"); /* what is defined later counts */
	hg_buf_free(&b);
	hg_arena_fini(&mem);
	gotemplate_free(set);
}

static void durations_are_those_of_prometheus(void **state)
{
	uint64_t ms = 0;
	(void)state;
	assert_true(gotemplate_duration(HG_STR("1w2d3h4m5s6ms"), &ms));
	assert_int_equal(ms, 604800000 + 2 * 86400000 + 3 * 3600000 + 4 * 60000 + 5006);
	assert_true(gotemplate_duration(HG_STR("0"), &ms) && ms == 0);
	assert_true(gotemplate_duration(HG_STR("1ms"), &ms) && ms == 1);
	assert_false(gotemplate_duration(HG_STR(""), &ms));
	assert_false(gotemplate_duration(HG_STR("5"), &ms));
	assert_false(gotemplate_duration(HG_STR("1m1h"), &ms));
	assert_false(gotemplate_duration(HG_STR("1.5h"), &ms));
	assert_false(gotemplate_duration(HG_STR("99999999999999999y"), &ms));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(texts_come_out_as_go_writes_them),
	        cmocka_unit_test(errors_have_their_place),
	        cmocka_unit_test(a_misspelt_function_is_named),
	        cmocka_unit_test(html_is_escaped),
	        cmocka_unit_test(output_and_memory_are_bounded),
	        cmocka_unit_test(a_text_with_an_error_adds_nothing),
	        cmocka_unit_test(durations_are_those_of_prometheus),
	};
	return cmocka_run_group_tests_name("gotemplate", tests, NULL, NULL);
}
