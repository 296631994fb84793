#include "../../test.h"

#include "observe/scrape/relabel.c"

#define S(text) HG_STR(text)
#define SOURCE(...)                                     \
	.source = (const struct hg_str[]){__VA_ARGS__}, \
	.source_n = HG_COUNT(((const struct hg_str[]){__VA_ARGS__}))

static struct relabel *rules(const struct relabel_conf *c, uint32_t n)
{
	struct hg_err err = {0};
	struct relabel *r = NULL;
	if (relabel_new(c, n, &r, &err) < 0) fail_msg("%s", err.message);
	return r;
}

/* "a=foo b=bar" as labels; the result likewise, "-" when it was dropped. */
static void applied(struct relabel *r, const char *labels, struct hg_buf *to)
{
	struct labels_builder b;
	struct hg_arena texts;
	struct hg_str rest = hg_str(labels);
	struct labels ls;
	enum relabel_result result;
	labels_builder_init(&b);
	hg_arena_init(&texts, "test", 1 << 20);
	while (rest.n) {
		struct hg_str value = hg_str_cut(&rest, ' '), name = hg_str_cut(&value, '=');
		labels_builder_set(&b, name, value);
	}
	result = relabel_apply(r, &b, &texts);
	assert_int_not_equal(result, RELABEL_FAILED);
	assert_int_equal(labels_builder_done(&b, &ls), HG_OK);
	if (result == RELABEL_DROPPED) hg_buf_byte(to, '-');
	for (uint32_t i = 0; i < ls.n && result == RELABEL_KEPT; i++)
		hg_buf_fmt(to, "%s%.*s=%.*s", i ? " " : "", HG_STR_ARG(ls.at[i].name),
		        HG_STR_ARG(ls.at[i].value));
	labels_builder_fini(&b);
	hg_arena_fini(&texts);
}

static void each_action_does_what_prometheus_does(void **s)
{
	const struct {
		struct relabel_conf c;
		const char *labels, *want;
	} row[] = {
	        {{.action = RELABEL_REPLACE,
	                 SOURCE(S("a")),
	                 .regex = S("f(.*)"),
	                 .target = S("d"),
	                 .replacement = S("ch${1}-ch${1}")},
	                "a=foo b=bar c=baz", "a=foo b=bar c=baz d=choo-choo"},
	        {{SOURCE(S("a"), S("b")), .regex = S("f(.*);(.*)r"), .target = S("a"),
	                 .replacement = S("b${1}${2}m")},
	                "a=foo b=bar", "a=boobam b=bar"},
	        {{SOURCE(S("a")), .regex = S("x(.*)"), .target = S("d")}, "a=foo", "a=foo"},
	        {{SOURCE(S("a")), .target = S("d")}, "a=foo", "a=foo d=foo"},
	        {{.target = S("d"), .replacement = S("fixed")}, "a=foo", "a=foo d=fixed"},
	        {{SOURCE(S("none")), .target = S("d")}, "a=foo d=x", "a=foo"},
	        {{SOURCE(S("a")), .regex = S("f.*"), .target = S("a"), .replacement = S("")},
	                "a=foo b=c", "b=c"},
	        {{SOURCE(S("a")), .regex = S("some-([^-]+)-(.+)"), .target = S("${1}"),
	                 .replacement = S("$2")},
	                "a=some-name-value", "a=some-name-value name=value"},
	        {{SOURCE(S("a"), S("b")), .separator = S("-"), .target = S("c")}, "a=x b=y",
	                "a=x b=y c=x-y"},
	        {{SOURCE(S("a")), .regex = S("fo"), .target = S("d"), .replacement = S("boo")},
	                "a=foo", "a=foo"}, /* the whole value must match */
	        {{.action = RELABEL_DROP, SOURCE(S("a")), .regex = S(".*o.*")}, "a=foo", "-"},
	        {{.action = RELABEL_DROP, SOURCE(S("a")), .regex = S("no")}, "a=foo", "a=foo"},
	        {{.action = RELABEL_KEEP, SOURCE(S("a")), .regex = S("f|foo")}, "a=foo", "a=foo"},
	        {{.action = RELABEL_KEEP, SOURCE(S("a")), .regex = S("no")}, "a=foo", "-"},
	        {{.action = RELABEL_KEEP, SOURCE(S("none")), .regex = S("")}, "a=foo", "a=foo"},
	        {{.action = RELABEL_KEEPEQUAL, SOURCE(S("a")), .target = S("b")}, "a=x b=x",
	                "a=x b=x"},
	        {{.action = RELABEL_KEEPEQUAL, SOURCE(S("a")), .target = S("b")}, "a=x b=y", "-"},
	        {{.action = RELABEL_DROPEQUAL, SOURCE(S("a")), .target = S("b")}, "a=x b=x", "-"},
	        {{.action = RELABEL_DROPEQUAL, SOURCE(S("a")), .target = S("b")}, "a=x b=y",
	                "a=x b=y"},
	        /* Prometheus' own test: the sum of "bar" modulo 1000. */
	        {{.action = RELABEL_HASHMOD,
	                 SOURCE(S("c")),
	                 .separator = S(";"),
	                 .target = S("d"),
	                 .modulus = 1000},
	                "a=foo b=bar c=baz", "a=foo b=bar c=baz d=976"},
	        {{.action = RELABEL_HASHMOD, SOURCE(S("a")), .target = S("d"), .modulus = 1000},
	                "a=foo\nbar", "a=foo\nbar d=734"},
	        {{.action = RELABEL_LABELMAP, .regex = S("(b.*)"), .replacement = S("bar_${1}")},
	                "a=foo b1=bar b2=baz", "a=foo b1=bar b2=baz bar_b1=bar bar_b2=baz"},
	        {{.action = RELABEL_LABELMAP, .regex = S("__meta_(.*)"), .replacement = S("${1}")},
	                "__meta_my_baz=bar", "__meta_my_baz=bar my_baz=bar"},
	        {{.action = RELABEL_LABELDROP, .regex = S("b.*")}, "a=foo b1=bar b2=baz", "a=foo"},
	        {{.action = RELABEL_LABELKEEP, .regex = S("b.*")}, "a=foo b1=bar b2=baz",
	                "b1=bar b2=baz"},
	        {{.action = RELABEL_LOWERCASE, SOURCE(S("a")), .target = S("b")}, "a=FooBar",
	                "a=FooBar b=foobar"},
	        {{.action = RELABEL_UPPERCASE, SOURCE(S("a")), .target = S("b")}, "a=FooBar",
	                "a=FooBar b=FOOBAR"},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct relabel *r = rules(&row[i].c, 1);
		struct hg_buf got;
		hg_buf_init(&got, 1000);
		applied(r, row[i].labels, &got);
		assert_str(hg_buf_view(&got), row[i].want);
		hg_buf_free(&got);
		relabel_free(r);
	}
}

