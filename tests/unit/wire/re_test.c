#include "../test.h"

#include "wire/re.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct re *compiled(const char *pattern, unsigned flags)
{
	struct hg_err err = {0};
	struct re *re = NULL;
	if (re_compile(hg_str(pattern), flags, &re, &err) < 0)
		fail_msg("\"%s\": %s", pattern, err.message);
	return re;
}

/* re_match and re_search must agree; they are two machines. */
static bool matches(struct re *re, struct hg_str s)
{
	struct re_group whole;
	bool yes = re_match(re, s);
	if (yes != re_search(re, s, &whole, 1))
		fail_msg("\"%.*s\" over \"%.*s\": match says %d", HG_STR_ARG(re_pattern(re)),
		        HG_STR_ARG(s), yes);
	return yes;
}

static void whole_values_match_as_prometheus_matches_labels(void **s)
{
	static const struct {
		const char *pattern, *text;
		bool want;
	} row[] = {
	        {"5..", "503", true},
	        {"5..", "5033", false},
	        {"5..", "x503", false},
	        {"a|b", "a", true},
	        {"a|b", "ab", false},
	        {"a|ab", "ab", true},
	        {"", "", true},
	        {"", "a", false},
	        {".*", "a\nb", true},
	        {".+", "", false},
	        {".+", "\xc3\xbc", true},
	        {"(?-s).*", "a\nb", false},
	        {".", "\xc3\xbc", true},
	        {"..", "\xc3\xbc", false},
	        {".", "\xf0\x9f\x98\x80", true},
	        {".*error.*", "an error here", true},
	        {".*error.*", "an erro", false},
	        {".+error", "error", false},
	        {".+error", "1error", true},
	        {"web-.+", "web-", false},
	        {"web-.*", "web-", true},
	        {"^a$", "a", true},
	        {"(?i)get|post", "PosT", true},
	        {"(?i:g)et", "GET", false},
	        {"(?i)k", "\xe2\x84\xaa", true},
	        {"(?i)\xc3\x84", "\xc3\xa4", true},
	        {"(?i)[a-c]+", "AbC", true},
	        {"(?i)[^a]", "A", false},
	        {"(?i)s", "\xc5\xbf", true},
	        {"(?i)i", "\xc4\xb1", false},
	        {"[[:alpha:]_]\\w*", "a_1", true},
	        {"[[:^alpha:]]", "1", true},
	        {"[^[:alpha:]]", "a", false},
	        {"\\d+\\s\\D", "12 x", true},
	        {"\\pL+", "a\xc3\xbcz", true},
	        {"\\pL+", "a1", false},
	        {"\\p{Lu}\\P{Lu}", "Aa", true},
	        {"\\p{^L}", "1", true},
	        {"[\\pN-]+", "1-2", true},
	        {"[]a]+", "]a", true},
	        {"[a\\]]+", "]a", true},
	        {"[a-]+", "a-", true},
	        {"[a\\-z]+", "-", true},
	        {"[a\\-z]", "b", false},
	        {"[\\x41-\\x{43}]", "B", true},
	        {"\\Qa.b\\E.", "a.bc", true},
	        {"\\Qa.b\\E.", "axbc", false},
	        {"\\Qab\\E+", "abbb", true},
	        {"\\101\\x42\\x{1F600}", "AB\xf0\x9f\x98\x80", true},
	        {"a{2}", "aa", true},
	        {"a{2,}", "aaa", true},
	        {"a{2,3}", "aaaa", false},
	        {"a{0}b", "b", true},
	        {"a{,2}", "a{,2}", true},
	        {"a{x}", "a{x}", true},
	        {"(a{30}){33}b", "b", false},
	        {"(?:a|b)*?c", "abbac", true},
	        {"\\bfoo\\b", "foo", true},
	        {"a\\Bb", "ab", true},
	        {"a\\bb", "ab", false},
	        {"(?m)^a$\n^b$", "a\nb", true},
	        {"a^b", "ab", false},
	        {"(|a)*b", "aab", true},
	        {"(a*)*", "aaa", true},
	        {"(?:)", "", true},
	        {"a||b", "", true},
	        {"[^\\x00-\\x{10FFFF}]", "a", false},
	        {"\\.\\_\\-\\/", "._-/", true},
	        {"web-(1|2|3)", "web-3", true},
	        {"web-[1-3]{2}", "web-32", true},
	        {"web-[1-3]{2}", "web-34", false},
	        {"(?U)a+", "aaa", true},
	        {"a(?i)b|c", "C", true},
	        {"(?:(?i)a)b", "AB", false},
	        {"(?s-i:.)", "\n", true},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct re *re = compiled(row[i].pattern, RE_LABEL);
		if (matches(re, hg_str(row[i].text)) != row[i].want)
			fail_msg("\"%s\" over \"%s\"", row[i].pattern, row[i].text);
		re_free(re);
	}
}

