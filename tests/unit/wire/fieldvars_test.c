#include "../test.h"

#include "wire/fieldvars.h"

static const char *compiled(const char *value, unsigned side, char to[256])
{
	struct hg_out o = hg_out_over(to, 255);
	const char *why = fieldvars_compile(hg_str(value), side, &o);
	to[o.n] = 0;
	return why;
}

static void variables_become_one_byte_and_text_stays(void **state)
{
	char have[256];
	struct hg_str rest, text = {NULL, 0};
	enum fieldvar v;
	(void)state;
	assert_null(compiled("a $$5 $client_ip/$release", FIELDVARS_RESPONSE, have));
	rest = hg_str(have);
	assert_true(fieldvars_next(&rest, &text, &v) && v == FIELDVARS);
	assert_true(hg_str_eq(text, HG_STR("a $5 ")));
	assert_true(fieldvars_next(&rest, &text, &v) && v == FIELDVAR_CLIENT_IP);
	assert_true(fieldvars_next(&rest, &text, &v) && v == FIELDVARS);
	assert_true(hg_str_eq(text, HG_STR("/")));
	assert_true(fieldvars_next(&rest, &text, &v) && v == FIELDVAR_RELEASE);
	assert_false(fieldvars_next(&rest, &text, &v));
}

static void what_cannot_be_known_or_written_is_refused(void **state)
{
	char have[256];
	(void)state;
	assert_non_null(compiled("$release", FIELDVARS_REQUEST, have));
	assert_non_null(compiled("$host", FIELDVARS_RESPONSE, have));
	assert_null(compiled("$host", FIELDVARS_REQUEST, have));
	assert_non_null(compiled("$nobody", FIELDVARS_REQUEST, have));
	assert_non_null(compiled("$", FIELDVARS_REQUEST, have));
	assert_non_null(compiled("5$ each", FIELDVARS_REQUEST, have));
	assert_non_null(compiled("", FIELDVARS_REQUEST, have));
	assert_non_null(compiled(" x", FIELDVARS_REQUEST, have));
	assert_non_null(compiled("a\r\nX-Evil: 1", FIELDVARS_REQUEST, have));
	assert_non_null(compiled("a\x0e"
	                         "b",
	        FIELDVARS_REQUEST, have));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(variables_become_one_byte_and_text_stays),
	        cmocka_unit_test(what_cannot_be_known_or_written_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
