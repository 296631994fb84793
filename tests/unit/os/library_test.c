/* Libraries that come while the program runs; libm stands for one that is there. */
#include "../test.h"

#include "os/library.h"

struct calls {
	double (*cos)(double);
	double (*sqrt)(double);
};

static enum hg_rc load(const char *file, const char *second, struct calls *c, struct hg_err *err)
{
	const char *const name[] = {"cos", second};
	const struct library lib = {.file = file,
	        .hint = "Install it.",
	        .rc = HG_E_FETCH,
	        .call = name,
	        .call_n = HG_COUNT(name)};
	return library_load(&lib, c, sizeof *c, err);
}

static void what_is_there_can_be_called(void **state)
{
	struct hg_err err = {0};
	struct calls c = {0}, again = {0};
	(void)state;
	assert_int_equal(load("libm.so.6", "sqrt", &c, &err), HG_OK);
	assert_true(c.cos(0) == 1 && c.sqrt(9) == 3);
	assert_int_equal(load("libm.so.6", "sqrt", &again, NULL), HG_OK);
	assert_memory_equal(&c, &again, sizeof c);
}

static void what_is_not_there_is_named_with_what_to_do(void **state)
{
	struct hg_err err = {0};
	struct calls c = {0};
	const struct calls none = {0};
	(void)state;
	assert_int_equal(load("libnothing.so.7", "sqrt", &c, &err), HG_E_FETCH);
	assert_string_equal(err.message, "could not load libnothing.so.7");
	assert_non_null(strstr(err.detail, "libnothing.so.7"));
	assert_string_equal(err.hint, "Install it.");
	assert_int_equal(load("libm.so.6", "no_such_function", &c, &err), HG_E_FETCH);
	assert_non_null(strstr(err.detail, "no_such_function"));
	assert_memory_equal(&c, &none, sizeof c);
	assert_int_equal(load("libnothing.so.7", "sqrt", &c, NULL), HG_E_FETCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_there_can_be_called),
	        cmocka_unit_test(what_is_not_there_is_named_with_what_to_do),
	};
	return cmocka_run_group_tests_name("library", tests, NULL, NULL);
}