static void a_search_finds_the_leftmost_first_match_and_its_groups(void **s)
{
	static const struct {
		const char *pattern, *text;
		const char *want; /* groups, ";" between them, "-" for one without part; NULL: no */
	} row[] = {
	        {"a+", "baac", "aa"},
	        {"a+?", "baac", "a"},
	        {"a|ab", "xab", "a"},
	        {"ab|a", "xab", "ab"},
	        {"(a)|(b)", "b", "b;-;b"},
	        {"(a*)(b?)", "aab", "aab;aa;b"},
	        {"(a*?)(a*)", "aa", "aa;;aa"},
	        {"(?P<n>\\w+):(?<p>\\d+)", "host:80", "host:80;host;80"},
	        {"(a|b)*", "abab", "abab;b"},
	        {"(?:(a)|b)*", "ab", "ab;a"},
	        {"x*", "aax", ""},
	        {"(|a)+", "aa", ";"},
	        {"(a|)+", "aa", "aa;a"},
	        {"$", "ab", ""},
	        {"\\bc", "ac c", "c"},
	        {"(?U)(a+)(a+)", "aaa", "aa;a;a"},
	        {"z", "abc", NULL},
	        {"(?m)^b$", "a\nb\nc", "b"},
	        {"([^:]+):(.*)", "a:b:c", "a:b:c;a;b:c"},
	        {"\\x{e4}(.)", "\xc3\xa4\xc3\xb6", "\xc3\xa4\xc3\xb6;\xc3\xb6"},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct re *re = compiled(row[i].pattern, 0);
		struct re_group g[8];
		char got[128];
		struct hg_out o = hg_out_over(got, sizeof got);
		bool yes = re_search(re, hg_str(row[i].text), g, re_groups(re));
		assert_int_equal(yes, row[i].want != NULL);
		assert_int_equal(yes, re_match(re, hg_str(row[i].text)));
		for (size_t k = 0; yes && k < re_groups(re); k++) {
			if (k) hg_out_byte(&o, ';');
			hg_out_str(&o, g[k].p ? (struct hg_str){g[k].p, g[k].n} : HG_STR("-"));
		}
		if (yes && !hg_str_eq((struct hg_str){got, o.n}, hg_str(row[i].want)))
			fail_msg("\"%s\" over \"%s\": %.*s", row[i].pattern, row[i].text, (int)o.n,
			        got);
		re_free(re);
	}
}

static void what_is_wrong_is_said_with_its_place(void **s)
{
	static const struct {
		const char *pattern;
		unsigned column;
		const char *says;
	} row[] = {
	        {"a(b", 2, "closing )"},
	        {"a)b", 2, "no opening"},
	        {"a[b", 2, "closing ]"},
	        {"*a", 1, "nothing to repeat"},
	        {"a|*", 3, "nothing to repeat"},
	        {"(?i)*", 5, "nothing to repeat"},
	        {"a**", 2, "one repetition follows another"},
	        {"a{2}{3}", 2, "one repetition follows another"},
	        {"a{1001}", 2, "count"},
	        {"a{3,2}", 2, "count"},
	        {"(a{100}){11}", 9, "count"},
	        {"(a)\\1", 4, "escape is not supported"},
	        {"a(?=b)", 2, "kind of group"},
	        {"a(?!b)", 2, "kind of group"},
	        {"(?<=a)b", 1, "kind of group"},
	        {"(?>a)", 1, "kind of group"},
	        {"(?z)", 1, "kind of group"},
	        {"(?i-)", 1, "kind of group"},
	        {"(?P<a>x)(?P<a>y)", 9, "same name"},
	        {"(?P<a-b>x)", 1, "name of a group"},
	        {"(?P<a", 1, "name of a group"},
	        {"\\", 1, "backslash ends"},
	        {"\\y", 1, "escape is not supported"},
	        {"\\Z", 1, "escape is not supported"},
	        {"\\x{110000}", 1, "not complete"},
	        {"\\x4", 1, "not complete"},
	        {"\\p{Greek}", 1, "no such class"},
	        {"\\p", 1, "no such class"},
	        {"\\pQ", 1, "no such class"},
	        {"[[:foo:]]", 2, "no such class"},
	        {"[z-a]", 2, "backwards"},
	        {"[a-\\d]", 4, "escape is not supported"},
	        {"a\xff", 2, "not UTF-8"},
	        {"[\xc3]", 2, "not UTF-8"},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct hg_err err = {0};
		struct re *re = NULL;
		assert_int_equal(re_compile(hg_str(row[i].pattern), 0, &re, &err), HG_E_REGEX);
		if (err.column != row[i].column || !strstr(err.message, row[i].says))
			fail_msg("\"%s\": column %u, %s", row[i].pattern, err.column, err.message);
	}
}

