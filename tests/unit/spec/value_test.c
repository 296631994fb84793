#include "../test.h"

#include <stdio.h>

#include "base/rand.h"
#include "spec/spec_priv.h"

static struct spec_key key(enum spec_kind kind)
{
	return (struct spec_key){
	        .name = "k", .kind = kind, .max = UINT64_MAX, .low = "0", .high = "∞"};
}

static void reads(enum spec_kind kind, const char *text, uint64_t want)
{
	struct spec_problem p;
	struct spec_key k = key(kind);
	uint64_t v = 0;
	if (!spec_value_number(&k, hg_str(text), &v, &p)) fail_msg("%s: %s", text, p.why);
	if (v != want) fail_msg("%s is %llu", text, (unsigned long long)v);
}

static void refuses(enum spec_kind kind, const char *text)
{
	struct spec_problem p;
	struct spec_key k = key(kind);
	uint64_t v = 77;
	if (spec_value_number(&k, hg_str(text), &v, &p)) fail_msg("%s is taken", text);
	assert_int_equal(v, 77);
	assert_true(p.rc < 0 && p.why[0]);
}

static void durations_have_units(void **s)
{
	static const char *const bad[] = {"", "s", "5", "5 s", "-5s", "5.5s", "5S", "1s1s", "1s1m",
	        "5min", "99999999999999999999s", "9999999999999999d", "1h30", "5ms5"};
	(void)s;
	reads(SPEC_K_DURATION, "0", 0);
	reads(SPEC_K_DURATION, "500ms", 500);
	reads(SPEC_K_DURATION, "5s", 5000);
	reads(SPEC_K_DURATION, "15m", 900000);
	reads(SPEC_K_DURATION, "1h30m", 5400000);
	reads(SPEC_K_DURATION, "30d", 2592000000ull);
	reads(SPEC_K_DURATION, "1d2h3m4s5ms", 93784005);
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		refuses(SPEC_K_DURATION, bad[i]);
}

static void sizes_are_powers_of_1024(void **s)
{
	static const char *const bad[] = {
	        "", "Mi", "1M", "1MB", "1.5Gi", "-1Mi", "1 Mi", "1mi", "999999999999999Ti"};
	(void)s;
	reads(SPEC_K_SIZE, "0", 0);
	reads(SPEC_K_SIZE, "1024", 1024);
	reads(SPEC_K_SIZE, "256Mi", 256u << 20);
	reads(SPEC_K_SIZE, "1Ti", 1ull << 40);
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		refuses(SPEC_K_SIZE, bad[i]);
}

static void ratios_are_percent_or_below_one(void **s)
{
	static const char *const bad[] = {
	        "", "%", "5", "1", "1.0", "-5%", "5 %", ".5", "5.%", "0.1234567", "5%%", "1e-2"};
	(void)s;
	reads(SPEC_K_RATIO, "5%", 50000);
	reads(SPEC_K_RATIO, "0.05", 50000);
	reads(SPEC_K_RATIO, "0", 0);
	reads(SPEC_K_RATIO, "0%", 0);
	reads(SPEC_K_RATIO, "99.95%", 999500);
	reads(SPEC_K_RATIO, "99.9999%", 999999);
	reads(SPEC_K_RATIO, "150%", 1500000);
	for (size_t i = 0; i < HG_COUNT(bad); i++)
		refuses(SPEC_K_RATIO, bad[i]);
}

static void cpu_and_factors_have_their_forms(void **s)
{
	(void)s;
	reads(SPEC_K_CPU, "500m", 500);
	reads(SPEC_K_CPU, "2", 2000);
	reads(SPEC_K_CPU, "0.5", 500);
	refuses(SPEC_K_CPU, "0.0005");
	refuses(SPEC_K_CPU, "1.5m");
	refuses(SPEC_K_CPU, "2 cores");
	reads(SPEC_K_FACTOR, "1.5x", 1500000);
	refuses(SPEC_K_FACTOR, "1.5");
	refuses(SPEC_K_FACTOR, "x");
	reads(SPEC_K_INT, "0", 0);
	refuses(SPEC_K_INT, "-1");
	refuses(SPEC_K_INT, "1.0");
	refuses(SPEC_K_INT, "0x10");
	refuses(SPEC_K_BOOL, "yes");
	reads(SPEC_K_BOOL, "true", 1);
}

