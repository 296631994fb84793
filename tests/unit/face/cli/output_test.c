#include "../../test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "face/cli/client_priv.h"
#include "face/cli/config_priv.h"

/* Nothing runs in these tests. */
enum hg_rc warden_find(const char *data_dir, struct warden_info *ret_info, struct hg_err *err)
{
	(void)ret_info;
	return hg_err_set(err, HG_E_NOT_FOUND, "nothing runs on \"%s\"", data_dir);
}

static void no_line_is_wider_than_80_columns(const char *text)
{
	struct hg_str rest = hg_str(text);
	while (rest.n) {
		struct hg_str line = hg_str_cut(&rest, '\n');
		if (hg_utf8_count(line) > 80) fail_msg("too wide: %.*s", HG_STR_ARG(line));
	}
}

static void the_table_of_apps_fits_and_has_symbol_and_word(void **s)
{
	struct cli c = {.utf8 = true, .columns = 80};
	struct hg_buf text;
	json_t *status = json_loads(
	        "{\"apps\":["
	        "{\"name\":\"a-very-long-name-of-an-app-indeed\",\"release\":12,\"ready\":250,"
	        "\"desired\":256,\"restarts\":123456,\"rate\":123456.7,\"error_ratio\":0.5,"
	        "\"p95_seconds\":12.5,\"phase\":\"crashloop\",\"reason\":\"replica 2 ended: exit "
	        "status 1 and a very long explanation that goes on and on and on and on and on\"},"
	        "{\"name\":\"web\",\"release\":1,\"ready\":3,\"desired\":3,\"restarts\":0,"
	        "\"rate\":0,\"error_ratio\":null,\"p95_seconds\":null,\"phase\":\"running\","
	        "\"reason\":\"\"}],\"processes\":[{\"role\":\"warden\",\"pid\":1}]}",
	        0, NULL);
	(void)s;
	assert_non_null(status);
	hg_buf_init(&text, 65536);
	assert_int_equal(cli_apps_table(&c, status, &text), 4);
	no_line_is_wider_than_80_columns(hg_buf_text(&text));
	assert_non_null(strstr(text.p, "✖ crashloop"));
	assert_non_null(strstr(text.p, "✔ running"));
	assert_int_equal(cli_status_exit(status), 7);
	json_array_remove(cli_list(status, "apps"), 0);
	assert_int_equal(cli_status_exit(status), 0);
	json_object_del(status, "processes");
	assert_int_equal(cli_status_exit(status), 7); /* no warden: nothing heals */
	hg_buf_free(&text);
	json_decref(status);
}