static void back_references_and_lookaround_say_why_and_what_to_write(void **s)
{
	struct hg_err err = {0};
	struct re *re = NULL;
	(void)s;
	assert_int_equal(re_compile(HG_STR("(a)\\1"), 0, &re, &err), HG_E_REGEX);
	assert_non_null(strstr(err.hint, "linear time"));
	assert_int_equal(re_compile(HG_STR("(?!a)"), 0, &re, &err), HG_E_REGEX);
	assert_non_null(strstr(err.hint, "lookaround"));
	assert_string_equal(err.message, "regular expression \"(?!a)\" is not valid: this kind of "
	                                 "group is not supported: \"(?!\" at byte 1");
}

static void literals_are_told_to_the_index(void **s)
{
	static const struct {
		const char *pattern, *want; /* NULL: not few and known */
	} row[] = {
	        {"a", "a"},
	        {"b|a|b", "a,b"},
	        {"(?:web|db)-(1|2)", "db-1,db-2,web-1,web-2"},
	        {"5[0-1]{2}", "500,501,510,511"},
	        {"", ""},
	        {"a?b", "ab,b"},
	        {"(?i)ab", "AB,Ab,aB,ab"},
	        {"a.*", NULL},
	        {".", NULL},
	        {"[0-9]{4}", NULL},
	        {"a*", NULL},
	        {"^a$", NULL},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct re *re = compiled(row[i].pattern, RE_LABEL);
		const struct hg_str *at = NULL;
		size_t n = 0;
		char got[128];
		struct hg_out o = hg_out_over(got, sizeof got);
		assert_int_equal(re_literals(re, &at, &n), row[i].want != NULL);
		for (size_t k = 0; k < n; k++) {
			if (k) hg_out_byte(&o, ',');
			hg_out_str(&o, at[k]);
			assert_true(matches(re, at[k]));
		}
		if (row[i].want) assert_str(((struct hg_str){got, o.n}), row[i].want);
		re_free(re);
	}
}

static void prefixes_and_the_match_of_all_are_known(void **s)
{
	struct re *re = compiled("web-(1|2).*", RE_LABEL);
	(void)s;
	assert_str(re_literal_prefix(re), "web-");
	assert_false(re_matches_all(re));
	re_free(re);
	re = compiled("(?i)web", RE_LABEL);
	assert_str(re_literal_prefix(re), "");
	re_free(re);
	re = compiled("^(?:(ab))+c", 0);
	assert_str(re_literal_prefix(re), "ab");
	re_free(re);
	re = compiled("(.*)", RE_LABEL);
	assert_true(re_matches_all(re));
	re_free(re);
	re = compiled(".+", RE_LABEL);
	assert_false(re_matches_all(re));
	re_free(re);
	re = compiled(".*", RE_ANCHORED);
	assert_false(re_matches_all(re));
	re_free(re);
}

