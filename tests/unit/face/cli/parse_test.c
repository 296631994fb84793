#include "../../test.h"

#include <stdio.h>

#include "face/cli/cli_priv.h"

#define WORDS_MAX 16

/* Splits a command line written in a test at its spaces. */
static enum hg_rc parse(const char *line, struct cli_args *ret_args, struct hg_err *err)
{
	static char text[512];
	static char *argv[WORDS_MAX];
	int argc = 0;
	snprintf(text, sizeof text, "%s", line);
	for (char *at = text; *at && argc < WORDS_MAX;) {
		argv[argc++] = at;
		at += strcspn(at, " ");
		if (*at) *at++ = 0;
	}
	memset(err, 0, sizeof *err);
	return cli_parse(argc, argv, ret_args, err);
}

static void command_lines_are_understood(void **s)
{
	struct row {
		const char *line;
		enum cli_verb verb;
		enum cli_flag_id flag;
		const char *value;
		int count;
		const char *last;
	} rows[] = {
	        {"headgate up", CLI_UP, CLI_F_FILE, NULL, 0, NULL},
	        {"headgate up -f a.yaml", CLI_UP, CLI_F_FILE, "a.yaml", 0, NULL},
	        {"headgate up -fa.yaml", CLI_UP, CLI_F_FILE, "a.yaml", 0, NULL},
	        {"headgate up --file=a.yaml -d", CLI_UP, CLI_F_DETACH, "", 0, NULL},
	        {"headgate up -df a.yaml", CLI_UP, CLI_F_FILE, "a.yaml", 0, NULL},
	        {"headgate --data /x status", CLI_STATUS, CLI_F_DATA, "/x", 0, NULL},
	        {"headgate status web --data=/x", CLI_STATUS, CLI_F_DATA, "/x", 1, "web"},
	        {"headgate logs -f web -n 50", CLI_LOGS, CLI_F_LIMIT, "50", 1, "web"},
	        {"headgate logs --level error", CLI_LOGS, CLI_F_LEVEL, "error", 0, NULL},
	        {"headgate config check x.yaml", CLI_CONFIG_CHECK, CLI_F_JSON, NULL, 1, "x.yaml"},
	        {"headgate config check --json", CLI_CONFIG_CHECK, CLI_F_JSON, "", 0, NULL},
	        {"headgate run -- ./a --port 1", CLI_RUN, CLI_F_DETACH, NULL, 3, "1"},
	        {"headgate run ./a -d", CLI_RUN, CLI_F_DETACH, NULL, 2, "-d"},
	        {"headgate run -d ./a", CLI_RUN, CLI_F_DETACH, "", 1, "./a"},
	        {"headgate scale a=1 b=2", CLI_SCALE, CLI_F_WAIT, NULL, 2, "b=2"},
	        {"headgate deploy web --version 1.8", CLI_DEPLOY, CLI_F_VERSION, "1.8", 1, "web"},
	        {"headgate deploy --env=A=1 web", CLI_DEPLOY, CLI_F_ENV, "A=1", 1, "web"},
	        {"headgate rollouts", CLI_ROLLOUTS_LIST, CLI_F_JSON, NULL, 0, NULL},
	        {"headgate rollouts --json", CLI_ROLLOUTS_LIST, CLI_F_JSON, "", 0, NULL},
	        {"headgate rollouts list web", CLI_ROLLOUTS_LIST, CLI_F_JSON, NULL, 1, "web"},
	        {"headgate rollouts promote 42 --full", CLI_ROLLOUTS_PROMOTE, CLI_F_FULL, "", 1,
	                "42"},
	        {"headgate promote", CLI_PROMOTE, CLI_F_FULL, NULL, 0, NULL},
	        {"headgate rollback web --to 7", CLI_ROLLBACK, CLI_F_TO, "7", 1, "web"},
	        {"headgate query up", CLI_QUERY_RUN, CLI_F_RANGE, NULL, 1, "up"},
	        {"headgate query --range 1h up", CLI_QUERY_RUN, CLI_F_RANGE, "1h", 1, "up"},
	        {"headgate query -- -1", CLI_QUERY_RUN, CLI_F_RANGE, NULL, 1, "-1"},
	        {"headgate query run test", CLI_QUERY_RUN, CLI_F_RANGE, NULL, 1, "test"},
	        {"headgate query test a.test", CLI_QUERY_TEST, CLI_F_RANGE, NULL, 1, "a.test"},
	        {"headgate help up", CLI_HELP, CLI_F_HELP, NULL, 1, "up"},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct cli_args a;
		struct hg_err e;
		print_message("# %s\n", rows[i].line);
		assert_int_equal(parse(rows[i].line, &a, &e), HG_OK);
		assert_int_equal(a.row->verb, rows[i].verb);
		assert_int_equal(a.count, rows[i].count);
		if (rows[i].last) assert_string_equal(a.positional[a.count - 1], rows[i].last);
		if (rows[i].value)
			assert_string_equal(a.value[rows[i].flag], rows[i].value);
		else
			assert_null(a.value[rows[i].flag]);
	}
}