static void with_rollouts_the_table_shows_versions_and_where_they_are(void **s)
{
	struct cli c = {.utf8 = true, .columns = 80};
	struct hg_buf text;
	json_t *status = json_loads(
	        "{\"apps\":[{\"name\":\"feedback\",\"release\":7,\"ready\":4,\"desired\":3,"
	        "\"rate\":2005,\"error_ratio\":0.0002,\"p95_seconds\":0.041,\"phase\":\"running\","
	        "\"reason\":\"\"},{\"name\":\"a-very-long-name-of-an-app\",\"release\":12,"
	        "\"ready\":"
	        "250,\"desired\":256,\"rate\":123456.7,\"error_ratio\":0.00001,\"p95_seconds\":"
	        "12.5,\"phase\":\"crashloop\",\"reason\":\"\"},{\"name\":\"web\",\"release\":1,"
	        "\"ready\":3,\"desired\":3,\"rate\":0,\"error_ratio\":null,\"p95_seconds\":null,"
	        "\"phase\":\"running\",\"reason\":\"\"}],\"processes\":[],\"rollouts\":["
	        "{\"id\":43,\"app\":\"feedback\",\"state\":\"running\",\"phase\":\"step\","
	        "\"outcome\":\"\",\"weight\":0.1,\"old\":{\"release\":7,\"version\":\"1.7.3\"},"
	        "\"new\":{\"release\":8,\"version\":\"1.8.0\"}},"
	        "{\"id\":42,\"app\":\"feedback\",\"state\":\"aborted\",\"phase\":\"end\","
	        "\"outcome\":\"rolled_back\",\"weight\":0,\"old\":{},\"new\":{}},"
	        "{\"id\":1041,\"app\":\"a-very-long-name-of-an-app\",\"state\":\"aborted\","
	        "\"phase\":\"end\",\"outcome\":\"rolled_back\",\"weight\":0,\"old\":{\"release\":"
	        "12,\"version\":\"2026.11.23-rc1\"},\"new\":{\"release\":13}}]}",
	        0, NULL);
	(void)s;
	assert_non_null(status);
	hg_buf_init(&text, 65536);
	assert_int_equal(cli_apps_table(&c, status, &text), 4);
	no_line_is_wider_than_80_columns(hg_buf_text(&text));
	assert_string_equal(hg_buf_text(&text),
	        "APP          VERSION   READY   RATE  ERRORS  P95    STATE       ROLLOUT\n"
	        "feedback     1.7.3     4/3     2005  0.02 %  41 ms  ✔ running   ◌ 43 step 10 %\n"
	        "a-very-long- 2026.11.… 250/256 123k  <0.01 % 12.5 s ✖ crashloop ✖ 1041 back\n"
	        "web          1         3/3     0     –       –      ✔ running   –\n");
	/* Scripts read whole names. */
	c.plain = true;
	hg_buf_reset(&text);
	cli_apps_table(&c, status, &text);
	assert_non_null(strstr(hg_buf_text(&text), "\na-very-long-name-of-an-app "));
	hg_buf_free(&text);
	json_decref(status);
}

static void a_json_log_line_shows_its_message_and_fields(void **s)
{
	struct cli c = {.columns = 80};
	struct hg_buf b;
	json_t *j =
	        json_loads("{\"ts\":\"2026-11-23T20:14:03.123456Z\",\"level\":\"error\",\"app\":"
	                   "\"web\",\"release\":2,\"replica\":3,\"text\":\"{\\\"level\\\":"
	                   "\\\"error\\\",\\\"message\\\":\\\"no disk\\\",\\\"code\\\":28}\"}",
	                0, NULL);
	(void)s;
	assert_non_null(j);
	hg_buf_init(&b, 4096);
	cli_log_line(&c, j, &b);
	assert_string_equal(hg_buf_text(&b), "20:14:03.123 error web.2.3  no disk code=28\n");
	hg_buf_reset(&b);
	json_object_set_new(j, "text", json_string("plain \033[2Jtext"));
	cli_log_line(&c, j, &b);
	assert_string_equal(hg_buf_text(&b), "20:14:03.123 error web.2.3  plain text\n");
	/* What control says of a replica is not a label of control's own. */
	hg_buf_reset(&b);
	json_object_set_new(j, "app", json_string("control"));
	json_object_set_new(j, "text",
	        json_string("{\"event\":\"replica.created\",\"app\":\"web\",\"release\":4,"
	                    "\"replica\":2}"));
	cli_log_line(&c, j, &b);
	assert_string_equal(hg_buf_text(&b), "20:14:03.123 error control.2.3  replica.created "
	                                     "app=web release=4 replica=2\n");
	hg_buf_free(&b);
	json_decref(j);
}

