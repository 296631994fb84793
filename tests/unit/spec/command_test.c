#include "../test.h"

#include "spec/spec.h"

#include <stdlib.h>

static bool lookup(void *ctx, struct hg_str name, struct hg_str *ret_value)
{
	(void)ctx;
	if (hg_str_eq(name, HG_STR("PORT")))
		*ret_value = HG_STR("8090");
	else if (hg_str_eq(name, HG_STR("BLANKS")))
		*ret_value = HG_STR("a b  c");
	else if (hg_str_eq(name, HG_STR("QUOTE")))
		*ret_value = HG_STR("it's \"$PORT\" \\");
	else if (hg_str_eq(name, HG_STR("EMPTY")))
		*ret_value = HG_STR("");
	else
		return false;
	return true;
}

/* `want`: the words, each followed by "|". */
static void splits(const char *command, const char *want)
{
	struct hg_arena a;
	struct hg_err err = {0};
	struct hg_buf have;
	char **argv;
	uint32_t argc = 0;
	hg_arena_init(&a, "test", 4u << 20);
	hg_buf_init(&have, 1u << 20);
	if (spec_command_split(hg_str(command), lookup, NULL, &a, &argv, &argc, &err) < 0)
		fail_msg("%s: %s", command, err.message);
	assert_null(argv[argc]);
	for (uint32_t i = 0; i < argc; i++)
		hg_buf_fmt(&have, "%s|", argv[i]);
	assert_string_equal(hg_buf_text(&have), want);
	hg_buf_free(&have);
	hg_arena_fini(&a);
}

static void refuses(const char *command, const char *message)
{
	struct hg_arena a;
	struct hg_err err = {0};
	char **argv;
	uint32_t argc = 0;
	hg_arena_init(&a, "test", 4u << 20);
	assert_int_equal(spec_command_split(hg_str(command), lookup, NULL, &a, &argv, &argc, &err),
	        HG_E_COMMAND);
	assert_string_equal(err.message, message);
	hg_arena_fini(&a);
}

static void words_are_split_at_blanks(void **s)
{
	(void)s;
	splits("./hello --port 80", "./hello|--port|80|");
	splits("  a\t b\n c  ", "a|b|c|");
	splits("a;b && c|d > e *.c ~", "a;b|&&|c|d|>|e|*.c|~|");
}

static void quotes_are_those_of_a_shell(void **s)
{
	(void)s;
	splits("a 'b c' \"d e\" f\\ g", "a|b c|d e|f g|");
	splits("'' \"\" a''b", "||ab|");
	splits("'it'\\''s' \"a\\\"b\\\\c\\d\"", "it's|a\"b\\c\\d|");
	splits("--x='$PORT' '\\n'", "--x=$PORT|\\n|");
}

static void variables_are_replaced_once_and_never_split(void **s)
{
	(void)s;
	splits("a --port $PORT", "a|--port|8090|");
	splits("a ${PORT}x$PORT.y \"<$PORT>\"", "a|8090x8090.y|<8090>|");
	splits("a $BLANKS", "a|a b  c|");
	splits("a $QUOTE", "a|it's \"$PORT\" \\|");
	splits("a $ $1 $$ \\$PORT \"\\$PORT\"", "a|$|$1|$$|$PORT|$PORT|");
	splits("a $EMPTY \"$EMPTY\" b", "a|||b|");
}

static void what_cannot_be_split_is_said(void **s)
{
	(void)s;
	refuses("a 'b", "command \"a 'b\": the quote is not closed: '");
	refuses("a \\", "command \"a \\\": ends with a backslash");
	refuses("a $HOME", "command \"a $HOME\": unknown variable $HOME");
	refuses("a ${PORT:-1}", "command \"a ${PORT:-1}\": \"${\" must be ${NAME}");
	refuses("a ${", "command \"a ${\": \"${\" must be ${NAME}");
	refuses("   ", "command \"   \": is empty");
}

static void a_command_of_too_many_words_is_refused(void **s)
{
	char text[2 * SPEC_ARGS_MAX + 8];
	(void)s;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = i % 2 ? ' ' : 'x';
	text[2 * SPEC_ARGS_MAX - 1] = 0;
	struct hg_arena a;
	struct hg_err err = {0};
	char **argv;
	uint32_t argc = 0;
	hg_arena_init(&a, "test", 4u << 20);
	assert_int_equal(
	        spec_command_split(hg_str(text), lookup, NULL, &a, &argv, &argc, &err), HG_OK);
	assert_int_equal(argc, SPEC_ARGS_MAX);
	text[2 * SPEC_ARGS_MAX - 1] = ' ';
	text[2 * SPEC_ARGS_MAX + 1] = 0;
	assert_int_equal(spec_command_split(hg_str(text), lookup, NULL, &a, &argv, &argc, &err),
	        HG_E_COMMAND);
	hg_arena_fini(&a);
}

static void a_list_is_taken_word_by_word(void **s)
{
	static struct spec_report report;
	struct hg_arena a;
	struct spec *spec;
	struct spec_source from = {.file = "t.yaml",
	        .text = HG_STR("project: p\napps:\n"
	                       "  a: {command: [./a b, '--x=\"$PORT\"', 'c\\d', '']}\n"
	                       "  b: {command: [/bin/sh, -c, \"echo '$HOME' | wc > $PORT\"]}\n"
	                       "  c: {command: [sh, -eu, -c, 'exec x --port $PORT']}\n"
	                       "  d: {command: [./d, -c, $PORT]}\n")};
	(void)s;
	hg_arena_init(&a, "test", 4u << 20);
	assert_int_equal(spec_load(&from, &a, &report, &spec), HG_OK);
	splits(spec->apps[0].command.p, "./a b|--x=\"8090\"|c\\d||");
	splits(spec->apps[1].command.p, "/bin/sh|-c|echo '$HOME' | wc > $PORT|");
	splits(spec->apps[2].command.p, "sh|-eu|-c|exec x --port $PORT|");
	splits(spec->apps[3].command.p, "./d|-c|8090|");
	assert_true(spec_command_uses(spec->apps[2].command, HG_STR("PORT")));
	assert_false(spec_command_uses(spec->apps[2].command, HG_STR("POR")));
	hg_arena_fini(&a);
}

static void use_of_a_variable_is_found(void **s)
{
	(void)s;
	assert_true(spec_command_uses(HG_STR("a --port $PORT"), HG_STR("PORT")));
	assert_true(spec_command_uses(HG_STR("a ${PORT}"), HG_STR("PORT")));
	assert_true(spec_command_uses(HG_STR("sh -c 'a $PORT'"), HG_STR("PORT")));
	assert_false(spec_command_uses(HG_STR("a PORT $PORTS"), HG_STR("PORT")));
	assert_false(spec_command_uses(HG_STR(""), HG_STR("PORT")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(words_are_split_at_blanks),
	        cmocka_unit_test(quotes_are_those_of_a_shell),
	        cmocka_unit_test(variables_are_replaced_once_and_never_split),
	        cmocka_unit_test(what_cannot_be_split_is_said),
	        cmocka_unit_test(a_command_of_too_many_words_is_refused),
	        cmocka_unit_test(a_list_is_taken_word_by_word),
	        cmocka_unit_test(use_of_a_variable_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