static void thousands_of_names_are_one_lookup(void **s)
{
	struct hg_buf b;
	struct re *re;
	const struct hg_str *at;
	size_t n;
	(void)s;
	hg_buf_init(&b, RE_PATTERN_MAX);
	for (int i = 0; i < 20000; i++)
		hg_buf_fmt(&b, "%spod-%05d", i ? "|" : "", i);
	re = compiled(hg_buf_text(&b), RE_LABEL);
	assert_true(re_literals(re, &at, &n));
	assert_int_equal(n, 20000);
	assert_true(matches(re, HG_STR("pod-12345")));
	assert_false(matches(re, HG_STR("pod-20000")));
	re_free(re);
	hg_buf_free(&b);
}

static void templates_are_filled_as_go_fills_them(void **s)
{
	static const struct {
		const char *tmpl, *want;
	} row[] = {
	        {"$1", "host"},
	        {"${1}x", "hostx"},
	        {"$1x", ""},
	        {"$port/$0", "80/host:80"},
	        {"${port}", "80"},
	        {"$$1", "$1"},
	        {"a$", "a$"},
	        {"$-", "$-"},
	        {"${1", "${1"},
	        {"$9", ""},
	        {"$none", ""},
	        {"", ""},
	};
	struct re *re = compiled("(\\w+):(?P<port>\\d+)(x)?", RE_LABEL);
	struct re_group g[4];
	(void)s;
	assert_true(re_search(re, HG_STR("host:80"), g, 4));
	assert_null(g[3].p);
	assert_str(re_group_name(re, 2), "port");
	assert_int_equal(re_groups(re), 4);
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct hg_buf to;
		hg_buf_init(&to, 100);
		re_expand(re, hg_str(row[i].tmpl), g, &to);
		assert_str(hg_buf_view(&to), row[i].want);
		hg_buf_free(&to);
	}
	re_free(re);
}

static void a_quoted_text_matches_only_itself(void **s)
{
	struct hg_buf b;
	struct re *re;
	(void)s;
	hg_buf_init(&b, 100);
	re_quote(HG_STR("a.b*c[d]{e}(f)|g^h$\\i+?"), &b);
	re = compiled(hg_buf_text(&b), RE_LABEL);
	assert_true(matches(re, HG_STR("a.b*c[d]{e}(f)|g^h$\\i+?")));
	assert_false(matches(re, HG_STR("axb*c[d]{e}(f)|g^h$\\i+?")));
	re_free(re);
	hg_buf_free(&b);
}

static double cpu_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/*
 * What takes a backtracking matcher 2^n steps. Twice the text may take twice the time: compared
 * with four times the text and ten times the time, for machines that stall.
 */
static void patterns_that_explode_elsewhere_stay_linear(void **s)
{
	static const char *const pattern[] = {"(a*)*b", "(a|aa)+b", "(a|a)*b", "(.*)*x(.*)*y",
	        "(?:a?){40}a{40}b", "([a-z]+)*[0-9]", "((a*)*)*b"};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(pattern); i++) {
		struct re *re = compiled(pattern[i], 0);
		double took[2];
		for (size_t k = 0; k < 2; k++) {
			size_t n = k ? 8000 : 2000;
			char *text = malloc(n);
			struct re_group g[2];
			double from;
			assert_non_null(text);
			memset(text, 'a', n);
			from = cpu_ms();
			assert_false(re_match(re, (struct hg_str){text, n}));
			if (re_groups(re) < 4 && i != 4)
				assert_false(re_search(re, (struct hg_str){text, n}, g, 2));
			took[k] = cpu_ms() - from;
			free(text);
		}
		if (took[1] > 10 * took[0] + 500)
			fail_msg("\"%s\": %.1f ms, then %.1f", pattern[i], took[0], took[1]);
		re_free(re);
	}
}