static void run_makes_a_configuration_that_loads(void **s)
{
	static const char *const argv[] = {
	        "/usr/bin/My_Server.py", "--port", "$PORT", "say \"hi\": #1"};
	struct cli_args a = {.positional = argv, .count = 4};
	struct hg_buf text;
	struct hg_arena mem;
	struct spec *spec;
	struct spec_report *report = calloc(1, sizeof *report);
	(void)s;
	a.value[CLI_F_LISTEN] = "127.0.0.1:9000";
	a.value[CLI_F_REPLICAS] = "3";
	a.number[CLI_F_REPLICAS] = 3;
	hg_buf_init(&text, 65536);
	hg_arena_init(&mem, "test", 64u << 20);
	assert_true(cli_run_text(&a, &text));
	struct spec_source from = {hg_buf_view(&text), "(run)", NULL, NULL};
	assert_int_equal(spec_load(&from, &mem, report, &spec), HG_OK);
	assert_int_equal(spec_check(spec, report), HG_OK);
	struct hg_err later;
	assert_int_equal(spec_unavailable(spec, &later, 1), 0);
	assert_int_equal(spec->app_count, 1);
	assert_str(spec->apps[0].name, "my-server");
	assert_int_equal(spec->apps[0].replicas, 3);
	assert_int_equal(spec->edge.listen.http.port, 9000);
	static const char *const bad[] = {"\xff\xfe"};
	a.positional = bad;
	a.count = 1;
	hg_buf_reset(&text);
	assert_false(cli_run_text(&a, &text));
	hg_buf_free(&text);
	hg_arena_fini(&mem);
	free(report);
}

static void names_of_apps_come_from_names_of_programs(void **s)
{
	static const char *const rows[][2] = {{"./hello", "hello"},
	        {"/a/b/Hello_World.py", "hello-world"}, {"...", "app"}, {"", "app"}, {"été", "t"},
	        {"x--y_", "x-y"},
	        {"0123456789012345678901234567890123456789012345",
	                "0123456789012345678901234567890123456789"}};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		char name[64];
		cli_app_name(rows[i][0], name);
		assert_string_equal(name, rows[i][1]);
	}
}

static void a_problem_of_the_api_is_the_error_it_was(void **s)
{
	struct hg_err e = {0};
	json_t *j = json_loads(
	        "{\"code\":\"HG1006\",\"detail\":\"unknown key \\\"x\\\"\",\"hint\":\"y\","
	        "\"place\":{\"file\":\"h.yaml\",\"line\":7,\"column\":3,\"snippet\":"
	        "\"  x: 1\",\"caret\":3}}",
	        0, NULL);
	(void)s;
	assert_int_equal(cli_problem(j, 400, &e), HG_E_INVALID);
	assert_string_equal(e.message, "unknown key \"x\"");
	assert_string_equal(e.file, "h.yaml");
	assert_int_equal(e.line, 7);
	assert_int_equal(e.caret, 3);
	json_decref(j);
	assert_int_equal(cli_problem(NULL, 500, &e), HG_E_INTERNAL);
}

static void an_error_of_prometheus_api_is_one_of_ours(void **s)
{
	static const struct {
		const char *json;
		enum hg_rc rc;
	} rows[] = {
	        {"{\"errorType\":\"bad_data\",\"error\":\"e\"}", HG_E_QUERY_SYNTAX},
	        {"{\"errorType\":\"execution\",\"error\":\"e\"}", HG_E_QUERY_FAILED},
	        {"{\"errorType\":\"timeout\",\"error\":\"e\"}", HG_E_QUERY_TIME},
	        {"{\"errorType\":\"unavailable\",\"error\":\"e\"}", HG_E_AGAIN},
	        {"{\"errorType\":\"unavailable\",\"error\":\"e\",\"code\":\"HG1008\"}",
	                HG_E_CLOSED},
	        {"{\"errorType\":\"new\",\"error\":\"e\"}", HG_E_INTERNAL},
	};
	(void)s;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		struct hg_err e = {0};
		json_t *j = json_loads(rows[i].json, 0, NULL);
		assert_int_equal(cli_problem(j, 400, &e), rows[i].rc);
		assert_string_equal(e.message, "e");
		json_decref(j);
	}
}