static void addresses_are_port_or_host_and_port(void **s)
{
	static const char *const bad[] = {"", ":", "a", "0", "65536", "host", "1.2.3.4", "::1:80",
	        "a b:80", "[::1:80", "http://a:80"};
	struct spec_address a;
	struct spec_problem p;
	(void)s;
	assert_true(spec_value_address(HG_STR("8080"), &a, &p));
	assert_int_equal(a.port, 8080);
	assert_str(a.host, "");
	assert_true(spec_value_address(HG_STR(":80"), &a, &p));
	assert_int_equal(a.port, 80);
	assert_true(spec_value_address(HG_STR("[::1]:443"), &a, &p));
	assert_str(a.host, "::1");
	for (size_t i = 0; i < HG_COUNT(bad); i++) {
		if (spec_value_address(hg_str(bad[i]), &a, &p)) fail_msg("%s is taken", bad[i]);
	}
}

static void what_is_printed_reads_back(void **s)
{
	static const enum spec_kind kinds[] = {
	        SPEC_K_INT, SPEC_K_DURATION, SPEC_K_SIZE, SPEC_K_RATIO, SPEC_K_FACTOR, SPEC_K_CPU};
	struct hg_rand r;
	struct hg_buf b;
	(void)s;
	hg_rand_seed(&r, 7);
	hg_buf_init(&b, 256);
	for (int i = 0; i < 20000; i++) {
		struct spec_key k = key(kinds[i % (int)HG_COUNT(kinds)]);
		uint64_t v = hg_rand_u64(&r) >> (32 + hg_rand_below(&r, 32)), back = 0;
		struct spec_problem p;
		hg_buf_reset(&b);
		spec_number_print(&k, v, &b);
		if (!spec_value_number(&k, hg_buf_view(&b), &back, &p) || back != v)
			fail_msg("%llu as %s", (unsigned long long)v, hg_buf_text(&b));
	}
	hg_buf_free(&b);
}

/* Any text, printed as YAML, is the same text again. */
static void texts_survive_yaml(void **s)
{
	static const char *const parts[] = {"a", " ", ":", "#", "-", "'", "\"", "\\", "[", "{", "}",
	        ",", "*", "&", "!", "|", ">", "%", "@", "`", "\n", "\t", "\x7f", "ä", "true",
	        "null", "1", "~", "?", "=", "$", "\x01"};
	static struct spec_report report;
	struct hg_rand r;
	(void)s;
	hg_rand_seed(&r, 11);
	for (int i = 0; i < 5000; i++) {
		struct hg_arena a;
		struct hg_buf text, yaml;
		struct spec_node *tree = NULL;
		hg_arena_init(&a, "test", 1u << 20);
		hg_buf_init(&text, 256);
		hg_buf_init(&yaml, 4096);
		for (uint32_t n = hg_rand_below(&r, 6); n--;)
			hg_buf_cstr(&text, parts[hg_rand_below(&r, HG_COUNT(parts))]);
		hg_buf_cstr(&yaml, i % 2 ? "a: {k: " : "a:\n  k: ");
		spec_text_print(hg_buf_view(&text), &yaml);
		hg_buf_cstr(&yaml, i % 2 ? "}\n" : "  # comment\n");
		spec_report_init(&report, HG_STR("t"), hg_buf_view(&yaml));
		if (spec_yaml_parse(hg_buf_view(&yaml), &a, &report, &tree) < 0 ||
		        !spec_node_get(tree->first, "k") ||
		        !hg_str_eq(spec_node_get(tree->first, "k")->text, hg_buf_view(&text)))
			fail_msg("\"%s\" as %s", hg_buf_text(&text), hg_buf_text(&yaml));
		hg_buf_free(&text);
		hg_buf_free(&yaml);
		hg_arena_fini(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(durations_have_units),
	        cmocka_unit_test(sizes_are_powers_of_1024),
	        cmocka_unit_test(ratios_are_percent_or_below_one),
	        cmocka_unit_test(cpu_and_factors_have_their_forms),
	        cmocka_unit_test(addresses_are_port_or_host_and_port),
	        cmocka_unit_test(what_is_printed_reads_back),
	        cmocka_unit_test(texts_survive_yaml),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