static void wrong_command_lines_say_what_is_wrong(void **s)
{
	struct row {
		const char *line;
		enum hg_rc rc;
		const char *message, *hint;
	} rows[] = {
	        {"headgate statsu", HG_E_VERB_UNKNOWN, "\"statsu\"", "headgate status"},
	        {"headgate stop", HG_E_VERB_UNKNOWN, "\"stop\"", "headgate down"},
	        {"headgate zzzzzz", HG_E_VERB_UNKNOWN, "\"zzzzzz\"", "headgate help"},
	        {"headgate xy", HG_E_VERB_UNKNOWN, "\"xy\"", "headgate help"},
	        {"headgate traces web", HG_E_VERB_LATER, "not available yet", ""},
	        {"headgate rollouts web", HG_E_VERB_UNKNOWN, "rollouts web",
	                "list show why promote"},
	        {"headgate deploy", HG_E_USAGE, "needs APP", "help deploy"},
	        {"headgate deploy a b", HG_E_USAGE, "too many", "help deploy"},
	        {"headgate deploy a --version 1 --version 2", HG_E_USAGE, "twice", ""},
	        {"headgate deploy a --strategy yolo", HG_E_USAGE, "yolo", "blue-green canary"},
	        {"headgate deploy a --env", HG_E_USAGE, "needs K=V", ""},
	        {"headgate rollouts retry", HG_E_USAGE, "needs ID", ""},
	        {"headgate query", HG_E_USAGE, "needs EXPR", ""},
	        {"headgate query up down", HG_E_USAGE, "one argument too many", ""},
	        {"headgate config", HG_E_USAGE, "needs a word more", "check show fmt schema"},
	        {"headgate config chekc", HG_E_VERB_UNKNOWN, "config chekc", "check show"},
	        {"headgate up --detahc", HG_E_USAGE, "--detahc", "--detach"},
	        {"headgate up --detach=1", HG_E_USAGE, "takes no value", ""},
	        {"headgate up --timeout 5", HG_E_USAGE, "--timeout", "duration"},
	        {"headgate up --timeout", HG_E_USAGE, "needs DURATION", ""},
	        {"headgate up -f a -f b", HG_E_USAGE, "twice", ""},
	        {"headgate up x", HG_E_USAGE, "one argument too many", "help up"},
	        {"headgate scale", HG_E_USAGE, "needs APP=N", "help scale"},
	        {"headgate logs --level loud", HG_E_USAGE, "loud", "debug info warn error"},
	        {"headgate logs -n -5", HG_E_USAGE, "-5", "whole number"},
	        {"headgate --frobnicate up", HG_E_USAGE, "--frobnicate", "after it"},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct cli_args a;
		struct hg_err e;
		print_message("# %s\n", rows[i].line);
		assert_int_equal(parse(rows[i].line, &a, &e), rows[i].rc);
		assert_non_null(strstr(e.message, rows[i].message));
		assert_non_null(strstr(e.hint, rows[i].hint));
		assert_in_range(hg_rc_info(rows[i].rc)->exit_status, 2, 2);
	}
}

static void help_and_version_need_nothing_else(void **s)
{
	struct cli_args a;
	struct hg_err e;
	(void)s;
	assert_int_equal(parse("headgate", &a, &e), HG_OK);
	assert_true(a.help && !a.row);
	assert_int_equal(parse("headgate --version", &a, &e), HG_OK);
	assert_true(a.version);
	assert_int_equal(parse("headgate scale -h", &a, &e), HG_OK);
	assert_true(a.help && a.row->verb == CLI_SCALE);
	assert_int_equal(parse("headgate config --help", &a, &e), HG_OK);
	assert_true(a.help && !a.row);
	assert_str(a.noun, "config");
	assert_int_equal(parse("headgate rollouts -h", &a, &e), HG_OK);
	assert_true(a.help && !a.row);
}

static void a_flag_that_repeats_keeps_every_value_in_order(void **s)
{
	struct cli_args a;
	struct hg_err e;
	(void)s;
	assert_int_equal(parse("headgate deploy --env A=1 web --env=B=2 --env A=3", &a, &e), HG_OK);
	assert_int_equal(a.many_count, 3);
	assert_string_equal(a.many[0].value, "A=1");
	assert_string_equal(a.many[1].value, "B=2");
	assert_string_equal(a.many[2].value, "A=3");
	assert_int_equal(a.many[2].id, CLI_F_ENV);
	assert_int_equal(a.count, 1);
	/* There is an end to it. */
	char *argv[2 * CLI_MANY_MAX + 8], word[] = "--env", pair[] = "A=1", program[] = "headgate",
	                                  verb[] = "deploy", app[] = "web";
	int argc = 0;
	argv[argc++] = program;
	argv[argc++] = verb;
	argv[argc++] = app;
	for (int i = 0; i <= CLI_MANY_MAX; i++) {
		argv[argc++] = word;
		argv[argc++] = pair;
	}
	memset(&e, 0, sizeof e);
	assert_int_equal(cli_parse(argc, argv, &a, &e), HG_E_USAGE);
	assert_non_null(strstr(e.message, "more than 64 times"));
}

static void durations_need_a_unit_and_do_not_overflow(void **s)
{
	uint64_t ms = 0;
	(void)s;
	assert_true(cli_duration(HG_STR("500ms"), &ms) && ms == 500);
	assert_true(cli_duration(HG_STR("2m"), &ms) && ms == 120000);
	assert_true(cli_duration(HG_STR("30d"), &ms) && ms == 30ull * 86400000);
	assert_false(cli_duration(HG_STR("30"), &ms));
	assert_false(cli_duration(HG_STR("s"), &ms));
	assert_false(cli_duration(HG_STR("-1s"), &ms));
	assert_false(cli_duration(HG_STR("99999999999999999999d"), &ms));
	assert_false(cli_duration(HG_STR(""), &ms));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(command_lines_are_understood),
	        cmocka_unit_test(wrong_command_lines_say_what_is_wrong),
	        cmocka_unit_test(help_and_version_need_nothing_else),
	        cmocka_unit_test(a_flag_that_repeats_keeps_every_value_in_order),
	        cmocka_unit_test(durations_need_a_unit_and_do_not_overflow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
