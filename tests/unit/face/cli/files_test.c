/* The verbs that work on files, as a whole: what they print, what they write, how they end. */
#include "../../test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "face/cli/cli.h"
#include "face/cli/cli_priv.h"
#include "warden/warden.h"

/* Nothing runs in these tests. */
enum hg_rc warden_find(const char *data_dir, struct warden_info *ret_info, struct hg_err *err)
{
	(void)ret_info;
	return hg_err_set(err, HG_E_NOT_FOUND, "nothing runs on \"%s\"", data_dir);
}

static char top[64], said[65536];

static int set_up(void **state)
{
	(void)state;
	snprintf(top, sizeof top, "/tmp/hg-files-XXXXXX");
	if (!mkdtemp(top)) return -1;
	setenv("HEADGATE_DATA", top, 1);
	return chdir(top);
}

static int tear_down(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", top);
	return chdir("/") == 0 ? system(command) : -1;
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(name, "we");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static const char *get(const char *name)
{
	static char text[65536];
	FILE *f = fopen(name, "re");
	assert_non_null(f);
	text[fread(text, 1, sizeof text - 1, f)] = 0;
	fclose(f);
	return text;
}

/* The whole program on a line cut at its spaces; all it says is in `said`. */
static int headgate(const char *line)
{
	static const struct cli_deps deps = {0};
	static char copy[512];
	char name[] = "headgate";
	char *argv[16] = {name};
	int argc = 1;
	snprintf(copy, sizeof copy, "%s", line);
	for (char *at = copy; at; argc++) {
		argv[argc] = at;
		at = strchr(at, ' ');
		if (at) *at++ = 0;
	}
	fflush(NULL);
	int to = open("said", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int out = dup(1), errors = dup(2);
	dup2(to, 1);
	dup2(to, 2);
	int status = cli_main(argc, argv, &deps);
	fflush(NULL);
	dup2(out, 1);
	dup2(errors, 2);
	close(out);
	close(errors);
	ssize_t n = pread(to, said, sizeof said - 1, 0);
	said[n > 0 ? n : 0] = 0;
	close(to);
	unlink("said");
	return status;
}

static void expect(const char *line, int status, const char *want)
{
	int have = headgate(line);
	if (have != status || !strstr(said, want))
		fail_msg("headgate %s: %d, want %d and \"%s\" in:\n%s", line, have, status, want,
		        said);
}

#define UGLY                                                                                   \
	"project: p   \napps:\n      a:\n            command: ./a $PORT\n            health: " \
	"/h\n\n\n"

static void fmt_prints_checks_and_writes_the_standard_form(void **state)
{
	struct stat st;
	static char form[sizeof said];
	(void)state;
	put("headgate.yaml", UGLY);
	assert_int_equal(chmod("headgate.yaml", 0640), 0);
	expect("config fmt", 0, "project: p\napps:\n  a:\n    command: ./a $PORT\n");
	assert_string_equal(get("headgate.yaml"), UGLY);
	snprintf(form, sizeof form, "%s", said);

	expect("config fmt --check", 3, "headgate.yaml is not in the standard form");
	assert_non_null(strstr(said, "next: headgate config fmt --write headgate.yaml"));
	assert_string_equal(get("headgate.yaml"), UGLY);

	expect("config fmt --write headgate.yaml", 0, "is written");
	assert_string_equal(get("headgate.yaml"), form);
	assert_int_equal(stat("headgate.yaml", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(access("headgate.yaml.headgate-new", F_OK), -1);
	expect("config fmt --write -f headgate.yaml", 0, "is unchanged");
	expect("config fmt --check", 0, "");

	expect("config fmt -f headgate.yaml headgate.yaml", 2, "the file is given twice");
	expect("config fmt none.yaml", 2, "none.yaml");
	put("broken.yaml", "app: [\n");
	expect("config fmt --write broken.yaml", 3, "broken.yaml:");
	assert_string_equal(get("broken.yaml"), "app: [\n");
}

static void check_names_every_fault_by_line_and_column_also_for_programs(void **state)
{
	(void)state;
	put("headgate.yaml", "app: hello\ncommand: ./hello --port $PORT\nreplcas: 2\n");
	expect("config check", 3, "headgate.yaml:3:1: error HG1103: ");
	assert_non_null(strstr(said, "did you mean \"replicas\"?"));
	expect("config check --json", 3, "\"valid\": false");
	assert_non_null(strstr(said, "\"line\": 3"));
	assert_non_null(strstr(said, "\"code\": \"HG1103\""));
	put("headgate.yaml", "app: hello\ncommand: ./hello --port $PORT\nhealth: /h\n"
	                     "autoscale: {min: 2, max: 4, cpu: 70%}\n");
	expect("config check", 0, "is valid: 1 app");
	assert_non_null(strstr(said, "headgate.yaml:4:"));
	assert_non_null(strstr(said, "\"up\" will refuse this file"));
	expect("config check --json", 0, "\"not_available\"");
	assert_non_null(strstr(said, "\"valid\": true"));
	expect("config check -f headgate.yaml headgate.yaml", 2, "the file is given twice");
	/* Refused before anything is started, and by name. */
	expect("up --dry-run", 3, "autoscale");
}

static void show_prints_the_file_with_its_defaults_and_overlay(void **state)
{
	(void)state;
	put("headgate.yaml", "project: p\napps:\n  a: {command: ./a $PORT, health: /h}\n"
	                     "environments:\n  production: {apps: {a: {replicas: 4}}}\n");
	expect("config show", 0, "replicas: 1");
	expect("config show --environment production", 0, "replicas: 4");
	expect("config show -e nowhere", 3, "nowhere");
	expect("config show headgate.yaml -f headgate.yaml", 2, "the file is given twice");
	expect("up --dry-run -e production", 0, "+ a: 4 replicas");
	assert_non_null(strstr(said, "dry run, nothing was started"));
}

static void explain_finds_keys_also_without_their_app(void **state)
{
	(void)state;
	expect("explain apps.*.replicas", 0, "replicas");
	expect("explain probes.readiness", 0, "readiness");
	expect("explain HG1103", 0, "HG1103");
	expect("explain replcas", 2, "replicas");
	expect("explain apps.a.nonsense", 2, "error HG");
}

static void init_knows_what_kind_of_program_it_stands_before(void **state)
{
	static const struct {
		const char *file, *text, *want;
	} rows[] = {
	        {"package.json", "{\"name\": \"Shop_9\", \"scripts\": {\"start\": \"node s.js\"}}",
	                "shop-9:\n    # Each replica gets a free port of its own as $PORT.\n"
	                "    command: env PORT=$PORT npm start\n"},
	        {"Procfile", "worker: ./w\nweb: gunicorn shop:app --bind 127.0.0.1:$PORT\n",
	                "command: 'gunicorn shop:app --bind 127.0.0.1:$PORT'\n"},
	        {"Procfile", "web: bundle exec 'puma'\n",
	                "command: 'env PORT=$PORT bundle exec ''puma'''\n"},
	        {"app.py", "", "command: env PORT=$PORT python3 app.py\n"},
	        {"manage.py", "", "command: 'python3 manage.py runserver 127.0.0.1:$PORT'\n"},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		put(rows[i].file, rows[i].text);
		expect("init --dry-run", 0, "dry run, nothing written");
		assert_int_equal(access("headgate.yaml", F_OK), -1);
		expect("init", 0, "written to headgate.yaml");
		if (!strstr(get("headgate.yaml"), rows[i].want))
			fail_msg("%s: no \"%s\" in %s", rows[i].file, rows[i].want,
			        get("headgate.yaml"));
		/* What was written is good, and is not written over. */
		expect("config check", 0, "is valid: 1 app");
		expect("config fmt --check", 0, "");
		assert_int_equal(headgate("init"), 6);
		assert_int_equal(unlink(rows[i].file), 0);
		assert_int_equal(unlink("headgate.yaml"), 0);
	}
	expect("init -f other/headgate.yaml", 1, "could not write");
}

static void something_expires_after_a_while_or_at_the_end_of_a_day(void **state)
{
	static const uint64_t now_ms = 1796083200000; /* 2026-12-01 00:00 UTC */
	static const struct {
		const char *text;
		uint64_t ms; /* 0: refused */
	} rows[] = {
	        {"30d", 1796083200000 + 30ull * 86400000},
	        {"90s", 1796083200000 + 90000},
	        {"2026-12-01", 1796083200000 + 86400000}, /* all of today */
	        {"2026-11-30", 0},
	        {"0s", 0},
	        {"30", 0},
	        {"soon", 0},
	        {"2026-02-30", 0},
	        {"", 0},
	};
	(void)state;
	for (size_t i = 0; i < HG_COUNT(rows); i++) {
		uint64_t ms = 0;
		print_message("# %s\n", rows[i].text);
		assert_int_equal(cli_expiry(hg_str(rows[i].text), now_ms, &ms), rows[i].ms != 0);
		assert_int_equal(ms, rows[i].ms);
	}
	expect("key make partner --expires 2027-01-31", 0, "expires: \"2027-01-31\"}");
	expect("key make partner --expires 36500d", 0, "expires: \"21");
	expect("key make partner --expires 2020-01-31", 0, "expires: \"2020-01-31\"}");
	expect("key make partner --expires soon", 2, "a key expires on a day");
	expect("token create x --expires 2020-01-31", 2, "is not a time to come");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        CASE(fmt_prints_checks_and_writes_the_standard_form),
	        CASE(check_names_every_fault_by_line_and_column_also_for_programs),
	        CASE(show_prints_the_file_with_its_defaults_and_overlay),
	        CASE(explain_finds_keys_also_without_their_app),
	        CASE(init_knows_what_kind_of_program_it_stands_before),
	        CASE(something_expires_after_a_while_or_at_the_end_of_a_day),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
