#include "tests/unit/test.h"

#include "observe/tsdb/labels.h"

#include <stdio.h>
#include <stdlib.h>

static struct labels made(struct labels_builder *b, const char *const *pairs)
{
	struct labels ls;
	labels_builder_reset(b);
	for (; *pairs; pairs += 2)
		labels_builder_add(b, hg_str(pairs[0]), hg_str(pairs[1]));
	assert_int_equal(labels_builder_done(b, &ls), HG_OK);
	return ls;
}

#define PAIRS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void printed(struct labels ls, const char *want)
{
	struct hg_buf b;
	hg_buf_init(&b, 4096);
	labels_print(&b, ls);
	assert_str(hg_buf_view(&b), want);
	hg_buf_free(&b);
}

static void test_a_builder_sorts_and_drops_doubles_and_empties(void **state)
{
	(void)state;
	struct labels_builder b = {0};
	struct labels ls = made(&b, PAIRS("z", "1", "a", "2", "m", "", "a", "3"));
	assert_true(labels_valid(ls));
	printed(ls, "{a=\"3\", z=\"1\"}");
	labels_builder_from(&b, ls);
	labels_builder_set(&b, HG_STR("b"), HG_STR("x"));
	labels_builder_set(&b, HG_STR("z"), HG_STR(""));
	assert_str(labels_builder_get(&b, HG_STR("b")), "x");
	assert_int_equal(labels_builder_done(&b, &ls), HG_OK);
	printed(ls, "{a=\"3\", b=\"x\"}");
	labels_builder_keep_only(&b, (struct hg_str[]){HG_STR("b"), HG_STR("q")}, 2);
	assert_int_equal(labels_builder_done(&b, &ls), HG_OK);
	printed(ls, "{b=\"x\"}");
	labels_builder_drop(&b, HG_STR("b"));
	assert_int_equal(labels_builder_done(&b, &ls), HG_OK);
	assert_int_equal(ls.n, 0);
	labels_builder_fini(&b);
}

static void test_too_many_labels_are_an_error(void **state)
{
	(void)state;
	struct labels_builder b = {0};
	struct labels ls;
	char name[LABELS_MAX + 1][16];
	for (int i = 0; i <= LABELS_MAX; i++) {
		snprintf(name[i], sizeof name[i], "l%d", i);
		labels_builder_add(&b, hg_str(name[i]), HG_STR("v"));
	}
	assert_int_equal(labels_builder_done(&b, &ls), HG_E_TOO_LARGE);
	labels_builder_fini(&b);
}

static void test_series_are_printed_as_prometheus_writes_them(void **state)
{
	(void)state;
	const struct {
		const char *const *pairs;
		const char *want;
	} rows[] = {
	        {PAIRS("__name__", "up"), "up"},
	        {PAIRS("__name__", "up", "job", "x", "instance", "a:1"),
	                "up{instance=\"a:1\", job=\"x\"}"},
	        {PAIRS("a", "x\"y\\z\n\t"), "{a=\"x\\\"y\\\\z\\n\\t\"}"},
	        {PAIRS("__name__", "my.name", "a-b", "c"), "{\"my.name\", \"a-b\"=\"c\"}"},
	        {PAIRS("a", "\xc3\xa9\xff\x01"), "{a=\"\xc3\xa9\\xff\\x01\"}"},
	        {PAIRS("__name__", "a:b", "c:d", "1"), "a:b{\"c:d\"=\"1\"}"},
	};
	struct labels_builder b = {0};
	for (size_t i = 0; i < HG_COUNT(rows); i++)
		printed(made(&b, rows[i].pairs), rows[i].want);
	printed((struct labels){0}, "{}");
	labels_builder_fini(&b);
}

static void test_order_and_hash_of_sets(void **state)
{
	(void)state;
	const char *const *rising[] = {
	        PAIRS("a", "1"),
	        PAIRS("a", "1", "b", "1"),
	        PAIRS("a", "1", "b", "2"),
	        PAIRS("a", "11"),
	        PAIRS("a", "2"),
	        PAIRS("aa", "1"),
	        PAIRS("b", "0"),
	};
	struct labels_builder b[HG_COUNT(rising)] = {0};
	struct labels ls[HG_COUNT(rising)];
	for (size_t i = 0; i < HG_COUNT(rising); i++)
		ls[i] = made(&b[i], rising[i]);
	for (size_t i = 0; i < HG_COUNT(rising); i++) {
		for (size_t k = 0; k < HG_COUNT(rising); k++) {
			int c = labels_compare(ls[i], ls[k]);
			assert_int_equal((c > 0) - (c < 0), (i > k) - (i < k));
			assert_int_equal(labels_equal(ls[i], ls[k]), i == k);
			assert_int_equal(labels_hash(ls[i]) == labels_hash(ls[k]), i == k);
		}
	}
	struct hg_str on[] = {HG_STR("b")};
	assert_true(labels_hash_on(ls[1], on, 1) != labels_hash_on(ls[2], on, 1));
	assert_true(labels_hash_without(ls[1], on, 1) == labels_hash_without(ls[0], on, 1));
	assert_true(labels_hash_on(ls[0], on, 1) == labels_hash_on(ls[4], on, 1));
	for (size_t i = 0; i < HG_COUNT(rising); i++)
		labels_builder_fini(&b[i]);
}