static void queries_are_encoded(void **s)
{
	struct hg_buf path;
	(void)s;
	hg_buf_init(&path, 4096);
	hg_buf_cstr(&path, "/v1/logs");
	cli_query_add(&path, "grep", HG_STR("a b&c=\r\n\xc3\xa9"));
	cli_query_add(&path, "limit", HG_STR("5"));
	assert_string_equal(hg_buf_text(&path), "/v1/logs?grep=a%20b%26c%3D%0D%0A%C3%A9&limit=5");
	hg_buf_free(&path);
}

/* The whole program, unheard, in a folder where nothing runs; exit status. */
static int run_main(const char *a, const char *b, const char *c)
{
	static const struct cli_deps deps = {0};
	char name[] = "headgate", one[64], two[64], three[64];
	char *argv[5] = {name};
	int argc = 1;
	if (a) argv[argc++] = one, snprintf(one, sizeof one, "%s", a);
	if (b) argv[argc++] = two, snprintf(two, sizeof two, "%s", b);
	if (c) argv[argc++] = three, snprintf(three, sizeof three, "%s", c);
	/* The runner reads our output. */
	fflush(NULL);
	int null = open("/dev/null", O_WRONLY), out = dup(1), errors = dup(2);
	dup2(null, 1);
	dup2(null, 2);
	int status = cli_main(argc, argv, &deps);
	fflush(NULL);
	dup2(out, 1);
	dup2(errors, 2);
	close(null);
	close(out);
	close(errors);
	return status;
}

static void every_exit_code_is_the_documented_one(void **s)
{
	static const struct {
		const char *words[3];
		int status;
	} rows[] = {
	        {{"version"}, 0},
	        {{"--version"}, 0},
	        {{"version", "--json"}, 0},
	        {{"help"}, 0},
	        {{"help", "up"}, 0},
	        {{"help", "config"}, 0},
	        {{"help", "HG1603"}, 0},
	        {{"help", "HG9999"}, 2},
	        {{NULL}, 2},
	        {{"frobnicate"}, 2},
	        {{"traces"}, 2},
	        {{"status"}, 6},
	        {{"logs"}, 6},
	        {{"scale", "web=3"}, 6},
	        {{"scale", "web=x"}, 2},
	        {{"restart", "web"}, 6},
	        {{"token", "list"}, 6},
	        {{"open"}, 6},
	        {{"down"}, 0},
	        {{"explain", "replicas"}, 0},
	        {{"explain", "HG1602"}, 0},
	        {{"explain", "nonsense"}, 2},
	        {{"config", "schema"}, 0},
	        {{"config", "check", "/nonexistent.yaml"}, 2},
	        {{"completion", "bash"}, 0},
	        {{"completion", "tcsh"}, 2},
	        {{"run", "./no-such-program"}, 2},
	};
	char folder[] = "/tmp/hg-cli-XXXXXX";
	(void)s;
	assert_non_null(mkdtemp(folder));
	setenv("HEADGATE_DATA", folder, 1);
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		int status = run_main(rows[i].words[0], rows[i].words[1], rows[i].words[2]);
		if (status != rows[i].status)
			fail_msg("headgate %s %s: %d, want %d", rows[i].words[0],
			        rows[i].words[1] ? rows[i].words[1] : "", status, rows[i].status);
	}
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_table_of_apps_fits_and_has_symbol_and_word),
	        cmocka_unit_test(with_rollouts_the_table_shows_versions_and_where_they_are),
	        cmocka_unit_test(a_json_log_line_shows_its_message_and_fields),
	        cmocka_unit_test(run_makes_a_configuration_that_loads),
	        cmocka_unit_test(names_of_apps_come_from_names_of_programs),
	        cmocka_unit_test(a_problem_of_the_api_is_the_error_it_was),
	        cmocka_unit_test(an_error_of_prometheus_api_is_one_of_ours),
	        cmocka_unit_test(queries_are_encoded),
	        cmocka_unit_test(every_exit_code_is_the_documented_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