static void memory_is_bounded_by_the_pattern(void **s)
{
	struct hg_err err = {0};
	struct re *re = NULL;
	char text[4096];
	uint32_t x = 1;
	(void)s;
	assert_int_equal(re_compile(HG_STR("a{1000}{1000}"), 0, &re, &err), HG_E_REGEX);
	assert_int_equal(re_compile(HG_STR("(a{1000}){1000}"), 0, &re, &err), HG_E_REGEX);
	assert_int_equal(re_compile(HG_STR("((((\\pL{10}){10}){10})|(\\pL{1000})|(\\pL{1000})|"
	                                   "(\\pL{1000})|(\\pL{1000})|(\\pL{1000}))"),
	                         0, &re, &err),
	        HG_E_TOO_LARGE);
	/* As many states as there are ways to hold 200 places: the cache is emptied again and
	 * again. */
	re = compiled("[ab]*a[ab]{200}c", RE_LABEL);
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < sizeof text; i++) {
			x = x * 1664525 + 1013904223;
			text[i] = (x >> 16) & 1 ? 'a' : 'b';
		}
		assert_false(re_match(re, (struct hg_str){text, sizeof text}));
		text[sizeof text - 202] = 'a';
		text[sizeof text - 1] = 'c';
		assert_true(re_match(re, (struct hg_str){text, sizeof text}));
		assert_true(re_bytes(re) < RE_CACHE_BYTES + 64 * 1024);
	}
	re_free(re);
}

static void nesting_has_a_limit_and_no_stack_runs_out(void **s)
{
	struct hg_err err = {0};
	struct re *re = NULL;
	struct hg_buf b;
	(void)s;
	hg_buf_init(&b, RE_PATTERN_MAX + 10);
	for (int i = 0; i < 500; i++)
		hg_buf_byte(&b, '(');
	hg_buf_byte(&b, 'a');
	for (int i = 0; i < 500; i++)
		hg_buf_byte(&b, ')');
	assert_int_equal(re_compile(hg_buf_view(&b), 0, &re, &err), HG_E_REGEX);
	assert_non_null(strstr(err.message, "255 capturing"));
	hg_buf_reset(&b);
	for (int i = 0; i < 499; i++)
		hg_buf_cstr(&b, "(?:a");
	for (int i = 0; i < 499; i++)
		hg_buf_cstr(&b, ")*");
	assert_int_equal(re_compile(hg_buf_view(&b), 0, &re, &err), HG_OK);
	assert_true(re_match(re, HG_STR("aaaa")));
	re_free(re);
	hg_buf_reset(&b);
	for (size_t i = 0; i < RE_PATTERN_MAX / 3; i++)
		hg_buf_cstr(&b, "(?:");
	assert_int_equal(re_compile(hg_buf_view(&b), 0, &re, &err), HG_E_REGEX);
	assert_non_null(strstr(err.message, "too deeply"));
	hg_buf_reset(&b);
	for (size_t i = 0; i <= RE_PATTERN_MAX; i++)
		hg_buf_byte(&b, 'a');
	assert_int_equal(re_compile(hg_buf_view(&b), 0, &re, &err), HG_E_TOO_LARGE);
	hg_buf_free(&b);
}

static void bytes_that_are_no_text_do_no_harm(void **s)
{
	static const char *const pattern[] = {"a.b", "[^x]", "\\pL", ".", "(?i)k", "\\Ba"};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(pattern); i++) {
		struct re *re = compiled(pattern[i], 0);
		matches(re, HG_STR("\xff\xfe\x80"));
		matches(re, HG_STR("a\xc3"));
		matches(re, HG_STR("\0a\0"));
		re_free(re);
	}
	struct re *re = compiled("a.b", 0);
	assert_false(matches(re, HG_STR("a\xff"
	                                "b")));
	assert_true(matches(re, HG_STR("\xff"
	                               "axb")));
	re_free(re);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(whole_values_match_as_prometheus_matches_labels),
	        cmocka_unit_test(a_search_finds_the_leftmost_first_match_and_its_groups),
	        cmocka_unit_test(what_is_wrong_is_said_with_its_place),
	        cmocka_unit_test(back_references_and_lookaround_say_why_and_what_to_write),
	        cmocka_unit_test(literals_are_told_to_the_index),
	        cmocka_unit_test(prefixes_and_the_match_of_all_are_known),
	        cmocka_unit_test(thousands_of_names_are_one_lookup),
	        cmocka_unit_test(templates_are_filled_as_go_fills_them),
	        cmocka_unit_test(a_quoted_text_matches_only_itself),
	        cmocka_unit_test(patterns_that_explode_elsewhere_stay_linear),
	        cmocka_unit_test(memory_is_bounded_by_the_pattern),
	        cmocka_unit_test(nesting_has_a_limit_and_no_stack_runs_out),
	        cmocka_unit_test(bytes_that_are_no_text_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