static void test_copies_do_not_need_the_original(void **state)
{
	(void)state;
	struct labels_builder b = {0};
	char value[] = "one";
	struct labels copy, clone, ls;
	struct hg_arena a;
	hg_arena_init(&a, "test", 4096);
	labels_builder_add(&b, HG_STR("n"), hg_str(value));
	assert_int_equal(labels_builder_done(&b, &ls), HG_OK);
	assert_int_equal(labels_copy(&a, ls, &copy), HG_OK);
	assert_int_equal(labels_clone(ls, &clone), HG_OK);
	memcpy(value, "two", 3);
	assert_str(labels_get(copy, HG_STR("n")), "one");
	assert_str(labels_get(clone, HG_STR("n")), "one");
	assert_str(labels_get(ls, HG_STR("n")), "two");
	assert_str(labels_get(ls, HG_STR("absent")), "");
	labels_free(clone);
	hg_arena_fini(&a);
	labels_builder_fini(&b);
}

static void test_sets_that_are_not_in_order_are_not_valid(void **state)
{
	(void)state;
	struct label wrong[][2] = {
	        {{HG_STR("b"), HG_STR("1")}, {HG_STR("a"), HG_STR("1")}},
	        {{HG_STR("a"), HG_STR("1")}, {HG_STR("a"), HG_STR("2")}},
	        {{HG_STR("a"), HG_STR("1")}, {HG_STR("b"), HG_STR("")}},
	        {{HG_STR(""), HG_STR("1")}, {HG_STR("b"), HG_STR("1")}},
	};
	for (size_t i = 0; i < HG_COUNT(wrong); i++)
		assert_false(labels_valid((struct labels){wrong[i], 2}));
}

static void test_matchers_take_an_absent_label_as_empty(void **state)
{
	(void)state;
	static const struct {
		enum label_match op;
		const char *value, *given;
		bool want;
	} rows[] = {
	        {LABEL_EQ, "x", "x", true},
	        {LABEL_EQ, "x", "", false},
	        {LABEL_EQ, "", "", true},
	        {LABEL_NE, "x", "", true},
	        {LABEL_NE, "", "", false},
	        {LABEL_NE, "", "x", true},
	};
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct label_matcher m = {
		        .op = rows[i].op, .name = HG_STR("a"), .value = hg_str(rows[i].value)};
		assert_int_equal(label_matcher_matches(&m, hg_str(rows[i].given)), rows[i].want);
	}
}

struct placed {
	struct labels ls;
	int number;
};

static void test_places_in_a_sorted_array(void **state)
{
	struct label l[5];
	struct placed at[5];
	bool found;
	static const char *const values[] = {"b", "d", "f", "h", "j"};
	(void)state;
	for (uint32_t i = 0; i < 5; i++) {
		l[i] = (struct label){HG_STR("x"), hg_str(values[i])};
		at[i] = (struct placed){.ls = {&l[i], 1}, .number = (int)i};
	}
	for (char c = 'a'; c <= 'k'; c++) {
		struct label one = {HG_STR("x"), {&c, 1}};
		for (uint32_t n = 0; n <= 5; n++) {
			uint32_t i =
			        labels_place(at, n, sizeof *at, (struct labels){&one, 1}, &found);
			uint32_t before = HG_MIN((uint32_t)(c - 'a') / 2, n);
			bool there = (c - 'a') % 2 && (uint32_t)(c - 'b') / 2 < n;
			assert_int_equal(found, there);
			assert_int_equal(i, before);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_a_builder_sorts_and_drops_doubles_and_empties),
	        cmocka_unit_test(test_too_many_labels_are_an_error),
	        cmocka_unit_test(test_series_are_printed_as_prometheus_writes_them),
	        cmocka_unit_test(test_order_and_hash_of_sets),
	        cmocka_unit_test(test_copies_do_not_need_the_original),
	        cmocka_unit_test(test_sets_that_are_not_in_order_are_not_valid),
	        cmocka_unit_test(test_matchers_take_an_absent_label_as_empty),
	        cmocka_unit_test(test_places_in_a_sorted_array),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