static void rules_follow_one_another_until_one_drops(void **s)
{
	const struct relabel_conf c[] = {
	        {SOURCE(S("__address__")), .regex = S("(.*):\\d+"), .target = S("host")},
	        {.action = RELABEL_DROP, SOURCE(S("host")), .regex = S("bad")},
	        {.action = RELABEL_LABELDROP, .regex = S("tmp_.*")},
	};
	struct relabel *r = rules(c, HG_COUNT(c));
	struct hg_buf got;
	(void)s;
	hg_buf_init(&got, 1000);
	applied(r, "__address__=web:80 tmp_x=1", &got);
	assert_str(hg_buf_view(&got), "__address__=web:80 host=web");
	hg_buf_reset(&got);
	applied(r, "__address__=bad:80", &got);
	assert_str(hg_buf_view(&got), "-");
	hg_buf_reset(&got);
	applied(NULL, "a=b", &got);
	assert_str(hg_buf_view(&got), "a=b");
	hg_buf_free(&got);
	relabel_free(r);
}

static void a_rule_that_cannot_work_is_refused_with_its_number(void **s)
{
	static const struct {
		struct relabel_conf c;
		enum hg_rc rc;
		const char *says;
	} row[] = {
	        {{.action = RELABEL_REPLACE}, HG_E_RELABEL, "target_label"},
	        {{.action = RELABEL_HASHMOD, .target = S("a")}, HG_E_RELABEL, "modulus"},
	        {{.action = RELABEL_LOWERCASE, .target = S("a"), .replacement = S("b")},
	                HG_E_RELABEL, "replacement"},
	        {{.action = RELABEL_KEEPEQUAL, .target = S("a"), .regex = S("b")}, HG_E_RELABEL,
	                "only"},
	        {{.action = RELABEL_LABELDROP, .regex = S("a"), .target = S("b")}, HG_E_RELABEL,
	                "names of labels"},
	        {{.action = RELABEL_LABELMAP, .replacement = S("")}, HG_E_RELABEL, "empty"},
	        {{.action = RELABEL_KEEP, .regex = S("a(")}, HG_E_REGEX, "closing )"},
	};
	struct relabel_conf two[2] = {{.action = RELABEL_KEEP}};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(row); i++) {
		struct hg_err err = {0};
		struct relabel *r = NULL;
		two[1] = row[i].c;
		assert_int_equal(relabel_new(two, 2, &r, &err), row[i].rc);
		if (!strstr(err.message, row[i].says) || !strstr(err.message, "rule 2"))
			fail_msg("row %zu: %s", i, err.message);
	}
}

static void actions_have_names(void **s)
{
	enum relabel_action a;
	(void)s;
	for (int i = 0; i <= RELABEL_UPPERCASE; i++) {
		assert_true(relabel_action_parse(
		        hg_str(relabel_action_name((enum relabel_action)i)), &a));
		assert_int_equal(a, i);
	}
	assert_true(relabel_action_parse(HG_STR("Keep"), &a) && a == RELABEL_KEEP);
	assert_false(relabel_action_parse(HG_STR("remove"), &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_action_does_what_prometheus_does),
	        cmocka_unit_test(rules_follow_one_another_until_one_drops),
	        cmocka_unit_test(a_rule_that_cannot_work_is_refused_with_its_number),
	        cmocka_unit_test(actions_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
